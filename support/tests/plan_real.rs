//! The plans of the real repositories, read whole.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::path::PathBuf;

use phasegate_support::plan::{
    AuthorityKind, AuthorityRank, BoxKind, CodeOrigin, MASTER, Parsed, Severity, Source, case_names, discover, lint,
    parse,
};
use rstest::rstest;

/// The plan of one phase and track of a real repository.
fn read(repository: &str, phase: &str, track: &str) -> Option<Parsed> {
    let root = common::real_repositories()?.join(repository);
    let found = discover(&root, phase).unwrap();
    let plan = found.iter().find(|plan| plan.track == track).unwrap();
    Some(parse(Source::read(&root, &plan.path).unwrap(), track))
}

/// Every plan of every real repository.
fn all() -> Vec<(PathBuf, Parsed)> {
    let Some(root) = common::real_repositories() else {
        return Vec::new();
    };
    let mut plans = Vec::new();
    for entry in std::fs::read_dir(root).unwrap() {
        let repository = entry.unwrap().path();
        if !repository.is_dir() {
            continue;
        }
        for phase in [MASTER, "M0", "M1", "M2", "M3", "M4"] {
            for plan in discover(&repository, phase).into_iter().flatten() {
                let source = Source::read(&repository, &plan.path).unwrap();
                plans.push((repository.join(&plan.path), parse(source, &plan.track)));
            }
        }
    }
    assert!(plans.len() > 15, "only {} plans found", plans.len());
    plans
}

#[rstest]
#[case::dev_min_m3("dev_min-m3", "M3", "dev_min", 28, 6, 7)]
#[case::dev_full_m3("dev_full-m3", "M3", "dev_full", 43, 47, 72)]
#[case::dev_min_m1("dev_min-m1", "M1", "dev_min", 24, 0, 0)]
#[case::dev_min_m4("dev_min-m4", "M4", "dev_min", 43, 0, 37)]
// B 5, C 8, D 8, E 7, F 5, G 5, and `M3A-B1` from the register: counted by hand.
#[case::dev_min_m4_and_its_m3("dev_min-m4", "M3", "dev_min", 32, 44, 39)]
#[case::dev_min_master("dev_min-plan", MASTER, "dev_min", 20, 0, 0)]
fn what_a_real_plan_asks_is_counted(
    #[case] repository: &str,
    #[case] phase: &str,
    #[case] track: &str,
    #[case] boxes: usize,
    #[case] rows: usize,
    #[case] codes: usize,
) {
    let Some(parsed) = read(repository, phase, track) else {
        return;
    };
    let plan = &parsed.plan;
    assert_eq!(parsed.errors, [], "{repository}");
    assert_eq!((plan.boxes.len(), plan.rows.len(), plan.codes.len()), (boxes, rows, codes));
    assert_eq!(case_names(plan).unwrap().len(), boxes + rows);
}

#[rstest]
#[case::b_v3("M3B-V3-HANDLE-CONTRACT",
    r#"rg -n \"SCENARIO_EQUIVALENCE_KEY_INPUT|SCENARIO_EQUIVALENCE_KEY_CANONICAL_FIELDS|SCENARIO_RUN_ID_DERIVATION_MODE\" docs/model_spec/platform/migration_to_dev/dev_full_handles.registry.v0.md"#,
    "confirms scenario-id derivation contract exists")]
#[case::c_v2("M3C-V2-HANDLE-CONTRACT",
    r#"rg -n \"CONFIG_DIGEST_ALGO|CONFIG_DIGEST_FIELD|SCENARIO_EQUIVALENCE_KEY_CANONICALIZATION_MODE\" docs/model_spec/platform/migration_to_dev/dev_full_handles.registry.v0.md"#,
    "confirms digest/canonicalization handles are pinned")]
#[case::d_v1("M3D-V1-HANDLE-CONTRACT",
    r#"rg -n \"SFN_PLATFORM_RUN_ORCHESTRATOR_V0|SR_READY_COMMIT_AUTHORITY|ROLE_STEP_FUNCTIONS_ORCHESTRATOR|REQUIRED_PLATFORM_RUN_ID_ENV_KEY\" docs/model_spec/platform/migration_to_dev/dev_full_handles.registry.v0.md"#,
    "confirms required orchestrator/lock handles are pinned")]
#[case::g_v1("M3G-V1-RUNBOOK-RULES",
    r#"rg -n \"Never rerun by deleting append-only truth surfaces|Rerun from failed phase boundary|Mandatory reset classes\" docs/model_spec/platform/migration_to_dev/dev_full_platform_green_v0_run_process_flow.md"#,
    "anchors M3.G to runbook reset laws")]
