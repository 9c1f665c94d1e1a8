//! The order of the workflow's steps, and that none of them can be left out.

use support::run::check::Check;
use support::run::finding::Basis;

use super::document::{Job, Workflow, WorkflowStep};
use super::judged;

/// How a step of the plan's sequence is known.
type Known = fn(&WorkflowStep) -> bool;

/// The steps of the plan's sequence, in order.
const SEQUENCE: [(&str, Known); 4] = [
    ("the login to ECR", |step| step.acts("amazon-ecr-login") || step.does("get-login-password")),
    ("the build", |step| step.does("docker build")),
    ("the push", |step| step.does("docker push")),
    ("the resolution of the digest", |step| step.does("describe-images")),
];

pub(super) static SEQUENCE_KEPT: Check<Workflow> = Check::<Workflow>::derived(
    "workflow.sequence",
    "workflow_sequence",
    &["workflow"],
    |workflow| {
        judged(workflow, |workflow| {
            let Some(job) = workflow.jobs.iter().find(|job| job.does("docker build")) else {
                return Err("no job builds the image".into());
            };
            if let Some(objection) = job.leeway.objection(|_| false) {
                return Err(format!("job {} {objection}", job.id).into());
            }
            let mut from = 0;
            for (what, known) in SEQUENCE {
                let found = job.steps.iter().enumerate().skip(from).find(|(_, step)| known(step));
                let Some((at, step)) = found else {
                    return Err(format!("job {} does not do {what} where it should", job.id).into());
                };
                let is_push = step.does("docker push");
                let objection = step.leeway.objection(|condition| is_push && tag_is_free(job, at, condition));
                if let Some(objection) = objection {
                    return Err(format!("{what}, {}, {objection}", job.place(step)).into());
                }
                from = at;
            }
            Ok(format!("job {}: login, build, push, resolve, in this order, and none is left out", job.id))
        })
    },
    |workflow| {
        workflow.read_as_asked();
        for step in workflow.jobs.iter_mut().flat_map(|job| &mut job.steps).filter(|step| step.does("docker push")) {
            step.run = None;
        }
    },
)
.basis(Basis::Documented)
.next("keep the order of M1.E in the workflow: login, build, push, resolve the digest; only the push may have a condition, that its tag is free");

/// Whether a condition is what an earlier step found out of the tag: `steps.ID.outputs.NAME == 'VALUE'`, where that step asks ECR, writes
/// this value, and is never left out.
fn tag_is_free(job: &Job, before: usize, condition: &str) -> bool {
    let inside = condition.trim().strip_prefix("${{").and_then(|rest| rest.strip_suffix("}}")).unwrap_or(condition);
    let Some((left, right)) = inside.split_once("==") else { return false };
    let Some(value) = right.trim().strip_prefix('\'').and_then(|rest| rest.strip_suffix('\'')) else { return false };
    let Some((id, name)) = left.trim().strip_prefix("steps.").and_then(|rest| rest.split_once(".outputs.")) else {
        return false;
    };
    let is_word =
        |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    let mut earlier = job.steps.iter().take(before);
    is_word(name)
        && is_word(value)
        && earlier.any(|step| {
            step.id.as_deref() == Some(id)
                && step.does("describe-images")
                && step.runs("GITHUB_OUTPUT")
                && step.runs(&format!("{name}={value}"))
                && step.leeway.objection(|_| false).is_none()
        })
}
