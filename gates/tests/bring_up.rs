//! M4's bring-up as ECS sees it: what it asks, how often, and what it leaves when it breaks off.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

#[expect(dead_code, reason = "drills use more of it")]
#[path = "drills/mod.rs"]
mod kit;

use kit::rig::{Played, Stage};
use kit::wire::Fault;
use rstest::rstest;
use serde_json::Value;
use support::run::lane::Phase;

fn gates() -> Vec<Phase> {
    gates::m4::gates().unwrap()
}

fn played(stage: Stage, faults: &[Fault]) -> Played {
    let played = stage.play(&gates(), faults).unwrap();
    assert!(played.trouble.is_empty(), "{:?}", played.trouble);
    played
}

fn stage() -> Stage {
    Stage::set(&gates()[0]).unwrap()
}

/// How many requests of an operation a lane made.
fn count(played: &Played, lane: &str, operation: &str) -> usize {
    played.calls.iter().filter(|call| call.lane == lane && call.asked.operation == operation).count()
}

fn file(played: &Played, path: &str) -> Value {
    serde_json::from_slice(&std::fs::read(played.execution.join(path)).unwrap()).unwrap()
}

/// Gives a service of the world how many looks still see it starting.
fn slow(stage: &Stage, service: &str, looks: usize) {
    let path = stage.world().join("world.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let named = format!("name = \"{service}\"\ntask_definition");
    assert_eq!(text.matches(&named).count(), 1, "{service}");
    let slower = format!("name = \"{service}\"\nstarts_after = {looks}\ntask_definition");
    std::fs::write(path, text.replacen(&named, &slower, 1)).unwrap();
}

#[test]
fn ten_services_are_asked_for_by_one_request() {
    let clean = played(stage(), &[]);
    // Thirteen services: two requests. One look at each of five packs beside the look before each of thirteen updates.
    assert_eq!(count(&clean, "M4.C", "DescribeServices"), 2);
    assert_eq!(count(&clean, "M4.G", "DescribeServices"), 2);
    assert_eq!(count(&clean, "M4.F", "UpdateService"), 13);
}

#[rstest]
#[case(2)]
#[case(4)]
fn the_wait_ends_with_the_first_look_at_the_steady_state(#[case] looks: usize) {
    let clean = count(&played(stage(), &[]), "M4.F", "DescribeServices");
    let stage = stage();
    // Out of a pack whose other services are steady after one look, as all are in the clean run.
    slow(&stage, "fraud-platform-dev-min-ig-service", looks);
    let slower = played(stage, &[]);
    assert_eq!(slower.outcome.as_ref().unwrap().verdict(), "ADVANCE_TO_M5");
    assert_eq!(count(&slower, "M4.F", "DescribeServices"), clean + looks - 1);
}

#[test]
fn a_bring_up_that_breaks_off_leaves_what_it_started() {
    // The second pack's first list of tasks: each service before it was asked for two.
    let fault = Fault {
        service: "ecs".to_owned(),
        operation: "ListTasks".to_owned(),
        nth: Some(3),
        status: Some(400),
        code: Some("AccessDeniedException".to_owned()),
        ..Fault::default()
    };
    let held = played(stage(), &[fault]);
    assert_eq!(held.outcome.as_ref().unwrap().verdict(), "HOLD_M4");
    let started = &file(&held, "observations/M4.F.json")["M4.F/started"]["answer"]["value"];
    let services: Vec<&String> =
        started["services"].as_object().unwrap_or_else(|| panic!("{started}")).keys().collect();
    assert_eq!(started["broken_off"], "M4F-B2");
    assert_eq!(services.len(), 5, "the ingress, and the pack that was waited for: {services:?}");
    assert!(services.iter().all(|service| started["services"][service.as_str()]["did"] == "updated"), "{started}");
    let verdict = file(&held, "verdict.json");
    let kept = |path: &Value| path["path"] == "observations/M4.F.json";
    assert!(verdict["files"].as_array().unwrap().iter().any(kept), "{verdict}");
}
