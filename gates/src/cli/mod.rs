//! The command line: what it takes, and which part carries it out.

mod lint;
mod list;
mod lock;
mod phases;
mod run;
mod seed;
mod verify;

use std::io::{self, Write};
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use support::harness::bindings::BindingError;
use support::harness::exit::Exit;
use support::harness::lock::LockError;
use support::harness::suite::SuiteError;
use support::plan::{DiscoverError, SourceError};
use support::run::documents::DocumentsError;
use support::run::repository::DocumentError;
use support::run::settings::SettingsError;
use support::run::verify::VerifyError;
use support::substrate::SubstrateError;
use support::substrate::seed::SeedError;

const AFTER_HELP: &str = "\
Exit codes:
  0  the gate advances; or nothing is wrong
  1  the gate holds; the lock would be relaxed, or is not up to date; the evidence does not bear the verdict out
  2  the command line or a variable cannot be used
  3  a plan, its registry or its lock cannot be read
  4  fewer than all cases were judged, and CI is set
  5  evidence could not be written or read, or there is no substrate

`phasegate run` obeys the same PHASEGATE_* variables as `cargo test --test m3`; relative paths in them are resolved against the current folder.";

/// Turn phase plans into gates that fail closed.
#[derive(Debug, Parser)]
#[command(name = "phasegate", version, after_help = AFTER_HELP, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the cases that the plans ask for, and what answers each; asks no network and writes nothing
    List(list::List),
    /// Check plans and registries: lines that cannot be read (errors), and lines that are probably not meant (doubts)
    Lint(lint::Lint),
    /// Write gates.lock, which pins what the gates obey, and show what was added, changed or relaxed
    Lock(lock::Lock),
    /// Put a world onto an AWS-compatible server on this machine
    Seed(seed::Seed),
    /// Run a phase's gate
    Run(run::Run),
    /// Audit an execution: read its evidence again, and judge it again
    Verify(verify::Verify),
}

/// Where the plans are.
#[derive(Debug, Clone, Args)]
struct Where {
    /// The plan repository; without it PHASEGATE_REPO, or else the current folder
    #[arg(long, value_name = "DIR")]
    repo: Option<PathBuf>,
}

impl Where {
    /// The repository that was named, by the flag or by the variable. An empty variable names none, as everywhere.
    fn named(&self) -> Option<PathBuf> {
        let variable = || std::env::var_os("PHASEGATE_REPO").filter(|value| !value.is_empty()).map(PathBuf::from);
        self.repo.clone().or_else(variable)
    }

    fn root(&self) -> PathBuf {
        self.named().unwrap_or_else(|| PathBuf::from("."))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    Text,
    /// For programs
    Json,
}

/// Why a command could not do what it was told.
#[derive(Debug, thiserror::Error)]
enum CliError {
    #[error(transparent)]
    Discover(#[from] DiscoverError),
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error(transparent)]
    Suite(#[from] SuiteError),
    #[error(transparent)]
    Repository(#[from] DocumentError),
    #[error(transparent)]
    Documents(#[from] DocumentsError),
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error(transparent)]
    Binding(#[from] BindingError),
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error(transparent)]
    Seed(#[from] SeedError),
    #[error(transparent)]
    Substrate(#[from] SubstrateError),
    #[error(transparent)]
    Verify(#[from] VerifyError),
    #[error("{0}")]
    Usage(String),
    #[error("{0}")]
    Plan(String),
    #[error("the output cannot be written: {0}")]
    Output(#[from] io::Error),
}

impl CliError {
    fn exit(&self) -> Exit {
        match self {
            Self::Usage(_) | Self::Settings(_) | Self::Output(_) => Exit::Usage,
            Self::Lock(LockError::Account(_)) => Exit::Usage,
            Self::Lock(LockError::Unwritable { .. } | LockError::Secret { .. }) => Exit::Evidence,
            Self::Seed(SeedError::NotALoopback { .. }) => Exit::Usage,
            Self::Substrate(SubstrateError::BadEndpoint { .. } | SubstrateError::NoEndpoint) => Exit::Usage,
            Self::Verify(VerifyError::NoGate { .. }) => Exit::Usage,
            Self::Seed(_) | Self::Substrate(_) | Self::Verify(_) => Exit::Evidence,
            Self::Discover(_)
            | Self::Source(_)
            | Self::Suite(_)
            | Self::Repository(_)
            | Self::Documents(_)
            | Self::Lock(_)
            | Self::Binding(_)
            | Self::Plan(_) => Exit::Plan,
        }
    }
}

/// Reads the command line of this process and does what it says.
pub(crate) fn main() -> Exit {
    let cli = Cli::parse();
    let mut out = io::stdout().lock();
    let done = match &cli.command {
        Command::List(list) => list.main(&mut out),
        Command::Lint(lint) => lint.main(&mut out),
        Command::Lock(lock) => lock.main(&mut out),
        Command::Seed(seed) => seed.main(&mut out),
        Command::Verify(verify) => verify.main(&mut out),
        // The gate prints by itself, from several threads.
        Command::Run(run) => {
            drop(out);
            run.main()
        }
    };
    match done {
        Ok(exit) => exit,
        // Who reads no further knows why.
        Err(CliError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Usage,
        Err(error) => {
            say(&format!("error: {error}"));
            error.exit()
        }
    }
}

/// A line on stderr. A stderr that is closed is no reason to stop.
fn say(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}
