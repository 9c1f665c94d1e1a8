//! AWS in this process: real SDK clients speak the real wire protocol to services without a
//! network.
//!
//! S3 is ours, over `s3s`, and so are STS, Cost Explorer, executions, ECS, CloudWatch Logs and Cloud Control; the other services are `winterbaume` crates behind wrappers that close
//! the holes in which a gate could be deceived. What none of them can answer truly is answered by
//! `NotImplemented`, never by silence.

mod connector;
pub(super) mod costs;
mod ecs;
mod executions;
pub(super) mod fleet;
mod holes;
mod iam;
mod listing;
mod logs;
mod network;
mod policy;
mod s3;
mod services;
mod store;
mod sts;

use std::path::Path;
use std::sync::Arc;

use aws_smithy_runtime_api::client::http::SharedHttpClient;

use connector::Connector;
use costs::{Billed, CostRow};
use fleet::{Declared, Furnished};
use store::Store;
pub use store::WorldError;

/// A host that does not exist (RFC 6761): what is meant for the embedded world cannot leave it.
pub(super) const ENDPOINT: &str = "http://embedded.invalid";

/// The credentials of the embedded world, which checks signatures.
pub const ACCESS_KEY: &str = "EMBEDDED";
/// The secret that goes with [`ACCESS_KEY`]; it guards nothing.
pub const SECRET_KEY: &str = "embedded";

/// One AWS world in this process. Its clones are the same world.
#[derive(Debug, Clone)]
pub struct EmbeddedWorld {
    store: Arc<Store>,
    http: SharedHttpClient,
}

impl EmbeddedWorld {
    /// An empty world in memory.
    #[must_use]
    pub fn in_memory() -> Self {
        Self::over(Store::in_memory())
    }

    /// The world that is kept in `dir`, an empty one if there is none yet. Several processes may
    /// use it at once.
    ///
    /// # Errors
    /// When the directory cannot be used, or holds something else.
    pub fn in_directory(dir: &Path) -> Result<Self, WorldError> {
        Store::in_directory(dir).map(Self::over)
    }

    fn over(store: Store) -> Self {
        let store = Arc::new(store);
        let http = SharedHttpClient::new(Connector::new(Arc::clone(&store)));
        Self { store, http }
    }

    /// The HTTP client that leads into this world. A test may wrap it and give the wrapper to
    /// [`super::Options::http`].
    #[must_use]
    pub fn connector(&self) -> SharedHttpClient {
        self.http.clone()
    }

    /// The second of the world's last change, since 1970; none for a world that nothing changed yet.
    ///
    /// # Errors
    /// When the world cannot be read.
    pub fn last_change(&self) -> Result<Option<u64>, WorldError> {
        self.store.read(|state| state.instant.map(|_| state.now()))
    }

    /// Gives the world what it cost. AWS has no call that writes costs, so no server can be given
    /// any; this is the embedded world's own way, beside the wire.
    pub(super) fn bill(&self, rows: &[CostRow]) -> Result<Billed, WorldError> {
        self.store.change(|state| Ok(costs::bill(state, rows)))
    }

    /// Gives a region of the world its containers, logs and network. This is the embedded world's
    /// own way, beside the wire: no call of AWS says how a service is going to do.
    pub(super) fn furnish(&self, region: &str, declared: &Declared) -> Result<Furnished, WorldError> {
        self.store.change(|state| {
            let images = declared.definitions.iter().flat_map(|definition| &definition.containers);
            let images: Vec<&str> = images.map(|container| container.image.as_str()).collect();
            let digests = services::image_digests(state, region, &images)
                .map_err(|trouble| WorldError::Asked { message: trouble.to_string() })?;
            Ok(fleet::furnish(state, region, declared, &digests))
        })
    }

    /// Gives the world its account and the instant of its first change (seconds since 1970), once.
    ///
    /// # Errors
    /// When it has another account already, or cannot be written.
    pub fn claim(&self, account: &str, instant: u64) -> Result<(), WorldError> {
        self.store.change(|state| {
            if let Some(is) = &state.account
                && is != account
            {
                return Err(WorldError::Account { is: is.clone(), asked: account.to_owned() });
            }
            state.account = Some(account.to_owned());
            state.instant.get_or_insert(instant);
            Ok(())
        })
    }
}

/// The HTTP client that leads into `world`; see [`EmbeddedWorld::connector`].
#[must_use]
pub fn connector(world: &EmbeddedWorld) -> SharedHttpClient {
    world.connector()
}
