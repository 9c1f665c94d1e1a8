use std::collections::BTreeMap;

use super::*;
use rstest::rstest;
use serde_json::json;
use support::run::rows::RowRun;
use support::substrate::{CostAmount, CostPeriod};

fn instant(text: &str) -> Instant {
    Instant::parse(text).unwrap()
}

fn windows() -> Windows {
    Windows {
        first_day: "2026-02-01".to_owned(),
        until_day: "2026-02-24".to_owned(),
        began: instant("2026-02-23T17:43:07Z"),
        ended: instant("2026-02-23T17:43:07Z"),
    }
}

fn period(start: &str, end: &str, amount: &str, unit: &str) -> CostPeriod {
    let amount = CostAmount { amount: amount.to_owned(), unit: unit.to_owned() };
    CostPeriod {
        start: start.to_owned(),
        end: end.to_owned(),
        totals: BTreeMap::from([("UnblendedCost".to_owned(), amount)]),
        estimated: true,
    }
}

fn asked(metrics: &[&str], periods: Vec<CostPeriod>, complete: bool) -> RowOutput {
    RowOutput {
        row: AWS_COST_SOURCE.to_owned(),
        template: String::new(),
        documented_at: String::new(),
        runs: vec![RowRun {
            bindings: BTreeMap::new(),
            supplied: BTreeMap::new(),
            call: String::new(),
            output: Output::Costs {
                start: "2026-02-01".to_owned(),
                end: "2026-02-24".to_owned(),
                metrics: metrics.iter().map(|metric| (*metric).to_owned()).collect(),
                periods,
                complete,
            },
        }],
        follow_ups: BTreeMap::new(),
    }
}

fn month(amount: &str, unit: &str) -> Vec<CostPeriod> {
    vec![period("2026-02-01", "2026-02-24", amount, unit)]
}

#[rstest]
#[case(month("63.0721460893", "USD"), "63.0721460893")]
#[case(month("0", "USD"), "0")]
#[case(month("-1.50", "USD"), "-1.5")]
#[case(
    vec![period("2026-02-01", "2026-02-10", "0.1", "USD"), period("2026-02-10", "2026-02-24", "0.2", "USD")],
    "0.3"
)]
fn a_bill_that_covers_the_window_is_read_exactly(#[case] periods: Vec<CostPeriod>, #[case] amount: &str) {
    let bill = aws_bill(&asked(&["UnblendedCost"], periods, true), &windows());
    assert_eq!(bill, Ok(Money { amount: amount.to_owned(), currency: "USD".to_owned() }));
}

#[rstest]
#[case::empty(asked(&["UnblendedCost"], vec![], true), "not zero")]
#[case::incomplete(asked(&["UnblendedCost"], month("1", "USD"), false), "not complete")]
#[case::other_metric(asked(&["BlendedCost"], month("1", "USD"), true), "has no BlendedCost")]
#[case::two_metrics(asked(&["UnblendedCost", "BlendedCost"], month("1", "USD"), true), "2 metrics")]
#[case::starts_late(
    asked(&["UnblendedCost"], vec![period("2026-02-02", "2026-02-24", "1", "USD")], true),
    "no period covers 2026-02-01"
)]
#[case::ends_early(
    asked(&["UnblendedCost"], vec![period("2026-02-01", "2026-02-23", "1", "USD")], true),
    "end at 2026-02-23"
)]
#[case::gap(
    asked(
        &["UnblendedCost"],
        vec![period("2026-02-01", "2026-02-10", "1", "USD"), period("2026-02-11", "2026-02-24", "1", "USD")],
        true,
    ),
    "no period covers 2026-02-10"
)]
#[case::two_currencies(
    asked(
        &["UnblendedCost"],
        vec![period("2026-02-01", "2026-02-10", "1", "USD"), period("2026-02-10", "2026-02-24", "1", "EUR")],
        true,
    ),
    "in USD and in EUR"
)]
#[case::no_currency(asked(&["UnblendedCost"], month("1", "N/A"), true), "no currency's code")]
#[case::no_number(asked(&["UnblendedCost"], month("1e3", "USD"), true), "no plain decimal")]
fn what_is_no_bill_is_not_zero(#[case] row: RowOutput, #[case] says: &str) {
    let why = aws_bill(&row, &windows()).unwrap_err().why;
    assert!(why.contains(says), "{why}");
}

