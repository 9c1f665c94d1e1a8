//! Verdict, blocker register and other renderings of findings: pure functions of one outcome.

mod audit;
mod blockers;
mod entail;
mod junit;
mod summary;
mod verdict;
mod verdict_file;

use serde_json::Value;
use support::run::outcome::{Decidable, Decision, PhaseOutcome, RenderError, Rendered, RenderedBody, Reporter};

/// File name of the register of open codes.
pub const BLOCKER_REGISTER: &str = "blocker_register.json";
/// File name of the whole outcome.
pub const FINDINGS: &str = "findings.json";
/// File name of the cases for test reporters.
pub const JUNIT: &str = "junit.xml";
/// File name of the verdict.
pub const VERDICT: &str = "verdict.json";

/// phasegate's reports.
#[derive(Debug, Clone, Copy, Default)]
pub struct Reports;

impl Reporter for Reports {
    fn decide(&self, facts: &Decidable<'_>) -> Decision {
        verdict::decide(facts)
    }

    fn render(&self, outcome: &PhaseOutcome) -> Result<Vec<Rendered>, RenderError> {
        known_version(FINDINGS, outcome)?;
        let json = |name: &str, value: Value| Rendered { name: name.to_owned(), body: RenderedBody::Json(value) };
        Ok(vec![
            json(BLOCKER_REGISTER, as_json(BLOCKER_REGISTER, &blockers::register(outcome))?),
            json(FINDINGS, as_json(FINDINGS, outcome)?),
            Rendered { name: JUNIT.to_owned(), body: RenderedBody::Text(junit::xml(outcome)?) },
        ])
    }

    fn verdict(&self, outcome: &PhaseOutcome) -> Result<Value, RenderError> {
        let document = verdict_file::document(outcome)?;
        as_json(VERDICT, &document)
    }

    fn summary(&self, outcome: &PhaseOutcome) -> String {
        summary::text(outcome)
    }
}

/// Refuses an outcome of another version.
fn known_version(name: &str, outcome: &PhaseOutcome) -> Result<(), RenderError> {
    if outcome.schema == PhaseOutcome::SCHEMA {
        return Ok(());
    }
    let why = format!("the outcome is of version `{}`, not `{}`", outcome.schema, PhaseOutcome::SCHEMA);
    Err(RenderError { name: name.to_owned(), why })
}

/// One JSON document.
fn as_json(name: &str, document: &impl serde::Serialize) -> Result<Value, RenderError> {
    serde_json::to_value(document).map_err(|e| RenderError { name: name.to_owned(), why: e.to_string() })
}
