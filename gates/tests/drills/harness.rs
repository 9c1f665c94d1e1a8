//! The drills of a phase's gates, as a test target: run on a few threads, judged, and looked at together.

use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use libtest_mimic::{Arguments, Failed, Trial};
use support::run::lane::Phase;

use super::drill::{Drill, Run};
use super::{coverage, kit};

/// Files of a drill folder that are lists and no drills.
const LISTS: [&str; 2] = ["inert.toml", "unreachable.toml"];

/// A drill that takes longer is stuck somewhere.
const LONGEST: Duration = Duration::from_secs(60);

/// The same, where images are built, and four builds share two cores.
const LONGEST_WITH_IMAGES: Duration = Duration::from_secs(300);

/// The drills of one track's gate.
struct Drills<'g> {
    phase: &'g Phase,
    folder: PathBuf,
    plan: PathBuf,
    files: Vec<PathBuf>,
}

/// Runs the drills of these gates, as a test target does. `codes` are those that the phase itself opens, without a check of a lane.
pub fn main(gates: &[Phase], codes: &[&str]) -> ExitCode {
    let arguments = Arguments::from_args();
    let drills: Vec<Drills<'_>> = gates.iter().map(Drills::of).collect();
    let trials = if arguments.list {
        let names = drills.iter().flat_map(|d| d.files.iter().map(|path| name_of(d.phase, path)));
        names.map(|name| Trial::test(name, || Ok(()))).collect()
    } else {
        judged(gates, codes, &drills, &arguments)
    };
    let mut trials = trials;
    if let Err(left) = kit::rig::tidy() {
        trials.push(Trial::test("nothing_is_left_in_the_engine", move || Err(Failed::from(left))));
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

impl<'g> Drills<'g> {
    fn of(phase: &'g Phase) -> Self {
        let folder = kit::rig::drills_of(phase);
        let mut files = Vec::new();
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if name.ends_with(".toml") && !LISTS.contains(&name.as_str()) {
                files.push(path);
            }
        }
        files.sort();
        Self { phase, folder, plan: kit::rig::plan_of(phase), files }
    }
}

fn name_of(phase: &Phase, path: &Path) -> String {
    format!("{}::{}::{}", phase.track, phase.id, path.file_stem().unwrap().to_string_lossy())
}

fn judged(gates: &[Phase], codes: &[&str], drills: &[Drills<'_>], arguments: &Arguments) -> Vec<Trial> {
    let wanted = |name: &str| match (&arguments.filter, arguments.exact) {
        (Some(filter), true) => name == *filter,
        (Some(filter), false) => name.contains(filter.as_str()),
        (None, _) => true,
    };
    let mut trials = Vec::new();
    let mut roots: BTreeSet<String> = BTreeSet::new();
    let mut all_whole = true;
    for of_track in drills {
        let phase = of_track.phase;
        let files: Vec<PathBuf> = of_track.files.iter().filter(|path| wanted(&name_of(phase, path))).cloned().collect();
        let whole = files.len() == of_track.files.len();
        all_whole &= whole;
        let runs = run_all(gates, phase, files);
        let mut loaded: BTreeSet<String> = BTreeSet::new();
        for (run, took) in &runs {
            roots.extend(run.drill.roots.iter().cloned());
            let result = verdict_on(run, of_track, *took, &mut loaded);
            trials.push(Trial::test(run.name.clone(), move || result.map_err(Failed::from)));
        }
        if whole {
            for (name, result) in coverage::trials(phase, &of_track.folder, &runs, &loaded) {
                trials.push(Trial::test(name, move || result.map_err(Failed::from)));
            }
        }
    }
    if all_whole {
        let folders: Vec<&Path> = drills.iter().map(|d| d.folder.as_path()).collect();
        let id = gates.first().map_or("-", |phase| phase.id);
        let result = coverage::codes_of_the_phase(id, codes, &roots, &folders);
        let name = format!("{id}::coverage::codes_of_the_phase");
        trials.push(Trial::test(name, move || result.map_err(Failed::from)));
    }
    trials
}

fn verdict_on(run: &Run, drills: &Drills<'_>, took: Duration, loaded: &mut BTreeSet<String>) -> Result<(), String> {
    let (drill, phase) = (&run.drill, drills.phase);
    if drill.track != phase.track || drill.phase != phase.id {
        return Err(format!(
            "a drill of {} {} in the folder of {} {}",
            drill.track, drill.phase, phase.track, phase.id
        ));
    }
    drill.quotes_the_plan(&drills.plan)?;
    let played = run.played.as_ref().map_err(Clone::clone)?;
    drill.is_met_by(played)?;
    if let (Ok(outcome), Some(plan)) = (&played.outcome, &played.plan) {
        loaded.extend(drill.load(outcome, plan, phase)?);
    }
    let most = if phase.images { LONGEST_WITH_IMAGES } else { LONGEST };
    if took > most {
        return Err(format!("it took {took:?}, at most {most:?} are meant"));
    }
    Ok(())
}

/// Runs the drills on a few threads; what panics is a failure of that drill.
fn run_all(gates: &[Phase], phase: &Phase, files: Vec<PathBuf>) -> Vec<(Run, Duration)> {
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
                    let name = name_of(phase, &path);
                    let begun = Instant::now();
                    let drill = Drill::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
                    let played = std::panic::catch_unwind(AssertUnwindSafe(|| drill.run(gates, phase)))
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
