//! dev_full beside dev_min: both tracks in one run, and the real plan.

use std::path::Path;

use serde_json::Value;

use crate::ground::{Gate, OwnCopy, Ran, both_tracks, json, real, tree, workspace};

const ID: &str = "20260223T174307Z";
const REGISTRY: &str = "docs/model_spec/platform/migration_to_dev/dev_full_handles.registry.v0.md";

/// The verdict line of a track.
fn line_of<'a>(ran: &'a Ran, track: &str) -> &'a str {
    let begin = format!("{track} M3 ");
    ran.stdout
        .lines()
        .rfind(|line| line.starts_with(&begin) && line.contains(" basis="))
        .unwrap_or_else(|| panic!("{ran:#?}"))
}

fn folder(gate: &Gate) -> std::path::PathBuf {
    gate.out().join(format!("dev_full/m3/m3_{ID}"))
}

fn lane_file(gate: &Gate, lane: &str, name: &str) -> Value {
    json(&folder(gate).join(format!("{lane}_{ID}/{name}")))
}

#[test]
fn both_tracks_advance_in_one_run_and_the_checkout_stays_as_it_was() {
    let checkout = tree(&workspace().join("fixtures"));
    let gate = Gate::new().repo(&both_tracks());
    let ran = gate.run();
    assert_eq!(ran.code, 0, "{ran:#?}");
    let passed = "ADVANCE_TO_M4 basis=rehearsal roots=- entailed=- cases=";
    assert!(line_of(&ran, "dev_min").contains(&format!("{passed}34 passed=34 ")), "{ran:#?}");
    assert!(line_of(&ran, "dev_full").contains(&format!("{passed}90 passed=90 ")), "{ran:#?}");
    assert_eq!(ran.cases().len(), 35 + 91);
    assert_eq!(tree(&workspace().join("fixtures")), checkout, "the checkout was touched");
    notes_stand_in_copies_alone(&gate);
    marker_and_summary_say_what_the_verdict_says(&gate);
}

/// One entry at the end of each document, and not one byte before it changed.
fn notes_stand_in_copies_alone(gate: &Gate) {
    let closure = folder(gate).join("closure");
    let copies = tree(&closure);
    assert_eq!(copies.len(), 3, "{:?}", copies.keys());
    for (path, bytes) in copies {
        let original = std::fs::read(both_tracks().join(&path)).unwrap();
        assert!(bytes.starts_with(&original), "{path}");
        let entry = String::from_utf8(bytes[original.len()..].to_vec()).unwrap();
        assert_eq!(entry.matches(&format!("m3_{ID} (rehearsal)")).count(), 1, "{path}: {entry}");
    }
}

fn marker_and_summary_say_what_the_verdict_says(gate: &Gate) {
    let verdict = json(&folder(gate).join("verdict.json"));
    assert_eq!(verdict["verdict"], "ADVANCE_TO_M4");
    // Boxes that ask for something written rest on what is written, not on what was observed.
    let by_basis = verdict["cases"]["passed_by_basis"].as_object().unwrap();
    assert_eq!(by_basis.values().map(|count| count.as_u64().unwrap()).sum::<u64>(), 90, "{by_basis:?}");
    assert!(by_basis["documented"].as_u64() > Some(0) && by_basis["refused"].as_u64() > Some(0), "{by_basis:?}");
    let summary = lane_file(gate, "m3j", "m3_execution_summary.json");
    let marker = lane_file(gate, "m3j", "m4_entry_readiness_receipt.json");
    assert_eq!((&summary["p1_verdict"], &summary["not_a_verdict"]), (&"ADVANCE_TO_M4".into(), &true.into()));
    assert_eq!((&marker["m4_entry_ready"], &marker["not_a_verdict"]), (&true.into(), &true.into()));
    for field in ["platform_run_id", "scenario_run_id", "config_digest"] {
        assert_eq!(marker[field], lane_file(gate, "m3c", "m3c_run_config_digest_snapshot.json")[field]);
    }
}

#[test]
fn a_preflight_would_advance_and_leaves_nothing_in_the_store() {
    let gate = Gate::new().repo(&both_tracks()).var("PHASEGATE_MODE", "preflight").args(&["dev_full"]);
    let ran = gate.run();
    assert_eq!(ran.code, 0, "{ran:#?}");
    assert!(line_of(&ran, "dev_full").contains("WOULD_ADVANCE basis=rehearsal roots=- "), "{ran:#?}");
    let verdict = json(&folder(&gate).join("verdict.json"));
    assert!(verdict["files"].as_array().unwrap().iter().all(|file| file["uri"].is_null()), "{verdict:#}");
}

/// The digest that the real run recorded comes out of the real registry.
#[test]
fn the_real_plan_holds_for_its_bill_alone_and_its_digest_is_the_recorded_one() {
    let Some(repository) = real("dev_full-m3") else { return };
    let untouched = tree(&repository);
    let gate = Gate::new().repo(&repository);
    let ran = gate.run();
    assert_eq!(ran.code, 1, "{ran:#?}");
    assert!(
        line_of(&ran, "dev_full").contains("HOLD_M3 basis=rehearsal roots=M3H-B4 entailed=M3-B8 cases=90 "),
        "{ran:#?}"
    );
    for lane in ["M3.A", "M3.B", "M3.C", "M3.D", "M3.E", "M3.F", "M3.G"] {
        assert!(ran.stdout.lines().any(|l| l.trim_start().starts_with(&format!("{lane}  closed"))), "{lane}: {ran:#?}");
    }
    let snapshot = lane_file(&gate, "m3c", "m3c_run_config_digest_snapshot.json");
    let recorded = recorded_digest(&repository);
    assert_eq!((&snapshot["config_digest"], &snapshot["recompute_digest"]), (&recorded, &recorded), "{snapshot:#}");
    // The hold is rolled up whole, without marker and notes.
    assert_eq!(lane_file(&gate, "m3j", "m3_execution_summary.json")["p1_verdict"], "HOLD_M3");
    assert!(!folder(&gate).join(format!("m3j_{ID}/m4_entry_readiness_receipt.json")).exists());
    assert!(!folder(&gate).join("closure").exists());
    assert_eq!(tree(&repository), untouched, "the repository was touched");
}

/// As the real plan's record of M3.C has it.
fn recorded_digest(repository: &Path) -> Value {
    let plan = "docs/model_spec/platform/implementation_maps/dev_substrate/dev_full/platform.M3.build_plan.md";
    let text = std::fs::read_to_string(repository.join(plan)).unwrap();
    let line = text.lines().find(|line| line.contains("`recompute_digest=")).unwrap();
    Value::from(line.split('=').nth(1).unwrap().trim_end_matches('`'))
}

#[test]
fn with_the_bill_pinned_the_real_plan_advances() {
    let Some(repository) = real("dev_full-m3") else { return };
    let pinned = "* `COST_CAPTURE_SCOPE = \"aws_plus_databricks\"`";
    let uri = "s3://fraud-platform-dev-full-artifacts/billing/databricks/2026-02/month_to_date.json";
    let copy = OwnCopy::of(&repository).edit(
        REGISTRY,
        pinned,
        &format!("{pinned}\n* `M3H_DATABRICKS_COST_SOURCE_URI = \"{uri}\"`"),
    );
    let ran = Gate::new().repo(copy.path()).run();
    assert_eq!(ran.code, 0, "{ran:#?}");
    assert!(line_of(&ran, "dev_full").contains("ADVANCE_TO_M4 basis=rehearsal roots=- entailed=- cases=90 passed=90 "));
}
