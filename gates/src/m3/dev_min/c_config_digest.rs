//! M3.C: the run's configuration as bytes that anyone can make again, and their digest.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use support::ensure;
use support::evidence::{canonical, digest};
use support::registry::Handles;
use support::run::check::{AnyCheck, Check, Proof};
use support::run::context::LaneRun;
use support::run::finding::Basis;
use support::run::lane::{Lane, Step, Stop};
use support::secrets;

use super::run_header::FieldNames;
use super::scenario;
use super::{a_handle_closure, b_run_identity};

/// The substrate handles that the payload refers to (runbook P1.3 and P1.4), by group.
const SUBSTRATE: [(&str, &[&str]); 4] = [
    ("buckets", &["S3_ORACLE_BUCKET", "S3_ARCHIVE_BUCKET", "S3_QUARANTINE_BUCKET", "S3_EVIDENCE_BUCKET"]),
    (
        "prefix_patterns",
        &[
            "S3_EVIDENCE_RUN_ROOT_PATTERN",
            "S3_ORACLE_RUN_PREFIX_PATTERN",
            "S3_ARCHIVE_RUN_PREFIX_PATTERN",
            "S3_QUARANTINE_RUN_PREFIX_PATTERN",
        ],
    ),
    (
        "topics",
        &[
            "FP_BUS_CONTROL_V1",
            "FP_BUS_TRAFFIC_FRAUD_V1",
            "FP_BUS_CONTEXT_ARRIVAL_EVENTS_V1",
            "FP_BUS_CONTEXT_ARRIVAL_ENTITIES_V1",
            "FP_BUS_CONTEXT_FLOW_ANCHOR_FRAUD_V1",
            "FP_BUS_RTDL_V1",
            "FP_BUS_AUDIT_V1",
            "FP_BUS_CASE_TRIGGERS_V1",
            "FP_BUS_LABELS_EVENTS_V1",
        ],
    ),
    ("database", &["DB_NAME", "RDS_INSTANCE_ID", "RDS_ENDPOINT"]),
];

/// The payload without its digest, and how it was hashed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct ConfigPayload {
    pub names: FieldNames,
    pub algorithm: String,
    pub modes: BTreeMap<String, String>,
    /// Assembled from the handles; what the digest covers.
    pub covered: Value,
    /// Handles that the payload refers to and that have no value, with the reason.
    pub unresolved: BTreeMap<String, String>,
    pub config_digest: String,
    /// Assembled again from the registry and the handoff, both read again from disk, and hashed by
    /// the other canonicaliser; or why that could not be done.
    pub recomputed: Result<String, String>,
}

static ALGORITHM: Check<ConfigPayload> = Check::<ConfigPayload>::new(
    "digest.known_algorithm",
    "M3-B3",
    &["config_payload"],
    |payload| {
        ensure!(
            payload.algorithm == scenario::KNOWN_DIGEST,
            "CONFIG_DIGEST_ALGO is `{}`, and `{}` is known",
            payload.algorithm,
            scenario::KNOWN_DIGEST
        );
        for (handle, mode) in &payload.modes {
            let known = match handle.as_str() {
                scenario::DERIVATION_MODE => scenario::KNOWN_DERIVATION,
                _ => scenario::KNOWN_CANONICALISATION,
            };
            ensure!(mode == known, "{handle} is `{mode}`, and `{known}` is known");
        }
        Ok(format!("{} over canonical JSON, all modes known", payload.algorithm))
    },
    |payload| payload.algorithm = "md5".to_owned(),
)
.next("pin an algorithm and modes that this version knows; an unknown one is never replaced by a default");

static REPRODUCIBLE: Check<ConfigPayload> = Check::<ConfigPayload>::new(
    "digest.reproducible",
    "M3-B3",
    &["config_payload"],
    |payload| {
        let again = match &payload.recomputed {
            Ok(again) => again,
            Err(why) => return Err(format!("the payload cannot be made again: {why}").into()),
        };
        ensure!(
            payload.config_digest == *again,
            "first {}, then {again} from the registry and the handoff read again",
            payload.config_digest
        );
        Ok(format!("{} = {}, computed twice in two ways", payload.names.config_digest, payload.config_digest))
    },
    |payload| payload.recomputed = Ok("0".repeat(64)),
)
.basis(Basis::Recomputed)
.next("see whether the registry or the handoff changed while the gate ran; run it again on a quiet checkout");

