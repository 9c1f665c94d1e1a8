//! What the packaging plans pin down beside their boxes: the matrix of entrypoints and the records of each lane.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

mod common;

use std::path::Path;

use phasegate_support::plan::{BoxKind, EntrypointRow, Plan, Record, RecordEntry, Source, case_names, discover, parse};
use rstest::rstest;

/// The M1 plan of one track below a folder.
fn read(root: &Path, track: &str) -> Plan {
    let found = discover(root, "M1").unwrap();
    let plan = found.iter().find(|plan| plan.track == track).unwrap();
    let parsed = parse(Source::read(root, &plan.path).unwrap(), track);
    assert_eq!(parsed.errors, []);
    parsed.plan
}

fn real(repository: &str, track: &str) -> Option<Plan> {
    Some(read(&common::real_repositories()?.join(repository), track))
}

/// The one in the project's own words.
fn made() -> Plan {
    read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/repo"), "dev_min")
}

/// `handle module subcommands | required options | optional ones` of each row, and its mode.
fn matrix(plan: &Plan) -> Vec<(String, String)> {
    let line = |row: &EntrypointRow| {
        assert_eq!(row.invocation[..3], ["python", "-m", &row.module]);
        let required: Vec<String> = row.required.iter().map(|one| format!("{} {}", one.name, one.value)).collect();
        assert_eq!(row.arguments.join(" "), required.join(" "));
        let handle = row.handle.strip_prefix("ENTRYPOINT_").unwrap();
        let started = row.invocation[2..].join(" ");
        let started = started.strip_prefix("fraud_detection.").unwrap();
        format!("{handle} {started} | {} | {}", required.join(" "), row.optional.join(" "))
    };
    plan.entrypoints.iter().map(|row| (line(row), row.mode.clone())).collect()
}

/// The matrix of `dev_min`, with the words of its modes in the real plans.
const MATRIX: [(&str, &str); 18] = [
    (
        "ORACLE_SEED oracle_store.pack_cli | --profile <path> --engine-run-root <s3://...> --scenario-id <id> --engine-release <release> | ",
        "Oracle pack/seal job",
    ),
    (
        "ORACLE_STREAM_SORT oracle_store.stream_sort_cli | --profile <path> --engine-run-root <s3://...> --scenario-id <id> | ",
        "Oracle stream-sort job",
    ),
    (
        "ORACLE_CHECKER oracle_store.cli | --profile <path> --engine-run-root <s3://...> | --scenario-id --output-ids --strict-seal",
        "Oracle checker job",
    ),
    (
        "SR scenario_runner.cli run | --wiring <path> --policy <path> --run-equivalence-key <key> --manifest-fingerprint <fp> --parameter-hash <hash> --seed <int> --window-start <iso> --window-end <iso> | ",
        "Scenario runner control task",
    ),
    (
        "WSP world_streamer_producer.cli | --profile <path> | --engine-run-root --scenario-id --output-ids --max-events",
        "World streamer producer task",
    ),
    ("IG_SERVICE ingestion_gate.service | --profile <path> | --host --port", "IG daemon/service"),
    ("RTDL_CORE_WORKER archive_writer.worker | --profile <path> | --once", "ArchiveWriter"),
    ("RTDL_CORE_WORKER identity_entity_graph.service | --profile <path> | --host --port", "IEG service"),
    ("RTDL_CORE_WORKER online_feature_plane.projector | --profile <path> | --once", "OFP projector"),
    ("RTDL_CORE_WORKER context_store_flow_binding.intake | --policy <path> | --once --replay-manifest", "CSFB intake"),
    ("DECISION_LANE_WORKER degrade_ladder.worker | --profile <path> | --once", "DL worker"),
    ("DECISION_LANE_WORKER decision_fabric.worker | --profile <path> | --once", "DF worker"),
    ("DECISION_LANE_WORKER action_layer.worker | --profile <path> | --once", "AL worker"),
    ("DECISION_LANE_WORKER decision_log_audit.worker | --profile <path> | --once", "DLA worker"),
    ("DECISION_LANE_WORKER case_trigger.worker | --profile <path> | --once", "CaseTrigger worker"),
    ("CM_SERVICE case_mgmt.worker | --profile <path> | --once", "CM worker (service slot)"),
    ("LS_SERVICE label_store.worker | --profile <path> | --once", "LS worker (service slot)"),
    ("REPORTER platform_reporter.cli | --profile <path> | --platform-run-id", "Obs/Gov reporter task"),
];

