//! The process that is killed: one gate on a kept world, which stops for ever at a write point.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use support::evidence::{Watch, WritePoint};
use support::harness::suite;
use support::run::clock::Instant;
use support::run::documents::Documents;
use support::run::execution::{Execution, basis_of};
use support::run::repository::Repository;
use support::run::settings::Settings;
use support::run::verify::{Auditor, Place};
use support::substrate::seed::World;
use support::substrate::{Options, Substrate, SubstrateKind};

/// The instant of the gate that is killed, at which its world begins.
pub fn first(track: &str) -> Instant {
    let world = World::read(&workspace().join("fixtures/world").join(track)).unwrap();
    Instant::parse(world.instant()).unwrap()
}

/// The instant of the gates that come after it.
pub fn later(track: &str) -> Instant {
    first(track).plus_seconds(60).unwrap()
}

/// The line with which it says that it has come to its point.
pub const CRASHED: &str = "HERE";

const TRACK: &str = "PHASEGATE_CRASH_TRACK";
const FOLDER: &str = "PHASEGATE_CRASH_FOLDER";
const CLOCK: &str = "PHASEGATE_CRASH_CLOCK";
const RESUME: &str = "PHASEGATE_CRASH_RESUME";
const AT: &str = "PHASEGATE_CRASH_AT";

pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// What this process is to do.
pub struct Task {
    track: String,
    folder: PathBuf,
    clock: String,
    resume: Option<String>,
    at: Option<usize>,
}

impl Task {
    /// Tells another process of this program what to do.
    pub fn describe(
        command: &mut Command,
        track: &str,
        folder: &Path,
        clock: Instant,
        resume: Option<&str>,
        at: Option<usize>,
    ) {
        command.env(TRACK, track).env(FOLDER, folder).env(CLOCK, clock.rfc3339());
        command.envs(resume.map(|id| (RESUME, id)));
        command.envs(at.map(|at| (AT, at.to_string())));
    }

    /// What this process was told, where it was told anything.
    pub fn of_this_process() -> Option<Self> {
        let said = |name: &str| std::env::var(name).ok();
        Some(Self {
            track: said(TRACK)?,
            folder: said(FOLDER)?.into(),
            clock: said(CLOCK)?,
            resume: said(RESUME),
            at: said(AT).map(|at| at.parse().unwrap()),
        })
    }

    pub fn carry_out(self) {
        let get = |name: &str| match name {
            "PHASEGATE_OUT" => Some(self.folder.join("out").to_str().unwrap().to_owned()),
            "PHASEGATE_WORLD_DIR" => Some(self.folder.join("world").to_str().unwrap().to_owned()),
            "PHASEGATE_CLOCK" => Some(self.clock.clone()),
            "PHASEGATE_RESUME" => self.resume.clone(),
            _ => None,
        };
        let settings = Settings::read(get, &self.folder, &workspace(), "cargo test --test m3 --").unwrap();
        let gates = gates::m3::gates().unwrap();
        let suites = suite::read(&settings.repository, "M3", "M4", &gates, None).unwrap();
        let suite = suites.iter().find(|suite| suite.phase.phase().track == self.track).unwrap();
        let phase = suite.phase.phase();
        let repository = Repository::open(&settings.repository).unwrap();
        let documents = Documents::load(repository, suite.parsed.plan.clone(), None).unwrap();
        let world = World::read(&settings.worlds.join(&self.track)).unwrap();
        let mut options = Options::new(SubstrateKind::Embedded, world.region());
        options.world_dir.clone_from(&settings.world_dir);
        let substrate = Substrate::open(&options).unwrap();
        let out = settings.out_folder(false, &workspace());
        let execution = Execution {
            phase,
            documents: &documents,
            alone: None,
            problems: suite.problems(),
            notes: Vec::new(),
            integrity: true,
            cases: &suite.cases,
            selected: suite.cases.iter().map(|case| case.name.clone()).collect::<BTreeSet<_>>(),
            settings: &settings,
            substrate: Ok(&substrate),
            images: None,
            expected_account: Some(world.account().to_owned()),
            instant: Instant::parse(&self.clock).unwrap(),
            basis: basis_of(&settings, false),
            out,
            writer: format!("crash-{}", std::process::id()),
            reporter: &reports::Reports,
            progress: &|_| {},
            watch: Some(stops_at(self.at)),
        };
        let outcome = execution.run().unwrap();
        let auditor = Auditor { gates: &gates, reporter: &reports::Reports, substrate: Some(&substrate) };
        let audit = auditor.audit(&Place::Folder(outcome.folder.clone()), &outcome.execution_id).unwrap();
        let first = outcome.decision.roots.first().and_then(|root| root.causes.first());
        say(&format!(
            "END {}",
            serde_json::json!({
                "verdict": outcome.verdict(),
                "roots": outcome.decision.roots.iter().map(|root| root.code.as_str()).collect::<Vec<_>>(),
                "next": first.map(|cause| cause.next.as_str()),
                "run_id": outcome.platform_run_id,
                "discrepancies": audit.discrepancies.iter().map(ToString::to_string).collect::<Vec<_>>(),
            })
        ));
    }
}

/// Says every point, and stops for ever at the nth.
fn stops_at(at: Option<usize>) -> Watch {
    let seen = AtomicUsize::new(0);
    Arc::new(move |point, name| {
        let number = seen.fetch_add(1, Ordering::SeqCst) + 1;
        let file = name.rsplit('/').next().unwrap_or(name);
        let word = match point {
            WritePoint::BeforeRename => "before-rename",
            WritePoint::AfterRename => "after-rename",
            WritePoint::BeforePut => "before-put",
            WritePoint::AfterPut => "after-put",
        };
        say(&format!("POINT {word} {file}"));
        if at == Some(number) {
            say(CRASHED);
            loop {
                std::thread::park();
            }
        }
    })
}

/// A line that the other process reads at once.
fn say(line: &str) {
    println!("{line}");
    std::io::stdout().flush().unwrap();
}
