//! A world that outlives the process.

use rstest::rstest;

use crate::ground::{CLOCK, CLOCK_ID, EVIDENCE, Gate, Kept, OwnCopy, json, workspace};

#[test]
fn a_second_run_goes_on_from_the_worlds_last_instant() {
    let world = Kept::seeded();
    let mut run_ids = Vec::new();
    for _ in 0..2 {
        let ran = Gate::new().world_dir(world.dir()).run();
        assert_eq!(ran.code, 0, "{ran:#?}");
        let key = ran.line().folder().file_name().unwrap().to_str().unwrap().replace("m3_", "platform_");
        run_ids.push(key);
    }
    assert!(run_ids[0] < run_ids[1], "time does not go back: {run_ids:?}");
    let inventory = world.inventory();
    assert!(inventory.values().all(|versions| versions.len() == 1), "{inventory:#?}");
    for id in &run_ids {
        let run: serde_json::Value =
            serde_json::from_slice(&world.evidence(&format!("evidence/runs/{id}/run.json"))).unwrap();
        assert_eq!(run["platform_run_id"], *id);
    }
}

#[test]
fn an_execution_id_that_stands_in_s3_is_not_used_again() {
    let world = Kept::seeded();
    let first = Gate::new().world_dir(world.dir()).run();
    assert_eq!(first.code, 0, "{first:#?}");
    // The same second again, from another folder: only S3 can tell.
    let folder = first.line().folder().file_name().unwrap().to_str().unwrap().to_owned();
    let before = world.inventory();
    let again = Gate::new().world_dir(world.dir()).clock(&instant_of(&folder)).run();
    assert_eq!((again.code, again.line().roots), (1, vec!["PG-M3-execution_id_taken".to_owned()]), "{again:#?}");
    assert_eq!(world.inventory(), before);
}

#[rstest]
#[case::an_object("[[object]]", "text = \"taken\"", 1)]
#[case::a_delete_marker("[[delete_marker]]", "", 1)]
fn a_run_id_that_ever_stood_in_s3_gets_a_suffix(#[case] table: &str, #[case] content: &str, #[case] suffix: usize) {
    let worlds = OwnCopy::of(&workspace().join("fixtures/world"));
    let file = "dev_min/world.toml";
    let text = std::fs::read_to_string(worlds.path().join(file)).unwrap();
    let key = format!("key = \"evidence/runs/platform_{CLOCK_ID}/run.json\"");
    let more = format!("{text}\n{table}\nbucket = \"{EVIDENCE}\"\n{key}\n{content}\n");
    let worlds = worlds.write(file, more);
    let gate = Gate::new().clock(CLOCK).var("PHASEGATE_WORLD", worlds.path());
    let ran = gate.run();
    assert_eq!(ran.code, 0, "{ran:#?}");
    let run = json(&ran.line().folder().join(format!("m3d_{CLOCK_ID}/run.json")));
    assert_eq!(run["platform_run_id"], format!("platform_{CLOCK_ID}_{suffix:02}"));
}

#[test]
fn a_world_that_stands_for_another_account_holds_the_gate() {
    let world = Kept::seeded();
    let before = world.inventory();
    let worlds = OwnCopy::of(&workspace().join("fixtures/world")).edit(
        "dev_min/world.toml",
        "account = \"230372904534\"",
        "account = \"111122223333\"",
    );
    let ran = Gate::new().clock(CLOCK).world_dir(world.dir()).var("PHASEGATE_WORLD", worlds.path()).run();
    assert_eq!((ran.code, ran.line().verdict), (1, "HOLD_M3".to_owned()), "{ran:#?}");
    assert_eq!(world.inventory(), before);
}

/// `m3_20260213T214239Z` as an instant.
fn instant_of(execution_id: &str) -> String {
    let digits = execution_id.trim_start_matches("m3_");
    format!(
        "{}-{}-{}T{}:{}:{}Z",
        &digits[..4],
        &digits[4..6],
        &digits[6..8],
        &digits[9..11],
        &digits[11..13],
        &digits[13..15]
    )
}
