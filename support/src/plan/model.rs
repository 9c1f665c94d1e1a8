//! What a parsed plan is made of, apart from boxes, rows, codes and registers.

use std::path::PathBuf;

use super::boxes::PlanBox;
use super::codes::{Claim, CodeDefinition};
use super::entrypoints::EntrypointRow;
use super::records::{self, Record};
use super::registers::Register;
use super::rows::VerifyRow;
use super::source::{Place, Source};

/// One phase plan, or a master plan, with the place of everything in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The document.
    pub source: Source,
    /// The migration line: `dev_min`, `dev_full`.
    pub track: String,
    /// `M3`; `plan` for a master plan.
    pub phase: String,
    /// The first heading, without its marks; empty where there is none.
    pub title: String,
    /// The lanes in the order of their first headings; in a master plan, its phases.
    pub lanes: Vec<LanePlan>,
    /// All boxes, in the order of the document.
    pub boxes: Vec<PlanBox>,
    /// All Verify-ID rows, in the order of the document.
    pub rows: Vec<VerifyRow>,
    /// All blocker codes that the plan defines, the register's own among them.
    pub codes: Vec<CodeDefinition>,
    /// Decision laws.
    pub laws: Vec<Law>,
    /// Rows of handle closure matrices: what the plan claims of each handle.
    pub matrices: Vec<MatrixRow>,
    /// Rows of entrypoint matrices: how each mode of the image is started.
    pub entrypoints: Vec<EntrypointRow>,
    /// Labelled lists that no other rule takes, in the order of the document.
    pub records: Vec<Record>,
    /// Lines of code that stand in blocks, in the order of the document: no part of the plan's grammar, and said all the same.
    pub code_lines: Vec<CodeLine>,
    /// Evidence files and their minimum fields, one contract for each lane that has any.
    pub contracts: Vec<EvidenceContract>,
    /// Field lists inside tasks, such as what a handoff pack is to contain.
    pub task_fields: Vec<TaskFields>,
    /// Blocker registers.
    pub registers: Vec<Register>,
    /// Blockers said to be open outside a register.
    pub claims: Vec<Claim>,
    /// The documents that the plan obeys.
    pub authority: Vec<AuthorityInput>,
    /// Execution ids that the plan records.
    pub execution_ids: Vec<ExecutionId>,
    /// Names of the predicates of the verdict.
    pub predicates: Vec<Predicate>,
    /// Bullets of a `DoD summary`: asked of a later phase, and no case of this plan.
    pub requirements_without_cases: Vec<SummaryRequirement>,
}

impl Plan {
    pub(crate) fn empty(source: Source, track: &str) -> Self {
        Self {
            source,
            track: track.to_owned(),
            phase: String::new(),
            title: String::new(),
            lanes: Vec::new(),
            boxes: Vec::new(),
            rows: Vec::new(),
            codes: Vec::new(),
            laws: Vec::new(),
            matrices: Vec::new(),
            entrypoints: Vec::new(),
            records: Vec::new(),
            code_lines: Vec::new(),
            contracts: Vec::new(),
            task_fields: Vec::new(),
            registers: Vec::new(),
            claims: Vec::new(),
            authority: Vec::new(),
            execution_ids: Vec::new(),
            predicates: Vec::new(),
            requirements_without_cases: Vec::new(),
        }
    }

    /// Whether this is a master plan: its boxes belong to phases, not to lanes.
    #[must_use]
    pub fn is_master(&self) -> bool {
        self.phase == MASTER
    }

    /// The definition of `code`, if the plan has one.
    #[must_use]
    pub fn code(&self, code: &str) -> Option<&CodeDefinition> {
        self.codes.iter().find(|defined| defined.code == code)
    }

    /// The records of a lane whose label holds these words, in any case. Wordings differ from plan to plan: who needs
    /// one record must see that it is the only one.
    pub fn records_about<'p>(&'p self, lane: &'p str, words: &'p str) -> impl Iterator<Item = &'p Record> {
        let of_lane = self.records.iter().filter(move |record| record.lane.as_deref() == Some(lane));
        of_lane.filter(move |record| records::holds(&record.label, words))
    }
}

/// One line of a block of code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodeLine {
    /// The lane under whose heading it stands.
    pub lane: Option<String>,
    /// As it is written, without the white space around it; never empty. Lines that end with a backslash are joined with the next.
    pub text: String,
    /// Where it begins.
    pub place: Place,
}

/// [`Plan::phase`] of a master plan.
pub const MASTER: &str = "plan";

/// A sub-phase that executes and leaves evidence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LanePlan {
    /// `M3.B`; a phase such as `M1` in a master plan.
    pub id: String,
    /// The heading behind the id.
    pub title: String,
    /// The entries of `Goal:`.
    pub goal: Vec<String>,
    /// The entries of `Tasks:`.
    pub tasks: Vec<Task>,
    /// The lane's first heading.
    pub place: Place,
}

