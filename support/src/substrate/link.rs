//! One call to AWS: under a time limit, counted, and with an error that has a name.

use std::future::Future;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::{
    AfterDeserializationInterceptorContextRef, BeforeDeserializationInterceptorContextRef,
    BeforeTransmitInterceptorContextRef,
};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::ConfigBag;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use tokio::runtime::{Handle, Runtime};

use super::classify;
use super::reply::{CallError, CallErrorKind, Reply};

/// The headers in which AWS services and their stand-ins name a request.
const REQUEST_ID_HEADERS: [&str; 3] = ["x-amz-request-id", "x-amzn-requestid", "x-amzn-request-id"];

/// What all clients of one substrate share: the runtime that carries their calls, the time limit,
/// and the count of requests.
#[derive(Debug)]
pub(crate) struct Link {
    runtime: Option<Runtime>,
    limit: Duration,
    sent: Arc<AtomicU64>,
    waited: AtomicU64,
}

impl Link {
    /// Starts the private runtime.
    pub(crate) fn start(limit: Duration) -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("phasegate-aws")
            .enable_all()
            .build()?;
        Ok(Self { runtime: Some(runtime), limit, sent: Arc::new(AtomicU64::new(0)), waited: AtomicU64::new(0) })
    }

    /// How many requests were sent, retries included.
    pub(crate) fn requests(&self) -> u64 {
        self.sent.load(Ordering::SeqCst)
    }

    /// How long calls took in all, as those who made them waited.
    pub(crate) fn waited(&self) -> Duration {
        Duration::from_nanos(self.waited.load(Ordering::SeqCst))
    }

    /// Runs `future` to its end without a time limit: only for work that sends nothing.
    pub(crate) fn wait<F: Future>(&self, future: F) -> Option<F::Output> {
        self.runtime.as_ref().map(|runtime| runtime.block_on(future))
    }

    /// Begins one call; its time limit runs from here.
    pub(crate) fn call(&self, service: &'static str, operation: &'static str, target: impl Into<String>) -> Call<'_> {
        Call {
            link: self,
            service,
            operation,
            target: target.into(),
            probe: Probe::new(Arc::clone(&self.sent)),
            limit: self.limit,
            began: Instant::now(),
        }
    }

    /// The runtime, for work that goes on beside a call.
    pub(crate) fn handle(&self) -> Option<Handle> {
        self.runtime.as_ref().map(|runtime| runtime.handle().clone())
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // A runtime that is dropped inside another one panics when it waits for its threads.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Watches the attempts of one call from inside the SDK.
#[derive(Debug, Clone)]
pub(crate) struct Probe {
    seen: Arc<Seen>,
    sent: Arc<AtomicU64>,
}

#[derive(Debug)]
struct Seen {
    attempts: AtomicU32,
    answer: Mutex<Answer>,
}

#[derive(Debug, Default, Clone)]
struct Answer {
    status: Option<u16>,
    request_id: Option<String>,
    /// Why its document is none, where it is XML: the SDK takes what came before the break for the whole.
    broken: Option<String>,
    /// Whether it says of itself, in XML, that it is cut short or whole: the SDK takes silence for "whole".
    says_truncation: bool,
}

impl Probe {
    fn new(sent: Arc<AtomicU64>) -> Self {
        Self { seen: Arc::new(Seen { attempts: AtomicU32::new(0), answer: Mutex::new(Answer::default()) }), sent }
    }

    fn count(&self) {
        self.seen.attempts.fetch_add(1, Ordering::SeqCst);
        self.sent.fetch_add(1, Ordering::SeqCst);
    }

    fn attempts(&self) -> u32 {
        self.seen.attempts.load(Ordering::SeqCst)
    }

    fn answer(&self) -> Answer {
        self.seen.answer.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn keep(&self, answer: Answer) {
        *self.seen.answer.lock().unwrap_or_else(PoisonError::into_inner) = answer;
    }
}

impl Intercept for Probe {
    fn name(&self) -> &'static str {
        "phasegate-probe"
    }

    fn read_before_transmit(
        &self,
        _context: &BeforeTransmitInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _cfg: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        self.count();
        // An attempt without an answer must not show the answer of the one before it.
        self.keep(Answer::default());
        Ok(())
    }

    fn read_after_transmit(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _cfg: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let response = context.response();
        self.keep(Answer {
            status: Some(response.status().as_u16()),
            request_id: REQUEST_ID_HEADERS.iter().find_map(|name| response.headers().get(*name)).map(str::to_owned),
            ..Answer::default()
        });
        Ok(())
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _cfg: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        // What is streamed, an object's content, is no longer here; its length and checksum are compared where it is read.
        let body = context.response().body().bytes();
        self.keep(Answer {
            broken: body.and_then(broken_xml),
            says_truncation: body.is_some_and(|body| memchr::memmem::find(body, b"<IsTruncated>").is_some()),
            ..self.answer()
        });
        Ok(())
    }
}

/// Why an XML document is none; nothing for a body that is not XML.
fn broken_xml(body: &[u8]) -> Option<String> {
    if !body.trim_ascii_start().starts_with(b"<") {
        return None;
    }
    match std::str::from_utf8(body) {
        Ok(text) => roxmltree::Document::parse(text).err().map(|error| error.to_string()),
        Err(error) => Some(error.to_string()),
    }
}

/// One call under way.
pub(crate) struct Call<'a> {
    link: &'a Link,
    service: &'static str,
    operation: &'static str,
    target: String,
    probe: Probe,
    limit: Duration,
    began: Instant,
}

