//! The push: once, under a tag that nobody has, and resolved again by the registry and by ECR.

use serde::{Deserialize, Serialize};
use support::ensure;
use support::image::Registry;
use support::run::check::{Check, Unmet};
use support::run::context::LaneRun;
use support::run::lane::{Step, Stop};
use support::run::outcome::Mode;
use support::substrate::reply::{CallError, CallErrorKind, Reply};
use support::substrate::seed;

use super::image::Built;
use crate::m1::dev_min::a_image_contract::{self, Identity};

/// Asks for the convenience tag too.
pub(super) const CONVENIENCE_TAG: &str = "PHASEGATE_CONVENIENCE_TAG";

const NOT_RESOLVED: &str = "PG-M1.E-digest_unresolved";

/// How often a step may be tried that a broken connection can fail: M1.E allows one retry.
const ATTEMPTS: u32 = 2;

/// What stood under the immutable tag before the push.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Before {
    tag: String,
    /// The digest of the manifest, by the registry and by ECR.
    registry: Option<String>,
    ecr: Option<String>,
    /// The digest of that image's configuration.
    config: Option<String>,
    /// The image that was built now.
    image_id: String,
    /// It was said to be there already.
    taken: bool,
}

impl Before {
    /// Whether what stands there is the image that was built now.
    fn is_the_image(&self) -> bool {
        let known = [self.registry.as_deref(), self.config.as_deref()];
        known.contains(&Some(self.image_id.as_str()))
    }
}

/// How the push went.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Push {
    reference: String,
    /// How often it was tried; 0 where the same image stood there already.
    attempts: u32,
    /// What went wrong, attempt by attempt.
    errors: Vec<String>,
    done: bool,
}

/// What the tag resolves to after the push.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in crate::m1::dev_min) struct Resolved {
    /// The tag.
    pub tag: String,
    /// The repository as ECR names it.
    pub repository_uri: String,
    /// The digest of the manifest, by the registry.
    pub registry: Option<String>,
    /// The same, by ECR.
    pub ecr: Option<String>,
    /// The digest of the image's configuration, by the registry.
    pub config: Option<String>,
    /// The image that was built, or taken.
    pub image_id: String,
    /// What went wrong on the way.
    pub errors: Vec<String>,
}

pub(super) static TAG_FREE: Check<Before> = Check::<Before>::derived(
    "tag.free",
    "tag_reused",
    &["before"],
    |before| {
        let Before { tag, registry, ecr, image_id, taken, .. } = before;
        match (registry, ecr) {
            (None, None) if *taken => Err(Unmet::from(format!(
                "{tag} is in no registry, and the image was to be taken from there"
            ))
            .next("push the image under its immutable tag first, or leave PHASEGATE_IMAGE out, so that the gate builds it")),
            (None, None) => Ok(format!("{tag} was free")),
            (Some(by_registry), Some(by_ecr)) if by_registry != by_ecr => Err(Unmet::from(format!(
                "{tag} is {by_registry} in the registry and {by_ecr} by ECR"
            ))
            .next("find out which of the two is asked about another repository: ECR_REPO_URI, or the registry that stands in")),
            (Some(digest), _) if before.is_the_image() => Ok(format!("{tag} is this image already, as {digest}")),
            (digest, other) => {
                let digest = digest.as_deref().or(other.as_deref()).unwrap_or("-");
                Err(Unmet::from(format!("{tag} stands for {digest} already, and the image built now is {image_id}")))
            }
        }
    },
    |before| {
        // Another image, by everyone who can be asked.
        let other = Some(format!("sha256:{}", "0".repeat(64)));
        (before.registry, before.ecr, before.config) = (other.clone(), other, None);
    },
)
.next("package a new commit: an immutable tag is never given to a second image; find out who built the first");

