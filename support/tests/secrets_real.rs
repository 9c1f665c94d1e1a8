//! The real plan repositories under the secret scan: handoffs are clean, nothing panics.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test by panicking")]

#[path = "evidence_fake/real_repos.rs"]
mod real_repos;

use std::path::{Path, PathBuf};

use phasegate_support::secrets::{scan_bytes, scan_json};

fn files(under: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = walkdir::WalkDir::new(under)
        .into_iter()
        .map(|entry| entry.unwrap().into_path())
        .filter(|path| path.extension().is_some_and(|e| e == extension))
        .collect();
    found.sort();
    found
}

#[test]
fn all_real_handoffs_scan_clean() {
    let Some(repos) = real_repos::real_repos() else {
        return;
    };
    let handoffs = files(&repos, "json");
    assert!(handoffs.len() >= 5, "too few handoffs: {handoffs:?}");
    for path in handoffs {
        let bytes = std::fs::read(&path).unwrap();
        let value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(scan_json(&value), [], "{}", path.display());
        assert_eq!(scan_bytes(&bytes), [], "{}", path.display());
    }
}

/// Plans, registries and runbooks are published as raw copies: what the scan takes in them would keep them from it.
#[test]
fn all_real_documents_scan_clean() {
    let Some(repos) = real_repos::real_repos() else {
        return;
    };
    let documents = files(&repos, "md");
    assert!(documents.len() >= 25, "too few documents: {documents:?}");
    for path in documents {
        let hits = scan_bytes(&std::fs::read(&path).unwrap());
        assert_eq!(hits, [], "{}", path.display());
    }
}