#[rstest]
#[case("dev_min-m1")]
#[case("dev_min-plan")]
#[case("dev_min-m3")]
#[case("dev_min-m4")]
fn the_matrix_of_dev_min_comes_out_whole(#[case] repository: &str) {
    let Some(plan) = real(repository, "dev_min") else { return };
    let expected: Vec<(String, String)> = MATRIX.iter().map(|(line, mode)| ((*line).into(), (*mode).into())).collect();
    assert_eq!(matrix(&plan), expected);
    assert!(plan.entrypoints.iter().all(|row| row.lane.as_deref() == Some("M1.B")));
    let gate = plan.entrypoints.iter().find(|row| row.handle == "ENTRYPOINT_IG_SERVICE").unwrap();
    assert_eq!(gate.note, "(`--host`/`--port` pinned in task args; `IG_LISTEN_ADDR` + `IG_PORT` handles)");
}

#[test]
fn a_subcommand_behind_the_options_keeps_its_place() {
    let Some(plan) = real("dev_full-m3", "dev_full") else { return };
    assert_eq!(plan.entrypoints.len(), 21);
    let row = |handle: &str| plan.entrypoints.iter().find(|row| row.handle == handle).unwrap();
    let runner = row("ENTRYPOINT_MPR_RUNNER");
    assert_eq!(runner.arguments, ["--profile", "<path>", "run"]);
    assert_eq!((runner.required.len(), runner.optional.as_slice()), (1, ["--once".to_owned()].as_slice()));
    assert!(runner.note.ends_with("`rollback-drill --event-path <json>`"), "{}", runner.note);
    let conformance = row("ENTRYPOINT_ENV_CONFORMANCE_WORKER");
    let required: Vec<&str> = conformance.required.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(required, ["--local-parity-profile", "--dev-profile", "--prod-profile"]);
    assert_eq!(conformance.optional, ["--required-platform-run-id", "--once"]);
}

/// Of the lanes' records: label and number of entries.
fn labels(plan: &Plan) -> Vec<(&str, usize)> {
    let of_lanes = plan.records.iter().filter(|record| record.lane.is_some());
    of_lanes.map(|record| (record.label.as_str(), record.entries.len())).collect()
}

#[test]
fn the_records_of_the_later_plan_are_counted() {
    let Some(plan) = real("dev_min-m3", "dev_min") else { return };
    assert_eq!(
        labels(&plan),
        [
            ("M1.A contract freeze record", 5),
            ("M1.A image content manifest (reopened and repinned)", 5),
            ("M1.A planning evidence", 4),
            ("M1.B validation method (pinned for build-go pass)", 3),
            ("M1.B completion notes", 3),
            ("M1.C provenance contract freeze", 3),
            ("M1.C evidence path contract (run-scoped)", 3),
            ("M1.C mismatch handling (fail-closed)", 4),
            ("M1.C validation method (build-go pass)", 4),
            ("M1.D no-baked-secrets policy (frozen)", 3),
            ("M1.D runtime secret source contract (pinned handles + ownership)", 3),
            ("M1.D leakage and fail-closed checks (build-go pass)", 5),
            ("M1.D completion notes", 3),
            ("M1.E canonical build command surface (frozen)", 4),
            ("M1.E required inputs (pinned)", 4),
            ("M1.E failure/retry posture (fail-closed)", 5),
            ("M1.E execution evidence requirement", 2),
            ("M1.E completion notes", 3),
            ("M1.F driver authority decision (pinned)", 4),
            ("M1.G realization record (pinned)", 6),
            ("M1.G execution block", 2),
            ("M1.H validation record (pinned)", 4),
            ("M1.H execution block", 2),
            ("M1.I readiness review posture (reopened)", 2),
            ("M1.I readiness verdict (pinned)", 3),
            ("M1 build-go handoff statement (execution pack, authoritative for M1 execution)", 6),
            ("M1.I execution block", 2),
        ]
    );
    let of_phase = plan.records.iter().filter(|record| record.lane.is_none());
    let of_phase: Vec<&str> = of_phase.map(|record| record.label.as_str()).collect();
    assert_eq!(
        of_phase,
        [
            "In scope",
            "Out of scope",
            "Current posture",
            "Execution rule",
            "M1 execution snapshot (build-go pass)",
            "M1 can be marked `DONE` only when",
        ]
    );
    assert_eq!(plan.records.iter().flat_map(|record| &record.entries).count(), 119);
}

#[rstest]
#[case("dev_min-m1", "dev_min", 19, 68)]
#[case("dev_min-plan", "dev_min", 24, 88)]
#[case("dev_min-m4", "dev_min", 27, 97)]
#[case("dev_full-m3", "dev_full", 26, 88)]
fn records_of_lanes_are_counted(
    #[case] repository: &str,
    #[case] track: &str,
    #[case] records: usize,
    #[case] entries: usize,
) {
    let Some(plan) = real(repository, track) else { return };
    let labels = labels(&plan);
    assert_eq!((labels.len(), labels.iter().map(|(_, count)| count).sum::<usize>()), (records, entries));
}

