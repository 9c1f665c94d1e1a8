//! M1.G: the workflow that builds with authority: where the plan says, with the rights that it needs and no others.

mod credentials;
mod document;
mod script;
mod sequence;

use std::collections::BTreeSet;

use support::ensure;
use support::run::check::{AnyCheck, Check, Judged, Unmet};
use support::run::context::LaneRun;
use support::run::finding::Basis;
use support::run::lane::{Lane, Step, Stop};

use self::credentials::OIDC;
pub(super) use self::document::{Job, Workflow, WorkflowStep};
use self::sequence::SEQUENCE_KEPT;
use super::source;

/// The lane, as plans name it: it pins the workflow of the driver.
pub(super) const LANE: &str = "M1.G";

/// What the workflow's packaging job must give.
pub(super) const OUTPUTS: [&str; 5] = ["image_tag", "image_digest", "git_sha", "ci_run_id", "build_actor"];

/// What must be typed to start the workflow.
const INPUTS: [&str; 5] = ["platform_run_id", "aws_region", "aws_role_to_assume", "ecr_repo_name", "ecr_repo_uri"];

/// What the workflow must leave.
pub(super) const PACK: [&str; 4] = [
    "build_command_surface_receipt.json",
    "packaging_provenance.json",
    "ci_m1_outputs.json",
    "security_secret_injection_checks.json",
];

/// Inputs of actions that are run as a script.
const SCRIPTS: [&str; 6] = ["args", "command", "entrypoint", "inlinescript", "run", "script"];

static PINNED: Check<Workflow> = Check::<Workflow>::derived(
    "workflow.pinned",
    "workflow",
    &["workflow"],
    |workflow| {
        if !workflow.asked {
            return Ok(NOT_ASKED.to_owned());
        }
        let (count, path) = (workflow.planned.len(), workflow.path());
        ensure!(count == 1, "M1.G names {count} workflows: {path}");
        if let Some(problem) = &workflow.problem {
            return Err(problem.clone().into());
        }
        ensure!(!workflow.jobs.is_empty(), "{path} has no job");
        Ok(format!("{path} is there, {} jobs", workflow.jobs.len()))
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
        judged(workflow, |workflow| {
            let on: Vec<&str> = workflow.triggers.iter().map(String::as_str).collect();
            ensure!(
                on == ["workflow_dispatch"],
                "it is started by {}, and only workflow_dispatch is allowed",
                on.join(", ")
            );
            Ok("started by hand alone".to_owned())
        })
    },
    |workflow| {
        workflow.read_as_asked();
        workflow.triggers.insert("push".to_owned());
    },
)
.basis(Basis::Documented)
.next("leave `workflow_dispatch` as the workflow's only trigger");

static INPUTS_REQUIRED: Check<Workflow> = Check::<Workflow>::derived(
    "workflow.inputs",
    "workflow_inputs",
    &["workflow"],
    |workflow| {
        judged(workflow, |workflow| {
            for input in INPUTS {
                let Some(required) = workflow.inputs.get(input) else {
                    return Err(format!("workflow_dispatch does not ask for {input}").into());
                };
                ensure!(*required, "workflow_dispatch takes {input}, and does not require it");
            }
            Ok(format!("{} inputs are required", INPUTS.len()))
        })
    },
    |workflow| {
        workflow.read_as_asked();
        workflow.inputs.values_mut().for_each(|required| *required = false);
    },
)
.basis(Basis::Documented)
.next("give workflow_dispatch the input, with `required: true`");

static PERMISSIONS: Check<Workflow> = Check::<Workflow>::derived(
    "workflow.permissions",
    "workflow_permissions",
    &["workflow"],
    |workflow| {
        judged(workflow, |workflow| {
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
        })
    },
    |workflow| {
        workflow.read_as_asked();
        workflow.jobs.push(Job::that_may("doctored", "contents", "write"));
    },
)
.basis(Basis::Documented)
.next("leave `contents: read` and `id-token: write`; `attestations: write` only in a job that attests");

