//! Commands in an image: many invocations in few containers, and none of them sees another.
//!
//! A container costs more to start than a command in it, and even a command that the engine itself starts in a container costs more than
//! the command. So a [`Room`] is one container for several invocations, and its first process, `room.py`, starts them: each as a user of
//! its own, with a folder in memory and limits of its own. No other file in the room can be written: the image's are read-only, and there
//! is no shared memory, no network but loopback, and no variable beyond the image's own and those that an invocation is given. The
//! first process may become those users and end what they run, and has no other capability; they have none. Who may listen on loopback
//! gets a room to itself; so does every invocation of an image with volumes, which all could write. What is left between the others are
//! names of the kernel that no image's entrypoint should need: semaphores and sockets without a file.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use bollard::container::{AttachContainerResults, LogOutput};
use bollard::errors::Error;
use bollard::models::{
    ContainerCreateBody, HealthConfig, HostConfig, HostConfigLogConfig, Mount, MountType, ResourcesUlimits,
};
use bollard::query_parameters::{
    AttachContainerOptionsBuilder, CreateContainerOptionsBuilder, InspectContainerOptions,
    ListContainersOptionsBuilder, RemoveContainerOptionsBuilder, StartContainerOptions,
    UploadToContainerOptionsBuilder,
};
use bollard::{Docker, body_full};
use bytes::Bytes;
use futures::StreamExt as _;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncWriteExt as _;

use super::ENGINE;
use super::engine::{Engine, named};
use crate::substrate::reply::{CallError, CallErrorKind, Reply};

/// Where the user ids of rooms begin; the image's own users are below.
const FIRST_USER: usize = 20_000;

/// How many user ids a call has for itself, and how many calls have some: the engine's host counts the processes of a user over all
/// containers.
const USERS: (usize, usize) = (1_000, 40);

/// Where the folders of the invocations are.
const FOLDERS: &str = "/phasegate/rows";

/// Where the files lie that all invocations may read.
const FILES: &str = "/phasegate/bundle";

/// The label of every container that is made here.
const LABEL: &str = "phasegate";

/// The label that tells the containers of one call from those of others.
const OF_CALL: &str = "phasegate.call";

/// The first process of a room.
const FIRST_PROCESS: &str = include_str!("room.py");

/// What that process may, beyond what everyone may: become the users of the room, and end what they run.
const OF_FIRST_PROCESS: [&str; 3] = ["SETUID", "SETGID", "KILL"];

/// How much is kept of what a room itself has to complain of, in bytes.
const KEPT_OF_ROOM: usize = 4 << 10;

/// The time between the limit of a command and its end.
const ENDING: Duration = Duration::from_secs(5);

/// The time that starting or ending a room may take.
const ROOM_LIMIT: Duration = Duration::from_secs(60);

/// A command in an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invocation {
    /// What it is called in the answer.
    pub name: String,
    /// The command and its arguments.
    pub argv: Vec<String>,
    /// Variables beyond the image's own.
    pub env: BTreeMap<String, String>,
    /// It may listen on loopback, and gets a container to itself.
    pub listens: bool,
}

/// What an invocation may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Wall time of one invocation, in seconds.
    pub seconds: u64,
    /// Memory of each process, in bytes; of all together, so much for each that runs side by side.
    pub memory: i64,
    /// Processes and threads of one invocation's user.
    pub processes: i64,
    /// How much of each output is kept, in bytes.
    pub output: usize,
    /// How many run side by side.
    pub at_once: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { seconds: 30, memory: 512 << 20, processes: 64, output: 64 << 10, at_once: 4 }
    }
}

impl Limits {
    /// The time that a room with so many invocations may take.
    fn of_room(&self, invocations: usize) -> Duration {
        let rounds = u32::try_from(invocations.div_ceil(self.at_once.max(1))).unwrap_or(u32::MAX);
        ROOM_LIMIT.saturating_add(Duration::from_secs(self.seconds).saturating_add(ENDING).saturating_mul(rounds))
    }
}

/// What the invocations find.
#[derive(Debug, Clone)]
pub struct Room<'a> {
    /// The image, by reference or id.
    pub image: &'a str,
    /// The image's Python, 3.9 or later.
    pub python: &'a str,
    /// A tar of the files that lie at `/phasegate/bundle`, read-only for all.
    pub files: &'a [u8],
}

