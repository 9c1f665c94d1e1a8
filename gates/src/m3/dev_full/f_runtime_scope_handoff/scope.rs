//! What the pack says: the run, the variable that carries it into M4, and the fields of correlation.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use support::ensure;
use support::run::check::{Check, Unmet};
use support::run::context::LaneRun;
use support::run::finding::Basis;
use support::run::lane::Stop;

use super::sources::{LANES, Sources};
use crate::m3::dev_full::b_run_identity::SEED;
use crate::m3::dev_full::d_orchestrator_entry::READINESS;
use crate::m3::dev_full::upstream::{self, Identity};
use crate::m3::dev_full::{laws, lists, scenario};

pub(super) const ENV_KEY_FIELD: &str = "required_platform_run_id_env_key";
pub(super) const ENV_VALUE_FIELD: &str = "required_platform_run_id_env_value";

const ENV_KEY_HANDLE: &str = "REQUIRED_PLATFORM_RUN_ID_ENV_KEY";
const CORRELATION_HANDLE: &str = "CORRELATION_REQUIRED_FIELDS";

const BINDING_LAW: &str = "Runtime-scope binding law";
const CORRELATION_LAW: &str = "Correlation contract law";
/// The runbook's own name for the rule that pins the list.
const CORRELATION_RULE: &str = "cross-runtime correlation rule";

/// What the pack is to say; copied, and derived from nothing.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Pack {
    pub identity: Identity,
    /// As M3.D found it pinned.
    pub env_key: String,
    pub env_value: String,
    /// As the registry pins them; or why it does not.
    pub correlation: Result<Vec<String>, String>,
    /// Keys in the evidence bucket, by name.
    pub references: BTreeMap<String, String>,
    /// The executions behind it, by lane.
    pub source_execution_ids: BTreeMap<String, String>,
}

/// What the pack's env key and value are held against.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Binding {
    /// The code spans of each clause of the plan's binding law.
    pub law: Vec<Vec<String>>,
    /// The key in the registry, read again from disk.
    pub registry: Result<String, String>,
    /// The run id in M3.B's seed.
    pub platform_run_id: Result<String, String>,
}

/// What the pack's list of fields is held against.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Correlation {
    /// The list of the runbook's rule.
    pub runbook: Result<Vec<String>, String>,
    /// The list of the plan's law.
    pub law: Result<Vec<String>, String>,
}

pub(super) static MAPPING_WRITTEN: Check<Binding> = Check::<Binding>::new(
    "scope.mapping_written",
    "M3F-B2",
    &["binding"],
    |binding| {
        for (field, source) in [(ENV_KEY_FIELD, ENV_KEY_HANDLE), (ENV_VALUE_FIELD, "platform_run_id")] {
            let bound =
                binding.law.iter().any(|spans| spans.iter().any(|s| s == field) && spans.iter().any(|s| s == source));
            ensure!(bound, "no clause of the plan's {BINDING_LAW} binds `{field}` to `{source}`");
        }
        Ok(format!("the plan binds `{ENV_KEY_FIELD}` to `{ENV_KEY_HANDLE}`, `{ENV_VALUE_FIELD}` to the run id"))
    },
    |binding| binding.law.clear(),
)
.basis(Basis::Documented)
.next("name field and source of key and value, in backticks, in the Runtime-scope binding law of M3.F");

pub(super) static BOUND: Check<(Pack, Binding)> = Check::<(Pack, Binding)>::new(
    "scope.bound",
    "M3F-B2",
    &["pack", "binding"],
    |(pack, binding)| {
        let pinned = binding.registry.as_ref().map_err(|why| Unmet::from(why.clone()))?;
        ensure!(
            pack.env_key == *pinned,
            "the pack's env key is {}, as M3.D found it; the registry, read again, pins {}",
            lists::shown(&pack.env_key),
            lists::shown(pinned)
        );
        let run = binding.platform_run_id.as_ref().map_err(|why| Unmet::from(why.clone()))?;
        ensure!(pack.env_value == *run, "the pack's env value is {}, the run is {run}", pack.env_value);
        ensure!(pack.identity.platform_run_id == *run, "the pack is of {}, the run is {run}", pack.env_value);
        Ok(format!("{}={run}", lists::shown(pinned)))
    },
    |(pack, _)| pack.env_value = "platform_19700101T000000Z".to_owned(),
)
.next("take the edit of REQUIRED_PLATFORM_RUN_ID_ENV_KEY back, or run M3 again from M3.A");

pub(super) static CORRELATION_WRITTEN: Check<Correlation> = Check::<Correlation>::new(
    "correlation.written",
    "M3F-B3",
    &["correlation"],
    |correlation| {
        let runbook = correlation.runbook.as_ref().map_err(|why| Unmet::from(format!("the runbook: {why}")))?;
        let law =
            correlation.law.as_ref().map_err(|why| Unmet::from(format!("the plan's {CORRELATION_LAW}: {why}")))?;
        ensure!(
            law == runbook,
            "the plan's {CORRELATION_LAW} lists {}, the runbook's rule {}",
            lists::shown(&law.join(",")),
            lists::shown(&runbook.join(","))
        );
        Ok(format!("runbook and plan list the same {} fields", law.len()))
    },
    |correlation| correlation.law = Ok(vec!["doctored".to_owned()]),
)
.basis(Basis::Documented)
.next("make the list in the Correlation contract law of M3.F the runbook's again");

