//! The run's two objects as they stand in the store, read back.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use support::ensure;
use support::evidence::digest;
use support::run::check::{Check, Judged, Unmet};
use support::run::context::LaneRun;
use support::run::finding::Basis;
use support::run::lane::{Step, Stop};
use support::run::publication::Publication;
use support::run::rows::{Output, RowOutput, RowRun};

use super::READBACK_ROW;
use super::keys::{KEYS, NO_KEYS, RUN_HEADER, RUN_JSON, RunKeys};
use super::put::{DIFFERS, RunObjects, code_of, object};
use crate::m3::dev_full::upstream::Identity;

/// What the row read back at a key.
fn read_at<'r>(row: &'r RowOutput, key: &str) -> Option<&'r Output> {
    let asked = |run: &&RowRun| run.bindings.get("resolved_key").is_some_and(|asked| asked == key);
    row.runs.iter().find(asked).map(|run| &run.output)
}

/// The digest of what the row read back at a key.
pub(super) fn read_back_sha256<'r>(row: &'r RowOutput, key: &str) -> Option<&'r str> {
    match read_at(row, key) {
        Some(Output::Object { sha256, .. }) => Some(sha256),
        _ => None,
    }
}

/// One object, as it was read back by its row.
fn read_back((objects, row, keys): &(RunObjects, RowOutput, RunKeys), name: &str) -> Judged {
    let receipt = match object(objects, name)? {
        Publication::Published { receipt, .. } => receipt,
        Publication::Stopped { step, why } => {
            return Err(match code_of(*step) {
                DIFFERS => Unmet::from(why.clone()),
                other => Unmet::blocked_by(other, why.clone()),
            });
        }
    };
    let key = keys.of(name).ok_or_else(|| Unmet::blocked_by(NO_KEYS, format!("{name} has no key")))?;
    match read_at(row, key) {
        Some(Output::Object { uri, sha256, bytes }) => {
            let (put, length) = (&receipt.sha256_local, receipt.bytes);
            ensure!(sha256 == put, "{uri} reads back as SHA-256 {sha256}, put as {put}");
            ensure!(*bytes as u64 == length, "{uri} reads back with {bytes} byte(s), put with {length}");
            Ok(format!("{uri} reads back as it was put, SHA-256 {sha256}"))
        }
        Some(Output::Absent { what }) => Err(format!("{what} was put, and is not there").into()),
        _ => Err(format!("{key} was not read back").into()),
    }
}

fn spoil_read_back((_, row, _): &mut (RunObjects, RowOutput, RunKeys)) {
    for run in &mut row.runs {
        if let Output::Object { sha256, .. } = &mut run.output {
            *sha256 = "0".repeat(64);
        }
    }
}

const READ_BACK_NEXT: &str = "do not trust this object: find out who writes below the run, make s3:GetObject work; then run the gate again, under a new run id";

pub(super) static RUN_JSON_READ_BACK: Check<(RunObjects, RowOutput, RunKeys)> =
    Check::<(RunObjects, RowOutput, RunKeys)>::new(
        "run_json.read_back",
        DIFFERS,
        &["run_objects", READBACK_ROW, "run_keys"],
        |facts| read_back(facts, RUN_JSON),
        spoil_read_back,
    )
    .next(READ_BACK_NEXT);

pub(super) static RUN_HEADER_READ_BACK: Check<(RunObjects, RowOutput, RunKeys)> =
    Check::<(RunObjects, RowOutput, RunKeys)>::new(
        "run_header.read_back",
        DIFFERS,
        &["run_objects", READBACK_ROW, "run_keys"],
        |facts| read_back(facts, RUN_HEADER),
        spoil_read_back,
    )
    .next(READ_BACK_NEXT);

/// One object by head and by its versions, beside what was put.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Standing {
    pub key: String,
    pub put_bytes: u64,
    pub put_sha256: String,
    pub head_bytes: u64,
    /// SHA-256 that the store keeps, in hex; none where it keeps none.
    pub head_sha256: Option<String>,
    pub etag: Option<String>,
    pub complete: bool,
    pub versions: usize,
    pub delete_markers: usize,
}

pub(super) static STANDING: Check<BTreeMap<String, Standing>> = Check::<BTreeMap<String, Standing>>::new(
    "run_objects.standing",
    DIFFERS,
    &["standing"],
    |standing| {
        for (name, _) in KEYS {
            let object = standing.get(name).ok_or_else(|| Unmet::from(format!("{name} was not looked at by head")))?;
            let Standing { key, put_bytes, put_sha256, head_bytes, .. } = object;
            ensure!(head_bytes == put_bytes, "{key}: head says {head_bytes} byte(s), {put_bytes} were put");
            if let Some(kept) = &object.head_sha256 {
                ensure!(kept == put_sha256, "{key}: the store keeps SHA-256 {kept}, put was {put_sha256}");
            }
            ensure!(object.complete, "the list of versions of {key} is not complete");
            let (versions, markers) = (object.versions, object.delete_markers);
            ensure!(versions == 1 && markers == 0, "{key} has {versions} version(s) and {markers} delete marker(s)");
        }
        Ok("both by head, of the length and digest that were put, one version each".to_owned())
    },
    |standing| standing.values_mut().for_each(|object| object.versions = 2),
)
.next("look at both keys with `aws s3api list-object-versions`; something else writes under this run's prefix");

