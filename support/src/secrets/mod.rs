//! Secrets never reach a file, a log or S3: what phasegate looks for before anything leaves.
//!
//! The rules are data (`rules.toml`, which explains its own form): shapes that give themselves away, and values that are secret
//! because of their key. Both are looked for in keys and values, as they are, below one layer of base64 (standard or URL-safe,
//! padded or not, at any place in a text) and below one layer of URL encoding. A [`Hit`] says which rule and where; it never holds the
//! value, and a key that is itself a secret is named by its number.
//!
//! ```
//! use phasegate_support::secrets::scan_json;
//! let word = ["correct", "horse"].concat();
//! let hits = scan_json(&serde_json::json!({ "db": { "password": word } }));
//! assert_eq!(hits[0].to_string(), "password-value at $.db.password");
//! ```

mod decode;
mod rules;
mod scan;
mod shape;

pub use rules::{RuleBook, RuleFileError};

pub(crate) use decode::base64_readings;
pub(crate) use rules::{BEFORE_SIGN, BLANKS, FARTHEST, Pairing, Token};
pub(crate) use shape::{looks_random, words_of_key};

use std::fmt;
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

/// The name of the hit that stands for "the rules could not be read": without rules nothing may pass.
pub const RULES_UNREADABLE: &str = "rules-unreadable";

/// A place that holds what looks like a secret. The value itself is nowhere in it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Hit {
    /// The rule's id, as in `rules.toml`.
    pub rule: String,
    /// A JSON path such as `$.image.token`, or `line:column` (both from 1) for text. A key that is a secret, or longer than 80
    /// characters, appears as its number in its object: `$.image[key 2]`.
    pub at: String,
}

impl fmt::Display for Hit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.rule, self.at)
    }
}

/// The rules that are built in, read once.
pub(crate) fn built_in() -> Result<&'static RuleBook, &'static RuleFileError> {
    static BOOK: OnceLock<Result<RuleBook, RuleFileError>> = OnceLock::new();
    BOOK.get_or_init(|| RuleBook::parse(include_str!("rules.toml"))).as_ref()
}

fn unreadable() -> Vec<Hit> {
    vec![Hit { rule: RULES_UNREADABLE.to_owned(), at: "-".to_owned() }]
}

/// What looks like a secret in a JSON document, keys included, in the order of rule and place. Empty means that nothing was found.
#[must_use]
pub fn scan_json(value: &serde_json::Value) -> Vec<Hit> {
    built_in().map_or_else(|_| unreadable(), |book| book.scan_json(value))
}

/// What looks like a secret in a text of any kind. Bytes that are JSON are searched as JSON too, so that escapes do not hide
/// anything; bytes that are not UTF-8 are searched for what they hold of ASCII.
#[must_use]
pub fn scan_bytes(bytes: &[u8]) -> Vec<Hit> {
    built_in().map_or_else(|_| unreadable(), |book| book.scan_bytes(bytes))
}

/// The rule by which a name alone says that what it stands for is a secret: `API_KEY` does, `API_KEY_HEADER` does not.
#[must_use]
pub fn rule_of_name(name: &str) -> Option<String> {
    built_in().map_or_else(|_| Some(RULES_UNREADABLE.to_owned()), |book| book.rule_of_name(name).map(str::to_owned))
}

/// The rule by which a value is a secret because of its name, however short or plain it is: a default credential. Places that are
/// left open, and whatever else the rule book allows, are none.
#[must_use]
pub fn rule_of_named_value(name: &str, value: &str) -> Option<String> {
    built_in().map_or_else(
        |_| Some(RULES_UNREADABLE.to_owned()),
        |book| book.rule_of_named_value(name, value).map(str::to_owned),
    )
}
