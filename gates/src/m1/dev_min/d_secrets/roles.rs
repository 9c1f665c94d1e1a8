//! Who may read which secret: each app role its own, the execution role none.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use support::ensure;
use support::run::check::{Check, Unmet};
use support::run::context::LaneRun;
use support::run::lane::{Step, Stop};
use support::substrate::reply::CallErrorKind;
use support::substrate::{PolicyDecision, RolePolicies, Simulated};

use super::sources::Sources;
use crate::m1::dev_min::b_entrypoints::{Bundle, Matrix};

const UNNAMED: &str = "PG-M1.D-role";

/// The role that pulls images and writes logs, and reads no secret.
const EXECUTION: &str = "ROLE_ECS_TASK_EXECUTION";

/// What each app role runs, by 10.3 of the registry: handles of entrypoints; modules that run under another role than their handle's.
const RUNS: [(&str, &[&str]); 8] = [
    ("ROLE_ORACLE_JOB", &["ENTRYPOINT_ORACLE_SEED", "ENTRYPOINT_ORACLE_STREAM_SORT", "ENTRYPOINT_ORACLE_CHECKER"]),
    ("ROLE_SR_TASK", &["ENTRYPOINT_SR"]),
    ("ROLE_WSP_TASK", &["ENTRYPOINT_WSP"]),
    ("ROLE_IG_SERVICE", &["ENTRYPOINT_IG_SERVICE"]),
    ("ROLE_RTDL_CORE", &["ENTRYPOINT_RTDL_CORE_WORKER"]),
    ("ROLE_DECISION_LANE", &["ENTRYPOINT_DECISION_LANE_WORKER"]),
    ("ROLE_CASE_LABELS", &["ENTRYPOINT_CM_SERVICE", "ENTRYPOINT_LS_SERVICE"]),
    ("ROLE_REPORTER_SINGLE_WRITER", &["ENTRYPOINT_REPORTER"]),
];

/// `SVC_CASE_TRIGGER` is a decision lane's worker by the matrix, and runs under the role of cases and labels by 10.3.
const CASE_TRIGGER: (&str, &str) = ("fraud_detection.case_trigger.worker", "ROLE_CASE_LABELS");

/// The calls by which a parameter's value is read.
const READS: [&str; 2] = ["ssm:GetParameter", "ssm:GetParameters"];

/// A parameter that no role has any business with.
const FOREIGN: &str = "/another-platform/secret";

/// All role handles.
pub(super) fn handles() -> impl Iterator<Item = &'static str> {
    RUNS.iter().map(|(role, _)| *role).chain([EXECUTION])
}

/// The roles, and what each may read.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Roles {
    /// By handle.
    pub roles: BTreeMap<String, Role>,
    /// The handles that must be there.
    pub required: BTreeSet<String>,
    /// The paths of the platform's secrets.
    pub paths: BTreeSet<String>,
}

/// One role.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Role {
    /// Its name, or why there is none.
    pub name: Result<String, String>,
    /// The paths that it needs.
    pub needs: BTreeSet<String>,
    /// The role's policies, where it exists.
    pub policies: Option<RolePolicies>,
    /// What IAM decides for each read of each path.
    pub decisions: Vec<Decided>,
}

/// One decision, by path instead of ARN.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Decided {
    pub path: String,
    pub simulated: Simulated,
}

impl Role {
    /// The paths that it may read by any call.
    fn may_read(&self) -> BTreeSet<&str> {
        let allowed = self.decisions.iter().filter(|d| d.simulated.decision == PolicyDecision::Allowed);
        allowed.map(|decided| decided.path.as_str()).collect()
    }

    /// The paths that it may read by every call.
    fn can_read(&self) -> BTreeSet<&str> {
        let refused = |path: &str| {
            let of_path = self.decisions.iter().filter(|d| d.path == path);
            of_path.clone().count() < READS.len()
                || !of_path.clone().any(|d| d.simulated.decision == PolicyDecision::Allowed)
        };
        self.decisions.iter().map(|d| d.path.as_str()).filter(|path| !refused(path)).collect()
    }

    /// A condition that the answer depends on, where there is one.
    fn open_condition(&self) -> Option<String> {
        let open = self.decisions.iter().find(|d| !d.simulated.missing_context.is_empty())?;
        Some(format!(
            "{} of {} depends on {}",
            open.simulated.action,
            open.path,
            open.simulated.missing_context.join(", ")
        ))
    }
}

