//! The policy for reruns and resets: written in plan and runbook, and the same in both.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use support::ensure;
use support::run::check::{Check, Unmet};
use support::run::context::LaneRun;
use support::run::finding::Basis;
use support::run::lane::Step;
use support::run::rows::{Output, RowOutput};

use super::{IDENTITY_DRIFT, RESET_RECEIPTS, RUNBOOK_RULES};
use crate::m3::dev_full::{laws, lists, scenario};

pub(super) const POLICY_CODE: &str = "M3G-B1";

const NON_DESTRUCTIVE: &str = "Non-destructive law";
const BOUNDARY: &str = "Boundary-rerun law";
const DRIFT: &str = "Identity drift law";
const CLASSES: &str = "Reset class law (runbook aligned)";
const APPROVAL: &str = "Fail-closed approval law";
const AUDIT: &str = "Auditability law";

const RUN_ROOT: &str = "S3_EVIDENCE_RUN_ROOT_PATTERN";

/// The policy, as the documents have it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Policy {
    pub non_destructive: Vec<String>,
    pub boundary: Vec<String>,
    pub drift: Vec<String>,
    pub classes: Vec<String>,
    pub approval: Vec<String>,
    pub audit: Vec<String>,
    /// What an identity is made of: the slashed list in the drift row of the catalog.
    pub identity_fields: Result<Vec<String>, String>,
    /// What a reset's receipt names: the slashed list in the receipts' row of the catalog.
    pub receipt_fields: Result<Vec<String>, String>,
    /// Where a run's evidence stands, as the registry pins it.
    pub run_root: Result<String, String>,
    /// The runbook's reset classes by name, each with its words; or why they cannot be told.
    pub runbook_classes: Result<Vec<ResetClass>, String>,
}

/// A permitted class of reset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ResetClass {
    /// `service_runtime_reset`.
    pub name: String,
    /// The runbook's own words.
    pub meaning: String,
}

impl Policy {
    /// The names of the classes of which plan and runbook both speak; or why there is none to go by.
    pub(super) fn permitted(&self) -> Result<BTreeSet<String>, String> {
        let runbook = self.runbook_classes.as_ref().map_err(Clone::clone)?;
        let runbook: BTreeSet<String> = runbook.iter().map(|class| class.name.clone()).collect();
        let plan: BTreeSet<String> = self.classes.iter().filter_map(|clause| class_in(clause)).collect();
        if plan != runbook || plan.is_empty() {
            let list = |names: &BTreeSet<String>| names.iter().cloned().collect::<Vec<_>>().join(", ");
            return Err(format!("the plan's {CLASSES} permits [{}], the runbook [{}]", list(&plan), list(&runbook)));
        }
        Ok(plan)
    }

    /// What is forbidden, in the plan's words.
    pub(super) fn prohibited(&self) -> Vec<&str> {
        let others = self.classes.iter().filter(|clause| !clause.ends_with(':') && class_in(clause).is_none());
        self.non_destructive.iter().chain(others).map(String::as_str).collect()
    }
}

pub(super) static RULES: Check<RowOutput> = Check::<RowOutput>::new(
    "rerun.runbook_rules",
    POLICY_CODE,
    &[RUNBOOK_RULES],
    |row| {
        let Some(Output::Lines { missing, matches, documents, .. }) = row.runs.first().map(|run| &run.output) else {
            return Err("the runbook was not searched".into());
        };
        ensure!(missing.is_empty(), "{} does not say: {}", documents.join(", "), missing.join("; "));
        ensure!(!matches.is_empty(), "nothing was found in {}", documents.join(", "));
        Ok(format!("{} line(s) of the runbook state the rules", matches.len()))
    },
    |row| {
        for run in &mut row.runs {
            if let Output::Lines { missing, .. } = &mut run.output {
                missing.push("doctored".to_owned());
            }
        }
    },
)
.basis(Basis::Documented)
.next("write the rule that the message names into the runbook again");

