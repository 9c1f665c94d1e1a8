//! Carrying out documented commands: a Verify-ID's template, its values, the typed call, its output.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::context::{File, LaneRun, To};
use super::executors::Unanswered;
use super::lane::Stop;
use super::observation::Answer;
use crate::command::{self, Call, Command};
use crate::evidence::Receipt;
use crate::plan::VerifyRow;
use crate::substrate::reply::{CallError, CallErrorKind, Reply};
use crate::substrate::{CostPeriod, ExecutionEntry, RepositoryInfo, StateMachineEntry, StateMachineInfo};

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
    /// Objects that were asked for one by one.
    Heads {
        /// The bucket.
        bucket: String,
        /// Each key, and whether an object is there.
        keys: BTreeMap<String, bool>,
    },
    /// An object that was read.
    Object {
        /// Its address.
        uri: String,
        /// SHA-256 of its bytes.
        sha256: String,
        /// How many they are.
        bytes: usize,
    },
    /// A file that was put, once.
    Uploaded {
        /// Its address.
        uri: String,
        /// SHA-256 of its bytes.
        sha256: String,
    },
    /// The state machines of a region.
    StateMachines {
        /// The machines.
        machines: Vec<StateMachineEntry>,
        /// Whether every page was walked.
        complete: bool,
    },
    /// One state machine.
    StateMachine {
        /// The machine.
        machine: StateMachineInfo,
    },
    /// Executions of a state machine.
    Executions {
        /// The machine's ARN.
        machine: String,
        /// The status that was asked for; none for all.
        status: Option<String>,
        /// The executions.
        executions: Vec<ExecutionEntry>,
        /// Whether every page was walked.
        complete: bool,
    },
    /// The outputs of a Terraform stack, from its state object.
    TerraformOutputs {
        /// The state object's address.
        state: String,
        /// The outputs that may be kept, by name.
        outputs: BTreeMap<String, Value>,
        /// The names of sensitive ones; their values are not kept.
        sensitive: Vec<String>,
    },
    /// What was spent.
    Costs {
        /// The first day of the window.
        start: String,
        /// The day after its last.
        end: String,
        /// The metrics that were asked for.
        metrics: Vec<String>,
        /// The periods of the answer.
        periods: Vec<CostPeriod>,
        /// Whether every page was walked.
        complete: bool,
    },
    /// What was asked about does not exist.
    Absent {
        /// What.
        what: String,
    },
}

impl RowRun {
    fn of(call: &Call, output: Output) -> Self {
        Self {
            bindings: call.bindings.clone(),
            supplied: call.supplied.iter().map(|s| (s.name.clone(), s.value.clone())).collect(),
            call: call.paste_form(),
            output,
        }
    }
}

/// The names by which rows speak of the local file that they upload.
const LOCAL_FILES: [&str; 3] = ["local_seed", "local_artifact", "local_handoff_pack"];

/// A file that is published by a row.
pub struct RowFile<'f> {
    /// File name.
    pub name: &'f str,
    /// Its content.
    pub body: Value,
    /// Fields that must be there and not be empty.
    pub minimum_fields: &'f [&'f str],
    /// After the first refusal for one key of the group nothing more of it is put.
    pub group: &'f str,
}

/// One call of a row that is asked for.
#[derive(Default)]
struct Asked {
    own: BTreeMap<String, String>,
    guards: Option<String>,
}

impl Asked {
    fn with(own: &[(&str, &str)]) -> Self {
        let own = own.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Self { own, guards: None }
    }
}

