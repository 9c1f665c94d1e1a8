//! `phasegate verify`: an auditor's reading of what a gate left, in the folder and in the store.

use std::path::{Path, PathBuf};
use std::process::Command;

use rstest::rstest;
use serde_json::Value;

use support::run::outcome::{Mode, RunBasis};
use support::run::verify::{Expected, Recorded};

use crate::ground::{CLOCK, CLOCK_ID, EVIDENCE, Gate, Kept, Ran, json, sha256, tree};

/// One execution of dev_min that advanced, in a world that is kept.
struct Left {
    world: Kept,
    gate: Gate,
    folder: PathBuf,
}

const PREFIX: &str = "evidence/dev_min/run_control";

impl Left {
    fn by_a_gate() -> Self {
        let world = Kept::seeded();
        let gate = Gate::new().world_dir(world.dir()).clock(CLOCK);
        let ran = gate.run();
        assert_eq!(ran.code, 0, "{ran:#?}");
        let folder = ran.line().folder().to_owned();
        Self { world, gate, folder }
    }

    fn id(&self) -> String {
        format!("m3_{CLOCK_ID}")
    }

    /// Audits what `words` name.
    fn verify(&self, words: &[&str]) -> Ran {
        self.verify_on("embedded", words)
    }

    fn verify_on(&self, substrate: &str, words: &[&str]) -> Ran {
        let before = (tree(self.world.dir()), tree(&self.gate.out()));
        let done = Command::new(env!("CARGO_BIN_EXE_phasegate"))
            .arg("verify")
            .args(words)
            .current_dir(self.gate.out())
            .env_clear()
            .envs((substrate == "embedded").then(|| ("PHASEGATE_WORLD_DIR", self.world.dir())))
            .env("PHASEGATE_SUBSTRATE", substrate)
            .env("PHASEGATE_OUT", self.gate.out())
            .envs(std::env::var_os("LLVM_PROFILE_FILE").map(|path| ("LLVM_PROFILE_FILE", path)))
            .output()
            .unwrap();
        assert!(before == (tree(self.world.dir()), tree(&self.gate.out())), "the audit wrote something");
        Ran {
            code: done.status.code().unwrap(),
            stdout: String::from_utf8(done.stdout).unwrap(),
            stderr: String::from_utf8(done.stderr).unwrap(),
        }
    }

    fn read(&self, file: &str) -> Vec<u8> {
        std::fs::read(self.folder.join(file)).unwrap()
    }

    fn write(&self, file: &str, bytes: impl AsRef<[u8]>) {
        std::fs::write(self.folder.join(file), bytes).unwrap();
    }

    /// The same text with another word; both digests.
    fn edit(&self, file: &str, from: &str, to: &str) -> (String, String) {
        let text = String::from_utf8(self.read(file)).unwrap();
        assert!(text.contains(from), "`{from}` in {file}");
        let edited = text.replace(from, to);
        self.write(file, &edited);
        (sha256(text.as_bytes()), sha256(edited.as_bytes()))
    }

    /// Changes the world behind the gate's back, as somebody could who has the store in his hands.
    fn in_the_store(&self, change: impl FnOnce(&mut Value, &Path)) {
        let path = self.world.dir().join("world.json");
        let mut state = json(&path);
        change(&mut state["buckets"][EVIDENCE]["objects"], self.world.dir());
        std::fs::write(path, state.to_string()).unwrap();
    }
}

/// Other bytes as the world keeps contents; their digest.
fn content(world: &Path, bytes: &[u8]) -> String {
    std::fs::write(world.join("content").join(sha256(bytes)), bytes).unwrap();
    sha256(bytes)
}

/// Puts other bytes in the place of an object's, with nothing left that would give it away.
fn replace(object: &mut Value, digest: &str) {
    object["digest"] = digest.into();
    object["size"] = 5.into();
    object["checksums"] = serde_json::json!({});
}

fn verified(ran: &Ran) {
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:#?}");
    assert!(ran.last_line().starts_with("dev_min M3 VERIFIED "), "{ran:#?}");
    assert!(ran.last_line().ends_with(" discrepancies=0"), "{ran:#?}");
}

fn refuted(ran: &Ran, says: &[&str]) {
    assert_eq!((ran.code, ran.stderr.as_str()), (1, ""), "{ran:#?}");
    assert!(ran.last_line().starts_with("dev_min M3 NOT_VERIFIED "), "{ran:#?}");
    for word in says {
        assert!(ran.stdout.contains(word), "`{word}` in {ran:#?}");
    }
}

