//! Whether Kafka and PostgreSQL answer: against what answers in a rehearsal, against servers that fail in one way each, and against
//! real ones where `PHASEGATE_KAFKA` and `PHASEGATE_POSTGRES` name them, `host:port`.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "the helpers of a test may fail it, and say what they found"
)]

#[path = "reach/fake.rs"]
mod fake;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use fake::{Fake, all, answer, hang_up, say_and_close, silent};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::{
    ApiKey, ConsumerGroupDescribeResponse, DescribeClusterRequest, DescribeClusterResponse, GroupId,
    ListGroupsResponse, MetadataResponse, SaslHandshakeResponse, TopicName, consumer_group_describe_response,
    list_groups_response,
};
use kafka_protocol::protocol::{Decodable as _, StrBytes};
use phasegate_support::reach::embedded::{KafkaResponder, KafkaWorld, Login, PostgresResponder};
use phasegate_support::reach::{KafkaAddress, KafkaCluster, Places, Reach, Security, Sight, Tls, TopicState};
use phasegate_support::substrate::reply::{CallError, CallErrorKind};
use rstest::rstest;

const WORLD: &str = r#"
cluster_id = "lkc-small"
topics = [
    { name = "orders", partitions = 3 },
    { name = "halting", partitions = 3, leaderless = 2 },
]

[[groups]]
id = "readers"
members = [
    { member_id = "m-2", client_id = "reader", host = "/10.0.1.8", topics = ["payments", "orders"] },
    { member_id = "m-1", client_id = "reader", host = "/10.0.1.7", topics = ["orders"] },
]

[[groups]]
id = "left"

[[groups]]
id = "moving"
state = "PreparingRebalance"
members = [{ member_id = "m-1", client_id = "reader", host = "/10.0.1.9", topics = ["orders"] }]
"#;

const PASSWORD: &str = "correct-horse";

fn world() -> KafkaWorld {
    toml::from_str(WORLD).unwrap()
}

fn guarded() -> KafkaWorld {
    KafkaWorld { login: Some(Login { user: "gate".to_owned(), password: PASSWORD.to_owned() }), ..world() }
}

fn reach() -> Reach {
    Reach::open_within(Places::as_named().loopback_only(), Duration::from_secs(5)).unwrap()
}

/// For servers that are silent.
fn hasty() -> Reach {
    Reach::open_within(Places::as_named().loopback_only(), Duration::from_millis(400)).unwrap()
}

fn plain(bootstrap: impl Into<String>) -> KafkaAddress {
    KafkaAddress { bootstrap: bootstrap.into(), security: Security::Plaintext }
}

fn login(bootstrap: impl Into<String>, password: &str) -> KafkaAddress {
    let security = Security::SaslPlaintext { user: "gate".to_owned(), password: password.to_owned() };
    KafkaAddress { bootstrap: bootstrap.into(), security }
}

fn closed_port() -> String {
    std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().to_string()
}

fn asked(address: &KafkaAddress) -> Result<KafkaCluster, CallError> {
    reach().kafka(address, &["orders"]).map(|reply| reply.value)
}

fn refused(address: &KafkaAddress, kind: CallErrorKind, says: &[&str]) {
    let error = asked(address).unwrap_err();
    assert_eq!((error.kind, error.service.as_str()), (kind, "kafka"), "{error}");
    for part in says {
        assert!(error.to_string().contains(part), "{error}");
    }
}

