//! A Verify-ID's command cell: command or prose, placeholders, elisions.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use regex::Regex;

use super::bind::{self, Call};
use super::typed::{self, Command, OPERATIONS, PROGRAMS};
use super::words::{Token, split, without_json_layer};
use crate::registry::{first_code_span, placeholder_in};

/// A parsed command cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// The cell as the plan writes it.
    pub raw: String,
    /// What it is.
    pub kind: Kind,
    /// The placeholders' names, in the order of their first mention; elisions and literals are not among them.
    pub placeholders: Vec<String>,
    /// What the plan leaves out for the lane to supply, in order.
    pub elisions: Vec<Elision>,
    /// The text behind the command. It is not executed.
    pub prose_tail: Option<String>,
}

/// What a command cell is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A command, its placeholders and elisions still in its texts as `<name>`.
    Command(Command),
    /// A sentence that tells what to do.
    Prose,
}

/// A part of a command that the plan leaves out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Elision {
    /// The name under which the lane binds it: `elision_1`, `elision_2`, ….
    pub name: String,
    /// How the plan writes it: `<...>` or `/...`.
    pub written: String,
    /// The word in which it stands, as the plan writes it.
    pub within: String,
}

/// Why a cell is no command that can be carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// There is nothing in the cell.
    #[error("the command cell is empty")]
    Empty,
    /// The cell holds a control character.
    #[error("the command cell holds a control character")]
    ControlCharacter,
    /// A code span or a quote that is not closed, or two quoting dialects in one command.
    #[error("the quoting of `{command}` cannot be read: {reason}")]
    Quoting {
        /// The command.
        command: String,
        /// Why.
        reason: String,
    },
    /// Something that only a shell could carry out.
    #[error("`{command}` uses `{found}`, which only a shell could carry out, and none is ever run")]
    ShellSyntax {
        /// The command.
        command: String,
        /// What was found.
        found: String,
    },
    /// No executor for this program.
    #[error("no executor for the program `{program}`; known are {}", PROGRAMS.join(", "))]
    UnknownProgram {
        /// The program.
        program: String,
    },
    /// No executor for this sub-command.
    #[error("no executor for `{found}`; known are {}", OPERATIONS.join(", "))]
    UnknownOperation {
        /// Program and sub-command.
        found: String,
    },
    /// A flag that the executor does not know or support.
    #[error("`{command}` does not take `{flag}` here; no flag is ever ignored")]
    UnknownFlag {
        /// Program and sub-command.
        command: String,
        /// The flag.
        flag: String,
    },
    /// Something that the command needs is missing.
    #[error("`{command}` lacks {what}")]
    Missing {
        /// Program and sub-command.
        command: String,
        /// What is missing.
        what: String,
    },
    /// Something that the command does not take.
    #[error("`{command}` does not take `{found}`")]
    Superfluous {
        /// Program and sub-command.
        command: String,
        /// What is too much.
        found: String,
    },
    /// A flag or operand with a value that cannot be used.
    #[error("`{command}`: {what} is refused: {reason}")]
    BadValue {
        /// Program and sub-command.
        command: String,
        /// The flag or operand.
        what: String,
        /// Why.
        reason: String,
    },
    /// A second command behind the first.
    #[error("a second command stands behind the first: `{command}`; give it a row of its own")]
    SecondCommand {
        /// The second command.
        command: String,
    },
    /// `...` in a place where it is no elision.
    #[error("`{word}` leaves something out in another way than by `<...>` or a trailing `/...`")]
    UnnamedElision {
        /// The word.
        word: String,
    },
    /// Prose cannot be carried out.
    #[error("the cell is prose, and has no command to carry out")]
    Prose,
    /// A placeholder for which nothing is bound.
    #[error("nothing is bound to the placeholder <{name}> of `{template}`")]
    UnknownPlaceholder {
        /// The placeholder.
        name: String,
        /// The cell.
        template: String,
    },
    /// A value that may not stand where the placeholder stands. The value itself is not repeated.
    #[error("the value of <{name}> is refused: {reason}")]
    RefusedValue {
        /// The placeholder, or the part of the command that holds it.
        name: String,
        /// Why.
        reason: String,
    },
}

/// Parses a command cell, as it stands between the row's ` | `, its backticks included.
///
/// # Errors
/// [`TemplateError`] when the cell is a command that cannot be carried out exactly as written.
pub fn parse(template: &str) -> Result<Template, TemplateError> {
    let cell = template.trim();
    if cell.is_empty() {
        return Err(TemplateError::Empty);
    }
    if cell.chars().any(char::is_control) {
        return Err(TemplateError::ControlCharacter);
    }
    let Some(Body { command, tail }) = body(cell)? else {
        return Ok(Template {
            raw: template.to_owned(),
            kind: Kind::Prose,
            placeholders: Vec::new(),
            elisions: Vec::new(),
            prose_tail: None,
        });
    };
    let prose_tail = prose_tail(tail)?;
    let mut tokens = split(&without_json_layer(command)?)?;
    let elisions = name_elisions(&mut tokens)?;
    let placeholders = placeholders(&tokens);
    Ok(Template {
        raw: template.to_owned(),
        kind: Kind::Command(typed::command(&tokens)?),
        placeholders,
        elisions,
        prose_tail,
    })
}

/// Resolves a template's placeholders and elisions.
///
/// # Errors
/// [`TemplateError`] when the template is prose, nothing is bound to a placeholder or elision, or a value is refused.
pub fn resolve(template: &Template, bindings: &BTreeMap<String, String>) -> Result<Call, TemplateError> {
    bind::call(template, bindings)
}

struct Body<'cell> {
    command: &'cell str,
    tail: &'cell str,
}

