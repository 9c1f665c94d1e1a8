//! Registries: no definition is lost, and what resolves stands on a line and is no placeholder.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::LazyLock;

use phasegate_support::registry::{HandleError, Handles, Registry, Resolved, fill_pattern, parse, placeholder_in};
use regex::Regex;
use serde_json::Value;

/// A definition as the format has it, at its plainest.
static DEFINED: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"^[-*+] `([A-Z][A-Z0-9_]*) = [^`]*`$").unwrap());

/// Anything in capitals may be asked for.
static NAME: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"[A-Z][A-Z0-9_]*").unwrap());

/// How many names of one document are looked up: enough for the real registries.
const MOST_NAMES: usize = 512;

/// Reads the bytes as a registry, and resolves every name that stands in it.
pub fn holds(bytes: &[u8]) {
    let Some(text) = super::text(bytes) else { return };
    let path = Path::new("handles.registry.v0.md");
    let parsed = parse(path, text);
    assert_eq!(parse(path, text), parsed, "the same text reads differently the second time");
    let lines: Vec<&str> = text
        .strip_prefix('\u{feff}')
        .unwrap_or(text)
        .split('\n')
        .map(|line| line.strip_suffix('\r').unwrap_or(line))
        .collect();
    for definition in &parsed.registry.definitions {
        assert_eq!(lines.get(definition.line - 1), Some(&definition.raw.as_str()));
        assert!(definition.raw.contains(&definition.name), "{definition:?}");
    }
    assert!(parsed.errors.is_sorted_by_key(|error| error.line));
    let defined: BTreeSet<usize> = parsed.registry.definitions.iter().map(|one| one.line).collect();
    let refused: BTreeSet<usize> = parsed.errors.iter().map(|error| error.line).collect();
    for (index, line) in lines.iter().enumerate().filter(|(_, line)| DEFINED.is_match(line)) {
        assert!(defined.contains(&(index + 1)) || refused.contains(&(index + 1)), "lost: {line}");
    }
    for error in &parsed.errors {
        if let Some(handle) = &error.handle {
            assert!(
                matches!(parsed.registry.lookup(handle), Err(HandleError::Unreadable { .. })),
                "{handle} resolves, and a line that seems to define it cannot be read: {error}"
            );
        }
    }
    let handles = Handles::new(parsed.registry.clone());
    let names: BTreeSet<&str> = NAME.find_iter(text).map(|found| found.as_str()).take(MOST_NAMES).collect();
    for name in names {
        match (parsed.registry.lookup(name), handles.resolve(name)) {
            (Ok(one), Ok(other)) => {
                assert_eq!(one.value, other.value);
                pinned(&parsed.registry, &one);
                filled(&parsed.registry, &one);
            }
            // What is wrong may be wrong with the handle that it refers to.
            (Err(_), Err(error)) => {
                let said = error.to_string();
                assert!(said.contains(name) || said.contains(&parsed.registry.name()), "{name}: {said}");
            }
            (one, other) => panic!("{name}: the registry alone says {one:?}, with its sources {other:?}"),
        }
    }
}

/// A value that resolves stands on a line of its own, and says something.
fn pinned(registry: &Registry, resolved: &Resolved) {
    let lines = registry.lines_of(&resolved.name);
    assert!(!lines.is_empty(), "{resolved:?} stands on no line");
    assert!(
        lines.iter().any(|line| resolved.origin.starts_with(&format!("{}:{line}", registry.name()))),
        "{resolved:?} is on the lines {lines:?}"
    );
    assert!(!says_nothing(&resolved.value), "{resolved:?}");
}

fn says_nothing(value: &Value) -> bool {
    match value {
        Value::String(text) => text.trim().is_empty() || placeholder_in(text).is_some(),
        Value::Array(items) => items.is_empty() || items.iter().any(says_nothing),
        Value::Object(entries) => entries.is_empty() || entries.values().any(says_nothing),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// A path pattern that can be filled holds no token any more, and leads nowhere else.
fn filled(registry: &Registry, resolved: &Resolved) {
    let Ok(pattern) = resolved.text() else { return };
    let value = |name: &str| (name.to_owned(), "m3_20260213T214223Z".to_owned());
    let names = registry.tokens.names.iter().map(String::as_str);
    let values: BTreeMap<String, String> = names.chain(["phase_execution_id", "git_sha"]).map(value).collect();
    if let Ok(path) = fill_pattern(pattern, &registry.tokens, &values) {
        assert!(!path.contains(['{', '}']), "{pattern} → {path}");
        assert!(!path.split(['/', '\\']).any(|step| matches!(step, "." | "..")), "{pattern} → {path}");
    }
}
