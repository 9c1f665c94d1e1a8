//! Whether what a daemon needs answers: a Kafka cluster, a PostgreSQL server.
//!
//! Read only: no topic is made, no group is joined, no statement is run. Like the calls to AWS these are synchronous, under a time
//! limit, and fail with a [`CallError`] that has a name.

pub mod embedded;
mod groups;
mod kafka;
mod places;
mod postgres;
mod session;
mod shape;
mod wire;

use std::sync::Arc;
use std::time::Duration;

pub use groups::{ConsumerGroup, ConsumerGroups, GroupMember, Sight};
pub use kafka::{Broker, KafkaAddress, KafkaCluster, Security, TopicState};
pub use places::Places;
pub use postgres::{PostgresServer, Tls};

use crate::substrate::DEFAULT_CALL_LIMIT;
use crate::substrate::link::{Call, Link};
use crate::substrate::reply::{CallError, CallErrorKind};

/// Kafka's name in errors and sources of observations.
pub(crate) const KAFKA: &str = "kafka";

/// PostgreSQL's.
pub(crate) const POSTGRES: &str = "postgres";

/// What is added to the limit of a whole call: what is inside has limits of its own, and their errors say more.
const FENCE: Duration = Duration::from_secs(1);

/// Why nothing can be asked.
#[derive(Debug, thiserror::Error)]
pub enum ReachError {
    /// The runtime that carries the calls could not be started.
    #[error("the runtime for calls to Kafka and PostgreSQL could not be started: {0}")]
    Runtime(#[from] std::io::Error),
}

/// Asks whether servers answer.
#[derive(Debug)]
pub struct Reach {
    link: Arc<Link>,
    places: Places,
    limit: Duration,
}

impl Reach {
    /// Opens it. Nothing is sent.
    ///
    /// # Errors
    /// When the runtime cannot be started.
    pub fn open(places: Places) -> Result<Self, ReachError> {
        Self::open_within(places, DEFAULT_CALL_LIMIT)
    }

    /// The same, with another time limit for each call.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_within(places: Places, limit: Duration) -> Result<Self, ReachError> {
        Ok(Self { link: Arc::new(Link::start(limit)?), places, limit })
    }

    /// The same, over calls that are carried already.
    pub(crate) fn over(link: Arc<Link>, places: Places) -> Self {
        Self { link, places, limit: DEFAULT_CALL_LIMIT }
    }

    /// How many connections were tried.
    #[must_use]
    pub fn calls_made(&self) -> u64 {
        self.link.requests()
    }

    fn call(&self, service: &'static str, operation: &'static str, target: &str) -> Call<'_> {
        self.link.call(service, operation, target).lasting(self.limit.saturating_add(FENCE))
    }
}

/// Why there is no answer, before it is known of which call.
#[derive(Debug)]
struct Trouble {
    kind: CallErrorKind,
    message: String,
}

/// What came of a part of a call.
type Done<T> = Result<T, Trouble>;

impl Trouble {
    fn new(kind: CallErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    fn malformed(message: impl Into<String>) -> Self {
        Self::new(CallErrorKind::Malformed, message)
    }

    fn unreachable(message: impl Into<String>) -> Self {
        Self::new(CallErrorKind::Unreachable, message)
    }

    fn refused(message: impl Into<String>) -> Self {
        Self::new(CallErrorKind::Refused, message)
    }

    /// The same, and at which server it was.
    fn at(self, server: &str) -> Self {
        Self { message: format!("`{server}`: {}", self.message), ..self }
    }

    fn of(self, call: &Call<'_>) -> CallError {
        call.error(self.kind, self.message)
    }
}
