//! The test target: `cargo test --test m3`.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use indicatif::{ProgressBar, ProgressDrawTarget};
use libtest_mimic::{Arguments, Failed, Trial};
use serde_json::{Value, json};

use super::exit::Exit;
use super::failure;
use super::lock::{self, Held, Lock};
use super::selection::{asks_for_nothing, selects};
use super::shared::{Done, Meeting, Turn};
use super::suite::{self, PlanSuite};
use crate::evidence::digests_below;
use crate::image::{Images, ImagesError, RegistryAddress, RegistryPlace};
use crate::run::binary_sha256;
use crate::run::cases::Case;
use crate::run::clock::{ClockError, Instant};
use crate::run::documents::{Documents, DocumentsError};
use crate::run::entry;
use crate::run::execution::{Alone, Execution, ExecutionError, basis_of};
use crate::run::finding::{Finding, Outcome};
use crate::run::lane::Phase;
use crate::run::outcome::{CaseState, PhaseOutcome, Reporter, RunBasis, Verdict};
use crate::run::repository::{DocumentError, Repository};
use crate::run::settings::Settings;
use crate::run::stored::{Stored, StoredError};
use crate::run::verify::{Auditor, Place};
use crate::substrate::embedded::WorldError;
use crate::substrate::seed::{SeedError, World};
use crate::substrate::{Options, Substrate, SubstrateError, SubstrateKind, seed};
use crate::text::one_line;

/// How often a rehearsal takes the next second when its execution id is taken already.
const MOST_SECONDS: i64 = 86_400;

/// A test target for one phase.
pub struct Target<'t> {
    /// `M3`.
    pub phase: &'static str,
    /// `M4`.
    pub next: &'static str,
    /// The gates of the phase, one for each track.
    pub gates: &'t [Phase],
    /// Decides and renders.
    pub reporter: &'t dyn Reporter,
    /// Where `fixtures/` and `target/` lie.
    pub workspace: PathBuf,
    /// The command that started it, for re-run hints.
    pub command: String,
    /// One lane alone, on the evidence of an earlier execution; it ends in no verdict of the phase.
    pub alone: Option<OneLane>,
}

/// One lane that is to run alone.
#[derive(Debug, Clone)]
pub struct OneLane {
    /// `M3.E`.
    pub lane: String,
    /// The earlier execution, `m3_20260223T174307Z`.
    pub from: String,
    /// The track, where both have such a lane and such an execution.
    pub track: Option<String>,
}

/// A lane alone that cannot be run.
#[derive(Debug, thiserror::Error)]
enum OneLaneError {
    #[error("no plan of {phase} here has a gate with a lane {lane}{of}; `phasegate list {phase}` names the lanes")]
    NoLane { phase: String, lane: String, of: String },
    #[error("{lane} is a lane of {tracks}; say which is meant with --track")]
    Several { lane: String, tracks: String },
}

