//! M4.G: nobody consumes beside the daemons, and each of them is still one after a while.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use support::ensure;
use support::reach::{GroupMember, Sight};
use support::registry::HandleError;
use support::run::check::{AnyCheck, Check, Proof, Unmet};
use support::run::context::LaneRun;
use support::run::lane::{Lane, Step, Stop};
use support::run::outcome::RunBasis;
use support::run::publication::{Publication, durable, non_secret_derived};
use support::substrate::reply::CallErrorKind;
use support::substrate::{TaskFilter, TaskInfo};

use super::a_handle_closure;
use super::d_dependencies::{kafka_address, without_place};
use super::deployed::Deployed;
use super::e_launch_contract::Contract;
use super::f_bring_up::{Settled, checked, ended_within, is_unhealthy, not_healthy, read_log, tasks};
use super::{files, packs};

pub(super) const SNAPSHOT: &str = "m4_g_consumer_uniqueness_snapshot.json";

/// Seconds between the two looks at the services; a rehearsal may shorten it.
const SETTLE: &str = "PHASEGATE_SETTLE";

/// So long the services are left to themselves before they are looked at again.
const INTERVAL: Duration = Duration::from_secs(30);

/// The registry's names of the groups that daemons consume in, each with how many services do so. The core's it must have.
const GROUPS: [(&str, usize); 3] =
    [(CORE_GROUP, 4), ("DECISION_LANE_CONSUMER_GROUP_ID", 4), ("CASE_LABELS_CONSUMER_GROUP_ID", 3)];
const CORE_GROUP: &str = "RTDL_CORE_CONSUMER_GROUP_ID";

/// One service at the second look.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Seen {
    /// Desired and running count; none where ECS has it no more.
    counts: Option<(i32, i32)>,
    /// The ARNs of its running tasks, sorted.
    tasks: Vec<String>,
    /// What is wrong with their health.
    unhealthy: Vec<String>,
    /// What else is wrong with it now: a container that ended, or what its log says.
    objection: Option<String>,
}

/// One consumer group of Kafka.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Group {
    state: String,
    /// The client ids of its members, sorted.
    clients: Vec<String>,
}

/// The second look.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Later {
    /// By the service's handle.
    services: BTreeMap<String, Seen>,
    /// Tasks of the services' families that no service started, with who did.
    strays: Vec<String>,
    /// Tasks that were started for another run, by an override.
    other_runs: Vec<String>,
    /// Kafka's groups that consume topics of the platform, or why nothing is known of them.
    groups: Result<BTreeMap<String, Group>, String>,
    /// Whether Kafka shows the gate's login all of its groups; none where it did not answer.
    sight: Option<Sight>,
    /// The groups that the registry names, each with how many services consume in it, or why it cannot be told.
    named: Result<BTreeMap<String, usize>, String>,
}

impl Later {
    /// Whether there can be groups that were not seen.
    fn all_seen(&self) -> Result<(), Unmet> {
        match self.sight {
            Some(Sight::All) => Ok(()),
            Some(Sight::Permitted) => {
                let why = "the gate's login may not describe the cluster, so Kafka keeps groups from it without a word";
                Err(Unmet::from(why).next(
                    "allow the login of SSM_CONFLUENT_API_KEY_PATH the operation DESCRIBE on the resource CLUSTER (an ACL), then run the gate again",
                ))
            }
            Some(Sight::Untold) | None => {
                let why =
                    "Kafka does not say what the gate's login may, so whether it keeps groups from it cannot be told";
                Err(Unmet::from(why).next(
                    "use a cluster that says which operations a login may on it (Apache Kafka does from 2.8 on), then run the gate again",
                ))
            }
        }
    }

    /// Whether Kafka's groups are the daemons' own.
    fn own_groups(&self) -> Result<usize, Unmet> {
        let groups = self.groups.as_ref().map_err(|why| Unmet::from(format!("Kafka's groups: {why}")))?;
        let named = self.named.as_ref().map_err(|why| Unmet::from(why.clone()))?;
        for (id, group) in groups {
            let Some(services) = named.get(id) else {
                let next = format!(
                    "stop the consumer by hand; or, if daemons consume so, name the group in the registry: {}",
                    GROUPS.map(|(handle, _)| handle).join(", ")
                );
                let id = files::shown(id);
                let why = format!("the group {id} consumes the platform's topics, and the registry names none such");
                return Err(Unmet::from(why).next(next));
            };
            if group.state != "Stable" {
                let why = format!("the consumer group {id} is {}, not Stable", group.state);
                return Err(Unmet::from(why).next("wait until its members have settled, then run the gate again"));
            }
            let members = group.clients.len();
            ensure!(
                members == *services,
                "the consumer group {id} has {members} members, and {services} daemons consume in it"
            );
            let twice = group.clients.windows(2).find(|pair| pair.first() == pair.last());
            if let Some(client) = twice.and_then(<[String]>::first) {
                let why = format!("{} consumes twice in the group {id}", files::shown(client));
                let next =
                    "stop the second one, if it is one by hand; daemons of one default name need a client.id each";
                return Err(Unmet::from(why).next(next));
            }
        }
        self.all_seen()?;
        if let Some(unseen) = named.keys().find(|id| !groups.contains_key(*id)) {
            let why = "in which daemons consume, as the registry says";
            return Err(Unmet::from(format!("Kafka shows no consumer group {unseen}, {why}")));
        }
        Ok(groups.len())
    }
}

