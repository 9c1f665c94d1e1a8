//! `phasegate verify`.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use support::harness::exit::Exit;
use support::registry::{self, Handles};
use support::run::lane::Phase;
use support::run::settings::Settings;
use support::run::verify::{Audit, Auditor, Place, VerifyError};
use support::substrate::{Options, Substrate, SubstrateKind};

use super::phases::GATED;
use super::{CliError, Where};

/// Audit an execution: read its evidence again, judge its observations again, and compare with its verdict
///
/// Every file that verdict.json lists is read in the execution's folder and in the store, every receipt is compared with
/// both, and what is there and not listed is looked for. Then the stored observations are judged by the checks of this
/// version, with the plan, the registry and the lock that were stored beside them. Nothing is written. Exits 0 when the
/// evidence bears the verdict out, whichever it is, and 1 when something is not as the verdict says.
#[derive(Debug, Args)]
pub(super) struct Verify {
    /// The execution: its id (m3_20260213T214223Z), its folder, or s3://bucket/…/run_control/<id>/
    execution: String,
    #[command(flatten)]
    place: Where,
    /// Compare the folder alone; what stands in the store is not looked at
    #[arg(long)]
    local: bool,
    /// The track, where two have an execution of this id
    #[arg(long, value_name = "TRACK")]
    track: Option<String>,
    /// The region of a store on AWS; without it AWS_REGION, or else the one that the stored registry names
    #[arg(long, env = "AWS_REGION", value_name = "REGION")]
    region: Option<String>,
}

impl Verify {
    pub(super) fn main(&self, out: &mut dyn Write) -> Result<Exit, CliError> {
        let here = std::env::current_dir()?;
        let root = self.place.root();
        let environment = |name: &str| match name {
            "PHASEGATE_REPO" => root.to_str().map(str::to_owned),
            _ => std::env::var(name).ok(),
        };
        let settings = Settings::read(environment, &here, &here, "phasegate verify")?;
        let mut gates = Vec::new();
        for phase in &GATED {
            gates.extend(phase.gates()?);
        }
        let (place, id) = self.meant(&settings, &here)?;
        let substrate = if self.local {
            if matches!(place, Place::Store { .. }) {
                return Err(CliError::Usage("--local compares a folder; name one, or leave --local out".to_owned()));
            }
            None
        } else {
            Some(self.store(&settings, &place, &id, &gates)?)
        };
        let auditor = Auditor { gates: &gates, reporter: &reports::Reports, substrate: substrate.as_ref() };
        let audit = auditor.audit(&place, &id)?;
        write(out, &audit, substrate.is_some())?;
        Ok(if audit.discrepancies.is_empty() { Exit::Advance } else { Exit::Hold })
    }

    /// Where the execution lies, and its id.
    fn meant(&self, settings: &Settings, here: &Path) -> Result<(Place, String), CliError> {
        let last = |path: &str| path.trim_end_matches('/').rsplit('/').next().unwrap_or("").to_owned();
        if let Some(rest) = self.execution.strip_prefix("s3://") {
            let rest = rest.strip_suffix("verdict.json").unwrap_or(rest).trim_end_matches('/');
            let (bucket, prefix) = rest.split_once('/').ok_or_else(|| {
                CliError::Usage(format!("`{}` names no execution: s3://bucket/…/run_control/<id>/", self.execution))
            })?;
            let place = Place::Store { bucket: bucket.to_owned(), prefix: format!("{prefix}/") };
            return Ok((place, last(rest)));
        }
        let folder = here.join(&self.execution);
        if folder.join("verdict.json").is_file() {
            let folder = folder.canonicalize()?;
            let id = last(&folder.to_string_lossy());
            return Ok((Place::Folder(folder), id));
        }
        let known = [settings.out_folder(false, here), settings.out_folder(true, here)];
        let mut found: Vec<PathBuf> = Vec::new();
        for out in known {
            for phase in &GATED {
                for gate in phase.gates()? {
                    let folder = out.join(gate.track).join(gate.id.to_ascii_lowercase()).join(&self.execution);
                    let meant = self.track.as_deref().is_none_or(|track| track == gate.track);
                    if meant && folder.is_dir() && !found.contains(&folder) {
                        found.push(folder);
                    }
                }
            }
        }
        match found.as_slice() {
            [folder] => Ok((Place::Folder(folder.clone()), self.execution.clone())),
            [] => Err(CliError::Usage(format!(
                "there is no execution {} below {}; name its folder, or say with PHASEGATE_OUT where evidence lies",
                self.execution,
                settings.out_folder(false, here).display()
            ))),
            several => {
                let folders: Vec<String> = several.iter().map(|folder| folder.display().to_string()).collect();
                Err(CliError::Usage(format!(
                    "{} is an execution of several tracks ({}); say which is meant with --track, or name its folder",
                    self.execution,
                    folders.join(", ")
                )))
            }
        }
    }

