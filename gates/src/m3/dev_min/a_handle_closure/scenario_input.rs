//! The scenario-equivalence input: no placeholder, and no way for one to pass.

use support::ensure;
use support::run::check::{Check, Unmet};
use support::run::rows::{CanFind, Output, RowOutput};

use super::handles::{HandleSet, Resolution};
use super::{NOT_DEFINED, PLACEHOLDER_GUARD};
use crate::m3::dev_min::scenario::SCENARIO_INPUT;

pub(super) static GUARD: Check<RowOutput> = Check::<RowOutput>::new(
    "scenario_input.placeholder_guard",
    "M3-B1",
    &[PLACEHOLDER_GUARD],
    |row| {
        ensure!(!row.runs.is_empty(), "the guard was not run");
        for run in &row.runs {
            let Output::Lines { matches, can_find, .. } = &run.output else {
                return Err(Unmet::from(format!("{}: not the output of a search", run.call)));
            };
            if let Some(hit) = matches.first() {
                let at = format!("{}:{}", hit.document, hit.line);
                return Err(
                    Unmet::from(format!("{at}: {}", hit.text.trim())).next(format!("pin {SCENARIO_INPUT} at {at}"))
                );
            }
            // Finding nothing counts only for a search that could have found it (law 6).
            match can_find {
                CanFind::Proven { .. } => {}
                CanFind::NoOwnLine => {
                    return Err(Unmet::blocked_by(NOT_DEFINED, format!("{SCENARIO_INPUT} has no line")));
                }
                CanFind::NotAGuard => return Err(Unmet::from("the search was not run as a guard")),
                CanFind::CannotFind { why } => return Err(Unmet::from(why.clone())),
            }
        }
        Ok("the placeholder is gone; the guard finds it where it is put back".to_owned())
    },
    |row| {
        for run in &mut row.runs {
            if let Output::Lines { can_find, .. } = &mut run.output {
                *can_find = CanFind::CannotFind { why: "doctored: the search finds nothing anywhere".to_owned() };
            }
        }
    },
)
.next("pin SCENARIO_EQUIVALENCE_KEY_INPUT in the registry");

pub(super) static SCENARIO_PINNED: Check<HandleSet> = Check::<HandleSet>::new(
    "scenario_input.pinned",
    "M3-B1",
    &["handle_set"],
    |set| match set.resolved.get(SCENARIO_INPUT) {
        Some(Resolution::Value { value, origin, .. }) => {
            ensure!(value.as_str().is_some_and(|v| !v.trim().is_empty()), "{SCENARIO_INPUT} is no text ({origin})");
            Ok(format!("{SCENARIO_INPUT} is pinned at {origin}"))
        }
        Some(Resolution::Undefined { why }) => Err(Unmet::blocked_by(NOT_DEFINED, why)),
        Some(Resolution::AwaitsHandoff { why } | Resolution::Unresolved { why }) => Err(Unmet::from(why.clone())),
        Some(Resolution::ByLookup { row }) => Err(Unmet::from(format!("{SCENARIO_INPUT} cannot come from {row}"))),
        None => Err(Unmet::from(format!("{SCENARIO_INPUT} is not among the required handles"))),
    },
    |set| {
        set.resolved.insert(SCENARIO_INPUT.to_owned(), Resolution::Unresolved { why: "doctored".to_owned() });
    },
)
.next("pin SCENARIO_EQUIVALENCE_KEY_INPUT in the registry");
