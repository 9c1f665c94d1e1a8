//! Reading a registry document.
//!
//! comrak decides what is a list item; the line itself is then read from the file's own text, so that nothing of it is
//! lost. A second, coarser look over every line finds what looks like a definition and was not read.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use comrak::nodes::{AstNode, NodeValue};
use comrak::{Arena, Options, parse_document};
use regex::Regex;

use super::lookup::Registry;
use super::pattern::AllowedTokens;
use super::value::{HandleValue, ValueError, is_handle_name, placeholder_in};

/// One line of the registry that defines or declares a handle.
#[derive(Debug, Clone, PartialEq)]
pub struct Definition {
    /// The handle.
    pub name: String,
    /// Its value; [`HandleValue::Bare`] where the line only names it.
    pub value: HandleValue,
    /// What stands behind the closing backtick.
    pub note: Option<String>,
    /// The line, from 1.
    pub line: usize,
    /// The whole line, without its line ending.
    pub raw: String,
}

/// A registry with what could not be read of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Parsed {
    /// What could be read. A look-up of a handle that an error names fails.
    pub registry: Registry,
    /// One entry for each line that looks like a definition and is none, in line order.
    pub errors: Vec<RegistryError>,
}

/// A line of the registry that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}:{line}: {kind}: {text}", path.display())]
pub struct RegistryError {
    /// The registry file.
    pub path: PathBuf,
    /// The line, from 1.
    pub line: usize,
    /// The line's text.
    pub text: String,
    /// The handle that the line seems to define.
    pub handle: Option<String>,
    /// What is wrong.
    pub kind: RegistryErrorKind,
}

/// What is wrong with a registry line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegistryErrorKind {
    /// The value cannot be read.
    #[error(transparent)]
    Value(#[from] ValueError),
    /// It looks like a definition, and stands elsewhere.
    #[error(
        "looks like a handle's definition, which must be a code span, closed on its line, at the beginning of a list item that is in no quotation, code block or comment"
    )]
    NotAnItem,
    /// Two definitions on one line.
    #[error("a second definition on the same line; give `{name}` a line of its own")]
    SecondDefinition {
        /// The handle that comes second.
        name: String,
    },
    /// A carriage return that ends no line.
    #[error("a carriage return in the middle of the line; tools disagree on whether it ends the line, so take it out")]
    LoneCarriageReturn,
    /// An entry of the token list is no token.
    #[error("an entry of the list of allowed tokens that does not begin with a code span of the form {{name}}")]
    NotAToken,
    /// Two lists of allowed tokens.
    #[error("a second list of allowed tokens; the first stands at line {first}")]
    SecondTokenList {
        /// The first list's line.
        first: usize,
    },
}

/// The coarse patterns for lines that look like definitions.
struct Looks {
    /// `NAME =` at the beginning of a line, whatever the decoration.
    assignment: Regex,
    /// `` `NAME = …` `` anywhere in the line.
    span: Regex,
    /// A list item that begins with `` `NAME` ``.
    bare: Regex,
    /// The inside of a definition's code span.
    inside: Regex,
}

static LOOKS: LazyLock<Result<Looks, regex::Error>> = LazyLock::new(|| {
    Ok(Looks {
        assignment: Regex::new(
            r#"^[\s>]*(?:[-*+]|[0-9]{1,9}[.)])?[\s\\`*_~"'<!-]*([A-Z][A-Z0-9_]*)[`*_\\"']*\s*=(?:[^=]|$)"#,
        )?,
        span: Regex::new(r"`\s*([A-Z][A-Z0-9_]*)\s*=(?:[^=]|$)")?,
        bare: Regex::new(r"^\s*(?:[-*+]|[0-9]{1,9}[.)])\s+`+\s*([A-Z][A-Z0-9_]*)\s*`")?,
        inside: Regex::new(r"(?s)^([A-Z][A-Z0-9_]*)\s*(?:=(.*))?$")?,
    })
});

impl Looks {
    /// The handle that `line` seems to define.
    fn handle<'line>(&self, line: &'line str) -> Option<&'line str> {
        [&self.assignment, &self.span, &self.bare]
            .into_iter()
            .find_map(|pattern| pattern.captures(line)?.get(1))
            .map(|name| name.as_str())
            .filter(|name| placeholder_in(name).is_none())
    }
}

