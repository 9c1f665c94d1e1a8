//! One execution of a phase's gate in this process, on a copy of the fixture repository and a world of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex};

use aws_smithy_runtime_api::client::http::SharedHttpClient;
use support::harness::suite;
use support::image::{Images, Memory, RegistryPlace};
use support::plan::Plan;
use support::run::clock::Instant;
use support::run::documents::Documents;
use support::run::execution::{Alone, Execution, basis_of};
use support::run::lane::Phase;
use support::run::outcome::PhaseOutcome;
use support::run::repository::Repository;
use support::run::settings::Settings;
use support::run::stored::Stored;
use support::substrate::seed::{self, World};
use support::substrate::{ObjectBody, Options, Substrate, SubstrateKind};
use tempfile::TempDir;

use super::beside::Beside;
use super::wire::{self, Call, Fault, Meanwhile, Others, Wire};

/// The folder of the workspace.
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The fixtures' plan of a phase.
pub fn plan_of(phase: &Phase) -> PathBuf {
    let repository = workspace().join("fixtures/repo");
    let found = support::plan::discover(&repository, phase.id).unwrap();
    repository.join(found.into_iter().find(|plan| plan.track == phase.track).unwrap().path)
}

/// Where the drills of a gate are: `dev_min`, for another phase than M3 `dev_min-m1`.
pub fn drills_of(phase: &Phase) -> PathBuf {
    let drills = workspace().join("fixtures/drills");
    let own = drills.join(format!("{}-{}", phase.track, phase.id.to_ascii_lowercase()));
    if own.exists() { own } else { drills.join(phase.track) }
}

/// What the gates of this process have built; kept for the next ones, whose builds begin where these ended.
static MADE: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// What the engine said of the images of this process: what two gates hold alike is started once.
static MEMORY: LazyLock<Arc<Memory>> = LazyLock::new(Arc::default);

/// Takes away what the gates of this process have built.
pub fn tidy() -> Result<(), String> {
    let made = std::mem::take(&mut *MADE.lock().unwrap());
    if made.is_empty() {
        return Ok(());
    }
    let images = Images::open(RegistryPlace::OfRepository).map_err(|e| e.to_string())?;
    match images.engine().take_away(&made).first() {
        None => Ok(()),
        Some(left) => Err(left.to_string()),
    }
}

/// What is done to the stage and to the folder of an execution before a lane goes on from it.
pub type Tamper<'t> = &'t dyn Fn(&Stage, &Path) -> Result<(), String>;

/// Copies of repository and world, to be broken.
pub struct Stage {
    folder: TempDir,
    track: &'static str,
    phase: &'static str,
    next: &'static str,
    /// What the environment says, beside what the world does; empty for what it is not to say.
    given: BTreeMap<String, String>,
    /// The registry takes nothing.
    closed_registry: bool,
    /// No container engine answers.
    no_engine: bool,
    /// The account that is pinned: the fixtures', whatever the world becomes.
    account: String,
    /// Every object's bytes are read before and after.
    watched: bool,
    /// The server that has ECS and its logs; none where the world has them.
    daemons: Option<String>,
}

/// The services that a server of daemons answers for, as requests are signed for them.
const DAEMONS: &[&str] = &["ecs", "logs"];

/// Objects by bucket and key: how many versions, and how many delete markers.
pub type Objects = BTreeMap<(String, String), (usize, usize)>;

/// Objects by bucket and key: their bytes.
pub type Contents = BTreeMap<(String, String), Vec<u8>>;

/// What came of one execution.
pub struct Played {
    /// The outcome, or why there is none.
    pub outcome: Result<Box<PhaseOutcome>, String>,
    /// The plan that was obeyed, where there was one.
    pub plan: Option<Plan>,
    /// Every object of the world afterwards.
    pub after: Objects,
    /// The same, before.
    pub before: Objects,
    /// What is in every object afterwards, and before, where the stage was watched.
    pub contents_after: Contents,
    /// See `contents_after`.
    pub contents_before: Contents,
    /// Every call of the gate, in order.
    pub calls: Vec<Call>,
    /// The execution's folder, whether it came to be or not.
    pub execution: PathBuf,
    /// Faults that did not do what they should.
    pub trouble: Vec<String>,
    /// Keeps the execution's folder.
    _folder: TempDir,
}

