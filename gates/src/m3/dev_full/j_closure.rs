//! M3.J: the phase's summary, and where nothing holds M4's entry marker and the closure notes.

mod notes;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use support::ensure;
use support::run::check::{AnyCheck, Check, Judged, Unmet, derived_code};
use support::run::context::LaneRun;
use support::run::finding::{Basis, Outcome};
use support::run::lane::{Lane, Step, Stop};
use support::run::outcome::{Decision, Mode, Verdict};
use support::run::publication::Publication;

use self::notes::{ACTION_LOG, HARMLESS, IMPLEMENTATION_MAP, MASTER_PLAN};
use super::lane_files::{self, DoorCodes, LANE_FILES, LaneFiles};
use super::upstream::Identity;

const SUMMARY: &str = "m3_execution_summary.json";
const MARKER: &str = "m4_entry_readiness_receipt.json";
const PATCH: &str = "closure_notes.patch";

/// The code of every failure to publish in a lane that closes the phase (PLANS.md 21).
const PUBLISH_FAILS: &str = "M3-B5";

struct Codes;

impl DoorCodes for Codes {
    const PUT: Option<&'static str> = None;
    const SECRET: Option<&'static str> = None;
}

/// What the decision was when this lane began, and whether the lane before it lowered it.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Frozen {
    decision: Decision,
    /// The first code that M3.I opened.
    lowered_by: Option<String>,
}

impl Frozen {
    /// Whether M4 may enter by it. A partial run never says so.
    fn green(&self) -> bool {
        matches!(self.decision.verdict, Verdict::Advance | Verdict::WouldAdvance) && self.lowered_by.is_none()
    }

    fn holds(&self) -> bool {
        self.decision.verdict == Verdict::Hold || self.lowered_by.is_some()
    }

    /// The decision, lowered where the lane before does.
    fn lowered(&self) -> Decision {
        let mut decision = self.decision.clone();
        if self.lowered_by.is_some() {
            decision.verdict = Verdict::Hold;
        }
        decision
    }

    /// The code that stands against marker and notes.
    fn against(&self) -> Option<String> {
        self.lowered_by.clone().or_else(|| self.decision.roots.first().map(|root| root.code.clone()))
    }
}

static SUMMARY_COMMITTED: Check<Publication> = Check::<Publication>::new(
    "summary.committed",
    PUBLISH_FAILS,
    &["publish:m3_execution_summary.json"],
    |published| published.durable(None),
    Publication::spoil,
)
.next("read what S3 answered, make s3:PutObject and s3:GetObject work on the evidence bucket, run the gate again");

static MARKER_COMMITTED: Check<(Publication, Frozen)> = Check::<(Publication, Frozen)>::new(
    "marker.committed",
    PUBLISH_FAILS,
    &["publish:m4_entry_readiness_receipt.json", "frozen"],
    |(published, frozen)| {
        ensure!(!frozen.holds(), "the marker was published, and the decision holds");
        published.durable(None)
    },
    |(published, _)| published.spoil(),
)
.next("read what S3 answered, make s3:PutObject and s3:GetObject work on the evidence bucket, run the gate again");

static MARKER_TRUE: Check<(MarkerSays, Frozen)> = Check::<(MarkerSays, Frozen)>::new(
    "marker.agrees",
    "M3-B9",
    &["marker", "frozen"],
    |(marker, frozen)| {
        ensure!(
            marker.entry_ready == frozen.green(),
            "{} says {}, the decision {:?}",
            marker.uri,
            marker.entry_ready,
            frozen.decision.verdict
        );
        ensure!(marker.not_a_verdict, "{} does not say that verdict.json alone is final", marker.uri);
        let identity = marker.identity.as_ref().map_err(|why| Unmet::from(why.clone()))?;
        ensure!(marker.says == *identity, "{} is of {:?}, the run of {identity:?}", marker.uri, marker.says);
        Ok(format!("the marker names {} and what the decision says", identity.platform_run_id))
    },
    // Whatever the marker says: turned over, one that is wrong would be right.
    |(marker, frozen)| marker.entry_ready = !frozen.green(),
)
.basis(Basis::Recomputed)
.next("compare the object with the copy in the execution's folder: where they differ, find out who else answers for its key; where they agree, report it as a defect of phasegate");