#[case::h_v1("M3H-V1-HANDLE-CLOSURE",
    r#"rg -n \"DEV_FULL_MONTHLY_BUDGET_LIMIT_USD|PHASE_BUDGET_ENVELOPE_PATH_PATTERN|PHASE_COST_OUTCOME_RECEIPT_PATH_PATTERN|DATABRICKS_COST_CAPTURE_ENABLED\" docs/model_spec/platform/migration_to_dev/dev_full_handles.registry.v0.md"#,
    "confirms required handle presence")]
#[case::nested_backticks("M3A-V2-PLACEHOLDER-GUARD",
    r#"rg -n "^\\* `<HANDLE_KEY> = \\\"TO_PIN\\\"`" docs/model_spec/platform/migration_to_dev/dev_full_handles.registry.v0.md"#,
    "fails closed if required handle remains placeholder")]
fn a_row_comes_out_whole(#[case] id: &str, #[case] template: &str, #[case] purpose: &str) {
    let Some(parsed) = read("dev_full-m3", "M3", "dev_full") else {
        return;
    };
    let row = parsed.plan.rows.iter().find(|row| row.id == id).unwrap();
    assert_eq!((row.template.as_str(), row.purpose.as_str(), row.is_prose), (template, purpose, false));
}

#[test]
fn prose_is_told_from_commands_and_keeps_its_leading_code() {
    let Some(parsed) = read("dev_full-m3", "M3", "dev_full") else {
        return;
    };
    let rows = &parsed.plan.rows;
    let row = |id: &str| rows.iter().find(|row| row.id.starts_with(id)).unwrap();
    assert!(row("M3D-V5").is_prose);
    assert_eq!(
        row("M3D-V5").leading_code.as_deref(),
        Some(
            "aws stepfunctions list-executions --state-machine-arn <resolved_arn> --status-filter RUNNING --max-results 100 --region eu-west-2"
        )
    );
    assert_eq!(row("M3F-V1").leading_code.as_deref(), Some("Test-Path"));
    assert_eq!(row("M3E-V2").leading_code, None);
    assert_eq!(rows.iter().filter(|row| row.is_prose).count(), 21);
    assert_eq!(row("M3B-V2").lane, "M3.B");
}

#[test]
fn lanes_laws_contracts_and_ids_of_dev_full() {
    let Some(parsed) = read("dev_full-m3", "M3", "dev_full") else {
        return;
    };
    let plan = &parsed.plan;
    let lanes: Vec<&str> = plan.lanes.iter().map(|lane| lane.id.as_str()).collect();
    assert_eq!(lanes, ["M3.A", "M3.B", "M3.C", "M3.D", "M3.E", "M3.F", "M3.G", "M3.H", "M3.I", "M3.J"]);
    let lane = plan.lanes.iter().find(|lane| lane.id == "M3.B").unwrap();
    assert_eq!((lane.title.as_str(), lane.tasks.len()), ("Run Identity Generation Contract", 5));
    assert_eq!(lane.goal, ["generate deterministic run identity with collision protection."]);
    let tasks = &plan.lanes.first().unwrap().tasks;
    assert_eq!(tasks.iter().map(|task| task.details.len()).collect::<Vec<_>>(), [9, 4, 3, 0]);

    let law = plan.laws.iter().find(|law| law.name == "Write-once law").unwrap();
    assert_eq!((law.lane.as_deref(), law.clauses.len(), law.place.line), (Some("M3.E"), 2, 592));

    let contract = plan.contracts.iter().find(|contract| contract.lane.as_deref() == Some("M3.E")).unwrap();
    let files: Vec<&str> = contract.files.iter().map(|file| file.name.as_str()).collect();
    assert_eq!(
        files,
        [
            "m3e_run_json_write_receipt.json",
            "m3e_run_header_write_receipt.json",
            "m3e_integrity_readback_receipts.json",
            "m3e_execution_summary.json",
        ]
    );
    let fields: Vec<&str> = contract.minimum_fields_of("m3e_run_json_write_receipt.json").collect();
    assert_eq!(fields.len(), 9);
    assert!(fields.contains(&"write_once_guard_pass"));

    let ids: Vec<&str> = plan.execution_ids.iter().filter(|id| id.authoritative).map(|id| id.id.as_str()).collect();
    assert_eq!(
        ids,
        [
            "m3a_20260223T174307Z",
            "m3b_20260223T184232Z",
            "m3c_20260223T185958Z",
            "m3d_20260223T191338Z",
            "m3e_20260223T223411Z",
            "m3f_20260223T224855Z",
            "m3g_20260223T225607Z",
        ]
    );
}

