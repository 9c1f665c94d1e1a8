//! Tokens and assignments that stand in bytes as they are.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Range;

use super::harmless::{Candidate, Harmless};
use super::language::{Assigned, Language};
use super::needles::Needles;
use crate::secrets::{Pairing, RuleBook, looks_random, words_of_key};

/// A key is at most this long.
const LONGEST_KEY: usize = 128;
/// A value is looked at this far.
const LONGEST_VALUE: usize = 1024;
/// What stands before a key on its line is looked at this far.
const LONGEST_LINE: usize = 512;
/// A zero byte this near makes a place binary.
const NEAR: usize = 1024;
/// A key in a binary place stands in a readable run that begins so far before it.
const READABLE: usize = 8;
/// So much of a private key's body tells it from another.
const KEY_BODY: usize = 64;
/// So many keys are remembered.
const MOST_KEYS: usize = 4096;

/// Which keys the keyed rules ask for: files say the same ones again and again.
#[derive(Debug, Default)]
pub(super) struct Keys(RefCell<BTreeMap<Vec<u8>, bool>>);

impl Keys {
    fn is_asked_for(&self, book: &RuleBook, key: &[u8]) -> bool {
        let mut known = self.0.borrow_mut();
        if let Some(asked) = known.get(key) {
            return *asked;
        }
        if known.len() >= MOST_KEYS {
            known.clear();
        }
        let asked = book.is_about_key(&String::from_utf8_lossy(key));
        known.insert(key.to_vec(), asked);
        asked
    }
}

/// A stretch of bytes, and how it is to be read.
pub(super) struct Direct<'a> {
    pub(super) needles: &'a Needles,
    pub(super) book: &'a RuleBook,
    pub(super) harmless: &'a Harmless,
    pub(super) keys: &'a Keys,
    pub(super) path: &'a str,
    pub(super) language: Language,
    pub(super) bytes: &'a [u8],
    /// Only what begins in here is told; the rest is what stands around it.
    pub(super) told: Range<usize>,
    /// `key: value` without quotation marks counts.
    pub(super) prose: bool,
}

