//! What a gate relies on in S3.

use std::collections::BTreeSet;

use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{BucketVersioningStatus, ChecksumAlgorithm, ChecksumMode, PublicAccessBlockConfiguration};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use md5::Md5;
use phasegate_support::substrate::Versioning;
use phasegate_support::substrate::reply::CallErrorKind;
use sha2::{Digest as _, Sha256};

use super::Assertion;
use super::ground::{Ground, REGION, unless};

pub const LIST: &[Assertion] = &[
    ("s3.race.one_winner_in_each_of_200_rounds", one_winner),
    ("s3.put.write_once_canary", write_once_canary),
    ("s3.put.wrong_sha256_is_refused", wrong_sha256),
    ("s3.put.wrong_md5_is_refused", wrong_md5),
    ("s3.put.sha256_is_returned", sha256_of_put),
    ("s3.head.sha256_is_returned", sha256_of_head),
    ("s3.get.sha256_is_returned", sha256_of_get),
    ("s3.put.trailing_sha256_is_stored", trailing_sha256),
    ("s3.put.absent_after_delete_marker_is_allowed", put_after_marker),
    ("s3.put.etag_is_the_md5", etag_is_md5),
    ("s3.put.metadata_comes_back", metadata),
    ("s3.put.in_a_missing_bucket_is_404", put_nowhere),
    ("s3.get.by_version", get_by_version),
    ("s3.get.missing_key_is_no_such_key", get_missing),
    ("s3.get.missing_version_is_an_error", get_missing_version),
    ("s3.get.delete_marker_is_404_and_says_so", get_marker),
    ("s3.get.delete_marker_by_version_is_405", get_marker_version),
    ("s3.head.missing_key_is_404", head_missing),
    ("s3.head_bucket.missing_is_404", head_bucket_missing),
    ("s3.head_bucket.region", head_bucket_region),
    ("s3.versioning.never", versioning_never),
    ("s3.versioning.enabled_suspended", versioning),
    ("s3.versioning.off_means_null_version", null_version),
    ("s3.list.missing_bucket_is_no_such_bucket", list_nowhere),
    ("s3.list.prefix_and_nothing_else", list_prefix),
    ("s3.list.small_pages_give_all_once", small_pages),
    ("s3.list.more_than_1000_objects", many_objects),
    ("s3.list_versions.small_pages_give_all_once", small_version_pages),
    ("s3.list_versions.more_than_1000_versions", many_versions),
    ("s3.list_versions.delete_markers", delete_markers),
    ("s3.keys.any_utf8", odd_keys),
    ("s3.auth.wrong_secret_is_403", wrong_secret),
    ("s3.posture.public_access_block", public_access),
    ("s3.posture.encryption", encryption),
];

fn sha256_base64(bytes: &[u8]) -> String {
    STANDARD.encode(Sha256::digest(bytes))
}

/// The code and the status of a refusal; `None` when it was no refusal.
fn refusal<T, E: ProvideErrorMetadata>(
    result: Result<T, SdkError<E, aws_smithy_runtime_api::client::orchestrator::HttpResponse>>,
) -> Option<(u16, String)> {
    match result {
        Err(SdkError::ServiceError(error)) => {
            Some((error.raw().status().as_u16(), error.err().code().unwrap_or_default().to_owned()))
        }
        _ => None,
    }
}

fn expect_refusal<T, E: ProvideErrorMetadata>(
    result: Result<T, SdkError<E, aws_smithy_runtime_api::client::orchestrator::HttpResponse>>,
    status: u16,
    code: &str,
) -> Result<(), String> {
    let came = refusal(result);
    unless(came == Some((status, code.to_owned())), || format!("{status} {code} is right, {came:?} came"))
}

impl Ground {
    fn put(&self, bucket: &str, key: &str, text: &str) -> Option<String> {
        self.runtime
            .block_on(
                self.s3.put_object().bucket(bucket).key(key).body(ByteStream::from(text.as_bytes().to_vec())).send(),
            )
            .unwrap()
            .version_id
    }

    fn put_absent(&self, bucket: &str, key: &str, text: &str) -> Option<(u16, String)> {
        refusal(
            self.runtime.block_on(
                self.s3
                    .put_object()
                    .bucket(bucket)
                    .key(key)
                    .if_none_match("*")
                    .checksum_sha256(sha256_base64(text.as_bytes()))
                    .body(ByteStream::from(text.as_bytes().to_vec()))
                    .send(),
            ),
        )
    }

