//! The lanes that M3.H pays for: closed, and judged again.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use support::ensure;
use support::run::check::{Check, Unmet};
use support::run::context::{Executed, LaneRun};
use support::run::finding::Basis;
use support::run::lane::Stop;
use support::substrate::reply::CallErrorKind;

use super::UPSTREAM;
use crate::m3::dev_full::upstream::Identity;

/// One lane before this one.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Link {
    pub executed: Executed,
    /// Its summary on disk, or why there is none.
    pub local: Result<Value, String>,
    /// The same in the store.
    pub durable: Result<Value, String>,
    /// What is not met in it, by code, judged again from its stored observations.
    pub open: BTreeMap<String, String>,
}

/// All of them, and the identity that they pinned.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Chain {
    pub links: BTreeMap<String, Link>,
    pub identity: Result<Identity, String>,
}

impl Link {
    /// Why the lane is not one that may be paid for.
    fn refused(&self, lane: &str) -> Result<(), Unmet> {
        if let Some((code, why)) = self.open.first_key_value() {
            return Err(format!("{lane}, judged again: {code}: {why}").into());
        }
        let name = summary_of(lane);
        let local = self.local.as_ref().map_err(|why| Unmet::from(why.clone()))?;
        let durable = self.durable.as_ref().map_err(|why| Unmet::from(why.clone()))?;
        ensure!(local == durable, "{name} on disk, and in the store as s3api get-object gave it, are two documents");
        for (field, expected) in [
            ("execution_id", Value::from(self.executed.execution_id.as_str())),
            ("phase_execution_id", Value::from(self.executed.phase_execution_id.as_str())),
            ("overall_pass", Value::from(true)),
            ("blockers", Value::Array(Vec::new())),
        ] {
            let said = local.get(field).unwrap_or(&Value::Null);
            ensure!(*said == expected, "{name}: `{field}` is {said}, and {expected} is expected");
        }
        Ok(())
    }
}

pub(super) static GREEN: Check<Chain> = Check::<Chain>::new(
    "upstream.green",
    "M3H-B2",
    &["upstream"],
    |chain| {
        for lane in UPSTREAM {
            let link = chain.links.get(lane).ok_or_else(|| Unmet::from(format!("{lane} was not looked at")))?;
            link.refused(lane)?;
        }
        if let Err(why) = &chain.identity {
            return Err(format!("the run's identity cannot be read again: {why}").into());
        }
        Ok(format!("{} lanes: every check is met when judged again, and each summary says so", UPSTREAM.len()))
    },
    |chain| {
        if let Some(link) = chain.links.values_mut().next() {
            link.open.insert("M3A-B7".to_owned(), "doctored".to_owned());
        }
    },
)
.basis(Basis::Recomputed)
.next("run the lane that the message names again, and all lanes after it");

pub(super) fn chain(run: &mut LaneRun<'_>) -> Result<Chain, Stop> {
    let bucket = run.evidence_bucket()?;
    let mut links = BTreeMap::new();
    for lane in UPSTREAM {
        let name = summary_of(lane);
        let key = run.control_key_of(lane, &name)?;
        let durable = match run.world()?.objects.get_object(&bucket, &key, None) {
            Ok(reply) => {
                serde_json::from_slice(&reply.value.bytes).map_err(|e| format!("s3://{bucket}/{key} is no JSON: {e}"))
            }
            Err(error) if error.kind == CallErrorKind::NotFound => Err(format!("s3://{bucket}/{key} does not exist")),
            Err(error) => {
                let call = format!("aws s3api get-object --bucket {bucket} --key '{key}' /dev/stdout");
                return Err(run.unanswered("upstream", &call, error));
            }
        };
        let local = run.left_by(lane, &name);
        let link = Link { executed: run.executed(lane)?, local, durable, open: run.open_in(lane)? };
        links.insert(lane.to_owned(), link);
    }
    Ok(Chain { links, identity: Identity::of_files(run) })
}

/// `m3a_execution_summary.json`.
fn summary_of(lane: &str) -> String {
    format!("{}_execution_summary.json", lane.to_ascii_lowercase().replace('.', ""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use serde_json::json;
    use support::run::clock::Instant;

    fn summary() -> Value {
        json!({
            "execution_id": "m3b_20260223T174307Z",
            "phase_execution_id": "m3_20260223T174307Z",
            "overall_pass": true,
            "blockers": [],
        })
    }

    fn link() -> Link {
        Link {
            executed: Executed {
                execution_id: "m3b_20260223T174307Z".to_owned(),
                phase_execution_id: "m3_20260223T174307Z".to_owned(),
                instant: Instant::parse("2026-02-23T17:43:07Z").unwrap(),
            },
            local: Ok(summary()),
            durable: Ok(summary()),
            open: BTreeMap::new(),
        }
    }

    #[test]
    fn a_lane_that_is_closed_is_accepted() {
        assert_eq!(link().refused("M3.B"), Ok(()));
    }

    #[rstest]
    #[case("overall_pass", json!(false))]
    #[case("overall_pass", json!("true"))]
    #[case("blockers", json!(["M3B-B2"]))]
    #[case("blockers", json!(null))]
    #[case("execution_id", json!("m3b_20260223T184232Z"))]
    #[case("phase_execution_id", json!("m3_20260223T184232Z"))]
    fn a_summary_that_says_otherwise_is_not(#[case] field: &str, #[case] value: Value) {
        let mut link = link();
        for summary in [&mut link.local, &mut link.durable].into_iter().flatten() {
            summary[field] = value.clone();
        }
        let why = link.refused("M3.B").unwrap_err().why;
        assert!(why.contains(&format!("m3b_execution_summary.json: `{field}`")), "{why}");
    }

    #[test]
    fn two_summaries_are_none() {
        let mut link = link();
        link.durable = Ok(json!({"overall_pass": true}));
        assert!(link.refused("M3.B").unwrap_err().why.contains("two documents"));
        link.durable = Err("gone".to_owned());
        assert!(link.refused("M3.B").unwrap_err().why.contains("gone"));
    }

    #[test]
    fn what_is_judged_again_counts_more_than_what_is_said() {
        let mut link = link();
        link.open.insert("M3B-B2".to_owned(), "taken".to_owned());
        assert!(link.refused("M3.B").unwrap_err().why.contains("judged again: M3B-B2"));
    }
}
