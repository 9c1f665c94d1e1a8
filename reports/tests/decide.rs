//! The verdict: tables for what each kind of fact does, properties for what must never happen.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails it by a panic")]

#[path = "common/mod.rs"]
#[expect(dead_code, reason = "each test target uses its own part")]
mod common;

use std::collections::BTreeSet;
use std::sync::LazyLock;

use common::{blocked, definitions, entails, finding, predicates};
use phasegate_reports::Reports;
use proptest::prelude::*;
use rstest::rstest;
use support::run::finding::{Control, Finding, Outcome};
use support::run::outcome::{Decidable, Decision, Entails, Mode, Reporter, Spot, Verdict};

static DEFINITIONS: LazyLock<Vec<(String, String, Spot)>> = LazyLock::new(definitions);

fn decide<'a>(findings: &'a [Finding], change: impl FnOnce(&mut Decidable<'a>)) -> Decision {
    let mut facts = Decidable {
        phase: "M3",
        mode: Mode::Commit,
        whole: true,
        findings,
        predicates: &[],
        cases_pass: true,
        definitions: &DEFINITIONS,
        entails: &[],
    };
    change(&mut facts);
    Reports.decide(&facts)
}

fn met() -> Finding {
    finding("M3.A", "handles.closed", "M3-B1", Outcome::Met)
}

fn of(outcome: Outcome) -> Vec<Finding> {
    vec![met(), finding("M3.B", "run_id.free", "M3-B2", outcome)]
}

#[rstest]
#[case::met(of(Outcome::Met), Verdict::Advance, "")]
#[case::unmet(of(Outcome::Unmet), Verdict::Hold, "M3-B2")]
#[case::error(of(Outcome::Error), Verdict::Hold, "M3-B2")]
#[case::unsupported(of(Outcome::Unsupported), Verdict::Hold, "M3-B2")]
#[case::blocked_opens_no_code(vec![met(), blocked("M3.B", "run_id.free", "M3-B2", "M3-B1")], Verdict::Hold, "")]
#[case::nothing_was_judged(vec![], Verdict::Hold, "")]
#[case::a_control_that_passed(vec![Finding { control: Control::Passed, ..met() }], Verdict::Hold, "M3-B1")]
#[case::a_code_without_a_name(vec![finding("M3.B", "x.y", " ", Outcome::Unmet)], Verdict::Hold, "PG-M3.B-x.y")]
fn each_outcome(#[case] findings: Vec<Finding>, #[case] verdict: Verdict, #[case] roots: &str) {
    let decision = decide(&findings, |_| {});
    assert_eq!(decision.verdict, verdict);
    assert_eq!(codes(&decision), roots);
}

#[rstest]
#[case::commit(Mode::Commit, true, true, Outcome::Met, Verdict::Advance)]
#[case::preflight(Mode::Preflight, true, true, Outcome::Met, Verdict::WouldAdvance)]
#[case::filtered(Mode::Commit, false, true, Outcome::Met, Verdict::Partial)]
#[case::filtered_preflight(Mode::Preflight, false, true, Outcome::Met, Verdict::Partial)]
#[case::filtered_and_failing(Mode::Commit, false, true, Outcome::Unmet, Verdict::Hold)]
#[case::filtered_and_a_case_fails(Mode::Commit, false, false, Outcome::Met, Verdict::Hold)]
#[case::a_case_fails(Mode::Commit, true, false, Outcome::Met, Verdict::Hold)]
fn each_run(
    #[case] mode: Mode,
    #[case] whole: bool,
    #[case] cases_pass: bool,
    #[case] outcome: Outcome,
    #[case] verdict: Verdict,
) {
    let decision = decide(&of(outcome), |facts| {
        facts.mode = mode;
        facts.whole = whole;
        facts.cases_pass = cases_pass;
    });
    assert_eq!(decision.verdict, verdict);
}

const HANDLES: (&str, &str) = ("handles.closed", "M3.A");
const FREE: (&str, &str) = ("run_id.free", "M3.B");

