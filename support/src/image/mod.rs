//! Container images: what is built, where it is kept, and what it holds.
//!
//! An [`Engine`] builds, inspects and runs images by Docker's API; a [`Registry`] is the OCI registry that they are pushed to. Like
//! the calls to AWS theirs are synchronous, under a time limit, and fail with a [`crate::substrate::reply::CallError`] that has a name.
//! Containers are made for one call each and removed again; nothing that an engine or a registry already holds is changed (law 3).

mod context;
pub mod dockerfile;
mod engine;
mod invoke;
pub mod layers;
mod memory;
pub mod names;
mod registry;
mod rehearsal;
pub mod search;

use std::sync::Arc;
use std::time::Duration;

pub use context::{Context, ContextError, Entry, Kind, SecretFile};
pub use dockerfile::Dockerfile;
pub use engine::{Build, Built, Credentials, Engine, EngineInfo, HistoryEntry, ImageFacts, Pushed};
pub use invoke::{Ended, Invocation, Invoked, Limits, Room};
pub use memory::Memory;
pub use registry::{Manifest, Registry, RegistryAddress, RegistryError, RegistryPlace};
pub use rehearsal::{RehearsalRegistry, RehearsalRegistryError};

use crate::substrate::link::Link;
use crate::substrate::reply::CallError;

/// The engine's name in errors and sources of observations.
pub(crate) const ENGINE: &str = "docker";

/// The registry's.
pub(crate) const REGISTRY: &str = "registry";

/// The time that one call to the engine or the registry may take, unless it says otherwise.
const CALL_LIMIT: Duration = Duration::from_secs(60);

/// The engine, and the registry that images go to.
#[derive(Debug)]
pub struct Images {
    engine: Engine,
    place: RegistryPlace,
    /// A registry of this rehearsal alone; it ends with it.
    own: Option<RehearsalRegistry>,
    link: Arc<Link>,
}

/// Why there is no engine or no registry to ask.
#[derive(Debug, thiserror::Error)]
pub enum ImagesError {
    /// No container engine answers.
    #[error("no container engine answers: {0}; start Docker, or set DOCKER_HOST to an engine that runs")]
    Engine(#[from] CallError),
    /// The registry's address cannot be used.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// There is no registry for a rehearsal.
    #[error(transparent)]
    Rehearsal(#[from] RehearsalRegistryError),
    /// The runtime that carries the calls could not be started.
    #[error("the runtime for calls to the engine could not be started: {0}")]
    Runtime(#[from] std::io::Error),
}

impl Images {
    /// Opens the engine that `DOCKER_HOST` names, else the one of this machine, and, where it is asked for, starts a registry for
    /// this rehearsal.
    ///
    /// # Errors
    /// When no engine answers, or there is no registry.
    pub fn open(place: RegistryPlace) -> Result<Self, ImagesError> {
        Self::opened(place, None)
    }

    /// The same, for one of many gates that look at the same images: what the engine said of one, it is not asked again.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_with(place: RegistryPlace, memory: &Arc<Memory>) -> Result<Self, ImagesError> {
        Self::opened(place, Some(Arc::clone(memory)))
    }

    fn opened(place: RegistryPlace, memory: Option<Arc<Memory>>) -> Result<Self, ImagesError> {
        let link = Arc::new(Link::start(CALL_LIMIT)?);
        let engine = Engine::open(Arc::clone(&link), memory)?;
        let own = match place {
            RegistryPlace::Own => Some(RehearsalRegistry::start(false)?),
            RegistryPlace::OwnReadOnly => Some(RehearsalRegistry::start(true)?),
            RegistryPlace::At(_) | RegistryPlace::OfRepository => None,
        };
        Ok(Self { engine, place, own, link })
    }

    /// The engine.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The registry of the repository that ECR names `uri`: ECR's own, or what stands in for it in a rehearsal.
    ///
    /// # Errors
    /// When `uri` names none.
    pub fn registry_of(&self, uri: &str) -> Result<Registry, RegistryError> {
        let address = match (&self.own, &self.place) {
            (Some(own), _) => own.address().clone(),
            (None, RegistryPlace::At(address)) => address.clone(),
            (None, _) => RegistryAddress::parse(&format!("https://{}", uri.split('/').next().unwrap_or_default()))?,
        };
        Registry::new(address, Arc::clone(&self.link))
    }

    /// Whether another registry than ECR's stands in for it, so that ECR does not know by itself what is pushed.
    #[must_use]
    pub fn stands_in(&self) -> bool {
        self.own.is_some() || matches!(self.place, RegistryPlace::At(_))
    }
}
