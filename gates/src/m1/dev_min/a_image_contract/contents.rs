//! What the image is made of: the build context against the plan's manifest, and what the Dockerfile takes out of it.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use support::ensure;
use support::image::dockerfile::{Source, Transfer, VariableKind, Verb};
use support::image::{Context, Dockerfile, Kind};
use support::plan::RecordEntry;
use support::run::check::{Check, Unmet};
use support::run::context::LaneRun;
use support::run::lane::{Step, Stop};

use crate::m1::dev_min::{g_workflow, source};

const UNREADABLE: &str = "PG-M1.A-sources";

/// What the engine is always sent, whatever the manifest says: it reads them, and no instruction copies them.
const ALWAYS_SENT: [&str; 1] = [".dockerignore"];

/// How many paths stand in a message.
const NAMED: usize = 8;

/// The contents of the image.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(in crate::m1::dev_min) struct Contents {
    /// The Dockerfile's path in the sources.
    pub dockerfile: String,
    /// Why context or Dockerfile could not be read.
    pub problem: Option<String>,
    /// Paths that are sent, with their digests where they are files.
    pub sent: Vec<(String, Option<String>)>,
    /// The digest of all that is sent.
    pub context_digest: String,
    /// The plan's manifest; nothing where it has none.
    pub manifest: Option<Manifest>,
    /// What the Dockerfile takes out of the context, with the line.
    pub copied: Vec<(String, usize)>,
    /// Instructions that take the whole context, with the line.
    pub whole: Vec<String>,
    /// What the Dockerfile takes out of other images, with the line.
    pub foreign: Vec<String>,
    /// Files below the manifest's folders that are not sent, although nothing of it keeps them out.
    pub unsent: Vec<String>,
    /// Files of the context that the Dockerfile copies into the image as they are, with their digests.
    pub into_image: Vec<(String, String)>,
    /// Files that are sent and that git does not look at.
    pub unseen: Vec<String>,
    /// The plan asks for a manifest elsewhere, so that it must have one.
    pub must_have_manifest: bool,
    /// The names of the Dockerfile's build arguments.
    pub args: BTreeSet<String>,
    /// Its instructions, by line, as far as they set or copy something.
    pub instructions: Vec<usize>,
    /// Secret literals in it, without their values.
    pub literals: Vec<String>,
    /// Files of the context that are a secret's by their name or content, without values.
    pub secrets: Vec<String>,
}

/// What the plan wants sent, and what not.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(in crate::m1::dev_min) struct Manifest {
    include: BTreeSet<String>,
    exclude: BTreeSet<String>,
}

impl Manifest {
    fn includes(&self, path: &str) -> bool {
        self.include.iter().any(|include| is_within(path, include))
    }

    /// The entry that keeps a path out.
    pub(in crate::m1::dev_min) fn keeps_out(&self, path: &str) -> Option<&str> {
        self.exclude.iter().map(String::as_str).find(|pattern| is_kept_out(path, pattern))
    }
}

/// Whether a path is what an entry names, or lies below it.
fn is_within(path: &str, include: &str) -> bool {
    match include.strip_suffix('/') {
        Some(folder) => path.trim_end_matches('/') == folder || path.starts_with(include),
        None => path == include,
    }
}

/// With a slash, an entry is a path from the root; else it is a name at any depth, `*` for any end of it.
fn is_kept_out(path: &str, pattern: &str) -> bool {
    if pattern.contains('/') {
        let pattern = pattern.trim_end_matches('/');
        return path == pattern || path.starts_with(&format!("{pattern}/"));
    }
    path.split('/').any(|part| match pattern.strip_suffix('*') {
        Some(beginning) => part.starts_with(beginning),
        None => part == pattern,
    })
}

