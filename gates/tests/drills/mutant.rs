//! The mutants: one for each value and each way of changing it.

use std::path::{Path, PathBuf};

use regex::Regex;
use serde_json::Value;
use support::plan::{AuthorityKind, Source};
use support::run::lane::Phase;
use toml::{Table, Value as Toml};

use super::kit::overlay;
use super::kit::rig::{self, Stage};

/// Fields that say where a row belongs, or that all rows of a table share: changed alone they make no world.
const REFERENCES: [&str; 8] =
    ["bucket", "repository", "state_machine", "metric", "unit", "cluster", "task_definition", "vpc"];

/// Lists that must have an entry: the only one is not dropped, or there is no world.
const NEEDED: [&str; 1] = ["container"];

/// One value, changed one way.
#[derive(Debug, Clone)]
pub struct Mutant {
    /// `registry/DB_NAME/changed`, `handoff/aws_region/removed`, `world/bucket[name]/versioning/changed`.
    pub id: String,
    place: Place,
    way: Way,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Changed,
    Removed,
    /// Of something that holds others: an entry of a list, a list, a row.
    Dropped,
}

#[derive(Debug, Clone)]
enum Place {
    /// The nth definition of a name in the registry.
    Registry { file: PathBuf, name: String, nth: usize },
    /// A place in a JSON file, relative to the stage's folder of that kind.
    Json { file: PathBuf, world: bool, pointer: String },
    /// A top-level value of the world.
    Top { name: String },
    /// A row of a world's table, and a field of it.
    Row { table: String, row: usize, field: Option<String> },
    /// A row within a row, a field of it, and a place in the JSON document that the field holds.
    Nested { of: Inner, field: Option<String>, pointer: Option<String> },
    /// A place in a table of the world, or in a list or table that a row of it holds.
    Part { table: String, pointer: String },
    /// The bytes of a file of the world.
    Bytes { file: PathBuf },
}

/// A row within a row: a role's policy.
#[derive(Debug, Clone)]
struct Inner {
    table: String,
    row: usize,
    list: String,
    item: usize,
    /// It is the only one, where there must be one.
    alone: bool,
}

impl Inner {
    fn mutants(&self, list: &str, inner: &Toml, mutants: &mut Vec<Mutant>) {
        let name = inner.get("name").and_then(Toml::as_str).unwrap_or("-");
        let id = format!("{list}[{name}]");
        let place = |field: Option<&str>, pointer: Option<String>| Place::Nested {
            of: self.clone(),
            field: field.map(str::to_owned),
            pointer,
        };
        if !self.alone {
            push(mutants, &id, &place(None, None), &[Way::Dropped]);
        }
        for (field, value) in inner.as_table().into_iter().flatten() {
            if value.is_array() || value.is_table() {
                let within = format!("/{}/{}/{}/{field}", self.row, self.list, self.item);
                parts(&format!("{id}/{field}"), &self.table, &within, value, mutants);
                continue;
            }
            let document = value.as_str().and_then(|text| serde_json::from_str::<Value>(text).ok());
            match document.filter(|document| document.is_object()) {
                Some(document) => {
                    for (pointer, mut ways) in places(&document) {
                        ways.retain(|way| {
                            let mut changed = document.clone();
                            way.change(&mut changed, &pointer).is_ok() && iam_takes(&changed)
                        });
                        push(mutants, &format!("{id}{pointer}"), &place(Some(field), Some(pointer.clone())), &ways);
                    }
                }
                None => push(mutants, &format!("{id}/{field}"), &place(Some(field), None), &[Way::Changed]),
            }
        }
    }

    /// The list that it stands in.
    fn list<'w>(&self, world: &'w mut Table) -> Result<&'w mut Vec<Toml>, String> {
        let row = row_of(world, &self.table, self.row)?;
        row.get_mut(&self.list)
            .and_then(Toml::as_array_mut)
            .ok_or_else(|| format!("{} has no {}", self.table, self.list))
    }
}

