//! Going on from an execution that did not come to its end: what it left may be taken over where nothing has changed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::clock::Instant;
use super::context::Ids;
use super::lane::{Again, Closing, Phase};
use super::objects::Objects;
use super::observation::{Observation, Observations};
use super::outcome::{EvidenceFile, InputDigest};
use crate::evidence::digest::sha256_hex;
use crate::substrate::reply::{CallError, CallErrorKind};

/// The observation with which a closed lane ends, where it was kept: what it left beside its observations.
pub(crate) const LEFT: &str = "left";

/// File name of the record with which an execution reserves its id.
pub(crate) const EXECUTION: &str = "execution.json";

/// What a closed lane left.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Left {
    /// The names that are bound since, this lane's and those of the lanes before it.
    pub names: BTreeMap<String, String>,
    /// Its notes.
    pub notes: Vec<String>,
    /// What it took on trust.
    pub trusted: Vec<String>,
    /// Its files.
    pub files: Vec<EvidenceFile>,
}

/// The record of an execution, as it reserves its id: what must be the same for another one to go on from it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// `phasegate/execution/2`.
    pub schema: String,
    pub execution_id: String,
    pub track: String,
    pub phase: String,
    /// `live` or `rehearsal`.
    pub basis: String,
    pub written_at_utc: String,
    pub version: String,
    /// SHA-256 of the running program.
    pub binary_sha256: Option<String>,
    /// The account that the substrate reported.
    pub account: String,
    /// What it read, by digest.
    pub inputs: Vec<InputDigest>,
}

impl Record {
    /// The version of the record.
    pub(crate) const SCHEMA: &'static str = "phasegate/execution/2";

    /// What differs between this record and that of an execution now.
    fn differs_from(&self, now: &Self) -> Option<String> {
        let same =
            |what: &str, was: &str, is: &str| (was != is).then(|| format!("{what} was {was} then, and is {is} now"));
        let unknown = "unknown";
        let of = |record: &Self| record.binary_sha256.clone().unwrap_or_else(|| unknown.to_owned());
        if of(now) == unknown {
            return Some("the running program cannot be read, so that nobody knows whether it is the same".to_owned());
        }
        let input = |record: &Self, role: &str, path: &str| {
            let found = record.inputs.iter().find(|input| input.role == role && input.path == path);
            found.map_or_else(|| "not read".to_owned(), |input| input.sha256.clone())
        };
        same("the record's version", &self.schema, &now.schema)
            .or_else(|| same("the track", &self.track, &now.track))
            .or_else(|| same("the phase", &self.phase, &now.phase))
            .or_else(|| same("the basis", &self.basis, &now.basis))
            .or_else(|| same("the account", &self.account, &now.account))
            .or_else(|| same("the program", &of(self), &of(now)))
            .or_else(|| {
                let all: BTreeSet<(&str, &str)> =
                    self.inputs.iter().chain(&now.inputs).map(|i| (i.role.as_str(), i.path.as_str())).collect();
                all.into_iter().find_map(|(role, path)| {
                    same(&format!("the {role} {path}"), &input(self, role, path), &input(now, role, path))
                })
            })
    }
}

/// Lanes of an earlier execution that this one goes on from.
#[derive(Debug, Clone)]
pub(crate) struct Earlier {
    /// Its names.
    pub ids: Ids,
    /// Its folder.
    pub folder: PathBuf,
    /// The lanes.
    pub lanes: BTreeSet<&'static str>,
}

/// What may be taken over.
pub(crate) struct Taken {
    pub earlier: Earlier,
    pub observations: Vec<Observation>,
    pub left: Vec<(&'static str, Left)>,
}

/// Why an execution cannot be gone on from.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ResumeError {
    #[error("{path}: {source}; there is nothing here of that execution to go on from")]
    NotHere { path: PathBuf, source: std::io::Error },
    #[error("{path}: {why}")]
    Form { path: PathBuf, why: String },
    #[error("{0}: what was found then says nothing of now")]
    Changed(String),
    #[error("{path} has SHA-256 {here}, and {uri} has {stored}: its evidence does not verify")]
    Differs { path: PathBuf, here: String, uri: String, stored: String },
    #[error("{path} has SHA-256 {is}, and its lane left it as {listed}: its evidence does not verify")]
    Tampered { path: PathBuf, is: String, listed: String },
    #[error("{0}; what cannot be read back is not gone on from")]
    Store(Box<CallError>),
}

