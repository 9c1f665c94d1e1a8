//! Where the run's two objects go, and that nothing ever stood there.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use support::ensure;
use support::run::check::{Check, Unmet};
use support::run::context::LaneRun;
use support::run::lane::Step;
use support::run::rows::{Output, RowOutput};
use support::substrate::{Listing, VersionEntry};

use super::WRITE_ONCE_ROW;
use crate::m3::dev_full::upstream;

pub(in crate::m3::dev_full) const RUN_JSON: &str = "run.json";
pub(in crate::m3::dev_full) const RUN_HEADER: &str = "run_header.json";

/// The keys cannot be filled.
pub(super) const NO_KEYS: &str = "M3E-B2";
/// A run is never written twice.
pub(super) const EXISTS: &str = "M3E-B3";

/// The handles whose patterns give the objects their keys.
pub(super) const KEYS: [(&str, &str); 2] = [(RUN_JSON, "EVIDENCE_RUN_JSON_KEY"), (RUN_HEADER, "RUN_PIN_PATH_PATTERN")];

/// The keys, or why there is one that cannot be filled.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct RunKeys {
    pub platform_run_id: String,
    pub by_object: BTreeMap<String, Result<String, String>>,
}

impl RunKeys {
    pub(super) fn resolve(run: &LaneRun<'_>, platform_run_id: &str) -> Self {
        let fill = |handle: &str| {
            let pattern = run.text(handle)?;
            run.fill(&pattern, &[("platform_run_id", platform_run_id)])
        };
        let key = |handle: &str| fill(handle).map_err(|stop| format!("{handle}: {}", upstream::words(&stop)));
        Self {
            platform_run_id: platform_run_id.to_owned(),
            by_object: KEYS.iter().map(|(name, handle)| ((*name).to_owned(), key(handle))).collect(),
        }
    }

    /// The key of an object, where it has one.
    pub(super) fn of(&self, name: &str) -> Option<&str> {
        self.by_object.get(name)?.as_deref().ok()
    }

    /// What is wrong with them; none when they can be used.
    fn problem(&self) -> Option<String> {
        let mut keys: Vec<&str> = Vec::new();
        for (name, handle) in KEYS {
            let key = match self.by_object.get(name) {
                Some(Ok(key)) => key,
                Some(Err(why)) => return Some(why.clone()),
                None => return Some(format!("{handle} was not filled")),
            };
            if !key.split('/').any(|part| part == self.platform_run_id) {
                return Some(format!("{handle} gives {key}, which is not a key of {}", self.platform_run_id));
            }
            if key.ends_with('/') {
                return Some(format!("{handle} gives {key}, which names a folder"));
            }
            keys.push(key);
        }
        match keys.as_slice() {
            [one, other] if one == other => Some(format!("both objects would stand at {one}")),
            _ => None,
        }
    }
}

pub(super) static KEYS_RESOLVED: Check<RunKeys> = Check::<RunKeys>::new(
    "run_keys.resolved",
    NO_KEYS,
    &["run_keys"],
    |keys| match keys.problem() {
        Some(why) => Err(Unmet::from(why)),
        None => {
            let keys: Vec<&str> = KEYS.iter().filter_map(|(name, _)| keys.of(name)).collect();
            Ok(keys.join(", "))
        }
    },
    |keys| {
        keys.by_object.insert(RUN_HEADER.to_owned(), Err("doctored: no value".to_owned()));
    },
)
.next(
    "correct EVIDENCE_RUN_JSON_KEY or RUN_PIN_PATH_PATTERN: two keys below the run, by tokens of the registry's list",
);

