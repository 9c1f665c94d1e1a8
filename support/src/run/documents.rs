//! Finding and reading what a plan obeys: registry, runbook, handoff.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use super::outcome::InputDigest;
use super::repository::{DocumentError, Repository};
use crate::evidence::digest::sha256_hex;
use crate::plan::{AuthorityInput, AuthorityKind, Plan};
use crate::registry::{self, Handles, RegistryError, SourceError};

/// A handoff that the plan's Authority Inputs name.
#[derive(Debug, Clone)]
pub struct Handoff {
    /// The name under which it is kept with an execution: `handoff`, the next ones `handoff-2`, `handoff-3`.
    pub role: String,
    /// Its path in the repository.
    pub path: String,
    /// Its content, or why there is none.
    pub content: Result<Value, String>,
    /// The file as it was read, where it is text.
    pub text: Option<String>,
}

/// The documents of one phase, read once.
#[derive(Debug, Clone)]
pub struct Documents {
    /// The plan repository.
    pub repository: Repository,
    /// The plan.
    pub plan: Plan,
    /// The registry's path in the repository.
    pub registry_path: String,
    /// The registry's text.
    pub registry_text: String,
    /// Lines of the registry that look like definitions and are none.
    pub registry_errors: Vec<RegistryError>,
    /// The registry, with the values that the handoff states.
    pub handles: Handles,
    /// The handoffs that the plan names, in its order; the first is that of the phase before.
    pub handoffs: Vec<Handoff>,
    /// The execution of the phase before that the run was told to enter on.
    pub from: Option<String>,
    /// The runbook's path in the repository, where the plan names one.
    pub runbook_path: Option<String>,
    /// The lock's text, where there is one.
    pub lock_text: Option<String>,
    /// Values that the environment gives, by name; see [`Documents::give`].
    pub given: BTreeMap<String, String>,
    /// What was read, by digest.
    pub inputs: Vec<InputDigest>,
    /// Authority inputs that are listed and absent, and that nothing reads.
    pub absent: Vec<String>,
}

/// Why the documents of a phase cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DocumentsError {
    /// The plan does not say what it obeys.
    #[error("{plan}: no `Authority Inputs` section names a {what}; list its path there, in backticks")]
    NotNamed {
        /// The plan.
        plan: String,
        /// `handle registry`.
        what: &'static str,
    },
    /// It names several.
    #[error("{plan}: Authority Inputs name {count} registries ({names}); keep the one that the phase obeys")]
    Several {
        /// The plan.
        plan: String,
        /// How many.
        count: usize,
        /// Their paths.
        names: String,
    },
    /// A document cannot be read.
    #[error("{named_at}: {source}")]
    Document {
        /// Where the plan names it.
        named_at: String,
        /// Why.
        source: DocumentError,
    },
}

impl Documents {
    /// Reads what `plan` names. `from` replaces the execution in the handoff's path.
    ///
    /// # Errors
    /// When no registry is named, or it cannot be read. A handoff that cannot be read is no error
    /// here: the entry check of the phase says so.
    pub fn load(repository: Repository, plan: Plan, from: Option<&str>) -> Result<Self, DocumentsError> {
        let plan_path = plan.source.path.display().to_string();
        let mut inputs = vec![InputDigest {
            role: "plan".to_owned(),
            path: plan_path.clone(),
            sha256: sha256_hex(plan.source.text.as_bytes()),
        }];
        let named = the_registry(&plan, &plan_path)?;
        let registry_path = named.path.display().to_string();
        let registry_text = repository
            .text(&registry_path)
            .map_err(|source| DocumentsError::Document { named_at: named.place.to_string(), source })?;
        let parsed = registry::parse(Path::new(&registry_path), &registry_text);
        inputs.push(digest("registry", &registry_path, registry_text.as_bytes()));
        let mut handles = Handles::new(parsed.registry);
        let named: Vec<String> = named_handoffs(&plan, from);
        let handoffs = named
            .iter()
            .zip(1..)
            .map(|(path, number)| {
                let role = role_of_handoff(number);
                read_handoff(&repository, &plan, (role, path), &mut handles, &mut inputs)
            })
            .collect();
        let mut absent = Vec::new();
        let mut runbook_path = None;
        for input in &plan.authority {
            let path = input.path.display().to_string();
            let there = repository
                .has(&path)
                .map_err(|source| DocumentsError::Document { named_at: input.place.to_string(), source })?;
            match (input.kind, there) {
                (AuthorityKind::Runbook, _) if runbook_path.is_none() => runbook_path = Some(path.clone()),
                _ => {}
            }
            if !there && input.kind != AuthorityKind::Handoff {
                absent.push(format!("absent, and read by nothing here: {path} (plan line {})", input.place.line));
            }
        }
        Ok(Self {
            repository,
            plan,
            registry_path,
            registry_text,
            registry_errors: parsed.errors,
            handles,
            handoffs,
            from: from.map(str::to_owned),
            runbook_path,
            lock_text: None,
            given: BTreeMap::new(),
            inputs,
            absent,
        })
    }
}

