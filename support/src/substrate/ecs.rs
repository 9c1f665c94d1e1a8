//! Reading ECS, and starting services there.
//!
//! [`Ecs::create_service`] and [`Ecs::update_service`] are the only writes beside the conditional
//! put. Both only ever start things: a desired count below one is refused before anything is sent.

use std::collections::BTreeMap;
use std::sync::Arc;

use aws_config::SdkConfig;
use aws_sdk_ecs::types::{
    self as ecs, AssignPublicIp, AwsVpcConfiguration, DesiredStatus, LaunchType, NetworkConfiguration,
};
use serde::{Deserialize, Serialize};

use super::ecs_tasks::{TaskDefinition, TaskInfo, TasksSeen, task_definition, task_info};
use super::link::{Call, Link};
use super::reply::{CallError, CallErrorKind, Reply};
use super::s3::Listing;
use super::sfn::written;
use super::walk::Walk;

/// The most services that one request may name.
const SERVICES_AT_ONCE: usize = 10;

/// The most tasks that one request may name.
const TASKS_AT_ONCE: usize = 100;

/// How many of a service's events are kept, the latest first as ECS sends them.
const EVENTS_KEPT: usize = 20;

/// A cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterInfo {
    /// Its name.
    pub name: String,
    /// Its ARN.
    pub arn: String,
    /// `ACTIVE`, `PROVISIONING`, `INACTIVE`, …
    pub status: String,
}

/// What is known about one service that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceState {
    /// The name that was asked.
    pub name: String,
    /// The service; none where the server says that it is missing.
    pub info: Option<ServiceInfo>,
}

/// A service. One that was deleted may still be described, as `INACTIVE`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceInfo {
    /// Its name.
    pub name: String,
    /// Its ARN.
    pub arn: String,
    /// `ACTIVE`, `DRAINING` or `INACTIVE`.
    pub status: String,
    /// How many tasks it is to have.
    pub desired: i32,
    /// How many tasks run.
    pub running: i32,
    /// How many tasks are being started.
    pub pending: i32,
    /// The ARN of its task definition.
    pub task_definition: String,
    /// `FARGATE`, `EC2`, …, where the server says it.
    pub launch_type: Option<String>,
    /// Its deployments.
    pub deployments: Vec<Deployment>,
    /// Its latest events, at most 20, in the server's order.
    pub events: Vec<ServiceEvent>,
    /// The subnets of its tasks.
    pub subnets: Vec<String>,
    /// The security groups of its tasks.
    pub security_groups: Vec<String>,
    /// `ENABLED` or `DISABLED`, where the server says it.
    pub assign_public_ip: Option<String>,
    /// `REPLICA` or `DAEMON`, where the server says it.
    pub scheduling: Option<String>,
}

/// One deployment of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployment {
    /// Its id, which its tasks were started by.
    pub id: String,
    /// `PRIMARY`, `ACTIVE` or `INACTIVE`.
    pub status: String,
    /// The ARN of its task definition.
    pub task_definition: String,
    /// How many tasks it is to have.
    pub desired: i32,
    /// How many tasks run.
    pub running: i32,
    /// How many tasks are being started.
    pub pending: i32,
    /// How many tasks of it failed one after another.
    pub failed_tasks: i32,
    /// `IN_PROGRESS`, `COMPLETED` or `FAILED`, where the server says it.
    pub rollout_state: Option<String>,
    /// Why it is in that state.
    pub rollout_reason: Option<String>,
    /// When it was made (RFC 3339, UTC).
    pub created: Option<String>,
}

/// Something that ECS says of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceEvent {
    /// When (RFC 3339, UTC).
    pub at: Option<String>,
    /// What.
    pub message: String,
}

