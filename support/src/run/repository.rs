//! The plan repository: documents read by the relative paths that plans use, and never outside it.

use std::io;
use std::path::{Component, Path, PathBuf};

/// A document that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// A path leads out of the repository, or is absolute.
    #[error("`{0}` leads out of the plan repository; documents are named by a path inside it")]
    Outside(String),
    /// There is no such file.
    #[error("{path} is not in the plan repository {root}; create it, or correct the path in the plan")]
    Absent {
        /// The path.
        path: String,
        /// The repository.
        root: PathBuf,
    },
    /// It is there and cannot be read.
    #[error("{path} cannot be read: {source}")]
    Unreadable {
        /// The path.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// It is there and is not UTF-8 text.
    #[error("{path} is not UTF-8 text (first wrong byte at offset {offset}); save it as UTF-8")]
    NotText {
        /// The path.
        path: String,
        /// Where it stops being UTF-8.
        offset: usize,
    },
}

/// A plan repository on disk. phasegate reads from it and does not change it.
#[derive(Debug, Clone)]
pub struct Repository {
    root: PathBuf,
}

impl Repository {
    /// Opens the folder.
    ///
    /// # Errors
    /// When it does not exist or is no folder.
    pub fn open(root: &Path) -> Result<Self, DocumentError> {
        match root.metadata() {
            Ok(metadata) if metadata.is_dir() => Ok(Self { root: root.to_owned() }),
            Ok(_) => Err(DocumentError::Unreadable {
                path: root.display().to_string(),
                source: io::Error::from(io::ErrorKind::NotADirectory),
            }),
            Err(source) => Err(DocumentError::Unreadable { path: root.display().to_string(), source }),
        }
    }

    /// Its folder.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The place of a document on disk.
    ///
    /// # Errors
    /// When the path is absolute or leads out of the repository.
    pub fn locate(&self, path: &str) -> Result<PathBuf, DocumentError> {
        let inside = Path::new(path).components().all(|c| matches!(c, Component::Normal(_) | Component::CurDir));
        if path.is_empty() || !inside {
            return Err(DocumentError::Outside(path.to_owned()));
        }
        Ok(self.root.join(path))
    }

    /// Whether a file is there.
    ///
    /// # Errors
    /// When that cannot be told.
    pub fn has(&self, path: &str) -> Result<bool, DocumentError> {
        self.locate(path)?.try_exists().map_err(|source| DocumentError::Unreadable { path: path.to_owned(), source })
    }

    /// The bytes of a document.
    ///
    /// # Errors
    /// When it is absent, unreadable, or outside.
    pub fn bytes(&self, path: &str) -> Result<Vec<u8>, DocumentError> {
        std::fs::read(self.locate(path)?).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => DocumentError::Absent { path: path.to_owned(), root: self.root.clone() },
            _ => DocumentError::Unreadable { path: path.to_owned(), source },
        })
    }

    /// The text of a document.
    ///
    /// # Errors
    /// As for [`Self::bytes`], and when it is not UTF-8.
    pub fn text(&self, path: &str) -> Result<String, DocumentError> {
        String::from_utf8(self.bytes(path)?)
            .map_err(|error| DocumentError::NotText { path: path.to_owned(), offset: error.utf8_error().valid_up_to() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("/etc/hostname")]
    #[case("../outside")]
    #[case("docs/../../outside")]
    #[case("")]
    fn never_reads_outside(#[case] path: &str) {
        let folder = tempfile::tempdir().unwrap();
        let repository = Repository::open(folder.path()).unwrap();
        assert!(matches!(repository.bytes(path), Err(DocumentError::Outside(_))));
    }

    #[test]
    fn says_what_is_absent_and_what_is_not_text() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("latin"), b"caf\xe9").unwrap();
        let repository = Repository::open(folder.path()).unwrap();
        assert!(matches!(repository.text("plan.md"), Err(DocumentError::Absent { .. })));
        assert!(matches!(repository.text("latin"), Err(DocumentError::NotText { offset: 3, .. })));
        assert!(!repository.has("plan.md").unwrap());
    }

    #[test]
    fn a_repository_that_is_not_there_is_an_error() {
        assert!(Repository::open(Path::new("/nonexistent/plans")).is_err());
    }
}
