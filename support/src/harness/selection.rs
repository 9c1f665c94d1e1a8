//! Which cases a command line selects, by the rules of the library that runs them.

use libtest_mimic::{Arguments, Trial};

/// Whether the arguments select a test of this name.
#[must_use]
pub fn selects(arguments: &Arguments, name: &str) -> bool {
    !arguments.is_filtered_out(&Trial::test(name, || Ok(())))
}

/// Whether the arguments ask for tests of a kind that there is none of.
#[must_use]
pub fn asks_for_nothing(arguments: &Arguments) -> bool {
    (arguments.ignored && !arguments.include_ignored) || arguments.bench
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn arguments(words: &[&str]) -> Arguments {
        Arguments::from_iter(std::iter::once("m3").chain(words.iter().copied()))
    }

    #[rstest]
    #[case(&[], 3)]
    #[case(&["M3.B"], 1)]
    #[case(&["dev_full"], 0)]
    #[case(&["--exact", "dev_min::M3.B::dod-1::format"], 1)]
    #[case(&["--exact", "M3.B"], 0)]
    #[case(&["--skip", "dod-1"], 2)]
    #[case(&["M3.", "--skip", "M3.A"], 1)]
    fn filters_as_cargo_does(#[case] words: &[&str], #[case] selected: usize) {
        let arguments = arguments(words);
        let names = ["dev_min::M3::integrity", "dev_min::M3.A::M3A_V1_HANDLE_KEY", "dev_min::M3.B::dod-1::format"];
        assert_eq!(names.iter().filter(|name| selects(&arguments, name)).count(), selected, "{words:?}");
    }

    #[rstest]
    #[case(&["--ignored"], true)]
    #[case(&["--bench"], true)]
    #[case(&["--include-ignored"], false)]
    #[case(&[], false)]
    fn there_are_no_ignored_cases_and_no_benchmarks(#[case] words: &[&str], #[case] nothing: bool) {
        assert_eq!(asks_for_nothing(&arguments(words)), nothing);
    }
}
