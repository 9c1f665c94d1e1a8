//! Where P(-1)'s evidence goes: under the run that the image is packaged for.

use serde_json::Value;
use support::run::context::{File, LaneRun, To};
use support::run::lane::{Step, Stop};

use super::a_image_contract;

/// The phase, as the runbook and the evidence name it.
pub(super) const PHASE_ID: &str = "P(-1)";

/// The objects of P(-1): after the first refusal for one, no other is put.
const GROUP: &str = "packaging_objects";

/// The key of a file of this phase.
pub(super) fn key(run: &LaneRun<'_>, name: &str) -> Result<String, Stop> {
    let identity = a_image_contract::accepted(run)?;
    let Some(platform_run_id) = identity.platform_run_id else {
        return Err(Stop::Fault("no run is named that the image is packaged for".to_owned()));
    };
    let pattern = run.text("EVIDENCE_PHASE_PREFIX_PATTERN")?;
    let prefix = run.fill(&pattern, &[("platform_run_id", &platform_run_id), ("phase_id", PHASE_ID)])?;
    Ok(format!("{prefix}{name}"))
}

/// Publishes a file of this phase.
pub(super) fn publish(run: &mut LaneRun<'_>, name: &str, body: Value, fields: &[&str]) -> Step {
    let key = key(run, name)?;
    let documented = run.documented_path(&format!("runs/dev_substrate/m1_build_go/<timestamp>/{name}"));
    let file =
        File { name, body, minimum_fields: fields, to: To::Key { key, group: GROUP }, documented: Some(documented) };
    run.publish(file).map(drop)
}

/// Who is at work: where GitHub runs it, who started that; else the principal that AWS knows.
pub(super) fn actor(run: &LaneRun<'_>) -> Result<String, Stop> {
    let principal = &run.world()?.principal;
    Ok(match (run.given("GITHUB_ACTOR"), run.given("GITHUB_RUN_ID")) {
        (Some(actor), Some(id)) => format!("github:{actor}/run/{id}"),
        _ => format!("aws:{principal}"),
    })
}
