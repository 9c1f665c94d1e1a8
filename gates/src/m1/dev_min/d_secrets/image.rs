//! What must not hold a secret: the context before the build, and every layer and word of the image after it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::json;
use support::ensure;
use support::image::{HistoryEntry, ImageFacts, layers};
use support::run::check::{Check, Unmet};
use support::run::context::LaneRun;
use support::run::lane::Step;
use support::secrets;

use crate::m1::dev_min::a_image_contract::Contents;
use crate::m1::dev_min::b_entrypoints::Bundle;
use crate::m1::dev_min::e_build_surface::{Built, OtherLog};

/// How many places stand in a message.
const NAMED: usize = 5;

/// The words of an image, scanned.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Words {
    pub image_id: String,
    /// How many history entries there were.
    pub history: usize,
    pub labels: usize,
    /// Hits, by place.
    pub history_hits: Vec<String>,
    pub label_hits: Vec<String>,
    pub environment_hits: Vec<String>,
    /// The names of the environment's variables.
    pub variables: BTreeSet<String>,
    /// The variables that carry secrets into tasks.
    pub secret_variables: BTreeSet<String>,
}

pub(super) static CONTEXT: Check<Contents> = Check::<Contents>::derived(
    "context.non_secret",
    "context_secret",
    &["M1.A/contents"],
    |contents| {
        read(contents)?;
        ensure!(!contents.sent.is_empty(), "the build context is empty");
        let found: Vec<&str> = contents.secrets.iter().map(String::as_str).collect();
        ensure!(found.is_empty(), "{} secret(s) in the build context: {}", found.len(), few(&found));
        Ok(format!("{} files are sent, none of them a secret's", contents.sent.len()))
    },
    |contents| {
        contents.problem = None;
        contents.secrets.push("doctored: .env".to_owned());
    },
)
.next("take the file out of the context by .dockerignore, out of the repository, and rotate the value");

pub(super) static DOCKERFILE: Check<Contents> = Check::<Contents>::derived(
    "dockerfile.non_secret",
    "dockerfile_literal",
    &["M1.A/contents"],
    |contents| {
        read(contents)?;
        ensure!(!contents.instructions.is_empty(), "the Dockerfile has no instruction");
        let found: Vec<&str> = contents.literals.iter().map(String::as_str).collect();
        ensure!(found.is_empty(), "secret literals in the Dockerfile: {}", few(&found));
        Ok(format!("{} instructions, no secret in an ARG or ENV", contents.instructions.len()))
    },
    |contents| {
        contents.problem = None;
        contents.literals.push("doctored: line 1".to_owned());
    },
)
.next("take the literal out of ARG or ENV; a task gets it at run time, from SSM. Rotate the value");

pub(super) static BUILD_LOG: Check<Built> = Check::<Built>::derived(
    "build_log.non_secret",
    "build_log_secret",
    &["M1.E/built"],
    |built| {
        let found: Vec<&str> = built.log_hits.iter().map(String::as_str).collect();
        ensure!(found.is_empty(), "{} secret(s) in the build's log: {}", found.len(), few(&found));
        match &built.log_of_another_build {
            None => Ok("the whole log of the build: no hit".to_owned()),
            Some(OtherLog::NotGiven) if !built.live => {
                Ok("not asked: a rehearsal that takes an image, without the log of its build".to_owned())
            }
            Some(unread) => {
                Err(Unmet::from(format!("what the build of {} printed is not known: {unread}", built.reference))
                    .next("give PHASEGATE_BUILD_LOG the file with all that `docker build` printed for this image"))
            }
        }
    },
    |built| built.log_hits.push("doctored at 1:1".to_owned()),
)
.next("keep the build from printing the value: CI keeps its log. Rotate the value");

pub(super) static LAYERS: Check<layers::Scanned> = Check::<layers::Scanned>::derived(
    "layers.non_secret",
    "layer_secret",
    &["layers"],
    |scanned| {
        ensure!(!scanned.layers.is_empty(), "no layer was scanned");
        let found: Vec<String> = scanned.findings.iter().map(ToString::to_string).collect();
        let count = found.len() as u64 + scanned.more;
        let found: Vec<&str> = found.iter().map(String::as_str).collect();
        ensure!(count == 0, "{count} secret(s) in the image's layers: {}", few(&found));
        Ok(format!(
            "{} layers, {} files, {} bytes scanned: no hit",
            scanned.layers.len(),
            scanned.files(),
            scanned.bytes()
        ))
    },
    |scanned| scanned.more += 1,
)
.next("build the image without the file: what a later layer deletes is still in the earlier one. Rotate the value");