pub(super) static CORRELATION: Check<(Pack, Correlation)> = Check::<(Pack, Correlation)>::new(
    "correlation.as_pinned",
    "M3F-B3",
    &["pack", "correlation"],
    |(pack, correlation)| {
        let runbook = correlation.runbook.as_ref().map_err(|why| Unmet::from(format!("the runbook: {why}")))?;
        let packed = pack.correlation.as_ref().map_err(|why| Unmet::from(why.clone()))?;
        ensure!(
            packed == runbook,
            "the pack lists {}, as {CORRELATION_HANDLE} does; the runbook pins {}",
            lists::shown(&packed.join(",")),
            lists::shown(&runbook.join(","))
        );
        Ok(format!("{}: the runbook's list, entry for entry", lists::shown(&packed.join(","))))
    },
    |(pack, _)| {
        if let Ok(fields) = &mut pack.correlation {
            fields.pop();
        }
    },
)
.next("make CORRELATION_REQUIRED_FIELDS in the registry the runbook's list again");

/// The pack, out of sources that pass.
///
/// # Errors
/// When they do not; the check of the sources says why.
pub(super) fn assemble(run: &LaneRun<'_>, sources: &Sources) -> Result<Pack, Stop> {
    let fault = |why: &String| Stop::Fault(why.clone());
    let identity = sources.identity.clone().map_err(|why| fault(&why))?;
    let references = BTreeMap::from([
        ("run_json".to_owned(), sources.run_json.clone().map_err(|why| fault(&why))?),
        ("run_header".to_owned(), sources.run_header.clone().map_err(|why| fault(&why))?),
        ("m3d_orchestrator_entry_readiness".to_owned(), run.control_key_of("M3.D", READINESS)?),
    ]);
    let ids = run.lane_execution_ids();
    let source_execution_ids = LANES
        .iter()
        .filter_map(|lane| {
            let id = ids.get(&lane.to_ascii_lowercase().replace('.', ""))?;
            Some(((*lane).to_owned(), id.clone()))
        })
        .collect();
    Ok(Pack {
        env_key: sources.env_key.clone().map_err(|why| fault(&why))?,
        env_value: identity.platform_run_id.clone(),
        identity,
        correlation: scenario::text(run.handles(), CORRELATION_HANDLE).and_then(|listed| lists::list(&listed)),
        references,
        source_execution_ids,
    })
}

/// Key and value of the scope, from where they are pinned.
pub(super) fn binding(run: &LaneRun<'_>) -> Binding {
    let law = laws::clauses(run, "M3.F", BINDING_LAW);
    let registry = match run.read_handles_again() {
        Ok(again) => scenario::text(&again, ENV_KEY_HANDLE),
        Err(stop) => Err(format!("the registry cannot be read again: {}", upstream::words(&stop))),
    };
    let platform_run_id = run.left_by("M3.B", SEED).and_then(|seed| upstream::text(&seed, "/platform_run_id"));
    Binding {
        law: law.iter().map(|clause| lists::spans(clause).map(str::to_owned).collect()).collect(),
        registry,
        platform_run_id,
    }
}

/// The lists of the runbook and of the plan.
pub(super) fn correlation(run: &LaneRun<'_>) -> Correlation {
    let law = laws::clauses(run, "M3.F", CORRELATION_LAW);
    let runbook = match &run.documents().runbook_path {
        None => Err("the plan's Authority Inputs name no runbook".to_owned()),
        Some(path) => run.repository().text(path).map_err(|e| e.to_string()).and_then(|text| in_runbook(&text)),
    };
    Correlation { runbook, law: lists::one_list(law.iter().map(String::as_str)) }
}

/// The list of the runbook's correlation rule: the code span with commas on the rule's line.
fn in_runbook(text: &str) -> Result<Vec<String>, String> {
    let rules: Vec<&str> = text.lines().filter(|line| line.to_ascii_lowercase().contains(CORRELATION_RULE)).collect();
    match rules.as_slice() {
        [rule] => lists::one_list([*rule]),
        other => Err(format!("{} lines speak of the {CORRELATION_RULE}, and one is needed", other.len())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("4. **Cross-runtime correlation rule:** required fields `a,b` travel.\n", Ok(vec!["a", "b"]))]
    #[case("4. **Cross-runtime correlation rule:** required fields travel.\n", Err("0 comma-separated"))]
    #[case("4. **Single-path:** fields `a,b` travel.\n", Err("0 lines speak"))]
    #[case("cross-runtime correlation rule `a,b`\nCross-runtime correlation rule `a,b`\n", Err("2 lines speak"))]
    #[case("4. **Cross-runtime correlation rule:** `a,,b`\r\n", Err("the entry ``"))]
    fn the_runbook_pins_one_list(#[case] text: &str, #[case] is: Result<Vec<&str>, &str>) {
        match (in_runbook(text), is) {
            (Ok(fields), Ok(expected)) => assert_eq!(fields, expected),
            (Err(why), Err(says)) => assert!(why.contains(says), "{why}"),
            (other, _) => panic!("{other:?}"),
        }
    }
}
