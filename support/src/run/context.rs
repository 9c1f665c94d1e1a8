//! What a lane works with: documents, handles, the substrate, and the books of the execution.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::check::{AnyCheck, CodeSource};
use super::clock::Instant;
use super::documents::{Documents, take_in_handoff};
use super::finding::{Finding, Outcome};
use super::judge::Judgement;
use super::lane::{Closing, Lane, Phase, Step, Stop};
use super::objects::Objects;
use super::observation::{Answer, Observation, Observations};
use super::outcome::{Decision, EvidenceFile, Mode, RunBasis, Verdict};
use super::publication::Publication;
use super::repository::Repository;
use super::resume::Earlier;
use crate::evidence::{Artifact, Destination, Door, Durable, Got, PublishError, Put, Receipt, Store};
use crate::image::Images;
use crate::plan::Plan;
use crate::registry::{self, Handles, Resolved, fill_pattern};
use crate::substrate::Substrate;
use crate::substrate::reply::{CallError, CallErrorKind, Reply};

/// The names of one execution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ids {
    /// `m3_20260213T214223Z`.
    pub execution: String,
    /// The instant in it.
    pub instant: Instant,
}

/// When a lane ran, and under which ids.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Executed {
    /// The lane's own execution id.
    pub execution_id: String,
    /// The id of the phase's execution that it ran in.
    pub phase_execution_id: String,
    /// The instant of that execution.
    pub instant: Instant,
}

/// How the name of an observation begins that says what became of a file.
const PUBLISHED: &str = "publish:";

/// The substrate of one execution, once the entry is passed.
pub struct World<'a> {
    /// The clients.
    pub substrate: &'a Substrate,
    /// The object store as this run sees it.
    pub objects: Objects<'a>,
    /// The account that STS reported.
    pub account: String,
    /// The principal that it reported, by its ARN.
    pub principal: String,
    /// The container engine and the registry, for phases that need them.
    pub images: Option<&'a Images>,
}

/// The books of one execution.
#[derive(Default)]
pub(crate) struct Books {
    pub observations: Observations,
    pub names: BTreeMap<String, String>,
    pub files: Vec<EvidenceFile>,
    pub receipts: Vec<Receipt>,
    pub notes: Vec<String>,
    pub trusted: Vec<String>,
    pub decision: Option<Decision>,
    /// Why a lane's document step could not go on.
    pub faults: BTreeMap<&'static str, String>,
}

impl Books {
    /// Enters a file that has left by the door. A preflight has put it nowhere.
    pub(crate) fn keep(&mut self, receipt: &Receipt, mode: Mode) {
        self.files.push(EvidenceFile {
            path: receipt.name.clone(),
            sha256: receipt.sha256_local.clone(),
            uri: receipt.durable.as_ref().filter(|_| mode == Mode::Commit).map(|d| d.uri.clone()),
        });
        self.receipts.push(receipt.clone());
    }
}

/// One bucket of the object store, as the evidence door uses it.
pub(crate) struct BucketStore<'a> {
    pub objects: &'a Objects<'a>,
    pub bucket: &'a str,
}

impl Store for BucketStore<'_> {
    fn put_if_absent(
        &self,
        key: &str,
        bytes: &[u8],
        metadata: &BTreeMap<String, String>,
    ) -> Result<Reply<Put>, CallError> {
        let reply = self.objects.put_if_absent(self.bucket, key, bytes, metadata)?;
        Ok(Reply {
            value: Put { etag: reply.value.etag, version_id: reply.value.version_id },
            request_id: reply.request_id,
            attempts: reply.attempts,
        })
    }

    fn get(&self, key: &str, version: Option<&str>) -> Result<Reply<Got>, CallError> {
        let reply = self.objects.get_object(self.bucket, key, version)?;
        let body = reply.value;
        Ok(Reply {
            value: Got { bytes: body.bytes, etag: body.etag, version_id: body.version_id, metadata: body.metadata },
            request_id: reply.request_id,
            attempts: reply.attempts,
        })
    }
}

