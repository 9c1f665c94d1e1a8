//! The stored observations, judged again with the stored documents.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::Discrepancy;
use super::evidence::Read;
use crate::evidence::Receipt;
use crate::evidence::digest::sha256_hex;
use crate::harness::lock::{self, Lock};
use crate::harness::suite::{self, PlanSuite};
use crate::plan::{self, Source};
use crate::registry::{self, Handles};
use crate::run::cases::Case;
use crate::run::course::{COURSE, Course};
use crate::run::documents::take_in_handoff;
use crate::run::entry;
use crate::run::finding::{Control, Finding, Outcome};
use crate::run::judge::{self, Judgement, Progress};
use crate::run::lane::{Closing, Phase};
use crate::run::observation::Observations;
use crate::run::outcome::{CaseState, PhaseOutcome, RenderedBody, Reporter, Verdict, lower};

/// The finding that the execution's id was reserved.
const RESERVED: &str = "phase.execution_id_taken";
/// The finding that the store refuses a second put.
const WRITE_ONCE: &str = "phase.store_write_once";

/// What the judgement rests on, read from the evidence.
struct Stored<'g> {
    suite: PlanSuite<'g>,
    cases: Vec<Case>,
    own: Vec<Finding>,
    course: Course,
    observations: Observations,
    recorded: PhaseOutcome,
}

/// Judges again, and compares; gives the outcome as it is judged now.
pub(super) fn judge(gate: &Phase, reporter: &dyn Reporter, read: &mut Read) -> Option<PhaseOutcome> {
    match stored(gate, read) {
        Ok(stored) => Some(compare(gate, reporter, &stored, read)),
        Err((name, why)) => {
            read.discrepancies.push(Discrepancy::Unusable { name, why });
            None
        }
    }
}

type Unusable = (String, String);

