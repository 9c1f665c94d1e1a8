//! Several gates at once, in the same second, on the same world.

use rstest::rstest;

use crate::ground::{CLOCK, CLOCK_ID, Gate, Kept, Ran, json};

#[rstest]
#[case::two(2, 3)]
#[case::four(4, 2)]
fn gates_at_once_never_share_a_run(#[case] gates: usize, #[case] rounds: usize) {
    for round in 0..rounds {
        let world = Kept::seeded();
        let gates: Vec<Gate> = (0..gates).map(|_| Gate::new().world_dir(world.dir()).clock(CLOCK)).collect();
        let running: Vec<_> = gates.iter().map(Gate::start).collect();
        let ended: Vec<Ran> = running.into_iter().map(|gate| gate.end()).collect();

        let inventory = world.inventory();
        assert!(inventory.values().all(|versions| versions.len() == 1), "round {round}: {inventory:#?}");
        let mut run_ids = Vec::new();
        for ran in &ended {
            let line = ran.line();
            match (ran.code, line.verdict.as_str()) {
                (0, "ADVANCE_TO_M4") => run_ids.push(run_id(&line.folder().join(format!("m3d_{CLOCK_ID}/run.json")))),
                (1, "HOLD_M3") => {
                    assert!(["PG-M3-execution_id_taken", "M3-B2"].contains(&line.roots[0].as_str()), "{ran:#?}");
                    let verdict = json(&line.verdict_file);
                    let stored = verdict["files"].as_array().unwrap().iter().filter(|f| !f["uri"].is_null()).count();
                    assert_eq!(stored, 0, "the loser wrote: {verdict:#}");
                }
                _ => panic!("round {round}: {ran:#?}"),
            }
        }
        assert!(!run_ids.is_empty(), "round {round}: nobody went through: {ended:#?}");
        let pinned: Vec<String> = inventory
            .keys()
            .filter_map(|(_, key)| key.strip_prefix("evidence/runs/")?.strip_suffix("/run.json"))
            .map(str::to_owned)
            .collect();
        run_ids.sort();
        assert_eq!(run_ids, pinned, "round {round}: each run.json has exactly one gate that pinned it");
    }
}

fn run_id(run_json: &std::path::Path) -> String {
    json(run_json)["platform_run_id"].as_str().unwrap().to_owned()
}
