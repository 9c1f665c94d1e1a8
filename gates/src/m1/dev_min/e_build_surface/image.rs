//! The image: built by the engine out of the context that M1.A looked at, or taken as it is.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use support::ensure;
use support::image::{Build, ImageFacts};
use support::run::check::{Check, Unmet};
use support::run::context::LaneRun;
use support::run::lane::Stop;
use support::run::outcome::RunBasis;
use support::secrets;

use crate::m1::dev_min::a_image_contract::{self, Identity};
use crate::m1::dev_min::source;

/// Bytes of a log that are read.
const LONGEST_LOG: u64 = 64 << 20;

/// As many digits of an id are enough for an engine.
const SHORT_ID: usize = 12;

/// An image, built or taken.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in crate::m1::dev_min) struct Built {
    /// By what name the engine has it.
    pub reference: String,
    /// It was there already.
    pub taken: bool,
    /// Why the build gave none, or why there is none to take.
    pub error: Option<String>,
    /// The end of the build's log.
    pub log: String,
    /// Rules of the secret scan that the whole log met, with the place.
    pub log_hits: Vec<String>,
    /// Of an image that is taken: why the log of its build was not read.
    #[serde(default)]
    pub log_of_another_build: Option<OtherLog>,
    /// Whether this run counts.
    #[serde(default)]
    pub live: bool,
    /// The digest of the context that it was built from.
    pub context_digest: Option<String>,
    /// What it says of itself.
    pub image: Option<ImageFacts>,
}

impl Built {
    /// When the build was completed: now, or when the configuration of an image that is taken says; nothing where that says no time.
    pub(in crate::m1::dev_min) fn completed_at(&self, now: &str) -> Option<String> {
        if !self.taken {
            return Some(now.to_owned());
        }
        let created = self.image.as_ref().and_then(|image| image.created.clone());
        // What builders write that keep no time.
        created.filter(|created| !created.starts_with("0001-") && !created.starts_with("1970-"))
    }
}

/// Why the log of an image's build was not read.
#[derive(Debug, Clone, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub(in crate::m1::dev_min) enum OtherLog {
    /// Nobody said where it lies.
    #[error("PHASEGATE_BUILD_LOG names no file")]
    NotGiven,
    /// It cannot be read.
    #[error("{path}, which PHASEGATE_BUILD_LOG names: {why}")]
    Unreadable {
        /// Where it lies.
        path: String,
        /// What is wrong.
        why: String,
    },
    /// It does not name the image.
    #[error("{path}, which PHASEGATE_BUILD_LOG names, does not name {image}: it is of another build")]
    OfAnother {
        /// Where it lies.
        path: String,
        /// The image's id.
        image: String,
    },
}

pub(super) static BUILT: Check<Built> = Check::<Built>::derived(
    "image.built",
    "build_failed",
    &["built"],
    |built| {
        let next = "`docker pull` the commit's image by its immutable tag, and give PHASEGATE_IMAGE that reference";
        if let Some(error) = built.error.as_ref().filter(|_| built.taken) {
            return Err(Unmet::from(format!("{}: {error}", built.reference)).next(next));
        }
        if built.taken && built.image.is_none() {
            return Err(Unmet::from(format!("the engine has no image {}", built.reference)).next(next));
        }
        if let Some(error) = &built.error {
            return Err(Unmet::from(format!("{}: {error}", built.reference)));
        }
        let Some(image) = &built.image else {
            return Err(Unmet::from(format!("the engine has no image {}", built.reference)));
        };
        ensure!(!image.layers.is_empty(), "{} has no layer", built.reference);
        let how = if built.taken { "taken" } else { "built" };
        Ok(format!("{} {how}: {}, {} layers", built.reference, image.id, image.layers.len()))
    },
    |built| built.image = None,
)
.next("read the build's log in the receipt; where a base image cannot be pulled, set PHASEGATE_BASE_IMAGE to one that the engine has");

pub(super) fn make(run: &mut LaneRun<'_>, identity: &Identity) -> Result<Built, Stop> {
    let engine = run.images()?.engine();
    let info = engine.info();
    run.ask("engine", "docker version", info)?;
    let built = match run.given(source::IMAGE) {
        Some(reference) => take(run, identity, reference)?,
        None => build(run, identity)?,
    };
    run.observe("built", &format!("docker build and docker image inspect {}", built.reference), &built)?;
    Ok(built)
}

fn take(run: &mut LaneRun<'_>, identity: &Identity, reference: &str) -> Result<Built, Stop> {
    let tag = identity.immutable_tag()?;
    let mut built = Built {
        reference: reference.to_owned(),
        taken: true,
        error: None,
        log: String::new(),
        log_hits: Vec::new(),
        log_of_another_build: Some(OtherLog::NotGiven),
        live: run.basis() == RunBasis::Live,
        context_digest: None,
        image: None,
    };
    if !reference.ends_with(&format!(":{tag}")) {
        built.error = Some(format!("it does not bear the immutable tag {tag}"));
        return Ok(built);
    }
    built.image = inspect(run, reference)?;
    if let (Some(path), Some(image)) = (run.given(source::BUILD_LOG), &built.image) {
        match log_of(path, &image.id) {
            Ok(hits) => (built.log_hits, built.log_of_another_build) = (hits, None),
            Err(why) => built.log_of_another_build = Some(why),
        }
    }
    Ok(built)
}

