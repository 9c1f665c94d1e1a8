//! M3.E: the run's anchor, `run.json` and its header, put once, read back, and the same run in both.

mod keys;
mod put;
mod read_back;
mod receipts;
mod sources;

use std::collections::BTreeMap;

use serde_json::{Value, json};
use support::run::check::{AnyCheck, Check};
use support::run::context::LaneRun;
use support::run::finding::Basis;
use support::run::lane::{Lane, Step, Stop};
use support::run::rows::RowOutput;

use self::keys::{ABSENT, EXISTS, KEYS_RESOLVED, RunKeys};
pub(super) use self::keys::{RUN_HEADER, RUN_JSON};
use self::put::{FIRST_WRITER, NON_SECRET, RUN_HEADER_PUT, RUN_JSON_PUT};
use self::read_back::{CONSISTENT, RUN_HEADER_READ_BACK, RUN_JSON_READ_BACK, STANDING};
use self::sources::{INPUTS, Sources};
use super::b_run_identity::SEED;
use super::d_orchestrator_entry::run_lock::{self, LOCK_QUESTION, LOCK_TAKEN, LockQuestion, RUN_LOCK_CHECK};
use super::d_orchestrator_entry::{LOCK_POSTURE, READINESS};
use super::lane_files::{self, DoorCodes, LANE_FILES, LaneFiles};
use super::laws::Law;
use super::upstream::{DIGEST_SNAPSHOT, Identity};

const INPUTS_ROW: &str = "M3E-V1-INPUTS";
const WRITE_ONCE_ROW: &str = "M3E-V3-WRITE-ONCE-GUARD";
const UPLOAD_ROW: &str = "M3E-V4-UPLOAD";
const READBACK_ROW: &str = "M3E-V5-READBACK";

/// The codes of the receipts: the lane's own codes of the door speak of the run's objects.
struct Codes;

impl DoorCodes for Codes {
    const PUT: Option<&'static str> = None;
    const SECRET: Option<&'static str> = None;
}

static WRITE_ONCE_LAW: Check<Law> = Check::<Law>::derived(
    "write_once.documented",
    "write_once_documented",
    &["write_once_law"],
    |law| law.says(&[&["`head-object`"], &["overwrite"]]),
    |law| law.clauses.clear(),
)
.basis(Basis::Documented)
.next("say in M3.E's write-once law that `head-object` must find neither key, and that nothing overwrites");

static LOCK_STILL_FREE: Check<(RowOutput, LockQuestion)> = Check::<(RowOutput, LockQuestion)>::new(
    "lock.still_free",
    LOCK_TAKEN,
    &[RUN_LOCK_CHECK, LOCK_QUESTION],
    run_lock::free,
    run_lock::take,
)
.next("let the execution that the message names end, or see that its input can be read; then run the gate again");

static EVIDENCE: Check<LaneFiles> = Check::<LaneFiles>::new(
    "m3e.evidence_complete",
    "M3E-B8",
    &[LANE_FILES],
    lane_files::complete::<Codes>,
    lane_files::lose,
)
.next("do what the message says, then run the gate again");

/// The checks that the receipts' `overall_pass` speaks of.
fn run_evidence_checks() -> [&'static dyn AnyCheck; 13] {
    [
        &WRITE_ONCE_LAW,
        &INPUTS,
        &KEYS_RESOLVED,
        &ABSENT,
        &LOCK_STILL_FREE,
        &NON_SECRET,
        &FIRST_WRITER,
        &RUN_JSON_PUT,
        &RUN_HEADER_PUT,
        &RUN_JSON_READ_BACK,
        &RUN_HEADER_READ_BACK,
        &STANDING,
        &CONSISTENT,
    ]
}

/// The lane.
pub(super) fn lane() -> Lane {
    Lane::new("M3.E", execute)
        .pins_the_run()
        .after("M3.D")
        .documents(read_documents)
        .publishes(receipts::publish)
        .proves("run.json and its header put once where nothing ever stood, read back equal, and of one run")
        .checks(run_evidence_checks())
        .checks([&EVIDENCE as &dyn AnyCheck])
        .row(INPUTS_ROW, [INPUTS.holds()])
        .row("M3E-V2-KEY-RESOLVE", [KEYS_RESOLVED.holds()])
        .row(WRITE_ONCE_ROW, [ABSENT.holds()])
        .row(UPLOAD_ROW, [RUN_JSON_PUT.holds(), RUN_HEADER_PUT.holds(), FIRST_WRITER.holds()])
        .row(READBACK_ROW, [RUN_JSON_READ_BACK.holds(), RUN_HEADER_READ_BACK.holds()])
        .row("M3E-V6-CONSISTENCY", [CONSISTENT.holds()])
        .requirement("run-json-durable", [RUN_JSON_PUT.holds(), RUN_JSON_READ_BACK.holds(), STANDING.holds()])
        .requirement("run-header-durable", [RUN_HEADER_PUT.holds(), RUN_HEADER_READ_BACK.holds(), STANDING.holds()])
        .requirement("write-once-guard", [WRITE_ONCE_LAW.holds(), ABSENT.refusal(), FIRST_WRITER.refusal()])
}

