//! What a person reads at the end of a run, and the last line, which machines read.
//!
//! Ten seconds must do: one line per lane, then per group of root codes what was observed and what to do, nothing
//! twice, no colour. What is left out stands in the files, and the text says where.

use std::cmp::Reverse;

use support::run::finding::Outcome;
use support::run::outcome::{CaseOutcome, CaseState, LaneOutcome, LaneState, Mode, OpenCode, PhaseOutcome, Verdict};

use crate::verdict::is_met;
use crate::{FINDINGS, VERDICT, audit, blockers};
use support::text::{exact, one_line, short};

/// Longest text of a plan or server that is shown on one line.
const WIDTH: usize = 160;
/// How many lines of one kind are shown before the rest is only counted.
const MANY: usize = 8;

/// The summary; it ends in a line break.
pub(crate) fn text(outcome: &PhaseOutcome) -> String {
    let parts = [
        head(outcome),
        lanes(outcome),
        false_claims(outcome),
        roots(outcome),
        other_failures(outcome),
        register(outcome),
        notes(outcome),
        verdict(outcome),
    ];
    let mut lines: Vec<String> = Vec::new();
    for part in parts.into_iter().filter(|part| !part.is_empty()) {
        lines.extend(part);
        lines.push(String::new());
    }
    lines.push(last_line(outcome));
    lines.join("\n") + "\n"
}

fn head(outcome: &PhaseOutcome) -> Vec<String> {
    let mode = match outcome.mode {
        Mode::Preflight => "preflight",
        Mode::Commit => "commit",
    };
    let account = outcome.account.as_ref().map(|id| format!(", account {id}")).unwrap_or_default();
    vec![one_line(&format!(
        "{} {}, execution {}: {} on {}, {mode}{account}",
        outcome.track,
        outcome.phase,
        outcome.execution_id,
        outcome.basis.word(),
        outcome.substrate
    ))]
}

/// What each lane proved, or what kept it from it.
fn lanes(outcome: &PhaseOutcome) -> Vec<String> {
    let width = outcome.lanes.iter().map(|l| l.lane.chars().count()).max().unwrap_or(0);
    let (left_out, asked): (Vec<&LaneOutcome>, Vec<&LaneOutcome>) =
        outcome.lanes.iter().partition(|lane| lane.state == LaneState::NotSelected);
    let mut lines: Vec<String> = asked.into_iter().map(|lane| lane_line(lane, width)).collect();
    if !left_out.is_empty() {
        let names: Vec<&str> = left_out.iter().map(|lane| lane.lane.as_str()).collect();
        lines.push(format!("  not selected: {}", one_line(&names.join(", "))));
    }
    lines
}

fn lane_line(lane: &LaneOutcome, width: usize) -> String {
    let name = one_line(&lane.lane);
    let said = short(&lane.said, WIDTH);
    match lane.state {
        LaneState::Closed | LaneState::Held => {
            let word = if lane.state == LaneState::Closed { "closed" } else { "HELD" };
            format!("  {name:width$}  {word:<8} {:>2} of {:<2}  {said}", lane.met, lane.checks)
        }
        LaneState::Blocked | LaneState::NotSelected => format!("  {name:width$}  {:<8} {said}", "blocked"),
    }
}

fn false_claims(outcome: &PhaseOutcome) -> Vec<String> {
    let claims: Vec<&CaseOutcome> = outcome.cases.iter().filter(|c| c.false_claim).collect();
    if claims.is_empty() {
        return Vec::new();
    }
    let mut lines = vec![format!("!! FALSE CLAIMS: {} ticked in the plan and not so", boxes(claims.len()))];
    lines.extend(claims.iter().take(MANY).map(|case| {
        let codes: Vec<&str> = blockers::codes(case).into_iter().collect();
        let why = if codes.is_empty() { case.state.word().to_owned() } else { codes.join(", ") };
        one_line(&format!("!! {} \"{}\" ({why})", case.place, short(&case.text, 80)))
    }));
    if claims.len() > MANY {
        lines.push(format!("!! and {} more in {}", claims.len() - MANY, crate::BLOCKER_REGISTER));
    }
    lines
}

fn boxes(count: usize) -> String {
    if count == 1 { "1 box".to_owned() } else { format!("{count} boxes") }
}