static COMPLETE: Check<ConfigPayload> = Check::<ConfigPayload>::new(
    "payload.complete",
    "M3-B4",
    &["config_payload"],
    |payload| {
        if let Some((handle, why)) = payload.unresolved.first_key_value() {
            return Err(format!("the payload refers to {handle}: {why}").into());
        }
        let names = &payload.names;
        for field in [
            "env",
            "phase_id",
            "scenario_equivalence",
            &names.platform_run_id,
            "handles",
            "ecr_repo_uri",
            "required_platform_run_id_env_key",
            &names.image_tag,
            &names.image_digest,
            &names.git_sha,
        ] {
            let there = payload.covered.get(field).is_some_and(|v| !v.is_null() && v.as_str() != Some(""));
            ensure!(there, "the payload has no `{field}`");
        }
        for (group, handles) in SUBSTRATE {
            for handle in handles {
                let value = payload.covered.pointer(&format!("/handles/{group}/{handle}"));
                // Buckets, patterns, topics and database are names: no number or list can stand for one.
                ensure!(
                    value.and_then(Value::as_str).is_some_and(|v| !v.trim().is_empty()),
                    "the payload refers to {handle} as {}",
                    value.unwrap_or(&Value::Null)
                );
            }
        }
        Ok("environment, phase, identity, equivalence input, substrate handles and image are in the payload".to_owned())
    },
    |payload| payload.covered = json!({}),
)
.next("pin the handle that is missing in the registry or in M2's handoff");

static NON_SECRET: Check<ConfigPayload> = Check::<ConfigPayload>::new(
    "payload.non_secret",
    "M3-B6",
    &["config_payload"],
    |payload| match secrets::scan_json(&payload.covered).first() {
        None => Ok("the payload was scanned: no hit".to_owned()),
        Some(hit) => Err(format!("rule `{}` hits at {}", hit.rule, hit.at).into()),
    },
    |payload| {
        // Assembled here, so that no scanner takes this source for a leak.
        let looks_like_a_key = ["AKIA", "ABCDEFGHIJKLMNOP"].concat();
        payload.covered = json!({ "doctored": looks_like_a_key });
    },
)
.next("take the secret out of the registry or the handoff, and rotate it");

/// The lane.
pub(super) fn lane() -> Lane {
    Lane::new("M3.C", execute)
        .after("M3.B")
        .proves("the config payload is complete and without secrets; its digest comes out the same in two ways")
        .checks([&ALGORITHM as &dyn AnyCheck, &REPRODUCIBLE, &COMPLETE, &NON_SECRET])
        .requirement("payload-complete", [COMPLETE.holds()])
        .requirement("digest-reproducible", [ALGORITHM.holds(), REPRODUCIBLE.holds()])
        .requirement("payload-non-secret", [NON_SECRET.holds(), NON_SECRET.refusal()])
}

/// `digest_reproducible`.
pub(super) fn digest_reproducible() -> Vec<Proof> {
    vec![ALGORITHM.holds(), REPRODUCIBLE.holds()]
}

fn execute(run: &mut LaneRun<'_>) -> Step {
    let names = field_names(run)?;
    let mut unresolved = BTreeMap::new();
    let covered = assemble(run, &names, &mut |handle| value_of(run.handles(), handle, &mut unresolved))?;
    let recomputed = recompute(run, &names);
    let bytes = canonical::to_bytes(&covered).map_err(|e| Stop::Fault(e.to_string()))?;
    let mut modes = BTreeMap::from([(scenario::DERIVATION_MODE.to_owned(), run.text(scenario::DERIVATION_MODE)?)]);
    let [_, canonicalisation] = scenario::COMPANIONS;
    if run.handles().registry().definitions_of(canonicalisation).next().is_some() {
        modes.insert(canonicalisation.to_owned(), run.text(canonicalisation)?);
    }
    let payload = ConfigPayload {
        algorithm: run.text("CONFIG_DIGEST_ALGO")?,
        modes,
        config_digest: digest::sha256_hex(&bytes),
        recomputed,
        unresolved,
        covered,
        names,
    };
    run.observe("config_payload", "registry, handoff, M1's provenance and the run id", &payload)?;
    run.demand(&NON_SECRET)
}

