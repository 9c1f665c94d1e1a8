//! Money in exact decimals: read, brought to the budget's currency, added up.

use std::str::FromStr as _;

use bigdecimal::{BigDecimal, Zero as _};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use support::ensure;
use support::registry::{HandleError, Handles};
use support::run::check::{Check, Unmet};
use support::run::finding::Basis;

use super::cause;

/// From here on a JSON number may have been rounded when it was read.
const EXACT_DIGITS: usize = 15;

/// An amount of one currency: a plain decimal number, as it was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Money {
    pub amount: String,
    pub currency: String,
}

/// What one source billed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Billed {
    pub source: String,
    /// Or the code that says why nothing is known of it.
    pub money: Result<Money, String>,
    /// The rate from its currency to the budget's, where the two differ.
    pub rate: Option<Rate>,
}

/// A pinned rate of exchange.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Rate {
    pub handle: String,
    /// How much of the budget's currency one unit of the other is, or why that is not known.
    pub value: Result<String, String>,
}

/// What all sources in scope billed, month to date.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Spend {
    pub currency: String,
    pub billed: Vec<Billed>,
    /// All together in `currency`, or why that cannot be said.
    pub total: Result<String, String>,
}

impl Spend {
    pub(super) fn new(currency: &str, billed: Vec<Billed>) -> Self {
        let mut spend = Self { currency: currency.to_owned(), billed, total: Err("not added up".to_owned()) };
        spend.total = spend.added_up().map(|total| words(&total)).map_err(|unmet| unmet.why);
        spend
    }

    /// All amounts in the budget's currency, added up.
    fn added_up(&self) -> Result<BigDecimal, Unmet> {
        ensure!(!self.billed.is_empty(), "no source was asked");
        self.billed.iter().map(|billed| self.normalised(billed)).sum()
    }

    /// One amount in the budget's currency.
    pub(super) fn normalised(&self, billed: &Billed) -> Result<BigDecimal, Unmet> {
        let source = &billed.source;
        let money = match &billed.money {
            Ok(money) => money,
            Err(code) => return Err(cause::blocked(code, format!("nothing is known of what {source} billed"))),
        };
        let amount = decimal(&money.amount).map_err(|why| Unmet::from(format!("{source}: {why}")))?;
        if money.currency == self.currency {
            return Ok(amount);
        }
        let from = &money.currency;
        let Some(rate) = &billed.rate else {
            return Err(format!("{source} bills in {from}, and no rate to {} was looked for", self.currency).into());
        };
        let value = rate
            .value
            .as_ref()
            .map_err(|why| Unmet::from(format!("{source} bills in {from}, and no rate is pinned: {why}")))?;
        let value = decimal(value).map_err(|why| Unmet::from(format!("{}: {why}", rate.handle)))?;
        ensure!(value > BigDecimal::zero(), "{} is {}, and a rate is more than nothing", rate.handle, words(&value));
        Ok(amount * value)
    }

    /// Whether any source billed something: a refund of the one does not undo the bill of the other.
    pub(super) fn is_spent(&self) -> Result<bool, Unmet> {
        let mut spent = false;
        for billed in &self.billed {
            spent |= self.normalised(billed)? > BigDecimal::zero();
        }
        Ok(spent)
    }
}

pub(super) static ONE_CURRENCY: Check<Spend> = Check::<Spend>::new(
    "spend.one_currency",
    "M3H-B7",
    &["spend"],
    |spend| {
        let total = words(&spend.added_up()?);
        let recorded = spend.total.as_ref().map_err(|why| Unmet::from(why.clone()))?;
        ensure!(total == *recorded, "{recorded} was recorded, and the sources come to {total} {}", spend.currency);
        Ok(format!("{total} {} month to date, out of {} source(s)", spend.currency, spend.billed.len()))
    },
    |spend| {
        if let Some(billed) = spend.billed.first_mut() {
            billed.money = Ok(Money { amount: "1".to_owned(), currency: "XTS".to_owned() });
            billed.rate = None;
        }
    },
)
.basis(Basis::Recomputed)
.next("pin FX_RATE_<FROM>_<TO> in the registry: how much of BUDGET_CURRENCY one unit of the other currency is");