impl Direct<'_> {
    /// Calls `found` with each rule and the place of what it takes.
    pub(super) fn run(&self, found: &mut dyn FnMut(&str, usize)) {
        self.tokens(found);
        self.pairs(found);
        self.beside(found);
    }

    fn tokens(&self, found: &mut dyn FnMut(&str, usize)) {
        let mut places: Vec<Vec<Range<usize>>> = vec![Vec::new(); self.needles.tokens.len()];
        for group in &self.needles.plain {
            let mut at = 0;
            while let Some(literal) = group.find_at(self.bytes, at) {
                at = literal.start() + 1;
                for rule in self.needles.rules_of(literal.as_bytes()) {
                    if let (Some(needle), Some(places)) = (self.needles.tokens.get(rule), places.get_mut(rule)) {
                        let (before, after) = needle.reach;
                        let range =
                            literal.start().saturating_sub(before)..(literal.end() + after).min(self.bytes.len());
                        places.push(range);
                    }
                }
            }
        }
        for ((token, needle), mut places) in self.book.tokens().iter().zip(&self.needles.tokens).zip(places) {
            if needle.everywhere {
                places = std::iter::once(0..self.bytes.len()).collect();
            }
            for place in merged(places) {
                let within = self.bytes.get(place.clone()).unwrap_or_default();
                for captures in needle.pattern.captures_iter(within) {
                    let Some(whole) = captures.get(0) else { continue };
                    let secret = captures.iter().skip(1).flatten().next().unwrap_or(whole);
                    let at = place.start + secret.start();
                    if !self.told.contains(&at) || !self.book.takes(token, &String::from_utf8_lossy(secret.as_bytes()))
                    {
                        continue;
                    }
                    let whole = place.start + whole.start()..place.start + whole.end();
                    if !self.only_looks_like(&token.id, whole, &String::from_utf8_lossy(secret.as_bytes())) {
                        found(&token.id, at);
                    }
                }
            }
        }
    }

    /// A match that is none: looked at one by one, see `harmless.toml`.
    fn only_looks_like(&self, rule: &str, whole: Range<usize>, secret: &str) -> bool {
        let text = self.bytes.get(whole.clone()).unwrap_or_default();
        let rest = self.bytes.get(whole.end..).unwrap_or_default();
        let mut told_by = text.to_vec();
        if text.starts_with(b"-----BEGIN ") {
            match key_body(rest) {
                None => return true,
                Some(body) => told_by.extend(body),
            }
        }
        if rule == "aws-access-key-id" {
            // A list of names without gaps: no digit, and capitals go on at both ends.
            let before = whole.start.checked_sub(1).and_then(|at| self.bytes.get(at));
            let goes_on = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_uppercase);
            if goes_on(before) && goes_on(rest.first()) && !text.iter().any(u8::is_ascii_digit) {
                return true;
            }
        }
        self.harmless.has(&Candidate { rule, path: self.path, key: None, value: secret, told_by: &told_by })
    }

    fn pairs(&self, found: &mut dyn FnMut(&str, usize)) {
        let mut at = 0;
        let mut last_key = None;
        while let Some(pair) = self.needles.pairs.find_at(self.bytes, at) {
            at = pair.start() + 3;
            let Some(key) = self.key_around(pair.start()) else { continue };
            if last_key.replace(key.start) != Some(key.start)
                && self.told.contains(&key.start)
                && self.keys.is_asked_for(self.book, self.bytes.get(key.clone()).unwrap_or_default())
            {
                self.pair(key.start, found);
            }
        }
    }

    /// Names, each with its value on the next line.
    fn beside(&self, found: &mut dyn FnMut(&str, usize)) {
        for captures in self.needles.beside.captures_iter(self.bytes) {
            let (Some(whole), Some(key), Some(sign)) = (captures.get(0), captures.name("key"), captures.name("sign"))
            else {
                continue;
            };
            let quote = captures.name("quote").map(|quote| String::from_utf8_lossy(quote.as_bytes()));
            let is_name = quote.is_none() && (sign.as_bytes() == b"=" || !self.prose);
            let asked = || self.keys.is_asked_for(self.book, key.as_bytes());
            if is_name || !self.told.contains(&key.start()) || !asked() || self.is_binary(key.start()) {
                continue;
            }
            let end = (whole.end() + LONGEST_VALUE).min(self.bytes.len());
            let rest = String::from_utf8_lossy(self.bytes.get(whole.end()..end).unwrap_or_default());
            let key = String::from_utf8_lossy(key.as_bytes());
            for (value, after) in self.values(&rest, quote.as_deref()) {
                let assigned = Assigned { before: "", quote: quote.as_deref(), value, after };
                if !assigned.is_literal(self.language) || names_itself(&key, value) {
                    continue;
                }
                for rule in self.book.rules_for_pair(&key, value, Pairing::Certain) {
                    let told_by = value.as_bytes();
                    let candidate = Candidate { rule, path: self.path, key: Some(&key), value, told_by };
                    if !self.harmless.has(&candidate) {
                        found(rule, whole.end());
                    }
                }
            }
        }
    }

    /// The key that `at` is a part of.
    fn key_around(&self, at: usize) -> Option<Range<usize>> {
        let before = self.bytes.get(at.saturating_sub(LONGEST_KEY)..at)?;
        let behind = self.bytes.get(at..(at + LONGEST_KEY).min(self.bytes.len()))?;
        let of_key = |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
        let begin = at - before.iter().rev().take_while(of_key).count();
        let end = at + behind.iter().take_while(of_key).count();
        let starts = |byte: &u8| byte.is_ascii_alphabetic() || *byte == b'_';
        self.bytes.get(begin..=at)?.iter().position(starts).map(|offset| begin + offset..end)
    }

    fn pair(&self, key_at: usize, found: &mut dyn FnMut(&str, usize)) {
        let end = (key_at + LONGEST_KEY + LONGEST_VALUE).min(self.bytes.len());
        let text = String::from_utf8_lossy(self.bytes.get(key_at..end).unwrap_or_default());
        let Some(captures) = self.needles.assignment.captures(&text) else { return };
        let (Some(whole), Some(key), Some(sign)) = (captures.get(0), captures.name("key"), captures.name("sign"))
        else {
            return;
        };
        let mut before = self.line_before(key_at);
        if text.get(key.end()..whole.end()).is_some_and(|behind| behind.contains(']')) {
            // `config['password'] =`: the mark before the key is the index' own, and opens no text.
            before.truncate(before.trim_end_matches(['"', '\'', '\\']).len());
        }
        // `…:secret:name` is a part of an ARN or a like name, not a key.
        if sign.as_str() == ":" && before.ends_with(':') {
            return;
        }
        let quote = captures.name("quote").map(|quote| quote.as_str());
        let certain = sign.as_str().ends_with('=') || quote.is_some() || self.is_yaml_member(&before);
        if !certain && !self.prose {
            return;
        }
        let pairing = if certain { Pairing::Certain } else { Pairing::Likely };
        let rest = text.get(whole.end()..).unwrap_or("");
        for (value, after) in self.values(rest, quote) {
            let assigned = Assigned { before: &before, quote, value, after };
            if !assigned.is_literal(self.language) {
                continue;
            }
            let rules = self.book.rules_for_pair(key.as_str(), value, pairing);
            if rules.is_empty() || names_itself(key.as_str(), value) {
                continue;
            }
            let in_machine_code =
                || self.is_binary(key_at) && !(certain && looks_random(value) && self.is_readable_before(key_at));
            if in_machine_code() {
                continue;
            }
            for rule in rules {
                let candidate =
                    Candidate { rule, path: self.path, key: Some(key.as_str()), value, told_by: value.as_bytes() };
                if !self.harmless.has(&candidate) {
                    found(rule, key_at + whole.end());
                }
            }
        }
    }

    /// What stands before the closing mark on this line, and the first word; each with what stands behind it.
    fn values<'t>(&self, rest: &'t str, quote: Option<&str>) -> impl Iterator<Item = (&'t str, &'t str)> {
        let is_text = |value: &str| !value.is_empty() && !self.needles.control.is_match(value.as_bytes());
        let closed = quote.and_then(|quote| memchr::memmem::find(rest.as_bytes(), quote.as_bytes()));
        let quoted = closed.and_then(|end| rest.split_at_checked(end)).filter(|(value, _)| is_text(value));
        let word = self.book.assigned.find(rest);
        let word = word
            .map(|word| self.needles.control.find(word.as_str().as_bytes()).map_or(word.end(), |mark| mark.start()));
        let word = word.and_then(|end| rest.split_at_checked(end)).filter(|(value, _)| !value.is_empty());
        quoted.into_iter().chain(word)
    }

    fn line_before(&self, at: usize) -> String {
        let before = self.bytes.get(at.saturating_sub(LONGEST_LINE)..at).unwrap_or_default();
        let line = before.rsplit(|byte| matches!(byte, b'\n' | b'\r' | 0)).next().unwrap_or(before);
        String::from_utf8_lossy(line).into_owned()
    }

    fn is_yaml_member(&self, before: &str) -> bool {
        self.language == Language::Yaml && before.trim_start().trim_start_matches(['-', ' ', '"', '\'']).is_empty()
    }

    fn is_binary(&self, at: usize) -> bool {
        let around = at.saturating_sub(NEAR)..(at + NEAR).min(self.bytes.len());
        memchr::memchr(0, self.bytes.get(around).unwrap_or_default()).is_some()
    }

    /// In machine code and compressed data any two letters may come together: a key stands in a readable run.
    fn is_readable_before(&self, at: usize) -> bool {
        let before = self.bytes.get(at.saturating_sub(READABLE)..at).unwrap_or_default();
        let readable = |byte: &&u8| matches!(byte, b'\t' | b'\n' | b'\r' | b' '..=b'~');
        let run = before.iter().rev().take_while(readable).count();
        // A run that a zero begins is a string of its own.
        run == before.len() || before.iter().rev().nth(run) == Some(&0)
    }
}

