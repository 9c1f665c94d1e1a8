//! What stands below one layer of encoding: base64, URL encoding, UTF-16.

use std::ops::Range;

use percent_encoding::percent_decode;

use super::direct::Direct;
use super::language::Language;
use crate::secrets::base64_readings;

/// A run of base64 is read so far before and behind a literal.
const BASE64_BEFORE: usize = 1024;
const BASE64_BEHIND: usize = 3072;
/// A word with escapes is read so far to both sides.
const LONGEST_ESCAPED: usize = 1024;
/// A text in UTF-16 is read so far to both sides, in bytes.
const LONGEST_WIDE: usize = 4096;

impl Direct<'_> {
    /// Calls `found` with each rule that takes something below an encoding, and with the place where that stands.
    pub(super) fn hidden(&self, found: &mut dyn FnMut(&str, usize)) {
        self.base64(found);
        self.percent(found);
        if memchr::memchr(0, self.bytes).is_some() {
            self.wide(found);
        } else {
            self.wrapped(found);
        }
    }

    /// Reads decoded text by the same rules.
    fn inside(&self, text: &[u8], prose: bool, at: usize, found: &mut dyn FnMut(&str, usize)) {
        let worth = self.needles.pairs.is_match(text) || self.needles.plain.iter().any(|group| group.is_match(text));
        if worth {
            let inside = Direct { bytes: text, told: 0..text.len(), prose, language: Language::Text, ..*self };
            inside.run(&mut |rule, _| found(rule, at));
        }
    }

    /// The places in `bytes` where one of the literals begins, in order.
    fn places(&self, groups: &[regex::bytes::Regex], bytes: &[u8]) -> Vec<usize> {
        let mut places: Vec<usize> =
            groups.iter().flat_map(|group| group.find_iter(bytes)).map(|one| one.start()).collect();
        places.sort_unstable();
        places
    }

    fn base64(&self, found: &mut dyn FnMut(&str, usize)) {
        let mut read_to = 0;
        for at in self.places(&self.needles.encoded, self.bytes) {
            if at < read_to || !self.told.contains(&at) {
                continue;
            }
            let run = around(self.bytes, at, is_base64, BASE64_BEFORE..BASE64_BEHIND);
            // What begins soon behind the literal was read whole with it.
            read_to = if run.end < at + BASE64_BEHIND { run.end } else { at + BASE64_BEFORE };
            // The run's beginning is its place, so that two windows name the same one.
            let place = if run.start + BASE64_BEFORE > at { run.start } else { at };
            self.base64_run(self.bytes.get(run).unwrap_or_default(), place, found);
        }
    }

    fn base64_run(&self, run: &[u8], at: usize, found: &mut dyn FnMut(&str, usize)) {
        for reading in base64_readings(&String::from_utf8_lossy(run)) {
            self.inside(reading.as_bytes(), true, at, found);
        }
    }

    /// Base64 in lines: a literal may be broken by their ends.
    fn wrapped(&self, found: &mut dyn FnMut(&str, usize)) {
        let mut from = 0;
        let begin = self.needles.wrapped_begin.find(self.bytes);
        while let Some(lines) = begin.filter(|_| from == 0).or_else(|| self.needles.wrapped.find_at(self.bytes, from)) {
            let is_wrapped = |byte: u8| is_base64(byte) || matches!(byte, b'\r' | b'\n');
            let run = around(self.bytes, lines.start(), is_wrapped, 0..self.bytes.len());
            from = run.end.max(lines.end());
            let text = self.bytes.get(run.clone()).unwrap_or_default();
            let joined: Vec<u8> = text.split(|byte| matches!(byte, b'\r' | b'\n')).collect::<Vec<_>>().concat();
            let breaks = text.len() - joined.len();
            let mut read_to = 0;
            for place in self.places(&self.needles.encoded, &joined) {
                // Where it stands in the lines, nearly.
                let at = run.start + place + breaks * place / joined.len().max(1);
                if place < read_to || !self.told.contains(&at) {
                    continue;
                }
                let part = around(&joined, place, is_base64, BASE64_BEFORE..BASE64_BEHIND);
                read_to = if part.end < place + BASE64_BEHIND { part.end } else { place + BASE64_BEFORE };
                self.base64_run(joined.get(part).unwrap_or_default(), at, found);
            }
        }
    }

    fn percent(&self, found: &mut dyn FnMut(&str, usize)) {
        let mut read_to = 0;
        while let Some(escape) = self.needles.percent.find_at(self.bytes, read_to) {
            let is_of_word = |byte: u8| byte.is_ascii_graphic();
            let word = around(self.bytes, escape.start(), is_of_word, LONGEST_ESCAPED..LONGEST_ESCAPED);
            read_to = word.end.max(escape.end());
            if !self.told.contains(&escape.start()) {
                continue;
            }
            let decoded: Vec<u8> = percent_decode(self.bytes.get(word).unwrap_or_default()).collect();
            self.inside(&decoded, false, escape.start(), found);
            // In forms a blank is written as a plus sign.
            if decoded.contains(&b'+') {
                let blanks: Vec<u8> = decoded.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
                self.inside(&blanks, false, escape.start(), found);
            }
        }
    }

    fn wide(&self, found: &mut dyn FnMut(&str, usize)) {
        let mut read_to = 0;
        for at in self.places(&self.needles.wide, self.bytes) {
            if at < read_to || !self.told.contains(&at) {
                continue;
            }
            let run = wide_run(self.bytes, at);
            read_to = run.end;
            let text: Vec<u8> =
                self.bytes.get(run).unwrap_or_default().iter().copied().filter(|byte| *byte != 0).collect();
            self.inside(&text, true, at, found);
        }
    }
}

fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_')
}

/// The run of such bytes around `at`, no longer than `reach` to each side.
fn around(bytes: &[u8], at: usize, is_of_run: impl Fn(u8) -> bool, reach: Range<usize>) -> Range<usize> {
    let (before, behind) = (reach.start, reach.end);
    let earlier = bytes.get(at.saturating_sub(before)..at).unwrap_or_default();
    let later = bytes.get(at..(at.saturating_add(behind)).min(bytes.len())).unwrap_or_default();
    let start = at - earlier.iter().rev().take_while(|byte| is_of_run(**byte)).count();
    let end = at + later.iter().take_while(|byte| is_of_run(**byte)).count();
    start..end
}

/// The text in UTF-16 of either order around the character at `at`.
fn wide_run(bytes: &[u8], at: usize) -> Range<usize> {
    let readable = |byte: u8| matches!(byte, b'\t' | b'\n' | b'\r' | b' '..=b'~');
    let character = |pair: &&[u8]| matches!(pair, [byte, 0] if readable(*byte));
    let before = bytes.get(at.saturating_sub(LONGEST_WIDE)..at).unwrap_or_default();
    let behind = bytes.get(at..(at + LONGEST_WIDE).min(bytes.len())).unwrap_or_default();
    let start = at - 2 * before.rchunks_exact(2).take_while(character).count();
    let end = at + 2 * behind.chunks_exact(2).take_while(character).count();
    // The zero of the last one is before it where the order is the other.
    start..if bytes.get(end).copied().is_some_and(readable) { end + 1 } else { end }
}

#[cfg(test)]
mod tests {
    use super::wide_run;

    #[test]
    fn utf16_is_read_in_both_orders() {
        let text = "ab token=x1";
        let little: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let big: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
        for bytes in
            [[b"\xff\xfe".as_slice(), &little, b"\x01\x02"].concat(), [b"\xfe\xff".as_slice(), &big, b"\x01"].concat()]
        {
            let at = bytes.windows(3).position(|window| window == b"t\0o").unwrap();
            let run = wide_run(&bytes, at);
            let read: Vec<u8> = bytes[run].iter().copied().filter(|byte| *byte != 0).collect();
            assert_eq!(read, text.as_bytes());
        }
    }
}