/// Root codes, worst first; codes that one and the same fact opened stand together.
fn roots(outcome: &PhaseOutcome) -> Vec<String> {
    let mut codes: Vec<&OpenCode> = outcome.decision.roots.iter().collect();
    codes.sort_by_key(|code| (Reverse(weight(code, outcome)), code.code.clone()));
    let mut groups: Vec<Vec<&OpenCode>> = Vec::new();
    for code in codes {
        match groups.iter_mut().find(|group| group.iter().any(|other| facts(other) == facts(code))) {
            Some(group) => group.push(code),
            None => groups.push(vec![code]),
        }
    }
    groups.iter().flat_map(|group| group_lines(group, outcome)).collect()
}

/// How bad an open root is: refuted claims, then what it keeps from running, then what it brings,
/// then whether the world answered "no" or did not answer.
fn weight(code: &OpenCode, outcome: &PhaseOutcome) -> (usize, usize, usize, bool) {
    let follows = blockers::entailed_codes(&code.code, outcome);
    let claims = |code: &str| blockers::refuted_claims(code, outcome).count();
    (
        claims(&code.code) + follows.iter().map(|code| claims(code)).sum::<usize>(),
        blockers::blocked_lanes(&code.code, outcome).len(),
        follows.len(),
        code.causes.iter().any(|cause| cause.outcome == Outcome::Unmet),
    )
}

/// What was observed and what to do about it, as a group shares it.
fn facts(code: &OpenCode) -> Vec<(&str, &str)> {
    code.causes.iter().map(|cause| (cause.observed.as_str(), cause.next.as_str())).collect()
}

fn group_lines(group: &[&OpenCode], outcome: &PhaseOutcome) -> Vec<String> {
    let mut lines: Vec<String> = group.iter().map(|code| code_line(code, outcome)).collect();
    if let Some(first) = group.first() {
        lines.extend(cause_lines(first));
    }
    lines
}

fn code_line(code: &OpenCode, outcome: &PhaseOutcome) -> String {
    let place = code.defined_at.as_ref().map(|spot| format!(" [{spot}]")).unwrap_or_default();
    let follows = blockers::entailed_codes(&code.code, outcome);
    let brings = if follows.is_empty() { String::new() } else { format!(" (brings {})", follows.join(", ")) };
    one_line(&format!("{}{brings}: {}{place}", code.code, short(&code.meaning, WIDTH)))
}

/// The first cause in full: the one next edit or command is the first cause's. Others are counted.
fn cause_lines(code: &OpenCode) -> Vec<String> {
    let Some(cause) = code.causes.first() else {
        return Vec::new();
    };
    let more = match code.causes.len() {
        1 => String::new(),
        all => format!(" (1 of {all} causes; {})", crate::BLOCKER_REGISTER),
    };
    let word = match cause.outcome {
        Outcome::Unmet => "observed",
        other => other.word(),
    };
    let mut lines = vec![format!("    {:<9} {}{more}", format!("{word}:"), short(&cause.observed, WIDTH))];
    let next = one_line(&cause.next);
    if !next.is_empty() {
        lines.push(format!("    {:<9} {next}", "next:"));
    }
    lines
}

/// What holds the gate and opens no code of its own.
fn other_failures(outcome: &PhaseOutcome) -> Vec<String> {
    let mut lines: Vec<String> = [CaseState::Unbound, CaseState::Stale, CaseState::Orphan]
        .into_iter()
        .filter_map(|state| state_line(outcome, state))
        .collect();
    lines.extend(orphaned_blocks(outcome));
    let predicates = audit::false_predicates(outcome);
    if audit::verdict(outcome) == Verdict::Hold && !predicates.is_empty() {
        lines.push(one_line(&format!("predicates that are not shown: {}", predicates.join(", "))));
    }
    let nothing_open = outcome.decision.roots.is_empty() && lines.is_empty();
    if nothing_open && audit::verdict(outcome) == Verdict::Hold {
        lines.extend(audit::objections(outcome).iter().map(|line| one_line(line)));
    }
    lines
}

fn state_line(outcome: &PhaseOutcome, state: CaseState) -> Option<String> {
    let mut cases = outcome.cases.iter().filter(|c| c.state == state);
    let first = cases.next()?;
    let others = match cases.count() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let next = match state {
        CaseState::Unbound => "no code answers it: bind the text in gates.lock, or write its check",
        CaseState::Stale => "its text changed: read the change, then run `phasegate lock`",
        _ => "its text left the plan: read the change, then run `phasegate lock`",
    };
    Some(one_line(&format!("{}: {} [{}]{others}; {next}", state.word(), first.name, first.place)))
}

