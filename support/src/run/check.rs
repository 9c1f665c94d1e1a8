//! Checks: pure functions of observations, each with one blocker code and one negative control.

use std::borrow::Cow;

use serde::de::DeserializeOwned;

use super::finding::{Basis, Control, Finding, Outcome};
use super::observation::{Observations, Unreadable};
use crate::image;
use crate::substrate::reply::CallErrorKind;

/// Why a check is not met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unmet {
    /// What was observed instead, in a sentence.
    pub why: String,
    /// The next edit or command, where it depends on what was observed; else the check's own.
    pub next: Option<String>,
    /// The code that already says why, where another check names the cause: then this one is
    /// `blocked` by it and opens nothing.
    pub blocked_by: Option<Cow<'static, str>>,
}

impl From<String> for Unmet {
    fn from(why: String) -> Self {
        Self { why, next: None, blocked_by: None }
    }
}

impl From<&str> for Unmet {
    fn from(why: &str) -> Self {
        Self::from(why.to_owned())
    }
}

impl Unmet {
    /// Not decidable, because of what the check behind `code` says.
    #[must_use]
    pub fn blocked_by(code: impl Into<Cow<'static, str>>, why: impl Into<String>) -> Self {
        Self { why: why.into(), next: None, blocked_by: Some(code.into()) }
    }

    /// Names the next edit or command.
    #[must_use]
    pub fn next(mut self, next: impl Into<String>) -> Self {
        self.next = Some(next.into());
        self
    }
}

/// `Ok` says what was observed; `Err` says why that is not enough.
pub type Judged = Result<String, Unmet>;

/// Returns from a check with a reason, unless the condition holds.
#[macro_export]
macro_rules! ensure {
    ($condition:expr, $($reason:tt)+) => {
        if !$condition {
            return Err($crate::run::check::Unmet::from(format!($($reason)+)));
        }
    };
}

/// Where a check's code comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CodeSource {
    /// A code of the plan's own taxonomy.
    Plan(&'static str),
    /// The plan has none for this: `PG-<lane>-<name>`.
    Derived(&'static str),
}

/// A pure function of observations that is met or unmet.
pub struct Check<T: 'static> {
    name: &'static str,
    code: CodeSource,
    reads: &'static [&'static str],
    judge: fn(&T) -> Judged,
    control: fn(&mut T),
    basis: Basis,
    next: &'static str,
}

impl<T: DeserializeOwned + 'static> Check<T> {
    /// A check `name` that reads the observations `reads` (one name: the value itself; several: a
    /// tuple) and opens `code` when it is not met. `control` doctors the observations so that the
    /// check must refuse them; it runs in every execution.
    #[must_use]
    pub const fn new(
        name: &'static str,
        code: &'static str,
        reads: &'static [&'static str],
        judge: fn(&T) -> Judged,
        control: fn(&mut T),
    ) -> Self {
        Self { name, code: CodeSource::Plan(code), reads, judge, control, basis: Basis::Observed, next: "" }
    }

    /// A check for which the plan has no code: it opens `PG-<lane>-<derived>`.
    #[must_use]
    pub const fn derived(
        name: &'static str,
        derived: &'static str,
        reads: &'static [&'static str],
        judge: fn(&T) -> Judged,
        control: fn(&mut T),
    ) -> Self {
        Self { name, code: CodeSource::Derived(derived), reads, judge, control, basis: Basis::Observed, next: "" }
    }

    /// Says on what the check rests; `Observed` unless told.
    #[must_use]
    pub const fn basis(mut self, basis: Basis) -> Self {
        self.basis = basis;
        self
    }

    /// Says what to do when the check is not met.
    #[must_use]
    pub const fn next(mut self, next: &'static str) -> Self {
        self.next = next;
        self
    }

    /// Proof of a requirement: the check is met.
    #[must_use]
    pub const fn holds(&'static self) -> Proof {
        Proof::Holds(self)
    }

    /// Proof of a requirement: the check's negative control was refused in this execution.
    #[must_use]
    pub const fn refusal(&'static self) -> Proof {
        Proof::Refused(self)
    }
}

