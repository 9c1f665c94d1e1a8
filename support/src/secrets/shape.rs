//! What a value looks like: words, or chance.

use std::collections::BTreeMap;

/// A piece shorter than this says nothing about chance.
const SHORTEST_TELLING_PIECE: usize = 8;
/// No word or compound in our documents is longer than this without a separator.
const LONGEST_WORD: usize = 24;
/// Bits for each character below which a value repeats itself too much to be chance.
const LEAST_ENTROPY: f64 = 2.5;

/// The key in lower-case words joined by `_`: `clientSecret`, `client-secret`, `CLIENT_SECRET` → `client_secret`.
pub(crate) fn words_of_key(key: &str) -> String {
    let mut words = String::with_capacity(key.len() + 4);
    let mut before: Option<char> = None;
    let mut rest = key.chars().peekable();
    while let Some(character) = rest.next() {
        let was = before.replace(character);
        if !character.is_alphanumeric() {
            push_break(&mut words);
            continue;
        }
        if character.is_uppercase() {
            let rises = was.is_some_and(|c| c.is_lowercase() || c.is_ascii_digit());
            let ends_capitals = was.is_some_and(char::is_uppercase) && rest.peek().is_some_and(|c| c.is_lowercase());
            if rises || ends_capitals {
                push_break(&mut words);
            }
        }
        if character.is_ascii() {
            words.push(character.to_ascii_lowercase());
        } else {
            words.extend(character.to_lowercase());
        }
    }
    words
}

fn push_break(words: &mut String) {
    if !words.is_empty() && !words.ends_with('_') {
        words.push('_');
    }
}

/// Shannon entropy of the text, in bits for each character.
pub(super) fn entropy(text: &str) -> f64 {
    let mut ascii = [0_u32; 128];
    let mut others: BTreeMap<char, u32> = BTreeMap::new();
    let mut total = 0_u32;
    for character in text.chars() {
        total += 1;
        match ascii.get_mut(character as usize) {
            Some(count) => *count += 1,
            None => *others.entry(character).or_insert(0) += 1,
        }
    }
    let counts = ascii.iter().chain(others.values()).filter(|count| **count > 0);
    counts.map(|&count| f64::from(count) / f64::from(total)).map(|share| -share * share.log2()).sum()
}

/// Whether a value looks made by chance: no white space, enough entropy, and at least one piece between separators that is
/// no word, no number and no word with a small number behind it.
pub(crate) fn looks_random(value: &str) -> bool {
    !value.contains(char::is_whitespace)
        && value
            .split(|c: char| !(c.is_alphanumeric() || matches!(c, '+' | '~' | '!' | '$' | '%' | '^' | '*' | '#')))
            .any(is_no_word)
        && entropy(value) >= LEAST_ENTROPY
}

fn is_no_word(piece: &str) -> bool {
    let length = piece.chars().count();
    if length < SHORTEST_TELLING_PIECE {
        return false;
    }
    if length > LONGEST_WORD {
        return true;
    }
    let stem = piece.trim_end_matches(|c: char| c.is_ascii_digit());
    let number = piece.len() - stem.len();
    // `cluster12`, `20260213` and `v2` are words with a number behind them; `a8f5f167` is not.
    !(is_word(stem) && (stem.is_empty() || number <= 4))
}

/// One case throughout, or a capital in front, or words each with a capital in front (`SecureString`).
fn is_word(piece: &str) -> bool {
    let letters_only = piece.chars().all(char::is_alphabetic);
    let one_case = !piece.chars().any(char::is_uppercase) || !piece.chars().any(char::is_lowercase);
    letters_only && (one_case || is_camel_case(piece))
}

/// Words of at least three letters each, in CamelCase: chance hardly ever writes that.
fn is_camel_case(piece: &str) -> bool {
    let words = words_of_key(piece);
    words.split('_').all(|word| word.chars().count() >= 3)
}

#[cfg(test)]
mod tests {
    use super::{entropy, looks_random, words_of_key};
    use rstest::rstest;

    #[rstest]
    #[case("clientSecret", "client_secret")]
    #[case("client-secret", "client_secret")]
    #[case("CLIENT_SECRET", "client_secret")]
    #[case("SecretAccessKey", "secret_access_key")]
    #[case("AWSSecretKey", "aws_secret_key")]
    #[case("db.password", "db_password")]
    #[case("__x__", "x_")]
    #[case("", "")]
    fn a_key_becomes_its_words(#[case] key: &str, #[case] words: &str) {
        assert_eq!(words_of_key(key), words);
    }

    #[rstest]
    #[case("fraud-platform-dev-min-evidence", false)]
    #[case("/fraud-platform/dev_min/confluent/api_key", false)]
    #[case("TF_VAR_confluent_cloud_api_key", false)]
    #[case("user_creds_dev", false)]
    #[case("SecureString", false)]
    #[case("2026-02-13T21:42:23Z", false)]
    #[case("aaaaaaaa1111aaaa", false)]
    #[case("two words of a sentence1a2b3c4d", false)]
    #[case("a8f5f167f44f4964", true)]
    #[case("wJalrXUtnFEMIbPxRfiCY", true)]
    #[case("qwhdkajshdkjqhwdkjahsdqqpzmxn", true)]
    #[case("f3-9aK2mPx81Lq-77", true)]
    fn chance_is_told_from_words(#[case] value: &str, #[case] random: bool) {
        assert_eq!(looks_random(value), random, "{value}: {}", entropy(value));
    }
}