/// A handle's value; `null` where it has none, and the reason beside it.
fn value_of(handles: &Handles, handle: &str, unresolved: &mut BTreeMap<String, String>) -> Value {
    match handles.resolve(handle) {
        Ok(resolved) => resolved.value,
        Err(error) => {
            unresolved.insert(handle.to_owned(), error.to_string());
            Value::Null
        }
    }
}

/// The digest once more, from documents read again from disk.
fn recompute(run: &LaneRun<'_>, names: &FieldNames) -> Result<String, String> {
    let said = |stop: Stop| match stop {
        Stop::By { code } => code,
        Stop::Fault(why) => why,
    };
    let again = run.read_handles_again().map_err(said)?;
    let covered = assemble(run, names, &mut |handle| value_of(&again, handle, &mut BTreeMap::new())).map_err(said)?;
    canonical::sorted_keys_v1(&covered).map(|bytes| digest::sha256_hex(&bytes)).map_err(|e| e.to_string())
}

fn field_names(run: &LaneRun<'_>) -> Result<FieldNames, Stop> {
    Ok(FieldNames {
        platform_run_id: run.text("FIELD_PLATFORM_RUN_ID")?,
        scenario_run_id: run.text("FIELD_SCENARIO_RUN_ID")?,
        written_at_utc: run.text("FIELD_WRITTEN_AT_UTC")?,
        config_digest: run.text("CONFIG_DIGEST_FIELD")?,
        image_tag: run.text("IMAGE_TAG_EVIDENCE_FIELD")?,
        image_digest: run.text("IMAGE_DIGEST_EVIDENCE_FIELD")?,
        git_sha: run.text("IMAGE_GIT_SHA_EVIDENCE_FIELD")?,
    })
}

/// The payload of runbook P1.4, without the digest and without the time of writing (PLANS.md 15).
fn assemble(run: &LaneRun<'_>, names: &FieldNames, value: &mut dyn FnMut(&str) -> Value) -> Result<Value, Stop> {
    let identity = b_run_identity::accepted(run)?;
    let provenance = a_handle_closure::accepted_provenance(run)?;
    let mut handles = Map::new();
    for (group, members) in SUBSTRATE {
        let mut values = Map::new();
        for handle in members {
            values.insert((*handle).to_owned(), value(handle));
        }
        handles.insert(group.to_owned(), Value::Object(values));
    }
    let mut equivalence = Map::new();
    equivalence.insert(scenario::SCENARIO_INPUT.to_owned(), value(scenario::SCENARIO_INPUT));
    equivalence.insert(scenario::DERIVATION_MODE.to_owned(), value(scenario::DERIVATION_MODE));
    for companion in scenario::COMPANIONS {
        if run.handles().registry().definitions_of(companion).next().is_some() {
            equivalence.insert(companion.to_owned(), value(companion));
        }
    }
    let mut payload = Map::new();
    payload.insert("env".to_owned(), value("ENV_NAME"));
    payload.insert("phase_id".to_owned(), json!("P1"));
    payload.insert(names.platform_run_id.clone(), json!(identity.platform_run_id));
    payload.insert(names.scenario_run_id.clone(), Value::Null);
    payload.insert("scenario_equivalence".to_owned(), Value::Object(equivalence));
    payload.insert("required_platform_run_id_env_key".to_owned(), value("REQUIRED_PLATFORM_RUN_ID_ENV_KEY"));
    payload.insert("handles".to_owned(), Value::Object(handles));
    payload.insert("ecr_repo_uri".to_owned(), value("ECR_REPO_URI"));
    payload.insert(names.image_tag.clone(), json!(provenance.image_tag));
    payload.insert(names.image_digest.clone(), json!(provenance.image_digest));
    payload.insert(names.git_sha.clone(), json!(provenance.git_sha));
    Ok(Value::Object(payload))
}

/// For later lanes: the payload and its digest.
pub(super) fn accepted(run: &LaneRun<'_>) -> Result<ConfigPayload, Stop> {
    run.fact("M3.C/config_payload")
}
