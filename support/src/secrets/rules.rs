//! The rule file, read and checked: a rule that cannot work, or an allowance that allows more than it says, is an error here.

use std::collections::BTreeSet;

use regex::{Regex, RegexSet};
use regex_syntax::hir::Look;
use serde::Deserialize;

use super::decode::{Decoder, is_basic_credentials};
use super::shape::{looks_random, words_of_key};

/// Why a rule file is refused. Rule files are part of the program: correct the entry that is named.
#[derive(Debug, thiserror::Error)]
pub enum RuleFileError {
    /// The text is not a rule file: bad TOML, an unknown or a missing field.
    #[error("the rule file cannot be read: {0}")]
    Form(#[from] Box<toml::de::Error>),
    /// A pattern is no regular expression.
    #[error("rule {id}: the pattern cannot be read: {source}")]
    Pattern {
        /// The entry at fault.
        id: String,
        /// What the regex engine says.
        source: Box<regex::Error>,
    },
    /// An allowance that would match a part of a value: `^true|false$` allows whatever begins with `true`.
    #[error(
        "allowance {id}: the pattern is not anchored; begin and end each of its branches by ^ and $, as in ^(?:a|b)$"
    )]
    Unanchored {
        /// The entry at fault.
        id: String,
    },
    /// A pattern that is found in an empty text would be found in everything.
    #[error("rule {id}: the pattern matches the empty text; make it ask for something")]
    MatchesNothing {
        /// The entry at fault.
        id: String,
    },
    /// An entry without its id, meaning or reason.
    #[error("entry {id:?}: id, meaning and reason may not be empty; say what it is for")]
    Unexplained {
        /// The entry at fault.
        id: String,
    },
    /// A token that would reach farther than streams are looked at.
    #[error("rule {id}: `before` and `after` may be at most {FARTHEST}; shorten them")]
    TooFar {
        /// The entry at fault.
        id: String,
    },
    /// Two entries with one id.
    #[error("entry {id}: the id is used twice; rename one")]
    Twice {
        /// The id that is used twice.
        id: String,
    },
    /// A rule file without rules finds nothing.
    #[error("the rule file holds no rule")]
    Empty,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleFile {
    #[serde(default)]
    token: Vec<TokenEntry>,
    #[serde(default)]
    keyed: Vec<KeyedEntry>,
    #[serde(default)]
    allow: Vec<AllowEntry>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenEntry {
    id: String,
    meaning: String,
    pattern: String,
    #[serde(default)]
    test: Test,
    #[serde(default)]
    literals: Vec<String>,
    #[serde(default = "default_before")]
    before: usize,
    #[serde(default = "default_after")]
    after: usize,
}

fn default_before() -> usize {
    512
}

fn default_after() -> usize {
    FARTHEST
}

/// What may stand between the parts of an assignment: as many blanks as align it with others, or a few with line breaks.
pub(crate) const BLANKS: &str = r"(?:[ \t]*|\s{0,4})";

/// What may stand between a key and its sign: the end of its quotation mark, and of the index that it is.
pub(crate) const BEFORE_SIGN: &str = r#"\\{0,2}(?:["']\]?)?(?:[ \t]*|\s{0,4})"#;

/// `name: DB_PASSWORD`, and `value: …` on the next line, in the notations of YAML, JSON and HCL.
const BESIDE: &str = r#"(?:[Nn]ame|[Kk]ey)["']?[ \t]*[:=][ \t]*["']?(?P<key>[A-Za-z_][A-Za-z0-9_.-]*)["']?[ \t]*,?[ \t]*\r?\n[ \t]*["']?[Vv]alue["']?[ \t]*(?P<sign>[:=])[ \t]*(?P<quote>["'])?"#;

/// How far a match may reach from its literal.
pub(crate) const FARTHEST: usize = 8192;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyedEntry {
    id: String,
    meaning: String,
    key: String,
    value: Option<String>,
    minimum: usize,
    test: Test,
    #[serde(default)]
    words: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AllowEntry {
    id: String,
    reason: String,
    key: Option<String>,
    /// Whether it also holds for a literal whose name says that it is a secret.
    #[serde(default = "also_named")]
    named: bool,
    value: String,
    sample: Sample,
    near: Vec<String>,
}

fn also_named() -> bool {
    true
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(not(test), expect(dead_code, reason = "the samples are what the tests hold the allowances to"))]
pub(super) struct Sample {
    pub(super) key: String,
    pub(super) value: String,
}

/// What is asked of a value beyond its pattern.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Test {
    #[default]
    Any,
    Random,
    BasicCredentials,
}

impl Test {
    fn passes(self, value: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Random => looks_random(value),
            Self::BasicCredentials => is_basic_credentials(value),
        }
    }
}

