//! Tasks of ECS, and the definitions that they are made from.

use std::collections::BTreeMap;

use aws_sdk_ecs::types as ecs;
use serde::{Deserialize, Serialize};

use super::link::Call;
use super::reply::CallError;
use super::sfn::written;

/// The tasks that were asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TasksSeen {
    /// Those that are there, in the order in which they were asked.
    pub tasks: Vec<TaskInfo>,
    /// The ARNs of those that are not, or no more.
    pub missing: Vec<String>,
}

/// A task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskInfo {
    /// Its ARN.
    pub arn: String,
    /// Its group: `service:<name>`, `family:<family>`, or a name that its starter gave.
    pub group: Option<String>,
    /// Who started it: the id of a deployment, or a name that its starter gave.
    pub started_by: Option<String>,
    /// Where it is: `PENDING`, `RUNNING`, `STOPPED`, …
    pub last_status: String,
    /// Where it is to be: `RUNNING` or `STOPPED`.
    pub desired_status: String,
    /// `HEALTHY`, `UNHEALTHY` or `UNKNOWN`, where the server says it.
    pub health: Option<String>,
    /// The code for why it was stopped.
    pub stop_code: Option<String>,
    /// Why it was stopped.
    pub stopped_reason: Option<String>,
    /// When it was made (RFC 3339, UTC).
    pub created_at: Option<String>,
    /// When it was started (RFC 3339, UTC).
    pub started_at: Option<String>,
    /// When it was stopped (RFC 3339, UTC).
    pub stopped_at: Option<String>,
    /// The ARN of its task definition.
    pub task_definition: String,
    /// Its containers.
    pub containers: Vec<ContainerInfo>,
    /// What its starter put over the environment, by container and name.
    pub environment_overrides: BTreeMap<String, BTreeMap<String, String>>,
    /// The commands that its starter put in place of the definition's, by container.
    #[serde(default)]
    pub command_overrides: BTreeMap<String, Vec<String>>,
}

/// A container of a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerInfo {
    /// Its name.
    pub name: String,
    /// Its image, as the task definition names it.
    pub image: Option<String>,
    /// The digest of the image that was pulled, `sha256:…`, where the server says it.
    pub image_digest: Option<String>,
    /// Where it is: `PENDING`, `RUNNING`, `STOPPED`.
    pub last_status: Option<String>,
    /// What it exited with.
    pub exit_code: Option<i32>,
    /// What there is to say about it.
    pub reason: Option<String>,
    /// `HEALTHY`, `UNHEALTHY` or `UNKNOWN`, where the server says it.
    pub health: Option<String>,
}

/// A task definition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskDefinition {
    /// Its ARN.
    pub arn: String,
    /// Its family.
    pub family: String,
    /// Its revision, from 1.
    pub revision: i32,
    /// `ACTIVE` or `INACTIVE`.
    pub status: String,
    /// The ARN of the role that its containers have.
    pub task_role: Option<String>,
    /// The ARN of the role that ECS has to start it.
    pub execution_role: Option<String>,
    /// `awsvpc`, …, where the server says it.
    pub network_mode: Option<String>,
    /// Its CPU units.
    pub cpu: Option<String>,
    /// Its memory in MiB.
    pub memory: Option<String>,
    /// Its containers.
    pub containers: Vec<ContainerDefinition>,
}

/// A container of a task definition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerDefinition {
    /// Its name.
    pub name: String,
    /// Its image.
    pub image: String,
    /// Whether the task stops with it. What ECS leaves out is essential.
    pub essential: bool,
    /// Its command.
    pub command: Vec<String>,
    /// Its entry point.
    pub entrypoint: Vec<String>,
    /// Its environment, by name.
    pub environment: BTreeMap<String, String>,
    /// Where the values of its secrets come from, by name.
    pub secrets: BTreeMap<String, String>,
    /// The ARNs of the files that add to its environment.
    pub environment_files: Vec<String>,
    /// Whether ECS starts it again within its task when it ends.
    #[serde(default)]
    pub restarted_in_place: bool,
    /// Whether ECS asks it for its health. A check that the definition takes back (`NONE`) is none.
    #[serde(default)]
    pub health_checked: bool,
    /// Where its logs go: `awslogs`, …
    pub log_driver: Option<String>,
    /// What the log driver was told.
    pub log_options: BTreeMap<String, String>,
}

