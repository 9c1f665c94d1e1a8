//! Going on from an execution, as its user asks for it: by `PHASEGATE_RESUME`. What a killed gate leaves is the `crash` target's.

use rstest::rstest;

use crate::ground::{CLOCK, CLOCK_ID, Gate, Kept, OwnCopy, PLAN, REGISTRY, Ran, json, sha256};

const LATER: &str = "2026-03-01T11:00:00Z";

/// An execution that came to its end, and one that goes on from it.
fn gone_on_from(world: &Kept, first: &Gate, repo: &OwnCopy, id: &str) -> Ran {
    Gate::new()
        .repo(repo.path())
        .var("PHASEGATE_OUT", first.out())
        .world_dir(world.dir())
        .clock(LATER)
        .var("PHASEGATE_RESUME", id)
        .run()
}

fn first(world: &Kept, repo: &OwnCopy) -> Gate {
    let gate = Gate::new().repo(repo.path()).world_dir(world.dir()).clock(CLOCK);
    let ran = gate.run();
    assert_eq!(ran.code, 0, "{ran:#?}");
    gate
}

fn refused(ran: &Ran, says: &[&str]) {
    assert_eq!((ran.code, ran.line().roots), (1, vec!["PG-M3-resume_refused".to_owned()]), "{ran:#?}");
    for word in says.iter().chain(&["without PHASEGATE_RESUME"]) {
        assert!(ran.said().contains(word), "`{word}` in {ran:#?}");
    }
}

fn id() -> String {
    format!("m3_{CLOCK_ID}")
}

#[test]
fn a_pinned_run_is_not_pinned_again_and_the_hold_names_the_way_on() {
    let (world, repo) = (Kept::seeded(), OwnCopy::of_fixture());
    let gate = first(&world, &repo);
    let before = world.inventory();
    let ran = gone_on_from(&world, &gate, &repo, &id());
    assert_eq!((ran.code, ran.line().roots), (1, vec!["M3-B2".to_owned()]), "{ran:#?}");
    assert!(ran.said().contains("`cargo test --test m3 -- dev_min` without PHASEGATE_RESUME"), "{ran:#?}");
    let verdict = json(&ran.line().verdict_file);
    assert_eq!(verdict["resumed"]["execution_id"], id());
    assert_eq!(verdict["resumed"]["lanes"], serde_json::json!(["M3.B", "M3.C"]), "what may change is asked again");
    let after = world.inventory();
    assert!(
        before.iter().all(|(key, versions)| after.get(key) == Some(versions)),
        "something that was published changed"
    );
}

#[rstest]
#[case::the_plan(PLAN, "plan")]
#[case::the_registry(REGISTRY, "registry")]
fn what_has_changed_since_is_named_with_both_digests(#[case] file: &str, #[case] role: &str) {
    let (world, repo) = (Kept::seeded(), OwnCopy::of_fixture());
    let gate = first(&world, &repo);
    let text = std::fs::read_to_string(repo.path().join(file)).unwrap();
    let changed = format!("{text}\nOne more line.\n");
    let (was, is) = (sha256(text.as_bytes()), sha256(changed.as_bytes()));
    let ran = gone_on_from(&world, &gate, &repo.write(file, changed), &id());
    refuted_by(&ran, role, file, &was, &is);
}

fn refuted_by(ran: &Ran, role: &str, file: &str, was: &str, is: &str) {
    refused(ran, &[&format!("the {role} {file} was {was} then, and is {is} now")]);
}

#[test]
fn evidence_that_was_touched_is_not_gone_on_from() {
    let (world, repo) = (Kept::seeded(), OwnCopy::of_fixture());
    let gate = first(&world, &repo);
    let file = gate.out().join("dev_min/m3").join(id()).join("observations/M3.B.json");
    let text = std::fs::read_to_string(&file).unwrap();
    let touched = text.replace("platform_", "platform-");
    std::fs::write(&file, &touched).unwrap();
    let ran = gone_on_from(&world, &gate, &repo, &id());
    refused(&ran, &["observations/M3.B.json has SHA-256", &sha256(touched.as_bytes()), &sha256(text.as_bytes())]);
}

#[test]
fn an_execution_that_is_not_here_is_not_gone_on_from() {
    let (world, repo) = (Kept::seeded(), OwnCopy::of_fixture());
    let gate = Gate::new();
    let ran = gone_on_from(&world, &gate, &repo, "m3_20200101T000000Z");
    refused(&ran, &["m3_20200101T000000Z cannot be gone on from", "there is nothing here of that execution"]);
}