fn only<'p>(plan: &'p Plan, lane: &'p str, words: &'p str) -> &'p Record {
    let found: Vec<&Record> = plan.records_about(lane, words).collect();
    let [record] = found.as_slice() else { panic!("{words}: {found:#?}") };
    record
}

fn entry<'r>(record: &'r Record, words: &str) -> &'r RecordEntry {
    let found: Vec<&RecordEntry> = record.entries_about(words).collect();
    let [entry] = found.as_slice() else { panic!("{words}: {found:#?}") };
    entry
}

/// The code spans of all that stands directly below an entry.
fn spans(entry: &RecordEntry) -> Vec<&str> {
    entry.details.iter().flat_map(RecordEntry::code).collect()
}

/// Words that the plan of the fixtures shares with the real ones lead to the same facts in both.
#[rstest]
#[case::later(real("dev_min-m3", "dev_min"))]
#[case::before_its_validation(real("dev_min-plan", "dev_min"))]
#[case::made(Some(made()))]
fn what_a_gate_needs_is_found(#[case] plan: Option<Plan>) {
    let Some(plan) = plan else { return };
    let manifest = only(&plan, "M1.A", "image content manifest");
    let include = spans(entry(manifest, "include set"));
    assert_eq!((include.len(), include[0]), (14, "pyproject.toml"));
    assert_eq!(include[13], "docs/model_spec/data-engine/layer-3/specs/contracts/6B/schemas.6B.yaml");
    let exclude = spans(entry(manifest, "excluded"));
    assert_eq!((exclude.len(), &exclude[..2]), (16, ["packages/engine/src/", "runs/"].as_slice()));

    let freeze = only(&plan, "M1.C", "provenance contract freeze");
    let fields: Vec<&str> = freeze.entries.iter().flat_map(|list| &list.details).map(|field| field.code()[0]).collect();
    assert_eq!(
        fields.join(" "),
        "phase_id = \"P(-1)\" platform_run_id written_at_utc image_tag image_digest git_sha build_completed_at_utc build_actor \
         ecr_repo_uri image_reference_mode dockerfile_path build_path oci_digest_algo oci_digest_value"
    );
    let secrets = spans(entry(only(&plan, "M1.D", "runtime secret source"), "source of truth"));
    assert_eq!((secrets.len(), secrets[6]), (7, "SSM_DB_DSN_PATH"));

    let local = entry(only(&plan, "M1.E", "command surface"), "for `local_cli`");
    let commands: Vec<&str> = local.details.iter().flat_map(spans).collect();
    assert_eq!(
        commands,
        [
            r#"aws ecr get-login-password --region "$AWS_REGION" | docker login --username AWS --password-stdin "$ECR_REPO_URI""#,
            r#"docker build --file "$IMAGE_DOCKERFILE_PATH" --tag "$ECR_REPO_URI:$IMAGE_TAG_IMMUTABLE" "$IMAGE_BUILD_PATH""#,
            r#"docker push "$ECR_REPO_URI:$IMAGE_TAG_IMMUTABLE""#,
            r#"aws ecr describe-images --repository-name "$ECR_REPO_NAME" --image-ids imageTag="$IMAGE_TAG_IMMUTABLE" --region "$AWS_REGION" --query "imageDetails[0].imageDigest" --output text"#,
            r#"docker tag "$ECR_REPO_URI:$IMAGE_TAG_IMMUTABLE" "$ECR_REPO_URI:$IMAGE_TAG_DEV_MIN_LATEST""#,
            r#"docker push "$ECR_REPO_URI:$IMAGE_TAG_DEV_MIN_LATEST""#,
        ]
    );
    let build: Vec<&RecordEntry> = local.details_about("build immutable").collect();
    assert_eq!(build.iter().map(|step| spans(step)).collect::<Vec<_>>(), [[commands[1]]]);
    let inputs = spans(entry(only(&plan, "M1.E", "required inputs"), "handles"));
    assert_eq!((inputs.len(), inputs[0], inputs[8]), (9, "AWS_REGION", "IMAGE_REFERENCE_MODE"));

    assert_eq!(
        spans(entry(only(&plan, "M1.F", "driver authority"), "authoritative driver for m1")),
        ["github_actions"]
    );
    let workflow = only(&plan, "M1.G", "realization record");
    assert_eq!(spans(entry(workflow, "workflow path")), [".github/workflows/dev_min_m1_packaging.yml"]);
    let outputs = entry(workflow, "output");
    let outputs: Vec<Vec<&str>> = outputs.details_about("job outputs").map(RecordEntry::code).collect();
    assert_eq!(outputs, [["image_tag", "image_digest", "git_sha", "ci_run_id", "build_actor"]]);
    let handoff = entry(only(&plan, "M1.I", "handoff statement"), "fail-closed blockers");
    assert_eq!(handoff.details.len(), 7);
}

