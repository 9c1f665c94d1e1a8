//! Faults on the wire: an HTTP client under the SDK that sits before the embedded world, and keeps a log of every call.

pub mod answer;
mod asked;
mod fault;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::byte_stream::ByteStream;
use regex::Regex;
use support::substrate::ObjectBody;

use answer::Body;
pub use asked::Asked;
pub use fault::{Fault, Meanwhile, Page, call_limit};

/// Carries out what others do, and finds another object than the one of this bucket and key.
pub trait Others: Send + Sync {
    fn act(&self, meanwhile: &Meanwhile) -> Result<(), String>;
    fn another(&self, bucket: &str, key: &str) -> Result<ObjectBody, String>;
}

/// One call of the SDK, with the status of each of its attempts; none where the connection broke.
#[derive(Debug, Clone)]
pub struct Call {
    pub asked: Asked,
    /// The lane that was at work; empty before the first one.
    pub lane: String,
    pub statuses: Vec<Option<u16>>,
    /// What the body of the last answer was.
    pub body: Body,
}

struct Armed {
    fault: Fault,
    key: Option<Regex>,
    seen: AtomicUsize,
    fired: AtomicUsize,
    /// The page that comes again and again.
    page: Mutex<Option<(u16, Vec<u8>)>>,
}

/// The faults of one drill.
#[derive(Clone)]
pub struct Wire {
    armed: Arc<Vec<Armed>>,
    trouble: Arc<Mutex<Vec<String>>>,
    calls: Arc<Mutex<Vec<Call>>>,
    lane: Arc<Mutex<String>>,
    others: Arc<dyn Others>,
    inner: SharedHttpClient,
}

impl std::fmt::Debug for Wire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Wire({} faults)", self.armed.len())
    }
}

impl Wire {
    pub fn new(faults: &[Fault], inner: SharedHttpClient, others: Arc<dyn Others>) -> Result<Self, String> {
        let mut armed = Vec::new();
        for fault in faults {
            let key = fault.key.as_deref().map(Regex::new).transpose().map_err(|e| e.to_string())?;
            let (seen, fired, page) = (AtomicUsize::new(0), AtomicUsize::new(0), Mutex::new(None));
            armed.push(Armed { fault: fault.clone(), key, seen, fired, page });
        }
        let (trouble, calls, lane) = (Arc::default(), Arc::default(), Arc::default());
        Ok(Self { armed: Arc::new(armed), trouble, calls, lane, others, inner })
    }

    pub fn client(&self) -> SharedHttpClient {
        SharedHttpClient::new(self.clone())
    }

    /// Says which lane is at work from here.
    pub fn enter(&self, lane: &str) {
        lane.clone_into(&mut self.lane.lock().unwrap());
    }

