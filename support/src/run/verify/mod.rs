//! Audit of one execution: its evidence read again, and its verdict judged again.
//!
//! Nothing is written. The list in `verdict.json` is the claim; what lies in the execution's folder and what stands in
//! the store are held against it file by file, every receipt against both, and the stored observations are judged by
//! the checks of this build with the stored plan, registry and lock.

mod again;
mod evidence;
mod recorded;

use std::fmt;
use std::path::PathBuf;

use super::lane::Phase;
use super::outcome::{PhaseOutcome, Reporter};
use crate::substrate::Substrate;
use crate::substrate::reply::CallError;

pub use recorded::{EntryRefusal, Expected, Recorded, RecordedError};

/// Where an execution's evidence is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// Its folder on disk, and the objects that its verdict lists.
    Folder(PathBuf),
    /// The store alone.
    Store {
        /// The evidence bucket.
        bucket: String,
        /// The prefix of the execution's control evidence, with its last `/`.
        prefix: String,
    },
}

/// One copy of a file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Copy {
    /// In the execution's folder, by its path there.
    Local(String),
    /// In the store, by its URI.
    Stored(String),
}

impl fmt::Display for Copy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local(path) => f.write_str(path),
            Self::Stored(uri) => f.write_str(uri),
        }
    }
}

/// One thing that is not as the verdict says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Discrepancy {
    /// The verdict lists it, and it is not there.
    Missing {
        /// What.
        copy: Copy,
        /// The digest in the list.
        listed: String,
    },
    /// Its bytes are others.
    Changed {
        /// What.
        copy: Copy,
        /// The digest in the list.
        listed: String,
        /// Its digest now.
        is: String,
    },
    /// It is there, and the verdict does not list it.
    Added {
        /// What.
        copy: Copy,
        /// Its digest now; none for what is no file.
        is: Option<String>,
    },
    /// Another process than the rest of the execution put it.
    Foreign {
        /// The object.
        uri: String,
        /// The digest of what stands there.
        is: String,
        /// Who put it.
        writer: String,
        /// Who put the rest.
        of: String,
    },
    /// Its key has another history than one put.
    History {
        /// The object.
        uri: String,
        /// How many versions stand there.
        versions: usize,
        /// How many delete markers.
        delete_markers: usize,
    },
    /// A receipt says something else than the list, or than what stands in the store.
    Receipt {
        /// The file that it is of.
        name: String,
        /// What differs.
        why: String,
    },
    /// A document that the judgement rests on cannot be used.
    Unusable {
        /// Which.
        name: String,
        /// Why.
        why: String,
    },
    /// Judged again, something comes out otherwise.
    Judgement {
        /// What: a finding, a case, the verdict.
        what: String,
        /// As it was recorded.
        recorded: String,
        /// As it is judged now.
        judged: String,
    },
}

impl fmt::Display for Discrepancy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { copy, listed } => write!(f, "missing: {copy}: verdict.json lists it with SHA-256 {listed}"),
            Self::Changed { copy, listed, is } => {
                write!(f, "changed: {copy}: verdict.json lists SHA-256 {listed}, and it has {is}")
            }
            Self::Added { copy, is: Some(is) } => {
                write!(f, "added: {copy}: it has SHA-256 {is}, and verdict.json does not list it")
            }
            Self::Added { copy, is: None } => {
                write!(f, "added: {copy}: it is no regular file, and verdict.json does not list it")
            }
            Self::Foreign { uri, is, writer, of } => write!(
                f,
                "foreign: {uri}: it has SHA-256 {is}, and {writer} put it; the rest of the execution was put by {of}"
            ),
            Self::History { uri, versions, delete_markers } => write!(
                f,
                "overwritten: {uri}: {versions} versions and {delete_markers} delete markers stand at its key, where one put is meant"
            ),
            Self::Receipt { name, why } => write!(f, "receipt: {name}: {why}"),
            Self::Unusable { name, why } => write!(f, "unusable: {name}: {why}"),
            Self::Judgement { what, recorded, judged } => {
                write!(f, "judged again: {what}: recorded {recorded}, judged {judged}")
            }
        }
    }
}

