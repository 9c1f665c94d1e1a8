//! What one execution of one phase came to: the single record from which every report is rendered.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::clock::Instant;
use super::finding::{Basis, Finding, Outcome};

/// A line of a document.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Spot {
    /// The file, relative to the plan repository.
    pub path: PathBuf,
    /// The line, from 1.
    pub line: usize,
}

impl std::fmt::Display for Spot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.path.display(), self.line)
    }
}

/// What an execution was allowed to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// It read only; what it would have written stayed in memory and on the local disk.
    Preflight,
    /// It wrote to the substrate.
    Commit,
}

/// What an execution proves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunBasis {
    /// Substrate `aws`, wall clock, in the account that the lock pins.
    Live,
    /// Everything else.
    Rehearsal,
}

impl RunBasis {
    /// The word for it in reports.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Rehearsal => "rehearsal",
        }
    }
}

/// The answer of a gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Every case of the phase was judged in this execution, and passed.
    Advance,
    /// The same, of a run that only read.
    WouldAdvance,
    /// Something is not so.
    Hold,
    /// Fewer than all cases were judged. It is never an advance.
    Partial,
}

impl Verdict {
    /// The verdict as the plan writes it: `ADVANCE_TO_M4`, `HOLD_M3`.
    #[must_use]
    pub fn text(self, phase: &str, next: &str) -> String {
        match self {
            Self::Advance => format!("ADVANCE_TO_{next}"),
            Self::WouldAdvance => "WOULD_ADVANCE".to_owned(),
            Self::Hold => format!("HOLD_{phase}"),
            Self::Partial => "PARTIAL".to_owned(),
        }
    }
}

/// A blocker code that is open.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OpenCode {
    /// `M3-B4`, or `PG-M3.A-handoff_readable`.
    pub code: String,
    /// True when the plan has no such code.
    pub derived: bool,
    /// The root codes that entail it; empty for a root.
    pub entailed_by: Vec<String>,
    /// The plan's own words for it; for a derived code, phasegate's.
    pub meaning: String,
    /// Where the plan defines it, where it does.
    pub defined_at: Option<Spot>,
    /// The lanes whose checks opened it, `M3` for the phase itself.
    pub lanes: Vec<String>,
    /// The checks that opened it, with what was observed and what to do.
    pub causes: Vec<Cause>,
}

/// One reason for an open code.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cause {
    /// The check.
    pub check: String,
    /// Its lane, `M3` for the phase itself.
    pub lane: String,
    /// Its outcome: unmet, unsupported or error.
    pub outcome: Outcome,
    /// What was observed.
    pub observed: String,
    /// The one next edit or command.
    pub next: String,
}

/// An entry of the plan's own blocker register that is open, measured again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RegisterClaim {
    /// The code that the register lists.
    pub code: String,
    /// Where.
    pub place: Spot,
    /// True when every check that measures it is met: the entry can be closed by hand. It holds the
    /// gate until that is done.
    pub ready_to_close: bool,
    /// What the measurement said; that no check measures it, where none does.
    pub measured: String,
}

/// What the findings say, frozen: the closing lanes publish it and may only lower it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// The verdict.
    pub verdict: Verdict,
    /// The plan's predicates, each a conjunction of checks.
    pub predicates: BTreeMap<String, bool>,
    /// Open codes that stand for themselves, by code.
    pub roots: Vec<OpenCode>,
    /// Open codes that follow from those, by code.
    pub entailed: Vec<OpenCode>,
}

/// The closing lanes may lower a decision; nothing may raise it.
pub(crate) fn lower(decision: &mut Decision, frozen: Option<&Decision>) {
    let rank = |v: Verdict| match v {
        Verdict::Hold => 0,
        Verdict::Partial => 1,
        Verdict::WouldAdvance => 2,
        Verdict::Advance => 3,
    };
    if let Some(frozen) = frozen
        && rank(frozen.verdict) < rank(decision.verdict)
    {
        decision.verdict = frozen.verdict;
    }
}

/// What kind of thing in the plan a case is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CaseKind {
    /// A Definition-of-Done box.
    Dod,
    /// A box of a phase's completion list.
    Checklist,
    /// A sub-phase box of a master plan.
    Progress,
    /// A Verify-ID row.
    Row,
}

/// How a case came out. Only `Passed` passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CaseState {
    /// Every proof of it is met.
    Passed,
    /// A proof is not met.
    Failed,
    /// No code answers this text or id.
    Unbound,
    /// The lock pins another text for it than the plan has now.
    Stale,
    /// The lock or a binding names a text that the plan no longer has.
    Orphan,
    /// A filter left it out.
    NotSelected,
}