impl Stage {
    /// Fresh copies, for the gate of one track.
    pub fn set(phase: &Phase) -> Result<Self, String> {
        let folder = TempDir::new().map_err(|e| e.to_string())?;
        let fixtures = workspace().join("fixtures");
        copy(&fixtures.join("repo"), &folder.path().join("repo"))?;
        if phase.images {
            copy(&fixtures.join("platform-image"), &folder.path().join("platform-image"))?;
        }
        let of_phase = fixtures.join(format!("world/{}-{}", phase.track, phase.id.to_ascii_lowercase()));
        let of_track = fixtures.join("world").join(phase.track);
        copy(if of_phase.exists() { &of_phase } else { &of_track }, &folder.path().join("world/here"))?;
        let world = World::read(&folder.path().join("world/here")).map_err(|e| e.to_string())?;
        Ok(Self {
            account: world.account().to_owned(),
            folder,
            track: phase.track,
            phase: phase.id,
            next: phase.next,
            given: BTreeMap::new(),
            closed_registry: false,
            no_engine: false,
            watched: false,
            daemons: None,
        })
    }

    /// The same, in another environment, with a registry that takes nothing, and without a container engine.
    pub fn surrounded(mut self, given: &BTreeMap<String, String>, closed: bool, no_engine: bool) -> Self {
        self.given.clone_from(given);
        self.closed_registry = closed;
        self.no_engine = no_engine;
        self
    }

    /// The copy of the image's sources.
    pub fn sources(&self) -> PathBuf {
        self.folder.path().join("platform-image")
    }

    /// The same, with an eye on every object's bytes.
    pub fn watched(mut self) -> Self {
        self.watched = true;
        self
    }

    /// The same, with ECS and its logs on the server of this URL, which must have been given them.
    pub fn with_daemons_at(mut self, url: &str) -> Self {
        self.daemons = Some(url.to_owned());
        self
    }

    /// The copy of the plan repository.
    pub fn repository(&self) -> PathBuf {
        self.folder.path().join("repo")
    }

    /// The copy of the world's folder.
    pub fn world(&self) -> PathBuf {
        self.folder.path().join("world/here")
    }

    /// Makes the world, and runs the gate of `gates` on it; `Err` when the stage itself is wrong.
    pub fn play(self, gates: &[Phase], faults: &[Fault]) -> Result<Played, String> {
        self.play_after(gates, faults, None)
    }

