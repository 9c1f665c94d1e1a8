//! CloudWatch Logs of the embedded world, for reading. What it tells of is in [`super::fleet`].

use serde_json::{Value, json};

use super::ecs::Place;
use super::fleet::{Fleet, Line};
use super::holes::paged;
use super::services::{Answer, only};

/// The operations that are answered here.
pub(super) const OPERATIONS: [&str; 2] = ["DescribeLogGroups", "FilterLogEvents"];

/// How many events a page has where the request does not say it.
const PAGE: u64 = 1000;

/// Answers one of [`OPERATIONS`].
pub(super) fn answer(fleet: &Fleet, place: &Place<'_>, operation: &str, asked: &Value) -> Answer {
    let answered = match operation {
        "DescribeLogGroups" => groups(fleet, place, asked),
        _ => events(fleet, asked),
    };
    answered.unwrap_or_else(|refused| refused)
}

fn invalid(message: &str) -> Answer {
    Answer::error(400, "InvalidParameterException", message)
}

fn groups(fleet: &Fleet, place: &Place<'_>, asked: &Value) -> Result<Answer, Answer> {
    only(asked, &["logGroupNamePrefix", "nextToken", "limit"])?;
    let prefix = asked["logGroupNamePrefix"].as_str().unwrap_or_default();
    let mut names: Vec<_> = fleet.declared.log_groups.iter().filter(|group| group.name.starts_with(prefix)).collect();
    names.sort_by(|one, other| one.name.cmp(&other.name));
    let groups: Vec<Value> = names
        .into_iter()
        .map(|group| {
            let arn = format!("arn:aws:logs:{}:{}:log-group:{}", place.region, place.account, group.name);
            let mut body = json!({"logGroupName": group.name, "arn": format!("{arn}:*"), "logGroupArn": arn});
            if let Some(days) = group.retention_days {
                body["retentionInDays"] = json!(days);
            }
            body
        })
        .collect();
    let answer = Answer { status: 200, body: json!({"logGroups": groups}) };
    Ok(paged(answer, asked, "logGroups", "limit", "nextToken"))
}

fn events(fleet: &Fleet, asked: &Value) -> Result<Answer, Answer> {
    let known = ["logGroupName", "logStreamNames", "startTime", "endTime", "filterPattern", "nextToken", "limit"];
    only(asked, &known)?;
    let group = asked["logGroupName"].as_str().unwrap_or_default();
    if !fleet.declared.log_groups.iter().any(|known| known.name == group) {
        return Err(Answer::error(400, "ResourceNotFoundException", "The specified log group does not exist."));
    }
    let pattern = Pattern::read(asked["filterPattern"].as_str().unwrap_or_default())?;
    let (from, to) = (asked["startTime"].as_i64().unwrap_or(0), asked["endTime"].as_i64().unwrap_or(i64::MAX));
    let streams: Option<Vec<&str>> =
        asked["logStreamNames"].as_array().map(|names| names.iter().filter_map(Value::as_str).collect());
    let is_there = |name: &&str| fleet.lines.iter().any(|line| line.group == group && line.stream == **name);
    if streams.iter().flatten().any(|name| !is_there(name)) {
        return Err(Answer::error(400, "ResourceNotFoundException", "The specified log stream does not exist."));
    }
    let wanted = |line: &Line| streams.as_ref().is_none_or(|names| names.contains(&line.stream.as_str()));
    let mut lines: Vec<(i64, &Line)> = fleet
        .lines
        .iter()
        .map(|line| (i64::try_from(line.at).unwrap_or(i64::MAX).saturating_mul(1000), line))
        .filter(|(at, line)| line.group == group && from <= *at && *at <= to && wanted(line))
        .filter(|(_, line)| pattern.matches(&line.message))
        .collect();
    lines.sort_by_key(|(at, _)| *at);
    let events: Vec<Value> = lines
        .into_iter()
        .enumerate()
        .map(|(number, (at, line))| {
            json!({
                "logStreamName": line.stream,
                "timestamp": at,
                "ingestionTime": at,
                "message": line.message,
                "eventId": format!("{number:056}"),
            })
        })
        .collect();
    let mut asked = asked.clone();
    if asked["limit"].is_null() {
        asked["limit"] = json!(PAGE);
    }
    let answer = Answer { status: 200, body: json!({"events": events, "searchedLogStreams": []}) };
    Ok(paged(answer, &asked, "events", "limit", "nextToken"))
}

/// A filter pattern of words and quoted phrases, all of which a message must contain.
#[derive(Debug)]
struct Pattern(Vec<String>);

impl Pattern {
    /// Reads a pattern; those of other forms are not answered.
    fn read(text: &str) -> Result<Self, Answer> {
        let mut terms = Vec::new();
        let mut rest = text.trim();
        while !rest.is_empty() {
            let (term, after) = match rest.strip_prefix('"') {
                Some(quoted) => quoted.split_once('"').ok_or_else(|| invalid("Invalid filter pattern"))?,
                None => {
                    let (word, after) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
                    plain_word(word)?;
                    (word, after)
                }
            };
            terms.push(term.to_owned());
            rest = after.trim_start();
        }
        Ok(Self(terms))
    }

    fn matches(&self, message: &str) -> bool {
        self.0.iter().all(|term| message.contains(term))
    }
}

/// A term of other characters than letters, digits and `_` must be quoted.
fn plain_word(word: &str) -> Result<(), Answer> {
    if word.starts_with(['{', '[', '%', '?', '-']) {
        let message = "the embedded world filters events by words and quoted phrases only";
        return Err(Answer::error(501, "NotImplementedException", message));
    }
    if word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return Ok(());
    }
    Err(invalid("Invalid filter pattern"))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::Pattern;

    #[rstest]
    #[case("", "anything", true)]
    #[case("ready", "is ready", true)]
    #[case("Ready", "is ready", false)]
    #[case("ready run", "run is ready", true)]
    #[case("ready gone", "run is ready", false)]
    #[case("\"ready run=1\"", "ready run=1", true)]
    #[case("\"ready run=1\"", "run=1 ready", false)]
    #[case("\"run=1\" \"is up\"", "it is up with run=1", true)]
    fn words_and_phrases_are_all_looked_for(#[case] pattern: &str, #[case] message: &str, #[case] matches: bool) {
        assert_eq!(Pattern::read(pattern).unwrap().matches(message), matches);
    }

    #[rstest]
    #[case("run=1", 400)]
    #[case("\"run", 400)]
    #[case("{ $.run = 1 }", 501)]
    #[case("?ready ?up", 501)]
    #[case("-debug", 501)]
    fn a_pattern_that_is_not_understood_matches_nothing(#[case] pattern: &str, #[case] status: u16) {
        assert_eq!(Pattern::read(pattern).unwrap_err().status, status);
    }
}
