//! The fourteen traps that others fell into, each by its number and what went wrong there. Every test says which change of the code
//! would let it fail.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use serde_json::Value;
use support::run::outcome::Verdict;

use crate::drill::Drill;
use crate::ground::{
    CLOCK, CLOCK_ID, EVIDENCE, Gate, HANDOFF, Kept, OwnCopy, PLAN, REGISTRY, Ran, Server, fixture, json, tree,
    workspace,
};

/// A drill of `fixtures/drills/dev_min`: it must come out as its file says, and in no advance.
fn drilled(name: &str) {
    let drill = Drill::read(&workspace().join(format!("fixtures/drills/dev_min/{name}.toml"))).unwrap();
    let gates = gates::m3::gates().unwrap();
    let phase = gates.iter().find(|phase| phase.track == "dev_min").unwrap();
    let played = drill.run(&gates, phase).unwrap();
    drill.is_met_by(&played).unwrap_or_else(|why| panic!("{name}: {why}"));
    if let Ok(outcome) = &played.outcome {
        assert_eq!(outcome.decision.verdict, Verdict::Hold, "{name}");
    }
}

fn never_advances(ran: &Ran) {
    assert!(!ran.said().contains("ADVANCE"), "{ran:#?}");
}

fn no_verdict(gate: &Gate) {
    let left = tree(&gate.out());
    assert!(!left.keys().any(|path| path.ends_with("verdict.json")), "{:?}", left.keys());
}

/// Fails when `no_suite` or `entry::plan_findings` lets a plan pass that asks nothing, or an empty selection claims a verdict.
#[test]
fn trap_01_no_case_selected_or_found_or_an_empty_plan() {
    let nothing = OwnCopy::empty();
    let none = Gate::new().repo(nothing.path()).run();
    assert_eq!(none.code, 3, "{none:#?}");
    assert!(
        none.stdout.lines().any(|line| line.starts_with("test M3::plans ") && line.ends_with("FAILED")),
        "{none:#?}"
    );
    let asks_nothing =
        OwnCopy::of_fixture().replace_between(PLAN, "## 2) Scope Boundary for M3", "## 8) Risks and Controls", "\n\n");
    let empty = Gate::new().repo(asks_nothing.path()).clock(CLOCK).run();
    assert_eq!((empty.code, empty.line().roots), (3, vec!["PG-M3-no_case".to_owned()]));
    let gate = Gate::new().args(&["nothing_is_called_so"]).var("CI", "1");
    let selected = gate.run();
    assert!(selected.stderr.contains("0 of 35 selected, no verdict"), "{selected:#?}");
    assert!(!gate.out().exists(), "evidence of nothing was left");
    [none, empty, selected].iter().for_each(never_advances);
}

/// Fails when a failed call is judged as met, or an outcome beside `met` passes in `judge`.
#[test]
fn trap_02_a_check_that_errors_times_out_or_is_denied() {
    for drill in ["M3-B4-server_error", "M3-B4-hangs", "M3-B4-put_denied"] {
        drilled(drill);
    }
    let denies = Server::that_denies(true);
    for url in [Server::closed_port(), denies.url()] {
        let ran = Gate::on_server(url).run();
        assert_eq!((ran.code, ran.line().verdict.as_str()), (1, "HOLD_M3"), "{ran:#?}");
        never_advances(&ran);
    }
}

/// Fails when a verdict is written before the lanes have run, or the signal is turned into a quiet end.
#[test]
fn trap_03_a_run_that_is_stopped_early() {
    for signal in ["TERM", "INT", "KILL"] {
        // It takes connections, and never answers.
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        // Whoever runs the tests in the background has signals ignored, and what he starts inherits that.
        let gate =
            Gate::on_server(format!("http://{}", silent.local_addr().unwrap())).below(["env", "--default-signal"]);
        let running = gate.start();
        let begun = Instant::now();
        while !gate.out().join(format!("dev_min/m3/m3_{CLOCK_ID}")).is_dir() {
            assert!(begun.elapsed() < Duration::from_secs(30), "the gate did not begin");
            std::thread::sleep(Duration::from_millis(5));
        }
        let (status, said) = running.stopped_by(signal);
        assert!(!status.success(), "{signal}: {status}");
        assert!(!said.contains("ADVANCE") && !said.contains("basis="), "{signal}: {said}");
        no_verdict(&gate);
    }
}

