//! What the tests of this crate share.

use std::path::{Path, PathBuf};

/// The folder of the real plan repositories: `PHASEGATE_REAL_REPOS`, else `../shared/platform-repos`
/// beside the workspace. None, and a word on stderr, when there is no such folder; but one that was
/// asked for by name must be there.
#[expect(clippy::print_stderr, reason = "a test that does not run must say so")]
pub fn real_repositories() -> Option<PathBuf> {
    let asked = std::env::var_os("PHASEGATE_REAL_REPOS").map(PathBuf::from);
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let path = asked.clone().unwrap_or_else(|| workspace.join("../shared/platform-repos"));
    if path.is_dir() {
        return Some(path);
    }
    assert!(asked.is_none(), "PHASEGATE_REAL_REPOS is no folder: {}", path.display());
    eprintln!("not run: no real plan repositories at {}", path.display());
    None
}
