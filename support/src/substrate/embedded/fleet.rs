//! What a region of the embedded world has of containers, of their logs and of the network that
//! they are in, and how its services behave.
//!
//! The world declares it, beside the wire. A service that is to have tasks launches them, and is
//! starting for as many looks (`DescribeServices`) as it was told; then it settles, each in the way
//! of its [`Behaviour`]. Ids are made of names and the world's time, so that they are the same
//! wherever the same happens.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::store::WorldState;
use crate::evidence::digest::sha256_hex;

/// The variable that a task reads its run from; see [`Fleet::settle`].
const RUN_VARIABLE: &str = "REQUIRED_PLATFORM_RUN_ID";

/// A cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::substrate) struct Cluster {
    pub name: String,
}

/// A task definition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::substrate) struct Definition {
    pub family: String,
    #[serde(default = "first")]
    pub revision: i32,
    /// The name of a role, or its ARN.
    pub task_role: Option<String>,
    /// The name of a role, or its ARN.
    pub execution_role: Option<String>,
    pub cpu: Option<String>,
    pub memory: Option<String>,
    #[serde(rename = "container")]
    pub containers: Vec<Container>,
}

impl Definition {
    /// `family:revision`.
    pub(in crate::substrate) fn name(&self) -> String {
        format!("{}:{}", self.family, self.revision)
    }
}

/// A container of a task definition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::substrate) struct Container {
    pub name: String,
    pub image: String,
    #[serde(default = "yes")]
    pub essential: bool,
    #[serde(default)]
    pub command: Vec<String>,
    #[serde(default)]
    pub entrypoint: Vec<String>,
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    #[serde(default)]
    pub secrets: BTreeMap<String, String>,
    #[serde(default)]
    pub environment_files: Vec<String>,
    /// The command that ECS asks it for its health by.
    pub health_check: Option<Vec<String>>,
    pub log_group: Option<String>,
    #[serde(default = "stream_prefix")]
    pub log_stream_prefix: String,
}

impl Container {
    /// Whether ECS asks it for its health.
    pub(super) fn is_checked(&self) -> bool {
        self.health_check.as_ref().is_some_and(|command| command.first().is_none_or(|first| first != "NONE"))
    }
}

/// How a service does once it is to have tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::substrate) enum Behaviour {
    /// Its tasks run.
    #[default]
    Steady,
    /// Its tasks end with code 1 as soon as they run; each look sees more of them.
    CrashLoop,
    /// Its tasks stay pending.
    Pending,
    /// Its tasks run, and their health is bad.
    Unhealthy,
    /// It runs as it is, and no update of it is taken.
    Refused,
}

/// What ECS says of a service as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(in crate::substrate) enum ServiceStatus {
    #[default]
    Active,
    Draining,
    Inactive,
}

/// A service, as it is declared or asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::substrate) struct Service {
    pub cluster: String,
    pub name: String,
    /// `family`, or `family:revision`.
    pub task_definition: String,
    #[serde(default)]
    pub desired: u32,
    #[serde(default)]
    pub subnets: Vec<String>,
    #[serde(default)]
    pub security_groups: Vec<String>,
    #[serde(default)]
    pub assign_public_ip: bool,
    #[serde(default)]
    pub status: ServiceStatus,
    #[serde(default)]
    pub behaviour: Behaviour,
    /// How many looks see it starting. None: one, and none where it runs from the beginning.
    pub starts_after: Option<u32>,
    /// What each of its tasks writes into its log, beside its readiness.
    pub log: Option<String>,
}

/// A task that no service started, running since the world began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::substrate) struct StrayTask {
    pub cluster: String,
    pub family: String,
    pub started_by: Option<String>,
    pub group: Option<String>,
    /// What its starter put over the environment of its first container.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
}

/// A log group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::substrate) struct LogGroup {
    pub name: String,
    pub retention_days: Option<i32>,
}

/// An event that was written when the world began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::substrate) struct LogEvent {
    pub group: String,
    pub stream: String,
    pub message: String,
}

