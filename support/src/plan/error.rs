//! What can be wrong with a plan, where, and what to do about it.

use std::fmt;

use thiserror::Error;

use super::source::Place;

/// A line of a plan that could not be read, or that contradicts another one.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub struct PlanError {
    /// Where the line stands.
    pub place: Place,
    /// The line itself, as written.
    pub line: String,
    /// What is wrong with it.
    pub kind: PlanErrorKind,
}

impl fmt::Display for PlanError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.place, self.kind)?;
        if !self.line.trim().is_empty() {
            write!(out, "\n  | {}", self.line.trim_end())?;
        }
        write!(out, "\n  = {}", self.kind.help())
    }
}

/// The ways in which a plan can be unreadable.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PlanErrorKind {
    /// Something like `- [ ]` that Markdown does not read as a box: in a code block, a quote, a
    /// comment, a table, or written without the white space it needs.
    #[error("this looks like a box, and is not read as one")]
    UnreadBox,
    /// A box with nothing behind it.
    #[error("this box has no text")]
    EmptyBox,
    /// A plain bullet among the boxes of a `DoD` or a completion checklist.
    #[error("a requirement in a list of boxes has no box")]
    RequirementWithoutBox,
    /// A Verify-ID that stands in no catalog: outside a table, in a code block, in a quote.
    #[error("this looks like a Verify-ID row, and stands in no catalog of commands")]
    UnreadRow,
    /// A Verify-ID under a header that is not `Verify ID | Command template | Purpose`.
    #[error("a Verify-ID stands under the header `{header}`")]
    UnusualHeader {
        /// The header, as written.
        header: String,
    },
    /// A row of a catalog whose first cell is no Verify-ID.
    #[error("a row of a command catalog has no readable Verify-ID: `{cell}`")]
    UnreadableId {
        /// The first cell, as written.
        cell: String,
    },
    /// A row of a catalog with fewer than three cells, or with an empty one.
    #[error("a row of a command catalog lacks its {cell}")]
    MissingCell {
        /// `command` or `purpose`.
        cell: &'static str,
    },
    /// A line like a code's definition outside every list that defines, of a code that nothing defines.
    #[error("`{code}` is written like a definition, and no list of blocker codes holds it")]
    UnreadCode {
        /// The code.
        code: String,
    },
    /// One code, two definitions.
    #[error("`{code}` is defined twice, first at line {first}")]
    DuplicateCode {
        /// The code.
        code: String,
        /// The line of the first definition, which is the one that counts.
        first: usize,
    },
    /// A definition that says nothing.
    #[error("`{code}` is defined without a meaning")]
    CodeWithoutMeaning {
        /// The code.
        code: String,
    },
    /// An entry of a register without a code.
    #[error("an entry of the blocker register names no code")]
    EntryWithoutCode,
    /// A section called a register in which no list of current blockers stands.
    #[error("the blocker register has no list of current blockers")]
    RegisterWithoutList,
    /// A row of a handle closure matrix whose cells do not fit its header.
    #[error("a row of the handle closure matrix has {found} cells where its header has {expected}")]
    MatrixCells {
        /// Cells of this row.
        found: usize,
        /// Cells of the header.
        expected: usize,
    },
    /// A table of handles and their invocations that lacks one of the columns that its rows are read by.
    #[error("the entrypoint matrix has no column for {column}")]
    EntrypointColumn {
        /// `runtime mode` or `required args`.
        column: &'static str,
    },
    /// A row of an entrypoint matrix that does not fit.
    #[error("a row of the entrypoint matrix cannot be read: {fault}")]
    UnreadableEntrypoint {
        /// What is wrong with it.
        fault: EntrypointFault,
    },
    /// A row with a handle and a `python -m` that stands in no entrypoint matrix.
    #[error("this looks like a row of an entrypoint matrix, and stands in none")]
    UnreadEntrypoint,
    /// Lists nested deeper than the parser goes.
    #[error("lists are nested more than {limit} deep")]
    TooDeep {
        /// The limit.
        limit: usize,
    },
    /// A phase plan that does not say which registry, runbook and handoffs it obeys.
    #[error("the plan lists no authority inputs")]
    NoAuthorityInputs,
    /// A plan with neither a box nor a Verify-ID.
    #[error("the plan holds no box and no Verify-ID: nothing would be asked")]
    NoCases,
    /// Neither the file's name nor the title says which phase the plan is of.
    #[error("neither the file's name nor the first heading says which phase this plan is of")]
    UnknownPhase,
}