impl LaneRun<'_> {
    /// Carries out a row once, with the handles and names that are bound.
    ///
    /// # Errors
    /// When the plan has no such row, its template cannot be read or resolved, or a call gave no
    /// answer.
    pub fn row(&mut self, id: &str) -> Result<RowOutput, Stop> {
        self.carry_out(id, &[Asked::default()])
    }

    /// Carries out a row once for each value of one placeholder.
    ///
    /// # Errors
    /// As for [`Self::row`].
    pub fn row_for_each(&mut self, id: &str, placeholder: &str, values: &[String]) -> Result<RowOutput, Stop> {
        let runs: Vec<Asked> = values.iter().map(|value| Asked::with(&[(placeholder, value)])).collect();
        self.carry_out(id, &runs)
    }

    /// Carries out a row that is met when nothing is found, and lets it show that it can find.
    ///
    /// # Errors
    /// As for [`Self::row`].
    pub fn guard(&mut self, id: &str, handle: &str) -> Result<RowOutput, Stop> {
        self.carry_out(id, &[Asked { guards: Some(handle.to_owned()), ..Asked::default() }])
    }

    /// Carries out, for each value of one placeholder, a row that is met when nothing is found: each value is a
    /// handle, on whose own line the search shows that it can find.
    ///
    /// # Errors
    /// As for [`Self::row`].
    pub fn guard_for_each(&mut self, id: &str, placeholder: &str, handles: &[String]) -> Result<RowOutput, Stop> {
        let runs: Vec<Asked> = handles
            .iter()
            .map(|handle| Asked {
                own: BTreeMap::from([(placeholder.to_owned(), handle.clone())]),
                guards: Some(handle.clone()),
            })
            .collect();
        self.carry_out(id, &runs)
    }

    /// Carries out a row once with values of the lane's own: placeholders that its steps bind, and elisions.
    ///
    /// # Errors
    /// As for [`Self::row`].
    pub fn row_with(&mut self, id: &str, own: &[(&str, &str)]) -> Result<RowOutput, Stop> {
        self.carry_out(id, &[Asked::with(own)])
    }

    /// Carries out a row several times, each with values of the lane's own.
    ///
    /// # Errors
    /// As for [`Self::row`].
    pub fn row_each_with(&mut self, id: &str, each: &[Vec<(&str, &str)>]) -> Result<RowOutput, Stop> {
        let runs: Vec<Asked> = each.iter().map(|own| Asked::with(own)).collect();
        self.carry_out(id, &runs)
    }

    fn carry_out(&mut self, id: &str, each: &[Asked]) -> Result<RowOutput, Stop> {
        let mut output = self.not_run(id)?;
        for asked in each {
            let call = self.resolved(id, &asked.own)?;
            match self.call(&call, asked.guards.as_deref()) {
                Ok(found) => output.runs.push(RowRun::of(&call, found)),
                Err(Unanswered::Call(error)) => return Err(self.unanswered(id, &call.paste_form(), *error)),
                Err(Unanswered::Stop(stop)) => return Err(stop),
            }
        }
        self.file_row(&output)?;
        Ok(output)
    }

    /// A row of the plan, before any call of it.
    fn not_run(&self, id: &str) -> Result<RowOutput, Stop> {
        let row = self.planned(id)?;
        Ok(RowOutput {
            row: id.to_owned(),
            template: row.template.clone(),
            documented_at: row.place.to_string(),
            runs: Vec::new(),
            follow_ups: BTreeMap::new(),
        })
    }

    fn planned(&self, id: &str) -> Result<&VerifyRow, Stop> {
        self.plan()
            .rows
            .iter()
            .find(|row| row.id == id)
            .ok_or_else(|| Stop::Fault(format!("the plan has no Verify-ID {id}; its checks have nothing to rest on")))
    }

    /// The call of a row, with values for all that its template leaves open.
    fn resolved(&self, id: &str, own: &BTreeMap<String, String>) -> Result<Call, Stop> {
        let row = self.planned(id)?;
        let at_fault = |why: String| Stop::Fault(format!("{}: {id}: {why}", row.place));
        let template = command::parse(&row.template).map_err(|e| at_fault(e.to_string()))?;
        let bindings = self.bindings(&template.placeholders, own);
        command::resolve(&template, &bindings).map_err(|e| at_fault(e.to_string()))
    }

    /// Publishes a file as a row of the plan documents it: where the row's `aws s3 cp` would put it, by the one door,
    /// and once. `own` has values for what the row leaves open; the local file's name is bound by this call.
    ///
    /// # Errors
    /// As for [`Self::row`] and [`Self::publish`]; and when the row is no upload into the evidence bucket.
    pub fn publish_by_row(&mut self, id: &str, file: RowFile<'_>, own: &[(&str, &str)]) -> Result<Receipt, Stop> {
        let documented = self.documented_file(file.name);
        let mut bindings = Asked::with(own).own;
        for local in LOCAL_FILES {
            bindings.insert(local.to_owned(), documented.clone());
        }
        // A key that ends in an elision is continued by the file's name.
        bindings.entry("elision_1".to_owned()).or_insert_with(|| file.name.to_owned());
        let call = self.resolved(id, &bindings)?;
        let Command::S3Upload { bucket, key, .. } = &call.command else {
            return Err(Stop::Fault(format!("{id} is no upload: {}", call.paste_form())));
        };
        let evidence = self.evidence_bucket()?;
        if *bucket != evidence {
            return Err(Stop::Fault(format!("{id} publishes to s3://{bucket}, and evidence goes to s3://{evidence}")));
        }
        let receipt = self.publish(File {
            name: file.name,
            body: file.body,
            minimum_fields: file.minimum_fields,
            to: To::Key { key: key.clone(), group: file.group },
            documented: Some(documented),
        })?;
        let mut output = match self.books.observations.get(self.lane.id, id) {
            Some(_) => self.fact(id)?,
            None => self.not_run(id)?,
        };
        let uri = receipt.durable.as_ref().map_or_else(|| "-".to_owned(), |durable| durable.uri.clone());
        output.runs.push(RowRun::of(&call, Output::Uploaded { uri, sha256: receipt.sha256_local.clone() }));
        self.file_row(&output)?;
        Ok(receipt)
    }

    fn file_row(&mut self, output: &RowOutput) -> Result<(), Stop> {
        let source = output.runs.first().map_or_else(|| output.template.clone(), |run| run.call.clone());
        self.observe(&output.row, &source, output)
    }

    /// Values for placeholders: the row's own, the names that lanes bound, then handles.
    fn bindings(&self, placeholders: &[String], own: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        let mut bindings = self.names().clone();
        bindings.extend(self.lane_execution_ids().into_iter().map(|(lane, id)| (format!("{lane}_execution_id"), id)));
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

    /// Takes down a read that a row led to, and that was answered before the row was carried out.
    ///
    /// # Errors
    /// When the row was not carried out, or the value has no JSON form.
    pub fn follow_up_value(&mut self, row: &str, name: &str, call: &str, value: &impl Serialize) -> Result<(), Stop> {
        let json = serde_json::to_value(value).map_err(|e| Stop::Fault(e.to_string()))?;
        self.add_follow_up(row, name, call.to_owned(), json)
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