static UNIQUE: Check<Later> = Check::<Later>::new(
    "consumers.unique",
    "M4G-B1",
    &["later"],
    |later| {
        ensure!(!later.services.is_empty(), "no service was looked at");
        let strays: Vec<&str> = later.strays.iter().map(String::as_str).collect();
        ensure!(strays.is_empty(), "beside the services run {}", strays.join("; "));
        let other: Vec<&str> = later.other_runs.iter().map(String::as_str).collect();
        ensure!(other.is_empty(), "for another run run {}", other.join("; "));
        let groups = later.own_groups()?;
        Ok(format!("{} services and {groups} consumer groups, nobody beside them", later.services.len()))
    },
    |later| {
        if let Ok(groups) = &mut later.groups {
            for group in groups.values_mut() {
                group.clients.push("by-hand".to_owned());
            }
        }
    },
)
.next("stop the task or the consumer that the message names, by hand: this gate stops nothing; then run it again");

static STILL_ONE: Check<(Settled, Later)> = Check::<(Settled, Later)>::new(
    "singletons.stable",
    "M4G-B2",
    &["M4.F/settled", "later"],
    |(settled, later)| {
        for (handle, service) in &settled.services {
            let Some(Seen { counts, tasks, unhealthy, objection }) = later.services.get(handle) else {
                return Err(Unmet::from(format!("{handle} was not looked at again")));
            };
            let Some((desired, running)) = counts else {
                return Err(Unmet::from(format!("{handle}: ECS has {} no more", service.name)));
            };
            ensure!(unhealthy.is_empty(), "{handle}: {} now", unhealthy.join(", "));
            ensure!((*desired, *running) == (1, 1), "{handle}: {desired} desired and {running} running now");
            if let Some(why) = objection {
                return Err(Unmet::from(format!("{handle}: {why}"))
                    .next("read the service's log, and what its containers ended with"));
            }
            ensure!(
                *tasks == service.arns(),
                "{handle}: its task is {} now, and was {}: it was replaced meanwhile",
                tasks.join(", "),
                service.arns().join(", ")
            );
        }
        ensure!(!settled.services.is_empty(), "no service had settled");
        Ok(format!("{} services run the same tasks as before", settled.services.len()))
    },
    |(_, later)| later.services.values_mut().for_each(|seen| seen.counts = Some((1, 0))),
)
.next("read the service's events: what replaced its task, or took it away?");

static DURABLE: Check<Publication> =
    durable("uniqueness.durable", "M4G-B3", &["publish:m4_g_consumer_uniqueness_snapshot.json"], |published| {
        published.durable(Some("PG-M4.G-uniqueness_secret"))
    })
    .next(files::NOT_KEPT);

static NON_SECRET: Check<Publication> = non_secret_derived(
    "uniqueness.non_secret",
    "uniqueness_secret",
    &["publish:m4_g_consumer_uniqueness_snapshot.json"],
)
.next(files::SECRET);

/// What the snapshot answers for.
const ASKED: [&dyn AnyCheck; 2] = [&UNIQUE, &STILL_ONE];

/// The lane.
pub(super) fn lane() -> Lane {
    Lane::new("M4.G", execute)
        .after("M4.F")
        .asked_again()
        .publishes(publish)
        .may_be_given(SETTLE)
        .proves("no task and no consumer beside the services; each service runs the same one task after a while")
        .checks(ASKED)
        .checks([&NON_SECRET as &dyn AnyCheck, &DURABLE])
        .requirement("no-duplicate-consumer", [UNIQUE.holds(), UNIQUE.refusal()])
        .requirement("singleton-stable", [STILL_ONE.holds(), STILL_ONE.refusal()])
        .requirement("uniqueness-snapshot", [DURABLE.holds(), NON_SECRET.holds()])
}

/// `no_duplicate_consumers`.
pub(super) fn held() -> Vec<Proof> {
    vec![Proof::Lane("M4.G")]
}

