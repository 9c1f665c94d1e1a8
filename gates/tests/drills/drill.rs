//! A drill: one fault, and what the plan says must come of it. `fixtures/drills/README.md` has the format.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Deserialize;
use support::plan::Plan;
use support::run::check::{AnyCheck, Proof};
use support::run::finding::{Control, Finding, Outcome};
use support::run::lane::Phase;
use support::run::outcome::{Decidable, Decision, PhaseOutcome, Reporter as _, Spot, Verdict};

use super::kit::edit::Edit;
use super::kit::overlay::Overlay;
use super::kit::rig::{Played, Stage};
use super::kit::wire::Fault;

/// A drill file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Drill {
    pub track: String,
    pub phase: String,
    /// What the plan says, word for word.
    pub plan_sentence: String,
    /// Where: the line in the fixtures' plan.
    pub plan_line: usize,
    /// What is broken, in a line.
    pub fault: String,
    /// The open root codes, and no other.
    pub roots: BTreeSet<String>,
    /// The open codes that follow from them, and no other.
    #[serde(default)]
    pub entailed: BTreeSet<String>,
    /// The checks that open these codes, and no other.
    #[serde(default)]
    pub checks: BTreeSet<String>,
    /// Words of the error, where the fault leaves no verdict at all.
    pub error: Option<String>,
    /// Whether a `run.json` is in the store afterwards.
    #[serde(default)]
    pub run_json: bool,
    /// One lane alone, on the evidence of a whole run before: edits and `stored` are done between the two.
    pub lane: Option<String>,
    /// Edits of what the run before left, below its folder.
    #[serde(default)]
    pub stored: Vec<Edit>,
    #[serde(default)]
    pub edit: Vec<Edit>,
    pub world: Option<Overlay>,
    /// Edits of the image's sources.
    #[serde(default)]
    pub source: Vec<Edit>,
    /// What the environment says instead of the world; empty for nothing.
    #[serde(default)]
    pub given: BTreeMap<String, String>,
    /// A fault of the registry.
    pub registry: Option<RegistryFault>,
    /// There is no container engine.
    #[serde(default)]
    pub no_engine: bool,
    #[serde(default)]
    pub wire: Vec<Fault>,
    /// A file below the execution's folder, where the gate needs a folder.
    pub disk: Option<Disk>,
}

/// A fault of the registry.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegistryFault {
    /// It takes nothing.
    pub read_only: bool,
}

/// A fault of the local disk.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Disk {
    /// The path.
    pub file: String,
}

/// One drill, run.
pub struct Run {
    pub name: String,
    pub drill: Drill,
    pub played: Result<Played, String>,
}

impl Drill {
    /// Reads a drill file.
    pub fn read(path: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(path).map_err(|e| e.to_string())?;
        toml::from_str(&text).map_err(|e| e.to_string())
    }

    /// Breaks a fresh stage and runs the gate on it.
    pub fn run(&self, gates: &[Phase], phase: &Phase) -> Result<Played, String> {
        let closed = self.registry.as_ref().is_some_and(|registry| registry.read_only);
        let stage = Stage::set(phase)?.surrounded(&self.given, closed, self.no_engine);
        self.source.iter().try_for_each(|edit| edit.apply(&stage.sources()))?;
        if self.lane.is_none() {
            self.edit.iter().try_for_each(|edit| edit.apply(&stage.repository()))?;
        }
        if let Some(overlay) = &self.world {
            overlay.apply(&stage.world())?;
        }
        let mut faults = self.wire.clone();
        if let Some(disk) = &self.disk {
            // The folder exists when the account is asked, and no lane has written yet.
            let mut fault =
                Fault { service: "sts".to_owned(), operation: "GetCallerIdentity".to_owned(), ..Fault::default() };
            fault.meanwhile.file = Some(disk.file.clone());
            faults.push(fault);
        }
        let tamper = |stage: &Stage, stored: &Path| {
            self.edit.iter().try_for_each(|edit| edit.apply(&stage.repository()))?;
            self.stored.iter().try_for_each(|edit| edit.apply(stored))
        };
        match &self.lane {
            None if self.stored.is_empty() => stage.play(gates, &faults),
            None => Err("`stored` says what is done to the evidence before a `lane` alone".to_owned()),
            Some(lane) => stage.play_after(gates, &faults, Some((lane.as_str(), &tamper))),
        }
    }

    /// Whether the gate must advance: on no fault, or on one that it must bear.
    fn advances(&self) -> bool {
        self.roots.is_empty() && self.error.is_none()
    }

