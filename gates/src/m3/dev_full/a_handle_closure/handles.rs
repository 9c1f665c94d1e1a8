//! The handles that P1 needs: listed, asked for one by one, present, pinned, and of one value.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use support::ensure;
use support::registry::{HandleError, Resolved};
use support::run::check::{Check, Unmet};
use support::run::context::LaneRun;
use support::run::finding::Basis;
use support::run::rows::{CanFind, Output, RowOutput};

use super::{HANDLE_EXISTS, PLACEHOLDER_GUARD};

/// Managed execution identity rests on it (`M3-B0.1`), and the tasks of M3.A leave it out (PLANS.md 18).
const EXECUTION_IDENTITY: &str = "ROLE_TERRAFORM_APPLY_DEV_FULL";

const ABSENT: &str = "M3A-B1";
const UNPINNED: &str = "M3A-B2";

/// The handles that the plan requires, and what became of each.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct HandleSet {
    /// Named in the tasks of M3.A.
    pub tasked: BTreeSet<String>,
    /// Those and the execution identity, each with what it resolves to.
    pub resolved: BTreeMap<String, Resolution>,
}

/// What a handle resolves to.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub(super) enum Resolution {
    /// A value, its source class and its origin.
    Value { value: Value, source_class: String, origin: String },
    /// No line of the registry defines or declares it.
    Undefined { why: String },
    /// It is still a placeholder.
    Placeholder { why: String },
    /// Declared, and no source gives it a value.
    Unresolved { why: String },
    /// Sources or lines disagree.
    Contradicted { why: String },
}

pub(super) static LISTED: Check<HandleSet> = Check::<HandleSet>::derived(
    "handles.listed",
    "handle_set",
    &["handle_set"],
    |set| {
        ensure!(!set.tasked.is_empty(), "the tasks of M3.A name no handle");
        ensure!(
            set.resolved.contains_key(EXECUTION_IDENTITY),
            "{EXECUTION_IDENTITY} is not among the required handles"
        );
        let missing: Vec<&str> =
            set.tasked.iter().filter(|h| !set.resolved.contains_key(*h)).map(String::as_str).collect();
        ensure!(missing.is_empty(), "named in the tasks and not looked up: {}", missing.join(", "));
        Ok(format!("{} handles: {} of the tasks, and {EXECUTION_IDENTITY}", set.resolved.len(), set.tasked.len()))
    },
    |set| {
        set.tasked.insert("DOCTORED_HANDLE".to_owned());
    },
)
.basis(Basis::Documented)
.next("name the required handles in the tasks of M3.A, each in backticks");

pub(super) static EVERY_ONE_ASKED: Check<(HandleSet, RowOutput, RowOutput)> =
    Check::<(HandleSet, RowOutput, RowOutput)>::derived(
        "handles.verifiable",
        "handle_verification",
        &["handle_set", HANDLE_EXISTS, PLACEHOLDER_GUARD],
        |(set, exists, guard)| {
            for row in [exists, guard] {
                let asked: BTreeSet<&str> =
                    row.runs.iter().filter_map(|run| run.bindings.get("HANDLE_KEY")).map(String::as_str).collect();
                let missed = set.resolved.keys().find(|handle| !asked.contains(handle.as_str()));
                ensure!(missed.is_none(), "{} did not ask for {}", row.row, missed.map_or("-", String::as_str));
            }
            ensure!(!set.resolved.is_empty(), "no handle is required");
            Ok(format!("{} handles, each asked for by {} and {}", set.resolved.len(), exists.row, guard.row))
        },
        |(_, exists, _)| exists.runs.clear(),
    )
    .next("give the rows of M3.A's catalog the placeholder <HANDLE_KEY>, so that each handle can be asked for");

pub(super) static PRESENT: Check<(HandleSet, RowOutput, BTreeMap<String, Vec<usize>>)> = Check::<(
    HandleSet,
    RowOutput,
    BTreeMap<String, Vec<usize>>,
)>::new(
    "handles.present",
    ABSENT,
    &["handle_set", HANDLE_EXISTS, "defining_lines"],
    |(set, row, lines)| {
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
            if let Some(Resolution::Undefined { why }) = set.resolved.get(handle) {
                return Err(Unmet::from(why.clone()));
            }
        }
        Ok(format!("{} handles defined in the registry", row.runs.len()))
    },
    |(_, row, _)| {
        for run in &mut row.runs {
            if let Output::Lines { matches, .. } = &mut run.output {
                matches.clear();
            }
        }
    },
)
.next("define the handle in the registry: * `NAME = \"value\"`");

