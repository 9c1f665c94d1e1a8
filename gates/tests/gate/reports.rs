//! The report files: what other programs read.

use std::path::Path;

use rstest::rstest;
use support::run::outcome::PhaseOutcome;

use crate::ground::{CLOCK, Gate, HANDOFF, OwnCopy, json};

/// A hold, and the folder that it left.
fn held() -> (Gate, std::path::PathBuf) {
    let copy = OwnCopy::of_fixture().edit(HANDOFF, "ADVANCE_TO_M3", "HOLD_M2");
    let gate = Gate::new().repo(copy.path()).clock(CLOCK);
    let ran = gate.run();
    assert_eq!(ran.code, 1, "{ran:#?}");
    let folder = ran.line().folder().to_owned();
    (gate, folder)
}

struct Junit {
    tests: usize,
    failures: usize,
    failed: Vec<String>,
    said: String,
}

fn junit(folder: &Path) -> Junit {
    let text = std::fs::read_to_string(folder.join("junit.xml")).unwrap();
    let document = roxmltree::Document::parse(&text).unwrap();
    let suite = document.descendants().find(|node| node.has_tag_name("testsuite")).unwrap();
    let number = |name: &str| suite.attribute(name).unwrap().parse::<usize>().unwrap();
    let cases: Vec<_> = document.descendants().filter(|node| node.has_tag_name("testcase")).collect();
    assert_eq!(cases.len(), number("tests"));
    let failed = cases
        .iter()
        .filter(|case| case.children().any(|child| child.has_tag_name("failure") || child.has_tag_name("error")))
        .map(|case| case.attribute("name").unwrap().to_owned())
        .collect();
    Junit { tests: cases.len(), failures: number("failures"), failed, said: text }
}

#[test]
fn junit_of_a_hold_fails_the_phase_and_every_case_that_did_not_pass() {
    let (_gate, folder) = held();
    let report = junit(&folder);
    let findings = json(&folder.join("findings.json"));
    let not_passed = findings["cases"].as_array().unwrap().iter().filter(|c| c["state"] != "passed");
    for case in not_passed {
        assert!(report.failed.iter().any(|name| case["name"] == name.as_str()), "{case:#}");
    }
    assert!(report.failed.contains(&"dev_min::M3::verdict".to_owned()), "{:?}", report.failed);
    assert_eq!(report.failed.len(), report.failures);
    assert!(report.tests > 34 && report.said.contains("PG-M3.A-handoff_advances") && report.said.contains("rehearsal"));
}

#[rstest]
#[case::advance(&[], 0)]
#[case::partial(&["M3.A"], 1)]
fn junit_is_green_for_an_advance_only(#[case] words: &[&str], #[case] failures: usize) {
    let gate = Gate::new().args(words).clock(CLOCK);
    let report = junit(gate.run().line().folder());
    assert_eq!((report.failures, report.failed.len()), (failures, failures), "{:?}", report.failed);
}

#[test]
fn the_register_says_what_each_code_means_where_it_was_seen_and_what_closes_it() {
    let (_gate, folder) = held();
    let register = json(&folder.join("blocker_register.json"));
    let blockers = register["blockers"].as_array().unwrap();
    assert_eq!(register["verdict"], "HOLD_M3");
    assert_eq!(blockers.len(), 1, "{blockers:#?}");
    let blocker = &blockers[0];
    assert_eq!((&blocker["code"], &blocker["kind"]), (&"PG-M3.A-handoff_advances".into(), &"root".into()));
    let text = |value: &serde_json::Value| !value.as_str().unwrap().trim().is_empty();
    assert!(text(&blocker["meaning"]) && blocker["derived"] == true, "{blocker:#}");
    let observed = &blocker["observed"][0];
    assert!(observed["observed"].as_str().unwrap().contains("HOLD_M2") && observed["lane"] == "M3.A", "{observed:#}");
    assert!(text(&blocker["closure_criteria"][0]["next"]), "{blocker:#}");
    assert!(!blocker["evidence"].as_array().unwrap().is_empty(), "{blocker:#}");
    assert_eq!(blocker["blocked_lanes"].as_array().unwrap().len(), 7, "{blocker:#}");
}

#[test]
fn a_code_of_the_plan_has_its_meaning_and_line() {
    let copy = OwnCopy::of_fixture().edit(
        crate::ground::REGISTRY,
        "SCENARIO_EQUIVALENCE_KEY_INPUT = \"sha256(canonical_json_v1)\"",
        "SCENARIO_EQUIVALENCE_KEY_INPUT = \"<PIN_AT_P1_PHASE_ENTRY>\"",
    );
    let gate = Gate::new().repo(copy.path()).clock(CLOCK);
    let line = gate.run().line();
    assert_eq!(line.roots, ["M3-B1"]);
    let register = json(&line.folder().join("blocker_register.json"));
    let blocker = &register["blockers"][0];
    let plan = std::fs::read_to_string(copy.path().join(crate::ground::PLAN)).unwrap();
    let (number, defined) = plan.lines().enumerate().find(|(_, l)| l.contains("- `M3-B1`:")).unwrap();
    assert_eq!(blocker["defined_at"], format!("{}:{}", crate::ground::PLAN, number + 1));
    assert!(defined.contains(blocker["meaning"].as_str().unwrap()), "{blocker:#}");
}

#[test]
fn the_findings_are_the_outcome() {
    let (_gate, folder) = held();
    let bytes = std::fs::read(folder.join("findings.json")).unwrap();
    let outcome: PhaseOutcome = serde_json::from_slice(&bytes).unwrap();
    assert_eq!((outcome.schema.as_str(), outcome.verdict().as_str()), (PhaseOutcome::SCHEMA, "HOLD_M3"));
    let again: serde_json::Value = serde_json::to_value(&outcome).unwrap();
    assert_eq!(again, serde_json::from_slice::<serde_json::Value>(&bytes).unwrap());
}
