//! Reading S3.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use aws_config::SdkConfig;
use aws_sdk_s3::types::{BucketVersioningStatus, ChecksumMode};
use aws_smithy_types::date_time::Format;
use serde::{Deserialize, Serialize};

use super::classify;
use super::link::{Call, Link};
use super::reply::{CallError, CallErrorKind, Reply};

/// A walk of more pages than this is not a list that a gate should trust.
const MOST_PAGES: usize = 10_000;

/// A bucket that is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BucketHead {
    /// Its region, where the server says it.
    pub region: Option<String>,
}

/// Whether a bucket keeps versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Versioning {
    /// Every put makes a version.
    Enabled,
    /// It was enabled once.
    Suspended,
    /// It was never enabled.
    Never,
}

/// What a list gave, and whether that is all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listing<T> {
    /// The entries, in the server's order.
    pub entries: Vec<T>,
    /// Every page was walked. Only then does an entry's absence mean something.
    pub complete: bool,
}

/// One object in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectEntry {
    /// Its key.
    pub key: String,
    /// Its length in bytes.
    pub size: u64,
    /// Its entity tag, with its quotes, where the server sends one.
    pub etag: Option<String>,
    /// When it was written (RFC 3339), where the server says it.
    pub last_modified: Option<String>,
}

/// One version or delete marker in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionEntry {
    /// Its key.
    pub key: String,
    /// Its version id; `null` where the bucket keeps no versions.
    pub version_id: String,
    /// It says that the key was deleted, and has no content.
    pub delete_marker: bool,
    /// It is what a plain read of the key finds.
    pub latest: bool,
}

/// What is known of an object without its content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectHead {
    /// Its length in bytes.
    pub size: u64,
    /// Its entity tag, with its quotes.
    pub etag: Option<String>,
    /// Its version, where the bucket keeps versions.
    pub version_id: Option<String>,
    /// The SHA-256 that was stored with it, in base64.
    pub sha256_base64: Option<String>,
    /// Its user metadata, keys in lower case.
    pub metadata: BTreeMap<String, String>,
}

/// An object with its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectBody {
    /// The whole content.
    pub bytes: Vec<u8>,
    /// Its entity tag, with its quotes.
    pub etag: Option<String>,
    /// Its version, where the bucket keeps versions.
    pub version_id: Option<String>,
    /// The SHA-256 that was stored with it, in base64. The SDK has compared it with the content.
    pub sha256: Option<String>,
    /// Its user metadata, keys in lower case.
    pub metadata: BTreeMap<String, String>,
}

/// S3, for reading.
#[derive(Debug)]
pub struct S3 {
    pub(super) client: aws_sdk_s3::Client,
    pub(super) link: Arc<Link>,
}

impl S3 {
    pub(super) fn new(config: &SdkConfig, path_style: bool, link: Arc<Link>) -> Self {
        let config = aws_sdk_s3::config::Builder::from(config).force_path_style(path_style).build();
        Self { client: aws_sdk_s3::Client::from_conf(config), link }
    }

    /// Whether `bucket` is there and may be used.
    ///
    /// # Errors
    /// `NotFound` when it is not there; see [`CallErrorKind`] for the others.
    pub fn head_bucket(&self, bucket: &str) -> Result<Reply<BucketHead>, CallError> {
        let call = self.link.call("s3api", "head-bucket", format!("s3://{bucket}"));
        let request = self.client.head_bucket().bucket(bucket).customize();
        let reply = call.send(request.interceptor(call.probe()).send())?;
        Ok(call.reply(BucketHead { region: reply.value.bucket_region }))
    }

    /// Whether `bucket` keeps versions.
    ///
    /// # Errors
    /// A [`CallError`] when there is no usable answer.
    pub fn bucket_versioning(&self, bucket: &str) -> Result<Reply<Versioning>, CallError> {
        let call = self.link.call("s3api", "get-bucket-versioning", format!("s3://{bucket}"));
        let request = self.client.get_bucket_versioning().bucket(bucket).customize();
        let reply = call.send(request.interceptor(call.probe()).send())?;
        let versioning = match reply.value.status {
            None => Versioning::Never,
            Some(BucketVersioningStatus::Enabled) => Versioning::Enabled,
            Some(BucketVersioningStatus::Suspended) => Versioning::Suspended,
            Some(other) => return Err(call.malformed(format!("unknown status `{other}`"))),
        };
        Ok(call.reply(versioning))
    }

