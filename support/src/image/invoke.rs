//! Commands in an image: many invocations in few containers, and none of them sees another.
//!
//! A container costs more to start than a command in it. So a [`Room`] is one container for several invocations, each of which has a
//! user id, a folder in memory and limits of its own. Nothing else in the room can be written: the image's files are read-only, there
//! is no shared memory, no network but loopback, no capability, and no variable beyond the image's own and those that an invocation is
//! given. Who may listen on loopback gets a room to itself; so does every invocation of an image with volumes, which all could write.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use bollard::container::LogOutput;
use bollard::errors::Error;
use bollard::exec::StartExecResults;
use bollard::models::{ContainerCreateBody, ExecConfig, HostConfig, Mount, MountType, ResourcesUlimits};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, ListContainersOptionsBuilder, RemoveContainerOptionsBuilder, StartContainerOptions,
    UploadToContainerOptionsBuilder,
};
use bollard::{Docker, body_full};
use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use serde::{Deserialize, Serialize};

use super::engine::{Engine, SERVICE, named};
use crate::substrate::reply::{CallError, CallErrorKind, Reply};

/// The first user id of a room; the image's own users are below.
const FIRST_USER: usize = 20_000;

/// Where the folders of the invocations are.
const FOLDERS: &str = "/phasegate/rows";

/// Where the files lie that all invocations may read.
const FILES: &str = "/phasegate/bundle";

/// The label of every container that is made here.
const LABEL: &str = "phasegate";

/// The label that tells the containers of one call from those of others.
const OF_CALL: &str = "phasegate.call";

/// How often the engine is asked whether a command whose output ended has ended too.
const ASK_AGAIN: Duration = Duration::from_millis(20);

/// The time that starting or ending a room may take.
const ROOM_LIMIT: Duration = Duration::from_secs(60);

/// A command in an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invocation {
    /// What it is called in the answer.
    pub name: String,
    /// The command and its arguments.
    pub argv: Vec<String>,
    /// Variables beyond the image's own, each as `NAME=value`.
    pub env: Vec<String>,
    /// It may listen on loopback, and gets a container to itself.
    pub listens: bool,
}

/// What an invocation may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Wall time of one invocation, in seconds.
    pub seconds: u64,
    /// Memory of one invocation, in bytes.
    pub memory: i64,
    /// Processes and threads of one invocation.
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

