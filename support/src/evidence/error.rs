//! What can go wrong on the way out, step by step.

use std::fmt;
use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::canonical::CanonicalError;
use crate::secrets::Hit;
use crate::substrate::reply::CallError;

/// The step of publishing that failed. Plans give each its own blocker code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PublishStep {
    /// The name, the key or the document could not be used at all.
    Form,
    /// A secret was found; nothing was written.
    Secret,
    /// The plan's minimum fields are not all there; nothing was written.
    MinimumFields,
    /// The local file could not be written whole, or another one stands there.
    LocalFile,
    /// The object exists already, or one of its group did.
    Exists,
    /// The put gave no usable answer; whether the object stands is not known.
    Put,
    /// The object could not be read back.
    ReadBack,
    /// What was read back is not what was put.
    Differs,
    /// The store let a second put of one key pass.
    WriteOnce,
}

/// Why an artifact was not published. Nothing is ever overwritten or deleted; each message ends with what to do next.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The file's name cannot be used.
    #[error("artifact name {name:?} {reason}; name it by parts divided by `/`, without dots in front")]
    Name {
        /// The name.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The object's key cannot be used.
    #[error("object key {key:?} in bucket {bucket:?}: {reason}; correct the handle or the id that it was filled from")]
    Key {
        /// The bucket.
        bucket: String,
        /// The key.
        key: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The document has no canonical form.
    #[error("{name}: {source}")]
    Serialise {
        /// The file's name.
        name: String,
        /// Why not.
        source: Box<CanonicalError>,
    },
    /// Something in it looks like a secret. Nothing was written.
    #[error(
        "{name}: {} found; nothing was written. Take the value out of its source (and replace it there, if it was real), then run again",
        HitList(hits)
    )]
    Secret {
        /// The file's name, or `(withheld)` if that is where the secret is.
        name: String,
        /// Rules and places, without values.
        hits: Vec<Hit>,
    },
    /// A field of the plan's minimum is not there. Nothing was written.
    #[error("{name}: the plan's minimum field `{field}` {why}; nothing was written. The lane must observe it, or hold")]
    MissingField {
        /// The file's name.
        name: String,
        /// The field.
        field: String,
        /// `is missing`, `is null`, `is empty`.
        why: &'static str,
    },
    /// The local file could not be written.
    #[error("{path}: cannot {action}: {source}; check that the folder can be written and has room, then run again", path = path.display())]
    LocalWrite {
        /// The file or folder.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// What the system says.
        source: io::Error,
    },
    /// A folder on the way to the local file is a link.
    #[error("{path}: is a link, to {to}; evidence stays in its own folder. Take the link away, then run under a new execution id", path = path.display(), to = to.display())]
    LocalLink {
        /// The link.
        path: PathBuf,
        /// What it leads to.
        to: PathBuf,
    },
    /// A local file of that name stands there with other bytes.
    #[error("{path}: exists with other bytes (SHA-256 {sha256_there}, not {sha256_new}); evidence is not overwritten, run under a new execution id", path = path.display())]
    LocalExists {
        /// The file.
        path: PathBuf,
        /// Digest of what stands there.
        sha256_there: String,
        /// Digest of what was to be written.
        sha256_new: String,
    },
    /// What was read from the disk is not what was written to it.
    #[error("{path}: reads back as SHA-256 {sha256_there}, not {sha256_new}; check the disk, then run under a new execution id", path = path.display())]
    LocalDiffers {
        /// The file.
        path: PathBuf,
        /// Digest of what was read.
        sha256_there: String,
        /// Digest of what was written.
        sha256_new: String,
    },
    /// An object of this group existed already; nothing more of the group is put.
    #[error(
        "{uri}: not put, because {first} of the same group ({group}) existed already; run under a new execution id"
    )]
    GroupClosed {
        /// The group.
        group: String,
        /// The object that was found to exist.
        first: String,
        /// The object that was to be put.
        uri: String,
    },
    /// The object exists (412), and it is not ours.
    #[error("{uri}: exists already; evidence is not overwritten. Find out who wrote it, then run under a new id")]
    Exists {
        /// The object.
        uri: String,
    },
    /// The object exists, and whether it is ours could not be read.
    #[error("{uri}: exists, and cannot be read to tell whose it is: {source}; read it, then run under a new id")]
    ExistsUnread {
        /// The object.
        uri: String,
        /// Why it could not be read.
        source: Box<CallError>,
    },
    /// The put gave no usable answer.
    #[error(
        "{uri}: the put has no usable answer: {source}; look whether the object stands there, then run under a new id"
    )]
    Put {
        /// The object.
        uri: String,
        /// What came back.
        source: Box<CallError>,
    },
    /// The store still answered 409 at the last try.
    #[error("{uri}: still in conflict after {tries} tries: {source}; find the other writer, then run again")]
    Conflict {
        /// The object.
        uri: String,
        /// How many puts were sent.
        tries: u32,
        /// The last answer.
        source: Box<CallError>,
    },
    /// The object could not be read back.
    #[error("{uri}: put, but cannot be read back: {source}; allow reading it, then run under a new id")]
    ReadBack {
        /// The object.
        uri: String,
        /// Why not.
        source: Box<CallError>,
    },
    /// The object read back is another one.
    #[error(
        "{uri}: read back as SHA-256 {sha256_read_back}, put as {sha256_local}; do not trust this object, run under a new id"
    )]
    Differs {
        /// The object.
        uri: String,
        /// Digest of what was put.
        sha256_local: String,
        /// Digest of what was read.
        sha256_read_back: String,
    },
    /// The object read back has the right bytes, and another version or writer.
    #[error(
        "{uri}: the object read back is not the one that was put: {how}; the store is not write-once, do not trust it"
    )]
    NotOurs {
        /// The object.
        uri: String,
        /// What differs.
        how: &'static str,
    },
    /// The canary's second put passed, or changed what stood there.
    #[error("{uri}: the store is not write-once: {how}; use a store that honours If-None-Match")]
    NotWriteOnce {
        /// The canary.
        uri: String,
        /// What happened.
        how: &'static str,
    },
}

