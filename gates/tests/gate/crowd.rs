//! Sixty-four gates, each a process, in the same second against one server. `PHASEGATE_CONTRACT_ENDPOINT` names a freshly
//! started server on loopback; without it they share an embedded world on disk, and are fewer.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use support::substrate::seed::{self, World};
use support::substrate::{Options, Substrate, SubstrateKind};

use crate::ground::{CLOCK, EVIDENCE, Gate, Kept, Ran, json, workspace};

/// So many gates at once against a server.
const GATES: usize = 64;
/// So many where each brings its own world along.
const EMBEDDED: usize = 12;
/// What sixty-four processes may take on two cores.
const LIMIT: Duration = Duration::from_secs(600);

/// What a loser may say: the id of the execution is taken, or that of the run.
const LOSES_BY: [&str; 2] = ["PG-M3-execution_id_taken", "M3-B2"];

#[test]
fn of_many_gates_in_one_second_each_run_has_one() {
    let endpoint = std::env::var("PHASEGATE_CONTRACT_ENDPOINT").ok().filter(|endpoint| !endpoint.is_empty());
    let kept = Kept::seeded();
    let count = if endpoint.is_some() { GATES } else { EMBEDDED };
    let gates: Vec<Gate> = (0..count)
        .map(|_| {
            let gate = Gate::new().clock(CLOCK);
            match &endpoint {
                None => gate.world_dir(kept.dir()),
                Some(url) => gate
                    .var("PHASEGATE_SUBSTRATE", "endpoint")
                    .var("AWS_ENDPOINT_URL", url)
                    .var("AWS_ACCESS_KEY_ID", "230372904534")
                    .var("AWS_SECRET_ACCESS_KEY", "loopback"),
            }
        })
        .collect();
    if let Some(url) = &endpoint {
        seed_server(url);
    }
    let running: Vec<_> = gates.iter().map(Gate::start).collect();
    let ended: Vec<Ran> = running.into_iter().map(|gate| gate.end_within(LIMIT)).collect();

    let mut winners = Vec::new();
    let mut losers: BTreeMap<String, usize> = BTreeMap::new();
    for ran in &ended {
        let line = ran.line();
        match (ran.code, line.verdict.as_str()) {
            (0, "ADVANCE_TO_M4") => {
                let verdict = json(&line.verdict_file);
                winners.push(verdict["platform_run_id"].as_str().unwrap().to_owned());
            }
            (1, "HOLD_M3") => *losers.entry(line.roots.join(",")).or_default() += 1,
            _ => panic!("{ran:#?}"),
        }
    }
    eprintln!("{count} gates at once: {} advanced, held: {losers:?}", winners.len());
    assert_eq!(winners.len() + losers.values().sum::<usize>(), count, "each is accounted for");
    assert_eq!(winners.iter().collect::<BTreeSet<_>>().len(), winners.len(), "a run was pinned twice: {winners:?}");
    // moto's get-bucket-versioning cannot be read: there nobody advances, and each says so.
    if std::env::var("PHASEGATE_CONTRACT_SERVER").is_ok_and(|server| server == "moto") {
        assert_eq!(losers, BTreeMap::from([("PG-M3.A-evidence_versioning".to_owned(), count)]));
    } else {
        assert_eq!(winners.len(), 1, "one second has one execution: {losers:?}");
        assert!(losers.keys().all(|roots| LOSES_BY.contains(&roots.as_str())), "{losers:?}");
    }
    let pinned = match &endpoint {
        None => {
            let inventory = kept.inventory();
            assert!(inventory.values().all(|versions| versions.len() == 1), "{inventory:#?}");
            pinned(inventory.keys().map(|(_, key)| key.as_str()))
        }
        Some(url) => {
            let listed = server(url).s3().list_versions(EVIDENCE, "").unwrap().value;
            assert!(listed.complete);
            let mut versions: BTreeMap<&str, usize> = BTreeMap::new();
            for version in &listed.entries {
                assert!(!version.delete_marker, "{version:?}");
                *versions.entry(version.key.as_str()).or_default() += 1;
            }
            let twice: Vec<&str> = versions.iter().filter(|(_, count)| **count > 1).map(|(key, _)| *key).collect();
            // A server whose precondition is known to race has let two in at once; nothing of a run may come of it.
            if deviates("s3.race.one_winner_in_each_of_200_rounds") {
                eprintln!("objects with two winners: {twice:?}");
                assert!(twice.iter().all(|key| !key.starts_with("evidence/runs/")), "{twice:?}");
            } else {
                assert_eq!(twice, [""; 0], "no object has a second version");
            }
            pinned(versions.keys().copied())
        }
    };
    assert_eq!(pinned, winners, "each run.json has exactly one gate that pinned it");
}

/// Whether the server at hand is listed as one that does not keep this assertion of the contract.
fn deviates(assertion: &str) -> bool {
    let server = std::env::var("PHASEGATE_CONTRACT_SERVER").unwrap_or_default();
    let text = std::fs::read_to_string(workspace().join("support/tests/substrate_deviations.toml")).unwrap();
    let listed: toml::Table = toml::from_str(&text).unwrap();
    let is = |row: &toml::Value, field: &str, value: &str| row.get(field).and_then(toml::Value::as_str) == Some(value);
    let rows = listed["deviation"].as_array().unwrap();
    assert!(rows.iter().any(|row| is(row, "assertion", assertion)), "nothing deviates from {assertion} any more");
    rows.iter().any(|row| is(row, "server", &server) && is(row, "assertion", assertion))
}

fn pinned<'k>(keys: impl Iterator<Item = &'k str>) -> Vec<String> {
    keys.filter_map(|key| key.strip_prefix("evidence/runs/")?.strip_suffix("/run.json")).map(str::to_owned).collect()
}

fn server(url: &str) -> Substrate {
    let mut options = Options::new(SubstrateKind::Endpoint, "eu-west-2");
    options.endpoint = Some(url.to_owned());
    Substrate::open(&options).unwrap()
}

fn seed_server(url: &str) {
    let world = World::read(&workspace().join("fixtures/world/dev_min")).unwrap();
    seed::apply(&server(url), &world).unwrap();
}
