//! Whether what came of a fault may come of it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use support::evidence::TEMPORARY_PREFIX;
use support::run::outcome::{PhaseOutcome, Verdict};

use super::kit::wire::Call;
use super::seen::{Ended, Object, Seen, digest};

/// The time that one gate may take, retries and limits included.
pub const LONGEST: Duration = Duration::from_secs(60);

/// How a gate bore a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Came {
    /// The same verdict and evidence as without it.
    Same,
    /// A hold, or an error about evidence, that names the call.
    Held,
}

/// The clean run, and whose calls its calls are.
pub struct Clean {
    pub seen: Seen,
    pub calls: Vec<Call>,
    phase: String,
    comparable: BTreeMap<String, Vec<u8>>,
    /// `s3://bucket/key` of the phase's own files.
    own: Vec<String>,
}

impl Clean {
    pub fn new(seen: Seen, calls: Vec<Call>) -> Result<Self, String> {
        let Ended::Verdict(outcome) = &seen.ended else { return Err(format!("no clean run: {:?}", seen.ended)) };
        let wrong: Vec<String> = always(&seen).into_iter().chain(of_verdict(&seen, outcome)).collect();
        if outcome.decision.verdict != Verdict::Advance || !wrong.is_empty() {
            return Err(format!("the clean run is {}: {}", outcome.verdict(), wrong.join("; ")));
        }
        let of_lane =
            |path: &str| outcome.lanes.iter().any(|lane| path.starts_with(&format!("{}/", lane.execution_id)));
        let own = outcome.files.iter().filter(|file| !of_lane(&file.path));
        let mut own: Vec<String> = own.filter_map(|file| file.uri.clone()).collect();
        let reserved = own.iter().find_map(|uri| uri.strip_suffix("execution.json").map(str::to_owned));
        own.push(format!("{}verdict.json", reserved.ok_or("the clean run reserved no id")?));
        Ok(Self { phase: outcome.phase.clone(), comparable: seen.comparable()?, own, calls, seen })
    }

    /// The lane that made a call, or the phase: its entry, its store, its reports.
    pub fn owner<'a>(&'a self, call: &'a Call) -> &'a str {
        let of_phase = call.lane.is_empty() || self.own.contains(&uri(call));
        if of_phase { self.phase.as_str() } else { call.lane.as_str() }
    }

    /// How the gate bore a fault on `call`; else everything that is wrong with what came.
    pub fn judge(&self, seen: &Seen, call: &Call) -> Result<Came, Vec<String>> {
        let mut wrong = always(seen);
        let came = match &seen.ended {
            Ended::Panic => {
                wrong.push("the gate panicked".to_owned());
                Came::Held
            }
            Ended::TooLong => {
                wrong.push(format!("the gate was still at work after {LONGEST:?}"));
                Came::Held
            }
            Ended::Error(why) => {
                if !names(call, why) {
                    wrong.push(format!("an error that does not name the call: {why}"));
                }
                if verdict_of(seen).is_some_and(|verdict| verdict.starts_with("ADVANCE")) {
                    wrong.push("an error, and a verdict.json that advances".to_owned());
                }
                Came::Held
            }
            Ended::Verdict(outcome) => {
                wrong.extend(of_verdict(seen, outcome));
                match outcome.decision.verdict {
                    Verdict::Advance => {
                        wrong.extend(self.differences(seen));
                        Came::Same
                    }
                    Verdict::Hold => {
                        wrong.extend(self.of_hold(seen, outcome, call));
                        Came::Held
                    }
                    Verdict::Partial | Verdict::WouldAdvance => {
                        wrong.push(format!("the verdict is {}", outcome.verdict()));
                        Came::Held
                    }
                }
            }
        };
        if wrong.is_empty() { Ok(came) } else { Err(wrong) }
    }

    /// What an advance has otherwise than the clean run.
    fn differences(&self, seen: &Seen) -> Vec<String> {
        let mut wrong = Vec::new();
        match seen.comparable() {
            Err(why) => wrong.push(format!("ADVANCE, and {why}")),
            Ok(files) => {
                for name in self.comparable.keys().chain(files.keys()) {
                    if self.comparable.get(name) != files.get(name) {
                        wrong.push(format!("ADVANCE with another {name}{}", self.first_difference(name, &files)));
                    }
                }
            }
        }
        let listed =
            |name: &str| ["receipts.json", "findings.json", "verdict.json"].iter().any(|own| name.ends_with(own));
        for place in self.seen.after.keys().chain(seen.after.keys()) {
            let (then, now) = (self.seen.after.get(place), seen.after.get(place));
            let same = match (then, now) {
                (Some(then), Some(now))
                    if listed(&place.1) && self.own.contains(&format!("s3://{}/{}", place.0, place.1)) =>
                {
                    // Of these the local copy was compared; the object must be that copy.
                    let name = place.1.rsplit('/').next().unwrap_or_default();
                    seen.files.get(name) == Some(&now.bytes)
                        && (then.versions, then.markers) == (now.versions, now.markers)
                }
                (then, now) => then == now,
            };
            if !same {
                wrong.push(format!("ADVANCE with another object s3://{}/{}", place.0, place.1));
            }
        }
        wrong.sort();
        wrong.dedup();
        wrong
    }

