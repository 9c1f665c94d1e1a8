//! M3.I: the lanes' evidence rolled up into one matrix, the open codes into one register, the verdict derived twice.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use support::ensure;
use support::evidence::digest;
use support::run::check::{AnyCheck, Check, Unmet};
use support::run::context::LaneRun;
use support::run::finding::{Basis, Outcome};
use support::run::lane::{Lane, Step, Stop};
use support::run::outcome::{Decision, OpenCode, Verdict};
use support::run::publication::Publication;

use super::lane_files::{self, DoorCodes, LANE_FILES, LaneFiles};

const MATRIX: &str = "m3i_gate_rollup_matrix.json";
const REGISTER: &str = "m3i_blocker_register.json";
const SUMMARY: &str = "m3i_execution_summary.json";

/// The lanes that are rolled up, as the plan's tasks name them.
pub(super) const ROLLED_UP: [&str; 8] = ["M3.A", "M3.B", "M3.C", "M3.D", "M3.E", "M3.F", "M3.G", "M3.H"];

struct Codes;

impl DoorCodes for Codes {
    const PUT: Option<&'static str> = None;
    const SECRET: Option<&'static str> = None;
}

/// One lane's row of the matrix.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Row {
    lane: String,
    state: String,
    checks: usize,
    met: usize,
    /// The codes that its checks hold open.
    open: Vec<String>,
    /// The code that kept checks from being asked.
    blocked_by: Option<String>,
    /// What the lane published, by URI.
    evidence: BTreeMap<String, Evidence>,
}

/// A file of a lane, read again from the store.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Evidence {
    sha256: String,
    /// SHA-256 of what the store has now, or why it cannot be read.
    now: Result<String, String>,
}

/// The decision as it was frozen, and once more from the stored observations.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Decided {
    frozen: Decision,
    again: Decision,
}

static COMPLETE: Check<Vec<Row>> = Check::<Vec<Row>>::new(
    "rollup.complete",
    "M3-B9",
    &["matrix"],
    |rows| {
        let missing: Vec<&str> =
            ROLLED_UP.into_iter().filter(|lane| !rows.iter().any(|row| row.lane == *lane)).collect();
        ensure!(missing.is_empty(), "the matrix has no row for {}", missing.join(", "));
        let mut files = 0;
        for row in rows {
            for (uri, evidence) in &row.evidence {
                let now = evidence.now.as_ref().map_err(|why| Unmet::from(format!("{}: {uri}: {why}", row.lane)))?;
                ensure!(*now == evidence.sha256, "{}: {uri} is not what was published any more", row.lane);
                files += 1;
            }
            match row.state.as_str() {
                "closed" => {
                    ensure!(!row.evidence.is_empty(), "{} is closed and left no evidence", row.lane);
                    ensure!(row.met == row.checks && row.open.is_empty(), "{} is closed with open codes", row.lane);
                }
                // A lane that holds says why; one that says nothing cannot be rolled up.
                _ => ensure!(
                    !row.open.is_empty() || row.blocked_by.is_some(),
                    "{} is {} and names no code",
                    row.lane,
                    row.state
                ),
            }
        }
        Ok(format!("{} lanes, {files} files read back from the store unchanged", rows.len()))
    },
    |rows| {
        rows.pop();
    },
)
.next("look at what stands under the key that the message names; evidence that is gone or changed cannot be rolled up");

static EXPLICIT: Check<(Vec<Row>, Decided)> = Check::<(Vec<Row>, Decided)>::new(
    "blockers.explicit",
    "M3-B9",
    &["matrix", "decided"],
    |(rows, decided)| {
        let listed: Vec<&OpenCode> = decided.frozen.roots.iter().chain(&decided.frozen.entailed).collect();
        for row in rows {
            for code in &row.open {
                ensure!(
                    listed.iter().any(|open| open.code == *code),
                    "{}: {code} is open, and the decision lists it not",
                    row.lane
                );
            }
        }
        for root in &decided.frozen.roots {
            ensure!(!root.causes.is_empty(), "{} is open without a cause", root.code);
            for cause in &root.causes {
                ensure!(
                    !cause.observed.trim().is_empty() && !cause.next.trim().is_empty(),
                    "{}: {} does not say what was observed and what to do",
                    root.code,
                    cause.check
                );
            }
        }
        let advances = matches!(decided.frozen.verdict, Verdict::Advance | Verdict::WouldAdvance);
        ensure!(!advances || listed.is_empty(), "the decision advances with {} open code(s)", listed.len());
        Ok(format!("{} open code(s), each with cause and next step", listed.len()))
    },
    |(rows, _)| {
        if let Some(row) = rows.first_mut() {
            row.open.push("M3-DOCTORED".to_owned());
        }
    },
)
.next("report it as a defect of phasegate, with the execution's folder");

static DETERMINISTIC: Check<Decided> = Check::<Decided>::new(
    "verdict.deterministic",
    "M3-B9",
    &["decided"],
    |decided| {
        ensure!(
            decided.frozen == decided.again,
            "judged again from the stored observations it is {:?}, not {:?}",
            decided.again.verdict,
            decided.frozen.verdict
        );
        Ok("judged again from the stored observations: the same codes and the same verdict".to_owned())
    },
    |decided| {
        decided.again.predicates.insert("doctored".to_owned(), false);
    },
)
.basis(Basis::Recomputed)
.next("report it as a defect of phasegate, with the execution's folder");