/// The marker as the store has it.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct MarkerSays {
    /// Where it was read.
    uri: String,
    entry_ready: bool,
    not_a_verdict: bool,
    says: Identity,
    /// The run's identity, out of the files of M3.B and M3.C.
    identity: Result<Identity, String>,
}

static PATCH_COMMITTED: Check<LaneFiles> =
    Check::<LaneFiles>::new("m3j.evidence_complete", PUBLISH_FAILS, &[LANE_FILES], complete, lane_files::lose)
        .next("do what the message says, then run the gate again");

fn complete(files: &LaneFiles) -> Judged {
    // Summary and marker have checks of their own.
    for name in [SUMMARY, MARKER] {
        if let Some(Publication::Stopped { why, .. }) = files.left.get(name) {
            return Err(Unmet::blocked_by(PUBLISH_FAILS, why.clone()));
        }
    }
    lane_files::complete::<Codes>(files)
}

/// The lane.
pub(super) fn lane() -> Lane {
    let checks: [&'static dyn AnyCheck; 8] = [
        &SUMMARY_COMMITTED,
        &HARMLESS,
        &MASTER_PLAN,
        &IMPLEMENTATION_MAP,
        &ACTION_LOG,
        &MARKER_COMMITTED,
        &MARKER_TRUE,
        &PATCH_COMMITTED,
    ];
    Lane::new("M3.J", execute)
        .after("M3.I")
        .rolls_up()
        .publishes(publish)
        .proves("the summary is durable; the notes stand in the documents; M4's entry marker is durable and says what the decision says")
        .checks(checks)
        .requirement("summary-committed", [SUMMARY_COMMITTED.holds()])
        .requirement("entry-marker", [MARKER_COMMITTED.holds(), MARKER_TRUE.holds()])
        .requirement("closure-notes", [
            MASTER_PLAN.holds(),
            IMPLEMENTATION_MAP.holds(),
            ACTION_LOG.holds(),
            HARMLESS.holds(),
            PATCH_COMMITTED.holds(),
        ])
        .requirement("closure-note-appended", [IMPLEMENTATION_MAP.holds(), HARMLESS.holds()])
        .requirement("action-log-appended", [ACTION_LOG.holds(), HARMLESS.holds()])
}

fn execute(run: &mut LaneRun<'_>) -> Step {
    let rolled_up = run.findings_of("M3.I")?;
    let lowered_by = rolled_up
        .iter()
        .find(|finding| finding.outcome != Outcome::Met)
        .map(|finding| finding.blocked_by.clone().unwrap_or_else(|| finding.code.clone()));
    let frozen = Frozen { decision: run.decision()?, lowered_by };
    run.observe("frozen", "the frozen decision, and the findings of M3.I", &frozen)
}

