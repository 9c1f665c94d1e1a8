//! The receipt that sets cost against outcome: exactly the registry's fields, with references that can be read.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use support::ensure;
use support::evidence::digest;
use support::run::check::{Check, Unmet};
use support::run::clock::Instant;
use support::run::context::LaneRun;
use support::run::lane::{Step, Stop};
use support::run::publication::Publication;
use support::substrate::reply::CallErrorKind;

use super::chain::Chain;
use super::handles::{RECEIPT_FIELDS, fields};
use super::money::Spend;
use super::sources::{Windows, address};
use super::{PHASE_ID, UPSTREAM, cause};
use crate::m3::dev_full::scenario;
use crate::m3::dev_full::upstream::{self, words};

pub(super) const RECEIPT: &str = "m3h_phase_cost_outcome_receipt.json";

/// The receipt before it is published.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub(super) enum Draft {
    /// It was made; `required` is what the registry, read again, asks of it.
    Made { document: Value, required: Result<Vec<String>, String> },
    /// It was not, and `by` says why.
    Withheld { by: String },
}

/// SHA-256 of each object that the receipt refers to, by address; or why there is none.
pub(super) type Reads = BTreeMap<String, Result<String, String>>;

/// One artifact that the receipt refers to.
struct Reference {
    uri: String,
    sha256: String,
}

pub(super) static COMPLETE: Check<(Draft, Reads, Spend, Windows)> = Check::<(Draft, Reads, Spend, Windows)>::new(
    "receipt.complete",
    "M3H-B6",
    &["receipt", "artifact_reads", "spend", "windows"],
    |(draft, reads, spend, windows)| {
        let (document, required) = match draft {
            Draft::Made { document, required } => (document, required),
            Draft::Withheld { by } => return Err(cause::blocked(by, "no receipt was made")),
        };
        let required = required.as_ref().map_err(|why| Unmet::from(why.clone()))?;
        let references = accept(document, required, spend, windows)?;
        for reference in &references {
            let uri = &reference.uri;
            let read = reads.get(uri).ok_or_else(|| Unmet::from(format!("{uri} was not read")))?;
            let read = read.as_ref().map_err(|why| Unmet::from(format!("{uri}: {why}")))?;
            ensure!(*read == reference.sha256, "{uri} has sha256 {read}, the receipt says {}", reference.sha256);
        }
        Ok(format!("{} fields, as the registry asks; {} artifacts read again", required.len(), references.len()))
    },
    |(draft, ..)| {
        if let Draft::Made { document: Value::Object(fields), .. } = draft {
            fields.insert("doctored".to_owned(), json!(true));
        }
    },
)
.next(
    "correct COST_OUTCOME_RECEIPT_REQUIRED_FIELDS, or publish the artifact that the message names again, in a new run",
);

/// The references of a receipt that has exactly the fields that are required, and the values that they must have.
fn accept(document: &Value, required: &[String], spend: &Spend, windows: &Windows) -> Result<Vec<Reference>, Unmet> {
    let Some(fields) = document.as_object() else { return Err("the receipt is no JSON object".into()) };
    if let Some(missing) = required.iter().find(|field| !fields.contains_key(*field)) {
        return Err(format!("the receipt has no `{missing}`, which {RECEIPT_FIELDS} asks for").into());
    }
    if let Some(extra) = fields.keys().find(|field| !required.contains(field)) {
        return Err(format!("the receipt has `{extra}`, which {RECEIPT_FIELDS} does not name").into());
    }
    let text = |field: &str| {
        upstream::text(document, &format!("/{field}")).map_err(|why| Unmet::from(format!("the receipt: {why}")))
    };
    for field in required.iter().filter(|field| *field != "artifacts_emitted") {
        text(field)?;
    }
    for (field, expected) in [("window_start_utc", windows.began), ("window_end_utc", windows.ended)] {
        let said = Instant::parse(&text(field)?).map_err(|e| Unmet::from(format!("the receipt's {field}: {e}")))?;
        ensure!(said == expected, "the receipt's {field} is {}, M3's is {}", said.rfc3339(), expected.rfc3339());
    }
    let total = spend.total.as_ref().map_err(|why| Unmet::from(why.clone()))?;
    for (field, expected) in [("spend_amount", total), ("spend_currency", &spend.currency)] {
        let said = text(field)?;
        ensure!(said == *expected, "the receipt's {field} is {said}, and {expected} was found");
    }
    let listed = document.get("artifacts_emitted").and_then(Value::as_array);
    let listed = listed.filter(|listed| !listed.is_empty());
    let listed = listed.ok_or_else(|| Unmet::from("the receipt refers to no artifact in `artifacts_emitted`"))?;
    listed.iter().map(reference).collect()
}

