//! M3.E: one place from which the daemons of M4 read their run scope.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use support::ensure;
use support::run::check::{AnyCheck, Check, Proof};
use support::run::context::{File, LaneRun, To};
use support::run::lane::{Lane, Step, Stop};
use support::run::publication::{Publication, durable, non_secret};

use super::c_config_digest;
use super::d_run_evidence::{self, RUN_JSON, RUN_STARTED};
use super::run_header::ReadBack;

pub(super) const SCOPE_BUNDLE: &str = "m4_runtime_scope_bundle.json";

/// The bundle, read back, beside what it must say.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Scope {
    pub read: ReadBack,
    /// From `run.json` as the store has it.
    pub platform_run_id: String,
    /// `REQUIRED_PLATFORM_RUN_ID_ENV_KEY` in the registry.
    pub env_key: String,
    /// Every object under the run's control and run prefixes that bears the bundle's name.
    pub surfaces: Vec<String>,
    pub surfaces_complete: bool,
}

static COMPLETE: Check<Scope> = Check::<Scope>::new(
    "scope.complete",
    "M3-B5",
    &["scope"],
    |scope| {
        let body = &scope.read.body;
        for field in ["platform_run_id", "required_platform_run_id_env_key", "run_evidence_root_uri"] {
            ensure!(
                body.get(field).and_then(Value::as_str).is_some_and(|v| !v.is_empty()),
                "{} has no `{field}`",
                scope.read.uri
            );
        }
        for manifest in ["run_json", "run_started"] {
            let uri = body.pointer(&format!("/manifest_uris/{manifest}")).and_then(Value::as_str);
            ensure!(uri.is_some_and(|u| u.starts_with("s3://")), "{} has no URI of {manifest}", scope.read.uri);
        }
        Ok(format!("{} has run id, environment key, evidence root and manifest URIs", scope.read.uri))
    },
    |scope| {
        if let Some(body) = scope.read.body.as_object_mut() {
            body.shift_remove("required_platform_run_id_env_key");
        }
    },
)
.next("pin REQUIRED_PLATFORM_RUN_ID_ENV_KEY and the evidence patterns in the registry");

static ENVIRONMENT: Check<Scope> = Check::<Scope>::new(
    "scope.environment",
    "M3-B5",
    &["scope"],
    |scope| {
        let body = &scope.read.body;
        let key = body.get("required_platform_run_id_env_key").and_then(Value::as_str).unwrap_or("-");
        ensure!(key == scope.env_key, "the bundle's environment key is {key}, the registry pins {}", scope.env_key);
        let environment = body.get("environment").and_then(Value::as_object);
        let value = environment.and_then(|e| e.get(key)).and_then(Value::as_str).unwrap_or("-");
        ensure!(value == scope.platform_run_id, "{key}={value}, the run is {}", scope.platform_run_id);
        ensure!(environment.is_some_and(|e| e.len() == 1), "the bundle sets more than {key}");
        Ok(format!("{key}={value}, the id in run.json"))
    },
    |scope| scope.platform_run_id = "platform_19700101T000000Z".to_owned(),
)
.next("report it as a defect of phasegate, with the execution's folder");

static SINGLE: Check<Scope> = Check::<Scope>::new(
    "scope.single_surface",
    "M3-B5",
    &["scope"],
    |scope| {
        ensure!(scope.surfaces_complete, "the list of scope surfaces is not complete");
        ensure!(
            scope.surfaces.len() == 1,
            "{} objects bear the bundle's name: {}",
            scope.surfaces.len(),
            scope.surfaces.join(", ")
        );
        Ok(format!("one scope surface: {}", scope.read.uri))
    },
    |scope| scope.surfaces.push("doctored".to_owned()),
)
.next("find out who wrote the second bundle; nothing may be deleted, so run the gate again under a new run id");

static DURABLE: Check<Publication> =
    durable("scope.durable", "M3-B5", &["publish:m4_runtime_scope_bundle.json"], |published| {
        published.durable(Some("M3-B6"))
    })
    .next("read what S3 answered, make s3:PutObject and s3:GetObject work on the evidence bucket, run the gate again");

