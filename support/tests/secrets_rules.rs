//! Each rule of the secret scan: what it takes, what comes near and passes, and that nothing hides a secret or shows it.
//!
//! No secret-like literal stands in this file: samples are put together from parts, so that no forge's push protection stops it.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test by panicking")]

#[path = "secrets_samples/mod.rs"]
mod samples;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use phasegate_support::secrets::{Hit, scan_bytes, scan_json};
use proptest::prelude::*;
use rstest::rstest;
use samples::{Sample, chance, samples};
use serde_json::{Value, json};

fn rules(hits: &[Hit]) -> Vec<&str> {
    hits.iter().map(|hit| hit.rule.as_str()).collect()
}

#[test]
fn each_token_rule_takes_its_positive_and_passes_its_near_miss() {
    for Sample { rule, positive, near } in samples() {
        let hits = scan_json(&json!({ "a": ["b", positive] }));
        assert!(rules(&hits).contains(&rule), "{rule} does not take its positive: {hits:?}");
        assert!(hits.iter().all(|hit| hit.at == "$.a[1]"), "{hits:?}");
        let near_hits = scan_json(&json!({ "a": ["b", near] }));
        assert!(!rules(&near_hits).contains(&rule), "{rule} takes its near miss: {near_hits:?}");
    }
}

#[test]
fn each_rule_of_the_file_has_a_sample_or_a_keyed_case() {
    let file: toml::Table = toml::from_str(include_str!("../src/secrets/rules.toml")).unwrap();
    let ids = |kind: &str| -> Vec<String> {
        let entries = file[kind].as_array().unwrap();
        entries.iter().map(|entry| entry["id"].as_str().unwrap().to_owned()).collect()
    };
    let sampled: Vec<&str> = samples().iter().map(|sample| sample.rule).collect();
    for id in ids("token") {
        assert!(sampled.contains(&id.as_str()), "no sample for {id}");
    }
    assert_eq!(
        ids("keyed"),
        ["password-value", "confluent-api-key", "secret-like-key"],
        "extend the keyed tables below"
    );
}

#[rstest]
#[case("password", json!("hunter22"), "password-value")]
#[case("DB_PASSWORD", json!("correct horse"), "password-value")]
#[case("dbPassword", json!("abcd"), "password-value")]
#[case("password", json!(12345678), "password-value")]
#[case("passwords", json!(["one", "hunter22"]), "password-value")]
#[case("new_password", json!({ "value": "hunter22" }), "password-value")]
#[case("client_secret", json!(chance(24)), "secret-like-key")]
#[case("apiKey", json!(chance(24)), "secret-like-key")]
#[case("token_for_ci", json!(chance(24)), "secret-like-key")]
#[case("SecretAccessKey", json!(chance(40)), "secret-like-key")]
#[case("SessionToken", json!(chance(80)), "secret-like-key")]
#[case("confluent_api_key", json!(["ABCDEFGH", "23456789"].concat()), "confluent-api-key")]
#[case("auth", json!({ "token": { "value": chance(24), "sensitive": true } }), "secret-like-key")]
fn a_value_is_a_secret_because_of_its_key(#[case] key: &str, #[case] value: Value, #[case] rule: &str) {
    let hits = scan_json(&json!({ "outputs": { key: value } }));
    assert!(rules(&hits).contains(&rule), "{hits:?}");
}

#[rstest]
#[case("password", json!("abc"))]
#[case("password", json!(true))]
#[case("password", json!(""))]
#[case("password_policy", json!("rotate-every-90-days"))]
#[case("passwords_checked", json!(12345678))]
#[case("client_secret", json!("to-be-provided-by-operator"))]
#[case("monkey", json!(chance(24)))]
#[case("authority", json!(chance(24)))]
#[case("confluent_api_key", json!("ABCDEFGHABCDEFG"))]
#[case("confluent_cluster", json!("lkc-dev-min-cluster"))]
fn a_value_near_a_keyed_rule_passes(#[case] key: &str, #[case] value: Value) {
    assert_eq!(scan_json(&json!({ "outputs": { key: value } })), []);
}

#[rstest]
#[case("name", "value")]
#[case("Name", "Value")]
#[case("handle", "value")]
#[case("ParameterKey", "ParameterValue")]
fn a_name_beside_a_value_is_its_key(#[case] name: &str, #[case] value: &str) {
    let hits = scan_json(&json!({ "environment": [{ name: "DB_PASSWORD", value: "hunter22" }] }));
    assert_eq!(rules(&hits), ["password-value"]);
    assert_eq!(hits[0].at, format!("$.environment[0].{value}"));
}

