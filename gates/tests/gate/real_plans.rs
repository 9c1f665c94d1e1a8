//! The real plans: what they hold for, and that nothing was written before they may execute.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::Value;

use crate::ground::{CLOCK, Gate, Kept, OwnCopy, PLAN, REGISTRY, json, real, tree};

const PLACEHOLDER: &str = "SCENARIO_EQUIVALENCE_KEY_INPUT = \"<PIN_AT_P1_PHASE_ENTRY>\"";
const PINNED: &str = "SCENARIO_EQUIVALENCE_KEY_INPUT = \"sha256(canonical_json_v1)\"";

fn findings_of<'a>(findings: &'a Value, check: &str) -> &'a Value {
    let all = findings["findings"].as_array().unwrap();
    all.iter().find(|f| f["check"] == check).unwrap_or_else(|| panic!("no finding of {check}"))
}

fn case_ending<'a>(findings: &'a Value, end: &str) -> &'a Value {
    let all = findings["cases"].as_array().unwrap();
    all.iter().find(|c| c["name"].as_str().unwrap().ends_with(end)).unwrap_or_else(|| panic!("no case {end}"))
}

#[test]
fn dev_mins_plan_holds_by_its_register_and_writes_nothing() {
    let Some(repository) = real("dev_min-m3") else { return };
    let (world, before) = seeded();
    let untouched = tree(&repository);
    let gate = Gate::new().repo(&repository).world_dir(world.dir()).clock(CLOCK);
    let ran = gate.run();
    let line = ran.line();
    assert_eq!(ran.code, 1, "{ran:#?}");
    assert_eq!(line.verdict, "HOLD_M3");
    assert_eq!((line.roots.join(","), line.entailed.join(",")), ("M3A-B1".to_owned(), "M3-B1".to_owned()));
    assert_eq!(line.cases, 34);
    assert_eq!(ran.cases().len(), 35, "34 and the phase's own");
    assert_eq!(world.inventory(), before, "something was written to S3");
    assert_eq!(tree(&repository), untouched, "the repository was touched");
    let verdict = json(&line.verdict_file);
    assert!(verdict["files"].as_array().unwrap().iter().all(|file| file["uri"].is_null()), "{verdict:#}");

    // The documents were looked at all the same: some checks are met, and the placeholder is seen.
    let findings = json(&line.folder().join("findings.json"));
    assert_eq!(case_ending(&findings, "M3A_V2_M2_HANDOFF")["state"], "passed");
    assert_eq!(case_ending(&findings, "M3A_V6_PLACEHOLDER_GUARD")["state"], "failed");
    assert!(line.passed > 0 && line.passed < 34, "{line:?}");
    let asked_of_aws = findings_of(&findings, "evidence.bucket_reachable");
    assert_eq!(asked_of_aws["outcome"], "blocked", "{asked_of_aws:#}");
    assert!(findings["lanes"].as_array().unwrap().iter().all(|lane| lane["state"] == "blocked"));
    assert!(ran.stdout.contains("dev_min_handles.registry.v0.md:110"), "where the placeholder stands: {ran:#?}");
}

#[test]
fn the_placeholder_pinned_makes_the_entry_ready_to_close_and_still_holds() {
    let Some(repository) = real("dev_min-m3") else { return };
    let copy = OwnCopy::of(&repository).edit(REGISTRY, PLACEHOLDER, PINNED);
    let (world, before) = seeded();
    let gate = Gate::new().repo(copy.path()).world_dir(world.dir()).clock(CLOCK);
    let ran = gate.run();
    let line = ran.line();
    assert_eq!((ran.code, line.verdict.as_str()), (1, "HOLD_M3"), "{ran:#?}");
    assert_eq!((line.roots.join(","), line.entailed.len()), ("M3A-B1".to_owned(), 0));
    assert_eq!(world.inventory(), before, "something was written to S3");
    assert!(ran.stdout.contains("ready to close: M3A-B1"), "{ran:#?}");
    let register = json(&line.folder().join("blocker_register.json"));
    let entries = register["plan_register"].as_array().unwrap();
    assert!(!entries.is_empty() && entries.iter().all(|e| e["ready_to_close"] == true), "{entries:#?}");
}

