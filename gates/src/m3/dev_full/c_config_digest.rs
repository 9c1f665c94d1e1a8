//! M3.C: the run's configuration as bytes that anyone can make again, and their digest.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use support::ensure;
use support::evidence::{canonical, digest};
use support::run::check::{AnyCheck, Check, Unmet};
use support::run::context::LaneRun;
use support::run::finding::Basis;
use support::run::lane::{Lane, Step, Stop};
use support::run::rows::{Output, RowOutput};

use super::b_run_identity::SEED;
use super::lane_files::{self, DoorCodes, LANE_FILES, LaneFiles};
use super::scenario;
use super::upstream::{self, DIGEST_SNAPSHOT};

const M3B_INPUTS: &str = "M3C-V1-M3B-INPUTS";
const HANDLE_CONTRACT: &str = "M3C-V2-HANDLE-CONTRACT";
const DURABLE_PUBLISH: &str = "M3C-V5-DURABLE-PUBLISH";

const PAYLOAD: &str = "m3c_run_config_payload.json";

const INCOMPLETE: &str = "M3C-B1";
const CONTRACT_CODE: &str = "M3C-B3";

/// The fields that the payload law asks for at the least.
const PAYLOAD_FIELDS: [&str; 7] = [
    "platform_run_id",
    "scenario_run_id",
    "oracle_input_manifest_uri",
    "oracle_input_manifest_sha256",
    "oracle_required_output_ids",
    "oracle_sort_key_by_output_id",
    "phase_id",
];

struct Codes;

impl DoorCodes for Codes {
    const PUT: Option<&'static str> = Some("M3C-B6");
    const SECRET: Option<&'static str> = Some("M3C-B5");
}

/// The payload, and its digest in two ways.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Digested {
    /// M3.B's seed as it stands in the store, or why it cannot be used.
    seed: Result<Value, String>,
    /// Whether the local copy of the seed says the same.
    local_agrees: Result<bool, String>,
    /// The payload that the run is pinned by, out of the seed.
    payload: Map<String, Value>,
    /// The modes and names as the registry has them now, read again from disk; or why one has no value.
    registry: BTreeMap<String, Result<String, String>>,
    /// What the digest covers, out of the registry read again.
    digest_input: Result<Value, String>,
    passes: Vec<Pass>,
}

/// One canonicalisation and its digest.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Pass {
    canonicaliser: String,
    sha256: Result<String, String>,
    /// SHA-256 of the payload in this form: serialisation may not drift.
    payload_sha256: Result<String, String>,
}

impl Digested {
    fn seed(&self) -> Result<&Value, Unmet> {
        self.seed.as_ref().map_err(|why| Unmet::blocked_by(INCOMPLETE, why.clone()))
    }

    fn seeded(&self, pointer: &str) -> Result<String, Unmet> {
        upstream::text(self.seed()?, pointer).map_err(|why| Unmet::from(format!("{SEED}: {why}")))
    }

    fn registry(&self, handle: &str) -> Result<&str, Unmet> {
        match self.registry.get(handle) {
            Some(Ok(value)) => Ok(value),
            Some(Err(why)) => Err(Unmet::from(why.clone())),
            None => Err(Unmet::from(format!("{handle} was not read"))),
        }
    }
}

static COMPLETE: Check<(RowOutput, Digested)> = Check::<(RowOutput, Digested)>::new(
    "payload.complete",
    INCOMPLETE,
    &[M3B_INPUTS, "digested"],
    |(row, digested)| {
        let there = row.runs.iter().all(|run| match &run.output {
            Output::Paths { paths } => !paths.is_empty() && paths.values().all(|there| *there),
            _ => false,
        });
        ensure!(there && !row.runs.is_empty(), "M3.B left no {SEED}");
        if let Err(why) = &digested.seed {
            return Err(Unmet::from(why.clone()));
        }
        match &digested.local_agrees {
            Ok(true) => {}
            Ok(false) => {
                return Err(
                    format!("{SEED} on disk, and in the store as s3api get-object gave it, are two documents").into()
                );
            }
            Err(why) => return Err(Unmet::from(why.clone())),
        }
        for field in PAYLOAD_FIELDS {
            let there = digested.payload.get(field).is_some_and(|value| match value {
                Value::Null => false,
                Value::String(text) => !text.trim().is_empty(),
                Value::Array(items) => !items.is_empty(),
                Value::Object(members) => !members.is_empty(),
                Value::Bool(_) | Value::Number(_) => true,
            });
            ensure!(there, "the payload has no `{field}`; {SEED} lacks it");
        }
        Ok(format!("{} fields, out of {SEED} read back from the store", PAYLOAD_FIELDS.len()))
    },
    |(_, digested)| {
        digested.payload.remove("platform_run_id");
    },
)
.next("run M3.B again; its seed is what the payload is made of");

