//! What a gate relies on in ECS, CloudWatch Logs and Cloud Control, over a world that declares them.
//! Only an embedded world can be given how a service does, so only embedded worlds are asked.

use std::collections::BTreeMap;
use std::path::Path;

use aws_smithy_types::error::metadata::ProvideErrorMetadata as _;
use phasegate_support::substrate::reply::CallErrorKind;
use phasegate_support::substrate::seed::{self, World};
use phasegate_support::substrate::{
    LogQuery, NewService, Options, ServiceInfo, Substrate, SubstrateKind, TaskFilter, TaskInfo,
};
use sha2::{Digest as _, Sha256};

use super::Assertion;
use super::ground::{ACCOUNT, Ground, REGION, unless};

pub const LIST: &[Assertion] = &[
    ("ecs.cluster_is_found_and_missed", cluster),
    ("ecs.services_come_in_the_order_asked", services_in_order),
    ("ecs.deleted_service_is_still_told_of", inactive),
    ("ecs.service_that_runs_has_its_tasks", running),
    ("ecs.updated_service_starts_and_says_so", started),
    ("ecs.slow_service_starts_after_its_looks", slow),
    ("ecs.crash_loop_never_runs", crash_loop),
    ("ecs.pending_stays_pending", pending),
    ("ecs.unhealthy_task_runs", unhealthy),
    ("ecs.refused_update_is_an_error", refused),
    ("ecs.created_service_starts_once", created),
    ("ecs.another_creation_of_a_name_is_refused", created_again),
    ("ecs.new_definition_replaces_the_tasks", rolled_out),
    ("ecs.zero_is_never_sent", zero),
    ("ecs.nothing_stops_a_service", nothing_stops),
    ("ecs.missing_things_are_not_found", missing),
    ("ecs.tasks_are_filtered", tasks_filtered),
    ("ecs.tasks_page_and_come_in_the_order_asked", tasks_page),
    ("ecs.task_definition_comes_whole", definition),
    ("logs.groups_by_prefix", log_groups),
    ("logs.events_are_filtered", log_events),
    ("logs.missing_group_is_not_found", missing_group),
    ("network.things_are_found_and_missed", network),
    ("network.nat_gateways_are_read_one_by_one", nat_gateways),
    ("network.other_types_are_unsupported", other_types),
];

const MANIFEST: &str = r#"{"schemaVersion":2}"#;

/// Each assertion that changes something has a service of its own.
const WORLD: &str = r#"
account = "230372904534"
region = "eu-west-2"
instant = "2026-02-10T12:00:00Z"

[[ecr_repository]]
name = "platform"

[[ecr_image]]
repository = "platform"
tag = "git-1"
manifest_file = "manifest.json"

[[cluster]]
name = "main"

[[task_definition]]
family = "gate"
revision = 6

[[task_definition.container]]
name = "app"
image = "platform:git-1"

[[task_definition]]
family = "gate"
revision = 7
task_role = "runtime"
execution_role = "arn:aws:iam::230372904534:role/start"
cpu = "256"
memory = "512"

[[task_definition.container]]
name = "app"
image = "230372904534.dkr.ecr.eu-west-2.amazonaws.com/platform:git-1"
environment = { REQUIRED_PLATFORM_RUN_ID = "platform_1", MODE = "run" }
secrets = { KEY = "/platform/key" }
command = ["serve", "--all"]
entrypoint = ["/init"]
environment_files = ["arn:aws:s3:::config/app.env"]
health_check = ["CMD-SHELL", "true"]
log_group = "/platform/gate"
log_stream_prefix = "gate"

[[task_definition.container]]
name = "side"
image = "elsewhere@sha256:aa"
essential = false
health_check = ["NONE"]

[[task_definition]]
family = "other"

[[task_definition.container]]
name = "app"
image = "nowhere:1"
log_group = "/platform/none"

[[service]]
cluster = "main"
name = "running"
task_definition = "gate"
desired = 2
subnets = ["subnet-1", "subnet-2"]
security_groups = ["sg-1"]
assign_public_ip = true

