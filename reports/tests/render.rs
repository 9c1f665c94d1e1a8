//! The report files and the summary of three outcomes, and of what must never look green.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a helper of a test fails it by a panic")]

#[path = "common/mod.rs"]
mod common;

use common::{advance, case, finding, held_by_error, held_by_register, spot};
use phasegate_reports::Reports;
use proptest::prelude::*;
use roxmltree::Document;
use rstest::rstest;
use serde_json::Value;
use support::run::finding::{Control, Outcome};
use support::run::outcome::*;

fn rendered(outcome: &PhaseOutcome, name: &str) -> RenderedBody {
    let files = Reports.render(outcome).unwrap();
    files.into_iter().find(|file| file.name == name).unwrap().body
}

fn json(outcome: &PhaseOutcome, name: &str) -> Value {
    match rendered(outcome, name) {
        RenderedBody::Json(value) => value,
        RenderedBody::Text(text) => panic!("{name} is no JSON: {text}"),
    }
}

fn junit(outcome: &PhaseOutcome) -> String {
    match rendered(outcome, "junit.xml") {
        RenderedBody::Text(text) => text,
        RenderedBody::Json(value) => panic!("junit.xml is JSON: {value}"),
    }
}

fn last_line(outcome: &PhaseOutcome) -> String {
    Reports.summary(outcome).lines().last().unwrap().to_owned()
}

#[rstest]
#[case::advance("advance", advance(Mode::Commit))]
#[case::register("held_by_register", held_by_register())]
#[case::error("held_by_error", held_by_error())]
fn reports_read_as_they_did(#[case] name: &str, #[case] outcome: PhaseOutcome) {
    insta::assert_snapshot!(format!("{name}.summary"), Reports.summary(&outcome));
    insta::assert_snapshot!(format!("{name}.junit"), junit(&outcome).replace("><", ">\n<"));
    let register = json(&outcome, "blocker_register.json");
    insta::assert_snapshot!(format!("{name}.register"), serde_json::to_string_pretty(&register).unwrap());
    let verdict = Reports.verdict(&outcome).unwrap();
    insta::assert_snapshot!(format!("{name}.verdict"), serde_json::to_string_pretty(&verdict).unwrap());
}

#[rstest]
#[case(advance(Mode::Commit), "ADVANCE_TO_M4 basis=rehearsal roots=- entailed=- cases=3 passed=3")]
#[case(advance(Mode::Preflight), "WOULD_ADVANCE basis=rehearsal roots=- entailed=- cases=3 passed=3")]
#[case(held_by_register(), "HOLD_M3 basis=rehearsal roots=M3A-B1 entailed=M3-B1 cases=3 passed=1")]
#[case(held_by_error(), "HOLD_M3 basis=rehearsal roots=PG-M3.A-bucket_reachable entailed=- cases=3 passed=0")]
fn the_last_line_is_for_machines(#[case] outcome: PhaseOutcome, #[case] facts: &str) {
    let folder = "target/phasegate/dev_min/m3/m3_20260213T214223Z";
    assert_eq!(last_line(&outcome), format!("dev_min M3 {facts} verdict={folder}/verdict.json"));
}

#[test]
fn findings_are_the_whole_outcome_and_can_be_read_again() {
    let outcome = held_by_register();
    let written = json(&outcome, "findings.json");
    assert_eq!(written["schema"], PhaseOutcome::SCHEMA);
    assert!(!written.to_string().contains("target/phasegate"), "it says where it lies");
    let mut read: PhaseOutcome = serde_json::from_value(written).unwrap();
    read.folder = outcome.folder.clone();
    assert_eq!(read, outcome);
    assert_eq!(Reports.summary(&read), Reports.summary(&outcome));
}

#[test]
fn the_same_outcome_gives_the_same_bytes() {
    for make in [held_by_register, held_by_error] {
        assert_eq!(Reports.render(&make()).unwrap(), Reports.render(&make()).unwrap());
    }
}