#[derive(Debug)]
pub(crate) struct Token {
    pub(crate) id: String,
    pub(crate) pattern: Regex,
    test: Test,
    /// One of them stands in each match; none: nothing is known.
    pub(crate) literals: Vec<String>,
    /// How far a match may begin before its literal, and end behind it.
    pub(crate) reach: (usize, usize),
}

#[derive(Debug)]
struct Keyed {
    id: String,
    key: Regex,
    value: Option<Regex>,
    minimum: usize,
    test: Test,
    words: Vec<String>,
}

/// Something harmless that a rule would take.
#[derive(Debug)]
#[cfg_attr(not(test), expect(dead_code, reason = "the samples are what the tests hold the allowances to"))]
pub(super) struct Allow {
    pub(super) id: String,
    key: Option<Regex>,
    named: bool,
    value: Regex,
    pub(super) sample: Sample,
    pub(super) near: Vec<String>,
}

/// A rule file, ready for use.
#[derive(Debug)]
pub struct RuleBook {
    tokens: Vec<Token>,
    /// All token patterns at once: one pass tells which of them are worth a look.
    token_set: RegexSet,
    keyed: Vec<Keyed>,
    pub(super) allowed: Vec<Allow>,
    pub(crate) decoder: Decoder,
    pub(crate) assignment: Regex,
    pub(crate) assigned: Regex,
    /// A name, and on the next line the beginning of its value.
    pub(crate) beside: Regex,
}

/// How sure it is that a pair of words is a key and its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pairing {
    /// A member of a JSON object, `key=value`, or a value in quotation marks.
    Certain,
    /// `key: value` in prose: only a value that looks like chance counts.
    Likely,
}

