//! The gate as a process in a scrubbed environment, under a time limit.

use std::ffi::OsString;
use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant, SystemTime};

use tempfile::TempDir;
use walkdir::WalkDir;

use super::CLOCK;
use super::repository::{fixture, workspace};

/// No run of a gate may take longer; most take a second.
const LIMIT: Duration = Duration::from_secs(60);

/// Variables of this process that a gate may see: what a toolchain needs, and where coverage goes.
const KEPT: [&str; 5] = ["PATH", "HOME", "CARGO_HOME", "RUSTUP_HOME", "LLVM_PROFILE_FILE"];

/// The binary of `cargo test --test m3`: the one beside this test where it is newer than everything
/// that it is made of, else built by cargo. A build beside the running one may select other features
/// of the dependencies and take minutes, and an old binary would prove nothing.
static M3: LazyLock<PathBuf> = LazyLock::new(|| beside_this_test().unwrap_or_else(built));

fn beside_this_test() -> Option<PathBuf> {
    let sources = [
        "Cargo.lock",
        "gates/Cargo.toml",
        "gates/bindings",
        "gates/src",
        "gates/tests/m3.rs",
        "reports/src",
        "support/src",
    ];
    let changed = sources
        .iter()
        .flat_map(|path| WalkDir::new(workspace().join(path)))
        .map(|entry| modified(entry.unwrap().path()))
        .max()?;
    std::fs::read_dir(own_path().parent()?)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.file_stem().is_some_and(|stem| stem.to_string_lossy().starts_with("m3-")))
        .filter(|path| path.extension().unwrap_or_default() == std::env::consts::EXE_EXTENSION)
        .map(|path| (modified(&path), path))
        .filter(|(built, _)| *built > changed)
        .max()
        .map(|(_, path)| path)
}

fn modified(path: &Path) -> SystemTime {
    path.metadata().unwrap().modified().unwrap()
}

fn own_path() -> PathBuf {
    std::env::current_exe().unwrap()
}

fn built() -> PathBuf {
    let own = own_path();
    let target = own.ancestors().nth(3).unwrap();
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .args(["test", "--test", "m3", "--no-run", "--message-format=json", "--target-dir"])
        .arg(target)
        .current_dir(workspace())
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(built.status.success(), "the gate does not build");
    let messages = String::from_utf8(built.stdout).unwrap();
    messages
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .find(|m| m["target"]["name"] == "m3" && m["executable"].is_string())
        .and_then(|m| m["executable"].as_str().map(PathBuf::from))
        .unwrap_or_else(|| panic!("cargo named no executable for m3"))
}

/// One call of the gate, on the fixtures' dev_min; its evidence goes to a temporary folder unless it is told otherwise.
pub struct Gate {
    folder: TempDir,
    variables: Vec<(&'static str, OsString)>,
    arguments: Vec<String>,
    wrapper: Vec<OsString>,
}

impl Gate {
    pub fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let out = folder.path().join("out").into_os_string();
        let repo = fixture().into_os_string();
        Self {
            folder,
            variables: vec![("PHASEGATE_OUT", out), ("PHASEGATE_REPO", repo)],
            arguments: Vec::new(),
            wrapper: Vec::new(),
        }
    }

    /// On a server, with credentials that open nothing.
    pub fn on_server(url: String) -> Self {
        Self::new()
            .clock(CLOCK)
            .var("PHASEGATE_SUBSTRATE", "endpoint")
            .var("AWS_ENDPOINT_URL", url)
            .var("AWS_ACCESS_KEY_ID", "230372904534")
            .var("AWS_SECRET_ACCESS_KEY", "anything")
            .var("AWS_EC2_METADATA_DISABLED", "true")
    }

    /// Sets a variable; the last one of a name counts.
    pub fn var(mut self, name: &'static str, value: impl Into<OsString>) -> Self {
        self.variables.retain(|(known, _)| *known != name);
        self.variables.push((name, value.into()));
        self
    }

    pub fn repo(self, path: &Path) -> Self {
        self.var("PHASEGATE_REPO", path)
    }

    pub fn world_dir(self, path: &Path) -> Self {
        self.var("PHASEGATE_WORLD_DIR", path)
    }

    pub fn clock(self, instant: &str) -> Self {
        self.var("PHASEGATE_CLOCK", instant)
    }

    pub fn args(mut self, words: &[&str]) -> Self {
        self.arguments = words.iter().map(|word| (*word).to_owned()).collect();
        self
    }

    /// Runs it below another program, which gets the gate and its arguments at the end of its own.
    pub fn below(mut self, words: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        self.wrapper = words.into_iter().map(Into::into).collect();
        self
    }

    /// The folder of this call alone, in which `out` lies.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The folder that evidence goes to.
    pub fn out(&self) -> PathBuf {
        self.folder.path().join("out")
    }

