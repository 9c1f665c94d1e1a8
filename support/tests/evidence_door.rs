//! The one door: what it writes when all goes well, and what it refuses before anything leaves.

#[path = "evidence_fake/mod.rs"]
mod fake;

use fake::{FakeStore, KEY, PutFault, door, files, run_json, to};
use phasegate_support::evidence::digest::sha256_hex;
use phasegate_support::evidence::{
    Artifact, Destination, Door, Limits, METADATA_PUBLISH, METADATA_WRITER, PublishError, PublishStep,
};
use phasegate_support::substrate::reply::CallErrorKind;
use rstest::rstest;
use serde_json::{Value, json};

#[test]
fn a_publication_is_written_put_read_back_and_receipted() {
    let folder = tempfile::tempdir().unwrap();
    let store = FakeStore::default();
    let receipt = door(folder.path()).publish(&run_json(), &to(&store, KEY)).unwrap();

    let bytes = br#"{"a":"x","b":[2,1],"platform_run_id":"platform_20260213T214223Z"}"#.to_vec();
    assert_eq!(std::fs::read(folder.path().join("run.json")).unwrap(), bytes);
    assert_eq!(store.bytes(KEY).unwrap(), bytes);
    assert_eq!(receipt.local_path, folder.path().join("run.json"));
    assert_eq!((receipt.bytes, &receipt.sha256_local), (bytes.len() as u64, &sha256_hex(&bytes)));
    let durable = receipt.durable.clone().unwrap();
    assert_eq!(durable.sha256_read_back, receipt.sha256_local);
    assert_eq!(durable.uri, format!("s3://bucket/{KEY}"));
    let server = durable.server.unwrap();
    assert_eq!((server.version_id.as_deref(), server.attempts, server.recovered_lost_reply), (Some("v1"), 1, false));
    assert_eq!(server.request_id.as_deref(), Some("R-ok"));

    let json = serde_json::to_value(receipt.reproducible()).unwrap();
    let expected = json!({ "name": "run.json", "bytes": bytes.len(), "sha256_local": sha256_hex(&bytes),
        "durable": { "bucket": "bucket", "key": KEY, "uri": format!("s3://bucket/{KEY}"), "sha256_read_back": sha256_hex(&bytes) } });
    assert_eq!(json, expected, "neither the machine's path nor what the server chose is in it");
}

#[test]
fn the_writer_is_in_the_metadata_and_in_no_artifact() {
    let folder = tempfile::tempdir().unwrap();
    let store = FakeStore::default();
    door(folder.path()).publish(&run_json(), &to(&store, KEY)).unwrap();
    let object = store.objects.borrow()[KEY][0].clone();
    assert_eq!(object.metadata[METADATA_WRITER], "writer-1");
    assert!(object.metadata.contains_key(METADATA_PUBLISH));
    assert!(!String::from_utf8(object.bytes).unwrap().contains("writer-1"));
}

#[test]
fn a_local_publication_has_no_durable_part() {
    let folder = tempfile::tempdir().unwrap();
    let artifact = Artifact::new("m3b/deep/run.json", json!({}), &[]);
    let receipt = door(folder.path()).publish(&artifact, &Destination::LocalOnly).unwrap();
    assert_eq!(receipt.durable, None);
    assert_eq!(files(folder.path()), ["m3b/deep/run.json"]);
}

fn secret() -> String {
    ["AK", "IA", "K7DQX2ZBR9MTF4WS"].concat()
}

#[rstest]
#[case::value(json!({ "platform_run_id": "x", "b": [{ "note": secret() }] }), "$.b[0].note")]
#[case::key(json!({ "platform_run_id": "x", "b": { secret(): 1 } }), "$.b[key 1]")]
#[case::password(json!({ "platform_run_id": "x", "b": 1, "db": { "password": "hunter22" } }), "$.db.password")]
fn a_secret_stops_the_artifact_before_it_is_written(#[case] body: Value, #[case] at: &str) {
    let folder = tempfile::tempdir().unwrap();
    let store = FakeStore::default();
    let artifact = Artifact::new("run.json", body, &["platform_run_id", "b"]);
    let error = door(folder.path()).publish(&artifact, &to(&store, KEY)).unwrap_err();
    let PublishError::Secret { hits, .. } = &error else { panic!("{error}") };
    assert_eq!(hits[0].at, at);
    assert_eq!((files(folder.path()), store.puts.get()), (vec![], 0));
    let shown = format!("{error} {error:?}");
    assert!(!shown.contains(&secret()) && !shown.contains("hunter22"), "{shown}");
}

