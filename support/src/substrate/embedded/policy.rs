//! What identity policies decide, as far as it can be said for certain. `iam-rs` evaluates; what it would have to guess,
//! or would answer in another way than AWS, is found here first and has no answer.
//!
//! | what | `iam-rs` | here |
//! | --- | --- | --- |
//! | a condition | takes a missing key for one that the request will never have | no answer, unless none hangs on it |
//! | a variable in a resource | is empty without context, also in a policy of 2008, where it is plain text | the same |
//! | a `*` that could reach over a colon | stays within its part of the ARN; AWS's does not have to | the same |
//! | an ARN pattern of less than six parts | is an error | the same |
//! | a `*` in the ARN that is asked about | is taken for the pattern's own | no answer |
//! | an unknown key of a statement | is passed over | refused where the policy is written |

use iam_rs::{Arn, Decision, EvaluationOptions, IAMPolicy, IAMRequest, PolicyEvaluator, Principal, PrincipalId};
use serde_json::{Map, Value, json};

use crate::substrate::policy_document::plain_document;

/// A policy, and how IAM names it as the source of a statement.
pub(super) struct Source {
    pub id: String,
    pub kind: &'static str,
    pub document: Value,
}

/// What is asked.
pub(super) struct Question<'a> {
    pub principal: &'a str,
    pub action: &'a str,
    pub resource: &'a str,
}

/// What is decided, and by which policies.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Ruling<'a> {
    pub word: &'static str,
    pub matched: Vec<(&'a str, &'static str)>,
    /// Context keys that statements ask for on which nothing hung in the end.
    pub missing_context: Vec<String>,
    /// Whether the permissions boundary lets it through, where there is one.
    pub within_boundary: Option<bool>,
}

const ALLOWED: &str = "allowed";
const EXPLICIT_DENY: &str = "explicitDeny";
const IMPLICIT_DENY: &str = "implicitDeny";

/// Decides, or says why it cannot be said.
pub(super) fn decide<'a>(
    policies: &'a [Source],
    boundary: Option<&'a Source>,
    question: &Question<'_>,
) -> Result<Ruling<'a>, String> {
    let own = Tally::of(policies, question)?;
    let bounds = boundary.map(|boundary| Tally::of(std::slice::from_ref(boundary), question)).transpose()?;
    let groups = || std::iter::once(&own).chain(&bounds);
    let denied: Vec<_> = groups().flat_map(|tally| tally.deny.iter().copied()).collect();
    let within_boundary = bounds.as_ref().map(|tally| tally.deny.is_empty() && !tally.allow.is_empty());
    let (word, matched) = if denied.is_empty() {
        if let Some(why) = groups().find_map(Tally::open) {
            return Err(why.clone());
        }
        let allowed = within_boundary != Some(false) && !own.allow.is_empty();
        if allowed { (ALLOWED, own.allow.clone()) } else { (IMPLICIT_DENY, Vec::new()) }
    } else {
        (EXPLICIT_DENY, denied)
    };
    let missing_context = groups().flat_map(|tally| tally.missing.iter().cloned()).collect();
    Ok(Ruling { word, matched, missing_context, within_boundary })
}

/// What the statements of some policies come to.
#[derive(Default)]
struct Tally<'a> {
    allow: Vec<(&'a str, &'static str)>,
    deny: Vec<(&'a str, &'static str)>,
    /// Why it is not known whether a statement allows, or denies.
    may_allow: Option<String>,
    may_deny: Option<String>,
    missing: Vec<String>,
}

impl<'a> Tally<'a> {
    fn of(policies: &'a [Source], question: &Question<'_>) -> Result<Self, String> {
        let mut tally = Self::default();
        for source in policies {
            for statement in statements(&source.document) {
                tally.count(source, statement, question)?;
            }
        }
        Ok(tally)
    }

