//! The suite of cases and the test target that runs it.

pub mod bindings;
pub mod exit;
pub mod failure;
pub mod lock;
pub mod selection;
mod shared;
pub mod suite;
pub mod target;