#[test]
fn claims_define_nothing_and_the_taxonomy_does() {
    let Some(parsed) = read("dev_full-m3", "M3", "dev_full") else {
        return;
    };
    let plan = &parsed.plan;
    let claims: Vec<(&str, usize)> =
        plan.claims.iter().map(|claim| (claim.codes.first().unwrap().as_str(), claim.place.line)).collect();
    assert_eq!(claims, [("M3-B0", 60), ("M3-B0.1", 61), ("M3H-B4", 986)]);
    let defined = plan.code("M3-B0.1").unwrap();
    assert_eq!((defined.place.line, defined.lane.as_deref()), (1020, None));
    assert_eq!(plan.code("M3E-B3").unwrap().meaning, "write-once guard violation (existing key detected).");
    let strays = [60, 61, 179, 180, 204, 205, 540, 541, 986];
    assert!(plan.codes.iter().all(|code| !strays.contains(&code.place.line)));
}

#[test]
fn the_register_of_dev_min_lists_one_open_code() {
    let Some(parsed) = read("dev_min-m3", "M3", "dev_min") else {
        return;
    };
    let plan = &parsed.plan;
    let [register] = plan.registers.as_slice() else { panic!("{:?}", plan.registers) };
    assert!(register.must_be_empty && register.resolved.is_empty());
    let [entry] = register.open.as_slice() else { panic!("{:?}", register.open) };
    assert_eq!((entry.codes.as_slice(), entry.status.as_str()), (["M3A-B1".to_owned()].as_slice(), "open"));
    assert_eq!((entry.impacted.as_slice(), entry.closure_criteria.len()), (["M3.A".to_owned()].as_slice(), 2));
    let code = plan.code("M3A-B1").unwrap();
    assert_eq!((code.origin, code.lane.as_deref()), (CodeOrigin::Register, Some("M3.A")));
    assert!(code.meaning.starts_with("`SCENARIO_EQUIVALENCE_KEY_INPUT` is still placeholder"), "{}", code.meaning);
    assert_eq!(plan.claims.first().unwrap().place.line, 178);
    let names: Vec<&str> = plan.predicates.iter().map(|predicate| predicate.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "handles_closed",
            "run_id_collision_free",
            "digest_reproducible",
            "run_json_durable",
            "runtime_scope_export_ready",
        ]
    );
    let blocked: Vec<&str> =
        plan.matrices.iter().filter(|row| row.blocker.is_some()).map(|row| row.handle.as_str()).collect();
    assert_eq!((plan.matrices.len(), blocked), (18, vec!["SCENARIO_EQUIVALENCE_KEY_INPUT"]));
    let files: Vec<&str> = plan.contracts.iter().flat_map(|c| &c.files).map(|file| file.name.as_str()).collect();
    assert_eq!(files, ["run.json", "run_started.json", "m3_run_pinning_snapshot.json", "m4_handoff_pack.json"]);
}

#[test]
fn registers_that_are_empty_and_entries_with_two_codes() {
    let Some(m4) = read("dev_min-m4", "M4", "dev_min") else {
        return;
    };
    let register = m4.plan.registers.first().unwrap();
    assert_eq!((register.open.len(), register.resolved.len()), (0, 0));
    let m3 = read("dev_min-m4", "M3", "dev_min").unwrap().plan;
    let codes: Vec<&[String]> =
        m3.registers.first().unwrap().resolved.iter().map(|entry| entry.codes.as_slice()).collect();
    assert_eq!(
        codes,
        [&["M3A-B1".to_owned()][..], &["M3D-B4".to_owned()], &["M3E-B3".to_owned(), "M3E-B6".to_owned()]]
    );
    let fields = |file: &str| {
        m3.contracts.iter().flat_map(|contract| contract.minimum_fields_of(file)).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(fields("m3_b_run_id_generation_snapshot.json").len(), 7);
    assert_eq!(fields("m3_c_digest_snapshot.json").len(), 8);
    let pack = m3.task_fields.iter().find(|task| task.lane.as_deref() == Some("M3.G")).unwrap();
    assert_eq!((pack.fields.len(), pack.others.len()), (5, 2));
}

#[rstest]
#[case("dev_min-m3", "M3", "dev_min", 9, Some("runs/dev_substrate/m2_j/20260213T205715Z/m3_handoff_pack.json"))]
#[case(
    "dev_full-m3",
    "M3",
    "dev_full",
    8,
    Some("runs/dev_substrate/dev_full/m2/m2j_20260223T061612Z/m2j_m3_entry_readiness_receipt.json")
)]
#[case("dev_min-plan", MASTER, "dev_min", 4, None)]
fn authority_inputs_are_told_apart(
    #[case] repository: &str,
    #[case] phase: &str,
    #[case] track: &str,
    #[case] count: usize,
    #[case] handoff: Option<&str>,
) {
    let Some(parsed) = read(repository, phase, track) else {
        return;
    };
    let inputs = &parsed.plan.authority;
    assert_eq!(inputs.len(), count);
    let of = |kind: AuthorityKind| inputs.iter().filter(|input| input.kind == kind).collect::<Vec<_>>();
    assert_eq!((of(AuthorityKind::Registry).len(), of(AuthorityKind::Runbook).len()), (1, 1));
    assert!(of(AuthorityKind::Registry).iter().all(|input| input.rank == AuthorityRank::Primary));
    let handoffs: Vec<Option<&str>> = of(AuthorityKind::Handoff).iter().map(|input| input.path.to_str()).collect();
    assert_eq!(handoffs.first().copied().flatten(), handoff);
}

