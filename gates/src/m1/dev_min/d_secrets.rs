//! M1.D: no secret in the context, in a layer or in the image's own words; at run time each from its one source, by who needs it.

mod image;
mod roles;
mod sources;
mod startup;

use serde_json::json;
use support::run::check::Check;
use support::run::check::{AnyCheck, Proof};
use support::run::context::LaneRun;
use support::run::lane::{Lane, Step, Stop};
use support::run::publication::{Publication, durable_derived, non_secret_derived};

use self::image::{
    BUILD_LOG, CONTEXT, DOCKERFILE, ENVIRONMENT, KEPT_OUT, LAYERS, LAYERS_OF_CONTEXT, LAYERS_OF_IMAGE, METADATA,
};
use self::roles::{EXECUTION_ROLE, LEAST_ACCESS, NO_WILDCARD, NO_WRITE, ROLES};
use self::sources::{PARAMETERS, SOURCES};
use self::startup::STARTUP;
use super::records::{self, Records};
use super::{a_image_contract, b_entrypoints, e_build_surface, files};

const REPORT: &str = "security_secret_injection_checks.json";

static DURABLE: Check<Publication> = durable_derived(
    "security_checks.durable",
    "evidence",
    &["publish:security_secret_injection_checks.json"],
    |published| published.durable(Some("PG-M1.D-evidence_secret")),
)
.next("read what S3 answered, make s3:PutObject and s3:GetObject work on the evidence bucket, and package under a new run id");

static NON_SECRET: Check<Publication> = non_secret_derived(
    "security_checks.non_secret",
    "evidence_secret",
    &["publish:security_secret_injection_checks.json"],
)
.next("report it as a defect of phasegate: the report of a secret repeats it");

/// What M1.D writes down of what must not be in an image, and of how that is seen.
const WRITTEN_DOWN: [&str; 2] = ["no-baked-secrets policy", "leakage and fail-closed checks"];

static WRITTEN: Check<Records> = records::written("secrets_policy.written", "policy");

/// What the report is about; whether it could be kept, two more say.
const ASKED: [&dyn AnyCheck; 18] = [
    &WRITTEN,
    &CONTEXT,
    &DOCKERFILE,
    &BUILD_LOG,
    &LAYERS,
    &LAYERS_OF_IMAGE,
    &LAYERS_OF_CONTEXT,
    &KEPT_OUT,
    &METADATA,
    &ENVIRONMENT,
    &SOURCES,
    &PARAMETERS,
    &ROLES,
    &LEAST_ACCESS,
    &NO_WRITE,
    &EXECUTION_ROLE,
    &NO_WILDCARD,
    &STARTUP,
];

/// The lane.
pub(super) fn lane() -> Lane {
    let mut lane = Lane::new("M1.D", execute)
        .after("M1.E")
        .documents(|run| {
            records::observe(run, "M1.D", &WRITTEN_DOWN)?;
            sources::observe(run)
        })
        .rests_on(WRITTEN_DOWN[0])
        .rests_on(WRITTEN_DOWN[1])
        .rests_on("runtime secret source contract")
        .publishes(publish)
        .asked_again()
        .proves("no secret in context, Dockerfile, layers, history, labels or environment; each parameter readable by who needs it alone; nothing starts without its secret")
        .checks(ASKED)
        .checks([&NON_SECRET as &dyn AnyCheck, &DURABLE])
        .requirement(
            "no-baked-secrets",
            [
                WRITTEN.holds(),
                CONTEXT.holds(),
                DOCKERFILE.holds(),
                BUILD_LOG.holds(),
                LAYERS.holds(),
                LAYERS_OF_IMAGE.holds(),
                LAYERS_OF_CONTEXT.holds(),
                KEPT_OUT.holds(),
                METADATA.holds(),
                ENVIRONMENT.holds(),
            ],
        )
        .requirement(
            "secret-source-contract",
            [
                SOURCES.holds(),
                PARAMETERS.holds(),
                ROLES.holds(),
                LEAST_ACCESS.holds(),
                NO_WRITE.holds(),
                EXECUTION_ROLE.holds(),
                NO_WILDCARD.holds(),
            ],
        )
        .requirement(
            "leakage-checks",
            [
                WRITTEN.refusal(),
                CONTEXT.refusal(),
                DOCKERFILE.refusal(),
                LAYERS.refusal(),
                METADATA.refusal(),
                ENVIRONMENT.refusal(),
                STARTUP.holds(),
                STARTUP.refusal(),
                DURABLE.holds(),
            ],
        );
    for role in roles::handles() {
        lane = lane.may_be_given(role);
    }
    lane
}

/// `secrets_held_back`.
pub(super) fn held() -> Vec<Proof> {
    vec![Proof::Lane("M1.D")]
}

/// What must be so before anything is built.
pub(super) fn entry() -> Vec<&'static dyn AnyCheck> {
    vec![&WRITTEN, &CONTEXT, &DOCKERFILE, &SOURCES]
}

fn execute(run: &mut LaneRun<'_>) -> Step {
    let built = e_build_surface::built(run)?;
    let bundle = b_entrypoints::bundle(run)?;
    let matrix = b_entrypoints::matrix(run)?;
    let Some(facts) = &built.image else { return Err(Stop::Fault("there is no image".to_owned())) };
    image::observe(run, facts, &bundle)?;
    startup::observe(run, facts, &matrix, &bundle)?;
    sources::ask(run)?;
    roles::observe(run, &matrix, &bundle)
}

fn publish(run: &mut LaneRun<'_>) -> Step {
    let identity = a_image_contract::accepted(run)?;
    let built = e_build_surface::built(run)?;
    let results: serde_json::Map<String, serde_json::Value> = ASKED
        .iter()
        .map(|check| (check.name().to_owned(), json!(if run.met(&[*check]) { "PASS" } else { "FAIL" })))
        .collect();
    let open = run.open_among(&ASKED);
    let body = json!({
        "phase_id": files::PHASE_ID,
        "platform_run_id": identity.platform_run_id,
        "written_at_utc": run.instant().rfc3339(),
        "actor": files::actor(run)?,
        "image_id": built.image.as_ref().map(|image| image.id.as_str()),
        "checks": results,
        "verdict": if open.is_empty() { "PASS" } else { "FAIL" },
        "failure_reason": open,
        "non_secret": true,
    });
    files::publish(run, REPORT, body, &["platform_run_id", "actor", "checks", "verdict", "written_at_utc"])
}
