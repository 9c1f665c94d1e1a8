//! The entrypoint matrix: the plan's table against the registry's names.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use support::ensure;
use support::registry::HandleError;
use support::run::check::Check;
use support::run::context::LaneRun;
use support::run::finding::Basis;
use support::run::lane::Stop;

const PREFIX: &str = "ENTRYPOINT_";

/// The one handle whose module the plan pins by a rule of its own.
const CHECKER_HANDLE: &str = "ENTRYPOINT_ORACLE_CHECKER";
const CHECKER_MODULE: &str = "fraud_detection.oracle_store.cli";

/// The matrix.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in crate::m1::dev_min) struct Matrix {
    /// Its rows.
    pub rows: Vec<Row>,
    /// The entrypoint handles of the registry.
    pub registry: BTreeSet<String>,
    /// What the registry itself pins for such a handle, where it does, with the place that says so.
    pub pinned: BTreeMap<String, Pinned>,
    /// How many services the registry names for each grouped handle.
    pub services: BTreeMap<String, usize>,
}

/// A command that the registry pins.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in crate::m1::dev_min) struct Pinned {
    pub command: String,
    pub origin: String,
}

/// The services that start by one handle together, by how their handles begin.
const GROUPED: [(&str, &[&str]); 2] = [
    ("ENTRYPOINT_RTDL_CORE_WORKER", &["SVC_RTDL_CORE_"]),
    ("ENTRYPOINT_DECISION_LANE_WORKER", &["SVC_DECISION_LANE_", "SVC_CASE_TRIGGER"]),
];

/// How many services the registry names for each of them.
fn services(run: &LaneRun<'_>) -> BTreeMap<String, usize> {
    let names: BTreeSet<&str> = run.handles().registry().definitions.iter().map(|d| d.name.as_str()).collect();
    let count = |begins: &[&str]| names.iter().filter(|name| begins.iter().any(|b| name.starts_with(b))).count();
    GROUPED.iter().map(|(handle, begins)| ((*handle).to_owned(), count(begins))).collect()
}

/// A row.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in crate::m1::dev_min) struct Row {
    pub handle: String,
    pub mode: String,
    pub module: String,
    /// The invocation, without arguments.
    pub invocation: Vec<String>,
    /// Required options, with the placeholders of their values.
    pub required: Vec<(String, String)>,
    /// Options that are not required.
    pub optional: Vec<String>,
    /// The line of the plan.
    pub line: usize,
}

impl Row {
    /// Whether it may listen: it has options of an address.
    pub(super) fn listens(&self) -> bool {
        let options = || self.required.iter().map(|(name, _)| name).chain(&self.optional);
        options().any(|name| name == "--host" || name == "--port")
    }

    /// Whether it can run once and end.
    pub(super) fn once(&self) -> bool {
        self.optional.iter().any(|name| name == "--once")
    }

    /// How it is called in reports.
    pub(super) fn called(&self) -> String {
        format!("{} (line {}, {})", self.module, self.line, self.handle)
    }
}

pub(super) static COMPLETE: Check<Matrix> = Check::<Matrix>::derived(
    "matrix.complete",
    "matrix_complete",
    &["matrix"],
    |matrix| {
        ensure!(!matrix.rows.is_empty(), "M1.B has no entrypoint matrix");
        ensure!(!matrix.registry.is_empty(), "the registry has no {PREFIX}* handle");
        let planned: BTreeSet<&str> = matrix.rows.iter().map(|row| row.handle.as_str()).collect();
        let missing: Vec<&str> =
            matrix.registry.iter().map(String::as_str).filter(|handle| !planned.contains(handle)).collect();
        ensure!(missing.is_empty(), "in the registry and not in the matrix: {}", missing.join(", "));
        let unknown: Vec<&str> = planned.iter().copied().filter(|handle| !matrix.registry.contains(*handle)).collect();
        ensure!(unknown.is_empty(), "in the matrix and not in the registry: {}", unknown.join(", "));
        for (handle, services) in &matrix.services {
            let rows = matrix.rows.iter().filter(|row| row.handle == *handle).count();
            ensure!(rows >= *services, "{handle} has {rows} rows, and the registry names {services} services for it");
        }
        Ok(format!("{} rows for {} handles, none missing", matrix.rows.len(), planned.len()))
    },
    |matrix| {
        matrix.registry.insert("ENTRYPOINT_DOCTORED".to_owned());
    },
)
.basis(Basis::Documented)
.next("give the handle a row in M1.B's matrix, or take it out of section 6.5 of the registry");

