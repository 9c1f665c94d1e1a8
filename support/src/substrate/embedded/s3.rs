//! S3 of the embedded world: what `s3s` reads off the wire, answered as AWS documents it.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use s3s::dto::*;
use s3s::{S3, S3Error, S3Request, S3Response, S3Result, s3_error};

use super::listing;
use super::store::{Bucket, Content, Keeping, PublicAccessBlock, Store, Version, WorldError, WorldState, instant};

/// The version id where a bucket keeps no versions.
const NULL_VERSION: &str = "null";

/// What every bucket of AWS encrypts with unless it says otherwise.
const DEFAULT_ENCRYPTION: &str = "AES256";

impl From<WorldError> for S3Error {
    fn from(error: WorldError) -> Self {
        S3Error::internal_error(error)
    }
}

/// S3 over the world's store.
#[derive(Debug)]
pub(super) struct S3Storage {
    store: Arc<Store>,
}

impl S3Storage {
    pub(super) fn new(store: Arc<Store>) -> Self {
        Self { store }
    }

    /// Looks at a bucket.
    fn bucket<R>(&self, name: &str, look: impl FnOnce(&Bucket) -> S3Result<R>) -> S3Result<R> {
        self.store
            .read(|state| match state.buckets.get(name) {
                Some(bucket) => look(bucket),
                None => Err(no_bucket()),
            })
            .map_err(S3Error::from)?
    }

    /// Changes a bucket, deciding and writing in one critical section.
    fn change_bucket<R>(&self, name: &str, change: impl FnOnce(&mut Bucket) -> S3Result<R>) -> S3Result<R> {
        self.store.change(|state| match state.buckets.get_mut(name) {
            Some(bucket) => change(bucket),
            None => Err(no_bucket()),
        })
    }

    /// The version that a read finds, with its content.
    fn find(&self, bucket: &str, key: &str, version: Option<&str>) -> S3Result<Found> {
        self.bucket(bucket, |bucket| find(bucket, key, version))
    }
}

/// What a read found.
struct Found {
    version: Version,
    content: Content,
    /// The version id, where the bucket keeps versions or did once.
    shown_id: Option<String>,
}

fn find(bucket: &Bucket, key: &str, asked: Option<&str>) -> S3Result<Found> {
    let versions = bucket.objects.get(key).map(Vec::as_slice).unwrap_or(&[]);
    let version = match asked {
        None => versions.last().ok_or_else(|| no_key(None))?,
        Some(id) => versions
            .iter()
            .find(|version| version.id == id)
            .ok_or_else(|| s3_error!(NoSuchVersion, "The specified version does not exist."))?,
    };
    match &version.content {
        Some(content) => Ok(Found {
            version: version.clone(),
            content: content.clone(),
            shown_id: (bucket.versioning != Keeping::Never).then(|| version.id.clone()),
        }),
        None if asked.is_some() => {
            Err(marked(s3_error!(MethodNotAllowed, "The specified method is not allowed against this resource.")))
        }
        None => Err(no_key(Some(()))),
    }
}

fn no_bucket() -> S3Error {
    s3_error!(NoSuchBucket, "The specified bucket does not exist.")
}

fn no_key(delete_marker: Option<()>) -> S3Error {
    let error = s3_error!(NoSuchKey, "The specified key does not exist.");
    match delete_marker {
        Some(()) => marked(error),
        None => error,
    }
}

/// Says that a delete marker is the reason.
fn marked(mut error: S3Error) -> S3Error {
    let mut headers = http::HeaderMap::new();
    headers.insert("x-amz-delete-marker", http::HeaderValue::from_static("true"));
    error.set_headers(headers);
    error
}

fn not_implemented(what: &str) -> S3Error {
    S3Error::with_message(s3s::S3ErrorCode::NotImplemented, format!("The embedded world does not implement {what}."))
}

/// Refuses what would otherwise be ignored in silence.
fn refuse(asked: bool, what: &str) -> S3Result<()> {
    if asked { Err(not_implemented(what)) } else { Ok(()) }
}

