//! Who reads from a Kafka cluster: its consumer groups, and their members.

use std::collections::{BTreeMap, BTreeSet};

use bytes::{Buf as _, Bytes};
use futures::{StreamExt as _, TryStreamExt as _};
use kafka_protocol::messages::{
    ConsumerGroupDescribeRequest, ConsumerProtocolSubscription, DescribeClusterRequest, DescribeGroupsRequest, GroupId,
    ListGroupsRequest, consumer_group_describe_response as new_style, describe_groups_response as classic,
};
use kafka_protocol::protocol::{Decodable as _, Message as _, StrBytes};
use serde::{Deserialize, Serialize};

use super::kafka::{Broker, KafkaAddress, bootstrap_servers, cluster};
use super::session::Entrance;
use super::wire::{Ask as _, Wire, accepted};
use super::{Done, KAFKA, Reach, Trouble, shape};
use crate::substrate::reply::{CallError, CallErrorKind, Reply};

/// The protocol that consumers speak among each other in a classic group.
const CONSUMER: &str = "consumer";

/// How many brokers are asked at the same time.
const AT_ONCE: usize = 16;

/// Kafka's number of the operation `Describe`, and so its bit among the operations that a login may.
const DESCRIBE: u32 = 8;

/// What stands for the operations where a broker does not say them.
const UNTOLD: i32 = i32::MIN;

/// The consumer groups of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsumerGroups {
    /// Those that were listed, by their ids.
    pub groups: Vec<ConsumerGroup>,
    /// Whether there can be more.
    pub sight: Sight,
}

/// How much a login sees of a cluster's groups. The worse of two brokers' answers is the later one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sight {
    /// It may describe the cluster: every group is listed.
    All,
    /// The cluster does not say what the login may, so there can be more groups.
    Untold,
    /// It may not describe the cluster: brokers leave out, without a word, the groups that it may not describe one by one.
    Permitted,
}

/// A consumer group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsumerGroup {
    /// Its id.
    pub id: String,
    /// Its state, in Kafka's words: `Stable`, `Empty`, `PreparingRebalance`.
    pub state: String,
    /// What its members are to each other: `consumer`; empty in a group that never had one.
    pub protocol_type: String,
    /// Its members, by their ids.
    pub members: Vec<GroupMember>,
}

/// A member of a group.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct GroupMember {
    /// Its id in the group.
    pub member_id: String,
    /// What it calls itself.
    pub client_id: String,
    /// Where it is, as the broker sees it: `/10.0.1.7`.
    pub host: String,
    /// The topics that it subscribes to, sorted. A classic group says them of its members only while it is stable.
    pub topics: Vec<String>,
    /// The pattern of topics that it subscribes to, in a group that has the brokers match it.
    pub pattern: Option<String>,
}

impl Reach {
    /// The consumer groups of the cluster, and whether the login sees them all.
    ///
    /// Each broker is asked for the groups that it coordinates; when one does not answer there is no answer.
    ///
    /// # Errors
    /// As [`Reach::kafka`]; `Unsupported` when there is a group of another type than `classic` and `consumer`, which may consume too; and
    /// `Conflict` when a group is moved meanwhile.
    pub fn consumer_groups(&self, address: &KafkaAddress) -> Result<Reply<ConsumerGroups>, CallError> {
        let (target, servers) = bootstrap_servers(&address.bootstrap);
        let call = self.call(KAFKA, "describe-consumer-groups", target);
        // One half for the way in, the other for the brokers.
        let limit = self.limit / 2;
        let groups = call
            .within_limit(async {
                let entrance = Entrance::new(&self.places, &address.security)?;
                let servers = servers?;
                let none = BTreeSet::new();
                let known =
                    entrance.first(&call, &servers, limit, async |mut wire| cluster(&mut wire, &none).await).await?;
                let names: Vec<String> = known.brokers.iter().map(Broker::name).collect();
                let lists: Vec<ConsumerGroups> = futures::stream::iter(&names)
                    .map(|name| entrance.talk(&call, name, limit, async |mut wire| of_broker(&mut wire).await))
                    .buffered(AT_ONCE)
                    .try_collect()
                    .await?;
                together(lists)
            })?
            .map_err(|trouble| trouble.of(&call))?;
        Ok(call.reply(groups))
    }
}