/// How a requirement is shown.
#[derive(Clone, Copy)]
pub enum Proof {
    /// By the check being met.
    Holds(&'static dyn AnyCheck),
    /// By the check's negative control having been refused.
    Refused(&'static dyn AnyCheck),
    /// By every check of a lane being met.
    Lane(&'static str),
}

/// A check of any facts.
pub trait AnyCheck: Sync {
    /// Its name, unique within the phase.
    fn name(&self) -> &'static str;
    /// The code that it asks for.
    fn code(&self) -> CodeSource;
    /// The names of the observations that it reads.
    fn reads(&self) -> &'static [&'static str];
    /// On what it rests.
    fn basis(&self) -> Basis;
    /// What to do when it is not met, unless what was observed says more.
    fn next(&self) -> &'static str;
    /// Decides on the observations of `lane`.
    fn judge(&self, lane: &str, observations: &Observations) -> Finding;
}

impl<T: DeserializeOwned + 'static> AnyCheck for Check<T> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn code(&self) -> CodeSource {
        self.code
    }

    fn reads(&self) -> &'static [&'static str] {
        self.reads
    }

    fn basis(&self) -> Basis {
        self.basis
    }

    fn next(&self) -> &'static str {
        self.next
    }

    fn judge(&self, lane: &str, observations: &Observations) -> Finding {
        let (code, derived) = match self.code {
            CodeSource::Plan(code) => (code.to_owned(), false),
            CodeSource::Derived(name) => (derived_code(lane, name), true),
        };
        let mut finding = Finding {
            check: self.name.to_owned(),
            lane: lane.to_owned(),
            code,
            derived,
            outcome: Outcome::Error,
            basis: self.basis,
            why: String::new(),
            next: self.next.to_owned(),
            blocked_by: None,
            control: Control::NotRun,
            observations: Vec::new(),
        };
        let (mut facts, refs) = match observations.facts::<T>(lane, self.reads) {
            Ok(read) => read,
            Err(unreadable) => {
                unread(&mut finding, unreadable);
                return finding;
            }
        };
        finding.observations = refs;
        match (self.judge)(&facts) {
            Ok(why) => {
                finding.outcome = Outcome::Met;
                finding.why = why;
            }
            Err(unmet) => {
                finding.outcome = if unmet.blocked_by.is_some() { Outcome::Blocked } else { Outcome::Unmet };
                finding.blocked_by = unmet.blocked_by.map(Cow::into_owned);
                finding.why = unmet.why;
                if let Some(next) = unmet.next {
                    finding.next = next;
                }
            }
        }
        (self.control)(&mut facts);
        finding.control = match (self.judge)(&facts) {
            Err(unmet) => Control::Refused(unmet.why),
            Ok(_) => Control::Passed,
        };
        if finding.control == Control::Passed {
            finding.outcome = Outcome::Error;
            finding.why =
                format!("the negative control of `{}` was not refused, so its answer counts for nothing", self.name);
            "report this as a defect of phasegate, with findings.json".clone_into(&mut finding.next);
        }
        finding
    }
}

/// `PG-M3.A-handoff_readable`.
#[must_use]
pub fn derived_code(lane: &str, name: &str) -> String {
    format!("PG-{lane}-{name}")
}

fn unread(finding: &mut Finding, unreadable: Unreadable) {
    match unreadable {
        Unreadable::Missing(name) => {
            finding.why = format!("{} made no observation `{name}`", finding.lane);
        }
        Unreadable::Shape(why) => {
            finding.why = format!("an observation has another shape than the check reads: {why}");
            "run the gate again; observations of another version of phasegate cannot be judged"
                .clone_into(&mut finding.next);
        }
        Unreadable::Failed(error) => {
            finding.outcome = match error.kind {
                // An answer that cannot be read is no true answer of that substrate either.
                CallErrorKind::Unsupported | CallErrorKind::Malformed => Outcome::Unsupported,
                _ => Outcome::Error,
            };
            finding.next = next_after(&error.service, &error.operation, error.kind);
            finding.why = error.to_string();
        }
    }
}

