//! Resets and fallbacks of this run: each of a permitted class or adjudicated, each with its receipt.
//!
//! A receipt is a file `reset_receipt*.json` or `fallback_receipt*.json` directly below an execution's folder under the
//! root of control evidence. It speaks of the runs that its `platform_run_id` or its `scope` names; one that names no
//! run, and one that cannot be read, may speak of this one and is judged too. A class that says `fallback` is a
//! fallback, wherever it stands. A fallback names `blocker_adjudication`, `approval` and `phase_execution_id`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use support::ensure;
use support::run::check::{Check, Unmet};
use support::run::clock::Instant;
use support::run::context::LaneRun;
use support::run::lane::{Step, Stop};

use super::policy::{POLICY_CODE, Policy, slug};
use super::run_control::{self, RunControl};
use crate::m3::dev_full::upstream::Identity;

const RECEIPTS_CODE: &str = "M3G-B5";

/// What the approval law asks of a fallback, by the names that receipts use.
const ADJUDICATION: [&str; 3] = ["blocker_adjudication", "approval", "phase_execution_id"];

/// The receipts of resets that were found.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Resets {
    pub receipts: Vec<Receipt>,
    /// Receipts that name other runs only.
    pub of_other_runs: Vec<String>,
    /// How many keys were looked through, and whether they were all.
    pub listed: usize,
    pub complete: bool,
}

/// One receipt, as far as checks need it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Receipt {
    pub key: String,
    /// Why it cannot be read.
    pub problem: Option<String>,
    pub fallback: bool,
    /// The class, in the form of the permitted ones.
    pub class: Option<String>,
    /// What the plan asks for, and the receipt does not name.
    pub lacks: Vec<String>,
    /// What the approval law asks of a fallback, and the receipt does not name.
    pub unadjudicated: Vec<String>,
}

pub(super) static AUDITED: Check<Resets> = Check::<Resets>::new(
    "resets.audited",
    RECEIPTS_CODE,
    &["reset_receipts"],
    |resets| {
        ensure!(resets.complete, "the list of control evidence is not complete ({} keys)", resets.listed);
        for receipt in &resets.receipts {
            if let Some(why) = &receipt.problem {
                return Err(Unmet::from(format!("{}: {why}", receipt.key)));
            }
            ensure!(receipt.lacks.is_empty(), "{} lacks: {}", receipt.key, receipt.lacks.join(", "));
            ensure!(receipt.class.is_some(), "{} names no class", receipt.key);
        }
        Ok(format!("{}, among {} keys of control evidence", counted(resets), resets.listed))
    },
    |resets| resets.complete = false,
)
.next("find out who reset what, and leave a whole receipt under a new execution id; the old one stays as it is");

pub(super) static CLASSED: Check<(Resets, Policy)> = Check::<(Resets, Policy)>::new(
    "resets.classed",
    "M3G-B4",
    &["resets", "policy"],
    |(resets, policy)| {
        let permitted = policy.permitted().map_err(|why| Unmet::blocked_by(POLICY_CODE, why))?;
        for receipt in resets.receipts.iter().filter(|receipt| !receipt.fallback) {
            let class = class_of(receipt)?;
            ensure!(
                permitted.contains(class),
                "{} is of class `{class}`, permitted are {}",
                receipt.key,
                permitted.iter().cloned().collect::<Vec<_>>().join(", ")
            );
        }
        Ok(format!("{}, each of {} permitted classes", counted(resets), permitted.len()))
    },
    |(resets, _)| {
        resets.receipts.push(Receipt {
            key: "doctored".to_owned(),
            problem: None,
            fallback: false,
            class: Some("doctored_reset".to_owned()),
            lacks: Vec::new(),
            unadjudicated: Vec::new(),
        });
    },
)
.next("treat it as a blocker and have it adjudicated; a new class is pinned in the runbook and in M3.G's law first");

pub(super) static ADJUDICATED: Check<Resets> = Check::<Resets>::new(
    "fallbacks.adjudicated",
    "M3G-B6",
    &["resets"],
    |resets| {
        for receipt in &resets.receipts {
            class_of(receipt)?;
        }
        let fallbacks: Vec<&Receipt> = resets.receipts.iter().filter(|receipt| receipt.fallback).collect();
        for receipt in &fallbacks {
            ensure!(
                receipt.unadjudicated.is_empty(),
                "{} went ahead without: {}",
                receipt.key,
                receipt.unadjudicated.join(", ")
            );
        }
        Ok(format!("{} fallback(s), each adjudicated, approved, and under an execution id of its own", fallbacks.len()))
    },
    |resets| {
        resets.receipts.push(Receipt {
            key: "doctored".to_owned(),
            problem: None,
            fallback: true,
            class: Some("doctored_fallback".to_owned()),
            lacks: Vec::new(),
            unadjudicated: vec!["approval".to_owned()],
        });
    },
)
.next("open a blocker, have it adjudicated and approved, and begin again under a new phase_execution_id");

/// The class that a receipt names. One that names none is for the check of receipts to judge.
fn class_of(receipt: &Receipt) -> Result<&str, Unmet> {
    receipt
        .class
        .as_deref()
        .ok_or_else(|| Unmet::blocked_by(RECEIPTS_CODE, format!("{} names no class that could be read", receipt.key)))
}

fn counted(resets: &Resets) -> String {
    format!("{} receipt(s) of this run, {} of others", resets.receipts.len(), resets.of_other_runs.len())
}

