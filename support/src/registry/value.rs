//! The value of a handle, as its registry line writes it.

use std::fmt;
use std::sync::LazyLock;

use regex::Regex;
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

/// A handle's value, typed as the registry writes it.
#[derive(Debug, Clone, PartialEq)]
pub enum HandleValue {
    /// A quoted text. A quoted handle name is a text too.
    Text(String),
    /// A number.
    Number(serde_json::Number),
    /// `true` or `false`.
    Bool(bool),
    /// `null`: pinned, and there is none.
    Null,
    /// A JSON list.
    List(Vec<HandleValue>),
    /// A JSON map, in document order. Its keys are unique.
    Map(Vec<(String, HandleValue)>),
    /// The unquoted name of another handle, whose value is meant.
    Reference(String),
    /// No value here: it comes from elsewhere.
    Bare,
    /// A text that stands for a value not yet pinned.
    Placeholder(String),
}

/// Why the text after the `=` is no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// Nothing stands after the `=`.
    #[error("no value stands after `=`; write one, or leave `=` out if the value comes from elsewhere")]
    Empty,
    /// The text is neither JSON nor the name of a handle.
    #[error(
        "`{text}` is neither a JSON value nor an unquoted handle name ({reason}); put texts in double quotes and notes behind the closing backtick"
    )]
    Unreadable {
        /// What stands after the `=`.
        text: String,
        /// What the JSON reader said.
        reason: String,
    },
}

static PLACEHOLDER: LazyLock<Result<Regex, regex::Error>> =
    LazyLock::new(|| Regex::new(r"\bTO_PIN\b|<PIN_[A-Z0-9_]*>|^\s*<[A-Z][A-Z0-9_]*>\s*$"));

/// The placeholder that `text` is or contains: `TO_PIN`, `<PIN_AT_…>`, or a text that is nothing but `<NAME>`.
#[must_use]
pub fn placeholder_in(text: &str) -> Option<&str> {
    match &*PLACEHOLDER {
        Ok(pattern) => pattern.find(text).map(|found| found.as_str().trim()),
        // The pattern is a literal and a test compiles it; were it broken, nothing would count as pinned.
        Err(_) => Some(text),
    }
}

impl HandleValue {
    /// Reads what stands after the `=` of a definition.
    ///
    /// # Errors
    /// [`ValueError`] when it is empty, not JSON, a map that names a key twice, or a number that cannot be kept exactly.
    pub fn parse(text: &str) -> Result<Self, ValueError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(ValueError::Empty);
        }
        if placeholder_in(text) == Some(text) {
            return Ok(Self::Placeholder(text.to_owned()));
        }
        if is_handle_name(text) {
            return Ok(Self::Reference(text.to_owned()));
        }
        serde_json::from_str(text)
            .map_err(|error| ValueError::Unreadable { text: text.to_owned(), reason: error.to_string() })
    }

    /// The value as JSON, where it is one: neither bare, nor a reference, nor a placeholder, at any depth.
    #[must_use]
    pub fn to_json(&self) -> Option<serde_json::Value> {
        Some(match self {
            Self::Text(text) => text.as_str().into(),
            Self::Number(number) => number.clone().into(),
            Self::Bool(flag) => (*flag).into(),
            Self::Null => serde_json::Value::Null,
            Self::List(items) => items.iter().map(Self::to_json).collect::<Option<Vec<_>>>()?.into(),
            Self::Map(entries) => {
                let mut map = serde_json::Map::new();
                for (key, value) in entries {
                    map.insert(key.clone(), value.to_json()?);
                }
                map.into()
            }
            Self::Reference(_) | Self::Bare | Self::Placeholder(_) => return None,
        })
    }

    /// The first placeholder in the value, at any depth.
    #[must_use]
    pub fn placeholder(&self) -> Option<&str> {
        match self {
            Self::Placeholder(text) => Some(text),
            Self::List(items) => items.iter().find_map(Self::placeholder),
            Self::Map(entries) => entries.iter().find_map(|(_, value)| value.placeholder()),
            _ => None,
        }
    }

    /// Whether two definitions say the same, the order of map keys aside.
    #[must_use]
    pub fn says_the_same_as(&self, other: &Self) -> bool {
        match (self.to_json(), other.to_json()) {
            (Some(left), Some(right)) => left == right,
            _ => self == other,
        }
    }
}

impl fmt::Display for HandleValue {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(out, "{}", serde_json::Value::from(text.as_str())),
            Self::Number(number) => write!(out, "{number}"),
            Self::Bool(flag) => write!(out, "{flag}"),
            Self::Null => out.write_str("null"),
            Self::List(items) => {
                out.write_str("[")?;
                for (position, item) in items.iter().enumerate() {
                    write!(out, "{}{item}", if position == 0 { "" } else { "," })?;
                }
                out.write_str("]")
            }
            Self::Map(entries) => {
                out.write_str("{")?;
                for (position, (key, value)) in entries.iter().enumerate() {
                    let comma = if position == 0 { "" } else { "," };
                    write!(out, "{comma}{}:{value}", serde_json::Value::from(key.as_str()))?;
                }
                out.write_str("}")
            }
            Self::Reference(name) => out.write_str(name),
            Self::Bare => out.write_str("no value"),
            Self::Placeholder(text) => out.write_str(text),
        }
    }
}

