//! The one surface by which P1 enters: its handles, its state machine, the role that it runs as.

use serde::{Deserialize, Serialize};
use support::ensure;
use support::run::check::{Check, Unmet};
use support::run::context::LaneRun;
use support::run::lane::Stop;
use support::run::rows::{Output, RowOutput};
use support::substrate::StateMachineEntry;

use super::{HANDLE_CONTRACT, SFN_DESCRIBE, SFN_EXISTS};
use crate::m3::dev_full::a_handle_closure::ORCHESTRATOR_HANDLE;
use crate::m3::dev_full::{laws, scenario, upstream};

const AUTHORITY_HANDLE: &str = "SR_READY_COMMIT_AUTHORITY";
const ROLE_HANDLE: &str = "ROLE_STEP_FUNCTIONS_ORCHESTRATOR";
const ENV_KEY_HANDLE: &str = "REQUIRED_PLATFORM_RUN_ID_ENV_KEY";

const HANDLES_CODE: &str = "M3D-B1";
const MACHINE_CODE: &str = "M3D-B2";
const ROLE_CODE: &str = "M3D-B3";

/// What registry and plan say about the surface, both as they are now, and where it must be.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct EntryContract {
    pub machine_name: Result<String, String>,
    pub authority: Result<String, String>,
    pub role_arn: Result<String, String>,
    pub env_key: Result<String, String>,
    /// The values that the plan's laws give.
    pub lawful_authority: Result<String, String>,
    pub lawful_env_key: Result<String, String>,
    pub account: String,
    pub region: String,
}

impl EntryContract {
    pub(super) fn read(run: &LaneRun<'_>) -> Result<Self, Stop> {
        let world = run.world()?;
        let again = run.read_handles_again();
        let value = |handle: &str| match &again {
            Ok(handles) => scenario::text(handles, handle),
            Err(stop) => Err(format!("the registry cannot be read again: {}", upstream::words(stop))),
        };
        let clauses = laws::clauses_of_lane(run, "M3.D");
        Ok(Self {
            machine_name: value(ORCHESTRATOR_HANDLE),
            authority: value(AUTHORITY_HANDLE),
            role_arn: value(ROLE_HANDLE),
            env_key: value(ENV_KEY_HANDLE),
            lawful_authority: laws::value_of(&clauses, AUTHORITY_HANDLE),
            lawful_env_key: laws::value_of(&clauses, ENV_KEY_HANDLE),
            account: world.account.clone(),
            region: world.substrate.region().to_owned(),
        })
    }

    /// The ARN of the one state machine that the handle names.
    pub(super) fn arn_among(&self, machines: &[StateMachineEntry]) -> Result<String, Unmet> {
        let name = self.machine_name.as_ref().map_err(|why| Unmet::blocked_by(HANDLES_CODE, why.clone()))?;
        let named: Vec<&str> = machines.iter().filter(|m| m.name == *name).map(|m| m.arn.as_str()).collect();
        let [arn] = named.as_slice() else {
            let all = if named.is_empty() { "none".to_owned() } else { named.join(", ") };
            return Err(Unmet::from(format!("of {} state machine(s), named {name}: {all}", machines.len())));
        };
        let parts: Vec<&str> = arn.split(':').collect();
        let ["arn", _, "states", region, account, "stateMachine", own] = parts.as_slice() else {
            return Err(Unmet::from(format!("{arn} is no state machine's ARN")));
        };
        ensure!(own == name, "{arn} is not the ARN of {name}");
        ensure!(
            *region == self.region && *account == self.account,
            "{arn} is not in account {} and region {}",
            self.account,
            self.region
        );
        Ok((*arn).to_owned())
    }
}

/// The state machines of a row that lists them.
pub(super) fn machines(row: &RowOutput) -> Result<&[StateMachineEntry], Unmet> {
    match row.runs.first().map(|run| &run.output) {
        Some(Output::StateMachines { machines, complete: true }) => Ok(machines),
        Some(Output::StateMachines { .. }) => {
            Err("the list of state machines (aws stepfunctions list-state-machines) is not complete".into())
        }
        _ => Err("Step Functions did not list its state machines (aws stepfunctions list-state-machines)".into()),
    }
}

/// The role of the state machine that a row describes.
pub(super) fn configured_role(row: &RowOutput) -> Option<String> {
    match row.runs.first().map(|run| &run.output) {
        Some(Output::StateMachine { machine }) => Some(machine.role_arn.clone()),
        _ => None,
    }
}

