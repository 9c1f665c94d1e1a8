//! The gate of M4 as a user sees it: the command as a process, its text, its exit code, its files.

#![expect(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "helpers of tests")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

const REGISTRY: &str = "docs/model_spec/platform/migration_to_dev/dev_min_handles.registry.v0.md";
const M2_HANDOFF: &str = "runs/dev_substrate/m2_j/20260213T205715Z/m3_handoff_pack.json";

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// A folder for evidence, and for a world where one is kept.
struct Ground {
    folder: TempDir,
    repository: PathBuf,
    variables: Vec<(&'static str, String)>,
}

/// What a gate said.
#[derive(Debug)]
struct Ran {
    code: Option<i32>,
    text: String,
}

impl Ran {
    /// The last line's words behind `name=`.
    fn last(&self, name: &str) -> &str {
        let line = self.text.lines().rfind(|line| line.contains(" verdict=")).unwrap_or_else(|| panic!("{self:#?}"));
        let begins = format!("{name}=");
        line.split(' ').find_map(|word| word.strip_prefix(begins.as_str())).unwrap_or_else(|| panic!("{self:#?}"))
    }

    fn folder(&self) -> &Path {
        Path::new(self.last("verdict")).parent().unwrap()
    }

    fn ends(&self, code: i32, verdict: &str, roots: &str) -> &Self {
        assert_eq!((self.code, self.last("roots")), (Some(code), roots), "{self:#?}");
        assert!(self.text.contains(&format!(" {verdict} basis=rehearsal")), "{self:#?}");
        self
    }
}

impl Ground {
    fn of(repository: PathBuf) -> Self {
        Self { folder: TempDir::new().unwrap(), repository, variables: Vec::new() }
    }

    fn new() -> Self {
        Self::of(workspace().join("fixtures/repo"))
    }

    /// One of the real plan repositories, where they are.
    fn real(name: &str) -> Option<Self> {
        let told = std::env::var_os("PHASEGATE_REAL_REPOS").map(PathBuf::from);
        let folder = told.clone().unwrap_or_else(|| workspace().join("../shared/platform-repos")).join(name);
        if folder.is_dir() {
            return Some(Self::of(folder));
        }
        assert!(told.is_none(), "PHASEGATE_REAL_REPOS has no {name}");
        eprintln!("not run: there is no {}", folder.display());
        None
    }

    /// The same on a copy, with texts replaced.
    fn edited(self, edits: &[(&str, &str, &str)]) -> Self {
        let copy = self.folder.path().join("repo");
        copy_all(&self.repository, &copy);
        for (path, was, is) in edits {
            let path = copy.join(path);
            let text = std::fs::read_to_string(&path).unwrap();
            assert_eq!(text.matches(was).count(), 1, "{}: `{was}`", path.display());
            std::fs::write(path, text.replacen(was, is, 1)).unwrap();
        }
        // What is pinned was pinned before.
        let _none = std::fs::remove_file(copy.join("gates.lock"));
        Self { repository: copy, ..self }
    }

    fn var(mut self, name: &'static str, value: &str) -> Self {
        self.variables.push((name, value.to_owned()));
        self
    }

    /// Keeps the world.
    fn kept(self) -> Self {
        let world = self.folder.path().join("kept").display().to_string();
        self.var("PHASEGATE_WORLD_DIR", &world)
    }

    fn run(&self, words: &[&str], more: &[(&str, &str)]) -> Ran {
        let mut command = Command::new(env!("CARGO_BIN_EXE_phasegate"));
        command.env_clear().current_dir(workspace()).args(["run"]).args(words);
        for name in ["PATH", "HOME"] {
            command.envs(std::env::var_os(name).map(|value| (name, value)));
        }
        command.env("PHASEGATE_REPO", &self.repository).env("PHASEGATE_OUT", self.folder.path().join("out"));
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.envs(more.iter().copied());
        let ran = command.output().unwrap();
        let text = [ran.stdout, ran.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
        Ran { code: ran.status.code(), text }
    }
}

fn copy_all(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_all(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))).unwrap()
}

/// All JSON files of a folder and below, by their names.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let all = walkdir::WalkDir::new(folder).into_iter().map(Result::unwrap).filter(|entry| entry.path().is_file());
    all.map(|entry| {
        let name = entry.path().strip_prefix(folder).unwrap().display().to_string();
        (name, std::fs::read(entry.path()).unwrap())
    })
    .collect()
}

#[test]
fn the_fixtures_daemons_come_up_and_every_file_of_the_contract_is_left() {
    let ground = Ground::new();
    let ran = ground.run(&["m4"], &[]);
    ran.ends(0, "ADVANCE_TO_M5", "-");
    assert_eq!((ran.last("cases"), ran.last("passed")), ("43", "43"));
    let names: Vec<String> =
        files(ran.folder()).into_keys().map(|name| name.rsplit('/').next().unwrap().to_owned()).collect();
    for name in [
        "daemons_ready.json",
        "m4_a_handle_closure_snapshot.json",
        "m4_b_service_map_snapshot.json",
        "m4_c_iam_binding_snapshot.json",
        "m4_d_dependency_snapshot.json",
        "m4_e_launch_contract_snapshot.json",
        "m4_f_daemon_start_snapshot.json",
        "m4_g_consumer_uniqueness_snapshot.json",
        "m4_h_readiness_publication_snapshot.json",
        "m4_i_verdict_snapshot.json",
        "m5_handoff_pack.json",
    ] {
        assert!(names.iter().any(|left| left == name), "{name} was not left: {names:#?}");
    }
    let verdict = json(Path::new(ran.last("verdict")));
    let ready = verdict["files"]
        .as_array()
        .unwrap()
        .iter()
        .find(|f| f["path"].as_str().unwrap().ends_with("daemons_ready.json"));
    let uri = ready.unwrap()["uri"].as_str().unwrap();
    assert!(uri.ends_with("evidence/runs/platform_20260213T214223Z/operate/daemons_ready.json"), "{uri}");
}

