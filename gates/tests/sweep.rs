//! The sweep: every call of a clean run, and every fault that can happen to it. The gate comes out the same, or it holds and says why.
//!
//! Without a variable a sample is played; `PHASEGATE_SWEEP=all` plays everything, `PHASEGATE_SWEEP=<number>` the sample of another seed. A
//! filter with a slash plays some of the faults: `-- dev_min/17/409_lasting`.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test with a harness of its own: what is wrong with a fault must fail, and the figures are what the run is for"
)]

use std::panic::AssertUnwindSafe;
use std::process::ExitCode;
use std::sync::{Mutex, mpsc};
use std::time::{Duration, Instant};

use libtest_mimic::{Arguments, Failed, Trial};
use support::run::lane::Phase;

#[path = "sweep/doctored.rs"]
mod doctored;
#[path = "sweep/faults.rs"]
mod faults;
#[path = "sweep/judge.rs"]
mod judge;
#[expect(dead_code, reason = "drills use more of it")]
#[path = "drills/mod.rs"]
mod kit;
#[path = "sweep/seen.rs"]
mod seen;

use faults::Case;
use judge::{Came, Clean, LONGEST};
use kit::rig::Stage;
use kit::wire::Fault;
use seen::{Ended, Seen};

/// The seed of the sample that is always played.
const SEED: u64 = 3;

/// How many calls the sampled gates of a track make together, at most: what a gate takes grows with its calls.
const SAMPLE: usize = 14_000;

/// How much is said of one violation.
const MOST_SAID: usize = 4;

/// What is played.
#[derive(Debug, Clone, Copy)]
enum Extent {
    Sample(u64),
    All,
}

/// What became of the faults of one track.
#[derive(Default)]
struct Tally {
    same: usize,
    held: usize,
    violations: Vec<String>,
}

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    let extent = match std::env::var("PHASEGATE_SWEEP").ok().filter(|value| !value.is_empty()).as_deref() {
        None => Extent::Sample(SEED),
        Some("all") => Extent::All,
        Some(seed) => Extent::Sample(
            seed.parse().unwrap_or_else(|_| panic!("PHASEGATE_SWEEP=`{seed}` is neither `all` nor a number")),
        ),
    };
    let gates: &'static [Phase] = Box::leak(gates::m3::gates().unwrap().into_boxed_slice());
    let filter = arguments.filter.clone().filter(|f| f.contains('/'));
    if filter.is_some() {
        arguments.filter = None;
    }
    let mut trials = Vec::new();
    for phase in gates {
        let names = names(phase);
        let wanted = |name: &String| {
            let by_name = arguments.filter.as_ref().is_none_or(|filter| name.contains(filter.as_str()));
            by_name && filter.as_ref().is_none_or(|filter| filter.starts_with(&format!("{}/", phase.track)))
        };
        if arguments.list {
            trials.extend(names.iter().map(|name| Trial::test(name.clone(), || Ok(()))));
        } else if names.iter().any(wanted) {
            trials.extend(of_track(gates, phase, extent, filter.as_deref()));
        }
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn names(phase: &Phase) -> [String; 2] {
    ["faults", "judge_refuses_what_is_doctored"].map(|name| format!("{}::{}::sweep::{name}", phase.track, phase.id))
}

fn of_track(gates: &'static [Phase], phase: &'static Phase, extent: Extent, filter: Option<&str>) -> Vec<Trial> {
    let track = phase.track;
    let [of_faults, of_judge] = names(phase);
    let clean = match clean(gates, phase) {
        Ok(clean) => clean,
        Err(why) => return vec![Trial::test(of_faults, move || Err(Failed::from(why)))],
    };
    let (mut cases, mut inapplicable) = faults::all(track, &clean.calls);
    if let (Extent::Sample(seed), None) = (extent, filter) {
        cases = faults::sample(&cases, &clean.calls, seed, SAMPLE / clean.calls.len().max(1));
        // What cannot happen is counted over the whole alone.
        inapplicable = 0;
    }
    if let Some(filter) = filter {
        cases.retain(|case| format!("{}/", case.id).starts_with(&format!("{}/", filter.trim_end_matches('/'))));
    }
    let begun = Instant::now();
    let tally = play(gates, phase, &clean, &cases);
    println!(
        "{track} calls={} faults={} same={} held={} inapplicable={inapplicable} violations={} ({:.0} s)",
        clean.calls.len(),
        cases.len(),
        tally.same,
        tally.held,
        tally.violations.len(),
        begun.elapsed().as_secs_f64()
    );
    let mut wrong = tally.violations;
    if cases.is_empty() || (filter.is_none() && (tally.same == 0 || tally.held == 0)) {
        wrong.push("the faults were not asked".to_owned());
    }
    let found = doctored(gates, phase, &clean).unwrap_or_else(|why| vec![why]);
    vec![
        Trial::test(of_faults, move || if wrong.is_empty() { Ok(()) } else { Err(Failed::from(wrong.join("\n"))) }),
        Trial::test(of_judge, move || if found.is_empty() { Ok(()) } else { Err(Failed::from(found.join("\n"))) }),
    ]
}

/// A run without a fault, and another: they agree in everything that a fault must leave as it is.
fn clean(gates: &'static [Phase], phase: &'static Phase) -> Result<Clean, String> {
    let played = Stage::set(phase)?.watched().play(gates, &[])?;
    let calls = played.calls.clone();
    if let Some(call) = calls.iter().find(|call| call.asked.operation == "-" || call.asked.service == "-") {
        return Err(format!("a call that has no name: {call:?}"));
    }
    let clean = Clean::new(Seen::of(played, Duration::ZERO)?, calls)?;
    let again = Seen::of(Stage::set(phase)?.watched().play(gates, &[])?, Duration::ZERO)?;
    match clean.calls.first().map(|call| clean.judge(&again, call)) {
        Some(Ok(Came::Same)) => Ok(clean),
        came => Err(format!("two clean runs differ: {came:?}")),
    }
}

/// What the judge gets wrong of doctored ends: those of the clean run, and of one that held.
fn doctored(gates: &'static [Phase], phase: &'static Phase, clean: &Clean) -> Result<Vec<String>, String> {
    let (number, call) = doctored::call(clean).ok_or("no lane puts a file")?;
    let fault = faults::denial().on(number, call).ok_or("a put cannot be denied")?;
    let held = within_limit(gates, phase, fault)?;
    Ok(doctored::wrong(clean, &held, call))
}

/// Plays the faults on a few threads.
fn play(gates: &'static [Phase], phase: &'static Phase, clean: &Clean, cases: &[Case]) -> Tally {
    // Many faults only wait for retries and limits, so there are more threads than cores.
    let threads = 3 * std::thread::available_parallelism().map_or(2, usize::from).clamp(1, 8);
    let queue = Mutex::new(cases.iter());
    let tally = Mutex::new(Tally::default());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let next = queue.lock().unwrap().next();
                    let Some(case) = next else { return };
                    let came = one(gates, phase, clean, case);
                    let mut tally = tally.lock().unwrap();
                    match came {
                        Ok(Came::Same) => tally.same += 1,
                        Ok(Came::Held) => tally.held += 1,
                        Err(violation) => {
                            // At once: the whole takes long.
                            println!("violation {violation}");
                            tally.violations.push(violation);
                        }
                    }
                }
            });
        }
    });
    let mut tally = tally.into_inner().unwrap();
    tally.violations.sort();
    tally
}

