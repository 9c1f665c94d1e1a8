//! The bundle: what entrypoints are given, so that they can be started without anything real.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;
use support::image::Context;
use support::run::context::LaneRun;

use super::matrix::{Matrix, Row};
use crate::m1::dev_min::source;

const ARGUMENTS: &str = "arguments.toml";

/// The bundle's `arguments.toml`, and its files.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::m1::dev_min) struct Bundle {
    /// A value for each option.
    options: BTreeMap<String, String>,
    /// Values that take the place of those, where a start without secrets is to be shown.
    without_secret: Instead,
    /// The variable that carries each handle's value into a task.
    pub secrets: BTreeMap<String, String>,
    /// The entrypoints that need secrets.
    pub startup: Vec<Startup>,
    /// A tar of the bundle's files.
    #[serde(skip)]
    pub files: Vec<u8>,
    /// The digest of these files.
    #[serde(skip)]
    pub digest: String,
}

/// Values that take the place of others.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Instead {
    options: BTreeMap<String, String>,
}

/// An entrypoint that needs secrets.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::m1::dev_min) struct Startup {
    /// Its module.
    pub module: String,
    /// The variables that it needs.
    pub needs: Vec<String>,
}

impl Bundle {
    /// The required options of the matrix that have no value here.
    pub(super) fn lacking(&self, matrix: &Matrix) -> Vec<String> {
        let required = matrix.rows.iter().flat_map(|row| &row.required);
        let mut lacking: Vec<String> =
            required.map(|(name, _)| name.clone()).filter(|name| !self.options.contains_key(name)).collect();
        lacking.sort();
        lacking.dedup();
        lacking
    }

    /// The row's invocation with its required arguments, once where it can.
    pub(in crate::m1::dev_min) fn dry(&self, row: &Row) -> Vec<String> {
        self.invocation(row, &BTreeMap::new())
    }

    /// The same, in the way in which it needs its secrets.
    pub(in crate::m1::dev_min) fn without_secret(&self, row: &Row) -> Vec<String> {
        self.invocation(row, &self.without_secret.options)
    }

    fn invocation(&self, row: &Row, instead: &BTreeMap<String, String>) -> Vec<String> {
        let mut argv = row.invocation.clone();
        for (name, _) in &row.required {
            let value = instead.get(name).or_else(|| self.options.get(name));
            argv.push(name.clone());
            argv.push(value.cloned().unwrap_or_default());
        }
        if row.once() {
            argv.push("--once".to_owned());
        }
        argv
    }
}

/// The bundle's folder: the one that is given, else `bundle` in the sources.
fn folder(run: &LaneRun<'_>) -> PathBuf {
    run.given(source::BUNDLE).map_or_else(|| source::folder(run).join("bundle"), PathBuf::from)
}

/// Reads the bundle.
///
/// # Errors
/// In words: when it is not there, or is none.
pub(super) fn read(run: &LaneRun<'_>) -> Result<Bundle, String> {
    let folder = folder(run);
    let text = std::fs::read_to_string(folder.join(ARGUMENTS)).map_err(|e| format!("the bundle's {ARGUMENTS}: {e}"))?;
    let mut bundle: Bundle = toml::from_str(&text).map_err(|e| format!("the bundle's {ARGUMENTS}: {e}"))?;
    let files = Context::of_folder(&folder).map_err(|e| format!("the bundle: {e}"))?;
    bundle.files = files.tar().map_err(|e| format!("the bundle: {e}"))?;
    files.digest().clone_into(&mut bundle.digest);
    Ok(bundle)
}
