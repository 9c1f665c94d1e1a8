//! The suite of one phase: every plan of it in a repository, with its gate and its cases.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::bindings::Bindings;
use super::lock::{Lock, NAME as LOCK, Subject};
use crate::plan::{self, AlikeNames, DiscoverError, Parsed, Place, Plan, Source, SourceError};
use crate::registry::Handles;
use crate::run::cases::{Case, cases_of};
use crate::run::documents::Documents;
use crate::run::entry;
use crate::run::finding::{Finding, Outcome};
use crate::run::lane::{DeclarationError, Phase};

/// Why there is no suite.
#[derive(Debug, thiserror::Error)]
pub enum SuiteError {
    /// The plans of the repository cannot be told.
    #[error(transparent)]
    Discover(#[from] DiscoverError),
    /// A plan cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// Two lines would make cases of one name.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Alike(Vec<AlikeNames>),
    /// The gate's own declarations contradict each other.
    #[error(transparent)]
    Declaration(#[from] DeclarationError),
}

/// One plan with the gate of its track.
pub struct PlanSuite<'p> {
    /// The plan, and what is wrong with it.
    pub parsed: Parsed,
    /// The gate; without lanes where this version has none for the track.
    pub phase: Gate<'p>,
    /// Which requirement each box's text is: the gate's own bindings, and those of the repository's lock.
    pub bindings: Bindings,
    /// The cases, in the order of the plan.
    pub cases: Vec<Case>,
    /// Bindings of the lock that cannot be used, each as a finding that holds the gate.
    pub binding_problems: Vec<Finding>,
}

/// A gate that is declared, or the empty one for a track that has none.
pub enum Gate<'p> {
    /// Declared by the crate that knows the phases.
    Declared(&'p Phase),
    /// Nothing answers this track.
    Undeclared(Box<Phase>),
}

impl Gate<'_> {
    /// The phase.
    #[must_use]
    pub fn phase(&self) -> &Phase {
        match self {
            Self::Declared(phase) => phase,
            Self::Undeclared(phase) => phase,
        }
    }
}

impl PlanSuite<'_> {
    /// The name of the case that stands for the phase itself: register, entry, lock, codes.
    #[must_use]
    pub fn integrity_name(&self) -> String {
        format!("{}::{}::integrity", self.parsed.plan.track, self.parsed.plan.phase)
    }

    /// What a lock pins of it.
    #[must_use]
    pub fn subject<'a>(&'a self, documents: &'a Documents) -> Subject<'a> {
        self.subject_of(&documents.handles)
    }

    /// The same, with these handles.
    pub(crate) fn subject_of<'a>(&'a self, handles: &'a Handles) -> Subject<'a> {
        let phase = self.phase.phase();
        Subject {
            plan: &self.parsed.plan,
            handles,
            bindings: &self.bindings,
            needed: [phase.evidence_bucket, phase.region],
            records: phase.records(),
        }
    }

    /// What is wrong with the plan, each as a finding that holds the gate.
    #[must_use]
    pub fn problems(&self) -> Vec<Finding> {
        let mut findings = entry::plan_findings(self.phase.phase(), &self.parsed.plan, &self.parsed.errors);
        findings.extend(self.binding_problems.iter().cloned());
        findings
    }
}

/// Finds and reads the plans of `phase` below `root`. The lock's bindings extend those of the gates.
///
/// # Errors
/// When there is none, one cannot be read, or the names of its cases are not unique.
pub fn read<'p>(
    root: &Path,
    phase: &'static str,
    next: &'static str,
    gates: &'p [Phase],
    lock: Option<&Lock>,
) -> Result<Vec<PlanSuite<'p>>, SuiteError> {
    for gate in gates {
        gate.validate()?;
    }
    let mut plans = Vec::new();
    for found in plan::discover(root, phase)? {
        let source = Source::read(root, &found.path)?;
        plans.push(plan::parse(source, &found.track));
    }
    let asked: BTreeSet<(String, String)> = plans.iter().flat_map(|parsed| texts_of(&parsed.plan)).collect();
    let mut suites = Vec::new();
    for parsed in plans {
        let track = parsed.plan.track.as_str();
        let gate = gates.iter().find(|g| g.track == track && g.id == phase).map_or_else(
            || Gate::Undeclared(Box::new(Phase::without_lanes(track_name(track), phase, next))),
            Gate::Declared,
        );
        let (bindings, binding_problems) = bind(gate.phase(), &parsed.plan, lock, &asked);
        let cases = cases_of(&parsed.plan, gate.phase(), &bindings).map_err(SuiteError::Alike)?;
        suites.push(PlanSuite { parsed, phase: gate, bindings, cases, binding_problems });
    }
    Ok(suites)
}

