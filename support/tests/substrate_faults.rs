//! Faults on the wire: what the readers make of answers that are late, broken or contradictory.

#![expect(clippy::unwrap_used, reason = "the helpers of a test may fail it")]

#[path = "substrate_faults/iam.rs"]
mod iam;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::byte_stream::ByteStream;
use phasegate_support::substrate::embedded::{self, EmbeddedWorld};
use phasegate_support::substrate::reply::CallErrorKind;
use phasegate_support::substrate::{CostQuery, Granularity, Options, Substrate, SubstrateError, SubstrateKind};
use rstest::rstest;

/// Leads into the embedded world, with another checksum after each streamed body.
#[derive(Debug, Clone)]
struct WrongTrailer(SharedHttpConnector);

impl HttpConnector for WrongTrailer {
    fn call(&self, mut request: HttpRequest) -> HttpConnectorFuture {
        let inner = self.0.clone();
        HttpConnectorFuture::new(async move {
            let body = std::mem::replace(request.body_mut(), SdkBody::taken());
            let bytes = ByteStream::new(body).collect().await.unwrap().to_vec();
            let text = String::from_utf8(bytes).unwrap();
            // Nothing but the value changes, so that only the comparison can tell.
            let right = "x-amz-checksum-sha256:ungWv48Bz";
            let wrong = "x-amz-checksum-sha256:ungWv48Ba";
            assert!(text.contains(right), "no trailing checksum in {text:?}");
            *request.body_mut() = SdkBody::from(text.replace(right, wrong));
            inner.call(request).await
        })
    }
}

#[derive(Debug)]
struct WrongTrailerClient(SharedHttpClient);

impl HttpClient for WrongTrailerClient {
    fn http_connector(&self, settings: &HttpConnectorSettings, components: &RuntimeComponents) -> SharedHttpConnector {
        let inner = self.0.http_connector(settings, components);
        SharedHttpConnector::new(WrongTrailer(inner))
    }
}

fn s3_over(endpoint: &str, http: SharedHttpClient) -> aws_sdk_s3::Client {
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(aws_config::BehaviorVersion::latest())
        .region(aws_config::Region::new("eu-west-2"))
        .endpoint_url(endpoint)
        .credentials_provider(aws_credential_types::Credentials::new(
            embedded::ACCESS_KEY,
            embedded::SECRET_KEY,
            None,
            None,
            "test",
        ))
        .force_path_style(true)
        .http_client(http)
        .build();
    aws_sdk_s3::Client::from_conf(config)
}

// The SDK signs the trailer over http, and leaves it to TLS over https.
#[rstest]
#[case::signed("http://embedded.invalid", "InvalidRequest")]
#[case::unsigned("https://embedded.invalid", "BadDigest")]
#[tokio::test]
async fn a_wrong_trailing_checksum_is_refused_and_nothing_stored(#[case] endpoint: &str, #[case] code: &str) {
    let world = EmbeddedWorld::in_memory();
    let right = s3_over(endpoint, embedded::connector(&world));
    let faulty = WrongTrailerClient(embedded::connector(&world));
    let wrong = s3_over(endpoint, SharedHttpClient::new(faulty));
    right.create_bucket().bucket("bucket").send().await.unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "abc").unwrap();
    let put = wrong
        .put_object()
        .bucket("bucket")
        .key("k")
        .checksum_algorithm(aws_sdk_s3::types::ChecksumAlgorithm::Sha256)
        .body(ByteStream::from_path(file.path()).await.unwrap())
        .send()
        .await;
    let error = put.unwrap_err().into_service_error();
    assert_eq!(error.meta().code(), Some(code), "{error:?}");
    let listed = right.list_objects_v2().bucket("bucket").send().await.unwrap();
    assert_eq!(listed.contents(), []);
}

