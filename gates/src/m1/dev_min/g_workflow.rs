//! M1.G: the workflow that builds with authority: where the plan says, with the rights that it needs and no others.

mod document;

use std::collections::BTreeSet;

use support::ensure;
use support::run::check::{AnyCheck, Check, Unmet};
use support::run::context::LaneRun;
use support::run::finding::Basis;
use support::run::lane::{Lane, Step, Stop};

pub(super) use self::document::{Job, Workflow, WorkflowStep};
use super::source;

/// The lane, as plans name it.
const LANE: &str = "M1.G";

/// What the workflow's packaging job must give.
pub(super) const OUTPUTS: [&str; 5] = ["image_tag", "image_digest", "git_sha", "ci_run_id", "build_actor"];

/// What the workflow must leave.
pub(super) const PACK: [&str; 4] = [
    "build_command_surface_receipt.json",
    "packaging_provenance.json",
    "ci_m1_outputs.json",
    "security_secret_injection_checks.json",
];

/// The words by which the steps of the plan's sequence are known, in order.
const SEQUENCE: [(&str, &[&str]); 4] = [
    ("the login to ECR", &["amazon-ecr-login", "get-login-password"]),
    ("the build", &["docker build"]),
    ("the push", &["docker push"]),
    ("the resolution of the digest", &["describe-images"]),
];

static PINNED: Check<Workflow> = Check::<Workflow>::derived(
    "workflow.pinned",
    "workflow",
    &["workflow"],
    |workflow| {
        if !workflow.asked {
            return Ok(NOT_ASKED.to_owned());
        }
        let paths: Vec<&str> = workflow.planned.iter().map(String::as_str).collect();
        ensure!(paths.len() == 1, "M1.G names {} workflows: {}", paths.len(), paths.join(", "));
        if let Some(problem) = &workflow.problem {
            return Err(problem.clone().into());
        }
        ensure!(!workflow.jobs.is_empty(), "{} has no job", paths.join(""));
        Ok(format!("{} is there, {} jobs", paths.join(""), workflow.jobs.len()))
    },
    |workflow| {
        workflow.asked = true;
        workflow.problem = Some("doctored".to_owned());
    },
)
.basis(Basis::Documented)
.next("put the workflow at the path that M1.G names, in the sources");

static TRIGGER: Check<Workflow> = Check::<Workflow>::derived(
    "workflow.trigger",
    "workflow_trigger",
    &["workflow"],
    |workflow| {
        if !is_asked(workflow)? {
            return Ok(NOT_ASKED.to_owned());
        }
        let on: Vec<&str> = workflow.triggers.iter().map(String::as_str).collect();
        ensure!(
            on == ["workflow_dispatch"],
            "it is started by {}, and only workflow_dispatch is allowed",
            on.join(", ")
        );
        Ok("started by hand alone".to_owned())
    },
    |workflow| {
        workflow.read_as_asked();
        workflow.triggers.insert("push".to_owned());
    },
)
.basis(Basis::Documented)
.next("leave `workflow_dispatch` as the workflow's only trigger");

static PERMISSIONS: Check<Workflow> = Check::<Workflow>::derived(
    "workflow.permissions",
    "workflow_permissions",
    &["workflow"],
    |workflow| {
        if !is_asked(workflow)? {
            return Ok(NOT_ASKED.to_owned());
        }
        for job in &workflow.jobs {
            let Some(permissions) = &job.permissions else {
                return Err(format!("job {} does not say what it may do", job.id).into());
            };
            for (what, level) in permissions {
                let allowed = match (what.as_str(), level.as_str()) {
                    (_, "none") | ("contents", "read") | ("id-token", "write") => true,
                    // An attestation is signed by a job that builds nothing.
                    ("attestations", "write") => !job.does("docker build"),
                    _ => false,
                };
                ensure!(allowed, "job {} may {level} {what}, which packaging does not need", job.id);
            }
        }
        Ok("contents may be read, the role is assumed by OIDC, and nothing more".to_owned())
    },
    |workflow| {
        workflow.read_as_asked();
        workflow.jobs.push(Job::that_may("doctored", "contents", "write"));
    },
)
.basis(Basis::Documented)
.next("leave `contents: read` and `id-token: write`; `attestations: write` only in a job that attests");

