//! The workflows of `.github/workflows`: what must be true of their text, and what each `run:` step does. A step's command is run by
//! bash as GitHub runs it, in the environment that GitHub would give, with stand-ins for the programs that reach out.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![expect(clippy::panic, reason = "helpers fail the test by panicking")]
#![expect(clippy::print_stderr, reason = "what was not run is said on standard error")]

mod case;
mod document;
mod expression;
mod given;
mod ground;
mod laws;
mod packaging;
mod phase_gate;
mod whole_job;

use std::collections::BTreeSet;

use case::Case;
use document::Workflow;

fn cases() -> Vec<Case> {
    packaging::cases().into_iter().chain(phase_gate::cases()).collect()
}

/// Steps that end well whatever happens, and why.
const NEVER_FAILS: [(&str, &str); 1] =
    [("push the convenience tag", "the plan: its failure does not override the immutable push, and is recorded")];

/// A `run:` step that no case runs would be a command that nobody has seen.
#[test]
fn every_run_step_is_seen_to_succeed_and_to_fail() {
    let workflows = Workflow::all();
    let steps: BTreeSet<_> = workflows.iter().flat_map(|w| w.run_steps()).map(|step| step.place()).collect();
    assert!(steps.len() >= 20, "only {} steps were found", steps.len());
    let cases = cases();
    let places = |succeeds: bool| -> BTreeSet<_> {
        cases.iter().filter(|case| case.succeeds() == succeeds).map(|case| case.place.clone()).collect()
    };
    let (well, badly) = (places(true), places(false));
    for step in &steps {
        assert!(well.contains(step), "no case sees {step} succeed");
        let never = NEVER_FAILS.iter().any(|(name, _)| *name == step.name);
        assert!(
            badly.contains(step) != never,
            "{step}: one case at least must see it fail, or NEVER_FAILS says why not"
        );
    }
    let unknown: Vec<_> = well.union(&badly).filter(|place| !steps.contains(place)).collect();
    assert!(unknown.is_empty(), "cases of steps that are not there: {unknown:?}");
}
