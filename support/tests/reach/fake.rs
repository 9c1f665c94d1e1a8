//! Servers that fail in one way.

use std::io::{Read, Write};
use std::net::TcpListener;

use bytes::{BufMut as _, Bytes, BytesMut};
use kafka_protocol::messages::api_versions_response::ApiVersion;
use kafka_protocol::messages::metadata_response::{MetadataResponseBroker, MetadataResponseTopic};
use kafka_protocol::messages::{
    ApiKey, ApiVersionsResponse, BrokerId, DescribeClusterResponse, ListGroupsResponse, MetadataRequest,
    MetadataResponse, ResponseHeader, SaslAuthenticateResponse, SaslHandshakeResponse,
};
use kafka_protocol::protocol::{Decodable as _, Encodable, StrBytes, decode_request_header_from_buffer};

/// Each operation that a login may be allowed.
const EVERYTHING: i32 = i32::MAX;

/// Accepts, and says nothing.
pub fn silent() -> String {
    listen(|stream| {
        let _ = (&stream).read_to_end(&mut Vec::new());
    })
}

/// Accepts, reads the question, and hangs up.
pub fn hang_up() -> String {
    say_and_close(b"")
}

/// Says the same to everybody who asks, and hangs up.
pub fn say_and_close(words: &'static [u8]) -> String {
    listen(move |mut stream| {
        // All of the question: else the system tells the other side of a reset, and not of what was said.
        let _ = stream.read(&mut [0; 1024]);
        let _ = stream.write_all(words);
    })
}

fn listen(serve: impl Fn(std::net::TcpStream) + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let serve = std::sync::Arc::new(serve);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let serve = std::sync::Arc::clone(&serve);
            std::thread::spawn(move || serve(stream.unwrap()));
        }
    });
    address
}

/// Where a fake is, for what it says of itself.
pub struct Place {
    pub port: u16,
    /// The rest of the question.
    pub question: Bytes,
}

/// A server that speaks Kafka's protocol, and says what a test has it say.
pub struct Fake {
    address: String,
}

impl Fake {
    /// It knows `known`, by the lowest and the highest version, and hangs up where `answers` has nothing.
    pub fn start(
        known: Vec<(ApiKey, i16, i16)>,
        answers: impl Fn(ApiKey, i16, &Place) -> Option<BytesMut> + Send + Sync + 'static,
    ) -> Self {
        Self {
            address: listen(move |mut stream| {
                let port = stream.local_addr().unwrap().port();
                serve(&mut stream, port, &known, &answers);
            }),
        }
    }

    pub fn address(&self) -> String {
        self.address.clone()
    }
}

/// Answers on one connection until it is over.
pub fn serve(
    stream: &mut (impl Read + Write),
    port: u16,
    known: &[(ApiKey, i16, i16)],
    answers: &impl Fn(ApiKey, i16, &Place) -> Option<BytesMut>,
) {
    loop {
        let mut length = [0; 4];
        if stream.read_exact(&mut length).is_err() {
            return;
        }
        let mut question = vec![0; usize::try_from(i32::from_be_bytes(length)).unwrap()];
        stream.read_exact(&mut question).unwrap();
        let mut question = Bytes::from(question);
        let header = decode_request_header_from_buffer(&mut question).unwrap();
        let key = ApiKey::try_from(header.request_api_key).unwrap();
        let version = header.request_api_version;
        let body = if key == ApiKey::ApiVersions {
            encoded(&versions(known), version)
        } else {
            let Some(body) = answers(key, version, &Place { port, question }) else { return };
            body
        };
        let mut answer = BytesMut::new();
        ResponseHeader::default()
            .with_correlation_id(header.correlation_id)
            .encode(&mut answer, key.response_header_version(version))
            .unwrap();
        answer.extend_from_slice(&body);
        let mut frame = BytesMut::new();
        frame.put_i32(i32::try_from(answer.len()).unwrap());
        frame.extend_from_slice(&answer);
        stream.write_all(&frame).unwrap();
        stream.flush().unwrap();
    }
}

/// Everything that is asked, in all its versions.
pub fn all() -> Vec<(ApiKey, i16, i16)> {
    [
        ApiKey::SaslHandshake,
        ApiKey::SaslAuthenticate,
        ApiKey::Metadata,
        ApiKey::DescribeCluster,
        ApiKey::ListGroups,
        ApiKey::DescribeGroups,
        ApiKey::ConsumerGroupDescribe,
    ]
    .map(|key| (key, key.valid_versions().min, key.valid_versions().max))
    .into()
}

/// What a server says that has no topics and no groups, and lets everybody in.
pub fn answer(key: ApiKey, version: i16, place: &Place) -> Option<BytesMut> {
    match key {
        ApiKey::SaslHandshake => Some(encoded(&SaslHandshakeResponse::default(), version)),
        ApiKey::SaslAuthenticate => Some(encoded(&SaslAuthenticateResponse::default(), version)),
        ApiKey::Metadata => {
            let asked = MetadataRequest::decode(&mut place.question.clone(), version).unwrap();
            assert!(!asked.allow_auto_topic_creation, "no topic may be made");
            let topics = asked
                .topics
                .unwrap()
                .into_iter()
                .map(|topic| MetadataResponseTopic::default().with_name(topic.name).with_error_code(3));
            let response = MetadataResponse::default()
                .with_brokers(vec![broker(1, "127.0.0.1", place.port)])
                .with_topics(topics.collect());
            Some(encoded(&response, version))
        }
        ApiKey::DescribeCluster => {
            Some(encoded(&DescribeClusterResponse::default().with_cluster_authorized_operations(EVERYTHING), version))
        }
        ApiKey::ListGroups => Some(encoded(&ListGroupsResponse::default(), version)),
        _ => None,
    }
}

pub fn broker(id: i32, host: &'static str, port: u16) -> MetadataResponseBroker {
    MetadataResponseBroker::default()
        .with_node_id(BrokerId(id))
        .with_host(StrBytes::from_static_str(host))
        .with_port(port.into())
}

pub fn encoded(message: &impl Encodable, version: i16) -> BytesMut {
    let mut body = BytesMut::new();
    message.encode(&mut body, version).unwrap();
    body
}

fn versions(known: &[(ApiKey, i16, i16)]) -> ApiVersionsResponse {
    let keys = known.iter().map(|(key, min, max)| {
        ApiVersion::default().with_api_key(*key as i16).with_min_version(*min).with_max_version(*max)
    });
    ApiVersionsResponse::default().with_api_keys(keys.collect())
}