pub(super) static PUSHED: Check<Push> = Check::<Push>::derived(
    "image.pushed",
    "push_failed",
    &["push"],
    |push| {
        let Push { reference, attempts, errors, done } = push;
        if !done && *attempts == 0 {
            let next =
                "give PHASEGATE_IMAGE the image that is in the registry, by its immutable tag, or let the run commit";
            return Err(Unmet::from(format!("{reference} was not pushed: {}", errors.join("; "))).next(next));
        }
        ensure!(*done, "{reference} was not pushed in {attempts} attempt(s): {}", errors.join("; "));
        ensure!(*attempts <= ATTEMPTS, "{reference} was tried {attempts} times, and {ATTEMPTS} are allowed");
        Ok(format!("{reference} is pushed, {attempts} attempt(s)"))
    },
    |push| push.done = false,
)
.next(
    "read what the registry answered; allow ecr:PutImage and the layer uploads to who builds, then run the gate again",
);

pub(super) static RESOLVED: Check<Resolved> = Check::<Resolved>::derived(
    "digest.resolved",
    "digest_unresolved",
    &["resolved"],
    |resolved| {
        for (who, digest) in [("the registry", &resolved.registry), ("ECR", &resolved.ecr)] {
            let Some(digest) = digest else {
                let said = resolved.errors.join("; ");
                return Err(Unmet::from(format!("{who} resolves {} to nothing: {said}", resolved.tag)));
            };
            ensure!(is_digest(digest), "{who} resolves {} to `{digest}`, which is no digest", resolved.tag);
        }
        Ok(format!("{} is {}", resolved.tag, resolved.registry.as_deref().unwrap_or("-")))
    },
    |resolved| resolved.ecr = Some(String::new()),
)
.next("run `aws ecr describe-images --image-ids imageTag=…` on the repository, and read what it answers");

pub(super) static AGREED: Check<Resolved> = Check::<Resolved>::derived(
    "digest.agreed",
    "digest_mismatch",
    &["resolved"],
    |resolved| {
        let (Some(registry), Some(ecr)) = (&resolved.registry, &resolved.ecr) else {
            return Err(Unmet::blocked_by(NOT_RESOLVED, "there are not two digests to compare"));
        };
        if !is_digest(registry) || !is_digest(ecr) {
            return Err(Unmet::blocked_by(NOT_RESOLVED, "one of the digests is none"));
        }
        ensure!(registry == ecr, "{} is {registry} in the registry and {ecr} by ECR", resolved.tag);
        Ok(format!("registry and ECR agree on {registry}"))
    },
    |resolved| resolved.ecr = Some(format!("sha256:{}", "0".repeat(64))),
)
.next("find out who moved the tag between the push and the look-up; the image that was checked may not be the one that runs");

pub(super) static SAME_IMAGE: Check<Resolved> = Check::<Resolved>::derived(
    "digest.of_this_image",
    "image_differs",
    &["resolved"],
    |resolved| {
        let (Some(registry), Some(config)) = (&resolved.registry, &resolved.config) else {
            return Err(Unmet::blocked_by(NOT_RESOLVED, "the registry has no manifest"));
        };
        ensure!(
            resolved.image_id == *config || resolved.image_id == *registry,
            "the registry has an image {config} under {}, and the one that is checked here is {}",
            resolved.tag,
            resolved.image_id
        );
        Ok(format!("the registry's {registry} is the image {} that is checked here", resolved.image_id))
    },
    |resolved| resolved.image_id = format!("sha256:{}", "0".repeat(64)),
)
.next("take the image from the registry by its digest, or build it again from the commit and push that");

