//! Resolving a handle from every source that states it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::lookup::{HandleError, Registry, Resolved, SourceClass, Stated, is_blank};
use super::markdown::Definition;
use super::value::placeholder_in;

/// A source that cannot be taken in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// A member has another form than expected.
    #[error("{artifact}: `{path}` must be {wanted}")]
    Shape {
        /// The document.
        artifact: String,
        /// The JSON path.
        path: String,
        /// What it must be.
        wanted: &'static str,
    },
    /// The JSON path leads nowhere.
    #[error("{artifact}: nothing stands at `{path}`, where the value of `{handle}` is expected")]
    NoSuchPath {
        /// The document.
        artifact: String,
        /// The JSON path.
        path: String,
        /// The handle whose value was looked for.
        handle: String,
    },
}

/// One statement of one source.
#[derive(Debug, Clone, PartialEq)]
struct Candidate {
    value: Value,
    class: SourceClass,
    origin: String,
    sensitive: bool,
}

impl Candidate {
    fn source(&self) -> String {
        format!("{} ({})", self.class.words(), self.origin)
    }
}

/// The registry together with the other sources of values.
///
/// A handle resolves only when the registry defines or declares it, no source states a placeholder, an empty value or a
/// secret for it, and all sources that state it agree. The first source, in the order of [`SourceClass`], gives the
/// origin; the others confirm it.
#[derive(Debug, Clone, PartialEq)]
pub struct Handles {
    registry: Registry,
    stated: BTreeMap<String, Vec<Candidate>>,
    outputs: BTreeMap<String, Vec<Candidate>>,
}

impl Handles {
    /// A resolver that knows the registry only.
    #[must_use]
    pub fn new(registry: Registry) -> Self {
        Self { registry, stated: BTreeMap::new(), outputs: BTreeMap::new() }
    }

    /// The registry.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Takes in a handoff's `resolved_handles`, a list of `{"handle": …, "value": …}`. Says how many there were; a
    /// document without that member has none.
    ///
    /// # Errors
    /// [`SourceError::Shape`] when the member or an entry has another form; then nothing is taken in.
    pub fn add_handoff(&mut self, artifact: &str, document: &Value) -> Result<usize, SourceError> {
        let Some(member) = document.get("resolved_handles") else {
            return Ok(0);
        };
        let entries = member.as_array().ok_or_else(|| shape(artifact, "resolved_handles", "a list"))?;
        let read: Vec<(String, Candidate)> = entries
            .iter()
            .enumerate()
            .map(|(index, entry)| handoff_entry(artifact, index, entry))
            .collect::<Result<_, _>>()?;
        let count = read.len();
        for (handle, candidate) in read {
            self.state(&handle, candidate);
        }
        Ok(count)
    }

    /// Takes the value at a JSON path of a handoff (`core_outputs.s3_bucket_names.evidence`) as that of `handle`.
    ///
    /// # Errors
    /// [`SourceError::NoSuchPath`] when nothing stands there.
    pub fn add_handoff_path(
        &mut self,
        handle: &str,
        artifact: &str,
        document: &Value,
        path: &str,
    ) -> Result<(), SourceError> {
        self.add_path(handle, SourceClass::HandoffArtifact, artifact, document, path)
    }

    /// Takes the value at a JSON path of a packaging document as that of `handle`.
    ///
    /// # Errors
    /// [`SourceError::NoSuchPath`] when nothing stands there.
    pub fn add_packaging_evidence(
        &mut self,
        handle: &str,
        artifact: &str,
        document: &Value,
        path: &str,
    ) -> Result<(), SourceError> {
        self.add_path(handle, SourceClass::PackagingEvidence, artifact, document, path)
    }

