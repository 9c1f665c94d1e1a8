//! `gates.lock`: what a gate obeys, pinned beside the plans, so that none of it changes unseen.
//!
//! # Format
//! One TOML file at the root of a plan repository. Unknown keys are errors. `phasegate lock` writes it; people add
//! `[[binding]]` entries by hand.
//!
//! ```toml
//! version = 1
//! account = "230372904534"        # where a live run may run; only by `phasegate lock --account`
//!
//! [[binding]]                     # a wording of this repository's own, bound to a requirement
//! lane = "M3.B"
//! requirement = "run-id-format"
//! hash = "…"                      # SHA-256 over the normalised text
//! text = "…"
//!
//! [[gate]]                        # one for each track and phase
//! track = "dev_min"
//! phase = "M3"
//!
//! [[gate.box]]                    # also: row, code, law, file, fields, handle, prerequisite, predicate, record, register, authority
//! lane = "M3.A"
//! …
//! ```
//!
//! Ticks, statuses and the lines where things stand are not pinned: they change while a plan is worked on.

mod compare;
mod form;
mod judge;
mod pins;
mod write;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

pub use compare::{Change, Difference, Kind};
pub use judge::{Held, hold};
pub use pins::{Pins, Subject, pins_of};
pub use write::{Proposal, propose};

use super::bindings::Binding;
use crate::plan::{self, Place};
use form::{At, Form, Gate, Placed};

/// The file's name, at the root of a plan repository.
pub const NAME: &str = "gates.lock";

/// The version of the format that this phasegate reads and writes.
pub const VERSION: u32 = 1;