/// Parses a registry. It never fails as a whole: what cannot be read is in [`Parsed::errors`].
#[must_use]
pub fn parse(path: &Path, text: &str) -> Parsed {
    let lines = lines_of(text);
    let outline = Outline::of(text);
    let mut reader = Reader { path, definitions: Vec::new(), errors: Vec::new() };
    match &*LOOKS {
        Ok(looks) => {
            for (index, line) in lines.iter().enumerate() {
                reader.line(looks, index + 1, line, outline.items.get(&(index + 1)));
            }
        }
        // The patterns are literals and a test uses them; were one broken, nothing of the file would count as read.
        Err(_) => reader.error(1, "", None, RegistryErrorKind::NotAnItem),
    }
    let tokens = reader.tokens(&lines, &outline);
    reader.errors.sort_by_key(|error| error.line);
    let registry = Registry::new(path.to_owned(), reader.definitions, tokens, &reader.errors);
    Parsed { registry, errors: reader.errors }
}

fn lines_of(text: &str) -> Vec<&str> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line)).collect()
}

/// The text as comrak is to read it: it ends a line at a lone carriage return; ours are numbered as editors number them.
pub(super) fn source_of(text: &str) -> String {
    lines_of(text).join("\n").replace('\r', " ")
}

struct Reader<'path> {
    path: &'path Path,
    definitions: Vec<Definition>,
    errors: Vec<RegistryError>,
}

impl Reader<'_> {
    fn error(&mut self, line: usize, text: &str, handle: Option<&str>, kind: RegistryErrorKind) {
        self.errors.push(RegistryError {
            path: self.path.to_owned(),
            line,
            text: text.trim().to_owned(),
            handle: handle.map(str::to_owned),
            kind,
        });
    }

    fn line(&mut self, looks: &Looks, number: usize, raw: &str, item: Option<&String>) {
        let looks_like = looks.handle(raw);
        if raw.contains('\r') {
            return self.error(number, raw, looks_like, RegistryErrorKind::LoneCarriageReturn);
        }
        let Some((span, note)) = item.and_then(|literal| first_code_span(raw).filter(|(span, _)| span == literal))
        else {
            if looks_like.is_some() {
                self.error(number, raw, looks_like, RegistryErrorKind::NotAnItem);
            }
            return;
        };
        let Some((name, value)) = split_definition(looks, span) else {
            if looks_like.is_some() {
                self.error(number, raw, looks_like, RegistryErrorKind::NotAnItem);
            }
            return;
        };
        if let Some(second) = looks.span.captures(note).and_then(|found| found.get(1)) {
            let name = second.as_str().to_owned();
            self.error(number, raw, Some(second.as_str()), RegistryErrorKind::SecondDefinition { name });
        }
        match value.map_or(Ok(HandleValue::Bare), HandleValue::parse) {
            Ok(value) => self.definitions.push(Definition {
                name: name.to_owned(),
                value,
                note: Some(note.trim()).filter(|note| !note.is_empty()).map(str::to_owned),
                line: number,
                raw: raw.to_owned(),
            }),
            Err(error) => self.error(number, raw, Some(name), error.into()),
        }
    }

    fn tokens(&mut self, lines: &[&str], outline: &Outline) -> AllowedTokens {
        let Some((first, rest)) = outline.token_lists.split_first() else {
            return AllowedTokens::default();
        };
        let mut names = BTreeSet::new();
        for (line, literal) in &first.entries {
            match literal.as_deref().and_then(token_name) {
                Some(name) => {
                    names.insert(name.to_owned());
                }
                None => self.error(*line, text_of(lines, *line), None, RegistryErrorKind::NotAToken),
            }
        }
        for second in rest {
            let kind = RegistryErrorKind::SecondTokenList { first: first.line };
            self.error(second.line, text_of(lines, second.line), None, kind);
        }
        AllowedTokens { names, line: Some(first.line) }
    }
}

fn text_of<'text>(lines: &[&'text str], number: usize) -> &'text str {
    number.checked_sub(1).and_then(|index| lines.get(index)).map_or("", |line| *line)
}

fn split_definition<'span>(looks: &Looks, span: &'span str) -> Option<(&'span str, Option<&'span str>)> {
    let found = looks.inside.captures(span)?;
    let name = found.get(1)?.as_str();
    let value = found.get(2).map(|value| value.as_str());
    // A list item about the placeholder itself declares no handle of that name.
    (value.is_some() || placeholder_in(name).is_none()).then_some((name, value))
}

