//! The flags of AWS commands.

use super::template::TemplateError;
use super::typed::{bad_value, missing, plain, unexpected, unknown_flag};
use super::words::Word;

/// The flags of one command, each known, each at most once.
pub(super) struct Flags<'words> {
    command: &'static str,
    given: Vec<(&'static str, Vec<&'words Word>)>,
}

impl<'words> Flags<'words> {
    pub(super) fn read(
        command: &'static str,
        words: &[&'words Word],
        single: &[&'static str],
        several: &[&'static str],
    ) -> Result<Self, TemplateError> {
        let mut given: Vec<(&'static str, Vec<&'words Word>)> = Vec::new();
        for word in words {
            if word.text.starts_with('-') {
                let known = single.iter().chain(several).find(|flag| **flag == word.text);
                let flag = known.ok_or_else(|| unknown_flag(command, &word.text))?;
                if given.iter().any(|(earlier, _)| earlier == flag) {
                    return Err(unexpected(command, &word.text));
                }
                given.push((flag, Vec::new()));
                continue;
            }
            match given.last_mut() {
                Some((flag, values)) if values.is_empty() || several.contains(flag) => values.push(word),
                _ => return Err(unexpected(command, &word.text)),
            }
        }
        for (flag, values) in &given {
            if values.is_empty() {
                return Err(missing(command, &format!("a value for {flag}")));
            }
        }
        Ok(Self { command, given })
    }

    fn take(&mut self, flag: &str) -> Option<Vec<&'words Word>> {
        let at = self.given.iter().position(|(given, _)| *given == flag)?;
        Some(self.given.swap_remove(at).1)
    }

    pub(super) fn optional(&mut self, flag: &str) -> Result<Option<String>, TemplateError> {
        let values = self.take(flag);
        values.into_iter().flatten().next().map(|word| plain(self.command, word)).transpose()
    }

    pub(super) fn needed(&mut self, flag: &str) -> Result<String, TemplateError> {
        self.optional(flag)?.ok_or_else(|| missing(self.command, flag))
    }

    pub(super) fn list(&mut self, flag: &str) -> Result<Vec<String>, TemplateError> {
        let words = self.take(flag).ok_or_else(|| missing(self.command, flag))?;
        words.into_iter().map(|word| plain(self.command, word)).collect()
    }

    pub(super) fn number(&mut self, flag: &str) -> Result<Option<u32>, TemplateError> {
        let command = self.command;
        let read = |text: String| match text.parse() {
            Ok(number) if number > 0 => Ok(number),
            _ => Err(bad_value(command, flag, "it must be a whole number above zero")),
        };
        self.optional(flag)?.map(read).transpose()
    }

    /// The keys that `--key` stands for: `{a|b}` in it means one key with each.
    pub(super) fn needed_keys(&mut self) -> Result<Vec<String>, TemplateError> {
        let words = self.take("--key").ok_or_else(|| missing(self.command, "--key"))?;
        let [word] = words.as_slice() else {
            return Err(missing(self.command, "--key"));
        };
        if !word.braces {
            return Ok(vec![plain(self.command, word)?]);
        }
        let bad = || bad_value(self.command, "--key", "it may hold one {a|b}, with a text on either side of each |");
        let (before, rest) = word.text.split_once('{').ok_or_else(bad)?;
        let (inner, after) = rest.split_once('}').ok_or_else(bad)?;
        if word.glob || inner.contains('{') || after.contains(['{', '}']) || inner.split('|').any(str::is_empty) {
            return Err(bad());
        }
        Ok(inner.split('|').map(|part| format!("{before}{part}{after}")).collect())
    }
}
