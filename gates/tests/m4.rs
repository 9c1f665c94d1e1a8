//! The gate of M4: every box of every M4 plan, as a case.

use std::process::ExitCode;

use support::harness::target::{Target, workspace_of};

#[expect(clippy::print_stderr, reason = "without gates there is nothing to run, and that must be said")]
fn main() -> ExitCode {
    let gates = match gates::m4::gates() {
        Ok(gates) => gates,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::from(3);
        }
    };
    Target {
        phase: "M4",
        next: "M5",
        gates: &gates,
        reporter: &reports::Reports,
        workspace: workspace_of(env!("CARGO_MANIFEST_DIR")),
        command: "cargo test --test m4 --".to_owned(),
        alone: None,
    }
    .main()
}
