//! Exit codes, as the README documents them.

use std::process::ExitCode;

use serde::{Deserialize, Serialize};

/// How a run ended. In a run over several tracks the worst one counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exit {
    /// Every selected gate advances; or nothing was selected, and nothing is claimed.
    Advance = 0,
    /// Fewer than all cases were judged, and `CI` is set.
    Partial = 4,
    /// A gate holds.
    Hold = 1,
    /// The command line or a variable cannot be used.
    Usage = 2,
    /// A plan, its registry, or their lock cannot be read.
    Plan = 3,
    /// Evidence could not be written, or there is no substrate.
    Evidence = 5,
}

impl Exit {
    /// The worse of two.
    #[must_use]
    pub fn worse(self, other: Self) -> Self {
        let rank = |exit: Self| match exit {
            Self::Advance => 0,
            Self::Partial => 1,
            Self::Hold => 2,
            Self::Usage => 3,
            Self::Plan => 4,
            Self::Evidence => 5,
        };
        if rank(other) > rank(self) { other } else { self }
    }

    /// The number that the process exits with.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Advance => 0,
            Self::Hold => 1,
            Self::Usage => 2,
            Self::Plan => 3,
            Self::Partial => 4,
            Self::Evidence => 5,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::Exit;
    use rstest::rstest;

    #[rstest]
    #[case(Exit::Advance, Exit::Hold, Exit::Hold)]
    #[case(Exit::Hold, Exit::Partial, Exit::Hold)]
    #[case(Exit::Partial, Exit::Advance, Exit::Partial)]
    #[case(Exit::Evidence, Exit::Hold, Exit::Evidence)]
    #[case(Exit::Plan, Exit::Hold, Exit::Plan)]
    fn the_worst_counts(#[case] one: Exit, #[case] other: Exit, #[case] is: Exit) {
        assert_eq!(one.worse(other), is);
        assert_eq!(other.worse(one), is);
    }
}
