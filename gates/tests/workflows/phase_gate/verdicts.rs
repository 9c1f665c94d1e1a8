//! The step that reads every verdict.

use serde_json::{Value, json};

use super::super::case::Case;
use super::super::ground::Ground;
use super::{case, knows};

/// A verdict as the reports write it; a test below holds it to a real one.
fn verdict(kind: &str, gate: &str) -> Value {
    let (phase, track) = gate.split_once('-').unwrap();
    let next = match phase {
        "m1" => "M2",
        "m4" => "M5",
        _ => "M4",
    };
    let advance = format!("ADVANCE_TO_{next}");
    let (basis, mode, said) = match kind {
        "rehearsal" => ("rehearsal", "commit", advance.as_str()),
        "preflight" => ("live", "preflight", "WOULD_ADVANCE"),
        _ => ("live", "commit", advance.as_str()),
    };
    json!({
        "schema": "phasegate.verdict/1", "track": track, "phase": phase.to_uppercase(), "next_phase": next,
        "verdict": said, "basis": basis, "mode": mode, "roots": [], "objections": [],
        "cases": {"total": 34, "passed": 34, "not_selected": 0},
    })
}

fn place(kind: &str, gate: &str, id: &str) -> String {
    let (phase, track) = gate.split_once('-').unwrap();
    format!("temp/evidence/evidence-{kind}-{gate}/{track}/{phase}/{id}/verdict.json")
}

fn leave(ground: &Ground, kind: &str, gate: &str, verdict: &Value) {
    ground.file(&place(kind, gate, "m3_1"), &verdict.to_string());
}

/// What a rehearsal of M1 leaves, which needs a container engine; `.ci/run` compares the line of a real one.
pub fn leave_m1(ground: &Ground) {
    leave(ground, "rehearsal", "m1-dev_min", &verdict("rehearsal", "m1-dev_min"));
}

const REHEARSED: [&str; 4] = ["m1-dev_min", "m3-dev_min", "m3-dev_full", "m4-dev_min"];
const PREFLIGHTED: [&str; 2] = ["m3-dev_min", "m3-dev_full"];

