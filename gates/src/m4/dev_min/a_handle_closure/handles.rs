//! The handles that P2 needs: each with one concrete value, its origin, and whether it is secret.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use support::ensure;
use support::registry::{HandleError, SourceClass, is_handle_name};
use support::run::check::{Check, Unmet};
use support::run::context::LaneRun;
use support::run::finding::Basis;
use support::run::lane::Step;
use support::substrate::reply::CallErrorKind;

const UNREAD: &str = "PG-M4.A-handle_set";

/// Where a handle's value comes from, in the plan's words.
const REGISTRY: &str = "handles_registry";
const PARAMETER: &str = "ssm_parameter";

/// What may have made a value: the registry itself, or one of the plan's two.
const ORIGINS: [&str; 3] = [REGISTRY, "terraform_output", PARAMETER];

/// What M4.A lists, and what became of it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(in crate::m4::dev_min) struct HandleSet {
    /// What the tasks name that stands for more than one handle, with its line.
    pub wildcards: Vec<String>,
    /// By handle.
    pub handles: BTreeMap<String, Handle>,
}

/// One handle.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub(in crate::m4::dev_min) enum Handle {
    /// It has a value.
    Resolved {
        /// The value; of a secret its path alone.
        value: Value,
        /// Where it is written.
        origin: String,
        /// What made it: `terraform_output`, `ssm_parameter`, `handles_registry`; none where nobody says.
        made_by: Option<String>,
        /// `secret` or `non_secret`; none where nobody says.
        class: Option<String>,
    },
    /// Two sources say two things.
    Ambiguous {
        /// Which.
        why: String,
    },
    /// It has none.
    Unresolved {
        /// Why.
        why: String,
    },
}

pub(super) static LISTED: Check<HandleSet> = Check::<HandleSet>::derived(
    "handles.listed",
    "handle_set",
    &["handle_set"],
    |set| {
        let services: Vec<&str> =
            crate::m4::dev_min::packs::services().filter(|service| !set.handles.contains_key(*service)).collect();
        ensure!(services.is_empty(), "the tasks of M4.A do not name {}", services.join(", "));
        for (what, handle) in NEEDED {
            ensure!(set.handles.contains_key(handle), "the tasks of M4.A name no {what}: {handle}");
        }
        Ok(format!("{} handles named in the tasks", set.handles.len()))
    },
    |set| set.handles.clear(),
)
.basis(Basis::Documented)
.next("name the handle in the tasks of M4.A; what a later lane uses is closed there");

/// What later lanes cannot do without, beside the services.
const NEEDED: [(&str, &str); 23] = [
    ("bucket", "S3_ORACLE_BUCKET"),
    ("bucket", "S3_ARCHIVE_BUCKET"),
    ("bucket", "S3_QUARANTINE_BUCKET"),
    ("bucket", "S3_EVIDENCE_BUCKET"),
    ("key for Kafka", "SSM_CONFLUENT_API_KEY_PATH"),
    ("secret for Kafka", "SSM_CONFLUENT_API_SECRET_PATH"),
    ("topic", "FP_BUS_CONTROL_V1"),
    ("topic", "FP_BUS_TRAFFIC_FRAUD_V1"),
    ("topic", "FP_BUS_CONTEXT_ARRIVAL_EVENTS_V1"),
    ("topic", "FP_BUS_CONTEXT_ARRIVAL_ENTITIES_V1"),
    ("topic", "FP_BUS_CONTEXT_FLOW_ANCHOR_FRAUD_V1"),
    ("topic", "FP_BUS_RTDL_V1"),
    ("topic", "FP_BUS_AUDIT_V1"),
    ("topic", "FP_BUS_CASE_TRIGGERS_V1"),
    ("topic", "FP_BUS_LABELS_EVENTS_V1"),
    ("variable of the run's scope", "REQUIRED_PLATFORM_RUN_ID_ENV_KEY"),
    ("cluster", "ECS_CLUSTER_NAME"),
    ("VPC", "VPC_ID"),
    ("subnets", "SUBNET_IDS_PUBLIC"),
    ("security group", "SECURITY_GROUP_ID_APP"),
    ("prefix of log groups", "CLOUDWATCH_LOG_GROUP_PREFIX"),
    ("bootstrap of Kafka", "SSM_CONFLUENT_BOOTSTRAP_PATH"),
    ("endpoint of the database", "RDS_ENDPOINT"),
];

/// What the Parameter Store says of the paths that it should have: whether each is there, by handle.
pub(super) type Parameters = BTreeMap<String, bool>;

