//! What is packaged: the sources, the commit that they are, the run that they are packaged for.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde::{Deserialize, Serialize};
use support::run::context::LaneRun;
use support::run::lane::Stop;
use support::run::outcome::RunBasis;

/// The checkout that the image is built from, where it is another than the plan repository.
pub(super) const SOURCE: &str = "PHASEGATE_SOURCE";
/// The commit, where the sources are no git checkout of their own.
pub(super) const GIT_SHA: &str = "PHASEGATE_GIT_SHA";
/// The same, as GitHub says it.
pub(super) const GITHUB_SHA: &str = "GITHUB_SHA";
/// The run that the image is packaged for.
pub(super) const PLATFORM_RUN_ID: &str = "PHASEGATE_PLATFORM_RUN_ID";
/// An image that is built already.
pub(super) const IMAGE: &str = "PHASEGATE_IMAGE";
/// The image that the Dockerfile builds upon.
pub(super) const BASE_IMAGE: &str = "PHASEGATE_BASE_IMAGE";
/// The files that entrypoints are invoked with.
pub(super) const BUNDLE: &str = "PHASEGATE_BUNDLE";

/// The commit of the sources, by everyone who says it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Commit {
    /// What the environment says.
    pub given: Option<String>,
    /// What the checkout itself says, where the sources are one.
    pub head: Option<String>,
    /// Files of the checkout that differ from the commit.
    pub changed: Vec<String>,
    /// Why the checkout could not be asked.
    pub problem: Option<String>,
}

impl Commit {
    /// The one commit that all agree on.
    pub(super) fn agreed(&self) -> Option<&str> {
        match (&self.given, &self.head) {
            (Some(given), Some(head)) if given != head => None,
            (given, head) => given.as_deref().or(head.as_deref()),
        }
    }
}

/// The folder of the sources.
pub(super) fn folder(run: &LaneRun<'_>) -> PathBuf {
    run.given(SOURCE).map_or_else(|| run.repository().root().to_owned(), PathBuf::from)
}

/// The commit of the sources.
pub(super) fn commit(run: &LaneRun<'_>) -> Commit {
    let given = run.given(GIT_SHA).or_else(|| run.given(GITHUB_SHA)).map(str::to_owned);
    let mut commit = Commit { given, ..Commit::default() };
    let folder = folder(run);
    // A folder inside another project's checkout has no commit of its own.
    if !folder.join(".git").exists() {
        return commit;
    }
    match git(&folder, &["rev-parse", "HEAD"]) {
        Ok(head) => commit.head = Some(head.trim().to_owned()),
        Err(why) => commit.problem = Some(why),
    }
    match git(&folder, &["status", "--porcelain=v1", "--untracked-files=all"]) {
        Ok(said) => commit.changed = said.lines().filter_map(|line| line.get(3..)).map(str::to_owned).collect(),
        Err(why) => commit.problem = Some(why),
    }
    commit
}

fn git(folder: &Path, words: &[&str]) -> Result<String, String> {
    let asked = Command::new("git").arg("-C").arg(folder).args(words).output();
    let said = asked.map_err(|error| format!("git {}: {error}", words.join(" ")))?;
    if !said.status.success() {
        return Err(format!("git {}: {}", words.join(" "), String::from_utf8_lossy(&said.stderr).trim()));
    }
    String::from_utf8(said.stdout).map_err(|error| format!("git {}: {error}", words.join(" ")))
}

/// The run that the image is packaged for: the one that is given, in a rehearsal else one of this instant.
pub(super) fn platform_run_id(run: &LaneRun<'_>) -> Option<String> {
    let of_now = || (run.basis() == RunBasis::Rehearsal).then(|| format!("platform_{}", run.instant().compact()));
    run.given(PLATFORM_RUN_ID).map(str::to_owned).or_else(of_now)
}

/// A file of the sources.
pub(super) fn read(run: &LaneRun<'_>, path: &str) -> Result<String, Stop> {
    let full = folder(run).join(path);
    std::fs::read_to_string(&full).map_err(|error| Stop::Fault(format!("{path} of the sources: {error}")))
}

/// Whether a path stays inside the folder that it is meant in.
pub(super) fn stays_inside(path: &str) -> bool {
    use std::path::Component;
    let path = Path::new(path);
    path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
}