impl CaseState {
    /// The word for it in reports.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Unbound => "unbound",
            Self::Stale => "stale",
            Self::Orphan => "orphan",
            Self::NotSelected => "not selected",
        }
    }
}

/// One proof of a case, judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProofOutcome {
    /// The lane of the check.
    pub lane: String,
    /// The check.
    pub check: String,
    /// True when the proof is the refusal of the check's negative control.
    pub refusal: bool,
    /// Whether the proof stands.
    pub stands: bool,
    /// The check's outcome.
    pub outcome: Outcome,
    /// The code that it opens, or for `blocked` the one that blocks it.
    pub code: String,
    /// What was observed.
    pub why: String,
    /// The one next edit or command.
    pub next: String,
}

/// One case, judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CaseOutcome {
    /// `dev_min::M3.B::dod-2::collision_check_is_executed_and_evidenced`.
    pub name: String,
    /// What it is in the plan.
    pub kind: CaseKind,
    /// Its lane, `M3.B`; the phase for a checklist.
    pub lane: String,
    /// What the plan requires: the box's text, or the row's purpose.
    pub text: String,
    /// Where the plan says so.
    pub place: Spot,
    /// Whether the plan claims it as done; rows claim nothing.
    pub ticked: Option<bool>,
    /// How it came out.
    pub state: CaseState,
    /// The weakest basis among its proofs.
    pub basis: Option<Basis>,
    /// Its proofs.
    pub proofs: Vec<ProofOutcome>,
    /// Ticked in the plan, and found not to be so. A claim that could not be measured is not false.
    pub false_claim: bool,
    /// The command that runs it again.
    pub rerun: String,
}

/// How a lane came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LaneState {
    /// It ran, and every check of it is met.
    Closed,
    /// It ran, and some check is not met.
    Held,
    /// It did not run, because of an earlier code.
    Blocked,
    /// A filter left it out.
    NotSelected,
}

/// One lane's outcome.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LaneOutcome {
    /// `M3.B`.
    pub lane: String,
    /// The plan's title of it.
    pub title: String,
    /// Its execution id, `m3b_20260213T214223Z`.
    pub execution_id: String,
    /// How it came out.
    pub state: LaneState,
    /// How many of its checks are met.
    pub met: usize,
    /// How many checks it has.
    pub checks: usize,
    /// What was proven, or the code that blocked it.
    pub said: String,
}

/// A file of this execution.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvidenceFile {
    /// Path below the execution's folder.
    pub path: String,
    /// SHA-256 of its bytes.
    pub sha256: String,
    /// Its `s3://` URI, where it was also put there and read back equal.
    pub uri: Option<String>,
}

/// What an execution took over from an earlier one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resumed {
    /// The earlier execution.
    pub execution_id: String,
    /// Its lanes that were taken over; their observations are this execution's too.
    pub lanes: Vec<String>,
    /// The files that those lanes left, by their paths below the earlier execution's folder.
    pub files: Vec<EvidenceFile>,
}

/// What this execution read, by digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputDigest {
    /// `plan`, `registry`, `lock`, `runbook`, `handoff`.
    pub role: String,
    /// Path in the plan repository.
    pub path: String,
    /// SHA-256 of its bytes.
    pub sha256: String,
}

/// One execution of one phase.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PhaseOutcome {
    /// Version of this record, [`PhaseOutcome::SCHEMA`]; readers and reporters refuse others.
    pub schema: String,
    /// `dev_min`.
    pub track: String,
    /// `M3`.
    pub phase: String,
    /// `M4`.
    pub next_phase: String,
    /// `m3_20260213T214223Z`.
    pub execution_id: String,
    /// What it proves.
    pub basis: RunBasis,
    /// What it was allowed to do.
    pub mode: Mode,
    /// `embedded`, `endpoint` or `aws`.
    pub substrate: String,
    /// The account that the substrate reported, where it was asked.
    pub account: Option<String>,
    /// The run that the execution pinned, where it came so far.
    #[serde(default)]
    pub platform_run_id: Option<String>,
    /// The execution's instant.
    pub written_at_utc: Instant,
    /// phasegate's version.
    pub version: String,
    /// What it read.
    pub inputs: Vec<InputDigest>,
    /// Evidence that was taken on trust: no digest was ever recorded for it.
    pub trusted_unverified: Vec<String>,
    /// Notes without effect on the verdict: absent authority inputs, stale prose.
    pub notes: Vec<String>,
    /// The lanes in their order.
    pub lanes: Vec<LaneOutcome>,
    /// All findings, the phase's own first.
    pub findings: Vec<Finding>,
    /// The plan's cases in the plan's order.
    pub cases: Vec<CaseOutcome>,
    /// The phase's register, measured again.
    pub register: Vec<RegisterClaim>,
    /// The verdict and what opens it.
    pub decision: Decision,
    /// The steps that stay with a person: "USER confirms progression".
    pub required_of_a_person: Vec<String>,
    /// The execution's folder. It is not part of the written record, which says the same wherever
    /// it lies; who reads one knows where it lay.
    #[serde(skip)]
    pub folder: PathBuf,
    /// Its files so far, `verdict.json` excepted.
    pub files: Vec<EvidenceFile>,
    /// What it took over from an earlier execution.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resumed: Option<Resumed>,
}

