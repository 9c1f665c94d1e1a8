//! Who consumes the platform's topics, as Kafka says it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use support::ensure;
use support::reach::{ConsumerGroup, GroupMember, KafkaAddress, Sight};
use support::registry::HandleError;
use support::run::check::{Check, Unmet};
use support::run::context::LaneRun;
use support::run::lane::{Step, Stop};
use support::substrate::reply::{CallError, CallErrorKind};

use crate::m4::dev_min::d_dependencies::{kafka_address, without_place};
use crate::m4::dev_min::{a_handle_closure, files};

/// The observation.
pub(super) const GROUPS: &str = "groups";

/// The registry's names of the groups that daemons consume in, each with how many services do so. The core's it must have.
const NAMES: [(&str, usize); 3] =
    [(CORE_GROUP, 4), ("DECISION_LANE_CONSUMER_GROUP_ID", 4), ("CASE_LABELS_CONSUMER_GROUP_ID", 3)];
const CORE_GROUP: &str = "RTDL_CORE_CONSUMER_GROUP_ID";

/// Kafka's groups.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Groups {
    /// Those that consume topics of the platform, or may, and those that the registry names; by their ids.
    by_id: BTreeMap<String, Group>,
    /// Whether Kafka shows the gate's login all groups.
    sight: Sight,
    /// The groups that the registry names, each with how many services consume in it, or why it cannot be told.
    named: Result<BTreeMap<String, usize>, String>,
}

/// One group.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Group {
    state: String,
    /// The client ids of its members, sorted.
    clients: Vec<String>,
    /// Whether a member says that it consumes a topic of the platform; else one only may.
    told: bool,
}

impl Groups {
    fn of(
        groups: &[ConsumerGroup],
        sight: Sight,
        named: Result<BTreeMap<String, usize>, String>,
        topics: &[String],
    ) -> Self {
        let is_named = |id: &String| named.as_ref().is_ok_and(|named| named.contains_key(id));
        let concerns = |group: &&ConsumerGroup| {
            is_named(&group.id) || group.members.iter().any(|member| may_consume(member, topics))
        };
        let seen = |group: &ConsumerGroup| {
            let mut clients: Vec<String> = group.members.iter().map(|member| member.client_id.clone()).collect();
            clients.sort_unstable();
            let told = group.members.iter().flat_map(|member| &member.topics).any(|topic| topics.contains(topic));
            (group.id.clone(), Group { state: group.state.clone(), clients, told })
        };
        Self { by_id: groups.iter().filter(concerns).map(seen).collect(), sight, named }
    }

    /// Whether they are the daemons' own, and all of them.
    fn own(&self) -> Result<usize, Unmet> {
        let named = self.named.as_ref().map_err(|why| {
            Unmet::from(why.clone()).next("correct the registry where the message says, then run the gate again")
        })?;
        for (id, group) in &self.by_id {
            let Some(services) = named.get(id) else { return Err(group.foreign(id)) };
            group.holds(id, *services)?;
        }
        ensure!(
            self.sight == Sight::All,
            "the gate's login may not describe the cluster, so Kafka keeps groups from it without a word"
        );
        if let Some(unseen) = named.keys().find(|id| !self.by_id.contains_key(*id)) {
            let why = format!("Kafka has no consumer group {unseen}, in which daemons consume, as the registry says");
            return Err(Unmet::from(why).next(
                "see in the daemons' definitions which group they join: correct them, or the registry, then run the gate again",
            ));
        }
        Ok(self.by_id.len())
    }

    /// What a snapshot says of them.
    pub(super) fn summary(&self) -> Value {
        let each = self.by_id.iter();
        each.map(|(id, group)| (id.clone(), json!({ "state": group.state, "clients": group.clients }))).collect()
    }
}

impl Group {
    /// Why one is in the way that the registry does not name.
    fn foreign(&self, id: &str) -> Unmet {
        let id = files::shown(id);
        let why = match self.told {
            true => format!("the group {id} consumes the platform's topics, and the registry names none such"),
            false => format!(
                "the group {id} may consume the platform's topics: it is {}, and a member says nothing of its topics, or has them matched by a pattern; and the registry names none such",
                files::shown(&self.state)
            ),
        };
        Unmet::from(why).next(format!(
            "stop the consumer by hand; or, if daemons consume so, name the group in the registry: {}",
            NAMES.map(|(handle, _)| handle).join(", ")
        ))
    }