    /// Takes in the outputs of a Terraform state: `{"outputs": {"name": {"value": …, "sensitive": …}}}`, an output being
    /// named as its handle, in lower case. Says how many there were.
    ///
    /// # Errors
    /// [`SourceError::Shape`] when a member has another form; then nothing is taken in.
    pub fn add_terraform_outputs(&mut self, state: &str, document: &Value) -> Result<usize, SourceError> {
        let outputs =
            document.get("outputs").and_then(Value::as_object).ok_or_else(|| shape(state, "outputs", "a map"))?;
        let read: Vec<(String, Candidate)> =
            outputs.iter().map(|(name, output)| terraform_output(state, name, output)).collect::<Result<_, _>>()?;
        let count = read.len();
        for (name, candidate) in read {
            self.outputs.entry(name).or_default().push(candidate);
        }
        Ok(count)
    }

    /// Takes in what a call to AWS said the value is. `call` names the call and the member of its reply.
    pub fn add_aws_lookup(&mut self, handle: &str, call: &str, value: Value) {
        let candidate = Candidate { value, class: SourceClass::AwsLookup, origin: call.to_owned(), sensitive: false };
        self.state(handle, candidate);
    }

    /// Takes in what the environment says of a handle that the registry declares without a value.
    pub fn add_environment(&mut self, handle: &str, value: &str) {
        if matches!(self.registry.lookup(handle), Err(HandleError::Bare { .. })) {
            let (value, origin) = (Value::String(value.to_owned()), format!("{handle} in the environment"));
            self.state(handle, Candidate { value, class: SourceClass::Environment, origin, sensitive: false });
        }
    }

    /// The handle's value, its source class and its origin.
    ///
    /// # Errors
    /// [`HandleError`] unless the registry knows the handle and all sources that state it agree on one usable value.
    pub fn resolve(&self, name: &str) -> Result<Resolved, HandleError> {
        self.resolve_on_the_way(name, &mut vec![name.to_owned()], None)
    }

    /// Every handle of `names`: those that resolve, and why the others do not, both in the order of `names`.
    #[must_use]
    pub fn resolve_all<'name>(&self, names: impl IntoIterator<Item = &'name str>) -> (Vec<Resolved>, Vec<HandleError>) {
        let mut resolved = Vec::new();
        let mut unresolved = Vec::new();
        let mut seen = BTreeSet::new();
        for name in names {
            if !seen.insert(name) {
                continue;
            }
            match self.resolve(name) {
                Ok(value) => resolved.push(value),
                Err(error) => unresolved.push(error),
            }
        }
        (resolved, unresolved)
    }

    fn state(&mut self, handle: &str, candidate: Candidate) {
        self.stated.entry(handle.to_owned()).or_default().push(candidate);
    }

    fn add_path(
        &mut self,
        handle: &str,
        class: SourceClass,
        artifact: &str,
        document: &Value,
        path: &str,
    ) -> Result<(), SourceError> {
        let value = at_path(document, path).ok_or_else(|| SourceError::NoSuchPath {
            artifact: artifact.to_owned(),
            path: path.to_owned(),
            handle: handle.to_owned(),
        })?;
        let origin = format!("{artifact}#{path}");
        self.state(handle, Candidate { value: value.clone(), class, origin, sensitive: false });
        Ok(())
    }

    fn resolve_on_the_way(
        &self,
        name: &str,
        names: &mut Vec<String>,
        referring: Option<(&Definition, &str)>,
    ) -> Result<Resolved, HandleError> {
        let stated = match referring {
            Some((definition, target)) => self.registry.follow(definition, target, names)?,
            None => self.registry.stated(name)?,
        };
        let mut candidates = Vec::new();
        let declared_at = match stated {
            Stated::Value(definition) => {
                let origin = self.registry.origin(definition);
                candidates.push(candidate_of(self.registry.literal(name, definition, origin)?));
                definition.line
            }
            Stated::Reference(definition, target) => {
                let mut referred = self.resolve_on_the_way(target, names, Some((definition, target)))?;
                referred.origin = format!("{} = {}", self.registry.origin(definition), referred.origin);
                candidates.push(candidate_of(referred));
                definition.line
            }
            Stated::Declared(definition) => definition.line,
        };
        candidates.extend(self.stated.get(name).into_iter().flatten().cloned());
        candidates.extend(self.outputs.get(&name.to_ascii_lowercase()).into_iter().flatten().cloned());
        self.agree(name, declared_at, candidates)
    }

    fn agree(&self, name: &str, declared_at: usize, mut candidates: Vec<Candidate>) -> Result<Resolved, HandleError> {
        for candidate in &candidates {
            usable(name, candidate)?;
        }
        candidates.sort_by_key(|candidate| candidate.class);
        let mut candidates = candidates.into_iter();
        let Some(first) = candidates.next() else {
            return Err(HandleError::Bare { name: name.to_owned(), registry: self.registry.name(), line: declared_at });
        };
        let mut confirmed_by = Vec::new();
        for other in candidates {
            if other.value != first.value {
                return Err(HandleError::Contradiction {
                    name: name.to_owned(),
                    values: (first.value.to_string(), other.value.to_string()),
                    origins: (first.source(), other.source()),
                });
            }
            confirmed_by.push((other.class, other.origin));
        }
        Ok(Resolved {
            name: name.to_owned(),
            value: first.value,
            source_class: first.class,
            origin: first.origin,
            confirmed_by,
        })
    }
}