[[service]]
cluster = "main"
name = "steady"
task_definition = "gate:7"
log = "run scope mismatch: required platform_1"

[[service]]
cluster = "main"
name = "slow"
task_definition = "gate"
starts_after = 3

[[service]]
cluster = "main"
name = "crash"
task_definition = "gate"
behaviour = "crash_loop"
log = "no such topic"

[[service]]
cluster = "main"
name = "stuck"
task_definition = "gate"
behaviour = "pending"

[[service]]
cluster = "main"
name = "sick"
task_definition = "gate"
behaviour = "unhealthy"

[[service]]
cluster = "main"
name = "fixed"
task_definition = "gate"
behaviour = "refused"

[[service]]
cluster = "main"
name = "gone"
task_definition = "gate"
status = "INACTIVE"

[[service]]
cluster = "main"
name = "left"
task_definition = "gate"
status = "INACTIVE"

[[service]]
cluster = "main"
name = "old"
task_definition = "gate:6"
desired = 1

[[service]]
cluster = "main"
name = "many"
task_definition = "other"
desired = 120

[[stray_task]]
cluster = "main"
family = "gate"
started_by = "somebody"
environment = { REQUIRED_PLATFORM_RUN_ID = "platform_0" }

[[stray_task]]
cluster = "main"
family = "other"
group = "by-hand"

[[log_group]]
name = "/platform/gate"
retention_days = 7

[[log_group]]
name = "/platform/seen"

[[log_group]]
name = "/other"

[[log_event]]
group = "/platform/seen"
stream = "app/1"
message = "ready run=platform_1"

[[log_event]]
group = "/platform/seen"
stream = "app/2"
message = "ready run=platform_2"

[[log_event]]
group = "/platform/seen"
stream = "web/1"
message = "going down"

[[vpc]]
id = "vpc-1"

[[subnet]]
id = "subnet-1"
vpc = "vpc-1"
zone = "eu-west-2a"

[[subnet]]
id = "subnet-2"
vpc = "vpc-1"
zone = "eu-west-2b"
maps_public_ip = true

[[security_group]]
id = "sg-1"
vpc = "vpc-1"

[[nat_gateway]]
id = "nat-1"
vpc = "vpc-1"
subnet = "subnet-1"

[[nat_gateway]]
id = "nat-2"
subnet = "subnet-2"
state = "available"
"#;

/// The second at which the world begins.
const BEGAN: i64 = 1_770_724_800;

/// A substrate over a seeded world, kept in `dir` or in memory.
pub fn seeded(dir: Option<&Path>) -> Substrate {
    let literals = tempfile::tempdir().unwrap();
    std::fs::write(literals.path().join("world.toml"), WORLD).unwrap();
    std::fs::write(literals.path().join("manifest.json"), MANIFEST).unwrap();
    let mut options = Options::new(SubstrateKind::Embedded, REGION);
    options.world_dir = dir.map(Path::to_owned);
    let substrate = Substrate::open(&options).unwrap();
    seed::apply(&substrate, &World::read(literals.path()).unwrap()).unwrap();
    substrate
}

fn text(error: impl std::fmt::Debug) -> String {
    format!("{error:?}")
}

fn service(ground: &Ground, name: &str) -> Result<ServiceInfo, String> {
    let came = ground.substrate.ecs().describe_services("main", &[name]).map_err(|e| e.to_string())?.value;
    came.into_iter().find_map(|state| state.info).ok_or_else(|| format!("{name} is missing"))
}

fn update(ground: &Ground, name: &str, desired: i32) -> Result<ServiceInfo, String> {
    let came = ground.substrate.ecs().update_service("main", name, desired, None);
    came.map(|reply| reply.value).map_err(|e| e.to_string())
}

fn arns(ground: &Ground, filter: TaskFilter<'_>, desired: &str) -> Result<Vec<String>, String> {
    let came = ground.substrate.ecs().list_tasks("main", filter, desired).map_err(|e| e.to_string())?.value;
    if came.complete { Ok(came.entries) } else { Err("the list is not complete".to_owned()) }
}