impl PhaseOutcome {
    /// The version of this record that this phasegate writes and reads.
    pub const SCHEMA: &'static str = "phasegate.findings/1";

    /// The verdict as the plan writes it.
    #[must_use]
    pub fn verdict(&self) -> String {
        self.decision.verdict.text(&self.phase, &self.next_phase)
    }

    /// How many cases passed.
    #[must_use]
    pub fn passed(&self) -> usize {
        self.cases.iter().filter(|c| c.state == CaseState::Passed).count()
    }
}

/// What the reporter decides on.
#[derive(Debug, Clone)]
pub struct Decidable<'a> {
    /// `M3`.
    pub phase: &'a str,
    /// What the execution was allowed to do.
    pub mode: Mode,
    /// True when all cases of the phase are selected.
    pub whole: bool,
    /// All findings so far.
    pub findings: &'a [Finding],
    /// The predicates of the plan: name, and the checks it joins, each as `(check, lane)`.
    pub predicates: &'a [(String, Vec<(String, String)>)],
    /// True when every selected case passes; before the cases are judged: true when nothing is
    /// known against it.
    pub cases_pass: bool,
    /// The codes that the plan defines: code, meaning, place.
    pub definitions: &'a [(String, String, Spot)],
    /// Which code entails which.
    pub entails: &'a [Entails],
}

/// A root code brings a phase code with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entails {
    /// The root; [`Entails::ANY`] for any code that is open.
    pub root: String,
    /// The code that follows.
    pub code: String,
    /// True when `code` follows only where a check of its own opened it too: then it is not a root.
    #[serde(default)]
    pub only_if_open: bool,
}

impl Entails {
    /// Stands for every open code, but for those that follow from any.
    pub const ANY: &str = "*";

    /// `code` follows from any other open code, where a check of its own opened it too.
    #[must_use]
    pub fn by_any(code: String) -> Self {
        Self { root: Self::ANY.to_owned(), code, only_if_open: true }
    }
}

/// One file that a reporter renders.
#[derive(Debug, Clone, PartialEq)]
pub struct Rendered {
    /// File name in the execution's folder.
    pub name: String,
    /// What is in it.
    pub body: RenderedBody,
}

/// The two forms of report files.
#[derive(Debug, Clone, PartialEq)]
pub enum RenderedBody {
    /// JSON, to be written canonically.
    Json(serde_json::Value),
    /// Other text, to be written as it is.
    Text(String),
}

/// A report that could not be rendered.
#[derive(Debug, thiserror::Error)]
#[error("{name} could not be rendered: {why}")]
pub struct RenderError {
    /// The file.
    pub name: String,
    /// What went wrong.
    pub why: String,
}

/// Decides and renders; implemented by the `reports` crate.
pub trait Reporter {
    /// Verdict and open codes out of findings. Pure.
    fn decide(&self, facts: &Decidable<'_>) -> Decision;

    /// The report files of one execution, `verdict.json` excepted: blocker register, findings, JUnit.
    ///
    /// # Errors
    /// When a format cannot hold the outcome.
    fn render(&self, outcome: &PhaseOutcome) -> Result<Vec<Rendered>, RenderError>;

    /// `verdict.json`: the outcome in short, with the digest of every other file.
    ///
    /// # Errors
    /// When it cannot be written as JSON.
    fn verdict(&self, outcome: &PhaseOutcome) -> Result<serde_json::Value, RenderError>;

    /// What a person reads at the end of a run: lanes, open codes with what to do, where the
    /// evidence lies. The last line is the one that machines read.
    fn summary(&self, outcome: &PhaseOutcome) -> String;
}
