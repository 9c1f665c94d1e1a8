//! Finds the real plan repositories, which are inputs of some tests and no part of this repository.

use std::path::{Path, PathBuf};

/// The folder that holds the real plan repositories, or `None`, said on stderr, where there is none. With
/// `PHASEGATE_REAL_REPOS` set, a missing folder fails the test.
#[expect(clippy::print_stderr, reason = "a test that did not run must say so")]
pub fn folder() -> Option<PathBuf> {
    let asked_for = std::env::var_os("PHASEGATE_REAL_REPOS").map(PathBuf::from);
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let folder = asked_for.clone().unwrap_or_else(|| workspace.join("../shared/platform-repos"));
    if folder.is_dir() {
        return Some(folder);
    }
    assert!(asked_for.is_none(), "PHASEGATE_REAL_REPOS names {}, which is no folder", folder.display());
    eprintln!("not run: no real plan repositories at {}", folder.display());
    None
}

/// The bytes of one file of a real repository, as text, line endings as they are.
#[expect(clippy::panic, reason = "a helper of tests")]
pub fn read(folder: &Path, repository: &str, path: &str) -> String {
    let file = folder.join(repository).join(path);
    std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}
