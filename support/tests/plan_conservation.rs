//! Conservation: what a plain expression finds in a plan's text comes out of the parser, or is an
//! error with its line. Over the real plans and a made one, as they are and mutated.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod common;
#[expect(dead_code, reason = "of the invariants of all documents these tests ask those of plans")]
mod invariants;

use std::fmt::Write as _;
use std::sync::LazyLock;

use invariants::plan::{
    entrypoints_stand_in_the_document, errors_name_their_lines, lost, names_are_unique, records_stand_in_the_document,
};
use phasegate_support::plan::{Source, lint, parse};
use proptest::prelude::*;
use proptest::sample::Index;

/// A small plan that has everything, for runs without the real ones.
const MADE: &str = r#"# Plan - M3 (pins)

## 1) Authority Inputs
Primary:
1. `docs/x_handles.registry.v0.md`

### M3.A Handles
DoD:
- [ ] handles are closed.
  - each of them
- [x] nothing is open.

M3.A verification command catalog:
| Verify ID | Command template | Purpose |
| --- | --- | --- |
| `M3A-V1-KEYS` | `rg -n "A|B" docs/x.md` | keys are there |
| `M3A_V2_FILE` | `Test-Path a` | file is there |

M3.A blocker taxonomy (fail-closed):
1. `M3A-B1`: key missing.
2. `M3A-B2`: file missing.

M3.A entrypoints:
| Handle key | Runtime mode(s) | Invocation | Required args |
| --- | --- | --- | --- |
| `ENTRYPOINT_A` | a job | `python -m a.cli run` | `--profile <path>` (`--once` optional) |
| `ENTRYPOINT_B` | another | `python -m b.worker` | none |

M3.A freeze record:
1. Content:
   - `src/` (recursive)
   - commands:
     - `docker build "$PATH"`
2. Nothing else.

## 7) M3 Completion Checklist
- [ ] M3.A complete

## 8) Unresolved Blocker Register (Must Be Empty)
Current blockers:
1. `M3A-B2` (open)

Resolved blockers:
1. None.
"#;

fn texts() -> Vec<(String, String)> {
    let mut texts = vec![("platform.M3.build_plan.md".to_owned(), MADE.to_owned())];
    if let Some(root) = common::real_repositories() {
        let mut folders = vec![root];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                let name = path.file_name().unwrap().to_str().unwrap().to_owned();
                if path.is_dir() {
                    folders.push(path);
                } else if name.ends_with("build_plan.md") {
                    let text = std::fs::read_to_string(path).unwrap();
                    if texts.iter().all(|(_, known)| *known != text) {
                        texts.push((name, text));
                    }
                }
            }
        }
        assert!(texts.len() > 12, "only {} plans found", texts.len());
    }
    texts
}

static TEXTS: LazyLock<Vec<(String, String)>> = LazyLock::new(texts);

#[test]
fn nothing_is_lost_in_plans_as_they_are() {
    for (name, text) in TEXTS.iter() {
        let parsed = parse(Source::new(name.as_str(), text.as_str()), "dev_min");
        assert_eq!(lost(&parsed), Vec::<String>::new(), "{name}");
        assert_eq!(parsed.errors, [], "{name}");
    }
}

