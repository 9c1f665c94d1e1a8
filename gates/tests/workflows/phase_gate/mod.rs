//! The steps of the required check.

mod verdicts;

pub use verdicts::leave_m1;

use serde_json::json;

use super::case::{Case, play};
use super::document::PHASE_GATE;
use super::ground::{Answer, Ground, Ran};

const ROLE: &str = "arn:aws:iam::230372904534:role/phasegate/preflight";

fn case(job: &str, step: &str, what: &'static str) -> Case {
    Case::of(PHASE_GATE, job, step, what).given(|ground| {
        for (name, value) in [
            ("matrix.gate", "m3-dev_full"),
            ("inputs.gate", ""),
            ("vars.PHASEGATE_PLANS", ""),
            ("vars.PHASEGATE_READONLY_ROLE", ""),
            ("vars.PHASEGATE_COMMIT_ROLE", "arn:aws:iam::230372904534:role/phasegate/commit"),
            ("github.event.pull_request.head.repo.fork", "false"),
            ("github.event_name", "pull_request"),
            ("needs.landing.result", "success"),
            ("needs.build.result", "success"),
            ("needs.rehearsal.result", "success"),
            ("needs.preflight.result", "success"),
            ("needs.commit.result", "skipped"),
            ("needs.preflight.outputs.outcome", "left_out"),
        ] {
            ground.know(name, value);
        }
    })
}

fn knows(name: &'static str, value: &'static str) -> impl Fn(&mut Ground) {
    move |ground| ground.know(name, value)
}

pub fn cases() -> Vec<Case> {
    [landing(), build(), hand_on(), registry(), gates(), audit(), role(), before_commit(), results(), verdicts::cases()]
        .into_iter()
        .flatten()
        .collect()
}

fn landing() -> Vec<Case> {
    let step = "the gate for landing";
    let here = |ground: &mut Ground| ground.stand_in("work/.ci/run");
    vec![
        case("landing", step, "it passes").given(here).given(|g| g.answer("run", Answer::ok())).calls(["run"]),
        case("landing", step, "it fails")
            .given(here)
            .given(|g| g.answer("run", Answer::fails("lints")))
            .calls(["run"])
            .fails("lints"),
    ]
}

fn build() -> Vec<Case> {
    let step = "build the gates once";
    let call = "cargo test --locked --no-run --message-format=json --test m1 --test m3 --test m4";
    vec![
        case("build", step, "it builds")
            .given(|g| g.answer("cargo", Answer::says("{}")))
            .calls([call])
            .then(|ground, _| assert_eq!(ground.read("temp/built.jsonl"), "{}\n")),
        case("build", step, "it does not")
            .given(|g| g.answer("cargo", Answer::fails("error: the lock file needs to be updated")))
            .calls([call])
            .fails("the lock file needs to be updated"),
    ]
}

/// A line of cargo, for an executable with this content.
fn built(ground: &Ground, name: &str, kind: &str, test: bool, content: &str) -> String {
    let file = format!("target/{name}-{kind}-{test}");
    ground.stand_in(&file);
    // Its rights stay.
    std::fs::write(ground.path(&file), content).unwrap();
    let path = ground.path(&file);
    let line = json!({"reason": "compiler-artifact", "target": {"name": name, "kind": [kind]}, "profile": {"test": test}, "executable": path});
    line.to_string()
}

