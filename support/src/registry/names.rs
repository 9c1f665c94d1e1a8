//! What a handle's name looks like.

/// Whether a text is written as a handle's name: words in capitals with an underscore between, `S3_EVIDENCE_BUCKET`.
#[must_use]
pub fn is_handle_name(text: &str) -> bool {
    text.contains('_')
        && text.starts_with(|c: char| c.is_ascii_uppercase())
        && text.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("S3_EVIDENCE_BUCKET", true)]
    #[case("SVC_IG", true)]
    #[case("SVC_*", false)]
    #[case("REGION", false)]
    #[case("_X", false)]
    #[case("run.json", false)]
    #[case("Aws_Region", false)]
    #[case("", false)]
    fn a_handle_is_words_in_capitals(#[case] text: &str, #[case] is: bool) {
        assert_eq!(is_handle_name(text), is);
    }
}
