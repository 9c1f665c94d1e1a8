//! Lanes and phases as declarations: what each asks, in the order of the plan.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::check::{AnyCheck, Proof};
use super::context::LaneRun;
use super::outcome::Entails;
use crate::harness::bindings::Bindings;

/// Why a lane stopped before its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stop {
    /// A check of its own is not met, or the code of an earlier one stands in the way.
    By {
        /// The code.
        code: String,
    },
    /// It could not go on for a reason that no check of it names.
    Fault(String),
}

/// A lane's step: `Ok` to go on.
pub type Step = Result<(), Stop>;

/// The body of a lane.
pub type Body = fn(&mut LaneRun<'_>) -> Step;

/// One sub-phase of a plan: its checks, what they prove, and the body that observes and acts.
pub struct Lane {
    pub(crate) id: &'static str,
    pub(crate) after: Vec<&'static str>,
    pub(crate) closing: Closing,
    pub(crate) proves: &'static str,
    pub(crate) documents: Option<Body>,
    pub(crate) execute: Body,
    pub(crate) publish: Option<Body>,
    pub(crate) checks: Vec<&'static dyn AnyCheck>,
    pub(crate) rows: Vec<(&'static str, Vec<Proof>)>,
    pub(crate) requirements: Vec<(&'static str, Vec<Proof>)>,
    pub(crate) given: Vec<&'static str>,
    pub(crate) again: Again,
    pub(crate) records: Vec<&'static str>,
}

/// What becomes of a closed lane in an execution that goes on from the one in which it was closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Again {
    /// It is taken over.
    No,
    /// What it finds may change meanwhile: it is asked again.
    Asked,
    /// It pins the run: it and all after it are run again, and a run that is pinned already holds.
    Pins,
}

/// Whether a lane closes the phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closing {
    /// It does not: the decision is frozen after it.
    No,
    /// It rolls up: it receives the frozen decision, and runs on a hold too.
    RollsUp,
    /// It hands over: it receives the frozen decision, and is blocked on a hold.
    HandsOver,
}

impl Lane {
    /// A lane `M3.B` that runs `execute`.
    #[must_use]
    pub fn new(id: &'static str, execute: Body) -> Self {
        Self {
            id,
            after: Vec::new(),
            closing: Closing::No,
            proves: "",
            documents: None,
            execute,
            publish: None,
            checks: Vec::new(),
            rows: Vec::new(),
            requirements: Vec::new(),
            given: Vec::new(),
            again: Again::No,
            records: Vec::new(),
        }
    }

    /// What it finds may change between two executions: one that goes on from another asks it again.
    #[must_use]
    pub fn asked_again(mut self) -> Self {
        self.again = Again::Asked;
        self
    }

    /// Words of the label of a record in the plan's lane that its proofs rest on: a lock pins what such a record says.
    #[must_use]
    pub fn rests_on(mut self, record: &'static str) -> Self {
        self.records.push(record);
        self
    }

    /// It pins the run, which no second execution may do: one that goes on from another never takes it over, nor any lane
    /// after it.
    #[must_use]
    pub fn pins_the_run(mut self) -> Self {
        self.again = Again::Pins;
        self
    }

    /// It needs another lane to be closed first.
    #[must_use]
    pub fn after(mut self, lane: &'static str) -> Self {
        self.after.push(lane);
        self
    }

    /// It rolls the phase up, on a hold too.
    #[must_use]
    pub fn rolls_up(mut self) -> Self {
        self.closing = Closing::RollsUp;
        self
    }

    /// It hands over to the next phase, and only when nothing holds.
    #[must_use]
    pub fn hands_over(mut self) -> Self {
        self.closing = Closing::HandsOver;
        self
    }

    /// What it can observe in documents alone; that runs even while the register forbids execution.
    #[must_use]
    pub fn documents(mut self, body: Body) -> Self {
        self.documents = Some(body);
        self
    }

    /// How it leaves its files, once it has looked. It runs also when a check of the lane is not met, so that
    /// the files say what was found; what the body needs and was not observed keeps it from publishing.
    #[must_use]
    pub fn publishes(mut self, body: Body) -> Self {
        self.publish = Some(body);
        self
    }

    /// The checks that are its own. It is closed when all of them are met.
    #[must_use]
    pub fn checks(mut self, checks: impl IntoIterator<Item = &'static dyn AnyCheck>) -> Self {
        self.checks.extend(checks);
        self
    }

    /// The checks that answer a Verify-ID of the plan.
    #[must_use]
    pub fn row(mut self, id: &'static str, proofs: impl IntoIterator<Item = Proof>) -> Self {
        self.rows.push((id, proofs.into_iter().collect()));
        self
    }

    /// The proofs of a requirement, to which bindings map the texts of boxes.
    #[must_use]
    pub fn requirement(mut self, name: &'static str, proofs: impl IntoIterator<Item = Proof>) -> Self {
        self.requirements.push((name, proofs.into_iter().collect()));
        self
    }

    /// The environment may give the value of this handle, where the registry has none.
    #[must_use]
    pub fn may_be_given(mut self, handle: &'static str) -> Self {
        self.given.push(handle);
        self
    }

    /// What it proves when it is closed, in a line, for the people who read the run.
    #[must_use]
    pub fn proves(mut self, words: &'static str) -> Self {
        self.proves = words;
        self
    }

    /// Its checks.
    #[must_use]
    pub fn own_checks(&self) -> &[&'static dyn AnyCheck] {
        &self.checks
    }

    /// Its id, `M3.B`.
    #[must_use]
    pub fn id(&self) -> &'static str {
        self.id
    }

    /// `m3b`, the head of its execution id and of its file names.
    #[must_use]
    pub fn short(&self) -> String {
        self.id.to_ascii_lowercase().replace('.', "")
    }
}

