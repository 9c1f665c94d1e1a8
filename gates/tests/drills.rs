//! One fault at a time, and the one code that the plan has for it: every file of `fixtures/drills/<track>/` is a case.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test with a harness of its own: what is wrong with a drill must fail"
)]

use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use libtest_mimic::{Arguments, Failed, Trial};
use support::run::lane::Phase;

#[path = "drills/coverage.rs"]
mod coverage;
#[path = "drills/drill.rs"]
mod drill;
#[path = "drills/mod.rs"]
mod kit;

use drill::{Drill, Run};

/// Files of a drill folder that are lists and no drills.
const LISTS: [&str; 2] = ["inert.toml", "unreachable.toml"];

/// A drill that takes longer is stuck somewhere.
const LONGEST: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let gates = gates::m3::gates().unwrap();
    let phase = &gates[0];
    let mut files = Vec::new();
    let folder = kit::rig::workspace().join("fixtures/drills").join(phase.track);
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name.ends_with(".toml") && !LISTS.contains(&name.as_str()) {
            files.push(path);
        }
    }
    files.sort();
    let trials = if arguments.list {
        files.iter().map(|path| Trial::test(name_of(phase, path), || Ok(()))).collect()
    } else {
        judged(&gates, &folder, files, &arguments)
    };
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn name_of(phase: &Phase, path: &Path) -> String {
    format!("{}::{}::{}", phase.track, phase.id, path.file_stem().unwrap().to_string_lossy())
}

fn judged(gates: &[Phase], folder: &Path, files: Vec<PathBuf>, arguments: &Arguments) -> Vec<Trial> {
    let phase = &gates[0];
    let wanted = |path: &PathBuf| match (&arguments.filter, arguments.exact) {
        (Some(filter), true) => name_of(phase, path) == *filter,
        (Some(filter), false) => name_of(phase, path).contains(filter.as_str()),
        (None, _) => true,
    };
    let found = files.len();
    let files: Vec<PathBuf> = files.into_iter().filter(wanted).collect();
    let whole = files.len() == found;
    let runs = run_all(gates, files);
    let mut trials = Vec::new();
    let mut loaded: BTreeSet<String> = BTreeSet::new();
    for (run, took) in &runs {
        let result = verdict_on(run, phase, *took, &mut loaded);
        trials.push(Trial::test(run.name.clone(), move || result.map_err(Failed::from)));
    }
    if whole {
        for (name, result) in coverage::trials(phase, folder, &runs, &loaded) {
            trials.push(Trial::test(name, move || result.map_err(Failed::from)));
        }
    }
    trials
}

fn verdict_on(run: &Run, phase: &Phase, took: Duration, loaded: &mut BTreeSet<String>) -> Result<(), String> {
    let drill = &run.drill;
    if drill.track != phase.track || drill.phase != phase.id {
        return Err(format!(
            "a drill of {} {} in the folder of {} {}",
            drill.track, drill.phase, phase.track, phase.id
        ));
    }
    drill.quotes_the_plan()?;
    let played = run.played.as_ref().map_err(Clone::clone)?;
    drill.is_met_by(played)?;
    if let (Ok(outcome), Some(plan)) = (&played.outcome, &played.plan) {
        loaded.extend(drill.load(outcome, plan, phase)?);
    }
    if took > LONGEST {
        return Err(format!("it took {took:?}, at most {LONGEST:?} are meant"));
    }
    Ok(())
}

/// Runs the drills on a few threads; what panics is a failure of that drill.
fn run_all(gates: &[Phase], files: Vec<PathBuf>) -> Vec<(Run, Duration)> {
    // Some drills only wait for retries and limits, so there are more threads than cores.
    let threads = 2 * std::thread::available_parallelism().map_or(2, usize::from).clamp(1, 8);
    let queue = Mutex::new(files.into_iter());
    let done = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let next = queue.lock().unwrap().next();
                    let Some(path) = next else { return };
                    let name = name_of(&gates[0], &path);
                    let begun = Instant::now();
                    let drill = Drill::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
                    let played = std::panic::catch_unwind(AssertUnwindSafe(|| drill.run(gates)))
                        .unwrap_or_else(|_| Err("the gate panicked".to_owned()));
                    done.lock().unwrap().push((Run { name, drill, played }, begun.elapsed()));
                }
            });
        }
    });
    let mut runs = done.into_inner().unwrap();
    runs.sort_by(|a, b| a.0.name.cmp(&b.0.name));
    runs
}
