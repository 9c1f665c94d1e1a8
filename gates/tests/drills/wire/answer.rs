//! Answers that the world did not give, or not so.

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::body::SdkBody;
use regex::Regex;
use serde_json::Value;

use super::asked::{Asked, NEXT_PAGE};
use super::fault::Page;

/// What the body of an answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    Empty,
    Xml,
    Json,
    /// An object's own bytes.
    Object,
}

impl Body {
    pub fn of(asked: &Asked, status: u16, bytes: &[u8]) -> Self {
        let begins = |mark: &[u8]| bytes.trim_ascii_start().starts_with(mark);
        if bytes.is_empty() {
            Self::Empty
        } else if asked.operation == "GetObject" && status < 300 {
            Self::Object
        } else if begins(b"<") {
            Self::Xml
        } else if begins(b"{") {
            Self::Json
        } else {
            Self::Object
        }
    }

    /// A document of this kind that is never closed.
    pub fn malformed(self) -> Option<&'static str> {
        match self {
            Self::Xml => Some("<?xml version=\"1.0\"?><Answer><Part>"),
            Self::Json => Some("{\"answer\": ["),
            Self::Empty | Self::Object => None,
        }
    }
}

/// The code that AWS gives such an answer.
pub fn code_of(asked: &Asked, status: u16) -> &'static str {
    match (asked.service.as_str(), asked.operation.as_str(), status) {
        ("s3", _, 400) => "InvalidRequest",
        ("s3", "GetObject" | "HeadObject", 404) => "NoSuchKey",
        ("s3", _, 404) => "NoSuchBucket",
        ("s3", "PutObject", 409) => "ConditionalRequestConflict",
        ("s3", _, 409) => "OperationAborted",
        ("s3", _, 503) => "SlowDown",
        ("s3" | "sts" | "iam", _, 403) => "AccessDenied",
        (_, _, 403) => "AccessDeniedException",
        ("ecr", "DescribeRepositories", 404) => "RepositoryNotFoundException",
        ("ecr", _, 404) => "ImageNotFoundException",
        ("iam", _, 404) => "NoSuchEntity",
        ("ssm", _, 404) => "ParameterNotFound",
        ("states", "DescribeExecution", 404) => "ExecutionDoesNotExist",
        ("states", _, 404) => "StateMachineDoesNotExist",
        (_, _, 400) => "ValidationException",
        (_, _, 404) => "ResourceNotFoundException",
        (_, _, 409) => "ConflictException",
        (_, _, 412) => "PreconditionFailed",
        (_, _, 503) => "ServiceUnavailable",
        _ => "InternalError",
    }
}

/// An answer that is an error, in the form of the service; with 200, one that says that all is well.
pub fn error(asked: &Asked, status: u16, code: &str) -> HttpResponse {
    let body = match (asked.service.as_str(), status) {
        (_, 200) => String::new(),
        ("s3", _) => format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>by a drill</Message></Error>"),
        ("sts" | "iam", _) => format!(
            "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>by a drill</Message></Error></ErrorResponse>"
        ),
        _ => format!("{{\"__type\":\"{code}\",\"message\":\"by a drill\"}}"),
    };
    let body = if asked.operation.starts_with("Head") { String::new() } else { body };
    let mut response = HttpResponse::new(StatusCode::try_from(status).unwrap(), SdkBody::from(body));
    response.headers_mut().insert("x-amz-request-id", "DRILL");
    response
}

/// A list, as `page` says; none where this is no such list.
pub fn paged(asked: &Asked, page: Page, body: &str) -> Option<String> {
    match page {
        Page::Unnamed => truncated(body),
        Page::Loop | Page::Broken => match body.trim_start().starts_with('{') {
            true => names_next_in_json(asked, body),
            false => names_next_in_xml(&truncated(body)?),
        },
        Page::Miscounted => miscounted(body),
    }
}

/// The calls that ask for a list, and walk its pages.
pub fn is_list(asked: &Asked) -> bool {
    matches!(
        asked.operation.as_str(),
        "ListObjectsV2" | "ListObjectVersions" | "ListStateMachines" | "ListExecutions" | "GetCostAndUsage"
    )
}

fn truncated(body: &str) -> Option<String> {
    const LAST: &str = "<IsTruncated>false</IsTruncated>";
    body.contains(LAST).then(|| body.replace(LAST, "<IsTruncated>true</IsTruncated>"))
}

fn names_next_in_xml(body: &str) -> Option<String> {
    let next = match body.contains("</ListVersionsResult>") {
        true => format!("<NextKeyMarker>{NEXT_PAGE}</NextKeyMarker><NextVersionIdMarker>1</NextVersionIdMarker>"),
        false => format!("<NextContinuationToken>{NEXT_PAGE}</NextContinuationToken>"),
    };
    let (before, root) = body.rsplit_once("</")?;
    Some(format!("{before}{next}</{root}"))
}

fn names_next_in_json(asked: &Asked, body: &str) -> Option<String> {
    let field = match asked.service.as_str() {
        "states" => "nextToken",
        "ce" => "NextPageToken",
        _ => return None,
    };
    let mut list: Value = serde_json::from_str(body).ok()?;
    list.as_object_mut()?.insert(field.to_owned(), NEXT_PAGE.into());
    Some(list.to_string())
}

/// Without its last entry; a list of none counts one more.
fn miscounted(body: &str) -> Option<String> {
    let counted = Regex::new("<KeyCount>([0-9]+)</KeyCount>").unwrap();
    let count: usize = counted.captures(body)?[1].parse().ok()?;
    if count == 0 {
        return Some(body.replace("<KeyCount>0</KeyCount>", "<KeyCount>1</KeyCount>"));
    }
    let last = body.rfind("<Contents>")?;
    let (before, from) = body.split_at(last);
    Some(format!("{before}{}", from.split_once("</Contents>")?.1))
}
