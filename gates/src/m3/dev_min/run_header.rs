//! `run.json` as it was read back from the store: the one source of identity for the lanes after it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The registry's names for the fields of the run header.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct FieldNames {
    pub platform_run_id: String,
    pub scenario_run_id: String,
    pub written_at_utc: String,
    pub config_digest: String,
    pub image_tag: String,
    pub image_digest: String,
    pub git_sha: String,
}

/// A JSON object of the evidence bucket, read back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct ReadBack {
    pub uri: String,
    pub body: Value,
}

impl ReadBack {
    /// A member that is text.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.body.get(name).and_then(Value::as_str)
    }
}

/// The part of a run header that the digest covers: all but the digest itself and the time of writing.
pub(super) fn digested(body: &Value, names: &FieldNames) -> Value {
    let mut covered: Map<String, Value> = body.as_object().cloned().unwrap_or_else(Map::new);
    covered.shift_remove(&names.config_digest);
    covered.shift_remove(&names.written_at_utc);
    Value::Object(covered)
}

/// The head and the list entry of one object, beside what was put.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Verified {
    pub key: String,
    pub put_sha256: String,
    pub put_bytes: u64,
    /// SHA-256 that the store keeps, hex; none where it keeps none.
    pub head_sha256: Option<String>,
    pub head_bytes: Option<u64>,
    pub listed: bool,
    pub versions: usize,
    pub delete_markers: usize,
}

/// Objects by file name.
pub(super) type VerifiedObjects = BTreeMap<String, Verified>;
