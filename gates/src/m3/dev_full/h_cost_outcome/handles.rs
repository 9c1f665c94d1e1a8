//! What the registry pins about budget and cost.

use std::collections::{BTreeMap, BTreeSet};

use bigdecimal::BigDecimal;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use support::ensure;
use support::run::check::{Check, Unmet};
use support::run::context::LaneRun;
use support::run::finding::Basis;
use support::run::rows::{Output, RowOutput};

use super::money;
use super::{AWS_COST_SOURCE, HANDLE_CLOSURE};
use crate::m3::dev_full::upstream;

const LIMIT: &str = "DEV_FULL_MONTHLY_BUDGET_LIMIT_USD";
const ALERTS: [&str; 3] = ["DEV_FULL_BUDGET_ALERT_1_USD", "DEV_FULL_BUDGET_ALERT_2_USD", "DEV_FULL_BUDGET_ALERT_3_USD"];
const CURRENCY: &str = "BUDGET_CURRENCY";
const SCOPE: &str = "COST_CAPTURE_SCOPE";
const AWS_ENABLED: &str = "AWS_COST_CAPTURE_ENABLED";
const DATABRICKS_ENABLED: &str = "DATABRICKS_COST_CAPTURE_ENABLED";
pub(super) const ENVELOPE_PATH: &str = "PHASE_BUDGET_ENVELOPE_PATH_PATTERN";
pub(super) const RECEIPT_PATH: &str = "PHASE_COST_OUTCOME_RECEIPT_PATH_PATTERN";
pub(super) const POSTURE_PATH: &str = "DAILY_COST_POSTURE_PATH_PATTERN";
const HARD_STOP_FLAG: &str = "PHASE_COST_HARD_STOP_ON_MISSING_OUTCOME";
/// Without these three the phase could spend and prove nothing.
const LAWS: [&str; 3] = ["PHASE_COST_OUTCOME_REQUIRED", "PHASE_ENVELOPE_REQUIRED", HARD_STOP_FLAG];
pub(super) const RECEIPT_FIELDS: &str = "COST_OUTCOME_RECEIPT_REQUIRED_FIELDS";
const BILLING_REGION: &str = "AWS_BILLING_REGION";

/// The one word for each source inside `COST_CAPTURE_SCOPE`, as in `aws_plus_databricks`, `aws_only`.
pub(super) const AWS: &str = "aws";
pub(super) const DATABRICKS: &str = "databricks";

/// The handles of the lane, each with its value, or why it has none.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct CostHandles {
    pub values: BTreeMap<String, Result<Value, String>>,
    /// The path patterns, filled with the phase's execution id, or why they cannot be.
    pub paths: BTreeMap<String, Result<String, String>>,
    /// The region that the plan's own row asks for AWS's bill.
    pub row_region: Option<String>,
}

/// The same, understood.
pub(super) struct Budget {
    pub limit: BigDecimal,
    pub alerts: Vec<BigDecimal>,
    pub currency: String,
    pub databricks: bool,
}

impl CostHandles {
    pub(super) fn read(run: &LaneRun<'_>) -> Self {
        let paths = [ENVELOPE_PATH, RECEIPT_PATH, POSTURE_PATH];
        let scalar = [LIMIT, CURRENCY, SCOPE, AWS_ENABLED, DATABRICKS_ENABLED, RECEIPT_FIELDS, BILLING_REGION];
        let values = scalar
            .iter()
            .chain(&ALERTS)
            .chain(&LAWS)
            .chain(&paths)
            .map(|handle| {
                let value = run.handles().resolve(handle).map(|resolved| resolved.value).map_err(|e| e.to_string());
                ((*handle).to_owned(), value)
            })
            .collect();
        let paths = paths.iter().map(|handle| ((*handle).to_owned(), filled(run, handle))).collect();
        let row = run.plan().rows.iter().find(|row| row.id == AWS_COST_SOURCE);
        let mut words = row.map_or("", |row| row.template.as_str()).split_whitespace();
        let row_region = words.find(|word| *word == "--region").and_then(|_| words.next()).map(str::to_owned);
        Self { values, paths, row_region }
    }

    /// # Errors
    /// In words: what is missing, or cannot be what it is meant to be.
    pub(super) fn understood(&self) -> Result<Budget, String> {
        let currency = self.text(CURRENCY)?;
        if !money::is_currency(currency) {
            return Err(format!("{CURRENCY} is `{currency}`, and a currency's code is three capital letters"));
        }
        for (handle, path) in &self.paths {
            path.as_ref().map_err(|why| format!("{handle}: {why}"))?;
        }
        let region = self.text(BILLING_REGION)?;
        match &self.row_region {
            Some(asked) if asked == region => {}
            Some(asked) => {
                return Err(format!("{BILLING_REGION} is {region}, and {AWS_COST_SOURCE} asks {asked}"));
            }
            None => return Err(format!("{AWS_COST_SOURCE} names no region")),
        }
        for law in LAWS {
            self.flag(law)?;
        }
        fields(self.text(RECEIPT_FIELDS)?)?;
        Ok(Budget {
            limit: self.amount(LIMIT)?,
            alerts: ALERTS.iter().map(|handle| self.amount(handle)).collect::<Result<_, _>>()?,
            currency: currency.to_owned(),
            databricks: self.scope()?,
        })
    }