fn interval(run: &LaneRun<'_>) -> Result<Duration, Stop> {
    let Some(given) = run.given(SETTLE) else { return Ok(INTERVAL) };
    let wrong = || Stop::Fault(format!("{SETTLE} is `{given}`; give seconds, at most {}", INTERVAL.as_secs()));
    let interval = Duration::from_secs(given.parse().map_err(|_| wrong())?);
    // A run that counts waits as long as it is pinned.
    if interval > INTERVAL || run.basis() == RunBasis::Live { Err(wrong()) } else { Ok(interval) }
}

fn execute(run: &mut LaneRun<'_>) -> Step {
    let deployed: Deployed = run.fact("M4.C/deployed")?;
    let contract: Contract = run.fact("M4.E/contract")?;
    let settled: Settled = run.fact("M4.F/settled")?;
    std::thread::sleep(interval(run)?);
    let cluster = deployed.cluster.clone();
    let seen = groups(run)?;
    let mut later = Later {
        services: BTreeMap::new(),
        strays: Vec::new(),
        other_runs: Vec::new(),
        sight: seen.as_ref().ok().map(|(_, sight)| *sight),
        groups: seen.map(|(groups, _)| groups),
        named: named_groups(run).map_err(|error| error.to_string()),
    };
    let names: Vec<&str> = settled.services.values().map(|service| service.name.as_str()).collect();
    let states = match run.world()?.substrate.ecs().describe_services(&cluster, &names) {
        Ok(reply) => reply.value,
        Err(error) => return Err(run.unanswered("later", "aws ecs describe-services", error)),
    };
    // All tasks of the cluster by one list: who was started by hand is among them.
    let running = tasks(run, "later", &cluster, TaskFilter::All, "RUNNING")?;
    for (handle, service) in &settled.services {
        let info = states.iter().find(|state| state.name == service.name).and_then(|state| state.info.as_ref());
        let own = format!("service:{}", service.name);
        let tasks = || running.iter().filter(|task| task.group.as_deref() == Some(&own));
        let mut arns: Vec<String> = tasks().map(|task| task.arn.clone()).collect();
        arns.sort_unstable();
        let definition = deployed.definition(handle).ok();
        let checked = checked(definition);
        let unwell = |task: &TaskInfo| match is_unhealthy(task) {
            true => Some(format!("task {} is UNHEALTHY", task.arn)),
            false => not_healthy(task, &checked),
        };
        let unhealthy = tasks().filter_map(unwell).collect();
        let counts = info.map(|info| (info.desired, info.running));
        let own: Vec<TaskInfo> = tasks().cloned().collect();
        let mut objection = own.iter().find_map(ended_within);
        // What a daemon has said since it named its run counts too.
        if let (None, Some(definition)) = (&objection, definition) {
            objection = read_log(run, definition, &own, &contract)?.objection().filter(|_| !own.is_empty());
        }
        later.services.insert(handle.clone(), Seen { counts, tasks: arns, unhealthy, objection });
    }
    let families: Vec<&str> = packs::services()
        .filter_map(|handle| deployed.definition(handle).ok())
        .map(|definition| definition.family.as_str())
        .collect();
    let groups: Vec<String> = names.iter().map(|name| format!("service:{name}")).collect();
    for task in &running {
        let family = family_of(&task.task_definition);
        let own = task.group.as_ref().is_some_and(|group| groups.contains(group));
        if !own && families.contains(&family) {
            later.strays.push(by_whom(task, family));
        }
        let overrides = task.environment_overrides.values();
        let mut scopes: Vec<String> =
            overrides.filter_map(|variables| variables.get(&contract.env_key).cloned()).collect();
        if !own {
            scopes.extend(scopes_of(run, &task.task_definition, &contract.env_key)?);
        }
        if let Some(other) = scopes.iter().find(|scope| **scope != contract.platform_run_id) {
            later.other_runs.push(format!("task {} with {}={other}", task.arn, contract.env_key));
        }
    }
    run.observe(
        "later",
        "ecs describe-services, list-tasks and describe-tasks once more; Kafka's consumer groups",
        &later,
    )
}

fn named_groups(run: &LaneRun<'_>) -> Result<BTreeMap<String, usize>, HandleError> {
    let mut named = BTreeMap::new();
    for (handle, services) in GROUPS {
        match run.handles().resolve(handle) {
            Ok(resolved) => *named.entry(resolved.text()?.to_owned()).or_default() += services,
            Err(HandleError::Missing { .. }) if handle != CORE_GROUP => {}
            Err(error) => return Err(error),
        }
    }
    Ok(named)
}

