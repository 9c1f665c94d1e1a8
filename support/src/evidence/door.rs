//! The one door for evidence.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};

use super::artifact::{Artifact, check_key, check_name};
use super::canonical;
use super::digest::sha256_hex;
use super::durable::{Mark, Outcome, prove, put_new};
use super::error::PublishError;
use super::local::write_whole;
use super::receipt::{CanaryReceipt, DurableReceipt, Receipt, Refusal};
use super::store::Store;
use crate::secrets::{Hit, scan_bytes, scan_json};

/// Where an artifact goes beside the local file.
#[derive(Debug, Clone)]
pub enum Destination<'a> {
    /// Nowhere: the execution's folder only.
    LocalOnly,
    /// A store, once and for good.
    Durable(Durable<'a>),
}

/// An object that is to be created.
#[derive(Clone)]
pub struct Durable<'a> {
    /// The store of that bucket.
    pub store: &'a dyn Store,
    /// The bucket's name, for receipts and messages.
    pub bucket: &'a str,
    /// The object's key.
    pub key: String,
    /// What this object belongs to, such as the platform run: after the first object of a group that exists already, the door puts nothing
    /// more of that group.
    pub group: String,
}

impl Durable<'_> {
    /// `s3://bucket/key`.
    #[must_use]
    pub fn uri(&self) -> String {
        format!("s3://{}/{}", self.bucket, self.key)
    }
}

impl fmt::Debug for Durable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Durable({} of {})", self.uri(), self.group)
    }
}

/// How often and after what pause a put that met a conflict (409) is tried again. Nothing else is: throttles and 5xx are the SDK's.
pub struct Limits {
    /// How many puts are sent at most, the first one included.
    pub conflict_tries: u32,
    /// The pause before the second put; it doubles after each.
    pub first_pause: Duration,
    /// The longest pause.
    pub longest_pause: Duration,
    /// How to pause; tests do not wait.
    pub pause: Box<dyn Fn(Duration) + Send + Sync>,
}

impl Default for Limits {
    /// Five puts, after 100, 200, 400, 800 ms.
    fn default() -> Self {
        Self {
            conflict_tries: 5,
            first_pause: Duration::from_millis(100),
            longest_pause: Duration::from_secs(2),
            pause: Box::new(std::thread::sleep),
        }
    }
}

/// Which comes first.
#[derive(Debug, Clone, Copy)]
enum Order {
    HereFirst,
    StoreFirst,
}

/// A moment in the way of a file through the door.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WritePoint {
    /// The temporary file is whole, and has not its name yet.
    BeforeRename,
    /// The file has its name.
    AfterRename,
    /// Nothing was sent yet.
    BeforePut,
    /// The store has answered.
    AfterPut,
}

/// Told of every [`WritePoint`], with the file's name or the object's URI: for tests that end a process there.
pub type Watch = Arc<dyn Fn(WritePoint, &str) + Send + Sync>;

/// The one door by which evidence leaves (law 2). Nothing else in the code writes evidence.
///
/// Durable publications of one door go one after the other, so that the first object that exists already stops the rest of its group.
pub struct Door {
    root: PathBuf,
    writer_id: String,
    limits: Limits,
    /// Groups of which an object existed already, with that object.
    closed: Mutex<BTreeMap<String, String>>,
    watch: Watch,
}