    /// A path pattern of the registry, filled; `-` where it cannot be, which [`PINNED`] says.
    pub(super) fn path(&self, handle: &str) -> &str {
        match self.paths.get(handle) {
            Some(Ok(path)) => path,
            _ => "-",
        }
    }

    /// Whether Databricks is in scope; AWS always is, since the plan asks for its bill on no condition.
    fn scope(&self) -> Result<bool, String> {
        let scope = self.text(SCOPE)?;
        let mut named = BTreeSet::new();
        for word in scope.strip_suffix("_only").unwrap_or(scope).split("_plus_") {
            if ![AWS, DATABRICKS].contains(&word) {
                return Err(format!("{SCOPE} is `{scope}`, and `{word}` is no source that is known"));
            }
            if !named.insert(word) {
                return Err(format!("{SCOPE} is `{scope}`, which names {word} twice"));
            }
        }
        for (source, handle) in [(AWS, AWS_ENABLED), (DATABRICKS, DATABRICKS_ENABLED)] {
            let enabled = self.flag(handle)?;
            if enabled != named.contains(source) {
                return Err(format!("{handle} is {enabled}, and {SCOPE} is `{scope}`: they contradict each other"));
            }
        }
        if !named.contains(AWS) {
            return Err(format!("{SCOPE} is `{scope}`, and {AWS_COST_SOURCE} asks AWS for its bill"));
        }
        Ok(named.contains(DATABRICKS))
    }

    fn value(&self, handle: &str) -> Result<&Value, String> {
        match self.values.get(handle) {
            Some(Ok(value)) => Ok(value),
            Some(Err(why)) => Err(why.clone()),
            None => Err(format!("{handle} was not read")),
        }
    }

    fn text(&self, handle: &str) -> Result<&str, String> {
        let value = self.value(handle)?;
        value.as_str().ok_or_else(|| format!("{handle} is {value}, and a text is needed"))
    }

    fn flag(&self, handle: &str) -> Result<bool, String> {
        let value = self.value(handle)?;
        value.as_bool().ok_or_else(|| format!("{handle} is {value}, and true or false is needed"))
    }

    fn amount(&self, handle: &str) -> Result<BigDecimal, String> {
        match self.value(handle)? {
            value @ Value::Number(_) => money::pinned(value).map_err(|why| format!("{handle}: {why}")),
            value => Err(format!("{handle} is {value}, and a number is needed")),
        }
    }
}

/// The fields of a list such as `a,b`.
pub(super) fn fields(listed: &str) -> Result<Vec<String>, String> {
    let mut fields: Vec<String> = Vec::new();
    for field in listed.split(',').map(str::trim) {
        if field.is_empty() {
            return Err(format!("{RECEIPT_FIELDS} is `{listed}`, which has an empty name"));
        }
        if fields.iter().any(|known| known == field) {
            return Err(format!("{RECEIPT_FIELDS} names `{field}` twice"));
        }
        fields.push(field.to_owned());
    }
    Ok(fields)
}

/// A path pattern, for this execution of the phase.
fn filled(run: &LaneRun<'_>, handle: &str) -> Result<String, String> {
    let fill = || {
        let pattern = run.text(handle)?;
        run.fill(&pattern, &[("phase_execution_id", run.phase_execution_id())])
    };
    fill().map_err(|stop| upstream::words(&stop))
}

pub(super) static PINNED: Check<(RowOutput, CostHandles)> = Check::<(RowOutput, CostHandles)>::new(
    "cost.handles_pinned",
    "M3H-B1",
    &[HANDLE_CLOSURE, "cost_handles"],
    |(row, handles)| {
        let Some(Output::Lines { missing, documents, .. }) = row.runs.first().map(|run| &run.output) else {
            return Err("the registry was not searched for the handles of budget and cost".into());
        };
        ensure!(missing.is_empty(), "{} does not mention: {}", documents.join(", "), missing.join(", "));
        let budget = handles.understood().map_err(Unmet::from)?;
        Ok(format!(
            "{} handles; in scope {AWS}{}, in {}",
            handles.values.len(),
            if budget.databricks { " and databricks" } else { " alone" },
            budget.currency
        ))
    },
    |(_, handles)| {
        handles.values.insert(SCOPE.to_owned(), Ok(Value::from("aws_only")));
        handles.values.insert(DATABRICKS_ENABLED.to_owned(), Ok(Value::from(true)));
    },
)
.next("pin the handle that the message names in the registry, in the form that the plan's precheck of M3.H needs");