    /// The same, of one lane alone: first the whole gate runs without a fault, then `tamper` is done to what it left,
    /// then the lane goes on from there, a minute later.
    pub fn play_after(
        self,
        gates: &[Phase],
        faults: &[Fault],
        alone: Option<(&str, Tamper<'_>)>,
    ) -> Result<Played, String> {
        let world = World::read(&self.world()).map_err(|e| format!("the world: {e}"))?;
        let maker =
            Substrate::open(&Options::new(SubstrateKind::Embedded, world.region())).map_err(|e| e.to_string())?;
        seed::apply(&maker, &world).map_err(|e| format!("the world: {e}"))?;
        let maker = Arc::new(maker);
        let buckets = buckets_of(&self.world())?;
        let connector = || Ok::<_, String>(maker.embedded().ok_or("no embedded world")?.connector());
        let begins = Instant::parse(world.instant()).map_err(|e| e.to_string())?;
        let mut lane = None;
        let mut instant = begins;
        if let Some((id, tamper)) = alone {
            let calm = Wire::new(&[], connector()?, self.others(&maker, world.instant()))?;
            let (stored, _) =
                self.judge(gates, begins, &calm, &[], None).map_err(|e| format!("the run before: {e}"))?;
            tamper(&self, &stored.folder)?;
            lane = Some((id, stored.execution_id.clone()));
            instant = begins.plus_seconds(60).map_err(|e| e.to_string())?;
        }
        let before = objects(&maker, &buckets)?;
        let contents_before = self.contents(&maker, &before)?;
        let wire = Wire::new(faults, connector()?, self.others(&maker, &instant.rfc3339()))?;
        let lane = lane.as_ref().map(|(id, from)| (*id, from.as_str()));
        let (outcome, plan) = match self.judge(gates, instant, &wire, faults, lane) {
            Ok((outcome, plan)) => (Ok(outcome), Some(plan)),
            Err(why) => (Err(why), None),
        };
        let after = objects(&maker, &buckets)?;
        let contents_after = self.contents(&maker, &after)?;
        let (calls, trouble, execution) = (wire.calls(), wire.trouble(), self.execution(&instant.rfc3339()));
        Ok(Played {
            outcome,
            plan,
            after,
            before,
            contents_after,
            contents_before,
            calls,
            execution,
            trouble,
            _folder: self.folder,
        })
    }

    fn judge(
        &self,
        gates: &[Phase],
        instant: Instant,
        wire: &Wire,
        faults: &[Fault],
        lane: Option<(&str, &str)>,
    ) -> Result<(Box<PhaseOutcome>, Plan), String> {
        let text = |e: &dyn std::fmt::Display| e.to_string();
        let environment = |name: &str| match name {
            "PHASEGATE_REPO" => Some("repo".to_owned()),
            "PHASEGATE_OUT" => Some("out".to_owned()),
            _ => None,
        };
        let command = format!("cargo test --test {} --", self.phase.to_ascii_lowercase());
        let settings = Settings::read(environment, self.folder.path(), &workspace(), &command).map_err(|e| text(&e))?;
        let suites = suite::read(&settings.repository, self.phase, self.next, gates, None).map_err(|e| text(&e))?;
        let suite = suites
            .iter()
            .find(|suite| suite.phase.phase().track == self.track)
            .ok_or_else(|| format!("no plan of {} is {}'s", self.phase, self.track))?;
        let phase = suite.phase.phase();
        let out = settings.out_folder(false, self.folder.path());
        let alone = match lane {
            None => None,
            Some((id, from)) => {
                let lane = phase.lane(id).ok_or_else(|| format!("no lane {id}"))?.id();
                Some(Alone { lane, stored: Stored::read(&out, phase, from).map_err(|e| text(&e))? })
            }
        };
        let of_lane = |lane: &str| alone.as_ref().is_none_or(|alone| alone.lane == lane);
        let repository = Repository::open(&settings.repository).map_err(|e| text(&e))?;
        let mut documents = Documents::load(repository, suite.parsed.plan.clone(), None).map_err(|e| text(&e))?;
        self.give(&mut documents, phase)?;
        let images = phase.images.then(|| self.images());
        let substrate = self.substrate(&documents, phase, wire, faults);
        let execution = Execution {
            phase,
            documents: &documents,
            alone: alone.as_ref(),
            problems: suite.problems(),
            notes: Vec::new(),
            integrity: true,
            cases: &suite.cases,
            selected: suite
                .cases
                .iter()
                .filter(|case| of_lane(&case.lane))
                .map(|case| case.name.clone())
                .collect::<BTreeSet<_>>(),
            settings: &settings,
            substrate: substrate.as_ref().map_err(Clone::clone),
            images: images.as_ref().map(|images| images.as_ref().map_err(Clone::clone)),
            expected_account: Some(self.account.clone()),
            instant,
            basis: basis_of(&settings, false),
            out: out.clone(),
            writer: "drill".to_owned(),
            reporter: &reports::Reports,
            progress: &|lane| wire.enter(lane),
            watch: None,
        };
        let outcome = execution.run().map_err(|e| text(&e));
        if let Some(Ok(images)) = &images {
            MADE.lock().unwrap().extend(images.engine().made());
        }
        let outcome = outcome?;
        Ok((Box::new(outcome), suite.parsed.plan.clone()))
    }

    /// The substrate as the target opens it: in the region that the registry pins.
    fn substrate(
        &self,
        documents: &Documents,
        phase: &Phase,
        wire: &Wire,
        faults: &[Fault],
    ) -> Result<Substrate, String> {
        let region = documents.handles.resolve(phase.region).map_err(|e| e.to_string())?;
        let mut options = Options::new(SubstrateKind::Embedded, region.text().map_err(|e| e.to_string())?);
        options.http = Some(match &self.daemons {
            Some(url) => SharedHttpClient::new(Beside::new(wire.client(), url, DAEMONS)),
            None => wire.client(),
        });
        if let Some(limit) = wire::call_limit(faults) {
            options.call_limit = limit;
        }
        let substrate = Substrate::open(&options).map_err(|e| e.to_string())?;
        let world = World::read(&self.world()).map_err(|e| e.to_string())?;
        seed::stand_in(&substrate, &world).map_err(|e| e.to_string())?;
        Ok(substrate)
    }

    /// What the environment says, else what the world says in its place.
    fn give(&self, documents: &mut Documents, phase: &Phase) -> Result<(), String> {
        let world = World::read(&self.world()).map_err(|e| e.to_string())?;
        for name in phase.may_be_given() {
            let of_machine = (name == "PHASEGATE_BASE_IMAGE").then(|| std::env::var(name).ok()).flatten();
            let value = self.given.get(name).or_else(|| world.given().get(name)).cloned().or(of_machine);
            if let Some(value) = value.filter(|value| !value.is_empty()) {
                documents.give(name, &value);
            }
        }
        Ok(())
    }

    fn images(&self) -> Result<Images, String> {
        if self.no_engine {
            return Err("no container engine answers: connection refused".to_owned());
        }
        let place = if self.closed_registry { RegistryPlace::OwnReadOnly } else { RegistryPlace::Own };
        Images::open_with(place, &MEMORY).map_err(|e| e.to_string())
    }

    fn others(&self, maker: &Arc<Substrate>, instant: &str) -> Arc<dyn Others> {
        let (repository, world, out) = (self.repository(), self.world(), self.execution(instant));
        Arc::new(Elsewhere { repository, world, out, maker: Arc::clone(maker) })
    }

    /// The folder of the execution of this instant.
    fn execution(&self, instant: &str) -> PathBuf {
        let stamp: String = instant.chars().filter(|c| c.is_ascii_alphanumeric()).collect();
        let phase = self.phase.to_ascii_lowercase();
        self.folder.path().join(format!("out/{}/{phase}/{phase}_{stamp}", self.track))
    }

    fn contents(&self, maker: &Substrate, objects: &Objects) -> Result<Contents, String> {
        let mut contents = Contents::new();
        if !self.watched {
            return Ok(contents);
        }
        for (place, (versions, _)) in objects {
            if *versions > 0 {
                let got = maker.s3().get_object(&place.0, &place.1, None).map_err(|e| e.to_string())?;
                contents.insert(place.clone(), got.value.bytes);
            }
        }
        Ok(contents)
    }
}

/// What happens beside the gate, on the stage that it plays on.
struct Elsewhere {
    repository: PathBuf,
    world: PathBuf,
    out: PathBuf,
    maker: Arc<Substrate>,
}

impl Others for Elsewhere {
    fn act(&self, meanwhile: &Meanwhile) -> Result<(), String> {
        meanwhile.edit.iter().try_for_each(|edit| edit.apply(&self.repository))?;
        if let Some(file) = &meanwhile.file {
            std::fs::write(self.out.join(file), "in the way").map_err(|e| format!("{file}: {e}"))?;
        }
        let Some(overlay) = &meanwhile.world else { return Ok(()) };
        // Beside the world itself, so that its paths lead to the same places.
        let beside = self.world.parent().ok_or("the world has no folder")?;
        let folder = TempDir::new_in(beside).map_err(|e| e.to_string())?;
        copy(&self.world, folder.path())?;
        overlay.apply_alone(folder.path())?;
        let world = World::read(folder.path()).map_err(|e| e.to_string())?;
        seed::apply(&self.maker, &world).map(drop).map_err(|e| e.to_string())
    }

