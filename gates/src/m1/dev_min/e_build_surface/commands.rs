//! The commands that the plan documents, and what they need.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use support::ensure;
use support::run::check::{Check, Unmet};
use support::run::context::LaneRun;
use support::run::finding::Basis;
use support::run::lane::Step;

use crate::m1::dev_min::a_image_contract::PINNED;
use crate::m1::dev_min::f_driver::DRIVER;

/// What this gate carries out, in order: how each of the plan's commands begins, and what it stands for.
pub(super) const STEPS: [(&str, &[&str]); 6] = [
    ("authenticate", &["aws", "ecr", "get-login-password"]),
    ("build the immutable image", &["docker", "build"]),
    ("push the immutable tag", &["docker", "push"]),
    ("resolve its digest", &["aws", "ecr", "describe-images"]),
    ("tag for convenience", &["docker", "tag"]),
    ("push the convenience tag", &["docker", "push"]),
];

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
            let Some((_, begins)) = STEPS.get(at) else {
                return Err(format!("line {line}: `{command}` is one command more than M1's family has").into());
            };
            ensure!(
                words(command).starts_with(begins),
                "line {line}: `{command}` stands where `{}` should, and no other command is allowed",
                begins.join(" ")
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
    let is_command = |span: &&str| span.split_whitespace().count() > 1 && begins_like_a_command(span);
    let commands = entries()
        .flat_map(|entry| entry.code().into_iter().map(|span| (span, entry.place.line)))
        .filter(|(span, _)| is_command(span))
        .map(|(span, line)| (span.to_owned(), line))
        .collect();
    let (mut inputs, mut others) = (BTreeMap::new(), BTreeSet::new());
    let registry = run.handles().registry();
    for record in of_lane().filter(|record| record.label.to_ascii_lowercase().contains("input")) {
        let spans = record.entries.iter().flat_map(|e| std::iter::once(e).chain(e.all_below())).flat_map(|e| e.code());
        for name in spans.filter(|span| is_handle(span)) {
            if registry.definitions_of(name).next().is_none() {
                others.insert(name.to_owned());
                continue;
            }
            let value = match (run.given(name), run.handles().resolve(name)) {
                (Some(given), _) => Ok(given.to_owned()),
                (None, Ok(resolved)) => resolved.text().map(str::to_owned).map_err(|error| error.to_string()),
                (None, Err(_)) if name == BY_LOOKUP => Ok("declared; ECR states it".to_owned()),
                (None, Err(error)) => Err(error.to_string()),
            };
            inputs.insert(name.to_owned(), value);
        }
    }
    run.observe("surface", "the plan's M1.E; the registry", &Surface { commands, inputs, others })
}

fn is_handle(span: &str) -> bool {
    let upper = span.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_');
    upper && span.bytes().next().is_some_and(|byte| byte.is_ascii_uppercase()) && span.contains('_')
}

/// Whether a code span is a program with arguments, and no path, pattern or name.
fn begins_like_a_command(span: &str) -> bool {
    let program = span.split_whitespace().next().unwrap_or_default();
    program.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_')
}
