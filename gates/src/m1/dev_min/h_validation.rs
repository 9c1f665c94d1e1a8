//! M1.H: the workflow's outputs are connected to what makes them, its evidence leaves it also on failure, and its guards stand.

mod outputs;

use std::collections::BTreeMap;

use support::ensure;
use support::run::check::{AnyCheck, Check, Unmet};
use support::run::context::LaneRun;
use support::run::finding::Basis;
use support::run::lane::{Lane, Step};

use self::outputs::AGREE;
use super::g_workflow::{FACT, Job, OUTPUTS, PACK, Workflow, WorkflowStep, judged};

/// The prerequisites that must end the workflow where they are missing: what a guard's script must name, and where it must stand.
const GUARDS: [(&str, &str, Where); 2] = [
    ("a missing Dockerfile before the build", "DOCKERFILE", |steps| {
        let build = steps.iter().position(|step| step.does("docker build"));
        build.map_or(steps, |at| steps.get(..at).unwrap_or_default())
    }),
    ("a missing digest after the push", "sha256:", |steps| {
        let push = steps.iter().position(|step| step.does("docker push"));
        push.map_or(steps, |at| steps.get(at..).unwrap_or_default())
    }),
];

/// The steps among which a guard must stand.
type Where = fn(&[WorkflowStep]) -> &[WorkflowStep];

static PLUMBED: Check<Workflow> = Check::<Workflow>::derived(
    "workflow.outputs_plumbed",
    "outputs_plumbed",
    &[FACT],
    |workflow| {
        judged(workflow, |workflow| {
            let job = packaging(workflow)?;
            for output in OUTPUTS {
                let Some(expression) = job.outputs.get(output) else {
                    return Err(Unmet::blocked_by(
                        "PG-M1.G-workflow_outputs",
                        format!("job {} does not give {output}", job.id),
                    ));
                };
                let Some((step, name)) = from_step(expression) else {
                    return Err(
                        format!("{output} of job {} is `{expression}`, which is no step's output", job.id).into()
                    );
                };
                let Some(made) = job.steps.iter().find(|s| s.id.as_deref() == Some(step)) else {
                    return Err(format!("{output} comes from step `{step}`, which job {} does not have", job.id).into());
                };
                ensure!(
                    made.runs("GITHUB_OUTPUT") && made.runs(&format!("{name}=")),
                    "{} does not write {name} to its outputs",
                    job.place(made)
                );
                if let Some(objection) = made.leeway.objection(|_| false) {
                    return Err(format!("{}, which writes {name}, {objection}", job.place(made)).into());
                }
            }
            Ok(format!("{} outputs of job {}, each written by the step that it names", OUTPUTS.len(), job.id))
        })
    },
    |workflow| {
        workflow.read_as_asked();
        for step in workflow.jobs.iter_mut().flat_map(|job| &mut job.steps) {
            step.id = None;
        }
    },
)
.basis(Basis::Documented)
.next("write each output to GITHUB_OUTPUT in the step that the job's output names");

static PACKED: Check<Workflow> = Check::<Workflow>::derived(
    "workflow.evidence_pack",
    "evidence_pack",
    &[FACT],
    |workflow| {
        judged(workflow, |workflow| {
            let job = packaging(workflow)?;
            for file in PACK {
                let named =
                    job.steps.iter().any(|step| step.runs(file) || step.with.values().any(|v| v.contains(file)));
                ensure!(named, "no step of job {} leaves {file}", job.id);
            }
            let Some(upload) = job.steps.iter().find(|step| step.acts("upload-artifact")) else {
                return Err(format!("job {} uploads nothing", job.id).into());
            };
            let place = job.place(upload);
            let condition = upload.leeway.condition.as_deref().unwrap_or_default();
            ensure!(
                ["always()", "!cancelled()"].contains(&inside(condition)),
                "{place} uploads nothing where an earlier step failed"
            );
            if let Some(objection) = upload.leeway.objection(|_| true) {
                return Err(format!("{place} {objection}").into());
            }
            let strict = upload.with.get("if-no-files-found").is_some_and(|value| value == "error");
            ensure!(strict, "{place} passes where there is no file to upload");
            Ok(format!("{} files, uploaded by {place} also on failure; a missing one fails", PACK.len()))
        })
    },
    |workflow| {
        workflow.read_as_asked();
        for job in &mut workflow.jobs {
            job.steps.retain(|step| !step.acts("upload-artifact"));
        }
    },
)
.basis(Basis::Documented)
.next("upload the four files with `if: always()` and `if-no-files-found: error`");