/// Why a plan's gate could not be run to a verdict.
#[derive(Debug, thiserror::Error)]
enum GateError {
    #[error(transparent)]
    Repository(#[from] DocumentError),
    #[error(transparent)]
    Documents(#[from] DocumentsError),
    #[error(transparent)]
    Clock(#[from] ClockError),
    #[error("the world at {path}: {source}; set PHASEGATE_WORLD to a folder that holds one world for each track")]
    World { path: PathBuf, source: SeedError },
    #[error(transparent)]
    Kept(#[from] WorldError),
    #[error(transparent)]
    Stored(#[from] StoredError),
    #[error(transparent)]
    Execution(#[from] ExecutionError),
    #[error(transparent)]
    Shared(#[from] SharedError),
}

/// An execution of another process that cannot be judged from.
#[derive(Debug, thiserror::Error)]
enum SharedError {
    #[error(
        "the processes of this run cannot meet below {path}: {source}; set PHASEGATE_OUT to a folder that can be written"
    )]
    Meeting { path: PathBuf, source: std::io::Error },
    #[error("what this run depends on has no canonical form: {0}")]
    Inputs(String),
    #[error(
        "the process that ran the lanes ended before it could say what came of it; lanes are never run twice under one run id: start nextest again"
    )]
    Died,
    #[error("{why}")]
    Failed { why: String, exit: Exit },
    #[error("the execution {id} of this run cannot be judged from: {why}")]
    Unverified { id: String, why: String },
}

impl GateError {
    fn exit(&self) -> Exit {
        match self {
            Self::Repository(_) | Self::Documents(_) => Exit::Plan,
            Self::Clock(_) | Self::Stored(_) => Exit::Usage,
            Self::Shared(SharedError::Failed { exit, .. }) => *exit,
            Self::World { .. } | Self::Kept(_) | Self::Execution(_) | Self::Shared(_) => Exit::Evidence,
        }
    }
}

/// What a gate came to.
enum Judged {
    Outcome(Box<PhaseOutcome>),
    Failed { why: String, exit: Exit },
}

impl Target<'_> {
    /// Runs the target with this process's arguments and environment.
    #[must_use]
    pub fn main(&self) -> ExitCode {
        let environment = |name: &str| std::env::var(name).ok();
        let settings = match Settings::read(environment, &self.workspace, &self.workspace, &self.command) {
            Ok(settings) => {
                settings.giving(self.gates.iter().flat_map(Phase::may_be_given), environment, &self.workspace)
            }
            Err(error) => {
                say(&format!("error: {error}"));
                return Exit::Usage.into();
            }
        };
        self.run(std::env::args_os().skip(1), &settings).into()
    }

    /// Runs the target with these arguments, which are those of cargo's own harness. Under nextest each process exits by
    /// its case.
    #[must_use]
    pub fn run(&self, arguments: impl IntoIterator<Item = OsString>, settings: &Settings) -> Exit {
        let name = OsString::from(self.phase.to_ascii_lowercase());
        let arguments = Arguments::from_iter(std::iter::once(name).chain(arguments));
        let lock = match Lock::read(&settings.repository) {
            Ok(lock) => lock,
            Err(error) => return self.no_suite(arguments, &error.to_string()),
        };
        let suites = match suite::read(&settings.repository, self.phase, self.next, self.gates, lock.as_ref()) {
            Ok(suites) => suites,
            Err(error) => return self.no_suite(arguments, &error.to_string()),
        };
        let all: Vec<String> = suites
            .iter()
            .flat_map(|s| std::iter::once(s.integrity_name()).chain(s.cases.iter().map(|c| c.name.clone())))
            .collect();
        let mut selected: BTreeSet<String> = all.iter().filter(|name| selects(&arguments, name)).cloned().collect();
        if let Some(alone) = &self.alone {
            match self.cases_of(alone, &suites) {
                Ok(own) => selected.retain(|name| own.contains(name)),
                Err(error) => {
                    say(&format!("error: {error}"));
                    return Exit::Usage;
                }
            }
        }
        if arguments.list || asks_for_nothing(&arguments) || selected.is_empty() {
            let trials = all.iter().map(|name| Trial::test(name.as_str(), || Ok(()))).collect();
            let list = arguments.list;
            let nothing = asks_for_nothing(&arguments);
            let conclusion = libtest_mimic::run(&arguments, if nothing { Vec::new() } else { trials });
            if !list {
                let chosen = if nothing { 0 } else { selected.len() };
                say(&format!("{chosen} of {} selected, no verdict", all.len()));
            }
            return if conclusion.has_failed() { Exit::Hold } else { Exit::Advance };
        }
        let mut judged = Vec::new();
        for suite in suites.iter().filter(|s| touches(s, &selected)) {
            judged.push((suite, self.judge(suite, &selected, settings, lock.as_ref())));
        }
        let trials = judged.iter().flat_map(|(suite, judged)| trials_of(suite, judged));
        let trials = trials.filter(|trial| self.alone.is_none() || selected.contains(trial.name())).collect();
        let conclusion = libtest_mimic::run(&arguments, trials);
        let mut exit = if conclusion.has_failed() { Exit::Hold } else { Exit::Advance };
        for (_, judged) in &judged {
            match judged {
                Judged::Outcome(outcome) => {
                    print(&self.reporter.summary(outcome));
                    if settings.nextest.is_none() {
                        exit = exit.worse(exit_of(outcome, settings.ci));
                    }
                }
                Judged::Failed { why, exit: own } => {
                    say(&format!("error: {why}"));
                    exit = exit.worse(*own);
                }
            }
        }
        exit
    }

    /// The cases of a lane that runs alone: those of the one plan that has it.
    fn cases_of(&self, alone: &OneLane, suites: &[PlanSuite<'_>]) -> Result<BTreeSet<String>, OneLaneError> {
        let meant: Vec<&PlanSuite<'_>> = suites
            .iter()
            .filter(|suite| suite.phase.phase().lane(&alone.lane).is_some())
            .filter(|suite| alone.track.as_deref().is_none_or(|track| track == suite.phase.phase().track))
            .collect();
        match meant.as_slice() {
            [suite] => {
                let own = suite.cases.iter().filter(|c| c.lane == alone.lane).map(|c| c.name.clone());
                Ok(own.chain([suite.integrity_name()]).collect())
            }
            [] => Err(OneLaneError::NoLane {
                phase: self.phase.to_owned(),
                lane: alone.lane.clone(),
                of: alone.track.as_deref().map_or_else(String::new, |track| format!(" in {track}")),
            }),
            several => {
                let tracks: Vec<&str> = several.iter().map(|suite| suite.phase.phase().track).collect();
                Err(OneLaneError::Several { lane: alone.lane.clone(), tracks: tracks.join(" and ") })
            }
        }
    }

    /// No plan, or none that can be read: one failing case that says so.
    fn no_suite(&self, arguments: Arguments, why: &str) -> Exit {
        let name = format!("{}::plans", self.phase);
        let why = why.to_owned();
        let said = failure::of_error(&why);
        let trial = Trial::test(name, move || Err(Failed::from(said)));
        let conclusion = libtest_mimic::run(&arguments, vec![trial]);
        say(&format!("error: {why}"));
        if conclusion.has_failed() { Exit::Plan.worse(Exit::Hold) } else { Exit::Plan }
    }

    fn judge(
        &self,
        suite: &PlanSuite<'_>,
        selected: &BTreeSet<String>,
        settings: &Settings,
        lock: Option<&Lock>,
    ) -> Judged {
        let run = settings.nextest.as_deref().filter(|run| !run.is_empty() && self.alone.is_none());
        let outcome = match run {
            Some(run) => self.share(suite, settings, lock, run),
            None => self.execute(suite, selected, settings, lock),
        };
        match outcome {
            Ok(outcome) => Judged::Outcome(Box::new(outcome)),
            Err(error) => Judged::Failed { why: error.to_string(), exit: error.exit() },
        }
    }

    /// Runs all lanes where this process is the first of its run, and else judges from what that one stored.
    fn share(
        &self,
        suite: &PlanSuite<'_>,
        settings: &Settings,
        lock: Option<&Lock>,
        run: &str,
    ) -> Result<PhaseOutcome, GateError> {
        let live = basis_of(settings, lock.and_then(Lock::account).is_some()) == RunBasis::Live;
        let out = settings.out_folder(live, &self.workspace);
        let inputs = inputs_of(suite, settings, lock)?;
        let meeting = Meeting::of(&out, run, &inputs).map_err(|e| SharedError::Inputs(e.to_string()))?;
        let unusable = |source| SharedError::Meeting { path: out.clone(), source };
        match meeting.enter().map_err(unusable)? {
            Turn::Ours(holder) => {
                let names = suite.cases.iter().map(|case| case.name.clone()).chain([suite.integrity_name()]);
                let outcome = self.execute(suite, &names.collect(), settings, lock);
                let done = match &outcome {
                    Ok(outcome) => Done::Execution { folder: outcome.folder.clone(), id: outcome.execution_id.clone() },
                    Err(error) => Done::Failed { why: error.to_string(), exit: error.exit() },
                };
                holder.says(&done).map_err(unusable)?;
                outcome
            }
            Turn::Died => Err(SharedError::Died.into()),
            Turn::Done(Done::Failed { why, exit }) => Err(SharedError::Failed { why, exit }.into()),
            Turn::Done(Done::Execution { folder, id }) => self.judged_again(folder, id).map_err(GateError::from),
        }
    }

    /// The outcome of an execution in a folder, judged from what it stored there.
    fn judged_again(&self, folder: PathBuf, id: String) -> Result<PhaseOutcome, SharedError> {
        let auditor = Auditor { gates: self.gates, reporter: self.reporter, substrate: None };
        let unverified = |id: &str, why: String| SharedError::Unverified { id: id.to_owned(), why };
        let audit = auditor.audit(&Place::Folder(folder), &id).map_err(|e| unverified(&id, e.to_string()))?;
        match (audit.discrepancies.first(), audit.outcome) {
            (None, Some(outcome)) => Ok(*outcome),
            (Some(first), _) => Err(unverified(&id, first.to_string())),
            (None, None) => Err(unverified(&id, "nothing could be judged".to_owned())),
        }
    }

    fn execute(
        &self,
        suite: &PlanSuite<'_>,
        selected: &BTreeSet<String>,
        settings: &Settings,
        lock: Option<&Lock>,
    ) -> Result<PhaseOutcome, GateError> {
        let phase = suite.phase.phase();
        let world = read_world(settings, phase)?;
        let documents = documents_of(suite, settings, lock, world.as_ref())?;
        let mut locked_cases = suite.cases.clone();
        let held = hold(suite, &documents, settings, lock, &mut locked_cases);
        let (substrate, left_out, kept_since) = match open_substrate(settings, phase, &documents, world.as_ref()) {
            Ok(open) => (Ok(open.substrate), open.left_out, open.kept_since),
            Err(none) => (Err(none), Vec::new(), None),
        };
        let notes: Vec<String> = held.notes.into_iter().chain(left_out).collect();
        let pinned_account = lock.and_then(Lock::account);
        let basis = basis_of(settings, pinned_account.is_some());
        let cases: BTreeSet<String> =
            suite.cases.iter().map(|c| c.name.clone()).filter(|name| selected.contains(name)).collect();
        let bar = progress_bar(phase);
        let out = settings.out_folder(basis == RunBasis::Live, &self.workspace);
        let alone = match self.alone.as_ref().and_then(|one| Some((one, phase.lane(&one.lane)?.id()))) {
            Some((one, lane)) => Some(Alone { lane, stored: Stored::read(&out, phase, &one.from)? }),
            None => None,
        };
        let expected_account = match settings.substrate {
            SubstrateKind::Aws => pinned_account,
            _ => world.as_ref().map(World::account).or(pinned_account),
        }
        .map(str::to_owned);
        let mut problems = suite.problems();
        problems.extend(held.findings);
        problems.extend(other_account(phase, pinned_account, world.as_ref()));
        let images = open_images(settings, phase);
        let mut instant = first_instant(settings, world.as_ref(), kept_since)?;
        for _ in 0..MOST_SECONDS {
            let execution = Execution {
                phase,
                documents: &documents,
                alone: alone.as_ref(),
                problems: problems.clone(),
                notes: notes.clone(),
                cases: &locked_cases,
                selected: cases.clone(),
                integrity: selected.contains(&suite.integrity_name()),
                settings,
                substrate: substrate.as_ref().map_err(ToString::to_string),
                images: images.as_ref().map(|images| images.as_ref().map_err(ToString::to_string)),
                expected_account: expected_account.clone(),
                instant,
                basis,
                out: out.clone(),
                writer: uuid::Uuid::new_v4().to_string(),
                reporter: self.reporter,
                progress: &|lane| bar.set_message(lane.to_owned()),
                watch: None,
            };
            match execution.run() {
                // A rehearsal whose second is used up takes the next one; a clock that is set stays.
                Err(ExecutionError::Taken { .. }) if settings.clock.is_none() => instant = instant.plus_seconds(1)?,
                other => {
                    if let Some(Ok(images)) = &images
                        && basis == RunBasis::Rehearsal
                    {
                        for left in images.engine().tidy() {
                            say(&format!("left in the engine: {left}"));
                        }
                    }
                    bar.finish_and_clear();
                    return Ok(other?);
                }
            }
        }
        Err(GateError::Clock(ClockError {
            text: instant.rfc3339(),
            why: "every second after it is used up".to_owned(),
        }))
    }
}

/// The documents of a gate: what its plan names, the lock, and what the environment gives, or the world in its place.
fn documents_of(
    suite: &PlanSuite<'_>,
    settings: &Settings,
    lock: Option<&Lock>,
    world: Option<&World>,
) -> Result<Documents, GateError> {
    let repository = Repository::open(&settings.repository)?;
    let mut documents = Documents::load(repository, suite.parsed.plan.clone(), settings.from.as_deref())?;
    if let Some(lock) = lock {
        documents.add_lock(lock::NAME, lock.text());
    }
    for name in suite.phase.phase().may_be_given() {
        // A world says what the environment would; what it really says goes before that.
        if let Some(value) = settings.given.get(name).or_else(|| world?.given().get(name)) {
            documents.give(name, value);
        }
    }
    Ok(documents)
}

/// Everything that an execution's outcome depends on, by digest: processes that agree on it may share one.
fn inputs_of(suite: &PlanSuite<'_>, settings: &Settings, lock: Option<&Lock>) -> Result<Value, GateError> {
    let phase = suite.phase.phase();
    let documents = documents_of(suite, settings, lock, read_world(settings, phase)?.as_ref())?;
    let world = world_folder(settings, phase);
    let unreadable = |source| SharedError::Meeting { path: world.clone(), source };
    let world = if world.exists() { digests_below(&world).map_err(unreadable)? } else { Vec::new() };
    Ok(json!({
        "track": phase.track,
        "phase": phase.id,
        "documents": documents.inputs,
        "world": world,
        "binary": binary_sha256(),
        "substrate": settings.substrate.word(),
        "endpoint": settings.endpoint,
        "mode": settings.mode,
        "clock": settings.clock.map(|clock| clock.rfc3339()),
        "world_dir": settings.world_dir,
        "registry": settings.registry,
        "from": settings.from,
        "resume": settings.resume,
        "seed": settings.seed,
        "locked": settings.locked,
    }))
}

/// What the lock says of a gate. On AWS a gate that nothing is pinned for does not run.
fn hold(
    suite: &PlanSuite<'_>,
    documents: &Documents,
    settings: &Settings,
    lock: Option<&Lock>,
    cases: &mut [Case],
) -> Held {
    let pins = lock::pins_of(&suite.subject(documents));
    lock::hold(lock, &pins, settings.requires_lock(), cases)
}

/// A rehearsal in a world of another account than the one that live runs will find.
fn other_account(phase: &Phase, pinned: Option<&str>, world: Option<&World>) -> Option<Finding> {
    let (pinned, is) = (pinned?, world?.account());
    (pinned != is).then(|| {
        let why = format!("{} pins account {pinned}, and the world of this rehearsal is account {is}", lock::NAME);
        let next = "rehearse in a world of the pinned account, or pin the right one with `phasegate lock --account`";
        entry::phase_finding(phase.id, "lock_account", Outcome::Unmet, why, next)
    })
}

fn touches(suite: &PlanSuite<'_>, selected: &BTreeSet<String>) -> bool {
    selected.contains(&suite.integrity_name()) || suite.cases.iter().any(|c| selected.contains(&c.name))
}

/// The world that a phase starts from: one of its own, `dev_min-m1`, where there is one, else its track's.
fn world_folder(settings: &Settings, phase: &Phase) -> PathBuf {
    let own = settings.worlds.join(format!("{}-{}", phase.track, phase.id.to_ascii_lowercase()));
    if own.exists() { own } else { settings.worlds.join(phase.track) }
}

fn read_world(settings: &Settings, phase: &Phase) -> Result<Option<World>, GateError> {
    let path = world_folder(settings, phase);
    let needless = match settings.substrate {
        SubstrateKind::Aws => true,
        SubstrateKind::Endpoint => !path.exists(),
        // Without lanes nothing is asked of a world.
        SubstrateKind::Embedded => phase.lanes.is_empty(),
    };
    if needless {
        return Ok(None);
    }
    World::read(&path).map(Some).map_err(|source| GateError::World { path, source })
}

/// Why there is no substrate to ask.
#[derive(Debug, thiserror::Error)]
enum NoSubstrate {
    #[error("{handle} does not resolve, so no region can be asked: {why}")]
    Region { handle: String, why: String },
    #[error(transparent)]
    Substrate(#[from] SubstrateError),
    #[error("the world could not be seeded: {0}")]
    Seed(#[from] SeedError),
    #[error(transparent)]
    World(#[from] WorldError),
}

/// A substrate, seeded where it may be.
struct Opened {
    substrate: Substrate,
    /// What of the world could not be put into it.
    left_out: Vec<String>,
    /// The second of the last change before it was seeded, of a world that is kept.
    kept_since: Option<u64>,
}

fn open_substrate(
    settings: &Settings,
    phase: &Phase,
    documents: &Documents,
    world: Option<&World>,
) -> Result<Opened, NoSubstrate> {
    let unresolved = |why: String| NoSubstrate::Region { handle: phase.region.to_owned(), why };
    let resolved = documents.handles.resolve(phase.region).map_err(|e| unresolved(e.to_string()))?;
    let region = resolved.text().map_err(|e| unresolved(e.to_string()))?;
    let mut options = Options::new(settings.substrate, region);
    options.endpoint.clone_from(&settings.endpoint);
    options.world_dir.clone_from(&settings.world_dir);
    let substrate = Substrate::open(&options)?;
    let kept_since = if settings.world_dir.is_some() { substrate.world_time()? } else { None };
    let seeded = world.filter(|_| settings.substrate == SubstrateKind::Embedded || settings.seed);
    let seeded = seeded.map(|world| seed::apply(&substrate, world)).transpose()?.unwrap_or_default();
    let left_out = seeded.left_out.into_iter().map(|what| format!("not seeded: {what}")).collect();
    Ok(Opened { substrate, left_out, kept_since })
}

/// The container engine and the registry, where the phase needs them: on AWS the repository's own registry, else one on this machine.
fn open_images(settings: &Settings, phase: &Phase) -> Option<Result<Images, ImagesError>> {
    if !phase.images {
        return None;
    }
    let stand_in = settings.registry.as_deref().or(settings.endpoint.as_deref());
    let place = match (settings.substrate, stand_in) {
        (SubstrateKind::Aws, _) => Ok(RegistryPlace::OfRepository),
        (_, Some(address)) => RegistryAddress::parse(address).map(RegistryPlace::At),
        (_, None) => Ok(RegistryPlace::Own),
    };
    Some(place.map_err(ImagesError::from).and_then(Images::open))
}

/// The wall clock for `aws`; else the clock that is set, else where the world stands.
fn first_instant(settings: &Settings, world: Option<&World>, kept_since: Option<u64>) -> Result<Instant, GateError> {
    if let Some(clock) = settings.clock {
        return Ok(clock);
    }
    let Some(world) = world else { return Ok(Instant::now()?) };
    let begins = Instant::parse(world.instant())?;
    match kept_since {
        Some(last) => Ok(Instant::from_second(i64::try_from(last).unwrap_or(i64::MAX))?.max(begins)),
        None => Ok(begins),
    }
}

fn progress_bar(phase: &Phase) -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    if !std::io::stderr().is_terminal() {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    }
    bar.set_prefix(format!("{} {}", phase.track, phase.id));
    bar
}

fn trials_of(suite: &PlanSuite<'_>, judged: &Judged) -> Vec<Trial> {
    let mut trials = vec![trial(suite.integrity_name(), integrity(suite, judged))];
    let outcomes: BTreeMap<&str, _> = match judged {
        Judged::Outcome(outcome) => outcome.cases.iter().map(|c| (c.name.as_str(), c)).collect(),
        Judged::Failed { .. } => BTreeMap::new(),
    };
    for case in &suite.cases {
        let result = match (judged, outcomes.get(case.name.as_str())) {
            (_, Some(outcome)) if outcome.state == CaseState::Passed => Ok(()),
            (_, Some(outcome)) => Err(failure::of_case(outcome)),
            (Judged::Failed { .. }, None) => Err(format!("not judged; {} says why", suite.integrity_name())),
            (Judged::Outcome(_), None) => Err("the case was not judged in this execution".to_owned()),
        };
        trials.push(trial(case.name.clone(), result));
    }
    trials
}

fn trial(name: String, result: Result<(), String>) -> Trial {
    Trial::test(name, move || result.map_err(Failed::from))
}

/// The phase's own case: register, plan, entry, account, store, lock.
fn integrity(suite: &PlanSuite<'_>, judged: &Judged) -> Result<(), String> {
    match judged {
        Judged::Failed { why, .. } => Err(failure::of_error(why)),
        Judged::Outcome(outcome) => {
            let phase = suite.phase.phase().id;
            let open: Vec<_> =
                outcome.findings.iter().filter(|f| f.lane == phase && f.outcome != Outcome::Met).collect();
            if open.is_empty() { Ok(()) } else { Err(failure::of_findings(&open)) }
        }
    }
}

fn exit_of(outcome: &PhaseOutcome, ci: bool) -> Exit {
    let open = |check: &str| outcome.findings.iter().any(|f| f.check == check && f.outcome != Outcome::Met);
    match outcome.decision.verdict {
        Verdict::Advance | Verdict::WouldAdvance => Exit::Advance,
        Verdict::Partial if ci => Exit::Partial,
        Verdict::Partial => Exit::Advance,
        Verdict::Hold if open("phase.plan_error") || open("phase.no_case") => Exit::Plan,
        Verdict::Hold if open("phase.substrate") || open("phase.images") => Exit::Evidence,
        Verdict::Hold => Exit::Hold,
    }
}

#[expect(clippy::print_stdout, reason = "the summary is what the run is for")]
fn print(text: &str) {
    println!("{}", text.trim_end());
}

#[expect(clippy::print_stderr, reason = "a run that cannot go on says why")]
fn say(text: &str) {
    eprintln!("{}", one_line(text));
}

/// The workspace that a package of it was built in.
#[must_use]
pub fn workspace_of(manifest_dir: &str) -> PathBuf {
    let package = Path::new(manifest_dir);
    package.parent().unwrap_or(package).to_owned()
}
