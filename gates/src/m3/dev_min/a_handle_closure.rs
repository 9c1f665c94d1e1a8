//! M3.A: every handle that P1 needs has a value and an origin, before anything runs.

mod handles;
mod handoff;
mod provenance;
mod scenario_input;

use std::collections::BTreeMap;

use support::ensure;
use support::run::check::{AnyCheck, Check, Proof, Unmet};
use support::run::context::LaneRun;
use support::run::lane::{Lane, Step, Stop};
use support::run::rows::{Output, RowOutput};
use support::substrate::Versioning;

use self::handles::{DEFINED, MARKED, RESOLVED, Resolution, SET_LISTED, VERIFIABLE};
use self::handoff::{HANDOFF_ADVANCES, HANDOFF_READABLE};
use self::provenance::{PROVENANCE_DIGEST, PROVENANCE_READABLE, PROVENANCE_TAG, Provenance};
use self::scenario_input::{GUARD, SCENARIO_PINNED};
use super::scenario::SCENARIO_INPUT;

const HANDLE_KEY: &str = "M3A_V1_HANDLE_KEY";
const M2_HANDOFF: &str = "M3A_V2_M2_HANDOFF";
const ECR_URI: &str = "M3A_V3_ECR_URI";
const EVIDENCE_ROOT: &str = "M3A_V4_P1_EVIDENCE_ROOT";
const M1_PROVENANCE: &str = "M3A_V5_M1_PROVENANCE";
const PLACEHOLDER_GUARD: &str = "M3A_V6_PLACEHOLDER_GUARD";

const NOT_DEFINED: &str = "PG-M3.A-handle_defined";

static ECR_AGREES: Check<(RowOutput, Option<String>)> = Check::<(RowOutput, Option<String>)>::derived(
    "ecr.uri_agrees",
    "ecr_uri",
    &[ECR_URI, "stated_ecr_uri"],
    |(row, stated)| {
        let repositories = match row.runs.first().map(|run| &run.output) {
            Some(Output::Repositories { repositories }) => repositories,
            Some(Output::Absent { what }) => return Err(Unmet::from(format!("{what} does not exist"))),
            _ => return Err(Unmet::from("the repository was not asked for")),
        };
        let [repository] = repositories.as_slice() else {
            return Err(Unmet::from(format!("ECR answered with {} repositories, asked for one", repositories.len())));
        };
        if let Some(stated) = stated {
            ensure!(repository.uri == *stated, "ECR says {}, the handoff says {stated}", repository.uri);
        }
        Ok(format!("ECR_REPO_URI is {}", repository.uri))
    },
    |(row, _)| row.runs.clear(),
)
.next("correct ECR_REPO_NAME in the registry or ECR_REPO_URI in M2's handoff, whichever is wrong");

static BUCKET_REACHABLE: Check<RowOutput> = Check::<RowOutput>::derived(
    "evidence.bucket_reachable",
    "evidence_bucket",
    &[EVIDENCE_ROOT],
    |row| match row.runs.first().map(|run| &run.output) {
        Some(Output::Bucket { bucket, .. }) => Ok(format!("s3://{bucket} answers")),
        Some(Output::Absent { what }) => Err(Unmet::from(format!("{what} does not exist"))),
        _ => Err(Unmet::from("the bucket was not asked")),
    },
    |row| row.runs.clear(),
)
.next("create the evidence bucket (M2's core stack), or correct S3_EVIDENCE_BUCKET");

static BUCKET_VERSIONED: Check<Versioning> = Check::<Versioning>::derived(
    "evidence.bucket_versioned",
    "evidence_versioning",
    &["evidence_versioning"],
    |versioning| {
        // Without versions a deleted run id leaves no trace, and no id could be shown to be free.
        ensure!(*versioning == Versioning::Enabled, "the evidence bucket's versioning is {versioning:?}");
        Ok("the evidence bucket keeps versions".to_owned())
    },
    |versioning| *versioning = Versioning::Suspended,
)
.next("enable versioning on the evidence bucket; the registry pins S3_BUCKET_VERSIONING_ENABLED = true");

