//! The registry parser over the five real registries: every trap they are known for, by handle, value and line.

#![expect(clippy::expect_used, reason = "helpers of tests")]

mod real_repos;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::LazyLock;

use phasegate_support::registry::{
    AllowedTokens, HandleError, HandleValue, Handles, Parsed, PatternError, Registry, SourceClass, fill_pattern, parse,
};
use proptest::prelude::*;
use regex::Regex;
use rstest::rstest;
use serde_json::{Value, json};

const DEV_MIN: &str = "docs/model_spec/platform/migration_to_dev/dev_min_handles.registry.v0.md";
const DEV_FULL: &str = "docs/model_spec/platform/migration_to_dev/dev_full_handles.registry.v0.md";
const REPOSITORIES: [&str; 5] = ["dev_min-plan", "dev_min-m1", "dev_min-m3", "dev_min-m4", "dev_full-m3"];

fn registry_path(repository: &str) -> &'static str {
    if repository.starts_with("dev_full") { DEV_FULL } else { DEV_MIN }
}

fn registry_text(repository: &str) -> Option<String> {
    Some(real_repos::read(&real_repos::folder()?, repository, registry_path(repository)))
}

fn parsed(repository: &str) -> Option<Parsed> {
    Some(parse(Path::new(registry_path(repository)), &registry_text(repository)?))
}

fn registry(repository: &str) -> Option<Registry> {
    Some(parsed(repository)?.registry)
}

fn text(value: &str) -> HandleValue {
    HandleValue::Text(value.to_owned())
}

fn pin(value: &str) -> HandleValue {
    HandleValue::Placeholder(value.to_owned())
}

fn number(value: u64) -> HandleValue {
    HandleValue::Number(value.into())
}

#[rstest]
#[case("dev_min-plan")]
#[case("dev_min-m1")]
#[case("dev_min-m3")]
#[case("dev_min-m4")]
#[case("dev_full-m3")]
fn every_line_of_the_real_registries_can_be_read(#[case] repository: &str) {
    let Some(parsed) = parsed(repository) else {
        return;
    };
    assert_eq!(parsed.errors, []);
    assert!(parsed.registry.definitions.len() > 200);
}

