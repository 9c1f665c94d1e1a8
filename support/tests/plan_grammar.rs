//! The grammar of plans, rule by rule.

use phasegate_support::plan::{
    BoxKind, Parsed, PlanErrorKind, RecordEntry, RequiredOption, Source, case_names, lint, parse,
};
use rstest::rstest;

/// A plan of M3 whose authority section is in order.
fn plan(body: &str) -> Parsed {
    let head = "# Plan - M3 (pins)\n\n## 1) Authority Inputs\n1. `docs/x_handles.registry.v0.md`\n\n";
    parse(Source::new("docs/platform.M3.build_plan.md", format!("{head}{body}")), "dev_min")
}

/// A plan with one lane, the text below whose heading is given.
fn lane(body: &str) -> Parsed {
    plan(&format!("### M3.A Handles\n{body}\n"))
}

fn kinds(parsed: &Parsed) -> Vec<&PlanErrorKind> {
    parsed.errors.iter().map(|error| &error.kind).collect()
}

#[rstest]
#[case::dash("- [ ] a", false)]
#[case::star("* [ ] a", false)]
#[case::plus_capital("+ [X] a", true)]
#[case::ordered("1. [ ] a", false)]
#[case::ordered_bracket("1) [x] a", true)]
#[case::indented("  - [x] a", true)]
#[case::tabs("-\t[ ]\ta", false)]
#[case::trailing_white_space("- [ ] a  \t", false)]
#[case::nested_in_a_bullet("- Sub-phase progress:\n  - [x] a", true)]
fn forms_of_a_box(#[case] line: &str, #[case] ticked: bool) {
    let parsed = lane(&format!("- item:\n\nDoD checklist:\n\n{line}"));
    let [asked] = parsed.plan.boxes.as_slice() else { panic!("{parsed:#?}") };
    assert_eq!((asked.normalised().as_str(), asked.ticked), ("a", ticked));
    assert_eq!(asked.lane.as_deref(), Some("M3.A"));
}

#[rstest]
#[case::no_space_inside("- [] a")]
#[case::no_space_before("-[x] a")]
#[case::no_space_behind("- [x]a")]
#[case::two_marks("- [ x ] a")]
#[case::other_mark("- [-] a")]
#[case::no_bullet("[ ] a")]
#[case::quoted("> - [ ] a")]
#[case::in_a_comment("<!--\n- [ ] a\n-->")]
#[case::in_a_table("| x | y |\n| --- | --- |\n| [ ] a | b |")]
#[case::in_a_fence("```\n- [ ] a\n```")]
#[case::in_a_tilde_fence("~~~text\n  * [x] a\n~~~")]
#[case::indented_code("text\n\n        - [ ] a")]
fn what_looks_like_a_box_and_is_none(#[case] lines: &str) {
    let parsed = lane(&format!("DoD:\n- [ ] first\n\n{lines}"));
    let unread: Vec<_> = parsed.errors.iter().filter(|error| error.kind == PlanErrorKind::UnreadBox).collect();
    let [error] = unread.as_slice() else { panic!("{parsed:#?}") };
    assert!(lines.lines().any(|line| line == error.line), "{}", error.line);
    assert_eq!(parsed.plan.boxes.len(), 1);
}

#[test]
fn an_error_names_file_line_text_and_next_step() {
    let parsed = lane("DoD:\n- [ ] first\n-[x] second");
    assert_eq!(
        parsed.errors.first().unwrap().to_string(),
        "docs/platform.M3.build_plan.md:9: this looks like a box, and is not read as one\n  | -[x] second\n  = write it as a list item of its own, `- [ ] text`, outside code, quotes, comments and tables; or take the brackets away"
    );
}

