//! M3.D: `run.json` and `run_started.json`, put once, read back, and verified in the store.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use support::ensure;
use support::evidence::{PublishStep, Receipt, canonical, digest};
use support::run::check::{AnyCheck, Check, Judged, Proof, Unmet};
use support::run::context::{File, LaneRun, To};
use support::run::finding::Basis;
use support::run::lane::{Lane, Step, Stop};
use support::run::publication::{Publication, durable, non_secret};

use super::b_run_identity::{self, RunIdentity};
use super::c_config_digest::{self, ConfigPayload};
use super::run_header::{ReadBack, Verified, VerifiedObjects, digested};

pub(super) const RUN_JSON: &str = "run.json";
pub(super) const RUN_STARTED: &str = "run_started.json";

/// The two objects of a run: after the first refusal for one, the other is not put.
const RUN_OBJECTS: &str = "run_objects";

/// What a refused conditional put on a run's key means: another gate has this run id.
const COLLISION: &str = "M3-B2";

/// What to do where the run's key is taken.
const ANOTHER_RUN: &str = "run the gate anew, `cargo test --test m3 -- dev_min` without PHASEGATE_RESUME: a pinned run is never written twice, and a new execution has another run id";

static FIRST_WRITER: Check<Publication> =
    Check::<Publication>::new("run_json.first_writer", COLLISION, &["publish:run.json"], first_writer, taken)
        .next(ANOTHER_RUN);

static STARTED_FIRST_WRITER: Check<Publication> = Check::<Publication>::new(
    "run_started.first_writer",
    COLLISION,
    &["publish:run_started.json"],
    first_writer,
    taken,
)
.next(ANOTHER_RUN);

fn first_writer(published: &Publication) -> Judged {
    match published {
        Publication::Stopped { step: PublishStep::Exists, why } => Err(Unmet::from(why.clone())),
        Publication::Stopped { .. } => Ok("no other writer was met".to_owned()),
        Publication::Published { receipt, .. } => Ok(format!("{} was not there before", receipt.name)),
    }
}

fn taken(published: &mut Publication) {
    *published = Publication::Stopped { step: PublishStep::Exists, why: "doctored: the key exists".to_owned() };
}

static RUN_JSON_DURABLE: Check<Publication> =
    durable("run_json.durable", "M3-B4", &["publish:run.json"], run_object_is_durable).next(
        "read what S3 answered, make s3:PutObject and s3:GetObject work on the evidence bucket, run the gate again",
    );

static RUN_STARTED_DURABLE: Check<Publication> =
    durable("run_started.durable", "M3-B4", &["publish:run_started.json"], run_object_is_durable).next(
        "read what S3 answered, make s3:PutObject and s3:GetObject work on the evidence bucket, run the gate again",
    );

fn run_object_is_durable(published: &Publication) -> Judged {
    match published {
        Publication::Stopped { step: PublishStep::Exists, why } => Err(Unmet::blocked_by(COLLISION, why)),
        other => other.durable(Some("M3-B6")),
    }
}

static RUN_JSON_NON_SECRET: Check<Publication> = non_secret("run_json.non_secret", "M3-B6", &["publish:run.json"])
    .next("take the secret out of the registry, the handoff or M1's provenance, and rotate it");

static RUN_STARTED_NON_SECRET: Check<Publication> =
    non_secret("run_started.non_secret", "M3-B6", &["publish:run_started.json"])
        .next("take the secret out of the registry, the handoff or M1's provenance, and rotate it");

static VERIFIED: Check<VerifiedObjects> = Check::<VerifiedObjects>::new(
    "run_objects.verified",
    "M3-B4",
    &["verified_objects"],
    |objects| {
        for name in [RUN_JSON, RUN_STARTED] {
            let Some(object) = objects.get(name) else {
                return Err(Unmet::from(format!("{name} was not looked up")));
            };
            ensure!(object.listed, "{} is not in the list of its prefix", object.key);
            ensure!(
                object.head_bytes == Some(object.put_bytes),
                "{}: head says {:?} bytes, {} were put",
                object.key,
                object.head_bytes,
                object.put_bytes
            );
            if let Some(kept) = &object.head_sha256 {
                ensure!(
                    *kept == object.put_sha256,
                    "{}: the store keeps SHA-256 {kept}, put was {}",
                    object.key,
                    object.put_sha256
                );
            }
            ensure!(
                object.versions == 1 && object.delete_markers == 0,
                "{} has {} version(s) and {} delete marker(s)",
                object.key,
                object.versions,
                object.delete_markers
            );
        }
        Ok("both objects by head and by list, one version each".to_owned())
    },
    |objects| objects.values_mut().for_each(|object| object.listed = false),
)
.next("look at both keys with `aws s3api list-object-versions`; something else writes under this run's prefix");

