//! ECS of the embedded world. A handler of our own: that of `winterbaume` drops secrets, and its
//! services never run anything. What it tells of is in [`super::fleet`].

use serde_json::{Map, Value, json};

use super::fleet::{
    Behaviour, Container, Definition, Digests, Fleet, Living, Rollout, Service, ServiceStatus, Task, TaskStatus,
};
use super::holes::paged;
use super::services::{Answer, only};
use super::store::WorldState;

/// The operations that are answered here.
pub(super) const OPERATIONS: [&str; 7] = [
    "CreateService",
    "DescribeClusters",
    "DescribeServices",
    "DescribeTaskDefinition",
    "DescribeTasks",
    "ListTasks",
    "UpdateService",
];

const SERVICES_AT_ONCE: usize = 10;
const TASKS_AT_ONCE: usize = 100;

/// How many events ECS keeps of a service.
const EVENTS_KEPT: usize = 100;

/// Where a request is.
pub(super) struct Place<'a> {
    pub account: &'a str,
    pub region: &'a str,
}

impl Place<'_> {
    fn arn(&self, what: &str) -> String {
        format!("arn:aws:ecs:{}:{}:{what}", self.region, self.account)
    }

    fn role(&self, role: &str) -> String {
        if role.starts_with("arn:") {
            return role.to_owned();
        }
        format!("arn:aws:iam::{}:role/{role}", self.account)
    }
}

/// Answers one of [`OPERATIONS`]. `digests` has what is known of the images that tasks may have.
pub(super) fn answer(
    state: &mut WorldState,
    place: &Place<'_>,
    operation: &str,
    asked: &Value,
    digests: &Digests,
) -> Answer {
    let mut fleet = state.fleets.get(place.region).cloned().unwrap_or_default();
    let answered = match operation {
        "DescribeClusters" => describe_clusters(&fleet, place, asked),
        "DescribeTaskDefinition" => describe_definition(&fleet, place, asked),
        "DescribeTasks" => describe_tasks(&fleet, place, asked),
        "ListTasks" => list_tasks(&fleet, place, asked),
        "DescribeServices" => describe_services(state, &mut fleet, place, asked, digests),
        "CreateService" => create_service(state, &mut fleet, place, asked, digests),
        _ => update_service(state, &mut fleet, place, asked, digests),
    };
    match answered {
        Ok(body) => {
            if ["DescribeServices", "CreateService", "UpdateService"].contains(&operation) {
                state.fleets.insert(place.region.to_owned(), fleet);
            }
            Answer { status: 200, body }
        }
        Err(refused) => refused,
    }
}

type Answered = Result<Value, Answer>;

/// The last part of an ARN, or a name as it is.
fn plain(value: &Value) -> &str {
    value.as_str().and_then(|text| text.rsplit('/').next()).unwrap_or_default()
}

fn texts(value: &Value) -> Vec<String> {
    let all = value.as_array().into_iter().flatten();
    all.filter_map(|one| one.as_str().map(str::to_owned)).collect()
}

fn invalid(message: &str) -> Answer {
    Answer::error(400, "InvalidParameterException", message)
}

fn unimplemented(message: &str) -> Answer {
    Answer::error(501, "NotImplementedException", format!("the embedded world {message}"))
}

/// The name of the cluster that was asked; ECS calls the one that nobody names `default`.
fn cluster(fleet: &Fleet, asked: &Value) -> Result<String, Answer> {
    let name = if asked["cluster"].is_null() { "default" } else { plain(&asked["cluster"]) };
    match fleet.declared.clusters.iter().find(|cluster| cluster.name == name) {
        Some(cluster) => Ok(cluster.name.clone()),
        None => Err(Answer::error(400, "ClusterNotFoundException", "Cluster not found.")),
    }
}

