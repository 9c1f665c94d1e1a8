//! The facts of a Dockerfile, and what makes one of its variables a secret literal.

use serde::{Deserialize, Serialize};

use super::safe;
use super::words::Value;
use crate::secrets;

/// A `FROM`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stage {
    /// The image or stage, as written.
    pub image: String,
    /// `--platform`.
    pub platform: Option<String>,
    /// The stage's name.
    pub name: Option<String>,
    /// From 1.
    pub line: usize,
}

/// `ARG` or `ENV`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum VariableKind {
    /// A build argument.
    Arg,
    /// A variable of the image's environment.
    Env,
}

/// One name of an `ARG` or `ENV`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Variable {
    /// Which instruction.
    pub kind: VariableKind,
    /// The name.
    pub name: String,
    /// The value without its quotation marks, references as `${NAME}`; none for an `ARG` without default.
    pub value: Option<String>,
    /// From 1.
    pub line: usize,
    /// The stage, from 0; none before the first one.
    pub stage: Option<usize>,
    /// Below `ONBUILD`.
    pub on_build: bool,
}

/// `COPY` or `ADD`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Verb {
    /// `COPY`.
    Copy,
    /// `ADD`, which also fetches and unpacks.
    Add,
}

/// A `COPY` or `ADD`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transfer {
    /// Which of the two.
    pub verb: Verb,
    /// What is taken.
    pub sources: Vec<Source>,
    /// Where it goes.
    pub destination: String,
    /// `--from`, `--chown` and so on.
    pub flags: Vec<Flag>,
    /// From 1.
    pub line: usize,
    /// Below `ONBUILD`.
    pub on_build: bool,
}

impl Transfer {
    /// The stage or image that it takes from instead of the context.
    #[must_use]
    pub fn from(&self) -> Option<&str> {
        // `--from=` without a name is the context.
        let from = self.flags.iter().find(|flag| flag.name == "from")?;
        from.value.as_deref().filter(|name| !name.is_empty())
    }

    /// Whether it takes the whole context, or may: what a variable stands for is decided by who builds.
    #[must_use]
    pub fn whole_context(&self) -> bool {
        let may_be_all = |source: &Source| matches!(source, Source::Path { whole, open, .. } if *whole || *open);
        self.from().is_none() && self.sources.iter().any(may_be_all)
    }

    /// Whether it fetches from elsewhere.
    #[must_use]
    pub fn remote(&self) -> bool {
        self.sources.iter().any(|source| matches!(source, Source::Remote { .. }))
    }
}

/// What a `COPY` or `ADD` takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Source {
    /// A path below the context, or below the stage that `--from` names.
    Path {
        /// As written, without quotation marks.
        path: String,
        /// The whole tree: `.`, `./`, `/`, `*`, `src/..`.
        whole: bool,
        /// A part of it is a variable: what it takes is not known from the text.
        open: bool,
    },
    /// A URL or a git repository.
    Remote {
        /// As written; `[redacted]` if it holds a secret.
        url: String,
    },
    /// Text that stands in the Dockerfile.
    HereDocument,
}

impl Source {
    pub(super) fn path(verb: Verb, value: Value) -> Self {
        if verb == Verb::Add && is_remote(&value.text) {
            return Self::Remote { url: safe(value.text) };
        }
        let whole = is_whole_tree(&value.text);
        Self::Path { open: value.open, path: safe(value.text), whole }
    }

    pub(super) fn unknown() -> Self {
        Self::Path { path: String::new(), whole: true, open: true }
    }
}

fn is_remote(source: &str) -> bool {
    let scheme = ["http://", "https://", "git://", "ssh://", "git+ssh://", "git+https://", "git@"];
    scheme.iter().any(|scheme| source.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme)))
}

/// Nothing of the path is left to choose by: the engine roots `..` at the context, and a lone wildcard takes all.
fn is_whole_tree(path: &str) -> bool {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.iter().all(|part| is_wild(part))
}

/// `*`, `?*`, `[^x]*`: takes nearly every name.
fn is_wild(part: &str) -> bool {
    let mut rest = part;
    while let Some(open) = rest.find("[^") {
        let (before, class) = rest.split_at(open);
        let after = class.find(']').and_then(|end| class.get(end + 1..));
        let (Some(after), true) = (after, before.chars().all(|c| matches!(c, '*' | '?'))) else {
            return false;
        };
        rest = after;
    }
    part.contains('*') && rest.chars().all(|c| matches!(c, '*' | '?'))
}

/// A flag of an instruction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flag {
    /// Without its dashes.
    pub name: String,
    /// After `=`.
    pub value: Option<String>,
}

/// A `RUN --mount`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// `bind`, `cache`, `secret`, `ssh`, `tmpfs`.
    pub kind: String,
    /// The path that is mounted.
    pub source: Option<String>,
    /// The stage or image that it is taken from instead of the context.
    pub from: Option<String>,
    /// A bind of the whole context.
    pub whole_context: bool,
    /// From 1.
    pub line: usize,
}

impl Mount {
    pub(super) fn read(options: &str, line: usize) -> Self {
        let option = |names: &[&str]| {
            let pairs = options.split(',').filter_map(|pair| pair.split_once('='));
            pairs.filter(|(name, _)| names.contains(name)).map(|(_, value)| value.to_owned()).next_back()
        };
        let kind = option(&["type"]).unwrap_or_else(|| "bind".to_owned());
        let source = option(&["source", "src"]);
        let from = option(&["from"]).filter(|name| !name.is_empty());
        let whole_context = kind == "bind" && from.is_none() && source.as_deref().is_none_or(is_whole_tree);
        Self { kind, source, from, whole_context, line }
    }
}

/// A here-document.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct HereDocument {
    /// The line where its text begins, from 1.
    pub line: usize,
    /// How long its text is.
    pub bytes: usize,
    /// Whether variables in it are replaced.
    pub expand: bool,
    /// Where it is copied to; none where it is fed to a command.
    pub destination: Option<String>,
}

/// Why a variable is a secret literal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// The rule book takes the value for a secret.
    Value,
    /// The name says that it holds a secret, and it is given a value in the text: a default credential.
    NamedDefault,
    /// An `ARG` whose name says that it holds a secret, without default: whoever builds with it leaves it in the history.
    NamedArgument,
}

/// An `ARG` or `ENV` that is a secret literal; its value is nowhere in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretLiteral {
    /// Which instruction.
    pub kind: VariableKind,
    /// The variable.
    pub name: String,
    /// From 1.
    pub line: usize,
    /// The rule, as in the rule book.
    pub rule: String,
    /// Why.
    pub why: Why,
}

/// The rule by which a variable is a secret literal. References and places that are left open are none.
pub(super) fn secret(kind: VariableKind, name: &str, value: Option<&Value>) -> Option<(String, Why)> {
    let Some(value) = value else {
        let declared = (kind == VariableKind::Arg).then(|| secrets::rule_of_name(name)).flatten();
        return declared.map(|rule| (rule, Why::NamedArgument));
    };
    let literals: Vec<&str> =
        value.literals.iter().map(String::as_str).filter(|text| !text.trim().is_empty()).collect();
    for literal in &literals {
        let hits = secrets::scan_json(&serde_json::json!({ name: literal }));
        if let Some(hit) = hits.into_iter().next() {
            return Some((hit.rule, Why::Value));
        }
    }
    // What is put together from references is not known from the text.
    let fixed = literals.iter().filter(|literal| !literal.contains("${"));
    let named = fixed.into_iter().find_map(|literal| secrets::rule_of_named_value(name, literal));
    named.map(|rule| (rule, Why::NamedDefault))
}
