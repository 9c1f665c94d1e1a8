//! dev_min's M4: the daemons of P2, started for the run that M3 pinned, and seen to be ready.
//!
//! Where the plan leaves something open, this gate goes by these rulings:
//! - What a service may read and write is appendix C of the runbook, service by service; a role may do what its services need together.
//!   Appendix C has no daemon of P2 read objects: writing below the prefixes is demanded, and reading what may be written is let be.
//! - Whoever starts a container must not read its secrets (M1.D), so that `valueFrom` is refused: a variable holds a parameter's path.
//! - Consumers of the platform's topics belong to groups that the registry names; any other group is a consumer by hand.
//! - A daemon confirms its run by naming it in its log. Health checks are not demanded; where a task definition has one, its container must be
//!   HEALTHY at both looks, and the first look waits for that.
//! - Where Kafka and the database answer is where the gate runs, and its evidence says so.

mod a_handle_closure;
mod b_service_map;
mod c_identity;
mod d_dependencies;
mod deployed;
mod e_launch_contract;
mod f_bring_up;
mod files;
mod g_consumers;
mod h_readiness;
mod i_verdict;
mod j_handoff;
mod packs;

use support::harness::bindings::{BindingError, Bindings};
use support::run::check::AnyCheck;
use support::run::lane::Phase;
use support::run::outcome::Entails;

/// Where the bindings stand, for messages.
const BINDINGS: &str = "gates/bindings/dev_min_m4.toml";

/// What any other open code leads to: a rollup that is not empty, and a verdict that lets nobody on.
const FOLLOWS: [&str; 2] = ["M4I-B3", "M4J-B1"];

/// The gate of dev_min's M4.
///
/// # Errors
/// When the binding file that was compiled in contradicts itself.
pub fn phase() -> Result<Phase, BindingError> {
    let entry: Vec<&'static dyn AnyCheck> = [a_handle_closure::entry(), b_service_map::entry()].concat();
    Ok(Phase {
        track: "dev_min",
        id: "M4",
        next: "M5",
        lanes: vec![
            a_handle_closure::lane(),
            b_service_map::lane(),
            c_identity::lane(),
            d_dependencies::lane(),
            e_launch_contract::lane(),
            f_bring_up::lane(),
            g_consumers::lane(),
            h_readiness::lane(),
            i_verdict::lane(),
            j_handoff::lane(),
        ],
        predicates: vec![
            ("handles_closed", a_handle_closure::held()),
            ("service_map_complete", b_service_map::held()),
            ("iam_binding_valid", c_identity::held()),
            ("dependencies_reachable", d_dependencies::held()),
            ("run_scope_enforced", e_launch_contract::held()),
            ("services_stable", f_bring_up::held()),
            ("no_duplicate_consumers", g_consumers::held()),
            ("readiness_evidence_durable", h_readiness::held()),
        ],
        entry,
        entails: FOLLOWS.iter().map(|code| Entails::by_any((*code).to_owned())).collect(),
        bindings: Bindings::read(BINDINGS, include_str!("../../../bindings/dev_min_m4.toml"))?,
        evidence_bucket: "S3_EVIDENCE_BUCKET",
        region: "AWS_REGION",
        run_control: "evidence/dev_min/run_control/{id}/",
        required_of_a_person: &["USER confirms progression to M5 (section 9 of the plan)"],
        images: false,
    })
}