/// A VPC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::substrate) struct Vpc {
    pub id: String,
}

/// A subnet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::substrate) struct Subnet {
    pub id: String,
    pub vpc: String,
    pub zone: String,
    #[serde(default)]
    pub maps_public_ip: bool,
}

/// A security group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::substrate) struct SecurityGroup {
    pub id: String,
    pub vpc: String,
}

/// A NAT gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::substrate) struct NatGateway {
    pub id: String,
    pub vpc: Option<String>,
    pub subnet: String,
    /// AWS does not tell it there; a world may.
    pub state: Option<String>,
}

/// All that a world declares of these things.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::substrate) struct Declared {
    pub clusters: Vec<Cluster>,
    pub definitions: Vec<Definition>,
    pub services: Vec<Service>,
    pub stray_tasks: Vec<StrayTask>,
    pub log_groups: Vec<LogGroup>,
    pub log_events: Vec<LogEvent>,
    pub vpcs: Vec<Vpc>,
    pub subnets: Vec<Subnet>,
    pub security_groups: Vec<SecurityGroup>,
    pub nat_gateways: Vec<NatGateway>,
}

impl Declared {
    /// How many things these are.
    pub(in crate::substrate) fn count(&self) -> usize {
        self.clusters.len()
            + self.definitions.len()
            + self.services.len()
            + self.stray_tasks.len()
            + self.log_groups.len()
            + self.log_events.len()
            + self.vpcs.len()
            + self.subnets.len()
            + self.security_groups.len()
            + self.nat_gateways.len()
    }
}

/// What became of things that were to be kept.
#[derive(Debug)]
pub(in crate::substrate) enum Furnished {
    /// They are kept now.
    Made,
    /// They were kept already.
    There,
    /// None is kept: something else is there.
    Differs,
}

/// Where a task is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(super) enum TaskStatus {
    Pending,
    Running,
    Stopped,
}

impl TaskStatus {
    /// AWS's word for it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Running => "RUNNING",
            Self::Stopped => "STOPPED",
        }
    }
}

/// Why a task was stopped.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Stop {
    pub at: u64,
    pub code: String,
    pub reason: String,
    pub exit_code: i32,
}

/// A task.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Task {
    pub id: String,
    pub cluster: String,
    /// `family:revision`.
    pub definition: String,
    pub group: String,
    pub started_by: Option<String>,
    pub created: u64,
    pub started: Option<u64>,
    pub status: TaskStatus,
    pub stop: Option<Stop>,
    pub healthy: bool,
    pub overrides: BTreeMap<String, String>,
    /// The digests of its images, by container, as far as they are known.
    pub digests: BTreeMap<String, String>,
}

/// A deployment of a service.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Rollout {
    pub id: String,
    /// `family:revision`.
    pub definition: String,
    pub created: u64,
    /// How many looks there were since it last launched something.
    pub looks: u32,
    pub starts_after: u32,
    /// Nothing is left to be launched or to settle.
    pub settled: bool,
    /// It was whole once; ECS does not take that back when the service grows.
    pub completed: bool,
    pub failed: u32,
}

/// A service that lives.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Living {
    pub service: Service,
    pub desired: u32,
    pub token: Option<String>,
    /// The newest first; there is always one.
    pub rollouts: Vec<Rollout>,
    /// The newest first.
    pub events: Vec<(u64, String)>,
}

/// A line of a log.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Line {
    pub group: String,
    pub stream: String,
    pub at: u64,
    pub message: String,
}

/// What one region has.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Fleet {
    pub declared: Declared,
    pub services: Vec<Living>,
    pub tasks: Vec<Task>,
    pub lines: Vec<Line>,
}

/// The digests of images, by the text that names each.
pub(super) type Digests = BTreeMap<String, String>;

