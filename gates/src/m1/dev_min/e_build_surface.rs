//! M1.E: the image is built, pushed and resolved by the plan's own commands, and by no others.

mod commands;
mod image;
mod push;
mod receipt;

use support::run::check::{AnyCheck, Proof};
use support::run::context::LaneRun;
use support::run::lane::{Lane, Step, Stop};

use self::commands::{COMMANDS, INPUTS};
pub(super) use self::image::Built;
pub(super) use self::push::{Resolved, resolve_again};

use self::image::BUILT;
use self::push::{AGREED, PUSHED, RESOLVED, SAME_IMAGE, TAG_FREE};
use self::receipt::{RECEIPT_DURABLE, RECEIPT_NON_SECRET};
use super::a_image_contract;
use super::source;

/// The lane.
pub(super) fn lane() -> Lane {
    Lane::new("M1.E", execute)
        .after("M1.A")
        .after("M1.F")
        .documents(commands::observe)
        .publishes(receipt::publish)
        .pins_the_run()
        .may_be_given(source::IMAGE)
        .may_be_given(source::BASE_IMAGE)
        .may_be_given(push::CONVENIENCE_TAG)
        .may_be_given(commands::ALSO_GIVEN[0])
        .may_be_given(commands::ALSO_GIVEN[1])
        .may_be_given(commands::ALSO_GIVEN[2])
        .may_be_given(commands::ALSO_GIVEN[3])
        .proves("built by the plan's commands, pushed once under its immutable tag, resolved to one digest by registry and ECR")
        .checks([
            &COMMANDS as &dyn AnyCheck,
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
    vec![&COMMANDS, &INPUTS]
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

/// What the tag resolved to.
pub(super) fn resolved(run: &LaneRun<'_>) -> Result<Resolved, Stop> {
    run.fact("M1.E/resolved")
}
