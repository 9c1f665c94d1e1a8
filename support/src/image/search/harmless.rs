//! What the rules would take in an image and what was looked at and is none: `harmless.toml`, which explains its own form.

use std::collections::BTreeSet;

use crate::evidence::digest::sha256_hex;
use regex::Regex;
use serde::Deserialize;

/// Why a list of harmless findings is refused.
#[derive(Debug, thiserror::Error)]
pub enum HarmlessError {
    /// The text is not such a list.
    #[error("the list of harmless findings cannot be read: {0}")]
    Form(#[from] Box<toml::de::Error>),
    /// A pattern is no regular expression.
    #[error("harmless {id}: the pattern cannot be read: {source}")]
    Pattern {
        /// The entry at fault.
        id: String,
        /// What the regex engine says.
        source: Box<regex::Error>,
    },
    /// A pattern would hold for a part of what it is held against.
    #[error("harmless {id}: begin and end the pattern by ^ and $, once each, and its branches inside (?:…)")]
    Unanchored {
        /// The entry at fault.
        id: String,
    },
    /// An entry that would hold for whatever a rule takes.
    #[error("harmless {id}: give a value or the digests of what is meant, and the rules and the reason")]
    TooWide {
        /// The entry at fault.
        id: String,
    },
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    harmless: Vec<RawEntry>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawEntry {
    id: String,
    reason: String,
    rules: Vec<String>,
    path: Option<String>,
    key: Option<String>,
    value: Option<String>,
    #[serde(default)]
    sha256: Vec<String>,
    #[serde(default)]
    sample: Option<Sample>,
    #[serde(default)]
    near: Vec<Sample>,
}

/// A file that shows an entry at work.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(not(test), expect(dead_code, reason = "the samples are what the tests hold the entries to"))]
pub(super) struct Sample {
    pub(super) path: String,
    pub(super) text: String,
}

/// An entry, ready for use.
#[derive(Debug)]
struct Entry {
    #[cfg_attr(not(test), expect(dead_code, reason = "tests name the entry at fault"))]
    id: String,
    rules: Vec<String>,
    path: Option<Regex>,
    key: Option<Regex>,
    value: Option<Regex>,
    sha256: BTreeSet<String>,
    #[cfg_attr(not(test), expect(dead_code, reason = "the samples are what the tests hold the entries to"))]
    samples: (Option<Sample>, Vec<Sample>),
}

/// A list of what is harmless.
#[derive(Debug)]
pub struct Harmless {
    entries: Vec<Entry>,
}

/// What a rule would take.
pub(super) struct Candidate<'a> {
    pub(super) rule: &'a str,
    pub(super) path: &'a str,
    /// Of a keyed rule.
    pub(super) key: Option<&'a str>,
    pub(super) value: &'a str,
    /// What it is told by: the whole match, and for a private key the beginning of its body.
    pub(super) told_by: &'a [u8],
}

impl Harmless {
    /// The list that is built in.
    ///
    /// # Errors
    /// [`HarmlessError`] names the entry at fault.
    pub fn built_in() -> Result<Self, HarmlessError> {
        Self::parse(include_str!("harmless.toml"))
    }

    /// Reads a list; the built-in one explains the form.
    ///
    /// # Errors
    /// [`HarmlessError`] names the entry at fault.
    pub fn parse(text: &str) -> Result<Self, HarmlessError> {
        let file: File = toml::from_str(text).map_err(Box::new)?;
        Ok(Self { entries: file.harmless.into_iter().map(Entry::read).collect::<Result<_, _>>()? })
    }

    /// Adds another list to this one.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.entries.extend(other.entries);
        self
    }

    pub(super) fn has(&self, candidate: &Candidate<'_>) -> bool {
        let mut applying = self.entries.iter().filter(|entry| entry.is_about(candidate)).peekable();
        if applying.peek().is_none() {
            return false;
        }
        let told_by = sha256_hex(candidate.told_by);
        applying.any(|entry| entry.sha256.is_empty() || entry.sha256.contains(&told_by))
    }
}

impl Entry {
    fn read(raw: RawEntry) -> Result<Self, HarmlessError> {
        let unexplained = raw.id.trim().is_empty() || raw.reason.trim().is_empty() || raw.rules.is_empty();
        if unexplained || raw.value.is_none() && raw.sha256.is_empty() {
            return Err(HarmlessError::TooWide { id: raw.id });
        }
        let pattern = |form: Option<String>| form.map(|form| anchored(&raw.id, &form)).transpose();
        Ok(Self {
            path: pattern(raw.path)?,
            key: pattern(raw.key)?,
            value: pattern(raw.value)?,
            rules: raw.rules,
            sha256: raw.sha256.into_iter().collect(),
            samples: (raw.sample, raw.near),
            id: raw.id,
        })
    }

