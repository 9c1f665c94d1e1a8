//! M2's handoff: there, readable, and in favour.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use support::ensure;
use support::run::check::{Check, Unmet};
use support::run::context::LaneRun;
use support::run::finding::Basis;
use support::run::outcome::RunBasis;
use support::run::rows::{Output, RowOutput};

use super::M2_HANDOFF;

pub(super) const HANDOFF_UNREADABLE: &str = "PG-M3.A-handoff_readable";

/// What M2 handed over, by the fields that entry asks for (PLANS.md 6).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in crate::m3::dev_min) struct Handoff {
    pub path: String,
    pub problem: Option<String>,
    pub verdict: Option<String>,
    pub open_risks: Option<usize>,
    pub account: Option<String>,
    pub region: Option<String>,
    pub non_secret: Option<bool>,
    pub expected_account: Option<String>,
    pub expected_region: Option<String>,
    pub live: bool,
}

pub(super) static HANDOFF_READABLE: Check<(RowOutput, Handoff)> = Check::<(RowOutput, Handoff)>::derived(
    "handoff.readable",
    "handoff_readable",
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
.next("put M2's m3_handoff_pack.json at the path that the plan's Authority Inputs name");

pub(super) static HANDOFF_ADVANCES: Check<Handoff> = Check::<Handoff>::derived(
    "handoff.advances",
    "handoff_advances",
    &["m2_handoff"],
    |handoff| {
        if let Some(problem) = &handoff.problem {
            return Err(Unmet::blocked_by(HANDOFF_UNREADABLE, problem));
        }
        ensure!(
            !handoff.live,
            "{} is a handoff that phasegate did not judge; a live run enters on a live verdict.json only",
            handoff.path
        );
        let verdict = handoff.verdict.as_deref().unwrap_or("-");
        ensure!(
            verdict == "ADVANCE_TO_M3",
            "{}: m2_readiness_verdict is `{verdict}`, not `ADVANCE_TO_M3`",
            handoff.path
        );
        match handoff.open_risks {
            Some(0) => {}
            Some(n) => return Err(Unmet::from(format!("{}: open_risk_register lists {n} open risk(s)", handoff.path))),
            None => return Err(Unmet::from(format!("{}: there is no open_risk_register", handoff.path))),
        }
        ensure!(handoff.non_secret == Some(true), "{}: it does not declare `non_secret: true`", handoff.path);
        let account = handoff.account.as_deref().unwrap_or("-");
        let expected = handoff.expected_account.as_deref().unwrap_or("-");
        ensure!(account == expected, "{}: aws_account_id is {account}, and {expected} is expected", handoff.path);
        let region = handoff.region.as_deref().unwrap_or("-");
        // Without AWS_REGION no substrate opens, and that finding names the cause.
        if let Some(pinned) = &handoff.expected_region {
            ensure!(region == pinned, "{}: aws_region is {region}, and AWS_REGION is {pinned}", handoff.path);
        }
        Ok(format!("M2 says {verdict} for account {account} in {region}, no open risk"))
    },
    |handoff| handoff.verdict = Some("HOLD_M2".to_owned()),
)
.basis(Basis::Documented)
.next("close M2 first; its handoff must say ADVANCE_TO_M3 with an empty open_risk_register, for the pinned account");

pub(super) fn handoff(run: &LaneRun<'_>) -> Handoff {
    let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
    let mut handoff = Handoff {
        path: "-".to_owned(),
        problem: None,
        verdict: None,
        open_risks: None,
        account: None,
        region: None,
        non_secret: None,
        expected_account: run.expected_account().map(str::to_owned),
        expected_region: run.text("AWS_REGION").ok(),
        live: run.basis() == RunBasis::Live,
    };
    match run.documents().handoff() {
        None => handoff.problem = Some("the plan's Authority Inputs name no handoff of M2".to_owned()),
        Some(named) => {
            named.path.clone_into(&mut handoff.path);
            match &named.content {
                Err(why) => handoff.problem = Some(why.clone()),
                Ok(value) => {
                    handoff.verdict = text(value, "m2_readiness_verdict");
                    handoff.open_risks = value.get("open_risk_register").and_then(Value::as_array).map(Vec::len);
                    handoff.account = text(value, "aws_account_id");
                    handoff.region = text(value, "aws_region");
                    handoff.non_secret = value.get("non_secret").and_then(Value::as_bool);
                }
            }
        }
    }
    handoff
}