fn hand_on() -> Vec<Case> {
    let step = "hand the executables on";
    let lines = |ground: &Ground| -> Vec<String> {
        let library = json!({"reason": "compiler-artifact", "target": {"name": "gates", "kind": ["lib"]}, "profile": {"test": false}, "executable": null});
        vec![
            library.to_string(),
            built(ground, "phasegate", "bin", false, "the command"),
            built(ground, "phasegate", "bin", true, "the command's own tests"),
            built(ground, "m1", "test", true, "the gate of M1"),
            built(ground, "m3", "test", true, "the gate"),
            built(ground, "m4", "test", true, "the gate of M4"),
            json!({"reason": "build-finished", "success": true}).to_string(),
        ]
    };
    let without = move |lacks: &'static str| {
        move |ground: &mut Ground| {
            let all = lines(ground);
            let kept: Vec<String> = all.into_iter().filter(|line| lacks.is_empty() || !line.contains(lacks)).collect();
            ground.file("temp/built.jsonl", &(kept.join("\n") + "\n"));
        }
    };
    vec![
        case("build", step, "the gate and the command").given(without("")).then(|ground, _| {
            let tar = |words: &[&str]| {
                let mut tar = std::process::Command::new("tar");
                let done = tar.args(words).arg("--file").arg(ground.path("temp/gates.tar")).output().unwrap();
                assert!(done.status.success());
                String::from_utf8(done.stdout).unwrap()
            };
            assert_eq!(tar(&["--list"]), "m1\nm3\nm4\nphasegate\n");
            assert_eq!(tar(&["--extract", "--to-stdout", "m3"]), "the gate");
            assert_eq!(tar(&["--extract", "--to-stdout", "phasegate"]), "the command");
            let rights = tar(&["--list", "--verbose"]);
            assert!(rights.lines().all(|line| line.starts_with("-rwx")), "{rights}");
        }),
        case("build", step, "no gate").given(without("\"m3\"")).fails("::error::m3 was not built"),
        case("build", step, "no gate of M1").given(without("\"m1\"")).fails("::error::m1 was not built"),
        case("build", step, "no gate of M4").given(without("\"m4\"")).fails("::error::m4 was not built"),
        case("build", step, "no command").given(without("\"phasegate\"")).fails("::error::phasegate was not built"),
        case("build", step, "nothing at all")
            .given(|g| g.file("temp/built.jsonl", ""))
            .fails("::error::m1 was not built"),
        case("build", step, "no JSON").given(|g| g.file("temp/built.jsonl", "error")).fails("parse error"),
    ]
}

fn registry() -> Vec<Case> {
    let step = "have a registry for images";
    let (update, install) = ("sudo apt-get update -qq", "sudo apt-get install -y -qq docker-registry");
    let ready = |what| case("rehearsal", step, what);
    vec![
        ready("it is installed")
            .given(|g| g.answer("sudo", Answer::ok()))
            .given(|g| g.answer("sudo", Answer::ok()))
            .calls([update, install]),
        ready("it cannot be installed")
            .given(|g| g.answer("sudo", Answer::ok()))
            .given(|g| g.answer("sudo", Answer::fails("Unable to locate package")))
            .calls([update, install])
            .fails("Unable to locate package"),
    ]
}

/// What the job before handed on.
fn handed_on(ground: &mut Ground) {
    ground.stand_in("handed/m1");
    ground.stand_in("handed/m3");
    ground.stand_in("handed/m4");
    ground.stand_in("handed/phasegate");
    let mut tar = std::process::Command::new("tar");
    tar.arg("--create").arg("--file").arg(ground.path("temp/gates.tar"));
    tar.arg("--directory").arg(ground.path("handed")).args(["m1", "m3", "m4", "phasegate"]);
    assert!(tar.status().unwrap().success());
}