pub(super) static SOURCES: Check<Contents> = Check::<Contents>::derived(
    "sources.readable",
    "sources",
    &["contents"],
    |contents| {
        if let Some(problem) = &contents.problem {
            return Err(Unmet::from(problem.clone()));
        }
        ensure!(!contents.sent.is_empty(), "the build context is empty");
        let unseen: Vec<&str> = contents.unseen.iter().map(String::as_str).collect();
        if !unseen.is_empty() {
            let why = format!("sent, and git does not look at them, so that no commit says what they are: {}", few(&unseen));
            return Err(Unmet::from(why).next(
                "commit the files, or keep them out by .dockerignore; `git update-index --no-assume-unchanged --no-skip-worktree` shows them again",
            ));
        }
        Ok(format!("{} paths are sent, context {}", contents.sent.len(), contents.context_digest))
    },
    |contents| contents.problem = Some("doctored".to_owned()),
)
.next("put the Dockerfile where IMAGE_DOCKERFILE_PATH says; PHASEGATE_SOURCE names the checkout, where it is not the plan's");

pub(super) static INCLUDED: Check<Contents> = Check::<Contents>::derived(
    "contents.included",
    "manifest_include",
    &["contents"],
    |contents| {
        let Some(manifest) = asked(contents)? else {
            ensure!(!contents.must_have_manifest, "M1.E asks for M1.A's manifest of contents, and M1.A has none");
            return Ok(NO_MANIFEST.to_owned());
        };
        ensure!(!manifest.include.is_empty(), "M1.A's manifest includes nothing");
        let there = |include: &&String| {
            let mut files = contents.sent.iter().filter(|(_, digest)| digest.is_some());
            files.any(
                |(path, _)| if include.ends_with('/') { path.starts_with(include.as_str()) } else { path == *include },
            )
        };
        let missing: Vec<&str> = manifest.include.iter().filter(|i| !there(i)).map(String::as_str).collect();
        ensure!(missing.is_empty(), "in the manifest and not sent: {}", few(&missing));
        let unsent: Vec<&str> = contents.unsent.iter().map(String::as_str).collect();
        ensure!(unsent.is_empty(), "below the manifest's folders and not sent: {}", few(&unsent));
        Ok(format!("{} entries of the manifest, each in the context", manifest.include.len()))
    },
    |contents| {
        contents.manifest.get_or_insert_default().include.insert("doctored.txt".to_owned());
    },
)
.next("add the path to the sources and let .dockerignore send it, or take it out of M1.A's manifest");

pub(super) static EXCLUDED: Check<Contents> = Check::<Contents>::derived(
    "contents.excluded",
    "manifest_exclude",
    &["contents"],
    |contents| {
        let Some(manifest) = asked(contents)? else {
            return if contents.must_have_manifest {
                Err(Unmet::blocked_by("PG-M1.A-manifest_include", "there is no manifest to hold the context to"))
            } else {
                Ok(NO_MANIFEST.to_owned())
            };
        };
        ensure!(!manifest.exclude.is_empty(), "M1.A's manifest keeps nothing out");
        let sent = || contents.sent.iter().map(|(path, _)| path.as_str());
        let kept_out: Vec<&str> = sent().filter(|path| manifest.keeps_out(path).is_some()).collect();
        ensure!(kept_out.is_empty(), "kept out by the manifest, and sent: {}", few(&kept_out));
        let needed = |path: &&str| *path == contents.dockerfile || ALWAYS_SENT.contains(path);
        // A folder is sent for what lies in it.
        let folder = |path: &str| {
            manifest.include.iter().any(|include| include.starts_with(&format!("{}/", path.trim_end_matches('/'))))
        };
        let outside: Vec<&str> =
            sent().filter(|path| !needed(path) && !manifest.includes(path) && !folder(path)).collect();
        ensure!(outside.is_empty(), "sent, and not in the manifest: {}", few(&outside));
        Ok(format!("{} paths are sent, none beyond the manifest", contents.sent.len()))
    },
    |contents| {
        contents.manifest.get_or_insert_default().exclude.insert(".env".to_owned());
        contents.sent.push((".env".to_owned(), None));
    },
)
.next("keep the path out by .dockerignore: deny everything, then allow the manifest's entries");

