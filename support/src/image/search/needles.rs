//! What a window is first searched for, as sets of short literals: the regex engine looks for a few dozen of them at once, many
//! times faster than for the rules themselves. Only where one of them stands is the rule book asked.

use std::collections::{BTreeMap, BTreeSet};

use regex::bytes::{Regex, RegexBuilder};

use crate::secrets::{BEFORE_SIGN, BLANKS, RuleBook, Token};

/// As many literals as the engine's vector search takes at once.
const GROUP: usize = 64;
/// Longer literals are looked for by their beginning.
const LONGEST_WIDE: usize = 4;
/// A piece of base64 shorter than this stands everywhere.
const SHORTEST_ENCODED: usize = 3;
/// A literal in base64 is looked for by so many characters: then many are the same.
const LONGEST_ENCODED: usize = 4;
/// A word shorter than this is looked for in base64 with the sign behind it.
const SHORTEST_WORD_ENCODED: usize = 4;

/// The literals of a rule book, ready to be looked for.
#[derive(Debug)]
pub(super) struct Needles {
    /// Token rules, in the order of the book.
    pub(super) tokens: Vec<TokenNeedle>,
    /// The token rules' literals.
    pub(super) plain: Vec<Regex>,
    /// Which rules a literal stands for.
    rules_of: BTreeMap<Vec<u8>, Vec<usize>>,
    /// A word of a keyed rule, and behind it a sign of assignment and something of a value.
    pub(super) pairs: Regex,
    /// What stands in no value that is text.
    pub(super) control: Regex,
    /// `pairs` at the beginning of a text, with its parts.
    pub(super) assignment: regex::Regex,
    /// A name, and on the next line the beginning of its value.
    pub(super) beside: Regex,
    /// Literals and words in UTF-16 of either order.
    pub(super) wide: Vec<Regex>,
    /// Literals and words below base64.
    pub(super) encoded: Vec<Regex>,
    /// An escape of a URL.
    pub(super) percent: Regex,
    /// Two lines of wrapped base64, with the line break before them.
    pub(super) wrapped: Regex,
    /// The same where the text begins with them.
    pub(super) wrapped_begin: Regex,
}

#[derive(Debug)]
pub(super) struct TokenNeedle {
    pub(super) pattern: Regex,
    /// Without literals it is looked for everywhere.
    pub(super) everywhere: bool,
    pub(super) reach: (usize, usize),
}

impl Needles {
    pub(super) fn new(book: &RuleBook) -> Result<Self, regex::Error> {
        let mut tokens = Vec::new();
        let mut rules_of: BTreeMap<Vec<u8>, Vec<usize>> = BTreeMap::new();
        for (index, token) in book.tokens().iter().enumerate() {
            let everywhere = token.literals.is_empty();
            tokens.push(TokenNeedle { pattern: bytes(token.pattern.as_str())?, everywhere, reach: token.reach });
            for needle in needles_of(token) {
                rules_of.entry(needle).or_default().push(index);
            }
        }
        let words: BTreeSet<String> = book.keyed().flat_map(|(words, ..)| words).flat_map(|word| forms(word)).collect();
        let literals: Vec<Vec<u8>> = rules_of.keys().cloned().collect();
        Ok(Self {
            plain: groups(&literals)?,
            pairs: bytes(&pairs(book))?,
            control: bytes(r"[\x00-\x08\x0a-\x1f\x7f]|\xef\xbf\xbd")?,
            beside: bytes(book.beside.as_str())?,
            assignment: regex::Regex::new(&format!("^(?:{})", book.assignment.as_str()))?,
            wide: groups(&wide(&literals, &words))?,
            encoded: groups(&encoded(book, &words))?,
            percent: bytes("%[0-9A-Fa-f]{2}")?,
            wrapped_begin: bytes(r"^[A-Za-z0-9+/_-]{60,}\r?\n[A-Za-z0-9+/_-]")?,
            wrapped: bytes(r"\n[A-Za-z0-9+/_-]{60,}\r?\n[A-Za-z0-9+/_-]")?,
            tokens,
            rules_of,
        })
    }