fn describe_clusters(fleet: &Fleet, place: &Place<'_>, asked: &Value) -> Answered {
    only(asked, &["clusters"])?;
    let (mut clusters, mut failures) = (Vec::new(), Vec::new());
    for name in texts(&asked["clusters"]) {
        let name = name.rsplit('/').next().unwrap_or_default();
        let arn = place.arn(&format!("cluster/{name}"));
        if fleet.declared.clusters.iter().any(|cluster| cluster.name == name) {
            clusters.push(json!({"clusterArn": arn, "clusterName": name, "status": "ACTIVE"}));
        } else {
            failures.push(json!({"arn": arn, "reason": "MISSING"}));
        }
    }
    Ok(json!({"clusters": clusters, "failures": failures}))
}

fn describe_services(
    state: &mut WorldState,
    fleet: &mut Fleet,
    place: &Place<'_>,
    asked: &Value,
    digests: &Digests,
) -> Answered {
    only(asked, &["cluster", "services"])?;
    let cluster = cluster(fleet, asked)?;
    let names = texts(&asked["services"]);
    if names.is_empty() || names.len() > SERVICES_AT_ONCE {
        return Err(invalid("Services: one to ten of them"));
    }
    let (mut services, mut failures) = (Vec::new(), Vec::new());
    for name in &names {
        let name = name.rsplit('/').next().unwrap_or_default();
        let Some(at) = fleet.service(&cluster, name) else {
            let arn = place.arn(&format!("service/{cluster}/{name}"));
            failures.push(json!({"arn": arn, "reason": "MISSING"}));
            continue;
        };
        let now = if fleet.is_due(at) { state.tick() } else { state.now() };
        fleet.look(at, now, digests);
        services.push(service_body(fleet, place, &fleet.services[at]));
    }
    Ok(json!({"services": services, "failures": failures}))
}

fn create_service(
    state: &mut WorldState,
    fleet: &mut Fleet,
    place: &Place<'_>,
    asked: &Value,
    digests: &Digests,
) -> Answered {
    let known = [
        "cluster",
        "serviceName",
        "taskDefinition",
        "desiredCount",
        "launchType",
        "networkConfiguration",
        "clientToken",
    ];
    only(asked, &known)?;
    if asked["launchType"] != "FARGATE" {
        return Err(unimplemented("makes services of launch type FARGATE only"));
    }
    let cluster = cluster(fleet, asked)?;
    let name = asked["serviceName"].as_str().unwrap_or_default();
    let token = asked["clientToken"].as_str().map(str::to_owned);
    let taken =
        fleet.service(&cluster, name).filter(|at| fleet.services[*at].service.status != ServiceStatus::Inactive);
    if let Some(at) = taken {
        let there = &fleet.services[at];
        if token.is_some() && there.token == token {
            return Ok(json!({"service": service_body(fleet, place, there)}));
        }
        return Err(invalid("Creation of service was not idempotent."));
    }
    let definition = known_definition(fleet, &asked["taskDefinition"])?;
    let network = &asked["networkConfiguration"]["awsvpcConfiguration"];
    let subnets = texts(&network["subnets"]);
    if name.is_empty() || subnets.is_empty() {
        return Err(invalid("serviceName and subnets must not be empty"));
    }
    let desired = asked["desiredCount"].as_u64().and_then(|count| u32::try_from(count).ok());
    let service = Service {
        cluster,
        name: name.to_owned(),
        task_definition: definition,
        desired: desired.ok_or_else(|| invalid("desiredCount is missing"))?,
        subnets,
        security_groups: texts(&network["securityGroups"]),
        assign_public_ip: network["assignPublicIp"] == "ENABLED",
        status: ServiceStatus::Active,
        behaviour: Behaviour::Steady,
        starts_after: None,
        log: None,
    };
    // One that was deleted gives way to the new one.
    fleet
        .services
        .retain(|living| (&living.service.cluster, &living.service.name) != (&service.cluster, &service.name));
    let now = state.tick();
    let at = fleet.add(service, token, 1, now, digests);
    Ok(json!({"service": service_body(fleet, place, &fleet.services[at])}))
}