pub(super) static LAYERS_OF_IMAGE: Check<(layers::Scanned, Built)> = Check::<(layers::Scanned, Built)>::derived(
    "layers.of_this_image",
    "layers_differ",
    &["layers", "M1.E/built"],
    |(scanned, built)| {
        let Some(image) = &built.image else {
            return Err(Unmet::blocked_by("PG-M1.E-build_failed", "there is no image"));
        };
        let (scanned, named) = (scanned.diff_ids(), &image.layers);
        ensure!(!named.is_empty(), "the engine names no layer of {}", image.id);
        ensure!(
            scanned == *named,
            "the engine names the layers {} of {}, and gave out {}",
            named.join(", "),
            image.id,
            scanned.join(", ")
        );
        Ok(format!("the {} layers that were scanned are those of {}, by their digests", named.len(), image.id))
    },
    |(scanned, _)| {
        scanned.layers.pop();
    },
)
.next("another image was scanned than was built: ask the engine for `docker save` and `docker inspect` of the id, and mend the engine");

pub(super) static LAYERS_OF_CONTEXT: Check<(layers::Scanned, Contents)> =
    Check::<(layers::Scanned, Contents)>::derived(
        "layers.hold_the_context",
        "context_not_in_image",
        &["layers", "M1.A/contents"],
        |(scanned, contents)| {
            read(contents)?;
            ensure!(!contents.into_image.is_empty(), "{} copies no file as it is into the image", contents.dockerfile);
            let lacking = contents.into_image.iter().filter(|(_, digest)| !scanned.held.contains(digest));
            let lacking: Vec<&str> = lacking.map(|(path, _)| path.as_str()).collect();
            ensure!(
                lacking.is_empty(),
                "{} copies them, and a container of the image sees none of them: {}",
                contents.dockerfile,
                few(&lacking)
            );
            Ok(format!("{} files that {} copies are in the image", contents.into_image.len(), contents.dockerfile))
        },
        |(scanned, _)| scanned.held.clear(),
    )
    .next("the image was built from other sources than these: build it from this commit's checkout, and give that one");

/// The files of the image's own folder.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct OwnFiles {
    /// The folder that its commands start in.
    folder: String,
    /// How many files lie there, in all layers.
    files: usize,
    /// The plan has a manifest.
    has_manifest: bool,
    /// Those that the manifest keeps out, each with its entry.
    kept_out: Vec<(String, String)>,
}

pub(super) static KEPT_OUT: Check<(OwnFiles, Contents)> = Check::<(OwnFiles, Contents)>::derived(
    "layers.keep_out",
    "excluded_in_image",
    &["own_files", "M1.A/contents"],
    |(own, contents)| {
        read(contents)?;
        if !own.has_manifest {
            return Ok("the plan has no manifest of contents".to_owned());
        }
        let found: Vec<String> = own.kept_out.iter().map(|(path, entry)| format!("{path} (by `{entry}`)")).collect();
        let found: Vec<&str> = found.iter().map(String::as_str).collect();
        ensure!(found.is_empty(), "kept out by the manifest, and below {} in the image: {}", own.folder, few(&found));
        ensure!(own.files > 0, "no file of the image lies below {}", own.folder);
        Ok(format!("{} files below {}, none that the manifest keeps out", own.files, own.folder))
    },
    |(own, contents)| {
        contents.problem = None;
        own.has_manifest = true;
        own.kept_out.push((".env".to_owned(), ".env*".to_owned()));
    },
)
.next("build the image without the file: keep it out by .dockerignore, and let no RUN of the Dockerfile make it");

pub(super) static METADATA: Check<Words> = Check::<Words>::derived(
    "metadata.non_secret",
    "history_secret",
    &["words"],
    |words| {
        ensure!(words.history > 0, "the image has no history");
        let found: Vec<&str> = words.history_hits.iter().chain(&words.label_hits).map(String::as_str).collect();
        ensure!(found.is_empty(), "secrets in history or labels: {}", few(&found));
        Ok(format!("{} steps and {} labels: no hit", words.history, words.labels))
    },
    |words| words.history_hits.push("doctored: step 1".to_owned()),
)
.next("build without the literal: an image's history keeps every instruction. Rotate the value");

pub(super) static ENVIRONMENT: Check<Words> = Check::<Words>::derived(
    "environment.non_secret",
    "env_secret",
    &["words"],
    |words| {
        let injected: Vec<&str> = words.variables.intersection(&words.secret_variables).map(String::as_str).collect();
        ensure!(injected.is_empty(), "the image sets {}, which tasks are given at run time alone", injected.join(", "));
        let found: Vec<&str> = words.environment_hits.iter().map(String::as_str).collect();
        ensure!(found.is_empty(), "secrets in the image's environment: {}", few(&found));
        Ok(format!("{} variables, none a secret's", words.variables.len()))
    },
    |words| words.environment_hits.push("doctored: DOCTORED".to_owned()),
)
.next("take the variable out of the Dockerfile; a task gets it at run time, from SSM. Rotate the value");

