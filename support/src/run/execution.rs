//! One execution of one phase: documents, entry, lanes, decision, closing lanes, evidence, verdict.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::cases::Case;
use super::check::derived_code;
use super::clock::Instant;
use super::context::{Books, BucketStore, Ids, LaneRun, World, run_control_key};
use super::course::{self, COURSE, Course};
use super::documents::Documents;
use super::entry;
use super::finding::{Finding, Outcome};
use super::judge::{self, Judgement, Progress};
use super::lane::{Closing, Lane, Phase, Stop};
use super::objects::Objects;
use super::observation::{Answer, Observation, Observations};
use super::outcome::{
    CaseState, EvidenceFile, LaneOutcome, LaneState, Mode, PhaseOutcome, RenderError, RenderedBody, Reporter, Resumed,
    RunBasis, Verdict, lower,
};
use super::resume::{self, EXECUTION, Earlier, LEFT, Left, Record, Source};
use super::settings::Settings;
use super::stored::Stored;
use crate::evidence::{
    Artifact, Destination, Door, Durable, Limits, PublishError, Receipt, Watch, digests_below, link_on_the_way,
};
use crate::substrate::{Substrate, SubstrateKind};

/// The file that speaks for the execution; the last that is written.
const VERDICT: &str = "verdict.json";

/// The name that a lane binds to the run that it pins.
const PLATFORM_RUN_ID: &str = "platform_run_id";

/// An execution that could not be written down. What it found stays in the error's text.
#[derive(Debug, thiserror::Error)]
pub enum ExecutionError {
    /// The local folder cannot be made.
    #[error(
        "the execution's folder {path} cannot be made: {source}; set PHASEGATE_OUT to a folder that can be written"
    )]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A folder below the output folder is a link.
    #[error(
        "{path} is a link, to {to}: evidence stays in the folder that was named. Take the link away, or set PHASEGATE_OUT to the folder that is meant"
    )]
    Link {
        /// The link.
        path: PathBuf,
        /// What it leads to.
        to: PathBuf,
    },
    /// The files of the folder cannot be listed.
    #[error("the files in {path} cannot be read again: {source}; look at the disk, then run the gate again")]
    Listing {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Another execution has this id.
    #[error(
        "PG-{phase}-execution_id_taken: {path} exists; an execution id is used once. Unset PHASEGATE_CLOCK, set another, or set another PHASEGATE_OUT"
    )]
    Taken {
        /// The phase.
        phase: String,
        /// The folder.
        path: PathBuf,
    },
    /// A report could not be rendered.
    #[error(transparent)]
    Render(#[from] RenderError),
    /// A file of the execution could not be published.
    #[error("{name}: {source}")]
    Publish {
        /// The file.
        name: String,
        /// Why.
        source: Box<PublishError>,
    },
}

/// Everything that one execution needs.
pub struct Execution<'a> {
    /// The gate.
    pub phase: &'a Phase,
    /// The documents.
    pub documents: &'a Documents,
    /// One lane alone, on the evidence of an earlier execution.
    pub alone: Option<&'a Alone>,
    /// Problems of the plan, of the lock and of the bindings: each holds the gate.
    pub problems: Vec<Finding>,
    /// Words without effect on the verdict.
    pub notes: Vec<String>,
    /// All cases.
    pub cases: &'a [Case],
    /// The names of the selected ones.
    pub selected: BTreeSet<String>,
    /// The phase's own case is selected: register, plan, account, entry.
    pub integrity: bool,
    /// What the run is told.
    pub settings: &'a Settings,
    /// The substrate, or why there is none.
    pub substrate: Result<&'a Substrate, String>,
    /// The account that must be the substrate's.
    pub expected_account: Option<String>,
    /// The instant.
    pub instant: Instant,
    /// Whether it is live.
    pub basis: RunBasis,
    /// Where `<track>/<phase>/<execution id>` goes.
    pub out: PathBuf,
    /// Random, one for the process; only in object metadata.
    pub writer: String,
    /// Decides and renders.
    pub reporter: &'a dyn Reporter,
    /// Told what is going on.
    pub progress: &'a dyn Fn(&str),
    /// Told where evidence is being written; only tests ask.
    pub watch: Option<Watch>,
}

/// One lane, run alone: the lanes before it are judged by what an earlier execution observed.
#[derive(Debug, Clone)]
pub struct Alone {
    /// The lane, `M3.E`.
    pub lane: &'static str,
    /// The earlier execution.
    pub stored: Stored,
}

