//! M3.D: the orchestrator can be entered, under its own role, and nobody holds the run's lock.

mod entry_surface;
pub(super) mod run_lock;

use serde_json::{Value, json};
use support::run::check::{AnyCheck, Check, Unmet};
use support::run::context::LaneRun;
use support::run::finding::Basis;
use support::run::lane::{Lane, Step, Stop};
use support::run::rows::{Output, RowOutput};

use self::entry_surface::{
    DESCRIBED, ENV_KEY, EntryContract, HANDLES, MACHINE, ROLE_ALIGNED, ROLE_IN_STACK, configured_role, machines,
};
use self::run_lock::{LOCK_QUESTION, LOCK_TAKEN, LockQuestion, RUN_LOCK_CHECK};
use super::a_handle_closure::command_receipts;
use super::lane_files::{self, DoorCodes, LANE_FILES, LaneFiles};
use super::laws::Law;
use super::upstream::Identity;

const HANDLE_CONTRACT: &str = "M3D-V1-HANDLE-CONTRACT";
const SFN_EXISTS: &str = "M3D-V2-SFN-EXISTS";
const SFN_DESCRIBE: &str = "M3D-V3-SFN-DESCRIBE";
const EVIDENCE_PUBLISH: &str = "M3D-V6-EVIDENCE-PUBLISH";

/// What later lanes take orchestrator and role from.
pub(super) const READINESS: &str = "m3d_orchestrator_entry_readiness_snapshot.json";
/// What later lanes take the lock's posture from.
pub(super) const LOCK_POSTURE: &str = "m3d_run_lock_posture_snapshot.json";

/// The stack that the orchestrator and its role belong to.
const RUNTIME_STACK: &str = "runtime";

struct Codes;

impl DoorCodes for Codes {
    const PUT: Option<&'static str> = Some("M3D-B6");
    const CONTRACT: Option<&'static str> = Some("M3D-B7");
    const SECRET: Option<&'static str> = None;
}

static LOCK_LAW: Check<Law> = Check::<Law>::derived(
    "lock.documented",
    "lock_documented",
    &["lock_law"],
    |law| law.says(&[&["lock", "`platform_run_id`"], &["`RUNNING`", "`platform_run_id`", "fails closed"]]),
    |law| law.clauses.clear(),
)
.basis(Basis::Documented)
.next("say in M3.D's run-lock identity law that `platform_run_id` is the lock, and that a `RUNNING` execution of it fails closed");

static IDENTITY: Check<Result<Identity, String>> = Check::<Result<Identity, String>>::derived(
    "lock.run_known",
    NO_RUN,
    &["run_identity"],
    |identity| match identity {
        Ok(identity) => Ok(format!("{}, as M3.B and M3.C left it", identity.platform_run_id)),
        Err(why) => Err(Unmet::from(why.clone())),
    },
    |identity| *identity = Err("doctored: no seed".to_owned()),
)
.basis(Basis::Documented)
.next("run M3.B and M3.C again; the lock is asked for the run that they leave");

/// Without a run there is no lock to ask for; the plan has no code for it.
const NO_RUN: &str = "run_identity";

static LOCK_FREE: Check<(RowOutput, LockQuestion)> = Check::<(RowOutput, LockQuestion)>::new(
    "lock.free",
    LOCK_TAKEN,
    &[RUN_LOCK_CHECK, LOCK_QUESTION],
    run_lock::free,
    run_lock::take,
)
.next("let the execution that the message names end, or see that its input can be read; then run the gate again");

static PUBLISHED: Check<LaneFiles> =
    Check::<LaneFiles>::new("m3d.published", "M3D-B6", &[LANE_FILES], lane_files::published::<Codes>, lane_files::lose)
        .next(
            "read what S3 answered, make s3:PutObject and s3:GetObject work on the evidence bucket, run the gate again",
        );

static EVIDENCE: Check<LaneFiles> = Check::<LaneFiles>::new(
    "m3d.evidence_complete",
    "M3D-B7",
    &[LANE_FILES],
    lane_files::complete::<Codes>,
    lane_files::lose,
)
.next("do what the message says, then run the gate again");

