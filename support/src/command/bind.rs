//! Binding values to a template's placeholders and elisions.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::template::{Kind, Template, TemplateError, is_elision, placeholders_in};
use super::typed::{Command, CostWindow, RipGrep, bad_value, outside_repository};
use crate::registry::{placeholder_in, unsafe_anywhere, unsafe_in_path_segment};

/// A command that can be carried out, with all that a receipt has to say about how it came about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// The cell as the plan writes it.
    pub template: String,
    /// The command, without placeholders.
    pub command: Command,
    /// Every placeholder of the template with the value that was put in its place.
    pub bindings: BTreeMap<String, String>,
    /// What the lane supplied where the plan leaves something out.
    pub supplied: Vec<Supplied>,
}

/// A value that the lane supplied for an elision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Supplied {
    /// The elision's name, `elision_1` and so on.
    pub name: String,
    /// How the plan writes it.
    pub written: String,
    /// The value.
    pub value: String,
}

/// Where a text of the command stands, and so what may be put into it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// A document of the plan repository.
    Document,
    /// A file anywhere on this machine.
    LocalFile,
    /// A bucket.
    Bucket,
    /// A key or a prefix.
    Key,
    /// A regular expression, in which the value is taken literally.
    Pattern,
    /// A region, ARN, name, day.
    Word,
}

pub(super) fn call(template: &Template, bindings: &BTreeMap<String, String>) -> Result<Call, TemplateError> {
    let Kind::Command(command) = &template.kind else {
        return Err(TemplateError::Prose);
    };
    let mut binder = Binder { template, bindings, used: BTreeMap::new(), elided: BTreeSet::new() };
    let command = binder.command(command)?;
    let supplied = template
        .elisions
        .iter()
        .map(|elision| match bindings.get(&elision.name) {
            Some(value) if binder.elided.contains(&elision.name) => {
                Ok(Supplied { name: elision.name.clone(), written: elision.written.clone(), value: value.clone() })
            }
            _ => Err(binder.unknown(&elision.name)),
        })
        .collect::<Result<_, _>>()?;
    Ok(Call { template: template.raw.clone(), command, bindings: binder.used, supplied })
}

struct Binder<'call> {
    template: &'call Template,
    bindings: &'call BTreeMap<String, String>,
    used: BTreeMap<String, String>,
    elided: BTreeSet<String>,
}

impl<'call> Binder<'call> {
    fn command(&mut self, command: &Command) -> Result<Command, TemplateError> {
        Ok(match command {
            Command::RipGrep(search) => Command::RipGrep(self.search(search)?),
            Command::TestPath { paths } => Command::TestPath { paths: self.all(paths, Place::Document)? },
            Command::GetContent { path } => Command::GetContent { path: self.fill(path, Place::Document)? },
            Command::TerraformOutput { chdir } => {
                Command::TerraformOutput { chdir: self.fill(chdir, Place::Document)? }
            }
            Command::HeadBucket { bucket } => Command::HeadBucket { bucket: self.fill(bucket, Place::Bucket)? },
            Command::ListObjectsV2 { bucket, prefix, max_keys } => Command::ListObjectsV2 {
                bucket: self.fill(bucket, Place::Bucket)?,
                prefix: self.fill(prefix, Place::Key)?,
                max_keys: *max_keys,
            },
            Command::HeadObject { bucket, keys } => {
                Command::HeadObject { bucket: self.fill(bucket, Place::Bucket)?, keys: self.all(keys, Place::Key)? }
            }
            Command::S3List { bucket, prefix } => {
                let (bucket, prefix) = self.address(bucket, prefix)?;
                Command::S3List { bucket, prefix }
            }
            Command::S3Read { bucket, key } => {
                let (bucket, key) = self.address(bucket, key)?;
                if key.ends_with('/') {
                    return Err(bad_value("aws s3 cp", "the source", "it names a folder, not an object"));
                }
                Command::S3Read { bucket, key }
            }
            Command::S3Upload { local, bucket, key } => self.upload(local, bucket, key)?,
            Command::DescribeRepositories { .. }
            | Command::ListStateMachines { .. }
            | Command::DescribeStateMachine { .. }
            | Command::ListExecutions { .. }
            | Command::GetCostAndUsage { .. } => self.control_plane(command)?,
        })
    }