fn together(lists: Vec<ConsumerGroups>) -> Done<ConsumerGroups> {
    let mut groups = BTreeMap::new();
    let sight = lists.iter().map(|list| list.sight).max().unwrap_or(Sight::Untold);
    for group in lists.into_iter().flat_map(|list| list.groups) {
        if let Some(group) = groups.insert(group.id.clone(), group) {
            let message = format!("two brokers say that they coordinate the group `{}`", group.id);
            return Err(Trouble::new(CallErrorKind::Conflict, message));
        }
    }
    Ok(ConsumerGroups { groups: groups.into_values().collect(), sight })
}

/// How much of its groups a broker shows.
async fn sight(wire: &mut Wire) -> Done<Sight> {
    // Brokers before Kafka 2.8 do not know the question.
    if !wire.knows::<DescribeClusterRequest>() {
        return Ok(Sight::Untold);
    }
    let answer = wire.ask(&DescribeClusterRequest::default().with_include_cluster_authorized_operations(true)).await?;
    accepted(DescribeClusterRequest::NAME, answer.error_code)?;
    Ok(match answer.cluster_authorized_operations {
        UNTOLD => Sight::Untold,
        operations if operations & (1 << DESCRIBE) != 0 => Sight::All,
        _ => Sight::Permitted,
    })
}

/// The groups that one broker coordinates.
async fn of_broker(wire: &mut Wire) -> Done<ConsumerGroups> {
    let sight = sight(wire).await?;
    let listed = wire.ask(&ListGroupsRequest::default()).await?;
    accepted(ListGroupsRequest::NAME, listed.error_code)?;
    // A server that does not say the type has classic groups alone.
    let (mut classic, mut new_style) = (BTreeSet::new(), BTreeSet::new());
    for group in listed.groups {
        match group.group_type.to_ascii_lowercase().as_str() {
            "" | "classic" => classic.insert(group.group_id.0.as_str().to_owned()),
            CONSUMER => new_style.insert(group.group_id.0.as_str().to_owned()),
            // Nobody is in it.
            _ if matches!(group.group_state.as_str(), "Empty" | "Dead") => false,
            // Groups that share a topic, or stream it, consume too.
            other => {
                let message =
                    format!("the group `{}` is of the type `{other}`, which is not read", group.group_id.0.as_str());
                return Err(Trouble::new(CallErrorKind::Unsupported, message));
            }
        };
    }
    let mut groups = Vec::new();
    if !classic.is_empty() {
        let answer = wire.ask(&DescribeGroupsRequest::default().with_groups(ids(&classic))).await?;
        for group in &answer.groups {
            accepted(&of_group(DescribeGroupsRequest::NAME, &group.group_id), group.error_code)?;
            groups.push(classic_group(group)?);
        }
        as_asked(&classic, &groups)?;
    }
    let others = groups.len();
    if !new_style.is_empty() {
        let answer = wire.ask(&ConsumerGroupDescribeRequest::default().with_group_ids(ids(&new_style))).await?;
        for group in &answer.groups {
            accepted(&of_group(ConsumerGroupDescribeRequest::NAME, &group.group_id), group.error_code)?;
            groups.push(new_style_group(group));
        }
        as_asked(&new_style, groups.get(others..).unwrap_or_default())?;
    }
    Ok(ConsumerGroups { groups, sight })
}

/// The question, and the group that an answer is about.
fn of_group(question: &str, id: &GroupId) -> String {
    format!("{question} of the group `{}`", id.0.as_str().escape_debug())
}

