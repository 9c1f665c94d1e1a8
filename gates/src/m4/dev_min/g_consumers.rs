//! M4.G: nobody consumes beside the daemons, and each of them is still one after a while.

mod groups;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use support::ensure;
use support::run::check::{AnyCheck, Check, Proof, Unmet};
use support::run::context::LaneRun;
use support::run::lane::{Lane, Step, Stop};
use support::run::outcome::RunBasis;
use support::run::publication::{Publication, durable, non_secret_derived};
use support::substrate::reply::CallErrorKind;
use support::substrate::{ContainerDefinition, ContainerInfo, TaskDefinition, TaskFilter, TaskInfo};

use self::groups::{GROUPS, Groups, OWN_GROUPS};
use super::deployed::Deployed;
use super::e_launch_contract::Contract;
use super::f_bring_up::{Settled, checked, disturbed, ended_within, is_unhealthy, not_healthy, read_log, tasks};
use super::{files, packs};

pub(super) const SNAPSHOT: &str = "m4_g_consumer_uniqueness_snapshot.json";

/// Seconds between the two looks at the services; a rehearsal may shorten it.
const SETTLE: &str = "PHASEGATE_SETTLE";

/// So long the services are left to themselves before they are looked at again.
const INTERVAL: Duration = Duration::from_secs(30);

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

/// The second look.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Later {
    /// By the service's handle.
    services: BTreeMap<String, Seen>,
    /// Tasks of the services' families that no service started, with who did.
    strays: Vec<String>,
    /// Tasks that were started for another run, by an override.
    other_runs: Vec<String>,
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
        Ok(format!("{} services, and no task of a daemon beside theirs", later.services.len()))
    },
    |later| later.strays.push("doctored: a task by hand".to_owned()),
)
.next("stop the task that the message names, by hand: this gate stops nothing; then run it again");

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
const ASKED: [&dyn AnyCheck; 3] = [&UNIQUE, &OWN_GROUPS, &STILL_ONE];

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
        .requirement(
            "no-duplicate-consumer",
            [UNIQUE.holds(), UNIQUE.refusal(), OWN_GROUPS.holds(), OWN_GROUPS.refusal()],
        )
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
    let mut later = Later { services: BTreeMap::new(), strays: Vec::new(), other_runs: Vec::new() };
    groups::observe(run)?;
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
        let mut objection = info.and_then(|info| disturbed(info, definition));
        objection = objection.or_else(|| own.iter().find_map(ended_within));
        // What a daemon has said since it named its run counts too.
        if let (None, Some(definition)) = (&objection, definition) {
            objection = read_log(run, definition, &own, &contract)?.objection().filter(|_| !own.is_empty());
        }
        later.services.insert(handle.clone(), Seen { counts, tasks: arns, unhealthy, objection });
    }
    let daemons: Vec<&TaskDefinition> =
        packs::services().filter_map(|handle| deployed.definition(handle).ok()).collect();
    let groups: Vec<String> = names.iter().map(|name| format!("service:{name}")).collect();
    for task in &running {
        let overrides = task.environment_overrides.values();
        let mut scopes: Vec<String> =
            overrides.filter_map(|variables| variables.get(&contract.env_key).cloned()).collect();
        if !task.group.as_ref().is_some_and(|group| groups.contains(group)) {
            let definition = definition_of(run, &task.task_definition)?;
            if let Some(what) = is_a_daemon(task, definition.as_ref(), &daemons, &contract.image_digest) {
                later.strays.push(by_whom(task, &what));
            }
            let containers = definition.into_iter().flat_map(|definition| definition.containers);
            scopes.extend(containers.filter_map(|mut container| container.environment.remove(&contract.env_key)));
        }
        if let Some(other) = scopes.iter().find(|scope| **scope != contract.platform_run_id) {
            later.other_runs.push(format!("task {} with {}={other}", task.arn, contract.env_key));
        }
    }
    run.observe("later", "ecs describe-services, list-tasks and describe-tasks once more", &later)
}

/// A task definition; none where it is gone.
fn definition_of(run: &mut LaneRun<'_>, definition: &str) -> Result<Option<TaskDefinition>, Stop> {
    match run.world()?.substrate.ecs().describe_task_definition(definition) {
        Ok(reply) => Ok(Some(reply.value)),
        Err(error) if error.kind == CallErrorKind::NotFound => Ok(None),
        Err(error) => {
            let call = format!("aws ecs describe-task-definition --task-definition {definition}");
            Err(run.unanswered("later", &call, error))
        }
    }
}

