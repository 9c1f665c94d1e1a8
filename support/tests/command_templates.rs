//! Command cells beyond the real plans: what is refused, how placeholders are bound, and what may be pasted.

use std::collections::BTreeMap;
use std::io;

use phasegate_support::command::{
    Call, Command, Kind, SearchError, TemplateError, guard_can_find, parse, resolve, rip_grep,
};
use proptest::prelude::*;
use rstest::rstest;

fn bindings(of: &[(&str, &str)]) -> BTreeMap<String, String> {
    of.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn call(cell: &str, bound: &[(&str, &str)]) -> Result<Call, TemplateError> {
    resolve(&parse(cell)?, &bindings(bound))
}

#[rstest]
#[case::program("`curl http://x`", "curl")]
#[case::program_alone("`make`", "make")]
#[case::removal("`rm -rf runs/`", "rm")]
fn an_unknown_program_is_an_error(#[case] cell: &str, #[case] program: &str) {
    assert_eq!(parse(cell), Err(TemplateError::UnknownProgram { program: program.to_owned() }));
}

#[rstest]
#[case("`aws s3 rm s3://b/k`", "aws s3 rm")]
#[case("`aws s3 sync a s3://b/k`", "aws s3 sync")]
#[case("`aws s3api delete-object --bucket b --key k`", "aws s3api delete-object")]
#[case("`aws ecs describe-clusters --clusters c`", "aws ecs describe-clusters")]
#[case("`terraform -chdir=a apply -auto-approve`", "terraform apply")]
#[case("`terraform -chdir=a destroy`", "terraform destroy")]
fn an_unknown_sub_command_is_an_error(#[case] cell: &str, #[case] found: &str) {
    assert_eq!(parse(cell), Err(TemplateError::UnknownOperation { found: found.to_owned() }));
}

#[rstest]
#[case("`rg -v \"x\" a.md`", "-v")]
#[case("`rg -n \"x\" a.md --files-without-match`", "--files-without-match")]
#[case("`aws s3 cp --recursive a s3://b/k`", "--recursive")]
#[case("`aws s3api head-bucket --bucket b --no-sign-request`", "--no-sign-request")]
#[case("`aws s3api head-bucket --bucket b --endpoint-url http://x`", "--endpoint-url")]
#[case("`aws s3api head-bucket --bucket b --bucket c`", "--bucket")]
#[case("`terraform -chdir=a output -json -raw`", "-raw")]
fn an_unknown_or_repeated_flag_is_an_error(#[case] cell: &str, #[case] flag: &str) {
    let Err(TemplateError::UnknownFlag { flag: found, .. }) = parse(cell) else {
        panic!("{:?}", parse(cell));
    };
    assert_eq!(found, flag);
}

#[rstest]
#[case::empty("")]
#[case::no_pattern("`rg -n`")]
#[case::no_document("`rg -n \"x\"`")]
#[case::empty_pattern("`rg -n \"\" a.md`")]
#[case::empty_alternative("`rg -n \"a|\" a.md`")]
#[case::no_expression("`rg -n \"a(\" a.md`")]
#[case::absolute("`Test-Path /etc/passwd`")]
#[case::out_of_the_repository("`Test-Path runs/../../x`")]
#[case::two_paths("`Test-Path a b`")]
#[case::other_command_joined("`Test-Path a && aws s3 ls s3://b/k`")]
#[case::piped_elsewhere("`Get-Content a.json | Remove-Item`")]
#[case::not_piped("`Get-Content a.json`")]
#[case::piped_search("`rg -n \"x\" a.md | wc -l`")]
#[case::no_key("`aws s3 cp a s3://b`")]
#[case::bucket_to_bucket("`aws s3 cp s3://a/k s3://b/k`")]
#[case::download("`aws s3 cp s3://a/k file`")]
#[case::standard_input("`aws s3 cp - s3://b/k`")]
#[case::wildcard("`aws s3 cp *.json s3://b/k`")]
#[case::no_prefix("`aws s3api list-objects-v2 --bucket b`")]
#[case::zero("`aws s3api list-objects-v2 --bucket b --prefix p --max-keys 0`")]
#[case::half_a_window("`aws ce get-cost-and-usage --time-period Start=2026-01-01 --granularity DAILY --metrics M`")]
#[case::other_brace("`aws s3api head-object --bucket b --key {a|b}{c|d}`")]
#[case::token_brace("`aws s3api head-object --bucket b --key runs/{platform_run_id}/x`")]
#[case::elision_elsewhere("`Test-Path runs/.../x.json`")]
#[case::elision_in_pattern("`rg -n \"<...>\" a.md`")]
#[case::substitution("`rg -n \"$(id)\" a.md`")]
#[case::redirection("`rg -n \"x\" a.md > out`")]
#[case::sequence("`Test-Path a; rm b`")]
#[case::unclosed("`rg -n \"x a.md`")]
#[case::unclosed_span("`Test-Path a")]
#[case::mixed_quoting("`rg -n \\\"x\" a.md`")]
#[case::second_command("`Test-Path a` + `aws s3 rm s3://b/k`")]
#[case::second_command("`Test-Path a` and `rg -n \"x\" b.md`")]
#[case::line_break("`Test-Path a\nb`")]
fn a_command_that_cannot_be_carried_out_as_written_is_an_error(#[case] cell: &str) {
    assert!(parse(cell).is_err(), "{:?}", parse(cell));
}

#[rstest]
#[case("write local seed artifact under `runs/x/`")]
#[case("`Test-Path` checks for all artifacts")]
#[case("`aws s3 cp` bundle to `evidence/<id>/`")]
#[case("`run.json` holds the digest")]
#[case("compare `a|b` with c")]
fn a_sentence_is_prose_and_cannot_be_resolved(#[case] cell: &str) {
    let template = parse(cell).expect("prose is no error");
    assert_eq!(template.kind, Kind::Prose);
    assert_eq!(template.raw, cell);
    assert_eq!(resolve(&template, &bindings(&[])), Err(TemplateError::Prose));
}

#[test]
fn a_cell_without_backticks_is_read_by_its_program() {
    let with = call("`aws s3api head-bucket --bucket abc`", &[]).expect("a command").command;
    assert_eq!(call("aws s3api head-bucket --bucket abc", &[]).expect("a command").command, with);
}

#[test]
fn doubled_backticks_close_as_commonmark_says() {
    let cell = r#"`` rg -n "^\\* `<KEY>`" a.md ``"#;
    let Command::RipGrep(search) = call(cell, &[("KEY", "A_B")]).expect("a command").command else {
        panic!("it is a search");
    };
    assert_eq!(search.pattern, r"^\* `A_B`");
}

#[rstest]
#[case::unbound("<platform_run_id>", &[])]
#[case::other_name("<run>", &[("platform_run_id", "x")])]
#[case::spelt_elision("<elision_1>", &[("elision_1", "x")])]
fn an_unknown_placeholder_fails_closed(#[case] placeholder: &str, #[case] bound: &[(&str, &str)]) {
    let cell = format!("`aws s3 ls s3://abc/{placeholder}/`");
    assert!(matches!(call(&cell, bound), Err(TemplateError::UnknownPlaceholder { .. })));
}

#[rstest]
#[case::empty("")]
#[case::slash("a/b")]
#[case::backslash("a\\b")]
#[case::step("..")]
#[case::steps("a..b")]
#[case::placeholder("TO_PIN")]
#[case::placeholder("<PIN_AT_P1_PHASE_ENTRY>")]
#[case::unresolved("<x>")]
#[case::line_break("a\nb")]
#[case::blank(" a")]
#[case::brace("{platform_run_id}")]
fn a_value_that_could_change_a_paths_meaning_is_refused(#[case] value: &str) {
    let found = call("`aws s3 ls s3://abc/runs/<id_x>/`", &[("id_x", value)]);
    assert!(matches!(found, Err(TemplateError::RefusedValue { .. })), "{found:?}");
}

#[rstest]
#[case::flag("--endpoint-url")]
#[case::upper_case("Bucket")]
#[case::slash("abc/d")]
#[case::short("ab")]
fn a_value_that_is_no_bucket_is_refused(#[case] value: &str) {
    let found = call("`aws s3api head-bucket --bucket <B_X>`", &[("B_X", value)]);
    assert!(matches!(found, Err(TemplateError::RefusedValue { .. })), "{found:?}");
}

#[test]
fn a_value_in_a_pattern_is_taken_literally() {
    let Command::RipGrep(search) = call("`rg -n \"<KEY>\" a.md`", &[("KEY", "a.*|b")]).expect("resolved").command
    else {
        panic!("it is a search");
    };
    let found = rip_grep(&search, &|_| Ok("axx\nb\na.*|b\n".to_owned())).expect("it can be read");
    assert_eq!(found.matches.iter().map(|line| line.line).collect::<Vec<_>>(), [3]);
}

#[test]
fn the_groups_of_a_pattern_are_no_placeholders() {
    let template = parse("`rg -n \"(?P<year>[0-9]+)-(?<day>[0-9]+) <KEY> <PIN_AT_X>\" a.md`").expect("a command");
    assert_eq!(template.placeholders, ["KEY"]);
}

#[test]
fn an_id_stands_for_its_execution_id_unless_it_is_bound_itself() {
    let cell = "`Test-Path runs/<m3b_id>/x.json`";
    let found = call(cell, &[("m3b_execution_id", "m3b_1")]).expect("resolved");
    assert_eq!(found.command, Command::TestPath { paths: vec!["runs/m3b_1/x.json".to_owned()] });
    assert_eq!(found.bindings, bindings(&[("m3b_id", "m3b_1")]));
    let found = call(cell, &[("m3b_execution_id", "m3b_1"), ("m3b_id", "m3b_2")]).expect("resolved");
    assert_eq!(found.command, Command::TestPath { paths: vec!["runs/m3b_2/x.json".to_owned()] });
}

#[test]
fn what_the_plan_leaves_out_is_supplied_by_the_lane_and_recorded() {
    let cell = "`aws s3 cp s3://<...>/<resolved_key> -` + local hash compare";
    let unsupplied = call(cell, &[("resolved_key", "a/b.json")]);
    assert!(matches!(unsupplied, Err(TemplateError::UnknownPlaceholder { .. })), "{unsupplied:?}");
    let found = call(cell, &[("resolved_key", "a/b.json"), ("elision_1", "abc")]).expect("resolved");
    assert_eq!(found.command, Command::S3Read { bucket: "abc".into(), key: "a/b.json".into() });
    assert_eq!(found.supplied.len(), 1);
    assert_eq!((found.supplied[0].written.as_str(), found.supplied[0].value.as_str()), ("<...>", "abc"));
    let longer = call("`aws s3 cp s3://<...>/pack.json -`", &[("elision_1", "abc/evidence/x")]).expect("resolved");
    assert_eq!(longer.command, Command::S3Read { bucket: "abc".into(), key: "evidence/x/pack.json".into() });
    for refused in ["abc/../x", "", "/x", "-"] {
        assert!(call("`aws s3 cp s3://<...>/pack.json -`", &[("elision_1", refused)]).is_err(), "{refused}");
    }
}

#[test]
fn an_upload_into_a_folder_takes_the_files_name() {
    let found =
        call("`aws s3 cp <local> s3://abc/run_control/<id_x>/`", &[("local", "/tmp/out/a b.json"), ("id_x", "m3_1")]);
    let Command::S3Upload { key, .. } = found.expect("resolved").command else { panic!("it is an upload") };
    assert_eq!(key, "run_control/m3_1/a b.json");
}

#[rstest]
#[case("2026-02-01", "2026-02-24", true)]
#[case("2026-02-24", "2026-02-24", false)]
#[case("2026-02-30", "2026-03-01", false)]
#[case("february", "2026-03-01", false)]
fn a_window_of_costs_is_two_days_in_order(#[case] start: &str, #[case] end: &str, #[case] accepted: bool) {
    let cell =
        "`aws ce get-cost-and-usage --time-period Start=<s>,End=<e> --granularity MONTHLY --metrics UnblendedCost`";
    assert_eq!(call(cell, &[("s", start), ("e", end)]).is_ok(), accepted);
}

#[rstest]
#[case(
    "`aws s3 cp <local> s3://abc/runs/<id_x>/P(-1)/x.json`",
    "aws s3api put-object --if-none-match '*' --checksum-algorithm SHA256 --bucket abc --key 'runs/r 1/P(-1)/x.json' --body \"/tmp/it's.json\""
)]
#[case("`aws s3 ls s3://abc/runs/<id_x>/P(-1)/`", "aws s3 ls 's3://abc/runs/r 1/P(-1)/'")]
#[case(
    "`aws s3api head-object --bucket abc --key <id_x>/{a|b}`",
    "aws s3api head-object --bucket abc --key 'r 1/a' && aws s3api head-object --bucket abc --key 'r 1/b'"
)]
#[case("`Test-Path a && Test-Path <id_x>/b`", "test -e a && test -e 'r 1/b'")]
#[case("`Get-Content <id_x>/a.json | ConvertFrom-Json`", "jq . 'r 1/a.json'")]
#[case("`rg -n -i \"a|b\" <id_x>/m*.json`", "rg -n -i -e 'a|b' -- 'r 1/m'*.json")]
#[case("`terraform -chdir=infra/x output -json`", "terraform '-chdir=infra/x' output -json")]
#[case(
    "`aws stepfunctions list-executions --state-machine-arn <arn> --status-filter RUNNING --max-results 100 --region eu-west-2`",
    "aws stepfunctions list-executions --state-machine-arn arn:x --status-filter RUNNING --max-results 100 --region eu-west-2"
)]
fn the_paste_form_is_quoted(#[case] cell: &str, #[case] expected: &str) {
    let bound = [("local", "/tmp/it's.json"), ("id_x", "r 1"), ("arn", "arn:x")];
    assert_eq!(call(cell, &bound).expect("resolved").paste_form(), expected);
}