static OUTPUTS_NAMED: Check<Workflow> = Check::<Workflow>::derived(
    "workflow.outputs",
    "workflow_outputs",
    &["workflow"],
    |workflow| {
        judged(workflow, |workflow| {
            let named: BTreeSet<&str> =
                workflow.jobs.iter().flat_map(|job| job.outputs.keys()).map(String::as_str).collect();
            let missing: Vec<&str> = OUTPUTS.into_iter().filter(|output| !named.contains(output)).collect();
            ensure!(missing.is_empty(), "no job gives {}", missing.join(", "));
            Ok(format!("{} outputs", OUTPUTS.len()))
        })
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
        judged(workflow, |workflow| {
            let of_jobs =
                workflow.jobs.iter().filter_map(|job| Some((format!("job {}", job.id), job.uses.as_deref()?)));
            let of_steps = workflow.steps().filter_map(|(job, step)| Some((job.place(step), step.uses.as_deref()?)));
            let uses: Vec<(String, &str)> = of_jobs.chain(of_steps).collect();
            ensure!(!uses.is_empty(), "no step uses an action");
            let loose: Vec<String> = uses
                .iter()
                .filter(|(_, uses)| !is_pinned(uses))
                .map(|(place, uses)| format!("{uses} ({place})"))
                .collect();
            ensure!(loose.is_empty(), "not pinned by commit: {}", loose.join(", "));
            Ok(format!("{} actions, each pinned by its commit", uses.len()))
        })
    },
    |workflow| {
        workflow.read_as_asked();
        for job in &mut workflow.jobs {
            job.uses = Some("doctored/doctored/.github/workflows/doctored.yml@main".to_owned());
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
        judged(workflow, |workflow| {
            let of_all = std::iter::once(("the workflow".to_owned(), &workflow.shell));
            let of_jobs = workflow.jobs.iter().map(|job| (format!("job {}", job.id), &job.shell));
            let shells = of_all.chain(of_jobs).filter_map(|(place, shell)| Some((place, "shell", shell.as_deref()?)));
            let of_steps = workflow.steps().flat_map(|(job, step)| {
                step.scripts().into_iter().map(move |(key, text)| (job.place(step), key, text))
            });
            let texts: Vec<(String, &str, &str)> = shells.chain(of_steps).collect();
            // A comment is no shelter: the expression is filled in before anything reads the script.
            let loose: Vec<String> = texts
                .iter()
                .filter(|(_, _, text)| text.contains("${{"))
                .map(|(place, key, _)| format!("`{key}` of {place}"))
                .collect();
            ensure!(loose.is_empty(), "an expression is put into {}", loose.join(", "));
            let scripts = texts.iter().filter(|(_, key, _)| *key == "run").count();
            ensure!(scripts > 0, "no step runs a script");
            Ok(format!("{scripts} scripts, no expression in any"))
        })
    },
    |workflow| {
        workflow.read_as_asked();
        let run = Some("echo ${{ inputs.doctored }}".to_owned());
        if let Some(job) = workflow.jobs.first_mut() {
            job.steps.push(WorkflowStep { run, ..WorkflowStep::default() });
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
        .rests_on("realization record")
        .after("M1.F")
        .documents(read_documents)
        .proves("the packaging workflow stands where the plan pins it, with its trigger, its rights, its order and its outputs")
        .checks(entry())
        .requirement(
            "workflow-pinned",
            [
                PINNED.holds(),
                TRIGGER.holds(),
                INPUTS_REQUIRED.holds(),
                SEQUENCE_KEPT.holds(),
                SEQUENCE_KEPT.refusal(),
                ACTIONS_PINNED.holds(),
            ],
        )
        .requirement("workflow-outputs", [OUTPUTS_NAMED.holds(), OUTPUTS_NAMED.refusal()])
        .requirement(
            "workflow-permissions",
            [PERMISSIONS.holds(), PERMISSIONS.refusal(), OIDC.holds(), OIDC.refusal(), NO_INJECTION.holds()],
        )
}

/// What must be so before anything is built: the driver's workflow is realised before it is given the word.
pub(super) fn entry() -> Vec<&'static dyn AnyCheck> {
    vec![
        &PINNED,
        &TRIGGER,
        &INPUTS_REQUIRED,
        &PERMISSIONS,
        &OIDC,
        &SEQUENCE_KEPT,
        &OUTPUTS_NAMED,
        &ACTIONS_PINNED,
        &NO_INJECTION,
    ]
}

/// What a check says of the workflow, with its path; nothing is asked where the plan has no such sub-phase, and one that could not be read
/// is the first check's.
pub(super) fn judged(workflow: &Workflow, judge: impl FnOnce(&Workflow) -> Judged) -> Judged {
    if !workflow.asked {
        return Ok(NOT_ASKED.to_owned());
    }
    let path = workflow.path();
    if workflow.problem.is_some() || workflow.planned.len() != 1 || workflow.jobs.is_empty() {
        return Err(Unmet::blocked_by("PG-M1.G-workflow", format!("{path} could not be read as one workflow")));
    }
    match judge(workflow) {
        Ok(said) => Ok(format!("{path}: {said}")),
        Err(unmet) => Err(Unmet { why: format!("{path}: {}", unmet.why), ..unmet }),
    }
}

fn is_pinned(uses: &str) -> bool {
    let commit = uses.split_once('@').map_or("", |(_, commit)| commit);
    commit.len() == 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn read_documents(run: &mut LaneRun<'_>) -> Step {
    let asked = run.plan().lanes.iter().any(|lane| lane.id == LANE);
    let mut workflow = Workflow { asked, planned: source::workflows(run, LANE), ..Workflow::default() };
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