impl PlanErrorKind {
    /// What to do next, in one sentence.
    #[must_use]
    pub fn help(&self) -> &'static str {
        match self {
            Self::UnreadBox => {
                "write it as a list item of its own, `- [ ] text`, outside code, quotes, comments and tables; or take the brackets away"
            }
            Self::EmptyBox => "say behind the brackets what must be true, or delete the line",
            Self::RequirementWithoutBox => {
                "write `- [ ]` before it, indent it below the box it explains, or move it out of the list"
            }
            Self::UnreadRow => "put the row into a table headed `| Verify ID | Command template | Purpose |`",
            Self::UnusualHeader { .. } => "head the table `| Verify ID | Command template | Purpose |`",
            Self::UnreadableId { .. } => "name the row like `M3A-V1-HANDLE-EXISTS`, capitals and digits only",
            Self::MissingCell { .. } => "write the row as `| id | command | purpose |`, ` | ` between the cells",
            Self::UnreadCode { .. } => {
                "define the code in a list below `… blocker taxonomy (fail-closed):`, or reword the line so that no colon follows the code"
            }
            Self::DuplicateCode { .. } => "keep one of the two lines, or give the other code a number of its own",
            Self::CodeWithoutMeaning { .. } => "say behind the colon when the code opens",
            Self::EntryWithoutCode => "begin the entry with its code, or write `1. None.`",
            Self::RegisterWithoutList => "add `Current blockers:` with its list; an empty one is written `1. None.`",
            Self::MatrixCells { .. } => {
                "give the row as many cells as the header has; write a `|` inside a cell as `\\|`"
            }
            Self::EntrypointColumn { .. } | Self::UnreadEntrypoint => {
                "head the table `| Handle key | Runtime mode | Invocation | Required args |`"
            }
            Self::UnreadableEntrypoint { fault } => fault.help(),
            Self::TooDeep { .. } => "flatten the list",
            Self::NoAuthorityInputs => {
                "add a section `Authority Inputs` that lists the paths of registry, runbook and handoffs in backticks"
            }
            Self::NoCases => "add `DoD:` with boxes to each lane, or point the gate at the right file",
            Self::UnknownPhase => {
                "name the file `platform.<PHASE>.build_plan.md`, or the master plan `platform.build_plan.md`"
            }
        }
    }
}

/// Why a row of an entrypoint matrix cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum EntrypointFault {
    /// The row is cut into more or fewer cells than its header.
    #[error("it has {found} cells where its header has {expected}")]
    Cells {
        /// Cells of this row.
        found: usize,
        /// Cells of the header.
        expected: usize,
    },
    /// The first cell is no handle.
    #[error("`{cell}` is no handle")]
    Handle {
        /// The cell, as written.
        cell: String,
    },
    /// The cell of the runtime mode is empty.
    #[error("it names no runtime mode")]
    Mode,
    /// The invocation is no code span that begins with `python -m` and a module.
    #[error("its invocation does not begin with `python -m` and a module: {cell}")]
    Module {
        /// The cell, as written.
        cell: String,
    },
    /// A word that is neither an option, nor a value, nor a subcommand.
    #[error("`{word}` is neither an option with its value nor a subcommand")]
    Word {
        /// The word.
        word: String,
    },
    /// The cell of the arguments begins with neither.
    #[error("its arguments begin with neither a code span nor `none`: {cell}")]
    Arguments {
        /// The cell, as written.
        cell: String,
    },
    /// A required option without the placeholder of its value.
    #[error("the required option `{option}` has no `<value>` behind it")]
    Value {
        /// The option.
        option: String,
    },
    /// An option that is required more than once.
    #[error("the option `{option}` is required twice")]
    Twice {
        /// The option.
        option: String,
    },
}

impl EntrypointFault {
    /// What to do next, in one sentence.
    fn help(&self) -> &'static str {
        match self {
            Self::Cells { .. } => "give the row as many cells as the header has; write a `|` inside a cell as `\\|`",
            Self::Handle { .. } => "begin the row with the name of its handle in backticks",
            Self::Mode => "say in the second cell what is started",
            Self::Module { .. } => "write the invocation as one code span, `python -m <package>.<module>`",
            Self::Word { .. } => "write options as `--name <value>`, and a subcommand in lower case",
            Self::Arguments { .. } => "begin the cell with the required options in one code span, or with `none`",
            Self::Value { .. } => {
                "put a placeholder behind it, `--name <value>`, or name it behind the code span as optional"
            }
            Self::Twice { .. } => "keep one of the two",
        }
    }
}

/// How much a diagnostic weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The plan cannot be gated as it stands.
    Error,
    /// The plan can be read, but says something that is probably not meant.
    Doubt,
}

impl fmt::Display for Severity {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Error => "error",
            Self::Doubt => "doubt",
        })
    }
}

/// One line of `phasegate lint`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// Error or doubt.
    pub severity: Severity,
    /// Where.
    pub place: Place,
    /// The line itself, as written.
    pub line: String,
    /// What is wrong.
    pub message: String,
    /// What to do next.
    pub help: String,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}: {}", self.place, self.severity, self.message)?;
        if !self.line.trim().is_empty() {
            write!(out, "\n  | {}", self.line.trim_end())?;
        }
        write!(out, "\n  = {}", self.help)
    }
}

impl From<&PlanError> for Diagnostic {
    fn from(error: &PlanError) -> Self {
        Self {
            severity: Severity::Error,
            place: error.place.clone(),
            line: error.line.clone(),
            message: error.kind.to_string(),
            help: error.kind.help().to_owned(),
        }
    }
}