pub(super) static ROLES: Check<Roles> = Check::<Roles>::derived(
    "roles.named",
    "role",
    &["roles"],
    |roles| {
        ensure!(!roles.required.is_empty(), "no role is asked for");
        for handle in &roles.required {
            let Some(role) = roles.roles.get(handle) else {
                return Err(Unmet::from(format!("{handle} was not looked up")));
            };
            let name = match &role.name {
                Ok(name) => name,
                Err(why) => return Err(Unmet::from(why.clone())),
            };
            ensure!(role.policies.is_some(), "{handle}: IAM has no role {name}");
            ensure!(!role.decisions.is_empty(), "{handle}: IAM decided nothing of {name}");
            if let Some(why) = role.open_condition() {
                return Err(Unmet::from(format!("{handle}: {why}, and what is not given proves nothing")));
            }
        }
        Ok(format!("{} roles, each in IAM, its policies read and its access simulated", roles.required.len()))
    },
    |roles| {
        for role in roles.roles.values_mut() {
            role.policies = None;
        }
    },
)
.next("create the role (Terraform does), and give its name: `export ROLE_…=$(terraform output -raw …)`");

pub(super) static LEAST_ACCESS: Check<Roles> = Check::<Roles>::derived(
    "roles.least_access",
    "role_access",
    &["roles"],
    |roles| {
        let asked = app_roles(roles)?;
        for (handle, role) in asked {
            let needs: BTreeSet<&str> = role.needs.iter().map(String::as_str).collect();
            let more: Vec<&str> = role.may_read().difference(&needs).copied().collect();
            ensure!(more.is_empty(), "{handle} may read {}, which nothing that it runs needs", more.join(", "));
            let less: Vec<&str> = needs.difference(&role.can_read()).copied().collect();
            ensure!(less.is_empty(), "{handle} may not read {}, which what it runs needs", less.join(", "));
        }
        Ok("each app role may read the secrets of what it runs, and no other".to_owned())
    },
    |roles| {
        for role in roles.roles.values_mut() {
            role.needs.insert("/doctored".to_owned());
        }
    },
)
.next("narrow, or widen, the role's policy to `ssm:GetParameter*` on the paths of what it runs");

pub(super) static EXECUTION_ROLE: Check<Roles> = Check::<Roles>::derived(
    "roles.execution_reads_none",
    "execution_role",
    &["roles"],
    |roles| {
        let Some(role) = roles.roles.get(EXECUTION).filter(|role| role.policies.is_some()) else {
            return Err(Unmet::blocked_by(UNNAMED, format!("{EXECUTION} is not known")));
        };
        let read: Vec<&str> = role.may_read().into_iter().collect();
        ensure!(read.is_empty(), "{EXECUTION} may read {}, and it is for pulling and logging alone", read.join(", "));
        Ok(format!("{EXECUTION} may read no secret"))
    },
    |roles| {
        for role in roles.roles.values_mut() {
            for decided in &mut role.decisions {
                decided.simulated.decision = PolicyDecision::Allowed;
            }
        }
    },
)
.next("take ssm:GetParameter* out of the execution role's policies");

pub(super) static NO_WILDCARD: Check<Roles> = Check::<Roles>::derived(
    "roles.no_wildcard",
    "role_wildcard",
    &["roles"],
    |roles| {
        let mut statements = 0;
        for (handle, role) in &roles.roles {
            let Some(policies) = &role.policies else {
                return Err(Unmet::blocked_by(UNNAMED, format!("{handle} is not known")));
            };
            let inline = policies.inline.iter().map(|policy| (&policy.name, &policy.document));
            let attached = policies.attached.iter().map(|policy| (&policy.name, &policy.document));
            for (name, document) in inline.chain(attached) {
                for statement in allowing(document) {
                    statements += 1;
                    if let Some(wide) = too_wide(statement) {
                        return Err(Unmet::from(format!("{handle}: its policy {name} allows {wide}")));
                    }
                }
            }
        }
        ensure!(statements > 0, "no policy of any role allows anything");
        Ok(format!("{statements} statements of {} roles, none that opens all of SSM or of AWS", roles.roles.len()))
    },
    |roles| {
        let wide = serde_json::json!({ "Statement": { "Effect": "Allow", "Action": "ssm:*", "Resource": "*" } });
        for role in roles.roles.values_mut() {
            if let Some(policies) = &mut role.policies {
                policies.inline.iter_mut().for_each(|policy| policy.document = wide.clone());
                policies.attached.iter_mut().for_each(|policy| policy.document = wide.clone());
            }
        }
    },
)
.next("name the actions, and the parameters' ARNs, in the policy");

fn app_roles(roles: &Roles) -> Result<Vec<(&String, &Role)>, Unmet> {
    let asked: Vec<(&String, &Role)> = roles.roles.iter().filter(|(handle, _)| *handle != EXECUTION).collect();
    let unknown = asked.iter().any(|(_, role)| role.policies.is_none() || role.decisions.is_empty());
    if asked.is_empty() || unknown {
        return Err(Unmet::blocked_by(UNNAMED, "not every role is known"));
    }
    Ok(asked)
}

fn one_or_many(value: Option<&Value>) -> Vec<&Value> {
    match value {
        Some(Value::Array(many)) => many.iter().collect(),
        Some(one) => vec![one],
        None => Vec::new(),
    }
}

fn allowing(document: &Value) -> Vec<&Value> {
    let statements = one_or_many(document.get("Statement")).into_iter();
    statements.filter(|s| s.get("Effect").and_then(Value::as_str) == Some("Allow")).collect()
}

