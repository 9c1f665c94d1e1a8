//! A store in memory whose next answers can be spoilt, and a door for tests.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::allow_attributes,
    clippy::result_large_err,
    reason = "each test target uses its part of this module, and its helpers fail the test by panicking"
)]

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};

use std::path::Path;

use phasegate_support::evidence::{Artifact, Destination, Door, Durable, Got, Limits, Put, Store};
use phasegate_support::substrate::reply::{CallError, CallErrorKind, Reply};
use serde_json::json;

pub const KEY: &str = "evidence/runs/platform_20260213T214223Z/run.json";

pub fn door(root: &Path) -> Door {
    let limits = Limits { pause: Box::new(|_| {}), ..Limits::default() };
    Door::new(root, "writer-1", limits)
}

pub fn run_json() -> Artifact {
    Artifact::new(
        "run.json",
        json!({ "b": [2, 1], "a": "x", "platform_run_id": "platform_20260213T214223Z" }),
        &["platform_run_id", "b"],
    )
}

pub fn to<'a>(store: &'a FakeStore, key: &str) -> Destination<'a> {
    Destination::Durable(Durable { store, bucket: "bucket", key: key.to_owned(), group: "run".to_owned() })
}

pub fn files(root: &Path) -> Vec<String> {
    let mut found: Vec<String> = walkdir::WalkDir::new(root)
        .into_iter()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_type().is_file())
        .map(|entry| entry.path().strip_prefix(root).unwrap().display().to_string())
        .collect();
    found.sort();
    found
}

/// What goes wrong with one put.
#[derive(Debug, Clone)]
pub enum PutFault {
    /// The server answers so, and nothing is stored.
    Before(CallErrorKind),
    /// The object is stored, and the answer is lost for good.
    After(CallErrorKind),
    /// The object is stored, the answer is lost, and the SDK's retry is told that the key exists; attempts as given.
    LostReply { attempts: u32 },
    /// Somebody else's put comes first, and ours is told that the key exists, at that attempt.
    Overtaken { bytes: Vec<u8>, attempts: u32 },
    /// The key exists, says the server at that attempt, and nothing is stored.
    Taken { attempts: u32 },
    /// Somebody else's put comes first, and ours is told of a conflict.
    ConflictWith { bytes: Vec<u8> },
    /// The precondition is not looked at.
    Unconditional,
    /// The key exists, and yet the object is replaced before the refusal is sent.
    RefusedButReplaced,
    /// The metadata is not kept.
    WithoutMetadata,
    /// All goes well.
    Fine,
}

/// What goes wrong with one read.
#[derive(Debug, Clone)]
pub enum GetFault {
    Error(CallErrorKind),
    Truncated,
    OtherBytes(Vec<u8>),
    OtherVersion,
    OtherWriter,
    Fine,
}

#[derive(Debug, Default)]
pub struct FakeStore {
    pub objects: RefCell<BTreeMap<String, Vec<Got>>>,
    pub put_faults: RefCell<VecDeque<PutFault>>,
    pub get_faults: RefCell<VecDeque<GetFault>>,
    /// Puts that reached the server, retries of the SDK not counted.
    pub puts: Cell<u32>,
    pub unversioned: bool,
}

impl FakeStore {
    pub fn with(puts: &[PutFault], gets: &[GetFault]) -> Self {
        Self {
            put_faults: RefCell::new(puts.iter().cloned().collect()),
            get_faults: RefCell::new(gets.iter().cloned().collect()),
            ..Self::default()
        }
    }

    pub fn bytes(&self, key: &str) -> Option<Vec<u8>> {
        self.objects.borrow().get(key).and_then(|versions| versions.last()).map(|got| got.bytes.clone())
    }

    pub fn versions(&self, key: &str) -> usize {
        self.objects.borrow().get(key).map_or(0, Vec::len)
    }

