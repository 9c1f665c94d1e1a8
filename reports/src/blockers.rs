//! `blocker_register.json`: every open code with what opened it, what closes it, and its evidence.

use std::collections::BTreeSet;

use serde::Serialize;
use support::run::finding::{Finding, Outcome};
use support::run::observation::ObservationRef;
use support::run::outcome::{CaseOutcome, CaseState, Cause, OpenCode, PhaseOutcome, RegisterClaim};

use crate::audit;
use crate::verdict::opened_code;

/// Version of the document.
const SCHEMA: &str = "phasegate.blocker_register/1";

/// The document.
#[derive(Debug, Serialize)]
pub(crate) struct Register<'a> {
    schema: &'static str,
    track: &'a str,
    phase: &'a str,
    execution_id: &'a str,
    basis: &'static str,
    verdict: String,
    written_at_utc: String,
    /// Roots first, each by code.
    blockers: Vec<Blocker<'a>>,
    /// Boxes that the plan ticks although they are not so.
    false_claims: Vec<Claim<'a>>,
    /// Boxes that the plan leaves open, and that are not met either.
    open_boxes: Vec<Claim<'a>>,
    /// Entries of the plan's own register.
    plan_register: Vec<Entry<'a>>,
}

#[derive(Debug, Serialize)]
struct Blocker<'a> {
    code: &'a str,
    /// `root` or `entailed`.
    kind: &'static str,
    entailed_by: &'a [String],
    /// The codes that follow from this root.
    entails: Vec<&'a str>,
    derived: bool,
    meaning: &'a str,
    /// `path:line` in the plan.
    defined_at: Option<String>,
    observed: Vec<Observed<'a>>,
    /// Lanes whose checks opened it, and lanes that it blocked.
    impacted_lanes: BTreeSet<&'a str>,
    blocked_lanes: BTreeSet<&'a str>,
    closure_criteria: Vec<Criterion>,
    evidence: Vec<&'a ObservationRef>,
    /// Names of the ticked boxes that this code refutes.
    false_claims: Vec<&'a str>,
}

#[derive(Debug, Serialize)]
struct Observed<'a> {
    lane: &'a str,
    check: &'a str,
    outcome: &'static str,
    observed: &'a str,
}

#[derive(Debug, Serialize)]
struct Criterion {
    must_be_met: String,
    /// The one next edit or command.
    next: String,
}

#[derive(Debug, Serialize)]
struct Claim<'a> {
    case: &'a str,
    text: &'a str,
    place: String,
    state: &'static str,
    codes: BTreeSet<&'a str>,
}

#[derive(Debug, Serialize)]
struct Entry<'a> {
    code: &'a str,
    place: String,
    ready_to_close: bool,
    measured: &'a str,
}

/// The register of an outcome.
pub(crate) fn register(outcome: &PhaseOutcome) -> Register<'_> {
    let decision = &outcome.decision;
    Register {
        schema: SCHEMA,
        track: &outcome.track,
        phase: &outcome.phase,
        execution_id: &outcome.execution_id,
        basis: outcome.basis.word(),
        verdict: audit::verdict_text(outcome),
        written_at_utc: outcome.written_at_utc.rfc3339(),
        blockers: decision.roots.iter().chain(&decision.entailed).map(|code| blocker(code, outcome)).collect(),
        false_claims: claims(outcome, |case| case.false_claim),
        open_boxes: claims(outcome, |case| {
            !case.false_claim
                && case.ticked == Some(false)
                && !matches!(case.state, CaseState::Passed | CaseState::NotSelected)
        }),
        plan_register: outcome.register.iter().map(entry).collect(),
    }
}

