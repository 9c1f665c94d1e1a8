//! M4.H: the proof that the daemons were ready, kept with the run.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use support::ensure;
use support::run::check::{AnyCheck, Check, Proof};
use support::run::context::{File, LaneRun, To};
use support::run::lane::{Lane, Step};
use support::run::publication::{Publication, durable, non_secret_derived};

use super::e_launch_contract::Contract;
use super::f_bring_up::Settled;
use super::files;
use super::packs::PACKS;

pub(super) const SNAPSHOT: &str = "m4_h_readiness_publication_snapshot.json";

/// The artifact.
pub(super) const READY: &str = "daemons_ready.json";

/// Objects of the run: after the first refusal for one, no other is put.
const GROUP: &str = "readiness_objects";

/// The artifact as the store has it, beside what was settled.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Ready {
    pub uri: String,
    body: Value,
    platform_run_id: String,
    env_key: String,
    settled: Settled,
}

static COMPLETE: Check<Ready> = Check::<Ready>::new(
    "readiness.complete",
    "M4H-B1",
    &["ready"],
    |ready| {
        let text = |name: &str| ready.body.get(name).and_then(Value::as_str).unwrap_or("-");
        for (name, wanted) in [
            ("platform_run_id", ready.platform_run_id.as_str()),
            ("run_scope_env_key", ready.env_key.as_str()),
            ("run_scope_env_value", ready.platform_run_id.as_str()),
        ] {
            ensure!(text(name) == wanted, "{}: {name} is `{}`, not `{wanted}`", ready.uri, text(name));
        }
        ensure!(text("written_at_utc").ends_with('Z'), "{} says no time", ready.uri);
        let packs = ready.body.get("packs").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let mut count = 0;
        for (pack, handles) in PACKS {
            let listed = packs.iter().find(|listed| listed.get("pack_id").and_then(Value::as_str) == Some(pack));
            let services = listed.and_then(|listed| listed.get("services")).and_then(Value::as_array);
            let Some(services) = services else { return Err(format!("{} has no pack {pack}", ready.uri).into()) };
            for handle in handles {
                let own = |service: &&Value| service.get("service_handle").and_then(Value::as_str) == Some(handle);
                let Some(service) = services.iter().find(own) else {
                    return Err(format!("{}: pack {pack} has no {handle}", ready.uri).into());
                };
                let settled = ready.settled.services.get(*handle);
                let tasks: Vec<&str> = service
                    .get("task_arns")
                    .and_then(Value::as_array)
                    .into_iter()
                    .flatten()
                    .filter_map(Value::as_str)
                    .collect();
                let seen: Vec<&str> = settled.iter().flat_map(|service| service.arns()).collect();
                ensure!(
                    !tasks.is_empty() && tasks == seen,
                    "{}: {handle} names the tasks {}",
                    ready.uri,
                    tasks.join(", ")
                );
                for name in ["desired_count", "running_count"] {
                    let is = service.get(name).and_then(Value::as_i64);
                    ensure!(is == Some(1), "{}: {name} of {handle} is {is:?}", ready.uri);
                }
                ensure!(
                    service.get("service_name").and_then(Value::as_str).is_some(),
                    "{}: {handle} has no name",
                    ready.uri
                );
                count += 1;
            }
        }
        Ok(format!(
            "{}: {} packs, {count} services with their tasks, for run {}",
            ready.uri,
            PACKS.len(),
            ready.platform_run_id
        ))
    },
    |ready| ready.platform_run_id.push_str("_doctored"),
)
.next("report it as a defect of phasegate, with the execution's folder");

static DURABLE: Check<Publication> =
    durable("readiness.durable", "M4H-B2", &["publish:daemons_ready.json"], |published| {
        published.durable(Some("PG-M4.H-readiness_secret"))
    })
    .next("read what S3 answered; an artifact that stands there already is another execution's: nothing is overwritten, so M3 has to pin a new run");

static NON_SECRET: Check<Publication> =
    non_secret_derived("readiness.non_secret", "readiness_secret", &["publish:daemons_ready.json"]).next(files::SECRET);

static SNAPSHOT_DURABLE: Check<Publication> = durable(
    "readiness_snapshot.durable",
    "M4H-B3",
    &["publish:m4_h_readiness_publication_snapshot.json"],
    |published| published.durable(Some("PG-M4.H-snapshot_secret")),
)
.next(files::NOT_KEPT);

