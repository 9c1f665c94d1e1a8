//! dev_min's M3: the run's identity and provenance, pinned once (P1 RUN_PINNED).

mod a_handle_closure;
mod b_run_identity;
mod c_config_digest;
mod d_run_evidence;
mod e_runtime_scope;
mod f_verdict;
mod g_handoff;
mod run_header;
mod scenario;

use support::harness::bindings::{BindingError, Bindings};
use support::run::lane::Phase;
use support::run::outcome::Entails;

/// Where the bindings stand, for messages.
const BINDINGS: &str = "gates/bindings/dev_min_m3.toml";

/// The gate of dev_min's M3.
///
/// # Errors
/// When the binding file that was compiled in contradicts itself.
pub fn phase() -> Result<Phase, BindingError> {
    Ok(Phase {
        track: "dev_min",
        id: "M3",
        next: "M4",
        lanes: vec![
            a_handle_closure::lane(),
            b_run_identity::lane(),
            c_config_digest::lane(),
            d_run_evidence::lane(),
            e_runtime_scope::lane(),
            f_verdict::lane(),
            g_handoff::lane(),
        ],
        predicates: vec![
            ("handles_closed", a_handle_closure::handles_closed()),
            ("run_id_collision_free", b_run_identity::run_id_collision_free()),
            ("digest_reproducible", c_config_digest::digest_reproducible()),
            ("run_json_durable", d_run_evidence::run_json_durable()),
            ("runtime_scope_export_ready", e_runtime_scope::runtime_scope_export_ready()),
        ],
        entry: a_handle_closure::entry(),
        entails: vec![Entails { root: "M3A-B1".to_owned(), code: "M3-B1".to_owned(), only_if_open: true }],
        bindings: Bindings::read(BINDINGS, include_str!("../../../bindings/dev_min_m3.toml"))?,
        evidence_bucket: "S3_EVIDENCE_BUCKET",
        region: "AWS_REGION",
        run_control: "evidence/dev_min/run_control/{id}/",
        required_of_a_person: &["USER confirms progression to M4 (section 9 of the plan)"],
        images: false,
    })
}
