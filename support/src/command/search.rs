//! Carrying out `rg` over documents, and proving that a guard could find what it guards against.

use std::io;

use regex::{Regex, RegexBuilder};
use serde::{Deserialize, Serialize};

use super::template::placeholders_in;
use super::typed::RipGrep;
use crate::registry::with_value_on_line;

/// What a search found. Nothing found is an answer only because every document was read to its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Search {
    /// Every matching line, in the order of the documents and lines.
    pub matches: Vec<Match>,
    /// The documents that were read, each with its number of lines.
    pub documents: Vec<(String, usize)>,
}

impl Search {
    /// The alternatives of `command` that no line matches.
    #[must_use]
    pub fn missing<'command>(&self, command: &'command RipGrep) -> Vec<&'command str> {
        let found = |alternative: &&str| {
            self.matches.iter().any(|line| line.alternatives.iter().any(|matched| matched == alternative))
        };
        command.alternatives.iter().map(String::as_str).filter(|alternative| !found(alternative)).collect()
    }
}

/// One matching line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Match {
    /// The document.
    pub path: String,
    /// The line, from 1.
    pub line: usize,
    /// The line's text, without its line ending.
    pub text: String,
    /// Which of the pattern's alternatives match it.
    pub alternatives: Vec<String>,
}

/// That a guard can find: on these lines, set to the placeholder, its pattern matches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuardProof {
    /// The handle.
    pub handle: String,
    /// The document.
    pub path: String,
    /// Each of the handle's lines: number, and text as doctored and found.
    pub lines: Vec<(usize, String)>,
}

/// Why a search or a proof gives no answer.
#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    /// The search still holds a placeholder; it would find nothing, and say so.
    #[error("the search still holds the placeholder <{name}>; bind it first")]
    Unresolved {
        /// The placeholder.
        name: String,
    },
    /// The pattern is no regular expression.
    #[error("the pattern cannot be used: {0}")]
    Pattern(#[from] regex::Error),
    /// A path that still holds wildcards.
    #[error("{path}: a path with wildcards must be expanded before it is read")]
    Wildcard {
        /// The path.
        path: String,
    },
    /// A path with wildcards that matches no file, or has wildcards in a folder's name.
    #[error("{path}: no file matches; nothing was searched")]
    NothingMatches {
        /// The path.
        path: String,
    },
    /// A document or folder that cannot be read.
    #[error("{path}: cannot be read: {source}")]
    Read {
        /// The path.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// A line matches the whole pattern and none of its alternatives.
    #[error("{path}:{line}: the line matches the pattern and none of its alternatives")]
    Inconsistent {
        /// The document.
        path: String,
        /// The line.
        line: usize,
    },
    /// The guard searches other documents than the one it is to be proven on.
    #[error("the guard does not search {path}")]
    OtherDocument {
        /// The document.
        path: String,
    },
    /// There is no such line, or it does not define the handle.
    #[error("{path}:{line}: does not define `{handle}`, so the guard cannot be proven there")]
    NotItsLine {
        /// The document.
        path: String,
        /// The line; 0 where none was given.
        line: usize,
        /// The handle.
        handle: String,
    },
    /// The guard does not find the placeholder where it is put: it would always be met.
    #[error("{path}:{line}: the guard does not find `{handle}` set to {placeholder}; it would never refuse anything")]
    CannotFind {
        /// The document.
        path: String,
        /// The line.
        line: usize,
        /// The handle.
        handle: String,
        /// The placeholder.
        placeholder: String,
    },
}

impl RipGrep {
    /// The same search with the wildcards in the last segment of each path expanded. `list` gives the names in a folder.
    ///
    /// # Errors
    /// [`SearchError`] when a folder cannot be listed, or nothing in it matches: then there is nothing to search.
    pub fn expanded(&self, list: &dyn Fn(&str) -> io::Result<Vec<String>>) -> Result<Self, SearchError> {
        let mut paths = Vec::new();
        for path in &self.paths {
            if !has_wildcard(path) {
                paths.push(path.clone());
                continue;
            }
            let (folder, name) = path.rsplit_once('/').unwrap_or((".", path));
            if has_wildcard(folder) {
                return Err(SearchError::NothingMatches { path: path.clone() });
            }
            let pattern = wildcard_pattern(name)?;
            let names = list(folder).map_err(|source| SearchError::Read { path: folder.to_owned(), source })?;
            let mut found: Vec<String> = names.into_iter().filter(|name| pattern.is_match(name)).collect();
            if found.is_empty() {
                return Err(SearchError::NothingMatches { path: path.clone() });
            }
            found.sort();
            paths.extend(found.into_iter().map(|name| match folder {
                "." => name,
                folder => format!("{folder}/{name}"),
            }));
        }
        Ok(Self { paths, ..self.clone() })
    }

    fn compile(&self, pattern: &str) -> Result<Regex, SearchError> {
        Ok(RegexBuilder::new(pattern).case_insensitive(self.case_insensitive).build()?)
    }

    fn refuse_placeholders(&self) -> Result<(), SearchError> {
        let unresolved = |text: &String| placeholders_in(text).into_iter().next();
        match self.paths.iter().chain([&self.pattern]).find_map(unresolved) {
            Some((_, name)) => Err(SearchError::Unresolved { name }),
            None => Ok(()),
        }
    }
}

fn has_wildcard(path: &str) -> bool {
    path.contains(['*', '?'])
}

fn wildcard_pattern(name: &str) -> Result<Regex, SearchError> {
    let parts = name.chars().map(|character| match character {
        '*' => ".*".to_owned(),
        '?' => ".".to_owned(),
        other => regex::escape(other.encode_utf8(&mut [0; 4])),
    });
    Ok(Regex::new(&format!("^(?s:{})$", parts.collect::<String>()))?)
}

/// Carries out an `rg` call: every line of every document, without its line ending, against the pattern and each of its
/// alternatives. `read` gives a document by its path.
///
/// # Errors
/// [`SearchError`] when a document cannot be read or the call is not fully resolved: never an empty answer instead.
pub fn rip_grep(command: &RipGrep, read: &dyn Fn(&str) -> io::Result<String>) -> Result<Search, SearchError> {
    command.refuse_placeholders()?;
    if let Some(path) = command.paths.iter().find(|path| has_wildcard(path)) {
        return Err(SearchError::Wildcard { path: path.clone() });
    }
    let whole = command.compile(&command.pattern)?;
    let alternatives = command
        .alternatives
        .iter()
        .map(|text| Ok((text, command.compile(text)?)))
        .collect::<Result<Vec<_>, SearchError>>()?;
    let mut search = Search { matches: Vec::new(), documents: Vec::new() };
    for path in &command.paths {
        let text = read(path).map_err(|source| SearchError::Read { path: path.clone(), source })?;
        let mut count = 0;
        for (number, line) in lines(&text) {
            count = number;
            if !whole.is_match(line) {
                continue;
            }
            let matched: Vec<String> = alternatives
                .iter()
                .filter(|(_, pattern)| pattern.is_match(line))
                .map(|(text, _)| (*text).clone())
                .collect();
            if matched.is_empty() {
                return Err(SearchError::Inconsistent { path: path.clone(), line: number });
            }
            search.matches.push(Match {
                path: path.clone(),
                line: number,
                text: line.to_owned(),
                alternatives: matched,
            });
        }
        search.documents.push((path.clone(), count));
    }
    Ok(search)
}

/// The lines of a text from 1, without `\n` or `\r\n`.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(index, line)| (index + 1, line))
}