struct Run<'a> {
    execution: &'a Execution<'a>,
    ids: Ids,
    folder: PathBuf,
    door: Door,
    books: Books,
    lanes: BTreeMap<&'static str, Progress>,
    own: Vec<Finding>,
    durable: bool,
    /// The lanes of an earlier execution that this one goes on from.
    earlier: Option<Earlier>,
    /// What the lanes left that were closed, until it is kept.
    left: BTreeMap<&'static str, Left>,
    /// Files that could not be put; they stay here.
    unwritten: BTreeSet<String>,
    resumed: Option<Resumed>,
}

impl Execution<'_> {
    /// Runs the lanes that the selection needs, judges, and leaves the evidence. The verdict is
    /// written last.
    ///
    /// # Errors
    /// When the execution's own files cannot be written. What the world answers is never an error
    /// here, but a finding.
    pub fn run(&self) -> Result<PhaseOutcome, ExecutionError> {
        let ids = Ids {
            execution: format!("{}_{}", self.phase.id.to_ascii_lowercase(), self.instant.compact()),
            instant: self.instant,
        };
        let folder = reserve_folder(&self.out, self.phase, &ids)?;
        let mut run = Run {
            execution: self,
            door: match &self.watch {
                None => Door::new(&folder, &self.writer, Limits::default()),
                Some(watch) => Door::new(&folder, &self.writer, Limits::default()).watched(Watch::clone(watch)),
            },
            ids,
            folder,
            books: Books::default(),
            lanes: BTreeMap::new(),
            own: self.problems.clone(),
            durable: false,
            earlier: None,
            left: BTreeMap::new(),
            unwritten: BTreeSet::new(),
            resumed: None,
        };
        run.books.notes.extend(self.documents.absent.iter().chain(&self.notes).cloned());
        if let Some(alone) = self.alone {
            run.go_on_from(alone);
        }
        run.execute();
        run.conclude()
    }

    /// Whether nothing was filtered out, the phase's own case included.
    fn whole(&self) -> bool {
        let all = self.integrity && self.selected.len() == self.cases.len();
        // Under nextest nobody knows which cases will be asked for in the end.
        all && self.alone.is_none() && self.settings.nextest.is_none()
    }

    fn selected_lanes(&self) -> BTreeSet<&'static str> {
        use super::cases::CaseBinding;
        use super::check::Proof;
        if let Some(alone) = self.alone {
            return BTreeSet::from([alone.lane]);
        }
        let mut lanes = BTreeSet::new();
        for case in self.cases.iter().filter(|c| self.selected.contains(&c.name)) {
            let CaseBinding::Bound(proofs) = &case.binding else { continue };
            for proof in proofs {
                let lane = match proof {
                    Proof::Lane(lane) => Some(*lane),
                    Proof::Holds(check) | Proof::Refused(check) => self.phase.owner(check.name()),
                };
                lanes.extend(lane);
            }
        }
        if self.integrity {
            lanes.extend(self.phase.entry.iter().filter_map(|check| self.phase.owner(check.name())));
        }
        if self.selected.len() == self.cases.len() {
            lanes.extend(self.phase.lanes.iter().map(Lane::id));
        }
        self.phase.with_prerequisites(&lanes)
    }
}

fn reserve_folder(out: &Path, phase: &Phase, ids: &Ids) -> Result<PathBuf, ExecutionError> {
    let parent = out.join(phase.track).join(phase.id.to_ascii_lowercase());
    let folder = parent.join(&ids.execution);
    if let Some((path, to)) = link_on_the_way(out, &folder) {
        return Err(ExecutionError::Link { path, to });
    }
    std::fs::create_dir_all(&parent).map_err(|source| ExecutionError::Folder { path: parent.clone(), source })?;
    match std::fs::create_dir(&folder) {
        Ok(()) => Ok(folder),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            Err(ExecutionError::Taken { phase: phase.id.to_owned(), path: folder })
        }
        Err(source) => Err(ExecutionError::Folder { path: folder, source }),
    }
}

