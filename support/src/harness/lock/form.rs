//! The lock's file, as serde reads and writes it.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use toml::Spanned;

use crate::harness::bindings::Binding;
use crate::plan::Place;

/// Where a pinned thing stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum At {
    /// A byte of the lock's text.
    Offset(usize),
    /// A line of a document.
    Place(Place),
}

/// A value and where it stands; the place is no part of the file.
#[derive(Debug, Clone)]
pub(super) struct Placed<T> {
    pub value: T,
    pub at: At,
}

impl<T> Placed<T> {
    pub(super) fn new(value: T, place: Place) -> Self {
        Self { value, at: At::Place(place) }
    }
}

impl<T: Serialize> Serialize for Placed<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.value.serialize(serializer)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Placed<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<T>::deserialize(deserializer)?;
        let at = At::Offset(spanned.span().start);
        Ok(Self { value: spanned.into_inner(), at })
    }
}

pub(super) type List<T> = Vec<Placed<T>>;

/// The whole file.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Form {
    pub version: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<Placed<String>>,
    #[serde(default, rename = "binding", skip_serializing_if = "Vec::is_empty")]
    pub bindings: List<Binding>,
    #[serde(default, rename = "gate", skip_serializing_if = "Vec::is_empty")]
    pub gates: List<Gate>,
}

/// What one plan asks.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Gate {
    pub track: String,
    pub phase: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub authority: List<AuthorityPin>,
    #[serde(default, rename = "box", skip_serializing_if = "Vec::is_empty")]
    pub boxes: List<BoxPin>,
    #[serde(default, rename = "row", skip_serializing_if = "Vec::is_empty")]
    pub rows: List<RowPin>,
    #[serde(default, rename = "code", skip_serializing_if = "Vec::is_empty")]
    pub codes: List<CodePin>,
    #[serde(default, rename = "law", skip_serializing_if = "Vec::is_empty")]
    pub laws: List<LawPin>,
    #[serde(default, rename = "file", skip_serializing_if = "Vec::is_empty")]
    pub files: List<FilePin>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: List<FieldsPin>,
    #[serde(default, rename = "handle", skip_serializing_if = "Vec::is_empty")]
    pub handles: List<HandlePin>,
    #[serde(default, rename = "prerequisite", skip_serializing_if = "Vec::is_empty")]
    pub prerequisites: List<PrerequisitePin>,
    #[serde(default, rename = "predicate", skip_serializing_if = "Vec::is_empty")]
    pub predicates: List<PredicatePin>,
    #[serde(default, rename = "record", skip_serializing_if = "Vec::is_empty")]
    pub records: List<RecordPin>,
    #[serde(default, rename = "register", skip_serializing_if = "Vec::is_empty")]
    pub registers: List<RegisterPin>,
}

/// A document that the plan obeys.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AuthorityPin {
    pub kind: String,
    pub path: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BoxPin {
    pub lane: String,
    pub kind: String,
    /// A name, not a binding: boxes are told by their hash.
    pub number: usize,
    /// The requirement that the text is bound to; none for a text that nothing answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requirement: Option<String>,
    pub hash: String,
    pub text: String,
}

impl BoxPin {
    /// `M3.A dod-1`.
    pub(super) fn name(&self) -> String {
        format!("{} {}-{}", self.lane, self.kind, self.number)
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RowPin {
    pub lane: String,
    pub id: String,
    /// SHA-256 over the command template.
    pub template: String,
    /// SHA-256 over the purpose.
    pub purpose: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CodePin {
    pub code: String,
    /// SHA-256 over the meaning.
    pub meaning: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LawPin {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lane: Option<String>,
    pub name: String,
    /// How many clauses it has: fewer are a relaxation.
    pub clauses: usize,
    /// SHA-256 over the clauses, one a line.
    pub hash: String,
}

/// A file that the evidence contract asks for.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FilePin {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lane: Option<String>,
    /// The path as the plan writes it, else the bare name.
    pub file: String,
}

/// The minimum fields of a file.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FieldsPin {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lane: Option<String>,
    /// The file; the words that head the list where they name none.
    pub of: String,
    pub names: Vec<String>,
}

/// A handle that the phase requires, as registry and handoff resolve it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HandlePin {
    pub name: String,
    /// The value as JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// Why there is no value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unresolved: Option<String>,
}

/// A row of the handle closure matrix: where a value has to come from and what proves it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PrerequisitePin {
    pub name: String,
    /// SHA-256 over source class, source, verification and secret class.
    pub hash: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PredicatePin {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lane: Option<String>,
    pub name: String,
}

/// What a lane writes down beside its boxes, and a proof rests on.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RecordPin {
    pub lane: String,
    /// Words of its label.
    pub about: String,
    /// How many lines it has: fewer are a relaxation.
    pub lines: usize,
    /// SHA-256 over its lines, each with its depth.
    pub hash: String,
}

/// A blocker register, counted from 1 in the plan.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RegisterPin {
    pub number: usize,
    pub must_be_empty: bool,
}