pub(super) static LAWS: Check<Policy> = Check::<Policy>::new(
    "rerun.laws",
    POLICY_CODE,
    &["policy"],
    |policy| {
        for (law, clauses) in [(BOUNDARY, &policy.boundary), (APPROVAL, &policy.approval), (AUDIT, &policy.audit)] {
            ensure!(!clauses.is_empty(), "the plan has no {law} for M3.G");
        }
        let approval = policy.approval.iter().flat_map(|clause| lists::spans(clause));
        ensure!(
            approval.into_iter().any(|span| span == "phase_execution_id"),
            "the plan's {APPROVAL} does not ask for a new `phase_execution_id`"
        );
        let fields = policy.receipt_fields.as_ref().map_err(|why| Unmet::from(why.clone()))?;
        let said: Vec<&str> = policy.audit.iter().flat_map(|clause| words(clause)).collect();
        for field in fields {
            ensure!(said.contains(&field.as_str()), "the plan's {AUDIT} does not ask receipts for `{field}`");
        }
        Ok(format!("rerun, approval and receipts are laws of the plan; a receipt names {}", fields.join(", ")))
    },
    |policy| policy.audit.clear(),
)
.basis(Basis::Documented)
.next("write the law that the message names into M3.G's decision pins again");

pub(super) static PROHIBITION: Check<Policy> = Check::<Policy>::new(
    "rerun.prohibition",
    POLICY_CODE,
    &["policy"],
    |policy| {
        let root = policy.run_root.as_ref().map_err(|why| Unmet::from(why.clone()))?;
        let named = policy.non_destructive.iter().flat_map(|clause| lists::spans(clause));
        ensure!(
            named.into_iter().any(|span| span.starts_with(root.as_str())),
            "the plan's {NON_DESTRUCTIVE} does not name what may not be destroyed: `{root}...`"
        );
        Ok(format!("{} clause(s) forbid to destroy; they name {root}", policy.non_destructive.len()))
    },
    |policy| policy.non_destructive.clear(),
)
.basis(Basis::Documented)
.next("name the root of the run's evidence, in backticks, in M3.G's Non-destructive law");

pub(super) static DRIFT_LAW: Check<Policy> = Check::<Policy>::new(
    "rerun.drift_law",
    POLICY_CODE,
    &["policy"],
    |policy| {
        let fields = policy.identity_fields.as_ref().map_err(|why| Unmet::from(why.clone()))?;
        let named: Vec<&str> = policy.drift.iter().flat_map(|clause| lists::spans(clause)).collect();
        for field in fields {
            ensure!(named.contains(&field.as_str()), "the plan's {DRIFT} does not name `{field}`");
        }
        Ok(format!("another {} is another run, by law of the plan", fields.join(", ")))
    },
    |policy| policy.drift.clear(),
)
.basis(Basis::Documented)
.next("name the fields of the identity, each in backticks, in M3.G's Identity drift law");

pub(super) static SAME_CLASSES: Check<Policy> = Check::<Policy>::new(
    "rerun.classes",
    POLICY_CODE,
    &["policy"],
    |policy| {
        let permitted = policy.permitted().map_err(Unmet::from)?;
        Ok(format!("plan and runbook permit the same: {}", permitted.into_iter().collect::<Vec<_>>().join(", ")))
    },
    |policy| policy.classes.push("doctored reset.".to_owned()),
)
.basis(Basis::Documented)
.next("make the classes in M3.G's Reset class law those of the runbook again");

