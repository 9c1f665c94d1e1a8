//! The embedded gate as a whole, and listing many cases. `cargo bench --bench gate`

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on ends")]
#![expect(clippy::print_stderr, reason = "the number of requests is what it is for, too")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use divan::Bencher;
use support::harness::suite::{self, PlanSuite};
use support::plan::{Source, case_names, parse};
use support::run::clock::Instant;
use support::run::documents::Documents;
use support::run::execution::{Execution, basis_of};
use support::run::lane::Phase;
use support::run::repository::Repository;
use support::run::settings::Settings;
use support::substrate::seed::{self, World};
use support::substrate::{Options, Substrate, SubstrateKind};

fn main() {
    divan::main();
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// A plan of `lanes` lanes with a hundred boxes each.
fn many(lanes: usize) -> String {
    let mut text = String::from("# Plan - M3 (many)\n\n## 1) Authority Inputs\n1. `docs/handles.registry.v0.md`\n\n");
    for lane in 0..lanes {
        let name: String =
            [lane / 26, lane % 26].iter().map(|n| char::from(b'A' + u8::try_from(*n).unwrap())).collect();
        text.push_str(&format!("### M3.{name} Lane\nDoD:\n"));
        for number in 0..100 {
            text.push_str(&format!("- [ ] requirement {number} of lane {name} holds.\n"));
        }
        text.push('\n');
    }
    text
}

#[divan::bench(sample_count = 20)]
fn list_ten_thousand_cases(bencher: Bencher) {
    let text = many(100);
    let count =
        case_names(&parse(Source::new("platform.M3.build_plan.md", text.as_str()), "dev_min").plan).unwrap().len();
    assert_eq!(count, 10_000);
    bencher.bench(|| {
        case_names(&parse(Source::new("platform.M3.build_plan.md", text.as_str()), "dev_min").plan).unwrap().len()
    });
}

fn settings(out: &Path) -> Settings {
    let out = out.to_str().unwrap().to_owned();
    let get = |name: &str| (name == "PHASEGATE_OUT").then(|| out.clone());
    Settings::read(get, &workspace(), &workspace(), "cargo bench").unwrap()
}

/// Seeds a world of its own and runs the gate in it; the requests that the gate itself sent.
fn gate(suite: &PlanSuite<'_>, phase: &Phase, world: &World) -> u64 {
    let out = tempfile::tempdir().unwrap();
    let settings = settings(out.path());
    let repository = Repository::open(&settings.repository).unwrap();
    let documents = Documents::load(repository, suite.parsed.plan.clone(), None).unwrap();
    let substrate = Substrate::open(&Options::new(SubstrateKind::Embedded, world.region())).unwrap();
    seed::apply(&substrate, world).unwrap();
    let seeded = substrate.calls_made();
    let execution = Execution {
        phase,
        documents: &documents,
        alone: None,
        problems: suite.problems(),
        notes: Vec::new(),
        integrity: true,
        cases: &suite.cases,
        selected: suite.cases.iter().map(|case| case.name.clone()).collect::<BTreeSet<_>>(),
        settings: &settings,
        substrate: Ok(&substrate),
        images: None,
        expected_account: Some(world.account().to_owned()),
        instant: Instant::parse(world.instant()).unwrap(),
        basis: basis_of(&settings, false),
        out: settings.out_folder(false, &workspace()),
        writer: "bench".to_owned(),
        reporter: &reports::Reports,
        progress: &|_| {},
        watch: None,
    };
    let outcome = execution.run().unwrap();
    assert_eq!(outcome.verdict(), "ADVANCE_TO_M4");
    substrate.calls_made() - seeded
}

#[divan::bench(sample_count = 20, args = ["dev_min", "dev_full"])]
fn whole_embedded_gate(bencher: Bencher, track: &str) {
    let gates = gates::m3::gates().unwrap();
    let suites = suite::read(&workspace().join("fixtures/repo"), "M3", "M4", &gates, None).unwrap();
    let world = World::read(&workspace().join("fixtures/world").join(track)).unwrap();
    let suite = suites.iter().find(|suite| suite.phase.phase().track == track).unwrap();
    eprintln!("requests of {track}'s gate: {}", gate(suite, suite.phase.phase(), &world));
    bencher.bench_local(|| gate(suite, suite.phase.phase(), &world));
}