pub(super) static RESOLVED: Check<(HandleSet, Parameters)> = Check::<(HandleSet, Parameters)>::new(
    "handles.resolved",
    "M4A-B2",
    &["handle_set", "parameters"],
    |(set, parameters)| {
        read(set)?;
        if let Some(name) = parameters.iter().find(|(_, there)| !**there).map(|(name, _)| name) {
            let path = match set.handles.get(name) {
                Some(Handle::Resolved { value, origin, .. }) => format!("{value} ({origin})"),
                _ => "-".to_owned(),
            };
            return Err(Unmet::from(format!("`{name}` is {path}, and the Parameter Store has none of this name")));
        }
        let open: Vec<&str> = set
            .handles
            .values()
            .filter_map(|handle| match handle {
                Handle::Unresolved { why } => Some(why.as_str()),
                Handle::Resolved { .. } | Handle::Ambiguous { .. } => None,
            })
            .collect();
        ensure!(open.is_empty(), "{} of {} handles: {}", open.len(), set.handles.len(), open.join("; "));
        for (name, handle) in &set.handles {
            let Handle::Resolved { origin, made_by, class, .. } = handle else { continue };
            let made_by = made_by.as_deref().unwrap_or("-");
            ensure!(
                ORIGINS.contains(&made_by),
                "{name} ({origin}): what made its value is `{made_by}`, none of {}",
                ORIGINS.join(", ")
            );
            let class = class.as_deref().unwrap_or("-");
            ensure!(["secret", "non_secret"].contains(&class), "{name} ({origin}): its secret class is `{class}`");
            // Of a secret only its path in the Parameter Store may be written down.
            let is_path = name.starts_with("SSM_");
            ensure!(
                class != "secret" || is_path,
                "{name} ({origin}): a secret's value stands in a document; rotate it"
            );
        }
        Ok(format!("{} handles, each with a value, an origin and a class", set.handles.len()))
    },
    |(set, _)| {
        set.handles.insert("DOCTORED_HANDLE".to_owned(), Handle::Unresolved { why: "doctored".to_owned() });
    },
)
.next("pin the value in the registry, or let M2's handoff state it with materialization_origin and secret_class");

pub(super) static CONCRETE: Check<HandleSet> = Check::<HandleSet>::new(
    "handles.concrete",
    "M4A-B4",
    &["handle_set"],
    |set| {
        read(set)?;
        ensure!(set.wildcards.is_empty(), "the tasks of M4.A name {}", set.wildcards.join(", "));
        for (name, handle) in &set.handles {
            match handle {
                Handle::Ambiguous { why } => return Err(Unmet::from(why.clone())),
                Handle::Resolved { value, origin, .. } => {
                    ensure!(!is_wildcard(value), "{name} is {value} ({origin}), which stands for more than one thing");
                }
                Handle::Unresolved { .. } => {}
            }
        }
        Ok("no handle stands for more than one thing".to_owned())
    },
    |set| set.wildcards.push("`DOCTORED_*` (line 0)".to_owned()),
)
.next("name each handle by itself, and keep one value of it");

fn read(set: &HandleSet) -> Result<(), Unmet> {
    if set.handles.is_empty() {
        return Err(Unmet::blocked_by(UNREAD, "no handle was looked up"));
    }
    Ok(())
}