/// The suite of one plan that was read before, such as the copy that an execution kept. Bindings of the lock for plans
/// that are not there are no orphans here.
pub(crate) fn of<'p>(parsed: Parsed, gate: &'p Phase, lock: Option<&Lock>) -> Result<PlanSuite<'p>, Vec<AlikeNames>> {
    let locked = lock.into_iter().flat_map(Lock::bindings);
    let asked = locked.map(|(binding, _)| (binding.lane.clone(), binding.hash.clone())).collect();
    let (bindings, binding_problems) = bind(gate, &parsed.plan, lock, &asked);
    let cases = cases_of(&parsed.plan, gate, &bindings)?;
    Ok(PlanSuite { parsed, phase: Gate::Declared(gate), bindings, cases, binding_problems })
}

/// Lane and hash of every box.
fn texts_of(plan: &Plan) -> impl Iterator<Item = (String, String)> {
    plan.boxes.iter().map(|asked| (asked.lane.clone().unwrap_or_else(|| plan.phase.clone()), asked.hash()))
}

/// The gate's bindings with those of the lock that are for this plan. `asked` are the texts of all tracks' plans of the
/// phase: a binding that none of them has is an orphan.
fn bind(
    phase: &Phase,
    plan: &Plan,
    lock: Option<&Lock>,
    asked: &BTreeSet<(String, String)>,
) -> (Bindings, Vec<Finding>) {
    let mut bindings = phase.bindings.clone();
    let mut problems = Vec::new();
    let own: BTreeSet<(String, String)> = texts_of(plan).collect();
    for (binding, place) in lock.into_iter().flat_map(Lock::bindings) {
        let of_phase = binding.lane.split('.').next() == Some(phase.id);
        let key = (binding.lane.clone(), binding.hash.clone());
        if !of_phase || (!own.contains(&key) && asked.contains(&key)) {
            continue;
        }
        if !own.contains(&key) {
            let why = format!(
                "{place}: no plan of {} has a box of {} with this text: \"{}\"",
                phase.id, binding.lane, binding.text
            );
            let next = format!(
                "delete the binding, or write the text that the plan has; `phasegate lock` takes it out of {LOCK}"
            );
            problems.push(entry::phase_finding(phase.id, "lock_orphan", Outcome::Unmet, why, next));
            continue;
        }
        if !phase.lanes.is_empty() && phase.requirement(&binding.lane, &binding.requirement).is_none() {
            let why =
                format!("{place}: no lane declares the requirement `{}` of {}", binding.requirement, binding.lane);
            problems.push(unusable(phase, why, &place));
            continue;
        }
        let mut extended = bindings.clone();
        match extended.extend(&place.to_string(), vec![binding.clone()]) {
            Ok(()) => bindings = extended,
            Err(error) => problems.push(unusable(phase, error.to_string(), &place)),
        }
    }
    (bindings, problems)
}

fn unusable(phase: &Phase, why: String, place: &Place) -> Finding {
    let next =
        format!("correct the binding at {place}; `phasegate list` names the requirements that texts are bound to");
    entry::phase_finding(phase.id, "lock_binding", Outcome::Error, why, next)
}

fn track_name(track: &str) -> &'static str {
    plan::TRACKS.into_iter().find(|known| *known == track).unwrap_or(plan::DEFAULT_TRACK)
}

/// The path of a plan, for messages.
#[must_use]
pub fn path_of(suite: &PlanSuite<'_>) -> PathBuf {
    suite.parsed.plan.source.path.to_path_buf()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::cases::CaseBinding;

    /// A plan that no code answers is no plan that passes: its gate holds, and says why.
    #[test]
    fn a_plan_without_a_gate_holds() {
        let folder = tempfile::TempDir::new().unwrap();
        let plan = "# Plan - M9\n\n### M9.A One\nDoD:\n- [ ] it is so.\n";
        std::fs::write(folder.path().join("platform.M9.build_plan.md"), plan).unwrap();
        let suites = read(folder.path(), "M9", "M10", &[], None).unwrap();
        assert_eq!(suites.len(), 1);
        let problems = suites[0].problems();
        assert!(problems.iter().any(|finding| finding.code == "PG-M9-no_gate"), "{problems:?}");
        assert!(suites[0].cases.iter().all(|case| matches!(case.binding, CaseBinding::Unbound { .. })));
    }
}