static RUN_JSON_COMPLETE: Check<(ReadBack, ConfigPayload)> = Check::<(ReadBack, ConfigPayload)>::new(
    "run_json.complete",
    "M3-B4",
    &["run_json", "M3.C/config_payload"],
    |(read, payload)| {
        let names = &payload.names;
        for field in [
            &names.platform_run_id,
            &names.written_at_utc,
            &names.config_digest,
            &names.image_tag,
            &names.image_digest,
            &names.git_sha,
        ] {
            ensure!(read.text(field).is_some_and(|t| !t.is_empty()), "{} has no `{field}`", read.uri);
        }
        ensure!(
            read.text("env").is_some() && read.text("phase_id") == Some("P1"),
            "{} lacks env or phase_id P1",
            read.uri
        );
        ensure!(read.body.get("handles").is_some_and(Value::is_object), "{} lacks the handle references", read.uri);
        Ok(format!("{} read back with identity, digest, image and handle references", read.uri))
    },
    |(read, _)| read.body = json!({}),
)
.next("report it as a defect of phasegate, with the execution's folder");

static RUN_JSON_IDENTITY: Check<(ReadBack, RunIdentity, ConfigPayload)> =
    Check::<(ReadBack, RunIdentity, ConfigPayload)>::new(
        "run_json.identity",
        "M3-B4",
        &["run_json", "M3.B/run_identity", "M3.C/config_payload"],
        |(read, identity, payload)| {
            let says = read.text(&payload.names.platform_run_id).unwrap_or("-");
            ensure!(
                says == identity.platform_run_id,
                "{} is of {says}, M3.B accepted {}",
                read.uri,
                identity.platform_run_id
            );
            Ok(format!("{} names {says}, the id that M3.B accepted", read.uri))
        },
        |(read, _, payload)| {
            if let Some(body) = read.body.as_object_mut() {
                body.insert(payload.names.platform_run_id.clone(), json!("platform_19700101T000000Z"));
            }
        },
    )
    .next("look for a second writer under this run's prefix");

static RUN_JSON_DIGEST: Check<DigestReadBack> = Check::<DigestReadBack>::new(
    "run_json.digest_holds",
    "M3-B3",
    &["digest_of_read_back"],
    |digest| {
        let DigestReadBack { uri, says, recomputed } = digest;
        ensure!(says == recomputed, "{uri} says {says}, its own bytes give {recomputed}");
        Ok(format!("the digest of the bytes read back is {recomputed}, as {uri} says"))
    },
    |digest| digest.recomputed = "0".repeat(64),
)
.basis(Basis::Recomputed)
.next("look for a second writer under this run's prefix");

/// The digest that `run.json` bears as it was read back, and the digest of what it covers.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct DigestReadBack {
    uri: String,
    says: String,
    recomputed: String,
}

/// The lane.
pub(super) fn lane() -> Lane {
    Lane::new("M3.D", execute)
        .pins_the_run()
        .after("M3.C")
        .proves("run.json and run_started.json put once, read back equal, one version each; the digest holds over the bytes read back")
        .checks([
            &FIRST_WRITER as &dyn AnyCheck,
            &RUN_JSON_NON_SECRET,
            &RUN_JSON_DURABLE,
            &STARTED_FIRST_WRITER,
            &RUN_STARTED_NON_SECRET,
            &RUN_STARTED_DURABLE,
            &VERIFIED,
            &RUN_JSON_COMPLETE,
            &RUN_JSON_IDENTITY,
            &RUN_JSON_DIGEST,
        ])
        .requirement("run-objects-durable", [FIRST_WRITER.holds(), STARTED_FIRST_WRITER.holds(), RUN_JSON_DURABLE.holds(), RUN_STARTED_DURABLE.holds()])
        .requirement("run-objects-verified", [VERIFIED.holds(), RUN_JSON_COMPLETE.holds(), RUN_JSON_DIGEST.holds()])
        .requirement("run-json-identity", [RUN_JSON_IDENTITY.holds()])
}

/// `run_json_durable`.
pub(super) fn run_json_durable() -> Vec<Proof> {
    vec![
        RUN_JSON_DURABLE.holds(),
        RUN_STARTED_DURABLE.holds(),
        VERIFIED.holds(),
        RUN_JSON_IDENTITY.holds(),
        RUN_JSON_DIGEST.holds(),
    ]
}

fn execute(run: &mut LaneRun<'_>) -> Step {
    let identity = b_run_identity::accepted(run)?;
    let payload = c_config_digest::accepted(run)?;
    let run_json_key = run_key(run, RUN_JSON, &identity.platform_run_id)?;
    let started_key = run_key(run, RUN_STARTED, &identity.platform_run_id)?;
    let header = run_json(run, &payload);
    let started = run_started(run, &payload, &identity, &run_json_key);
    let required = [
        payload.names.platform_run_id.as_str(),
        payload.names.written_at_utc.as_str(),
        payload.names.config_digest.as_str(),
        payload.names.image_tag.as_str(),
        payload.names.image_digest.as_str(),
        payload.names.git_sha.as_str(),
        "env",
    ];
    let put_header = publish(run, RUN_JSON, header, &required, run_json_key.clone())?;
    let put_started = publish(run, RUN_STARTED, started, &required[..2], started_key.clone())?;
    let read = read_back(run, "run_json", &run_json_key)?;
    let again = DigestReadBack {
        uri: read.uri.clone(),
        says: read.text(&payload.names.config_digest).unwrap_or("-").to_owned(),
        recomputed: digest_of(&digested(&read.body, &payload.names))?,
    };
    run.observe("digest_of_read_back", "run.json read back, by the other canonicaliser", &again)?;
    run.observe("run_json", &format!("s3api get-object of {}", read.uri), &read)?;
    let mut verified = VerifiedObjects::new();
    for (name, key, receipt) in [(RUN_JSON, run_json_key, put_header), (RUN_STARTED, started_key, put_started)] {
        verified.insert(name.to_owned(), verify(run, &key, &receipt)?);
    }
    run.observe(
        "verified_objects",
        "s3api head-object, list-objects-v2 and list-object-versions of both keys",
        &verified,
    )
}