async fn whole_body(body: Option<StreamingBlob>) -> S3Result<Bytes> {
    let mut bytes = BytesMut::new();
    let Some(mut body) = body else {
        return Ok(Bytes::new());
    };
    while let Some(part) = body.next().await {
        let part = part.map_err(|error| {
            let text = error.to_string();
            S3Error::with_message(s3s::S3ErrorCode::InvalidRequest, text)
        })?;
        bytes.extend_from_slice(&part);
    }
    Ok(bytes.freeze())
}

/// The checksums that the writer sent, in the headers or after the body, each compared.
fn verified_checksums(request: &S3Request<PutObjectInput>, bytes: &[u8]) -> S3Result<BTreeMap<String, String>> {
    let input = &request.input;
    let mut sent: BTreeMap<&str, String> = BTreeMap::new();
    for (name, value) in [
        ("crc32", &input.checksum_crc32),
        ("crc32c", &input.checksum_crc32c),
        ("crc64nvme", &input.checksum_crc64nvme),
        ("sha1", &input.checksum_sha1),
        ("sha256", &input.checksum_sha256),
    ] {
        if let Some(value) = value.clone().or_else(|| trailing(request, name)) {
            sent.insert(name, value);
        }
    }
    if request.headers.contains_key("x-amz-trailer") && sent.is_empty() {
        return Err(s3_error!(InvalidRequest, "The announced trailing checksum is missing."));
    }
    let computed = computed_checksums(bytes, &sent);
    for (name, value) in &sent {
        if computed.get(*name) != Some(value) {
            let text = format!("The {} you specified did not match the calculated checksum.", name.to_uppercase());
            return Err(S3Error::with_message(s3s::S3ErrorCode::BadDigest, text));
        }
    }
    Ok(computed)
}

fn trailing(request: &S3Request<PutObjectInput>, name: &str) -> Option<String> {
    request.trailing_headers.as_ref()?.read(|headers| {
        let value = headers.get(format!("x-amz-checksum-{name}"))?;
        value.to_str().ok().map(str::to_owned)
    })?
}

/// The checksums of the algorithms in `sent`; AWS computes CRC-64/NVME when there is none.
fn computed_checksums(bytes: &[u8], sent: &BTreeMap<&str, String>) -> BTreeMap<String, String> {
    use s3s::crypto::Checksum as _;
    let mut hasher = s3s::checksum::ChecksumHasher::default();
    let asked = |name: &str| sent.contains_key(name);
    hasher.crc32 = asked("crc32").then(s3s::crypto::Crc32::new);
    hasher.crc32c = asked("crc32c").then(s3s::crypto::Crc32c::new);
    hasher.sha1 = asked("sha1").then(s3s::crypto::Sha1::new);
    hasher.sha256 = asked("sha256").then(s3s::crypto::Sha256::new);
    hasher.crc64nvme = (asked("crc64nvme") || sent.is_empty()).then(s3s::crypto::Crc64Nvme::new);
    hasher.update(bytes);
    let sums = hasher.finalize();
    [
        ("crc32", sums.checksum_crc32),
        ("crc32c", sums.checksum_crc32c),
        ("crc64nvme", sums.checksum_crc64nvme),
        ("sha1", sums.checksum_sha1),
        ("sha256", sums.checksum_sha256),
    ]
    .into_iter()
    .filter_map(|(name, sum)| Some((name.to_owned(), sum?)))
    .collect()
}

/// MD5 in hex: what an entity tag is made of.
fn md5_hex(bytes: &[u8]) -> String {
    use md5::Digest as _;
    hex::encode(md5::Md5::digest(bytes))
}

fn check_md5(sent: Option<&str>, etag: &str) -> S3Result<()> {
    use base64::Engine as _;
    let Some(sent) = sent else { return Ok(()) };
    let decoded = base64::engine::general_purpose::STANDARD
        .decode(sent)
        .map_err(|_| s3_error!(InvalidDigest, "The Content-MD5 is not valid."))?;
    if hex::encode(decoded) == etag {
        Ok(())
    } else {
        Err(s3_error!(BadDigest, "The Content-MD5 you specified did not match what we received."))
    }
}

