//! Docker Engine, by its API.

use std::collections::{BTreeMap, HashMap};
use std::io::Read;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bollard::auth::DockerCredentials;
use bollard::errors::Error;
use bollard::query_parameters::{
    BuildImageOptionsBuilder, PushImageOptionsBuilder, RemoveImageOptionsBuilder, TagImageOptionsBuilder,
};
use bollard::{Docker, body_full};
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio_util::io::{StreamReader, SyncIoBridge};

use super::ENGINE;
use super::layers::{self, Scanned, Wanted};
use super::memory::Memory;
use crate::secrets::{Hit, scan_bytes};
use crate::substrate::link::{Call, Link};
use crate::substrate::reply::{CallError, CallErrorKind, Reply};

/// The time that a build may take.
const BUILD_LIMIT: Duration = Duration::from_secs(30 * 60);

/// The time that a push, or the reading of a whole image, may take.
const TRANSFER_LIMIT: Duration = Duration::from_secs(15 * 60);

/// How much of a build's log is kept: its end, in characters.
const LOG_KEPT: usize = 16_384;

/// How long what was built here may be in use before it is said to stay: another build may stand on the same layers.
const IN_USE_LIMIT: Duration = Duration::from_secs(60);

/// How often it is tried again meanwhile.
const ASK_AGAIN: Duration = Duration::from_millis(200);

/// How the names begin that only one build has.
const OWN_NAME: &str = "phasegate-build";

/// A container engine.
#[derive(Debug)]
pub struct Engine {
    pub(super) docker: Docker,
    pub(super) link: Arc<Link>,
    /// What was built here: names and ids.
    made: Mutex<Vec<String>>,
    /// Answers of earlier gates; none in a gate that counts.
    pub(super) memory: Option<Arc<Memory>>,
}

/// What the engine says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineInfo {
    /// Its version, `28.2.2`.
    pub version: String,
    /// The API's version, `1.41`.
    pub api_version: String,
    /// `linux`.
    pub os: String,
    /// `amd64`.
    pub arch: String,
}

/// An image to build.
#[derive(Debug, Clone)]
pub struct Build {
    /// The context, as an uncompressed tar.
    pub context: Vec<u8>,
    /// The Dockerfile's path in the context.
    pub dockerfile: String,
    /// What the image is called.
    pub reference: String,
    /// Whether it gets that name in the engine; else it has one that nobody else knows, until it is tidied away.
    pub named: bool,
    /// Build arguments.
    pub args: BTreeMap<String, String>,
}

/// What came of a build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Built {
    /// The image's id, where there is one.
    pub image_id: Option<String>,
    /// Why there is none.
    pub error: Option<String>,
    /// The end of the log; nothing where a secret stands anywhere in it.
    pub log: String,
    /// What the whole log holds of secrets.
    pub log_hits: Vec<Hit>,
}

/// What came of a push.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pushed {
    /// What was pushed.
    pub reference: String,
    /// How often it was tried.
    pub attempts: u32,
}

/// What an image says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageFacts {
    /// Its id: the digest of its configuration, or of its manifest where the engine keeps images so.
    pub id: String,
    /// Digests under which registries know it, `host/name@sha256:…`, sorted.
    pub repo_digests: Vec<String>,
    /// Its environment, by name.
    pub env: BTreeMap<String, String>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its user; empty for root.
    pub user: String,
    /// Its entrypoint.
    pub entrypoint: Vec<String>,
    /// Its command.
    pub command: Vec<String>,
    /// The digests of its layers, unpacked, from the lowest.
    pub layers: Vec<String>,
    /// `linux/amd64`.
    pub platform: String,
    /// Its size in bytes.
    pub size: i64,
    /// The folder that its commands start in; empty for the root.
    pub folder: String,
    /// When it was completed, RFC 3339, as its configuration says.
    pub created: Option<String>,
}

/// One step of an image's history, the latest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryEntry {
    /// The instruction.
    pub created_by: String,
    /// A comment, where there is one.
    pub comment: String,
    /// How much it added, in bytes.
    pub size: i64,
}

/// What a registry asks for. It is shown nowhere.
#[derive(Clone)]
pub struct Credentials {
    /// The user, `AWS` for ECR.
    pub user: String,
    /// The password.
    pub password: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("user", &self.user).finish_non_exhaustive()
    }
}