#[rstest]
#[case::name(true)]
#[case::key(false)]
fn a_secret_in_a_name_or_a_key_stops_it_too(#[case] in_name: bool) {
    let folder = tempfile::tempdir().unwrap();
    let store = FakeStore::default();
    let (name, key) = if in_name { (secret(), KEY.to_owned()) } else { ("a".to_owned(), format!("runs/{}", secret())) };
    let error = door(folder.path()).publish(&Artifact::new(name, json!({}), &[]), &to(&store, &key)).unwrap_err();
    assert_eq!(error.step(), PublishStep::Secret);
    assert!(!format!("{error} {error:?}").contains(&secret()));
    assert_eq!((files(folder.path()), store.puts.get()), (vec![], 0));
}

#[test]
fn a_raw_copy_is_scanned_and_kept_byte_for_byte() {
    let folder = tempfile::tempdir().unwrap();
    let store = FakeStore::default();
    let door = door(folder.path());
    let plan = b"# Plan\r\n* password=<DB_PASSWORD>\n\xff".to_vec();
    let receipt = door.publish_bytes("plan.md", &plan, &to(&store, "c/plan.md")).unwrap();
    assert_eq!(store.bytes("c/plan.md").unwrap(), plan);
    assert_eq!(receipt.sha256_local, sha256_hex(&plan));
    let leak = format!("* key {}\n", secret());
    let error = door.publish_bytes("registry.md", leak.as_bytes(), &to(&store, "c/registry.md")).unwrap_err();
    assert!(matches!(&error, PublishError::Secret { hits, .. } if hits[0].at == "1:7"), "{error}");
    assert_eq!(files(folder.path()), ["plan.md"]);
}

#[rstest]
#[case("missing", "is missing")]
#[case("null", "is null")]
#[case("empty", "is empty")]
#[case("blank", "is empty")]
#[case("image.digest", "is missing")]
#[case("null.x", "is missing")]
fn a_minimum_field_that_says_nothing_stops_the_artifact(#[case] field: &str, #[case] why: &str) {
    let folder = tempfile::tempdir().unwrap();
    let store = FakeStore::default();
    let body = json!({ "null": null, "empty": "", "blank": " \t", "image": { "tag": "t" } });
    let error = door(folder.path()).publish(&Artifact::new("a.json", body, &[field]), &to(&store, KEY)).unwrap_err();
    assert!(
        matches!(&error, PublishError::MissingField { field: f, why: w, .. } if f == field && *w == why),
        "{error}"
    );
    assert_eq!((files(folder.path()), store.puts.get()), (vec![], 0));
}

#[rstest]
#[case("false")]
#[case("zero")]
#[case("none")]
#[case("image.tag")]
#[case("a.b")]
fn a_minimum_field_that_answers_passes(#[case] field: &str) {
    let folder = tempfile::tempdir().unwrap();
    let body = json!({ "false": false, "zero": 0, "none": [], "image": { "tag": "t" }, "a.b": 1 });
    door(folder.path()).publish(&Artifact::new("a.json", body, &[field]), &Destination::LocalOnly).unwrap();
}

#[test]
fn a_document_that_is_no_object_has_no_fields() {
    let folder = tempfile::tempdir().unwrap();
    let error =
        door(folder.path()).publish(&Artifact::new("a.json", json!([1]), &["a"]), &Destination::LocalOnly).unwrap_err();
    assert_eq!(error.step(), PublishStep::MinimumFields);
}

#[test]
fn an_integer_that_would_become_another_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let artifact = Artifact::new("a.json", json!({ "n": [9_007_199_254_740_993_u64] }), &[]);
    let error = door(folder.path()).publish(&artifact, &Destination::LocalOnly).unwrap_err();
    assert!(matches!(error, PublishError::Serialise { .. }), "{error}");
    assert_eq!(files(folder.path()), [""; 0]);
}

#[rstest]
#[case("../run.json")]
#[case("a/../../run.json")]
#[case("/etc/run.json")]
#[case("a//b.json")]
#[case("a/")]
#[case("")]
#[case(".")]
#[case(".hidden")]
#[case("a\\b.json")]
#[case("a\nb.json")]
#[case("c:run.json")]
fn a_name_that_leaves_the_folder_is_refused(#[case] name: &str) {
    let folder = tempfile::tempdir().unwrap();
    let inside = folder.path().join("in");
    let error = door(&inside).publish(&Artifact::new(name, json!({}), &[]), &Destination::LocalOnly).unwrap_err();
    assert!(matches!(error, PublishError::Name { .. }), "{error}");
    assert_eq!(files(folder.path()), [""; 0]);
}