/// Overlapping places as one.
fn merged(mut places: Vec<Range<usize>>) -> Vec<Range<usize>> {
    places.sort_by_key(|place| place.start);
    let mut merged: Vec<Range<usize>> = Vec::new();
    for place in places {
        match merged.last_mut() {
            Some(last) if place.start <= last.end => last.end = last.end.max(place.end),
            _ => merged.push(place),
        }
    }
    merged
}

/// `PASSWORD = "password"`, `CHALLENGE_PASSWORD: "challengePassword"`: the value is the key's name.
fn names_itself(key: &str, value: &str) -> bool {
    let (key, value) = (words_of_key(key), words_of_key(value));
    let (key, value) = (key.trim_matches('_'), value.trim_matches('_'));
    !value.is_empty() && (key == value || key.strip_suffix(value).is_some_and(|rest| rest.ends_with('_')))
}

/// What stands behind a private key's first line, or nothing where that line is only a mark to look for: a string of a program
/// that ends there. A key goes on with a line break, written or escaped, and with letters; or the text ends.
fn key_body(rest: &[u8]) -> Option<&[u8]> {
    let is_body = |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=');
    let run = |text: &[u8]| text.iter().take_while(is_body).take(KEY_BODY).count();
    let mut body = rest;
    loop {
        body = match body {
            [b'\\', b'n' | b'r', after @ ..] | [b'\n' | b'\r' | b' ' | b'\t', after @ ..] => after,
            _ => break,
        };
    }
    let broken = body.len() < rest.len();
    let length = run(body);
    let goes_on = if broken { length > 0 } else { length >= 16 };
    (goes_on || body.is_empty()).then(|| body.get(..length).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::{key_body, merged, names_itself};
    use rstest::rstest;

    #[test]
    fn places_that_touch_become_one() {
        assert_eq!(merged(vec![5..9, 0..3, 8..12, 3..4, 20..21]), [0..4, 5..12, 20..21]);
    }

    #[rstest]
    #[case("PASSWORD", "password", true)]
    #[case("AttributeOID.CHALLENGE_PASSWORD", "challengePassword", true)]
    #[case("db_password", "db-password", true)]
    #[case("password", "hunter22", false)]
    #[case("password", "my_password", false)]
    #[case("password", "word", false)]
    fn a_value_may_be_the_name_of_its_key(#[case] key: &str, #[case] value: &str, #[case] same: bool) {
        assert_eq!(names_itself(key, value), same);
    }

    #[rstest]
    #[case("\nMIIEvQIBADAN", Some("MIIEvQIBADAN"))]
    #[case("\\nMIIEvQIBADAN\\n", Some("MIIEvQIBADAN"))]
    #[case("\r\nProc-Type: 4", Some("Proc"))]
    #[case("MIIEvQIBADANBgkqhkiG", Some("MIIEvQIBADANBgkqhkiG"))]
    #[case("", Some(""))]
    #[case("\n", Some(""))]
    #[case("\"", None)]
    #[case("\n\"", None)]
    #[case("\\n'", None)]
    #[case("s!\0\0\0", None)]
    #[case("\0", None)]
    #[case("\n...\n", None)]
    #[case("\n-----END", None)]
    fn a_mark_is_told_from_a_key(#[case] rest: &str, #[case] body: Option<&str>) {
        assert_eq!(key_body(rest.as_bytes()), body.map(str::as_bytes));
    }
}
