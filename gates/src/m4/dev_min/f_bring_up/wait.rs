//! Waiting for services, with a limit and a pause that grows.

use std::time::{Duration, Instant as Clock};

use support::run::clock::Instant;
use support::run::context::LaneRun;
use support::run::lane::Stop;
use support::run::outcome::RunBasis;
use support::substrate::{ServiceInfo, TaskFilter, TaskInfo};

use super::START_LIMIT;

/// A pack may take so long to become steady.
const LIMIT: Duration = Duration::from_secs(600);

/// The first pause between two looks, and the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// The limit of this run.
pub(super) fn limit(run: &LaneRun<'_>) -> Result<Duration, Stop> {
    let Some(given) = run.given(START_LIMIT) else { return Ok(LIMIT) };
    let wrong = || Stop::Fault(format!("{START_LIMIT} is `{given}`; give seconds, at most {}", LIMIT.as_secs()));
    let seconds: u64 = given.parse().map_err(|_| wrong())?;
    let limit = Duration::from_secs(seconds);
    // A run that counts waits as long as it is pinned.
    if limit > LIMIT || run.basis() == RunBasis::Live {
        return Err(wrong());
    }
    Ok(limit)
}

/// Why a service that has its counts is not settled all the same.
pub(super) fn unsettled(info: &ServiceInfo) -> Option<String> {
    if info.deployments.len() > 1 {
        return Some(format!("{} deployments are under way", info.deployments.len()));
    }
    let rollout = info.deployments.first().and_then(|deployment| deployment.rollout_state.as_deref());
    match rollout {
        None | Some("COMPLETED") => None,
        Some(state) => Some(format!("its deployment is {state}")),
    }
}

/// Asks until the answer is final, or the time is up; gives the last answer.
pub(super) fn until<T>(limit: Duration, mut ask: impl FnMut() -> Result<(bool, T), Stop>) -> Result<T, Stop> {
    let (begun, mut pause) = (Clock::now(), FIRST_PAUSE);
    loop {
        let (is_final, answer) = ask()?;
        let left = limit.saturating_sub(begun.elapsed());
        if is_final || left.is_zero() {
            return Ok(answer);
        }
        std::thread::sleep(pause.min(left));
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// The states of the services, in their order, when all are steady, one cannot become so any more, or the time is up.
pub(super) fn until_steady(
    run: &mut LaneRun<'_>,
    cluster: &str,
    services: &[(&'static str, String)],
    limit: Duration,
) -> Result<Vec<Option<ServiceInfo>>, Stop> {
    let names: Vec<&str> = services.iter().map(|(_, name)| name.as_str()).collect();
    until(limit, || {
        let states = match run.world()?.substrate.ecs().describe_services(cluster, &names) {
            Ok(reply) => reply.value,
            Err(error) => {
                let call = format!("aws ecs describe-services --cluster {cluster} --services {}", names.join(" "));
                return Err(run.unanswered("settled", &call, error));
            }
        };
        let infos: Vec<Option<ServiceInfo>> = states.into_iter().map(|state| state.info).collect();
        let steady = infos.iter().all(|info| info.as_ref().is_some_and(is_steady));
        Ok((steady || infos.iter().any(is_lost), infos))
    })
}

fn is_steady(info: &ServiceInfo) -> bool {
    (info.desired, info.running, info.pending) == (1, 1, 0) && unsettled(info).is_none()
}

/// Whether a service will not become steady by waiting.
fn is_lost(info: &Option<ServiceInfo>) -> bool {
    let Some(info) = info else { return true };
    let failed: i32 = info.deployments.iter().map(|deployment| deployment.failed_tasks).sum();
    failed >= 3 || info.deployments.iter().any(|d| d.rollout_state.as_deref() == Some("FAILED"))
}

/// The tasks that a filter takes, all pages.
pub(in crate::m4::dev_min) fn tasks(
    run: &mut LaneRun<'_>,
    observation: &str,
    cluster: &str,
    filter: TaskFilter<'_>,
    desired: &str,
) -> Result<Vec<TaskInfo>, Stop> {
    let call = format!("aws ecs list-tasks --cluster {cluster} --desired-status {desired}");
    let mut missing = Vec::new();
    // A task may go between the list and the look at it; then both are asked once more.
    for _ in 0..2 {
        let arns = match run.world()?.substrate.ecs().list_tasks(cluster, filter, desired) {
            Ok(reply) if reply.value.complete => reply.value.entries,
            Ok(_) => return Err(Stop::Fault(format!("{call}: the list is not complete"))),
            Err(error) => return Err(run.unanswered(observation, &call, error)),
        };
        let seen = match run.world()?.substrate.ecs().describe_tasks(cluster, &arns) {
            Ok(reply) => reply.value,
            Err(error) => {
                return Err(run.unanswered(observation, &format!("aws ecs describe-tasks --cluster {cluster}"), error));
            }
        };
        if seen.missing.is_empty() {
            let mut tasks = seen.tasks;
            tasks.sort_by(|left, right| left.arn.cmp(&right.arn));
            return Ok(tasks);
        }
        missing = seen.missing;
    }
    Err(Stop::Fault(format!("{call} lists {}, and describe-tasks does not know it", missing.join(", "))))
}

/// Whether something happened since this execution began; what says no time may have.
pub(super) fn is_since(at: Option<&str>, begun: Instant) -> bool {
    at.and_then(|at| Instant::parse(at).ok()).is_none_or(|at| at >= begun)
}