/// How an invocation ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "how", rename_all = "snake_case")]
pub enum Ended {
    /// By itself, with this code.
    Exited {
        /// The code.
        code: i64,
    },
    /// It was killed when its time was up.
    TimedOut {
        /// Its time.
        seconds: u64,
    },
    /// It was never begun.
    NotStarted {
        /// Why.
        why: String,
    },
}

/// What came of an invocation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invoked {
    /// Its name.
    pub name: String,
    /// Its command.
    pub argv: Vec<String>,
    /// How it ended.
    pub ended: Ended,
    /// Its standard output, up to the limit.
    pub stdout: String,
    /// Its standard error, up to the limit.
    pub stderr: String,
    /// There was more output than is kept.
    pub cut: bool,
}

impl Engine {
    /// Runs all invocations in `room`, several side by side, and gives what came of them in their order.
    ///
    /// # Errors
    /// When the engine does not answer. An invocation that fails, hangs, or cannot be begun is an answer.
    pub fn invoke(
        &self,
        room: &Room<'_>,
        invocations: &[Invocation],
        limits: &Limits,
    ) -> Result<Reply<Vec<Invoked>>, CallError> {
        let files = hex::encode(Sha256::digest(room.files));
        let question = (room.python, &files, invocations, limits);
        let by_themselves = |all: &Vec<Invoked>| all.iter().all(|one| matches!(one.ended, Ended::Exited { .. }));
        self.once("run", room.image, question, by_themselves, || self.invoke_now(room, invocations, limits))
    }

    fn invoke_now(
        &self,
        room: &Room<'_>,
        invocations: &[Invocation],
        limits: &Limits,
    ) -> Result<Reply<Vec<Invoked>>, CallError> {
        // Each may need a room of its own.
        let rooms = u32::try_from(invocations.len() + 1).unwrap_or(u32::MAX);
        let most = ROOM_LIMIT.saturating_add(limits.of_room(1)).saturating_mul(rooms);
        let call = self.link.call(ENGINE, "run", room.image).lasting(most);
        call.sent();
        let of_call = OfCall::new();
        let docker = &self.docker;
        let answer = call.within_limit(async {
            let rooms = into_rooms(invocations, has_volumes(docker, room.image).await?);
            let done: Vec<_> = futures::stream::iter(rooms)
                .map(|numbers| in_room(docker, room, invocations, numbers, limits, of_call))
                .buffer_unordered(limits.at_once.max(1))
                .collect()
                .await;
            // Not before each room is cleared: what is dropped on its way leaves its container behind.
            let mut all: BTreeMap<usize, Invoked> = BTreeMap::new();
            for room in done {
                all.extend(room?);
            }
            Ok::<_, Error>(all.into_values().collect::<Vec<_>>())
        });
        let answer = answer.and_then(|answer| answer.map_err(|error| named(&call, error)));
        let invoked = match answer {
            Ok(invoked) => invoked,
            Err(error) => {
                let clearing = self.link.call(ENGINE, "rm", room.image).lasting(ROOM_LIMIT);
                let cleared = clearing.within_limit(clear(docker, of_call)).map_err(|error| error.to_string());
                return Err(match cleared.and_then(|cleared| cleared.map_err(|error| error.to_string())) {
                    Ok(()) => error,
                    Err(why) => {
                        let message = format!(
                            "{}; and what it left stays ({why}): `docker rm` what bears the label {OF_CALL}={}",
                            error.message, of_call.label
                        );
                        CallError { message, ..error }
                    }
                });
            }
        };
        if invoked.len() != invocations.len() {
            return Err(call.error(CallErrorKind::Malformed, "an invocation came to no end"));
        }
        Ok(call.reply(invoked))
    }
}

/// What tells the rooms of one call from those of others.
#[derive(Debug, Clone, Copy)]
struct OfCall {
    label: uuid::Uuid,
}

impl OfCall {
    fn new() -> Self {
        Self { label: uuid::Uuid::new_v4() }
    }

    /// The user of an invocation.
    fn user(self, at: usize) -> usize {
        let (users, calls) = USERS;
        let (_, low) = self.label.as_u64_pair();
        FIRST_USER + users * usize::try_from(low % calls as u64).unwrap_or(0) + at
    }
}

/// Whether the image has volumes: folders that everyone in a container may write, read-only as the rest is.
async fn has_volumes(docker: &Docker, image: &str) -> Result<bool, Error> {
    let config = docker.inspect_image(image).await?.config.unwrap_or_default();
    Ok(config.volumes.is_some_and(|volumes| !volumes.is_empty()))
}