fn stored<'g>(gate: &'g Phase, read: &Read) -> Result<Stored<'g>, Unusable> {
    let text = |name: &str| -> Result<String, Unusable> {
        let bytes = read
            .files
            .get(name)
            .ok_or_else(|| (name.to_owned(), "it was not read, and the judgement rests on it".to_owned()))?;
        String::from_utf8(bytes.clone()).map_err(|_| (name.to_owned(), "it is not UTF-8".to_owned()))
    };
    let at = |name: &str| {
        let name = name.to_owned();
        move |why: String| (name, why)
    };
    let course = Course::read(text(COURSE)?.as_bytes()).map_err(at(COURSE))?;
    if course.execution_id != read.verdict.execution_id {
        return Err((COURSE.to_owned(), format!("it is of {}", course.execution_id)));
    }
    let recorded: PhaseOutcome =
        serde_json::from_str(&text("findings.json")?).map_err(|e| at("findings.json")(e.to_string()))?;
    let lock_text = has(read, "inputs/gates.lock").then(|| text("inputs/gates.lock")).transpose()?;
    let lock = lock_text.clone().map(Lock::parse).transpose().map_err(|e| at("inputs/gates.lock")(e.to_string()))?;
    let (plan_text, registry_text) = (text("inputs/plan.md")?, text("inputs/registry.md")?);
    let mut handoffs = Vec::new();
    for role in read.verdict.inputs.iter().map(|input| &input.role).filter(|role| role.starts_with("handoff")) {
        let name = format!("inputs/{role}.json");
        handoffs.push((role.as_str(), has(read, &name).then(|| text(&name)).transpose()?));
    }
    let mut stored = vec![("plan", Some(&plan_text)), ("registry", Some(&registry_text)), ("lock", lock_text.as_ref())];
    stored.extend(handoffs.iter().map(|(role, handoff)| (*role, handoff.as_ref())));
    // One that the verdict does not speak of must not be there either.
    let unnamed = has(read, "inputs/handoff.json").then(|| text("inputs/handoff.json")).transpose()?;
    if handoffs.is_empty() {
        stored.push(("handoff", unnamed.as_ref()));
    }
    let paths = same_inputs(read, &stored)?;
    let path = |role: &str| paths.get(role).cloned().unwrap_or_default();
    let parsed = plan::parse(Source::new(path("plan"), plan_text.as_str()), &read.verdict.track);
    let suite = suite::of(parsed, gate, lock.as_ref())
        .map_err(|alike| at("inputs/plan.md")(alike.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")))?;
    let mut handles = Handles::new(registry::parse(Path::new(&path("registry")), &registry_text).registry);
    for (role, handoff) in &handoffs {
        if let Some(value) = handoff.as_ref().and_then(|handoff| serde_json::from_str(handoff).ok()) {
            // What it could not be taken for then, it cannot be taken for now: the entry check has said so.
            let _taken = take_in_handoff(&mut handles, &suite.parsed.plan, &path(role), &value);
        }
    }
    let mut cases = suite.cases.clone();
    let pins = lock::pins_of(&suite.subject_of(&handles));
    let held = lock::hold(lock.as_ref(), &pins, course.lock_required, &mut cases);
    let mut observations = Observations::default();
    for owner in std::iter::once(gate.id).chain(gate.lanes.iter().map(|lane| lane.id)) {
        let name = format!("observations/{owner}.json");
        if !has(read, &name) {
            continue;
        }
        let own: Observations = serde_json::from_str(&text(&name)?).map_err(|e| at(&name)(e.to_string()))?;
        for observation in own.iter() {
            let again = observation.again().map_err(|e| at(&name)(e.to_string()))?;
            if observation.lane != owner || again.digest != observation.digest {
                let why = format!(
                    "the observation `{}` of {} has another digest than its answer",
                    observation.name, observation.lane
                );
                return Err((name, why));
            }
            observations.insert(observation.clone());
        }
    }
    let mut own = suite.problems();
    own.extend(held.findings);
    own.extend(entry::register(gate, &suite.parsed.plan));
    own.extend(entry::unmeasured_claims(gate, &suite.parsed.plan));
    own.extend(entry::account_again(gate, course.expected_account.as_deref(), &observations));
    let own = with_the_stores(own, &recorded, gate, read)?;
    Ok(Stored { cases, own, course, observations, recorded, suite })
}

fn has(read: &Read, name: &str) -> bool {
    read.verdict.file(name).is_some()
}

/// The stored documents are those that the verdict says it read; gives their paths in the plan repository.
fn same_inputs(read: &Read, stored: &[(&str, Option<&String>)]) -> Result<BTreeMap<String, String>, Unusable> {
    let mut paths = BTreeMap::new();
    for (role, text) in stored {
        let Some(input) = read.verdict.inputs.iter().find(|input| input.role == *role) else {
            if text.is_some() {
                return Err((format!("inputs ({role})"), "the verdict does not say that it read one".to_owned()));
            }
            continue;
        };
        paths.insert((*role).to_owned(), input.path.clone());
        // Judged without what the execution obeyed, it could only come out too well.
        let Some(text) = text else {
            let why = "the verdict says that it was read, and lists no copy: nothing can be judged by it".to_owned();
            return Err((format!("{} ({role})", input.path), why));
        };
        let is = sha256_hex(text.as_bytes());
        if is != input.sha256 {
            let why = format!("the stored copy has SHA-256 {is}, and the verdict says that {} was read", input.sha256);
            return Err((input.path.clone(), why));
        }
    }
    Ok(paths)
}

/// The findings about the store, which only the execution itself could make: the met ones stand on receipts, and what was
/// found not to be so stays so.
fn with_the_stores(
    mut own: Vec<Finding>,
    recorded: &PhaseOutcome,
    gate: &Phase,
    read: &Read,
) -> Result<Vec<Finding>, Unusable> {
    let receipts: Vec<Receipt> = read
        .files
        .get("receipts.json")
        .map(|bytes| serde_json::from_slice(bytes))
        .transpose()
        .map_err(|e| ("receipts.json".to_owned(), e.to_string()))?
        .unwrap_or_default();
    let proven = |name: &str| receipts.iter().any(|receipt| receipt.name == name && receipt.durable.is_some());
    for finding in recorded.findings.iter().filter(|f| f.lane == gate.id) {
        if own.iter().any(|known| known.check == finding.check) {
            continue;
        }
        let stands = match finding.check.as_str() {
            RESERVED => proven("execution.json"),
            WRITE_ONCE => proven("write_once_canary.json"),
            _ => finding.outcome != Outcome::Met,
        };
        if !stands && finding.outcome == Outcome::Met {
            let why = format!("it says that `{}` is met, and no receipt shows it", finding.check);
            return Err(("findings.json".to_owned(), why));
        }
        own.push(finding.clone());
    }
    // An advance without them would be one whose id nobody reserved, in a store that nobody tried.
    let needed = ["phase.account", RESERVED, WRITE_ONCE];
    let lacks = needed.iter().find(|check| !own.iter().any(|finding| finding.check == **check));
    match lacks.filter(|_| recorded.decision.verdict == Verdict::Advance) {
        Some(check) => Err(("findings.json".to_owned(), format!("it advances, and has no finding `{check}`"))),
        None => Ok(own),
    }
}

fn compare(gate: &Phase, reporter: &dyn Reporter, stored: &Stored<'_>, read: &mut Read) -> PhaseOutcome {
    let course = &stored.course;
    let lanes = |which: &dyn Fn(Closing) -> bool| -> BTreeMap<&'static str, Progress> {
        let known = gate.lanes.iter().filter(|lane| which(lane.closing));
        known.filter_map(|lane| Some((lane.id, course.lanes.get(lane.id)?.clone()))).collect()
    };
    let faults = gate.lanes.iter().filter_map(|lane| Some((lane.id, course.faults.get(lane.id)?.clone()))).collect();
    let mut judgement = Judgement {
        phase: gate,
        plan: &stored.suite.parsed.plan,
        reporter,
        mode: course.mode,
        whole: course.whole,
        lanes: lanes(&|closing| closing == Closing::No),
        own: stored.own.clone(),
        faults,
    };
    let closes = gate.lanes.iter().any(|lane| lane.closing != Closing::No && course.lanes.contains_key(lane.id));
    let frozen = closes.then(|| judgement.decide(&stored.observations, true));
    judgement.lanes = lanes(&|_| true);
    let findings = judgement.findings(&stored.observations);
    let selected: BTreeSet<String> =
        course.selected.clone().unwrap_or_else(|| stored.cases.iter().map(|case| case.name.clone()).collect());
    let cases: Vec<_> = stored
        .cases
        .iter()
        .map(|case| judge::case_outcome(case, gate, &findings, &stored.observations, &selected, &course.command))
        .collect();
    let mut judged = cases.iter().filter(|case| case.state != CaseState::NotSelected).peekable();
    let something = judged.peek().is_some() || !course.whole;
    let cases_pass = something && judged.all(|case| case.state == CaseState::Passed);
    let mut decision = judgement.decide(&stored.observations, cases_pass);
    lower(&mut decision, frozen.as_ref());
    let (register, _) = entry::register_claims(gate, &stored.suite.parsed.plan, &findings);
    let mut again = stored.recorded.clone();
    again.findings = findings;
    again.cases = cases;
    again.register = register;
    again.decision = decision;
    differences(&stored.recorded, &again, read);
    same_reports(reporter, again.clone(), read);
    // The verdict lists what the reports could not list yet.
    again.files.clone_from(&read.verdict.files);
    again
}

