//! The seeder, and worlds that are kept.

#![expect(clippy::unwrap_used, reason = "the helpers of a test may fail it")]

use std::fs;
use std::path::Path;

use phasegate_support::substrate::embedded::{self, EmbeddedWorld};
use phasegate_support::substrate::reply::CallErrorKind;
use phasegate_support::substrate::seed::{self, SeedError, World};
use phasegate_support::substrate::{Options, Substrate, SubstrateKind, Versioning};
use rstest::rstest;

const WORLD: &str = r#"
account = "230372904534"
region = "eu-west-2"
instant = "2026-02-10T12:00:00Z"

[[bucket]]
name = "evidence"
versioning = "enabled"

[[bucket]]
name = "plain"
public_access_blocked = false
encryption = "aws:kms"

[[object]]
bucket = "evidence"
key = "runs/x/P(-1)/provenance.json"
json = { image_tag = "git-1" }

[[object]]
bucket = "evidence"
key = "runs/x/raw"
file = "raw.bin"
versions = 2

[[object]]
bucket = "plain"
key = "note"
text = "words"

[[delete_marker]]
bucket = "evidence"
key = "runs/gone"

[[ecr_repository]]
name = "platform"
immutable = true

[[ecr_image]]
repository = "platform"
tag = "git-1"
manifest_file = "manifest.json"

[[role]]
name = "runtime"

[[parameter]]
name = "/platform/key"
type = "SecureString"
value = "open-sesame"

[[state_machine]]
name = "platform"

[[terraform_state]]
bucket = "plain"
key = "core/terraform.tfstate"
outputs = { bucket_name = "evidence", count = 2 }
"#;

fn folder(text: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("world.toml"), text).unwrap();
    fs::write(dir.path().join("raw.bin"), [0_u8, 255, 10]).unwrap();
    fs::write(dir.path().join("manifest.json"), r#"{"schemaVersion":2}"#).unwrap();
    dir
}

fn embedded(dir: Option<&Path>) -> Substrate {
    let mut options = Options::new(SubstrateKind::Embedded, "eu-west-2");
    options.world_dir = dir.map(Path::to_owned);
    Substrate::open(&options).unwrap()
}