pub(super) fn task_info(call: &Call<'_>, task: ecs::Task) -> Result<TaskInfo, CallError> {
    let (mut environment_overrides, mut command_overrides) = (BTreeMap::new(), BTreeMap::new());
    for over in task.overrides.and_then(|overrides| overrides.container_overrides).unwrap_or_default() {
        let environment = environment(call, over.environment)?;
        let command = over.command.unwrap_or_default();
        if environment.is_empty() && command.is_empty() {
            continue;
        }
        let name = call.required("name of an override", over.name)?;
        if !command.is_empty() {
            command_overrides.insert(name.clone(), command);
        }
        if !environment.is_empty() {
            environment_overrides.insert(name, environment);
        }
    }
    Ok(TaskInfo {
        arn: call.required("taskArn", task.task_arn)?,
        group: task.group,
        started_by: task.started_by,
        last_status: call.required("lastStatus", task.last_status)?,
        desired_status: call.required("desiredStatus", task.desired_status)?,
        health: task.health_status.map(|health| health.as_str().to_owned()),
        stop_code: task.stop_code.map(|code| code.as_str().to_owned()),
        stopped_reason: task.stopped_reason,
        created_at: task.created_at.as_ref().and_then(written),
        started_at: task.started_at.as_ref().and_then(written),
        stopped_at: task.stopped_at.as_ref().and_then(written),
        task_definition: call.required("taskDefinitionArn", task.task_definition_arn)?,
        containers: task
            .containers
            .unwrap_or_default()
            .into_iter()
            .map(|container| container_info(call, container))
            .collect::<Result<_, _>>()?,
        environment_overrides,
        command_overrides,
    })
}

fn container_info(call: &Call<'_>, container: ecs::Container) -> Result<ContainerInfo, CallError> {
    Ok(ContainerInfo {
        name: call.required("name of a container", container.name)?,
        image: container.image,
        image_digest: container.image_digest,
        last_status: container.last_status,
        exit_code: container.exit_code,
        reason: container.reason,
        health: container.health_status.map(|health| health.as_str().to_owned()),
    })
}

pub(super) fn task_definition(call: &Call<'_>, definition: ecs::TaskDefinition) -> Result<TaskDefinition, CallError> {
    Ok(TaskDefinition {
        arn: call.required("taskDefinitionArn", definition.task_definition_arn)?,
        family: call.required("family", definition.family)?,
        revision: definition.revision,
        status: call.required("status", definition.status)?.as_str().to_owned(),
        task_role: definition.task_role_arn,
        execution_role: definition.execution_role_arn,
        network_mode: definition.network_mode.map(|mode| mode.as_str().to_owned()),
        cpu: definition.cpu,
        memory: definition.memory,
        containers: definition
            .container_definitions
            .unwrap_or_default()
            .into_iter()
            .map(|container| container_definition(call, container))
            .collect::<Result<_, _>>()?,
    })
}

fn container_definition(
    call: &Call<'_>,
    container: ecs::ContainerDefinition,
) -> Result<ContainerDefinition, CallError> {
    let (log_driver, log_options) = match container.log_configuration {
        Some(logs) => (Some(logs.log_driver.as_str().to_owned()), logs.options.unwrap_or_default()),
        None => (None, std::collections::HashMap::new()),
    };
    let mut secrets = BTreeMap::new();
    for secret in container.secrets.unwrap_or_default() {
        // A name that stands there twice would hide one of its values.
        if secrets.insert(secret.name.clone(), secret.value_from).is_some() {
            return Err(call.malformed(format!("secret `{}` is there twice", secret.name)));
        }
    }
    Ok(ContainerDefinition {
        name: call.required("name of a container", container.name)?,
        image: call.required("image of a container", container.image)?,
        essential: container.essential.unwrap_or(true),
        restarted_in_place: container.restart_policy.is_some_and(|policy| policy.enabled),
        health_checked: container
            .health_check
            .is_some_and(|check| check.command.first().is_none_or(|first| first != "NONE")),
        command: container.command.unwrap_or_default(),
        entrypoint: container.entry_point.unwrap_or_default(),
        environment: environment(call, container.environment)?,
        secrets,
        environment_files: container.environment_files.unwrap_or_default().into_iter().map(|file| file.value).collect(),
        log_driver,
        log_options: log_options.into_iter().collect(),
    })
}

fn environment(call: &Call<'_>, pairs: Option<Vec<ecs::KeyValuePair>>) -> Result<BTreeMap<String, String>, CallError> {
    let mut environment = BTreeMap::new();
    for pair in pairs.unwrap_or_default() {
        let name = call.required("name of a variable", pair.name)?;
        if environment.insert(name.clone(), pair.value.unwrap_or_default()).is_some() {
            return Err(call.malformed(format!("variable `{name}` is there twice")));
        }
    }
    Ok(environment)
}