/// The command of a cell and what stands behind it, or `None` for prose.
fn body(cell: &str) -> Result<Option<Body<'_>>, TemplateError> {
    if !cell.starts_with('`') {
        let program = cell.split_whitespace().next().unwrap_or("");
        return Ok(PROGRAMS.contains(&program).then_some(Body { command: cell, tail: "" }));
    }
    if let Some((span, tail)) = first_code_span(cell)
        && !tail.trim().is_empty()
        && only_names_a_program(span)
    {
        return Ok(None);
    }
    closed_span(cell).map(Some)
}

/// Whether a span names a thing, or a known command without anything to do: the cell is a sentence about it.
fn only_names_a_program(span: &str) -> bool {
    let words: Vec<&str> = span.split_whitespace().collect();
    words.len() == 1 || OPERATIONS.contains(&words.join(" ").as_str())
}

/// The code span at the beginning of `cell`. Commands may hold backticks between quotes, so a single backtick closes the
/// span only where every quote is closed; longer runs close as CommonMark says.
fn closed_span(cell: &str) -> Result<Body<'_>, TemplateError> {
    let unclosed = || TemplateError::Quoting {
        command: cell.to_owned(),
        reason: "no backtick closes the code span where all quotes are closed".to_owned(),
    };
    if cell.starts_with("``") {
        return first_code_span(cell).map(|(command, tail)| Body { command, tail }).ok_or_else(unclosed);
    }
    let inner = cell.get(1..).ok_or_else(unclosed)?;
    inner
        .match_indices('`')
        .filter_map(|(at, _)| Some((inner.get(..at)?, inner.get(at + 1..)?)))
        .find(|(command, _)| quotes_are_closed(command))
        .map(|(command, tail)| Body { command, tail })
        .ok_or_else(unclosed)
}

fn quotes_are_closed(command: &str) -> bool {
    match without_json_layer(command).and_then(|text| split(&text)) {
        Err(TemplateError::Quoting { .. }) => false,
        // Other errors are reported when the command is read.
        Ok(_) | Err(_) => true,
    }
}

fn prose_tail(tail: &str) -> Result<Option<String>, TemplateError> {
    let tail = tail.trim();
    let mut rest = tail;
    while let Some((span, after)) = first_code_span(rest) {
        let mut words = span.split_whitespace();
        if words.next().is_some_and(|program| PROGRAMS.contains(&program)) && words.next().is_some() {
            return Err(TemplateError::SecondCommand { command: span.to_owned() });
        }
        rest = after;
    }
    let prose = tail.strip_prefix('+').unwrap_or(tail).trim();
    Ok((!prose.is_empty()).then(|| prose.to_owned()))
}

/// Gives every elision a name, and puts it into the word as a placeholder.
fn name_elisions(tokens: &mut [Token]) -> Result<Vec<Elision>, TemplateError> {
    let mut elisions = Vec::new();
    for token in tokens {
        let Token::Word(word) = token else { continue };
        let within = word.text.clone();
        if let Some((_, name)) = placeholders_in(&within).into_iter().find(|(_, name)| is_elision(name)) {
            // The names of elisions are ours; a plan that spells one asks for an unknown value.
            return Err(TemplateError::UnknownPlaceholder { name, template: within });
        }
        if word.quoted {
            // In a pattern three dots are an expression; `<...>` there says nothing that could be searched for.
            if within.contains("<...>") {
                return Err(TemplateError::UnnamedElision { word: within });
            }
            continue;
        }
        let mut name = |written: &str| {
            let name = format!("elision_{}", elisions.len() + 1);
            let named = format!("<{name}>");
            elisions.push(Elision { name, written: written.to_owned(), within: within.clone() });
            named
        };
        let mut text = word.text.clone();
        while text.contains("<...>") {
            text = text.replacen("<...>", &name("<...>"), 1);
        }
        if let Some(folder) = text.strip_suffix("/...") {
            text = format!("{folder}/{}", name("/..."));
        }
        if text.contains("...") || text.contains('\u{2026}') {
            return Err(TemplateError::UnnamedElision { word: within });
        }
        word.text = text;
    }
    Ok(elisions)
}

static PLACEHOLDER: LazyLock<Result<Regex, regex::Error>> =
    // A named group, `(?<name>…)` or `(?P<name>…)`, is the expression's own.
    LazyLock::new(|| Regex::new(r"(\(\?P?)?<([A-Za-z][A-Za-z0-9_]*)>"));

/// The placeholders in `text`: byte range and name. Literals such as `<PIN_…>` are not among them.
pub(super) fn placeholders_in(text: &str) -> Vec<(std::ops::Range<usize>, String)> {
    let Ok(pattern) = &*PLACEHOLDER else {
        // The pattern is a literal and every test of this module uses it; were it broken, no text would count as resolved.
        return vec![(0..text.len(), String::new())];
    };
    pattern
        .captures_iter(text)
        .filter(|found| found.get(1).is_none())
        .filter_map(|found| Some((found.get(0)?.range(), found.get(2)?.as_str().to_owned())))
        .filter(|(_, name)| !is_literal(name))
        .collect()
}

fn is_literal(name: &str) -> bool {
    name.starts_with("PIN_") && placeholder_in(&format!("<{name}>")).is_some()
}

pub(super) fn is_elision(name: &str) -> bool {
    name.strip_prefix("elision_")
        .is_some_and(|ordinal| !ordinal.is_empty() && ordinal.bytes().all(|byte| byte.is_ascii_digit()))
}

fn placeholders(tokens: &[Token]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for token in tokens {
        let Token::Word(word) = token else { continue };
        for (_, name) in placeholders_in(&word.text) {
            if !is_elision(&name) && !names.contains(&name) {
                names.push(name);
            }
        }
    }
    names
}