fn check_world(substrate: &Substrate) {
    let s3 = substrate.s3();
    assert_eq!(substrate.identity().unwrap().value.account, "230372904534");
    assert_eq!(s3.bucket_versioning("evidence").unwrap().value, Versioning::Enabled);
    let got = s3.get_object("evidence", "runs/x/P(-1)/provenance.json", None).unwrap().value;
    assert_eq!(got.bytes, br#"{"image_tag":"git-1"}"#);
    let versions = s3.list_versions("evidence", "runs/").unwrap().value;
    let raw = versions.entries.iter().filter(|entry| entry.key == "runs/x/raw").count();
    let gone: Vec<_> = versions.entries.iter().filter(|entry| entry.key == "runs/gone").collect();
    assert_eq!((versions.complete, raw, gone.len()), (true, 2, 1));
    assert!(gone[0].delete_marker && gone[0].latest);
    let state = s3.get_object("plain", "core/terraform.tfstate", None).unwrap().value;
    let state: serde_json::Value = serde_json::from_slice(&state.bytes).unwrap();
    assert_eq!(state["outputs"]["bucket_name"]["value"], "evidence");
    assert_eq!(state["outputs"]["count"]["type"], "number");
    let image = substrate.ecr().describe_image("platform", "git-1").unwrap().value;
    assert!(image.digest.starts_with("sha256:"));
}

#[test]
fn a_world_is_made_once_and_kept() {
    let literals = folder(WORLD);
    let world = World::read(literals.path()).unwrap();
    let kept = tempfile::tempdir().unwrap();
    let first = seed::apply(&embedded(Some(kept.path())), &world).unwrap();
    assert_eq!(first.kept, 0);
    // Another substrate stands for another process.
    let again = embedded(Some(kept.path()));
    check_world(&again);
    let second = seed::apply(&again, &world).unwrap();
    assert_eq!((second.made, second.kept), (0, first.made));
    check_world(&again);
}

#[test]
fn two_worlds_in_memory_are_two_worlds() {
    let literals = folder(WORLD);
    let world = World::read(literals.path()).unwrap();
    let (one, other) = (embedded(None), embedded(None));
    seed::apply(&one, &world).unwrap();
    check_world(&one);
    let error = other.s3().head_bucket("evidence").unwrap_err();
    assert_eq!(error.kind, CallErrorKind::NotFound);
    let error = other.identity().unwrap_err();
    assert_eq!(error.kind, CallErrorKind::Denied, "an unseeded world is nobody's: {error}");
}

#[test]
fn two_seedings_give_the_same_versions_and_times() {
    let literals = folder(WORLD);
    let world = World::read(literals.path()).unwrap();
    let made = || {
        let substrate = embedded(None);
        seed::apply(&substrate, &world).unwrap();
        let s3 = substrate.s3();
        (s3.list_versions("evidence", "").unwrap().value, s3.list_objects("evidence", "", None).unwrap().value)
    };
    let first = made();
    assert_eq!(first, made());
    let written = first.1.entries[0].last_modified.clone().unwrap();
    assert!(written.starts_with("2026-02-10T12:00:"), "{written}");
}

#[test]
fn what_differs_is_told_and_not_replaced() {
    let literals = folder(WORLD);
    let substrate = embedded(None);
    seed::apply(&substrate, &World::read(literals.path()).unwrap()).unwrap();
    let changed = folder(&WORLD.replace("text = \"words\"", "text = \"other words\""));
    let error = seed::apply(&substrate, &World::read(changed.path()).unwrap()).unwrap_err();
    assert!(matches!(error, SeedError::Differs { .. }), "{error}");
    let there = substrate.s3().get_object("plain", "note", None).unwrap().value;
    assert_eq!(there.bytes, b"words");
}

#[test]
fn another_account_or_region_is_refused() {
    let literals = folder(WORLD);
    let world = World::read(literals.path()).unwrap();
    let foreign = EmbeddedWorld::in_memory();
    foreign.claim("999999999999", 0).unwrap();
    let mut options = Options::new(SubstrateKind::Embedded, "eu-west-2");
    options.http = Some(embedded::connector(&foreign));
    let error = seed::apply(&Substrate::open(&options).unwrap(), &world).unwrap_err();
    assert!(matches!(error, SeedError::Account { .. }), "{error}");
    let elsewhere = Options::new(SubstrateKind::Embedded, "us-east-1");
    let error = seed::apply(&Substrate::open(&elsewhere).unwrap(), &world).unwrap_err();
    assert!(matches!(error, SeedError::Region { .. }), "{error}");
}

#[rstest]
#[case(SubstrateKind::Aws, None)]
#[case(SubstrateKind::Endpoint, Some("https://s3.eu-west-2.amazonaws.com"))]
#[case(SubstrateKind::Endpoint, Some("http://127.0.0.1.example.org"))]
fn only_loopback_and_embedded_worlds_are_seeded(#[case] kind: SubstrateKind, #[case] endpoint: Option<&str>) {
    let literals = folder(WORLD);
    let world = World::read(literals.path()).unwrap();
    // The refusal comes before any request: this connector would answer.
    let behind = EmbeddedWorld::in_memory();
    let mut options = Options::new(kind, "eu-west-2");
    options.endpoint = endpoint.map(str::to_owned);
    options.http = Some(embedded::connector(&behind));
    let substrate = Substrate::open(&options).unwrap();
    let error = seed::apply(&substrate, &world).unwrap_err();
    assert!(matches!(error, SeedError::NotALoopback { .. }), "{error}");
    assert_eq!(substrate.calls_made(), 0);
}

#[rstest]
#[case::unknown_field("region = ", "colour = \"red\"\nregion = ")]
#[case::short_account("230372904534", "12")]
#[case::no_instant("2026-02-10T12:00:00Z", "yesterday")]
#[case::unknown_bucket("bucket = \"plain\"\nkey = \"note\"", "bucket = \"none\"\nkey = \"note\"")]
#[case::unknown_repository("repository = \"platform\"", "repository = \"none\"")]
#[case::two_contents("text = \"words\"", "text = \"words\"\njson = 1")]
#[case::a_file_outside("file = \"raw.bin\"", "file = \"../raw.bin\"")]
#[case::no_version("versions = 2", "versions = 0")]
#[case::unknown_versioning("versioning = \"enabled\"", "versioning = \"on\"")]
#[case::a_missing_file("file = \"raw.bin\"", "file = \"none.bin\"")]
fn a_world_of_another_form_is_refused(#[case] right: &str, #[case] wrong: &str) {
    assert!(WORLD.contains(right));
    let literals = folder(&WORLD.replacen(right, wrong, 1));
    let error = World::read(literals.path()).unwrap_err();
    assert!(matches!(error, SeedError::Form { .. } | SeedError::Read { .. }), "{error}");
}

#[test]
fn a_directory_that_holds_something_else_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("world.json"), "[]").unwrap();
    let mut options = Options::new(SubstrateKind::Embedded, "eu-west-2");
    options.world_dir = Some(dir.path().to_owned());
    assert!(Substrate::open(&options).is_err());
}
