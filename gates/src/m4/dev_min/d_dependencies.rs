//! M4.D: the network is the demo's, without NAT; the parameters, Kafka, S3, the database and the logs answer, from where the gate runs.

mod network;
mod reachable;

use serde_json::{Value, json};
use support::run::check::{AnyCheck, Check, Proof};
use support::run::context::LaneRun;
use support::run::lane::{Lane, Step};
use support::run::publication::{Publication, durable, non_secret_derived};

use self::network::{POSTURE, Posture};
use self::reachable::{Answers, ENCRYPTED, Parameters, REACHED, summary};
pub(super) use self::reachable::{kafka_address, without_place};
use super::{a_handle_closure, files};

pub(super) const SNAPSHOT: &str = "m4_d_dependency_snapshot.json";

static DURABLE: Check<Publication> =
    durable("dependencies.durable", "M4D-B3", &["publish:m4_d_dependency_snapshot.json"], |published| {
        published.durable(Some("PG-M4.D-dependencies_secret"))
    })
    .next(files::NOT_KEPT);

static NON_SECRET: Check<Publication> =
    non_secret_derived("dependencies.non_secret", "dependencies_secret", &["publish:m4_d_dependency_snapshot.json"])
        .next(files::SECRET);

/// What the snapshot answers for.
const ASKED: [&dyn AnyCheck; 3] = [&REACHED, &ENCRYPTED, &POSTURE];

/// The lane.
pub(super) fn lane() -> Lane {
    Lane::new("M4.D", execute)
        .after("M4.C")
        .asked_again()
        .publishes(publish)
        .proves("no NAT gateway; subnets and security group of the VPC; the services' parameters; Kafka with its topics, S3, the database and the logs answer")
        .checks(ASKED)
        .checks([&NON_SECRET as &dyn AnyCheck, &DURABLE])
        .requirement("dependencies-reachable", [REACHED.holds(), ENCRYPTED.holds(), POSTURE.holds()])
        .requirement("unreachable-marked", [REACHED.holds(), REACHED.refusal(), POSTURE.refusal()])
        .requirement("dependency-snapshot", [DURABLE.holds(), NON_SECRET.holds()])
}

/// `dependencies_reachable`.
pub(super) fn held() -> Vec<Proof> {
    vec![Proof::Lane("M4.D")]
}

fn execute(run: &mut LaneRun<'_>) -> Step {
    network::observe(run)?;
    reachable::observe(run)
}

fn publish(run: &mut LaneRun<'_>) -> Step {
    let entry = a_handle_closure::accepted(run)?;
    let posture: Option<Posture> = run.fact("posture").ok();
    let parameters: Option<Parameters> = run.fact("parameters").ok();
    let answers: Option<Answers> = run.fact("answers").ok();
    let body = json!({
        "m4_execution_id": run.phase_execution_id(),
        "written_at_utc": run.instant().rfc3339(),
        "platform_run_id": entry.platform_run_id(),
        // Where the daemons will be is inside the VPC; what answers here need not answer there.
        "measured_from": "where the gate ran",
        "network": posture.map_or(Value::Null, |posture| posture.summary()),
        "parameters": parameters.map_or(Value::Null, |parameters| summary(&parameters)),
        "dependencies": answers.map_or(Value::Null, |answers| answers.summary()),
        "blockers": run.open_among(&ASKED),
        "overall_pass": run.met(&ASKED),
        "non_secret": true,
    });
    files::publish(run, SNAPSHOT, body, &["m4_execution_id", "platform_run_id", "network", "dependencies"])
}