static NON_SECRET: Check<Publication> =
    non_secret("scope.non_secret", "M3-B6", &["publish:m4_runtime_scope_bundle.json"])
        .next("take the secret out of the registry, and rotate it");

/// The lane.
pub(super) fn lane() -> Lane {
    Lane::new("M3.E", execute)
        .after("M3.D")
        .proves("one scope bundle for M4, durable and without secrets, naming the run id of run.json")
        .checks([&NON_SECRET as &dyn AnyCheck, &DURABLE, &COMPLETE, &ENVIRONMENT, &SINGLE])
        .requirement("scope-complete-non-secret", [COMPLETE.holds(), ENVIRONMENT.holds(), NON_SECRET.holds()])
        .requirement("scope-single-surface", [DURABLE.holds(), SINGLE.holds()])
        .requirement("missing-scope-fails-closed", [COMPLETE.refusal(), ENVIRONMENT.refusal()])
}

/// `runtime_scope_export_ready`.
pub(super) fn runtime_scope_export_ready() -> Vec<Proof> {
    vec![Proof::Lane("M3.E")]
}

fn execute(run: &mut LaneRun<'_>) -> Step {
    let names = c_config_digest::accepted(run)?.names;
    let header: ReadBack = run.fact("M3.D/run_json")?;
    let platform_run_id = header
        .text(&names.platform_run_id)
        .ok_or_else(|| Stop::Fault(format!("{} has no {}", header.uri, names.platform_run_id)))?
        .to_owned();
    let env_key = run.text("REQUIRED_PLATFORM_RUN_ID_ENV_KEY")?;
    let bucket = run.evidence_bucket()?;
    let pattern = run.text("S3_EVIDENCE_RUN_ROOT_PATTERN")?;
    let root = run.fill(&pattern, &[("platform_run_id", &platform_run_id)])?;
    let started = header.uri.replace(RUN_JSON, RUN_STARTED);
    let body = json!({
        "m3_execution_id": run.phase_execution_id(),
        "written_at_utc": run.instant().rfc3339(),
        "platform_run_id": platform_run_id,
        "required_platform_run_id_env_key": env_key,
        "environment": { env_key.as_str(): platform_run_id },
        "run_evidence_root_uri": format!("s3://{bucket}/{root}"),
        "manifest_uris": { "run_json": header.uri, "run_started": started },
        "non_secret": true,
    });
    let documented = run.documented_path(&format!("runs/dev_substrate/m3/<timestamp>/{SCOPE_BUNDLE}"));
    run.publish(File {
        name: SCOPE_BUNDLE,
        body,
        minimum_fields: &["platform_run_id", "required_platform_run_id_env_key", "run_evidence_root_uri"],
        to: To::RunControl,
        documented: Some(documented),
    })?;
    let key = run.run_control_key(SCOPE_BUNDLE);
    let read = d_run_evidence::read_back(run, "scope", &key)?;
    let (surfaces, surfaces_complete) = surfaces(run, &bucket, &root)?;
    let scope = Scope { read, platform_run_id, env_key, surfaces, surfaces_complete };
    run.observe("scope", "the bundle read back; run.json read back; both prefixes listed", &scope)
}

fn surfaces(run: &mut LaneRun<'_>, bucket: &str, root: &str) -> Result<(Vec<String>, bool), Stop> {
    let mut found = Vec::new();
    let mut complete = true;
    for prefix in [run.run_control_key(""), root.to_owned()] {
        let reply = run.world()?.objects.list_objects(bucket, &prefix, None);
        let listing = match reply {
            Ok(reply) => reply.value,
            Err(error) => {
                let call = format!("aws s3api list-objects-v2 --bucket {bucket} --prefix '{prefix}'");
                return Err(run.unanswered("scope", &call, error));
            }
        };
        complete &= listing.complete;
        found.extend(listing.entries.into_iter().map(|o| o.key).filter(|key| key.ends_with(SCOPE_BUNDLE)));
    }
    Ok((found, complete))
}
