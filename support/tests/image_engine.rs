//! The container engine and the registry, for real: it needs Docker, `docker-registry`, and a base image with Python that
//! PHASEGATE_BASE_IMAGE names (`.ci/base-image NAME` makes one). So it runs only when it is named.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test")]

use std::collections::BTreeMap;
use std::process::Command;
use std::time::{Duration, Instant};

use phasegate_support::image::{Build, Ended, Images, Invocation, Invoked, Limits, RegistryPlace, Room};
use phasegate_support::substrate::reply::CallErrorKind;

/// An image with layers of its own: what a test takes away, no other test builds upon.
fn dockerfile(name: &str) -> String {
    format!(
        "ARG BASE_IMAGE\nFROM ${{BASE_IMAGE}}\nLABEL test={name}\nENV COLOUR=green\nLABEL team=platform\n\
         COPY hello.txt /hello.txt\nUSER 10001:10001\n"
    )
}

fn base() -> String {
    std::env::var("PHASEGATE_BASE_IMAGE").unwrap_or_else(|_| {
        panic!("PHASEGATE_BASE_IMAGE names no image; `.ci/base-image phasegate-base:bookworm` makes one")
    })
}

fn tar(files: &[(&str, &str)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, text) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        builder.append_data(&mut header, name, text.as_bytes()).unwrap();
    }
    builder.into_inner().unwrap()
}

/// An image that goes again with the test.
struct Made {
    images: Images,
    reference: String,
    id: String,
}

impl Drop for Made {
    fn drop(&mut self) {
        let untagged = self.images.engine().untag(&self.reference).map(drop).or_else(|error| match error.kind {
            CallErrorKind::NotFound => Ok(()),
            _ => Err(error),
        });
        let left = self.images.engine().tidy();
        // A second panic would end all tests at once.
        if !std::thread::panicking() {
            assert_eq!((untagged, left), (Ok(()), Vec::new()));
        }
    }
}

fn made(name: &str) -> Made {
    made_by(name, "")
}

/// The same, with more instructions.
fn made_by(name: &str, more: &str) -> Made {
    let dockerfile = dockerfile(name) + more;
    let images = Images::open(RegistryPlace::Own).unwrap();
    let reference = format!("phasegate-test/{name}:1");
    let build = Build {
        context: tar(&[("Dockerfile", &dockerfile), ("hello.txt", "hello\n")]),
        dockerfile: "Dockerfile".to_owned(),
        reference: reference.clone(),
        named: true,
        args: BTreeMap::from([("BASE_IMAGE".to_owned(), base())]),
    };
    let built = images.engine().build(build).unwrap().value;
    assert_eq!(built.error, None, "{}", built.log);
    let id = built.image_id.unwrap();
    Made { images, reference, id }
}

fn run(made: &Made, scripts: &[&str], limits: &Limits) -> Vec<Invoked> {
    let python = |script: &str| ["python", "-c", script].map(str::to_owned).to_vec();
    let invocations: Vec<Invocation> = scripts
        .iter()
        .map(|script| Invocation {
            name: (*script).to_owned(),
            argv: python(script),
            env: BTreeMap::new(),
            listens: false,
        })
        .collect();
    let files = tar(&[("profile.json", "{}")]);
    let room = Room { image: &made.id, python: "python", files: &files };
    made.images.engine().invoke(&room, &invocations, limits).unwrap().value
}

fn code(invoked: &Invoked) -> i64 {
    match invoked.ended {
        Ended::Exited { code } => code,
        ref other => panic!("{other:?}: {}{}", invoked.stdout, invoked.stderr),
    }
}

#[test]
fn an_image_says_what_it_was_made_of() {
    let made = made("facts");
    let facts = made.images.engine().inspect(&made.reference).unwrap().value;
    assert_eq!(facts.id, made.id);
    assert_eq!(facts.env.get("COLOUR").map(String::as_str), Some("green"));
    assert_eq!(facts.labels.get("team").map(String::as_str), Some("platform"));
    assert_eq!(facts.user, "10001:10001");
    let history = made.images.engine().history(&made.reference).unwrap().value;
    assert!(history.iter().any(|step| step.created_by.contains("COLOUR=green")), "{history:?}");
    let missing = made.images.engine().inspect("phasegate-test/none:1").unwrap_err();
    assert_eq!(missing.kind, CallErrorKind::NotFound, "{missing}");
}

