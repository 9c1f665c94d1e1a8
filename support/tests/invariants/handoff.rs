//! Handoffs: what is taken in is what stands there, and a secret is found wherever it is put, and never said.

use std::path::Path;

use phasegate_support::evidence::canonical;
use phasegate_support::registry::{Handles, SourceClass, parse, placeholder_in};
use phasegate_support::secrets::{Hit, scan_bytes, scan_json};
use serde_json::{Value, json};

/// Declares what the handoffs of the fixtures state.
const REGISTRY: &str = "- `S3_EVIDENCE_BUCKET`\n- `AWS_REGION = \"eu-west-2\"`\n- `ECR_REPO_URI`\n- `X`\n";
const DECLARED: [&str; 4] = ["S3_EVIDENCE_BUCKET", "AWS_REGION", "ECR_REPO_URI", "X"];

/// A password that no document holds by chance; in two parts, so that this file holds none.
fn planted() -> String {
    ["Tr0ub4dor", "&3-planted-Zq9"].concat()
}

/// Reads the bytes as a handoff.
pub fn holds(bytes: &[u8]) {
    let raw = scan_bytes(bytes);
    assert_eq!(scan_bytes(bytes), raw);
    let Ok(document) = serde_json::from_slice::<Value>(bytes) else { return };
    taken_in(&document);
    written_as_read(&document);
    let hits = scan_json(&document);
    assert!(hits.iter().all(|hit| raw.contains(hit)), "found in the document and not in its bytes: {hits:?}");
    finds_what_is_planted(&document);
}

fn taken_in(document: &Value) {
    let registry = parse(Path::new("handles.registry.v0.md"), REGISTRY).registry;
    let mut handles = Handles::new(registry);
    let before = handles.clone();
    let Ok(count) = handles.add_handoff("m3_handoff_pack.json", document) else {
        assert_eq!(handles, before, "a handoff that was refused was taken in, in part");
        return;
    };
    let entries = document.get("resolved_handles").and_then(Value::as_array);
    assert_eq!(count, entries.map_or(0, Vec::len));
    for name in DECLARED {
        let stated: Vec<&Value> = entries
            .into_iter()
            .flatten()
            .filter(|entry| entry["handle"] == name)
            .map(|entry| &entry["value"])
            .collect();
        let Ok(resolved) = handles.resolve(name) else { continue };
        assert!(resolved.source_class == SourceClass::RegistryLiteral || stated.contains(&&resolved.value));
        for value in stated {
            assert_eq!(value, &resolved.value, "{name} has two values and resolves");
            assert!(value.as_str().is_none_or(|text| placeholder_in(text).is_none()), "{name} is {value}");
        }
    }
    let _ = handles.add_handoff_path("X", "m3_handoff_pack.json", document, "core_outputs.s3_bucket_names.evidence");
    let _ = handles.resolve("X");
    let _ = handles.add_terraform_outputs("core", document);
    let _ = handles.resolve("S3_EVIDENCE_BUCKET");
}

/// A canonical form reads back as the document, and has no other.
fn written_as_read(document: &Value) {
    if let Ok(bytes) = canonical::to_bytes(document) {
        let again: Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(canonical::to_bytes(&again).unwrap(), bytes, "the canonical form is not its own");
    }
    let bytes = canonical::sorted_keys_v1(document).unwrap();
    let again: Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(canonical::sorted_keys_v1(&again).unwrap(), bytes);
}

/// Puts a password beside and below everything else.
fn finds_what_is_planted(document: &Value) {
    let word = planted();
    let mut inside = document.clone();
    match &mut inside {
        Value::Object(members) => {
            members.insert("db_password".to_owned(), json!(word));
        }
        Value::Array(items) => items.push(json!({ "db_password": word })),
        other => *other = json!({ "db_password": word }),
    }
    let around = json!({ "resolved_handles": [document, { "name": "DB_PASSWORD", "value": word }] });
    for planted in [inside, around] {
        let hits = scan_json(&planted);
        assert!(hits.iter().any(|hit| hit.at.contains("db_password") || hit.at.contains("value")), "{planted}");
        assert!(hits.iter().all(|hit: &Hit| !hit.to_string().contains(&word)), "a hit says the secret: {hits:?}");
    }
}
