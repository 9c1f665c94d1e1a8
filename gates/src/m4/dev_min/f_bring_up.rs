//! M4.F: the services are started, pack after pack, and waited for until they are steady.

mod logs;
mod start;
mod wait;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use support::ensure;
use support::run::check::{AnyCheck, Check, Proof, Unmet};
use support::run::clock::Instant;
use support::run::context::LaneRun;
use support::run::lane::{Lane, Step, Stop};
use support::run::publication::{Publication, durable, non_secret_derived};
use support::substrate::{ContainerInfo, ServiceInfo, TaskDefinition, TaskFilter, TaskInfo};

pub(super) use self::logs::read as read_log;
use self::start::Started;
pub(super) use self::wait::tasks;
use super::deployed::Deployed;
use super::e_launch_contract::Contract;
use super::packs::{self, PACKS};
use super::{b_service_map, files};

pub(super) const SNAPSHOT: &str = "m4_f_daemon_start_snapshot.json";

/// The code of a lane that cannot go on for a reason that no check of it names.
const FAULT: &str = "PG-M4.F-lane_fault";

/// Seconds that a pack may take to become steady; a rehearsal may shorten it.
pub(super) const START_LIMIT: &str = "PHASEGATE_START_LIMIT";

/// The services after the wait.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Settled {
    /// By the service's handle; those that were started.
    pub services: BTreeMap<String, Service>,
    /// The pack at which the bring-up ended, where it did not come to its end.
    pub ended_at: Option<String>,
}

/// One service after the wait.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Service {
    /// Its name.
    pub name: String,
    /// Its state; none where ECS has no such service.
    pub info: Option<ServiceInfo>,
    /// Its running tasks.
    pub running: Vec<TaskInfo>,
    /// The containers that its task definition has ECS ask for their health.
    #[serde(default)]
    pub checked: BTreeSet<String>,
    /// Its tasks that stopped since this execution began, and those of its deployments that ECS still knows of.
    pub stopped: Vec<TaskInfo>,
    /// What its log says.
    pub log: logs::Said,
}

impl Service {
    /// The ARNs of its running tasks, sorted.
    pub(super) fn arns(&self) -> Vec<&str> {
        let mut arns: Vec<&str> = self.running.iter().map(|task| task.arn.as_str()).collect();
        arns.sort_unstable();
        arns
    }

    /// Why it is not one steady copy.
    pub(super) fn unsteady(&self) -> Option<String> {
        let Some(info) = &self.info else { return Some("ECS has no such service".to_owned()) };
        let counts = (info.desired, info.running, info.pending);
        if counts != (1, 1, 0) {
            return Some(format!("{} desired, {} running, {} pending", counts.0, counts.1, counts.2));
        }
        if let Some(why) = wait::unsettled(info) {
            return Some(why);
        }
        match self.running.as_slice() {
            [task] if task.last_status != "RUNNING" => Some(format!("its task is {}", task.last_status)),
            [task] if task.task_definition == info.task_definition => not_healthy(task, &self.checked),
            [task] => Some(format!("its task is of {}, and it is of {}", task.task_definition, info.task_definition)),
            tasks => Some(format!("{} tasks run", tasks.len())),
        }
    }

    /// What is wrong with it though it runs: it crashes, is unhealthy, or serves another run.
    fn unwell(&self) -> Option<String> {
        if let Some(task) = self.stopped.iter().find(|task| crashed(task)) {
            let reason = task.stopped_reason.as_deref().unwrap_or("no reason given");
            let exits: Vec<String> = task
                .containers
                .iter()
                .filter_map(|container| Some(format!("{} exited with {}", container.name, container.exit_code?)))
                .collect();
            let exits = if exits.is_empty() { String::new() } else { format!(" ({})", exits.join(", ")) };
            return Some(format!("task {} stopped: {reason}{exits}", task.arn));
        }
        if let Some(task) = self.running.iter().find(|task| is_unhealthy(task)) {
            return Some(format!("task {} is UNHEALTHY", task.arn));
        }
        if let Some(why) = self.running.iter().find_map(ended_within) {
            return Some(why);
        }
        let failed: i32 = self.info.iter().flat_map(|info| &info.deployments).map(|d| d.failed_tasks).sum();
        if failed > 0 {
            return Some(format!("{failed} tasks of its deployments failed"));
        }
        self.log.objection().filter(|_| self.has_begun())
    }

    /// Whether a task of it runs, and so could have said something.
    fn has_begun(&self) -> bool {
        self.running.iter().any(|task| task.last_status == "RUNNING")
    }
}