fn ids(groups: &BTreeSet<String>) -> Vec<GroupId> {
    groups.iter().map(|id| GroupId(StrBytes::from_string(id.clone()))).collect()
}

fn as_asked(asked: &BTreeSet<String>, answered: &[ConsumerGroup]) -> Done<()> {
    let described: BTreeSet<&str> = answered.iter().map(|group| group.id.as_str()).collect();
    if described.len() == answered.len() && described.iter().copied().eq(asked.iter().map(String::as_str)) {
        return Ok(());
    }
    Err(Trouble::malformed("the groups that are described are not those that were asked about"))
}

fn classic_group(group: &classic::DescribedGroup) -> Done<ConsumerGroup> {
    let consumers = group.protocol_type.as_str() == CONSUMER;
    let mut members = Vec::new();
    for member in &group.members {
        members.push(GroupMember {
            member_id: member.member_id.as_str().to_owned(),
            client_id: member.client_id.as_str().to_owned(),
            host: member.client_host.as_str().to_owned(),
            // Who is no consumer says something else there.
            topics: if consumers { subscribed(&member.member_metadata)? } else { Vec::new() },
            pattern: None,
        });
    }
    members.sort();
    Ok(ConsumerGroup {
        id: group.group_id.0.as_str().to_owned(),
        state: group.group_state.as_str().to_owned(),
        protocol_type: group.protocol_type.as_str().to_owned(),
        members,
    })
}

fn new_style_group(group: &new_style::DescribedGroup) -> ConsumerGroup {
    let mut members: Vec<GroupMember> = group
        .members
        .iter()
        .map(|member| GroupMember {
            member_id: member.member_id.as_str().to_owned(),
            client_id: member.client_id.as_str().to_owned(),
            host: member.client_host.as_str().to_owned(),
            topics: sorted(member.subscribed_topic_names.iter().map(|name| &name.0)),
            pattern: member
                .subscribed_topic_regex
                .as_ref()
                .map(|pattern| pattern.as_str().to_owned())
                .filter(|pattern| !pattern.is_empty()),
        })
        .collect();
    members.sort();
    ConsumerGroup {
        id: group.group_id.0.as_str().to_owned(),
        state: group.group_state.as_str().to_owned(),
        protocol_type: CONSUMER.to_owned(),
        members,
    }
}

fn sorted<'t>(topics: impl Iterator<Item = &'t StrBytes>) -> Vec<String> {
    topics.map(|topic| topic.as_str().to_owned()).collect::<BTreeSet<_>>().into_iter().collect()
}

/// The topics of a consumer, out of what it said when it joined; none where the broker keeps that back.
fn subscribed(metadata: &Bytes) -> Done<Vec<String>> {
    if metadata.is_empty() {
        return Ok(Vec::new());
    }
    let malformed = || Trouble::malformed("what a member said when it joined is no consumer's subscription");
    let mut rest = metadata.clone();
    let said = rest.try_get_i16().map_err(|_| malformed())?;
    // A later version only adds at the end.
    let newest = ConsumerProtocolSubscription::VERSIONS.max;
    let version = said.min(newest);
    match shape::SUBSCRIPTION.left(version, &rest) {
        Some(left) if version >= 0 && (left == 0 || said > newest) => {}
        _ => return Err(malformed()),
    }
    let subscription = ConsumerProtocolSubscription::decode(&mut rest, version).map_err(|_| malformed())?;
    Ok(sorted(subscription.topics.iter()))
}

#[cfg(test)]
mod tests {
    use bytes::{BufMut as _, BytesMut};
    use kafka_protocol::messages::TopicName;
    use kafka_protocol::messages::consumer_protocol_subscription::TopicPartition;
    use kafka_protocol::protocol::Encodable as _;
    use rstest::rstest;

    use super::*;