    /// The store that the evidence stands in.
    fn store(
        &self,
        settings: &Settings,
        place: &Place,
        execution: &str,
        gates: &[Phase],
    ) -> Result<Substrate, CliError> {
        if settings.substrate == SubstrateKind::Embedded && settings.world_dir.is_none() {
            let uri = match place {
                Place::Folder(folder) => folder.display().to_string(),
                Place::Store { bucket, prefix } => format!("s3://{bucket}/{prefix}"),
            };
            let why = "PHASEGATE_SUBSTRATE is embedded without PHASEGATE_WORLD_DIR: that world is gone".to_owned();
            return Err(VerifyError::NoStore { execution: execution.to_owned(), uri, why }.into());
        }
        let stored = match place {
            Place::Folder(folder) => region_of(folder, gates),
            Place::Store { .. } => None,
        };
        // A stand-in for AWS answers in any region.
        let any = (settings.substrate != SubstrateKind::Aws).then(|| "us-east-1".to_owned());
        let Some(region) = self.region.clone().or(stored).or(any) else {
            return Err(CliError::Usage(
                "the store's region is not known: set AWS_REGION, or give --region".to_owned(),
            ));
        };
        let mut options = Options::new(settings.substrate, region);
        options.endpoint.clone_from(&settings.endpoint);
        options.world_dir.clone_from(&settings.world_dir);
        Ok(Substrate::open(&options)?)
    }
}

/// The region that the stored registry names.
fn region_of(folder: &Path, gates: &[Phase]) -> Option<String> {
    let text = std::fs::read_to_string(folder.join("inputs/registry.md")).ok()?;
    let handles = Handles::new(registry::parse(Path::new("inputs/registry.md"), &text).registry);
    let named = gates.iter().map(|gate| gate.region).find_map(|handle| handles.resolve(handle).ok())?;
    named.text().ok().map(str::to_owned)
}

fn write(out: &mut dyn Write, audit: &Audit, with_store: bool) -> Result<(), CliError> {
    let verdict = &audit.verdict;
    let unknown = || "-".to_owned();
    writeln!(
        out,
        "{} {} {} {} basis={} account={} run={}",
        verdict.track,
        verdict.phase,
        verdict.execution_id,
        verdict.verdict,
        verdict.basis.word(),
        verdict.account.clone().unwrap_or_else(unknown),
        verdict.platform_run_id.clone().unwrap_or_else(unknown),
    )?;
    writeln!(
        out,
        "  files     {} listed, {} read here, {} read back from the store",
        audit.listed, audit.read_here, audit.read_back
    )?;
    if !with_store {
        writeln!(out, "            the store was not looked at (--local)")?;
    } else if !audit.only_here.is_empty() {
        writeln!(out, "            never put, so in the folder alone: {}", audit.only_here.join(", "))?;
    }
    writeln!(out, "  receipts  {} compared with the list and the store", audit.receipts)?;
    let (findings, cases) = audit.judged;
    writeln!(out, "  judged    {findings} findings and {cases} cases again, from the stored observations")?;
    for note in &audit.notes {
        writeln!(out, "  note      {note}")?;
    }
    for discrepancy in &audit.discrepancies {
        writeln!(out, "  {discrepancy}")?;
    }
    let word = if audit.discrepancies.is_empty() { "VERIFIED" } else { "NOT_VERIFIED" };
    writeln!(
        out,
        "{} {} {word} {} execution={} files={} stored={} discrepancies={}",
        verdict.track,
        verdict.phase,
        verdict.verdict,
        verdict.execution_id,
        audit.listed,
        audit.read_back,
        audit.discrepancies.len()
    )?;
    Ok(())
}
