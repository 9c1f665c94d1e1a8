//! Who may read which secret: each app role its own, the execution role none.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use support::ensure;
use support::registry::HandleError;
use support::run::check::{Check, Unmet};
use support::run::context::LaneRun;
use support::run::lane::{Step, Stop};
use support::substrate::reply::CallErrorKind;
use support::substrate::{PolicyDecision, RolePolicies, Simulated};

use super::sources::{Sources, is_source};
use crate::m1::dev_min::b_entrypoints::{Bundle, Matrix};

const UNNAMED: &str = "PG-M1.D-role";

/// The role that pulls images and writes logs, and reads no secret.
const EXECUTION: &str = "ROLE_ECS_TASK_EXECUTION";

/// The role that runs Terraform, and nothing of the platform.
const TERRAFORM: &str = "ROLE_TERRAFORM_APPLY";

/// How the registry's handles of roles begin.
const PREFIX: &str = "ROLE_";

/// What a role runs, by 10.3 of the registry.
struct Runs {
    /// Its handle.
    role: &'static str,
    /// The handles of the entrypoints that it runs.
    entrypoints: &'static [&'static str],
    /// The sources that it needs for what has no row in the matrix.
    sources: &'static [&'static str],
}

/// What each app role runs.
const RUNS: [Runs; 10] = [
    runs("ROLE_ORACLE_JOB", &["ENTRYPOINT_ORACLE_SEED", "ENTRYPOINT_ORACLE_STREAM_SORT", "ENTRYPOINT_ORACLE_CHECKER"]),
    runs("ROLE_SR_TASK", &["ENTRYPOINT_SR"]),
    runs("ROLE_WSP_TASK", &["ENTRYPOINT_WSP"]),
    runs("ROLE_IG_SERVICE", &["ENTRYPOINT_IG_SERVICE"]),
    runs("ROLE_RTDL_CORE", &["ENTRYPOINT_RTDL_CORE_WORKER"]),
    runs("ROLE_DECISION_LANE", &["ENTRYPOINT_DECISION_LANE_WORKER"]),
    runs("ROLE_CASE_LABELS", &["ENTRYPOINT_CM_SERVICE", "ENTRYPOINT_LS_SERVICE"]),
    // The daemon that checks conformance is no mode of the matrix either, and is given no secret.
    runs("ROLE_ENV_CONFORMANCE", &[]),
    runs("ROLE_REPORTER_SINGLE_WRITER", &["ENTRYPOINT_REPORTER"]),
    // `TD_DB_MIGRATIONS` (8.6) is no mode of the image: it changes the schema of the one database, and talks to nothing else.
    Runs { role: "ROLE_DB_MIGRATIONS", entrypoints: &[], sources: &["SSM_DB_USER_PATH", "SSM_DB_PASSWORD_PATH"] },
];

/// A role that runs entrypoints of the matrix only.
const fn runs(role: &'static str, entrypoints: &'static [&'static str]) -> Runs {
    Runs { role, entrypoints, sources: &[] }
}

/// `SVC_CASE_TRIGGER` is a decision lane's worker by the matrix, and runs under the role of cases and labels by 10.3.
const CASE_TRIGGER: (&str, &str) = ("fraud_detection.case_trigger.worker", "ROLE_CASE_LABELS");

/// The calls by which a task reads a parameter that it knows; one of them is enough for it.
const READS: [&str; 2] = ["ssm:GetParameter", "ssm:GetParameters"];

/// The call that shows a parameter's former values, and the one in force.
const HISTORY: &str = "ssm:GetParameterHistory";

/// The call that reads whatever lies below the path that it is allowed on.
const BY_PATH: &str = "ssm:GetParametersByPath";

/// The calls that change parameters.
const WRITES: [&str; 4] =
    ["ssm:PutParameter", "ssm:DeleteParameter", "ssm:DeleteParameters", "ssm:LabelParameterVersion"];

/// A parameter that no role has any business with.
const FOREIGN: &str = "/another-platform/secret";

/// All role handles that this gate knows.
pub(super) fn handles() -> impl Iterator<Item = &'static str> {
    RUNS.iter().map(|runs| runs.role).chain([EXECUTION])
}

