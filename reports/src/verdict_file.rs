//! `verdict.json`: the outcome in short, with the digest of every other file.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use support::run::finding::Basis;
use support::run::outcome::{CaseState, EvidenceFile, InputDigest, Mode, PhaseOutcome, RenderError, Resumed, Verdict};

use crate::{VERDICT, audit};

/// Version of the document.
const SCHEMA: &str = "phasegate.verdict/1";

/// The document.
#[derive(Debug, Serialize)]
pub(crate) struct Document<'a> {
    schema: &'static str,
    track: &'a str,
    phase: &'a str,
    next_phase: &'a str,
    execution_id: &'a str,
    /// `ADVANCE_TO_M4`, `WOULD_ADVANCE`, `HOLD_M3` or `PARTIAL`.
    verdict: String,
    /// `live` or `rehearsal`.
    basis: &'static str,
    mode: Mode,
    substrate: &'a str,
    account: Option<&'a str>,
    /// The run that the execution pinned.
    platform_run_id: Option<&'a str>,
    written_at_utc: String,
    version: &'a str,
    predicates: &'a BTreeMap<String, bool>,
    /// The open codes that stand for themselves.
    roots: Vec<&'a str>,
    /// The open codes that follow, each with its roots.
    entailed: BTreeMap<&'a str, &'a [String]>,
    /// Why there is no advance; empty where there is one.
    objections: Vec<String>,
    cases: Counts,
    inputs: &'a [InputDigest],
    trusted_unverified: &'a [String],
    /// Steps that stay with a person. They are required; nothing here says that they were taken.
    required_of_a_person: &'a [String],
    /// What was taken over from an earlier execution.
    #[serde(skip_serializing_if = "Option::is_none")]
    resumed: Option<&'a Resumed>,
    /// Every other file of the execution, by path.
    files: Vec<&'a EvidenceFile>,
}

#[derive(Debug, Serialize)]
struct Counts {
    total: usize,
    passed: usize,
    failed: usize,
    unbound: usize,
    stale: usize,
    orphan: usize,
    not_selected: usize,
    false_claims: usize,
    /// On what the passed ones rest, each by the weakest of its proofs.
    passed_by_basis: BTreeMap<Basis, usize>,
}

/// The verdict's document.
///
/// # Errors
/// When the outcome is of another version, when its verdict says more than it holds, or when its
/// list of files cannot be relied on.
pub(crate) fn document(outcome: &PhaseOutcome) -> Result<Document<'_>, RenderError> {
    let refuse = |why: String| RenderError { name: VERDICT.to_owned(), why };
    crate::known_version(VERDICT, outcome)?;
    let objections = audit::objections(outcome);
    let decided = outcome.decision.verdict;
    if matches!(decided, Verdict::Advance | Verdict::WouldAdvance) && !objections.is_empty() {
        return Err(refuse(format!("it says {} although {}", outcome.verdict(), objections.join("; "))));
    }
    let files = files(&outcome.files).map_err(refuse)?;
    Ok(Document {
        schema: SCHEMA,
        track: &outcome.track,
        phase: &outcome.phase,
        next_phase: &outcome.next_phase,
        execution_id: &outcome.execution_id,
        verdict: audit::verdict_text(outcome),
        basis: outcome.basis.word(),
        mode: outcome.mode,
        substrate: &outcome.substrate,
        account: outcome.account.as_deref(),
        platform_run_id: outcome.platform_run_id.as_deref(),
        written_at_utc: outcome.written_at_utc.rfc3339(),
        version: &outcome.version,
        predicates: &outcome.decision.predicates,
        roots: outcome.decision.roots.iter().map(|c| c.code.as_str()).collect(),
        entailed: outcome.decision.entailed.iter().map(|c| (c.code.as_str(), c.entailed_by.as_slice())).collect(),
        objections,
        cases: counts(outcome),
        inputs: &outcome.inputs,
        trusted_unverified: &outcome.trusted_unverified,
        required_of_a_person: &outcome.required_of_a_person,
        resumed: outcome.resumed.as_ref(),
        files,
    })
}

fn counts(outcome: &PhaseOutcome) -> Counts {
    let count = |state| audit::count(outcome, state);
    Counts {
        total: outcome.cases.len(),
        passed: count(CaseState::Passed),
        failed: count(CaseState::Failed),
        unbound: count(CaseState::Unbound),
        stale: count(CaseState::Stale),
        orphan: count(CaseState::Orphan),
        not_selected: count(CaseState::NotSelected),
        false_claims: outcome.cases.iter().filter(|c| c.false_claim).count(),
        passed_by_basis: outcome.cases.iter().filter(|c| c.state == CaseState::Passed).filter_map(|c| c.basis).fold(
            BTreeMap::new(),
            |mut by_basis, basis| {
                *by_basis.entry(basis).or_default() += 1;
                by_basis
            },
        ),
    }
}

/// The files by path. A path twice, the verdict itself, or a digest that is none would make the
/// list a promise that nobody can check.
fn files(files: &[EvidenceFile]) -> Result<Vec<&EvidenceFile>, String> {
    let mut seen = BTreeSet::new();
    for file in files {
        if file.path == VERDICT {
            return Err(format!("it cannot list its own digest ({VERDICT} is among the files)"));
        }
        if !seen.insert(&file.path) {
            return Err(format!("two files are called {}", file.path));
        }
        let is_digest = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
        if file.sha256.len() != 64 || !file.sha256.chars().all(is_digest) {
            return Err(format!("`{}` is not the SHA-256 of {}", file.sha256, file.path));
        }
    }
    let mut sorted: Vec<&EvidenceFile> = files.iter().collect();
    sorted.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(sorted)
}