/// What comes out otherwise, one discrepancy for each.
fn differences(recorded: &PhaseOutcome, again: &PhaseOutcome, read: &mut Read) {
    let mut found = Vec::new();
    let mut differs = |what: String, recorded: String, judged: String| {
        if recorded != judged {
            found.push(Discrepancy::Judgement { what, recorded, judged });
        }
    };
    let said = |finding: Option<&Finding>| match finding {
        None => "nothing".to_owned(),
        Some(finding) => {
            let control = match &finding.control {
                Control::Refused(_) => "refused",
                Control::Passed => "passed",
                Control::NotRun => "not run",
            };
            let by = finding.blocked_by.as_deref().unwrap_or("-");
            format!("{} {} (blocked by {by}, control {control}): {}", finding.outcome.word(), finding.code, finding.why)
        }
    };
    fn by_check(outcome: &PhaseOutcome) -> BTreeMap<(&str, &str, &str), &Finding> {
        outcome.findings.iter().map(|f| ((f.lane.as_str(), f.check.as_str(), f.code.as_str()), f)).collect()
    }
    let (before, now) = (by_check(recorded), by_check(again));
    let keys: BTreeSet<_> = before.keys().chain(now.keys()).collect();
    for key in keys {
        differs(
            format!("the finding `{}` of {}", key.1, key.0),
            said(before.get(key).copied()),
            said(now.get(key).copied()),
        );
    }
    let state = |outcome: &PhaseOutcome, name: &str| {
        outcome.cases.iter().find(|case| case.name == name).map_or("nothing", |case| case.state.word()).to_owned()
    };
    let names: BTreeSet<&str> = recorded.cases.iter().chain(&again.cases).map(|case| case.name.as_str()).collect();
    for name in names {
        differs(format!("the case {name}"), state(recorded, name), state(again, name));
    }
    let codes = |outcome: &PhaseOutcome| {
        let open = outcome.decision.roots.iter().chain(&outcome.decision.entailed);
        open.map(|code| code.code.as_str()).collect::<Vec<_>>().join(", ")
    };
    differs("the open codes".to_owned(), codes(recorded), codes(again));
    differs("the verdict".to_owned(), recorded.verdict(), again.verdict());
    differs("the verdict in verdict.json".to_owned(), read.verdict.verdict.clone(), again.verdict());
    read.discrepancies.extend(found);
}

