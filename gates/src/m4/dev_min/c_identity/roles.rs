//! Which role each daemon runs as: section 10.3 of the registry, IAM, and the daemon's own task definition.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use support::ensure;
use support::registry::notes_of;
use support::run::check::{Check, Unmet};
use support::run::context::LaneRun;
use support::run::lane::{Step, Stop};
use support::substrate::reply::CallErrorKind;

use crate::m4::dev_min::deployed::Deployed;
use crate::m4::dev_min::packs;

/// The role that pulls images and writes logs.
pub(super) const EXECUTION: &str = "ROLE_ECS_TASK_EXECUTION";

/// How the handles of roles begin.
const ROLE: &str = "ROLE_";

const UNBOUND: &str = "M4C-B1";

/// Who runs as what.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Identities {
    /// By the service's handle.
    pub services: BTreeMap<String, Binding>,
    /// By the role's handle; those that a service runs as.
    pub roles: BTreeMap<String, Role>,
    /// The execution role.
    pub execution: Option<Role>,
    /// The registry's path, for messages.
    pub registry: String,
    /// Lines of the registry that map roles.
    pub mapping_lines: Vec<usize>,
}

/// The roles that the registry gives to one service, each with its line.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Binding {
    roles: Vec<(String, usize)>,
}

impl Binding {
    /// The one role.
    pub(super) fn role(&self) -> Option<&str> {
        match self.roles.as_slice() {
            [(role, _)] => Some(role),
            _ => None,
        }
    }

    /// The lines that say so.
    pub(super) fn lines(&self) -> Vec<usize> {
        self.roles.iter().map(|(_, line)| *line).collect()
    }
}

/// One role.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Role {
    /// What the handle resolves to, or why to nothing.
    pub stated: Result<String, String>,
    /// Its ARN, where IAM has it.
    pub arn: Option<String>,
    /// Whether tasks of ECS may take it on.
    pub assumable: bool,
}

pub(super) static BOUND: Check<Identities> = Check::<Identities>::new(
    "identities.bound",
    UNBOUND,
    &["identities"],
    |identities| {
        let Identities { services, roles, execution, registry, mapping_lines } = identities;
        let lines = match (mapping_lines.first(), mapping_lines.last()) {
            (Some(first), Some(last)) => format!("{registry}:{first} to {last}"),
            _ => registry.clone(),
        };
        for service in packs::services() {
            let bound = services.get(service).map(|binding| binding.roles.as_slice()).unwrap_or_default();
            let named: Vec<String> = bound.iter().map(|(role, line)| format!("{role} (line {line})")).collect();
            let only = match bound {
                [only] => only,
                [] => return Err(Unmet::from(format!("no role of the registry's map is for {service} ({lines})"))),
                _ => return Err(Unmet::from(format!("{service} has {} roles: {}", bound.len(), named.join(", ")))),
            };
            exists(&only.0, roles.get(&only.0))?;
            ensure!(only.0 != EXECUTION, "{service} runs as {EXECUTION}, which is for pulling and logging alone");
        }
        exists(EXECUTION, execution.as_ref())?;
        let arns = roles.values().filter_map(|role| role.arn.as_deref()).collect::<std::collections::BTreeSet<_>>();
        ensure!(arns.len() == roles.len(), "two of the handles {} name one role", listed(roles));
        Ok(format!("{} services, each with one of {} roles", services.len(), roles.len()))
    },
    |identities| identities.services.values_mut().for_each(|binding| binding.roles.clear()),
)
.next("map the service to one role in section 10.3 of the registry, as `* ROLE_…` with `for SVC_…` below it; create the role, and state its ARN in M2's handoff");

fn listed(roles: &BTreeMap<String, Role>) -> String {
    roles.keys().map(String::as_str).collect::<Vec<_>>().join(", ")
}

fn exists(handle: &str, role: Option<&Role>) -> Result<(), Unmet> {
    let Some(role) = role else { return Err(Unmet::from(format!("{handle} was not looked up"))) };
    let stated = role.stated.as_ref().map_err(|why| Unmet::from(why.clone()))?;
    let Some(arn) = &role.arn else { return Err(Unmet::from(format!("{handle}: IAM has no role {stated}"))) };
    ensure!(
        !stated.starts_with("arn:") || stated == arn,
        "{handle} is {stated}, and the role of that name here is {arn}"
    );
    ensure!(role.assumable, "{handle}: tasks of ECS may not take on {arn}");
    Ok(())
}

