//! Every Verify-ID row of the real phase plans: typed command or prose, by literal expectation; and every `rg` row against
//! the real document that it searches.

#![expect(clippy::expect_used, clippy::panic, reason = "helpers of tests")]

mod real_repos;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use phasegate_support::command::{
    Command, CostWindow, Kind, RipGrep, SearchError, Template, guard_can_find, parse, resolve, rip_grep,
};
use phasegate_support::registry;
use rstest::rstest;

const MIN_PLAN: &str = "docs/model_spec/platform/implementation_maps/dev_substrate/platform.M3.build_plan.md";
const FULL_PLAN: &str = "docs/model_spec/platform/implementation_maps/dev_substrate/dev_full/platform.M3.build_plan.md";
const MIN_REGISTRY: &str = "docs/model_spec/platform/migration_to_dev/dev_min_handles.registry.v0.md";
const FULL_REGISTRY: &str = "docs/model_spec/platform/migration_to_dev/dev_full_handles.registry.v0.md";
const FULL_RUNBOOK: &str = "docs/model_spec/platform/migration_to_dev/dev_full_platform_green_v0_run_process_flow.md";
const MIN_HANDOFF: &str = "runs/dev_substrate/m2_j/20260213T205715Z/m3_handoff_pack.json";
const BUCKET: &str = "<S3_EVIDENCE_BUCKET>";

fn plan_path(repository: &str) -> &'static str {
    if repository.starts_with("dev_full") { FULL_PLAN } else { MIN_PLAN }
}

/// The rows of a plan: a table line whose first cell is a code span with a Verify-ID, cut at its first and last ` | `.
fn rows(repository: &str) -> Option<BTreeMap<String, String>> {
    let plan = real_repos::read(&real_repos::folder()?, repository, plan_path(repository));
    let row = |line: &str| {
        let line = line.trim_end().strip_prefix("| `M3")?;
        let (id, rest) = line.split_once("` | ")?;
        let (command, _purpose) = rest.rsplit_once(" | ")?;
        (id.contains("_V") || id.contains("-V")).then(|| (format!("M3{id}"), command.to_owned()))
    };
    Some(plan.lines().filter_map(row).filter(|(id, _)| id.as_bytes().get(4) == Some(&b'V')).collect())
}

#[derive(Debug, PartialEq)]
enum Row {
    Prose,
    Command { command: Command, placeholders: Vec<String>, elisions: Vec<String>, tail: Option<String> },
}

impl Row {
    fn of(template: &Template) -> Self {
        match &template.kind {
            Kind::Prose => Self::Prose,
            Kind::Command(command) => Self::Command {
                command: command.clone(),
                placeholders: template.placeholders.clone(),
                elisions: template.elisions.iter().map(|elision| elision.written.clone()).collect(),
                tail: template.prose_tail.clone(),
            },
        }
    }

    fn elides(mut self, written: &[&str]) -> Self {
        if let Self::Command { elisions, .. } = &mut self {
            *elisions = owned(written);
        }
        self
    }

    fn tail(mut self, text: &str) -> Self {
        if let Self::Command { tail, .. } = &mut self {
            *tail = Some(text.to_owned());
        }
        self
    }
}

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn row(command: Command, placeholders: &[&str]) -> Row {
    Row::Command { command, placeholders: owned(placeholders), elisions: Vec::new(), tail: None }
}

fn search(pattern: &str, alternatives: &[&str], path: &str, placeholders: &[&str]) -> Row {
    let command = RipGrep {
        pattern: pattern.to_owned(),
        alternatives: owned(alternatives),
        case_insensitive: false,
        line_numbers: true,
        paths: owned(&[path]),
    };
    row(Command::RipGrep(command), placeholders)
}

fn one_of(alternatives: &[&str], path: &str) -> Row {
    search(&alternatives.join("|"), alternatives, path, &[])
}

fn exists(paths: &[&str], placeholders: &[&str]) -> Row {
    row(Command::TestPath { paths: owned(paths) }, placeholders)
}