    fn delete(&self, bucket: &str, key: &str) -> Option<String> {
        self.runtime.block_on(self.s3.delete_object().bucket(bucket).key(key).send()).unwrap().version_id
    }

    /// Puts `count` objects, many at a time.
    fn put_many(&self, bucket: &str, count: usize, key: impl Fn(usize) -> String) {
        self.runtime.block_on(async {
            let mut under_way = tokio::task::JoinSet::new();
            for number in 0..count {
                if under_way.len() >= 16 {
                    under_way.join_next().await.unwrap().unwrap();
                }
                let request = self.s3.put_object().bucket(bucket).key(key(number)).body(ByteStream::from_static(b"x"));
                under_way.spawn(async move {
                    request.send().await.unwrap();
                });
            }
            while let Some(done) = under_way.join_next().await {
                done.unwrap();
            }
        });
    }
}

fn one_winner(ground: &Ground) -> Result<(), String> {
    let bucket = ground.bucket();
    let mut bad = Vec::new();
    for round in 0..200 {
        let winners = ground.runtime.block_on(async {
            let mut racers = tokio::task::JoinSet::new();
            for racer in 0..8 {
                let text = format!("round {round} racer {racer}");
                let request = ground
                    .s3
                    .put_object()
                    .bucket(&bucket)
                    .key(format!("race/{round}"))
                    .if_none_match("*")
                    .checksum_sha256(sha256_base64(text.as_bytes()))
                    .body(ByteStream::from(text.into_bytes()));
                racers.spawn(async move { request.send().await.is_ok() });
            }
            racers.join_all().await.into_iter().filter(|won| *won).count()
        });
        if winners != 1 {
            bad.push((round, winners));
        }
    }
    let listed = ground.substrate.s3().list_versions(&bucket, "race/").map_err(|e| e.to_string())?;
    unless(bad.is_empty(), || format!("{} bad rounds: {bad:?}", bad.len()))?;
    let versions = listed.value.entries.len();
    unless(versions == 200, || format!("{versions} versions of 200 keys"))
}

fn write_once_canary(ground: &Ground) -> Result<(), String> {
    let bucket = ground.bucket();
    let first = ground.put_absent(&bucket, "canary", "one");
    unless(first.is_none(), || format!("the first put: {first:?}"))?;
    let second = ground.put_absent(&bucket, "canary", "two");
    unless(second == Some((412, "PreconditionFailed".to_owned())), || format!("the second put: {second:?}"))?;
    let there = ground.substrate.s3().get_object(&bucket, "canary", None).map_err(|e| e.to_string())?;
    unless(there.value.bytes == b"one", || "the content was replaced".to_owned())
}

fn wrong_sha256(ground: &Ground) -> Result<(), String> {
    let bucket = ground.bucket();
    let result = ground.runtime.block_on(
        ground
            .s3
            .put_object()
            .bucket(&bucket)
            .key("k")
            .checksum_sha256(sha256_base64(b"something else"))
            .body(ByteStream::from_static(b"content"))
            .send(),
    );
    let came = refusal(result);
    unless(came.as_ref().is_some_and(|(status, _)| *status == 400), || format!("400 is right, {came:?} came"))?;
    let head = ground.substrate.s3().head_object(&bucket, "k");
    unless(head.is_err_and(|e| e.kind == CallErrorKind::NotFound), || "it was stored all the same".to_owned())
}

fn wrong_md5(ground: &Ground) -> Result<(), String> {
    let bucket = ground.bucket();
    let result = ground.runtime.block_on(
        ground
            .s3
            .put_object()
            .bucket(&bucket)
            .key("k")
            .content_md5(STANDARD.encode(Md5::digest(b"something else")))
            .body(ByteStream::from_static(b"content"))
            .send(),
    );
    expect_refusal(result, 400, "BadDigest")
}

fn put_with_sha256(ground: &Ground) -> Result<(String, Option<String>), String> {
    let bucket = ground.bucket();
    let put = ground
        .runtime
        .block_on(
            ground
                .s3
                .put_object()
                .bucket(&bucket)
                .key("k")
                .checksum_algorithm(ChecksumAlgorithm::Sha256)
                .checksum_sha256(sha256_base64(b"content"))
                .body(ByteStream::from_static(b"content"))
                .send(),
        )
        .map_err(|e| format!("{e:?}"))?;
    Ok((bucket, put.checksum_sha256))
}