    /// Whether it is the drill without a fault.
    pub fn is_control(&self) -> bool {
        self.advances()
            && self.lane.is_none()
            && self.edit.is_empty()
            && self.source.is_empty()
            && self.given.is_empty()
            && self.registry.is_none()
            && !self.no_engine
            && self.world.is_none()
            && self.wire.is_empty()
            && self.disk.is_none()
    }

    /// Whether the quoted sentence stands where the drill says.
    pub fn quotes_the_plan(&self, plan: &Path) -> Result<(), String> {
        let text = std::fs::read_to_string(plan).map_err(|e| e.to_string())?;
        let line = text.lines().nth(self.plan_line.saturating_sub(1)).unwrap_or_default();
        if !self.plan_sentence.trim().is_empty() && line.contains(&self.plan_sentence) {
            return Ok(());
        }
        Err(format!("line {} of the plan is `{line}`, the drill quotes `{}`", self.plan_line, self.plan_sentence))
    }

    /// What is wrong with a decision, by the drill's codes.
    fn differs(&self, decision: &Decision) -> Option<String> {
        let codes =
            |open: &[support::run::outcome::OpenCode]| open.iter().map(|c| c.code.clone()).collect::<BTreeSet<_>>();
        let (roots, entailed) = (codes(&decision.roots), codes(&decision.entailed));
        let verdict = if self.advances() { Verdict::Advance } else { Verdict::Hold };
        if decision.verdict != verdict || roots != self.roots || entailed != self.entailed {
            return Some(format!(
                "expected {verdict:?} roots={:?} entailed={:?}\n     came {:?} roots={roots:?} entailed={entailed:?}",
                self.roots, self.entailed, decision.verdict
            ));
        }
        None
    }

    /// Whether what came is what the plan says.
    pub fn is_met_by(&self, played: &Played) -> Result<(), String> {
        let mut wrong = played.trouble.clone();
        if self.fault.trim().is_empty() {
            wrong.push("the drill does not say what is broken".to_owned());
        }
        wrong.extend(self.overwritten(played));
        match (&played.outcome, &self.error) {
            (Ok(outcome), None) => wrong.extend(self.outcome(outcome)),
            (Err(why), Some(words)) if why.contains(words.as_str()) => {}
            (Err(why), _) => wrong.push(format!("no verdict: {why}")),
            (Ok(outcome), Some(words)) => {
                wrong.push(format!("expected the error `{words}`, came {} {}", outcome.verdict(), openers(outcome)));
            }
        }
        if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
    }

    fn outcome(&self, outcome: &PhaseOutcome) -> Vec<String> {
        let mut wrong = Vec::new();
        if let Some(differs) = self.differs(&outcome.decision) {
            wrong.push(format!("{differs}\n{}", openers(outcome)));
        }
        let opened: BTreeSet<String> = outcome.findings.iter().filter(|f| opens(f)).map(|f| f.check.clone()).collect();
        if opened != self.checks {
            wrong.push(format!(
                "expected the checks {:?}\n           came {opened:?}\n{}",
                self.checks,
                openers(outcome)
            ));
        }
        let open: BTreeSet<&str> =
            outcome.decision.roots.iter().chain(&outcome.decision.entailed).map(|c| c.code.as_str()).collect();
        for finding in &outcome.findings {
            // Who is led from one code to another must find that one.
            if let Some(by) = finding.blocked_by.as_deref().filter(|by| !open.contains(by)) {
                wrong.push(format!("`{}` is blocked by {by}, which nothing opened", finding.check));
            }
        }
        for root in &outcome.decision.roots {
            for cause in &root.causes {
                if cause.observed.trim().is_empty() || cause.next.trim().is_empty() {
                    wrong.push(format!("{} by `{}` says too little: {cause:?}", root.code, cause.check));
                }
            }
        }
        if self.advances() && outcome.passed() != outcome.cases.len() {
            wrong.push(format!("{} of {} cases passed", outcome.passed(), outcome.cases.len()));
        }
        if !outcome.folder.join("verdict.json").is_file() {
            wrong.push("there is no verdict.json".to_owned());
        }
        wrong
    }