/// Removes the containers of one call.
async fn clear(docker: &Docker, of_call: OfCall) -> Result<(), Error> {
    let label = HashMap::from([("label".to_owned(), vec![format!("{OF_CALL}={}", of_call.label)])]);
    let options = ListContainersOptionsBuilder::default().all(true).filters(&label).build();
    for container in docker.list_containers(Some(options)).await? {
        remove(docker, &container.id.unwrap_or_default()).await?;
    }
    Ok(())
}

/// Ends and removes a container, with its volumes. One that is gone is no error.
async fn remove(docker: &Docker, container: &str) -> Result<(), Error> {
    let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
    match docker.remove_container(container, Some(options)).await {
        Err(Error::DockerResponseServerError { status_code: 404, .. }) => Ok(()),
        other => other,
    }
}

/// Those that may listen have a room each, or all where there are volumes; the others share one.
fn into_rooms(invocations: &[Invocation], volumes: bool) -> Vec<Vec<usize>> {
    let (alone, together): (Vec<usize>, Vec<usize>) =
        (0..invocations.len()).partition(|at| volumes || invocations.get(*at).is_some_and(|i| i.listens));
    std::iter::once(together).chain(alone.into_iter().map(|at| vec![at])).filter(|room| !room.is_empty()).collect()
}

/// Runs the invocations of one room in a container of their own.
async fn in_room(
    docker: &Docker,
    room: &Room<'_>,
    invocations: &[Invocation],
    numbers: Vec<usize>,
    limits: &Limits,
    of_call: OfCall,
) -> Result<Vec<(usize, Invoked)>, Error> {
    let options = CreateContainerOptionsBuilder::default().build();
    let container = docker.create_container(Some(options), body(room, &numbers, limits, of_call)).await?.id;
    let mut said = SaidInRoom::default();
    let talked = talk(docker, &container, room, told(invocations, &numbers, limits, of_call), limits, &mut said).await;
    let removed = remove(docker, &container).await;
    talked?;
    removed?;
    Ok(numbers.iter().filter_map(|at| Some((*at, said.of(*at, invocations.get(*at)?)))).collect())
}

/// What came out of a room.
#[derive(Debug, Default)]
struct SaidInRoom {
    /// Of each invocation, by its number.
    reports: BTreeMap<usize, Report>,
    /// Why there may be no more.
    why: String,
}

/// What a room says of one of its invocations.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Report {
    at: usize,
    ended: Ended,
    #[serde(default)]
    stdout: String,
    #[serde(default)]
    stderr: String,
    #[serde(default)]
    cut: bool,
}

impl SaidInRoom {
    /// Takes what the room said, line by line. A line that its first process never says, or says twice, is somebody else's: then nothing
    /// counts. The last line may have been cut off in the middle.
    fn take(&mut self, stdout: &[u8]) {
        for line in String::from_utf8_lossy(stdout).split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')) {
            match serde_json::from_str::<Report>(line) {
                Ok(report) if !self.reports.contains_key(&report.at) => {
                    self.reports.insert(report.at, report);
                }
                Ok(report) => {
                    self.why = format!("the room speaks twice of command {}", report.at);
                    self.reports.clear();
                    return;
                }
                Err(error) => {
                    self.why = format!("what the room says cannot be read: {error}");
                    self.reports.clear();
                    return;
                }
            }
        }
    }

    fn of(&self, at: usize, invocation: &Invocation) -> Invoked {
        let (ended, stdout, stderr, cut) = match self.reports.get(&at) {
            Some(report) => (report.ended.clone(), report.stdout.clone(), report.stderr.clone(), report.cut),
            None => (Ended::NotStarted { why: self.why.clone() }, String::new(), String::new(), false),
        };
        Invoked { name: invocation.name.clone(), argv: invocation.argv.clone(), ended, stdout, stderr, cut }
    }
}

