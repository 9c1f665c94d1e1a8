//! Observations: the replies of the world on which checks decide.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::evidence::{canonical, digest};
use crate::substrate::reply::CallError;

/// What came back: a value, or a call that gave no usable answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// The reply, typed by the lane that asked.
    Value(Value),
    /// There was none. No check may take this for an answer.
    Failed(CallError),
}

/// One reply of the world: where it came from, what it said, and the digest of that.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Observation {
    /// The name under which checks read it: a Verify-ID, or a word of the lane.
    pub name: String,
    /// The lane that made it.
    pub lane: String,
    /// What was asked: a file, a call in a form that can be pasted, or the step that derived it.
    pub source: String,
    /// What came back.
    pub answer: Answer,
    /// SHA-256 over the canonical JSON (RFC 8785) of `answer`.
    pub digest: String,
}

/// An answer that cannot be written as canonical JSON.
#[derive(Debug, thiserror::Error)]
#[error("the observation `{name}` of {lane} cannot be written as JSON: {why}")]
pub struct ObservationError {
    /// The observation's name.
    pub name: String,
    /// Its lane.
    pub lane: String,
    /// What serde said.
    pub why: String,
}

impl Observation {
    /// Takes down one answer with its digest.
    ///
    /// # Errors
    /// When the answer has no canonical JSON form.
    pub fn new(lane: &str, name: &str, source: &str, answer: Answer) -> Result<Self, ObservationError> {
        let error = |why: String| ObservationError { name: name.to_owned(), lane: lane.to_owned(), why };
        let value = serde_json::to_value(&answer).map_err(|e| error(e.to_string()))?;
        let bytes = canonical::to_bytes(&value).map_err(|e| error(e.to_string()))?;
        Ok(Self {
            name: name.to_owned(),
            lane: lane.to_owned(),
            source: source.to_owned(),
            answer,
            digest: digest::sha256_hex(&bytes),
        })
    }
}

impl Observation {
    /// The same observation, its digest taken anew from its answer.
    pub(crate) fn again(&self) -> Result<Self, ObservationError> {
        Self::new(&self.lane, &self.name, &self.source, self.answer.clone())
    }
}

/// Name and digest of an observation, as findings list them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObservationRef {
    /// The lane that made it.
    pub lane: String,
    /// Its name.
    pub name: String,
    /// Its digest.
    pub digest: String,
}

/// Why a check could not read its facts.
#[derive(Debug, Clone, PartialEq)]
pub enum Unreadable {
    /// No lane made the observation.
    Missing(String),
    /// The call behind it gave no answer.
    Failed(CallError),
    /// The stored value does not have the shape that the check reads.
    Shape(String),
}

/// All observations of one execution, by `lane/name`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Observations(BTreeMap<String, Observation>);

impl Observations {
    /// Files one observation. A later one of the same name takes its place: a lane that asks again
    /// (a retry, a poll) is judged by its last reply.
    pub fn insert(&mut self, observation: Observation) {
        self.0.insert(format!("{}/{}", observation.lane, observation.name), observation);
    }

    /// The observation `name` of `lane`. A name with a slash is another lane's: `M3.B/run_identity`.
    #[must_use]
    pub fn get(&self, lane: &str, name: &str) -> Option<&Observation> {
        if name.contains('/') { self.0.get(name) } else { self.0.get(&format!("{lane}/{name}")) }
    }

    /// All observations, by lane and name.
    pub fn iter(&self) -> impl Iterator<Item = &Observation> {
        self.0.values()
    }

    /// Those of one lane.
    pub fn of_lane<'a>(&'a self, lane: &'a str) -> impl Iterator<Item = &'a Observation> {
        self.0.values().filter(move |o| o.lane == lane)
    }

    /// The first failed call among these: it explains more than what is missing because of it.
    #[must_use]
    pub fn failed(&self, lane: &str, names: &[&str]) -> Option<&CallError> {
        names.iter().find_map(|name| match &self.get(lane, name)?.answer {
            Answer::Failed(error) => Some(error),
            Answer::Value(_) => None,
        })
    }

    /// The facts that a check reads: the value itself for one name, a tuple for several.
    ///
    /// # Errors
    /// When an observation is missing, failed, or has another shape.
    pub fn facts<T: DeserializeOwned>(
        &self,
        lane: &str,
        names: &[&str],
    ) -> Result<(T, Vec<ObservationRef>), Unreadable> {
        if let Some(error) = self.failed(lane, names) {
            return Err(Unreadable::Failed(error.clone()));
        }
        let mut values = Vec::new();
        let mut refs = Vec::new();
        for name in names {
            let observation = self.get(lane, name).ok_or_else(|| Unreadable::Missing((*name).to_owned()))?;
            match &observation.answer {
                Answer::Value(value) => values.push(value.clone()),
                Answer::Failed(error) => return Err(Unreadable::Failed(error.clone())),
            }
            refs.push(ObservationRef {
                lane: observation.lane.clone(),
                name: observation.name.clone(),
                digest: observation.digest.clone(),
            });
        }
        let value = match values.len() {
            1 => values.swap_remove(0),
            _ => Value::Array(values),
        };
        let facts =
            serde_json::from_value(value).map_err(|e| Unreadable::Shape(format!("{}: {e}", names.join(", "))))?;
        Ok((facts, refs))
    }
}

impl FromIterator<Observation> for Observations {
    fn from_iter<I: IntoIterator<Item = Observation>>(iter: I) -> Self {
        let mut all = Self::default();
        for observation in iter {
            all.insert(observation);
        }
        all
    }
}