    /// Whether so many services consume in it, and nobody else.
    fn holds(&self, id: &str, services: usize) -> Result<(), Unmet> {
        if self.state != "Stable" {
            let why = format!("the consumer group {id} is {}, not Stable", files::shown(&self.state));
            let next = match self.clients.is_empty() {
                true => "no daemon has joined it: read the logs of the services that consume in it",
                false => "wait until its members have settled, then run the gate again",
            };
            return Err(Unmet::from(why).next(next));
        }
        let members = self.clients.len();
        if members != services {
            let why = format!("the consumer group {id} has {members} members, and {services} daemons consume in it");
            let next = match members > services {
                true => "stop what consumes in it by hand; its members are in the snapshot by their client ids",
                false => "read the logs of the services that consume in it: not all of them have joined",
            };
            return Err(Unmet::from(why).next(next));
        }
        let twice = self.clients.windows(2).find(|pair| pair.first() == pair.last());
        if let Some(client) = twice.and_then(<[String]>::first) {
            let why = format!("{} consumes twice in the group {id}", files::shown(client));
            let next = "stop the second one, if it is one by hand; daemons of one default name need a client.id each";
            return Err(Unmet::from(why).next(next));
        }
        Ok(())
    }
}

pub(super) static OWN_GROUPS: Check<Groups> = Check::<Groups>::new(
    "groups.own",
    "M4G-B1",
    &[GROUPS],
    |groups| Ok(format!("{} consumer groups, with the daemons in them and nobody beside them", groups.own()?)),
    |groups| {
        for group in groups.by_id.values_mut() {
            group.clients.push("by-hand".to_owned());
        }
    },
)
.next("make Kafka answer from here by the login of SSM_CONFLUENT_API_KEY_PATH, and allow it DESCRIBE on the resource CLUSTER and on every GROUP; then run the gate again");

/// Asks Kafka; where it gives no answer, that is kept in its place.
pub(super) fn observe(run: &mut LaneRun<'_>) -> Step {
    let set = a_handle_closure::closed(run)?;
    let mut topics = Vec::new();
    for handle in set.handles.keys().filter(|handle| handle.starts_with("FP_BUS_")) {
        topics.push(run.text(handle)?);
    }
    let named = named(run).map_err(|error| error.to_string());
    let call = "Kafka's DescribeCluster, ListGroups and DescribeGroups of each broker";
    let answer = match kafka_address(run)? {
        Ok(address) => ask(run, &address)?,
        Err(error) => Err(error),
    };
    match answer {
        Ok((groups, sight)) => run.observe(GROUPS, call, &Groups::of(&groups, sight, named, &topics)),
        // The services are judged all the same.
        Err(error) => match run.unanswered(GROUPS, call, error) {
            _ if run.gave_no_answer(GROUPS) => Ok(()),
            stop => Err(stop),
        },
    }
}

fn ask(run: &LaneRun<'_>, address: &KafkaAddress) -> Result<Result<(Vec<ConsumerGroup>, Sight), CallError>, Stop> {
    let answer = run.world()?.substrate.reach().consumer_groups(address).map(|reply| reply.value);
    Ok(match answer {
        Ok(seen) if seen.sight == Sight::Untold => Err(untold()),
        Ok(seen) => Ok((seen.groups, seen.sight)),
        Err(error) => Err(without_place(error, &address.bootstrap)),
    })
}

/// A cluster that does not say what a login may: whether it keeps groups from it cannot be told.
fn untold() -> CallError {
    CallError {
        kind: CallErrorKind::Unsupported,
        service: "kafka".to_owned(),
        operation: "describe-cluster".to_owned(),
        target: "-".to_owned(),
        status: None,
        request_id: None,
        message: "the cluster does not say which operations the gate's login may, so it may keep groups from it; Apache Kafka says it from 2.8 on".to_owned(),
        attempts: 1,
    }
}

