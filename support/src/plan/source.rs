//! Where a plan's words stand: its text, its lines, a place in it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;

/// One document, as it was read: the path it was asked for by and its whole text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// As given, relative to the repository root; shared by all places in the document.
    pub path: Arc<Path>,
    /// The bytes of the file as UTF-8, line endings untouched.
    pub text: Arc<str>,
}

/// A document that could not be read.
#[derive(Debug, Error)]
pub enum SourceError {
    /// The file is missing, or may not be read.
    #[error("{path}: the document cannot be read: {cause}; check the path and its permissions", path = path.display())]
    Unreadable {
        /// The path, relative to the repository root.
        path: PathBuf,
        /// What the file system said.
        #[source]
        cause: std::io::Error,
    },
    /// The bytes are no UTF-8.
    #[error("{path}: the document is not UTF-8 (first bad byte at offset {offset}); save it as UTF-8", path = path.display())]
    NotUtf8 {
        /// The path, relative to the repository root.
        path: PathBuf,
        /// Offset of the first byte that is not UTF-8.
        offset: usize,
    },
}

impl Source {
    /// A document whose text is at hand.
    pub fn new(path: impl Into<PathBuf>, text: impl Into<Arc<str>>) -> Self {
        Self { path: Arc::from(path.into()), text: text.into() }
    }

    /// Reads `path`, which is relative to `root`.
    ///
    /// # Errors
    /// When the file cannot be read or is not UTF-8.
    pub fn read(root: &Path, path: &Path) -> Result<Self, SourceError> {
        let bytes =
            std::fs::read(root.join(path)).map_err(|cause| SourceError::Unreadable { path: path.to_owned(), cause })?;
        let text = String::from_utf8(bytes)
            .map_err(|bad| SourceError::NotUtf8 { path: path.to_owned(), offset: bad.utf8_error().valid_up_to() })?;
        Ok(Self::new(path, text))
    }

    /// The place of one line of this document; lines count from 1.
    #[must_use]
    pub fn place(&self, line: usize) -> Place {
        Place { path: self.path.clone(), line }
    }
}

/// A line of a document.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The document, relative to the repository root.
    pub path: Arc<Path>,
    /// The line, counted from 1.
    pub line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}", self.path.display(), self.line)
    }
}

/// The lines of a text, cut as Markdown cuts them: at LF, CR LF, and a lone CR, mixed as they come.
pub(crate) struct Lines<'s>(Vec<&'s str>);

impl<'s> Lines<'s> {
    pub(crate) fn of(text: &'s str) -> Self {
        let mut lines = Vec::with_capacity(text.len() / 48 + 1);
        let mixed = memchr::memchr(b'\r', text.as_bytes()).is_some();
        let ends = memchr::memchr_iter(b'\n', text.as_bytes()).chain(std::iter::once(text.len()));
        let mut start = 0;
        for end in ends {
            let line = text.get(start..end).unwrap_or("");
            start = end + 1;
            let line = line.strip_suffix('\r').filter(|_| mixed).unwrap_or(line);
            if mixed && line.as_bytes().contains(&b'\r') {
                lines.extend(line.split('\r'));
            } else {
                lines.push(line);
            }
        }
        Self(lines)
    }

    /// The line with this number, counted from 1; empty beyond the end.
    pub(crate) fn get(&self, line: usize) -> &'s str {
        line.checked_sub(1).and_then(|index| self.0.get(index).copied()).unwrap_or("")
    }

    pub(crate) fn numbered(&self) -> impl Iterator<Item = (usize, &'s str)> {
        self.0.iter().enumerate().map(|(index, line)| (index + 1, *line))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("", &[""])]
    #[case("a", &["a"])]
    #[case("a\n", &["a", ""])]
    #[case("a\r\nb\nc\rd", &["a", "b", "c", "d"])]
    #[case("a\r\r\nb", &["a", "", "b"])]
    #[case("\n\nä", &["", "", "ä"])]
    fn lines_are_cut_at_every_kind_of_ending(#[case] text: &str, #[case] expected: &[&str]) {
        let lines = Lines::of(text);
        assert_eq!(lines.numbered().map(|(_, line)| line).collect::<Vec<_>>(), expected);
        assert_eq!(lines.get(0), "");
        assert_eq!(lines.get(expected.len() + 1), "");
    }

    #[test]
    fn a_document_that_is_missing_or_no_utf8_says_so_with_its_path() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("bad.md"), b"ab\xff").unwrap();
        let bad = Source::read(folder.path(), Path::new("bad.md")).unwrap_err();
        assert!(bad.to_string().contains("bad.md") && bad.to_string().contains("offset 2"), "{bad}");
        let gone = Source::read(folder.path(), Path::new("gone.md")).unwrap_err();
        assert!(gone.to_string().starts_with("gone.md: "), "{gone}");
    }
}
