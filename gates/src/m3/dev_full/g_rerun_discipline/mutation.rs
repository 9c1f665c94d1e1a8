//! What was committed for the run, and whether anybody deleted or rewrote it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use support::command::{self, Command, Kind};
use support::ensure;
use support::evidence::digest;
use support::run::check::{Check, Unmet};
use support::run::context::LaneRun;
use support::run::lane::{Step, Stop};
use support::substrate::reply::CallErrorKind;
use support::substrate::{Listing, VersionEntry, Versioning};

use crate::m3::dev_full::upstream::{self, Identity};

pub(super) const MUTATION_CODE: &str = "M3G-B3";

/// The registry's pattern for the root of a run's evidence.
const RUN_ROOT: &str = "S3_EVIDENCE_RUN_ROOT_PATTERN";

/// M3.E's receipts, and the field in which each keeps its object's key.
const RECEIPTS: [(&str, &str); 2] = [
    ("m3e_run_json_write_receipt.json", "/resolved_run_json_key"),
    ("m3e_run_header_write_receipt.json", "/resolved_run_header_key"),
];

/// The run's committed evidence, and what may have been done to it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Mutation {
    pub bucket: String,
    pub prefix: String,
    pub versioning: Versioning,
    /// All that stands or ever stood under the prefix.
    pub versions: Listing<VersionEntry>,
    /// What M3.E committed, by its receipts' names.
    pub committed: BTreeMap<String, Result<Committed, String>>,
    /// Rows of the plan whose command is neither a read nor an upload that is refused where something stands.
    pub destructive_rows: Vec<String>,
}

/// One object that M3.E committed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Committed {
    pub key: String,
    /// The hash in M3.E's receipt.
    pub receipt_sha256: String,
    /// The hash of the object now; none where it is gone.
    pub sha256: Option<String>,
    /// The identity in the object now.
    pub identity: Result<Identity, String>,
}

impl Committed {
    pub(super) fn is_as_committed(&self) -> bool {
        self.sha256.as_ref() == Some(&self.receipt_sha256)
    }
}

pub(super) static UNTOUCHED: Check<Mutation> = Check::<Mutation>::new(
    "evidence.untouched",
    MUTATION_CODE,
    &["mutation"],
    |mutation| {
        let Mutation { bucket, prefix, versions, .. } = mutation;
        if let Some(row) = mutation.destructive_rows.first() {
            return Err(Unmet::from(format!(
                "a command of the plan's catalog is neither a read nor a first put: {row}"
            ))
            .next("take the command out of the plan; no rerun deletes or rewrites committed evidence"));
        }
        ensure!(
            mutation.versioning == Versioning::Enabled,
            "versioning of {bucket} is {:?}: that nothing was rewritten cannot be proven",
            mutation.versioning
        );
        ensure!(versions.complete, "the list of versions under s3://{bucket}/{prefix} is not complete");
        if let Some(marker) = versions.entries.iter().find(|version| version.delete_marker) {
            return Err(
                format!("s3://{bucket}/{} was deleted (delete marker {})", marker.key, marker.version_id).into()
            );
        }
        let mut count: BTreeMap<&str, usize> = BTreeMap::new();
        for version in &versions.entries {
            ensure!(version.version_id != "null", "s3://{bucket}/{} was put while versioning was off", version.key);
            *count.entry(&version.key).or_default() += 1;
        }
        if let Some((key, versions)) = count.iter().find(|(_, versions)| **versions > 1) {
            return Err(format!("s3://{bucket}/{key} has {versions} versions: it was rewritten").into());
        }
        ensure!(mutation.committed.len() == RECEIPTS.len(), "not every receipt of M3.E was looked at");
        for (receipt, committed) in &mutation.committed {
            let committed = committed.as_ref().map_err(|why| Unmet::from(format!("{receipt}: {why}")))?;
            let key = &committed.key;
            ensure!(count.contains_key(key.as_str()), "s3://{bucket}/{key} was committed, and is not under {prefix}");
            let Some(now) = &committed.sha256 else {
                return Err(format!("s3://{bucket}/{key} was committed, and is gone").into());
            };
            ensure!(
                committed.is_as_committed(),
                "s3://{bucket}/{key} has sha256 {now}, and was committed as {}",
                committed.receipt_sha256
            );
        }
        Ok(format!("{} key(s) under {prefix}, one version each, no delete marker, as committed", count.len()))
    },
    |mutation| {
        for version in &mut mutation.versions.entries {
            version.delete_marker = true;
        }
        mutation.versioning = Versioning::Suspended;
    },
)
.next(
    "find out who changes committed evidence; nothing may be mended in place, run the gate again: it pins another run",
);