fn read_documents(run: &mut LaneRun<'_>) -> Step {
    let law = Law::read(run, "M3.E", "Write-once law", EXISTS);
    run.observe("write_once_law", "M3.E's decision pins and taxonomy", &law)
}

fn execute(run: &mut LaneRun<'_>) -> Step {
    run.row_with(INPUTS_ROW, &[("elision_1", SEED), ("elision_2", DIGEST_SNAPSHOT), ("elision_3", READINESS)])?;
    let sources = Sources::read(run);
    run.observe("sources", "the files that M3.B, M3.C and M3.D left, read again", &sources)?;
    run.demand(&INPUTS)?;
    let (Ok(identity), Ok(orchestrator)) = (&sources.identity, &sources.orchestrator) else {
        return run.demand(&INPUTS);
    };
    run.observe("accepted_identity", "the files that M3.B and M3.C left", identity)?;
    let keys = RunKeys::resolve(run, &identity.platform_run_id);
    run.observe("run_keys", "EVIDENCE_RUN_JSON_KEY and RUN_PIN_PATH_PATTERN, filled", &keys)?;
    run.demand(&KEYS_RESOLVED)?;
    keys::look_for(run, &keys)?;
    run.demand(&ABSENT)?;
    run.demand(&WRITE_ONCE_LAW)?;
    let bodies = [(RUN_JSON, run_json(run, &sources)?), (RUN_HEADER, run_header(run, identity, &keys))];
    // Somebody may have taken the lock since M3.D asked: asked again, with nothing but the put after it.
    let question = LockQuestion {
        platform_run_id: identity.platform_run_id.clone(),
        machine_arn: orchestrator.state_machine_arn.clone(),
    };
    run_lock::ask(run, &question)?;
    run.demand(&LOCK_STILL_FREE)?;
    let objects = put::publish(run, &keys, bodies)?;
    read_back::read_again(run, &keys, &objects)?;
    for check in [&FIRST_WRITER as &dyn AnyCheck, &NON_SECRET, &RUN_JSON_PUT, &RUN_HEADER_PUT] {
        run.demand(check)?;
    }
    run.demand(&RUN_JSON_READ_BACK)?;
    run.demand(&RUN_HEADER_READ_BACK)?;
    read_back::look_at(run, &keys, &objects)?;
    run.demand(&STANDING)?;
    read_back::parse(run, &keys)
}

/// The run's pin: its identity, and where everything stands that it was made of.
fn run_json(run: &LaneRun<'_>, sources: &Sources) -> Result<Value, Stop> {
    let bucket = run.evidence_bucket()?;
    let mut evidence: BTreeMap<&str, String> = BTreeMap::new();
    for (lane, file) in [("M3.B", SEED), ("M3.C", DIGEST_SNAPSHOT), ("M3.D", READINESS), ("M3.D", LOCK_POSTURE)] {
        evidence.insert(file, format!("s3://{bucket}/{}", run.control_key_of(lane, file)?));
    }
    let ids = run.lane_execution_ids();
    let of = |lane: &str| ids.get(lane).map_or("-", String::as_str);
    let mut body = json!({
        "execution_id": run.own_execution_id(),
        "phase_id": "P1",
        "written_at_utc": run.instant().rfc3339(),
        "source_execution_ids": { "M3.B": of("m3b"), "M3.C": of("m3c"), "M3.D": of("m3d") },
        "evidence": evidence,
    });
    if let (Some(body), Ok(identity), Ok(orchestrator)) =
        (body.as_object_mut(), &sources.identity, &sources.orchestrator)
    {
        body.extend(triplet(identity));
        let entry = json!({
            "state_machine_arn": orchestrator.state_machine_arn,
            "role_arn": orchestrator.configured_role_arn,
            "sr_ready_commit_authority": orchestrator.commit_authority,
            "required_platform_run_id_env_key": orchestrator.env_key,
        });
        body.insert("orchestrator".to_owned(), entry);
    }
    Ok(body)
}

fn run_header(run: &LaneRun<'_>, identity: &Identity, keys: &RunKeys) -> Value {
    let mut body = json!({
        "phase_id": "P1",
        "written_at_utc": run.instant().rfc3339(),
        "run_json_key": keys.of(RUN_JSON),
    });
    if let Some(body) = body.as_object_mut() {
        body.extend(triplet(identity));
    }
    body
}

fn triplet(identity: &Identity) -> [(String, Value); 3] {
    [
        ("platform_run_id".to_owned(), json!(identity.platform_run_id)),
        ("scenario_run_id".to_owned(), json!(identity.scenario_run_id)),
        ("config_digest".to_owned(), json!(identity.config_digest)),
    ]
}