#[rstest]
#[case::empty("DoD:\n- [ ] a\n- [ ]", PlanErrorKind::EmptyBox)]
#[case::plain_bullet("DoD:\n- [ ] a\n- b", PlanErrorKind::RequirementWithoutBox)]
#[case::code_without_meaning("DoD:\n- [ ] a\n\nBlockers:\n- `M3A-B1`:", PlanErrorKind::CodeWithoutMeaning { code: "M3A-B1".into() })]
#[case::code_twice(
    "DoD:\n- [ ] a\n\nBlockers:\n- `M3A-B1`: x.\n- `M3A-B1`: y.",
    PlanErrorKind::DuplicateCode { code: "M3A-B1".into(), first: 11 }
)]
#[case::code_outside("DoD:\n- [ ] a\n\nNotes:\n- `M3A-B1`: x.", PlanErrorKind::UnreadCode { code: "M3A-B1".into() })]
#[case::code_in_a_fence("DoD:\n- [ ] a\n\n```\n- `M3A-B1`: x.\n```", PlanErrorKind::UnreadCode { code: "M3A-B1".into() })]
#[case::row_outside("DoD:\n- [ ] a\n\n| `M3A-V1-X` | `ls` | why |", PlanErrorKind::UnreadRow)]
#[case::row_as_a_bullet("DoD:\n- [ ] a\n\nCommands:\n- `M3A-V1-X`: ls", PlanErrorKind::UnreadRow)]
fn lines_that_cannot_be_read(#[case] body: &str, #[case] expected: PlanErrorKind) {
    assert_eq!(kinds(&lane(body)), [&expected]);
}

#[rstest]
#[case::other_words("| ID | Command | Purpose |", "| `M3A-V1-X` | `ls` | why |")]
#[case::four_columns("| Verify ID | Command template | Purpose | Owner |", "| `M3A-V1-X` | `ls` | why | me |")]
#[case::other_order("| Verify ID | Purpose | Command template |", "| `M3A-V1-X` | why | `ls` |")]
fn an_unusual_header_is_an_error_at_each_row(#[case] header: &str, #[case] row: &str) {
    let columns = header.matches('|').count() - 1;
    let parsed = lane(&format!("DoD:\n- [ ] a\n\n{header}\n|{}\n{row}", " --- |".repeat(columns)));
    assert_eq!(kinds(&parsed), [&PlanErrorKind::UnusualHeader { header: header.to_owned() }]);
    assert_eq!(parsed.errors.first().unwrap().line, row);
}

#[rstest]
#[case("| `M3A-V1-X` | `ls` |", PlanErrorKind::MissingCell { cell: "purpose" })]
#[case("| `M3A-V1-X` |", PlanErrorKind::MissingCell { cell: "command" })]
#[case("| `m3a-v1` | `ls` | why |", PlanErrorKind::UnreadableId { cell: "`m3a-v1`".into() })]
#[case("swallowed words", PlanErrorKind::UnreadableId { cell: "swallowed words".into() })]
fn a_row_of_a_catalog_is_whole_or_an_error(#[case] row: &str, #[case] expected: PlanErrorKind) {
    let head = "DoD:\n- [ ] a\n\n| Verify ID | Command template | Purpose |\n| --- | --- | --- |";
    assert_eq!(kinds(&lane(&format!("{head}\n{row}"))), [&expected]);
}

#[test]
fn the_same_verify_id_twice_makes_alike_names_and_both_lines_are_named() {
    let head = "| Verify ID | Command template | Purpose |\n| --- | --- | --- |";
    let parsed = lane(&format!("{head}\n| `M3A-V1-X` | `ls` | why |\n| `M3A-V1-X` | `cat` | why |"));
    let alike = case_names(&parsed.plan).unwrap_err();
    assert_eq!(
        alike.first().unwrap().to_string(),
        "docs/platform.M3.build_plan.md:9 and docs/platform.M3.build_plan.md:10: both make a case named `dev_min::M3.A::M3A-V1-X`; give one of the two another id"
    );
    let said = lint(&parsed);
    assert!(said.iter().any(|one| one.place.line == 10 && one.message.contains("line 9")), "{said:#?}");
}