#[test]
fn what_a_gate_left_is_verified_by_id_by_folder_and_in_the_store() {
    let left = Left::by_a_gate();
    let uri = format!("s3://{EVIDENCE}/{PREFIX}/{}/", left.id());
    let stored = json(&left.folder.join("verdict.json"))["files"].as_array().unwrap().len() + 1;
    for words in [&[left.id().as_str()][..], &[left.folder.to_str().unwrap()], &[uri.as_str(), "--region", "eu-west-2"]]
    {
        let ran = left.verify(words);
        verified(&ran);
        assert!(ran.last_line().contains(&format!(" files={stored} stored={stored} ")), "{ran:#?}");
        assert!(ran.stdout.contains("34 cases again"), "{ran:#?}");
    }
    let local = left.verify(&[&left.id(), "--local"]);
    verified(&local);
    assert!(local.stdout.contains("the store was not looked at"), "{local:#?}");
}

#[test]
fn a_hold_is_verified_too() {
    let world = Kept::seeded();
    let repo = crate::ground::OwnCopy::of_fixture().remove(crate::ground::HANDOFF);
    let gate = Gate::new().world_dir(world.dir()).clock(CLOCK).repo(repo.path());
    let ran = gate.run();
    assert_eq!((ran.code, ran.line().verdict.as_str()), (1, "HOLD_M3"), "{ran:#?}");
    let left = Left { folder: ran.line().folder().to_owned(), world, gate };
    let audit = left.verify(&[&left.id()]);
    verified(&audit);
    assert!(audit.last_line().contains(" HOLD_M3 "), "{audit:#?}");
}

#[rstest]
#[case::a_lane_s_file(&format!("m3d_{CLOCK_ID}/run.json"), "platform", "platfarm")]
#[case::an_observation("observations/M3.B.json", "platform", "platfarm")]
#[case::the_findings("findings.json", "\"met\"", "\"mat\"")]
#[case::the_register("blocker_register.json", "ADVANCE_TO_M4", "ADVANCE_TO_M5")]
#[case::the_plan("inputs/plan.md", "- [ ] ", "- [x] ")]
#[case::the_registry("inputs/registry.md", "fraud-platform", "fraud-platfarm")]
#[case::the_receipts("receipts.json", "sha256_local", "sha256_locul")]
#[case::the_course("course.json", "commit", "preflight")]
fn one_changed_file_is_named_with_both_digests(#[case] file: &str, #[case] from: &str, #[case] to: &str) {
    let left = Left::by_a_gate();
    let (was, is) = left.edit(file, from, to);
    let says = format!("changed: {file}: verdict.json lists SHA-256 {was}, and it has {is}");
    refuted(&left.verify(&[&left.id()]), &[&says]);
    refuted(&left.verify(&[&left.id(), "--local"]), &[&says]);
}

#[test]
fn removed_added_and_swapped_files_are_named() {
    let left = Left::by_a_gate();
    let run = format!("m3d_{CLOCK_ID}/run.json");
    let seal = "inputs/registry.md";
    let digest = sha256(&left.read(seal));
    std::fs::remove_file(left.folder.join(seal)).unwrap();
    left.write("m3d_more.json", "{}");
    let other = Gate::new().clock("2026-03-02T10:00:00Z");
    let ran = other.run();
    let swapped = std::fs::read(ran.line().folder().join("m3d_20260302T100000Z/run.json")).unwrap();
    let was = sha256(&left.read(&run));
    left.write(&run, &swapped);
    refuted(
        &left.verify(&[&left.id()]),
        &[
            &format!("missing: {seal}: verdict.json lists it with SHA-256 {digest}"),
            &format!("added: m3d_more.json: it has SHA-256 {}, and verdict.json does not list it", sha256(b"{}")),
            &format!("changed: {run}: verdict.json lists SHA-256 {was}, and it has {}", sha256(&swapped)),
        ],
    );
}

#[test]
fn a_receipt_that_is_edited_with_its_file_is_found() {
    let left = Left::by_a_gate();
    let run = format!("m3d_{CLOCK_ID}/run.json");
    let (was, is) = left.edit(&run, "platform", "platfarm");
    left.edit("receipts.json", &was, &is);
    let says = format!("changed: {run}: verdict.json lists SHA-256 {was}, and it has {is}");
    refuted(&left.verify(&[&left.id()]), &[&says, "changed: receipts.json"]);
    // And where the verdict is sealed anew around both, the store has the one that was given.
    let receipts = sha256(&left.read("receipts.json"));
    let mut verdict = json(&left.folder.join("verdict.json"));
    for file in verdict["files"].as_array_mut().unwrap() {
        match file["path"].as_str().unwrap() {
            path if path == run => file["sha256"] = is.clone().into(),
            "receipts.json" => file["sha256"] = receipts.clone().into(),
            _ => {}
        }
    }
    let given = sha256(&left.read("verdict.json"));
    left.write("verdict.json", verdict.to_string());
    let uri = format!("s3://{EVIDENCE}/{PREFIX}/{}/verdict.json", left.id());
    let audit = left.verify(&[&left.id()]);
    refuted(&audit, &[&format!("changed: {uri}"), &given, &format!("it has {was}")]);
}

