//! A registry of one rehearsal alone: Debian's `docker-registry`, on loopback, over a folder that goes with it.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::registry::RegistryAddress;

/// The program, as Debian's package of the same name installs it.
const PROGRAM: &str = "docker-registry";

/// The time in which it must listen.
const READY: Duration = Duration::from_secs(20);

/// How often a port is tried that another process may take in between.
const PORTS: usize = 5;

/// Why there is no registry for a rehearsal.
#[derive(Debug, thiserror::Error)]
pub enum RehearsalRegistryError {
    /// The program is not here.
    #[error(
        "a rehearsal needs a registry, and `{PROGRAM}` is not installed: install it (Debian: apt-get install {PROGRAM}), or set PHASEGATE_REGISTRY to one on this machine"
    )]
    NotInstalled,
    /// It could not be started.
    #[error("`{PROGRAM}` could not be started: {0}")]
    Start(#[from] std::io::Error),
    /// It did not listen.
    #[error("`{PROGRAM}` did not listen within {READY:?}; it last said: {said}")]
    Silent {
        /// Its last words.
        said: String,
    },
}

/// A registry that runs as long as this value lives.
#[derive(Debug)]
pub struct RehearsalRegistry {
    address: RegistryAddress,
    child: Child,
    // Removed after the child has ended.
    _folder: TempDir,
}

impl RehearsalRegistry {
    /// Starts one on a free port of 127.0.0.1; one that is `read_only` takes nothing.
    ///
    /// # Errors
    /// When the program is not here, or does not come up.
    pub fn start(read_only: bool) -> Result<Self, RehearsalRegistryError> {
        let mut said = String::new();
        for _ in 0..PORTS {
            let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
            match Self::start_on(port, read_only)? {
                Ok(registry) => return Ok(registry),
                Err(words) => said = words,
            }
        }
        Err(RehearsalRegistryError::Silent { said })
    }

    fn start_on(port: u16, read_only: bool) -> Result<Result<Self, String>, RehearsalRegistryError> {
        let folder = tempfile::Builder::new().prefix("phasegate-registry-").tempdir()?;
        let config = folder.path().join("config.yml");
        std::fs::write(&config, configuration(port, &folder.path().join("data"), read_only))?;
        let mut child = match Command::new(PROGRAM)
            .arg("serve")
            .arg(&config)
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
        {
            Ok(child) => child,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(RehearsalRegistryError::NotInstalled);
            }
            Err(error) => return Err(error.into()),
        };
        let address = RegistryAddress { host: format!("127.0.0.1:{port}"), plain: true };
        let listening = child.stderr.take().map_or_else(|| Err("nothing".to_owned()), listens);
        let mut registry = Self { address, child, _folder: folder };
        match listening {
            Ok(()) => Ok(Ok(registry)),
            Err(words) => {
                registry.stop();
                Ok(Err(words))
            }
        }
    }

    /// Where it is.
    #[must_use]
    pub fn address(&self) -> &RegistryAddress {
        &self.address
    }

    fn stop(&mut self) {
        // It has ended already where this fails, and nobody can be told here.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Drop for RehearsalRegistry {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Reads what the registry says until it listens; then goes on reading, so that it never waits for its reader.
fn listens(stderr: std::process::ChildStderr) -> Result<(), String> {
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            // Nobody listens any more once it is up.
            drop(tell.send(line));
        }
    });
    let began = Instant::now();
    let mut last = String::new();
    while let Ok(line) = told.recv_timeout(READY.saturating_sub(began.elapsed())) {
        if line.contains("listening on") {
            return Ok(());
        }
        last = line;
    }
    Err(last)
}

fn configuration(port: u16, data: &Path, read_only: bool) -> String {
    let data = data.display();
    format!(
        "version: 0.1\nlog:\n  level: info\n  formatter: json\nstorage:\n  filesystem:\n    rootdirectory: \"{data}\"\n  maintenance:\n    readonly:\n      enabled: {read_only}\nhttp:\n  addr: \"127.0.0.1:{port}\"\n"
    )
}