impl Way {
    fn word(self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::Removed => "removed",
            Self::Dropped => "dropped",
        }
    }

    /// Changes a place of a document so.
    fn change(self, document: &mut Value, pointer: &str) -> Result<(), String> {
        let gone = || format!("nothing is at {pointer}");
        if self == Self::Changed {
            let slot = document.pointer_mut(pointer).ok_or_else(gone)?;
            *slot = other(slot);
            return Ok(());
        }
        let (parent, last) = pointer.rsplit_once('/').ok_or_else(gone)?;
        match document.pointer_mut(parent) {
            Some(Value::Object(members)) => {
                let name = last.replace("~1", "/").replace("~0", "~");
                members.shift_remove(&name).map(drop).ok_or_else(gone)
            }
            Some(Value::Array(items)) => {
                let index: usize = last.parse().map_err(|_| gone())?;
                if index >= items.len() {
                    return Err(gone());
                }
                items.remove(index);
                Ok(())
            }
            // With others of its group, what it stood in may be gone already.
            _ => Ok(()),
        }
    }
}

/// Whether IAM would take it as a policy; what it refuses makes no world.
fn iam_takes(document: &Value) -> bool {
    let filled = |value: Option<&Value>| match value {
        Some(Value::Array(items)) => !items.is_empty(),
        Some(Value::String(text)) => !text.is_empty(),
        _ => false,
    };
    let Some(statements) = document.get("Statement").and_then(Value::as_array) else { return false };
    let whole = |statement: &Value| {
        let effect = statement.get("Effect").and_then(Value::as_str);
        matches!(effect, Some("Allow" | "Deny")) && filled(statement.get("Action")) && filled(statement.get("Resource"))
    };
    !statements.is_empty() && statements.iter().all(whole)
}

/// All mutants of these sources of a fresh stage: `registry`, `handoff`, `world`.
pub fn all(phase: &Phase, stage: &Stage, sources: &[&str]) -> Result<Vec<Mutant>, String> {
    let mut mutants = Vec::new();
    for source in sources {
        mutants.extend(match *source {
            "registry" => {
                let named = named(phase, AuthorityKind::Registry)?;
                registry(&stage.repository(), named.first().ok_or("the plan names no registry")?)?
            }
            "handoff" => handoffs(&stage.repository(), &named(phase, AuthorityKind::Handoff)?)?,
            "world" => world(&stage.world())?,
            other => return Err(format!("nothing is called {other}")),
        });
    }
    Ok(mutants)
}

/// Those of the plan's handoffs: `handoff/…` of the first, `handoff-2/…` of the second.
fn handoffs(repository: &Path, files: &[PathBuf]) -> Result<Vec<Mutant>, String> {
    let mut mutants = Vec::new();
    for (index, file) in files.iter().enumerate() {
        let id = if index == 0 { "handoff".to_owned() } else { format!("handoff-{}", index + 1) };
        for (pointer, ways) in places(&read_json(&repository.join(file))?) {
            let place = Place::Json { file: file.clone(), world: false, pointer: pointer.clone() };
            push(&mut mutants, &format!("{id}{pointer}"), &place, &ways);
        }
    }
    Ok(mutants)
}

/// The documents of this kind that the track's plan names, each once.
fn named(phase: &Phase, kind: AuthorityKind) -> Result<Vec<PathBuf>, String> {
    let path = rig::plan_of(phase);
    let text = std::fs::read_to_string(&path).map_err(|e| e.to_string())?;
    let plan =
        support::plan::parse(Source::new(format!("platform.{}.build_plan.md", phase.id), text), phase.track).plan;
    let mut named: Vec<PathBuf> = Vec::new();
    for input in plan.authority.into_iter().filter(|input| input.kind == kind) {
        if !named.contains(&input.path.to_path_buf()) {
            named.push(input.path.to_path_buf());
        }
    }
    if named.is_empty() { Err(format!("{}: names no {kind:?}", path.display())) } else { Ok(named) }
}