    /// The nearest key with other bytes, of the same kind where there is one: what is most easily taken for the one that was asked.
    fn another(&self, bucket: &str, key: &str) -> Result<ObjectBody, String> {
        let s3 = self.maker.s3();
        let read = |key: &str| s3.get_object(bucket, key, None).map(|got| got.value).map_err(|e| e.to_string());
        let asked = read(key)?;
        let listed = s3.list_objects(bucket, "", None).map_err(|e| e.to_string())?.value.entries;
        let mut keys: Vec<String> = listed.into_iter().map(|entry| entry.key).filter(|other| other != key).collect();
        let alike = |other: &str| Path::new(other).extension() == Path::new(key).extension();
        let shared = |other: &str| other.bytes().zip(key.bytes()).take_while(|(a, b)| a == b).count();
        keys.sort_by_key(|other| std::cmp::Reverse((alike(other), shared(other))));
        for other in keys {
            let body = read(&other)?;
            if body.bytes != asked.bytes {
                return Ok(body);
            }
        }
        Err(format!("{bucket} holds nothing but {key}"))
    }
}

fn buckets_of(world: &Path) -> Result<Vec<String>, String> {
    let world = super::overlay::read(world)?;
    let rows = world.get("bucket").and_then(toml::Value::as_array).cloned().unwrap_or_default();
    Ok(rows.iter().filter_map(|row| Some(row.get("name")?.as_str()?.to_owned())).collect())
}

fn objects(maker: &Substrate, buckets: &[String]) -> Result<Objects, String> {
    let mut objects = Objects::new();
    for bucket in buckets {
        let listed = maker.s3().list_versions(bucket, "").map_err(|e| e.to_string())?.value;
        for version in listed.entries {
            let counts = objects.entry((bucket.clone(), version.key)).or_default();
            if version.delete_marker { counts.1 += 1 } else { counts.0 += 1 }
        }
    }
    Ok(objects)
}

/// Copies a folder. The lock stays behind: it pins the values that drills and mutants change, and the checks themselves are asked here.
fn copy(from: &Path, to: &Path) -> Result<(), String> {
    let at = |path: &Path, e: std::io::Error| format!("{}: {e}", path.display());
    std::fs::create_dir_all(to).map_err(|e| at(to, e))?;
    for entry in std::fs::read_dir(from).map_err(|e| at(from, e))? {
        let entry = entry.map_err(|e| at(from, e))?;
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if entry.file_name() == "gates.lock" {
            continue;
        }
        if path.is_dir() {
            copy(&path, &target)?;
        } else {
            std::fs::copy(&path, &target).map_err(|e| at(&path, e))?;
        }
    }
    Ok(())
}