#[test]
fn a_cluster_says_what_it_is_and_what_it_has() {
    let cluster = KafkaResponder::start(world()).unwrap();
    let reply = reach().kafka(&plain(cluster.address()), &["orders", "halting", "missing"]).unwrap();
    assert_eq!(reply.attempts, 1);
    assert_eq!(reply.value.cluster_id.as_deref(), Some("lkc-small"));
    let brokers: Vec<String> =
        reply.value.brokers.iter().map(|b| format!("{} at {}:{}", b.id, b.host, b.port)).collect();
    assert_eq!(brokers, [format!("1 at {}", cluster.address())]);
    let missing = Some("UNKNOWN_TOPIC_OR_PARTITION".to_owned());
    let topics = [
        ("orders", TopicState { error: None, partitions: 3, leaderless: 0 }),
        ("halting", TopicState { error: None, partitions: 3, leaderless: 2 }),
        ("missing", TopicState { error: missing, partitions: 0, leaderless: 0 }),
    ];
    assert_eq!(reply.value.topics, topics.map(|(name, state)| (name.to_owned(), state)).into());
}

#[test]
fn groups_are_listed_with_their_members_and_what_these_read() {
    let cluster = KafkaResponder::start(world()).unwrap();
    let seen = reach().consumer_groups(&plain(cluster.address())).unwrap().value;
    assert_eq!(seen.sight, Sight::All);
    let shown: Vec<String> = seen
        .groups
        .iter()
        .map(|group| {
            let members: Vec<String> = group
                .members
                .iter()
                .map(|member| {
                    format!("{} {} {} {}", member.member_id, member.client_id, member.host, member.topics.join("+"))
                })
                .collect();
            format!("{} {} {} [{}]", group.id, group.state, group.protocol_type, members.join(", "))
        })
        .collect();
    assert_eq!(
        shown,
        [
            "left Empty consumer []",
            "moving PreparingRebalance consumer [m-1 reader /10.0.1.9 ]",
            "readers Stable consumer [m-1 reader /10.0.1.7 orders, m-2 reader /10.0.1.8 orders+payments]",
        ]
    );
}

#[rstest]
#[case(1 << 8, Sight::All)]
#[case(!(1 << 8) & i32::MAX, Sight::Permitted)]
#[case(0, Sight::Permitted)]
#[case(i32::MIN, Sight::Untold)]
fn what_a_login_sees_is_what_it_may(#[case] operations: i32, #[case] sight: Sight) {
    let server = Fake::start(all(), move |key, version, fake| match key {
        ApiKey::DescribeCluster => {
            let asked = DescribeClusterRequest::decode(&mut fake.question.clone(), version).unwrap();
            assert!(asked.include_cluster_authorized_operations, "else nobody says them");
            let response = DescribeClusterResponse::default().with_cluster_authorized_operations(operations);
            Some(fake::encoded(&response, version))
        }
        _ => answer(key, version, fake),
    });
    assert_eq!(reach().consumer_groups(&plain(server.address())).unwrap().value.sight, sight);
}

#[test]
fn a_refusal_to_describe_the_cluster_is_no_sight_of_all() {
    let server = Fake::start(all(), |key, version, fake| match key {
        ApiKey::DescribeCluster => {
            let response = DescribeClusterResponse::default()
                .with_error_code(ResponseError::ClusterAuthorizationFailed.code())
                .with_cluster_authorized_operations(1 << 8);
            Some(fake::encoded(&response, version))
        }
        _ => answer(key, version, fake),
    });
    assert_eq!(reach().consumer_groups(&plain(server.address())).unwrap_err().kind, CallErrorKind::Denied);
}

#[test]
fn a_world_can_keep_a_login_from_seeing_all() {
    let cluster = KafkaResponder::start(KafkaWorld { describe_denied: true, ..world() }).unwrap();
    assert_eq!(reach().consumer_groups(&plain(cluster.address())).unwrap().value.sight, Sight::Permitted);
}

#[test]
fn who_has_the_password_enters() {
    let cluster = KafkaResponder::start(guarded()).unwrap();
    let address = login(cluster.address(), PASSWORD);
    assert_eq!(asked(&address).unwrap().topics["orders"].partitions, 3);
    assert_eq!(reach().consumer_groups(&address).unwrap().value.groups.len(), 3);
}

