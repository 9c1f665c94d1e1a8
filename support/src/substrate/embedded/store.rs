//! Where the embedded world is kept: in memory, or in a directory that another process can go on
//! with.
//!
//! A change is decided and written in one critical section, which in a directory reaches across
//! processes (a file lock). Contents lie beside the state, named by their SHA-256.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::costs::CostRow;
use super::fleet::Fleet;
use crate::evidence::digest::sha256_hex;

const STATE_FILE: &str = "world.json";
const LOCK_FILE: &str = "world.lock";
const CONTENT_DIR: &str = "content";

/// Why the embedded world could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum WorldError {
    /// The file system refused.
    #[error("the world in {path} could not be used: {source}")]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The state is not what this program writes.
    #[error("{path} is not a world of this program: {message}; remove the directory and seed again")]
    State {
        /// The state file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// A content is missing or changed.
    #[error("the content {digest} of the world is missing or changed; seed the world again")]
    Content {
        /// Its SHA-256.
        digest: String,
    },
    /// A service of the world could not be asked about another one's things.
    #[error("the world could not be asked: {message}; seed it again")]
    Asked {
        /// What went wrong.
        message: String,
    },
    /// The world has another account already.
    #[error("the world belongs to account {is}, not to {asked}; seed an empty one")]
    Account {
        /// The account it has.
        is: String,
        /// The account that was asked for.
        asked: String,
    },
}

/// All that the world knows but the contents of objects.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct WorldState {
    /// The account, once a seeder has claimed the world.
    pub account: Option<String>,
    /// The instant of the world's first change, in seconds since 1970; the wall clock without it.
    pub instant: Option<u64>,
    /// How many changes there were.
    pub changes: u64,
    /// S3.
    pub buckets: BTreeMap<String, Bucket>,
    /// The other services, each in its own form.
    pub services: BTreeMap<String, serde_json::Value>,
    /// What the account was billed.
    #[serde(default)]
    pub costs: Vec<CostRow>,
    /// Containers, their logs and their network, by region.
    #[serde(default)]
    pub fleets: BTreeMap<String, Fleet>,
}

/// One bucket.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Bucket {
    pub region: String,
    pub created: u64,
    pub versioning: Keeping,
    pub public_access_block: Option<PublicAccessBlock>,
    /// The default algorithm, `AES256` or `aws:kms`.
    pub encryption: String,
    /// Versions by key, the newest last.
    pub objects: BTreeMap<String, Vec<Version>>,
}

/// Whether a bucket keeps versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Keeping {
    Never,
    Enabled,
    Suspended,
}

/// The four switches of a bucket's public access block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PublicAccessBlock {
    pub block_public_acls: bool,
    pub ignore_public_acls: bool,
    pub block_public_policy: bool,
    pub restrict_public_buckets: bool,
}

/// One version of an object, or a delete marker.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Version {
    pub id: String,
    pub modified: u64,
    /// None for a delete marker.
    pub content: Option<Content>,
}

/// What a version holds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Content {
    /// SHA-256 in hex: the name under which the bytes are kept.
    pub digest: String,
    pub size: i64,
    /// MD5 in hex.
    pub etag: String,
    /// Checksums that the writer sent, by algorithm, in base64.
    pub checksums: BTreeMap<String, String>,
    pub content_type: Option<String>,
    pub encryption: String,
    pub metadata: BTreeMap<String, String>,
}

impl WorldState {
    /// Counts a change; the seconds at which it happens.
    pub(super) fn tick(&mut self) -> u64 {
        self.changes += 1;
        self.now()
    }

    /// The seconds at which the world stands.
    pub(super) fn now(&self) -> u64 {
        match self.instant {
            Some(instant) => instant.saturating_add(self.changes),
            None => SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
        }
    }
}