    fn control_plane(&mut self, command: &Command) -> Result<Command, TemplateError> {
        Ok(match command {
            Command::DescribeRepositories { names, region } => Command::DescribeRepositories {
                names: self.all(names, Place::Word)?,
                region: self.optional(region.as_deref())?,
            },
            Command::ListStateMachines { region } => {
                Command::ListStateMachines { region: self.optional(region.as_deref())? }
            }
            Command::DescribeStateMachine { arn, region } => Command::DescribeStateMachine {
                arn: self.fill(arn, Place::Word)?,
                region: self.optional(region.as_deref())?,
            },
            Command::ListExecutions { arn, status_filter, max_results, region } => Command::ListExecutions {
                arn: self.fill(arn, Place::Word)?,
                status_filter: self.optional(status_filter.as_deref())?,
                max_results: *max_results,
                region: self.optional(region.as_deref())?,
            },
            Command::GetCostAndUsage { window, granularity, metrics, region } => Command::GetCostAndUsage {
                window: self.window(window)?,
                granularity: self.fill(granularity, Place::Word)?,
                metrics: self.all(metrics, Place::Word)?,
                region: self.optional(region.as_deref())?,
            },
            other => other.clone(),
        })
    }

    fn search(&mut self, search: &RipGrep) -> Result<RipGrep, TemplateError> {
        let pattern = self.fill(&search.pattern, Place::Pattern)?;
        let paths = self.all(&search.paths, Place::Document)?;
        RipGrep { paths, ..search.clone() }.with_pattern(pattern)
    }

    fn window(&mut self, window: &CostWindow) -> Result<CostWindow, TemplateError> {
        let filled =
            CostWindow { start: self.fill(&window.start, Place::Word)?, end: self.fill(&window.end, Place::Word)? };
        let refused = |reason: &str| bad_value("aws ce get-cost-and-usage", "--time-period", reason);
        let day = |text: &str| text.parse::<Date>().map_err(|_| refused("its days must be written YYYY-MM-DD"));
        if day(&filled.start)? >= day(&filled.end)? {
            return Err(refused("its end must be later than its start"));
        }
        Ok(filled)
    }

    fn upload(&mut self, local: &str, bucket: &str, key: &str) -> Result<Command, TemplateError> {
        let local = self.fill(local, Place::LocalFile)?;
        let (bucket, mut key) = self.address(bucket, key)?;
        if key.ends_with('/') {
            let name = local.rsplit('/').next().filter(|name| !name.is_empty());
            let name = name.ok_or_else(|| bad_value("aws s3 cp", "the source", "it names a folder, not a file"))?;
            key.push_str(name);
        }
        Ok(Command::S3Upload { local, bucket, key })
    }

    /// Bucket and key of an `s3://` address. An elision in the bucket's place may stand for the bucket and the
    /// beginning of the key.
    fn address(&mut self, bucket: &str, key: &str) -> Result<(String, String), TemplateError> {
        let key = self.fill(key, Place::Key)?;
        if !is_one_elision(bucket) {
            return Ok((self.fill(bucket, Place::Bucket)?, key));
        }
        let elided = self.fill(bucket, Place::Key)?;
        let (bucket, key) = match elided.split_once('/') {
            Some((bucket, start)) => (bucket.to_owned(), format!("{}/{key}", start.trim_end_matches('/'))),
            None => (elided, key),
        };
        whole_text(&bucket, Place::Bucket)?;
        whole_text(&key, Place::Key)?;
        Ok((bucket, key))
    }

    fn optional(&mut self, text: Option<&str>) -> Result<Option<String>, TemplateError> {
        text.map(|text| self.fill(text, Place::Word)).transpose()
    }

    fn all(&mut self, texts: &[String], place: Place) -> Result<Vec<String>, TemplateError> {
        texts.iter().map(|text| self.fill(text, place)).collect()
    }

