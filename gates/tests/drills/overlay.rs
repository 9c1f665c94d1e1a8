//! A change of a world's literals, before the world is made.

use std::path::Path;

use serde::Deserialize;
use toml::{Table, Value};

use super::edit::Edit;

/// Changes of `world.toml` and of the files beside it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Overlay {
    /// Top-level values.
    pub set: Table,
    /// Rows to take out; each must find at least one.
    pub remove: Vec<Row>,
    /// Rows whose fields are replaced; each must find exactly one.
    pub replace: Vec<Row>,
    /// Rows to add.
    pub add: Vec<Row>,
    /// Edits of files of the world's folder.
    pub edit: Vec<Edit>,
}

/// Rows of one table of a world.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// `object`, `bucket`, `ecr_image`.
    pub table: String,
    /// Which rows: those that have these fields.
    #[serde(default, rename = "where")]
    pub only: Table,
    /// The fields of the row.
    #[serde(default)]
    pub with: Table,
}

impl Row {
    fn is(&self, row: &Value) -> bool {
        self.only.iter().all(|(name, value)| row.get(name) == Some(value))
    }
}

impl Overlay {
    /// Changes the world in `folder`.
    pub fn apply(&self, folder: &Path) -> Result<(), String> {
        let mut world = read(folder)?;
        for (name, value) in &self.set {
            world.insert(name.clone(), value.clone());
        }
        for row in &self.remove {
            let rows = rows(&mut world, &row.table);
            let before = rows.len();
            rows.retain(|it| !row.is(it));
            if rows.len() == before {
                return Err(format!("the world has no {} that could be removed: {:?}", row.table, row.only));
            }
        }
        for row in &self.replace {
            let mut found: Vec<&mut Value> = rows(&mut world, &row.table).iter_mut().filter(|it| row.is(it)).collect();
            let [Value::Table(only)] = found.as_mut_slice() else {
                return Err(format!("{} rows of {} are {:?}, one is to be replaced", found.len(), row.table, row.only));
            };
            for (name, value) in &row.with {
                // A field that is replaced by nothing is taken out.
                match value.as_str() {
                    Some("<none>") => drop(only.remove(name)),
                    _ => drop(only.insert(name.clone(), value.clone())),
                }
            }
        }
        for row in &self.add {
            rows(&mut world, &row.table).push(Value::Table(row.with.clone()));
        }
        write(folder, &world)?;
        self.edit.iter().try_for_each(|edit| edit.apply(folder))
    }

    /// Leaves of `world` only what it stands on, and adds the rows: a world that can be put onto one that is there already.
    pub fn apply_alone(&self, folder: &Path) -> Result<(), String> {
        let mut world = read(folder)?;
        world.retain(|name, value| name == "bucket" || !value.is_array());
        write(folder, &world)?;
        self.apply(folder)
    }
}

/// `world.toml` of a folder.
pub fn read(folder: &Path) -> Result<Table, String> {
    let text = std::fs::read_to_string(folder.join("world.toml")).map_err(|e| e.to_string())?;
    text.parse::<Table>().map_err(|e| e.to_string())
}

/// Writes `world.toml`.
pub fn write(folder: &Path, world: &Table) -> Result<(), String> {
    std::fs::write(folder.join("world.toml"), world.to_string()).map_err(|e| e.to_string())
}

fn rows<'w>(world: &'w mut Table, table: &str) -> &'w mut Vec<Value> {
    let rows = world.entry(table.to_owned()).or_insert_with(|| Value::Array(Vec::new()));
    match rows {
        Value::Array(rows) => rows,
        other => panic!("`{table}` of a world is {other}, no list of tables"),
    }
}
