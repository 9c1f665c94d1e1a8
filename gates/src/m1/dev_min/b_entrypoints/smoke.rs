//! The starts: `--help`, and one dry run, of every row, in the image as it was built and without any secret.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use support::ensure;
use support::evidence::digest::sha256_hex;
use support::image::{Ended, Invocation, Invoked, Limits, Room};
use support::run::check::{Check, Unmet};
use support::run::context::LaneRun;
use support::run::lane::{Step, Stop};
use support::secrets;

use super::bundle::Bundle;
use super::matrix::{Matrix, Row};
use crate::m1::dev_min::e_build_surface::Built;
use crate::m1::dev_min::{a_image_contract, files};

/// How much of an output stands in messages, in characters.
const SAID: usize = 300;

/// What the starts came to.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Smoke {
    pub image_id: String,
    pub bundle_digest: String,
    pub limits: Limits,
    pub rows: Vec<Started>,
    /// How many rows the matrix has.
    pub planned: usize,
}

/// One row, started twice.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Started {
    pub row: String,
    pub handle: String,
    pub module: String,
    pub help: Start,
    pub dry: Start,
}

/// One start.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in crate::m1::dev_min) struct Start {
    pub argv: Vec<String>,
    pub ended: Ended,
    /// The SHA-256 of its standard output.
    pub stdout_sha256: String,
    /// The ends of its outputs, where they hold no secret.
    pub stdout_end: String,
    pub stderr_end: String,
    /// Rules of the secret scan that its output met, with the place.
    pub secrets: Vec<String>,
    /// More was printed than was kept and scanned.
    pub cut: bool,
}

impl Start {
    /// Of what an invocation came to.
    pub(in crate::m1::dev_min) fn of(invoked: &Invoked) -> Self {
        let hits: Vec<String> = [("stdout", &invoked.stdout), ("stderr", &invoked.stderr)]
            .into_iter()
            .flat_map(|(name, text)| {
                secrets::scan_bytes(text.as_bytes()).into_iter().map(move |hit| format!("{name}: {hit}"))
            })
            .collect();
        let end = |text: &str| {
            let count = text.chars().count();
            // A secret goes no further, and neither does what stands around it.
            if hits.is_empty() { text.chars().skip(count.saturating_sub(SAID)).collect() } else { String::new() }
        };
        Self {
            argv: invoked.argv.clone(),
            ended: invoked.ended.clone(),
            stdout_sha256: sha256_hex(invoked.stdout.as_bytes()),
            stdout_end: end(&invoked.stdout),
            stderr_end: end(&invoked.stderr),
            secrets: hits,
            cut: invoked.cut,
        }
    }

    /// Why it is no success; nothing where it is one.
    pub(in crate::m1::dev_min) fn fault(&self) -> Option<String> {
        let said = || {
            let last = self.stderr_end.lines().rfind(|line| !line.trim().is_empty());
            last.map_or_else(String::new, |line| format!(", it says: {}", line.trim()))
        };
        match &self.ended {
            Ended::Exited { code: 0 } => None,
            Ended::Exited { code } => Some(format!("exit {code}{}", said())),
            Ended::TimedOut { seconds } => Some(format!("not done within {seconds} s{}", said())),
            Ended::NotStarted { why } => Some(format!("not started: {why}")),
        }
    }
}

pub(super) static HELP: Check<Smoke> = Check::<Smoke>::derived(
    "entrypoints.help",
    "help",
    &["smoke"],
    |smoke| {
        let broken = all(smoke, |row| row.help.fault())?;
        ensure!(
            broken.is_empty(),
            "{} of {} rows do not answer --help: {}",
            broken.len(),
            smoke.planned,
            broken.join("; ")
        );
        Ok(format!("{} rows answer --help in {}, without a secret", smoke.rows.len(), smoke.image_id))
    },
    |smoke| {
        if let Some(row) = smoke.rows.first_mut() {
            row.help.ended = Ended::Exited { code: 1 };
        }
    },
)
.next("make the module importable and its help independent of secrets and of the network, in the image; where none was started, read what the engine says");

pub(super) static DRY: Check<Smoke> = Check::<Smoke>::derived(
    "entrypoints.dry_run",
    "dry_run",
    &["smoke"],
    |smoke| {
        // What cannot even say its help says why there.
        let broken = all(smoke, |row| row.dry.fault().filter(|_| row.help.fault().is_none()))?;
        ensure!(
            broken.is_empty(),
            "{} of {} rows do not start with their required arguments: {}",
            broken.len(),
            smoke.planned,
            broken.join("; ")
        );
        Ok(format!("{} rows start with their required arguments and exit 0", smoke.rows.len()))
    },
    |smoke| {
        for row in &mut smoke.rows {
            row.help.ended = Ended::Exited { code: 0 };
            row.dry.ended = Ended::Exited { code: 1 };
        }
    },
)
.next("run the row's command in the image with the bundle, and mend what it says");

