//! The marks that carry meaning inside a line: codes, Verify-IDs, brackets, code spans.
//!
//! Scanners by hand instead of expressions: they run over every line of a plan, and each accepts
//! exactly the form that the grammar in [`super`] gives.

/// Bytes of `text` that satisfy `accept`, from the start.
fn run_of(text: &str, accept: impl Fn(u8) -> bool) -> usize {
    text.bytes().take_while(|byte| accept(*byte)).count()
}

/// `M3`, and what follows.
pub(crate) fn phase(text: &str) -> Option<(&str, &str)> {
    let digits = run_of(text.strip_prefix('M')?, |byte| byte.is_ascii_digit());
    (digits > 0).then(|| text.split_at(1 + digits))
}

/// `M3.B`, and what follows; the letter must not go on into a word.
pub(crate) fn lane(text: &str) -> Option<(&str, &str)> {
    let (number, rest) = phase(text)?;
    let letters = run_of(rest.strip_prefix('.')?, |byte| byte.is_ascii_uppercase());
    let (lane, rest) = text.split_at(number.len() + 1 + letters);
    let ends = !rest.starts_with(|next: char| next.is_ascii_alphanumeric());
    (letters > 0 && ends).then_some((lane, rest))
}

/// A blocker code, `M3-B0.1` or `M3E-B3`, and what follows. A range (`M3A-B1..B4`) and a wildcard
/// (`M3A-B*`) are no codes.
pub(crate) fn code(text: &str) -> Option<(&str, &str)> {
    let (number, rest) = phase(text)?;
    let letters = run_of(rest, |byte| byte.is_ascii_uppercase());
    let digits = run_of(rest.get(letters..)?.strip_prefix("-B")?, |byte| byte.is_ascii_digit());
    if digits == 0 {
        return None;
    }
    let mut end = number.len() + letters + 2 + digits;
    if let Some(fraction) = text.get(end..)?.strip_prefix('.') {
        let digits = run_of(fraction, |byte| byte.is_ascii_digit());
        end += if digits > 0 { 1 + digits } else { 0 };
    }
    let (code, rest) = text.split_at(end);
    let ends = !rest.starts_with("..")
        && !rest.starts_with(|next: char| next.is_ascii_alphanumeric() || matches!(next, '_' | '-'));
    ends.then_some((code, rest))
}

/// A Verify-ID, `M3A_V1_HANDLE_KEY`, `M3A-V1-HANDLE-EXISTS` or `V1_REGISTRY_KEY`, and what follows.
pub(crate) fn verify_id(text: &str) -> Option<(&str, &str)> {
    let mut end = 0;
    if let Some((number, rest)) = phase(text) {
        let letters = run_of(rest, |byte| byte.is_ascii_uppercase());
        rest.get(letters..)?.strip_prefix(['-', '_'])?;
        end = number.len() + letters + 1;
    }
    let digits = run_of(text.get(end..)?.strip_prefix('V')?, |byte| byte.is_ascii_digit());
    if digits == 0 {
        return None;
    }
    end += 1 + digits;
    let word = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit();
    while let Some(next) = text.get(end..)?.strip_prefix(['-', '_']) {
        let letters = run_of(next, word);
        if letters == 0 {
            return None;
        }
        end += 1 + letters;
    }
    let (id, rest) = text.split_at(end);
    (!rest.starts_with(|next: char| next.is_ascii_alphanumeric())).then_some((id, rest))
}

/// `M3E-B3` → `M3.E`, `M3A_V1_X` → `M3.A`; a mark of the phase itself has no lane.
pub(crate) fn lane_of(mark: &str) -> Option<String> {
    let (number, rest) = phase(mark)?;
    let letters = run_of(rest, |byte| byte.is_ascii_uppercase());
    (letters > 0).then(|| format!("{number}.{}", rest.get(..letters).unwrap_or("")))
}

/// Drops backticks, asterisks and underscores that open or close emphasis and code.
pub(crate) fn skip_emphasis(text: &str) -> &str {
    text.trim_start_matches(['`', '*', '_'])
}

