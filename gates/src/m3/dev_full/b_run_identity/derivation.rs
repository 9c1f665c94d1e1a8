//! `scenario_run_id`, derived from the registry and the oracle's manifests, and derived again.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use support::ensure;
use support::evidence::digest;
use support::registry::Handles;
use support::run::check::{Check, Unmet};
use support::run::context::LaneRun;
use support::run::finding::Basis;
use support::run::lane::Stop;
use support::run::rows::{Output, RowOutput};
use support::substrate::reply::{CallError, CallErrorKind};

use super::HANDLE_CONTRACT;
use crate::m3::dev_full::scenario::{self, Oracle};
use crate::m3::dev_full::upstream;

const INCOMPLETE: &str = "M3B-B3";

/// How the scenario id came about.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Derivation {
    /// The modes as the registry pins them, or why one has no value.
    pub modes: BTreeMap<String, Result<String, String>>,
    /// The registry's list of the fields that the id is derived from.
    pub canonical_fields: Result<String, String>,
    /// The values of those fields, and what else the seed records.
    pub inputs: Map<String, Value>,
    /// The id, or why there is none.
    pub scenario_run_id: Result<String, String>,
    /// The id once more: registry and manifests read again, by the other canonicaliser.
    pub again: Result<String, String>,
    /// The manifests whose bytes were others when they were read again.
    pub changed_manifests: Vec<String>,
}

impl Derivation {
    /// A mode's value, `-` where it has none.
    pub(super) fn mode(&self, handle: &str) -> &str {
        match self.modes.get(handle) {
            Some(Ok(mode)) => mode,
            _ => "-",
        }
    }
}

pub(super) static DERIVABLE: Check<(RowOutput, Derivation)> = Check::<(RowOutput, Derivation)>::new(
    "scenario.derivable",
    INCOMPLETE,
    &[HANDLE_CONTRACT, "derivation"],
    |(row, derivation)| {
        let Some(Output::Lines { missing, documents, .. }) = row.runs.first().map(|run| &run.output) else {
            return Err("the registry was not searched for the derivation's handles".into());
        };
        ensure!(missing.is_empty(), "{} mentions none of: {}", documents.join(", "), missing.join(", "));
        if let Some(why) = scenario::unknown_mode(&derivation.modes) {
            return Err(Unmet::from(why)
                .next("pin a mode that this version knows; an unknown one is never replaced by a default"));
        }
        match &derivation.scenario_run_id {
            Ok(id) => Ok(format!("{id}, over the fields that the registry lists")),
            Err(why) => Err(Unmet::from(why.clone())),
        }
    },
    |(_, derivation)| derivation.scenario_run_id = Err("doctored: a manifest is absent".to_owned()),
)
.next("pin the handle, or stage the oracle's stream view with its manifests, as the message says");

pub(super) static REPRODUCED: Check<Derivation> = Check::<Derivation>::new(
    "scenario.reproduced",
    "M3B-B6",
    &["derivation"],
    |derivation| {
        let first = derivation
            .scenario_run_id
            .as_ref()
            .map_err(|why| Unmet::blocked_by(INCOMPLETE, format!("there is no id to derive again: {why}")))?;
        let again =
            derivation.again.as_ref().map_err(|why| Unmet::from(format!("the id cannot be derived again: {why}")))?;
        let changed = &derivation.changed_manifests;
        ensure!(changed.is_empty(), "read again, these have other bytes: {}", changed.join(", "));
        ensure!(first == again, "first {first}, then {again} from registry and manifests read again");
        Ok(format!("{first}, derived twice in two ways"))
    },
    |derivation| derivation.again = Ok("scenario_0".to_owned()),
)
.basis(Basis::Recomputed)
.next("see whether the registry or the oracle's manifests changed while the gate ran; run it again when they rest");

/// Derives the id, and derives it again from documents and objects read again.
pub(super) fn derive(run: &mut LaneRun<'_>) -> Result<Derivation, Stop> {
    let handles = run.handles();
    let modes = scenario::modes(handles);
    let canonical_fields = scenario::text(handles, scenario::CANONICAL_FIELDS);
    let mut manifests = Manifests::new();
    let (inputs, scenario_run_id) = once(run, handles, scenario::digest_of, &mut manifests)?;
    let mut manifests_again = Manifests::new();
    // The registry may have gone meanwhile: then the id cannot be derived again, and that is the finding.
    let again = match run.read_handles_again() {
        Ok(again) => once(run, &again, scenario::digest_of_again, &mut manifests_again)?.1,
        Err(stop) => Err(upstream::words(&stop)),
    };
    let changed = manifests.iter().filter(|(uri, digest)| manifests_again.get(*uri).is_some_and(|now| now != *digest));
    let changed_manifests = changed.map(|(uri, _)| uri.clone()).collect();
    Ok(Derivation { modes, canonical_fields, inputs, scenario_run_id, again, changed_manifests })
}