    pub fn insert(&self, key: &str, bytes: &[u8], metadata: &BTreeMap<String, String>) -> Put {
        let mut objects = self.objects.borrow_mut();
        let versions = objects.entry(key.to_owned()).or_default();
        let version_id = (!self.unversioned).then(|| format!("v{}", versions.len() + 1));
        let etag = Some(format!("\"{:x}\"", bytes.len()));
        versions.push(Got {
            bytes: bytes.to_vec(),
            etag: etag.clone(),
            version_id: version_id.clone(),
            metadata: metadata.clone(),
        });
        Put { etag, version_id }
    }

    fn error(kind: CallErrorKind, operation: &str, key: &str, attempts: u32) -> CallError {
        let status = match kind {
            CallErrorKind::PreconditionFailed => Some(412),
            CallErrorKind::Conflict => Some(409),
            CallErrorKind::Denied => Some(403),
            CallErrorKind::Server => Some(500),
            _ => None,
        };
        CallError {
            kind,
            service: "s3api".to_owned(),
            operation: operation.to_owned(),
            target: format!("s3://bucket/{key}"),
            status,
            request_id: Some("R-error".to_owned()),
            message: "as programmed".to_owned(),
            attempts,
        }
    }
}

fn reply<T>(value: T) -> Reply<T> {
    Reply { value, request_id: Some("R-ok".to_owned()), attempts: 1 }
}

impl Store for FakeStore {
    fn put_if_absent(
        &self,
        key: &str,
        bytes: &[u8],
        metadata: &BTreeMap<String, String>,
    ) -> Result<Reply<Put>, CallError> {
        self.puts.set(self.puts.get() + 1);
        let fault = self.put_faults.borrow_mut().pop_front().unwrap_or(PutFault::Fine);
        let exists = self.versions(key) > 0;
        let fail = |kind, attempts| Err(Self::error(kind, "put-object", key, attempts));
        match fault {
            PutFault::Before(kind) => fail(kind, 1),
            PutFault::Overtaken { bytes, attempts } => {
                self.insert(key, &bytes, &BTreeMap::new());
                fail(CallErrorKind::PreconditionFailed, attempts)
            }
            PutFault::ConflictWith { bytes } => {
                self.insert(key, &bytes, &BTreeMap::new());
                fail(CallErrorKind::Conflict, 1)
            }
            PutFault::Taken { attempts } => fail(CallErrorKind::PreconditionFailed, attempts),
            PutFault::Unconditional => Ok(reply(self.insert(key, bytes, metadata))),
            PutFault::RefusedButReplaced => {
                self.insert(key, bytes, metadata);
                fail(CallErrorKind::PreconditionFailed, 1)
            }
            _ if exists => fail(CallErrorKind::PreconditionFailed, 1),
            PutFault::After(kind) => {
                self.insert(key, bytes, metadata);
                fail(kind, 3)
            }
            PutFault::LostReply { attempts } => {
                self.insert(key, bytes, metadata);
                fail(CallErrorKind::PreconditionFailed, attempts)
            }
            PutFault::WithoutMetadata => Ok(reply(self.insert(key, bytes, &BTreeMap::new()))),
            PutFault::Fine => Ok(reply(self.insert(key, bytes, metadata))),
        }
    }

    fn get(&self, key: &str, version: Option<&str>) -> Result<Reply<Got>, CallError> {
        let fault = self.get_faults.borrow_mut().pop_front().unwrap_or(GetFault::Fine);
        let objects = self.objects.borrow();
        let missing = || Self::error(CallErrorKind::NotFound, "get-object", key, 1);
        let versions = objects.get(key).ok_or_else(missing)?;
        let found = match version {
            None => versions.last(),
            Some(version) => versions.iter().find(|got| got.version_id.as_deref() == Some(version)),
        };
        let mut got = found.cloned().ok_or_else(missing)?;
        match fault {
            GetFault::Error(kind) => return Err(Self::error(kind, "get-object", key, 2)),
            GetFault::Truncated => got.bytes.truncate(got.bytes.len() / 2),
            GetFault::OtherBytes(bytes) => got.bytes = bytes,
            GetFault::OtherVersion => got.version_id = Some("v99".to_owned()),
            GetFault::OtherWriter => {
                for value in got.metadata.values_mut() {
                    value.push('x');
                }
            }
            GetFault::Fine => {}
        }
        Ok(reply(got))
    }
}
