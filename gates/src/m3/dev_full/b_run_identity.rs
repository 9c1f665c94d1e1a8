//! M3.B: a run id that nothing else has used, and a scenario id that anyone can derive again.

mod derivation;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use support::ensure;
use support::evidence::PublishStep;
use support::run::check::{AnyCheck, Check, Unmet};
use support::run::clock::Instant;
use support::run::context::LaneRun;
use support::run::finding::Basis;
use support::run::lane::{Lane, Step, Stop};
use support::run::publication::Publication;
use support::run::rows::{Output, RowOutput};
use support::substrate::{Listing, VersionEntry};

use self::derivation::{DERIVABLE, Derivation, REPRODUCED};
use super::a_handle_closure::command_receipts;
use super::lane_files::{self, DoorCodes, LANE_FILES, LaneFiles};
use super::scenario;

const COLLISION_PROBE: &str = "M3B-V2-COLLISION-PROBE";
const HANDLE_CONTRACT: &str = "M3B-V3-HANDLE-CONTRACT";
const SEED_WRITE_DURABLE: &str = "M3B-V5-SEED-WRITE-DURABLE";

/// The seed of the run: what M3.C to M3.F take the identity from.
pub(super) const SEED: &str = "m3b_run_identity_seed.json";
const PUBLISH_SEED: &str = "publish:m3b_run_identity_seed.json";

/// `_01` … `_20`, then the lane holds.
const MOST_SUFFIXES: usize = 20;

struct Codes;

impl DoorCodes for Codes {
    const PUT: Option<&'static str> = None;
    const SECRET: Option<&'static str> = None;
}

/// The id of this run, and the ids that were tried before it.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct RunIdentity {
    instant: Instant,
    candidate: String,
    platform_run_id: String,
    /// The plan's own words for the shape, and for how many suffixes are tried.
    regex: String,
}

static FORMAT: Check<RunIdentity> = Check::<RunIdentity>::new(
    "run_id.format",
    "M3B-B1",
    &["run_identity"],
    |identity| {
        let shape = regex::Regex::new(&identity.regex)
            .map_err(|e| Unmet::from(format!("the plan's regex `{}` cannot be read: {e}", identity.regex)))?;
        let id = &identity.platform_run_id;
        ensure!(shape.is_match(id), "`{id}` does not match the plan's `{}`", identity.regex);
        let pinned = format!("platform_{}", identity.instant.compact());
        ensure!(identity.candidate == pinned, "the candidate is {}, the instant gives {pinned}", identity.candidate);
        let valid = match id.strip_prefix(pinned.as_str()) {
            Some("") => true,
            Some(suffix) => (1..=MOST_SUFFIXES).any(|n| suffix == format!("_{n:02}")),
            None => false,
        };
        ensure!(valid, "`{id}` is not {pinned} with at most a suffix _01 to _{MOST_SUFFIXES}");
        Ok(format!("{id} matches {}, and comes from the execution's instant", identity.regex))
    },
    |identity| identity.platform_run_id = "platform_2026-02-23".to_owned(),
)
.basis(Basis::Recomputed)
.next("correct the regex in M3.B's format law; it must accept platform_<YYYYMMDDTHHMMSSZ> and suffixes _01 to _20");

static FREE: Check<(RunIdentity, RowOutput)> = Check::<(RunIdentity, RowOutput)>::new(
    "run_id.free",
    "M3B-B2",
    &["run_identity", COLLISION_PROBE],
    |(identity, row)| {
        let Some((last, before)) = row.runs.split_last() else {
            return Err("no id was probed".into());
        };
        let asked = last.bindings.get("platform_run_id").map_or("-", String::as_str);
        ensure!(asked == identity.platform_run_id, "the accepted id was not the last one probed");
        let stands = what_stands(row, asked, &last.output)?;
        ensure!(
            stands == Stands::default(),
            "{} and its {} suffixes are taken; under the last stand {} object(s), {} version(s), {} delete marker(s)",
            identity.candidate,
            before.len(),
            stands.objects,
            stands.versions,
            stands.delete_markers
        );
        for run in before {
            let id = run.bindings.get("platform_run_id").map_or("-", String::as_str);
            let passed_over = what_stands(row, id, &run.output)?;
            ensure!(passed_over != Stands::default(), "{id} was free and was passed over");
        }
        Ok(format!("{asked}: no object, version or delete marker under its prefix ({} probe(s))", row.runs.len()))
    },
    |(identity, row)| {
        let doctored = json!({ "entries": [{ "key": "k", "version_id": "v", "delete_marker": true, "latest": true }], "complete": true });
        if let Some(read) = row.follow_ups.get_mut(&identity.platform_run_id) {
            read.value = doctored;
        }
    },
)
.next("run the gate again: the next second has another id");

