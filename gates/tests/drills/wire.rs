//! Faults on the wire: an HTTP client under the SDK that sits before the embedded world.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::byte_stream::ByteStream;
use percent_encoding::percent_decode_str;
use regex::Regex;
use serde::Deserialize;

use super::edit::Edit;
use super::overlay::Overlay;

/// One fault: which requests it meets, and what becomes of them.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Fault {
    /// `s3`, `ecr`, `sts`.
    pub service: String,
    /// `PutObject`, `ListObjectsV2`.
    pub operation: String,
    /// A regular expression over `bucket/key` (lists: `bucket/prefix`).
    pub key: Option<String>,
    /// Only the nth such request, from 1; every one where it is left out. Retries count.
    pub nth: Option<usize>,
    /// An answer with this status instead of the world's.
    pub status: Option<u16>,
    /// The error code in that answer.
    pub code: Option<String>,
    /// The connection breaks.
    pub drop: bool,
    /// The request has its effect on the world before `status` or `drop`.
    pub after: bool,
    /// No answer ever comes.
    pub hang: bool,
    /// Only so many bytes of the body come.
    pub truncate: Option<usize>,
    /// The answer's body, changed.
    pub rewrite: Vec<Rewrite>,
    /// The answer's headers, set; taken out where the value is empty.
    pub headers: BTreeMap<String, String>,
    /// What happens elsewhere just before the request arrives.
    pub meanwhile: Meanwhile,
}

/// A change of an answer's body.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rewrite {
    /// A regular expression that must match.
    pub find: String,
    /// What stands in its place.
    pub replace: String,
}

/// What others do while the gate runs.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Meanwhile {
    /// Edits of the plan repository.
    pub edit: Vec<Edit>,
    /// A file that appears below the execution's folder.
    pub file: Option<String>,
    /// Rows that appear in the world.
    pub world: Option<Overlay>,
}

/// Carries out what others do.
pub type Others = Arc<dyn Fn(&Meanwhile) -> Result<(), String> + Send + Sync>;

struct Armed {
    fault: Fault,
    key: Option<Regex>,
    seen: AtomicUsize,
    fired: AtomicUsize,
}

/// The faults of one drill.
#[derive(Clone)]
pub struct Wire {
    armed: Arc<Vec<Armed>>,
    trouble: Arc<Mutex<Vec<String>>>,
    others: Others,
    inner: SharedHttpClient,
}

impl std::fmt::Debug for Wire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Wire({} faults)", self.armed.len())
    }
}

impl Wire {
    pub fn new(faults: &[Fault], inner: SharedHttpClient, others: Others) -> Result<Self, String> {
        let mut armed = Vec::new();
        for fault in faults {
            let key = fault.key.as_deref().map(Regex::new).transpose().map_err(|e| e.to_string())?;
            armed.push(Armed { fault: fault.clone(), key, seen: AtomicUsize::new(0), fired: AtomicUsize::new(0) });
        }
        Ok(Self { armed: Arc::new(armed), trouble: Arc::default(), others, inner })
    }

    pub fn client(&self) -> SharedHttpClient {
        SharedHttpClient::new(self.clone())
    }

    /// What went wrong with the faults themselves: one that met no request, one that could not be carried out.
    pub fn trouble(&self) -> Vec<String> {
        let mut trouble = self.trouble.lock().unwrap().clone();
        for armed in self.armed.iter() {
            if armed.fired.load(Ordering::SeqCst) == 0 {
                let seen = armed.seen.load(Ordering::SeqCst);
                trouble.push(format!("the fault on {} met no request ({seen} of its kind)", armed.fault.operation));
            }
        }
        trouble
    }

    /// The first fault for this request, counted.
    fn meets(&self, asked: &Asked) -> Option<Fault> {
        let mut met = None;
        for armed in self.armed.iter() {
            let fault = &armed.fault;
            let this = fault.service == asked.service
                && fault.operation == asked.operation
                && armed.key.as_ref().is_none_or(|key| key.is_match(&asked.subject));
            if !this {
                continue;
            }
            let number = armed.seen.fetch_add(1, Ordering::SeqCst) + 1;
            if fault.nth.is_none_or(|nth| nth == number) && met.is_none() {
                armed.fired.fetch_add(1, Ordering::SeqCst);
                met = Some(fault.clone());
            }
        }
        met
    }

    async fn answer(self, inner: SharedHttpConnector, request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
        let asked = Asked::of(&request);
        let Some(fault) = self.meets(&asked) else { return inner.call(request).await };
        self.elsewhere(&fault.meanwhile);
        if fault.hang {
            std::future::pending::<()>().await;
        }
        let replaced = fault.drop || fault.status.is_some();
        if replaced && fault.after {
            inner.call(request).await?;
        } else if !replaced {
            return self.changed(&fault, inner.call(request).await?).await;
        }
        if fault.drop {
            return Err(ConnectorError::io("the drill broke the connection".into()));
        }
        let status = fault.status.unwrap_or(500);
        Ok(error_answer(&asked, status, fault.code.as_deref().unwrap_or("InternalError")))
    }

    /// Others work on their own threads: the seeder waits for its calls, which this one may not.
    fn elsewhere(&self, meanwhile: &Meanwhile) {
        let (others, meanwhile) = (Arc::clone(&self.others), meanwhile.clone());
        let done = std::thread::spawn(move || others(&meanwhile)).join();
        if let Err(why) = done.unwrap_or_else(|_| Err("it panicked".to_owned())) {
            self.trouble.lock().unwrap().push(format!("what happens meanwhile: {why}"));
        }
    }