fn token_name(literal: &str) -> Option<&str> {
    let name = literal.strip_prefix('{')?.strip_suffix('}')?;
    let plain = |character: char| character.is_ascii_alphanumeric() || character == '_';
    (!name.is_empty() && name.chars().all(plain)).then_some(name)
}

/// The first code span of a line, as CommonMark closes it (by a run of as many backticks), and what follows it.
pub(crate) fn first_code_span(line: &str) -> Option<(&str, &str)> {
    let (open, close) = code_span_bounds(line)?;
    Some((trim_span(line.get(open.1..close.0)?), line.get(close.1..)?))
}

type Run = (usize, usize);

fn code_span_bounds(line: &str) -> Option<(Run, Run)> {
    let mut runs = backtick_runs(line);
    let open = runs.next()?;
    let close = runs.find(|run| run.1 - run.0 == open.1 - open.0)?;
    Some((open, close))
}

fn backtick_runs(line: &str) -> impl Iterator<Item = Run> {
    let mut from = 0;
    std::iter::from_fn(move || {
        let start = from + line.get(from..)?.find('`')?;
        let length = line.get(start..)?.bytes().take_while(|byte| *byte == b'`').count();
        from = start + length;
        Some((start, from))
    })
}

/// CommonMark takes one space off either end of a span that has one at both.
fn trim_span(span: &str) -> &str {
    match span.strip_prefix(' ').and_then(|inner| inner.strip_suffix(' ')) {
        Some(inner) if !inner.trim().is_empty() => inner,
        _ => span,
    }
}

/// `line` with the value of the handle `name`, which its first code span must define or declare, set to the text `value`.
#[must_use]
pub(crate) fn with_value_on_line(line: &str, name: &str, value: &str) -> Option<String> {
    let (span, _) = first_code_span(line)?;
    let defined = span.split('=').next()?.trim();
    if defined != name || !is_handle_name(name) {
        return None;
    }
    let (open, close) = code_span_bounds(line)?;
    let (before, after) = (line.get(..open.1)?, line.get(close.0..)?);
    Some(format!("{before}{name} = {}{after}", serde_json::Value::from(value)))
}

/// What comrak says of the document.
#[derive(Default)]
struct Outline {
    /// List items that begin with a code span: line and the span's text.
    items: BTreeMap<usize, String>,
    token_lists: Vec<TokenList>,
}

struct TokenList {
    line: usize,
    entries: Vec<(usize, Option<String>)>,
}

impl Outline {
    fn of(text: &str) -> Self {
        let arena = Arena::new();
        let root = parse_document(&arena, &source_of(text), &Options::default());
        let mut outline = Self::default();
        for node in root.descendants() {
            match &node.data().value {
                NodeValue::Item(_) => outline.item(node),
                NodeValue::Paragraph => outline.token_list(node),
                _ => {}
            }
        }
        outline
    }

    fn item<'arena>(&mut self, node: &'arena AstNode<'arena>) {
        if let (false, Some((line, Some(span)))) = (is_quoted(node), leading_code(node)) {
            self.items.insert(line, span);
        }
    }

    fn token_list<'arena>(&mut self, paragraph: &'arena AstNode<'arena>) {
        let text = paragraph.collect_text().to_lowercase();
        let announces = text.contains("allowed") && text.contains("token") && text.trim_end().ends_with(':');
        let list = paragraph.next_sibling().filter(|next| announces && matches!(next.data().value, NodeValue::List(_)));
        if let Some(list) = list {
            self.token_lists.push(TokenList {
                line: paragraph.data().sourcepos.start.line,
                entries: list
                    .children()
                    .map(|item| leading_code(item).unwrap_or((item.data().sourcepos.start.line, None)))
                    .collect(),
            });
        }
    }
}

/// Whether it stands in a quotation.
pub(super) fn is_quoted<'arena>(node: &'arena AstNode<'arena>) -> bool {
    node.ancestors().any(|ancestor| matches!(ancestor.data().value, NodeValue::BlockQuote))
}

/// The line of an item's first paragraph, and its text where it begins with a code span that ends on that line.
pub(super) fn leading_code<'arena>(item: &'arena AstNode<'arena>) -> Option<(usize, Option<String>)> {
    let paragraph = item.first_child().filter(|child| matches!(child.data().value, NodeValue::Paragraph))?;
    let line = paragraph.data().sourcepos.start.line;
    let span = paragraph.first_child().and_then(|inline| match &inline.data().value {
        NodeValue::Code(code) => Some(code.literal.clone()),
        _ => None,
    });
    Some((line, span))
}