/// The mutants of a value that holds others, at a place in a table of the world.
fn parts(id: &str, table: &str, within: &str, value: &Toml, mutants: &mut Vec<Mutant>) {
    let value = serde_json::to_value(value).unwrap();
    for (pointer, ways) in places(&value) {
        let place = Place::Part { table: table.to_owned(), pointer: format!("{within}{pointer}") };
        push(mutants, &format!("{id}{pointer}"), &place, &ways);
    }
}

fn push(mutants: &mut Vec<Mutant>, id: &str, place: &Place, ways: &[Way]) {
    for way in ways {
        mutants.push(Mutant { id: format!("{id}/{}", way.word()), place: place.clone(), way: *way });
    }
}

/// A line that defines or declares a handle, or lists a token.
fn definition() -> Regex {
    Regex::new(r"^\* `(?:(?P<name>[A-Z][A-Z0-9_]+)(?: = (?P<value>.*?))?|(?P<token>\{[a-z_]+\}))`").unwrap()
}

fn registry(repository: &Path, file: &Path) -> Result<Vec<Mutant>, String> {
    let text = std::fs::read_to_string(repository.join(file)).map_err(|e| e.to_string())?;
    let line = definition();
    let mut seen: Vec<String> = Vec::new();
    let mut mutants = Vec::new();
    for captures in text.lines().filter_map(|l| line.captures(l)) {
        let name = captures.name("name").or_else(|| captures.name("token")).unwrap().as_str().to_owned();
        let nth = seen.iter().filter(|n| **n == name).count();
        seen.push(name.clone());
        let id = if nth == 0 { format!("registry/{name}") } else { format!("registry/{name}#{}", nth + 1) };
        let place = Place::Registry { file: file.to_owned(), name, nth };
        push(&mut mutants, &id, &place, &[Way::Changed, Way::Removed]);
    }
    Ok(mutants)
}

fn world(folder: &Path) -> Result<Vec<Mutant>, String> {
    use Way::{Changed, Dropped};
    let world = overlay::read(folder)?;
    let mut mutants = Vec::new();
    for (table, value) in &world {
        let rows = match value {
            Toml::Array(rows) => rows,
            Toml::Table(_) => {
                let first = mutants.len();
                parts(&format!("world/{table}"), table, "", value, &mut mutants);
                // Its form is given: of what it holds only the entries of lists can be taken out.
                let mut index = 0;
                mutants.retain(|mutant: &Mutant| {
                    index += 1;
                    index <= first || mutant.way == Changed || mutant.is_entry()
                });
                continue;
            }
            _ => {
                push(&mut mutants, &format!("world/{table}"), &Place::Top { name: table.clone() }, &[Changed]);
                continue;
            }
        };
        for (row, fields) in rows.iter().enumerate() {
            let fields = fields.as_table().ok_or("a row that is no table")?;
            let name = ["key", "name", "tag", "day", "id", "family"]
                .iter()
                .find_map(|f| fields.get(*f)?.as_str())
                .unwrap_or("-");
            let id = format!("world/{table}[{name}]");
            push(&mut mutants, &id, &Place::Row { table: table.clone(), row, field: None }, &[Dropped]);
            for (field, value) in fields {
                if field == "file" {
                    let file = PathBuf::from(value.as_str().unwrap_or_default());
                    for (pointer, ways) in places(&read_json(&folder.join(&file))?) {
                        push(
                            &mut mutants,
                            &format!("{id}{pointer}"),
                            &Place::Json { file: file.clone(), world: true, pointer: pointer.clone() },
                            &ways,
                        );
                    }
                } else if field == "manifest_file" || field == "definition_file" {
                    let file = PathBuf::from(value.as_str().unwrap_or_default());
                    push(&mut mutants, &format!("{id}/manifest"), &Place::Bytes { file }, &[Changed]);
                } else if let Toml::Array(items) = value
                    && items.iter().all(Toml::is_table)
                {
                    for (item, inner) in items.iter().enumerate() {
                        let alone = items.len() == 1 && NEEDED.contains(&field.as_str());
                        let of = Inner { table: table.clone(), row, list: field.clone(), item, alone };
                        of.mutants(&format!("{id}/{field}"), inner, &mut mutants);
                    }
                } else if value.is_array() || value.is_table() {
                    parts(&format!("{id}/{field}"), table, &format!("/{row}/{field}"), value, &mut mutants);
                } else if !REFERENCES.contains(&field.as_str()) {
                    let place = Place::Row { table: table.clone(), row, field: Some(field.clone()) };
                    push(&mut mutants, &format!("{id}/{field}"), &place, &[Changed]);
                }
            }
        }
    }
    Ok(mutants)
}