/// PLANS.md 40, and what real handoffs and receipts hold.
#[rstest]
#[case("secret_class", "non_secret")]
#[case("resolved_run_json_key", "evidence/runs/platform_20260213T214223Z/run.json")]
#[case("SSM_DB_PASSWORD_PATH", "/fraud-platform/dev_min/db/password")]
#[case("SSM_CONFLUENT_API_SECRET_PATH", "/fraud-platform/dev_min/confluent/api_secret")]
#[case("TF_VAR_CONFLUENT_CLOUD_API_SECRET", "TF_VAR_confluent_cloud_api_secret")]
#[case("CONFLUENT_CREDENTIAL_OWNER_MODE", "user_creds_dev")]
#[case("IG_AUTH_HEADER_NAME", "X-IG-Api-Key")]
#[case("config_digest", "8dbb1a83093300916f49f32e9629f46f9653f70d39e5e89add8f2e19113ae793")]
#[case("secret_digest", "8dbb1a83093300916f49f32e9629f46f9653f70d39e5e89add8f2e19113ae793")]
#[case("git_sha", "7f1c0f0e2b6a4d0f9f5b1f3f9a9e0a5a2d0f4c11")]
#[case("image_digest", "sha256:ec91963a32d5060035ef319c498e51d75f48373bcf20706fc2c94b4de8bb0421")]
#[case("ROLE_ECS_TASK_EXECUTION", "arn:aws:iam::230372904534:role/fraud-platform-dev-min-ecs-task-execution")]
#[case("secret_arn", "arn:aws:secretsmanager:eu-west-2:230372904534:secret:db-a1B2c3D4e5")]
#[case("run_json", "s3://fraud-platform-dev-min-evidence/evidence/runs/platform_20260213T214223Z/run.json")]
#[case("platform_run_id", "platform_20260213T214223Z")]
#[case("scenario_run_id", "scenario_5d2f0c1e7b9a4386a1c4e0f2b7d86531")]
#[case("user_id", "AROAEXAMPLEEXAMPLEEX:session")]
#[case("NextToken", "1ueGcxLPRx1TrXYExHnhbYLgveDs2J")]
fn harmless_pairs_pass(#[case] key: &str, #[case] value: &str) {
    assert_eq!(scan_json(&json!({ key: value })), []);
    assert_eq!(scan_bytes(format!("* `{key} = \"{value}\"`\n{key}={value}\n").as_bytes()), []);
}

#[rstest]
#[case("user=u password=hunter22 host=db", "password-value", "1:17")]
#[case("one\ntwo\n  password = 'hunter22'", "password-value", "3:15")]
#[case("{\"a\":1,\"password\":\"hunter22\"}", "password-value", "1:20")]
#[case("\"{\\\"password\\\": \\\"hunter22\\\"}\"", "password-value", "1:19")]
#[case("jdbc:postgresql://h/db?user=u&password=hunter22", "password-value", "1:40")]
#[case("note: password=hunter22", "password-value", "1:16")]
#[case("* `DB_PASSWORD = \"<OPEN>hunter22\"`", "password-value", "1:19")]
#[case("password = '(hunter22'", "password-value", "1:13")]
#[case("password = '[a;b|c'", "password-value", "1:13")]
#[case("app.config['DB_PASSWORD'] = 'hunter22'", "password-value", "1:30")]
#[case("db_password        = \"hunter22\"", "password-value", "1:23")]
#[case("db_password:          'hunter22'", "password-value", "1:24")]
#[case("env:\n- name: DB_PASSWORD\n  value: hunter22", "password-value", "3:10")]
#[case("- name: \"DB_PASSWORD\"\r\n  value: \"hunter22\"", "password-value", "2:11")]
#[case("name = \"DB_PASSWORD\"\nvalue = \"hunter22\"", "password-value", "2:10")]
fn assignments_in_text_are_found(#[case] text: &str, #[case] rule: &str, #[case] at: &str) {
    let hits = scan_bytes(text.as_bytes());
    assert!(hits.contains(&Hit { rule: rule.to_owned(), at: at.to_owned() }), "{hits:?}");
}

#[rstest]
#[case("* Password: required in SSM")]
#[case("rg -n \"password|secret|token\" docs/")]
#[case("password=<db_password> host=db")]
#[case("- name: DB_PASSWORD\n  value: ${DB_PASSWORD}")]
#[case("- name: DB_PASSWORD\n  valueFrom: db")]
#[case("name = \"DB_PASSWORD\"\nvalue = var.db_password")]
#[case("- name: LOG_LEVEL\n  value: warning")]
#[case("password=${DB_PASSWORD}")]
#[case("password = \"<db_password>\"")]
#[case("password = \"\"")]
#[case("postgres://<user>:<password>@host/db")]
#[case("Basic understanding of the token law")]
#[case("https://host:8080/path@v2")]
fn prose_and_placeholders_pass(#[case] text: &str) {
    assert_eq!(scan_bytes(text.as_bytes()), []);
}

