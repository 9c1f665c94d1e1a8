//! From observations to findings, and from findings to cases and lanes.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::cases::{Case, CaseBinding, spot};
use super::check::{AnyCheck, CodeSource, Proof, derived_code};
use super::finding::{Basis, Control, Finding, Outcome};
use super::lane::{Lane, Phase, Stop};
use super::observation::{Answer, Observations};
use super::outcome::{CaseOutcome, CaseState, Decidable, Decision, Mode, ProofOutcome, Reporter, Spot};
use crate::plan::Plan;

/// How far a lane came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Progress {
    /// Not asked for.
    NotSelected,
    /// An earlier code kept it from running.
    Blocked(String),
    /// It ran until it stopped, or to its end.
    Ran(Option<Stop>),
}

/// Everything that findings and the decision follow from, but for the observations.
pub(crate) struct Judgement<'a> {
    pub phase: &'a Phase,
    pub plan: &'a Plan,
    pub reporter: &'a dyn Reporter,
    pub mode: Mode,
    pub whole: bool,
    pub lanes: BTreeMap<&'static str, Progress>,
    /// Findings of the phase itself.
    pub own: Vec<Finding>,
    /// Why a lane's document step could not go on.
    pub faults: BTreeMap<&'static str, String>,
}

impl Judgement<'_> {
    /// The findings of a lane.
    pub(crate) fn findings_of(&self, id: &str, observations: &Observations) -> Vec<Finding> {
        let Some(lane) = self.phase.lane(id) else { return Vec::new() };
        let progress = self.lanes.get(lane.id).unwrap_or(&Progress::NotSelected);
        let mut findings = lane_findings(lane, progress, observations, self.plan);
        if let Some(why) = self.faults.get(lane.id) {
            findings.push(fault(lane, why));
        }
        findings
    }

    /// How a lane came out.
    pub(crate) fn state_of(&self, id: &str, observations: &Observations) -> &'static str {
        match self.lanes.get(id) {
            None | Some(Progress::NotSelected) => "not run",
            Some(Progress::Blocked(_)) => "blocked",
            Some(Progress::Ran(_)) => {
                let findings = self.findings_of(id, observations);
                let met = !findings.is_empty() && findings.iter().all(|f| f.outcome == Outcome::Met);
                if met { "closed" } else { "held" }
            }
        }
    }

    /// All findings, the phase's own first.
    pub(crate) fn findings(&self, observations: &Observations) -> Vec<Finding> {
        let mut all = self.own.clone();
        for lane in &self.phase.lanes {
            if self.lanes.get(lane.id).is_some_and(|progress| *progress != Progress::NotSelected) {
                all.extend(self.findings_of(lane.id, observations));
            }
        }
        all
    }

    /// The decision on them.
    pub(crate) fn decide(&self, observations: &Observations, cases_pass: bool) -> Decision {
        let definitions: Vec<(String, String, Spot)> =
            self.plan.codes.iter().map(|c| (c.code.clone(), c.meaning.clone(), spot(&c.place))).collect();
        self.reporter.decide(&Decidable {
            phase: self.phase.id,
            mode: self.mode,
            whole: self.whole,
            findings: &self.findings(observations),
            predicates: &predicates(self.phase),
            cases_pass,
            definitions: &definitions,
            entails: &self.phase.entails,
        })
    }
}

/// The findings of one lane.
pub(crate) fn lane_findings(
    lane: &Lane,
    progress: &Progress,
    observations: &Observations,
    plan: &Plan,
) -> Vec<Finding> {
    let mut findings: Vec<Finding> =
        lane.checks.iter().map(|check| in_the_plans_codes(check.judge(lane.id, observations), plan)).collect();
    let unread: Vec<bool> = lane.checks.iter().map(|check| misses(*check, lane.id, observations)).collect();
    let blocker = match progress {
        Progress::NotSelected => None,
        Progress::Blocked(code) | Progress::Ran(Some(Stop::By { code })) => Some(code.clone()),
        Progress::Ran(stop) => {
            let opened = findings
                .iter()
                .zip(&unread)
                .find(|(finding, unread)| !**unread && opens(finding))
                .map(|(finding, _)| finding.code.clone());
            match (opened, stop) {
                (Some(code), Some(Stop::Fault(why))) => {
                    // The code says what is open; why the lane could not go on must not be lost.
                    let mut fault = fault(lane, why);
                    fault.outcome = Outcome::Blocked;
                    fault.blocked_by = Some(code.clone());
                    if !findings.iter().any(|finding| finding.why == fault.why) {
                        findings.push(fault);
                    }
                    Some(code)
                }
                (Some(code), _) => Some(code),
                (None, Some(Stop::Fault(why))) => {
                    let fault = fault(lane, why);
                    let code = fault.code.clone();
                    findings.push(fault);
                    Some(code)
                }
                _ => None,
            }
        }
    };
    if let Some(code) = blocker {
        for (finding, _) in findings.iter_mut().zip(&unread).filter(|(_, unread)| **unread) {
            finding.outcome = Outcome::Blocked;
            finding.why = format!("not asked: {code} stands in the way");
            finding.next = format!("close {code} first");
            finding.blocked_by = Some(code.clone());
        }
    }
    findings
}

