//! Step Functions executions of the embedded world. A handler of our own: the state of
//! `winterbaume` can be kept, but leaves them out. Nothing executes: an execution that was started
//! is running until it is stopped, and none succeeds or fails.

use aws_sdk_sfn::types::ExecutionStatus;
use serde_json::{Value, json};
use winterbaume_core::StatefulService;

use super::holes::paged;
use super::services::{Answer, Host, Trouble};
use super::store::WorldState;

/// The operations that are answered here.
pub(super) const OPERATIONS: [&str; 4] = ["StartExecution", "StopExecution", "DescribeExecution", "ListExecutions"];

/// What a list says of each execution.
const LISTED: [&str; 6] = ["executionArn", "stateMachineArn", "name", "status", "startDate", "stopDate"];

/// The most entries that a page may have.
const LARGEST_PAGE: u64 = 1000;

const RUNNING: &str = "RUNNING";

/// Answers one of [`OPERATIONS`].
pub(super) fn answer<S: StatefulService>(
    state: &mut WorldState,
    host: &Host<'_, S>,
    operation: &str,
) -> Result<Answer, Trouble> {
    let asked = host.asked();
    match operation {
        "DescribeExecution" => Ok(describe(state, host.region(), &asked)),
        "StartExecution" => start(state, host, &asked),
        "StopExecution" => Ok(stop(state, host.region(), &asked)),
        _ => list(state, host, &asked),
    }
}

fn kept(state: &WorldState, region: &str) -> Vec<Value> {
    let slot = state.services.get(&slot(region));
    slot.and_then(Value::as_array).cloned().unwrap_or_else(Vec::new)
}

fn slot(region: &str) -> String {
    format!("executions/{region}")
}

/// The machine, or the error that it is not there.
fn machine<S: StatefulService>(host: &Host<'_, S>, asked: &Value) -> Result<Answer, Trouble> {
    let machine = json!({"stateMachineArn": asked["stateMachineArn"]});
    host.ask("DescribeStateMachine", &machine)
}

fn start<S: StatefulService>(state: &mut WorldState, host: &Host<'_, S>, asked: &Value) -> Result<Answer, Trouble> {
    let machine = machine(host, asked)?;
    if machine.status != 200 {
        return Ok(machine);
    }
    let input = asked["input"].as_str().unwrap_or("{}");
    if let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(input) {
        return Ok(Answer::error(
            400,
            "InvalidExecutionInput",
            format!("Invalid State Machine Execution Input: '{error}'"),
        ));
    }
    let started = state.tick();
    let generated = format!("embedded-{:016}", state.changes);
    let name = asked["name"].as_str().unwrap_or(&generated);
    let machine_arn = asked["stateMachineArn"].as_str().unwrap_or_default();
    let arn = format!("{}:{name}", machine_arn.replace(":stateMachine:", ":execution:"));
    let mut all = kept(state, host.region());
    // Starting the same once more is the same execution while it runs; else it is an error.
    if let Some(there) = all.iter().find(|execution| execution["executionArn"] == arn.as_str()) {
        if there["input"] != input || there["status"] != RUNNING {
            let message = format!("Execution Already Exists: '{arn}'");
            return Ok(Answer::error(400, "ExecutionAlreadyExists", message));
        }
        return Ok(started_answer(there));
    }
    let execution = json!({
        "executionArn": arn,
        "stateMachineArn": machine_arn,
        "name": name,
        "status": RUNNING,
        "startDate": started,
        "input": input,
        "inputDetails": {"included": true},
    });
    let answer = started_answer(&execution);
    all.push(execution);
    state.services.insert(slot(host.region()), Value::Array(all));
    Ok(answer)
}

fn started_answer(execution: &Value) -> Answer {
    Answer {
        status: 200,
        body: json!({
            "executionArn": execution["executionArn"],
            "startDate": execution["startDate"],
        }),
    }
}

fn describe(state: &WorldState, region: &str, asked: &Value) -> Answer {
    let found = kept(state, region).into_iter().find(|execution| execution["executionArn"] == asked["executionArn"]);
    match found {
        Some(body) => Answer { status: 200, body },
        None => missing(asked),
    }
}

fn missing(asked: &Value) -> Answer {
    let message = format!("Execution Does Not Exist: {}", asked["executionArn"]);
    Answer::error(400, "ExecutionDoesNotExist", message)
}

/// Ends an execution; one that has ended stays as it is.
fn stop(state: &mut WorldState, region: &str, asked: &Value) -> Answer {
    let mut all = kept(state, region);
    let Some(execution) = all.iter_mut().find(|execution| execution["executionArn"] == asked["executionArn"]) else {
        return missing(asked);
    };
    if execution["status"] == RUNNING {
        execution["status"] = json!("ABORTED");
        execution["stopDate"] = json!(state.tick());
        for said in ["error", "cause"] {
            if !asked[said].is_null() {
                execution[said] = asked[said].clone();
            }
        }
    }
    let answer = Answer { status: 200, body: json!({"stopDate": execution["stopDate"]}) };
    state.services.insert(slot(region), Value::Array(all));
    answer
}

fn list<S: StatefulService>(state: &WorldState, host: &Host<'_, S>, asked: &Value) -> Result<Answer, Trouble> {
    let machine = machine(host, asked)?;
    if machine.status != 200 {
        return Ok(machine);
    }
    let filter = asked["statusFilter"].as_str();
    if filter.is_some_and(|status| !ExecutionStatus::values().contains(&status)) {
        return Ok(Answer::error(400, "ValidationException", "statusFilter is no status of an execution"));
    }
    if asked["maxResults"].as_u64().is_some_and(|size| size > LARGEST_PAGE) {
        return Ok(Answer::error(400, "ValidationException", format!("maxResults is more than {LARGEST_PAGE}")));
    }
    let executions: Vec<Value> = kept(state, host.region())
        .into_iter()
        .rev()
        .filter(|execution| execution["stateMachineArn"] == asked["stateMachineArn"])
        .filter(|execution| filter.is_none_or(|status| execution["status"] == status))
        .map(|mut execution| {
            if let Some(fields) = execution.as_object_mut() {
                fields.retain(|field, _| LISTED.contains(&field.as_str()));
            }
            execution
        })
        .collect();
    let answer = Answer { status: 200, body: json!({"executions": executions}) };
    Ok(paged(answer, asked, "executions", "maxResults", "nextToken"))
}
