//! M4.J: what M5 enters with.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use support::ensure;
use support::run::check::{AnyCheck, Check};
use support::run::context::LaneRun;
use support::run::lane::{Lane, Step};
use support::run::outcome::{Decision, Verdict};
use support::run::publication::{Publication, durable, non_secret};

use super::a_handle_closure;
use super::h_readiness::Ready;
use super::{b_service_map, files, i_verdict};

const HANDOFF: &str = "m5_handoff_pack.json";

/// The code of a verdict that is another one.
const NOT_ADVANCED: &str = "M4J-B1";

/// The pack as the store has it.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Pack {
    uri: String,
    body: Value,
    platform_run_id: String,
    verdict: String,
    /// Each URI that it names, and whether its object is there.
    references: BTreeMap<String, bool>,
}

static ADVANCES: Check<Decision> = Check::<Decision>::new(
    "handoff.verdict",
    NOT_ADVANCED,
    &["decision"],
    |decision| {
        let advances = matches!(decision.verdict, Verdict::Advance | Verdict::WouldAdvance | Verdict::Partial);
        let open: Vec<&str> = decision.roots.iter().map(|root| root.code.as_str()).collect();
        ensure!(advances && open.is_empty(), "the verdict is HOLD_M4, open: {}", open.join(", "));
        Ok("nothing holds M4 before its handoff".to_owned())
    },
    |decision| decision.verdict = Verdict::Hold,
)
.next("close the blockers that hold M4; nothing is handed over before");

static COMPLETE: Check<Pack> = Check::<Pack>::new(
    "handoff.complete",
    "M4J-B2",
    &["pack"],
    |pack| {
        let text = |name: &str| pack.body.get(name).and_then(Value::as_str).unwrap_or("-");
        for (name, wanted) in
            [("platform_run_id", pack.platform_run_id.as_str()), ("m4_verdict", pack.verdict.as_str())]
        {
            ensure!(text(name) == wanted, "{}: {name} is `{}`, not `{wanted}`", pack.uri, text(name));
        }
        for name in ["readiness_evidence_uri", "runtime_service_map_uri", "m4_verdict_snapshot_uri"] {
            ensure!(text(name).starts_with("s3://"), "{} has no `{name}`", pack.uri);
        }
        let missing: Vec<&str> =
            pack.references.iter().filter(|(_, there)| !**there).map(|(uri, _)| uri.as_str()).collect();
        ensure!(missing.is_empty(), "{} names {}, which is not in the store", pack.uri, missing.join(", "));
        ensure!(pack.references.len() >= 3, "{} names {} object(s)", pack.uri, pack.references.len());
        let id = |name: &str| pack.body.pointer(&format!("/source_execution_ids/{name}")).and_then(Value::as_str);
        for name in ["m3", "m4", "m4a", "m4h"] {
            ensure!(id(name).is_some_and(|id| !id.is_empty()), "{} has no execution id of {name}", pack.uri);
        }
        ensure!(
            pack.body.get("not_a_verdict") == Some(&json!(true)),
            "{} does not say that it is no verdict",
            pack.uri
        );
        Ok(format!("{} names run, verdict, evidence and the executions behind them", pack.uri))
    },
    |pack| pack.platform_run_id.push_str("_doctored"),
)
.next("look at the object that is missing with `aws s3api head-object`; else report it as a defect of phasegate");

static NON_SECRET: Check<Publication> =
    non_secret("handoff.non_secret", "M4J-B3", &["publish:m5_handoff_pack.json"]).next(files::SECRET);

static DURABLE: Check<Publication> =
    durable("handoff.durable", "M4J-B4", &["publish:m5_handoff_pack.json"], |published| {
        published.durable(Some("M4J-B3"))
    })
    .next(files::NOT_KEPT);

/// The lane.
pub(super) fn lane() -> Lane {
    Lane::new("M4.J", execute)
        .after("M4.I")
        .rolls_up()
        .proves("m5_handoff_pack.json durable, complete, without secrets; every URI in it is in the store")
        .checks([&ADVANCES as &dyn AnyCheck, &NON_SECRET, &DURABLE, &COMPLETE])
        .requirement("handoff-complete-non-secret", [ADVANCES.holds(), COMPLETE.holds(), NON_SECRET.holds()])
        .requirement("handoff-durable", [DURABLE.holds()])
        .requirement("handoff-references", [COMPLETE.holds(), COMPLETE.refusal()])
}

fn execute(run: &mut LaneRun<'_>) -> Step {
    let decision = run.decision()?;
    run.observe("decision", "the decision that was frozen before M4.I", &decision)?;
    run.demand(&ADVANCES)?;
    i_verdict::kept(run)?;
    let entry = a_handle_closure::accepted(run)?;
    let ready: Ready = run.fact("M4.H/ready")?;
    let platform_run_id = entry.platform_run_id().unwrap_or_default();
    let verdict = run.verdict_text(&decision);
    let mut ids = run.lane_execution_ids();
    ids.insert("m3".to_owned(), entry.of_pack("m3_execution_id").unwrap_or_default());
    ids.insert("m4".to_owned(), run.phase_execution_id().to_owned());
    let body = json!({
        "phase_id": "P2",
        "m4_execution_id": run.phase_execution_id(),
        "written_at_utc": run.instant().rfc3339(),
        "platform_run_id": platform_run_id,
        "config_digest": entry.of_pack("config_digest"),
        "m4_verdict": verdict,
        "basis": run.basis().word(),
        "not_a_verdict": true,
        "required_platform_run_id_env_key": entry.of_pack("required_platform_run_id_env_key"),
        "required_platform_run_id_env_value": platform_run_id,
        "readiness_evidence_uri": ready.uri,
        "runtime_service_map_uri": files::uri(run, b_service_map::SNAPSHOT)?,
        "m4_verdict_snapshot_uri": files::uri(run, i_verdict::SNAPSHOT)?,
        "m3_handoff_uri": entry.pack_at,
        "source_execution_ids": ids,
        "required_of_a_person": ["USER confirms progression to M5"],
        "non_secret": true,
    });
    let fields =
        ["platform_run_id", "m4_verdict", "readiness_evidence_uri", "runtime_service_map_uri", "source_execution_ids"];
    files::publish(run, HANDOFF, body, &fields)?;
    let bucket = run.evidence_bucket()?;
    let key = run.run_control_key(HANDOFF);
    let body = run.get_json("pack", &bucket, &key)?;
    let mut references = BTreeMap::new();
    for name in ["readiness_evidence_uri", "runtime_service_map_uri", "m4_verdict_snapshot_uri"] {
        let uri = body.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let there = match uri.strip_prefix(&format!("s3://{bucket}/")) {
            Some(key) => run.exists("pack", &bucket, key)?,
            None => false,
        };
        references.insert(uri, there);
    }
    let pack = Pack { uri: format!("s3://{bucket}/{key}"), body, platform_run_id, verdict, references };
    run.observe("pack", "the pack read back; every URI of it asked by head-object", &pack)
}
