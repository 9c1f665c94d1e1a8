//! As nextest runs it: each case in a process of its own, of one run that has an id.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::ground::{Gate, HANDOFF, OwnCopy, PLAN, Ran, both_tracks, json};

/// One case, as nextest asks for it.
fn case(out: &Path, repo: &Path, run: &str, name: &str) -> Gate {
    Gate::new().var("PHASEGATE_OUT", out).repo(repo).var("NEXTEST", "1").var("NEXTEST_RUN_ID", run).args(&[
        "--exact",
        name,
        "--nocapture",
    ])
}

/// Every case in a process of its own, several at once; whether each passed.
fn each(out: &Path, repo: &Path, run: &str) -> BTreeMap<String, Ran> {
    let listed = Gate::new().repo(repo).args(&["--list", "--format", "terse"]).run();
    let names: Vec<String> = listed.listed().into_iter().map(str::to_owned).collect();
    let (queue, done) = (Mutex::new(names.into_iter()), Mutex::new(BTreeMap::new()));
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                loop {
                    let Some(name) = queue.lock().unwrap().next() else { return };
                    let ran = case(out, repo, run, &name).run();
                    done.lock().unwrap().insert(name, ran);
                }
            });
        }
    });
    done.into_inner().unwrap()
}

fn executions(out: &Path) -> Vec<PathBuf> {
    let folder = out.join("dev_min/m3");
    let mut found: Vec<PathBuf> = match std::fs::read_dir(folder) {
        Ok(entries) => entries.map(|entry| entry.unwrap().path()).collect(),
        Err(_) => Vec::new(),
    };
    found.sort();
    found
}

/// The names of the cases that passed when cargo's own harness ran them, all in one process.
fn passed_in_one_process(repo: &Path) -> BTreeMap<String, bool> {
    let ran = Gate::new().repo(repo).run();
    ran.stdout
        .lines()
        .filter_map(|line| line.strip_prefix("test ")?.split_once(" ... "))
        .map(|(name, how)| (name.trim_end().to_owned(), how.starts_with("ok")))
        .collect()
}

#[test]
fn lanes_run_once_and_every_case_comes_out_as_in_one_process() {
    let of_fixture = OwnCopy::of_fixture();
    let held = OwnCopy::of_fixture().remove(HANDOFF);
    for repo in [of_fixture.path(), held.path()] {
        let out = tempfile::tempdir().unwrap();
        let ran = each(out.path(), repo, "run-1");
        let outcome: BTreeMap<String, bool> = ran.iter().map(|(name, ran)| (name.clone(), ran.code == 0)).collect();
        assert_eq!(outcome, passed_in_one_process(repo));
        assert_eq!(executions(out.path()).len(), 1, "the lanes ran once");
        for ran in ran.values() {
            assert!(["PARTIAL", "HOLD_M3"].contains(&ran.line().verdict.as_str()), "{ran:#?}");
        }
    }
}

#[test]
fn dev_full_comes_out_case_by_case_as_in_one_process() {
    let gate = Gate::new().repo(&both_tracks()).var("NEXTEST", "1").args(&["dev_full"]);
    let ran = gate.run();
    assert_eq!((ran.code, ran.line().verdict.as_str(), ran.line().passed), (0, "PARTIAL", 90), "{ran:#?}");
    let m3j = format!("m3j_{}", ran.line().folder().file_name().unwrap().to_str().unwrap().trim_start_matches("m3_"));
    let marker = json(&ran.line().folder().join(m3j).join("m4_entry_readiness_receipt.json"));
    assert_eq!(marker["m4_entry_ready"], false, "a partial run is no entry for M4");
}

#[test]
fn what_another_run_or_another_plan_left_is_not_judged_from() {
    let repo = OwnCopy::of_fixture();
    let out = tempfile::tempdir().unwrap();
    let name = "dev_min::M3::integrity";
    for (run, count) in [("run-1", 1), ("run-1", 1), ("run-2", 2)] {
        assert_eq!(case(out.path(), repo.path(), run, name).run().code, 0);
        assert_eq!(executions(out.path()).len(), count, "{run}");
    }
    let text = std::fs::read_to_string(repo.path().join(PLAN)).unwrap();
    let repo = repo.write(PLAN, format!("{text}\nOne more line.\n"));
    assert_eq!(case(out.path(), repo.path(), "run-2", name).run().code, 0);
    assert_eq!(executions(out.path()).len(), 3);
}

#[test]
fn a_retry_judges_again_and_runs_no_lane() {
    let repo = OwnCopy::of_fixture().remove(HANDOFF);
    let out = tempfile::tempdir().unwrap();
    let name = "dev_min::M3::integrity";
    let said: Vec<i32> = (0..3).map(|_| case(out.path(), repo.path(), "run-1", name).run().code).collect();
    assert!(said.iter().all(|code| *code == said[0]), "{said:?}");
    assert_eq!(executions(out.path()).len(), 1);
}

#[test]
fn stored_observations_that_were_changed_pass_nothing() {
    let repo = OwnCopy::of_fixture();
    let out = tempfile::tempdir().unwrap();
    let name = "dev_min::M3::integrity";
    assert_eq!(case(out.path(), repo.path(), "run-1", name).run().code, 0);
    let file = executions(out.path())[0].join("observations/M3.B.json");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("platform_", "platform-")).unwrap();
    let ran = case(out.path(), repo.path(), "run-1", name).run();
    assert_ne!(ran.code, 0, "{ran:#?}");
    assert!(ran.said().contains("cannot be judged from") && ran.said().contains("M3.B.json"), "{ran:#?}");
}

#[test]
fn where_the_first_process_dies_no_case_passes_and_no_lane_runs_again() {
    let repo = OwnCopy::of_fixture();
    let name = "dev_min::M3::integrity";
    for _ in 0..20 {
        let out = tempfile::tempdir().unwrap();
        let mut first = case(out.path(), repo.path(), "run-1", name).start();
        let deadline = Instant::now() + Duration::from_secs(20);
        while executions(out.path()).is_empty() {
            assert!(Instant::now() < deadline, "no lane was begun");
            std::thread::sleep(Duration::from_millis(1));
        }
        first.kill();
        let meetings: Vec<_> = std::fs::read_dir(out.path().join(".nextest")).unwrap().collect();
        if meetings[0].as_ref().unwrap().path().join("done.json").exists() {
            // It was faster than the signal.
            continue;
        }
        let left = executions(out.path());
        let ran = case(out.path(), repo.path(), "run-1", name).run();
        assert_ne!(ran.code, 0, "{ran:#?}");
        assert!(ran.said().contains("ended before it could say what came of it"), "{ran:#?}");
        assert_eq!(executions(out.path()), left, "lanes were run again");
        return;
    }
    panic!("no process could be ended in time: the test showed nothing");
}
