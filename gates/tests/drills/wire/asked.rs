//! What a request asks: service, operation, and the thing that it is about.

use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use percent_encoding::percent_decode_str;
use serde_json::Value;

/// The token by which a fault names a next page that the world does not have.
pub const NEXT_PAGE: &str = "another-page";

/// What a request asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The service that the request is signed for: `s3`, `ecr`, `states`.
    pub service: String,
    /// `PutObject`, `ListStateMachines`; `-` where it cannot be told.
    pub operation: String,
    /// What it is about: `bucket/key` (lists: `bucket/prefix`), a repository, a role, an ARN; empty where nothing is named.
    pub subject: String,
    /// The SDK's id of the call: all attempts of one call have the same.
    pub invocation: String,
    /// It asks for the page that [`NEXT_PAGE`] names.
    pub follows: bool,
}

impl Asked {
    pub fn of(request: &HttpRequest) -> Self {
        let header = |name: &str| request.headers().get(name).unwrap_or_default();
        let service = header("authorization")
            .split_once("Credential=")
            .and_then(|(_, credential)| credential.split(',').next()?.split('/').nth(3))
            .unwrap_or("-");
        let body = String::from_utf8_lossy(request.body().bytes().unwrap_or_default()).into_owned();
        let (operation, subject) = match (service, header("x-amz-target").rsplit('.').next()) {
            ("s3", _) => of_s3(request),
            (_, Some(operation)) if !operation.is_empty() => (operation.to_owned(), of_json(&body)),
            _ => of_query(&body),
        };
        let follows = request.uri().contains(NEXT_PAGE) || (service != "s3" && body.contains(NEXT_PAGE));
        let invocation = header("amz-sdk-invocation-id").to_owned();
        Self { service: service.to_owned(), operation, subject, invocation, follows }
    }

    /// Service and operation as the AWS CLI names them: `s3api put-object`.
    pub fn command(&self) -> String {
        let service = match self.service.as_str() {
            "s3" => "s3api",
            "states" => "stepfunctions",
            other => other,
        };
        let mut words = String::new();
        let mut before_lower = false;
        for letter in self.operation.chars() {
            if letter.is_ascii_uppercase() && before_lower {
                words.push('-');
            }
            before_lower = !letter.is_ascii_uppercase();
            words.push(letter.to_ascii_lowercase());
        }
        format!("{service} {}", words.replace("objectsv2", "objects-v2"))
    }
}

fn of_s3(request: &HttpRequest) -> (String, String) {
    let after = request.uri().split_once("://").map_or(request.uri(), |(_, rest)| rest);
    let from_path = after.split_once('/').map_or("", |(_, path)| path);
    let (path, query) = from_path.split_once('?').unwrap_or((from_path, ""));
    let path = percent_decode_str(path).decode_utf8_lossy().into_owned();
    let (bucket, key) = path.split_once('/').unwrap_or((path.as_str(), ""));
    let has = |name: &str| query.split('&').any(|pair| pair.split('=').next() == Some(name));
    let operation = match (request.method(), key.is_empty()) {
        ("HEAD", true) => "HeadBucket",
        ("HEAD", false) => "HeadObject",
        ("PUT", false) => "PutObject",
        ("GET", false) => "GetObject",
        ("GET", true) if has("versioning") => "GetBucketVersioning",
        ("GET", true) if has("versions") => "ListObjectVersions",
        ("GET", true) if has("publicAccessBlock") => "GetPublicAccessBlock",
        ("GET", true) if has("encryption") => "GetBucketEncryption",
        ("GET", true) => "ListObjectsV2",
        _ => "-",
    };
    let prefix = query.split('&').find_map(|pair| pair.strip_prefix("prefix=")).unwrap_or("");
    let prefix = percent_decode_str(prefix).decode_utf8_lossy();
    let subject = if key.is_empty() { format!("{bucket}/{prefix}") } else { path.clone() };
    (operation.to_owned(), subject)
}

/// The JSON protocols: the operation is in the header, the name in the body.
fn of_json(body: &str) -> String {
    let body: Value = serde_json::from_str(body).unwrap_or_default();
    const NAMES: [&str; 6] = [
        "/repositoryName",
        "/repositoryNames/0",
        "/executionArn",
        "/stateMachineArn",
        "/ParameterFilters/0/Values/0",
        "/TimePeriod/Start",
    ];
    NAMES.iter().find_map(|name| body.pointer(name)?.as_str()).unwrap_or_default().to_owned()
}

/// The query protocol of IAM and STS: both are in the body.
fn of_query(body: &str) -> (String, String) {
    let value = |name: &str| {
        let encoded = body.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
        encoded.map(|encoded| percent_decode_str(encoded).decode_utf8_lossy().into_owned())
    };
    (value("Action").unwrap_or_else(|| "-".to_owned()), value("RoleName").unwrap_or_default())
}
