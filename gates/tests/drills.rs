//! One fault at a time, and the one code that the plan has for it: every file of `fixtures/drills/<track>/` is a case.

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

/// Codes that M3 itself opens, without a check of a lane.
const PHASE_CODES: [&str; 17] = [
    "PG-M3-account",
    "PG-M3-code_undefined",
    "PG-M3-execution_id_taken",
    "PG-M3-execution_reserved",
    "PG-M3-no_case",
    "PG-M3-plan_error",
    "PG-M3-register_entry",
    "PG-M3-secret_withheld",
    "PG-M3-store_write_once",
    "PG-M3-substrate",
    "PG-M3.A-lane_fault",
    "PG-M3.B-lane_fault",
    "PG-M3.C-lane_fault",
    "PG-M3.D-lane_fault",
    "PG-M3.E-lane_fault",
    "PG-M3.F-lane_fault",
    "PG-M3.G-lane_fault",
];

fn main() -> ExitCode {
    harness::main(&gates::m3::gates().unwrap(), &PHASE_CODES)
}
