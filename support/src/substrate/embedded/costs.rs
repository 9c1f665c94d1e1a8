//! Cost Explorer of the embedded world. A handler of our own: `winterbaume` answers every window
//! with one period without amounts.
//!
//! Amounts are the world's own rows, added up exactly. No row in the window is an answer without a
//! period, and no row of a metric in a period leaves the metric out of it, where AWS says `0`: what a
//! world does not say is not known to be nothing.

use std::str::FromStr as _;

use bigdecimal::BigDecimal;
use jiff::ToSpan as _;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::connector::{ServiceRequest, ServiceResponse};
use super::services::{Answer, Trouble, json_response, operation, refusal};
use super::store::{Store, WorldState};
use crate::substrate::cost::Granularity;

/// The metrics that AWS has.
pub(in crate::substrate) const METRICS: [&str; 7] = [
    "AmortizedCost",
    "BlendedCost",
    "NetAmortizedCost",
    "NetUnblendedCost",
    "NormalizedUsageAmount",
    "UnblendedCost",
    "UsageQuantity",
];

/// The one region that answers, whichever the world is in.
const REGION: &str = "us-east-1";

/// What one day came to, by one metric.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::substrate) struct CostRow {
    pub day: Date,
    pub metric: String,
    /// A plain decimal number.
    pub amount: String,
    pub unit: String,
}

/// What became of rows that were to be kept.
#[derive(Debug)]
pub(in crate::substrate) enum Billed {
    /// They are kept; this many of them are new.
    Kept { made: usize },
    /// None is kept: this one says something else than what is there.
    Differs(CostRow),
}

/// Keeps `rows`, all of them or none.
pub(super) fn bill(state: &mut WorldState, rows: &[CostRow]) -> Billed {
    let mut all = state.costs.clone();
    for row in rows {
        match all.iter().find(|there| (there.day, &there.metric) == (row.day, &row.metric)) {
            Some(there) if there == row => {}
            Some(_) => return Billed::Differs(row.clone()),
            None => all.push(row.clone()),
        }
    }
    let made = all.len() - state.costs.len();
    state.costs = all;
    Billed::Kept { made }
}

