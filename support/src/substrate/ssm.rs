//! Reading the Parameter Store: whether a parameter is there and can be read. A value never leaves the call that reads it.

use std::sync::Arc;

use aws_config::SdkConfig;
use aws_sdk_ssm::types::ParameterStringFilter;
use serde::{Deserialize, Serialize};

use super::link::Link;
use super::reply::{CallError, CallErrorKind, Reply};
use crate::registry::placeholder_in;

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

/// A parameter that we can read with decryption: what its value is like, without the value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadableParameter {
    /// Its full name.
    pub name: String,
    /// `String`, `SecureString` or `StringList`.
    pub kind: String,
    /// How often it was written.
    pub version: i64,
    /// Whether the value has no characters.
    pub empty: bool,
    /// Whether the value only keeps a place: blank, `TO_PIN`, `<PIN_AT_…>`, `CHANGE_ME` and the like.
    pub placeholder: bool,
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

    /// Proves that the parameter of this name can be read by us, with decryption (`get-parameter`). The value is looked at
    /// here and dropped; of an error only the server's code is kept, since its words could hold anything.
    ///
    /// # Errors
    /// `NotFound` when it is not there, `Denied` when it or its key is closed to us; see [`CallErrorKind`] for the others.
    pub fn readable(&self, name: &str) -> Result<Reply<ReadableParameter>, CallError> {
        let (parameter, value) = self.get(name)?;
        Ok(Reply {
            value: ReadableParameter { empty: value.is_empty(), placeholder: keeps_a_place(&value), ..parameter.value },
            request_id: parameter.request_id,
            attempts: parameter.attempts,
        })
    }

    /// The value of a parameter, for what enters with it.
    pub(super) fn value(&self, name: &str) -> Result<String, CallError> {
        self.get(name).map(|(_, value)| value)
    }

    fn get(&self, name: &str) -> Result<(Reply<ReadableParameter>, String), CallError> {
        let call = self.link.call("ssm", "get-parameter", name);
        let request = self.client.get_parameter().name(name).with_decryption(true).customize();
        let reply = call.send(request.interceptor(call.probe()).send()).map_err(without_words)?;
        let parameter = call.required("Parameter", reply.value.parameter)?;
        if parameter.name.as_deref() != Some(name) {
            return Err(call.malformed("another parameter came"));
        }
        let kind = call.required("Type", parameter.r#type.as_ref())?.as_str().to_owned();
        if !KINDS.contains(&kind.as_str()) {
            return Err(call.malformed("its type is unknown"));
        }
        if parameter.version < 1 {
            return Err(call.malformed("it has no version"));
        }
        let value = call.required("Value", parameter.value)?;
        let version = parameter.version;
        let read = ReadableParameter { name: name.to_owned(), kind, version, empty: false, placeholder: false };
        Ok((call.reply(read), value))
    }
}

const KINDS: [&str; 3] = ["String", "SecureString", "StringList"];

/// Words that stand where a value is still to come, in lower case and without what separates their parts.
const STAND_INS: [&str; 12] = [
    "changeit",
    "changeme",
    "dummy",
    "fixme",
    "notset",
    "null",
    "placeholder",
    "replaceme",
    "tbd",
    "todo",
    "unset",
    "xxx",
];

/// Whether a value only keeps the place of one.
fn keeps_a_place(value: &str) -> bool {
    let bare: String = value.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
    let wordless = !value.chars().any(char::is_alphanumeric);
    let bracketed = value.trim().strip_prefix('<').is_some_and(|rest| rest.ends_with('>'));
    wordless || bracketed || STAND_INS.contains(&bare.as_str()) || placeholder_in(value).is_some()
}

/// The codes that a message may name.
const CODES: [&str; 10] = [
    "AccessDeniedException",
    "ExpiredTokenException",
    "InternalServerError",
    "InvalidKeyId",
    "NotImplementedException",
    "ParameterNotFound",
    "ParameterVersionNotFound",
    "ThrottlingException",
    "UnrecognizedClientException",
    "ValidationException",
];

/// The error without the answer's words but a code that is known: they may hold the value.
fn without_words(error: CallError) -> CallError {
    if error.status.is_none() {
        return error;
    }
    let code = CODES.iter().find(|code| error.message.split(':').next() == Some(*code));
    let message = code.map_or_else(|| "the words of the answer are left out".to_owned(), ToString::to_string);
    CallError { message, ..error }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::keeps_a_place;

    #[rstest]
    #[case("", true)]
    #[case(" \n", true)]
    #[case("TO_PIN", true)]
    #[case("prefix TO_PIN", true)]
    #[case("<PIN_AT_P3_PHASE_ENTRY>", true)]
    #[case("<your key here>", true)]
    #[case("CHANGE_ME", true)]
    #[case("change-me!", true)]
    #[case("Replace Me", true)]
    #[case("********", true)]
    #[case("kafka.invalid:9092", false)]
    #[case("changeme-not", false)]
    #[case("<a>b", false)]
    #[case("0", false)]
    #[case("пароль", false)]
    fn a_value_that_keeps_a_place_is_told(#[case] value: &str, #[case] placeholder: bool) {
        assert_eq!(keeps_a_place(value), placeholder);
    }
}