/// A plain decimal number: `12`, `-0.0000000289`; neither an exponent nor a sign `+`.
///
/// # Errors
/// In words.
pub(super) fn decimal(text: &str) -> Result<BigDecimal, String> {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let plain = match unsigned.split_once('.') {
        Some((whole, fraction)) => digits(whole) && digits(fraction),
        None => digits(unsigned),
    };
    if !plain {
        return Err(format!("`{text}` is no plain decimal number"));
    }
    BigDecimal::from_str(text).map_err(|error| format!("`{text}`: {error}"))
}

/// The decimal that a registry pins, as a number or as text.
///
/// # Errors
/// In words: something else, or a number that may have been rounded when it was read.
pub(super) fn pinned(value: &Value) -> Result<BigDecimal, String> {
    match value {
        Value::String(text) => decimal(text),
        Value::Number(number) => {
            let text = number.to_string();
            let digits = text.bytes().filter(u8::is_ascii_digit).count();
            if number.is_f64() && digits > EXACT_DIGITS {
                return Err(format!("{text} has too many digits for a number; write it in quotes"));
            }
            decimal(&text)
        }
        other => Err(format!("{other} is no number")),
    }
}

/// A decimal as files have it: plain, without zeros that say nothing.
pub(super) fn words(decimal: &BigDecimal) -> String {
    decimal.normalized().to_plain_string()
}

/// Whether a text can be a currency's code: three capital letters.
pub(super) fn is_currency(text: &str) -> bool {
    text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_uppercase())
}

