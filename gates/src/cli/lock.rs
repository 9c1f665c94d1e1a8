//! `phasegate lock`.

use std::io::Write;
use std::path::Path;

use clap::Args;
use support::harness::exit::Exit;
use support::harness::lock::{self, Difference, Pins, Proposal, pins_of, propose};
use support::harness::suite::{PlanSuite, SuiteError};
use support::plan::DiscoverError;
use support::run::documents::Documents;
use support::run::repository::Repository;

use super::phases::{GATED, suites};
use super::{CliError, Where};

/// Write gates.lock, which pins what the gates obey, and show what was added, changed or relaxed
///
/// One line for each difference, with the file and line where it stands. A lock that would ask less than before is not
/// written without --accept-relaxed. Where CI is set nothing is written at all: use --check there.
#[derive(Debug, Args)]
pub(super) struct Lock {
    #[command(flatten)]
    place: Where,
    /// Write a lock that asks less than the one that stands
    #[arg(long)]
    accept_relaxed: bool,
    /// Pin the AWS account in which live runs may run (12 digits)
    #[arg(long, value_name = "ID")]
    account: Option<String>,
    /// Compare only; exits 1 when the lock is not up to date
    #[arg(long, conflicts_with = "accept_relaxed")]
    check: bool,
}

impl Lock {
    pub(super) fn main(&self, out: &mut dyn Write) -> Result<Exit, CliError> {
        if !self.check && std::env::var_os("CI").is_some_and(|value| !value.is_empty()) {
            return Err(CliError::Usage(
                "CI is set, and CI never writes gates.lock: run `phasegate lock` on your machine and commit the file; `phasegate lock --check` compares only".to_owned(),
            ));
        }
        let root = &self.place.root();
        let old = lock::Lock::read(root)?;
        let phases: Vec<&str> = GATED.iter().map(|phase| phase.id).collect();
        let pins = all_pins(root, old.as_ref(), &phases)?;
        let proposal = propose(old.as_ref(), &pins, &phases, self.account.as_deref())?;
        for (gate, difference) in &proposal.differences {
            writeln!(out, "{}", line(gate, difference))?;
        }
        self.conclude(root, old.is_some(), &proposal, out)
    }

    fn conclude(&self, root: &Path, stands: bool, proposal: &Proposal, out: &mut dyn Write) -> Result<Exit, CliError> {
        let count = |word: &str| proposal.differences.iter().filter(|(_, d)| d.word() == word).count();
        let counts = format!("{} added, {} changed, {} relaxed", count("added"), count("changed"), count("relaxed"));
        let (said, exit) = match () {
            () if proposal.differences.is_empty() && stands => ("up to date".to_owned(), Exit::Advance),
            () if self.check && !stands => (format!("there is none; {counts}"), Exit::Hold),
            () if self.check => (format!("not up to date: {counts}"), Exit::Hold),
            () if proposal.relaxes() && !self.accept_relaxed => {
                (format!("not written: {counts}; read the relaxed ones, then add --accept-relaxed"), Exit::Hold)
            }
            () => {
                proposal.write(root)?;
                (format!("written: {counts}"), Exit::Advance)
            }
        };
        writeln!(out, "{}: {said}", lock::NAME)?;
        Ok(exit)
    }
}

/// What all plans of the gated phases ask now.
fn all_pins(root: &Path, old: Option<&lock::Lock>, phases: &[&str]) -> Result<Vec<Pins>, CliError> {
    let mut all = Vec::new();
    let mut nothing = None;
    for phase in &GATED {
        let gates = phase.gates()?;
        match suites(root, phase.id, &gates, old) {
            Ok(suites) => {
                for suite in &suites {
                    all.push(pins(root, suite)?);
                }
            }
            // A phase that has no plan is an error only where no other has one, or where the lock pins it.
            Err(SuiteError::Discover(error @ DiscoverError::NoPlan { .. })) => nothing = Some(error),
            Err(error) => return Err(error.into()),
        }
    }
    match nothing {
        Some(error) if all.is_empty() && old.is_none_or(|lock| !phases.iter().any(|phase| lock.names(phase))) => {
            Err(error.into())
        }
        _ => Ok(all),
    }
}

fn pins(root: &Path, suite: &PlanSuite<'_>) -> Result<Pins, CliError> {
    let plan = &suite.parsed.plan;
    if let Some(error) = suite.parsed.errors.first() {
        return Err(CliError::Plan(format!("a plan that cannot be read whole is not pinned: {error}")));
    }
    if let Some(problem) = suite.binding_problems.iter().find(|problem| problem.check == "phase.lock_binding") {
        return Err(CliError::Plan(format!("{}; {}", problem.why, problem.next)));
    }
    let documents = Documents::load(Repository::open(root)?, plan.clone(), None)?;
    Ok(pins_of(&suite.subject(&documents)))
}

fn line(gate: &str, difference: &Difference) -> String {
    let place = difference.place().map_or_else(|| lock::NAME.to_owned(), ToString::to_string);
    format!("{:<8} {place}: {gate}: {}", difference.word(), difference.what())
}
