//! The handles that P1 needs: listed, verifiable, defined, resolved, or marked with their blocker.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use support::ensure;
use support::registry::{HandleError, is_handle_name};
use support::run::check::{Check, Unmet};
use support::run::context::LaneRun;
use support::run::finding::Basis;
use support::run::rows::{Output, RowOutput};

use super::handoff::HANDOFF_UNREADABLE;
use super::{ECR_URI, HANDLE_KEY, NOT_DEFINED};
use crate::m3::dev_min::scenario::SCENARIO_INPUT;

/// What the plan lists, and what became of each handle.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in crate::m3::dev_min) struct HandleSet {
    /// The handles that the tasks name.
    pub tasked: BTreeSet<String>,
    /// The rows of the closure matrix that are handles.
    pub matrix: BTreeMap<String, MatrixClaim>,
    /// What each required handle resolves to.
    pub resolved: BTreeMap<String, Resolution>,
    /// The Verify-IDs that the plan has.
    pub rows: BTreeSet<String>,
    /// The codes that the plan defines.
    pub codes: BTreeSet<String>,
}

/// What a row of the matrix claims.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in crate::m3::dev_min) struct MatrixClaim {
    pub source_class: String,
    pub verification: Vec<String>,
    pub status: String,
    pub blocker: Option<String>,
    pub line: usize,
}

/// What a handle resolves to.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub(in crate::m3::dev_min) enum Resolution {
    /// A value, its source class and its origin.
    Value { value: Value, source_class: String, origin: String },
    /// The registry neither defines nor declares it.
    Undefined { why: String },
    /// Declared, and to be looked up in the substrate by a row of this lane.
    ByLookup { row: String },
    /// Declared, and its value would be the handoff's, which cannot be read.
    AwaitsHandoff { why: String },
    /// No value, a placeholder, or no text.
    Unresolved { why: String },
}

pub(super) static SET_LISTED: Check<HandleSet> = Check::<HandleSet>::derived(
    "handles.listed",
    "handle_set",
    &["handle_set"],
    |set| {
        ensure!(!set.tasked.is_empty(), "the tasks of M3.A name no handle");
        let missing: Vec<&str> =
            set.tasked.iter().filter(|h| !set.matrix.contains_key(*h)).map(String::as_str).collect();
        ensure!(missing.is_empty(), "named in the tasks and not in the closure matrix: {}", missing.join(", "));
        Ok(format!("{} handles named in the tasks, all in the closure matrix", set.tasked.len()))
    },
    |set| {
        set.tasked.insert("DOCTORED_HANDLE".to_owned());
    },
)
.basis(Basis::Documented)
.next("add the handle to the closure matrix of M3.A, with source and verification");

pub(super) static VERIFIABLE: Check<HandleSet> = Check::<HandleSet>::derived(
    "handles.verifiable",
    "handle_verification",
    &["handle_set"],
    |set| {
        for (handle, claim) in &set.matrix {
            ensure!(!claim.verification.is_empty(), "{handle} (line {}) has no verification", claim.line);
            let unknown: Vec<&str> =
                claim.verification.iter().filter(|id| !set.rows.contains(*id)).map(String::as_str).collect();
            ensure!(
                unknown.is_empty(),
                "{handle} (line {}) is verified by {}, which the plan does not have",
                claim.line,
                unknown.join(", ")
            );
        }
        ensure!(!set.matrix.is_empty(), "the closure matrix of M3.A has no handle");
        Ok(format!("{} handles, each verified by a row of the catalog", set.matrix.len()))
    },
    |set| {
        for claim in set.matrix.values_mut() {
            claim.verification.clear();
        }
    },
)
.basis(Basis::Documented)
.next("name a Verify-ID of the catalog in the matrix row's verification cell");

pub(super) static MARKED: Check<HandleSet> = Check::<HandleSet>::derived(
    "handles.unresolved_marked",
    "handle_unmarked",
    &["handle_set"],
    |set| {
        let mut marked = 0;
        for (handle, resolution) in &set.resolved {
            if matches!(resolution, Resolution::Value { .. } | Resolution::ByLookup { .. }) {
                continue;
            }
            let blocker = set.matrix.get(handle).and_then(|claim| claim.blocker.as_deref());
            let Some(code) = blocker else {
                return Err(unmarked(handle, resolution));
            };
            ensure!(set.codes.contains(code), "{handle} is marked {code}, which the plan does not define");
            marked += 1;
        }
        ensure!(!set.resolved.is_empty(), "no required handle was looked up");
        Ok(format!("{} handles without a value, each marked with its blocker", marked))
    },
    |set| {
        for claim in set.matrix.values_mut() {
            claim.blocker = None;
        }
        set.resolved.insert("DOCTORED_HANDLE".to_owned(), Resolution::Unresolved { why: "doctored".to_owned() });
    },
)
.basis(Basis::Documented)
.next("write the blocker's code into the matrix row of the handle, or pin its value");

/// Another check names the cause of what has no value at all; this one is about marking it.
fn unmarked(handle: &str, resolution: &Resolution) -> Unmet {
    match resolution {
        Resolution::Undefined { why } => Unmet::blocked_by(NOT_DEFINED, why),
        _ if handle == SCENARIO_INPUT => {
            Unmet::blocked_by("M3-B1", format!("{handle} has no value and no blocker in the matrix"))
        }
        Resolution::AwaitsHandoff { why } => Unmet::blocked_by(HANDOFF_UNREADABLE, why),
        Resolution::Unresolved { why } => Unmet::blocked_by("PG-M3.A-handle_unresolved", why),
        Resolution::Value { .. } | Resolution::ByLookup { .. } => Unmet::from(format!("{handle} is not marked")),
    }
}

