//! What the pack is made from: the files that M3.B to M3.E left, read again from disk.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use support::ensure;
use support::run::check::{Check, Unmet};
use support::run::context::LaneRun;

use crate::m3::dev_full::b_run_identity::SEED;
use crate::m3::dev_full::d_orchestrator_entry::READINESS;
use crate::m3::dev_full::lane_files::minimum_fields;
use crate::m3::dev_full::upstream::{self, Identity};

/// The lanes whose files count.
pub(super) const LANES: [&str; 4] = ["M3.B", "M3.C", "M3.D", "M3.E"];

const RUN_JSON_RECEIPT: &str = "m3e_run_json_write_receipt.json";
const RUN_HEADER_RECEIPT: &str = "m3e_run_header_write_receipt.json";

const IDENTITY_FIELDS: [&str; 3] = ["platform_run_id", "scenario_run_id", "config_digest"];

/// One file of an earlier lane.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct SourceFile {
    pub lane: String,
    pub name: String,
    /// Why it cannot be used.
    pub problem: Option<String>,
    /// The plan asks it to say whether its lane passed, or it is the lane's summary.
    pub must_pass: bool,
    pub overall_pass: Option<bool>,
    /// What it says of the run, as far as it says it.
    pub identity: BTreeMap<String, String>,
}

/// What the pack is copied from.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Sources {
    pub files: Vec<SourceFile>,
    /// By M3.B and M3.C.
    pub identity: Result<Identity, String>,
    /// By M3.D.
    pub env_key: Result<String, String>,
    /// The key at which M3.E put `run.json`.
    pub run_json: Result<String, String>,
    /// The key at which M3.E put the header.
    pub run_header: Result<String, String>,
}

pub(super) static SOURCES: Check<Sources> = Check::<Sources>::new(
    "handoff.sources",
    "M3F-B1",
    &["sources"],
    |sources| {
        for lane in LANES {
            ensure!(sources.files.iter().any(|file| file.lane == lane), "the plan asks no file of {lane}");
        }
        for file in &sources.files {
            if let Some(why) = &file.problem {
                return Err(Unmet::from(format!("{} of {}: {why}", file.name, file.lane)));
            }
            match (file.overall_pass, file.must_pass) {
                (Some(true), _) | (None, false) => {}
                (Some(false), _) => return Err(format!("{} of {} does not pass", file.name, file.lane).into()),
                (None, true) => {
                    return Err(format!("{} of {} does not say whether it passes", file.name, file.lane).into());
                }
            }
        }
        let identity = sources.identity.as_ref().map_err(|why| Unmet::from(why.clone()))?;
        let run = [&identity.platform_run_id, &identity.scenario_run_id, &identity.config_digest];
        for file in &sources.files {
            for (field, pinned) in IDENTITY_FIELDS.iter().zip(run) {
                let said = file.identity.get(*field).unwrap_or(pinned);
                ensure!(said == pinned, "{} of {}: `{field}` is {said}, the run's is {pinned}", file.name, file.lane);
            }
        }
        for read in [&sources.env_key, &sources.run_json, &sources.run_header] {
            if let Err(why) = read {
                return Err(Unmet::from(why.clone()));
            }
        }
        Ok(format!("{} files of {} pass and speak of {}", sources.files.len(), LANES.join(", "), run[0]))
    },
    |sources| sources.files.clear(),
)
.next("run the lane that left the file again, with those behind it; the pack is copied from its files");