fn tasks(ground: &Ground, filter: TaskFilter<'_>, desired: &str) -> Result<Vec<TaskInfo>, String> {
    let arns = arns(ground, filter, desired)?;
    if arns.is_empty() {
        return Ok(Vec::new());
    }
    let came = ground.substrate.ecs().describe_tasks("main", &arns).map_err(|e| e.to_string())?.value;
    if came.missing.is_empty() { Ok(came.tasks) } else { Err(text(came.missing)) }
}

/// What a log has of a stream that belongs to `task`; a task that has said nothing has none.
fn said(ground: &Ground, task: &TaskInfo) -> Result<Vec<String>, String> {
    let id = task.arn.rsplit('/').next().unwrap_or_default();
    let stream = format!("gate/app/{id}");
    let query = LogQuery { pattern: None, from_second: BEGAN, stream: Some(&stream) };
    let came = match ground.substrate.logs().events("/platform/gate", query) {
        Ok(reply) => reply.value,
        Err(error) if error.kind == CallErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error.to_string()),
    };
    Ok(came.entries.into_iter().map(|event| event.message).collect())
}

fn counts(service: &ServiceInfo) -> [i32; 3] {
    [service.desired, service.running, service.pending]
}

fn cluster(ground: &Ground) -> Result<(), String> {
    let ecs = ground.substrate.ecs();
    let came = ecs.describe_cluster("main").map_err(|e| e.to_string())?.value;
    let arn = format!("arn:aws:ecs:{REGION}:{ACCOUNT}:cluster/main");
    unless(came.name == "main" && came.arn == arn && came.status == "ACTIVE", || text(&came))?;
    let none = ecs.describe_cluster("none");
    unless(none.as_ref().is_err_and(|e| e.kind == CallErrorKind::NotFound), || text(&none))
}

fn services_in_order(ground: &Ground) -> Result<(), String> {
    let names = [
        "slow", "none-1", "none-2", "none-3", "none-4", "none-5", "none-6", "none-7", "none-8", "none-9", "none-10",
        "fixed",
    ];
    let before = ground.substrate.calls_made();
    let came = ground.substrate.ecs().describe_services("main", &names).map_err(|e| e.to_string())?;
    let calls = ground.substrate.calls_made() - before;
    let order: Vec<&str> = came.value.iter().map(|state| state.name.as_str()).collect();
    let found: Vec<&str> = came.value.iter().filter_map(|state| Some(state.info.as_ref()?.name.as_str())).collect();
    unless(order == names && found == ["slow", "fixed"] && calls == 2 && came.attempts == 2, || {
        format!("{calls} {came:?}")
    })
}

fn inactive(ground: &Ground) -> Result<(), String> {
    let came = service(ground, "gone")?;
    unless(came.status == "INACTIVE" && counts(&came) == [0, 0, 0], || text(&came))?;
    let updated = update(ground, "gone", 1);
    unless(updated.as_ref().is_err_and(|e| e.contains("ServiceNotActiveException")), || text(&updated))
}

fn running(ground: &Ground) -> Result<(), String> {
    let came = service(ground, "running")?;
    let definition = format!("arn:aws:ecs:{REGION}:{ACCOUNT}:task-definition/gate:7");
    let deployment = came.deployments.first().ok_or("no deployment")?;
    unless(
        counts(&came) == [2, 2, 0]
            && came.task_definition == definition
            && came.launch_type.as_deref() == Some("FARGATE")
            && came.scheduling.as_deref() == Some("REPLICA")
            && came.assign_public_ip.as_deref() == Some("ENABLED")
            && came.subnets == ["subnet-1", "subnet-2"]
            && came.security_groups == ["sg-1"]
            && deployment.status == "PRIMARY"
            && deployment.rollout_state.as_deref() == Some("COMPLETED")
            && deployment.created.as_deref() == Some("2026-02-10T12:00:00Z")
            && deployment.running == 2
            && came.events.iter().any(|event| event.message.contains("steady state")),
        || text(&came),
    )?;
    let tasks = tasks(ground, TaskFilter::Service("running"), "RUNNING")?;
    unless(tasks.len() == 2 && tasks[0].arn != tasks[1].arn, || text(&tasks))?;
    let digest = format!("sha256:{}", hex::encode(Sha256::digest(MANIFEST)));
    for task in &tasks {
        let digests: Vec<_> = task.containers.iter().map(|one| one.image_digest.as_deref()).collect();
        unless(
            task.group.as_deref() == Some("service:running")
                && task.started_by.as_ref() == Some(&deployment.id)
                && task.last_status == "RUNNING"
                && task.desired_status == "RUNNING"
                && task.task_definition == definition
                && task.started_at.as_deref() == Some("2026-02-10T12:00:00Z")
                && task.stopped_at.is_none()
                && task.environment_overrides.is_empty()
                && digests == [Some(digest.as_str()), Some("sha256:aa")],
            || text(task),
        )?;
        let said = said(ground, task)?;
        unless(said == ["ready run=platform_1"], || text(&said))?;
    }
    Ok(())
}