/// Looks at what was committed for this run.
pub(super) fn observe(run: &mut LaneRun<'_>, identity: &Identity) -> Step {
    let bucket = run.evidence_bucket()?;
    let pattern = run.text(RUN_ROOT)?;
    let prefix = run.fill(&pattern, &[("platform_run_id", &identity.platform_run_id)])?;
    let versioning = match run.world()?.objects.bucket_versioning(&bucket) {
        Ok(reply) => reply.value,
        Err(error) => {
            let call = format!("aws s3api get-bucket-versioning --bucket {bucket}");
            return Err(run.unanswered("mutation", &call, error));
        }
    };
    let call = format!("aws s3api list-object-versions --bucket {bucket} --prefix {prefix}");
    let versions = match run.world()?.objects.list_versions(&bucket, &prefix) {
        Ok(reply) => reply.value,
        Err(error) => return Err(run.unanswered("mutation", &call, error)),
    };
    let mut committed = BTreeMap::new();
    for (receipt, field) in RECEIPTS {
        committed.insert(receipt.to_owned(), object_of(run, &bucket, receipt, field)?);
    }
    let destructive_rows = destructive_rows(run);
    run.observe("mutation", &call, &Mutation { bucket, prefix, versioning, versions, committed, destructive_rows })
}

/// The object that a receipt of M3.E speaks of, as it stands now.
fn object_of(
    run: &mut LaneRun<'_>,
    bucket: &str,
    receipt: &str,
    field: &str,
) -> Result<Result<Committed, String>, Stop> {
    let read = run
        .left_by("M3.E", receipt)
        .and_then(|receipt| Ok((upstream::text(&receipt, field)?, upstream::text(&receipt, "/readback_sha256")?)));
    let (key, receipt_sha256) = match read {
        Ok(read) => read,
        Err(why) => return Ok(Err(why)),
    };
    match run.world()?.objects.get_object(bucket, &key, None) {
        Ok(reply) => {
            let bytes = reply.value.bytes;
            let document = serde_json::from_slice(&bytes).map_err(|e| format!("s3://{bucket}/{key} is no JSON: {e}"));
            let identity = document.and_then(|document| Identity::in_snapshot(&document));
            Ok(Ok(Committed { key, receipt_sha256, sha256: Some(digest::sha256_hex(&bytes)), identity }))
        }
        Err(error) if error.kind == CallErrorKind::NotFound => {
            let identity = Err(format!("s3://{bucket}/{key} is gone"));
            Ok(Ok(Committed { key, receipt_sha256, sha256: None, identity }))
        }
        Err(error) => {
            let call = format!("aws s3api get-object --bucket {bucket} --key '{key}' /dev/stdout");
            Err(run.unanswered("mutation", &call, error))
        }
    }
}

/// The rows of the catalogs whose commands could destroy: everything but prose, reads, and uploads, which the evidence
/// door puts on condition that nothing is there.
fn destructive_rows(run: &LaneRun<'_>) -> Vec<String> {
    let rows = run.plan().rows.iter();
    rows.filter(|row| !is_harmless(&row.template)).map(|row| format!("{} ({})", row.template, row.place)).collect()
}