impl Engine {
    /// The engine that `DOCKER_HOST` names, else the one of this machine.
    ///
    /// # Errors
    /// `Unreachable` when none answers.
    pub(crate) fn open(link: Arc<Link>, memory: Option<Arc<Memory>>) -> Result<Self, CallError> {
        let call = link.call(ENGINE, "version", host());
        let docker = Docker::connect_with_defaults().map_err(|error| named(&call, error))?;
        let docker = call.within_limit(docker.negotiate_version())?.map_err(|error| named(&call, error))?;
        drop(call);
        let engine = Self { docker, link, made: Mutex::new(Vec::new()), memory };
        engine.info()?;
        Ok(engine)
    }

    /// What the engine says of itself (`docker version`).
    ///
    /// # Errors
    /// When it does not answer.
    pub fn info(&self) -> Result<Reply<EngineInfo>, CallError> {
        let call = self.link.call(ENGINE, "version", host());
        let version = finish(&call, self.docker.version())?;
        Ok(call.reply(EngineInfo {
            version: version.version.unwrap_or_default(),
            api_version: version.api_version.unwrap_or_default(),
            os: version.os.unwrap_or_default(),
            arch: version.arch.unwrap_or_default(),
        }))
    }

    /// Builds an image by the engine's own builder. A build that fails is an answer: it says why.
    ///
    /// # Errors
    /// When the engine does not answer to the end.
    pub fn build(&self, build: Build) -> Result<Reply<Built>, CallError> {
        // Under a name that nobody else has, so that what bears it afterwards is what was built here and now.
        // Kept until it is tidied away: then nobody else's tidying takes the image while it is looked at.
        let own = format!("{OWN_NAME}:{}", uuid::Uuid::new_v4());
        let call = self.link.call(ENGINE, "build", build.reference.as_str()).lasting(BUILD_LIMIT);
        let args: HashMap<&str, &str> =
            build.args.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let options = BuildImageOptionsBuilder::default()
            .dockerfile(&build.dockerfile)
            .t(&own)
            .rm(true)
            .forcerm(true)
            .buildargs(&args)
            .build();
        let body = body_full(Bytes::from(build.context));
        let said = async {
            let mut stream = self.docker.build_image(options, None, Some(body));
            let mut built = Built { image_id: None, error: None, log: String::new(), log_hits: Vec::new() };
            while let Some(step) = stream.next().await {
                match step {
                    Ok(info) => {
                        built.log.push_str(info.stream.as_deref().unwrap_or_default());
                        if let Some(detail) = info.error_detail {
                            built.error = Some(detail.message.unwrap_or_else(|| "no reason given".to_owned()));
                        }
                    }
                    Err(Error::DockerStreamError { error }) => built.error = Some(error),
                    // A Dockerfile that the engine does not take is refused before the first step.
                    Err(Error::DockerResponseServerError { status_code: 400 | 404 | 500, message }) => {
                        built.error = Some(message);
                    }
                    Err(error) => return Err(error),
                }
            }
            Ok(built)
        };
        let mut built = finish(&call, said)?;
        let log = std::mem::take(&mut built.log);
        built.log_hits = scan_bytes(log.as_bytes());
        if built.log_hits.is_empty() {
            built.log = end_of(&log, LOG_KEPT);
        }
        if built.error.is_none() {
            let id = match self.inspect(&own) {
                Ok(reply) => reply.value.id,
                Err(error) if error.kind == CallErrorKind::NotFound => {
                    return Err(call.malformed("the build ended without an image and without an error"));
                }
                Err(error) => return Err(error),
            };
            self.made.lock().unwrap_or_else(PoisonError::into_inner).push(own.clone());
            if build.named {
                let (repository, tag) = build.reference.rsplit_once(':').unwrap_or((&build.reference, "latest"));
                self.tag(&id, repository, tag)?;
            }
            built.image_id = Some(id);
        } else if let Some(step) = last_step(&log) {
            self.made.lock().unwrap_or_else(PoisonError::into_inner).push(step);
        }
        Ok(call.reply(built))
    }