#[test]
fn neither_the_hit_nor_its_path_shows_the_secret() {
    for Sample { positive, .. } in samples() {
        let word = ["hunter", "22"].concat();
        let hits = scan_json(&json!({ "x": { &positive: { "password": word, "deep": positive } } }));
        assert!(hits.len() >= 3, "{hits:?}");
        let shown = format!("{hits:?} {}", serde_json::to_string(&hits).unwrap());
        let shown = hits.iter().fold(shown, |all, hit| format!("{all} {hit}"));
        assert!(!shown.contains(&positive) && !shown.contains(&word), "a hit shows its value");
        assert!(shown.contains("[key 1]"), "the key is named by its number: {shown}");
    }
}

#[test]
fn text_that_is_not_utf8_is_searched() {
    let key = samples()[0].positive.clone();
    let latin = [b"caf\xe9 ".as_slice(), key.as_bytes()].concat();
    assert_eq!(rules(&scan_bytes(&latin)), ["aws-access-key-id"]);
    let utf16: Vec<u8> = key.encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert_eq!(rules(&scan_bytes(&utf16)), ["aws-access-key-id"]);
}

#[test]
fn escapes_in_json_text_hide_nothing() {
    let escaped: String = samples()[0].positive.chars().map(|c| format!("\\u{:04x}", u32::from(c))).collect();
    let hits = scan_bytes(format!("{{\"a\":\"{escaped}\"}}").as_bytes());
    assert_eq!(hits, [Hit { rule: "aws-access-key-id".to_owned(), at: "$.a".to_owned() }]);
}

#[test]
fn base64_that_is_wrapped_in_lines_is_read() {
    let text = format!("{}{}", "x ".repeat(40), samples()[0].positive);
    let wrapped: Vec<String> =
        STANDARD.encode(text).as_bytes().chunks(64).map(|line| String::from_utf8(line.to_vec()).unwrap()).collect();
    assert_eq!(rules(&scan_bytes(wrapped.join("\n").as_bytes())), ["aws-access-key-id"]);
}

/// Random JSON without anything that the rules take: short words under short keys.
fn harmless_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        "[a-z ./é]{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map("[a-j]{1,6}", inner, 0..5)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn encode(text: &str, how: usize) -> String {
    let every_byte = |text: &str| text.bytes().map(|byte| format!("%{byte:02X}")).collect::<String>();
    match how {
        0 => text.to_owned(),
        1 => STANDARD.encode(text),
        2 => STANDARD_NO_PAD.encode(text),
        3 => URL_SAFE.encode(text),
        4 => URL_SAFE_NO_PAD.encode(text),
        5 => utf8_percent_encode(text, NON_ALPHANUMERIC).to_string(),
        6 => every_byte(text).to_lowercase(),
        _ => every_byte(text),
    }
}

/// Puts `planted` at the `place`-th place of the document, in front-to-back order: as a value, a list's item, or a key.
fn plant(document: Value, planted: &str, place: usize, as_key: bool) -> Value {
    match document {
        Value::Object(mut members) if !members.is_empty() => {
            let index = place % members.len();
            let key = members.keys().nth(index).unwrap().clone();
            let value = members.remove(&key).unwrap();
            if place.is_multiple_of(3) && as_key {
                members.insert(planted.to_owned(), value);
            } else {
                members.insert(key, plant(value, planted, place / 2, as_key));
            }
            Value::Object(members)
        }
        Value::Array(mut items) if !items.is_empty() => {
            let index = place % items.len();
            items[index] = plant(items[index].take(), planted, place / 2, as_key);
            Value::Array(items)
        }
        _ if as_key => json!({ planted: 1 }),
        _ => Value::from(planted),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(192) })]

    #[test]
    fn a_planted_secret_is_found(
        document in harmless_json(),
        sample in 0..samples().len(),
        how in 0_usize..8,
        place in any::<usize>(),
        as_key in any::<bool>(),
        before in "[a-z0-9/ _-]{0,9}",
        after in "[ .][a-z0-9 ]{0,9}",
    ) {
        prop_assert_eq!(scan_json(&document), []);
        let sample = &samples()[sample];
        let encoded = encode(&sample.positive, how);
        // A token may stand in the middle of a text.
        let planted = plant(document, &format!("{before} {encoded}{after}"), place, as_key);
        let hits = scan_json(&planted);
        prop_assert!(rules(&hits).contains(&sample.rule), "{} by encoding {how}: {hits:?}", sample.rule);
        let in_text = scan_bytes(&serde_json::to_vec_pretty(&planted).unwrap());
        prop_assert!(rules(&in_text).contains(&sample.rule), "{} in text by encoding {how}: {in_text:?}", sample.rule);
    }

    /// What goes before may look like base64 itself: the reading begins at any place of a group.
    #[test]
    fn base64_is_read_behind_any_text(before in "[A-Za-z0-9/_-]{0,30}", sample in 0..samples().len(), how in 1_usize..5) {
        let sample = &samples()[sample];
        let hits = scan_json(&json!([format!("{before}{}", encode(&sample.positive, how))]));
        prop_assert!(rules(&hits).contains(&sample.rule), "{}: {hits:?}", sample.rule);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _hits = scan_bytes(&bytes);
    }
}
