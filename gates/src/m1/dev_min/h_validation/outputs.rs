//! What the workflow says of its image, beside what the gate itself found: `ci_m1_outputs.json`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use support::ensure;
use support::run::check::Check;
use support::run::context::LaneRun;
use support::run::lane::Step;
use support::run::outcome::RunBasis;

use super::super::a_image_contract::Identity;
use super::super::e_build_surface::Resolved;
use super::super::g_workflow::{FACT, NOT_ASKED, OUTPUTS, Workflow};
use super::super::source;

/// Where the file lies.
pub(super) const FILE: &str = "PHASEGATE_CI_OUTPUTS";

/// The outputs, as the workflow left them.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Outputs {
    /// The plan has such a workflow.
    pub asked: bool,
    /// Whether this run counts.
    pub live: bool,
    /// Where the file lies.
    pub path: Option<String>,
    /// Why it could not be read.
    pub problem: Option<String>,
    /// What it says: its texts by their names.
    pub said: BTreeMap<String, String>,
    /// The CI run at work, as GitHub says it.
    pub run_id: Option<String>,
    /// Who started it, as GitHub says it.
    pub actor: Option<String>,
}

pub(super) static AGREE: Check<(Outputs, Identity, Resolved)> = Check::<(Outputs, Identity, Resolved)>::derived(
    "workflow.outputs_agree",
    "output_mismatch",
    &["outputs", "M1.A/identity", "M1.E/resolved"],
    |(outputs, identity, resolved)| {
        if !outputs.asked {
            return Ok(NOT_ASKED.to_owned());
        }
        let Some(path) = &outputs.path else {
            ensure!(!outputs.live, "{FILE} names no file, so what the workflow says of its image is not known");
            return Ok("not asked: a rehearsal without outputs".to_owned());
        };
        if let Some(problem) = &outputs.problem {
            return Err(format!("{path}: {problem}").into());
        }
        let found = [
            identity.tag.as_deref().ok(),
            resolved.registry.as_deref(),
            identity.commit.agreed(),
            outputs.run_id.as_deref(),
            outputs.actor.as_deref(),
        ];
        let differ: Vec<String> = OUTPUTS
            .into_iter()
            .zip(found)
            .filter_map(|(name, found)| {
                let said = outputs.said.get(name).map(String::as_str).filter(|said| !said.is_empty());
                let quoted = |text: Option<&str>| text.map_or_else(|| "nothing".to_owned(), |text| format!("`{text}`"));
                (said.is_none() || said != found)
                    .then(|| format!("{name} is {} there, the gate finds {}", quoted(said), quoted(found)))
            })
            .collect();
        ensure!(differ.is_empty(), "{path}: {}", differ.join("; "));
        Ok(format!("{path}: {} outputs are what the gate itself found", OUTPUTS.len()))
    },
    |(outputs, _, _)| {
        outputs.asked = true;
        outputs.problem = None;
        outputs.path = Some("doctored".to_owned());
        outputs.said.insert("image_digest".to_owned(), format!("sha256:{}", "0".repeat(64)));
    },
)
.next("run the packaging workflow again on this commit, and give the gate the file that this very run left");

/// Reads the file, where it is given.
pub(super) fn observe(run: &mut LaneRun<'_>) -> Step {
    let workflow: Workflow = run.fact(FACT)?;
    let mut outputs = Outputs {
        asked: workflow.asked,
        live: run.basis() == RunBasis::Live,
        run_id: run.given("GITHUB_RUN_ID").map(str::to_owned),
        actor: run.given("GITHUB_ACTOR").map(str::to_owned),
        ..Outputs::default()
    };
    if let Some((path, read)) = given(run) {
        match read {
            Ok(said) => outputs.said = said,
            Err(why) => outputs.problem = Some(why),
        }
        outputs.path = Some(path);
    }
    run.observe("outputs", "the file that PHASEGATE_CI_OUTPUTS names, and the environment", &outputs)
}

/// What a file says, or why it says nothing.
type Read = Result<BTreeMap<String, String>, String>;

/// The file that is given, and what it says.
pub(super) fn given(run: &LaneRun<'_>) -> Option<(String, Read)> {
    let path = run.given(FILE)?;
    Some((path.to_owned(), read(&source::folder(run).join(path))))
}

/// The outputs that a file says, and nothing else of it.
fn read(path: &std::path::Path) -> Read {
    let text = std::fs::read(path).map_err(|error| error.to_string())?;
    let body: Value = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
    let texts = OUTPUTS.into_iter().filter_map(|name| Some((name.to_owned(), body.get(name)?.as_str()?.to_owned())));
    Ok(texts.collect())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;
    use support::run::check::AnyCheck as _;
    use support::run::finding::{Control, Outcome};
    use support::run::observation::{Answer, Observation, Observations};

    use super::*;

    const SHA: &str = "799d398a7daf34857cf363c9a1a629c40ec25d5e";

    /// What the check says of outputs with one of them changed.
    fn judged(live: bool, path: Option<&str>, changed: Option<(&str, &str)>) -> (Outcome, String) {
        let digest = format!("sha256:{}", "5".repeat(64));
        let mut said = json!({
            "image_tag": format!("git-{SHA}"), "image_digest": digest, "git_sha": SHA, "ci_run_id": "7", "build_actor": "a",
        });
        if let Some((name, value)) = changed {
            said[name] = json!(value);
        }
        let outputs = json!({
            "asked": true, "live": live, "path": path, "problem": null, "said": said, "run_id": "7", "actor": "a",
        });
        let identity = json!({
            "handles": {}, "stated_uri": {"Ok": null}, "uri_is_declared": true, "platform_run_id": null, "recorded": [],
            "commit": {
                "given": SHA, "head": null, "changed": [], "unseen": [], "problem": null, "may_be_given": true,
            },
            "tag": {"Ok": format!("git-{SHA}")}, "repositories": [],
        });
        let resolved = json!({
            "tag": format!("git-{SHA}"), "repository_uri": "r", "registry": digest, "ecr": digest, "config": null,
            "image_id": "i", "errors": [],
        });
        let mut all = Observations::default();
        for (lane, name, value) in
            [("M1.H", "outputs", outputs), ("M1.A", "identity", identity), ("M1.E", "resolved", resolved)]
        {
            all.insert(Observation::new(lane, name, "test", Answer::Value(value)).unwrap());
        }
        let finding = AGREE.judge("M1.H", &all);
        assert!(matches!(&finding.control, Control::Refused(why) if why.contains("image_digest is")), "{finding:?}");
        (finding.outcome, finding.why)
    }

    #[test]
    fn outputs_that_agree_are_taken() {
        assert_eq!(judged(true, Some("o.json"), None).0, Outcome::Met);
    }

    #[test]
    fn a_live_run_needs_them_and_a_rehearsal_does_not() {
        assert_eq!(judged(false, None, None), (Outcome::Met, "not asked: a rehearsal without outputs".to_owned()));
        let (outcome, why) = judged(true, None, None);
        assert!(outcome == Outcome::Unmet && why.contains("PHASEGATE_CI_OUTPUTS names no file"), "{why}");
    }

    #[rstest]
    #[case("image_tag", "git-0")]
    #[case("image_digest", "sha256:1")]
    #[case("git_sha", "0")]
    #[case("ci_run_id", "8")]
    #[case("build_actor", "")]
    fn each_of_them_is_compared(#[case] name: &str, #[case] value: &str, #[values(true, false)] live: bool) {
        let (outcome, why) = judged(live, Some("o.json"), Some((name, value)));
        assert!(outcome == Outcome::Unmet && why.contains(&format!("{name} is")), "{why}");
    }
}
