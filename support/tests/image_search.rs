//! The search of streams: what a planted secret looks like, where it may stand, and what is none.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test by panicking")]

#[path = "secrets_samples/mod.rs"]
mod samples;

use std::cell::RefCell;
use std::io::Read;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use phasegate_support::image::search::{Harmless, Search, Searched};
use proptest::prelude::*;
use proptest::string::string_regex;
use rstest::rstest;
use samples::{Sample, chance, samples};

fn search() -> Search {
    Search::new(Harmless::built_in().unwrap()).unwrap()
}

thread_local! {
    static SEARCH: RefCell<Search> = RefCell::new(search());
}

fn found_in(path: &str, bytes: &[u8]) -> Vec<String> {
    let searched = SEARCH.with_borrow_mut(|search| search.file(path, &mut &bytes[..]).unwrap());
    assert_eq!((searched.bytes, searched.more), (bytes.len() as u64, 0));
    searched.hits.iter().map(ToString::to_string).collect()
}

fn rules_in(path: &str, bytes: &[u8]) -> Vec<String> {
    found_in(path, bytes).iter().map(|hit| hit.split(' ').next().unwrap().to_owned()).collect()
}

/// A token as it stands in a file: a private key has a body.
fn planted(sample: &Sample) -> String {
    let key = sample.rule == "private-key-block" && sample.positive.starts_with("-----");
    if key { format!("{}\n{}", sample.positive.lines().next().unwrap(), chance(64)) } else { sample.positive.clone() }
}

#[test]
fn each_token_rule_takes_its_positive_and_passes_its_near_miss() {
    for sample in samples() {
        let text = format!("one\ntwo {}\n", planted(&sample));
        let found = found_in("notes.txt", text.as_bytes());
        assert!(
            found.iter().any(|hit| hit.starts_with(&format!("{} at 2:", sample.rule))),
            "{}: {found:?}",
            sample.rule
        );
        let near = rules_in("notes.txt", format!("one\ntwo {}\n", sample.near).as_bytes());
        assert!(!near.iter().any(|rule| rule == sample.rule), "{} takes its near miss: {near:?}", sample.rule);
    }
}

#[test]
fn tokens_are_found_in_binary_files() {
    let noise: Vec<u8> = (0..70_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    for sample in samples() {
        let bytes = [&noise, b"\0".as_slice(), planted(&sample).as_bytes(), b"\0", &noise].concat();
        let found = found_in("usr/bin/tool", &bytes);
        assert!(
            found.iter().any(|hit| hit.starts_with(&format!("{} at byte 7", sample.rule))),
            "{}: {found:?}",
            sample.rule
        );
    }
}

#[rstest]
#[case::little(u16::to_le_bytes)]
#[case::big(u16::to_be_bytes)]
fn utf16_is_read(#[case] order: fn(u16) -> [u8; 2]) {
    let wide = |text: &str| -> Vec<u8> { text.encode_utf16().flat_map(order).collect() };
    for sample in samples() {
        for before in ["", "\u{feff}some text\r\n", "x"] {
            let rules = rules_in("a.txt", &wide(&format!("{before}{}\r\nmore", planted(&sample))));
            assert!(rules.iter().any(|rule| rule == sample.rule), "{} behind {before:?}: {rules:?}", sample.rule);
        }
    }
    assert_eq!(rules_in("a.txt", &wide("a = b\r\npassword = hunter22\r\n")), ["password-value"]);
}

#[test]
fn a_file_may_be_shorter_than_anything() {
    for bytes in [b"".as_slice(), b"a", b"\n", b"\0"] {
        assert_eq!(found_in("a", bytes), [""; 0]);
    }
}

/// Where the first window ends, and where what is told of it ends: a secret may stand across either.
const WINDOW: usize = 256 * 1024;
const TOLD: usize = WINDOW - 8192 - 512;

#[rstest]
fn a_secret_across_a_windows_edge_is_found_once(
    #[values(TOLD, WINDOW, 2 * TOLD - 8192 - 512)] edge: usize,
    #[values(0, 1, 2)] kind: usize,
) {
    let (rule, secret) = match kind {
        0 => ("aws-access-key-id", samples()[0].positive.clone()),
        1 => ("password-value", "db_password = 'hunter22'".to_owned()),
        _ => ("aws-access-key-id", STANDARD.encode(format!("key {} end", samples()[0].positive))),
    };
    let mut search = search();
    let line = "an ordinary line of an ordinary file\n";
    let filler = line.repeat(3 * WINDOW / line.len());
    for at in (edge - secret.len() - 2..edge + 3).step_by(1) {
        let mut bytes = filler.clone().into_bytes();
        bytes[at - 1] = b' ';
        bytes[at..at + secret.len()].copy_from_slice(secret.as_bytes());
        bytes[at + secret.len()] = b' ';
        let searched = search.file("a.txt", &mut bytes.as_slice()).unwrap();
        let places: Vec<&str> = searched.hits.iter().map(|hit| hit.at.as_str()).collect();
        assert_eq!(searched.hits.len(), 1, "{rule} at {at}: {:?}", searched.hits);
        assert_eq!(searched.hits[0].rule, rule, "at {at}");
        if kind == 0 {
            let before = std::str::from_utf8(&bytes[..at]).unwrap();
            let line = before.matches('\n').count() + 1;
            let column = before.rsplit('\n').next().unwrap().len() + 1;
            assert_eq!(places, [format!("{line}:{column}")]);
        }
    }
}

#[test]
fn a_document_of_one_long_line_is_searched() {
    let mut text = String::from("{\"rows\": [");
    while text.len() < 8_000_000 {
        text.push_str("{\"name\": \"row\", \"count\": 12345, \"path\": \"evidence/runs/a.json\"}, ");
    }
    let at = text.len();
    text.push_str("{\"db\": {\"password\": \"hunter22\"}}]}");
    assert_eq!(
        found_in("a.json", text.as_bytes()),
        [format!("password-value at 1:{}", at + "{\"db\": {\"password\": \"".len() + 1)]
    );
}

/// A reader that gives what it likes, and interrupts.
struct Slow<'b>(&'b [u8], usize);