fn is_harmless(template: &str) -> bool {
    let Ok(template) = command::parse(template) else { return false };
    match template.kind {
        Kind::Prose => true,
        Kind::Command(command) => match command {
            Command::RipGrep(_)
            | Command::TestPath { .. }
            | Command::HeadBucket { .. }
            | Command::ListObjectsV2 { .. }
            | Command::HeadObject { .. }
            | Command::S3List { .. }
            | Command::S3Upload { .. }
            | Command::S3Read { .. }
            | Command::DescribeRepositories { .. }
            | Command::ListStateMachines { .. }
            | Command::DescribeStateMachine { .. }
            | Command::ListExecutions { .. }
            | Command::TerraformOutput { .. }
            | Command::GetCostAndUsage { .. }
            | Command::GetContent { .. } => true,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use serde_json::{Value, json};
    use support::run::check::AnyCheck as _;
    use support::run::finding::Outcome;
    use support::run::observation::{Answer, Observation, Observations};

    #[rstest]
    #[case("`aws s3api head-object --bucket <B> --key <k>`", true)]
    #[case("`aws s3 cp <local> s3://<B>/evidence/<k>`", true)]
    #[case("compare one with the other", true)]
    #[case("`aws s3 rm s3://<B>/evidence/runs/<k>`", false)]
    #[case("`aws s3api delete-object --bucket <B> --key <k>`", false)]
    #[case("`aws s3 cp <a> s3://<B>/<k>; aws s3 rm s3://<B>/<k>`", false)]
    fn only_reads_and_first_puts_are_harmless(#[case] template: &str, #[case] harmless: bool) {
        assert_eq!(is_harmless(template), harmless);
    }

    fn mutation() -> Value {
        let version = |key: &str| json!({ "key": key, "version_id": "v1", "delete_marker": false, "latest": true });
        let committed = |key: &str| {
            let identity = json!({ "platform_run_id": "p", "scenario_run_id": "s", "config_digest": "d" });
            json!({ "Ok": { "key": key, "receipt_sha256": "a", "sha256": "a", "identity": { "Ok": identity } } })
        };
        json!({
            "bucket": "b",
            "prefix": "evidence/runs/p/",
            "versioning": "enabled",
            "versions": { "entries": [version("run.json"), version("header")], "complete": true },
            "committed": { "json": committed("run.json"), "header": committed("header") },
            "destructive_rows": [],
        })
    }

    #[rstest]
    #[case("/bucket", json!("other"), None)]
    #[case("/versioning", json!("suspended"), Some("cannot be proven"))]
    #[case("/versioning", json!("never"), Some("cannot be proven"))]
    #[case("/versions/complete", json!(false), Some("is not complete"))]
    #[case("/versions/entries", json!([]), Some("is not under"))]
    #[case("/versions/entries/0/delete_marker", json!(true), Some("was deleted"))]
    #[case("/versions/entries/0/version_id", json!("null"), Some("versioning was off"))]
    #[case("/versions/entries/0/key", json!("header"), Some("has 2 versions"))]
    #[case("/committed/json/Ok/sha256", json!(null), Some("is gone"))]
    #[case("/committed/json/Ok/sha256", json!("b"), Some("was committed as a"))]
    #[case("/committed/json/Ok/key", json!("elsewhere"), Some("is not under"))]
    #[case("/committed/json", json!({ "Err": "no receipt" }), Some("no receipt"))]
    #[case("/committed", json!({}), Some("not every receipt"))]
    #[case("/destructive_rows", json!(["aws s3 rm"]), Some("aws s3 rm"))]
    fn nothing_was_deleted_or_rewritten(#[case] pointer: &str, #[case] value: Value, #[case] says: Option<&str>) {
        let mut seen = mutation();
        *seen.pointer_mut(pointer).unwrap() = value;
        let mut all = Observations::default();
        all.insert(Observation::new("M3.G", "mutation", "test", Answer::Value(seen)).unwrap());
        let finding = UNTOUCHED.judge("M3.G", &all);
        match says {
            None => assert_eq!(finding.outcome, Outcome::Met, "{finding:?}"),
            Some(says) => {
                assert_eq!(finding.outcome, Outcome::Unmet, "{finding:?}");
                assert!(finding.why.contains(says), "{}", finding.why);
            }
        }
    }
}
