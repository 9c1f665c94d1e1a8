//! The drills of M4: every file of `fixtures/drills/dev_min-m4/` is a case.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test with a harness of its own: what is wrong with a drill must fail"
)]

use std::process::ExitCode;

#[path = "drills/coverage.rs"]
mod coverage;
#[path = "drills/drill.rs"]
mod drill;
#[path = "drills/harness.rs"]
mod harness;
#[expect(dead_code, reason = "the sweep uses more of it")]
#[path = "drills/mod.rs"]
mod kit;

/// Lanes that could not go on. What else the phase itself opens goes the way of M3's, whose drills open it.
const PHASE_CODES: [&str; 4] = ["PG-M4.D-lane_fault", "PG-M4.F-lane_fault", "PG-M4.G-lane_fault", "PG-M4.H-lane_fault"];

fn main() -> ExitCode {
    harness::main(&gates::m4::gates().unwrap(), &PHASE_CODES)
}
