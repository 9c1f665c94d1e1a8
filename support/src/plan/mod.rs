//! Phase plans in Markdown, parsed with source positions. This page is the format's specification.
//!
//! A plan is GFM with tables and task lists. [`parse`] gives everything that could be read and every
//! line that could not; a plan with errors passes no gate. Where GFM loses text (a table cuts a cell
//! at a pipe, inline parsing eats backticks), the raw line is read again. Line endings may be LF,
//! CR LF or CR, mixed.
//!
//! # Which plan
//! A file named `platform.<PHASE>.build_plan.md` is the plan of that phase, `platform.build_plan.md`
//! the master plan, whose phase is [`MASTER`]. Under another name the first heading says it
//! (`# … - M3 (…)`). [`discover`] finds plans by these names.
//!
//! # Lanes
//! A heading that begins with a lane, `### M3.B Run identity`, opens the lane, at any level; more
//! headings may name it again (`### M3.B Evidence Contract`, `### M2.J-A Preconditions`). A heading
//! below it without a lane stays in it; one of its level or above closes it. In a master plan a
//! heading `## M1 - Packaging` opens a phase in the same way.
//!
//! # Labels
//! What a list means is told by the innermost of: the list item above it, the paragraph above it, the
//! headings above it. Items and paragraphs count only if they end with a colon. A label that follows
//! a list without an empty line is a label still, though Markdown reads it into the last item.
//!
//! | words, in any case | meaning |
//! | --- | --- |
//! | `DoD`, `DoD checklist`, `DoD anchors`, `M1 DoD checklist` | boxes of a lane |
//! | `DoD (summary)`, `DoD summary` | plain bullets, no cases |
//! | `Completion Checklist` | boxes of the phase |
//! | `… progress` | boxes of a master plan's sub-phases |
//! | `Verify ID \| Command template \| Purpose`, as a header | command catalog |
//! | `Blockers`, `… blocker taxonomy`, `… blocker model`, `… fail-closed policy` and kin | defines codes |
//! | `current`, `pre-execution`, `expected entry` or `open` blockers | claims that a code is open |
//! | a heading `… Blocker Register` | register, with `Current blockers:` and `Resolved blockers:` |
//! | `… decision pins` | laws, each with its clauses |
//! | `… evidence contract`, `Minimum … evidence payloads` | evidence files |
//! | `` `file.json` minimum fields ``, `Snapshot minimum fields` | fields of an evidence file |
//! | a header that begins with `Handle` and has status and blocker | handle closure matrix |
//! | a header that begins with `Handle` and has mode, invocation and required args | entrypoint matrix |
//! | `Authority Inputs`, `Authority and Precedence`, as a heading | documents that the plan obeys |
//! | `Goal`, `Tasks`, `Evaluate predicates` | what they say |
//! | planning or execution `status`, `historical`, `adjudication`, `Notes`, `Rule` | reports: nothing is asked |
//! | anything else, with the list right below it | record |
//!
//! # Boxes
//! `- [ ] text`, `* [x] text`, `+ [X] text`, `1. [ ] text`, at any indentation that keeps them list
//! items. Indented bullets below a box are its details, and count in [`PlanBox::hash`]. A box in a
//! list of no known kind is a `dod` box inside a lane and a `checklist` box outside, with a doubt. A
//! plain bullet among the boxes of a `DoD` or a completion checklist is an error.
//!
//! # Verify-IDs
//! `M3A_V1_HANDLE_KEY`, `M3A-V1-HANDLE-EXISTS`, `V1_REGISTRY_KEY`: the first cell of a catalog's row.
//! A row is cut at its first and last ` | ` only, so that pipes in its command are safe. A cell that is
//! one code span loses its backticks; backticks inside a quoted argument do not end the span.
//!
//! # Entrypoint matrices
//! A row for each mode in which an image is started: handle, mode, invocation, required arguments; further
//! columns are passed over. The invocation is one code span, `python -m package.module`, subcommands behind
//! it. The arguments begin with one code span, `--profile <path> --seed <int>`: each option has the
//! placeholder of its value, a subcommand may stand between; or with `none`. Options in later code spans
//! of that cell are optional, and all that stands behind the first span is kept as a note. A row that
//! fits in any other way is an error, and so is a header that lacks a column.
//!
//! # Records
//! `M1.A contract freeze record:` and its like: a list whose label means nothing else keeps its label and
//! its entries, words as written, code spans in their backticks, nesting and all. A list with a meaning of
//! its own somewhere below (`Minimum fields:`) counts there too; a box is a box, and no entry. A list
//! without a label, or below a heading that has a meaning, is no record; but where only the lane's title
//! has one (`M1.C Provenance and Evidence Contract`), the list counts in both ways.
//!
//! # Codes
//! `M3-B0`, `M3-B0.1`, `M3E-B3`; ranges and wildcards are no codes. In a list that defines, an entry
//! `` `code`: meaning `` (also without colon, or `meaning (code).`) is a definition; a second one of the
//! same code is an error. A register's entry defines its code if nothing else does. Elsewhere a line
//! that begins with a code and a colon is a mention, if the plan defines the code, else an error.
//!
//! # What is never dropped
//! A line that looks like a box, a Verify-ID row, a row of an entrypoint matrix (`|`, a handle, and a later
//! cell that begins with `python -m`) or a code definition comes out of the parser or is an error with its
//! line: in code blocks, quotes, comments, tables of another kind, or malformed (`- []`, `-[x]`,
//! `- [x]text`).
mod authority;
mod boxes;
mod codes;
mod context;
mod contracts;
mod discover;
mod entrypoints;
mod error;
mod items;
mod lint;
mod marks;
mod matrices;
mod model;
mod names;
mod reader;
mod records;
mod registers;
mod rows;
mod source;
mod sweep;

