//! The bills: AWS's out of Cost Explorer, Databricks' out of the object that is pinned.

use bigdecimal::{BigDecimal, Zero as _};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use support::ensure;
use support::registry::HandleError;
use support::run::check::{Check, Unmet};
use support::run::clock::Instant;
use support::run::context::LaneRun;
use support::run::lane::{Step, Stop};
use support::run::rows::{Output, RowOutput};
use support::substrate::reply::CallErrorKind;

use super::money::{self, Money};
use super::{AWS_COST_SOURCE, DATABRICKS_SOURCE, UPSTREAM};
use crate::m3::dev_full::upstream;

/// The two windows of M3.H (PLANS.md 23).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Windows {
    /// Month to date, what the sources are asked about: its first day, and the day after its last.
    pub first_day: String,
    pub until_day: String,
    /// The interval in which M3 executed.
    pub began: Instant,
    pub ended: Instant,
}

impl Windows {
    pub(super) fn of(run: &LaneRun<'_>) -> Result<Self, Stop> {
        let ended = run.instant();
        let began = match UPSTREAM.first() {
            Some(first) => run.executed(first)?.instant,
            None => ended,
        };
        let until_day = ended.tomorrow().map_err(|error| Stop::Fault(error.to_string()))?;
        Ok(Self { first_day: ended.month_start(), until_day, began, ended })
    }

    /// What M3 spent before the month began stands in no bill that is asked for.
    fn cover_m3(&self) -> Result<(), Unmet> {
        ensure!(
            self.first_day <= self.began.day() && self.ended.day() < self.until_day && self.began <= self.ended,
            "{} to {} does not cover M3's interval, {} to {}",
            self.first_day,
            self.until_day,
            self.began.rfc3339(),
            self.ended.rfc3339()
        );
        Ok(())
    }
}

pub(super) static AWS_BILL: Check<(RowOutput, Windows)> = Check::<(RowOutput, Windows)>::new(
    "source.aws",
    "M3H-B3",
    &[AWS_COST_SOURCE, "windows"],
    |(row, windows)| {
        let money = aws_bill(row, windows)?;
        Ok(format!("{} {} from {} to {}", money.amount, money.currency, windows.first_day, windows.until_day))
    },
    |(row, _)| {
        for run in &mut row.runs {
            if let Output::Costs { periods, .. } = &mut run.output {
                periods.clear();
            }
        }
    },
)
.next("see what `aws ce get-cost-and-usage` answers by hand; Cost Explorer must be enabled, and ce:GetCostAndUsage allowed");

/// What AWS bills for the window.
pub(super) fn aws_bill(row: &RowOutput, windows: &Windows) -> Result<Money, Unmet> {
    windows.cover_m3()?;
    let [run] = row.runs.as_slice() else {
        return Err(format!("Cost Explorer was asked {} time(s), and once is needed", row.runs.len()).into());
    };
    let (start, end, metrics, periods, complete) = match &run.output {
        Output::Costs { start, end, metrics, periods, complete } => (start, end, metrics, periods, complete),
        Output::Absent { what } => return Err(Unmet::from(format!("there are no {what}"))),
        _ => return Err("Cost Explorer was not asked".into()),
    };
    ensure!(*complete, "the list of periods is not complete");
    ensure!(
        *start == windows.first_day && *end == windows.until_day,
        "asked about {start} to {end}, and month to date is {} to {}",
        windows.first_day,
        windows.until_day
    );
    let [metric] = metrics.as_slice() else {
        return Err(format!("{} metrics were asked for, and one bill has one", metrics.len()).into());
    };
    // No period is no answer; that nothing was spent would be a period with 0 in it.
    let mut covered_until = start;
    let mut total = BigDecimal::zero();
    let mut unit: Option<&str> = None;
    for period in periods {
        ensure!(
            period.start == *covered_until,
            "no period covers {covered_until}: the next one is {} to {}",
            period.start,
            period.end
        );
        covered_until = &period.end;
        let said = period.totals.get(metric);
        let said = said.ok_or_else(|| Unmet::from(format!("{} to {} has no {metric}", period.start, period.end)))?;
        if let Some(unit) = unit.replace(&said.unit) {
            ensure!(unit == said.unit, "the bill is in {unit} and in {}", said.unit);
        }
        total += money::decimal(&said.amount).map_err(Unmet::from)?;
    }
    let Some(unit) = unit else {
        return Err(format!("no period from {start} to {end}: that is no answer, and not zero").into());
    };
    ensure!(covered_until == end, "the periods end at {covered_until}, and {end} was asked for");
    ensure!(money::is_currency(unit), "the bill is in `{unit}`, which is no currency's code");
    Ok(Money { amount: money::words(&total), currency: unit.to_owned() })
}

/// Databricks' bill, as it was found.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Databricks {
    /// Whether scope and flags ask for it.
    pub enabled: bool,
    /// Its address and who says so, or why none is pinned.
    pub pinned: Result<Pin, String>,
    /// The document at that address, or why it cannot be read.
    pub document: Result<Value, String>,
}