#[test]
fn a_build_that_fails_is_an_answer() {
    let images = Images::open(RegistryPlace::Own).unwrap();
    let build = |dockerfile: &str| Build {
        context: tar(&[("Dockerfile", dockerfile)]),
        dockerfile: "Dockerfile".to_owned(),
        reference: "phasegate-test/fails:1".to_owned(),
        named: true,
        args: BTreeMap::new(),
    };
    for (dockerfile, says) in
        [("FROM scratch\nCOPY nothing.txt /\n", "nothing.txt"), ("FROM scratch\nNONSENSE\n", "NONSENSE"), ("", "empty")]
    {
        let built = images.engine().build(build(dockerfile)).unwrap().value;
        let error = built.error.unwrap_or_default();
        assert!(
            built.image_id.is_none() && error.to_lowercase().contains(&says.to_lowercase()),
            "{dockerfile}: {error}"
        );
    }
}

#[test]
fn the_registry_has_what_was_pushed_and_its_digest_is_that_of_its_bytes() {
    let made = made("pushed");
    let registry = made.images.registry_of("-").unwrap();
    let absent = registry.manifest("platform", "git-1", None).unwrap_err();
    assert_eq!(absent.kind, CallErrorKind::NotFound, "{absent}");
    let name = format!("{}/platform", registry.host());
    made.images.engine().tag(&made.reference, &name, "git-1").unwrap();
    made.images.engine().push(&name, "git-1", None).unwrap();
    made.images.engine().untag(&format!("{name}:git-1")).unwrap();
    let manifest = registry.manifest("platform", "git-1", None).unwrap().value;
    assert_eq!(manifest.config_digest, made.id);
    assert_eq!(manifest.layers.len(), made.images.engine().inspect(&made.id).unwrap().value.layers.len());
    let again = registry.manifest("platform", &manifest.digest, None);
    assert!(again.is_err() || again.unwrap().value.digest == manifest.digest);
}

#[test]
fn a_registry_that_takes_nothing_refuses_the_push() {
    let made = made("refused");
    let closed = Images::open(RegistryPlace::OwnReadOnly).unwrap();
    let registry = closed.registry_of("-").unwrap();
    let name = format!("{}/platform", registry.host());
    closed.engine().tag(&made.reference, &name, "git-1").unwrap();
    let refused = closed.engine().push(&name, "git-1", None);
    closed.engine().untag(&format!("{name}:git-1")).unwrap();
    refused.unwrap_err();
    assert_eq!(registry.manifest("platform", "git-1", None).unwrap_err().kind, CallErrorKind::NotFound);
}

#[test]
fn an_image_is_read_as_a_stream() {
    let made = made("saved");
    let read = made.images.engine().save(&made.id, |stream| {
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).map(|_| bytes)
    });
    let bytes = read.unwrap().value.unwrap();
    let mut archive = tar::Archive::new(bytes.as_slice());
    let names: Vec<String> =
        archive.entries().unwrap().map(|e| e.unwrap().path().unwrap().to_string_lossy().into_owned()).collect();
    assert!(names.iter().any(|name| name == "manifest.json"), "{names:?}");
    let none = made.images.engine().save("phasegate-test/none:1", |_| ()).unwrap_err();
    assert_eq!(none.kind, CallErrorKind::NotFound);
}

#[test]
fn invocations_come_back_in_their_order_with_what_they_said() {
    let made = made("order");
    let done = run(
        &made,
        &[
            "print(open('/hello.txt').read(), end='')",
            "import sys; print('no', file=sys.stderr); sys.exit(3)",
            "print(open('/phasegate/bundle/profile.json').read())",
            "import os; print(os.environ['COLOUR'], os.environ['HOME'])",
        ],
        &Limits::default(),
    );
    assert_eq!(done.iter().map(code).collect::<Vec<_>>(), [0, 3, 0, 0], "{done:?}");
    assert_eq!(done[0].stdout, "hello\n");
    assert_eq!(done[1].stderr, "no\n");
    assert_eq!(done[3].stdout, "green /phasegate/rows/3\n");
}

