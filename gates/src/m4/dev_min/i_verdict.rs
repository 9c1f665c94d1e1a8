//! M4.I: the predicates, the open blockers and the verdict, derived and derived again.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use support::ensure;
use support::evidence::digest::sha256_hex;
use support::run::check::{AnyCheck, Check};
use support::run::context::LaneRun;
use support::run::finding::Basis;
use support::run::lane::{Lane, Step};
use support::run::outcome::{Decision, Verdict};
use support::run::publication::{Publication, durable, non_secret_derived};

use super::{
    a_handle_closure, b_service_map, c_identity, d_dependencies, e_launch_contract, f_bring_up, files, g_consumers,
    h_readiness,
};

pub(super) const SNAPSHOT: &str = "m4_i_verdict_snapshot.json";

/// The lanes whose snapshots the verdict presupposes, each with its file.
const PREREQUISITES: [(&str, &str); 8] = [
    ("M4.A", a_handle_closure::SNAPSHOT),
    ("M4.B", b_service_map::SNAPSHOT),
    ("M4.C", c_identity::SNAPSHOT),
    ("M4.D", d_dependencies::SNAPSHOT),
    ("M4.E", e_launch_contract::SNAPSHOT),
    ("M4.F", f_bring_up::SNAPSHOT),
    ("M4.G", g_consumers::SNAPSHOT),
    ("M4.H", h_readiness::SNAPSHOT),
];

/// What the lanes left, and the decision on them twice.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Review {
    /// How each lane came out, and its snapshot read back, by lane.
    lanes: BTreeMap<String, Left>,
    /// The plan's predicates.
    planned: BTreeSet<String>,
    frozen: Decision,
    again: Decision,
    /// The codes that are open by the one or by the other.
    open: BTreeSet<String>,
}

/// One lane's end.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Left {
    state: String,
    uri: String,
    /// `overall_pass` of the snapshot as the store has it, or why it cannot be read.
    passed: Result<Option<bool>, String>,
}

static PREREQUISITES_READ: Check<Review> = Check::<Review>::new(
    "rollup.snapshots",
    "M4I-B1",
    &["review"],
    |review| {
        ensure!(review.lanes.len() == PREREQUISITES.len(), "{} lanes were rolled up", review.lanes.len());
        let mut read = 0;
        for (lane, left) in &review.lanes {
            // A lane that is not closed has its own code; a snapshot that it could not leave is no second one.
            if left.state != "closed" {
                continue;
            }
            match &left.passed {
                Ok(Some(true)) => read += 1,
                Ok(passed) => {
                    return Err(format!("{lane} is closed, and {} says overall_pass {passed:?}", left.uri).into());
                }
                Err(why) => return Err(format!("{lane}: {}: {why}", left.uri).into()),
            }
        }
        Ok(format!("{read} snapshots read back, each of a closed lane"))
    },
    |review| review.lanes.clear(),
)
.next("look at what stands under the key that the message names; evidence that is gone or changed cannot be rolled up");

static EVALUATED: Check<Review> = Check::<Review>::new(
    "predicates.evaluated",
    "M4I-B2",
    &["review"],
    |review| {
        let Review { planned, frozen, again, .. } = review;
        let judged: BTreeSet<String> = frozen.predicates.keys().cloned().collect();
        let differ: Vec<&str> = planned.symmetric_difference(&judged).map(String::as_str).collect();
        ensure!(differ.is_empty(), "the plan and the gate differ in their predicates: {}", differ.join(", "));
        ensure!(!judged.is_empty(), "there is no predicate");
        ensure!(
            frozen == again,
            "judged again from the stored observations it is {:?}, not {:?}",
            again.verdict,
            frozen.verdict
        );
        let advances = matches!(frozen.verdict, Verdict::Advance | Verdict::WouldAdvance);
        ensure!(
            !advances || frozen.predicates.values().all(|held| *held),
            "the verdict advances while a predicate is false"
        );
        Ok(format!("{} predicates, as the plan names them, and the same when judged again", judged.len()))
    },
    |review| {
        review.planned.insert("doctored".to_owned());
    },
)
.basis(Basis::Recomputed)
.next("name the predicates of M4.I as this version of phasegate does, or use the version that knows this plan");

static NOTHING_OPEN: Check<Review> = Check::<Review>::new(
    "rollup.nothing_open",
    "M4I-B3",
    &["review"],
    |review| {
        let open: Vec<&str> = review.open.iter().map(String::as_str).collect();
        ensure!(open.is_empty(), "{} open: {}", open.len(), open.join(", "));
        Ok("no blocker of M4.A to M4.H is open".to_owned())
    },
    |review| {
        review.open.insert("M4A-B1".to_owned());
    },
)
.next("close the blockers that are named; each says itself how");