#[test]
fn a_wrong_password_is_denied_and_not_shown() {
    let cluster = KafkaResponder::start(guarded()).unwrap();
    let address = login(cluster.address(), "battery-staple");
    for error in [asked(&address).unwrap_err(), reach().consumer_groups(&address).unwrap_err()] {
        assert_eq!(error.kind, CallErrorKind::Denied, "{error}");
        assert!(error.message.contains("SASL_AUTHENTICATION_FAILED"), "{error}");
        let shown = format!("{error} {error:?} {}", serde_json::to_string(&error).unwrap());
        assert!(!shown.contains("battery-staple"), "{shown}");
    }
    let shown = format!("{address:?} {:?} {cluster:?}", guarded());
    assert!(!shown.contains("battery-staple") && !shown.contains(PASSWORD), "{shown}");
}

#[test]
fn a_refused_password_is_not_tried_at_the_next_server() {
    let (one, other) = (KafkaResponder::start(guarded()).unwrap(), KafkaResponder::start(guarded()).unwrap());
    let error = asked(&login(format!("{},{}", one.address(), other.address()), "wrong")).unwrap_err();
    assert_eq!((error.kind, error.attempts), (CallErrorKind::Denied, 1));
}

#[test]
fn who_does_not_log_in_where_it_is_needed_gets_no_answer() {
    let cluster = KafkaResponder::start(guarded()).unwrap();
    refused(&plain(cluster.address()), CallErrorKind::Unreachable, &["without an answer to Metadata"]);
}

#[test]
fn a_server_that_takes_another_login_is_unsupported() {
    let other = Fake::start(all(), |key, version, _| {
        let answer = SaslHandshakeResponse::default()
            .with_error_code(ResponseError::UnsupportedSaslMechanism.code())
            .with_mechanisms(vec![StrBytes::from_static_str("SCRAM-SHA-512")]);
        (key == ApiKey::SaslHandshake).then(|| fake::encoded(&answer, version))
    });
    refused(&login(other.address(), PASSWORD), CallErrorKind::Unsupported, &["PLAIN", "SCRAM-SHA-512"]);
}

#[test]
fn a_closed_port_is_unreachable() {
    let closed = closed_port();
    refused(&plain(closed.clone()), CallErrorKind::Unreachable, &[&closed, "describe-cluster", "refused"]);
}

#[test]
fn where_none_answers_each_is_named() {
    let (one, other) = (closed_port(), closed_port());
    refused(
        &plain(format!("{one},{other}")),
        CallErrorKind::Unreachable,
        &[&format!("`{one}`: "), &format!("; `{other}`: ")],
    );
}

#[test]
fn the_first_that_answers_is_enough() {
    let cluster = KafkaResponder::start(world()).unwrap();
    let (closed, silent) = (closed_port(), silent());
    let servers = format!("{closed}, {silent}, {}, {closed}", cluster.address());
    let patient = Reach::open_within(Places::as_named(), Duration::from_secs(6)).unwrap();
    let reply = patient.kafka(&plain(servers), &["orders"]).unwrap();
    assert_eq!((reply.attempts, patient.calls_made()), (3, 3));
}

#[test]
fn a_silent_server_costs_no_more_than_the_limit() {
    let silent = silent();
    let began = Instant::now();
    for error in [
        hasty().kafka(&plain(&silent), &[]).map(|_| ()).unwrap_err(),
        hasty().consumer_groups(&plain(&silent)).map(|_| ()).unwrap_err(),
        hasty().postgres("127.0.0.1", silent.rsplit(':').next().unwrap().parse().unwrap()).map(|_| ()).unwrap_err(),
    ] {
        assert_eq!(error.kind, CallErrorKind::TimedOut, "{error}");
    }
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
}

