//! What is given to the actions that others wrote. They cannot be run here, so it is compared word by word.

use std::collections::BTreeMap;

use super::document::{PACKAGING, PHASE_GATE, Workflow, words};

type Given = &'static [(&'static str, &'static str)];

const SOURCES: Given = &[("persist-credentials", "false")];
const EXECUTABLES: Given = &[("name", "gates"), ("path", "${{ runner.temp }}")];
const REGION: &str = "${{ vars.PHASEGATE_AWS_REGION || 'eu-west-2' }}";

/// Workflow, job, step, the action, and what it is given beside what all of its kind are given.
const STEPS: [(&str, &str, &str, &str, Given); 21] = [
    (PACKAGING, "packaging", "take the platform's sources", "actions/checkout", &[("path", "platform"), SOURCES[0]]),
    (
        PACKAGING,
        "packaging",
        "take phasegate",
        "actions/checkout",
        &[
            ("path", "phasegate"),
            SOURCES[0],
            ("ref", "${{ vars.PHASEGATE_REF || github.sha }}"),
            ("repository", "${{ vars.PHASEGATE_REPOSITORY || github.repository }}"),
        ],
    ),
    (
        PACKAGING,
        "packaging",
        "assume the role by OIDC",
        "aws-actions/configure-aws-credentials",
        &[
            ("aws-region", "${{ inputs.aws_region }}"),
            ("role-session-name", "phasegate-m1-${{ github.run_id }}"),
            ("role-to-assume", "${{ inputs.aws_role_to_assume }}"),
        ],
    ),
    (PACKAGING, "packaging", "log in to ECR", "aws-actions/amazon-ecr-login", &[]),
    (
        PACKAGING,
        "packaging",
        "upload the evidence pack",
        "actions/upload-artifact",
        &[("name", "m1-evidence-pack"), ("path", "${{ runner.temp }}/pack")],
    ),
    (
        PACKAGING,
        "packaging",
        "upload the verdict and its cases",
        "actions/upload-artifact",
        &[
            ("name", "m1-verdict"),
            ("path", "${{ runner.temp }}/phasegate/**/verdict.json\n${{ runner.temp }}/phasegate/**/junit.xml\n"),
        ],
    ),
    (
        PACKAGING,
        "packaging",
        "its cases, beside the lines of the plan",
        "mikepenz/action-junit-report",
        &[("report_paths", "${{ runner.temp }}/phasegate/**/junit.xml")],
    ),
    (
        PACKAGING,
        "attest",
        "attest the digest that was resolved",
        "actions/attest-build-provenance",
        &[
            ("subject-digest", "${{ needs.packaging.outputs.image_digest }}"),
            ("subject-name", "${{ inputs.ecr_repo_uri }}"),
        ],
    ),
    (PHASE_GATE, "landing", "take the sources", "actions/checkout", SOURCES),
    (PHASE_GATE, "build", "take the sources", "actions/checkout", SOURCES),
    (
        PHASE_GATE,
        "build",
        "upload the executables",
        "actions/upload-artifact",
        &[("name", "gates"), ("path", "${{ runner.temp }}/gates.tar"), ("retention-days", "7")],
    ),
    (PHASE_GATE, "rehearsal", "take the sources", "actions/checkout", SOURCES),
    (PHASE_GATE, "rehearsal", "take the executables", "actions/download-artifact", EXECUTABLES),
    (
        PHASE_GATE,
        "rehearsal",
        "upload what it proved",
        "actions/upload-artifact",
        &[("name", "evidence-rehearsal-${{ matrix.gate }}"), ("path", "${{ runner.temp }}/evidence")],
    ),
    (PHASE_GATE, "preflight", "take the sources", "actions/checkout", SOURCES),
    (PHASE_GATE, "preflight", "take the executables", "actions/download-artifact", EXECUTABLES),
    (
        PHASE_GATE,
        "preflight",
        "assume the read-only role by OIDC",
        "aws-actions/configure-aws-credentials",
        &[
            ("aws-region", REGION),
            ("role-session-name", "phasegate-preflight-${{ github.run_id }}"),
            ("role-to-assume", "${{ vars.PHASEGATE_READONLY_ROLE }}"),
        ],
    ),
    (
        PHASE_GATE,
        "preflight",
        "upload what it found",
        "actions/upload-artifact",
        &[("name", "evidence-preflight-${{ matrix.gate }}"), ("path", "${{ runner.temp }}/evidence")],
    ),
    (PHASE_GATE, "commit", "take the executables", "actions/download-artifact", EXECUTABLES),
    (
        PHASE_GATE,
        "commit",
        "assume the role that writes by OIDC",
        "aws-actions/configure-aws-credentials",
        &[
            ("aws-region", REGION),
            ("role-session-name", "phasegate-commit-${{ github.run_id }}"),
            ("role-to-assume", "${{ vars.PHASEGATE_COMMIT_ROLE }}"),
        ],
    ),
    (
        PHASE_GATE,
        "gate",
        "take all evidence",
        "actions/download-artifact",
        &[("path", "${{ runner.temp }}/evidence"), ("pattern", "evidence-*")],
    ),
];