/// Whether a finding opens its code.
pub(crate) fn opens(finding: &Finding) -> bool {
    matches!(finding.outcome, Outcome::Unmet | Outcome::Unsupported | Outcome::Error)
}

/// Whether a check has nothing to say: something that it reads was not observed, and no call of its own lane failed.
fn misses(check: &dyn AnyCheck, lane: &str, observations: &Observations) -> bool {
    let own: Vec<&str> = check.reads().iter().copied().filter(|name| !name.contains('/')).collect();
    observations.failed(lane, &own).is_none() && check.reads().iter().any(|name| observations.get(lane, name).is_none())
}

/// A code that the plan does not define is replaced by phasegate's own (PLANS.md 14).
fn in_the_plans_codes(mut finding: Finding, plan: &Plan) -> Finding {
    if !finding.derived && plan.code(&finding.code).is_none() {
        finding.code = derived_code(&finding.lane, &finding.check);
        finding.derived = true;
    }
    finding
}

pub(crate) fn fault(lane: &Lane, why: &str) -> Finding {
    Finding {
        check: format!("{}.completes", lane.short()),
        lane: lane.id.to_owned(),
        code: derived_code(lane.id, "lane_fault"),
        derived: true,
        outcome: Outcome::Error,
        basis: Basis::Observed,
        why: why.to_owned(),
        next: "do what the message says, then run the gate again".to_owned(),
        blocked_by: None,
        control: Control::NotRun,
        observations: Vec::new(),
    }
}

/// Judges one case by the findings. A Verify-ID with a command passes only where that command was carried out.
pub(crate) fn case_outcome(
    case: &Case,
    phase: &Phase,
    findings: &[Finding],
    observations: &Observations,
    selected: &BTreeSet<String>,
    command: &str,
) -> CaseOutcome {
    let rerun = format!("{command} --exact '{}'", case.name);
    let mut outcome = CaseOutcome {
        name: case.name.clone(),
        kind: case.kind,
        lane: case.lane.clone(),
        text: case.text.clone(),
        place: case.place.clone(),
        ticked: case.ticked,
        state: CaseState::NotSelected,
        basis: None,
        proofs: Vec::new(),
        false_claim: false,
        rerun,
    };
    if !selected.contains(&case.name) {
        return outcome;
    }
    match &case.binding {
        CaseBinding::Unbound { next } => {
            outcome.state = CaseState::Unbound;
            outcome.proofs.push(unanswered(&case.lane, "unbound", "nothing in this version answers it", next));
        }
        CaseBinding::Locked { state, why, next } => {
            outcome.state = *state;
            outcome.proofs.push(unanswered(&case.lane, state.word(), why, next));
        }
        CaseBinding::Bound(proofs) => {
            outcome.proofs = proofs.iter().flat_map(|proof| proof_outcomes(proof, phase, findings)).collect();
            if outcome.proofs.iter().all(|p| p.stands)
                && let Some(id) = case.command_of.as_deref().filter(|id| !was_carried_out(id, phase, observations))
            {
                let why = format!("{id} has a documented command, and it was not carried out in this execution");
                let next = "let the lane call the row, with an executor for its command; its checks are to read what came of it";
                outcome.proofs.push(unanswered(&case.lane, "row_not_carried_out", &why, next));
            }
            let stands = !outcome.proofs.is_empty() && outcome.proofs.iter().all(|p| p.stands);
            outcome.state = if stands { CaseState::Passed } else { CaseState::Failed };
            outcome.basis = proofs.iter().filter_map(|proof| weakest_basis(proof, findings)).max();
        }
    }
    // Blocked, unbound and failed calls leave a claim unproven; only what was found not to be so is false.
    outcome.false_claim =
        case.ticked == Some(true) && outcome.proofs.iter().any(|p| !p.stands && p.outcome == Outcome::Unmet);
    outcome
}

/// Whether a row was called, and answered: it leaves an observation of its name.
fn was_carried_out(id: &str, phase: &Phase, observations: &Observations) -> bool {
    let seen = |lane: &Lane| observations.get(lane.id, id).is_some_and(|seen| matches!(seen.answer, Answer::Value(_)));
    phase.lanes.iter().any(seen)
}

