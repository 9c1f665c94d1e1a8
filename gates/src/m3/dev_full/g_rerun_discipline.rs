//! M3.G: what a rerun or a reset may do is written down; what nobody may do was not done.

mod drift;
mod mutation;
mod policy;
mod resets;
mod run_control;

use serde_json::{Value, json};
use support::run::check::{AnyCheck, Check};
use support::run::context::LaneRun;
use support::run::lane::{Lane, Step};

use self::drift::{Drift, NO_DRIFT};
use self::mutation::{Mutation, UNTOUCHED};
use self::policy::{DRIFT_LAW, LAWS, PROHIBITION, Policy, RULES, SAME_CLASSES};
use self::resets::{ADJUDICATED, AUDITED, CLASSED};
use super::lane_files::{self, DoorCodes, LANE_FILES, LaneFiles};
use super::upstream::Identity;

const RUNBOOK_RULES: &str = "M3G-V1-RUNBOOK-RULES";
const IDENTITY_DRIFT: &str = "M3G-V2-IDENTITY-DRIFT";
const RESET_RECEIPTS: &str = "M3G-V5-RESET-RECEIPTS";
const DURABLE_PUBLISH: &str = "M3G-V6-DURABLE-PUBLISH";

struct Codes;

impl DoorCodes for Codes {
    const PUT: Option<&'static str> = Some("M3G-B7");
    const SECRET: Option<&'static str> = None;
}

static PUBLISHED: Check<LaneFiles> =
    Check::<LaneFiles>::new("m3g.published", "M3G-B7", &[LANE_FILES], lane_files::published::<Codes>, lane_files::lose)
        .next(
            "read what S3 answered, make s3:PutObject and s3:GetObject work on the evidence bucket, run the gate again",
        );

static CONTRACT: Check<LaneFiles> = Check::<LaneFiles>::new(
    "m3g.evidence_complete",
    "M3G-B8",
    &[LANE_FILES],
    lane_files::complete::<Codes>,
    lane_files::lose,
)
.next("do what the message says, then run the gate again");

/// The checks that the snapshot's `overall_pass` speaks of.
fn discipline_checks() -> [&'static dyn AnyCheck; 10] {
    [&RULES, &LAWS, &PROHIBITION, &DRIFT_LAW, &SAME_CLASSES, &UNTOUCHED, &NO_DRIFT, &AUDITED, &CLASSED, &ADJUDICATED]
}

/// The lane.
pub(super) fn lane() -> Lane {
    let lane = Lane::new("M3.G", execute)
        .publishes(publish)
        .proves("plan and runbook agree on reruns and resets; identity did not drift, nothing committed was touched")
        .checks(discipline_checks())
        .checks([&PUBLISHED as &dyn AnyCheck, &CONTRACT])
        .row(RUNBOOK_RULES, [RULES.holds()])
        .row(IDENTITY_DRIFT, [NO_DRIFT.holds()])
        .row("M3G-V3-PROHIBITED-MUTATION-GUARD", [UNTOUCHED.holds()])
        .row("M3G-V4-RESET-CLASS-MAP", [CLASSED.holds()])
        .row(RESET_RECEIPTS, [AUDITED.holds()])
        .row(DURABLE_PUBLISH, [PUBLISHED.holds()])
        .requirement("rerun-rules", [RULES.holds(), LAWS.holds(), SAME_CLASSES.holds()])
        .requirement("destructive-prohibited", [PROHIBITION.holds(), UNTOUCHED.refusal()])
        .requirement("identity-drift", [DRIFT_LAW.holds(), NO_DRIFT.refusal()]);
    ["M3.B", "M3.C", "M3.D", "M3.E", "M3.F"].into_iter().fold(lane, Lane::after)
}

fn execute(run: &mut LaneRun<'_>) -> Step {
    policy::observe(run)?;
    let identity = match Identity::of_files(run) {
        Ok(identity) => identity,
        Err(why) => {
            drift::unknown(run, &why)?;
            return run.demand(&NO_DRIFT);
        }
    };
    mutation::observe(run, &identity)?;
    let control = run_control::list(run, "drift")?;
    drift::observe(run, &identity, &control)?;
    resets::observe(run, &identity, &control)
}

fn publish(run: &mut LaneRun<'_>) -> Step {
    let checks = discipline_checks();
    let snapshot = snapshot(run, &checks)?;
    let mut matrix = json!(resets::matrix(run)?);
    let guard = guard_receipts(run);
    let results: serde_json::Map<String, Value> =
        checks.iter().map(|check| (check.name().to_owned(), json!(run.met(&[*check])))).collect();
    if let Some(matrix) = matrix.as_object_mut() {
        matrix.insert("execution_id".to_owned(), json!(run.own_execution_id()));
        matrix.insert("overall_pass".to_owned(), json!(run.met(&[&AUDITED, &CLASSED, &ADJUDICATED])));
    }
    let mut files = LaneFiles::planned(run, "M3.G");
    files.leave_by_row(run, DURABLE_PUBLISH, "m3g_rerun_reset_policy_snapshot.json", snapshot)?;
    files.leave_by_row(run, DURABLE_PUBLISH, "m3g_reset_class_matrix.json", matrix)?;
    files.leave_by_row(run, DURABLE_PUBLISH, "m3g_prohibited_mutation_guard_receipts.json", guard)?;
    let mut all: Vec<&'static dyn AnyCheck> = checks.to_vec();
    all.push(&PUBLISHED);
    let summary = lane_files::execution_summary(run, "M3.G", &all, json!({ "verification_results": results }));
    files.leave_by_row(run, DURABLE_PUBLISH, "m3g_execution_summary.json", summary)
}

fn snapshot(run: &LaneRun<'_>, checks: &[&'static dyn AnyCheck]) -> Result<Value, support::run::lane::Stop> {
    let policy: Policy = run.fact("policy")?;
    let drift: Option<Drift> = run.fact("drift").ok();
    let identity = drift.and_then(|drift| drift.current.ok());
    let of = |read: fn(&Identity) -> &String| identity.as_ref().map_or("-", |identity| read(identity));
    Ok(json!({
        "execution_id": run.own_execution_id(),
        "written_at_utc": run.instant().rfc3339(),
        "platform_run_id": of(|identity| &identity.platform_run_id),
        "scenario_run_id": of(|identity| &identity.scenario_run_id),
        "config_digest": of(|identity| &identity.config_digest),
        "identity_drift_policy": policy.drift,
        "boundary_rerun_policy": policy.boundary,
        "permitted_reset_classes": policy.permitted().unwrap_or_default(),
        "prohibited_actions": policy.prohibited(),
        "fallback_approval_rule": policy.approval,
        "audit_rule": policy.audit,
        "overall_pass": run.met(checks),
    }))
}

/// What was looked at to show that nothing committed was destroyed, and that identity did not drift.
fn guard_receipts(run: &LaneRun<'_>) -> Value {
    let mutation: Option<Mutation> = run.fact("mutation").ok();
    let drift: Option<Drift> = run.fact("drift").ok();
    json!({
        "execution_id": run.own_execution_id(),
        "committed_evidence": mutation,
        "identity": drift,
        "overall_pass": run.met(&[&UNTOUCHED, &NO_DRIFT]),
    })
}