/// What an audit came to.
#[derive(Debug, Clone)]
pub struct Audit {
    /// The verdict that was audited.
    pub verdict: Recorded,
    /// How many files its list has, `verdict.json` itself counted.
    pub listed: usize,
    /// How many of them were read from the folder.
    pub read_here: usize,
    /// How many were read from the store.
    pub read_back: usize,
    /// How many receipts were compared.
    pub receipts: usize,
    /// How many findings and cases were judged again.
    pub judged: (usize, usize),
    /// Listed files that only the folder has, and that were therefore not compared with the store.
    pub only_here: Vec<String>,
    /// What is not as the verdict says; empty when all of it is.
    pub discrepancies: Vec<Discrepancy>,
    /// The outcome as it is judged now; none where that could not be done.
    pub outcome: Option<Box<PhaseOutcome>>,
    /// Words without effect on the result.
    pub notes: Vec<String>,
}

/// An audit that could not be made.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The verdict cannot be read.
    #[error("{place}: {source}")]
    Verdict {
        /// Where it was looked for.
        place: String,
        /// Why.
        source: RecordedError,
    },
    /// A file or the folder cannot be read.
    #[error("{path}: {source}; look at its permissions, then verify again")]
    Read {
        /// What.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The store gave no usable answer. What cannot be read is not verified.
    #[error("{0}; what cannot be read back is not verified")]
    Store(Box<CallError>),
    /// A list of the store stopped before its end.
    #[error("the versions below {uri} were not listed to their end; what may be there unseen is not verified")]
    Incomplete {
        /// What was listed.
        uri: String,
    },
    /// The evidence stands in a store, and there is none to ask.
    #[error(
        "the evidence of {execution} stands in the store ({uri}), and {why}; point PHASEGATE_SUBSTRATE at it, or say --local to compare the folder alone"
    )]
    NoStore {
        /// The execution.
        execution: String,
        /// Where.
        uri: String,
        /// Why there is none.
        why: String,
    },
    /// This build has no gate of that phase.
    #[error("this version has no gate for {track} {phase}; use the one that gave the verdict")]
    NoGate {
        /// The track.
        track: String,
        /// The phase.
        phase: String,
    },
}

impl From<CallError> for VerifyError {
    fn from(error: CallError) -> Self {
        Self::Store(Box::new(error))
    }
}

/// What an audit needs.
pub struct Auditor<'a> {
    /// The gates of this build.
    pub gates: &'a [Phase],
    /// Decides and renders, as it did for the execution.
    pub reporter: &'a dyn Reporter,
    /// The store; none for the folder alone.
    pub substrate: Option<&'a Substrate>,
}

impl Auditor<'_> {
    /// Audits the execution at `place`. `execution` is the id that it must have.
    ///
    /// # Errors
    /// When the verdict, the folder or the store cannot be read. What was read and is not as the verdict says is no
    /// error, but a discrepancy.
    pub fn audit(&self, place: &Place, execution: &str) -> Result<Audit, VerifyError> {
        let mut read = evidence::read(place, execution, self.substrate)?;
        let verdict = read.verdict.clone();
        let gate = self.gates.iter().find(|gate| gate.track == verdict.track && gate.id == verdict.phase);
        let gate =
            gate.ok_or_else(|| VerifyError::NoGate { track: verdict.track.clone(), phase: verdict.phase.clone() })?;
        let receipts = evidence::compare_receipts(&mut read);
        let again = again::judge(gate, self.reporter, &mut read);
        let outcome = again.map(|mut outcome| {
            if let Place::Folder(folder) = place {
                outcome.folder.clone_from(folder);
            }
            Box::new(outcome)
        });
        Ok(Audit {
            listed: verdict.files.len() + 1,
            verdict,
            read_here: read.read_here,
            read_back: read.read_back,
            receipts,
            judged: outcome.as_ref().map_or((0, 0), |outcome| (outcome.findings.len(), outcome.cases.len())),
            outcome,
            only_here: read.only_here,
            discrepancies: read.discrepancies,
            notes: read.notes,
        })
    }
}