/// The gate of one phase of one track.
pub struct Phase {
    /// `dev_min`.
    pub track: &'static str,
    /// `M3`.
    pub id: &'static str,
    /// `M4`.
    pub next: &'static str,
    /// Its lanes in the order of the plan.
    pub lanes: Vec<Lane>,
    /// The plan's predicates, each a conjunction of proofs.
    pub predicates: Vec<(&'static str, Vec<Proof>)>,
    /// Document checks that must be met before anything is asked of the substrate.
    pub entry: Vec<&'static dyn AnyCheck>,
    /// Which code entails which.
    pub entails: Vec<Entails>,
    /// Which requirement each box's text is.
    pub bindings: Bindings,
    /// The handle that names the evidence bucket.
    pub evidence_bucket: &'static str,
    /// The handle that names the region.
    pub region: &'static str,
    /// Key prefix of control evidence, with `{id}` for an execution id.
    pub run_control: &'static str,
    /// Steps that stay with a person.
    pub required_of_a_person: &'static [&'static str],
    /// Its lanes build, run and push container images: without an engine and a registry none of them runs.
    pub images: bool,
}

/// A phase whose declarations contradict themselves.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the gate of {phase} is declared wrongly: {}", problems.join("; "))]
pub struct DeclarationError {
    /// The phase.
    pub phase: String,
    /// What is wrong.
    pub problems: Vec<String>,
}

impl Phase {
    /// A phase that no code answers: all its cases are unbound, and its gate holds.
    #[must_use]
    pub fn without_lanes(track: &'static str, id: &'static str, next: &'static str) -> Self {
        Self {
            track,
            id,
            next,
            lanes: Vec::new(),
            predicates: Vec::new(),
            entry: Vec::new(),
            entails: Vec::new(),
            bindings: Bindings::default(),
            evidence_bucket: "S3_EVIDENCE_BUCKET",
            region: "AWS_REGION",
            run_control: "evidence/run_control/{id}/",
            required_of_a_person: &[],
            images: false,
        }
    }

    /// The handles that the environment may give.
    pub fn may_be_given(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.lanes.iter().flat_map(|lane| lane.given.iter().copied())
    }

    /// The records that its lanes' proofs rest on: lane, and words of the label.
    #[must_use]
    pub fn records(&self) -> Vec<(&'static str, &'static str)> {
        self.lanes.iter().flat_map(|lane| lane.records.iter().map(|words| (lane.id, *words))).collect()
    }

