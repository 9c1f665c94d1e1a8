//! M4.B: five packs of thirteen services, each by one name and once.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use support::ensure;
use support::registry::is_handle_name;
use support::run::check::{AnyCheck, Check, Proof, Unmet};
use support::run::context::LaneRun;
use support::run::finding::Basis;
use support::run::lane::{Lane, Step, Stop};
use support::run::publication::{Publication, durable, non_secret_derived};

use super::a_handle_closure::{self, Handle};
use super::files;
use super::packs::{PACKS, SERVICE, SINGLETON, TASK};

pub(super) const SNAPSHOT: &str = "m4_b_service_map_snapshot.json";

/// The registry's word on how many of a service run.
const DESIRED: &str = "ECS_SERVICE_DESIRED_COUNT_DEFAULT";

/// What the replica policy of v0 is called.
const POLICY: &str = "v0_singleton_deterministic";

/// The map as plan, registry and handoff have it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Map {
    /// The packs that M4.B's tasks list, in their order, each with its handles.
    pub planned: Vec<(String, Vec<String>)>,
    /// The packs that the plan's scope lists.
    pub scope: BTreeSet<String>,
    /// The services that the registry knows.
    pub registered: BTreeSet<String>,
    /// What each handle of the map resolves to.
    pub services: BTreeMap<String, Named>,
    /// What the registry says of the desired count.
    pub desired: Result<u64, String>,
    /// The words with which M4.B pins the singleton, where it does.
    pub pins_singleton: bool,
    /// The words with which M4.B keeps one-shot tasks out, where it does.
    pub keeps_out: bool,
}

/// One service's name.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Named {
    /// Its name, or why there is none.
    pub name: Result<String, String>,
    /// Whether there are two.
    pub ambiguous: bool,
    /// Where it is written.
    pub origin: String,
    /// What made it.
    pub made_by: Option<String>,
}

pub(super) static COMPLETE: Check<Map> = Check::<Map>::new(
    "map.complete",
    "M4B-B1",
    &["map"],
    |map| {
        let packs: Vec<&str> = map.planned.iter().map(|(pack, _)| pack.as_str()).collect();
        let known: Vec<&str> = PACKS.iter().map(|(pack, _)| *pack).collect();
        ensure!(packs == known, "M4.B lists the packs {}, and P2 runs {}", packs.join(", "), known.join(", "));
        for ((pack, planned), (_, services)) in map.planned.iter().zip(PACKS) {
            // What is no daemon at all is another check's.
            let planned: Vec<&str> =
                planned.iter().map(String::as_str).filter(|handle| handle.starts_with(SERVICE)).collect();
            ensure!(
                planned == services,
                "pack {pack} is {} in M4.B, and P2 runs {}",
                listed(&planned),
                listed(services)
            );
        }
        let known: BTreeSet<String> = known.into_iter().map(str::to_owned).collect();
        let differ: Vec<&str> = map.scope.symmetric_difference(&known).map(String::as_str).collect();
        ensure!(differ.is_empty(), "the plan's scope and M4.B differ in {}", differ.join(", "));
        let mapped: BTreeSet<&str> = super::packs::services().collect();
        let more: Vec<&str> =
            map.registered.iter().map(String::as_str).filter(|service| !mapped.contains(service)).collect();
        ensure!(more.is_empty(), "the registry has {}, which no pack of P2 runs", more.join(", "));
        for (handle, named) in &map.services {
            if named.ambiguous {
                continue;
            }
            if let Err(why) = &named.name {
                return Err(Unmet::from(format!("{handle}: {why}")));
            }
            ensure!(named.made_by.is_some(), "{handle}: nothing says what made its name");
        }
        let names: BTreeSet<&String> = map.services.values().filter_map(|named| named.name.as_ref().ok()).collect();
        let count = map.services.values().filter(|named| named.name.is_ok()).count();
        ensure!(names.len() == count, "two services have one name");
        Ok(format!("{} packs, {} services, each with a name of its own", packs.len(), names.len()))
    },
    |map| {
        map.planned.pop();
    },
)
.next("bring M4.B's packs, the plan's scope and the registry's services to the same five packs and thirteen names");

