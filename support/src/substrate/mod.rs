//! The AWS surface that a gate talks to.
//!
//! One [`Substrate`] is one set of AWS SDK clients. All kinds of it go the same way through the
//! SDK: the same clients, the same retries, the same signing; only the HTTP connector, the endpoint
//! and the credentials differ. The calls are synchronous: a private runtime carries them, each
//! under a time limit.
//!
//! Lanes get readers. There is no delete and no overwrite (law 3): the writes are a conditional put,
//! which only the evidence door can reach, and the start of an ECS service, which never stops one.
//! The raw SDK clients do not leave this module.

pub(crate) mod classify;
mod cost;
mod ecr;
mod ecs;
mod ecs_tasks;
pub mod embedded;
mod iam;
mod iam_simulate;
pub(crate) mod link;
mod logs;
mod network;
mod policy_document;
pub mod reply;
mod s3;
mod s3_put;
pub mod seed;
mod sfn;
mod ssm;
mod stand_ins;
mod sts;
mod walk;

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use aws_config::{BehaviorVersion, ConfigLoader, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;

pub use cost::{Cost, CostAmount, CostPeriod, CostQuery, Granularity, UnknownGranularity};
pub use ecr::{Ecr, ImageInfo, RepositoryInfo, TagMutability};
pub use ecs::{ClusterInfo, Deployment, Ecs, NewService, ServiceEvent, ServiceInfo, ServiceState, TaskFilter};
pub use ecs_tasks::{ContainerDefinition, ContainerInfo, TaskDefinition, TaskInfo, TasksSeen};
pub use iam::{Iam, InlinePolicy, ManagedPolicy, RoleInfo, RolePolicies};
pub use iam_simulate::{PolicyDecision, Simulated};
pub use logs::{EVENT_LIMIT, LogEvent, LogGroup, LogQuery, Logs};
pub use network::{NatGateway, Network, SecurityGroupInfo, SubnetInfo, VpcInfo};
pub use policy_document::{PolicyDocumentError, policy_document};
pub use s3::{BucketHead, Listing, ObjectBody, ObjectEntry, ObjectHead, S3, VersionEntry, Versioning};
pub use s3_put::PutDone;
pub use sfn::{ExecutionEntry, ExecutionInfo, Sfn, StateMachineEntry, StateMachineInfo};
pub use ssm::{ParameterInfo, ReadableParameter, Ssm};
pub use sts::Identity;

use crate::reach::{KafkaAddress, Places, Reach, Security};
use embedded::{EmbeddedWorld, WorldError};
use link::Link;
use reply::{CallError, Reply};
pub(crate) use stand_ins::StandInWorld;
use stand_ins::StandIns;

/// The time that one call may take, retries included, unless the options say otherwise.
pub const DEFAULT_CALL_LIMIT: Duration = Duration::from_secs(20);

/// Time to establish a connection; the SDK then retries.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// What kind of AWS surface it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SubstrateKind {
    /// In this process: S3 by `s3s`, the rest by wrapped `winterbaume` services.
    Embedded,
    /// Any AWS-compatible server, by its endpoint.
    Endpoint,
    /// The cloud.
    Aws,
}

impl SubstrateKind {
    /// The word for this kind: `embedded`, `endpoint`, `aws`.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Embedded => "embedded",
            Self::Endpoint => "endpoint",
            Self::Aws => "aws",
        }
    }
}

impl FromStr for SubstrateKind {
    type Err = SubstrateError;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        [Self::Embedded, Self::Endpoint, Self::Aws]
            .into_iter()
            .find(|kind| kind.word() == word)
            .ok_or_else(|| SubstrateError::UnknownKind { word: word.to_owned() })
    }
}

/// How to open a substrate.
#[derive(Debug, Clone)]
pub struct Options {
    /// What kind of AWS surface.
    pub kind: SubstrateKind,
    /// The AWS region that is asked.
    pub region: String,
    /// The server's URL; kind `endpoint` needs it, the others ignore it.
    pub endpoint: Option<String>,
    /// The time that one call may take, retries included.
    pub call_limit: Duration,
    /// Where the embedded world is kept; in memory without it.
    pub world_dir: Option<PathBuf>,
    /// Another HTTP client under the SDK. Drills put a faulty one here; see
    /// [`embedded::EmbeddedWorld::connector`].
    pub http: Option<SharedHttpClient>,
}

impl Options {
    /// Options of `kind` in `region`, everything else as by default.
    #[must_use]
    pub fn new(kind: SubstrateKind, region: impl Into<String>) -> Self {
        Self {
            kind,
            region: region.into(),
            endpoint: None,
            call_limit: DEFAULT_CALL_LIMIT,
            world_dir: None,
            http: None,
        }
    }
}

