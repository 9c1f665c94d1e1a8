//! Faults as data: which requests they meet, and what becomes of those.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;

use super::super::edit::Edit;
use super::super::overlay::Overlay;

/// One fault: which requests it meets, and what becomes of them.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Fault {
    /// `s3`, `ecr`, `sts`.
    pub service: String,
    /// `PutObject`, `ListObjectsV2`.
    pub operation: String,
    /// A regular expression over `bucket/key` (lists: `bucket/prefix`).
    pub key: Option<String>,
    /// Only the nth such request, from 1; every one where it is left out. Retries count.
    pub nth: Option<usize>,
    /// Only the first attempt of the nth call of the run, from 1, whatever it asks. Retries do not count.
    pub call: Option<usize>,
    /// With `call`: all its attempts too, and every later call that asks the same.
    pub lasting: bool,
    /// The answer comes so much later.
    pub delay_ms: Option<u64>,
    /// An answer with this status instead of the world's.
    pub status: Option<u16>,
    /// The error code in that answer.
    pub code: Option<String>,
    /// The connection breaks.
    pub drop: bool,
    /// The request has its effect on the world before `status` or `drop`.
    pub after: bool,
    /// No answer ever comes.
    pub hang: bool,
    /// Only so many bytes of the body come.
    pub truncate: Option<usize>,
    /// Only the first half of the body comes.
    pub half: bool,
    /// The body is no document: XML or JSON that is never closed.
    pub malformed: bool,
    /// The bytes of another object of the bucket, with their length, checksum and metadata, and the version that was asked.
    pub other: bool,
    /// A list that contradicts itself about its pages.
    pub page: Option<Page>,
    /// The answer's body, changed.
    pub rewrite: Vec<Rewrite>,
    /// The answer's headers, set; taken out where the value is empty.
    pub headers: BTreeMap<String, String>,
    /// What happens elsewhere just before the request arrives.
    pub meanwhile: Meanwhile,
}

/// How the pages of a list do not add up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Page {
    /// The list says that more follows, and does not say where.
    Unnamed,
    /// The next page is this one again, and so on.
    Loop,
    /// The next page cannot be had.
    Broken,
    /// The last entry is not there, and was counted.
    Miscounted,
}

/// A change of an answer's body.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rewrite {
    /// A regular expression that must match.
    pub find: String,
    /// What stands in its place.
    pub replace: String,
}

/// What others do while the gate runs.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Meanwhile {
    /// Edits of the plan repository.
    pub edit: Vec<Edit>,
    /// A file that appears below the execution's folder.
    pub file: Option<String>,
    /// Rows that appear in the world.
    pub world: Option<Overlay>,
}

/// The time that one call may take where a fault never answers, and otherwise.
pub fn call_limit(faults: &[Fault]) -> Option<Duration> {
    faults.iter().any(|fault| fault.hang).then_some(Duration::from_secs(3))
}