impl Documents {
    /// The handoff of the phase before, where the plan names one.
    #[must_use]
    pub fn handoff(&self) -> Option<&Handoff> {
        self.handoffs.first()
    }

    /// Takes in the bytes of the repository's lock.
    pub fn add_lock(&mut self, path: &str, text: &str) {
        self.inputs.push(digest("lock", path, text.as_bytes()));
        self.lock_text = Some(text.to_owned());
    }

    /// Takes in what the environment says, where a lane lets it: an input like the others.
    pub fn give(&mut self, name: &str, value: &str) {
        self.inputs.push(digest("environment", name, value.as_bytes()));
        self.handles.add_environment(name, value);
        self.given.insert(name.to_owned(), value.to_owned());
    }
}

fn digest(role: &str, path: &str, bytes: &[u8]) -> InputDigest {
    InputDigest { role: role.to_owned(), path: path.to_owned(), sha256: sha256_hex(bytes) }
}

/// The role of a plan's handoff by its number, from 1.
pub(crate) fn role_of_handoff(number: usize) -> String {
    if number == 1 { "handoff".to_owned() } else { format!("handoff-{number}") }
}

/// The paths of the plan's handoffs, each once. `from` stands for the execution of the first one, and of those beside it.
fn named_handoffs(plan: &Plan, from: Option<&str>) -> Vec<String> {
    let mut paths: Vec<&Path> = Vec::new();
    for input in plan.authority.iter().filter(|input| input.kind == AuthorityKind::Handoff) {
        if !paths.contains(&input.path.as_path()) {
            paths.push(&input.path);
        }
    }
    let before = paths.first().and_then(|path| path.parent());
    paths.iter().map(|path| renamed(&path.display().to_string(), from.filter(|_| path.parent() == before))).collect()
}

fn the_registry<'p>(plan: &'p Plan, plan_path: &str) -> Result<&'p AuthorityInput, DocumentsError> {
    let all: Vec<&AuthorityInput> =
        plan.authority.iter().filter(|input| input.kind == AuthorityKind::Registry).collect();
    match all.as_slice() {
        [] => Err(DocumentsError::NotNamed { plan: plan_path.to_owned(), what: "handle registry" }),
        [only] => Ok(only),
        several => {
            let names: Vec<String> = several.iter().map(|i| i.path.display().to_string()).collect();
            Err(DocumentsError::Several { plan: plan_path.to_owned(), count: several.len(), names: names.join(", ") })
        }
    }
}

/// The path with the instant of another execution in the place of its own.
fn renamed(path: &str, from: Option<&str>) -> String {
    let Some(instant) = from.and_then(|id| id.rsplit('_').next()) else { return path.to_owned() };
    path.split('/')
        .map(|part| match part.rsplit_once('_') {
            Some((head, stamp)) if is_stamp(stamp) => format!("{head}_{instant}"),
            _ if is_stamp(part) => instant.to_owned(),
            _ => part.to_owned(),
        })
        .collect::<Vec<_>>()
        .join("/")
}

fn is_stamp(text: &str) -> bool {
    text.len() == 16
        && text.char_indices().all(|(at, c)| match at {
            8 => c == 'T',
            15 => c == 'Z',
            _ => c.is_ascii_digit(),
        })
}

