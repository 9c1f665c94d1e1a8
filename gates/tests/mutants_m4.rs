//! Every value that M4 could read, changed once and taken out once.
//!
//! Without a variable a sample is played; `PHASEGATE_MUTANTS=all` plays everything, `PHASEGATE_MUTANTS=<number>` the sample of another seed.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test with a harness of its own: what is wrong with a mutant must fail, and the share is what the run is for"
)]

use std::process::ExitCode;

#[expect(dead_code, reason = "drills use more of it")]
#[path = "drills/mod.rs"]
mod kit;
#[path = "drills/mutant.rs"]
mod mutant;
#[path = "drills/mutation.rs"]
mod mutation;

use mutation::Extent;

/// How many of the mutants that must be held are in a sample: each is a whole gate.
const SAMPLE: usize = 80;

fn main() -> ExitCode {
    mutation::main(&gates::m4::gates().unwrap(), &["registry", "world", "handoff"], Extent::of_environment(SAMPLE))
}
