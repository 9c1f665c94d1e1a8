//! The object store as a run sees it: the substrate's S3, and in a preflight a layer above it that
//! keeps what the run would have put, so that the same lanes and checks run without a write.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use crate::substrate::reply::{CallError, CallErrorKind, Reply};
use crate::substrate::{
    BucketHead, Listing, ObjectBody, ObjectEntry, ObjectHead, PutDone, S3, VersionEntry, Versioning,
};

/// The version id of an object that a preflight would have put.
const WOULD_BE: &str = "preflight";

type Shadow = BTreeMap<(String, String), ObjectBody>;

/// S3 for one run.
pub struct Objects<'a> {
    s3: &'a S3,
    shadow: Option<Mutex<Shadow>>,
}

impl<'a> Objects<'a> {
    /// Reads from and puts to the substrate.
    #[must_use]
    pub fn writing(s3: &'a S3) -> Self {
        Self { s3, shadow: None }
    }

    /// Reads from the substrate; keeps puts to itself and shows them to later reads of this run.
    #[must_use]
    pub fn reading_only(s3: &'a S3) -> Self {
        Self { s3, shadow: Some(Mutex::new(Shadow::new())) }
    }

    fn shadowed(&self) -> Option<MutexGuard<'_, Shadow>> {
        self.shadow.as_ref().map(|shadow| shadow.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn would_be(&self, bucket: &str, key: &str) -> Option<ObjectBody> {
        self.shadowed()?.get(&(bucket.to_owned(), key.to_owned())).cloned()
    }

    fn would_be_under(&self, bucket: &str, prefix: &str) -> Vec<(String, u64)> {
        let Some(shadow) = self.shadowed() else { return Vec::new() };
        shadow
            .iter()
            .filter(|((b, key), _)| b == bucket && key.starts_with(prefix))
            .map(|((_, key), body)| (key.clone(), body.bytes.len() as u64))
            .collect()
    }

    /// See [`S3::head_bucket`].
    ///
    /// # Errors
    /// When there is no usable answer.
    pub fn head_bucket(&self, bucket: &str) -> Result<Reply<BucketHead>, CallError> {
        self.s3.head_bucket(bucket)
    }

    /// See [`S3::bucket_versioning`].
    ///
    /// # Errors
    /// When there is no usable answer.
    pub fn bucket_versioning(&self, bucket: &str) -> Result<Reply<Versioning>, CallError> {
        self.s3.bucket_versioning(bucket)
    }

    /// See [`S3::list_objects`].
    ///
    /// # Errors
    /// When there is no usable answer.
    pub fn list_objects(
        &self,
        bucket: &str,
        prefix: &str,
        max_keys: Option<u32>,
    ) -> Result<Reply<Listing<ObjectEntry>>, CallError> {
        let mut reply = self.s3.list_objects(bucket, prefix, max_keys)?;
        for (key, size) in self.would_be_under(bucket, prefix) {
            reply.value.entries.push(ObjectEntry { key, size, etag: None, last_modified: None });
        }
        reply.value.entries.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(reply)
    }

    /// See [`S3::list_versions`].
    ///
    /// # Errors
    /// When there is no usable answer.
    pub fn list_versions(&self, bucket: &str, prefix: &str) -> Result<Reply<Listing<VersionEntry>>, CallError> {
        let mut reply = self.s3.list_versions(bucket, prefix)?;
        for (key, _) in self.would_be_under(bucket, prefix) {
            reply.value.entries.push(VersionEntry {
                key,
                version_id: WOULD_BE.to_owned(),
                delete_marker: false,
                latest: true,
            });
        }
        Ok(reply)
    }

    /// See [`S3::head_object`].
    ///
    /// # Errors
    /// `NotFound` when it is absent; others when there is no usable answer.
    pub fn head_object(&self, bucket: &str, key: &str) -> Result<Reply<ObjectHead>, CallError> {
        match self.would_be(bucket, key) {
            Some(body) => Ok(local(ObjectHead {
                size: body.bytes.len() as u64,
                etag: None,
                version_id: body.version_id,
                sha256_base64: body.sha256,
                metadata: body.metadata,
            })),
            None => self.s3.head_object(bucket, key),
        }
    }

    /// See [`S3::get_object`].
    ///
    /// # Errors
    /// `NotFound` when it is absent; others when there is no usable answer.
    pub fn get_object(&self, bucket: &str, key: &str, version: Option<&str>) -> Result<Reply<ObjectBody>, CallError> {
        match self.would_be(bucket, key) {
            Some(body) => Ok(local(body)),
            None => self.s3.get_object(bucket, key, version),
        }
    }

    /// Puts an object if nothing is at its key. Only the evidence door calls this.
    pub(crate) fn put_if_absent(
        &self,
        bucket: &str,
        key: &str,
        bytes: &[u8],
        metadata: &BTreeMap<String, String>,
    ) -> Result<Reply<PutDone>, CallError> {
        let sha256 = STANDARD.encode(Sha256::digest(bytes));
        if self.shadow.is_none() {
            let content_type = if key.ends_with(".json") { "application/json" } else { "application/octet-stream" };
            return self.s3.put_if_absent(bucket, key, bytes, &sha256, content_type, metadata);
        }
        match self.head_object(bucket, key) {
            Ok(_) => Err(CallError {
                kind: CallErrorKind::PreconditionFailed,
                service: "s3api".to_owned(),
                operation: "put-object".to_owned(),
                target: format!("s3://{bucket}/{key}"),
                status: Some(412),
                request_id: None,
                message: "the key exists (preflight: nothing was put)".to_owned(),
                attempts: 1,
            }),
            Err(error) if error.kind == CallErrorKind::NotFound => {
                let body = ObjectBody {
                    bytes: bytes.to_vec(),
                    etag: None,
                    version_id: Some(WOULD_BE.to_owned()),
                    sha256: Some(sha256.clone()),
                    metadata: metadata.clone(),
                };
                if let Some(mut shadow) = self.shadowed() {
                    shadow.insert((bucket.to_owned(), key.to_owned()), body);
                }
                Ok(local(PutDone { etag: None, version_id: Some(WOULD_BE.to_owned()), sha256: Some(sha256) }))
            }
            Err(error) => Err(error),
        }
    }
}

fn local<T>(value: T) -> Reply<T> {
    Reply { value, request_id: None, attempts: 0 }
}