pub(super) static SINGLETONS: Check<Map> = Check::<Map>::new(
    "map.singletons",
    "M4B-B2",
    &["map"],
    |map| {
        let desired = map.desired.as_ref().map_err(|why| Unmet::from(why.clone()))?;
        ensure!(*desired == SINGLETON, "{DESIRED} is {desired}, and v0 runs {SINGLETON} of each service");
        ensure!(map.pins_singleton, "M4.B does not pin `desired_count=1` and `replica_policy={POLICY}`");
        Ok(format!("{SINGLETON} of each of {} services", map.services.len()))
    },
    |map| map.desired = Ok(2),
)
.next("pin ECS_SERVICE_DESIRED_COUNT_DEFAULT = 1 in the registry, and desired_count and replica_policy in M4.B");

pub(super) static UNAMBIGUOUS: Check<Map> = Check::<Map>::new(
    "map.unambiguous",
    "M4B-B4",
    &["map"],
    |map| {
        if let Some((handle, named)) = map.services.iter().find(|(_, named)| named.ambiguous) {
            let why = named.name.as_ref().err().map_or("-", String::as_str);
            return Err(Unmet::from(format!("{handle}: {why}")));
        }
        ensure!(!map.services.is_empty(), "no service was looked up");
        Ok(format!("{} services, one name each", map.services.len()))
    },
    |map| map.services.values_mut().for_each(|named| named.ambiguous = true),
)
.next("keep one name of the service: the registry's or the handoff's");

pub(super) static NO_TASK: Check<Map> = Check::<Map>::new(
    "map.daemons_only",
    "M4B-B5",
    &["map"],
    |map| {
        for (pack, handles) in &map.planned {
            let other: Vec<&str> =
                handles.iter().map(String::as_str).filter(|handle| !handle.starts_with(SERVICE)).collect();
            ensure!(other.is_empty(), "pack {pack} runs {}, which is no daemon of P2", other.join(", "));
            ensure!(
                !handles.iter().any(|handle| handle.contains("REPORTER")),
                "pack {pack} runs the reporter, which is a task of P11"
            );
        }
        ensure!(map.keeps_out, "M4.B does not say that `{TASK}*` and the reporter stay out");
        Ok("no one-shot task and no reporter among the daemons".to_owned())
    },
    |map| map.planned.push(("obs_gov".to_owned(), vec!["TD_REPORTER".to_owned()])),
)
.basis(Basis::Documented)
.next("take the task out of M4.B's packs; TD_* are run once, and the reporter belongs to P11");

/// The snapshot as the store has it.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Kept {
    uri: String,
    body: Value,
}

static KEPT: Check<Kept> = Check::<Kept>::new(
    "map.kept",
    "M4B-B2",
    &["kept"],
    |kept| {
        let mut count = 0;
        let packs = kept.body.get("packs").and_then(Value::as_array).into_iter().flatten();
        for row in packs.filter_map(|pack| pack.get("services")?.as_array()).flatten() {
            let handle = row.get("service_handle").and_then(Value::as_str).unwrap_or("-");
            let (desired, policy) = (row.get("desired_count"), row.get("replica_policy"));
            ensure!(desired == Some(&json!(SINGLETON)), "{}: desired_count of {handle} is {desired:?}", kept.uri);
            ensure!(policy == Some(&json!(POLICY)), "{}: replica_policy of {handle} is {policy:?}", kept.uri);
            count += 1;
        }
        ensure!(count == super::packs::services().count(), "{} has {count} services", kept.uri);
        let excluded = |name: &str| kept.body.pointer(&format!("/excluded/{name}")).and_then(Value::as_str);
        ensure!(
            excluded("one_shot_tasks").is_some() && excluded("reporter").is_some(),
            "{} does not say that {TASK}* and the reporter are left out",
            kept.uri
        );
        Ok(format!("{}: {count} services once each, and what is left out", kept.uri))
    },
    |kept| kept.body = json!({}),
)
.next("look for a second writer under this execution's prefix");

static DURABLE: Check<Publication> =
    durable("service_map.durable", "M4B-B3", &["publish:m4_b_service_map_snapshot.json"], |published| {
        published.durable(Some("PG-M4.B-map_secret"))
    })
    .next(files::NOT_KEPT);

