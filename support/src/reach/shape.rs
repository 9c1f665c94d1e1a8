//! The shapes of Kafka's answers.
//!
//! The decoder makes room for as many entries as a list says that it has, before it reads one: a broken answer would end this
//! process. So each answer is walked first, and a list that says more than came is found.

/// An answer's parts, and from which version on its lengths are compact.
pub(super) struct Shape {
    compact_from: i16,
    parts: &'static [Part],
}

/// A part, and the versions that have it.
struct Part {
    from: i16,
    to: i16,
    what: What,
}

enum What {
    Fixed(usize),
    Text,
    Blob,
    List(&'static [Part]),
    Tags,
}

const fn since(from: i16, what: What) -> Part {
    Part { from, to: i16::MAX, what }
}

const fn always(what: What) -> Part {
    since(0, what)
}

const INTS: &[Part] = &[always(What::Fixed(4))];
const TEXTS: &[Part] = &[always(What::Text)];

pub(super) const API_VERSIONS: Shape = Shape {
    compact_from: i16::MAX,
    parts: &[always(What::Fixed(2)), always(What::List(&[always(What::Fixed(6))])), since(1, What::Fixed(4))],
};

pub(super) const SASL_HANDSHAKE: Shape =
    Shape { compact_from: i16::MAX, parts: &[always(What::Fixed(2)), always(What::List(TEXTS))] };

pub(super) const SASL_AUTHENTICATE: Shape = Shape {
    compact_from: 2,
    parts: &[
        always(What::Fixed(2)),
        always(What::Text),
        always(What::Blob),
        since(1, What::Fixed(8)),
        since(2, What::Tags),
    ],
};

pub(super) const METADATA: Shape = Shape {
    compact_from: 9,
    parts: &[
        since(3, What::Fixed(4)),
        always(What::List(&[
            always(What::Fixed(4)),
            always(What::Text),
            always(What::Fixed(4)),
            since(1, What::Text),
            since(9, What::Tags),
        ])),
        since(2, What::Text),
        since(1, What::Fixed(4)),
        always(What::List(&[
            always(What::Fixed(2)),
            always(What::Text),
            since(10, What::Fixed(16)),
            since(1, What::Fixed(1)),
            always(What::List(&[
                always(What::Fixed(2 + 4 + 4)),
                since(7, What::Fixed(4)),
                always(What::List(INTS)),
                always(What::List(INTS)),
                since(5, What::List(INTS)),
                since(9, What::Tags),
            ])),
            since(8, What::Fixed(4)),
            since(9, What::Tags),
        ])),
        Part { from: 8, to: 10, what: What::Fixed(4) },
        since(13, What::Fixed(2)),
        since(9, What::Tags),
    ],
};

pub(super) const DESCRIBE_CLUSTER: Shape = Shape {
    compact_from: 0,
    parts: &[
        always(What::Fixed(4 + 2)),
        always(What::Text),
        since(1, What::Fixed(1)),
        always(What::Text),
        always(What::Fixed(4)),
        always(What::List(&[
            always(What::Fixed(4)),
            always(What::Text),
            always(What::Fixed(4)),
            always(What::Text),
            since(2, What::Fixed(1)),
            always(What::Tags),
        ])),
        always(What::Fixed(4)),
        always(What::Tags),
    ],
};

pub(super) const LIST_GROUPS: Shape = Shape {
    compact_from: 3,
    parts: &[
        since(1, What::Fixed(4)),
        always(What::Fixed(2)),
        always(What::List(&[
            always(What::Text),
            always(What::Text),
            since(4, What::Text),
            since(5, What::Text),
            since(3, What::Tags),
        ])),
        since(3, What::Tags),
    ],
};

pub(super) const DESCRIBE_GROUPS: Shape = Shape {
    compact_from: 5,
    parts: &[
        since(1, What::Fixed(4)),
        always(What::List(&[
            always(What::Fixed(2)),
            since(6, What::Text),
            always(What::Text),
            always(What::Text),
            always(What::Text),
            always(What::Text),
            always(What::List(&[
                always(What::Text),
                since(4, What::Text),
                always(What::Text),
                always(What::Text),
                always(What::Blob),
                always(What::Blob),
                since(5, What::Tags),
            ])),
            since(3, What::Fixed(4)),
            since(5, What::Tags),
        ])),
        since(5, What::Tags),
    ],
};

/// What a member of a new-style group has, twice: now, and where it is led to.
const ASSIGNED: What =
    What::List(&[always(What::Fixed(16)), always(What::Text), always(What::List(INTS)), always(What::Tags)]);

pub(super) const CONSUMER_GROUP_DESCRIBE: Shape = Shape {
    compact_from: 0,
    parts: &[
        always(What::Fixed(4)),
        always(What::List(&[
            always(What::Fixed(2)),
            always(What::Text),
            always(What::Text),
            always(What::Text),
            always(What::Fixed(4 + 4)),
            always(What::Text),
            always(What::List(&[
                always(What::Text),
                always(What::Text),
                always(What::Text),
                always(What::Fixed(4)),
                always(What::Text),
                always(What::Text),
                always(What::List(TEXTS)),
                always(What::Text),
                always(ASSIGNED),
                always(What::Tags),
                always(ASSIGNED),
                always(What::Tags),
                since(1, What::Fixed(1)),
                always(What::Tags),
            ])),
            always(What::Fixed(4)),
            always(What::Tags),
        ])),
        always(What::Tags),
    ],
};

/// What a consumer says of itself when it joins a group; after its own version.
pub(super) const SUBSCRIPTION: Shape = Shape {
    compact_from: i16::MAX,
    parts: &[
        always(What::List(TEXTS)),
        always(What::Blob),
        since(1, What::List(&[always(What::Text), always(What::List(INTS))])),
        since(2, What::Fixed(4)),
        since(3, What::Text),
    ],
};

impl Shape {
    /// Walks through `bytes`, and says how many of them are left.
    pub(super) fn left(&self, version: i16, bytes: &[u8]) -> Option<usize> {
        let mut walk = Walk { bytes, version, compact: version >= self.compact_from };
        walk.through(self.parts)?;
        Some(walk.bytes.len())
    }
}

struct Walk<'b> {
    bytes: &'b [u8],
    version: i16,
    compact: bool,
}