impl<'a> Run<'a> {
    fn execute(&mut self) {
        let selected = self.execution.selected_lanes();
        self.read_documents(&selected);
        let register = entry::register(self.execution.phase, &self.execution.documents.plan);
        self.own.extend(register);
        self.own.extend(entry::unmeasured_claims(self.execution.phase, &self.execution.documents.plan));
        if let Some(code) = self.entry_blocker() {
            self.block_all(&selected, &code);
            return;
        }
        let Some(world) = self.enter(&selected) else { return };
        if let Some(id) = &self.execution.settings.resume
            && let Err(why) = self.take_over(id, &selected, &world)
        {
            let finding = entry::resume_refused(self.execution.phase, id, &why);
            self.block_all(&selected, &finding.code);
            self.own.push(finding);
            return;
        }
        for lane in self.lanes_of(&selected, |l| l.closing == Closing::No) {
            if !self.is_taken_over(lane) {
                self.run_lane(lane, &world, None);
                self.keep_closed(&world);
            }
        }
        let judgement = self.judgement();
        self.books.decision = Some(judgement.decide(&self.books.observations, true));
        for lane in self.lanes_of(&selected, |l| l.closing != Closing::No) {
            self.run_lane(lane, &world, Some(&judgement));
        }
    }

    /// Takes over what the lanes before this one observed then.
    fn go_on_from(&mut self, alone: &Alone) {
        let phase = self.execution.phase;
        for lane in phase.with_prerequisites(&BTreeSet::from([alone.lane])) {
            if lane != alone.lane {
                let own = alone.stored.observations.of_lane(lane).cloned();
                own.for_each(|observation| self.books.observations.insert(observation));
                self.lanes.insert(lane, Progress::Ran(None));
            }
        }
        self.books.notes.push(format!("{} alone, on the evidence of {}", alone.lane, alone.stored.ids.execution));
        self.earlier = Some(Earlier {
            ids: alone.stored.ids.clone(),
            folder: alone.stored.folder.clone(),
            lanes: phase.lanes.iter().map(|lane| lane.id).filter(|lane| *lane != alone.lane).collect(),
        });
    }

    fn is_taken_over(&self, lane: &Lane) -> bool {
        self.resumed.is_some() && self.earlier.as_ref().is_some_and(|earlier| earlier.lanes.contains(lane.id))
    }

    /// Takes over the lanes that an execution closed which did not come to its end: only where nothing has changed since,
    /// and its evidence verifies.
    fn take_over(&mut self, id: &str, selected: &BTreeSet<&'static str>, world: &World<'_>) -> Result<(), String> {
        let phase = self.execution.phase;
        let bucket = self.evidence_bucket().ok_or_else(|| entry::no_bucket(phase).why)?;
        let source = Source {
            phase,
            folder: self.folder.with_file_name(id),
            objects: &world.objects,
            bucket: &bucket,
            prefix: phase.run_control.replace("{id}", id),
        };
        let mut taken = source.take(&self.record(&world.account)).map_err(|error| error.to_string())?;
        taken.earlier.lanes.retain(|lane| selected.contains(lane));
        let lanes = taken.earlier.lanes.clone();
        let own = taken.observations.into_iter().filter(|o| lanes.contains(o.lane.as_str()));
        own.for_each(|observation| self.books.observations.insert(observation));
        let mut files = Vec::new();
        for (lane, left) in taken.left.into_iter().filter(|(lane, _)| lanes.contains(lane)) {
            self.lanes.insert(lane, Progress::Ran(None));
            self.books.names.extend(left.names.clone());
            self.books.notes.extend(left.notes.clone());
            self.books.trusted.extend(left.trusted.clone());
            files.extend(left.files.clone());
            self.left.insert(lane, left);
        }
        let names: Vec<String> = lanes.iter().map(|lane| (*lane).to_owned()).collect();
        let said = if names.is_empty() { "nothing".to_owned() } else { names.join(", ") };
        self.books.notes.push(format!("goes on from {id}: {said} taken over, everything else is asked again"));
        self.resumed = Some(Resumed { execution_id: id.to_owned(), lanes: names, files });
        self.earlier = Some(taken.earlier);
        Ok(())
    }