pub(super) static HANDLES: Check<(RowOutput, EntryContract)> = Check::<(RowOutput, EntryContract)>::new(
    "entry.handles",
    HANDLES_CODE,
    &[HANDLE_CONTRACT, "entry_contract"],
    |(row, contract)| {
        // The env key has a code of its own.
        let missing: Vec<&str> = unmentioned(row)?.into_iter().filter(|handle| *handle != ENV_KEY_HANDLE).collect();
        ensure!(missing.is_empty(), "the registry does not mention: {}", missing.join(", "));
        let value = |value: &Result<String, String>| value.clone().map_err(Unmet::from);
        let (name, role) = (value(&contract.machine_name)?, value(&contract.role_arn)?);
        let (authority, lawful) = (value(&contract.authority)?, value(&contract.lawful_authority)?);
        ensure!(authority == lawful, "{AUTHORITY_HANDLE} is `{authority}`, and the plan's law says `{lawful}`");
        Ok(format!("{name} as {role}; {AUTHORITY_HANDLE} is {authority}"))
    },
    |(_, contract)| contract.authority = Ok("doctored".to_owned()),
)
.next("pin the handle in the registry; SR_READY_COMMIT_AUTHORITY with the value that M3.D's authority law gives");

pub(super) static ENV_KEY: Check<(RowOutput, EntryContract)> = Check::<(RowOutput, EntryContract)>::new(
    "entry.env_key",
    "M3D-B5",
    &[HANDLE_CONTRACT, "entry_contract"],
    |(row, contract)| {
        ensure!(!unmentioned(row)?.contains(&ENV_KEY_HANDLE), "the registry does not mention {ENV_KEY_HANDLE}");
        let key = contract.env_key.clone().map_err(Unmet::from)?;
        let lawful = contract.lawful_env_key.clone().map_err(Unmet::from)?;
        ensure!(key == lawful, "{ENV_KEY_HANDLE} is `{key}`, and the plan's law says `{lawful}`");
        Ok(format!("the runtime gets its scope by {key}"))
    },
    |(_, contract)| contract.env_key = Err("doctored: no value".to_owned()),
)
.next("pin REQUIRED_PLATFORM_RUN_ID_ENV_KEY with the name that M3.D's runtime-scope law gives");

/// The handles of the row's search that no line of the registry mentions.
fn unmentioned(row: &RowOutput) -> Result<Vec<&str>, Unmet> {
    match row.runs.first().map(|run| &run.output) {
        Some(Output::Lines { missing, .. }) => Ok(missing.iter().map(String::as_str).collect()),
        _ => Err("the registry was not searched for the handles of orchestrator and lock".into()),
    }
}

pub(super) static MACHINE: Check<(RowOutput, EntryContract)> = Check::<(RowOutput, EntryContract)>::new(
    "entry.machine",
    MACHINE_CODE,
    &[SFN_EXISTS, "entry_contract"],
    |(row, contract)| {
        let arn = contract.arn_among(machines(row)?)?;
        Ok(format!("{arn} is the one state machine of its name"))
    },
    |(row, _)| {
        for run in &mut row.runs {
            if let Output::StateMachines { machines, .. } = &mut run.output {
                machines.extend_from_within(..);
            }
        }
    },
)
.next("bring the runtime stack up, or correct SFN_PLATFORM_RUN_ORCHESTRATOR_V0; one machine of that name must stand in the account and region");

pub(super) static DESCRIBED: Check<(RowOutput, EntryContract)> = Check::<(RowOutput, EntryContract)>::new(
    "entry.described",
    MACHINE_CODE,
    &[SFN_DESCRIBE, "entry_contract"],
    |(row, contract)| {
        let machine = match row.runs.first().map(|run| &run.output) {
            Some(Output::StateMachine { machine }) => machine,
            Some(Output::Absent { what }) => return Err(format!("{what} is listed, and cannot be described").into()),
            _ => return Err("the state machine was not described".into()),
        };
        let name = contract.machine_name.as_ref().map_err(|why| Unmet::blocked_by(HANDLES_CODE, why.clone()))?;
        ensure!(machine.name == *name, "{} describes itself as {}, not {name}", machine.arn, machine.name);
        let status = machine.status.as_deref().unwrap_or("of no status");
        ensure!(status == "ACTIVE", "{} is {status}, not ACTIVE", machine.arn);
        Ok(format!("{} is ACTIVE, and runs as {}", machine.arn, machine.role_arn))
    },
    |(row, _)| {
        for run in &mut row.runs {
            if let Output::StateMachine { machine } = &mut run.output {
                machine.status = Some("DELETING".to_owned());
            }
        }
    },
)
.next("allow states:DescribeStateMachine, and see that the state machine is not being deleted");

