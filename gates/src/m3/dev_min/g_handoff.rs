//! M3.G: the closing package, by which M4 may be activated.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use support::ensure;
use support::run::check::{AnyCheck, Check, Proof};
use support::run::context::{File, LaneRun, To};
use support::run::lane::{Lane, Step, Stop};
use support::run::publication::{Publication, durable, non_secret};

use super::c_config_digest;
use super::d_run_evidence::{self, RUN_JSON, RUN_STARTED};
use super::e_runtime_scope::{SCOPE_BUNDLE, Scope};
use super::run_header::ReadBack;

const SNAPSHOT: &str = "m3_run_pinning_snapshot.json";
const HANDOFF: &str = "m4_handoff_pack.json";

/// The package as the store has it.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Package {
    snapshot: ReadBack,
    handoff: ReadBack,
    /// The verdict that was frozen before this lane.
    verdict: String,
    platform_run_id: String,
    config_digest: String,
    env_key: String,
    /// Each URI of the pack, and whether its object was found.
    references: BTreeMap<String, bool>,
}

static SNAPSHOT_DURABLE: Check<Publication> =
    durable("snapshot.durable", "M3-B4", &["publish:m3_run_pinning_snapshot.json"], |p| p.durable(Some("M3-B6"))).next(
        "read what S3 answered, make s3:PutObject and s3:GetObject work on the evidence bucket, run the gate again",
    );

static SNAPSHOT_NON_SECRET: Check<Publication> =
    non_secret("snapshot.non_secret", "M3-B6", &["publish:m3_run_pinning_snapshot.json"])
        .next("take the secret out of the registry or the handoff, and rotate it");

static HANDOFF_DURABLE: Check<Publication> =
    durable("handoff.durable", "M3-B4", &["publish:m4_handoff_pack.json"], |p| p.durable(Some("M3-B6"))).next(
        "read what S3 answered, make s3:PutObject and s3:GetObject work on the evidence bucket, run the gate again",
    );

static HANDOFF_NON_SECRET: Check<Publication> =
    non_secret("handoff.non_secret", "M3-B6", &["publish:m4_handoff_pack.json"])
        .next("take the secret out of the registry or the handoff, and rotate it");

static VERDICT_PERSISTED: Check<Package> = Check::<Package>::new(
    "closeout.verdict",
    "M3-B4",
    &["package"],
    |package| {
        let snapshot = package.snapshot.text("verdict").unwrap_or("-");
        let handoff = package.handoff.text("m3_verdict").unwrap_or("-");
        ensure!(
            snapshot == package.verdict,
            "{} says {snapshot}, decided was {}",
            package.snapshot.uri,
            package.verdict
        );
        ensure!(handoff == package.verdict, "{} says {handoff}, decided was {}", package.handoff.uri, package.verdict);
        Ok(format!("{SNAPSHOT} and {HANDOFF} both keep {}", package.verdict))
    },
    |package| package.verdict = "HOLD_M3".to_owned(),
)
.next("look for a second writer under this execution's prefix");