impl Read for Slow<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.1 = self.1.wrapping_mul(31).wrapping_add(7);
        if self.1.is_multiple_of(5) {
            return Err(std::io::ErrorKind::Interrupted.into());
        }
        let count = (self.1 % 4001 + 1).min(buffer.len()).min(self.0.len());
        let (now, later) = self.0.split_at(count);
        buffer[..count].copy_from_slice(now);
        self.0 = later;
        Ok(count)
    }
}

#[test]
fn how_a_stream_arrives_changes_nothing() {
    let text = format!("{}\n{}\n", "x ".repeat(300_000), samples()[0].positive).repeat(2);
    let at_once = search().file("a", &mut text.as_bytes()).unwrap();
    let slowly = search().file("a", &mut Slow(text.as_bytes(), 1)).unwrap();
    assert_eq!((at_once.hits.len(), &at_once), (2, &slowly));
}

#[test]
fn many_hits_are_counted_and_not_kept() {
    let text = format!("{}\n", samples()[0].positive).repeat(1000);
    let Searched { hits, more, .. } = search().file("a", &mut text.as_bytes()).unwrap();
    assert_eq!(hits.len(), 100);
    assert_eq!(more, 900);
}

#[test]
fn base64_that_is_wrapped_is_read_wherever_its_lines_break() {
    for sample in [&samples()[0], &samples()[8], &samples()[18]] {
        for shift in 0..80 {
            let encoded = STANDARD.encode(format!("{}{} {}", "x ".repeat(60), "y".repeat(shift), planted(sample)));
            let lines: Vec<&[u8]> = encoded.as_bytes().chunks(76).collect();
            for (text, what) in [
                (lines.join(b"\n".as_slice()), "alone"),
                ([b"data\n".as_slice(), &lines.join(b"\r\n".as_slice()), b"\n"].concat(), "in lines"),
            ] {
                let rules = rules_in("a.txt", &text);
                assert!(rules.iter().any(|rule| rule == sample.rule), "{} {what} at {shift}: {rules:?}", sample.rule);
            }
        }
    }
}

