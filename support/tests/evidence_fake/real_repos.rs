//! Where the real plan repositories are.

use std::path::PathBuf;

/// The folder, or `None` where it is not there and was not asked for by name.
#[expect(clippy::print_stderr, reason = "a test that did not run must say so")]
pub fn real_repos() -> Option<PathBuf> {
    let named = std::env::var_os("PHASEGATE_REAL_REPOS").map(PathBuf::from);
    let folder =
        named.clone().unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/platform-repos"));
    if folder.is_dir() {
        return Some(folder);
    }
    assert!(named.is_none(), "PHASEGATE_REAL_REPOS is set to {}, which is no folder", folder.display());
    eprintln!("not run: no real plan repositories at {}", folder.display());
    None
}
