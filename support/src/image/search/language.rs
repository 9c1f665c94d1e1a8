//! What kind of text a file is: in program text an unquoted word is a name, and no secret.

/// How assignments in a file are to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Language {
    /// Program text: what is assigned without quotation marks is an expression.
    Program,
    /// Program text in which names begin with a sign, and backticks run a command: Perl, PHP, Ruby.
    Sigils,
    /// Shell: an unquoted word is a text, backticks and `$` are not.
    Shell,
    /// `key: value` is an assignment.
    Yaml,
    /// Everything else: an unquoted word is a text.
    Text,
}

const PROGRAM: [&str; 40] = [
    "py", "pyi", "pyx", "pyc", "pyo", "js", "mjs", "cjs", "jsx", "ts", "tsx", "c", "h", "cc", "hh", "cpp", "hpp",
    "cxx", "go", "rs", "java", "kt", "scala", "cs", "swift", "lua", "d", "m", "mm", "zig", "ex", "exs", "erl", "hs",
    "ml", "jl", "r", "groovy", "gradle", "vala",
];
const SIGILS: [&str; 8] = ["pl", "pm", "pod", "t", "php", "rb", "al", "ph"];
const SHELL: [&str; 6] = ["sh", "bash", "zsh", "ksh", "dash", "bats"];

impl Language {
    /// Told by the name, else by the first line.
    pub(super) fn of(path: &str, begin: &[u8]) -> Self {
        let name = path.rsplit('/').next().unwrap_or(path);
        let extension = name.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase()).unwrap_or_default();
        let is = |known: &[&str]| known.contains(&extension.as_str());
        if is(&PROGRAM) {
            Self::Program
        } else if is(&SIGILS) {
            Self::Sigils
        } else if is(&SHELL) {
            Self::Shell
        } else if is(&["yml", "yaml"]) {
            Self::Yaml
        } else {
            Self::of_interpreter(begin)
        }
    }

    fn of_interpreter(begin: &[u8]) -> Self {
        let line = begin.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let line = String::from_utf8_lossy(line.get(..128).unwrap_or(line));
        let Some(command) = line.strip_prefix("#!") else {
            return Self::Text;
        };
        let named = |names: &[&str]| names.iter().any(|name| command.contains(name));
        if named(&["perl", "ruby", "php"]) {
            Self::Sigils
        } else if named(&["python", "node", "lua"]) {
            Self::Program
        } else if named(&["sh"]) {
            Self::Shell
        } else {
            Self::Text
        }
    }
}

/// A value that was found behind a key, with what stands around it.
pub(super) struct Assigned<'a> {
    /// What stands before the key on its line.
    pub(super) before: &'a str,
    /// The mark that opens it, as written.
    pub(super) quote: Option<&'a str>,
    /// The value.
    pub(super) value: &'a str,
    /// What stands behind it.
    pub(super) after: &'a str,
}

impl Assigned<'_> {
    /// Whether the value stands for itself, or is computed.
    pub(super) fn is_literal(&self, language: Language) -> bool {
        let sign = self.quote.and_then(|quote| quote.chars().next_back());
        match language {
            Language::Program => sign.is_some() || !self.is_expression() || self.is_in_text(),
            Language::Sigils => match sign {
                Some('`') => false,
                Some('"') => !self.value.starts_with(['$', '@']),
                Some(_) => true,
                None => {
                    !(self.value.starts_with(['$', '@', '%', '&', '\\']) || self.is_expression()) || self.is_in_text()
                }
            },
            Language::Shell => match sign {
                Some('`') => false,
                Some('\'') => true,
                _ => !self.value.starts_with('$'),
            },
            Language::Yaml | Language::Text => !(self.value.starts_with("$(") && self.value.ends_with(')')),
        }
    }

    /// A name, a path of names, a call, an index, a block.
    fn is_expression(&self) -> bool {
        if self.after.trim_start_matches(' ').starts_with(['(', '[', '{', '<']) {
            return true;
        }
        let value = self.value.trim_end_matches([',', ';', ':', '.', '?', '!']);
        let value = value.strip_prefix(['*', '&', '!', '-']).unwrap_or(value);
        let mut names = value.split(['.', ':', '>']).map(|name| name.trim_end_matches(['-', '?']));
        names.all(is_name)
    }

    /// Inside a string of the line, or in a comment.
    fn is_in_text(&self) -> bool {
        let mut open: Option<char> = None;
        let mut characters = self.before.chars().peekable();
        while let Some(character) = characters.next() {
            match (open, character) {
                (_, '\\') => drop(characters.next()),
                (Some(mark), character) if mark == character => open = None,
                (None, '"' | '\'' | '`') => open = Some(character),
                (None, '#') => return true,
                (None, '/') if characters.peek() == Some(&'/') || characters.peek() == Some(&'*') => return true,
                _ => {}
            }
        }
        open.is_some()
    }
}

