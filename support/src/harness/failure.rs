//! What a failed case says: what was required and where, what was observed, the code, the one next
//! step, and how to run it again. Each line begins with a word of ours, and what plans and servers say
//! stays on its line: GitHub's runner obeys lines that begin with `::`, and machines read verdict lines.

use crate::run::finding::Finding;
use crate::run::outcome::CaseOutcome;
use crate::text::one_line;

/// The message of a case that did not pass.
#[must_use]
pub fn of_case(case: &CaseOutcome) -> String {
    let mut lines = Vec::new();
    if case.false_claim {
        lines.push(format!("FALSE CLAIM: {} is ticked, and it is not so", case.place));
    }
    lines.push(format!("required  {} ({})", one_line(&case.text), case.place));
    match case.proofs.iter().find(|p| !p.stands) {
        Some(proof) => {
            lines.push(format!("observed  {} {}: {}", proof.check, proof.outcome.word(), one_line(&proof.why)));
            lines.push(format!("code      {}", proof.code));
            lines.push(format!("next      {}", one_line(&proof.next)));
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

/// The message of a gate that could not be run.
#[must_use]
pub fn of_error(why: &str) -> String {
    format!("error     {}", one_line(why))
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
            let (why, next) = (one_line(&f.why), one_line(&f.next));
            format!("observed  {}: {why}\ncode      {code}\nnext      {next}", f.outcome.word())
        })
        .collect();
    if findings.len() > MOST_FINDINGS {
        said.push(format!("and {} more; see findings.json", findings.len() - MOST_FINDINGS));
    }
    said.join("\n")
}