static CANONICAL: Check<Digested> = Check::<Digested>::new(
    "payload.canonical",
    "M3C-B2",
    &["digested"],
    |digested| {
        let mode = digested.registry(scenario::CANONICALISATION)?;
        let known = scenario::known(scenario::CANONICALISATION);
        ensure!(mode == known, "{} is `{mode}`, and `{known}` is known", scenario::CANONICALISATION);
        let seeded = digested.seeded(&format!("/modes/{}", scenario::CANONICALISATION))?;
        ensure!(seeded == mode, "M3.B canonicalised by `{seeded}`, the registry now says `{mode}`");
        let Some((first, others)) = digested.passes.split_first() else {
            return Err("the payload was not canonicalised".into());
        };
        ensure!(!others.is_empty(), "the payload was canonicalised once only");
        for pass in others {
            ensure!(
                pass.payload_sha256.is_ok() && pass.payload_sha256 == first.payload_sha256,
                "the payload is {:?} by {}, and {:?} by {}",
                first.payload_sha256,
                first.canonicaliser,
                pass.payload_sha256,
                pass.canonicaliser
            );
        }
        Ok(format!("{mode}, as M3.B; the payload has the same bytes by {} canonicalisers", digested.passes.len()))
    },
    |digested| {
        if let Some(last) = digested.passes.last_mut() {
            last.payload_sha256 = Ok("0".repeat(64));
        }
    },
)
.next("pin the mode that M3.B used, or run M3.B again under the new one");

static DIGEST_CONTRACT: Check<(RowOutput, Digested)> = Check::<(RowOutput, Digested)>::new(
    "digest.contract",
    CONTRACT_CODE,
    &[HANDLE_CONTRACT, "digested"],
    |(row, digested)| {
        let Some(Output::Lines { missing, .. }) = row.runs.first().map(|run| &run.output) else {
            return Err("the registry was not searched for the digest's handles".into());
        };
        ensure!(missing.is_empty(), "the registry does not mention: {}", missing.join(", "));
        let algorithm = digested.registry(scenario::ALGORITHM)?;
        let known = scenario::known(scenario::ALGORITHM);
        ensure!(algorithm == known, "{} is `{algorithm}`, and `{known}` is known", scenario::ALGORITHM);
        let seeded = digested.seeded(&format!("/modes/{}", scenario::ALGORITHM))?;
        ensure!(seeded == algorithm, "M3.B hashed by `{seeded}`, the registry now says `{algorithm}`");
        let profile = digested.seeded("/seed_inputs/digest_profile")?;
        ensure!(
            profile == scenario::DIGEST_PROFILE,
            "{SEED} is of profile `{profile}`, not `{}`",
            scenario::DIGEST_PROFILE
        );
        let field = digested.registry(scenario::DIGEST_FIELD)?;
        digested.seeded(&format!("/seed_inputs/{field}"))?;
        Ok(format!("{algorithm} in the field `{field}`, profile {profile}"))
    },
    |(_, digested)| {
        digested.registry.insert(scenario::ALGORITHM.to_owned(), Ok("md5".to_owned()));
    },
)
.next("pin CONFIG_DIGEST_ALGO and CONFIG_DIGEST_FIELD as M3.B used them, or run M3.B again");

static REPRODUCED: Check<Digested> = Check::<Digested>::new(
    "digest.reproduced",
    "M3C-B4",
    &["digested"],
    |digested| {
        let field =
            digested.registry(scenario::DIGEST_FIELD).map_err(|why| Unmet::blocked_by(CONTRACT_CODE, why.why))?;
        let seed = digested.seed()?;
        let seeded = upstream::text(seed, &format!("/seed_inputs/{field}"))
            .map_err(|why| Unmet::blocked_by(CONTRACT_CODE, format!("{SEED}: {why}")))?;
        // Another algorithm gives another digest; that one is the cause.
        let algorithm =
            digested.registry(scenario::ALGORITHM).map_err(|why| Unmet::blocked_by(CONTRACT_CODE, why.why))?;
        if algorithm != scenario::known(scenario::ALGORITHM) {
            return Err(Unmet::blocked_by(CONTRACT_CODE, format!("hashed by `{algorithm}`")));
        }
        if let Err(why) = &digested.digest_input {
            return Err(format!("what the digest covers cannot be read again: {why}").into());
        }
        ensure!(digested.passes.len() >= 2, "the digest was computed once only");
        for pass in &digested.passes {
            let again = pass.sha256.as_ref().map_err(|why| Unmet::from(why.clone()))?;
            ensure!(
                *again == seeded,
                "M3.B recorded {seeded}; the registry, read again, gives {again} ({})",
                pass.canonicaliser
            );
        }
        Ok(format!(
            "{seeded}: out of the registry read again, by {} canonicalisers, as in the durable seed",
            digested.passes.len()
        ))
    },
    |digested| {
        if let Some(pass) = digested.passes.first_mut() {
            pass.sha256 = Ok("0".repeat(64));
        }
    },
)
.basis(Basis::Recomputed)
.next(
    "a digest-changing edit needs a new run id: run the gate again from M3.A; else take the edit of the registry back",
);

