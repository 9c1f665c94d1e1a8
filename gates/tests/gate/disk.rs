//! A disk that does not do as it is told: read-only, full, led elsewhere by a link, another user's. The gate holds or ends in an
//! error that names the path, and touches nothing but its output folder.
//!
//! Root passes over permission bits. So where the tests run as root, the gate runs without the capabilities to do so.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use rstest::rstest;
use walkdir::WalkDir;

use crate::ground::{CLOCK, CLOCK_ID, Gate, Ran, json, tree, workspace};

const EVIDENCE: i32 = 5;
/// Nobody's files.
const ANOTHER: u32 = 65534;
/// `setpriv` with what root must not have, so that permission bits count for it.
const AS_ANYBODY: [&str; 2] = ["setpriv", "--bounding-set=-dac_override,-dac_read_search,-fowner"];
/// Where set, a test that needs root and does not get it fails.
const REQUIRE_ROOT: &str = "PHASEGATE_REQUIRE_ROOT";

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

/// A gate for which permission bits count.
fn gate() -> Gate {
    let gate = Gate::new().clock(CLOCK);
    if is_root() { gate.below(AS_ANYBODY) } else { gate }
}

/// Says that a test did not run; where it was required, fails it.
fn not_run(test: &str, why: &str) {
    assert!(std::env::var_os(REQUIRE_ROOT).is_none(), "{test} needs root: {why}");
    eprintln!("NOT RUN: {test} needs root: {why}");
}

/// All that lies below a folder, but for what lies below `but`: kind, rights, owner, content.
fn all_but(root: &Path, but: &Path) -> BTreeMap<PathBuf, (u32, u32, Vec<u8>)> {
    let entries = WalkDir::new(root).into_iter().filter_entry(|entry| entry.path() != but);
    entries
        .map(Result::unwrap)
        .map(|entry| {
            let metadata = entry.path().symlink_metadata().unwrap();
            let content = match metadata.file_type() {
                kind if kind.is_file() => fs::read(entry.path()).unwrap(),
                kind if kind.is_symlink() => fs::read_link(entry.path()).unwrap().into_os_string().into_encoded_bytes(),
                _ => Vec::new(),
            };
            (entry.into_path(), (metadata.mode(), metadata.uid(), content))
        })
        .collect()
}

/// Runs a gate that must not go through, and says why; all but its output folder stays as it was.
fn refused(gate: &Gate, says: &[&str]) -> Ran {
    let around = || (all_but(gate.folder(), &gate.out()), tree(&workspace().join("fixtures")));
    let before = around();
    let ran = gate.run();
    assert_eq!(ran.code, EVIDENCE, "{ran:#?}");
    for words in says {
        assert!(ran.stderr.contains(words), "`{words}` is not in {ran:#?}");
    }
    assert!(!ran.said().contains("ADVANCE"), "{ran:#?}");
    assert!(around() == before, "something outside the output folder was touched");
    ran
}

fn folder(path: PathBuf, mode: u32) -> PathBuf {
    fs::create_dir_all(&path).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
    path
}

/// Lets the temporary folder be cleaned up.
fn writable_again(path: &Path) {
    fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
}

#[rstest]
#[case::itself("")]
#[case::track("dev_min")]
#[case::phase("dev_min/m3")]
fn a_folder_that_is_read_only(#[case] below: &str) {
    let gate = gate();
    let read_only = folder(gate.out().join(below), 0o555);
    let ran =
        refused(&gate, &["cannot be made", "set PHASEGATE_OUT to a folder that can be written", "ermission denied"]);
    assert!(ran.stderr.contains(&read_only.display().to_string().trim_end_matches('/').to_owned()), "{ran:#?}");
    writable_again(&read_only);
    assert!(tree(&gate.out()).is_empty());
}

#[test]
fn a_folder_above_that_is_read_only() {
    let gate = gate();
    let above = folder(gate.folder().join("above"), 0o555);
    let gate = gate.var("PHASEGATE_OUT", above.join("out"));
    refused(&gate, &["above/out", "set PHASEGATE_OUT to a folder that can be written"]);
    writable_again(&above);
}