/// The text behind a list marker (`-`, `*`, `+`, `1.`, `1)`), without the white space between.
pub(crate) fn after_list_marker(text: &str) -> Option<&str> {
    let rest = match text.bytes().next()? {
        // `**` opens strong words.
        b'*' if text.starts_with("**") => return None,
        b'-' | b'*' | b'+' => text.get(1..)?,
        b'0'..=b'9' => {
            let digits = run_of(text, |byte| byte.is_ascii_digit());
            text.get(digits..)?.strip_prefix(['.', ')'])?
        }
        _ => return None,
    };
    Some(rest.trim_start())
}

/// Whether `text` begins like a box's brackets, and what is behind them. Wider than GFM on purpose:
/// `[]`, `[x ]`, `[-]` and `[✓]` look like boxes too.
pub(crate) fn brackets(text: &str) -> Option<&str> {
    let (inside, rest) = text.strip_prefix('[')?.split_once(']')?;
    let mark = inside.trim();
    matches!(mark, "" | "x" | "X" | "-" | "~" | "*" | "v" | "V" | "✓" | "✔" | "✗" | "✘").then_some(rest)
}

/// The code spans of one line, in order. Longer fences (``` `` ```) are taken as one mark.
pub(crate) fn code_spans(text: &str) -> Vec<&str> {
    let mut spans = Vec::new();
    let mut rest = text;
    while let Some(open) = rest.find('`') {
        let fence = run_of(rest.get(open..).unwrap_or(""), |byte| byte == b'`');
        let body = rest.get(open + fence..).unwrap_or("");
        let Some(close) = body.find(&"`".repeat(fence)) else {
            break;
        };
        spans.push(body.get(..close).unwrap_or("").trim());
        rest = body.get(close + fence..).unwrap_or("");
    }
    spans
}

/// White space runs become one blank; none at the ends.
pub(crate) fn collapse(text: &str) -> String {
    let mut collapsed = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !collapsed.is_empty() {
            collapsed.push(' ');
        }
        collapsed.push_str(word);
    }
    collapsed
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("M3-B0: x", Some(("M3-B0", ": x")))]
    #[case("M3-B0.1`: x", Some(("M3-B0.1", "`: x")))]
    #[case("M3E-B12.", Some(("M3E-B12", ".")))]
    #[case("M10AB-B3", Some(("M10AB-B3", "")))]
    #[case("M3A-B1..M3A-B4", None)]
    #[case("M3A-B1..B4", None)]
    #[case("M3-B*", None)]
    #[case("M3-B1x", None)]
    #[case("M-B1", None)]
    #[case("3-B1", None)]
    fn codes(#[case] text: &str, #[case] expected: Option<(&str, &str)>) {
        assert_eq!(code(text), expected);
    }

    #[rstest]
    #[case("M3A_V1_HANDLE_KEY` |", Some(("M3A_V1_HANDLE_KEY", "` |")))]
    #[case("M3A-V1-HANDLE-EXISTS", Some(("M3A-V1-HANDLE-EXISTS", "")))]
    #[case("V10_IAM_ROLE", Some(("V10_IAM_ROLE", "")))]
    #[case("M3-V1", Some(("M3-V1", "")))]
    #[case("VPC_ID", None)]
    #[case("V1x", None)]
    #[case("M3A_V1_", None)]
    #[case("M3AV1", None)]
    fn verify_ids(#[case] text: &str, #[case] expected: Option<(&str, &str)>) {
        assert_eq!(verify_id(text), expected);
    }

    #[rstest]
    #[case("M3.B Run", Some("M3.B"))]
    #[case("M2.J-A Pre", Some("M2.J"))]
    #[case("M3.b", None)]
    #[case("M3.Be", None)]
    #[case("M3 - x", None)]
    fn lanes(#[case] text: &str, #[case] expected: Option<&str>) {
        assert_eq!(lane(text).map(|(lane, _)| lane), expected);
    }

    #[test]
    fn the_lane_of_a_mark_is_in_its_letters() {
        assert_eq!(lane_of("M3E-B3").as_deref(), Some("M3.E"));
        assert_eq!(lane_of("M3A_V1_X").as_deref(), Some("M3.A"));
        assert_eq!(lane_of("M3-B3"), None);
        assert_eq!(lane_of("V1_X"), None);
    }

    #[rstest]
    #[case("a `b` c ``d ` e`` f", &["b", "d ` e"])]
    #[case("`open", &[])]
    #[case("none", &[])]
    fn spans(#[case] text: &str, #[case] expected: &[&str]) {
        assert_eq!(code_spans(text), expected);
    }
}
