//! The phases that this version has gates for, and the names of all others.

use std::path::Path;

use support::harness::bindings::BindingError;
use support::harness::lock::Lock;
use support::harness::suite::{self, PlanSuite, SuiteError};
use support::plan::MASTER;
use support::run::lane::Phase;

use super::CliError;

/// A phase that has gates.
pub(super) struct Gated {
    pub id: &'static str,
    pub next: &'static str,
    gates: fn() -> Result<Vec<Phase>, BindingError>,
}

/// The phases that have gates, in order.
pub(super) const GATED: [Gated; 3] = [
    Gated { id: "M1", next: "M2", gates: gates::m1::gates },
    Gated { id: "M3", next: "M4", gates: gates::m3::gates },
    Gated { id: "M4", next: "M5", gates: gates::m4::gates },
];

impl Gated {
    pub(super) fn gates(&self) -> Result<Vec<Phase>, BindingError> {
        (self.gates)()
    }
}

/// The gated phase of this name.
pub(super) fn gated(id: &str) -> Option<&'static Gated> {
    GATED.iter().find(|phase| phase.id == id)
}

/// A phase's id out of what a person types: `m3`, `M3`, `plan`.
pub(super) fn id_of(typed: &str) -> Result<String, CliError> {
    let id = typed.to_ascii_uppercase();
    let number = id.strip_prefix('M').unwrap_or("");
    if typed.eq_ignore_ascii_case(MASTER) {
        return Ok(MASTER.to_owned());
    }
    if !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(id);
    }
    Err(CliError::Usage(format!("`{typed}` is no phase: write m0, m1 and so on, or plan for the master plan")))
}

/// The gates of a phase; none for a phase that this version has no gate for.
pub(super) fn gates_of(id: &str) -> Result<Vec<Phase>, BindingError> {
    gated(id).map_or_else(|| Ok(Vec::new()), Gated::gates)
}

/// The plans of one phase, each with its gate.
pub(super) fn suites<'p>(
    root: &Path,
    id: &str,
    gates: &'p [Phase],
    lock: Option<&Lock>,
) -> Result<Vec<PlanSuite<'p>>, SuiteError> {
    match gated(id) {
        Some(phase) => suite::read(root, phase.id, phase.next, gates, lock),
        // Gates are named for the whole life of the process, and so are the few phases that have none.
        None => suite::read(root, id.to_owned().leak(), "-", gates, lock),
    }
}
