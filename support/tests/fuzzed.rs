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
