//! The store of an execution: its id is reserved there, and it shows that it keeps its word.

use super::Run;
use crate::evidence::{Artifact, Destination, Durable};
use crate::run::context::{BucketStore, World, run_control_key};
use crate::run::entry;
use crate::run::finding::{Finding, Outcome};
use crate::run::judge;
use crate::run::outcome::Mode;
use crate::run::resume::{self, EXECUTION, Record};

impl<'a> Run<'a> {
    /// Opens the store, unless it is open; the code that stands in the way, if one does.
    pub(super) fn store_blocker(&mut self, world: &World<'_>) -> Option<String> {
        if self.durable {
            return None;
        }
        let known = self.open_codes();
        if let Some(code) = self.open_store(world) {
            return Some(self.explained(&known, code));
        }
        self.durable = true;
        None
    }

    /// Reserves the execution id and shows that the store keeps its word; the code that stands in
    /// the way, if one does.
    pub(super) fn open_store(&mut self, world: &World<'_>) -> Option<String> {
        let phase = self.execution.phase;
        let Some(bucket) = self.evidence_bucket() else {
            return self.store_finding(entry::no_bucket(phase));
        };
        let store = BucketStore { objects: &world.objects, bucket: &bucket };
        let ids = self.ids.clone();
        let durable = |name: &str, group: &str| Durable {
            store: &store,
            bucket: &bucket,
            key: run_control_key(phase, &ids, name),
            group: group.to_owned(),
        };
        let record = self.record(&world.account);
        let body = match serde_json::to_value(&record) {
            Ok(body) => body,
            Err(error) => return self.store_finding(entry::not_reserved(phase, &error.to_string())),
        };
        let reservation = Artifact::new(EXECUTION, body, &["execution_id"]);
        let reserved = self.door.publish(&reservation, &Destination::Durable(durable(EXECUTION, "execution")));
        if let Ok(receipt) = &reserved {
            self.books.keep(receipt, self.execution.settings.mode);
        }
        if let Some(code) = self.store_finding(entry::reserved(phase, &self.ids.execution, &reserved)) {
            return Some(code);
        }
        if self.execution.settings.mode == Mode::Preflight {
            self.books.notes.push("that the store refuses a second put is shown by a commit only (canary)".to_owned());
            return None;
        }
        let canary = self.door.canary(&durable("write_once_canary.json", "canary"));
        if let Ok(canary) = &canary {
            self.books.keep(&canary.first, self.execution.settings.mode);
        }
        self.store_finding(entry::write_once(phase, &canary))
    }

    /// Files a finding about the store; the code that stands in the way, if one does. A store that
    /// gives no usable answer while a lane holds already is blocked by that lane's code: the cause
    /// has one name. A store that answers, and not as it must, stands for itself.
    pub(super) fn store_finding(&mut self, mut finding: Finding) -> Option<String> {
        if !judge::opens(&finding) {
            self.own.push(finding);
            return None;
        }
        let unanswered = finding.outcome != Outcome::Unmet || entry::is_no_bucket(&finding);
        let earlier = self.judgement().findings(&self.books.observations).into_iter().find(judge::opens);
        if let Some(earlier) = earlier.filter(|_| unanswered) {
            finding.outcome = Outcome::Blocked;
            finding.blocked_by = Some(earlier.code);
        }
        let code = finding.blocked_by.clone().unwrap_or_else(|| finding.code.clone());
        self.own.push(finding);
        Some(code)
    }

    pub(super) fn open_codes(&self) -> Vec<String> {
        let findings = self.judgement().findings(&self.books.observations);
        findings.iter().filter(|f| judge::opens(f)).map(|f| f.code.clone()).collect()
    }

    /// A store that cannot be opened while a lane has found out why already is that lane's blocker,
    /// and opens no second one.
    pub(super) fn explained(&mut self, known: &[String], code: String) -> String {
        let Some(cause) = known.first() else { return code };
        for finding in self.own.iter_mut().filter(|f| f.code == code) {
            finding.outcome = Outcome::Blocked;
            finding.blocked_by = Some(cause.clone());
        }
        cause.clone()
    }

    pub(super) fn record(&self, account: &str) -> Record {
        Record {
            schema: Record::SCHEMA.to_owned(),
            execution_id: self.ids.execution.clone(),
            track: self.execution.phase.track.to_owned(),
            phase: self.execution.phase.id.to_owned(),
            basis: self.execution.basis.word().to_owned(),
            written_at_utc: self.ids.instant.rfc3339(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            binary_sha256: resume::binary_sha256(),
            account: account.to_owned(),
            inputs: self.execution.documents.inputs.clone(),
        }
    }

    pub(super) fn evidence_bucket(&self) -> Option<String> {
        let handle = self.execution.phase.evidence_bucket;
        let resolved = self.execution.documents.handles.resolve(handle).ok()?;
        resolved.value.as_str().map(str::to_owned)
    }

    pub(super) fn durable_bucket(&self) -> Option<String> {
        self.evidence_bucket().filter(|_| self.durable)
    }
}
