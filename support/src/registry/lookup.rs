//! Looking up a handle in the registry.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::markdown::{Definition, RegistryError};
use super::pattern::AllowedTokens;
use super::value::HandleValue;

/// Where a handle's value was taken from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceClass {
    /// The registry pins it.
    RegistryLiteral,
    /// A handoff document of an earlier phase.
    HandoffArtifact,
    /// An output of a Terraform stack.
    TerraformOutput,
    /// The AWS control plane was asked.
    AwsLookup,
    /// The evidence of the packaging phase.
    PackagingEvidence,
    /// The environment of the run, where a lane lets it.
    Environment,
}

impl SourceClass {
    /// The words that plans use for it.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::RegistryLiteral => "registry literal",
            Self::HandoffArtifact => "handoff artifact",
            Self::TerraformOutput => "Terraform output",
            Self::AwsLookup => "AWS look-up",
            Self::PackagingEvidence => "packaging evidence",
            Self::Environment => "environment",
        }
    }
}

/// A handle's value, and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolved {
    /// The handle.
    pub name: String,
    /// Its value.
    pub value: serde_json::Value,
    /// The class of the source that gave the value.
    pub source_class: SourceClass,
    /// `file:line`, artifact and JSON path, or the call. Of a reference: both lines.
    pub origin: String,
    /// Further sources that gave the same value, each with its class.
    pub confirmed_by: Vec<(SourceClass, String)>,
}

impl Resolved {
    /// The value as a text.
    ///
    /// # Errors
    /// [`HandleError::WrongType`] when it is something else.
    pub fn text(&self) -> Result<&str, HandleError> {
        self.value.as_str().ok_or_else(|| self.wrong_type("a text"))
    }

    /// The value as `true` or `false`.
    ///
    /// # Errors
    /// [`HandleError::WrongType`] when it is something else.
    pub fn flag(&self) -> Result<bool, HandleError> {
        self.value.as_bool().ok_or_else(|| self.wrong_type("true or false"))
    }

    /// The value as a whole number that is not negative.
    ///
    /// # Errors
    /// [`HandleError::WrongType`] when it is something else.
    pub fn whole_number(&self) -> Result<u64, HandleError> {
        self.value.as_u64().ok_or_else(|| self.wrong_type("a whole number"))
    }

    /// The value as a list of texts.
    ///
    /// # Errors
    /// [`HandleError::WrongType`] when it is something else, or one entry is.
    pub fn texts(&self) -> Result<Vec<&str>, HandleError> {
        self.value
            .as_array()
            .and_then(|items| items.iter().map(serde_json::Value::as_str).collect())
            .ok_or_else(|| self.wrong_type("a list of texts"))
    }

    fn wrong_type(&self, wanted: &'static str) -> HandleError {
        HandleError::WrongType {
            name: self.name.clone(),
            wanted,
            found: self.value.to_string(),
            origin: self.origin.clone(),
        }
    }
}