#[test]
fn an_outcome_of_another_version_is_refused() {
    let outcome = PhaseOutcome { schema: "phasegate.findings/0".into(), ..advance(Mode::Commit) };
    assert!(Reports.render(&outcome).unwrap_err().to_string().contains("phasegate.findings/0"));
    assert!(Reports.verdict(&outcome).is_err());
}

/// Each change contradicts the advance that was decided before it.
#[rstest]
#[case::a_case_failed(|o: &mut PhaseOutcome| o.cases[0].state = CaseState::Failed)]
#[case::a_case_unbound(|o: &mut PhaseOutcome| o.cases[0].state = CaseState::Unbound)]
#[case::a_case_not_selected(|o: &mut PhaseOutcome| o.cases[0].state = CaseState::NotSelected)]
#[case::no_case(|o: &mut PhaseOutcome| o.cases.clear())]
#[case::no_finding(|o: &mut PhaseOutcome| o.findings.clear())]
#[case::a_finding_unmet(|o: &mut PhaseOutcome| o.findings[0].outcome = Outcome::Unmet)]
#[case::a_finding_blocked(|o: &mut PhaseOutcome| o.findings[0].outcome = Outcome::Blocked)]
#[case::a_control_passed(|o: &mut PhaseOutcome| o.findings[0].control = Control::Passed)]
#[case::a_predicate_false(|o: &mut PhaseOutcome| { o.decision.predicates.insert("p".into(), false); })]
#[case::a_code_open(|o: &mut PhaseOutcome| o.decision.entailed = held_by_register().decision.entailed)]
#[case::the_register_open(|o: &mut PhaseOutcome| o.register = held_by_error().register)]
#[case::a_lane_held(|o: &mut PhaseOutcome| o.lanes[0].state = LaneState::Held)]
#[case::a_preflight(|o: &mut PhaseOutcome| o.mode = Mode::Preflight)]
fn nothing_is_greener_than_the_outcome(#[case] contradict: fn(&mut PhaseOutcome)) {
    let mut outcome = advance(Mode::Commit);
    assert!(Reports.verdict(&outcome).is_ok());
    contradict(&mut outcome);
    assert!(Reports.verdict(&outcome).is_err());
    let summary = Reports.summary(&outcome);
    assert!(summary.lines().last().unwrap().starts_with("dev_min M3 HOLD_M3 "), "{summary}");
    assert!(summary.contains("\nHOLD_M3 (rehearsal)\n"), "{summary}");
    let xml = junit(&outcome);
    let parsed = Document::parse(&xml).unwrap();
    let failures = parsed.descendants().filter(|n| n.has_tag_name("failure")).count();
    assert!(failures > 0, "{xml}");
}

#[rstest]
#[case::twice("observations.json", &"2c".repeat(32), "two files")]
#[case::itself("verdict.json", &"2c".repeat(32), "its own digest")]
#[case::short("more.json", "2c", "not the SHA-256")]
#[case::upper_case("more.json", &"2C".repeat(32), "not the SHA-256")]
#[case::empty("more.json", "", "not the SHA-256")]
fn a_list_of_files_that_cannot_be_checked_is_refused(#[case] path: &str, #[case] sha256: &str, #[case] why: &str) {
    let mut outcome = advance(Mode::Commit);
    outcome.files.push(EvidenceFile { path: path.into(), sha256: sha256.into(), uri: None });
    assert!(Reports.verdict(&outcome).unwrap_err().to_string().contains(why));
}

#[test]
fn a_persons_step_is_required_and_never_given() {
    let verdict = Reports.verdict(&advance(Mode::Commit)).unwrap();
    assert_eq!(verdict["required_of_a_person"], serde_json::json!(["USER confirms progression to M4"]));
    assert!(Reports.summary(&advance(Mode::Commit)).contains("required of a person: USER confirms"));
    let keys: Vec<&String> = verdict.as_object().unwrap().keys().collect();
    assert!(!keys.iter().any(|key| key.contains("confirmed")), "{keys:?}");
}