fn update_service(
    state: &mut WorldState,
    fleet: &mut Fleet,
    place: &Place<'_>,
    asked: &Value,
    digests: &Digests,
) -> Answered {
    only(asked, &["cluster", "service", "desiredCount", "taskDefinition"])?;
    let cluster = cluster(fleet, asked)?;
    let at = fleet
        .service(&cluster, plain(&asked["service"]))
        .ok_or_else(|| Answer::error(400, "ServiceNotFoundException", "Service not found."))?;
    let living = &fleet.services[at];
    if living.service.status != ServiceStatus::Active {
        return Err(Answer::error(400, "ServiceNotActiveException", "Service was not ACTIVE."));
    }
    if living.service.behaviour == Behaviour::Refused {
        return Err(Answer::error(400, "ClientException", "The service cannot be updated now."));
    }
    let desired = match &asked["desiredCount"] {
        Value::Null => living.desired,
        count => count.as_u64().and_then(|count| u32::try_from(count).ok()).ok_or_else(|| invalid("desiredCount"))?,
    };
    if desired == 0 || desired < living.desired {
        return Err(unimplemented("stops no service and no task of one"));
    }
    let newest = living.rollouts.first().map(|newest| newest.definition.clone()).unwrap_or_default();
    let definition = match &asked["taskDefinition"] {
        Value::Null => newest.clone(),
        named => known_definition(fleet, named)?,
    };
    if desired != living.desired || definition != newest {
        let now = state.tick();
        fleet.update(at, desired, &definition, now, digests);
    }
    Ok(json!({"service": service_body(fleet, place, &fleet.services[at])}))
}

fn known_definition(fleet: &Fleet, named: &Value) -> Result<String, Answer> {
    let found = fleet.definition(plain(named)).map(Definition::name);
    found.ok_or_else(|| Answer::error(400, "ClientException", "TaskDefinition not found."))
}

fn describe_definition(fleet: &Fleet, place: &Place<'_>, asked: &Value) -> Answered {
    only(asked, &["taskDefinition"])?;
    let found = fleet.definition(plain(&asked["taskDefinition"]));
    let found = found.ok_or_else(|| Answer::error(400, "ClientException", "Unable to describe task definition."))?;
    let containers: Vec<Value> = found.containers.iter().map(|container| container_body(place, container)).collect();
    let mut body = json!({
        "taskDefinitionArn": definition_arn(place, &found.name()),
        "family": found.family,
        "revision": found.revision,
        "status": "ACTIVE",
        "networkMode": "awsvpc",
        "requiresCompatibilities": ["FARGATE"],
        "containerDefinitions": containers,
    });
    put(&mut body, "taskRoleArn", found.task_role.as_deref().map(|role| place.role(role)));
    put(&mut body, "executionRoleArn", found.execution_role.as_deref().map(|role| place.role(role)));
    put(&mut body, "cpu", found.cpu.clone());
    put(&mut body, "memory", found.memory.clone());
    Ok(json!({"taskDefinition": body}))
}

/// AWS leaves out what is not known, where `null` would be another answer.
fn put(body: &mut Value, field: &str, value: Option<String>) {
    if let Some(value) = value {
        body[field] = Value::String(value);
    }
}

fn container_body(place: &Place<'_>, container: &Container) -> Value {
    let pairs = |pairs: &std::collections::BTreeMap<String, String>, value_name: &str| -> Vec<Value> {
        pairs.iter().map(|(name, value)| json!({"name": name, value_name: value})).collect()
    };
    let files: Vec<Value> =
        container.environment_files.iter().map(|file| json!({"value": file, "type": "s3"})).collect();
    let mut body = json!({
        "name": container.name,
        "image": container.image,
        "essential": container.essential,
        "command": container.command,
        "entryPoint": container.entrypoint,
        "environment": pairs(&container.environment, "value"),
        "secrets": pairs(&container.secrets, "valueFrom"),
        "environmentFiles": files,
    });
    if let Some(command) = &container.health_check {
        body["healthCheck"] = json!({"command": command});
    }
    if let Some(group) = &container.log_group {
        body["logConfiguration"] = json!({
            "logDriver": "awslogs",
            "options": {
                "awslogs-group": group,
                "awslogs-region": place.region,
                "awslogs-stream-prefix": container.log_stream_prefix,
            },
        });
    }
    body
}