impl RuleBook {
    /// Read and check a rule file (TOML; the built-in file explains the form).
    ///
    /// # Errors
    /// [`RuleFileError`] names the entry that is at fault; an allowance that is not anchored at both ends in each of its branches is one.
    pub fn parse(text: &str) -> Result<Self, RuleFileError> {
        let file: RuleFile = toml::from_str(text).map_err(Box::new)?;
        if file.token.is_empty() && file.keyed.is_empty() {
            return Err(RuleFileError::Empty);
        }
        check_names(&file)?;
        let tokens = file.token.into_iter().map(Token::read).collect::<Result<Vec<_>, _>>()?;
        let own = |source| pattern_error("built-in", source);
        Ok(Self {
            token_set: RegexSet::new(tokens.iter().map(|token| token.pattern.as_str())).map_err(own)?,
            tokens,
            keyed: file.keyed.into_iter().map(Keyed::read).collect::<Result<_, _>>()?,
            allowed: file.allow.into_iter().map(Allow::read).collect::<Result<_, _>>()?,
            decoder: Decoder::new().map_err(own)?,
            assignment: Regex::new(&format!(
                r#"(?P<key>[A-Za-z_][A-Za-z0-9_.-]*){BEFORE_SIGN}(?P<sign>:=|=>|=|:){BLANKS}(?P<quote>\\{{0,2}}["'`])?"#
            ))
            .map_err(own)?,
            beside: Regex::new(BESIDE).map_err(own)?,
            assigned: Regex::new(r#"^[^\s"'`\\,;&<>(){}\[\]|]+"#).map_err(own)?,
        })
    }

    /// Calls `found` with the rule and the byte offset of each token in `text`, which is taken as it is.
    pub(super) fn tokens_in(&self, text: &str, found: &mut dyn FnMut(&str, usize)) {
        for index in self.token_set.matches(text) {
            let Some(token) = self.tokens.get(index) else {
                continue;
            };
            for captures in token.pattern.captures_iter(text) {
                let whole = captures.get(0);
                let secret = captures.iter().skip(1).flatten().next().or(whole);
                if let Some(secret) = secret
                    && self.takes(token, secret.as_str())
                {
                    found(&token.id, secret.start());
                }
            }
        }
    }

    /// The token rules, for those who look for them in another way.
    pub(crate) fn tokens(&self) -> &[Token] {
        &self.tokens
    }

    /// For each keyed rule the words of which one stands in its keys, the shortest value, and whether white space may stand in it.
    pub(crate) fn keyed(&self) -> impl Iterator<Item = (&[String], usize, bool)> {
        self.keyed.iter().map(|rule| (rule.words.as_slice(), rule.minimum, rule.test != Test::Random))
    }

    /// Whether some keyed rule is about this key.
    pub(crate) fn is_about_key(&self, key: &str) -> bool {
        let words = words_of_key(key);
        self.keyed.iter().any(|rule| rule.key.is_match(&words))
    }

    /// Whether the secret part of a match of `token` is one.
    pub(crate) fn takes(&self, token: &Token, secret: &str) -> bool {
        token.test.passes(secret) && !self.allows(None, secret)
    }

    /// The rules by which `value` is a secret because of its key.
    pub(crate) fn rules_for_pair(&self, key: &str, value: &str, pairing: Pairing) -> Vec<&str> {
        let words = words_of_key(key);
        let takes = |rule: &Keyed| {
            value.chars().count() >= rule.minimum
                && rule.key.is_match(&words)
                && rule.value.as_ref().is_none_or(|form| form.is_match(value))
                && rule.test.passes(value)
                && (pairing == Pairing::Certain || looks_random(value))
        };
        let taken: Vec<&str> = self.keyed.iter().filter(|rule| takes(rule)).map(|rule| rule.id.as_str()).collect();
        if taken.is_empty() || self.allows(Some(key), value) { Vec::new() } else { taken }
    }

    /// The rule by which `key` alone says that its value is a secret: it ends in what the rule looks for. `API_KEY` does,
    /// `API_KEY_HEADER` does not. Rules that ask for a form of value are not about names.
    pub(super) fn rule_of_name(&self, key: &str) -> Option<&str> {
        let words = words_of_key(key);
        let words = words.trim_end_matches('_');
        let tails = || words.match_indices('_').filter_map(|(at, _)| words.get(at + 1..)).chain([words]);
        let whole = |form: &Regex, tail: &str| form.find(tail).is_some_and(|found| found.range() == (0..tail.len()));
        let says = |rule: &&Keyed| rule.value.is_none() && tails().any(|tail| whole(&rule.key, tail));
        self.keyed.iter().find(says).map(|rule| rule.id.as_str())
    }

    /// The rule by which `value` is a secret because `key` says so, however short or plain it is. What an allowance takes is none,
    /// nor is a count of many: `MAX_TOKENS=512`.
    pub(super) fn rule_of_named_value(&self, key: &str, value: &str) -> Option<&str> {
        let rule = self.rule_of_name(key)?;
        let counts = key.ends_with(['s', 'S']) && value.bytes().all(|byte| byte.is_ascii_digit());
        let allowed = self.allowances_of(Some(key), value).any(|allow| allow.named);
        (!value.is_empty() && !counts && !allowed).then_some(rule)
    }

    fn allows(&self, key: Option<&str>, value: &str) -> bool {
        self.allowances_of(key, value).next().is_some()
    }

    fn allowances_of<'a>(&'a self, key: Option<&'a str>, value: &'a str) -> impl Iterator<Item = &'a Allow> {
        self.allowed.iter().filter(move |allow| {
            let of_this_key = match (&allow.key, key) {
                (None, _) => true,
                (Some(form), Some(key)) => form.is_match(key),
                (Some(_), None) => false,
            };
            of_this_key && allow.value.is_match(value)
        })
    }
}

impl Token {
    fn read(entry: TokenEntry) -> Result<Self, RuleFileError> {
        let pattern = search_pattern(&entry.id, &entry.pattern)?;
        if entry.before > FARTHEST || entry.after > FARTHEST {
            return Err(RuleFileError::TooFar { id: entry.id });
        }
        let reach = (entry.before, entry.after);
        Ok(Self { id: entry.id, pattern, test: entry.test, literals: entry.literals, reach })
    }
}

impl Keyed {
    fn read(entry: KeyedEntry) -> Result<Self, RuleFileError> {
        let key = search_pattern(&entry.id, &entry.key)?;
        let value = entry.value.as_deref().map(|form| search_pattern(&entry.id, form)).transpose()?;
        Ok(Self { key, value, minimum: entry.minimum, test: entry.test, id: entry.id, words: entry.words })
    }
}

impl Allow {
    fn read(entry: AllowEntry) -> Result<Self, RuleFileError> {
        let key = entry.key.as_deref().map(|form| anchored_pattern(&entry.id, form)).transpose()?;
        let value = anchored_pattern(&entry.id, &entry.value)?;
        Ok(Self { key, named: entry.named, value, sample: entry.sample, near: entry.near, id: entry.id })
    }
}

fn check_names(file: &RuleFile) -> Result<(), RuleFileError> {
    let rules = file.token.iter().map(|entry| (&entry.id, &entry.meaning));
    let keyed = file.keyed.iter().map(|entry| (&entry.id, &entry.meaning));
    let allowed = file.allow.iter().map(|entry| (&entry.id, &entry.reason));
    let mut seen = BTreeSet::new();
    for (id, why) in rules.chain(keyed).chain(allowed) {
        if id.trim().is_empty() || why.trim().is_empty() {
            return Err(RuleFileError::Unexplained { id: id.clone() });
        }
        if !seen.insert(id) {
            return Err(RuleFileError::Twice { id: id.clone() });
        }
    }
    Ok(())
}