/// Puts a version in its place: beside the others, or in place of the null version.
fn place(bucket: &mut Bucket, key: &str, version: Version) {
    let versions = bucket.objects.entry(key.to_owned()).or_default();
    if version.id == NULL_VERSION {
        versions.retain(|old| old.id != NULL_VERSION);
    }
    versions.push(version);
}

fn new_version_id(keeping: Keeping, change: u64) -> String {
    match keeping {
        Keeping::Enabled => format!("embedded.{change:016}"),
        Keeping::Never | Keeping::Suspended => NULL_VERSION.to_owned(),
    }
}

fn sum(content: &Content, mode: bool, name: &str) -> Option<String> {
    mode.then(|| content.checksums.get(name).cloned()).flatten()
}

fn checksum_mode(mode: Option<&ChecksumMode>) -> bool {
    mode.is_some_and(|mode| mode.as_str() == ChecksumMode::ENABLED)
}

fn etag(content: &Content) -> ETag {
    ETag::Strong(content.etag.clone())
}

#[async_trait]
impl S3 for S3Storage {
    async fn create_bucket(&self, request: S3Request<CreateBucketInput>) -> S3Result<S3Response<CreateBucketOutput>> {
        let name = request.input.bucket;
        refuse(request.input.object_lock_enabled_for_bucket == Some(true), "object lock")?;
        let region = request.region.map(|region| region.as_str().to_owned());
        self.store.change(|state: &mut WorldState| {
            if state.buckets.contains_key(&name) {
                return Err(s3_error!(
                    BucketAlreadyOwnedByYou,
                    "Your previous request to create the named bucket succeeded."
                ));
            }
            let created = state.tick();
            let bucket = Bucket {
                region: region.unwrap_or_else(|| "us-east-1".to_owned()),
                created,
                versioning: Keeping::Never,
                // New buckets of AWS block all public access.
                public_access_block: Some(PublicAccessBlock {
                    block_public_acls: true,
                    ignore_public_acls: true,
                    block_public_policy: true,
                    restrict_public_buckets: true,
                }),
                encryption: DEFAULT_ENCRYPTION.to_owned(),
                objects: BTreeMap::new(),
            };
            state.buckets.insert(name.clone(), bucket);
            Ok(())
        })?;
        Ok(S3Response::new(CreateBucketOutput { location: Some(format!("/{name}")) }))
    }

    async fn head_bucket(&self, request: S3Request<HeadBucketInput>) -> S3Result<S3Response<HeadBucketOutput>> {
        let region = self.bucket(&request.input.bucket, |bucket| Ok(bucket.region.clone()))?;
        Ok(S3Response::new(HeadBucketOutput { bucket_region: Some(region), ..Default::default() }))
    }

    async fn get_bucket_versioning(
        &self,
        request: S3Request<GetBucketVersioningInput>,
    ) -> S3Result<S3Response<GetBucketVersioningOutput>> {
        let keeping = self.bucket(&request.input.bucket, |bucket| Ok(bucket.versioning))?;
        let status = match keeping {
            Keeping::Never => None,
            Keeping::Enabled => Some(BucketVersioningStatus::ENABLED),
            Keeping::Suspended => Some(BucketVersioningStatus::SUSPENDED),
        };
        Ok(S3Response::new(GetBucketVersioningOutput {
            mfa_delete: None,
            status: status.map(BucketVersioningStatus::from_static),
        }))
    }

    async fn put_bucket_versioning(
        &self,
        request: S3Request<PutBucketVersioningInput>,
    ) -> S3Result<S3Response<PutBucketVersioningOutput>> {
        let asked = request.input.versioning_configuration.status;
        let keeping = match asked.as_ref().map(BucketVersioningStatus::as_str) {
            Some(BucketVersioningStatus::ENABLED) => Keeping::Enabled,
            Some(BucketVersioningStatus::SUSPENDED) => Keeping::Suspended,
            _ => return Err(s3_error!(IllegalVersioningConfigurationException)),
        };
        self.change_bucket(&request.input.bucket, |bucket| {
            bucket.versioning = keeping;
            Ok(())
        })?;
        Ok(S3Response::new(PutBucketVersioningOutput {}))
    }