    /// `text` with every placeholder in it replaced.
    fn fill(&mut self, text: &str, place: Place) -> Result<String, TemplateError> {
        let mut filled = String::with_capacity(text.len());
        let mut from = 0;
        for (range, name) in placeholders_in(text) {
            filled.push_str(text.get(from..range.start).unwrap_or(""));
            let value = self.value(&name)?;
            let alone = range.len() == text.len();
            if let Some(reason) = unfit(value, place, alone || is_elision(&name)) {
                return Err(TemplateError::RefusedValue { name, reason: reason.to_owned() });
            }
            if place == Place::Pattern {
                filled.push_str(&regex::escape(value));
            } else {
                filled.push_str(value);
            }
            from = range.end;
        }
        filled.push_str(text.get(from..).unwrap_or(""));
        whole_text(&filled, place)?;
        Ok(filled)
    }

    fn value(&mut self, name: &str) -> Result<&'call str, TemplateError> {
        let bindings = self.bindings;
        if is_elision(name) {
            if !self.template.elisions.iter().any(|elision| elision.name == name) {
                return Err(self.unknown(name));
            }
            let value = bindings.get(name).ok_or_else(|| self.unknown(name))?;
            self.elided.insert(name.to_owned());
            return Ok(value);
        }
        let execution_id = || Some(format!("{}_execution_id", name.strip_suffix("_id")?));
        let value = bindings.get(name).or_else(|| bindings.get(&execution_id()?)).ok_or_else(|| self.unknown(name))?;
        self.used.insert(name.to_owned(), value.clone());
        Ok(value)
    }

    fn unknown(&self, name: &str) -> TemplateError {
        TemplateError::UnknownPlaceholder { name: name.to_owned(), template: self.template.raw.clone() }
    }
}

fn is_one_elision(text: &str) -> bool {
    text.strip_prefix('<').and_then(|rest| rest.strip_suffix('>')).is_some_and(is_elision)
}

/// Why `value` may not stand in `place`. `free` is a value that is a whole operand, or an elision: it may hold slashes.
fn unfit(value: &str, place: Place, free: bool) -> Option<&'static str> {
    if let Some(reason) = unsafe_anywhere(value) {
        return Some(reason);
    }
    if placeholder_in(value).is_some() || value.contains(['<', '>']) {
        return Some("it is itself a placeholder");
    }
    match place {
        Place::Pattern => None,
        Place::Word => value.contains(|character: char| character.is_whitespace()).then_some("it holds white space"),
        Place::Document | Place::LocalFile | Place::Bucket | Place::Key if free => None,
        Place::Document | Place::LocalFile | Place::Bucket | Place::Key => unsafe_in_path_segment(value),
    }
}

/// Refuses a filled text that may not stand in `place`.
fn whole_text(text: &str, place: Place) -> Result<(), TemplateError> {
    let steps_out = || text.split('/').any(|step| matches!(step, "." | ".."));
    let reason = match place {
        Place::Document => outside_repository(text),
        Place::LocalFile if steps_out() => Some("it holds a step to another folder"),
        Place::Bucket if !is_bucket_name(text) => Some("it is no bucket's name"),
        Place::Key if text.starts_with('/') || text.contains("//") || steps_out() => {
            Some("it holds an empty step or one to another folder")
        }
        Place::Pattern => None,
        _ if text.is_empty() && place != Place::Key => Some("it is empty"),
        _ if text.starts_with('-') => Some("it begins with a dash, as flags do"),
        _ => None,
    };
    match reason {
        Some(reason) => Err(TemplateError::RefusedValue { name: text.to_owned(), reason: reason.to_owned() }),
        None => Ok(()),
    }
}

/// Whether S3 would take `text` for a bucket's name: 3 to 63 of lower-case letters, digits, dots and dashes.
fn is_bucket_name(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'-');
    let edge = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    (3..=63).contains(&text.len())
        && text.bytes().all(inner)
        && edge(text.bytes().next())
        && edge(text.bytes().next_back())
        && !text.contains("..")
}