fn pattern_error(id: &str, source: regex::Error) -> RuleFileError {
    RuleFileError::Pattern { id: id.to_owned(), source: Box::new(source) }
}

fn search_pattern(id: &str, pattern: &str) -> Result<Regex, RuleFileError> {
    let regex = Regex::new(pattern).map_err(|source| pattern_error(id, source))?;
    if regex.is_match("") {
        return Err(RuleFileError::MatchesNothing { id: id.to_owned() });
    }
    Ok(regex)
}

/// An allowance must hold the whole value between the text's own ends: the parsed expression is asked, not its spelling, for
/// `^true|false$` begins and ends as it should and allows `true or anything`.
fn anchored_pattern(id: &str, pattern: &str) -> Result<Regex, RuleFileError> {
    let regex = search_pattern(id, pattern)?;
    let parsed = regex_syntax::parse(pattern).map_err(|_| RuleFileError::Unanchored { id: id.to_owned() })?;
    let properties = parsed.properties();
    let anchored =
        properties.look_set_prefix().contains(Look::Start) && properties.look_set_suffix().contains(Look::End);
    if anchored { Ok(regex) } else { Err(RuleFileError::Unanchored { id: id.to_owned() }) }
}

#[cfg(test)]
mod tests {
    use super::{RuleBook, RuleFileError};
    use rstest::rstest;
    use serde_json::json;

    fn book() -> RuleBook {
        RuleBook::parse(include_str!("rules.toml")).unwrap()
    }

    fn with_allowance(value: &str) -> String {
        format!(
            "[[token]]\nid='t'\nmeaning='m'\npattern='x'\n[[allow]]\nid='a'\nreason='r'\nvalue='{value}'\nsample={{key='k',value='v'}}\nnear=[]\n"
        )
    }

    #[rstest]
    #[case("^true|false|null$")]
    #[case("^true|false$")]
    #[case("true")]
    #[case("^true")]
    #[case("true$")]
    #[case("(?m)^true$")]
    #[case("^(?:a|b)$|c")]
    #[case("(?:^a|b)$")]
    #[case(r"\btrue\b")]
    fn an_allowance_that_is_not_anchored_is_refused(#[case] pattern: &str) {
        let error = RuleBook::parse(&with_allowance(pattern)).unwrap_err();
        assert!(matches!(error, RuleFileError::Unanchored { ref id } if id == "a"), "{error}");
    }

    #[rstest]
    #[case("^true$")]
    #[case("^(?:true|false|null)$")]
    #[case("^true$|^false$")]
    fn an_anchored_allowance_is_read(#[case] pattern: &str) {
        RuleBook::parse(&with_allowance(pattern)).unwrap();
    }

    #[rstest]
    #[case("", "no rule")]
    #[case("[[token]]\nid='t'\nmeaning='m'\npattern='('", "cannot be read")]
    #[case("[[token]]\nid='t'\nmeaning='m'\npattern='x*'", "empty text")]
    #[case("[[token]]\nid='t'\nmeaning=' '\npattern='x'", "may not be empty")]
    #[case("[[token]]\nid='t'\nmeaning='m'\npattern='x'\nextra=1", "unknown field")]
    #[case("[[token]]\nid='t'\nmeaning='m'\npattern='x'\n[[token]]\nid='t'\nmeaning='m'\npattern='y'", "twice")]
    fn a_bad_rule_file_is_refused(#[case] text: &str, #[case] says: &str) {
        let error = RuleBook::parse(text).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }

    /// Each allowance is needed (without it its sample is a hit), works, and stops where it should.
    #[test]
    fn each_allowance_bears_its_load() {
        let with_all = book();
        for index in 0..with_all.allowed.len() {
            let mut without = book();
            let allow = without.allowed.remove(index);
            let sample = json!({ &allow.sample.key: &allow.sample.value });
            assert_eq!(with_all.scan_json(&sample), [], "{}: the sample is still taken", allow.id);
            assert_ne!(without.scan_json(&sample), [], "{}: nothing takes the sample, drop it", allow.id);
            assert!(!allow.near.is_empty(), "{}: no near miss", allow.id);
            for near in &allow.near {
                let near = json!({ &allow.sample.key: near });
                assert_ne!(with_all.scan_json(&near), [], "{}: {near} passes", allow.id);
            }
        }
    }
}