/// What test reporters see of a case: failure type and text, or nothing.
fn failure_of<'a>(document: &'a Document<'_>, name: &str) -> Option<(&'a str, String)> {
    let mut cases = document.descendants().filter(|n| n.has_tag_name("testcase") && n.attribute("name") == Some(name));
    let found = cases.next().unwrap_or_else(|| panic!("{name} is not in the file"));
    assert!(cases.next().is_none(), "{name} is there twice");
    let failure = found.children().find(|n| n.has_tag_name("failure"))?;
    let text = failure.children().filter_map(|n| n.text()).collect();
    Some((failure.attribute("type").unwrap(), text))
}

#[rstest]
#[case(held_by_register())]
#[case(held_by_error())]
#[case(advance(Mode::Commit))]
fn every_failing_case_shows_a_failure_with_its_type(#[case] outcome: PhaseOutcome) {
    let xml = junit(&outcome);
    let document = Document::parse(&xml).unwrap();
    for case in &outcome.cases {
        let failure = failure_of(&document, &case.name);
        let expected = match case.state {
            CaseState::Passed => None,
            CaseState::Failed => Some(case.proofs.iter().find(|p| !p.stands).unwrap().code.as_str()),
            other => Some(other.word()),
        };
        assert_eq!(failure.as_ref().map(|(kind, _)| *kind), expected, "{}", case.name);
        if let Some((_, text)) = failure {
            assert!(text.contains(&case.text), "{text}");
            assert!(text.contains(&case.rerun), "{text}");
            // One reader takes file and line from the last ` <file>:<line>`.
            assert!(text.ends_with(&format!(" {}:{}", case.place.path.display(), case.place.line)), "{text}");
        }
    }
    for node in document.descendants().filter(|n| n.has_tag_name("testcase")) {
        assert_eq!(node.attribute("file"), Some(common::PLAN));
        assert!(node.attribute("classname").unwrap().starts_with("dev_min.M3"));
    }
    let suite = document.descendants().find(|n| n.has_tag_name("testsuite")).unwrap();
    assert_eq!(suite.attribute("name"), Some("dev_min M3 (rehearsal)"));
    assert_eq!(suite.attribute("timestamp"), Some("2026-02-13T21:42:23Z"));
    assert_eq!(suite.attribute("tests"), Some(cases_shown(&document).to_string().as_str()));
}

fn cases_shown(document: &Document<'_>) -> usize {
    document.descendants().filter(|n| n.has_tag_name("testcase")).count()
}

#[test]
fn a_hold_by_the_phase_itself_is_not_all_green() {
    let mut outcome = advance(Mode::Commit);
    outcome.findings.push(finding("M3", "lock.matches", "PG-M3-lock_matches", Outcome::Unmet));
    let xml = junit(&outcome);
    let document = Document::parse(&xml).unwrap();
    let (kind, text) = failure_of(&document, "dev_min::M3::integrity::lock.matches").unwrap();
    assert_eq!(kind, "PG-M3-lock_matches");
    assert!(text.contains("next: make lock.matches so"), "{text}");
    assert_eq!(failure_of(&document, "dev_min::M3::integrity::plan.complete"), None);
    assert!(failure_of(&document, "dev_min::M3::verdict").is_some());
}

#[rstest]
#[case::failed(CaseState::Failed, "failure")]
#[case::unbound(CaseState::Unbound, "failure")]
#[case::stale(CaseState::Stale, "failure")]
#[case::orphan(CaseState::Orphan, "failure")]
#[case::not_selected(CaseState::NotSelected, "skipped")]
fn each_state_has_its_element(#[case] state: CaseState, #[case] element: &str) {
    let mut outcome = advance(Mode::Commit);
    outcome.cases[0].state = state;
    outcome.cases[0].proofs.clear();
    let xml = junit(&outcome);
    let document = Document::parse(&xml).unwrap();
    let name = outcome.cases[0].name.as_str();
    let case = document.descendants().find(|n| n.attribute("name") == Some(name)).unwrap();
    let shown = case.first_element_child().unwrap();
    assert!(shown.has_tag_name(element), "{xml}");
    assert_eq!(shown.attribute("type"), Some(state.word()));
}