/// What the log of an image's build holds of secrets.
fn log_of(path: &str, image: &str) -> Result<Vec<String>, OtherLog> {
    let unreadable = |why: String| OtherLog::Unreadable { path: path.to_owned(), why };
    let size = std::fs::metadata(path).map_err(|error| unreadable(error.to_string()))?.len();
    if size > LONGEST_LOG {
        return Err(unreadable(format!("it has {size} bytes, and at most {LONGEST_LOG} are read")));
    }
    let log = std::fs::read(path).map_err(|error| unreadable(error.to_string()))?;
    // Builders end with the id of what they made, one of them with its beginning alone.
    let id: String = image.trim_start_matches("sha256:").chars().take(SHORT_ID).collect();
    let text = String::from_utf8_lossy(&log);
    if id.len() < SHORT_ID || !text.contains(&id) {
        return Err(OtherLog::OfAnother { path: path.to_owned(), image: image.to_owned() });
    }
    Ok(secrets::scan_bytes(&log).iter().map(ToString::to_string).collect())
}

fn build(run: &mut LaneRun<'_>, identity: &Identity) -> Result<Built, Stop> {
    let (context, dockerfile) = a_image_contract::context(run)?;
    // A name of its own for each content: another build must not take the image's only name away.
    let content: String = context.0.trim_start_matches("sha256:").chars().take(12).collect();
    let reference = format!("{}:{}-{content}", identity.handle("ECR_REPO_NAME")?, identity.immutable_tag()?);
    let mut args = BTreeMap::from([
        ("GIT_SHA".to_owned(), identity.git_sha()?.to_owned()),
        ("IMAGE_REVISION".to_owned(), identity.git_sha()?.to_owned()),
    ]);
    // What a Dockerfile does not declare, the engine only warns of; so only what it declares is given.
    let declared = a_image_contract::declared_args(run)?;
    if let Some(base) = run.given(source::BASE_IMAGE) {
        args.insert("BASE_IMAGE".to_owned(), base.to_owned());
    }
    args.retain(|name, _| declared.contains(name));
    let (digest, bytes) = context;
    // A rehearsal leaves nothing, and takes no name that a live build left.
    let named = run.basis() == RunBasis::Live;
    let build = Build { context: bytes, dockerfile, reference: reference.clone(), named, args };
    let reply = run.images()?.engine().build(build);
    let reply = match reply {
        Ok(reply) => reply.value,
        Err(error) => return Err(run.unanswered("built", &format!("docker build --tag {reference}"), error)),
    };
    // By its id: the name may be given to another image by now.
    let image = match &reply.image_id {
        Some(id) if reply.error.is_none() => inspect(run, id)?,
        _ => None,
    };
    let log_hits = reply.log_hits.iter().map(ToString::to_string).collect();
    Ok(Built {
        reference,
        taken: false,
        error: reply.error,
        log: reply.log,
        log_hits,
        log_of_another_build: None,
        live: run.basis() == RunBasis::Live,
        context_digest: Some(digest),
        image,
    })
}

/// The image, if the engine has it.
fn inspect(run: &mut LaneRun<'_>, reference: &str) -> Result<Option<ImageFacts>, Stop> {
    use support::substrate::reply::CallErrorKind;
    match run.images()?.engine().inspect(reference) {
        Ok(reply) => Ok(Some(reply.value)),
        Err(error) if error.kind == CallErrorKind::NotFound => Ok(None),
        Err(error) => Err(run.unanswered("built", &format!("docker image inspect {reference}"), error)),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const ID: &str = "sha256:5f1c0f0e2b6a4d0f9f5b1f3f9a9e0a5a2d0f4c115f1c0f0e2b6a4d0f9f5b1f3f";

    #[rstest]
    #[case::by_its_whole_id(
        "#9 writing image sha256:5f1c0f0e2b6a4d0f9f5b1f3f9a9e0a5a2d0f4c115f1c0f0e2b6a4d0f9f5b1f3f done\n",
        Ok(0)
    )]
    #[case::by_its_beginning("Successfully built 5f1c0f0e2b6a\n", Ok(0))]
    #[case::with_a_secret("RUN echo AKIAIOSFODNN7EXAMPLF\nSuccessfully built 5f1c0f0e2b6a\n", Ok(1))]
    #[case::of_another("Successfully built 6f1c0f0e2b6a\n", Err("is of another build"))]
    #[case::empty("", Err("is of another build"))]
    fn a_log_counts_where_it_names_the_image(#[case] log: &str, #[case] found: Result<usize, &str>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("build.log");
        std::fs::write(&path, log).unwrap();
        let read = log_of(path.to_str().unwrap(), ID);
        match (read, found) {
            (Ok(hits), Ok(count)) => assert_eq!(hits.len(), count, "{hits:?}"),
            (Err(why), Err(says)) => assert!(why.to_string().contains(says), "{why}"),
            (read, _) => panic!("{read:?}"),
        }
    }

    #[test]
    fn a_log_that_is_not_there_is_not_read() {
        let why = log_of("/nowhere/build.log", ID).unwrap_err().to_string();
        assert!(why.starts_with("/nowhere/build.log, which PHASEGATE_BUILD_LOG names: "), "{why}");
    }
}