/// Whether a container of the image runs.
fn runs(image: &str) -> bool {
    let of_image = format!("ancestor={image}");
    let words = ["ps", "--quiet", "--no-trunc", "--filter", &of_image, "--filter", "status=running"];
    let said = Command::new("docker").args(words).output().unwrap();
    assert!(said.status.success(), "{said:?}");
    !said.stdout.is_empty()
}

/// Another build of the engine may stand on the same layers: what is in use goes when its user has ended.
#[test]
fn what_is_in_use_for_a_while_goes_all_the_same() {
    let made = made("used");
    let user = std::thread::spawn({
        let image = made.id.clone();
        move || {
            let images = Images::open(RegistryPlace::Own).unwrap();
            let room = Room { image: &image, python: "python", files: &tar(&[]) };
            let waits = Invocation {
                name: "waits".to_owned(),
                argv: ["python", "-c", "import time; time.sleep(4)"].map(str::to_owned).to_vec(),
                env: BTreeMap::new(),
                listens: false,
            };
            images.engine().invoke(&room, &[waits], &Limits::default()).unwrap().value
        }
    });
    let until = Instant::now() + Duration::from_secs(60);
    while !runs(&made.id) {
        assert!(Instant::now() < until && !user.is_finished(), "no container of the image came up");
        std::thread::sleep(Duration::from_millis(50));
    }
    made.images.engine().untag(&made.reference).unwrap();
    assert_eq!(made.images.engine().tidy(), []);
    assert!(user.join().unwrap().iter().all(|invoked| code(invoked) == 0));
    let gone = made.images.engine().inspect(&made.id).unwrap_err();
    assert_eq!(gone.kind, CallErrorKind::NotFound, "{gone}");
}

/// Nothing that one does can reach another, or the world.
#[test]
fn invocations_share_nothing_that_can_be_written() {
    let made = made("apart");
    let writes = |path: &str| format!("open('{path}', 'w').write('x')");
    let others = "import os, time\nothers = []\nuntil = time.monotonic() + 20\n\
        while not others and time.monotonic() < until:\n    \
        others = [int(p) for p in os.listdir('/proc') if p.isdigit() and int(p) not in (1, os.getpid())]\n\
        assert others, 'nobody else is there'\nos.kill(others[0], 9)";
    let refused = [
        (writes("/tmp/x"), "Read-only file system"),
        (writes("/hello.txt"), "Read-only file system"),
        (writes("/dev/shm/x"), "No such file or directory"),
        (writes("/dev/mqueue/x"), "Read-only file system"),
        (writes("/phasegate/bundle/profile.json"), "Permission denied"),
        (writes("/phasegate/rows/0/x"), "Permission denied"),
        ("import os; os.listdir('/phasegate/rows/0')".to_owned(), "Permission denied"),
        ("import os; os.kill(1, 9)".to_owned(), "Operation not permitted"),
        (others.to_owned(), "Operation not permitted"),
        ("import os; os.kill(-1, 9); raise SystemExit('alone')".to_owned(), "alone"),
        ("import os; os.setuid(0)".to_owned(), "Operation not permitted"),
        ("import os; os.setgid(0)".to_owned(), "Operation not permitted"),
        ("import os; os.setgroups([0])".to_owned(), "Operation not permitted"),
        (writes("/proc/1/fd/1"), "Permission denied"),
        ("open('/proc/1/environ').read(1)".to_owned(), "Permission denied"),
        ("import socket; socket.create_connection(('127.0.0.1', 1), 2)".to_owned(), "Connection refused"),
        ("import socket; socket.create_connection(('192.0.2.1', 80), 2)".to_owned(), "Network is unreachable"),
        ("raise SystemExit(open('/proc/self/status').read())".to_owned(), "CapEff:\t0000000000000000"),
        ("import os; raise SystemExit(str(os.getgroups()))".to_owned(), "[]"),
    ];
    let own = "import os, time; open(os.environ['TMPDIR'] + '/own', 'w').write('x'); time.sleep(8)";
    let scripts: Vec<&str> = std::iter::once(own).chain(refused.iter().map(|(script, _)| script.as_str())).collect();
    let done = run(&made, &scripts, &Limits::default());
    assert_eq!(code(&done[0]), 0, "{:?}", done[0]);
    for (invoked, (_, says)) in done[1..].iter().zip(&refused) {
        assert_eq!(code(invoked), 1, "{}: {}", invoked.name, invoked.stderr);
        assert!(invoked.stderr.contains(says), "{}: {}", invoked.name, invoked.stderr);
    }
}

