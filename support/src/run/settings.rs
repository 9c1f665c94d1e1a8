//! What a run is told from outside: the `PHASEGATE_*` variables and the few of AWS that matter here.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::clock::{ClockError, Instant};
use super::outcome::Mode;
use crate::substrate::SubstrateKind;

/// Variables of gates that name a file or a folder.
const GIVEN_PATHS: [&str; 3] = ["PHASEGATE_SOURCE", "PHASEGATE_BUNDLE", "PHASEGATE_CI_OUTPUTS"];

/// A setting that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// A variable has a value that it does not know.
    #[error("{name}=`{value}` is not one of {known}; set one of them or unset {name}")]
    Unknown {
        /// The variable.
        name: &'static str,
        /// Its value.
        value: String,
        /// What it may be.
        known: &'static str,
    },
    /// `PHASEGATE_CLOCK` is no instant.
    #[error("PHASEGATE_CLOCK: {0}")]
    Clock(#[from] ClockError),
    /// The endpoint substrate has no endpoint.
    #[error("PHASEGATE_SUBSTRATE=endpoint needs AWS_ENDPOINT_URL, for example http://127.0.0.1:5001")]
    NoEndpoint,
    /// A live run with a made-up time.
    #[error("PHASEGATE_CLOCK is set, and the substrate is aws: a live run uses the wall clock; unset PHASEGATE_CLOCK")]
    ClockOnAws,
    /// The endpoint would be ignored, or live AWS would be another server.
    #[error("AWS_ENDPOINT_URL is set, and PHASEGATE_SUBSTRATE is {0}: unset it, or set PHASEGATE_SUBSTRATE=endpoint")]
    StrayEndpoint(&'static str),
    /// On AWS the registry is ECR's own.
    #[error("PHASEGATE_REGISTRY stands in for ECR's registry in a rehearsal; on aws it means nothing: unset it")]
    StrayRegistry,
    /// A world folder makes sense for the embedded substrate only.
    #[error("PHASEGATE_WORLD_DIR keeps the embedded world; it means nothing on {0}: unset it")]
    StrayWorldDir(&'static str),
}

/// What a run is told from outside.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The plan repository.
    pub repository: PathBuf,
    /// The AWS surface.
    pub substrate: SubstrateKind,
    /// The server, for `endpoint`.
    pub endpoint: Option<String>,
    /// What the run may do.
    pub mode: Mode,
    /// The instant that the user set.
    pub clock: Option<Instant>,
    /// The folder that the user set for output.
    pub out: Option<PathBuf>,
    /// Folder of worlds, one per track.
    pub worlds: PathBuf,
    /// Where the embedded world is kept, when it is to outlive the process.
    pub world_dir: Option<PathBuf>,
    /// The registry that images of a rehearsal are pushed to, `http://127.0.0.1:5000`.
    pub registry: Option<String>,
    /// The predecessor's execution id, when it is another than the plan names.
    pub from: Option<String>,
    /// The execution that this one goes on from.
    pub resume: Option<String>,
    /// The run of nextest that this process is one of, where it is one; empty where nextest does not say which.
    pub nextest: Option<String>,
    /// The world is put onto the endpoint before the run; loopback only.
    pub seed: bool,
    /// A missing lock fails.
    pub locked: bool,
    /// `CI` is set: a partial run exits 4.
    pub ci: bool,
    /// The command that started this run, for re-run hints.
    pub command: String,
    /// Values of handles that a gate lets the environment give, by name.
    pub given: BTreeMap<String, String>,
}

impl Settings {
    /// Reads the variables through `get`; relative paths stand against `base`. `workspace` is where
    /// `fixtures/` lies.
    ///
    /// # Errors
    /// When a variable has an unknown value, or two contradict each other.
    pub fn read(
        get: impl Fn(&str) -> Option<String>,
        base: &Path,
        workspace: &Path,
        command: &str,
    ) -> Result<Self, SettingsError> {
        let get = |name: &str| get(name).filter(|value| !value.is_empty());
        let path = |name: &str| get(name).map(|value| base.join(value));
        let flag = |name: &'static str| match get(name).as_deref() {
            None | Some("0" | "false") => Ok(false),
            Some("1" | "true") => Ok(true),
            Some(other) => Err(SettingsError::Unknown { name, value: other.to_owned(), known: "1, true, 0, false" }),
        };
        let substrate = match get("PHASEGATE_SUBSTRATE").as_deref() {
            None | Some("embedded") => SubstrateKind::Embedded,
            Some("endpoint") => SubstrateKind::Endpoint,
            Some("aws") => SubstrateKind::Aws,
            Some(other) => {
                return Err(SettingsError::Unknown {
                    name: "PHASEGATE_SUBSTRATE",
                    value: other.to_owned(),
                    known: "embedded, endpoint, aws",
                });
            }
        };
        let mode = match (get("PHASEGATE_MODE").as_deref(), substrate) {
            (Some("preflight"), _) | (None, SubstrateKind::Aws) => Mode::Preflight,
            (Some("commit"), _) | (None, _) => Mode::Commit,
            (Some(other), _) => {
                return Err(SettingsError::Unknown {
                    name: "PHASEGATE_MODE",
                    value: other.to_owned(),
                    known: "preflight, commit",
                });
            }
        };
        let endpoint = get("AWS_ENDPOINT_URL");
        match (substrate, &endpoint) {
            (SubstrateKind::Endpoint, None) => return Err(SettingsError::NoEndpoint),
            (SubstrateKind::Aws, Some(_)) => return Err(SettingsError::StrayEndpoint("aws")),
            _ => {}
        }
        let clock = get("PHASEGATE_CLOCK").map(|text| Instant::parse(&text)).transpose()?;
        if substrate == SubstrateKind::Aws && clock.is_some() {
            return Err(SettingsError::ClockOnAws);
        }
        let world_dir = path("PHASEGATE_WORLD_DIR");
        if world_dir.is_some() && substrate != SubstrateKind::Embedded {
            return Err(SettingsError::StrayWorldDir("this substrate"));
        }
        let registry = get("PHASEGATE_REGISTRY");
        if registry.is_some() && substrate == SubstrateKind::Aws {
            return Err(SettingsError::StrayRegistry);
        }
        Ok(Self {
            repository: path("PHASEGATE_REPO").unwrap_or_else(|| workspace.join("fixtures/repo")),
            substrate,
            endpoint,
            mode,
            clock,
            out: path("PHASEGATE_OUT"),
            worlds: path("PHASEGATE_WORLD").unwrap_or_else(|| workspace.join("fixtures/world")),
            world_dir,
            registry,
            from: get("PHASEGATE_FROM"),
            resume: get("PHASEGATE_RESUME"),
            nextest: get("NEXTEST").map(|_| get("NEXTEST_RUN_ID").unwrap_or_default()),
            seed: flag("PHASEGATE_SEED")?,
            locked: flag("PHASEGATE_LOCKED")?,
            ci: get("CI").is_some(),
            command: command.to_owned(),
            given: BTreeMap::new(),
        })
    }

    /// Reads the handles that gates let the environment give, through `get`. Relative paths stand against `base`.
    #[must_use]
    pub fn giving(
        mut self,
        names: impl IntoIterator<Item = &'static str>,
        get: impl Fn(&str) -> Option<String>,
        base: &Path,
    ) -> Self {
        for name in names {
            if let Some(value) = get(name).filter(|value| !value.is_empty()) {
                let is_path = GIVEN_PATHS.contains(&name);
                let value = if is_path { base.join(value).to_string_lossy().into_owned() } else { value };
                self.given.insert(name.to_owned(), value);
            }
        }
        self
    }

    /// Whether a gate that nothing is pinned for is held.
    #[must_use]
    pub fn requires_lock(&self) -> bool {
        self.locked || self.substrate == SubstrateKind::Aws
    }

    /// Where evidence goes: `PHASEGATE_OUT`; else the plan repository's `runs/` for a live commit and
    /// `target/phasegate/` of `workspace` for everything else.
    #[must_use]
    pub fn out_folder(&self, live: bool, workspace: &Path) -> PathBuf {
        match &self.out {
            Some(out) => out.clone(),
            None if live && self.mode == Mode::Commit => self.repository.join("runs"),
            None => workspace.join("target/phasegate"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn read(vars: &[(&str, &str)]) -> Result<Settings, SettingsError> {
        let get = |name: &str| vars.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned());
        Settings::read(get, Path::new("/base"), Path::new("/space"), "cargo test --test m3 --")
    }

    #[test]
    fn without_variables_it_rehearses_on_the_embedded_substrate() {
        let settings = read(&[]).unwrap();
        assert_eq!(settings.substrate, SubstrateKind::Embedded);
        assert_eq!(settings.mode, Mode::Commit);
        assert_eq!(settings.repository, Path::new("/space/fixtures/repo"));
        assert_eq!(settings.out_folder(false, Path::new("/space")), Path::new("/space/target/phasegate"));
    }

    #[test]
    fn aws_only_reads_unless_told_to_commit() {
        assert_eq!(read(&[("PHASEGATE_SUBSTRATE", "aws")]).unwrap().mode, Mode::Preflight);
        let told = read(&[("PHASEGATE_SUBSTRATE", "aws"), ("PHASEGATE_MODE", "commit")]).unwrap();
        assert_eq!(told.mode, Mode::Commit);
    }

    #[rstest]
    #[case(&[("PHASEGATE_SUBSTRATE", "cloud")], "PHASEGATE_SUBSTRATE=`cloud`")]
    #[case(&[("PHASEGATE_MODE", "dry")], "PHASEGATE_MODE=`dry`")]
    #[case(&[("PHASEGATE_CLOCK", "noon")], "PHASEGATE_CLOCK: `noon`")]
    #[case(&[("PHASEGATE_LOCKED", "maybe")], "PHASEGATE_LOCKED=`maybe`")]
    #[case(&[("PHASEGATE_SUBSTRATE", "endpoint")], "needs AWS_ENDPOINT_URL")]
    #[case(&[("PHASEGATE_SUBSTRATE", "aws"), ("PHASEGATE_CLOCK", "2026-02-13T21:42:23Z")], "wall clock")]
    #[case(&[("PHASEGATE_SUBSTRATE", "aws"), ("AWS_ENDPOINT_URL", "http://127.0.0.1:1")], "AWS_ENDPOINT_URL is set")]
    #[case(&[("PHASEGATE_SUBSTRATE", "aws"), ("PHASEGATE_WORLD_DIR", "w")], "PHASEGATE_WORLD_DIR")]
    #[case(&[("PHASEGATE_SUBSTRATE", "aws"), ("PHASEGATE_REGISTRY", "http://127.0.0.1:5000")], "PHASEGATE_REGISTRY")]
    fn what_cannot_be_meant_is_refused(#[case] vars: &[(&str, &str)], #[case] says: &str) {
        let error = read(vars).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }

    #[test]
    fn only_what_a_gate_names_is_taken_from_the_environment() {
        let get = |name: &str| match name {
            "ASKED" | "OTHER" => Some("s3://bucket/key".to_owned()),
            "PHASEGATE_SOURCE" => Some("../platform".to_owned()),
            "PHASEGATE_BUNDLE" => Some("/elsewhere".to_owned()),
            "BLANK" => Some(String::new()),
            _ => None,
        };
        let settings = read(&[]).unwrap().giving(
            ["ASKED", "BLANK", "UNSET", "PHASEGATE_SOURCE", "PHASEGATE_BUNDLE"],
            get,
            Path::new("/base"),
        );
        let given: Vec<(&str, &str)> = settings.given.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        let wanted = [
            ("ASKED", "s3://bucket/key"),
            ("PHASEGATE_BUNDLE", "/elsewhere"),
            ("PHASEGATE_SOURCE", "/base/../platform"),
        ];
        assert_eq!(given, wanted);
    }

    #[test]
    fn relative_paths_stand_against_the_base() {
        let settings = read(&[("PHASEGATE_REPO", "../plans"), ("PHASEGATE_OUT", "/elsewhere")]).unwrap();
        assert_eq!(settings.repository, Path::new("/base/../plans"));
        assert_eq!(settings.out_folder(true, Path::new("/space")), Path::new("/elsewhere"));
    }
}