/// One entry of a lane's tasks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// The entry's own text.
    pub text: String,
    /// The texts below it, in order, nesting dropped.
    pub details: Vec<String>,
    /// Where it stands.
    pub place: Place,
}

/// One entry of a list of decision pins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Law {
    /// The lane, or none for a law of the phase.
    pub lane: Option<String>,
    /// `Write-once law`, without the colon.
    pub name: String,
    /// Its clauses, in order, nesting dropped.
    pub clauses: Vec<String>,
    /// Where it stands.
    pub place: Place,
}

/// One row of a handle closure matrix: a claim of the plan, to be compared with what is resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MatrixRow {
    /// The lane.
    pub lane: Option<String>,
    /// A handle's name, or the words for a prerequisite that is none.
    pub handle: String,
    /// `registry literal`, `M2 handoff output` …
    pub source_class: String,
    /// Where the value is said to come from; raw, code spans kept.
    pub source: String,
    /// The Verify-IDs that prove it.
    pub verification: Vec<String>,
    /// `non_secret` …; none where the matrix has no such column.
    pub secret_class: Option<String>,
    /// `CLOSED_SPEC`, `BLOCKED` …
    pub status: String,
    /// The code named as blocker; none for `none`.
    pub blocker: Option<String>,
    /// Where it stands.
    pub place: Place,
}

/// The evidence that a lane, or the phase, has to leave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EvidenceContract {
    /// The lane; none for the phase's own contract.
    pub lane: Option<String>,
    /// The files asked for, in the order of the document. A file asked for locally and durably
    /// stands twice, with two paths.
    pub files: Vec<EvidenceFile>,
    /// Lists of minimum fields.
    pub minimum_fields: Vec<MinimumFields>,
}

impl EvidenceContract {
    /// The fields that the file of this name must have; empty when the plan asks for none.
    pub fn minimum_fields_of(&self, file: &str) -> impl Iterator<Item = &str> {
        self.minimum_fields
            .iter()
            .filter(move |list| list.file.as_deref() == Some(file))
            .flat_map(|list| list.fields.iter().map(String::as_str))
    }
}

/// One file of an evidence contract.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EvidenceFile {
    /// The file's name.
    pub name: String,
    /// The whole path as the plan writes it, placeholders and all; none for a bare name.
    pub path: Option<String>,
    /// Where it stands.
    pub place: Place,
}

/// One list of minimum fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MinimumFields {
    /// The file; none where the plan's words leave open which one is meant.
    pub file: Option<String>,
    /// The names of the fields.
    pub fields: Vec<String>,
    /// The label above the list.
    pub place: Place,
}

/// Fields that a task asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskFields {
    /// The lane.
    pub lane: Option<String>,
    /// The task's text.
    pub task: String,
    /// The file that the task's text names, if it names one.
    pub file: Option<String>,
    /// Entries that are a field's name.
    pub fields: Vec<String>,
    /// Entries in words, which no field list can check.
    pub others: Vec<String>,
    /// Where the task stands.
    pub place: Place,
}

/// A document that the plan obeys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthorityInput {
    /// As written, relative to the repository root.
    pub path: PathBuf,
    /// Under which label it stands.
    pub rank: AuthorityRank,
    /// What it is, told by its name.
    pub kind: AuthorityKind,
    /// What the entry says beside the path.
    pub note: String,
    /// Where it stands.
    pub place: Place,
}

/// The label of an authority input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AuthorityRank {
    /// Under `Primary:`, or the first list of the section.
    Primary,
    /// Under any other label.
    Supporting,
}

/// The kind of an authority input, told by its file name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AuthorityKind {
    /// `*handles.registry*.md`.
    Registry,
    /// `*run_process_flow.md`.
    Runbook,
    /// JSON below `runs/`.
    Handoff,
    /// `platform*build_plan.md`.
    Plan,
    /// Anything else.
    Other,
}

/// An execution id that the plan records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecutionId {
    /// The lane under whose heading it stands.
    pub lane: Option<String>,
    /// `m3b_20260223T184232Z`.
    pub id: String,
    /// Whether the label above calls it authoritative, or the latest.
    pub authoritative: bool,
    /// Where it stands.
    pub place: Place,
}

/// A name under `Evaluate predicates:`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Predicate {
    /// The lane.
    pub lane: Option<String>,
    /// `handles_closed`.
    pub name: String,
    /// Where it stands.
    pub place: Place,
}

/// A bullet of a `DoD summary`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SummaryRequirement {
    /// The phase or lane it is asked of.
    pub scope: Option<String>,
    /// Its text, with what is nested below it.
    pub text: String,
    /// Where it stands.
    pub place: Place,
}
