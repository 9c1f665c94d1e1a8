//! One connection to a Kafka broker: a question, and the answer to it.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::{
    ApiVersionsRequest, ConsumerGroupDescribeRequest, DescribeClusterRequest, DescribeGroupsRequest, ListGroupsRequest,
    MetadataRequest, RequestHeader, ResponseHeader, SaslAuthenticateRequest, SaslHandshakeRequest,
};
use kafka_protocol::protocol::{
    Decodable as _, HeaderVersion, Request, StrBytes, VersionRange, encode_request_header_into_buffer,
};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::shape::{self, Shape};
use super::{Done, Trouble};
use crate::substrate::reply::CallErrorKind;

/// The longest frame that is read.
pub(super) const FRAME_LIMIT: usize = 8 * 1024 * 1024;

/// Who asks, as brokers log it.
const CLIENT: &str = "phasegate";

/// What bytes go over: TCP, or TLS.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// A question that is asked.
pub(super) trait Ask: Request {
    /// Its name in Kafka's protocol.
    const NAME: &'static str;
    /// The lowest version that will do.
    const LOWEST: i16;
    /// The shape of its answer.
    const ANSWER: Shape;
}

macro_rules! asks {
    ($($request:ty: $name:literal, from $lowest:literal, $shape:ident;)*) => {
        $(impl Ask for $request {
            const NAME: &'static str = $name;
            const LOWEST: i16 = $lowest;
            const ANSWER: Shape = shape::$shape;
        })*
    };
}

asks! {
    ApiVersionsRequest: "ApiVersions", from 0, API_VERSIONS;
    // Before version 1 what follows is in no frame.
    SaslHandshakeRequest: "SaslHandshake", from 1, SASL_HANDSHAKE;
    SaslAuthenticateRequest: "SaslAuthenticate", from 0, SASL_AUTHENTICATE;
    // Before version 4 a server makes the topics that it is asked about.
    MetadataRequest: "Metadata", from 4, METADATA;
    DescribeClusterRequest: "DescribeCluster", from 0, DESCRIBE_CLUSTER;
    ListGroupsRequest: "ListGroups", from 0, LIST_GROUPS;
    DescribeGroupsRequest: "DescribeGroups", from 0, DESCRIBE_GROUPS;
    ConsumerGroupDescribeRequest: "ConsumerGroupDescribe", from 0, CONSUMER_GROUP_DESCRIBE;
}

/// One connection.
pub(super) struct Wire {
    stream: Box<dyn Stream>,
    asked: i32,
    /// What the server knows, by the API's key.
    known: BTreeMap<i16, VersionRange>,
}

impl Wire {
    /// Learns what the server at the other end knows.
    pub(super) async fn open(stream: Box<dyn Stream>) -> Done<Self> {
        let mut wire = Self { stream, asked: 0, known: BTreeMap::new() };
        // The one version that every server answers; what later ones add is not used.
        let answer = wire.ask_as(&ApiVersionsRequest::default(), 0).await?;
        accepted(ApiVersionsRequest::NAME, answer.error_code)?;
        wire.known = answer
            .api_keys
            .iter()
            .map(|api| (api.api_key, VersionRange { min: api.min_version, max: api.max_version }))
            .collect();
        Ok(wire)
    }

    /// Whether the server knows a question at all.
    pub(super) fn knows<R: Ask>(&self) -> bool {
        self.known.contains_key(&R::KEY)
    }

    /// The highest version of a question that both sides know.
    pub(super) fn version<R: Ask>(&self) -> Done<i16> {
        let ours = VersionRange { min: R::LOWEST, max: R::VERSIONS.max };
        let unsupported = |what: String| Trouble::new(CallErrorKind::Unsupported, what);
        let Some(known) = self.known.get(&R::KEY) else {
            return Err(unsupported(format!("the server does not know {}", R::NAME)));
        };
        let common = ours.intersect(known);
        if common.is_empty() {
            return Err(unsupported(format!("{} is needed in {ours}, and the server knows {known}", R::NAME)));
        }
        Ok(common.max)
    }

    /// Asks, in the highest version that both sides know.
    pub(super) async fn ask<R: Ask>(&mut self, request: &R) -> Done<R::Response> {
        let version = self.version::<R>()?;
        self.ask_as(request, version).await
    }

    async fn ask_as<R: Ask>(&mut self, request: &R, version: i16) -> Done<R::Response> {
        self.asked = self.asked.wrapping_add(1);
        self.send(&question(request, version, self.asked)?).await?;
        let mut answer = self.receive(R::NAME).await?;
        let malformed = |why: &str| Trouble::malformed(format!("the answer to {} {why}", R::NAME));
        let id = answer.first_chunk().map(|id| i32::from_be_bytes(*id));
        if id != Some(self.asked) {
            return Err(malformed("belongs to another question"));
        }
        ResponseHeader::decode(&mut answer, R::Response::header_version(version))
            .map_err(|_| malformed("has no whole header"))?;
        match R::ANSWER.left(version, &answer) {
            Some(0) => {}
            Some(left) => return Err(malformed(&format!("has {left} bytes too many"))),
            None => return Err(malformed("ends too early")),
        }
        R::Response::decode(&mut answer, version).map_err(|error| malformed(&format!("does not parse: {error}")))
    }