/// The engine runs an image's health check as the room's first user: it is switched off.
#[test]
fn an_image_s_health_check_does_not_run_in_a_room() {
    let made = made_by("healthcheck", "HEALTHCHECK --interval=1s CMD echo forged > /proc/1/fd/1\n");
    let done = run(&made, &["import time; time.sleep(4)"], &Limits::default());
    assert_eq!(code(&done[0]), 0, "{done:?}");
}

/// What multiplies faster than it can be counted is ended all the same, and only its own command is late.
#[test]
fn a_command_that_multiplies_is_ended() {
    let made = made("multiplies");
    let limits = Limits { seconds: 5, ..Limits::default() };
    let multiplies = "import os\nwhile True:\n    try:\n        if os.fork():\n            os._exit(0)\n    except OSError:\n        pass";
    let lasts = "import os, time\nif os.fork() == 0:\n    while True:\n        if os.fork():\n            os._exit(0)\ntime.sleep(60)";
    let begun = Instant::now();
    let done = run(&made, &[multiplies, lasts, "print('done')"], &limits);
    assert_eq!(code(&done[0]), 0, "{done:?}");
    assert_eq!(done[1].ended, Ended::TimedOut { seconds: 5 }, "{done:?}");
    assert_eq!(code(&done[2]), 0, "{done:?}");
    assert!(begun.elapsed() < Duration::from_secs(45), "{:?}", begun.elapsed());
}

#[test]
fn what_takes_too_much_is_ended_and_the_others_go_on() {
    let made = made("limits");
    let limits = Limits { seconds: 4, memory: 128 << 20, processes: 16, output: 1000, at_once: 4 };
    let begun = Instant::now();
    let done = run(
        &made,
        &[
            "import time; time.sleep(60)",
            "x = bytearray(400 << 20)",
            "import os, time\nfor _ in range(64):\n    os.fork() or time.sleep(30)",
            "print('y' * 5000)",
            "print('done')",
        ],
        &limits,
    );
    assert_eq!(done[0].ended, Ended::TimedOut { seconds: 4 });
    assert_ne!(code(&done[1]), 0, "{:?}", done[1]);
    assert!(!matches!(done[2].ended, Ended::Exited { code: 0 }), "{:?}", done[2]);
    assert!(done[3].cut && done[3].stdout.len() == 1000);
    assert_eq!((code(&done[4]), done[4].stdout.as_str()), (0, "done\n"));
    assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
}

#[test]
fn an_image_without_the_program_starts_nothing_and_says_so() {
    let made = made("program");
    let invocations = [Invocation {
        name: "x".to_owned(),
        argv: vec!["no-such-program".to_owned()],
        env: BTreeMap::new(),
        listens: false,
    }];
    let room = Room { image: &made.id, python: "python", files: &tar(&[]) };
    let done = made.images.engine().invoke(&room, &invocations, &Limits::default()).unwrap().value;
    assert!(matches!(&done[0].ended, Ended::NotStarted { why } if why.contains("no-such-program")), "{done:?}");
    let room = Room { image: &made.id, python: "no-such-program", files: &tar(&[]) };
    let done = made.images.engine().invoke(&room, &invocations, &Limits::default()).unwrap().value;
    assert!(matches!(&done[0].ended, Ended::NotStarted { why } if why.contains("no-such-program")), "{done:?}");
}