/// What a probe found under an id's prefix.
#[derive(Debug, Default, PartialEq, Eq)]
struct Stands {
    objects: usize,
    versions: usize,
    delete_markers: usize,
}

fn what_stands(row: &RowOutput, id: &str, probe: &Output) -> Result<Stands, Unmet> {
    let (bucket, keys, prefix, complete) = match probe {
        Output::Objects { bucket, keys, prefix, complete, .. } => (bucket, keys, prefix, complete),
        Output::Absent { what } => return Err(Unmet::from(format!("{what} does not exist"))),
        _ => return Err(Unmet::from(format!("the probe of {id} is no list of objects"))),
    };
    ensure!(prefix.contains(&format!("/{id}/")), "the probe of {id} asked for `{prefix}`");
    ensure!(
        *complete || !keys.is_empty(),
        "s3api list-objects-v2 of s3://{bucket}/{prefix} has no key and says that more follow: {id} is not known to be free"
    );
    let read = row.follow_ups.get(id).ok_or_else(|| Unmet::from(format!("the versions of {id} were not listed")))?;
    let listing: Option<Listing<VersionEntry>> = serde_json::from_value(read.value.clone())
        .map_err(|e| Unmet::from(format!("the versions of {id} cannot be read: {e}")))?;
    let listing =
        listing.ok_or_else(|| Unmet::from(format!("s3api list-object-versions finds no bucket for {prefix}")))?;
    ensure!(listing.complete, "the list of versions of {id} is not complete");
    let markers = listing.entries.iter().filter(|version| version.delete_marker).count();
    Ok(Stands { objects: keys.len(), versions: listing.entries.len() - markers, delete_markers: markers })
}

static SEED_LOCAL: Check<Publication> = Check::<Publication>::new(
    "seed.written_locally",
    "M3B-B4",
    &[PUBLISH_SEED],
    |seed| match seed {
        Publication::Stopped { step: PublishStep::LocalFile, why } => Err(Unmet::from(why.clone())),
        Publication::Stopped {
            step: step @ (PublishStep::Form | PublishStep::Secret | PublishStep::MinimumFields),
            why,
        } => Err(Unmet::blocked_by("M3B-B7", format!("{step:?}: {why}"))),
        Publication::Stopped { .. } => Ok(format!("{SEED} was written before the store was asked")),
        Publication::Published { receipt, .. } => {
            Ok(format!("{} written, sha256 {}", receipt.name, receipt.sha256_local))
        }
    },
    |seed| *seed = Publication::Stopped { step: PublishStep::LocalFile, why: "doctored".to_owned() },
)
.next("make the execution's folder writable, or set PHASEGATE_OUT to one that is");

static SEED_DURABLE: Check<Publication> = Check::<Publication>::new(
    "seed.durable",
    "M3B-B5",
    &[PUBLISH_SEED],
    |seed| match seed {
        Publication::Stopped { step: PublishStep::LocalFile, why } => Err(Unmet::blocked_by("M3B-B4", why.clone())),
        Publication::Stopped { step: PublishStep::Form | PublishStep::Secret | PublishStep::MinimumFields, why } => {
            Err(Unmet::blocked_by("M3B-B7", why.clone()))
        }
        other => other.durable(None),
    },
    Publication::spoil,
)
.next("read what S3 answered, make s3:PutObject and s3:GetObject work on the evidence bucket, run the gate again");

static CONTRACT: Check<LaneFiles> = Check::<LaneFiles>::new(
    "m3b.evidence_complete",
    "M3B-B7",
    &[LANE_FILES],
    |files| {
        // The seed has codes of its own.
        match files.left.get(SEED) {
            Some(Publication::Stopped { step: PublishStep::LocalFile, why }) => {
                return Err(Unmet::blocked_by("M3B-B4", why.clone()));
            }
            Some(Publication::Stopped {
                step:
                    PublishStep::Exists
                    | PublishStep::Put
                    | PublishStep::ReadBack
                    | PublishStep::Differs
                    | PublishStep::WriteOnce,
                why,
            }) => return Err(Unmet::blocked_by("M3B-B5", why.clone())),
            _ => {}
        }
        lane_files::complete::<Codes>(files)
    },
    lane_files::lose,
)
.next("do what the message says, then run the gate again");

