//! A registry and an emulator, each in a container of its own, by testcontainers; `image_registries` of the package above asks them.
//!
//! It needs Docker, `docker-registry`, a base image with Python that PHASEGATE_BASE_IMAGE names (`.ci/base-image NAME` makes one), and
//! MiniStack's packages in the virtual environment that PHASEGATE_MINISTACK names (`.ci/emulators install ministack DIR` makes
//! `DIR/ministack`). So it runs only when it is named: `cargo test --package phasegate-containers`.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test")]

use std::path::{Path, PathBuf};
use std::process::Command;

use testcontainers::core::{AccessMode, ContainerPort, Mount, WaitFor};
use testcontainers::runners::SyncRunner;
use testcontainers::{Container, GenericImage, ImageExt};

const ACCOUNT: &str = "230372904534";
const REGISTRY_PORT: u16 = 5000;
const MINISTACK_PORT: u16 = 5002;
const CONFIGURATION: &str = "version: 0.1
log: {level: info, formatter: json}
storage: {filesystem: {rootdirectory: /data}}
http: {addr: ':5000'}
";

fn base() -> (String, String) {
    let base = std::env::var("PHASEGATE_BASE_IMAGE").unwrap_or_else(|_| {
        panic!("PHASEGATE_BASE_IMAGE names no image; `.ci/base-image phasegate-base:bookworm` makes one")
    });
    let (name, tag) = base.rsplit_once(':').unwrap_or((&base, "latest"));
    (name.to_owned(), tag.to_owned())
}

fn bound(from: &Path, to: &str) -> Mount {
    Mount::bind_mount(from.to_str().unwrap(), to).with_access_mode(AccessMode::ReadOnly)
}

/// Debian's registry, as this machine has it, in the base image.
fn registry(folder: &Path) -> Container<GenericImage> {
    let program = Path::new("/usr/bin/docker-registry");
    assert!(program.is_file(), "{} is not here: apt-get install docker-registry", program.display());
    let configuration = folder.join("config.yml");
    std::fs::write(&configuration, CONFIGURATION).unwrap();
    let (name, tag) = base();
    GenericImage::new(name, tag)
        .with_exposed_port(ContainerPort::Tcp(REGISTRY_PORT))
        .with_wait_for(WaitFor::message_on_stderr("listening on"))
        .with_entrypoint("/docker-registry")
        .with_cmd(["serve", "/config.yml"])
        .with_mount(bound(program, "/docker-registry"))
        .with_mount(bound(&configuration, "/config.yml"))
        .with_mount(Mount::tmpfs_mount("/data"))
        .start()
        .unwrap()
}

/// MiniStack out of its virtual environment, in the base image.
fn ministack() -> Container<GenericImage> {
    let environment = std::env::var_os("PHASEGATE_MINISTACK").map(PathBuf::from).unwrap_or_else(|| {
        panic!("PHASEGATE_MINISTACK names no virtual environment; `.ci/emulators install ministack DIR` makes DIR/ministack")
    });
    let packages = environment.join("lib/python3.11/site-packages");
    assert!(packages.join("ministack").is_dir(), "{} holds no MiniStack", packages.display());
    let (name, tag) = base();
    GenericImage::new(name, tag)
        .with_exposed_port(ContainerPort::Tcp(MINISTACK_PORT))
        .with_wait_for(WaitFor::message_on_either_std("Running on"))
        .with_entrypoint("python")
        .with_cmd(["-m", "ministack"])
        .with_env_var("GATEWAY_PORT", MINISTACK_PORT.to_string())
        .with_env_var("MINISTACK_ACCOUNT_ID", ACCOUNT)
        .with_env_var("MINISTACK_REGION", "eu-west-2")
        .with_env_var("PYTHONPATH", "/packages")
        .with_mount(bound(&packages, "/packages"))
        .start()
        .unwrap()
}

fn at(container: &Container<GenericImage>, port: u16) -> String {
    format!("http://127.0.0.1:{}", container.get_host_port_ipv4(port).unwrap())
}

/// Runs the test `name` against servers at these addresses.
fn asked(name: &str, addresses: &[(&str, &str)]) {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let said = Command::new(cargo)
        .args(["test", "--locked", "--test", "image_registries", "--", "--exact", name])
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."))
        .env("AWS_ACCESS_KEY_ID", ACCOUNT)
        .env("AWS_SECRET_ACCESS_KEY", "loopback")
        .envs(addresses.iter().copied())
        .output()
        .unwrap();
    let [out, err] = [said.stdout, said.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    assert!(said.status.success() && out.contains("1 passed"), "{out}{err}");
}

#[test]
fn a_registry_in_a_container_gives_back_what_was_pushed() {
    let folder = tempfile::tempdir().unwrap();
    let container = registry(folder.path());
    asked("a_registry_gives_back_what_was_pushed", &[("PHASEGATE_REGISTRY", &at(&container, REGISTRY_PORT))]);
}

#[test]
fn an_emulator_in_a_container_agrees_with_its_own_registry() {
    let container = ministack();
    let url = at(&container, MINISTACK_PORT);
    asked("a_registry_and_ecr_agree_on_the_digest", &[("PHASEGATE_REGISTRY", &url), ("AWS_ENDPOINT_URL", &url)]);
}