/// Proves that a guard, which is met when nothing is found, can find: in a copy of the real document each of the handle's
/// own `lines` is set to the placeholder in turn, and the guard must match that line.
///
/// # Errors
/// [`SearchError`] when the guard does not match, does not search the document, or a line does not define the handle.
pub fn guard_can_find(
    command: &RipGrep,
    path: &str,
    text: &str,
    handle: &str,
    own_lines: &[usize],
    placeholder: &str,
) -> Result<GuardProof, SearchError> {
    if !command.paths.iter().any(|searched| searched == path) {
        return Err(SearchError::OtherDocument { path: path.to_owned() });
    }
    let not_its_line = |line: usize| SearchError::NotItsLine { path: path.to_owned(), line, handle: handle.to_owned() };
    if own_lines.is_empty() {
        return Err(not_its_line(0));
    }
    let here = RipGrep { paths: vec![path.to_owned()], ..command.clone() };
    let mut proven = Vec::new();
    for line in own_lines {
        let doctored = with_line_set(text, *line, handle, placeholder).ok_or_else(|| not_its_line(*line))?;
        let found = rip_grep(&here, &|_| Ok(doctored.clone()))?;
        let found = found.matches.into_iter().find(|found| found.line == *line);
        let found = found.ok_or_else(|| SearchError::CannotFind {
            path: path.to_owned(),
            line: *line,
            handle: handle.to_owned(),
            placeholder: placeholder.to_owned(),
        })?;
        proven.push((*line, found.text));
    }
    Ok(GuardProof { handle: handle.to_owned(), path: path.to_owned(), lines: proven })
}

/// The document with the value of `handle` on line `number` set to `placeholder`, all else byte for byte as it is.
fn with_line_set(text: &str, number: usize, handle: &str, placeholder: &str) -> Option<String> {
    let wanted = number.checked_sub(1)?;
    let mut document = String::with_capacity(text.len() + placeholder.len());
    let mut set = false;
    for (index, line) in text.split_inclusive('\n').enumerate() {
        if index == wanted {
            document.push_str(&with_value_on_line(line, handle, placeholder)?);
            set = true;
        } else {
            document.push_str(line);
        }
    }
    set.then_some(document)
}