pub(super) static NO_WHOLE_COPY: Check<Contents> = Check::<Contents>::derived(
    "contents.copied",
    "whole_copy",
    &["contents"],
    |contents| {
        let manifest = asked(contents)?;
        let whole: Vec<&str> = contents.whole.iter().map(String::as_str).collect();
        ensure!(whole.is_empty(), "the whole context is copied: {}", few(&whole));
        ensure!(!contents.copied.is_empty(), "{} copies nothing", contents.dockerfile);
        let foreign: Vec<&str> = contents.foreign.iter().map(String::as_str).collect();
        ensure!(foreign.is_empty(), "taken out of other images, of which no manifest speaks: {}", few(&foreign));
        if let Some(manifest) = manifest {
            let outside: Vec<String> = contents
                .copied
                .iter()
                .filter(|(path, _)| !manifest.includes(path))
                .map(|(path, line)| format!("{path} (line {line})"))
                .collect();
            let outside: Vec<&str> = outside.iter().map(String::as_str).collect();
            ensure!(outside.is_empty(), "copied, and not an entry of the manifest: {}", few(&outside));
            let bare = |path: &str| path.trim_end_matches('/').to_owned();
            let copied: BTreeSet<String> = contents.copied.iter().map(|(path, _)| bare(path)).collect();
            let left: Vec<&str> = manifest
                .include
                .iter()
                .filter(|include| !copied.contains(&bare(include)))
                .map(String::as_str)
                .collect();
            ensure!(
                left.is_empty(),
                "required by the manifest, and not copied by {}: {}",
                contents.dockerfile,
                few(&left)
            );
        }
        Ok(format!("{} sources are copied, path by path", contents.copied.len()))
    },
    |contents| contents.whole.push("COPY . . (line 0)".to_owned()),
)
.next("copy the manifest's entries one by one; `COPY . .` takes whatever lies there");

const NO_MANIFEST: &str = "the plan has no manifest of contents; what is sent is recorded";

fn asked(contents: &Contents) -> Result<Option<&Manifest>, Unmet> {
    match &contents.problem {
        Some(_) => Err(Unmet::blocked_by(UNREADABLE, "context or Dockerfile cannot be read")),
        None => Ok(contents.manifest.as_ref()),
    }
}

fn few(paths: &[&str]) -> String {
    let named: Vec<&str> = paths.iter().take(NAMED).copied().collect();
    let more = paths.len().saturating_sub(NAMED);
    if more == 0 { named.join(", ") } else { format!("{}, and {more} more", named.join(", ")) }
}

/// Where context and Dockerfile are.
struct Place {
    context: std::path::PathBuf,
    dockerfile: String,
}

fn place(run: &LaneRun<'_>) -> Result<Place, String> {
    let text = |stop: Stop| match stop {
        Stop::Fault(why) | Stop::By { code: why } => why,
    };
    let build_path = run.text("IMAGE_BUILD_PATH").map_err(text)?;
    let dockerfile = run.text("IMAGE_DOCKERFILE_PATH").map_err(text)?;
    for (name, path) in [("IMAGE_BUILD_PATH", &build_path), ("IMAGE_DOCKERFILE_PATH", &dockerfile)] {
        if !source::stays_inside(path) {
            return Err(format!("{name} is `{path}`, which leads out of the sources"));
        }
    }
    let sources = source::folder(run);
    if !sources.join(&dockerfile).is_file() {
        return Err(format!("the sources have no file {dockerfile}, which IMAGE_DOCKERFILE_PATH names"));
    }
    let context = sources.join(&build_path);
    // The engine knows the Dockerfile by its path in the context.
    let inside = sources.join(&dockerfile);
    let inside =
        inside.strip_prefix(&context).map_err(|_| format!("{dockerfile} is not in the context {build_path}"))?;
    Ok(Place { dockerfile: inside.to_string_lossy().into_owned(), context })
}