/// Why a service that has its counts is on its way somewhere else: tasks that start, a deployment, failures, another task definition.
pub(super) fn disturbed(info: &ServiceInfo, judged: Option<&TaskDefinition>) -> Option<String> {
    if info.pending != 0 {
        return Some(format!("{} of its tasks are being started", info.pending));
    }
    let failed: i32 = info.deployments.iter().map(|deployment| deployment.failed_tasks).sum();
    if failed > 0 {
        return Some(format!("{failed} tasks of its deployments failed"));
    }
    let other = judged.filter(|judged| judged.arn != info.task_definition);
    wait::unsettled(info).or_else(|| {
        other.map(|judged| format!("it is of {} now, and {} was looked at", info.task_definition, judged.arn))
    })
}

/// Whether ECS calls a task unhealthy, or a container of it.
pub(super) fn is_unhealthy(task: &TaskInfo) -> bool {
    let containers = task.containers.iter().map(|container| container.health.as_deref());
    containers.chain([task.health.as_deref()]).any(|health| health == Some("UNHEALTHY"))
}

/// A container that ended while its task runs on, as one may that is not essential.
pub(super) fn ended_within(task: &TaskInfo) -> Option<String> {
    let ended = |container: &&ContainerInfo| {
        container.exit_code.is_some() || container.last_status.as_deref() == Some("STOPPED")
    };
    let container = task.containers.iter().find(ended)?;
    Some(format!("container {} of the running task {} has ended", container.name, task.arn))
}

/// The containers that a task definition has ECS ask for their health.
pub(super) fn checked(definition: Option<&TaskDefinition>) -> BTreeSet<String> {
    let containers = definition.into_iter().flat_map(|definition| &definition.containers);
    containers.filter(|container| container.health_checked).map(|container| container.name.clone()).collect()
}

/// A container of a task whose health is asked for, and which has not shown it.
pub(super) fn not_healthy(task: &TaskInfo, checked: &BTreeSet<String>) -> Option<String> {
    let health = |name: &str| {
        let container = task.containers.iter().find(|container| container.name == name);
        container.and_then(|container| container.health.as_deref()).unwrap_or("UNKNOWN")
    };
    let name = checked.iter().find(|name| health(name) != "HEALTHY")?;
    Some(format!("container {name} of task {} is {}, and its definition checks its health", task.arn, health(name)))
}

/// Whether a stopped task counts: it stopped since this execution began, or is of a deployment that is there. A daemon that crashes now and
/// then may run just while it is looked at.
fn is_told(task: &TaskInfo, info: &ServiceInfo, begun: Instant) -> bool {
    let mut deployments = info.deployments.iter();
    let of_deployment = task.started_by.as_ref().is_some_and(|by| deployments.any(|deployment| deployment.id == *by));
    of_deployment || wait::is_since(task.stopped_at.as_deref(), begun)
}

/// Whether a task ended by itself, and not because ECS replaced it.
fn crashed(task: &TaskInfo) -> bool {
    // ECS also replaces what fails its health checks, and says so in the reason alone.
    let reason = task.stopped_reason.as_deref().unwrap_or_default().to_ascii_lowercase();
    let replaced = task.stop_code.as_deref() == Some("ServiceSchedulerInitiated") && !reason.contains("health");
    let failed = task.containers.iter().any(|container| container.exit_code.is_some_and(|code| code != 0));
    !replaced && (failed || task.stop_code.is_some() || task.containers.iter().all(|c| c.exit_code.is_none()))
}

static STARTED: Check<Started> = Check::<Started>::new(
    "services.started",
    "M4F-B1",
    &["started"],
    |started| {
        ensure!(started.cluster_active, "the cluster {} is not there, or not ACTIVE", started.cluster);
        for (service, start) in &started.services {
            let Some(why) = &start.refused else { continue };
            if start.did == start::Did::Asked {
                let why = format!("{service}: {} may have been started, no answer came: {why}", start.name);
                return Err(Unmet::from(why).next("run the gate again: what runs by then is left as it is"));
            }
            return Err(Unmet::from(format!("{service}: {} was not started: {why}", start.name)));
        }
        if let Some(pack) = &started.ended_at {
            // The pack itself says why, by another check.
            let why = format!("pack {pack} did not become steady, and what comes after it was not started");
            return Err(Unmet::blocked_by(started.unsteady_code.clone().unwrap_or_default(), why));
        }
        if let Some(code) = &started.broken_off {
            let why = format!("the bring-up broke off after {} services", started.services.len());
            return Err(Unmet::blocked_by(code.clone(), why));
        }
        let missing: Vec<&str> = packs::services().filter(|service| !started.services.contains_key(*service)).collect();
        ensure!(missing.is_empty(), "not started: {}", missing.join(", "));
        let done = started.services.values().filter(|start| start.did != start::Did::Nothing).count();
        Ok(format!("{} services, {done} of them started or updated now", started.services.len()))
    },
    |started| {
        started.ended_at = None;
        started.broken_off = None;
        started.services.clear();
    },
)
.next("read what ECS answered; allow ecs:UpdateService, ecs:CreateService and iam:PassRole to who starts, then run the gate again");

