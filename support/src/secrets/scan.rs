//! The walk over a document: which texts there are, and where they stand.

use regex::Captures;
use serde_json::{Map, Value};

use super::Hit;
use super::rules::{Pairing, RuleBook};

/// A key longer than this is named by its number.
const LONGEST_NAMED_KEY: usize = 80;
/// Keys that say nothing about their value: the name stands beside them or above them.
const KEYS_OF_VALUES: [&str; 7] = ["value", "values", "default", "content", "current", "parametervalue", "string"];
/// Keys whose value is the name of the value beside them, as in `{"name": "DB_PASSWORD", "value": "…"}`.
const KEYS_OF_NAMES: [&str; 10] =
    ["name", "handle", "key", "parameter", "parameterkey", "variable", "env", "field", "output", "id"];

impl RuleBook {
    /// What looks like a secret in a JSON document; see [`super::scan_json`].
    #[must_use]
    pub fn scan_json(&self, value: &Value) -> Vec<Hit> {
        let mut walk = Walk { book: self, hits: Vec::new() };
        walk.value(value, "$", &[]);
        sorted(walk.hits)
    }

    /// What looks like a secret in a text; see [`super::scan_bytes`].
    #[must_use]
    pub fn scan_bytes(&self, bytes: &[u8]) -> Vec<Hit> {
        let text = String::from_utf8_lossy(bytes);
        let mut hits = Vec::new();
        self.scan_text(&text, &mut |rule, offset| {
            hits.push(Hit { rule: rule.to_owned(), at: line_and_column(&text, offset) })
        });
        if bytes.contains(&0) {
            // UTF-16 and the like: what is left of it without the zeros can be read.
            let readable = text.replace('\0', "");
            self.scan_text(&readable, &mut |rule, offset| {
                hits.push(Hit { rule: rule.to_owned(), at: line_and_column(&readable, offset) });
            });
        }
        if let Ok(value) = serde_json::from_slice::<Value>(bytes) {
            hits.extend(self.scan_json(&value));
        }
        sorted(hits)
    }

    /// Calls `found` with each rule and byte offset: in the text as it is and below one layer of encoding.
    fn scan_text(&self, text: &str, found: &mut dyn FnMut(&str, usize)) {
        self.scan_layer(text, found);
        for layer in self.decoder.layers(text) {
            self.scan_layer(&layer.text, &mut |rule, _| found(rule, layer.offset));
        }
    }

    fn scan_layer(&self, text: &str, found: &mut dyn FnMut(&str, usize)) {
        self.tokens_in(text, found);
        for captures in self.assignment.captures_iter(text) {
            let (Some(whole), Some(key), Some(sign)) = (captures.get(0), captures.name("key"), captures.name("sign"))
            else {
                continue;
            };
            // `…:secret:name` is a part of an ARN or a like name, not a key.
            if sign.as_str() == ":" && text.get(..key.start()).is_some_and(|before| before.ends_with(':')) {
                continue;
            }
            let values = self.values(text, &captures);
            let certain = sign.as_str().ends_with('=') || captures.name("quote").is_some();
            let pairing = if certain { Pairing::Certain } else { Pairing::Likely };
            for value in values {
                for rule in self.rules_for_pair(key.as_str(), value, pairing) {
                    found(rule, whole.end());
                }
            }
        }
        for captures in self.beside.captures_iter(text) {
            let (Some(whole), Some(key)) = (captures.get(0), captures.name("key")) else { continue };
            // An unquoted word behind `=` is a name, in the notations that put names beside values.
            if captures.name("quote").is_none() && captures.name("sign").is_some_and(|sign| sign.as_str() == "=") {
                continue;
            }
            for value in self.values(text, &captures) {
                for rule in self.rules_for_pair(key.as_str(), value, Pairing::Certain) {
                    found(rule, whole.end());
                }
            }
        }
    }

    /// The values that an assignment may have. In quotation marks one may begin with any mark, or hold it; without them it ends
    /// at the first one.
    fn values<'t>(&self, text: &'t str, assignment: &Captures<'t>) -> impl Iterator<Item = &'t str> {
        let rest = assignment.get(0).and_then(|whole| text.get(whole.end()..)).unwrap_or("");
        let quoted = assignment.name("quote").and_then(|quote| up_to(rest, quote.as_str()));
        quoted.into_iter().chain(self.assigned.find(rest).map(|word| word.as_str()))
    }
}

/// What stands before the closing quotation mark, if it stands on this line.
fn up_to<'t>(rest: &'t str, quote: &str) -> Option<&'t str> {
    // Lines may be as long as a document: only what stands before the mark is looked at.
    let (value, _) = rest.split_once(quote)?;
    (!value.is_empty() && !value.contains(['\n', '\r'])).then_some(value)
}

struct Walk<'a> {
    book: &'a RuleBook,
    hits: Vec<Hit>,
}

impl Walk<'_> {
    /// `names` are the keys that speak about this value: its own, and a name that stands beside it.
    fn value(&mut self, value: &Value, at: &str, names: &[&str]) {
        match value {
            Value::Object(members) => self.members(members, at, names),
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.value(item, &format!("{at}[{index}]"), names);
                }
            }
            Value::String(text) => {
                self.text(text, at);
                self.pairs(text, at, names);
            }
            Value::Number(number) => self.pairs(&number.to_string(), at, names),
            Value::Bool(_) | Value::Null => {}
        }
    }

    fn members(&mut self, members: &Map<String, Value>, at: &str, names: &[&str]) {
        let named_beside =
            members.iter().find_map(|(key, value)| if is_one_of(key, &KEYS_OF_NAMES) { value.as_str() } else { None });
        for (number, (key, value)) in members.iter().enumerate() {
            let place = self.key(key, at, number + 1);
            if is_one_of(key, &KEYS_OF_VALUES) {
                let mut of_value: Vec<&str> = names.to_vec();
                of_value.extend(named_beside);
                self.value(value, &place, &of_value);
            } else {
                self.value(value, &place, &[key]);
            }
        }
    }

    /// Scans a key, and gives the place of its value, in which a secret key is not named.
    fn key(&mut self, key: &str, at: &str, number: usize) -> String {
        let numbered = format!("{at}[key {number}]");
        let before = self.hits.len();
        self.text(key, &numbered);
        if self.hits.len() > before || key.chars().count() > LONGEST_NAMED_KEY {
            return numbered;
        }
        let mut characters = key.chars();
        let plain = characters.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
            && characters.all(|c| c.is_ascii_alphanumeric() || c == '_');
        if plain { format!("{at}.{key}") } else { format!("{at}[{}]", Value::from(key)) }
    }

    fn text(&mut self, text: &str, at: &str) {
        let hits = &mut self.hits;
        self.book.scan_text(text, &mut |rule, _| hits.push(Hit { rule: rule.to_owned(), at: at.to_owned() }));
    }

    fn pairs(&mut self, value: &str, at: &str, names: &[&str]) {
        for name in names {
            for rule in self.book.rules_for_pair(name, value, Pairing::Certain) {
                self.hits.push(Hit { rule: rule.to_owned(), at: at.to_owned() });
            }
        }
    }
}

fn is_one_of(key: &str, keys: &[&str]) -> bool {
    keys.iter().any(|one| key.eq_ignore_ascii_case(one))
}

fn sorted(mut hits: Vec<Hit>) -> Vec<Hit> {
    hits.sort();
    hits.dedup();
    hits
}

/// Line and column, both from 1, the column in characters.
fn line_and_column(text: &str, offset: usize) -> String {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |last| last.chars().count()) + 1;
    format!("{line}:{column}")
}