pub(super) static RESOLVED: Check<HandleSet> = Check::<HandleSet>::derived(
    "handles.resolved",
    "handle_unresolved",
    &["handle_set"],
    |set| {
        let mut scenario = None;
        let mut undefined = None;
        let mut awaits = None;
        for (handle, resolution) in &set.resolved {
            match resolution {
                Resolution::Value { .. } | Resolution::ByLookup { .. } => {}
                Resolution::Undefined { why } => undefined = Some(why.clone()),
                Resolution::AwaitsHandoff { why } => awaits = Some(why.clone()),
                Resolution::Unresolved { why } if handle == SCENARIO_INPUT => scenario = Some(why.clone()),
                Resolution::Unresolved { why } => return Err(Unmet::from(why.clone())),
            }
        }
        if let Some(why) = undefined {
            return Err(Unmet::blocked_by(NOT_DEFINED, why));
        }
        if let Some(why) = awaits {
            return Err(Unmet::blocked_by(HANDOFF_UNREADABLE, why));
        }
        if let Some(why) = scenario {
            return Err(Unmet::blocked_by("M3-B1", why));
        }
        ensure!(!set.resolved.is_empty(), "no required handle was looked up");
        Ok(format!("{} required handles resolved, each from one source", set.resolved.len()))
    },
    |set| {
        set.resolved.insert("DOCTORED_HANDLE".to_owned(), Resolution::Unresolved { why: "doctored".to_owned() });
    },
)
.next("pin the value in the registry, or correct the source that the message names");

pub(super) static DEFINED: Check<(RowOutput, BTreeMap<String, Vec<usize>>)> = Check::<(
    RowOutput,
    BTreeMap<String, Vec<usize>>,
)>::derived(
    "handles.defined",
    "handle_defined",
    &[HANDLE_KEY, "defining_lines"],
    |(row, lines)| {
        ensure!(!row.runs.is_empty(), "the row was run for no handle");
        for run in &row.runs {
            let handle = run.bindings.get("HANDLE_KEY").map_or("-", String::as_str);
            let Output::Lines { matches, .. } = &run.output else {
                return Err(Unmet::from(format!("{}: not the output of a search", run.call)));
            };
            // A mention proves nothing: some line must define or declare the handle (PLANS.md 10).
            let defining = lines.get(handle).map_or(&[][..], Vec::as_slice);
            let found = matches.iter().any(|m| defining.contains(&m.line));
            ensure!(found, "{handle}: the registry mentions it on {} line(s) and defines it on none", matches.len());
        }
        Ok(format!("{} handles defined in the registry", row.runs.len()))
    },
    |(row, _)| {
        for run in &mut row.runs {
            if let Output::Lines { matches, .. } = &mut run.output {
                matches.clear();
            }
        }
    },
)
.next("define the handle in the registry: * `NAME = \"value\"`");

pub(super) fn handle_set(run: &LaneRun<'_>) -> HandleSet {
    let plan = run.plan();
    let tasked: BTreeSet<String> = plan
        .lanes
        .iter()
        .filter(|lane| lane.id == "M3.A")
        .flat_map(|lane| &lane.tasks)
        .flat_map(|task| std::iter::once(&task.text).chain(&task.details))
        .flat_map(|text| handle_names(text))
        .collect();
    let matrix: BTreeMap<String, MatrixClaim> = plan
        .matrices
        .iter()
        .filter(|row| is_handle_name(&row.handle))
        .map(|row| {
            let claim = MatrixClaim {
                source_class: row.source_class.clone(),
                verification: row.verification.clone(),
                status: row.status.clone(),
                blocker: row.blocker.clone(),
                line: row.place.line,
            };
            (row.handle.clone(), claim)
        })
        .collect();
    let required: BTreeSet<&String> = tasked.iter().chain(matrix.keys()).collect();
    let resolved = required.into_iter().map(|handle| (handle.clone(), resolution(run, handle))).collect();
    HandleSet {
        tasked,
        matrix,
        resolved,
        rows: plan.rows.iter().map(|row| row.id.clone()).collect(),
        codes: plan.codes.iter().map(|code| code.code.clone()).collect(),
    }
}

/// The handle names in a text: its code spans of upper-case words.
fn handle_names(text: &str) -> Vec<String> {
    text.split('`').filter(|span| is_handle_name(span)).map(str::to_owned).collect()
}

fn resolution(run: &LaneRun<'_>, handle: &str) -> Resolution {
    let unread = run.documents().handoff().is_none_or(|handoff| handoff.content.is_err());
    match run.handles().resolve(handle) {
        // All handles of P1 are names, paths and patterns; later lanes read them as text.
        Ok(resolved) if resolved.value.as_str().is_none() => {
            Resolution::Unresolved { why: format!("`{handle}` is {}, no text ({})", resolved.value, resolved.origin) }
        }
        Ok(resolved) => Resolution::Value {
            value: resolved.value,
            source_class: resolved.source_class.words().to_owned(),
            origin: resolved.origin,
        },
        Err(error @ HandleError::Missing { .. }) => Resolution::Undefined { why: error.to_string() },
        Err(HandleError::Bare { .. }) if handle == "ECR_REPO_URI" => Resolution::ByLookup { row: ECR_URI.to_owned() },
        Err(error @ HandleError::Bare { .. }) if unread && handle != SCENARIO_INPUT => {
            Resolution::AwaitsHandoff { why: error.to_string() }
        }
        Err(error) => Resolution::Unresolved { why: error.to_string() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handle_names_are_code_spans_in_upper_case() {
        assert_eq!(handle_names("- `S3_EVIDENCE_BUCKET` and `run.json`, not AWS_REGION"), ["S3_EVIDENCE_BUCKET"]);
    }
}