/// Reads the policy out of plan, runbook and registry. A runbook that is not there is for the checks to judge.
pub(super) fn observe(run: &mut LaneRun<'_>) -> Step {
    let there = match &run.documents().runbook_path {
        Some(path) => run.repository().has(path).unwrap_or(false),
        None => false,
    };
    let runbook_classes = if there {
        let row = run.row(RUNBOOK_RULES)?;
        runbook_classes(run, &row)
    } else {
        Err("the runbook that the plan's Authority Inputs name is not there".to_owned())
    };
    let of = |name: &str| laws::clauses(run, "M3.G", name);
    let policy = Policy {
        non_destructive: of(NON_DESTRUCTIVE),
        boundary: of(BOUNDARY),
        drift: of(DRIFT),
        classes: of(CLASSES),
        approval: of(APPROVAL),
        audit: of(AUDIT),
        identity_fields: slashed_in_row(run, IDENTITY_DRIFT),
        receipt_fields: slashed_in_row(run, RESET_RECEIPTS),
        run_root: scenario::text(run.handles(), RUN_ROOT),
        runbook_classes,
    };
    run.observe("policy", "M3.G's laws; the runbook below the heading that M3G-V1 finds; the registry", &policy)
}

/// The classes below the heading that the row found.
fn runbook_classes(run: &LaneRun<'_>, row: &RowOutput) -> Result<Vec<ResetClass>, String> {
    let Some(Output::Lines { matches, .. }) = row.runs.first().map(|run| &run.output) else {
        return Err("the runbook was not searched".to_owned());
    };
    let headings: Vec<_> = matches.iter().filter(|found| found.text.starts_with('#')).collect();
    let [heading] = headings.as_slice() else {
        return Err(format!("{} headings of the runbook announce the reset classes, one is needed", headings.len()));
    };
    let text = run.repository().text(&heading.document).map_err(|e| e.to_string())?;
    let classes = classes_below(&text, heading.line);
    if classes.is_empty() {
        return Err(format!("{}:{} announces no class of reset", heading.document, heading.line));
    }
    Ok(classes)
}

/// `1. **Service/runtime reset:** …` below a heading, up to the next one.
fn classes_below(text: &str, heading: usize) -> Vec<ResetClass> {
    text.lines()
        .skip(heading)
        .take_while(|line| !line.starts_with('#'))
        .filter_map(|line| {
            let (_, rest) = line.split_once("**")?;
            let (label, meaning) = rest.split_once("**")?;
            let name = slug(label);
            (!name.is_empty()).then(|| ResetClass { name, meaning: meaning.trim().to_owned() })
        })
        .collect()
}

/// The class that a clause of the plan's law names: its words up to `reset`. A clause that announces others, and one
/// that forbids, name none.
fn class_in(clause: &str) -> Option<String> {
    if clause.trim_end().ends_with(':') {
        return None;
    }
    let words: Vec<&str> = clause.split_whitespace().collect();
    let end = words.iter().position(|word| word.trim_matches(|c: char| !c.is_alphanumeric()) == "reset")?;
    Some(slug(&words.get(..=end)?.join(" ")))
}

/// `Service/runtime reset:` is `service_runtime_reset`.
pub(super) fn slug(label: &str) -> String {
    let lower = label.to_ascii_lowercase();
    lower.split(|c: char| !c.is_ascii_alphanumeric()).filter(|part| !part.is_empty()).collect::<Vec<_>>().join("_")
}

/// `actor/timestamp/reason` in the command cell of a row.
fn slashed_in_row(run: &LaneRun<'_>, id: &str) -> Result<Vec<String>, String> {
    let row = run.plan().rows.iter().find(|row| row.id == id);
    let template = &row.ok_or_else(|| format!("the plan has no Verify-ID {id}"))?.template;
    slashed(template).map_err(|why| format!("{id}: {why}"))
}

fn slashed(text: &str) -> Result<Vec<String>, String> {
    let lists: Vec<Vec<String>> = text
        .split_whitespace()
        .map(|word| word.trim_matches(|c: char| !c.is_ascii_alphanumeric()))
        .filter(|word| word.matches('/').count() >= 2)
        .map(|word| word.split('/').map(str::to_owned).collect())
        .collect();
    match lists.as_slice() {
        [one] if one.iter().all(|name| !name.is_empty()) => Ok(one.clone()),
        other => Err(format!("{} lists of the form a/b/c stand in `{text}`, and one is needed", other.len())),
    }
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests;
