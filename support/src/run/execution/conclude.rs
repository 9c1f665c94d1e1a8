//! The end of an execution: what it read and observed is kept, its cases are judged, its verdict is written.

use serde_json::Value;

use super::{ExecutionError, PLATFORM_RUN_ID, Run, VERDICT};
use crate::evidence::{Artifact, Destination, Durable, PublishError, Receipt, digests_below};
use crate::run::context::{BucketStore, run_control_key};
use crate::run::course::{self, COURSE, Course};
use crate::run::entry;
use crate::run::finding::Outcome;
use crate::run::judge::{self, Judgement, Progress};
use crate::run::lane::Lane;
use crate::run::objects::Objects;
use crate::run::observation::Observations;
use crate::run::outcome::{
    CaseState, EvidenceFile, LaneOutcome, LaneState, Mode, PhaseOutcome, RenderError, RenderedBody, lower,
};

impl<'a> Run<'a> {
    pub(super) fn conclude(mut self) -> Result<PhaseOutcome, ExecutionError> {
        let execution = self.execution;
        let phase = execution.phase;
        let bucket = self.durable_bucket();
        let objects = match (&execution.substrate, execution.settings.mode) {
            (Ok(substrate), Mode::Commit) => Some(Objects::writing(substrate.s3())),
            _ => None,
        };
        let store = match (&objects, &bucket) {
            (Some(objects), Some(bucket)) => Some(BucketStore { objects, bucket }),
            _ => None,
        };
        self.keep_inputs_and_observations(store.as_ref())?;
        let judgement = self.judgement();
        let findings = judgement.findings(&self.books.observations);
        let cases: Vec<_> = execution
            .cases
            .iter()
            .map(|case| {
                let observations = &self.books.observations;
                judge::case_outcome(
                    case,
                    phase,
                    &findings,
                    observations,
                    &execution.selected,
                    &execution.settings.command,
                )
            })
            .collect();
        let mut judged = cases.iter().filter(|c| c.state != CaseState::NotSelected).peekable();
        // Of the phase's own case alone the findings tell all.
        let something = judged.peek().is_some() || !execution.whole();
        let cases_pass = something && judged.all(|c| c.state == CaseState::Passed);
        let mut decision = judgement.decide(&self.books.observations, cases_pass);
        lower(&mut decision, self.books.decision.as_ref());
        let (register, stale) = entry::register_claims(phase, &execution.documents.plan, &findings);
        self.books.notes.extend(stale);
        let mut outcome = PhaseOutcome {
            schema: PhaseOutcome::SCHEMA.to_owned(),
            track: phase.track.to_owned(),
            phase: phase.id.to_owned(),
            next_phase: phase.next.to_owned(),
            execution_id: self.ids.execution.clone(),
            basis: execution.basis,
            mode: execution.settings.mode,
            substrate: execution.settings.substrate.word().to_owned(),
            account: entry::account_of(phase, &self.books.observations),
            platform_run_id: self.books.names.get(PLATFORM_RUN_ID).cloned(),
            written_at_utc: self.ids.instant,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            inputs: execution.documents.inputs.clone(),
            trusted_unverified: std::mem::take(&mut self.books.trusted),
            notes: std::mem::take(&mut self.books.notes),
            lanes: phase.lanes.iter().map(|lane| self.lane_outcome(lane, &judgement)).collect(),
            findings,
            cases,
            register,
            decision,
            required_of_a_person: phase.required_of_a_person.iter().map(|s| (*s).to_owned()).collect(),
            folder: self.folder.clone(),
            files: std::mem::take(&mut self.books.files),
            resumed: self.resumed.clone(),
        };
        self.list_what_stayed_here(&mut outcome.files)?;
        outcome.files.sort_by(|a, b| a.path.cmp(&b.path));
        for file in execution.reporter.render(&outcome)? {
            let kept = self.publish(store.as_ref(), &file.name, &file.body)?;
            outcome.files.push(kept);
        }
        outcome.files.sort_by(|a, b| a.path.cmp(&b.path));
        let verdict = Artifact::new(VERDICT, execution.reporter.verdict(&outcome)?, &[]);
        self.door
            .publish_proven(&verdict, &self.destination(store.as_ref(), VERDICT))
            .map_err(|source| ExecutionError::Publish { name: VERDICT.to_owned(), source: Box::new(source) })?;
        Ok(outcome)
    }

