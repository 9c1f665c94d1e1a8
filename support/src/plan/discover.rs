//! Which plans a repository holds.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use thiserror::Error;
use walkdir::{DirEntry, WalkDir};

use super::marks;
use super::model::MASTER;

/// Folders that name a track.
pub const TRACKS: [&str; 2] = ["dev_min", "dev_full"];

/// The track of a plan that lies in none of the folders that name one.
pub const DEFAULT_TRACK: &str = "dev_min";

/// Folders directly below the root that hold what runs leave, copies of plans among it.
const OUTPUT_FOLDERS: [&str; 2] = ["runs", "target"];

/// A plan of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundPlan {
    /// Relative to the root.
    pub path: PathBuf,
    /// The innermost folder that names a track, else [`DEFAULT_TRACK`].
    pub track: String,
}

/// Why the plans of a repository cannot be told.
#[derive(Debug, Error)]
pub enum DiscoverError {
    /// A folder or file that cannot be read: a plan may be in it.
    #[error("{path}: cannot be searched for plans: {cause}; check the path and its permissions, and PHASEGATE_REPO", path = path.display())]
    Unreadable {
        /// What could not be read.
        path: PathBuf,
        /// What the file system said.
        #[source]
        cause: walkdir::Error,
    },
    /// No plan of the phase.
    #[error("{root}: no file named `{name}` below it; point PHASEGATE_REPO at a repository of plans", root = root.display())]
    NoPlan {
        /// Where was searched.
        root: PathBuf,
        /// What was searched for.
        name: String,
    },
    /// Two plans of one phase and track.
    #[error("{first} and {second} are both plans of track `{track}`; keep one, or move one into its track's folder", first = first.display(), second = second.display())]
    SameTrack {
        /// The track.
        track: String,
        /// The plan that comes first by path.
        first: PathBuf,
        /// The plan that comes second.
        second: PathBuf,
    },
}

/// The plans of `phase` below `root`: files named `platform.<PHASE>.build_plan.md`, for the phase
/// `plan` the master plans `platform.build_plan.md`; sorted by path. Hidden folders, and `runs` and
/// `target` directly below the root, are passed over.
///
/// # Errors
/// When a folder cannot be read, when there is no such plan, or two of one track.
pub fn discover(root: &Path, phase: &str) -> Result<Vec<FoundPlan>, DiscoverError> {
    let name =
        if phase == MASTER { "platform.build_plan.md".to_owned() } else { format!("platform.{phase}.build_plan.md") };
    let mut plans = Vec::new();
    for entry in WalkDir::new(root).into_iter().filter_entry(is_searched) {
        let entry = entry
            .map_err(|cause| DiscoverError::Unreadable { path: cause.path().unwrap_or(root).to_owned(), cause })?;
        if !entry.file_type().is_dir() && entry.file_name().to_str() == Some(&name) {
            let path = entry.path().strip_prefix(root).unwrap_or(entry.path()).to_owned();
            let track = track_of(&path);
            plans.push(FoundPlan { path, track });
        }
    }
    plans.sort_by(|one, other| one.path.cmp(&other.path));
    if plans.is_empty() {
        return Err(DiscoverError::NoPlan { root: root.to_owned(), name });
    }
    one_of_each_track(&plans)?;
    Ok(plans)
}

/// The phases that have a plan below `root`, master plans first, then by number. What [`discover`] passes over is passed
/// over here.
///
/// # Errors
/// When a folder cannot be read, or when there is no plan of any phase.
pub fn phases(root: &Path) -> Result<Vec<String>, DiscoverError> {
    let mut found = BTreeSet::new();
    for entry in WalkDir::new(root).into_iter().filter_entry(is_searched) {
        let entry = entry
            .map_err(|cause| DiscoverError::Unreadable { path: cause.path().unwrap_or(root).to_owned(), cause })?;
        let name = entry.file_name().to_str().unwrap_or("");
        if !entry.file_type().is_dir()
            && let Some(phase) = phase_of_name(name)
        {
            // `M10` comes after `M9`.
            found.insert((phase != MASTER, phase.len(), phase));
        }
    }
    if found.is_empty() {
        return Err(DiscoverError::NoPlan { root: root.to_owned(), name: "platform.<PHASE>.build_plan.md".to_owned() });
    }
    Ok(found.into_iter().map(|(_, _, phase)| phase).collect())
}

