//! The verdict and the open codes, out of findings.

use std::collections::{BTreeMap, BTreeSet};

use support::run::check::derived_code;
use support::run::finding::{Control, Finding, Outcome};
use support::run::outcome::{Cause, Decidable, Decision, Mode, OpenCode, Spot, Verdict};

use crate::entail;

/// Decides. Pure: the order of the findings does not matter.
///
/// - A finding that is unmet, unsupported or an error opens its code; a blocked one opens none.
/// - A predicate is true only when it names checks, and each of them has findings, all met.
/// - `Hold` when a finding is not met, a predicate fails, a case is known not to pass, or there is
///   no finding at all. In a filtered run a predicate whose checks were merely not asked is false,
///   and yet no reason to hold.
/// - Else `Partial` unless all cases are selected, else `Advance` (commit) or `WouldAdvance`.
pub(crate) fn decide(facts: &Decidable<'_>) -> Decision {
    let (roots, entailed) = open_codes(facts);
    let mut predicates = BTreeMap::new();
    let mut refuted = false;
    for (name, checks) in facts.predicates {
        let shown = Shown::of(checks, facts.findings);
        refuted |= shown == Shown::Refuted || (facts.whole && shown != Shown::Met);
        *predicates.entry(name.clone()).or_insert(true) &= shown == Shown::Met;
    }
    // A code is open only by a finding that is not met, so this covers the open codes too.
    let all_met = !facts.findings.is_empty() && facts.findings.iter().all(is_met);
    let verdict = if !all_met || refuted || !facts.cases_pass {
        Verdict::Hold
    } else if !facts.whole {
        Verdict::Partial
    } else {
        match facts.mode {
            Mode::Commit => Verdict::Advance,
            Mode::Preflight => Verdict::WouldAdvance,
        }
    };
    Decision { verdict, predicates, roots, entailed }
}

/// Whether a finding counts as met: a check whose negative control passed cannot fail, so its
/// answer counts for nothing, whatever it says.
pub(crate) fn is_met(finding: &Finding) -> bool {
    finding.outcome == Outcome::Met && finding.control != Control::Passed
}

/// The code that a finding opens, where it opens one.
pub(crate) fn opened_code(finding: &Finding) -> Option<String> {
    if is_met(finding) || finding.outcome == Outcome::Blocked {
        return None;
    }
    // A finding without a code must not open a code without a name.
    Some(match finding.code.trim() {
        "" => derived_code(&finding.lane, &finding.check),
        code => code.to_owned(),
    })
}

/// What the findings say of a predicate.
#[derive(PartialEq, Eq)]
enum Shown {
    Met,
    /// A check of it was not asked.
    Missing,
    /// A check of it is not met, or it names none.
    Refuted,
}

impl Shown {
    fn of(checks: &[(String, String)], findings: &[Finding]) -> Self {
        let mut missing = false;
        for (check, lane) in checks {
            let mut asked = findings.iter().filter(|f| f.check == *check && f.lane == *lane).peekable();
            missing |= asked.peek().is_none();
            if !asked.all(is_met) {
                return Self::Refuted;
            }
        }
        match (checks.is_empty(), missing) {
            (true, _) => Self::Refuted,
            (false, true) => Self::Missing,
            (false, false) => Self::Met,
        }
    }
}

/// Roots and entailed codes, each by code.
fn open_codes(facts: &Decidable<'_>) -> (Vec<OpenCode>, Vec<OpenCode>) {
    let mut causes: BTreeMap<String, Vec<Cause>> = BTreeMap::new();
    for finding in facts.findings {
        if let Some(code) = opened_code(finding) {
            causes.entry(code).or_default().push(cause(finding));
        }
    }
    let opened: BTreeSet<&str> = causes.keys().map(String::as_str).collect();
    let sorted = entail::sort(&opened, facts.entails);
    let describe = |code: &str, by: Vec<String>| {
        open_code(code, by, causes.get(code).cloned().into_iter().flatten().collect(), facts)
    };
    let roots = sorted.roots.iter().map(|code| describe(code, Vec::new())).collect();
    let entailed = sorted.entailed.iter().map(|(code, by)| describe(code, by.iter().cloned().collect())).collect();
    (roots, entailed)
}

fn cause(finding: &Finding) -> Cause {
    let outcome = match finding.outcome {
        Outcome::Met => Outcome::Error,
        other => other,
    };
    Cause {
        check: finding.check.clone(),
        lane: finding.lane.clone(),
        outcome,
        observed: finding.why.clone(),
        next: finding.next.clone(),
    }
}

fn open_code(code: &str, entailed_by: Vec<String>, mut causes: Vec<Cause>, facts: &Decidable<'_>) -> OpenCode {
    causes.sort_by(|a, b| sort_key(a).cmp(&sort_key(b)));
    causes.dedup();
    let definition = facts.definitions.iter().find(|(defined, ..)| defined == code);
    let (meaning, defined_at): (String, Option<Spot>) = match definition {
        Some((_, meaning, place)) => (meaning.clone(), Some(place.clone())),
        None => (own_meaning(&causes, &entailed_by), None),
    };
    let lanes: BTreeSet<String> = causes.iter().map(|c| c.lane.clone()).collect();
    OpenCode {
        code: code.to_owned(),
        derived: definition.is_none(),
        entailed_by,
        meaning,
        defined_at,
        lanes: lanes.into_iter().collect(),
        causes,
    }
}

fn sort_key(cause: &Cause) -> (&str, &str, Outcome, &str, &str) {
    (&cause.lane, &cause.check, cause.outcome, &cause.observed, &cause.next)
}

/// What a code means that the plan does not define.
fn own_meaning(causes: &[Cause], entailed_by: &[String]) -> String {
    let checks: BTreeSet<String> = causes.iter().map(|c| format!("`{}` of {}", c.check, c.lane)).collect();
    let checks = checks.into_iter().collect::<Vec<_>>().join(", ");
    match (causes.first(), entailed_by) {
        (Some(_), _) => format!("the plan has no code for this: {checks} must be met"),
        (None, by) => format!("the plan has no such code; it follows from {}", by.join(", ")),
    }
}