    async fn get_public_access_block(
        &self,
        request: S3Request<GetPublicAccessBlockInput>,
    ) -> S3Result<S3Response<GetPublicAccessBlockOutput>> {
        let block = self.bucket(&request.input.bucket, |bucket| {
            bucket.public_access_block.ok_or_else(|| {
                let mut error = S3Error::with_message(
                    s3s::S3ErrorCode::Custom("NoSuchPublicAccessBlockConfiguration".into()),
                    "The public access block configuration was not found",
                );
                error.set_status_code(http::StatusCode::NOT_FOUND);
                error
            })
        })?;
        Ok(S3Response::new(GetPublicAccessBlockOutput {
            public_access_block_configuration: Some(PublicAccessBlockConfiguration {
                block_public_acls: Some(block.block_public_acls),
                block_public_policy: Some(block.block_public_policy),
                ignore_public_acls: Some(block.ignore_public_acls),
                restrict_public_buckets: Some(block.restrict_public_buckets),
            }),
        }))
    }

    async fn put_public_access_block(
        &self,
        request: S3Request<PutPublicAccessBlockInput>,
    ) -> S3Result<S3Response<PutPublicAccessBlockOutput>> {
        let asked = request.input.public_access_block_configuration;
        self.change_bucket(&request.input.bucket, |bucket| {
            bucket.public_access_block = Some(PublicAccessBlock {
                block_public_acls: asked.block_public_acls == Some(true),
                ignore_public_acls: asked.ignore_public_acls == Some(true),
                block_public_policy: asked.block_public_policy == Some(true),
                restrict_public_buckets: asked.restrict_public_buckets == Some(true),
            });
            Ok(())
        })?;
        Ok(S3Response::new(PutPublicAccessBlockOutput {}))
    }

    async fn get_bucket_encryption(
        &self,
        request: S3Request<GetBucketEncryptionInput>,
    ) -> S3Result<S3Response<GetBucketEncryptionOutput>> {
        let name = self.bucket(&request.input.bucket, |bucket| Ok(bucket.encryption.clone()))?;
        Ok(S3Response::new(GetBucketEncryptionOutput {
            server_side_encryption_configuration: Some(ServerSideEncryptionConfiguration {
                rules: vec![ServerSideEncryptionRule {
                    apply_server_side_encryption_by_default: Some(ServerSideEncryptionByDefault {
                        kms_master_key_id: None,
                        sse_algorithm: ServerSideEncryption::from(name),
                    }),
                    bucket_key_enabled: Some(false),
                }],
            }),
        }))
    }

    async fn put_bucket_encryption(
        &self,
        request: S3Request<PutBucketEncryptionInput>,
    ) -> S3Result<S3Response<PutBucketEncryptionOutput>> {
        let rules = request.input.server_side_encryption_configuration.rules;
        let algorithm = rules
            .into_iter()
            .find_map(|rule| rule.apply_server_side_encryption_by_default)
            .map(|rule| rule.sse_algorithm.as_str().to_owned())
            .ok_or_else(|| s3_error!(MalformedXML))?;
        self.change_bucket(&request.input.bucket, |bucket| {
            bucket.encryption = algorithm;
            Ok(())
        })?;
        Ok(S3Response::new(PutBucketEncryptionOutput {}))
    }

    async fn list_buckets(&self, _request: S3Request<ListBucketsInput>) -> S3Result<S3Response<ListBucketsOutput>> {
        let buckets = self.store.read(|state| {
            state
                .buckets
                .iter()
                .map(|(name, bucket)| s3s::dto::Bucket {
                    name: Some(name.clone()),
                    creation_date: Some(instant(bucket.created).into()),
                    ..Default::default()
                })
                .collect()
        })?;
        Ok(S3Response::new(ListBucketsOutput { buckets: Some(buckets), ..Default::default() }))
    }