/// Whether `text` is written as handle names are: upper case, digits and underscores, a letter first.
pub(crate) fn is_handle_name(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_uppercase())
        && text
            .chars()
            .all(|character| character.is_ascii_uppercase() || character.is_ascii_digit() || character == '_')
}

/// Reads JSON; serde_json alone would keep the last of two equal keys, and round long integers.
struct JsonValue;

impl<'de> Deserialize<'de> for HandleValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(JsonValue)
    }
}

impl<'de> Visitor<'de> for JsonValue {
    type Value = HandleValue;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a JSON value")
    }

    fn visit_bool<E>(self, flag: bool) -> Result<HandleValue, E> {
        Ok(HandleValue::Bool(flag))
    }

    fn visit_i64<E>(self, number: i64) -> Result<HandleValue, E> {
        Ok(HandleValue::Number(number.into()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<HandleValue, E> {
        Ok(HandleValue::Number(number.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<HandleValue, E> {
        /// From here on neighbouring integers share a float: 2^53.
        const FIRST_INEXACT: f64 = 9_007_199_254_740_992.0;
        if number.abs() >= FIRST_INEXACT {
            return Err(E::custom("the number is too large to be kept exactly"));
        }
        serde_json::Number::from_f64(number)
            .map(HandleValue::Number)
            .ok_or_else(|| E::custom("the number is not finite"))
    }

    fn visit_str<E>(self, text: &str) -> Result<HandleValue, E> {
        Ok(match placeholder_in(text) {
            Some(_) => HandleValue::Placeholder(text.to_owned()),
            None => HandleValue::Text(text.to_owned()),
        })
    }

    fn visit_unit<E>(self) -> Result<HandleValue, E> {
        Ok(HandleValue::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<HandleValue, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(HandleValue::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<HandleValue, A::Error> {
        let mut entries: Vec<(String, HandleValue)> = Vec::new();
        while let Some((key, value)) = access.next_entry::<String, HandleValue>()? {
            if entries.iter().any(|(known, _)| *known == key) {
                return Err(A::Error::custom(format!("the map names the key \"{key}\" twice")));
            }
            entries.push((key, value));
        }
        Ok(HandleValue::Map(entries))
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::{HandleValue, ValueError, placeholder_in};

    #[rstest]
    #[case::text(r#""sha256""#, HandleValue::Text("sha256".into()))]
    #[case::quoted_name(r#""SFN_X""#, HandleValue::Text("SFN_X".into()))]
    #[case::name("SFN_X", HandleValue::Reference("SFN_X".into()))]
    #[case::number("30", HandleValue::Number(30.into()))]
    #[case::flag("false", HandleValue::Bool(false))]
    #[case::null("null", HandleValue::Null)]
    #[case::placeholder(r#""TO_PIN""#, HandleValue::Placeholder("TO_PIN".into()))]
    #[case::unquoted_placeholder("TO_PIN", HandleValue::Placeholder("TO_PIN".into()))]
    #[case::unquoted_pin("<PIN_AT_X>", HandleValue::Placeholder("<PIN_AT_X>".into()))]
    #[case::inner_placeholder(r#""arn:<PIN_AT_X>:y""#, HandleValue::Placeholder("arn:<PIN_AT_X>:y".into()))]
    #[case::listed_placeholder(r#"["TO_PIN"]"#, HandleValue::List(vec![HandleValue::Placeholder("TO_PIN".into())]))]
    fn reads(#[case] text: &str, #[case] expected: HandleValue) {
        assert_eq!(HandleValue::parse(text), Ok(expected));
    }

    #[rstest]
    #[case::unquoted("sha256")]
    #[case::note_inside("3 (default)")]
    #[case::leading_zero("007")]
    #[case::single_quotes("'x'")]
    #[case::key_twice(r#"{"a":1,"a":2}"#)]
    #[case::key_twice_deeper(r#"[{"a":1,"a":1}]"#)]
    #[case::long_integer("123456789012345678901")]
    #[case::two_values(r#""a" "b""#)]
    #[case::windows_path(r#""C:\q""#)]
    fn refuses(#[case] text: &str) {
        assert!(matches!(HandleValue::parse(text), Err(ValueError::Unreadable { .. })));
    }

    #[test]
    fn an_equal_sign_without_a_value_is_an_error() {
        assert_eq!(HandleValue::parse("  "), Err(ValueError::Empty));
    }

    #[test]
    fn ordinary_texts_are_no_placeholders() {
        for text in ["sha256", "PIN", "TO_PINNED", "a < b > c", "platform_run_id=={platform_run_id}"] {
            assert_eq!(placeholder_in(text), None, "{text}");
        }
    }
}