#[rstest]
// Mixed line endings: these stand on CRLF lines of a file that has both.
#[case::crlf("dev_min-m3", "CONFIG_DIGEST_ALGO", 108, text("sha256"))]
#[case::crlf("dev_min-m1", "PROJECT_SLUG", 72, text("fraud-platform"))]
#[case::crlf("dev_min-plan", "ENV_NAME", 73, text("dev_min"))]
// A placeholder, and the value that later took its place.
#[case::placeholder("dev_min-m3", "SCENARIO_EQUIVALENCE_KEY_INPUT", 110, pin("<PIN_AT_P1_PHASE_ENTRY>"))]
#[case::pinned("dev_min-m4", "SCENARIO_EQUIVALENCE_KEY_INPUT", 110, text("sha256(canonical_json_v1)"))]
#[case::placeholder("dev_min-m4", "ORACLE_REQUIRED_OUTPUT_IDS", 501, pin("<PIN_AT_P3_PHASE_ENTRY>"))]
#[case::placeholder("dev_full-m3", "DBX_WORKSPACE_URL", 492, pin("TO_PIN"))]
#[case::placeholder("dev_full-m3", "AWS_BUDGET_NOTIFICATION_EMAIL", 659, pin("TO_PIN"))]
// A note with a second code span is no part of the value.
#[case::note("dev_min-m3", "TAG_PROJECT_KEY", 92, text("project"))]
#[case::note("dev_full-m3", "TAG_PROJECT_KEY", 67, text("project"))]
#[case::note("dev_min-m3", "MONTHLY_BUDGET_UNIT", 84, text("USD"))]
#[case::note("dev_full-m3", "MSK_SECURITY_GROUP_ID", 260, text("sg-07b93e3d50bacea7d"))]
// Types.
#[case::number("dev_min-m3", "MONTHLY_BUDGET_AMOUNT", 83, number(30))]
#[case::number("dev_full-m3", "DEV_FULL_MONTHLY_BUDGET_LIMIT_USD", 59, number(300))]
#[case::decimal("dev_min-m3", "TRACE_SAMPLING_RATE", 863, HandleValue::Number(serde_json::Number::from_f64(0.1).unwrap()))]
#[case::flag("dev_min-m3", "ORACLE_SEED_OPERATOR_PRESTEP_REQUIRED", 291, HandleValue::Bool(false))]
#[case::flag("dev_full-m3", "PHASE_ENVELOPE_REQUIRED", 674, HandleValue::Bool(true))]
#[case::null("dev_min-m3", "S3_EVIDENCE_RETENTION_DAYS", 284, HandleValue::Null)]
#[case::list("dev_full-m3", "MSK_CLIENT_SUBNET_IDS", 259, HandleValue::List(vec![text("subnet-0f78c51075c563f8b"), text("subnet-02a2247be3765e842")]))]
// A quoted handle name is a text, an unquoted one a reference.
#[case::quoted_name("dev_full-m3", "SR_READY_COMMIT_STATE_MACHINE", 543, text("SFN_PLATFORM_RUN_ORCHESTRATOR_V0"))]
#[case::reference("dev_min-m4", "DB_SECURITY_GROUP_ID", 691, HandleValue::Reference("SECURITY_GROUP_ID_DB".into()))]
#[case::reference("dev_min-m3", "DB_SECURITY_GROUP_ID", 684, HandleValue::Reference("SECURITY_GROUP_ID_DB".into()))]
#[case::reference("dev_min-m3", "PARTITIONS", 416, HandleValue::Reference("KAFKA_DEFAULT_PARTITIONS_HIGH_VOLUME".into()))]
// Bare: the value comes from elsewhere.
#[case::bare("dev_min-m3", "S3_EVIDENCE_BUCKET", 188, HandleValue::Bare)]
#[case::bare("dev_min-m3", "ECR_REPO_URI", 438, HandleValue::Bare)]
#[case::bare_with_note("dev_min-m4", "SVC_ENV_CONFORMANCE", 570, HandleValue::Bare)]
#[case::bare_nested("dev_min-m3", "ALERT_EMAIL_ADDRESS", 818, HandleValue::Bare)]
#[case::bare("dev_full-m3", "ROLE_EKS_IRSA_IG", 587, HandleValue::Bare)]
// Path patterns and texts with odd characters.
#[case::pattern("dev_full-m3", "IG_BASE_URL", 437, text("https://{api_id}.execute-api.eu-west-2.amazonaws.com/v1"))]
#[case::text("dev_full-m3", "ENV_LADDER", 42, text("local_parity->dev_min->dev_full->prod_target"))]
#[case::text("dev_min-m3", "READY_MESSAGE_FILTER", 610, text("platform_run_id=={platform_run_id}"))]
fn a_handle_has_this_value_at_this_line(
    #[case] repository: &str,
    #[case] name: &str,
    #[case] line: usize,
    #[case] expected: HandleValue,
) {
    let Some(registry) = registry(repository) else {
        return;
    };
    let found: Vec<(usize, &HandleValue)> =
        registry.definitions_of(name).map(|definition| (definition.line, &definition.value)).collect();
    assert!(found.contains(&(line, &expected)), "{name}: {found:?}");
}

#[test]
fn a_map_keeps_its_keys_and_texts() {
    let Some(registry) = registry("dev_full-m3") else {
        return;
    };
    let found = registry.lookup("ORACLE_SORT_KEY_BY_OUTPUT_ID").expect("it is pinned");
    assert_eq!(found.value["s4_event_labels_6B"], json!("flow_id,event_seq"));
    assert_eq!(found.value.as_object().map(serde_json::Map::len), Some(8));
    assert_eq!(found.origin, format!("{DEV_FULL}:357"));
}