static NON_SECRET: Check<LaneFiles> =
    Check::<LaneFiles>::new("m3c.non_secret", "M3C-B5", &[LANE_FILES], lane_files::without_secrets, lane_files::leak)
        .next("take the secret out of the registry, and rotate it");

static PUBLISHED: Check<LaneFiles> =
    Check::<LaneFiles>::new("m3c.published", "M3C-B6", &[LANE_FILES], lane_files::published::<Codes>, lane_files::lose)
        .next(
            "read what S3 answered, make s3:PutObject and s3:GetObject work on the evidence bucket, run the gate again",
        );

static EVIDENCE: Check<LaneFiles> = Check::<LaneFiles>::new(
    "m3c.evidence_complete",
    "M3C-B7",
    &[LANE_FILES],
    lane_files::complete::<Codes>,
    lane_files::lose,
)
.next("do what the message says, then run the gate again");

/// The checks that the snapshot's `overall_pass` speaks of.
fn digest_checks() -> [&'static dyn AnyCheck; 4] {
    [&COMPLETE, &CANONICAL, &DIGEST_CONTRACT, &REPRODUCED]
}

/// The lane.
pub(super) fn lane() -> Lane {
    Lane::new("M3.C", execute)
        .after("M3.B")
        .publishes(publish)
        .proves("the payload is complete; its digest comes out of the registry, read again, as M3.B recorded it")
        .checks(digest_checks())
        .checks([&NON_SECRET as &dyn AnyCheck, &PUBLISHED, &EVIDENCE])
        .row(M3B_INPUTS, [COMPLETE.holds()])
        .row(HANDLE_CONTRACT, [CANONICAL.holds(), DIGEST_CONTRACT.holds()])
        .row("M3C-V3-CANONICAL-PAYLOAD-WRITE", [COMPLETE.holds(), EVIDENCE.holds()])
        .row("M3C-V4-DIGEST-RECOMPUTE", [REPRODUCED.holds()])
        .row(DURABLE_PUBLISH, [PUBLISHED.holds()])
        .requirement("payload-complete", [COMPLETE.holds()])
        .requirement("digest-reproducible", [CANONICAL.holds(), DIGEST_CONTRACT.holds(), REPRODUCED.holds()])
        .requirement("payload-secret-safe", [NON_SECRET.holds(), NON_SECRET.refusal()])
}

fn execute(run: &mut LaneRun<'_>) -> Step {
    run.row(M3B_INPUTS)?;
    run.row(HANDLE_CONTRACT)?;
    let digested = digest(run)?;
    run.observe("digested", "the durable seed and the registry, both read again", &digested)
}

fn digest(run: &mut LaneRun<'_>) -> Result<Digested, Stop> {
    let seed = durable_seed(run)?;
    let local = run.left_by("M3.B", SEED);
    let local_agrees = match (&seed, local) {
        (Ok(seed), Ok(local)) => Ok(*seed == local),
        (_, Err(why)) => Err(why),
        (Err(why), _) => Err(why.clone()),
    };
    let payload = payload_of(&seed);
    let again = run.read_handles_again();
    let handles = [scenario::ALGORITHM, scenario::DIGEST_FIELD, scenario::CANONICALISATION];
    let (registry, digest_input) = match &again {
        Ok(again) => (
            handles.iter().map(|handle| ((*handle).to_owned(), scenario::text(again, handle))).collect(),
            scenario::digest_input(again),
        ),
        Err(stop) => {
            let why = format!("the registry cannot be read again: {}", upstream::words(stop));
            (handles.iter().map(|handle| ((*handle).to_owned(), Err(why.clone()))).collect(), Err(why))
        }
    };
    let passes = vec![
        pass("rfc8785", &digest_input, &payload, |value| canonical::to_bytes(value).map_err(|e| e.to_string())),
        pass("json_sorted_keys_v1", &digest_input, &payload, |value| {
            canonical::sorted_keys_v1(value).map_err(|e| e.to_string())
        }),
    ];
    Ok(Digested { seed, local_agrees, payload, registry, digest_input, passes })
}

