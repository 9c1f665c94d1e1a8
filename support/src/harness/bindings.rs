//! Bindings: which requirement the text of a box is, by the hash of its normalised text.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::plan;
use crate::run::outcome::Entails;

/// One wording of a requirement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Binding {
    /// The lane of the box, `M3.B`; the phase for a completion box.
    pub lane: String,
    /// The requirement, by the name that the lane declares.
    pub requirement: String,
    /// SHA-256 over the box's normalised text.
    pub hash: String,
    /// The text, for people; its hash must be `hash`.
    pub text: String,
}

/// A binding file that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BindingError {
    /// The file is no TOML of the expected form.
    #[error("{path}: {why}")]
    Unreadable {
        /// The file.
        path: String,
        /// What the parser said, with its line.
        why: String,
    },
    /// A text and its hash disagree.
    #[error("{path}: the hash of `{text}` is {actual}, not {hash}; write the former")]
    WrongHash {
        /// The file.
        path: String,
        /// The text.
        text: String,
        /// The hash in the file.
        hash: String,
        /// The text's hash.
        actual: String,
    },
    /// One text is bound to two requirements.
    #[error("{path}: `{text}` of {lane} is bound to `{first}` and to `{second}`; keep one")]
    Twice {
        /// The file.
        path: String,
        /// The lane.
        lane: String,
        /// The text.
        text: String,
        /// The one requirement.
        first: String,
        /// The other.
        second: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default, rename = "box")]
    boxes: Vec<Binding>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EntailsFile {
    entails: Vec<Entails>,
}

/// Reads a phase's table of entailed codes: `[[entails]]` with `root` and `code`.
///
/// # Errors
/// When it is no such file.
pub fn entails(path: &str, text: &str) -> Result<Vec<Entails>, BindingError> {
    toml::from_str::<EntailsFile>(text)
        .map(|file| file.entails)
        .map_err(|e| BindingError::Unreadable { path: path.to_owned(), why: e.to_string() })
}

/// All bindings of one phase, by lane and hash.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bindings(BTreeMap<(String, String), String>);

impl Bindings {
    /// Reads a binding file.
    ///
    /// # Errors
    /// When it is no such file, a hash is wrong, or a text is bound twice.
    pub fn read(path: &str, text: &str) -> Result<Self, BindingError> {
        let file: File =
            toml::from_str(text).map_err(|e| BindingError::Unreadable { path: path.to_owned(), why: e.to_string() })?;
        let mut bindings = Self::default();
        bindings.extend(path, file.boxes)?;
        Ok(bindings)
    }

    /// Adds bindings, as a plan repository's lock does.
    ///
    /// # Errors
    /// When a hash is wrong, or a text is bound to another requirement already.
    pub fn extend(&mut self, path: &str, more: Vec<Binding>) -> Result<(), BindingError> {
        for binding in more {
            let actual = plan::hash_of(&binding.text);
            if actual != binding.hash {
                return Err(BindingError::WrongHash {
                    path: path.to_owned(),
                    text: binding.text,
                    hash: binding.hash,
                    actual,
                });
            }
            let key = (binding.lane.clone(), binding.hash);
            if let Some(first) = self.0.insert(key, binding.requirement.clone())
                && first != binding.requirement
            {
                return Err(BindingError::Twice {
                    path: path.to_owned(),
                    lane: binding.lane,
                    text: binding.text,
                    first,
                    second: binding.requirement,
                });
            }
        }
        Ok(())
    }

    /// The requirement that a box of `lane` with this hash is.
    #[must_use]
    pub fn requirement(&self, lane: &str, hash: &str) -> Option<&str> {
        self.0.get(&(lane.to_owned(), hash.to_owned())).map(String::as_str)
    }

    /// All lanes and requirements that texts are bound to.
    pub fn requirements(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|((lane, _), requirement)| (lane.as_str(), requirement.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str, hash: &str, requirement: &str) -> String {
        format!("[[box]]\nlane = \"M9.A\"\nrequirement = \"{requirement}\"\nhash = \"{hash}\"\ntext = \"{text}\"\n")
    }

    #[test]
    fn a_text_is_found_by_lane_and_hash() {
        let hash = plan::hash_of("Run id is pinned.");
        let bindings = Bindings::read("b.toml", &file("Run id is pinned.", &hash, "run-id")).unwrap();
        assert_eq!(bindings.requirement("M9.A", &hash), Some("run-id"));
        assert_eq!(bindings.requirement("M9.B", &hash), None);
        assert_eq!(bindings.requirement("M9.A", &plan::hash_of("Run id is not pinned.")), None);
    }

    #[test]
    fn a_wrong_hash_is_refused() {
        let error = Bindings::read("b.toml", &file("a", &plan::hash_of("b"), "r")).unwrap_err();
        assert!(matches!(error, BindingError::WrongHash { .. }), "{error}");
    }

    #[test]
    fn one_text_cannot_be_two_requirements() {
        let hash = plan::hash_of("a");
        let twice = file("a", &hash, "r") + &file("a", &hash, "s");
        assert!(matches!(Bindings::read("b.toml", &twice), Err(BindingError::Twice { .. })));
    }

    #[test]
    fn an_unknown_key_is_refused() {
        let extra = file("a", &plan::hash_of("a"), "r") + "skip = true\n";
        assert!(matches!(Bindings::read("b.toml", &extra), Err(BindingError::Unreadable { .. })));
    }
}