pub(super) fn observe(run: &mut LaneRun<'_>) -> Step {
    let contents = look(run).unwrap_or_else(|problem| Contents { problem: Some(problem), ..Contents::default() });
    run.observe("contents", "the build context as the engine is sent it; the Dockerfile; M1.A's manifest", &contents)
}

fn look(run: &LaneRun<'_>) -> Result<Contents, String> {
    let place = place(run)?;
    let context = Context::of_build(&place.context, &place.dockerfile).map_err(|error| error.to_string())?;
    let dockerfile = Dockerfile::read(&place.context.join(&place.dockerfile)).map_err(|error| error.to_string())?;
    let own = |error: &dyn std::fmt::Display| error.to_string();
    let secrets = context.secret_files().map_err(|error| own(&error))?;
    let of_context = || dockerfile.transfers.iter().filter(|transfer| transfer.from().is_none());
    let taken = |source: &Source| match source {
        Source::Path { path, .. } => Some(normal(path)),
        Source::Remote { url } => Some(url.clone()),
        Source::HereDocument => None,
    };
    let arguments = dockerfile.variables.iter().filter(|variable| variable.kind == VariableKind::Arg);
    let literals = dockerfile
        .secret_literals()
        .iter()
        .map(|it| format!("line {}: {:?} {} ({})", it.line, it.kind, it.name, it.rule));
    let hits = dockerfile.hits.iter().map(ToString::to_string);
    let mounted = dockerfile
        .mounts
        .iter()
        .filter(|mount| mount.whole_context)
        .map(|mount| format!("RUN --mount (line {})", mount.line));
    let whole = dockerfile.whole_context().map(|transfer| format!("{:?} (line {})", transfer.verb, transfer.line));
    let foreign = dockerfile.foreign().into_iter().map(|(image, line)| format!("{image} (line {line})"));
    let manifest = manifest(run);
    let unsent = unsent(&place, &context, manifest.as_ref())?;
    Ok(Contents {
        into_image: into_image(&context, &dockerfile, manifest.as_ref()),
        sent: context.entries().iter().map(|entry| (entry.path.clone(), entry.sha256.clone())).collect(),
        context_digest: context.digest().to_owned(),
        unseen: unseen(run, &place, &context),
        must_have_manifest: run.plan().lanes.iter().any(|lane| lane.id == g_workflow::LANE),
        foreign: foreign.collect(),
        unsent,
        manifest,
        copied: of_context()
            .flat_map(|transfer| transfer.sources.iter().filter_map(taken).map(|path| (path, transfer.line)))
            .collect(),
        whole: whole.chain(mounted).collect(),
        args: arguments.map(|variable| variable.name.clone()).collect(),
        instructions: dockerfile.stages.iter().map(|stage| stage.line).collect(),
        literals: literals.chain(hits).collect(),
        secrets: secrets.iter().map(ToString::to_string).collect(),
        problem: None,
        dockerfile: place.dockerfile,
    })
}

/// The files below the manifest's folders that the context lacks. What the manifest keeps out and compiled files may be lacking.
fn unsent(place: &Place, context: &Context, manifest: Option<&Manifest>) -> Result<Vec<String>, String> {
    let Some(manifest) = manifest else { return Ok(Vec::new()) };
    let sent: BTreeSet<&str> = context.entries().iter().map(|entry| entry.path.as_str()).collect();
    let mut unsent = Vec::new();
    for folder in manifest.include.iter().filter(|include| include.ends_with('/')) {
        let below = place.context.join(folder);
        if !below.is_dir() {
            continue;
        }
        let files = Context::of_folder(&below).map_err(|error| error.to_string())?;
        let paths = files.entries().iter().filter(|entry| entry.sha256.is_some());
        let paths = paths.map(|entry| format!("{folder}{}", entry.path));
        unsent.extend(paths.filter(|path| {
            !sent.contains(path.as_str()) && manifest.keeps_out(path).is_none() && !path.ends_with(".pyc")
        }));
    }
    Ok(unsent)
}