fn phase_of_name(name: &str) -> Option<String> {
    if name == "platform.build_plan.md" {
        return Some(MASTER.to_owned());
    }
    let middle = name.strip_prefix("platform.")?.strip_suffix(".build_plan.md")?;
    marks::phase(middle).filter(|(_, rest)| rest.is_empty()).map(|(phase, _)| phase.to_owned())
}

fn is_searched(entry: &DirEntry) -> bool {
    let name = entry.file_name().to_str().unwrap_or("");
    let hidden = entry.depth() > 0 && name.starts_with('.');
    let output = entry.depth() == 1 && OUTPUT_FOLDERS.contains(&name);
    !(entry.file_type().is_dir() && (hidden || output))
}

/// The track of a plan at this path, which is relative to the repository: its innermost folder that names one, else
/// [`DEFAULT_TRACK`].
#[must_use]
pub fn track_of(path: &Path) -> String {
    path.ancestors()
        .skip(1)
        .filter_map(|folder| folder.file_name().and_then(|name| name.to_str()))
        .find(|name| TRACKS.contains(name))
        .unwrap_or(DEFAULT_TRACK)
        .to_owned()
}

fn one_of_each_track(plans: &[FoundPlan]) -> Result<(), DiscoverError> {
    let mut seen: HashMap<&str, &Path> = HashMap::new();
    for plan in plans {
        if let Some(first) = seen.insert(&plan.track, &plan.path) {
            return Err(DiscoverError::SameTrack {
                track: plan.track.clone(),
                first: first.to_owned(),
                second: plan.path.clone(),
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repository(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let path = folder.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "# plan\n").unwrap();
        }
        folder
    }

    #[test]
    fn plans_are_found_by_name_and_get_the_track_of_their_folder() {
        let folder = repository(&[
            "docs/dev_substrate/platform.M3.build_plan.md",
            "docs/dev_substrate/dev_full/platform.M3.build_plan.md",
            "docs/dev_substrate/platform.M4.build_plan.md",
            "docs/dev_substrate/platform.build_plan.md",
            "target/phasegate/closure/platform.M3.build_plan.md",
            "runs/x/platform.M3.build_plan.md",
            ".git/platform.M3.build_plan.md",
            "docs/platform.M3.build_plan.md.orig",
        ]);
        let found = discover(folder.path(), "M3").unwrap();
        let found: Vec<(&str, &str)> =
            found.iter().map(|plan| (plan.path.to_str().unwrap(), plan.track.as_str())).collect();
        assert_eq!(
            found,
            [
                ("docs/dev_substrate/dev_full/platform.M3.build_plan.md", "dev_full"),
                ("docs/dev_substrate/platform.M3.build_plan.md", "dev_min"),
            ]
        );
        assert_eq!(discover(folder.path(), MASTER).unwrap().len(), 1);
        assert_eq!(phases(folder.path()).unwrap(), [MASTER, "M3", "M4"]);
    }

    #[test]
    fn phases_are_sorted_by_number_and_none_is_an_error() {
        let folder = repository(&["platform.M10.build_plan.md", "platform.M2.build_plan.md", "platform.notes.md"]);
        assert_eq!(phases(folder.path()).unwrap(), ["M2", "M10"]);
        let empty = repository(&["platform.MX.build_plan.md"]);
        assert!(matches!(phases(empty.path()), Err(DiscoverError::NoPlan { .. })));
    }

    #[test]
    fn the_name_of_the_repository_itself_names_no_track() {
        let folder = repository(&["dev_full/docs/platform.M3.build_plan.md"]);
        let found = discover(&folder.path().join("dev_full"), "M3").unwrap();
        assert_eq!(found.first().unwrap().track, "dev_min");
    }

    #[test]
    fn nothing_found_a_missing_root_and_two_of_a_track_are_errors() {
        let folder = repository(&["a/platform.M3.build_plan.md", "b/platform.M3.build_plan.md"]);
        assert!(matches!(discover(folder.path(), "M9"), Err(DiscoverError::NoPlan { .. })));
        assert!(matches!(discover(&folder.path().join("gone"), "M3"), Err(DiscoverError::Unreadable { .. })));
        let twice = discover(folder.path(), "M3").unwrap_err().to_string();
        assert!(twice.contains("a/platform.M3") && twice.contains("b/platform.M3"), "{twice}");
    }
}
