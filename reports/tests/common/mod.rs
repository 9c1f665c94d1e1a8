//! Outcomes built by hand. Only the bytes of support's types are used: nothing here is computed by the code under test,
//! the decision excepted, which `decided` asks of it.

use std::path::PathBuf;

use phasegate_reports::Reports;
use support::run::clock::Instant;
use support::run::finding::{Basis, Control, Finding, Outcome};
use support::run::observation::ObservationRef;
use support::run::outcome::*;

pub const PLAN: &str = "docs/plans/platform.M3.build_plan.md";

pub fn finding(lane: &str, check: &str, code: &str, outcome: Outcome) -> Finding {
    let met = outcome == Outcome::Met;
    Finding {
        check: check.into(),
        lane: lane.into(),
        code: code.into(),
        derived: code.starts_with("PG-"),
        outcome,
        basis: Basis::Observed,
        why: if met { format!("{check} is so") } else { format!("{check} is not so") },
        next: if met { String::new() } else { format!("make {check} so") },
        blocked_by: None,
        control: if met { Control::Refused("doctored".into()) } else { Control::NotRun },
        observations: vec![ObservationRef { lane: lane.into(), name: check.to_uppercase(), digest: "0a".repeat(32) }],
    }
}

pub fn blocked(lane: &str, check: &str, code: &str, by: &str) -> Finding {
    Finding {
        blocked_by: Some(by.into()),
        why: format!("{lane} did not run"),
        next: format!("close {by}"),
        observations: Vec::new(),
        ..finding(lane, check, code, Outcome::Blocked)
    }
}

pub fn spot(line: usize) -> Spot {
    Spot { path: PLAN.into(), line }
}

pub fn case(name: &str, lane: &str, line: usize, proofs: &[&Finding], ticked: Option<bool>) -> CaseOutcome {
    let proofs: Vec<ProofOutcome> = proofs.iter().map(|f| proof(f)).collect();
    let passed = !proofs.is_empty() && proofs.iter().all(|p| p.stands);
    CaseOutcome {
        name: format!("dev_min::{lane}::{name}"),
        kind: if ticked.is_some() { CaseKind::Dod } else { CaseKind::Row },
        lane: lane.into(),
        text: format!("{} are shown.", name.replace('_', " ")),
        place: spot(line),
        ticked,
        state: if passed { CaseState::Passed } else { CaseState::Failed },
        basis: passed.then_some(Basis::Observed),
        proofs,
        false_claim: ticked == Some(true) && !passed,
        rerun: format!("cargo test --test m3 -- --exact 'dev_min::{lane}::{name}'"),
    }
}

fn proof(finding: &Finding) -> ProofOutcome {
    ProofOutcome {
        lane: finding.lane.clone(),
        check: finding.check.clone(),
        refusal: false,
        stands: finding.outcome == Outcome::Met,
        outcome: finding.outcome,
        code: finding.blocked_by.clone().unwrap_or_else(|| finding.code.clone()),
        why: finding.why.clone(),
        next: finding.next.clone(),
    }
}

pub fn lane(lane: &str, state: LaneState, met: usize, checks: usize, said: &str) -> LaneOutcome {
    LaneOutcome {
        lane: lane.into(),
        title: format!("Title of {lane}"),
        execution_id: format!("{}_20260213T214223Z", lane.to_lowercase().replace('.', "")),
        state,
        met,
        checks,
        said: said.into(),
    }
}

pub fn definitions() -> Vec<(String, String, Spot)> {
    [
        ("M3A-B1", "the equivalence key is still a placeholder", 178),
        ("M3-B1", "an equivalence key that is not pinned", 276),
    ]
    .into_iter()
    .chain([("M3-B2", "the run id is taken, or has another form", 277)])
    .map(|(code, meaning, line)| (code.to_owned(), meaning.to_owned(), spot(line)))
    .collect()
}

