//! What the image is called: its repository, its immutable tag, and the tag that proves nothing.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use support::ensure;
use support::registry::HandleError;
use support::run::check::{Check, Unmet};
use support::run::clock::Instant;
use support::run::context::LaneRun;
use support::run::finding::Basis;
use support::run::lane::{Step, Stop};
use support::substrate::reply::CallErrorKind;
use support::substrate::{RepositoryInfo, TagMutability};

use crate::m1::dev_min::source::{self, Commit};

const UNRESOLVED: &str = "PG-M1.A-handle_resolved";
const NO_TAG: &str = "PG-M1.A-tag_pattern";
const NO_COMMIT: &str = "PG-M1.A-commit";
const NO_REPOSITORY: &str = "PG-M1.A-repository";

/// The handles of the image contract that have a value in the registry.
pub(in crate::m1::dev_min) const PINNED: [&str; 4] =
    ["ECR_REPO_NAME", "IMAGE_TAG_GIT_SHA_PATTERN", "IMAGE_TAG_DEV_MIN_LATEST", "IMAGE_REFERENCE_MODE"];

/// The tag that M1.A pins, as the registry writes it.
const TAG_PATTERN: &str = "git-{git_sha}";

/// The one whose value ECR says.
const REPOSITORY_URI: &str = "ECR_REPO_URI";

/// What the image is called.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in crate::m1::dev_min) struct Identity {
    /// What each pinned handle resolves to, or why it does not.
    pub handles: BTreeMap<String, Result<String, String>>,
    /// What the registry, or an output, says of the repository's URI; nothing where it is only declared, an error where it has two.
    pub stated_uri: Result<Option<String>, String>,
    /// Whether the registry knows that handle at all.
    pub uri_is_declared: bool,
    /// The commit.
    pub commit: Commit,
    /// The immutable tag, or why there is none.
    pub tag: Result<String, String>,
    /// The run that the image is packaged for.
    pub platform_run_id: Option<String>,
    /// The handles that the plan's freeze record names in its lane.
    pub recorded: BTreeSet<String>,
    /// Every handle of the registry that names an ECR repository.
    pub repositories: BTreeSet<String>,
}

impl Identity {
    /// A pinned handle's value.
    pub(in crate::m1::dev_min) fn handle(&self, name: &str) -> Result<&str, Stop> {
        match self.handles.get(name) {
            Some(Ok(value)) => Ok(value),
            Some(Err(why)) => Err(Stop::Fault(why.clone())),
            None => Err(Stop::Fault(format!("{name} was not looked up"))),
        }
    }

    /// The immutable tag.
    pub(in crate::m1::dev_min) fn immutable_tag(&self) -> Result<&str, Stop> {
        self.tag.as_deref().map_err(|why| Stop::Fault(why.clone()))
    }

    /// The commit.
    pub(in crate::m1::dev_min) fn git_sha(&self) -> Result<&str, Stop> {
        self.commit.agreed().ok_or_else(|| Stop::Fault("the sources have no agreed commit".to_owned()))
    }
}

pub(super) static HANDLES: Check<Identity> = Check::<Identity>::derived(
    "image.handles",
    "handle_resolved",
    &["identity"],
    |identity| {
        let open: Vec<&str> =
            identity.handles.values().filter_map(|value| value.as_ref().err()).map(String::as_str).collect();
        ensure!(open.is_empty(), "{}", open.join("; "));
        ensure!(identity.handles.len() == PINNED.len(), "{} of {} handles", identity.handles.len(), PINNED.len());
        ensure!(identity.uri_is_declared, "the registry does not know {REPOSITORY_URI}");
        for name in PINNED.iter().chain([&REPOSITORY_URI]) {
            ensure!(identity.recorded.contains(*name), "M1.A's freeze record does not name {name}");
        }
        Ok(format!("{} handles pinned, and {REPOSITORY_URI} declared, as M1.A's record maps them", PINNED.len()))
    },
    |identity| {
        identity.handles.insert("ECR_REPO_NAME".to_owned(), Err("doctored".to_owned()));
    },
)
.basis(Basis::Documented)
.next("pin the handle in section 6 of the registry, and name it in M1.A's freeze record");

