//! Carrying out documented commands: a Verify-ID's template, its values, the typed call, its output.

use std::collections::BTreeMap;
use std::io;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::context::{LaneRun, World};
use super::lane::Stop;
use super::observation::Answer;
use crate::command::{self, Call, Command, RipGrep, SearchError};
use crate::registry::placeholder_in;
use crate::substrate::RepositoryInfo;
use crate::substrate::reply::{CallError, CallErrorKind, Reply};

/// A row, carried out: once, or once for each value of one placeholder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RowOutput {
    /// The Verify-ID.
    pub row: String,
    /// The command as the plan writes it.
    pub template: String,
    /// Where the plan writes it.
    pub documented_at: String,
    /// The calls.
    pub runs: Vec<RowRun>,
    /// Reads that followed, by name; the row's checks may take these too, and nothing else.
    pub follow_ups: BTreeMap<String, FollowUp>,
}

/// One call of a row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RowRun {
    /// What was put in place of the placeholders.
    pub bindings: BTreeMap<String, String>,
    /// What the lane supplied where the plan leaves something out.
    pub supplied: BTreeMap<String, String>,
    /// The call in a form that is safe to paste into a shell.
    pub call: String,
    /// What came back.
    pub output: Output,
}

/// A read that followed a row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FollowUp {
    /// The call in a form that is safe to paste.
    pub call: String,
    /// What came back; `null` for something that is not there.
    pub value: Value,
}

/// One line that a search found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundLine {
    /// The document.
    pub document: String,
    /// The line, from 1.
    pub line: usize,
    /// Its text.
    pub text: String,
    /// Which alternatives of the pattern match it.
    pub alternatives: Vec<String>,
}

/// Whether a guard, which is met when nothing is found, has shown that it can find.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum CanFind {
    /// It is no guard.
    NotAGuard,
    /// On the real document, with the handle's own line set to the placeholder, it matches.
    Proven {
        /// The handle's lines.
        lines: Vec<usize>,
    },
    /// The handle has no line of its own.
    NoOwnLine,
    /// It does not match where it should.
    CannotFind {
        /// Why.
        why: String,
    },
}

/// The output of one call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Output {
    /// A search of documents.
    Lines {
        /// The documents that were read to their end.
        documents: Vec<String>,
        /// The lines found.
        matches: Vec<FoundLine>,
        /// Alternatives of the pattern that no line matches.
        missing: Vec<String>,
        /// For a guard: whether it can find.
        can_find: CanFind,
    },
    /// Whether paths exist.
    Paths {
        /// Each path, and whether it is there.
        paths: BTreeMap<String, bool>,
    },
    /// A bucket that answers.
    Bucket {
        /// Its name.
        bucket: String,
    },
    /// A list of objects.
    Objects {
        /// The bucket.
        bucket: String,
        /// The prefix.
        prefix: String,
        /// The keys.
        keys: Vec<String>,
        /// Whether every page was walked.
        complete: bool,
    },
    /// Repositories of ECR.
    Repositories {
        /// In the order in which they were asked.
        repositories: Vec<RepositoryInfo>,
    },
    /// What was asked about does not exist.
    Absent {
        /// What.
        what: String,
    },
}