#[rstest]
#[case("dev_min-m3", "TAG_PROJECT_KEY", Some("→ value must be `\"fraud-platform\"`"))]
#[case("dev_min-m3", "LOG_RETENTION_DAYS", Some("*(dev_min default)*"))]
#[case("dev_full-m3", "TAG_OWNER_KEY", Some("-> `esosa`"))]
#[case("dev_min-m3", "CONFIG_DIGEST_ALGO", None)]
fn a_note_is_kept(#[case] repository: &str, #[case] name: &str, #[case] note: Option<&str>) {
    let Some(registry) = registry(repository) else {
        return;
    };
    let found = registry.definitions_of(name).next().expect("it is defined");
    assert_eq!(found.note.as_deref(), note);
}

#[rstest]
#[case("dev_min-m3", "IMAGE_BUILD_DRIVER", (472, 474), ("\"github_actions\"", "\"local_cli\""))]
#[case("dev_min-m4", "IMAGE_BUILD_DRIVER", (479, 481), ("\"github_actions\"", "\"local_cli\""))]
#[case("dev_min-m3", "ALERT_CHANNEL_MODE", (816, 822), ("\"email\"", "\"sns\""))]
#[case("dev_min-m3", "PARTITIONS", (416, 422), ("KAFKA_DEFAULT_PARTITIONS_HIGH_VOLUME", "KAFKA_DEFAULT_PARTITIONS_LOW_VOLUME"))]
#[case("dev_min-m3", "RETENTION_MS", (417, 423), ("KAFKA_RETENTION_MS_HIGH_VOLUME", "KAFKA_RETENTION_MS_LOW_VOLUME"))]
fn two_values_are_an_error_that_names_both(
    #[case] repository: &str,
    #[case] name: &str,
    #[case] lines: (usize, usize),
    #[case] values: (&str, &str),
) {
    let Some(registry) = registry(repository) else {
        return;
    };
    let expected = HandleError::Ambiguous {
        name: name.to_owned(),
        registry: registry.name(),
        lines,
        values: (values.0.to_owned(), values.1.to_owned()),
    };
    assert_eq!(registry.lookup(name), Err(expected));
}

/// These, and no other handle of any real registry, have two values.
#[rstest]
#[case("dev_min-plan", &["ALERT_CHANNEL_MODE", "IMAGE_BUILD_DRIVER", "PARTITIONS", "RETENTION_MS"])]
#[case("dev_min-m1", &["ALERT_CHANNEL_MODE", "IMAGE_BUILD_DRIVER", "PARTITIONS", "RETENTION_MS"])]
#[case("dev_min-m3", &["ALERT_CHANNEL_MODE", "IMAGE_BUILD_DRIVER", "PARTITIONS", "RETENTION_MS"])]
#[case("dev_min-m4", &["ALERT_CHANNEL_MODE", "IMAGE_BUILD_DRIVER", "PARTITIONS", "RETENTION_MS"])]
#[case("dev_full-m3", &[])]
fn the_handles_with_two_values(#[case] repository: &str, #[case] expected: &[&str]) {
    let Some(registry) = registry(repository) else {
        return;
    };
    let names: BTreeSet<&str> = registry.definitions.iter().map(|definition| definition.name.as_str()).collect();
    let ambiguous: Vec<&str> =
        names.into_iter().filter(|name| matches!(registry.lookup(name), Err(HandleError::Ambiguous { .. }))).collect();
    assert_eq!(ambiguous, expected);
}

