//! A workflow of GitHub Actions, as far as the gate asks about it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::script;

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
    /// What a person types to start it, and whether they must.
    pub inputs: BTreeMap<String, bool>,
    /// The names in every `env`, by the place where it stands.
    pub env: BTreeMap<String, BTreeSet<String>>,
    /// Every place that names a stored secret other than GitHub's own token.
    pub secrets: BTreeSet<String>,
    /// The shell of all jobs.
    pub shell: Option<String>,
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
    /// The workflow that it is, where its steps stand in another file.
    pub uses: Option<String>,
    /// What may let it be skipped, or pass though it failed.
    pub leeway: Leeway,
    /// The shell of its steps.
    pub shell: Option<String>,
    pub steps: Vec<WorkflowStep>,
}

/// One step.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(in crate::m1::dev_min) struct WorkflowStep {
    pub id: Option<String>,
    pub name: String,
    /// What may let it be skipped, or pass though it failed.
    pub leeway: Leeway,
    pub uses: Option<String>,
    pub with: BTreeMap<String, String>,
    pub run: Option<String>,
    pub shell: Option<String>,
}

/// What may let a job or a step be skipped, or pass though it failed.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(in crate::m1::dev_min) struct Leeway {
    /// Its `if`.
    pub condition: Option<String>,
    /// Its `continue-on-error`.
    pub continues: Option<String>,
}

impl Leeway {
    /// What it says of both, where it is not to say anything; a condition may be `allowed`.
    pub(in crate::m1::dev_min) fn objection(&self, allowed: impl Fn(&str) -> bool) -> Option<String> {
        let condition = self.condition.as_deref().filter(|condition| !allowed(condition));
        let skipped = condition.map(|condition| format!("may be skipped: `if: {condition}`"));
        let continues = self.continues.as_deref().filter(|continues| *continues != "false");
        skipped.or_else(|| continues.map(|value| format!("passes though it failed: `continue-on-error: {value}`")))
    }
}

impl WorkflowStep {
    /// Whether its script holds these words, comments apart.
    pub(in crate::m1::dev_min) fn runs(&self, words: &str) -> bool {
        self.run.as_deref().is_some_and(|run| script::without_comments(run).contains(words))
    }

    /// Whether a command of its script carries these words out.
    pub(in crate::m1::dev_min) fn does(&self, words: &str) -> bool {
        self.run.as_deref().is_some_and(|run| script::carries_out(run, words))
    }

    /// Whether it ends its job where it finds these words to be so, and says why.
    pub(in crate::m1::dev_min) fn guards(&self, words: &str) -> bool {
        self.runs(words) && self.runs("::error") && self.run.as_deref().is_some_and(script::ends_badly)
    }

    /// Everything of it that a shell or an interpreter reads, by its key.
    pub(super) fn scripts(&self) -> Vec<(&str, &str)> {
        let given = self.with.iter().filter(|(key, _)| super::SCRIPTS.contains(&key.to_ascii_lowercase().as_str()));
        let given = given.map(|(key, text)| (key.as_str(), text.as_str()));
        let own = [("run", self.run.as_deref()), ("shell", self.shell.as_deref())];
        own.into_iter().filter_map(|(key, text)| Some((key, text?))).chain(given).collect()
    }

    /// Whether it uses an action of this name.
    pub(in crate::m1::dev_min) fn acts(&self, name: &str) -> bool {
        self.uses.as_deref().is_some_and(|uses| uses.contains(name))
    }
}

impl Job {
    /// Whether a step of it carries these words out.
    pub(in crate::m1::dev_min) fn does(&self, words: &str) -> bool {
        self.steps.iter().any(|step| step.does(words))
    }

    /// A step of it, for messages.
    pub(in crate::m1::dev_min) fn place(&self, step: &WorkflowStep) -> String {
        place(&self.id, &step.name)
    }

    /// A job with one right.
    pub(super) fn that_may(id: &str, what: &str, level: &str) -> Self {
        let permissions = Some(BTreeMap::from([(what.to_owned(), level.to_owned())]));
        Self { id: id.to_owned(), permissions, ..Self::default() }
    }
}

impl Workflow {
    /// Where it stands.
    pub(in crate::m1::dev_min) fn path(&self) -> String {
        self.planned.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
    }

    /// Every step, with its job.
    pub(in crate::m1::dev_min) fn steps(&self) -> impl Iterator<Item = (&Job, &WorkflowStep)> {
        self.jobs.iter().flat_map(|job| job.steps.iter().map(move |step| (job, step)))
    }

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
        let mut found = Found::default();
        found.look(&document, "", "the workflow");
        Ok(Self {
            triggers: match on {
                Value::String(one) => BTreeSet::from([one.clone()]),
                Value::Array(many) => many.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
                Value::Object(many) => many.keys().cloned().collect(),
                _ => return Err("`on` is no trigger".to_owned()),
            },
            inputs: inputs(on),
            env: found.env,
            secrets: found.secrets,
            shell: shell_of_all(&document),
            jobs: jobs.iter().map(|(id, job)| read_job(id, job, permissions.as_ref())).collect(),
            ..Self::default()
        })
    }
}

/// Where a workflow names things as it likes.
const NAMED_FREELY: [&str; 5] = ["env", "inputs", "jobs", "outputs", "with"];

/// What can stand at any depth.
#[derive(Default)]
struct Found {
    env: BTreeMap<String, BTreeSet<String>>,
    secrets: BTreeSet<String>,
}

