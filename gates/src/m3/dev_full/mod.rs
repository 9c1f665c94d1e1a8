//! dev_full's M3: run pinning and orchestrator readiness (P1 RUN_PINNED).

mod a_handle_closure;
mod b_run_identity;
mod c_config_digest;
mod d_orchestrator_entry;
mod e_run_evidence;
mod f_runtime_scope_handoff;
mod g_rerun_discipline;
mod h_cost_outcome;
mod i_rollup;
mod j_closure;
mod lane_files;
mod laws;
mod lists;
mod scenario;
mod upstream;

use support::harness::bindings::{BindingError, Bindings, entails};
use support::run::lane::Phase;

/// Where the bindings stand, for messages.
const BINDINGS: &str = "gates/bindings/dev_full_m3.toml";
/// Where the table of entailed codes stands.
const ENTAILS: &str = "gates/bindings/dev_full_m3_entails.toml";

/// The gate of dev_full's M3.
///
/// # Errors
/// When a file that was compiled in contradicts itself.
pub fn phase() -> Result<Phase, BindingError> {
    Ok(Phase {
        track: "dev_full",
        id: "M3",
        next: "M4",
        lanes: vec![
            a_handle_closure::lane(),
            b_run_identity::lane(),
            c_config_digest::lane(),
            d_orchestrator_entry::lane(),
            e_run_evidence::lane(),
            f_runtime_scope_handoff::lane(),
            g_rerun_discipline::lane(),
            h_cost_outcome::lane(),
            i_rollup::lane(),
            j_closure::lane(),
        ],
        predicates: Vec::new(),
        entry: a_handle_closure::entry(),
        entails: entails(ENTAILS, include_str!("../../../bindings/dev_full_m3_entails.toml"))?,
        bindings: Bindings::read(BINDINGS, include_str!("../../../bindings/dev_full_m3.toml"))?,
        evidence_bucket: "S3_EVIDENCE_BUCKET",
        region: "AWS_REGION",
        run_control: "evidence/dev_full/run_control/{id}/",
        required_of_a_person: &["USER confirms progression to M4"],
        images: false,
    })
}