#[rstest]
// Its first bytes are a length of a thousand million.
#[case(b"HTTP/1.1 400 Bad Request\r\n\r\n", "not Kafka")]
// A TLS alert: the server wants TLS.
#[case(&[0x15, 0x03, 0x03, 0x00, 0x02, 0x02, 0x0A], "not Kafka")]
#[case(&[0xFF, 0xFF, 0xFF, 0xFF], "has no length")]
#[case(&[0, 0], "has no length")]
#[case(&[0x00, 0x80, 0x00, 0x01, 0, 0, 0, 1], "8388609 bytes")]
#[case(&[0, 0, 0, 10, 0, 0, 0, 1, 0], "breaks off after 5 of 10")]
#[case(&[0, 0, 0, 2, 0, 0], "belongs to another question")]
#[case(&[0, 0, 0, 10, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0], "belongs to another question")]
#[case(&[0, 0, 0, 6, 0, 0, 0, 1, 0, 0], "ends too early")]
// A list of 2147483647 entries, of which none came.
#[case(&[0, 0, 0, 10, 0, 0, 0, 1, 0, 0, 0x7F, 0xFF, 0xFF, 0xFF], "ends too early")]
#[case(&[0, 0, 0, 11, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 7], "1 bytes too many")]
fn what_is_no_answer_is_malformed(#[case] says: &'static [u8], #[case] why: &str) {
    refused(&plain(say_and_close(says)), CallErrorKind::Malformed, &["malformed answer", why]);
}

#[test]
fn who_hangs_up_is_unreachable() {
    refused(&plain(hang_up()), CallErrorKind::Unreachable, &["closed the connection without an answer to ApiVersions"]);
}

#[test]
fn the_highest_common_version_is_spoken() {
    let spoken = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let heard = std::sync::Arc::clone(&spoken);
    let known = vec![(ApiKey::Metadata, 0, 5), (ApiKey::ListGroups, 0, 99), (ApiKey::DescribeGroups, 0, 0)];
    let old = Fake::start(known, move |key, version, fake| {
        heard.lock().unwrap().push((key, version));
        answer(key, version, fake)
    });
    let seen = reach().consumer_groups(&plain(old.address())).unwrap().value;
    // It does not know how to say what a login may.
    assert_eq!((seen.groups.len(), seen.sight), (0, Sight::Untold));
    let ours = ApiKey::ListGroups.valid_versions().max;
    assert_eq!(*spoken.lock().unwrap(), [(ApiKey::Metadata, 5), (ApiKey::ListGroups, ours)]);
}

#[test]
fn a_server_that_would_make_topics_is_not_asked() {
    let old = Fake::start(vec![(ApiKey::Metadata, 0, 3)], answer);
    refused(&plain(old.address()), CallErrorKind::Unsupported, &["Metadata is needed in 4..", "knows 0..3"]);
}

#[test]
fn a_server_without_groups_is_unsupported() {
    let other = Fake::start(vec![(ApiKey::Metadata, 0, 13)], answer);
    let error = reach().consumer_groups(&plain(other.address())).unwrap_err();
    assert_eq!(error.kind, CallErrorKind::Unsupported, "{error}");
    assert!(error.message.contains("does not know ListGroups"), "{error}");
}

#[test]
fn groups_of_the_new_style_are_described_too() {
    let text = StrBytes::from_static_str;
    let server = Fake::start(all(), move |key, version, fake| match key {
        ApiKey::ListGroups => {
            let group = |id, kind, state| {
                list_groups_response::ListedGroup::default()
                    .with_group_id(GroupId(text(id)))
                    .with_group_type(text(kind))
                    .with_group_state(text(state))
            };
            let groups = vec![group("new", "consumer", "Stable"), group("shared", "share", "Empty")];
            Some(fake::encoded(&ListGroupsResponse::default().with_groups(groups), version))
        }
        ApiKey::ConsumerGroupDescribe => {
            let member = consumer_group_describe_response::Member::default()
                .with_member_id(text("m-1"))
                .with_subscribed_topic_names(vec![TopicName(text("orders"))])
                .with_subscribed_topic_regex(Some(text("pay.*")));
            let group = consumer_group_describe_response::DescribedGroup::default()
                .with_group_id(GroupId(text("new")))
                .with_group_state(text("Stable"))
                .with_members(vec![member]);
            Some(fake::encoded(&ConsumerGroupDescribeResponse::default().with_groups(vec![group]), version))
        }
        _ => answer(key, version, fake),
    });
    let groups = reach().consumer_groups(&plain(server.address())).unwrap().value.groups;
    assert_eq!(groups.len(), 1, "nobody is in the share group: {groups:?}");
    assert_eq!(
        (groups[0].id.as_str(), groups[0].members[0].topics.as_slice()),
        ("new", ["orders".to_owned()].as_slice())
    );
    assert_eq!(groups[0].members[0].pattern.as_deref(), Some("pay.*"));
}

