//! What the lock makes of a gate: findings that hold it, and cases that cannot pass.

use super::compare::{Change, Difference, Kind, differences};
use super::pins::Pins;
use super::{Lock, NAME};
use crate::plan::Place;
use crate::run::cases::{Case, CaseBinding};
use crate::run::entry::phase_finding;
use crate::run::finding::{Basis, Control, Finding, Outcome};
use crate::run::outcome::CaseState;

/// What to do about a difference.
const NEXT: &str = "read the change; if it is meant, run `phasegate lock` and commit gates.lock; else take it back";

/// What the lock says of one gate.
#[derive(Debug, Clone, Default)]
pub struct Held {
    /// Findings of the phase.
    pub findings: Vec<Finding>,
    /// Words without effect on the verdict.
    pub notes: Vec<String>,
}

/// Judges a gate by the lock, and takes the cases that it stands against out of the hands of their checks. With `required`
/// a gate that nothing is pinned for is held; else that is a note.
#[must_use]
pub fn hold(lock: Option<&Lock>, pins: &Pins, required: bool, cases: &mut [Case]) -> Held {
    let phase = pins.0.phase.clone();
    let mut held = Held::default();
    let found = lock.and_then(|lock| lock.compare(pins).map(|found| (lock, found)));
    let Some((lock, found)) = found else {
        let why = match lock {
            None => format!("the plan repository has no {NAME}"),
            Some(_) => format!("{NAME} pins nothing for {} {phase}", pins.0.track),
        };
        let next = "run `phasegate lock`, read what it pins, and commit gates.lock";
        if required {
            held.findings.push(of_document(phase_finding(&phase, "lock_missing", Outcome::Unmet, why, next)));
        } else {
            held.notes.push(format!("runs without a lock: {why}"));
        }
        return held;
    };
    for difference in found.iter().filter(|d| d.change != Change::Renumbered) {
        held.findings.push(finding(&phase, difference));
        if let Some(place) = difference.stands_at.as_ref().filter(|_| matches!(difference.kind, Kind::Box | Kind::Row))
        {
            stand_against(cases, place, difference);
        }
    }
    if held.findings.is_empty() {
        let why = format!("{NAME} pins {} things of {phase}, each as the documents have it", pins.count());
        let mut met = of_document(phase_finding(&phase, "lock_stale", Outcome::Met, why, ""));
        met.control = control(lock, pins);
        held.findings.push(met);
    }
    held
}

/// The comparison of a plan that lacks one box or row must find that.
fn control(lock: &Lock, pins: &Pins) -> Control {
    let mut doctored = pins.0.clone();
    if doctored.boxes.pop().is_none() && doctored.rows.pop().is_none() {
        return Control::NotRun;
    }
    let Some(gate) = lock.gate(&doctored.track, &doctored.phase) else { return Control::NotRun };
    match differences(&gate.value, &doctored, &|at| lock.place(at)).first() {
        Some(found) => Control::Refused(format!("a plan without its last box or row: {}", found.what())),
        None => Control::Passed,
    }
}

fn finding(phase: &str, difference: &Difference) -> Finding {
    let (name, why) = match difference.change {
        Change::Added => ("lock_unbound", format!("{}: not in {NAME}: {}", stands(difference), difference.what())),
        Change::Removed => {
            ("lock_orphan", format!("{}: no longer in the documents: {}", locked(difference), difference.what()))
        }
        Change::Changed | Change::Renumbered => {
            ("lock_stale", format!("{}, pinned at {}: {}", stands(difference), locked(difference), difference.what()))
        }
    };
    of_document(phase_finding(phase, name, Outcome::Unmet, why, NEXT))
}

fn of_document(mut finding: Finding) -> Finding {
    finding.basis = Basis::Documented;
    finding
}

fn stands(difference: &Difference) -> String {
    difference.stands_at.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string)
}

fn locked(difference: &Difference) -> String {
    difference.locked_at.as_ref().map_or_else(|| NAME.to_owned(), ToString::to_string)
}

fn stand_against(cases: &mut [Case], place: &Place, difference: &Difference) {
    let state = match difference.change {
        Change::Added => CaseState::Unbound,
        Change::Removed => CaseState::Orphan,
        Change::Changed | Change::Renumbered => CaseState::Stale,
    };
    let why = match difference.change {
        Change::Added => format!("it was added after {NAME} was written"),
        _ => format!("{} pins something else: {}", locked(difference), difference.what()),
    };
    for case in cases.iter_mut().filter(|case| *case.place.path == *place.path && case.place.line == place.line) {
        case.binding = CaseBinding::Locked { state, why: why.clone(), next: NEXT.to_owned() };
    }
}