fn gates() -> Vec<Case> {
    let mut cases = Vec::new();
    for (job, step, mode) in [
        ("rehearsal", "rehearse the gate on the embedded AWS", ""),
        ("preflight", "preflight the gate against AWS", "preflight"),
        ("commit", "commit the gate to AWS", "commit"),
    ] {
        let ready = |what| case(job, step, what).given(handed_on).given(knows("inputs.gate", "m3-dev_full"));
        cases.push(ready("it advances").given(|g| g.answer("m3", Answer::ok())).calls(["m3 dev_full"]).then(
            move |_, ran| {
                let told: Vec<(&str, &str)> = ran.told[0].iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
                let mut wanted = vec![("PHASEGATE_LOCKED", "1"), ("PHASEGATE_OUT", "$TEMP/evidence")];
                if !mode.is_empty() {
                    wanted.insert(1, ("PHASEGATE_MODE", mode));
                    wanted.push(("PHASEGATE_REPO", "$WORK/fixtures/repo"));
                    wanted.push(("PHASEGATE_SUBSTRATE", "aws"));
                }
                assert_eq!(told, wanted);
            },
        ));
        cases.push(
            ready("it holds, and its exit is the step's")
                .given(|g| g.answer("m3", Answer::does("echo HOLD_M3; exit 1\n")))
                .calls(["m3 dev_full"])
                .fails("HOLD_M3")
                .then(|_, ran| assert_eq!(ran.code, Some(1))),
        );
        cases.push(
            ready("it is partial")
                .given(|g| g.answer("m3", Answer::does("echo PARTIAL; exit 4\n")))
                .calls(["m3 dev_full"])
                .fails("PARTIAL"),
        );
        let lacks = case(job, step, "nothing was handed on").given(knows("inputs.gate", "m3-dev_full"));
        cases.push(lacks.fails("gates.tar"));
    }
    let of_m1 = case("rehearsal", "rehearse the gate on the embedded AWS", "the gate of M1").given(handed_on);
    let of_m1 = of_m1.given(knows("matrix.gate", "m1-dev_min")).given(|g| g.answer("m1", Answer::ok()));
    cases.push(of_m1.calls(["m1 dev_min"]));
    let of_m4 = case("rehearsal", "rehearse the gate on the embedded AWS", "the gate of M4").given(handed_on);
    let of_m4 = of_m4.given(knows("matrix.gate", "m4-dev_min")).given(|g| g.answer("m4", Answer::ok()));
    cases.push(of_m4.calls(["m4 dev_min"]));
    let plans = case("preflight", "preflight the gate against AWS", "the plans lie elsewhere").given(handed_on);
    let plans = plans.given(knows("vars.PHASEGATE_PLANS", "plans")).given(|g| g.answer("m3", Answer::ok()));
    cases.push(plans.calls(["m3 dev_full"]).then(|_, ran| assert_eq!(ran.told[0]["PHASEGATE_REPO"], "$WORK/plans")));
    cases
}

fn audit() -> Vec<Case> {
    let step = "audit what it left";
    let ready = |what| case("rehearsal", step, what).given(|g| g.stand_in("temp/phasegate"));
    let left =
        |id: &'static str| move |g: &mut Ground| g.file(&format!("temp/evidence/dev_full/m3/{id}/verdict.json"), "{}");
    let call = "phasegate verify '$TEMP/evidence/dev_full/m3/m3_20260223T174307Z' --local";
    vec![
        ready("its evidence bears it out")
            .given(left("m3_20260223T174307Z"))
            .given(|g| g.answer("phasegate", Answer::ok()))
            .calls([call])
            .then(|_, ran| assert_eq!(ran.told[0]["PHASEGATE_REPO"], "fixtures/repo")),
        ready("it does not")
            .given(left("m3_20260223T174307Z"))
            .given(|g| g.answer("phasegate", Answer::fails("junit.xml is another")))
            .calls([call])
            .fails("junit.xml is another"),
        ready("nothing was left").fails("::error::0 executions were left"),
        ready("two were left")
            .given(left("m3_20260223T174307Z"))
            .given(left("m3_20260223T174308Z"))
            .fails("::error::2 executions were left"),
    ]
}