#[test]
fn two_runs_under_one_clock_leave_the_same_bytes() {
    let left = || {
        let ground = Ground::new();
        let ran = ground.run(&["m4"], &[]);
        ran.ends(0, "ADVANCE_TO_M5", "-");
        files(ran.folder())
    };
    let (first, second) = (left(), left());
    assert_eq!(first.keys().collect::<Vec<_>>(), second.keys().collect::<Vec<_>>());
    for (name, bytes) in &first {
        // What the server chooses and how long it took are no part of an artifact.
        if !["receipts.json", "findings.json", "course.json", "verdict.json"].contains(&name.as_str())
            && !name.starts_with("observations/")
            && name != "junit.xml"
        {
            assert!(second[name] == *bytes, "{name} differs");
        }
    }
}

#[test]
fn it_enters_on_the_one_execution_of_m3_that_is_named() {
    let ground = Ground::new().kept();
    let before = ground.run(&["m3", "--", "dev_min"], &[]);
    before.ends(0, "ADVANCE_TO_M4", "-");
    let m3 = before.folder().file_name().unwrap().to_str().unwrap().to_owned();

    let other = ground.run(&["m4"], &[("PHASEGATE_FROM", "m3_20260101T000000Z")]);
    other.ends(1, "HOLD_M4", "M4A-B1");
    assert!(other.text.contains("m3_20260101T000000Z/m4_handoff_pack.json: it is not in the store"), "{other:#?}");

    let ran = ground.run(&["m4"], &[("PHASEGATE_FROM", m3.as_str())]);
    ran.ends(0, "ADVANCE_TO_M5", "-");
    assert!(!ran.text.contains("trusted, unverified"), "its verdict is phasegate's own: {ran:#?}");
    let pack = files(ran.folder()).into_iter().find(|(name, _)| name.ends_with("m5_handoff_pack.json")).unwrap().1;
    let pack: Value = serde_json::from_slice(&pack).unwrap();
    assert_eq!(pack["source_execution_ids"]["m3"], Value::String(m3.clone()));

    // The run's readiness stands there: a second proof of it is not written over the first.
    let again = ground.run(&["m4"], &[("PHASEGATE_FROM", m3.as_str())]);
    again.ends(1, "HOLD_M4", "M4H-B2");
}

#[test]
fn an_execution_that_held_lets_nobody_in() {
    let scenario = "SCENARIO_EQUIVALENCE_KEY_INPUT = \"sha256(canonical_json_v1)\"";
    let broken = "SCENARIO_EQUIVALENCE_KEY_INPUT = \"TO_PIN\"";
    let ground = Ground::new().kept();
    let held = Ground { variables: ground.variables.clone(), ..Ground::new() }.edited(&[(REGISTRY, scenario, broken)]);
    let before = held.run(&["m3", "--", "dev_min"], &[]);
    before.ends(1, "HOLD_M3", "M3-B1");
    let m3 = before.folder().file_name().unwrap().to_str().unwrap().to_owned();
    let ran = ground.run(&["m4"], &[("PHASEGATE_FROM", m3.as_str())]);
    ran.ends(1, "HOLD_M4", "M4A-B1");
}

#[test]
fn a_preflight_starts_nothing() {
    let ran = Ground::new().var("PHASEGATE_MODE", "preflight").run(&["m4"], &[]);
    ran.ends(1, "HOLD_M4", "M4F-B1");
    assert!(ran.text.contains("a preflight starts nothing"), "{ran:#?}");
}

#[test]
fn the_seeds_plan_holds_by_the_one_role_that_its_registry_lacks() {
    let Some(ground) = Ground::real("dev_min-m4") else { return };
    let ran = ground.run(&["m4"], &[]);
    ran.ends(1, "HOLD_M4", "M4C-B1");
    assert_eq!((ran.last("entailed"), ran.last("cases")), ("M4I-B3,M4J-B1", "43"));
    assert!(
        ran.text.contains("SVC_ENV_CONFORMANCE") && ran.text.contains("dev_min_handles.registry.v0.md:758 to 790"),
        "{ran:#?}"
    );
}

#[test]
fn with_that_role_the_seeds_plan_advances() {
    let Some(ground) = Ground::real("dev_min-m4") else { return };
    let role = "arn:aws:iam::230372904534:role/fraud-platform-dev-min-env-conformance";
    let entry = format!(
        "    {{\n      \"handle\": \"ROLE_ENV_CONFORMANCE\",\n      \"value\": \"{role}\",\n      \
         \"materialization_origin\": \"terraform_output\",\n      \"secret_class\": \"non_secret\"\n    }}\n  ],\n  \"evidence_index\""
    );
    let ground = ground.edited(&[
        (
            REGISTRY,
            "  * for `SVC_CASE_TRIGGER`, `SVC_CM`, `SVC_LS`",
            "  * for `SVC_CASE_TRIGGER`, `SVC_CM`, `SVC_LS`\n\n* `ROLE_ENV_CONFORMANCE`\n\n  * for `SVC_ENV_CONFORMANCE`",
        ),
        (M2_HANDOFF, "    }\n  ],\n  \"evidence_index\"", &format!("    }},\n{entry}")),
    ]);
    let ran = ground.run(&["m4"], &[]);
    ran.ends(0, "ADVANCE_TO_M5", "-");
    assert_eq!((ran.last("cases"), ran.last("passed")), ("43", "43"));
}