    /// The lane that owns a check.
    #[must_use]
    pub fn owner(&self, check: &str) -> Option<&'static str> {
        self.lanes.iter().find(|l| l.checks.iter().any(|c| c.name() == check)).map(|l| l.id)
    }

    /// The lane `id`.
    #[must_use]
    pub fn lane(&self, id: &str) -> Option<&Lane> {
        self.lanes.iter().find(|l| l.id == id)
    }

    /// Every check of the phase with the lane that owns it, in the order of the lanes.
    pub fn checks(&self) -> impl Iterator<Item = (&'static str, &'static dyn AnyCheck)> + '_ {
        self.lanes.iter().flat_map(|lane| lane.checks.iter().map(|check| (lane.id, *check)))
    }

    /// The proofs of a requirement of `lane`: the lane's own; of the phase, `<lane>-complete`, and what some lane of it
    /// declares.
    #[must_use]
    pub fn requirement(&self, lane: &str, name: &str) -> Option<Vec<Proof>> {
        if let Some(closed) = name.strip_suffix("-complete")
            && let Some(lane) = self.lanes.iter().find(|l| l.id.eq_ignore_ascii_case(closed))
        {
            return Some(vec![Proof::Lane(lane.id)]);
        }
        if lane == self.id {
            // What the phase's own completion boxes ask is declared by the lane that does it.
            let mut declared = self.lanes.iter().flat_map(|lane| &lane.requirements);
            return declared.find(|(n, _)| *n == name).map(|(_, proofs)| proofs.clone());
        }
        self.lane(lane)?.requirements.iter().find(|(n, _)| *n == name).map(|(_, proofs)| proofs.clone())
    }

    /// The proofs of a Verify-ID.
    #[must_use]
    pub fn row(&self, id: &str) -> Option<Vec<Proof>> {
        self.lanes.iter().flat_map(|l| &l.rows).find(|(row, _)| *row == id).map(|(_, proofs)| proofs.clone())
    }

    /// A lane with all lanes that it needs, itself included.
    #[must_use]
    pub fn with_prerequisites(&self, lanes: &BTreeSet<&'static str>) -> BTreeSet<&'static str> {
        let mut all = lanes.clone();
        let mut open: Vec<&'static str> = lanes.iter().copied().collect();
        while let Some(id) = open.pop() {
            for after in self.lane(id).map(|l| l.after.as_slice()).unwrap_or(&[]) {
                if all.insert(after) {
                    open.push(after);
                }
            }
        }
        all
    }

    /// Looks for contradictions in the declarations: a check that two lanes own or none, an order
    /// that cannot be kept, a requirement without proof.
    ///
    /// # Errors
    /// With all of them.
    pub fn validate(&self) -> Result<(), DeclarationError> {
        let mut problems = Vec::new();
        let mut owners: BTreeMap<&str, &str> = BTreeMap::new();
        let mut seen: Vec<&str> = Vec::new();
        for lane in &self.lanes {
            for after in &lane.after {
                if !seen.contains(after) {
                    problems.push(format!("{} comes after {after}, which does not stand before it", lane.id));
                }
            }
            seen.push(lane.id);
            if lane.checks.is_empty() {
                problems.push(format!("{} has no check and could never hold", lane.id));
            }
            for check in &lane.checks {
                if let Some(other) = owners.insert(check.name(), lane.id) {
                    problems.push(format!("`{}` belongs to {other} and to {}", check.name(), lane.id));
                }
            }
        }
        let claims = self.lanes.iter().flat_map(|l| l.rows.iter().chain(&l.requirements)).chain(&self.predicates);
        for (name, proofs) in claims {
            if proofs.is_empty() {
                problems.push(format!("`{name}` has no proof"));
            }
            for proof in proofs {
                let known = match proof {
                    Proof::Lane(id) => seen.contains(id),
                    Proof::Holds(check) | Proof::Refused(check) => owners.contains_key(check.name()),
                };
                if !known {
                    problems.push(format!("`{name}` rests on what no lane has"));
                }
            }
        }
        for check in self.entry.iter().filter(|check| !owners.contains_key(check.name())) {
            problems.push(format!("the entry asks `{}`, which no lane has", check.name()));
        }
        for (lane, requirement) in self.bindings.requirements() {
            if self.requirement(lane, requirement).is_none() {
                problems.push(format!("a binding of {lane} names `{requirement}`, which no lane declares"));
            }
        }
        if problems.is_empty() {
            return Ok(());
        }
        Err(DeclarationError { phase: format!("{} {}", self.track, self.id), problems })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::check::Check;
    use rstest::rstest;

    static ONE: Check<u32> = Check::<u32>::derived("one", "one", &["n"], |n| Ok(n.to_string()), |n| *n = 0);
    static OTHER: Check<u32> = Check::<u32>::derived("other", "other", &["n"], |n| Ok(n.to_string()), |n| *n = 0);

    fn lane(id: &'static str) -> Lane {
        Lane::new(id, |_| Ok(())).checks([&ONE as &dyn AnyCheck])
    }

    fn phase(lanes: Vec<Lane>) -> Phase {
        Phase { lanes, ..Phase::without_lanes("dev_min", "M9", "M10") }
    }

    #[test]
    fn what_is_declared_rightly_is_accepted() {
        let second = Lane::new("M9.B", |_| Ok(())).after("M9.A").checks([&OTHER as &dyn AnyCheck]);
        let phase = phase(vec![lane("M9.A").row("M9A_V1", [ONE.holds()]), second]);
        assert_eq!(phase.validate(), Ok(()));
        assert_eq!(phase.owner("other"), Some("M9.B"));
        assert_eq!(phase.with_prerequisites(&BTreeSet::from(["M9.B"])), BTreeSet::from(["M9.A", "M9.B"]));
        assert!(phase.requirement("M9", "m9.a-complete").is_some());
    }

    #[rstest]
    #[case(vec![lane("M9.A"), lane("M9.B")], "`one` belongs to M9.A and to M9.B")]
    #[case(vec![Lane::new("M9.A", |_| Ok(()))], "M9.A has no check")]
    #[case(vec![lane("M9.A").after("M9.B")], "M9.A comes after M9.B")]
    #[case(vec![lane("M9.A").requirement("empty", [])], "`empty` has no proof")]
    #[case(vec![lane("M9.A").row("M9A_V1", [OTHER.holds()])], "`M9A_V1` rests on what no lane has")]
    #[case(vec![lane("M9.A").requirement("gone", [Proof::Lane("M9.Z")])], "`gone` rests on what no lane has")]
    fn a_contradiction_is_an_error(#[case] lanes: Vec<Lane>, #[case] says: &str) {
        let error = phase(lanes).validate().unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }

    #[test]
    fn an_entry_that_no_lane_has_is_an_error() {
        let mut phase = phase(vec![lane("M9.A")]);
        phase.entry = vec![&OTHER];
        assert!(phase.validate().unwrap_err().to_string().contains("the entry asks `other`"));
    }
}