#[rstest]
#[case("app.conf", "password = hunter22", "password-value at 1:12")]
#[case("app.conf", "password: 'hunter22'", "password-value at 1:12")]
#[case("app.ini", "[db]\npasswd=hunter22 ; x", "password-value at 2:8")]
#[case("a.yaml", "db:\n  - password: hunter22", "password-value at 2:15")]
#[case("a.json", "{\"a\":{\"dbPassword\":\"hunter22\"}}", "password-value at 1:21")]
#[case("app.properties", "db.password=hunter22", "password-value at 1:13")]
#[case("run.sh", "export PGPASSWORD=hunter22", "password-value at 1:19")]
#[case("app.py", "password = \"hunter22\"", "password-value at 1:13")]
#[case("app.py", "DSN = \"host=db password=hunter22\"", "password-value at 1:25")]
#[case("app.py", "connect(password='hunter22')", "password-value at 1:19")]
#[case("app.py", "# for tests: password = hunter22", "password-value at 1:25")]
#[case("app.py", "CONFIG = {'db_password': 'hunter22'}", "password-value at 1:27")]
#[case("app.js", "const password = `hunter22`", "password-value at 1:19")]
#[case("bin/tool", "#!/usr/bin/python3\npassword = 'hunter22'", "password-value at 2:13")]
#[case("tool.pl", "my $password = 'hunter22';", "password-value at 1:17")]
#[case(".bash_history", "curl -u x --password=hunter22", "password-value at 1:22")]
#[case("notes.txt", "%70assword%3Dhunter22", "password-value at 1:1")]
#[case("app.py", "app.config['DB_PASSWORD'] = 'hunter22'", "password-value at 1:30")]
#[case("main.tf", "db_password        = \"hunter22\"", "password-value at 1:23")]
#[case("a.yaml", "env:\n- name: DB_PASSWORD\n  value: hunter22", "password-value at 3:10")]
#[case("main.tf", "name = \"DB_PASSWORD\"\nvalue = \"hunter22\"", "password-value at 2:10")]
fn an_assigned_secret_is_found(#[case] path: &str, #[case] text: &str, #[case] hit: &str) {
    assert_eq!(found_in(path, text.as_bytes()), [hit], "{path}: {text}");
}

#[rstest]
#[case("app.conf", "api_token = {chance}")]
#[case("a.yaml", "client_secret: {chance}")]
#[case("notes.md", "The token: {chance}, for now")]
#[case("app.py", "API_KEY = '{chance}'")]
#[case("app.py", "os.environ[\"AWS_SECRET_ACCESS_KEY\"] = \"{chance}\"")]
#[case("app.py", "app.config['SECRET_KEY'] = '{chance}'")]
#[case("a.yaml", "- name: IG_API_KEY\n  value: {chance}")]
#[case("app.py", "requests.get(url, params={'access_token': '{chance}'})")]
#[case("main.tf", "  secret_key = \"{chance}\"")]
#[case("task.json", "{\"environment\": [{\"name\": \"IG_API_KEY\", \"value\": \"{chance}\"}]}")]
#[case("a.json", "{\"t\\u006fken\": \"{chance}\"}")]
fn a_secret_that_looks_like_chance_is_found_by_its_key(#[case] path: &str, #[case] text: &str) {
    let text = text.replace("{chance}", &chance(24));
    assert_eq!(rules_in(path, text.as_bytes()), ["secret-like-key"], "{path}: {text}");
}

#[test]
fn a_secret_in_a_string_of_a_binary_file_is_found_if_it_looks_like_chance() {
    let bytes = [b"\x7fELF\0\x01\x02\0\0IG_API_KEY=".as_slice(), chance(24).as_bytes(), b"\0\0\x05"].concat();
    assert_eq!(rules_in("usr/bin/tool", &bytes), ["secret-like-key"]);
}

