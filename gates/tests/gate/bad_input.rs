//! Input that cannot be used: a message that says what to do, the documented exit code, nothing half-written.

use std::path::Path;

use rstest::rstest;

use crate::ground::{CLOCK, Gate, HANDOFF, Kept, OwnCopy, PLAN, REGISTRY, Ran, Server, json, sha256, tree};

const USAGE: i32 = 2;
const DOCUMENTS: i32 = 3;
const EVIDENCE: i32 = 5;

/// No run of this file advances, and none leaves a half-written folder: nothing at all, or a verdict
/// that lists every file beside it.
fn refused(gate: &Gate, ran: &Ran, code: i32, says: &[&str]) {
    assert_eq!(ran.code, code, "{ran:#?}");
    let said = ran.said();
    for words in says {
        assert!(said.contains(words), "`{words}` is not in {ran:#?}");
    }
    assert!(!said.contains("ADVANCE_TO_M4 basis") && !said.contains("WOULD_ADVANCE"), "{ran:#?}");
    whole_or_nothing(&gate.out());
}

fn whole_or_nothing(out: &Path) {
    if !out.is_dir() {
        return;
    }
    let phase = out.join("dev_min/m3");
    let executions = if phase.is_dir() { std::fs::read_dir(phase).unwrap().collect() } else { Vec::new() };
    for execution in executions {
        let folder = execution.unwrap().path();
        let mut files = tree(&folder);
        files.remove("verdict.json").unwrap_or_else(|| panic!("{} has no verdict", folder.display()));
        let verdict = json(&folder.join("verdict.json"));
        assert_eq!(verdict["verdict"], "HOLD_M3");
        let listed: Vec<(&str, &str)> = verdict["files"]
            .as_array()
            .unwrap()
            .iter()
            .map(|f| (f["path"].as_str().unwrap(), f["sha256"].as_str().unwrap()))
            .collect();
        let found: Vec<(String, String)> = files.iter().map(|(path, bytes)| (path.clone(), sha256(bytes))).collect();
        assert_eq!(listed, found.iter().map(|(p, d)| (p.as_str(), d.as_str())).collect::<Vec<_>>());
    }
}

#[test]
fn a_repository_that_is_not_there() {
    for words in [&[][..], &["--list"]] {
        let gate = Gate::new().repo(Path::new("/nonexistent/plans")).args(words);
        let ran = gate.run();
        refused(&gate, &ran, DOCUMENTS, &["/nonexistent/plans", "PHASEGATE_REPO"]);
        assert!(!gate.out().exists());
    }
}

#[test]
fn a_repository_without_a_plan() {
    let copy = OwnCopy::empty();
    let gate = Gate::new().repo(copy.path());
    let ran = gate.run();
    refused(&gate, &ran, DOCUMENTS, &["platform.M3.build_plan.md", "point PHASEGATE_REPO at", "M3::plans"]);
    assert!(ran.stdout.contains("FAILED"), "nothing found is a failure: {ran:#?}");
    assert!(!gate.out().exists());
}

#[rstest]
#[case::empty("")]
#[case::only_a_title("# Dev Substrate Deep Plan - M3 (P1 Run Pinning)\n")]
fn an_empty_plan(#[case] text: &str) {
    let copy = OwnCopy::of_fixture().write(PLAN, text);
    let gate = Gate::new().repo(copy.path()).clock(CLOCK);
    let ran = gate.run();
    refused(&gate, &ran, DOCUMENTS, &[PLAN, "Authority Inputs", "list its path there"]);
}

#[test]
fn a_plan_without_authority_inputs() {
    let copy = OwnCopy::of_fixture().replace_between(PLAN, "## 1) Authority Inputs", "## 2) Scope Boundary", "\n\n");
    let gate = Gate::new().repo(copy.path()).clock(CLOCK);
    let ran = gate.run();
    refused(&gate, &ran, DOCUMENTS, &[PLAN, "no `Authority Inputs` section names a handle registry"]);
    assert!(!gate.out().exists());
}