#[rstest]
#[case("dev_min-m3", &["<PIN_AT_P1_PHASE_ENTRY>", "<PIN_AT_P3_PHASE_ENTRY>", "<PIN_AT_P3_PHASE_ENTRY>", "<PIN_AT_P10_PHASE_ENTRY>", "<PIN_AT_P10_PHASE_ENTRY>"])]
#[case("dev_min-m4", &["<PIN_AT_P3_PHASE_ENTRY>", "<PIN_AT_P3_PHASE_ENTRY>", "<PIN_AT_P10_PHASE_ENTRY>", "<PIN_AT_P10_PHASE_ENTRY>"])]
#[case("dev_full-m3", &["TO_PIN", "TO_PIN"])]
fn the_placeholders(#[case] repository: &str, #[case] expected: &[&str]) {
    let Some(registry) = registry(repository) else {
        return;
    };
    let found: Vec<&str> =
        registry.definitions.iter().filter_map(|definition| definition.value.placeholder()).collect();
    assert_eq!(found, expected);
}

#[test]
fn the_same_name_twice_with_the_same_value_is_fine() {
    let Some(registry) = registry("dev_full-m3") else {
        return;
    };
    let lines: Vec<usize> = registry.definitions_of("ROLE_TERRAFORM_APPLY_DEV_FULL").map(|found| found.line).collect();
    assert_eq!(lines, [135, 573, 685]);
    let found = registry.lookup("ROLE_TERRAFORM_APPLY_DEV_FULL").expect("one value, and a mention");
    assert_eq!(found.value, json!("arn:aws:iam::230372904534:user/fraud-dev"));
    assert_eq!(found.origin, format!("{DEV_FULL}:135"));
    assert_eq!(registry.lines_of("ROLE_TERRAFORM_APPLY_DEV_FULL"), [135, 573]);
}

#[test]
fn the_same_reference_twice_is_one_value() {
    let Some(registry) = registry("dev_min-m3") else {
        return;
    };
    assert_eq!(registry.lines_of("CLEANUP_POLICY"), [418, 424]);
    let found = registry.lookup("CLEANUP_POLICY").expect("one value");
    assert_eq!(found.value, json!("delete"));
    assert_eq!(found.origin, format!("{DEV_MIN}:418 = {DEV_MIN}:356"));
}

#[rstest]
#[case("dev_full-m3", "DBX_WORKSPACE_URL", "TO_PIN", 492)]
#[case("dev_min-m3", "SCENARIO_EQUIVALENCE_KEY_INPUT", "<PIN_AT_P1_PHASE_ENTRY>", 110)]
fn a_mention_beside_a_placeholder_does_not_pin_it(
    #[case] repository: &str,
    #[case] name: &str,
    #[case] placeholder: &str,
    #[case] at: usize,
) {
    let Some(registry) = registry(repository) else {
        return;
    };
    let Err(HandleError::Placeholder { value, line, .. }) = registry.lookup(name) else {
        panic!("{name} is a placeholder");
    };
    assert_eq!((value.as_str(), line), (placeholder, Some(at)));
}

#[test]
fn a_mention_in_running_text_or_of_the_placeholder_itself_defines_nothing() {
    let Some(registry) = registry("dev_full-m3") else {
        return;
    };
    assert!(matches!(registry.lookup("TO_PIN"), Err(HandleError::Missing { .. })));
    let Some(text) = registry_text("dev_full-m3") else {
        return;
    };
    let without: String =
        text.split_inclusive('\n').filter(|line| !line.contains("`SFN_PLATFORM_RUN_ORCHESTRATOR_V0 =")).collect();
    assert!(without.contains("SFN_PLATFORM_RUN_ORCHESTRATOR_V0"), "the mention at line 543 is still there");
    let lookup = parse(Path::new(DEV_FULL), &without).registry.lookup("SFN_PLATFORM_RUN_ORCHESTRATOR_V0");
    assert!(matches!(lookup, Err(HandleError::Missing { .. })), "{lookup:?}");
}

