//! The drills of M1, which need a container engine: every file of `fixtures/drills/dev_min-m1/` is a case.

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

/// Codes that only a phase of images opens; the others go the way of M3's, whose drills open them.
const PHASE_CODES: [&str; 1] = ["PG-M1-images"];

fn main() -> ExitCode {
    harness::main(&gates::m1::gates().unwrap(), &PHASE_CODES)
}
