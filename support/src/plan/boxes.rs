//! Boxes: the requirements that a plan ticks off.

use super::marks::collapse;
use super::source::Place;
use crate::evidence::digest::sha256_hex;

/// Which list a box stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BoxKind {
    /// A definition of done, of a lane or, in a master plan, of a phase.
    Dod,
    /// A phase's completion list.
    Checklist,
    /// Sub-phase boxes of a master plan.
    Progress,
}

impl BoxKind {
    /// The word that names of cases use.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Dod => "dod",
            Self::Checklist => "checklist",
            Self::Progress => "progress",
        }
    }
}

/// One box.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanBox {
    /// Which list it stands in.
    pub kind: BoxKind,
    /// `M3.B`, or a phase of a master plan; none for a box of the plan's own phase.
    pub lane: Option<String>,
    /// Counted from 1 within its lane (or phase) and kind. A name, not a binding.
    pub number: usize,
    /// The box's own paragraph as written, without marker and brackets.
    pub text: String,
    /// What stands indented below it, other boxes left out; empty for most.
    pub details: String,
    /// Whether the plan claims that it is so.
    pub ticked: bool,
    /// Where it stands.
    pub place: Place,
}

/// The hash of a box that has this text and nothing nested below it.
#[must_use]
pub fn hash_of(text: &str) -> String {
    sha256_hex(collapse(text).as_bytes())
}

impl PlanBox {
    /// The text that bindings hash: text and details, each run of white space one blank, none at
    /// the ends. Indentation, line breaks and line endings do not count; every word and mark does,
    /// those that are nested below the box included, since they can weaken what it asks.
    #[must_use]
    pub fn normalised(&self) -> String {
        let mut text = collapse(&self.text);
        let details = collapse(&self.details);
        if !details.is_empty() {
            text.push(' ');
            text.push_str(&details);
        }
        text
    }

    /// SHA-256 of [`Self::normalised`], as 64 lower-case hex digits.
    #[must_use]
    pub fn hash(&self) -> String {
        sha256_hex(self.normalised().as_bytes())
    }
}