fn blocker<'a>(open: &'a OpenCode, outcome: &'a PhaseOutcome) -> Blocker<'a> {
    let blocked_lanes = blocked_lanes(&open.code, outcome);
    let mut impacted_lanes: BTreeSet<&str> = open.lanes.iter().map(String::as_str).collect();
    impacted_lanes.extend(&blocked_lanes);
    for root in outcome.decision.roots.iter().filter(|root| open.entailed_by.contains(&root.code)) {
        impacted_lanes.extend(root.lanes.iter().map(String::as_str));
    }
    Blocker {
        code: &open.code,
        kind: if open.entailed_by.is_empty() { "root" } else { "entailed" },
        entailed_by: &open.entailed_by,
        entails: entailed_codes(&open.code, outcome),
        derived: open.derived,
        meaning: &open.meaning,
        defined_at: open.defined_at.as_ref().map(ToString::to_string),
        observed: open.causes.iter().map(observed).collect(),
        impacted_lanes,
        blocked_lanes,
        closure_criteria: closure_criteria(open, outcome),
        evidence: evidence(&open.code, outcome),
        false_claims: refuted_claims(&open.code, outcome).map(|case| case.name.as_str()).collect(),
    }
}

/// The ticked boxes that are not so because of this code.
pub(crate) fn refuted_claims<'a>(code: &str, outcome: &'a PhaseOutcome) -> impl Iterator<Item = &'a CaseOutcome> {
    outcome.cases.iter().filter(move |case| case.false_claim && codes(case).contains(code))
}

/// The lanes that did not run because of this code.
pub(crate) fn blocked_lanes<'a>(code: &str, outcome: &'a PhaseOutcome) -> BTreeSet<&'a str> {
    outcome
        .findings
        .iter()
        .filter(|f| f.outcome == Outcome::Blocked && f.blocked_by.as_deref() == Some(code))
        .map(|f| f.lane.as_str())
        .collect()
}

/// The codes that follow from a root.
pub(crate) fn entailed_codes<'a>(root: &str, outcome: &'a PhaseOutcome) -> Vec<&'a str> {
    outcome
        .decision
        .entailed
        .iter()
        .filter(|code| code.entailed_by.iter().any(|by| by == root))
        .map(|code| code.code.as_str())
        .collect()
}

/// The codes of a case's proofs that do not stand.
pub(crate) fn codes(case: &CaseOutcome) -> BTreeSet<&str> {
    case.proofs.iter().filter(|p| !p.stands && !p.code.is_empty()).map(|p| p.code.as_str()).collect()
}

fn observed(cause: &Cause) -> Observed<'_> {
    Observed { lane: &cause.lane, check: &cause.check, outcome: cause.outcome.word(), observed: &cause.observed }
}

fn closure_criteria(open: &OpenCode, outcome: &PhaseOutcome) -> Vec<Criterion> {
    let mut criteria: Vec<Criterion> = open
        .causes
        .iter()
        .map(|cause| Criterion {
            must_be_met: format!("the check `{}` of {}", cause.check, cause.lane),
            next: cause.next.clone(),
        })
        .collect();
    criteria.extend(open.entailed_by.iter().map(|root| Criterion {
        must_be_met: format!("{root}, from which it follows, is closed"),
        next: format!("close {root}"),
    }));
    criteria.extend(outcome.register.iter().filter(|claim| claim.code == open.code).map(|claim| Criterion {
        must_be_met: format!("the plan's register at {} does not list it", claim.place),
        next: format!("when its checks are met, strike {} at {}", claim.code, claim.place),
    }));
    criteria
}

/// The observations behind a code, each once, in the findings' order.
fn evidence<'a>(code: &str, outcome: &'a PhaseOutcome) -> Vec<&'a ObservationRef> {
    let opens = |finding: &Finding| opened_code(finding).is_some_and(|opened| opened == code);
    let mut seen = Vec::new();
    for observation in outcome.findings.iter().filter(|f| opens(f)).flat_map(|f| &f.observations) {
        if !seen.contains(&observation) {
            seen.push(observation);
        }
    }
    seen
}

fn claims(outcome: &PhaseOutcome, wanted: impl Fn(&CaseOutcome) -> bool) -> Vec<Claim<'_>> {
    let claim = |case| wanted(case).then(|| as_claim(case));
    outcome.cases.iter().filter_map(claim).collect()
}

fn as_claim(case: &CaseOutcome) -> Claim<'_> {
    Claim {
        case: &case.name,
        text: &case.text,
        place: case.place.to_string(),
        state: case.state.word(),
        codes: codes(case),
    }
}

fn entry(claim: &RegisterClaim) -> Entry<'_> {
    Entry {
        code: &claim.code,
        place: claim.place.to_string(),
        ready_to_close: claim.ready_to_close,
        measured: &claim.measured,
    }
}
