//! An OCI registry, by its API: what a tag stands for.

use std::sync::Arc;

use oci_client::client::{Client, ClientConfig, ClientProtocol};
use oci_client::errors::{OciDistributionError, OciErrorCode};
use oci_client::manifest::{IMAGE_MANIFEST_MEDIA_TYPE, OCI_IMAGE_MEDIA_TYPE};
use oci_client::secrets::RegistryAuth;
use oci_client::{ParseError, Reference};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::REGISTRY;
use super::engine::Credentials;
use crate::evidence::digest::sha256_hex;
use crate::substrate::classify::with_causes;
use crate::substrate::link::{Call, Link};
use crate::substrate::reply::{CallError, CallErrorKind, Reply};

/// Where a registry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistryAddress {
    /// Host and port, `127.0.0.1:5000`.
    pub host: String,
    /// Spoken to without TLS; on this machine only.
    pub plain: bool,
}

/// Which registry images are pushed to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RegistryPlace {
    /// One that is started for this rehearsal alone, and ends with it.
    Own,
    /// The same, and it takes nothing.
    OwnReadOnly,
    /// The one at this address stands in for ECR's.
    At(RegistryAddress),
    /// The one that ECR names for the repository.
    OfRepository,
}

/// An address that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// It is no URL of a registry.
    #[error("`{address}` is no registry's address: give http://127.0.0.1:PORT, or https://HOST")]
    Address {
        /// What was given.
        address: String,
    },
    /// Without TLS, and not on this machine.
    #[error("`{address}` is a registry without TLS on another machine; use https, or one on 127.0.0.1")]
    PlainElsewhere {
        /// What was given.
        address: String,
    },
    /// The client could not be made.
    #[error("the registry's client could not be made: {0}")]
    Client(Box<OciDistributionError>),
}

impl RegistryAddress {
    /// Reads `http://127.0.0.1:5000` or `https://host`.
    ///
    /// # Errors
    /// When it is neither, or asks for no TLS on another machine.
    pub fn parse(address: &str) -> Result<Self, RegistryError> {
        let bad = || RegistryError::Address { address: address.to_owned() };
        let url: http::Uri = address.parse().map_err(|_| bad())?;
        let authority = url.authority().ok_or_else(bad)?;
        let plain = match url.scheme_str() {
            Some("http") => true,
            Some("https") => false,
            _ => return Err(bad()),
        };
        if !matches!(url.path(), "" | "/") || authority.as_str().contains('@') {
            return Err(bad());
        }
        if plain && !is_loopback(authority.host()) {
            return Err(RegistryError::PlainElsewhere { address: address.to_owned() });
        }
        Ok(Self { host: authority.to_string(), plain })
    }
}

fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// What a registry has under a tag or a digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// `sha256:…` of the bytes as they came.
    pub digest: String,
    /// Its media type.
    pub media_type: String,
    /// The digest of the image's configuration.
    pub config_digest: String,
    /// The digests of the layers as they are stored.
    pub layers: Vec<String>,
    /// The bytes, as text.
    pub text: String,
}

/// A registry.
pub struct Registry {
    address: RegistryAddress,
    client: Client,
    link: Arc<Link>,
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Registry {
    pub(super) fn new(address: RegistryAddress, link: Arc<Link>) -> Result<Self, RegistryError> {
        let protocol = if address.plain { ClientProtocol::Http } else { ClientProtocol::Https };
        let config = ClientConfig { protocol, ..ClientConfig::default() };
        let client = Client::try_from(config).map_err(|error| RegistryError::Client(Box::new(error)))?;
        Ok(Self { address, client, link })
    }

    /// Host and port, as they stand before a repository's name in a reference.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.address.host
    }

