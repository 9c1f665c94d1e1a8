//! The surfaces that P1 needs: orchestrator, evidence bucket, and the stack's own outputs.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use support::ensure;
use support::run::check::{Check, Unmet};
use support::run::context::LaneRun;
use support::run::lane::Step;
use support::run::rows::{Output, RowOutput};
use support::substrate::Versioning;

use super::handles::{HandleSet, Resolution};
use super::{CORE_OUTPUTS, EVIDENCE_BUCKET, SFN_QUERY};

pub(super) const ORCHESTRATOR_HANDLE: &str = "SFN_PLATFORM_RUN_ORCHESTRATOR_V0";

/// What the registry, and M2's receipt beside it, say about names that surfaces state too, by the output's name.
type Expected = BTreeMap<String, Value>;

pub(super) static ORCHESTRATOR: Check<(RowOutput, HandleSet)> = Check::<(RowOutput, HandleSet)>::new(
    "orchestrator.queryable",
    "M3A-B4",
    &[SFN_QUERY, "handle_set"],
    |(row, set)| {
        let (machines, complete) = match row.runs.first().map(|run| &run.output) {
            Some(Output::StateMachines { machines, complete }) => (machines, complete),
            Some(Output::Absent { what }) => return Err(Unmet::from(format!("{what} does not exist"))),
            _ => return Err("Step Functions was not asked".into()),
        };
        // Which machine is meant is the registry's to say.
        let name = match set.resolved.get(ORCHESTRATOR_HANDLE) {
            Some(Resolution::Value { value, .. }) => value.as_str().unwrap_or_default(),
            Some(Resolution::Placeholder { why } | Resolution::Unresolved { why }) => {
                return Err(Unmet::blocked_by("M3A-B2", why.clone()));
            }
            Some(Resolution::Contradicted { why }) => return Err(Unmet::blocked_by("M3A-B6", why.clone())),
            Some(Resolution::Undefined { why }) => return Err(Unmet::blocked_by("M3A-B1", why.clone())),
            None => {
                let why = format!("the tasks of M3.A do not name {ORCHESTRATOR_HANDLE}");
                return Err(Unmet::blocked_by("PG-M3.A-handle_set", why));
            }
        };
        ensure!(*complete, "the list of state machines is not complete");
        let found = machines.iter().find(|machine| machine.name == name);
        let Some(machine) = found else {
            return Err(format!("Step Functions lists {} state machine(s), none named {name}", machines.len()).into());
        };
        Ok(format!("{} is listed", machine.arn))
    },
    |(row, _)| {
        for run in &mut row.runs {
            if let Output::StateMachines { machines, .. } = &mut run.output {
                machines.clear();
            }
        }
    },
)
.next("bring the runtime stack up (core, streaming, runtime), or correct SFN_PLATFORM_RUN_ORCHESTRATOR_V0");

pub(super) static BUCKET_REACHABLE: Check<RowOutput> = Check::<RowOutput>::new(
    "evidence.bucket_reachable",
    "M3A-B5",
    &[EVIDENCE_BUCKET],
    |row| match row.runs.first().map(|run| &run.output) {
        Some(Output::Bucket { bucket, .. }) => Ok(format!("s3://{bucket} answers")),
        Some(Output::Absent { what }) => Err(Unmet::from(format!("{what} does not exist"))),
        _ => Err(Unmet::from("the bucket was not asked")),
    },
    |row| row.runs.clear(),
)
.next("create the evidence bucket (M2's core stack), or correct S3_EVIDENCE_BUCKET");

pub(super) static BUCKET_VERSIONED: Check<Versioning> = Check::<Versioning>::derived(
    "evidence.bucket_versioned",
    "evidence_versioning",
    &["evidence_versioning"],
    |versioning| {
        // Without versions a deleted run id leaves no trace, and no id could be shown to be free.
        ensure!(*versioning == Versioning::Enabled, "the evidence bucket's versioning is {versioning:?}");
        Ok("the evidence bucket keeps versions".to_owned())
    },
    |versioning| *versioning = Versioning::Suspended,
)
.next("enable versioning on the evidence bucket");

/// The output by which the core stack's state is known: no other stack makes the evidence bucket.
const MADE_BY_CORE: &str = "s3_evidence_bucket";

pub(super) static OUTPUTS_AGREE: Check<(RowOutput, Expected)> = Check::<(RowOutput, Expected)>::new(
    "outputs.agree",
    "M3A-B6",
    &[CORE_OUTPUTS, "expected_outputs"],
    |(row, expected)| {
        let (state, outputs) = match row.runs.first().map(|run| &run.output) {
            Some(Output::TerraformOutputs { state, outputs, .. }) => (state, outputs),
            Some(Output::Absent { what }) => return Err(format!("{what} does not exist").into()),
            _ => return Err("the core stack's outputs were not read".into()),
        };
        ensure!(!outputs.is_empty(), "{state} has no output");
        let mut agreed = 0;
        for (name, value) in expected {
            match outputs.get(name) {
                Some(output) if output == value => agreed += 1,
                Some(output) => {
                    return Err(format!("{state} says that {name} is {output}, registry or receipt say {value}").into());
                }
                None => {}
            }
        }
        // Whatever else agrees: a state without it is another stack's, and says nothing of this one.
        ensure!(
            outputs.contains_key(MADE_BY_CORE),
            "{state} does not state {MADE_BY_CORE}, which the core stack makes: this is another stack's state"
        );
        ensure!(agreed > 0, "{state} states none of {}", expected.keys().cloned().collect::<Vec<_>>().join(", "));
        Ok(format!("{agreed} value(s) of {state} agree with registry and receipt"))
    },
    |(_, expected)| expected.values_mut().for_each(|value| *value = json!("doctored")),
)
.next("apply the core stack again, or correct the value that the message names");

/// Takes down what the surfaces' answers are compared with.
pub(super) fn observe_expected(run: &mut LaneRun<'_>) -> Step {
    let set: HandleSet = run.fact("handle_set")?;
    let mut expected: Expected = set
        .resolved
        .into_iter()
        .filter_map(|(handle, resolution)| match resolution {
            Resolution::Value { value, .. } => Some((handle.to_ascii_lowercase(), value)),
            _ => None,
        })
        .collect();
    for handle in ["TF_STATE_BUCKET", "AWS_REGION", "S3_EVIDENCE_BUCKET"] {
        if let Ok(resolved) = run.handles().resolve(handle) {
            expected.insert(handle.to_ascii_lowercase(), resolved.value);
        }
    }
    run.observe(
        "expected_outputs",
        "the required handles, by the names that the core stack gives its outputs",
        &expected,
    )
}