/// The roles, and what each may read.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Roles {
    /// By handle.
    pub roles: BTreeMap<String, Role>,
    /// The handles that must be there.
    pub required: BTreeSet<String>,
    /// Those of them of which this gate does not know what they run.
    pub unknown: BTreeSet<String>,
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
    /// What IAM decides for each read and each write of each path, and of the paths above it.
    pub decisions: Vec<Decided>,
}

/// One decision, by path instead of ARN.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Decided {
    pub path: String,
    pub simulated: Simulated,
}

impl Role {
    /// The decisions that let it do something.
    fn allowed(&self) -> impl Iterator<Item = &Decided> {
        self.decisions.iter().filter(|decided| decided.simulated.decision == PolicyDecision::Allowed)
    }

    /// Those of `paths`, and of the foreign one, that it may read by any call.
    fn may_read<'a>(&self, paths: &'a BTreeSet<String>) -> BTreeSet<&'a str> {
        let reads = |decided: &Decided, path: &str| match decided.simulated.action.as_str() {
            // Who may read by a path reads all that lies below it.
            BY_PATH => decided.path == path || ancestors(path).any(|above| above == decided.path),
            action => decided.path == path && (READS.contains(&action) || action == HISTORY),
        };
        let asked = paths.iter().map(String::as_str).chain([FOREIGN]);
        asked.filter(|path| self.allowed().any(|decided| reads(decided, path))).collect()
    }

    /// The paths that it may read by a call that a task makes.
    fn can_read(&self) -> BTreeSet<&str> {
        let reads = self.allowed().filter(|decided| READS.contains(&decided.simulated.action.as_str()));
        reads.map(|decided| decided.path.as_str()).collect()
    }

    /// The writes that it may do: each call, and on what.
    fn may_write(&self) -> BTreeSet<String> {
        let writes = self.allowed().filter(|decided| WRITES.contains(&decided.simulated.action.as_str()));
        writes.map(|decided| format!("{} on {}", decided.simulated.action, decided.path)).collect()
    }

    /// The parameters that a policy opens by name to a reading call, and that it does not need. What opens all is another check's.
    fn opens_more(&self) -> BTreeSet<String> {
        let policies = self.policies.iter();
        let documents = policies.flat_map(|all| {
            let inline = all.inline.iter().map(|policy| &policy.document);
            inline.chain(all.attached.iter().map(|policy| &policy.document))
        });
        let statements = documents.flat_map(allowing).filter(|s| reads_parameters(s) && too_wide(s).is_none());
        let resources = statements.flat_map(|statement| one_or_many(statement.get("Resource")));
        let resources = resources.filter_map(Value::as_str);
        let needed =
            |resource: &str| resource.split_once(":parameter").is_some_and(|(_, path)| self.needs.contains(path));
        resources.filter(|r| may_be_a_parameter(r) && !needed(r)).map(str::to_owned).collect()
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
        ensure!(roles.required.iter().any(|handle| handle != EXECUTION), "no role of an application is asked for");
        if let Some(handle) = roles.unknown.first() {
            let next = format!("say in a new version of phasegate what {handle} runs, or take it out of 10.3");
            return Err(
                Unmet::from(format!("10.3 names {handle}, and this gate does not know what it runs")).next(next)
            );
        }
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
            let more: Vec<&str> = role.may_read(&roles.paths).difference(&needs).copied().collect();
            ensure!(more.is_empty(), "{handle} may read {}, which nothing that it runs needs", more.join(", "));
            let opened: Vec<String> = role.opens_more().into_iter().collect();
            ensure!(opened.is_empty(), "a policy of {handle} opens {}, which nothing that it runs needs", few(&opened));
            let less: Vec<&str> = needs.difference(&role.can_read()).copied().collect();
            ensure!(less.is_empty(), "{handle} may not read {}, which what it runs needs", less.join(", "));
        }
        Ok("each app role may read the secrets of what it runs, and no other".to_owned())
    },
    allow_all,
)
.next("narrow, or widen, the role's policy to `ssm:GetParameter` and `ssm:GetParameters` on the paths of what it runs");

