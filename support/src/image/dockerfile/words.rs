//! The words of an instruction: joined lines, quotation marks, escapes, references.

use std::iter::Peekable;
use std::ops::Range;
use std::str::Chars;

/// An instruction's arguments with its lines joined; each character knows its byte offset in the file.
pub(super) struct Joined {
    characters: Vec<(usize, char)>,
    escape: char,
    end: usize,
}

/// `NAME=value`, or `NAME` alone.
pub(super) struct Assigned {
    pub(super) name: String,
    /// With its quotation marks.
    pub(super) raw: Option<String>,
    /// The byte offset of the name in the file.
    pub(super) at: usize,
}

impl Joined {
    pub(super) fn new(text: &str, span: Range<usize>, escape: char) -> Self {
        let mut characters = Vec::new();
        let mut at = span.start;
        while let Some(character) = text.get(at..span.end).and_then(|rest| rest.chars().next()) {
            if character == escape
                && let Some(next) = after_break(text, at + character.len_utf8(), span.end)
            {
                at = after_idle_lines(text, next, span.end);
                continue;
            }
            characters.push((at, character));
            at += character.len_utf8();
        }
        Self { characters, escape, end: span.end }
    }

    /// `ARG`: each word is a name, or a name with its default.
    pub(super) fn arguments(&self) -> Vec<Assigned> {
        let whole = self.words().into_iter().map(|(at, word)| match word.split_once('=') {
            Some((name, value)) => Assigned { name: name.to_owned(), raw: Some(value.to_owned()), at },
            None => Assigned { name: word, raw: None, at },
        });
        whole.collect()
    }

    /// `ENV`: `NAME=value …`, or the old form `NAME the rest of the line`.
    pub(super) fn environment(&self) -> Result<Vec<Assigned>, (usize, String)> {
        let words = self.words();
        let Some((at, first)) = words.first() else {
            return Err((self.end, "ENV needs a name and a value".to_owned()));
        };
        if first.contains('=') {
            let pair = |(at, word): &(usize, String)| match word.split_once('=') {
                Some((name, value)) if !name.is_empty() => {
                    Ok(Assigned { name: name.to_owned(), raw: Some(value.to_owned()), at: *at })
                }
                _ => Err((*at, "a word of ENV is not of the form NAME=value".to_owned())),
            };
            return words.iter().map(pair).collect();
        }
        let whole: String = self.characters.iter().map(|(_, character)| character).collect();
        let (name, value) = whole
            .trim()
            .split_once(char::is_whitespace)
            .ok_or_else(|| (*at, "ENV names a variable and gives it no value".to_owned()))?;
        Ok(vec![Assigned { name: name.to_owned(), raw: Some(value.trim().to_owned()), at: *at }])
    }

    /// The words between white space, with their quotation marks and escapes.
    pub(super) fn words(&self) -> Vec<(usize, String)> {
        let mut words: Vec<(usize, String)> = Vec::new();
        let mut open = false;
        let mut quote: Option<char> = None;
        let mut characters = self.characters.iter().copied();
        while let Some((at, character)) = characters.next() {
            if quote.is_none() && character.is_whitespace() {
                open = false;
                continue;
            }
            if !open {
                words.push((at, String::new()));
                open = true;
            }
            let Some((_, word)) = words.last_mut() else { continue };
            word.push(character);
            if character == self.escape && quote != Some('\'') {
                word.extend(characters.next().map(|(_, next)| next));
            } else if quote == Some(character) {
                quote = None;
            } else if quote.is_none() && matches!(character, '"' | '\'') {
                quote = Some(character);
            }
        }
        words
    }
}

/// The place behind a line break, if nothing but blanks stands before it.
fn after_break(text: &str, at: usize, end: usize) -> Option<usize> {
    let rest = text.get(at..end)?;
    let trimmed = rest.trim_start_matches([' ', '\t', '\r']);
    trimmed.starts_with('\n').then(|| end - trimmed.len() + 1)
}