/// The files that the manifest includes, and those that plain `COPY`s of the last stage take: an earlier stage's other ones need not be in
/// the image.
fn into_image(context: &Context, dockerfile: &Dockerfile, manifest: Option<&Manifest>) -> Vec<(String, String)> {
    let last = dockerfile.stages.last().map_or(0, |stage| stage.line);
    let plain = |transfer: &&Transfer| {
        let as_it_is = transfer.flags.iter().all(|flag| flag.name != "exclude" && flag.name != "from");
        transfer.verb == Verb::Copy && transfer.line > last && !transfer.on_build && as_it_is
    };
    let sources = dockerfile.transfers.iter().filter(plain).flat_map(|transfer| &transfer.sources);
    let taken: Vec<String> = sources
        .filter_map(|source| match source {
            Source::Path { path, open: false, .. } => Some(normal(path).trim_end_matches('/').to_owned()),
            _ => None,
        })
        .collect();
    let is_taken = |path: &str| {
        manifest.is_some_and(|manifest| manifest.includes(path) && !ALWAYS_SENT.contains(&path))
            || taken
                .iter()
                .any(|from| path == from || path.strip_prefix(from.as_str()).is_some_and(|rest| rest.starts_with('/')))
    };
    let files = context.entries().iter().filter(|entry| entry.kind == Kind::File && is_taken(&entry.path));
    files.filter_map(|entry| Some((entry.path.clone(), entry.sha256.clone()?))).collect()
}

/// The files that are sent and that git does not look at; its paths are those of the sources, not of the context.
fn unseen(run: &LaneRun<'_>, place: &Place, context: &Context) -> Vec<String> {
    let sources = source::folder(run);
    let full = |path: &str| {
        let full = place.context.join(path);
        let inside = full.strip_prefix(&sources).unwrap_or(&full).components().as_path();
        source::plain(inside)
    };
    let paths: Vec<String> = context.entries().iter().map(|entry| full(&entry.path)).collect();
    let commit = source::commit(run);
    commit.unseen_among(paths.iter().map(String::as_str)).into_iter().map(str::to_owned).collect()
}

fn normal(path: &str) -> String {
    path.trim_start_matches("./").trim_start_matches('/').to_owned()
}

/// M1.A's manifest, where the plan has one: the entries that name what is included and what is kept out.
fn manifest(run: &LaneRun<'_>) -> Option<Manifest> {
    let record = run.plan().records_about("M1.A", "manifest").next()?;
    let named = |word: &str| -> BTreeSet<String> {
        let entry = record.entries.iter().find(|entry| entry.text.to_ascii_lowercase().contains(word));
        let below = entry.map(RecordEntry::all_below).unwrap_or_default();
        below.iter().flat_map(|entry| entry.code()).map(str::to_owned).collect()
    };
    Some(Manifest { include: named("include"), exclude: named("exclude") })
}

/// The context's digest, its tar, and the Dockerfile's path in it; refused where it is no longer what was looked at.
pub(super) fn context(run: &LaneRun<'_>) -> Result<((String, Vec<u8>), String), Stop> {
    let seen: Contents = run.fact("M1.A/contents")?;
    let fault = |error: &dyn std::fmt::Display| Stop::Fault(error.to_string());
    let place = place(run).map_err(Stop::Fault)?;
    let context = Context::of_build(&place.context, &place.dockerfile).map_err(|error| fault(&error))?;
    if context.digest() != seen.context_digest {
        return Err(Stop::Fault(
            "the build context changed while the gate ran; let nothing write to the sources".to_owned(),
        ));
    }
    let tar = context.tar().map_err(|error| fault(&error))?;
    Ok(((seen.context_digest, tar), place.dockerfile))
}