fn expect_sha256(came: Option<String>) -> Result<(), String> {
    unless(came == Some(sha256_base64(b"content")), || format!("{came:?}"))
}

fn sha256_of_put(ground: &Ground) -> Result<(), String> {
    expect_sha256(put_with_sha256(ground)?.1)
}

fn sha256_of_head(ground: &Ground) -> Result<(), String> {
    let (bucket, _) = put_with_sha256(ground)?;
    let head = ground.substrate.s3().head_object(&bucket, "k");
    expect_sha256(head.map_err(|e| e.to_string())?.value.sha256_base64)
}

fn sha256_of_get(ground: &Ground) -> Result<(), String> {
    let (bucket, _) = put_with_sha256(ground)?;
    let got = ground.substrate.s3().get_object(&bucket, "k", None);
    expect_sha256(got.map_err(|e| e.to_string())?.value.sha256)
}

fn trailing_sha256(ground: &Ground) -> Result<(), String> {
    let bucket = ground.bucket();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), b"streamed content").unwrap();
    // A body from a file is streamed, and its checksum follows it.
    let put = ground.runtime.block_on(async {
        let body = ByteStream::from_path(file.path()).await.unwrap();
        ground
            .s3
            .put_object()
            .bucket(&bucket)
            .key("k")
            .checksum_algorithm(ChecksumAlgorithm::Sha256)
            .body(body)
            .send()
            .await
    });
    put.map_err(|e| format!("{e:?}"))?;
    let got = ground.substrate.s3().get_object(&bucket, "k", None).map_err(|e| e.to_string())?.value;
    unless(got.bytes == b"streamed content", || "other content".to_owned())?;
    let right = Some(sha256_base64(b"streamed content"));
    unless(got.sha256 == right, || format!("{:?}", got.sha256))
}

fn put_after_marker(ground: &Ground) -> Result<(), String> {
    let bucket = ground.bucket();
    ground.put(&bucket, "k", "one");
    ground.delete(&bucket, "k");
    let put = ground.put_absent(&bucket, "k", "two");
    unless(put.is_none(), || format!("{put:?}"))
}

fn etag_is_md5(ground: &Ground) -> Result<(), String> {
    let bucket = ground.bucket();
    ground.put(&bucket, "k", "content");
    let head = ground.substrate.s3().head_object(&bucket, "k").map_err(|e| e.to_string())?.value;
    let right = format!("\"{}\"", hex::encode(Md5::digest(b"content")));
    unless(head.etag.as_deref() == Some(&right), || format!("{:?}", head.etag))
}

fn metadata(ground: &Ground) -> Result<(), String> {
    let bucket = ground.bucket();
    ground
        .runtime
        .block_on(
            ground
                .s3
                .put_object()
                .bucket(&bucket)
                .key("k")
                .metadata("writer-id", "w 1")
                .body(ByteStream::from_static(b"content"))
                .send(),
        )
        .unwrap();
    let head = ground.substrate.s3().head_object(&bucket, "k").map_err(|e| e.to_string())?.value;
    let came = head.metadata.get("writer-id").cloned();
    unless(came.as_deref() == Some("w 1"), || format!("{came:?}"))
}

fn put_nowhere(ground: &Ground) -> Result<(), String> {
    let came = ground.put_absent(&ground.name("nowhere"), "k", "x");
    unless(came == Some((404, "NoSuchBucket".to_owned())), || format!("{came:?}"))
}

fn get_by_version(ground: &Ground) -> Result<(), String> {
    let bucket = ground.bucket();
    let first = ground.put(&bucket, "k", "one").ok_or("no version id")?;
    let second = ground.put(&bucket, "k", "two").ok_or("no version id")?;
    unless(first != second, || "one version id twice".to_owned())?;
    let s3 = ground.substrate.s3();
    for (version, right) in [(Some(first.as_str()), "one"), (Some(second.as_str()), "two"), (None, "two")] {
        let got = s3.get_object(&bucket, "k", version).map_err(|e| e.to_string())?.value;
        unless(got.bytes == right.as_bytes(), || format!("{version:?} is not {right}"))?;
    }
    Ok(())
}

fn get_missing(ground: &Ground) -> Result<(), String> {
    let bucket = ground.bucket();
    expect_refusal(ground.runtime.block_on(ground.s3.get_object().bucket(bucket).key("none").send()), 404, "NoSuchKey")
}

