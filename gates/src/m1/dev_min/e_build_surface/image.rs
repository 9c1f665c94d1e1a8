//! The image: built by the engine out of the context that M1.A looked at, or taken as it is.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use support::ensure;
use support::image::{Build, ImageFacts};
use support::run::check::{Check, Unmet};
use support::run::context::LaneRun;
use support::run::lane::Stop;
use support::run::outcome::RunBasis;

use crate::m1::dev_min::a_image_contract::{self, Identity};
use crate::m1::dev_min::source;

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
    /// The digest of the context that it was built from.
    pub context_digest: Option<String>,
    /// What it says of itself.
    pub image: Option<ImageFacts>,
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
        context_digest: None,
        image: None,
    };
    if !reference.ends_with(&format!(":{tag}")) {
        built.error = Some(format!("it does not bear the immutable tag {tag}"));
        return Ok(built);
    }
    built.image = inspect(run, reference)?;
    Ok(built)
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