/// The reports rendered from what was judged now are the stored ones, byte for byte.
fn same_reports(reporter: &dyn Reporter, mut again: PhaseOutcome, read: &mut Read) {
    let mut different = Vec::new();
    let rendered = match reporter.render(&again) {
        Ok(rendered) => rendered,
        Err(error) => {
            read.discrepancies.push(Discrepancy::Unusable { name: error.name, why: error.why });
            return;
        }
    };
    for file in &rendered {
        let bytes = bytes_of(&file.body);
        if let (Ok(bytes), Some(stored)) = (&bytes, read.files.get(&file.name))
            && bytes != stored
        {
            different.push((file.name.clone(), sha256_hex(stored), sha256_hex(bytes)));
        }
    }
    // The verdict lists what the reports could not list yet.
    again.files.clone_from(&read.verdict.files);
    match reporter.verdict(&again).map(|body| bytes_of(&RenderedBody::Json(body))) {
        Ok(Ok(bytes)) if bytes == read.verdict_bytes => {}
        Ok(Ok(bytes)) => {
            different.push(("verdict.json".to_owned(), sha256_hex(&read.verdict_bytes), sha256_hex(&bytes)));
        }
        Ok(Err(why)) => read.discrepancies.push(Discrepancy::Unusable { name: "verdict.json".to_owned(), why }),
        Err(error) => read.discrepancies.push(Discrepancy::Unusable { name: error.name, why: error.why }),
    }
    for (name, recorded, judged) in different {
        let what = format!("{name}, rendered again");
        read.discrepancies.push(Discrepancy::Judgement {
            what,
            recorded: format!("SHA-256 {recorded}"),
            judged: format!("SHA-256 {judged}"),
        });
    }
}

fn bytes_of(body: &RenderedBody) -> Result<Vec<u8>, String> {
    match body {
        RenderedBody::Text(text) => Ok(text.clone().into_bytes()),
        RenderedBody::Json(value) => crate::evidence::canonical::to_bytes(value).map_err(|e| e.to_string()),
    }
}
