//! The one write: a put that the server refuses when the key exists.

use std::collections::BTreeMap;

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::ChecksumAlgorithm;

use super::reply::{CallError, Reply};
use super::s3::S3;

/// A put that the server has taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PutDone {
    /// The entity tag that the server gave, with its quotes.
    pub etag: Option<String>,
    /// The version that the put made, where the bucket keeps versions.
    pub version_id: Option<String>,
    /// The SHA-256 that the server has stored, in base64.
    pub sha256: Option<String>,
}

impl S3 {
    /// Puts `bytes` at `key` if nothing is there (`If-None-Match: *`), with their SHA-256, which
    /// the server compares.
    ///
    /// # Errors
    /// `PreconditionFailed` when the key exists; `Conflict` when another put of the key is under
    /// way; see [`super::reply::CallErrorKind`] for the others.
    pub(crate) fn put_if_absent(
        &self,
        bucket: &str,
        key: &str,
        bytes: &[u8],
        sha256_base64: &str,
        content_type: &str,
        metadata: &BTreeMap<String, String>,
    ) -> Result<Reply<PutDone>, CallError> {
        let call = self.link.call("s3api", "put-object", format!("s3://{bucket}/{key}"));
        let request = self
            .client
            .put_object()
            .bucket(bucket)
            .key(key)
            .if_none_match("*")
            .checksum_algorithm(ChecksumAlgorithm::Sha256)
            .checksum_sha256(sha256_base64)
            .content_type(content_type)
            .set_metadata(Some(metadata.clone().into_iter().collect()))
            .body(ByteStream::from(bytes.to_vec()))
            .customize();
        let reply = call.send(request.interceptor(call.probe()).send())?;
        Ok(call.reply(PutDone {
            etag: reply.value.e_tag,
            version_id: reply.value.version_id,
            sha256: reply.value.checksum_sha256,
        }))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use sha2::{Digest as _, Sha256};

    use crate::substrate::reply::{CallError, CallErrorKind, Reply};
    use crate::substrate::seed::{World, apply};
    use crate::substrate::{Options, PutDone, Substrate, SubstrateKind};

    const WORLD: &str = "account = \"230372904534\"\nregion = \"eu-west-2\"\n\
        instant = \"2026-02-10T12:00:00Z\"\n[[bucket]]\nname = \"evidence\"\nversioning = \"enabled\"\n";

    fn seeded(dir: Option<&std::path::Path>) -> Substrate {
        let literals = tempfile::tempdir().unwrap();
        std::fs::write(literals.path().join("world.toml"), WORLD).unwrap();
        let mut options = Options::new(SubstrateKind::Embedded, "eu-west-2");
        options.world_dir = dir.map(std::path::Path::to_owned);
        let substrate = Substrate::open(&options).unwrap();
        apply(&substrate, &World::read(literals.path()).unwrap()).unwrap();
        substrate
    }

    fn put(substrate: &Substrate, key: &str, text: &str) -> Result<Reply<PutDone>, CallError> {
        let sha256 = STANDARD.encode(Sha256::digest(text));
        let writer = BTreeMap::from([("writer".to_owned(), "w1".to_owned())]);
        let s3 = substrate.s3();
        s3.put_if_absent("evidence", key, text.as_bytes(), &sha256, "text/plain", &writer)
    }

    #[test]
    fn the_second_put_of_a_key_is_refused_and_changes_nothing() {
        let substrate = seeded(None);
        let done = put(&substrate, "run/a", "one").unwrap().value;
        assert_eq!(done.sha256, Some(STANDARD.encode(Sha256::digest("one"))));
        let error = put(&substrate, "run/a", "two").unwrap_err();
        assert_eq!((error.kind, error.attempts), (CallErrorKind::PreconditionFailed, 1));
        let there = substrate.s3().get_object("evidence", "run/a", None).unwrap().value;
        assert_eq!((there.bytes.as_slice(), &there.version_id), (b"one".as_slice(), &done.version_id));
        assert_eq!(there.metadata.get("writer").map(String::as_str), Some("w1"));
    }

    #[test]
    fn a_refused_put_leaves_no_trace_in_what_is_put_later() {
        // A put whose reply was lost is sent again and refused: the world must be the one that it would be without.
        let [refused, calm] = [seeded(None), seeded(None)];
        for substrate in [&refused, &calm] {
            put(substrate, "run/a", "one").unwrap();
        }
        put(&refused, "run/a", "one").unwrap_err();
        let later = [&refused, &calm].map(|substrate| put(substrate, "run/b", "two").unwrap().value);
        assert_eq!(later[0], later[1]);
        let times = [&refused, &calm].map(|substrate| substrate.world_time().unwrap());
        assert_eq!(times[0], times[1]);
    }

    #[test]
    fn a_wrong_sha256_is_refused() {
        let substrate = seeded(None);
        let wrong = STANDARD.encode(Sha256::digest("else"));
        let none = BTreeMap::new();
        let s3 = substrate.s3();
        let error = s3.put_if_absent("evidence", "run/a", b"one", &wrong, "text/plain", &none).unwrap_err();
        assert_eq!(error.kind, CallErrorKind::Refused, "{error}");
        assert_eq!(s3.list_versions("evidence", "").unwrap().value.entries, []);
    }

    #[test]
    fn one_of_eight_wins_across_two_holders_of_one_directory() {
        // Each holder opens the lock file anew for each change, as another process does.
        let dir = tempfile::tempdir().unwrap();
        let holders = [seeded(Some(dir.path())), seeded(Some(dir.path()))];
        for round in 0..20 {
            let won = Arc::new(AtomicUsize::new(0));
            std::thread::scope(|scope| {
                for racer in 0..8 {
                    let (holder, won) = (&holders[racer % 2], Arc::clone(&won));
                    scope.spawn(move || {
                        match put(holder, &format!("race/{round}"), &format!("racer {racer}")) {
                            Ok(_) => won.fetch_add(1, Ordering::SeqCst),
                            Err(error) => {
                                assert_eq!(error.kind, CallErrorKind::PreconditionFailed);
                                0
                            }
                        };
                    });
                }
            });
            assert_eq!(won.load(Ordering::SeqCst), 1, "round {round}");
        }
        let listed = holders[1].s3().list_versions("evidence", "race/").unwrap().value;
        assert_eq!(listed.entries.len(), 20);
    }
}
