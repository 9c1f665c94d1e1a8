//! Step Functions executions of the embedded world. A handler of our own: the state of
//! `winterbaume` can be kept, but leaves them out. Nothing executes: an execution that was started
//! is running.

use serde_json::{Value, json};
use winterbaume_core::StatefulService;

use super::holes::paged;
use super::services::{Answer, Host, Trouble};
use super::store::WorldState;

/// The operations that are answered here.
pub(super) const OPERATIONS: [&str; 3] = ["StartExecution", "DescribeExecution", "ListExecutions"];

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
    let started = state.tick();
    let generated = format!("embedded-{:016}", state.changes);
    let name = asked["name"].as_str().unwrap_or(&generated);
    let machine_arn = asked["stateMachineArn"].as_str().unwrap_or_default();
    let arn = format!("{}:{name}", machine_arn.replace(":stateMachine:", ":execution:"));
    let mut all = kept(state, host.region());
    // Starting the same once more is the same execution; with other input it is an error.
    if let Some(there) = all.iter().find(|execution| execution["executionArn"] == arn.as_str()) {
        if there["input"] != input {
            let message = format!("Execution Already Exists: '{arn}'");
            return Ok(Answer::error(400, "ExecutionAlreadyExists", message));
        }
        return Ok(started_answer(there));
    }
    let execution = json!({
        "executionArn": arn,
        "stateMachineArn": machine_arn,
        "name": name,
        "status": "RUNNING",
        "startDate": started,
        "input": input,
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
        None => {
            let message = format!("Execution Does Not Exist: {}", asked["executionArn"]);
            Answer::error(400, "ExecutionDoesNotExist", message)
        }
    }
}

fn list<S: StatefulService>(state: &WorldState, host: &Host<'_, S>, asked: &Value) -> Result<Answer, Trouble> {
    let machine = machine(host, asked)?;
    if machine.status != 200 {
        return Ok(machine);
    }
    let executions: Vec<Value> = kept(state, host.region())
        .into_iter()
        .rev()
        .filter(|execution| execution["stateMachineArn"] == asked["stateMachineArn"])
        .filter(|execution| asked["statusFilter"].is_null() || execution["status"] == asked["statusFilter"])
        .map(|mut execution| {
            if let Some(fields) = execution.as_object_mut() {
                fields.remove("input");
            }
            execution
        })
        .collect();
    let answer = Answer { status: 200, body: json!({"executions": executions}) };
    Ok(paged(answer, asked, "executions", "maxResults", "nextToken"))
}