pub fn entails(entries: &[(&str, &str, bool)]) -> Vec<Entails> {
    let entry = |(root, code, only_if_open): &(&str, &str, bool)| Entails {
        root: (*root).to_owned(),
        code: (*code).to_owned(),
        only_if_open: *only_if_open,
    };
    entries.iter().map(entry).collect()
}

pub fn predicates(entries: &[(&str, &[(&str, &str)])]) -> Vec<(String, Vec<(String, String)>)> {
    let checks = |list: &[(&str, &str)]| list.iter().map(|(c, l)| ((*c).to_owned(), (*l).to_owned())).collect();
    entries.iter().map(|(name, list)| ((*name).to_owned(), checks(list))).collect()
}

/// The outcome of these findings, cases and lanes, decided by the code under test.
pub fn decided(mode: Mode, findings: Vec<Finding>, cases: Vec<CaseOutcome>, lanes: Vec<LaneOutcome>) -> PhaseOutcome {
    let predicates = predicates(&[
        ("handles_closed", &[("handles.closed", "M3.A"), ("equivalence_key.pinned", "M3.A")]),
        ("run_id_collision_free", &[("run_id.free", "M3.B")]),
    ]);
    let decision = Reports.decide(&Decidable {
        phase: "M3",
        mode,
        whole: cases.iter().all(|c| c.state != CaseState::NotSelected),
        findings: &findings,
        predicates: &predicates,
        cases_pass: cases.iter().all(|c| matches!(c.state, CaseState::Passed | CaseState::NotSelected)),
        definitions: &definitions(),
        entails: &entails(&[("M3A-B1", "M3-B1", false)]),
    });
    PhaseOutcome {
        schema: PhaseOutcome::SCHEMA.into(),
        track: "dev_min".into(),
        phase: "M3".into(),
        next_phase: "M4".into(),
        execution_id: "m3_20260213T214223Z".into(),
        basis: RunBasis::Rehearsal,
        mode,
        substrate: "embedded".into(),
        account: Some("000000000000".into()),
        platform_run_id: Some("platform_20260213T214223Z".to_owned()),
        written_at_utc: Instant::parse("2026-02-13T21:42:23Z").unwrap(),
        version: "0.1.0".into(),
        inputs: vec![InputDigest { role: "plan".into(), path: PLAN.into(), sha256: "1b".repeat(32) }],
        trusted_unverified: vec!["runs/m2/m2_readiness.json (no digest was ever recorded)".into()],
        notes: vec!["the plan lists docs/design.md, which is not there; nothing reads it".into()],
        lanes,
        findings,
        cases,
        register: Vec::new(),
        decision,
        resumed: None,
        required_of_a_person: vec!["USER confirms progression to M4".into()],
        folder: PathBuf::from("target/phasegate/dev_min/m3/m3_20260213T214223Z"),
        files: vec![
            file("observations.json", None),
            file("m3a_20260213T214223Z/m3a_handles.json", Some("s3://evidence/m3a_handles.json")),
            file("findings.json", None),
        ],
    }
}

fn file(path: &str, uri: Option<&str>) -> EvidenceFile {
    EvidenceFile { path: path.into(), sha256: "2c".repeat(32), uri: uri.map(str::to_owned) }
}

/// Everything is met.
pub fn advance(mode: Mode) -> PhaseOutcome {
    let plan = finding("M3", "plan.complete", "PG-M3-plan_complete", Outcome::Met);
    let handles = finding("M3.A", "handles.closed", "M3-B1", Outcome::Met);
    let key = finding("M3.A", "equivalence_key.pinned", "M3A-B1", Outcome::Met);
    let free = finding("M3.B", "run_id.free", "M3-B2", Outcome::Met);
    let cases = vec![
        case("dod-1::required_handles", "M3.A", 141, &[&handles, &key], Some(false)),
        case("M3A_V1_HANDLE_KEY", "M3.A", 150, &[&handles], None),
        case("dod-1::collision_probes", "M3.B", 201, &[&free], Some(true)),
    ];
    let lanes = vec![
        lane("M3.A", LaneState::Closed, 2, 2, "16 of 16 handles resolved; the equivalence key is pinned"),
        lane("M3.B", LaneState::Closed, 1, 1, "platform_20260213T214223Z is free: no version under its prefix"),
    ];
    decided(mode, vec![plan, handles, key, free], cases, lanes)
}

