//! The put that creates, and the read that proves it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use super::digest::sha256_hex;
use super::door::{Durable, Limits};
use super::error::PublishError;
use super::receipt::{DurableReceipt, ServerChosen};
use super::store::{Got, Put};
use crate::substrate::reply::{CallError, CallErrorKind, Reply};

/// Metadata key of the process that wrote an object.
pub const METADATA_WRITER: &str = "phasegate-writer";
/// Metadata key that tells one publication of that process from another.
pub const METADATA_PUBLISH: &str = "phasegate-publish";

/// Who puts: this process, and which of its publications this is. It stands in the object's metadata only.
pub(super) struct Mark(BTreeMap<String, String>);

impl Mark {
    /// A mark that no other publication of this process has, whichever door it goes by.
    pub(super) fn new(writer_id: &str) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let number = NEXT.fetch_add(1, Ordering::Relaxed).to_string();
        Self(BTreeMap::from([
            (METADATA_WRITER.to_owned(), writer_id.to_owned()),
            (METADATA_PUBLISH.to_owned(), number),
        ]))
    }

    fn is_on(&self, got: &Got) -> bool {
        self.0.iter().all(|(key, value)| got.metadata.get(key) == Some(value))
    }
}

/// How a put ended, where the answer was one.
pub(super) enum Outcome {
    /// The store took it.
    Stored(Reply<Put>),
    /// The key exists (412).
    Taken {
        /// The answer that said so.
        answer: Box<CallError>,
        /// How many times the put was sent in all.
        attempts: u32,
    },
}

/// Puts an object by `If-None-Match: *`; 409 is tried again, a bounded number of times, after a pause that doubles.
pub(super) fn put_new(to: &Durable<'_>, bytes: &[u8], mark: &Mark, limits: &Limits) -> Result<Outcome, PublishError> {
    let uri = to.uri();
    let mut tries: u32 = 0;
    let mut attempts: u32 = 0;
    let mut pause = limits.first_pause;
    loop {
        tries += 1;
        let answer = match to.store.put_if_absent(&to.key, bytes, &mark.0) {
            Ok(mut reply) => {
                reply.attempts = reply.attempts.saturating_add(attempts);
                return Ok(Outcome::Stored(reply));
            }
            Err(error) => Box::new(error),
        };
        // Where the number is not known (0), a second sending cannot be ruled out.
        let sent = if answer.attempts == 0 { 2 } else { answer.attempts };
        attempts = attempts.saturating_add(sent);
        match answer.kind {
            CallErrorKind::PreconditionFailed => return Ok(Outcome::Taken { answer, attempts }),
            CallErrorKind::Conflict if tries < limits.conflict_tries => {
                (limits.pause)(pause);
                pause = pause.saturating_mul(2).min(limits.longest_pause);
            }
            CallErrorKind::Conflict => {
                return Err(PublishError::Conflict { uri, tries, source: answer });
            }
            _ => {
                return Err(PublishError::Put { uri, source: answer });
            }
        }
    }
}

/// Reads the object back and compares it; gives the receipt.
pub(super) fn prove(
    to: &Durable<'_>,
    bytes: &[u8],
    mark: &Mark,
    outcome: Outcome,
) -> Result<DurableReceipt, PublishError> {
    match outcome {
        Outcome::Stored(put) => prove_stored(to, bytes, mark, put),
        // Sent once and refused: no put of ours can have made it.
        Outcome::Taken { attempts: 1, .. } => Err(PublishError::Exists { uri: to.uri() }),
        Outcome::Taken { attempts, .. } => prove_ours(to, bytes, mark, attempts),
    }
}

fn prove_stored(to: &Durable<'_>, bytes: &[u8], mark: &Mark, put: Reply<Put>) -> Result<DurableReceipt, PublishError> {
    let uri = to.uri();
    let version = put.value.version_id.as_deref();
    let got = to
        .store
        .get(&to.key, version)
        .map_err(|source| PublishError::ReadBack { uri: uri.clone(), source: Box::new(source) })?;
    let sha256_local = sha256_hex(bytes);
    let sha256_read_back = sha256_hex(&got.value.bytes);
    if sha256_read_back != sha256_local || got.value.bytes != bytes {
        return Err(PublishError::Differs { uri, sha256_local, sha256_read_back });
    }
    if version.is_some() && got.value.version_id.as_deref() != version {
        return Err(PublishError::NotOurs { uri, how: "its version is another" });
    }
    if !mark.is_on(&got.value) {
        return Err(PublishError::NotOurs { uri, how: "its metadata does not name this writer and publication" });
    }
    let server = ServerChosen {
        etag: put.value.etag.or(got.value.etag),
        version_id: put.value.version_id,
        attempts: put.attempts,
        request_id: put.request_id,
        recovered_lost_reply: false,
    };
    Ok(receipt(to, sha256_read_back, server))
}

/// A 412 on a later attempt: the object is ours only if it names this very publication and has its bytes.
fn prove_ours(to: &Durable<'_>, bytes: &[u8], mark: &Mark, attempts: u32) -> Result<DurableReceipt, PublishError> {
    let uri = to.uri();
    let got = to
        .store
        .get(&to.key, None)
        .map_err(|source| PublishError::ExistsUnread { uri: uri.clone(), source: Box::new(source) })?;
    if !mark.is_on(&got.value) || got.value.bytes != bytes {
        return Err(PublishError::Exists { uri });
    }
    let server = ServerChosen {
        etag: got.value.etag,
        version_id: got.value.version_id,
        attempts,
        request_id: got.request_id,
        recovered_lost_reply: true,
    };
    Ok(receipt(to, sha256_hex(&got.value.bytes), server))
}

fn receipt(to: &Durable<'_>, sha256_read_back: String, server: ServerChosen) -> DurableReceipt {
    DurableReceipt {
        bucket: to.bucket.to_owned(),
        key: to.key.clone(),
        uri: to.uri(),
        sha256_read_back,
        server: Some(server),
    }
}