fn is_digest(digest: &str) -> bool {
    let hex = digest.strip_prefix("sha256:").unwrap_or_default();
    hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

pub(super) fn publish(run: &mut LaneRun<'_>, identity: &Identity, built: &Built) -> Step {
    let place = Place::of(run, identity)?;
    let image_id = built.image.as_ref().map(|image| image.id.clone()).unwrap_or_default();
    let before = before(run, &place, &image_id, built.taken)?;
    run.observe("before", &place.lookups(), &before)?;
    run.demand(&TAG_FREE)?;
    let there = before.registry.is_some();
    let push = if there { place.nothing_to_do() } else { push(run, &place, built)? };
    run.observe("push", &format!("docker push {}", place.reference()), &push)?;
    run.demand(&PUSHED)?;
    if run.images()?.stands_in() {
        tell_ecr(run, &place)?;
    }
    let resolved = resolve(run, &place, image_id)?;
    run.observe("resolved", &place.lookups(), &resolved)?;
    match (run.given(CONVENIENCE_TAG), run.mode()) {
        (Some("1"), Mode::Commit) => convenience(run, identity, &place, built)?,
        (Some("1"), _) => run.note("the convenience tag is not pushed: a preflight writes nothing".to_owned()),
        _ => {}
    }
    Ok(())
}

/// Where the image goes.
struct Place {
    registry: Registry,
    credentials: Option<support::image::Credentials>,
    repository: String,
    tag: String,
    uri: String,
}

impl Place {
    fn of(run: &mut LaneRun<'_>, identity: &Identity) -> Result<Self, Stop> {
        let repository = identity.handle("ECR_REPO_NAME")?.to_owned();
        let uri = a_image_contract::repository_uri(run)?;
        let images = run.images()?;
        let registry = images.registry_of(&uri).map_err(|error| Stop::Fault(error.to_string()))?;
        let credentials = if images.stands_in() {
            None
        } else {
            let call = run.world()?.substrate.ecr().credentials();
            Some(call.map_err(|error| run.unanswered("before", "aws ecr get-authorization-token", error))?.value)
        };
        Ok(Self { registry, credentials, repository, tag: identity.immutable_tag()?.to_owned(), uri })
    }

    /// The repository as the engine names it.
    fn name(&self) -> String {
        format!("{}/{}", self.registry.host(), self.repository)
    }

    fn reference(&self) -> String {
        format!("{}:{}", self.uri, self.tag)
    }

    fn lookups(&self) -> String {
        format!("the manifest of {} by the registry, and by aws ecr describe-images", self.reference())
    }

    fn nothing_to_do(&self) -> Push {
        Push { reference: self.reference(), attempts: 0, errors: Vec::new(), done: true }
    }

    fn manifest(&self) -> Result<Reply<support::image::Manifest>, CallError> {
        self.registry.manifest(&self.repository, &self.tag, self.credentials.as_ref())
    }
}

fn before(run: &mut LaneRun<'_>, place: &Place, image_id: &str, taken: bool) -> Result<Before, Stop> {
    let mut errors = Vec::new();
    let manifest = match retried(&mut errors, || place.manifest()) {
        Ok(reply) => Some(reply.value),
        Err(error) if error.kind == CallErrorKind::NotFound => None,
        Err(error) => return Err(run.unanswered("before", "the registry's manifest of the tag", error)),
    };
    let ecr = run.world()?.substrate.ecr();
    let ecr = match retried(&mut errors, || ecr.describe_image_once(&place.repository, &place.tag)) {
        Ok(reply) => Some(reply.value.digest),
        Err(error) if error.kind == CallErrorKind::NotFound => None,
        Err(error) => return Err(run.unanswered("before", "aws ecr describe-images", error)),
    };
    Ok(Before {
        tag: place.tag.clone(),
        config: manifest.as_ref().map(|m| m.config_digest.clone()),
        registry: manifest.map(|m| m.digest),
        ecr,
        image_id: image_id.to_owned(),
        taken,
    })
}

fn push(run: &mut LaneRun<'_>, place: &Place, built: &Built) -> Result<Push, Stop> {
    let mut push = Push { reference: place.reference(), attempts: 0, errors: Vec::new(), done: false };
    if run.mode() == Mode::Preflight {
        push.errors
            .push("a preflight pushes nothing; give PHASEGATE_IMAGE, an image that is in the registry".to_owned());
        return Ok(push);
    }
    let engine = run.images()?.engine();
    let image = built.image.as_ref().map_or(built.reference.as_str(), |image| image.id.as_str());
    if let Err(error) = engine.tag(image, &place.name(), &place.tag) {
        return Err(run.unanswered("push", &format!("docker tag {}", built.reference), error));
    }
    while push.attempts < ATTEMPTS && !push.done {
        push.attempts += 1;
        match engine.push(&place.name(), &place.tag, place.credentials.as_ref()) {
            Ok(_) => push.done = true,
            Err(error) => {
                push.errors.push(error.to_string());
                if !may_pass(&error) {
                    break;
                }
            }
        }
    }
    // The name was for the push alone; the image keeps its own.
    if let Err(error) = engine.untag(&format!("{}:{}", place.name(), place.tag)) {
        run.note(format!("the name of the push stays in the engine: {error}"));
    }
    Ok(push)
}

/// Whether the same call may succeed at once.
fn may_pass(error: &CallError) -> bool {
    matches!(
        error.kind,
        CallErrorKind::Unreachable | CallErrorKind::TimedOut | CallErrorKind::Server | CallErrorKind::Throttled
    )
}

/// ECR knows what is pushed to it. Where another registry stands in for it, it must be told.
fn tell_ecr(run: &mut LaneRun<'_>, place: &Place) -> Step {
    let Ok(manifest) = place.manifest() else { return Ok(()) };
    let told = seed::image_arrived(run.world()?.substrate, &place.repository, &place.tag, &manifest.value.text);
    if let Err(error) = told {
        run.note(format!("ECR could not be told of the push: {error}"));
    }
    Ok(())
}

fn resolve(run: &mut LaneRun<'_>, place: &Place, image_id: String) -> Result<Resolved, Stop> {
    let mut errors = Vec::new();
    let manifest = retried(&mut errors, || place.manifest()).ok().map(|reply| reply.value);
    let ecr = run.world()?.substrate.ecr();
    let by_ecr = retried(&mut errors, || ecr.describe_image_once(&place.repository, &place.tag)).ok();
    Ok(Resolved {
        tag: place.tag.clone(),
        repository_uri: place.uri.clone(),
        config: manifest.as_ref().map(|m| m.config_digest.clone()),
        registry: manifest.map(|m| m.digest),
        ecr: by_ecr.map(|reply| reply.value.digest),
        image_id,
        errors,
    })
}

/// What the tag stands for now, by the registry; nothing where it stands for nothing.
pub(in crate::m1::dev_min) fn resolve_again(
    run: &mut LaneRun<'_>,
    identity: &Identity,
) -> Result<Option<String>, Stop> {
    let place = Place::of(run, identity)?;
    match place.manifest() {
        Ok(reply) => Ok(Some(reply.value.digest)),
        Err(error) if error.kind == CallErrorKind::NotFound => Ok(None),
        Err(error) => Err(run.unanswered("recorded", &place.lookups(), error)),
    }
}

/// The answer of a look-up, with one retry where the connection failed.
fn retried<T>(errors: &mut Vec<String>, mut ask: impl FnMut() -> Result<T, CallError>) -> Result<T, CallError> {
    let mut attempts = 1;
    loop {
        let error = match ask() {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        errors.push(error.to_string());
        if attempts == ATTEMPTS || !may_pass(&error) {
            return Err(error);
        }
        attempts += 1;
    }
}

/// The tag that proves nothing: what becomes of it changes nothing.
fn convenience(run: &mut LaneRun<'_>, identity: &Identity, place: &Place, built: &Built) -> Step {
    let latest = identity.handle("IMAGE_TAG_DEV_MIN_LATEST")?.to_owned();
    let engine = run.images()?.engine();
    let image = built.image.as_ref().map_or(built.reference.as_str(), |image| image.id.as_str());
    let tagged = engine.tag(image, &place.name(), &latest);
    let untagged = tagged.is_ok().then(|| {
        let pushed = engine.push(&place.name(), &latest, place.credentials.as_ref());
        (pushed, engine.untag(&format!("{}:{latest}", place.name())))
    });
    let errors = match (tagged, untagged) {
        (Err(error), _) => vec![error],
        (Ok(_), Some((pushed, untagged))) => pushed.err().into_iter().chain(untagged.err()).collect(),
        (Ok(_), None) => Vec::new(),
    };
    for error in errors {
        run.note(format!("warning: the convenience tag {latest} proves nothing, and not all of it was done: {error}"));
    }
    Ok(())
}