/// They consume as well.
#[rstest]
#[case("share")]
#[case("streams")]
fn a_group_of_another_type_is_not_passed_over(#[case] kind: &'static str) {
    let server = Fake::start(all(), move |key, version, fake| match key {
        ApiKey::ListGroups => {
            let group = list_groups_response::ListedGroup::default()
                .with_group_id(GroupId(StrBytes::from_static_str("others")))
                .with_group_type(StrBytes::from_static_str(kind))
                .with_group_state(StrBytes::from_static_str("Stable"));
            Some(fake::encoded(&ListGroupsResponse::default().with_groups(vec![group]), version))
        }
        _ => answer(key, version, fake),
    });
    let error = reach().consumer_groups(&plain(server.address())).unwrap_err();
    assert_eq!(error.kind, CallErrorKind::Unsupported, "{error}");
    assert!(error.message.contains("`others`") && error.message.contains(kind), "{error}");
}

#[rstest]
#[case(ResponseError::GroupAuthorizationFailed, CallErrorKind::Denied)]
#[case(ResponseError::CoordinatorLoadInProgress, CallErrorKind::Conflict)]
fn a_list_of_groups_that_is_an_error_is_no_empty_list(#[case] error: ResponseError, #[case] kind: CallErrorKind) {
    let server = Fake::start(all(), move |key, version, fake| match key {
        ApiKey::ListGroups => {
            Some(fake::encoded(&ListGroupsResponse::default().with_error_code(error.code()), version))
        }
        _ => answer(key, version, fake),
    });
    assert_eq!(reach().consumer_groups(&plain(server.address())).unwrap_err().kind, kind);
}

#[test]
fn every_broker_is_asked_for_its_groups() {
    let one_group = |id: &'static str| {
        let group = list_groups_response::ListedGroup::default()
            .with_group_id(GroupId(StrBytes::from_static_str(id)))
            .with_group_type(StrBytes::from_static_str("consumer"));
        move |version| Some(fake::encoded(&ListGroupsResponse::default().with_groups(vec![group.clone()]), version))
    };
    let described = |id: &'static str, version| {
        let group = consumer_group_describe_response::DescribedGroup::default()
            .with_group_id(GroupId(StrBytes::from_static_str(id)));
        Some(fake::encoded(&ConsumerGroupDescribeResponse::default().with_groups(vec![group]), version))
    };
    let groups_of = move |id: &'static str| {
        let list = one_group(id);
        move |key, version, fake: &fake::Place| match key {
            ApiKey::ListGroups => list(version),
            ApiKey::ConsumerGroupDescribe => described(id, version),
            ApiKey::Metadata => {
                let brokers = vec![fake::broker(1, "one.example", 9092), fake::broker(2, "two.example", 9092)];
                Some(fake::encoded(&MetadataResponse::default().with_brokers(brokers), version))
            }
            _ => answer(key, version, fake),
        }
    };
    let (one, two) = (Fake::start(all(), groups_of("b")), Fake::start(all(), groups_of("a")));
    let places = |two: String| {
        let stand_ins = [("one.example:9092", one.address()), ("two.example:9092", two)];
        Places::with(stand_ins.map(|(name, lead)| (name.to_owned(), lead)).into()).loopback_only()
    };
    let ids = |places| {
        let reach = Reach::open_within(places, Duration::from_secs(5)).unwrap();
        let groups = reach.consumer_groups(&plain("one.example:9092"))?.value.groups;
        Ok::<_, CallError>(groups.into_iter().map(|group| group.id).collect::<Vec<_>>())
    };
    assert_eq!(ids(places(two.address())).unwrap(), ["a", "b"]);
    // One that does not answer is not passed over, and neither is one that is elsewhere.
    let error = ids(places(closed_port())).unwrap_err();
    assert_eq!(error.kind, CallErrorKind::Unreachable, "{error}");
    assert!(error.message.starts_with("`two.example:9092`: "), "{error}");
    let stand_in = BTreeMap::from([("one.example:9092".to_owned(), one.address())]);
    let error = ids(Places::with(stand_in).loopback_only()).unwrap_err();
    assert_eq!(error.kind, CallErrorKind::Refused, "{error}");
    // And the same group at both is a group on the move.
    let error = ids(places(one.address())).unwrap_err();
    assert_eq!(error.kind, CallErrorKind::Conflict, "{error}");
}