    async fn changed(&self, fault: &Fault, mut response: HttpResponse) -> Result<HttpResponse, ConnectorError> {
        let body = ByteStream::new(std::mem::replace(response.body_mut(), SdkBody::taken()))
            .collect()
            .await
            .map_err(|error| ConnectorError::other(error.into(), None))?
            .into_bytes();
        let mut bytes = body.to_vec();
        if !fault.rewrite.is_empty() {
            let mut text = String::from_utf8_lossy(&bytes).into_owned();
            for rewrite in &fault.rewrite {
                let find = Regex::new(&rewrite.find).unwrap();
                if !find.is_match(&text) {
                    self.trouble.lock().unwrap().push(format!("`{}` is not in the answer: {text}", rewrite.find));
                }
                text = find.replace_all(&text, rewrite.replace.as_str()).into_owned();
            }
            bytes = text.into_bytes();
            // A server that serves other bytes serves their length, and no checksum of the first ones.
            response.headers_mut().insert("content-length", bytes.len().to_string());
            response.headers_mut().remove("x-amz-checksum-sha256");
        }
        if let Some(most) = fault.truncate {
            bytes.truncate(most);
        }
        for (name, value) in &fault.headers {
            match value.as_str() {
                "" => drop(response.headers_mut().remove(name.as_str())),
                _ => drop(response.headers_mut().insert(name.clone(), value.clone())),
            }
        }
        *response.body_mut() = SdkBody::from(bytes);
        Ok(response)
    }
}

fn error_answer(asked: &Asked, status: u16, code: &str) -> HttpResponse {
    let body = match (asked.service.as_str(), status) {
        // An answer that says that all is well.
        (_, 200) => String::new(),
        ("s3", _) => format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>by a drill</Message></Error>"),
        ("sts", _) => format!(
            "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>by a drill</Message></Error></ErrorResponse>"
        ),
        _ => format!("{{\"__type\":\"{code}\",\"message\":\"by a drill\"}}"),
    };
    let body = if asked.operation.starts_with("Head") { String::new() } else { body };
    let mut response = HttpResponse::new(StatusCode::try_from(status).unwrap(), SdkBody::from(body));
    response.headers_mut().insert("x-amz-request-id", "DRILL");
    response
}

/// What a request asks.
#[derive(Debug)]
struct Asked {
    service: String,
    operation: String,
    subject: String,
}

impl Asked {
    fn of(request: &HttpRequest) -> Self {
        let service = request
            .headers()
            .get("authorization")
            .and_then(|signature| signature.split_once("Credential=")?.1.split(',').next()?.split('/').nth(3))
            .unwrap_or("-")
            .to_owned();
        if service == "s3" {
            return Self::of_s3(request, service);
        }
        let operation = match request.headers().get("x-amz-target").and_then(|target| target.rsplit('.').next()) {
            Some(operation) => operation.to_owned(),
            None if service == "sts" => "GetCallerIdentity".to_owned(),
            None => "-".to_owned(),
        };
        Self { service, operation, subject: String::new() }
    }

    fn of_s3(request: &HttpRequest, service: String) -> Self {
        let uri: http_uri::Parts<'_> = http_uri::parts(request.uri());
        let path = percent_decode_str(uri.path).decode_utf8_lossy().trim_start_matches('/').to_owned();
        let (bucket, key) = path.split_once('/').unwrap_or((path.as_str(), ""));
        let has = |name: &str| uri.query.split('&').any(|pair| pair.split('=').next() == Some(name));
        let operation = match (request.method(), key.is_empty()) {
            ("HEAD", true) => "HeadBucket",
            ("HEAD", false) => "HeadObject",
            ("PUT", false) => "PutObject",
            ("GET", false) => "GetObject",
            ("GET", true) if has("versioning") => "GetBucketVersioning",
            ("GET", true) if has("versions") => "ListObjectVersions",
            ("GET", true) => "ListObjectsV2",
            _ => "-",
        };
        let prefix = uri.query.split('&').find_map(|pair| pair.strip_prefix("prefix=")).unwrap_or("");
        let prefix = percent_decode_str(prefix).decode_utf8_lossy();
        let subject = if key.is_empty() { format!("{bucket}/{prefix}") } else { path.clone() };
        Self { service, operation: operation.to_owned(), subject }
    }
}

mod http_uri {
    /// Path and query of an absolute URI.
    pub struct Parts<'u> {
        pub path: &'u str,
        pub query: &'u str,
    }

    pub fn parts(uri: &str) -> Parts<'_> {
        let after = uri.split_once("://").map_or(uri, |(_, rest)| rest);
        let from_path = after.find('/').map_or("", |at| after.get(at..).unwrap_or(""));
        let (path, query) = from_path.split_once('?').unwrap_or((from_path, ""));
        Parts { path, query }
    }
}

#[derive(Debug)]
struct Leg {
    wire: Wire,
    inner: SharedHttpConnector,
}

impl HttpConnector for Leg {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        HttpConnectorFuture::new(self.wire.clone().answer(self.inner.clone(), request))
    }
}

impl HttpClient for Wire {
    fn http_connector(&self, settings: &HttpConnectorSettings, components: &RuntimeComponents) -> SharedHttpConnector {
        let inner = self.inner.http_connector(settings, components);
        SharedHttpConnector::new(Leg { wire: self.clone(), inner })
    }
}

/// The time that one call may take where a fault never answers, and otherwise.
pub fn call_limit(faults: &[Fault]) -> Option<Duration> {
    faults.iter().any(|fault| fault.hang).then_some(Duration::from_secs(3))
}