static DURABLE: Check<Publication> =
    durable("verdict_snapshot.durable", "M4I-B4", &["publish:m4_i_verdict_snapshot.json"], |published| {
        published.durable(Some("PG-M4.I-verdict_secret"))
    })
    .next(files::NOT_KEPT);

static NON_SECRET: Check<Publication> =
    non_secret_derived("verdict_snapshot.non_secret", "verdict_secret", &["publish:m4_i_verdict_snapshot.json"])
        .next(files::SECRET);

/// The lane.
pub(super) fn lane() -> Lane {
    Lane::new("M4.I", execute)
        .after("M4.H")
        .rolls_up()
        .proves("the snapshots of A to H read back; predicates, blockers and verdict the same when judged again")
        .checks([&PREREQUISITES_READ as &dyn AnyCheck, &EVALUATED, &NOTHING_OPEN, &NON_SECRET, &DURABLE])
        .requirement("predicates-reproducible", [EVALUATED.holds(), EVALUATED.refusal()])
        .requirement("rollup-fail-closed", [PREREQUISITES_READ.holds(), NOTHING_OPEN.holds(), NOTHING_OPEN.refusal()])
        .requirement("verdict-snapshot", [DURABLE.holds(), NON_SECRET.holds()])
}

fn execute(run: &mut LaneRun<'_>) -> Step {
    let states: BTreeMap<String, &'static str> = run.lane_states()?.into_iter().collect();
    let bucket = run.evidence_bucket()?;
    let mut lanes = BTreeMap::new();
    for (lane, file) in PREREQUISITES {
        let key = run.run_control_key(file);
        let published = run.publications_of(lane)?.remove(file);
        let published = published.and_then(|published| match published {
            Publication::Published { receipt, .. } => Some(receipt.sha256_local.clone()),
            Publication::Stopped { .. } => None,
        });
        let read = run.world()?.objects.get_object(&bucket, &key, None);
        let passed = read.map_err(|error| error.to_string()).and_then(|reply| {
            let is = sha256_hex(&reply.value.bytes);
            match published {
                Some(put) if put == is => {}
                Some(put) => return Err(format!("it has SHA-256 {is}, and {put} was published")),
                None => return Err("this execution did not publish it".to_owned()),
            }
            let body: Value = serde_json::from_slice(&reply.value.bytes).map_err(|error| error.to_string())?;
            Ok(body.get("overall_pass").and_then(Value::as_bool))
        });
        let state = states.get(lane).copied().unwrap_or("not run").to_owned();
        lanes.insert(lane.to_owned(), Left { state, uri: format!("s3://{bucket}/{key}"), passed });
    }
    let (frozen, again) = (run.decision()?, run.decide_again()?);
    let planned = run.plan().predicates.iter().map(|predicate| predicate.name.clone()).collect();
    let verdict = run.verdict_text(&frozen);
    let body = json!({
        "phase_id": "P2",
        "m4_execution_id": run.phase_execution_id(),
        "written_at_utc": run.instant().rfc3339(),
        "platform_run_id": a_handle_closure::run_of(run),
        "predicates": frozen.predicates,
        "blockers": frozen.roots.iter().map(|root| root.code.as_str()).collect::<Vec<_>>(),
        "lanes": lanes.iter().map(|(lane, left)| (lane.clone(), json!(left.state))).collect::<serde_json::Map<_, _>>(),
        "verdict": verdict,
        "basis": run.basis().word(),
        "not_a_verdict": true,
        "source_execution_ids": run.lane_execution_ids(),
        "non_secret": true,
    });
    let open = frozen.roots.iter().chain(&again.roots).map(|root| root.code.clone()).collect();
    let review = Review { lanes, planned, frozen, again, open };
    run.observe("review", "the snapshots of A to H read back; the findings, and the stored observations", &review)?;
    files::publish(run, SNAPSHOT, body, &["m4_execution_id", "predicates", "verdict"])
}

/// Goes on only where the verdict rests on what it should, and its snapshot is kept.
pub(super) fn kept(run: &LaneRun<'_>) -> Step {
    run.demand_of("M4.I", &PREREQUISITES_READ)?;
    run.demand_of("M4.I", &EVALUATED)?;
    run.demand_of("M4.I", &NOTHING_OPEN)?;
    run.demand_of("M4.I", &NON_SECRET)?;
    run.demand_of("M4.I", &DURABLE)
}