    fn count(&mut self, source: &'a Source, statement: &Value, question: &Question<'_>) -> Result<(), String> {
        let unclear = unclear_resource(statement, question.resource);
        if !reaches(statement, question, unclear.is_some())? {
            return Ok(());
        }
        let conditions = condition_keys(statement);
        let denies = statement["Effect"] == "Deny";
        let doubt = unclear.or_else(|| {
            (!conditions.is_empty()).then(|| format!("a condition asks for context: {}", conditions.join(", ")))
        });
        self.missing.extend(conditions);
        match doubt {
            Some(why) => {
                let slot = if denies { &mut self.may_deny } else { &mut self.may_allow };
                slot.get_or_insert(format!("a statement of `{}`: {why}", source.id));
            }
            None if denies => self.deny.push((&source.id, source.kind)),
            None => self.allow.push((&source.id, source.kind)),
        }
        Ok(())
    }

    /// Why the decision hangs on something that is not known, where no statement denies for certain.
    fn open(&self) -> Option<&String> {
        self.may_deny.as_ref().or(self.may_allow.as_ref().filter(|_| self.allow.is_empty()))
    }
}

/// Whether a statement is about the question, its conditions apart, and its resources too where they are unclear.
fn reaches(statement: &Value, question: &Question<'_>, any_resource: bool) -> Result<bool, String> {
    let mut bare = statement.clone();
    if let Some(fields) = bare.as_object_mut() {
        fields.remove("Condition");
    }
    let policy = json!({"Version": "2012-10-17", "Statement": [bare]});
    let policy: IAMPolicy = serde_json::from_value(policy).map_err(|error| error.to_string())?;
    let principal = Principal::Aws(PrincipalId::String(question.principal.to_owned()));
    let resource = Arn::parse(question.resource).map_err(|error| error.to_string())?;
    let options = EvaluationOptions { ignore_resource_constraints: any_resource, ..EvaluationOptions::default() };
    PolicyEvaluator::with_policies(vec![policy])
        .with_options(options)
        .evaluate(&IAMRequest::new(principal, question.action, resource))
        .map(|result| result.decision != Decision::NotApplicable)
        .map_err(|error| error.to_string())
}

/// Why it cannot be said whether the resources of a statement have `resource` among them.
fn unclear_resource(statement: &Value, resource: &str) -> Option<String> {
    let patterns = texts(&statement["Resource"]).chain(texts(&statement["NotResource"]));
    patterns.filter(|pattern| *pattern != "*").find_map(|pattern| {
        let told = |why: &str| Some(format!("resource `{pattern}` {why}"));
        if pattern.contains("${") {
            return told("has a variable");
        }
        let (Ok(parts), Ok(asked)) = (Arn::parse(pattern), Arn::parse(resource)) else {
            return told("has less than six parts");
        };
        if parts.service.contains(['*', '?']) {
            return told("has a wildcard in its service");
        }
        match asked.matches(pattern) {
            Ok(by_part) if by_part == Arn::wildcard_match(resource, pattern) => None,
            _ => told("could reach over a colon"),
        }
    })
}

fn condition_keys(statement: &Value) -> Vec<String> {
    let operators = statement["Condition"].as_object().into_iter().flat_map(Map::values);
    let mut keys: Vec<String> = operators.filter_map(Value::as_object).flat_map(Map::keys).cloned().collect();
    keys.sort();
    keys.dedup();
    keys
}

fn statements(document: &Value) -> &[Value] {
    one_or_many(&document["Statement"])
}

fn one_or_many(value: &Value) -> &[Value] {
    match value {
        Value::Array(items) => items,
        Value::Null => &[],
        one => std::slice::from_ref(one),
    }
}

fn texts(value: &Value) -> impl Iterator<Item = &str> {
    one_or_many(value).iter().filter_map(Value::as_str)
}