#[test]
fn a_verdict_that_its_own_observations_do_not_bear_out_is_refuted() {
    // All of it sealed anew and consistent: only judging again can tell.
    let left = Left::by_a_gate();
    left.edit("findings.json", "\"verdict\":\"advance\"", "\"verdict\":\"partial\"");
    let mut verdict = json(&left.folder.join("verdict.json"));
    verdict["verdict"] = "PARTIAL".into();
    for file in verdict["files"].as_array_mut().unwrap() {
        if file["path"] == "findings.json" {
            file["sha256"] = sha256(&left.read("findings.json")).into();
        }
    }
    left.write("verdict.json", verdict.to_string());
    let audit = left.verify(&[&left.id(), "--local"]);
    refuted(&audit, &["judged again: the verdict: recorded PARTIAL, judged ADVANCE_TO_M4"]);
}

#[rstest]
#[case("phase.account")]
#[case("phase.execution_id_taken")]
#[case("phase.store_write_once")]
fn an_advance_that_lacks_a_finding_of_the_phase_is_refuted(#[case] check: &str) {
    let left = Left::by_a_gate();
    let mut findings = json(&left.folder.join("findings.json"));
    let list = findings["findings"].as_array_mut().unwrap();
    let before = list.len();
    list.retain(|finding| finding["check"] != check);
    assert_eq!(list.len() + 1, before, "{check} is one finding");
    left.write("findings.json", findings.to_string());
    let mut verdict = json(&left.folder.join("verdict.json"));
    for file in verdict["files"].as_array_mut().unwrap() {
        if file["path"] == "findings.json" {
            file["sha256"] = sha256(&left.read("findings.json")).into();
        }
    }
    left.write("verdict.json", verdict.to_string());
    refuted(&left.verify(&[&left.id(), "--local"]), &[check]);
}

#[rstest]
#[case("inputs/gates.lock", "lock")]
#[case("inputs/handoff.json", "handoff")]
fn an_input_that_was_read_and_is_not_kept_is_missed(#[case] file: &str, #[case] role: &str) {
    // Out of the folder, and out of the list: what was read then still says that it was there.
    let left = Left::by_a_gate();
    std::fs::remove_file(left.folder.join(file)).unwrap();
    let mut verdict = json(&left.folder.join("verdict.json"));
    verdict["files"].as_array_mut().unwrap().retain(|listed| listed["path"] != file);
    left.write("verdict.json", verdict.to_string());
    let says = format!("({role}): the verdict says that it was read, and lists no copy");
    refuted(&left.verify(&[&left.id(), "--local"]), &[&says]);
}

#[test]
fn what_was_done_to_the_store_is_named() {
    let left = Left::by_a_gate();
    let key = |name: &str| format!("{PREFIX}/{}/{name}", left.id());
    let run = json(&left.folder.join(format!("m3d_{CLOCK_ID}/run.json")));
    let run_json = format!("evidence/runs/{}/run.json", run["platform_run_id"].as_str().unwrap());
    left.in_the_store(|objects, world| {
        let other = content(world, b"other");
        // Removed, as if it had never been; replaced in place; put by somebody else; put a second time; added.
        objects.as_object_mut().unwrap().remove(&key("junit.xml")).unwrap();
        replace(&mut objects[key("findings.json")][0]["content"], &other);
        objects[key("observations/M3.A.json")][0]["content"]["metadata"]["phasegate-writer"] = "another".into();
        let mut second = objects[&run_json][0].clone();
        second["id"] = "v-second".into();
        objects[&run_json].as_array_mut().unwrap().push(second);
        let mut more = objects[key("verdict.json")].clone();
        replace(&mut more[0]["content"], &other);
        objects[key("more.json")] = more;
    });
    let uri = |key: &str| format!("s3://{EVIDENCE}/{key}");
    let audit = left.verify(&[&left.id()]);
    refuted(
        &audit,
        &[
            &format!("missing: {}: ", uri(&key("junit.xml"))),
            &format!("changed: {}: ", uri(&key("findings.json"))),
            &format!("and it has {}", sha256(b"other")),
            &format!("foreign: {}: ", uri(&key("observations/M3.A.json"))),
            &format!("overwritten: {}: 2 versions", uri(&run_json)),
            &format!("added: {}: it has SHA-256 {}", uri(&key("more.json")), sha256(b"other")),
        ],
    );
}