pub fn cases() -> Vec<Case> {
    let step = "every verdict is there, and complete";
    let rehearsed = |ground: &mut Ground| {
        REHEARSED.iter().for_each(|gate| leave(ground, "rehearsal", gate, &verdict("rehearsal", gate)))
    };
    let preflighted = move |ground: &mut Ground| {
        rehearsed(ground);
        ground.know("needs.preflight.outputs.outcome", "asked");
        PREFLIGHTED.iter().for_each(|gate| leave(ground, "preflight", gate, &verdict("preflight", gate)));
    };
    let committed = move |ground: &mut Ground| {
        preflighted(ground);
        ground.know("github.event_name", "workflow_dispatch");
        ground.know("inputs.gate", "m3-dev_min");
        leave(ground, "commit", "m3-dev_min", &verdict("commit", "m3-dev_min"));
    };
    let gate = |what| case("gate", step, what);
    // One rehearsal that says something else.
    let says = move |what: &'static str, at: &'static str, value: Value| {
        let said = move |ground: &mut Ground| {
            let mut other = verdict("rehearsal", "m3-dev_full");
            *other.pointer_mut(at).unwrap() = value.clone();
            leave(ground, "rehearsal", "m3-dev_full", &other);
        };
        gate(what).given(rehearsed).given(said).fails("::error::the rehearsal of m3-dev_full says")
    };
    let without =
        |kind: &'static str, which: &'static str| move |ground: &mut Ground| ground.remove(&place(kind, which, "m3_1"));
    let text = move |what: &'static str, text: &'static str| {
        let write = move |ground: &mut Ground| ground.file(&place("rehearsal", "m3-dev_min", "m3_1"), text);
        gate(what).given(rehearsed).given(write).fails("::error::the rehearsal of m3-dev_min says")
    };
    vec![
        gate("four rehearsals").given(rehearsed).says("the rehearsal of m1-dev_min: ADVANCE"),
        gate("and two preflights").given(preflighted).says("the preflight of m3-dev_full: WOULD_ADVANCE"),
        gate("and a commit").given(committed).says("the commit of m3-dev_min: ADVANCE"),
        says("one is partial", "/verdict", json!("PARTIAL")),
        says("one holds", "/verdict", json!("HOLD_M3")),
        says("one only would advance", "/verdict", json!("WOULD_ADVANCE")),
        says("one advances elsewhere", "/verdict", json!("ADVANCE_TO_M5")),
        says("a case did not pass", "/cases/passed", json!(33)),
        says("it judged nothing", "/cases", json!({"total": 0, "passed": 0})),
        says("it does not count", "/cases", json!({})),
        says("a code is open", "/roots", json!(["M3-B1"])),
        says("there is an objection", "/objections", json!(["a case was not selected"])),
        says("it is of the other track", "/track", json!("dev_min")),
        says("it is of another phase", "/phase", json!("M1")),
        says("it poses as live", "/basis", json!("live")),
        says("it only read", "/mode", json!("preflight")),
        says("it is of another version", "/schema", json!("phasegate.verdict/2")),
        text("it is cut", "{\"verdict\":"),
        text("it is empty", ""),
        text("it is no object", "[]"),
        text("it is two documents", "{} {}"),
        gate("one is missing")
            .given(rehearsed)
            .given(without("rehearsal", "m3-dev_min"))
            .fails("::error::the rehearsal of m3-dev_min left 0 verdicts"),
        gate("that of M1 is missing")
            .given(rehearsed)
            .given(without("rehearsal", "m1-dev_min"))
            .fails("::error::the rehearsal of m1-dev_min left 0 verdicts"),
        gate("that of M4 is missing")
            .given(rehearsed)
            .given(without("rehearsal", "m4-dev_min"))
            .fails("::error::the rehearsal of m4-dev_min left 0 verdicts"),
        gate("M1 poses as preflighted")
            .given(preflighted)
            .given(|g| leave(g, "preflight", "m1-dev_min", &verdict("preflight", "m1-dev_min")))
            .fails("::error::7 verdicts were left; 6 are required"),
        gate("nothing is there")
            .fails("::error::the rehearsal of m3-dev_full left 0 verdicts")
            .says("::error::0 verdicts were left; 4 are required"),
        gate("one gate left two")
            .given(rehearsed)
            .given(|g| {
                g.file(&place("rehearsal", "m3-dev_min", "m3_2"), &verdict("rehearsal", "m3-dev_min").to_string())
            })
            .fails("::error::the rehearsal of m3-dev_min left 2 verdicts"),
        gate("one too many")
            .given(rehearsed)
            .given(|g| leave(g, "other", "m3-dev_min", &verdict("rehearsal", "m3-dev_min")))
            .fails("::error::5 verdicts were left; 4 are required"),
        gate("a preflight is missing")
            .given(preflighted)
            .given(without("preflight", "m3-dev_full"))
            .fails("::error::the preflight of m3-dev_full left 0 verdicts"),
        gate("a preflight that says it was left out")
            .given(preflighted)
            .given(knows("needs.preflight.outputs.outcome", "left_out"))
            .fails("::error::6 verdicts were left; 4 are required"),
        gate("a rehearsal in the place of a preflight")
            .given(preflighted)
            .given(|g| leave(g, "preflight", "m3-dev_min", &verdict("rehearsal", "m3-dev_min")))
            .fails("::error::the preflight of m3-dev_min says"),
        gate("a preflight in the place of a commit")
            .given(committed)
            .given(|g| leave(g, "commit", "m3-dev_min", &verdict("preflight", "m3-dev_min")))
            .fails("::error::the commit of m3-dev_min says"),
        gate("a commit that left nothing")
            .given(committed)
            .given(without("commit", "m3-dev_min"))
            .fails("::error::the commit of m3-dev_min left 0 verdicts"),
    ]
}