/// Findings that name a code as their blocker which no finding of this execution opened.
fn orphaned_blocks(outcome: &PhaseOutcome) -> Option<String> {
    let decision = &outcome.decision;
    let is_open = |by: &str| decision.roots.iter().chain(&decision.entailed).any(|code| code.code == by);
    let mut unexplained = outcome
        .findings
        .iter()
        .filter(|f| !is_met(f) && f.outcome == Outcome::Blocked)
        .filter(|f| !f.blocked_by.as_deref().is_some_and(is_open));
    let first = unexplained.next()?;
    let by = first.blocked_by.as_deref().unwrap_or("nothing that has a name");
    Some(one_line(&format!(
        "blocked: {} checks, `{}` of {} by {by}, which no finding opened",
        unexplained.count() + 1,
        first.check,
        first.lane
    )))
}

fn register(outcome: &PhaseOutcome) -> Vec<String> {
    let line = |claim: &support::run::outcome::RegisterClaim| {
        let measured = short(&claim.measured, WIDTH);
        if claim.ready_to_close {
            format!("ready to close: {} [{}]: {measured}; strike the entry, it holds the gate", claim.code, claim.place)
        } else {
            format!("register: {} is listed as open [{}]: {measured}", claim.code, claim.place)
        }
    };
    outcome.register.iter().map(|claim| one_line(&line(claim))).collect()
}

fn notes(outcome: &PhaseOutcome) -> Vec<String> {
    let trusted = outcome.trusted_unverified.iter().map(|what| format!("trusted, unverified: {what}"));
    let notes = outcome.notes.iter().map(|note| format!("note: {note}"));
    let all: Vec<String> = trusted.chain(notes).map(|line| short(&line, WIDTH)).collect();
    let mut lines: Vec<String> = all.iter().take(MANY).cloned().collect();
    if all.len() > MANY {
        lines.push(format!("and {} more notes in {FINDINGS}", all.len() - MANY));
    }
    lines
}

fn verdict(outcome: &PhaseOutcome) -> Vec<String> {
    let mut lines = vec![format!("{} ({})", audit::verdict_text(outcome), outcome.basis.word())];
    match audit::verdict(outcome) {
        Verdict::Partial => {
            let judged = outcome.cases.len() - audit::count(outcome, CaseState::NotSelected);
            lines.push(format!("  {judged} of {} cases were judged: this is no verdict", outcome.cases.len()));
        }
        Verdict::WouldAdvance => lines.push("  PHASEGATE_MODE=commit runs the gate itself".to_owned()),
        Verdict::Hold | Verdict::Advance => {}
    }
    if outcome.mode == Mode::Preflight {
        lines.push("  preflight: nothing was written to the substrate".to_owned());
    }
    if outcome.decision.verdict != audit::verdict(outcome) {
        lines.push(format!("  it was decided as {}, and lowered: see above", outcome.verdict()));
    }
    let stored = outcome.files.iter().filter(|file| file.uri.is_some()).count();
    lines.push(format!(
        "  evidence: {} ({} files, {stored} of them also in S3)",
        exact(&outcome.folder.to_string_lossy()),
        outcome.files.len()
    ));
    lines.extend(
        outcome.required_of_a_person.iter().map(|step| format!("  required of a person: {}", short(step, WIDTH))),
    );
    lines
}

fn last_line(outcome: &PhaseOutcome) -> String {
    let path = outcome.folder.join(VERDICT);
    let facts = one_line(&format!(
        "{} {} {} basis={} roots={} entailed={} cases={} passed={}",
        outcome.track,
        outcome.phase,
        audit::verdict_text(outcome),
        outcome.basis.word(),
        codes(&outcome.decision.roots),
        codes(&outcome.decision.entailed),
        outcome.cases.len(),
        outcome.passed()
    ));
    format!("{facts} verdict={}", exact(&path.to_string_lossy()))
}

/// Sorted, comma-separated; `-` for none.
fn codes(open: &[OpenCode]) -> String {
    if open.is_empty() {
        return "-".to_owned();
    }
    let mut codes: Vec<&str> = open.iter().map(|code| code.code.as_str()).collect();
    codes.sort_unstable();
    codes.join(",")
}