/// The values that a task definition gives the variable of the run's scope; none where it is gone.
fn scopes_of(run: &mut LaneRun<'_>, definition: &str, key: &str) -> Result<Vec<String>, Stop> {
    match run.world()?.substrate.ecs().describe_task_definition(definition) {
        Ok(reply) => {
            let containers = reply.value.containers.into_iter();
            Ok(containers.filter_map(|mut container| container.environment.remove(key)).collect())
        }
        Err(error) if error.kind == CallErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => {
            let call = format!("aws ecs describe-task-definition --task-definition {definition}");
            Err(run.unanswered("later", &call, error))
        }
    }
}

/// `family` of `arn:…:task-definition/family:3`.
fn family_of(definition: &str) -> &str {
    let name = definition.rsplit('/').next().unwrap_or(definition);
    name.split(':').next().unwrap_or(name)
}

fn by_whom(task: &TaskInfo, family: &str) -> String {
    let by = task.started_by.as_deref().or(task.group.as_deref()).unwrap_or("nobody that it names");
    format!("task {} of {family}, started by {by}", task.arn)
}

/// The groups of Kafka that consume topics of the platform, with their members, or why nothing is known of them.
type Groups = Result<(BTreeMap<String, Group>, Sight), String>;

fn groups(run: &mut LaneRun<'_>) -> Result<Groups, Stop> {
    let set = a_handle_closure::closed(run)?;
    let mut topics = Vec::new();
    for handle in set.handles.keys().filter(|handle| handle.starts_with("FP_BUS_")) {
        topics.push(run.text(handle)?);
    }
    let address = match kafka_address(run)? {
        Ok(address) => address,
        Err(error) => return Ok(Err(format!("its address or login cannot be read: {error}"))),
    };
    let answer = run.world()?.substrate.reach().consumer_groups(&address);
    Ok(answer.map_err(|error| without_place(&error, &address.bootstrap)).map(|reply| {
        let consumes =
            |group: &&support::reach::ConsumerGroup| group.members.iter().any(|member| may_consume(member, &topics));
        let seen = |group: &support::reach::ConsumerGroup| {
            let mut clients: Vec<String> = group.members.iter().map(|member| member.client_id.clone()).collect();
            clients.sort_unstable();
            (group.id.clone(), Group { state: group.state.clone(), clients })
        };
        (reply.value.groups.iter().filter(consumes).map(seen).collect(), reply.value.sight)
    }))
}

/// Whether a member may consume one of the topics: it says so, has the brokers match a pattern, or says nothing of its topics.
fn may_consume(member: &GroupMember, topics: &[String]) -> bool {
    member.pattern.is_some() || member.topics.is_empty() || member.topics.iter().any(|topic| topics.contains(topic))
}

fn publish(run: &mut LaneRun<'_>) -> Step {
    let later: Later = run.fact("later")?;
    let contract: Contract = run.fact("M4.E/contract")?;
    let services: Vec<Value> = later
        .services
        .iter()
        .map(|(handle, Seen { counts, tasks, .. })| {
            json!({
                "service_handle": handle,
                "desired_count": counts.map(|(desired, _)| desired),
                "running_count": counts.map(|(_, running)| running),
                "task_arns": tasks,
            })
        })
        .collect();
    let body = json!({
        "m4_execution_id": run.phase_execution_id(),
        "written_at_utc": run.instant().rfc3339(),
        "platform_run_id": contract.platform_run_id,
        "services": services,
        "tasks_beside_services": later.strays,
        "tasks_of_other_runs": later.other_runs,
        "consumer_groups": later.groups.as_ref().ok(),
        "blockers": run.open_among(&ASKED),
        "overall_pass": run.met(&ASKED),
        "non_secret": true,
    });
    files::publish(run, SNAPSHOT, body, &["m4_execution_id", "platform_run_id", "services"])
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::ours(&["fp.bus.rtdl.v1"], None, true)]
    #[case::ours_among_others(&["orders", "fp.bus.rtdl.v1"], None, true)]
    #[case::others(&["orders"], None, false)]
    #[case::untold(&[], None, true)]
    #[case::by_pattern(&[], Some("fp.*"), true)]
    #[case::others_and_a_pattern(&["orders"], Some("fp.*"), true)]
    fn a_member_consumes_what_it_says_and_may_consume_what_it_does_not(
        #[case] topics: &[&str],
        #[case] pattern: Option<&str>,
        #[case] may: bool,
    ) {
        let member = GroupMember {
            member_id: "m-1".to_owned(),
            client_id: "by-hand".to_owned(),
            host: "/10.0.0.9".to_owned(),
            topics: topics.iter().map(|topic| (*topic).to_owned()).collect(),
            pattern: pattern.map(str::to_owned),
        };
        assert_eq!(may_consume(&member, &["fp.bus.rtdl.v1".to_owned()]), may);
    }
}