/// Tells a room what to carry out, and hears what came of it.
async fn talk(
    docker: &Docker,
    container: &str,
    room: &Room<'_>,
    told: Told<'_>,
    limits: &Limits,
    said: &mut SaidInRoom,
) -> Result<(), Error> {
    let to = UploadToContainerOptionsBuilder::default().path(FILES).build();
    docker.upload_to_container(container, Some(to), body_full(Bytes::copy_from_slice(room.files))).await?;
    let attach = AttachContainerOptionsBuilder::default().stream(true).stdin(true).stdout(true).stderr(true).build();
    let AttachContainerResults { mut output, mut input } = docker.attach_container(container, Some(attach)).await?;
    if let Err(error) = docker.start_container(container, None::<StartContainerOptions>).await {
        let Error::DockerResponseServerError { message, .. } = error else { return Err(error) };
        said.why = format!("no container of the image can be started: {message}");
        return Ok(());
    }
    let mut order = serde_json::to_vec(&told)?;
    order.push(b'\n');
    let (mut stdout, mut stderr) = (Vec::new(), Kept::of(KEPT_OF_ROOM));
    let hear = async {
        // A room that has ended already says why by itself.
        let heard = input.write_all(&order).await.and(input.flush().await);
        while let Some(part) = output.next().await {
            match part? {
                LogOutput::StdErr { message } => stderr.take(&message),
                LogOutput::StdOut { message } | LogOutput::Console { message } | LogOutput::StdIn { message } => {
                    stdout.extend_from_slice(&message);
                }
            }
        }
        Ok::<_, Error>(heard)
    };
    said.why = match tokio::time::timeout(limits.of_room(told.commands.len()), hear).await {
        Err(_) => "the room did not come to its end in time".to_owned(),
        Ok(heard) => match heard? {
            Err(error) => format!("the room does not listen: {error}"),
            Ok(()) => format!("the room ended before it, {}", how_it_ended(docker, container).await?),
        },
    };
    if !stderr.bytes.is_empty() {
        said.why = format!("{}: {}", said.why, stderr.text().trim_end());
    }
    said.take(&stdout);
    Ok(())
}

/// How a container ended, for messages.
async fn how_it_ended(docker: &Docker, container: &str) -> Result<String, Error> {
    let state = docker.inspect_container(container, None::<InspectContainerOptions>).await?.state.unwrap_or_default();
    let code = state.exit_code.map_or_else(|| "no code".to_owned(), |code| format!("code {code}"));
    let memory = if state.oom_killed == Some(true) { ", for want of memory" } else { "" };
    Ok(format!("with {code}{memory}"))
}

/// What the first process of a room is told.
#[derive(Debug, Serialize)]
struct Told<'a> {
    seconds: u64,
    output: usize,
    at_once: usize,
    commands: Vec<Command<'a>>,
}

#[derive(Debug, Serialize)]
struct Command<'a> {
    at: usize,
    user: usize,
    argv: &'a [String],
    env: BTreeMap<String, String>,
}

fn told<'a>(invocations: &'a [Invocation], numbers: &[usize], limits: &Limits, of_call: OfCall) -> Told<'a> {
    let command = |at: &usize| {
        let invocation = invocations.get(*at)?;
        let folder = format!("{FOLDERS}/{at}");
        let mut env = BTreeMap::from([("HOME".to_owned(), folder.clone()), ("TMPDIR".to_owned(), folder)]);
        env.extend(invocation.env.clone());
        Some(Command { at: *at, user: of_call.user(*at), argv: &invocation.argv, env })
    };
    Told {
        seconds: limits.seconds,
        output: limits.output,
        at_once: limits.at_once.max(1),
        commands: numbers.iter().filter_map(command).collect(),
    }
}

/// The beginning of an output.
struct Kept {
    bytes: Vec<u8>,
    most: usize,
}

impl Kept {
    fn of(most: usize) -> Self {
        Self { bytes: Vec::new(), most }
    }

    fn take(&mut self, part: &[u8]) {
        let room = self.most.saturating_sub(self.bytes.len());
        self.bytes.extend(part.iter().take(room));
    }

    fn text(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.bytes)
    }
}