/// The rate that the registry pins, from one currency to another; none is needed where they are one.
pub(super) fn rate(handles: &Handles, from: &str, to: &str) -> Option<Rate> {
    if from == to {
        return None;
    }
    let handle = format!("FX_RATE_{from}_{to}");
    let value = if is_currency(from) {
        handles
            .resolve(&handle)
            .map_err(|error: HandleError| error.to_string())
            .and_then(|resolved| pinned(&resolved.value).map_err(|why| format!("{handle}: {why}")))
            .map(|rate| words(&rate))
    } else {
        Err(format!("`{from}` is no currency's code"))
    };
    Some(Rate { handle, value })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use serde_json::json;
    use std::path::Path;
    use support::registry;

    fn billed(source: &str, amount: &str, currency: &str, rate: Option<&str>) -> Billed {
        let money = Ok(Money { amount: amount.to_owned(), currency: currency.to_owned() });
        let rate = rate.map(|value| Rate { handle: "FX".to_owned(), value: Ok(value.to_owned()) });
        Billed { source: source.to_owned(), money, rate }
    }

    #[rstest]
    #[case(&[("0.1", "USD", None), ("0.2", "USD", None)], Ok("0.3"))]
    #[case(&[("63.0721460893", "USD", None), ("18.42", "USD", None)], Ok("81.4921460893"))]
    #[case(&[("100", "EUR", Some("1.0837")), ("-8.37", "USD", None)], Ok("100"))]
    #[case(&[("0", "USD", None)], Ok("0"))]
    #[case(&[("0.00000000000000000000000000000001", "EUR", Some("1.00000000000001"))],
        Ok("0.0000000000000000000000000000000100000000000001"))]
    #[case(&[("1", "EUR", None)], Err("no rate to USD was looked for"))]
    #[case(&[("1", "EUR", Some("0"))], Err("more than nothing"))]
    #[case(&[("1", "EUR", Some("-1"))], Err("more than nothing"))]
    #[case(&[("1e3", "USD", None)], Err("no plain decimal"))]
    #[case(&[], Err("no source was asked"))]
    fn amounts_are_added_up_exactly(#[case] amounts: &[(&str, &str, Option<&str>)], #[case] total: Result<&str, &str>) {
        let all = amounts.iter().map(|(amount, currency, rate)| billed("aws", amount, currency, *rate)).collect();
        match (Spend::new("USD", all).total, total) {
            (Ok(is), Ok(expected)) => assert_eq!(is, expected),
            (Err(why), Err(says)) => assert!(why.contains(says), "{why}"),
            (other, _) => panic!("{other:?}"),
        }
    }

    #[rstest]
    #[case(&["0", "0"], false)]
    #[case(&["-5", "0"], false)]
    #[case(&["-5", "5"], true)]
    #[case(&["0.0000000001"], true)]
    fn a_refund_hides_no_spend(#[case] amounts: &[&str], #[case] spent: bool) {
        let all = amounts.iter().map(|amount| billed("aws", amount, "USD", None)).collect();
        assert_eq!(Spend::new("USD", all).is_spent(), Ok(spent));
    }

    #[test]
    fn a_source_that_said_nothing_is_not_zero() {
        let mut all = vec![billed("aws", "1", "USD", None), billed("databricks", "1", "USD", None)];
        if let Some(last) = all.last_mut() {
            last.money = Err("M3H-B4".to_owned());
        }
        let spend = Spend::new("USD", all);
        assert_eq!(spend.added_up().unwrap_err().blocked_by.as_deref(), Some("M3H-B4"));
        assert!(spend.is_spent().is_err());
    }

    #[rstest]
    #[case("EUR", "* `FX_RATE_EUR_USD = 1.0837`", Ok("1.0837"))]
    #[case("EUR", "* `FX_RATE_EUR_USD = \"1.08370000000000000001\"`", Ok("1.08370000000000000001"))]
    #[case("EUR", "* `FX_RATE_EUR_USD = 1.08370000000000001`", Ok("1.0837"))]
    #[case("EUR", "* `FX_RATE_EUR_USD = 1.0837123456789012`", Err("too many digits"))]
    #[case("EUR", "* `FX_RATE_EUR_USD = true`", Err("no number"))]
    #[case("EUR", "* `FX_RATE_EUR_USD = \"TO_PIN\"`", Err("placeholder"))]
    #[case("EUR", "* `FX_RATE_USD_EUR = 0.9`", Err("no line defines"))]
    #[case("Euro", "* `FX_RATE_EUR_USD = 1`", Err("no currency's code"))]
    fn a_rate_is_pinned_or_unknown(#[case] from: &str, #[case] line: &str, #[case] is: Result<&str, &str>) {
        let handles = Handles::new(registry::parse(Path::new("r.md"), &format!("{line}\n")).registry);
        match (rate(&handles, from, "USD").unwrap().value, is) {
            (Ok(value), Ok(expected)) => assert_eq!(value, expected),
            (Err(why), Err(says)) => assert!(why.contains(says), "{why}"),
            (other, _) => panic!("{other:?}"),
        }
        assert!(rate(&handles, "USD", "USD").is_none());
    }

    #[rstest]
    #[case(json!(300), Ok("300"))]
    #[case(json!(0.5), Ok("0.5"))]
    #[case(json!("12.50"), Ok("12.5"))]
    #[case(json!(1e300), Err("no plain decimal"))]
    #[case(json!("12,5"), Err("no plain decimal"))]
    #[case(json!(null), Err("no number"))]
    fn only_exact_numbers_are_read(#[case] value: Value, #[case] is: Result<&str, &str>) {
        match (pinned(&value).map(|decimal| words(&decimal)), is) {
            (Ok(is), Ok(expected)) => assert_eq!(is, expected),
            (Err(why), Err(says)) => assert!(why.contains(says), "{why}"),
            (other, _) => panic!("{other:?}"),
        }
    }
}