/// The time that `seconds` since 1970 stand for.
pub(super) fn instant(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

/// The world's state and contents.
#[derive(Debug)]
pub(super) enum Store {
    Memory(Mutex<Memory>),
    Directory(PathBuf),
}

#[derive(Debug, Default)]
pub(super) struct Memory {
    state: WorldState,
    contents: BTreeMap<String, Bytes>,
}

impl Store {
    pub(super) fn in_memory() -> Self {
        Self::Memory(Mutex::new(Memory::default()))
    }

    pub(super) fn in_directory(dir: &Path) -> Result<Self, WorldError> {
        let contents = dir.join(CONTENT_DIR);
        fs::create_dir_all(&contents).map_err(io_error(&contents))?;
        let store = Self::Directory(dir.to_owned());
        // An unreadable state is told now, not at the first call.
        store.read(|_| ())?;
        Ok(store)
    }

    /// Looks at the state.
    pub(super) fn read<R>(&self, look: impl FnOnce(&WorldState) -> R) -> Result<R, WorldError> {
        match self {
            Self::Memory(memory) => Ok(look(&held(memory).state)),
            Self::Directory(dir) => {
                let _lock = lock(dir)?;
                Ok(look(&load(dir)?))
            }
        }
    }

    /// Decides and writes in one critical section. A `change` that ends in `Err` must leave the
    /// state as it was, but for the count of changes.
    pub(super) fn change<R, E: From<WorldError>>(
        &self,
        change: impl FnOnce(&mut WorldState) -> Result<R, E>,
    ) -> Result<R, E> {
        match self {
            Self::Memory(memory) => change(&mut held(memory).state),
            Self::Directory(dir) => {
                let _lock = lock(dir)?;
                let mut state = load(dir)?;
                let result = change(&mut state)?;
                save(dir, &state)?;
                Ok(result)
            }
        }
    }

    /// Keeps `bytes`, under the digest that is returned.
    pub(super) fn keep(&self, bytes: &Bytes) -> Result<String, WorldError> {
        let digest = sha256_hex(bytes);
        match self {
            Self::Memory(memory) => {
                held(memory).contents.insert(digest.clone(), bytes.clone());
            }
            Self::Directory(dir) => {
                let path = dir.join(CONTENT_DIR).join(&digest);
                if !path.exists() {
                    write_whole(&path, bytes)?;
                }
            }
        }
        Ok(digest)
    }

    /// The bytes that were kept under `digest`.
    pub(super) fn content(&self, digest: &str) -> Result<Bytes, WorldError> {
        let missing = || WorldError::Content { digest: digest.to_owned() };
        match self {
            Self::Memory(memory) => held(memory).contents.get(digest).cloned().ok_or_else(missing),
            Self::Directory(dir) => {
                let bytes = fs::read(dir.join(CONTENT_DIR).join(digest)).map_err(|_| missing())?;
                if sha256_hex(&bytes) == digest { Ok(bytes.into()) } else { Err(missing()) }
            }
        }
    }
}

fn held(memory: &Mutex<Memory>) -> MutexGuard<'_, Memory> {
    memory.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Holds the world for this process until the file is closed.
fn lock(dir: &Path) -> Result<File, WorldError> {
    let path = dir.join(LOCK_FILE);
    let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(io_error(&path))?;
    file.lock().map_err(io_error(&path))?;
    Ok(file)
}

fn load(dir: &Path) -> Result<WorldState, WorldError> {
    let path = dir.join(STATE_FILE);
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Ok(WorldState::default());
        }
        Err(source) => return Err(WorldError::Io { path, source }),
    };
    serde_json::from_slice(&bytes).map_err(|error| WorldError::State { path, message: error.to_string() })
}

fn save(dir: &Path, state: &WorldState) -> Result<(), WorldError> {
    let path = dir.join(STATE_FILE);
    let bytes = serde_json::to_vec(state)
        .map_err(|error| WorldError::State { path: path.clone(), message: error.to_string() })?;
    write_whole(&path, &bytes)
}

/// Writes a file so that a reader sees all of it or none.
fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), WorldError> {
    let dir = path.parent().unwrap_or(path);
    let mut file = tempfile::NamedTempFile::new_in(dir).map_err(io_error(dir))?;
    file.write_all(bytes).map_err(io_error(path))?;
    file.persist(path).map_err(|error| io_error(path)(error.error))?;
    Ok(())
}

fn io_error(path: &Path) -> impl FnOnce(std::io::Error) -> WorldError + use<> {
    let path = path.to_owned();
    |source| WorldError::Io { path, source }
}