    /// The objects whose keys start with `prefix`. Without `max_keys` every page is walked; with it
    /// one page of at most so many is asked, and it is complete when the server says that no more
    /// follow.
    ///
    /// # Errors
    /// `Malformed` when a page contradicts itself; see [`CallErrorKind`] for the others.
    pub fn list_objects(
        &self,
        bucket: &str,
        prefix: &str,
        max_keys: Option<u32>,
    ) -> Result<Reply<Listing<ObjectEntry>>, CallError> {
        let mut walk = Walk::new(prefix);
        let mut token: Option<String> = None;
        loop {
            let call = self.link.call("s3api", "list-objects-v2", format!("s3://{bucket}/{prefix}"));
            let request = self
                .client
                .list_objects_v2()
                .bucket(bucket)
                .set_prefix(non_empty(prefix))
                .set_max_keys(page_size(&call, max_keys)?)
                .set_continuation_token(token.take())
                .customize();
            let page = call.send(request.interceptor(call.probe()).send())?;
            walk.count(&page);
            let listed = page.value.contents.unwrap_or_default();
            check_count(&call, page.value.key_count, listed.len())?;
            for object in listed {
                let key = walk.new_key(&call, object.key, "")?;
                walk.entries.push(ObjectEntry {
                    key,
                    size: length(&call, object.size)?,
                    etag: object.e_tag,
                    last_modified: object.last_modified.and_then(|at| at.fmt(Format::DateTime).ok()),
                });
            }
            let more = call.required("IsTruncated", page.value.is_truncated)?;
            token = next_marker(&call, more, page.value.next_continuation_token)?;
            match &token {
                None => return Ok(walk.reply(&call, true)),
                Some(_) if max_keys.is_some() => return Ok(walk.reply(&call, false)),
                Some(marker) => walk.turn(&call, marker.clone())?,
            }
        }
    }

    /// All versions and delete markers whose keys start with `prefix`; every page is walked.
    ///
    /// # Errors
    /// `Malformed` when a page contradicts itself; see [`CallErrorKind`] for the others.
    pub fn list_versions(&self, bucket: &str, prefix: &str) -> Result<Reply<Listing<VersionEntry>>, CallError> {
        let mut walk = Walk::new(prefix);
        let mut markers: (Option<String>, Option<String>) = (None, None);
        loop {
            let call = self.link.call("s3api", "list-object-versions", format!("s3://{bucket}/{prefix}"));
            let request = self
                .client
                .list_object_versions()
                .bucket(bucket)
                .set_prefix(non_empty(prefix))
                .set_key_marker(markers.0.take())
                .set_version_id_marker(markers.1.take())
                .customize();
            let page = call.send(request.interceptor(call.probe()).send())?;
            walk.count(&page);
            for version in page.value.versions.unwrap_or_default() {
                walk.version(&call, version.key, version.version_id, version.is_latest, false)?;
            }
            for marker in page.value.delete_markers.unwrap_or_default() {
                walk.version(&call, marker.key, marker.version_id, marker.is_latest, true)?;
            }
            let more = call.required("IsTruncated", page.value.is_truncated)?;
            let Some(key_marker) = next_marker(&call, more, page.value.next_key_marker)? else {
                return Ok(walk.reply(&call, true));
            };
            let version_marker = page.value.next_version_id_marker;
            walk.turn(&call, format!("{key_marker}\u{0}{}", version_marker.as_deref().unwrap_or_default()))?;
            markers = (Some(key_marker), version_marker);
        }
    }

    /// What is known of an object without its content.
    ///
    /// # Errors
    /// `NotFound` when the object or its bucket is not there; see [`CallErrorKind`].
    pub fn head_object(&self, bucket: &str, key: &str) -> Result<Reply<ObjectHead>, CallError> {
        let call = self.link.call("s3api", "head-object", format!("s3://{bucket}/{key}"));
        let request =
            self.client.head_object().bucket(bucket).key(key).checksum_mode(ChecksumMode::Enabled).customize();
        let reply = call.send(request.interceptor(call.probe()).send())?;
        Ok(call.reply(ObjectHead {
            size: length(&call, reply.value.content_length)?,
            etag: reply.value.e_tag,
            version_id: reply.value.version_id,
            sha256_base64: reply.value.checksum_sha256,
            metadata: sorted(reply.value.metadata),
        }))
    }

    /// An object with its whole content, the newest version or the one that is named.
    ///
    /// # Errors
    /// `NotFound` when it is not there; `Malformed` when the content is cut short or its checksum
    /// is another; see [`CallErrorKind`] for the others.
    pub fn get_object(&self, bucket: &str, key: &str, version: Option<&str>) -> Result<Reply<ObjectBody>, CallError> {
        let call = self.link.call("s3api", "get-object", format!("s3://{bucket}/{key}"));
        let request = self
            .client
            .get_object()
            .bucket(bucket)
            .key(key)
            .set_version_id(version.map(str::to_owned))
            .checksum_mode(ChecksumMode::Enabled)
            .customize();
        let reply = call.send(request.interceptor(call.probe()).send())?;
        let expected = length(&call, reply.value.content_length)?;
        let bytes = call
            .within_limit(reply.value.body.collect())?
            .map_err(|error| {
                let text = classify::with_causes(&error);
                call.malformed(format!("the content broke off: {text}"))
            })?
            .to_vec();
        if u64::try_from(bytes.len()) != Ok(expected) {
            let came = bytes.len();
            return Err(call.malformed(format!("{came} bytes came, {expected} were announced")));
        }
        if let (Some(asked), Some(came)) = (version, reply.value.version_id.as_deref())
            && asked != came
        {
            return Err(call.malformed(format!("version {came} came, {asked} was asked")));
        }
        Ok(call.reply(ObjectBody {
            bytes,
            etag: reply.value.e_tag,
            version_id: reply.value.version_id,
            sha256: reply.value.checksum_sha256,
            metadata: sorted(reply.value.metadata),
        }))
    }
}

