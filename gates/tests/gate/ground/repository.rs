//! Plan repositories: the fixture, the real ones, and copies that a test may edit.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use serde_json::Value;
use tempfile::TempDir;
use walkdir::WalkDir;

pub const PLAN: &str = "docs/model_spec/platform/implementation_maps/dev_substrate/platform.M3.build_plan.md";
pub const REGISTRY: &str = "docs/model_spec/platform/migration_to_dev/dev_min_handles.registry.v0.md";
pub const HANDOFF: &str = "runs/dev_substrate/m2_j/20260213T205715Z/m3_handoff_pack.json";

pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The fixtures' plan repository, both tracks. Never edited; [`OwnCopy`] is for that.
pub fn both_tracks() -> PathBuf {
    workspace().join("fixtures/repo")
}

/// What is dev_full's in the fixtures' plan repository.
const OF_DEV_FULL: &str = "dev_full";

/// The same, of dev_min alone: most tests ask one gate. Never edited either.
pub fn fixture() -> PathBuf {
    static ONE: LazyLock<PathBuf> = LazyLock::new(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("dev_min-{}", std::process::id()));
        for (path, bytes) in tree(&both_tracks()) {
            if path.contains(OF_DEV_FULL) {
                continue;
            }
            let file = folder.join(&path);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            let bytes = if path == "gates.lock" { lock_of_dev_min(&bytes) } else { bytes };
            std::fs::write(file, bytes).unwrap();
        }
        folder
    });
    ONE.clone()
}

/// The lock without the other track's gates.
fn lock_of_dev_min(lock: &[u8]) -> Vec<u8> {
    let lock = std::str::from_utf8(lock).unwrap();
    let of = |track: &str| lock.find(&format!("[[gate]]\ntrack = \"{track}\"")).unwrap();
    assert!(of("dev_full") < of("dev_min"));
    format!("{}{}", &lock[..of("dev_full")], &lock[of("dev_min")..]).into_bytes()
}

/// A real plan repository, where there are any.
pub fn real(name: &str) -> Option<PathBuf> {
    let told = std::env::var_os("PHASEGATE_REAL_REPOS").map(PathBuf::from);
    let root = told.clone().unwrap_or_else(|| workspace().join("../shared/platform-repos"));
    let path = root.join(name);
    if path.is_dir() {
        return Some(path);
    }
    assert!(told.is_none(), "PHASEGATE_REAL_REPOS is set, and {} is not there", path.display());
    eprintln!("not run: no real plan repositories at {}", root.display());
    None
}

/// Every file below a folder, by its path, byte for byte.
pub fn tree(root: &Path) -> BTreeMap<String, Vec<u8>> {
    WalkDir::new(root)
        .into_iter()
        .map(Result::unwrap)
        .filter(|entry| entry.file_type().is_file())
        .map(|entry| {
            let path = entry.path().strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            (path, std::fs::read(entry.path()).unwrap())
        })
        .collect()
}

/// A JSON file.
pub fn json(path: &Path) -> Value {
    let bytes = std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_slice(&bytes).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// A repository of the test's own.
pub struct OwnCopy(TempDir);

impl OwnCopy {
    pub fn of(original: &Path) -> Self {
        let folder = TempDir::new().unwrap();
        for (path, bytes) in tree(original) {
            let file = folder.path().join(path);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, bytes).unwrap();
        }
        Self(folder)
    }

    /// Without the lock: it would call every edit a change, beside what the edit itself is to show.
    pub fn of_fixture() -> Self {
        let copy = Self::of(&fixture());
        std::fs::remove_file(copy.path().join("gates.lock")).unwrap();
        copy
    }

    pub fn empty() -> Self {
        Self(TempDir::new().unwrap())
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn write(self, file: &str, bytes: impl AsRef<[u8]>) -> Self {
        std::fs::write(self.path().join(file), bytes).unwrap();
        self
    }

    pub fn remove(self, file: &str) -> Self {
        std::fs::remove_file(self.path().join(file)).unwrap();
        self
    }

    /// Replaces the one occurrence of `from`.
    pub fn edit(self, file: &str, from: &str, to: &str) -> Self {
        let path = self.path().join(file);
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.matches(from).count(), 1, "`{from}` in {file}");
        std::fs::write(path, text.replace(from, to)).unwrap();
        self
    }

    /// Replaces what stands between two markers of a file; the markers stay.
    pub fn replace_between(self, file: &str, begin: &str, end: &str, with: &str) -> Self {
        let path = self.path().join(file);
        let text = std::fs::read_to_string(&path).unwrap();
        let from = text.find(begin).unwrap_or_else(|| panic!("`{begin}` in {file}")) + begin.len();
        let to = from + text[from..].find(end).unwrap_or_else(|| panic!("`{end}` in {file}"));
        std::fs::write(path, format!("{}{with}{}", &text[..from], &text[to..])).unwrap();
        self
    }
}
