//! What SECURITY.md and CONTRIBUTING.md name is there: tests, drills, paths, and the messages that they quote.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use comrak::nodes::{AstNode, NodeValue};
use comrak::{Arena, Options, parse_document};
use regex::Regex;
use rstest::rstest;
use walkdir::WalkDir;

const DOCUMENTS: [&str; 2] = [".github/SECURITY.md", ".github/CONTRIBUTING.md"];

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn read(path: &str) -> String {
    std::fs::read_to_string(workspace().join(path)).unwrap()
}

/// All Rust code of the repository but this file.
static CODE: LazyLock<String> = LazyLock::new(|| {
    let folders = ["support", "reports", "gates"].map(|folder| workspace().join(folder));
    let files = folders.iter().flat_map(WalkDir::new).map(|entry| entry.unwrap().into_path());
    let code = files.filter(|path| path.extension().is_some_and(|end| end == "rs") && !path.ends_with("tests/docs.rs"));
    code.map(|path| std::fs::read_to_string(path).unwrap()).collect()
});

/// Names of functions that are tests.
static TESTS: LazyLock<BTreeSet<&str>> = LazyLock::new(|| {
    let test = Regex::new(r"(?ms)^\s*#\[(?:test|rstest)\].*?^\s*fn (\w+)").unwrap();
    test.captures_iter(&CODE).map(|found| found.get(1).unwrap().as_str()).collect()
});

fn options() -> Options<'static> {
    let mut options = Options::default();
    options.extension.table = true;
    options
}

fn spans<'a>(node: &'a AstNode<'a>) -> Vec<String> {
    let of = |node: &'a AstNode<'a>| match &node.data.borrow().value {
        NodeValue::Code(code) => Some(code.literal.clone()),
        _ => None,
    };
    node.descendants().filter_map(of).collect()
}

/// A test's name, as they are written here: at least three words.
fn is_test_name(span: &str) -> bool {
    span.split('_').count() >= 3
        && span.bytes().all(|byte| byte == b'_' || byte.is_ascii_lowercase() || byte.is_ascii_digit())
}

fn is_drill(span: &str) -> bool {
    ["dev_min/", "dev_min-m1/", "dev_min-m4/", "dev_full/"].iter().any(|folder| span.starts_with(folder))
}

fn is_path(span: &str) -> bool {
    let tops = ["support/", "reports/", "gates/", "fixtures/", ".github/", ".ci/"];
    tops.iter().any(|top| span.starts_with(top)) && !span.contains(['<', '…', ' ', '*'])
}

#[rstest]
#[case::security(DOCUMENTS[0], 40)]
#[case::contributing(DOCUMENTS[1], 1)]
fn every_test_drill_and_path_that_is_named_is_there(#[case] document: &str, #[case] least: usize) {
    let text = read(document);
    let arena = Arena::new();
    let mut shown = 0;
    for span in spans(parse_document(&arena, &text, &options())) {
        if is_test_name(&span) {
            assert!(TESTS.contains(span.as_str()), "{document} names the test `{span}`, and there is none");
            shown += 1;
        } else if is_drill(&span) {
            let drill = workspace().join(format!("fixtures/drills/{span}.toml"));
            assert!(drill.is_file(), "{document} names the drill {span}, and there is none");
            shown += 1;
        } else if is_path(&span) {
            assert!(workspace().join(&span).exists(), "{document} names {span}, which is not there");
        }
    }
    assert!(shown >= least, "{document} names {shown} tests and drills");
}

#[test]
fn against_every_threat_stands_a_test() {
    let text = read(DOCUMENTS[0]);
    let arena = Arena::new();
    let root = parse_document(&arena, &text, &options());
    let rows: Vec<_> =
        root.descendants().filter(|node| matches!(node.data.borrow().value, NodeValue::TableRow(false))).collect();
    assert!(rows.len() >= 8, "{} threats", rows.len());
    for row in rows {
        let shows = spans(row.last_child().unwrap());
        let line = row.data.borrow().sourcepos.start.line;
        assert!(shows.iter().any(|span| is_test_name(span) || is_drill(span)), "line {line} names no test");
    }
}

/// A message stands in the code; `…` is what varies in it.
#[test]
fn every_message_that_is_quoted_is_one_of_the_codes() {
    let text = read(DOCUMENTS[1]);
    let arena = Arena::new();
    let root = parse_document(&arena, &text, &options());
    let rows = root.descendants().filter(|node| matches!(node.data.borrow().value, NodeValue::TableRow(false)));
    let quoted: Vec<String> =
        rows.flat_map(|row| spans(row.last_child().unwrap())).filter(|span| span.contains(' ')).collect();
    assert!(quoted.len() >= 8, "{} messages are quoted", quoted.len());
    for message in quoted {
        for piece in message.split('…').map(str::trim).filter(|piece| piece.len() > 3) {
            assert!(CODE.contains(piece), "no code says `{piece}`");
        }
    }
}
