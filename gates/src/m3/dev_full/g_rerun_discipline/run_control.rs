//! What earlier executions left under the root of control evidence, by name (PLANS.md 24).

use serde::{Deserialize, Serialize};
use serde_json::Value;
use support::run::context::LaneRun;
use support::run::lane::Stop;
use support::substrate::reply::CallErrorKind;

/// The keys under the root of control evidence.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct RunControl {
    /// `evidence/dev_full/run_control/`.
    pub root: String,
    pub keys: Vec<String>,
    /// Every page was walked: only then does a name's absence mean something.
    pub complete: bool,
}

impl RunControl {
    /// The keys of files directly below an execution's folder whose name is one that is looked for.
    pub(super) fn named(&self, is_one: impl Fn(&str) -> bool) -> Vec<String> {
        let below = |key: &&String| {
            let parts: Vec<&str> = key.strip_prefix(self.root.as_str()).unwrap_or("").split('/').collect();
            matches!(parts.as_slice(), [_, name] if is_one(name))
        };
        self.keys.iter().filter(below).cloned().collect()
    }
}

/// Lists the root. A list without an answer is taken down as `name`.
pub(super) fn list(run: &mut LaneRun<'_>, name: &str) -> Result<RunControl, Stop> {
    let own = format!("{}/", run.own_execution_id());
    let folder = run.lane_control_key("");
    let Some(root) = folder.strip_suffix(own.as_str()).map(str::to_owned) else {
        return Err(Stop::Fault(format!("the lane's control evidence stands at `{folder}`, and not in `{own}`")));
    };
    let bucket = run.evidence_bucket()?;
    match run.world()?.objects.list_objects(&bucket, &root, None) {
        Ok(reply) => {
            let keys = reply.value.entries.into_iter().map(|object| object.key).collect();
            Ok(RunControl { root, keys, complete: reply.value.complete })
        }
        Err(error) => {
            let call = format!("aws s3api list-objects-v2 --bucket {bucket} --prefix {root}");
            Err(run.unanswered(name, &call, error))
        }
    }
}

/// A JSON object of the evidence bucket, or why it is none. A read without an answer is taken down as `name`.
pub(super) fn document(run: &mut LaneRun<'_>, name: &str, key: &str) -> Result<Result<Value, String>, Stop> {
    let bucket = run.evidence_bucket()?;
    match run.world()?.objects.get_object(&bucket, key, None) {
        Ok(reply) => Ok(serde_json::from_slice(&reply.value.bytes).map_err(|e| format!("it is no JSON: {e}"))),
        Err(error) if error.kind == CallErrorKind::NotFound => Ok(Err("it was listed, and is gone".to_owned())),
        Err(error) => {
            let call = format!("aws s3api get-object --bucket {bucket} --key '{key}' /dev/stdout");
            Err(run.unanswered(name, &call, error))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_found_by_name_directly_below_an_execution() {
        let keys =
            ["rc/m3f_1/pack.json", "rc/m3f_1/sub/pack.json", "rc/pack.json", "rc/m3f_2/other.json", "x/m/pack.json"];
        let control = RunControl { root: "rc/".to_owned(), keys: keys.map(str::to_owned).to_vec(), complete: true };
        assert_eq!(control.named(|name| name == "pack.json"), ["rc/m3f_1/pack.json"]);
    }
}