#[test]
fn ids_without_a_phase_may_repeat_in_another_lane() {
    let table = "| Verify ID | Command template | Purpose |\n| --- | --- | --- |\n| `V1_KEY` | `ls` | why |\n";
    let parsed = plan(&format!("### M3.A One\n{table}\n### M3.B Two\n{table}\n## 6) Rest\n{table}"));
    assert_eq!(parsed.errors, []);
    let names: Vec<String> = case_names(&parsed.plan).unwrap().into_iter().map(|case| case.name).collect();
    assert_eq!(names, ["dev_min::M3.A::V1_KEY", "dev_min::M3.B::V1_KEY", "dev_min::M3::V1_KEY"]);
}

#[test]
fn lanes_end_where_a_heading_of_their_level_begins() {
    let parsed = plan(
        "## M3 Decision Pins\n1. First law:\n   - a\n\n### M3.A One\n- x\n#### Deep\nDoD:\n- [ ] a\n\n### Other\n- [ ] b\n\n### M3.A Decision Pins\n1. Second law:\n   - b\n\n## 7) M3 Completion Checklist\n- [ ] c\n",
    );
    assert_eq!(parsed.errors, []);
    let boxes: Vec<_> = parsed.plan.boxes.iter().map(|asked| (asked.lane.as_deref(), asked.kind)).collect();
    assert_eq!(boxes, [(Some("M3.A"), BoxKind::Dod), (None, BoxKind::Checklist), (None, BoxKind::Checklist)]);
    let laws: Vec<_> = parsed.plan.laws.iter().map(|law| (law.lane.as_deref(), law.name.as_str())).collect();
    assert_eq!(laws, [(None, "First law"), (Some("M3.A"), "Second law")]);
    assert_eq!(parsed.doubts.len(), 1, "the box under `Other` stands in a list of no known kind");
}

#[test]
fn white_space_does_not_change_a_hash_and_words_below_a_box_do() {
    let of = |body: &str| lane(&format!("DoD:\n{body}")).plan.boxes.first().unwrap().hash();
    let plain = of("- [ ] the run id is free.");
    assert_eq!(plain, of("*   [x]  the   run id\n    is free.  "));
    assert_eq!(plain, of("- [ ] the run id is free.\r\n"));
    assert_ne!(plain, of("- [ ] the run id is free"));
    assert_ne!(plain, of("- [ ] the run id is free.\n  - unless nobody looks"));
    assert_eq!(of("- [ ] a\n  - [ ] nested"), of("- [ ] a"), "a nested box is a box of its own");
    assert_ne!(of("- [ ] a\n  b\n\n  c"), of("- [ ] a\n  b"));
}

#[test]
fn a_label_without_an_empty_line_before_it_is_no_part_of_the_box_above() {
    let parsed = lane("DoD:\n- [ ] a\n  - detail\nBlockers:\n- `M3A-B1`: x.\nNotes:\n- b");
    assert_eq!(parsed.errors, []);
    let asked = parsed.plan.boxes.first().unwrap();
    assert_eq!((asked.text.as_str(), asked.details.as_str()), ("a", "- detail"));
    assert_eq!(parsed.plan.codes.len(), 1);
}

#[rstest]
#[case::open("Current blockers:\n1. `M3A-B1` (open)\n\nResolved blockers:\n1. None.", 1, 0)]
#[case::none_yet("Current blockers:\n1. None yet.\n\nResolved blockers:\n1. `M3A-B1` (closed)", 0, 1)]
#[case::no_label("1. `M3A-B1` (open)", 1, 0)]
#[case::closed_in_the_open_list("Current blockers:\n1. `M3A-B1` (resolved)", 1, 0)]
#[case::open_in_the_closed_list("Current blockers:\n1. None.\n\nResolved blockers:\n1. `M3A-B1` (open)", 1, 0)]
#[case::two_codes("Current blockers:\n1. `M3A-B1` and `M3A-B2` (open)", 1, 0)]
fn registers_fail_closed(#[case] body: &str, #[case] open: usize, #[case] resolved: usize) {
    let parsed = plan(&format!("### M3.A x\nDoD:\n- [ ] a\n\n## 8) Blocker Register (Must Be Empty)\n{body}\n"));
    assert_eq!(parsed.errors, []);
    let register = parsed.plan.registers.first().unwrap();
    assert!(register.must_be_empty);
    assert_eq!((register.open.len(), register.resolved.len()), (open, resolved));
    assert!(parsed.plan.code("M3A-B1").is_some());
}

