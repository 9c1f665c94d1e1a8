//! The door before a store that fails: each fault has its step, nothing is overwritten, nothing is taken for ours that is not.

#[path = "evidence_fake/mod.rs"]
mod fake;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fake::{FakeStore, GetFault, KEY, PutFault, door, files, run_json, to};
use phasegate_support::evidence::{Artifact, Destination, Door, Durable, Limits, PublishError, PublishStep};
use phasegate_support::substrate::reply::CallErrorKind;
use rstest::rstest;
use serde_json::json;

#[test]
fn a_bucket_without_versions_is_read_back_as_it_is_now() {
    let folder = tempfile::tempdir().unwrap();
    let store = FakeStore { unversioned: true, ..FakeStore::default() };
    let receipt = door(folder.path()).publish(&run_json(), &to(&store, KEY)).unwrap();
    assert_eq!(receipt.durable.unwrap().server.unwrap().version_id, None);
}

/// Every fault of the store, the step that it belongs to, and whether the object stands there afterwards.
#[rstest]
#[case::denied(vec![PutFault::Before(CallErrorKind::Denied)], vec![], PublishStep::Put, false)]
#[case::server(vec![PutFault::Before(CallErrorKind::Server)], vec![], PublishStep::Put, false)]
#[case::timed_out_before(vec![PutFault::Before(CallErrorKind::TimedOut)], vec![], PublishStep::Put, false)]
#[case::timed_out_after(vec![PutFault::After(CallErrorKind::TimedOut)], vec![], PublishStep::Put, true)]
#[case::unreachable_after(vec![PutFault::After(CallErrorKind::Unreachable)], vec![], PublishStep::Put, true)]
#[case::throttled(vec![PutFault::Before(CallErrorKind::Throttled)], vec![], PublishStep::Put, false)]
#[case::unsupported(vec![PutFault::Before(CallErrorKind::Unsupported)], vec![], PublishStep::Put, false)]
#[case::malformed(vec![PutFault::Before(CallErrorKind::Malformed)], vec![], PublishStep::Put, false)]
#[case::refused(vec![PutFault::Before(CallErrorKind::Refused)], vec![], PublishStep::Put, false)]
#[case::no_bucket(vec![PutFault::Before(CallErrorKind::NotFound)], vec![], PublishStep::Put, false)]
#[case::exists(vec![PutFault::Overtaken { bytes: b"other".to_vec(), attempts: 1 }], vec![], PublishStep::Exists, true)]
#[case::exists_at_retry(vec![PutFault::Overtaken { bytes: b"other".to_vec(), attempts: 2 }], vec![], PublishStep::Exists, true)]
#[case::exists_attempts_unknown(vec![PutFault::Overtaken { bytes: b"other".to_vec(), attempts: 0 }], vec![], PublishStep::Exists, true)]
#[case::exists_after_conflict(vec![PutFault::ConflictWith { bytes: b"other".to_vec() }], vec![], PublishStep::Exists, true)]
#[case::lost_reply_unread(vec![PutFault::LostReply { attempts: 2 }], vec![GetFault::Error(CallErrorKind::Denied)], PublishStep::Exists, true)]
#[case::lost_reply_other_writer(vec![PutFault::LostReply { attempts: 2 }], vec![GetFault::OtherWriter], PublishStep::Exists, true)]
#[case::lost_reply_other_bytes(vec![PutFault::LostReply { attempts: 2 }], vec![GetFault::Truncated], PublishStep::Exists, true)]
#[case::unreadable(vec![], vec![GetFault::Error(CallErrorKind::Denied)], PublishStep::ReadBack, true)]
#[case::gone(vec![], vec![GetFault::Error(CallErrorKind::NotFound)], PublishStep::ReadBack, true)]
#[case::read_timed_out(vec![], vec![GetFault::Error(CallErrorKind::TimedOut)], PublishStep::ReadBack, true)]
#[case::truncated(vec![], vec![GetFault::Truncated], PublishStep::Differs, true)]
#[case::empty(vec![], vec![GetFault::OtherBytes(Vec::new())], PublishStep::Differs, true)]
#[case::other_bytes(vec![], vec![GetFault::OtherBytes(b"{}".to_vec())], PublishStep::Differs, true)]
#[case::other_version(vec![], vec![GetFault::OtherVersion], PublishStep::Differs, true)]
#[case::other_writer(vec![], vec![GetFault::OtherWriter], PublishStep::Differs, true)]
#[case::no_metadata(vec![PutFault::WithoutMetadata], vec![], PublishStep::Differs, true)]
fn a_fault_of_the_store_holds(
    #[case] puts: Vec<PutFault>,
    #[case] gets: Vec<GetFault>,
    #[case] step: PublishStep,
    #[case] stands: bool,
) {
    let folder = tempfile::tempdir().unwrap();
    let store = FakeStore::with(&puts, &gets);
    let error = door(folder.path()).publish(&run_json(), &to(&store, KEY)).unwrap_err();
    assert_eq!(error.step(), step, "{error}");
    assert!(error.to_string().contains(KEY), "names the object: {error}");
    assert_eq!(store.versions(KEY) > 0, stands);
    assert!(store.versions(KEY) <= 1, "nothing is overwritten");
    assert_eq!(files(folder.path()), ["run.json"], "the local file stays");
}

