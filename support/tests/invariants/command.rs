//! Commands: a placeholder that nothing is bound to never reaches a word, and what may be pasted is what would be carried out.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use phasegate_support::command::{Call, Command, Kind, Template, parse, resolve};
use regex::Regex;
use serde_json::Value;

/// `<name>`, but for a named group of an expression, `(?<name>`.
static PLACEHOLDER: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"(\(\?P?)?<([A-Za-z][A-Za-z0-9_]*)>").unwrap());

/// Values for all placeholders at once: some that ought to be taken, and some that try to be more than a value.
const VALUES: [[&str; 2]; 12] = [
    ["fixed-value-1", "fixed-value-2"],
    ["2026-02-01", "2026-03-01"],
    ["evidence/dev_min/run.json", "evidence"],
    ["TO_PIN", "TO_PIN"],
    ["<other>", "<elision_1>"],
    ["a b", "--recursive"],
    ["../../etc/passwd", ".."],
    ["$(id)", "`id`"],
    ["a;b", "a&&b"],
    ["it's", "\"quoted\""],
    ["a\nb", "a\0b"],
    [".*", "(?<name>x)"],
];

/// Reads the bytes as the command cell of a Verify-ID.
pub fn holds(bytes: &[u8]) {
    let Some(cell) = super::text(bytes) else { return };
    let Ok(template) = parse(cell) else { return };
    assert_eq!(parse(cell).as_ref(), Ok(&template), "the same cell reads differently the second time");
    assert_eq!(template.raw, cell);
    let Kind::Command(_) = &template.kind else {
        assert!(resolve(&template, &BTreeMap::new()).is_err(), "prose was carried out: {cell}");
        return;
    };
    let asked: Vec<&String> =
        template.placeholders.iter().chain(template.elisions.iter().map(|elision| &elision.name)).collect();
    match resolve(&template, &BTreeMap::new()) {
        Ok(call) => {
            assert!(asked.is_empty(), "{asked:?} are bound to nothing, and {call:?} came of it");
            resolved(&template, &call, &[]);
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    for values in VALUES {
        let bindings: BTreeMap<String, String> = asked
            .iter()
            .zip(values.iter().cycle())
            .map(|(name, value)| ((*name).clone(), (*value).to_owned()))
            .collect();
        let Ok(call) = resolve(&template, &bindings) else { continue };
        assert_eq!(resolve(&template, &bindings).as_ref(), Ok(&call));
        resolved(&template, &call, &values);
        // One that is missing is enough.
        if let Some(one) = asked.first() {
            let mut fewer = bindings;
            fewer.remove(*one);
            assert!(resolve(&template, &fewer).is_err(), "<{one}> is bound to nothing: {cell}");
        }
    }
}

fn resolved(template: &Template, call: &Call, values: &[&str]) {
    let json = serde_json::to_value(call).unwrap();
    assert_eq!(&serde_json::from_value::<Call>(json.clone()).unwrap(), call, "a receipt reads back as another call");
    let mut words = Vec::new();
    texts(json.get("command").unwrap(), &mut words);
    for word in &words {
        for found in PLACEHOLDER.captures_iter(word).filter(|found| found.get(1).is_none()) {
            let name = &found[2];
            assert!(name.starts_with("PIN_"), "<{name}> of {template:?} reached the word {word:?}");
        }
        assert!(!word.contains('\0'), "{word:?}");
    }
    for (place, text) in places(&call.command) {
        assert!(!text.starts_with('-'), "{place} would be read as a flag: {text:?}");
        let is_path = !matches!(place, "an ARN" | "a name");
        assert!(!is_path || !text.split('/').any(|step| step == ".."), "{place} leads elsewhere: {text:?}");
    }
    pasted(call, &words, values);
}

/// The line that is safe to paste: a POSIX shell reads words out of it, and each text of the command stands in one of them.
fn pasted(call: &Call, words: &[String], values: &[&str]) {
    let line = call.paste_form();
    let read = shlex::split(&line).unwrap_or_else(|| panic!("no shell can read {line:?}"));
    assert!(!read.is_empty(), "nothing to paste for {call:?}");
    for operator in [";", "|", "||", "&", ">", "<", "$("] {
        assert!(!read.iter().any(|word| word == operator) || words.iter().any(|w| w == operator), "{line:?}");
    }
    if !matches!(call.command, Command::RipGrep(_)) {
        for value in values.iter().filter(|value| words.iter().any(|word| word.contains(**value))) {
            assert!(read.iter().any(|word| word.contains(value)), "{value:?} is not a part of one word in {line:?}");
        }
    }
}

/// Names and paths of a command that must be nothing else.
fn places(command: &Command) -> Vec<(&'static str, &str)> {
    match command {
        Command::RipGrep(search) => search.paths.iter().map(|path| ("a document", path.as_str())).collect(),
        Command::TestPath { paths } => paths.iter().map(|path| ("a document", path.as_str())).collect(),
        Command::GetContent { path } => vec![("a document", path)],
        Command::TerraformOutput { chdir } => vec![("a folder", chdir)],
        Command::HeadBucket { bucket } => vec![("a bucket", bucket)],
        Command::ListObjectsV2 { bucket, prefix, .. } | Command::S3List { bucket, prefix } => {
            vec![("a bucket", bucket), ("a prefix", prefix)]
        }
        Command::HeadObject { bucket, keys } => {
            keys.iter().map(|key| ("a key", key.as_str())).chain([("a bucket", bucket.as_str())]).collect()
        }
        Command::S3Upload { local, bucket, key } => vec![("a file", local), ("a bucket", bucket), ("a key", key)],
        Command::S3Read { bucket, key } => vec![("a bucket", bucket), ("a key", key)],
        Command::DescribeStateMachine { arn, .. } | Command::ListExecutions { arn, .. } => vec![("an ARN", arn)],
        Command::DescribeRepositories { names, .. } => names.iter().map(|name| ("a name", name.as_str())).collect(),
        Command::ListStateMachines { .. } | Command::GetCostAndUsage { .. } => Vec::new(),
    }
}

fn texts(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::String(text) => found.push(text.clone()),
        Value::Array(items) => items.iter().for_each(|item| texts(item, found)),
        Value::Object(members) => members.values().for_each(|member| texts(member, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