/// A file of the gate's may be this long and no longer: every file system then answers as a full one does.
#[rstest]
#[case::next_to_nothing_fits(1)]
#[case::no_document_fits(4)]
#[case::no_report_fits(24)]
fn a_disk_that_takes_no_more_of_a_file(#[case] kibibytes: usize) {
    // Standard output goes through a pipe: the limit holds for regular files.
    let script = format!(r#"(trap '' XFSZ; ulimit -f {kibibytes}; exec "$0" "$@") | cat; exit "${{PIPESTATUS[0]}}""#);
    let gate = Gate::new().clock(CLOCK).below(["bash", "-c", &script]);
    refused(&gate, &["too large", "check that the folder can be written and has room"]);
    no_verdict(&gate.out());
}

/// Without a verdict nothing that lies there says that the phase is done.
fn no_verdict(out: &Path) {
    let left = tree(out);
    assert!(!left.keys().any(|path| path.ends_with("/verdict.json")), "{:?}", left.keys());
    for (path, bytes) in
        left.iter().filter(|(path, _)| path.ends_with(".json") && !path.contains(".phasegate-unfinished-"))
    {
        serde_json::from_slice::<serde_json::Value>(bytes).unwrap_or_else(|e| panic!("{path} is half a file: {e}"));
    }
}

const PAGE: u64 = 4096;

/// What a whole execution takes of a small file system, in pages.
fn pages_of_an_execution() -> u64 {
    let gate = Gate::new().clock(CLOCK);
    assert_eq!(gate.run().code, 0);
    tree(&gate.out()).values().map(|bytes| (bytes.len() as u64).div_ceil(PAGE)).sum()
}

/// A file system of its own for the gate, in a mount name space that ends with it; what it held is copied out.
fn on_a_small_disk(pages: u64, options: &str) -> Gate {
    let gate = Gate::new().clock(CLOCK);
    fs::create_dir(gate.out()).unwrap();
    let (out, kept) = (gate.out(), gate.out().with_file_name("kept"));
    let script = format!(
        r#"mount -t tmpfs -o size={}{options} none "{out}" || exit 99; "$0" "$@"; code=$?; cp -r "{out}" "{kept}"; exit $code"#,
        pages * PAGE,
        out = out.display(),
        kept = kept.display(),
    );
    gate.below(["unshare", "--mount", "bash", "-c", &script])
}

fn may_mount() -> Result<(), String> {
    let tried = Command::new("unshare").args(["--mount", "mount", "-t", "tmpfs", "none", "/mnt"]).output();
    match tried {
        Ok(done) if done.status.success() => Ok(()),
        Ok(done) => Err(String::from_utf8_lossy(&done.stderr).trim().to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

#[test]
fn a_disk_that_is_full() {
    if let Err(why) = may_mount() {
        return not_run("a_disk_that_is_full", &why);
    }
    let whole = pages_of_an_execution();
    assert!(whole > 20, "{whole} pages");
    // From no room at all to room for all but the last file, the verdict.
    for pages in [1, whole / 8, whole / 2, whole - 8, whole - 1] {
        let gate = on_a_small_disk(pages, "");
        let ran = gate.run();
        assert_eq!(ran.code, EVIDENCE, "{pages} of {whole} pages: {ran:#?}");
        assert!(!ran.said().contains("ADVANCE"), "{pages} of {whole} pages: {ran:#?}");
        for words in ["No space left on device", "has room", &gate.out().display().to_string()] {
            assert!(ran.stderr.contains(words), "`{words}` is not in {ran:#?}");
        }
        no_verdict(&gate.folder().join("kept"));
    }
    let enough = on_a_small_disk(whole + 8, "").run();
    assert_eq!(enough.code, 0, "with room for all it goes through: {enough:#?}");
}

#[test]
fn a_disk_that_is_mounted_read_only() {
    if let Err(why) = may_mount() {
        return not_run("a_disk_that_is_mounted_read_only", &why);
    }
    let gate = on_a_small_disk(1000, ",ro");
    let ran = gate.run();
    assert_eq!(ran.code, EVIDENCE, "{ran:#?}");
    for words in ["Read-only file system", "set PHASEGATE_OUT", &gate.out().display().to_string()] {
        assert!(ran.stderr.contains(words), "`{words}` is not in {ran:#?}");
    }
}

/// Everything below the output folder is the gate's own: a link there leads somewhere that nobody named.
#[rstest]
#[case::track("dev_min", true)]
#[case::phase("dev_min/m3", true)]
#[case::execution(&format!("dev_min/m3/m3_{CLOCK_ID}"), true)]
#[case::dangling_track("dev_min", false)]
#[case::dangling_phase("dev_min/m3", false)]
#[case::dangling_execution(&format!("dev_min/m3/m3_{CLOCK_ID}"), false)]
fn a_link_below_the_output_folder(#[case] below: &str, #[case] leads_somewhere: bool) {
    for clock in [CLOCK, ""] {
        let gate = Gate::new().clock(clock);
        let elsewhere = gate.folder().join("elsewhere");
        if leads_somewhere {
            fs::create_dir(&elsewhere).unwrap();
            fs::write(elsewhere.join("verdict.json"), "not ours").unwrap();
        }
        let link = gate.out().join(below);
        fs::create_dir_all(link.parent().unwrap()).unwrap();
        symlink(&elsewhere, &link).unwrap();
        if clock.is_empty() && below.contains(CLOCK_ID) {
            // Another second has another folder; the link is left alone.
            assert_eq!(gate.run().code, 0);
        } else {
            let named = link.display().to_string();
            refused(&gate, &[&named, "is a link", &elsewhere.display().to_string(), "set PHASEGATE_OUT"]);
        }
        assert_eq!(elsewhere.exists(), leads_somewhere);
        assert_eq!(fs::read_link(&link).unwrap(), elsewhere);
    }
}

#[test]
fn the_output_folder_itself_may_be_a_link() {
    let gate = Gate::new().clock(CLOCK);
    let real = folder(gate.folder().join("real"), 0o755);
    symlink(&real, gate.out()).unwrap();
    let ran = gate.run();
    assert_eq!(ran.code, 0, "{ran:#?}");
    let verdict = json(&real.join(format!("dev_min/m3/m3_{CLOCK_ID}/verdict.json")));
    assert_eq!(verdict["verdict"], "ADVANCE_TO_M4");
}

#[test]
fn an_output_folder_that_is_a_link_to_nothing() {
    let gate = Gate::new().clock(CLOCK);
    symlink(gate.folder().join("nowhere"), gate.out()).unwrap();
    refused(&gate, &[&gate.out().display().to_string(), "set PHASEGATE_OUT to a folder that can be written"]);
    assert!(!gate.folder().join("nowhere").exists());
}

/// A folder of another user's, with a file in it, at `below` in the output folder.
fn of_another(gate: &Gate, below: &str, mode: u32) -> PathBuf {
    let path = gate.out().join(below);
    fs::create_dir_all(&path).unwrap();
    fs::write(path.join("theirs.txt"), "theirs").unwrap();
    for own in [path.join("theirs.txt"), path.clone()] {
        chown(own, Some(ANOTHER), Some(ANOTHER)).unwrap();
    }
    fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
    path
}

#[rstest]
#[case::itself("", 0o755)]
#[case::track("dev_min", 0o755)]
#[case::track_hidden("dev_min", 0o700)]
#[case::phase("dev_min/m3", 0o755)]
#[case::phase_hidden("dev_min/m3", 0o700)]
#[case::phase_no_entry("dev_min/m3", 0o744)]
fn a_folder_of_another_user(#[case] below: &str, #[case] mode: u32) {
    if !is_root() {
        return not_run("a_folder_of_another_user", "only root can make another user's files");
    }
    let gate = gate();
    let theirs = of_another(&gate, below, mode);
    let before = all_but(&gate.out(), Path::new("-"));
    refused(
        &gate,
        &[theirs.to_str().unwrap(), "ermission denied", "set PHASEGATE_OUT to a folder that can be written"],
    );
    assert_eq!(all_but(&gate.out(), Path::new("-")), before, "something of theirs was touched");
}

#[test]
fn an_execution_of_another_user_is_left_alone() {
    if !is_root() {
        return not_run("an_execution_of_another_user", "only root can make another user's files");
    }
    let id = format!("dev_min/m3/m3_{CLOCK_ID}");
    let gate = gate();
    let theirs = of_another(&gate, &id, 0o700);
    let before = all_but(&theirs, Path::new("-"));
    refused(&gate, &["PG-M3-execution_id_taken", theirs.to_str().unwrap(), "set another PHASEGATE_OUT"]);
    assert_eq!(all_but(&theirs, Path::new("-")), before);
}

#[test]
fn a_kept_world_of_another_user() {
    if !is_root() {
        return not_run("a_kept_world_of_another_user", "only root can make another user's files");
    }
    let gate = gate();
    let world = folder(gate.folder().join("world"), 0o755);
    chown(&world, Some(ANOTHER), Some(ANOTHER)).unwrap();
    let gate = gate.world_dir(&world);
    let ran = gate.run();
    assert_eq!(ran.code, EVIDENCE, "{ran:#?}");
    assert!(ran.said().contains(world.to_str().unwrap()) && ran.said().contains("ermission denied"), "{ran:#?}");
    assert!(!ran.said().contains("ADVANCE"), "{ran:#?}");
    assert!(tree(&world).is_empty());
}