impl Found {
    /// Looks at what stands under `key`, and below it.
    fn look(&mut self, value: &Value, key: &str, place: &str) {
        match value {
            Value::Object(map) => {
                if key == "env" {
                    self.env.entry(place.to_owned()).or_default().extend(map.keys().cloned());
                }
                for (name, below) in map {
                    let place = if key == "jobs" { format!("job {name}") } else { place.to_owned() };
                    // Given to a job that is a workflow of its own, one by one or all: `secrets: inherit`.
                    if name == "secrets" && !NAMED_FREELY.contains(&key) {
                        self.secrets.insert(format!("{place}: secrets"));
                    }
                    self.look(below, name, &place);
                }
            }
            Value::Array(many) => {
                for (at, below) in many.iter().enumerate() {
                    let step = || format!("{place}, step `{}`", name_of(at, below));
                    let place = if key == "steps" { step() } else { place.to_owned() };
                    self.look(below, key, &place);
                }
            }
            other => {
                let text = as_text(other);
                if (key == "if" || text.contains("${{")) && names_a_secret(&text) {
                    self.secrets.insert(format!("{place}: {key}"));
                }
            }
        }
    }
}

/// Whether a text reads the context of secrets for more than GitHub's own token.
fn names_a_secret(text: &str) -> bool {
    const CONTEXT: &str = "secrets";
    let text = text.to_ascii_lowercase();
    let part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    text.match_indices(CONTEXT).any(|(at, _)| {
        let (before, rest) = (text.get(..at).unwrap_or_default(), text.get(at + CONTEXT.len()..).unwrap_or_default());
        let own = rest.strip_prefix(".github_token").is_some_and(|rest| !rest.starts_with(part));
        !before.ends_with(|c| part(c) || c == '.') && !rest.starts_with(part) && !own
    })
}

/// What `workflow_dispatch` asks a person for.
fn inputs(on: &Value) -> BTreeMap<String, bool> {
    let inputs = on.pointer("/workflow_dispatch/inputs").and_then(Value::as_object);
    let required = |input: &Value| input.get("required").and_then(Value::as_bool) == Some(true);
    inputs.into_iter().flatten().map(|(name, input)| (name.clone(), required(input))).collect()
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
        uses: job.get("uses").map(as_text),
        leeway: leeway(job),
        shell: shell_of_all(job),
        steps: steps.iter().enumerate().map(|(at, step)| read_step(at, step)).collect(),
    }
}

fn read_step(at: usize, step: &Value) -> WorkflowStep {
    let text = |key: &str| step.get(key).map(as_text);
    WorkflowStep {
        id: text("id"),
        name: name_of(at, step),
        leeway: leeway(step),
        uses: text("uses"),
        with: step.get("with").and_then(Value::as_object).map(texts).unwrap_or_default(),
        run: text("run"),
        shell: text("shell"),
    }
}

fn leeway(value: &Value) -> Leeway {
    Leeway { condition: value.get("if").map(as_text), continues: value.get("continue-on-error").map(as_text) }
}

/// `defaults.run.shell`.
fn shell_of_all(value: &Value) -> Option<String> {
    value.pointer("/defaults/run/shell").map(as_text)
}

/// A step's name, or what stands for it.
fn name_of(at: usize, step: &Value) -> String {
    let text = |key: &str| step.get(key).map(as_text);
    text("name").or_else(|| text("uses")).unwrap_or_else(|| format!("step {}", at + 1))
}

fn place(job: &str, step: &str) -> String {
    format!("job {job}, step `{step}`")
}

fn texts(map: &serde_json::Map<String, Value>) -> BTreeMap<String, String> {
    map.iter().map(|(key, value)| (key.clone(), as_text(value))).collect()
}

fn as_text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::by_name("${{ secrets.AWS_KEY }}", true)]
    #[case::by_index("${{ secrets['AWS_KEY'] }}", true)]
    #[case::in_any_case("${{ Secrets.aws_key }}", true)]
    #[case::all_of_them("${{ toJSON(secrets) }}", true)]
    #[case::beside_the_token("${{ secrets.GITHUB_TOKEN || secrets.OTHER }}", true)]
    #[case::longer_than_the_token("${{ secrets.GITHUB_TOKEN_2 }}", true)]
    #[case::the_token("${{ secrets.GITHUB_TOKEN }}", false)]
    #[case::a_step_of_that_name("${{ steps.secrets.outputs.x }}", false)]
    #[case::a_part_of_a_word("${{ vars.no_secrets }}", false)]
    fn a_stored_secret_is_known_by_its_context(#[case] text: &str, #[case] named: bool) {
        assert_eq!(names_a_secret(text), named);
    }

    #[test]
    fn env_and_secrets_are_found_at_every_depth() {
        let text = "\
on: { workflow_dispatch: { inputs: { a: { required: true }, b: {} } } }
env: { A: '1' }
jobs:
  one:
    env: { B: '2' }
    services: { db: { env: { C: '3' } } }
    steps:
      - { name: s, if: secrets.X != '', env: { D: '${{ secrets.Y }}' }, run: echo no secrets here }
  two: { uses: a/b/.github/workflows/c.yml@main, secrets: inherit }
";
        let workflow = Workflow::parse(text).unwrap();
        let names = |place: &str| workflow.env[place].iter().cloned().collect::<Vec<_>>();
        assert_eq!(names("the workflow"), ["A"]);
        assert_eq!(names("job one"), ["B", "C"]);
        assert_eq!(names("job one, step `s`"), ["D"]);
        let found: Vec<&str> = workflow.secrets.iter().map(String::as_str).collect();
        assert_eq!(found, ["job one, step `s`: D", "job one, step `s`: if", "job two: secrets"]);
        assert_eq!(workflow.inputs, BTreeMap::from([("a".to_owned(), true), ("b".to_owned(), false)]));
        assert_eq!(workflow.jobs[1].uses.as_deref(), Some("a/b/.github/workflows/c.yml@main"));
    }
}