/// What the services must run, beside how they run.
type Running = (Settled, Deployed, Contract);

static STEADY: Check<Running> = Check::<Running>::new(
    "services.steady",
    "M4F-B2",
    &["settled", "M4.C/deployed", "M4.E/contract"],
    |(settled, deployed, contract)| {
        // One that crashes is never steady, and keeps the others waiting; that is the other check's.
        if let Some((handle, why)) = settled.services.iter().find_map(|(h, s)| Some((h, s.unwell()?))) {
            return Err(Unmet::blocked_by("M4F-B3", format!("{handle}: {why}")));
        }
        let mut steady = 0;
        for (handle, service) in &settled.services {
            if let Some(why) = service.unsteady() {
                return Err(Unmet::from(format!("{handle}: {}: {why}", service.name)));
            }
            let judged = deployed.definition(handle).map_err(Unmet::from)?;
            for task in &service.running {
                ensure!(
                    task.task_definition == judged.arn,
                    "{handle}: task {} is of {}, and {} was looked at before",
                    task.arn,
                    task.task_definition,
                    judged.arn
                );
                let of_task: BTreeSet<&str> = task.containers.iter().map(|container| container.name.as_str()).collect();
                let of_definition: BTreeSet<&str> = judged.containers.iter().map(|c| c.name.as_str()).collect();
                if of_task != of_definition {
                    let why = format!(
                        "{handle}: task {} has the containers {of_task:?}, its definition {of_definition:?}",
                        task.arn
                    );
                    let next = "find out who adds containers to the tasks, or takes them away; only the definition's were looked at";
                    return Err(Unmet::from(why).next(next));
                }
                for container in &task.containers {
                    let is = container.image_digest.as_deref().unwrap_or("not told");
                    ensure!(
                        is == contract.image_digest,
                        "{handle}: container {} of task {} runs the image {is}, and M1's is {}",
                        container.name,
                        task.arn,
                        contract.image_digest
                    );
                }
            }
            steady += 1;
        }
        ensure!(steady > 0, "no service was waited for");
        Ok(format!("{steady} services, each with one running task of its task definition"))
    },
    |(settled, _, _)| {
        for service in settled.services.values_mut() {
            service.stopped.clear();
            service.log = logs::Said::default();
            service.info = None;
            service.running.clear();
        }
    },
)
.next("read the service's events, `aws ecs describe-services`, and what its tasks wait for: image, subnet, capacity");

static WELL: Check<Settled> = Check::<Settled>::new(
    "services.well",
    "M4F-B3",
    &["settled"],
    |settled| {
        for (handle, service) in &settled.services {
            if let Some(why) = service.unwell() {
                return Err(Unmet::from(format!("{handle}: {}: {why}", service.name)));
            }
        }
        // What never ran has shown nothing.
        let silent = settled.services.iter().find(|(_, service)| !service.has_begun());
        if let Some((handle, _)) = silent {
            return Err(Unmet::blocked_by("M4F-B2", format!("{handle} does not run")));
        }
        ensure!(!settled.services.is_empty(), "no service was waited for");
        Ok(format!("{} services: none crashed, none is unhealthy, each names the run in its log", settled.services.len()))
    },
    |settled| {
        for service in settled.services.values_mut() {
            service.log.confirmed.clear();
        }
    },
)
.next("read the stopped task and the service's log; once what ended it is mended, a new deployment of the service begins anew; a daemon that was launched for another run is launched again by its task definition");

static DURABLE: Check<Publication> =
    durable("start.durable", "M4F-B4", &["publish:m4_f_daemon_start_snapshot.json"], |published| {
        published.durable(Some("PG-M4.F-start_secret"))
    })
    .next(files::NOT_KEPT);

static NON_SECRET: Check<Publication> =
    non_secret_derived("start.non_secret", "start_secret", &["publish:m4_f_daemon_start_snapshot.json"])
        .next(files::SECRET);

/// What the snapshot answers for.
const ASKED: [&dyn AnyCheck; 3] = [&STARTED, &STEADY, &WELL];

