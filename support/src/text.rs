//! Texts of plans and servers, made safe to show: they may hold anything.

/// The text on one line. Runs of white space become one space; control characters become visible,
/// so that no reply of a server can move a terminal's cursor or feign another line. `##[`, by which
/// GitHub's runner takes commands out of the middle of a line, is broken up.
#[must_use]
pub fn one_line(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let line: String = words.join(" ").chars().map(visible).collect();
    line.replace("##[", "## [")
}

/// The text with its white space as it is, for paths; control characters become visible.
#[must_use]
pub fn exact(text: &str) -> String {
    text.chars().map(visible).collect()
}

/// One line, and at most `max` characters long.
#[must_use]
pub fn short(text: &str, max: usize) -> String {
    let line = one_line(text);
    if line.chars().count() <= max {
        return line;
    }
    let mut cut: String = line.chars().take(max.saturating_sub(1)).collect();
    cut.truncate(cut.trim_end().len());
    cut.push('…');
    cut
}

/// The text as the inside of one CDATA section: lines and tabs are kept, characters that XML 1.0
/// forbids become visible, and `]]>` is split over two sections, which readers join again.
#[must_use]
pub fn cdata(text: &str) -> String {
    let lines = text.replace("\r\n", "\n").replace('\r', "\n");
    let allowed: String = lines.chars().map(|c| if c == '\n' || c == '\t' { c } else { visible(c) }).collect();
    allowed.replace("]]>", "]]]]><![CDATA[>")
}

/// A picture for a control character; the replacement character for what has no picture.
fn visible(c: char) -> char {
    match c {
        '\u{0}'..='\u{1f}' => char::from_u32(0x2400 + u32::from(c)).unwrap_or(char::REPLACEMENT_CHARACTER),
        '\u{7f}' => '\u{2421}',
        // The second control block, marks that reverse the reading order, and the two that XML forbids.
        '\u{80}'..='\u{9f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{fffe}' | '\u{ffff}' => {
            char::REPLACEMENT_CHARACTER
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::{cdata, one_line, short};
    use rstest::rstest;

    #[rstest]
    #[case("a\r\n  b\tc ", "a b c")]
    #[case("\u{1b}[31mred\u{0}\u{7f}", "\u{241b}[31mred\u{2400}\u{2421}")]
    #[case("\u{202e}txt\u{9b}", "\u{fffd}txt\u{fffd}")]
    #[case("ADVANCE\nHOLD", "ADVANCE HOLD")]
    #[case("a\n::error::b ##[group]c", "a ::error::b ## [group]c")]
    #[case("é 🦀 <b>", "é 🦀 <b>")]
    fn a_text_stays_on_its_line(#[case] text: &str, #[case] line: &str) {
        assert_eq!(one_line(text), line);
    }

    #[rstest]
    #[case("abcdef", 6, "abcdef")]
    #[case("abcdefg", 6, "abcde…")]
    #[case("🦀🦀🦀", 2, "🦀…")]
    #[case("ab cdef", 4, "ab…")]
    fn a_long_text_is_cut_between_characters(#[case] text: &str, #[case] max: usize, #[case] cut: &str) {
        assert_eq!(short(text, max), cut);
    }

    #[rstest]
    #[case("a\r\nb\rc\n\td", "a\nb\nc\n\td")]
    #[case("x]]>y", "x]]]]><![CDATA[>y")]
    #[case("\u{1}\u{ffff}", "\u{2401}\u{fffd}")]
    fn a_section_holds_any_text(#[case] text: &str, #[case] inside: &str) {
        assert_eq!(cdata(text), inside);
    }
}