/// The seed as it stands in the store. What is not there or no JSON is a finding; a call without an answer stops.
fn durable_seed(run: &mut LaneRun<'_>) -> Result<Result<Value, String>, Stop> {
    let bucket = run.evidence_bucket()?;
    let key = run.control_key_of("M3.B", SEED)?;
    if !run.exists("digested", &bucket, &key)? {
        return Ok(Err(format!("s3://{bucket}/{key} does not exist")));
    }
    let call = format!("aws s3api get-object --bucket {bucket} --key '{key}' /dev/stdout");
    match run.world()?.objects.get_object(&bucket, &key, None) {
        Ok(reply) => {
            Ok(serde_json::from_slice(&reply.value.bytes).map_err(|e| format!("s3://{bucket}/{key} is no JSON: {e}")))
        }
        Err(error) => Err(run.unanswered("digested", &call, error)),
    }
}

fn payload_of(seed: &Result<Value, String>) -> Map<String, Value> {
    let mut payload = Map::new();
    if let Ok(seed) = seed {
        for field in PAYLOAD_FIELDS {
            let value = seed.get(field).or_else(|| seed.pointer(&format!("/seed_inputs/{field}")));
            if let Some(value) = value {
                payload.insert(field.to_owned(), value.clone());
            }
        }
    }
    payload
}

fn pass(
    canonicaliser: &str,
    digest_input: &Result<Value, String>,
    payload: &Map<String, Value>,
    bytes: impl Fn(&Value) -> Result<Vec<u8>, String>,
) -> Pass {
    let sha256 = |value: &Value| bytes(value).map(|bytes| digest::sha256_hex(&bytes));
    Pass {
        canonicaliser: canonicaliser.to_owned(),
        sha256: digest_input.as_ref().map_err(Clone::clone).and_then(&sha256),
        payload_sha256: sha256(&Value::Object(payload.clone())),
    }
}

fn publish(run: &mut LaneRun<'_>) -> Step {
    let digested: Digested = run.fact("digested")?;
    let checks = digest_checks();
    let field = digested.registry(scenario::DIGEST_FIELD).map_or("-", |field| field).to_owned();
    let of = |pointer: &str| digested.seeded(pointer).unwrap_or_else(|_| "-".to_owned());
    let mode = |handle: &str| digested.registry(handle).map_or("-", |value| value).to_owned();
    let config_digest = of(&format!("/seed_inputs/{field}"));
    let recomputed = digested.passes.last().and_then(|pass| pass.sha256.clone().ok()).unwrap_or_else(|| "-".to_owned());
    let snapshot = json!({
        "execution_id": run.own_execution_id(),
        "written_at_utc": run.instant().rfc3339(),
        "platform_run_id": of("/platform_run_id"),
        "scenario_run_id": of("/scenario_run_id"),
        "phase_id": of("/phase_id"),
        "canonicalization_mode": mode(scenario::CANONICALISATION),
        "digest_algo": mode(scenario::ALGORITHM),
        "digest_field": field,
        "digest_profile": scenario::DIGEST_PROFILE,
        "config_digest": config_digest,
        "recompute_digest": recomputed,
        "digest_match": run.met(&[&REPRODUCED]),
        "overall_pass": run.met(&checks),
    });
    let mut payload = digested.payload.clone();
    payload.insert("digest_input_payload".to_owned(), digested.digest_input.clone().unwrap_or(Value::Null));
    let receipts = json!({ "execution_id": run.own_execution_id(), "passes": digested.passes });
    let mut files = LaneFiles::planned(run, "M3.C");
    files.leave_by_row(run, DURABLE_PUBLISH, PAYLOAD, Value::Object(payload))?;
    files.leave_by_row(run, DURABLE_PUBLISH, DIGEST_SNAPSHOT, snapshot)?;
    files.leave_by_row(run, DURABLE_PUBLISH, "m3c_digest_recompute_receipts.json", receipts)?;
    let mut all: Vec<&'static dyn AnyCheck> = checks.to_vec();
    all.extend([&NON_SECRET as &dyn AnyCheck, &PUBLISHED]);
    let summary = lane_files::execution_summary(run, "M3.C", &all, json!({ "config_digest": config_digest }));
    files.leave_by_row(run, DURABLE_PUBLISH, "m3c_execution_summary.json", summary)
}
