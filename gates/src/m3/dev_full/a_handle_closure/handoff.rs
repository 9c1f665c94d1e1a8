//! M2's entry readiness receipt: there, readable, and in favour.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use support::ensure;
use support::run::check::{Check, Unmet};
use support::run::context::LaneRun;
use support::run::finding::Basis;
use support::run::outcome::RunBasis;
use support::run::rows::{Output, RowOutput};

use super::M2_HANDOFF;

const UNREADABLE: &str = "M3A-B3";

/// What M2 handed over, by the fields that entry asks for (PLANS.md 6).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Handoff {
    pub path: String,
    pub problem: Option<String>,
    pub entry_ready: Option<bool>,
    pub overall_pass: Option<bool>,
    pub blockers: Option<Vec<Value>>,
    pub next_gate: Option<String>,
    pub account: Option<String>,
    pub region: Option<String>,
    pub expected_account: Option<String>,
    pub expected_region: Option<String>,
    /// A live run enters on a verdict of phasegate alone (PLANS.md 6).
    pub live: bool,
}

pub(super) static HANDOFF_READABLE: Check<(RowOutput, Handoff)> = Check::<(RowOutput, Handoff)>::new(
    "handoff.readable",
    UNREADABLE,
    &[M2_HANDOFF, "m2_handoff"],
    |(row, handoff)| {
        let all = row.runs.iter().all(|run| match &run.output {
            Output::Paths { paths } => !paths.is_empty() && paths.values().all(|there| *there),
            _ => false,
        });
        ensure!(all && !row.runs.is_empty(), "{} is not there", handoff.path);
        if let Some(problem) = &handoff.problem {
            return Err(Unmet::from(problem.clone()));
        }
        for (field, there) in [
            ("m3_entry_ready", handoff.entry_ready.is_some()),
            ("overall_pass", handoff.overall_pass.is_some()),
            ("blockers", handoff.blockers.is_some()),
            ("next_gate", handoff.next_gate.is_some()),
        ] {
            ensure!(there, "{} has no readable `{field}`", handoff.path);
        }
        Ok(format!("{} is there and readable", handoff.path))
    },
    |(row, _)| {
        for run in &mut row.runs {
            if let Output::Paths { paths } = &mut run.output {
                paths.values_mut().for_each(|there| *there = false);
            }
        }
    },
)
.basis(Basis::Documented)
.next("put M2's m2j_m3_entry_readiness_receipt.json at the path that the plan's Authority Inputs name");

pub(super) static HANDOFF_ADVANCES: Check<Handoff> = Check::<Handoff>::derived(
    "handoff.advances",
    "handoff_advances",
    &["m2_handoff"],
    |handoff| {
        if let Some(problem) = &handoff.problem {
            return Err(Unmet::blocked_by(UNREADABLE, problem));
        }
        let path = &handoff.path;
        ensure!(
            !handoff.live,
            "{path} is a handoff that phasegate did not judge; a live run enters on a live verdict.json only"
        );
        let (Some(ready), Some(pass), Some(blockers), Some(next)) =
            (handoff.entry_ready, handoff.overall_pass, &handoff.blockers, &handoff.next_gate)
        else {
            return Err(Unmet::blocked_by(UNREADABLE, format!("{path} lacks a field that entry asks for")));
        };
        ensure!(ready, "{path}: m3_entry_ready is false");
        ensure!(pass, "{path}: overall_pass is false");
        ensure!(blockers.is_empty(), "{path}: blockers lists {}", Value::Array(blockers.clone()));
        ensure!(next == "M2_DONE_M3_READY", "{path}: next_gate is `{next}`, not `M2_DONE_M3_READY`");
        let account = handoff.account.as_deref().unwrap_or("-");
        let expected = handoff.expected_account.as_deref().unwrap_or("-");
        ensure!(account == expected, "{path}: aws_account_id is {account}, and {expected} is expected");
        let region = handoff.region.as_deref().unwrap_or("-");
        // Without AWS_REGION no substrate opens, and that finding names the cause.
        if let Some(pinned) = &handoff.expected_region {
            ensure!(region == pinned, "{path}: aws_region is {region}, and AWS_REGION is {pinned}");
        }
        Ok(format!("M2 says {next} for account {account} in {region}, no blocker"))
    },
    |handoff| handoff.entry_ready = Some(false),
)
.basis(Basis::Documented)
.next("close M2 first; its receipt must say M2_DONE_M3_READY without blockers, for the pinned account and region");

pub(super) fn handoff(run: &LaneRun<'_>) -> Handoff {
    let mut handoff = Handoff {
        path: "-".to_owned(),
        problem: None,
        entry_ready: None,
        overall_pass: None,
        blockers: None,
        next_gate: None,
        account: None,
        region: None,
        expected_account: run.expected_account().map(str::to_owned),
        expected_region: run.text("AWS_REGION").ok(),
        live: run.basis() == RunBasis::Live,
    };
    let Some(named) = run.documents().handoff() else {
        handoff.problem = Some("the plan's Authority Inputs name no handoff of M2".to_owned());
        return handoff;
    };
    named.path.clone_into(&mut handoff.path);
    match &named.content {
        Err(why) => handoff.problem = Some(why.clone()),
        Ok(value) => {
            let text = |key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
            let flag = |key: &str| value.get(key).and_then(Value::as_bool);
            handoff.entry_ready = flag("m3_entry_ready");
            handoff.overall_pass = flag("overall_pass");
            handoff.blockers = value.get("blockers").and_then(Value::as_array).cloned();
            handoff.next_gate = text("next_gate");
            handoff.account = text("aws_account_id");
            handoff.region = text("aws_region");
        }
    }
    handoff
}