/// The places of a JSON document: leaves are changed and taken out, entries of lists are dropped, empty lists get an entry.
fn places(value: &Value) -> Vec<(String, Vec<Way>)> {
    fn walk(value: &Value, at: &str, found: &mut Vec<(String, Vec<Way>)>) {
        match value {
            Value::Object(members) if !members.is_empty() => {
                for (name, member) in members {
                    walk(member, &format!("{at}/{}", name.replace('~', "~0").replace('/', "~1")), found);
                }
                if !at.is_empty() {
                    found.push((at.to_owned(), vec![Way::Dropped]));
                }
            }
            Value::Array(items) if !items.is_empty() => {
                for (index, item) in items.iter().enumerate() {
                    walk(item, &format!("{at}/{index}"), found);
                }
                found.push((at.to_owned(), vec![Way::Dropped]));
            }
            _ => found.push((at.to_owned(), vec![Way::Changed, Way::Removed])),
        }
    }
    let mut found = Vec::new();
    walk(value, "", &mut found);
    found
}

fn read_json(path: &Path) -> Result<Value, String> {
    let bytes = std::fs::read(path).map_err(|e| format!("{}: {e}", path.display()))?;
    serde_json::from_slice(&bytes).map_err(|e| format!("{}: {e}", path.display()))
}

/// Another value of the same kind.
fn other(value: &Value) -> Value {
    match value {
        Value::Null => Value::from("mutant"),
        Value::Bool(flag) => Value::from(!flag),
        Value::Number(number) => number.as_i64().map_or_else(|| Value::from(1), |n| Value::from(n + 1)),
        Value::String(text) => Value::from(other_text(text)),
        Value::Array(_) => Value::Array(vec![Value::from("mutant")]),
        Value::Object(_) => Value::from("mutant"),
    }
}

/// Another text of the same form, as far as others must be able to read it.
fn other_text(text: &str) -> String {
    match text {
        "enabled" => "suspended".to_owned(),
        "AES256" => "aws:kms".to_owned(),
        "SecureString" => "String".to_owned(),
        "eu-west-2" => "us-east-1".to_owned(),
        "" => "mutant".to_owned(),
        "Allow" => "Deny".to_owned(),
        "2012-10-17" => "2008-10-17".to_owned(),
        "RUNNING" => "ABORTED".to_owned(),
        "ABORTED" => "RUNNING".to_owned(),
        json if json.starts_with('{') => r#"{"platform_run_id":"mutant"}"#.to_owned(),
        day if day.len() == 10 && day.starts_with("2026-") => format!("2025{}", &day[4..]),
        decimal if decimal.contains('.') && decimal.parse::<f64>().is_ok() => format!("9{decimal}"),
        digits if digits.len() == 12 && digits.bytes().all(|b| b.is_ascii_digit()) => digits.chars().rev().collect(),
        other => match other.strip_suffix('Z').filter(|_| other.len() == 20 && other.contains('T')) {
            // An instant: another second.
            Some(head) if head.ends_with('9') => format!("{}8Z", head.trim_end_matches('9')),
            Some(head) => format!("{}9Z", &head[..head.len() - 1]),
            None => format!("{other}x"),
        },
    }
}

impl Mutant {
    /// Whether it is of an entry of a list.
    fn is_entry(&self) -> bool {
        let last = self.id.rsplit('/').nth(1).unwrap_or_default();
        last.parse::<usize>().is_ok()
    }

