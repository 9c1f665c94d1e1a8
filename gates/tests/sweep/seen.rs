//! What came of one gate, as plain data: the judge reads nothing else.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use support::evidence::Receipt;
use support::run::outcome::PhaseOutcome;

use super::kit::rig::{Contents, Objects, Played};

/// How a gate ended.
#[derive(Debug, Clone)]
pub enum Ended {
    /// With a verdict.
    Verdict(Box<PhaseOutcome>),
    /// Evidence could not be written: what was said (exit code 5).
    Error(String),
    /// It panicked.
    Panic,
    /// It was still at work when its time was over.
    TooLong,
}

/// One key of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    pub versions: usize,
    pub markers: usize,
    pub bytes: Vec<u8>,
}

/// The store: bucket and key.
pub type Store = BTreeMap<(String, String), Object>;

/// What came of one gate.
#[derive(Debug, Clone)]
pub struct Seen {
    pub ended: Ended,
    pub took: Duration,
    /// The files of the execution's folder, by their path below it.
    pub files: BTreeMap<String, Vec<u8>>,
    pub before: Store,
    pub after: Store,
    /// What went wrong with the fault itself.
    pub trouble: Vec<String>,
}

impl Seen {
    pub fn of(played: Played, took: Duration) -> Result<Self, String> {
        Ok(Self {
            files: files_below(&played.execution)?,
            before: store(&played.before, &played.contents_before),
            after: store(&played.after, &played.contents_after),
            ended: match played.outcome {
                Ok(outcome) => Ended::Verdict(outcome),
                Err(why) => Ended::Error(why),
            },
            took,
            trouble: played.trouble,
        })
    }

    /// Of a gate that left nothing to look at.
    pub fn lost(ended: Ended, took: Duration) -> Self {
        let (files, before, after, trouble) = Default::default();
        Self { ended, took, files, before, after, trouble }
    }

    /// The files without what two runs under one clock may differ in (law 9): what the server chose of a put, which stands in
    /// `receipts.json` alone, and the digests of that file in the two that list it.
    pub fn comparable(&self) -> Result<BTreeMap<String, Vec<u8>>, String> {
        let mut files = self.files.clone();
        let mut names: Vec<(String, String)> = Vec::new();
        for name in ["receipts.json", "findings.json", "verdict.json"] {
            let Some(bytes) = self.files.get(name) else { continue };
            let mut bytes = bytes.clone();
            if name == "receipts.json" {
                let receipts: Vec<Receipt> = serde_json::from_slice(&bytes).map_err(|e| format!("{name}: {e}"))?;
                let receipts: Vec<Receipt> = receipts.iter().map(Receipt::reproducible).collect();
                bytes = serde_json::to_vec(&receipts).map_err(|e| format!("{name}: {e}"))?;
            }
            let mut text = String::from_utf8(bytes).map_err(|e| format!("{name}: {e}"))?;
            for (digest, of) in &names {
                text = text.replace(digest, of);
            }
            names.push((digest(&self.files[name]), format!("the digest of {name}")));
            files.insert(name.to_owned(), text.into_bytes());
        }
        Ok(files)
    }
}

pub fn digest(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

fn store(objects: &Objects, contents: &Contents) -> Store {
    let object = |place: &(String, String), counts: &(usize, usize)| Object {
        versions: counts.0,
        markers: counts.1,
        bytes: contents.get(place).cloned().unwrap_or_default(),
    };
    objects.iter().map(|(place, counts)| (place.clone(), object(place, counts))).collect()
}

fn files_below(folder: &Path) -> Result<BTreeMap<String, Vec<u8>>, String> {
    let mut files = BTreeMap::new();
    if !folder.exists() {
        return Ok(files);
    }
    for entry in walkdir::WalkDir::new(folder) {
        let entry = entry.map_err(|e| e.to_string())?;
        if entry.file_type().is_dir() {
            continue;
        }
        let below = entry.path().strip_prefix(folder).map_err(|e| e.to_string())?;
        let bytes = std::fs::read(entry.path()).map_err(|e| format!("{}: {e}", entry.path().display()))?;
        files.insert(below.to_string_lossy().into_owned(), bytes);
    }
    Ok(files)
}
