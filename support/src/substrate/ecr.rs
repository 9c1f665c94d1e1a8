//! Reading ECR.

use std::sync::Arc;

use aws_config::SdkConfig;
use aws_sdk_ecr::config::retry::RetryConfig;
use aws_sdk_ecr::types::{ImageIdentifier, ImageTagMutability};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};

use super::link::{Call, Link};
use crate::image::Credentials;

use super::reply::{CallError, CallErrorKind, Reply};

/// Whether a tag can be moved to another image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TagMutability {
    /// A tag can be moved.
    Mutable,
    /// A tag stays where it was put.
    Immutable,
    /// Another rule, by AWS's name for it.
    Other(String),
}

/// One repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepositoryInfo {
    /// Its name.
    pub name: String,
    /// The URI that images are pulled from.
    pub uri: String,
    /// Its ARN.
    pub arn: String,
    /// The account that holds it.
    pub registry_id: String,
    /// Whether its tags can be moved.
    pub tag_mutability: TagMutability,
}

/// One image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageInfo {
    /// Its manifest's digest, `sha256:…`.
    pub digest: String,
    /// All its tags, sorted.
    pub tags: Vec<String>,
    /// Its repository.
    pub repository: String,
    /// The account that holds it.
    pub registry_id: Option<String>,
    /// The media type of its manifest, where the server says it.
    pub media_type: Option<String>,
}

/// ECR, for reading.
#[derive(Debug)]
pub struct Ecr {
    client: aws_sdk_ecr::Client,
    link: Arc<Link>,
}

impl Ecr {
    pub(super) fn new(config: &SdkConfig, link: Arc<Link>) -> Self {
        Self { client: aws_sdk_ecr::Client::new(config), link }
    }

    /// The repositories of these names, one for each name and in their order.
    ///
    /// # Errors
    /// `NotFound` when one is missing, also where the server leaves it out silently; see
    /// [`CallErrorKind`] for the others.
    pub fn describe_repositories(&self, names: &[&str]) -> Result<Reply<Vec<RepositoryInfo>>, CallError> {
        let call = self.link.call("ecr", "describe-repositories", names.join(","));
        if names.is_empty() {
            return Err(call.error(CallErrorKind::Refused, "no repository is named"));
        }
        let request = self
            .client
            .describe_repositories()
            .set_repository_names(Some(names.iter().map(ToString::to_string).collect()))
            .customize();
        let reply = call.send(request.interceptor(call.probe()).send())?;
        let found: Vec<RepositoryInfo> = reply
            .value
            .repositories
            .unwrap_or_default()
            .into_iter()
            .map(|repository| repository_info(&call, repository))
            .collect::<Result<_, _>>()?;
        let in_order: Vec<RepositoryInfo> = names
            .iter()
            .map(|name| {
                found.iter().find(|repository| repository.name == *name).cloned().ok_or_else(|| absent(&call, name))
            })
            .collect::<Result<_, _>>()?;
        Ok(call.reply(in_order))
    }

    /// The image that `tag` stands for.
    ///
    /// # Errors
    /// `NotFound` when the repository or the tag is missing, also where the server answers with an
    /// empty list; see [`CallErrorKind`] for the others.
    pub fn describe_image(&self, repository: &str, tag: &str) -> Result<Reply<ImageInfo>, CallError> {
        self.image_of(repository, tag, aws_sdk_ecr::config::Builder::new())
    }

    /// The same, sent once: for who counts how often it is tried.
    ///
    /// # Errors
    /// As [`Self::describe_image`].
    pub fn describe_image_once(&self, repository: &str, tag: &str) -> Result<Reply<ImageInfo>, CallError> {
        self.image_of(repository, tag, aws_sdk_ecr::config::Builder::new().retry_config(RetryConfig::disabled()))
    }

    fn image_of(
        &self,
        repository: &str,
        tag: &str,
        config: aws_sdk_ecr::config::Builder,
    ) -> Result<Reply<ImageInfo>, CallError> {
        let call = self.link.call("ecr", "describe-images", format!("{repository}:{tag}"));
        let request = self
            .client
            .describe_images()
            .repository_name(repository)
            .image_ids(ImageIdentifier::builder().image_tag(tag).build())
            .customize()
            .config_override(config);
        let reply = call.send(request.interceptor(call.probe()).send())?;
        let mut images = reply.value.image_details.unwrap_or_default().into_iter();
        let image = images.next().ok_or_else(|| absent(&call, tag))?;
        if images.next().is_some() {
            return Err(call.malformed("one tag stands for several images"));
        }
        let mut tags = image.image_tags.unwrap_or_default();
        tags.sort();
        if !tags.iter().any(|known| known == tag) {
            return Err(call.malformed(format!("the image that came does not have tag `{tag}`")));
        }
        Ok(call.reply(ImageInfo {
            digest: call.required("imageDigest", image.image_digest)?,
            tags,
            repository: repository.to_owned(),
            registry_id: image.registry_id,
            media_type: image.image_manifest_media_type,
        }))
    }
}

impl Ecr {
    /// What ECR's registry asks for (`get-authorization-token`); it is good for some hours.
    ///
    /// # Errors
    /// See [`CallErrorKind`]; `Malformed` when the token is none.
    pub fn credentials(&self) -> Result<Reply<Credentials>, CallError> {
        let call = self.link.call("ecr", "get-authorization-token", "-");
        let request = self.client.get_authorization_token().customize();
        let reply = call.send(request.interceptor(call.probe()).send())?;
        let mut given = reply.value.authorization_data.unwrap_or_default().into_iter();
        let token = call.required("authorizationToken", given.next().and_then(|data| data.authorization_token))?;
        // What cannot be read is not repeated: it may be most of a password.
        let decoded = BASE64.decode(token).map_err(|_| call.malformed("the token is no base64"))?;
        let text = String::from_utf8(decoded).map_err(|_| call.malformed("the token is no text"))?;
        let (user, password) = text.split_once(':').ok_or_else(|| call.malformed("the token has no colon"))?;
        Ok(call.reply(Credentials { user: user.to_owned(), password: password.to_owned() }))
    }
}

fn absent(call: &Call<'_>, what: &str) -> CallError {
    call.error(CallErrorKind::NotFound, format!("the answer does not have `{what}`"))
}

fn repository_info(call: &Call<'_>, repository: aws_sdk_ecr::types::Repository) -> Result<RepositoryInfo, CallError> {
    let mutability = call.required("imageTagMutability", repository.image_tag_mutability)?;
    Ok(RepositoryInfo {
        name: call.required("repositoryName", repository.repository_name)?,
        uri: call.required("repositoryUri", repository.repository_uri)?,
        arn: call.required("repositoryArn", repository.repository_arn)?,
        registry_id: call.required("registryId", repository.registry_id)?,
        tag_mutability: match mutability {
            ImageTagMutability::Mutable => TagMutability::Mutable,
            ImageTagMutability::Immutable => TagMutability::Immutable,
            other => TagMutability::Other(other.as_str().to_owned()),
        },
    })
}
