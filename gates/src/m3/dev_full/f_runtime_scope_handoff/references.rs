//! What the pack points to: in the store, readable, and of this run.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use support::ensure;
use support::run::check::{Check, Unmet};
use support::run::context::LaneRun;
use support::run::lane::Step;
use support::run::rows::{Output, RowOutput};

use super::REF_READABLE;
use super::scope::Pack;
use crate::m3::dev_full::e_run_evidence::{RUN_HEADER, RUN_JSON};
use crate::m3::dev_full::{laws, lists, upstream};

const REFERENCE_LAW: &str = "Durable reference law";

/// The keys that the plan's law asks the pack to point to, filled; or why one cannot be.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Required(Vec<Result<String, String>>);

/// What M3.E left of the run's two objects, by the references' names; or why it cannot be read. M3.D's snapshot has checks of its own.
pub(super) type Left = BTreeMap<String, Result<Value, String>>;

pub(super) static REFERENCES: Check<(RowOutput, Pack, Required, Left)> =
    Check::<(RowOutput, Pack, Required, Left)>::new(
        "handoff.references",
        "M3F-B4",
        &[REF_READABLE, "pack", "required_references", "referenced_files"],
        |(row, pack, required, left)| {
            ensure!(!required.0.is_empty(), "the plan's {REFERENCE_LAW} names no key in backticks");
            for key in &required.0 {
                let key = key.as_ref().map_err(|why| Unmet::from(why.clone()))?;
                ensure!(
                    pack.references.values().any(|referenced| referenced == key),
                    "the pack does not point to {key}, as the plan's {REFERENCE_LAW} asks"
                );
            }
            for (name, key) in &pack.references {
                let asked = row.runs.iter().find(|run| run.bindings.get("referenced_key") == Some(key));
                let Some(Output::Heads { bucket, keys }) = asked.map(|run| &run.output) else {
                    return Err(Unmet::from(format!("`{name}` was not asked for: {key}")));
                };
                ensure!(keys.get(key) == Some(&true), "s3://{bucket}/{key} does not exist");
                let read = row.follow_ups.get(name).ok_or_else(|| Unmet::from(format!("{key} was not opened")))?;
                of_this_run(&read.value, pack).map_err(|why| Unmet::from(format!("s3://{bucket}/{key}: {why}")))?;
                // Another object of this run speaks of it too.
                if let Some(put) = left.get(name) {
                    let put = put.as_ref().map_err(|why| Unmet::from(format!("s3://{bucket}/{key}: {why}")))?;
                    ensure!(read.value == *put, "s3://{bucket}/{key} gave another document than M3.E put there");
                }
            }
            Ok(format!(
                "{} objects, each found, opened, and of {}",
                pack.references.len(),
                pack.identity.platform_run_id
            ))
        },
        |(row, ..)| {
            for run in &mut row.runs {
                if let Output::Heads { keys, .. } = &mut run.output {
                    keys.values_mut().for_each(|there| *there = false);
                }
            }
        },
    )
    .next("look at the object with `aws s3api head-object`; run the gate again, which pins another run");

/// Whether a document is about the pack's run. Run objects and M3.D's snapshot all name run and scenario.
fn of_this_run(document: &Value, pack: &Pack) -> Result<(), String> {
    let run = &pack.identity;
    for (field, pinned, must) in [
        ("platform_run_id", &run.platform_run_id, true),
        ("scenario_run_id", &run.scenario_run_id, true),
        ("config_digest", &run.config_digest, false),
    ] {
        if !must && document.get(field).is_none() {
            continue;
        }
        let said = upstream::text(document, &format!("/{field}"))?;
        if said != *pinned {
            return Err(format!("`{field}` is {said}, the run's is {pinned}"));
        }
    }
    Ok(())
}

/// Asks for each reference by head, and opens it.
pub(super) fn observe(run: &mut LaneRun<'_>, pack: &Pack) -> Step {
    let required = Required(required(run, pack));
    run.observe("required_references", "the plan's Durable reference law", &required)?;
    let bucket = run.evidence_bucket()?;
    let each: Vec<Vec<(&str, &str)>> =
        pack.references.values().map(|key| vec![("referenced_key", key.as_str())]).collect();
    let row = run.row_each_with(REF_READABLE, &each)?;
    for (name, key) in &pack.references {
        let there = row.runs.iter().any(|asked| match &asked.output {
            Output::Heads { keys, .. } => keys.get(key) == Some(&true),
            _ => false,
        });
        if there {
            run.follow_up_json(REF_READABLE, name, &bucket, key)?;
        }
    }
    let of_run = |key: &str| [RUN_JSON, RUN_HEADER].into_iter().find(|name| key.ends_with(&format!("/{name}")));
    let left = pack.references.iter().filter_map(|(name, key)| Some((name.clone(), run.left_by("M3.E", of_run(key)?))));
    let left: Left = left.collect();
    run.observe("referenced_files", "run.json and its header, as M3.E left them", &left)
}

fn required(run: &LaneRun<'_>, pack: &Pack) -> Vec<Result<String, String>> {
    let run_id = [("platform_run_id", pack.identity.platform_run_id.as_str())];
    laws::clauses(run, "M3.F", REFERENCE_LAW)
        .iter()
        .flat_map(|clause| lists::spans(clause))
        .filter(|span| span.contains('/'))
        .map(|pattern| run.fill(pattern, &run_id).map_err(|stop| upstream::words(&stop)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::m3::dev_full::upstream::Identity;
    use rstest::rstest;
    use serde_json::json;

    #[rstest]
    #[case(json!({ "platform_run_id": "p", "scenario_run_id": "s" }), None)]
    #[case(json!({ "platform_run_id": "p", "scenario_run_id": "s", "config_digest": "d" }), None)]
    #[case(json!({ "platform_run_id": "q", "scenario_run_id": "s" }), Some("`platform_run_id` is q"))]
    #[case(json!({ "platform_run_id": "p", "scenario_run_id": "t" }), Some("`scenario_run_id` is t"))]
    #[case(json!({ "platform_run_id": "p" }), Some("scenario_run_id"))]
    #[case(json!({ "platform_run_id": "p", "scenario_run_id": "s", "config_digest": "e" }), Some("`config_digest` is e"))]
    #[case(json!({ "platform_run_id": "p", "scenario_run_id": "s", "config_digest": null }), Some("no text"))]
    #[case(json!([]), Some("platform_run_id"))]
    fn a_referenced_document_is_of_the_run(#[case] document: Value, #[case] says: Option<&str>) {
        let text = str::to_owned;
        let pack = Pack {
            identity: Identity { platform_run_id: text("p"), scenario_run_id: text("s"), config_digest: text("d") },
            env_key: text("K"),
            env_value: text("p"),
            correlation: Ok(vec![text("a")]),
            references: BTreeMap::new(),
            source_execution_ids: BTreeMap::new(),
        };
        match (of_this_run(&document, &pack), says) {
            (Ok(()), None) => {}
            (Err(why), Some(says)) => assert!(why.contains(says), "{why}"),
            (other, _) => panic!("{other:?}"),
        }
    }
}
