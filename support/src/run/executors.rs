//! The executors: one for each documented command that a row may have. They read; what a row uploads leaves by
//! the door (`rows.rs`).

use std::collections::BTreeMap;
use std::io;

use serde_json::Value;

use super::context::{LaneRun, World};
use super::lane::Stop;
use super::rows::{CanFind, FoundLine, Output};
use crate::command::{self, Call, Command, RipGrep, SearchError};
use crate::evidence::digest::sha256_hex;
use crate::registry::placeholder_in;
use crate::substrate::reply::{CallError, CallErrorKind, Reply};
use crate::substrate::{CostQuery, UnknownGranularity};

impl LaneRun<'_> {
    pub(super) fn call(&self, call: &Call, guards: Option<&str>) -> Result<Output, Unanswered> {
        match &call.command {
            Command::RipGrep(search) => self.search(search, guards),
            Command::TestPath { paths } => {
                let mut found = BTreeMap::new();
                for path in paths {
                    found.insert(path.clone(), self.has_document(path)?);
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
            Command::HeadObject { bucket, keys } => {
                let mut found = BTreeMap::new();
                for key in keys {
                    let there = match self.world()?.objects.head_object(bucket, key) {
                        Ok(_) => true,
                        Err(error) if error.kind == CallErrorKind::NotFound => false,
                        Err(error) => return Err(Unanswered::Call(Box::new(error))),
                    };
                    found.insert(key.clone(), there);
                }
                Ok(Output::Heads { bucket: bucket.clone(), keys: found })
            }
            Command::S3Read { bucket, key } => {
                let uri = format!("s3://{bucket}/{key}");
                or_absent(self.world()?.objects.get_object(bucket, key, None), &uri, |body| Output::Object {
                    uri: uri.clone(),
                    sha256: sha256_hex(&body.bytes),
                    bytes: body.bytes.len(),
                })
            }
            Command::TerraformOutput { chdir } => self.terraform_outputs(chdir),
            Command::ListStateMachines { region } => {
                let world = self.world()?;
                same_region(world, region.as_deref())?;
                or_absent(world.substrate.sfn().list_state_machines(), "state machines", |listing| {
                    Output::StateMachines { machines: listing.entries, complete: listing.complete }
                })
            }
            Command::DescribeStateMachine { arn, region } => {
                let world = self.world()?;
                same_region(world, region.as_deref())?;
                or_absent(world.substrate.sfn().describe_state_machine(arn), arn, |machine| Output::StateMachine {
                    machine,
                })
            }
            Command::ListExecutions { arn, status_filter, max_results, region } => {
                let world = self.world()?;
                same_region(world, region.as_deref())?;
                let page = max_results.and_then(|number| u16::try_from(number).ok());
                let reply = world.substrate.sfn().list_executions(arn, status_filter.as_deref(), page);
                or_absent(reply, arn, |listing| Output::Executions {
                    machine: arn.clone(),
                    status: status_filter.clone(),
                    executions: listing.entries,
                    complete: listing.complete,
                })
            }
            Command::GetCostAndUsage { window, granularity, metrics, region } => {
                let world = self.world()?;
                let granularity = granularity.parse().map_err(|e: UnknownGranularity| Stop::Fault(e.to_string()))?;
                let names: Vec<&str> = metrics.iter().map(String::as_str).collect();
                let query = CostQuery {
                    region: region.as_deref().unwrap_or_else(|| world.substrate.region()),
                    start: &window.start,
                    end: &window.end,
                    granularity,
                    metrics: &names,
                };
                or_absent(world.substrate.cost().get_cost_and_usage(&query), "costs", |listing| Output::Costs {
                    start: window.start.clone(),
                    end: window.end.clone(),
                    metrics: metrics.clone(),
                    periods: listing.entries,
                    complete: listing.complete,
                })
            }
            other => Err(Stop::Fault(format!("no row of this version carries out {other:?}")).into()),
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

    /// Whether a document is there: in the plan repository, or where this execution keeps the files of its lanes.
    fn has_document(&self, path: &str) -> Result<bool, Stop> {
        match self.kept_at(path) {
            Some(kept) => kept.try_exists().map_err(|e| Stop::Fault(format!("{}: {e}", kept.display()))),
            None => self.repository().has(path).map_err(|e| Stop::Fault(e.to_string())),
        }
    }

    /// The outputs of a stack, for a step that the plan writes as prose. A call without an answer is taken down as
    /// `name`.
    ///
    /// # Errors
    /// When a handle of the state does not resolve, or there was no usable answer.
    pub fn stack_outputs(&mut self, name: &str, stack: &str) -> Result<Output, Stop> {
        match self.terraform_outputs(stack) {
            Ok(output) => Ok(output),
            Err(Unanswered::Stop(stop)) => Err(stop),
            Err(Unanswered::Call(error)) => {
                let call = format!("aws s3 cp '{}' -", error.target);
                Err(self.unanswered(name, &call, *error))
            }
        }
    }

    /// What `terraform output -json` of a stack says, out of its state object: `TF_STATE_BUCKET`, and
    /// `TF_STATE_KEY_<STACK>` for the stack that the folder is named by.
    fn terraform_outputs(&self, chdir: &str) -> Result<Output, Unanswered> {
        let stack = chdir.trim_end_matches('/').rsplit('/').next().unwrap_or(chdir);
        let bucket = self.text("TF_STATE_BUCKET")?;
        let key = self.text(&format!("TF_STATE_KEY_{}", stack.to_ascii_uppercase()))?;
        let uri = format!("s3://{bucket}/{key}");
        let reply = match self.world()?.objects.get_object(&bucket, &key, None) {
            Ok(reply) => reply,
            Err(error) if error.kind == CallErrorKind::NotFound => return Ok(absent(&uri, &error)),
            Err(error) => return Err(Unanswered::Call(Box::new(error))),
        };
        let malformed = |why: String| {
            Unanswered::Call(Box::new(CallError {
                kind: CallErrorKind::Malformed,
                service: "s3api".to_owned(),
                operation: "get-object".to_owned(),
                target: uri.clone(),
                status: None,
                request_id: reply.request_id.clone(),
                message: why,
                attempts: reply.attempts,
            }))
        };
        let state: Value = serde_json::from_slice(&reply.value.bytes)
            .map_err(|e| malformed(format!("the Terraform state is no JSON: {e}")))?;
        let Some(stated) = state.get("outputs").and_then(Value::as_object) else {
            return Err(malformed("the Terraform state has no `outputs`".to_owned()));
        };
        let mut outputs = BTreeMap::new();
        let mut sensitive = Vec::new();
        for (name, output) in stated {
            match (output.get("sensitive").and_then(Value::as_bool), output.get("value")) {
                (Some(true), _) => sensitive.push(name.clone()),
                (_, Some(value)) => {
                    outputs.insert(name.clone(), value.clone());
                }
                (_, None) => return Err(malformed(format!("the output `{name}` has no value"))),
            }
        }
        Ok(Output::TerraformOutputs { state: uri.clone(), outputs, sensitive })
    }
}

/// Why a call of a row has no output.
pub(super) enum Unanswered {
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
        Err(error) if error.kind == CallErrorKind::NotFound => Ok(absent(what, &error)),
        Err(error) => Err(Unanswered::Call(Box::new(error))),
    }
}

/// What was not found, and by which call: a hold on it must say where to look.
fn absent(what: &str, error: &CallError) -> Output {
    Output::Absent { what: format!("{what} (asked by {} {})", error.service, error.operation) }
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