fn get_missing_version(ground: &Ground) -> Result<(), String> {
    let bucket = ground.bucket();
    ground.put(&bucket, "k", "one");
    let other = ground.put(&bucket, "other", "one").ok_or("no version id")?;
    let got = ground.substrate.s3().get_object(&bucket, "k", Some(&other));
    unless(got.is_err(), || "another key's version came".to_owned())
}

fn get_marker(ground: &Ground) -> Result<(), String> {
    let bucket = ground.bucket();
    ground.put(&bucket, "k", "one");
    ground.delete(&bucket, "k");
    let result = ground.runtime.block_on(ground.s3.get_object().bucket(&bucket).key("k").send());
    let says_so = match &result {
        Err(SdkError::ServiceError(error)) => error.raw().headers().get("x-amz-delete-marker") == Some("true"),
        _ => false,
    };
    expect_refusal(result, 404, "NoSuchKey")?;
    unless(says_so, || "no x-amz-delete-marker header".to_owned())
}

fn get_marker_version(ground: &Ground) -> Result<(), String> {
    let bucket = ground.bucket();
    ground.put(&bucket, "k", "one");
    let marker = ground.delete(&bucket, "k").ok_or("no version id")?;
    expect_refusal(
        ground.runtime.block_on(ground.s3.get_object().bucket(&bucket).key("k").version_id(marker).send()),
        405,
        "MethodNotAllowed",
    )
}

fn head_missing(ground: &Ground) -> Result<(), String> {
    let bucket = ground.bucket();
    let head = ground.substrate.s3().head_object(&bucket, "none");
    unless(head.as_ref().is_err_and(|e| e.kind == CallErrorKind::NotFound && e.status == Some(404)), || {
        format!("{head:?}")
    })
}

fn head_bucket_missing(ground: &Ground) -> Result<(), String> {
    let head = ground.substrate.s3().head_bucket(&ground.name("nowhere"));
    unless(head.as_ref().is_err_and(|e| e.kind == CallErrorKind::NotFound), || format!("{head:?}"))
}

fn head_bucket_region(ground: &Ground) -> Result<(), String> {
    let head = ground.substrate.s3().head_bucket(&ground.bucket()).map_err(|e| e.to_string())?;
    unless(head.value.region.as_deref() == Some(REGION), || format!("{:?}", head.value.region))
}

fn versioning_of(ground: &Ground, bucket: &str) -> Result<Versioning, String> {
    let reply = ground.substrate.s3().bucket_versioning(bucket);
    Ok(reply.map_err(|e| e.to_string())?.value)
}

fn versioning_never(ground: &Ground) -> Result<(), String> {
    let came = versioning_of(ground, &ground.plain_bucket())?;
    unless(came == Versioning::Never, || format!("{came:?}"))
}

fn versioning(ground: &Ground) -> Result<(), String> {
    let bucket = ground.plain_bucket();
    ground.set_versioning(&bucket, BucketVersioningStatus::Enabled);
    let came = versioning_of(ground, &bucket)?;
    unless(came == Versioning::Enabled, || format!("{came:?}"))?;
    ground.set_versioning(&bucket, BucketVersioningStatus::Suspended);
    let came = versioning_of(ground, &bucket)?;
    unless(came == Versioning::Suspended, || format!("{came:?}"))
}

fn null_version(ground: &Ground) -> Result<(), String> {
    let bucket = ground.plain_bucket();
    let id = ground.put(&bucket, "k", "one");
    unless(id.is_none(), || format!("the put says version {id:?}"))?;
    ground.put(&bucket, "k", "two");
    let listed = ground.substrate.s3().list_versions(&bucket, "").map_err(|e| e.to_string())?.value;
    let ids: Vec<_> = listed.entries.iter().map(|entry| entry.version_id.as_str()).collect();
    unless(ids == ["null"], || format!("{ids:?}"))
}

fn list_nowhere(ground: &Ground) -> Result<(), String> {
    let listed = ground.substrate.s3().list_objects(&ground.name("nowhere"), "", None);
    unless(
        listed.as_ref().is_err_and(|e| e.kind == CallErrorKind::NotFound && e.message.starts_with("NoSuchBucket")),
        || format!("{listed:?}"),
    )
}

