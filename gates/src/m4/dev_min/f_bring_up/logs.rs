//! What a daemon's log says of the run that it serves.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use regex::Regex;
use serde::{Deserialize, Serialize};
use support::run::context::LaneRun;
use support::run::lane::Stop;
use support::substrate::reply::CallErrorKind;
use support::substrate::{EVENT_LIMIT, LogQuery, TaskDefinition, TaskInfo};

use crate::m4::dev_min::e_launch_contract::Contract;

/// Where a container's log goes, by the driver that ECS has for CloudWatch.
const DRIVER: &str = "awslogs";

/// What lines are searched for.
struct Words {
    run_id: Regex,
    /// By these a daemon says that it does not serve, beside those that say what it is about.
    refuses: Regex,
    scope: Regex,
    /// Words of refusal that refuse nothing: counters, and what a daemon would do if.
    harmless: Regex,
    /// A line with one of these confirms nothing, whatever else it says.
    doubts: Regex,
}

static WORDS: LazyLock<Result<Words, regex::Error>> = LazyLock::new(|| {
    Ok(Words {
        run_id: Regex::new(r"\bplatform_\d{8}T\d{6}Z(?:_\d{2})?\b")?,
        refuses: Regex::new(r"(?i)mismatch|(?:not|n't) match|\brefus|\breject|\binvalid\b|\bwrong\b|\bdenied\b")?,
        scope: Regex::new(r"(?i)\brun[ _-]?(?:id|scope)|\bscope\b")?,
        harmless: Regex::new(
            r"(?i)\b\w+ ?[=:] ?0\b|\b(?:reject|refus|invalid|denied|wrong)\w* ?[=:] ?\d+\b|\b(?:no|without|0) (?:\w+[ _-]){0,3}mismatch\w*|\b(?:on|upon|if|in case of) (?:a |any )?(?:\w+[ _-]){0,3}mismatch\w*",
        )?,
        doubts: Regex::new(
            r"(?i)\b(?:not|error|fail\w*|fatal|violat\w*|unexpected|differ\w*|conflict\w*|missing|panic\w*|exception|abort\w*)\b|n't\b",
        )?,
    })
});

/// What the log of a service's running tasks says.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(in crate::m4::dev_min) struct Said {
    /// The log groups that were read.
    pub groups: Vec<String>,
    /// Why it cannot be read.
    pub problem: Option<String>,
    /// The streams that there are to be: one of each container of each running task.
    pub streams: BTreeSet<String>,
    /// Those of them in which a line names the run.
    pub confirmed: BTreeSet<String>,
    /// Lines that name another run or speak of a mismatch: the stream, and the other run where one is named.
    pub mismatches: Vec<String>,
}

impl Said {
    /// What it says against the service.
    pub(in crate::m4::dev_min) fn objection(&self) -> Option<String> {
        if let Some(problem) = &self.problem {
            return Some(problem.clone());
        }
        if let Some(mismatch) = self.mismatches.first() {
            return Some(format!("its log speaks of another run scope: {mismatch}"));
        }
        let silent: Vec<&str> = self.streams.difference(&self.confirmed).map(String::as_str).collect();
        if let Some(stream) = silent.first() {
            return Some(format!("no line of its log {stream} in {} names the run", self.groups.join(", ")));
        }
        (self.streams.is_empty() && !self.groups.is_empty())
            .then(|| format!("no task of it has a log in {}", self.groups.join(", ")))
    }

    /// Whether each container of each running task has named the run.
    pub(in crate::m4::dev_min) fn confirms(&self) -> bool {
        !self.streams.is_empty() && self.streams.is_subset(&self.confirmed)
    }
}

/// Reads the log of the running tasks, since they began.
pub(in crate::m4::dev_min) fn read(
    run: &mut LaneRun<'_>,
    definition: &TaskDefinition,
    running: &[TaskInfo],
    contract: &Contract,
) -> Result<Said, Stop> {
    let words = WORDS.as_ref().map_err(|error| Stop::Fault(error.to_string()))?;
    let mut said = Said::default();
    for container in &definition.containers {
        let options = &container.log_options;
        let group = options.get("awslogs-group").filter(|_| container.log_driver.as_deref() == Some(DRIVER));
        let Some(group) = group else {
            said.problem =
                Some(format!("container {} of {} keeps no log in CloudWatch", container.name, definition.arn));
            return Ok(said);
        };
        said.groups.push(group.clone());
        let Some(prefix) = options.get("awslogs-stream-prefix") else {
            said.problem =
                Some(format!("the log of container {} of {} has no stream prefix", container.name, definition.arn));
            return Ok(said);
        };
        for task in running {
            // A stream is `prefix/container/task`: it begins with the task, whatever ran before.
            let id = task.arn.rsplit('/').next().unwrap_or_default();
            let stream = format!("{prefix}/{}/{id}", container.name);
            said.streams.insert(stream.clone());
            let query = LogQuery { pattern: None, from_second: 0, stream: Some(&stream) };
            match run.world()?.substrate.logs().events(group, query) {
                Ok(reply) if reply.value.complete => {
                    for event in reply.value.entries.iter().filter(|event| event.stream == stream) {
                        let at = format!("{} at {} ms", event.stream, event.at_millis);
                        said.take(words, &event.stream, &at, &event.message, &contract.platform_run_id);
                    }
                }
                Ok(_) => {
                    let why =
                        format!("the log {stream} in {group} has more than {EVENT_LIMIT} lines, which are not read");
                    said.problem = Some(format!("{why}: launch the service's task anew, whose log begins anew"));
                }
                // A task that has said nothing has no stream yet.
                Err(error) if error.kind == CallErrorKind::NotFound => {
                    if !is_there(run, group)? {
                        said.problem = Some(format!("there is no log group {group}"));
                    }
                }
                Err(error) => {
                    let call = format!("aws logs filter-log-events --log-group-name {group}");
                    return Err(run.unanswered("settled", &call, error));
                }
            }
        }
    }
    Ok(said)
}