    /// Every call so far, in order.
    pub fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap().clone()
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
    fn meets(&self, asked: &Asked, call: usize) -> Option<&Armed> {
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
            let fired = armed.fired.load(Ordering::SeqCst);
            let now = match fault.call {
                None => fault.nth.is_none_or(|nth| nth == number),
                Some(_) if fired > 0 => fault.lasting || (fault.page.is_some() && asked.follows),
                Some(nth) => nth == call,
            };
            if now && met.is_none() {
                armed.fired.fetch_add(1, Ordering::SeqCst);
                met = Some(armed);
            }
        }
        met
    }

    /// Enters a request into the log; gives the number of its call, from 1.
    fn begin(&self, asked: &Asked) -> usize {
        let mut calls = self.calls.lock().unwrap();
        // A call's attempts follow each other: the lanes ask one thing at a time.
        let again = calls.last().is_some_and(|call| call.asked.invocation == asked.invocation);
        if !again {
            let lane = self.lane.lock().unwrap().clone();
            calls.push(Call { asked: asked.clone(), lane, statuses: Vec::new(), body: Body::Empty });
        }
        calls.len()
    }

    async fn answer(self, inner: SharedHttpConnector, request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
        let asked = Asked::of(&request);
        let number = self.begin(&asked);
        let mut answer = self.faulty(&asked, number, inner, request).await;
        let (mut status, mut body) = (None, Body::Empty);
        if let Ok(response) = &mut answer {
            let bytes = content(response).await?;
            status = Some(response.status().as_u16());
            body = Body::of(&asked, response.status().as_u16(), &bytes);
            *response.body_mut() = SdkBody::from(bytes);
        }
        if let Some(call) = self.calls.lock().unwrap().get_mut(number - 1) {
            call.statuses.push(status);
            call.body = body;
        }
        answer
    }

    async fn faulty(
        &self,
        asked: &Asked,
        number: usize,
        inner: SharedHttpConnector,
        request: HttpRequest,
    ) -> Result<HttpResponse, ConnectorError> {
        let Some(armed) = self.meets(asked, number) else { return inner.call(request).await };
        let fault = &armed.fault;
        self.elsewhere(&fault.meanwhile);
        if fault.hang {
            std::future::pending::<()>().await;
        }
        if let Some(delay) = fault.delay_ms {
            tokio::time::sleep(Duration::from_millis(delay)).await;
        }
        if asked.follows && fault.page.is_some() {
            return Ok(next_page(armed, asked));
        }
        let replaced = fault.drop || fault.status.is_some();
        if replaced && fault.after {
            inner.call(request).await?;
        } else if !replaced {
            return self.changed(armed, asked, inner.call(request).await?).await;
        }
        if fault.drop {
            return Err(ConnectorError::io("the drill broke the connection".into()));
        }
        let status = fault.status.unwrap_or(500);
        Ok(answer::error(asked, status, fault.code.as_deref().unwrap_or("InternalError")))
    }

    /// Others work on their own threads: the seeder waits for its calls, which this one may not.
    fn elsewhere(&self, meanwhile: &Meanwhile) {
        let (others, meanwhile) = (Arc::clone(&self.others), meanwhile.clone());
        let done = std::thread::spawn(move || others.act(&meanwhile)).join();
        if let Err(why) = done.unwrap_or_else(|_| Err("it panicked".to_owned())) {
            self.wrong(format!("what happens meanwhile: {why}"));
        }
    }

    fn wrong(&self, what: String) {
        self.trouble.lock().unwrap().push(what);
    }

    async fn changed(
        &self,
        armed: &Armed,
        asked: &Asked,
        mut response: HttpResponse,
    ) -> Result<HttpResponse, ConnectorError> {
        let fault = &armed.fault;
        let whole = content(&mut response).await?;
        let mut bytes = whole.clone();
        if !fault.rewrite.is_empty() {
            let mut text = String::from_utf8_lossy(&bytes).into_owned();
            for rewrite in &fault.rewrite {
                let find = Regex::new(&rewrite.find).unwrap();
                if !find.is_match(&text) {
                    self.wrong(format!("`{}` is not in the answer: {text}", rewrite.find));
                }
                text = find.replace_all(&text, rewrite.replace.as_str()).into_owned();
            }
            bytes = text.into_bytes();
        }
        if fault.malformed {
            match Body::of(asked, response.status().as_u16(), &bytes).malformed() {
                Some(document) => bytes = document.as_bytes().to_vec(),
                None => self.wrong(format!("the answer to {} is no document", asked.operation)),
            }
        }
        if let Some(page) = fault.page {
            match answer::paged(asked, page, &String::from_utf8_lossy(&bytes)) {
                Some(list) => bytes = list.into_bytes(),
                None => self.wrong(format!("the answer to {} is no list that could say so", asked.operation)),
            }
            *armed.page.lock().unwrap() = Some((response.status().as_u16(), bytes.clone()));
        }
        if fault.other {
            bytes = self.another(asked, &mut response).unwrap_or(bytes);
        }
        if bytes != whole {
            // A server that serves other bytes serves their length, and no checksum of the first ones.
            response.headers_mut().insert("content-length", bytes.len().to_string());
            if !fault.other {
                response.headers_mut().remove("x-amz-checksum-sha256");
            }
        }
        if let Some(most) = fault.truncate.or(fault.half.then_some(bytes.len() / 2)) {
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

    /// Another object's bytes, under headers that fit them.
    fn another(&self, asked: &Asked, response: &mut HttpResponse) -> Option<Vec<u8>> {
        let (others, (bucket, key)) = (Arc::clone(&self.others), asked.subject.split_once('/').unwrap_or_default());
        let (bucket, key) = (bucket.to_owned(), key.to_owned());
        let found = std::thread::spawn(move || others.another(&bucket, &key)).join();
        let body = match found.unwrap_or_else(|_| Err("it panicked".to_owned())) {
            Ok(body) => body,
            Err(why) => {
                self.wrong(format!("another object: {why}"));
                return None;
            }
        };
        let headers = response.headers_mut();
        let marks: Vec<String> =
            headers.iter().map(|(name, _)| name.to_owned()).filter(|name| name.starts_with("x-amz-meta-")).collect();
        for name in marks {
            headers.remove(name.as_str());
        }
        for (name, value) in body.metadata {
            headers.insert(format!("x-amz-meta-{name}"), value);
        }
        headers.remove("x-amz-checksum-sha256");
        for (name, value) in [("etag", body.etag), ("x-amz-checksum-sha256", body.sha256)] {
            if let Some(value) = value {
                headers.insert(name, value);
            }
        }
        headers.insert("content-length", body.bytes.len().to_string());
        Some(body.bytes)
    }
}

/// The page that a fault has named.
fn next_page(armed: &Armed, asked: &Asked) -> HttpResponse {
    match (armed.fault.page, armed.page.lock().unwrap().clone()) {
        (Some(Page::Loop), Some((status, bytes))) => {
            let mut response = answer::error(asked, status, "-");
            *response.body_mut() = SdkBody::from(bytes);
            response
        }
        _ => answer::error(asked, 500, "InternalError"),
    }
}

async fn content(response: &mut HttpResponse) -> Result<Vec<u8>, ConnectorError> {
    let body = ByteStream::new(std::mem::replace(response.body_mut(), SdkBody::taken()));
    let body = body.collect().await.map_err(|error| ConnectorError::other(error.into(), None))?;
    Ok(body.into_bytes().to_vec())
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
