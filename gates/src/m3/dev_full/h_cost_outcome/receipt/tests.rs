use super::*;
use crate::m3::dev_full::h_cost_outcome::money::{Billed, Money};
use rstest::rstest;

const URI: &str = "s3://evidence/receipt.json";

fn windows() -> Windows {
    let instant = Instant::parse("2026-02-23T17:43:07Z").unwrap();
    Windows { first_day: "2026-02-01".to_owned(), until_day: "2026-02-24".to_owned(), began: instant, ended: instant }
}

fn spend(amount: &str) -> Spend {
    let money = Ok(Money { amount: amount.to_owned(), currency: "USD".to_owned() });
    Spend::new("USD", vec![Billed { source: "aws".to_owned(), money, rate: None }])
}

fn required() -> Vec<String> {
    let listed = "phase_id,window_start_utc,window_end_utc,spend_amount,spend_currency,artifacts_emitted";
    fields(listed).unwrap()
}

fn document() -> Value {
    json!({
        "phase_id": "P1",
        "window_start_utc": "2026-02-23T17:43:07Z",
        "window_end_utc": "2026-02-23T17:43:07Z",
        "spend_amount": "81.49",
        "spend_currency": "USD",
        "artifacts_emitted": [{"name": "run.json", "uri": "s3://evidence/run.json", "sha256": "ab"}],
    })
}

fn refused(document: &Value, required: &[String]) -> String {
    match accept(document, required, &spend("81.49"), &windows()) {
        Ok(_) => panic!("accepted: {document}"),
        Err(unmet) => unmet.why,
    }
}

#[test]
fn a_receipt_with_exactly_these_fields_is_accepted() {
    assert!(accept(&document(), &required(), &spend("81.49"), &windows()).is_ok());
}

#[rstest]
#[case("phase_id", json!(""), "is empty")]
#[case("phase_id", json!(1), "no text")]
#[case("window_start_utc", json!("2026-02-01T00:00:00Z"), "M3's is 2026-02-23T17:43:07Z")]
#[case("window_end_utc", json!("yesterday"), "not an instant")]
#[case("spend_amount", json!("0"), "81.49 was found")]
#[case("spend_currency", json!("EUR"), "USD was found")]
#[case("artifacts_emitted", json!([]), "no artifact")]
#[case("artifacts_emitted", json!("run.json"), "no artifact")]
#[case("artifacts_emitted", json!([{"name": "run.json", "uri": "s3://evidence/run.json"}]), "`/sha256` is missing")]
fn a_field_that_says_otherwise_is_refused(#[case] field: &str, #[case] value: Value, #[case] says: &str) {
    let mut document = document();
    document[field] = value;
    let why = refused(&document, &required());
    assert!(why.contains(says), "{why}");
}

#[test]
fn no_field_is_missing_and_none_is_extra() {
    for field in required() {
        let mut lacking = document();
        lacking.as_object_mut().unwrap().shift_remove(&field);
        let why = refused(&lacking, &required());
        assert!(why.contains(&format!("no `{field}`")), "{why}");
    }
    let mut more = document();
    more["approved_by"] = json!("someone");
    assert!(refused(&more, &required()).contains("has `approved_by`"));
}

#[rstest]
#[case("window_start_utc")]
#[case("spend_amount")]
#[case("artifacts_emitted")]
fn a_list_that_leaves_out_what_the_laws_need_makes_no_receipt(#[case] field: &str) {
    let mut lacking = document();
    lacking.as_object_mut().unwrap().shift_remove(field);
    let required: Vec<String> = required().into_iter().filter(|known| known != field).collect();
    refused(&lacking, &required);
}

fn put(read: Result<Value, String>, sha256: &str) -> Proof {
    let read = read.map(|document| ReadBack { sha256: sha256.to_owned(), document: Ok(document) });
    Proof::Put { uri: URI.to_owned(), sha256: "ab".to_owned(), read }
}

fn made() -> Draft {
    Draft::Made { document: document(), required: Ok(required()) }
}

#[test]
fn what_reads_back_as_it_was_put_is_accepted() {
    let uri = put(Ok(document()), "ab").accepted(&made(), &spend("81.49"), &windows());
    assert_eq!(uri, Ok(URI.to_owned()));
}

#[rstest]
#[case(put(Err("gone".to_owned()), "ab"), "gone")]
#[case(put(Ok(document()), "cd"), "reads back as sha256 cd")]
#[case(put(Ok(json!({})), "ab"), "has no `phase_id`")]
fn what_reads_back_otherwise_is_not(#[case] proof: Proof, #[case] says: &str) {
    let unmet = proof.accepted(&made(), &spend("81.49"), &windows()).unwrap_err();
    assert!(unmet.why.contains(says), "{}", unmet.why);
    assert_eq!(unmet.blocked_by, None);
}

#[test]
fn what_was_never_put_has_its_cause_elsewhere() {
    let proof = Proof::NotPut { by: "M3H-B4".to_owned() };
    let unmet = proof.accepted(&made(), &spend("81.49"), &windows()).unwrap_err();
    assert_eq!(unmet.blocked_by.as_deref(), Some("M3H-B4"));
}