pub(super) static COMMIT: Check<Identity> = Check::<Identity>::derived(
    "image.commit",
    "commit",
    &["identity"],
    |identity| {
        let commit = &identity.commit;
        if let Some(problem) = &commit.problem {
            return Err(Unmet::from(problem.clone()).next("make `git` work in the sources, then run the gate again"));
        }
        if let (Some(given), Some(head)) = (&commit.given, &commit.head) {
            ensure!(given == head, "the environment says commit {given}, the checkout is at {head}");
        }
        let Some(sha) = commit.agreed() else {
            return Err(Unmet::from("the sources are no git checkout, and nothing says which commit they are"));
        };
        ensure!(
            commit.head.is_some() || commit.may_be_given,
            "the environment says commit {sha}, and the sources are no git checkout that could confirm it"
        );
        ensure!(is_full_sha(sha), "`{sha}` is no full commit id");
        ensure!(
            commit.changed.is_empty(),
            "{} file(s) differ from commit {sha}: {}",
            commit.changed.len(),
            commit.changed.join(", ")
        );
        Ok(format!("the sources are commit {sha}"))
    },
    |identity| identity.commit.given = Some("main".to_owned()),
)
.next("commit what is to be packaged, and build from that checkout; where it is none, set PHASEGATE_GIT_SHA");

pub(super) static RUN_ID: Check<Identity> = Check::<Identity>::derived(
    "image.run_id",
    "run_id",
    &["identity"],
    |identity| {
        let Some(id) = &identity.platform_run_id else {
            return Err(Unmet::from("nothing says which platform run the image is packaged for"));
        };
        let written = id.strip_prefix("platform_").unwrap_or_default();
        let is_instant = Instant::parse(written).is_ok_and(|instant| instant.compact() == written);
        ensure!(is_instant, "`{id}` is no platform run: platform_YYYYMMDDTHHMMSSZ");
        Ok(format!("packaged for {id}"))
    },
    |identity| identity.platform_run_id = None,
)
.next("set PHASEGATE_PLATFORM_RUN_ID to the run that P1 will pin, platform_YYYYMMDDTHHMMSSZ");

pub(super) static TAG: Check<Identity> = Check::<Identity>::derived(
    "image.tag",
    "tag_pattern",
    &["identity"],
    |identity| {
        let Some(Ok(pattern)) = identity.handles.get("IMAGE_TAG_GIT_SHA_PATTERN") else {
            return Err(Unmet::blocked_by(UNRESOLVED, "IMAGE_TAG_GIT_SHA_PATTERN has no value"));
        };
        ensure!(pattern == TAG_PATTERN, "IMAGE_TAG_GIT_SHA_PATTERN is `{pattern}`, and M1.A pins `git-<sha>`");
        let Some(sha) = identity.commit.agreed().filter(|sha| is_full_sha(sha)) else {
            return Err(Unmet::blocked_by(NO_COMMIT, "the commit is not known"));
        };
        let tag = match &identity.tag {
            Ok(tag) => tag,
            Err(why) => return Err(Unmet::from(why.clone())),
        };
        ensure!(
            *tag == pattern.replace("{git_sha}", sha),
            "the pattern `{pattern}` and commit {sha} do not give `{tag}`"
        );
        ensure!(is_tag(tag), "`{tag}` is no tag that a registry takes");
        Ok(format!("the immutable tag is {tag}"))
    },
    |identity| {
        identity.handles.insert("IMAGE_TAG_GIT_SHA_PATTERN".to_owned(), Ok("latest".to_owned()));
    },
)
.next("pin IMAGE_TAG_GIT_SHA_PATTERN as `git-{git_sha}`");