fn upload(local: &str, key: &str, placeholders: &[&str]) -> Row {
    row(Command::S3Upload { local: local.into(), bucket: BUCKET.into(), key: key.into() }, placeholders)
}

fn head(keys: &[&str], placeholders: &[&str]) -> Row {
    row(Command::HeadObject { bucket: BUCKET.into(), keys: owned(keys) }, placeholders)
}

fn read_back(bucket: &str, key: &str, placeholders: &[&str]) -> Row {
    row(Command::S3Read { bucket: bucket.into(), key: key.into() }, placeholders)
}

fn collision_probe() -> Row {
    let command = Command::ListObjectsV2 {
        bucket: BUCKET.into(),
        prefix: "evidence/runs/<platform_run_id>/".into(),
        max_keys: Some(1),
    };
    row(command, &["S3_EVIDENCE_BUCKET", "platform_run_id"])
}

fn lane_upload(lane: &str) -> Row {
    let id = format!("{lane}_execution_id");
    let key = format!("evidence/dev_full/run_control/<{id}>/<elision_1>");
    upload("<local_artifact>", &key, &["local_artifact", "S3_EVIDENCE_BUCKET", &id]).elides(&["/..."])
}

fn dev_min_lane_a() -> Vec<(&'static str, Row)> {
    vec![
        ("M3A_V1_HANDLE_KEY", search(r"\b<HANDLE_KEY>\b", &[r"\b<HANDLE_KEY>\b"], MIN_REGISTRY, &["HANDLE_KEY"])),
        ("M3A_V2_M2_HANDOFF", exists(&[MIN_HANDOFF], &[])),
        (
            "M3A_V3_ECR_URI",
            row(
                Command::DescribeRepositories {
                    names: owned(&["<ECR_REPO_NAME>"]),
                    region: Some("<AWS_REGION>".into()),
                },
                &["ECR_REPO_NAME", "AWS_REGION"],
            ),
        ),
        ("M3A_V4_P1_EVIDENCE_ROOT", row(Command::HeadBucket { bucket: BUCKET.into() }, &["S3_EVIDENCE_BUCKET"])),
        (
            "M3A_V5_M1_PROVENANCE",
            row(
                Command::S3List { bucket: BUCKET.into(), prefix: "evidence/runs/<m1_platform_run_id>/P(-1)/".into() },
                &["S3_EVIDENCE_BUCKET", "m1_platform_run_id"],
            ),
        ),
        (
            "M3A_V6_PLACEHOLDER_GUARD",
            search(
                r#"SCENARIO_EQUIVALENCE_KEY_INPUT\s*=\s*"<PIN_AT_P1_PHASE_ENTRY>""#,
                &[r#"SCENARIO_EQUIVALENCE_KEY_INPUT\s*=\s*"<PIN_AT_P1_PHASE_ENTRY>""#],
                MIN_REGISTRY,
                &[],
            ),
        ),
    ]
}

fn dev_min_m4() -> Vec<(&'static str, Row)> {
    let both_keys = ["evidence/runs/<platform_run_id>/run.json", "evidence/runs/<platform_run_id>/run_started.json"];
    let secrets = RipGrep {
        pattern: "password|secret|token|apikey|api_key".into(),
        alternatives: owned(&["password", "secret", "token", "apikey", "api_key"]),
        case_insensitive: true,
        line_numbers: true,
        paths: owned(&["runs/dev_substrate/m3_c/<timestamp>/m3_c_config_payload*.json"]),
    };
    let mut rows = dev_min_lane_a();
    rows.extend([
        ("M3B_V1_ID_FORMAT", Row::Prose),
        ("M3B_V2_EVIDENCE_PREFIX_COLLISION", collision_probe()),
        (
            "M3B_V3_SCENARIO_RULE_PRESENT",
            one_of(
                &[
                    "SCENARIO_EQUIVALENCE_KEY_INPUT",
                    "SCENARIO_EQUIVALENCE_KEY_CANONICAL_FIELDS",
                    "SCENARIO_EQUIVALENCE_KEY_CANONICALIZATION_MODE",
                ],
                MIN_REGISTRY,
            ),
        ),
        ("M3B_V4_SKELETON_WRITE_LOCAL", Row::Prose),
        (
            "M3B_V5_SKELETON_WRITE_DURABLE",
            upload(
                "<local_seed_file>",
                "evidence/dev_min/run_control/<m3b_execution_id>/m3_b_run_header_seed.json",
                &["local_seed_file", "S3_EVIDENCE_BUCKET", "m3b_execution_id"],
            ),
        ),
        (
            "M3C_V1_M3B_INPUT",
            exists(&["runs/dev_substrate/m3_b/20260213T214223Z/m3_b_run_id_generation_snapshot.json"], &[]),
        ),
        (
            "M3C_V2_HANDLES_PRESENT",
            one_of(
                &[
                    "FIELD_PLATFORM_RUN_ID",
                    "FIELD_SCENARIO_RUN_ID",
                    "FIELD_WRITTEN_AT_UTC",
                    "CONFIG_DIGEST_ALGO",
                    "CONFIG_DIGEST_FIELD",
                    "SCENARIO_EQUIVALENCE_KEY_INPUT",
                    "IMAGE_TAG_EVIDENCE_FIELD",
                    "IMAGE_DIGEST_EVIDENCE_FIELD",
                    "IMAGE_GIT_SHA_EVIDENCE_FIELD",
                ],
                MIN_REGISTRY,
            ),
        ),
        ("M3C_V3_M2_HANDOFF", exists(&[MIN_HANDOFF], &[])),
        ("M3C_V4_PAYLOAD_WRITE_LOCAL", Row::Prose),
        ("M3C_V5_CANONICAL_PAYLOAD", Row::Prose),
        ("M3C_V6_DIGEST_COMPUTE", Row::Prose),
        ("M3C_V7_DIGEST_REPRO", Row::Prose),
        ("M3C_V8_SECRET_SCAN", row(Command::RipGrep(secrets), &["timestamp"])),
        (
            "M3C_V9_DURABLE_UPLOAD",
            upload(
                "<local_m3c_artifact>",
                "evidence/dev_min/run_control/<m3c_execution_id>/",
                &["local_m3c_artifact", "S3_EVIDENCE_BUCKET", "m3c_execution_id"],
            ),
        ),
        (
            "M3D_V1_M3C_PASS",
            row(
                Command::GetContent { path: "runs/dev_substrate/m3_c/<timestamp>/m3_c_digest_snapshot.json".into() },
                &["timestamp"],
            ),
        ),
        ("M3D_V2_LOCAL_RUN_JSON", Row::Prose),
        ("M3D_V3_LOCAL_RUN_STARTED", Row::Prose),
        (
            "M3D_V4_DURABLE_UPLOAD_RUN_JSON",
            upload("run.json", both_keys[0], &["S3_EVIDENCE_BUCKET", "platform_run_id"]),
        ),
        (
            "M3D_V5_DURABLE_UPLOAD_RUN_STARTED",
            upload("run_started.json", both_keys[1], &["S3_EVIDENCE_BUCKET", "platform_run_id"]),
        ),
        ("M3D_V6_DURABLE_HEAD_CHECK", head(&both_keys, &["S3_EVIDENCE_BUCKET", "platform_run_id"])),
        ("M3D_V7_PUBLICATION_SNAPSHOT", Row::Prose),
        ("M3E_V1_DURABLE_RUN_ANCHOR", head(&both_keys, &["S3_EVIDENCE_BUCKET", "platform_run_id"])),
        ("M3E_V2_SCOPE_KEY_HANDLE", one_of(&["REQUIRED_PLATFORM_RUN_ID_ENV_KEY"], MIN_REGISTRY)),
        ("M3E_V3_LOCAL_SCOPE_BUNDLE", Row::Prose),
        ("M3E_V4_SCOPE_COMPLETENESS", Row::Prose),
        ("M3E_V5_SECRET_SCAN", Row::Prose),
        ("M3E_V6_DURABLE_UPLOAD", Row::Prose),
        ("M3F_V1_LOAD_PHASE_SNAPSHOTS", Row::Prose),
        ("M3F_V2_PREDICATE_EVAL", Row::Prose),
        ("M3F_V3_BLOCKER_ROLLUP", Row::Prose),
        ("M3F_V4_VERDICT_WRITE_LOCAL", Row::Prose),
        ("M3F_V5_VERDICT_UPLOAD_DURABLE", Row::Prose),
        ("M3G_V1_REQUIRE_ADVANCE_VERDICT", Row::Prose),
        ("M3G_V2_BUILD_HANDOFF_LOCAL", Row::Prose),
        ("M3G_V3_HANDOFF_SCHEMA_CHECK", Row::Prose),
        ("M3G_V4_SECRET_SCAN", Row::Prose),
        ("M3G_V5_DURABLE_UPLOAD", Row::Prose),
        ("M3G_V6_URI_CAPTURE", Row::Prose),
    ]);
    rows
}

fn dev_full() -> Vec<(&'static str, Row)> {
    let machines = || row(Command::ListStateMachines { region: Some("eu-west-2".into()) }, &[]);
    let guard = r#"^\* `<HANDLE_KEY> = \"TO_PIN\"`"#;
    let seed = "runs/dev_substrate/dev_full/m3/<m3b_execution_id>/m3b_run_identity_seed.json";
    let receipt = "runs/dev_substrate/dev_full/m2/m2j_20260223T061612Z/m2j_m3_entry_readiness_receipt.json";
    vec![
        ("M3A-V1-HANDLE-EXISTS", search(r"\b<HANDLE_KEY>\b", &[r"\b<HANDLE_KEY>\b"], FULL_REGISTRY, &["HANDLE_KEY"])),
        ("M3A-V2-PLACEHOLDER-GUARD", search(guard, &[guard], FULL_REGISTRY, &["HANDLE_KEY"])),
        ("M3A-V3-M2-HANDOFF", exists(&[receipt], &[])),
        ("M3A-V4-SFN-QUERY", machines()),
        ("M3A-V5-EVIDENCE-BUCKET", row(Command::HeadBucket { bucket: BUCKET.into() }, &["S3_EVIDENCE_BUCKET"])),
        ("M3A-V6-CORE-OUTPUTS", row(Command::TerraformOutput { chdir: "infra/terraform/dev_full/core".into() }, &[])),
        ("M3B-V1-FORMAT", Row::Prose),
        ("M3B-V2-COLLISION-PROBE", collision_probe()),
        (
            "M3B-V3-HANDLE-CONTRACT",
            one_of(
                &[
                    "SCENARIO_EQUIVALENCE_KEY_INPUT",
                    "SCENARIO_EQUIVALENCE_KEY_CANONICAL_FIELDS",
                    "SCENARIO_RUN_ID_DERIVATION_MODE",
                ],
                FULL_REGISTRY,
            ),
        ),
        ("M3B-V4-SEED-WRITE-LOCAL", Row::Prose),
        (
            "M3B-V5-SEED-WRITE-DURABLE",
            upload(
                "<local_seed>",
                "evidence/dev_full/run_control/<m3b_execution_id>/m3b_run_identity_seed.json",
                &["local_seed", "S3_EVIDENCE_BUCKET", "m3b_execution_id"],
            ),
        ),
        ("M3C-V1-M3B-INPUTS", exists(&[seed], &["m3b_execution_id"])),
        (
            "M3C-V2-HANDLE-CONTRACT",
            one_of(
                &["CONFIG_DIGEST_ALGO", "CONFIG_DIGEST_FIELD", "SCENARIO_EQUIVALENCE_KEY_CANONICALIZATION_MODE"],
                FULL_REGISTRY,
            ),
        ),
        ("M3C-V3-CANONICAL-PAYLOAD-WRITE", Row::Prose),
        ("M3C-V4-DIGEST-RECOMPUTE", Row::Prose),
        ("M3C-V5-DURABLE-PUBLISH", lane_upload("m3c")),
        (
            "M3D-V1-HANDLE-CONTRACT",
            one_of(
                &[
                    "SFN_PLATFORM_RUN_ORCHESTRATOR_V0",
                    "SR_READY_COMMIT_AUTHORITY",
                    "ROLE_STEP_FUNCTIONS_ORCHESTRATOR",
                    "REQUIRED_PLATFORM_RUN_ID_ENV_KEY",
                ],
                FULL_REGISTRY,
            ),
        ),
        ("M3D-V2-SFN-EXISTS", machines()),
        (
            "M3D-V3-SFN-DESCRIBE",
            row(
                Command::DescribeStateMachine { arn: "<resolved_arn>".into(), region: Some("eu-west-2".into()) },
                &["resolved_arn"],
            ),
        ),
        ("M3D-V4-ROLE-ALIGN", Row::Prose),
        (
            "M3D-V5-RUN-LOCK-CHECK",
            row(
                Command::ListExecutions {
                    arn: "<resolved_arn>".into(),
                    status_filter: Some("RUNNING".into()),
                    max_results: Some(100),
                    region: Some("eu-west-2".into()),
                },
                &["resolved_arn"],
            )
            .tail("filter by `platform_run_id` in execution input/name"),
        ),
        ("M3D-V6-EVIDENCE-PUBLISH", lane_upload("m3d")),
        (
            "M3E-V1-INPUTS",
            exists(
                &[
                    "runs/dev_substrate/dev_full/m3/<m3b_id>/<elision_1>",
                    "runs/dev_substrate/dev_full/m3/<m3c_id>/<elision_2>",
                    "runs/dev_substrate/dev_full/m3/<m3d_id>/<elision_3>",
                ],
                &["m3b_id", "m3c_id", "m3d_id"],
            )
            .elides(&["/...", "/...", "/..."]),
        ),
        ("M3E-V2-KEY-RESOLVE", Row::Prose),
        ("M3E-V3-WRITE-ONCE-GUARD", head(&["<resolved_key>"], &["S3_EVIDENCE_BUCKET", "resolved_key"])),
        (
            "M3E-V4-UPLOAD",
            upload("<local_artifact>", "<resolved_key>", &["local_artifact", "S3_EVIDENCE_BUCKET", "resolved_key"]),
        ),
        (
            "M3E-V5-READBACK",
            read_back("<elision_1>", "<resolved_key>", &["resolved_key"]).elides(&["<...>"]).tail("local hash compare"),
        ),
        ("M3E-V6-CONSISTENCY", Row::Prose),
        ("M3F-V1-INPUTS", Row::Prose),
        ("M3F-V2-ENV-BINDING", Row::Prose),
        ("M3F-V3-CORRELATION-CONTRACT", Row::Prose),
        ("M3F-V4-REF-READABLE", head(&["<referenced_key>"], &["S3_EVIDENCE_BUCKET", "referenced_key"])),
        (
            "M3F-V5-HANDOFF-PUBLISH",
            upload(
                "<local_handoff_pack>",
                "evidence/dev_full/run_control/<m3f_execution_id>/m4_handoff_pack.json",
                &["local_handoff_pack", "S3_EVIDENCE_BUCKET", "m3f_execution_id"],
            ),
        ),
        (
            "M3F-V6-HANDOFF-READBACK",
            read_back("<elision_1>", "m4_handoff_pack.json", &[]).elides(&["<...>"]).tail("local hash compare"),
        ),
        (
            "M3G-V1-RUNBOOK-RULES",
            one_of(
                &[
                    "Never rerun by deleting append-only truth surfaces",
                    "Rerun from failed phase boundary",
                    "Mandatory reset classes",
                ],
                FULL_RUNBOOK,
            ),
        ),
        ("M3G-V2-IDENTITY-DRIFT", Row::Prose),
        ("M3G-V3-PROHIBITED-MUTATION-GUARD", Row::Prose),
        ("M3G-V4-RESET-CLASS-MAP", Row::Prose),
        ("M3G-V5-RESET-RECEIPTS", Row::Prose),
        ("M3G-V6-DURABLE-PUBLISH", lane_upload("m3g")),
        (
            "M3H-V1-HANDLE-CLOSURE",
            one_of(
                &[
                    "DEV_FULL_MONTHLY_BUDGET_LIMIT_USD",
                    "PHASE_BUDGET_ENVELOPE_PATH_PATTERN",
                    "PHASE_COST_OUTCOME_RECEIPT_PATH_PATTERN",
                    "DATABRICKS_COST_CAPTURE_ENABLED",
                ],
                FULL_REGISTRY,
            ),
        ),
        ("M3H-V2-UPSTREAM-PASS", Row::Prose),
        (
            "M3H-V3-AWS-COST-SOURCE",
            row(
                Command::GetCostAndUsage {
                    window: CostWindow { start: "<month_start>".into(), end: "<tomorrow>".into() },
                    granularity: "MONTHLY".into(),
                    metrics: owned(&["UnblendedCost"]),
                    region: Some("us-east-1".into()),
                },
                &["month_start", "tomorrow"],
            ),
        ),
        ("M3H-V4-DBX-COST-SOURCE", Row::Prose),
        ("M3H-V5-ENVELOPE-BUILD", Row::Prose),
        ("M3H-V6-OUTCOME-BUILD", Row::Prose),
        ("M3H-V7-DURABLE-PUBLISH", lane_upload("m3h")),
    ]
}

#[rstest]
#[case("dev_min-m3", dev_min_lane_a(), 6)]
#[case("dev_min-m4", dev_min_m4(), 44)]
#[case("dev_full-m3", dev_full(), 47)]
fn every_row_is_the_command_or_the_prose_that_it_is_expected_to_be(
    #[case] repository: &str,
    #[case] expected: Vec<(&'static str, Row)>,
    #[case] count: usize,
) {
    let Some(rows) = rows(repository) else { return };
    assert_eq!(rows.len(), count);
    assert_eq!(expected.len(), count);
    for (id, expected) in &expected {
        let cell = rows.get(*id).unwrap_or_else(|| panic!("{repository} has no row {id}"));
        let template = parse(cell).unwrap_or_else(|error| panic!("{repository} {id}: {error}"));
        assert_eq!(template.raw, *cell, "{id}: the cell's text is kept");
        assert_eq!(Row::of(&template), *expected, "{id}");
    }
}

fn bindings(of: &[(&str, &str)]) -> BTreeMap<String, String> {
    of.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn resolved_search(repository: &str, id: &str, bound: &[(&str, &str)]) -> Option<RipGrep> {
    let template = parse(&rows(repository)?[id]).expect("the table test covers it");
    match resolve(&template, &bindings(bound)).expect("all is bound").command {
        Command::RipGrep(search) => Some(search),
        other => panic!("{other:?}"),
    }
}

fn reader(repository: &str) -> impl Fn(&str) -> io::Result<String> {
    let root = real_repos::folder().expect("asked for before").join(repository);
    move |path: &str| std::fs::read_to_string(root.join(path))
}

#[rstest]
#[case("dev_min-m3", "M3A_V1_HANDLE_KEY", &[("HANDLE_KEY", "CONFIG_DIGEST_ALGO")], &[108])]
#[case("dev_min-m3", "M3A_V1_HANDLE_KEY", &[("HANDLE_KEY", "CONFIG_DIGEST")], &[])]
#[case("dev_min-m3", "M3A_V6_PLACEHOLDER_GUARD", &[], &[110])]
#[case("dev_min-m4", "M3A_V6_PLACEHOLDER_GUARD", &[], &[])]
#[case("dev_min-m4", "M3E_V2_SCOPE_KEY_HANDLE", &[], &[122])]
#[case("dev_full-m3", "M3A-V1-HANDLE-EXISTS", &[("HANDLE_KEY", "SFN_PLATFORM_RUN_ORCHESTRATOR_V0")], &[539, 543])]
#[case("dev_full-m3", "M3A-V2-PLACEHOLDER-GUARD", &[("HANDLE_KEY", "DBX_WORKSPACE_URL")], &[492])]
#[case("dev_full-m3", "M3A-V2-PLACEHOLDER-GUARD", &[("HANDLE_KEY", "AWS_BUDGET_NOTIFICATION_EMAIL")], &[659])]
#[case("dev_full-m3", "M3A-V2-PLACEHOLDER-GUARD", &[("HANDLE_KEY", "ROLE_TERRAFORM_APPLY_DEV_FULL")], &[])]
fn a_search_of_the_real_document_finds_these_lines(
    #[case] repository: &str,
    #[case] id: &str,
    #[case] bound: &[(&str, &str)],
    #[case] lines: &[usize],
) {
    let Some(search) = resolved_search(repository, id, bound) else {
        return;
    };
    let found = rip_grep(&search, &reader(repository)).expect("the document is there");
    let found: Vec<usize> = found.matches.iter().map(|line| line.line).collect();
    assert_eq!(found, lines);
}

#[rstest]
#[case("dev_min-m4", "M3B_V3_SCENARIO_RULE_PRESENT", &[])]
#[case("dev_min-m4", "M3C_V2_HANDLES_PRESENT", &[])]
#[case("dev_full-m3", "M3B-V3-HANDLE-CONTRACT", &[])]
#[case("dev_full-m3", "M3C-V2-HANDLE-CONTRACT", &[])]
#[case("dev_full-m3", "M3D-V1-HANDLE-CONTRACT", &[])]
#[case("dev_full-m3", "M3G-V1-RUNBOOK-RULES", &[])]
#[case("dev_full-m3", "M3H-V1-HANDLE-CLOSURE", &[])]
fn every_alternative_is_found_in_the_real_document(
    #[case] repository: &str,
    #[case] id: &str,
    #[case] missing: &[&str],
) {
    let Some(search) = resolved_search(repository, id, &[]) else {
        return;
    };
    let found = rip_grep(&search, &reader(repository)).expect("the document is there");
    assert_eq!(found.missing(&search), missing);
    // One alternative more, which nothing matches, is told apart from those that are found.
    let wider = search.pattern.clone() + "|NO_SUCH_HANDLE";
    let cell = format!("`rg -n \"{wider}\" {}`", search.paths[0]);
    let Command::RipGrep(wider) = resolve(&parse(&cell).expect("a command"), &bindings(&[])).expect("resolved").command
    else {
        panic!("it is a search");
    };
    let found = rip_grep(&wider, &reader(repository)).expect("the document is there");
    assert_eq!(found.missing(&wider), ["NO_SUCH_HANDLE"]);
}

#[test]
fn a_missing_document_is_an_error_and_no_empty_answer() {
    let Some(search) = resolved_search("dev_min-m3", "M3A_V6_PLACEHOLDER_GUARD", &[]) else {
        return;
    };
    let absent = rip_grep(&search, &|_| Err(io::ErrorKind::NotFound.into()));
    assert!(matches!(absent, Err(SearchError::Read { .. })));
}

#[rstest]
#[case(
    "dev_min-m3",
    "M3A_V6_PLACEHOLDER_GUARD",
    MIN_REGISTRY,
    "SCENARIO_EQUIVALENCE_KEY_INPUT",
    "<PIN_AT_P1_PHASE_ENTRY>"
)]
#[case(
    "dev_min-m4",
    "M3A_V6_PLACEHOLDER_GUARD",
    MIN_REGISTRY,
    "SCENARIO_EQUIVALENCE_KEY_INPUT",
    "<PIN_AT_P1_PHASE_ENTRY>"
)]
#[case("dev_full-m3", "M3A-V2-PLACEHOLDER-GUARD", FULL_REGISTRY, "ROLE_TERRAFORM_APPLY_DEV_FULL", "TO_PIN")]
#[case("dev_full-m3", "M3A-V2-PLACEHOLDER-GUARD", FULL_REGISTRY, "S3_EVIDENCE_BUCKET", "TO_PIN")]
#[case("dev_full-m3", "M3A-V2-PLACEHOLDER-GUARD", FULL_REGISTRY, "ORACLE_REQUIRED_OUTPUT_IDS", "TO_PIN")]
fn a_real_guard_can_find(
    #[case] repository: &str,
    #[case] id: &str,
    #[case] path: &str,
    #[case] handle: &str,
    #[case] placeholder: &str,
) {
    let Some(guard) = resolved_search(repository, id, &[("HANDLE_KEY", handle)]) else {
        return;
    };
    let text = reader(repository)(path).expect("the registry is there");
    let own_lines = registry::parse(Path::new(path), &text).registry.lines_of(handle);
    let proof = guard_can_find(&guard, path, &text, handle, &own_lines, placeholder).expect("it can find");
    assert_eq!(proof.lines.len(), own_lines.len());
    assert!(proof.lines.iter().all(|(_, line)| line.contains(placeholder) && line.contains(handle)));
}

