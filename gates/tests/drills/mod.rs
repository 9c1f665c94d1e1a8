//! What drills and mutants share: a repository copy, a world with an overlay, faults on the wire, and one execution of the gate on them.

pub mod beside;
pub mod edit;
pub mod overlay;
pub mod rig;
pub mod wire;