/// Keeps what is declared, all of it or nothing. `digests` has what is known of the images.
pub(super) fn furnish(state: &mut WorldState, region: &str, declared: &Declared, digests: &Digests) -> Furnished {
    match state.fleets.get(region) {
        Some(fleet) if fleet.declared == *declared => return Furnished::There,
        Some(fleet) if fleet.declared.count() > 0 => return Furnished::Differs,
        _ => {}
    }
    let began = state.instant.unwrap_or_else(|| state.now());
    let fleet = Fleet::of(declared, began, digests);
    state.fleets.insert(region.to_owned(), fleet);
    Furnished::Made
}

impl Fleet {
    fn of(declared: &Declared, began: u64, digests: &Digests) -> Self {
        let mut fleet = Self { declared: declared.clone(), ..Self::default() };
        for LogEvent { group, stream, message } in &declared.log_events {
            let (group, stream, message) = (group.clone(), stream.clone(), message.clone());
            fleet.lines.push(Line { group, stream, at: began, message });
        }
        for service in &declared.services {
            let from_the_beginning = service.starts_after.unwrap_or(0);
            fleet.add(service.clone(), None, from_the_beginning, began, digests);
        }
        for stray in &declared.stray_tasks {
            if let Some(definition) = fleet.definition(&stray.family).map(Definition::name) {
                let group = stray.group.clone().unwrap_or_else(|| format!("family:{}", stray.family));
                let mut task = fleet.task(&stray.cluster, &definition, &group, began, digests);
                task.started_by.clone_from(&stray.started_by);
                task.overrides.clone_from(&stray.environment);
                task.started = Some(began);
                task.status = TaskStatus::Running;
                fleet.tasks.push(task);
            }
        }
        fleet
    }

    /// The definition of this name: the latest of a family, or `family:revision`.
    pub(super) fn definition(&self, name: &str) -> Option<&Definition> {
        let all = &self.declared.definitions;
        let whole = all.iter().find(|definition| definition.name() == name);
        whole.or_else(|| {
            all.iter().filter(|definition| definition.family == name).max_by_key(|definition| definition.revision)
        })
    }

    /// The place of the service of this name.
    pub(super) fn service(&self, cluster: &str, name: &str) -> Option<usize> {
        self.services.iter().position(|living| living.service.cluster == cluster && living.service.name == name)
    }

    /// Takes a new service, and starts it where it is to have tasks.
    pub(super) fn add(
        &mut self,
        service: Service,
        token: Option<String>,
        starts_after: u32,
        now: u64,
        digests: &Digests,
    ) -> usize {
        let desired = if service.status == ServiceStatus::Active { service.desired } else { 0 };
        let rollouts = vec![rollout(&service, &self.whole_name(&service.task_definition), now, 0)];
        self.services.push(Living { service, desired: 0, token, rollouts, events: Vec::new() });
        let at = self.services.len() - 1;
        if desired == 0 {
            // A deployment of nothing is whole at once.
            if let Some(rollout) = self.services[at].rollouts.first_mut() {
                rollout.settled = true;
                rollout.completed = true;
            }
        }
        self.grow(at, desired, starts_after, now, digests);
        at
    }

    /// Changes the definition of a service, where it is another one, and how many tasks it has.
    pub(super) fn update(&mut self, at: usize, desired: u32, definition: &str, now: u64, digests: &Digests) {
        let starts_after = self.services[at].service.starts_after.unwrap_or(1);
        let definition = self.whole_name(definition);
        let living = &mut self.services[at];
        if living.rollouts.first().is_some_and(|newest| newest.definition == definition) {
            self.grow(at, desired, starts_after, now, digests);
            return;
        }
        let number = living.rollouts.len();
        let next = rollout(&living.service, &definition, now, number);
        living.rollouts.insert(0, next);
        living.desired = 0;
        self.grow(at, desired, starts_after, now, digests);
    }

    fn whole_name(&self, definition: &str) -> String {
        self.definition(definition).map_or_else(|| definition.to_owned(), Definition::name)
    }

