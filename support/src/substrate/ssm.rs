//! Reading the Parameter Store: whether a parameter is there, never its value.

use std::sync::Arc;

use aws_config::SdkConfig;
use aws_sdk_ssm::types::ParameterStringFilter;
use serde::{Deserialize, Serialize};

use super::link::Link;
use super::reply::{CallError, CallErrorKind, Reply};

/// A parameter, without its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParameterInfo {
    /// Its full name.
    pub name: String,
    /// `String`, `SecureString` or `StringList`.
    pub kind: String,
    /// How often it was written, where the server says it.
    pub version: Option<i64>,
}

/// The Parameter Store, for reading.
#[derive(Debug)]
pub struct Ssm {
    client: aws_sdk_ssm::Client,
    link: Arc<Link>,
}

impl Ssm {
    pub(super) fn new(config: &SdkConfig, link: Arc<Link>) -> Self {
        Self { client: aws_sdk_ssm::Client::new(config), link }
    }

    /// The parameter of this name (`describe-parameters`): its value is not asked for.
    ///
    /// # Errors
    /// `NotFound` when it is not there; see [`CallErrorKind`] for the others.
    pub fn describe(&self, name: &str) -> Result<Reply<ParameterInfo>, CallError> {
        let call = self.link.call("ssm", "describe-parameters", name);
        let filter = ParameterStringFilter::builder()
            .key("Name")
            .option("Equals")
            .values(name)
            .build()
            .map_err(|error| call.error(CallErrorKind::Refused, error.to_string()))?;
        let request = self.client.describe_parameters().parameter_filters(filter);
        let reply = call.send(request.customize().interceptor(call.probe()).send())?;
        let found = reply.value.parameters.unwrap_or_default();
        let parameter = match found.as_slice() {
            [parameter] => parameter,
            // A page may be empty and others follow; one name has one page in practice.
            [] if reply.value.next_token.is_none() => {
                let message = "the answer does not have it";
                return Err(call.error(CallErrorKind::NotFound, message));
            }
            [] => return Err(call.malformed("an empty page names a next one")),
            [..] => return Err(call.malformed("one name gives several parameters")),
        };
        if parameter.name.as_deref() != Some(name) {
            return Err(call.malformed("another parameter came"));
        }
        let kind = call.required("Type", parameter.r#type.as_ref())?;
        Ok(call.reply(ParameterInfo {
            name: name.to_owned(),
            kind: kind.as_str().to_owned(),
            version: Some(parameter.version),
        }))
    }
}