static EVIDENCE: Check<LaneFiles> = Check::<LaneFiles>::new(
    "m3i.evidence_complete",
    "M3-B5",
    &[LANE_FILES],
    lane_files::complete::<Codes>,
    lane_files::lose,
)
.next("read what S3 answered, make s3:PutObject and s3:GetObject work on the evidence bucket, run the gate again");

fn rollup_checks() -> [&'static dyn AnyCheck; 3] {
    [&COMPLETE, &EXPLICIT, &DETERMINISTIC]
}

/// The lane.
pub(super) fn lane() -> Lane {
    Lane::new("M3.I", execute)
        .after("M3.H")
        .rolls_up()
        .publishes(publish)
        .proves("every lane stands in the matrix with its evidence read back, every open code in the register; the verdict comes out the same twice")
        .checks(rollup_checks())
        .checks([&EVIDENCE as &dyn AnyCheck])
        .requirement("rollup-complete", [COMPLETE.holds(), EVIDENCE.holds()])
        .requirement("blockers-explicit", [EXPLICIT.holds()])
        .requirement("verdict-deterministic", [DETERMINISTIC.holds()])
        .requirement("blockers-resolved", [EXPLICIT.holds(), EXPLICIT.refusal(), EVIDENCE.holds()])
}

fn execute(run: &mut LaneRun<'_>) -> Step {
    let decided = Decided { frozen: run.decision()?, again: run.decide_again()? };
    run.observe("decided", "the findings of the lanes, and the stored observations", &decided)?;
    let states = run.lane_states()?;
    let mut rows = Vec::new();
    for (lane, state) in states {
        rows.push(row(run, lane, state)?);
    }
    run.observe("matrix", "the findings of each lane; its files, read again from the store", &rows)
}

fn row(run: &mut LaneRun<'_>, lane: String, state: &str) -> Result<Row, Stop> {
    let findings = run.findings_of(&lane)?;
    let open = |outcome: Outcome| matches!(outcome, Outcome::Unmet | Outcome::Unsupported | Outcome::Error);
    let own = run.control_key_of(&lane, "")?;
    let mut evidence = BTreeMap::new();
    for publication in run.publications_of(&lane)?.into_values() {
        let Publication::Published { receipt, .. } = publication else { continue };
        let Some(durable) = receipt.durable else { continue };
        // The run's own objects are judged by the lanes that put and guard them.
        if !durable.key.starts_with(&own) {
            continue;
        }
        let now = match run.world()?.objects.get_object(&durable.bucket, &durable.key, None) {
            Ok(reply) => Ok(digest::sha256_hex(&reply.value.bytes)),
            Err(error) => Err(error.to_string()),
        };
        evidence.insert(durable.uri, Evidence { sha256: receipt.sha256_local, now });
    }
    Ok(Row {
        state: state.to_owned(),
        checks: findings.len(),
        met: findings.iter().filter(|f| f.outcome == Outcome::Met).count(),
        open: findings.iter().filter(|f| open(f.outcome)).map(|f| f.code.clone()).collect(),
        blocked_by: findings.iter().find_map(|f| f.blocked_by.clone()),
        evidence,
        lane,
    })
}

fn publish(run: &mut LaneRun<'_>) -> Step {
    let rows: Vec<Row> = run.fact("matrix")?;
    let decided: Decided = run.fact("decided")?;
    let checks = rollup_checks();
    let verdict = run.verdict_text(&decided.frozen);
    let matrix = json!({
        "execution_id": run.own_execution_id(),
        "phase_execution_id": run.phase_execution_id(),
        "written_at_utc": run.instant().rfc3339(),
        "basis": run.basis().word(),
        "p1_verdict": verdict,
        "not_a_verdict": true,
        "lanes": rows,
        "overall_pass": run.met(&checks),
    });
    let register = register(run, &decided.frozen);
    let mut files = LaneFiles::planned(run, "M3.I").with(MATRIX).with(REGISTER).with(SUMMARY);
    files.leave(run, MATRIX, matrix)?;
    files.leave(run, REGISTER, register)?;
    let summary = lane_files::execution_summary(run, "M3.I", &checks, json!({ "p1_verdict": verdict }));
    files.leave(run, SUMMARY, summary)
}

fn register(run: &LaneRun<'_>, decision: &Decision) -> Value {
    let entry = |open: &OpenCode| {
        json!({
            "code": open.code,
            "kind": if open.entailed_by.is_empty() { "root" } else { "entailed" },
            "entailed_by": open.entailed_by,
            "meaning": open.meaning,
            "defined_at": open.defined_at.as_ref().map(ToString::to_string),
            "lanes": open.lanes,
            "causes": open.causes,
        })
    };
    let blockers: Vec<Value> = decision.roots.iter().chain(&decision.entailed).map(entry).collect();
    json!({
        "execution_id": run.own_execution_id(),
        "blocker_count": blockers.len(),
        "blockers": blockers,
    })
}