    /// The manifest of an image, whole, with the digest of its bytes.
    ///
    /// # Errors
    /// `NotFound` when the registry has no such tag; `Malformed` when what came is no image's manifest, or is not what the
    /// registry says that it is.
    pub fn manifest(
        &self,
        repository: &str,
        tag: &str,
        credentials: Option<&Credentials>,
    ) -> Result<Reply<Manifest>, CallError> {
        let target = format!("{}/{repository}:{tag}", self.address.host);
        let call = self.link.call(REGISTRY, "manifest", target.as_str());
        let reference: Reference = target.parse().map_err(|error: ParseError| {
            call.error(CallErrorKind::Refused, format!("{target} is no image's name: {error}"))
        })?;
        let auth =
            credentials.map_or(RegistryAuth::Anonymous, |c| RegistryAuth::Basic(c.user.clone(), c.password.clone()));
        call.sent();
        let accepted = [IMAGE_MANIFEST_MEDIA_TYPE, OCI_IMAGE_MEDIA_TYPE];
        let (bytes, said) = call
            .within_limit(self.client.pull_manifest_raw(&reference, &auth, &accepted))?
            .map_err(|error| named(&call, &error))?;
        let digest = format!("sha256:{}", sha256_hex(&bytes));
        if said != digest {
            return Err(call.malformed(format!("the registry says {said}, and its bytes are {digest}")));
        }
        let text = String::from_utf8(bytes.to_vec()).map_err(|_| call.malformed("a manifest that is no text came"))?;
        let body: Value = serde_json::from_str(&text).map_err(|error| call.malformed(error.to_string()))?;
        let text_at = |pointer: &str| body.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        let media_type = text_at("/mediaType").unwrap_or_else(|| OCI_IMAGE_MEDIA_TYPE.to_owned());
        if !accepted.contains(&media_type.as_str()) {
            return Err(call.malformed(format!("a {media_type} came, and an image's manifest was asked for")));
        }
        let layers = call.required("layers", body.get("layers").and_then(Value::as_array))?;
        Ok(call.reply(Manifest {
            config_digest: call.required("config.digest", text_at("/config/digest"))?,
            layers: layers
                .iter()
                .map(|layer| call.required("layers[].digest", layer.get("digest").and_then(Value::as_str)))
                .map(|digest| digest.map(str::to_owned))
                .collect::<Result<_, _>>()?,
            digest,
            media_type,
            text,
        }))
    }
}

fn named(call: &Call<'_>, error: &OciDistributionError) -> CallError {
    let kind = match error {
        OciDistributionError::ImageManifestNotFoundError(_) => CallErrorKind::NotFound,
        OciDistributionError::RegistryError { envelope, .. } => by_code(envelope.errors.iter().map(|e| &e.code)),
        OciDistributionError::AuthenticationFailure(_) | OciDistributionError::UnauthorizedError { .. } => {
            CallErrorKind::Denied
        }
        OciDistributionError::ServerError { code, .. } => match code {
            404 => CallErrorKind::NotFound,
            401 | 403 => CallErrorKind::Denied,
            408 => CallErrorKind::TimedOut,
            429 => CallErrorKind::Throttled,
            501 => CallErrorKind::Unsupported,
            500..=599 => CallErrorKind::Server,
            _ => CallErrorKind::Refused,
        },
        OciDistributionError::RequestError(error) if error.is_timeout() => CallErrorKind::TimedOut,
        OciDistributionError::RequestError(_) | OciDistributionError::IoError(_) => CallErrorKind::Unreachable,
        OciDistributionError::UrlParseError(_) => CallErrorKind::Refused,
        _ => CallErrorKind::Malformed,
    };
    call.error(kind, with_causes(error))
}

fn by_code<'e>(mut codes: impl Iterator<Item = &'e OciErrorCode>) -> CallErrorKind {
    match codes.next() {
        Some(OciErrorCode::ManifestUnknown | OciErrorCode::NameUnknown | OciErrorCode::NotFound) => {
            CallErrorKind::NotFound
        }
        Some(OciErrorCode::Denied | OciErrorCode::Unauthorized) => CallErrorKind::Denied,
        Some(OciErrorCode::Unsupported) => CallErrorKind::Unsupported,
        Some(OciErrorCode::Toomanyrequests) => CallErrorKind::Throttled,
        Some(_) => CallErrorKind::Refused,
        None => CallErrorKind::Malformed,
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("http://127.0.0.1:5000", "127.0.0.1:5000", true)]
    #[case("http://localhost:5000/", "localhost:5000", true)]
    #[case("http://[::1]:5000", "[::1]:5000", true)]
    #[case(
        "https://230372904534.dkr.ecr.eu-west-2.amazonaws.com",
        "230372904534.dkr.ecr.eu-west-2.amazonaws.com",
        false
    )]
    fn an_address_is_read(#[case] address: &str, #[case] host: &str, #[case] plain: bool) {
        let read = RegistryAddress::parse(address).unwrap();
        assert_eq!(read, RegistryAddress { host: host.to_owned(), plain });
    }

    #[rstest]
    #[case("127.0.0.1:5000", "no registry's address")]
    #[case("ftp://127.0.0.1", "no registry's address")]
    #[case("https://host/v2/", "no registry's address")]
    #[case("https://me:word@host", "no registry's address")]
    #[case("http://registry.example", "without TLS")]
    #[case("http://127.0.0.1.example:5000", "without TLS")]
    fn another_is_refused(#[case] address: &str, #[case] says: &str) {
        assert!(RegistryAddress::parse(address).unwrap_err().to_string().contains(says), "{address}");
    }
}