#[test]
fn a_store_that_ignores_the_precondition_cannot_pass_another_object_for_ours() {
    let folder = tempfile::tempdir().unwrap();
    let store = FakeStore::with(&[PutFault::Unconditional], &[GetFault::OtherBytes(b"first writer".to_vec())]);
    store.insert(KEY, b"first writer", &BTreeMap::new());
    let error = door(folder.path()).publish(&run_json(), &to(&store, KEY)).unwrap_err();
    assert!(matches!(error, PublishError::Differs { .. }), "{error}");
}

#[rstest]
#[case(2)]
#[case(3)]
#[case(0)]
fn a_lost_reply_to_our_own_put_is_recovered(#[case] attempts: u32) {
    let folder = tempfile::tempdir().unwrap();
    let store = FakeStore::with(&[PutFault::LostReply { attempts }], &[]);
    let receipt = door(folder.path()).publish(&run_json(), &to(&store, KEY)).unwrap();
    let durable = receipt.durable.unwrap();
    let server = durable.server.unwrap();
    assert!(server.recovered_lost_reply);
    assert_eq!(server.attempts, attempts.max(2));
    assert_eq!(server.version_id.as_deref(), Some("v1"));
    assert_eq!(durable.sha256_read_back, receipt.sha256_local);
}

/// The same process published the same bytes under the same key before, by this door or by another one: that object is not this
/// publication's, even where a retry of the SDK meets it.
#[rstest]
#[case(1, false)]
#[case(2, false)]
#[case(2, true)]
fn an_earlier_publication_of_this_process_is_not_this_one(#[case] attempts: u32, #[case] by_another_door: bool) {
    let folder = tempfile::tempdir().unwrap();
    let store = FakeStore::with(&[PutFault::Fine, PutFault::Taken { attempts }], &[]);
    let (first, other) = (door(folder.path()), door(folder.path()));
    first.publish(&run_json(), &to(&store, KEY)).unwrap();
    let second = if by_another_door { &other } else { &first };
    let error = second.publish(&run_json(), &to(&store, KEY)).unwrap_err();
    assert!(matches!(error, PublishError::Exists { .. }), "{error}");
}

#[rstest]
#[case(0, 1)]
#[case(1, 2)]
#[case(4, 5)]
fn conflicts_are_tried_again(#[case] conflicts: usize, #[case] puts: u32) {
    let folder = tempfile::tempdir().unwrap();
    let store = FakeStore::with(&vec![PutFault::Before(CallErrorKind::Conflict); conflicts], &[]);
    let receipt = door(folder.path()).publish(&run_json(), &to(&store, KEY)).unwrap();
    assert_eq!(store.puts.get(), puts);
    assert_eq!(receipt.durable.unwrap().server.unwrap().attempts, puts);
}

#[test]
fn conflicts_are_tried_again_only_so_often_and_ever_more_slowly() {
    let folder = tempfile::tempdir().unwrap();
    let store = FakeStore::with(&vec![PutFault::Before(CallErrorKind::Conflict); 100], &[]);
    let pauses = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&pauses);
    let limits = Limits {
        conflict_tries: 8,
        pause: Box::new(move |pause: Duration| seen.lock().unwrap().push(pause.as_millis())),
        ..Limits::default()
    };
    let error = Door::new(folder.path(), "w", limits).publish(&run_json(), &to(&store, KEY)).unwrap_err();
    assert!(matches!(error, PublishError::Conflict { tries: 8, .. }), "{error}");
    assert_eq!(store.puts.get(), 8);
    assert_eq!(*pauses.lock().unwrap(), [100, 200, 400, 800, 1600, 2000, 2000]);
}

#[rstest]
#[case(CallErrorKind::Throttled)]
#[case(CallErrorKind::Server)]
#[case(CallErrorKind::TimedOut)]
#[case(CallErrorKind::Unreachable)]
fn nothing_but_a_conflict_is_tried_again(#[case] kind: CallErrorKind) {
    let folder = tempfile::tempdir().unwrap();
    let store = FakeStore::with(&[PutFault::Before(kind)], &[]);
    door(folder.path()).publish(&run_json(), &to(&store, KEY)).unwrap_err();
    assert_eq!(store.puts.get(), 1);
}

