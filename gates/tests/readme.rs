//! Each command of the README, as it stands there.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::{Path, PathBuf};
use std::process::Command;

use comrak::nodes::NodeValue;
use comrak::{Arena, Options, parse_document};

/// The command that runs these very tests: running it here would never end. `.ci/run` runs it.
const TESTS: &str = "cargo test";

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The lines of the `sh` blocks.
fn commands(readme: &str) -> Vec<String> {
    let arena = Arena::new();
    let root = parse_document(&arena, readme, &Options::default());
    root.descendants()
        .filter_map(|node| match &node.data.borrow().value {
            NodeValue::CodeBlock(block) if block.info == "sh" => Some(block.literal.clone()),
            _ => None,
        })
        .flat_map(|block| block.lines().map(str::to_owned).collect::<Vec<_>>())
        .filter(|line| !line.trim().is_empty())
        .collect()
}

/// One line, without a shell: assignments, then the program and its arguments.
fn command(line: &str, out: &Path) -> Command {
    let words = shlex::split(line).unwrap();
    let assignments = words.iter().take_while(|word| word.contains('=') && !word.starts_with('-')).count();
    let mut command = Command::new(&words[assignments]);
    command.args(&words[assignments + 1..]).current_dir(workspace());
    for (name, _) in std::env::vars() {
        if name.starts_with("PHASEGATE_") || name.starts_with("AWS_") || name == "CI" || name.starts_with("NEXTEST") {
            command.env_remove(name);
        }
    }
    // Only where the evidence goes is ours: two runs of the tests must not meet.
    command.env("PHASEGATE_OUT", out);
    for assignment in &words[..assignments] {
        let (name, value) = assignment.split_once('=').unwrap();
        command.env(name, value);
    }
    command
}

#[test]
fn every_command_does_what_it_says() {
    let readme = std::fs::read_to_string(workspace().join("README.md")).unwrap();
    let commands = commands(&readme);
    assert!(commands.len() >= 8, "the README has {} commands", commands.len());
    assert!(commands.iter().any(|line| line == TESTS));
    for line in commands.iter().filter(|line| *line != TESTS) {
        let out = tempfile::tempdir().unwrap();
        let done = command(line, out.path()).output().unwrap();
        let said = String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "`{line}` ended with {}:\n{said}", done.status);
        let promised = match line.as_str() {
            line if line.contains("--list") => "dev_min::M3.B::dod-1::",
            line if line.contains("-- M3.B") => "dev_min M3 PARTIAL basis=rehearsal",
            line if line.ends_with("-- dev_full") => {
                "dev_full M3 ADVANCE_TO_M4 basis=rehearsal roots=- entailed=- cases=90 passed=90"
            }
            line if line.contains("preflight") => "dev_min M3 WOULD_ADVANCE basis=rehearsal",
            line if line.contains("--test m4") => {
                "dev_min M4 ADVANCE_TO_M5 basis=rehearsal roots=- entailed=- cases=43 passed=43"
            }
            line if line.contains("--test m3") => {
                "dev_min M3 ADVANCE_TO_M4 basis=rehearsal roots=- entailed=- cases=34 passed=34"
            }
            _ => "",
        };
        assert!(said.contains(promised), "`{line}` did not say `{promised}`:\n{said}");
        // What is promised of one track is promised of the other.
        let (verdict, cases) = (promised.strip_prefix("dev_min M3 "), "cases=34 passed=34");
        if let Some(verdict) = verdict {
            let verdict = verdict.strip_suffix(cases).unwrap_or(verdict);
            assert!(said.contains(&format!("dev_full M3 {verdict}")), "`{line}` did not say so of dev_full:\n{said}");
        }
    }
}

#[test]
fn the_gate_for_landing_runs_the_test_command() {
    let gate = std::fs::read_to_string(workspace().join(".ci/run")).unwrap();
    assert!(gate.lines().any(|line| line.trim().starts_with(TESTS) && line.trim().ends_with("--locked")));
}

#[test]
fn variables_and_exit_codes_are_those_of_the_code() {
    let readme = std::fs::read_to_string(workspace().join("README.md")).unwrap();
    let settings = std::fs::read_to_string(workspace().join("support/src/run/settings.rs")).unwrap();
    let code = settings.split("#[cfg(test)]").next().unwrap();
    let mut found = 0;
    for name in code.split('"').filter(|word| word.starts_with("PHASEGATE_") && !word.contains(' ')) {
        let name = name.split(['=', '`', '{']).next().unwrap();
        assert!(readme.contains(&format!("| `{name}`")), "{name} is not in the README's table");
        found += 1;
    }
    assert!(found >= 9, "only {found} variables were found");
    for exit in 0..=5 {
        assert!(readme.contains(&format!("\n| {exit} | ")), "exit code {exit} is not in the README's table");
    }
}
