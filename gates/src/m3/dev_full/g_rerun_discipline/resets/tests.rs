use super::*;
use rstest::rstest;
use serde_json::json;

const RUN: &str = "platform_20260223T174307Z";

fn whole() -> Value {
    json!({
        "actor": "operator", "timestamp": "2026-02-23T10:00:00Z", "reason": "stuck lane",
        "class": "Service/runtime reset", "scope": RUN,
    })
}

fn read(document: Value) -> Receipt {
    let asked = ["actor", "timestamp", "reason", "class", "scope"].map(str::to_owned);
    let now = Instant::parse("2026-02-23T17:43:07Z").unwrap();
    receipt("rc/m9/reset_receipt.json".to_owned(), Ok(document), &asked, now)
}

#[rstest]
#[case("actor", json!("somebody"), &[])]
#[case("actor", json!(" "), &["actor"])]
#[case("reason", json!(null), &["reason"])]
#[case("scope", json!({ "lane": "" }), &["scope"])]
#[case("scope", json!(["ig"]), &[])]
#[case("class", json!(4), &["a `class` that is a text"])]
#[case("timestamp", json!("2026-02-23T10:00:00.5+00:00"), &[])]
#[case("timestamp", json!("2026-02-23T10:00:00.Z"), &["a `timestamp` in UTC that is not ahead of this execution"])]
#[case("timestamp", json!("yesterday"), &["a `timestamp` in UTC that is not ahead of this execution"])]
#[case("timestamp", json!("2026-02-24T00:00:00Z"), &["a `timestamp` in UTC that is not ahead of this execution"])]
fn a_receipt_is_whole_or_says_what_it_lacks(#[case] field: &str, #[case] value: Value, #[case] lacks: &[&str]) {
    let mut document = whole();
    document.as_object_mut().unwrap().insert(field.to_owned(), value);
    assert_eq!(read(document).lacks, lacks);
}

#[test]
fn a_class_is_read_by_its_label_or_by_its_name() {
    assert_eq!(read(whole()).class.as_deref(), Some("service_runtime_reset"));
    let mut named = whole();
    named.as_object_mut().unwrap().insert("class".to_owned(), json!("service_runtime_reset"));
    assert_eq!(read(named).class.as_deref(), Some("service_runtime_reset"));
}

#[rstest]
#[case(json!({}), &["blocker_adjudication", "approval", "phase_execution_id"])]
#[case(json!({ "blocker_adjudication": "M3D-B2", "approval": false, "phase_execution_id": "m3_1" }), &["approval"])]
#[case(json!({ "blocker_adjudication": "M3D-B2", "approval": "by the owner", "phase_execution_id": "m3_1" }), &[])]
fn a_fallback_needs_all_of_its_approval(#[case] more: Value, #[case] unadjudicated: &[&str]) {
    let mut document = whole();
    let members = document.as_object_mut().unwrap();
    members.insert("class".to_owned(), json!("Runtime-path fallback"));
    members.extend(more.as_object().unwrap().clone());
    let receipt = read(document);
    assert!(receipt.fallback);
    assert_eq!(receipt.unadjudicated, unadjudicated);
}

#[rstest]
#[case(json!({ "scope": "platform_20260101T000000Z/lanes" }), true)]
#[case(json!({ "platform_run_id": "platform_20260101T000000Z" }), true)]
#[case(json!({ "platform_run_id": "platform_20260101T000000Z", "scope": [RUN] }), false)]
#[case(json!({ "scope": { "evidence/runs/platform_20260223T174307Z/": "x" } }), false)]
#[case(json!({ "scope": "all lanes" }), false)]
#[case(json!({ "platform_run_id": RUN }), false)]
#[case(json!({ "scope": format!("{RUN}_01") }), true)]
#[case(json!(null), false)]
fn a_receipt_is_of_other_runs_only_if_it_says_so(#[case] document: Value, #[case] others: bool) {
    assert_eq!(is_of_others(&document, RUN), others);
}

#[rstest]
#[case("reset_receipt.json", true)]
#[case("reset_receipt_02.json", true)]
#[case("fallback_receipt.json", true)]
#[case("reset_receipt.txt", false)]
#[case("m3g_reset_class_matrix.json", false)]
fn receipts_are_known_by_name(#[case] name: &str, #[case] is: bool) {
    assert_eq!(is_receipt(name), is);
}
