//! What the gate adds to the time that its requests take one after the other, on a server with and without a longer way to it.
//! `cargo bench --bench round_trips`
//!
//! With `AWS_ENDPOINT_URL` (loopback, freshly started) the requests go to that server; without it to the embedded AWS. Cost Explorer is
//! answered by the embedded one in both cases: no server that can be installed has it.
//!
//! Two bounds are given for each run. The sum of its calls is what the same calls take one after the other by themselves, the SDK's signing,
//! checksums and parsing included. The sum of its requests is what the way and the server take of that, from sending a request to the last byte of
//! its answer: no client that sends them one after the other can be faster.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on ends")]
#![expect(clippy::print_stdout, reason = "the table is what it is for")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant as Watch};

use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::byte_stream::ByteStream;
use support::harness::suite::{self, PlanSuite};
use support::run::clock::Instant;
use support::run::documents::Documents;
use support::run::execution::{Execution, basis_of};
use support::run::repository::Repository;
use support::run::settings::Settings;
use support::substrate::seed::{self, World};
use support::substrate::{Options, Substrate, SubstrateKind};

/// Injected round trips, and how many gates are run under each.
const ROUND_TRIPS: [(Duration, usize); 2] = [(Duration::ZERO, 10), (Duration::from_millis(50), 3)];

/// The way to the server: delays each request, and takes down how long it took.
#[derive(Debug, Clone)]
struct Way {
    server: SharedHttpClient,
    costs: SharedHttpClient,
    round_trip: Duration,
    took: Arc<Mutex<Vec<Duration>>>,
}

#[derive(Debug)]
struct Leg {
    way: Way,
    server: SharedHttpConnector,
    costs: SharedHttpConnector,
}

impl HttpClient for Way {
    fn http_connector(&self, settings: &HttpConnectorSettings, components: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(Leg {
            way: self.clone(),
            server: self.server.http_connector(settings, components),
            costs: self.costs.http_connector(settings, components),
        })
    }
}

impl HttpConnector for Leg {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let signature = request.headers().get("authorization").unwrap_or_default();
        let to = if signature.contains("/ce/aws4_request") { self.costs.clone() } else { self.server.clone() };
        HttpConnectorFuture::new(timed(self.way.clone(), to, request))
    }
}

async fn timed(way: Way, to: SharedHttpConnector, request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
    let began = Watch::now();
    if !way.round_trip.is_zero() {
        tokio::time::sleep(way.round_trip).await;
    }
    let mut response = to.call(request).await?;
    let body = ByteStream::new(std::mem::replace(response.body_mut(), SdkBody::taken()));
    let body = body.collect().await.map_err(|error| ConnectorError::other(error.into(), None))?;
    *response.body_mut() = SdkBody::from(body.into_bytes());
    way.took.lock().unwrap().push(began.elapsed());
    Ok(response)
}

/// One run: the gate's wall time, the sum of its calls, that of its requests, and their number.
struct Run {
    wall: Duration,
    calls: Duration,
    answers: Duration,
    requests: usize,
}

/// One track's gate, its world, and the clients that lead there.
struct Ground<'g> {
    suite: &'g PlanSuite<'g>,
    world: World,
    server: SharedHttpClient,
    costs: SharedHttpClient,
    endpoint: Option<String>,
}