fn definition_arn(place: &Place<'_>, name: &str) -> String {
    place.arn(&format!("task-definition/{name}"))
}

fn service_body(fleet: &Fleet, place: &Place<'_>, living: &Living) -> Value {
    let Living { service, desired, rollouts, events, .. } = living;
    let counted = |status: TaskStatus| -> usize {
        rollouts.iter().map(|rollout| fleet.count(&service.cluster, &rollout.id, status)).sum()
    };
    let deployments: Vec<Value> = rollouts
        .iter()
        .enumerate()
        .map(|(place_of, rollout)| deployment_body(fleet, place, living, place_of, rollout))
        .collect();
    let events: Vec<Value> = events
        .iter()
        .take(EVENTS_KEPT)
        .map(|(at, message)| json!({"id": format!("{at}"), "createdAt": at, "message": message}))
        .collect();
    let newest = rollouts.first().map(|newest| newest.definition.as_str()).unwrap_or_default();
    json!({
        "serviceArn": place.arn(&format!("service/{}/{}", service.cluster, service.name)),
        "serviceName": service.name,
        "clusterArn": place.arn(&format!("cluster/{}", service.cluster)),
        "status": match service.status {
            ServiceStatus::Active => "ACTIVE",
            ServiceStatus::Draining => "DRAINING",
            ServiceStatus::Inactive => "INACTIVE",
        },
        "desiredCount": desired,
        "runningCount": counted(TaskStatus::Running),
        "pendingCount": counted(TaskStatus::Pending),
        "launchType": "FARGATE",
        "schedulingStrategy": "REPLICA",
        "taskDefinition": definition_arn(place, newest),
        "networkConfiguration": {"awsvpcConfiguration": {
            "subnets": service.subnets,
            "securityGroups": service.security_groups,
            "assignPublicIp": if service.assign_public_ip { "ENABLED" } else { "DISABLED" },
        }},
        "deployments": deployments,
        "events": events,
    })
}

fn deployment_body(fleet: &Fleet, place: &Place<'_>, living: &Living, number: usize, rollout: &Rollout) -> Value {
    let cluster = &living.service.cluster;
    let primary = number == 0;
    let (state, reason) = if rollout.completed {
        ("COMPLETED", format!("ECS deployment {} completed.", rollout.id))
    } else {
        ("IN_PROGRESS", format!("ECS deployment {} in progress.", rollout.id))
    };
    json!({
        "id": rollout.id,
        "status": if primary { "PRIMARY" } else { "ACTIVE" },
        "taskDefinition": definition_arn(place, &rollout.definition),
        "desiredCount": if primary { living.desired } else { 0 },
        "runningCount": fleet.count(cluster, &rollout.id, TaskStatus::Running),
        "pendingCount": fleet.count(cluster, &rollout.id, TaskStatus::Pending),
        "failedTasks": rollout.failed,
        "launchType": "FARGATE",
        "rolloutState": state,
        "rolloutStateReason": reason,
        "createdAt": rollout.created,
    })
}

fn task_arn(place: &Place<'_>, task: &Task) -> String {
    place.arn(&format!("task/{}/{}", task.cluster, task.id))
}

