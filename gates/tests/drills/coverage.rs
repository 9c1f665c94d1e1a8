//! Which checks a drill opens by themselves, and which can only be shown by a forged observation.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use support::run::check::CodeSource;
use support::run::finding::Outcome;
use support::run::lane::Phase;
use support::run::observation::{Answer, Observation, Observations};
use support::run::outcome::PhaseOutcome;

use super::drill::Run;

/// `unreachable.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Unreachable {
    /// Checks that nothing outside can open by themselves.
    #[serde(default)]
    check: Vec<Forged>,
    /// Codes of the phase that nothing outside can open.
    #[serde(default)]
    code: Vec<Reasoned>,
}

impl Unreachable {
    fn read(folder: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(folder.join("unreachable.toml")).map_err(|e| e.to_string())?;
        toml::from_str(&text).map_err(|e| e.to_string())
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Reasoned {
    code: String,
    reason: String,
}

/// A check, and the observation that it must refuse.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Forged {
    check: String,
    code: String,
    reason: String,
    /// `M3.B/run_identity`.
    observation: String,
    /// What is changed in it; the whole value where it is empty.
    pointer: String,
    value: Value,
}

/// The cases about all drills together.
pub fn trials(
    phase: &Phase,
    folder: &Path,
    runs: &[(Run, Duration)],
    loaded: &BTreeSet<String>,
) -> Vec<(String, Result<(), String>)> {
    let unreachable = match Unreachable::read(folder) {
        Ok(list) => list,
        Err(why) => return vec![("unreachable".to_owned(), Err(why))],
    };
    let mut trials = vec![
        ("found".to_owned(), found(runs)),
        ("codes_of_the_plan".to_owned(), codes_of_the_plan(runs, phase, &unreachable)),
    ];
    let listed: BTreeSet<&str> = unreachable.check.iter().map(|f| f.check.as_str()).collect();
    for (lane, check) in phase.checks() {
        let name = check.name();
        let result = match (loaded.contains(name), listed.contains(name)) {
            (true, false) | (false, true) => Ok(()),
            (false, false) => Err(format!("no drill falls when `{name}` of {lane} alone is forced to met; write one")),
            (true, true) => {
                Err(format!("`{name}` stands in unreachable.toml, and a drill opens it; take it out there"))
            }
        };
        trials.push((format!("opened::{lane}::{name}"), result));
    }
    let control = runs.iter().find(|(run, _)| run.drill.is_control());
    let control = control.and_then(|(run, _)| run.played.as_ref().ok()?.outcome.as_ref().ok());
    for forged in &unreachable.check {
        let result = match &control {
            None => Err("there is no control drill whose observations could be forged".to_owned()),
            Some(control) => refused(forged, phase, control),
        };
        trials.push((format!("forged::{}", forged.check), result));
    }
    trials
        .into_iter()
        .map(|(name, result)| (format!("{}::{}::coverage::{name}", phase.track, phase.id), result))
        .collect()
}

fn found(runs: &[(Run, Duration)]) -> Result<(), String> {
    let controls = runs.iter().filter(|(run, _)| run.drill.is_control()).count();
    if controls == 1 && runs.len() > controls {
        return Ok(());
    }
    Err(format!("{} drills, {controls} of them without a fault; one control and some drills are needed", runs.len()))
}

/// How many of a plan's codes may stand unreachable.
const MOST_UNREACHABLE: usize = 6;

/// Each code of the plan is opened by a drill, as a root or as one that follows; or all its checks are unreachable.
fn codes_of_the_plan(runs: &[(Run, Duration)], phase: &Phase, unreachable: &Unreachable) -> Result<(), String> {
    let plan = runs.iter().find_map(|(run, _)| {
        let control = run.drill.is_control();
        run.played.as_ref().ok()?.plan.as_ref().filter(|_| control)
    });
    let plan = plan.ok_or("the control drill has no plan")?;
    let drilled: BTreeSet<&str> = runs
        .iter()
        .flat_map(|(run, _)| run.drill.roots.iter().chain(&run.drill.entailed).map(String::as_str))
        .collect();
    let listed: BTreeSet<&str> = unreachable.check.iter().map(|forged| forged.check.as_str()).collect();
    let (mut missing, mut out_of_reach) = (Vec::new(), Vec::new());
    for code in plan.codes.iter().map(|c| c.code.as_str()).filter(|code| !drilled.contains(code)) {
        let checks: Vec<&str> = phase
            .checks()
            .filter(|(_, check)| check.code() == CodeSource::Plan(static_code(phase, code)))
            .map(|(_, check)| check.name())
            .collect();
        let forged = !checks.is_empty() && checks.iter().all(|check| listed.contains(check));
        if forged { out_of_reach.push(code) } else { missing.push(code) }
    }
    // A phase whose plan has no code at all has checks with codes of phasegate's own only.
    let planned = phase.checks().any(|(_, check)| matches!(check.code(), CodeSource::Plan(_)));
    if !missing.is_empty() || (plan.codes.is_empty() && planned) {
        return Err(format!("no drill opens {missing:?}"));
    }
    if out_of_reach.len() > MOST_UNREACHABLE {
        return Err(format!("{out_of_reach:?} are unreachable, at most {MOST_UNREACHABLE} codes may be"));
    }
    Ok(())
}

/// The code as the phase's checks have it; `-` where none asks for it.
fn static_code(phase: &Phase, code: &str) -> &'static str {
    let codes = phase.checks().filter_map(|(_, check)| match check.code() {
        CodeSource::Plan(own) => Some(own),
        CodeSource::Derived(_) => None,
    });
    codes.into_iter().find(|own| *own == code).unwrap_or("-")
}

