//! Where a step runs: folders and variables as a runner gives them, and stand-ins for the programs that reach out.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::document::Step;
use super::expression::{Table, fill};

pub const SHA: &str = "7f1c0f0e2b6a4d0f9f5b1f3f9a9e0a5a2d0f4c11";
pub const RUN_ID: &str = "9876543210";
pub const ACTOR: &str = "release-bot[bot]";

/// Records how it was called, and does as its next answer says; without an answer the call fails.
const STAND_IN: &str = r#"#!/usr/bin/env bash
set -u
home='@HOME@' name=${0##*/}
shopt -s nullglob
all=("$home"/calls/*.call) mine=("$home"/calls/*."$name".call)
call=$home/calls/$(printf '%04d' "${#all[@]}").$name
printf '%s\0' "$name" "$@" >"$call.call"
printf '%s' "$PWD" >"$call.folder"
for variable in "${!PHASEGATE_@}" "${!ROLE_@}" "${!S3_@}"; do printf '%s=%s\0' "$variable" "${!variable}"; done >"$call.env"
answer=$home/answers/$name.${#mine[@]}
if [[ ! -f $answer ]]; then
  [[ $name != sleep ]] || exit 0
  echo "$name: there is no answer for call ${#mine[@]}" >&2
  exit 97
fi
. "$answer"
"#;

/// What a stand-in says and how it ends.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    does: String,
}

impl Answer {
    pub fn ok() -> Self {
        Self::default()
    }

    pub fn says(text: &str) -> Self {
        Self { does: format!("printf '%s\\n' {}\n", quoted(text)) }
    }

    pub fn fails(why: &str) -> Self {
        Self { does: format!("printf '%s\\n' {} >&2\nexit 254\n", quoted(why)) }
    }

    /// Runs this in bash.
    pub fn does(script: &str) -> Self {
        Self { does: script.to_owned() }
    }
}

fn quoted(text: &str) -> String {
    shlex::try_quote(text).unwrap().into_owned()
}

fn text_of(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A call with its words quoted as those that are recorded.
pub fn call(text: &str) -> String {
    let words = shlex::split(text).unwrap();
    shlex::try_join(words.iter().map(String::as_str)).unwrap()
}

/// One runner, for one step or one job.
pub struct Ground {
    home: TempDir,
    pub table: Table,
    vars: BTreeMap<String, String>,
    answers: BTreeMap<String, usize>,
}

/// What a step did. Paths of the runner are written as `$WORK` and `$TEMP`.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub said: String,
    pub outputs: BTreeMap<String, String>,
    pub summary: String,
    pub calls: Vec<String>,
    /// The folder in which each call was made.
    pub folders: Vec<String>,
    /// The `PHASEGATE_*`, `ROLE_*` and `S3_*` variables of each call.
    pub told: Vec<BTreeMap<String, String>>,
}

impl Ground {
    pub fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        for folder in ["work", "temp", "bin", "calls", "answers", "files", "home"] {
            std::fs::create_dir(home.path().join(folder)).unwrap();
        }
        let mut ground = Self { home, table: Table::new(), vars: BTreeMap::new(), answers: BTreeMap::new() };
        for program in ["aws", "cargo", "docker", "sleep", "sudo"] {
            ground.stand_in(&format!("bin/{program}"));
        }
        ground.know("github.sha", SHA);
        for (context, folder) in [("github.workspace", "work"), ("runner.temp", "temp")] {
            let path = ground.path(folder);
            ground.know(context, path.to_str().unwrap());
        }
        ground
    }

    pub fn path(&self, below: &str) -> PathBuf {
        self.home.path().join(below)
    }

    /// A program that records and answers; it is called by the last part of its path.
    pub fn stand_in(&self, path: &str) {
        let text = STAND_IN.replace("@HOME@", self.home.path().to_str().unwrap());
        self.file(path, &text);
        std::fs::set_permissions(self.path(path), std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    pub fn file(&self, path: &str, text: &str) {
        let path = self.path(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    pub fn remove(&self, path: &str) {
        std::fs::remove_file(self.path(path)).unwrap();
    }

    pub fn read(&self, path: &str) -> String {
        text_of(&self.path(path))
    }

    /// A value of GitHub's contexts.
    pub fn know(&mut self, name: &str, value: &str) {
        self.table.insert(name.to_owned(), value.to_owned());
    }

    /// A variable of the runner, beside those of the step.
    pub fn var(&mut self, name: &str, value: &str) {
        self.vars.insert(name.to_owned(), value.to_owned());
    }

    /// The next answer of a stand-in.
    pub fn answer(&mut self, program: &str, answer: Answer) {
        let count = self.answers.entry(program.to_owned()).or_default();
        let place = format!("answers/{program}.{count}");
        *count += 1;
        self.file(&place, &answer.does);
    }

    /// Runs a step's command, and nothing else of its environment than a runner would give it.
    pub fn run(&self, step: &Step<'_>) -> Ran {
        assert_eq!(step.shell(), Some("bash"), "{}: only with this shell does a pipe fail as it should", step.place());
        let before = self.calls().len();
        self.file("files/script.sh", step.script().unwrap());
        for file in ["output", "summary", "env", "path"] {
            self.file(&format!("files/{file}"), "");
        }
        let folder = self.path("work").join(step.folder());
        std::fs::create_dir_all(&folder).unwrap();
        let path = std::env::var_os("PATH").unwrap();
        let all = std::iter::once(self.path("bin")).chain(std::env::split_paths(&path));
        let mut bash = Command::new("bash");
        bash.args(["--noprofile", "--norc", "-eo", "pipefail"]).arg(self.path("files/script.sh"));
        bash.env_clear().current_dir(folder).env("PATH", std::env::join_paths(all).unwrap());
        bash.envs([("CI", "true"), ("GITHUB_ACTIONS", "true"), ("GITHUB_EVENT_NAME", "push"), ("LANG", "C.UTF-8")]);
        bash.envs([("GITHUB_SHA", SHA), ("GITHUB_RUN_ID", RUN_ID), ("GITHUB_ACTOR", ACTOR)]);
        bash.env("HOME", self.path("home")).env("RUNNER_TEMP", self.path("temp"));
        bash.env("GITHUB_WORKSPACE", self.path("work")).env("GITHUB_REF", "refs/heads/main");
        bash.env("GITHUB_OUTPUT", self.path("files/output")).env("GITHUB_STEP_SUMMARY", self.path("files/summary"));
        bash.env("GITHUB_ENV", self.path("files/env")).env("GITHUB_PATH", self.path("files/path"));
        bash.envs(step.env().into_iter().map(|(name, value)| (name, fill(&value, &self.table))));
        bash.envs(&self.vars);
        let ended = bash.output().unwrap();
        let said = String::from_utf8_lossy(&ended.stdout).into_owned() + &String::from_utf8_lossy(&ended.stderr);
        let outputs = self.read("files/output");
        let pair = |line: &str| {
            let (name, value) = line.split_once('=').unwrap_or_else(|| panic!("`{line}` is no output"));
            (name.to_owned(), value.to_owned())
        };
        for quiet in ["env", "path"] {
            assert_eq!(self.read(&format!("files/{quiet}")), "", "{} sets variables of later steps", step.place());
        }
        let calls = self.calls().split_off(before);
        Ran {
            code: ended.status.code(),
            said: self.plain(&said),
            outputs: outputs.lines().map(pair).collect(),
            summary: self.read("files/summary"),
            folders: calls.iter().map(|call| self.plain(&text_of(&call.with_extension("folder")))).collect(),
            told: calls.iter().map(|call| self.told(call)).collect(),
            calls: calls.iter().map(|call| self.called(call)).collect(),
        }
    }

    /// Files of calls, in their order.
    fn calls(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.path("calls")).unwrap().map(|entry| entry.unwrap().path());
        let mut calls: Vec<_> = entries.filter(|path| path.extension().is_some_and(|end| end == "call")).collect();
        calls.sort();
        calls
    }

    fn called(&self, call: &Path) -> String {
        let text = self.plain(&text_of(call));
        shlex::try_join(text.strip_suffix('\0').unwrap().split('\0')).unwrap()
    }

    fn told(&self, call: &Path) -> BTreeMap<String, String> {
        let text = text_of(&call.with_extension("env"));
        let pairs = text.split('\0').filter_map(|pair| pair.split_once('='));
        pairs.map(|(name, value)| (name.to_owned(), self.plain(value))).collect()
    }

    fn plain(&self, text: &str) -> String {
        let place = |folder: &str| self.path(folder).to_str().unwrap().to_owned();
        text.replace(&place("work"), "$WORK").replace(&place("temp"), "$TEMP")
    }
}

/// Programs that a script needs and this machine lacks. Stand-ins are never asked for.
pub fn lacking(script: &str) -> Option<&'static str> {
    if !cfg!(target_os = "linux") {
        return Some("the Linux of GitHub's runners");
    }
    let programs = ["jq", "tar", "find", "cmp", "date", "grep", "tee", "cp"];
    let path = std::env::var_os("PATH").unwrap_or_default();
    let there = |program: &str| std::env::split_paths(&path).any(|folder| folder.join(program).is_file());
    let named = |program: &str| script.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| word == program);
    std::iter::once("bash").chain(programs.into_iter().filter(|program| named(program))).find(|program| !there(program))
}