/// Comments and empty lines inside an instruction are not part of it.
fn after_idle_lines(text: &str, mut at: usize, end: usize) -> usize {
    while let Some(rest) = text.get(at..end) {
        let Some(line) = rest.split_inclusive('\n').next() else { break };
        let content = line.trim();
        if !content.is_empty() && !content.starts_with('#') {
            break;
        }
        at += line.len();
    }
    at
}

/// A word's value.
pub(super) struct Value {
    /// Without quotation marks; references stand as `${NAME}`.
    pub(super) text: String,
    /// What stands in the text as it is, and is not only a reference: the value, and what a reference falls back to.
    /// A dollar sign that is no reference is written otherwise, so that nobody takes it for one.
    pub(super) literals: Vec<String>,
    /// A part of it is a reference.
    pub(super) open: bool,
}

/// What is written for a dollar sign that is no reference.
const DOLLAR: char = '!';

impl Value {
    pub(super) fn read(raw: &str, escape: char) -> Self {
        let mut reader =
            Reader { rest: raw.chars().peekable(), escape, value: Self::empty(), masked: String::new(), fixed: false };
        reader.word();
        let Reader { mut value, masked, fixed, .. } = reader;
        if fixed {
            value.literals.insert(0, masked);
        }
        value
    }

    fn empty() -> Self {
        Self { text: String::new(), literals: Vec::new(), open: false }
    }
}

struct Reader<'r> {
    rest: Peekable<Chars<'r>>,
    escape: char,
    value: Value,
    masked: String,
    /// Something other than references was read.
    fixed: bool,
}

impl Reader<'_> {
    fn word(&mut self) {
        while let Some(character) = self.rest.next() {
            match character {
                '\'' => {
                    while let Some(inside) = self.rest.next_if(|&c| c != '\'') {
                        self.literal(inside);
                    }
                    self.rest.next();
                }
                '"' => self.double_quoted(),
                '$' => self.reference(),
                character if character == self.escape => {
                    if let Some(next) = self.rest.next() {
                        self.literal(next);
                    }
                }
                character => self.literal(character),
            }
        }
    }

    fn double_quoted(&mut self) {
        while let Some(character) = self.rest.next() {
            match character {
                '"' => return,
                '$' => self.reference(),
                character if character == self.escape => {
                    let escape = self.escape;
                    match self.rest.next_if(|&c| c == '"' || c == '$' || c == escape) {
                        Some(next) => self.literal(next),
                        None => self.literal(character),
                    }
                }
                character => self.literal(character),
            }
        }
    }

    fn literal(&mut self, character: char) {
        self.fixed = true;
        self.value.text.push(character);
        self.masked.push(if character == '$' { DOLLAR } else { character });
    }

    /// Behind a dollar sign.
    fn reference(&mut self) {
        let in_braces = self.rest.next_if_eq(&'{').is_some();
        let mut name = String::new();
        while let Some(character) = self.rest.next_if(|c| c.is_ascii_alphanumeric() || *c == '_') {
            name.push(character);
        }
        if name.is_empty() && !in_braces {
            self.literal('$');
            return;
        }
        if in_braces {
            let modifier = self.up_to_brace();
            let fallback = ["-", "+", "?"]
                .iter()
                .find_map(|sign| modifier.strip_prefix(':').unwrap_or(&modifier).strip_prefix(sign));
            // A fallback may itself be a word with references.
            if let Some(fallback) = fallback {
                self.value.literals.extend(Value::read(fallback, self.escape).literals);
            }
        }
        self.value.open = true;
        let shown = format!("${{{name}}}");
        self.value.text.push_str(&shown);
        self.masked.push_str(&shown);
    }

    fn up_to_brace(&mut self) -> String {
        let mut depth = 0_usize;
        let mut inside = String::new();
        while let Some(character) = self.rest.next() {
            match character {
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                '{' => depth += 1,
                character if character == self.escape => {
                    inside.push(character);
                    inside.extend(self.rest.next());
                    continue;
                }
                _ => {}
            }
            inside.push(character);
        }
        inside
    }
}