fn named(run: &LaneRun<'_>) -> Result<BTreeMap<String, usize>, HandleError> {
    let mut named = BTreeMap::new();
    for (handle, services) in NAMES {
        match run.handles().resolve(handle) {
            Ok(resolved) => *named.entry(resolved.text()?.to_owned()).or_default() += services,
            Err(HandleError::Missing { .. }) if handle != CORE_GROUP => {}
            Err(error) => return Err(error),
        }
    }
    Ok(named)
}

/// Whether a member may consume one of the topics: it says so, has the brokers match a pattern, or says nothing of its topics.
fn may_consume(member: &GroupMember, topics: &[String]) -> bool {
    member.pattern.is_some() || member.topics.is_empty() || member.topics.iter().any(|topic| topics.contains(topic))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const TOPIC: &str = "fp.bus.rtdl.v1";

    fn member(client: &str, topics: &[&str], pattern: Option<&str>) -> GroupMember {
        GroupMember {
            member_id: format!("{client}-1"),
            client_id: client.to_owned(),
            host: "/10.0.0.9".to_owned(),
            topics: topics.iter().map(|topic| (*topic).to_owned()).collect(),
            pattern: pattern.map(str::to_owned),
        }
    }

    #[rstest]
    #[case::ours(&[TOPIC], None, true)]
    #[case::ours_among_others(&["orders", TOPIC], None, true)]
    #[case::others(&["orders"], None, false)]
    #[case::untold(&[], None, true)]
    #[case::by_pattern(&[], Some("fp.*"), true)]
    #[case::others_and_a_pattern(&["orders"], Some("fp.*"), true)]
    fn a_member_consumes_what_it_says_and_may_consume_what_it_does_not(
        #[case] topics: &[&str],
        #[case] pattern: Option<&str>,
        #[case] may: bool,
    ) {
        assert_eq!(may_consume(&member("by-hand", topics, pattern), &[TOPIC.to_owned()]), may);
    }

    fn group(id: &str, state: &str, members: Vec<GroupMember>) -> ConsumerGroup {
        ConsumerGroup { id: id.to_owned(), state: state.to_owned(), protocol_type: "consumer".to_owned(), members }
    }

    fn said(groups: &[ConsumerGroup], sight: Sight) -> Result<usize, String> {
        let named = Ok(BTreeMap::from([("core".to_owned(), 2)]));
        Groups::of(groups, sight, named, &[TOPIC.to_owned()]).own().map_err(|unmet| unmet.why)
    }

    fn core(clients: &[&str]) -> ConsumerGroup {
        group("core", "Stable", clients.iter().map(|client| member(client, &[TOPIC], None)).collect())
    }

    #[rstest]
    #[case::empty(group("core", "Empty", Vec::new()), "is Empty, not Stable")]
    #[case::elsewhere(group("core", "Stable", vec![member("ieg", &["orders"], None)]), "has 1 members, and 2 daemons")]
    #[case::one_more(core(&["a", "b", "c"]), "has 3 members")]
    #[case::twice(core(&["a", "a"]), "consumes twice")]
    fn the_daemons_own_group_is_judged_whatever_it_says_of_topics(#[case] core: ConsumerGroup, #[case] says: &str) {
        let why = said(&[core], Sight::All).unwrap_err();
        assert!(why.contains(says), "{why}");
    }

    #[rstest]
    #[case::told(&[TOPIC], "consumes the platform's topics")]
    #[case::untold(&[], "may consume the platform's topics")]
    fn a_foreign_group_is_said_to_do_what_is_known(#[case] topics: &[&str], #[case] says: &str) {
        let foreign = group("analysts", "PreparingRebalance", vec![member("one", topics, None)]);
        let why = said(&[core(&["a", "b"]), foreign], Sight::All).unwrap_err();
        assert!(why.contains(says) && why.contains("analysts"), "{why}");
    }

    #[test]
    fn groups_that_may_be_hidden_are_not_known_to_be_none() {
        assert_eq!(said(&[core(&["a", "b"])], Sight::All), Ok(1));
        assert!(said(&[core(&["a", "b"])], Sight::Permitted).unwrap_err().contains("may not describe the cluster"));
        assert!(said(&[], Sight::All).unwrap_err().contains("Kafka has no consumer group core"));
    }
}
