//! How an execution went: what its findings follow from beside documents and observations, kept so that an auditor can judge again.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::judge::Progress;
use super::outcome::Mode;

/// File name of the record, below the execution's folder.
pub(crate) const COURSE: &str = "course.json";

/// Version of the record.
pub(crate) const SCHEMA: &str = "phasegate.course/1";

/// The record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Course {
    /// [`SCHEMA`].
    pub schema: String,
    /// The execution that it is of.
    pub execution_id: String,
    /// What the execution was allowed to do.
    pub mode: Mode,
    /// Whether all cases of the phase were judged for its verdict.
    pub whole: bool,
    /// The selected cases; all of them where it is left out.
    pub selected: Option<BTreeSet<String>>,
    /// How far each lane came.
    pub lanes: BTreeMap<String, Progress>,
    /// Why a lane's document step could not go on.
    pub faults: BTreeMap<String, String>,
    /// The account that the substrate had to be.
    pub expected_account: Option<String>,
    /// Whether a missing lock held.
    pub lock_required: bool,
    /// The command for running a case again.
    pub command: String,
}

impl Course {
    /// Reads a record.
    ///
    /// # Errors
    /// In words: when it is no such record, or one of another version.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, String> {
        let course: Self = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
        if course.schema == SCHEMA { Ok(course) } else { Err(format!("it is of version `{}`", course.schema)) }
    }
}
