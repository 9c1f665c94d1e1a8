//! What a failed case says: what was required and where, what was observed, the code, the one next
//! step, and how to run it again.

use crate::run::finding::Finding;
use crate::run::outcome::CaseOutcome;

/// The message of a case that did not pass.
#[must_use]
pub fn of_case(case: &CaseOutcome) -> String {
    let mut lines = Vec::new();
    if case.false_claim {
        lines.push(format!("FALSE CLAIM: {} is ticked, and it is not so", case.place));
    }
    lines.push(format!("required  {} ({})", case.text, case.place));
    match case.proofs.iter().find(|p| !p.stands) {
        Some(proof) => {
            lines.push(format!("observed  {} {}: {}", proof.check, proof.outcome.word(), proof.why));
            lines.push(format!("code      {}", proof.code));
            lines.push(format!("next      {}", proof.next));
        }
        None => lines.push(format!("state     {}", case.state.word())),
    }
    let more = case.proofs.iter().filter(|p| !p.stands).count().saturating_sub(1);
    if more > 0 {
        lines.push(format!("          and {more} more of its proofs do not stand; see findings.json"));
    }
    lines.push(format!("again     {}", case.rerun));
    lines.join("\n")
}

/// How many findings a message spells out; `findings.json` has them all.
const MOST_FINDINGS: usize = 5;

/// The message of the phase's own case.
#[must_use]
pub fn of_findings(findings: &[&Finding]) -> String {
    let mut said: Vec<String> = findings
        .iter()
        .take(MOST_FINDINGS)
        .map(|f| {
            let code = f.blocked_by.as_ref().unwrap_or(&f.code);
            format!("observed  {}: {}\ncode      {code}\nnext      {}", f.outcome.word(), f.why, f.next)
        })
        .collect();
    if findings.len() > MOST_FINDINGS {
        said.push(format!("and {} more; see findings.json", findings.len() - MOST_FINDINGS));
    }
    said.join("\n")
}