/// One walk over the pages of a list.
struct Walk<'a, T> {
    prefix: &'a str,
    entries: Vec<T>,
    keys: BTreeSet<(String, String)>,
    markers: BTreeSet<String>,
    attempts: u32,
}

impl<'a, T> Walk<'a, T> {
    fn new(prefix: &'a str) -> Self {
        Self { prefix, entries: Vec::new(), keys: BTreeSet::new(), markers: BTreeSet::new(), attempts: 0 }
    }

    fn count<O>(&mut self, page: &Reply<O>) {
        self.attempts = self.attempts.saturating_add(page.attempts);
    }

    /// The key of an entry: under the prefix that was asked, and not listed before.
    fn new_key(&mut self, call: &Call<'_>, key: Option<String>, version: &str) -> Result<String, CallError> {
        let key = call.required("Key", key)?;
        if !key.starts_with(self.prefix) {
            return Err(call.malformed(format!("key `{key}` does not start with the prefix")));
        }
        if !self.keys.insert((key.clone(), version.to_owned())) {
            return Err(call.malformed(format!("key `{key}` is listed twice")));
        }
        Ok(key)
    }

    /// Goes on to the page after `marker`, which must lead somewhere new.
    fn turn(&mut self, call: &Call<'_>, marker: String) -> Result<(), CallError> {
        if !self.markers.insert(marker) {
            return Err(call.malformed("a page names a marker that was used before"));
        }
        if self.markers.len() >= MOST_PAGES {
            return Err(call.malformed(format!("more than {MOST_PAGES} pages")));
        }
        Ok(())
    }

    fn reply(self, call: &Call<'_>, complete: bool) -> Reply<Listing<T>> {
        let mut reply = call.reply(Listing { entries: self.entries, complete });
        reply.attempts = self.attempts;
        reply
    }
}

impl Walk<'_, VersionEntry> {
    fn version(
        &mut self,
        call: &Call<'_>,
        key: Option<String>,
        version_id: Option<String>,
        latest: Option<bool>,
        delete_marker: bool,
    ) -> Result<(), CallError> {
        let version_id = call.required("VersionId", version_id)?;
        let key = self.new_key(call, key, &version_id)?;
        self.entries.push(VersionEntry { key, version_id, delete_marker, latest: call.required("IsLatest", latest)? });
        Ok(())
    }
}

fn non_empty(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn page_size(call: &Call<'_>, max_keys: Option<u32>) -> Result<Option<i32>, CallError> {
    match max_keys {
        None => Ok(None),
        Some(asked) => match i32::try_from(asked) {
            Ok(size) if size > 0 => Ok(Some(size)),
            _ => Err(call.error(CallErrorKind::Refused, format!("a page of {asked} keys cannot be asked"))),
        },
    }
}

fn check_count(call: &Call<'_>, announced: Option<i32>, listed: usize) -> Result<(), CallError> {
    match announced {
        Some(count) if usize::try_from(count) != Ok(listed) => {
            Err(call.malformed(format!("{listed} keys are listed, {count} were announced")))
        }
        _ => Ok(()),
    }
}

/// The marker of the next page. A page that is cut short must name one, a last page must not.
fn next_marker(call: &Call<'_>, more: bool, marker: Option<String>) -> Result<Option<String>, CallError> {
    match (more, marker.filter(|marker| !marker.is_empty())) {
        (true, Some(marker)) => Ok(Some(marker)),
        (false, None) => Ok(None),
        (true, None) => Err(call.malformed("the list is cut short and names no next page")),
        (false, Some(_)) => Err(call.malformed("the last page names a next one")),
    }
}

fn length(call: &Call<'_>, announced: Option<i64>) -> Result<u64, CallError> {
    let announced = call.required("length", announced)?;
    u64::try_from(announced).map_err(|_| call.malformed(format!("length {announced}")))
}

fn sorted(metadata: Option<std::collections::HashMap<String, String>>) -> BTreeMap<String, String> {
    metadata.into_iter().flatten().collect()
}
