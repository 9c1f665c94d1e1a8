//! The steps that leave outputs, run the gate and gather its evidence.

use super::super::case::Case;
use super::super::ground::{ACTOR, Answer, Ground, RUN_ID, Ran, SHA};
use super::{DIGEST, GIVEN, RUN, answer, case, image, knows};

pub fn cases() -> Vec<Case> {
    [outputs(), gate(), pack()].into_iter().flatten().collect()
}

fn outputs() -> Vec<Case> {
    let step = "leave the outputs";
    let file = "temp/ci_m1_outputs.json";
    let left = move |state: &'static str| {
        move |ground: &Ground, _: &Ran| {
            let written: serde_json::Value = serde_json::from_str(&ground.read(file)).unwrap();
            let wanted = serde_json::json!({
                "build_actor": ACTOR, "ci_run_id": RUN_ID, "command_family": "github_actions_v0",
                "convenience_tag": state, "git_sha": SHA, "image_build_driver": "github_actions",
                "image_digest": DIGEST, "image_tag": format!("git-{SHA}"), "phase_id": "P(-1)",
                "platform_run_id": RUN,
            });
            assert_eq!(written, wanted);
        }
    };
    let nothing = move |ground: &Ground, _: &Ran| assert!(!ground.path(file).exists());
    let says = "::error::an output is empty";
    vec![
        case(step, "as they are").then(left("not_asked")).then(|_, ran| {
            let tag = format!("git-{SHA}");
            let wanted = [
                ("build_actor", ACTOR),
                ("ci_run_id", RUN_ID),
                ("git_sha", SHA),
                ("image_digest", DIGEST),
                ("image_tag", tag.as_str()),
            ];
            let left: Vec<(&str, &str)> = ran.outputs.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
            assert_eq!(left, wanted);
        }),
        case(step, "the warning is recorded")
            .given(knows("steps.convenience.outputs.state", "failed"))
            .then(left("failed")),
        case(step, "no digest").given(knows("steps.digest.outputs.digest", "")).fails(says).leaves(&[]).then(nothing),
        case(step, "an actor that ends the text")
            .given(|g| g.var("GITHUB_ACTOR", "a\",\"x\":\""))
            .fails(says)
            .then(nothing),
        case(step, "an actor of two lines")
            .given(|g| g.var("GITHUB_ACTOR", "a\nb"))
            .fails(says)
            .leaves(&[])
            .then(nothing),
    ]
}

fn gate() -> Vec<Case> {
    let step = "the gate of M1";
    let call = "cargo test --locked --manifest-path phasegate/Cargo.toml --test m1";
    let told = |plans: &'static str| {
        move |_: &Ground, ran: &Ran| {
            let image = image();
            let own = [
                ("PHASEGATE_BUILD_LOG", "$TEMP/build.log"),
                ("PHASEGATE_CI_OUTPUTS", "$TEMP/ci_m1_outputs.json"),
                ("PHASEGATE_IMAGE", image.as_str()),
                ("PHASEGATE_LOCKED", "1"),
                ("PHASEGATE_MODE", "commit"),
                ("PHASEGATE_OUT", "$TEMP/phasegate"),
                ("PHASEGATE_PLATFORM_RUN_ID", RUN),
                ("PHASEGATE_REPO", plans),
                ("PHASEGATE_SOURCE", "$WORK/platform"),
                ("PHASEGATE_SUBSTRATE", "aws"),
            ];
            let own = own.map(|(name, value)| (name.to_owned(), value.to_owned()));
            let given = GIVEN.map(|name| (name.to_owned(), format!("the {name}")));
            assert_eq!(ran.told[0], own.into_iter().chain(given).collect());
        }
    };
    vec![
        case(step, "it advances").given(answer("cargo", Answer::ok())).calls([call]).then(told("$WORK/platform/")),
        // The image is built from the platform's sources, wherever its plans lie.
        case(step, "the plans lie in a folder of the sources")
            .given(knows("vars.PHASEGATE_PLANS", "plans"))
            .given(answer("cargo", Answer::ok()))
            .calls([call])
            .then(told("$WORK/platform/plans")),
        case(step, "it holds, and its exit is the step's")
            .given(answer("cargo", Answer::does("echo HOLD_M1; exit 101\n")))
            .calls([call])
            .fails("HOLD_M1")
            .then(|_, ran| assert_eq!(ran.code, Some(101))),
    ]
}

const RECEIPT: &str = "build_command_surface_receipt.json";
const PACK: [&str; 3] = [RECEIPT, "packaging_provenance.json", "security_secret_injection_checks.json"];

/// What the gate leaves, and the step that leaves the outputs.
pub fn evidence(ground: &Ground) {
    let execution = "temp/phasegate/dev_min/m1/m1_20260213T214223Z";
    for name in PACK {
        ground.file(&format!("{execution}/m1/{name}"), &format!("{{\"name\":\"{name}\"}}"));
    }
    ground.file(&format!("{execution}/verdict.json"), "{}");
    ground.file("temp/ci_m1_outputs.json", "{}");
}

fn pack() -> Vec<Case> {
    let step = "gather the evidence pack";
    let folder = format!("temp/pack/evidence/runs/{RUN}/P(-1)");
    let execution = "temp/phasegate/dev_min/m1/m1_20260213T214223Z";
    let packed = {
        let folder = folder.clone();
        move |ground: &Ground, _: &Ran| {
            let names = std::fs::read_dir(ground.path(&folder)).unwrap();
            let mut names: Vec<_> = names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
            names.sort();
            assert_eq!(names, [PACK[0], "ci_m1_outputs.json", PACK[1], PACK[2]]);
            for name in PACK {
                assert_eq!(ground.read(&format!("{folder}/{name}")), format!("{{\"name\":\"{name}\"}}"));
            }
        }
    };
    let complete = |what| case(step, what).given(|ground| evidence(ground));
    vec![
        complete("all four").then(packed.clone()),
        complete("one of them twice, alike")
            .given(move |g| g.file(&format!("{execution}/closure/{RECEIPT}"), &format!("{{\"name\":\"{RECEIPT}\"}}")))
            .then(packed),
        complete("one of them twice, and unlike")
            .given(move |g| g.file(&format!("{execution}/closure/{RECEIPT}"), "{}"))
            .fails("::error::build_command_surface_receipt.json was left more than once"),
        complete("one is missing, and the others are kept")
            .given(move |g| g.remove(&format!("{execution}/m1/{RECEIPT}")))
            .fails("::error::build_command_surface_receipt.json was not left")
            .then(move |ground, _| assert!(ground.path(&folder).join(PACK[1]).exists())),
        complete("one is empty")
            .given(move |g| g.file(&format!("{execution}/m1/{}", PACK[2]), ""))
            .fails("::error::security_secret_injection_checks.json was not left"),
        complete("the outputs are missing")
            .given(|g| g.remove("temp/ci_m1_outputs.json"))
            .fails("::error::ci_m1_outputs.json was not left"),
        case(step, "the gate never ran").fails("::error::packaging_provenance.json was not left"),
        complete("no run id was accepted")
            .given(knows("steps.asked.outputs.platform_run_id", ""))
            .fails("::error::no run id was accepted")
            .then(|ground, _| assert!(!ground.path("temp/pack").exists())),
    ]
}
