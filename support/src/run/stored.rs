//! An earlier execution as it lies on disk: what its lanes observed, and the files that they left.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::clock::Instant;
use super::context::Ids;
use super::lane::Phase;
use super::observation::Observations;
use crate::evidence::digest::sha256_hex;

/// An execution that a lane alone goes on from.
#[derive(Debug, Clone)]
pub struct Stored {
    /// Its names.
    pub ids: Ids,
    /// Its folder.
    pub folder: PathBuf,
    /// What its lanes observed.
    pub observations: Observations,
}

/// Why the evidence of an earlier execution cannot be gone on from.
#[derive(Debug, thiserror::Error)]
pub enum StoredError {
    /// A file of it cannot be read.
    #[error(
        "{path}: {source}; name an execution whose evidence lies there (PHASEGATE_OUT says where evidence is kept)"
    )]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file of it has another form.
    #[error("{path}: {why}; run the whole phase again")]
    Form {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// What was observed is not what its verdict lists.
    #[error(
        "{path} has SHA-256 {is}, and verdict.json lists {listed}: the observations were changed; run the whole phase again"
    )]
    Changed {
        /// The file.
        path: PathBuf,
        /// Its digest now.
        is: String,
        /// The digest in the verdict.
        listed: String,
    },
}

impl Stored {
    /// Reads the execution `id` of a phase below `out`. The observations must be those that its verdict lists; the
    /// files of its lanes are for the lane to judge.
    ///
    /// # Errors
    /// When there is no such execution, or its observations cannot be relied on.
    pub fn read(out: &Path, phase: &Phase, id: &str) -> Result<Self, StoredError> {
        let folder = out.join(phase.track).join(phase.id.to_ascii_lowercase()).join(id);
        let path = folder.join("verdict.json");
        let form = |path: &Path, why: String| StoredError::Form { path: path.to_owned(), why };
        let verdict: Value = serde_json::from_slice(&read(&path)?).map_err(|e| form(&path, e.to_string()))?;
        let says = |key: &str| verdict.get(key).and_then(Value::as_str).unwrap_or("-");
        if (says("track"), says("phase"), says("execution_id")) != (phase.track, phase.id, id) {
            let why = format!("it is the verdict of {} {} {}", says("track"), says("phase"), says("execution_id"));
            return Err(form(&path, why));
        }
        let instant = Instant::parse(says("written_at_utc")).map_err(|e| form(&path, e.to_string()))?;
        let mut observations = Observations::default();
        for lane in &phase.lanes {
            let name = format!("observations/{}.json", lane.id);
            let Some(listed) = listed(&verdict, &name) else { continue };
            let file = folder.join(&name);
            let bytes = read(&file)?;
            let is = sha256_hex(&bytes);
            if is != listed {
                return Err(StoredError::Changed { path: file, is, listed });
            }
            let own: Observations = serde_json::from_slice(&bytes).map_err(|e| form(&file, e.to_string()))?;
            own.iter().filter(|o| o.lane == lane.id).cloned().for_each(|o| observations.insert(o));
        }
        Ok(Self { ids: Ids { execution: id.to_owned(), instant }, folder, observations })
    }
}

/// The digest that a verdict lists for a file.
fn listed(verdict: &Value, name: &str) -> Option<String> {
    let files = verdict.get("files")?.as_array()?;
    let file = files.iter().find(|file| file.get("path").and_then(Value::as_str) == Some(name))?;
    file.get("sha256")?.as_str().map(str::to_owned)
}

fn read(path: &Path) -> Result<Vec<u8>, StoredError> {
    std::fs::read(path).map_err(|source| StoredError::Read { path: path.to_owned(), source })
}
