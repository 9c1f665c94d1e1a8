//! A Kafka cluster, by its own protocol.

use std::collections::{BTreeMap, BTreeSet};

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::metadata_response::{MetadataResponsePartition, MetadataResponseTopic};
use kafka_protocol::messages::{MetadataRequest, MetadataResponse, TopicName};
use kafka_protocol::protocol::StrBytes;
use serde::{Deserialize, Serialize};

use super::places::HostPort;
use super::session::Entrance;
use super::wire::{Ask as _, Wire, accepted, error_name};
use super::{Done, KAFKA, Reach, Trouble};
use crate::substrate::reply::{CallError, Reply};

/// Where a cluster is, and how it is entered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KafkaAddress {
    /// Its bootstrap servers, `host:port,host:port`.
    pub bootstrap: String,
    /// How it is entered.
    pub security: Security,
}

/// How a cluster is entered.
#[derive(Clone, PartialEq, Eq)]
pub enum Security {
    /// As it is.
    Plaintext,
    /// With a login (PLAIN), over TLS.
    SaslSsl {
        /// The user, or the API key.
        user: String,
        /// The password, or the API secret.
        password: String,
    },
    /// With a login and without TLS: on this machine only.
    SaslPlaintext {
        /// The user.
        user: String,
        /// The password.
        password: String,
    },
}

impl std::fmt::Debug for Security {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The user is kept back, too: an API key is a parameter as secret as its password.
        match self {
            Self::Plaintext => f.write_str("Plaintext"),
            Self::SaslSsl { .. } => f.debug_struct("SaslSsl").finish_non_exhaustive(),
            Self::SaslPlaintext { .. } => f.debug_struct("SaslPlaintext").finish_non_exhaustive(),
        }
    }
}

/// A cluster that answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KafkaCluster {
    /// Its id, where it has one.
    pub cluster_id: Option<String>,
    /// Its brokers, by their ids.
    pub brokers: Vec<Broker>,
    /// The topics that were asked about, each of them.
    pub topics: BTreeMap<String, TopicState>,
}

/// A broker, as the cluster names it to its clients.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Broker {
    /// Its id.
    pub id: i32,
    /// Its host.
    pub host: String,
    /// Its port.
    pub port: u16,
}

/// What the cluster says of a topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicState {
    /// Why it cannot be used, as Kafka names it: `UNKNOWN_TOPIC_OR_PARTITION`.
    pub error: Option<String>,
    /// How many partitions it has.
    pub partitions: usize,
    /// How many of them have no leader.
    pub leaderless: usize,
}

impl Broker {
    pub(super) fn name(&self) -> String {
        HostPort::written(&self.host, self.port)
    }
}

impl Reach {
    /// What the cluster is, and what it says of `topics`. No topic is made by being asked about.
    ///
    /// The bootstrap servers are tried in their order until one answers.
    ///
    /// # Errors
    /// `Unreachable` when none answers, `TimedOut` when all are silent, `Denied` when the login is refused, `Unsupported` when a
    /// server lacks what is needed, `Malformed` when an answer is none, `Refused` for what is not asked at all.
    pub fn kafka(&self, address: &KafkaAddress, topics: &[&str]) -> Result<Reply<KafkaCluster>, CallError> {
        let (target, servers) = bootstrap_servers(&address.bootstrap);
        let call = self.call(KAFKA, "describe-cluster", target);
        let cluster = call
            .within_limit(async {
                let entrance = Entrance::new(&self.places, &address.security)?;
                let wanted: BTreeSet<&str> = topics.iter().copied().collect();
                let servers = servers?;
                entrance.first(&call, &servers, self.limit, async |mut wire| cluster(&mut wire, &wanted).await).await
            })?
            .map_err(|trouble| trouble.of(&call))?;
        Ok(call.reply(cluster))
    }
}

/// What names the call in errors, and the servers.
pub(super) fn bootstrap_servers(bootstrap: &str) -> (&str, Done<Vec<String>>) {
    let servers: Vec<String> =
        bootstrap.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect();
    if servers.is_empty() || !servers.iter().all(|name| HostPort::parse(name).is_some()) {
        // It may be another value in the wrong place, and that one secret: it is not shown.
        return ("-", Err(Trouble::refused("the bootstrap servers are not written host:port,host:port")));
    }
    (bootstrap, Ok(servers))
}

/// The cluster, as one of its brokers knows it.
pub(super) async fn cluster(wire: &mut Wire, wanted: &BTreeSet<&str>) -> Done<KafkaCluster> {
    let topics = wanted
        .iter()
        .map(|name| {
            MetadataRequestTopic::default().with_name(Some(TopicName(StrBytes::from_string((*name).to_owned()))))
        })
        .collect();
    let request = MetadataRequest::default().with_topics(Some(topics)).with_allow_auto_topic_creation(false);
    let answer = wire.ask(&request).await?;
    accepted(MetadataRequest::NAME, answer.error_code)?;
    Ok(KafkaCluster {
        cluster_id: answer.cluster_id.as_ref().map(|id| id.as_str().to_owned()),
        brokers: brokers(&answer)?,
        topics: topic_states(&answer.topics, wanted)?,
    })
}

