//! The gate is killed wherever it writes: before and after each rename, before and after each put. What it left must be whole,
//! nothing that was published may change, and the gate that is run next must either go on or say why it does not.
//!
//! Each point is a trial. By default a part of them is played, so many for each track; `PHASEGATE_CRASH=all` plays them all.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test with a harness of its own, and the process that it kills"
)]

#[path = "crash/child.rs"]
mod child;

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

use libtest_mimic::{Arguments, Failed, Trial};
use support::evidence::TEMPORARY_PREFIX;
use support::run::clock::Instant;
use support::substrate::seed::{self, World};
use support::substrate::{Options, Substrate, SubstrateKind};
use tempfile::TempDir;
use walkdir::WalkDir;

use child::{CRASHED, Task, workspace};

const TRACKS: [&str; 2] = ["dev_full", "dev_min"];

/// How many points of each track are played unless all are asked for.
const SAMPLE: usize = 14;

fn main() -> ExitCode {
    if let Some(task) = Task::of_this_process() {
        task.carry_out();
        return ExitCode::SUCCESS;
    }
    let arguments = Arguments::from_args();
    let mut trials = Vec::new();
    for track in TRACKS {
        if arguments.list {
            trials.push(Trial::test(format!("{track}::M3::crash"), || Ok(())));
            continue;
        }
        let clean = match Ground::seeded(track).play(track, child::first(track), None, None) {
            Ok(clean) => clean,
            Err(why) => {
                trials.push(Trial::test(format!("{track}::M3::clean"), move || Err(Failed::from(why))));
                continue;
            }
        };
        let all = std::env::var("PHASEGATE_CRASH").is_ok_and(|value| value == "all");
        let points = clean.points.len();
        assert!(points > 60, "{track} has {points} points only");
        let step = if all { 1 } else { points.div_ceil(SAMPLE) };
        println!("{track}: {points} write points, every {step}. is played");
        let clean = std::sync::Arc::new(clean);
        for number in (1..=points).filter(|number| number % step == 0 || *number == points) {
            let clean = std::sync::Arc::clone(&clean);
            let name = format!("{track}::M3::{number:03}::{}", clean.points[number - 1].replace(' ', "::"));
            trials.push(Trial::test(name, move || crash(track, number, &clean).map_err(Failed::from)));
        }
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// A world on disk and an output folder.
struct Ground(TempDir);

/// What a gate left, and what it said.
struct Played {
    _ground: Ground,
    points: Vec<String>,
    verdict: String,
    roots: Vec<String>,
    /// What to do about the first root.
    next: String,
    run_id: String,
    /// What an audit of it found, each a line.
    discrepancies: Vec<String>,
    files: BTreeMap<String, Vec<u8>>,
    objects: Objects,
}

/// The versions of every object, each with its bytes, by bucket and key.
type Objects = BTreeMap<(String, String), Vec<(String, Vec<u8>)>>;

impl Ground {
    fn seeded(track: &str) -> Self {
        let ground = Self(TempDir::new().unwrap());
        let world = World::read(&workspace().join("fixtures/world").join(track)).unwrap();
        seed::apply(&ground.open(), &world).unwrap();
        ground
    }

    fn copy(&self) -> Self {
        let copy = Self(TempDir::new().unwrap());
        for entry in WalkDir::new(self.0.path()) {
            let entry = entry.unwrap();
            let to = copy.0.path().join(entry.path().strip_prefix(self.0.path()).unwrap());
            if entry.file_type().is_dir() {
                std::fs::create_dir_all(to).unwrap();
            } else {
                std::fs::copy(entry.path(), to).unwrap();
            }
        }
        copy
    }

    fn world(&self) -> PathBuf {
        self.0.path().join("world")
    }

    fn open(&self) -> Substrate {
        let mut options = Options::new(SubstrateKind::Embedded, "eu-west-2");
        options.world_dir = Some(self.world());
        Substrate::open(&options).unwrap()
    }

    fn objects(&self, track: &str) -> Objects {
        let substrate = self.open();
        let text = std::fs::read_to_string(workspace().join("fixtures/world").join(track).join("world.toml")).unwrap();
        let world: toml::Table = text.parse().unwrap();
        let mut objects = Objects::new();
        for bucket in world["bucket"].as_array().unwrap() {
            let bucket = bucket["name"].as_str().unwrap();
            for version in substrate.s3().list_versions(bucket, "").unwrap().value.entries {
                assert!(!version.delete_marker, "a delete marker at {}", version.key);
                let read = substrate.s3().get_object(bucket, &version.key, Some(&version.version_id)).unwrap();
                let of_key = objects.entry((bucket.to_owned(), version.key)).or_default();
                of_key.push((version.version_id, read.value.bytes));
            }
        }
        objects
    }

    /// The evidence below the output folder. Unfinished writes are none.
    fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let out = self.0.path().join("out");
        WalkDir::new(&out)
            .into_iter()
            .filter_map(Result::ok)
            .filter(|entry| entry.file_type().is_file())
            .filter(|entry| !entry.file_name().to_string_lossy().starts_with(TEMPORARY_PREFIX))
            .map(|entry| {
                let path = entry.path().strip_prefix(&out).unwrap().to_str().unwrap().to_owned();
                (path, std::fs::read(entry.path()).unwrap())
            })
            .collect()
    }

    /// Runs a gate in a process of its own, and kills it at a point.
    fn play(self, track: &str, clock: Instant, resume: Option<&str>, at: Option<usize>) -> Result<Played, String> {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.env_clear().stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.envs(std::env::var_os("LLVM_PROFILE_FILE").map(|path| ("LLVM_PROFILE_FILE", path)));
        Task::describe(&mut command, track, self.0.path(), clock, resume, at);
        let mut process = command.spawn().map_err(|e| e.to_string())?;
        let (mut points, mut end) = (Vec::new(), None);
        for line in BufReader::new(process.stdout.take().unwrap()).lines() {
            let line = line.map_err(|e| e.to_string())?;
            if line == CRASHED {
                break;
            } else if let Some(point) = line.strip_prefix("POINT ") {
                points.push(point.to_owned());
            } else if let Some(said) = line.strip_prefix("END ") {
                end = Some(said.to_owned());
            }
        }
        if at.is_some() {
            process.kill().map_err(|e| e.to_string())?;
        }
        let done = process.wait_with_output().map_err(|e| e.to_string())?;
        let said: serde_json::Value = match (&end, at) {
            (Some(end), None) => serde_json::from_str(end).map_err(|e| e.to_string())?,
            (None, Some(_)) => serde_json::Value::Null,
            (Some(_), Some(at)) => return Err(format!("it came to its end before point {at}")),
            (None, None) => {
                return Err(format!("no end: {} {}", done.status, String::from_utf8_lossy(&done.stderr)));
            }
        };
        let text = |key: &str| said[key].as_str().unwrap_or_default().to_owned();
        let list = |key: &str| -> Vec<String> {
            let items = said[key].as_array().cloned().unwrap_or_default();
            items.iter().map(|item| item.as_str().unwrap().to_owned()).collect()
        };
        Ok(Played {
            points,
            verdict: text("verdict"),
            roots: list("roots"),
            next: text("next"),
            run_id: text("run_id"),
            discrepancies: list("discrepancies"),
            files: self.files(),
            objects: self.objects(track),
            _ground: self,
        })
    }
}

/// Kills a gate at one point, and looks at what it left and at what comes next.
fn crash(track: &str, number: usize, clean: &Played) -> Result<(), String> {
    if clean.verdict != "ADVANCE_TO_M4" || !clean.discrepancies.is_empty() {
        return Err(format!("the clean run: {} {:?} {:?}", clean.verdict, clean.roots, clean.discrepancies));
    }
    let crashed = Ground::seeded(track).play(track, child::first(track), None, Some(number))?;
    whole(&crashed, clean)?;
    let ground = &crashed._ground;
    let first_id = format!("m3_{}", child::first(track).compact());
    let anew = ground.copy().play(track, child::later(track), None, None)?;
    unchanged(&crashed, &anew)?;
    if anew.verdict != "ADVANCE_TO_M4" || !anew.discrepancies.is_empty() {
        return Err(format!("run anew: {} {:?} {:?}", anew.verdict, anew.roots, anew.discrepancies));
    }
    if anew.run_id == clean.run_id {
        return Err(format!("run anew, it pinned the run of the one that was killed: {}", anew.run_id));
    }
    let resumed = ground.copy().play(track, child::later(track), Some(&first_id), None)?;
    unchanged(&crashed, &resumed)?;
    if !resumed.discrepancies.is_empty() {
        return Err(format!("resumed, it does not verify: {:?}", resumed.discrepancies));
    }
    let there = |end: &str| crashed.objects.keys().any(|(_, key)| key.ends_with(end));
    let kept = |lane: &str| there(&format!("{}/observations/{lane}.json", first_id));
    let here = |end: &str| crashed.files.keys().any(|path| path.ends_with(end));
    let pinned = there(&format!("{}/run.json", clean.run_id));
    if !there(&format!("{}/execution.json", first_id)) || !here("/execution.json") {
        expect("before its id was reserved", &resumed, "HOLD_M3", &["PG-M3-resume_refused"])?;
    } else if pinned {
        expect("after run.json was put", &resumed, "HOLD_M3", &[exists_code(track)])?;
        if !resumed.next.contains("without PHASEGATE_RESUME") {
            return Err(format!("the hold names no way to a new execution: {}", resumed.next));
        }
    } else {
        expect("before run.json was put", &resumed, "ADVANCE_TO_M4", &[])?;
        if kept("M3.B") != (resumed.run_id == clean.run_id) {
            return Err(format!("M3.B was kept: {}; resumed with run {}", kept("M3.B"), resumed.run_id));
        }
    }
    Ok(())
}

/// The plan's code for a run that is pinned already.
fn exists_code(track: &str) -> &'static str {
    match track {
        "dev_full" => "M3E-B3",
        _ => "M3-B2",
    }
}

