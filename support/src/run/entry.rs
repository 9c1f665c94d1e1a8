//! What is decided before any lane runs: the register, the substrate's account, the execution id,
//! and whether the store keeps its word.

use super::check::derived_code;
use super::finding::{Basis, Control, Finding, Outcome};
use super::judge;
use super::lane::Phase;
use super::observation::{Answer, Observation, Observations};
use super::outcome::RegisterClaim;
use crate::evidence::{CanaryReceipt, PublishError, Receipt};
use crate::plan::{Place, Plan, PlanErrorKind, Register, RegisterEntry};
use crate::substrate::Substrate;
use crate::substrate::reply::{CallError, CallErrorKind};

use super::cases::spot;

/// The name under which the account is observed.
const IDENTITY: &str = "identity";

/// A finding of the phase itself, with phasegate's own code.
#[must_use]
pub fn phase_finding(
    phase: &str,
    name: &str,
    outcome: Outcome,
    why: impl Into<String>,
    next: impl Into<String>,
) -> Finding {
    Finding {
        check: format!("phase.{name}"),
        lane: phase.to_owned(),
        code: derived_code(phase, name),
        derived: true,
        outcome,
        basis: Basis::Observed,
        why: why.into(),
        next: next.into(),
        blocked_by: None,
        control: Control::NotRun,
        observations: Vec::new(),
    }
}

/// The name of the finding for a code that a check asks for and the plan does not define.
const CODE_UNDEFINED: &str = "code_undefined";

/// The code by which a finding of the phase keeps every lane from running. A code that the plan lacks
/// holds the gate, and is no reason not to look: the lanes run, and raise phasegate's own codes instead.
pub(crate) fn stops_lanes(finding: &Finding) -> Option<String> {
    if finding.outcome == Outcome::Met || finding.check == format!("phase.{CODE_UNDEFINED}") {
        return None;
    }
    Some(finding.blocked_by.clone().unwrap_or_else(|| finding.code.clone()))
}

/// The register's open entries, each as a finding under the entry's own code; one met finding when
/// there is none, with the control that a planted entry is found.
pub(crate) fn register(phase: &Phase, plan: &Plan) -> Vec<Finding> {
    let registers: Vec<&Register> = plan.registers.iter().filter(|r| r.must_be_empty).collect();
    let open: Vec<RegisterEntry> = registers.iter().flat_map(|r| r.open.clone()).collect();
    let findings = register_findings_of(phase, &open);
    if !findings.is_empty() {
        return findings;
    }
    let control = register_findings_of(phase, &[planted(plan)]).into_iter().next();
    let mut finding = phase_finding(
        phase.id,
        "register_empty",
        Outcome::Met,
        format!("{} blocker register(s), no open entry", registers.len()),
        "",
    );
    finding.basis = Basis::Documented;
    finding.control = match control {
        Some(found) if judge::opens(&found) => Control::Refused(found.why),
        _ => Control::Passed,
    };
    vec![finding]
}

/// An open entry that the register does not have: looking for entries must find it.
fn planted(plan: &Plan) -> RegisterEntry {
    RegisterEntry {
        codes: vec![derived_code(&plan.phase, "planted")],
        status: "open".to_owned(),
        text: "planted to see whether it is found".to_owned(),
        summary: String::new(),
        impacted: Vec::new(),
        closure_criteria: Vec::new(),
        place: plan.source.place(1),
    }
}

fn register_findings_of(phase: &Phase, open: &[RegisterEntry]) -> Vec<Finding> {
    open.iter().flat_map(|entry| register_findings(phase, entry)).collect()
}

fn register_findings(phase: &Phase, entry: &RegisterEntry) -> Vec<Finding> {
    let place = spot(&entry.place);
    let why = format!("{place} lists it as open: {}", entry.text);
    let codes =
        if entry.codes.is_empty() { vec![derived_code(phase.id, "register_entry")] } else { entry.codes.clone() };
    codes
        .into_iter()
        .map(|code| {
            let next = if entry.closure_criteria.is_empty() {
                format!("close it, then move the entry at {place} to the resolved blockers")
            } else {
                let criteria: Vec<&str> =
                    entry.closure_criteria.iter().map(|c| c.trim_end_matches([',', ';', '.', ' '])).collect();
                format!("{}; then move the entry at {place} to the resolved blockers", criteria.join("; "))
            };
            let mut finding = phase_finding(phase.id, "register_empty", Outcome::Unmet, why.clone(), next);
            finding.basis = Basis::Documented;
            finding.derived = code.starts_with("PG-");
            finding.code = code;
            finding
        })
        .collect()
}