pub(super) static CONVENIENCE: Check<Identity> = Check::<Identity>::derived(
    "image.convenience_tag",
    "mutable_tag",
    &["identity"],
    |identity| {
        let Some(Ok(latest)) = identity.handles.get("IMAGE_TAG_DEV_MIN_LATEST") else {
            return Err(Unmet::blocked_by(UNRESOLVED, "IMAGE_TAG_DEV_MIN_LATEST has no value"));
        };
        let tag = match &identity.tag {
            Ok(tag) => tag,
            Err(why) if identity.commit.agreed().is_none() => return Err(Unmet::blocked_by(NO_COMMIT, why)),
            Err(why) => return Err(Unmet::blocked_by(NO_TAG, why)),
        };
        ensure!(latest != tag, "the convenience tag and the immutable tag are both `{tag}`");
        ensure!(
            !latest.strip_prefix("git-").is_some_and(is_full_sha),
            "the convenience tag `{latest}` has the form of a commit's tag"
        );
        ensure!(is_tag(latest), "`{latest}` is no tag that a registry takes");
        Ok(format!("`{latest}` is a convenience; only `{tag}` proves anything"))
    },
    |identity| {
        let tag = identity.tag.clone();
        identity.handles.insert("IMAGE_TAG_DEV_MIN_LATEST".to_owned(), tag);
    },
)
.next("give IMAGE_TAG_DEV_MIN_LATEST a name that no commit's tag can have");

pub(super) static REFERENCE_MODE: Check<Identity> = Check::<Identity>::derived(
    "image.reference_mode",
    "reference_mode",
    &["identity"],
    |identity| {
        let Some(Ok(mode)) = identity.handles.get("IMAGE_REFERENCE_MODE") else {
            return Err(Unmet::blocked_by(UNRESOLVED, "IMAGE_REFERENCE_MODE has no value"));
        };
        ensure!(
            matches!(mode.as_str(), "immutable_preferred" | "immutable_only"),
            "IMAGE_REFERENCE_MODE is `{mode}`: tasks could be bound to a tag that moves"
        );
        Ok(format!("tasks refer to the image as {mode}"))
    },
    |identity| {
        identity.handles.insert("IMAGE_REFERENCE_MODE".to_owned(), Ok("latest".to_owned()));
    },
)
.basis(Basis::Documented)
.next("pin IMAGE_REFERENCE_MODE = \"immutable_preferred\"");

pub(super) static SINGLE_IMAGE: Check<Identity> = Check::<Identity>::derived(
    "image.single",
    "single_image",
    &["identity"],
    |identity| {
        ensure!(
            identity.repositories.len() == 1,
            "the registry names {} ECR repositories: {}",
            identity.repositories.len(),
            identity.repositories.iter().cloned().collect::<Vec<_>>().join(", ")
        );
        ensure!(
            identity.recorded.contains("ECR_REPO_NAME"),
            "M1.A's freeze record does not name the one repository's handle, ECR_REPO_NAME"
        );
        Ok("one ECR repository for all entrypoints, as M1.A's record says".to_owned())
    },
    |identity| {
        identity.repositories.insert("DOCTORED_ECR_REPO_NAME".to_owned());
    },
)
.basis(Basis::Documented)
.next("keep one ECR repository in the registry; more than one image is another plan");

pub(super) static REPOSITORY: Check<(Identity, Option<RepositoryInfo>)> =
    Check::<(Identity, Option<RepositoryInfo>)>::derived(
        "repository.agrees",
        "repository",
        &["identity", "repository"],
        |(identity, repository)| {
            let Some(repository) = repository else {
                return Err(Unmet::from("ECR has no repository of the name that ECR_REPO_NAME pins"));
            };
            let stated = identity.stated_uri.as_ref().map_err(|why| Unmet::from(why.clone()))?;
            if let Some(stated) = stated {
                ensure!(repository.uri == *stated, "ECR says {}, {REPOSITORY_URI} says {stated}", repository.uri);
            }
            Ok(format!("{REPOSITORY_URI} is {}", repository.uri))
        },
        |(_, repository)| *repository = None,
    )
    .next("create the repository (M2's core stack), or correct ECR_REPO_NAME and ECR_REPO_URI");

pub(super) static IMMUTABLE: Check<Option<RepositoryInfo>> = Check::<Option<RepositoryInfo>>::derived(
    "repository.immutable",
    "repository_immutable",
    &["repository"],
    |repository| {
        let Some(repository) = repository else {
            return Err(Unmet::blocked_by(NO_REPOSITORY, "there is no repository"));
        };
        ensure!(
            repository.tag_mutability == TagMutability::Immutable,
            "tags of {} can be moved ({:?})",
            repository.name,
            repository.tag_mutability
        );
        Ok(format!("{} keeps every tag where it was put", repository.name))
    },
    |repository| {
        if let Some(repository) = repository {
            repository.tag_mutability = TagMutability::Mutable;
        }
    },
)
.next(
    "run `aws ecr put-image-tag-mutability --image-tag-mutability IMMUTABLE` on the repository, or set it in Terraform",
);

