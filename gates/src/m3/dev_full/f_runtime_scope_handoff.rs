//! M3.F: the pack that hands M4 the scope of its run, copied from what earlier lanes left.

mod publication;
mod references;
mod scope;
mod sources;

use serde_json::{Value, json};
use support::run::check::AnyCheck;
use support::run::context::LaneRun;
use support::run::lane::{Lane, Step};
use support::run::rows::RowOutput;

use self::publication::{CONTRACT, NON_SECRET, PUBLISHED, READ_BACK};
use self::references::REFERENCES;
use self::scope::{
    BOUND, Binding, CORRELATION, CORRELATION_WRITTEN, Correlation, ENV_KEY_FIELD, ENV_VALUE_FIELD, MAPPING_WRITTEN,
    Pack,
};
use self::sources::{LANES, SOURCES, Sources};
use super::lane_files::{self, LaneFiles};

const REF_READABLE: &str = "M3F-V4-REF-READABLE";
const HANDOFF_PUBLISH: &str = "M3F-V5-HANDOFF-PUBLISH";
const HANDOFF_READBACK: &str = "M3F-V6-HANDOFF-READBACK";

/// What M4 takes over. It is durable before the phase is judged, and says that it is no verdict.
pub(super) const PACK: &str = "m4_handoff_pack.json";

/// What must be so before the pack may leave.
fn scope_checks() -> [&'static dyn AnyCheck; 6] {
    [&SOURCES, &MAPPING_WRITTEN, &BOUND, &CORRELATION_WRITTEN, &CORRELATION, &REFERENCES]
}

/// The lane.
pub(super) fn lane() -> Lane {
    let lane = Lane::new("M3.F", execute)
        .publishes(publish)
        .proves("M4's pack names run, env variable and correlation fields as pinned; what it points to opens")
        .checks(scope_checks())
        .checks([&NON_SECRET as &dyn AnyCheck, &PUBLISHED, &READ_BACK, &CONTRACT])
        .row("M3F-V1-INPUTS", [SOURCES.holds()])
        .row("M3F-V2-ENV-BINDING", [BOUND.holds()])
        .row("M3F-V3-CORRELATION-CONTRACT", [CORRELATION.holds()])
        .row(REF_READABLE, [REFERENCES.holds()])
        .row(HANDOFF_PUBLISH, [PUBLISHED.holds()])
        .row(HANDOFF_READBACK, [READ_BACK.holds()])
        .requirement("handoff-complete", [SOURCES.holds(), CORRELATION.holds(), CONTRACT.holds()])
        .requirement("references-readable", [REFERENCES.holds()])
        .requirement("env-mapping", [MAPPING_WRITTEN.holds(), BOUND.refusal()]);
    LANES.into_iter().fold(lane, Lane::after)
}

fn execute(run: &mut LaneRun<'_>) -> Step {
    let sources = sources::read(run);
    run.observe("sources", "the files that M3.B to M3.E left, read again from disk", &sources)?;
    run.demand(&SOURCES)?;
    let pack = scope::assemble(run, &sources)?;
    run.observe("pack", "those files; the registry's correlation fields", &pack)?;
    let binding = scope::binding(run);
    run.observe("binding", "the plan's law; the registry read again; M3.B's seed", &binding)?;
    let correlation = scope::correlation(run);
    run.observe("correlation", "the runbook's correlation rule; the plan's law", &correlation)?;
    references::observe(run, &pack)
}

