//! Parsing a plan, beside comrak alone on the same text: at most 1.5 times.
//!
//! `cargo bench -p phasegate-support --bench plan`; `PHASEGATE_REAL_REPOS` adds the real plans.

use std::path::PathBuf;

use comrak::{Arena, parse_document};
use divan::{Bencher, black_box};
use phasegate_support::plan::{Source, markdown_options, parse};

fn main() {
    divan::main();
}

/// A plan of the size of a real one, made of lanes that have everything.
fn made() -> String {
    let mut text = String::from("# Plan - M3 (pins)\n\n## 1) Authority Inputs\n1. `docs/handles.registry.v0.md`\n\n");
    for letter in 'A'..='J' {
        let lower = letter.to_ascii_lowercase();
        text.push_str(&format!("### M3.{letter} Lane of many rows\nGoal:\n1. prove it.\n\nTasks:\n"));
        for task in 1..=8 {
            text.push_str(&format!(
                "{task}. do the thing number {task} with `HANDLE_{task}`:\n   - read `HANDLE_{task}`\n   - compare it\n"
            ));
        }
        text.push_str("\nDoD:\n");
        for number in 1..=4 {
            text.push_str(&format!("- [ ] requirement {number} of lane {letter} is met and evidenced.\n"));
        }
        text.push_str(&format!("\nM3.{letter} verification command catalog:\n| Verify ID | Command template | Purpose |\n| --- | --- | --- |\n"));
        for row in 1..=6 {
            text.push_str(&format!("| `M3{letter}-V{row}-CHECK` | `rg -n \\\"ONE_{row}|TWO_{row}\\\" docs/handles.registry.v0.md` | proves {row} |\n"));
        }
        text.push_str(&format!("\nM3.{letter} blocker taxonomy (fail-closed):\n"));
        for code in 1..=7 {
            text.push_str(&format!(
                "{code}. `M3{letter}-B{code}`: the thing number {code} is missing or unreadable.\n"
            ));
        }
        text.push_str(&format!("\nM3.{letter} evidence contract (planned):\n1. `m3{lower}_snapshot.json`\n\n`m3{lower}_snapshot.json` minimum fields:\n1. `platform_run_id`\n2. `overall_pass`\n\n"));
    }
    text
}

/// The made plan, and the real ones where there are any.
#[expect(clippy::print_stderr, reason = "what is not measured must be said")]
fn texts() -> Vec<(String, String)> {
    let mut texts = vec![("made".to_owned(), made())];
    if let Some(root) = std::env::var_os("PHASEGATE_REAL_REPOS").map(PathBuf::from) {
        let folder = "docs/model_spec/platform/implementation_maps/dev_substrate";
        for (repository, file) in [
            ("dev_full-m3", "dev_full/platform.M3.build_plan.md"),
            ("dev_min-m3", "platform.M3.build_plan.md"),
            ("dev_min-m4", "platform.M3.build_plan.md"),
            ("dev_min-m4", "platform.M2.build_plan.md"),
        ] {
            let path = root.join(repository).join(folder).join(file);
            match std::fs::read_to_string(&path) {
                Ok(text) => texts.push((format!("{repository}/{file}"), text)),
                Err(error) => eprintln!("not measured: {}: {error}", path.display()),
            }
        }
    }
    texts
}

fn names() -> Vec<String> {
    texts().into_iter().map(|(name, _)| name).collect()
}

fn text(name: &str) -> String {
    texts().into_iter().find(|(known, _)| known == name).map(|(_, text)| text).unwrap_or_default()
}

#[divan::bench(args = names())]
fn comrak_alone(bencher: Bencher<'_, '_>, name: &str) {
    let text = text(name);
    let options = markdown_options();
    bencher.bench_local(|| {
        let arena = Arena::new();
        black_box(parse_document(&arena, black_box(&text), &options));
    });
}

#[divan::bench(args = names())]
fn whole_plan(bencher: Bencher<'_, '_>, name: &str) {
    let source = Source::new("platform.M3.build_plan.md", text(name));
    bencher.bench_local(|| black_box(parse(black_box(source.clone()), "dev_min")));
}