#[rstest]
#[case::no_code("Current blockers:\n1. the key is missing", PlanErrorKind::EntryWithoutCode, 1)]
#[case::no_list("Rule:\n1. it must be empty", PlanErrorKind::RegisterWithoutList, 0)]
fn registers_that_cannot_be_read(#[case] body: &str, #[case] kind: PlanErrorKind, #[case] open: usize) {
    let parsed = plan(&format!("### M3.A x\nDoD:\n- [ ] a\n\n## 8) Blocker Register\n{body}\n"));
    assert_eq!(kinds(&parsed), [&kind]);
    assert_eq!(parsed.plan.registers.first().unwrap().open.len(), open);
}

#[test]
fn the_tenth_entry_of_a_register_keeps_what_stands_below_it() {
    let mut body = String::from("### M3.A x\nDoD:\n- [ ] a\n\n## 8) Blocker Register\nCurrent blockers:\n");
    for number in 1..12 {
        body.push_str(&format!("{number}. `M3A-B{number}` (open)\n   - summary:\n     - reason {number}\n"));
    }
    let parsed = plan(&body);
    assert_eq!(parsed.errors, []);
    let summaries: Vec<&str> =
        parsed.plan.registers.first().unwrap().open.iter().map(|entry| entry.summary.as_str()).collect();
    assert_eq!(summaries.len(), 11);
    assert_eq!(summaries.last(), Some(&"reason 11"));
}

#[test]
fn an_empty_plan_says_that_nothing_would_be_asked() {
    let parsed = parse(Source::new("platform.M3.build_plan.md", ""), "dev_min");
    assert_eq!(kinds(&parsed), [&PlanErrorKind::NoAuthorityInputs, &PlanErrorKind::NoCases]);
    let parsed = parse(Source::new("notes.md", "words"), "dev_min");
    assert!(kinds(&parsed).contains(&&PlanErrorKind::UnknownPhase));
}

#[rstest]
#[case("platform.M3.build_plan.md", "# Plan - M4 (x)", "M3")]
#[case("platform.build_plan.md", "# Plan", "plan")]
#[case("other.md", "# Plan - M4 (P2 Ready)", "M4")]
fn the_phase_of_a_plan(#[case] path: &str, #[case] text: &str, #[case] phase: &str) {
    assert_eq!(parse(Source::new(path, text), "dev_min").plan.phase, phase);
}

#[test]
fn matrices_compare_by_column_name_and_count_their_cells() {
    let parsed = lane(
        "DoD:\n- [ ] a\n\n| Handle key | Source class | Resolution source | Verification | Status | Blocker |\n| --- | --- | --- | --- | --- | --- |\n| `KEY` | registry literal | a \\| b | `M3A_V1_X` + `M3A_V2_Y` | `CLOSED` | `none` |\n| `OTHER` | x | y | z | `BLOCKED` | `M3A-B1` |\n| `SHORT` | x |",
    );
    assert_eq!(kinds(&parsed), [&PlanErrorKind::MatrixCells { found: 2, expected: 6 }]);
    let rows = &parsed.plan.matrices;
    let first = rows.first().unwrap();
    assert_eq!((first.handle.as_str(), first.verification.len(), first.blocker.as_deref()), ("KEY", 2, None));
    assert_eq!(first.source, "a \\| b");
    assert_eq!(rows.last().unwrap().blocker.as_deref(), Some("M3A-B1"));
    let said: Vec<String> = lint(&parsed).into_iter().map(|one| one.message).collect();
    assert!(said.iter().any(|message| message.contains("`M3A_V1_X` verifies `KEY`")), "{said:#?}");
    assert!(said.iter().any(|message| message.contains("`M3A-B1` is spoken of")), "{said:#?}");
}