fn publish(run: &mut LaneRun<'_>) -> Step {
    let checks = scope_checks();
    let pack: Option<Pack> = run.fact("pack").ok();
    let mut files = LaneFiles::planned(run, "M3.F");
    let mut stopped = Ok(());
    let made = pack.as_ref().filter(|_| run.met(&checks));
    if let Some(pack) = made {
        let body = body(run, pack);
        files.leave_by_row(run, HANDOFF_PUBLISH, PACK, body)?;
        // What this read says is for its check; the lane's other files are left either way.
        stopped = read_back(run, &files);
    } else {
        // A pack that M4 may not use must not exist.
        files.withhold(run, PACK, &checks)?;
    }
    let snapshot = binding_snapshot(run, pack.as_ref());
    files.leave(run, "m3f_runtime_scope_binding_snapshot.json", snapshot)?;
    let receipts = reference_receipts(run);
    files.leave(run, "m3f_handoff_reference_receipts.json", receipts)?;
    let mut all: Vec<&'static dyn AnyCheck> = checks.to_vec();
    if made.is_some() {
        all.extend([&PUBLISHED as &dyn AnyCheck, &READ_BACK]);
    }
    let run_id = pack.map(|pack| pack.identity.platform_run_id);
    let summary = lane_files::execution_summary(run, "M3.F", &all, json!({ "platform_run_id": run_id }));
    files.leave(run, "m3f_execution_summary.json", summary)?;
    stopped
}

/// The pack as M4 gets it.
fn body(run: &LaneRun<'_>, pack: &Pack) -> Value {
    json!({
        "execution_id": run.own_execution_id(),
        "phase_execution_id": run.phase_execution_id(),
        "phase_id": "P1",
        "written_at_utc": run.instant().rfc3339(),
        "basis": run.basis().word(),
        "not_a_verdict": true,
        "platform_run_id": pack.identity.platform_run_id,
        "scenario_run_id": pack.identity.scenario_run_id,
        "config_digest": pack.identity.config_digest,
        ENV_KEY_FIELD: pack.env_key,
        ENV_VALUE_FIELD: pack.env_value,
        "correlation_required_fields": pack.correlation.as_deref().unwrap_or_default(),
        "durable_references": pack.references,
        "source_execution_ids": pack.source_execution_ids,
        "overall_pass": run.met(&scope_checks()),
    })
}

/// Reads the pack back by the row that documents it, once it has been put.
fn read_back(run: &mut LaneRun<'_>, files: &LaneFiles) -> Step {
    if !files.left.get(PACK).is_some_and(publication::was_put) {
        return Ok(());
    }
    let folder = format!("{}/{}", run.evidence_bucket()?, run.lane_control_key(""));
    run.row_with(HANDOFF_READBACK, &[("elision_1", folder.trim_end_matches('/'))]).map(drop)
}

fn binding_snapshot(run: &LaneRun<'_>, pack: Option<&Pack>) -> Value {
    let binding: Option<Binding> = run.fact("binding").ok();
    let correlation: Option<Correlation> = run.fact("correlation").ok();
    let sources: Option<Sources> = run.fact("sources").ok();
    let results: serde_json::Map<String, Value> =
        scope_checks().iter().map(|check| (check.name().to_owned(), json!(run.met(&[*check])))).collect();
    json!({
        "execution_id": run.own_execution_id(),
        "written_at_utc": run.instant().rfc3339(),
        "platform_run_id": pack.map(|pack| &pack.identity.platform_run_id),
        ENV_KEY_FIELD: pack.map(|pack| &pack.env_key),
        ENV_VALUE_FIELD: pack.map(|pack| &pack.env_value),
        "correlation_required_fields": pack.map(|pack| &pack.correlation),
        "held_against": { "binding": binding, "correlation": correlation },
        "sources": sources.map(|sources| sources.files),
        "verification_results": results,
        "overall_pass": run.met(&scope_checks()),
    })
}

fn reference_receipts(run: &LaneRun<'_>) -> Value {
    let row: Option<RowOutput> = run.fact(REF_READABLE).ok();
    let heads: Vec<Value> = row
        .iter()
        .flat_map(|row| &row.runs)
        .map(|asked| json!({ "call": asked.call, "output": asked.output }))
        .collect();
    let reads: Vec<&str> = row.iter().flat_map(|row| row.follow_ups.values()).map(|read| read.call.as_str()).collect();
    json!({
        "execution_id": run.own_execution_id(),
        "heads": heads,
        "opened": reads,
        "overall_pass": run.met(&[&REFERENCES]),
    })
}