    /// A file whose put was refused stays in the folder: the verdict lists it too, without a URI.
    pub(super) fn list_what_stayed_here(&self, files: &mut Vec<EvidenceFile>) -> Result<(), ExecutionError> {
        let here = digests_below(&self.folder)
            .map_err(|source| ExecutionError::Listing { path: self.folder.clone(), source })?;
        for (path, sha256) in here {
            if !files.iter().any(|file| file.path == path) {
                files.push(EvidenceFile { path, sha256, uri: None });
            }
        }
        Ok(())
    }

    pub(super) fn lane_outcome(&self, lane: &Lane, judgement: &Judgement<'_>) -> LaneOutcome {
        let progress = self.lanes.get(lane.id).unwrap_or(&Progress::NotSelected);
        let findings = match progress {
            Progress::NotSelected => Vec::new(),
            _ => judgement.findings_of(lane.id, &self.books.observations),
        };
        let met = findings.iter().filter(|f| f.outcome == Outcome::Met).count();
        let (state, said) = match progress {
            Progress::NotSelected => (LaneState::NotSelected, "not selected".to_owned()),
            Progress::Blocked(code) => (LaneState::Blocked, format!("blocked by {code}")),
            Progress::Ran(_) => match findings.iter().find(|f| f.outcome != Outcome::Met) {
                None => (LaneState::Closed, self.proven(lane)),
                Some(open) => (LaneState::Held, format!("{} {}: {}", open.code, open.outcome.word(), open.why)),
            },
        };
        let planned = self.execution.documents.plan.lanes.iter().find(|l| l.id == lane.id);
        LaneOutcome {
            lane: lane.id.to_owned(),
            title: planned.map_or_else(String::new, |l| l.title.clone()),
            execution_id: {
                let earlier = self.earlier.as_ref().filter(|_| self.is_taken_over(lane));
                let ids = earlier.map_or(&self.ids, |earlier| &earlier.ids);
                format!("{}_{}", lane.short(), ids.instant.compact())
            },
            state,
            met,
            checks: findings.len().max(lane.checks.len()),
            said,
        }
    }

    /// What a closed lane has shown; a preflight has only shown that nothing stands in its way.
    pub(super) fn proven(&self, lane: &Lane) -> String {
        match self.execution.settings.mode {
            Mode::Commit => lane.proves.to_owned(),
            Mode::Preflight => format!("nothing stands in the way of: {}", lane.proves),
        }
    }

    pub(super) fn publish(
        &self,
        store: Option<&BucketStore<'_>>,
        name: &str,
        body: &RenderedBody,
    ) -> Result<EvidenceFile, ExecutionError> {
        self.leave(store, name, body)
            .map(|receipt| EvidenceFile {
                path: receipt.name,
                sha256: receipt.sha256_local,
                uri: receipt.durable.map(|d| d.uri),
            })
            .map_err(|source| ExecutionError::Publish { name: name.to_owned(), source: Box::new(source) })
    }

    pub(super) fn destination<'s>(&self, store: Option<&'s BucketStore<'s>>, name: &str) -> Destination<'s> {
        match store {
            None => Destination::LocalOnly,
            Some(store) => Destination::Durable(Durable {
                store,
                bucket: store.bucket,
                key: run_control_key(self.execution.phase, &self.ids, name),
                group: "reports".to_owned(),
            }),
        }
    }

    pub(super) fn leave(
        &self,
        store: Option<&BucketStore<'_>>,
        name: &str,
        body: &RenderedBody,
    ) -> Result<Receipt, PublishError> {
        let destination = self.destination(store, name);
        match body {
            RenderedBody::Json(body) => self.door.publish(&Artifact::new(name, body.clone(), &[]), &destination),
            RenderedBody::Text(text) => self.door.publish_bytes(name, text.as_bytes(), &destination),
        }
    }

