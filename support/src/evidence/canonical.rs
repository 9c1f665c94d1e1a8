//! Canonical JSON, in two forms by two writers, so that a digest can be recomputed another way (law 4).
//!
//! | | [`to_bytes`] | [`sorted_keys_v1`] |
//! | --- | --- | --- |
//! | form | RFC 8785 | the plans' `json_sorted_keys_v1` |
//! | written by | `serde_json_canonicalizer` | `serde_json`, over members sorted here |
//! | order of keys | by UTF-16 code units | by code points |
//! | numbers | as ECMAScript writes a double: `1.0` → `1`, `1e16` → `10000000000000000`, `-0.0` → `0` | integers exactly, others as `serde_json` writes them: `1.0`, `1e+16`, `-0.0` |
//!
//! Both leave out white space, keep arrays in their order, write UTF-8 and escape only what must be escaped. So they agree on every
//! document whose numbers are integers within ±(2^53 − 1) and whose objects do not mix keys that begin to differ at a character
//! above U+FFFF with one from U+E000 to U+FFFF.

use serde::Serialize;
use serde::ser::{SerializeMap as _, Serializer};
use serde_json::Value;

/// The largest integer that RFC 8785 writes exactly: 2^53 − 1.
const LARGEST_EXACT: u64 = (1 << 53) - 1;

/// Why a document has no canonical form.
#[derive(Debug, thiserror::Error)]
pub enum CanonicalError {
    /// RFC 8785 writes numbers as doubles: this integer would silently become another.
    #[error("{at}: the integer is beyond 2^53 - 1 and would be written as another number; write it as a string")]
    Inexact {
        /// The JSON path of the number.
        at: String,
    },
    /// The canonicaliser refused the document.
    #[error("the document has no canonical form: {0}")]
    Refused(#[from] serde_json::Error),
}

/// The document's bytes by RFC 8785, which is the form of phasegate's own artifacts.
///
/// # Errors
/// [`CanonicalError::Inexact`] for an integer that a double does not hold.
pub fn to_bytes(value: &Value) -> Result<Vec<u8>, CanonicalError> {
    refuse_inexact(value, "$")?;
    Ok(serde_json_canonicalizer::to_vec(value)?)
}

/// The document's bytes by the plans' `json_sorted_keys_v1`: keys by code point, no white space, arrays in their order, UTF-8.
///
/// # Errors
/// Only what the JSON writer itself refuses; no document read from JSON is.
pub fn sorted_keys_v1(value: &Value) -> Result<Vec<u8>, CanonicalError> {
    Ok(serde_json::to_vec(&Sorted(value))?)
}

/// A document whose objects are written with their keys in order.
struct Sorted<'a>(&'a Value);

impl Serialize for Sorted<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Array(items) => serializer.collect_seq(items.iter().map(Sorted)),
            Value::Object(members) => {
                // UTF-8 keeps the order of code points.
                let mut in_order: Vec<_> = members.iter().collect();
                in_order.sort_by_key(|(key, _)| key.as_bytes());
                let mut map = serializer.serialize_map(Some(in_order.len()))?;
                for (key, member) in in_order {
                    map.serialize_entry(key, &Sorted(member))?;
                }
                map.end()
            }
            other => other.serialize(serializer),
        }
    }
}

fn refuse_inexact(value: &Value, at: &str) -> Result<(), CanonicalError> {
    match value {
        Value::Number(number) => {
            let size = number.as_u64().or_else(|| number.as_i64().map(i64::unsigned_abs));
            match size {
                Some(size) if size > LARGEST_EXACT => Err(CanonicalError::Inexact { at: at.to_owned() }),
                _ => Ok(()),
            }
        }
        Value::Array(items) => {
            items.iter().enumerate().try_for_each(|(index, item)| refuse_inexact(item, &format!("{at}[{index}]")))
        }
        // Keys may be secrets, and the scan comes after: members are named by their number.
        Value::Object(members) => members
            .values()
            .enumerate()
            .try_for_each(|(index, member)| refuse_inexact(member, &format!("{at}[key {}]", index + 1))),
        Value::Null | Value::Bool(_) | Value::String(_) => Ok(()),
    }
}
