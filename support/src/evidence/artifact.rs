//! What is published: a named JSON document with the fields that its plan asks for, or a raw copy.

use serde_json::Value;

use super::error::PublishError;

/// S3's limit for a key, in bytes; more is refused before anything is written.
const LONGEST_KEY: usize = 1024;
/// What file systems take for one part of a path, in bytes.
const LONGEST_PART: usize = 200;

/// A JSON file that the plan asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct Artifact {
    /// The file's name below the execution's folder; parts are divided by `/`, and none is empty, `.`, `..` or begins with a dot.
    pub name: String,
    /// The document.
    pub body: Value,
    /// The fields that the plan lists as the minimum: members of the document, or a path into it such as `image.digest`. Each must be
    /// there, and be neither `null` nor an empty text; an empty list or object is an answer.
    pub minimum_fields: Vec<String>,
}

impl Artifact {
    /// An artifact with its plan's minimum fields.
    #[must_use]
    pub fn new(name: impl Into<String>, body: Value, minimum_fields: &[&str]) -> Self {
        let minimum_fields = minimum_fields.iter().map(|&field| field.to_owned()).collect();
        Self { name: name.into(), body, minimum_fields }
    }

    pub(super) fn check_minimum_fields(&self) -> Result<(), PublishError> {
        for field in &self.minimum_fields {
            let why = match find_field(&self.body, field) {
                None => "is missing",
                Some(Value::Null) => "is null",
                Some(Value::String(text)) if text.trim().is_empty() => "is empty",
                Some(_) => continue,
            };
            return Err(PublishError::MissingField { name: self.name.clone(), field: field.clone(), why });
        }
        Ok(())
    }
}

/// The member of that name, else what the dotted path leads to.
fn find_field<'a>(body: &'a Value, field: &str) -> Option<&'a Value> {
    body.get(field).or_else(|| field.split('.').try_fold(body, |value, part| value.get(part)))
}

/// Refuses a name that would leave the execution's folder, or that only some file systems take.
pub(super) fn check_name(name: &str) -> Result<(), PublishError> {
    let wrong = |reason| PublishError::Name { name: name.to_owned(), reason };
    for part in name.split('/') {
        if part.is_empty() {
            return Err(wrong("has an empty part"));
        }
        if part.starts_with('.') {
            // This takes in `.`, `..` and the temporary files.
            return Err(wrong("has a part that begins with a dot"));
        }
        if part.len() > LONGEST_PART {
            return Err(wrong("has a part longer than 200 bytes"));
        }
    }
    if name.contains(|c: char| c.is_control() || matches!(c, '\\' | ':')) {
        return Err(wrong("has a control character, a backslash or a colon"));
    }
    Ok(())
}

/// Refuses a key that another reader may resolve to another object.
pub(super) fn check_key(bucket: &str, key: &str) -> Result<(), PublishError> {
    let wrong = |reason| PublishError::Key { bucket: bucket.to_owned(), key: key.to_owned(), reason };
    if bucket.is_empty() || key.is_empty() {
        return Err(wrong("bucket or key is empty"));
    }
    if key.len() > LONGEST_KEY {
        return Err(wrong("the key is longer than 1024 bytes"));
    }
    if key.contains(char::is_control) {
        return Err(wrong("the key has a control character"));
    }
    if key.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err(wrong("the key has an empty part, `.` or `..`"));
    }
    Ok(())
}