    /// What an image says of itself (`docker image inspect`).
    ///
    /// # Errors
    /// `NotFound` when the engine does not have it.
    pub fn inspect(&self, reference: &str) -> Result<Reply<ImageFacts>, CallError> {
        let call = self.link.call(ENGINE, "image inspect", reference);
        let image = finish(&call, self.docker.inspect_image(reference))?;
        let config = image.config.unwrap_or_default();
        let mut repo_digests = image.repo_digests.unwrap_or_default();
        repo_digests.sort();
        Ok(call.reply(ImageFacts {
            id: call.required("Id", image.id)?,
            repo_digests,
            env: config.env.unwrap_or_default().iter().map(|entry| pair(entry)).collect(),
            labels: config.labels.unwrap_or_default().into_iter().collect(),
            user: config.user.unwrap_or_default(),
            entrypoint: config.entrypoint.unwrap_or_default(),
            command: config.cmd.unwrap_or_default(),
            layers: call.required("RootFS", image.root_fs)?.layers.unwrap_or_default(),
            platform: format!(
                "{}/{}",
                call.required("Os", image.os)?,
                call.required("Architecture", image.architecture)?
            ),
            size: image.size.unwrap_or_default(),
            folder: config.working_dir.unwrap_or_default(),
            created: image.created,
        }))
    }

    /// How an image was made (`docker history`).
    ///
    /// # Errors
    /// `NotFound` when the engine does not have it.
    pub fn history(&self, reference: &str) -> Result<Reply<Vec<HistoryEntry>>, CallError> {
        let call = self.link.call(ENGINE, "history", reference);
        let entries = finish(&call, self.docker.image_history(reference))?;
        Ok(call.reply(
            entries
                .into_iter()
                .map(|entry| HistoryEntry { created_by: entry.created_by, comment: entry.comment, size: entry.size })
                .collect(),
        ))
    }

    /// Searches a whole image (`docker save`), layer by layer, for what must not be there, and for what is `wanted`.
    ///
    /// # Errors
    /// When the engine does not have the image; `Malformed` when it cannot be read to its end as one.
    pub fn scan(&self, image: &str, wanted: &Wanted) -> Result<Reply<Scanned>, CallError> {
        let ask = || {
            let read = self.save(image, |stream| layers::scan(stream, wanted))?;
            let unread =
                |error: layers::LayersError| self.link.call(ENGINE, "save", image).malformed(error.to_string());
            Ok(Reply { value: read.value.map_err(unread)?, request_id: read.request_id, attempts: read.attempts })
        };
        self.once("scan", image, wanted, |_| true, ask)
    }

    /// What `ask` comes to, or came to in an earlier gate that asked the same of the same image. What does not last is not remembered: an
    /// accident is no property of an image.
    pub(super) fn once<T: Serialize + DeserializeOwned>(
        &self,
        operation: &str,
        image: &str,
        question: impl Serialize,
        lasts: impl FnOnce(&T) -> bool,
        ask: impl FnOnce() -> Result<Reply<T>, CallError>,
    ) -> Result<Reply<T>, CallError> {
        let names_its_content = image.starts_with("sha256:");
        match (&self.memory, serde_json::to_string(&(operation, image, question))) {
            (Some(memory), Ok(question)) if names_its_content => memory.once(question, lasts, ask),
            _ => ask(),
        }
    }

    /// Reads a whole image (`docker save`) as a stream: `read` gets it, and what it gives comes back.
    ///
    /// # Errors
    /// When the engine does not have the image. What breaks on the way, `read` meets as an error of its reader.
    pub fn save<R>(&self, reference: &str, read: impl FnOnce(&mut dyn Read) -> R) -> Result<Reply<R>, CallError> {
        let call = self.link.call(ENGINE, "save", reference).lasting(TRANSFER_LIMIT);
        // The stream says too late that there is no such image.
        finish(&call, self.docker.inspect_image(reference))?;
        let Some(handle) = self.link.handle() else {
            return Err(call.error(CallErrorKind::Refused, "the engine is closed"));
        };
        // The engine may stop in the middle and say nothing more.
        let until = std::time::Instant::now() + TRANSFER_LIMIT;
        let parts = self.docker.export_image(reference).map_err(std::io::Error::other).boxed();
        let stream = futures::stream::unfold(parts, move |mut parts| async move {
            match tokio::time::timeout_at(until.into(), parts.next()).await {
                Ok(part) => part.map(|part| (part, parts)),
                Err(_) => {
                    let why = format!("not read to its end within {} s", TRANSFER_LIMIT.as_secs());
                    Some((Err(std::io::Error::new(std::io::ErrorKind::TimedOut, why)), parts))
                }
            }
        })
        .boxed();
        let mut reader = SyncIoBridge::new_with_handle(StreamReader::new(stream), handle);
        Ok(call.reply(read(&mut reader)))
    }