/// Fails when `suite` leaves out what no binding answers, or `unbound` counts as passed.
#[test]
fn trap_04_a_step_without_an_implementation() {
    let row = "| `M3A_V2_M2_HANDOFF` | `Test-Path";
    let copy = OwnCopy::of_fixture()
        .edit(PLAN, "- [ ] M3.G closed", "- [ ] M3.G closed\n- [ ] No code was written for this.")
        .edit(PLAN, row, &format!("| `M3A_V9_NEW` | `Test-Path {HANDOFF}` | new |\n{row}"));
    let gate = Gate::new().repo(copy.path()).clock(CLOCK);
    let ran = gate.run();
    assert_eq!((ran.code, ran.line().verdict.as_str()), (1, "HOLD_M3"), "{ran:#?}");
    let findings = json(&ran.line().folder().join("findings.json"));
    let cases = findings["cases"].as_array().unwrap();
    let unbound: Vec<&Value> = cases.iter().filter(|case| case["state"] == "unbound").collect();
    assert_eq!((cases.len(), unbound.len()), (36, 2), "{unbound:#?}");
    for case in unbound {
        let name = case["name"].as_str().unwrap();
        let line = ran.stdout.lines().find(|line| line.starts_with(&format!("test {name} "))).unwrap();
        assert!(line.ends_with("FAILED"), "{line}");
    }
}

/// Fails when `whole` or `reports::verdict` takes fewer than all cases for all.
#[test]
fn trap_05_a_filtered_run() {
    let one = "dev_min::M3.B::dod-1::one_pinned_deterministic_format_governs_platform_run_id";
    let filters: [&[&str]; 5] = [
        &["M3.B"],
        &["--exact", one],
        &["--skip", "dod-1::one_pinned"],
        &["--skip", "integrity"],
        &["--exact", "dev_min::M3::integrity"],
    ];
    for words in filters {
        for (ci, code) in [("", 0), ("true", 4)] {
            let gate = Gate::new().args(words).clock(CLOCK).var("CI", ci);
            let ran = gate.run();
            assert_eq!((ran.code, ran.line().verdict.as_str()), (code, "PARTIAL"), "{words:?}: {ran:#?}");
            assert!(!ran.said().contains("ADVANCE_TO_M4 "), "{words:?}: {ran:#?}");
            assert_eq!(json(&ran.line().verdict_file)["verdict"], "PARTIAL");
        }
    }
}

/// Fails when our own file turns green without an advance. The steps that read it, and trap 6, are tested with the workflows.
#[test]
fn trap_07_a_junit_reader_that_passes_by_default() {
    for (words, red) in [(&[][..], false), (&["M3.A"][..], true)] {
        let gate = Gate::new().args(words).clock(CLOCK);
        let ran = gate.run();
        let text = std::fs::read_to_string(ran.line().folder().join("junit.xml")).unwrap();
        let document = roxmltree::Document::parse(&text).unwrap();
        let count = |tag: &str| document.descendants().filter(|node| node.has_tag_name(tag)).count();
        assert!(count("testcase") > 0);
        assert_eq!(count("failure") + count("error") > 0, red, "{words:?}");
    }
}

/// Fails when the lock takes an unknown table, an entry of the register closes by a word, a variable waives, or a clock is live.
#[test]
fn trap_08_a_waiver() {
    let original = std::fs::read_to_string(fixture().join("gates.lock")).unwrap();
    let waiver = "\n[[waiver]]\ncode = \"M3-B1\"\nuntil = \"2099-01-01T00:00:00Z\"\n";
    let copy = OwnCopy::of(&fixture()).write("gates.lock", original + waiver);
    let ran = Gate::new().repo(copy.path()).clock(CLOCK).run();
    assert_eq!(ran.code, 3, "{ran:#?}");
    assert!(ran.stderr.contains("gates.lock") && ran.stderr.contains("waiver"), "{ran:#?}");
    never_advances(&ran);

    let copy = OwnCopy::of_fixture().edit(
        PLAN,
        "Current blockers:\n1. None.",
        "Current blockers:\n1. `M3-B1` (waived until 2099-01-01T00:00:00Z)",
    );
    let ran = Gate::new().repo(copy.path()).clock(CLOCK).var("PHASEGATE_WAIVE", "M3-B1").run();
    assert_eq!((ran.code, ran.line().roots), (1, vec!["M3-B1".to_owned()]), "{}", ran.stdout);

    let gate = Gate::new().clock("2020-01-01T00:00:00Z");
    let past = gate.run();
    assert_eq!(past.line().basis, "rehearsal", "{past:#?}");
    assert_eq!(json(&past.line().verdict_file)["basis"], "rehearsal");
    let live = Gate::new().clock("2020-01-01T00:00:00Z").var("PHASEGATE_SUBSTRATE", "aws").run();
    assert_eq!(live.code, 2, "{live:#?}");
    assert!(live.stderr.contains("unset PHASEGATE_CLOCK"), "{live:#?}");
    never_advances(&live);
}

