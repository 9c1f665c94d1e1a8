//! M1.A: one image, one immutable tag, and a build context that holds what the manifest asks and nothing else.

mod contents;
mod identity;

use support::run::check::{AnyCheck, Proof};
use support::run::context::LaneRun;
use support::run::lane::{Lane, Step, Stop};
use support::substrate::RepositoryInfo;

use self::contents::{EXCLUDED, INCLUDED, NO_WHOLE_COPY, SOURCES};
use self::identity::{COMMIT, CONVENIENCE, HANDLES, IMMUTABLE, REFERENCE_MODE, REPOSITORY, RUN_ID, SINGLE_IMAGE, TAG};
use super::source;

pub(super) use self::contents::Contents;
pub(super) use self::identity::{Identity, PINNED};

/// The lane.
pub(super) fn lane() -> Lane {
    Lane::new("M1.A", execute)
        .rests_on("contract freeze record")
        .rests_on("manifest")
        .documents(read_documents)
        .asked_again()
        .may_be_given(source::SOURCE)
        .may_be_given(source::GIT_SHA)
        .may_be_given(source::GITHUB_SHA)
        .may_be_given(source::PLATFORM_RUN_ID)
        .may_be_given("S3_EVIDENCE_BUCKET")
        .may_be_given("ECR_REPO_URI")
        .proves(
            "one image under one immutable tag of its commit; the context holds what the manifest asks, and no more",
        )
        .checks([
            &HANDLES as &dyn AnyCheck,
            &COMMIT,
            &RUN_ID,
            &TAG,
            &CONVENIENCE,
            &REFERENCE_MODE,
            &SINGLE_IMAGE,
            &SOURCES,
            &INCLUDED,
            &EXCLUDED,
            &NO_WHOLE_COPY,
            &REPOSITORY,
            &IMMUTABLE,
        ])
        .requirement("single-image", [SINGLE_IMAGE.holds(), REPOSITORY.holds()])
        .requirement("immutable-tag", [HANDLES.holds(), TAG.holds(), COMMIT.holds(), RUN_ID.holds(), IMMUTABLE.holds()])
        .requirement(
            "mutable-tag-not-authoritative",
            [CONVENIENCE.holds(), CONVENIENCE.refusal(), REFERENCE_MODE.holds()],
        )
}

/// `image_contract_held`.
pub(super) fn held() -> Vec<Proof> {
    vec![Proof::Lane("M1.A")]
}

/// What must be so before anything is built.
pub(super) fn entry() -> Vec<&'static dyn AnyCheck> {
    vec![&HANDLES, &COMMIT, &RUN_ID, &TAG, &SOURCES]
}

fn read_documents(run: &mut LaneRun<'_>) -> Step {
    identity::observe(run)?;
    contents::observe(run)
}

fn execute(run: &mut LaneRun<'_>) -> Step {
    let identity: Identity = run.fact("identity")?;
    identity::ask_ecr(run, &identity)
}

/// The identity that later lanes build, push and record.
pub(super) fn accepted(run: &LaneRun<'_>) -> Result<Identity, Stop> {
    run.fact("M1.A/identity")
}

/// The context's digest, its tar, and the Dockerfile's path in it, as this lane looked at them.
pub(super) fn context(run: &LaneRun<'_>) -> Result<((String, Vec<u8>), String), Stop> {
    contents::context(run)
}

/// The build arguments that the Dockerfile declares.
pub(super) fn declared_args(run: &LaneRun<'_>) -> Result<std::collections::BTreeSet<String>, Stop> {
    run.fact::<Contents>("M1.A/contents").map(|contents| contents.args)
}

/// The repository's URI, as ECR states it.
pub(super) fn repository_uri(run: &LaneRun<'_>) -> Result<String, Stop> {
    let repository: Option<RepositoryInfo> = run.fact("M1.A/repository")?;
    repository.map(|r| r.uri).ok_or_else(|| Stop::Fault("ECR has no repository".to_owned()))
}