fn started(ground: &Ground) -> Result<(), String> {
    let before = service(ground, "steady")?;
    unless(counts(&before) == [0, 0, 0] && before.events.is_empty(), || text(&before))?;
    let updated = update(ground, "steady", 1)?;
    unless(counts(&updated) == [1, 0, 1], || text(&updated))?;
    // The default is one look that still sees it starting.
    let starting = service(ground, "steady")?;
    unless(counts(&starting) == [1, 0, 1], || text(&starting))?;
    let waiting = tasks(ground, TaskFilter::Service("steady"), "RUNNING")?;
    let wait = waiting.first().ok_or("no task is listed")?;
    unless(wait.last_status == "PENDING" && wait.started_at.is_none() && said(ground, wait)?.is_empty(), || {
        text(&waiting)
    })?;
    let up = service(ground, "steady")?;
    unless(counts(&up) == [1, 1, 0] && up.events[0].message.contains("steady state"), || text(&up))?;
    let now = tasks(ground, TaskFilter::Service("steady"), "RUNNING")?;
    let said = said(ground, &now[0])?;
    let right = ["ready run=platform_1", "run scope mismatch: required platform_1"];
    unless(now.len() == 1 && now[0].arn == wait.arn && now[0].last_status == "RUNNING" && said == right, || {
        format!("{now:?} {said:?}")
    })?;
    let health = |task: &TaskInfo| -> Vec<Option<String>> {
        let containers = task.containers.iter().map(|container| container.health.clone());
        containers.chain([task.health.clone()]).collect()
    };
    let each = |of: [&str; 3]| of.map(|health| Some(health.to_owned())).to_vec();
    unless(health(wait) == each(["UNKNOWN"; 3]) && health(&now[0]) == each(["HEALTHY", "UNKNOWN", "HEALTHY"]), || {
        format!("{:?} {:?}", health(wait), health(&now[0]))
    })?;
    // The same once more changes nothing.
    let again = update(ground, "steady", 1)?;
    unless(counts(&again) == [1, 1, 0] && again.events == up.events, || text(&again))
}

fn slow(ground: &Ground) -> Result<(), String> {
    update(ground, "slow", 1)?;
    let mut running = Vec::new();
    for _ in 0..5 {
        running.push(service(ground, "slow")?.running);
    }
    unless(running == [0, 0, 0, 1, 1], || text(&running))
}

fn crash_loop(ground: &Ground) -> Result<(), String> {
    update(ground, "crash", 1)?;
    let mut failed = Vec::new();
    for _ in 0..4 {
        let came = service(ground, "crash")?;
        unless(came.running == 0, || text(&came))?;
        failed.push(came.deployments[0].failed_tasks);
    }
    unless(failed == [0, 1, 2, 3], || text(&failed))?;
    let events = service(ground, "crash")?.events;
    unless(events.iter().any(|event| event.message.contains("unable to consistently start")), || text(&events))?;
    let none = arns(ground, TaskFilter::Service("crash"), "RUNNING")?;
    let ended = tasks(ground, TaskFilter::Service("crash"), "STOPPED")?;
    let task = ended.first().ok_or("no stopped task")?;
    unless(
        none.is_empty()
            && ended.len() == 4
            && task.last_status == "STOPPED"
            && task.desired_status == "STOPPED"
            && task.stop_code.as_deref() == Some("EssentialContainerExited")
            && task.stopped_reason.is_some()
            && task.stopped_at.is_some()
            && task.containers[0].exit_code == Some(1),
        || text(&ended),
    )?;
    let said = said(ground, task)?;
    unless(said == ["no such topic"], || text(&said))
}