/// A lock that cannot be read, or not written.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// The file is there and cannot be read.
    #[error("{NAME}: cannot be read: {0}; check its permissions")]
    Unreadable(std::io::Error),
    /// It is no TOML of the expected form.
    #[error(
        "{NAME}: {0}\nmend it by hand, or take the committed one back; `phasegate lock` does not overwrite what it cannot read"
    )]
    Form(String),
    /// It is of another version.
    #[error(
        "{NAME}: version {found} is not known here, which reads version {VERSION}; use the phasegate that wrote it"
    )]
    Version {
        /// The version of the file.
        found: i64,
    },
    /// A text and its hash disagree.
    #[error("{place}: the hash of this text is {actual}; write that, or the text that was meant")]
    WrongHash {
        /// Where.
        place: Place,
        /// The text's hash.
        actual: String,
    },
    /// One thing is pinned twice.
    #[error("{second}: {what} is pinned at {first} already; keep one")]
    Twice {
        /// What.
        what: String,
        /// Where first.
        first: Place,
        /// Where again.
        second: Place,
    },
    /// The account is no account.
    #[error("`{0}` is not an AWS account: write its 12 digits")]
    Account(String),
    /// What was to be written holds what looks like a secret.
    #[error(
        "{NAME}: not written: it would hold what looks like a secret ({hits}); take it out of the plan or the registry, and rotate it"
    )]
    Secret {
        /// Rules and places, never the value.
        hits: String,
    },
    /// It cannot be written as TOML.
    #[error("{NAME}: cannot be written as TOML: {0}")]
    Serialise(#[from] toml::ser::Error),
    /// The file cannot be written.
    #[error("{path}: cannot be written: {source}; the file that stood there is untouched", path = path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// A lock, read.
#[derive(Debug, Clone)]
pub struct Lock {
    text: String,
    form: Form,
}

impl Lock {
    /// Reads the lock of the plan repository at `root`; none when there is no such file.
    ///
    /// # Errors
    /// When it is there and cannot be used as it stands.
    pub fn read(root: &Path) -> Result<Option<Self>, LockError> {
        match std::fs::read_to_string(root.join(NAME)) {
            Ok(text) => Self::parse(text).map(Some),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(LockError::Unreadable(error)),
        }
    }

    /// Reads a lock's text.
    ///
    /// # Errors
    /// When it has another form, a hash is wrong, or a thing is pinned twice.
    pub fn parse(text: String) -> Result<Self, LockError> {
        #[derive(serde::Deserialize)]
        struct Head {
            version: i64,
        }
        let head: Head = toml::from_str(&text).map_err(|e| LockError::Form(e.to_string()))?;
        if head.version != i64::from(VERSION) {
            return Err(LockError::Version { found: head.version });
        }
        let form: Form = toml::from_str(&text).map_err(|e| LockError::Form(e.to_string()))?;
        let lock = Self { text, form };
        lock.validate()?;
        Ok(lock)
    }

    /// The file as it was read.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The account that live runs must find.
    #[must_use]
    pub fn account(&self) -> Option<&str> {
        self.form.account.as_ref().map(|account| account.value.as_str())
    }

    /// The repository's own bindings, each with its place.
    pub fn bindings(&self) -> impl Iterator<Item = (&Binding, Place)> {
        self.form.bindings.iter().map(|binding| (&binding.value, self.place(&binding.at)))
    }

    /// Whether a track's phase is pinned.
    #[must_use]
    pub fn pins(&self, track: &str, phase: &str) -> bool {
        self.gate(track, phase).is_some()
    }

    /// Whether any track's plan of a phase is pinned.
    #[must_use]
    pub fn names(&self, phase: &str) -> bool {
        self.form.gates.iter().any(|gate| gate.value.phase == phase)
    }

    fn gate(&self, track: &str, phase: &str) -> Option<&Placed<Gate>> {
        self.form.gates.iter().find(|gate| gate.value.track == track && gate.value.phase == phase)
    }

    fn place(&self, at: &At) -> Place {
        match at {
            At::Place(place) => place.clone(),
            At::Offset(offset) => {
                let before = self.text.as_bytes().iter().take(*offset);
                Place { path: Path::new(NAME).into(), line: before.filter(|byte| **byte == b'\n').count() + 1 }
            }
        }
    }

    fn validate(&self) -> Result<(), LockError> {
        if let Some(account) = self.account() {
            check_account(account)?;
        }
        let hashed = self.form.bindings.iter().map(|b| (&b.value.text, &b.value.hash, &b.at));
        let boxes = self.form.gates.iter().flat_map(|gate| &gate.value.boxes);
        for (text, hash, at) in hashed.chain(boxes.map(|b| (&b.value.text, &b.value.hash, &b.at))) {
            let actual = plan::hash_of(text);
            if actual != *hash {
                return Err(LockError::WrongHash { place: self.place(at), actual });
            }
        }
        let bindings =
            self.form.bindings.iter().map(|b| (format!("a text of {}", b.value.lane), b.value.hash.clone(), &b.at));
        self.once(bindings)?;
        self.once(
            self.form.gates.iter().map(|g| (format!("{} {}", g.value.track, g.value.phase), String::new(), &g.at)),
        )?;
        for gate in &self.form.gates {
            let boxes = gate.value.boxes.iter().map(|b| (format!("box {}", b.value.name()), String::new(), &b.at));
            self.once(boxes)?;
            let entries = compare::entries(&gate.value);
            self.once(entries.iter().map(|e| (format!("{} {}", e.kind.word(), e.key), String::new(), &e.at)))?;
        }
        Ok(())
    }

    fn once<'a>(&self, things: impl Iterator<Item = (String, String, &'a At)>) -> Result<(), LockError> {
        let mut seen: HashMap<(String, String), &At> = HashMap::new();
        for (what, detail, at) in things {
            if let Some(first) = seen.insert((what.clone(), detail), at) {
                return Err(LockError::Twice { what, first: self.place(first), second: self.place(at) });
            }
        }
        Ok(())
    }
}

fn check_account(account: &str) -> Result<(), LockError> {
    if account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(());
    }
    Err(LockError::Account(account.to_owned()))
}

#[cfg(test)]
mod tests;