/// Answers `GetCostAndUsage`; all else is `NotImplemented`.
pub(super) fn answer(store: &Store, request: &ServiceRequest) -> ServiceResponse {
    if request.target.as_deref() != Some("AWSInsightsIndexService.GetCostAndUsage") {
        let message = format!("the embedded world does not implement ce:{}", operation(request));
        return refusal(request, 501, "NotImplementedException", &message);
    }
    if request.region != REGION {
        let message = format!("Credential should be scoped to a valid region: {REGION}");
        return refusal(request, 400, "InvalidSignatureException", &message);
    }
    let answered = store.read(|state| cost_and_usage(state, &request.body)).map_err(Trouble::from);
    match answered.and_then(|answered| answered) {
        Ok(answer) => json_response(answer.status, answer.body.to_string().into_bytes()),
        Err(trouble) => trouble.refusal(request),
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Asked {
    time_period: Window,
    granularity: String,
    metrics: Vec<String>,
    #[serde(flatten)]
    more: Map<String, Value>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Window {
    start: String,
    end: String,
}

fn invalid(message: impl Into<String>) -> Answer {
    Answer::error(400, "ValidationException", message)
}

fn unanswerable(what: &str) -> Answer {
    let message = format!("the embedded world does not answer costs with {what}");
    Answer::error(501, "NotImplementedException", message)
}

fn cost_and_usage(state: &WorldState, body: &[u8]) -> Result<Answer, Trouble> {
    if state.account.is_none() {
        return Err(Trouble::Unseeded);
    }
    let today = today(state)?;
    match read(body, today) {
        Ok((asked, window)) => results(state, &asked.metrics, &window, today),
        Err(refused) => Ok(refused),
    }
}

/// The request and the periods that it asks about.
fn read(body: &[u8], today: Date) -> Result<(Asked, Vec<(Date, Date)>), Answer> {
    let asked: Asked = serde_json::from_slice(body).map_err(|error| invalid(error.to_string()))?;
    if let Some(what) = asked.more.keys().next() {
        return Err(unanswerable(what));
    }
    if asked.metrics.is_empty() {
        return Err(invalid("Metrics must not be empty"));
    }
    if let Some(metric) = asked.metrics.iter().find(|metric| !METRICS.contains(&metric.as_str())) {
        return Err(invalid(format!("Metrics: `{metric}` is not one of {}", METRICS.join(", "))));
    }
    if asked.granularity == "HOURLY" {
        return Err(unanswerable("Granularity HOURLY"));
    }
    let granularity: Granularity = asked.granularity.parse().map_err(|_| invalid("Granularity is unknown"))?;
    let (start, end) = (day(&asked.time_period.start)?, day(&asked.time_period.end)?);
    if start >= end {
        return Err(invalid("Start date (and hour) should be before end date (and hour)"));
    }
    if start > today {
        return Err(invalid("Start date must not be later than the current date"));
    }
    let periods = periods(start, end, granularity).map_err(|error| invalid(error.to_string()))?;
    Ok((asked, periods))
}

/// A day, written as `YYYY-MM-DD` and in no other form.
fn day(text: &str) -> Result<Date, Answer> {
    let day: Option<Date> = text.parse().ok();
    day.filter(|day| day.to_string() == text).ok_or_else(|| invalid(format!("`{text}` is no day (YYYY-MM-DD)")))
}

fn periods(start: Date, end: Date, granularity: Granularity) -> Result<Vec<(Date, Date)>, jiff::Error> {
    let mut periods = Vec::new();
    let mut from = start;
    while from < end {
        let next = match granularity {
            Granularity::Daily => from.tomorrow()?,
            Granularity::Monthly => from.first_of_month().checked_add(1.month())?,
        };
        periods.push((from, next.min(end)));
        from = next;
    }
    Ok(periods)
}

/// The world's day.
fn today(state: &WorldState) -> Result<Date, Trouble> {
    let now = i64::try_from(state.now()).unwrap_or(i64::MAX);
    let now = jiff::Timestamp::from_second(now).map_err(|error| Trouble::State(error.to_string()))?;
    Ok(TimeZone::UTC.to_datetime(now).date())
}

fn results(state: &WorldState, metrics: &[String], periods: &[(Date, Date)], today: Date) -> Result<Answer, Trouble> {
    let within = |row: &CostRow, (start, end): (Date, Date)| start <= row.day && row.day < end;
    let known = periods.iter().any(|period| state.costs.iter().any(|row| within(row, *period)));
    let mut results = Vec::new();
    for (start, end) in periods.iter().copied().filter(|_| known) {
        let mut total = Map::new();
        for metric in metrics {
            let rows: Vec<&CostRow> =
                state.costs.iter().filter(|row| row.metric == *metric && within(row, (start, end))).collect();
            if let Some(first) = rows.first() {
                total.insert(metric.clone(), json!({"Amount": sum(&rows)?, "Unit": first.unit}));
            }
        }
        results.push(json!({
            "TimePeriod": {"Start": start.to_string(), "End": end.to_string()},
            "Total": total,
            "Groups": [],
            "Estimated": end > today,
        }));
    }
    Ok(Answer { status: 200, body: json!({"ResultsByTime": results, "DimensionValueAttributes": []}) })
}

fn sum(rows: &[&CostRow]) -> Result<String, Trouble> {
    let amounts: Vec<BigDecimal> = rows
        .iter()
        .map(|row| {
            BigDecimal::from_str(&row.amount).map_err(|error| Trouble::State(format!("{}: {error}", row.amount)))
        })
        .collect::<Result<_, _>>()?;
    Ok(amounts.iter().sum::<BigDecimal>().to_plain_string())
}
