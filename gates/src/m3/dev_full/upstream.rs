//! What earlier lanes left, read again: the identity that later lanes take over and never make anew.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use support::run::context::LaneRun;
use support::run::lane::Stop;

use super::b_run_identity::SEED;

/// M3.C's answer: the run's digest, computed twice.
pub(super) const DIGEST_SNAPSHOT: &str = "m3c_run_config_digest_snapshot.json";

/// The identity of the run: what may not drift from here on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Identity {
    pub platform_run_id: String,
    pub scenario_run_id: String,
    pub config_digest: String,
}

impl Identity {
    /// The identity as M3.B's seed and M3.C's snapshot have it on disk; both must say the same.
    ///
    /// # Errors
    /// In words: a file that is missing or unreadable, a field that is, or two that disagree.
    pub(super) fn of_files(run: &LaneRun<'_>) -> Result<Self, String> {
        let seed = run.left_by("M3.B", SEED)?;
        let snapshot = run.left_by("M3.C", DIGEST_SNAPSHOT)?;
        let identity = Self::in_snapshot(&snapshot).map_err(|why| format!("{DIGEST_SNAPSHOT}: {why}"))?;
        let seeded = Self {
            platform_run_id: text(&seed, "/platform_run_id").map_err(|why| format!("{SEED}: {why}"))?,
            scenario_run_id: text(&seed, "/scenario_run_id").map_err(|why| format!("{SEED}: {why}"))?,
            config_digest: text(&seed, "/seed_inputs/config_digest").map_err(|why| format!("{SEED}: {why}"))?,
        };
        if seeded != identity {
            return Err(format!("{SEED} says {seeded:?}, {DIGEST_SNAPSHOT} says {identity:?}"));
        }
        Ok(identity)
    }

    /// The identity in a document that has its three fields at the top.
    ///
    /// # Errors
    /// In words: a field that is missing or no text.
    pub(super) fn in_snapshot(document: &Value) -> Result<Self, String> {
        Ok(Self {
            platform_run_id: text(document, "/platform_run_id")?,
            scenario_run_id: text(document, "/scenario_run_id")?,
            config_digest: text(document, "/config_digest")?,
        })
    }
}

/// Why a step stopped, in words.
pub(super) fn words(stop: &Stop) -> String {
    match stop {
        Stop::Fault(why) => why.clone(),
        Stop::By { code } => code.clone(),
    }
}

/// A text of a document, by its JSON pointer.
///
/// # Errors
/// In words: it is missing, empty or no text.
pub(super) fn text(document: &Value, pointer: &str) -> Result<String, String> {
    match document.pointer(pointer).and_then(Value::as_str) {
        Some(text) if !text.trim().is_empty() => Ok(text.to_owned()),
        Some(_) => Err(format!("`{pointer}` is empty")),
        None => Err(format!("`{pointer}` is missing, or no text")),
    }
}