#[test]
fn a_call_is_stored_and_read_again_as_it_was() {
    let bound = [("local", "/tmp/x.json"), ("elision_1", "abc")];
    let found = call("`aws s3 cp <local> s3://<...>/x.json`", &bound).expect("resolved");
    let stored = serde_json::to_string(&found).expect("it can be stored");
    assert_eq!(serde_json::from_str::<Call>(&stored).expect("it can be read"), found);
}

#[test]
fn an_unresolved_search_finds_nothing_only_by_way_of_an_error() {
    let Kind::Command(Command::RipGrep(search)) = parse("`rg -n \"<KEY>\" a.md`").expect("a command").kind else {
        panic!("it is a search");
    };
    assert!(matches!(rip_grep(&search, &|_| Ok(String::new())), Err(SearchError::Unresolved { .. })));
}

#[test]
fn wildcards_are_expanded_and_an_empty_expansion_is_an_error() {
    let Command::RipGrep(search) = call("`rg -n -i \"SECRET|token\" d/p*.json`", &[]).expect("resolved").command else {
        panic!("it is a search");
    };
    let list =
        |names: &'static [&'static str]| move |_: &str| Ok(names.iter().map(|name| (*name).to_owned()).collect());
    assert!(matches!(rip_grep(&search, &|_| Ok(String::new())), Err(SearchError::Wildcard { .. })));
    let expanded = search.expanded(&list(&["p.canonical.json", "p.json", "q.json", "p.jsonl"])).expect("two files");
    assert_eq!(expanded.paths, ["d/p.canonical.json", "d/p.json"]);
    assert!(matches!(search.expanded(&list(&["q.json"])), Err(SearchError::NothingMatches { .. })));
    let denied = search.expanded(&|_| Err(io::ErrorKind::PermissionDenied.into()));
    assert!(matches!(denied, Err(SearchError::Read { .. })));
    let found = rip_grep(&expanded, &|_| Ok("a Secret\r\n".to_owned())).expect("read");
    assert_eq!(found.matches.len(), 2);
    assert_eq!(found.missing(&expanded), ["token"]);
}