fn reference(entry: &Value) -> Result<Reference, Unmet> {
    let of = |field: &str| {
        upstream::text(entry, &format!("/{field}")).map_err(|why| Unmet::from(format!("an artifact reference: {why}")))
    };
    of("name")?;
    Ok(Reference { uri: of("uri")?, sha256: of("sha256")? })
}

/// The receipt, out of what was observed; a field that the registry asks for and that nothing here can say is left out.
pub(super) fn draft(run: &LaneRun<'_>, spend: &Spend, windows: &Windows) -> Result<Draft, Stop> {
    let chain: Chain = run.fact("upstream")?;
    let identity = chain.identity.map_err(Stop::Fault)?;
    let total = spend.total.clone().map_err(Stop::Fault)?;
    let known = [
        ("phase_id", json!(PHASE_ID)),
        ("phase_execution_id", json!(run.phase_execution_id())),
        ("window_start_utc", json!(windows.began)),
        ("window_end_utc", json!(windows.ended)),
        ("spend_amount", json!(total)),
        ("spend_currency", json!(spend.currency)),
        ("artifacts_emitted", Value::Array(artifacts(run)?)),
        (
            "decision_or_risk_retired",
            json!(format!(
                "P1 RUN_PINNED: {} of {} is pinned by config_digest {}, and no other run has its id",
                identity.platform_run_id, identity.scenario_run_id, identity.config_digest
            )),
        ),
    ];
    let required = run
        .read_handles_again()
        .map_err(|stop| words(&stop))
        .and_then(|handles| scenario::text(&handles, RECEIPT_FIELDS))
        .and_then(|listed| fields(&listed));
    let asked: &[String] = match &required {
        Ok(fields) => fields,
        Err(_) => &[],
    };
    let mut document = Map::new();
    for field in asked {
        if let Some((_, value)) = known.iter().find(|(name, _)| name == field) {
            document.insert(field.clone(), value.clone());
        }
    }
    Ok(Draft::Made { document: Value::Object(document), required })
}

/// Every file that the lanes of M3 have in the store so far.
fn artifacts(run: &LaneRun<'_>) -> Result<Vec<Value>, Stop> {
    let mut all = Vec::new();
    for lane in UPSTREAM.into_iter().chain(["M3.H"]) {
        for (name, publication) in run.publications_of(lane)? {
            if let Publication::Published { receipt, .. } = publication
                && let Some(durable) = &receipt.durable
            {
                all.push(json!({ "name": name, "uri": durable.uri, "sha256": receipt.sha256_local }));
            }
        }
    }
    Ok(all)
}

/// Reads every object that the receipt refers to, and takes down what was found.
pub(super) fn read_artifacts(run: &mut LaneRun<'_>, draft: &Draft) -> Step {
    let mut reads = Reads::new();
    let listed = match draft {
        Draft::Made { document, .. } => document.get("artifacts_emitted").and_then(Value::as_array),
        Draft::Withheld { .. } => None,
    };
    for uri in listed.into_iter().flatten().filter_map(|entry| entry.get("uri")?.as_str()) {
        let read = match address(uri) {
            Err(why) => Err(why),
            Ok((bucket, key)) => match run.world()?.objects.get_object(bucket, key, None) {
                Ok(reply) => Ok(digest::sha256_hex(&reply.value.bytes)),
                Err(error) if error.kind == CallErrorKind::NotFound => Err("it does not exist".to_owned()),
                Err(error) => {
                    // The check of the receipt says that there was no answer; the lane's other files are left all the same.
                    run.unanswered("artifact_reads", &format!("aws s3 cp '{uri}' -"), error);
                    return Ok(());
                }
            },
        };
        reads.insert(uri.to_owned(), read);
    }
    run.observe("artifact_reads", "the artifacts that the receipt refers to, read again", &reads)
}

