//! The commands that the plan documents, and what they need.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use support::ensure;
use support::registry::{HandleError, is_handle_name};
use support::run::check::{Check, Unmet};
use support::run::context::LaneRun;
use support::run::finding::Basis;
use support::run::lane::Step;

use crate::m1::dev_min::a_image_contract::PINNED;
use crate::m1::dev_min::f_driver::DRIVER;

/// What this gate carries out, in order: what each of the plan's commands stands for, and its template.
pub(super) const STEPS: [(&str, &str); 6] = [
    (
        "authenticate",
        r#"aws ecr get-login-password --region "$AWS_REGION" | docker login --username AWS --password-stdin "$ECR_REPO_URI""#,
    ),
    (
        "build the immutable image",
        r#"docker build --file "$IMAGE_DOCKERFILE_PATH" --tag "$ECR_REPO_URI:$IMAGE_TAG_IMMUTABLE" "$IMAGE_BUILD_PATH""#,
    ),
    ("push the immutable tag", r#"docker push "$ECR_REPO_URI:$IMAGE_TAG_IMMUTABLE""#),
    (
        "resolve its digest",
        r#"aws ecr describe-images --repository-name "$ECR_REPO_NAME" --image-ids imageTag="$IMAGE_TAG_IMMUTABLE" --region "$AWS_REGION" --query "imageDetails[0].imageDigest" --output text"#,
    ),
    (
        "tag for convenience",
        r#"docker tag "$ECR_REPO_URI:$IMAGE_TAG_IMMUTABLE" "$ECR_REPO_URI:$IMAGE_TAG_DEV_MIN_LATEST""#,
    ),
    ("push the convenience tag", r#"docker push "$ECR_REPO_URI:$IMAGE_TAG_DEV_MIN_LATEST""#),
];

/// What the environment of a packaging workflow also says; it may not say another thing than the registry.
pub(super) const ALSO_GIVEN: [&str; 4] =
    ["ECR_REPO_NAME", "IMAGE_BUILD_PATH", "IMAGE_DOCKERFILE_PATH", "IMAGE_TAG_DEV_MIN_LATEST"];

/// The one handle of the inputs that ECR itself states.
const BY_LOOKUP: &str = "ECR_REPO_URI";

/// What M1.E pins.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Surface {
    /// The commands, as written, with their lines.
    pub commands: Vec<(String, usize)>,
    /// The handles among the required inputs, and what each resolves to.
    pub inputs: BTreeMap<String, Result<String, String>>,
    /// Names in the inputs that the registry does not have.
    pub others: BTreeSet<String>,
}

pub(super) static COMMANDS: Check<Surface> = Check::<Surface>::derived(
    "commands.as_planned",
    "ad_hoc_command",
    &["surface"],
    |surface| {
        for (at, (command, line)) in surface.commands.iter().enumerate() {
            let Some((_, template)) = STEPS.get(at) else {
                return Err(format!("line {line}: `{command}` is one command more than M1's family has").into());
            };
            ensure!(
                words(command) == words(template),
                "line {line}: `{command}` stands where `{template}` should, and no other command is allowed"
            );
        }
        ensure!(
            surface.commands.len() == STEPS.len(),
            "M1.E documents {} of {} commands",
            surface.commands.len(),
            STEPS.len()
        );
        Ok(format!("{} commands, the family's own, in their order", surface.commands.len()))
    },
    |surface| surface.commands.push(("curl -T image.tar https://elsewhere".to_owned(), 0)),
)
.basis(Basis::Documented)
.next("pin the command in M1.E and in this gate together, or take it out of the plan");

pub(super) static INPUTS: Check<Surface> = Check::<Surface>::derived(
    "commands.inputs",
    "inputs",
    &["surface"],
    |surface| {
        ensure!(!surface.inputs.is_empty(), "M1.E lists no required input");
        let open = || surface.inputs.iter().filter_map(|(name, value)| Some((name.as_str(), value.as_ref().err()?)));
        let own: Vec<&str> = open().filter(|(name, _)| !is_anothers(name)).map(|(_, why)| why.as_str()).collect();
        ensure!(own.is_empty(), "{}", own.join("; "));
        let unknown: Vec<&str> = surface.others.iter().map(String::as_str).filter(|name| !is_anothers(name)).collect();
        ensure!(unknown.is_empty(), "the registry does not know {}", unknown.join(", "));
        let others = surface.others.iter().map(|name| (name.as_str(), "the registry does not know it"));
        if let Some((name, why)) = open().map(|(name, why)| (name, why.as_str())).chain(others).next() {
            let code = if name == DRIVER { "PG-M1.F-driver_selected" } else { "PG-M1.A-handle_resolved" };
            return Err(Unmet::blocked_by(code, format!("{name}: {why}")));
        }
        for name in ["IMAGE_BUILD_PATH", "IMAGE_DOCKERFILE_PATH", "ECR_REPO_NAME", DRIVER] {
            ensure!(surface.inputs.contains_key(name), "M1.E's required inputs do not name {name}");
        }
        Ok(format!("{} handles, each with a value or declared for a look-up", surface.inputs.len()))
    },
    |surface| {
        surface.inputs.insert("AWS_REGION".to_owned(), Err("doctored".to_owned()));
    },
)
.basis(Basis::Documented)
.next("pin the handle in the registry, and list it under M1.E's required inputs");

/// Whether another lane says why a handle has no value.
fn is_anothers(name: &str) -> bool {
    name == DRIVER || PINNED.contains(&name)
}

/// A command's words; its placeholders in shell's form stay as they are.
fn words(command: &str) -> Vec<&str> {
    command.split_whitespace().collect()
}

pub(super) fn observe(run: &mut LaneRun<'_>) -> Step {
    let of_lane = || run.plan().records.iter().filter(|record| record.lane.as_deref() == Some("M1.E"));
    let entries = || of_lane().flat_map(|record| &record.entries).flat_map(|e| std::iter::once(e).chain(e.all_below()));
    let spans = entries()
        .flat_map(|entry| entry.code().into_iter().map(|span| (span, entry.place.line)))
        .filter(|(span, _)| is_command(span))
        .map(|(span, line)| (span.to_owned(), line));
    let in_blocks = run.plan().code_lines.iter().filter(|code| code.lane.as_deref() == Some("M1.E"));
    let lines = in_blocks.filter(|code| !code.text.starts_with('#')).map(|code| (code.text.clone(), code.place.line));
    let mut commands: Vec<(String, usize)> = spans.chain(lines).collect();
    commands.sort_by_key(|(_, line)| *line);
    let (mut inputs, mut others) = (BTreeMap::new(), BTreeSet::new());
    let registry = run.handles().registry();
    for record in of_lane().filter(|record| record.label.to_ascii_lowercase().contains("input")) {
        let spans = record.entries.iter().flat_map(|e| std::iter::once(e).chain(e.all_below())).flat_map(|e| e.code());
        for name in spans.filter(|span| is_handle_name(span)) {
            if registry.definitions_of(name).next().is_none() {
                others.insert(name.to_owned());
                continue;
            }
            inputs.insert(name.to_owned(), input(run, name));
        }
    }
    run.observe("surface", "the plan's M1.E; the registry", &Surface { commands, inputs, others })
}

/// What an input is: what the registry pins. The environment speaks where the registry leaves it open, and may not contradict it.
fn input(run: &LaneRun<'_>, name: &str) -> Result<String, String> {
    match (run.handles().resolve(name), run.given(name)) {
        (Ok(resolved), given) => {
            let pinned = resolved.text().map_err(|error| error.to_string())?;
            match given.filter(|given| *given != pinned && name != DRIVER) {
                Some(given) => {
                    Err(format!("{name} is `{pinned}` in the registry and `{given}` in the environment; keep one"))
                }
                None => Ok(given.unwrap_or(pinned).to_owned()),
            }
        }
        (Err(HandleError::Bare { .. }), Some(given)) => Ok(given.to_owned()),
        (Err(HandleError::Bare { .. }), None) if name == BY_LOOKUP => Ok("declared; ECR states it".to_owned()),
        // Of two drivers one may be chosen; M1.F holds the choice to the plan.
        (Err(HandleError::Ambiguous { .. }), Some(chosen)) if name == DRIVER => Ok(chosen.to_owned()),
        (Err(error), _) => Err(error.to_string()),
    }
}

/// What a file is called that is carried out.
const SCRIPTS: [&str; 7] = [".sh", ".bash", ".py", ".ps1", ".bat", ".cmd", ".mk"];

/// Whether a code span is a program with arguments, or a script by itself, and no path, pattern or name.
fn is_command(span: &str) -> bool {
    let mut words = span.split_whitespace();
    let program = words.next().unwrap_or_default().trim_start_matches(['(', '{', '$', '&', '!']);
    let is_script = SCRIPTS.iter().any(|end| program.to_ascii_lowercase().ends_with(end));
    if words.next().is_none() {
        return is_script || program == "make" || program.starts_with("./");
    }
    // Words in capitals are a verdict's or a variable's; with a variable set before it, or by its path, a program is one too.
    is_script
        || program.is_empty()
        || program.contains(['=', '/', '"', '\''])
        || program.contains(|letter: char| letter.is_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::a_program("docker build .", true)]
    #[case::in_capitals("Docker build .", true)]
    #[case::with_a_variable("DOCKER_BUILDKIT=1 docker build .", true)]
    #[case::in_a_shell_of_its_own("(cd image && docker build .)", true)]
    #[case::apart("( cd image; make )", true)]
    #[case::for_its_answer("$(which docker) build .", true)]
    #[case::by_a_variable("\"$DOCKER\" build .", true)]
    #[case::a_script("./tools/build.sh", true)]
    #[case::a_script_by_its_end("tools/build.sh", true)]
    #[case::in_powershell("tools\\Build.PS1", true)]
    #[case::make("make", true)]
    #[case::a_script_with_words("tools/build.sh --push", true)]
    #[case::a_handle("IMAGE_BUILD_DRIVER", false)]
    #[case::a_driver("github_actions", false)]
    #[case::a_workflow(".github/workflows/dev_min_m1_packaging.yml", false)]
    #[case::a_receipt("build_command_surface_receipt.json", false)]
    #[case::a_phase("P(-1)", false)]
    #[case::verdicts("PASS or FAIL", false)]
    #[case::a_uri("s3://<S3_EVIDENCE_BUCKET>/evidence/x.json", false)]
    fn another_way_to_build_is_a_command(#[case] span: &str, #[case] commands: bool) {
        assert_eq!(is_command(span), commands);
    }
}
