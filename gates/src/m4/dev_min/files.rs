//! The files that M4 leaves: control evidence, one snapshot for each lane.

use serde_json::Value;
use support::run::context::{File, LaneRun, To};
use support::run::lane::Step;

/// What to do when a snapshot could not be kept.
pub(super) const NOT_KEPT: &str =
    "read what S3 answered, make s3:PutObject and s3:GetObject work on the evidence bucket, and run the gate again";

/// What to do when a snapshot would hold a secret.
pub(super) const SECRET: &str = "take the secret out of the document that the message names, and rotate it";

/// A name from outside, as a message may show it: one that looks like a secret is not repeated.
pub(super) fn shown(name: &str) -> String {
    match support::secrets::scan_bytes(name.as_bytes()).first() {
        Some(hit) => format!("(a name that looks like a secret, {})", hit.rule),
        None => name.to_owned(),
    }
}

/// Publishes a file of M4's control evidence.
pub(super) fn publish(run: &mut LaneRun<'_>, name: &str, body: Value, fields: &[&str]) -> Step {
    let documented = run.documented_path(&format!("runs/dev_substrate/m4/<timestamp>/{name}"));
    run.publish(File { name, body, minimum_fields: fields, to: To::RunControl, documented: Some(documented) }).map(drop)
}

/// Where a file of this execution lies in the store.
pub(super) fn uri(run: &LaneRun<'_>, name: &str) -> Result<String, support::run::lane::Stop> {
    Ok(format!("s3://{}/{}", run.evidence_bucket()?, run.run_control_key(name)))
}
