//! The run's lock: `platform_run_id`, held by whatever execution of the orchestrator runs for it.
//!
//! Asked here, and asked again by M3.E just before the run is pinned.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use support::ensure;
use support::run::check::{Judged, Unmet};
use support::run::context::LaneRun;
use support::run::lane::Step;
use support::run::rows::{Output, RowOutput};
use support::substrate::ExecutionInfo;
use support::substrate::reply::CallErrorKind;

/// The row that lists who runs.
pub(in crate::m3::dev_full) const RUN_LOCK_CHECK: &str = "M3D-V5-RUN-LOCK-CHECK";
/// The observation that says for which run, and of which machine, it was asked.
pub(in crate::m3::dev_full) const LOCK_QUESTION: &str = "lock_question";
/// The lock is taken.
pub(in crate::m3::dev_full) const LOCK_TAKEN: &str = "M3D-B4";

/// For which run, and of which machine, the lock is asked.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in crate::m3::dev_full) struct LockQuestion {
    pub platform_run_id: String,
    pub machine_arn: String,
}

/// A running execution, without its input: evidence may show ARNs, ids and status only.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in crate::m3::dev_full) struct Holder {
    pub execution_arn: String,
    pub status: String,
    /// The run that its input was searched for.
    pub asked_for: String,
    /// Whether the input names that run, or why that cannot be said.
    pub input_names_run: Result<bool, String>,
}

impl Holder {
    fn of(execution: &ExecutionInfo, run_id: &str) -> Self {
        let input_names_run = match &execution.input {
            None => Err("the server leaves its input out".to_owned()),
            Some(_) if execution.input_included == Some(false) => Err("the server leaves its input out".to_owned()),
            Some(input) => input_names(input, run_id),
        };
        Self {
            execution_arn: execution.arn.clone(),
            status: execution.status.clone(),
            asked_for: run_id.to_owned(),
            input_names_run,
        }
    }

    fn gone(arn: &str, run_id: &str) -> Self {
        Self {
            execution_arn: arn.to_owned(),
            status: "-".to_owned(),
            asked_for: run_id.to_owned(),
            input_names_run: Err("it was listed, and stepfunctions describe-execution does not find it".to_owned()),
        }
    }
}

/// Whether any key or text of the input holds the run id, however it is escaped, also in JSON inside a text.
fn input_names(input: &str, run_id: &str) -> Result<bool, String> {
    let value: Value = serde_json::from_str(input).map_err(|e| format!("its input is no JSON: {e}"))?;
    Ok(names(&value, run_id))
}