/// Where an earlier execution lies, here and in the store.
pub(crate) struct Source<'s> {
    pub phase: &'s Phase,
    pub folder: PathBuf,
    pub objects: &'s Objects<'s>,
    pub bucket: &'s str,
    /// The prefix of its control evidence.
    pub prefix: String,
}

impl Source<'_> {
    /// Reads what may be taken over: the lanes that were closed one after the other, up to the first that was not. Lanes
    /// whose facts may change meanwhile are left out, to be asked again.
    pub(crate) fn take(&self, now: &Record) -> Result<Taken, ResumeError> {
        let path = self.folder.join(EXECUTION);
        let bytes = self.verified(EXECUTION)?.ok_or_else(|| ResumeError::NotHere {
            path: path.clone(),
            source: std::io::Error::from(std::io::ErrorKind::NotFound),
        })?;
        let form = |path: &Path, why: String| ResumeError::Form { path: path.to_owned(), why };
        let record: Record = serde_json::from_slice(&bytes).map_err(|e| form(&path, e.to_string()))?;
        if self.folder.file_name().is_none_or(|name| name.to_string_lossy() != record.execution_id) {
            return Err(form(&path, format!("it is the record of {}", record.execution_id)));
        }
        if let Some(difference) = record.differs_from(now) {
            return Err(ResumeError::Changed(difference));
        }
        let instant = Instant::parse(&record.written_at_utc).map_err(|e| form(&path, e.to_string()))?;
        let ids = Ids { execution: record.execution_id, instant };
        let mut taken = Taken {
            earlier: Earlier { ids, folder: self.folder.clone(), lanes: BTreeSet::new() },
            observations: Vec::new(),
            left: Vec::new(),
        };
        for lane in self.phase.lanes.iter().filter(|lane| lane.closing == Closing::No) {
            let name = format!("observations/{}.json", lane.id);
            let path = self.folder.join(&name);
            let Some(bytes) = self.verified(&name)? else { break };
            let own: Observations = serde_json::from_slice(&bytes).map_err(|e| form(&path, e.to_string()))?;
            // A lane that held left no such word.
            let Ok((left, _)) = own.facts::<Left>(lane.id, &[LEFT]) else { break };
            match lane.again {
                Again::No => {}
                Again::Asked => continue,
                Again::Pins => break,
            }
            for file in &left.files {
                self.unchanged(file)?;
            }
            taken.observations.extend(own.of_lane(lane.id).filter(|o| o.name != LEFT).cloned());
            taken.earlier.lanes.insert(lane.id);
            taken.left.push((lane.id, left));
        }
        Ok(taken)
    }

    /// A file of the control evidence, the same here and in the store; none where it is not here.
    fn verified(&self, name: &str) -> Result<Option<Vec<u8>>, ResumeError> {
        let path = self.folder.join(name);
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(ResumeError::NotHere { path, source }),
        };
        let key = format!("{}{name}", self.prefix);
        match self.same_there(&path, &bytes, &key) {
            // It was written here, and the end came before it was put: it is not kept.
            Err(ResumeError::Store(error)) if error.kind == CallErrorKind::NotFound => Ok(None),
            other => other.map(|()| Some(bytes)),
        }
    }

    fn same_there(&self, path: &Path, bytes: &[u8], key: &str) -> Result<(), ResumeError> {
        let stored = self.objects.get_object(self.bucket, key, None).map_err(|e| ResumeError::Store(Box::new(e)))?;
        let (here, stored) = (sha256_hex(bytes), sha256_hex(&stored.value.bytes));
        if here == stored {
            return Ok(());
        }
        Err(ResumeError::Differs { path: path.to_owned(), here, uri: format!("s3://{}/{key}", self.bucket), stored })
    }

    fn unchanged(&self, file: &EvidenceFile) -> Result<(), ResumeError> {
        let path = self.folder.join(&file.path);
        let bytes = std::fs::read(&path).map_err(|source| ResumeError::NotHere { path: path.clone(), source })?;
        let is = sha256_hex(&bytes);
        if is != file.sha256 {
            return Err(ResumeError::Tampered { path, is, listed: file.sha256.clone() });
        }
        let key = file.uri.as_deref().and_then(|uri| uri.strip_prefix(&format!("s3://{}/", self.bucket)));
        key.map_or(Ok(()), |key| self.same_there(&path, &bytes, key))
    }
}

/// SHA-256 of the running program, taken once; none where it cannot be read.
pub(crate) fn binary_sha256() -> Option<String> {
    static DIGEST: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
    let digest = || Some(sha256_hex(&std::fs::read(std::env::current_exe().ok()?).ok()?));
    DIGEST.get_or_init(digest).clone()
}
