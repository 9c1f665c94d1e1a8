//! M1.H: the workflow's outputs are connected to what makes them, its evidence leaves it also on failure, and its guards stand.

use support::ensure;
use support::run::check::{AnyCheck, Check, Unmet};
use support::run::context::LaneRun;
use support::run::finding::Basis;
use support::run::lane::{Lane, Step};

use super::g_workflow::{FACT, Job, NOT_ASKED, OUTPUTS, PACK, Workflow, is_asked};

/// The prerequisites that must end the workflow where they are missing: what a guard's script must name.
const GUARDS: [(&str, &str); 3] = [
    ("a static AWS key", "AWS_ACCESS_KEY_ID"),
    ("a missing Dockerfile", "DOCKERFILE"),
    ("a missing digest", "sha256:"),
];

static PLUMBED: Check<Workflow> = Check::<Workflow>::derived(
    "workflow.outputs_plumbed",
    "outputs_plumbed",
    &[FACT],
    |workflow| {
        let Some(job) = packaging(workflow)? else { return Ok(NOT_ASKED.to_owned()) };
        for output in OUTPUTS {
            let Some(expression) = job.outputs.get(output) else {
                return Err(Unmet::blocked_by(
                    "PG-M1.G-workflow_outputs",
                    format!("job {} does not give {output}", job.id),
                ));
            };
            let Some((step, name)) = from_step(expression) else {
                return Err(format!("{output} is `{expression}`, which is no step's output").into());
            };
            let Some(made) = job.steps.iter().find(|s| s.id.as_deref() == Some(step)) else {
                return Err(format!("{output} comes from step `{step}`, which job {} does not have", job.id).into());
            };
            ensure!(
                made.runs("GITHUB_OUTPUT") && made.runs(&format!("{name}=")),
                "step `{step}` of job {} does not write {name} to its outputs",
                job.id
            );
        }
        Ok(format!("{} outputs of job {}, each written by the step that it names", OUTPUTS.len(), job.id))
    },
    |workflow| {
        for job in &mut workflow.jobs {
            for step in &mut job.steps {
                step.id = None;
            }
        }
        workflow.read_as_asked();
    },
)
.basis(Basis::Documented)
.next("write each output to GITHUB_OUTPUT in the step that the job's output names");

static PACKED: Check<Workflow> = Check::<Workflow>::derived(
    "workflow.evidence_pack",
    "evidence_pack",
    &[FACT],
    |workflow| {
        let Some(job) = packaging(workflow)? else { return Ok(NOT_ASKED.to_owned()) };
        for file in PACK {
            let named = job.steps.iter().any(|step| step.runs(file) || step.with.values().any(|v| v.contains(file)));
            ensure!(named, "no step of job {} leaves {file}", job.id);
        }
        let Some(upload) = job.steps.iter().find(|step| step.acts("upload-artifact")) else {
            return Err(format!("job {} uploads nothing", job.id).into());
        };
        let always = upload.condition.as_deref().is_some_and(|c| c.contains("always()") || c.contains("!cancelled()"));
        ensure!(always, "step `{}` uploads nothing where an earlier step failed", upload.name);
        let strict = upload.with.get("if-no-files-found").is_some_and(|value| value == "error");
        ensure!(strict, "step `{}` passes where there is no file to upload", upload.name);
        Ok(format!("{} files, uploaded also on failure; a missing one fails", PACK.len()))
    },
    |workflow| {
        for job in &mut workflow.jobs {
            job.steps.retain(|step| !step.acts("upload-artifact"));
        }
        workflow.read_as_asked();
    },
)
.basis(Basis::Documented)
.next("upload the four files with `if: always()` and `if-no-files-found: error`");

static GUARDED: Check<Workflow> = Check::<Workflow>::derived(
    "workflow.guards",
    "guards",
    &[FACT],
    |workflow| {
        let Some(job) = packaging(workflow)? else { return Ok(NOT_ASKED.to_owned()) };
        for (what, named) in GUARDS {
            let guards = job.steps.iter().any(|step| step.runs(named) && step.runs("exit 1") && step.runs("::error"));
            if !guards && named == "AWS_ACCESS_KEY_ID" {
                return Err(Unmet::blocked_by("PG-M1.G-static_credentials", "no step refuses static keys"));
            }
            ensure!(guards, "no step of job {} ends it, and says so, on {what}", job.id);
        }
        Ok(format!("{} guards, each ends the job with an error that says why", GUARDS.len()))
    },
    |workflow| {
        for step in workflow.jobs.iter_mut().flat_map(|job| &mut job.steps) {
            step.run = step.run.as_ref().map(|run| run.replace("exit 1", "true"));
        }
        workflow.read_as_asked();
    },
)
.basis(Basis::Documented)
.next("let the step print `::error::` with the reason, and end with `exit 1`");

/// The lane.
pub(super) fn lane() -> Lane {
    Lane::new("M1.H", execute)
        .after("M1.G")
        .proves("the workflow's outputs, evidence and guards are connected as the plan asks")
        .checks([&PLUMBED as &dyn AnyCheck, &PACKED, &GUARDED])
        .requirement("outputs-plumbed", [PLUMBED.holds(), PLUMBED.refusal()])
        .requirement("evidence-declared", [PACKED.holds(), PACKED.refusal()])
        .requirement("prerequisites-fail-closed", [GUARDED.holds(), GUARDED.refusal()])
}

/// What must be so before anything is built.
pub(super) fn entry() -> Vec<&'static dyn AnyCheck> {
    vec![&PLUMBED, &PACKED, &GUARDED]
}

/// The job that builds, or the first one where none does; nothing where the plan asks for no workflow.
fn packaging(workflow: &Workflow) -> Result<Option<&Job>, Unmet> {
    if !is_asked(workflow)? {
        return Ok(None);
    }
    let builds = workflow.jobs.iter().find(|job| job.steps.iter().any(|step| step.runs("docker build")));
    Ok(builds.or(workflow.jobs.first()))
}

/// `${{ steps.ID.outputs.NAME }}` as `ID` and `NAME`.
fn from_step(expression: &str) -> Option<(&str, &str)> {
    let inside = expression.trim().strip_prefix("${{")?.strip_suffix("}}")?.trim();
    let (step, name) = inside.strip_prefix("steps.")?.split_once(".outputs.")?;
    Some((step, name))
}

fn execute(_run: &mut LaneRun<'_>) -> Step {
    Ok(())
}
