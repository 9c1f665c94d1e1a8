//! The envelope of the phase's budget: what M3 may spend, and what is expected for it.

use bigdecimal::{BigDecimal, Zero as _};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use support::ensure;
use support::run::check::{Check, Unmet};
use support::run::context::LaneRun;

use super::handles::{Budget, CostHandles, ENVELOPE_PATH};
use super::money::{self, words};
use super::sources::Windows;
use super::{PHASE_ID, UPSTREAM, cause};

pub(super) const ENVELOPE: &str = "m3h_phase_budget_envelope.json";

/// The currency that the handles of limit and alerts have in their names.
const PINNED_IN: &str = "USD";

/// What an envelope says, at the least: tasks 1 and 2 of the lane, and what the runbook asks of an envelope.
const FIELDS: [&str; 10] = [
    "phase_id",
    "phase_execution_id",
    "budget_currency",
    "monthly_limit",
    "alerts",
    "source_window",
    "m3_window",
    "hard_stop",
    "expected_proof_artifacts",
    "registry_path",
];

/// What became of the envelope.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub(super) enum Envelope {
    /// It is in the store; this is the local file that the store's bytes were compared with, read again.
    Left { document: Result<Value, String> },
    /// It did not get there, and `by` says why.
    NotLeft { by: String },
}

pub(super) static COMPLETE: Check<(CostHandles, Envelope)> = Check::<(CostHandles, Envelope)>::new(
    "envelope.complete",
    "M3H-B5",
    &["cost_handles", "envelope"],
    |(handles, envelope)| {
        let document = match envelope {
            Envelope::Left { document } => document.as_ref().map_err(|why| Unmet::from(why.clone()))?,
            Envelope::NotLeft { by } => return Err(cause::blocked(by, format!("{ENVELOPE} is not in the store"))),
        };
        let budget = handles.understood().map_err(|why| cause::blocked("M3H-B1", why))?;
        says(document, &budget)
    },
    |(_, envelope)| {
        if let Envelope::Left { document: Ok(Value::Object(fields)) } = envelope {
            fields.remove("monthly_limit");
        }
    },
)
.next("pin a limit above nothing, with alerts that rise and do not pass it, in the currency of their handles' names");

/// Met when the envelope has all its fields, says what the registry pins, and its thresholds make sense.
fn says(document: &Value, budget: &Budget) -> Result<String, Unmet> {
    for field in FIELDS {
        let there = document.get(field).is_some_and(|value| match value {
            Value::Null => false,
            Value::String(text) => !text.trim().is_empty(),
            Value::Array(items) => !items.is_empty(),
            Value::Object(members) => !members.is_empty(),
            Value::Bool(_) | Value::Number(_) => true,
        });
        ensure!(there, "{ENVELOPE} has no `{field}`");
    }
    let currency = document.get("budget_currency").and_then(Value::as_str).unwrap_or("-");
    ensure!(currency == budget.currency, "{ENVELOPE} is in {currency}, BUDGET_CURRENCY is {}", budget.currency);
    ensure!(
        currency == PINNED_IN,
        "limit and alerts are pinned in {PINNED_IN} by their handles' names, and BUDGET_CURRENCY is {currency}"
    );
    let amount = |value: Option<&Value>| match value.and_then(Value::as_str) {
        Some(text) => money::decimal(text).map_err(Unmet::from),
        None => Err(format!("{ENVELOPE} has a threshold that is no text").into()),
    };
    let limit = amount(document.get("monthly_limit"))?;
    let listed = document.get("alerts").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let alerts = listed.iter().map(|alert| amount(Some(alert))).collect::<Result<Vec<BigDecimal>, _>>()?;
    ensure!(
        limit == budget.limit && alerts == budget.alerts,
        "{ENVELOPE} says other thresholds than the registry: limit {}, alerts {}",
        words(&limit),
        listed_in_words(&alerts)
    );
    ensure!(limit > BigDecimal::zero(), "the limit is {}, and nothing may be spent", words(&limit));
    let mut below = BigDecimal::zero();
    for alert in &alerts {
        ensure!(
            *alert > below,
            "the alerts {} do not rise from one to the next, above nothing",
            listed_in_words(&alerts)
        );
        below.clone_from(alert);
    }
    ensure!(below <= limit, "the last alert, {}, stands above the limit of {}", words(&below), words(&limit));
    Ok(format!("limit {} {currency}, alerts at {}", words(&limit), listed_in_words(&alerts)))
}

