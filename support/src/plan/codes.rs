//! Blocker codes: where a plan defines them, and where it claims that one is open.

use super::marks::{self, skip_emphasis};
use super::source::Place;

/// One blocker code of the plan's taxonomy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodeDefinition {
    /// `M3E-B3`, `M3-B0.1`.
    pub code: String,
    /// When it opens, as written behind the colon; code spans kept.
    pub meaning: String,
    /// The lane that its letters name; none for a code of the phase.
    pub lane: Option<String>,
    /// Which kind of line defines it.
    pub origin: CodeOrigin,
    /// Where it is defined.
    pub place: Place,
}

/// The kind of line that defines a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CodeOrigin {
    /// A taxonomy.
    Taxonomy,
    /// The register alone names it.
    Register,
}

/// A blocker that the plan says is open, outside a register: to be measured again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The codes that the entry begins with.
    pub codes: Vec<String>,
    /// The entry, as written.
    pub text: String,
    /// The lane under whose heading it stands.
    pub lane: Option<String>,
    /// Where it stands.
    pub place: Place,
}

/// A code at the start of a line's words, in or out of backticks, and the words behind it.
pub(crate) fn leading(text: &str) -> Option<(&str, &str)> {
    let (code, rest) = marks::code(skip_emphasis(text))?;
    Some((code, skip_emphasis(rest).trim_start()))
}

/// The codes that an entry begins with: `M3E-B3` and `M3E-B6` (resolved).
pub(crate) fn leading_codes(text: &str) -> (Vec<String>, &str) {
    let mut codes = Vec::new();
    let mut rest = text;
    while let Some((code, behind)) = leading(rest) {
        codes.push(code.to_owned());
        rest = behind;
        let next = ["and ", "& ", ", and ", ", ", "/ ", "+ "].iter().find_map(|word| rest.strip_prefix(word));
        match next {
            Some(next) if leading(next).is_some() => rest = next,
            _ => break,
        }
    }
    (codes, rest)
}

/// A definition in a list that defines: `code: meaning`, `code meaning`, or `meaning (code).`
pub(crate) fn definition(text: &str) -> Option<(&str, &str)> {
    if let Some((code, rest)) = leading(text) {
        let meaning = rest.trim_start_matches([':', '-', '–', '—']).trim();
        return Some((code, meaning.trim_end_matches(',')));
    }
    let body = text.trim_end().trim_end_matches(['.', ',', ';']).strip_suffix(')')?;
    let (meaning, inside) = body.rsplit_once('(')?;
    let (code, rest) = leading(inside)?;
    rest.is_empty().then(|| (code, meaning.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("`M3A-B1`: a key is missing.", Some(("M3A-B1", "a key is missing.")))]
    #[case("M3A-B1: bare", Some(("M3A-B1", "bare")))]
    #[case("**`M3-B0.1`**: bold", Some(("M3-B0.1", "bold")))]
    #[case("`M1C-B1` incomplete contract,", Some(("M1C-B1", "incomplete contract")))]
    #[case("No bucket is a hard blocker (`M2A-B1`).", Some(("M2A-B1", "No bucket is a hard blocker")))]
    #[case("`M3A-B1`:", Some(("M3A-B1", "")))]
    #[case("see `M3A-B1`", None)]
    #[case("`M3A-B1..B4` are closed", None)]
    fn definitions(#[case] text: &str, #[case] expected: Option<(&str, &str)>) {
        assert_eq!(definition(text), expected);
    }

    #[test]
    fn an_entry_may_begin_with_two_codes() {
        let (codes, rest) = leading_codes("`M3E-B3` and `M3E-B6` (resolved)");
        assert_eq!(codes, ["M3E-B3", "M3E-B6"]);
        assert_eq!(rest, "(resolved)");
        assert_eq!(leading_codes("`M3E-B3` and more").0, ["M3E-B3"]);
        assert!(leading_codes("None.").0.is_empty());
    }
}