/// Which daemon a task is that no service started: one of its family, or one with its image, entry point and command in a container. One
/// with its image whose definition is gone may be any.
fn is_a_daemon(
    task: &TaskInfo,
    definition: Option<&TaskDefinition>,
    daemons: &[&TaskDefinition],
    image: &str,
) -> Option<String> {
    let family = family_of(&task.task_definition);
    if daemons.iter().any(|daemon| daemon.family == family) {
        return Some(family.to_owned());
    }
    let of_daemons = |entrypoint: &[String], command: &[String]| {
        let runs =
            |container: &&ContainerDefinition| container.entrypoint == entrypoint && container.command == command;
        daemons.iter().find(|daemon| daemon.containers.iter().any(|container| runs(&container)))
    };
    // What ECS does not tell may be the same image.
    let has_other_image = |ran: &ContainerInfo| ran.image_digest.as_deref().is_some_and(|digest| digest != image);
    let Some(definition) = definition else {
        // Nobody can say any more what it runs, nor for which run.
        let is_foreign = !task.containers.is_empty() && task.containers.iter().all(has_other_image);
        return (!is_foreign).then(|| format!("{family}, whose definition is gone"));
    };
    definition.containers.iter().find_map(|container| {
        let ran = task.containers.iter().find(|ran| ran.name == container.name);
        let other_image = ran.is_some_and(has_other_image);
        let command = task.command_overrides.get(&container.name).unwrap_or(&container.command);
        let daemon = of_daemons(&container.entrypoint, command).filter(|_| !other_image)?;
        Some(format!("{family}, which runs what {} runs", daemon.family))
    })
}

/// `family` of `arn:…:task-definition/family:3`.
fn family_of(definition: &str) -> &str {
    let name = definition.rsplit('/').next().unwrap_or(definition);
    name.split(':').next().unwrap_or(name)
}

fn by_whom(task: &TaskInfo, what: &str) -> String {
    let by = task.started_by.as_deref().or(task.group.as_deref()).unwrap_or("nobody that it names");
    format!("task {} of {what}, started by {by}", task.arn)
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
        "consumer_groups": run.fact::<Groups>(GROUPS).ok().map(|groups| groups.summary()),
        "blockers": run.open_among(&ASKED),
        "overall_pass": run.met(&ASKED),
        "non_secret": true,
    });
    files::publish(run, SNAPSHOT, body, &["m4_execution_id", "platform_run_id", "services"])
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    const IMAGE: &str = "sha256:aa";

    fn definition(family: &str, command: &[&str]) -> TaskDefinition {
        serde_json::from_value(json!({
            "arn": format!("arn:task-definition/{family}:1"), "family": family, "revision": 1, "status": "ACTIVE",
            "containers": [{
                "name": "app", "image": "platform", "essential": true, "command": command, "entrypoint": ["run"],
                "environment": {}, "secrets": {}, "environment_files": [], "log_options": {},
            }],
        }))
        .unwrap()
    }

    #[rstest]
    #[case::of_its_family("ofp", &["migrate"], None, Some("sha256:bb"), true)]
    #[case::of_another_family("ofp-debug", &["ofp"], None, Some(IMAGE), true)]
    #[case::by_an_override("tool", &["migrate"], Some(["ofp"].as_slice()), Some(IMAGE), true)]
    #[case::overridden_to_something_else("ofp-debug", &["ofp"], Some(["migrate"].as_slice()), Some(IMAGE), false)]
    #[case::image_untold("tool", &["ofp"], None, None, true)]
    #[case::another_image("tool", &["ofp"], None, Some("sha256:bb"), false)]
    #[case::another_command("tool", &["migrate"], None, Some(IMAGE), false)]
    fn a_task_is_a_daemon_by_what_it_runs(
        #[case] family: &str,
        #[case] command: &[&str],
        #[case] instead: Option<&[&str]>,
        #[case] digest: Option<&str>,
        #[case] is: bool,
    ) {
        let daemon = definition("ofp", &["ofp"]);
        let task: TaskInfo = serde_json::from_value(json!({
            "arn": "arn:task/1", "last_status": "RUNNING", "desired_status": "RUNNING", "environment_overrides": {},
            "command_overrides": instead.map_or_else(|| json!({}), |command| json!({ "app": command })),
            "task_definition": format!("arn:task-definition/{family}:1"),
            "containers": [{ "name": "app", "image_digest": digest }],
        }))
        .unwrap();
        let found = is_a_daemon(&task, Some(&definition(family, command)), &[&daemon], IMAGE);
        assert_eq!(found.is_some(), is, "{found:?}");
    }

    #[rstest]
    #[case::of_the_image(json!([{ "name": "app", "image_digest": IMAGE }]), true)]
    #[case::image_untold(json!([{ "name": "app" }]), true)]
    #[case::containers_untold(json!([]), true)]
    #[case::one_of_two(json!([{ "name": "app", "image_digest": IMAGE }, { "name": "side", "image_digest": "sha256:bb" }]), true)]
    #[case::of_another_image(json!([{ "name": "app", "image_digest": "sha256:bb" }]), false)]
    fn a_task_whose_definition_is_gone_may_be_a_daemon(#[case] containers: Value, #[case] may: bool) {
        let task: TaskInfo = serde_json::from_value(json!({
            "arn": "arn:task/1", "last_status": "RUNNING", "desired_status": "RUNNING", "environment_overrides": {},
            "task_definition": "arn:task-definition/tool:1", "containers": containers,
        }))
        .unwrap();
        let found = is_a_daemon(&task, None, &[&definition("ofp", &["ofp"])], IMAGE);
        assert_eq!(found.is_some(), may, "{found:?}");
    }
}