/// What was not read, M1.A names.
fn read(contents: &Contents) -> Result<(), Unmet> {
    match &contents.problem {
        Some(problem) => Err(Unmet::blocked_by("PG-M1.A-sources", problem.clone())),
        None => Ok(()),
    }
}

fn few(found: &[&str]) -> String {
    let named: Vec<&str> = found.iter().take(NAMED).copied().collect();
    let more = found.len().saturating_sub(NAMED);
    if more == 0 { named.join("; ") } else { format!("{}; and {more} more", named.join("; ")) }
}

pub(super) fn observe(run: &mut LaneRun<'_>, image: &ImageFacts, bundle: &Bundle) -> Step {
    let engine = run.images()?.engine();
    let history = match engine.history(&image.id) {
        Ok(reply) => reply.value,
        Err(error) => return Err(run.unanswered("words", &format!("docker history {}", image.id), error)),
    };
    run.observe(
        "words",
        &format!("docker history and docker image inspect {}", image.id),
        &words(image, &history, bundle),
    )?;
    let contents: Contents = run.fact("M1.A/contents")?;
    let folder = if image.folder.is_empty() { "/" } else { &image.folder };
    let wanted = layers::Wanted {
        files: contents.into_image.into_iter().map(|(_, digest)| digest).collect(),
        folder: Some(folder.to_owned()),
    };
    let call = format!("docker save {}", image.id);
    let mut scanned = match run.images()?.engine().scan(&image.id, &wanted) {
        Ok(reply) => reply.value,
        Err(error) => return Err(run.unanswered("layers", &call, error)),
    };
    // A list of all files would be most of the evidence.
    let below = std::mem::take(&mut scanned.below);
    let kept_out = |path: &String| {
        let entry = contents.manifest.as_ref()?.keeps_out(path)?;
        Some((path.clone(), entry.to_owned()))
    };
    let own = OwnFiles {
        folder: folder.to_owned(),
        files: below.len(),
        has_manifest: contents.manifest.is_some(),
        kept_out: below.iter().filter_map(kept_out).collect(),
    };
    run.observe("own_files", &call, &own)?;
    run.observe("layers", &call, &scanned)
}

fn words(image: &ImageFacts, history: &[HistoryEntry], bundle: &Bundle) -> Words {
    let scan = |text: &str| secrets::scan_bytes(text.as_bytes());
    let history_hits = history.iter().enumerate().flat_map(|(at, entry)| {
        let text = format!("{}\n{}", entry.created_by, entry.comment);
        scan(&text).into_iter().map(move |hit| format!("step {}: {}", at + 1, hit.rule))
    });
    let named = |values: &BTreeMap<String, String>| -> Vec<String> {
        values
            .iter()
            .flat_map(|(name, value)| {
                let hits = secrets::scan_json(&json!({ name: value })).into_iter().map(|hit| hit.rule);
                let rules: BTreeSet<String> = hits.chain(secrets::rule_of_named_value(name, value)).collect();
                rules.into_iter().map(move |rule| format!("{name}: {rule}"))
            })
            .collect()
    };
    Words {
        image_id: image.id.clone(),
        history: history.len(),
        labels: image.labels.len(),
        history_hits: history_hits.collect(),
        label_hits: named(&image.labels),
        environment_hits: named(&image.env),
        variables: image.env.keys().cloned().collect(),
        secret_variables: bundle.secrets.values().cloned().collect(),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};
    use support::run::check::AnyCheck as _;
    use support::run::finding::Outcome;
    use support::run::observation::{Answer, Observation, Observations};

    use super::*;

    #[rstest]
    #[case::built_here(json!(null), true, Ok("the whole log"))]
    #[case::taken_in_a_rehearsal(json!("not_given"), false, Ok("not asked"))]
    #[case::taken_in_a_run_that_counts(json!("not_given"), true, Err("PHASEGATE_BUILD_LOG names no file"))]
    #[case::of_another(json!({"of_another": {"path": "b.log", "image": "i"}}), false, Err("does not name i"))]
    #[case::unreadable(json!({"unreadable": {"path": "b.log", "why": "gone"}}), false, Err("b.log"))]
    fn a_log_that_nobody_read_is_clean_in_no_run_that_counts(
        #[case] log: Value,
        #[case] live: bool,
        #[case] says: Result<&str, &str>,
    ) {
        let built = json!({
            "reference": "r", "taken": !log.is_null(), "error": null, "log": "", "log_hits": [],
            "log_of_another_build": log, "live": live, "context_digest": null, "image": null,
        });
        let mut all = Observations::default();
        all.insert(Observation::new("M1.E", "built", "test", Answer::Value(built)).unwrap());
        let finding = BUILD_LOG.judge("M1.D", &all);
        let (outcome, words) = match says {
            Ok(words) => (Outcome::Met, words),
            Err(words) => (Outcome::Unmet, words),
        };
        assert!(finding.outcome == outcome && finding.why.contains(words), "{finding:?}");
    }
}