static GUARDED: Check<Workflow> = Check::<Workflow>::derived(
    "workflow.guards",
    "guards",
    &[FACT],
    |workflow| {
        judged(workflow, |workflow| {
            let job = packaging(workflow)?;
            if !job.refuses_static_keys() {
                let why = format!("no step of job {} refuses static keys", job.id);
                return Err(Unmet::blocked_by("PG-M1.G-static_credentials", why));
            }
            for (what, named, range) in GUARDS {
                let guards: Vec<&WorkflowStep> = range(&job.steps).iter().filter(|step| step.guards(named)).collect();
                let Some(first) = guards.first() else {
                    return Err(format!("no step of job {} ends it, and says so, on {what}", job.id).into());
                };
                let objections: Vec<String> =
                    guards.iter().filter_map(|step| step.leeway.objection(|_| false)).collect();
                if objections.len() == guards.len() {
                    let why = format!("{}, the guard on {what}, {}", job.place(first), objections.join("; "));
                    // The step that resolves is one of the sequence too, and answers for itself there.
                    let of_sequence = first.does("describe-images");
                    return Err(if of_sequence {
                        Unmet::blocked_by("PG-M1.G-workflow_sequence", why)
                    } else {
                        why.into()
                    });
                }
            }
            Ok(format!("job {}: each of {} guards ends it with an error that says why", job.id, GUARDS.len() + 1))
        })
    },
    |workflow| {
        workflow.read_as_asked();
        for step in workflow.jobs.iter_mut().flat_map(|job| &mut job.steps).filter(|step| step.runs("DOCKERFILE")) {
            step.run = step.run.as_ref().map(|run| run.replace("exit 1", "true"));
        }
    },
)
.basis(Basis::Documented)
.next("let a step without a condition print `::error::` with the reason, and end with `exit 1`");

/// The lane.
pub(super) fn lane() -> Lane {
    Lane::new("M1.H", execute)
        .rests_on("validation record")
        .after("M1.E")
        .after("M1.G")
        .may_be_given(outputs::FILE)
        .proves("the workflow's outputs, evidence and guards are connected as the plan asks, and what it says of its image is so")
        .checks([&PLUMBED as &dyn AnyCheck, &PACKED, &GUARDED, &AGREE])
        .requirement("outputs-plumbed", [PLUMBED.holds(), PLUMBED.refusal(), AGREE.holds(), AGREE.refusal()])
        .requirement("evidence-declared", [PACKED.holds(), PACKED.refusal()])
        .requirement("prerequisites-fail-closed", [GUARDED.holds(), GUARDED.refusal()])
}

/// What must be so before anything is built.
pub(super) fn entry() -> Vec<&'static dyn AnyCheck> {
    vec![&PLUMBED, &PACKED, &GUARDED]
}

/// The job that builds, or the first one where none does.
fn packaging(workflow: &Workflow) -> Result<&Job, Unmet> {
    let builds = workflow.jobs.iter().find(|job| job.does("docker build"));
    builds.or(workflow.jobs.first()).ok_or_else(|| Unmet::from("it has no job"))
}

/// What stands in `${{ … }}`, or the text itself: a condition may be written either way.
fn inside(text: &str) -> &str {
    let text = text.trim();
    text.strip_prefix("${{").and_then(|rest| rest.strip_suffix("}}")).unwrap_or(text).trim()
}

/// `${{ steps.ID.outputs.NAME }}` as `ID` and `NAME`.
fn from_step(expression: &str) -> Option<(&str, &str)> {
    let inside = expression.trim().strip_prefix("${{")?.strip_suffix("}}")?.trim();
    let (step, name) = inside.strip_prefix("steps.")?.split_once(".outputs.")?;
    Some((step, name))
}

/// What the workflow that built says of its image, where its outputs are given.
pub(super) fn said(run: &LaneRun<'_>) -> BTreeMap<String, String> {
    outputs::given(run).and_then(|(_, said)| said.ok()).unwrap_or_default()
}

fn execute(run: &mut LaneRun<'_>) -> Step {
    outputs::observe(run)
}
