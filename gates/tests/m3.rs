//! The gate of M3: every box and every Verify-ID of every M3 plan, as a case.

use std::process::ExitCode;

use support::harness::target::{Target, workspace_of};

#[expect(clippy::print_stderr, reason = "without gates there is nothing to run, and that must be said")]
fn main() -> ExitCode {
    let gates = match gates::m3::gates() {
        Ok(gates) => gates,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::from(3);
        }
    };
    Target {
        phase: "M3",
        next: "M4",
        gates: &gates,
        reporter: &reports::Reports,
        workspace: workspace_of(env!("CARGO_MANIFEST_DIR")),
        command: "cargo test --test m3 --".to_owned(),
        alone: None,
    }
    .main()
}
