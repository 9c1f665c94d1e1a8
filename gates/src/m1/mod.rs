//! M1, packaging readiness (P(-1)): the image, its provenance, and what is not in it.

pub mod dev_min;

use support::harness::bindings::BindingError;
use support::run::lane::Phase;

/// The gates of M1.
///
/// # Errors
/// When a binding file that was compiled in contradicts itself.
pub fn gates() -> Result<Vec<Phase>, BindingError> {
    Ok(vec![dev_min::phase()?])
}