/// Fails when an entry of the secret rules' allow-list loses an anchor: each value here holds a word that is harmless by itself.
#[test]
fn trap_09_an_unanchored_allow_list() {
    let with = |value: &str| {
        let definition = "* `CONFIG_DIGEST_ALGO = \"sha256\"`";
        let more = format!("{definition}\n* `DB_PASSWORD = \"{value}\"`");
        let copy = OwnCopy::of_fixture().edit(REGISTRY, definition, &more);
        Gate::new().repo(copy.path()).clock(CLOCK).run()
    };
    for value in ["false7k2Q-x9Lm", "x9Lm-7k2Qnull", "a7false9-Zq2T", "<OPEN>7k2Q-x9Lm", "7k2Q-x9Lm redacted"] {
        let ran = with(value);
        assert_eq!(
            (ran.code, ran.line().roots),
            (1, vec!["PG-M3-secret_withheld".to_owned()]),
            "{value}: {}",
            ran.stdout
        );
        assert!(!ran.said().contains(value), "the secret was said: {}", ran.stdout);
    }
    assert_eq!(with("SSM_DB_PASSWORD_PATH").code, 0, "the name of a handle is no secret");
}

/// Fails when `conclude` goes on after a publication that failed, or exits as if it had not.
#[test]
fn trap_10_an_evidence_writer_that_logs_and_goes_on() {
    let worlds = OwnCopy::of(&workspace().join("fixtures/world"));
    let file = "dev_min/world.toml";
    let key = format!("evidence/dev_min/run_control/m3_{CLOCK_ID}/findings.json");
    let text = std::fs::read_to_string(worlds.path().join(file)).unwrap();
    let object = format!("{text}\n[[object]]\nbucket = \"{EVIDENCE}\"\nkey = \"{key}\"\ntext = \"another's\"\n");
    let worlds = worlds.write(file, object);
    let world = Kept::seeded();
    let gate = Gate::new().clock(CLOCK).world_dir(world.dir()).var("PHASEGATE_WORLD", worlds.path());
    let ran = gate.run();
    assert_eq!(ran.code, 5, "{ran:#?}");
    assert!(ran.stderr.contains(&key) && ran.stderr.contains("exists already"), "{ran:#?}");
    never_advances(&ran);
    no_verdict(&gate);
    assert!(!world.inventory().keys().any(|(_, key)| key.ends_with("/verdict.json")));
    assert_eq!(world.evidence(&key), b"another's");
}

/// Fails when `unsupported` passes, or the canary is left out of a run that writes.
#[test]
fn trap_11_an_emulator_that_takes_what_aws_refuses() {
    drilled("PG-store_write_once");
    let lacks = Server::that_lacks_all();
    let gate = Gate::on_server(lacks.url());
    let ran = gate.run();
    assert_eq!((ran.code, ran.line().verdict.as_str()), (1, "HOLD_M3"), "{ran:#?}");
    let findings = json(&ran.line().folder().join("findings.json"));
    let unsupported: Vec<&Value> =
        findings["findings"].as_array().unwrap().iter().filter(|f| f["outcome"] == "unsupported").collect();
    assert!(!unsupported.is_empty(), "{findings:#}");
    assert!(
        unsupported.iter().all(|f| !f["why"].as_str().unwrap().is_empty() && !f["next"].as_str().unwrap().is_empty())
    );
    never_advances(&ran);
}