#[rstest]
#[case("a.py", "password = getpass.getpass(prompt)")]
#[case("a.py", "self.user, self.password = user, password")]
#[case("a.py", "passwd = unquote(passwd or '')")]
#[case("a.py", "key_password=self.key_password,")]
#[case("a.py", "password=True,")]
#[case("a.py", "credentials = standard_b64encode(credentials).decode('ascii')")]
#[case("a.py", "private_key: ed25519.Ed25519PrivateKey, f_priv")]
#[case("a.py", "DHPrivateKeyWithSerialization = DHPrivateKey")]
#[case("a.py", "CHALLENGE_PASSWORD = ObjectIdentifier(\"1.2.840.113549.1.9.7\")")]
#[case("a.py", "AttributeOID.CHALLENGE_PASSWORD: \"challengePassword\",")]
#[case("a.py", "'passwd': 'passwd'")]
#[case("a.py", "password = \":****\"")]
#[case("a.py", "f\"postgres://{user}:{password}@{host}\"")]
#[case("a.go", "password := os.Getenv(\"DB_PASSWORD\")")]
#[case("a.c", "passwd = pw->pw_passwd;")]
#[case("a.pl", "my $pwd = Cwd::getcwd();")]
#[case("a.pl", "my $pwd = `pwd`;")]
#[case("a.pl", "$PASSWORD = $Config->{password} || \"\";")]
#[case("bin/c", "#!/usr/bin/perl\nmy @passwd = getpwnam($user);")]
#[case("a.sh", "PASSWORD=$(cat /run/secrets/db)")]
#[case("a.sh", "PASSWORD=\"$(cat /run/secrets/db)\"")]
#[case("a.sh", "PASSWORD=`cat /run/secrets/db`")]
#[case("a.sh", "PASSWORD=\"$1\"")]
#[case("a.sh", "DB_PASSWORD=$OTHER")]
#[case("a.conf", "password = <from the store>")]
#[case("a.py", "app.config['PASSWORD'] = read_password()")]
#[case("a.py", "os.environ['PASSWORD'] == other")]
#[case("a.yaml", "- name: DB_PASSWORD\n  value: ${DB_PASSWORD}")]
#[case("main.tf", "name = \"DB_PASSWORD\"\nvalue = var.db_password")]
#[case("a.conf", "password = ${DB_PASSWORD}")]
#[case("a.txt", "Password: required in SSM")]
#[case("a.txt", "PASSWORD=PASSWORD")]
#[case("a.env.sample.txt", "DB_PASSWORD=")]
#[case("a.txt", "arn:aws:secretsmanager:eu-west-2:230372904534:secret:db-a1B2c3D4e5")]
#[case("log", "Preparing to unpack .../passwd_1%3a4.13+dfsg1-1+deb12u2_amd64.deb ...")]
fn what_is_computed_or_named_is_no_secret(#[case] path: &str, #[case] text: &str) {
    assert_eq!(found_in(path, text.as_bytes()), [""; 0], "{path}: {text}");
}

#[test]
fn a_mark_to_look_for_is_no_private_key() {
    let begin = format!("-----BEGIN OPENSSH {} KEY-----", "PRIVATE");
    for text in [format!("_START = b\"{begin}\"\n"), format!("\0{begin}\n\0"), format!("{begin}s!\0\0\0")] {
        assert_eq!(found_in("ssh.py", text.as_bytes()), [""; 0], "{text:?}");
    }
    for text in [
        format!("{begin}\n{}\n", chance(70)),
        format!("key = \"{begin}\\n{}\"", chance(70)),
        format!("{begin}{}", chance(70)),
        begin.clone(),
    ] {
        assert_eq!(rules_in("ssh.py", text.as_bytes()), ["private-key-block"], "{text:?}");
    }
}

/// As long as anything is looked at.
#[test]
fn a_long_password_in_a_url_is_found() {
    for length in [20, 1300, 6000] {
        let url = format!("url {}://app:{}@db/x\n", "postgres", chance(length));
        assert_eq!(rules_in("a.txt", url.as_bytes()), ["password-in-url"], "{length}");
    }
}

#[test]
fn names_without_gaps_are_no_access_key() {
    let begin = ["AK", "IA"].concat();
    assert_eq!(found_in("lib.so", format!("SIDEIS{begin}ISLANDISSHARITALICIYANNAJHA").as_bytes()), [""; 0]);
    for text in [
        format!("{begin}ISLANDISSHARITAL"),
        format!("SIDEIS{begin}ISLAND2SSHARITALICI"),
        format!("IS{begin}ISLANDISSHARITAL x"),
    ] {
        assert_eq!(rules_in("lib.so", text.as_bytes()), ["aws-access-key-id"], "{text}");
    }
}

#[test]
fn no_hit_shows_its_value() {
    for sample in samples() {
        let secret = planted(&sample);
        let searched = search().file("a.txt", &mut format!("password = '{secret}'\n{secret}").as_bytes()).unwrap();
        let shown = serde_json::to_string(&searched.hits).unwrap();
        assert!(!shown.contains(&sample.positive) && !searched.hits.is_empty(), "{shown}");
    }
}

