//! The steps between the image and its digest: what ECR is asked, and what is pushed.

use super::super::case::Case;
use super::super::ground::{Answer, SHA};
use super::{DIGEST, URI, answer, case, image};

const OTHER: &str = "sha256:6f1c0f0e2b6a4d0f9f5b1f3f9a9e0a5a2d0f4c115f1c0f0e2b6a4d0f9f5b1f3f";
const NOT_FOUND: &str = "An error occurred (ImageNotFoundException) when calling the DescribeImages operation";
const DENIED: &str = "An error occurred (AccessDeniedException) when calling the DescribeImages operation";

pub fn cases() -> Vec<Case> {
    [tag(), push(), digest(), convenience()].into_iter().flatten().collect()
}

pub fn describe() -> String {
    format!(
        "aws ecr describe-images --repository-name fraud-platform-dev-min --image-ids imageTag=git-{SHA} \
         --region eu-west-2 --query 'imageDetails[0].imageDigest' --output text"
    )
}

fn tag() -> Vec<Case> {
    let step = "refuse a tag that stands for another image";
    let inspect = |reference: &str| format!("docker image inspect --format '{{{{.Id}}}}' {reference}");
    let compared = [
        describe(),
        format!("docker pull --quiet {URI}@{DIGEST}"),
        inspect(&format!("{URI}@{DIGEST}")),
        inspect(&image()),
    ];
    let taken = move |what, theirs: &'static str, ours: &'static str| {
        let case = case(step, what).given(answer("aws", Answer::says(DIGEST))).given(answer("docker", Answer::ok()));
        let case = case.given(answer("docker", Answer::says(theirs))).given(answer("docker", Answer::says(ours)));
        case.calls(compared.clone())
    };
    let unreadable = |what: &'static str| {
        let case = case(step, what).given(answer("aws", Answer::says(what))).calls([describe()]);
        case.fails("::error::the tag is taken, and its digest cannot be read")
    };
    vec![
        case(step, "it is free")
            .given(answer("aws", Answer::fails(NOT_FOUND)))
            .calls([describe()])
            .leaves(&[("there", "false")]),
        taken("it stands for this image", "sha256:1", "sha256:1").leaves(&[("there", "true")]),
        taken("it stands for another image", "sha256:2", "sha256:1").fails("stands for another image"),
        taken("both are empty", "", "").fails("stands for another image"),
        case(step, "the other image cannot be fetched")
            .given(answer("aws", Answer::says(DIGEST)))
            .given(answer("docker", Answer::fails("manifest unknown")))
            .calls([describe(), format!("docker pull --quiet {URI}@{DIGEST}")])
            .fails("manifest unknown"),
        case(step, "the look-up fails once")
            .given(answer("aws", Answer::fails("Could not connect to the endpoint URL")))
            .given(answer("aws", Answer::fails(NOT_FOUND)))
            .calls([describe(), "sleep 10".to_owned(), describe()])
            .leaves(&[("there", "false")]),
        case(step, "the look-up is denied")
            .given(answer("aws", Answer::fails(DENIED)))
            .given(answer("aws", Answer::fails(DENIED)))
            .calls([describe(), "sleep 10".to_owned(), describe()])
            .fails("::error::whether the tag is free could not be asked"),
        case(step, "there is no repository")
            .given(answer("aws", Answer::fails("An error occurred (RepositoryNotFoundException) when calling")))
            .given(answer("aws", Answer::fails("An error occurred (RepositoryNotFoundException) when calling")))
            .calls([describe(), "sleep 10".to_owned(), describe()])
            .fails("::error::whether the tag is free could not be asked"),
        unreadable("None"),
        unreadable(""),
    ]
}

fn push() -> Vec<Case> {
    let step = "push the immutable tag";
    let push = format!("docker push {}", image());
    let twice = [push.clone(), "sleep 10".to_owned(), push.clone()];
    vec![
        case(step, "at once").given(answer("docker", Answer::ok())).calls([push]),
        case(step, "it fails once, then works")
            .given(answer("docker", Answer::fails("EOF")))
            .given(answer("docker", Answer::ok()))
            .calls(twice.clone()),
        case(step, "it fails twice, and there is no third time")
            .given(answer("docker", Answer::fails("EOF")))
            .given(answer("docker", Answer::fails("EOF")))
            .given(answer("docker", Answer::ok()))
            .calls(twice)
            .fails("::error::the push failed twice"),
    ]
}

fn digest() -> Vec<Case> {
    let step = "resolve the digest";
    let known =
        format!("docker image inspect --format '{{{{range .RepoDigests}}}}{{{{println .}}}}{{{{end}}}}' {}", image());
    let again = [describe(), "sleep 10".to_owned(), describe()];
    let resolved = [describe(), known.clone()];
    let built = |digests: &str| answer("docker", Answer::says(digests));
    let ours = format!("docker.io/other@{OTHER}\n{URI}@{DIGEST}\n");
    let mut cases = vec![
        case(step, "at once")
            .given(answer("aws", Answer::says(DIGEST)))
            .given(built(&ours))
            .calls(resolved.clone())
            .leaves(&[("digest", DIGEST)]),
        case(step, "the look-up fails once, then works")
            .given(answer("aws", Answer::fails("timed out")))
            .given(answer("aws", Answer::says(DIGEST)))
            .given(built(&ours))
            .calls(again.iter().cloned().chain([known]))
            .leaves(&[("digest", DIGEST)]),
        case(step, "the look-up fails twice")
            .given(answer("aws", Answer::fails("timed out")))
            .given(answer("aws", Answer::fails("timed out")))
            .calls(again)
            .fails("::error::the digest could not be looked up twice"),
    ];
    for wrong in ["None", "", "null", "sha256:abc", "5f1c0f0e", "sha512:5f1c"] {
        let case = case(step, wrong).given(answer("aws", Answer::says(wrong))).calls([describe()]);
        cases.push(case.fails("::error::ECR resolves the tag to no digest").leaves(&[]));
    }
    for (what, digests) in [
        ("another digest than what was built", format!("{URI}@{OTHER}")),
        ("the digest in another repository", format!("x{URI}@{DIGEST}")),
        ("what was built was never pushed", String::new()),
    ] {
        let case = case(step, what).given(answer("aws", Answer::says(DIGEST))).given(built(&digests));
        cases.push(case.calls(resolved.clone()).fails("::error::ECR resolves the tag to another digest").leaves(&[]));
    }
    cases
}

fn convenience() -> Vec<Case> {
    let step = "push the convenience tag";
    let tag = format!("docker tag {} {URI}:dev-min-latest", image());
    let push = format!("docker push {URI}:dev-min-latest");
    let warns = "::warning::the convenience tag was not pushed";
    vec![
        case(step, "it is pushed")
            .given(answer("docker", Answer::ok()))
            .given(answer("docker", Answer::ok()))
            .calls([tag.clone(), push.clone()])
            .leaves(&[("state", "pushed")]),
        case(step, "its push fails")
            .given(answer("docker", Answer::ok()))
            .given(answer("docker", Answer::fails("denied")))
            .calls([tag.clone(), push])
            .says(warns)
            .leaves(&[("state", "failed")]),
        case(step, "it cannot be made")
            .given(answer("docker", Answer::fails("no such image")))
            .calls([tag])
            .says(warns)
            .leaves(&[("state", "failed")]),
    ]
}