/// The same steps in other jobs.
const ALIKE: [(&str, &str, &str, Given); 5] = [
    ("commit", "take the sources", "actions/checkout", SOURCES),
    (
        "commit",
        "upload what it proved",
        "actions/upload-artifact",
        &[("name", "evidence-commit-${{ inputs.gate }}"), ("path", "${{ runner.temp }}/evidence")],
    ),
    ("rehearsal", CASES, "mikepenz/action-junit-report", JUNIT),
    ("preflight", CASES, "mikepenz/action-junit-report", JUNIT),
    ("commit", CASES, "mikepenz/action-junit-report", JUNIT),
];
const CASES: &str = "its cases, beside the lines of the plan";
const JUNIT: Given = &[("report_paths", "${{ runner.temp }}/evidence/**/junit.xml")];

/// What every use of an action is given.
fn always(action: &str) -> Given {
    match action {
        "actions/upload-artifact" => &[("if-no-files-found", "error")],
        // Such a reader passes by default on a failure, on no test at all, and on a file that it cannot read.
        "mikepenz/action-junit-report" => &[
            ("annotate_only", "true"),
            ("fail_on_failure", "true"),
            ("fail_on_parse_error", "true"),
            ("require_tests", "true"),
        ],
        _ => &[],
    }
}

#[test]
fn every_action_is_given_what_it_needs_and_no_more() {
    let alike = ALIKE.iter().map(|(job, step, action, given)| (PHASE_GATE, *job, *step, *action, *given));
    let wanted: Vec<_> = STEPS.into_iter().chain(alike).collect();
    let workflows = Workflow::all();
    let mut used = 0;
    for step in workflows.iter().flat_map(Workflow::steps).filter(|step| step.uses().is_some()) {
        let place = step.place();
        let known =
            wanted.iter().find(|(file, job, name, ..)| (*file, *job, *name) == (&place.file, &place.job, &place.name));
        let (.., action, given) = known.unwrap_or_else(|| panic!("{place}: say here what it is given"));
        assert!(step.uses().unwrap().starts_with(&format!("{action}@")), "{place}");
        let given: BTreeMap<String, String> =
            given.iter().chain(always(action)).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        assert_eq!(words(&step.tree["with"]), given, "{place}");
        used += 1;
    }
    assert_eq!(used, wanted.len());
}

/// Two runs could both find a tag free, or commit at once; and a commit is never broken off.
#[test]
fn no_two_runs_write_at_once() {
    let packaging = Workflow::read(PACKAGING);
    assert_eq!(
        words(&packaging.tree["concurrency"]),
        BTreeMap::from([
            ("cancel-in-progress".to_owned(), "false".to_owned()),
            ("group".to_owned(), "dev_min_m1_packaging".to_owned()),
        ])
    );
    let gate = words(&Workflow::read(PHASE_GATE).tree["concurrency"]);
    assert!(gate["group"].contains("github.event_name == 'workflow_dispatch' && 'commit'"), "{gate:?}");
    assert_eq!(gate["cancel-in-progress"], "${{ github.event_name == 'pull_request' }}");
}