    /// Launches what a service lacks. It is starting from here, unless `starts_after` is zero.
    fn grow(&mut self, at: usize, desired: u32, starts_after: u32, now: u64, digests: &Digests) {
        let living = &mut self.services[at];
        let lacks = desired.saturating_sub(living.desired);
        living.desired = desired.max(living.desired);
        let behaviour = living.service.behaviour;
        let Some(newest) = living.rollouts.first_mut().filter(|_| lacks > 0) else {
            return;
        };
        newest.looks = 0;
        newest.starts_after = starts_after;
        newest.settled = false;
        if behaviour != Behaviour::CrashLoop {
            self.launch(at, lacks, now, digests);
        }
        if starts_after == 0 {
            self.settle(at, now, digests);
        }
    }

    /// New tasks of a service's newest deployment, pending; their ids.
    fn launch(&mut self, at: usize, count: u32, now: u64, digests: &Digests) -> Vec<String> {
        let living = &self.services[at];
        let Some(newest) = living.rollouts.first().cloned() else {
            return Vec::new();
        };
        let (cluster, name) = (living.service.cluster.clone(), living.service.name.clone());
        let mut ids = Vec::new();
        for _ in 0..count {
            let mut task = self.task(&cluster, &newest.definition, &format!("service:{name}"), now, digests);
            task.started_by = Some(newest.id.clone());
            ids.push(task.id.clone());
            self.tasks.push(task);
        }
        let tasks: Vec<String> = ids.iter().map(|id| format!("(task {id})")).collect();
        let message = format!("(service {name}) has started {count} tasks: {}.", tasks.join(" "));
        self.services[at].events.insert(0, (now, message));
        ids
    }

    fn task(&self, cluster: &str, definition: &str, group: &str, now: u64, digests: &Digests) -> Task {
        let number = self.tasks.len();
        let id = sha256_hex(format!("{cluster} {definition} {group} {number} {now}").as_bytes());
        let containers = self.definition(definition).map(|definition| definition.containers.as_slice());
        Task {
            id: id.chars().take(32).collect(),
            cluster: cluster.to_owned(),
            definition: definition.to_owned(),
            group: group.to_owned(),
            started_by: None,
            created: now,
            started: None,
            status: TaskStatus::Pending,
            stop: None,
            healthy: true,
            overrides: BTreeMap::new(),
            digests: containers
                .unwrap_or_default()
                .iter()
                .filter_map(|container| Some((container.name.clone(), digests.get(&container.image)?.clone())))
                .collect(),
        }
    }

    /// Whether a look at this service now would change it, but for the count of looks.
    pub(super) fn is_due(&self, at: usize) -> bool {
        let living = &self.services[at];
        let crashes = living.service.behaviour == Behaviour::CrashLoop && living.desired > 0;
        living
            .rollouts
            .first()
            .is_some_and(|newest| newest.looks >= newest.starts_after && (crashes || !newest.settled))
    }

    /// One look at a service.
    pub(super) fn look(&mut self, at: usize, now: u64, digests: &Digests) {
        if self.is_due(at) {
            self.settle(at, now, digests);
        }
        if let Some(newest) = self.services[at].rollouts.first_mut() {
            newest.looks = newest.looks.saturating_add(1);
        }
    }

    /// A service's time to start is over. A task that runs says `ready run=` and the run of its
    /// container's environment.
    fn settle(&mut self, at: usize, now: u64, digests: &Digests) {
        let service = self.services[at].service.clone();
        match service.behaviour {
            Behaviour::CrashLoop => return self.crash(at, now, digests),
            Behaviour::Pending => return,
            Behaviour::Steady | Behaviour::Unhealthy | Behaviour::Refused => {}
        }
        let Some(newest) = self.services[at].rollouts.first().map(|newest| newest.id.clone()) else {
            return;
        };
        let mut started = Vec::new();
        for task in self.tasks.iter_mut().filter(|task| task.group == format!("service:{}", service.name)) {
            if task.cluster != service.cluster || task.status == TaskStatus::Stopped {
                continue;
            }
            if task.started_by.as_ref() != Some(&newest) {
                let reason = "Scaling activity initiated by a newer deployment".to_owned();
                task.status = TaskStatus::Stopped;
                task.stop = Some(Stop { at: now, code: "ServiceSchedulerInitiated".to_owned(), reason, exit_code: 0 });
            } else if task.status == TaskStatus::Pending {
                task.status = TaskStatus::Running;
                task.started = Some(now);
                task.healthy = service.behaviour != Behaviour::Unhealthy;
                started.push(task.clone());
            }
        }
        for task in &started {
            self.write(task, true, service.log.as_deref(), now);
        }
        let living = &mut self.services[at];
        living.rollouts.truncate(1);
        if let Some(newest) = living.rollouts.first_mut() {
            newest.settled = true;
            newest.completed = newest.completed || service.behaviour != Behaviour::Unhealthy;
        }
        if service.behaviour != Behaviour::Unhealthy {
            living.events.insert(0, (now, format!("(service {}) has reached a steady state.", service.name)));
        }
    }

