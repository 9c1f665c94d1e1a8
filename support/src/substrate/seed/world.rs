//! A world, read from its folder.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::SeedError;
use super::fleet;
use super::forms::{CostForm, ExecutionForm, Form, GivenForm, ObjectForm, PolicyForm, RoleForm, TerraformStateForm};
use crate::substrate::cost::is_decimal;
use crate::substrate::embedded::costs::{CostRow, METRICS};
use crate::substrate::embedded::fleet::Declared;
use crate::substrate::policy_document::plain_document;

/// A world: literals, with the bytes of all files that they name.
#[derive(Debug, Clone)]
pub struct World {
    pub(super) form: Form,
    pub(super) objects: Vec<Content>,
    pub(super) images: Vec<String>,
    pub(super) definitions: Vec<String>,
    /// The managed policies.
    pub(super) policies: Vec<Policy>,
    /// The policies that are part of each role, in the order of the roles.
    pub(super) role_policies: Vec<Vec<Policy>>,
    pub(super) given: BTreeMap<String, String>,
    pub(super) costs: Vec<CostRow>,
    pub(super) fleet: Declared,
    pub(super) begins: u64,
}

/// The bytes of an object.
#[derive(Debug, Clone)]
pub(super) struct Content {
    pub bucket: String,
    pub key: String,
    pub bytes: Vec<u8>,
    pub content_type: &'static str,
    pub versions: u32,
    /// What stands there already is left as it is, whatever it is.
    pub unless_there: bool,
}

/// A policy and its document.
#[derive(Debug, Clone)]
pub(super) struct Policy {
    pub name: String,
    pub document: serde_json::Value,
}

/// A machine of one state that passes.
const PASSING_MACHINE: &str = r#"{"StartAt":"Pass","States":{"Pass":{"Type":"Pass","End":true}}}"#;

impl World {
    /// Reads the world in `folder`, and all files that it names.
    ///
    /// # Errors
    /// When a file is missing or `world.toml` does not have the documented form.
    pub fn read(folder: &Path) -> Result<Self, SeedError> {
        let path = folder.join("world.toml");
        let text = std::fs::read_to_string(&path).map_err(|source| SeedError::Read { path: path.clone(), source })?;
        Reader { folder: folder.to_owned(), path }.world(&text)
    }

    /// The 12-digit account id.
    #[must_use]
    pub fn account(&self) -> &str {
        &self.form.account
    }

    /// The region.
    #[must_use]
    pub fn region(&self) -> &str {
        &self.form.region
    }

    /// What the environment would say in a rehearsal, by name; a path is absolute.
    #[must_use]
    pub fn given(&self) -> &BTreeMap<String, String> {
        &self.given
    }

    /// When the world begins, as it is written.
    #[must_use]
    pub fn instant(&self) -> &str {
        &self.form.instant
    }
}

struct Reader {
    folder: PathBuf,
    path: PathBuf,
}