/// An object as it was read once more to be parsed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Artifact {
    uri: String,
    /// Of the bytes that came.
    sha256: String,
    /// What they say, or why they are no JSON.
    document: Result<Value, String>,
}

/// The two objects.
pub(super) type Artifacts = BTreeMap<String, Artifact>;

pub(super) static CONSISTENT: Check<(Artifacts, Identity, RunObjects)> =
    Check::<(Artifacts, Identity, RunObjects)>::new(
        "run_objects.consistent",
        "M3E-B6",
        &["artifacts", "accepted_identity", "run_objects"],
        |(artifacts, accepted, objects)| {
            for (name, _) in KEYS {
                let Artifact { uri, sha256, document } =
                    artifacts.get(name).ok_or_else(|| Unmet::from(format!("{name} was not read back")))?;
                // Another object may carry the same identity: what is parsed must be what was put.
                if let Some(Publication::Published { receipt, .. }) = objects.get(name) {
                    let put = &receipt.sha256_local;
                    ensure!(
                        sha256 == put,
                        "s3api get-object of {uri} gave bytes of SHA-256 {sha256}, and {put} were put"
                    );
                }
                let artifact = document.as_ref().map_err(|why| Unmet::from(format!("{uri} is no JSON: {why}")))?;
                let says = Identity::in_snapshot(artifact).map_err(|why| Unmet::from(format!("{name}: {why}")))?;
                ensure!(says == *accepted, "{name} says {says:?}, the lanes before left {accepted:?}");
            }
            Ok(format!("{RUN_JSON} and {RUN_HEADER} carry the same identity and digest, those of M3.B and M3.C"))
        },
        |(artifacts, ..)| {
            if let Some(Artifact { document: Ok(Value::Object(header)), .. }) = artifacts.get_mut(RUN_HEADER) {
                header.insert("scenario_run_id".to_owned(), json!("scenario_0"));
            }
        },
    )
    .basis(Basis::Recomputed)
    .next("do not trust these objects: find out who writes below the run; then run the gate again, under a new run id");

/// Reads back by the row what may stand in the store.
pub(super) fn read_again(run: &mut LaneRun<'_>, keys: &RunKeys, objects: &RunObjects) -> Step {
    let bucket = run.evidence_bucket()?;
    let stands = |publication: &Publication| match publication {
        Publication::Published { .. } => true,
        Publication::Stopped { step, .. } => code_of(*step) == DIFFERS,
    };
    let each: Vec<Vec<(&str, &str)>> = objects
        .iter()
        .filter(|(_, publication)| stands(publication))
        .filter_map(|(name, _)| Some(vec![("elision_1", bucket.as_str()), ("resolved_key", keys.of(name)?)]))
        .collect();
    if each.is_empty() {
        return Ok(());
    }
    run.row_each_with(READBACK_ROW, &each).map(drop)
}

/// Both objects by head and by versions.
pub(super) fn look_at(run: &mut LaneRun<'_>, keys: &RunKeys, objects: &RunObjects) -> Step {
    let bucket = run.evidence_bucket()?;
    let mut standing: BTreeMap<String, Standing> = BTreeMap::new();
    for (name, publication) in objects {
        let (Some(key), Publication::Published { receipt, .. }) = (keys.of(name), publication) else { continue };
        let store = &run.world()?.objects;
        let replies = store.head_object(&bucket, key).and_then(|head| Ok((head, store.list_versions(&bucket, key)?)));
        let (head, versions) = match replies {
            Ok((head, versions)) => (head.value, versions.value),
            Err(error) => {
                let call = format!("aws s3api head-object --bucket {bucket} --key '{key}'");
                return Err(run.unanswered("standing", &call, error));
            }
        };
        let kept = head.sha256_base64.as_deref().map(digest::hex_of_base64).transpose();
        let own = || versions.entries.iter().filter(|version| version.key == key);
        standing.insert(
            name.clone(),
            Standing {
                key: key.to_owned(),
                put_bytes: receipt.bytes,
                put_sha256: receipt.sha256_local.clone(),
                head_bytes: head.size,
                head_sha256: kept.map_err(|e| Stop::Fault(e.to_string()))?,
                etag: head.etag,
                complete: versions.complete,
                versions: own().filter(|version| !version.delete_marker).count(),
                delete_markers: own().filter(|version| version.delete_marker).count(),
            },
        );
    }
    run.observe("standing", "s3api head-object and list-object-versions of both keys", &standing)
}

/// Both objects once more, as documents.
pub(super) fn parse(run: &mut LaneRun<'_>, keys: &RunKeys) -> Step {
    let bucket = run.evidence_bucket()?;
    let mut artifacts = Artifacts::new();
    for (name, key) in KEYS.iter().filter_map(|(name, _)| Some((*name, keys.of(name)?))) {
        let artifact = match run.world()?.objects.get_object(&bucket, key, None) {
            Ok(reply) => Artifact {
                uri: format!("s3://{bucket}/{key}"),
                sha256: digest::sha256_hex(&reply.value.bytes),
                document: serde_json::from_slice(&reply.value.bytes).map_err(|e| e.to_string()),
            },
            Err(error) => {
                let call = format!("aws s3api get-object --bucket {bucket} --key '{key}' /dev/stdout");
                return Err(run.unanswered("artifacts", &call, error));
            }
        };
        artifacts.insert(name.to_owned(), artifact);
    }
    run.observe("artifacts", "s3api get-object of both keys", &artifacts)
}