/// Blockers that the plan calls open outside a register which must be empty, and that no check of
/// the phase measures: each stays open, under its own code.
pub(crate) fn unmeasured_claims(phase: &Phase, plan: &Plan) -> Vec<Finding> {
    let asked = judge::asked_codes(phase);
    let mut findings = Vec::new();
    for (code, place) in claimed(plan).filter(|(code, _)| !asked.iter().any(|by| stands_for(phase, by, code))) {
        let place = spot(place);
        let mut finding = phase_finding(
            phase.id,
            "claim_open",
            Outcome::Unmet,
            format!("{place} says that it is open, and no check measures it"),
            format!("close it, then take it out of the plan at {place}"),
        );
        finding.basis = Basis::Documented;
        finding.derived = code.starts_with("PG-");
        code.clone_into(&mut finding.code);
        findings.push(finding);
    }
    findings
}

/// The open entries of the plan's registers and the blockers that it calls open elsewhere, measured.
/// An entry of a register that must be empty holds the gate until it is struck, also when every check
/// behind its code finds it gone: it is ready to close then. What is said elsewhere and is gone is a
/// stale claim, and only a note.
pub(crate) fn register_claims(phase: &Phase, plan: &Plan, findings: &[Finding]) -> (Vec<RegisterClaim>, Vec<String>) {
    let entries = plan.registers.iter().filter(|r| r.must_be_empty).flat_map(|r| &r.open);
    let entries = entries.flat_map(|e| e.codes.iter().map(|code| (code.as_str(), &e.place)));
    let mut register: Vec<RegisterClaim> =
        entries.map(|(code, place)| measure(phase, code, spot(place), findings)).collect();
    let mut stale = Vec::new();
    for (code, place) in claimed(plan) {
        let claim = measure(phase, code, spot(place), findings);
        if claim.ready_to_close {
            stale.push(format!("{} still calls {code} open, and every check behind it is met", claim.place));
        } else {
            register.push(claim);
        }
    }
    (register, stale)
}

/// What the plan calls open outside a register that must be empty.
fn claimed(plan: &Plan) -> impl Iterator<Item = (&str, &Place)> {
    let registers = plan.registers.iter().filter(|r| !r.must_be_empty).flat_map(|r| &r.open);
    registers
        .flat_map(|e| e.codes.iter().map(|code| (code.as_str(), &e.place)))
        .chain(plan.claims.iter().flat_map(|c| c.codes.iter().map(|code| (code.as_str(), &c.place))))
}

/// Whether a check that raises `raised` measures `code`: it is the same, or one of the two follows from the other.
fn stands_for(phase: &Phase, raised: &str, code: &str) -> bool {
    let entails = |root: &str, follows: &str| phase.entails.iter().any(|e| e.root == root && e.code == follows);
    raised == code || entails(code, raised) || entails(raised, code)
}

fn measure(phase: &Phase, code: &str, place: super::outcome::Spot, findings: &[Finding]) -> RegisterClaim {
    let measured: Vec<&Finding> =
        findings.iter().filter(|f| f.lane != phase.id && stands_for(phase, &f.code, code)).collect();
    let open = measured.iter().find(|f| f.outcome != Outcome::Met);
    let (ready_to_close, measured) = match (measured.is_empty(), open) {
        (true, _) => (false, "no check of this execution measures it; it stays open".to_owned()),
        (false, Some(finding)) => (false, format!("still so: {}", finding.why)),
        (false, None) => (true, "gone: every check behind it is met".to_owned()),
    };
    RegisterClaim { code: code.to_owned(), place, ready_to_close, measured }
}

pub(crate) fn no_substrate(phase: &Phase, why: &str) -> Finding {
    phase_finding(
        phase.id,
        "substrate",
        Outcome::Error,
        why,
        "correct PHASEGATE_SUBSTRATE and AWS_ENDPOINT_URL, then run the gate again",
    )
}

/// A phase of images without an engine or a registry.
pub(crate) fn no_images(phase: &Phase, why: &str) -> Finding {
    phase_finding(
        phase.id,
        "images",
        Outcome::Unsupported,
        why,
        "run the gate where a container engine and a registry answer; `docker version` shows the one that is asked",
    )
}

pub(crate) fn no_bucket(phase: &Phase) -> Finding {
    phase_finding(
        phase.id,
        "evidence_bucket",
        Outcome::Unmet,
        format!("{} does not resolve to a bucket's name", phase.evidence_bucket),
        format!("pin {} in the registry or in the handoff", phase.evidence_bucket),
    )
}

/// Whether a plan asks nothing: then there is nothing in its documents to look at either.
pub(crate) fn asks_nothing(plan: &Plan) -> bool {
    plan.boxes.is_empty() && plan.rows.is_empty()
}

/// Whether a finding says that there is no bucket to ask.
pub(crate) fn is_no_bucket(finding: &Finding) -> bool {
    finding.check == "phase.evidence_bucket"
}

