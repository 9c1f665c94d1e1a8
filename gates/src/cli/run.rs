//! `phasegate run`.

use std::ffi::OsString;

use clap::Args;
use support::harness::exit::Exit;
use support::harness::target::{OneLane, Target};
use support::run::lane::Phase;
use support::run::settings::Settings;

use super::phases::{GATED, gated, id_of};
use super::{CliError, Where};

/// Run a phase's gate
///
/// The same gate as `cargo test --test m3`, for machines without the sources: cases, lanes, evidence, verdict. What stands
/// behind `--` are a filter and the flags of cargo's own test harness: --list, --exact, --skip, --format terse.
#[derive(Debug, Args)]
pub(super) struct Run {
    /// The phase: m3
    phase: String,
    #[command(flatten)]
    place: Where,
    /// Fail where gates.lock pins nothing for the phase; the same as PHASEGATE_LOCKED=1
    #[arg(long)]
    locked: bool,
    /// Run one lane alone, on what the execution of --from observed and left; it never gives the phase's verdict
    #[arg(long, value_name = "LANE", requires = "from")]
    lane: Option<String>,
    /// The execution that --lane goes on from, as its folder is named: m3_20260223T174307Z
    #[arg(long, value_name = "EXECUTION", requires = "lane")]
    from: Option<String>,
    /// Go on from an execution that did not come to its end, where nothing has changed since; the same as PHASEGATE_RESUME
    #[arg(long, value_name = "EXECUTION", conflicts_with = "lane")]
    resume: Option<String>,
    /// The track of --lane, where two have such a lane
    #[arg(long, value_name = "TRACK", requires = "lane")]
    track: Option<String>,
    /// A filter, and flags of cargo's test harness
    #[arg(last = true, value_name = "FILTER")]
    arguments: Vec<OsString>,
}

impl Run {
    pub(super) fn main(&self) -> Result<Exit, CliError> {
        let id = id_of(&self.phase)?;
        let Some(phase) = gated(&id) else {
            let known: Vec<String> = GATED.iter().map(|phase| phase.id.to_ascii_lowercase()).collect();
            return Err(CliError::Usage(format!(
                "this version has no gate for {id}, only for {}; `phasegate list {}` lists its cases",
                known.join(", "),
                self.phase
            )));
        };
        let here = std::env::current_dir()?;
        let root = &self.place.root();
        let command = self.command();
        let environment = |name: &str| match name {
            "PHASEGATE_REPO" => root.to_str().map(str::to_owned),
            "PHASEGATE_LOCKED" if self.locked => Some("1".to_owned()),
            "PHASEGATE_RESUME" if self.resume.is_some() => self.resume.clone(),
            // A command is one process, whoever starts it.
            "NEXTEST" => None,
            _ => std::env::var(name).ok(),
        };
        if root.to_str().is_none() {
            return Err(CliError::Usage(format!("{} is not UTF-8", root.display())));
        }
        let gates = phase.gates()?;
        let settings = Settings::read(environment, &here, &here, &command)?;
        let settings = settings.giving(gates.iter().flat_map(Phase::may_be_given), environment, &here);
        let target = Target {
            phase: phase.id,
            next: phase.next,
            gates: &gates,
            reporter: &reports::Reports,
            workspace: here,
            command,
            alone: self.alone(),
        };
        Ok(target.run(self.arguments.iter().cloned(), &settings))
    }

    fn alone(&self) -> Option<OneLane> {
        let (lane, from) = (self.lane.clone()?, self.from.clone()?);
        Some(OneLane { lane: lane.to_ascii_uppercase(), from, track: self.track.clone() })
    }

    /// The command for running one case again.
    fn command(&self) -> String {
        let mut words = vec!["phasegate".to_owned(), "run".to_owned(), self.phase.clone()];
        if let Some(repo) = self.place.repo.as_ref().and_then(|repo| repo.to_str()) {
            words.push("--repo".to_owned());
            words.push(shlex::try_quote(repo).map_or_else(|_| repo.to_owned(), |quoted| quoted.into_owned()));
        }
        if self.locked {
            words.push("--locked".to_owned());
        }
        for (flag, value) in [("--lane", &self.lane), ("--from", &self.from), ("--track", &self.track)] {
            if let Some(value) = value {
                words.push(flag.to_owned());
                words.push(shlex::try_quote(value).map_or_else(|_| value.clone(), |quoted| quoted.into_owned()));
            }
        }
        words.push("--".to_owned());
        words.join(" ")
    }
}
