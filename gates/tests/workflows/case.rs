//! One step in one situation: what it must do, or how it must fail.

use super::document::{StepPlace, Workflow};
use super::ground::{Ground, Ran, call, lacking};

type Prepare = Box<dyn Fn(&mut Ground)>;
type Look = Box<dyn Fn(&Ground, &Ran)>;

/// One step in one situation.
pub struct Case {
    pub place: StepPlace,
    what: &'static str,
    prepare: Vec<Prepare>,
    fails: Option<&'static str>,
    says: Vec<&'static str>,
    calls: Vec<String>,
    looks: Vec<Look>,
}

impl Case {
    pub fn of(file: &str, job: &str, step: &str, what: &'static str) -> Self {
        let place = StepPlace { file: file.to_owned(), job: job.to_owned(), name: step.to_owned() };
        Self { place, what, prepare: vec![], fails: None, says: vec![], calls: vec![], looks: vec![] }
    }

    /// What is so before it runs.
    pub fn given(mut self, prepare: impl Fn(&mut Ground) + 'static) -> Self {
        self.prepare.push(Box::new(prepare));
        self
    }

    /// It must fail, and say this.
    pub fn fails(mut self, says: &'static str) -> Self {
        self.fails = Some(says);
        self
    }

    pub fn says(mut self, text: &'static str) -> Self {
        self.says.push(text);
        self
    }

    /// These calls of stand-ins, in this order, and no other.
    pub fn calls<S: Into<String>>(mut self, calls: impl IntoIterator<Item = S>) -> Self {
        self.calls = calls.into_iter().map(|each| call(&each.into())).collect();
        self
    }

    /// What is so afterwards.
    pub fn then(mut self, look: impl Fn(&Ground, &Ran) + 'static) -> Self {
        self.looks.push(Box::new(look));
        self
    }

    /// These outputs, and no other.
    pub fn leaves(self, outputs: &'static [(&'static str, &'static str)]) -> Self {
        self.then(move |_, ran| {
            let left: Vec<(&str, &str)> = ran.outputs.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
            assert_eq!(left, outputs);
        })
    }

    pub fn succeeds(&self) -> bool {
        self.fails.is_none()
    }

    fn play(&self) {
        let workflow = Workflow::read(&self.place.file);
        let step = workflow.step(&self.place.job, &self.place.name);
        let what = format!("{}: {}", self.place, self.what);
        if let Some(program) = lacking(step.script().unwrap()) {
            eprintln!("left out: {what}, because {program} is not here");
            return;
        }
        let mut ground = Ground::new();
        self.prepare.iter().for_each(|prepare| prepare(&mut ground));
        let ran = ground.run(&step);
        assert_eq!(ran.calls, self.calls, "{what}: {ran:#?}");
        match self.fails {
            None => assert_eq!(ran.code, Some(0), "{what}: {ran:#?}"),
            Some(said) => {
                assert!(ran.code != Some(0), "{what}: it did not fail: {ran:#?}");
                assert!(ran.said.contains(said), "{what}: it did not say `{said}`: {ran:#?}");
            }
        }
        for text in &self.says {
            assert!(ran.said.contains(text), "{what}: it did not say `{text}`: {ran:#?}");
        }
        self.looks.iter().for_each(|look| look(&ground, &ran));
    }
}

pub fn play(cases: &[Case]) {
    assert!(!cases.is_empty());
    cases.iter().for_each(Case::play);
}
