//! The container engine and the registry, for real: it needs Docker, `docker-registry`, and a base image with Python that
//! PHASEGATE_BASE_IMAGE names (`.ci/base-image NAME` makes one). So it runs only when it is named.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test")]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use phasegate_support::image::{Build, Ended, Images, Invocation, Invoked, Limits, RegistryPlace, Room};
use phasegate_support::substrate::reply::CallErrorKind;

const DOCKERFILE: &str = "ARG BASE_IMAGE\nFROM ${BASE_IMAGE}\nENV COLOUR=green\nLABEL team=platform\nCOPY hello.txt /hello.txt\nUSER 10001:10001\n";

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
        self.images.engine().untag(&self.reference).unwrap();
    }
}

fn made(name: &str) -> Made {
    let images = Images::open(RegistryPlace::Own).unwrap();
    let reference = format!("phasegate-test/{name}:1");
    let build = Build {
        context: tar(&[("Dockerfile", DOCKERFILE), ("hello.txt", "hello\n")]),
        dockerfile: "Dockerfile".to_owned(),
        reference: reference.clone(),
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
        .map(|script| Invocation { name: (*script).to_owned(), argv: python(script), listens: false })
        .collect();
    let files = tar(&[("profile.json", "{}")]);
    let room = Room { image: &made.id, idle: python("import signal; signal.pause()"), files: &files };
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

/// Nothing that one does can reach another, or the world.
#[test]
fn invocations_share_nothing_that_can_be_written() {
    let made = made("apart");
    let writes = |path: &str| format!("open('{path}', 'w').write('x')");
    let refused = [
        writes("/tmp/x"),
        writes("/hello.txt"),
        writes("/dev/shm/x"),
        writes("/phasegate/bundle/profile.json"),
        writes("/phasegate/rows/0/x"),
        "import os; os.listdir('/phasegate/rows/0')".to_owned(),
        "import os; os.kill(1, 9)".to_owned(),
        "import os; os.setuid(0)".to_owned(),
        "import socket; socket.create_connection(('127.0.0.1', 1), 2)".to_owned(),
        "import socket; socket.create_connection(('192.0.2.1', 80), 2)".to_owned(),
    ];
    let mut scripts = vec!["import os; open(os.environ['TMPDIR'] + '/own', 'w').write('x')".to_owned()];
    scripts.extend(refused);
    let scripts: Vec<&str> = scripts.iter().map(String::as_str).collect();
    let done = run(&made, &scripts, &Limits::default());
    assert_eq!(code(&done[0]), 0, "{:?}", done[0]);
    for invoked in &done[1..] {
        assert_eq!(code(invoked), 1, "{}: {}", invoked.name, invoked.stderr);
    }
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
    let invocations = [Invocation { name: "x".to_owned(), argv: vec!["no-such-program".to_owned()], listens: false }];
    let room = Room { image: &made.id, idle: vec!["no-such-program".to_owned()], files: &tar(&[]) };
    let done = made.images.engine().invoke(&room, &invocations, &Limits::default()).unwrap().value;
    assert!(matches!(&done[0].ended, Ended::NotStarted { why } if why.contains("no-such-program")), "{done:?}");
}