/// Asks STS, and compares with the account that is expected.
pub(crate) fn account(
    phase: &Phase,
    substrate: &Substrate,
    expected: Option<&str>,
    observations: &mut Observations,
) -> (Finding, Option<String>) {
    let reply = substrate.identity();
    let answer = match &reply {
        Ok(reply) => {
            serde_json::to_value(&reply.value).map_or_else(|e| Answer::Failed(malformed(&e.to_string())), Answer::Value)
        }
        Err(error) => Answer::Failed(error.clone()),
    };
    if let Ok(observation) = Observation::new(phase.id, IDENTITY, "sts get-caller-identity", answer) {
        observations.insert(observation);
    }
    judged_account(phase, reply.map(|reply| reply.value.account), expected)
}

/// The finding about the account once more, from what STS said then; none where it was not asked.
pub(crate) fn account_again(phase: &Phase, expected: Option<&str>, observations: &Observations) -> Option<Finding> {
    let said = match &observations.get(phase.id, IDENTITY)?.answer {
        Answer::Failed(error) => Err(error.clone()),
        Answer::Value(value) => match value.get("account").and_then(|account| account.as_str()) {
            Some(account) => Ok(account.to_owned()),
            None => Err(malformed("the stored answer has no account")),
        },
    };
    Some(judged_account(phase, said, expected).0)
}

fn judged_account(phase: &Phase, said: Result<String, CallError>, expected: Option<&str>) -> (Finding, Option<String>) {
    match (said, expected) {
        (Err(error), _) => {
            let outcome = match error.kind {
                CallErrorKind::Unsupported => Outcome::Unsupported,
                _ => Outcome::Error,
            };
            let next = "check credentials, network, PHASEGATE_SUBSTRATE and AWS_ENDPOINT_URL; `aws sts get-caller-identity` must answer";
            (phase_finding(phase.id, "account", outcome, error.to_string(), next), None)
        }
        (Ok(is), None) => {
            let next = "pin the account in gates.lock with `phasegate lock --account`, so that the gate knows where it may run";
            let why = format!("the substrate is account {is}, and nothing pins which one it must be");
            (phase_finding(phase.id, "account", Outcome::Unmet, why, next), Some(is))
        }
        (Ok(is), Some(expected)) => {
            let mut finding = match same_account(&is, expected) {
                Ok(why) => phase_finding(phase.id, "account", Outcome::Met, why, ""),
                Err(why) => {
                    let next = format!("use credentials of account {expected}");
                    phase_finding(phase.id, "account", Outcome::Unmet, why, next)
                }
            };
            let doctored: String = is.chars().rev().collect::<String>() + "0";
            finding.control = same_account(&doctored, expected).map_or_else(Control::Refused, |_| Control::Passed);
            (finding, Some(is))
        }
    }
}

fn same_account(is: &str, expected: &str) -> Result<String, String> {
    if is == expected {
        return Ok(format!("account {is}, as pinned"));
    }
    Err(format!("the substrate is account {is}, and {expected} is pinned"))
}

fn malformed(message: &str) -> CallError {
    CallError {
        kind: CallErrorKind::Malformed,
        service: "sts".to_owned(),
        operation: "get-caller-identity".to_owned(),
        target: "-".to_owned(),
        status: None,
        request_id: None,
        message: message.to_owned(),
        attempts: 0,
    }
}

/// The account that was observed.
pub(crate) fn account_of(phase: &Phase, observations: &Observations) -> Option<String> {
    match &observations.get(phase.id, IDENTITY)?.answer {
        Answer::Value(value) => value.get("account")?.as_str().map(str::to_owned),
        Answer::Failed(_) => None,
    }
}

/// The principal that STS reported, by its ARN.
pub(crate) fn principal_of(phase: &Phase, observations: &Observations) -> Option<String> {
    match &observations.get(phase.id, IDENTITY)?.answer {
        Answer::Value(value) => value.get("arn")?.as_str().map(str::to_owned),
        Answer::Failed(_) => None,
    }
}

/// Whether the execution id is ours.
pub(crate) fn reserved(phase: &Phase, id: &str, published: &Result<Receipt, PublishError>) -> Finding {
    match published {
        Ok(receipt) => {
            let uri = receipt.durable.as_ref().map_or("-", |d| d.uri.as_str());
            let mut finding =
                phase_finding(phase.id, "execution_id_taken", Outcome::Met, format!("{id} is reserved: {uri}"), "");
            finding.control =
                Control::Refused("a second conditional put of the same key is refused (canary)".to_owned());
            finding
        }
        Err(PublishError::Exists { uri, .. }) => phase_finding(
            phase.id,
            "execution_id_taken",
            Outcome::Unmet,
            format!("{uri} exists: another execution has the id {id}"),
            "run the gate again: the next second has another id",
        ),
        Err(error) => not_reserved(phase, &error.to_string()),
    }
}