    /// Nothing that stood before may have changed, nothing may have been put twice.
    fn overwritten(&self, played: &Played) -> Vec<String> {
        let others: BTreeSet<&str> = self
            .wire
            .iter()
            .filter_map(|fault| fault.meanwhile.world.as_ref())
            .flat_map(|world| &world.add)
            .filter_map(|row| row.with.get("key").and_then(toml::Value::as_str))
            .collect();
        let mut wrong = Vec::new();
        for ((bucket, key), (versions, markers)) in &played.after {
            let before = played.before.get(&(bucket.clone(), key.clone())).copied();
            let allowed = before.unwrap_or((1, 0));
            if (*versions, *markers) != allowed && !others.contains(key.as_str()) {
                wrong.push(format!(
                    "s3://{bucket}/{key} has {versions} version(s) and {markers} delete marker(s), not {allowed:?}"
                ));
            }
        }
        if let Some((_, gone)) = played.before.keys().find(|place| !played.after.contains_key(place)) {
            wrong.push(format!("{gone} is gone"));
        }
        let new_run = played.after.keys().any(|(bucket, key)| {
            let place = (bucket.clone(), key.clone());
            key.ends_with("/run.json") && !played.before.contains_key(&place)
        });
        if new_run != self.run_json {
            wrong.push(format!("run.json in the store: {new_run}, expected {}", self.run_json));
        }
        wrong
    }

    /// Judges the drill once more with `forced` set to met: whether its expectation still holds.
    fn holds_with(
        &self,
        outcome: &PhaseOutcome,
        plan: &Plan,
        phase: &Phase,
        forced: impl Fn(&Finding) -> bool,
    ) -> bool {
        let mut findings = outcome.findings.clone();
        for finding in findings.iter_mut().filter(|f| forced(f)) {
            finding.outcome = Outcome::Met;
            finding.control = Control::Refused("forced".to_owned());
        }
        self.differs(&decide(outcome, plan, phase, &findings)).is_none()
    }

    /// The checks without which the expectation falls, each by itself; an error when it holds even without all of them.
    pub fn load(&self, outcome: &PhaseOutcome, plan: &Plan, phase: &Phase) -> Result<BTreeSet<String>, String> {
        let openers: Vec<&Finding> = outcome.findings.iter().filter(|f| opens(f)).collect();
        if !self.holds_with(outcome, plan, phase, |_| false) {
            return Err("judged again from its stored findings, the drill does not come out the same".to_owned());
        }
        if openers.is_empty() {
            return Ok(BTreeSet::new());
        }
        for root in &self.roots {
            if self.holds_with(outcome, plan, phase, |f| opens(f) && f.code == *root) {
                return Err(format!("with every check that opened {root} forced to met, the expectation still holds"));
            }
        }
        Ok(openers
            .into_iter()
            .filter(|it| !self.holds_with(outcome, plan, phase, |f| f.check == it.check && f.lane == it.lane))
            .map(|it| it.check.clone())
            .collect())
    }
}

/// Whether a finding opens its code.
fn opens(finding: &Finding) -> bool {
    matches!(finding.outcome, Outcome::Unmet | Outcome::Unsupported | Outcome::Error)
}

fn openers(outcome: &PhaseOutcome) -> String {
    outcome
        .findings
        .iter()
        .filter(|f| opens(f))
        .map(|f| format!("  {} {} {}: {}\n    next: {}\n", f.code, f.check, f.outcome.word(), f.why, f.next))
        .collect()
}

/// The decision on findings, by the reporter.
fn decide(outcome: &PhaseOutcome, plan: &Plan, phase: &Phase, findings: &[Finding]) -> Decision {
    let definitions: Vec<(String, String, Spot)> = plan
        .codes
        .iter()
        .map(|c| (c.code.clone(), c.meaning.clone(), Spot { path: c.place.path.to_path_buf(), line: c.place.line }))
        .collect();
    reports::Reports.decide(&Decidable {
        phase: phase.id,
        mode: outcome.mode,
        whole: true,
        findings,
        predicates: &predicates(phase),
        cases_pass: findings.iter().all(|f| f.outcome == Outcome::Met),
        definitions: &definitions,
        entails: &phase.entails,
    })
}

fn predicates(phase: &Phase) -> Vec<(String, Vec<(String, String)>)> {
    let pair = |check: &dyn AnyCheck| (check.name().to_owned(), phase.owner(check.name()).unwrap().to_owned());
    let of = |proof: &Proof| match proof {
        Proof::Holds(check) | Proof::Refused(check) => vec![pair(*check)],
        Proof::Lane(id) => phase.checks().filter(|(lane, _)| lane == id).map(|(_, check)| pair(check)).collect(),
    };
    phase.predicates.iter().map(|(name, proofs)| ((*name).to_owned(), proofs.iter().flat_map(of).collect())).collect()
}