/// The lane.
pub(super) fn lane() -> Lane {
    Lane::new("M3.A", execute)
        .asked_again()
        .documents(read_documents)
        .proves("every P1 handle resolved; M2's handoff, evidence bucket and M1's image provenance are there and agree")
        .checks([
            &SET_LISTED as &dyn AnyCheck,
            &VERIFIABLE,
            &DEFINED,
            &GUARD,
            &SCENARIO_PINNED,
            &MARKED,
            &RESOLVED,
            &HANDOFF_READABLE,
            &HANDOFF_ADVANCES,
            &BUCKET_REACHABLE,
            &BUCKET_VERSIONED,
            &ECR_AGREES,
            &PROVENANCE_READABLE,
            &PROVENANCE_TAG,
            &PROVENANCE_DIGEST,
        ])
        .row(HANDLE_KEY, [DEFINED.holds()])
        .row(M2_HANDOFF, [HANDOFF_READABLE.holds(), HANDOFF_ADVANCES.holds()])
        .row(ECR_URI, [ECR_AGREES.holds()])
        .row(EVIDENCE_ROOT, [BUCKET_REACHABLE.holds()])
        .row(M1_PROVENANCE, [PROVENANCE_READABLE.holds(), PROVENANCE_TAG.holds(), PROVENANCE_DIGEST.holds()])
        .row(PLACEHOLDER_GUARD, [GUARD.holds()])
        .requirement("handle-set-complete", [SET_LISTED.holds(), DEFINED.holds(), RESOLVED.holds()])
        .requirement("handles-verifiable", [VERIFIABLE.holds()])
        .requirement("unresolved-handles-marked", [MARKED.holds()])
}

/// `handles_closed`: the whole lane.
pub(super) fn handles_closed() -> Vec<Proof> {
    vec![Proof::Lane("M3.A")]
}

/// What must be so in the documents before the substrate is asked anything.
pub(super) fn entry() -> Vec<&'static dyn AnyCheck> {
    vec![&HANDOFF_READABLE, &HANDOFF_ADVANCES]
}

/// Proof that an unpinned scenario input cannot pass in silence (a box of M3.B).
pub(super) fn scenario_cannot_pass() -> [Proof; 3] {
    [GUARD.holds(), GUARD.refusal(), SCENARIO_PINNED.holds()]
}

/// The guard, which M3.B asks again before it mints an id.
pub(super) fn scenario_pinned() -> &'static dyn AnyCheck {
    &SCENARIO_PINNED
}

fn read_documents(run: &mut LaneRun<'_>) -> Step {
    let set = handles::handle_set(run);
    let required: Vec<String> = set.resolved.keys().cloned().collect();
    run.observe("handle_set", "tasks and closure matrix of M3.A; registry; handoff", &set)?;
    let lines: BTreeMap<String, Vec<usize>> =
        required.iter().map(|handle| (handle.clone(), run.handles().registry().lines_of(handle))).collect();
    run.observe("defining_lines", &run.documents().registry_path.clone(), &lines)?;
    let handoff = handoff::handoff(run);
    run.observe("m2_handoff", &handoff.path.clone(), &handoff)?;
    run.row_for_each(HANDLE_KEY, "HANDLE_KEY", &required)?;
    run.row(M2_HANDOFF)?;
    run.guard(PLACEHOLDER_GUARD, SCENARIO_INPUT)?;
    for (handle, claim) in &set.matrix {
        let resolved = matches!(set.resolved.get(handle), Some(Resolution::Value { .. } | Resolution::ByLookup { .. }));
        if resolved && claim.status == "BLOCKED" {
            run.note(format!("the closure matrix calls {handle} BLOCKED (line {}), and it resolves", claim.line));
        }
    }
    if handoff.problem.is_none() {
        run.trusted_unverified(format!("{}: no digest of it was ever recorded", handoff.path));
    }
    Ok(())
}

fn execute(run: &mut LaneRun<'_>) -> Step {
    run.row(EVIDENCE_ROOT)?;
    run.demand(&BUCKET_REACHABLE)?;
    let bucket = run.evidence_bucket()?;
    let world = run.world()?;
    let versioning = world.objects.bucket_versioning(&bucket);
    run.ask("evidence_versioning", &format!("s3api get-bucket-versioning --bucket {bucket}"), versioning)?;
    let stated = run.handle("ECR_REPO_URI").ok().and_then(|resolved| resolved.value.as_str().map(str::to_owned));
    run.observe("stated_ecr_uri", "ECR_REPO_URI in the registry and the handoff", &stated)?;
    run.row(ECR_URI)?;
    let asked_run = provenance::provenance_run(run)?;
    run.bind("m1_platform_run_id", &asked_run);
    let row = run.row(M1_PROVENANCE)?;
    let provenance = provenance::read_provenance(run, &row, &bucket, asked_run)?;
    run.observe("m1_provenance", &format!("s3://{bucket}/{}", provenance.key), &provenance)?;
    // A repository that is not there has no images either; its own check names the cause.
    run.demand(&ECR_AGREES)?;
    let image = provenance::look_up_image(run, &provenance)?;
    run.observe("ecr_image", "ecr describe-images, by M1's tag", &image)
}

/// For lanes that pin the image: M1's provenance, as M3.A accepted it.
pub(super) fn accepted_provenance(run: &LaneRun<'_>) -> Result<Provenance, Stop> {
    run.fact("M3.A/m1_provenance")
}