#[rstest]
#[case::met(&[HANDLES, FREE], of(Outcome::Met), true, Verdict::Advance, Verdict::Partial)]
#[case::empty(&[], of(Outcome::Met), false, Verdict::Hold, Verdict::Hold)]
#[case::missing(&[HANDLES, ("none", "M3.A")], of(Outcome::Met), false, Verdict::Hold, Verdict::Partial)]
#[case::of_another_lane(&[("handles.closed", "M3.B")], of(Outcome::Met), false, Verdict::Hold, Verdict::Partial)]
#[case::unmet(&[FREE], of(Outcome::Unmet), false, Verdict::Hold, Verdict::Hold)]
#[case::met_and_unmet(&[HANDLES], vec![met(), finding("M3.A", "handles.closed", "M3-B1", Outcome::Error)], false, Verdict::Hold, Verdict::Hold)]
fn a_predicate_is_a_conjunction(
    #[case] checks: &[(&str, &str)],
    #[case] findings: Vec<Finding>,
    #[case] holds: bool,
    #[case] whole: Verdict,
    #[case] filtered: Verdict,
) {
    let predicates = predicates(&[("p", checks)]);
    for (asked, verdict) in [(true, whole), (false, filtered)] {
        let decision = decide(&findings, |facts| {
            facts.whole = asked;
            facts.predicates = &predicates;
        });
        assert_eq!(decision.predicates.get("p"), Some(&holds));
        assert_eq!(decision.verdict, verdict, "whole: {asked}");
    }
}

#[test]
fn a_code_tells_what_the_plan_says_and_all_its_causes() {
    let findings = [
        finding("M3.B", "run_id.form", "M3-B2", Outcome::Error),
        finding("M3.B", "run_id.free", "M3-B2", Outcome::Unmet),
        finding("M3.A", "handoff.readable", "PG-M3.A-handoff_readable", Outcome::Unmet),
    ];
    let decision = decide(&findings, |_| {});
    let [taken, handoff] = decision.roots.as_slice() else { panic!("{decision:?}") };
    assert_eq!(taken.code, "M3-B2");
    assert_eq!(taken.meaning, "the run id is taken, or has another form");
    assert_eq!(taken.defined_at.as_ref().map(ToString::to_string), Some(format!("{}:277", common::PLAN)));
    assert_eq!(taken.causes.iter().map(|c| c.check.as_str()).collect::<Vec<_>>(), ["run_id.form", "run_id.free"]);
    assert_eq!(taken.lanes, ["M3.B"]);
    assert!(!taken.derived);
    assert!(handoff.derived);
    assert!(handoff.meaning.contains("`handoff.readable` of M3.A"), "{}", handoff.meaning);
    assert_eq!(handoff.defined_at, None);
}

#[test]
fn an_entailed_code_names_its_roots_and_keeps_its_own_causes() {
    let findings = [
        finding("M3.A", "equivalence_key.pinned", "M3A-B1", Outcome::Unmet),
        finding("M3.A", "placeholder.guard", "M3-B1", Outcome::Unmet),
    ];
    let table = entails(&[("M3A-B1", "M3-B1", true), ("M3A-B1", "M3-B9", false)]);
    let decision = decide(&findings, |facts| facts.entails = &table);
    assert_eq!(codes(&decision), "M3A-B1");
    let [first, ninth] = decision.entailed.as_slice() else { panic!("{decision:?}") };
    assert_eq!((first.code.as_str(), first.entailed_by.as_slice()), ("M3-B1", ["M3A-B1".to_owned()].as_slice()));
    assert_eq!(first.causes.len(), 1);
    assert_eq!(ninth.code, "M3-B9");
    assert!(ninth.derived && ninth.causes.is_empty(), "{ninth:?}");
    assert!(ninth.meaning.contains("M3A-B1"), "{}", ninth.meaning);
}

fn codes(decision: &Decision) -> String {
    decision.roots.iter().map(|c| c.code.as_str()).collect::<Vec<_>>().join(",")
}

