//! Which code names the cause, where a later check cannot decide because of an earlier one.

use support::run::check::{AnyCheck, Unmet};
use support::run::context::LaneRun;
use support::run::lane::Stop;

/// The lane's codes.
const CODES: [&str; 9] = ["M3H-B1", "M3H-B2", "M3H-B3", "M3H-B4", "M3H-B5", "M3H-B6", "M3H-B7", "M3H-B8", "M3H-B9"];

/// Not decidable, because of what stands behind `code`. What is no code of this lane opens the check's own.
pub(super) fn blocked(code: &str, why: impl Into<String>) -> Unmet {
    match CODES.iter().find(|known| **known == code) {
        Some(known) => Unmet::blocked_by(*known, why),
        None => Unmet::from(format!("{} ({code})", why.into())),
    }
}

/// The code of the first of these checks that is not met by what was observed so far.
pub(super) fn first_open(run: &LaneRun<'_>, checks: &[&'static dyn AnyCheck]) -> Option<String> {
    checks.iter().find_map(|check| match run.demand(*check) {
        Ok(()) => None,
        Err(Stop::By { code } | Stop::Fault(code)) => Some(code),
    })
}