fn pending(ground: &Ground) -> Result<(), String> {
    update(ground, "stuck", 1)?;
    for _ in 0..4 {
        let came = service(ground, "stuck")?;
        unless(counts(&came) == [1, 0, 1], || text(&came))?;
    }
    Ok(())
}

fn unhealthy(ground: &Ground) -> Result<(), String> {
    update(ground, "sick", 1)?;
    service(ground, "sick")?;
    let came = service(ground, "sick")?;
    let tasks = tasks(ground, TaskFilter::Service("sick"), "RUNNING")?;
    let ill = tasks.iter().all(|task| {
        task.last_status == "RUNNING"
            && task.health.as_deref() == Some("UNHEALTHY")
            && task.containers[0].health.as_deref() == Some("UNHEALTHY")
    });
    unless(counts(&came) == [1, 1, 0] && tasks.len() == 1 && ill, || format!("{came:?} {tasks:?}"))
}

fn refused(ground: &Ground) -> Result<(), String> {
    let came = ground.substrate.ecs().update_service("main", "fixed", 1, None);
    let right = came.as_ref().is_err_and(|error| {
        error.kind == CallErrorKind::Refused && error.status == Some(400) && error.message.contains("ClientException")
    });
    unless(right, || text(&came))?;
    let there = service(ground, "fixed")?;
    unless(counts(&there) == [0, 0, 0], || text(&there))
}

fn new_service<'a>(name: &'a str, token: &'a str, subnets: &'a [String]) -> NewService<'a> {
    NewService {
        cluster: "main",
        name,
        task_definition: "gate:7",
        desired: 1,
        subnets,
        security_groups: &[],
        assign_public_ip: false,
        token,
    }
}

fn created(ground: &Ground) -> Result<(), String> {
    let (ecs, name, subnets) = (ground.substrate.ecs(), ground.name("made"), ["subnet-1".to_owned()]);
    let asked = new_service(&name, "token-1", &subnets);
    let made = ecs.create_service(&asked).map_err(|e| e.to_string())?.value;
    let again = ecs.create_service(&asked).map_err(|e| e.to_string())?.value;
    unless(
        made == again
            && counts(&made) == [1, 0, 1]
            && made.subnets == ["subnet-1"]
            && made.assign_public_ip.as_deref() == Some("DISABLED")
            && made.deployments[0].rollout_state.as_deref() == Some("IN_PROGRESS"),
        || format!("{made:?} {again:?}"),
    )?;
    service(ground, &name)?;
    let up = service(ground, &name)?;
    let completed = up.deployments[0].rollout_state.as_deref() == Some("COMPLETED");
    unless(counts(&up) == [1, 1, 0] && completed, || text(&up))
}

fn created_again(ground: &Ground) -> Result<(), String> {
    let (ecs, name, subnets) = (ground.substrate.ecs(), ground.name("made"), ["subnet-1".to_owned()]);
    ecs.create_service(&new_service(&name, "token-1", &subnets)).map_err(|e| e.to_string())?;
    let other = ecs.create_service(&new_service(&name, "token-2", &subnets));
    unless(other.as_ref().is_err_and(|e| e.message.contains("InvalidParameterException")), || text(&other))?;
    // What was deleted may be made again.
    let back = ecs.create_service(&new_service("left", "token-3", &subnets));
    unless(back.is_ok(), || text(&back))
}