impl LaneRun<'_> {
    /// Carries out a row once, with the handles and names that are bound.
    ///
    /// # Errors
    /// When the plan has no such row, its template cannot be read or resolved, or a call gave no
    /// answer.
    pub fn row(&mut self, id: &str) -> Result<RowOutput, Stop> {
        self.carry_out(id, &[BTreeMap::new()], None)
    }

    /// Carries out a row once for each value of one placeholder.
    ///
    /// # Errors
    /// As for [`Self::row`].
    pub fn row_for_each(&mut self, id: &str, placeholder: &str, values: &[String]) -> Result<RowOutput, Stop> {
        let runs: Vec<BTreeMap<String, String>> =
            values.iter().map(|value| BTreeMap::from([(placeholder.to_owned(), value.clone())])).collect();
        self.carry_out(id, &runs, None)
    }

    /// Carries out a row that is met when nothing is found, and lets it show that it can find.
    ///
    /// # Errors
    /// As for [`Self::row`].
    pub fn guard(&mut self, id: &str, handle: &str) -> Result<RowOutput, Stop> {
        self.carry_out(id, &[BTreeMap::new()], Some(handle))
    }

    fn carry_out(
        &mut self,
        id: &str,
        each: &[BTreeMap<String, String>],
        guards: Option<&str>,
    ) -> Result<RowOutput, Stop> {
        let row = self.plan().rows.iter().find(|row| row.id == id).ok_or_else(|| {
            Stop::Fault(format!("the plan has no Verify-ID {id}; its checks have nothing to rest on"))
        })?;
        let mut output = RowOutput {
            row: id.to_owned(),
            template: row.template.clone(),
            documented_at: row.place.to_string(),
            runs: Vec::new(),
            follow_ups: BTreeMap::new(),
        };
        let at_fault = |why: String| Stop::Fault(format!("{}: {id}: {why}", row.place));
        let template = command::parse(&row.template).map_err(|e| at_fault(e.to_string()))?;
        for own in each {
            let bindings = self.bindings(&template.placeholders, own);
            let call = command::resolve(&template, &bindings).map_err(|e| at_fault(e.to_string()))?;
            let run = match self.call(&call, guards) {
                Ok(output) => RowRun {
                    bindings: call.bindings.clone(),
                    supplied: call.supplied.iter().map(|s| (s.name.clone(), s.value.clone())).collect(),
                    call: call.paste_form(),
                    output,
                },
                Err(Unanswered::Call(error)) => return Err(self.unanswered(id, &call.paste_form(), *error)),
                Err(Unanswered::Stop(stop)) => return Err(stop),
            };
            output.runs.push(run);
        }
        self.file_row(&output)?;
        Ok(output)
    }

    fn file_row(&mut self, output: &RowOutput) -> Result<(), Stop> {
        let source = output.runs.first().map_or_else(|| output.template.clone(), |run| run.call.clone());
        self.observe(&output.row, &source, output)
    }

    /// Values for placeholders: the row's own, the names that lanes bound, then handles.
    fn bindings(&self, placeholders: &[String], own: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        let mut bindings = self.names().clone();
        for name in placeholders {
            if !bindings.contains_key(name)
                && let Ok(text) = self.text(name)
            {
                bindings.insert(name.clone(), text);
            }
        }
        bindings.extend(own.clone());
        bindings
    }

    fn call(&self, call: &Call, guards: Option<&str>) -> Result<Output, Unanswered> {
        match &call.command {
            Command::RipGrep(search) => self.search(search, guards),
            Command::TestPath { paths } => {
                let mut found = BTreeMap::new();
                for path in paths {
                    let there = self.repository().has(path).map_err(|e| Stop::Fault(e.to_string()))?;
                    found.insert(path.clone(), there);
                }
                Ok(Output::Paths { paths: found })
            }
            Command::HeadBucket { bucket } => {
                let reply = self.world()?.objects.head_bucket(bucket);
                or_absent(reply, &format!("s3://{bucket}"), |_| Output::Bucket { bucket: bucket.clone() })
            }
            Command::S3List { bucket, prefix } => self.list(bucket, prefix, None),
            Command::ListObjectsV2 { bucket, prefix, max_keys } => self.list(bucket, prefix, *max_keys),
            Command::DescribeRepositories { names, region } => {
                let world = self.world()?;
                same_region(world, region.as_deref())?;
                let reply =
                    world.substrate.ecr().describe_repositories(&names.iter().map(String::as_str).collect::<Vec<_>>());
                or_absent(reply, &names.join(", "), |repositories| Output::Repositories { repositories })
            }
            other => Err(Stop::Fault(format!("no lane of this version carries out {other:?} as a row")).into()),
        }
    }

    fn list(&self, bucket: &str, prefix: &str, max_keys: Option<u32>) -> Result<Output, Unanswered> {
        let reply = self.world()?.objects.list_objects(bucket, prefix, max_keys);
        or_absent(reply, &format!("s3://{bucket}"), |listing| Output::Objects {
            bucket: bucket.to_owned(),
            prefix: prefix.to_owned(),
            keys: listing.entries.into_iter().map(|entry| entry.key).collect(),
            complete: listing.complete,
        })
    }

    fn search(&self, search: &RipGrep, guards: Option<&str>) -> Result<Output, Unanswered> {
        let read = |path: &str| self.repository().text(path).map_err(|e| io::Error::other(e.to_string()));
        let found = command::rip_grep(search, &read).map_err(|e| Stop::Fault(e.to_string()))?;
        let can_find = match guards {
            None => CanFind::NotAGuard,
            Some(handle) => self.can_find(search, handle)?,
        };
        Ok(Output::Lines {
            documents: found.documents.iter().map(|(path, _)| path.clone()).collect(),
            missing: found.missing(search).into_iter().map(str::to_owned).collect(),
            matches: found
                .matches
                .into_iter()
                .map(|m| FoundLine { document: m.path, line: m.line, text: m.text, alternatives: m.alternatives })
                .collect(),
            can_find,
        })
    }

    fn can_find(&self, search: &RipGrep, handle: &str) -> Result<CanFind, Unanswered> {
        let path = &self.documents().registry_path;
        let lines = self.handles().registry().lines_of(handle);
        if lines.is_empty() {
            return Ok(CanFind::NoOwnLine);
        }
        let Some(placeholder) = placeholder_in(&search.pattern) else {
            return Ok(CanFind::CannotFind { why: "the pattern names no placeholder".to_owned() });
        };
        let text = self.repository().text(path).map_err(|e| Stop::Fault(e.to_string()))?;
        match command::guard_can_find(search, path, &text, handle, &lines, placeholder) {
            Ok(proof) => Ok(CanFind::Proven { lines: proof.lines.into_iter().map(|(line, _)| line).collect() }),
            Err(error @ (SearchError::CannotFind { .. } | SearchError::OtherDocument { .. })) => {
                Ok(CanFind::CannotFind { why: error.to_string() })
            }
            Err(error) => Err(Stop::Fault(error.to_string()).into()),
        }
    }

    /// Reads a JSON object that a row led to, and takes the read down as the row's follow-up.
    ///
    /// # Errors
    /// When it cannot be read or is no JSON.
    pub fn follow_up_json(&mut self, row: &str, name: &str, bucket: &str, key: &str) -> Result<Value, Stop> {
        let call = format!("aws s3api get-object --bucket {bucket} --key '{key}' /dev/stdout");
        let reply = self.world()?.objects.get_object(bucket, key, None);
        let reply = match reply {
            Ok(reply) => reply,
            Err(error) => return Err(self.unanswered(row, &call, error)),
        };
        let value: Value = match serde_json::from_slice(&reply.value.bytes) {
            Ok(value) => value,
            Err(error) => {
                let error = CallError {
                    kind: CallErrorKind::Malformed,
                    service: "s3api".to_owned(),
                    operation: "get-object".to_owned(),
                    target: format!("s3://{bucket}/{key}"),
                    status: None,
                    request_id: reply.request_id,
                    message: format!("the object is no JSON: {error}; publish it again under another run"),
                    attempts: reply.attempts,
                };
                return Err(self.unanswered(row, &call, error));
            }
        };
        self.add_follow_up(row, name, call, value.clone())?;
        Ok(value)
    }

    /// Takes down a reply that a row led to; what does not exist is `None`.
    ///
    /// # Errors
    /// When there was no usable answer.
    pub fn follow_up<T: Serialize>(
        &mut self,
        row: &str,
        name: &str,
        call: &str,
        reply: Result<Reply<T>, CallError>,
    ) -> Result<Option<T>, Stop> {
        let value = match reply {
            Ok(reply) => Some(reply.value),
            Err(error) if error.kind == CallErrorKind::NotFound => None,
            Err(error) => return Err(self.unanswered(row, call, error)),
        };
        let json = serde_json::to_value(&value).map_err(|e| Stop::Fault(e.to_string()))?;
        self.add_follow_up(row, name, call.to_owned(), json)?;
        Ok(value)
    }

    fn add_follow_up(&mut self, row: &str, name: &str, call: String, value: Value) -> Result<(), Stop> {
        let mut output: RowOutput = self.fact(row)?;
        output.follow_ups.insert(name.to_owned(), FollowUp { call, value });
        self.file_row(&output)
    }

    /// Takes down that a call gave no answer, and stops the lane: every check that reads `name` is
    /// `error` or `unsupported`, under its own code.
    pub fn unanswered(&mut self, name: &str, call: &str, error: CallError) -> Stop {
        let said = error.to_string();
        match self.file(name, call, Answer::Failed(error)) {
            Ok(()) => Stop::Fault(said),
            Err(stop) => stop,
        }
    }
}

/// Why a call of a row has no output.
enum Unanswered {
    Call(Box<CallError>),
    Stop(Stop),
}

impl From<Stop> for Unanswered {
    fn from(stop: Stop) -> Self {
        Self::Stop(stop)
    }
}

fn or_absent<T>(
    reply: Result<Reply<T>, CallError>,
    what: &str,
    output: impl FnOnce(T) -> Output,
) -> Result<Output, Unanswered> {
    match reply {
        Ok(reply) => Ok(output(reply.value)),
        Err(error) if error.kind == CallErrorKind::NotFound => Ok(Output::Absent { what: what.to_owned() }),
        Err(error) => Err(Unanswered::Call(Box::new(error))),
    }
}

fn same_region(world: &World<'_>, region: Option<&str>) -> Result<(), Stop> {
    match region {
        Some(region) if region != world.substrate.region() => Err(Stop::Fault(format!(
            "the row asks region {region}, and the substrate is opened in {}",
            world.substrate.region()
        ))),
        _ => Ok(()),
    }
}