/// Where the bill lies.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Pin {
    pub uri: String,
    pub origin: String,
}

pub(super) static DATABRICKS_BILL: Check<(Databricks, Windows)> = Check::<(Databricks, Windows)>::new(
    "source.databricks",
    "M3H-B4",
    &["databricks", "windows"],
    |(databricks, windows)| match databricks_bill(databricks, windows)? {
        None => Ok("not in scope, and not asked".to_owned()),
        Some(money) => {
            Ok(format!("{} {} from {} to {}", money.amount, money.currency, windows.first_day, windows.until_day))
        }
    },
    |(databricks, _)| {
        databricks.enabled = true;
        databricks.document = Err("doctored: no bill".to_owned());
    },
)
.next(
    "pin M3H_DATABRICKS_COST_SOURCE_URI in the registry (or set it in the environment): an s3:// object with window_start, window_end, currency and amount, month to date",
);

/// What Databricks bills for the window; none where it is not in scope.
pub(super) fn databricks_bill(databricks: &Databricks, windows: &Windows) -> Result<Option<Money>, Unmet> {
    if !databricks.enabled {
        return Ok(None);
    }
    windows.cover_m3()?;
    let pin = databricks.pinned.as_ref().map_err(|why| Unmet::from(why.clone()))?;
    let document = databricks.document.as_ref().map_err(|why| Unmet::from(why.clone()))?;
    let of = |field: &str| {
        upstream::text(document, &format!("/{field}")).map_err(|why| Unmet::from(format!("{}: {why}", pin.uri)))
    };
    let (start, end) = (of("window_start")?, of("window_end")?);
    ensure!(
        start == windows.first_day && end == windows.until_day,
        "{} bills {start} to {end}, and month to date is {} to {}",
        pin.uri,
        windows.first_day,
        windows.until_day
    );
    let currency = of("currency")?;
    ensure!(money::is_currency(&currency), "{}: `{currency}` is no currency's code", pin.uri);
    let amount = of("amount")?;
    let amount = money::decimal(&amount).map_err(|why| Unmet::from(format!("{}: {why}", pin.uri)))?;
    ensure!(amount >= BigDecimal::zero(), "{} bills {}, less than nothing", pin.uri, money::words(&amount));
    Ok(Some(Money { amount: money::words(&amount), currency }))
}

/// Looks for Databricks' bill. A store that gives no answer is taken down, and the envelope is built all the same.
pub(super) fn ask_databricks(run: &mut LaneRun<'_>, enabled: bool) -> Step {
    let not_asked = "not asked".to_owned();
    let mut databricks = Databricks { enabled, pinned: Err(not_asked.clone()), document: Err(not_asked) };
    if enabled {
        databricks.pinned = pin(run);
        if let Ok(pin) = &databricks.pinned {
            let (bucket, key) = address(&pin.uri).map_err(Stop::Fault)?;
            databricks.document = match run.world()?.objects.get_object(bucket, key, None) {
                Ok(reply) => {
                    serde_json::from_slice(&reply.value.bytes).map_err(|e| format!("{} is no JSON: {e}", pin.uri))
                }
                Err(error) if error.kind == CallErrorKind::NotFound => Err(format!("{} does not exist", pin.uri)),
                Err(error) => {
                    let call = format!("aws s3 cp '{}' -", pin.uri);
                    run.unanswered("databricks", &call, error);
                    return Ok(());
                }
            };
        }
    }
    run.observe("databricks", DATABRICKS_SOURCE, &databricks)
}

/// The registry's word for where the bill lies; the environment's, where the registry has no value.
fn pin(run: &LaneRun<'_>) -> Result<Pin, String> {
    let pin = match run.handles().resolve(DATABRICKS_SOURCE) {
        Ok(resolved) => {
            let uri = resolved.text().map_err(|e| e.to_string())?.to_owned();
            Pin { uri, origin: resolved.origin }
        }
        Err(error @ (HandleError::Missing { .. } | HandleError::Bare { .. })) => match run.given(DATABRICKS_SOURCE) {
            Some(uri) => Pin { uri: uri.to_owned(), origin: "the environment".to_owned() },
            None => return Err(format!("{error}; nor does the environment give it")),
        },
        Err(error) => return Err(error.to_string()),
    };
    address(&pin.uri).map_err(|why| format!("{why} ({})", pin.origin))?;
    Ok(pin)
}

/// Bucket and key of `s3://bucket/key`.
///
/// # Errors
/// In words: it is none.
pub(super) fn address(uri: &str) -> Result<(&str, &str), String> {
    uri.strip_prefix("s3://")
        .and_then(|rest| rest.split_once('/'))
        .filter(|(bucket, key)| !bucket.is_empty() && !key.is_empty() && !key.ends_with('/'))
        .ok_or_else(|| format!("`{uri}` is no object's address, s3://bucket/key"))
}

#[cfg(test)]
mod tests;
