//! How the workflow comes to its rights: a role by OIDC, and no key that is stored anywhere.

use support::ensure;
use support::run::check::Check;
use support::run::finding::Basis;

use super::document::{Job, Workflow, WorkflowStep};
use super::{judged, script};

/// What a static credential is set by.
const KEYS: [&str; 3] = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"];

pub(super) static OIDC: Check<Workflow> = Check::<Workflow>::derived(
    "workflow.oidc",
    "static_credentials",
    &["workflow"],
    |workflow| {
        judged(workflow, |workflow| {
            for (place, names) in &workflow.env {
                let key = names.iter().find(|name| KEYS.contains(&name.to_ascii_uppercase().as_str()));
                if let Some(key) = key {
                    return Err(format!("`env` of {place} sets {key}").into());
                }
            }
            for (job, step) in workflow.steps() {
                ensure!(!takes_key(step), "{} takes a static key", job.place(step));
                ensure!(!sets_key(step), "{} sets a static key in its script", job.place(step));
            }
            let secrets: Vec<&str> = workflow.secrets.iter().map(String::as_str).collect();
            ensure!(secrets.is_empty(), "a stored secret is used: {}", secrets.join(", "));
            let Some((job, at)) = workflow.jobs.iter().find_map(|job| Some((job, job.steps.iter().position(assumes)?)))
            else {
                return Err("no step assumes a role by OIDC".into());
            };
            let before = job.steps.get(..at).unwrap_or_default();
            let Some(guard) = before.iter().find(|step| refuses_keys(step)) else {
                return Err(format!("no step of job {} refuses static AWS keys before a role is assumed", job.id).into());
            };
            for step in before.iter().filter(|step| refuses_keys(step)).take(1).chain(job.steps.get(at)) {
                if let Some(objection) = step.leeway.objection(|_| false) {
                    return Err(format!("{} {objection}", job.place(step)).into());
                }
            }
            Ok(format!("a role assumed by OIDC; static keys are refused by {}", job.place(guard)))
        })
    },
    |workflow| {
        workflow.read_as_asked();
        let with = [("aws-access-key-id".to_owned(), "doctored".to_owned())].into();
        if let Some(job) = workflow.jobs.first_mut() {
            job.steps.push(WorkflowStep { with, ..WorkflowStep::default() });
        }
    },
)
.basis(Basis::Documented)
.next("assume the role by aws-actions/configure-aws-credentials, and let the first step fail where a static key is set; keep no other secret");

/// Whether an action is given a key.
fn takes_key(step: &WorkflowStep) -> bool {
    let is_key = |name: &String| KEYS.contains(&name.to_ascii_uppercase().replace('-', "_").as_str());
    step.with.keys().any(is_key)
}

/// Whether a script sets one, for itself or for the steps after it.
fn sets_key(step: &WorkflowStep) -> bool {
    let Some(run) = &step.run else { return false };
    let text = script::without_comments(run).to_ascii_uppercase();
    let set = |key: &str| {
        text.match_indices(key).any(|(at, _)| {
            let rest = text.get(at + key.len()..).unwrap_or_default();
            rest.starts_with("<<") || (rest.starts_with('=') && !rest.starts_with("=="))
        })
    };
    text.contains("AWS CONFIGURE SET") || KEYS.into_iter().any(set)
}

/// Whether a step assumes a role.
fn assumes(step: &WorkflowStep) -> bool {
    step.acts("configure-aws-credentials") && step.with.contains_key("role-to-assume")
}

/// Whether a step ends its job where a static key is set.
fn refuses_keys(step: &WorkflowStep) -> bool {
    KEYS.into_iter().all(|key| step.guards(key))
}

impl Job {
    /// Whether one of its steps refuses static keys.
    pub(in crate::m1::dev_min) fn refuses_static_keys(&self) -> bool {
        self.steps.iter().any(refuses_keys)
    }
}
