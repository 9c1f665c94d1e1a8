//! M1.E: the image is built, pushed and resolved by the plan's own commands, and by no others.

mod commands;
mod image;
mod push;
mod receipt;

use support::run::check::{AnyCheck, Check, Proof};
use support::run::context::LaneRun;
use support::run::lane::{Lane, Step, Stop};

use self::commands::{COMMANDS, INPUTS};
pub(super) use self::image::{Built, OtherLog};
pub(super) use self::push::{Resolved, resolve_again};

use self::image::BUILT;
use self::push::{AGREED, PUSHED, RESOLVED, SAME_IMAGE, TAG_FREE};
use self::receipt::{RECEIPT_DURABLE, RECEIPT_NON_SECRET};
use super::records::{self, Records};
use super::{a_image_contract, files, h_validation, source};

/// What M1.E writes down of what fails and what is tried again.
const POSTURE: &str = "failure/retry posture";

static WRITTEN: Check<Records> = records::written("posture.written", "posture");

/// The lane.
pub(super) fn lane() -> Lane {
    Lane::new("M1.E", execute)
        .after("M1.A")
        .after("M1.F")
        .documents(|run| {
            records::observe(run, "M1.E", &[POSTURE])?;
            commands::observe(run)
        })
        .rests_on(POSTURE)
        .rests_on("build command surface")
        .rests_on("required inputs")
        .publishes(receipt::publish)
        .pins_the_run()
        .may_be_given(source::IMAGE)
        .may_be_given(source::BASE_IMAGE)
        .may_be_given(source::BUILD_LOG)
        .may_be_given(push::CONVENIENCE_TAG)
        .may_be_given(commands::ALSO_GIVEN[0])
        .may_be_given(commands::ALSO_GIVEN[1])
        .may_be_given(commands::ALSO_GIVEN[2])
        .may_be_given(commands::ALSO_GIVEN[3])
        .proves("built by the plan's commands, pushed once under its immutable tag, resolved to one digest by registry and ECR")
        .checks([
            &WRITTEN as &dyn AnyCheck,
            &COMMANDS,
            &INPUTS,
            &BUILT,
            &TAG_FREE,
            &PUSHED,
            &RESOLVED,
            &AGREED,
            &SAME_IMAGE,
            &RECEIPT_NON_SECRET,
            &RECEIPT_DURABLE,
        ])
        .requirement("command-surface", [COMMANDS.holds(), COMMANDS.refusal()])
        .requirement("required-inputs", [INPUTS.holds()])
        .requirement(
            "failure-handling",
            [
                WRITTEN.holds(),
                BUILT.holds(),
                BUILT.refusal(),
                TAG_FREE.refusal(),
                PUSHED.holds(),
                PUSHED.refusal(),
                RESOLVED.refusal(),
                AGREED.holds(),
                AGREED.refusal(),
                SAME_IMAGE.holds(),
                RECEIPT_DURABLE.holds(),
            ],
        )
}

/// `build_surface_held`.
pub(super) fn held() -> Vec<Proof> {
    vec![Proof::Lane("M1.E")]
}

/// What must be so before anything is built.
pub(super) fn entry() -> Vec<&'static dyn AnyCheck> {
    vec![&WRITTEN, &COMMANDS, &INPUTS]
}

fn execute(run: &mut LaneRun<'_>) -> Step {
    let identity = a_image_contract::accepted(run)?;
    let built = image::make(run, &identity)?;
    run.demand(&BUILT)?;
    push::publish(run, &identity, &built)
}

/// The image that was built, as the engine has it.
pub(super) fn built(run: &LaneRun<'_>) -> Result<Built, Stop> {
    run.fact("M1.E/built")
}

/// Who built the image: whoever is at work, where it was built now; of one that is taken, who its workflow says.
pub(super) fn build_actor(run: &LaneRun<'_>, built: Option<&Built>) -> Result<String, Stop> {
    let actor = files::actor(run)?;
    if !built.is_some_and(|built| built.taken) {
        return Ok(actor);
    }
    let said = h_validation::said(run);
    Ok(match (said.get("build_actor"), said.get("ci_run_id")) {
        (Some(builder), Some(id)) => format!("github:{builder}/run/{id}"),
        _ => format!("operator, not named; taken by {actor}"),
    })
}

/// What the tag resolved to.
pub(super) fn resolved(run: &LaneRun<'_>) -> Result<Resolved, Stop> {
    run.fact("M1.E/resolved")
}
