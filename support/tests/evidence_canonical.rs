//! The two canonical forms: equal where they should be, different only where their documentation says so.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test by panicking")]

use phasegate_support::evidence::canonical::{CanonicalError, sorted_keys_v1, to_bytes};
use proptest::prelude::*;
use rstest::rstest;
use serde_json::{Map, Value, json};

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

/// The example of RFC 8785, section 3.2.3, and its neighbours.
#[rstest]
#[case(json!({ "b": [3, 1, 2], "a": { "z": null, "y": true } }), r#"{"a":{"y":true,"z":null},"b":[3,1,2]}"#)]
#[case(json!({ "\u{20ac}": 1, "\r": 2, "1": 3, "\u{80}": 4, "\u{f6}": 5 }), "{\"\\r\":2,\"1\":3,\"\u{80}\":4,\"\u{f6}\":5,\"\u{20ac}\":1}")]
#[case(json!("\u{8}\t\n\u{c}\r\"\\\u{1}\u{1f}\u{7f}é/"), "\"\\b\\t\\n\\f\\r\\\"\\\\\\u0001\\u001f\u{7f}é/\"")]
#[case(json!([]), "[]")]
#[case(json!({}), "{}")]
#[case(json!(-9_007_199_254_740_991_i64), "-9007199254740991")]
fn both_forms_write_this(#[case] value: Value, #[case] expected: &str) {
    assert_eq!(text(to_bytes(&value).unwrap()), expected);
    assert_eq!(text(sorted_keys_v1(&value).unwrap()), expected);
}

/// The documented differences, and no others.
#[rstest]
#[case::whole_float(json!(1.0), "1", "1.0")]
#[case::negative_zero(json!(-0.0), "0", "-0.0")]
#[case::large_float(json!(1e16), "10000000000000000", "1e+16")]
#[case::small_float(json!(0.000_001), "0.000001", "1e-6")]
#[case::order_of_keys(json!({ "\u{ff61}": 1, "\u{1f600}": 2 }), "{\"\u{1f600}\":2,\"\u{ff61}\":1}", "{\"\u{ff61}\":1,\"\u{1f600}\":2}")]
fn the_forms_differ_here(#[case] value: Value, #[case] rfc8785: &str, #[case] sorted_keys: &str) {
    assert_eq!(text(to_bytes(&value).unwrap()), rfc8785);
    assert_eq!(text(sorted_keys_v1(&value).unwrap()), sorted_keys);
}

#[rstest]
#[case(json!({ "a": [0, 9_007_199_254_740_992_u64] }), "$[key 1][1]")]
#[case(json!(u64::MAX), "$")]
#[case(json!(i64::MIN), "$")]
fn an_integer_beyond_a_double_is_refused_by_one_and_exact_in_the_other(#[case] value: Value, #[case] place: &str) {
    let error = to_bytes(&value).unwrap_err();
    assert!(matches!(&error, CanonicalError::Inexact { at } if at == place), "{error}");
    let back: Value = serde_json::from_slice(&sorted_keys_v1(&value).unwrap()).unwrap();
    assert_eq!(back, value);
}

/// Documents of texts and exact integers, whose keys lie below U+D800.
fn plain_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-9_007_199_254_740_991_i64..=9_007_199_254_740_991).prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec(("[ -~\u{80}-\u{d7ff}]{0,5}", inner), 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// The same document with the members of each object in another order.
fn reversed(value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().map(reversed).collect(),
        Value::Object(members) => {
            let turned: Map<String, Value> =
                members.iter().rev().map(|(key, member)| (key.clone(), reversed(member))).collect();
            Value::Object(turned)
        }
        other => other.clone(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_order_of_members_does_not_matter(value in plain_json()) {
        let turned = reversed(&value);
        prop_assert_eq!(to_bytes(&value).unwrap(), to_bytes(&turned).unwrap());
        prop_assert_eq!(sorted_keys_v1(&value).unwrap(), sorted_keys_v1(&turned).unwrap());
    }

    #[test]
    fn the_forms_agree_on_texts_and_exact_integers(value in plain_json()) {
        prop_assert_eq!(text(to_bytes(&value).unwrap()), text(sorted_keys_v1(&value).unwrap()));
    }

    #[test]
    fn nothing_is_lost(value in plain_json()) {
        let back: Value = serde_json::from_slice(&to_bytes(&value).unwrap()).unwrap();
        prop_assert_eq!(back, value);
    }
}