fn rolled_out(ground: &Ground) -> Result<(), String> {
    let old = tasks(ground, TaskFilter::Service("old"), "RUNNING")?;
    let ecs = ground.substrate.ecs();
    let updated = ecs.update_service("main", "old", 1, Some("gate:7")).map_err(|e| e.to_string())?.value;
    let status: Vec<_> = updated.deployments.iter().map(|one| (one.status.as_str(), one.running)).collect();
    let definition = &updated.task_definition;
    unless(status == [("PRIMARY", 0), ("ACTIVE", 1)] && definition.ends_with("/gate:7"), || text(&updated))?;
    service(ground, "old")?;
    let up = service(ground, "old")?;
    let now = tasks(ground, TaskFilter::Service("old"), "RUNNING")?;
    let stopped = arns(ground, TaskFilter::Service("old"), "STOPPED")?;
    unless(
        counts(&up) == [1, 1, 0]
            && up.deployments.len() == 1
            && now.len() == 1
            && now[0].task_definition.ends_with("/gate:7")
            && stopped == [old[0].arn.clone()],
        || format!("{up:?} {now:?} {stopped:?}"),
    )
}

fn zero(ground: &Ground) -> Result<(), String> {
    let (ecs, subnets) = (ground.substrate.ecs(), ["subnet-1".to_owned()]);
    let before = ground.substrate.calls_made();
    let updated = ecs.update_service("main", "running", 0, None);
    let made = ecs.create_service(&NewService { desired: 0, ..new_service("zero", "token-0", &subnets) });
    let sent = ground.substrate.calls_made() - before;
    let kinds = [&updated, &made].map(|came| came.as_ref().err().map(|error| error.kind));
    unless(kinds == [Some(CallErrorKind::Refused); 2] && sent == 0, || format!("{sent} {updated:?} {made:?}"))?;
    // Fewer than there are would stop one.
    let fewer = ecs.update_service("main", "running", 1, None);
    unless(fewer.as_ref().is_err_and(|e| e.kind == CallErrorKind::Refused), || text(&fewer))
}

fn nothing_stops(ground: &Ground) -> Result<(), String> {
    let update = ground.ecs.update_service().cluster("main").service("running").desired_count(0);
    let update = ground.runtime.block_on(update.send()).map_err(|e| e.code().map(str::to_owned));
    let delete = ground.ecs.delete_service().cluster("main").service("running").force(true);
    let delete = ground.runtime.block_on(delete.send()).map_err(|e| e.code().map(str::to_owned));
    let code = Some("NotImplementedException".to_owned());
    unless(update.as_ref().err() == Some(&code) && delete.as_ref().err() == Some(&code), || {
        format!("{update:?} {delete:?}")
    })?;
    let there = service(ground, "running")?;
    unless(counts(&there) == [2, 2, 0], || text(&there))
}

fn missing(ground: &Ground) -> Result<(), String> {
    let ecs = ground.substrate.ecs();
    let kinds = [
        ecs.describe_services("none", &["steady"]).err().map(|e| e.kind),
        ecs.update_service("main", "none", 1, None).err().map(|e| e.kind),
        ecs.list_tasks("none", TaskFilter::All, "RUNNING").err().map(|e| e.kind),
        ecs.list_tasks("main", TaskFilter::Service("none"), "RUNNING").err().map(|e| e.kind),
        ecs.describe_task_definition("gate:5").err().map(|e| e.kind),
        ecs.describe_task_definition("none").err().map(|e| e.kind),
    ];
    unless(kinds == [Some(CallErrorKind::NotFound); 6], || text(kinds))?;
    let word = ecs.list_tasks("main", TaskFilter::All, "PENDING");
    unless(word.as_ref().is_err_and(|e| e.kind == CallErrorKind::Refused && e.attempts == 0), || text(&word))
}

