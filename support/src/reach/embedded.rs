//! What answers in a rehearsal: a Kafka cluster and a PostgreSQL server of this process, on loopback.
//!
//! They say what the world says, and do nothing: no record is kept, nobody joins a group.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use bytes::{BufMut as _, Bytes, BytesMut};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::api_versions_response::ApiVersion;
use kafka_protocol::messages::describe_cluster_response::DescribeClusterBroker;
use kafka_protocol::messages::describe_groups_response::{DescribedGroup, DescribedGroupMember};
use kafka_protocol::messages::list_groups_response::ListedGroup;
use kafka_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::{
    ApiKey, ApiVersionsResponse, BrokerId, ConsumerProtocolSubscription, DescribeClusterRequest,
    DescribeClusterResponse, DescribeGroupsRequest, DescribeGroupsResponse, GroupId, ListGroupsResponse,
    MetadataRequest, MetadataResponse, ResponseHeader, SaslAuthenticateRequest, SaslAuthenticateResponse,
    SaslHandshakeRequest, SaslHandshakeResponse, TopicName,
};
use kafka_protocol::protocol::{
    Decodable as _, Encodable, HeaderVersion, Message as _, StrBytes, decode_request_header_from_buffer,
};
use serde::Deserialize;

use super::postgres::SSL_REQUEST;

/// The longest question that is read: they are short.
const QUESTION_LIMIT: usize = 64 * 1024;

/// The one broker's id.
const NODE: BrokerId = BrokerId(1);

/// What is answered.
const KNOWN: [ApiKey; 7] = [
    ApiKey::ApiVersions,
    ApiKey::SaslHandshake,
    ApiKey::SaslAuthenticate,
    ApiKey::Metadata,
    ApiKey::DescribeCluster,
    ApiKey::ListGroups,
    ApiKey::DescribeGroups,
];

/// The operations on a cluster, by Kafka's numbers of them: create, alter, describe, cluster action, the two of configurations, idempotent write.
const ALL_OPERATIONS: i32 = 1 << 5 | 1 << 7 | 1 << DESCRIBE | 1 << 9 | 1 << 10 | 1 << 11 | 1 << 12;

/// Describe, among them.
const DESCRIBE: u32 = 8;

/// A Kafka cluster of a world.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KafkaWorld {
    /// Its id.
    pub cluster_id: String,
    /// Its topics.
    #[serde(default)]
    pub topics: Vec<TopicWorld>,
    /// Its consumer groups.
    #[serde(default)]
    pub groups: Vec<GroupWorld>,
    /// Who may enter; everybody without it.
    #[serde(default)]
    pub login: Option<Login>,
    /// Whether who enters may not describe the cluster. Of Kafka's groups the world then says what such a login sees.
    #[serde(default)]
    pub describe_denied: bool,
}

/// A topic.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TopicWorld {
    /// Its name.
    pub name: String,
    /// How many partitions it has.
    pub partitions: usize,
    /// How many of them have no leader.
    #[serde(default)]
    pub leaderless: usize,
}

/// A consumer group.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupWorld {
    /// Its id.
    pub id: String,
    /// Its state; `Stable` with members and `Empty` without, where it is not said.
    #[serde(default)]
    pub state: Option<String>,
    /// Its members.
    #[serde(default)]
    pub members: Vec<MemberWorld>,
}

/// A member of a group.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemberWorld {
    /// Its id in the group.
    pub member_id: String,
    /// What it calls itself.
    pub client_id: String,
    /// Where it is, as the broker sees it: `/10.0.1.7`.
    pub host: String,
    /// The topics that it subscribes to.
    pub topics: Vec<String>,
}

/// Who may enter.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Login {
    /// The user.
    pub user: String,
    /// The password.
    pub password: String,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Login").finish_non_exhaustive()
    }
}

/// A Kafka cluster of one broker, which answers as long as this value lives.
#[derive(Debug)]
pub struct KafkaResponder {
    listening: Listening,
}

impl KafkaResponder {
    /// Starts it on a port of the system's choosing.
    ///
    /// # Errors
    /// When nothing can listen.
    pub fn start(world: KafkaWorld) -> std::io::Result<Self> {
        let listening = Listening::start(move |stream, address| {
            let mut guest = Guest { world: &world, address, stream, entered: world.login.is_none() };
            // Who is not understood is left, as brokers do.
            while guest.answer_one().is_some() {}
        })?;
        Ok(Self { listening })
    }