static OIDC: Check<Workflow> = Check::<Workflow>::derived(
    "workflow.oidc",
    "static_credentials",
    &["workflow"],
    |workflow| {
        if !is_asked(workflow)? {
            return Ok(NOT_ASKED.to_owned());
        }
        let steps = || workflow.jobs.iter().flat_map(|job| &job.steps);
        if let Some(step) =
            steps().find(|step| step.with.keys().any(|key| key.starts_with("aws-") && key.contains("access-key")))
        {
            return Err(format!("step `{}` takes a static key", step.name).into());
        }
        let secrets: Vec<&str> =
            steps().filter(|step| step.names_secret_keys()).map(|step| step.name.as_str()).collect();
        ensure!(secrets.is_empty(), "a stored AWS key is used by step `{}`", secrets.join("`, `"));
        let assumes =
            steps().any(|step| step.acts("configure-aws-credentials") && step.with.contains_key("role-to-assume"));
        ensure!(assumes, "no step assumes a role by OIDC");
        let refuses = steps().any(|step| step.runs("AWS_ACCESS_KEY_ID") && step.runs("exit 1"));
        ensure!(refuses, "no step refuses static AWS keys");
        Ok("a role assumed by OIDC; static keys are refused".to_owned())
    },
    |workflow| {
        workflow.read_as_asked();
        for job in &mut workflow.jobs {
            job.steps.clear();
        }
    },
)
.basis(Basis::Documented)
.next("assume the role by aws-actions/configure-aws-credentials, and fail where a static key is set");

static SEQUENCE_KEPT: Check<Workflow> = Check::<Workflow>::derived(
    "workflow.sequence",
    "workflow_sequence",
    &["workflow"],
    |workflow| {
        if !is_asked(workflow)? {
            return Ok(NOT_ASKED.to_owned());
        }
        let Some(job) = workflow.jobs.iter().find(|job| job.does("docker build")) else {
            return Err("no job builds the image".into());
        };
        let mut from = 0;
        for (what, words) in SEQUENCE {
            let rest = job.steps.iter().enumerate().skip(from);
            let Some((at, _)) = rest.clone().find(|(_, step)| words.iter().any(|word| step.says(word))) else {
                return Err(format!("job {} does not do {what} where it should", job.id).into());
            };
            from = at;
        }
        Ok(format!("job {}: login, build, push, resolve, in this order", job.id))
    },
    |workflow| {
        workflow.read_as_asked();
        for job in &mut workflow.jobs {
            job.steps.reverse();
        }
    },
)
.basis(Basis::Documented)
.next("keep the order of M1.E in the workflow: login, build, push, resolve the digest");

static OUTPUTS_NAMED: Check<Workflow> = Check::<Workflow>::derived(
    "workflow.outputs",
    "workflow_outputs",
    &["workflow"],
    |workflow| {
        if !is_asked(workflow)? {
            return Ok(NOT_ASKED.to_owned());
        }
        let named: BTreeSet<&str> =
            workflow.jobs.iter().flat_map(|job| job.outputs.keys()).map(String::as_str).collect();
        let missing: Vec<&str> = OUTPUTS.into_iter().filter(|output| !named.contains(output)).collect();
        ensure!(missing.is_empty(), "no job gives {}", missing.join(", "));
        Ok(format!("{} outputs", OUTPUTS.len()))
    },
    |workflow| {
        workflow.read_as_asked();
        for job in &mut workflow.jobs {
            job.outputs.clear();
        }
    },
)
.basis(Basis::Documented)
.next("give image_tag, image_digest, git_sha, ci_run_id and build_actor as outputs of the packaging job");

static ACTIONS_PINNED: Check<Workflow> = Check::<Workflow>::derived(
    "workflow.actions_pinned",
    "action_pins",
    &["workflow"],
    |workflow| {
        if !is_asked(workflow)? {
            return Ok(NOT_ASKED.to_owned());
        }
        let uses: Vec<&str> =
            workflow.jobs.iter().flat_map(|job| &job.steps).filter_map(|step| step.uses.as_deref()).collect();
        ensure!(!uses.is_empty(), "no step uses an action");
        let loose: Vec<&str> = uses.iter().copied().filter(|uses| !is_pinned(uses)).collect();
        ensure!(loose.is_empty(), "not pinned by commit: {}", loose.join(", "));
        Ok(format!("{} actions, each pinned by its commit", uses.len()))
    },
    |workflow| {
        workflow.read_as_asked();
        for step in workflow.jobs.iter_mut().flat_map(|job| &mut job.steps) {
            step.uses = step.uses.as_ref().map(|_| "actions/checkout@v4".to_owned());
        }
    },
)
.basis(Basis::Documented)
.next("pin the action by its full commit, with the version in a comment: a tag can be moved");