    /// The rules that a literal may begin.
    pub(super) fn rules_of(&self, literal: &[u8]) -> impl Iterator<Item = usize> {
        // Where one literal begins another one, the shorter is found first.
        let from = self.rules_of.range(literal.to_vec()..);
        let begun = from.take_while(|(other, _)| other.starts_with(literal));
        begun.flat_map(|(_, rules)| rules.iter().copied()).collect::<BTreeSet<_>>().into_iter()
    }
}

fn bytes(pattern: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(pattern).unicode(false).build()
}

/// What no value is without that looks like chance: see `looks_random`. A digit before a letter, a mark among letters, cases that
/// change inside a word, many digits behind it, a very long word, other alphabets.
const CHANCE: &str = r"(?:[0-9][A-Za-z]|[+~!$%^*#\x80-\xff]|[a-z][A-Z]|[A-Z]{2}[a-z]|[A-Za-z][0-9]{5}|[A-Za-z0-9]{25})";

/// A word of a key that ends there, the rest of the key, a sign, and what a rule asks of the value at least.
fn pairs(book: &RuleBook) -> String {
    let (mut any, mut by_chance): (BTreeSet<String>, BTreeSet<String>) = Default::default();
    let mut minimum = usize::MAX;
    for (words, shortest, blanks) in book.keyed() {
        let words = words.iter().flat_map(|word| forms(word));
        if blanks {
            any.extend(words);
            minimum = minimum.min(shortest);
        } else {
            by_chance.extend(words);
        }
    }
    let key = |words: BTreeSet<String>| {
        let words: Vec<String> = words.iter().map(|word| regex::escape(word)).collect();
        let words = words.join("|");
        format!(r"(?:{words})(?:[A-Z_.-][A-Za-z0-9_.-]{{0,64}})?{BEFORE_SIGN}(?::=|=>|=|:){BLANKS}")
    };
    let by_chance = key(by_chance.difference(&any).cloned().collect());
    let within = r#"(?:\\{0,2}"[^"\s]*?|\\{0,2}'[^'\s]*?|\\{0,2}`[^`\s]*?|[^\s"'`\\,;&<>(){}\[\]|]*?)"#;
    format!(r"{}[^\r\n]{{{}}}|{by_chance}{within}{CHANCE}", key(any), minimum.min(64))
}

/// Short literals apart: the vector search looks as far as the shortest of its literals goes.
fn groups(literals: &[Vec<u8>]) -> Result<Vec<Regex>, regex::Error> {
    let escaped = |literal: &&Vec<u8>| -> String { literal.iter().map(|byte| format!("\\x{byte:02x}")).collect() };
    let (long, short): (Vec<_>, Vec<_>) = literals.iter().partition(|literal| literal.len() >= LONGEST_WIDE);
    let chunks = long.chunks(GROUP).chain(short.chunks(GROUP));
    chunks.map(|group| bytes(&group.iter().map(escaped).collect::<Vec<_>>().join("|"))).collect()
}

fn ignores_case(token: &Token) -> bool {
    token.pattern.as_str().starts_with("(?i)")
}

/// What a rule is found by: its literals, or, where case does not count, four characters of each in every case.
fn needles_of(token: &Token) -> BTreeSet<Vec<u8>> {
    let literals = token.literals.iter().map(|literal| literal.as_bytes().to_vec());
    if ignores_case(token) {
        literals.flat_map(|literal| every_case(&telling(&literal))).collect()
    } else {
        literals.collect()
    }
}

/// The four neighbours with the fewest letters.
fn telling(literal: &[u8]) -> Vec<u8> {
    let letters = |window: &&[u8]| window.iter().filter(|byte| byte.is_ascii_alphabetic()).count();
    literal.windows(LONGEST_WIDE).min_by_key(letters).unwrap_or(literal).to_vec()
}

fn every_case(literal: &[u8]) -> Vec<Vec<u8>> {
    literal.iter().fold(vec![Vec::new()], |begun, byte| {
        let cases = BTreeSet::from([byte.to_ascii_lowercase(), byte.to_ascii_uppercase()]);
        let with = |begin: &Vec<u8>, case: u8| [begin.as_slice(), &[case]].concat();
        begun.iter().flat_map(|begin| cases.iter().map(|case| with(begin, *case)).collect::<Vec<_>>()).collect()
    })
}

