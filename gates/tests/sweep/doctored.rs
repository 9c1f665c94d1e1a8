//! The judge of the sweep, held to what it must refuse: a good end is doctored in one thing, and the judge must say so.

use std::time::Duration;

use support::evidence::TEMPORARY_PREFIX;
use support::run::outcome::{PhaseOutcome, Verdict};

use super::judge::{Came, Clean, LONGEST};
use super::kit::wire::Call;
use super::seen::{Ended, Object, Seen};

/// One thing that is doctored, and words of what the judge must say.
struct Doctored {
    says: &'static str,
    seen: Seen,
}

/// A call of a lane that puts a file: a fault on it is played for a real hold.
pub fn call(clean: &Clean) -> Option<(usize, &Call)> {
    let puts = |call: &&Call| call.asked.operation == "PutObject" && clean.owner(call) == call.lane;
    (1..).zip(&clean.calls).find(|(_, call)| puts(call))
}

/// What the judge gets wrong: a good end that it refuses, a doctored one that it lets pass or calls by another name.
pub fn wrong(clean: &Clean, held: &Seen, call: &Call) -> Vec<String> {
    let mut wrong = Vec::new();
    for (seen, expected) in [(&clean.seen, Came::Same), (held, Came::Held)] {
        let came = clean.judge(seen, call);
        if came != Ok(expected) {
            wrong.push(format!("undoctored: expected {expected:?}, came {came:?}"));
        }
    }
    let all = ends(clean).into_iter().chain(evidence(clean)).chain(store(clean)).chain(holds(held));
    for Doctored { says, seen } in all {
        match clean.judge(&seen, call) {
            Err(found) if found.iter().any(|words| words.contains(says)) => {}
            came => wrong.push(format!("doctored so that the judge must say `{says}`, and it says {came:?}")),
        }
    }
    wrong
}

fn doctored(seen: &Seen, says: &'static str, doctor: impl FnOnce(&mut Seen)) -> Doctored {
    let mut seen = seen.clone();
    doctor(&mut seen);
    Doctored { says, seen }
}

fn outcome(seen: &mut Seen, doctor: impl FnOnce(&mut PhaseOutcome)) {
    if let Ended::Verdict(outcome) = &mut seen.ended {
        doctor(outcome);
    }
}

fn ends(clean: &Clean) -> Vec<Doctored> {
    let good = &clean.seen;
    vec![
        doctored(good, "panicked", |seen| seen.ended = Ended::Panic),
        doctored(good, "still at work", |seen| seen.ended = Ended::TooLong),
        doctored(good, "it took", |seen| seen.took = LONGEST + Duration::from_secs(1)),
        doctored(good, "the fault itself", |seen| seen.trouble.push("it met no request".to_owned())),
        doctored(good, "does not name the call", |seen| seen.ended = Ended::Error("no room on the disk".to_owned())),
        doctored(good, "a verdict.json that advances", |seen| {
            seen.ended = Ended::Error("run.json: stopped".to_owned())
        }),
        doctored(good, "the verdict is PARTIAL", |seen| outcome(seen, |o| o.decision.verdict = Verdict::Partial)),
        doctored(good, "the verdict is WOULD_ADVANCE", |seen| {
            outcome(seen, |o| o.decision.verdict = Verdict::WouldAdvance);
        }),
        doctored(good, "verdict.json says", |seen| outcome(seen, |o| o.decision.verdict = Verdict::Hold)),
        doctored(good, "verdict.json says None", |seen| drop(seen.files.remove("verdict.json"))),
    ]
}

fn evidence(clean: &Clean) -> Vec<Doctored> {
    let good = &clean.seen;
    let change = |seen: &mut Seen, name: &str, find: &str, replace: &str| {
        if let Some(bytes) = seen.files.get_mut(name) {
            *bytes = String::from_utf8_lossy(bytes).replacen(find, replace, 1).into_bytes();
        }
    };
    vec![
        doctored(good, "ADVANCE with another junit.xml", |seen| change(seen, "junit.xml", "name=", "nome=")),
        doctored(good, "junit.xml has not the digest", |seen| change(seen, "junit.xml", "name=", "nome=")),
        doctored(good, "ADVANCE with another receipts.json", |seen| {
            change(seen, "receipts.json", "\"sha256_local\":\"", "\"sha256_local\":\"0");
        }),
        doctored(good, "ADVANCE with another verdict.json", |seen| {
            change(seen, "verdict.json", "\"roots\":[", "\"roots\":[ ")
        }),
        doctored(good, "ADVANCE with another blocker_register.json: it is not in both", |seen| {
            seen.files.remove("blocker_register.json");
        }),
        doctored(good, "ADVANCE with another stray.txt", |seen| {
            drop(seen.files.insert("stray.txt".to_owned(), Vec::new()))
        }),
        doctored(good, "findings.json is no JSON", |seen| {
            if let Some(bytes) = seen.files.get_mut("findings.json") {
                bytes.truncate(bytes.len() / 2);
            }
        }),
        doctored(good, "an unfinished write stayed behind", |seen| {
            seen.files.insert(format!("observations/{TEMPORARY_PREFIX}x"), Vec::new());
        }),
    ]
}

fn store(clean: &Clean) -> Vec<Doctored> {
    let good = &clean.seen;
    let made = |seen: &Seen| seen.after.keys().find(|place| !seen.before.contains_key(*place)).cloned();
    let on_made = |says, doctor: fn(&mut Object)| {
        doctored(good, says, |seen| {
            if let Some(object) = made(seen).and_then(|place| seen.after.get_mut(&place)) {
                doctor(object);
            }
        })
    };
    let on_first = |says, doctor: fn(&mut Object)| {
        doctored(good, says, |seen| {
            if let Some(object) = seen.before.keys().next().cloned().and_then(|place| seen.after.get_mut(&place)) {
                doctor(object);
            }
        })
    };
    vec![
        on_made("has 2 versions", |object| object.versions = 2),
        on_made("1 delete markers", |object| object.markers = 1),
        on_made("ADVANCE with another object", |object| object.bytes.push(b' ')),
        on_made("has not the digest that the verdict lists", |object| object.bytes.push(b' ')),
        on_first("stood there before, and is another now", |object| object.bytes.push(b' ')),
        on_first("stood there before, and is another now", |object| object.versions += 1),
        doctored(good, "is gone", |seen| {
            if let Some(place) = seen.before.keys().next().cloned() {
                seen.after.remove(&place);
            }
        }),
        doctored(good, "ADVANCE with another object", |seen| {
            if let Some(place) = made(seen) {
                seen.after.remove(&place);
            }
        }),
    ]
}

fn holds(held: &Seen) -> Vec<Doctored> {
    vec![
        doctored(held, "without a blocker register", |seen| drop(seen.files.remove("blocker_register.json"))),
        doctored(held, "does not list the root", |seen| {
            seen.files.insert("blocker_register.json".to_owned(), b"{\"blockers\":[]}".to_vec());
        }),
        doctored(held, "that names the call", |seen| {
            outcome(seen, |o| {
                for cause in o.decision.roots.iter_mut().flat_map(|root| &mut root.causes) {
                    (cause.observed, cause.next) = ("something failed".to_owned(), "try again".to_owned());
                }
            });
        }),
        doctored(held, "that names the call", |seen| {
            outcome(seen, |o| {
                let causes = o.decision.roots.iter_mut().flat_map(|root| &mut root.causes);
                causes.for_each(|cause| cause.lane = "another lane".to_owned());
            });
        }),
        doctored(held, "that names the call", |seen| outcome(seen, |o| o.decision.roots.clear())),
    ]
}