    async fn put_object(&self, mut request: S3Request<PutObjectInput>) -> S3Result<S3Response<PutObjectOutput>> {
        let body = request.input.body.take();
        let bytes = whole_body(body).await?;
        let checksums = verified_checksums(&request, &bytes)?;
        let input = request.input;
        refuse(input.if_match.is_some(), "If-Match on a put")?;
        refuse(input.tagging.is_some(), "object tags")?;
        refuse(input.object_lock_mode.is_some(), "object lock")?;
        refuse(input.write_offset_bytes.is_some(), "appending")?;
        let only_if_absent = match &input.if_none_match {
            None => false,
            Some(ETagCondition::Any) => true,
            Some(ETagCondition::ETag(_)) => {
                return Err(not_implemented("If-None-Match with an entity tag on a put"));
            }
        };
        let md5 = md5_hex(&bytes);
        check_md5(input.content_md5.as_deref(), &md5)?;
        let size = i64::try_from(bytes.len()).map_err(|_| s3_error!(EntityTooLarge))?;
        let digest = self.store.keep(&bytes)?;
        let encryption = input.server_side_encryption;
        let content = Content {
            digest,
            size,
            etag: md5,
            checksums,
            content_type: input.content_type,
            encryption: encryption.map_or_else(String::new, |asked| asked.as_str().to_owned()),
            metadata: input.metadata.into_iter().flatten().collect(),
        };
        let (content, shown_id) = self
            .store
            .change(|state: &mut WorldState| put(state, &input.bucket, &input.key, content, only_if_absent))?;
        Ok(S3Response::new(PutObjectOutput {
            checksum_crc32: sum(&content, true, "crc32"),
            checksum_crc32c: sum(&content, true, "crc32c"),
            checksum_crc64nvme: sum(&content, true, "crc64nvme"),
            checksum_sha1: sum(&content, true, "sha1"),
            checksum_sha256: sum(&content, true, "sha256"),
            checksum_type: Some(ChecksumType::from_static(ChecksumType::FULL_OBJECT)),
            e_tag: Some(etag(&content)),
            server_side_encryption: Some(ServerSideEncryption::from(content.encryption)),
            version_id: shown_id,
            ..Default::default()
        }))
    }

    async fn get_object(&self, request: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
        let input = request.input;
        refuse(input.range.is_some(), "ranges")?;
        refuse(input.part_number.is_some(), "parts")?;
        refuse(
            input.if_match.is_some()
                || input.if_none_match.is_some()
                || input.if_modified_since.is_some()
                || input.if_unmodified_since.is_some(),
            "conditional reads",
        )?;
        let found = self.find(&input.bucket, &input.key, input.version_id.as_deref())?;
        let bytes = self.store.content(&found.content.digest)?;
        let mode = checksum_mode(input.checksum_mode.as_ref());
        let content = &found.content;
        Ok(S3Response::new(GetObjectOutput {
            accept_ranges: Some("bytes".to_owned()),
            body: Some(StreamingBlob::from(s3s::Body::from(bytes))),
            checksum_crc32: sum(content, mode, "crc32"),
            checksum_crc32c: sum(content, mode, "crc32c"),
            checksum_crc64nvme: sum(content, mode, "crc64nvme"),
            checksum_sha1: sum(content, mode, "sha1"),
            checksum_sha256: sum(content, mode, "sha256"),
            checksum_type: mode.then(|| ChecksumType::from_static(ChecksumType::FULL_OBJECT)),
            content_length: Some(content.size),
            content_type: content.content_type.clone(),
            e_tag: Some(etag(content)),
            last_modified: Some(instant(found.version.modified).into()),
            metadata: Some(content.metadata.clone().into_iter().collect()),
            server_side_encryption: Some(ServerSideEncryption::from(content.encryption.clone())),
            version_id: found.shown_id,
            ..Default::default()
        }))
    }