/// The checks that the snapshot's `overall_pass` speaks of.
fn identity_checks() -> [&'static dyn AnyCheck; 4] {
    [&FORMAT, &FREE, &DERIVABLE, &REPRODUCED]
}

/// The lane.
pub(super) fn lane() -> Lane {
    Lane::new("M3.B", execute)
        .after("M3.A")
        .publishes(publish)
        .proves("a run id of the pinned format, under whose prefix nothing stands or ever stood; a scenario id derived twice alike")
        .checks(identity_checks())
        .checks([&SEED_LOCAL as &dyn AnyCheck, &SEED_DURABLE, &CONTRACT])
        .row("M3B-V1-FORMAT", [FORMAT.holds()])
        .row(COLLISION_PROBE, [FREE.holds()])
        .row(HANDLE_CONTRACT, [DERIVABLE.holds()])
        .row("M3B-V4-SEED-WRITE-LOCAL", [SEED_LOCAL.holds()])
        .row(SEED_WRITE_DURABLE, [SEED_DURABLE.holds()])
        .requirement("run-id-format", [FORMAT.holds(), FORMAT.refusal()])
        .requirement("collision-probes", [FREE.holds()])
        .requirement("scenario-derivation", [DERIVABLE.holds(), REPRODUCED.holds()])
}

fn execute(run: &mut LaneRun<'_>) -> Step {
    let identity = identify(run)?;
    run.observe("run_identity", "the execution's instant; the probes of M3B-V2", &identity)?;
    run.row(HANDLE_CONTRACT)?;
    let derivation = derivation::derive(run)?;
    run.observe("derivation", "the registry; the manifests of the required outputs", &derivation)?;
    run.demand(&FREE)?;
    run.bind("platform_run_id", &identity.platform_run_id);
    Ok(())
}

/// Probes ids until one is free, or the cap is reached.
fn identify(run: &mut LaneRun<'_>) -> Result<RunIdentity, Stop> {
    let instant = run.instant();
    let candidate = format!("platform_{}", instant.compact());
    let ids: Vec<String> =
        std::iter::once(candidate.clone()).chain((1..=MOST_SUFFIXES).map(|n| format!("{candidate}_{n:02}"))).collect();
    let bucket = run.evidence_bucket()?;
    let mut tried: Vec<Vec<(&str, &str)>> = Vec::new();
    let mut versions: BTreeMap<&str, (String, Listing<VersionEntry>)> = BTreeMap::new();
    let mut platform_run_id = candidate.clone();
    for id in &ids {
        platform_run_id.clone_from(id);
        tried.push(vec![("platform_run_id", id.as_str())]);
        // The probe of the plan sees objects; that one was deleted shows only in the versions (law 5).
        let pattern = run.text("S3_EVIDENCE_RUN_ROOT_PATTERN")?;
        let prefix = run.fill(&pattern, &[("platform_run_id", id)])?;
        let call = format!("aws s3api list-object-versions --bucket {bucket} --prefix {prefix}");
        let listing = match run.world()?.objects.list_versions(&bucket, &prefix) {
            Ok(reply) => reply.value,
            Err(error) => return Err(run.unanswered(COLLISION_PROBE, &call, error)),
        };
        let taken = !listing.complete || !listing.entries.is_empty();
        versions.insert(id, (call, listing));
        if !taken {
            break;
        }
    }
    run.row_each_with(COLLISION_PROBE, &tried)?;
    for (id, (call, listing)) in versions {
        run.follow_up_value(COLLISION_PROBE, id, &call, &listing)?;
    }
    Ok(RunIdentity { instant, candidate, platform_run_id, regex: planned_regex(run)? })
}

