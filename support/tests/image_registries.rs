//! A registry that runs somewhere on this machine: what is pushed to it, it and ECR's API give back under one digest.
//!
//! It needs Docker and the registry that PHASEGATE_REGISTRY names, and for ECR the server that AWS_ENDPOINT_URL names, with credentials of
//! account 230372904534. So it runs only when it is named: `cargo test --package phasegate-containers` starts both and runs it.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test")]

use std::collections::BTreeMap;
use std::path::Path;

use phasegate_support::image::{Build, Images, RegistryAddress, RegistryPlace};
use phasegate_support::substrate::reply::CallErrorKind;
use phasegate_support::substrate::seed::{self, World};
use phasegate_support::substrate::{Options, Substrate, SubstrateKind};

fn given(name: &str) -> String {
    std::env::var(name)
        .unwrap_or_else(|_| panic!("{name} is not set; `cargo test --package phasegate-containers` sets it"))
}

/// Builds an image of one file, pushes it to the registry at `url` under `repository:git-1`, and gives the digest and the image's id.
fn pushed(url: &str, repository: &str) -> (String, String) {
    let images = Images::open(RegistryPlace::At(RegistryAddress::parse(url).unwrap())).unwrap();
    let dockerfile = "FROM scratch\nCOPY Dockerfile /Dockerfile\n";
    let mut context = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(dockerfile.len() as u64);
    header.set_mode(0o644);
    context.append_data(&mut header, "Dockerfile", dockerfile.as_bytes()).unwrap();
    let reference = format!("phasegate-test/{}:1", repository.replace('/', "-"));
    let build = Build {
        context: context.into_inner().unwrap(),
        dockerfile: "Dockerfile".to_owned(),
        reference: reference.clone(),
        named: true,
        args: BTreeMap::new(),
    };
    let built = images.engine().build(build).unwrap().value;
    let id = built.image_id.unwrap_or_else(|| panic!("{}", built.log));
    let registry = images.registry_of("-").unwrap();
    let before = registry.manifest(repository, "git-1", None).unwrap_err();
    assert_eq!(before.kind, CallErrorKind::NotFound, "{before}");
    let name = format!("{}/{repository}", registry.host());
    images.engine().tag(&reference, &name, "git-1").unwrap();
    images.engine().push(&name, "git-1", None).unwrap();
    images.engine().untag(&format!("{name}:git-1")).unwrap();
    images.engine().untag(&reference).unwrap();
    assert_eq!(images.engine().tidy(), []);
    let manifest = registry.manifest(repository, "git-1", None).unwrap().value;
    assert_eq!(manifest.config_digest, id);
    (manifest.digest, id)
}

#[test]
fn a_registry_gives_back_what_was_pushed() {
    let (digest, id) = pushed(&given("PHASEGATE_REGISTRY"), "platform");
    assert!(digest.starts_with("sha256:") && digest != id, "{digest}");
}

#[test]
fn a_registry_and_ecr_agree_on_the_digest() {
    let world = World::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/world/dev_min-m1")).unwrap();
    let mut options = Options::new(SubstrateKind::Endpoint, world.region());
    options.endpoint = Some(given("AWS_ENDPOINT_URL"));
    let substrate = Substrate::open(&options).unwrap();
    seed::apply(&substrate, &world).unwrap();
    let repository = "fraud-platform-dev-min";
    let none = substrate.ecr().describe_image(repository, "git-1").unwrap_err();
    assert_eq!(none.kind, CallErrorKind::NotFound, "{none}");
    let (digest, _) = pushed(&given("PHASEGATE_REGISTRY"), repository);
    assert_eq!(substrate.ecr().describe_image(repository, "git-1").unwrap().value.digest, digest);
}