/// Empty parts are what `::` leaves.
fn is_name(text: &str) -> bool {
    let mut characters = text.chars();
    characters.next().is_none_or(|first| first.is_alphabetic() || first == '_')
        && characters.all(|character| character.is_alphanumeric() || character == '_')
}

#[cfg(test)]
mod tests {
    use super::{Assigned, Language};
    use rstest::rstest;

    #[rstest]
    #[case("usr/lib/x.py", "", Language::Program)]
    #[case("x.PY", "", Language::Program)]
    #[case("bin/tool", "#!/usr/bin/env python3\n", Language::Program)]
    #[case("bin/tool", "#!/usr/bin/perl -w\n", Language::Sigils)]
    #[case("bin/tool", "#!/bin/sh\n", Language::Shell)]
    #[case("bin/tool.sh", "", Language::Shell)]
    #[case("config/a.yaml", "#!/bin/sh\n", Language::Yaml)]
    #[case(".env", "", Language::Text)]
    #[case("app.conf", "#!x", Language::Text)]
    fn a_file_has_a_language(#[case] path: &str, #[case] begin: &str, #[case] language: Language) {
        assert_eq!(Language::of(path, begin.as_bytes()), language);
    }

    #[rstest]
    #[case(Language::Program, "", None, "user_password", "", false)]
    #[case(Language::Program, "", None, "self.password", ",", false)]
    #[case(Language::Program, "", None, "getpass.getpass", "(x)", false)]
    #[case(Language::Program, "", None, "credentials", "[0]", false)]
    #[case(Language::Program, "", None, "Cwd::getcwd", "", false)]
    #[case(Language::Program, "", Some("\""), "user_password", "\"", true)]
    #[case(Language::Program, "", None, "9a-b", "", true)]
    #[case(Language::Program, "x = \"host=db ", None, "hunter22", " x\"", true)]
    #[case(Language::Program, "x = \"a\" ", None, "hunter22", "", false)]
    #[case(Language::Program, "x # ", None, "hunter22", "", true)]
    #[case(Language::Program, "x // ", None, "hunter22", "", true)]
    #[case(Language::Sigils, "", None, "$other", "", false)]
    #[case(Language::Sigils, "", Some("`"), "pwd", "`", false)]
    #[case(Language::Sigils, "", Some("'"), "$x", "'", true)]
    #[case(Language::Shell, "", None, "hunter22", "", true)]
    #[case(Language::Shell, "", None, "$1", "", false)]
    #[case(Language::Shell, "", Some("\""), "$(cat /x)", "\"", false)]
    #[case(Language::Shell, "", Some("'"), "$x", "'", true)]
    #[case(Language::Text, "", None, "hunter22", "", true)]
    #[case(Language::Text, "", Some("\""), "$(cat /x)", "\"", false)]
    fn a_literal_is_told_from_an_expression(
        #[case] language: Language,
        #[case] before: &str,
        #[case] quote: Option<&str>,
        #[case] value: &str,
        #[case] after: &str,
        #[case] literal: bool,
    ) {
        let assigned = Assigned { before, quote, value, after };
        assert_eq!(assigned.is_literal(language), literal);
    }
}