pub(super) static INVOCATIONS: Check<Matrix> = Check::<Matrix>::derived(
    "matrix.deterministic",
    "invocation_contract",
    &["matrix"],
    |matrix| {
        let mut modules: BTreeMap<&str, &Row> = BTreeMap::new();
        for row in &matrix.rows {
            ensure!(
                row.invocation.first().is_some_and(|program| program == "python"),
                "line {}: `{}` is not started by python",
                row.line,
                row.invocation.join(" ")
            );
            ensure!(!row.required.is_empty(), "line {}: {} has no required argument", row.line, row.module);
            if let Some(other) = modules.insert(&row.module, row) {
                return Err(format!("{} stands in line {} and in line {}", row.module, other.line, row.line).into());
            }
        }
        ensure!(!modules.is_empty(), "there is no invocation");
        Ok(format!("{} modules, each with one invocation and its required arguments", modules.len()))
    },
    |matrix| {
        if let Some(row) = matrix.rows.first_mut() {
            row.required.clear();
        }
    },
)
.basis(Basis::Documented)
.next("write the row as `python -m <module>` and its required options, one row for each module");

pub(super) static CHECKER: Check<Matrix> = Check::<Matrix>::derived(
    "matrix.oracle_checker",
    "oracle_checker",
    &["matrix"],
    |matrix| {
        let rows: Vec<&Row> = matrix.rows.iter().filter(|row| row.handle == CHECKER_HANDLE).collect();
        ensure!(!rows.is_empty(), "the matrix has no row of {CHECKER_HANDLE}");
        for row in rows {
            ensure!(
                row.module == CHECKER_MODULE,
                "line {}: {CHECKER_HANDLE} is {}, and no other module than {CHECKER_MODULE} is allowed",
                row.line,
                row.module
            );
        }
        Ok(format!("{CHECKER_HANDLE} is {CHECKER_MODULE}"))
    },
    |matrix| {
        for row in &mut matrix.rows {
            "fraud_detection.oracle_store.checker".clone_into(&mut row.module);
        }
    },
)
.basis(Basis::Documented)
.next("name fraud_detection.oracle_store.cli in the row of ENTRYPOINT_ORACLE_CHECKER");

pub(super) static AGREES: Check<Matrix> = Check::<Matrix>::derived(
    "matrix.agrees",
    "entrypoint_conflict",
    &["matrix"],
    |matrix| {
        for row in &matrix.rows {
            let Some(Pinned { command, origin }) = matrix.pinned.get(&row.handle) else { continue };
            let invocation = row.invocation.join(" ");
            ensure!(
                *command == invocation,
                "line {}: {} is `{invocation}`, and `{command}` in {origin}",
                row.line,
                row.handle
            );
        }
        ensure!(!matrix.rows.is_empty(), "M1.B has no entrypoint matrix");
        Ok(format!("the registry pins {} of the invocations, and no other than the matrix", matrix.pinned.len()))
    },
    |matrix| {
        let pinned = Pinned { command: "doctored".to_owned(), origin: "doctored".to_owned() };
        matrix.pinned = matrix.rows.iter().map(|row| (row.handle.clone(), pinned.clone())).collect();
    },
)
.basis(Basis::Documented)
.next("let the registry declare the handle without a value, or correct the one of the two that is wrong");

/// What the registry pins for its entrypoint handles. One without a value is the matrix's to fill.
fn pinned(run: &LaneRun<'_>, registry: &BTreeSet<String>) -> BTreeMap<String, Pinned> {
    let pinned = |name: &String| match run.handles().resolve(name) {
        Ok(resolved) => {
            let command = resolved.value.as_str().map_or_else(|| resolved.value.to_string(), str::to_owned);
            Some((name.clone(), Pinned { command, origin: resolved.origin }))
        }
        Err(HandleError::Bare { .. } | HandleError::Missing { .. }) => None,
        Err(error) => Some((name.clone(), Pinned { command: "-".to_owned(), origin: error.to_string() })),
    };
    registry.iter().filter_map(pinned).collect()
}

pub(super) fn observe(run: &mut LaneRun<'_>) -> Result<Matrix, Stop> {
    let rows = run
        .plan()
        .entrypoints
        .iter()
        .map(|row| Row {
            handle: row.handle.clone(),
            mode: row.mode.clone(),
            module: row.module.clone(),
            invocation: row.invocation.clone(),
            required: row.required.iter().map(|option| (option.name.clone(), option.value.clone())).collect(),
            optional: row.optional.clone(),
            line: row.place.line,
        })
        .collect();
    let definitions = &run.handles().registry().definitions;
    let registry = definitions.iter().map(|d| d.name.clone()).filter(|name| name.starts_with(PREFIX)).collect();
    let pinned = pinned(run, &registry);
    let matrix = Matrix { rows, registry, pinned, services: services(run) };
    run.observe("matrix", "the matrix of M1.B; section 6.5 of the registry", &matrix)?;
    Ok(matrix)
}
