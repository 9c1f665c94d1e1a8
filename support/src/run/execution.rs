//! One execution of one phase: documents, entry, lanes, decision, closing lanes, evidence, verdict.

mod conclude;
mod earlier;
mod store;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::cases::Case;
use super::check::derived_code;
use super::clock::Instant;
use super::context::{Books, Ids, LaneRun, World};
use super::documents::Documents;
use super::entry;
use super::finding::{Finding, Outcome};
use super::judge::{self, Judgement, Progress};
use super::lane::{Closing, Lane, Phase, Stop};
use super::objects::Objects;
use super::outcome::{Mode, PhaseOutcome, RenderError, Reporter, Resumed, RunBasis, Verdict};
use super::resume::{Earlier, Left};
use super::settings::Settings;
use super::stored::Stored;
use crate::evidence::{Door, Limits, PublishError, Watch, link_on_the_way};
use crate::image::Images;
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
    /// The container engine and the registry, or why there are none; nothing where the phase needs none.
    pub images: Option<Result<&'a Images, String>>,
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
                images: match self.images() {
                    Ok(images) => images,
                    Err(why) => {
                        let finding = entry::no_images(self.execution.phase, &why);
                        self.block_all(selected, &finding.code);
                        self.own.push(finding);
                        return None;
                    }
                },
                substrate,
                objects: match self.execution.settings.mode {
                    Mode::Preflight => Objects::reading_only(substrate.s3()),
                    Mode::Commit => Objects::writing(substrate.s3()),
                },
                principal: entry::principal_of(self.execution.phase, &self.books.observations).unwrap_or_default(),
                account,
            }),
            None => {
                self.block_all(selected, &code);
                None
            }
        }
    }

    /// The container engine and the registry, where the phase needs them.
    fn images(&self) -> Result<Option<&'a Images>, String> {
        match &self.execution.images {
            _ if !self.execution.phase.images => Ok(None),
            Some(Ok(images)) => Ok(Some(*images)),
            Some(Err(why)) => Err(why.clone()),
            None => Err("none was opened".to_owned()),
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