fn next_after(service: &str, operation: &str, kind: CallErrorKind) -> String {
    match service {
        image::ENGINE => after_engine(operation, kind),
        image::REGISTRY => after_registry(operation, kind),
        _ => after_aws(service, operation, kind),
    }
}

fn after_engine(operation: &str, kind: CallErrorKind) -> String {
    match kind {
        CallErrorKind::Denied => {
            format!("allow `docker {operation}` to whoever runs the gate: the engine's socket, or the registry's login")
        }
        CallErrorKind::TimedOut | CallErrorKind::Unreachable => {
            "see that `docker version` answers, and that DOCKER_HOST names that engine, then run the gate again"
                .to_owned()
        }
        _ => format!("run `docker {operation}` by hand and read what it answers"),
    }
}

fn after_registry(operation: &str, kind: CallErrorKind) -> String {
    match kind {
        CallErrorKind::Denied => format!("allow the {operation} to the login that `aws ecr get-login-password` gives"),
        CallErrorKind::TimedOut | CallErrorKind::Unreachable => {
            "see that the registry answers at `/v2/`, and that PHASEGATE_REGISTRY, where it is set, names it".to_owned()
        }
        _ => {
            format!("ask the registry for the {operation} by hand, `docker manifest inspect`, and read what it answers")
        }
    }
}