/// What the invocations find.
#[derive(Debug, Clone)]
pub struct Room<'a> {
    /// The image, by reference or id.
    pub image: &'a str,
    /// A command of the image that waits until it is killed.
    pub idle: Vec<String>,
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
        let rounds = u32::try_from(invocations.len() + 1).unwrap_or(u32::MAX);
        let most = ROOM_LIMIT.saturating_add(Duration::from_secs(limits.seconds)).saturating_mul(rounds);
        let call = self.link.call(SERVICE, "run", room.image).lasting(most);
        call.sent();
        let of_call = uuid::Uuid::new_v4().to_string();
        let docker = &self.docker;
        let answer = call.within_limit(async {
            let rooms = into_rooms(invocations, has_volumes(docker, room.image).await?);
            let done: Vec<_> = futures::stream::iter(rooms)
                .map(|numbers| in_room(docker, room, invocations, numbers, limits, &of_call))
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
                let clearing = self.link.call(SERVICE, "rm", room.image).lasting(ROOM_LIMIT);
                let cleared = clearing.within_limit(clear(docker, &of_call)).map_err(|error| error.to_string());
                return Err(match cleared.and_then(|cleared| cleared.map_err(|error| error.to_string())) {
                    Ok(()) => error,
                    Err(why) => {
                        let message = format!(
                            "{}; and what it left stays ({why}): `docker rm` what bears the label {OF_CALL}={of_call}",
                            error.message
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

/// Whether the image has volumes: folders that everyone in a container may write, read-only as the rest is.
async fn has_volumes(docker: &Docker, image: &str) -> Result<bool, Error> {
    let config = docker.inspect_image(image).await?.config.unwrap_or_default();
    Ok(config.volumes.is_some_and(|volumes| !volumes.is_empty()))
}

/// Removes the containers of one call.
async fn clear(docker: &Docker, of_call: &str) -> Result<(), Error> {
    let label = HashMap::from([("label".to_owned(), vec![format!("{OF_CALL}={of_call}")])]);
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

/// What one round in one container came to.
struct Round {
    done: Vec<(usize, Invoked)>,
    /// Its container was ended before these were.
    left: Vec<usize>,
}

/// Runs the invocations of one room: in a new container after each that had to be killed.
async fn in_room(
    docker: &Docker,
    room: &Room<'_>,
    invocations: &[Invocation],
    mut numbers: Vec<usize>,
    limits: &Limits,
    of_call: &str,
) -> Result<Vec<(usize, Invoked)>, Error> {
    let mut all = Vec::new();
    while !numbers.is_empty() {
        let container = docker
            .create_container(
                Some(CreateContainerOptionsBuilder::default().build()),
                body(room, &numbers, limits, of_call),
            )
            .await?
            .id;
        let round = round(docker, &container, room, invocations, &numbers, limits).await;
        let removed = remove(docker, &container).await;
        let round = round?;
        removed?;
        all.extend(round.done);
        numbers = round.left;
    }
    Ok(all)
}

async fn round(
    docker: &Docker,
    container: &str,
    room: &Room<'_>,
    invocations: &[Invocation],
    numbers: &[usize],
    limits: &Limits,
) -> Result<Round, Error> {
    let to = UploadToContainerOptionsBuilder::default().path(FILES).build();
    docker.upload_to_container(container, Some(to), body_full(Bytes::copy_from_slice(room.files))).await?;
    if let Err(error) = docker.start_container(container, None::<StartContainerOptions>).await {
        let Error::DockerResponseServerError { message, .. } = error else { return Err(error) };
        let why = format!("no container of the image can be started: {message}");
        let none = |at: usize| invocations.get(at).map(|i| (at, not_started(i, &why)));
        return Ok(Round { done: numbers.iter().filter_map(|at| none(*at)).collect(), left: Vec::new() });
    }
    let mut waiting: VecDeque<usize> = numbers.iter().copied().collect();
    let mut running = FuturesUnordered::new();
    let mut done = Vec::new();
    let mut under_way: Vec<usize> = Vec::new();
    loop {
        while running.len() < limits.at_once.max(1)
            && let Some(at) = waiting.pop_front()
        {
            let Some(invocation) = invocations.get(at) else { continue };
            under_way.push(at);
            running.push(async move { (at, one(docker, container, invocation, at, limits).await) });
        }
        let Some((at, invoked)) = running.next().await else { break };
        let invoked = invoked?;
        under_way.retain(|other| *other != at);
        let killed = matches!(invoked.ended, Ended::TimedOut { .. });
        done.push((at, invoked));
        if killed {
            // The engine ends single commands with their container only; the others begin anew in the next.
            return Ok(Round { done, left: under_way.into_iter().chain(waiting).collect() });
        }
    }
    Ok(Round { done, left: Vec::new() })
}

async fn one(
    docker: &Docker,
    container: &str,
    invocation: &Invocation,
    at: usize,
    limits: &Limits,
) -> Result<Invoked, Error> {
    let folder = format!("{FOLDERS}/{at}");
    let own = [format!("HOME={folder}"), format!("TMPDIR={folder}")];
    let config = ExecConfig {
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        cmd: Some(invocation.argv.clone()),
        env: Some(own.into_iter().chain(invocation.env.iter().cloned()).collect()),
        user: Some(format!("{0}:{0}", FIRST_USER + at)),
        ..Default::default()
    };
    let exec = docker.create_exec(container, config).await?.id;
    let mut kept = Kept { stdout: Vec::new(), stderr: Vec::new(), cut: false, most: limits.output };
    let reading = async {
        let StartExecResults::Attached { mut output, .. } = docker.start_exec(&exec, None).await? else {
            return Ok(not_begun("the engine gave no output of it"));
        };
        while let Some(part) = output.next().await {
            kept.take(&part?);
        }
        end_of(docker, &exec).await
    };
    let ended = match tokio::time::timeout(Duration::from_secs(limits.seconds), reading).await {
        Err(_) => Ended::TimedOut { seconds: limits.seconds },
        Ok(Err(Error::DockerResponseServerError { message, .. })) => Ended::NotStarted { why: message },
        Ok(ended) => ended?,
    };
    Ok(Invoked {
        name: invocation.name.clone(),
        argv: invocation.argv.clone(),
        ended,
        stdout: String::from_utf8_lossy(&kept.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&kept.stderr).into_owned(),
        cut: kept.cut,
    })
}

/// How a command ended whose output did: it may have closed that and go on. Until it has ended its code says nothing.
async fn end_of(docker: &Docker, exec: &str) -> Result<Ended, Error> {
    loop {
        let state = docker.inspect_exec(exec).await?;
        if state.running != Some(true) {
            return Ok(ended_with(state.running, state.exit_code));
        }
        tokio::time::sleep(ASK_AGAIN).await;
    }
}

/// What the engine says of a command's end. A code counts only of one that runs no more.
fn ended_with(running: Option<bool>, code: Option<i64>) -> Ended {
    match (running, code) {
        (Some(false), Some(code)) => Ended::Exited { code },
        (Some(false), None) => not_begun("the engine knows no exit code of it"),
        _ => not_begun("the engine does not say that it has ended"),
    }
}

fn not_begun(why: &str) -> Ended {
    Ended::NotStarted { why: why.to_owned() }
}

/// The output of one invocation.
struct Kept {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    cut: bool,
    most: usize,
}

impl Kept {
    fn take(&mut self, part: &LogOutput) {
        let (to, bytes) = match part {
            LogOutput::StdErr { message } => (&mut self.stderr, message),
            LogOutput::StdOut { message } | LogOutput::Console { message } | LogOutput::StdIn { message } => {
                (&mut self.stdout, message)
            }
        };
        let room = self.most.saturating_sub(to.len());
        self.cut |= bytes.len() > room;
        to.extend(bytes.iter().take(room));
    }
}

fn not_started(invocation: &Invocation, why: &str) -> Invoked {
    Invoked {
        name: invocation.name.clone(),
        argv: invocation.argv.clone(),
        ended: Ended::NotStarted { why: why.to_owned() },
        stdout: String::new(),
        stderr: String::new(),
        cut: false,
    }
}

/// A container for these invocations.
fn body(room: &Room<'_>, numbers: &[usize], limits: &Limits, of_call: &str) -> ContainerCreateBody {
    let folder = |at: &usize| {
        let user = FIRST_USER + at;
        (format!("{FOLDERS}/{at}"), format!("rw,nosuid,nodev,size=64m,mode=0700,uid={user},gid={user}"))
    };
    let limit =
        |name: &str, value: i64| ResourcesUlimits { name: Some(name.to_owned()), soft: Some(value), hard: Some(value) };
    let seconds = i64::try_from(limits.seconds).unwrap_or(i64::MAX);
    let at_once = i64::try_from(limits.at_once.max(1).min(numbers.len())).unwrap_or(1);
    let host = HostConfig {
        network_mode: Some("none".to_owned()),
        ipc_mode: Some("none".to_owned()),
        readonly_rootfs: Some(true),
        cap_drop: Some(vec!["ALL".to_owned()]),
        security_opt: Some(vec!["no-new-privileges".to_owned()]),
        tmpfs: Some(numbers.iter().map(folder).collect::<HashMap<_, _>>()),
        mounts: Some(vec![Mount {
            target: Some(FILES.to_owned()),
            typ: Some(MountType::VOLUME),
            ..Default::default()
        }]),
        // What one process may have is its own; the sum is what the engine can hold the container to.
        ulimits: Some(vec![
            limit("data", limits.memory),
            limit("cpu", seconds),
            limit("nproc", limits.processes),
            limit("core", 0),
        ]),
        memory: Some(limits.memory.saturating_mul(at_once + 1)),
        memory_swap: Some(limits.memory.saturating_mul(at_once + 1)),
        pids_limit: Some(limits.processes.saturating_mul(at_once + 1)),
        ..Default::default()
    };
    ContainerCreateBody {
        image: Some(room.image.to_owned()),
        entrypoint: Some(Vec::new()),
        cmd: Some(room.idle.clone()),
        user: Some("65534:65534".to_owned()),
        network_disabled: Some(true),
        labels: Some(HashMap::from([
            (LABEL.to_owned(), "invocations".to_owned()),
            (OF_CALL.to_owned(), of_call.to_owned()),
        ])),
        host_config: Some(host),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn invocation(name: &str, listens: bool) -> Invocation {
        Invocation { name: name.to_owned(), argv: vec!["python".to_owned()], env: Vec::new(), listens }
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

    #[test]
    fn a_code_counts_only_of_what_runs_no_more() {
        assert_eq!(ended_with(Some(false), Some(0)), Ended::Exited { code: 0 });
        for (running, code) in [(Some(true), Some(0)), (None, Some(0)), (Some(false), None), (None, None)] {
            let ended = ended_with(running, code);
            assert!(matches!(ended, Ended::NotStarted { .. }), "{running:?} {code:?}: {ended:?}");
        }
    }

    #[test]
    fn output_beyond_the_limit_is_cut_and_says_so() {
        let mut kept = Kept { stdout: Vec::new(), stderr: Vec::new(), cut: false, most: 4 };
        kept.take(&LogOutput::StdOut { message: Bytes::from_static(b"abcd") });
        assert!(!kept.cut);
        kept.take(&LogOutput::StdErr { message: Bytes::from_static(b"12345") });
        assert!(kept.cut);
        assert_eq!((kept.stdout.as_slice(), kept.stderr.as_slice()), (&b"abcd"[..], &b"1234"[..]));
    }
}