/// `token`, `Token`, `TOKEN`: other cases are other words to the rules.
fn forms(word: &str) -> [String; 3] {
    let mut capitalised = word.to_owned();
    if let Some(first) = capitalised.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    [word.to_owned(), capitalised, word.to_ascii_uppercase()]
}

fn wide(literals: &[Vec<u8>], words: &BTreeSet<String>) -> Vec<Vec<u8>> {
    let all = literals.iter().map(Vec::as_slice).chain(words.iter().map(|word| word.as_bytes()));
    let begin = |literal: &[u8]| -> Vec<u8> { literal.iter().take(LONGEST_WIDE).copied().collect() };
    // Ends without a zero, so that it stands in both byte orders.
    let spread = |begin: Vec<u8>| -> Vec<u8> { begin.into_iter().flat_map(|byte| [0, byte]).skip(1).collect() };
    all.map(begin).map(spread).collect::<BTreeSet<_>>().into_iter().collect()
}

fn encoded(book: &RuleBook, words: &BTreeSet<String>) -> Vec<Vec<u8>> {
    let mut texts: BTreeSet<String> = BTreeSet::new();
    for token in book.tokens() {
        for literal in &token.literals {
            let as_written = [literal.clone(), literal.clone(), literal.clone()];
            texts.extend(if ignores_case(token) { forms(literal) } else { as_written });
        }
    }
    for word in words {
        if word.len() >= SHORTEST_WORD_ENCODED {
            texts.insert(word.clone());
        } else {
            texts.extend(['=', ':', '"'].iter().map(|sign| format!("{word}{sign}")));
        }
    }
    let pieces = texts.iter().flat_map(|text| (0..3).map(|before| below_base64(text.as_bytes(), before)));
    let long_enough = pieces.filter(|piece| piece.len() >= SHORTEST_ENCODED);
    let mut all: BTreeSet<Vec<u8>> = BTreeSet::new();
    for piece in long_enough {
        let url_safe = piece.iter().map(|byte| match byte {
            b'+' => b'-',
            b'/' => b'_',
            other => *other,
        });
        all.insert(url_safe.collect());
        all.insert(piece);
    }
    all.into_iter().collect()
}

/// The characters of base64 that `text` alone decides, when `before` bytes of its group stand before it.
fn below_base64(text: &[u8], before: usize) -> Vec<u8> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let padded: Vec<u8> = std::iter::repeat_n(0, before).chain(text.iter().copied()).collect();
    let bit = |index: usize| padded.get(index / 8).map_or(0, |byte| usize::from(byte >> (7 - index % 8) & 1));
    let decided = (before * 8).div_ceil(6)..padded.len() * 8 / 6;
    let character = |index: usize| (0..6).fold(0, |value, offset| value << 1 | bit(index * 6 + offset));
    decided.filter_map(|index| ALPHABET.get(character(index)).copied()).take(LONGEST_ENCODED).collect()
}

#[cfg(test)]
mod tests {
    use super::{below_base64, every_case, forms, telling};
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    #[test]
    fn a_piece_stands_wherever_its_text_is_encoded() {
        for text in ["secret", "://", "api_key=", "\u{e9}t\u{e9}"] {
            for before in 0..9 {
                let whole = STANDARD.encode(format!("{}{text}?", "x".repeat(before)));
                let piece = String::from_utf8(below_base64(text.as_bytes(), before % 3)).unwrap();
                assert!(whole.contains(&piece) && piece.len() >= 3, "{text} behind {before}: {piece} in {whole}");
            }
        }
    }

    #[test]
    fn cases_are_all_there() {
        assert_eq!(telling(b"z-signature="), b"z-si");
        assert_eq!(every_case(b"a-1"), [b"A-1", b"a-1"]);
        assert_eq!(forms("token"), ["token", "Token", "TOKEN"]);
    }
}