    /// Gives an image one more reference.
    ///
    /// # Errors
    /// `NotFound` when the engine does not have it.
    pub fn tag(&self, image: &str, repository: &str, tag: &str) -> Result<Reply<()>, CallError> {
        let call = self.link.call(ENGINE, "tag", format!("{repository}:{tag}"));
        let options = TagImageOptionsBuilder::default().repo(repository).tag(tag).build();
        finish(&call, self.docker.tag_image(image, Some(options)))?;
        Ok(call.reply(()))
    }

    /// Takes a reference away again, and with the last one the image.
    ///
    /// # Errors
    /// `NotFound` when the engine does not have it.
    pub fn untag(&self, reference: &str) -> Result<Reply<()>, CallError> {
        let call = self.link.call(ENGINE, "rmi", reference);
        let options = RemoveImageOptionsBuilder::default().force(false).noprune(true).build();
        finish(&call, self.docker.remove_image(reference, Some(options), None))?;
        Ok(call.reply(()))
    }

    /// Takes away what was built here, and says what could not be: a rehearsal leaves nothing in an engine.
    pub fn tidy(&self) -> Vec<CallError> {
        let made = self.made();
        self.take_away(&made)
    }

    /// What was built here: names that nobody else has, and the last steps of builds that failed.
    #[must_use]
    pub fn made(&self) -> Vec<String> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes away what a rehearsal has built, and says what could not be. An image that has another name too keeps it.
    pub fn take_away(&self, made: &[String]) -> Vec<CallError> {
        let mut left = Vec::new();
        for name in made {
            let options = RemoveImageOptionsBuilder::default().force(false).noprune(false).build();
            // The steps of a build that failed may be those of another one.
            let may_be_in_use = !name.starts_with(OWN_NAME);
            let until = std::time::Instant::now() + IN_USE_LIMIT;
            let removed = loop {
                let call = self.link.call(ENGINE, "rmi", name.as_str());
                match finish(&call, self.docker.remove_image(name, Some(options.clone()), None)) {
                    Err(error) if in_use(&error) && !may_be_in_use && std::time::Instant::now() < until => {
                        std::thread::sleep(ASK_AGAIN);
                    }
                    answer => break answer,
                }
            };
            match removed {
                Ok(_) => {}
                Err(error) if error.kind == CallErrorKind::NotFound => {}
                Err(error) if in_use(&error) && may_be_in_use => {}
                Err(error) => left.push(error),
            }
        }
        left
    }

    /// Pushes an image.
    ///
    /// # Errors
    /// By their kind: `Unreachable`, `TimedOut` and `Server` may go away by themselves, the others not.
    pub fn push(
        &self,
        repository: &str,
        tag: &str,
        credentials: Option<&Credentials>,
    ) -> Result<Reply<Pushed>, CallError> {
        let reference = format!("{repository}:{tag}");
        let call = self.link.call(ENGINE, "push", reference.as_str()).lasting(TRANSFER_LIMIT);
        let credentials = credentials.map(|c| DockerCredentials {
            username: Some(c.user.clone()),
            password: Some(c.password.clone()),
            ..Default::default()
        });
        let options = PushImageOptionsBuilder::default().tag(tag).build();
        let pushed = self.docker.push_image(repository, Some(options), credentials).try_for_each(|_| async { Ok(()) });
        finish(&call, pushed)?;
        Ok(call.reply(Pushed { reference, attempts: 1 }))
    }
}

/// Whether the engine keeps an image because somebody has it in use.
fn in_use(error: &CallError) -> bool {
    error.kind == CallErrorKind::Conflict
}