fn list_tasks(fleet: &Fleet, place: &Place<'_>, asked: &Value) -> Answered {
    only(asked, &["cluster", "family", "serviceName", "startedBy", "desiredStatus", "nextToken", "maxResults"])?;
    let cluster = cluster(fleet, asked)?;
    let service = asked["serviceName"].as_str().map(|_| plain(&asked["serviceName"]));
    if service.is_some_and(|service| fleet.service(&cluster, service).is_none()) {
        return Err(Answer::error(400, "ServiceNotFoundException", "Service not found."));
    }
    let stopped = match asked["desiredStatus"].as_str() {
        None | Some("RUNNING") => false,
        Some("STOPPED") => true,
        Some(_) => return Err(invalid("desiredStatus is RUNNING or STOPPED here")),
    };
    let family = |task: &Task| task.definition.rsplit_once(':').map(|(family, _)| family.to_owned());
    let arns: Vec<String> = fleet
        .tasks
        .iter()
        .filter(|task| task.cluster == cluster && (task.status == TaskStatus::Stopped) == stopped)
        .filter(|task| asked["family"].as_str().is_none_or(|asked| family(task).as_deref() == Some(asked)))
        .filter(|task| service.is_none_or(|service| task.group == format!("service:{service}")))
        .filter(|task| asked["startedBy"].is_null() || task.started_by.as_deref() == asked["startedBy"].as_str())
        .map(|task| task_arn(place, task))
        .collect();
    let answer = Answer { status: 200, body: json!({"taskArns": arns}) };
    let page = paged(answer, asked, "taskArns", "maxResults", "nextToken");
    if page.status == 200 { Ok(page.body) } else { Err(page) }
}

fn describe_tasks(fleet: &Fleet, place: &Place<'_>, asked: &Value) -> Answered {
    only(asked, &["cluster", "tasks"])?;
    let cluster = cluster(fleet, asked)?;
    let names = texts(&asked["tasks"]);
    if names.is_empty() || names.len() > TASKS_AT_ONCE {
        return Err(invalid("Tasks: one to a hundred of them"));
    }
    let (mut tasks, mut failures) = (Vec::new(), Vec::new());
    for name in &names {
        let id = name.rsplit('/').next().unwrap_or_default();
        match fleet.tasks.iter().find(|task| task.cluster == cluster && task.id == id) {
            Some(task) => tasks.push(task_body(fleet, place, task)),
            None => failures.push(json!({"arn": name, "reason": "MISSING"})),
        }
    }
    Ok(json!({"tasks": tasks, "failures": failures}))
}

fn task_body(fleet: &Fleet, place: &Place<'_>, task: &Task) -> Value {
    let containers = fleet.definition(&task.definition).map(|definition| definition.containers.as_slice());
    let containers = containers.unwrap_or_default();
    let health = |checked: bool| match (task.status, task.healthy, checked) {
        (TaskStatus::Running, false, _) => "UNHEALTHY",
        (TaskStatus::Running, true, true) => "HEALTHY",
        _ => "UNKNOWN",
    };
    let bodies: Vec<Value> = containers
        .iter()
        .map(|container| {
            let mut body = json!({
                "name": container.name,
                "image": container.image,
                "lastStatus": task.status.word(),
                "healthStatus": health(container.is_checked()),
            });
            put(&mut body, "imageDigest", task.digests.get(&container.name).cloned());
            if let Some(stop) = &task.stop {
                body["exitCode"] = json!(stop.exit_code);
            }
            body
        })
        .collect();
    let mut overrides = Map::new();
    if let (false, Some(container)) = (task.overrides.is_empty(), containers.first()) {
        let environment: Vec<Value> =
            task.overrides.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
        let over = json!([{"name": container.name, "environment": environment}]);
        overrides.insert("containerOverrides".to_owned(), over);
    }
    let mut body = json!({
        "taskArn": task_arn(place, task),
        "clusterArn": place.arn(&format!("cluster/{}", task.cluster)),
        "taskDefinitionArn": definition_arn(place, &task.definition),
        "group": task.group,
        "lastStatus": task.status.word(),
        "desiredStatus": if task.status == TaskStatus::Stopped { "STOPPED" } else { "RUNNING" },
        "healthStatus": health(containers.iter().any(Container::is_checked)),
        "launchType": "FARGATE",
        "createdAt": task.created,
        "containers": bodies,
        "overrides": overrides,
    });
    put(&mut body, "startedBy", task.started_by.clone());
    if let Some(started) = task.started {
        body["startedAt"] = json!(started);
    }
    if let Some(stop) = &task.stop {
        body["stoppedAt"] = json!(stop.at);
        body["stopCode"] = json!(stop.code);
        body["stoppedReason"] = json!(stop.reason);
    }
    body
}
