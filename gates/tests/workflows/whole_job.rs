//! Whole jobs by their `run:` steps, each fed with what the ones before it wrote; and the last job over real verdicts.

use std::path::Path;
use std::process::Command;

use super::document::{PACKAGING, PHASE_GATE, Workflow, words, workspace};
use super::expression::{fill, holds};
use super::ground::{Answer, Ground, SHA, call, lacking};
use super::packaging::{DIGEST, RUN, asked, describe, evidence, image};
use super::phase_gate::leave_m1;

/// The steps of a job as a runner goes through them while nothing fails: what each writes is known to the next.
fn walk(ground: &mut Ground, workflow: &Workflow, job: &str, mut before: impl FnMut(&mut Ground, &str)) -> Vec<String> {
    let mut calls = Vec::new();
    for step in workflow.steps().iter().filter(|step| step.place().job == job) {
        let place = step.place();
        let runs = holds(step.condition(), &ground.table);
        if !runs || step.script().is_none() {
            continue;
        }
        before(ground, &place.name);
        let ran = ground.run(step);
        assert_eq!(ran.code, Some(0), "{place}: {ran:#?}");
        for (name, value) in &ran.outputs {
            let id = step.id().unwrap_or_else(|| panic!("{place} writes {name}, and has no id"));
            ground.know(&format!("steps.{id}.outputs.{name}"), value);
        }
        calls.extend(ran.calls);
    }
    calls
}

#[test]
fn the_packaging_job_hands_its_values_on_from_step_to_step() {
    let workflow = Workflow::read(PACKAGING);
    if let Some(program) = lacking("date grep find cmp cp") {
        eprintln!("left out: the whole packaging job, because {program} is not here");
        return;
    }
    let mut ground = Ground::new();
    asked(&mut ground);
    ground.know("inputs.push_convenience_tag", "true");
    ground.file("work/platform/Dockerfile", "FROM scratch\n");
    let calls = walk(&mut ground, &workflow, "packaging", |ground, step| match step {
        "refuse a tag that stands for another image" => ground.answer("aws", Answer::fails("(ImageNotFoundException)")),
        "resolve the digest" => {
            ground.answer("aws", Answer::says(DIGEST));
            let (uri, _) = image().rsplit_once(':').map(|(uri, tag)| (uri.to_owned(), tag.to_owned())).unwrap();
            ground.answer("docker", Answer::says(&format!("{uri}@{DIGEST}")));
        }
        "build the image" | "push the immutable tag" => ground.answer("docker", Answer::ok()),
        "push the convenience tag" => (0..2).for_each(|_| ground.answer("docker", Answer::ok())),
        "build the gate" => ground.answer("cargo", Answer::ok()),
        "the gate of M1" => {
            let outputs = ground.read("temp/ci_m1_outputs.json");
            evidence(ground);
            ground.file("temp/ci_m1_outputs.json", &outputs);
            ground.answer("cargo", Answer::ok());
        }
        _ => {}
    });
    let image = image();
    let latest = image.replace(&format!("git-{SHA}"), "dev-min-latest");
    let wanted = [
        "cargo test --locked --no-run --manifest-path phasegate/Cargo.toml --test m1".to_owned(),
        format!("docker build --file Dockerfile --tag {image} ."),
        describe(),
        format!("docker push {image}"),
        describe(),
        format!("docker image inspect --format '{{{{range .RepoDigests}}}}{{{{println .}}}}{{{{end}}}}' {image}"),
        format!("docker tag {image} {latest}"),
        format!("docker push {latest}"),
        "cargo test --locked --manifest-path phasegate/Cargo.toml --test m1".to_owned(),
    ];
    assert_eq!(calls, wanted.map(|each| call(&each)));
    let pack = format!("temp/pack/evidence/runs/{RUN}/P(-1)/ci_m1_outputs.json");
    let outputs: serde_json::Value = serde_json::from_str(&ground.read(&pack)).unwrap();
    assert_eq!(outputs["convenience_tag"], "pushed");
    // What the next job takes is what the file says.
    for (name, expression) in words(&workflow.tree["jobs"]["packaging"]["outputs"]) {
        assert_eq!(outputs[&name].as_str(), Some(fill(&expression, &ground.table).as_str()), "{name}");
    }
}