#[test]
fn a_missing_handle_names_the_nearest() {
    let Some(registry) = registry("dev_full-m3") else {
        return;
    };
    let Err(HandleError::Missing { nearest, .. }) = registry.lookup("CONFIG_DIGEST_ALGORITHM") else {
        panic!("it is missing");
    };
    assert_eq!(nearest.as_deref(), Some("CONFIG_DIGEST_ALGO"));
    assert!(matches!(registry.lookup("ZZZ"), Err(HandleError::Missing { nearest: None, .. })));
}

const REQUIRED_BY_M3_DEV_FULL: [&str; 17] = [
    "FIELD_PLATFORM_RUN_ID",
    "FIELD_SCENARIO_RUN_ID",
    "FIELD_CONFIG_DIGEST",
    "CONFIG_DIGEST_ALGO",
    "CONFIG_DIGEST_FIELD",
    "SCENARIO_EQUIVALENCE_KEY_INPUT",
    "SCENARIO_EQUIVALENCE_KEY_CANONICAL_FIELDS",
    "SCENARIO_EQUIVALENCE_KEY_CANONICALIZATION_MODE",
    "SCENARIO_RUN_ID_DERIVATION_MODE",
    "S3_EVIDENCE_BUCKET",
    "S3_EVIDENCE_RUN_ROOT_PATTERN",
    "RUN_PIN_PATH_PATTERN",
    "EVIDENCE_RUN_JSON_KEY",
    "SFN_PLATFORM_RUN_ORCHESTRATOR_V0",
    "SR_READY_COMMIT_AUTHORITY",
    "REQUIRED_PLATFORM_RUN_ID_ENV_KEY",
    "ROLE_TERRAFORM_APPLY_DEV_FULL",
];

#[test]
fn the_seventeen_required_handles_of_dev_full_resolve_from_the_registry() {
    let Some(registry) = registry("dev_full-m3") else {
        return;
    };
    let (resolved, unresolved) = Handles::new(registry).resolve_all(REQUIRED_BY_M3_DEV_FULL);
    assert_eq!(unresolved, []);
    assert_eq!(resolved.len(), 17);
    assert!(resolved.iter().all(|handle| handle.source_class == SourceClass::RegistryLiteral));
}

fn handoff(repository: &str) -> Option<Value> {
    let path = "runs/dev_substrate/m2_j/20260213T205715Z/m3_handoff_pack.json";
    let text = real_repos::read(&real_repos::folder()?, repository, path);
    Some(serde_json::from_str(&text).expect("the handoff is JSON"))
}

#[test]
fn bare_handles_resolve_from_the_handoff_by_list_and_by_path() {
    let (Some(registry), Some(document)) = (registry("dev_min-m3"), handoff("dev_min-m3")) else {
        return;
    };
    assert!(matches!(registry.lookup("S3_EVIDENCE_BUCKET"), Err(HandleError::Bare { line: 188, .. })));
    let mut handles = Handles::new(registry);
    assert_eq!(handles.add_handoff("m3_handoff_pack.json", &document), Ok(30));
    let path = "core_outputs.s3_bucket_names.evidence";
    handles.add_handoff_path("S3_EVIDENCE_BUCKET", "m3_handoff_pack.json", &document, path).expect("the path is there");
    let bucket = handles.resolve("S3_EVIDENCE_BUCKET").expect("the handoff gives it");
    assert_eq!(bucket.text(), Ok("fraud-platform-dev-min-evidence"));
    assert_eq!(bucket.source_class, SourceClass::HandoffArtifact);
    assert_eq!(bucket.origin, "m3_handoff_pack.json#resolved_handles[3].value");
    assert_eq!(
        bucket.confirmed_by,
        [(SourceClass::HandoffArtifact, "m3_handoff_pack.json#core_outputs.s3_bucket_names.evidence".to_owned())]
    );
    let group = handles.resolve("DB_SECURITY_GROUP_ID").expect("a reference to a bare handle");
    assert_eq!(group.text(), Ok("sg-0a1b2c3d4e5f60714"));
    assert_eq!(group.source_class, SourceClass::HandoffArtifact);
    assert!(group.origin.starts_with(&format!("{DEV_MIN}:684 = ")), "{}", group.origin);
    assert_eq!(handles.resolve("SUBNET_IDS_PUBLIC").expect("a list").texts().map(|list| list.len()), Ok(2));
    assert!(matches!(handles.resolve("IG_BASE_URL"), Err(HandleError::Bare { line: 569, .. })));
}

