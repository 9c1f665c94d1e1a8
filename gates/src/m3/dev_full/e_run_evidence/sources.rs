//! What the run's objects say, taken from the files of M3.B, M3.C and M3.D and from nowhere else.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use support::ensure;
use support::run::check::{Check, Unmet};
use support::run::context::LaneRun;
use support::run::finding::Basis;
use support::run::rows::{Output, RowOutput};

use super::INPUTS_ROW;
use crate::m3::dev_full::d_orchestrator_entry::{LOCK_POSTURE, READINESS};
use crate::m3::dev_full::upstream::{self, DIGEST_SNAPSHOT, Identity};

pub(super) const NO_INPUTS: &str = "M3E-B1";

/// The files whose `overall_pass` says whether their lane passed.
const CLAIMS: [(&str, &str); 4] =
    [("M3.B", "m3b_execution_summary.json"), ("M3.C", DIGEST_SNAPSHOT), ("M3.D", READINESS), ("M3.D", LOCK_POSTURE)];

/// What the earlier lanes left, read again.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Sources {
    /// The identity, where M3.B's and M3.C's files agree on it.
    pub identity: Result<Identity, String>,
    /// The digest that M3.C computed again.
    pub recomputed_digest: Result<String, String>,
    pub orchestrator: Result<Orchestrator, String>,
    /// `overall_pass`, by file. One that fails is believed; one that passes is held against what the files say.
    pub claims: BTreeMap<String, Result<bool, String>>,
}

/// What M3.D says of orchestrator and lock.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Orchestrator {
    pub platform_run_id: String,
    pub scenario_run_id: String,
    pub state_machine_arn: String,
    pub configured_role_arn: String,
    pub expected_role_arn: String,
    pub commit_authority: String,
    pub env_key: String,
    pub lock_of: String,
    pub conflicting_executions: u64,
}

impl Sources {
    pub(super) fn read(run: &LaneRun<'_>) -> Self {
        let claims = CLAIMS.iter().map(|(lane, file)| ((*file).to_owned(), claim(run, lane, file))).collect();
        let recomputed_digest = run.left_by("M3.C", DIGEST_SNAPSHOT).and_then(|snapshot| {
            upstream::text(&snapshot, "/recompute_digest").map_err(|why| format!("{DIGEST_SNAPSHOT}: {why}"))
        });
        Self { identity: Identity::of_files(run), recomputed_digest, orchestrator: Orchestrator::of_files(run), claims }
    }
}

fn claim(run: &LaneRun<'_>, lane: &str, file: &str) -> Result<bool, String> {
    let document = run.left_by(lane, file)?;
    let said = document.get("overall_pass").and_then(Value::as_bool);
    said.ok_or_else(|| format!("{file}: `overall_pass` is missing, or neither true nor false"))
}

impl Orchestrator {
    fn of_files(run: &LaneRun<'_>) -> Result<Self, String> {
        let readiness = run.left_by("M3.D", READINESS)?;
        let posture = run.left_by("M3.D", LOCK_POSTURE)?;
        let ready = |field: &str| upstream::text(&readiness, field).map_err(|why| format!("{READINESS}: {why}"));
        let conflicting = posture.get("conflicting_execution_count").and_then(Value::as_u64);
        Ok(Self {
            platform_run_id: ready("/platform_run_id")?,
            scenario_run_id: ready("/scenario_run_id")?,
            state_machine_arn: ready("/resolved_state_machine_arn")?,
            configured_role_arn: ready("/configured_role_arn")?,
            expected_role_arn: ready("/expected_role_arn")?,
            commit_authority: ready("/sr_ready_commit_authority")?,
            env_key: ready("/required_platform_run_id_env_key")?,
            lock_of: upstream::text(&posture, "/platform_run_id").map_err(|why| format!("{LOCK_POSTURE}: {why}"))?,
            conflicting_executions: conflicting
                .ok_or_else(|| format!("{LOCK_POSTURE}: `conflicting_execution_count` is missing, or no number"))?,
        })
    }
}

pub(super) static INPUTS: Check<(RowOutput, Sources)> = Check::<(RowOutput, Sources)>::new(
    "run_evidence.inputs",
    NO_INPUTS,
    &[INPUTS_ROW, "sources"],
    |(row, sources)| {
        for run in &row.runs {
            let Output::Paths { paths } = &run.output else {
                return Err("the files of the lanes before were not looked for".into());
            };
            ensure!(!paths.is_empty(), "the row names no file");
            let missing: Vec<&str> =
                paths.iter().filter(|(_, there)| !**there).map(|(path, _)| path.as_str()).collect();
            ensure!(missing.is_empty(), "not there: {}", missing.join(", "));
        }
        ensure!(!row.runs.is_empty(), "the files of the lanes before were not looked for");
        let identity = sources.identity.clone().map_err(Unmet::from)?;
        let recomputed = sources.recomputed_digest.clone().map_err(Unmet::from)?;
        let Identity { platform_run_id, scenario_run_id, config_digest } = &identity;
        ensure!(recomputed == *config_digest, "{DIGEST_SNAPSHOT} has {config_digest}, computed again {recomputed}");
        let orchestrator = sources.orchestrator.clone().map_err(Unmet::from)?;
        for (file, said) in [(READINESS, &orchestrator.platform_run_id), (LOCK_POSTURE, &orchestrator.lock_of)] {
            ensure!(said == platform_run_id, "{file} is of {said}, M3.B left {platform_run_id}");
        }
        let scenario = &orchestrator.scenario_run_id;
        ensure!(scenario == scenario_run_id, "{READINESS} is of {scenario}, M3.B left {scenario_run_id}");
        let (configured, expected) = (&orchestrator.configured_role_arn, &orchestrator.expected_role_arn);
        ensure!(configured == expected, "{READINESS}: the orchestrator runs as {configured}, not as {expected}");
        let conflicts = orchestrator.conflicting_executions;
        ensure!(conflicts == 0, "{LOCK_POSTURE}: {conflicts} execution(s) hold the run's lock");
        for (file, claim) in &sources.claims {
            let passed = claim.clone().map_err(Unmet::from)?;
            ensure!(passed, "{file} says that its lane did not pass");
        }
        ensure!(sources.claims.len() == CLAIMS.len(), "not every lane's pass was read");
        Ok(format!("{platform_run_id}, {scenario_run_id}, {config_digest}, as M3.B, M3.C and M3.D left them"))
    },
    |(_, sources)| sources.identity = Err("doctored: no seed".to_owned()),
)
.basis(Basis::Documented)
.next("run the lane again whose file the message names; M3.E copies what M3.B, M3.C and M3.D left");