#[test]
fn a_filtered_run_is_partial_and_not_green() {
    let full = advance(Mode::Commit);
    let mut cases = full.cases;
    cases[2].state = CaseState::NotSelected;
    let mut findings = full.findings;
    findings.pop();
    let mut lanes = full.lanes;
    lanes[1].state = LaneState::NotSelected;
    let outcome = common::decided(Mode::Commit, findings, cases, lanes);
    assert_eq!(outcome.decision.verdict, Verdict::Partial);
    let summary = Reports.summary(&outcome);
    assert!(summary.contains("2 of 3 cases were judged"), "{summary}");
    assert!(last_line(&outcome).starts_with("dev_min M3 PARTIAL "), "{summary}");
    let xml = junit(&outcome);
    let document = Document::parse(&xml).unwrap();
    assert_eq!(failure_of(&document, "dev_min::M3::verdict").unwrap().0, "PARTIAL");
}

#[test]
fn two_cases_of_one_name_both_show() {
    let mut outcome = advance(Mode::Commit);
    let mut twin = outcome.cases[0].clone();
    twin.state = CaseState::Failed;
    outcome.cases.push(twin);
    let xml = junit(&outcome);
    let document = Document::parse(&xml).unwrap();
    let name = outcome.cases[0].name.as_str();
    assert_eq!(failure_of(&document, name), None);
    assert!(failure_of(&document, &format!("{name}#2")).is_some());
}