static SNAPSHOT_NON_SECRET: Check<Publication> = non_secret_derived(
    "readiness_snapshot.non_secret",
    "snapshot_secret",
    &["publish:m4_h_readiness_publication_snapshot.json"],
)
.next(files::SECRET);

/// What the snapshot answers for.
const ASKED: [&dyn AnyCheck; 2] = [&COMPLETE, &DURABLE];

/// The lane.
pub(super) fn lane() -> Lane {
    Lane::new("M4.H", execute)
        .after("M4.G")
        .pins_the_run()
        .publishes(publish)
        .proves("daemons_ready.json stands with the run, put once and read back: packs, services, tasks, run scope")
        .checks([&NON_SECRET as &dyn AnyCheck, &DURABLE, &COMPLETE, &SNAPSHOT_NON_SECRET, &SNAPSHOT_DURABLE])
        .requirement("readiness-complete", [COMPLETE.holds(), COMPLETE.refusal()])
        .requirement("readiness-durable", [DURABLE.holds(), NON_SECRET.holds()])
        .requirement("publication-snapshot", [SNAPSHOT_DURABLE.holds(), SNAPSHOT_NON_SECRET.holds()])
}

/// `readiness_evidence_durable`.
pub(super) fn held() -> Vec<Proof> {
    vec![Proof::Lane("M4.H")]
}

fn execute(run: &mut LaneRun<'_>) -> Step {
    let contract: Contract = run.fact("M4.E/contract")?;
    let settled: Settled = run.fact("M4.F/settled")?;
    let packs: Vec<Value> = PACKS
        .iter()
        .map(|(pack, handles)| {
            let services: Vec<Value> = handles
                .iter()
                .filter_map(|handle| {
                    let service = settled.services.get(*handle)?;
                    Some(json!({
                        "service_handle": handle,
                        "service_name": service.name,
                        "task_arns": service.arns(),
                        "desired_count": service.info.as_ref().map(|info| info.desired),
                        "running_count": service.info.as_ref().map(|info| info.running),
                    }))
                })
                .collect();
            json!({ "pack_id": pack, "services": services })
        })
        .collect();
    let body = json!({
        "phase_id": "P2",
        "m4_execution_id": run.phase_execution_id(),
        "platform_run_id": contract.platform_run_id,
        "run_scope_env_key": contract.env_key,
        "run_scope_env_value": contract.platform_run_id,
        "packs": packs,
        "written_at_utc": run.instant().rfc3339(),
        "basis": run.basis().word(),
        "non_secret": true,
    });
    let pattern = run.text("S3_EVIDENCE_RUN_ROOT_PATTERN")?;
    let root = run.fill(&pattern, &[("platform_run_id", &contract.platform_run_id)])?;
    let key = format!("{root}operate/{READY}");
    let documented = run.documented_path(&format!("runs/dev_substrate/m4/<timestamp>/{READY}"));
    let published = run.publish(File {
        name: READY,
        body,
        minimum_fields: &["platform_run_id", "run_scope_env_key", "run_scope_env_value", "packs", "written_at_utc"],
        to: To::Key { key: key.clone(), group: GROUP },
        documented: Some(documented),
    });
    if published.is_err() {
        return run.demand(&NON_SECRET).and_then(|()| run.demand(&DURABLE));
    }
    let bucket = run.evidence_bucket()?;
    let body = run.get_json("ready", &bucket, &key)?;
    let ready = Ready {
        uri: format!("s3://{bucket}/{key}"),
        body,
        platform_run_id: contract.platform_run_id,
        env_key: contract.env_key,
        settled,
    };
    run.observe("ready", &format!("s3api get-object of {}", ready.uri), &ready)
}

fn publish(run: &mut LaneRun<'_>) -> Step {
    let contract: Contract = run.fact("M4.E/contract")?;
    let ready: Option<Ready> = run.fact("ready").ok();
    let body = json!({
        "m4_execution_id": run.phase_execution_id(),
        "written_at_utc": run.instant().rfc3339(),
        "platform_run_id": contract.platform_run_id,
        "readiness_uri": ready.map(|ready| ready.uri),
        "blockers": run.open_among(&ASKED),
        "overall_pass": run.met(&ASKED),
        "non_secret": true,
    });
    files::publish(run, SNAPSHOT, body, &["m4_execution_id", "platform_run_id", "overall_pass"])
}
