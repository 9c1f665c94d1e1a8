//! M3.B: a run id that nothing else has used.

use serde::{Deserialize, Serialize};
use support::ensure;
use support::run::check::{AnyCheck, Check, Proof};
use support::run::clock::Instant;
use support::run::context::LaneRun;
use support::run::finding::Basis;
use support::run::lane::{Lane, Step, Stop};

use super::a_handle_closure;

/// `_01` … `_20`, then the lane holds.
const MOST_SUFFIXES: usize = 20;

/// The id of this run, and what stood under each id that was tried.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct RunIdentity {
    pub instant: Instant,
    pub candidate: String,
    pub platform_run_id: String,
    pub probes: Vec<Probe>,
}

/// What stands under one id's prefix.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Probe {
    pub platform_run_id: String,
    pub prefix: String,
    pub versions: usize,
    pub delete_markers: usize,
    pub complete: bool,
}

impl Probe {
    fn free(&self) -> bool {
        self.complete && self.versions == 0 && self.delete_markers == 0
    }
}

static FORMAT: Check<RunIdentity> = Check::<RunIdentity>::new(
    "run_id.format",
    "M3-B2",
    &["run_identity"],
    |identity| {
        let pinned = format!("platform_{}", identity.instant.compact());
        let id = &identity.platform_run_id;
        ensure!(identity.candidate == pinned, "the candidate is {}, the instant gives {pinned}", identity.candidate);
        let suffix = id.strip_prefix(pinned.as_str());
        let valid = match suffix {
            Some("") => true,
            Some(suffix) => (1..=MOST_SUFFIXES).any(|n| suffix == format!("_{n:02}")),
            None => false,
        };
        ensure!(valid, "`{id}` is not {pinned} with at most a suffix _01 to _{MOST_SUFFIXES}");
        Ok(format!("{id}: format platform_<YYYYMMDDTHHMMSSZ>, from the execution's instant"))
    },
    |identity| identity.platform_run_id = "platform_2026-02-13".to_owned(),
)
.basis(Basis::Recomputed)
.next("run the gate again; if it stays so, report it as a defect of phasegate");

static FREE: Check<RunIdentity> = Check::<RunIdentity>::new(
    "run_id.free",
    "M3-B2",
    &["run_identity"],
    |identity| {
        let Some((last, before)) = identity.probes.split_last() else {
            return Err("no id was probed".into());
        };
        ensure!(last.platform_run_id == identity.platform_run_id, "the accepted id was not the last one probed");
        ensure!(last.complete, "the list of versions under {} is not complete", last.prefix);
        ensure!(
            last.free(),
            "{} and its {} suffixes are taken; under {} stand {} version(s) and {} delete marker(s)",
            identity.candidate,
            before.len(),
            last.prefix,
            last.versions,
            last.delete_markers
        );
        ensure!(before.iter().all(|p| !p.free()), "an id that was free was passed over");
        Ok(format!(
            "{}: no version and no delete marker under {} ({} probe(s))",
            last.platform_run_id,
            last.prefix,
            identity.probes.len()
        ))
    },
    |identity| {
        if let Some(last) = identity.probes.last_mut() {
            last.versions = 1;
        }
    },
)
.next("run the gate again: the next second has another id");

/// The lane.
pub(super) fn lane() -> Lane {
    Lane::new("M3.B", execute)
        .after("M3.A")
        .proves("a run id of the pinned format, under whose prefix nothing stands or ever stood")
        .checks([&FORMAT as &dyn AnyCheck, &FREE])
        .requirement("run-id-format", [FORMAT.holds(), FORMAT.refusal()])
        .requirement("run-id-collision-probe", [FREE.holds()])
        .requirement("placeholder-cannot-pass", a_handle_closure::scenario_cannot_pass())
}

/// `run_id_collision_free`.
pub(super) fn run_id_collision_free() -> Vec<Proof> {
    vec![FORMAT.holds(), FREE.holds()]
}

fn execute(run: &mut LaneRun<'_>) -> Step {
    run.demand_of("M3.A", a_handle_closure::scenario_pinned())?;
    let instant = run.instant();
    let candidate = format!("platform_{}", instant.compact());
    let mut probes = Vec::new();
    let mut platform_run_id = candidate.clone();
    for attempt in 0..=MOST_SUFFIXES {
        if attempt > 0 {
            platform_run_id = format!("{candidate}_{attempt:02}");
        }
        let probe = probe(run, &platform_run_id)?;
        let free = probe.free();
        probes.push(probe);
        if free {
            break;
        }
    }
    let identity = RunIdentity { instant, candidate, platform_run_id: platform_run_id.clone(), probes };
    run.observe("run_identity", "the execution's instant; s3api list-object-versions under each candidate", &identity)?;
    run.demand(&FREE)?;
    run.bind("platform_run_id", &platform_run_id);
    Ok(())
}

fn probe(run: &mut LaneRun<'_>, platform_run_id: &str) -> Result<Probe, Stop> {
    let pattern = run.text("S3_EVIDENCE_RUN_ROOT_PATTERN")?;
    let prefix = run.fill(&pattern, &[("platform_run_id", platform_run_id)])?;
    let bucket = run.evidence_bucket()?;
    let reply = run.world()?.objects.list_versions(&bucket, &prefix);
    let listing = match reply {
        Ok(reply) => reply.value,
        Err(error) => {
            return Err(run.unanswered(
                "run_identity",
                &format!("s3api list-object-versions --bucket {bucket} --prefix {prefix}"),
                error,
            ));
        }
    };
    Ok(Probe {
        platform_run_id: platform_run_id.to_owned(),
        prefix,
        versions: listing.entries.iter().filter(|v| !v.delete_marker).count(),
        delete_markers: listing.entries.iter().filter(|v| v.delete_marker).count(),
        complete: listing.complete,
    })
}

/// For later lanes: the id that this lane accepted.
pub(super) fn accepted(run: &LaneRun<'_>) -> Result<RunIdentity, Stop> {
    run.fact("M3.B/run_identity")
}
