//! A workflow as it is written.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use yaml_serde::Value;

pub const PACKAGING: &str = "dev_min_m1_packaging.yml";
pub const PHASE_GATE: &str = "phase-gate.yml";

pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// One file of `.github/workflows`.
pub struct Workflow {
    pub file: String,
    pub text: String,
    pub tree: Value,
}

/// Where a step stands: names are unique within a job.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct StepPlace {
    pub file: String,
    pub job: String,
    pub name: String,
}

impl fmt::Display for StepPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.file, self.job, self.name)
    }
}

impl Workflow {
    pub fn read(file: &str) -> Self {
        let text = std::fs::read_to_string(workspace().join(".github/workflows").join(file)).unwrap();
        let tree = yaml_serde::from_str(&text).unwrap();
        Self { file: file.to_owned(), text, tree }
    }

    pub fn all() -> Vec<Self> {
        let folder = std::fs::read_dir(workspace().join(".github/workflows")).unwrap();
        let mut files: Vec<_> = folder.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        files.sort();
        files.iter().map(|file| Self::read(file)).collect()
    }

    pub fn jobs(&self) -> Vec<(&str, &Value)> {
        let jobs = self.tree["jobs"].as_mapping().unwrap();
        jobs.iter().map(|(name, job)| (name.as_str().unwrap(), job)).collect()
    }

    pub fn steps(&self) -> Vec<Step<'_>> {
        let of = |(job, tree): (&str, &'_ Value)| {
            let steps = tree["steps"].as_sequence().cloned().unwrap_or_default();
            let workflow: BTreeMap<String, String> = words(&self.tree["env"]);
            let inherited: BTreeMap<_, _> = workflow.into_iter().chain(words(&tree["env"])).collect();
            let file = self.file.clone();
            let job = job.to_owned();
            steps.into_iter().map(move |tree| {
                let name = tree["name"].as_str().unwrap_or_else(|| panic!("{file}: a step of {job} has no name"));
                let place = StepPlace { file: file.clone(), job: job.clone(), name: name.to_owned() };
                Step { workflow: self, inherited: inherited.clone(), place, tree }
            })
        };
        self.jobs().into_iter().flat_map(of).collect()
    }

    pub fn run_steps(&self) -> Vec<Step<'_>> {
        self.steps().into_iter().filter(|step| step.script().is_some()).collect()
    }

    pub fn step(&self, job: &str, name: &str) -> Step<'_> {
        let found = self.steps().into_iter().find(|step| step.place.job == job && step.place.name == name);
        found.unwrap_or_else(|| panic!("{}: the job {job} has no step `{name}`", self.file))
    }
}

/// One step, with what it inherits.
pub struct Step<'w> {
    workflow: &'w Workflow,
    inherited: BTreeMap<String, String>,
    place: StepPlace,
    pub tree: Value,
}

impl Step<'_> {
    pub fn place(&self) -> StepPlace {
        self.place.clone()
    }

    pub fn script(&self) -> Option<&str> {
        self.tree["run"].as_str()
    }

    pub fn uses(&self) -> Option<&str> {
        self.tree["uses"].as_str()
    }

    pub fn condition(&self) -> Option<&str> {
        self.tree["if"].as_str()
    }

    pub fn id(&self) -> Option<&str> {
        self.tree["id"].as_str()
    }

    /// The variables of workflow, job and step, with their expressions.
    pub fn env(&self) -> BTreeMap<String, String> {
        self.inherited.clone().into_iter().chain(words(&self.tree["env"])).collect()
    }

    /// The shell, as the workflow sets it for all steps.
    pub fn shell(&self) -> Option<&str> {
        self.tree["shell"].as_str().or_else(|| self.workflow.tree["defaults"]["run"]["shell"].as_str())
    }

    pub fn folder(&self) -> &str {
        self.tree["working-directory"].as_str().unwrap_or(".")
    }
}

/// A mapping of plain values.
pub fn words(tree: &Value) -> BTreeMap<String, String> {
    let Some(mapping) = tree.as_mapping() else { return BTreeMap::new() };
    let word = |value: &Value| match value {
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => number.to_string(),
        other => other.as_str().unwrap().to_owned(),
    };
    mapping.iter().map(|(name, value)| (name.as_str().unwrap().to_owned(), word(value))).collect()
}

/// A list of plain words; one word alone is a list too.
pub fn list(tree: &Value) -> Vec<String> {
    match tree {
        Value::String(word) => vec![word.clone()],
        Value::Sequence(words) => words.iter().map(|word| word.as_str().unwrap().to_owned()).collect(),
        _ => Vec::new(),
    }
}