/// The plan's register lists a code, so no lane executed; document checks found it still there.
pub fn held_by_register() -> PhaseOutcome {
    let register = Finding {
        why: "section 8.1 lists `M3A-B1`".into(),
        next: "pin SCENARIO_EQUIVALENCE_KEY_INPUT in the registry, then empty the register".into(),
        ..finding("M3", "register.empty", "M3A-B1", Outcome::Unmet)
    };
    let key = Finding {
        why: "SCENARIO_EQUIVALENCE_KEY_INPUT is `<PIN_AT_P1_PHASE_ENTRY>` at registry.md:92".into(),
        next: "pin SCENARIO_EQUIVALENCE_KEY_INPUT in the registry, then empty the register".into(),
        ..finding("M3.A", "equivalence_key.pinned", "M3-B1", Outcome::Unmet)
    };
    let handles = finding("M3.A", "handles.closed", "M3-B1", Outcome::Met);
    let free = blocked("M3.B", "run_id.free", "M3-B2", "M3A-B1");
    let cases = vec![
        case("dod-1::required_handles", "M3.A", 141, &[&handles, &key], Some(true)),
        case("M3A_V1_HANDLE_KEY", "M3.A", 150, &[&handles], None),
        case("dod-1::collision_probes", "M3.B", 201, &[&free], Some(false)),
    ];
    let lanes = vec![
        lane("M3.A", LaneState::Held, 1, 2, "documents only: the equivalence key is a placeholder"),
        lane("M3.B", LaneState::Blocked, 0, 1, "by M3A-B1"),
    ];
    let mut outcome = decided(Mode::Commit, vec![register, key, handles, free], cases, lanes);
    outcome.register = vec![RegisterClaim {
        code: "M3A-B1".into(),
        place: spot(352),
        ready_to_close: false,
        measured: "`equivalence_key.pinned` is unmet".into(),
    }];
    outcome
}

/// S3 refused a call; what rests on it is blocked, one case is unbound, one entry can be closed.
pub fn held_by_error() -> PhaseOutcome {
    let handles = Finding {
        why: "s3api head-bucket s3://evidence: denied (403) after 1 attempt".into(),
        next: "allow `s3api head-bucket` to the identity that `aws sts get-caller-identity` shows".into(),
        ..finding("M3.A", "handles.closed", "PG-M3.A-bucket_reachable", Outcome::Error)
    };
    let key = finding("M3.A", "equivalence_key.pinned", "M3A-B1", Outcome::Met);
    let free = blocked("M3.B", "run_id.free", "M3-B2", "PG-M3.A-bucket_reachable");
    let mut unbound = case("dod-2::a_new_box", "M3.B", 202, &[], Some(false));
    unbound.state = CaseState::Unbound;
    let cases = vec![
        case("dod-1::required_handles", "M3.A", 141, &[&handles, &key], Some(false)),
        case("dod-1::collision_probes", "M3.B", 201, &[&free], Some(false)),
        unbound,
    ];
    let lanes = vec![
        lane("M3.A", LaneState::Held, 1, 2, "1 call gave no answer"),
        lane("M3.B", LaneState::Blocked, 0, 1, "by PG-M3.A-bucket_reachable"),
    ];
    let mut outcome = decided(Mode::Preflight, vec![handles, key, free], cases, lanes);
    outcome.register = vec![RegisterClaim {
        code: "M3A-B1".into(),
        place: spot(352),
        ready_to_close: true,
        measured: "`equivalence_key.pinned` is met".into(),
    }];
    outcome
}
