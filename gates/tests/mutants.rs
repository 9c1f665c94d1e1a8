//! Every value that M3 could read, changed once and taken out once.

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
#[expect(dead_code, reason = "M1 plays a sample")]
#[path = "drills/mutation.rs"]
mod mutation;

fn main() -> ExitCode {
    mutation::main(&gates::m3::gates().unwrap(), &["registry", "world", "handoff"], mutation::Extent::All)
}