fn names(value: &Value, run_id: &str) -> bool {
    match value {
        Value::String(text) => {
            text.contains(run_id)
                || serde_json::from_str::<Value>(text)
                    .is_ok_and(|inner| !matches!(inner, Value::Number(_) | Value::Bool(_)) && names(&inner, run_id))
        }
        Value::Array(items) => items.iter().any(|item| names(item, run_id)),
        Value::Object(members) => members.iter().any(|(key, item)| key.contains(run_id) || names(item, run_id)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Lists all running executions of the machine, and has each described.
///
/// # Errors
/// When a call gave no answer.
pub(in crate::m3::dev_full) fn ask(run: &mut LaneRun<'_>, question: &LockQuestion) -> Step {
    run.observe(LOCK_QUESTION, "the run's identity; the state machine that was found", question)?;
    let row = run.row_with(RUN_LOCK_CHECK, &[("resolved_arn", &question.machine_arn)])?;
    let run_id = &question.platform_run_id;
    for execution in listed(&row) {
        let arn = &execution.arn;
        let call = format!("aws stepfunctions describe-execution --execution-arn {arn}");
        let holder = match run.world()?.substrate.sfn().describe_execution(arn) {
            Ok(reply) => Holder::of(&reply.value, run_id),
            Err(error) if error.kind == CallErrorKind::NotFound => Holder::gone(arn, run_id),
            Err(error) => return Err(run.unanswered(RUN_LOCK_CHECK, &call, error)),
        };
        run.follow_up_value(RUN_LOCK_CHECK, arn, &call, &holder)?;
    }
    Ok(())
}

/// The executions that the row listed.
pub(in crate::m3::dev_full) fn listed(row: &RowOutput) -> &[support::substrate::ExecutionEntry] {
    match row.runs.first().map(|run| &run.output) {
        Some(Output::Executions { executions, .. }) => executions,
        _ => &[],
    }
}

/// Each execution that holds the run's lock, or may hold it, and why.
///
/// # Errors
/// When the row does not say enough to tell.
pub(in crate::m3::dev_full) fn conflicts(
    row: &RowOutput,
    question: &LockQuestion,
) -> Result<Vec<(String, String)>, Unmet> {
    let run_id = &question.platform_run_id;
    match row.runs.first().map(|run| &run.output) {
        Some(Output::Executions { machine, status, complete, .. }) => {
            ensure!(*machine == question.machine_arn, "{machine} was asked, not {}", question.machine_arn);
            ensure!(status.as_deref() == Some("RUNNING"), "the row asks for {status:?}, not RUNNING");
            ensure!(*complete, "the list of running executions is not complete");
        }
        Some(Output::Absent { what }) => return Err(Unmet::from(format!("{what} is gone"))),
        _ => return Err(Unmet::from("the running executions were not listed")),
    }
    let mut conflicts = Vec::new();
    for execution in listed(row) {
        let arn = &execution.arn;
        let holder = row.follow_ups.get(arn).map(|read| serde_json::from_value::<Holder>(read.value.clone()));
        let why = match holder {
            _ if execution.name.contains(run_id.as_str()) => Some(format!("its name is {}", execution.name)),
            None => Some("it was not described".to_owned()),
            Some(Err(error)) => Some(format!("its description cannot be read: {error}")),
            Some(Ok(holder)) if holder.asked_for != *run_id => Some(format!("it was asked for {}", holder.asked_for)),
            Some(Ok(holder)) => match holder.input_names_run {
                Ok(false) => None,
                Ok(true) => Some(format!("its input names {run_id}")),
                Err(why) => Some(why),
            },
        };
        conflicts.extend(why.map(|why| (arn.clone(), why)));
    }
    Ok(conflicts)
}

/// Met when no running execution holds the run's lock, or may hold it.
pub(in crate::m3::dev_full) fn free((row, question): &(RowOutput, LockQuestion)) -> Judged {
    let conflicts = conflicts(row, question)?;
    if let Some((arn, why)) = conflicts.first() {
        let running = listed(row).len();
        return Err(Unmet::from(format!("{} of {running} running execution(s): {arn}: {why}", conflicts.len())));
    }
    Ok(format!("{} running execution(s), none for {}", listed(row).len(), question.platform_run_id))
}

/// Doctors the list into one in which an execution runs under the run's own name.
pub(in crate::m3::dev_full) fn take((row, question): &mut (RowOutput, LockQuestion)) {
    for run in &mut row.runs {
        if let Output::Executions { executions, .. } = &mut run.output {
            executions.push(support::substrate::ExecutionEntry {
                name: question.platform_run_id.clone(),
                arn: "doctored".to_owned(),
                status: "RUNNING".to_owned(),
                started: None,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    const RUN: &str = "platform_20260223T174307Z";

    #[rstest]
    #[case(r#"{"platform_run_id":"platform_20260223T174307Z"}"#, Ok(true))]
    #[case(r#"{"a":[{"b":"run platform_20260223T174307Z of today"}]}"#, Ok(true))]
    #[case(r#"{"platform_20260223T174307Z":1}"#, Ok(true))]
    #[case(r#"{"id":"\u0070latform_20260223T174307Z"}"#, Ok(true))]
    #[case(r#"{"body":"{\"id\":\"\\u0070latform_20260223T174307Z\"}"}"#, Ok(true))]
    #[case(r#"{"platform_run_id":"platform_20260222T101500Z"}"#, Ok(false))]
    #[case("{}", Ok(false))]
    #[case(r#"{"n":"1","t":"true"}"#, Ok(false))]
    #[case("", Err(()))]
    #[case("platform_20260222T101500Z", Err(()))]
    fn an_input_is_searched_to_its_ground(#[case] input: &str, #[case] is: Result<bool, ()>) {
        assert_eq!(input_names(input, RUN).map_err(drop), is);
    }

    fn execution(input: Option<&str>, input_included: Option<bool>) -> ExecutionInfo {
        ExecutionInfo {
            name: "e".into(),
            arn: "arn:e".into(),
            machine_arn: "arn:m".into(),
            status: "RUNNING".into(),
            started: None,
            input: input.map(str::to_owned),
            input_included,
        }
    }

    #[rstest]
    #[case(None, None)]
    #[case(None, Some(false))]
    #[case(Some("{}"), Some(false))]
    fn an_input_that_is_left_out_says_nothing(#[case] input: Option<&str>, #[case] included: Option<bool>) {
        assert!(Holder::of(&execution(input, included), RUN).input_names_run.is_err());
    }

    #[test]
    fn an_input_that_is_there_is_read() {
        assert_eq!(Holder::of(&execution(Some("{}"), None), RUN).input_names_run, Ok(false));
    }
}
