//! `build_command_surface_receipt.json`: what was carried out, and what came of it, also where it failed.

use serde_json::{Value, json};
use support::run::check::{AnyCheck, Check};
use support::run::context::LaneRun;
use support::run::lane::Step;
use support::run::publication::{Publication, durable_derived, non_secret_derived};

use super::build_actor;
use super::commands::{COMMANDS, INPUTS, STEPS, Surface};
use super::image::{BUILT, Built};
use super::push::{AGREED, PUSHED, RESOLVED, Resolved, SAME_IMAGE, TAG_FREE};
use crate::m1::dev_min::{a_image_contract, f_driver, files};

/// The file's name.
pub(in crate::m1::dev_min) const RECEIPT: &str = "build_command_surface_receipt.json";

pub(super) static RECEIPT_DURABLE: Check<Publication> = durable_derived(
    "build_receipt.durable",
    "receipt",
    &["publish:build_command_surface_receipt.json"],
    |published| published.durable(Some("PG-M1.E-receipt_secret")),
)
.next("read what S3 answered, make s3:PutObject and s3:GetObject work on the evidence bucket, and package under a new run id");

pub(super) static RECEIPT_NON_SECRET: Check<Publication> =
    non_secret_derived("build_receipt.non_secret", "receipt_secret", &["publish:build_command_surface_receipt.json"])
        .next("take the secret out of the build's output, and rotate it");

/// The checks whose answer the receipt bears.
const ASKED: [&dyn AnyCheck; 8] = [&COMMANDS, &INPUTS, &BUILT, &TAG_FREE, &PUSHED, &RESOLVED, &AGREED, &SAME_IMAGE];

pub(super) fn publish(run: &mut LaneRun<'_>) -> Step {
    let identity = a_image_contract::accepted(run)?;
    let driver = f_driver::accepted(run)?;
    let surface: Surface = run.fact("surface")?;
    let built: Option<Built> = run.fact("built").ok();
    let resolved: Option<Resolved> = run.fact("resolved").ok();
    let open = run.open_among(&ASKED);
    let done: Vec<Value> = STEPS
        .iter()
        .zip(&surface.commands)
        .map(|((what, _), (template, line))| json!({ "step": what, "template": template, "plan_line": line }))
        .collect();
    let body = json!({
        "phase_id": files::PHASE_ID,
        "platform_run_id": identity.platform_run_id,
        "written_at_utc": run.instant().rfc3339(),
        "image_build_driver": driver.selected(),
        "driver_at_work": driver.at_work,
        "command_family_id": driver.family(),
        "commands": done,
        "carried_out_by": "phasegate: the engine's and AWS's own interfaces, no shell",
        "immutable_tag": identity.tag.as_deref().ok(),
        "resolved_digest": resolved.as_ref().and_then(|r| r.registry.as_deref()),
        "resolved_digest_by_ecr": resolved.as_ref().and_then(|r| r.ecr.as_deref()),
        "context_digest": built.as_ref().and_then(|b| b.context_digest.as_deref()),
        "image_taken": built.as_ref().is_some_and(|b| b.taken),
        "build_log_end": built.as_ref().map(|b| b.log.as_str()).filter(|_| !open.is_empty()),
        "build_actor": build_actor(run, built.as_ref())?,
        "verdict": if open.is_empty() { "PASS" } else { "FAIL" },
        "failure_reason": open,
        "non_secret": true,
    });
    let fields =
        ["image_build_driver", "command_family_id", "immutable_tag", "build_actor", "written_at_utc", "verdict"];
    files::publish(run, RECEIPT, body, &fields)
}