fn is_full_sha(sha: &str) -> bool {
    sha.len() == 40 && sha.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

/// A tag by the OCI distribution specification.
fn is_tag(tag: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    tag.len() <= 128
        && tag.bytes().next().is_some_and(word)
        && tag.bytes().all(|byte| word(byte) || byte == b'.' || byte == b'-')
}

pub(super) fn observe(run: &mut LaneRun<'_>) -> Step {
    let value = |name: &str| {
        let resolved = run.handles().resolve(name).map_err(|error| error.to_string())?;
        resolved.text().map(str::to_owned).map_err(|error| error.to_string())
    };
    let handles: BTreeMap<String, Result<String, String>> =
        PINNED.iter().map(|name| ((*name).to_owned(), value(name))).collect();
    let commit = source::commit(run);
    let tag = match (handles.get("IMAGE_TAG_GIT_SHA_PATTERN"), commit.agreed()) {
        (Some(Ok(pattern)), Some(sha)) => run.fill(pattern, &[("git_sha", sha)]).map_err(|stop| match stop {
            Stop::Fault(why) | Stop::By { code: why } => why,
        }),
        _ => Err("pattern or commit is missing".to_owned()),
    };
    let registry = run.handles().registry();
    let identity = Identity {
        stated_uri: match run.handles().resolve(REPOSITORY_URI) {
            Ok(resolved) => resolved.text().map(|text| Some(text.to_owned())).map_err(|error| error.to_string()),
            Err(HandleError::Bare { .. }) => Ok(run.given(REPOSITORY_URI).map(str::to_owned)),
            Err(error) => Err(error.to_string()),
        },
        uri_is_declared: registry.definitions_of(REPOSITORY_URI).next().is_some(),
        commit,
        tag,
        platform_run_id: source::platform_run_id(run),
        recorded: recorded_handles(run),
        repositories: registry
            .definitions
            .iter()
            .filter(|definition| names_a_repository(&definition.name) && definition.name != REPOSITORY_URI)
            .map(|definition| definition.name.clone())
            .collect(),
        handles,
    };
    let source = format!("{}, the plan's M1.A, the sources and the environment", run.documents().registry_path);
    run.observe("identity", &source, &identity)
}

/// Whether a handle is about a repository of ECR: `ECR_REPO_NAME`, `ECR_ORACLE_REPO_NAME`.
fn names_a_repository(handle: &str) -> bool {
    let has = |word: &str| handle.split('_').any(|part| part == word);
    has("ECR") && (has("REPO") || has("REPOSITORY"))
}

/// The handles that M1.A's records name.
fn recorded_handles(run: &LaneRun<'_>) -> BTreeSet<String> {
    let records = run.plan().records.iter().filter(|record| record.lane.as_deref() == Some("M1.A"));
    let entries = records.flat_map(|record| &record.entries);
    let texts =
        entries.flat_map(|entry| std::iter::once(entry).chain(entry.all_below())).map(|entry| entry.text.as_str());
    let registry = run.handles().registry();
    texts
        .flat_map(|text| text.split(|c: char| !(c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')))
        .filter(|word| registry.definitions_of(word).next().is_some())
        .map(str::to_owned)
        .collect()
}

pub(super) fn ask_ecr(run: &mut LaneRun<'_>, identity: &Identity) -> Step {
    let name = identity.handle("ECR_REPO_NAME")?.to_owned();
    let call = format!("aws ecr describe-repositories --repository-names {name}");
    match run.world()?.substrate.ecr().describe_repositories(&[&name]) {
        Ok(reply) => run.observe("repository", &call, &reply.value.into_iter().next()),
        Err(error) if error.kind == CallErrorKind::NotFound => {
            run.observe("repository", &call, &None::<RepositoryInfo>)
        }
        Err(error) => Err(run.unanswered("repository", &call, error)),
    }
}