#[test]
fn cases_are_named_as_designed() {
    let Some(full) = read("dev_full-m3", "M3", "dev_full") else {
        return;
    };
    let mut names: Vec<String> = case_names(&full.plan).unwrap().into_iter().map(|case| case.name).collect();
    let master = read("dev_min-plan", MASTER, "dev_min").unwrap();
    names.extend(case_names(&master.plan).unwrap().into_iter().map(|case| case.name));
    for expected in [
        "dev_full::M3.B::dod-2::collision_probes_are_evidenced",
        "dev_full::M3.B::M3B-V2-COLLISION-PROBE",
        "dev_full::M3::checklist-4::m3_d_complete",
        "dev_min::M1::progress-2::m1_b_entrypoint_matrix_completion_complete",
        "dev_min::M1::dod-5::m1_execution_handoff_statement_is_prepared_for_build_go_pass",
    ] {
        assert!(names.iter().any(|name| name == expected), "{expected} is not among {names:#?}");
    }
}

#[test]
fn labels_that_markdown_swallows_still_count() {
    let Some(master) = read("dev_min-plan", MASTER, "dev_min") else {
        return;
    };
    // `DoD summary:` follows `- M1 is DONE.` without an empty line between.
    let of = |phase: &str| {
        let list = &master.plan.requirements_without_cases;
        list.iter().filter(|requirement| requirement.scope.as_deref() == Some(phase)).count()
    };
    assert_eq!((of("M1"), of("M2"), of("M6")), (3, 6, 5));
    let kinds = |kind: BoxKind| master.plan.boxes.iter().filter(|asked| asked.kind == kind).count();
    assert_eq!((kinds(BoxKind::Dod), kinds(BoxKind::Progress)), (11, 9));
}

#[test]
fn no_real_plan_has_an_error_and_names_are_unique() {
    for (path, parsed) in all() {
        let errors: Vec<_> = lint(&parsed).into_iter().filter(|one| one.severity == Severity::Error).collect();
        assert!(errors.is_empty(), "{}: {errors:#?}", path.display());
        assert!(!parsed.plan.boxes.is_empty());
    }
}

#[test]
fn line_endings_change_nothing_but_bytes() {
    for (path, parsed) in all() {
        let text = parsed.plan.source.text.replace("\r\n", "\n");
        for ending in ["\n", "\r\n", "\r"] {
            let source = Source::new(parsed.plan.source.path.as_ref(), text.replace('\n', ending));
            let mut again = parse(source, &parsed.plan.track);
            again.plan.source = parsed.plan.source.clone();
            for diagnostic in &mut again.doubts {
                diagnostic.line = diagnostic.line.trim_end().to_owned();
            }
            assert_eq!(again, parsed, "{}", path.display());
        }
    }
}

#[test]
fn doubts_of_real_plans_are_true() {
    let Some(m3) = read("dev_min-m4", "M3", "dev_min") else {
        return;
    };
    let doubts: Vec<(usize, String)> = lint(&m3).into_iter().map(|one| (one.place.line, one.message)).collect();
    assert_eq!(doubts, [(788, "`M3-B6` is spoken of and defined nowhere in this plan".to_owned())]);
    let full = read("dev_full-m3", "M3", "dev_full").unwrap();
    assert_eq!(lint(&full), []);
}