    /// The bytes of plan, registry and lock, the observations and the receipts. What holds a secret
    /// is withheld, and holds the gate.
    pub(super) fn keep_inputs_and_observations(
        &mut self,
        store: Option<&BucketStore<'_>>,
    ) -> Result<(), ExecutionError> {
        for (name, body) in self.inputs_and_observations()? {
            let kept = self.books.files.iter().any(|file| file.path == name);
            if kept || self.unwritten.contains(&name) {
                continue;
            }
            match self.leave(store, &name, &body) {
                Ok(receipt) => self.books.keep(&receipt, self.execution.settings.mode),
                Err(error @ PublishError::Secret { .. }) => {
                    let known = self.judgement().findings(&self.books.observations);
                    let finding = entry::withheld(self.execution.phase, &error, &known);
                    self.books.notes.push(format!("withheld: {error}"));
                    self.own.push(finding);
                }
                // What stays on this disk alone is listed so; nothing passes on it.
                Err(error) if error.is_of_the_store() => {
                    let known = self.judgement().findings(&self.books.observations);
                    self.own.push(entry::unwritten(self.execution.phase, &error, &known));
                }
                Err(source) => return Err(ExecutionError::Publish { name, source: Box::new(source) }),
            }
        }
        Ok(())
    }

    pub(super) fn inputs_and_observations(&self) -> Result<Vec<(String, RenderedBody)>, ExecutionError> {
        let documents = self.execution.documents;
        let mut files = vec![
            ("inputs/plan.md".to_owned(), RenderedBody::Text(documents.plan.source.text.to_string())),
            ("inputs/registry.md".to_owned(), RenderedBody::Text(documents.registry_text.clone())),
        ];
        if let Some(lock) = &documents.lock_text {
            files.push(("inputs/gates.lock".to_owned(), RenderedBody::Text(lock.clone())));
        }
        for handoff in &documents.handoffs {
            if let Some(text) = &handoff.text {
                files.push((format!("inputs/{}.json", handoff.role), RenderedBody::Text(text.clone())));
            }
        }
        let json = |name: &str, value: serde_json::Result<Value>| {
            value
                .map(|body| (name.to_owned(), RenderedBody::Json(body)))
                .map_err(|e| RenderError { name: name.to_owned(), why: e.to_string() })
        };
        let owners = std::iter::once(self.execution.phase.id).chain(self.execution.phase.lanes.iter().map(|l| l.id));
        for owner in owners {
            if self.books.observations.of_lane(owner).next().is_some() {
                files.push(self.observations_of(owner)?);
            }
        }
        files.push(json("receipts.json", serde_json::to_value(&self.books.receipts))?);
        files.push(json(COURSE, serde_json::to_value(self.course()))?);
        Ok(files)
    }

    pub(super) fn observations_of(&self, owner: &str) -> Result<(String, RenderedBody), ExecutionError> {
        let name = format!("observations/{owner}.json");
        let own: Observations = self.books.observations.of_lane(owner).cloned().collect();
        let body = serde_json::to_value(&own).map_err(|e| RenderError { name: name.clone(), why: e.to_string() })?;
        Ok((name, RenderedBody::Json(body)))
    }

    pub(super) fn course(&self) -> Course {
        let execution = self.execution;
        let all = execution.selected.len() == execution.cases.len();
        let named = |(lane, what): (&&'static str, &Progress)| ((*lane).to_owned(), what.clone());
        Course {
            schema: course::SCHEMA.to_owned(),
            execution_id: self.ids.execution.clone(),
            mode: execution.settings.mode,
            whole: execution.whole(),
            selected: (!all).then(|| execution.selected.clone()),
            lanes: self.lanes.iter().map(named).collect(),
            faults: self.books.faults.iter().map(|(lane, why)| ((*lane).to_owned(), why.clone())).collect(),
            expected_account: execution.expected_account.clone(),
            lock_required: execution.settings.requires_lock(),
            command: execution.settings.command.clone(),
        }
    }
}
