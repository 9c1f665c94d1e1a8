//! From a command's text to its words: one JSON layer, then POSIX quoting.

use super::template::TemplateError;

/// One word, its quotes removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) text: String,
    /// Whether a `*` or `?` stood outside quotes.
    pub(super) glob: bool,
    /// Whether a `|` stood outside quotes, between braces.
    pub(super) braces: bool,
    /// Whether a part of it was quoted.
    pub(super) quoted: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    Word(Word),
    /// `&&`
    And,
    /// `|`
    Pipe,
}

/// Removes the JSON layer of a command whose first quote is written `\"`; another command is returned as it is.
///
/// # Errors
/// [`TemplateError::Quoting`] when such a command, as a whole, is not the inside of a JSON string.
pub(super) fn without_json_layer(command: &str) -> Result<String, TemplateError> {
    let layered = command
        .find('"')
        .and_then(|at| command.get(..at))
        .is_some_and(|before| before.bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 1);
    if !layered {
        return Ok(command.to_owned());
    }
    serde_json::from_str(&format!("\"{command}\"")).map_err(|error| TemplateError::Quoting {
        command: command.to_owned(),
        reason: format!("its first quote is written \\\", and as a whole it is no JSON text: {error}"),
    })
}

/// Splits a command into words.
///
/// # Errors
/// [`TemplateError::Quoting`] for a quote that is not closed, [`TemplateError::ShellSyntax`] for what would need a shell.
pub(super) fn split(command: &str) -> Result<Vec<Token>, TemplateError> {
    let mut splitter = Splitter { command, rest: command.chars().peekable(), tokens: Vec::new(), word: None, depth: 0 };
    splitter.run()?;
    Ok(splitter.tokens)
}

struct Splitter<'command> {
    command: &'command str,
    rest: std::iter::Peekable<std::str::Chars<'command>>,
    tokens: Vec<Token>,
    word: Option<Word>,
    /// How many `{` of the current word are open.
    depth: usize,
}

