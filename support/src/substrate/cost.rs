//! Reading Cost Explorer.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::Arc;

use aws_config::{Region, SdkConfig};
use aws_sdk_costexplorer::types::{DateInterval, MetricValue, ResultByTime};
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::link::{Call, Link};
use super::reply::{CallError, CallErrorKind, Reply};
use super::s3::Listing;
use super::walk::Walk;

/// How long the periods of an answer are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Granularity {
    /// One period for each day.
    Daily,
    /// One period for each calendar month, or for the part of it that was asked about.
    Monthly,
}

impl Granularity {
    /// AWS's word for it: `DAILY`, `MONTHLY`.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Daily => "DAILY",
            Self::Monthly => "MONTHLY",
        }
    }
}

/// A granularity that cannot be asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown granularity `{word}`: use `DAILY` or `MONTHLY`")]
pub struct UnknownGranularity {
    word: String,
}

impl FromStr for Granularity {
    type Err = UnknownGranularity;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        [Self::Daily, Self::Monthly]
            .into_iter()
            .find(|granularity| granularity.word() == word)
            .ok_or_else(|| UnknownGranularity { word: word.to_owned() })
    }
}

/// What is asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CostQuery<'a> {
    /// The region that is asked, whatever the substrate's own is: Cost Explorer is in `us-east-1`.
    pub region: &'a str,
    /// The first day, `2026-02-01`.
    pub start: &'a str,
    /// The day after the last one.
    pub end: &'a str,
    /// How long the periods of the answer are.
    pub granularity: Granularity,
    /// AWS's names of the metrics: `UnblendedCost`.
    pub metrics: &'a [&'a str],
}

/// One period of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CostPeriod {
    /// Its first day, as the server wrote it.
    pub start: String,
    /// The day after its last one.
    pub end: String,
    /// What it came to, by metric. A metric that the server left out is not in it: that is not
    /// zero, it is unknown.
    pub totals: BTreeMap<String, CostAmount>,
    /// Whether the server says that the amounts may still change.
    pub estimated: bool,
}

/// An amount.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CostAmount {
    /// The decimal number as the server wrote it: digits, with a sign and a fraction where it has
    /// them.
    pub amount: String,
    /// What it counts: `USD`.
    pub unit: String,
}

/// Cost Explorer, for reading. AWS charges for each page that it answers.
#[derive(Debug)]
pub struct Cost {
    client: aws_sdk_costexplorer::Client,
    link: Arc<Link>,
}

impl Cost {
    pub(super) fn new(config: &SdkConfig, link: Arc<Link>) -> Self {
        Self { client: aws_sdk_costexplorer::Client::new(config), link }
    }

    /// What the account spent, period by period (`get-cost-and-usage`); every page is walked. A
    /// list without a period is an answer without data, not one of zero.
    ///
    /// # Errors
    /// `Malformed` when an answer contradicts itself, or has periods outside of what was asked; see
    /// [`CallErrorKind`] for the others.
    pub fn get_cost_and_usage(&self, query: &CostQuery<'_>) -> Result<Reply<Listing<CostPeriod>>, CallError> {
        let mut walk = Walk::default();
        loop {
            let target = format!("{}..{} {}", query.start, query.end, query.metrics.join(","));
            let call = self.link.call("ce", "get-cost-and-usage", target);
            let window = DateInterval::builder()
                .start(query.start)
                .end(query.end)
                .build()
                .map_err(|error| call.error(CallErrorKind::Refused, error.to_string()))?;
            let region = Region::new(query.region.to_owned());
            let request = self
                .client
                .get_cost_and_usage()
                .time_period(window)
                .granularity(query.granularity.word().into())
                .set_metrics(Some(query.metrics.iter().map(ToString::to_string).collect()))
                .set_next_page_token(walk.token())
                .customize()
                .config_override(aws_sdk_costexplorer::config::Builder::new().region(region));
            let page = call.send(request.interceptor(call.probe()).send())?;
            for result in call.required("ResultsByTime", page.value.results_by_time)? {
                let period = period(&call, result)?;
                let free_from = walk.last().map_or(query.start, |before: &CostPeriod| &before.end);
                follows(&call, &period, free_from, query.end)?;
                walk.push(period);
            }
            if walk.is_over(&call, page.attempts, page.value.next_page_token)? {
                return Ok(walk.reply(&call));
            }
        }
    }
}

fn period(call: &Call<'_>, result: ResultByTime) -> Result<CostPeriod, CallError> {
    let DateInterval { start, end, .. } = call.required("TimePeriod", result.time_period)?;
    let totals = result
        .total
        .unwrap_or_default()
        .into_iter()
        .map(|(metric, value)| Ok((metric, amount(call, value)?)))
        .collect::<Result<_, _>>()?;
    Ok(CostPeriod { start, end, totals, estimated: result.estimated })
}

fn amount(call: &Call<'_>, value: MetricValue) -> Result<CostAmount, CallError> {
    let amount = call.required("Amount", value.amount)?;
    if !is_decimal(&amount) {
        return Err(call.malformed(format!("`{amount}` is no decimal number")));
    }
    Ok(CostAmount { amount, unit: call.required("Unit", value.unit)? })
}

/// Whether `text` is a plain decimal number: `12`, `-0.0000000289`.
pub(super) fn is_decimal(text: &str) -> bool {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    match unsigned.split_once('.') {
        Some((whole, fraction)) => digits(whole) && digits(fraction),
        None => digits(unsigned),
    }
}

/// Periods that overlap would count a day twice, and one outside of the window another time's cost.
fn follows(call: &Call<'_>, period: &CostPeriod, free_from: &str, until: &str) -> Result<(), CallError> {
    let day = |text: &str| text.parse::<Date>().map_err(|error| call.malformed(format!("`{text}` is no day: {error}")));
    let (start, end) = (day(&period.start)?, day(&period.end)?);
    if start >= day(free_from)? && start < end && end <= day(until)? {
        Ok(())
    } else {
        let message = format!("period {}..{} lies outside of {free_from}..{until}", period.start, period.end);
        Err(call.malformed(message))
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::is_decimal;

    #[rstest]
    #[case("0", true)]
    #[case("12.3400", true)]
    #[case("-0.0000000289", true)]
    #[case("", false)]
    #[case("-", false)]
    #[case(".5", false)]
    #[case("5.", false)]
    #[case("1e3", false)]
    #[case("1_000", false)]
    #[case("+1", false)]
    #[case("NaN", false)]
    #[case("1.2.3", false)]
    fn an_amount_is_a_plain_decimal_number(#[case] text: &str, #[case] right: bool) {
        assert_eq!(is_decimal(text), right);
    }
}