static NON_SECRET: Check<Publication> =
    non_secret_derived("service_map.non_secret", "map_secret", &["publish:m4_b_service_map_snapshot.json"])
        .next(files::SECRET);

/// What the snapshot answers for.
const ASKED: [&dyn AnyCheck; 4] = [&COMPLETE, &SINGLETONS, &UNAMBIGUOUS, &NO_TASK];

/// The lane.
pub(super) fn lane() -> Lane {
    Lane::new("M4.B", execute)
        .after("M4.A")
        .asked_again()
        .documents(read_documents)
        .publishes(publish)
        .proves("five packs of thirteen services, each with one name and one replica; no one-shot task among them")
        .checks(ASKED)
        .checks([&NON_SECRET as &dyn AnyCheck, &DURABLE, &KEPT])
        .requirement("five-packs", [COMPLETE.holds(), COMPLETE.refusal()])
        .requirement("concrete-service-names", [COMPLETE.holds(), UNAMBIGUOUS.holds()])
        .requirement("singleton-policy", [SINGLETONS.holds(), SINGLETONS.refusal(), KEPT.holds()])
        .requirement("exclusions-explicit", [NO_TASK.holds(), NO_TASK.refusal(), KEPT.holds()])
        .requirement("service-map-snapshot", [DURABLE.holds(), NON_SECRET.holds()])
}

/// `service_map_complete`.
pub(super) fn held() -> Vec<Proof> {
    vec![Proof::Lane("M4.B")]
}

fn listed(handles: &[&str]) -> String {
    if handles.is_empty() { "nothing".to_owned() } else { handles.join(", ") }
}

fn read_documents(run: &mut LaneRun<'_>) -> Step {
    let registry = run.handles().registry();
    let registered = registry.definitions.iter().map(|definition| definition.name.clone());
    let desired = run.handles().resolve(DESIRED).and_then(|resolved| resolved.whole_number());
    let planned = planned(run);
    let handles = planned.iter().flat_map(|(_, handles)| handles).filter(|handle| handle.starts_with(SERVICE));
    let set: a_handle_closure::HandleSet = run.fact("M4.A/handle_set")?;
    let named = |handle: &String| match set.handles.get(handle) {
        Some(Handle::Resolved { value, origin, made_by, .. }) => Named {
            name: value.as_str().map(str::to_owned).ok_or_else(|| format!("{value} is no name")),
            ambiguous: false,
            origin: origin.clone(),
            made_by: made_by.clone(),
        },
        Some(Handle::Ambiguous { why }) => unnamed(why, true),
        Some(Handle::Unresolved { why }) => unnamed(why, false),
        None => unnamed("M4.A does not close it", false),
    };
    let services = handles.map(|handle| (handle.clone(), named(handle))).collect();
    let tasks = texts_of_tasks(run).join("\n");
    let pinned = |name: &str| code(&tasks).filter_map(|span| span.strip_prefix(name)).collect::<Vec<_>>();
    let map = Map {
        scope: scope(run),
        registered: registered.filter(|name| name.starts_with(SERVICE)).collect(),
        services,
        desired: desired.map_err(|error| error.to_string()),
        pins_singleton: pinned("desired_count=") == ["1"] && pinned("replica_policy=") == [POLICY],
        keeps_out: tasks.contains(&format!("`{TASK}*`")) && tasks.contains("`TD_REPORTER`"),
        planned,
    };
    run.observe("map", "tasks of M4.B; the plan's scope; registry; M4.A's closed handles", &map)
}

fn unnamed(why: &str, ambiguous: bool) -> Named {
    Named { name: Err(why.to_owned()), ambiguous, origin: "-".to_owned(), made_by: None }
}

fn texts_of_tasks<'r>(run: &LaneRun<'r>) -> Vec<&'r str> {
    let tasks = run.plan().lanes.iter().filter(|lane| lane.id == "M4.B").flat_map(|lane| &lane.tasks);
    tasks.flat_map(|task| std::iter::once(&task.text).chain(&task.details)).map(String::as_str).collect()
}