static HANDOFF_COMPLETE: Check<Package> = Check::<Package>::new(
    "handoff.complete",
    "M3-B5",
    &["package"],
    |package| {
        let pack = &package.handoff;
        ensure!(
            pack.text("platform_run_id") == Some(package.platform_run_id.as_str()),
            "{}: platform_run_id is not {}",
            pack.uri,
            package.platform_run_id
        );
        ensure!(
            pack.text("config_digest") == Some(package.config_digest.as_str()),
            "{}: config_digest is not {}",
            pack.uri,
            package.config_digest
        );
        ensure!(
            pack.text("required_platform_run_id_env_key") == Some(package.env_key.as_str()),
            "{}: the environment key is not {}",
            pack.uri,
            package.env_key
        );
        ensure!(
            pack.text("required_platform_run_id_env_value") == Some(package.platform_run_id.as_str()),
            "{}: the environment value is not the run id",
            pack.uri
        );
        for field in ["runtime_scope_bundle_uri", "run_evidence_root", "m3_execution_id", "written_at_utc"] {
            ensure!(pack.text(field).is_some_and(|v| !v.is_empty()), "{} has no `{field}`", pack.uri);
        }
        for lane in ["m3a", "m3b", "m3c", "m3d", "m3e", "m3f"] {
            let id = pack.body.pointer(&format!("/source_execution_ids/{lane}")).and_then(Value::as_str);
            ensure!(id.is_some_and(|v| !v.is_empty()), "{} has no execution id of {lane}", pack.uri);
        }
        ensure!(
            pack.body.get("not_a_verdict") == Some(&json!(true)),
            "{} does not say that it is no verdict",
            pack.uri
        );
        Ok(format!("{} names run, digest, scope, evidence and the executions behind them", pack.uri))
    },
    |package| package.config_digest = "0".repeat(64),
)
.next("report it as a defect of phasegate, with the execution's folder");

static REFERENCES: Check<Package> = Check::<Package>::new(
    "handoff.references",
    "M3-B4",
    &["package"],
    |package| {
        let missing: Vec<&str> =
            package.references.iter().filter(|(_, there)| !**there).map(|(uri, _)| uri.as_str()).collect();
        ensure!(missing.is_empty(), "named in {HANDOFF} and not in the store: {}", missing.join(", "));
        ensure!(package.references.len() >= 3, "{HANDOFF} lists {} artifact(s)", package.references.len());
        Ok(format!("{} artifact URIs listed, each found in the store", package.references.len()))
    },
    |package| {
        package.references.insert("s3://doctored".to_owned(), false);
    },
)
.next("look at the missing object with `aws s3api head-object`");

/// The lane.
pub(super) fn lane() -> Lane {
    Lane::new("M3.G", execute)
        .after("M3.F")
        .hands_over()
        .proves("snapshot and handoff pack durable, complete, without secrets; every URI in them is in the store")
        .checks([
            &SNAPSHOT_NON_SECRET as &dyn AnyCheck,
            &SNAPSHOT_DURABLE,
            &HANDOFF_NON_SECRET,
            &HANDOFF_DURABLE,
            &VERDICT_PERSISTED,
            &HANDOFF_COMPLETE,
            &REFERENCES,
        ])
        .requirement("handoff-durable", [SNAPSHOT_DURABLE.holds(), HANDOFF_DURABLE.holds()])
        .requirement(
            "handoff-complete-non-secret",
            [HANDOFF_COMPLETE.holds(), HANDOFF_NON_SECRET.holds(), SNAPSHOT_NON_SECRET.holds()],
        )
        .requirement("artifact-uris", [REFERENCES.holds()])
}

/// Proof that the closing package keeps the verdict (a box of M3.F).
pub(super) fn verdict_persisted() -> [Proof; 3] {
    [SNAPSHOT_DURABLE.holds(), HANDOFF_DURABLE.holds(), VERDICT_PERSISTED.holds()]
}