/// Reads the receipts under the root of control evidence.
pub(super) fn observe(run: &mut LaneRun<'_>, identity: &Identity, control: &RunControl) -> Step {
    let policy: Policy = run.fact("policy")?;
    let asked = policy.receipt_fields.unwrap_or_default();
    let own_run = &identity.platform_run_id;
    let mut resets = Resets {
        receipts: Vec::new(),
        of_other_runs: Vec::new(),
        listed: control.keys.len(),
        complete: control.complete,
    };
    for key in control.named(is_receipt) {
        let read = run_control::document(run, "reset_receipts", &key)?;
        if read.as_ref().is_ok_and(|document| is_of_others(document, own_run)) {
            resets.of_other_runs.push(key);
        } else {
            resets.receipts.push(receipt(key, read, &asked, run.instant()));
        }
    }
    let source = format!("{}*/reset_receipt*.json, fallback_receipt*.json", control.root);
    run.observe("reset_receipts", &source, &resets)?;
    run.observe("resets", &source, &resets)
}

fn is_receipt(name: &str) -> bool {
    (name.starts_with("reset_receipt") || name.starts_with("fallback_receipt")) && name.ends_with(".json")
}

/// Whether a receipt names runs, and this one is not among them.
fn is_of_others(document: &Value, own_run: &str) -> bool {
    let mut named = Vec::new();
    for member in ["platform_run_id", "scope"] {
        runs_in(document.get(member).unwrap_or(&Value::Null), &mut named);
    }
    !named.is_empty() && !named.iter().any(|run| run == own_run)
}

/// The run ids in the texts of a value.
fn runs_in(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::String(text) => {
            let ids = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|word| is_run_id(word));
            found.extend(ids.map(str::to_owned));
        }
        Value::Array(items) => items.iter().for_each(|item| runs_in(item, found)),
        Value::Object(members) => members.iter().for_each(|(name, member)| {
            runs_in(&Value::String(name.clone()), found);
            runs_in(member, found);
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// `platform_<YYYYMMDDTHHMMSSZ>`, with or without a suffix.
fn is_run_id(word: &str) -> bool {
    let Some(rest) = word.strip_prefix("platform_") else { return false };
    let stamp = rest.split('_').next().unwrap_or("");
    stamp.len() == 16
        && stamp.ends_with('Z')
        && stamp.get(..8).is_some_and(|day| day.bytes().all(|b| b.is_ascii_digit()))
}

fn receipt(key: String, read: Result<Value, String>, asked: &[String], now: Instant) -> Receipt {
    let by_name = key.rsplit('/').next().is_some_and(|name| name.starts_with("fallback_receipt"));
    let document = match read {
        Ok(document @ Value::Object(_)) => document,
        Ok(_) => return unreadable(key, by_name, "it is no JSON object".to_owned()),
        Err(why) => return unreadable(key, by_name, why),
    };
    let named = |field: &str| document.get(field).is_some_and(says_something);
    let class = document.get("class").and_then(Value::as_str).map(slug).filter(|class| !class.is_empty());
    let mut lacks: Vec<String> = asked.iter().filter(|field| !named(field)).cloned().collect();
    if named("timestamp") && !is_past_instant(&document, now) {
        lacks.push("a `timestamp` in UTC that is not ahead of this execution".to_owned());
    }
    if named("class") && class.is_none() {
        lacks.push("a `class` that is a text".to_owned());
    }
    Receipt {
        key,
        problem: None,
        fallback: by_name || class.as_ref().is_some_and(|class| class.contains("fallback")),
        class,
        lacks,
        unadjudicated: ADJUDICATION.into_iter().filter(|field| !named(field)).map(str::to_owned).collect(),
    }
}

fn unreadable(key: String, fallback: bool, why: String) -> Receipt {
    let unadjudicated = ADJUDICATION.map(str::to_owned).to_vec();
    Receipt { key, problem: Some(why), fallback, class: None, lacks: Vec::new(), unadjudicated }
}

fn is_past_instant(document: &Value, now: Instant) -> bool {
    let stamp = document.get("timestamp").and_then(Value::as_str);
    stamp.and_then(instant).is_some_and(|stamp| stamp <= now)
}

/// An instant in UTC; fractions of a second are no fault of a receipt.
fn instant(text: &str) -> Option<Instant> {
    let local = text.strip_suffix('Z').or_else(|| text.strip_suffix("+00:00"))?;
    let (seconds, fraction) = local.split_once('.').unwrap_or((local, "0"));
    let whole = !fraction.is_empty() && fraction.bytes().all(|b| b.is_ascii_digit());
    Instant::parse(&format!("{seconds}Z")).ok().filter(|_| whole)
}

/// Whether a member is more than a placeholder for an answer. That something was not done is no answer either.
fn says_something(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::String(text) => !text.trim().is_empty(),
        Value::Array(items) => items.iter().any(says_something),
        Value::Object(members) => members.values().any(says_something),
        Value::Bool(true) | Value::Number(_) => true,
    }
}

/// The matrix of classes, as the lane leaves it.
pub(super) fn matrix(run: &LaneRun<'_>) -> Result<BTreeMap<&'static str, Value>, Stop> {
    let to_json = |value: Result<Value, serde_json::Error>| value.map_err(|e| Stop::Fault(e.to_string()));
    let policy: Policy = run.fact("policy")?;
    let resets: Option<Resets> = run.fact("resets").ok();
    let classes = policy.runbook_classes.clone().unwrap_or_default();
    Ok(BTreeMap::from([
        ("classes", to_json(serde_json::to_value(classes))?),
        ("receipt_fields", to_json(serde_json::to_value(policy.receipt_fields.unwrap_or_default()))?),
        ("fallback_receipt_fields", to_json(serde_json::to_value(ADJUDICATION))?),
        ("observed", to_json(serde_json::to_value(resets))?),
    ]))
}

#[cfg(test)]
mod tests;
