//! Here-documents of `RUN`, which may stand anywhere in its line: their text is no instruction.

use super::facts::HereDocument;
use super::words::{Joined, Value};

/// A text whose here-documents of `RUN` are blanked: as long as before, line for line.
pub(super) struct Masked {
    pub(super) text: String,
    pub(super) documents: Vec<HereDocument>,
}

/// The line of a byte offset, from 1.
pub(super) fn line(text: &str, at: usize) -> usize {
    text.get(..at).unwrap_or(text).matches('\n').count() + 1
}

/// The escape character: `# escape=` among the directives on top, else a backslash.
pub(super) fn escape(text: &str) -> char {
    for line in text.lines() {
        let Some((name, value)) = line.trim_start().strip_prefix('#').and_then(|rest| rest.split_once('=')) else {
            break;
        };
        if name.trim().eq_ignore_ascii_case("escape") {
            return if value.trim() == "`" { '`' } else { '\\' };
        }
        if !["syntax", "check"].iter().any(|known| name.trim().eq_ignore_ascii_case(known)) {
            break;
        }
    }
    '\\'
}

/// Blanks the here-documents of each `RUN`. Those of `COPY` and `ADD` stay: the parser reads them.
pub(super) fn mask(text: &str, escape: char) -> Result<Masked, (usize, String)> {
    let mut masked = text.as_bytes().to_vec();
    let mut documents = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let end = logical_end(text, at, escape);
        let joined = Joined::new(text, at..end, escape);
        let words = joined.words();
        let verb = words.iter().map(|(_, word)| word.to_ascii_uppercase()).find(|word| word != "ONBUILD");
        at = end;
        let is_run = verb.as_deref() == Some("RUN");
        if !is_run && !matches!(verb.as_deref(), Some("COPY" | "ADD")) {
            continue;
        }
        for (operator_at, word) in words.iter().skip(1) {
            let Some(operator) = Operator::read(word, escape) else {
                continue;
            };
            let (body, after) = operator.body(text, at).ok_or_else(|| {
                (line(text, *operator_at), format!("the here-document `{}` does not end", operator.name))
            })?;
            if is_run {
                documents.push(HereDocument {
                    line: line(text, body.start),
                    bytes: body.len(),
                    expand: operator.expand,
                    destination: None,
                });
                blank(&mut masked, body.start..after);
                blank(&mut masked, *operator_at..operator_at + word.len());
            }
            at = after;
        }
    }
    // Only whole characters were replaced, each by as many blanks as it has bytes.
    let text = String::from_utf8(masked).map_err(|error| (1, error.to_string()))?;
    Ok(Masked { text, documents })
}

fn blank(bytes: &mut [u8], range: std::ops::Range<usize>) {
    for byte in bytes.get_mut(range).unwrap_or_default() {
        if !matches!(byte, b'\n' | b'\r') {
            *byte = b' ';
        }
    }
}

/// Where the instruction that begins at `at` ends: behind the first line that is not continued.
fn logical_end(text: &str, at: usize, escape: char) -> usize {
    let mut end = at;
    let mut continued = false;
    for physical in text.get(at..).unwrap_or_default().split_inclusive('\n') {
        end += physical.len();
        let content = physical.trim();
        if content.is_empty() || content.starts_with('#') {
            if continued {
                continue;
            }
            return end;
        }
        continued = content.ends_with(escape);
        if !continued {
            break;
        }
    }
    end
}

/// `<<EOF`, `<<-"EOF"`, `3<<EOF`.
struct Operator {
    name: String,
    strip_tabs: bool,
    expand: bool,
}

impl Operator {
    fn read(word: &str, escape: char) -> Option<Self> {
        let rest = word.trim_start_matches(|c: char| c.is_ascii_digit()).strip_prefix("<<")?;
        let (strip_tabs, name) = rest.strip_prefix('-').map_or((false, rest), |name| (true, name));
        if name.is_empty() || name.contains('<') {
            return None;
        }
        let plain = Value::read(name, escape).text;
        Some(Self { expand: plain == name, name: plain, strip_tabs })
    }

    /// The text from `at` to the line that ends it, and the place behind that line.
    fn body(&self, text: &str, at: usize) -> Option<(std::ops::Range<usize>, usize)> {
        let mut end = at;
        for line in text.get(at..)?.split_inclusive('\n') {
            let content = line.trim_end_matches(['\n', '\r']);
            let content = if self.strip_tabs { content.trim_start_matches('\t') } else { content };
            if content == self.name {
                return Some((at..end, end + line.len()));
            }
            end += line.len();
        }
        None
    }
}
