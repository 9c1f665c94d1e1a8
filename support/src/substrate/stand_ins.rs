//! What stands in, in a rehearsal, for servers that are no AWS: a Kafka cluster, a database.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;

use super::link::Link;
use crate::reach::embedded::{KafkaResponder, KafkaWorld, PostgresResponder};
use crate::reach::{Places, Reach};

/// The servers of a world.
#[derive(Debug, Clone, Default)]
pub(crate) struct StandInWorld {
    /// The Kafka cluster.
    pub kafka: Option<KafkaForm>,
    /// The database.
    pub postgres: Option<PostgresForm>,
}

/// A Kafka cluster, and where it is said to be.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KafkaForm {
    /// Its name, `host:port`, as its bootstrap says.
    pub at: String,
    /// What it says.
    pub cluster: KafkaWorld,
}

/// A PostgreSQL server, and where it is said to be.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PostgresForm {
    /// Its name, `host:port`.
    pub at: String,
    /// Whether it offers TLS.
    pub tls: bool,
}

/// The servers at work; they end with this.
#[derive(Debug)]
pub(super) struct StandIns {
    pub(super) reach: Reach,
    _kafka: Option<KafkaResponder>,
    _postgres: Option<PostgresResponder>,
}

impl StandIns {
    pub(super) fn start(world: &StandInWorld, link: &Arc<Link>) -> std::io::Result<Self> {
        let mut places = BTreeMap::new();
        let kafka = match &world.kafka {
            Some(form) => {
                let responder = KafkaResponder::start(form.cluster.clone())?;
                places.insert(form.at.clone(), responder.address());
                Some(responder)
            }
            None => None,
        };
        let postgres = match &world.postgres {
            Some(form) => {
                let responder = PostgresResponder::start(form.tls)?;
                places.insert(form.at.clone(), responder.address());
                Some(responder)
            }
            None => None,
        };
        let reach = Reach::over(Arc::clone(link), Places::with(places).loopback_only());
        Ok(Self { reach, _kafka: kafka, _postgres: postgres })
    }
}
