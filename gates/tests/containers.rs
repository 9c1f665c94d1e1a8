//! The gate of daemons over real containers: MiniStack's ECS starts them from the fixture image, and the gate reads what became of them.
//!
//! It needs a container engine, `docker-registry`, a base image (PHASEGATE_BASE_IMAGE), and the folder of MiniStack's environment
//! (PHASEGATE_EMULATORS, made by `.ci/emulators install ministack DIR`). So it runs only when it is named. What is not ECS or its logs
//! is the embedded world's: of a policy simulation MiniStack answers the first resource alone.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

#[expect(dead_code, reason = "drills use more of it")]
#[path = "drills/mod.rs"]
mod kit;

use kit::rig::{Played, Stage, workspace};
use support::image::{Build, Images, RegistryPlace};
use support::run::lane::Phase;
use support::run::outcome::Verdict;
use support::substrate::seed::{self, World};
use support::substrate::{Options, Substrate, SubstrateKind};

/// The run that M3 pinned in the fixtures.
const RUN: &str = "platform_20260213T214223Z";

/// The fixtures' registry of images, and the digest of the image in it.
const ECR: &str = "230372904534.dkr.ecr.eu-west-2.amazonaws.com";
const REPOSITORY: &str = "fraud-platform-dev-min";
const TAG: &str = "git-7f1c0f0e2b6a4d0f9f5b1f3f9a9e0a5a2d0f4c11";
const DIGEST: &str = "sha256:ec91963a32d5060035ef319c498e51d75f48373bcf20706fc2c94b4de8bb0421";

fn given(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set; see the head of this file"))
}