pub(super) static PINNED: Check<(HandleSet, RowOutput)> = Check::<(HandleSet, RowOutput)>::new(
    "handles.pinned",
    UNPINNED,
    &["handle_set", PLACEHOLDER_GUARD],
    |(set, row)| {
        ensure!(!row.runs.is_empty(), "the guard was run for no handle");
        for (handle, resolution) in &set.resolved {
            match resolution {
                Resolution::Placeholder { why } | Resolution::Unresolved { why } => {
                    return Err(Unmet::from(format!("{handle}: {why}")));
                }
                Resolution::Value { .. } | Resolution::Undefined { .. } | Resolution::Contradicted { .. } => {}
            }
        }
        for run in &row.runs {
            let handle = run.bindings.get("HANDLE_KEY").map_or("-", String::as_str);
            let Output::Lines { matches, can_find, .. } = &run.output else {
                return Err(Unmet::from(format!("{}: not the output of a search", run.call)));
            };
            if let Some(found) = matches.first() {
                return Err(Unmet::from(format!("{}:{} is a placeholder: {}", found.document, found.line, found.text)));
            }
            match can_find {
                CanFind::Proven { .. } => {}
                // Another check says that the handle is not there.
                CanFind::NoOwnLine if matches!(set.resolved.get(handle), Some(Resolution::Undefined { .. })) => {}
                CanFind::NoOwnLine => return Err(format!("{handle} has no line of its own to guard").into()),
                CanFind::NotAGuard => return Err(format!("{handle} was searched for, and not guarded").into()),
                CanFind::CannotFind { why } => {
                    return Err(Unmet::from(format!("the guard of {handle} could not find a placeholder: {why}")));
                }
            }
        }
        Ok(format!("{} handles without placeholder; each guard has shown that it would find one", row.runs.len()))
    },
    |(_, row)| {
        for run in &mut row.runs {
            if let Output::Lines { can_find, .. } = &mut run.output {
                *can_find = CanFind::CannotFind { why: "doctored".to_owned() };
            }
        }
    },
)
.next("pin the handle's value in the registry, on the line that the message names");

pub(super) static ONE_VALUE: Check<HandleSet> = Check::<HandleSet>::new(
    "handles.one_value",
    "M3A-B6",
    &["handle_set"],
    |set| {
        for (handle, resolution) in &set.resolved {
            if let Resolution::Contradicted { why } = resolution {
                return Err(Unmet::from(format!("{handle}: {why}")));
            }
        }
        ensure!(!set.resolved.is_empty(), "no handle is required");
        Ok(format!("{} handles, none with two values", set.resolved.len()))
    },
    |set| {
        let why = "doctored: two values".to_owned();
        set.resolved.insert("DOCTORED_HANDLE".to_owned(), Resolution::Contradicted { why });
    },
)
.next("keep one of the values, and correct the source that the message names");

pub(super) fn handle_set(run: &LaneRun<'_>) -> HandleSet {
    let tasked: BTreeSet<String> = run
        .plan()
        .lanes
        .iter()
        .filter(|lane| lane.id == "M3.A")
        .flat_map(|lane| &lane.tasks)
        .flat_map(|task| std::iter::once(&task.text).chain(&task.details))
        .flat_map(|text| text.split('`').filter(|span| is_handle(span)).map(str::to_owned).collect::<Vec<_>>())
        .collect();
    let required: BTreeSet<String> =
        tasked.iter().cloned().chain(std::iter::once(EXECUTION_IDENTITY.to_owned())).collect();
    let resolved = required.into_iter().map(|handle| (handle.clone(), resolution(run, &handle))).collect();
    HandleSet { tasked, resolved }
}

fn is_handle(text: &str) -> bool {
    text.contains('_')
        && text.starts_with(|c: char| c.is_ascii_uppercase())
        && text.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
}

/// What M2's receipt states of a required handle, and under which name.
const STATED_BY_RECEIPT: [(&str, &str); 2] =
    [("S3_EVIDENCE_BUCKET", "evidence_bucket"), ("SR_READY_COMMIT_AUTHORITY", "sr_ready_commit_authority")];

/// Who else says something of a handle, and says another thing: M2's receipt; for the names of fields, the plan's own
/// lists of minimum fields.
fn contradiction(run: &LaneRun<'_>, handle: &str, resolved: &Resolved) -> Option<String> {
    let value = resolved.value.as_str()?;
    if handle.starts_with("FIELD_") {
        let contracts = run.plan().contracts.iter().flat_map(|contract| &contract.minimum_fields);
        let asked = contracts.flat_map(|list| &list.fields).any(|field| field == value);
        return (!asked)
            .then(|| format!("it is `{value}` ({}), and no file of the plan has such a field", resolved.origin));
    }
    let (_, field) = STATED_BY_RECEIPT.iter().find(|(name, _)| *name == handle)?;
    let receipt = run.documents().handoff()?;
    let stated = receipt.content.as_ref().ok()?.get(field)?;
    (stated.as_str() != Some(value))
        .then(|| format!("it is `{value}` ({}), and {} says that {field} is {stated}", resolved.origin, receipt.path))
}

fn resolution(run: &LaneRun<'_>, handle: &str) -> Resolution {
    match run.handles().resolve(handle) {
        // Every handle of M3.A is a name, a mode, a path or an ARN.
        Ok(resolved) if resolved.value.as_str().is_none_or(|text| text.trim().is_empty()) => {
            Resolution::Unresolved { why: format!("{} is no text ({})", resolved.value, resolved.origin) }
        }
        Ok(resolved) => match contradiction(run, handle, &resolved) {
            Some(why) => Resolution::Contradicted { why },
            None => Resolution::Value {
                value: resolved.value,
                source_class: resolved.source_class.words().to_owned(),
                origin: resolved.origin,
            },
        },
        Err(error @ HandleError::Missing { .. }) => Resolution::Undefined { why: error.to_string() },
        Err(error @ HandleError::Placeholder { .. }) => Resolution::Placeholder { why: error.to_string() },
        Err(error @ (HandleError::Bare { .. } | HandleError::Empty { .. } | HandleError::DanglingReference { .. })) => {
            Resolution::Unresolved { why: error.to_string() }
        }
        Err(error) => Resolution::Contradicted { why: error.to_string() },
    }
}