/// What a statement allows beyond all measure, in words.
fn too_wide(statement: &Value) -> Option<String> {
    if statement.get("NotAction").is_some() {
        return Some("all actions but some (NotAction)".to_owned());
    }
    let resources = one_or_many(statement.get("Resource"));
    let all = statement.get("NotResource").is_some()
        || resources.iter().any(|r| r.as_str().is_some_and(|r| r == "*" || r.ends_with(":parameter/*")));
    let actions = one_or_many(statement.get("Action")).into_iter().filter_map(Value::as_str);
    for action in actions {
        let lower = action.to_ascii_lowercase();
        if lower == "*" || lower == "ssm:*" {
            return Some(format!("`{action}`"));
        }
        // AWS matches an action's pattern without regard to case.
        if all && lower.starts_with("ssm:get") {
            return Some(format!("`{action}` of every parameter"));
        }
    }
    None
}

pub(super) fn observe(run: &mut LaneRun<'_>, matrix: &Matrix, bundle: &Bundle) -> Step {
    let sources: Sources = run.fact("sources")?;
    let paths = sources.paths();
    let mut roles = Roles {
        roles: BTreeMap::new(),
        required: handles().map(str::to_owned).collect(),
        paths: paths.values().cloned().collect(),
    };
    for handle in handles() {
        let needs = needs(handle, matrix, bundle, &paths);
        let role = role(run, handle, needs, &roles.paths)?;
        roles.roles.insert(handle.to_owned(), role);
    }
    run.observe("roles", "aws iam get-role, its policies, and simulate-principal-policy, of each role", &roles)
}

/// The paths of the secrets that what a role runs needs.
fn needs(handle: &str, matrix: &Matrix, bundle: &Bundle, paths: &BTreeMap<String, String>) -> BTreeSet<String> {
    let entrypoints: &[&str] = RUNS.iter().find(|(role, _)| *role == handle).map_or(&[], |(_, runs)| *runs);
    let (moved, to) = CASE_TRIGGER;
    let runs = |module: &str, entrypoint: &str| {
        if module == moved { handle == to } else { entrypoints.contains(&entrypoint) }
    };
    let modules: BTreeSet<&str> =
        matrix.rows.iter().filter(|row| runs(&row.module, &row.handle)).map(|row| row.module.as_str()).collect();
    let variables: BTreeSet<&String> =
        bundle.startup.iter().filter(|s| modules.contains(s.module.as_str())).flat_map(|s| &s.needs).collect();
    let carries = |source: &str| bundle.secrets.get(source).is_some_and(|variable| variables.contains(variable));
    paths.iter().filter(|(source, _)| carries(source)).map(|(_, path)| path.clone()).collect()
}

fn role(run: &mut LaneRun<'_>, handle: &str, needs: BTreeSet<String>, paths: &BTreeSet<String>) -> Result<Role, Stop> {
    let stated = run
        .handles()
        .resolve(handle)
        .map_err(|error| error.to_string())
        .and_then(|resolved| resolved.text().map(str::to_owned).map_err(|error| error.to_string()));
    // An output may be a name or an ARN.
    let name = run.given(handle).map(str::to_owned).map_or(stated, Ok).map(|value| name_of(&value).to_owned());
    let mut role = Role { name: name.clone(), needs, policies: None, decisions: Vec::new() };
    let Ok(name) = name else { return Ok(role) };
    let iam = run.world()?.substrate.iam();
    let info = match iam.get_role(&name) {
        Ok(reply) => reply.value,
        Err(error) if error.kind == CallErrorKind::NotFound => return Ok(role),
        Err(error) => return Err(run.unanswered("roles", &format!("aws iam get-role --role-name {name}"), error)),
    };
    role.policies = match iam.role_policies(&name) {
        Ok(reply) => Some(reply.value),
        Err(error) => {
            return Err(run.unanswered("roles", &format!("aws iam list-role-policies --role-name {name}"), error));
        }
    };
    let region = run.world()?.substrate.region().to_owned();
    let account = run.world()?.account.clone();
    let arns: BTreeMap<String, String> = paths
        .iter()
        .map(String::as_str)
        .chain([FOREIGN])
        .map(|path| (format!("arn:aws:ssm:{region}:{account}:parameter{path}"), path.to_owned()))
        .collect();
    let resources: Vec<&str> = arns.keys().map(String::as_str).collect();
    let call = format!("aws iam simulate-principal-policy --policy-source-arn {}", info.arn);
    match iam.simulate(&info.arn, &READS, &resources) {
        Ok(reply) => {
            let named = |simulated: Simulated| {
                let path = arns.get(&simulated.resource).cloned().unwrap_or_default();
                Decided { path, simulated }
            };
            role.decisions = reply.value.into_iter().map(named).collect();
            Ok(role)
        }
        Err(error) => Err(run.unanswered("roles", &call, error)),
    }
}

fn name_of(value: &str) -> &str {
    value.rsplit('/').next().unwrap_or(value)
}