/// One lane at work.
pub struct LaneRun<'a> {
    pub(crate) phase: &'a Phase,
    pub(crate) lane: &'a Lane,
    pub(crate) documents: &'a Documents,
    pub(crate) ids: &'a Ids,
    /// The execution that this one goes on from, and which of its lanes were taken over.
    pub(crate) earlier: Option<&'a Earlier>,
    pub(crate) mode: Mode,
    pub(crate) basis: RunBasis,
    pub(crate) expected_account: Option<&'a str>,
    pub(crate) world: Option<&'a World<'a>>,
    /// The execution id is reserved and the store has shown that it is write-once.
    pub(crate) store_is_open: bool,
    pub(crate) door: &'a Door,
    pub(crate) folder: &'a PathBuf,
    pub(crate) books: &'a mut Books,
    pub(crate) judgement: Option<&'a Judgement<'a>>,
}

/// A file that a lane publishes.
pub struct File<'f> {
    /// File name, `run.json`.
    pub name: &'f str,
    /// Its content.
    pub body: Value,
    /// Fields that must be there and not be empty.
    pub minimum_fields: &'f [&'f str],
    /// Where it goes.
    pub to: To<'f>,
    /// The local path that the plan documents, for the receipt.
    pub documented: Option<String>,
}

/// Where a published file goes.
pub enum To<'f> {
    /// Under the control evidence of this phase execution.
    RunControl,
    /// Under the control evidence of this lane's own execution.
    LaneControl,
    /// At this key, as one of a group that is closed by the first refusal.
    Key {
        /// The key in the evidence bucket.
        key: String,
        /// The group: after the first refusal for one of its keys nothing more of it is put.
        group: &'f str,
    },
}

