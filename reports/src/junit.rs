//! `junit.xml`: the cases as test reporters read them.
//!
//! One suite holds the phase's verdict, the phase's own findings, and the plan's cases. Readers
//! show little of the format, so the inside of a failure says it all: one of the common ones ignores
//! the `message`, and another takes the line from the last ` <file>:<line>` in the text.

use std::collections::BTreeMap;

use junit_report::{Duration, OffsetDateTime, ReportBuilder, TestCase, TestCaseBuilder, TestSuite};
use support::run::finding::{Finding, Outcome};
use support::run::outcome::{CaseOutcome, CaseState, OpenCode, PhaseOutcome, ProofOutcome, RenderError, Verdict};
use time::format_description::well_known::Rfc3339;

use crate::verdict::{is_met, opened_code};
use crate::{JUNIT, audit};
use support::text::{cdata, one_line};

/// The document. It reads no clock: the suite bears the execution's instant, and no case a time.
///
/// # Errors
/// When the instant or the document cannot be written.
pub(crate) fn xml(outcome: &PhaseOutcome) -> Result<String, RenderError> {
    let refuse = |why: String| RenderError { name: JUNIT.to_owned(), why };
    let instant = outcome.written_at_utc.rfc3339();
    let timestamp = OffsetDateTime::parse(&instant, &Rfc3339).map_err(|e| refuse(format!("{instant}: {e}")))?;
    let suite = TestSuite {
        name: one_line(&format!("{} {} ({})", outcome.track, outcome.phase, outcome.basis.word())),
        package: one_line(&class(outcome, &outcome.phase)),
        timestamp,
        hostname: one_line(&outcome.substrate),
        testcases: test_cases(outcome),
        system_out: Some(cdata(&properties(outcome))),
        system_err: None,
    };
    let mut bytes = Vec::new();
    ReportBuilder::new().add_testsuite(suite).build().write_xml(&mut bytes).map_err(|e| refuse(e.to_string()))?;
    String::from_utf8(bytes).map_err(|e| refuse(e.to_string()))
}

/// The execution in a few words, for whoever has only this file.
fn properties(outcome: &PhaseOutcome) -> String {
    format!(
        "execution {}\nverdict {}\nbasis: {}\nwritten_at_utc {}\nphasegate {}",
        outcome.execution_id,
        audit::verdict_text(outcome),
        outcome.basis.word(),
        outcome.written_at_utc.rfc3339(),
        outcome.version
    )
}

fn test_cases(outcome: &PhaseOutcome) -> Vec<TestCase> {
    let own = outcome.findings.iter().filter(|f| f.lane == outcome.phase).map(|f| integrity(f, outcome));
    let plan = outcome.cases.iter().map(|case| plan_case(case, outcome));
    let mut all: Vec<TestCase> = std::iter::once(phase_verdict(outcome)).chain(own).chain(plan).collect();
    // A reader that looks for retries drops one of two cases of the same name, maybe the failure.
    let mut taken: BTreeMap<String, usize> = BTreeMap::new();
    for case in &mut all {
        let times = taken.entry(case.name.clone()).or_insert(0);
        *times += 1;
        if *times > 1 {
            case.name = format!("{}#{times}", case.name);
        }
    }
    all
}

/// The verdict as a case of its own: whatever holds the phase, the file is not all green.
fn phase_verdict(outcome: &PhaseOutcome) -> TestCase {
    let name = format!("{}::{}::verdict", outcome.track, outcome.phase);
    let said = audit::verdict_text(outcome);
    let first_root = outcome.decision.roots.first().map(|root| root.code.clone());
    let result = match audit::verdict(outcome) {
        Verdict::Advance | Verdict::WouldAdvance => Shown::Passed,
        Verdict::Partial => Shown::Failed {
            kind: said.clone(),
            message: format!("{said}: not all cases were judged"),
            inside: audit::objections(outcome),
        },
        Verdict::Hold => Shown::Failed {
            kind: first_root.unwrap_or_else(|| said.clone()),
            message: format!("{said} ({})", outcome.basis.word()),
            inside: outcome.decision.roots.iter().map(root).chain(audit::objections(outcome)).collect(),
        },
    };
    test_case(&name, &outcome.phase, plan_path(outcome), result, outcome)
}

fn root(open: &OpenCode) -> String {
    let place = open.defined_at.as_ref().map(|spot| format!(" ({spot})")).unwrap_or_default();
    let next = open.causes.first().map(|cause| next_line(&cause.next)).unwrap_or_default();
    format!("{}: {}{place}{next}", open.code, open.meaning)
}