/// The lane.
pub(super) fn lane() -> Lane {
    Lane::new("M4.F", execute)
        .after("M4.D")
        .after("M4.E")
        .asked_again()
        .publishes(publish)
        .may_be_given(START_LIMIT)
        .proves("the services started pack after pack; each runs as one steady copy, crashes not, and names the run in its log")
        .checks(ASKED)
        .checks([&NON_SECRET as &dyn AnyCheck, &DURABLE])
        .requirement("singletons-running", [STARTED.holds(), STEADY.holds(), STEADY.refusal()])
        .requirement("crashloop-free", [WELL.holds(), WELL.refusal()])
        .requirement("start-snapshot", [DURABLE.holds(), NON_SECRET.holds()])
}

/// `services_stable`.
pub(super) fn held() -> Vec<Proof> {
    vec![Proof::Lane("M4.F")]
}

fn execute(run: &mut LaneRun<'_>) -> Step {
    let deployed: Deployed = run.fact("M4.C/deployed")?;
    let contract: Contract = run.fact("M4.E/contract")?;
    let mut started = Started::new(&deployed);
    let mut settled = Settled { services: BTreeMap::new(), ended_at: None };
    let came = bring_up(run, &deployed, &contract, &mut started, &mut settled);
    // A call without an answer opens the code of what was waited for.
    let code = if run.gave_no_answer("settled") { "M4F-B2" } else { FAULT };
    started.broken_off = came.is_err().then(|| code.to_owned());
    // What was started is kept however it ended: nothing of it is taken back.
    run.observe("started", "aws ecs update-service and create-service, pack after pack", &started)?;
    came?;
    if settled.services.is_empty() {
        return run.demand(&STARTED);
    }
    run.observe(
        "settled",
        "aws ecs describe-services until steady; list-tasks, describe-tasks; logs filter-log-events",
        &settled,
    )
}