pub(super) static NO_WRITE: Check<Roles> = Check::<Roles>::derived(
    "roles.no_write",
    "role_write",
    &["roles"],
    |roles| {
        app_roles(roles)?;
        for (handle, role) in &roles.roles {
            let writes: Vec<String> = role.may_write().into_iter().collect();
            ensure!(writes.is_empty(), "{handle} may call {}, and no task writes a secret", few(&writes));
        }
        Ok(format!("none of {} roles may change, label or delete a secret", roles.roles.len()))
    },
    allow_all,
)
.next("take the writing calls of SSM out of the role's policy; Terraform alone writes parameters");

pub(super) static EXECUTION_ROLE: Check<Roles> = Check::<Roles>::derived(
    "roles.execution_reads_none",
    "execution_role",
    &["roles"],
    |roles| {
        let Some(role) = roles.roles.get(EXECUTION).filter(|role| role.policies.is_some()) else {
            return Err(Unmet::blocked_by(UNNAMED, format!("{EXECUTION} is not known")));
        };
        let read: Vec<&str> = role.may_read(&roles.paths).into_iter().collect();
        ensure!(read.is_empty(), "{EXECUTION} may read {}, and it is for pulling and logging alone", read.join(", "));
        let opened: Vec<String> = role.opens_more().into_iter().collect();
        ensure!(opened.is_empty(), "a policy of {EXECUTION} opens {} to it", few(&opened));
        Ok(format!("{EXECUTION} may read no secret"))
    },
    allow_all,
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

/// Doctored: every role may do everything.
fn allow_all(roles: &mut Roles) {
    for decided in roles.roles.values_mut().flat_map(|role| &mut role.decisions) {
        decided.simulated.decision = PolicyDecision::Allowed;
    }
}

/// The first of them, and how many more there are.
pub(super) fn few(all: &[String]) -> String {
    match all {
        [first, second, rest @ ..] if !rest.is_empty() => format!("{first}, {second}, and {} more", rest.len()),
        all => all.join(", "),
    }
}

/// The paths above `path`, up to the root: `/a/b` and `/a` and `/` for `/a/b/c`.
fn ancestors(path: &str) -> impl Iterator<Item = &str> {
    let cuts = path.match_indices('/').map(|(at, _)| at);
    cuts.map(|at| path.get(..at.max(1)).unwrap_or_default())
}

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

/// Whether a statement is about a call that reads parameters.
fn reads_parameters(statement: &Value) -> bool {
    let reads = READS.into_iter().chain([HISTORY, BY_PATH]).map(str::to_ascii_lowercase).collect::<Vec<_>>();
    let actions = one_or_many(statement.get("Action")).into_iter().filter_map(Value::as_str);
    actions.map(str::to_ascii_lowercase).any(|action| match action.find(['*', '?']) {
        Some(open) => reads.iter().any(|read| action.get(..open).is_some_and(|begins| read.starts_with(begins))),
        None => reads.contains(&action),
    })
}

/// Whether a resource of a policy is one of SSM's, or a pattern that may take one.
fn may_be_a_parameter(resource: &str) -> bool {
    let mut parts = resource.split(':').take(3);
    let open = parts.clone().any(|part| part.contains(['*', '?']));
    open || parts.nth(2) == Some("ssm")
}

/// Whether a resource is every parameter.
fn opens_all(resource: &str) -> bool {
    resource == "*" || resource.ends_with(":parameter/*")
}

/// What a statement allows beyond all measure, in words.
fn too_wide(statement: &Value) -> Option<String> {
    if statement.get("NotAction").is_some() {
        return Some("all actions but some (NotAction)".to_owned());
    }
    let resources = one_or_many(statement.get("Resource"));
    let all = statement.get("NotResource").is_some() || resources.iter().any(|r| r.as_str().is_some_and(opens_all));
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
    let paths = every_path(run, sources.paths());
    let (required, unknown) = required(run, matrix);
    let mut roles = Roles { roles: BTreeMap::new(), required, unknown, paths: paths.values().cloned().collect() };
    for handle in roles.required.difference(&roles.unknown).cloned().collect::<Vec<_>>() {
        let needs = needs(&handle, matrix, bundle, &paths);
        let role = role(run, &handle, needs, &roles.paths)?;
        roles.roles.insert(handle, role);
    }
    run.observe("roles", "aws iam get-role, its policies, and simulate-principal-policy, of each role", &roles)
}

/// The paths of the sources that the plan asks for, and of those that the registry has beside them: a role that reads none of the former
/// may read the latter.
fn every_path(run: &LaneRun<'_>, mut paths: BTreeMap<String, String>) -> BTreeMap<String, String> {
    let names = run.handles().registry().definitions.iter().map(|definition| definition.name.as_str());
    for name in names.filter(|name| is_source(name)) {
        let value = run.handles().resolve(name).ok().and_then(|resolved| resolved.value.as_str().map(str::to_owned));
        if let Some(path) = value.filter(|value| value.starts_with('/')) {
            paths.entry(name.to_owned()).or_insert(path);
        }
    }
    paths
}

/// The roles that are looked at: all that the registry names but Terraform's, and those that the matrix' modes run under; and
/// which of them nothing is known of.
fn required(run: &LaneRun<'_>, matrix: &Matrix) -> (BTreeSet<String>, BTreeSet<String>) {
    let named = run.handles().registry().definitions.iter().map(|definition| definition.name.as_str());
    let named = named.filter(|name| name.starts_with(PREFIX) && *name != TERRAFORM);
    let started = |runs: &&Runs| matrix.rows.iter().any(|row| runs.entrypoints.contains(&row.handle.as_str()));
    let running = RUNS.iter().filter(started).map(|runs| runs.role);
    let required: BTreeSet<String> = named.chain(running).chain([EXECUTION]).map(str::to_owned).collect();
    let unknown = required.iter().filter(|name| !handles().any(|known| known == name.as_str())).cloned().collect();
    (required, unknown)
}

/// The paths of the secrets that what a role runs needs.
fn needs(handle: &str, matrix: &Matrix, bundle: &Bundle, paths: &BTreeMap<String, String>) -> BTreeSet<String> {
    let row = RUNS.iter().find(|runs| runs.role == handle);
    let (entrypoints, own) = row.map_or((&[][..], &[][..]), |row| (row.entrypoints, row.sources));
    let (moved, to) = CASE_TRIGGER;
    let runs = |module: &str, entrypoint: &str| {
        if module == moved { handle == to } else { entrypoints.contains(&entrypoint) }
    };
    let modules: BTreeSet<&str> =
        matrix.rows.iter().filter(|row| runs(&row.module, &row.handle)).map(|row| row.module.as_str()).collect();
    let variables: BTreeSet<&String> =
        bundle.startup.iter().filter(|s| modules.contains(s.module.as_str())).flat_map(|s| &s.needs).collect();
    let carries = |source: &str| bundle.secrets.get(source).is_some_and(|variable| variables.contains(variable));
    let needed = |source: &str| carries(source) || own.contains(&source);
    paths.iter().filter(|(source, _)| needed(source)).map(|(_, path)| path.clone()).collect()
}

/// The role's name: what the registry pins, or what the environment says where it only declares the handle.
fn named(run: &LaneRun<'_>, handle: &str) -> Result<String, String> {
    let given = run.given(handle);
    let (stated, origin) = match run.handles().resolve(handle) {
        Ok(resolved) => (resolved.text().map_err(|error| error.to_string())?.to_owned(), resolved.origin),
        Err(error @ HandleError::Bare { .. }) => return given.map(str::to_owned).ok_or_else(|| error.to_string()),
        Err(error) => return Err(error.to_string()),
    };
    match given.filter(|given| !same_role(given, &stated)) {
        Some(given) => Err(format!("{handle} is {stated} by {origin}, and {given} by the environment; keep one")),
        None => Ok(stated),
    }
}

/// Whether two texts name one role: both by its ARN, both by its name, or one so and one so.
fn same_role(left: &str, right: &str) -> bool {
    left == right || (name_of(left) == name_of(right) && left.contains('/') != right.contains('/'))
}

fn role(run: &mut LaneRun<'_>, handle: &str, needs: BTreeSet<String>, paths: &BTreeSet<String>) -> Result<Role, Stop> {
    // An output may be a name or an ARN.
    let stated = named(run, handle);
    let name = stated.clone().map(|value| name_of(&value).to_owned());
    let mut role = Role { name: name.clone(), needs, policies: None, decisions: Vec::new() };
    let Ok(name) = name else { return Ok(role) };
    let iam = run.world()?.substrate.iam();
    let info = match iam.get_role(&name) {
        Ok(reply) => reply.value,
        Err(error) if error.kind == CallErrorKind::NotFound => return Ok(role),
        Err(error) => return Err(run.unanswered("roles", &format!("aws iam get-role --role-name {name}"), error)),
    };
    if let Some(other) = stated.ok().filter(|stated| stated.starts_with("arn:") && *stated != info.arn) {
        role.name = Err(format!("{handle} is {other}, and the role of that name in this account is {}", info.arn));
        return Ok(role);
    }
    role.policies = match iam.role_policies(&name) {
        Ok(reply) => Some(reply.value),
        Err(error) => {
            return Err(run.unanswered("roles", &format!("aws iam list-role-policies --role-name {name}"), error));
        }
    };
    let region = run.world()?.substrate.region().to_owned();
    let account = run.world()?.account.clone();
    let asked: BTreeSet<&str> = paths.iter().map(String::as_str).chain([FOREIGN]).collect();
    let above: BTreeSet<&str> = asked.iter().flat_map(|path| ancestors(path)).collect();
    let arns: BTreeMap<String, String> = asked
        .union(&above)
        .map(|path| (format!("arn:aws:ssm:{region}:{account}:parameter{path}"), (*path).to_owned()))
        .collect();
    let resources: Vec<&str> = arns.keys().map(String::as_str).collect();
    let call = format!("aws iam simulate-principal-policy --policy-source-arn {}", info.arn);
    // One call asks for all: each action on each path.
    let actions: Vec<&str> = READS.into_iter().chain([HISTORY, BY_PATH]).chain(WRITES).collect();
    match iam.simulate(&info.arn, &actions, &resources) {
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

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("arn:aws:ssm:eu-west-2:230372904534:parameter/payments/key", true)]
    #[case("arn:aws:*:eu-west-2:230372904534:parameter/payments/key", true)]
    #[case("arn:*:parameter/payments/key", true)]
    #[case("arn:aws:s?m:eu-west-2:*:parameter/payments/key", true)]
    #[case("*", true)]
    #[case("arn:aws:s3:::bucket/*", false)]
    #[case("arn:aws:logs:eu-west-2:230372904534:log-group:/x/*", false)]
    fn a_pattern_may_take_a_parameter(#[case] resource: &str, #[case] may_be: bool) {
        assert_eq!(may_be_a_parameter(resource), may_be);
    }

    #[rstest]
    #[case(serde_json::json!("ssm:GetParameter"), true)]
    #[case(serde_json::json!(["s3:GetObject", "SSM:getparametersbypath"]), true)]
    #[case(serde_json::json!("s*m:Get*"), true)]
    #[case(serde_json::json!("ssm:DescribeParameters"), false)]
    #[case(serde_json::json!(["s3:*", "ssm:PutParameter"]), false)]
    fn a_statement_reads_parameters(#[case] action: Value, #[case] reads: bool) {
        assert_eq!(reads_parameters(&serde_json::json!({ "Action": action })), reads);
    }
}
