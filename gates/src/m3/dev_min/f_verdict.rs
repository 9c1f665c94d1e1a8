//! M3.F: the predicates, the verdict and the blocker codes, derived and derived again.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use support::ensure;
use support::plan::CodeOrigin;
use support::run::check::{AnyCheck, Check};
use support::run::context::LaneRun;
use support::run::finding::Basis;
use support::run::lane::{Lane, Step};
use support::run::outcome::{Decision, Verdict};

use super::g_handoff;

/// The decision, and the same decision once more from the observations as they are stored.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Decided {
    frozen: Decision,
    again: Decision,
    planned: BTreeSet<String>,
}

/// What each code of the plan rests on.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Taxonomy {
    planned: BTreeSet<String>,
    asked: BTreeMap<String, Asked>,
}

/// The checks behind one code.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Asked {
    checks: Vec<String>,
    actionable: bool,
}

static EXPLICIT: Check<Decided> = Check::<Decided>::derived(
    "predicates.explicit",
    "predicates",
    &["decided"],
    |decided| {
        let judged: BTreeSet<String> = decided.frozen.predicates.keys().cloned().collect();
        let missing: Vec<&str> = decided.planned.symmetric_difference(&judged).map(String::as_str).collect();
        ensure!(missing.is_empty(), "the plan and the gate differ in their predicates: {}", missing.join(", "));
        ensure!(!judged.is_empty(), "there is no predicate");
        Ok(format!("{} predicates, as the plan names them", judged.len()))
    },
    |decided| {
        decided.planned.insert("doctored".to_owned());
    },
)
.next("name the predicates of M3.F as section M3.F of the plan does, or use the version of phasegate that knows this plan");

static REPRODUCIBLE: Check<Decided> = Check::<Decided>::derived(
    "verdict.reproducible",
    "verdict",
    &["decided"],
    |decided| {
        ensure!(
            decided.frozen == decided.again,
            "judged again from the stored observations it is {:?}, not {:?}",
            decided.again.verdict,
            decided.frozen.verdict
        );
        let all = decided.frozen.predicates.values().all(|held| *held);
        let advances = matches!(decided.frozen.verdict, Verdict::Advance | Verdict::WouldAdvance);
        ensure!(!advances || all, "the verdict advances while a predicate is false");
        Ok("judged again from the stored observations: the same predicates, codes and verdict".to_owned())
    },
    |decided| {
        for held in decided.again.predicates.values_mut() {
            *held = !*held;
        }
    },
)
.basis(Basis::Recomputed)
.next("report it as a defect of phasegate, with the execution's folder");

static TAXONOMY: Check<Taxonomy> = Check::<Taxonomy>::derived(
    "taxonomy.fail_closed",
    "taxonomy",
    &["taxonomy"],
    |taxonomy| {
        ensure!(!taxonomy.planned.is_empty(), "the plan has no blocker taxonomy");
        for code in &taxonomy.planned {
            let Some(asked) = taxonomy.asked.get(code) else {
                return Err(format!("no check raises {code}").into());
            };
            ensure!(asked.actionable, "a check behind {code} does not say what to do");
        }
        Ok(format!("{} codes, each raised by a check that can fail and says what to do", taxonomy.planned.len()))
    },
    |taxonomy| taxonomy.asked.clear(),
)
.next("add the check that raises the code, or take the code out of the plan's taxonomy");

/// The lane.
pub(super) fn lane() -> Lane {
    Lane::new("M3.F", execute)
        .after("M3.E")
        .rolls_up()
        .proves("predicates, codes and verdict come out the same when judged again from the stored observations")
        .checks([&EXPLICIT as &dyn AnyCheck, &REPRODUCIBLE, &TAXONOMY])
        .requirement("predicates-explicit-reproducible", [EXPLICIT.holds(), REPRODUCIBLE.holds()])
        .requirement("taxonomy-fail-closed", [TAXONOMY.holds(), TAXONOMY.refusal()])
        .requirement("verdict-persisted", g_handoff::verdict_persisted())
}

fn execute(run: &mut LaneRun<'_>) -> Step {
    let frozen = run.decision()?;
    let again = run.decide_again()?;
    let planned = run.plan().predicates.iter().map(|p| p.name.clone()).collect();
    run.observe(
        "decided",
        "the findings of M3.A to M3.E, and the stored observations",
        &Decided { frozen, again, planned },
    )?;
    let planned = run
        .plan()
        .codes
        .iter()
        .filter(|code| code.origin == CodeOrigin::Taxonomy)
        .map(|code| code.code.clone())
        .collect();
    let asked = run
        .checks_by_code()
        .into_iter()
        .map(|(code, checks)| {
            let actionable = checks.iter().all(|check| !check.next().is_empty());
            (code, Asked { checks: checks.iter().map(|check| check.name().to_owned()).collect(), actionable })
        })
        .collect();
    run.observe("taxonomy", "the plan's codes and the checks of this gate", &Taxonomy { planned, asked })
}