/// A finding of the phase itself, which no case of the plan stands for.
fn integrity(finding: &Finding, outcome: &PhaseOutcome) -> TestCase {
    let name = format!("{}::{}::integrity::{}", outcome.track, outcome.phase, finding.check);
    let result = if is_met(finding) {
        Shown::Passed
    } else {
        let blocked_by = finding.blocked_by.clone().filter(|_| finding.outcome == Outcome::Blocked);
        let code = opened_code(finding).or(blocked_by).unwrap_or_else(|| finding.outcome.word().to_owned());
        Shown::Failed {
            kind: code.clone(),
            message: finding.why.clone(),
            inside: vec![proof_lines(
                &code,
                finding.outcome,
                &finding.lane,
                &finding.check,
                &finding.why,
                &finding.next,
            )],
        }
    };
    test_case(&name, &outcome.phase, plan_path(outcome), result, outcome)
}

fn plan_case(case: &CaseOutcome, outcome: &PhaseOutcome) -> TestCase {
    let result = match case.state {
        CaseState::Passed => Shown::Passed,
        CaseState::NotSelected => Shown::Skipped,
        CaseState::Failed => failed(case),
        CaseState::Unbound | CaseState::Stale | CaseState::Orphan => unproven(case),
    };
    test_case(&case.name, &case.lane, Some(&case.place.path.to_string_lossy()), result, outcome)
}

fn failed(case: &CaseOutcome) -> Shown {
    let fallen: Vec<&ProofOutcome> = case.proofs.iter().filter(|p| !p.stands).collect();
    // What was observed weighs more than what an earlier code kept from being asked.
    let first = fallen.iter().find(|p| p.outcome != Outcome::Blocked).or(fallen.first());
    let word = case.state.word();
    let mut inside = required(case);
    inside.extend(fallen.iter().map(|p| proof_lines(&p.code, p.outcome, &p.lane, &p.check, &p.why, &p.next)));
    inside.extend(rerun(case));
    Shown::Failed {
        kind: first.map(|p| p.code.as_str()).filter(|code| !code.is_empty()).unwrap_or(word).to_owned(),
        message: match first {
            Some(proof) => claimed(case, &proof.why),
            None => claimed(case, "no proof of it was judged"),
        },
        inside,
    }
}

fn unproven(case: &CaseOutcome) -> Shown {
    let why = match case.state {
        CaseState::Stale => "the lock pins another text for this than the plan has now",
        CaseState::Orphan => "the lock or a binding names a text that the plan no longer has",
        _ => "no code answers this text or id of the plan",
    };
    let mut inside = required(case);
    inside.push(format!("{}: {why}", case.state.word()));
    inside.extend(rerun(case));
    Shown::Failed {
        kind: case.state.word().to_owned(),
        message: claimed(case, &format!("{}: {why}", case.state.word())),
        inside,
    }
}

fn claimed(case: &CaseOutcome, why: &str) -> String {
    if case.false_claim { format!("FALSE CLAIM, ticked in the plan: {why}") } else { why.to_owned() }
}

fn required(case: &CaseOutcome) -> Vec<String> {
    let mut lines = vec![format!("required: {}", case.text)];
    if case.false_claim {
        lines.push("FALSE CLAIM: the plan ticks this box".to_owned());
    }
    lines
}

/// The last lines of a failure; the place comes last, because a reader takes the line from there.
fn rerun(case: &CaseOutcome) -> [String; 2] {
    [format!("run again: {}", case.rerun), format!("required at {}", case.place)]
}

fn proof_lines(code: &str, outcome: Outcome, lane: &str, check: &str, why: &str, next: &str) -> String {
    format!("{code} {}: {lane} {check}\n  observed: {why}{}", outcome.word(), next_line(next))
}

fn next_line(next: &str) -> String {
    if next.is_empty() { String::new() } else { format!("\n  next: {next}") }
}

/// How a test case looks.
enum Shown {
    Passed,
    Skipped,
    Failed { kind: String, message: String, inside: Vec<String> },
}

fn test_case(name: &str, lane: &str, file: Option<&str>, shown: Shown, outcome: &PhaseOutcome) -> TestCase {
    let name = one_line(name);
    let mut builder = match shown {
        Shown::Passed => TestCaseBuilder::success(&name, Duration::ZERO),
        Shown::Skipped => TestCaseBuilder::skipped_with_cause(
            &name,
            CaseState::NotSelected.word(),
            "a filter left it out; it was not judged, and it did not pass",
        ),
        Shown::Failed { kind, message, inside } => {
            let mut builder = TestCaseBuilder::failure(&name, Duration::ZERO, &one_line(&kind), &one_line(&message));
            builder.set_trace(&cdata(&inside.join("\n")));
            builder
        }
    };
    builder.set_classname(&one_line(&class(outcome, lane)));
    if let Some(file) = file {
        builder.set_filepath(&one_line(file));
    }
    builder.build()
}

/// Track and lane.
fn class(outcome: &PhaseOutcome, lane: &str) -> String {
    format!("{}.{lane}", outcome.track)
}

fn plan_path(outcome: &PhaseOutcome) -> Option<&str> {
    outcome.inputs.iter().find(|input| input.role == "plan").map(|input| input.path.as_str())
}