pub(super) static ATTACHED: Check<(Identities, Deployed)> = Check::<(Identities, Deployed)>::new(
    "identities.attached",
    UNBOUND,
    &["identities", "deployed"],
    |(identities, deployed)| {
        let arn_of = |handle: &str| identities.roles.get(handle).and_then(|role| role.arn.clone());
        let execution = identities.execution.as_ref().and_then(|role| role.arn.clone());
        for service in packs::services() {
            // Without a role nothing can be attached; that it has none is said elsewhere.
            let Some(role) = identities.services.get(service).and_then(Binding::role) else { continue };
            let Some(wanted) = arn_of(role) else { continue };
            // A service without a definition is M4.E's.
            let Ok(definition) = deployed.definition(service) else { continue };
            let is = definition.task_role.as_deref().unwrap_or("none");
            ensure!(is == wanted, "{service}: {} runs as {is}, and {role} is {wanted}", definition.arn);
            let is = definition.execution_role.as_deref().unwrap_or("none");
            let wanted = execution.as_deref().unwrap_or("-");
            ensure!(is == wanted, "{service}: {} is started by {is}, and {EXECUTION} is {wanted}", definition.arn);
        }
        Ok(format!("{} task definitions run as the registry's roles", deployed.services.len()))
    },
    |(identities, _)| {
        for role in identities.roles.values_mut().chain(&mut identities.execution) {
            role.arn = role.arn.as_ref().map(|arn| format!("{arn}-doctored"));
        }
    },
)
.next("register the task definition again with the role that the registry maps, and let Terraform apply it");

fn of_registry(run: &LaneRun<'_>) -> Identities {
    let documents = run.documents();
    let mapped = mappings(&documents.registry_text);
    let services = packs::services()
        .map(|service| {
            let roles = mapped.iter().filter(|mapping| mapping.takes(service));
            (service.to_owned(), Binding { roles: roles.map(|m| (m.role.clone(), m.line)).collect() })
        })
        .collect();
    Identities {
        services,
        roles: BTreeMap::new(),
        execution: None,
        registry: documents.registry_path.clone(),
        mapping_lines: mapped.iter().map(|mapping| mapping.line).collect(),
    }
}

/// One line of the role map: a role, and what it is for.
#[derive(Debug, PartialEq, Eq)]
struct Mapping {
    role: String,
    line: usize,
    /// Handles, with a star at the end for all that begin so.
    patterns: Vec<String>,
}

impl Mapping {
    fn takes(&self, service: &str) -> bool {
        self.patterns.iter().any(|pattern| match pattern.strip_suffix('*') {
            Some(begins) => service.starts_with(begins),
            None => service == pattern,
        })
    }
}

/// Whether a name is that of something that runs under a role: a service or a task.
fn is_run(name: &str) -> bool {
    name.starts_with(packs::SERVICE) || name.starts_with(packs::TASK)
}

/// The role map of a registry: below a role's list item, items that name services or tasks.
fn mappings(registry: &str) -> Vec<Mapping> {
    let roles = notes_of(registry).into_iter().filter(|note| note.handle.starts_with(ROLE));
    roles
        .map(|note| {
            let patterns = note.spans.into_iter().filter(|span| is_run(span)).collect();
            Mapping { role: note.handle, line: note.line, patterns }
        })
        .filter(|mapping| !mapping.patterns.is_empty())
        .collect()
}

/// Asks IAM for the roles.
pub(super) fn look_up(run: &mut LaneRun<'_>) -> Step {
    let mut identities = of_registry(run);
    let handles: std::collections::BTreeSet<String> =
        identities.services.values().filter_map(|binding| binding.role().map(str::to_owned)).collect();
    for handle in handles {
        let role = look_up_role(run, &handle)?;
        identities.roles.insert(handle, role);
    }
    identities.execution = Some(look_up_role(run, EXECUTION)?);
    run.observe("identities", "the registry's role map; aws iam get-role of each role", &identities)
}

