//! The gate of M1: every box of every M1 plan, as a case. It needs a container engine, so it runs only when it is named.

use std::process::ExitCode;

use support::harness::target::{Target, workspace_of};

#[expect(clippy::print_stderr, reason = "without gates there is nothing to run, and that must be said")]
fn main() -> ExitCode {
    let gates = match gates::m1::gates() {
        Ok(gates) => gates,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::from(3);
        }
    };
    Target {
        phase: "M1",
        next: "M2",
        gates: &gates,
        reporter: &reports::Reports,
        workspace: workspace_of(env!("CARGO_MANIFEST_DIR")),
        command: "cargo test --test m1 --".to_owned(),
        alone: None,
    }
    .main()
}