/// By the other canonicaliser than the one that made the digest (law 4).
fn digest_of(covered: &Value) -> Result<String, Stop> {
    canonical::sorted_keys_v1(covered).map(|bytes| digest::sha256_hex(&bytes)).map_err(|e| Stop::Fault(e.to_string()))
}

/// The key of a run object: `run.json` by its own handle, others beside it.
fn run_key(run: &LaneRun<'_>, name: &str, platform_run_id: &str) -> Result<String, Stop> {
    let tokens = [("platform_run_id", platform_run_id)];
    if name == RUN_JSON {
        let pattern = run.text("EVIDENCE_RUN_JSON_KEY")?;
        return run.fill(&pattern, &tokens);
    }
    let root = run.text("S3_EVIDENCE_RUN_ROOT_PATTERN")?;
    Ok(format!("{}{name}", run.fill(&root, &tokens)?))
}

fn run_json(run: &LaneRun<'_>, payload: &ConfigPayload) -> Value {
    let mut body: Map<String, Value> = payload.covered.as_object().cloned().unwrap_or_else(Map::new);
    body.insert(payload.names.config_digest.clone(), json!(payload.config_digest));
    body.insert(payload.names.written_at_utc.clone(), json!(run.instant().rfc3339()));
    Value::Object(body)
}

fn run_started(run: &LaneRun<'_>, payload: &ConfigPayload, identity: &RunIdentity, run_json_key: &str) -> Value {
    let mut body = Map::new();
    body.insert(payload.names.platform_run_id.clone(), json!(identity.platform_run_id));
    body.insert(payload.names.written_at_utc.clone(), json!(run.instant().rfc3339()));
    body.insert("phase_id".to_owned(), json!("P1"));
    body.insert("m3_execution_id".to_owned(), json!(run.phase_execution_id()));
    body.insert(payload.names.config_digest.clone(), json!(payload.config_digest));
    body.insert("run_json_key".to_owned(), json!(run_json_key));
    Value::Object(body)
}

fn publish(run: &mut LaneRun<'_>, name: &str, body: Value, fields: &[&str], key: String) -> Result<Receipt, Stop> {
    let documented = run.documented_path(&format!("runs/dev_substrate/m3/<timestamp>/{name}"));
    run.publish(File {
        name,
        body,
        minimum_fields: fields,
        to: To::Key { key, group: RUN_OBJECTS },
        documented: Some(documented),
    })
}

/// An object of the evidence bucket, read back and parsed.
pub(super) fn read_back(run: &mut LaneRun<'_>, name: &str, key: &str) -> Result<ReadBack, Stop> {
    let bucket = run.evidence_bucket()?;
    let body = run.get_json(name, &bucket, key)?;
    Ok(ReadBack { uri: format!("s3://{bucket}/{key}"), body })
}

fn verify(run: &mut LaneRun<'_>, key: &str, receipt: &Receipt) -> Result<Verified, Stop> {
    let bucket = run.evidence_bucket()?;
    let objects = &run.world()?.objects;
    let replies = objects.head_object(&bucket, key).and_then(|head| {
        let listing = objects.list_objects(&bucket, key, None)?;
        let versions = objects.list_versions(&bucket, key)?;
        Ok((head.value, listing.value, versions.value))
    });
    let (head, listing, versions) = match replies {
        Ok(replies) => replies,
        Err(error) => {
            let call = format!("aws s3api head-object --bucket {bucket} --key '{key}'");
            return Err(run.unanswered("verified_objects", &call, error));
        }
    };
    let own = || versions.entries.iter().filter(|v| v.key == key);
    Ok(Verified {
        key: key.to_owned(),
        put_sha256: receipt.sha256_local.clone(),
        put_bytes: receipt.bytes,
        head_sha256: head
            .sha256_base64
            .as_deref()
            .map(digest::hex_of_base64)
            .transpose()
            .map_err(|e| Stop::Fault(e.to_string()))?,
        head_bytes: Some(head.size),
        listed: listing.complete && listing.entries.iter().any(|o| o.key == key),
        versions: own().filter(|v| !v.delete_marker).count(),
        delete_markers: own().filter(|v| v.delete_marker).count(),
    })
}