fn candidate_of(resolved: Resolved) -> Candidate {
    Candidate { value: resolved.value, class: resolved.source_class, origin: resolved.origin, sensitive: false }
}

fn usable(name: &str, candidate: &Candidate) -> Result<(), HandleError> {
    let (name, origin) = (name.to_owned(), candidate.origin.clone());
    if candidate.sensitive {
        return Err(HandleError::Sensitive { name, origin });
    }
    if let Some(placeholder) = placeholder_within(&candidate.value) {
        return Err(HandleError::Placeholder { name, value: placeholder.to_owned(), origin, line: None });
    }
    // Only the registry may pin that there is none; elsewhere `null` means that the value is not there yet.
    let absent = candidate.value.is_null() && candidate.class != SourceClass::RegistryLiteral;
    if absent || is_blank(&candidate.value) {
        return Err(HandleError::Empty { name, origin });
    }
    Ok(())
}

fn placeholder_within(value: &Value) -> Option<&str> {
    match value {
        Value::String(text) => placeholder_in(text),
        Value::Array(items) => items.iter().find_map(placeholder_within),
        Value::Object(entries) => entries.values().find_map(placeholder_within),
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

fn handoff_entry(artifact: &str, index: usize, entry: &Value) -> Result<(String, Candidate), SourceError> {
    let path = format!("resolved_handles[{index}]");
    let handle = entry
        .get("handle")
        .and_then(Value::as_str)
        .ok_or_else(|| shape(artifact, &format!("{path}.handle"), "a text"))?;
    let value = entry.get("value").ok_or_else(|| shape(artifact, &format!("{path}.value"), "there"))?;
    let candidate = Candidate {
        value: value.clone(),
        class: SourceClass::HandoffArtifact,
        origin: format!("{artifact}#{path}.value"),
        sensitive: false,
    };
    Ok((handle.to_owned(), candidate))
}

fn terraform_output(state: &str, name: &str, output: &Value) -> Result<(String, Candidate), SourceError> {
    let path = format!("outputs.{name}");
    let value = output.get("value").ok_or_else(|| shape(state, &format!("{path}.value"), "there"))?;
    let sensitive = match output.get("sensitive") {
        None => false,
        Some(flag) => flag.as_bool().ok_or_else(|| shape(state, &format!("{path}.sensitive"), "true or false"))?,
    };
    let candidate = Candidate {
        value: value.clone(),
        class: SourceClass::TerraformOutput,
        origin: format!("{state}#{path}.value"),
        sensitive,
    };
    Ok((name.to_owned(), candidate))
}

fn shape(artifact: &str, path: &str, wanted: &'static str) -> SourceError {
    SourceError::Shape { artifact: artifact.to_owned(), path: path.to_owned(), wanted }
}

/// Walks a dotted path through maps, and through lists by position.
fn at_path<'document>(document: &'document Value, path: &str) -> Option<&'document Value> {
    path.split('.').try_fold(document, |value, step| match value {
        Value::Object(entries) => entries.get(step),
        Value::Array(items) => items.get(step.parse::<usize>().ok()?),
        _ => None,
    })
}
