//! A workflow of GitHub Actions, as far as the gate asks about it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The workflow.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(in crate::m1::dev_min) struct Workflow {
    /// The plan asks for one.
    pub asked: bool,
    /// Where the plan says that it is.
    pub planned: BTreeSet<String>,
    /// Why it could not be read.
    pub problem: Option<String>,
    pub triggers: BTreeSet<String>,
    pub jobs: Vec<Job>,
}

/// One job.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(in crate::m1::dev_min) struct Job {
    pub id: String,
    /// What it may do, its own or the workflow's; nothing where neither says.
    pub permissions: Option<BTreeMap<String, String>>,
    /// Its outputs, with their expressions.
    pub outputs: BTreeMap<String, String>,
    pub steps: Vec<WorkflowStep>,
}

/// One step.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(in crate::m1::dev_min) struct WorkflowStep {
    pub id: Option<String>,
    pub name: String,
    /// Its condition.
    pub condition: Option<String>,
    pub uses: Option<String>,
    pub with: BTreeMap<String, String>,
    pub run: Option<String>,
    /// Values of its `env`.
    pub env: Vec<String>,
}

impl WorkflowStep {
    /// Whether its script holds these words.
    pub(in crate::m1::dev_min) fn runs(&self, words: &str) -> bool {
        self.run.as_deref().is_some_and(|run| run.contains(words))
    }

    /// Whether it uses an action of this name.
    pub(in crate::m1::dev_min) fn acts(&self, name: &str) -> bool {
        self.uses.as_deref().is_some_and(|uses| uses.contains(name))
    }

    /// Whether script or action says these words.
    pub(in crate::m1::dev_min) fn says(&self, words: &str) -> bool {
        self.runs(words) || self.acts(words)
    }

    /// Whether it is given a stored AWS key.
    pub(super) fn names_secret_keys(&self) -> bool {
        let texts = self.with.values().chain(&self.env).chain(&self.run);
        texts.into_iter().any(|text| text.contains("secrets.AWS_"))
    }
}

impl Job {
    /// Whether a step of it runs these words.
    pub(super) fn does(&self, words: &str) -> bool {
        self.steps.iter().any(|step| step.runs(words))
    }

    /// A job with one right.
    pub(super) fn that_may(id: &str, what: &str, level: &str) -> Self {
        let permissions = Some(BTreeMap::from([(what.to_owned(), level.to_owned())]));
        Self { id: id.to_owned(), permissions, ..Self::default() }
    }
}

impl Workflow {
    /// For negative controls: as if it had been asked for and read, with one job at least.
    pub(in crate::m1::dev_min) fn read_as_asked(&mut self) {
        self.asked = true;
        self.problem = None;
        self.planned = BTreeSet::from(["doctored".to_owned()]);
        if self.jobs.is_empty() {
            self.jobs.push(Job::default());
        }
    }

    /// Reads a workflow.
    ///
    /// # Errors
    /// In words, when it is no workflow.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let document: Value = yaml_serde::from_str(text).map_err(|error| error.to_string())?;
        // YAML 1.1 reads the key `on` as a truth value.
        let on = document.get("on").or_else(|| document.get("true")).ok_or("it has no `on`")?;
        let permissions = document.get("permissions").map(permissions);
        let jobs = document.get("jobs").and_then(Value::as_object).ok_or("it has no `jobs`")?;
        Ok(Self {
            triggers: match on {
                Value::String(one) => BTreeSet::from([one.clone()]),
                Value::Array(many) => many.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
                Value::Object(many) => many.keys().cloned().collect(),
                _ => return Err("`on` is no trigger".to_owned()),
            },
            jobs: jobs.iter().map(|(id, job)| read_job(id, job, permissions.as_ref())).collect(),
            ..Self::default()
        })
    }
}

/// `read-all` and `write-all` are kept as rights to everything.
fn permissions(value: &Value) -> BTreeMap<String, String> {
    match value {
        Value::Object(rights) => texts(rights),
        Value::String(all) => BTreeMap::from([("everything".to_owned(), all.clone())]),
        _ => BTreeMap::new(),
    }
}

fn read_job(id: &str, job: &Value, of_workflow: Option<&BTreeMap<String, String>>) -> Job {
    let steps = job.get("steps").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    Job {
        id: id.to_owned(),
        permissions: job.get("permissions").map(permissions).or_else(|| of_workflow.cloned()),
        outputs: job.get("outputs").and_then(Value::as_object).map(texts).unwrap_or_default(),
        steps: steps.iter().enumerate().map(|(at, step)| read_step(at, step)).collect(),
    }
}

fn read_step(at: usize, step: &Value) -> WorkflowStep {
    let text = |key: &str| step.get(key).map(as_text);
    let map = |key: &str| step.get(key).and_then(Value::as_object).map(texts).unwrap_or_default();
    WorkflowStep {
        id: text("id"),
        name: text("name").or_else(|| text("uses")).unwrap_or_else(|| format!("step {}", at + 1)),
        condition: text("if"),
        uses: text("uses"),
        with: map("with"),
        run: text("run"),
        env: map("env").into_values().collect(),
    }
}

fn texts(map: &serde_json::Map<String, Value>) -> BTreeMap<String, String> {
    map.iter().map(|(key, value)| (key.clone(), as_text(value))).collect()
}

fn as_text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