#[test]
fn after_the_first_object_that_exists_nothing_more_of_the_group_is_put() {
    let folder = tempfile::tempdir().unwrap();
    let store = FakeStore::default();
    let door = door(folder.path());
    store.insert(KEY, b"another writer's", &BTreeMap::new());
    door.publish(&run_json(), &to(&store, KEY)).unwrap_err();
    let puts = store.puts.get();

    let started = Artifact::new("run_started.json", json!({ "a": 1 }), &[]);
    let error = door.publish(&started, &to(&store, "runs/started.json")).unwrap_err();
    assert!(
        matches!(&error, PublishError::GroupClosed { group, first, .. } if group == "run" && first.ends_with(KEY)),
        "{error}"
    );
    assert_eq!(error.step(), PublishStep::Exists);
    assert_eq!(store.puts.get(), puts, "no call was made");
    assert_eq!(files(folder.path()), ["run.json"], "nor a local file");

    let other_group = Destination::Durable(Durable {
        store: &store,
        bucket: "bucket",
        key: "c/x.json".to_owned(),
        group: "control".to_owned(),
    });
    door.publish(&started, &other_group).unwrap();
    door.publish(&Artifact::new("local.json", json!({}), &[]), &Destination::LocalOnly).unwrap();
}

#[rstest]
#[case(PutFault::LostReply { attempts: 2 })]
#[case(PutFault::Before(CallErrorKind::Server))]
fn what_is_no_foreign_object_closes_no_group(#[case] fault: PutFault) {
    let folder = tempfile::tempdir().unwrap();
    let store = FakeStore::with(&[fault], &[]);
    let door = door(folder.path());
    let _first = door.publish(&run_json(), &to(&store, KEY));
    door.publish(&Artifact::new("b.json", json!({}), &[]), &to(&store, "b.json")).unwrap();
}

fn canary<'a>(store: &'a FakeStore) -> Durable<'a> {
    Durable {
        store,
        bucket: "bucket",
        key: "run_control/m3_x/write_once_canary.json".to_owned(),
        group: "canary".to_owned(),
    }
}

#[test]
fn the_canary_shows_that_a_second_put_is_refused_and_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let store = FakeStore::default();
    let to = canary(&store);
    let receipt = door(folder.path()).canary(&to).unwrap();
    assert_eq!(receipt.second.as_ref().unwrap().status, Some(412));
    assert_eq!(receipt.sha256_after_second, receipt.first.sha256_local);
    assert_eq!((store.versions(&to.key), store.puts.get()), (1, 2));
    assert_eq!(files(folder.path()), ["write_once_canary.json"]);
    assert_eq!(receipt.reproducible().second, None);
}

#[rstest]
#[case::takes_a_second(vec![PutFault::Fine, PutFault::Unconditional], vec![], PublishStep::WriteOnce)]
#[case::replaces_and_refuses(vec![PutFault::Fine, PutFault::RefusedButReplaced], vec![], PublishStep::WriteOnce)]
#[case::second_denied(vec![PutFault::Fine, PutFault::Before(CallErrorKind::Denied)], vec![], PublishStep::Put)]
#[case::second_times_out(vec![PutFault::Fine, PutFault::Before(CallErrorKind::TimedOut)], vec![], PublishStep::Put)]
#[case::second_unreadable(vec![], vec![GetFault::Fine, GetFault::Error(CallErrorKind::Server)], PublishStep::ReadBack)]
#[case::first_exists(vec![PutFault::Overtaken { bytes: b"x".to_vec(), attempts: 1 }], vec![], PublishStep::Exists)]
#[case::first_unsupported(vec![PutFault::Before(CallErrorKind::Unsupported)], vec![], PublishStep::Put)]
fn a_canary_that_shows_anything_else_holds(
    #[case] puts: Vec<PutFault>,
    #[case] gets: Vec<GetFault>,
    #[case] step: PublishStep,
) {
    let folder = tempfile::tempdir().unwrap();
    let store = FakeStore::with(&puts, &gets);
    let error = door(folder.path()).canary(&canary(&store)).unwrap_err();
    assert_eq!(error.step(), step, "{error}");
}

#[test]
fn second_conflicts_are_no_proof() {
    let folder = tempfile::tempdir().unwrap();
    let mut faults = vec![PutFault::Fine];
    faults.extend(vec![PutFault::Before(CallErrorKind::Conflict); 5]);
    let store = FakeStore::with(&faults, &[]);
    let error = door(folder.path()).canary(&canary(&store)).unwrap_err();
    assert!(matches!(error, PublishError::Conflict { .. }), "{error}");
}

#[test]
fn each_error_says_what_to_do_next() {
    let folder = tempfile::tempdir().unwrap();
    for (puts, gets) in [
        (vec![PutFault::Before(CallErrorKind::Denied)], vec![]),
        (vec![PutFault::Overtaken { bytes: b"x".to_vec(), attempts: 1 }], vec![]),
        (vec![PutFault::Before(CallErrorKind::Conflict); 5], vec![]),
        (vec![], vec![GetFault::Error(CallErrorKind::Denied)]),
        (vec![], vec![GetFault::Truncated]),
    ] {
        let store = FakeStore::with(&puts, &gets);
        let error = door(folder.path()).publish(&run_json(), &to(&store, KEY)).unwrap_err();
        let error = error.to_string();
        assert!(error.contains("run under a new id") || error.contains("run again"), "{error}");
    }
}