pub(crate) fn not_reserved(phase: &Phase, why: &str) -> Finding {
    let next = "do what the message says, then run the gate again";
    phase_finding(phase.id, "execution_reserved", Outcome::Error, why, next)
}

/// Whether the store refuses a second put of a key.
pub(crate) fn write_once(phase: &Phase, canary: &Result<CanaryReceipt, PublishError>) -> Finding {
    match canary {
        Ok(receipt) => {
            let why = format!("{} was put twice; the second put was refused", receipt.first.name);
            let mut finding = phase_finding(phase.id, "store_write_once", Outcome::Met, why, "");
            finding.control = Control::Refused("the second put itself is the control".to_owned());
            finding
        }
        Err(error) => {
            let outcome = match error {
                PublishError::NotWriteOnce { .. } => Outcome::Unmet,
                _ => Outcome::Error,
            };
            phase_finding(
                phase.id,
                "store_write_once",
                outcome,
                error.to_string(),
                "use a store that honours `If-None-Match: *`; evidence in this one could be overwritten",
            )
        }
    }
}

/// Evidence that could not be put, while a lane was not at work: what is not proven durable holds the gate. Where something
/// is open already, it stands under that code.
pub(crate) fn unwritten(phase: &Phase, error: &PublishError, known: &[Finding]) -> Finding {
    let mut finding = phase_finding(
        phase.id,
        "evidence_unwritten",
        Outcome::Error,
        error.to_string(),
        "do what the message says, then run the gate again: evidence that is not durable proves nothing",
    );
    if let Some(open) = known.iter().find(|f| judge::opens(f)) {
        finding.outcome = Outcome::Blocked;
        finding.blocked_by = Some(open.code.clone());
    }
    finding
}

/// An earlier execution that was named to go on from, and cannot be.
pub(crate) fn resume_refused(phase: &Phase, id: &str, why: &str) -> Finding {
    phase_finding(
        phase.id,
        "resume_refused",
        Outcome::Unmet,
        format!("{id} cannot be gone on from: {why}"),
        "run the gate anew, without PHASEGATE_RESUME: a new execution has a new run id",
    )
}

/// A file that was withheld because a secret is in it. Where a check has found that already, its code
/// says so, and this finding is blocked by it.
pub(crate) fn withheld(phase: &Phase, error: &PublishError, known: &[Finding]) -> Finding {
    let mut finding = phase_finding(
        phase.id,
        "secret_withheld",
        Outcome::Unmet,
        error.to_string(),
        "take the secret out of its source, and rotate it",
    );
    if let Some(open) = known.iter().find(|f| judge::opens(f)) {
        finding.outcome = Outcome::Blocked;
        finding.blocked_by = Some(open.code.clone());
    }
    finding
}

/// Problems of the plan and of its codes, each a finding that holds the gate.
#[must_use]
pub fn plan_findings(phase: &Phase, plan: &Plan, errors: &[crate::plan::PlanError]) -> Vec<Finding> {
    let asks_nothing = asks_nothing(plan);
    let mut findings: Vec<Finding> = errors
        .iter()
        .filter(|error| !(asks_nothing && error.kind == PlanErrorKind::NoCases))
        .map(|error| {
            let line = match error.line.trim() {
                "" => String::new(),
                line => format!(": `{line}`"),
            };
            let why = format!("{}: {}{line}", error.place, error.kind);
            phase_finding(phase.id, "plan_error", Outcome::Error, why, error.kind.help())
        })
        .collect();
    if asks_nothing {
        findings.push(phase_finding(
            phase.id,
            "no_case",
            Outcome::Error,
            format!("{} has neither a box nor a Verify-ID: it asks nothing", plan.source.path.display()),
            "write the phase's Definition-of-Done boxes; a gate that asks nothing never advances",
        ));
    }
    if phase.lanes.is_empty() {
        findings.push(phase_finding(
            phase.id,
            "no_gate",
            Outcome::Unsupported,
            format!("this version has no gate for {} {}", phase.track, phase.id),
            "use a version that has one; its cases are listed, and unbound",
        ));
    }
    for code in judge::asked_codes(phase) {
        if plan.code(code).is_none() && !plan.codes.is_empty() && !asks_nothing {
            findings.push(phase_finding(
                phase.id,
                CODE_UNDEFINED,
                Outcome::Unmet,
                format!("a check asks for {code}, which {} does not define", plan.source.path.display()),
                format!(
                    "define {code} in the plan's blocker taxonomy, or use the version of phasegate that knows this plan"
                ),
            ));
        }
    }
    findings
}