use std::path::Path;

use comrak::{Arena, Options, parse_document};

pub use boxes::{BoxKind, PlanBox, hash_of};
pub use codes::{Claim, CodeDefinition, CodeOrigin};
pub use discover::{DEFAULT_TRACK, DiscoverError, FoundPlan, TRACKS, discover, phases, track_of};
pub use entrypoints::{EntrypointRow, RequiredOption};
pub use error::{Diagnostic, EntrypointFault, PlanError, PlanErrorKind, Severity};
pub use lint::lint;
pub use model::{
    AuthorityInput, AuthorityKind, AuthorityRank, EvidenceContract, EvidenceFile, ExecutionId, LanePlan, Law, MASTER,
    MatrixRow, MinimumFields, Plan, Predicate, SummaryRequirement, Task, TaskFields,
};
pub use names::{AlikeNames, CaseName, CaseSubject, case_names};
pub use records::{Record, RecordEntry};
pub use registers::{Register, RegisterEntry};
pub use rows::VerifyRow;
pub use source::{Place, Source, SourceError};

use reader::Reader;
use source::Lines;

/// A plan, as far as it could be read, and everything that is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parsed {
    /// Everything that could be read.
    pub plan: Plan,
    /// Lines that could not be read, in the order of the document. A plan with errors passes no gate.
    pub errors: Vec<PlanError>,
    /// Lines that were read, but probably not as they were meant.
    pub doubts: Vec<Diagnostic>,
}

/// The GFM extensions that plans are written with.
#[must_use]
pub fn markdown_options() -> Options<'static> {
    let mut options = Options::default();
    options.extension.table = true;
    options.extension.tasklist = true;
    options
}

/// Parses a plan of the given track. Never panics, whatever the text is; see the module's
/// documentation for the grammar.
#[must_use]
pub fn parse(source: Source, track: &str) -> Parsed {
    let text = source.text.clone();
    let lines = Lines::of(&text);
    let arena = Arena::new();
    let root = parse_document(&arena, &text, &markdown_options());
    let mut plan = Plan::empty(source, track);
    let phase = phase_of(&plan.source.path, &lines);
    plan.phase = phase.clone().unwrap_or_default();
    let mut reader = Reader::new(plan, &lines);
    if phase.is_none() {
        reader.error(1, PlanErrorKind::UnknownPhase);
    }
    reader.document(root);
    reader.finish()
}

impl Reader<'_> {
    /// What can be said only when the whole document is read.
    fn finish(mut self) -> Parsed {
        contracts::name_snapshots(&mut self.plan.contracts);
        self.codes_of_registers();
        self.sweep();
        self.whole_document();
        self.errors.sort_by_key(|error| error.place.line);
        Parsed { plan: self.plan, errors: self.errors, doubts: self.doubts }
    }

    /// A register may name a code that no taxonomy defines: then its entry is the definition.
    fn codes_of_registers(&mut self) {
        let mut named = Vec::new();
        for entry in self.plan.registers.iter().flat_map(|register| register.open.iter().chain(&register.resolved)) {
            for code in &entry.codes {
                named.push(CodeDefinition {
                    code: code.clone(),
                    meaning: if entry.summary.is_empty() { entry.text.clone() } else { entry.summary.clone() },
                    lane: marks::lane_of(code),
                    origin: CodeOrigin::Register,
                    place: entry.place.clone(),
                });
            }
        }
        for definition in named {
            if self.plan.code(&definition.code).is_none() {
                self.plan.codes.push(definition);
            }
        }
    }

    fn sweep(&mut self) {
        let plan = &self.plan;
        let unread = sweep::unread(
            self.lines(),
            &self.read,
            |id| plan.rows.iter().any(|row| row.id == id),
            |code| plan.code(code).is_some(),
        );
        for (line, kind) in unread {
            self.error(line, kind);
        }
    }

    fn whole_document(&mut self) {
        let without_list: Vec<usize> = self
            .plan
            .registers
            .iter()
            .filter(|register| !self.listed_registers.contains(&register.place.line))
            .map(|register| register.place.line)
            .collect();
        for line in without_list {
            self.error(line, PlanErrorKind::RegisterWithoutList);
        }
        if !self.plan.is_master() && self.plan.authority.is_empty() {
            self.error(1, PlanErrorKind::NoAuthorityInputs);
        }
        if self.plan.boxes.is_empty() && self.plan.rows.is_empty() {
            self.error(1, PlanErrorKind::NoCases);
        }
    }
}

/// `platform.M3.build_plan.md` is of phase M3, `platform.build_plan.md` the master plan; any other
/// name leaves it to the first heading (`… - M3 (…)`).
fn phase_of(path: &Path, lines: &Lines<'_>) -> Option<String> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or("");
    if name == "platform.build_plan.md" {
        return Some(MASTER.to_owned());
    }
    let middle = name.strip_prefix("platform.").and_then(|rest| rest.strip_suffix(".build_plan.md"));
    if let Some((phase, "")) = middle.and_then(marks::phase) {
        return Some(phase.to_owned());
    }
    let title = lines.numbered().map(|(_, line)| line).find(|line| line.starts_with("# "))?;
    title
        .split(|next: char| !next.is_ascii_alphanumeric())
        .find_map(|word| marks::phase(word).filter(|(_, rest)| rest.is_empty()))
        .map(|(phase, _)| phase.to_owned())
}