fn execute(run: &mut LaneRun<'_>) -> Step {
    let decision = run.decision()?;
    let verdict = run.verdict_text(&decision);
    let payload = c_config_digest::accepted(run)?;
    let header: ReadBack = run.fact("M3.D/run_json")?;
    let scope: Scope = run.fact("M3.E/scope")?;
    let root = scope
        .read
        .text("run_evidence_root_uri")
        .ok_or_else(|| Stop::Fault(format!("{} has no run_evidence_root_uri", scope.read.uri)))?
        .to_owned();
    let started = header.uri.replace(RUN_JSON, RUN_STARTED);
    let bucket = run.evidence_bucket()?;
    let uri_of = |run: &LaneRun<'_>, name: &str| format!("s3://{bucket}/{}", run.run_control_key(name));
    let snapshot = json!({
        "phase_id": "P1",
        "m3_execution_id": run.phase_execution_id(),
        "written_at_utc": run.instant().rfc3339(),
        "platform_run_id": scope.platform_run_id,
        "config_digest": payload.config_digest,
        "predicates": decision.predicates,
        "open_blockers": decision.roots.iter().map(|code| code.code.as_str()).collect::<Vec<_>>(),
        "verdict": verdict,
        "basis": run.basis().word(),
        "not_a_verdict": true,
        "run_json": header.uri,
        "run_started": started,
        "runtime_scope_bundle_uri": scope.read.uri,
        "source_execution_ids": run.lane_execution_ids(),
        "non_secret": true,
    });
    publish(run, SNAPSHOT, snapshot, &["platform_run_id", "config_digest", "verdict"])?;
    let image = |name: &str| payload.covered.get(name).cloned().unwrap_or(Value::Null);
    let names = &payload.names;
    let pack = json!({
        "phase_id": "P1",
        "m3_execution_id": run.phase_execution_id(),
        "written_at_utc": run.instant().rfc3339(),
        "platform_run_id": scope.platform_run_id,
        "scenario_run_id": null,
        "scenario_equivalence": image("scenario_equivalence"),
        "config_digest": payload.config_digest,
        "m3_verdict": verdict,
        "basis": run.basis().word(),
        "not_a_verdict": true,
        "required_platform_run_id_env_key": scope.env_key,
        "required_platform_run_id_env_value": scope.platform_run_id,
        "runtime_scope_bundle_uri": scope.read.uri,
        "run_evidence_root": root,
        "durable_references": {
            "run_json": header.uri,
            "run_started": started,
            "m3_run_pinning_snapshot": uri_of(run, SNAPSHOT),
            "m4_runtime_scope_bundle": uri_of(run, SCOPE_BUNDLE),
        },
        "image": { "image_tag": image(&names.image_tag), "image_digest": image(&names.image_digest), "git_sha": image(&names.git_sha) },
        "source_execution_ids": run.lane_execution_ids(),
        "required_of_a_person": ["USER confirms progression to M4"],
        "non_secret": true,
    });
    publish(
        run,
        HANDOFF,
        pack,
        &["platform_run_id", "config_digest", "m3_verdict", "runtime_scope_bundle_uri", "run_evidence_root"],
    )?;
    let snapshot_key = run.run_control_key(SNAPSHOT);
    let handoff_key = run.run_control_key(HANDOFF);
    let snapshot = d_run_evidence::read_back(run, "package", &snapshot_key)?;
    let handoff = d_run_evidence::read_back(run, "package", &handoff_key)?;
    let references = references(run, &bucket, &handoff)?;
    let package = Package {
        snapshot,
        handoff,
        verdict,
        platform_run_id: scope.platform_run_id,
        config_digest: payload.config_digest,
        env_key: scope.env_key,
        references,
    };
    run.observe("package", "both files read back; every URI of the pack asked by head-object", &package)
}

fn publish(run: &mut LaneRun<'_>, name: &str, body: Value, fields: &[&str]) -> Step {
    let documented = run.documented_path(&format!("runs/dev_substrate/m3/<timestamp>/{name}"));
    run.publish(File { name, body, minimum_fields: fields, to: To::RunControl, documented: Some(documented) }).map(drop)
}

fn references(run: &mut LaneRun<'_>, bucket: &str, handoff: &ReadBack) -> Result<BTreeMap<String, bool>, Stop> {
    let listed = handoff.body.get("durable_references").and_then(Value::as_object);
    let mut references = BTreeMap::new();
    for (name, uri) in listed.into_iter().flatten() {
        let Some(uri) = uri.as_str() else {
            references.insert(format!("{name} (no text)"), false);
            continue;
        };
        let there = match uri.strip_prefix(&format!("s3://{bucket}/")) {
            None => false,
            Some(key) => run.exists("package", bucket, key)?,
        };
        references.insert(uri.to_owned(), there);
    }
    Ok(references)
}