fn list_prefix(ground: &Ground) -> Result<(), String> {
    let bucket = ground.bucket();
    for key in ["run/a", "run/b", "run", "runs/c", "other"] {
        ground.put(&bucket, key, "x");
    }
    let listed = ground.substrate.s3().list_objects(&bucket, "run/", None).map_err(|e| e.to_string())?.value;
    let keys: Vec<_> = listed.entries.iter().map(|entry| entry.key.as_str()).collect();
    unless(listed.complete && keys == ["run/a", "run/b"], || format!("{listed:?}"))?;
    let none = ground.substrate.s3().list_objects(&bucket, "free/", None).map_err(|e| e.to_string())?.value;
    unless(none.complete && none.entries.is_empty(), || format!("{none:?}"))
}

fn small_pages(ground: &Ground) -> Result<(), String> {
    let bucket = ground.bucket();
    let right: Vec<String> = (0..7).map(|number| format!("k/{number}")).collect();
    for key in &right {
        ground.put(&bucket, key, "x");
    }
    let first = ground.substrate.s3().list_objects(&bucket, "k/", Some(3)).map_err(|e| e.to_string())?.value;
    unless(!first.complete && first.entries.len() == 3, || format!("{first:?}"))?;
    let exact = ground.substrate.s3().list_objects(&bucket, "k/", Some(7)).map_err(|e| e.to_string())?.value;
    unless(exact.complete && exact.entries.len() == 7, || format!("{exact:?}"))?;
    let mut walked = Vec::new();
    let mut token = None;
    for _page in 0..7 {
        let page = ground
            .runtime
            .block_on(
                ground
                    .s3
                    .list_objects_v2()
                    .bucket(&bucket)
                    .prefix("k/")
                    .max_keys(2)
                    .set_continuation_token(token)
                    .send(),
            )
            .map_err(|e| format!("{e:?}"))?;
        walked.extend(page.contents().iter().filter_map(|object| object.key.clone()));
        token = page.next_continuation_token;
        if token.is_none() {
            break;
        }
    }
    unless(walked == right, || format!("{walked:?}"))
}

fn many_objects(ground: &Ground) -> Result<(), String> {
    let bucket = ground.plain_bucket();
    ground.put_many(&bucket, 1003, |number| format!("many/{number:05}"));
    let listed = ground.substrate.s3().list_objects(&bucket, "many/", None).map_err(|e| e.to_string())?;
    let count = listed.value.entries.len();
    unless(listed.value.complete && count == 1003, || format!("{count} of 1003"))?;
    unless(listed.attempts == 2, || format!("{} pages", listed.attempts))
}

fn small_version_pages(ground: &Ground) -> Result<(), String> {
    let bucket = ground.bucket();
    for key in ["a", "b", "b", "b", "c"] {
        ground.put(&bucket, key, "x");
    }
    ground.delete(&bucket, "c");
    let mut walked = Vec::new();
    let mut markers = (None, None);
    for _page in 0..7 {
        let page = ground
            .runtime
            .block_on(
                ground
                    .s3
                    .list_object_versions()
                    .bucket(&bucket)
                    .max_keys(2)
                    .set_key_marker(markers.0)
                    .set_version_id_marker(markers.1)
                    .send(),
            )
            .map_err(|e| format!("{e:?}"))?;
        let on_page = page.versions().len() + page.delete_markers().len();
        unless(on_page <= 2, || format!("{on_page} on a page of 2"))?;
        walked.extend(page.versions().iter().map(|v| (v.key.clone(), v.version_id.clone())));
        walked.extend(page.delete_markers().iter().map(|v| (v.key.clone(), v.version_id.clone())));
        markers = (page.next_key_marker, page.next_version_id_marker);
        if markers.0.is_none() {
            break;
        }
    }
    let distinct: BTreeSet<_> = walked.iter().collect();
    unless(walked.len() == 6 && distinct.len() == 6, || format!("{walked:?}"))
}

fn many_versions(ground: &Ground) -> Result<(), String> {
    let bucket = ground.bucket();
    ground.put_many(&bucket, 1003, |number| format!("many/{:03}", number % 500));
    let listed = ground.substrate.s3().list_versions(&bucket, "many/").map_err(|e| e.to_string())?;
    let count = listed.value.entries.len();
    unless(listed.value.complete && count == 1003, || format!("{count} of 1003"))?;
    let latest = listed.value.entries.iter().filter(|entry| entry.latest).count();
    unless(latest == 500, || format!("{latest} are latest, of 500 keys"))
}