/// What became of the receipt.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub(super) enum Proof {
    /// It was not published, and `by` says why.
    NotPut { by: String },
    /// It was; this is what stands there, read once more.
    Put { uri: String, sha256: String, read: Result<ReadBack, String> },
}

/// An object, read once more.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct ReadBack {
    pub sha256: String,
    pub document: Result<Value, String>,
}

impl Proof {
    /// Whether what stands in the store is an accepted receipt.
    pub(super) fn accepted(&self, draft: &Draft, spend: &Spend, windows: &Windows) -> Result<String, Unmet> {
        let (uri, sha256, read) = match self {
            Self::NotPut { by } => return Err(cause::blocked(by, "no receipt was published")),
            Self::Put { uri, sha256, read } => (uri, sha256, read),
        };
        let read = read.as_ref().map_err(|why| Unmet::from(format!("{uri} cannot be read back: {why}")))?;
        ensure!(read.sha256 == *sha256, "{uri} reads back as sha256 {}, put as {sha256}", read.sha256);
        let document = read.document.as_ref().map_err(|why| Unmet::from(format!("{uri}: {why}")))?;
        let Draft::Made { required: Ok(required), .. } = draft else {
            return Err("what the registry asks of a receipt is not known".into());
        };
        accept(document, required, spend, windows)?;
        Ok(uri.clone())
    }
}

pub(super) static PROVEN: Check<(Spend, Draft, Proof, Windows)> = Check::<(Spend, Draft, Proof, Windows)>::new(
    "spend.proven",
    "M3H-B9",
    &["spend", "receipt", "receipt_proof", "windows"],
    |(spend, draft, proof, windows)| {
        let total = spend.total.as_deref().unwrap_or("-");
        match (proof.accepted(draft, spend, windows), spend.is_spent()) {
            (Ok(uri), Ok(_)) => Ok(format!("{total} {} spent; {uri} is accepted", spend.currency)),
            // Why there is no receipt has a code of its own.
            (Err(unmet), _) if unmet.blocked_by.is_some() => Err(unmet),
            (_, Err(unmet)) => Err(unmet),
            (Err(unmet), Ok(true)) => {
                Err(format!("{total} {} spent, and no receipt is accepted: {}", spend.currency, unmet.why).into())
            }
            (Err(unmet), Ok(false)) => Err(Unmet::blocked_by("M3H-B8", unmet.why)),
        }
    },
    |(spend, _, proof, _)| {
        use super::money::{Billed, Money};
        let money = Ok(Money { amount: "0.01".to_owned(), currency: spend.currency.clone() });
        spend.billed = vec![Billed { source: "doctored".to_owned(), money, rate: None }];
        let read = Err("doctored: gone".to_owned());
        *proof = Proof::Put { uri: "s3://doctored/receipt.json".to_owned(), sha256: "0".repeat(64), read };
    },
)
.next("do not advance: read the receipt in the store and what happened to it, then run M3 again under a new id");

/// Reads what was published once more, not through the door.
pub(super) fn read_back(run: &LaneRun<'_>, publication: Option<&Publication>) -> Result<Proof, Stop> {
    let Some(Publication::Published { receipt, .. }) = publication else {
        return Ok(Proof::NotPut { by: "M3H-B8".to_owned() });
    };
    let Some(durable) = &receipt.durable else { return Ok(Proof::NotPut { by: "M3H-B8".to_owned() }) };
    let read = match run.world()?.objects.get_object(&durable.bucket, &durable.key, None) {
        Ok(reply) => Ok(ReadBack {
            sha256: digest::sha256_hex(&reply.value.bytes),
            document: serde_json::from_slice(&reply.value.bytes).map_err(|e| format!("no JSON: {e}")),
        }),
        // Whatever the reason is, there is no accepted receipt: with money spent that is a finding, not a question.
        Err(error) => Err(error.to_string()),
    };
    Ok(Proof::Put { uri: durable.uri.clone(), sha256: receipt.sha256_local.clone(), read })
}

#[cfg(test)]
mod tests;