    fn is_about(&self, candidate: &Candidate<'_>) -> bool {
        let holds = |form: &Option<Regex>, text: &str| form.as_ref().is_none_or(|form| form.is_match(text));
        self.rules.iter().any(|rule| rule == candidate.rule)
            && holds(&self.path, candidate.path)
            && holds(&self.value, candidate.value)
            && match (&self.key, candidate.key) {
                (None, _) => true,
                (Some(form), Some(key)) => form.is_match(key),
                (Some(_), None) => false,
            }
    }
}

/// The whole text, whatever the pattern's branches are.
fn anchored(id: &str, form: &str) -> Result<Regex, HarmlessError> {
    let inner = form.strip_prefix('^').and_then(|rest| rest.strip_suffix('$')).filter(|inner| !inner.ends_with('\\'));
    let inner = inner.ok_or_else(|| HarmlessError::Unanchored { id: id.to_owned() })?;
    let pattern = |source| HarmlessError::Pattern { id: id.to_owned(), source: Box::new(source) };
    Regex::new(&format!(r"\A(?:{inner})\z")).map_err(pattern)
}

#[cfg(test)]
mod tests {
    use super::{Harmless, HarmlessError, Sample};
    use crate::evidence::digest::sha256_hex;
    use crate::image::search::Search;
    use rstest::rstest;

    fn found(harmless: Harmless, sample: &Sample) -> usize {
        let mut search = Search::new(harmless).unwrap();
        search.file(&sample.path, &mut sample.text.as_bytes()).unwrap().hits.len()
    }

    /// Each entry is needed (without it its sample is found), works, and stops where it should.
    #[test]
    fn each_entry_bears_its_load() {
        let count = Harmless::built_in().unwrap().entries.len();
        for index in 0..count {
            let mut without = Harmless::built_in().unwrap();
            let entry = without.entries.remove(index);
            let (Some(sample), near) = &entry.samples else {
                assert!(!entry.sha256.is_empty(), "{}: no sample", entry.id);
                continue;
            };
            assert_ne!(found(without, sample), 0, "{}: nothing takes the sample, drop it", entry.id);
            assert_eq!(found(Harmless::built_in().unwrap(), sample), 0, "{}: the sample is still taken", entry.id);
            assert!(!near.is_empty(), "{}: no near miss", entry.id);
            for near in near {
                assert_ne!(found(Harmless::built_in().unwrap(), near), 0, "{}: {near:?} passes", entry.id);
            }
        }
    }

    /// A key's digest is of its first line and the beginning of its body: put together here, so that no key stands in the sources.
    #[test]
    fn a_digest_is_of_one_key() {
        let key = |body: &str| format!("-----BEGIN EC {} KEY-----\n{body}\n", "PRIVATE");
        let [known, other] = ["QUJD".repeat(20), "QUJE".repeat(20)];
        let digest = sha256_hex(format!("{}{}", key("").trim_end(), &known[..64]).as_bytes());
        let list = format!("[[harmless]]\nid='k'\nreason='r'\nrules=['private-key-block']\nsha256=['{digest}']\n");
        let sample = |body: &str| Sample { path: "a".to_owned(), text: key(body) };
        assert_eq!(found(Harmless::parse(&list).unwrap(), &sample(&known)), 0);
        assert_eq!(found(Harmless::parse(&list).unwrap(), &sample(&other)), 1);
        assert_eq!(found(Harmless::built_in().unwrap(), &sample(&known)), 1);
    }

    #[rstest]
    #[case("id='a'\nreason='r'\nrules=['x']\nvalue='b'")]
    #[case("id='a'\nreason='r'\nrules=['x']\nvalue='^b'")]
    #[case("id='a'\nreason='r'\nrules=['x']\nvalue='^b\\$'")]
    #[case("id='a'\nreason='r'\nrules=['x']\nvalue='^b$'\npath='b$'")]
    fn a_pattern_that_is_not_anchored_is_refused(#[case] entry: &str) {
        let error = Harmless::parse(&format!("[[harmless]]\n{entry}\n")).unwrap_err();
        assert!(matches!(error, HarmlessError::Unanchored { .. }), "{error}");
    }

    #[rstest]
    #[case("id='a'\nreason='r'\nrules=['x']", "digests")]
    #[case("id='a'\nreason='r'\nrules=[]\nvalue='^b$'", "rules")]
    #[case("id='a'\nreason=' '\nrules=['x']\nvalue='^b$'", "reason")]
    #[case("id='a'\nreason='r'\nrules=['x']\nvalue='^($'", "cannot be read")]
    #[case("id='a'\nreason='r'\nrules=['x']\nvalue='^b$'\nmore=1", "unknown field")]
    fn an_entry_that_says_too_little_is_refused(#[case] entry: &str, #[case] says: &str) {
        let error = Harmless::parse(&format!("[[harmless]]\n{entry}\n")).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
}
