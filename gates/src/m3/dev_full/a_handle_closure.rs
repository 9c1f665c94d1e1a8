//! M3.A: every handle that P1 needs has one value from one source, and the surfaces that P1 needs answer.

mod handles;
mod handoff;
mod surfaces;

use std::collections::BTreeMap;

use serde_json::{Value, json};
use support::run::check::{AnyCheck, Check};
use support::run::context::LaneRun;
use support::run::lane::{Lane, Step};
use support::run::rows::RowOutput;

use self::handles::{EVERY_ONE_ASKED, HandleSet, LISTED, ONE_VALUE, PINNED, PRESENT, Resolution};
use self::handoff::{HANDOFF_ADVANCES, HANDOFF_READABLE};
use self::surfaces::{BUCKET_REACHABLE, BUCKET_VERSIONED, ORCHESTRATOR, OUTPUTS_AGREE};
use super::lane_files::{self, DoorCodes, LANE_FILES, LaneFiles};

const HANDLE_EXISTS: &str = "M3A-V1-HANDLE-EXISTS";
const PLACEHOLDER_GUARD: &str = "M3A-V2-PLACEHOLDER-GUARD";
const M2_HANDOFF: &str = "M3A-V3-M2-HANDOFF";
const SFN_QUERY: &str = "M3A-V4-SFN-QUERY";
const EVIDENCE_BUCKET: &str = "M3A-V5-EVIDENCE-BUCKET";
const CORE_OUTPUTS: &str = "M3A-V6-CORE-OUTPUTS";

struct Codes;

impl DoorCodes for Codes {
    const PUT: Option<&'static str> = None;
    const SECRET: Option<&'static str> = None;
}

static CONTRACT: Check<LaneFiles> = Check::<LaneFiles>::new(
    "m3a.evidence_complete",
    "M3A-B7",
    &[LANE_FILES],
    lane_files::complete::<Codes>,
    lane_files::lose,
)
.next("do what the message says, then run the gate again");

/// The checks that the snapshot's `overall_pass` speaks of.
fn closure() -> [&'static dyn AnyCheck; 11] {
    [
        &LISTED,
        &EVERY_ONE_ASKED,
        &PRESENT,
        &PINNED,
        &ONE_VALUE,
        &HANDOFF_READABLE,
        &HANDOFF_ADVANCES,
        &ORCHESTRATOR,
        &BUCKET_REACHABLE,
        &BUCKET_VERSIONED,
        &OUTPUTS_AGREE,
    ]
}

/// The lane.
pub(super) fn lane() -> Lane {
    Lane::new("M3.A", execute)
        .asked_again()
        .documents(read_documents)
        .publishes(publish)
        .proves("every required handle has one value from one source; M2's handoff, orchestrator and evidence bucket are there")
        .checks(closure())
        .checks([&CONTRACT as &dyn AnyCheck])
        .row(HANDLE_EXISTS, [PRESENT.holds()])
        .row(PLACEHOLDER_GUARD, [PINNED.holds()])
        .row(M2_HANDOFF, [HANDOFF_READABLE.holds(), HANDOFF_ADVANCES.holds()])
        .row(SFN_QUERY, [ORCHESTRATOR.holds()])
        .row(EVIDENCE_BUCKET, [BUCKET_REACHABLE.holds()])
        .row(CORE_OUTPUTS, [OUTPUTS_AGREE.holds()])
        .requirement("handle-set-complete", [LISTED.holds(), PRESENT.holds(), PINNED.holds(), ONE_VALUE.holds()])
        .requirement("handles-verifiable", [EVERY_ONE_ASKED.holds()])
        .requirement("unresolved-handles-marked", [PRESENT.refusal(), PINNED.refusal(), ONE_VALUE.refusal()])
}

/// What must be so in the documents before the substrate is asked anything.
pub(super) fn entry() -> Vec<&'static dyn AnyCheck> {
    vec![&HANDOFF_READABLE, &HANDOFF_ADVANCES]
}

/// For M3.D: the handle that names the state machine.
pub(super) const ORCHESTRATOR_HANDLE: &str = surfaces::ORCHESTRATOR_HANDLE;

fn read_documents(run: &mut LaneRun<'_>) -> Step {
    let set = handles::handle_set(run);
    let required: Vec<String> = set.resolved.keys().cloned().collect();
    run.observe("handle_set", "tasks of M3.A; registry; handoff", &set)?;
    let lines: BTreeMap<String, Vec<usize>> =
        required.iter().map(|handle| (handle.clone(), run.handles().registry().lines_of(handle))).collect();
    run.observe("defining_lines", &run.documents().registry_path.clone(), &lines)?;
    let handoff = handoff::handoff(run);
    run.observe("m2_handoff", &handoff.path.clone(), &handoff)?;
    run.row_for_each(HANDLE_EXISTS, "HANDLE_KEY", &required)?;
    run.guard_for_each(PLACEHOLDER_GUARD, "HANDLE_KEY", &required)?;
    run.row(M2_HANDOFF)?;
    if handoff.problem.is_none() {
        run.trusted_unverified(format!("{}: no digest of it was ever recorded", handoff.path));
    }
    Ok(())
}