#[rstest]
#[case("")]
#[case("/run.json")]
#[case("runs//run.json")]
#[case("runs/../other/run.json")]
#[case("runs/")]
#[case("runs/./run.json")]
#[case("runs/\u{7}.json")]
fn a_key_that_leaves_its_prefix_is_refused(#[case] key: &str) {
    let folder = tempfile::tempdir().unwrap();
    let store = FakeStore::default();
    let error = door(folder.path()).publish(&run_json(), &to(&store, key)).unwrap_err();
    assert!(matches!(error, PublishError::Key { .. }), "{error}");
    assert_eq!((files(folder.path()), store.puts.get()), (vec![], 0));
}

#[test]
fn a_folder_whose_parent_is_a_file_fails_before_the_put() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), "x").unwrap();
    let store = FakeStore::default();
    let error = door(&folder.path().join("file/in")).publish(&run_json(), &to(&store, KEY)).unwrap_err();
    assert!(matches!(error, PublishError::LocalWrite { .. }), "{error}");
    assert_eq!(store.puts.get(), 0);
}

#[test]
fn an_existing_file_is_never_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.json");
    std::fs::write(&path, "other").unwrap();
    let store = FakeStore::default();
    let error = door(folder.path()).publish(&run_json(), &to(&store, KEY)).unwrap_err();
    assert!(
        matches!(&error, PublishError::LocalExists { sha256_there, .. } if *sha256_there == sha256_hex(b"other")),
        "{error}"
    );
    assert_eq!(error.step(), PublishStep::LocalFile);
    assert_eq!(std::fs::read(&path).unwrap(), b"other");
    assert_eq!((files(folder.path()), store.puts.get()), (vec!["run.json".to_owned()], 0));
}

#[test]
fn an_existing_file_with_equal_bytes_counts_as_written() {
    let folder = tempfile::tempdir().unwrap();
    let door = door(folder.path());
    let first = door.publish(&run_json(), &Destination::LocalOnly).unwrap();
    let store = FakeStore::default();
    let second = door.publish(&run_json(), &to(&store, KEY)).unwrap();
    assert_eq!(first.sha256_local, second.sha256_local);
}

#[rstest]
#[case::folder(true)]
#[case::link(false)]
#[cfg(unix)]
fn a_name_taken_by_something_else_than_a_file_is_refused(#[case] is_folder: bool) {
    let folder = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.json");
    if is_folder {
        std::fs::create_dir(&path).unwrap();
    } else {
        std::os::unix::fs::symlink(outside.path().join("target"), &path).unwrap();
    }
    let error = door(folder.path()).publish(&run_json(), &Destination::LocalOnly).unwrap_err();
    assert_eq!(error.step(), PublishStep::LocalFile, "{error}");
    assert_eq!(files(outside.path()), [""; 0]);
}

#[test]
#[cfg(unix)]
fn a_link_on_the_way_to_a_file_is_refused_and_nothing_is_put() {
    let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::os::unix::fs::symlink(elsewhere.path(), folder.path().join("m3e")).unwrap();
    let store = FakeStore::default();
    let artifact = Artifact::new("m3e/deep/run.json", json!({}), &[]);
    let error = door(folder.path()).publish(&artifact, &to(&store, KEY)).unwrap_err();
    assert!(matches!(error, PublishError::LocalLink { .. }), "{error}");
    assert_eq!(error.step(), PublishStep::LocalFile);
    assert!(error.to_string().contains("m3e: is a link, to"), "{error}");
    assert_eq!((files(elsewhere.path()), store.puts.get()), (vec![], 0));
    let listed = phasegate_support::evidence::digests_below(folder.path()).unwrap_err();
    assert!(listed.to_string().contains("m3e is a link"), "{listed}");
}

#[test]
fn two_runs_give_the_same_bytes_but_for_what_the_server_chose() {
    let receipts: Vec<String> = ["writer-1", "writer-2"]
        .into_iter()
        .map(|writer| {
            let folder = tempfile::tempdir().unwrap();
            let store = FakeStore::with(&[PutFault::Before(CallErrorKind::Conflict)], &[]);
            let limits = Limits { pause: Box::new(|_| {}), ..Limits::default() };
            let receipt = Door::new(folder.path(), writer, limits).publish(&run_json(), &to(&store, KEY)).unwrap();
            serde_json::to_string(&receipt.reproducible()).unwrap()
        })
        .collect();
    assert_eq!(receipts[0], receipts[1]);
}
