//! The seeder, and worlds that are kept.

#![expect(clippy::unwrap_used, reason = "the helpers of a test may fail it")]

use std::fs;
use std::path::Path;

use phasegate_support::substrate::embedded::{self, EmbeddedWorld};
use phasegate_support::substrate::reply::CallErrorKind;
use phasegate_support::substrate::seed::{self, SeedError, World};
use phasegate_support::substrate::{
    CostQuery, EVENT_LIMIT, Granularity, LogQuery, Options, PolicyDecision, ServiceInfo, Substrate, SubstrateKind,
    TaskFilter, TasksSeen, Versioning,
};
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

[[policy]]
name = "read-own"
document_file = "read-own.json"

[[policy]]
name = "edge"
document = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}'

[[role]]
name = "plain"

[[role]]
name = "runtime"
attached = ["read-own"]
permissions_boundary = "edge"

[[role.policy]]
name = "logs"
document = { Version = "2012-10-17", Statement = [{ Effect = "Allow", Action = "logs:PutLogEvents", Resource = "*" }] }

[[given]]
name = "PLATFORM_IMAGE"
value = "platform:dev"

[[given]]
name = "PLATFORM_BUNDLE"
path = "./raw.bin"

[[parameter]]
name = "/platform/key"
type = "SecureString"
value = "open-sesame"

[[state_machine]]
name = "platform"

[[execution]]
state_machine = "platform"
name = "run-1"
input = '{"platform_run_id":"platform_1"}'

[[execution]]
state_machine = "platform"
name = "run-0"
status = "ABORTED"

[[terraform_state]]
bucket = "plain"
key = "core/terraform.tfstate"
outputs = { bucket_name = "evidence", count = 2, password = "open-sesame" }
sensitive = ["password"]

[[cost]]
day = "2026-01-31"
amount = "100"

[[cost]]
day = "2026-02-03"
amount = "12.340"

[[cost]]
day = "2026-02-09"
amount = "-0.0000000001"

[[cost]]
day = "2026-02-09"
metric = "UsageQuantity"
amount = "7"
unit = "N/A"
"#;

const READ_OWN: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"ssm:GetParameter","Resource":"arn:aws:ssm:eu-west-2:230372904534:parameter/platform/*"}]}"#;