#[test]
fn a_rehearsal_does_not_leave_the_machine() {
    for name in ["broker.example:9092", "10.0.0.1:9092", "0.0.0.0:9092", "127.0.0.1.example:9092"] {
        refused(&plain(name), CallErrorKind::Refused, &[name, "a rehearsal does not leave the machine"]);
    }
    let error = reach().postgres("database.example", 5432).unwrap_err();
    assert_eq!((error.kind, error.service.as_str()), (CallErrorKind::Refused, "postgres"), "{error}");
    assert!(error.message.contains("a rehearsal does not leave the machine"), "{error}");
}

#[test]
fn a_stand_in_may_not_be_elsewhere_either() {
    let stand_ins = BTreeMap::from([("127.0.0.1:9092".to_owned(), "broker.example:9092".to_owned())]);
    let reach = Reach::open(Places::with(stand_ins).loopback_only()).unwrap();
    let error = reach.kafka(&plain("127.0.0.1:9092"), &[]).unwrap_err();
    assert_eq!(error.kind, CallErrorKind::Refused, "{error}");
}

#[test]
fn a_name_leads_to_what_stands_in_for_it() {
    let cluster = KafkaResponder::start(world()).unwrap();
    let server = PostgresResponder::start(false).unwrap();
    let stand_ins = [("broker.example:9092", cluster.address()), ("database.example:5432", server.address())];
    let places = Places::with(stand_ins.map(|(name, lead)| (name.to_owned(), lead)).into()).loopback_only();
    let reach = Reach::open(places).unwrap();
    assert!(reach.kafka(&plain("broker.example:9092"), &[]).is_ok());
    let reply = reach.postgres("database.example", 5432).unwrap();
    assert_eq!((reply.value.address.as_str(), reply.value.tls), ("database.example:5432", Tls::Refused));
}

#[test]
fn a_password_without_tls_stays_on_the_machine_in_a_live_run_too() {
    let live = Reach::open(Places::as_named()).unwrap();
    let error = live.kafka(&login("10.0.0.1:9092", PASSWORD), &[]).unwrap_err();
    assert_eq!(error.kind, CallErrorKind::Refused, "{error}");
    assert!(error.message.contains("a password without TLS does not leave the machine"), "{error}");
}

#[rstest]
#[case(true, Tls::Offered)]
#[case(false, Tls::Refused)]
fn a_database_says_whether_it_speaks_tls(#[case] tls: bool, #[case] says: Tls) {
    let server = PostgresResponder::start(tls).unwrap();
    assert_eq!(postgres(&server.address()).unwrap(), says);
}

fn postgres(address: &str) -> Result<Tls, CallError> {
    let (host, port) = address.rsplit_once(':').unwrap();
    let reply = reach().postgres(host, port.parse().unwrap())?;
    assert_eq!((reply.value.address.as_str(), reply.attempts), (address, 1));
    Ok(reply.value.tls)
}