fn tasks_filtered(ground: &Ground) -> Result<(), String> {
    let strays: Vec<TaskInfo> = tasks(ground, TaskFilter::Family("gate"), "RUNNING")?
        .into_iter()
        .filter(|task| !task.group.as_deref().is_some_and(|group| group.starts_with("service:")))
        .collect();
    let stray = strays.first().ok_or("no stray task")?;
    let overrides = BTreeMap::from([(
        "app".to_owned(),
        BTreeMap::from([("REQUIRED_PLATFORM_RUN_ID".to_owned(), "platform_0".to_owned())]),
    )]);
    unless(
        strays.len() == 1
            && stray.group.as_deref() == Some("family:gate")
            && stray.started_by.as_deref() == Some("somebody")
            && stray.task_definition.ends_with("/gate:7")
            && stray.environment_overrides == overrides,
        || text(&strays),
    )?;
    let others = tasks(ground, TaskFilter::Family("other"), "RUNNING")?;
    let by_hand = others.iter().filter(|task| task.group.as_deref() == Some("by-hand")).count();
    let all = arns(ground, TaskFilter::All, "RUNNING")?;
    let gone = arns(ground, TaskFilter::Family("none"), "RUNNING")?;
    unless(by_hand == 1 && others.len() == 121 && all.len() > 121 && gone.is_empty(), || {
        format!("{by_hand} {} {} {gone:?}", others.len(), all.len())
    })
}

fn tasks_page(ground: &Ground) -> Result<(), String> {
    let mut arns = arns(ground, TaskFilter::Service("many"), "RUNNING")?;
    unless(arns.len() == 120, || text(&arns))?;
    arns.reverse();
    let absent = format!("{}-none", arns[0]);
    arns.insert(1, absent.clone());
    let came = ground.substrate.ecs().describe_tasks("main", &arns).map_err(|e| e.to_string())?;
    arns.remove(1);
    let order: Vec<&String> = came.value.tasks.iter().map(|task| &task.arn).collect();
    let digest = &came.value.tasks[0].containers[0].image_digest;
    let right = order == arns.iter().collect::<Vec<_>>() && came.value.missing == [absent];
    unless(right && came.attempts == 2 && digest.is_none(), || text(&came.value.missing))
}

fn definition(ground: &Ground) -> Result<(), String> {
    let ecs = ground.substrate.ecs();
    let came = ecs.describe_task_definition("gate").map_err(|e| e.to_string())?.value;
    let by_arn = ecs.describe_task_definition(&came.arn).map_err(|e| e.to_string())?.value;
    let earlier = ecs.describe_task_definition("gate:6").map_err(|e| e.to_string())?.value;
    unless(
        by_arn == came
            && came.family == "gate"
            && came.revision == 7
            && earlier.revision == 6
            && came.status == "ACTIVE"
            && came.task_role.as_deref() == Some("arn:aws:iam::230372904534:role/runtime")
            && came.execution_role.as_deref() == Some("arn:aws:iam::230372904534:role/start")
            && earlier.task_role.is_none()
            && came.network_mode.as_deref() == Some("awsvpc")
            && came.cpu.as_deref() == Some("256")
            && came.memory.as_deref() == Some("512"),
        || text(&came),
    )?;
    let map = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    };
    let (app, side) = (&came.containers[0], &came.containers[1]);
    unless(
        app.name == "app"
            && app.essential
            && !side.essential
            && app.health_checked
            && !side.health_checked
            && side.log_driver.is_none()
            && app.command == ["serve", "--all"]
            && app.entrypoint == ["/init"]
            && app.environment == map(&[("MODE", "run"), ("REQUIRED_PLATFORM_RUN_ID", "platform_1")])
            && app.secrets == map(&[("KEY", "/platform/key")])
            && app.environment_files == ["arn:aws:s3:::config/app.env"]
            && app.log_driver.as_deref() == Some("awslogs")
            && app.log_options["awslogs-group"] == "/platform/gate"
            && app.log_options["awslogs-stream-prefix"] == "gate",
        || text(&came.containers),
    )
}

fn log_groups(ground: &Ground) -> Result<(), String> {
    let logs = ground.substrate.logs();
    let came = logs.log_groups("/platform/").map_err(|e| e.to_string())?.value;
    let seen: Vec<_> = came.entries.iter().map(|group| (group.name.as_str(), group.retention_days)).collect();
    let right = seen == [("/platform/gate", Some(7)), ("/platform/seen", None)];
    let arn = format!("arn:aws:logs:{REGION}:{ACCOUNT}:log-group:/platform/gate");
    unless(came.complete && right && came.entries[0].arn == arn, || text(&came))?;
    let all = logs.log_groups("").map_err(|e| e.to_string())?.value.entries;
    let none = logs.log_groups("/none").map_err(|e| e.to_string())?.value;
    unless(all.len() == 3 && none.entries.is_empty() && none.complete, || format!("{all:?} {none:?}"))
}