#[test]
fn a_plan_line_that_cannot_be_read() {
    let copy = OwnCopy::of_fixture().edit(PLAN, "- [ ] M3.A closed", "- [y] M3.A closed");
    let gate = Gate::new().repo(copy.path()).clock(CLOCK);
    let ran = gate.run();
    let line =
        1 + std::fs::read_to_string(copy.path().join(PLAN)).unwrap().lines().position(|l| l.contains("[y]")).unwrap();
    refused(&gate, &ran, DOCUMENTS, &["PG-M3-plan_error", &format!("{PLAN}:{line}")]);
}

#[test]
fn a_registry_that_is_not_there() {
    let copy = OwnCopy::of_fixture().remove(REGISTRY);
    let gate = Gate::new().repo(copy.path()).clock(CLOCK);
    let ran = gate.run();
    refused(&gate, &ran, DOCUMENTS, &[REGISTRY, "is not in the plan repository", "create it", &format!("{PLAN}:13")]);
    assert!(!gate.out().exists());
}

#[test]
fn a_registry_that_is_not_text() {
    let copy = OwnCopy::of_fixture().write(REGISTRY, b"caf\xe9");
    let gate = Gate::new().repo(copy.path()).clock(CLOCK);
    let ran = gate.run();
    refused(&gate, &ran, DOCUMENTS, &[REGISTRY, "is not UTF-8 text", "offset 3", "save it as UTF-8"]);
    assert!(!gate.out().exists());
}

#[test]
fn a_registry_line_that_is_required_and_cannot_be_read() {
    let copy =
        OwnCopy::of_fixture().edit(REGISTRY, "`CONFIG_DIGEST_ALGO = \"sha256\"`", "`CONFIG_DIGEST_ALGO = \"sha256");
    let gate = Gate::new().repo(copy.path()).clock(CLOCK);
    let ran = gate.run();
    let line = std::fs::read_to_string(copy.path().join(REGISTRY))
        .unwrap()
        .lines()
        .position(|l| l.contains("CONFIG_DIGEST_ALGO ="))
        .unwrap();
    refused(&gate, &ran, 1, &[&format!("{REGISTRY}:{}", line + 1), "CONFIG_DIGEST_ALGO", "mend it"]);
}

#[rstest]
#[case::missing(OwnCopy::of_fixture().remove(HANDOFF), "PG-M3.A-handoff_readable", "is not there")]
#[case::not_json(OwnCopy::of_fixture().write(HANDOFF, "{"), "PG-M3.A-handoff_readable", "is not JSON")]
#[case::hold(OwnCopy::of_fixture().edit(HANDOFF, "ADVANCE_TO_M3", "HOLD_M2"), "PG-M3.A-handoff_advances", "HOLD_M2")]
fn a_handoff_that_does_not_hand_over(#[case] copy: OwnCopy, #[case] root: &str, #[case] says: &str) {
    let world = Kept::seeded();
    let before = world.inventory();
    let gate = Gate::new().repo(copy.path()).world_dir(world.dir()).clock(CLOCK);
    let ran = gate.run();
    refused(&gate, &ran, 1, &[HANDOFF, says, "next: "]);
    assert!(ran.line().roots.contains(&root.to_owned()), "{ran:#?}");
    assert_eq!(world.inventory(), before, "something was written to S3");
}

