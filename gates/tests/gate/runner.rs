//! Lists, filters, threads and clocks: a harness as cargo's own, and the same bytes each time.

use std::collections::BTreeSet;

use rstest::rstest;
use serde_json::Value;

use crate::ground::{CLOCK, CLOCK_ID, Gate, Kept, Ran, json, tree};

const ID_FORMAT: &str = "dev_min::M3.B::dod-1::one_pinned_deterministic_format_governs_platform_run_id";

fn partial(ran: &Ran) -> Value {
    let line = ran.line();
    assert_eq!(line.verdict, "PARTIAL", "{ran:#?}");
    assert!(!ran.said().contains("ADVANCE_TO_M4 "), "{ran:#?}");
    json(&line.folder().join("findings.json"))
}

fn lanes_that_ran(findings: &Value) -> Vec<&str> {
    let lanes = findings["lanes"].as_array().unwrap();
    lanes.iter().filter(|l| l["state"] != "not_selected").map(|l| l["lane"].as_str().unwrap()).collect()
}

#[rstest]
#[case::plain(&["--list"])]
#[case::terse(&["--list", "--format", "terse"])]
fn a_list_names_every_case_and_needs_no_world(#[case] words: &[&str]) {
    let gate = Gate::new().args(words).var("PHASEGATE_WORLD", "/nonexistent/world");
    let ran = gate.run();
    let names = ran.listed();
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    assert_eq!(names.len(), 35);
    assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), 35, "names are unique");
    assert!(names.contains(&ID_FORMAT), "{names:?}");
    assert!(!gate.out().exists(), "a list wrote something");
}

#[test]
fn a_list_writes_nothing_into_a_world() {
    let empty = tempfile::TempDir::new().unwrap();
    let world = empty.path().join("world");
    assert_eq!(Gate::new().args(&["--list"]).world_dir(&world).run().code, 0);
    assert!(!world.exists());
}

#[rstest]
#[case::by_part(&["--list", "M3.B"], 3)]
#[case::by_name(&["--list", "--exact", ID_FORMAT], 1)]
#[case::exact_is_no_part(&["--list", "--exact", "M3.B"], 0)]
#[case::without_a_part(&["--list", "--skip", "checklist"], 28)]
#[case::ignored(&["--list", "--ignored"], 0)]
fn a_list_is_filtered_as_cargos(#[case] words: &[&str], #[case] count: usize) {
    let ran = Gate::new().args(words).run();
    assert_eq!((ran.code, ran.listed().len()), (0, count), "{ran:#?}");
}

#[rstest]
#[case::no_such_name(&["nothing_is_called_so"])]
#[case::ignored(&["--ignored"])]
#[case::benchmarks(&["--bench"])]
fn what_selects_nothing_says_so_and_claims_nothing(#[case] words: &[&str]) {
    for ci in ["", "1"] {
        let gate = Gate::new().args(words).var("CI", ci);
        let ran = gate.run();
        assert_eq!(ran.code, 0, "{ran:#?}");
        assert!(ran.stderr.contains("0 of 35 selected, no verdict"), "{ran:#?}");
        assert!(ran.cases().is_empty() && !ran.said().contains("ADVANCE"), "{ran:#?}");
        assert!(!gate.out().exists(), "it wrote something");
    }
}

#[test]
fn a_filter_of_one_lane_runs_it_and_what_it_needs_and_nothing_more() {
    let world = Kept::seeded();
    let gate = Gate::new().args(&["M3.B"]).world_dir(world.dir()).clock(CLOCK);
    let ran = gate.run();
    assert_eq!(ran.code, 0, "{ran:#?}");
    assert_eq!(ran.cases().len(), 3);
    let findings = partial(&ran);
    assert_eq!(lanes_that_ran(&findings), ["M3.A", "M3.B"]);
    assert!(
        !world.inventory().keys().any(|(_, key)| key.contains(&format!("platform_{CLOCK_ID}"))),
        "a run was pinned"
    );
    assert!(ran.stdout.contains("3 of 34 cases were judged: this is no verdict"), "{ran:#?}");
}

#[test]
fn the_phases_own_case_asks_for_account_and_entry() {
    let gate = Gate::new().args(&["--exact", "dev_min::M3::integrity"]).clock(CLOCK);
    let ran = gate.run();
    let findings = partial(&ran);
    let met = |check: &str| {
        findings["findings"].as_array().unwrap().iter().any(|f| f["check"] == check && f["outcome"] == "met")
    };
    assert!(met("phase.account") && met("phase.register_empty") && met("handoff.readable"), "{findings:#}");
}

#[test]
fn a_filtered_run_that_finds_fault_holds() {
    let copy = crate::ground::OwnCopy::of_fixture().remove(crate::ground::HANDOFF);
    let ran = Gate::new().args(&["M3.A"]).repo(copy.path()).clock(CLOCK).run();
    assert_eq!((ran.code, ran.line().verdict.as_str()), (1, "HOLD_M3"), "{ran:#?}");
}

#[test]
fn threads_folders_and_repeats_change_no_byte() {
    let few = Gate::new().args(&["--test-threads=1"]).clock(CLOCK);
    let many = Gate::new().args(&["--test-threads=64"]).clock(CLOCK);
    let plain = Gate::new().clock(CLOCK);
    let trees: Vec<_> = [&few, &many, &plain]
        .map(|gate| {
            assert_eq!(gate.run().code, 0);
            tree(&gate.out())
        })
        .into_iter()
        .collect();
    assert!(trees[0].len() > 20, "{:?}", trees[0].keys());
    for other in &trees[1..] {
        let differs: Vec<_> =
            trees[0].iter().filter(|(path, bytes)| other.get(*path) != Some(*bytes)).map(|(p, _)| p).collect();
        assert!(differs.is_empty() && other.len() == trees[0].len(), "{differs:?}");
    }
}

#[test]
fn an_execution_id_is_used_once() {
    let gate = Gate::new().clock(CLOCK);
    assert_eq!(gate.run().code, 0);
    let before = tree(&gate.out());
    let again = gate.run();
    assert_eq!(again.code, 5, "{again:#?}");
    assert!(again.stderr.contains("PG-M3-execution_id_taken"), "{again:#?}");
    assert!(
        again.stderr.contains("PHASEGATE_CLOCK") && again.stderr.contains("PHASEGATE_OUT"),
        "what to do: {again:#?}"
    );
    assert!(!again.said().contains("ADVANCE"), "{again:#?}");
    assert_eq!(tree(&gate.out()), before, "something changed");
}

#[test]
fn without_a_set_clock_the_next_second_is_taken() {
    let gate = Gate::new();
    let folders: Vec<String> = (0..2)
        .map(|_| {
            let ran = gate.run();
            assert_eq!(ran.code, 0, "{ran:#?}");
            ran.line().folder().file_name().unwrap().to_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(folders, ["m3_20260213T214223Z", "m3_20260213T214224Z"]);
}