/// How the gate bore one fault, or what is wrong with what came.
fn one(gates: &'static [Phase], phase: &'static Phase, clean: &Clean, case: &Case) -> Result<Came, String> {
    let call = &clean.calls[case.number - 1];
    let came = within_limit(gates, phase, case.fault.clone())
        .map_err(|why| vec![why])
        .and_then(|seen| clean.judge(&seen, call));
    let wrong = match came {
        Ok(Came::Held) if case.kind.is_harmless() => vec!["it held, and nothing was wrong".to_owned()],
        Ok(came) => return Ok(came),
        Err(wrong) => wrong,
    };
    let (said, more) = wrong.split_at(wrong.len().min(MOST_SAID));
    let more = if more.is_empty() { String::new() } else { format!("\n    and {} more", more.len()) };
    let (id, what, subject) = (&case.id, call.asked.command(), &call.asked.subject);
    Err(format!("{id} ({what} {subject} of {}):\n    {}{more}", clean.owner(call), said.join("\n    ")))
}

/// One gate under one fault, on a thread of its own: one that never ends must not stop the sweep.
fn within_limit(gates: &'static [Phase], phase: &'static Phase, fault: Fault) -> Result<Seen, String> {
    let (sender, receiver) = mpsc::channel();
    let begun = Instant::now();
    std::thread::spawn(move || {
        let played = std::panic::catch_unwind(AssertUnwindSafe(|| Stage::set(phase)?.watched().play(gates, &[fault])));
        let seen = match played {
            Ok(played) => played.and_then(|played| Seen::of(played, begun.elapsed())),
            Err(_) => Ok(Seen::lost(Ended::Panic, begun.elapsed())),
        };
        // After the limit nobody listens any more.
        drop(sender.send(seen));
    });
    receiver.recv_timeout(LONGEST).unwrap_or_else(|_| Ok(Seen::lost(Ended::TooLong, begun.elapsed())))
}