/// Each code of the phase itself is opened by a drill of some track, or listed unreachable with a reason.
pub fn codes_of_the_phase(
    phase: &str,
    codes: &[&str],
    drilled: &BTreeSet<String>,
    folders: &[&Path],
) -> Result<(), String> {
    let mut unreachable = Vec::new();
    for folder in folders {
        unreachable.extend(Unreachable::read(folder)?.code);
    }
    let drilled: BTreeSet<&str> = drilled.iter().map(String::as_str).collect();
    let reasons: BTreeMap<&str, &str> = unreachable.iter().map(|r| (r.code.as_str(), r.reason.as_str())).collect();
    let mut wrong = Vec::new();
    for (code, reason) in &reasons {
        if reason.trim().is_empty() || drilled.contains(code) {
            wrong.push(format!("{code} stands in unreachable.toml without a reason, or is drilled"));
        }
    }
    let known: BTreeSet<&str> = codes.iter().copied().chain(reasons.keys().copied()).collect();
    wrong.extend(
        codes
            .iter()
            .filter(|c| !drilled.contains(*c) && !reasons.contains_key(*c))
            .map(|c| format!("no drill opens {c}")),
    );
    let of_phase = format!("PG-{phase}-");
    let own = |code: &str| code.starts_with(&of_phase) || code.ends_with("-lane_fault");
    wrong.extend(
        drilled
            .iter()
            .filter(|c| own(c) && !known.contains(*c))
            .map(|c| format!("{c} is drilled, and is not in the list of phase codes")),
    );
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
}

/// Whether a check refuses the control's observations with one of them forged, and takes them as they are.
fn refused(forged: &Forged, phase: &Phase, control: &PhaseOutcome) -> Result<(), String> {
    if forged.reason.trim().is_empty() {
        return Err("it has no reason".to_owned());
    }
    let (lane, check) = phase
        .checks()
        .find(|(_, check)| check.name() == forged.check)
        .ok_or_else(|| format!("no lane has a check `{}`", forged.check))?;
    let observations = observations(phase, control)?;
    let honest = check.judge(lane, &observations);
    if honest.outcome != Outcome::Met {
        return Err(format!("without a forgery it is {}: {}", honest.outcome.word(), honest.why));
    }
    let finding = check.judge(lane, &forge(observations, forged)?);
    let code = match check.code() {
        CodeSource::Plan(code) => code.to_owned(),
        CodeSource::Derived(name) => support::run::check::derived_code(lane, name),
    };
    if finding.outcome == Outcome::Unmet && code == forged.code && !finding.next.is_empty() {
        return Ok(());
    }
    Err(format!("expected unmet {}, came {} {code}: {}", forged.code, finding.outcome.word(), finding.why))
}

fn observations(phase: &Phase, outcome: &PhaseOutcome) -> Result<Observations, String> {
    let mut all = Vec::new();
    for id in phase.lanes.iter().map(|lane| lane.id()) {
        let path = outcome.folder.join(format!("observations/{id}.json"));
        let text = std::fs::read(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        let own: Observations = serde_json::from_slice(&text).map_err(|e| e.to_string())?;
        all.extend(own.iter().cloned());
    }
    Ok(all.into_iter().collect())
}

fn forge(mut observations: Observations, forged: &Forged) -> Result<Observations, String> {
    let observation = observations.get("-", &forged.observation).cloned().ok_or("there is no such observation")?;
    let Answer::Value(mut value) = observation.answer else { return Err("the observation has no value".to_owned()) };
    let slot = value.pointer_mut(&forged.pointer).ok_or_else(|| format!("nothing is at {}", forged.pointer))?;
    if *slot == forged.value {
        return Err("the forgery changes nothing".to_owned());
    }
    *slot = forged.value.clone();
    let made = Observation::new(&observation.lane, &observation.name, "forged", Answer::Value(value));
    observations.insert(made.map_err(|e| e.to_string())?);
    Ok(observations)
}
