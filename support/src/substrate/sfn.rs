//! Reading Step Functions.

use std::collections::BTreeSet;
use std::sync::Arc;

use aws_config::SdkConfig;
use serde::{Deserialize, Serialize};

use super::link::{Call, Link};
use super::reply::{CallError, Reply};
use super::s3::Listing;

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
    /// `Malformed` when a page contradicts itself; see [`super::reply::CallErrorKind`].
    pub fn list_state_machines(&self) -> Result<Reply<Listing<StateMachineEntry>>, CallError> {
        let mut walk = Walk::default();
        loop {
            let call = self.link.call("stepfunctions", "list-state-machines", "-");
            let request = self.client.list_state_machines().set_next_token(walk.token.take()).customize();
            let page = call.send(request.interceptor(call.probe()).send())?;
            let machines = page.value.state_machines.into_iter();
            walk.entries.extend(
                machines.map(|machine| StateMachineEntry { name: machine.name, arn: machine.state_machine_arn }),
            );
            if walk.is_over(&call, page.attempts, page.value.next_token)? {
                return Ok(walk.reply(&call));
            }
        }
    }

    /// The state machine of this ARN.
    ///
    /// # Errors
    /// `NotFound` when it is not there; see [`super::reply::CallErrorKind`] for the others.
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

    /// All executions of a state machine; every page is walked. Where there is none, the machine is
    /// asked for too: not every server tells a missing machine from an idle one.
    ///
    /// # Errors
    /// `NotFound` when there is no such machine; `Malformed` when a page contradicts itself; see
    /// [`super::reply::CallErrorKind`] for the others.
    pub fn list_executions(&self, machine: &str) -> Result<Reply<Listing<ExecutionEntry>>, CallError> {
        let mut walk = Walk::default();
        loop {
            let call = self.link.call("stepfunctions", "list-executions", machine);
            let request =
                self.client.list_executions().state_machine_arn(machine).set_next_token(walk.token.take()).customize();
            let page = call.send(request.interceptor(call.probe()).send())?;
            let executions = page.value.executions.into_iter();
            walk.entries.extend(executions.map(|execution| ExecutionEntry {
                name: execution.name,
                arn: execution.execution_arn,
                status: execution.status.as_str().to_owned(),
            }));
            if walk.is_over(&call, page.attempts, page.value.next_token)? {
                if walk.entries.is_empty() {
                    self.describe_state_machine(machine)?;
                }
                return Ok(walk.reply(&call));
            }
        }
    }
}

/// One walk over pages that are chained by tokens.
struct Walk<T> {
    entries: Vec<T>,
    token: Option<String>,
    used: BTreeSet<String>,
    attempts: u32,
}

impl<T> Default for Walk<T> {
    fn default() -> Self {
        Self { entries: Vec::new(), token: None, used: BTreeSet::new(), attempts: 0 }
    }
}

impl<T> Walk<T> {
    fn is_over(&mut self, call: &Call<'_>, attempts: u32, token: Option<String>) -> Result<bool, CallError> {
        self.attempts = self.attempts.saturating_add(attempts);
        let Some(token) = token.filter(|token| !token.is_empty()) else {
            return Ok(true);
        };
        if !self.used.insert(token.clone()) {
            return Err(call.malformed("a page names a token that was used before"));
        }
        self.token = Some(token);
        Ok(false)
    }

    fn reply(self, call: &Call<'_>) -> Reply<Listing<T>> {
        let mut reply = call.reply(Listing { entries: self.entries, complete: true });
        reply.attempts = self.attempts;
        reply
    }
}