fn listed_in_words(alerts: &[BigDecimal]) -> String {
    alerts.iter().map(words).collect::<Vec<_>>().join(", ")
}

/// The document, out of what the registry pins.
pub(super) fn envelope(run: &LaneRun<'_>, handles: &CostHandles, budget: &Budget, windows: &Windows) -> Value {
    let expected: Vec<&str> = run
        .plan()
        .contracts
        .iter()
        .filter(|contract| contract.lane.as_deref().is_some_and(|lane| UPSTREAM.contains(&lane) || lane == "M3.H"))
        .flat_map(|contract| contract.files.iter().map(|file| file.name.as_str()))
        .collect();
    json!({
        "execution_id": run.own_execution_id(),
        "phase_id": PHASE_ID,
        "phase_execution_id": run.phase_execution_id(),
        "written_at_utc": run.instant().rfc3339(),
        "budget_currency": budget.currency,
        "monthly_limit": words(&budget.limit),
        "alerts": budget.alerts.iter().map(words).collect::<Vec<_>>(),
        "source_window": source_window(windows),
        "m3_window": m3_window(windows),
        "hard_stop": "money spent without an accepted cost-outcome receipt stops the phase (M3H-B9)",
        "expected_proof_artifacts": expected,
        "registry_path": handles.path(ENVELOPE_PATH),
    })
}

/// What the sources are asked about: month to date, the last day excluded.
pub(super) fn source_window(windows: &Windows) -> Value {
    json!({ "start": windows.first_day, "end": windows.until_day })
}

/// The interval in which M3 executed.
pub(super) fn m3_window(windows: &Windows) -> Value {
    json!({ "window_start_utc": windows.began.rfc3339(), "window_end_utc": windows.ended.rfc3339() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn budget(limit: &str, alerts: [&str; 3], currency: &str) -> Budget {
        let decimal = |text: &str| money::decimal(text).unwrap();
        Budget {
            limit: decimal(limit),
            alerts: alerts.iter().map(|alert| decimal(alert)).collect(),
            currency: currency.to_owned(),
            databricks: true,
        }
    }

    fn document(budget: &Budget) -> Value {
        json!({
            "phase_id": "P1",
            "phase_execution_id": "m3_20260223T174307Z",
            "budget_currency": budget.currency,
            "monthly_limit": words(&budget.limit),
            "alerts": budget.alerts.iter().map(words).collect::<Vec<_>>(),
            "source_window": {"start": "2026-02-01"},
            "m3_window": {"window_start_utc": "2026-02-23T17:43:07Z"},
            "hard_stop": "yes",
            "expected_proof_artifacts": ["run.json"],
            "registry_path": "evidence/x.json",
        })
    }

    #[rstest]
    #[case("300", ["120", "210", "270"], "USD", None)]
    #[case("300", ["120", "210", "300"], "USD", None)]
    #[case("300", ["0.5", "210", "270"], "USD", None)]
    #[case("300", ["120", "210", "300.01"], "USD", Some("above the limit"))]
    #[case("300", ["120", "120", "270"], "USD", Some("do not rise"))]
    #[case("300", ["210", "120", "270"], "USD", Some("do not rise"))]
    #[case("300", ["0", "120", "270"], "USD", Some("do not rise"))]
    #[case("0", ["120", "210", "270"], "USD", Some("nothing may be spent"))]
    #[case("-300", ["120", "210", "270"], "USD", Some("nothing may be spent"))]
    #[case("300", ["120", "210", "270"], "EUR", Some("pinned in USD"))]
    fn thresholds_make_sense_or_not(
        #[case] limit: &str,
        #[case] alerts: [&str; 3],
        #[case] currency: &str,
        #[case] refused: Option<&str>,
    ) {
        let budget = budget(limit, alerts, currency);
        match (says(&document(&budget), &budget), refused) {
            (Ok(_), None) => {}
            (Err(unmet), Some(says)) => assert!(unmet.why.contains(says), "{}", unmet.why),
            (other, _) => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_envelope_says_what_the_registry_says() {
        let pinned = budget("300", ["120", "210", "270"], "USD");
        let other = document(&budget("3000", ["120", "210", "270"], "USD"));
        assert!(says(&other, &pinned).unwrap_err().why.contains("other thresholds"));
        for field in FIELDS {
            let mut lacking = document(&pinned);
            lacking[field] = Value::Null;
            assert!(says(&lacking, &pinned).unwrap_err().why.contains(&format!("no `{field}`")));
        }
    }
}