#[rstest]
#[case(say_and_close(b"EFATAL\0"), CallErrorKind::Malformed, "with an error")]
#[case(say_and_close(b"HTTP/1.1 400 Bad Request\r\n\r\n"), CallErrorKind::Malformed, "0x48")]
#[case(hang_up(), CallErrorKind::Unreachable, "without an answer")]
#[case(closed_port(), CallErrorKind::Unreachable, "refused")]
fn what_is_no_database_is_not_taken_for_one(#[case] address: String, #[case] kind: CallErrorKind, #[case] why: &str) {
    let error = postgres(&address).unwrap_err();
    assert_eq!((error.kind, error.service.as_str()), (kind, "postgres"), "{error}");
    assert!(error.message.contains(why), "{error}");
}

#[test]
fn what_answers_ends_when_it_is_dropped() {
    let (cluster, server) = (KafkaResponder::start(world()).unwrap(), PostgresResponder::start(true).unwrap());
    let (kafka, database) = (cluster.address(), server.address());
    let kept = std::net::TcpStream::connect(&kafka).unwrap();
    drop((cluster, server));
    refused(&plain(kafka), CallErrorKind::Unreachable, &["refused"]);
    assert_eq!(postgres(&database).unwrap_err().kind, CallErrorKind::Unreachable);
    assert_eq!(std::io::Read::read(&mut &kept, &mut [0]).unwrap_or(0), 0, "a connection is closed with it");
}

#[rstest]
#[case("cluster_id = \"a\"\ntopic = []")]
#[case("cluster_id = \"a\"\ntopics = [{ name = \"a\", partitions = 1, leader = 1 }]")]
#[case("cluster_id = \"a\"\ngroups = [{ id = \"a\", members = [{ member_id = \"m\" }] }]")]
#[case("cluster_id = \"a\"\nlogin = { user = \"a\" }")]
#[case("topics = []")]
fn a_world_with_a_slip_is_none(#[case] world: &str) {
    assert!(toml::from_str::<KafkaWorld>(world).is_err());
}

#[path = "reach/tls.rs"]
mod tls;

/// The address in an environment variable, or why the test is not run.
fn given(variable: &str) -> Option<String> {
    let address = std::env::var(variable).ok().filter(|address| !address.is_empty());
    if address.is_none() {
        eprintln!("not run: {variable} is not set");
    }
    address
}

#[test]
fn the_given_database_answers() {
    let Some(address) = given("PHASEGATE_POSTGRES") else { return };
    assert_eq!(postgres(&address).unwrap(), Tls::Offered);
}

#[test]
fn the_given_cluster_answers() {
    let Some(address) = given("PHASEGATE_KAFKA") else { return };
    let cluster = reach().kafka(&plain(&address), &["phasegate-no-such-topic"]).unwrap().value;
    eprintln!("{cluster:?}");
    assert!(cluster.topics["phasegate-no-such-topic"].error.is_some(), "it is not there, and was not made");
    let again = reach().kafka(&plain(&address), &["phasegate-no-such-topic"]).unwrap().value;
    assert_eq!(cluster, again, "being asked about makes no topic");
    let there = reach().kafka(&plain(&address), &["phasegate.try"]).unwrap().value;
    let topic = &there.topics["phasegate.try"];
    assert_eq!((topic.partitions, topic.leaderless, &topic.error), (2, 0, &None));
    let answer = reach().consumer_groups(&plain(&address)).unwrap().value;
    // This broker (Tansu) knows the question, and does not say what a login may.
    assert_eq!(answer.sight, Sight::Untold);
    let groups = answer.groups;
    let seen: Vec<(&str, &str, usize)> =
        groups.iter().map(|group| (group.id.as_str(), group.state.as_str(), group.members.len())).collect();
    assert_eq!(seen, [("phasegate-daemons", "Stable", 2)], "{groups:?}");
}