fn after_aws(service: &str, operation: &str, kind: CallErrorKind) -> String {
    match kind {
        CallErrorKind::Denied => format!(
            "allow `{service} {operation}` to the identity that `aws sts get-caller-identity` shows, or use another"
        ),
        CallErrorKind::Unsupported | CallErrorKind::Malformed => {
            format!("run the gate on a substrate that answers `{service} {operation}` as AWS does")
        }
        CallErrorKind::TimedOut | CallErrorKind::Unreachable => {
            "check the network, PHASEGATE_SUBSTRATE and AWS_ENDPOINT_URL, then run the gate again".to_owned()
        }
        CallErrorKind::Throttled | CallErrorKind::Server | CallErrorKind::Conflict => {
            "run the gate again; if it stays so, ask AWS or the owner of the server".to_owned()
        }
        CallErrorKind::NotFound | CallErrorKind::PreconditionFailed | CallErrorKind::Refused => {
            format!("run `aws {service} {operation}` by hand and read what it answers")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::observation::{Answer, Observation};
    use crate::substrate::reply::CallError;
    use rstest::rstest;
    use serde_json::json;

    static ENOUGH: Check<u32> = Check::new(
        "count.enough",
        "M9-B1",
        &["count"],
        |n| {
            ensure!(*n >= 3, "{n} of 3");
            Ok(format!("{n}"))
        },
        |n| *n = 2,
    );
    static TOOTHLESS: Check<u32> = Check::new("count.any", "M9-B2", &["count"], |n| Ok(n.to_string()), |n| *n = 0);
    static BOTH: Check<(u32, String)> = Check::derived(
        "count.named",
        "count_named",
        &["count", "M9.B/name"],
        |(n, name)| {
            ensure!(*n > 0, "no {name}");
            Ok(format!("{n} {name}"))
        },
        |(n, _)| *n = 0,
    );

    fn seen(answers: &[(&str, &str, Answer)]) -> Observations {
        let mut all = Observations::default();
        for (lane, name, answer) in answers {
            all.insert(Observation::new(lane, name, "test", answer.clone()).unwrap());
        }
        all
    }

    fn value(v: serde_json::Value) -> Answer {
        Answer::Value(v)
    }

    fn failed(kind: CallErrorKind) -> Answer {
        Answer::Failed(CallError {
            kind,
            service: "s3api".into(),
            operation: "head-bucket".into(),
            target: "s3://b".into(),
            status: None,
            request_id: None,
            message: "no".into(),
            attempts: 1,
        })
    }

    #[rstest]
    #[case(value(json!(3)), Outcome::Met)]
    #[case(value(json!(2)), Outcome::Unmet)]
    #[case(value(json!("three")), Outcome::Error)]
    #[case(failed(CallErrorKind::Denied), Outcome::Error)]
    #[case(failed(CallErrorKind::TimedOut), Outcome::Error)]
    #[case(failed(CallErrorKind::NotFound), Outcome::Error)]
    #[case(failed(CallErrorKind::Unsupported), Outcome::Unsupported)]
    #[case(failed(CallErrorKind::Malformed), Outcome::Unsupported)]
    fn only_facts_that_hold_are_met(#[case] answer: Answer, #[case] outcome: Outcome) {
        let finding = ENOUGH.judge("M9.A", &seen(&[("M9.A", "count", answer)]));
        assert_eq!(finding.outcome, outcome, "{finding:?}");
        assert_eq!(finding.code, "M9-B1");
    }

    #[test]
    fn an_observation_that_nobody_made_is_an_error() {
        let finding = ENOUGH.judge("M9.A", &Observations::default());
        assert_eq!(finding.outcome, Outcome::Error);
        assert_eq!(finding.control, Control::NotRun);
    }

    #[test]
    fn a_check_that_cannot_refuse_never_passes() {
        let finding = TOOTHLESS.judge("M9.A", &seen(&[("M9.A", "count", value(json!(7)))]));
        assert_eq!(finding.outcome, Outcome::Error);
        assert_eq!(finding.control, Control::Passed);
    }

    #[test]
    fn several_observations_are_read_as_a_tuple_across_lanes() {
        let all = seen(&[("M9.A", "count", value(json!(1))), ("M9.B", "name", value(json!("run")))]);
        let finding = BOTH.judge("M9.A", &all);
        assert_eq!(finding.outcome, Outcome::Met, "{finding:?}");
        assert_eq!(finding.code, "PG-M9.A-count_named");
        assert!(finding.derived);
        assert_eq!(finding.observations.len(), 2);
    }

    /// What to do next is something that can be done: no service of AWS is called docker.
    #[rstest]
    #[case("iam", "get-role", CallErrorKind::NotFound, "run `aws iam get-role`")]
    #[case("iam", "get-role", CallErrorKind::Denied, "aws sts get-caller-identity")]
    #[case("docker", "run", CallErrorKind::Refused, "run `docker run`")]
    #[case("docker", "run", CallErrorKind::Malformed, "run `docker run`")]
    #[case("docker", "version", CallErrorKind::Unreachable, "DOCKER_HOST")]
    #[case("docker", "push", CallErrorKind::Denied, "allow `docker push`")]
    #[case("registry", "manifest", CallErrorKind::NotFound, "`docker manifest inspect`")]
    #[case("registry", "manifest", CallErrorKind::TimedOut, "PHASEGATE_REGISTRY")]
    #[case("registry", "manifest", CallErrorKind::Denied, "aws ecr get-login-password")]
    fn what_failed_is_asked_again_where_it_can_be(
        #[case] service: &str,
        #[case] operation: &str,
        #[case] kind: CallErrorKind,
        #[case] says: &str,
    ) {
        let next = next_after(service, operation, kind);
        assert!(next.contains(says), "{next}");
        assert!(!next.contains("aws docker") && !next.contains("aws registry"), "{next}");
    }

    #[test]
    fn judging_twice_gives_the_same_finding() {
        let all = seen(&[("M9.A", "count", value(json!(3)))]);
        assert_eq!(ENOUGH.judge("M9.A", &all), ENOUGH.judge("M9.A", &all));
    }
}