fn publish(run: &mut LaneRun<'_>) -> Step {
    let frozen: Frozen = run.fact("frozen")?;
    let identity = Identity::of_files(run);
    let mut files = LaneFiles::planned(run, "M3.J").with(SUMMARY).with(PATCH).with(MARKER);
    let summary = summary(run, &frozen, &identity)?;
    files.leave(run, SUMMARY, summary)?;
    if frozen.holds() {
        // A hold has neither marker nor notes.
        let code = frozen.against().unwrap_or_else(|| derived_code("M3", "hold"));
        files.withhold_for(run, PATCH, &code)?;
        files.withhold_for(run, MARKER, &code)?;
        return Err(Stop::By { code });
    }
    let entry = notes::Entry {
        execution_id: run.phase_execution_id().to_owned(),
        written_at: run.instant(),
        basis: run.basis().word(),
        preflight: run.mode() == Mode::Preflight,
        identity: identity.clone().map_err(Stop::Fault)?,
        verdict_key: run.run_control_key("verdict.json"),
    };
    let noted = notes::append(run, &entry);
    files.leave_text(run, PATCH, &noted.patch)?;
    run.observe("closure_notes", "the documents, read back after the entry was appended", &noted)?;
    let before: [&'static dyn AnyCheck; 5] =
        [&SUMMARY_COMMITTED, &HARMLESS, &MASTER_PLAN, &IMPLEMENTATION_MAP, &ACTION_LOG];
    if !run.met(&before) {
        files.withhold(run, MARKER, &before)?;
        return Err(Stop::By { code: PUBLISH_FAILS.to_owned() });
    }
    if files.left.values().any(|publication| matches!(publication, Publication::Stopped { .. })) {
        files.withhold_for(run, MARKER, PUBLISH_FAILS)?;
        return Err(Stop::By { code: PUBLISH_FAILS.to_owned() });
    }
    let marker = marker(run, &entry.identity, frozen.green())?;
    files.leave(run, MARKER, marker)?;
    run.demand(&MARKER_COMMITTED)?;
    let bucket = run.evidence_bucket()?;
    let key = run.lane_control_key(MARKER);
    let read = run.get_json("marker", &bucket, &key)?;
    let flag = |name: &str| read.get(name).and_then(Value::as_bool).unwrap_or(false);
    let says = MarkerSays {
        uri: format!("s3://{bucket}/{key}"),
        entry_ready: flag("m4_entry_ready"),
        not_a_verdict: flag("not_a_verdict"),
        says: Identity::in_snapshot(&read).map_err(|why| Stop::Fault(format!("{MARKER}: {why}")))?,
        identity,
    };
    run.observe("marker", &format!("s3api get-object of s3://{bucket}/{key}"), &says)
}

fn summary(run: &LaneRun<'_>, frozen: &Frozen, identity: &Result<Identity, String>) -> Result<Value, Stop> {
    let states: Vec<Value> =
        run.lane_states()?.into_iter().map(|(lane, state)| json!({ "lane": lane, "state": state })).collect();
    let codes = |open: &[support::run::outcome::OpenCode]| open.iter().map(|c| c.code.clone()).collect::<Vec<_>>();
    Ok(json!({
        "execution_id": run.own_execution_id(),
        "phase_execution_id": run.phase_execution_id(),
        "source_execution_ids": run.lane_execution_ids(),
        "written_at_utc": run.instant().rfc3339(),
        "basis": run.basis().word(),
        "p1_verdict": run.verdict_text(&frozen.lowered()),
        "not_a_verdict": true,
        "final_verdict_key": run.run_control_key("verdict.json"),
        "lanes": states,
        "roots": codes(&frozen.decision.roots),
        "entailed": codes(&frozen.decision.entailed),
        "lowered_by": frozen.lowered_by,
        "platform_run_id": identity.as_ref().ok().map(|identity| &identity.platform_run_id),
        "scenario_run_id": identity.as_ref().ok().map(|identity| &identity.scenario_run_id),
        "config_digest": identity.as_ref().ok().map(|identity| &identity.config_digest),
        "overall_pass": frozen.green(),
    }))
}

fn marker(run: &LaneRun<'_>, identity: &Identity, entry_ready: bool) -> Result<Value, Stop> {
    Ok(json!({
        "execution_id": run.own_execution_id(),
        "phase_execution_id": run.phase_execution_id(),
        "written_at_utc": run.instant().rfc3339(),
        "basis": run.basis().word(),
        "preflight": run.mode() == Mode::Preflight,
        "m4_entry_ready": entry_ready,
        "not_a_verdict": true,
        "final_verdict_key": run.run_control_key("verdict.json"),
        "handoff_pack_key": run.control_key_of("M3.F", "m4_handoff_pack.json")?,
        "platform_run_id": identity.platform_run_id,
        "scenario_run_id": identity.scenario_run_id,
        "config_digest": identity.config_digest,
    }))
}