/// The lines `` `pack`: `HANDLE`, `HANDLE` `` of M4.B's tasks.
fn planned(run: &LaneRun<'_>) -> Vec<(String, Vec<String>)> {
    texts_of_tasks(run)
        .into_iter()
        .filter_map(|text| {
            let (pack, handles) = text.strip_prefix('`')?.split_once("`:")?;
            let handles: Vec<String> = code(handles).filter(|span| is_handle_name(span)).map(str::to_owned).collect();
            let is_pack = pack.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
            (is_pack && !handles.is_empty()).then(|| (pack.to_owned(), handles))
        })
        .collect()
}

fn code(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// The packs that the plan's scope names: code spans of small letters with an underscore.
fn scope(run: &LaneRun<'_>) -> BTreeSet<String> {
    let in_scope = run
        .plan()
        .records
        .iter()
        .filter(|record| record.lane.is_none() && record.label.to_ascii_lowercase().starts_with("in scope"));
    let entries = in_scope.flat_map(|record| &record.entries).filter(|entry| !entry.details.is_empty());
    let names = entries.flat_map(|entry| entry.all_below()).flat_map(|entry| entry.code());
    let is_pack = |name: &&str| name.contains('_') && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    names.filter(is_pack).map(str::to_owned).collect()
}

fn execute(run: &mut LaneRun<'_>) -> Step {
    // The names are those that M4.A closed in the end.
    read_documents(run)
}

fn publish(run: &mut LaneRun<'_>) -> Step {
    let map: Map = run.fact("map")?;
    let entry = a_handle_closure::accepted(run)?;
    let packs: Vec<Value> = PACKS
        .iter()
        .map(|(pack, handles)| {
            let services: Vec<Value> = handles.iter().map(|handle| row(&map, handle)).collect();
            json!({ "pack": pack, "services": services })
        })
        .collect();
    let body = json!({
        "m4_execution_id": run.phase_execution_id(),
        "written_at_utc": run.instant().rfc3339(),
        "platform_run_id": entry.platform_run_id(),
        "source_snapshot_uri": files::uri(run, a_handle_closure::SNAPSHOT)?,
        "packs": packs,
        "service_count": map.services.len(),
        "excluded": { "one_shot_tasks": format!("{TASK}*"), "reporter": "TD_REPORTER, run once in P11" },
        "blockers": run.open_among(&ASKED),
        "overall_pass": run.met(&ASKED),
        "non_secret": true,
    });
    files::publish(run, SNAPSHOT, body, &["m4_execution_id", "platform_run_id", "packs", "excluded"])?;
    let (bucket, key) = (run.evidence_bucket()?, run.run_control_key(SNAPSHOT));
    let body = run.get_json("kept", &bucket, &key)?;
    let kept = Kept { uri: format!("s3://{bucket}/{key}"), body };
    run.observe("kept", &format!("s3api get-object of {}", kept.uri), &kept)
}

fn row(map: &Map, handle: &str) -> Value {
    let named = map.services.get(handle);
    json!({
        "service_handle": handle,
        "service_name": named.and_then(|named| named.name.as_ref().ok()),
        "source": named.map(|named| named.origin.as_str()),
        "materialization_origin": named.and_then(|named| named.made_by.as_deref()),
        "desired_count": SINGLETON,
        "replica_policy": POLICY,
    })
}

/// The services by pack, in order, each with its handle and its name.
pub(super) fn mapped(run: &LaneRun<'_>) -> Result<Vec<(&'static str, &'static str, String)>, Stop> {
    run.demand_of("M4.B", &COMPLETE)?;
    run.demand_of("M4.B", &UNAMBIGUOUS)?;
    run.demand_of("M4.B", &NO_TASK)?;
    let map: Map = run.fact("M4.B/map")?;
    let mut all = Vec::new();
    for (pack, handles) in PACKS {
        for handle in handles {
            let named = map.services.get(*handle).and_then(|named| named.name.clone().ok());
            let name = named.ok_or_else(|| Stop::Fault(format!("{handle} has no name")))?;
            all.push((pack, *handle, name));
        }
    }
    Ok(all)
}

/// What must be so in the documents before the substrate is asked anything.
pub(super) fn entry() -> Vec<&'static dyn AnyCheck> {
    vec![&NO_TASK]
}