fn phasegate(ground: &Ground, words: &[&str], out: &Path) -> Option<i32> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_phasegate"));
    command.args(words).current_dir(workspace());
    for (name, _) in std::env::vars() {
        if name.starts_with("PHASEGATE_") || name.starts_with("AWS_") || name.starts_with("NEXTEST") {
            command.env_remove(name);
        }
    }
    command
        .env("PHASEGATE_REPO", "fixtures/repo")
        .env("PHASEGATE_OUT", out)
        .env("PHASEGATE_LOCKED", "1")
        .env("CI", "true");
    command.env("HOME", ground.path("home")).output().unwrap().status.code()
}

/// The two steps after a rehearsal take what the gate really writes, and refuse its partial run.
#[test]
fn what_a_real_rehearsal_leaves_is_audited_and_passes_the_last_step() {
    if let Some(program) = lacking("jq tar") {
        eprintln!("left out: the last step over real verdicts, because {program} is not here");
        return;
    }
    let workflow = Workflow::read(PHASE_GATE);
    let last = workflow.step("gate", "every verdict is there, and complete");
    let audit = workflow.step("rehearsal", "audit what it left");
    let mut ground = Ground::new();
    for (name, value) in
        [("github.event_name", "pull_request"), ("needs.preflight.outputs.outcome", "left_out"), ("inputs.gate", "")]
    {
        ground.know(name, value);
    }
    leave_m1(&ground);
    for (phase, track) in [("m3", "dev_min"), ("m3", "dev_full"), ("m4", "dev_min")] {
        let out = ground.path(&format!("temp/evidence/evidence-rehearsal-{phase}-{track}"));
        assert_eq!(phasegate(&ground, &["run", phase, "--", track], &out), Some(0), "{phase} {track}");
        // The audit looks in the one folder of its own job.
        let mut own = Ground::new();
        own.know("matrix.gate", &format!("{phase}-{track}"));
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_phasegate"), own.path("temp/phasegate")).unwrap();
        std::os::unix::fs::symlink(&out, own.path("temp/evidence")).unwrap();
        let ran = own.run(&audit);
        assert_eq!(ran.code, Some(0), "{ran:#?}");
        let id = std::fs::read_dir(out.join(track).join(phase)).unwrap().next().unwrap().unwrap().path();
        std::fs::write(id.join("junit.xml"), "<testsuites/>").unwrap();
        let ran = own.run(&audit);
        assert!(ran.code != Some(0) && ran.said.contains("junit.xml"), "{ran:#?}");
    }
    let ran = ground.run(&last);
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    let out = ground.path("temp/evidence/evidence-rehearsal-m3-dev_min");
    std::fs::remove_dir_all(&out).unwrap();
    assert_eq!(phasegate(&ground, &["run", "m3", "--", "dev_min::M3.B"], &out), Some(4), "it is partial");
    let ran = ground.run(&last);
    assert!(ran.code != Some(0) && ran.said.contains("the rehearsal of m3-dev_min says [\"PARTIAL\""), "{ran:#?}");
    // A preflight's verdict too is what the last step expects of one, but for its basis: this is no AWS.
    let shown = ground.path("temp/shown");
    let mut command = Command::new(env!("CARGO_BIN_EXE_phasegate"));
    command.args(["run", "m3", "--", "dev_min"]).current_dir(workspace()).env_clear();
    command.env("PHASEGATE_REPO", "fixtures/repo").env("PHASEGATE_OUT", &shown).env("PHASEGATE_MODE", "preflight");
    assert!(command.output().unwrap().status.success());
    let folder = std::fs::read_dir(shown.join("dev_min/m3")).unwrap().next().unwrap().unwrap().path();
    let text = std::fs::read_to_string(folder.join("verdict.json")).unwrap();
    let verdict: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&verdict["verdict"], &verdict["mode"]), (&"WOULD_ADVANCE".into(), &"preflight".into()));
    assert_eq!(verdict["cases"]["total"], verdict["cases"]["passed"], "{verdict:#}");
    assert_eq!((&verdict["roots"], &verdict["objections"]), (&serde_json::json!([]), &serde_json::json!([])));
}