/// Why a handle has no value that a gate may use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HandleError {
    /// No line of the registry defines or declares it.
    #[error("{registry}: no line defines the handle `{name}`{}", nearest_hint(nearest.as_deref()))]
    Missing {
        /// The handle.
        name: String,
        /// The registry.
        registry: String,
        /// The defined handle whose name is most alike.
        nearest: Option<String>,
    },
    /// Its value is a placeholder.
    #[error("{origin}: `{name}` is still the placeholder {value}; pin its value there")]
    Placeholder {
        /// The handle.
        name: String,
        /// The placeholder.
        value: String,
        /// Where the placeholder stands.
        origin: String,
        /// The registry line, where the placeholder stands in the registry.
        line: Option<usize>,
    },
    /// Two lines give it two values.
    #[error("{registry}: `{name}` has two values: {} at line {} and {} at line {}; keep one", values.0, lines.0, values.1, lines.1)]
    Ambiguous {
        /// The handle.
        name: String,
        /// The registry.
        registry: String,
        /// The two lines.
        lines: (usize, usize),
        /// The two values, as written.
        values: (String, String),
    },
    /// The registry declares it, and no source gives a value.
    #[error(
        "{registry}:{line}: `{name}` is declared without a value, and no handoff, Terraform output or AWS look-up gives one"
    )]
    Bare {
        /// The handle.
        name: String,
        /// The registry.
        registry: String,
        /// The declaring line.
        line: usize,
    },
    /// It refers to a handle that does not exist.
    #[error("{registry}:{line}: `{name}` refers to `{target}`, which no line defines")]
    DanglingReference {
        /// The handle.
        name: String,
        /// The registry.
        registry: String,
        /// The referring line.
        line: usize,
        /// The handle that it refers to.
        target: String,
    },
    /// It refers to itself, by way of others.
    #[error("{registry}: the handles {} refer to each other in a circle", names.join(" = "))]
    ReferenceCycle {
        /// The registry.
        registry: String,
        /// The handles, from the one asked for, the repeated one last.
        names: Vec<String>,
    },
    /// A line that seems to define it cannot be read.
    #[error("{registry}:{line}: a line that seems to define `{name}` cannot be read; mend it")]
    Unreadable {
        /// The handle.
        name: String,
        /// The registry.
        registry: String,
        /// The line.
        line: usize,
    },
    /// Its value says nothing: an empty text, list or map.
    #[error("{origin}: the value of `{name}` is empty")]
    Empty {
        /// The handle.
        name: String,
        /// Where it stands.
        origin: String,
    },
    /// Two sources give it two values.
    #[error("`{name}` is {} by {} and {} by {}; find out which is right", values.0, origins.0, values.1, origins.1)]
    Contradiction {
        /// The handle.
        name: String,
        /// The two values, as JSON.
        values: (String, String),
        /// The two sources: class and origin.
        origins: (String, String),
    },
    /// A source marks its value as a secret.
    #[error("{origin}: the value of `{name}` is marked as sensitive and may not be used as a handle")]
    Sensitive {
        /// The handle.
        name: String,
        /// The source.
        origin: String,
    },
    /// The value is of another type than the gate needs.
    #[error("{origin}: `{name}` must be {wanted}, and is {found}")]
    WrongType {
        /// The handle.
        name: String,
        /// What is needed.
        wanted: &'static str,
        /// The value, as JSON.
        found: String,
        /// Where it stands.
        origin: String,
    },
}

fn nearest_hint(nearest: Option<&str>) -> String {
    nearest.map_or_else(|| "; add a line for it".to_owned(), |name| format!("; is `{name}` meant?"))
}

/// A registry: its definitions, in document order, and the tokens that path patterns may use.
#[derive(Debug, Clone, PartialEq)]
pub struct Registry {
    /// The file, as named in messages and origins.
    pub path: PathBuf,
    /// Every definition and declaration, in document order.
    pub definitions: Vec<Definition>,
    /// The tokens that the registry allows in path patterns.
    pub tokens: AllowedTokens,
    by_name: BTreeMap<String, Vec<usize>>,
    unreadable: BTreeMap<String, usize>,
}