#[test]
fn an_invocation_has_the_variables_that_it_is_given_and_no_other() {
    let made = made("variables");
    // As the kernel has it: Python adds variables for itself.
    let print = "print('\\n'.join(sorted(open('/proc/self/environ').read().split('\\0'))))";
    let argv = ["python", "-c", print].map(str::to_owned).to_vec();
    let with = |env: &[(&str, &str)]| Invocation {
        name: "x".to_owned(),
        argv: argv.clone(),
        env: env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        listens: false,
    };
    let room = Room { image: &made.id, python: "python", files: &tar(&[]) };
    let invocations = [with(&[("DB_USER", "made-up")]), with(&[("DB_USER", "")]), with(&[])];
    let done = made.images.engine().invoke(&room, &invocations, &Limits::default()).unwrap().value;
    for (at, (invoked, user)) in done.iter().zip([Some("made-up"), Some(""), None]).enumerate() {
        let mut said: Vec<(&str, &str)> = invoked.stdout.lines().filter_map(|line| line.split_once('=')).collect();
        said.retain(|(name, _)| !["HOSTNAME", "PATH"].contains(name));
        let folder = format!("/phasegate/rows/{at}");
        let own = [("COLOUR", "green"), ("HOME", folder.as_str()), ("TMPDIR", folder.as_str())];
        let mut wanted: Vec<(&str, &str)> = own.into_iter().chain(user.map(|user| ("DB_USER", user))).collect();
        wanted.sort_unstable();
        assert_eq!(said, wanted);
    }
}

/// A command that closes its output and goes on has not ended.
#[test]
fn a_command_that_only_closes_its_output_has_no_code() {
    let made = made("closed");
    let limits = Limits { seconds: 4, ..Limits::default() };
    let done =
        run(&made, &["import os, time\nos.close(1); os.close(2); time.sleep(60)", "import sys; sys.exit(5)"], &limits);
    assert_eq!(done[0].ended, Ended::TimedOut { seconds: 4 });
    assert_eq!(code(&done[1]), 5);
}

/// What a command leaves behind goes with it, and neither keeps it from ending nor the others.
#[test]
fn what_a_command_leaves_behind_is_ended() {
    let made = made("behind");
    let begun = Instant::now();
    let leaves =
        "import os, time\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n        time.sleep(600)";
    let done = run(&made, &[leaves, "import os; os.kill(os.getpid(), 9)", "print('done')"], &Limits::default());
    assert_eq!(done.iter().map(code).collect::<Vec<_>>(), [0, 137, 0], "{done:?}");
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
}

/// The folders of volumes may be written, so nobody shares them.
#[test]
fn invocations_of_an_image_with_volumes_are_apart() {
    let made = made_by("volumes", "USER 0\nRUN mkdir -m 1777 /kept\nVOLUME /kept\n");
    let write = "import os; assert not os.listdir('/kept'); open('/kept/x', 'w').write('x')";
    let done = run(&made, &[write, write, write], &Limits::default());
    assert_eq!(done.iter().map(code).collect::<Vec<_>>(), [0, 0, 0], "{done:?}");
}

/// Files that are no archive break each room; none stays.
#[test]
fn an_error_leaves_no_container() {
    let made = made("cleared");
    let argv = ["python", "-c", "print()"].map(str::to_owned).to_vec();
    let invocation =
        |name: &str| Invocation { name: name.to_owned(), argv: argv.clone(), env: BTreeMap::new(), listens: true };
    let room = Room { image: &made.id, python: "python", files: b"no archive" };
    let invocations = [invocation("a"), invocation("b"), invocation("c")];
    made.images.engine().invoke(&room, &invocations, &Limits::default()).unwrap_err();
    let left = Command::new("docker").args(["ps", "-aq", "--filter", &format!("ancestor={}", made.id)]).output();
    let left = left.unwrap();
    assert!(left.status.success() && left.stdout.is_empty(), "{left:?}");
}