pub(super) static ROLE_ALIGNED: Check<(String, EntryContract)> = Check::<(String, EntryContract)>::new(
    "entry.role_aligned",
    ROLE_CODE,
    &["configured_role_arn", "entry_contract"],
    |(configured, contract)| {
        let expected = contract.role_arn.as_ref().map_err(|why| Unmet::blocked_by(HANDLES_CODE, why.clone()))?;
        ensure!(configured == expected, "the state machine runs as {configured}, {ROLE_HANDLE} is {expected}");
        Ok(format!("the state machine runs as {configured}, as {ROLE_HANDLE} says"))
    },
    |(configured, _)| configured.push_str("-doctored"),
)
.next("apply the runtime stack again, or correct ROLE_STEP_FUNCTIONS_ORCHESTRATOR");

pub(super) static ROLE_IN_STACK: Check<(Output, EntryContract)> = Check::<(Output, EntryContract)>::new(
    "entry.role_in_stack",
    ROLE_CODE,
    &["runtime_outputs", "entry_contract"],
    |(outputs, contract)| {
        let (state, outputs) = match outputs {
            Output::TerraformOutputs { state, outputs, .. } => (state, outputs),
            Output::Absent { what } => return Err(format!("{what} does not exist").into()),
            _ => return Err("the runtime stack's outputs were not read".into()),
        };
        let expected = contract.role_arn.as_ref().map_err(|why| Unmet::blocked_by(HANDLES_CODE, why.clone()))?;
        let name = ROLE_HANDLE.to_ascii_lowercase();
        match outputs.get(&name) {
            None => Err(format!("{state} has no output {name}").into()),
            Some(stated) if stated.as_str() == Some(expected) => Ok(format!("{state} says {expected} too")),
            Some(stated) => Err(format!("{state} says that {name} is {stated}, {ROLE_HANDLE} is {expected}").into()),
        }
    },
    |(outputs, _)| {
        if let Output::TerraformOutputs { outputs, .. } = outputs {
            outputs.clear();
        }
    },
)
.next("apply the runtime stack again, or correct ROLE_STEP_FUNCTIONS_ORCHESTRATOR");

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    const HERE: &str = "arn:aws:states:eu-west-2:111122223333:stateMachine:run";

    fn contract() -> EntryContract {
        let value = |text: &str| Ok(text.to_owned());
        EntryContract {
            machine_name: value("run"),
            authority: value("a"),
            role_arn: value("r"),
            env_key: value("E"),
            lawful_authority: value("a"),
            lawful_env_key: value("E"),
            account: "111122223333".to_owned(),
            region: "eu-west-2".to_owned(),
        }
    }

    #[rstest]
    #[case(&[("run", HERE)], None)]
    #[case(&[("other", "arn:aws:states:eu-west-2:111122223333:stateMachine:other"), ("run", HERE)], None)]
    #[case(&[], Some("of 0 state machine(s), named run: none"))]
    #[case(&[("run-2", "arn:aws:states:eu-west-2:111122223333:stateMachine:run-2")], Some("named run: none"))]
    #[case(&[("run", HERE), ("run", HERE)], Some("stateMachine:run, arn:"))]
    #[case(&[("run", "arn:aws:states:eu-west-1:111122223333:stateMachine:run")], Some("is not in account"))]
    #[case(&[("run", "arn:aws:states:eu-west-2:444455556666:stateMachine:run")], Some("is not in account"))]
    #[case(&[("run", "arn:aws:states:eu-west-2:111122223333:stateMachine:walk")], Some("is not the ARN of run"))]
    #[case(&[("run", "arn:aws:states:eu-west-2:111122223333:activity:run")], Some("is no state machine's ARN"))]
    #[case(&[("run", "run")], Some("is no state machine's ARN"))]
    fn a_name_leads_to_one_arn_here(#[case] listed: &[(&str, &str)], #[case] refused: Option<&str>) {
        let entry = |(name, arn): &(&str, &str)| StateMachineEntry { name: (*name).into(), arn: (*arn).into() };
        let machines: Vec<StateMachineEntry> = listed.iter().map(entry).collect();
        match (contract().arn_among(&machines), refused) {
            (Ok(arn), None) => assert_eq!(arn, HERE),
            (Err(unmet), Some(says)) => assert!(unmet.why.contains(says), "{}", unmet.why),
            (other, _) => panic!("{other:?}"),
        }
    }
}