/// A container for these invocations.
fn body(room: &Room<'_>, numbers: &[usize], limits: &Limits, of_call: OfCall) -> ContainerCreateBody {
    let folder = |at: &usize| {
        let user = of_call.user(*at);
        (format!("{FOLDERS}/{at}"), format!("rw,nosuid,nodev,size=64m,mode=0700,uid={user},gid={user}"))
    };
    let closed = |folder: &str| (folder.to_owned(), "ro,nosuid,nodev,noexec,size=4k".to_owned());
    let limit =
        |name: &str, value: i64| ResourcesUlimits { name: Some(name.to_owned()), soft: Some(value), hard: Some(value) };
    let at_once = i64::try_from(limits.at_once.max(1).min(numbers.len())).unwrap_or(1);
    let host = HostConfig {
        network_mode: Some("none".to_owned()),
        ipc_mode: Some("none".to_owned()),
        readonly_rootfs: Some(true),
        cap_drop: Some(vec!["ALL".to_owned()]),
        cap_add: Some(OF_FIRST_PROCESS.map(str::to_owned).to_vec()),
        security_opt: Some(vec!["no-new-privileges".to_owned()]),
        tmpfs: Some(numbers.iter().map(folder).chain([closed("/dev/mqueue")]).collect::<HashMap<_, _>>()),
        mounts: Some(vec![Mount {
            target: Some(FILES.to_owned()),
            typ: Some(MountType::VOLUME),
            ..Default::default()
        }]),
        // What one process may have is its own; the sum is what the engine can hold the container to.
        ulimits: Some(vec![limit("data", limits.memory), limit("nproc", limits.processes), limit("core", 0)]),
        memory: Some(limits.memory.saturating_mul(at_once + 1)),
        memory_swap: Some(limits.memory.saturating_mul(at_once + 1)),
        pids_limit: Some(limits.processes.saturating_mul(at_once + 1)),
        // What a room says is read as it comes, and kept nowhere in the engine.
        log_config: Some(HostConfigLogConfig { typ: Some("none".to_owned()), config: None }),
        ..Default::default()
    };
    ContainerCreateBody {
        image: Some(room.image.to_owned()),
        entrypoint: Some(Vec::new()),
        cmd: Some([room.python, "-I", "-S", "-c", FIRST_PROCESS].map(str::to_owned).to_vec()),
        user: Some("0:0".to_owned()),
        attach_stdin: Some(true),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        open_stdin: Some(true),
        stdin_once: Some(true),
        network_disabled: Some(true),
        // The engine would run the image's own as the first process's user.
        healthcheck: Some(HealthConfig { test: Some(vec!["NONE".to_owned()]), ..Default::default() }),
        labels: Some(HashMap::from([
            (LABEL.to_owned(), "invocations".to_owned()),
            (OF_CALL.to_owned(), of_call.label.to_string()),
        ])),
        host_config: Some(host),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn invocation(name: &str, listens: bool) -> Invocation {
        Invocation { name: name.to_owned(), argv: vec!["python".to_owned()], env: BTreeMap::new(), listens }
    }

    #[test]
    fn who_may_listen_is_alone() {
        let all = [invocation("a", false), invocation("b", true), invocation("c", false), invocation("d", true)];
        assert_eq!(into_rooms(&all, false), [vec![0, 2], vec![1], vec![3]]);
        assert_eq!(into_rooms(&all[1..2], false), [vec![0]]);
    }

    #[test]
    fn where_there_are_volumes_everyone_is_alone() {
        let all = [invocation("a", false), invocation("b", true), invocation("c", false)];
        assert_eq!(into_rooms(&all, true), [vec![0], vec![1], vec![2]]);
    }

    /// What a room says of commands 0 and 1.
    fn said(stdout: &str) -> Vec<Ended> {
        let mut said = SaidInRoom { why: "it ended".to_owned(), ..SaidInRoom::default() };
        said.take(stdout.as_bytes());
        (0..2).map(|at| said.of(at, &invocation("a", false)).ended).collect()
    }

    #[rstest::rstest]
    #[case("", ["it ended", "it ended"])]
    #[case("{\"at\":1,\"ended\":{\"how\":\"exited\",\"code\":0}}\n", ["it ended", "0"])]
    #[case("x\n{\"at\":1,\"ended\":{\"how\":\"exited\",\"code\":0}}\n", ["cannot be read", "cannot be read"])]
    #[case("{\"at\":1,\"ended\":{\"how\":\"exited\",\"code\":0}}\nx\n", ["cannot be read", "cannot be read"])]
    #[case("{\"at\":0,\"ended\":{\"how\":\"exited\"}}\n", ["missing field `code`", "missing field `code`"])]
    // Only the room's first process can speak here; if something else does, nothing counts.
    #[case(
        "{\"at\":0,\"ended\":{\"how\":\"exited\",\"code\":1}}\n{\"at\":0,\"ended\":{\"how\":\"exited\",\"code\":0}}\n",
        ["twice", "twice"]
    )]
    fn a_command_of_which_a_room_says_nothing_has_no_code(#[case] stdout: &str, #[case] wanted: [&str; 2]) {
        for (ended, wanted) in said(stdout).iter().zip(wanted) {
            match ended {
                Ended::Exited { code } => assert_eq!(code.to_string(), wanted),
                other => assert!(matches!(other, Ended::NotStarted { why } if why.contains(wanted)), "{other:?}"),
            }
        }
    }
}