/// The verdict of a gate, as the next phase reads it.
fn recorded(left: &Left) -> Recorded {
    Recorded::read(&left.read("verdict.json"), &left.id()).unwrap()
}

#[test]
fn the_next_phase_enters_on_the_one_execution_that_was_named() {
    let left = Left::by_a_gate();
    let (verdict, id) = (recorded(&left), left.id());
    let run = format!("platform_{CLOCK_ID}");
    let expected = Expected {
        phase: "M4",
        track: "dev_min",
        execution: &id,
        account: "230372904534",
        basis: RunBasis::Rehearsal,
        platform_run_id: Some(&run),
    };
    assert_eq!(verdict.enters(&expected), Ok(()));
    let refused = |expected: Expected<'_>| verdict.enters(&expected).unwrap_err().what;
    assert_eq!(refused(Expected { execution: "m3_20260301T100001Z", ..expected }), "execution");
    assert_eq!(refused(Expected { track: "dev_full", ..expected }), "track");
    assert_eq!(refused(Expected { phase: "M5", ..expected }), "phase");
    assert_eq!(refused(Expected { account: "111122223333", ..expected }), "account");
    assert_eq!(refused(Expected { basis: RunBasis::Live, ..expected }), "basis");
    assert_eq!(refused(Expected { platform_run_id: Some("platform_20260301T100001Z"), ..expected }), "run");
    let held = |change: fn(&mut Recorded)| {
        let mut verdict = verdict.clone();
        change(&mut verdict);
        verdict.enters(&expected).unwrap_err().what
    };
    assert_eq!(held(|verdict| verdict.verdict = "HOLD_M3".to_owned()), "verdict");
    assert_eq!(held(|verdict| verdict.verdict = "PARTIAL".to_owned()), "verdict");
    assert_eq!(held(|verdict| verdict.roots.push("M3-B1".to_owned())), "verdict");
    assert_eq!(held(|verdict| verdict.mode = Mode::Preflight), "verdict");
    assert!(Recorded::read(&left.read("verdict.json"), "m3_20260301T100001Z").is_err(), "another execution's");
}

#[rstest]
#[case::no_such_execution(&["m3_20200101T000000Z"], 2, "there is no execution m3_20200101T000000Z below")]
#[case::no_such_bucket(&["s3://bucket/e/m3_20200101T000000Z", "--region", "eu-west-2"], 5, "s3://bucket/e/m3_20200101T000000Z/verdict.json")]
#[case::local_store(&["s3://bucket/e/m3_1", "--local"], 2, "--local compares a folder")]
fn what_cannot_be_audited_is_an_error(#[case] words: &[&str], #[case] code: i32, #[case] says: &str) {
    let left = Left::by_a_gate();
    let ran = left.verify(words);
    assert_eq!(ran.code, code, "{ran:#?}");
    assert!(ran.stderr.contains(says) && ran.stdout.is_empty(), "{ran:#?}");
}

#[test]
fn a_store_on_aws_needs_a_region() {
    let ran = Left::by_a_gate().verify_on("aws", &["s3://bucket/evidence/m3_20200101T000000Z"]);
    assert_eq!(ran.code, 2, "{ran:#?}");
    assert!(ran.stderr.contains("set AWS_REGION, or give --region"), "{ran:#?}");
}

#[test]
fn a_folder_under_another_name_is_not_the_execution() {
    let left = Left::by_a_gate();
    let other = left.folder.with_file_name("m3_20200101T000000Z");
    std::fs::rename(&left.folder, &other).unwrap();
    let ran = left.verify(&["m3_20200101T000000Z"]);
    assert_eq!(ran.code, 5, "{ran:#?}");
    assert!(
        ran.stderr.contains(&format!("it is the verdict of {}, and m3_20200101T000000Z was named", left.id())),
        "{ran:#?}"
    );
}

#[test]
fn evidence_of_a_world_that_is_gone_is_not_verified() {
    let gate = Gate::new().clock(CLOCK);
    assert_eq!(gate.run().code, 0);
    let ran = Command::new(env!("CARGO_BIN_EXE_phasegate"))
        .args(["verify", &format!("m3_{CLOCK_ID}")])
        .env_clear()
        .env("PHASEGATE_OUT", gate.out())
        .current_dir(gate.out())
        .output()
        .unwrap();
    let said = String::from_utf8(ran.stderr).unwrap();
    assert_eq!(ran.status.code(), Some(5), "{said}");
    assert!(said.contains("that world is gone") && said.contains("--local"), "{said}");
}