/// Why a substrate could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum SubstrateError {
    /// The kind has an unknown name.
    #[error("unknown substrate `{word}`: use `embedded`, `endpoint` or `aws`")]
    UnknownKind {
        /// The name that was given.
        word: String,
    },
    /// Kind `endpoint` without an endpoint.
    #[error("substrate `endpoint` needs a server: set AWS_ENDPOINT_URL, as in http://127.0.0.1:5001")]
    NoEndpoint,
    /// The endpoint is not an absolute http or https URL.
    #[error("`{endpoint}` is not a server's URL: give http://host:port or https://host:port")]
    BadEndpoint {
        /// The endpoint that was given.
        endpoint: String,
    },
    /// The region is empty.
    #[error("the substrate needs a region: set AWS_REGION or pin it in the registry")]
    NoRegion,
    /// The embedded world could not be opened.
    #[error(transparent)]
    World(#[from] WorldError),
    /// The runtime that carries the calls could not be started.
    #[error("the runtime for AWS calls could not be started: {0}")]
    Runtime(#[from] std::io::Error),
}

/// One set of AWS clients.
#[derive(Debug)]
pub struct Substrate {
    kind: SubstrateKind,
    options: Options,
    link: Arc<Link>,
    config: SdkConfig,
    world: Option<EmbeddedWorld>,
    s3: S3,
    cost: Cost,
    ecr: Ecr,
    ecs: Ecs,
    iam: Iam,
    logs: Logs,
    network: Network,
    sfn: Sfn,
    ssm: Ssm,
    sts: sts::Sts,
    reach: Reach,
    stand_ins: OnceLock<StandIns>,
}

impl Substrate {
    /// Opens a substrate. Nothing is sent.
    ///
    /// # Errors
    /// When the options contradict themselves, or when the embedded world cannot be opened.
    pub fn open(options: &Options) -> Result<Self, SubstrateError> {
        if options.region.trim().is_empty() {
            return Err(SubstrateError::NoRegion);
        }
        let link = Arc::new(Link::start(options.call_limit)?);
        let world = match (options.kind, &options.http) {
            (SubstrateKind::Embedded, None) => Some(open_world(options)?),
            _ => None,
        };
        let config = sdk_config(options, world.as_ref(), &link)?;
        // A virtual-hosted bucket is a host name, which a stand-in for AWS cannot have.
        let path_style = options.kind != SubstrateKind::Aws;
        Ok(Self {
            kind: options.kind,
            s3: S3::new(&config, path_style, Arc::clone(&link)),
            cost: Cost::new(&config, Arc::clone(&link)),
            ecr: Ecr::new(&config, Arc::clone(&link)),
            ecs: Ecs::new(&config, Arc::clone(&link)),
            iam: Iam::new(&config, Arc::clone(&link)),
            logs: Logs::new(&config, Arc::clone(&link)),
            network: Network::new(&config, Arc::clone(&link)),
            sfn: Sfn::new(&config, Arc::clone(&link)),
            ssm: Ssm::new(&config, Arc::clone(&link)),
            sts: sts::Sts::new(&config, Arc::clone(&link)),
            reach: Reach::over(
                Arc::clone(&link),
                match options.kind {
                    SubstrateKind::Aws => Places::as_named(),
                    SubstrateKind::Embedded | SubstrateKind::Endpoint => Places::default().loopback_only(),
                },
            ),
            stand_ins: OnceLock::new(),
            options: options.clone(),
            link,
            config,
            world,
        })
    }

    /// What kind of AWS surface this is.
    #[must_use]
    pub fn kind(&self) -> SubstrateKind {
        self.kind
    }

    /// The region that is asked.
    #[must_use]
    pub fn region(&self) -> &str {
        &self.options.region
    }

    /// The endpoint, for kind `endpoint`.
    #[must_use]
    pub fn endpoint(&self) -> Option<&str> {
        match self.kind {
            SubstrateKind::Endpoint => self.options.endpoint.as_deref(),
            SubstrateKind::Embedded | SubstrateKind::Aws => None,
        }
    }

    /// S3.
    #[must_use]
    pub fn s3(&self) -> &S3 {
        &self.s3
    }

    /// Cost Explorer.
    #[must_use]
    pub fn cost(&self) -> &Cost {
        &self.cost
    }

    /// ECR.
    #[must_use]
    pub fn ecr(&self) -> &Ecr {
        &self.ecr
    }

    /// ECS.
    #[must_use]
    pub fn ecs(&self) -> &Ecs {
        &self.ecs
    }

    /// CloudWatch Logs.
    #[must_use]
    pub fn logs(&self) -> &Logs {
        &self.logs
    }

    /// Networks.
    #[must_use]
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// IAM.
    #[must_use]
    pub fn iam(&self) -> &Iam {
        &self.iam
    }

    /// Step Functions.
    #[must_use]
    pub fn sfn(&self) -> &Sfn {
        &self.sfn
    }

    /// The Parameter Store.
    #[must_use]
    pub fn ssm(&self) -> &Ssm {
        &self.ssm
    }

    /// Whether what daemons need answers. In a rehearsal it leads to what the world lets stand in, and nowhere off this machine.
    #[must_use]
    pub fn reach(&self) -> &Reach {
        self.stand_ins.get().map_or(&self.reach, |stand_ins| &stand_ins.reach)
    }

    /// Where Kafka is and how it is entered, by the paths of its bootstrap, its key and its secret in the Parameter Store.
    ///
    /// # Errors
    /// As [`Ssm::readable`].
    pub fn kafka_address(&self, bootstrap: &str, key: &str, secret: &str) -> Result<KafkaAddress, CallError> {
        let (user, password) = (self.ssm.value(key)?, self.ssm.value(secret)?);
        let security = match self.kind {
            SubstrateKind::Aws => Security::SaslSsl { user, password },
            SubstrateKind::Embedded | SubstrateKind::Endpoint => Security::SaslPlaintext { user, password },
        };
        Ok(KafkaAddress { bootstrap: self.ssm.value(bootstrap)?, security })
    }

    /// Lets what the world has stand in for servers that are named.
    pub(crate) fn let_stand_in(&self, world: &StandInWorld) -> std::io::Result<()> {
        let stand_ins = StandIns::start(world, &self.link)?;
        // A world that is applied once more says the same.
        let _first = self.stand_ins.set(stand_ins);
        Ok(())
    }

    /// Who the credentials say we are (`sts get-caller-identity`).
    ///
    /// # Errors
    /// A [`CallError`] when there is no usable answer.
    pub fn identity(&self) -> Result<Reply<Identity>, CallError> {
        self.sts.identity()
    }

    /// The second, since 1970, at which an embedded world was last changed: a kept world goes on
    /// from there.
    ///
    /// # Errors
    /// When the world cannot be read.
    pub fn world_time(&self) -> Result<Option<u64>, WorldError> {
        self.world.as_ref().map_or(Ok(None), EmbeddedWorld::last_change)
    }

    /// The embedded world behind this substrate, where it opened one of its own: another substrate
    /// may be opened on it, by way of its connector.
    #[must_use]
    pub fn embedded(&self) -> Option<&EmbeddedWorld> {
        self.world.as_ref()
    }

    /// How long the calls of this substrate took in all: the SDK's work, the way, and the server's.
    #[must_use]
    pub fn time_in_calls(&self) -> Duration {
        self.link.waited()
    }

    /// How many requests this substrate has sent, retries included.
    #[must_use]
    pub fn calls_made(&self) -> u64 {
        self.link.requests()
    }
}

fn open_world(options: &Options) -> Result<EmbeddedWorld, WorldError> {
    match &options.world_dir {
        Some(dir) => EmbeddedWorld::in_directory(dir),
        None => Ok(EmbeddedWorld::in_memory()),
    }
}

/// The configuration that all clients are built from.
fn sdk_config(options: &Options, world: Option<&EmbeddedWorld>, link: &Link) -> Result<SdkConfig, SubstrateError> {
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .region(Region::new(options.region.clone()))
        .retry_config(RetryConfig::standard())
        .timeout_config(TimeoutConfig::builder().connect_timeout(CONNECT_LIMIT.min(options.call_limit)).build());
    loader = match options.kind {
        SubstrateKind::Embedded => embedded_access(loader),
        SubstrateKind::Endpoint => loader.endpoint_url(checked_endpoint(options)?),
        SubstrateKind::Aws => loader,
    };
    let http = options.http.clone().or_else(|| world.map(EmbeddedWorld::connector));
    if let Some(http) = http {
        loader = loader.http_client(http);
    }
    link.wait(loader.load()).ok_or_else(|| SubstrateError::Runtime(std::io::Error::other("it is closed")))
}

/// Fixed credentials and a host that does not exist, so that nothing of the environment reaches the
/// embedded world, and nothing meant for it can reach a network.
fn embedded_access(loader: ConfigLoader) -> ConfigLoader {
    loader.endpoint_url(embedded::ENDPOINT).use_fips(false).use_dual_stack(false).credentials_provider(
        Credentials::new(embedded::ACCESS_KEY, embedded::SECRET_KEY, None, None, "phasegate-embedded"),
    )
}

fn checked_endpoint(options: &Options) -> Result<String, SubstrateError> {
    let endpoint = options.endpoint.clone().ok_or(SubstrateError::NoEndpoint)?;
    let absolute = endpoint
        .parse::<http::Uri>()
        .is_ok_and(|uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some());
    if absolute { Ok(endpoint) } else { Err(SubstrateError::BadEndpoint { endpoint }) }
}
