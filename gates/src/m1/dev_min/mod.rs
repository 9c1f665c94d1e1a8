//! dev_min's M1: packaging readiness (P(-1)).
//!
//! The lanes stand in the order in which they run: the image is built before anything is asked of it, and its provenance is written
//! when all else is known. Lanes that only later forms of the plan have (M1.F as the driver's pin, M1.G to M1.I) are asked where the
//! plan has them.

mod a_image_contract;
mod b_entrypoints;
mod c_provenance;
mod d_secrets;
mod e_build_surface;
mod f_driver;
mod files;
mod g_workflow;
mod h_validation;
mod i_readiness;
mod records;
mod source;

use support::harness::bindings::{BindingError, Bindings};
use support::run::check::AnyCheck;
use support::run::lane::Phase;

/// Where the bindings stand, for messages.
const BINDINGS: &str = "gates/bindings/dev_min_m1.toml";

/// The gate of dev_min's M1.
///
/// # Errors
/// When the binding file that was compiled in contradicts itself.
pub fn phase() -> Result<Phase, BindingError> {
    let entry: Vec<&'static dyn AnyCheck> = [
        a_image_contract::entry(),
        f_driver::entry(),
        e_build_surface::entry(),
        b_entrypoints::entry(),
        d_secrets::entry(),
        c_provenance::entry(),
        g_workflow::entry(),
        h_validation::entry(),
    ]
    .concat();
    Ok(Phase {
        track: "dev_min",
        id: "M1",
        next: "M2",
        lanes: vec![
            a_image_contract::lane(),
            f_driver::lane(),
            e_build_surface::lane(),
            b_entrypoints::lane(),
            d_secrets::lane(),
            c_provenance::lane(),
            g_workflow::lane(),
            h_validation::lane(),
            i_readiness::lane(),
        ],
        predicates: vec![
            ("image_contract_held", a_image_contract::held()),
            ("build_surface_held", e_build_surface::held()),
            ("entrypoints_answer", b_entrypoints::held()),
            ("secrets_held_back", d_secrets::held()),
            ("provenance_recorded", c_provenance::held()),
        ],
        entry,
        entails: Vec::new(),
        bindings: Bindings::read(BINDINGS, include_str!("../../../bindings/dev_min_m1.toml"))?,
        evidence_bucket: "S3_EVIDENCE_BUCKET",
        region: "AWS_REGION",
        run_control: "evidence/dev_min/run_control/{id}/",
        required_of_a_person: &["USER gives build-go", "USER confirms progression to M2 (section 8 of the plan)"],
        images: true,
    })
}
