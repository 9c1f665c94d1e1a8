//! Findings: what a check decided, why, and on which observations.

use serde::{Deserialize, Serialize};

use super::observation::ObservationRef;

/// What a check came to. Only `Met` passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The observations show what was asked, and the negative control was refused.
    Met,
    /// The observations show that it is not so.
    Unmet,
    /// The substrate cannot answer truly.
    Unsupported,
    /// The question could not be asked or the answer could not be read.
    Error,
    /// An earlier blocker kept the lane from asking.
    Blocked,
}

impl Outcome {
    /// The word for it in reports.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Met => "met",
            Self::Unmet => "unmet",
            Self::Unsupported => "unsupported",
            Self::Error => "error",
            Self::Blocked => "blocked",
        }
    }
}

/// On what a finding, and so a case, rests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// A reply of the world.
    Observed,
    /// A value computed again by another way than the first time.
    Recomputed,
    /// A negative control: the doctored observation was refused.
    Refused,
    /// The plan's own text or an earlier document.
    Documented,
    /// A person's word.
    Human,
}

/// What became of a check's negative control in this execution.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Control {
    /// The doctored observation was refused, with this reason.
    Refused(String),
    /// The doctored observation passed: the check cannot fail, and its own answer counts for nothing.
    Passed,
    /// There was no observation to doctor.
    NotRun,
}

/// A check's outcome.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// The check's name, `run_pin.absent`.
    pub check: String,
    /// The lane that declares it.
    pub lane: String,
    /// The blocker code that it opens when it is not met.
    pub code: String,
    /// True when the plan has no such code and this one is phasegate's own (`PG-…`).
    pub derived: bool,
    /// The outcome.
    pub outcome: Outcome,
    /// On what it rests.
    pub basis: Basis,
    /// What was observed, in a sentence.
    pub why: String,
    /// The one next edit or command, for outcomes that do not pass.
    pub next: String,
    /// For `blocked`: the code that blocks.
    pub blocked_by: Option<String>,
    /// What became of the negative control.
    pub control: Control,
    /// What it was decided on.
    pub observations: Vec<ObservationRef>,
}