/// Fails when a put goes without `If-None-Match: *`, or a lane decides by the look before it.
#[test]
fn trap_12_a_look_before_the_put_decides_nothing() {
    for (gates, rounds) in [(2, 3), (4, 2)] {
        for round in 0..rounds {
            of_gates_at_once_each_run_is_pinned_by_one(gates, round);
        }
    }
}

fn of_gates_at_once_each_run_is_pinned_by_one(gates: usize, round: usize) {
    let world = Kept::seeded();
    let gates: Vec<Gate> = (0..gates).map(|_| Gate::new().world_dir(world.dir()).clock(CLOCK)).collect();
    let running: Vec<_> = gates.iter().map(Gate::start).collect();
    let ended: Vec<Ran> = running.into_iter().map(|gate| gate.end()).collect();

    let inventory = world.inventory();
    assert!(inventory.values().all(|versions| versions.len() == 1), "round {round}: {inventory:#?}");
    let mut run_ids = Vec::new();
    for ran in &ended {
        let line = ran.line();
        match (ran.code, line.verdict.as_str()) {
            (0, "ADVANCE_TO_M4") => {
                let run = json(&line.folder().join(format!("m3d_{CLOCK_ID}/run.json")));
                run_ids.push(run["platform_run_id"].as_str().unwrap().to_owned());
            }
            (1, "HOLD_M3") => {
                assert!(["PG-M3-execution_id_taken", "M3-B2"].contains(&line.roots[0].as_str()), "{ran:#?}");
                let verdict = json(&line.verdict_file);
                let stored = verdict["files"].as_array().unwrap().iter().filter(|f| !f["uri"].is_null()).count();
                assert_eq!(stored, 0, "the loser wrote: {verdict:#}");
            }
            _ => panic!("round {round}: {ran:#?}"),
        }
    }
    assert!(!run_ids.is_empty(), "round {round}: nobody went through: {ended:#?}");
    let pinned: Vec<String> = inventory
        .keys()
        .filter_map(|(_, key)| key.strip_prefix("evidence/runs/")?.strip_suffix("/run.json"))
        .map(str::to_owned)
        .collect();
    run_ids.sort();
    assert_eq!(run_ids, pinned, "round {round}: each run.json has exactly one gate that pinned it");
}

/// Fails when the digest is taken from memory and not from what the store gives back: the door and the check compare it, each by itself.
#[test]
fn trap_13_a_digest_recomputed_from_the_same_bytes() {
    // What was put is right each time; only what is read back is not.
    for drill in ["M3-B4-read_back_differs", "M3-B3-other_digest"] {
        drilled(drill);
    }
}

/// Fails when a text of a plan, a handoff or a variable reaches the log with its line breaks, or with `##[`.
#[test]
fn trap_14_a_text_that_is_a_command_to_the_runner() {
    let hostile = "::error file=a.md,line=1::no%0Dsuch ##[stop-commands]x";
    let verdict = "dev_min M3 ADVANCE_TO_M4 basis=live roots=- entailed=- cases=34 passed=34 verdict=/x";
    let copy = OwnCopy::of_fixture()
        .edit(PLAN, "- [ ] M3.G closed", &format!("- [ ] M3.G closed\n  {hostile}\n  {verdict}"))
        .edit(HANDOFF, "ADVANCE_TO_M3", &format!("HOLD\\n{hostile}\\n{verdict}\\r{hostile}"));
    let held = Gate::new().repo(copy.path()).clock(CLOCK).run();
    assert_eq!(held.code, 1, "{held:#?}");
    assert!(held.said().contains("no%0Dsuch"), "the text is not shown at all: {held:#?}");
    let told = Gate::new().var("PHASEGATE_MODE", format!("dry\n{hostile}")).run();
    assert_eq!(told.code, 2, "{told:#?}");
    let elsewhere = format!("{}/x\n{hostile}", workspace().display());
    let nowhere = Gate::new().var("PHASEGATE_REPO", elsewhere).run();
    assert_eq!(nowhere.code, 3, "{nowhere:#?}");
    for ran in [held, told, nowhere] {
        for line in ran.said().split(['\n', '\r']) {
            assert!(!line.trim_start().starts_with("::"), "{line}");
            assert!(!line.contains("##["), "{line}");
            assert!(!line.starts_with("dev_min M3 ADVANCE"), "{line}");
        }
    }
}