fn delete_markers(ground: &Ground) -> Result<(), String> {
    let bucket = ground.bucket();
    let version = ground.put(&bucket, "k", "one").ok_or("no version id")?;
    let marker = ground.delete(&bucket, "k").ok_or("no version id")?;
    let s3 = ground.substrate.s3();
    let objects = s3.list_objects(&bucket, "", None).map_err(|e| e.to_string())?.value;
    unless(objects.entries.is_empty(), || "a deleted key is listed".to_owned())?;
    let listed = s3.list_versions(&bucket, "k").map_err(|e| e.to_string())?.value;
    let came: BTreeSet<_> =
        listed.entries.iter().map(|entry| (entry.version_id.as_str(), entry.delete_marker, entry.latest)).collect();
    let right = BTreeSet::from([(version.as_str(), false, false), (marker.as_str(), true, true)]);
    unless(came == right, || format!("{came:?}"))
}

fn odd_keys(ground: &Ground) -> Result<(), String> {
    let bucket = ground.bucket();
    let odd = [
        "evidence/runs/x/P(-1)/y.json",
        "with space/a b",
        "plus+sign",
        "percent%20sign",
        "per%cent",
        "amp&and<angle>\"quote\"'s",
        "ünï/日本語/🦀",
        "semi;colon:at@equals=comma,dollar$bang!star*tilde~",
        "hash#question?",
        "double//slash/",
        "back\\slash",
        " leading and trailing ",
        "brackets[1]{2}|^`",
    ];
    let s3 = ground.substrate.s3();
    for key in odd {
        let put = ground.put_absent(&bucket, key, key);
        unless(put.is_none(), || format!("put of `{key}`: {put:?}"))?;
        let again = ground.put_absent(&bucket, key, "again");
        unless(again.as_ref().is_some_and(|came| came.0 == 412), || format!("again `{key}`: {again:?}"))?;
        let got = s3.get_object(&bucket, key, None).map_err(|e| e.to_string())?.value;
        unless(got.bytes == key.as_bytes(), || format!("get of `{key}`"))?;
        let listed = s3.list_objects(&bucket, key, None).map_err(|e| e.to_string())?.value;
        unless(listed.entries.iter().any(|entry| entry.key == key), || format!("list of `{key}`: {listed:?}"))?;
        let versions = s3.list_versions(&bucket, key).map_err(|e| e.to_string())?.value;
        unless(versions.entries.iter().any(|entry| entry.key == key), || format!("versions of `{key}`"))?;
    }
    let all = s3.list_objects(&bucket, "", None).map_err(|e| e.to_string())?.value;
    let came: Vec<_> = all.entries.iter().map(|entry| entry.key.as_str()).collect();
    let mut right = odd.to_vec();
    right.sort_unstable();
    unless(came == right, || format!("{came:?}"))
}

fn wrong_secret(ground: &Ground) -> Result<(), String> {
    let bucket = ground.bucket();
    expect_refusal(
        ground.runtime.block_on(
            ground.s3_wrong_secret.get_object().bucket(bucket).key("k").checksum_mode(ChecksumMode::Enabled).send(),
        ),
        403,
        "SignatureDoesNotMatch",
    )
}

fn public_access(ground: &Ground) -> Result<(), String> {
    let bucket = ground.bucket();
    let s3 = &ground.s3;
    let asked = PublicAccessBlockConfiguration::builder()
        .block_public_acls(true)
        .ignore_public_acls(true)
        .block_public_policy(true)
        .restrict_public_buckets(false)
        .build();
    ground
        .runtime
        .block_on(s3.put_public_access_block().bucket(&bucket).public_access_block_configuration(asked.clone()).send())
        .map_err(|e| format!("{e:?}"))?;
    let came = ground
        .runtime
        .block_on(s3.get_public_access_block().bucket(&bucket).send())
        .map_err(|e| format!("{e:?}"))?
        .public_access_block_configuration;
    unless(came.as_ref() == Some(&asked), || format!("{came:?}"))
}

fn encryption(ground: &Ground) -> Result<(), String> {
    let bucket = ground.bucket();
    let came = ground
        .runtime
        .block_on(ground.s3.get_bucket_encryption().bucket(&bucket).send())
        .map_err(|e| format!("{e:?}"))?;
    let algorithm = came
        .server_side_encryption_configuration
        .and_then(|asked| asked.rules.into_iter().next())
        .and_then(|rule| rule.apply_server_side_encryption_by_default)
        .map(|rule| rule.sse_algorithm.as_str().to_owned());
    unless(algorithm.as_deref() == Some("AES256"), || format!("{algorithm:?}"))
}