fn look_up_role(run: &mut LaneRun<'_>, handle: &str) -> Result<Role, Stop> {
    let resolved = run.handles().resolve(handle).and_then(|resolved| resolved.text().map(str::to_owned));
    let stated = resolved.map_err(|error| error.to_string());
    let mut role = Role { stated: stated.clone(), arn: None, assumable: false };
    let Ok(stated) = stated else { return Ok(role) };
    let name = stated.rsplit('/').next().unwrap_or(&stated).to_owned();
    match run.world()?.substrate.iam().get_role(&name) {
        Ok(reply) => {
            role.arn = Some(reply.value.arn);
            role.assumable = reply.value.trust_policy.as_deref().is_some_and(lets_tasks_in);
            Ok(role)
        }
        Err(error) if error.kind == CallErrorKind::NotFound => Ok(role),
        Err(error) => Err(run.unanswered("identities", &format!("aws iam get-role --role-name {name}"), error)),
    }
}

/// Whether a trust policy lets tasks of ECS in.
fn lets_tasks_in(policy: &str) -> bool {
    let Ok(document) = support::substrate::policy_document(policy) else { return false };
    let many = |value: Option<&Value>| match value {
        Some(Value::Array(all)) => all.clone(),
        Some(one) => vec![one.clone()],
        None => Vec::new(),
    };
    let speaks_of_tasks = |statement: &&Value| {
        let services = many(statement.pointer("/Principal/Service"));
        many(statement.get("Action")).iter().any(|action| action == "sts:AssumeRole" || action == "sts:*")
            && services.iter().any(|service| service == "ecs-tasks.amazonaws.com")
    };
    let statements = many(document.get("Statement"));
    let effects: Vec<Option<&str>> =
        statements.iter().filter(speaks_of_tasks).map(|s| s.get("Effect").and_then(Value::as_str)).collect();
    // Whoever else is denied: what is denied to everybody is denied to tasks too.
    let denied = statements.iter().any(|s| {
        s.get("Effect").and_then(Value::as_str) == Some("Deny") && s.get("Principal").is_some_and(|who| who == "*")
    });
    !denied && !effects.is_empty() && effects.iter().all(|effect| *effect == Some("Allow"))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const MAP: &str = "\
### 10.3 Task/service roles

* `ROLE_IG_SERVICE`

  * for `SVC_IG`

* `ROLE_RTDL_CORE` *(all of the core)*

  * each `SVC_RTDL_CORE_*`

* `ROLE_LONELY`

  * reads `S3_EVIDENCE_BUCKET`

### 10.4 Rule

* for `SVC_LS`
";

    #[test]
    fn the_map_says_which_role_is_for_what() {
        let mapped = mappings(MAP);
        let lines: Vec<(&str, usize)> = mapped.iter().map(|mapping| (mapping.role.as_str(), mapping.line)).collect();
        assert_eq!(lines, [("ROLE_IG_SERVICE", 5), ("ROLE_RTDL_CORE", 9)]);
        let roles =
            |service: &str| mapped.iter().filter(|m| m.takes(service)).map(|m| m.role.as_str()).collect::<Vec<_>>();
        assert_eq!(roles("SVC_IG"), ["ROLE_IG_SERVICE"]);
        assert_eq!(roles("SVC_RTDL_CORE_IEG"), ["ROLE_RTDL_CORE"]);
        assert_eq!(roles("SVC_LS"), [""; 0]);
    }

    #[rstest]
    #[case(r#"{"Statement":[{"Effect":"Allow","Principal":{"Service":"ecs-tasks.amazonaws.com"},"Action":"sts:AssumeRole"}]}"#, true)]
    #[case(r#"{"Statement":{"Effect":"Allow","Principal":{"Service":["x","ecs-tasks.amazonaws.com"]},"Action":["sts:AssumeRole"]}}"#, true)]
    #[case(r#"{"Statement":[{"Effect":"Deny","Principal":{"Service":"ecs-tasks.amazonaws.com"},"Action":"sts:AssumeRole"}]}"#, false)]
    #[case(
        r#"{"Statement":[{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}]}"#,
        false
    )]
    #[case("no policy", false)]
    fn a_trust_policy_lets_tasks_in(#[case] policy: &str, #[case] lets: bool) {
        assert_eq!(lets_tasks_in(policy), lets);
    }
}