impl Walk<'_> {
    fn through(&mut self, parts: &[Part]) -> Option<()> {
        let version = self.version;
        for part in parts.iter().filter(|part| (part.from..=part.to).contains(&version)) {
            match &part.what {
                What::Fixed(count) => self.skip(*count)?,
                What::Text => {
                    let length =
                        if self.compact { self.compact_length()? } else { i16::from_be_bytes(self.take()?).into() };
                    self.skip(usize::try_from(length).unwrap_or(0))?;
                }
                What::Blob => {
                    let length = self.long_length()?;
                    self.skip(usize::try_from(length).unwrap_or(0))?;
                }
                What::List(entry) => {
                    for _ in 0..self.long_length()? {
                        self.through(entry)?;
                    }
                }
                What::Tags => {
                    for _ in 0..self.varint()? {
                        self.varint()?;
                        let size = self.varint()?;
                        self.skip(usize::try_from(size).ok()?)?;
                    }
                }
            }
        }
        Some(())
    }

    fn long_length(&mut self) -> Option<i64> {
        if self.compact { self.compact_length() } else { Some(i32::from_be_bytes(self.take()?).into()) }
    }

    /// A compact length is one more than it says; 0 is none.
    fn compact_length(&mut self) -> Option<i64> {
        Some(i64::from(self.varint()?) - 1)
    }

    fn varint(&mut self) -> Option<u32> {
        let mut value = 0_u32;
        for place in 0..5 {
            let [byte] = self.take()?;
            value |= u32::from(byte & 0x7F) << (place * 7);
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.bytes.split_first_chunk()?;
        self.bytes = rest;
        Some(*taken)
    }

    fn skip(&mut self, count: usize) -> Option<()> {
        self.bytes = self.bytes.get(count..)?;
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use bytes::{Bytes, BytesMut};
    use kafka_protocol::messages::{
        BrokerId, ConsumerGroupDescribeResponse, DescribeClusterResponse, DescribeGroupsResponse, GroupId,
        ListGroupsResponse, MetadataResponse, SaslAuthenticateResponse, SaslHandshakeResponse, TopicName,
        consumer_group_describe_response, describe_cluster_response, describe_groups_response, list_groups_response,
        metadata_response,
    };
    use kafka_protocol::protocol::{Decodable, Encodable, Message, StrBytes};

    use super::*;

    /// Every version of `message` is walked to its end, no shorter one is, and a longer one leaves what is too much.
    fn holds<M: Message + Encodable + Decodable>(shape: &Shape, message: &M, from: i16) {
        for version in from..=M::VERSIONS.max {
            let mut bytes = BytesMut::new();
            message.encode(&mut bytes, version).unwrap();
            assert_eq!(shape.left(version, &bytes), Some(0), "version {version}");
            for end in 0..bytes.len() {
                assert_eq!(shape.left(version, &bytes[..end]), None, "version {version}, {end} bytes");
            }
            // What the shape lets through, though it is broken, the decoder survives.
            for place in 0..bytes.len() {
                for wrong in [0x00, 0x7F, 0x80, 0xFF] {
                    let mut broken = bytes.clone();
                    broken[place] = wrong;
                    if shape.left(version, &broken) == Some(0) {
                        let _ = M::decode(&mut broken, version);
                    }
                }
            }
            bytes.extend_from_slice(b"rest");
            assert_eq!(shape.left(version, &bytes), Some(4), "version {version}");
        }
    }

    fn text(text: &'static str) -> StrBytes {
        StrBytes::from_static_str(text)
    }

    #[test]
    fn the_shape_of_the_metadata_is_that_of_the_protocol() {
        let partition = metadata_response::MetadataResponsePartition::default()
            .with_replica_nodes(vec![BrokerId(1), BrokerId(2)])
            .with_isr_nodes(vec![BrokerId(1)]);
        let topic = metadata_response::MetadataResponseTopic::default()
            .with_name(Some(TopicName(text("orders"))))
            .with_partitions(vec![partition.clone(), partition]);
        let broker = metadata_response::MetadataResponseBroker::default().with_host(text("broker.example"));
        let message = MetadataResponse::default()
            .with_brokers(vec![broker.clone(), broker])
            .with_topics(vec![topic.clone(), topic]);
        holds(&METADATA, &message, 0);
    }

    #[test]
    fn the_shape_of_the_cluster_is_that_of_the_protocol() {
        let broker = describe_cluster_response::DescribeClusterBroker::default().with_host(text("broker.example"));
        let message = DescribeClusterResponse::default()
            .with_cluster_id(text("lkc"))
            .with_brokers(vec![broker.clone(), broker.with_rack(Some(text("a")))]);
        holds(&DESCRIBE_CLUSTER, &message, 0);
    }

    #[test]
    fn the_shapes_of_groups_are_those_of_the_protocol() {
        let listed = list_groups_response::ListedGroup::default().with_group_id(GroupId(text("g")));
        holds(&LIST_GROUPS, &ListGroupsResponse::default().with_groups(vec![listed.clone(), listed]), 0);

        let member = describe_groups_response::DescribedGroupMember::default()
            .with_member_id(text("m"))
            .with_member_metadata(Bytes::from_static(b"abc"));
        let group = describe_groups_response::DescribedGroup::default()
            .with_group_id(GroupId(text("g")))
            .with_members(vec![member]);
        holds(&DESCRIBE_GROUPS, &DescribeGroupsResponse::default().with_groups(vec![group.clone(), group]), 0);

        let partitions = consumer_group_describe_response::TopicPartitions::default().with_partitions(vec![0, 1]);
        let member = consumer_group_describe_response::Member::default()
            .with_subscribed_topic_names(vec![TopicName(text("orders"))])
            .with_assignment(
                consumer_group_describe_response::Assignment::default().with_topic_partitions(vec![partitions]),
            );
        let group = consumer_group_describe_response::DescribedGroup::default().with_members(vec![member]);
        holds(&CONSUMER_GROUP_DESCRIBE, &ConsumerGroupDescribeResponse::default().with_groups(vec![group]), 1);
    }

    #[test]
    fn the_shapes_of_the_login_are_those_of_the_protocol() {
        holds(&SASL_HANDSHAKE, &SaslHandshakeResponse::default().with_mechanisms(vec![text("PLAIN"), text("A")]), 0);
        let answer = SaslAuthenticateResponse::default().with_auth_bytes(Bytes::from_static(b"abc"));
        holds(&SASL_AUTHENTICATE, &answer, 0);
    }

    #[test]
    fn a_list_that_says_more_than_came_is_found() {
        let mut bytes = vec![0, 0];
        bytes.extend_from_slice(&i32::MAX.to_be_bytes());
        assert_eq!(API_VERSIONS.left(0, &bytes), None);
        // The same, in a compact list.
        assert_eq!(LIST_GROUPS.left(3, &[0, 0, 0, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0x0F]), None);
    }
}