/// Read literally by a POSIX shell, `\"` stands for a quote character in the pattern, and the guard would always be met.
#[test]
fn a_guard_that_can_never_match_is_found_out() {
    let Some(guard) = resolved_search("dev_min-m3", "M3A_V6_PLACEHOLDER_GUARD", &[]) else {
        return;
    };
    let literal = r#"`rg -n "\"SCENARIO_EQUIVALENCE_KEY_INPUT\\s*=\\s*\\\"<PIN_AT_P1_PHASE_ENTRY>\\\"\"" docs/model_spec/platform/migration_to_dev/dev_min_handles.registry.v0.md`"#;
    let Command::RipGrep(blind) =
        resolve(&parse(literal).expect("a command"), &bindings(&[])).expect("resolved").command
    else {
        panic!("it is a search");
    };
    assert_eq!(guard.paths, blind.paths);
    let text = reader("dev_min-m3")(MIN_REGISTRY).expect("the registry is there");
    let handle = "SCENARIO_EQUIVALENCE_KEY_INPUT";
    let proof = guard_can_find(&blind, MIN_REGISTRY, &text, handle, &[110], "<PIN_AT_P1_PHASE_ENTRY>");
    assert!(matches!(proof, Err(SearchError::CannotFind { line: 110, .. })), "{proof:?}");
    let elsewhere = guard_can_find(&guard, MIN_REGISTRY, &text, handle, &[111], "<PIN_AT_P1_PHASE_ENTRY>");
    assert!(matches!(elsewhere, Err(SearchError::NotItsLine { line: 111, .. })), "{elsewhere:?}");
    let nowhere = guard_can_find(&guard, MIN_REGISTRY, &text, handle, &[], "<PIN_AT_P1_PHASE_ENTRY>");
    assert!(matches!(nowhere, Err(SearchError::NotItsLine { line: 0, .. })), "{nowhere:?}");
}

/// The rows of the phase before have commands that no executor carries out: none of them is taken for another.
#[test]
fn the_rows_of_the_phase_before_are_a_search_or_an_error() {
    let Some(folder) = real_repos::folder() else {
        return;
    };
    let path = MIN_PLAN.replace("M3", "M2");
    let plan = real_repos::read(&folder, "dev_min-m3", &path);
    let cells: Vec<&str> = plan
        .lines()
        .filter_map(|line| line.trim_end().strip_prefix("| `V")?.split_once("` | "))
        .filter(|(id, _)| id.starts_with(|first: char| first.is_ascii_digit()))
        .filter_map(|(_, rest)| Some(rest.rsplit_once(" | ")?.0))
        .collect();
    assert_eq!(cells.len(), 11);
    let commands: Vec<&str> = cells.iter().copied().filter(|cell| parse(cell).is_ok()).collect();
    assert_eq!(commands, [format!(r#"`rg -n "\\b<HANDLE_KEY>\\b" {MIN_REGISTRY}`"#)]);
}