pub(super) static HARD_STOP: Check<CostHandles> = Check::<CostHandles>::new(
    "cost.hard_stop",
    "M3H-B1",
    &["cost_handles"],
    |handles| {
        for law in LAWS {
            // What is no flag at all is said by the check of all handles.
            let binding = handles.flag(law).map_err(|why| super::cause::blocked("M3H-B1", why))?;
            ensure!(binding, "{law} is false: money could be spent without a proof, and the phase would go on");
        }
        Ok(format!("{} are true", LAWS.join(", ")))
    },
    |handles| {
        handles.values.insert(HARD_STOP_FLAG.to_owned(), Ok(Value::from(false)));
    },
)
.basis(Basis::Documented)
.next("set the flag to true in the registry; the plan's spend-without-proof law leaves no choice");

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use serde_json::json;

    fn pinned() -> CostHandles {
        let values = [
            (LIMIT, json!(300)),
            (ALERTS[0], json!(120)),
            (ALERTS[1], json!(210)),
            (ALERTS[2], json!(270)),
            (CURRENCY, json!("USD")),
            (SCOPE, json!("aws_plus_databricks")),
            (AWS_ENABLED, json!(true)),
            (DATABRICKS_ENABLED, json!(true)),
            (LAWS[0], json!(true)),
            (LAWS[1], json!(true)),
            (LAWS[2], json!(true)),
            (RECEIPT_FIELDS, json!("phase_id,spend_amount")),
            (BILLING_REGION, json!("us-east-1")),
        ];
        CostHandles {
            values: values.into_iter().map(|(handle, value)| (handle.to_owned(), Ok(value))).collect(),
            paths: BTreeMap::from([(ENVELOPE_PATH.to_owned(), Ok("evidence/x.json".to_owned()))]),
            row_region: Some("us-east-1".to_owned()),
        }
    }

    #[test]
    fn what_is_pinned_is_understood() {
        let budget = pinned().understood().map_err(|why| panic!("{why}")).unwrap();
        assert!(budget.databricks);
        assert_eq!(money::words(&budget.limit), "300");
    }

    #[rstest]
    #[case("aws_plus_databricks", true, true, Ok(true))]
    #[case("databricks_plus_aws", true, true, Ok(true))]
    #[case("aws_only", true, false, Ok(false))]
    #[case("aws", true, false, Ok(false))]
    #[case("aws_only", true, true, Err("contradict"))]
    #[case("aws_plus_databricks", true, false, Err("contradict"))]
    #[case("aws_plus_databricks", false, true, Err("contradict"))]
    #[case("databricks_only", false, true, Err("asks AWS"))]
    #[case("aws_plus_gcp", true, false, Err("`gcp` is no source"))]
    #[case("aws_plus_aws", true, false, Err("names aws twice"))]
    #[case("", true, true, Err("no source"))]
    fn scope_and_flags_must_agree(
        #[case] scope: &str,
        #[case] aws: bool,
        #[case] databricks: bool,
        #[case] is: Result<bool, &str>,
    ) {
        let mut handles = pinned();
        handles.values.insert(SCOPE.to_owned(), Ok(json!(scope)));
        handles.values.insert(AWS_ENABLED.to_owned(), Ok(json!(aws)));
        handles.values.insert(DATABRICKS_ENABLED.to_owned(), Ok(json!(databricks)));
        match (handles.understood().map(|budget| budget.databricks), is) {
            (Ok(is), Ok(expected)) => assert_eq!(is, expected),
            (Err(why), Err(says)) => assert!(why.contains(says), "{why}"),
            (other, _) => panic!("{other:?}"),
        }
    }

    #[rstest]
    #[case(LIMIT, Ok(json!("300")), "a number is needed")]
    #[case(ALERTS[1], Ok(json!(true)), "a number is needed")]
    #[case(ALERTS[2], Err("no line defines it".to_owned()), "no line defines it")]
    #[case(CURRENCY, Ok(json!("dollars")), "three capital letters")]
    #[case(SCOPE, Ok(json!(1)), "a text is needed")]
    #[case(AWS_ENABLED, Ok(json!("yes")), "true or false")]
    #[case(HARD_STOP_FLAG, Ok(json!(1)), "true or false")]
    #[case(RECEIPT_FIELDS, Ok(json!("a,,b")), "empty name")]
    #[case(RECEIPT_FIELDS, Ok(json!("a, b,a")), "`a` twice")]
    #[case(BILLING_REGION, Ok(json!("eu-west-2")), "asks us-east-1")]
    fn what_is_malformed_is_not(#[case] handle: &str, #[case] value: Result<Value, String>, #[case] says: &str) {
        let mut handles = pinned();
        handles.values.insert(handle.to_owned(), value);
        match handles.understood() {
            Ok(_) => panic!("accepted"),
            Err(why) => assert!(why.contains(says), "{why}"),
        }
    }
}
