//! `verdict.json` as it is read again: by an audit, by a lane alone, and by the next phase.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::run::outcome::{EvidenceFile, InputDigest, Mode, Resumed, RunBasis};

/// Version of the document that this build reads.
const SCHEMA: &str = "phasegate.verdict/1";

/// A verdict that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RecordedError {
    /// It cannot be read.
    #[error(
        "it cannot be read: {0}; name an execution whose verdict lies there (PHASEGATE_OUT says where evidence is kept)"
    )]
    Unreadable(String),
    /// It is no verdict, or one of another version.
    #[error("it is no verdict that this version reads: {0}")]
    Form(String),
    /// It is the verdict of another execution.
    #[error("it is the verdict of {is}, and {asked} was named")]
    OtherExecution {
        /// The one that it is of.
        is: String,
        /// The one that was asked for.
        asked: String,
    },
}

/// A verdict as it was written.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Recorded {
    /// Version of the document.
    pub schema: String,
    /// `dev_min`.
    pub track: String,
    /// `M3`.
    pub phase: String,
    /// `M4`.
    pub next_phase: String,
    /// `m3_20260213T214223Z`.
    pub execution_id: String,
    /// The run that the execution pinned, where it pinned one.
    #[serde(default)]
    pub platform_run_id: Option<String>,
    /// `ADVANCE_TO_M4`.
    pub verdict: String,
    /// Whether it was live.
    pub basis: RunBasis,
    /// What the execution was allowed to do.
    pub mode: Mode,
    /// `embedded`, `endpoint`, `aws`.
    pub substrate: String,
    /// The account that the substrate reported.
    pub account: Option<String>,
    /// The execution's instant.
    pub written_at_utc: String,
    /// phasegate's version.
    pub version: String,
    /// The predicates.
    pub predicates: BTreeMap<String, bool>,
    /// The open codes that stand for themselves.
    pub roots: Vec<String>,
    /// The open codes that follow.
    pub entailed: BTreeMap<String, Vec<String>>,
    /// Why there is no advance.
    pub objections: Vec<String>,
    /// The counts of the cases.
    pub cases: Value,
    /// What the execution read.
    pub inputs: Vec<InputDigest>,
    /// What was taken over from an earlier execution.
    #[serde(default)]
    pub resumed: Option<Resumed>,
    /// Every other file.
    pub files: Vec<EvidenceFile>,
}

impl Recorded {
    /// Reads a verdict, which must be that of `execution`.
    ///
    /// # Errors
    /// When it has another form or version, or is another execution's.
    pub fn read(bytes: &[u8], execution: &str) -> Result<Self, RecordedError> {
        let recorded: Self = serde_json::from_slice(bytes).map_err(|e| RecordedError::Form(e.to_string()))?;
        if recorded.schema != SCHEMA {
            return Err(RecordedError::Form(format!("it is of version `{}`", recorded.schema)));
        }
        if recorded.execution_id != execution {
            return Err(RecordedError::OtherExecution { is: recorded.execution_id, asked: execution.to_owned() });
        }
        Ok(recorded)
    }

    /// The listed file of this path.
    #[must_use]
    pub fn file(&self, path: &str) -> Option<&EvidenceFile> {
        self.files.iter().find(|file| file.path == path)
    }

    /// Whether the next phase may enter on it. It names one execution, and takes no other for it, however new.
    ///
    /// # Errors
    /// The first reason why it may not.
    pub fn enters(&self, expected: &Expected<'_>) -> Result<(), EntryRefusal> {
        let refuse = |what: &'static str, is: &str, wanted: &str| {
            Err(EntryRefusal { what, is: is.to_owned(), wanted: wanted.to_owned() })
        };
        let same = |what, is: &str, wanted: &str| if is == wanted { Ok(()) } else { refuse(what, is, wanted) };
        same("execution", &self.execution_id, expected.execution)?;
        same("track", &self.track, expected.track)?;
        same("phase", &self.next_phase, expected.phase)?;
        same("verdict", &self.verdict, &format!("ADVANCE_TO_{}", expected.phase))?;
        if self.mode != Mode::Commit || !self.roots.is_empty() || !self.objections.is_empty() {
            return refuse("verdict", "one with open codes, or of a run that only read", "an advance");
        }
        same("account", self.account.as_deref().unwrap_or("unknown"), expected.account)?;
        // A rehearsal may go on from either; a live run never from a rehearsal (law 10).
        if expected.basis == RunBasis::Live {
            same("basis", self.basis.word(), expected.basis.word())?;
        }
        if let Some(run) = expected.platform_run_id {
            same("run", self.platform_run_id.as_deref().unwrap_or("none"), run)?;
        }
        Ok(())
    }
}

/// What the next phase expects of the verdict that it enters on.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'e> {
    /// The phase that enters, `M4`.
    pub phase: &'e str,
    /// Its track.
    pub track: &'e str,
    /// The one execution that was named.
    pub execution: &'e str,
    /// The account that it runs in.
    pub account: &'e str,
    /// Whether it is live.
    pub basis: RunBasis,
    /// The run that it goes on with, where it is known already.
    pub platform_run_id: Option<&'e str>,
}

/// Why the next phase does not enter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the verdict is of another {what}: it says {is}, and {wanted} is needed; name the execution that is meant, or run its gate again"
)]
pub struct EntryRefusal {
    /// `execution`, `track`, `phase`, `verdict`, `account`, `basis`, `run`.
    pub what: &'static str,
    /// What the verdict says.
    pub is: String,
    /// What is needed.
    pub wanted: String,
}