#[test]
fn another_window_is_another_bill() {
    let row = asked(&["UnblendedCost"], month("1", "USD"), true);
    let mut other = windows();
    other.until_day = "2026-02-25".to_owned();
    assert!(aws_bill(&row, &other).unwrap_err().why.contains("month to date is 2026-02-01 to 2026-02-25"));
}

#[rstest]
#[case("2026-01-31T23:59:59Z", "2026-02-23T17:43:07Z", false)]
#[case("2026-02-01T00:00:00Z", "2026-02-23T17:43:07Z", true)]
#[case("2026-02-23T17:43:08Z", "2026-02-23T17:43:07Z", false)]
#[case("2026-02-23T17:43:07Z", "2026-02-24T00:00:00Z", false)]
fn the_bills_must_cover_the_interval_of_m3(#[case] began: &str, #[case] ended: &str, #[case] covers: bool) {
    let windows = Windows { began: instant(began), ended: instant(ended), ..windows() };
    assert_eq!(aws_bill(&asked(&["UnblendedCost"], month("1", "USD"), true), &windows).is_ok(), covers);
}

fn bill() -> Value {
    json!({"window_start": "2026-02-01", "window_end": "2026-02-24", "currency": "USD", "amount": "18.42"})
}

fn found(document: Value) -> Databricks {
    let uri = "s3://artifacts/bill.json".to_owned();
    Databricks { enabled: true, pinned: Ok(Pin { uri, origin: "registry.md:1".to_owned() }), document: Ok(document) }
}

#[test]
fn a_bill_of_databricks_is_read_exactly() {
    let money = Money { amount: "18.42".to_owned(), currency: "USD".to_owned() };
    assert_eq!(databricks_bill(&found(bill()), &windows()), Ok(Some(money)));
}

#[rstest]
#[case("window_start", json!("2026-01-01"), "bills 2026-01-01")]
#[case("window_end", json!("2026-02-23"), "to 2026-02-23")]
#[case("window_end", json!(null), "`/window_end` is missing")]
#[case("currency", json!("dollars"), "no currency's code")]
#[case("currency", json!(""), "is empty")]
#[case("amount", json!("-0.01"), "less than nothing")]
#[case("amount", json!("NaN"), "no plain decimal")]
#[case("amount", json!("18,42"), "no plain decimal")]
#[case("amount", json!(18.42), "no text")]
fn what_is_no_bill_of_databricks_is_none(#[case] field: &str, #[case] value: Value, #[case] says: &str) {
    let mut document = bill();
    document[field] = value;
    let why = databricks_bill(&found(document), &windows()).unwrap_err().why;
    assert!(why.contains(says), "{why}");
}

#[test]
fn what_is_not_in_scope_is_not_asked() {
    let nothing = Databricks { enabled: false, pinned: Err(String::new()), document: Err(String::new()) };
    assert_eq!(databricks_bill(&nothing, &windows()), Ok(None));
    let unpinned = Databricks { enabled: true, ..nothing };
    assert!(databricks_bill(&unpinned, &windows()).is_err());
}

#[rstest]
#[case("s3://bucket/a/b.json", Some(("bucket", "a/b.json")))]
#[case("s3://bucket/", None)]
#[case("s3://bucket", None)]
#[case("s3:///key", None)]
#[case("s3://bucket/folder/", None)]
#[case("https://bucket/key", None)]
#[case("dbfs:/billing", None)]
fn an_address_names_an_object(#[case] uri: &str, #[case] is: Option<(&str, &str)>) {
    assert_eq!(address(uri).ok(), is);
}
