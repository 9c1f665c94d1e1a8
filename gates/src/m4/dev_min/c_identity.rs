//! M4.C: every daemon has one role, the registry's; the role can do what the daemon needs, and no more.

mod access;
mod roles;

use serde_json::{Map, Value, json};
use support::run::check::{AnyCheck, Check, Proof};
use support::run::context::LaneRun;
use support::run::lane::{Lane, Step};
use support::run::publication::{Publication, durable, non_secret_derived};

use self::access::{LEAST_ACCESS, Rights};
pub(super) use self::access::{PREFIXES, secrets_by_service};
use self::roles::{ATTACHED, BOUND, Identities};
use super::{a_handle_closure, deployed, files};

pub(super) const SNAPSHOT: &str = "m4_c_iam_binding_snapshot.json";

static DURABLE: Check<Publication> =
    durable("bindings.durable", "M4C-B3", &["publish:m4_c_iam_binding_snapshot.json"], |published| {
        published.durable(Some("PG-M4.C-bindings_secret"))
    })
    .next(files::NOT_KEPT);

static NON_SECRET: Check<Publication> =
    non_secret_derived("bindings.non_secret", "bindings_secret", &["publish:m4_c_iam_binding_snapshot.json"])
        .next(files::SECRET);

/// What the snapshot answers for.
const ASKED: [&dyn AnyCheck; 3] = [&BOUND, &ATTACHED, &LEAST_ACCESS];

/// The lane.
pub(super) fn lane() -> Lane {
    Lane::new("M4.C", execute)
        .after("M4.B")
        .asked_again()
        .publishes(publish)
        .proves("each service has one role of the registry, in IAM, on its task definition; each role can do what it must, and no more")
        .checks(ASKED)
        .checks([&NON_SECRET as &dyn AnyCheck, &DURABLE])
        .requirement("identities-validated", [BOUND.holds(), ATTACHED.holds(), LEAST_ACCESS.holds()])
        .requirement(
            "missing-bindings-marked",
            [BOUND.holds(), BOUND.refusal(), ATTACHED.refusal(), LEAST_ACCESS.refusal()],
        )
        .requirement("iam-snapshot", [DURABLE.holds(), NON_SECRET.holds()])
}

/// `iam_binding_valid`.
pub(super) fn held() -> Vec<Proof> {
    vec![Proof::Lane("M4.C")]
}

fn execute(run: &mut LaneRun<'_>) -> Step {
    roles::look_up(run)?;
    deployed::observe(run, "deployed")?;
    let identities: Identities = run.fact("identities")?;
    access::observe(run, &identities)
}

fn publish(run: &mut LaneRun<'_>) -> Step {
    let entry = a_handle_closure::accepted(run)?;
    let identities: Identities = run.fact("identities")?;
    let rights: Option<Rights> = run.fact("rights").ok();
    let mut services = Map::new();
    for (service, binding) in &identities.services {
        let role = binding.role();
        let known = role.and_then(|role| identities.roles.get(role));
        services.insert(
            service.clone(),
            json!({
                "role_handle": role,
                "role_arn": known.and_then(|role| role.arn.as_deref()),
                "registry_lines": binding.lines(),
            }),
        );
    }
    let simulated = rights.map(|rights| rights.count());
    let body = json!({
        "m4_execution_id": run.phase_execution_id(),
        "written_at_utc": run.instant().rfc3339(),
        "platform_run_id": entry.platform_run_id(),
        "services": Value::Object(services),
        "execution_role_arn": identities.execution.as_ref().and_then(|role| role.arn.as_deref()),
        "simulated_decisions": simulated,
        "blockers": run.open_among(&ASKED),
        "overall_pass": run.met(&ASKED),
        "non_secret": true,
    });
    files::publish(run, SNAPSHOT, body, &["m4_execution_id", "platform_run_id", "services"])
}