    async fn head_object(&self, request: S3Request<HeadObjectInput>) -> S3Result<S3Response<HeadObjectOutput>> {
        let input = request.input;
        refuse(input.range.is_some(), "ranges")?;
        refuse(input.part_number.is_some(), "parts")?;
        refuse(
            input.if_match.is_some()
                || input.if_none_match.is_some()
                || input.if_modified_since.is_some()
                || input.if_unmodified_since.is_some(),
            "conditional reads",
        )?;
        let found = self.find(&input.bucket, &input.key, input.version_id.as_deref())?;
        let mode = checksum_mode(input.checksum_mode.as_ref());
        let content = &found.content;
        Ok(S3Response::new(HeadObjectOutput {
            accept_ranges: Some("bytes".to_owned()),
            checksum_crc32: sum(content, mode, "crc32"),
            checksum_crc32c: sum(content, mode, "crc32c"),
            checksum_crc64nvme: sum(content, mode, "crc64nvme"),
            checksum_sha1: sum(content, mode, "sha1"),
            checksum_sha256: sum(content, mode, "sha256"),
            checksum_type: mode.then(|| ChecksumType::from_static(ChecksumType::FULL_OBJECT)),
            content_length: Some(content.size),
            content_type: content.content_type.clone(),
            e_tag: Some(etag(content)),
            last_modified: Some(instant(found.version.modified).into()),
            metadata: Some(content.metadata.clone().into_iter().collect()),
            server_side_encryption: Some(ServerSideEncryption::from(content.encryption.clone())),
            version_id: found.shown_id,
            ..Default::default()
        }))
    }

    async fn delete_object(&self, request: S3Request<DeleteObjectInput>) -> S3Result<S3Response<DeleteObjectOutput>> {
        let input = request.input;
        refuse(input.version_id.is_some(), "deleting a version for good")?;
        refuse(input.if_match.is_some(), "conditional deletes")?;
        let marker = self.store.change(|state: &mut WorldState| mark_deleted(state, &input.bucket, &input.key))?;
        let output = DeleteObjectOutput {
            delete_marker: marker.is_some().then_some(true),
            request_charged: None,
            version_id: marker,
        };
        Ok(S3Response::with_status(output, http::StatusCode::NO_CONTENT))
    }

    async fn list_objects_v2(
        &self,
        request: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        let input = request.input;
        refuse(input.delimiter.is_some(), "delimiters")?;
        refuse(input.encoding_type.is_some(), "encoded keys")?;
        let size = listing::page_size(input.max_keys).ok_or_else(|| s3_error!(InvalidArgument))?;
        let after = match &input.continuation_token {
            None => input.start_after.clone(),
            Some(token) => Some(
                listing::key_of_token(token)
                    .ok_or_else(|| s3_error!(InvalidArgument, "The continuation token is not correct."))?,
            ),
        };
        let prefix = input.prefix.clone().unwrap_or_default();
        let (contents, next) = self.bucket(&input.bucket, |bucket| {
            let page = listing::objects(bucket, &prefix, after.as_deref(), size);
            let contents: Vec<Object> = page.items.iter().map(listed_object).collect();
            Ok((contents, page.next.as_deref().map(listing::token)))
        })?;
        Ok(S3Response::new(ListObjectsV2Output {
            name: Some(input.bucket),
            prefix: Some(prefix),
            max_keys: i32::try_from(size).ok(),
            key_count: i32::try_from(contents.len()).ok(),
            continuation_token: input.continuation_token,
            is_truncated: Some(next.is_some()),
            next_continuation_token: next,
            contents: Some(contents),
            start_after: input.start_after,
            ..Default::default()
        }))
    }