fn is_there(run: &mut LaneRun<'_>, group: &str) -> Result<bool, Stop> {
    match run.world()?.substrate.logs().log_groups(group) {
        Ok(reply) => Ok(reply.value.entries.iter().any(|found| found.name == group)),
        Err(error) => {
            let call = format!("aws logs describe-log-groups --log-group-name-prefix {group}");
            Err(run.unanswered("settled", &call, error))
        }
    }
}

impl Said {
    /// Whether waiting would say nothing else.
    pub(super) fn is_final(&self) -> bool {
        self.confirms() || self.problem.is_some() || !self.mismatches.is_empty()
    }

    fn take(&mut self, words: &Words, stream: &str, at: &str, message: &str, run: &str) {
        let named: Vec<&str> = words.run_id.find_iter(message).map(|found| found.as_str()).collect();
        if let Some(other) = named.iter().find(|named| **named != run) {
            self.mismatches.push(format!("{at} names {other}"));
            return;
        }
        let plain = words.harmless.replace_all(message, " ");
        if let Some(word) = words.refuses.find(&plain)
            && (words.scope.is_match(message) || !named.is_empty())
        {
            // The line itself may hold anything; only where it stands is said, and by which word it was found.
            let word = word.as_str().to_ascii_lowercase();
            self.mismatches.push(format!("{at} says `{word}` of its run scope"));
            return;
        }
        let doubtful = words.doubts.is_match(message) || words.refuses.is_match(message);
        if named.contains(&run) && !doubtful {
            self.confirmed.insert(stream.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const RUN: &str = "platform_20260213T214223Z";

    #[rstest]
    #[case::confirms("ready run=platform_20260213T214223Z", true, 0)]
    #[case::another("ready run=platform_20260213T214223Z_01", false, 1)]
    #[case::both("required platform_20260213T214223Z, got platform_20260101T000000Z", false, 1)]
    #[case::refused("REQUIRED_PLATFORM_RUN_ID platform_20260213T214223Z refused: no active run", false, 1)]
    #[case::not_equal("run_id does not match", false, 1)]
    #[case::longer("ready run=platform_20260213T214223Z_1", false, 0)]
    #[case::schema("schema mismatch while running", false, 0)]
    #[case::mismatch("Run scope MISMATCH: stopping", false, 1)]
    #[case::something_else("checksum mismatch", false, 0)]
    #[case::nothing("started", false, 0)]
    #[case::violated("ERROR run scope violation: required platform_20260213T214223Z, active none", false, 0)]
    #[case::inactive("required run platform_20260213T214223Z is not active", false, 0)]
    #[case::batch("batch run done: accepted=10 rejected=0", false, 0)]
    #[case::counted("run=platform_20260213T214223Z rejected=0 accepted=10", false, 0)]
    #[case::counted_some("run=platform_20260213T214223Z rejected=3", false, 0)]
    #[case::mismatches("run scope mismatches=2", false, 1)]
    #[case::counted_scope("run scope checked: rejected: 0", false, 0)]
    #[case::policy("run scope guard on: required=platform_20260213T214223Z, on mismatch: exit", false, 0)]
    #[case::policy_and_refusal("refused on run scope mismatch", false, 1)]
    #[case::none("no run scope mismatch", false, 0)]
    #[case::scope("scope mismatch", false, 1)]
    #[case::failed("failed to open run platform_20260213T214223Z", false, 0)]
    fn a_line_confirms_the_run_or_speaks_of_another(
        #[case] line: &str,
        #[case] confirms: bool,
        #[case] mismatches: usize,
    ) {
        let mut said = Said { streams: BTreeSet::from(["ig/app/1".to_owned()]), ..Said::default() };
        said.take(WORDS.as_ref().unwrap(), "ig/app/1", "ig/app/1 at 0 ms", line, RUN);
        assert_eq!((said.confirms(), said.mismatches.len()), (confirms, mismatches), "{said:?}");
    }

    #[test]
    fn each_container_names_the_run() {
        let streams = ["ig/app/1", "ig/beside/1"].map(str::to_owned);
        let mut said = Said { groups: vec!["/ig".to_owned()], streams: BTreeSet::from(streams), ..Said::default() };
        let words = WORDS.as_ref().unwrap();
        said.take(words, "ig/app/1", "-", "ready run=platform_20260213T214223Z", RUN);
        assert!(!said.confirms() && said.objection().unwrap().contains("ig/beside/1"), "{said:?}");
        said.take(words, "ig/beside/1", "-", "ready run=platform_20260213T214223Z", RUN);
        assert!(said.confirms() && said.objection().is_none(), "{said:?}");
        said.streams.clear();
        assert!(!said.confirms() && said.objection().is_some(), "{said:?}");
    }
}
