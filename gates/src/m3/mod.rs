//! M3, run pinning: one gate for each track.

pub mod dev_full;
pub mod dev_min;

use support::harness::bindings::BindingError;
use support::run::lane::Phase;

/// The gates of M3.
///
/// # Errors
/// When a binding file that was compiled in contradicts itself.
pub fn gates() -> Result<Vec<Phase>, BindingError> {
    Ok(vec![dev_full::phase()?, dev_min::phase()?])
}