    async fn list_object_versions(
        &self,
        request: S3Request<ListObjectVersionsInput>,
    ) -> S3Result<S3Response<ListObjectVersionsOutput>> {
        let input = request.input;
        refuse(input.delimiter.is_some(), "delimiters")?;
        refuse(input.encoding_type.is_some(), "encoded keys")?;
        let size = listing::page_size(input.max_keys).ok_or_else(|| s3_error!(InvalidArgument))?;
        let after = match (&input.key_marker, &input.version_id_marker) {
            (Some(key), version) => Some((key.as_str(), version.as_deref())),
            (None, None) => None,
            (None, Some(_)) => return Err(s3_error!(InvalidArgument)),
        };
        let prefix = input.prefix.clone().unwrap_or_default();
        let mut output =
            self.bucket(&input.bucket, |bucket| Ok(listed_versions(listing::versions(bucket, &prefix, after, size))))?;
        output.name = Some(input.bucket);
        output.prefix = Some(prefix);
        output.max_keys = i32::try_from(size).ok();
        output.key_marker = input.key_marker;
        output.version_id_marker = input.version_id_marker;
        Ok(S3Response::new(output))
    }
}

/// The put itself: whether the key is free is decided where it is written.
fn put(
    state: &mut WorldState,
    bucket: &str,
    key: &str,
    mut content: Content,
    only_if_absent: bool,
) -> S3Result<(Content, Option<String>)> {
    let there = state.buckets.get(bucket).ok_or_else(no_bucket)?;
    // A delete marker leaves the key free, as on AWS.
    let taken =
        there.objects.get(key).and_then(|versions| versions.last()).is_some_and(|newest| newest.content.is_some());
    if only_if_absent && taken {
        return Err(s3_error!(PreconditionFailed, "At least one of the pre-conditions you specified did not hold"));
    }
    // A put that is refused is no change: who sends one again, its reply lost, must find the same world.
    let modified = state.tick();
    let change = state.changes;
    let bucket = state.buckets.get_mut(bucket).ok_or_else(no_bucket)?;
    if content.encryption.is_empty() {
        content.encryption.clone_from(&bucket.encryption);
    }
    let id = new_version_id(bucket.versioning, change);
    let shown_id = (bucket.versioning != Keeping::Never).then(|| id.clone());
    let version = Version { id, modified, content: Some(content.clone()) };
    place(bucket, key, version);
    Ok((content, shown_id))
}

/// Puts a delete marker; its version id. A bucket that never kept versions loses the object.
fn mark_deleted(state: &mut WorldState, bucket: &str, key: &str) -> S3Result<Option<String>> {
    let modified = state.tick();
    let change = state.changes;
    let bucket = state.buckets.get_mut(bucket).ok_or_else(no_bucket)?;
    if bucket.versioning == Keeping::Never {
        bucket.objects.remove(key);
        return Ok(None);
    }
    let id = new_version_id(bucket.versioning, change);
    let version = Version { id: id.clone(), modified, content: None };
    place(bucket, key, version);
    Ok(Some(id))
}

fn listed_object(current: &listing::Current<'_>) -> Object {
    Object {
        key: Some(current.key.to_owned()),
        size: Some(current.content.size),
        e_tag: Some(etag(current.content)),
        last_modified: Some(instant(current.version.modified).into()),
        storage_class: Some(ObjectStorageClass::from_static(ObjectStorageClass::STANDARD)),
        ..Default::default()
    }
}

fn listed_versions(page: listing::Page<listing::Listed<'_>, (String, String)>) -> ListObjectVersionsOutput {
    let mut versions = Vec::new();
    let mut markers = Vec::new();
    for item in page.items {
        let key = Some(item.key.to_owned());
        let last_modified = Some(instant(item.version.modified).into());
        let version_id = Some(item.version.id.clone());
        match &item.version.content {
            Some(content) => versions.push(ObjectVersion {
                key,
                version_id,
                last_modified,
                is_latest: Some(item.latest),
                size: Some(content.size),
                e_tag: Some(etag(content)),
                ..Default::default()
            }),
            None => markers.push(DeleteMarkerEntry {
                key,
                version_id,
                last_modified,
                is_latest: Some(item.latest),
                owner: None,
            }),
        }
    }
    let (next_key_marker, next_version_id_marker) = page.next.unzip();
    ListObjectVersionsOutput {
        is_truncated: Some(next_key_marker.is_some()),
        next_key_marker,
        next_version_id_marker,
        versions: Some(versions),
        delete_markers: Some(markers),
        ..Default::default()
    }
}