fn said(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// MiniStack, started and stopped by its own process id.
struct Server {
    pid: String,
    url: String,
    /// The containers that ran before.
    before: BTreeSet<String>,
}

impl Server {
    fn start() -> Self {
        let before = containers();
        let script = workspace().join(".ci/emulators");
        let started = said(Command::new(script).args(["start", "ministack", &given("PHASEGATE_EMULATORS")]));
        let [_, pid, url] = started.split(' ').collect::<Vec<_>>()[..] else { panic!("{started}") };
        Self { pid: pid.to_owned(), url: url.to_owned(), before }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let stopped = Command::new(workspace().join(".ci/emulators")).args(["stop", &self.pid]).status();
        // The server may be about to remove some itself: what is left in the end counts.
        let until = Instant::now() + Duration::from_secs(60);
        let left = loop {
            let left: Vec<String> = containers().difference(&self.before).cloned().collect();
            if left.is_empty() || Instant::now() > until {
                break left;
            }
            drop(Command::new("docker").args(["rm", "--force", "--volumes"]).args(&left).output());
        };
        // A second panic would end all tests at once.
        if !std::thread::panicking() {
            assert!(left.is_empty() && stopped.unwrap().success(), "{left:?}");
        }
    }
}

/// The containers that MiniStack's ECS has made, running or not.
fn containers() -> BTreeSet<String> {
    let listed =
        said(Command::new("docker").args(["ps", "--all", "--quiet", "--no-trunc", "--filter", "label=ministack=ecs"]));
    listed.lines().map(str::to_owned).collect()
}

/// The fixture image, in a registry of this test.
struct Pushed {
    images: Images,
    host: String,
    digest: String,
    manifest: String,
    reference: String,
}

impl Pushed {
    fn build(name: &str) -> Self {
        let reference = format!("phasegate-test/{name}:1");
        let sources = workspace().join("fixtures/platform-image");
        let images = Images::open(RegistryPlace::Own).unwrap();
        let build = Build {
            context: Command::new("tar").arg("-C").arg(sources).args(["-c", "."]).output().unwrap().stdout,
            dockerfile: "Dockerfile".to_owned(),
            reference: reference.clone(),
            named: true,
            args: BTreeMap::from([("BASE_IMAGE".to_owned(), given("PHASEGATE_BASE_IMAGE"))]),
        };
        let built = images.engine().build(build).unwrap().value;
        assert!(built.image_id.is_some(), "{}", built.log);
        let registry = images.registry_of(ECR).unwrap();
        let host = registry.host().to_owned();
        let named = format!("{host}/{REPOSITORY}");
        images.engine().tag(&reference, &named, TAG).unwrap();
        images.engine().push(&named, TAG, None).unwrap();
        let manifest = registry.manifest(REPOSITORY, TAG, None).unwrap().value;
        Self { images, host, digest: manifest.digest, manifest: manifest.text, reference }
    }
}

impl Drop for Pushed {
    fn drop(&mut self) {
        let named = format!("{}/{REPOSITORY}", self.host);
        for reference in [format!("{named}:{TAG}"), format!("{named}@{}", self.digest), self.reference.clone()] {
            // One that nobody pulled is not there.
            drop(self.images.engine().untag(&reference));
        }
        let left = self.images.engine().tidy();
        if !std::thread::panicking() {
            assert_eq!(left, []);
        }
    }
}

/// Changes each file below a folder.
fn each_file(folder: &Path, change: &dyn Fn(String) -> String) {
    for entry in walkdir::WalkDir::new(folder) {
        let entry = entry.unwrap();
        if let Some(text) = entry.file_type().is_file().then(|| std::fs::read_to_string(entry.path()).ok()).flatten() {
            std::fs::write(entry.path(), change(text)).unwrap();
        }
    }
}

/// The fixtures with the image that was pushed, and daemons that serve `active`: the ingest gateway's, or all but it.
fn staged(pushed: &Pushed, active: impl Fn(&str) -> String) -> Stage {
    let stage = Stage::set(&gate()).unwrap();
    let renamed = |text: String| text.replace(ECR, &pushed.host).replace(DIGEST, &pushed.digest);
    each_file(&stage.repository(), &renamed);
    each_file(&stage.world(), &renamed);
    let manifest: PathBuf = stage.world().join("ecr-image-manifest.json");
    std::fs::write(manifest, &pushed.manifest).unwrap();
    let mut world = kit::overlay::read(&stage.world()).unwrap();
    for definition in world["task_definition"].as_array_mut().unwrap() {
        let family = definition["family"].as_str().unwrap().to_owned();
        for container in definition["container"].as_array_mut().unwrap() {
            let words =
                ["python", "-m", "fraud_detection.daemon", "--active-run", &active(&family)].map(toml::Value::from);
            container.as_table_mut().unwrap().insert("command".to_owned(), words.to_vec().into());
        }
    }
    for given in world["given"].as_array_mut().unwrap() {
        if given["name"].as_str() == Some("PHASEGATE_START_LIMIT") {
            given.as_table_mut().unwrap().insert("value".to_owned(), "120".into());
        }
    }
    kit::overlay::write(&stage.world(), &world).unwrap();
    stage
}

fn gate() -> Phase {
    gates::m4::gates().unwrap().remove(0)
}

/// The gate over a server that was given the daemons of the stage.
fn played(stage: Stage, server: &Server) -> Played {
    let world = World::read(&stage.world()).unwrap();
    let mut options = Options::new(SubstrateKind::Endpoint, world.region());
    options.endpoint = Some(server.url.clone());
    let substrate = Substrate::open(&options).unwrap();
    let seeded = seed::apply(&substrate, &world).unwrap();
    assert_eq!(seeded.left_out, [""; 0]);
    stage.with_daemons_at(&server.url).play(&gates::m4::gates().unwrap(), &[]).unwrap()
}

#[test]
fn thirteen_containers_come_up_and_are_read() {
    let (pushed, server) = (Pushed::build("up"), Server::start());
    let played = played(staged(&pushed, |_| RUN.to_owned()), &server);
    let outcome = played.outcome.unwrap();
    let failed: Vec<_> = outcome.findings.iter().filter(|finding| !finding.why.is_empty()).collect();
    assert_eq!(outcome.decision.verdict, Verdict::Advance, "{failed:#?}");
    assert_eq!(containers().difference(&server.before).count(), 13);
}

#[test]
fn a_container_that_refuses_its_run_holds_the_gate() {
    let (pushed, server) = (Pushed::build("refuses"), Server::start());
    let another = |family: &str| match family {
        "fraud-platform-dev-min-ig-service" => "platform_20260101T000000Z".to_owned(),
        _ => RUN.to_owned(),
    };
    let played = played(staged(&pushed, another), &server);
    let outcome = played.outcome.unwrap();
    let roots: Vec<&str> = outcome.decision.roots.iter().map(|root| root.code.as_str()).collect();
    assert_eq!((outcome.decision.verdict, roots), (Verdict::Hold, vec!["M4F-B3"]), "{:#?}", outcome.findings);
}