    fn first_difference(&self, name: &str, files: &BTreeMap<String, Vec<u8>>) -> String {
        let (Some(then), Some(now)) = (self.comparable.get(name), files.get(name)) else {
            return ": it is not in both".to_owned();
        };
        let at = then.iter().zip(now).take_while(|(a, b)| a == b).count();
        let near = |bytes: &[u8]| {
            let from = at.saturating_sub(60);
            String::from_utf8_lossy(&bytes[from..bytes.len().min(at + 60)]).into_owned()
        };
        format!(":\n      was {}\n      is  {}", near(then), near(now))
    }

    fn of_hold(&self, seen: &Seen, outcome: &PhaseOutcome, call: &Call) -> Vec<String> {
        let mut wrong = Vec::new();
        let owner = self.owner(call);
        let roots = &outcome.decision.roots;
        let named = roots
            .iter()
            .flat_map(|root| &root.causes)
            .any(|cause| cause.lane == owner && (names(call, &cause.observed) || names(call, &cause.next)));
        if !named {
            let said: Vec<String> = roots
                .iter()
                .flat_map(|root| root.causes.iter().map(move |cause| (root, cause)))
                .map(|(root, cause)| {
                    format!("\n      {} {} of {}: {}", root.code, cause.check, cause.lane, cause.observed)
                })
                .collect();
            wrong.push(format!("a hold without a root of {owner} that names the call; roots:{}", said.concat()));
        }
        let register: Option<Value> =
            seen.files.get("blocker_register.json").and_then(|bytes| serde_json::from_slice(bytes).ok());
        match register {
            None => wrong.push("a hold without a blocker register".to_owned()),
            Some(register) => {
                let blockers = register.get("blockers").and_then(Value::as_array).cloned().unwrap_or_default();
                for root in roots {
                    let listed = blockers.iter().any(|b| b["code"] == root.code.as_str() && b["kind"] == "root");
                    if !listed {
                        wrong.push(format!("the blocker register does not list the root {}", root.code));
                    }
                }
            }
        }
        wrong
    }
}

/// What holds of every end.
fn always(seen: &Seen) -> Vec<String> {
    let mut wrong: Vec<String> = seen.trouble.iter().map(|trouble| format!("the fault itself: {trouble}")).collect();
    if seen.took > LONGEST {
        wrong.push(format!("it took {:?}", seen.took));
    }
    for (name, bytes) in &seen.files {
        if name.rsplit('/').next().is_some_and(|last| last.starts_with(TEMPORARY_PREFIX)) {
            wrong.push(format!("an unfinished write stayed behind: {name}"));
        }
        if name.ends_with(".json") && serde_json::from_slice::<Value>(bytes).is_err() {
            wrong.push(format!("{name} is no JSON"));
        }
    }
    for (place, now) in &seen.after {
        let name = format!("s3://{}/{}", place.0, place.1);
        match seen.before.get(place) {
            Some(then) if then == now => {}
            Some(_) => wrong.push(format!("{name} stood there before, and is another now")),
            None if matches!(now, Object { versions: 1, markers: 0, .. }) => {}
            None => wrong.push(format!("{name} has {} versions and {} delete markers", now.versions, now.markers)),
        }
    }
    for place in seen.before.keys().filter(|place| !seen.after.contains_key(*place)) {
        wrong.push(format!("s3://{}/{} is gone", place.0, place.1));
    }
    wrong
}

/// What holds of every verdict: the file says the same, and all that it lists is there with that digest.
fn of_verdict(seen: &Seen, outcome: &PhaseOutcome) -> Vec<String> {
    let mut wrong = Vec::new();
    if verdict_of(seen) != Some(outcome.verdict()) {
        wrong.push(format!("the verdict is {}, verdict.json says {:?}", outcome.verdict(), verdict_of(seen)));
    }
    for file in &outcome.files {
        if seen.files.get(&file.path).map(|bytes| digest(bytes)).as_ref() != Some(&file.sha256) {
            wrong.push(format!("{} has not the digest that the verdict lists", file.path));
        }
        let Some(uri) = &file.uri else { continue };
        let place = uri.strip_prefix("s3://").and_then(|rest| rest.split_once('/')).unwrap_or_default();
        let object = seen.after.get(&(place.0.to_owned(), place.1.to_owned()));
        if object.map(|object| digest(&object.bytes)).as_ref() != Some(&file.sha256) {
            wrong.push(format!("{uri} has not the digest that the verdict lists"));
        }
    }
    wrong
}

fn verdict_of(seen: &Seen) -> Option<String> {
    let verdict: Value = serde_json::from_slice(seen.files.get("verdict.json")?).ok()?;
    verdict.get("verdict")?.as_str().map(str::to_owned)
}

/// Whether a text names a call: by service and operation, or by the object's key or URI.
fn names(call: &Call, text: &str) -> bool {
    let key = call.asked.subject.split_once('/').map_or("", |(_, key)| key);
    let object = call.asked.service == "s3" && (text.contains(&uri(call)) || (!key.is_empty() && text.contains(key)));
    object || text.contains(&call.asked.command())
}

fn uri(call: &Call) -> String {
    format!("s3://{}", call.asked.subject.trim_end_matches('/'))
}