    /// Keeps what the closed lanes observed and left, as soon as there is a store to keep it in: an execution that ends
    /// here may be gone on from.
    fn keep_closed(&mut self, world: &World<'_>) {
        let phase = self.execution.phase;
        let Some(bucket) = self.durable_bucket() else { return };
        if self.execution.settings.mode == Mode::Preflight || self.execution.alone.is_some() {
            return;
        }
        let store = BucketStore { objects: &world.objects, bucket: &bucket };
        while let Some((lane, left)) = self.left.pop_first() {
            let kept = self.take_down_left(lane, &left).and_then(|()| self.observations_of(lane));
            let Ok((name, body)) = kept else { continue };
            match self.leave(Some(&store), &name, &body) {
                Ok(receipt) => self.books.keep(&receipt, self.execution.settings.mode),
                // The end of the execution withholds it, and says so.
                Err(PublishError::Secret { .. }) => {}
                Err(error) => {
                    let known = self.judgement().findings(&self.books.observations);
                    self.own.push(entry::unwritten(phase, &error, &known));
                    self.unwritten.insert(name);
                }
            }
        }
    }

    fn take_down_left(&mut self, lane: &str, left: &Left) -> Result<(), ExecutionError> {
        let error = |why: String| RenderError { name: format!("observations/{lane}.json"), why };
        let value = serde_json::to_value(left).map_err(|e| error(e.to_string()))?;
        let source = "what the lane left, kept when it was closed";
        let observation =
            Observation::new(lane, LEFT, source, Answer::Value(value)).map_err(|e| error(e.to_string()))?;
        self.books.observations.insert(observation);
        Ok(())
    }

    /// Whether every check of a lane is met.
    fn is_closed(&self, lane: &Lane) -> bool {
        let findings = self.judgement().findings_of(lane.id, &self.books.observations);
        !findings.is_empty() && findings.iter().all(|finding| finding.outcome == Outcome::Met)
    }

    fn lanes_of(&self, selected: &BTreeSet<&'static str>, which: impl Fn(&Lane) -> bool) -> Vec<&'a Lane> {
        self.execution.phase.lanes.iter().filter(|l| selected.contains(l.id) && which(l)).collect()
    }

    fn judgement(&self) -> Judgement<'a> {
        Judgement {
            phase: self.execution.phase,
            plan: &self.execution.documents.plan,
            reporter: self.execution.reporter,
            mode: self.execution.settings.mode,
            whole: self.execution.whole(),
            lanes: self.lanes.clone(),
            own: self.own.clone(),
            faults: self.books.faults.clone(),
        }
    }