    /// Mutants of one group can be made together.
    pub fn group(&self) -> String {
        let source = self.id.split('/').next().unwrap_or_default();
        // All entries of a policy's list together would leave no policy.
        let entry = match &self.place {
            Place::Nested { pointer: Some(pointer), .. } => pointer.rsplit('/').find(|part| part.parse::<u8>().is_ok()),
            _ => None,
        };
        format!("{source} {} {}", self.way.word(), entry.unwrap_or_default())
    }

    /// Makes it.
    pub fn apply(&self, stage: &Stage) -> Result<(), String> {
        match &self.place {
            Place::Registry { file, name, nth } => self.line(&stage.repository().join(file), name, *nth),
            Place::Json { file, world, pointer } => {
                let root = if *world { stage.world() } else { stage.repository() };
                let path = root.join(file);
                let mut value = read_json(&path)?;
                self.way.change(&mut value, pointer)?;
                std::fs::write(&path, serde_json::to_vec_pretty(&value).unwrap()).map_err(|e| e.to_string())
            }
            Place::Bytes { file } => {
                let path = stage.world().join(file);
                let text = std::fs::read_to_string(&path).map_err(|e| e.to_string())?;
                std::fs::write(&path, text + " ").map_err(|e| e.to_string())
            }
            Place::Top { .. } | Place::Row { .. } | Place::Part { .. } | Place::Nested { .. } => {
                let mut world = overlay::read(&stage.world())?;
                self.rows(&mut world)?;
                overlay::write(&stage.world(), &world)
            }
        }
    }

    fn line(&self, path: &Path, name: &str, nth: usize) -> Result<(), String> {
        let text = std::fs::read_to_string(path).map_err(|e| e.to_string())?;
        let line = definition();
        let mut count = 0;
        let mut made = String::new();
        let mut found = false;
        for whole in text.split_inclusive('\n') {
            let captures = line.captures(whole);
            let is = captures
                .as_ref()
                .is_some_and(|c| c.name("name").or_else(|| c.name("token")).is_some_and(|n| n.as_str() == name));
            if !is || count != nth {
                made.push_str(whole);
                count += usize::from(is);
                continue;
            }
            count += 1;
            found = true;
            if self.way == Way::Removed {
                continue;
            }
            let captures = captures.unwrap();
            let end = captures.get(0).unwrap().end();
            let changed = match (captures.name("token"), captures.name("value")) {
                (Some(_), _) => "* `{mutant}`".to_owned(),
                (None, value) => format!("* `{name} = {}`", other_literal(value.map_or("", |v| v.as_str()))),
            };
            made.push_str(&changed);
            made.push_str(&whole[end..]);
        }
        if !found {
            return Err(format!("the registry has no definition {nth} of {name}"));
        }
        std::fs::write(path, made).map_err(|e| e.to_string())
    }

