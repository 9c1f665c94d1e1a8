//! Policy documents as IAM sends them.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

/// Why a text is no policy document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyDocumentError {
    /// What the percent-encoding stands for is no UTF-8.
    #[error("the policy document is no UTF-8 text")]
    Encoding,
    /// It is no JSON object, or names a key twice.
    #[error("the policy document is no JSON object: {0}")]
    Json(String),
}

/// Reads a policy document: percent-encoded (RFC 3986), as IAM sends it, or as plain JSON, as some servers do.
/// JSON begins with a brace, and encoded JSON does not, so that each text has one reading.
///
/// # Errors
/// [`PolicyDocumentError`] when it is no JSON object in UTF-8, or an object in it names a key twice.
pub fn policy_document(text: &str) -> Result<Value, PolicyDocumentError> {
    if text.trim_start().starts_with('{') {
        return plain_document(text);
    }
    let decoded = percent_encoding::percent_decode_str(text).decode_utf8();
    plain_document(&decoded.map_err(|_| PolicyDocumentError::Encoding)?)
}

/// Reads a policy document that is plain JSON.
pub(super) fn plain_document(text: &str) -> Result<Value, PolicyDocumentError> {
    let wrong = |error: serde_json::Error| PolicyDocumentError::Json(error.to_string());
    // A reader that takes the last of two keys and one that takes the first see two policies.
    let mut read = serde_json::Deserializer::from_str(text);
    EachKeyOnce.deserialize(&mut read).map_err(wrong)?;
    let document: Value = serde_json::from_str(text).map_err(wrong)?;
    if document.is_object() { Ok(document) } else { Err(PolicyDocumentError::Json("it is another value".to_owned())) }
}

/// Goes through a JSON value and refuses an object that names a key twice.
struct EachKeyOnce;

impl<'de> DeserializeSeed<'de> for EachKeyOnce {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for EachKeyOnce {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<(), A::Error> {
        while access.next_element_seed(Self)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<(), A::Error> {
        let mut keys = BTreeSet::new();
        while let Some(key) = access.next_key::<String>()? {
            access.next_value_seed(Self)?;
            if keys.contains(&key) {
                return Err(A::Error::custom(format!("the key \"{key}\" is there twice")));
            }
            keys.insert(key);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::policy_document;

    #[rstest]
    #[case::encoded("%7B%22Version%22%3A%222012-10-17%22%7D", "2012-10-17")]
    #[case::plain(r#"{"Version":"2012-10-17"}"#, "2012-10-17")]
    #[case::a_plus_is_a_plus("%7B%22Version%22%3A%22a+b%22%7D", "a+b")]
    #[case::beyond_ascii("%7B%22Version%22%3A%22%C3%A9%22%7D", "é")]
    #[case::a_percent_sign_that_is_meant(r#"{"Version":"%41"}"#, "%41")]
    fn a_document_has_one_reading(#[case] text: &str, #[case] version: &str) {
        assert_eq!(policy_document(text).unwrap(), json!({"Version": version}));
    }

    #[rstest]
    #[case::nothing("")]
    #[case::no_json("%7B%22")]
    #[case::no_object("%5B%5D")]
    #[case::more_behind("%7B%7D%7B%7D")]
    #[case::no_utf8("%7B%22Version%22%3A%22%E9%22%7D")]
    #[case::encoded_twice("%257B%257D")]
    #[case::a_key_twice(r#"{"Statement":[],"Statement":[]}"#)]
    #[case::a_key_twice_within(r#"{"Statement":[{"Effect":"Deny","Effect":"Allow"}]}"#)]
    fn what_is_no_document_is_refused(#[case] text: &str) {
        policy_document(text).unwrap_err();
    }
}