fn role() -> Vec<Case> {
    let step = "is there a read-only role";
    let role = |value| knows("vars.PHASEGATE_READONLY_ROLE", value);
    let fork = || knows("github.event.pull_request.head.repo.fork", "true");
    let said = |wanted: &'static str| move |_: &Ground, ran: &Ran| assert_eq!(ran.summary, wanted);
    vec![
        case("preflight", step, "there is").given(role(ROLE)).leaves(&[("outcome", "asked")]).then(said("")),
        case("preflight", step, "there is none")
            .says("left out: no read-only role")
            .leaves(&[("outcome", "left_out")])
            .then(said("left out: no read-only role\n")),
        case("preflight", step, "a fork gets no identity")
            .given(role(ROLE))
            .given(fork())
            .leaves(&[("outcome", "left_out")])
            .then(said("left out: a pull request from a fork gets no identity\n")),
        case("preflight", step, "a fork of what has none").given(fork()).then(said("left out: no read-only role\n")),
        case("preflight", step, "what is set is no role")
            .given(role("phasegate-preflight"))
            .fails("::error::PHASEGATE_READONLY_ROLE is not the ARN of a role")
            .leaves(&[]),
    ]
}

fn before_commit() -> Vec<Case> {
    let step = "what must be so before anything is written";
    let ready = |what| case("commit", step, what).given(knows("needs.preflight.outputs.outcome", "asked"));
    vec![
        ready("all of it"),
        ready("another branch")
            .given(|g| g.var("GITHUB_REF", "refs/heads/main2"))
            .fails("::error::only main is committed"),
        ready("no preflight went before")
            .given(knows("needs.preflight.outputs.outcome", "left_out"))
            .fails("::error::no preflight went before"),
        ready("no role").given(knows("vars.PHASEGATE_COMMIT_ROLE", "")).fails("::error::PHASEGATE_COMMIT_ROLE"),
    ]
}

fn results() -> Vec<Case> {
    let step = "every job before this one ended as it must";
    let gate = |what| case("gate", step, what);
    let by_hand = |ground: &mut Ground| {
        ground.know("github.event_name", "workflow_dispatch");
        ground.know("needs.preflight.outputs.outcome", "asked");
        ground.know("needs.commit.result", "success");
    };
    let mut cases = vec![
        gate("a pull request without a read-only role")
            .says("left out: the preflight; its job says why")
            .says("left out: nothing is committed on pull_request")
            .then(|_, ran| assert_eq!(ran.summary, "left out: the preflight; its job says why\n")),
        gate("a preflight that was asked")
            .given(knows("needs.preflight.outputs.outcome", "asked"))
            .then(|_, ran| assert!(!ran.said.contains("the preflight"), "{}", ran.said)),
        gate("a commit").given(by_hand).then(|_, ran| assert_eq!(ran.said, "")),
        gate("a commit that was skipped")
            .given(by_hand)
            .given(knows("needs.commit.result", "skipped"))
            .fails("::error::commit ended as `skipped`"),
        gate("a commit that failed")
            .given(by_hand)
            .given(knows("needs.commit.result", "failure"))
            .fails("::error::commit ended as `failure`"),
        gate("a commit that nobody asked for")
            .given(knows("needs.commit.result", "success"))
            .fails("::error::commit ended as `success`"),
        gate("a preflight that says nothing")
            .given(knows("needs.preflight.outputs.outcome", ""))
            .fails("::error::the preflight does not say"),
    ];
    for (job, context) in [
        ("landing", "needs.landing.result"),
        ("build", "needs.build.result"),
        ("rehearsal", "needs.rehearsal.result"),
        ("preflight", "needs.preflight.result"),
    ] {
        for result in ["skipped", "failure", "cancelled", ""] {
            let look = move |_: &Ground, ran: &Ran| {
                assert!(
                    ran.said.contains(&format!("::error::{job} ended as `{result}`; success is required")),
                    "{}",
                    ran.said
                );
            };
            cases.push(gate(job).given(knows(context, result)).fails("success is required").then(look));
        }
    }
    cases
}

#[test]
fn every_step_of_the_required_check_does_what_it_says_and_fails_closed() {
    play(&cases());
}

/// A job that is skipped counts as a success on GitHub: the required job takes nothing but `success`.
#[test]
fn trap_06_a_job_that_is_skipped_counts_as_a_success() {
    play(&results());
}
