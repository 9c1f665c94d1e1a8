//! The commands of a step's script, without what only looks like one.

/// The script without its comments.
pub(super) fn without_comments(script: &str) -> String {
    script.lines().map(|line| line.get(..comment_at(line)).unwrap_or(line)).collect::<Vec<_>>().join("\n")
}

/// Where a line's comment begins; its end where it has none.
fn comment_at(line: &str) -> usize {
    let mut quote = None;
    let mut before = ' ';
    for (at, c) in line.char_indices() {
        match quote {
            Some(open) if open == c => quote = None,
            Some(_) => {}
            None if c == '#' && (before.is_whitespace() || before == ';') => return at,
            None if (c == '\'' || c == '"') && before != '\\' => quote = Some(c),
            None => {}
        }
        before = c;
    }
    line.len()
}

/// Its simple commands, without the words of bash that may stand before them.
pub(super) fn commands(script: &str) -> Vec<String> {
    let plain = without_comments(script);
    plain.split(['\n', ';', '{', '}', '|', '&', '(', ')']).map(command).filter(|c| !c.is_empty()).collect()
}

fn command(text: &str) -> String {
    let before = ["if", "then", "else", "elif", "do", "while", "until", "!"];
    let words = text.split_whitespace().skip_while(|word| before.contains(word));
    words.collect::<Vec<_>>().join(" ")
}

/// Whether a command carries these words out; one that only prints them does not.
pub(super) fn carries_out(script: &str, words: &str) -> bool {
    let prints = |command: &str| ["echo ", "printf ", ": "].iter().any(|word| command.starts_with(word));
    commands(script).iter().any(|command| command.contains(words) && !prints(command))
}

/// Whether a command of it ends the step as failed.
pub(super) fn ends_badly(script: &str) -> bool {
    commands(script).iter().any(|command| command == "exit 1")
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::alone("exit 1", true)]
    #[case::in_a_function("refuse() { echo \"::error::$1\"; exit 1; }", true)]
    #[case::after_a_failure("true || { echo 'no'; exit 1; }", true)]
    #[case::in_a_condition("if x; then exit 1; fi", true)]
    #[case::a_comment("# exit 1", false)]
    #[case::a_comment_behind("true # ; exit 1", false)]
    #[case::printed("echo exit 1", false)]
    #[case::another("exit 10", false)]
    #[case::a_length_is_no_comment("((${#x[@]} == 0)) && exit 1", true)]
    fn an_end_is_a_command(#[case] script: &str, #[case] ends: bool) {
        assert_eq!(ends_badly(script), ends);
    }

    #[rstest]
    #[case::plain("docker build .", true)]
    #[case::asked("if ! docker build .; then", true)]
    #[case::for_its_answer("id=$(docker build --quiet .)", true)]
    #[case::a_comment("  # docker build .", false)]
    #[case::printed("echo \"docker build .\"", false)]
    #[case::behind_a_quoted_sign("x='#' docker build .", true)]
    fn a_build_is_a_command(#[case] script: &str, #[case] builds: bool) {
        assert_eq!(carries_out(script, "docker build"), builds);
    }
}