/// The image of the last step that a build came to: ` ---> 0123456789ab` in its log.
fn last_step(log: &str) -> Option<String> {
    let is_id = |word: &&str| word.len() == 12 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let mut steps = log.lines().filter_map(|line| line.strip_prefix(" ---> "));
    steps.rfind(is_id).map(str::to_owned)
}

/// Waits for an answer, and gives its error a name.
pub(super) fn finish<T>(call: &Call<'_>, answer: impl Future<Output = Result<T, Error>>) -> Result<T, CallError> {
    call.sent();
    call.within_limit(answer)?.map_err(|error| named(call, error))
}

/// An engine's error, by its kind.
pub(super) fn named(call: &Call<'_>, error: Error) -> CallError {
    let kind = match &error {
        Error::DockerResponseServerError { status_code, message } => match status_code {
            404 => CallErrorKind::NotFound,
            401 | 403 => CallErrorKind::Denied,
            409 => CallErrorKind::Conflict,
            500..=599 => said(message).unwrap_or(CallErrorKind::Server),
            _ => CallErrorKind::Refused,
        },
        Error::DockerStreamError { error } => said(error).unwrap_or(CallErrorKind::Refused),
        Error::RequestTimeoutError => CallErrorKind::TimedOut,
        Error::JsonDataError { .. } | Error::JsonSerdeError { .. } => CallErrorKind::Malformed,
        Error::UnsupportedURISchemeError { .. } => CallErrorKind::Refused,
        _ => CallErrorKind::Unreachable,
    };
    call.error(kind, crate::substrate::classify::with_causes(&error))
}

/// What an engine only says in words when it speaks with a registry.
fn said(message: &str) -> Option<CallErrorKind> {
    let message = message.to_ascii_lowercase();
    let any = |words: &[&str]| words.iter().any(|word| message.contains(word));
    if any(&["denied", "unauthorized", "no basic auth", "authentication required", "forbidden"]) {
        Some(CallErrorKind::Denied)
    } else if any(&["tag invalid", "immutable"]) {
        Some(CallErrorKind::Conflict)
    } else if any(&["timeout", "deadline exceeded"]) {
        Some(CallErrorKind::TimedOut)
    } else if any(&["connection refused", "connection reset", "eof", "broken pipe", "no such host", "unreachable"]) {
        Some(CallErrorKind::Unreachable)
    } else if any(&["received unexpected http status: 5", "internal server error", "service unavailable"]) {
        Some(CallErrorKind::Server)
    } else {
        None
    }
}

/// The engine's address, for messages.
fn host() -> String {
    std::env::var("DOCKER_HOST").unwrap_or_else(|_| "unix:///var/run/docker.sock".to_owned())
}

fn pair(entry: &str) -> (String, String) {
    let (name, value) = entry.split_once('=').unwrap_or((entry, ""));
    (name.to_owned(), value.to_owned())
}

/// The last `most` characters.
pub(super) fn end_of(text: &str, most: usize) -> String {
    let count = text.chars().count();
    text.chars().skip(count.saturating_sub(most)).collect()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("denied: requested access to the resource is denied", Some(CallErrorKind::Denied))]
    #[case(
        "tag invalid: The image tag 'git-1' already exists and cannot be overwritten because the repository is immutable.",
        Some(CallErrorKind::Conflict)
    )]
    #[case(
        "Get \"http://127.0.0.1:1/v2/\": dial tcp 127.0.0.1:1: connect: connection refused",
        Some(CallErrorKind::Unreachable)
    )]
    #[case("received unexpected HTTP status: 503 Service Unavailable", Some(CallErrorKind::Server))]
    #[case("net/http: TLS handshake timeout", Some(CallErrorKind::TimedOut))]
    #[case("An image does not exist locally with the tag: x", None)]
    fn what_an_engine_says_has_a_kind(#[case] message: &str, #[case] kind: Option<CallErrorKind>) {
        assert_eq!(said(message), kind);
    }

    #[test]
    fn credentials_are_shown_nowhere() {
        let shown = format!("{:?}", Credentials { user: "AWS".to_owned(), password: "word".to_owned() });
        assert!(shown.contains("AWS") && !shown.contains("word"), "{shown}");
    }
}
