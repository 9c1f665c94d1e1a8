//! Which kind of error an SDK error is.

use std::error::Error;

use aws_credential_types::provider::error::CredentialsError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use super::reply::CallErrorKind;

/// Codes that mean "no such thing"; the JSON protocols send them with status 400.
const NOT_FOUND: [&str; 16] = [
    "NoSuchKey",
    "NoSuchBucket",
    "NoSuchVersion",
    "NoSuchPublicAccessBlockConfiguration",
    "ServerSideEncryptionConfigurationNotFoundError",
    "NotFound",
    "RepositoryNotFoundException",
    "ImageNotFoundException",
    "ParameterNotFound",
    "NoSuchEntity",
    "NoSuchEntityException",
    "StateMachineDoesNotExist",
    "ExecutionDoesNotExist",
    "ClusterNotFoundException",
    "ServiceNotFoundException",
    "ResourceNotFoundException",
];

/// Codes of missing, wrong, expired or insufficient credentials.
const DENIED: [&str; 17] = [
    "AccessDenied",
    "AccessDeniedException",
    "AllAccessDisabled",
    "AuthFailure",
    "ExpiredToken",
    "ExpiredTokenException",
    "IncompleteSignature",
    "IncompleteSignatureException",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "InvalidToken",
    "MissingAuthenticationToken",
    "MissingAuthenticationTokenException",
    "RequestTimeTooSkewed",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
];

/// Codes that ask to slow down.
const THROTTLED: [&str; 10] = [
    "BandwidthLimitExceeded",
    "LimitExceededException",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "RequestThrottled",
    "RequestThrottledException",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
];

/// Codes of an operation that the server lacks.
const UNSUPPORTED: [&str; 8] = [
    "InvalidAction",
    "NotImplemented",
    "NotImplementedException",
    "TypeNotFoundException",
    "UnknownOperation",
    "UnknownOperationException",
    "UnsupportedActionException",
    "UnsupportedOperation",
];

/// The kind of `error`, and what it says, with all its causes.
pub(super) fn sdk_error<E>(error: &SdkError<E, HttpResponse>) -> (CallErrorKind, String)
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    let kind = match error {
        SdkError::TimeoutError(_) => CallErrorKind::TimedOut,
        SdkError::ResponseError(_) => CallErrorKind::Malformed,
        SdkError::ServiceError(service) => {
            let status = service.raw().status().as_u16();
            return (answered(status, service.err().code()), service_message(status, service.err()));
        }
        SdkError::DispatchFailure(failure) if failure.is_timeout() => CallErrorKind::TimedOut,
        SdkError::DispatchFailure(failure) if failure.is_user() => CallErrorKind::Refused,
        _ if lacks_credentials(error) => CallErrorKind::Denied,
        SdkError::DispatchFailure(_) => CallErrorKind::Unreachable,
        _ => CallErrorKind::Refused,
    };
    (kind, with_causes(error))
}

/// The kind of an answer that is an error, by its code first: the JSON protocols send most errors
/// with status 400.
pub(super) fn answered(status: u16, code: Option<&str>) -> CallErrorKind {
    if let Some(kind) = code.and_then(by_code) {
        return kind;
    }
    match status {
        404 => CallErrorKind::NotFound,
        401 | 403 => CallErrorKind::Denied,
        408 => CallErrorKind::TimedOut,
        409 => CallErrorKind::Conflict,
        412 => CallErrorKind::PreconditionFailed,
        429 => CallErrorKind::Throttled,
        501 => CallErrorKind::Unsupported,
        500..=599 => CallErrorKind::Server,
        // A 2xx that the SDK could only read as an error is no answer.
        200..=299 => CallErrorKind::Malformed,
        // AWS gives every refusal a code: this is not its answer.
        400 if code.is_none() => CallErrorKind::Malformed,
        _ => CallErrorKind::Refused,
    }
}

fn by_code(code: &str) -> Option<CallErrorKind> {
    let known = |codes: &[&str]| codes.contains(&code);
    if known(&NOT_FOUND) {
        Some(CallErrorKind::NotFound)
    } else if known(&DENIED) {
        Some(CallErrorKind::Denied)
    } else if known(&THROTTLED) {
        Some(CallErrorKind::Throttled)
    } else if known(&UNSUPPORTED) {
        Some(CallErrorKind::Unsupported)
    } else {
        match code {
            "PreconditionFailed" => Some(CallErrorKind::PreconditionFailed),
            "ConditionalRequestConflict" | "OperationAborted" => Some(CallErrorKind::Conflict),
            "RequestTimeout" => Some(CallErrorKind::TimedOut),
            _ => None,
        }
    }
}

fn service_message<E: ProvideErrorMetadata + Error>(status: u16, error: &E) -> String {
    match (error.code(), error.message()) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        (Some(code), None) => code.to_owned(),
        (None, Some(message)) => message.to_owned(),
        (None, None) => format!("HTTP status {status}"),
    }
}

fn lacks_credentials(error: &(dyn Error + 'static)) -> bool {
    causes(error).any(|cause| cause.downcast_ref::<CredentialsError>().is_some())
}

/// `error` and all its causes in one line.
pub(crate) fn with_causes(error: &(dyn Error + 'static)) -> String {
    let mut parts: Vec<String> = Vec::new();
    for cause in causes(error) {
        let text = cause.to_string();
        // Wrappers often repeat the text of what they wrap.
        if !parts.iter().any(|part| part.contains(&text)) {
            parts.push(text);
        }
    }
    parts.join(": ")
}

fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn Error + 'static)| (*error).source())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::answered;
    use crate::substrate::reply::CallErrorKind;

    #[rstest]
    #[case(404, None, CallErrorKind::NotFound)]
    #[case(400, Some("ImageNotFoundException"), CallErrorKind::NotFound)]
    #[case(400, Some("ExpiredTokenException"), CallErrorKind::Denied)]
    #[case(403, None, CallErrorKind::Denied)]
    #[case(412, Some("PreconditionFailed"), CallErrorKind::PreconditionFailed)]
    #[case(409, Some("ConditionalRequestConflict"), CallErrorKind::Conflict)]
    #[case(503, Some("SlowDown"), CallErrorKind::Throttled)]
    #[case(400, Some("ThrottlingException"), CallErrorKind::Throttled)]
    #[case(400, Some("LimitExceededException"), CallErrorKind::Throttled)]
    #[case(503, None, CallErrorKind::Server)]
    #[case(501, None, CallErrorKind::Unsupported)]
    #[case(400, Some("BadDigest"), CallErrorKind::Refused)]
    #[case(400, None, CallErrorKind::Malformed)]
    #[case(301, Some("PermanentRedirect"), CallErrorKind::Refused)]
    #[case(200, None, CallErrorKind::Malformed)]
    fn an_answer_has_the_kind_of_its_code_and_status(
        #[case] status: u16,
        #[case] code: Option<&str>,
        #[case] kind: CallErrorKind,
    ) {
        assert_eq!(answered(status, code), kind);
    }
}