#[rstest]
#[case::clock(&[("PHASEGATE_CLOCK", "noon")], &["PHASEGATE_CLOCK", "`noon`", "2026-02-13T21:42:23Z"])]
#[case::clock_zone(&[("PHASEGATE_CLOCK", "2026-02-13T21:42:23+01:00")], &["PHASEGATE_CLOCK", "it must end in Z"])]
#[case::substrate(&[("PHASEGATE_SUBSTRATE", "cloud")], &["PHASEGATE_SUBSTRATE=`cloud`", "embedded, endpoint, aws"])]
#[case::mode(&[("PHASEGATE_MODE", "dry")], &["PHASEGATE_MODE=`dry`", "preflight, commit"])]
#[case::no_endpoint(&[("PHASEGATE_SUBSTRATE", "endpoint")], &["needs AWS_ENDPOINT_URL"])]
#[case::clock_on_aws(&[("PHASEGATE_SUBSTRATE", "aws"), ("PHASEGATE_CLOCK", CLOCK)], &["unset PHASEGATE_CLOCK"])]
#[case::endpoint_on_aws(&[("PHASEGATE_SUBSTRATE", "aws"), ("AWS_ENDPOINT_URL", "http://127.0.0.1:1")], &["AWS_ENDPOINT_URL is set"])]
#[case::world_on_aws(&[("PHASEGATE_SUBSTRATE", "aws"), ("PHASEGATE_WORLD_DIR", "w")], &["PHASEGATE_WORLD_DIR"])]
fn a_variable_that_cannot_be_used(#[case] variables: &[(&'static str, &str)], #[case] says: &[&str]) {
    let gate = variables.iter().fold(Gate::new(), |gate, (name, value)| gate.var(name, value));
    let ran = gate.run();
    refused(&gate, &ran, USAGE, says);
    assert_eq!(ran.stdout, "");
    assert!(!gate.out().exists());
}

#[test]
fn an_argument_that_nobody_knows() {
    let gate = Gate::new().args(&["--no-such-flag"]);
    let ran = gate.run();
    refused(&gate, &ran, USAGE, &["--no-such-flag"]);
}

#[test]
fn a_server_that_is_not_there() {
    let gate = Gate::on_server(Server::closed_port());
    let ran = gate.run();
    refused(&gate, &ran, 1, &["PG-M3-account", "refused", "AWS_ENDPOINT_URL"]);
    assert_eq!(ran.line().roots, ["PG-M3-account"]);
}

#[test]
fn a_server_that_is_no_address() {
    let gate = Gate::on_server("127.0.0.1:5001".to_owned());
    let ran = gate.run();
    refused(&gate, &ran, EVIDENCE, &["PG-M3-substrate", "is not a server's URL", "http://host:port"]);
}

#[test]
fn a_server_that_denies_everything() {
    let server = Server::that_denies(false);
    let gate = Gate::on_server(server.url());
    let ran = gate.run();
    refused(&gate, &ran, 1, &["PG-M3-account", "denied", "check credentials"]);
    assert_eq!(server.puts(), 0);
}

#[test]
fn an_s3_that_denies_everything() {
    let server = Server::that_denies(true);
    let gate = Gate::on_server(server.url());
    let ran = gate.run();
    refused(&gate, &ran, 1, &["denied", "head-bucket", "next: "]);
    let verdict = json(&ran.line().verdict_file);
    assert!(verdict["files"].as_array().unwrap().iter().all(|f| f["uri"].is_null()), "{verdict:#}");
}

#[test]
fn no_credentials() {
    let gate = Gate::on_server(Server::closed_port()).var("AWS_ACCESS_KEY_ID", "").var("AWS_SECRET_ACCESS_KEY", "");
    let ran = gate.run();
    refused(&gate, &ran, 1, &["PG-M3-account", "credential"]);
}

#[test]
fn a_world_that_is_not_there() {
    let gate = Gate::new().clock(CLOCK).var("PHASEGATE_WORLD", "/nonexistent/world");
    let ran = gate.run();
    refused(&gate, &ran, EVIDENCE, &["/nonexistent/world/dev_min", "PHASEGATE_WORLD"]);
    assert!(!gate.out().exists());
}

#[test]
fn a_kept_world_that_is_none() {
    let folder = tempfile::TempDir::new().unwrap();
    std::fs::write(folder.path().join("world.json"), "{}}").unwrap();
    let gate = Gate::new().clock(CLOCK).world_dir(folder.path());
    let ran = gate.run();
    refused(&gate, &ran, EVIDENCE, &["PG-M3-substrate", "is not a world of this program"]);
}

#[test]
fn a_folder_that_cannot_be_written() {
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("a_file");
    std::fs::write(&file, "in the way").unwrap();
    let gate = Gate::new().clock(CLOCK).var("PHASEGATE_OUT", &file);
    let ran = gate.run();
    refused(&gate, &ran, EVIDENCE, &["a_file", "set PHASEGATE_OUT to a folder that can be written"]);
}
