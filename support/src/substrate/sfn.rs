//! Reading Step Functions.

use std::sync::Arc;

use aws_config::SdkConfig;
use aws_sdk_sfn::types::ExecutionStatus;
use aws_smithy_types::date_time::{DateTime, Format};
use serde::{Deserialize, Serialize};

use super::link::{Call, Link};
use super::reply::{CallError, CallErrorKind, Reply};
use super::s3::Listing;
use super::walk::Walk;

/// A state machine in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateMachineEntry {
    /// Its name.
    pub name: String,
    /// Its ARN.
    pub arn: String,
}

/// A state machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateMachineInfo {
    /// Its name.
    pub name: String,
    /// Its ARN.
    pub arn: String,
    /// `ACTIVE` or `DELETING`, where the server says it.
    pub status: Option<String>,
    /// Its definition, in the Amazon States Language.
    pub definition: String,
    /// The role that it runs as.
    pub role_arn: String,
}

/// An execution in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecutionEntry {
    /// Its name.
    pub name: String,
    /// Its ARN.
    pub arn: String,
    /// `RUNNING`, `SUCCEEDED`, `FAILED`, …
    pub status: String,
    /// When it was started (RFC 3339, UTC).
    pub started: Option<String>,
}

/// An execution.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecutionInfo {
    /// Its name.
    pub name: String,
    /// Its ARN.
    pub arn: String,
    /// The ARN of the state machine that it is of.
    pub machine_arn: String,
    /// `RUNNING`, `SUCCEEDED`, `FAILED`, …
    pub status: String,
    /// When it was started (RFC 3339, UTC).
    pub started: Option<String>,
    /// Its input, JSON text as it was given. None where the server leaves it out: then nothing is
    /// known about it.
    pub input: Option<String>,
    /// Whether the server says that it sent the input; none where it says nothing.
    pub input_included: Option<bool>,
}

/// Step Functions, for reading.
#[derive(Debug)]
pub struct Sfn {
    client: aws_sdk_sfn::Client,
    link: Arc<Link>,
}

impl Sfn {
    pub(super) fn new(config: &SdkConfig, link: Arc<Link>) -> Self {
        Self { client: aws_sdk_sfn::Client::new(config), link }
    }

    /// All state machines; every page is walked.
    ///
    /// # Errors
    /// `Malformed` when a page contradicts itself; see [`CallErrorKind`].
    pub fn list_state_machines(&self) -> Result<Reply<Listing<StateMachineEntry>>, CallError> {
        let mut walk = Walk::default();
        loop {
            let call = self.link.call("stepfunctions", "list-state-machines", "-");
            let request = self.client.list_state_machines().set_next_token(walk.token()).customize();
            let page = call.send(request.interceptor(call.probe()).send())?;
            for machine in page.value.state_machines {
                walk.push(StateMachineEntry { name: machine.name, arn: machine.state_machine_arn });
            }
            if walk.is_over(&call, page.attempts, page.value.next_token)? {
                return Ok(walk.reply(&call));
            }
        }
    }

    /// The state machine of this ARN.
    ///
    /// # Errors
    /// `NotFound` when it is not there; see [`CallErrorKind`] for the others.
    pub fn describe_state_machine(&self, arn: &str) -> Result<Reply<StateMachineInfo>, CallError> {
        let call = self.link.call("stepfunctions", "describe-state-machine", arn);
        let request = self.client.describe_state_machine().state_machine_arn(arn);
        let reply = call.send(request.customize().interceptor(call.probe()).send())?;
        let machine = reply.value;
        if machine.state_machine_arn != arn {
            return Err(call.malformed(format!("{} came", machine.state_machine_arn)));
        }
        Ok(call.reply(StateMachineInfo {
            name: machine.name,
            arn: machine.state_machine_arn,
            status: machine.status.map(|status| status.as_str().to_owned()),
            definition: machine.definition,
            role_arn: machine.role_arn,
        }))
    }

    /// The executions of a state machine, all of them or those of one `status` (`RUNNING`); every
    /// page is walked, `page_size` entries at a time (up to 1000, the server's own without it).
    /// Where there is none, the machine is asked for too: not every server tells a missing machine
    /// from an idle one.
    ///
    /// # Errors
    /// `NotFound` when there is no such machine; `Malformed` when a page contradicts itself or the
    /// filter; `Refused` when there is no such status; see [`CallErrorKind`] for the others.
    pub fn list_executions(
        &self,
        machine: &str,
        status: Option<&str>,
        page_size: Option<u16>,
    ) -> Result<Reply<Listing<ExecutionEntry>>, CallError> {
        let mut walk = Walk::default();
        loop {
            let call = self.link.call("stepfunctions", "list-executions", machine);
            let request = self
                .client
                .list_executions()
                .state_machine_arn(machine)
                .set_status_filter(status.map(|word| known_status(&call, word)).transpose()?)
                .set_max_results(page_size.map(i32::from))
                .set_next_token(walk.token())
                .customize();
            let page = call.send(request.interceptor(call.probe()).send())?;
            for execution in page.value.executions {
                let is = execution.status.as_str();
                if status.is_some_and(|asked| asked != is) {
                    return Err(call.malformed(format!("execution `{}` is {is}", execution.name)));
                }
                walk.push(ExecutionEntry {
                    name: execution.name,
                    arn: execution.execution_arn,
                    status: is.to_owned(),
                    started: written(&execution.start_date),
                });
            }
            if walk.is_over(&call, page.attempts, page.value.next_token)? {
                if walk.is_empty() {
                    self.describe_state_machine(machine)?;
                }
                return Ok(walk.reply(&call));
            }
        }
    }

    /// The execution of this ARN, with its input.
    ///
    /// # Errors
    /// `NotFound` when it is not there; see [`CallErrorKind`] for the others.
    pub fn describe_execution(&self, arn: &str) -> Result<Reply<ExecutionInfo>, CallError> {
        let call = self.link.call("stepfunctions", "describe-execution", arn);
        let request = self.client.describe_execution().execution_arn(arn).customize();
        let execution = call.send(request.interceptor(call.probe()).send())?.value;
        if execution.execution_arn != arn {
            return Err(call.malformed(format!("{} came", execution.execution_arn)));
        }
        let input_included = execution.input_details.map(|details| details.included);
        if input_included == Some(true) && execution.input.is_none() {
            return Err(call.malformed("the input is said to be included, and is not there"));
        }
        Ok(call.reply(ExecutionInfo {
            name: call.required("name", execution.name)?,
            arn: execution.execution_arn,
            machine_arn: execution.state_machine_arn,
            status: execution.status.as_str().to_owned(),
            started: written(&execution.start_date),
            input: execution.input,
            input_included,
        }))
    }
}

/// The status of this name: a server that does not know one may leave the filter out.
fn known_status(call: &Call<'_>, word: &str) -> Result<ExecutionStatus, CallError> {
    if ExecutionStatus::values().contains(&word) {
        Ok(ExecutionStatus::from(word))
    } else {
        let message = format!("`{word}` is no status; use one of {}", ExecutionStatus::values().join(", "));
        Err(call.error(CallErrorKind::Refused, message))
    }
}

/// A time in RFC 3339, UTC.
pub(super) fn written(instant: &DateTime) -> Option<String> {
    instant.fmt(Format::DateTime).ok()
}