prop_compose! {
    fn any_finding()(
        lane in 0..4usize,
        check in 0..4usize,
        code in 0..6usize,
        outcome in prop_oneof![
            6 => Just(Outcome::Met),
            1 => Just(Outcome::Unmet),
            1 => Just(Outcome::Unsupported),
            1 => Just(Outcome::Error),
            1 => Just(Outcome::Blocked),
        ],
        why in "[a-c]{0,2}",
        toothless in prop::bool::weighted(0.05),
    ) -> Finding {
        let lane = ["M3", "M3.A", "M3.B", "M3.C"][lane];
        let code = ["M3-B1", "M3-B2", "M3A-B1", "M3-B0", "M3-B0.1", "PG-M3.A-x"][code];
        let mut finding = finding(lane, &format!("c{check}"), code, outcome);
        finding.why = why;
        if toothless {
            finding.control = Control::Passed;
        }
        finding
    }
}

prop_compose! {
    fn any_entry()(root in 0..7usize, code in 0..7usize, only_if_open: bool) -> Entails {
        let codes = ["M3-B1", "M3-B2", "M3A-B1", "M3-B0", "M3-B0.1", "PG-M3.A-x", "M3-B9"];
        Entails { root: codes[root].to_owned(), code: codes[code].to_owned(), only_if_open }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_advance_needs_every_finding_met(
        findings in prop::collection::vec(any_finding(), 0..12),
        table in prop::collection::vec(any_entry(), 0..10),
        whole: bool,
        cases_pass: bool,
        preflight: bool,
    ) {
        let decision = decide(&findings, |facts| {
            facts.entails = &table;
            facts.whole = whole;
            facts.cases_pass = cases_pass;
            facts.mode = if preflight { Mode::Preflight } else { Mode::Commit };
        });
        let all_met = !findings.is_empty()
            && findings.iter().all(|f| f.outcome == Outcome::Met && f.control != Control::Passed);
        let expected = match (all_met && cases_pass, whole, preflight) {
            (false, ..) => Verdict::Hold,
            (true, false, _) => Verdict::Partial,
            (true, true, true) => Verdict::WouldAdvance,
            (true, true, false) => Verdict::Advance,
        };
        prop_assert_eq!(decision.verdict, expected);
    }

    #[test]
    fn the_order_of_findings_does_not_matter(
        (findings, shuffled) in prop::collection::vec(any_finding(), 0..12)
            .prop_flat_map(|f| (Just(f.clone()), Just(f).prop_shuffle())),
        table in prop::collection::vec(any_entry(), 0..10),
    ) {
        let first = decide(&findings, |facts| facts.entails = &table);
        let second = decide(&shuffled, |facts| facts.entails = &table);
        prop_assert_eq!(first, second);
    }

    #[test]
    fn every_opened_code_is_shown_once_and_explained(
        findings in prop::collection::vec(any_finding(), 0..12),
        table in prop::collection::vec(any_entry(), 0..10),
    ) {
        let decision = decide(&findings, |facts| facts.entails = &table);
        let shown: Vec<&str> =
            decision.roots.iter().chain(&decision.entailed).map(|c| c.code.as_str()).collect();
        let distinct: BTreeSet<&str> = shown.iter().copied().collect();
        prop_assert_eq!(distinct.len(), shown.len(), "{:?}", shown);
        let roots: BTreeSet<&str> = decision.roots.iter().map(|c| c.code.as_str()).collect();
        for finding in &findings {
            let opens = (finding.outcome == Outcome::Met && finding.control == Control::Passed)
                || !matches!(finding.outcome, Outcome::Met | Outcome::Blocked);
            prop_assert!(!opens || distinct.contains(finding.code.as_str()), "{} is lost", finding.code);
        }
        for root in &decision.roots {
            prop_assert!(!root.causes.is_empty() && root.entailed_by.is_empty());
        }
        for code in &decision.entailed {
            prop_assert!(!code.entailed_by.is_empty());
            prop_assert!(code.entailed_by.iter().all(|by| roots.contains(by.as_str())));
        }
        for code in decision.roots.iter().chain(&decision.entailed) {
            prop_assert!(!code.meaning.is_empty());
        }
    }
}