    /// All tasks of a service run and end.
    fn crash(&mut self, at: usize, now: u64, digests: &Digests) {
        let (service, desired) = (self.services[at].service.clone(), self.services[at].desired);
        let ids = self.launch(at, desired, now, digests);
        let mut ended = Vec::new();
        for task in self.tasks.iter_mut().filter(|task| ids.contains(&task.id)) {
            task.started = Some(now);
            task.status = TaskStatus::Stopped;
            let reason = "Essential container in task exited".to_owned();
            task.stop = Some(Stop { at: now, code: "EssentialContainerExited".to_owned(), reason, exit_code: 1 });
            ended.push(task.clone());
        }
        for task in &ended {
            self.write(task, false, service.log.as_deref(), now);
        }
        let living = &mut self.services[at];
        if let Some(newest) = living.rollouts.first_mut() {
            newest.settled = true;
            newest.failed = newest.failed.saturating_add(desired);
        }
        let message = format!("(service {}) is unable to consistently start tasks successfully.", service.name);
        living.events.insert(0, (now, message));
    }

    /// What a task writes into the log of its first container that has one. A log group that is not
    /// there takes nothing.
    fn write(&mut self, task: &Task, ready: bool, more: Option<&str>, now: u64) {
        let definition = self.definition(&task.definition);
        let logged = definition.and_then(|definition| {
            definition.containers.iter().find_map(|container| Some((container, container.log_group.clone()?)))
        });
        let Some((container, group)) = logged else {
            return;
        };
        if !self.declared.log_groups.iter().any(|known| known.name == group) {
            return;
        }
        let stream = format!("{}/{}/{}", container.log_stream_prefix, container.name, task.id);
        let run = container.environment.get(RUN_VARIABLE).map(String::as_str).unwrap_or_default();
        let said = ready.then(|| format!("ready run={run}")).into_iter().chain(more.map(str::to_owned));
        let lines: Vec<Line> =
            said.map(|message| Line { group: group.clone(), stream: stream.clone(), at: now, message }).collect();
        self.lines.extend(lines);
    }

    /// How many tasks of a deployment are in `status`.
    pub(super) fn count(&self, cluster: &str, rollout: &str, status: TaskStatus) -> usize {
        let of = |task: &&Task| task.started_by.as_deref() == Some(rollout) && task.cluster == cluster;
        self.tasks.iter().filter(of).filter(|task| task.status == status).count()
    }
}

/// A deployment; `number` tells those of one instant apart.
fn rollout(service: &Service, definition: &str, now: u64, number: usize) -> Rollout {
    let of = format!("{} {} {definition} {number} {now}", service.cluster, service.name);
    let digits: String = sha256_hex(of.as_bytes()).bytes().map(|byte| char::from(b'0' + byte % 10)).take(19).collect();
    Rollout {
        id: format!("ecs-svc/{digits}"),
        definition: definition.to_owned(),
        created: now,
        looks: 0,
        starts_after: 0,
        settled: false,
        completed: false,
        failed: 0,
    }
}

fn first() -> i32 {
    1
}

fn yes() -> bool {
    true
}

fn stream_prefix() -> String {
    "ecs".to_owned()
}
