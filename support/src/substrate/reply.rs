//! What one call to AWS came back with: a typed reply, or an error with a name.

use serde::{Deserialize, Serialize};

/// A reply, with what the server said about the call itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply<T> {
    /// The typed answer.
    pub value: T,
    /// The server's request id, where it sent one.
    pub request_id: Option<String>,
    /// How many times the call was sent, the retries included.
    pub attempts: u32,
}

/// Why a call gave no usable answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallErrorKind {
    /// The server says that the thing does not exist (404).
    NotFound,
    /// Credentials are missing, wrong, expired, or not allowed (400 to 403 of that kind).
    Denied,
    /// A precondition did not hold (412): for a conditional put, the key exists.
    PreconditionFailed,
    /// A conflicting operation was under way (409): the same call may succeed later.
    Conflict,
    /// The server asked to slow down, and still did after the SDK's retries.
    Throttled,
    /// No answer within the call's time limit.
    TimedOut,
    /// The connection could not be made or broke.
    Unreachable,
    /// The server does not implement the operation, or cannot answer it truly.
    Unsupported,
    /// The server failed (5xx).
    Server,
    /// The answer could not be understood or contradicts itself.
    Malformed,
    /// The server refused the call for another reason.
    Refused,
}

impl CallErrorKind {
    /// The word for this kind in messages and in stored evidence.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::NotFound => "not found",
            Self::Denied => "denied",
            Self::PreconditionFailed => "precondition failed",
            Self::Conflict => "conflict",
            Self::Throttled => "throttled",
            Self::TimedOut => "timed out",
            Self::Unreachable => "unreachable",
            Self::Unsupported => "unsupported",
            Self::Server => "server error",
            Self::Malformed => "malformed answer",
            Self::Refused => "refused",
        }
    }
}

/// A call that gave no usable answer. No kind of it ever counts as an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{service} {operation} of {target}: {}: {message}", kind.word())]
pub struct CallError {
    /// Why there is no answer.
    pub kind: CallErrorKind,
    /// The service, as the AWS CLI names it: `s3api`, `ecr`, `sts`.
    pub service: String,
    /// The operation, as the AWS CLI names it: `head-bucket`.
    pub operation: String,
    /// What was asked about: `s3://bucket/key`, a repository name, `-` where nothing is named.
    pub target: String,
    /// HTTP status, where there was an answer.
    pub status: Option<u16>,
    /// The server's request id, where it sent one.
    pub request_id: Option<String>,
    /// What the server or the connection said.
    pub message: String,
    /// How many times the call was sent, the retries included; 0 where that is not known.
    pub attempts: u32,
}
