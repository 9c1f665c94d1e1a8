//! Every value that a phase could read, changed once and taken out once: the gate holds, or the value stands in `inert.toml` with the
//! reason. The harness of the targets `mutants` and `mutants_m1`.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use libtest_mimic::{Arguments, Failed, Trial};
use regex::Regex;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use support::run::lane::Phase;
use support::run::outcome::{PhaseOutcome, Verdict};

use super::kit::rig::{self, Stage};
use super::mutant::{self, Mutant};

/// How many of the mutants that must be held are played.
#[derive(Debug, Clone, Copy)]
pub enum Extent {
    /// All.
    All,
    /// So many, of a seed; those that are inert are played all the same, for they go together.
    Sample {
        /// The seed.
        seed: u64,
        /// How many.
        most: usize,
    },
}

impl Extent {
    /// What `PHASEGATE_MUTANTS` asks for: `all`, the seed of a sample, or nothing, which is the sample that is always played.
    pub fn of_environment(most: usize) -> Self {
        match std::env::var("PHASEGATE_MUTANTS").ok().filter(|value| !value.is_empty()).as_deref() {
            None => Self::Sample { seed: SEED, most },
            Some("all") => Self::All,
            Some(seed) => Self::Sample {
                seed: seed
                    .parse()
                    .unwrap_or_else(|_| panic!("PHASEGATE_MUTANTS=`{seed}` is neither `all` nor a number")),
                most,
            },
        }
    }
}

/// The seed of the sample that is always played.
const SEED: u64 = 1;

/// `inert.toml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Inert {
    inert: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    /// A regular expression over the whole of a mutant's id.
    field: String,
    /// Why the gate may advance all the same.
    reason: String,
    /// No lane of the phase reads it at all.
    #[serde(default)]
    unread: bool,
}

/// What became of the mutants.
#[derive(Default)]
struct Tally {
    /// Held, as it must be.
    held: Vec<String>,
    /// Advanced, and stands in no list.
    survived: Vec<String>,
    /// Advanced, as the list says.
    inert: Vec<String>,
    /// Held, although the list says that it would not.
    stale: Vec<String>,
    /// The mutant itself is wrong.
    broken: Vec<String>,
}

