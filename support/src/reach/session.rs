//! The way to a Kafka broker: its address, TLS, the login.

use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut as _, BytesMut};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::{SaslAuthenticateRequest, SaslHandshakeRequest};
use kafka_protocol::protocol::StrBytes;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};

use super::kafka::Security;
use super::places::{HostPort, Places};
use super::wire::{Ask as _, Stream, Wire, accepted, error_name};
use super::{Done, Trouble};
use crate::substrate::classify::with_causes;
use crate::substrate::link::Call;
use crate::substrate::reply::CallErrorKind;

/// The one way to log in that is spoken.
const MECHANISM: &str = "PLAIN";

/// How a cluster's brokers are entered.
pub(super) struct Entrance<'a> {
    places: &'a Places,
    security: &'a Security,
    tls: Option<TlsConnector>,
}

impl<'a> Entrance<'a> {
    pub(super) fn new(places: &'a Places, security: &'a Security) -> Done<Self> {
        let tls = match security {
            Security::SaslSsl { .. } => Some(TlsConnector::from(Arc::new(tls_config()?))),
            Security::Plaintext | Security::SaslPlaintext { .. } => None,
        };
        Ok(Self { places, security, tls })
    }

    /// Does `talk` with the first of `servers` that answers; each has the same share of `limit`.
    ///
    /// A server that answers, though with a refusal, is not passed over: the next one would say the same, or hide a wrong one.
    pub(super) async fn first<T>(
        &self,
        call: &Call<'_>,
        servers: &[String],
        limit: Duration,
        talk: impl AsyncFn(Wire) -> Done<T>,
    ) -> Done<T> {
        let share = limit / u32::try_from(servers.len().max(1)).unwrap_or(u32::MAX);
        let mut silent = Vec::new();
        for server in servers {
            match self.talk(call, server, share, &talk).await {
                Ok(said) => return Ok(said),
                Err(trouble) if matches!(trouble.kind, CallErrorKind::Unreachable | CallErrorKind::TimedOut) => {
                    silent.push(trouble);
                }
                Err(trouble) => return Err(trouble),
            }
        }
        Err(none_answers(&silent))
    }

    /// Does `talk` with one server, within `limit`.
    pub(super) async fn talk<T>(
        &self,
        call: &Call<'_>,
        server: &str,
        limit: Duration,
        talk: impl AsyncFn(Wire) -> Done<T>,
    ) -> Done<T> {
        call.sent();
        tokio::time::timeout(limit, async { talk(self.enter(server).await?).await })
            .await
            .unwrap_or_else(|_| Err(Trouble::new(CallErrorKind::TimedOut, format!("no answer within {limit:?}"))))
            .map_err(|trouble| trouble.at(server))
    }

    async fn enter(&self, server: &str) -> Done<Wire> {
        let here = match self.security {
            Security::SaslPlaintext { .. } => Some("a password without TLS does not leave the machine"),
            Security::Plaintext | Security::SaslSsl { .. } => None,
        };
        let addresses = self.places.addresses(server, here).await?;
        let plain =
            TcpStream::connect(addresses.as_slice()).await.map_err(|error| Trouble::unreachable(error.to_string()))?;
        let stream: Box<dyn Stream> = match &self.tls {
            Some(tls) => Box::new(
                // The certificate is for the name that was asked for, also where another server stands in for it.
                tls.connect(server_name(server)?, plain)
                    .await
                    .map_err(|error| Trouble::unreachable(format!("no TLS: {}", with_causes(&error))))?,
            ),
            None => Box::new(plain),
        };
        let mut wire = Wire::open(stream).await?;
        match self.security {
            Security::Plaintext => {}
            Security::SaslSsl { user, password } | Security::SaslPlaintext { user, password } => {
                log_in(&mut wire, user, password).await?;
            }
        }
        Ok(wire)
    }
}

async fn log_in(wire: &mut Wire, user: &str, password: &str) -> Done<()> {
    let handshake = SaslHandshakeRequest::default().with_mechanism(StrBytes::from_static_str(MECHANISM));
    let answer = wire.ask(&handshake).await?;
    if answer.error_code == ResponseError::UnsupportedSaslMechanism.code() {
        let known: Vec<&str> = answer.mechanisms.iter().map(|mechanism| mechanism.as_str()).collect();
        let message = format!("it takes no login by {MECHANISM}, but by {}", known.join(", "));
        return Err(Trouble::new(CallErrorKind::Unsupported, message));
    }
    accepted(SaslHandshakeRequest::NAME, answer.error_code)?;
    let mut token = BytesMut::new();
    token.put_u8(0);
    token.put_slice(user.as_bytes());
    token.put_u8(0);
    token.put_slice(password.as_bytes());
    let answer = wire.ask(&SaslAuthenticateRequest::default().with_auth_bytes(token.freeze())).await?;
    let Some(error) = ResponseError::try_from_code(answer.error_code) else {
        return Ok(());
    };
    // What else it says is its own text, and may repeat what it was sent.
    let kind = match error {
        ResponseError::SaslAuthenticationFailed => CallErrorKind::Denied,
        _ => CallErrorKind::Refused,
    };
    Err(Trouble::new(kind, format!("it refuses the user or the password: {}", error_name(error))))
}

fn none_answers(silent: &[Trouble]) -> Trouble {
    let all_late = silent.iter().all(|trouble| trouble.kind == CallErrorKind::TimedOut);
    let said: Vec<&str> = silent.iter().map(|trouble| trouble.message.as_str()).collect();
    let kind = if all_late && !silent.is_empty() { CallErrorKind::TimedOut } else { CallErrorKind::Unreachable };
    Trouble::new(kind, format!("no server answers: {}", said.join("; ")))
}

fn server_name(server: &str) -> Done<ServerName<'static>> {
    HostPort::parse(server)
        .and_then(|place| ServerName::try_from(place.host).ok())
        .ok_or_else(|| Trouble::refused("no certificate can be for this name"))
}

/// TLS with the system's root certificates.
fn tls_config() -> Done<ClientConfig> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    let (taken, _) = roots.add_parsable_certificates(found.certs);
    if taken == 0 {
        return Err(Trouble::refused("this system has no root certificates: install them (Debian: ca-certificates)"));
    }
    let provider = Arc::new(crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Trouble::refused(format!("TLS cannot be set up: {error}")))?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}