#[test]
fn lint_doubts_claims_that_the_boxes_contradict() {
    let parsed =
        plan("### M3.A x\nDoD:\n- [ ] a\n- [ ] a\n\n### M3.B y\n\n## M3 Completion Checklist\n- [x] M3.A complete\n");
    let said: Vec<String> = lint(&parsed).into_iter().map(|one| one.message).collect();
    assert_eq!(
        said,
        [
            "the same box stands at line 8",
            "lane `M3.B` has no boxes",
            "`M3.A` is ticked as complete, and its box at line 8 is open",
        ]
    );
}

/// A tree of entries, one line each, nesting shown by dashes.
fn outline(entries: &[RecordEntry], depth: usize) -> Vec<String> {
    let below = |entry: &RecordEntry| outline(&entry.details, depth + 1);
    entries
        .iter()
        .flat_map(|entry| std::iter::once(format!("{}{}", "-".repeat(depth), entry.text)).chain(below(entry)))
        .collect()
}

#[test]
fn a_record_keeps_words_nesting_and_places() {
    let parsed = lane(
        "DoD:\n- [ ] a\n\nM3.A freeze record (pinned) :\n1. First `A`, `B`.\n   - under it:\n     - `x \"$Y\" | z`\n   - and\n     this too\n2. Second\n\n   more words\n",
    );
    assert_eq!((parsed.errors.as_slice(), parsed.doubts.as_slice()), ([].as_slice(), [].as_slice()));
    let [record] = parsed.plan.records.as_slice() else { panic!("{:#?}", parsed.plan.records) };
    assert_eq!((record.lane.as_deref(), record.label.as_str()), (Some("M3.A"), "M3.A freeze record (pinned)"));
    assert_eq!(
        outline(&record.entries, 0),
        ["First `A`, `B`.", "-under it:", "--`x \"$Y\" | z`", "-and this too", "Second"]
    );
    let first = record.entries.first().unwrap();
    assert_eq!((record.place.line, first.place.line, first.code()), (10, 11, vec!["A", "B"]));
    let below: Vec<usize> = first.all_below().iter().map(|detail| detail.place.line).collect();
    assert_eq!(below, [12, 13, 14]);
    assert_eq!(first.details_about("UNDER").count(), 1);
    assert_eq!(record.entries_about("second").count(), 1);
    assert_eq!(parsed.plan.records_about("M3.A", "Freeze").count(), 1);
    assert_eq!(parsed.plan.records_about("M3.B", "Freeze").count(), 0);
}

#[rstest]
#[case::goal("Goal:\n- x")]
#[case::blockers("Blockers:\n- `M3A-B1`: x.")]
#[case::laws("M3.A decision pins (closed):\n1. Law:\n   - x")]
#[case::files("M3.A evidence contract:\n1. `x.json`")]
#[case::report("M3.A execution status (2026-02-23):\n1. x")]
#[case::no_label("1. x\n   - y")]
#[case::label_above_words("Record:\n\nwords between\n\n- x")]
#[case::label_without_a_list("Record:\n\nwords")]
#[case::boxes_alone("Record:\n- [x] x\n  - y")]
#[case::heading_with_a_meaning("#### M3.A Evidence Contract\nFiles:\n- `x.json`")]
fn lists_that_are_no_records(#[case] body: &str) {
    let parsed = lane(&format!("DoD:\n- [ ] a\n\n{body}"));
    assert_eq!(parsed.plan.records, []);
}