impl Ground<'_> {
    fn substrate(&self, http: SharedHttpClient) -> Substrate {
        let kind = if self.endpoint.is_some() { SubstrateKind::Endpoint } else { SubstrateKind::Embedded };
        let mut options = Options::new(kind, self.world.region());
        options.endpoint.clone_from(&self.endpoint);
        options.http = Some(http);
        Substrate::open(&options).unwrap()
    }

    fn gate(&self, round_trip: Duration, instant: Instant) -> Run {
        let took = Arc::default();
        let way = Way { server: self.server.clone(), costs: self.costs.clone(), round_trip, took: Arc::clone(&took) };
        let substrate = self.substrate(SharedHttpClient::new(way));
        let out = tempfile::tempdir().unwrap();
        let settings = settings(out.path());
        let phase = self.suite.phase.phase();
        let began = Watch::now();
        let repository = Repository::open(&settings.repository).unwrap();
        let documents = Documents::load(repository, self.suite.parsed.plan.clone(), None).unwrap();
        let execution = Execution {
            phase,
            documents: &documents,
            alone: None,
            problems: self.suite.problems(),
            notes: Vec::new(),
            integrity: true,
            cases: &self.suite.cases,
            selected: self.suite.cases.iter().map(|case| case.name.clone()).collect::<BTreeSet<_>>(),
            settings: &settings,
            substrate: Ok(&substrate),
            images: None,
            expected_account: Some(self.world.account().to_owned()),
            instant,
            basis: basis_of(&settings, false),
            out: settings.out_folder(false, &workspace()),
            writer: "bench".to_owned(),
            reporter: &reports::Reports,
            progress: &|_| {},
            watch: None,
        };
        let outcome = execution.run().unwrap();
        let wall = began.elapsed();
        assert_eq!(outcome.verdict(), "ADVANCE_TO_M4", "{:#?}", outcome.decision.roots);
        let took: Vec<Duration> = took.lock().unwrap().clone();
        Run { wall, calls: substrate.time_in_calls(), answers: took.iter().sum(), requests: took.len() }
    }
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn settings(out: &Path) -> Settings {
    let out = out.to_str().unwrap().to_owned();
    let get = |name: &str| (name == "PHASEGATE_OUT").then(|| out.clone());
    Settings::read(get, &workspace(), &workspace(), "cargo bench").unwrap()
}

fn median(runs: &[Run], of: impl Fn(&Run) -> f64) -> f64 {
    let mut values: Vec<f64> = runs.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    let endpoint = std::env::var("AWS_ENDPOINT_URL").ok();
    println!("requests go to {}", endpoint.as_deref().unwrap_or("the embedded AWS"));
    println!("track     round trip  requests    gate   calls  requests   gate/calls (from, to)   gate/requests");
    let gates = gates::m3::gates().unwrap();
    let suites = suite::read(&workspace().join("fixtures/repo"), "M3", "M4", &gates, None).unwrap();
    for suite in &suites {
        let track = suite.phase.phase().track;
        let world = World::read(&workspace().join("fixtures/world").join(track)).unwrap();
        let embedded = Substrate::open(&Options::new(SubstrateKind::Embedded, world.region())).unwrap();
        seed::apply(&embedded, &world).unwrap();
        let costs = embedded.embedded().unwrap().connector();
        let server = match &endpoint {
            Some(_) => Builder::new().tls_provider(Provider::Rustls(CryptoMode::AwsLc)).build_https(),
            None => costs.clone(),
        };
        let ground = Ground { suite, world, server, costs, endpoint: endpoint.clone() };
        if endpoint.is_some() {
            seed::apply(&ground.substrate(ground.server.clone()), &ground.world).unwrap();
        }
        let mut instant = Instant::parse(ground.world.instant()).unwrap();
        for (round_trip, count) in ROUND_TRIPS {
            let runs: Vec<Run> = (0..count)
                .map(|_| {
                    instant = instant.plus_seconds(60).unwrap();
                    ground.gate(round_trip, instant)
                })
                .collect();
            let of_calls = |run: &Run| run.wall.as_secs_f64() / run.calls.as_secs_f64();
            let ratios: Vec<f64> = runs.iter().map(of_calls).collect();
            println!(
                "{track:8}  {:>7} ms  {:>8}  {:>5.2} s {:>5.2} s  {:>5.2} s   {:.2} ({:.2}, {:.2})         {:.2}",
                round_trip.as_millis(),
                runs.iter().map(|run| run.requests).max().unwrap(),
                median(&runs, |run| run.wall.as_secs_f64()),
                median(&runs, |run| run.calls.as_secs_f64()),
                median(&runs, |run| run.answers.as_secs_f64()),
                median(&runs, of_calls),
                ratios.iter().copied().fold(f64::INFINITY, f64::min),
                ratios.iter().copied().fold(0.0, f64::max),
                median(&runs, |run| run.wall.as_secs_f64() / run.answers.as_secs_f64()),
            );
        }
    }
}