impl Splitter<'_> {
    fn run(&mut self) -> Result<(), TemplateError> {
        while let Some(next) = self.rest.next() {
            match next {
                '"' => self.double_quoted()?,
                '\'' => self.single_quoted()?,
                '\n' | '\r' => return Err(self.shell("a line break")),
                space if space.is_whitespace() => self.end_word()?,
                '|' if self.depth > 0 => {
                    self.word().braces = true;
                    self.push('|');
                }
                '|' => self.operator('|', Token::Pipe, "||")?,
                '&' => self.and()?,
                '<' => self.placeholder()?,
                '{' => {
                    self.depth += 1;
                    self.push('{');
                }
                '}' => {
                    self.depth = self.depth.checked_sub(1).ok_or_else(|| self.shell("a stray }"))?;
                    self.push('}');
                }
                '*' | '?' => {
                    self.word().glob = true;
                    self.push(next);
                }
                ';' | '>' | '$' | '\\' | '!' | '[' | ']' | '#' | '~' | '`' => {
                    return Err(self.shell(&next.to_string()));
                }
                other => self.push(other),
            }
        }
        self.end_word()
    }

    fn word(&mut self) -> &mut Word {
        self.word.get_or_insert_with(|| Word { text: String::new(), glob: false, braces: false, quoted: false })
    }

    fn push(&mut self, character: char) {
        self.word().text.push(character);
    }

    fn end_word(&mut self) -> Result<(), TemplateError> {
        if self.depth > 0 {
            return Err(self.shell("a { that is not closed"));
        }
        if let Some(word) = self.word.take() {
            self.tokens.push(Token::Word(word));
        }
        Ok(())
    }

    fn operator(&mut self, character: char, token: Token, doubled: &str) -> Result<(), TemplateError> {
        if self.rest.peek() == Some(&character) {
            return Err(self.shell(doubled));
        }
        self.end_word()?;
        self.tokens.push(token);
        Ok(())
    }

    fn and(&mut self) -> Result<(), TemplateError> {
        if self.rest.next_if_eq(&'&').is_none() {
            return Err(self.shell("&"));
        }
        self.end_word()?;
        self.tokens.push(Token::And);
        Ok(())
    }

    /// `<name>` and `<...>` outside quotes; any other `<` would be a redirection.
    fn placeholder(&mut self) -> Result<(), TemplateError> {
        let mut name = String::new();
        while let Some(next) = self.rest.next_if(|next| next.is_ascii_alphanumeric() || matches!(next, '_' | '.')) {
            name.push(next);
        }
        if name.is_empty() || self.rest.next_if_eq(&'>').is_none() {
            return Err(self.shell("<"));
        }
        self.word().text.push_str(&format!("<{name}>"));
        Ok(())
    }

    fn single_quoted(&mut self) -> Result<(), TemplateError> {
        self.word().quoted = true;
        loop {
            match self.rest.next() {
                Some('\'') => return Ok(()),
                Some(other) => self.push(other),
                None => return Err(self.unclosed()),
            }
        }
    }

    fn double_quoted(&mut self) -> Result<(), TemplateError> {
        self.word().quoted = true;
        loop {
            match self.rest.next() {
                Some('"') => return Ok(()),
                Some('\\') => {
                    let escaped = self.rest.next_if(|next| matches!(next, '$' | '`' | '"' | '\\'));
                    self.push(escaped.unwrap_or('\\'));
                }
                Some('$') => {
                    let expands =
                        |next: &char| next.is_ascii_alphanumeric() || matches!(next, '_' | '{' | '(' | '@' | '?');
                    if self.rest.peek().is_some_and(expands) {
                        return Err(self.shell("$"));
                    }
                    self.push('$');
                }
                Some(other) => self.push(other),
                None => return Err(self.unclosed()),
            }
        }
    }

    fn unclosed(&self) -> TemplateError {
        TemplateError::Quoting { command: self.command.to_owned(), reason: "a quote is not closed".to_owned() }
    }

    fn shell(&self, found: &str) -> TemplateError {
        TemplateError::ShellSyntax { command: self.command.to_owned(), found: found.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::super::template::TemplateError;
    use super::{Token, split, without_json_layer};

    fn words(command: &str) -> Vec<String> {
        split(&without_json_layer(command).expect("the layer comes off"))
            .expect("it can be split")
            .into_iter()
            .map(|token| match token {
                Token::Word(word) => word.text,
                Token::And => "&&".to_owned(),
                Token::Pipe => "|".to_owned(),
            })
            .collect()
    }

    #[rstest]
    #[case::posix(r#"rg -n "\\b<X>\\b" a.md"#, &["rg", "-n", r"\b<X>\b", "a.md"])]
    #[case::json_layer(r#"rg \"K\\s*=\\s*\\\"<P>\\\"\" a.md"#, &["rg", r#"K\s*=\s*"<P>""#, "a.md"])]
    #[case::backticks(r#"rg "^\\* `<X> = \\\"TO_PIN\\\"`" a.md"#, &["rg", r#"^\* `<X> = \"TO_PIN\"`"#, "a.md"])]
    #[case::lone_backslash(r#"rg "a\sb" c"#, &["rg", r"a\sb", "c"])]
    #[case::parentheses("aws s3 ls s3://<B>/P(-1)/", &["aws", "s3", "ls", "s3://<B>/P(-1)/"])]
    #[case::braces("a {x|y} b", &["a", "{x|y}", "b"])]
    #[case::joined("a&&b | c", &["a", "&&", "b", "|", "c"])]
    #[case::anchor(r#"rg "a$|b$" c"#, &["rg", "a$|b$", "c"])]
    #[case::empty_word(r#"rg "" c"#, &["rg", "", "c"])]
    #[case::single("rg 'a\"b' c", &["rg", "a\"b", "c"])]
    fn splits(#[case] command: &str, #[case] expected: &[&str]) {
        assert_eq!(words(command), expected);
    }

    #[rstest]
    #[case("a; b")]
    #[case("a > b")]
    #[case("a < b")]
    #[case("a <b c>")]
    #[case("a $(b)")]
    #[case(r#"a "$(b)""#)]
    #[case(r#"a "$HOME""#)]
    #[case("a `b`")]
    #[case("a || b")]
    #[case("a & b")]
    #[case(r"a\b")]
    #[case("a {b c}")]
    #[case("a b}")]
    #[case("a\nb")]
    #[case("~/a")]
    fn refuses_what_would_need_a_shell(#[case] command: &str) {
        assert!(matches!(split(command), Err(TemplateError::ShellSyntax { .. })));
    }

    #[test]
    fn mixed_quoting_is_an_error() {
        assert!(matches!(without_json_layer(r#"rg \"a" b"#), Err(TemplateError::Quoting { .. })));
        assert!(matches!(split(r#"rg "a b"#), Err(TemplateError::Quoting { .. })));
    }
}