type Derived = (Map<String, Value>, Result<String, String>);

/// SHA-256 of the manifests that were read, by URI.
type Manifests = BTreeMap<String, String>;

fn once(
    run: &mut LaneRun<'_>,
    handles: &Handles,
    digest_of: fn(&Value) -> Result<String, String>,
    manifests: &mut Manifests,
) -> Result<Derived, Stop> {
    let inputs = match inputs(run, handles, digest_of, manifests)? {
        Ok(inputs) => inputs,
        Err(why) => return Ok((Map::new(), Err(why))),
    };
    let id = scenario::text(handles, scenario::CANONICAL_FIELDS)
        .and_then(|listed| scenario::equivalence_object(&listed, &inputs))
        .and_then(|object| digest_of(&object))
        .map(|digest| scenario::scenario_run_id(&digest));
    Ok((inputs, id))
}

/// The values of all fields that P1 can make.
fn inputs(
    run: &mut LaneRun<'_>,
    handles: &Handles,
    digest_of: fn(&Value) -> Result<String, String>,
    manifests: &mut Manifests,
) -> Result<Result<Map<String, Value>, String>, Stop> {
    let prepared = Oracle::read(handles).and_then(|oracle| {
        let config_digest = digest_of(&scenario::digest_input(handles)?)?;
        let bucket = scenario::text(handles, "ORACLE_STORE_BUCKET")?;
        let prefix = scenario::text(handles, "S3_STREAM_VIEW_PREFIX_PATTERN")?;
        let manifest = scenario::text(handles, "S3_STREAM_VIEW_MANIFEST_KEY_PATTERN")?;
        Ok((oracle, config_digest, bucket, prefix, manifest))
    });
    let (oracle, config_digest, bucket, prefix, manifest) = match prepared {
        Ok(prepared) => prepared,
        Err(why) => return Ok(Err(why)),
    };
    let uri = match run.fill(&prefix, &oracle.tokens()) {
        Ok(prefix) => format!("s3://{bucket}/{prefix}"),
        Err(stop) => return Ok(Err(upstream::words(&stop))),
    };
    let mut digests = Map::new();
    for id in &oracle.required_output_ids {
        let [namespace, engine] = oracle.tokens();
        let key = match run.fill(&manifest, &[namespace, engine, ("output_id", id)]) {
            Ok(key) => key,
            Err(stop) => return Ok(Err(upstream::words(&stop))),
        };
        match run.world()?.objects.get_object(&bucket, &key, None) {
            Ok(reply) => {
                let parsed: Result<Value, _> = serde_json::from_slice(&reply.value.bytes);
                if let Err(error) = parsed {
                    return Ok(Err(format!("the manifest s3://{bucket}/{key} is no JSON: {error}")));
                }
                let sha256 = digest::sha256_hex(&reply.value.bytes);
                manifests.insert(format!("s3://{bucket}/{key}"), sha256.clone());
                digests.insert(id.clone(), json!(sha256));
            }
            Err(error) => return Ok(Err(unread(&bucket, &key, &error))),
        }
    }
    let digests = match digest_of(&Value::Object(digests)) {
        Ok(digest) => digest,
        Err(why) => return Ok(Err(why)),
    };
    let mut inputs = Map::new();
    inputs.insert("config_digest".to_owned(), json!(config_digest));
    inputs.insert("oracle_input_manifest_uri".to_owned(), json!(uri));
    inputs.insert("oracle_input_manifest_sha256".to_owned(), json!(digests));
    inputs.insert("oracle_required_output_ids".to_owned(), json!(oracle.required_output_ids));
    inputs.insert("oracle_sort_key_by_output_id".to_owned(), json!(oracle.sort_key_by_output_id));
    Ok(Ok(inputs))
}

/// Absent or unreadable alike, there is no digest and no invented value (PLANS.md 20).
fn unread(bucket: &str, key: &str, error: &CallError) -> String {
    match error.kind {
        CallErrorKind::NotFound => format!("the manifest s3://{bucket}/{key} does not exist"),
        _ => format!("the manifest s3://{bucket}/{key} cannot be read: {error}"),
    }
}