impl Call<'_> {
    /// It may take longer than others, or less long.
    pub(crate) fn lasting(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// It was sent once more, by a client that the probe does not watch.
    pub(crate) fn sent(&self) {
        self.probe.count();
    }

    /// The interceptor that the SDK operation of this call must carry.
    pub(crate) fn probe(&self) -> Probe {
        self.probe.clone()
    }

    /// Sends the call and waits for its typed answer.
    pub(crate) fn send<O, E>(
        &self,
        request: impl Future<Output = Result<O, SdkError<E, HttpResponse>>>,
    ) -> Result<Reply<O>, CallError>
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        match self.within_limit(request)? {
            Ok(value) => match self.probe.answer().broken {
                None => Ok(self.reply(value)),
                Some(why) => Err(self.malformed(format!("the answer is no whole document: {why}"))),
            },
            Err(error) => {
                let (kind, message) = classify::sdk_error(&error);
                Err(self.error(kind, message))
            }
        }
    }

    /// Waits for `future` within what is left of this call's time.
    pub(crate) fn within_limit<F: Future>(&self, future: F) -> Result<F::Output, CallError> {
        let left = self.limit.saturating_sub(self.began.elapsed());
        let Some(runtime) = self.link.runtime.as_ref() else {
            return Err(self.error(CallErrorKind::Refused, "the substrate is closed"));
        };
        let began = Instant::now();
        let answer = runtime.block_on(async { tokio::time::timeout(left, future).await });
        let took = u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.link.waited.fetch_add(took, Ordering::SeqCst);
        answer.map_err(|_elapsed| {
            let limit = self.limit;
            self.error(CallErrorKind::TimedOut, format!("no answer within {limit:?}"))
        })
    }

    /// The answer, with what is known about the call.
    pub(crate) fn reply<T>(&self, value: T) -> Reply<T> {
        Reply { value, request_id: self.probe.answer().request_id, attempts: self.probe.attempts() }
    }

    /// An error of this call.
    pub(crate) fn error(&self, kind: CallErrorKind, message: impl Into<String>) -> CallError {
        let answer = self.probe.answer();
        CallError {
            kind,
            service: self.service.to_owned(),
            operation: self.operation.to_owned(),
            target: self.target.clone(),
            status: answer.status,
            request_id: answer.request_id,
            message: message.into(),
            attempts: self.probe.attempts(),
        }
    }

    /// An answer that contradicts itself or lacks what AWS always sends.
    pub(crate) fn malformed(&self, message: impl Into<String>) -> CallError {
        self.error(CallErrorKind::Malformed, message)
    }

    /// The marker of the page after this one, of a list that says `IsTruncated` of itself.
    pub(super) fn next_marker(&self, truncated: bool, marker: Option<String>) -> Result<Option<String>, CallError> {
        if !self.probe.answer().says_truncation {
            return Err(self.malformed("the answer does not say whether it is truncated"));
        }
        match (truncated, marker.filter(|marker| !marker.is_empty())) {
            (true, None) => Err(self.malformed("the answer is truncated and names no marker")),
            (false, Some(_)) => Err(self.malformed("the answer is not truncated and names a marker")),
            (_, marker) => Ok(marker),
        }
    }

    /// A field that AWS always sends.
    pub(crate) fn required<T>(&self, field: &str, value: Option<T>) -> Result<T, CallError> {
        value.ok_or_else(|| self.malformed(format!("the answer has no {field}")))
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::broken_xml;

    #[rstest]
    #[case("", false)]
    #[case("{\"a\": ", false)]
    #[case("<?xml version=\"1.0\"?><List><IsTruncated>false</IsTruncated></List>", false)]
    #[case("<List xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"/>\n", false)]
    #[case("<List><IsTruncated>false</IsTruncated>", true)]
    #[case("<List><IsTruncated>false</IsTrunc", true)]
    #[case("<List></List><List>", true)]
    fn a_document_that_is_cut_short_is_none(#[case] body: &str, #[case] broken: bool) {
        assert_eq!(broken_xml(body.as_bytes()).is_some(), broken);
    }
}