fn rule_file() -> toml::Table {
    toml::from_str(include_str!("../src/secrets/rules.toml")).unwrap()
}

fn entries(kind: &str) -> Vec<toml::Table> {
    rule_file()[kind].as_array().unwrap().iter().map(|entry| entry.as_table().unwrap().clone()).collect()
}

fn texts(entry: &toml::Table, field: &str) -> Vec<String> {
    let list = entry.get(field).map(|list| list.as_array().unwrap().clone()).unwrap_or_default();
    list.iter().map(|text| text.as_str().unwrap().to_owned()).collect()
}

/// A text that the pattern takes.
fn made_by(pattern: &str) -> BoxedStrategy<String> {
    let without_ends = pattern.replace("(?:^|_)", "").replace("(?:_|$)", "").replace('$', "");
    string_regex(&without_ends).unwrap().boxed()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(192) })]

    /// Streams are searched for the literals first: a match without one would never be seen.
    #[test]
    fn whatever_a_token_rule_takes_holds_one_of_its_literals(
        (entry, text) in (0..entries("token").len()).prop_flat_map(|index| {
            let entry = entries("token")[index].clone();
            let pattern = entry["pattern"].as_str().unwrap().to_owned();
            (Just(entry), made_by(&pattern))
        })
    ) {
        let literals = texts(&entry, "literals");
        let any_case = entry["pattern"].as_str().unwrap().starts_with("(?i)");
        let holds = |literal: &String| {
            if any_case { text.to_ascii_lowercase().contains(&literal.to_ascii_lowercase()) } else { text.contains(literal) }
        };
        prop_assert!(!literals.is_empty(), "{}: give literals", entry["id"]);
        // The Kelvin sign is a k to a pattern that ignores case, and to no stream.
        prop_assert!(literals.iter().any(holds) || !text.is_ascii(), "{}: {text}", entry["id"]);
    }

    #[test]
    fn whatever_key_a_rule_takes_holds_one_of_its_words(
        (entry, text) in (0..entries("keyed").len()).prop_flat_map(|index| {
            let entry = entries("keyed")[index].clone();
            let pattern = entry["key"].as_str().unwrap().to_owned();
            (Just(entry), made_by(&pattern))
        })
    ) {
        let words = texts(&entry, "words");
        let ends = |word: &String| text.match_indices(word).any(|(at, _)| ["", "_"].contains(&text.get(at + word.len()..=at + word.len()).unwrap_or("")));
        prop_assert!(words.iter().any(ends), "{}: {text} holds none of {words:?}", entry["id"]);
    }

    #[test]
    fn a_planted_secret_is_found(
        sample in 0..samples().len(),
        how in 0_usize..5,
        before in "[a-z0-9/ _.\n-]{0,90}",
        after in "[ .][a-z0-9 \n]{0,40}",
        binary in any::<bool>(),
    ) {
        let sample = &samples()[sample];
        let secret = planted(sample);
        let encoded = match how {
            0 => secret,
            1 => STANDARD.encode(secret),
            2 => URL_SAFE_NO_PAD.encode(secret),
            3 => utf8_percent_encode(&secret, NON_ALPHANUMERIC).to_string(),
            _ => secret.bytes().map(|byte| format!("%{byte:02x}")).collect(),
        };
        let mut bytes = format!("{before} {encoded}{after}").into_bytes();
        if binary {
            bytes.extend(b"\0\x01\xff");
        }
        let rules = rules_in("a.txt", &bytes);
        prop_assert!(rules.iter().any(|rule| rule == sample.rule), "{} by encoding {how}: {rules:?}", sample.rule);
    }

    /// What goes before may look like base64 itself.
    #[test]
    fn base64_is_read_behind_any_text(before in "[A-Za-z0-9/_-]{0,30}", sample in 0..samples().len()) {
        let sample = &samples()[sample];
        let rules = rules_in("a.txt", format!("{before}{}", STANDARD.encode(planted(sample))).as_bytes());
        prop_assert!(rules.iter().any(|rule| rule == sample.rule), "{}: {rules:?}", sample.rule);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let _searched = search().file("a", &mut bytes.as_slice()).unwrap();
    }
}