    fn said(version: i16, encoded_as: i16) -> BytesMut {
        let owned =
            TopicPartition::default().with_topic(TopicName(StrBytes::from_static_str("b"))).with_partitions(vec![0]);
        let mut subscription = ConsumerProtocolSubscription::default()
            .with_topics(vec![StrBytes::from_static_str("b"), StrBytes::from_static_str("a")]);
        if encoded_as >= 1 {
            subscription = subscription.with_owned_partitions(vec![owned]);
        }
        let mut bytes = BytesMut::new();
        bytes.put_i16(version);
        subscription.encode(&mut bytes, encoded_as).unwrap();
        bytes
    }

    #[rstest]
    fn a_subscription_is_read_in_each_version(#[values(0, 1, 2, 3)] version: i16) {
        assert_eq!(subscribed(&said(version, version).freeze()).unwrap(), ["a", "b"]);
    }

    #[test]
    fn what_a_real_client_says_is_read() {
        // kafka-python 3.0.12, which assigns by range.
        let said = b"\0\0\0\0\0\x02\0\x08payments\0\x06orders\0\0\0\0";
        assert_eq!(subscribed(&Bytes::from_static(said)).unwrap(), ["orders", "payments"]);
    }

    #[test]
    fn one_of_a_later_version_may_go_on() {
        let mut bytes = said(4, 3);
        bytes.put_slice(b"more");
        assert_eq!(subscribed(&bytes.freeze()).unwrap(), ["a", "b"]);
    }

    #[test]
    fn nothing_is_said_of_a_group_that_is_not_stable() {
        assert!(subscribed(&Bytes::new()).unwrap().is_empty());
    }

    #[test]
    fn a_broken_one_is_no_subscription_without_topics() {
        let whole = said(3, 3).freeze();
        for end in 1..whole.len() {
            assert!(subscribed(&whole.slice(..end)).is_err(), "{end} bytes");
        }
        let mut longer = said(3, 3);
        longer.put_u8(0);
        assert!(subscribed(&longer.freeze()).is_err());
        assert!(subscribed(&said(-1, 0).freeze()).is_err());
    }

    fn group(id: &str) -> ConsumerGroup {
        ConsumerGroup {
            id: id.to_owned(),
            state: "Stable".to_owned(),
            protocol_type: CONSUMER.to_owned(),
            members: Vec::new(),
        }
    }

    fn list(id: &str, sight: Sight) -> ConsumerGroups {
        ConsumerGroups { groups: vec![group(id)], sight }
    }

    #[rstest]
    #[case(Sight::All, Sight::All, Sight::All)]
    #[case(Sight::All, Sight::Untold, Sight::Untold)]
    #[case(Sight::Permitted, Sight::Untold, Sight::Permitted)]
    fn all_is_seen_where_every_broker_shows_all(#[case] one: Sight, #[case] other: Sight, #[case] both: Sight) {
        assert_eq!(together(vec![list("a", one), list("b", other)]).unwrap().sight, both);
        assert_eq!(together(Vec::new()).unwrap().sight, Sight::Untold);
    }

    #[test]
    fn a_group_has_one_coordinator() {
        let lists = vec![list("b", Sight::All), list("a", Sight::All)];
        let together_once = ConsumerGroups { groups: vec![group("a"), group("b")], sight: Sight::All };
        assert_eq!(together(lists).unwrap(), together_once);
        let trouble = together(vec![list("a", Sight::All), list("a", Sight::All)]).unwrap_err();
        assert_eq!(trouble.kind, CallErrorKind::Conflict);
    }

    #[test]
    fn other_groups_than_those_asked_about_are_no_answer() {
        let asked = BTreeSet::from(["a".to_owned(), "b".to_owned()]);
        assert!(as_asked(&asked, &[group("b"), group("a")]).is_ok());
        assert!(as_asked(&asked, &[group("a")]).is_err());
        assert!(as_asked(&asked, &[group("a"), group("b"), group("b")]).is_err());
        assert!(as_asked(&asked, &[group("a"), group("c")]).is_err());
    }
}
