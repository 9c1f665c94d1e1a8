//! Where secrets come from at run time: one SSM parameter each, as M1.D pins them.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use support::ensure;
use support::run::check::{Check, Unmet};
use support::run::context::LaneRun;
use support::run::finding::Basis;
use support::run::lane::Step;
use support::substrate::ReadableParameter;
use support::substrate::reply::CallErrorKind;

use crate::m1::dev_min::b_entrypoints;

const NO_SOURCE: &str = "PG-M1.D-secret_source";

/// The handles of secret sources.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Sources {
    /// The required handles, and the paths that they resolve to.
    pub required: BTreeMap<String, Result<String, String>>,
    /// The variables that carry them into tasks, by handle; nothing where there is no bundle.
    pub carried: Option<BTreeMap<String, String>>,
}

impl Sources {
    /// The paths, by handle.
    pub(super) fn paths(&self) -> BTreeMap<String, String> {
        let path = |(name, value): (&String, &Result<String, String>)| Some((name.clone(), value.clone().ok()?));
        self.required.iter().filter_map(path).collect()
    }
}

pub(super) static SOURCES: Check<Sources> = Check::<Sources>::derived(
    "secrets.sources",
    "secret_source",
    &["sources"],
    |sources| {
        ensure!(!sources.required.is_empty(), "M1.D names no secret source");
        let open: Vec<&str> = sources.required.values().filter_map(|v| v.as_ref().err()).map(String::as_str).collect();
        ensure!(open.is_empty(), "{}", open.join("; "));
        let paths = sources.paths();
        for (name, path) in &paths {
            ensure!(path.starts_with('/') && !path.ends_with('/'), "{name} is `{path}`, which is no parameter's name");
        }
        let distinct: BTreeSet<&String> = paths.values().collect();
        ensure!(distinct.len() == paths.len(), "two of {} sources have one path", paths.len());
        if let Some(carried) = &sources.carried {
            let missing: Vec<&str> = paths.keys().filter(|n| !carried.contains_key(*n)).map(String::as_str).collect();
            ensure!(
                missing.is_empty(),
                "the bundle does not say by which variable {} reaches a task",
                missing.join(", ")
            );
        }
        Ok(format!("{} sources, one SSM parameter each", paths.len()))
    },
    |sources| {
        sources.required.insert("SSM_DOCTORED_PATH".to_owned(), Err("doctored".to_owned()));
    },
)
.basis(Basis::Documented)
.next("pin the handle's path in the registry, as M1.D names it");

pub(super) static PARAMETERS: Check<(Sources, BTreeMap<String, Option<ReadableParameter>>)> = Check::<(
    Sources,
    BTreeMap<String, Option<ReadableParameter>>,
)>::derived(
    "secrets.parameters",
    "parameter",
    &["sources", "parameters"],
    |(sources, parameters)| {
        let paths = sources.paths();
        if paths.is_empty() {
            return Err(Unmet::blocked_by(NO_SOURCE, "no source has a path"));
        }
        for (name, path) in &paths {
            let Some(Some(parameter)) = parameters.get(path) else {
                return Err(Unmet::from(format!("{name}: SSM has no parameter {path}")));
            };
            ensure!(!parameter.empty, "{name}: {path} is empty");
            ensure!(!parameter.placeholder, "{name}: {path} still holds a placeholder");
            ensure!(
                parameter.kind == "SecureString" || name.ends_with("_BOOTSTRAP_PATH") || name.ends_with("_USER_PATH"),
                "{name}: {path} is a {}, not a SecureString",
                parameter.kind
            );
        }
        Ok(format!("{} parameters, each there, readable and not a placeholder", paths.len()))
    },
    |(_, parameters)| parameters.values_mut().for_each(|parameter| *parameter = None),
)
.next("write the parameter (Terraform's demo stack does), or correct its path in the registry");

pub(super) fn observe(run: &mut LaneRun<'_>) -> Step {
    let mut required = BTreeMap::new();
    for record in run.plan().records.iter().filter(|record| record.lane.as_deref() == Some("M1.D")) {
        let entries = record.entries.iter().flat_map(|entry| std::iter::once(entry).chain(entry.all_below()));
        for entry in entries.filter(|entry| !entry.text.trim_start().to_ascii_lowercase().starts_with("optional")) {
            for name in entry.code().into_iter().filter(|span| is_source(span)) {
                let value = run
                    .handles()
                    .resolve(name)
                    .map_err(|error| error.to_string())
                    .and_then(|resolved| resolved.text().map(str::to_owned).map_err(|error| error.to_string()));
                required.insert(name.to_owned(), value);
            }
        }
    }
    let carried = b_entrypoints::bundle(run).ok().map(|bundle| bundle.secrets);
    let source = format!("M1.D of the plan; {}; the bundle", run.documents().registry_path);
    run.observe("sources", &source, &Sources { required, carried })
}

pub(super) fn is_source(span: &str) -> bool {
    span.starts_with("SSM_") && span.ends_with("_PATH") && !span.contains(|c: char| !c.is_ascii_uppercase() && c != '_')
}

pub(super) fn ask(run: &mut LaneRun<'_>) -> Step {
    let sources: Sources = run.fact("sources")?;
    let mut parameters = BTreeMap::new();
    for path in sources.paths().into_values() {
        let call = format!("aws ssm get-parameter --with-decryption --name {path} --query Parameter.Type");
        let readable = match run.world()?.substrate.ssm().readable(&path) {
            Ok(reply) => Some(reply.value),
            Err(error) if error.kind == CallErrorKind::NotFound => None,
            Err(error) => return Err(run.unanswered("parameters", &call, error)),
        };
        parameters.insert(path, readable);
    }
    run.observe("parameters", "aws ssm get-parameter --with-decryption of each path; no value is kept", &parameters)
}
