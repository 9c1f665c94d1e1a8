//! M4, daemons ready (P2).

pub mod dev_min;

use support::harness::bindings::BindingError;
use support::run::lane::Phase;

/// The gates of M4.
///
/// # Errors
/// When a binding file that was compiled in contradicts itself.
pub fn gates() -> Result<Vec<Phase>, BindingError> {
    Ok(vec![dev_min::phase()?])
}