/// Status, one header, and body of an answer.
type Scene = (u16, &'static str, String);

/// Answers what it was told, in order; without a word more it never answers.
#[derive(Debug, Clone, Default)]
struct Scripted {
    answers: Arc<Mutex<VecDeque<Scene>>>,
}

impl HttpConnector for Scripted {
    fn call(&self, _request: HttpRequest) -> HttpConnectorFuture {
        let next = self.answers.lock().unwrap().pop_front();
        HttpConnectorFuture::new(async move {
            let Some((status, header, body)) = next else {
                std::future::pending::<()>().await;
                return Err(aws_smithy_runtime_api::client::result::ConnectorError::other(
                    "the script is over".into(),
                    None,
                ));
            };
            let mut response = HttpResponse::new(StatusCode::try_from(status).unwrap(), SdkBody::from(body));
            if let Some((name, value)) = header.split_once(": ") {
                response.headers_mut().insert(name, value);
            }
            response.headers_mut().insert("x-amz-request-id", "SCRIPT");
            Ok(response)
        })
    }
}

impl HttpClient for Scripted {
    fn http_connector(
        &self,
        _settings: &HttpConnectorSettings,
        _components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

fn scripted(answers: &[Scene]) -> Substrate {
    let script = Scripted::default();
    script.answers.lock().unwrap().extend(answers.iter().cloned());
    let mut options = Options::new(SubstrateKind::Embedded, "eu-west-2");
    options.http = Some(SharedHttpClient::new(script));
    options.call_limit = Duration::from_secs(10);
    Substrate::open(&options).unwrap()
}

fn objects_page(truncated: &str, token: &str, keys: &[&str]) -> Scene {
    let contents: String =
        keys.iter().map(|key| format!("<Contents><Key>{key}</Key><Size>1</Size></Contents>")).collect();
    let body = format!("<ListBucketResult>{truncated}{token}{contents}</ListBucketResult>");
    (200, "", body)
}

/// The SDK retries it.
const ERROR_IN_200: &str = "<Error><Code>InternalError</Code></Error>";
const MORE: &str = "<IsTruncated>true</IsTruncated>";
const LAST: &str = "<IsTruncated>false</IsTruncated>";
const TO_T: &str = "<NextContinuationToken>t</NextContinuationToken>";

#[rstest]
#[case::cut_short_without_a_token(&[objects_page(MORE, "", &["p/a"])])]
#[case::last_page_with_a_token(&[objects_page(LAST, TO_T, &["p/a"])])]
#[case::no_word_on_truncation(&[objects_page("", "", &["p/a"])])]
#[case::the_same_token_again(&[objects_page(MORE, TO_T, &["p/a"]), objects_page(MORE, TO_T, &["p/b"])])]
#[case::a_key_twice(&[objects_page(MORE, TO_T, &["p/a"]), objects_page(LAST, "", &["p/a"])])]
#[case::a_key_outside_the_prefix(&[objects_page(LAST, "", &["q/a"])])]
#[case::another_count_than_announced(&[objects_page(LAST, "<KeyCount>2</KeyCount>", &["p/a"])])]
#[case::a_negative_size(&[(200, "", format!("<ListBucketResult>{LAST}<Contents><Key>p/a</Key><Size>-1</Size></Contents></ListBucketResult>"))])]
#[case::no_xml(&[(200, "", "all is well".to_owned())])]
#[case::an_error_in_a_200(&[ERROR_IN_200, ERROR_IN_200, ERROR_IN_200].map(|body| (200, "", body.to_owned())))]
fn a_list_that_contradicts_itself_is_malformed(#[case] pages: &[Scene]) {
    let listed = scripted(pages).s3().list_objects("b", "p/", None);
    assert_eq!(listed.unwrap_err().kind, CallErrorKind::Malformed);
}

#[test]
fn a_good_walk_over_two_pages_is_complete() {
    let pages = [objects_page(MORE, TO_T, &["p/a"]), objects_page(LAST, "", &["p/b"])];
    let substrate = scripted(&pages);
    let listed = substrate.s3().list_objects("b", "p/", None).unwrap();
    assert!(listed.value.complete);
    assert_eq!(listed.value.entries.len(), 2);
    assert_eq!(listed.attempts, 2);
    assert_eq!(substrate.calls_made(), 2);
    assert_eq!(listed.request_id.as_deref(), Some("SCRIPT"));
}

#[test]
fn versions_that_are_cut_short_without_a_marker_are_malformed() {
    let body = format!("<ListVersionsResult>{MORE}</ListVersionsResult>");
    let listed = scripted(&[(200, "", body)]).s3().list_versions("b", "");
    assert_eq!(listed.unwrap_err().kind, CallErrorKind::Malformed);
}

#[test]
fn a_content_that_is_not_of_its_checksum_is_malformed() {
    let header = "x-amz-checksum-sha256: ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=";
    let right = scripted(&[(200, header, "abc".to_owned())]);
    assert!(right.s3().get_object("b", "k", None).is_err(), "a body without its length");
    let length = "content-length: 4";
    let short = scripted(&[(200, length, "abc".to_owned())]);
    let error = short.s3().get_object("b", "k", None).unwrap_err();
    assert_eq!(error.kind, CallErrorKind::Malformed, "{error}");
}

#[test]
fn no_answer_within_the_limit_is_timed_out() {
    let mut options = Options::new(SubstrateKind::Embedded, "eu-west-2");
    options.http = Some(SharedHttpClient::new(Scripted::default()));
    options.call_limit = Duration::from_millis(300);
    let began = Instant::now();
    let error = Substrate::open(&options).unwrap().s3().head_bucket("b").unwrap_err();
    assert_eq!(error.kind, CallErrorKind::TimedOut);
    assert_eq!(error.attempts, 1);
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[test]
fn a_server_error_is_retried_and_then_told() {
    let fault = (500, "", "<Error><Code>InternalError</Code></Error>".to_owned());
    let error = scripted(&[fault.clone(), fault.clone(), fault]).s3().head_bucket("b").unwrap_err();
    assert_eq!((error.kind, error.attempts), (CallErrorKind::Server, 3));
    assert_eq!((error.status, error.request_id.as_deref()), (Some(500), Some("SCRIPT")));
}

#[test]
fn a_throttle_is_retried_and_the_answer_taken() {
    let slow = (503, "", "<Error><Code>SlowDown</Code></Error>".to_owned());
    let reply =
        scripted(&[slow, (200, "x-amz-bucket-region: eu-west-2", String::new())]).s3().head_bucket("b").unwrap();
    assert_eq!((reply.attempts, reply.value.region.as_deref()), (2, Some("eu-west-2")));
}

#[test]
fn no_server_is_unreachable() {
    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut options = Options::new(SubstrateKind::Endpoint, "eu-west-2");
    options.endpoint = Some(format!("http://127.0.0.1:{port}"));
    let substrate = Substrate::open(&options).unwrap();
    let error = substrate.s3().head_bucket("b").unwrap_err();
    // Without credentials in the environment the call ends before it is sent.
    let right = match std::env::var_os("AWS_ACCESS_KEY_ID") {
        Some(_) => CallErrorKind::Unreachable,
        None => CallErrorKind::Denied,
    };
    assert_eq!(error.kind, right, "{error}");
}

#[test]
fn a_403_without_a_body_is_denied() {
    let error = scripted(&[(403, "", String::new())]).s3().head_bucket("b").unwrap_err();
    assert_eq!((error.kind, error.status), (CallErrorKind::Denied, Some(403)));
}

#[test]
fn an_empty_image_list_is_not_found() {
    let answers = [(200, "", r#"{"imageDetails":[]}"#.to_owned())];
    let error = scripted(&answers).ecr().describe_image("r", "t").unwrap_err();
    assert_eq!(error.kind, CallErrorKind::NotFound);
}

fn json(body: &str) -> Scene {
    (200, "", body.to_owned())
}

fn refusal(status: u16, code: &str) -> Scene {
    (status, "", format!(r#"{{"__type":"{code}","message":"told so"}}"#))
}

const FEBRUARY: CostQuery<'static> = CostQuery {
    region: "us-east-1",
    start: "2026-02-01",
    end: "2026-03-01",
    granularity: Granularity::Daily,
    metrics: &["UnblendedCost"],
};

/// A page of one period and its amount, as JSON.
fn cost_page(start: &str, end: &str, value: &str, more: &str) -> Scene {
    json(&format!(
        r#"{{"ResultsByTime":[{{"TimePeriod":{{"Start":"{start}","End":"{end}"}},"Total":{{"UnblendedCost":{value}}},"Groups":[],"Estimated":true}}]{more}}}"#
    ))
}

const TWELVE: &str = r#"{"Amount":"12.3400","Unit":"USD"}"#;
const PAGE_T: &str = r#","NextPageToken":"t""#;

#[rstest]
#[case::no_json(&[json("all is well")])]
#[case::no_results(&[json("{}")])]
#[case::no_period(&[json(r#"{"ResultsByTime":[{"Total":{}}]}"#)])]
#[case::no_amount(&[cost_page("2026-02-01", "2026-02-02", r#"{"Unit":"USD"}"#, "")])]
#[case::no_unit(&[cost_page("2026-02-01", "2026-02-02", r#"{"Amount":"1"}"#, "")])]
#[case::no_number(&[cost_page("2026-02-01", "2026-02-02", r#"{"Amount":"NaN","Unit":"USD"}"#, "")])]
#[case::no_day(&[cost_page("2026-02", "2026-02-02", TWELVE, "")])]
#[case::before_the_window(&[cost_page("2026-01-31", "2026-02-02", TWELVE, "")])]
#[case::after_the_window(&[cost_page("2026-02-28", "2026-03-02", TWELVE, "")])]
#[case::backwards(&[cost_page("2026-02-02", "2026-02-01", TWELVE, "")])]
#[case::a_day_twice(&[cost_page("2026-02-01", "2026-02-03", TWELVE, PAGE_T), cost_page("2026-02-02", "2026-02-04", TWELVE, "")])]
#[case::the_same_token_again(&[cost_page("2026-02-01", "2026-02-02", TWELVE, PAGE_T), cost_page("2026-02-02", "2026-02-03", TWELVE, PAGE_T)])]
fn costs_that_contradict_themselves_are_malformed(#[case] pages: &[Scene]) {
    let came = scripted(pages).cost().get_cost_and_usage(&FEBRUARY);
    assert_eq!(came.unwrap_err().kind, CallErrorKind::Malformed);
}

#[test]
fn costs_are_walked_and_their_text_is_kept() {
    let pages =
        [cost_page("2026-02-01", "2026-02-02", TWELVE, PAGE_T), cost_page("2026-02-02", "2026-02-03", TWELVE, "")];
    let reply = scripted(&pages).cost().get_cost_and_usage(&FEBRUARY).unwrap();
    assert!(reply.value.complete);
    assert_eq!(reply.attempts, 2);
    let amounts: Vec<_> = reply
        .value
        .entries
        .iter()
        .map(|period| (period.start.as_str(), period.totals["UnblendedCost"].amount.as_str(), period.estimated))
        .collect();
    assert_eq!(amounts, [("2026-02-01", "12.3400", true), ("2026-02-02", "12.3400", true)]);
}

#[rstest]
#[case::no_period(r#"{"ResultsByTime":[]}"#, 0)]
#[case::no_metric(r#"{"ResultsByTime":[{"TimePeriod":{"Start":"2026-02-01","End":"2026-03-01"},"Total":{}}]}"#, 1)]
#[case::no_total(r#"{"ResultsByTime":[{"TimePeriod":{"Start":"2026-02-01","End":"2026-03-01"}}]}"#, 1)]
fn costs_that_are_not_there_stay_empty(#[case] body: &str, #[case] periods: usize) {
    let listed = scripted(&[json(body)]).cost().get_cost_and_usage(&FEBRUARY).unwrap().value;
    assert_eq!(listed.entries.len(), periods);
    assert!(listed.entries.iter().all(|period| period.totals.is_empty()), "{listed:?}");
}

const ARN: &str = "arn:aws:states:eu-west-2:230372904534:execution:m:one";

fn execution_body(arn: &str, more: &str) -> Scene {
    json(&format!(
        r#"{{"executionArn":"{arn}","stateMachineArn":"arn:aws:states:eu-west-2:230372904534:stateMachine:m","status":"RUNNING","startDate":1770724801{more}}}"#
    ))
}

#[rstest]
#[case::no_json(json("all is well"))]
#[case::another_one(execution_body("arn:aws:states:eu-west-2:230372904534:execution:m:two", r#","name":"two""#))]
#[case::no_name(execution_body(ARN, ""))]
#[case::an_input_that_is_not_there(execution_body(ARN, r#","name":"one","inputDetails":{"included":true}"#))]
fn an_execution_that_contradicts_itself_is_malformed(#[case] answer: Scene) {
    let came = scripted(&[answer]).sfn().describe_execution(ARN);
    assert_eq!(came.unwrap_err().kind, CallErrorKind::Malformed);
}

#[test]
fn an_input_that_is_left_out_is_not_an_empty_one() {
    let answer = execution_body(ARN, r#","name":"one","inputDetails":{"included":false}"#);
    let came = scripted(&[answer]).sfn().describe_execution(ARN).unwrap().value;
    assert_eq!((came.input, came.input_included), (None, Some(false)));
}

fn executions_page(status: &str, token: &str) -> Scene {
    json(&format!(
        r#"{{"executions":[{{"executionArn":"{ARN}","stateMachineArn":"m","name":"one","status":"{status}","startDate":1}}]{token}}}"#
    ))
}

#[rstest]
#[case::the_same_token_again(&[executions_page("RUNNING", r#","nextToken":"t""#), executions_page("RUNNING", r#","nextToken":"t""#)])]
#[case::another_status(&[executions_page("SUCCEEDED", "")])]
fn executions_that_contradict_the_question_are_malformed(#[case] pages: &[Scene]) {
    let came = scripted(pages).sfn().list_executions("m", Some("RUNNING"), Some(100));
    assert_eq!(came.unwrap_err().kind, CallErrorKind::Malformed);
}

#[test]
fn an_unknown_status_is_not_asked_for() {
    let substrate = scripted(&[]);
    let error = substrate.sfn().list_executions("m", Some("running"), None).unwrap_err();
    assert_eq!((error.kind, substrate.calls_made()), (CallErrorKind::Refused, 0));
}

#[rstest]
#[case::denied(&[refusal(403, "AccessDeniedException")], CallErrorKind::Denied, 1)]
#[case::forbidden(&[(403, "", String::new())], CallErrorKind::Denied, 1)]
#[case::throttled(&[refusal(400, "ThrottlingException"), refusal(400, "ThrottlingException"), refusal(400, "ThrottlingException")], CallErrorKind::Throttled, 3)]
#[case::too_many(&[refusal(400, "LimitExceededException"), refusal(400, "LimitExceededException"), refusal(400, "LimitExceededException")], CallErrorKind::Throttled, 3)]
#[case::no_data_yet(&[refusal(400, "DataUnavailableException")], CallErrorKind::Refused, 1)]
#[case::unknown_operation(&[refusal(400, "UnknownOperationException")], CallErrorKind::Unsupported, 1)]
fn a_refusal_has_its_kind(#[case] answers: &[Scene], #[case] kind: CallErrorKind, #[case] attempts: u32) {
    let cost = scripted(answers).cost().get_cost_and_usage(&FEBRUARY).unwrap_err();
    assert_eq!((cost.kind, cost.attempts), (kind, attempts), "{cost}");
    let execution = scripted(answers).sfn().describe_execution(ARN).unwrap_err();
    assert_eq!((execution.kind, execution.attempts), (kind, attempts), "{execution}");
}

#[test]
fn a_throttled_call_is_answered_in_the_end() {
    let answers = [refusal(400, "ThrottlingException"), json(r#"{"ResultsByTime":[]}"#)];
    assert_eq!(scripted(&answers).cost().get_cost_and_usage(&FEBRUARY).unwrap().attempts, 2);
    let answers = [refusal(400, "ThrottlingException"), execution_body(ARN, r#","name":"one","input":"{}""#)];
    assert_eq!(scripted(&answers).sfn().describe_execution(ARN).unwrap().attempts, 2);
}

#[rstest]
#[case(SubstrateKind::Endpoint, None)]
#[case(SubstrateKind::Endpoint, Some("not a url"))]
#[case(SubstrateKind::Endpoint, Some("127.0.0.1:5000"))]
#[case(SubstrateKind::Endpoint, Some("ftp://127.0.0.1"))]
fn an_endpoint_is_an_absolute_url(#[case] kind: SubstrateKind, #[case] endpoint: Option<&str>) {
    let mut options = Options::new(kind, "eu-west-2");
    options.endpoint = endpoint.map(str::to_owned);
    let error = Substrate::open(&options).unwrap_err();
    assert!(matches!(error, SubstrateError::NoEndpoint | SubstrateError::BadEndpoint { .. }), "{error}");
}

#[test]
fn kinds_have_names_and_no_others() {
    assert_eq!("aws".parse::<SubstrateKind>().unwrap(), SubstrateKind::Aws);
    assert!("AWS".parse::<SubstrateKind>().is_err());
    assert!("".parse::<SubstrateKind>().is_err());
}
