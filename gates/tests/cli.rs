//! The `phasegate` command, end to end: on a copy of the fixtures, and on the real plan repositories.

#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "helpers of tests")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use rstest::rstest;
use serde_json::Value;

const PLAN: &str = "docs/model_spec/platform/implementation_maps/dev_substrate/platform.M3.build_plan.md";
const REGISTRY: &str = "docs/model_spec/platform/migration_to_dev/dev_min_handles.registry.v0.md";
const ACCOUNT: &str = "230372904534";

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The command in `folder`, with nothing of this process's environment but what every program needs.
fn phasegate(folder: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_phasegate"));
    command.env_clear().current_dir(folder).args(words);
    for name in ["PATH", "HOME"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command
}

/// A copy of the fixture repository, and a folder for output beside it.
struct Ground {
    folder: tempfile::TempDir,
}

impl Ground {
    /// dev_min alone: most tests ask one gate.
    fn new() -> Self {
        let ground = Self::both_tracks();
        let documents = ground.repo().join("docs/model_spec/platform");
        std::fs::remove_dir_all(documents.join("implementation_maps/dev_substrate/dev_full")).unwrap();
        std::fs::remove_dir_all(ground.repo().join("runs/dev_substrate/dev_full")).unwrap();
        let lock = ground.lock();
        let of = |track: &str| lock.find(&format!("[[gate]]\ntrack = \"{track}\"")).unwrap();
        assert!(of("dev_full") < of("dev_min"));
        let own = format!("{}{}", &lock[..of("dev_full")], &lock[of("dev_min")..]);
        std::fs::write(ground.repo().join("gates.lock"), own).unwrap();
        ground
    }

    fn both_tracks() -> Self {
        let folder = tempfile::tempdir().unwrap();
        copy(&workspace().join("fixtures/repo"), &folder.path().join("repo"));
        Self { folder }
    }

    fn unlocked() -> Self {
        let ground = Self::new();
        std::fs::remove_file(ground.repo().join("gates.lock")).unwrap();
        ground
    }

    fn repo(&self) -> PathBuf {
        self.folder.path().join("repo")
    }

    fn edit(&self, path: &str, was: &str, is: &str) {
        let path = self.repo().join(path);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(was), "{} does not hold `{was}`", path.display());
        std::fs::write(path, text.replacen(was, is, 1)).unwrap();
    }

    /// The line of the first line that holds `text`.
    fn line_of(&self, path: &str, text: &str) -> usize {
        let all = std::fs::read_to_string(self.repo().join(path)).unwrap();
        1 + all.lines().position(|line| line.contains(text)).unwrap()
    }

    fn lock(&self) -> String {
        std::fs::read_to_string(self.repo().join("gates.lock")).unwrap()
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = phasegate(&self.repo(), words);
        command.env("PHASEGATE_OUT", self.folder.path().join("out"));
        command.env("PHASEGATE_WORLD", workspace().join("fixtures/world"));
        command
    }

    fn run(&self, words: &[&str]) -> Said {
        Said::of(self.command(words))
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// What a command said, and how it ended.
struct Said {
    exit: i32,
    out: String,
    err: String,
}

impl Said {
    fn of(mut command: Command) -> Self {
        let Output { status, stdout, stderr } = command.output().unwrap();
        Self {
            exit: status.code().unwrap(),
            out: String::from_utf8(stdout).unwrap(),
            err: String::from_utf8(stderr).unwrap(),
        }
    }

    #[track_caller]
    fn exits(&self, exit: i32) -> &Self {
        assert_eq!(self.exit, exit, "stdout:\n{}\nstderr:\n{}", self.out, self.err);
        self
    }

    #[track_caller]
    fn says(&self, text: &str) -> &Self {
        assert!(self.out.contains(text) || self.err.contains(text), "`{text}` not in\n{}\n{}", self.out, self.err);
        self
    }
}

#[test]
fn the_committed_lock_is_up_to_date() {
    Ground::new().run(&["lock", "--check"]).exits(0).says("gates.lock: up to date");
}

#[test]
fn a_lock_is_written_checked_and_written_again_with_the_same_bytes() {
    let ground = Ground::both_tracks();
    std::fs::remove_file(ground.repo().join("gates.lock")).unwrap();
    ground.run(&["lock", "--check"]).exits(1).says("there is none");
    assert!(!ground.repo().join("gates.lock").exists(), "--check writes nothing");
    ground.run(&["lock", "--account", ACCOUNT]).exits(0).says("gates.lock: written").says("added    ");
    let first = ground.lock();
    let fixture = std::fs::read_to_string(workspace().join("fixtures/repo/gates.lock")).unwrap();
    assert_eq!(first, fixture);
    ground.run(&["lock", "--check"]).exits(0);
    ground.run(&["lock"]).exits(0).says("up to date");
    assert_eq!(ground.lock(), first);
}

#[test]
fn ci_never_writes_a_lock() {
    let ground = Ground::unlocked();
    for words in [&["lock"][..], &["lock", "--accept-relaxed"]] {
        let mut command = ground.command(words);
        command.env("CI", "true");
        Said::of(command).exits(2).says("CI never writes gates.lock");
        assert!(!ground.repo().join("gates.lock").exists());
    }
    let mut check = ground.command(&["lock", "--check"]);
    check.env("CI", "true");
    Said::of(check).exits(1);
}

#[test]
fn a_relaxed_lock_is_written_only_when_that_is_accepted() {
    let ground = Ground::new();
    let before = ground.lock();
    ground.edit(PLAN, "- [ ] Nothing secret stands in the payload's evidence.\n", "");
    let above: Vec<&str> = before.lines().take_while(|line| !line.contains("Nothing secret stands")).collect();
    let line = 1 + above.iter().rposition(|line| *line == "[[gate.box]]").unwrap();
    let place = format!("relaxed  gates.lock:{line}: dev_min M3: box M3.C dod-3");
    ground.run(&["lock"]).exits(1).says(&place).says("not written: 0 added, 0 changed, 1 relaxed");
    assert_eq!(ground.lock(), before);
    ground.run(&["lock", "--check"]).exits(1);
    ground.run(&["lock", "--accept-relaxed"]).exits(0).says("written");
    assert_ne!(ground.lock(), before);
    ground.run(&["lock", "--check"]).exits(0);
}

#[rstest]
#[case::another_account(&["lock", "--account", "111122223333"], 1, "relaxed  gates.lock:5: -: account: 230372904534 -> 111122223333")]
#[case::no_account(&["lock", "--account", "12"], 2, "12 digits")]
#[case::both(&["lock", "--check", "--accept-relaxed"], 2, "cannot be used with")]
fn what_lock_refuses(#[case] words: &[&str], #[case] exit: i32, #[case] says: &str) {
    let ground = Ground::new();
    let before = ground.lock();
    ground.run(words).exits(exit).says(says);
    assert_eq!(ground.lock(), before);
}

#[rstest]
#[case::unreadable_lock("gates.lock", "version = 1", "version = 1\nskip = true", "skip")]
#[case::later_lock("gates.lock", "version = 1", "version = 9", "version 9")]
#[case::unreadable_plan(PLAN, "- [ ] M3.A closed", "- []M3.A closed", "a requirement in a list of boxes has no box")]
fn what_cannot_be_read_is_not_locked(#[case] path: &str, #[case] was: &str, #[case] is: &str, #[case] says: &str) {
    let ground = Ground::new();
    ground.edit(path, was, is);
    ground.run(&["lock", "--check"]).exits(3).says(says);
    ground.run(&["lock", "--accept-relaxed"]).exits(3);
    let ran = ground.run(&["run", "m3"]);
    ran.exits(3).says(says);
    assert!(!ran.out.contains("ADVANCE_TO_M4"), "{}", ran.out);
}

#[test]
fn the_gate_runs_from_the_command_and_advances_under_its_lock() {
    let ground = Ground::new();
    ground.run(&["run", "m3", "--locked"]).exits(0).says("ADVANCE_TO_M4").says("cases=34 passed=34");
    let inputs = inputs(&ground);
    assert!(inputs.contains(&"lock".to_owned()), "{inputs:?}");
}

/// The roles of what the one execution read.
fn inputs(ground: &Ground) -> Vec<String> {
    let executions = ground.folder.path().join("out/dev_min/m3");
    let folder = std::fs::read_dir(executions).unwrap().next().unwrap().unwrap().path();
    assert!(folder.join("inputs/gates.lock").is_file());
    let findings: Value = serde_json::from_slice(&std::fs::read(folder.join("findings.json")).unwrap()).unwrap();
    let inputs = findings["inputs"].as_array().unwrap().clone();
    inputs.iter().map(|input| input["role"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn without_a_lock_it_runs_with_a_note_unless_one_is_asked_for() {
    let ground = Ground::unlocked();
    ground.run(&["run", "m3"]).exits(0).says("runs without a lock").says("ADVANCE_TO_M4");
    ground.run(&["run", "m3", "--locked"]).exits(1).says("roots=PG-M3-lock_missing");
    let mut command = ground.command(&["run", "m3"]);
    command.env("PHASEGATE_LOCKED", "1");
    Said::of(command).exits(1).says("roots=PG-M3-lock_missing");
}

#[test]
fn a_lock_of_another_track_pins_nothing_here() {
    let ground = Ground::new();
    ground.edit("gates.lock", "track = \"dev_min\"\nphase = \"M3\"", "track = \"dev_full\"\nphase = \"M3\"");
    ground.run(&["run", "m3"]).exits(0).says("pins nothing for dev_min M3");
    ground.run(&["run", "m3", "--locked"]).exits(1).says("PG-M3-lock_missing");
}

#[test]
fn a_box_that_changed_is_stale_and_names_both_lines() {
    let ground = Ground::new();
    let was = "Computing the digest again gives the same value";
    ground.edit(PLAN, was, "Computing the digest again gives nearly the same value");
    let ran = ground.run(&["run", "m3"]);
    let place = format!("{PLAN}:{}", ground.line_of(PLAN, "nearly the same"));
    ran.exits(1)
        .says("HOLD_M3")
        .says("roots=PG-M3-lock_stale")
        .says(&place)
        .says("pinned at gates.lock:")
        .says("code      PG-M3.C-stale");
    assert!(!ran.out.contains("ADVANCE_TO_M4"), "{}", ran.out);
}

#[rstest]
#[case::orphan("- [ ] Nothing secret stands in the payload's evidence.\n", "", "PG-M3-lock_orphan", "gates.lock:")]
#[case::unbound("- [ ] M3.G closed", "- [ ] M3.G closed\n- [ ] All is well", "PG-M3-lock_unbound", PLAN)]
#[case::meaning("the run id has a wrong form", "the run id has an odd form", "PG-M3-lock_stale", "code M3-B2")]
#[case::register("(Must Be Empty Before M3 Execution)", "(for the record)", "PG-M3-lock_stale", "register 1")]
fn a_plan_that_differs_from_its_lock_holds(
    #[case] was: &str,
    #[case] is: &str,
    #[case] root: &str,
    #[case] says: &str,
) {
    let ground = Ground::new();
    ground.edit(PLAN, was, is);
    ground.run(&["run", "m3"]).exits(1).says("HOLD_M3").says(&format!("roots={root}")).says(says);
}

#[test]
fn a_handle_that_has_another_value_is_stale_at_the_registrys_line() {
    let ground = Ground::new();
    ground.edit(REGISTRY, "CONFIG_DIGEST_ALGO = \"sha256\"", "CONFIG_DIGEST_ALGO = \"sha512\"");
    let place = format!("{REGISTRY}:{}", ground.line_of(REGISTRY, "sha512"));
    ground.run(&["run", "m3"]).exits(1).says("PG-M3-lock_stale").says(&place).says("\"sha256\" -> \"sha512\"");
    ground.run(&["lock"]).exits(0).says(&format!("changed  {place}: dev_min M3: handle CONFIG_DIGEST_ALGO"));
}

#[test]
fn a_world_of_another_account_than_the_pinned_one_holds() {
    let ground = Ground::new();
    ground.edit("gates.lock", ACCOUNT, "111122223333");
    ground.run(&["run", "m3"]).exits(1).says("roots=PG-M3-lock_account");
}

fn binding(text: &str, requirement: &str) -> String {
    let hash = support::plan::hash_of(text);
    format!(
        "[[binding]]\nlane = \"M3.C\"\nrequirement = \"{requirement}\"\nhash = \"{hash}\"\ntext = \"{text}\"\n\n[[gate]]"
    )
}

#[test]
fn a_repository_binds_a_wording_of_its_own() {
    let ground = Ground::new();
    let text = "The payload's evidence is free of secrets.";
    ground.edit(PLAN, "Nothing secret stands in the payload's evidence.", text);
    ground.run(&["lock"]).exits(0).says("bound to").says("-> \"The payload's evidence is free of secrets.\", unbound");
    ground.run(&["run", "m3"]).exits(1).says("nothing in this version answers it");
    let requirement = requirement_of("Nothing secret stands in the payload's evidence.");
    ground.edit("gates.lock", "[[gate]]", &binding(text, &requirement));
    ground.run(&["lock"]).exits(0).says(&format!("unbound -> bound to {requirement}"));
    ground.run(&["run", "m3", "--locked"]).exits(0).says("ADVANCE_TO_M4");
    let list = ground.run(&["list", "m3"]);
    list.exits(0).says(&format!("{requirement}: "));
}

/// The requirement that the fixture's lock pins for a text.
fn requirement_of(text: &str) -> String {
    let lock: toml::Value =
        toml::from_str(&std::fs::read_to_string(workspace().join("fixtures/repo/gates.lock")).unwrap()).unwrap();
    let gates = lock["gate"].as_array().unwrap();
    let of_track = gates.iter().filter(|gate| gate["track"].as_str() == Some("dev_min"));
    let mut boxes = of_track.flat_map(|gate| gate["box"].as_array().unwrap());
    boxes.find(|b| b["text"].as_str() == Some(text)).unwrap()["requirement"].as_str().unwrap().to_owned()
}

#[rstest]
#[case::unknown_requirement(
    "Nothing secret stands in the payload's evidence.",
    "no-such",
    "no lane declares the requirement `no-such`",
    "PG-M3-lock_binding"
)]
#[case::bound_twice(
    "Nothing secret stands in the payload's evidence.",
    "payload-complete",
    "keep one",
    "PG-M3-lock_binding"
)]
#[case::orphan("A text of the past.", "payload-complete", "no plan of M3 has a box", "PG-M3-lock_orphan")]
fn a_binding_that_cannot_be_used_holds(#[case] text: &str, #[case] to: &str, #[case] says: &str, #[case] root: &str) {
    let ground = Ground::new();
    // Any requirement that the lane has will do, but the right one.
    let to = if to == "payload-complete" {
        requirement_of("The payload carries all identity and provenance fields of P1.")
    } else {
        to.to_owned()
    };
    ground.edit("gates.lock", "[[gate]]", &binding(text, &to));
    ground.run(&["run", "m3"]).exits(1).says(says).says(root).says("gates.lock:7");
    ground.run(&["list", "m3"]).exits(3).says(says);
}

#[test]
fn run_takes_the_flags_of_cargos_harness() {
    let ground = Ground::new();
    let listed = ground.run(&["run", "m3", "--", "--list", "--format", "terse"]);
    listed.exits(0);
    assert_eq!(listed.out.lines().filter(|line| line.ends_with(": test")).count(), 35, "{}", listed.out);
    assert!(!ground.folder.path().join("out").exists(), "a list writes nothing");
    ground.run(&["run", "m3", "--", "no such case"]).exits(0).says("0 of 35 selected, no verdict");
    ground.run(&["run", "m3", "--", "M3.A"]).exits(0).says(" PARTIAL ");
    let mut command = ground.command(&["run", "m3", "--", "M3.A"]);
    command.env("CI", "true");
    Said::of(command).exits(4);
    ground.run(&["run", "m5"]).exits(2).says("no gate for M5");
    ground.run(&["run", "soon"]).exits(2).says("is no phase");
}

#[test]
fn the_repository_is_the_flag_else_the_variable_else_the_current_folder() {
    let ground = Ground::new();
    let elsewhere = tempfile::tempdir().unwrap();
    let repo = ground.repo();
    let repo = repo.to_str().unwrap();
    Said::of(phasegate(elsewhere.path(), &["list", "m3", "--repo", repo])).exits(0).says("34 cases");
    let mut command = phasegate(elsewhere.path(), &["list", "m3"]);
    command.env("PHASEGATE_REPO", repo);
    Said::of(command).exits(0).says("34 cases");
    let mut empty = phasegate(&ground.repo(), &["list", "m3"]);
    empty.env("PHASEGATE_REPO", "");
    Said::of(empty).exits(0).says("34 cases");
    Said::of(phasegate(elsewhere.path(), &["list", "m3"])).exits(3).says("platform.M3.build_plan.md");
    Said::of(phasegate(elsewhere.path(), &["list"])).exits(3);
    Said::of(phasegate(elsewhere.path(), &["lint"])).exits(3);
    Said::of(phasegate(elsewhere.path(), &["lock"])).exits(3);
    Said::of(phasegate(elsewhere.path(), &["run", "m3"])).exits(3);
    Said::of(phasegate(elsewhere.path(), &["list", "--repo", "gone"])).exits(3).says("gone");
    assert_eq!(std::fs::read_dir(elsewhere.path()).unwrap().count(), 0, "nothing is written");
}

#[test]
fn lint_says_what_cannot_be_read_with_its_line() {
    let ground = Ground::new();
    ground.run(&["lint"]).exits(0).says("0 error(s)");
    ground.edit(PLAN, "- [ ] M3.A closed", "- []M3.A closed");
    ground.edit(REGISTRY, "* `CONFIG_DIGEST_ALGO = ", "* `CONFIG_DIGEST_ALGO = [");
    let line = ground.line_of(PLAN, "- []M3.A closed");
    let registry = ground.line_of(REGISTRY, "CONFIG_DIGEST_ALGO = [");
    let lint = ground.run(&["lint"]);
    lint.exits(3)
        .says(&format!("{PLAN}:{line}: error: "))
        .says("  | - []M3.A closed")
        .says(&format!("{REGISTRY}:{registry}: error: "));
    ground.run(&["lint", PLAN]).exits(3).says(&format!("{PLAN}:{line}: error: "));
    ground.run(&["lint", "gone.md"]).exits(3).says("gone.md");
    ground.run(&["list", "m3"]).exits(3).says("line(s) cannot be read");
}

#[rstest]
#[case::another_machine("http://192.0.2.1:5001")]
#[case::a_name_like_loopback("http://127.0.0.1.example.org:5001")]
#[case::the_cloud("https://s3.amazonaws.com")]
fn only_this_machine_is_seeded(#[case] endpoint: &str) {
    let ground = Ground::new();
    let world = workspace().join("fixtures/world/dev_min");
    let mut command = ground.command(&["seed", "--world", world.to_str().unwrap(), "--endpoint", endpoint]);
    command.env("AWS_ACCESS_KEY_ID", "test").env("AWS_SECRET_ACCESS_KEY", "test");
    Said::of(command).exits(2).says("may not be seeded");
}

#[test]
fn seed_says_what_it_lacks() {
    let ground = Ground::new();
    ground.run(&["seed", "--world", "gone", "--endpoint", "http://127.0.0.1:9"]).exits(5).says("gone");
    ground.run(&["seed", "--world", "gone"]).exits(2).says("--endpoint");
}

#[test]
fn help_and_bad_words() {
    let ground = Ground::new();
    ground.run(&["--help"]).exits(0).says("Exit codes:").says("gates.lock");
    ground.run(&["--version"]).exits(0).says("phasegate ");
    ground.run(&[]).exits(2);
    ground.run(&["dance"]).exits(2);
}

/// The folder of the real plan repositories; none, and a word on stderr, when it is not there.
fn real_repositories() -> Option<PathBuf> {
    let asked = std::env::var_os("PHASEGATE_REAL_REPOS").map(PathBuf::from);
    let path = asked.clone().unwrap_or_else(|| workspace().join("../shared/platform-repos"));
    if path.is_dir() {
        return Some(path);
    }
    assert!(asked.is_none(), "PHASEGATE_REAL_REPOS is no folder: {}", path.display());
    eprintln!("not run: no real plan repositories at {}", path.display());
    None
}

#[rstest]
#[case::dev_min_m3("dev_min-m3", "m3", "dev_min", 28, 6, true)]
#[case::dev_full_m3("dev_full-m3", "M3", "dev_full", 43, 47, true)]
#[case::dev_min_m1("dev_min-m1", "m1", "dev_min", 24, 0, true)]
#[case::dev_min_m4_and_its_m3("dev_min-m4", "m3", "dev_min", 32, 44, true)]
#[case::dev_min_m4("dev_min-m4", "m4", "dev_min", 43, 0, true)]
#[case::dev_min_master("dev_min-plan", "plan", "dev_min", 20, 0, false)]
fn real_plans_are_listed_with_their_counts(
    #[case] repository: &str,
    #[case] phase: &str,
    #[case] track: &str,
    #[case] boxes: usize,
    #[case] rows: usize,
    #[case] gate: bool,
) {
    let Some(root) = real_repositories() else { return };
    let elsewhere = tempfile::tempdir().unwrap();
    let repo = root.join(repository);
    let said =
        Said::of(phasegate(elsewhere.path(), &["list", phase, "--format", "json", "--repo", repo.to_str().unwrap()]));
    said.exits(0);
    let listed: Value = serde_json::from_str(&said.out).unwrap();
    let [plan] = listed.as_array().unwrap().as_slice() else { panic!("{}", said.out) };
    assert_eq!((plan["track"].as_str(), plan["gate"].as_bool()), (Some(track), Some(gate)));
    let cases = plan["cases"].as_array().unwrap();
    assert_eq!(cases.len(), boxes + rows);
    assert_eq!(cases.iter().filter(|case| case["kind"] == "row").count(), rows);
    let bound = cases.iter().filter(|case| case["bound"] == true);
    assert!(bound.clone().all(|case| !case["proofs"].as_array().unwrap().is_empty()), "no case is bound to nothing");
    assert_eq!(bound.count() > 0, gate);
    assert!(cases.iter().all(|case| case["place"]["line"].as_u64() > Some(0)));
}

#[rstest]
#[case("dev_min-m1", &["plan", "M0", "M1"])]
#[case("dev_min-m3", &["plan", "M0", "M1", "M2", "M3"])]
#[case("dev_min-m4", &["plan", "M0", "M1", "M2", "M3", "M4"])]
#[case("dev_min-plan", &["plan", "M0", "M1"])]
#[case("dev_full-m3", &["plan", "M0", "M1", "M2", "M3"])]
fn real_repositories_are_listed_and_linted_whole(#[case] repository: &str, #[case] phases: &[&str]) {
    let Some(root) = real_repositories() else { return };
    let elsewhere = tempfile::tempdir().unwrap();
    let repo = root.join(repository);
    let repo = repo.to_str().unwrap();
    let said = Said::of(phasegate(elsewhere.path(), &["list", "--format", "json", "--repo", repo]));
    let listed: Value = serde_json::from_str(&said.exits(0).out).unwrap();
    let found: Vec<&str> = listed.as_array().unwrap().iter().map(|plan| plan["phase"].as_str().unwrap()).collect();
    assert_eq!(found, phases);
    let counted = format!("{} plan(s) and 1 registry checked: 0 error(s)", phases.len());
    Said::of(phasegate(elsewhere.path(), &["lint", "--repo", repo])).exits(0).says(&counted);
    let one = Path::new(repo).join(listed[0]["path"].as_str().unwrap());
    Said::of(phasegate(elsewhere.path(), &["lint", one.to_str().unwrap()]))
        .exits(0)
        .says("1 plan(s) and 1 registry checked");
}

#[test]
fn a_real_repository_without_a_lock_fails_where_one_is_asked_for() {
    let Some(root) = real_repositories() else { return };
    let ground = Ground::new();
    let repo = root.join("dev_min-m3");
    ground.run(&["run", "m3", "--locked", "--repo", repo.to_str().unwrap()]).exits(1).says("PG-M3-lock_missing");
}

/// One lane alone goes on from what a whole run left, and never speaks for the phase.
#[test]
fn one_lane_runs_alone_on_stored_evidence() {
    let ground = Ground::both_tracks();
    let kept = ground.folder.path().join("kept");
    let run = |words: &[&str]| {
        let mut command = ground.command(words);
        command.env("PHASEGATE_WORLD_DIR", &kept);
        Said::of(command)
    };
    let whole = run(&["run", "m3", "--", "dev_full"]);
    let folder = whole.exits(0).out.lines().last().unwrap().rsplit('/').nth(1).unwrap().to_owned();
    let id = folder.as_str();
    whole.says("dev_full M3 ADVANCE_TO_M4").says(&format!("{id}/verdict.json"));
    let alone = run(&["run", "m3", "--lane", "m3.c", "--from", id, "--track", "dev_full"]);
    alone.exits(0).says("dev_full M3 PARTIAL").says(&format!("M3.C alone, on the evidence of {id}"));
    run(&["run", "m3", "--lane", "M3.C", "--from", id]).exits(2).says("say which is meant with --track");
    run(&["run", "m3", "--lane", "M3.Z", "--from", id]).exits(2).says("no plan of M3 here has a gate with a lane M3.Z");
    run(&["run", "m3", "--lane", "M3.I", "--from", "m3_20200101T000000Z"]).exits(2).says("name an execution");
    run(&["run", "m3", "--lane", "M3.C"]).exits(2).says("--from");
    // Observations that were changed are no evidence.
    let observed = ground.folder.path().join(format!("out/dev_full/m3/{id}/observations/M3.B.json"));
    let text = std::fs::read_to_string(&observed).unwrap();
    std::fs::write(&observed, text.replacen("platform_2026", "platform_2025", 1)).unwrap();
    let words = ["run", "m3", "--lane", "M3.C", "--from", id, "--track", "dev_full"];
    run(&words).exits(2).says("the observations were changed");
}