    async fn send(&mut self, frame: &[u8]) -> Done<()> {
        self.stream.write_all(frame).await.map_err(broke)?;
        self.stream.flush().await.map_err(broke)
    }

    async fn receive(&mut self, name: &str) -> Done<Bytes> {
        let mut head = Vec::new();
        (&mut self.stream).take(4).read_to_end(&mut head).await.map_err(broke)?;
        if head.is_empty() {
            return Err(Trouble::unreachable(format!("it closed the connection without an answer to {name}")));
        }
        let length = head.first_chunk().and_then(|length| usize::try_from(i32::from_be_bytes(*length)).ok());
        let length = length.ok_or_else(|| Trouble::malformed("its answer has no length: this is not Kafka"))?;
        if length > FRAME_LIMIT {
            return Err(Trouble::malformed(format!(
                "its answer to {name} would have {length} bytes, and {FRAME_LIMIT} are read: too long, or not Kafka"
            )));
        }
        let mut body = Vec::new();
        let came = (&mut self.stream).take(length as u64).read_to_end(&mut body).await.map_err(broke)?;
        if came < length {
            return Err(Trouble::malformed(format!("its answer to {name} breaks off after {came} of {length} bytes")));
        }
        Ok(body.into())
    }
}

fn broke(error: std::io::Error) -> Trouble {
    Trouble::unreachable(format!("the connection broke: {error}"))
}

fn question<R: Ask>(request: &R, version: i16, id: i32) -> Done<BytesMut> {
    let header = RequestHeader::default()
        .with_request_api_key(R::KEY)
        .with_request_api_version(version)
        .with_correlation_id(id)
        .with_client_id(Some(StrBytes::from_static_str(CLIENT)));
    // The library's reason may show what is in the question: a password.
    let unsaid = |_| Trouble::refused(format!("{} cannot be said in version {version}", R::NAME));
    let mut body = BytesMut::new();
    encode_request_header_into_buffer(&mut body, &header).map_err(unsaid)?;
    request.encode(&mut body, version).map_err(unsaid)?;
    let length = i32::try_from(body.len()).map_err(|_| Trouble::refused(format!("{} is too long", R::NAME)))?;
    let mut frame = BytesMut::from(length.to_be_bytes().as_slice());
    frame.extend_from_slice(&body);
    Ok(frame)
}

/// Whether an answer is one; else the kind of its error.
pub(super) fn accepted(what: &str, code: i16) -> Done<()> {
    let Some(error) = ResponseError::try_from_code(code) else {
        return Ok(());
    };
    let kind = match error {
        ResponseError::SaslAuthenticationFailed
        | ResponseError::ClusterAuthorizationFailed
        | ResponseError::GroupAuthorizationFailed
        | ResponseError::TopicAuthorizationFailed => CallErrorKind::Denied,
        ResponseError::UnsupportedVersion | ResponseError::UnsupportedSaslMechanism => CallErrorKind::Unsupported,
        ResponseError::CoordinatorLoadInProgress
        | ResponseError::CoordinatorNotAvailable
        | ResponseError::NotCoordinator => CallErrorKind::Conflict,
        ResponseError::ThrottlingQuotaExceeded => CallErrorKind::Throttled,
        ResponseError::UnknownServerError => CallErrorKind::Server,
        _ => CallErrorKind::Refused,
    };
    Err(Trouble::new(kind, format!("{what}: {}", error_name(error))))
}

/// An error as Kafka's documents write it: `UNKNOWN_TOPIC_OR_PARTITION`.
pub(super) fn error_name(error: ResponseError) -> String {
    if let ResponseError::Unknown(code) = error {
        return format!("error {code}");
    }
    let mut name = String::new();
    for letter in error.to_string().chars() {
        if letter.is_ascii_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(letter.to_ascii_uppercase());
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_named_as_kafka_names_them() {
        assert_eq!(error_name(ResponseError::UnknownTopicOrPartition), "UNKNOWN_TOPIC_OR_PARTITION");
        assert_eq!(error_name(ResponseError::Unknown(1000)), "error 1000");
    }

    #[test]
    fn an_error_has_the_kind_of_its_code() {
        let kind = |error: ResponseError| accepted("Metadata", error.code()).unwrap_err().kind;
        assert!(accepted("Metadata", 0).is_ok());
        assert_eq!(kind(ResponseError::GroupAuthorizationFailed), CallErrorKind::Denied);
        assert_eq!(kind(ResponseError::CoordinatorLoadInProgress), CallErrorKind::Conflict);
        assert_eq!(kind(ResponseError::UnknownServerError), CallErrorKind::Server);
        assert_eq!(kind(ResponseError::Unknown(1000)), CallErrorKind::Refused);
    }
}
