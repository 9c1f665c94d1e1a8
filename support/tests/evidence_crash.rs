//! Crashes and races: a file is whole or not there.

#[path = "evidence_fake/mod.rs"]
mod fake;

use std::path::Path;
use std::time::Duration;

use fake::{door, files};
use phasegate_support::evidence::{Artifact, Destination, TEMPORARY_PREFIX};
use serde_json::{Value, json};

/// Not a test of its own: the process that the crash test kills.
#[test]
#[ignore = "run by a_crash_leaves_no_half_file"]
fn crash_child() {
    // Whoever runs ignored tests by hand starts no writer.
    let Some(root) = std::env::var_os("PHASEGATE_TEST_CRASH_ROOT") else {
        return;
    };
    let door = door(Path::new(&root));
    for number in 0..100_000 {
        let body = json!({ "padding": "x ".repeat(10_000), "number": number });
        door.publish_bytes(&format!("{number}.json"), &serde_json::to_vec(&body).unwrap(), &Destination::LocalOnly)
            .unwrap();
    }
}

#[test]
#[cfg(unix)]
fn a_crash_leaves_no_half_file() {
    let mut whole = 0;
    for round in 0..8_u64 {
        let folder = tempfile::tempdir().unwrap();
        let mut child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "crash_child", "--ignored", "--quiet"])
            .env("PHASEGATE_TEST_CRASH_ROOT", folder.path())
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let deadline = std::time::Instant::now() + Duration::from_secs(60);
        while !folder.path().join("0.json").exists() {
            assert!(std::time::Instant::now() < deadline, "the child writes nothing");
            std::thread::sleep(Duration::from_millis(2));
        }
        std::thread::sleep(Duration::from_millis(round * 17));
        child.kill().unwrap();
        child.wait().unwrap();
        for name in files(folder.path()) {
            if !name.starts_with(TEMPORARY_PREFIX) {
                let bytes = std::fs::read(folder.path().join(&name)).unwrap();
                let value: Value = serde_json::from_slice(&bytes).unwrap();
                assert_eq!(format!("{}.json", value["number"]), name);
                whole += 1;
            }
        }
    }
    assert!(whole > 0, "no child came to write anything: the test showed nothing");
}

#[test]
fn racing_doors_leave_one_whole_file() {
    let folder = tempfile::tempdir().unwrap();
    let written: Vec<bool> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|number| {
                let root = folder.path();
                scope.spawn(move || {
                    let body = json!({ "writer": number, "padding": "x ".repeat(20_000) });
                    door(root).publish(&Artifact::new("a.json", body, &[]), &Destination::LocalOnly).is_ok()
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(written.iter().filter(|won| **won).count(), 1, "{written:?}");
    let whole: Value = serde_json::from_slice(&std::fs::read(folder.path().join("a.json")).unwrap()).unwrap();
    assert!(written[usize::try_from(whole["writer"].as_u64().unwrap()).unwrap()]);
    assert_eq!(files(folder.path()), ["a.json"]);
}