fn brokers(answer: &MetadataResponse) -> Done<Vec<Broker>> {
    let mut brokers = Vec::new();
    for broker in &answer.brokers {
        let (id, host) = (broker.node_id.0, broker.host.as_str().to_owned());
        let port = u16::try_from(broker.port).ok().filter(|port| *port != 0);
        let port = port.ok_or_else(|| Trouble::malformed(format!("broker {id} has the port {}", broker.port)))?;
        brokers.push(Broker { id, host, port });
    }
    brokers.sort();
    if brokers.is_empty() {
        return Err(Trouble::malformed("a broker answered, and names no broker"));
    }
    match brokers.windows(2).find(|pair| matches!(pair, [one, other] if one.id == other.id)) {
        Some(pair) => Err(Trouble::malformed(format!("two brokers have the same id: {pair:?}"))),
        None => Ok(brokers),
    }
}

fn topic_states(topics: &[MetadataResponseTopic], wanted: &BTreeSet<&str>) -> Done<BTreeMap<String, TopicState>> {
    let mut states = BTreeMap::new();
    // Asked about none, some servers speak of all (Tansu).
    for topic in topics.iter().filter(|_| !wanted.is_empty()) {
        let name = topic.name.as_ref().map_or("", |name| name.0.as_str());
        if !wanted.contains(name) {
            return Err(Trouble::malformed(format!(
                "the answer speaks of the topic `{name}`, which was not asked about"
            )));
        }
        let state = TopicState {
            error: ResponseError::try_from_code(topic.error_code).map(error_name),
            partitions: topic.partitions.len(),
            leaderless: topic.partitions.iter().filter(|partition| is_leaderless(partition)).count(),
        };
        if states.insert(name.to_owned(), state).is_some() {
            return Err(Trouble::malformed(format!("the answer speaks twice of the topic `{name}`")));
        }
    }
    match wanted.iter().find(|name| !states.contains_key(**name)) {
        Some(name) => Err(Trouble::malformed(format!("the answer does not speak of the topic `{name}`"))),
        None => Ok(states),
    }
}

fn is_leaderless(partition: &MetadataResponsePartition) -> bool {
    partition.leader_id.0 < 0 || partition.error_code == ResponseError::LeaderNotAvailable.code()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::substrate::reply::CallErrorKind;

    #[test]
    fn a_login_is_not_shown() {
        for security in [
            Security::SaslSsl { user: "name".to_owned(), password: "word".to_owned() },
            Security::SaslPlaintext { user: "name".to_owned(), password: "word".to_owned() },
        ] {
            let shown = format!("{:?}", KafkaAddress { bootstrap: "127.0.0.1:1".to_owned(), security });
            assert!(shown.contains("Sasl") && !shown.contains("word") && !shown.contains("name"), "{shown}");
        }
    }

    #[rstest]
    #[case("a.example:1,b.example:2", &["a.example:1", "b.example:2"])]
    #[case(" a.example:1 , b.example:2, ", &["a.example:1", "b.example:2"])]
    fn bootstrap_servers_are_read(#[case] written: &str, #[case] read: &[&str]) {
        let (target, servers) = bootstrap_servers(written);
        assert_eq!((target, servers.unwrap()), (written, read.iter().map(|name| (*name).to_owned()).collect()));
    }

    #[rstest]
    #[case("")]
    #[case(",")]
    #[case("word")]
    #[case("a.example:1,word")]
    fn what_is_none_is_not_repeated(#[case] written: &str) {
        let (target, servers) = bootstrap_servers(written);
        let trouble = servers.unwrap_err();
        assert_eq!((target, trouble.kind), ("-", CallErrorKind::Refused));
        assert!(!trouble.message.contains("word"));
    }

    #[test]
    fn who_asks_about_none_may_hear_of_all() {
        assert!(topic_states(&[topic("orders")], &BTreeSet::new()).unwrap().is_empty());
    }

    fn topic(name: &'static str) -> MetadataResponseTopic {
        MetadataResponseTopic::default().with_name(Some(TopicName(StrBytes::from_static_str(name))))
    }

    #[rstest]
    #[case(&[], "does not speak of the topic `orders`")]
    #[case(&["orders", "orders"], "speaks twice")]
    #[case(&["orders", "other"], "was not asked about")]
    fn each_topic_is_spoken_of_once(#[case] answered: &[&'static str], #[case] says: &str) {
        let answered: Vec<_> = answered.iter().map(|name| topic(name)).collect();
        let trouble = topic_states(&answered, &BTreeSet::from(["orders"])).unwrap_err();
        assert_eq!(trouble.kind, CallErrorKind::Malformed);
        assert!(trouble.message.contains(says), "{}", trouble.message);
    }
}