/// Reads an identity policy as strictly as IAM's grammar has it.
pub(super) fn identity_policy(text: &str) -> Result<Value, String> {
    let document = plain_document(text).map_err(|error| error.to_string())?;
    only_keys(&document, &["Version", "Statement"])?;
    let version = &document["Version"];
    if !version.is_null() && version != "2012-10-17" && version != "2008-10-17" {
        return Err("Version is neither 2012-10-17 nor 2008-10-17".to_owned());
    }
    if statements(&document).is_empty() {
        return Err("there is no Statement".to_owned());
    }
    let mut names = Vec::new();
    for statement in statements(&document) {
        check_statement(statement)?;
        let name = &statement["Sid"];
        if !name.is_null() && names.contains(&name) {
            return Err(format!("Sid {name} is there twice"));
        }
        names.push(name);
    }
    Ok(document)
}

fn check_statement(statement: &Value) -> Result<(), String> {
    let keys = ["Sid", "Effect", "Action", "NotAction", "Resource", "NotResource", "Condition"];
    only_keys(statement, &keys)?;
    let sid = &statement["Sid"];
    let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if !(sid.is_null() || sid.as_str().is_some_and(plain)) {
        return Err(format!("Sid {sid} has other characters than letters and digits"));
    }
    if statement["Effect"] != "Allow" && statement["Effect"] != "Deny" {
        return Err("Effect is neither Allow nor Deny".to_owned());
    }
    check_list(statement, "Action", "NotAction", is_action)?;
    check_list(statement, "Resource", "NotResource", |text| text == "*" || text.starts_with("arn:"))?;
    let condition = &statement["Condition"];
    let block = |value: &Value| value.as_object().is_some_and(|block| block.values().all(is_condition_value));
    let right = condition.as_object().is_some_and(|operators| operators.values().all(block));
    if condition.is_null() || right { Ok(()) } else { Err("Condition is no map of maps of values".to_owned()) }
}

fn only_keys(value: &Value, keys: &[&str]) -> Result<(), String> {
    let Some(fields) = value.as_object() else {
        return Err(format!("an object with {} is wanted", keys.join(", ")));
    };
    match fields.iter().find(|(key, value)| !keys.contains(&key.as_str()) || value.is_null()) {
        Some((key, _)) => Err(format!("{key} cannot stand there, or has no value")),
        None => Ok(()),
    }
}

/// One of two keys, with a text or some texts.
fn check_list(statement: &Value, key: &str, not_key: &str, right: impl Fn(&str) -> bool) -> Result<(), String> {
    let value = match (&statement[key], &statement[not_key]) {
        (value, Value::Null) | (Value::Null, value) => value,
        _ => return Err(format!("a statement has {key} or {not_key}, not both")),
    };
    let items = one_or_many(value);
    if items.is_empty() {
        return Err(format!("a statement has {key} or {not_key}, and it is not empty"));
    }
    match items.iter().find(|item| !item.as_str().is_some_and(&right)) {
        Some(item) => Err(format!("{item} cannot be a value of {key}")),
        None => Ok(()),
    }
}

/// `*`, or a service and a name; a wildcard may stand in the name only, or for all of both.
fn is_action(text: &str) -> bool {
    let name = |byte: u8| byte.is_ascii_alphanumeric() || b"*?".contains(&byte);
    match text.split_once(':') {
        None => text == "*",
        Some((service, action)) => {
            (service == "*" && action == "*" || is_service(service)) && !action.is_empty() && action.bytes().all(name)
        }
    }
}

fn is_service(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// Whether a simulation can be about it: an action without a wildcard.
pub(super) fn is_plain_action(text: &str) -> bool {
    is_action(text) && !text.contains(['*', '?'])
}

/// Whether a simulation can be about it: the ARN of one thing, with six parts.
pub(super) fn is_plain_arn(text: &str) -> bool {
    !text.contains(['*', '?', '$']) && Arn::parse(text).is_ok_and(|arn| arn.is_valid())
}

fn is_condition_value(value: &Value) -> bool {
    let plain = |value: &Value| value.is_string() || value.is_number() || value.is_boolean();
    let items = one_or_many(value);
    !items.is_empty() && items.iter().all(plain)
}

#[cfg(test)]
#[path = "policy_tests.rs"]
mod tests;
