//! The steps of the packaging workflow: here those up to the image.

mod evidence;
mod registry;

pub use evidence::evidence;
pub use registry::describe;

use std::collections::BTreeSet;

use super::case::{Case, play};
use super::document::{PACKAGING, Workflow};
use super::ground::{Answer, Ground, Ran, SHA};

pub const RUN: &str = "platform_20260213T214223Z";
pub const DIGEST: &str = "sha256:5f1c0f0e2b6a4d0f9f5b1f3f9a9e0a5a2d0f4c115f1c0f0e2b6a4d0f9f5b1f3f";
const URI: &str = "230372904534.dkr.ecr.eu-west-2.amazonaws.com/fraud-platform-dev-min";

/// What a person typed and the repository has set, and nothing of the steps before.
pub fn asked(ground: &mut Ground) {
    for (name, value) in [
        ("inputs.platform_run_id", RUN),
        ("inputs.aws_region", "eu-west-2"),
        ("inputs.aws_role_to_assume", "arn:aws:iam::230372904534:role/phasegate/packaging"),
        ("inputs.ecr_repo_name", "fraud-platform-dev-min"),
        ("inputs.ecr_repo_uri", URI),
        ("inputs.push_convenience_tag", "false"),
        ("vars.IMAGE_BUILD_PATH", ""),
        ("vars.IMAGE_DOCKERFILE_PATH", ""),
        ("vars.IMAGE_TAG_DEV_MIN_LATEST", ""),
        ("vars.PHASEGATE_PLANS", ""),
    ] {
        ground.know(name, value);
    }
    for name in GIVEN {
        ground.know(&format!("vars.{name}"), &format!("the {name}"));
    }
}

/// What the gate asks for where the registry only declares the handle.
const GIVEN: [&str; 12] = [
    "ROLE_CASE_LABELS",
    "ROLE_DB_MIGRATIONS",
    "ROLE_DECISION_LANE",
    "ROLE_ECS_TASK_EXECUTION",
    "ROLE_ENV_CONFORMANCE",
    "ROLE_IG_SERVICE",
    "ROLE_ORACLE_JOB",
    "ROLE_REPORTER_SINGLE_WRITER",
    "ROLE_RTDL_CORE",
    "ROLE_SR_TASK",
    "ROLE_WSP_TASK",
    "S3_EVIDENCE_BUCKET",
];

/// The steps before this one succeeded.
fn so_far(ground: &mut Ground) {
    asked(ground);
    ground.know("steps.asked.outputs.platform_run_id", RUN);
    ground.know("steps.digest.outputs.digest", DIGEST);
    ground.know("steps.convenience.outputs.state", "");
}

fn case(step: &str, what: &'static str) -> Case {
    Case::of(PACKAGING, "packaging", step, what).given(so_far)
}

pub fn image() -> String {
    format!("{URI}:git-{SHA}")
}

fn answer(program: &'static str, answer: Answer) -> impl Fn(&mut Ground) {
    move |ground| ground.answer(program, answer.clone())
}

fn knows(name: &'static str, value: &'static str) -> impl Fn(&mut Ground) {
    move |ground| ground.know(name, value)
}

pub fn cases() -> Vec<Case> {
    [keys(), inputs(), sources(), registry::cases(), evidence::cases()].into_iter().flatten().collect()
}

fn keys() -> Vec<Case> {
    let step = "refuse static AWS keys";
    let set = |name: &'static str, says| case(step, name).given(move |g| g.var(name, "x")).fails(says);
    vec![
        case(step, "none is set"),
        case(step, "an empty one is none").given(|g| g.var("AWS_SESSION_TOKEN", "")),
        set("AWS_ACCESS_KEY_ID", "::error::AWS_ACCESS_KEY_ID is set"),
        set("AWS_SECRET_ACCESS_KEY", "::error::AWS_SECRET_ACCESS_KEY is set"),
        set("AWS_SESSION_TOKEN", "::error::AWS_SESSION_TOKEN is set"),
    ]
}

