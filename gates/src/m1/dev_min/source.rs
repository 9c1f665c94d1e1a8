//! What is packaged: the sources, the commit that they are, the run that they are packaged for.

use std::collections::BTreeSet;
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
/// The whole log of that image's build.
pub(super) const BUILD_LOG: &str = "PHASEGATE_BUILD_LOG";
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
    /// Files that git does not look at: ignored, or told to be taken for unchanged.
    pub unseen: Vec<String>,
    /// Why the checkout could not be asked.
    pub problem: Option<String>,
    /// Whether the word of the environment is enough: in a rehearsal alone.
    pub may_be_given: bool,
}

impl Commit {
    /// Asks the checkout at `folder`, where it is one.
    fn ask(&mut self, folder: &Path) {
        // A folder inside another project's checkout has no commit of its own.
        if !folder.join(".git").exists() {
            return;
        }
        match git(folder, &["rev-parse", "HEAD"]) {
            Ok(head) => self.head = Some(head.trim().to_owned()),
            Err(why) => self.problem = Some(why),
        }
        let status = ["status", "--porcelain=v1", "-z", "--no-renames", "--untracked-files=all", "--ignored=matching"];
        match git(folder, &status) {
            Ok(said) => {
                for entry in said.split('\0').filter(|entry| !entry.is_empty()) {
                    let (kind, path) = entry.split_at_checked(3).unwrap_or(("", entry));
                    let list = if kind.starts_with("!!") { &mut self.unseen } else { &mut self.changed };
                    list.push(path.to_owned());
                }
            }
            Err(why) => self.problem = Some(why),
        }
        // In small letters: taken for unchanged; S: not checked out.
        let hidden = |entry: &&str| entry.starts_with(|kind: char| kind.is_ascii_lowercase() || kind == 'S');
        match git(folder, &["ls-files", "-v", "-z"]) {
            Ok(said) => {
                let paths = said.split('\0').filter(hidden).filter_map(|entry| entry.get(2..));
                self.unseen.extend(paths.map(str::to_owned));
            }
            Err(why) => self.problem = Some(why),
        }
    }

    /// Those of the paths that are sent which git does not look at.
    pub(super) fn unseen_among<'p>(&self, sent: impl IntoIterator<Item = &'p str>) -> Vec<&'p str> {
        let is_unseen = |path: &&str| {
            self.unseen.iter().any(|unseen| match unseen.strip_suffix('/') {
                Some(folder) => path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/')),
                None => path == unseen,
            })
        };
        sent.into_iter().filter(is_unseen).collect()
    }

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
    let may_be_given = run.basis() == RunBasis::Rehearsal;
    let mut commit = Commit { given, may_be_given, ..Commit::default() };
    commit.ask(&folder(run));
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

/// The workflows that a lane's records name.
pub(super) fn workflows(run: &LaneRun<'_>, lane: &str) -> BTreeSet<String> {
    let records = run.plan().records.iter().filter(|record| record.lane.as_deref() == Some(lane));
    let entries = records.flat_map(|record| &record.entries).flat_map(|e| std::iter::once(e).chain(e.all_below()));
    let spans = entries.flat_map(|entry| entry.code());
    spans.filter(|span| span.starts_with(".github/workflows/")).map(str::to_owned).collect()
}

/// A relative path with `/`, without `.`.
pub(super) fn plain(path: &Path) -> String {
    use std::path::Component;
    let parts = path.components().filter(|part| !matches!(part, Component::CurDir));
    parts.map(|part| part.as_os_str().to_string_lossy().into_owned()).collect::<Vec<_>>().join("/")
}

/// Whether a path stays inside the folder that it is meant in.
pub(super) fn stays_inside(path: &str) -> bool {
    use std::path::Component;
    let path = Path::new(path);
    path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkout() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("src")).unwrap();
        for (path, text) in [("src/a.py", "a = 1\n"), ("src/b.py", "b = 1\n"), (".gitignore", "*.local\ncache/\n")] {
            std::fs::write(folder.path().join(path), text).unwrap();
        }
        git(folder.path(), &["init", "--quiet"]).unwrap();
        git(folder.path(), &["add", "--all"]).unwrap();
        let who = ["-c", "user.name=x", "-c", "user.email=x@example.invalid"];
        git(folder.path(), &[&who[..], &["commit", "--quiet", "--message", "x"]].concat()).unwrap();
        folder
    }

    fn asked(folder: &Path) -> Commit {
        let mut commit = Commit::default();
        commit.ask(folder);
        assert_eq!(commit.problem, None);
        commit
    }

    #[test]
    fn a_checkout_says_its_commit_and_what_differs_from_it() {
        let folder = checkout();
        let commit = asked(folder.path());
        assert_eq!(commit.head.as_deref().map(str::len), Some(40));
        assert!(commit.changed.is_empty() && commit.unseen.is_empty(), "{commit:?}");
        std::fs::write(folder.path().join("src/a.py"), "a = 2\n").unwrap();
        std::fs::write(folder.path().join("src/new file.py"), "").unwrap();
        let mut changed = asked(folder.path()).changed;
        changed.sort();
        assert_eq!(changed, ["src/a.py", "src/new file.py"]);
    }

    /// What git does not look at can be another file than the commit's, and be sent all the same.
    #[test]
    fn a_file_that_git_does_not_look_at_is_named() {
        let folder = checkout();
        std::fs::write(folder.path().join("src/x.local"), "x").unwrap();
        std::fs::create_dir(folder.path().join("src/cache")).unwrap();
        std::fs::write(folder.path().join("src/cache/y.py"), "y").unwrap();
        for (flag, file) in [("--assume-unchanged", "src/a.py"), ("--skip-worktree", "src/b.py")] {
            git(folder.path(), &["update-index", flag, file]).unwrap();
            std::fs::write(folder.path().join(file), "changed").unwrap();
        }
        let commit = asked(folder.path());
        assert!(commit.changed.is_empty(), "{commit:?}");
        let sent = ["src/a.py", "src/b.py", "src/x.local", "src/cache/y.py", "src/cachet.py", ".gitignore"];
        assert_eq!(commit.unseen_among(sent), ["src/a.py", "src/b.py", "src/x.local", "src/cache/y.py"]);
    }
}