/// Runs the mutants of what these gates read, as a test target does.
///
/// A filter with a slash selects mutants by their id, `dev_min/registry/DB_NAME`; one by a track's name selects that track.
pub fn main(gates: &[Phase], sources: &[&'static str], extent: Extent) -> ExitCode {
    let mut arguments = Arguments::from_args();
    let filter = arguments.filter.clone().filter(|f| f.contains('/'));
    if filter.is_some() {
        arguments.filter = None;
    }
    let mut trials = Vec::new();
    for phase in gates {
        let mutants = mutant::all(phase, &Stage::set(phase).unwrap(), sources).unwrap();
        let names: Vec<String> = sources.iter().chain([&LIST]).map(|source| name(phase, source)).collect();
        let wanted = |name: &String| arguments.filter.as_ref().is_none_or(|filter| name.contains(filter.as_str()));
        if arguments.list {
            trials.extend(names.iter().map(|name| Trial::test(name.clone(), || Ok(()))));
        } else if names.iter().any(wanted) {
            trials.extend(of_track(gates, phase, sources, mutants, filter.as_deref(), extent));
        }
    }
    if let Err(left) = rig::tidy() {
        trials.push(trial("nothing_is_left_in_the_engine", vec![left]));
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// The trial of `inert.toml` itself.
const LIST: &str = "list";

fn name(phase: &Phase, source: &str) -> String {
    format!("{}::{}::mutants::{source}", phase.track, phase.id)
}

fn of_track(
    gates: &[Phase],
    phase: &Phase,
    sources: &[&str],
    mut mutants: Vec<Mutant>,
    filter: Option<&str>,
    extent: Extent,
) -> Vec<Trial> {
    let track = phase.track;
    let found = mutants.len();
    if let Some(filter) = filter {
        mutants.retain(|m| format!("{track}/{}", m.id).contains(filter));
    }
    let whole = mutants.len() == found;
    let (list, mut wrong) = read_list(phase, &mutants, whole);
    let inert: Vec<Regex> = list.iter().map(|(field, _)| field.clone()).collect();
    let must_hold = |m: &Mutant| !inert.iter().any(|field| field.is_match(&m.id));
    if let (Extent::Sample { seed, most }, None) = (extent, filter) {
        let mut drawn: Vec<String> = mutants.iter().filter(|m| must_hold(m)).map(|m| m.id.clone()).collect();
        drawn.sort_by_cached_key(|id| Sha256::digest(format!("{seed} {id}")).to_vec());
        drawn.truncate(most);
        mutants.retain(|m| !must_hold(m) || drawn.contains(&m.id));
    }
    let tally = run(gates, phase, &mutants, &inert);
    // The share is one of the values that the lanes read: what no lane reads can hold nothing.
    let unread =
        tally.inert.iter().filter(|id| list.iter().any(|(field, unread)| *unread && field.is_match(id))).count();
    let read = mutants.len() - unread;
    println!(
        "{track} {} mutants={} of={found} unread={unread} read={read} held={} inert={} survived={} share={:.1}%",
        phase.id,
        mutants.len(),
        tally.held.len(),
        tally.inert.len() - unread,
        tally.survived.len(),
        100.0 * tally.held.len() as f64 / read.max(1) as f64
    );
    wrong.extend(
        tally.stale.iter().map(|id| format!("{id} stands in inert.toml, and the gate holds; take it out there")),
    );
    if filter.is_none() && tally.held.is_empty() {
        wrong.push("no mutant was held: the gate was not asked".to_owned());
    }
    let mut trials = vec![trial(&name(phase, LIST), wrong)];
    for source in sources {
        let own = |id: &&String| id.starts_with(*source);
        let mut wrong: Vec<String> = tally.broken.iter().filter(own).cloned().collect();
        let survivors = tally.survived.iter().filter(own);
        wrong.extend(survivors.map(|id| {
            format!("{id}: the gate advances all the same; mend it, or list it in inert.toml with the reason")
        }));
        if whole && !mutants.iter().any(|m| m.id.starts_with(*source)) {
            wrong.push(format!("there is no mutant of the {source}"));
        }
        trials.push(trial(&name(phase, source), wrong));
    }
    trials
}

fn trial(name: &str, wrong: Vec<String>) -> Trial {
    Trial::test(name, move || if wrong.is_empty() { Ok(()) } else { Err(Failed::from(wrong.join("\n"))) })
}

/// The list's entries, and what is wrong with the list itself.
fn read_list(phase: &Phase, mutants: &[Mutant], whole: bool) -> (Vec<(Regex, bool)>, Vec<String>) {
    let path = rig::drills_of(phase).join("inert.toml");
    let list: Inert = toml::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let mut wrong = Vec::new();
    let mut entries = Vec::new();
    for entry in list.inert {
        let field = Regex::new(&format!("^(?:{})$", entry.field)).unwrap();
        if entry.reason.trim().is_empty() {
            wrong.push(format!("`{}` has no reason", entry.field));
        }
        if whole && !mutants.iter().any(|m| field.is_match(&m.id)) {
            wrong.push(format!("`{}` is no field any more", entry.field));
        }
        entries.push((field, entry.unread));
    }
    (entries, wrong)
}

/// Those that must hold run one by one. Those that are inert run together, for what advances together advances alone; a group that holds
/// is halved until the ones that hold are named.
fn run(gates: &[Phase], phase: &Phase, mutants: &[Mutant], list: &[Regex]) -> Tally {
    let (inert, must): (Vec<&Mutant>, Vec<&Mutant>) =
        mutants.iter().partition(|m| list.iter().any(|e| e.is_match(&m.id)));
    let mut groups: BTreeMap<String, Vec<&Mutant>> = BTreeMap::new();
    for mutant in &inert {
        groups.entry(mutant.group()).or_default().push(mutant);
    }
    let mut work: Vec<Vec<&Mutant>> = must.iter().map(|m| vec![*m]).collect();
    work.extend(groups.into_values());
    // The long ones first.
    work.sort_by_key(Vec::len);
    let (queue, tally, busy) = (Mutex::new(work), Mutex::new(Tally::default()), AtomicUsize::new(0));
    let is_inert = |mutant: &Mutant| list.iter().any(|e| e.is_match(&mutant.id));
    std::thread::scope(|scope| {
        for _ in 0..2 * std::thread::available_parallelism().map_or(2, usize::from).clamp(1, 8) {
            scope.spawn(|| {
                loop {
                    let next = {
                        let mut queue = queue.lock().unwrap();
                        let next = queue.pop();
                        busy.fetch_add(usize::from(next.is_some()), Ordering::SeqCst);
                        next
                    };
                    let Some(group) = next else {
                        if busy.load(Ordering::SeqCst) == 0 {
                            return;
                        }
                        std::thread::sleep(std::time::Duration::from_millis(20));
                        continue;
                    };
                    // A panic of the gate is no hold; the thread lives on, or the others would wait for it for ever.
                    let result = std::panic::catch_unwind(AssertUnwindSafe(|| advances(gates, phase, &group)))
                        .unwrap_or_else(|_| Err("it panicked".to_owned()));
                    let mut tally = tally.lock().unwrap();
                    let ids = group.iter().map(|m| m.id.clone());
                    match (result, group.as_slice()) {
                        (Ok(true), [only]) if !is_inert(only) => tally.survived.extend(ids),
                        (Ok(true), _) => tally.inert.extend(ids),
                        (Ok(false), [only]) if is_inert(only) => tally.stale.extend(ids),
                        (Ok(false), [_]) => tally.held.extend(ids),
                        (Err(why), [only]) => tally.broken.push(format!("{}: {why}", only.id)),
                        (Ok(false) | Err(_), several) => {
                            let (one, other) = several.split_at(several.len() / 2);
                            queue.lock().unwrap().extend([one.to_vec(), other.to_vec()]);
                        }
                    }
                    busy.fetch_sub(1, Ordering::SeqCst);
                }
            });
        }
    });
    tally.into_inner().unwrap()
}

/// Whether the gate advances on these mutants together; `Err` when they cannot be made.
fn advances(gates: &[Phase], phase: &Phase, group: &[&Mutant]) -> Result<bool, String> {
    let stage = Stage::set(phase)?;
    // The last ones first, so that places that were counted stay where they are.
    for mutant in group.iter().rev() {
        mutant.apply(&stage)?;
    }
    let played = stage.play(gates, &[])?;
    if let Ok(outcome) = &played.outcome
        && let Some(accident) = accident(outcome)
    {
        return Err(format!("the engine or the registry failed, and not the value: {accident}"));
    }
    Ok(played.outcome.is_ok_and(|outcome| outcome.decision.verdict == Verdict::Advance))
}

/// What kept a gate from asking its engine or registry; a mutant that was not asked was not held.
fn accident(outcome: &PhaseOutcome) -> Option<&str> {
    const SAYS: [&str; 4] = ["timed out", "unreachable", "the room ", "can be started"];
    let failed = |why: &str| {
        let of_engine = ["docker ", "registry ", "the room ", "no container"].iter().any(|word| why.contains(word));
        of_engine && SAYS.iter().any(|word| why.contains(word))
    };
    outcome.findings.iter().map(|finding| finding.why.as_str()).find(|why| failed(why))
}
