//! The fixture goes through: verdict, files here and in S3, digests, and a checkout as it was.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::{Map, Value, json};

use crate::ground::{EVIDENCE, Gate, Inventory, Kept, PLAN, WORLD_BEGINS, fixture, json, sha256, tree, workspace};

const ID: &str = "20260213T214223Z";

#[test]
fn the_fixture_advances_and_every_artifact_is_here_and_in_s3() {
    let world = Kept::seeded();
    let checkout = tree(&workspace().join("fixtures"));
    let before = world.inventory();
    let gate = Gate::new().world_dir(world.dir()).clock(WORLD_BEGINS);

    let ran = gate.run();

    let folder = gate.out().join(format!("dev_min/m3/m3_{ID}"));
    assert_eq!(ran.code, 0, "{ran:#?}");
    assert_eq!(
        ran.last_line(),
        format!(
            "dev_min M3 ADVANCE_TO_M4 basis=rehearsal roots=- entailed=- cases=34 passed=34 verdict={}/verdict.json",
            folder.display()
        )
    );
    assert!(ran.stdout.contains("\nADVANCE_TO_M4 (rehearsal)\n"), "{ran:#?}");
    for lane in ["M3.A", "M3.B", "M3.C", "M3.D", "M3.E", "M3.F", "M3.G"] {
        assert!(ran.stdout.lines().any(|l| l.trim_start().starts_with(&format!("{lane}  closed"))), "{lane}: {ran:#?}");
    }
    assert_eq!(ran.cases().len(), 35);
    assert_eq!(ran.stderr, "");
    assert_eq!(tree(&workspace().join("fixtures")), checkout, "the checkout was touched");

    plans_minimum_evidence(&folder, &world);
    verdict_lists_every_file(&folder, &world, &before);
    a_person_is_still_asked(&folder);
    digest_is_of_the_payload(&folder);
}

/// Section 6 of the plan, read by no parser of ours.
fn plans_minimum_evidence(folder: &Path, world: &Kept) {
    let plan = std::fs::read_to_string(fixture().join(PLAN)).unwrap();
    let section = plan.split("## 6)").nth(1).unwrap().split("## 7)").next().unwrap();
    let mut keys: Vec<String> = section
        .lines()
        .filter_map(|line| line.split_once(". `")?.1.strip_suffix(".json`"))
        .map(|key| format!("{key}.json"))
        .collect();
    assert_eq!(keys.len(), 4, "{section}");
    // M3.E asks for a fifth.
    keys.push("evidence/dev_min/run_control/<m3_execution_id>/m4_runtime_scope_bundle.json".to_owned());
    let local = tree(folder);
    for key in keys {
        let key = key
            .replace("<platform_run_id>", &format!("platform_{ID}"))
            .replace("<m3_execution_id>", &format!("m3_{ID}"));
        let name = key.rsplit('/').next().unwrap();
        let here: Vec<&Vec<u8>> =
            local.iter().filter(|(path, _)| path.ends_with(&format!("/{name}"))).map(|(_, bytes)| bytes).collect();
        assert_eq!(here.len(), 1, "{name} on disk");
        assert_eq!(*here[0], world.evidence(&key), "{key} read back");
    }
}

fn verdict_lists_every_file(folder: &Path, world: &Kept, before: &Inventory) {
    let mut local = tree(folder);
    let verdict_bytes = local.remove("verdict.json").unwrap();
    let run_control = format!("evidence/dev_min/run_control/m3_{ID}/");
    assert_eq!(world.evidence(&format!("{run_control}verdict.json")), verdict_bytes);
    let verdict: Value = serde_json::from_slice(&verdict_bytes).unwrap();
    assert_eq!(verdict["verdict"], "ADVANCE_TO_M4");
    assert_eq!(verdict["basis"], "rehearsal");
    let listed: BTreeMap<&str, &str> = verdict["files"]
        .as_array()
        .unwrap()
        .iter()
        .map(|file| (file["path"].as_str().unwrap(), file["sha256"].as_str().unwrap()))
        .collect();
    let found: BTreeMap<&str, String> = local.iter().map(|(path, bytes)| (path.as_str(), sha256(bytes))).collect();
    assert_eq!(listed, found.iter().map(|(path, digest)| (*path, digest.as_str())).collect());
    let mut written = BTreeSet::from([format!("{run_control}verdict.json")]);
    for file in verdict["files"].as_array().unwrap() {
        let uri = file["uri"].as_str().unwrap_or_else(|| panic!("{file} is not in S3"));
        let key = uri.strip_prefix(&format!("s3://{EVIDENCE}/")).unwrap();
        assert_eq!(sha256(&world.evidence(key)), file["sha256"].as_str().unwrap(), "{uri}");
        written.insert(key.to_owned());
    }
    // Nothing else was written, nothing was written twice, and what was there stayed.
    let after = world.inventory();
    for (object, versions) in before {
        assert_eq!(after.get(object), Some(versions), "{object:?}");
    }
    let new: BTreeSet<String> =
        after.iter().filter(|(object, _)| !before.contains_key(*object)).map(|((_, key), _)| key.clone()).collect();
    assert_eq!(new, written);
    assert!(after.values().all(|versions| versions.len() == 1 && !versions[0].1), "{after:#?}");
}

fn a_person_is_still_asked(folder: &Path) {
    let asked = |document: &Value| {
        let steps = document["required_of_a_person"].as_array().unwrap();
        steps.iter().any(|step| step.as_str().unwrap().starts_with("USER confirms"))
    };
    let verdict = json(&folder.join("verdict.json"));
    let handoff = json(&folder.join(format!("m3g_{ID}/m4_handoff_pack.json")));
    assert!(asked(&verdict), "{verdict:#}");
    assert!(asked(&handoff), "{handoff:#}");
    assert_eq!(handoff["not_a_verdict"], true);
    assert_eq!(handoff["m3_verdict"], "ADVANCE_TO_M4");
    assert_eq!(handoff["basis"], "rehearsal");
    assert_eq!(handoff["platform_run_id"], format!("platform_{ID}"));
    assert_eq!(handoff["required_platform_run_id_env_value"], handoff["platform_run_id"]);
}

/// The digest, by the plan's words: keys sorted, no white space, without the digest and the time.
fn digest_is_of_the_payload(folder: &Path) {
    let mut run = json(&folder.join(format!("m3d_{ID}/run.json")));
    assert_eq!(run["platform_run_id"], format!("platform_{ID}"));
    assert_eq!(run["written_at_utc"], WORLD_BEGINS);
    assert_eq!(run["phase_id"], "P1");
    let payload = run.as_object_mut().unwrap();
    let digest = payload.remove("config_digest").unwrap();
    payload.remove("written_at_utc").unwrap();
    assert_eq!(digest, json!(sha256(sorted(&run).to_string().as_bytes())));
}

fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let by_key: BTreeMap<&String, Value> = members.iter().map(|(key, value)| (key, sorted(value))).collect();
            Value::Object(by_key.into_iter().map(|(key, value)| (key.clone(), value)).collect::<Map<_, _>>())
        }
        Value::Array(items) => items.iter().map(sorted).collect(),
        other => other.clone(),
    }
}