impl<'a> LaneRun<'a> {
    /// The plan repository.
    #[must_use]
    pub fn repository(&self) -> &'a Repository {
        &self.documents.repository
    }

    /// The plan.
    #[must_use]
    pub fn plan(&self) -> &'a Plan {
        &self.documents.plan
    }

    /// The phase's documents.
    #[must_use]
    pub fn documents(&self) -> &'a Documents {
        self.documents
    }

    /// The handles.
    #[must_use]
    pub fn handles(&self) -> &'a Handles {
        &self.documents.handles
    }

    /// The execution's instant.
    #[must_use]
    pub fn instant(&self) -> Instant {
        self.ids.instant
    }

    /// The phase's execution id.
    #[must_use]
    pub fn phase_execution_id(&self) -> &'a str {
        &self.ids.execution
    }

    /// The execution id of a lane: `m3b_20260213T214223Z`. Of a lane that was taken over from an earlier execution, the id
    /// of then.
    #[must_use]
    pub fn execution_id_of(&self, lane: &Lane) -> String {
        format!("{}_{}", lane.short(), self.home_of(lane).0.instant.compact())
    }

    /// The execution id of this lane.
    #[must_use]
    pub fn own_execution_id(&self) -> String {
        self.execution_id_of(self.lane)
    }

    /// The execution in which a lane ran, and its folder.
    fn home_of(&self, lane: &Lane) -> (&'a Ids, &'a PathBuf) {
        match self.earlier {
            Some(earlier) if earlier.lanes.contains(lane.id) => (&earlier.ids, &earlier.folder),
            _ => (self.ids, self.folder),
        }
    }

    /// The local path that a plan documents for a file of this lane.
    #[must_use]
    pub fn documented_file(&self, name: &str) -> String {
        let phase = self.phase.id.to_ascii_lowercase();
        format!("runs/dev_substrate/{}/{phase}/{}/{name}", self.phase.track, self.execution_id_of(self.lane))
    }

    /// Where a documented path `runs/…/<lane execution id>/…` of this chain of lanes really lies.
    pub(crate) fn kept_at(&self, path: &str) -> Option<PathBuf> {
        self.phase.lanes.iter().find_map(|lane| {
            let id = self.execution_id_of(lane);
            let (_, rest) = path.split_once(&format!("/{id}/"))?;
            Some(self.home_of(lane).1.join(id).join(rest))
        })
    }

    /// A file that an earlier lane left, read again from disk.
    ///
    /// # Errors
    /// In words: when it is not there, or no JSON.
    pub fn left_by(&self, lane: &str, name: &str) -> Result<Value, String> {
        let lane = self.phase.lane(lane).ok_or_else(|| format!("the phase has no lane {lane}"))?;
        let path = format!("{}/{name}", self.execution_id_of(lane));
        let bytes = std::fs::read(self.home_of(lane).1.join(&path)).map_err(|e| format!("{path}: {e}"))?;
        serde_json::from_slice(&bytes).map_err(|e| format!("{path} is no JSON: {e}"))
    }

    /// The key of a file under the control evidence of a lane's execution.
    ///
    /// # Errors
    /// When the phase has no such lane.
    pub fn control_key_of(&self, lane: &str, name: &str) -> Result<String, Stop> {
        let lane = self.lane_of_phase(lane)?;
        Ok(format!("{}{name}", self.phase.run_control.replace("{id}", &self.execution_id_of(lane))))
    }

    /// Whether all these checks of this lane are met by what it has observed so far.
    #[must_use]
    pub fn met(&self, checks: &[&'static dyn AnyCheck]) -> bool {
        checks.iter().all(|check| check.judge(self.lane.id, &self.books.observations).outcome == Outcome::Met)
    }

    /// The open codes among these checks of this lane, each once, with what was found.
    #[must_use]
    pub fn open_among(&self, checks: &[&'static dyn AnyCheck]) -> BTreeMap<String, String> {
        checks
            .iter()
            .map(|check| check.judge(self.lane.id, &self.books.observations))
            .filter(super::judge::opens)
            .map(|finding| (finding.code, finding.why))
            .collect()
    }

    /// What is not met in another lane, by its code: every check of it judged again, from the observations as they are
    /// stored. A check that is only blocked is not met either; it stands under the code that blocks it.
    ///
    /// # Errors
    /// When the phase has no such lane, or the observations cannot be stored and read again.
    pub fn open_in(&self, lane: &str) -> Result<BTreeMap<String, String>, Stop> {
        let lane = self.lane_of_phase(lane)?;
        let stored = serde_json::to_vec(&self.books.observations).map_err(|e| Stop::Fault(e.to_string()))?;
        let read: Observations = serde_json::from_slice(&stored).map_err(|e| Stop::Fault(e.to_string()))?;
        Ok(lane
            .checks
            .iter()
            .map(|check| super::judge::judged(*check, lane.id, &read, self.plan()))
            .filter(|finding| finding.outcome != Outcome::Met)
            .map(|finding| (finding.blocked_by.unwrap_or(finding.code), finding.why))
            .collect())
    }

    /// What became of every file that a lane tried to publish, by file name.
    ///
    /// # Errors
    /// When what was taken down of one has another shape.
    pub fn publications_of(&self, lane: &str) -> Result<BTreeMap<String, Publication>, Stop> {
        let mut all = BTreeMap::new();
        for observation in self.books.observations.of_lane(lane) {
            if let Some(file) = observation.name.strip_prefix(PUBLISHED) {
                all.insert(file.to_owned(), self.fact(&format!("{lane}/{}", observation.name))?);
            }
        }
        Ok(all)
    }

    /// When and under which ids a lane ran. Of a lane that was taken over from an earlier execution, those of then.
    ///
    /// # Errors
    /// When the phase has no such lane.
    pub fn executed(&self, lane: &str) -> Result<Executed, Stop> {
        let lane = self.lane_of_phase(lane)?;
        let (ids, _) = self.home_of(lane);
        Ok(Executed {
            execution_id: self.execution_id_of(lane),
            phase_execution_id: ids.execution.clone(),
            instant: ids.instant,
        })
    }

    fn lane_of_phase(&self, lane: &str) -> Result<&'a Lane, Stop> {
        self.phase.lane(lane).ok_or_else(|| Stop::Fault(format!("the phase has no lane {lane}")))
    }

    /// What the environment gives for `name`, where the lane says that it may.
    #[must_use]
    pub fn given(&self, name: &str) -> Option<&'a str> {
        self.documents.given.get(name).map(String::as_str)
    }

    /// The execution ids of all lanes of the phase, by `m3a`, `m3b`.
    #[must_use]
    pub fn lane_execution_ids(&self) -> BTreeMap<String, String> {
        self.phase.lanes.iter().map(|lane| (lane.short(), self.execution_id_of(lane))).collect()
    }

    /// What the run may do.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// Whether the run is live.
    #[must_use]
    pub fn basis(&self) -> RunBasis {
        self.basis
    }

    /// The account that must be the substrate's: the lock's, in a rehearsal the world's.
    #[must_use]
    pub fn expected_account(&self) -> Option<&'a str> {
        self.expected_account
    }

    /// The substrate.
    ///
    /// # Errors
    /// When a document step asks for it.
    pub fn world(&self) -> Result<&'a World<'a>, Stop> {
        self.world.ok_or_else(|| Stop::Fault(format!("{} asked the substrate in its document step", self.lane.id)))
    }

    /// The container engine and the registry.
    ///
    /// # Errors
    /// When the phase does not declare that it needs them, or a document step asks.
    pub fn images(&self) -> Result<&'a Images, Stop> {
        self.world()?
            .images
            .ok_or_else(|| Stop::Fault(format!("{} asks for images, and its phase does not", self.lane.id)))
    }

    /// The decision on the lanes before; only lanes that close the phase have it.
    ///
    /// # Errors
    /// When this lane is none of them.
    pub fn decision(&self) -> Result<Decision, Stop> {
        self.books
            .decision
            .clone()
            .ok_or_else(|| Stop::Fault(format!("{} asked for a decision that is not frozen yet", self.lane.id)))
    }

    /// A handle's value.
    ///
    /// # Errors
    /// A fault with the handle's name, the lines and what to do, when it does not resolve.
    pub fn handle(&self, name: &str) -> Result<Resolved, Stop> {
        self.handles().resolve(name).map_err(|error| Stop::Fault(error.to_string()))
    }

    /// A handle's value as text.
    ///
    /// # Errors
    /// As for [`Self::handle`], and when it is no text.
    pub fn text(&self, name: &str) -> Result<String, Stop> {
        let resolved = self.handle(name)?;
        resolved.text().map(str::to_owned).map_err(|error| Stop::Fault(error.to_string()))
    }

    /// Gives a name a value, for placeholders of this and later lanes.
    pub fn bind(&mut self, name: &str, value: &str) {
        self.books.names.insert(name.to_owned(), value.to_owned());
    }

    /// Takes down what was seen.
    ///
    /// # Errors
    /// When it has no JSON form.
    pub fn observe(&mut self, name: &str, source: &str, value: &impl Serialize) -> Step {
        let value = serde_json::to_value(value)
            .map_err(|e| Stop::Fault(format!("the observation `{name}` has no JSON form: {e}")))?;
        self.file(name, source, Answer::Value(value))
    }

    /// Takes down a call's answer, and gives it back. A call without an answer is taken down too, and
    /// stops the lane: the checks that read it are `error` or `unsupported`.
    ///
    /// # Errors
    /// When there was no answer.
    pub fn ask<T: Serialize>(
        &mut self,
        name: &str,
        source: &str,
        reply: Result<Reply<T>, CallError>,
    ) -> Result<T, Stop> {
        match reply {
            Ok(reply) => {
                self.observe(name, source, &reply.value)?;
                Ok(reply.value)
            }
            Err(error) => {
                let said = error.to_string();
                self.file(name, source, Answer::Failed(error))?;
                Err(Stop::Fault(said))
            }
        }
    }

    pub(crate) fn file(&mut self, name: &str, source: &str, answer: Answer) -> Step {
        let observation =
            Observation::new(self.lane.id, name, source, answer).map_err(|e| Stop::Fault(e.to_string()))?;
        self.books.observations.insert(observation);
        Ok(())
    }

    /// Facts of this lane, or by `M3.B/name` of an earlier one.
    ///
    /// # Errors
    /// When they are not there or have another shape.
    pub fn fact<T: DeserializeOwned>(&self, name: &str) -> Result<T, Stop> {
        self.books
            .observations
            .facts(self.lane.id, &[name])
            .map(|(facts, _)| facts)
            .map_err(|why| Stop::Fault(format!("{} needs the fact `{name}`: {why:?}", self.lane.id)))
    }

    /// Whether the call behind an observation of this lane gave no answer.
    #[must_use]
    pub fn gave_no_answer(&self, name: &str) -> bool {
        self.books.observations.failed(self.lane.id, &[name]).is_some()
    }

    /// Goes on only if the check is met now.
    ///
    /// # Errors
    /// With the check's code when it is not.
    pub fn demand(&self, check: &'static dyn AnyCheck) -> Step {
        stop_unless_met(check.judge(self.lane.id, &self.books.observations))
    }

    /// Says something that has no effect on the verdict.
    pub fn note(&mut self, text: impl Into<String>) {
        self.books.notes.push(text.into());
    }

    /// Says what was taken on trust.
    pub fn trusted_unverified(&mut self, text: impl Into<String>) {
        self.books.trusted.push(text.into());
    }

    /// The key of a file under the control evidence of this phase execution.
    #[must_use]
    pub fn run_control_key(&self, name: &str) -> String {
        run_control_key(self.phase, self.ids, name)
    }

    /// The key of a file under the control evidence of this lane's own execution.
    #[must_use]
    pub fn lane_control_key(&self, name: &str) -> String {
        format!("{}{name}", self.phase.run_control.replace("{id}", &self.execution_id_of(self.lane)))
    }

    /// The bucket that evidence goes to.
    ///
    /// # Errors
    /// When its handle does not resolve.
    pub fn evidence_bucket(&self) -> Result<String, Stop> {
        self.text(self.phase.evidence_bucket)
    }

    /// Publishes a file by the one door, and takes down what came of it as `publish:<name>`.
    ///
    /// # Errors
    /// When the file was stopped; the observation says at which step.
    pub fn publish(&mut self, file: File<'_>) -> Result<Receipt, Stop> {
        let world = self.world()?;
        if !self.store_is_open {
            return Err(Stop::Fault(format!(
                "{} publishes before the execution id is reserved; declare it after the lane that closes the entry",
                self.lane.id
            )));
        }
        let bucket = self.evidence_bucket()?;
        let (key, group) = match &file.to {
            To::RunControl => (self.run_control_key(file.name), "run_control".to_owned()),
            // Another lane has another prefix: what stands in the way of one says nothing of the next.
            To::LaneControl => (self.lane_control_key(file.name), self.own_execution_id()),
            To::Key { key, group } => (key.clone(), (*group).to_owned()),
        };
        let local = format!("{}/{}", self.execution_id_of(self.lane), file.name);
        let artifact = Artifact::new(local.clone(), file.body, file.minimum_fields);
        let store = BucketStore { objects: &world.objects, bucket: &bucket };
        let destination = Destination::Durable(Durable { store: &store, bucket: &bucket, key: key.clone(), group });
        let published = self.door.publish(&artifact, &destination);
        self.take_down(file.name, &format!("the evidence door, to s3://{bucket}/{key}"), published, file.documented)
    }

    fn take_down(
        &mut self,
        name: &str,
        source: &str,
        published: Result<Receipt, PublishError>,
        documented: Option<String>,
    ) -> Result<Receipt, Stop> {
        let name = format!("{PUBLISHED}{name}");
        match published {
            Ok(receipt) => {
                self.books.keep(&receipt, self.mode);
                let done = Publication::Published {
                    documented,
                    receipt: Box::new(receipt.reproducible()),
                    preflight: self.mode == Mode::Preflight,
                };
                self.observe(&name, source, &done)?;
                Ok(receipt)
            }
            Err(error) => {
                self.observe(&name, source, &Publication::stopped(&error))?;
                Err(Stop::Fault(error.to_string()))
            }
        }
    }

    /// A pattern of the registry, filled.
    ///
    /// # Errors
    /// When a token is not allowed or has no value, or a value would lead out of the pattern's prefix.
    pub fn fill(&self, pattern: &str, tokens: &[(&str, &str)]) -> Result<String, Stop> {
        let values = tokens.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        fill_pattern(pattern, &self.handles().registry().tokens, &values).map_err(|e| Stop::Fault(e.to_string()))
    }

    /// The registry and the handoff, both read again from disk: for recomputing by another way.
    ///
    /// # Errors
    /// When either cannot be read any more.
    pub fn read_handles_again(&self) -> Result<Handles, Stop> {
        let documents = self.documents;
        let fault = |e: &dyn std::fmt::Display| Stop::Fault(e.to_string());
        let text = self.repository().text(&documents.registry_path).map_err(|e| fault(&e))?;
        let parsed = registry::parse(std::path::Path::new(&documents.registry_path), &text);
        let mut handles = Handles::new(parsed.registry);
        for handoff in &documents.handoffs {
            let bytes = self.repository().bytes(&handoff.path).map_err(|e| fault(&e))?;
            let value: Value = serde_json::from_slice(&bytes).map_err(|e| fault(&e))?;
            take_in_handoff(&mut handles, self.plan(), &handoff.path, &value).map_err(|e| fault(&e))?;
        }
        Ok(handles)
    }

    /// The local path that a plan documents, for this execution: `<timestamp>` is its instant.
    #[must_use]
    pub fn documented_path(&self, template: &str) -> String {
        template.replace("<timestamp>", &self.ids.instant.compact())
    }

    /// Goes on only if a check of another lane is met now.
    ///
    /// # Errors
    /// With the check's code when it is not.
    pub fn demand_of(&self, lane: &str, check: &'static dyn AnyCheck) -> Step {
        stop_unless_met(check.judge(lane, &self.books.observations))
    }

    /// A JSON object of the store, read back. A call without an answer is taken down as `name`.
    ///
    /// # Errors
    /// When it cannot be read or is no JSON.
    pub fn get_json(&mut self, name: &str, bucket: &str, key: &str) -> Result<Value, Stop> {
        let call = format!("aws s3api get-object --bucket {bucket} --key '{key}' /dev/stdout");
        let reply = self.world()?.objects.get_object(bucket, key, None);
        match reply {
            Ok(reply) => serde_json::from_slice(&reply.value.bytes)
                .map_err(|e| Stop::Fault(format!("s3://{bucket}/{key} is no JSON: {e}"))),
            Err(error) => Err(self.unanswered(name, &call, error)),
        }
    }

    /// Whether an object is there. A call without an answer is taken down as `name`.
    ///
    /// # Errors
    /// When there was no usable answer.
    pub fn exists(&mut self, name: &str, bucket: &str, key: &str) -> Result<bool, Stop> {
        let reply = self.world()?.objects.head_object(bucket, key);
        match reply {
            Ok(_) => Ok(true),
            Err(error) if error.kind == CallErrorKind::NotFound => Ok(false),
            Err(error) => {
                let call = format!("aws s3api head-object --bucket {bucket} --key '{key}'");
                Err(self.unanswered(name, &call, error))
            }
        }
    }

    /// The names that lanes bound so far.
    pub(crate) fn names(&self) -> &BTreeMap<String, String> {
        &self.books.names
    }

    /// The decision once more, from the observations as they are stored.
    ///
    /// # Errors
    /// When they cannot be stored, or this lane does not close the phase.
    pub fn decide_again(&self) -> Result<Decision, Stop> {
        let judgement = self
            .judgement
            .ok_or_else(|| Stop::Fault(format!("{} asked to decide again before a decision", self.lane.id)))?;
        let stored = serde_json::to_vec(&self.books.observations).map_err(|e| Stop::Fault(e.to_string()))?;
        let read: Observations = serde_json::from_slice(&stored).map_err(|e| Stop::Fault(e.to_string()))?;
        Ok(judgement.decide(&read, true))
    }

    /// The findings of a lane before this one, judged from what is observed now; only for lanes that close the phase.
    ///
    /// # Errors
    /// When this lane is none of them.
    pub fn findings_of(&self, lane: &str) -> Result<Vec<Finding>, Stop> {
        let judgement = self.judgement.ok_or_else(|| {
            Stop::Fault(format!("{} asked for the findings of {lane} before a decision", self.lane.id))
        })?;
        Ok(judgement.findings_of(lane, &self.books.observations))
    }

    /// How the lanes of the phase came out so far, in their order: `M3.A` and `closed`, `held`, `blocked`, `not run`.
    ///
    /// # Errors
    /// When this lane does not close the phase.
    pub fn lane_states(&self) -> Result<Vec<(String, &'static str)>, Stop> {
        let judgement = self
            .judgement
            .ok_or_else(|| Stop::Fault(format!("{} asked for the states of lanes before a decision", self.lane.id)))?;
        Ok(self
            .phase
            .lanes
            .iter()
            .filter(|lane| lane.closing == Closing::No)
            .map(|lane| (lane.id.to_owned(), judgement.state_of(lane.id, &self.books.observations)))
            .collect())
    }

    /// Publishes a text by the one door, under this lane's control evidence, and takes down what came of it as
    /// `publish:<name>`.
    ///
    /// # Errors
    /// As for [`Self::publish`].
    pub fn publish_text(&mut self, name: &str, text: &str) -> Result<Receipt, Stop> {
        let world = self.world()?;
        if !self.store_is_open {
            return Err(Stop::Fault(format!("{} publishes before the execution id is reserved", self.lane.id)));
        }
        let bucket = self.evidence_bucket()?;
        let key = self.lane_control_key(name);
        let local = format!("{}/{name}", self.execution_id_of(self.lane));
        let store = BucketStore { objects: &world.objects, bucket: &bucket };
        let to = Durable { store: &store, bucket: &bucket, key: key.clone(), group: self.own_execution_id() };
        let published = self.door.publish_bytes(&local, text.as_bytes(), &Destination::Durable(to));
        self.take_down(name, &format!("the evidence door, to s3://{bucket}/{key}"), published, None)
    }

    /// Where documents are edited that the phase closes: copies below the execution's folder; in a live run of all cases
    /// that may write, the plan repository itself.
    #[must_use]
    pub fn closure_root(&self) -> PathBuf {
        // Fewer than all cases close no phase.
        let partial = self.books.decision.as_ref().is_none_or(|decision| decision.verdict == Verdict::Partial);
        match (self.basis, self.mode) {
            (RunBasis::Live, Mode::Commit) if !partial => self.repository().root().to_owned(),
            _ => self.folder.join("closure"),
        }
    }

    /// The checks of the phase by the plan's code that they raise.
    #[must_use]
    pub fn checks_by_code(&self) -> BTreeMap<String, Vec<&'static dyn AnyCheck>> {
        let mut by_code: BTreeMap<String, Vec<&'static dyn AnyCheck>> = BTreeMap::new();
        for check in self.phase.lanes.iter().flat_map(|lane| &lane.checks) {
            if let CodeSource::Plan(code) = check.code() {
                by_code.entry(code.to_owned()).or_default().push(*check);
            }
        }
        by_code
    }

    /// A decision's verdict as the plan writes it.
    #[must_use]
    pub fn verdict_text(&self, decision: &Decision) -> String {
        decision.verdict.text(self.phase.id, self.phase.next)
    }

    /// The execution's folder on disk.
    #[must_use]
    pub fn folder(&self) -> &'a PathBuf {
        self.folder
    }
}

fn stop_unless_met(finding: Finding) -> Step {
    match finding.outcome {
        Outcome::Met => Ok(()),
        Outcome::Blocked => Err(Stop::By { code: finding.blocked_by.unwrap_or(finding.code) }),
        Outcome::Unmet | Outcome::Unsupported | Outcome::Error => Err(Stop::By { code: finding.code }),
    }
}

/// The key of a file under the control evidence of a phase execution.
pub(crate) fn run_control_key(phase: &Phase, ids: &Ids, name: &str) -> String {
    format!("{}{name}", phase.run_control.replace("{id}", &ids.execution))
}