    /// `127.0.0.1:port`.
    #[must_use]
    pub fn address(&self) -> String {
        self.listening.address.to_string()
    }
}

/// What stands in for a PostgreSQL server as long as this value lives: it says whether it speaks TLS, and hangs up.
#[derive(Debug)]
pub struct PostgresResponder {
    listening: Listening,
}

impl PostgresResponder {
    /// Starts it on a port of the system's choosing.
    ///
    /// # Errors
    /// When nothing can listen.
    pub fn start(tls: bool) -> std::io::Result<Self> {
        let listening = Listening::start(move |mut stream, _| {
            let mut question = SSL_REQUEST;
            if stream.read_exact(&mut question).is_ok() && question == SSL_REQUEST {
                // Who asks has gone where this fails.
                let _ = stream.write_all(if tls { b"S" } else { b"N" });
            }
        })?;
        Ok(Self { listening })
    }

    /// `127.0.0.1:port`.
    #[must_use]
    pub fn address(&self) -> String {
        self.listening.address.to_string()
    }
}

/// A listener on loopback: it ends, with all its connections, when it is dropped.
#[derive(Debug)]
struct Listening {
    address: SocketAddr,
    open: Arc<Open>,
    door: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Open {
    over: AtomicBool,
    streams: Mutex<BTreeMap<u64, TcpStream>>,
}

impl Listening {
    fn start(serve: impl Fn(TcpStream, SocketAddr) + Send + Sync + 'static) -> std::io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let address = listener.local_addr()?;
        let open = Arc::new(Open::default());
        let (inside, serve) = (Arc::clone(&open), Arc::new(serve));
        let door = std::thread::Builder::new().name("phasegate-reach".to_owned()).spawn(move || {
            for (number, stream) in (0_u64..).zip(listener.incoming()) {
                if inside.over.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                let Ok(kept) = stream.try_clone() else { continue };
                inside.with(|streams| streams.insert(number, kept));
                let (room, serve) = (Arc::clone(&inside), Arc::clone(&serve));
                let served = std::thread::Builder::new().name("phasegate-reach".to_owned()).spawn(move || {
                    serve(stream, address);
                    room.leave(number);
                });
                if served.is_err() {
                    inside.leave(number);
                }
            }
        })?;
        Ok(Self { address, open, door: Some(door) })
    }
}

impl Open {
    fn with<T>(&self, act: impl FnOnce(&mut BTreeMap<u64, TcpStream>) -> T) -> T {
        act(&mut self.streams.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn leave(&self, number: u64) {
        if let Some(stream) = self.with(|streams| streams.remove(&number)) {
            // It is closed already where the other side was quicker.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.open.over.store(true, Ordering::SeqCst);
        // The listener waits for someone: this is the one.
        let woken = TcpStream::connect(self.address).is_ok();
        if let Some(door) = self.door.take().filter(|_| woken) {
            // It has nothing to say of how it ended.
            let _ = door.join();
        }
        let left: Vec<u64> = self.open.with(|streams| streams.keys().copied().collect());
        for number in left {
            self.open.leave(number);
        }
    }
}

/// Who asks the cluster, by one connection.
struct Guest<'w> {
    world: &'w KafkaWorld,
    address: SocketAddr,
    stream: TcpStream,
    entered: bool,
}

impl Guest<'_> {
    /// Answers one question; nothing when the connection is over.
    fn answer_one(&mut self) -> Option<()> {
        let mut question = self.question()?;
        // The decoder looks at the first bytes before it asks whether they are there.
        let key = question.first_chunk().map(|key| i16::from_be_bytes(*key))?;
        let key = ApiKey::try_from(key).ok().filter(|key| KNOWN.contains(key))?;
        if question.len() < 8 {
            return None;
        }
        let header = decode_request_header_from_buffer(&mut question).ok()?;
        let (version, id) = (header.request_api_version, header.correlation_id);
        let known = key.valid_versions();
        if !(known.min..=known.max).contains(&version) {
            // Of this question alone, who asks does not know the versions yet.
            let unsupported = versions().with_error_code(ResponseError::UnsupportedVersion.code());
            return if key == ApiKey::ApiVersions { self.say(&unsupported, 0, id) } else { None };
        }
        let before_login = matches!(key, ApiKey::ApiVersions | ApiKey::SaslHandshake | ApiKey::SaslAuthenticate);
        if !self.entered && !before_login {
            return None;
        }
        match key {
            ApiKey::ApiVersions => self.say(&versions(), version, id),
            ApiKey::SaslHandshake => {
                let request = SaslHandshakeRequest::decode(&mut question, version).ok()?;
                self.say(&handshake(&request), version, id)
            }
            ApiKey::SaslAuthenticate => {
                let request = SaslAuthenticateRequest::decode(&mut question, version).ok()?;
                self.entered = self.entered || self.lets_in(&request.auth_bytes);
                let refused = ResponseError::SaslAuthenticationFailed.code();
                let code = if self.entered { 0 } else { refused };
                self.say(&SaslAuthenticateResponse::default().with_error_code(code), version, id)?;
                self.entered.then_some(())
            }
            ApiKey::Metadata => {
                let request = MetadataRequest::decode(&mut question, version).ok()?;
                self.say(&self.metadata(&request), version, id)
            }
            ApiKey::DescribeCluster => {
                let request = DescribeClusterRequest::decode(&mut question, version).ok()?;
                self.say(&self.cluster(&request), version, id)
            }
            ApiKey::ListGroups => self.say(&self.groups(version), version, id),
            ApiKey::DescribeGroups => {
                let request = DescribeGroupsRequest::decode(&mut question, version).ok()?;
                self.say(&self.described(&request)?, version, id)
            }
            _ => None,
        }
    }

    fn question(&mut self) -> Option<Bytes> {
        let mut length = [0; 4];
        self.stream.read_exact(&mut length).ok()?;
        let length = usize::try_from(i32::from_be_bytes(length)).ok().filter(|length| *length <= QUESTION_LIMIT)?;
        let mut question = vec![0; length];
        self.stream.read_exact(&mut question).ok()?;
        Some(question.into())
    }

    fn say<M: Encodable + HeaderVersion>(&mut self, message: &M, version: i16, id: i32) -> Option<()> {
        let mut body = BytesMut::new();
        let header = ResponseHeader::default().with_correlation_id(id);
        header.encode(&mut body, M::header_version(version)).ok()?;
        message.encode(&mut body, version).ok()?;
        let mut frame = BytesMut::new();
        frame.put_i32(i32::try_from(body.len()).ok()?);
        frame.extend_from_slice(&body);
        self.stream.write_all(&frame).ok()
    }

    fn lets_in(&self, token: &[u8]) -> bool {
        self.world
            .login
            .as_ref()
            .is_none_or(|login| token == format!("\0{}\0{}", login.user, login.password).as_bytes())
    }

    fn metadata(&self, request: &MetadataRequest) -> MetadataResponse {
        let broker = MetadataResponseBroker::default()
            .with_node_id(NODE)
            .with_host(text(&self.address.ip().to_string()))
            .with_port(i32::from(self.address.port()));
        let topics = match &request.topics {
            None => self.world.topics.iter().map(topic).collect(),
            Some(asked) => asked.iter().filter_map(|asked| asked.name.as_ref()).map(|name| self.topic(name)).collect(),
        };
        MetadataResponse::default()
            .with_brokers(vec![broker])
            .with_cluster_id(Some(text(&self.world.cluster_id)))
            .with_controller_id(NODE)
            .with_topics(topics)
    }

    fn cluster(&self, request: &DescribeClusterRequest) -> DescribeClusterResponse {
        let broker = DescribeClusterBroker::default()
            .with_broker_id(NODE)
            .with_host(text(&self.address.ip().to_string()))
            .with_port(i32::from(self.address.port()));
        let operations = match (request.include_cluster_authorized_operations, self.world.describe_denied) {
            (false, _) => i32::MIN,
            (true, true) => ALL_OPERATIONS & !(1 << DESCRIBE),
            (true, false) => ALL_OPERATIONS,
        };
        DescribeClusterResponse::default()
            .with_cluster_id(text(&self.world.cluster_id))
            .with_controller_id(NODE)
            .with_brokers(vec![broker])
            .with_cluster_authorized_operations(operations)
    }

    fn topic(&self, name: &TopicName) -> MetadataResponseTopic {
        self.world.topics.iter().find(|topic| topic.name == name.0.as_str()).map_or_else(
            || {
                MetadataResponseTopic::default()
                    .with_name(Some(name.clone()))
                    .with_error_code(ResponseError::UnknownTopicOrPartition.code())
            },
            topic,
        )
    }

    fn groups(&self, version: i16) -> ListGroupsResponse {
        let listed = self.world.groups.iter().map(|group| {
            let listed =
                ListedGroup::default().with_group_id(GroupId(text(&group.id))).with_protocol_type(text("consumer"));
            // What a version does not have cannot be said in it.
            let listed = if version >= 4 { listed.with_group_state(text(state(group))) } else { listed };
            if version >= 5 { listed.with_group_type(text("classic")) } else { listed }
        });
        ListGroupsResponse::default().with_groups(listed.collect())
    }

    fn described(&self, request: &DescribeGroupsRequest) -> Option<DescribeGroupsResponse> {
        let groups =
            request.groups.iter().map(|id| match self.world.groups.iter().find(|group| group.id == id.0.as_str()) {
                Some(group) => described(group),
                None => Some(DescribedGroup::default().with_group_id(id.clone()).with_group_state(text("Dead"))),
            });
        Some(DescribeGroupsResponse::default().with_groups(groups.collect::<Option<_>>()?))
    }
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

fn versions() -> ApiVersionsResponse {
    let known = KNOWN.iter().map(|key| {
        let versions = key.valid_versions();
        ApiVersion::default().with_api_key(*key as i16).with_min_version(versions.min).with_max_version(versions.max)
    });
    ApiVersionsResponse::default().with_api_keys(known.collect())
}

fn handshake(request: &SaslHandshakeRequest) -> SaslHandshakeResponse {
    let plain = request.mechanism.as_str() == "PLAIN";
    let code = if plain { 0 } else { ResponseError::UnsupportedSaslMechanism.code() };
    SaslHandshakeResponse::default().with_error_code(code).with_mechanisms(vec![text("PLAIN")])
}

fn topic(topic: &TopicWorld) -> MetadataResponseTopic {
    let partitions = (0_i32..).zip(0..topic.partitions).map(|(index, place)| {
        let partition = MetadataResponsePartition::default().with_partition_index(index).with_replica_nodes(vec![NODE]);
        if place < topic.leaderless {
            partition.with_leader_id(BrokerId(-1)).with_error_code(ResponseError::LeaderNotAvailable.code())
        } else {
            partition.with_leader_id(NODE).with_isr_nodes(vec![NODE])
        }
    });
    MetadataResponseTopic::default().with_name(Some(TopicName(text(&topic.name)))).with_partitions(partitions.collect())
}

fn state(group: &GroupWorld) -> &str {
    let by_members = if group.members.is_empty() { "Empty" } else { "Stable" };
    group.state.as_deref().unwrap_or(by_members)
}

fn described(group: &GroupWorld) -> Option<DescribedGroup> {
    let stable = state(group) == "Stable";
    let members = group.members.iter().map(|member| {
        Some(
            DescribedGroupMember::default()
                .with_member_id(text(&member.member_id))
                .with_client_id(text(&member.client_id))
                .with_client_host(text(&member.host))
                // As brokers do: what members said is shown while the group is stable.
                .with_member_metadata(if stable { subscription(member)? } else { Bytes::new() }),
        )
    });
    Some(
        DescribedGroup::default()
            .with_group_id(GroupId(text(&group.id)))
            .with_group_state(text(state(group)))
            .with_protocol_type(text("consumer"))
            .with_protocol_data(text(if stable { "range" } else { "" }))
            .with_members(members.collect::<Option<_>>()?),
    )
}

fn subscription(member: &MemberWorld) -> Option<Bytes> {
    let version = ConsumerProtocolSubscription::VERSIONS.max;
    let mut bytes = BytesMut::new();
    bytes.put_i16(version);
    ConsumerProtocolSubscription::default()
        .with_topics(member.topics.iter().map(|topic| text(topic)).collect())
        .encode(&mut bytes, version)
        .ok()?;
    Some(bytes.freeze())
}