/// A service that is to be made.
#[derive(Debug, Clone, Copy)]
pub struct NewService<'a> {
    /// The cluster's name.
    pub cluster: &'a str,
    /// The service's name.
    pub name: &'a str,
    /// `family:revision`, or the ARN of a task definition.
    pub task_definition: &'a str,
    /// How many tasks it is to have, one or more.
    pub desired: i32,
    /// The subnets of its tasks.
    pub subnets: &'a [String],
    /// The security groups of its tasks.
    pub security_groups: &'a [String],
    /// Whether its tasks get public addresses.
    pub assign_public_ip: bool,
    /// The client token: the same one again is the same service. At most 36 characters.
    pub token: &'a str,
}

/// Which tasks a list is to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskFilter<'a> {
    /// Those of one family of task definitions.
    Family(&'a str),
    /// Those of one service.
    Service(&'a str),
    /// All of them.
    All,
}

/// ECS, for reading and for starting services.
#[derive(Debug)]
pub struct Ecs {
    client: aws_sdk_ecs::Client,
    link: Arc<Link>,
}

impl Ecs {
    pub(super) fn new(config: &SdkConfig, link: Arc<Link>) -> Self {
        Self { client: aws_sdk_ecs::Client::new(config), link }
    }

    /// The cluster of this name.
    ///
    /// # Errors
    /// `NotFound` when the answer lists it as a failure, or not at all; see [`CallErrorKind`] for
    /// the others.
    pub fn describe_cluster(&self, name: &str) -> Result<Reply<ClusterInfo>, CallError> {
        let call = self.link.call("ecs", "describe-clusters", name);
        let request = self.client.describe_clusters().clusters(name).customize();
        let answer = call.send(request.interceptor(call.probe()).send())?.value;
        missing_among(&call, answer.failures)?;
        let cluster = answer.clusters.unwrap_or_default().into_iter().next();
        let cluster =
            cluster.ok_or_else(|| call.error(CallErrorKind::NotFound, format!("the answer does not have `{name}`")))?;
        let info = ClusterInfo {
            name: call.required("clusterName", cluster.cluster_name)?,
            arn: call.required("clusterArn", cluster.cluster_arn)?,
            status: call.required("status", cluster.status)?,
        };
        if !is_named(&info.arn, name) {
            return Err(call.malformed(format!("{} came", info.arn)));
        }
        Ok(call.reply(info))
    }

    /// The services of these names, one for each name and in their order; ten are asked at once.
    ///
    /// # Errors
    /// `NotFound` when there is no such cluster; `Malformed` when the answer says nothing of a name;
    /// see [`CallErrorKind`] for the others.
    pub fn describe_services(&self, cluster: &str, names: &[&str]) -> Result<Reply<Vec<ServiceState>>, CallError> {
        let mut states = Vec::new();
        let mut attempts = 0_u32;
        let mut last = None;
        for some in names.chunks(SERVICES_AT_ONCE) {
            let call = self.link.call("ecs", "describe-services", format!("{cluster}/{}", some.join(",")));
            let request = self
                .client
                .describe_services()
                .cluster(cluster)
                .set_services(Some(some.iter().map(ToString::to_string).collect()))
                .customize();
            let reply = call.send(request.interceptor(call.probe()).send())?;
            attempts = attempts.saturating_add(reply.attempts);
            let missing = missing_among(&call, reply.value.failures)?;
            let found: Vec<ServiceInfo> = reply
                .value
                .services
                .unwrap_or_default()
                .into_iter()
                .map(|service| service_info(&call, service))
                .collect::<Result<_, _>>()?;
            for name in some {
                let info = found.iter().find(|service| is_named(&service.arn, name)).cloned();
                if info.is_none() && !missing.iter().any(|arn| is_named(arn, name)) {
                    return Err(call.malformed(format!("the answer says nothing of `{name}`")));
                }
                states.push(ServiceState { name: (*name).to_owned(), info });
            }
            last = reply.request_id;
        }
        if names.is_empty() {
            let call = self.link.call("ecs", "describe-services", cluster);
            return Err(call.error(CallErrorKind::Refused, "no service is named"));
        }
        Ok(Reply { value: states, request_id: last, attempts })
    }

    /// Makes a Fargate service, which starts its tasks. Together with [`Self::update_service`] the
    /// only write beside the conditional put.
    ///
    /// # Errors
    /// `Refused`, and nothing is sent, when `desired` is below one; see [`CallErrorKind`].
    pub fn create_service(&self, service: &NewService<'_>) -> Result<Reply<ServiceInfo>, CallError> {
        let call = self.link.call("ecs", "create-service", format!("{}/{}", service.cluster, service.name));
        starts(&call, service.desired)?;
        let ip = if service.assign_public_ip { AssignPublicIp::Enabled } else { AssignPublicIp::Disabled };
        let network = AwsVpcConfiguration::builder()
            .set_subnets(Some(service.subnets.to_vec()))
            .set_security_groups(Some(service.security_groups.to_vec()))
            .assign_public_ip(ip)
            .build()
            .map_err(|error| call.error(CallErrorKind::Refused, error.to_string()))?;
        let request = self
            .client
            .create_service()
            .cluster(service.cluster)
            .service_name(service.name)
            .task_definition(service.task_definition)
            .desired_count(service.desired)
            .launch_type(LaunchType::Fargate)
            .network_configuration(NetworkConfiguration::builder().awsvpc_configuration(network).build())
            .client_token(service.token)
            .customize();
        let reply = call.send(request.interceptor(call.probe()).send())?;
        self.written_service(&call, service.name, reply.value.service)
    }

    /// Sets how many tasks a service is to have, and its task definition where one is given.
    /// Together with [`Self::create_service`] the only write beside the conditional put. The service
    /// is looked at first: it never gets fewer tasks than it is to have already. A new task
    /// definition does replace the tasks of the old one, once its own run.
    ///
    /// # Errors
    /// `Refused`, and nothing is sent, when `desired` is below one; `Refused` when it is below what
    /// the service has; `NotFound` when the service or the cluster is missing; see
    /// [`CallErrorKind`] for the others.
    pub fn update_service(
        &self,
        cluster: &str,
        name: &str,
        desired: i32,
        task_definition: Option<&str>,
    ) -> Result<Reply<ServiceInfo>, CallError> {
        let call = self.link.call("ecs", "update-service", format!("{cluster}/{name}"));
        starts(&call, desired)?;
        let there = self.describe_services(cluster, &[name])?.value.into_iter().find_map(|state| state.info);
        let there = there.ok_or_else(|| call.error(CallErrorKind::NotFound, "there is no such service"))?;
        if desired < there.desired {
            let message = format!("it is to have {} task(s), and none is ever stopped", there.desired);
            return Err(call.error(CallErrorKind::Refused, message));
        }
        let request = self
            .client
            .update_service()
            .cluster(cluster)
            .service(name)
            .desired_count(desired)
            .set_task_definition(task_definition.map(str::to_owned))
            .customize();
        let reply = call.send(request.interceptor(call.probe()).send())?;
        self.written_service(&call, name, reply.value.service)
    }

    /// The ARNs of tasks that are to be `RUNNING` or `STOPPED`; every page is walked. Those that
    /// are being started are to be `RUNNING` too, and ECS lists stopped ones for about an hour.
    ///
    /// # Errors
    /// `NotFound` when the cluster or the service is missing; `Refused` when `desired` is another
    /// word; `Malformed` when a page contradicts itself; see [`CallErrorKind`] for the others.
    pub fn list_tasks(
        &self,
        cluster: &str,
        filter: TaskFilter<'_>,
        desired: &str,
    ) -> Result<Reply<Listing<String>>, CallError> {
        let (family, service) = match filter {
            TaskFilter::Family(family) => (Some(family), None),
            TaskFilter::Service(service) => (None, Some(service)),
            TaskFilter::All => (None, None),
        };
        let target = family.or(service).map_or_else(|| cluster.to_owned(), |which| format!("{cluster}/{which}"));
        let mut walk = Walk::default();
        loop {
            let call = self.link.call("ecs", "list-tasks", &target);
            let status = match desired {
                "RUNNING" => DesiredStatus::Running,
                "STOPPED" => DesiredStatus::Stopped,
                other => {
                    let message = format!("`{other}` is no status to ask for; use RUNNING or STOPPED");
                    return Err(call.error(CallErrorKind::Refused, message));
                }
            };
            let request = self
                .client
                .list_tasks()
                .cluster(cluster)
                .set_family(family.map(str::to_owned))
                .set_service_name(service.map(str::to_owned))
                .desired_status(status)
                .set_next_token(walk.token())
                .customize();
            let page = call.send(request.interceptor(call.probe()).send())?;
            page.value.task_arns.unwrap_or_default().into_iter().for_each(|arn| walk.push(arn));
            if walk.is_over(&call, page.attempts, page.value.next_token)? {
                return Ok(walk.reply(&call));
            }
        }
    }

    /// The tasks of these ARNs, in their order; a hundred are asked at once. Those that the server
    /// no longer has are left out, and named.
    ///
    /// # Errors
    /// `NotFound` when the cluster is missing; see [`CallErrorKind`] for the others.
    pub fn describe_tasks(&self, cluster: &str, arns: &[String]) -> Result<Reply<TasksSeen>, CallError> {
        let mut seen = TasksSeen { tasks: Vec::new(), missing: Vec::new() };
        let mut attempts = 0_u32;
        let mut last = None;
        for some in arns.chunks(TASKS_AT_ONCE) {
            let call = self.link.call("ecs", "describe-tasks", format!("{cluster}/{} task(s)", some.len()));
            let request = self.client.describe_tasks().cluster(cluster).set_tasks(Some(some.to_vec())).customize();
            let reply = call.send(request.interceptor(call.probe()).send())?;
            attempts = attempts.saturating_add(reply.attempts);
            missing_among(&call, reply.value.failures)?;
            let mut found: BTreeMap<String, TaskInfo> = BTreeMap::new();
            for task in reply.value.tasks.unwrap_or_default() {
                let task = task_info(&call, task)?;
                if !some.contains(&task.arn) {
                    return Err(call.malformed(format!("{} came, which nobody asked for", task.arn)));
                }
                found.insert(task.arn.clone(), task);
            }
            for arn in some {
                match found.remove(arn) {
                    Some(task) => seen.tasks.push(task),
                    None => seen.missing.push(arn.clone()),
                }
            }
            last = reply.request_id;
        }
        Ok(Reply { value: seen, request_id: last, attempts })
    }

    /// The task definition of this name: `family` for the latest active one, `family:revision`, or
    /// an ARN.
    ///
    /// # Errors
    /// `NotFound` when it is not there; see [`CallErrorKind`] for the others.
    pub fn describe_task_definition(&self, name: &str) -> Result<Reply<TaskDefinition>, CallError> {
        let call = self.link.call("ecs", "describe-task-definition", name);
        let request = self.client.describe_task_definition().task_definition(name).customize();
        let reply = call.send(request.interceptor(call.probe()).send()).map_err(undescribed)?;
        let found = call.required("taskDefinition", reply.value.task_definition)?;
        let definition = task_definition(&call, found)?;
        let qualified = format!("{}:{}", definition.family, definition.revision);
        if ![definition.arn.as_str(), &definition.family, &qualified].contains(&name) {
            return Err(call.malformed(format!("{} came", definition.arn)));
        }
        Ok(call.reply(definition))
    }

    /// What a write says of the service that it wrote.
    fn written_service(
        &self,
        call: &Call<'_>,
        name: &str,
        service: Option<ecs::Service>,
    ) -> Result<Reply<ServiceInfo>, CallError> {
        let info = service_info(call, call.required("service", service)?)?;
        if !is_named(&info.arn, name) {
            return Err(call.malformed(format!("{} came", info.arn)));
        }
        Ok(call.reply(info))
    }
}

/// Refuses whatever would stop things.
fn starts(call: &Call<'_>, desired: i32) -> Result<(), CallError> {
    if desired < 1 {
        let message = format!("a desired count of {desired} starts nothing, and nothing is ever stopped");
        return Err(call.error(CallErrorKind::Refused, message));
    }
    Ok(())
}

/// ECS has no code of its own for a task definition that is not there.
fn undescribed(mut error: CallError) -> CallError {
    if error.kind == CallErrorKind::Refused && error.message.contains("Unable to describe task definition") {
        error.kind = CallErrorKind::NotFound;
    }
    error
}

/// Whether `arn` is that of `name`, which may be an ARN too.
fn is_named(arn: &str, name: &str) -> bool {
    arn == name || arn.rsplit('/').next() == Some(name)
}

/// What the server says is missing. A failure of another reason is no answer.
fn missing_among(call: &Call<'_>, failures: Option<Vec<ecs::Failure>>) -> Result<Vec<String>, CallError> {
    let mut missing = Vec::new();
    for failure in failures.unwrap_or_default() {
        let reason = failure.reason.unwrap_or_default();
        let arn = failure.arn.unwrap_or_default();
        if reason != "MISSING" {
            let detail = failure.detail.unwrap_or_default();
            return Err(call.error(CallErrorKind::Refused, format!("{arn}: {reason} {detail}")));
        }
        missing.push(arn);
    }
    Ok(missing)
}

fn service_info(call: &Call<'_>, service: ecs::Service) -> Result<ServiceInfo, CallError> {
    let network = service.network_configuration.and_then(|network| network.awsvpc_configuration);
    let (subnets, security_groups, assign_public_ip) = match network {
        Some(vpc) => (vpc.subnets, vpc.security_groups.unwrap_or_default(), vpc.assign_public_ip),
        None => (Vec::new(), Vec::new(), None),
    };
    let deployments = service.deployments.unwrap_or_default().into_iter().map(|one| deployment(call, one));
    let events = service.events.unwrap_or_default().into_iter().take(EVENTS_KEPT).map(|event| ServiceEvent {
        at: event.created_at.as_ref().and_then(written),
        message: event.message.unwrap_or_default(),
    });
    Ok(ServiceInfo {
        name: call.required("serviceName", service.service_name)?,
        arn: call.required("serviceArn", service.service_arn)?,
        status: call.required("status", service.status)?,
        desired: service.desired_count,
        running: service.running_count,
        pending: service.pending_count,
        task_definition: call.required("taskDefinition", service.task_definition)?,
        launch_type: service.launch_type.map(|kind| kind.as_str().to_owned()),
        deployments: deployments.collect::<Result<_, _>>()?,
        events: events.collect(),
        subnets,
        security_groups,
        assign_public_ip: assign_public_ip.map(|word| word.as_str().to_owned()),
        scheduling: service.scheduling_strategy.map(|word| word.as_str().to_owned()),
    })
}

fn deployment(call: &Call<'_>, deployment: ecs::Deployment) -> Result<Deployment, CallError> {
    Ok(Deployment {
        id: call.required("id of a deployment", deployment.id)?,
        status: call.required("status of a deployment", deployment.status)?,
        task_definition: call.required("taskDefinition of a deployment", deployment.task_definition)?,
        desired: deployment.desired_count,
        running: deployment.running_count,
        pending: deployment.pending_count,
        failed_tasks: deployment.failed_tasks,
        rollout_state: deployment.rollout_state.map(|state| state.as_str().to_owned()),
        rollout_reason: deployment.rollout_state_reason,
        created: deployment.created_at.as_ref().and_then(written),
    })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::is_named;

    #[rstest]
    #[case("arn:aws:ecs:eu-west-2:230372904534:service/main/gate", "gate", true)]
    // The form that ECS had before.
    #[case("arn:aws:ecs:eu-west-2:230372904534:service/gate", "gate", true)]
    #[case(
        "arn:aws:ecs:eu-west-2:230372904534:service/main/gate",
        "arn:aws:ecs:eu-west-2:230372904534:service/main/gate",
        true
    )]
    #[case("arn:aws:ecs:eu-west-2:230372904534:service/main/other-gate", "gate", false)]
    #[case("gate", "gate", true)]
    fn an_arn_is_of_a_whole_name(#[case] arn: &str, #[case] name: &str, #[case] is: bool) {
        assert_eq!(is_named(arn, name), is);
    }
}
