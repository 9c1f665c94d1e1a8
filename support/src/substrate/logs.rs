//! Reading CloudWatch Logs.

use std::sync::Arc;

use aws_config::SdkConfig;
use serde::{Deserialize, Serialize};

use super::link::Link;
use super::reply::{CallError, Reply};
use super::s3::Listing;
use super::walk::Walk;

/// The most events that one listing has. Where there are more, it is not complete.
pub const EVENT_LIMIT: usize = 10_000;

/// A log group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogGroup {
    /// Its name.
    pub name: String,
    /// Its ARN.
    pub arn: String,
    /// For how many days events are kept; none where they are kept for ever.
    pub retention_days: Option<i32>,
}

/// Which events of a group are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogQuery<'a> {
    /// What a message must have, in the form of CloudWatch's filter patterns; anything without it.
    pub pattern: Option<&'a str>,
    /// The first second, since 1970.
    pub from_second: i64,
    /// The one stream; any without it.
    pub stream: Option<&'a str>,
}

/// One event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogEvent {
    /// Its stream.
    pub stream: String,
    /// When it was written, in milliseconds since 1970.
    pub at_millis: i64,
    /// What was written.
    pub message: String,
}

/// CloudWatch Logs, for reading.
#[derive(Debug)]
pub struct Logs {
    client: aws_sdk_cloudwatchlogs::Client,
    link: Arc<Link>,
}

impl Logs {
    pub(super) fn new(config: &SdkConfig, link: Arc<Link>) -> Self {
        Self { client: aws_sdk_cloudwatchlogs::Client::new(config), link }
    }

    /// The log groups whose names begin with `prefix`; every page is walked.
    ///
    /// # Errors
    /// `Malformed` when a page contradicts itself or the prefix; see
    /// [`CallErrorKind`](super::reply::CallErrorKind) for the others.
    pub fn log_groups(&self, prefix: &str) -> Result<Reply<Listing<LogGroup>>, CallError> {
        let mut walk = Walk::default();
        loop {
            let call = self.link.call("logs", "describe-log-groups", prefix);
            let request = self
                .client
                .describe_log_groups()
                // An empty prefix is refused, while none means all.
                .set_log_group_name_prefix((!prefix.is_empty()).then(|| prefix.to_owned()))
                .set_next_token(walk.token())
                .customize();
            let page = call.send(request.interceptor(call.probe()).send())?;
            for group in page.value.log_groups.unwrap_or_default() {
                let name = call.required("logGroupName", group.log_group_name)?;
                if !name.starts_with(prefix) {
                    return Err(call.malformed(format!("`{name}` came")));
                }
                let arn = call.required("arn", group.log_group_arn.or(group.arn))?;
                walk.push(LogGroup { name, arn, retention_days: group.retention_in_days });
            }
            if walk.is_over(&call, page.attempts, page.value.next_token)? {
                return Ok(walk.reply(&call));
            }
        }
    }

    /// The events of `group` that the query asks for, in the server's order. Every page is walked,
    /// up to [`EVENT_LIMIT`] events; a listing that ends there is not complete.
    ///
    /// # Errors
    /// `NotFound` when there is no such group; `Malformed` when a page contradicts itself or the
    /// query; see [`CallErrorKind`](super::reply::CallErrorKind) for the others.
    pub fn events(&self, group: &str, query: LogQuery<'_>) -> Result<Reply<Listing<LogEvent>>, CallError> {
        let from = query.from_second.saturating_mul(1000);
        let mut walk = Walk::default();
        loop {
            let call = self.link.call("logs", "filter-log-events", group);
            let request = self
                .client
                .filter_log_events()
                .log_group_name(group)
                .start_time(from)
                .set_filter_pattern(query.pattern.map(str::to_owned))
                .set_log_stream_names(query.stream.map(|stream| vec![stream.to_owned()]))
                .set_next_token(walk.token())
                .customize();
            let page = call.send(request.interceptor(call.probe()).send())?;
            let over = walk.is_over(&call, page.attempts, page.value.next_token)?;
            for event in page.value.events.unwrap_or_default() {
                let stream = call.required("logStreamName", event.log_stream_name)?;
                let at_millis = call.required("timestamp", event.timestamp)?;
                if at_millis < from || query.stream.is_some_and(|asked| stream != asked) {
                    return Err(call.malformed(format!("an event of `{stream}` at {at_millis} came")));
                }
                if walk.len() == EVENT_LIMIT {
                    return Ok(walk.cut_short(&call));
                }
                walk.push(LogEvent { stream, at_millis, message: event.message.unwrap_or_default() });
            }
            match over {
                true => return Ok(walk.reply(&call)),
                false if walk.len() == EVENT_LIMIT => return Ok(walk.cut_short(&call)),
                false => {}
            }
        }
    }
}