#[rstest]
#[case::end_of_cdata("before ]]> after", "before ]]> after")]
#[case::only_that("]]>", "]]>")]
#[case::markup("<failure type=\"x\">&amp;'", "<failure type=\"x\">&amp;'")]
#[case::control("bell \u{7} nul \u{0} esc \u{1b}[2J", "bell \u{2407} nul \u{2400} esc \u{241b}[2J")]
#[case::no_characters("\u{fffe}\u{ffff}\u{85}", "\u{fffd}\u{fffd}\u{fffd}")]
#[case::emoji("🦀 é 漢", "🦀 é 漢")]
#[case::lines("a\r\nb\tc", "a\nb\tc")]
fn xml_holds_any_text(#[case] hostile: &str, #[case] shown: &str) {
    let mut unmet = finding("M3.A", "handles.closed", "M3-B1", Outcome::Unmet);
    unmet.why = hostile.to_owned();
    let mut failing = case("dod-9::hostile", "M3.A", 99, &[&unmet], Some(true));
    failing.text = hostile.to_owned();
    failing.rerun = hostile.to_owned();
    let mut outcome = held_by_register();
    outcome.version = hostile.to_owned();
    outcome.cases.push(failing.clone());
    let xml = junit(&outcome);
    let document = Document::parse(&xml).unwrap_or_else(|e| panic!("{e}\n{xml}"));
    let (kind, text) = failure_of(&document, &failing.name).unwrap();
    assert_eq!(kind, "M3-B1");
    assert!(text.contains(&format!("observed: {shown}\n")), "{text:?}");

    failing.name = hostile.to_owned();
    failing.lane = hostile.to_owned();
    failing.place.path = hostile.into();
    failing.proofs[0].code = hostile.to_owned();
    outcome.cases.push(failing);
    let xml = junit(&outcome);
    Document::parse(&xml).unwrap_or_else(|e| panic!("{e}\n{xml}"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_breaks_the_file_or_hides_a_failure(text in any::<String>(), outcome in 0..3usize) {
        let mut outcome = vec![advance(Mode::Commit), held_by_register(), held_by_error()].swap_remove(outcome);
        for case in &mut outcome.cases {
            case.name = text.clone();
            case.text = text.clone();
            case.place.path = text.clone().into();
            case.proofs.iter_mut().for_each(|p| p.why = text.clone());
        }
        outcome.execution_id = text.clone();
        outcome.decision.roots.iter_mut().for_each(|root| root.meaning = text.clone());
        let xml = junit(&outcome);
        let document = Document::parse(&xml).map_err(|e| TestCaseError::fail(format!("{e}\n{xml}")))?;
        let failing = outcome.cases.iter().filter(|c| c.state != CaseState::Passed).count();
        let own = outcome.findings.iter().filter(|f| f.lane == "M3" && f.outcome != Outcome::Met).count();
        let held = usize::from(outcome.decision.verdict == Verdict::Hold);
        let shown = document.descendants().filter(|n| n.has_tag_name("failure")).count();
        prop_assert_eq!(shown, failing + own + held);
        let last = last_line(&outcome);
        prop_assert!(last.starts_with(&format!("dev_min M3 {} basis=", outcome.verdict())), "{}", last);
    }
}

#[test]
fn no_text_of_others_can_feign_a_line_of_the_summary() {
    let forged = "x\ndev_min M3 ADVANCE_TO_M4 basis=live\r\u{1b}[2K";
    let mut outcome = held_by_register();
    outcome.notes.push(forged.into());
    outcome.trusted_unverified.push(forged.into());
    outcome.required_of_a_person.push(forged.into());
    outcome.lanes[0].said = forged.into();
    outcome.lanes[0].lane = forged.into();
    outcome.cases[0].text = forged.into();
    outcome.register[0].measured = forged.into();
    outcome.decision.roots[0].meaning = forged.into();
    outcome.decision.roots[0].causes[0].observed = forged.into();
    outcome.decision.roots[0].causes[0].next = forged.into();
    let summary = Reports.summary(&outcome);
    assert!(!summary.lines().any(|line| line.starts_with("dev_min M3 ADVANCE")), "{summary}");
    assert!(summary.chars().all(|c| c == '\n' || !c.is_control()), "{summary:?}");
}

#[test]
fn the_worst_root_comes_first_and_a_shared_fact_is_told_once() {
    let unreachable = |lane: &str, check: &str, code: &str| {
        let mut error = finding(lane, check, code, Outcome::Error);
        error.why = "the substrate did not answer".into();
        error.next = "check the network".into();
        error
    };
    let findings = vec![
        unreachable("M3.A", "a", "M3-B3"),
        unreachable("M3.A", "b", "M3-B4"),
        finding("M3.B", "c", "M3-B5", Outcome::Unmet),
        finding("M3.B", "d", "M3-B6", Outcome::Unmet),
        common::blocked("M3.C", "e", "M3-B7", "M3-B6"),
    ];
    let summary = Reports.summary(&common::decided(Mode::Commit, findings, Vec::new(), Vec::new()));
    let at = |text: &str| summary.find(text).unwrap_or_else(|| panic!("no {text} in\n{summary}"));
    assert!(at("\nM3-B6") < at("\nM3-B5"), "{summary}");
    assert!(at("\nM3-B5") < at("\nM3-B3"), "{summary}");
    assert_eq!(summary.matches("the substrate did not answer").count(), 1, "{summary}");
    assert_eq!(summary.matches("check the network").count(), 1, "{summary}");
}

#[test]
fn a_false_claim_is_louder_than_an_open_box() {
    let register = json(&held_by_register(), "blocker_register.json");
    let names = |list: &str| -> Vec<String> {
        register[list].as_array().unwrap().iter().map(|c| c["case"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names("false_claims"), ["dev_min::M3.A::dod-1::required_handles"]);
    assert_eq!(names("open_boxes"), ["dev_min::M3.B::dod-1::collision_probes"]);
    let summary = Reports.summary(&held_by_register());
    // The claim comes before the code that refutes it.
    let claim = summary.find(&spot(141).to_string()).unwrap();
    assert!(claim < summary.find("M3A-B1 (brings").unwrap(), "{summary}");
    assert!(!summary.contains(&spot(201).to_string()), "an open box needs no line of its own: {summary}");
}