pub(super) static OUTPUT: Check<Smoke> = Check::<Smoke>::derived(
    "entrypoints.output_non_secret",
    "output_secret",
    &["smoke"],
    |smoke| {
        let said = |row: &Started| {
            let hits: Vec<&str> = row.help.secrets.iter().chain(&row.dry.secrets).map(String::as_str).collect();
            (!hits.is_empty()).then(|| hits.join(", "))
        };
        let most = smoke.limits.output;
        let unread = |row: &Started| (row.help.cut || row.dry.cut).then(|| format!("it prints more than {most} bytes"));
        let broken = all(smoke, said)?;
        ensure!(broken.is_empty(), "secrets in what entrypoints print: {}", broken.join("; "));
        let unread = all(smoke, unread)?;
        if !unread.is_empty() {
            let why = format!("more was printed than was scanned: {}", unread.join("; "));
            return Err(Unmet::from(why).next("make the entrypoint print less for its help and for a dry run"));
        }
        Ok(format!("{} outputs scanned: no hit", 2 * smoke.rows.len()))
    },
    |smoke| {
        if let Some(row) = smoke.rows.first_mut() {
            row.dry.secrets.push("doctored at 1:1".to_owned());
        }
    },
)
.next("keep the entrypoint from printing the value, take it out of the image, and rotate it");

/// The rows of which `fault` says something; an error where not every row was started.
fn all(smoke: &Smoke, fault: impl Fn(&Started) -> Option<String>) -> Result<Vec<String>, Unmet> {
    ensure!(
        smoke.rows.len() == smoke.planned && smoke.planned > 0,
        "{} of {} rows were started",
        smoke.rows.len(),
        smoke.planned
    );
    Ok(smoke.rows.iter().filter_map(|row| fault(row).map(|why| format!("{}: {why}", row.row))).collect())
}

/// The Python of the image: entrypoints are its modules.
pub(in crate::m1::dev_min) const PYTHON: &str = "python";

pub(super) fn run(run: &mut LaneRun<'_>, matrix: &Matrix, built: &Built, bundle: &Bundle) -> Step {
    let Some(image) = &built.image else { return Err(Stop::Fault("there is no image".to_owned())) };
    let limits = Limits::default();
    let invocations: Vec<Invocation> = matrix.rows.iter().flat_map(|row| both(row, bundle)).collect();
    let room = Room { image: &image.id, python: PYTHON, files: &bundle.files };
    let call = format!("docker run --network none {}", image.id);
    let invoked = match run.images()?.engine().invoke(&room, &invocations, &limits) {
        Ok(reply) => reply.value,
        Err(error) => return Err(run.unanswered("smoke", &call, error)),
    };
    let mut rows = Vec::new();
    for (row, pair) in matrix.rows.iter().zip(invoked.chunks_exact(2)) {
        let [help, dry] = pair else { continue };
        rows.push(Started {
            row: row.called(),
            handle: row.handle.clone(),
            module: row.module.clone(),
            help: Start::of(help),
            dry: Start::of(dry),
        });
    }
    let smoke = Smoke {
        image_id: image.id.clone(),
        bundle_digest: bundle.digest.clone(),
        limits,
        rows,
        planned: matrix.rows.len(),
    };
    run.observe("smoke", &call, &smoke)
}

fn both(row: &Row, bundle: &Bundle) -> [Invocation; 2] {
    let mut help = row.invocation.clone();
    help.push("--help".to_owned());
    [
        Invocation { name: format!("{} --help", row.module), argv: help, env: BTreeMap::new(), listens: false },
        Invocation {
            name: format!("{} dry", row.module),
            argv: bundle.dry(row),
            env: BTreeMap::new(),
            listens: row.listens(),
        },
    ]
}

/// `entrypoint_validation.json`.
pub(super) fn file(run: &LaneRun<'_>, smoke: &Smoke, open: &BTreeMap<String, String>) -> Result<Value, Stop> {
    let identity = a_image_contract::accepted(run)?;
    Ok(json!({
        "phase_id": files::PHASE_ID,
        "platform_run_id": identity.platform_run_id,
        "written_at_utc": run.instant().rfc3339(),
        "image_id": smoke.image_id,
        "bundle_digest": smoke.bundle_digest,
        "limits": smoke.limits,
        "network": "none",
        "secrets_injected": 0,
        "rows": smoke.rows,
        "verdict": if open.is_empty() { "PASS" } else { "FAIL" },
        "failure_reason": open,
        "non_secret": true,
    }))
}
