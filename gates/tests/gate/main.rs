//! The gate of M3 as a user sees it: the test binary as a process, its text, its exit code, its
//! files, and what stands in S3 afterwards. Nothing here looks inside.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "helpers fail the test by panicking, and say on standard error what was not run"
)]

#[path = "../drills/drill.rs"]
#[expect(dead_code, reason = "the drills use more of it")]
mod drill;
mod ground;
#[path = "../drills/mod.rs"]
#[expect(dead_code, reason = "the drills use more of it")]
mod kit;

mod advance;
mod bad_input;
mod crowd;
mod dev_full;
#[cfg(unix)]
mod disk;
mod kept_world;
mod nextest;
mod preflight;
mod real_plans;
mod reports;
mod resume;
mod runner;
mod traps;
mod verify;