#[test]
fn the_plan_of_the_fixtures_asks_for_as_much_as_the_real_one() {
    let plan = made();
    let kinds = |kind: BoxKind| plan.boxes.iter().filter(|asked| asked.kind == kind && !asked.ticked).count();
    assert_eq!((kinds(BoxKind::Dod), kinds(BoxKind::Checklist), plan.rows.len()), (27, 9, 0));
    assert_eq!(case_names(&plan).unwrap().len(), 36);
    let rows: Vec<String> = matrix(&plan).into_iter().map(|(line, _)| line).collect();
    assert_eq!(rows, MATRIX.map(|(line, _)| line.to_owned()));
    assert_eq!(labels(&plan).len(), 26);
    let Some(real) = real("dev_min-m3", "dev_min") else { return };
    /// A lane, and its files with their paths.
    type Files = (Option<String>, Vec<(String, Option<String>)>);
    let of = |plan: &Plan| -> Vec<Files> {
        let files = plan.contracts.iter().map(|contract| {
            (contract.lane.clone(), contract.files.iter().map(|file| (file.name.clone(), file.path.clone())).collect())
        });
        files.collect()
    };
    assert_eq!(of(&plan), of(&real), "both ask for the same evidence");
}

/// The lists below the labels of a plan's lanes, read by nothing but line starts: per label its line, itself, and the
/// words of the list's items.
fn plainly(text: &str) -> Vec<(usize, String, Vec<String>)> {
    let mut lists: Vec<(usize, String, Vec<String>)> = Vec::new();
    let mut in_lane = false;
    let mut open = false;
    for (index, line) in text.lines().enumerate() {
        let trimmed = line.trim_start();
        let number = trimmed.split_once(". ").filter(|(number, _)| number.bytes().all(|byte| byte.is_ascii_digit()));
        let item = trimmed.strip_prefix("- ").or(number.map(|(_, rest)| rest));
        match item {
            _ if line.starts_with('#') => {
                in_lane = if line.starts_with("## ") { line.starts_with("## M1.") } else { in_lane };
                open = false;
            }
            Some(item) if open => {
                if let Some((_, _, items)) = lists.last_mut() {
                    items.push(item.to_owned());
                }
            }
            None if !line.trim().is_empty() => {
                open = in_lane && line.ends_with(':');
                if open {
                    lists.push((index + 1, line.trim_end_matches(':').to_owned(), Vec::new()));
                }
            }
            _ => {}
        }
    }
    lists.retain(|(_, _, items)| !items.is_empty());
    lists
}

/// Every list below a label comes out as a record, item by item, unless the label is one of those that the grammar
/// gives a meaning.
#[rstest]
#[case("dev_min-m1", "dev_min", 19, 18)]
#[case("dev_min-plan", "dev_min", 24, 27)]
#[case("dev_min-m3", "dev_min", 27, 27)]
#[case("dev_min-m4", "dev_min", 27, 27)]
#[case("dev_full-m3", "dev_full", 26, 34)]
fn no_list_of_a_lane_is_lost(
    #[case] repository: &str,
    #[case] track: &str,
    #[case] records: usize,
    #[case] others: usize,
) {
    let Some(plan) = real(repository, track) else { return };
    let mut of_lanes = plan.records.iter().filter(|record| record.lane.is_some());
    let mut known = Vec::new();
    let mut seen = 0;
    for (line, label, items) in plainly(&plan.source.text) {
        if plan.records.iter().all(|record| record.place.line != line) {
            known.push(label);
            continue;
        }
        let record = of_lanes.next().unwrap();
        let below = record.entries.iter().flat_map(|entry| std::iter::once(entry).chain(entry.all_below()));
        let read: Vec<&str> = below.map(|entry| entry.text.as_str()).collect();
        assert_eq!((record.place.line, record.label.as_str()), (line, label.as_str()));
        assert_eq!(read, items, "{label}");
        seen += 1;
    }
    assert_eq!((of_lanes.next(), seen, known.len()), (None, records, others), "{known:#?}");
    let words = [
        "Goal",
        "Tasks",
        "DoD",
        "planning precheck",
        "blocker",
        "evidence contract",
        "execution closure",
        "adjudication",
    ];
    for label in known {
        assert!(words.iter().any(|word| label.contains(word)), "no rule is known to take `{label}`");
    }
}
