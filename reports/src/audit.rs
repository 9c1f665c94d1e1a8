//! What speaks against an advance. The renderings ask here, so that none of them can be greener
//! than the outcome that it renders.

use support::run::outcome::{CaseState, LaneState, Mode, PhaseOutcome, Verdict};

use crate::verdict::is_met;

/// The verdict as reports give it: one that says "advance" while the outcome speaks against it is
/// a hold.
pub(crate) fn verdict(outcome: &PhaseOutcome) -> Verdict {
    match outcome.decision.verdict {
        verdict @ (Verdict::Advance | Verdict::WouldAdvance) if objections(outcome).is_empty() => verdict,
        Verdict::Advance | Verdict::WouldAdvance | Verdict::Hold => Verdict::Hold,
        Verdict::Partial => Verdict::Partial,
    }
}

/// The verdict as the plan writes it.
pub(crate) fn verdict_text(outcome: &PhaseOutcome) -> String {
    verdict(outcome).text(&outcome.phase, &outcome.next_phase)
}

/// All that speaks against an advance, a line each; empty only when nothing does.
pub(crate) fn objections(outcome: &PhaseOutcome) -> Vec<String> {
    let decision = &outcome.decision;
    let mut lines = Vec::new();
    let mut list = |said: &str, items: Vec<String>| {
        if !items.is_empty() {
            lines.push(format!("{said}: {}", items.join(", ")));
        }
    };
    list("root codes are open", decision.roots.iter().map(|c| c.code.clone()).collect());
    list("entailed codes are open", decision.entailed.iter().map(|c| c.code.clone()).collect());
    list("the plan's own register lists codes", outcome.register.iter().map(|r| r.code.clone()).collect());
    list("predicates are not shown", false_predicates(outcome));
    list("cases did not pass", failing_states(outcome));
    list("findings are not met", unmet_findings(outcome));
    list("lanes are not closed", open_lanes(outcome));
    if outcome.findings.is_empty() {
        lines.push("no check was judged".to_owned());
    }
    if outcome.cases.is_empty() {
        lines.push("no case was found".to_owned());
    }
    match (decision.verdict, outcome.mode) {
        (Verdict::Advance, Mode::Preflight) => lines.push("a preflight cannot advance a phase".to_owned()),
        (Verdict::WouldAdvance, Mode::Commit) => lines.push("only a preflight says WOULD_ADVANCE".to_owned()),
        _ => {}
    }
    lines
}

/// The predicates that are false, by name.
pub(crate) fn false_predicates(outcome: &PhaseOutcome) -> Vec<String> {
    outcome.decision.predicates.iter().filter(|(_, holds)| !**holds).map(|(name, _)| name.clone()).collect()
}

/// How many cases came out in a state.
pub(crate) fn count(outcome: &PhaseOutcome, state: CaseState) -> usize {
    outcome.cases.iter().filter(|c| c.state == state).count()
}

/// `20 failed, 3 unbound`, without the states that no case has.
pub(crate) fn failing_states(outcome: &PhaseOutcome) -> Vec<String> {
    [CaseState::Failed, CaseState::Unbound, CaseState::Stale, CaseState::Orphan, CaseState::NotSelected]
        .into_iter()
        .map(|state| (count(outcome, state), state.word()))
        .filter(|(cases, _)| *cases > 0)
        .map(|(cases, word)| format!("{cases} {word}"))
        .collect()
}

fn unmet_findings(outcome: &PhaseOutcome) -> Vec<String> {
    match outcome.findings.iter().filter(|f| !is_met(f)).count() {
        0 => Vec::new(),
        unmet => vec![format!("{unmet} of {}", outcome.findings.len())],
    }
}

fn open_lanes(outcome: &PhaseOutcome) -> Vec<String> {
    let word = |state| match state {
        LaneState::Closed => None,
        LaneState::Held => Some("held"),
        LaneState::Blocked => Some("blocked"),
        LaneState::NotSelected => Some("not selected"),
    };
    outcome.lanes.iter().filter_map(|l| word(l.state).map(|w| format!("{} {w}", l.lane))).collect()
}