pub(super) static ABSENT: Check<(RowOutput, RunKeys)> = Check::<(RowOutput, RunKeys)>::new(
    "run_objects.absent",
    EXISTS,
    &[WRITE_ONCE_ROW, "run_keys"],
    |(row, keys)| {
        for (name, _) in KEYS {
            let key = keys.of(name).ok_or_else(|| Unmet::blocked_by(NO_KEYS, format!("{name} has no key")))?;
            let heads = row.runs.iter().find_map(|run| match &run.output {
                Output::Heads { keys, .. } => keys.get(key),
                _ => None,
            });
            match heads {
                Some(false) => {}
                Some(true) => return Err(format!("{key} exists already").into()),
                None => return Err(format!("{key} was not asked for").into()),
            }
            let listed = row.follow_ups.get(key).ok_or_else(|| Unmet::from(format!("{key}: no version was listed")))?;
            let listed: Option<Listing<VersionEntry>> = serde_json::from_value(listed.value.clone())
                .map_err(|e| Unmet::from(format!("the versions of {key} cannot be read: {e}")))?;
            let listed =
                listed.ok_or_else(|| Unmet::from(format!("s3api list-object-versions finds no bucket for {key}")))?;
            ensure!(listed.complete, "the list of versions of {key} is not complete");
            let own = listed.entries.iter().filter(|version| version.key == key);
            let (markers, versions): (Vec<_>, Vec<_>) = own.partition(|version| version.delete_marker);
            ensure!(
                markers.is_empty() && versions.is_empty(),
                "{key} had {} version(s) and has {} delete marker(s)",
                versions.len(),
                markers.len()
            );
        }
        Ok("neither key has an object, a version or a delete marker".to_owned())
    },
    |(row, _)| {
        for run in &mut row.runs {
            if let Output::Heads { keys, .. } = &mut run.output {
                keys.values_mut().for_each(|there| *there = true);
            }
        }
    },
)
.next(
    "run the gate anew, `cargo test --test m3 -- dev_full` without PHASEGATE_RESUME: a pinned run is never written twice, and a new execution has another run id",
);

/// Asks for both keys by head, and for every version that ever stood there.
pub(super) fn look_for(run: &mut LaneRun<'_>, keys: &RunKeys) -> Step {
    let keys: Vec<&str> = KEYS.iter().filter_map(|(name, _)| keys.of(name)).collect();
    let each: Vec<Vec<(&str, &str)>> = keys.iter().map(|key| vec![("resolved_key", *key)]).collect();
    run.row_each_with(WRITE_ONCE_ROW, &each)?;
    let bucket = run.evidence_bucket()?;
    for key in keys {
        let call = format!("aws s3api list-object-versions --bucket {bucket} --prefix '{key}'");
        let reply = run.world()?.objects.list_versions(&bucket, key);
        run.follow_up(WRITE_ONCE_ROW, key, &call, reply)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case(Ok("runs/p_1/run.json"), Ok("runs/p_1/pin/run_header.json"), None)]
    #[case(Ok("runs/p_1/run.json"), Err("no value"), Some("no value"))]
    #[case(Ok("runs/run.json"), Ok("runs/p_1/run_header.json"), Some("is not a key of p_1"))]
    #[case(Ok("runs/p_1_01/run.json"), Ok("runs/p_1/run_header.json"), Some("is not a key of p_1"))]
    #[case(Ok("runs/p_1/"), Ok("runs/p_1/run_header.json"), Some("names a folder"))]
    #[case(Ok("runs/p_1/run.json"), Ok("runs/p_1/run.json"), Some("both objects would stand"))]
    fn keys_are_two_and_of_the_run(
        #[case] run_json: Result<&str, &str>,
        #[case] header: Result<&str, &str>,
        #[case] says: Option<&str>,
    ) {
        let key = |key: Result<&str, &str>| key.map(str::to_owned).map_err(str::to_owned);
        let by_object = BTreeMap::from([(RUN_JSON.to_owned(), key(run_json)), (RUN_HEADER.to_owned(), key(header))]);
        let problem = RunKeys { platform_run_id: "p_1".to_owned(), by_object }.problem();
        match (problem, says) {
            (None, None) => {}
            (Some(why), Some(says)) => assert!(why.contains(says), "{why}"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_key_that_was_not_filled_is_a_problem() {
        let keys = RunKeys { platform_run_id: "p_1".to_owned(), by_object: BTreeMap::new() };
        assert!(keys.problem().is_some_and(|why| why.contains("was not filled")));
    }
}