/// What the registry says of one handle, references not followed.
pub(super) enum Stated<'registry> {
    Value(&'registry Definition),
    Reference(&'registry Definition, &'registry str),
    Declared(&'registry Definition),
}

impl Registry {
    pub(super) fn new(
        path: PathBuf,
        definitions: Vec<Definition>,
        tokens: AllowedTokens,
        errors: &[RegistryError],
    ) -> Self {
        let mut by_name: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (index, definition) in definitions.iter().enumerate() {
            by_name.entry(definition.name.clone()).or_default().push(index);
        }
        let unreadable = errors.iter().filter_map(|error| Some((error.handle.clone()?, error.line))).collect();
        Self { path, definitions, tokens, by_name, unreadable }
    }

    /// The registry's path, as origins and messages name it.
    #[must_use]
    pub fn name(&self) -> String {
        self.path.display().to_string()
    }

    /// Every line that defines or declares `name`, in document order.
    pub fn definitions_of(&self, name: &str) -> impl Iterator<Item = &Definition> {
        self.by_name.get(name).into_iter().flatten().filter_map(|index| self.definitions.get(*index))
    }

    /// The lines that give `name` a value (a placeholder counts), or, where none does, those that declare it.
    #[must_use]
    pub fn lines_of(&self, name: &str) -> Vec<usize> {
        let lines = |bare: bool| -> Vec<usize> {
            self.definitions_of(name)
                .filter(|definition| (definition.value == HandleValue::Bare) == bare)
                .map(|definition| definition.line)
                .collect()
        };
        let valued = lines(false);
        if valued.is_empty() { lines(true) } else { valued }
    }

    /// Looks `name` up in the registry alone, following references.
    ///
    /// # Errors
    /// [`HandleError`] unless exactly one value is pinned.
    pub fn lookup(&self, name: &str) -> Result<Resolved, HandleError> {
        let mut names = vec![name.to_owned()];
        let mut lines = Vec::new();
        let mut current = self.stated(name)?;
        loop {
            match current {
                Stated::Value(definition) => {
                    lines.push(self.origin(definition));
                    return self.literal(name, definition, lines.join(" = "));
                }
                Stated::Declared(definition) => {
                    return Err(HandleError::Bare {
                        name: definition.name.clone(),
                        registry: self.name(),
                        line: definition.line,
                    });
                }
                Stated::Reference(definition, target) => {
                    lines.push(self.origin(definition));
                    current = self.follow(definition, target, &mut names)?;
                }
            }
        }
    }

    /// What `target` states, as the next step from `definition`; `names` holds the way so far.
    pub(super) fn follow(
        &self,
        definition: &Definition,
        target: &str,
        names: &mut Vec<String>,
    ) -> Result<Stated<'_>, HandleError> {
        let seen = names.iter().any(|name| name == target);
        names.push(target.to_owned());
        if seen {
            return Err(HandleError::ReferenceCycle { registry: self.name(), names: names.clone() });
        }
        self.stated(target).map_err(|error| match error {
            HandleError::Missing { .. } => HandleError::DanglingReference {
                name: definition.name.clone(),
                registry: self.name(),
                line: definition.line,
                target: target.to_owned(),
            },
            other => other,
        })
    }

    /// What the registry says of `name` itself: one value, one reference, or a declaration.
    pub(super) fn stated(&self, name: &str) -> Result<Stated<'_>, HandleError> {
        if let Some(line) = self.unreadable.get(name) {
            return Err(HandleError::Unreadable { name: name.to_owned(), registry: self.name(), line: *line });
        }
        let Some(declared) = self.definitions_of(name).next() else {
            return Err(HandleError::Missing {
                name: name.to_owned(),
                registry: self.name(),
                nearest: self.nearest(name),
            });
        };
        let mut valued = self.definitions_of(name).filter(|definition| definition.value != HandleValue::Bare);
        let Some(first) = valued.next() else {
            return Ok(Stated::Declared(declared));
        };
        if let Some(other) = valued.find(|other| !other.value.says_the_same_as(&first.value)) {
            return Err(HandleError::Ambiguous {
                name: name.to_owned(),
                registry: self.name(),
                lines: (first.line, other.line),
                values: (first.value.to_string(), other.value.to_string()),
            });
        }
        if let Some(placeholder) = first.value.placeholder() {
            return Err(HandleError::Placeholder {
                name: name.to_owned(),
                value: placeholder.to_owned(),
                origin: self.origin(first),
                line: Some(first.line),
            });
        }
        Ok(match &first.value {
            HandleValue::Reference(target) => Stated::Reference(first, target),
            _ => Stated::Value(first),
        })
    }

    pub(super) fn origin(&self, definition: &Definition) -> String {
        format!("{}:{}", self.name(), definition.line)
    }

    /// The literal of `definition` as the value of `name`.
    pub(super) fn literal(&self, name: &str, definition: &Definition, origin: String) -> Result<Resolved, HandleError> {
        let Some(value) = definition.value.to_json() else {
            return Err(HandleError::Bare {
                name: definition.name.clone(),
                registry: self.name(),
                line: definition.line,
            });
        };
        if is_blank(&value) {
            return Err(HandleError::Empty { name: name.to_owned(), origin });
        }
        Ok(Resolved {
            name: name.to_owned(),
            value,
            source_class: SourceClass::RegistryLiteral,
            origin,
            confirmed_by: Vec::new(),
        })
    }

    fn nearest(&self, name: &str) -> Option<String> {
        /// Below this likeness (0 to 1) a hint misleads more than it helps.
        const ALIKE: f64 = 0.9;
        self.by_name
            .keys()
            .map(|known| (strsim::jaro_winkler(name, known), known))
            .filter(|(likeness, _)| *likeness >= ALIKE)
            .max_by(|left, right| left.0.total_cmp(&right.0))
            .map(|(_, known)| known.clone())
    }
}

/// Whether `value` says nothing: a blank text, or a list or map that is empty or holds such a one.
pub(super) fn is_blank(value: &serde_json::Value) -> bool {
    use serde_json::Value;
    match value {
        Value::String(text) => text.trim().is_empty(),
        Value::Array(items) => items.is_empty() || items.iter().any(is_blank),
        Value::Object(entries) => entries.is_empty() || entries.values().any(is_blank),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}
