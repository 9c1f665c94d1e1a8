//! Looks for secrets in files of any size, in bounded memory: what [`crate::secrets::scan_bytes`] finds in a text, at the speed of layers.
//!
//! A file passes through a window with an overlap that is longer than anything a rule may take. Each window is first searched for
//! short literals; only around those is the rule book asked. Tokens are looked for everywhere, in machine code too; values that are secret
//! because of their key in text, where an unquoted word of program text is a name and no value. What stands below one layer of base64,
//! URL encoding or UTF-16 is read. What is known to be harmless is a list ([`Harmless`]).

mod direct;
mod harmless;
mod hidden;
mod language;
mod needles;

pub use harmless::{Harmless, HarmlessError};

use std::collections::BTreeSet;
use std::io::Read;
use std::sync::OnceLock;

use direct::{Direct, Keys};
use language::Language;
use needles::Needles;

use crate::secrets::{self, FARTHEST, Hit, RuleBook};

/// As much of a file as is looked at together.
const WINDOW: usize = 256 * 1024;
/// What stands around a place is known so far to both sides.
const MARGIN: usize = FARTHEST + 512;
/// So many hits of one file are kept; the others are counted.
const MOST_HITS: usize = 100;
/// A JSON document up to this size is also read as one.
const LARGEST_JSON: usize = 64 * 1024;

/// Why no search is possible.
#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    /// The rule book cannot be read. It is part of the program: correct it.
    #[error("the rules cannot be read: {0}")]
    Rules(String),
    /// The list of harmless findings cannot be read.
    #[error(transparent)]
    Harmless(#[from] HarmlessError),
}

/// What was found in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Searched {
    /// How long the file is.
    pub bytes: u64,
    /// Rules and places, in order: `line:column` in text, `byte 17` in binary files, a JSON path in documents.
    pub hits: Vec<Hit>,
    /// How many more there are.
    pub more: u64,
}

/// A search, with the memory that it needs: one window.
#[derive(Debug)]
pub struct Search {
    book: &'static RuleBook,
    needles: &'static Needles,
    harmless: Harmless,
    keys: Keys,
    window: Vec<u8>,
}

impl Search {
    /// A search by the built-in rules.
    ///
    /// # Errors
    /// [`SearchError`]: without rules nothing is searched.
    pub fn new(harmless: Harmless) -> Result<Self, SearchError> {
        let book = secrets::built_in().map_err(|error| SearchError::Rules(error.to_string()))?;
        let needles = needles(book).map_err(|error| SearchError::Rules(error.to_owned()))?;
        Ok(Self { book, needles, harmless, keys: Keys::default(), window: vec![0; WINDOW] })
    }

    /// Searches a file's content to its end.
    ///
    /// # Errors
    /// Whatever `read` says.
    pub fn file(&mut self, path: &str, read: &mut dyn Read) -> std::io::Result<Searched> {
        let mut report = Report::default();
        let (mut filled, mut told_from) = (0, 0);
        let mut language = None;
        loop {
            let ended = fill(&mut self.window, &mut filled, read)?;
            let bytes = self.window.get(..filled).unwrap_or_default();
            let told_to = if ended { filled } else { filled - MARGIN };
            let language = *language.get_or_insert_with(|| Language::of(path, bytes));
            report.enter(bytes);
            let direct = Direct {
                needles: self.needles,
                book: self.book,
                harmless: &self.harmless,
                keys: &self.keys,
                path,
                language,
                bytes,
                told: told_from..told_to,
                prose: true,
            };
            direct.run(&mut |rule, at| report.add(rule, at, bytes));
            direct.hidden(&mut |rule, at| report.add(rule, at, bytes));
            if ended {
                if report.passed == 0 {
                    self.document(bytes, &mut report);
                }
                report.passed += filled as u64;
                return Ok(report.close());
            }
            let keep_from = told_to - MARGIN;
            report.leave(bytes.get(..keep_from).unwrap_or_default());
            self.window.copy_within(keep_from..filled, 0);
            filled -= keep_from;
            told_from = told_to - keep_from;
        }
    }

    /// A small JSON document: names beside values, and what its escapes hide.
    fn document(&self, bytes: &[u8], report: &mut Report) {
        let begin = bytes.trim_ascii_start().first();
        if bytes.len() > LARGEST_JSON || !matches!(begin, Some(b'{' | b'[')) {
            return;
        }
        let Ok(value) = serde_json::from_slice::<serde_json::Value>(bytes) else {
            return;
        };
        for hit in self.book.scan_json(&value) {
            if report.hits.iter().all(|known| known.rule != hit.rule) {
                report.keep(hit);
            }
        }
    }
}

/// Made once: to make them takes longer than to search a megabyte.
fn needles(book: &RuleBook) -> Result<&'static Needles, &'static str> {
    static NEEDLES: OnceLock<Result<Needles, String>> = OnceLock::new();
    NEEDLES.get_or_init(|| Needles::new(book).map_err(|error| error.to_string())).as_ref().map_err(String::as_str)
}

/// Reads until the window is full. Whether the file ended.
fn fill(window: &mut [u8], filled: &mut usize, read: &mut dyn Read) -> std::io::Result<bool> {
    while let Some(free) = window.get_mut(*filled..).filter(|free| !free.is_empty()) {
        match read.read(free) {
            Ok(0) => return Ok(true),
            Ok(count) => *filled += count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}

/// The hits of a file, and where the window stands in it.
#[derive(Debug, Default)]
struct Report {
    seen: BTreeSet<(String, u64)>,
    hits: Vec<Hit>,
    more: u64,
    /// What passed before the window.
    passed: u64,
    lines: u64,
    /// Characters of the last line that passed.
    columns: u64,
    binary: bool,
}

impl Report {
    fn enter(&mut self, window: &[u8]) {
        self.binary = self.binary || memchr::memchr(0, window).is_some();
    }

    fn leave(&mut self, passed: &[u8]) {
        self.passed += passed.len() as u64;
        self.lines += memchr::memchr_iter(b'\n', passed).count() as u64;
        let (last, whole) = memchr::memrchr(b'\n', passed)
            .map_or((passed, false), |at| (passed.get(at + 1..).unwrap_or_default(), true));
        let columns = characters(last);
        self.columns = if whole { columns } else { self.columns + columns };
    }

    fn add(&mut self, rule: &str, at: usize, window: &[u8]) {
        let place = self.passed + at as u64;
        let known = self.seen.len() >= 4 * MOST_HITS || !self.seen.insert((rule.to_owned(), place));
        if known {
            self.more += u64::from(self.seen.len() >= 4 * MOST_HITS);
            return;
        }
        let before = window.get(..at).unwrap_or_default();
        let shown = if self.binary {
            format!("byte {place}")
        } else {
            let line = self.lines + memchr::memchr_iter(b'\n', before).count() as u64 + 1;
            let column = match memchr::memrchr(b'\n', before) {
                Some(last) => characters(before.get(last + 1..).unwrap_or_default()),
                None => self.columns + characters(before),
            };
            format!("{line}:{}", column + 1)
        };
        self.keep(Hit { rule: rule.to_owned(), at: shown });
    }

    fn keep(&mut self, hit: Hit) {
        if self.hits.len() < MOST_HITS { self.hits.push(hit) } else { self.more += 1 }
    }

    fn close(mut self) -> Searched {
        self.hits.sort();
        self.hits.dedup();
        Searched { bytes: self.passed, hits: self.hits, more: self.more }
    }
}

fn characters(text: &[u8]) -> u64 {
    String::from_utf8_lossy(text).chars().count() as u64
}