    fn rows(&self, world: &mut Table) -> Result<(), String> {
        match &self.place {
            Place::Top { name } => {
                let value = world.get_mut(name).ok_or("no such value")?;
                *value = Toml::from(other_text(value.as_str().unwrap_or_default()));
            }
            Place::Part { table, pointer } => {
                let whole = world.get_mut(table).ok_or("no such table")?;
                let mut value = serde_json::to_value(&*whole).map_err(|e| e.to_string())?;
                self.way.change(&mut value, pointer)?;
                *whole = Toml::try_from(value).map_err(|e| e.to_string())?;
            }
            Place::Nested { of, field: None, .. } => {
                let list = of.list(world)?;
                if of.item >= list.len() {
                    return Err(format!("{} has no entry {}", of.list, of.item));
                }
                list.remove(of.item);
            }
            Place::Nested { of, field: Some(field), pointer } => {
                let inner = of.list(world)?.get_mut(of.item).ok_or("no such entry")?;
                let value = inner.get_mut(field.as_str()).ok_or("no such field")?;
                let text = value.as_str().unwrap_or_default().to_owned();
                *value = match pointer {
                    None => Toml::from(other_text(&text)),
                    Some(pointer) => {
                        let mut document: Value = serde_json::from_str(&text).map_err(|e| e.to_string())?;
                        self.way.change(&mut document, pointer)?;
                        Toml::from(document.to_string())
                    }
                };
            }
            Place::Row { table, row, field: None } => {
                let row_of = row_of(world, table, *row)?;
                let name =
                    ["name", "family", "id"].iter().find_map(|field| row_of.get(*field)?.as_str()).map(str::to_owned);
                if let Some(Toml::Array(rows)) = world.get_mut(table) {
                    rows.remove(*row);
                }
                // What stands in it goes with it.
                self.referring(world, table, |rows, field| {
                    rows.retain(|r| r.get(field).and_then(Toml::as_str) != name.as_deref())
                });
                drop_orphans(world);
            }
            Place::Row { table, row, field: Some(field) } => {
                let value = row_of(world, table, *row)?.get_mut(field.as_str()).ok_or("no such field")?;
                let was = value.as_str().map(str::to_owned);
                *value = match &*value {
                    Toml::Boolean(flag) => Toml::from(!flag),
                    Toml::Integer(number) => Toml::from(number + 1),
                    text => Toml::from(other_text(text.as_str().unwrap_or_default())),
                };
                let is = value.clone();
                if ["name", "family", "id"].contains(&field.as_str()) {
                    self.referring(world, table, |rows, reference| {
                        for row in rows.iter_mut().filter_map(Toml::as_table_mut) {
                            if row.get(reference).and_then(Toml::as_str) == was.as_deref() {
                                row.insert(reference.to_owned(), is.clone());
                            }
                        }
                    });
                }
            }
            Place::Registry { .. } | Place::Json { .. } | Place::Bytes { .. } => {}
        }
        Ok(())
    }

    /// The tables whose rows stand in a row of `table`, with the field that says so.
    fn referring(&self, world: &mut Table, table: &str, change: impl Fn(&mut Vec<Toml>, &str)) {
        let referring: &[(&str, &str)] = match table {
            "bucket" => &[("object", "bucket"), ("delete_marker", "bucket"), ("terraform_state", "bucket")],
            "ecr_repository" => &[("ecr_image", "repository")],
            "role" => &[("state_machine", "role")],
            "state_machine" => &[("execution", "state_machine")],
            "cluster" => &[("service", "cluster")],
            "task_definition" => &[("service", "task_definition")],
            "vpc" => &[("subnet", "vpc"), ("security_group", "vpc")],
            _ => &[],
        };
        for (other, field) in referring {
            if let Some(Toml::Array(rows)) = world.get_mut(*other) {
                change(rows, field);
            }
        }
    }
}

/// Executions go with the machine that went with its role.
fn drop_orphans(world: &mut Table) {
    let machines: Vec<String> = world
        .get("state_machine")
        .and_then(Toml::as_array)
        .map(|rows| rows.iter().filter_map(|row| Some(row.get("name")?.as_str()?.to_owned())).collect())
        .unwrap_or_default();
    if let Some(Toml::Array(rows)) = world.get_mut("execution") {
        rows.retain(|row| {
            row.get("state_machine").and_then(Toml::as_str).is_some_and(|m| machines.iter().any(|n| n == m))
        });
    }
}

fn row_of<'w>(world: &'w mut Table, table: &str, row: usize) -> Result<&'w mut Table, String> {
    let rows = world.get_mut(table).and_then(Toml::as_array_mut).ok_or("no such table")?;
    rows.get_mut(row).and_then(Toml::as_table_mut).ok_or_else(|| format!("{table} has no row {row}"))
}

/// Another value, as a registry writes it.
fn other_literal(value: &str) -> String {
    match value {
        "" | "null" => "\"mutant\"".to_owned(),
        "true" => "false".to_owned(),
        "false" => "true".to_owned(),
        text if text.starts_with('"') => format!("\"{}\"", other_text(text.trim_matches('"'))),
        number => match number.parse::<i64>() {
            Ok(n) => (n + 1).to_string(),
            Err(_) if number.parse::<f64>().is_ok() => "1.5".to_owned(),
            // A reference to another handle.
            Err(_) => "\"mutant\"".to_owned(),
        },
    }
}