#[test]
fn an_aws_look_up_that_contradicts_the_handoff_is_an_error_that_names_both() {
    let (Some(registry), Some(document)) = (registry("dev_min-m3"), handoff("dev_min-m3")) else {
        return;
    };
    let mut handles = Handles::new(registry);
    handles.add_handoff("pack.json", &document).expect("it can be read");
    handles.add_aws_lookup("ECR_REPO_URI", "ecr describe-repositories", json!("elsewhere"));
    let Err(HandleError::Contradiction { origins, .. }) = handles.resolve("ECR_REPO_URI") else {
        panic!("the two differ");
    };
    assert!(origins.0.contains("pack.json#resolved_handles[5].value"), "{}", origins.0);
    assert_eq!(origins.1, "AWS look-up (ecr describe-repositories)");
}

#[rstest]
#[case("dev_min-m3", 200, &["output_id", "phase_id", "platform_run_id", "scenario_run_id"])]
#[case("dev_min-m4", 207, &["output_id", "phase_id", "platform_run_id", "scenario_run_id"])]
#[case("dev_full-m3", 155, &["bundle_id", "dataset_fingerprint", "oracle_engine_run_id", "oracle_source_namespace", "output_id", "phase_id", "platform_run_id", "scenario_run_id"])]
fn the_allowed_tokens_are_read_from_the_registry(
    #[case] repository: &str,
    #[case] line: usize,
    #[case] expected: &[&str],
) {
    let Some(registry) = registry(repository) else {
        return;
    };
    let expected = expected.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(registry.tokens, AllowedTokens { names: expected, line: Some(line) });
}