impl Reader {
    fn world(&self, text: &str) -> Result<World, SeedError> {
        let form: Form = toml::from_str(text).map_err(|error| self.wrong(error.to_string()))?;
        if form.account.len() != 12 || !form.account.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(self.wrong(format!("account `{}` has no 12 digits", form.account)));
        }
        let begins = self.instant(&form.instant)?;
        self.check_names(&form)?;
        self.check_executions(&form)?;
        let costs = self.costs(&form.costs, TimeZone::UTC.to_datetime(begins).date())?;
        let begins = u64::try_from(begins.as_second())
            .map_err(|_| self.wrong(format!("instant `{}` is before 1970", form.instant)))?;
        let mut objects = Vec::new();
        for object in &form.objects {
            objects.push(self.object(object)?);
        }
        for state in &form.terraform_states {
            objects.push(self.terraform_state(state)?);
        }
        let images = form.images.iter().map(|image| self.text(&image.manifest_file)).collect::<Result<_, _>>()?;
        let definitions = form
            .state_machines
            .iter()
            .map(|machine| match &machine.definition_file {
                Some(file) => self.text(file),
                None => Ok(PASSING_MACHINE.to_owned()),
            })
            .collect::<Result<_, _>>()?;
        let policies = self.policies(&form.policies)?;
        let role_policies = form.roles.iter().map(|role| self.policies(&role.policies)).collect::<Result<_, _>>()?;
        let given = self.given(&form.given)?;
        let fleet = fleet::declared(&form).map_err(|why| self.wrong(why))?;
        Ok(World { form, objects, images, definitions, policies, role_policies, given, costs, fleet, begins })
    }

    fn instant(&self, instant: &str) -> Result<jiff::Timestamp, SeedError> {
        instant.parse().map_err(|error| self.wrong(format!("instant `{instant}`: {error}")))
    }

    /// Every name that something refers to must be in the world too.
    fn check_names(&self, form: &Form) -> Result<(), SeedError> {
        let buckets: BTreeSet<&str> = form.buckets.iter().map(|bucket| &*bucket.name).collect();
        let used = (form.objects.iter().map(|object| &object.bucket))
            .chain(form.delete_markers.iter().map(|marker| &marker.bucket))
            .chain(form.terraform_states.iter().map(|state| &state.bucket));
        for bucket in used {
            if !buckets.contains(bucket.as_str()) {
                return Err(self.wrong(format!("there is no [[bucket]] named `{bucket}`")));
            }
        }
        for image in &form.images {
            let repository = &image.repository;
            if !form.repositories.iter().any(|known| known.name == *repository) {
                return Err(self.wrong(format!("there is no [[ecr_repository]] named `{repository}`")));
            }
        }
        for role in &form.roles {
            check_role(form, role).map_err(|why| self.wrong(format!("[[role]] `{}`: {why}", role.name)))?;
        }
        Ok(())
    }

    /// Policies, each with its document; a name may stand there once.
    fn policies(&self, forms: &[PolicyForm]) -> Result<Vec<Policy>, SeedError> {
        let mut policies: Vec<Policy> = Vec::new();
        for PolicyForm { name, document_file, document } in forms {
            let wrong = |why: &str| self.wrong(format!("policy `{name}` {why}"));
            if policies.iter().any(|known| known.name == *name) {
                return Err(wrong("is there twice"));
            }
            let text = match (document_file, document) {
                (Some(file), None) => self.text(file)?,
                (None, Some(serde_json::Value::String(text))) => text.clone(),
                (None, Some(value)) => value.to_string(),
                _ => return Err(wrong("needs document or document_file, and not both")),
            };
            let document = plain_document(&text).map_err(|error| wrong(&format!("cannot be read: {error}")))?;
            policies.push(Policy { name: name.clone(), document });
        }
        Ok(policies)
    }

    fn given(&self, forms: &[GivenForm]) -> Result<BTreeMap<String, String>, SeedError> {
        let mut given = BTreeMap::new();
        for GivenForm { name, value, path } in forms {
            let wrong = |why: &str| self.wrong(format!("[[given]] `{name}` {why}"));
            if !is_variable(name) {
                return Err(wrong("is no name of a variable: letters, digits and _, no digit first"));
            }
            let said = match (value, path) {
                (Some(value), None) => value.clone(),
                (None, Some(path)) => self.absolute(path)?.ok_or_else(|| wrong("has a path that is no UTF-8 text"))?,
                _ => return Err(wrong("needs value or path, and not both")),
            };
            if given.insert(name.clone(), said).is_some() {
                return Err(wrong("is there twice"));
            }
        }
        Ok(given)
    }

    /// The absolute path of something that is there, outside of the world's folder too; none where it is no UTF-8.
    fn absolute(&self, path: &Path) -> Result<Option<String>, SeedError> {
        if !path.is_relative() {
            return Err(self.wrong(format!("{} is not relative to the world's folder", path.display())));
        }
        let joined = self.folder.join(path);
        let found = std::fs::canonicalize(&joined).map_err(|source| SeedError::Read { path: joined, source })?;
        Ok(found.to_str().map(str::to_owned))
    }

    fn check_executions(&self, form: &Form) -> Result<(), SeedError> {
        let mut names = BTreeSet::new();
        for execution in &form.executions {
            let ExecutionForm { state_machine, name, input, .. } = execution;
            if !form.state_machines.iter().any(|known| known.name == *state_machine) {
                return Err(self.wrong(format!("there is no [[state_machine]] named `{state_machine}`")));
            }
            if !names.insert((state_machine, name)) {
                return Err(self.wrong(format!("[[execution]] `{name}` of `{state_machine}` is there twice")));
            }
            serde_json::from_str::<serde::de::IgnoredAny>(input)
                .map_err(|error| self.wrong(format!("the input of [[execution]] `{name}` is no JSON: {error}")))?;
        }
        Ok(())
    }

    fn costs(&self, forms: &[CostForm], today: Date) -> Result<Vec<CostRow>, SeedError> {
        let mut rows: Vec<CostRow> = Vec::new();
        for CostForm { day, metric, amount, unit } in forms.iter().cloned() {
            let wrong = |why: String| self.wrong(format!("[[cost]] of {day}: {why}"));
            if !METRICS.contains(&metric.as_str()) {
                return Err(wrong(format!("`{metric}` is no metric; use one of {}", METRICS.join(", "))));
            }
            if !is_decimal(&amount) {
                return Err(wrong(format!("`{amount}` is no decimal number")));
            }
            if day > today {
                return Err(wrong(format!("the world begins on {today}, and nothing is billed ahead")));
            }
            if let Some(other) = rows.iter().find(|row| row.metric == metric && (row.day == day || row.unit != unit)) {
                return Err(wrong(format!("{} has the same metric, with the same day or another unit", other.day)));
            }
            rows.push(CostRow { day, metric, amount, unit });
        }
        Ok(rows)
    }

    fn object(&self, form: &ObjectForm) -> Result<Content, SeedError> {
        let (bytes, content_type) = match (&form.file, &form.json, &form.text) {
            (Some(file), None, None) => (self.bytes(file)?, "application/octet-stream"),
            (None, Some(value), None) => (self.json(&form.key, value)?, "application/json"),
            (None, None, Some(text)) => (text.clone().into_bytes(), "text/plain"),
            _ => {
                return Err(self.wrong(format!("[[object]] `{}` needs exactly one of file, json, text", form.key)));
            }
        };
        if form.versions == 0 {
            return Err(self.wrong(format!("[[object]] `{}`: versions is 1 or more", form.key)));
        }
        Ok(Content {
            bucket: form.bucket.clone(),
            key: form.key.clone(),
            bytes,
            content_type,
            versions: form.versions,
            unless_there: form.unless_there,
        })
    }

    fn json(&self, key: &str, value: &serde_json::Value) -> Result<Vec<u8>, SeedError> {
        if let serde_json::Value::String(text) = value {
            serde_json::from_str::<serde_json::Value>(text)
                .map_err(|error| self.wrong(format!("the json of `{key}`: {error}")))?;
            return Ok(text.clone().into_bytes());
        }
        Ok(value.to_string().into_bytes())
    }

    /// A state file as Terraform writes it, as far as its outputs go.
    fn terraform_state(&self, form: &TerraformStateForm) -> Result<Content, SeedError> {
        let key = &form.key;
        if let Some(name) = form.sensitive.iter().find(|name| !form.outputs.contains_key(*name)) {
            return Err(self.wrong(format!("[[terraform_state]] `{key}` has no output `{name}` to be sensitive")));
        }
        let mut outputs = serde_json::Map::new();
        for (name, value) in &form.outputs {
            let kind = terraform_type(value)
                .ok_or_else(|| self.wrong(format!("output `{name}` has no type: no part of it may be null")))?;
            let mut output = serde_json::json!({"value": value, "type": kind});
            if form.sensitive.contains(name) {
                // Terraform leaves the mark out of the others.
                output["sensitive"] = serde_json::Value::Bool(true);
            }
            outputs.insert(name.clone(), output);
        }
        let state = serde_json::json!({
            "version": 4,
            "terraform_version": "1.9.8",
            "serial": 1,
            "lineage": "00000000-0000-4000-8000-000000000000",
            "outputs": outputs,
            "resources": [],
            "check_results": null,
        });
        Ok(Content {
            bucket: form.bucket.clone(),
            key: key.clone(),
            bytes: state.to_string().into_bytes(),
            content_type: "application/json",
            versions: 1,
            unless_there: false,
        })
    }

    fn text(&self, file: &Path) -> Result<String, SeedError> {
        String::from_utf8(self.bytes(file)?).map_err(|_| self.wrong(format!("{} is no UTF-8 text", file.display())))
    }

    /// The bytes of a file of the world's own folder.
    fn bytes(&self, file: &Path) -> Result<Vec<u8>, SeedError> {
        let inside = file.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
        if !inside {
            return Err(self.wrong(format!("{} leads out of the world's folder", file.display())));
        }
        let path = self.folder.join(file);
        std::fs::read(&path).map_err(|source| SeedError::Read { path, source })
    }

    fn wrong(&self, message: impl Into<String>) -> SeedError {
        SeedError::Form { path: self.path.clone(), message: message.into() }
    }
}

/// The managed policies that a role names must be in the world.
fn check_role(form: &Form, role: &RoleForm) -> Result<(), String> {
    for policy in role.attached.iter().chain(&role.permissions_boundary) {
        if !form.policies.iter().any(|known| known.name == *policy) {
            return Err(format!("there is no [[policy]] named `{policy}`"));
        }
    }
    Ok(())
}

fn is_variable(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    name.bytes().all(plain) && name.bytes().next().is_some_and(|first| !first.is_ascii_digit())
}

fn terraform_type(value: &serde_json::Value) -> Option<serde_json::Value> {
    use serde_json::{Value, json};
    Some(match value {
        Value::String(_) => json!("string"),
        Value::Number(_) => json!("number"),
        Value::Bool(_) => json!("bool"),
        Value::Array(items) => {
            let kinds: Vec<Value> = items.iter().map(terraform_type).collect::<Option<_>>()?;
            json!(["tuple", kinds])
        }
        Value::Object(members) => {
            let kinds: serde_json::Map<String, Value> = members
                .iter()
                .map(|(name, member)| Some((name.clone(), terraform_type(member)?)))
                .collect::<Option<_>>()?;
            json!(["object", kinds])
        }
        Value::Null => return None,
    })
}