#[test]
fn with_the_register_emptied_too_it_advances() {
    let Some(repository) = real("dev_min-m3") else { return };
    let copy = OwnCopy::of(&repository).edit(REGISTRY, PLACEHOLDER, PINNED).replace_between(
        PLAN,
        "## 8.1) Unresolved Blocker Register (Must Be Empty Before M3 Execution)",
        "Resolved blockers:",
        "\nCurrent blockers:\n1. None.\n\n",
    );
    let gate = Gate::new().repo(copy.path()).clock(CLOCK);
    let ran = gate.run();
    let line = ran.line();
    assert_eq!((ran.code, line.verdict.as_str()), (0, "ADVANCE_TO_M4"), "{ran:#?}");
    assert_eq!((line.roots.len(), line.cases, line.passed), (0, 34, 34));
    // Section "M3.A Planning Status" still calls the blocker current: measured, gone, and a note only.
    assert!(ran.stdout.contains("still calls M3A-B1 open, and every check behind it is met"), "{ran:#?}");
    assert_eq!(json(&line.folder().join("blocker_register.json"))["plan_register"], Value::Array(Vec::new()));
    assert!(!ran.stdout.contains("it holds the gate"), "a claim that is gone holds nothing: {ran:#?}");
}

#[test]
fn a_claim_of_a_blocker_that_no_check_measures_stays_open() {
    let claim = "2. Current blockers:\n   - None.";
    let copy = OwnCopy::of_fixture().edit(PLAN, claim, "2. Current blockers:\n   - `M3A-B9`: the lake is frozen.");
    let (world, before) = seeded();
    let ran = Gate::new().repo(copy.path()).world_dir(world.dir()).clock(CLOCK).run();
    let line = ran.line();
    assert_eq!((ran.code, line.verdict.as_str()), (1, "HOLD_M3"), "{ran:#?}");
    assert_eq!(line.roots, ["M3A-B9"], "{ran:#?}");
    assert_eq!(world.inventory(), before, "something was written to S3");
}

#[test]
fn the_later_plan_lists_76_cases_and_holds_by_codes_that_it_lacks() {
    let Some(repository) = real("dev_min-m4") else { return };
    let listed = Gate::new().repo(&repository).args(&["--list", "--format", "terse"]).run();
    assert_eq!(listed.listed().len(), 76 + 1);
    let gate = Gate::new().repo(&repository).clock(CLOCK);
    let ran = gate.run();
    let line = ran.line();
    assert_eq!((ran.code, line.verdict.as_str(), line.cases), (1, "HOLD_M3", 76), "{ran:#?}");
    assert!(!line.roots.is_empty() && line.roots.iter().all(|code| code.starts_with("PG-M3")), "{line:?}");
    let findings = json(&line.folder().join("findings.json"));
    let cases = findings["cases"].as_array().unwrap();
    let unbound: Vec<&Value> = cases.iter().filter(|c| c["state"] == "unbound").collect();
    assert!(unbound.iter().any(|c| c["kind"] == "row") && unbound.iter().any(|c| c["kind"] == "dod"));
    assert!(cases.iter().all(|c| ["passed", "failed", "unbound"].contains(&c["state"].as_str().unwrap())));
    // A row that is executed leaves an observation of its name. An unbound one was parsed, and not executed.
    let observed = observed_rows(line.folder());
    assert!(observed.contains("M3A_V2_M2_HANDOFF"), "{observed:?}");
    for case in unbound.iter().filter(|c| c["kind"] == "row") {
        let id = case["name"].as_str().unwrap().rsplit("::").next().unwrap();
        assert!(!observed.contains(id), "{id} was executed");
    }
    assert!(ran.stdout.contains("!! FALSE CLAIMS"), "{ran:#?}");
}

fn observed_rows(folder: &Path) -> BTreeSet<String> {
    let files = tree(&folder.join("observations"));
    let maps = files.into_values().map(|bytes| serde_json::from_slice::<BTreeMap<String, Value>>(&bytes).unwrap());
    maps.flat_map(BTreeMap::into_values).map(|observation| observation["name"].as_str().unwrap().to_owned()).collect()
}

fn seeded() -> (Kept, crate::ground::Inventory) {
    let world = Kept::seeded();
    let before = world.inventory();
    (world, before)
}