/// The regex of the plan's format law: the one code span of M3.B's pins that is anchored at both ends.
fn planned_regex(run: &LaneRun<'_>) -> Result<String, Stop> {
    let anchored: Vec<&str> = run
        .plan()
        .laws
        .iter()
        .filter(|law| law.lane.as_deref() == Some("M3.B"))
        .flat_map(|law| &law.clauses)
        .flat_map(|text| text.split('`'))
        .filter(|span| span.starts_with('^') && span.ends_with('$'))
        .collect();
    match anchored.as_slice() {
        [one] => Ok((*one).to_owned()),
        other => Err(Stop::Fault(format!(
            "M3.B's decision pins have {} anchored regexes for the run id, and one is needed; write it as `^…$`",
            other.len()
        ))),
    }
}

fn publish(run: &mut LaneRun<'_>) -> Step {
    let identity: RunIdentity = run.fact("run_identity")?;
    let derivation: Derivation = run.fact("derivation")?;
    let probes: RowOutput = run.fact(COLLISION_PROBE)?;
    let checks = identity_checks();
    let collided = identity.platform_run_id != identity.candidate;
    let scenario_run_id = derivation.scenario_run_id.clone().unwrap_or_else(|_| "-".to_owned());
    let snapshot = json!({
        "execution_id": run.own_execution_id(),
        "written_at_utc": run.instant().rfc3339(),
        "candidate_platform_run_id": identity.candidate,
        "final_platform_run_id": identity.platform_run_id,
        "collision_detected": collided,
        "collision_attempts": probes.runs.len(),
        "format_check_pass": run.met(&[&FORMAT]),
        "scenario_run_id": scenario_run_id,
        "scenario_derivation_mode": derivation.mode(scenario::DERIVATION),
        "scenario_derivation_recompute_pass": run.met(&[&REPRODUCED]),
        "overall_pass": run.met(&checks),
    });
    let mut files = LaneFiles::planned(run, "M3.B").with("m3b_command_receipts.json");
    files.leave(run, "m3b_run_id_generation_snapshot.json", snapshot)?;
    files.leave(run, "m3b_collision_probe_receipts.json", probe_receipts(run, &probes))?;
    if run.met(&checks) {
        let seed = seed(run, &identity, &derivation, &scenario_run_id);
        files.leave_by_row(run, SEED_WRITE_DURABLE, SEED, seed)?;
    } else {
        // A seed that may not be used must not exist.
        files.withhold(run, SEED, &checks)?;
    }
    let receipts = command_receipts(run, &[COLLISION_PROBE, HANDLE_CONTRACT, SEED_WRITE_DURABLE]);
    files.leave(run, "m3b_command_receipts.json", receipts)?;
    let mut all: Vec<&'static dyn AnyCheck> = checks.to_vec();
    all.extend([&SEED_LOCAL as &dyn AnyCheck, &SEED_DURABLE]);
    let more = json!({ "platform_run_id": identity.platform_run_id, "scenario_run_id": scenario_run_id });
    let summary = lane_files::execution_summary(run, "M3.B", &all, more);
    files.leave(run, "m3b_execution_summary.json", summary)
}

fn probe_receipts(run: &LaneRun<'_>, probes: &RowOutput) -> Value {
    let receipts: Vec<Value> = probes
        .runs
        .iter()
        .map(|probe| {
            let id = probe.bindings.get("platform_run_id").map_or("-", String::as_str);
            let versions = probes.follow_ups.get(id);
            json!({
                "platform_run_id": id,
                "call": probe.call,
                "output": probe.output,
                "versions_call": versions.map(|read| read.call.as_str()),
                "versions": versions.map(|read| &read.value),
            })
        })
        .collect();
    json!({ "execution_id": run.own_execution_id(), "collision_attempts": receipts.len(), "probes": receipts })
}

/// What the later lanes take the identity from, and nothing that they could not derive again.
fn seed(run: &LaneRun<'_>, identity: &RunIdentity, derivation: &Derivation, scenario_run_id: &str) -> Value {
    let mut inputs = derivation.inputs.clone();
    inputs.insert("digest_profile".to_owned(), json!(scenario::DIGEST_PROFILE));
    json!({
        "execution_id": run.own_execution_id(),
        "phase_id": "P1",
        "written_at_utc": run.instant().rfc3339(),
        "platform_run_id": identity.platform_run_id,
        "scenario_run_id": scenario_run_id,
        "seed_inputs": inputs,
        "modes": derivation.modes.iter().map(|(handle, mode)| (handle.clone(), mode.clone().unwrap_or_default())).collect::<BTreeMap<_, _>>(),
        "scenario_canonical_fields": derivation.canonical_fields.clone().unwrap_or_default(),
    })
}