    /// Starts it; [`Running::end`] waits for it.
    pub fn start(&self) -> Running {
        let (stdout, stderr) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
        let mut words = self.wrapper.iter().cloned().chain([M3.clone().into_os_string()]);
        let mut command = Command::new(words.next().unwrap());
        command
            .args(words)
            .args(&self.arguments)
            // As cargo does: in the package's folder.
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .env_clear()
            .stdin(Stdio::null())
            .stdout(stdout.try_clone().unwrap())
            .stderr(stderr.try_clone().unwrap());
        command.envs(KEPT.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        Running { child: command.spawn().unwrap(), began: Instant::now(), stdout, stderr }
    }

    pub fn run(&self) -> Ran {
        self.start().end()
    }
}

/// A gate under way.
pub struct Running {
    child: Child,
    began: Instant,
    stdout: File,
    stderr: File,
}

impl Running {
    /// Ends it as nobody can be asked about.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for its end. A gate that takes too long or panics fails the test.
    pub fn end(self) -> Ran {
        self.end_within(LIMIT)
    }

    /// The same, with another limit.
    pub fn end_within(mut self, limit: Duration) -> Ran {
        let status = self.wait(limit);
        let ran = Ran {
            code: status.code().unwrap_or_else(|| panic!("the gate was ended by a signal: {status}")),
            stdout: whole(&mut self.stdout),
            stderr: whole(&mut self.stderr),
        };
        for text in [&ran.stdout, &ran.stderr] {
            assert!(!text.contains("panicked at"), "{ran:#?}");
        }
        ran
    }

    /// Sends it a signal by name, and waits. Gives how it ended and what it had said.
    pub fn stopped_by(mut self, signal: &str) -> (ExitStatus, String) {
        let sent = Command::new("kill").args(["-s", signal, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
        let status = self.wait(LIMIT);
        (status, format!("{}{}", whole(&mut self.stdout), whole(&mut self.stderr)))
    }

    fn wait(&mut self, limit: Duration) -> ExitStatus {
        while self.began.elapsed() < limit {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        panic!("no end within {limit:?}: {}{}", whole(&mut self.stdout), whole(&mut self.stderr));
    }
}

fn whole(file: &mut File) -> String {
    let mut text = String::new();
    file.rewind().unwrap();
    file.read_to_string(&mut text).unwrap();
    text
}

/// What a gate said.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    pub fn last_line(&self) -> &str {
        self.stdout.lines().last().unwrap_or_else(|| panic!("nothing on stdout: {self:#?}"))
    }

    /// The last line, read as machines do.
    pub fn line(&self) -> Line {
        Line::read(self.last_line()).unwrap_or_else(|| panic!("no verdict line: {self:#?}"))
    }

    /// The names of the cases that were run, in libtest's lines.
    pub fn cases(&self) -> Vec<&str> {
        self.stdout
            .lines()
            .filter_map(|line| line.strip_prefix("test ")?.split_once(" ... "))
            .map(|(name, _)| name.trim_end())
            .collect()
    }

    /// The names that a list prints; every line must be one.
    pub fn listed(&self) -> Vec<&str> {
        self.stdout
            .lines()
            .map(|line| line.strip_suffix(": test").unwrap_or_else(|| panic!("not a listed test: `{line}`")))
            .collect()
    }

    /// Both streams.
    pub fn said(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }
}

/// The last line of a run.
#[derive(Debug, PartialEq, Eq)]
pub struct Line {
    pub track: String,
    pub verdict: String,
    pub basis: String,
    pub roots: Vec<String>,
    pub entailed: Vec<String>,
    pub cases: usize,
    pub passed: usize,
    pub verdict_file: PathBuf,
}

impl Line {
    fn read(line: &str) -> Option<Self> {
        let (facts, path) = line.split_once(" verdict=")?;
        let words: Vec<&str> = facts.split(' ').collect();
        let [track, "M3", verdict, basis, roots, entailed, cases, passed] = words.as_slice() else { return None };
        Some(Self {
            track: (*track).to_owned(),
            verdict: (*verdict).to_owned(),
            basis: basis.strip_prefix("basis=")?.to_owned(),
            roots: codes(roots.strip_prefix("roots=")?),
            entailed: codes(entailed.strip_prefix("entailed=")?),
            cases: cases.strip_prefix("cases=")?.parse().ok()?,
            passed: passed.strip_prefix("passed=")?.parse().ok()?,
            verdict_file: PathBuf::from(path),
        })
    }

    /// The folder of the execution.
    pub fn folder(&self) -> &Path {
        self.verdict_file.parent().unwrap()
    }
}

fn codes(list: &str) -> Vec<String> {
    if list == "-" { Vec::new() } else { list.split(',').map(str::to_owned).collect() }
}