/// Whether a value stands for more than one thing.
pub(super) fn is_wildcard(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains(['*', '?']),
        Value::Array(values) => values.is_empty() || values.iter().any(is_wildcard),
        Value::Object(values) => values.values().any(is_wildcard),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// What the tasks of M4.A list, resolved by the documents.
pub(super) fn of_documents(run: &LaneRun<'_>) -> HandleSet {
    let tasks = run.plan().lanes.iter().filter(|lane| lane.id == "M4.A").flat_map(|lane| &lane.tasks);
    let mut set = HandleSet::default();
    let mut names = BTreeSet::new();
    for task in tasks {
        for text in std::iter::once(&task.text).chain(&task.details) {
            for span in leading_spans(text) {
                if is_handle_name(span) {
                    names.insert(span.to_owned());
                } else if is_several(span) {
                    set.wildcards.push(format!("`{span}` (task at line {})", task.place.line));
                }
            }
        }
    }
    let stated = stated(run);
    set.handles = names.into_iter().map(|name| (name.clone(), handle(run, &name, &stated))).collect();
    set
}

/// The code that an entry begins with, and what follows it after commas: that is what it asks for. A name in a sentence is only spoken of.
fn leading_spans(text: &str) -> Vec<&str> {
    let mut spans = Vec::new();
    let mut rest = text;
    while let Some((span, behind)) = rest.strip_prefix('`').and_then(|open| open.split_once('`')) {
        spans.push(span);
        rest = behind.trim_start().strip_prefix([',', '/', '+']).unwrap_or_default().trim_start();
    }
    spans
}

/// Whether a name stands for several handles.
fn is_several(span: &str) -> bool {
    let whole = span.replace("...", "*").replace('…', "*");
    whole.contains('*') && is_handle_name(&whole.replace('*', "X"))
}

/// What the handoffs say of a value beside it: who made it, and whether it is secret.
type Stated = BTreeMap<String, (Option<String>, Option<String>)>;

fn stated(run: &LaneRun<'_>) -> Stated {
    let mut stated = Stated::new();
    let contents = run.documents().handoffs.iter().filter_map(|handoff| handoff.content.as_ref().ok());
    let entries = contents.filter_map(|content| content.get("resolved_handles")?.as_array()).flatten();
    for entry in entries {
        let text = |name: &str| entry.get(name).and_then(Value::as_str).map(str::to_owned);
        if let Some(handle) = text("handle") {
            stated.insert(handle, (text("materialization_origin"), text("secret_class")));
        }
    }
    stated
}

fn handle(run: &LaneRun<'_>, name: &str, stated: &Stated) -> Handle {
    match run.handles().resolve(name) {
        Ok(resolved) if is_blank(&resolved.value) => Handle::Unresolved {
            why: format!("`{name}` is {} ({}), which names nothing", resolved.value, resolved.origin),
        },
        Ok(resolved) => {
            let by_registry = || match resolved.source_class {
                SourceClass::RegistryLiteral => by_registry(name),
                _ => (None, None),
            };
            let (made_by, class) = stated.get(name).cloned().unwrap_or_else(by_registry);
            Handle::Resolved { value: resolved.value, origin: resolved.origin, made_by, class }
        }
        Err(error @ (HandleError::Ambiguous { .. } | HandleError::Contradiction { .. })) => {
            Handle::Ambiguous { why: error.to_string() }
        }
        Err(error) => Handle::Unresolved { why: error.to_string() },
    }
}

/// What the registry pins itself is no secret; of a path in the Parameter Store the value behind it is one.
fn by_registry(name: &str) -> (Option<String>, Option<String>) {
    let (made_by, class) = if name.starts_with("SSM_") { (PARAMETER, "secret") } else { (REGISTRY, "non_secret") };
    (Some(made_by.to_owned()), Some(class.to_owned()))
}

fn is_blank(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.trim().is_empty(),
        Value::Array(values) => values.is_empty() || values.iter().any(is_blank),
        Value::Bool(_) | Value::Number(_) | Value::Object(_) => false,
    }
}

/// Asks the Parameter Store for what the registry says it keeps; the values stay there.
pub(super) fn look_up(run: &mut LaneRun<'_>, set: &HandleSet) -> Step {
    let mut parameters = Parameters::new();
    for (name, handle) in &set.handles {
        let Handle::Resolved { value, made_by: Some(made_by), .. } = handle else { continue };
        if made_by != PARAMETER {
            continue;
        }
        let path = value.as_str().unwrap_or_default();
        let there = match run.world()?.substrate.ssm().describe(path) {
            Ok(_) => true,
            Err(error) if error.kind == CallErrorKind::NotFound => false,
            Err(error) => {
                let call = format!("aws ssm describe-parameters --parameter-filters Key=Name,Values={path}");
                return Err(run.unanswered("parameters", &call, error));
            }
        };
        parameters.insert(name.clone(), there);
    }
    run.observe("parameters", "aws ssm describe-parameters, by each path", &parameters)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("`SVC_IG`", &["SVC_IG"])]
    #[case("`SVC_CM`, `SVC_LS`", &["SVC_CM", "SVC_LS"])]
    #[case("`S3_A_BUCKET` (of `S3_B_BUCKET`)", &["S3_A_BUCKET"])]
    #[case("the verdict is `ADVANCE_TO_M4`", &[])]
    fn an_entry_asks_for_what_it_begins_with(#[case] text: &str, #[case] spans: &[&str]) {
        assert_eq!(leading_spans(text), spans);
    }

    #[rstest]
    #[case("SVC_*", true)]
    #[case("FP_BUS_...", true)]
    #[case("FP_BUS_…", true)]
    #[case("SVC_IG", false)]
    #[case("*", false)]
    fn a_name_may_stand_for_several(#[case] span: &str, #[case] several: bool) {
        assert_eq!(is_several(span), several);
    }
}