/// One change of a text.
#[derive(Debug, Clone)]
enum Change {
    Delete(Index),
    Duplicate(Index),
    Swap(Index, Index),
    Indent(Index, usize),
    Dedent(Index),
    Tick(Index),
    Quote(Index),
    Fence(Index, Index),
    Truncate(Index, Index),
    Insert(Index, Index, &'static str),
    Above(Index, &'static str),
    Ending(Index, &'static str),
    Join(Index),
    Marker(Index, &'static str),
}

fn change() -> impl Strategy<Value = Change> {
    let at = any::<Index>;
    let piece = prop::sample::select(vec![
        "|",
        " | ",
        "`",
        "``",
        "\\",
        "[ ]",
        "[x]",
        "- ",
        "*",
        "_",
        ":",
        "\"",
        "<!--",
        "<b>",
        "\t",
        "\u{a0}",
        "é",
        "M3A-B1",
        "V1_X",
        "python -m ",
        "`ENTRYPOINT_X`",
        "--x",
        "<",
        ">",
    ]);
    let line = prop::sample::select(vec![
        "",
        "DoD:",
        "Blockers:",
        "Notes:",
        "---",
        "## Heading",
        "### M9.Z Lane",
        "- [ ] inserted",
        "* [X] inserted",
        "+ [ ] inserted",
        "1) [ ] inserted",
        "- [] inserted",
        "-[x] inserted",
        "| `M3A-V9-NEW` | `ls` | why |",
        "| [ ] cell |",
        "- `M3A-B9`: new",
        "> - [ ] quoted",
        "<div>",
        "<!--",
        "-->",
        "```",
        "~~~",
        "| `ENTRYPOINT_X` | x | `python -m x` | none |",
        "| `ENTRYPOINT_X` | `python -m x` |",
        "| Handle | Mode | Invocation | Required args |",
        "| --- | --- | --- | --- |",
        "text:",
        "[x]: https://example.org",
    ]);
    let marker = prop::sample::select(vec!["* ", "+ ", "1. ", "1) ", "-", "> - ", "- - "]);
    prop_oneof![
        at().prop_map(Change::Delete),
        at().prop_map(Change::Duplicate),
        (at(), at()).prop_map(|(one, other)| Change::Swap(one, other)),
        (at(), 1_usize..9).prop_map(|(line, width)| Change::Indent(line, width)),
        at().prop_map(Change::Dedent),
        at().prop_map(Change::Tick),
        at().prop_map(Change::Quote),
        (at(), at()).prop_map(|(one, other)| Change::Fence(one, other)),
        (at(), at()).prop_map(|(line, column)| Change::Truncate(line, column)),
        (at(), at(), piece).prop_map(|(line, column, piece)| Change::Insert(line, column, piece)),
        (at(), line).prop_map(|(at, line)| Change::Above(at, line)),
        (at(), prop::sample::select(vec!["\r\n", "\r"])).prop_map(|(at, ending)| Change::Ending(at, ending)),
        at().prop_map(Change::Join),
        (at(), marker).prop_map(|(at, marker)| Change::Marker(at, marker)),
    ]
}

fn boundary(line: &str, column: &Index) -> usize {
    let mut at = column.index(line.len() + 1);
    while !line.is_char_boundary(at) {
        at -= 1;
    }
    at
}

fn mutate(text: &str, changes: &[Change]) -> String {
    let mut lines: Vec<String> = text.split_inclusive('\n').map(str::to_owned).collect();
    for change in changes {
        let count = lines.len();
        if count == 0 {
            break;
        }
        match change {
            Change::Delete(at) => drop(lines.remove(at.index(count))),
            Change::Duplicate(at) => lines.insert(at.index(count), lines[at.index(count)].clone()),
            Change::Swap(one, other) => lines.swap(one.index(count), other.index(count)),
            Change::Indent(at, width) => lines[at.index(count)].insert_str(0, &" ".repeat(*width)),
            Change::Dedent(at) => lines[at.index(count)] = lines[at.index(count)].trim_start_matches(' ').to_owned(),
            Change::Tick(at) => {
                let line = &mut lines[at.index(count)];
                *line = if line.contains("[ ]") { line.replace("[ ]", "[x]") } else { line.replace("[x]", "[ ]") };
            }
            Change::Quote(at) => lines[at.index(count)].insert_str(0, "> "),
            Change::Fence(one, other) => {
                let (one, other) = (one.index(count), other.index(count));
                lines.insert(one.max(other), "```\n".to_owned());
                lines.insert(one.min(other), "```\n".to_owned());
            }
            Change::Truncate(at, column) => {
                let line = &mut lines[at.index(count)];
                let at = boundary(line, column);
                line.truncate(at);
                line.push('\n');
            }
            Change::Insert(at, column, piece) => {
                let line = &mut lines[at.index(count)];
                let at = boundary(line, column);
                line.insert_str(at, piece);
            }
            Change::Above(at, line) => lines.insert(at.index(count), format!("{line}\n")),
            Change::Ending(at, ending) => {
                let line = &mut lines[at.index(count)];
                *line = format!("{}{ending}", line.trim_end_matches(['\r', '\n']));
            }
            Change::Join(at) => {
                let line = &mut lines[at.index(count)];
                *line = line.trim_end_matches(['\r', '\n']).to_owned();
            }
            Change::Marker(at, marker) => {
                let line = &mut lines[at.index(count)];
                if let Some(rest) = line.trim_start().strip_prefix("- ") {
                    *line = format!("{marker}{rest}");
                }
            }
        }
    }
    lines.concat()
}

fn cases() -> ProptestConfig {
    // PROPTEST_CASES asks for more.
    ProptestConfig { failure_persistence: None, max_shrink_iters: 4096, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn nothing_is_lost_in_mutated_plans(
        which in any::<Index>(),
        changes in prop::collection::vec(change(), 1..24),
    ) {
        let (name, text) = &TEXTS[which.index(TEXTS.len())];
        let text = mutate(text, &changes);
        let parsed = parse(Source::new(name.as_str(), text), "dev_min");
        let lost = lost(&parsed);
        prop_assert!(lost.is_empty(), "{name}: {lost:#?}");
        errors_name_their_lines(&parsed);
        names_are_unique(&parsed, "dev_min");
        records_stand_in_the_document(&parsed);
        entrypoints_stand_in_the_document(&parsed);
        let _ = lint(&parsed);
    }

    #[test]
    fn nothing_is_lost_in_the_made_plan(changes in prop::collection::vec(change(), 1..12)) {
        let text = mutate(MADE, &changes);
        let parsed = parse(Source::new("platform.M3.build_plan.md", text), "dev_min");
        let lost = lost(&parsed);
        prop_assert!(lost.is_empty(), "{lost:#?}\n{}", parsed.plan.source.text);
        records_stand_in_the_document(&parsed);
        entrypoints_stand_in_the_document(&parsed);
    }

    #[test]
    fn any_text_parses_without_a_panic(text in "(?s)[-*+>|`\\[\\] xX#:.\\n\\r\t\"\\\\<!M3AVB1_é~()]{0,200}") {
        let parsed = parse(Source::new("platform.M3.build_plan.md", text), "dev_min");
        prop_assert!(lost(&parsed).is_empty(), "{:#?}", lost(&parsed));
        records_stand_in_the_document(&parsed);
        entrypoints_stand_in_the_document(&parsed);
        let _ = lint(&parsed);
    }
}

#[test]
fn deep_nesting_ends_in_an_error_and_not_in_the_stack() {
    let mut text = String::from("# Plan - M3\n\n### M3.A x\nDoD:\n");
    for depth in 0..400 {
        writeln!(text, "{}- [ ] level {depth}", "  ".repeat(depth)).unwrap();
    }
    let text = format!("{text}\n{}x\n{}\n", "> ".repeat(5000), "- ".repeat(5000));
    let parsed = parse(Source::new("platform.M3.build_plan.md", text), "dev_min");
    assert_eq!(lost(&parsed), Vec::<String>::new());
    assert!(parsed.errors.iter().any(|error| error.to_string().contains("nested more than")));
}