fn inputs() -> Vec<Case> {
    let step = "check what was asked";
    let mut cases = vec![
        case(step, "all is well").leaves(&[("platform_run_id", RUN)]),
        case(step, "China has a domain of its own")
            .given(knows("inputs.aws_region", "cn-north-1"))
            .given(knows("inputs.aws_role_to_assume", "arn:aws-cn:iam::230372904534:role/p"))
            .given(knows(
                "inputs.ecr_repo_uri",
                "230372904534.dkr.ecr.cn-north-1.amazonaws.com.cn/fraud-platform-dev-min",
            ))
            .leaves(&[("platform_run_id", RUN)]),
    ];
    let wrong: [(&str, &[&str], &str); 6] = [
        (
            "inputs.platform_run_id",
            &[
                "",
                "platform_20260213T214223",
                "platform_20260213T214223Z ",
                "platform_20260213T214223Z\nplatform_20260213T214223Z",
                "platform_2026-02-13T21:42:23Z",
                "Platform_20260213T214223Z",
                "../platform_20260213T214223Z",
                "::set-output name=x::y",
            ],
            "::error::platform_run_id is not platform_YYYYMMDDTHHMMSSZ",
        ),
        (
            "inputs.platform_run_id",
            &["platform_20260230T000000Z", "platform_20260213T254223Z"],
            "::error::platform_run_id names an instant that does not exist",
        ),
        ("inputs.aws_region", &["", "London", "eu-west", "eu-west-2;id", "EU-WEST-2"], "::error::aws_region is not"),
        (
            "inputs.aws_role_to_assume",
            &[
                "",
                "packaging",
                "arn:aws:iam::230372904534:user/p",
                "arn:aws:iam::1:role/p",
                "arn:aws:iam::230372904534:role/p q",
            ],
            "::error::aws_role_to_assume is not",
        ),
        ("inputs.ecr_repo_name", &["", "Fraud", "/fraud", "fraud/", "fraud platform"], "::error::ecr_repo_name is not"),
        (
            "inputs.ecr_repo_uri",
            &[
                "",
                "docker.io/fraud-platform-dev-min",
                "111111111111.dkr.ecr.eu-west-2.amazonaws.com/fraud-platform-dev-min",
                "230372904534.dkr.ecr.eu-west-1.amazonaws.com/fraud-platform-dev-min",
                "230372904534.dkr.ecr.eu-west-2.amazonaws.com/fraud-platform-dev-min:latest",
                "230372904534xdkr.ecr.eu-west-2.amazonaws.com/fraud-platform-dev-min",
            ],
            "::error::ecr_repo_uri is not",
        ),
    ];
    for (input, values, says) in wrong {
        for value in values {
            let silent = move |_: &Ground, ran: &Ran| {
                assert!(value.len() < 20 || !ran.said.contains(value), "what was typed is printed: {}", ran.said);
                assert!(ran.outputs.is_empty(), "{ran:#?}");
            };
            cases.push(case(step, value).given(knows(input, value)).fails(says).then(silent));
        }
    }
    cases.push(case(step, "another commit").given(|g| g.var("GITHUB_SHA", "abc")).fails("::error::the commit is not"));
    cases.push(case(step, "no full commit").given(knows("github.sha", "main")).fails("::error::the commit is not"));
    cases
}

fn sources() -> Vec<Case> {
    let there = "the Dockerfile is there";
    let (gate, image_step) = ("build the gate", "build the image");
    let test = "cargo test --locked --no-run --manifest-path phasegate/Cargo.toml --test m1";
    let build = format!("docker build --file Dockerfile --tag {} .", image());
    vec![
        case(there, "it is").given(|g| g.file("work/platform/Dockerfile", "FROM scratch\n")),
        case(there, "at the path that is set")
            .given(knows("vars.IMAGE_DOCKERFILE_PATH", "images/platform.Dockerfile"))
            .given(|g| g.file("work/platform/images/platform.Dockerfile", "FROM scratch\n")),
        case(there, "it is not").fails("::error::there is no Dockerfile"),
        case(there, "it is a folder")
            .given(|g| g.file("work/platform/Dockerfile/x", ""))
            .fails("::error::there is no Dockerfile"),
        case(there, "it is elsewhere")
            .given(|g| g.file("work/Dockerfile", ""))
            .fails("::error::there is no Dockerfile"),
        case(gate, "it builds").given(answer("cargo", Answer::ok())).calls([test]),
        case(gate, "it does not")
            .given(answer("cargo", Answer::fails("error: E0308")))
            .calls([test])
            .fails("error: E0308"),
        case(image_step, "it builds in the platform's sources, and what it prints is kept")
            .given(answer("docker", Answer::does("echo step 1; echo writing image sha256:5f >&2\n")))
            .calls([build.clone()])
            .then(|ground, ran| {
                assert_eq!(ran.folders, ["$WORK/platform"]);
                assert_eq!(ground.read("temp/build.log"), "step 1\nwriting image sha256:5f\n");
            }),
        case(image_step, "with the paths that are set")
            .given(knows("vars.IMAGE_DOCKERFILE_PATH", "images/a b.Dockerfile"))
            .given(knows("vars.IMAGE_BUILD_PATH", "images"))
            .given(answer("docker", Answer::ok()))
            .calls([format!("docker build --file 'images/a b.Dockerfile' --tag {} images", image())]),
        case(image_step, "a build that failed is not tried again")
            .given(answer("docker", Answer::fails("no space left")))
            .given(answer("docker", Answer::ok()))
            .calls([build])
            .fails("no space left"),
    ]
}

/// Each is a variable that the gate takes, and the workflow's head says that it is one of the repository's.
#[test]
fn what_the_gate_may_be_given_is_given_to_it() {
    let workflow = Workflow::read(PACKAGING);
    let env = workflow.step("packaging", "the gate of M1").env();
    let gates = gates::m1::gates().unwrap();
    let taken: BTreeSet<&str> = gates.iter().flat_map(|phase| phase.may_be_given()).collect();
    let asked = taken.iter().filter(|name| name.starts_with("ROLE_") || name.starts_with("S3_"));
    assert_eq!(asked.copied().collect::<Vec<_>>(), GIVEN);
    let (head, _) = workflow.text.split_once("\nname:").unwrap();
    for name in GIVEN {
        assert_eq!(env[name], format!("${{{{ vars.{name} }}}}"));
        assert!(head.contains(name), "the head of the workflow does not say {name}");
    }
    for name in ["PHASEGATE_SOURCE", "PHASEGATE_CI_OUTPUTS", "PHASEGATE_IMAGE", "PHASEGATE_PLATFORM_RUN_ID"] {
        assert!(taken.contains(name) && env.contains_key(name), "{name}");
    }
}

#[test]
fn every_step_of_the_packaging_does_what_it_says_and_fails_closed() {
    play(&cases());
}