fn log_events(ground: &Ground) -> Result<(), String> {
    let logs = ground.substrate.logs();
    let found = |query: LogQuery<'_>| -> Result<Vec<String>, String> {
        let came = logs.events("/platform/seen", query).map_err(|e| e.to_string())?.value;
        let right = came.complete && came.entries.iter().all(|event| event.at_millis == BEGAN * 1000);
        unless(right, || text(&came))?;
        Ok(came.entries.into_iter().map(|event| event.stream).collect())
    };
    let all = LogQuery { pattern: None, from_second: BEGAN, stream: None };
    let came = [
        found(all)?,
        found(LogQuery { pattern: Some("\"run=platform_2\""), ..all })?,
        found(LogQuery { pattern: Some("ready"), ..all })?,
        found(LogQuery { stream: Some("web/1"), ..all })?,
        found(LogQuery { from_second: BEGAN + 1, ..all })?,
    ];
    let right: [&[&str]; 5] = [&["app/1", "app/2", "web/1"], &["app/2"], &["app/1", "app/2"], &["web/1"], &[]];
    unless(came.iter().zip(right).all(|(came, right)| *came == right), || text(&came))?;
    let none = logs.events("/platform/seen", LogQuery { stream: Some("web/2"), ..all });
    unless(none.as_ref().is_err_and(|e| e.kind == CallErrorKind::NotFound), || text(&none))
}

fn missing_group(ground: &Ground) -> Result<(), String> {
    let query = LogQuery { pattern: None, from_second: 0, stream: None };
    let came = ground.substrate.logs().events("/none", query);
    unless(came.as_ref().is_err_and(|e| e.kind == CallErrorKind::NotFound), || text(&came))
}

fn network(ground: &Ground) -> Result<(), String> {
    let network = ground.substrate.network();
    let one = network.subnet("subnet-1").map_err(|e| e.to_string())?.value;
    let two = network.subnet("subnet-2").map_err(|e| e.to_string())?.value;
    let group = network.security_group("sg-1").map_err(|e| e.to_string())?.value;
    let vpc = network.vpc("vpc-1").map_err(|e| e.to_string())?.value;
    unless(
        one.vpc == "vpc-1"
            && one.zone.as_deref() == Some("eu-west-2a")
            && [one.maps_public_ip, two.maps_public_ip] == [Some(false), Some(true)]
            && group.vpc.as_deref() == Some("vpc-1")
            && vpc.id == "vpc-1",
        || format!("{one:?} {two:?} {group:?} {vpc:?}"),
    )?;
    // The id of one type is none of another.
    let kinds = [
        network.subnet("vpc-1").err().map(|e| e.kind),
        network.security_group("sg-none").err().map(|e| e.kind),
        network.vpc("vpc-none").err().map(|e| e.kind),
    ];
    unless(kinds == [Some(CallErrorKind::NotFound); 3], || text(kinds))
}

fn nat_gateways(ground: &Ground) -> Result<(), String> {
    let came = ground.substrate.network().nat_gateways().map_err(|e| e.to_string())?;
    let seen: Vec<_> = came
        .value
        .entries
        .iter()
        .map(|gateway| {
            [Some(gateway.id.as_str()), gateway.vpc.as_deref(), gateway.subnet.as_deref(), gateway.state.as_deref()]
        })
        .collect();
    let right = [
        [Some("nat-1"), Some("vpc-1"), Some("subnet-1"), None],
        [Some("nat-2"), None, Some("subnet-2"), Some("available")],
    ];
    unless(came.value.complete && seen == right && came.attempts == 3, || text(&came))
}

fn other_types(ground: &Ground) -> Result<(), String> {
    let asked = ground.cloud.list_resources().type_name("AWS::EC2::Instance");
    let came = ground.runtime.block_on(asked.send()).map_err(|e| e.code().map(str::to_owned));
    unless(came.as_ref().err() == Some(&Some("NotImplementedException".to_owned())), || text(&came))
}