#[test]
fn a_guard_is_proven_on_the_handles_own_line_only() {
    let cell = "`rg -n \"X_Y = .TO_PIN\" r.md`";
    let Command::RipGrep(guard) = call(cell, &[]).expect("resolved").command else {
        panic!("it is a search");
    };
    let text = "* `X_Y = \"TO_PIN\"`\r\n* `A_B = 1` note\r\n";
    let other = guard_can_find(&guard, "r.md", text, "A_B", &[2], "TO_PIN");
    assert!(matches!(other, Err(SearchError::CannotFind { line: 2, .. })), "{other:?}");
    let own = guard_can_find(&guard, "r.md", text, "X_Y", &[1], "TO_PIN").expect("it can find");
    assert_eq!(own.lines, [(1, "* `X_Y = \"TO_PIN\"`".to_owned())]);
    let elsewhere = guard_can_find(&guard, "s.md", text, "X_Y", &[1], "TO_PIN");
    assert!(matches!(elsewhere, Err(SearchError::OtherDocument { .. })));
}

#[test]
fn the_end_of_a_line_is_before_its_carriage_return() {
    let Command::RipGrep(search) = call("`rg -n \"^a$|b$\" x.md`", &[]).expect("resolved").command else {
        panic!("it is a search");
    };
    let found = rip_grep(&search, &|_| Ok("a\r\nb\na b\r\na \r\n".to_owned())).expect("read");
    let lines: Vec<(usize, &str)> = found.matches.iter().map(|line| (line.line, line.text.as_str())).collect();
    assert_eq!(lines, [(1, "a"), (2, "b"), (3, "a b")]);
    assert_eq!(found.documents, [("x.md".to_owned(), 4)]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_cell_makes_the_parser_panic(cell in r#"[`"'\\<>{}|&;$*. a-z/]{0,60}"#, any in "(?s).{0,60}") {
        for cell in [cell.clone(), any, format!("`rg {cell}`"), format!("`aws s3 cp {cell}"), format!("`Test-Path {cell}` + x")] {
            if let Ok(template) = parse(&cell) {
                let _ = resolve(&template, &bindings(&[("a", "b")]));
            }
        }
    }

    #[test]
    fn what_is_pasted_comes_back_as_the_words_it_was(value in r#"[A-Za-z0-9 '"$();&|*?!~#=,.:@%+-]{1,40}"#) {
        if let Ok(found) = call("`aws s3api head-object --bucket abc --key k/<x>/y`", &[("x", &value)]) {
            let words = shlex::split(&found.paste_form()).expect("it is quoted well");
            let key = format!("k/{value}/y");
            prop_assert_eq!(words, ["aws", "s3api", "head-object", "--bucket", "abc", "--key", &key]);
        }
    }
}
