//! The invariants of the fuzz targets, over documents that are known, and over each input that once broke one.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod common;
mod invariants;

use std::path::{Path, PathBuf};

use phasegate_support::plan::{Source, parse};
use rstest::rstest;
use walkdir::WalkDir;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/repo")
}

/// The documents whose names end so: those of the fixtures, and the real ones where they are.
fn documents(suffix: &str) -> Vec<Vec<u8>> {
    let folders = std::iter::once(fixtures()).chain(common::real_repositories());
    let files = folders.flat_map(WalkDir::new).map(Result::unwrap).filter(|entry| entry.file_type().is_file());
    let files: Vec<PathBuf> = files.map(walkdir::DirEntry::into_path).collect();
    let named = files.iter().filter(|path| path.to_str().unwrap().ends_with(suffix));
    named.map(|path| std::fs::read(path).unwrap()).collect()
}

#[rstest]
#[case::plans("build_plan.md", invariants::plan::holds)]
#[case::registries(".registry.v0.md", invariants::registry::holds)]
#[case::handoffs(".json", invariants::handoff::holds)]
fn known_documents_hold(#[case] suffix: &str, #[case] holds: fn(&[u8])) {
    let documents = documents(suffix);
    assert!(documents.len() >= 2, "{} documents {suffix}", documents.len());
    for document in documents {
        holds(&document);
    }
}

#[test]
fn the_commands_of_known_plans_hold() {
    let mut rows = 0;
    for document in documents("build_plan.md") {
        let text = String::from_utf8(document).unwrap();
        for row in parse(Source::new("platform.M3.build_plan.md", text), "dev_min").plan.rows {
            invariants::command::holds(row.template.as_bytes());
            invariants::command::holds(format!("`{}`", row.template).as_bytes());
            rows += 1;
        }
    }
    assert!(rows > 20, "{rows} rows");
}

/// Inputs on which readers like these stumble. An input that a fuzzer finds to break an invariant becomes a case here.
#[rstest]
#[case::lone_carriage_returns(invariants::plan::holds, b"# Plan - M3\r\r### M3.A x\rDoD:\r- [ ] a\r- [x] b\r")]
#[case::mixed_endings(invariants::plan::holds, b"### M3.A x\r\nDoD:\n- [ ] a\r- [x] b\r\n\n- []c")]
#[case::byte_order_mark(invariants::plan::holds, b"\xef\xbb\xbf# Plan - M3\n- [ ] a\n")]
#[case::no_text(invariants::plan::holds, b"\xff\xfe- [ ] a")]
#[case::zero(invariants::plan::holds, b"- [ ] a\0b\n\0- [ ] c\n")]
#[case::unclosed(invariants::plan::holds, b"```\n- [ ] a\n<!--\n- [ ] b\n| `V1_X` | ``ls` | x |\n")]
#[case::footnotes(invariants::plan::holds, b"- [x]: a\n- [ ][x] b\n[x]: c\n[ ] d\n")]
#[case::blanks_that_are_none(invariants::plan::holds, "-\u{a0}[ ] a\n- [\u{a0}] b\n-\u{2003}[x] c\n".as_bytes())]
#[case::two_values(invariants::registry::holds, b"- `A = 1`\n- `A = 1.0`\n- `B = A`\n- `C = B`\n- `B = C`\n")]
#[case::itself(invariants::registry::holds, b"* `A = A`\n* `B = [A]`\n* `C = {\"k\": \"TO_PIN\"}`\n")]
#[case::tokens(invariants::registry::holds, b"Allowed tokens:\n- `{a}`\n- `{{a}}`\n- `P = \"x/{a}/{a}..\"`\n")]
#[case::carriage_return_inside(invariants::registry::holds, b"- `A = \"x\"`\r- `B = \"y\"`\n")]
#[case::nested_elision(invariants::command::holds, b"`aws s3 ls s3://<...>/<...>/...`")]
#[case::its_own_name(invariants::command::holds, b"`aws s3 ls s3://<elision_1>/<X>`")]
#[case::named_group(invariants::command::holds, b"`rg -n \"(?<X>a)|<X>|(?P<Y>b)<Y>\" docs/a.md`")]
#[case::json_layer(invariants::command::holds, br#"`rg -n \"a\\\"<X>\\\"\" docs/a.md`"#)]
#[case::braces(invariants::command::holds, b"`aws s3api head-object --bucket <B> --key <A>/{a|<C>|b}.json`")]
#[case::large_numbers(
    invariants::handoff::holds,
    br#"{"resolved_handles":[{"handle":"X","value":1e400}],"n":18446744073709551616}"#
)]
#[case::small_numbers(invariants::handoff::holds, br#"{"n":[-0.0,1e-400,0.1e1,9007199254740993]}"#)]
#[case::twice(
    invariants::handoff::holds,
    br#"{"resolved_handles":[{"handle":"X","value":1},{"handle":"X","value":2}],"resolved_handles":[]}"#
)]
#[case::surrogates(
    invariants::handoff::holds,
    br#"{"\ud83e\udd80":"\u0000","resolved_handles":[{"handle":"AWS_REGION","value":"eu-west-2"}]}"#
)]
fn hard_inputs_hold(#[case] holds: fn(&[u8]), #[case] input: &[u8]) {
    holds(input);
}