fn read_handoff(
    repository: &Repository,
    plan: &Plan,
    (role, path): (String, &str),
    handles: &mut Handles,
    inputs: &mut Vec<InputDigest>,
) -> Handoff {
    let mut text = None;
    let content = repository.bytes(path).map_err(|e| e.to_string()).and_then(|bytes| {
        inputs.push(digest(&role, path, &bytes));
        text = std::str::from_utf8(&bytes).ok().map(str::to_owned);
        let value: Value =
            serde_json::from_slice(&bytes).map_err(|e| format!("{path} is not JSON: {e}; publish it again"))?;
        take_in_handoff(handles, plan, path, &value).map_err(|e| e.to_string())?;
        Ok(value)
    });
    Handoff { path: path.to_owned(), content, text, role }
}

/// Takes in what a handoff states: its `resolved_handles`, and what stands at the place that the plan's closure matrix
/// names for a handle (`` `m3_handoff_pack.json` -> `core_outputs.s3_bucket_names.evidence` ``). Where both speak of a
/// handle, they must agree.
///
/// # Errors
/// When the handoff has another form, or nothing at a place that the plan names.
pub(crate) fn take_in_handoff(
    handles: &mut Handles,
    plan: &Plan,
    path: &str,
    document: &Value,
) -> Result<(), SourceError> {
    handles.add_handoff(path, document)?;
    let file = path.rsplit('/').next().unwrap_or(path);
    for row in &plan.matrices {
        if let Some(place) = place_in(&row.source, file) {
            handles.add_handoff_path(&row.handle, path, document, place)?;
        }
    }
    Ok(())
}

/// The JSON path in a matrix row's source that names `file`.
fn place_in<'s>(source: &'s str, file: &str) -> Option<&'s str> {
    let (document, place) = source.split_once("->")?;
    let named = document.trim().trim_matches('`');
    let place = place.trim().strip_prefix('`')?.split('`').next()?;
    (named.rsplit('/').next() == Some(file) && !place.is_empty()).then_some(place)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("`m3_handoff_pack.json` -> `core_outputs.names.evidence`", Some("core_outputs.names.evidence"))]
    #[case("`runs/x/m3_handoff_pack.json` -> `region`", Some("region"))]
    #[case("`other.json` -> `region`", None)]
    #[case("`m3_handoff_pack.json`", None)]
    #[case("handles registry (`sha256(canonical_json_v1)`)", None)]
    fn a_matrix_row_names_a_place_in_the_handoff(#[case] source: &str, #[case] place: Option<&str>) {
        assert_eq!(place_in(source, "m3_handoff_pack.json"), place);
    }

    #[test]
    fn another_predecessor_stands_for_its_own_handoffs_and_for_no_older_one() {
        let text = "# M4\n\n## 1) Authority Inputs\n1. `runs/m3/20260213T221631Z/m4_handoff_pack.json`\n\
                    2. `runs/m3/20260213T221631Z/m3_f_verdict_snapshot.json`\n\
                    3. `runs/m2_j/20260213T205715Z/m3_handoff_pack.json`\n";
        let source = crate::plan::Source::new("docs/platform.M4.build_plan.md", text);
        let plan = crate::plan::parse(source, "dev_min").plan;
        assert_eq!(
            named_handoffs(&plan, Some("m3_20260301T000000Z")),
            [
                "runs/m3/20260301T000000Z/m4_handoff_pack.json",
                "runs/m3/20260301T000000Z/m3_f_verdict_snapshot.json",
                "runs/m2_j/20260213T205715Z/m3_handoff_pack.json",
            ]
        );
    }

    #[rstest]
    #[case(
        "runs/x/m2_j/20260213T205715Z/pack.json",
        Some("m2_20260301T000000Z"),
        "runs/x/m2_j/20260301T000000Z/pack.json"
    )]
    #[case(
        "runs/x/m2/m2j_20260223T061612Z/r.json",
        Some("m2j_20260301T000000Z"),
        "runs/x/m2/m2j_20260301T000000Z/r.json"
    )]
    #[case("runs/x/m2_j/20260213T205715Z/pack.json", None, "runs/x/m2_j/20260213T205715Z/pack.json")]
    fn another_predecessor_is_named_by_its_execution(#[case] path: &str, #[case] from: Option<&str>, #[case] is: &str) {
        assert_eq!(renamed(path, from), is);
    }
}
