//! Records: what a lane pins down in lists of its own, outside the lists that the grammar knows.

use super::items::Item;
use super::marks;
use super::source::{Place, Source};

/// One labelled list that no other rule takes: `M1.A contract freeze record:` and what stands below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The lane under whose heading it stands; none for a list of the phase.
    pub lane: Option<String>,
    /// The label, without its colon.
    pub label: String,
    /// Its entries, in order; boxes among them are left out.
    pub entries: Vec<RecordEntry>,
    /// The label's line.
    pub place: Place,
}

impl Record {
    /// The entries whose text holds these words, in any case.
    pub fn entries_about<'r>(&'r self, words: &str) -> impl Iterator<Item = &'r RecordEntry> {
        about(&self.entries, words)
    }
}

/// One entry of a record, or one line below such an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordEntry {
    /// Its own words as written, code spans in their backticks; a colon at the end stays.
    pub text: String,
    /// What is nested directly below it, in order.
    pub details: Vec<RecordEntry>,
    /// Where it stands.
    pub place: Place,
}

impl RecordEntry {
    /// The code spans of its own text, in order, without their backticks.
    #[must_use]
    pub fn code(&self) -> Vec<&str> {
        marks::code_spans(&self.text)
    }

    /// The details directly below it whose text holds these words, in any case.
    pub fn details_about<'r>(&'r self, words: &str) -> impl Iterator<Item = &'r RecordEntry> {
        about(&self.details, words)
    }

    /// All that is nested below it, at any depth, in the order of the document.
    #[must_use]
    pub fn all_below(&self) -> Vec<&RecordEntry> {
        let mut all = Vec::new();
        collect(&self.details, &mut all);
        all
    }
}

fn collect<'r>(entries: &'r [RecordEntry], all: &mut Vec<&'r RecordEntry>) {
    for entry in entries {
        all.push(entry);
        collect(&entry.details, all);
    }
}

/// Whether a text holds these words, in any case.
pub(crate) fn holds(text: &str, words: &str) -> bool {
    text.to_ascii_lowercase().contains(&words.to_ascii_lowercase())
}

fn about<'r>(entries: &'r [RecordEntry], words: &str) -> impl Iterator<Item = &'r RecordEntry> {
    let words = words.to_owned();
    entries.iter().filter(move |entry| holds(&entry.text, &words))
}

/// The items of a list as entries. A box is none, and what stands below it is the box's.
pub(crate) fn entries(items: &[Item<'_>], source: &Source) -> Vec<RecordEntry> {
    let plain = items.iter().filter(|item| item.tick.is_none());
    plain
        .map(|item| RecordEntry {
            text: item.text.clone().into_owned(),
            details: entries(&item.children, source),
            place: source.place(item.line),
        })
        .collect()
}