static NO_INJECTION: Check<Workflow> = Check::<Workflow>::derived(
    "workflow.no_injection",
    "script_injection",
    &["workflow"],
    |workflow| {
        if !is_asked(workflow)? {
            return Ok(NOT_ASKED.to_owned());
        }
        let steps: Vec<&WorkflowStep> = workflow.jobs.iter().flat_map(|job| &job.steps).collect();
        let loose: Vec<&str> = steps.iter().filter(|s| s.runs("${{")).map(|s| s.name.as_str()).collect();
        ensure!(loose.is_empty(), "an expression is put into the script of step `{}`", loose.join("`, `"));
        let scripts = steps.iter().filter(|step| step.run.is_some()).count();
        ensure!(scripts > 0, "no step runs a script");
        Ok(format!("{scripts} scripts, no expression in any"))
    },
    |workflow| {
        workflow.read_as_asked();
        for step in workflow.jobs.iter_mut().flat_map(|job| &mut job.steps) {
            step.run = Some("echo ${{ inputs.doctored }}".to_owned());
        }
    },
)
.basis(Basis::Documented)
.next("give the value by `env:`, and read the variable in the script");

/// What is said of a plan's earlier form.
pub(super) const NOT_ASKED: &str = "the plan has no such sub-phase";

/// The lane.
pub(super) fn lane() -> Lane {
    Lane::new(LANE, execute)
        .after("M1.F")
        .documents(read_documents)
        .proves("the packaging workflow stands where the plan pins it, with its trigger, its rights, its order and its outputs")
        .checks([
            &PINNED as &dyn AnyCheck,
            &TRIGGER,
            &PERMISSIONS,
            &OIDC,
            &SEQUENCE_KEPT,
            &OUTPUTS_NAMED,
            &ACTIONS_PINNED,
            &NO_INJECTION,
        ])
        .requirement("workflow-pinned", [PINNED.holds(), TRIGGER.holds(), SEQUENCE_KEPT.holds(), ACTIONS_PINNED.holds()])
        .requirement("workflow-outputs", [OUTPUTS_NAMED.holds(), OUTPUTS_NAMED.refusal()])
        .requirement(
            "workflow-permissions",
            [PERMISSIONS.holds(), PERMISSIONS.refusal(), OIDC.holds(), OIDC.refusal(), NO_INJECTION.holds()],
        )
}

/// What must be so before anything is built: the driver's workflow is realised before it is given the word.
pub(super) fn entry() -> Vec<&'static dyn AnyCheck> {
    vec![&PINNED, &TRIGGER, &PERMISSIONS, &OIDC, &SEQUENCE_KEPT, &OUTPUTS_NAMED, &ACTIONS_PINNED, &NO_INJECTION]
}

/// Whether the plan asks for a workflow; one that could not be read is the first check's.
pub(super) fn is_asked(workflow: &Workflow) -> Result<bool, Unmet> {
    if workflow.asked && (workflow.problem.is_some() || workflow.planned.len() != 1 || workflow.jobs.is_empty()) {
        return Err(Unmet::blocked_by("PG-M1.G-workflow", "the workflow could not be read"));
    }
    Ok(workflow.asked)
}

fn is_pinned(uses: &str) -> bool {
    let commit = uses.split_once('@').map_or("", |(_, commit)| commit);
    commit.len() == 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn read_documents(run: &mut LaneRun<'_>) -> Step {
    let asked = run.plan().lanes.iter().any(|lane| lane.id == LANE);
    let records = run.plan().records.iter().filter(|record| record.lane.as_deref() == Some(LANE));
    let entries = records.flat_map(|record| &record.entries).flat_map(|e| std::iter::once(e).chain(e.all_below()));
    let planned: BTreeSet<String> = entries
        .flat_map(|entry| entry.code())
        .filter(|span| span.starts_with(".github/workflows/"))
        .map(str::to_owned)
        .collect();
    let mut workflow = Workflow { asked, planned, ..Workflow::default() };
    if let Some(path) = workflow.planned.first().cloned().filter(|_| asked) {
        match read(run, &path).and_then(|text| Workflow::parse(&text)) {
            Ok(read) => workflow = Workflow { asked, planned: workflow.planned, ..read },
            Err(why) => workflow.problem = Some(format!("{path}: {why}")),
        }
    }
    run.observe("workflow", "the workflow that M1.G names, in the sources", &workflow)
}

fn read(run: &LaneRun<'_>, path: &str) -> Result<String, String> {
    if !source::stays_inside(path) {
        return Err("the path leads out of the sources".to_owned());
    }
    source::read(run, path).map_err(|stop| match stop {
        Stop::Fault(why) | Stop::By { code: why } => why,
    })
}

fn execute(_run: &mut LaneRun<'_>) -> Step {
    Ok(())
}

/// The workflow, for the lane that validates it.
pub(super) const FACT: &str = "M1.G/workflow";
