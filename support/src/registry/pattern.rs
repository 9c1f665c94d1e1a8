//! Filling the path patterns that registries hold.

use std::collections::{BTreeMap, BTreeSet};

/// Tokens that real path handles use beside the registry's own list.
const ALWAYS_ALLOWED: [&str; 2] = ["phase_execution_id", "git_sha"];

/// The tokens that path patterns may use, as the registry lists them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowedTokens {
    /// The names, without braces.
    pub names: BTreeSet<String>,
    /// The line that announces the list; `None` where the registry has none.
    pub line: Option<usize>,
}

impl AllowedTokens {
    /// Whether a pattern may use the token `name`: the registry lists it, or it is `phase_execution_id` or `git_sha`.
    #[must_use]
    pub fn allow(&self, name: &str) -> bool {
        ALWAYS_ALLOWED.contains(&name) || self.names.contains(name)
    }
}

/// Why a pattern cannot be filled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// A brace without its other half, or nothing between the two.
    #[error("the pattern `{pattern}` has a brace at byte {at} that belongs to no token of the form {{name}}")]
    StrayBrace {
        /// The pattern.
        pattern: String,
        /// Where, in bytes from 0.
        at: usize,
    },
    /// The registry does not allow the token.
    #[error("the pattern `{pattern}` uses the token {{{token}}}, which the registry's list of allowed tokens lacks")]
    NotAllowed {
        /// The pattern.
        pattern: String,
        /// The token.
        token: String,
    },
    /// No value was given for the token.
    #[error("no value was given for the token {{{token}}} of the pattern `{pattern}`")]
    Unfilled {
        /// The pattern.
        pattern: String,
        /// The token.
        token: String,
    },
    /// The value could change the path's meaning.
    #[error("the value of the token {{{token}}} is refused in the pattern `{pattern}`: {reason}")]
    Refused {
        /// The pattern.
        pattern: String,
        /// The token.
        token: String,
        /// Why.
        reason: &'static str,
    },
    /// The filled path leaves the pattern's fixed beginning.
    #[error("the pattern `{pattern}`, filled, leads out of its own folder")]
    Escapes {
        /// The pattern.
        pattern: String,
    },
}

/// Fills the tokens of `pattern` with `values`.
///
/// # Errors
/// [`PatternError`] when a token is not allowed or has no value, a value is empty, blank at an end, or holds a slash, a
/// backslash, a brace, `..` or a control character, or the result leaves the pattern's fixed beginning.
pub fn fill_pattern(
    pattern: &str,
    allowed: &AllowedTokens,
    values: &BTreeMap<String, String>,
) -> Result<String, PatternError> {
    let mut filled = String::with_capacity(pattern.len());
    let mut from = 0;
    while let Some(at) = pattern.get(from..).and_then(|rest| rest.find(['{', '}'])) {
        let open = from + at;
        let (token, close) = token_at(pattern, open)
            .ok_or_else(|| PatternError::StrayBrace { pattern: pattern.to_owned(), at: open })?;
        filled.push_str(pattern.get(from..open).unwrap_or(""));
        filled.push_str(value_of(pattern, token, allowed, values)?);
        from = close + 1;
    }
    filled.push_str(pattern.get(from..).unwrap_or(""));
    stays_inside(pattern, &filled)?;
    Ok(filled)
}

fn token_at(pattern: &str, open: usize) -> Option<(&str, usize)> {
    let inner = pattern.get(open..)?.strip_prefix('{')?;
    let length = inner.find(['{', '}'])?;
    let token = inner.get(..length)?;
    (inner.get(length..)?.starts_with('}') && !token.is_empty()).then_some((token, open + 1 + length))
}

fn value_of<'value>(
    pattern: &str,
    token: &str,
    allowed: &AllowedTokens,
    values: &'value BTreeMap<String, String>,
) -> Result<&'value str, PatternError> {
    let (pattern, name) = (pattern.to_owned(), token.to_owned());
    if !allowed.allow(token) {
        return Err(PatternError::NotAllowed { pattern, token: name });
    }
    let Some(value) = values.get(token) else {
        return Err(PatternError::Unfilled { pattern, token: name });
    };
    match unsafe_in_path_segment(value) {
        Some(reason) => Err(PatternError::Refused { pattern, token: name, reason }),
        None => Ok(value),
    }
}

/// Why `value` may not be a part of one path segment.
pub(crate) fn unsafe_in_path_segment(value: &str) -> Option<&'static str> {
    if value.contains(['/', '\\']) {
        return Some("it holds a slash");
    }
    if value.contains("..") || value == "." {
        return Some("it is or holds a step to another folder");
    }
    unsafe_anywhere(value)
}

/// Why `value` may not stand in a path or an argument at all.
pub(crate) fn unsafe_anywhere(value: &str) -> Option<&'static str> {
    if value.is_empty() {
        return Some("it is empty");
    }
    if value.trim() != value {
        return Some("it begins or ends with white space");
    }
    if value.chars().any(char::is_control) {
        return Some("it holds a control character");
    }
    value.contains(['{', '}']).then_some("it holds a brace")
}

/// Values are refused one by one; together they might still make a `..`, as `{a}{b}` filled with two dots would.
fn stays_inside(pattern: &str, filled: &str) -> Result<(), PatternError> {
    let fixed = pattern.split('{').next().unwrap_or("");
    let segments_stay = !filled.split(['/', '\\']).any(|segment| matches!(segment, "." | ".."));
    if filled.starts_with(fixed) && segments_stay && !filled.is_empty() {
        return Ok(());
    }
    Err(PatternError::Escapes { pattern: pattern.to_owned() })
}