#[rstest]
#[case::no_empty_line("Notes:\n- x\nM3.A pins:\n- y", &["M3.A pins"], &["y"])]
#[case::two_labels("One:\n- x\nTwo:\n- y", &["One", "Two"], &["x", "y"])]
#[case::two_lists("One:\n- x\n\n* y", &["One"], &["x", "y"])]
#[case::bullets_indented_too_little("One:\n\n10. x\n   - y", &["One"], &["x", "-y"])]
#[case::boxes_among_entries("One:\n- x\n- [ ] box\n  - of the box\n- y", &["One"], &["x", "y"])]
#[case::a_list_with_a_meaning_below("One:\n- x\n  - Minimum receipt fields:\n    - `f`", &["One"], &["x", "-Minimum receipt fields:", "--`f`"])]
#[case::outer_heading("#### Deep\nOne:\n- x", &["One"], &["x"])]
fn untidy_records(#[case] body: &str, #[case] labels: &[&str], #[case] expected: &[&str]) {
    let parsed = lane(&format!("DoD:\n- [ ] a\n\n{body}"));
    assert_eq!(parsed.errors, []);
    let records = &parsed.plan.records;
    assert_eq!(records.iter().map(|record| record.label.as_str()).collect::<Vec<_>>(), labels);
    assert!(records.iter().all(|record| record.lane.as_deref() == Some("M3.A")));
    assert_eq!(records.iter().flat_map(|record| outline(&record.entries, 0)).collect::<Vec<_>>(), expected);
}

#[test]
fn the_title_of_a_lane_does_not_say_what_each_list_in_it_is() {
    let body = "M3.A mismatch handling:\n- `x.json` differs.\n\nMinimum evidence payloads:\n- `y.json`\n";
    let parsed = plan(&format!("## M3.A Provenance and Evidence Contract\nDoD:\n- [ ] a\n\n{body}"));
    let labels: Vec<&str> = parsed.plan.records.iter().map(|record| record.label.as_str()).collect();
    assert_eq!(labels, ["M3.A mismatch handling"]);
    let files: Vec<&str> = parsed.plan.contracts.iter().flat_map(|c| &c.files).map(|file| file.name.as_str()).collect();
    assert_eq!(files, ["x.json", "y.json"], "evidence files are asked for as before");
}

#[test]
fn a_list_of_the_phase_is_a_record_without_a_lane() {
    let parsed = plan("## 2) Scope\nIn scope:\n- x\n\n### M3.A One\nDoD:\n- [ ] a\n");
    let [record] = parsed.plan.records.as_slice() else { panic!("{:#?}", parsed.plan.records) };
    assert_eq!((record.lane.as_deref(), record.label.as_str()), (None, "In scope"));
}

const MATRIX: &str = "| Handle key | Runtime mode(s) | Deterministic invocation contract | Required args contract |\n| --- | --- | --- | --- |";

#[rstest]
#[case::in_a_list(
    "Matrices:\n- Matrix:\n\n  | Handle | Mode | Invocation | Required args |\n  | --- | --- | --- | --- |\n  | `E_X` | x | `python -m a.b run` | `--p <x>` |"
)]
#[case::other_order(
    "| Handle | Required arguments | Invocation | Status | Modes |\n| --- | --- | --- | --- | --- |\n| E_X | `--p <x>` | `python -m a.b run` | READY | x |"
)]
#[case::no_outer_pipes(
    "Handle | Mode | Invocation | Required args\n--- | --- | --- | ---\n`E_X` | x | `python -m a.b run` | `--p <x>`"
)]
#[case::wide(
    "|Handle|Mode|Invocation|Required args|\n|---|:--:|---|--:|\n|   `E_X`|x|` python  -m  a.b   run `|`  --p   <x>  `|"
)]
fn an_entrypoint_matrix_is_found_by_its_header(#[case] table: &str) {
    let parsed = lane(&format!("DoD:\n- [ ] a\n\n{table}"));
    assert_eq!(parsed.errors, []);
    let [row] = parsed.plan.entrypoints.as_slice() else { panic!("{:#?}", parsed.plan.entrypoints) };
    assert_eq!((row.lane.as_deref(), row.handle.as_str(), row.mode.as_str()), (Some("M3.A"), "E_X", "x"));
    assert_eq!((row.module.as_str(), row.invocation.join(" ")), ("a.b", "python -m a.b run".to_owned()));
    assert_eq!(row.required, [RequiredOption { name: "--p".to_owned(), value: "<x>".to_owned() }]);
    assert_eq!(row.arguments, ["--p", "<x>"]);
}