/// A proof that does not stand, of a case that no finding speaks of.
fn unanswered(lane: &str, code: &str, why: &str, next: &str) -> ProofOutcome {
    ProofOutcome {
        lane: lane.to_owned(),
        check: "-".to_owned(),
        refusal: false,
        stands: false,
        outcome: Outcome::Error,
        code: derived_code(lane, code),
        why: why.to_owned(),
        next: next.to_owned(),
    }
}

fn weakest_basis(proof: &Proof, findings: &[Finding]) -> Option<Basis> {
    match proof {
        Proof::Refused(_) => Some(Basis::Refused),
        Proof::Holds(check) => findings.iter().find(|f| f.check == check.name()).map(|f| f.basis),
        Proof::Lane(lane) => findings.iter().filter(|f| f.lane == *lane).map(|f| f.basis).max(),
    }
}

fn proof_outcomes(proof: &Proof, phase: &Phase, findings: &[Finding]) -> Vec<ProofOutcome> {
    match proof {
        Proof::Holds(check) => vec![holds(check.name(), findings, phase)],
        Proof::Refused(check) => vec![refused(check.name(), findings, phase)],
        Proof::Lane(lane) => {
            let own: Vec<ProofOutcome> = findings
                .iter()
                .filter(|f| f.lane == *lane)
                .map(|f| proof_of(f, false, f.outcome == Outcome::Met))
                .collect();
            if own.is_empty() { vec![absent("-", lane)] } else { own }
        }
    }
}

fn holds(check: &str, findings: &[Finding], phase: &Phase) -> ProofOutcome {
    findings.iter().find(|f| f.check == check).map_or_else(
        || absent(check, phase.owner(check).unwrap_or("-")),
        |finding| proof_of(finding, false, finding.outcome == Outcome::Met),
    )
}

fn refused(check: &str, findings: &[Finding], phase: &Phase) -> ProofOutcome {
    let Some(finding) = findings.iter().find(|f| f.check == check) else {
        return absent(check, phase.owner(check).unwrap_or("-"));
    };
    let mut outcome = proof_of(finding, true, matches!(finding.control, Control::Refused(_)));
    if let Control::Refused(why) = &finding.control {
        outcome.why = format!("the doctored observation was refused: {why}");
    }
    outcome
}

fn proof_of(finding: &Finding, refusal: bool, stands: bool) -> ProofOutcome {
    ProofOutcome {
        lane: finding.lane.clone(),
        check: finding.check.clone(),
        refusal,
        stands,
        outcome: finding.outcome,
        code: finding.blocked_by.clone().unwrap_or_else(|| finding.code.clone()),
        why: finding.why.clone(),
        next: finding.next.clone(),
    }
}

fn absent(check: &str, lane: &str) -> ProofOutcome {
    ProofOutcome {
        lane: lane.to_owned(),
        check: check.to_owned(),
        refusal: false,
        stands: false,
        outcome: Outcome::Error,
        code: derived_code(lane, "not_judged"),
        why: "the check was not judged in this execution".to_owned(),
        next: "run the whole phase".to_owned(),
    }
}

/// A check, judged in the codes of the plan.
pub(crate) fn judged(check: &dyn AnyCheck, lane: &str, observations: &Observations, plan: &Plan) -> Finding {
    in_the_plans_codes(check.judge(lane, observations), plan)
}

/// The plan's codes that the checks of a phase ask for, each once, in order of the lanes.
pub(crate) fn asked_codes(phase: &Phase) -> Vec<&'static str> {
    let mut codes = Vec::new();
    for check in phase.lanes.iter().flat_map(|l| &l.checks) {
        if let CodeSource::Plan(code) = check.code()
            && !codes.contains(&code)
        {
            codes.push(code);
        }
    }
    codes
}

/// The predicates of a phase as pairs of check and lane; a lane stands for all its checks.
pub(crate) fn predicates(phase: &Phase) -> Vec<(String, Vec<(String, String)>)> {
    let pair = |check: &dyn AnyCheck| (check.name().to_owned(), phase.owner(check.name()).unwrap_or("-").to_owned());
    phase
        .predicates
        .iter()
        .map(|(name, proofs)| {
            let checks = proofs
                .iter()
                .flat_map(|proof| match proof {
                    Proof::Holds(check) | Proof::Refused(check) => vec![pair(*check)],
                    Proof::Lane(id) => phase
                        .lane(id)
                        .map(|l| l.checks.iter().map(|c| pair(*c)).collect())
                        .unwrap_or_else(|| vec![("-".to_owned(), (*id).to_owned())]),
                })
                .collect();
            ((*name).to_owned(), checks)
        })
        .collect()
}

#[cfg(test)]
mod tests;