/// Reads what the plan's evidence contracts ask of the lanes before.
pub(super) fn read(run: &LaneRun<'_>) -> Sources {
    let mut names: Vec<(&str, String)> = Vec::new();
    for lane in LANES {
        let summary = format!("{}_execution_summary.json", lane.to_ascii_lowercase().replace('.', ""));
        let planned = run.plan().contracts.iter().filter(|contract| contract.lane.as_deref() == Some(lane));
        let planned: Vec<String> = planned.flat_map(|contract| &contract.files).map(|f| f.name.clone()).collect();
        if planned.is_empty() {
            continue;
        }
        let seed = (lane == "M3.B").then(|| SEED.to_owned());
        for name in planned.into_iter().chain(seed).chain([summary]) {
            if !names.contains(&(lane, name.clone())) {
                names.push((lane, name));
            }
        }
    }
    let text_of = |lane: &str, name: &str, pointer: &str| {
        let document = run.left_by(lane, name)?;
        upstream::text(&document, pointer).map_err(|why| format!("{name}: {why}"))
    };
    Sources {
        files: names.into_iter().map(|(lane, name)| source_file(run, lane, name)).collect(),
        identity: Identity::of_files(run),
        env_key: text_of("M3.D", READINESS, "/required_platform_run_id_env_key"),
        run_json: text_of("M3.E", RUN_JSON_RECEIPT, "/resolved_run_json_key"),
        run_header: text_of("M3.E", RUN_HEADER_RECEIPT, "/resolved_run_header_key"),
    }
}

fn source_file(run: &LaneRun<'_>, lane: &str, name: String) -> SourceFile {
    let asked = minimum_fields(run, &name).iter().any(|field| field == "overall_pass");
    let mut file = SourceFile {
        lane: lane.to_owned(),
        must_pass: asked || name.ends_with("_execution_summary.json"),
        problem: None,
        overall_pass: None,
        identity: BTreeMap::new(),
        name,
    };
    match run.left_by(lane, &file.name) {
        Err(why) => file.problem = Some(why),
        Ok(document) => {
            file.overall_pass = document.get("overall_pass").and_then(Value::as_bool);
            for field in IDENTITY_FIELDS {
                // What is no text is no id of the run either, and is compared as it stands.
                let said = document.get(field).map(|value| value.as_str().map_or(value.to_string(), str::to_owned));
                file.identity.extend(said.map(|said| (field.to_owned(), said)));
            }
        }
    }
    file
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use serde_json::json;
    use support::run::check::AnyCheck as _;
    use support::run::finding::Outcome;
    use support::run::observation::{Answer, Observation, Observations};

    fn sources() -> Value {
        let file = |lane: &str| {
            json!({
                "lane": lane, "name": "f.json", "problem": null, "must_pass": true, "overall_pass": true,
                "identity": { "platform_run_id": "p" },
            })
        };
        json!({
            "files": LANES.map(file),
            "identity": { "Ok": { "platform_run_id": "p", "scenario_run_id": "s", "config_digest": "d" } },
            "env_key": { "Ok": "KEY" },
            "run_json": { "Ok": "evidence/runs/p/run.json" },
            "run_header": { "Ok": "evidence/runs/p/run_pin/run_header.json" },
        })
    }

    #[rstest]
    #[case("/files/0/overall_pass", json!(true), None)]
    #[case("/files/0/must_pass", json!(false), None)]
    #[case("/files/0/overall_pass", json!(false), Some("does not pass"))]
    #[case("/files/0/overall_pass", json!(null), Some("does not say whether"))]
    #[case("/files/1/problem", json!("is not there"), Some("is not there"))]
    #[case("/files/2/lane", json!("M3.B"), Some("asks no file of M3.D"))]
    #[case("/files/3/identity", json!({ "config_digest": "x" }), Some("`config_digest` is x"))]
    #[case("/identity", json!({ "Err": "two seeds" }), Some("two seeds"))]
    #[case("/env_key", json!({ "Err": "no key" }), Some("no key"))]
    #[case("/run_header", json!({ "Err": "no header" }), Some("no header"))]
    fn every_file_must_pass_and_speak_of_one_run(
        #[case] pointer: &str,
        #[case] value: Value,
        #[case] says: Option<&str>,
    ) {
        let mut seen = sources();
        *seen.pointer_mut(pointer).unwrap() = value;
        let mut all = Observations::default();
        all.insert(Observation::new("M3.F", "sources", "test", Answer::Value(seen)).unwrap());
        let finding = SOURCES.judge("M3.F", &all);
        match says {
            None => assert_eq!(finding.outcome, Outcome::Met, "{finding:?}"),
            Some(says) => {
                assert_eq!(finding.outcome, Outcome::Unmet, "{finding:?}");
                assert!(finding.why.contains(says), "{}", finding.why);
            }
        }
    }
}
