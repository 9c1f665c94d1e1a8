//! M1's image provenance: sealed, complete, of an immutable tag, and what ECR has.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use support::ensure;
use support::run::check::{Check, Unmet};
use support::run::context::LaneRun;
use support::run::lane::Stop;
use support::run::rows::{Output, RowOutput};
use support::substrate::ImageInfo;
use support::substrate::reply::CallErrorKind;

use super::M1_PROVENANCE;

const PROVENANCE_UNREADABLE: &str = "PG-M3.A-provenance_readable";

/// M1's provenance of the image, as its sealed evidence says it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(in crate::m3::dev_min) struct Provenance {
    pub key: String,
    pub platform_run_id: Option<String>,
    pub image_tag: Option<String>,
    pub image_digest: Option<String>,
    pub git_sha: Option<String>,
    pub tag_of_git_sha: Option<String>,
    pub asked_run: String,
}

pub(super) static PROVENANCE_READABLE: Check<(RowOutput, Provenance)> = Check::<(RowOutput, Provenance)>::derived(
    "provenance.readable",
    "provenance_readable",
    &[M1_PROVENANCE, "m1_provenance"],
    |(row, provenance)| {
        let keys = match row.runs.first().map(|run| &run.output) {
            Some(Output::Objects { keys, .. }) => keys,
            Some(Output::Absent { what }) => return Err(Unmet::from(format!("{what} does not exist"))),
            _ => return Err(Unmet::from("M1's evidence prefix was not listed")),
        };
        ensure!(keys.contains(&provenance.key), "{} is not among the {} object(s) there", provenance.key, keys.len());
        for (field, value) in [
            ("image_tag", &provenance.image_tag),
            ("image_digest", &provenance.image_digest),
            ("git_sha", &provenance.git_sha),
            ("platform_run_id", &provenance.platform_run_id),
        ] {
            ensure!(
                value.as_deref().is_some_and(|v| !v.is_empty()),
                "{}: `{field}` is missing or no text",
                provenance.key
            );
        }
        let run = provenance.platform_run_id.as_deref().unwrap_or("-");
        ensure!(run == provenance.asked_run, "{}: it is of run {run}, not of {}", provenance.key, provenance.asked_run);
        Ok(format!("{} is there and complete", provenance.key))
    },
    |(_, provenance)| provenance.image_digest = None,
)
.next("publish packaging_provenance.json of M1, or correct the run in the provenance row of the closure matrix");

pub(super) static PROVENANCE_TAG: Check<Provenance> = Check::<Provenance>::derived(
    "provenance.tag_is_of_git_sha",
    "provenance_tag",
    &["m1_provenance"],
    |provenance| {
        let (Some(tag), Some(sha)) = (&provenance.image_tag, &provenance.git_sha) else {
            return Err(Unmet::blocked_by(PROVENANCE_UNREADABLE, "image_tag or git_sha is missing"));
        };
        let hex = sha.len() == 40 && sha.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        ensure!(hex, "git_sha `{sha}` is no full commit id");
        let asked = provenance.tag_of_git_sha.as_deref().unwrap_or("-");
        ensure!(tag == asked, "image_tag is `{tag}`, IMAGE_TAG_GIT_SHA_PATTERN gives `{asked}`");
        Ok(format!("{tag} is the immutable tag of {sha}"))
    },
    |provenance| provenance.image_tag = Some("dev-min-latest".to_owned()),
)
.next("take the image fields from M1's sealed evidence of the immutable tag; a mutable tag proves nothing");