/// Starts and waits, pack after pack, as far as it comes.
fn bring_up(
    run: &mut LaneRun<'_>,
    deployed: &Deployed,
    contract: &Contract,
    started: &mut Started,
    settled: &mut Settled,
) -> Step {
    let mapped = b_service_map::mapped(run)?;
    let limit = wait::limit(run)?;
    for (pack, _) in PACKS {
        if !started.cluster_active {
            break;
        }
        let services: Vec<(&'static str, String)> =
            mapped.iter().filter(|(of, _, _)| *of == pack).map(|(_, handle, name)| (*handle, name.clone())).collect();
        let refused = !start::pack(run, deployed, &services, started)?;
        if refused {
            settled.ended_at = Some(pack.to_owned());
            break;
        }
        let infos = wait::until_steady(run, &deployed.cluster, &services, limit)?;
        for ((handle, name), info) in services.iter().zip(infos) {
            let definition = deployed.definition(handle).ok();
            let service = look_up(run, &deployed.cluster, name, info, definition, contract, limit)?;
            settled.services.insert((*handle).to_owned(), service);
        }
        let of_pack = || services.iter().filter_map(|(handle, _)| settled.services.get(*handle));
        let unwell = of_pack().any(|service| service.unwell().is_some());
        if unwell || of_pack().any(|service| service.unsteady().is_some()) {
            started.unsteady_code = Some(if unwell { "M4F-B3" } else { "M4F-B2" }.to_owned());
            started.ended_at = Some(pack.to_owned());
            settled.ended_at = Some(pack.to_owned());
            break;
        }
    }
    Ok(())
}

fn look_up(
    run: &mut LaneRun<'_>,
    cluster: &str,
    name: &str,
    info: Option<ServiceInfo>,
    definition: Option<&TaskDefinition>,
    contract: &Contract,
    limit: Duration,
) -> Result<Service, Stop> {
    // ECS refuses to list the tasks of a service that it does not have.
    let Some(info) = info else {
        let log = logs::Said::default();
        let (running, checked, stopped) = (Vec::new(), BTreeSet::new(), Vec::new());
        return Ok(Service { name: name.to_owned(), info: None, running, checked, stopped, log });
    };
    let checked = checked(definition);
    // A service can have its counts before the first checks of its task's health have come to an end.
    let running = wait::until(limit, || {
        let running = wait::tasks(run, "settled", cluster, TaskFilter::Service(name), "RUNNING")?;
        let waits = running.iter().any(|task| not_healthy(task, &checked).is_some() && !is_unhealthy(task));
        Ok((!waits, running))
    })?;
    let mut stopped = wait::tasks(run, "settled", cluster, TaskFilter::Service(name), "STOPPED")?;
    let begun = run.instant();
    stopped.retain(|task| is_told(task, &info, begun));
    let log = match definition {
        // A log comes some seconds after what it tells.
        Some(definition) if running.iter().any(|task| task.last_status == "RUNNING") => wait::until(limit, || {
            let said = logs::read(run, definition, &running, contract)?;
            Ok((said.is_final(), said))
        })?,
        Some(definition) => logs::read(run, definition, &running, contract)?,
        None => logs::Said::default(),
    };
    Ok(Service { name: name.to_owned(), info: Some(info), running, checked, stopped, log })
}

fn publish(run: &mut LaneRun<'_>) -> Step {
    let started: Started = run.fact("started")?;
    let settled: Option<Settled> = run.fact("settled").ok();
    let contract: Contract = run.fact("M4.E/contract")?;
    let services: Vec<Value> = packs::services()
        .filter_map(|handle| {
            let start = started.services.get(handle)?;
            let service = settled.as_ref().and_then(|settled| settled.services.get(handle));
            let info = service.and_then(|service| service.info.as_ref());
            Some(json!({
                "service_handle": handle,
                "service_name": start.name,
                "did": start.did,
                "refused": start.refused,
                "desired_count": info.map(|info| info.desired),
                "running_count": info.map(|info| info.running),
                "task_arns": service.map(Service::arns),
                "stopped_tasks": service.map(|service| service.stopped.len()),
                "health": service.map(|s| s.running.iter().map(|task| task.health.clone()).collect::<Vec<_>>()),
                "log_names_the_run": service.map(|service| service.log.confirms()),
            }))
        })
        .collect();
    let body = json!({
        "m4_execution_id": run.phase_execution_id(),
        "written_at_utc": run.instant().rfc3339(),
        "platform_run_id": contract.platform_run_id,
        "services": services,
        "ended_at_pack": settled.as_ref().and_then(|settled| settled.ended_at.as_deref()).or(started.ended_at.as_deref()),
        "blockers": run.open_among(&ASKED),
        "overall_pass": run.met(&ASKED),
        "non_secret": true,
    });
    files::publish(run, SNAPSHOT, body, &["m4_execution_id", "platform_run_id", "overall_pass"])
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    #[rstest]
    #[case::healthy(&["app"], Some("HEALTHY"), false)]
    #[case::not_judged_yet(&["app"], Some("UNKNOWN"), true)]
    #[case::unhealthy(&["app"], Some("UNHEALTHY"), true)]
    #[case::untold(&["app"], None, true)]
    #[case::of_one_that_the_task_lacks(&["app", "beside"], Some("HEALTHY"), true)]
    #[case::not_asked_for(&[], Some("UNKNOWN"), false)]
    fn a_container_whose_health_is_asked_for_shows_it(
        #[case] checked: &[&str],
        #[case] health: Option<&str>,
        #[case] lacks: bool,
    ) {
        let task: TaskInfo = serde_json::from_value(json!({
            "arn": "arn:task/1", "last_status": "RUNNING", "desired_status": "RUNNING", "environment_overrides": {},
            "task_definition": "arn:task-definition/ig:1", "containers": [{"name": "app", "health": health}],
        }))
        .unwrap();
        let checked = checked.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(not_healthy(&task, &checked).is_some(), lacks);
    }

    #[rstest]
    #[case::of_the_deployment_before_it_began("ecs-svc/1", "2026-02-14T12:09:00Z", true)]
    #[case::of_one_that_is_gone("ecs-svc/0", "2026-02-14T12:09:00Z", false)]
    #[case::of_one_that_is_gone_since("ecs-svc/0", "2026-02-14T12:11:00Z", true)]
    fn what_a_deployment_lost_before_counts(#[case] by: &str, #[case] stopped: &str, #[case] counts: bool) {
        let task: TaskInfo = serde_json::from_value(json!({
            "arn": "arn:task/1", "started_by": by, "last_status": "STOPPED", "desired_status": "STOPPED",
            "stopped_at": stopped, "task_definition": "arn:task-definition/ig:1", "containers": [], "environment_overrides": {},
        }))
        .unwrap();
        let deployment = json!({
            "id": "ecs-svc/1", "status": "PRIMARY", "task_definition": "arn:task-definition/ig:1", "desired": 1, "running": 1,
            "pending": 0, "failed_tasks": 0,
        });
        let info: ServiceInfo = serde_json::from_value(json!({
            "name": "ig", "arn": "arn:service/ig", "status": "ACTIVE", "desired": 1, "running": 1, "pending": 0,
            "task_definition": "arn:task-definition/ig:1", "deployments": [deployment], "events": [], "subnets": [],
            "security_groups": [],
        }))
        .unwrap();
        let begun = Instant::parse("2026-02-14T12:10:04Z").unwrap();
        assert_eq!(is_told(&task, &info, begun), counts);
    }
}