fn folder(text: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("world.toml"), text).unwrap();
    fs::write(dir.path().join("raw.bin"), [0_u8, 255, 10]).unwrap();
    fs::write(dir.path().join("read-own.json"), READ_OWN).unwrap();
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
    assert_eq!(state["outputs"]["password"]["sensitive"], true);
    assert_eq!(state["outputs"]["count"].get("sensitive"), None);
    let machine = "arn:aws:states:eu-west-2:230372904534:stateMachine:platform";
    let executions = substrate.sfn().list_executions(machine, Some("RUNNING"), Some(100)).unwrap().value.entries;
    assert_eq!(executions.len(), 1);
    let running = substrate.sfn().describe_execution(&executions[0].arn).unwrap().value;
    assert_eq!(running.input.as_deref(), Some(r#"{"platform_run_id":"platform_1"}"#));
    let all = substrate.sfn().list_executions(machine, None, None).unwrap().value.entries;
    assert_eq!(all.iter().filter(|execution| execution.status == "ABORTED").count(), 1);
    let image = substrate.ecr().describe_image("platform", "git-1").unwrap().value;
    assert!(image.digest.starts_with("sha256:"));
    check_roles(substrate);
}

fn check_roles(substrate: &Substrate) {
    let iam = substrate.iam();
    let runtime = iam.get_role("runtime").unwrap().value;
    assert_eq!(runtime.permissions_boundary.as_deref(), Some("arn:aws:iam::230372904534:policy/edge"));
    let policies = iam.role_policies("runtime").unwrap().value;
    assert_eq!(policies.inline.len(), 1);
    assert_eq!(policies.inline[0].document["Statement"][0]["Action"], "logs:PutLogEvents");
    let attached: Vec<_> = policies.attached.iter().map(|policy| policy.arn.as_str()).collect();
    assert_eq!(attached, ["arn:aws:iam::230372904534:policy/read-own"]);
    assert_eq!(policies.attached[0].document, serde_json::from_str::<serde_json::Value>(READ_OWN).unwrap());
    let plain = iam.role_policies("plain").unwrap().value;
    assert!(plain.inline.is_empty() && plain.attached.is_empty());
    let own = "arn:aws:ssm:eu-west-2:230372904534:parameter/platform/key";
    let came = iam.simulate(&runtime.arn, &["ssm:GetParameter", "ssm:PutParameter"], &[own]).unwrap().value;
    assert_eq!(came[0].decision, PolicyDecision::Allowed);
    assert_eq!(came[0].matched, ["read-own"]);
    assert_eq!(came[1].decision, PolicyDecision::ImplicitDeny);
}

#[test]
fn what_is_given_is_read_and_not_made() {
    let literals = folder(WORLD);
    let world = World::read(literals.path()).unwrap();
    let given: Vec<_> = world.given().iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let path = fs::canonicalize(literals.path().join("raw.bin")).unwrap();
    assert_eq!(given, [("PLATFORM_BUNDLE", path.to_str().unwrap()), ("PLATFORM_IMAGE", "platform:dev")]);
    // A folder beside the world's may be named too.
    let outer = tempfile::tempdir().unwrap();
    fs::create_dir_all(outer.path().join("world/inner")).unwrap();
    let world = "account = \"230372904534\"\nregion = \"eu-west-2\"\ninstant = \"2026-02-10T12:00:00Z\"\n[[given]]\nname = \"A\"\npath = \"..\"\n";
    fs::write(outer.path().join("world/inner/world.toml"), world).unwrap();
    let world = World::read(&outer.path().join("world/inner")).unwrap();
    assert_eq!(Path::new(&world.given()["A"]), fs::canonicalize(outer.path().join("world")).unwrap());
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

/// The periods of an answer: start, end, amount of the first metric, and whether it is estimated.
fn costs(substrate: &Substrate, query: &CostQuery<'_>) -> Vec<(String, String, Option<String>, bool)> {
    let periods = substrate.cost().get_cost_and_usage(query).unwrap().value.entries;
    let metric = query.metrics[0];
    let amount = |totals: &std::collections::BTreeMap<_, phasegate_support::substrate::CostAmount>| {
        totals.get(metric).map(|total| format!("{} {}", total.amount, total.unit))
    };
    periods.into_iter().map(|period| (period.start, period.end, amount(&period.totals), period.estimated)).collect()
}

const MONTH_TO_DATE: CostQuery<'static> = CostQuery {
    region: "us-east-1",
    start: "2026-02-01",
    end: "2026-02-11",
    granularity: Granularity::Monthly,
    metrics: &["UnblendedCost"],
};

#[rstest]
#[case::month_to_date("2026-02-01", "2026-02-11", &[("2026-02-01", "2026-02-11", Some("12.3399999999 USD"), true)])]
#[case::the_end_is_exclusive("2026-02-01", "2026-02-09", &[("2026-02-01", "2026-02-09", Some("12.340 USD"), false)])]
#[case::the_start_is_inclusive("2026-02-03", "2026-02-04", &[("2026-02-03", "2026-02-04", Some("12.340 USD"), false)])]
#[case::each_month("2026-01-15", "2026-02-04", &[("2026-01-15", "2026-02-01", Some("100 USD"), false), ("2026-02-01", "2026-02-04", Some("12.340 USD"), false)])]
#[case::a_month_without_rows("2025-12-31", "2026-02-01", &[("2025-12-31", "2026-01-01", None, false), ("2026-01-01", "2026-02-01", Some("100 USD"), false)])]
#[case::nothing_known("2026-02-04", "2026-02-09", &[])]
fn costs_of_a_window_are_added_up(
    #[case] start: &str,
    #[case] end: &str,
    #[case] right: &[(&str, &str, Option<&str>, bool)],
) {
    let literals = folder(WORLD);
    let substrate = embedded(None);
    let seeded = seed::apply(&substrate, &World::read(literals.path()).unwrap()).unwrap();
    assert_eq!(seeded.left_out, Vec::<String>::new());
    let came = costs(&substrate, &CostQuery { start, end, ..MONTH_TO_DATE });
    let came: Vec<_> = came.iter().map(|(start, end, sum, open)| (&**start, &**end, sum.as_deref(), *open)).collect();
    assert_eq!(came, right);
}

#[test]
fn costs_are_of_days_metrics_and_one_region() {
    let literals = folder(WORLD);
    let kept = tempfile::tempdir().unwrap();
    seed::apply(&embedded(Some(kept.path())), &World::read(literals.path()).unwrap()).unwrap();
    // Another process.
    let substrate = embedded(Some(kept.path()));
    let daily = CostQuery { start: "2026-02-08", granularity: Granularity::Daily, ..MONTH_TO_DATE };
    let days = costs(&substrate, &daily);
    assert_eq!(days.iter().map(|day| day.2.is_some()).collect::<Vec<_>>(), [false, true, false]);
    let other = CostQuery { metrics: &["BlendedCost"], ..MONTH_TO_DATE };
    assert_eq!(costs(&substrate, &other)[0].2, None, "no row is not zero");
    let both = CostQuery { metrics: &["UsageQuantity", "UnblendedCost"], ..MONTH_TO_DATE };
    assert_eq!(costs(&substrate, &both)[0].2.as_deref(), Some("7 N/A"));
    // The region that is asked is the query's, not the substrate's.
    let elsewhere = CostQuery { region: "eu-west-2", ..MONTH_TO_DATE };
    let error = substrate.cost().get_cost_and_usage(&elsewhere).unwrap_err();
    assert_eq!(error.kind, CallErrorKind::Denied, "{error}");
}

#[test]
fn costs_of_nobody_are_not_zero() {
    let error = embedded(None).cost().get_cost_and_usage(&MONTH_TO_DATE).unwrap_err();
    assert_eq!(error.kind, CallErrorKind::Denied, "{error}");
}

#[test]
fn costs_that_cannot_be_made_are_named() {
    let literals = folder(WORLD);
    // As on a server, the embedded world's own way is not at hand.
    let behind = EmbeddedWorld::in_memory();
    behind.claim("230372904534", 1_770_724_800).unwrap();
    let mut options = Options::new(SubstrateKind::Embedded, "eu-west-2");
    options.http = Some(embedded::connector(&behind));
    let substrate = Substrate::open(&options).unwrap();
    let seeded = seed::apply(&substrate, &World::read(literals.path()).unwrap()).unwrap();
    assert_eq!(seeded.left_out.len(), 1);
    assert!(seeded.left_out[0].starts_with("4 [[cost]] row(s): "), "{seeded:?}");
    assert_eq!(costs(&substrate, &MONTH_TO_DATE), []);
}

/// What M4's things look like in a world.
const DAEMONS: &str = r#"
account = "230372904534"
region = "eu-west-2"
instant = "2026-02-10T12:00:00Z"

[[cluster]]
name = "main"

[[task_definition]]
family = "gate"

[[task_definition.container]]
name = "app"
image = "platform:git-1"
environment = { REQUIRED_PLATFORM_RUN_ID = "platform_1" }
log_group = "/gate"

[[task_definition.container]]
name = "side"
image = "side:1"
essential = false

[[service]]
cluster = "main"
name = "gate"
task_definition = "gate:1"
behaviour = "crash_loop"
starts_after = 0

[[service]]
cluster = "main"
name = "slow"
task_definition = "gate"
desired = 1
starts_after = 2

[[stray_task]]
cluster = "main"
family = "gate"

[[log_group]]
name = "/gate"

[[log_event]]
group = "/gate"
stream = "app/1"
message = "words"

[[vpc]]
id = "vpc-1"

[[subnet]]
id = "subnet-1"
vpc = "vpc-1"
zone = "eu-west-2a"

[[security_group]]
id = "sg-1"
vpc = "vpc-1"

[[nat_gateway]]
id = "nat-1"
subnet = "subnet-1"
"#;

/// How many things [`DAEMONS`] declares.
const DAEMONS_COUNT: usize = 11;

fn service(substrate: &Substrate, name: &str) -> ServiceInfo {
    let came = substrate.ecs().describe_services("main", &[name]).unwrap().value;
    came.into_iter().find_map(|state| state.info).unwrap()
}

fn all_tasks(substrate: &Substrate, desired: &str) -> TasksSeen {
    let arns = substrate.ecs().list_tasks("main", TaskFilter::All, desired).unwrap().value.entries;
    substrate.ecs().describe_tasks("main", &arns).unwrap().value
}

#[test]
fn daemons_are_made_once_and_kept_as_they_went_on() {
    let literals = folder(DAEMONS);
    let world = World::read(literals.path()).unwrap();
    let kept = tempfile::tempdir().unwrap();
    let first = seed::apply(&embedded(Some(kept.path())), &world).unwrap();
    assert_eq!((first.made, first.kept, first.left_out.len()), (DAEMONS_COUNT, 0, 0));
    let one = embedded(Some(kept.path()));
    let started = one.ecs().update_service("main", "gate", 1, None).unwrap().value;
    assert_eq!((started.desired, started.running), (1, 0));
    assert_eq!(service(&one, "slow").pending, 1, "a look that still sees it starting");
    // Another process, which seeds again.
    let other = embedded(Some(kept.path()));
    let second = seed::apply(&other, &world).unwrap();
    assert_eq!((second.made, second.kept), (0, DAEMONS_COUNT));
    assert_eq!(service(&other, "gate").desired, 1);
    assert_eq!(service(&other, "slow").pending, 1);
    assert_eq!(service(&other, "slow").running, 1, "two looks are over");
    assert!(all_tasks(&other, "STOPPED").tasks.iter().all(|task| task.containers[0].exit_code == Some(1)));
}

#[test]
fn the_same_calls_give_the_same_daemons() {
    let literals = folder(DAEMONS);
    let world = World::read(literals.path()).unwrap();
    let made = || {
        let substrate = embedded(None);
        seed::apply(&substrate, &world).unwrap();
        let updated = substrate.ecs().update_service("main", "gate", 2, None).unwrap().value;
        let looks = [service(&substrate, "slow"), service(&substrate, "gate"), service(&substrate, "gate")];
        let tasks = (all_tasks(&substrate, "RUNNING"), all_tasks(&substrate, "STOPPED"));
        let query = LogQuery { pattern: None, from_second: 0, stream: None };
        (updated, looks, tasks, substrate.logs().events("/gate", query).unwrap().value)
    };
    let first = made();
    assert_eq!(first, made());
    let (running, stopped) = &first.2;
    let mut arns: Vec<_> = running.tasks.iter().chain(&stopped.tasks).map(|task| &task.arn).collect();
    let count = arns.len();
    arns.sort();
    arns.dedup();
    assert_eq!((count, arns.len()), (8, 8), "each task has an id of its own");
    let times = |at: &Option<String>| at.as_ref().is_some_and(|at| at.starts_with("2026-02-10T12:00:"));
    assert!(stopped.tasks.iter().all(|task| times(&task.created_at) && times(&task.stopped_at)), "{stopped:?}");
}

#[test]
fn daemons_of_nobody_are_denied() {
    let substrate = embedded(None);
    let kinds = [
        substrate.ecs().describe_cluster("main").unwrap_err().kind,
        substrate.logs().log_groups("").unwrap_err().kind,
        substrate.network().nat_gateways().unwrap_err().kind,
    ];
    assert_eq!(kinds, [CallErrorKind::Denied; 3]);
}

#[test]
fn daemons_are_of_their_region() {
    let literals = folder(DAEMONS);
    let substrate = embedded(None);
    seed::apply(&substrate, &World::read(literals.path()).unwrap()).unwrap();
    let mut options = Options::new(SubstrateKind::Embedded, "us-east-1");
    options.http = Some(embedded::connector(substrate.embedded().unwrap()));
    let elsewhere = Substrate::open(&options).unwrap();
    assert_eq!(elsewhere.ecs().describe_cluster("main").unwrap_err().kind, CallErrorKind::NotFound);
    assert_eq!(elsewhere.network().nat_gateways().unwrap().value.entries, []);
}

#[test]
fn daemons_that_cannot_be_made_are_named() {
    let literals = folder(DAEMONS);
    let behind = EmbeddedWorld::in_memory();
    behind.claim("230372904534", 1_770_724_800).unwrap();
    let mut options = Options::new(SubstrateKind::Embedded, "eu-west-2");
    options.http = Some(embedded::connector(&behind));
    let substrate = Substrate::open(&options).unwrap();
    let seeded = seed::apply(&substrate, &World::read(literals.path()).unwrap()).unwrap();
    assert_eq!((seeded.made, seeded.left_out.len()), (0, 1));
    assert!(seeded.left_out[0].starts_with(&format!("{DAEMONS_COUNT} thing(s) of ECS")), "{seeded:?}");
}

/// Seeds a world, then the same with one text changed, which must be told.
fn seeded_twice(world: &str, right: &str, wrong: &str) -> Substrate {
    assert!(world.contains(right));
    let (literals, changed) = (folder(world), folder(&world.replacen(right, wrong, 1)));
    let substrate = embedded(None);
    seed::apply(&substrate, &World::read(literals.path()).unwrap()).unwrap();
    let error = seed::apply(&substrate, &World::read(changed.path()).unwrap()).unwrap_err();
    assert!(matches!(error, SeedError::Differs { .. }), "{error}");
    substrate
}

#[rstest]
#[case::a_behaviour("\"crash_loop\"", "\"pending\"")]
#[case::an_environment("\"platform_1\"", "\"platform_2\"")]
#[case::a_message("\"words\"", "\"other words\"")]
#[case::a_zone("eu-west-2a", "eu-west-2b")]
fn daemons_that_differ_are_told(#[case] right: &str, #[case] wrong: &str) {
    seeded_twice(DAEMONS, right, wrong);
}

#[rstest]
#[case::no_such_cluster("cluster = \"main\"\nname = \"gate\"", "cluster = \"none\"\nname = \"gate\"")]
#[case::no_such_revision("\"gate:1\"", "\"gate:2\"")]
#[case::no_such_family("family = \"gate\"\n\n[[log", "family = \"none\"\n\n[[log")]
#[case::no_such_group("group = \"/gate\"\nstream", "group = \"/none\"\nstream")]
#[case::no_such_vpc("vpc = \"vpc-1\"\n\n[[nat", "vpc = \"vpc-2\"\n\n[[nat")]
#[case::no_such_subnet("subnet = \"subnet-1\"", "subnet = \"subnet-2\"")]
#[case::a_service_twice("name = \"slow\"", "name = \"gate\"")]
#[case::a_container_twice("name = \"side\"", "name = \"app\"")]
#[case::an_empty_definition("[[service]]", "[[task_definition]]\nfamily = \"bare\"\ncontainer = []\n\n[[service]]")]
#[case::revision_zero("family = \"gate\"\n\n[[task", "family = \"gate\"\nrevision = 0\n\n[[task")]
#[case::fewer_than_none("desired = 1", "desired = -1")]
#[case::unknown_behaviour("crash_loop", "crashing")]
#[case::unknown_status("starts_after = 0", "status = \"GONE\"")]
#[case::unknown_field("zone = ", "colour = \"red\"\nzone = ")]
fn daemons_of_another_form_are_refused(#[case] right: &str, #[case] wrong: &str) {
    assert!(DAEMONS.contains(right));
    let literals = folder(&DAEMONS.replacen(right, wrong, 1));
    let error = World::read(literals.path()).unwrap_err();
    assert!(matches!(error, SeedError::Form { .. }), "{error}");
}

#[rstest]
#[case(EVENT_LIMIT, true)]
#[case(EVENT_LIMIT + 1, false)]
fn more_events_than_the_limit_are_not_a_whole_list(#[case] count: usize, #[case] complete: bool) {
    let header = DAEMONS.split("[[cluster]]").next().unwrap();
    let event = "[[log_event]]\ngroup = \"/g\"\nstream = \"s\"\nmessage = \"m\"\n";
    let literals = folder(&format!("{header}[[log_group]]\nname = \"/g\"\n{}", event.repeat(count)));
    let substrate = embedded(None);
    seed::apply(&substrate, &World::read(literals.path()).unwrap()).unwrap();
    let query = LogQuery { pattern: None, from_second: 0, stream: None };
    let came = substrate.logs().events("/g", query).unwrap().value;
    assert_eq!((came.entries.len(), came.complete), (EVENT_LIMIT, complete));
}

#[rstest]
#[case::a_cost("amount = \"12.340\"", "amount = \"12.341\"")]
#[case::an_input("\"platform_1\"", "\"platform_2\"")]
#[case::a_status("status = \"ABORTED\"", "status = \"RUNNING\"")]
#[case::a_mark("sensitive = [\"password\"]", "sensitive = []")]
#[case::a_policy("logs:PutLogEvents", "logs:*")]
#[case::a_policy_less("name = \"logs\"", "name = \"other\"")]
#[case::a_managed_policy(r#""Effect":"Allow","Action":"*""#, r#""Effect":"Allow","Action":"s3:*""#)]
#[case::an_attached_policy_less("attached = [\"read-own\"]", "attached = []")]
#[case::a_boundary_less("permissions_boundary = \"edge\"", "")]
#[case::another_boundary("permissions_boundary = \"edge\"", "permissions_boundary = \"read-own\"")]
fn a_row_that_differs_is_told(#[case] right: &str, #[case] wrong: &str) {
    check_world(&seeded_twice(WORLD, right, wrong));
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
#[case::unknown_machine("state_machine = \"platform\"", "state_machine = \"none\"")]
#[case::one_execution_twice("name = \"run-0\"", "name = \"run-1\"")]
#[case::a_status_that_no_call_gives("status = \"ABORTED\"", "status = \"SUCCEEDED\"")]
#[case::an_input_that_is_no_json("'{\"platform_run_id\":\"platform_1\"}'", "'{'")]
#[case::no_such_output("sensitive = [\"password\"]", "sensitive = [\"passwort\"]")]
#[case::no_such_day("2026-02-03", "2026-02-30")]
#[case::a_day_ahead("2026-02-03", "2026-02-11")]
#[case::one_day_twice("2026-02-03", "2026-01-31")]
#[case::no_decimal("12.340", "12,340")]
#[case::a_float("amount = \"12.340\"", "amount = 12.340")]
#[case::unknown_metric("metric = \"UsageQuantity\"", "metric = \"Spend\"")]
#[case::no_such_policy("attached = [\"read-own\"]", "attached = [\"none\"]")]
#[case::no_such_boundary("permissions_boundary = \"edge\"", "permissions_boundary = \"none\"")]
#[case::no_document("document_file = \"read-own.json\"", "")]
#[case::two_documents("document_file = \"read-own.json\"", "document_file = \"read-own.json\"\ndocument = {}")]
#[case::a_document_that_is_no_json("'{\"Version\"", "'{\"Version")]
#[case::a_document_outside("\"read-own.json\"", "\"../read-own.json\"")]
#[case::a_policy_twice("name = \"edge\"", "name = \"read-own\"")]
#[case::a_name_with_a_dash("name = \"PLATFORM_IMAGE\"", "name = \"PLATFORM-IMAGE\"")]
#[case::one_name_twice("name = \"PLATFORM_IMAGE\"", "name = \"PLATFORM_BUNDLE\"")]
#[case::nothing_given("value = \"platform:dev\"", "")]
#[case::two_things_given("value = \"platform:dev\"", "value = \"platform:dev\"\npath = \"raw.bin\"")]
#[case::a_path_to_nothing("path = \"./raw.bin\"", "path = \"none.bin\"")]
#[case::an_absolute_path("path = \"./raw.bin\"", "path = \"/\"")]
#[case::another_unit("amount = \"100\"", "amount = \"100\"\nunit = \"EUR\"")]
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