impl PublishError {
    /// Whether the store stood in the way: the file itself is in order.
    #[must_use]
    pub fn is_of_the_store(&self) -> bool {
        match self {
            Self::GroupClosed { .. }
            | Self::Exists { .. }
            | Self::ExistsUnread { .. }
            | Self::Put { .. }
            | Self::Conflict { .. }
            | Self::ReadBack { .. }
            | Self::Differs { .. }
            | Self::NotOurs { .. }
            | Self::NotWriteOnce { .. } => true,
            Self::Name { .. }
            | Self::Key { .. }
            | Self::Serialise { .. }
            | Self::Secret { .. }
            | Self::MissingField { .. }
            | Self::LocalWrite { .. }
            | Self::LocalExists { .. }
            | Self::LocalLink { .. }
            | Self::LocalDiffers { .. } => false,
        }
    }

    /// The step that failed.
    #[must_use]
    pub fn step(&self) -> PublishStep {
        match self {
            Self::Name { .. } | Self::Key { .. } | Self::Serialise { .. } => PublishStep::Form,
            Self::Secret { .. } => PublishStep::Secret,
            Self::MissingField { .. } => PublishStep::MinimumFields,
            Self::LocalWrite { .. } | Self::LocalLink { .. } | Self::LocalExists { .. } | Self::LocalDiffers { .. } => {
                PublishStep::LocalFile
            }
            Self::GroupClosed { .. } | Self::Exists { .. } | Self::ExistsUnread { .. } => PublishStep::Exists,
            Self::Put { .. } | Self::Conflict { .. } => PublishStep::Put,
            Self::ReadBack { .. } => PublishStep::ReadBack,
            Self::Differs { .. } | Self::NotOurs { .. } => PublishStep::Differs,
            Self::NotWriteOnce { .. } => PublishStep::WriteOnce,
        }
    }
}

/// Hits as a message lists them: rules and places.
struct HitList<'a>(&'a [Hit]);

impl fmt::Display for HitList<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, hit) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{hit}")?;
        }
        Ok(())
    }
}