/// The checks that the readiness snapshot's `overall_pass` speaks of.
fn readiness_checks() -> [&'static dyn AnyCheck; 9] {
    [&HANDLES, &ENV_KEY, &MACHINE, &DESCRIBED, &ROLE_ALIGNED, &ROLE_IN_STACK, &LOCK_LAW, &IDENTITY, &LOCK_FREE]
}

/// The lane.
pub(super) fn lane() -> Lane {
    Lane::new("M3.D", execute)
        .asked_again()
        .after("M3.C")
        .documents(read_documents)
        .publishes(publish)
        .proves(
            "one state machine answers to the handle, under the pinned role; no running execution holds the run's lock",
        )
        .checks(readiness_checks())
        .checks([&PUBLISHED as &dyn AnyCheck, &EVIDENCE])
        .row(HANDLE_CONTRACT, [HANDLES.holds(), ENV_KEY.holds()])
        .row(SFN_EXISTS, [MACHINE.holds()])
        .row(SFN_DESCRIBE, [DESCRIBED.holds()])
        .row("M3D-V4-ROLE-ALIGN", [ROLE_ALIGNED.holds()])
        .row(RUN_LOCK_CHECK, [LOCK_FREE.holds()])
        .row(EVIDENCE_PUBLISH, [PUBLISHED.holds()])
        .requirement("orchestrator-reachable", [MACHINE.holds(), DESCRIBED.holds(), PUBLISHED.holds()])
        .requirement("lock-identity", [LOCK_LAW.holds(), LOCK_FREE.refusal()])
        .requirement("role-alignment", [ROLE_ALIGNED.holds(), ROLE_IN_STACK.holds(), ROLE_ALIGNED.refusal()])
}

fn read_documents(run: &mut LaneRun<'_>) -> Step {
    let law = Law::read(run, "M3.D", "Run-lock identity law", LOCK_TAKEN);
    run.observe("lock_law", "M3.D's decision pins and taxonomy", &law)
}

fn execute(run: &mut LaneRun<'_>) -> Step {
    let identity = Identity::of_files(run);
    run.observe("run_identity", "the files that M3.B and M3.C left, read again", &identity)?;
    let contract = EntryContract::read(run)?;
    run.observe("entry_contract", "the registry, read again; M3.D's decision pins", &contract)?;
    run.row(HANDLE_CONTRACT)?;
    let listed = run.row(SFN_EXISTS)?;
    run.demand(&MACHINE)?;
    let Ok(arn) = machines(&listed).and_then(|machines| contract.arn_among(machines)) else {
        return run.demand(&MACHINE);
    };
    let described = run.row_with(SFN_DESCRIBE, &[("resolved_arn", &arn)])?;
    run.demand(&DESCRIBED)?;
    if let Some(role) = configured_role(&described) {
        run.observe("configured_role_arn", &format!("roleArn of {arn}, as {SFN_DESCRIBE} came back"), &role)?;
    }
    let outputs = run.stack_outputs("runtime_outputs", RUNTIME_STACK)?;
    run.observe("runtime_outputs", "the state object of the runtime stack", &outputs)?;
    run.demand(&IDENTITY)?;
    match identity {
        Ok(Identity { platform_run_id, .. }) => {
            run_lock::ask(run, &LockQuestion { platform_run_id, machine_arn: arn })?;
            run.demand(&LOCK_FREE)
        }
        Err(_) => run.demand(&IDENTITY),
    }
}

