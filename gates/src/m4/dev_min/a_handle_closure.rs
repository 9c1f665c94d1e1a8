//! M4.A: M3's verdict, and one concrete value for every handle of P2, before any service is touched.

mod entry;
mod handles;

use serde_json::{Map, Value, json};
use support::run::check::{AnyCheck, Check, Proof};
use support::run::context::LaneRun;
use support::run::lane::{Lane, Step, Stop};
use support::run::publication::{Publication, durable, non_secret_derived};

pub(super) use self::entry::Entry;
use self::entry::{ADVANCES, PINNED};
use self::handles::{CONCRETE, LISTED, RESOLVED};
pub(super) use self::handles::{Handle, HandleSet};
use super::files;

pub(super) const SNAPSHOT: &str = "m4_a_handle_closure_snapshot.json";

static DURABLE: Check<Publication> =
    durable("closure.durable", "M4A-B3", &["publish:m4_a_handle_closure_snapshot.json"], |published| {
        published.durable(Some("PG-M4.A-closure_secret"))
    })
    .next(files::NOT_KEPT);

static NON_SECRET: Check<Publication> =
    non_secret_derived("closure.non_secret", "closure_secret", &["publish:m4_a_handle_closure_snapshot.json"])
        .next(files::SECRET);

/// What the snapshot answers for.
const ASKED: [&dyn AnyCheck; 5] = [&ADVANCES, &PINNED, &LISTED, &RESOLVED, &CONCRETE];

/// The lane.
pub(super) fn lane() -> Lane {
    Lane::new("M4.A", execute)
        .asked_again()
        .documents(read_documents)
        .publishes(publish)
        .proves("M3 says ADVANCE_TO_M4 of one run; every handle of P2 has one concrete value, its origin and its class")
        .checks(ASKED)
        .checks([&NON_SECRET as &dyn AnyCheck, &DURABLE])
        .requirement("m3-handoff-verified", [ADVANCES.holds(), ADVANCES.refusal(), PINNED.holds()])
        .requirement("handle-set-resolved", [LISTED.holds(), RESOLVED.holds(), CONCRETE.holds(), CONCRETE.refusal()])
        .requirement("no-unresolved-handle", [RESOLVED.holds(), RESOLVED.refusal()])
        .requirement("closure-snapshot", [DURABLE.holds(), NON_SECRET.holds()])
}

/// `handles_closed`.
pub(super) fn held() -> Vec<Proof> {
    vec![Proof::Lane("M4.A")]
}

/// What must be so in the documents before the substrate is asked anything.
pub(super) fn entry() -> Vec<&'static dyn AnyCheck> {
    vec![&LISTED, &CONCRETE]
}

fn read_documents(run: &mut LaneRun<'_>) -> Step {
    let set = handles::of_documents(run);
    run.observe("handle_set", "tasks of M4.A; registry; handoffs", &set)?;
    if run.documents().from.is_some() {
        return Ok(());
    }
    let entry = entry::of_documents(run);
    if entry.pack.is_ok() && entry.verdict.is_ok() {
        run.trusted_unverified(format!("{}: no digest of it was ever recorded", entry.pack_at));
        run.trusted_unverified(format!("{}: no digest of it was ever recorded", entry.verdict_at));
    }
    trust_older(run, &entry);
    run.observe("entry", &format!("{}; {}", entry.verdict_at, entry.pack_at), &entry)
}

/// Handoffs that no verdict lists are said to be trusted.
fn trust_older(run: &mut LaneRun<'_>, entry: &Entry) {
    for (path, _) in entry.older.iter().filter(|(_, listed)| !listed) {
        run.trusted_unverified(format!("{path}: no verdict lists its digest"));
    }
}

fn execute(run: &mut LaneRun<'_>) -> Step {
    if let Some(execution) = run.documents().from.clone() {
        let entry = entry::of_execution_in_store(run, &execution)?;
        trust_older(run, &entry);
        run.observe("entry", &format!("get-object of {} and {}", entry.verdict_at, entry.pack_at), &entry)?;
    }
    run.demand(&ADVANCES)?;
    let entry: Entry = run.fact("entry")?;
    entry::look_up(run, &entry)?;
    let set: HandleSet = run.fact("handle_set")?;
    handles::look_up(run, &set)?;
    if let Some(id) = entry.platform_run_id() {
        run.bind("platform_run_id", &id);
    }
    Ok(())
}

fn publish(run: &mut LaneRun<'_>) -> Step {
    let entry: Entry = run.fact("entry")?;
    if entry.platform_run_id().is_none() {
        // A snapshot is of a run.
        return run.demand(&ADVANCES);
    }
    let set: HandleSet = run.fact("handle_set")?;
    let mut resolved = Map::new();
    let mut open = Vec::new();
    for (name, handle) in &set.handles {
        match handle {
            Handle::Resolved { value, origin, made_by, class } => {
                resolved.insert(
                    name.clone(),
                    json!({ "value": value, "origin": origin, "materialization_origin": made_by, "secret_class": class }),
                );
            }
            Handle::Ambiguous { .. } | Handle::Unresolved { .. } => open.push(name.clone()),
        }
    }
    let wildcard = !set.wildcards.is_empty()
        || set
            .handles
            .values()
            .any(|handle| matches!(handle, Handle::Resolved { value, .. } if handles::is_wildcard(value)));
    let body = json!({
        "m4_execution_id": run.phase_execution_id(),
        "written_at_utc": run.instant().rfc3339(),
        "platform_run_id": entry.platform_run_id(),
        "required_handle_keys": set.handles.keys().collect::<Vec<_>>(),
        "resolved_handle_count": resolved.len(),
        "unresolved_handle_count": open.len(),
        "unresolved_handle_keys": open,
        "wildcard_key_present": wildcard,
        "m3_verdict": entry.decided().unwrap_or_else(|| "not known".to_owned()),
        "m3_handoff_uri": entry.pack_at,
        "m3_execution_id": entry.of_pack("m3_execution_id"),
        "resolved_handles": Value::Object(resolved),
        "blockers": run.open_among(&ASKED),
        "overall_pass": run.met(&ASKED),
        "non_secret": true,
    });
    let fields = [
        "m4_execution_id",
        "platform_run_id",
        "required_handle_keys",
        "resolved_handle_count",
        "unresolved_handle_count",
        "wildcard_key_present",
        "m3_verdict",
        "m3_handoff_uri",
    ];
    files::publish(run, SNAPSHOT, body, &fields)
}

/// What M3 handed over, as this lane accepted it.
pub(super) fn accepted(run: &LaneRun<'_>) -> Result<Entry, Stop> {
    run.demand_of("M4.A", &ADVANCES)?;
    run.fact("M4.A/entry")
}

/// The handles, as this lane closed them.
pub(super) fn closed(run: &LaneRun<'_>) -> Result<HandleSet, Stop> {
    run.fact("M4.A/handle_set")
}

/// The run, where M3 has named one.
pub(super) fn run_of(run: &LaneRun<'_>) -> Option<String> {
    run.fact::<Entry>("M4.A/entry").ok()?.platform_run_id()
}