impl Door {
    /// A door into the execution's folder `root`. `writer_id` is a random nonce of this process; it goes into the objects' metadata, never into
    /// an artifact.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>, writer_id: impl Into<String>, limits: Limits) -> Self {
        Self {
            root: root.into(),
            writer_id: writer_id.into(),
            limits,
            closed: Mutex::new(BTreeMap::new()),
            watch: Arc::new(|_, _| {}),
        }
    }

    /// The same door, watched.
    #[must_use]
    pub fn watched(self, watch: Watch) -> Self {
        Self { watch, ..self }
    }

    /// The execution's folder.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Publishes a JSON artifact: canonical bytes (RFC 8785) → secret scan → minimum fields → local file → put → read back.
    ///
    /// A local file with equal bytes counts as written. A failed put leaves the local file where it is.
    ///
    /// # Errors
    /// [`PublishError`] tells the step; up to and including the minimum fields nothing was written anywhere.
    pub fn publish(&self, artifact: &Artifact, destination: &Destination<'_>) -> Result<Receipt, PublishError> {
        self.publish_in(Order::HereFirst, artifact, destination)
    }

    /// The same, but the file is not here before the store has it and has given it back: for the verdict, which must not
    /// speak from this disk where it could not be published.
    ///
    /// # Errors
    /// As [`Door::publish`].
    pub fn publish_proven(&self, artifact: &Artifact, destination: &Destination<'_>) -> Result<Receipt, PublishError> {
        self.publish_in(Order::StoreFirst, artifact, destination)
    }

    fn publish_in(
        &self,
        order: Order,
        artifact: &Artifact,
        destination: &Destination<'_>,
    ) -> Result<Receipt, PublishError> {
        let name = &artifact.name;
        self.check_form(name, destination)?;
        let bytes = canonical::to_bytes(&artifact.body)
            .map_err(|source| PublishError::Serialise { name: name.clone(), source: Box::new(source) })?;
        refuse_secrets(name, scan_json(&artifact.body))?;
        artifact.check_minimum_fields()?;
        self.write(order, name, &bytes, destination)
    }

    /// Publishes a raw copy of a document (plan, registry, lock) byte for byte, by the same steps but for canonical form and
    /// minimum fields. A hit of the secret scan stops it as it stops any artifact: a document with a secret in it is not copied, and
    /// the caller records its digest and the hits instead. Placeholders such as `<DB_PASSWORD>` are no hits.
    ///
    /// # Errors
    /// As [`Door::publish`].
    pub fn publish_bytes(
        &self,
        name: &str,
        bytes: &[u8],
        destination: &Destination<'_>,
    ) -> Result<Receipt, PublishError> {
        self.check_form(name, destination)?;
        refuse_secrets(name, scan_bytes(bytes))?;
        self.write(Order::HereFirst, name, bytes, destination)
    }

    /// Shows that the store is write-once (law 5): the same key put twice with different bytes; the second must be refused, and what
    /// stands there must be the first. The object is kept. The local file has the name of the key's last part.
    ///
    /// # Errors
    /// [`PublishError::NotWriteOnce`] if the second put passed; any error of [`Door::publish`] for the first one; [`PublishError::Put`],
    /// [`PublishError::Conflict`] or [`PublishError::ReadBack`] if the second put or the read after it gave no usable answer.
    pub fn canary(&self, to: &Durable<'_>) -> Result<CanaryReceipt, PublishError> {
        let name = to.key.rsplit('/').next().unwrap_or(&to.key);
        let first = Artifact::new(name, canary_body(to, 1), &["purpose", "put"]);
        let first = self.publish(&first, &Destination::Durable(to.clone()))?;
        let second = canonical::to_bytes(&canary_body(to, 2))
            .map_err(|source| PublishError::Serialise { name: name.to_owned(), source: Box::new(source) })?;
        let second = self.refuse_second(to, &second)?;
        let uri = to.uri();
        let after = to
            .store
            .get(&to.key, None)
            .map_err(|source| PublishError::ReadBack { uri: uri.clone(), source: Box::new(source) })?;
        let sha256_after_second = sha256_hex(&after.value.bytes);
        if sha256_after_second != first.sha256_local {
            return Err(PublishError::NotWriteOnce { uri, how: "a refused second put changed the object" });
        }
        Ok(CanaryReceipt { first, second: Some(second), sha256_after_second })
    }

    /// The canary's second put: anything but a refusal because the key exists is an error.
    fn refuse_second(&self, to: &Durable<'_>, bytes: &[u8]) -> Result<Refusal, PublishError> {
        let mark = Mark::new(&self.writer_id);
        match self.put(to, bytes, &mark)? {
            Outcome::Taken { answer, attempts } => {
                Ok(Refusal { status: answer.status, request_id: answer.request_id, attempts })
            }
            Outcome::Stored(_) => {
                Err(PublishError::NotWriteOnce { uri: to.uri(), how: "it took a second put of the same key" })
            }
        }
    }

    /// Names and keys must be usable, and hold no secret either.
    fn check_form(&self, name: &str, destination: &Destination<'_>) -> Result<(), PublishError> {
        let said = match destination {
            Destination::LocalOnly => json!({ "name": name }),
            Destination::Durable(to) => {
                json!({ "name": name, "bucket": to.bucket, "key": to.key, "group": to.group })
            }
        };
        let hits = scan_json(&said);
        if !hits.is_empty() {
            let name = "(withheld)".to_owned();
            return Err(PublishError::Secret { name, hits });
        }
        check_name(name)?;
        match destination {
            Destination::LocalOnly => Ok(()),
            Destination::Durable(to) => check_key(to.bucket, &to.key),
        }
    }

    fn write(
        &self,
        order: Order,
        name: &str,
        bytes: &[u8],
        destination: &Destination<'_>,
    ) -> Result<Receipt, PublishError> {
        let mut closed = self.closed();
        if let Destination::Durable(to) = destination {
            refuse_closed_group(&closed, to)?;
        }
        let ((local_path, sha256_local), durable) = match order {
            Order::HereFirst => {
                let here = self.write_here(name, bytes)?;
                (here, self.write_there(&mut closed, bytes, destination)?)
            }
            Order::StoreFirst => {
                let there = self.write_there(&mut closed, bytes, destination)?;
                (self.write_here(name, bytes)?, there)
            }
        };
        let bytes = bytes.len() as u64;
        Ok(Receipt { name: name.to_owned(), local_path, bytes, sha256_local, durable })
    }

    fn write_here(&self, name: &str, bytes: &[u8]) -> Result<(PathBuf, String), PublishError> {
        let written = write_whole(&self.root, name, bytes, &|| (self.watch)(WritePoint::BeforeRename, name))?;
        (self.watch)(WritePoint::AfterRename, name);
        Ok(written)
    }

    fn write_there(
        &self,
        closed: &mut BTreeMap<String, String>,
        bytes: &[u8],
        destination: &Destination<'_>,
    ) -> Result<Option<DurableReceipt>, PublishError> {
        let Destination::Durable(to) = destination else { return Ok(None) };
        let mark = Mark::new(&self.writer_id);
        let proven = self.put(to, bytes, &mark).and_then(|outcome| prove(to, bytes, &mark, outcome));
        if let Err(PublishError::Exists { .. } | PublishError::ExistsUnread { .. }) = &proven {
            closed.insert(to.group.clone(), to.uri());
        }
        proven.map(Some)
    }

    fn put(&self, to: &Durable<'_>, bytes: &[u8], mark: &Mark) -> Result<Outcome, PublishError> {
        (self.watch)(WritePoint::BeforePut, &to.uri());
        let outcome = put_new(to, bytes, mark, &self.limits);
        (self.watch)(WritePoint::AfterPut, &to.uri());
        outcome
    }

    fn closed(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        // The map is whole after a panic elsewhere: one insertion is all that is ever done to it.
        self.closed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Door({})", self.root.display())
    }
}

fn refuse_secrets(name: &str, hits: Vec<Hit>) -> Result<(), PublishError> {
    if hits.is_empty() {
        return Ok(());
    }
    Err(PublishError::Secret { name: name.to_owned(), hits })
}

fn refuse_closed_group(closed: &BTreeMap<String, String>, to: &Durable<'_>) -> Result<(), PublishError> {
    closed.get(&to.group).map_or(Ok(()), |first| {
        Err(PublishError::GroupClosed { group: to.group.clone(), first: first.clone(), uri: to.uri() })
    })
}

fn canary_body(to: &Durable<'_>, put: u32) -> Value {
    json!({ "purpose": "write_once_canary", "bucket": to.bucket, "key": to.key, "put": put })
}