#[test]
fn rows_of_an_entrypoint_matrix_that_do_not_fit_are_errors_with_their_lines() {
    let rows = [
        "| `E_A` | fits | `python -m a` | `--p <x>` (`--once` optional) |",
        "| `E_B` | no module | `python -m` | `--p <x>` |",
        "| `E_C` | no python | `node c.js` | `--p <x>` |",
        "| `E_D` | no value | `python -m d` | `--p` |",
        "| `E_E` | a pipe | `python -m e` | `--p <x|y>` |",
        "| `E_F` | too short | `python -m f` |",
        "swallowed words",
    ];
    let parsed = lane(&format!("DoD:\n- [ ] a\n\n{MATRIX}\n{}", rows.join("\n")));
    let lines: Vec<&str> = parsed.errors.iter().map(|error| error.line.as_str()).collect();
    assert_eq!(lines, rows[1..]);
    assert!(kinds(&parsed).iter().all(|kind| matches!(kind, PlanErrorKind::UnreadableEntrypoint { .. })));
    assert_eq!(parsed.plan.entrypoints.len(), 1);
    assert_eq!(
        parsed.errors.get(2).unwrap().to_string(),
        "docs/platform.M3.build_plan.md:15: a row of the entrypoint matrix cannot be read: the required option `--p` has no `<value>` behind it\n  | | `E_D` | no value | `python -m d` | `--p` |\n  = put a placeholder behind it, `--name <value>`, or name it behind the code span as optional"
    );
}

#[test]
fn an_entrypoint_matrix_that_lacks_a_column_is_an_error_and_so_are_its_rows() {
    let parsed =
        lane("DoD:\n- [ ] a\n\n| Handle key | Mode | Invocation |\n| --- | --- | --- |\n| `E_X` | x | `python -m a` |");
    assert_eq!(
        kinds(&parsed),
        [&PlanErrorKind::EntrypointColumn { column: "required args" }, &PlanErrorKind::UnreadEntrypoint]
    );
}

#[rstest]
#[case::fence("```\n| `E_X` | x | `python -m a` | none |\n```")]
#[case::quote("> | `E_X` | x | `python -m a` | none |")]
#[case::other_table("| Name | Command |\n| --- | --- |\n| `E_X` | `python -m a` |")]
#[case::cut_off(
    "| Handle | Mode | Invocation | Required args |\n| --- | --- | --- | --- |\n| `E_A` | x | `python -m a` | none |\n\n| `E_X` | x | `python -m a` | none |"
)]
fn what_looks_like_an_entrypoint_and_is_none(#[case] lines: &str) {
    let parsed = lane(&format!("DoD:\n- [ ] a\n\n{lines}"));
    assert_eq!(kinds(&parsed), [&PlanErrorKind::UnreadEntrypoint]);
    assert!(parsed.errors.first().unwrap().line.contains("E_X"));
}

#[test]
fn code_in_blocks_is_kept_line_by_line_with_its_place() {
    let parsed = lane(
        "DoD:\n- [ ] a\n\n```sh\ndocker build \\\n  --tag x .\n\n  # why\n```\n\n1. Below:\n   - deep:\n\n     ```\n     make it\n     ```\n",
    );
    let lines: Vec<(Option<&str>, &str, usize)> =
        parsed.plan.code_lines.iter().map(|code| (code.lane.as_deref(), code.text.as_str(), code.place.line)).collect();
    let lane = Some("M3.A");
    assert_eq!(lines, [(lane, "docker build --tag x .", 11), (lane, "# why", 14), (lane, "make it", 21)]);
}
