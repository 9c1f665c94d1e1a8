//! What came of publishing one file, as an observation that checks decide on.

use serde::{Deserialize, Serialize};

use super::check::{Check, Judged, Unmet};
use crate::evidence::{PublishError, PublishStep, Receipt};

/// One file's way through the door.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Publication {
    /// It was written, put, read back, and compared equal.
    Published {
        /// The path that the plan documents for the local copy, where it does.
        documented: Option<String>,
        /// The proof.
        receipt: Box<Receipt>,
        /// Nothing was put: the run only read, and nothing stands at the key.
        preflight: bool,
    },
    /// It was stopped.
    Stopped {
        /// Where.
        step: PublishStep,
        /// What happened; never a secret's value.
        why: String,
    },
}

impl Publication {
    /// From the door's answer.
    #[must_use]
    pub fn stopped(error: &PublishError) -> Self {
        Self::Stopped { step: error.step(), why: error.to_string() }
    }

    /// Met when the file is on disk and in the store, and both are the same bytes.
    ///
    /// # Errors
    /// When it is not; blocked by `secret` when the scan stopped it.
    pub fn durable(&self, secret: Option<&'static str>) -> Judged {
        match self {
            Self::Published { receipt, preflight, .. } => {
                let Some(durable) = &receipt.durable else {
                    return Err(Unmet::from(format!("{} was written locally only", receipt.name)));
                };
                if durable.sha256_read_back != receipt.sha256_local {
                    return Err(Unmet::from(format!(
                        "{} read back as sha256 {}, put as {}",
                        receipt.name, durable.sha256_read_back, receipt.sha256_local
                    )));
                }
                if *preflight {
                    return Ok(format!("nothing stands at {}; it was not put (preflight)", durable.uri));
                }
                Ok(format!("{} put once, read back equal, sha256 {}", durable.uri, durable.sha256_read_back))
            }
            Self::Stopped { step: PublishStep::Secret, why } => Err(match secret {
                Some(code) => Unmet::blocked_by(code, why),
                None => Unmet::from(why.clone()),
            }),
            Self::Stopped { why, .. } => Err(Unmet::from(why.clone())),
        }
    }

    /// Met when the scan has seen the file and found no secret in it.
    ///
    /// # Errors
    /// When it found one, or never came to look.
    pub fn non_secret(&self) -> Judged {
        match self {
            Self::Published { receipt, .. } => Ok(format!("{} was scanned: no hit", receipt.name)),
            Self::Stopped { step: PublishStep::Secret | PublishStep::Form, why } => Err(Unmet::from(why.clone())),
            Self::Stopped { .. } => Ok("scanned before it was stopped: no hit".to_owned()),
        }
    }

    /// Doctors it so that no check of durability may accept it.
    pub fn spoil(&mut self) {
        match self {
            Self::Published { receipt, .. } => receipt.durable = None,
            Self::Stopped { .. } => {}
        }
    }

    /// Doctors it into one that the secret scan stopped.
    pub fn leak(&mut self) {
        *self = Self::Stopped { step: PublishStep::Secret, why: "doctored: a secret was found".to_owned() };
    }
}

/// The check that `file` (an observation `publish:<name>`) is durable; a secret in it is `secret`'s.
#[must_use]
pub const fn durable(
    name: &'static str,
    code: &'static str,
    reads: &'static [&'static str],
    judge: fn(&Publication) -> Judged,
) -> Check<Publication> {
    Check::new(name, code, reads, judge, Publication::spoil)
}

/// The check that a file holds no secret.
#[must_use]
pub const fn non_secret(name: &'static str, code: &'static str, reads: &'static [&'static str]) -> Check<Publication> {
    Check::new(name, code, reads, Publication::non_secret, Publication::leak)
}

/// As [`durable`], where the plan has no code for it.
#[must_use]
pub const fn durable_derived(
    name: &'static str,
    derived: &'static str,
    reads: &'static [&'static str],
    judge: fn(&Publication) -> Judged,
) -> Check<Publication> {
    Check::derived(name, derived, reads, judge, Publication::spoil)
}

/// As [`non_secret`], where the plan has no code for it.
#[must_use]
pub const fn non_secret_derived(
    name: &'static str,
    derived: &'static str,
    reads: &'static [&'static str],
) -> Check<Publication> {
    Check::derived(name, derived, reads, Publication::non_secret, Publication::leak)
}
