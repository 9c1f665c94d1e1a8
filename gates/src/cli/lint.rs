//! `phasegate lint`.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use support::harness::exit::Exit;
use support::plan::{self, AuthorityKind, Parsed, Severity, Source};
use support::registry;
use support::run::repository::{DocumentError, Repository};

use super::{CliError, Where};

/// Check plans and registries: lines that cannot be read (errors), and lines that are probably not meant (doubts)
#[derive(Debug, Args)]
pub(super) struct Lint {
    /// Plans to check; all plans of the repository, if left out
    #[arg(value_name = "PLAN")]
    plans: Vec<PathBuf>,
    #[command(flatten)]
    place: Where,
}

/// What was found so far.
#[derive(Default)]
struct Count {
    plans: usize,
    registries: BTreeSet<PathBuf>,
    errors: usize,
    doubts: usize,
}

impl Lint {
    pub(super) fn main(&self, out: &mut dyn Write) -> Result<Exit, CliError> {
        let mut count = Count::default();
        if self.plans.is_empty() {
            let root = &self.place.root();
            for phase in plan::phases(root)? {
                for found in plan::discover(root, &phase)? {
                    let parsed = plan::parse(Source::read(root, &found.path)?, &found.track);
                    count.plan(root, &parsed, out)?;
                }
            }
        }
        for path in &self.plans {
            // The path stays as it was typed: it is what an editor can open from here.
            let source = Source::read(Path::new(""), path)?;
            let root = self.root_of(path, &source);
            let inside = path.strip_prefix(&root).unwrap_or(path);
            let parsed = plan::parse(source, &plan::track_of(inside));
            count.plan(&root, &parsed, out)?;
        }
        writeln!(
            out,
            "{} plan(s) and {} registr{} checked: {} error(s), {} doubt(s)",
            count.plans,
            count.registries.len(),
            if count.registries.len() == 1 { "y" } else { "ies" },
            count.errors,
            count.doubts
        )?;
        Ok(if count.errors > 0 { Exit::Plan } else { Exit::Advance })
    }

    /// The repository of a plan that was named: the one that was told, else the nearest folder above the plan that holds
    /// a document of its authority inputs, else the current one.
    fn root_of(&self, path: &Path, source: &Source) -> PathBuf {
        if let Some(repo) = self.place.named() {
            return repo;
        }
        let parsed = plan::parse(source.clone(), plan::DEFAULT_TRACK);
        let above = path.ancestors().skip(1);
        above
            .map(|folder| if folder.as_os_str().is_empty() { Path::new(".") } else { folder })
            .find(|folder| parsed.plan.authority.iter().any(|input| folder.join(&input.path).is_file()))
            .unwrap_or(Path::new("."))
            .to_owned()
    }
}

impl Count {
    fn plan(&mut self, root: &Path, parsed: &Parsed, out: &mut dyn Write) -> Result<(), CliError> {
        self.plans += 1;
        for diagnostic in plan::lint(parsed) {
            match diagnostic.severity {
                Severity::Error => self.errors += 1,
                Severity::Doubt => self.doubts += 1,
            }
            writeln!(out, "{diagnostic}\n")?;
        }
        let repository = Repository::open(root)?;
        for input in parsed.plan.authority.iter().filter(|input| input.kind == AuthorityKind::Registry) {
            if !self.registries.insert(root.join(&input.path)) {
                continue;
            }
            match repository.text(&input.path.display().to_string()) {
                Ok(text) => {
                    for error in registry::parse(&input.path, &text).errors {
                        self.errors += 1;
                        writeln!(out, "{}:{}: error: {}", error.path.display(), error.line, error.kind)?;
                        writeln!(out, "  | {}\n", error.text.trim_end())?;
                    }
                }
                Err(error @ DocumentError::Absent { .. }) => {
                    self.registries.remove(&root.join(&input.path));
                    self.doubts += 1;
                    writeln!(out, "{}: doubt: {error}\n", input.place)?;
                }
                Err(error) => {
                    self.errors += 1;
                    writeln!(out, "{}: error: {error}\n", input.place)?;
                }
            }
        }
        Ok(())
    }
}
