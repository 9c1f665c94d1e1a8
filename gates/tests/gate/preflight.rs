//! A preflight reads, says what would be, and writes nothing.

use rstest::rstest;

use crate::ground::{CLOCK, Gate, HANDOFF, Kept, OwnCopy, REGISTRY, json};

#[test]
fn a_preflight_would_advance_and_writes_not_one_object() {
    let world = Kept::seeded();
    let before = world.inventory();
    let gate = Gate::new().world_dir(world.dir()).clock(CLOCK).var("PHASEGATE_MODE", "preflight");
    let ran = gate.run();
    let line = ran.line();
    assert_eq!((ran.code, line.verdict.as_str(), line.passed), (0, "WOULD_ADVANCE", 34), "{ran:#?}");
    assert_eq!(world.inventory(), before, "a preflight wrote to S3");
    assert!(!ran.stdout.contains("ADVANCE_TO_M4 ("), "{ran:#?}");
    let verdict = json(&line.verdict_file);
    assert_eq!((&verdict["mode"], &verdict["verdict"]), (&"preflight".into(), &"WOULD_ADVANCE".into()));
    let claimed: Vec<_> = verdict["files"].as_array().unwrap().iter().filter(|f| !f["uri"].is_null()).collect();
    assert!(claimed.is_empty(), "files that it says are in S3: {claimed:#?}");
    assert!(ran.stdout.contains("0 of them also in S3"), "{ran:#?}");
}

#[rstest]
#[case::no_handoff(OwnCopy::of_fixture().remove(HANDOFF))]
#[case::handoff_holds(OwnCopy::of_fixture().edit(HANDOFF, "ADVANCE_TO_M3", "HOLD_M2"))]
#[case::unknown_algorithm(OwnCopy::of_fixture().edit(REGISTRY, "CONFIG_DIGEST_ALGO = \"sha256\"", "CONFIG_DIGEST_ALGO = \"md5\""))]
#[case::wrong_repository(OwnCopy::of_fixture().edit(REGISTRY, "ECR_REPO_NAME = \"fraud-platform-dev-min\"", "ECR_REPO_NAME = \"another\""))]
fn a_preflight_holds_for_the_roots_that_commit_holds_for(#[case] copy: OwnCopy) {
    let world = Kept::seeded();
    let before = world.inventory();
    let preflight =
        Gate::new().repo(copy.path()).world_dir(world.dir()).clock(CLOCK).var("PHASEGATE_MODE", "preflight").run();
    assert_eq!(world.inventory(), before, "a preflight wrote to S3");
    let commit = Gate::new().repo(copy.path()).world_dir(world.dir()).clock(CLOCK).run();
    let (would, does) = (preflight.line(), commit.line());
    assert_eq!((preflight.code, would.verdict.as_str()), (1, "HOLD_M3"), "{preflight:#?}");
    assert_eq!((commit.code, does.verdict.as_str()), (1, "HOLD_M3"), "{commit:#?}");
    assert!(!would.roots.is_empty());
    assert_eq!((would.roots, would.entailed), (does.roots, does.entailed));
    assert!(preflight.stdout.contains("next: "), "what to do: {preflight:#?}");
}
