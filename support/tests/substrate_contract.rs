//! The contract of every substrate: what a gate relies on, asserted on the wire.
//!
//! The same list runs against the embedded world, in memory and in a directory, and against the
//! server at `PHASEGATE_CONTRACT_ENDPOINT` when that is set (`PHASEGATE_CONTRACT_SERVER` is its name
//! in `substrate_deviations.toml`). A deviation that is listed must still be there. The table goes
//! to standard error: `cargo test -p phasegate-support --test substrate_contract -- --nocapture`.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, reason = "the helpers of a test may fail it")]

#[path = "substrate_contract/daemons.rs"]
mod daemons;
#[path = "substrate_contract/ground.rs"]
mod ground;
#[path = "substrate_contract/iam.rs"]
mod iam;
#[path = "substrate_contract/s3.rs"]
mod s3;
#[path = "substrate_contract/services.rs"]
mod services;

use std::collections::BTreeMap;

use ground::Ground;
use phasegate_support::substrate::embedded::EmbeddedWorld;
use serde::Deserialize;

/// One thing that AWS does. `Err` says what came instead.
type Assertion = (&'static str, fn(&Ground) -> Result<(), String>);

#[derive(Deserialize)]
struct Deviations {
    deviation: Vec<Deviation>,
}

#[derive(Deserialize)]
struct Deviation {
    server: String,
    assertion: String,
    reason: String,
    /// Chance decides whether it shows.
    #[serde(default)]
    sometimes: bool,
}

fn deviations_of(server: &str) -> BTreeMap<String, Deviation> {
    let listed: Deviations = toml::from_str(include_str!("substrate_deviations.toml")).unwrap();
    listed
        .deviation
        .into_iter()
        .filter(|deviation| deviation.server == server)
        .map(|deviation| (deviation.assertion.clone(), deviation))
        .collect()
}

fn all_assertions() -> Vec<Assertion> {
    s3::LIST.iter().chain(services::LIST).chain(iam::LIST).copied().collect()
}

fn run_contract(server: &str, ground: &Ground, assertions: &[Assertion]) {
    let known = deviations_of(server);
    for name in known.keys() {
        assert!(
            assertions.iter().any(|(assertion, _)| assertion == name),
            "substrate_deviations.toml lists `{name}` of {server}, and there is no such assertion"
        );
    }
    let mut wrong = Vec::new();
    for (name, assertion) in assertions {
        let began = std::time::Instant::now();
        let outcome = assertion(ground);
        let took = began.elapsed().as_millis();
        let line = match (&outcome, known.get(*name)) {
            (Ok(()), None) => "right".to_owned(),
            (Err(_), Some(known)) => format!("deviates: {}", known.reason),
            (Ok(()), Some(known)) if known.sometimes => {
                format!("deviates sometimes: {}", known.reason)
            }
            (Err(came), None) => format!("WRONG: {came}"),
            (Ok(()), Some(_)) => "WRONG: right now; take it out of the deviations".to_owned(),
        };
        eprintln!("{server:<10} | {name:<48} | {took:>6} ms | {line}");
        if line.starts_with("WRONG") {
            wrong.push(format!("{name}: {line}"));
        }
    }
    let right = assertions.len() - known.len() - wrong.len();
    eprintln!("{server}: {right} right, {} deviate, {} wrong", known.len(), wrong.len());
    assert!(wrong.is_empty(), "{server}:\n{}", wrong.join("\n"));
}

#[test]
fn the_embedded_world_in_memory_keeps_the_contract() {
    let ground = Ground::embedded(&EmbeddedWorld::in_memory());
    run_contract("embedded", &ground, &all_assertions());
}

#[test]
fn the_embedded_world_in_a_directory_keeps_the_contract() {
    let dir = tempfile::tempdir().unwrap();
    let world = EmbeddedWorld::in_directory(dir.path()).unwrap();
    // Each change writes the whole state, so hundreds of calls take long there; the paging
    // itself is the same code as in memory.
    let assertions: Vec<Assertion> =
        all_assertions().into_iter().filter(|(name, _)| !name.contains("more_than_100")).collect();
    run_contract("embedded", &Ground::embedded(&world), &assertions);
}

#[test]
fn the_daemons_of_a_seeded_world_in_memory_keep_the_contract() {
    let substrate = daemons::seeded(None);
    let ground = Ground::embedded(substrate.embedded().unwrap());
    run_contract("embedded", &ground, daemons::LIST);
}

#[test]
fn the_daemons_of_a_seeded_world_in_a_directory_keep_the_contract() {
    let dir = tempfile::tempdir().unwrap();
    drop(daemons::seeded(Some(dir.path())));
    // Another process goes on with it.
    let world = EmbeddedWorld::in_directory(dir.path()).unwrap();
    run_contract("embedded", &Ground::embedded(&world), daemons::LIST);
}

#[test]
fn the_given_server_keeps_the_contract_but_for_its_listed_deviations() {
    let Ok(endpoint) = std::env::var("PHASEGATE_CONTRACT_ENDPOINT") else {
        eprintln!("not run: PHASEGATE_CONTRACT_ENDPOINT is not set");
        return;
    };
    let server = std::env::var("PHASEGATE_CONTRACT_SERVER")
        .expect("PHASEGATE_CONTRACT_SERVER: the server's name in substrate_deviations.toml");
    run_contract(&server, &Ground::endpoint(&endpoint), &all_assertions());
}
