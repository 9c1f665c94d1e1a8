//! Blocker registers: while one that must be empty lists an open entry, no lane of the phase runs.

use super::codes::leading_codes;
use super::items::Item;
use super::marks::collapse;
use super::source::{Place, Source};

/// A section that registers blockers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Register {
    /// Whether its heading says that it must be empty before the phase executes.
    pub must_be_empty: bool,
    /// Entries that are open.
    pub open: Vec<RegisterEntry>,
    /// Entries that are closed.
    pub resolved: Vec<RegisterEntry>,
    /// Its heading.
    pub place: Place,
}

/// One entry of a register.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegisterEntry {
    /// Its codes; more than one where the entry names several. Empty only beside an error.
    pub codes: Vec<String>,
    /// The word in brackets behind the codes: `open`, `resolved`, `closed`; empty without one.
    pub status: String,
    /// The entry's first line, as written.
    pub text: String,
    /// The texts under a `summary`, joined by a blank.
    pub summary: String,
    /// The lanes under `impacted sub-phase`.
    pub impacted: Vec<String>,
    /// The texts under `closure criteria`.
    pub closure_criteria: Vec<String>,
    /// Where it stands.
    pub place: Place,
}

impl RegisterEntry {
    /// Whether the entry calls itself closed.
    #[must_use]
    pub fn says_closed(&self) -> bool {
        matches!(self.status.to_ascii_lowercase().as_str(), "closed" | "resolved" | "done")
    }
}

/// Whether an item says that there is nothing to list.
pub(crate) fn is_none(text: &str) -> bool {
    let word = text.trim().trim_end_matches('.').to_ascii_lowercase();
    matches!(word.as_str(), "none" | "none yet" | "`none`" | "(none)" | "empty" | "n/a")
}

/// Reads one entry.
pub(crate) fn entry(item: &Item<'_>, source: &Source) -> RegisterEntry {
    let (codes, rest) = leading_codes(&item.text);
    let status = rest.strip_prefix('(').and_then(|rest| rest.split_once(')')).map_or("", |(status, _)| status.trim());
    RegisterEntry {
        codes,
        status: status.to_owned(),
        text: item.text.clone().into_owned(),
        summary: below(item, "summary").join(" "),
        impacted: below(item, "impacted")
            .into_iter()
            .map(|lane| lane.trim_matches(['`', '.', ',']).to_owned())
            .collect(),
        closure_criteria: below(item, "closure criteria"),
        place: source.place(item.line),
    }
}

/// The texts below the child whose label holds `word`.
fn below(item: &Item<'_>, word: &str) -> Vec<String> {
    item.children
        .iter()
        .find(|child| child.is_label() && child.text.to_ascii_lowercase().contains(word))
        .map_or_else(Vec::new, |child| child.details().iter().map(|text| collapse(text)).collect())
}

#[cfg(test)]
mod tests {
    use super::is_none;

    #[test]
    fn none_is_no_entry_and_a_sentence_is_one() {
        assert!(is_none("None.") && is_none("None yet.") && is_none("none"));
        assert!(!is_none("None of the handles resolves."));
    }
}