#[rstest]
#[case("EVIDENCE_PHASE_PREFIX_PATTERN", Ok("evidence/runs/platform_20260213T214223Z/P1/"))]
#[case("RUN_PIN_PATH_PATTERN", Ok("evidence/runs/platform_20260213T214223Z/run_pin/run_header.json"))]
#[case("S3_RUN_CONTROL_ROOT_PATTERN", Ok("evidence/dev_full/run_control/m3a_1/"))]
#[case("IMAGE_TAG_GIT_SHA_PATTERN", Ok("git-7f1c"))]
#[case("S3_EVIDENCE_ROOT_PREFIX", Ok("evidence/"))]
#[case::not_in_the_list("IG_BASE_URL", Err("api_id"))]
#[case::not_in_the_list("FLINK_CHECKPOINT_S3_PREFIX_PATTERN", Err("application_name"))]
fn real_patterns_are_filled_with_allowed_tokens_only(#[case] handle: &str, #[case] expected: Result<&str, &str>) {
    let Some(registry) = registry("dev_full-m3") else {
        return;
    };
    let values: BTreeMap<String, String> = [
        ("platform_run_id", "platform_20260213T214223Z"),
        ("phase_id", "P1"),
        ("phase_execution_id", "m3a_1"),
        ("git_sha", "7f1c"),
        ("api_id", "x"),
        ("application_name", "x"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    let pattern = registry.lookup(handle).expect("it is pinned");
    let pattern = pattern.text().expect("a text");
    match (fill_pattern(pattern, &registry.tokens, &values), expected) {
        (Ok(filled), Ok(expected)) => assert_eq!(filled, expected),
        (Err(PatternError::NotAllowed { token, .. }), Err(expected)) => assert_eq!(token, expected),
        (found, _) => panic!("{found:?}"),
    }
}

/// As plain as can be, and apart from the parser's own patterns.
static DEFINES: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^\s*(?:[*+-]|\d{1,2}\.) `([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)(?: = [^`\r]+)?`").expect("a literal")
});

fn assert_nothing_is_lost(document: &str) {
    let parsed = parse(Path::new("registry.md"), document);
    let definitions = parsed.registry.definitions.iter().map(|found| found.line);
    let known: BTreeSet<usize> = definitions.chain(parsed.errors.iter().map(|error| error.line)).collect();
    for (index, line) in document.split('\n').enumerate() {
        let defines = DEFINES.captures(line).is_some_and(|found| &found[1] != "TO_PIN");
        assert!(!defines || known.contains(&(index + 1)), "line {} is lost: {line:?}", index + 1);
    }
}

#[test]
fn every_line_that_a_plain_expression_finds_is_a_definition() {
    for repository in REPOSITORIES {
        let Some(text) = registry_text(repository) else {
            return;
        };
        let parsed = parsed(repository).expect("the text is there");
        let found: Vec<(usize, &str)> =
            parsed.registry.definitions.iter().map(|found| (found.line, found.name.as_str())).collect();
        let mut count = 0;
        for (index, line) in text.split('\n').enumerate() {
            if let Some(name) = DEFINES.captures(line).map(|found| found.get(1).expect("a group").as_str())
                && name != "TO_PIN"
            {
                count += 1;
                assert!(found.contains(&(index + 1, name)), "{repository}:{}: {line}", index + 1);
            }
        }
        assert!(count > 200, "{repository}: {count}");
    }
}

#[derive(Debug, Clone)]
enum Mutation {
    Insert(usize, String),
    Delete(usize, usize),
    Duplicate(usize),
    Truncate(usize),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let piece = prop::sample::select(vec![
        "`", "``", "```\n", "\"", "\\", "\r", "\r\n", "\n", "    ", "\t", "> ", "<!--", "* ", "| ", "=", "TO_PIN", "{",
        "}", "é", "\u{0}", "\u{feff}", "1. ", "---\n", "<div>\n",
    ]);
    prop_oneof![
        4 => (any::<usize>(), piece).prop_map(|(at, text)| Mutation::Insert(at, text.to_owned())),
        2 => (any::<usize>(), 1..40_usize).prop_map(|(at, length)| Mutation::Delete(at, length)),
        1 => any::<usize>().prop_map(Mutation::Duplicate),
        1 => any::<usize>().prop_map(Mutation::Truncate),
    ]
}

fn mutate(text: &str, mutations: &[Mutation]) -> String {
    let mut characters: Vec<char> = text.chars().collect();
    for mutation in mutations {
        let length = characters.len().max(1);
        match mutation {
            Mutation::Insert(at, piece) => {
                let at = (at % length).min(characters.len());
                characters.splice(at..at, piece.chars());
            }
            Mutation::Delete(at, count) => {
                let at = (at % length).min(characters.len());
                let end = (at + count).min(characters.len());
                characters.drain(at..end);
            }
            Mutation::Duplicate(at) => {
                let at = (at % length).min(characters.len());
                let end = (at + 200).min(characters.len());
                let copy: Vec<char> = characters[at..end].to_vec();
                characters.splice(at..at, copy);
            }
            Mutation::Truncate(at) => characters.truncate(characters.len() - at % length / 4),
        }
    }
    characters.into_iter().collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn mutated_real_registries_lose_no_definition_and_never_panic(
        which in 0..REPOSITORIES.len(),
        mutations in prop::collection::vec(mutation(), 1..12),
    ) {
        if let Some(text) = registry_text(REPOSITORIES[which]) {
            assert_nothing_is_lost(&mutate(&text, &mutations));
        }
    }

    #[test]
    fn any_text_at_all_is_parsed_without_a_panic(text in "(?s).{0,200}") {
        assert_nothing_is_lost(&text);
    }
}
