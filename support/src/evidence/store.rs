//! The object store as the door sees it: one conditional put, one read. There is no delete and no overwrite (law 3).

use std::collections::BTreeMap;

use crate::substrate::reply::{CallError, Reply};

/// What a store says of an object that it took.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Put {
    /// The entity tag, which is not a hash.
    pub etag: Option<String>,
    /// The version, where the bucket keeps versions.
    pub version_id: Option<String>,
}

/// An object read back.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Got {
    /// The object's whole content.
    pub bytes: Vec<u8>,
    /// The entity tag.
    pub etag: Option<String>,
    /// The version that was read, where the bucket keeps versions.
    pub version_id: Option<String>,
    /// The object's metadata, keys in lower case without `x-amz-meta-`.
    pub metadata: BTreeMap<String, String>,
}

/// One bucket of an object store.
pub trait Store {
    /// Puts an object if its key is free, by `If-None-Match: *` and with a SHA-256 checksum of the bytes.
    ///
    /// # Errors
    /// [`CallErrorKind::PreconditionFailed`](crate::substrate::reply::CallErrorKind) if the key exists; `attempts` must count every
    /// time the call was sent, for a 412 on a later attempt may be the answer to a put of ours whose reply was lost.
    fn put_if_absent(
        &self,
        key: &str,
        bytes: &[u8],
        metadata: &BTreeMap<String, String>,
    ) -> Result<Reply<Put>, CallError>;

    /// Reads an object whole, at a version or as it is now.
    ///
    /// # Errors
    /// Whatever kept the object from being read whole.
    fn get(&self, key: &str, version: Option<&str>) -> Result<Reply<Got>, CallError>;
}