fn expect(when: &str, played: &Played, verdict: &str, roots: &[&str]) -> Result<(), String> {
    if played.verdict == verdict && played.roots == roots {
        return Ok(());
    }
    Err(format!("resumed {when}: {} {:?}, and {verdict} {roots:?} is meant", played.verdict, played.roots))
}

/// What was left is what the clean run left, as far as it came: no half file, no other object.
fn whole(crashed: &Played, clean: &Played) -> Result<(), String> {
    for (path, bytes) in &crashed.files {
        match clean.files.get(path) {
            None => return Err(format!("{path} is no file of a clean run")),
            // Receipts name what the server chose.
            Some(other) if other != bytes && !path.ends_with("/receipts.json") => {
                return Err(format!("{path} has other bytes than in a clean run"));
            }
            Some(_) => {}
        }
    }
    for (key, versions) in &crashed.objects {
        if versions.len() != 1 {
            return Err(format!("{key:?} has {} versions", versions.len()));
        }
        if !clean.objects.contains_key(key) {
            return Err(format!("{key:?} is no object of a clean run"));
        }
    }
    Ok(())
}

/// Whatever was published stands as it stood.
fn unchanged(before: &Played, after: &Played) -> Result<(), String> {
    for (key, versions) in &before.objects {
        if after.objects.get(key) != Some(versions) {
            return Err(format!("{key:?} changed"));
        }
    }
    for (path, bytes) in &before.files {
        if after.files.get(path) != Some(bytes) {
            return Err(format!("{path} changed"));
        }
    }
    match after.objects.iter().find(|(_, versions)| versions.len() != 1) {
        None => Ok(()),
        Some((key, versions)) => Err(format!("{key:?} has {} versions", versions.len())),
    }
}