fn publish(run: &mut LaneRun<'_>) -> Step {
    let identity: Result<Identity, String> = run.fact("run_identity")?;
    let (run_id, scenario) =
        identity.map_or_else(|_| (none(), none()), |identity| (identity.platform_run_id, identity.scenario_run_id));
    let checks = readiness_checks();
    let readiness = readiness(run, &run_id, &scenario, &checks)?;
    let posture = lock_posture(run, &run_id);
    let mut files = LaneFiles::planned(run, "M3.D");
    files.leave_by_row(run, EVIDENCE_PUBLISH, READINESS, readiness)?;
    files.leave_by_row(run, EVIDENCE_PUBLISH, LOCK_POSTURE, posture)?;
    let receipts =
        command_receipts(run, &[HANDLE_CONTRACT, SFN_EXISTS, SFN_DESCRIBE, RUN_LOCK_CHECK, EVIDENCE_PUBLISH]);
    files.leave_by_row(run, EVIDENCE_PUBLISH, "m3d_command_receipts.json", receipts)?;
    let mut all: Vec<&'static dyn AnyCheck> = checks.to_vec();
    all.push(&PUBLISHED);
    let summary = lane_files::execution_summary(run, "M3.D", &all, json!({ "platform_run_id": run_id }));
    files.leave_by_row(run, EVIDENCE_PUBLISH, "m3d_execution_summary.json", summary)
}

/// What stands in a file for what was not found.
fn none() -> String {
    "-".to_owned()
}

fn readiness(run: &LaneRun<'_>, run_id: &str, scenario: &str, checks: &[&'static dyn AnyCheck]) -> Result<Value, Stop> {
    let contract: EntryContract = run.fact("entry_contract")?;
    let or_none = |value: &Result<String, String>| value.clone().unwrap_or_else(|_| none());
    let question = run.fact::<RowOutput>(SFN_EXISTS).ok();
    let arn = question.and_then(|row| machines(&row).and_then(|listed| contract.arn_among(listed)).ok());
    Ok(json!({
        "execution_id": run.own_execution_id(),
        "written_at_utc": run.instant().rfc3339(),
        "platform_run_id": run_id,
        "scenario_run_id": scenario,
        "resolved_state_machine_name": or_none(&contract.machine_name),
        "resolved_state_machine_arn": arn.unwrap_or_else(none),
        "sr_ready_commit_authority": or_none(&contract.authority),
        "required_platform_run_id_env_key": or_none(&contract.env_key),
        "configured_role_arn": run.fact::<String>("configured_role_arn").unwrap_or_else(|_| none()),
        "expected_role_arn": or_none(&contract.role_arn),
        "role_alignment_pass": run.met(&[&ROLE_ALIGNED, &ROLE_IN_STACK]),
        "overall_pass": run.met(checks),
    }))
}

/// Who runs, and who of them holds the lock: ARNs, ids and status, nothing of an input.
fn lock_posture(run: &LaneRun<'_>, run_id: &str) -> Value {
    let asked = run.fact::<RowOutput>(RUN_LOCK_CHECK).ok();
    let question = run.fact::<LockQuestion>(LOCK_QUESTION).ok();
    let found = asked.as_ref().zip(question.as_ref()).map(|(row, question)| (row, run_lock::conflicts(row, question)));
    let (running, conflicting) = match &found {
        Some((row, Ok(conflicts))) => (json!(run_lock::listed(row).len()), json!(conflicts.len())),
        Some((row, Err(_))) => (json!(run_lock::listed(row).len()), json!("-")),
        None => (json!("-"), json!("-")),
    };
    let holders: Vec<Value> = match &found {
        Some((_, Ok(conflicts))) => {
            conflicts.iter().map(|(arn, why)| json!({ "execution_arn": arn, "why": why })).collect()
        }
        _ => Vec::new(),
    };
    let complete = found.as_ref().is_some_and(|(row, _)| {
        matches!(row.runs.first().map(|run| &run.output), Some(Output::Executions { complete: true, .. }))
    });
    json!({
        "execution_id": run.own_execution_id(),
        "written_at_utc": run.instant().rfc3339(),
        "lock_key": "platform_run_id",
        "platform_run_id": run_id,
        "state_machine_arn": question.map_or_else(none, |question| question.machine_arn),
        "listing_complete": complete,
        "running_execution_count": running,
        "conflicting_execution_count": conflicting,
        "conflicts": holders,
        "overall_pass": run.met(&[&LOCK_FREE]),
    })
}
