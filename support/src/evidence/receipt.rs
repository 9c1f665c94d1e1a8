//! Receipts: the proof that a file was written and read back.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The proof that an artifact was written, and read back where it went to a store.
///
/// What the server chose stands apart in [`ServerChosen`], for two runs under the same clock give the same bytes in everything else
/// (law 9); [`Receipt::reproducible`] leaves it out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The file's name below the execution's folder.
    pub name: String,
    /// Where it lies on this machine; not part of the receipt's JSON.
    #[serde(skip)]
    pub local_path: PathBuf,
    /// The file's length.
    pub bytes: u64,
    /// SHA-256 of the local file, read again from the disk.
    pub sha256_local: String,
    /// The object, where the destination was durable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub durable: Option<DurableReceipt>,
}

/// The proof that an object was put and read back with equal bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DurableReceipt {
    /// The bucket.
    pub bucket: String,
    /// The object's key.
    pub key: String,
    /// `s3://bucket/key`.
    pub uri: String,
    /// SHA-256 of the bytes that were read back.
    pub sha256_read_back: String,
    /// What the server chose, or how the calls went.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<ServerChosen>,
}

/// What differs between two runs that do the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerChosen {
    /// The object's entity tag.
    pub etag: Option<String>,
    /// The object's version.
    pub version_id: Option<String>,
    /// How many times the put was sent, ours and the SDK's retries together.
    pub attempts: u32,
    /// The request id of the put, or of the read that proved it ours.
    pub request_id: Option<String>,
    /// The put's reply was lost, a later attempt was told that the key exists, and writer and bytes proved that object ours.
    pub recovered_lost_reply: bool,
}

impl Receipt {
    /// The receipt without what the server chose.
    #[must_use]
    pub fn reproducible(&self) -> Self {
        let mut receipt = self.clone();
        if let Some(durable) = &mut receipt.durable {
            durable.server = None;
        }
        receipt
    }
}

/// The proof of law 5: the store refused the second put of one key, and still holds the first one's bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CanaryReceipt {
    /// The first put, read back.
    pub first: Receipt,
    /// How the second put was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub second: Option<Refusal>,
    /// SHA-256 of the bytes that stood there after the second put; equal to the first one's.
    pub sha256_after_second: String,
}

/// The answer to a put that had to be refused, and was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// The HTTP status: 412 where the server says it.
    pub status: Option<u16>,
    /// The server's request id.
    pub request_id: Option<String>,
    /// How many times the put was sent.
    pub attempts: u32,
}

impl CanaryReceipt {
    /// The receipt without what the server chose.
    #[must_use]
    pub fn reproducible(&self) -> Self {
        Self { first: self.first.reproducible(), second: None, sha256_after_second: self.sha256_after_second.clone() }
    }
}