fn execute(run: &mut LaneRun<'_>) -> Step {
    run.row(EVIDENCE_BUCKET)?;
    run.demand(&BUCKET_REACHABLE)?;
    let bucket = run.evidence_bucket()?;
    let versioning = run.world()?.objects.bucket_versioning(&bucket);
    run.ask("evidence_versioning", &format!("s3api get-bucket-versioning --bucket {bucket}"), versioning)?;
    surfaces::observe_expected(run)?;
    run.row(SFN_QUERY)?;
    run.row(CORE_OUTPUTS)?;
    Ok(())
}

fn publish(run: &mut LaneRun<'_>) -> Step {
    let set: HandleSet = run.fact("handle_set")?;
    let checks = closure();
    let snapshot = snapshot(run, &set, &checks);
    let register = register(run, &checks);
    let receipts = command_receipts(
        run,
        &[HANDLE_EXISTS, PLACEHOLDER_GUARD, M2_HANDOFF, SFN_QUERY, EVIDENCE_BUCKET, CORE_OUTPUTS],
    );
    let mut files = LaneFiles::planned(run, "M3.A").with("m3a_execution_summary.json");
    files.leave(run, "m3a_handle_closure_snapshot.json", snapshot)?;
    files.leave(run, "m3a_blocker_register.json", register)?;
    files.leave(run, "m3a_command_receipts.json", receipts)?;
    let more = json!({ "required_handle_count": set.resolved.len() });
    let summary = lane_files::execution_summary(run, "M3.A", &checks, more);
    files.leave(run, "m3a_execution_summary.json", summary)
}

fn snapshot(run: &LaneRun<'_>, set: &HandleSet, checks: &[&'static dyn AnyCheck]) -> Value {
    let resolved: BTreeMap<&String, &Value> = set
        .resolved
        .iter()
        .filter_map(|(handle, resolution)| match resolution {
            Resolution::Value { value, .. } => Some((handle, value)),
            _ => None,
        })
        .collect();
    let classes: BTreeMap<&String, &String> = set
        .resolved
        .iter()
        .filter_map(|(handle, resolution)| match resolution {
            Resolution::Value { source_class, .. } => Some((handle, source_class)),
            _ => None,
        })
        .collect();
    let unresolved: Vec<&String> = set.resolved.keys().filter(|handle| !resolved.contains_key(handle)).collect();
    let placeholders: Vec<&String> = set
        .resolved
        .iter()
        .filter(|(_, resolution)| matches!(resolution, Resolution::Placeholder { .. }))
        .map(|(handle, _)| handle)
        .collect();
    let results: BTreeMap<&str, bool> = checks.iter().map(|check| (check.name(), run.met(&[*check]))).collect();
    json!({
        "execution_id": run.own_execution_id(),
        "written_at_utc": run.instant().rfc3339(),
        "required_handles": set.resolved.keys().collect::<Vec<_>>(),
        "resolved_handles": resolved,
        "unresolved_handles": unresolved,
        "placeholder_handles": placeholders,
        "source_class_by_handle": classes,
        "verification_results": results,
        "overall_pass": run.met(checks),
    })
}

fn register(run: &LaneRun<'_>, checks: &[&'static dyn AnyCheck]) -> Value {
    let blockers: Vec<Value> = run
        .open_among(checks)
        .into_iter()
        .map(|(code, observed)| {
            let meaning = run.plan().code(&code).map_or("", |planned| planned.meaning.as_str());
            json!({ "code": code, "meaning": meaning, "observed": observed })
        })
        .collect();
    json!({
        "execution_id": run.own_execution_id(),
        "blocker_count": blockers.len(),
        "blockers": blockers,
        "overall_pass": run.met(checks),
    })
}

/// Which calls answered the rows of a lane: template, values, and a form that is safe to paste.
pub(super) fn command_receipts(run: &LaneRun<'_>, rows: &[&str]) -> Value {
    let receipts: Vec<Value> = rows
        .iter()
        .map(|row| match run.fact::<RowOutput>(row) {
            Ok(output) => json!({
                "verify_id": row,
                "template": output.template,
                "documented_at": output.documented_at,
                "calls": output
                    .runs
                    .iter()
                    .map(|call| json!({ "call": call.call, "bindings": call.bindings, "supplied": call.supplied }))
                    .collect::<Vec<_>>(),
                "follow_ups": output.follow_ups.values().map(|read| read.call.as_str()).collect::<Vec<_>>(),
            }),
            Err(_) => json!({ "verify_id": row, "calls": [], "why": "gave no answer, or was not asked" }),
        })
        .collect();
    json!({ "execution_id": run.own_execution_id(), "receipts": receipts })
}