pub(super) static PROVENANCE_DIGEST: Check<(Provenance, Option<ImageInfo>)> =
    Check::<(Provenance, Option<ImageInfo>)>::derived(
        "provenance.digest_agrees_with_ecr",
        "provenance_digest",
        &["m1_provenance", "ecr_image"],
        |(provenance, image)| {
            let (Some(tag), Some(digest)) = (&provenance.image_tag, &provenance.image_digest) else {
                return Err(Unmet::blocked_by(PROVENANCE_UNREADABLE, "image_tag or image_digest is missing"));
            };
            let Some(image) = image else {
                return Err(Unmet::from(format!("ecr describe-images finds no image of the tag {tag}")));
            };
            ensure!(image.tags.contains(tag), "ECR's image {} does not carry the tag {tag}", image.digest);
            ensure!(image.digest == *digest, "ECR has {tag} as {}, M1 recorded {digest}", image.digest);
            Ok(format!("{tag} is {digest} in ECR, as M1 recorded"))
        },
        |(_, image)| {
            if let Some(image) = image {
                image.digest = format!("sha256:{}", "0".repeat(64));
            }
        },
    )
    .next("find out who moved the tag; package again under a new commit if the image is not the one that M1 proved");

/// The run that the closure matrix names as the source of image provenance.
pub(super) fn provenance_run(run: &LaneRun<'_>) -> Result<String, Stop> {
    let named: BTreeSet<String> = run
        .plan()
        .matrices
        .iter()
        .filter(|row| row.verification.iter().any(|id| id == M1_PROVENANCE))
        .filter_map(|row| row.source.split("/evidence/runs/").nth(1)?.split('/').next().map(str::to_owned))
        .collect();
    let mut named = named.into_iter();
    match (named.next(), named.next()) {
        (Some(only), None) => Ok(only),
        (None, _) => Err(Stop::Fault(format!(
            "no row of the closure matrix that is verified by {M1_PROVENANCE} names s3://…/evidence/runs/<run>/P(-1)/; add it"
        ))),
        (Some(one), Some(other)) => Err(Stop::Fault(format!(
            "the closure matrix names two runs as the image's provenance, {one} and {other}; keep one"
        ))),
    }
}

pub(super) fn read_provenance(
    run: &mut LaneRun<'_>,
    row: &RowOutput,
    bucket: &str,
    asked_run: String,
) -> Result<Provenance, Stop> {
    let prefix = match row.runs.first().map(|r| &r.output) {
        Some(Output::Objects { prefix, .. }) => prefix.clone(),
        _ => String::new(),
    };
    let mut provenance =
        Provenance { key: format!("{prefix}packaging_provenance.json"), asked_run, ..Provenance::default() };
    let listed = matches!(row.runs.first().map(|r| &r.output), Some(Output::Objects { keys, .. }) if keys.contains(&provenance.key));
    if !listed {
        return Ok(provenance);
    }
    let body: Value = run.follow_up_json(M1_PROVENANCE, "packaging_provenance", bucket, &provenance.key)?;
    let field = |handle: &str| -> Result<Option<String>, Stop> {
        let name = run.text(handle)?;
        Ok(body.get(&name).and_then(Value::as_str).map(str::to_owned))
    };
    provenance.image_tag = field("IMAGE_TAG_EVIDENCE_FIELD")?;
    provenance.image_digest = field("IMAGE_DIGEST_EVIDENCE_FIELD")?;
    provenance.git_sha = field("IMAGE_GIT_SHA_EVIDENCE_FIELD")?;
    provenance.platform_run_id = field("FIELD_PLATFORM_RUN_ID")?;
    if let Some(sha) = &provenance.git_sha {
        let pattern = run.text("IMAGE_TAG_GIT_SHA_PATTERN")?;
        provenance.tag_of_git_sha = Some(run.fill(&pattern, &[("git_sha", sha)])?);
    }
    Ok(provenance)
}

pub(super) fn look_up_image(run: &mut LaneRun<'_>, provenance: &Provenance) -> Result<Option<ImageInfo>, Stop> {
    let Some(tag) = &provenance.image_tag else { return Ok(None) };
    let repository = run.text("ECR_REPO_NAME")?;
    let reply = run.world()?.substrate.ecr().describe_image(&repository, tag);
    let call = format!("aws ecr describe-images --repository-name {repository} --image-ids imageTag={tag}");
    match reply {
        // The row itself had its answer; only the image has none.
        Err(error) if error.kind != CallErrorKind::NotFound => Err(run.unanswered("ecr_image", &call, error)),
        reply => run.follow_up(M1_PROVENANCE, "ecr_image", &call, reply),
    }
}