    fn lane_run<'r>(
        &'r mut self,
        lane: &'r Lane,
        world: Option<&'r World<'r>>,
        judgement: Option<&'r Judgement<'r>>,
    ) -> LaneRun<'r> {
        LaneRun {
            judgement,
            phase: self.execution.phase,
            lane,
            documents: self.execution.documents,
            ids: &self.ids,
            earlier: self.earlier.as_ref(),
            mode: self.execution.settings.mode,
            basis: self.execution.basis,
            expected_account: self.execution.expected_account.as_deref(),
            world,
            store_is_open: self.durable,
            door: &self.door,
            folder: &self.folder,
            books: &mut self.books,
        }
    }

    fn read_documents(&mut self, selected: &BTreeSet<&'static str>) {
        if entry::asks_nothing(&self.execution.documents.plan) {
            return;
        }
        for lane in self.lanes_of(selected, |_| true) {
            let Some(body) = lane.documents else { continue };
            if let Err(Stop::Fault(why)) = body(&mut self.lane_run(lane, None, None)) {
                self.books.faults.insert(lane.id, why);
            }
        }
    }

    /// The first code that keeps every lane from running: the register, the plan, the lock, the entry.
    fn entry_blocker(&self) -> Option<String> {
        if let Some(code) = self.own.iter().find_map(entry::stops_lanes) {
            return Some(code);
        }
        for check in &self.execution.phase.entry {
            let Some(lane) = self.execution.phase.owner(check.name()) else {
                return Some(derived_code(self.execution.phase.id, "entry_without_lane"));
            };
            let finding = judge::judged(*check, lane, &self.books.observations, &self.execution.documents.plan);
            if finding.outcome != Outcome::Met {
                return Some(finding.blocked_by.unwrap_or(finding.code));
            }
        }
        None
    }

    fn block_all(&mut self, selected: &BTreeSet<&'static str>, code: &str) {
        for lane in self.lanes_of(selected, |_| true) {
            self.lanes.insert(lane.id, Progress::Blocked(code.to_owned()));
        }
    }

    /// The substrate, if it is the one that it should be.
    fn enter(&mut self, selected: &BTreeSet<&'static str>) -> Option<World<'a>> {
        let substrate = match &self.execution.substrate {
            Ok(substrate) => *substrate,
            Err(why) => {
                let finding = entry::no_substrate(self.execution.phase, why);
                self.block_all(selected, &finding.code);
                self.own.push(finding);
                return None;
            }
        };
        let (finding, account) = entry::account(
            self.execution.phase,
            substrate,
            self.execution.expected_account.as_deref(),
            &mut self.books.observations,
        );
        let met = finding.outcome == Outcome::Met;
        let code = finding.code.clone();
        self.own.push(finding);
        match account.filter(|_| met) {
            Some(account) => Some(World {
                substrate,
                objects: match self.execution.settings.mode {
                    Mode::Preflight => Objects::reading_only(substrate.s3()),
                    Mode::Commit => Objects::writing(substrate.s3()),
                },
                account,
            }),
            None => {
                self.block_all(selected, &code);
                None
            }
        }
    }

    fn run_lane(&mut self, lane: &'a Lane, world: &World<'a>, judgement: Option<&Judgement<'a>>) {
        if let Some(code) = self.blocker_of(lane) {
            self.lanes.insert(lane.id, Progress::Blocked(code));
            return;
        }
        if !lane.after.is_empty()
            && let Some(code) = self.store_blocker(world)
        {
            self.lanes.insert(lane.id, Progress::Blocked(code));
            return;
        }
        self.keep_closed(world);
        (self.execution.progress)(lane.id);
        let (notes, trusted) = (self.books.notes.len(), self.books.trusted.len());
        let stop = (lane.execute)(&mut self.lane_run(lane, Some(world), judgement)).err();
        self.lanes.insert(lane.id, Progress::Ran(stop.clone()));
        if let (Some(publish), None | Some(Stop::By { .. })) = (lane.publish, &stop) {
            // What is not published yet is not observed yet: that explains nothing of a store that cannot be opened.
            let waits = Stop::By { code: derived_code(self.execution.phase.id, "execution_reserved") };
            self.lanes.insert(lane.id, Progress::Ran(Some(stop.clone().unwrap_or(waits))));
            let closed = self.store_blocker(world);
            self.lanes.insert(lane.id, Progress::Ran(stop.clone()));
            if let Some(code) = closed {
                self.lanes.insert(lane.id, Progress::Ran(stop.or(Some(Stop::By { code }))));
                return;
            }
            // Why the lane stopped first stays its reason.
            let later = publish(&mut self.lane_run(lane, Some(world), judgement)).err();
            self.lanes.insert(lane.id, Progress::Ran(stop.or(later)));
        }
        if lane.closing == Closing::No && self.is_closed(lane) {
            let own = format!("{}_{}/", lane.short(), self.ids.instant.compact());
            let left = Left {
                names: self.books.names.clone(),
                notes: self.books.notes.iter().skip(notes).cloned().collect(),
                trusted: self.books.trusted.iter().skip(trusted).cloned().collect(),
                files: self.books.files.iter().filter(|file| file.path.starts_with(&own)).cloned().collect(),
            };
            self.left.insert(lane.id, left);
        }
    }

    /// Opens the store, unless it is open; the code that stands in the way, if one does.
    fn store_blocker(&mut self, world: &World<'_>) -> Option<String> {
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

    /// The code that keeps a lane from running: its own, if the store could not be opened before;
    /// an earlier lane's; for a lane that hands over, any.
    fn blocker_of(&self, lane: &Lane) -> Option<String> {
        if let Some(code) = self.own.iter().find_map(entry::stops_lanes) {
            return Some(code);
        }
        if lane.closing == Closing::RollsUp {
            return None;
        }
        if lane.closing == Closing::HandsOver
            && let Some(decision) = &self.books.decision
            && decision.verdict == Verdict::Hold
        {
            let code = decision.roots.first().map(|root| root.code.clone());
            return Some(code.unwrap_or_else(|| derived_code(self.execution.phase.id, "hold")));
        }
        lane.after.iter().find_map(|id| {
            let findings = self.judgement().findings_of(id, &self.books.observations);
            let open = findings.iter().find(|f| f.outcome != Outcome::Met)?;
            Some(open.blocked_by.clone().unwrap_or_else(|| open.code.clone()))
        })
    }

    /// Reserves the execution id and shows that the store keeps its word; the code that stands in
    /// the way, if one does.
    fn open_store(&mut self, world: &World<'_>) -> Option<String> {
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
    fn store_finding(&mut self, mut finding: Finding) -> Option<String> {
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

    fn open_codes(&self) -> Vec<String> {
        let findings = self.judgement().findings(&self.books.observations);
        findings.iter().filter(|f| judge::opens(f)).map(|f| f.code.clone()).collect()
    }

    /// A store that cannot be opened while a lane has found out why already is that lane's blocker,
    /// and opens no second one.
    fn explained(&mut self, known: &[String], code: String) -> String {
        let Some(cause) = known.first() else { return code };
        for finding in self.own.iter_mut().filter(|f| f.code == code) {
            finding.outcome = Outcome::Blocked;
            finding.blocked_by = Some(cause.clone());
        }
        cause.clone()
    }

    fn record(&self, account: &str) -> Record {
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

    fn conclude(mut self) -> Result<PhaseOutcome, ExecutionError> {
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
    fn list_what_stayed_here(&self, files: &mut Vec<EvidenceFile>) -> Result<(), ExecutionError> {
        let here = digests_below(&self.folder)
            .map_err(|source| ExecutionError::Listing { path: self.folder.clone(), source })?;
        for (path, sha256) in here {
            if !files.iter().any(|file| file.path == path) {
                files.push(EvidenceFile { path, sha256, uri: None });
            }
        }
        Ok(())
    }

    fn evidence_bucket(&self) -> Option<String> {
        let handle = self.execution.phase.evidence_bucket;
        let resolved = self.execution.documents.handles.resolve(handle).ok()?;
        resolved.value.as_str().map(str::to_owned)
    }

    fn durable_bucket(&self) -> Option<String> {
        self.evidence_bucket().filter(|_| self.durable)
    }

    fn lane_outcome(&self, lane: &Lane, judgement: &Judgement<'_>) -> LaneOutcome {
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
    fn proven(&self, lane: &Lane) -> String {
        match self.execution.settings.mode {
            Mode::Commit => lane.proves.to_owned(),
            Mode::Preflight => format!("nothing stands in the way of: {}", lane.proves),
        }
    }

    fn publish(
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

    fn destination<'s>(&self, store: Option<&'s BucketStore<'s>>, name: &str) -> Destination<'s> {
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

    fn leave(&self, store: Option<&BucketStore<'_>>, name: &str, body: &RenderedBody) -> Result<Receipt, PublishError> {
        let destination = self.destination(store, name);
        match body {
            RenderedBody::Json(body) => self.door.publish(&Artifact::new(name, body.clone(), &[]), &destination),
            RenderedBody::Text(text) => self.door.publish_bytes(name, text.as_bytes(), &destination),
        }
    }

    /// The bytes of plan, registry and lock, the observations and the receipts. What holds a secret
    /// is withheld, and holds the gate.
    fn keep_inputs_and_observations(&mut self, store: Option<&BucketStore<'_>>) -> Result<(), ExecutionError> {
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

    fn inputs_and_observations(&self) -> Result<Vec<(String, RenderedBody)>, ExecutionError> {
        let documents = self.execution.documents;
        let mut files = vec![
            ("inputs/plan.md".to_owned(), RenderedBody::Text(documents.plan.source.text.to_string())),
            ("inputs/registry.md".to_owned(), RenderedBody::Text(documents.registry_text.clone())),
        ];
        if let Some(lock) = &documents.lock_text {
            files.push(("inputs/gates.lock".to_owned(), RenderedBody::Text(lock.clone())));
        }
        if let Some(handoff) = documents.handoff.as_ref().and_then(|handoff| handoff.text.as_ref()) {
            files.push(("inputs/handoff.json".to_owned(), RenderedBody::Text(handoff.clone())));
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

    fn observations_of(&self, owner: &str) -> Result<(String, RenderedBody), ExecutionError> {
        let name = format!("observations/{owner}.json");
        let own: Observations = self.books.observations.of_lane(owner).cloned().collect();
        let body = serde_json::to_value(&own).map_err(|e| RenderError { name: name.clone(), why: e.to_string() })?;
        Ok((name, RenderedBody::Json(body)))
    }

    fn course(&self) -> Course {
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

/// Whether a run is live: `aws`, by the wall clock, in the account that the lock pins.
#[must_use]
pub fn basis_of(settings: &Settings, lock_pins_account: bool) -> RunBasis {
    if settings.substrate == SubstrateKind::Aws && settings.clock.is_none() && lock_pins_account {
        RunBasis::Live
    } else {
        RunBasis::Rehearsal
    }
}
