//! The lane's receipts: what was written where, and how it read back.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use support::evidence::PublishStep;
use support::run::check::AnyCheck;
use support::run::context::LaneRun;
use support::run::lane::{Step, Stop};
use support::run::publication::Publication;
use support::run::rows::RowOutput;

use super::keys::{ABSENT, RUN_HEADER, RUN_JSON, RunKeys};
use super::put::{FIRST_WRITER, NON_SECRET, NOT_PUT, RUN_HEADER_PUT, RUN_JSON_PUT, RunObjects};
use super::read_back::{CONSISTENT, RUN_HEADER_READ_BACK, RUN_JSON_READ_BACK, STANDING, Standing, read_back_sha256};
use super::sources::Sources;
use super::{INPUTS_ROW, LOCK_STILL_FREE, READBACK_ROW, UPLOAD_ROW, WRITE_ONCE_ROW, run_evidence_checks};
use crate::m3::dev_full::a_handle_closure::command_receipts;
use crate::m3::dev_full::d_orchestrator_entry::run_lock::RUN_LOCK_CHECK;
use crate::m3::dev_full::lane_files::{self, LaneFiles};
use crate::m3::dev_full::upstream::Identity;

pub(super) fn publish(run: &mut LaneRun<'_>) -> Step {
    let checks = run_evidence_checks();
    let sources: Sources = run.fact("sources")?;
    let left = Left {
        identity: sources.identity.ok(),
        keys: run.fact("run_keys").ok(),
        objects: run.fact("run_objects").unwrap_or_else(|_| RunObjects::new()),
        standing: run.fact("standing").unwrap_or_else(|_| BTreeMap::new()),
        read_back: run.fact(READBACK_ROW).ok(),
    };
    // What could not be written here at all has a root already, and the receipts would fail by the same cause.
    if left.objects.values().any(|it| matches!(it, Publication::Stopped { step: PublishStep::LocalFile, .. })) {
        return Err(Stop::By { code: NOT_PUT.to_owned() });
    }
    let json_receipt =
        write_receipt(run, &left, RUN_JSON, "resolved_run_json_key", &[&RUN_JSON_PUT, &RUN_JSON_READ_BACK]);
    let header_receipt =
        write_receipt(run, &left, RUN_HEADER, "resolved_run_header_key", &[&RUN_HEADER_PUT, &RUN_HEADER_READ_BACK]);
    let integrity = integrity(run, &left, &checks);
    let mut files = LaneFiles::planned(run, "M3.E");
    files.leave(run, "m3e_run_json_write_receipt.json", json_receipt)?;
    files.leave(run, "m3e_run_header_write_receipt.json", header_receipt)?;
    files.leave(run, "m3e_integrity_readback_receipts.json", integrity)?;
    let more = json!({ "platform_run_id": left.of_identity(|identity| &identity.platform_run_id) });
    let summary = lane_files::execution_summary(run, "M3.E", &checks, more);
    files.leave(run, "m3e_execution_summary.json", summary)
}

/// What the lane came to, as far as it came.
struct Left {
    identity: Option<Identity>,
    keys: Option<RunKeys>,
    objects: RunObjects,
    standing: BTreeMap<String, Standing>,
    read_back: Option<RowOutput>,
}

impl Left {
    fn of_identity(&self, field: impl Fn(&Identity) -> &String) -> String {
        self.identity.as_ref().map_or_else(|| "-".to_owned(), |identity| field(identity).clone())
    }

    fn key(&self, name: &str) -> String {
        self.keys.as_ref().and_then(|keys| keys.of(name)).unwrap_or("-").to_owned()
    }

    fn local_sha256(&self, name: &str) -> String {
        match self.objects.get(name) {
            Some(Publication::Published { receipt, .. }) => receipt.sha256_local.clone(),
            Some(Publication::Stopped { .. }) | None => "-".to_owned(),
        }
    }

    fn read_back_sha256(&self, name: &str) -> String {
        let row = self.read_back.as_ref().zip(self.keys.as_ref().and_then(|keys| keys.of(name)));
        row.and_then(|(row, key)| read_back_sha256(row, key)).unwrap_or("-").to_owned()
    }

    /// The server's own tag; a preflight has put nothing that could have one.
    fn etag(&self, name: &str) -> String {
        self.standing.get(name).and_then(|object| object.etag.clone()).unwrap_or_else(|| "-".to_owned())
    }
}

fn write_receipt(run: &LaneRun<'_>, left: &Left, name: &str, key_field: &str, own: &[&'static dyn AnyCheck]) -> Value {
    let guard = run.met(&[&ABSENT, &FIRST_WRITER]);
    let pass = guard && run.met(own) && run.met(&[&NON_SECRET, &STANDING, &CONSISTENT]);
    let mut receipt = json!({
        "execution_id": run.own_execution_id(),
        "written_at_utc": run.instant().rfc3339(),
        "platform_run_id": left.of_identity(|identity| &identity.platform_run_id),
        "scenario_run_id": left.of_identity(|identity| &identity.scenario_run_id),
        "config_digest": left.of_identity(|identity| &identity.config_digest),
        "local_sha256": left.local_sha256(name),
        "s3_etag": left.etag(name),
        "readback_sha256": left.read_back_sha256(name),
        "write_once_guard_pass": guard,
        "overall_pass": pass,
    });
    if let Some(receipt) = receipt.as_object_mut() {
        receipt.insert(key_field.to_owned(), json!(left.key(name)));
    }
    receipt
}

fn integrity(run: &LaneRun<'_>, left: &Left, checks: &[&'static dyn AnyCheck]) -> Value {
    let objects: Vec<Value> = [RUN_JSON, RUN_HEADER]
        .into_iter()
        .map(|name| {
            json!({
                "object": name,
                "key": left.key(name),
                "local_sha256": left.local_sha256(name),
                "readback_sha256": left.read_back_sha256(name),
                "standing": left.standing.get(name),
            })
        })
        .collect();
    json!({
        "execution_id": run.own_execution_id(),
        "objects": objects,
        "consistency_pass": run.met(&[&CONSISTENT]),
        "lock_asked_again_pass": run.met(&[&LOCK_STILL_FREE]),
        "commands": command_receipts(run, &[INPUTS_ROW, WRITE_ONCE_ROW, RUN_LOCK_CHECK, UPLOAD_ROW, READBACK_ROW]),
        "overall_pass": run.met(checks),
    })
}
