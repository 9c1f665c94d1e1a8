//! Registries that are wrong in one thing each: what is refused, and how it is said.

use std::collections::BTreeMap;
use std::path::Path;

use phasegate_support::registry::{
    AllowedTokens, HandleError, Handles, PatternError, RegistryErrorKind, SourceClass, SourceError, fill_pattern, parse,
};
use rstest::rstest;
use serde_json::{Value, json};

fn lookup(text: &str, name: &str) -> Result<Value, HandleError> {
    parse(Path::new("r.md"), text).registry.lookup(name).map(|found| found.value)
}

fn handles(text: &str) -> Handles {
    Handles::new(parse(Path::new("r.md"), text).registry)
}

#[rstest]
#[case::code_block("text\n\n```\n* `A_B = 1`\n```\n", 4)]
#[case::indented_code("text\n\n    * `A_B = 1`\n", 3)]
#[case::comment("<!--\n* `A_B = 1`\n-->\n", 2)]
#[case::quotation("> * `A_B = 1`\n", 1)]
#[case::running_text("set `A_B = 1` for now\n", 1)]
#[case::heading("## `A_B = 1`\n", 1)]
#[case::not_first("* set `A_B = 1`\n", 1)]
#[case::no_backticks("* A_B = 1\n", 1)]
#[case::half_open("* `A_B = 1\n", 1)]
#[case::escaped("* \\`A_B = 1`\n", 1)]
#[case::bold("* **`A_B = 1`**\n", 1)]
#[case::bold_name("* **A_B** = 1\n", 1)]
#[case::two_lines("* `A_B = \"x\ny\"`\n", 1)]
#[case::bare_in_code("```\n* `A_B`\n```\n", 2)]
fn a_definition_in_the_wrong_place_is_an_error_and_no_value(#[case] text: &str, #[case] line: usize) {
    let parsed = parse(Path::new("r.md"), text);
    let found: Vec<(usize, &RegistryErrorKind)> = parsed.errors.iter().map(|error| (error.line, &error.kind)).collect();
    assert_eq!(found, [(line, &RegistryErrorKind::NotAnItem)]);
    let expected = HandleError::Unreadable { name: "A_B".into(), registry: "r.md".into(), line };
    assert_eq!(lookup(text, "A_B"), Err(expected));
    // A good line elsewhere does not make up for it: which of the two is meant?
    assert!(lookup(&format!("{text}\n\n* `A_B = 2`\n"), "A_B").is_err());
}

#[rstest]
#[case("* `A_B = \"x\"`\n")]
#[case("- `A_B = \"x\"` a note\n")]
#[case("1. `A_B=\"x\"`\r\n")]
#[case("* `` A_B = \"x\" ``\n")]
#[case("* `OTHER`\n  * `A_B = \"x\"`\n")]
#[case("* `A_B = \"x\"` -> `y`\n\n  * more\n")]
fn a_definition_may_be_any_list_item(#[case] text: &str) {
    assert_eq!(lookup(text, "A_B"), Ok(json!("x")));
}

#[test]
fn a_value_that_cannot_be_read_is_an_error_with_its_line() {
    let parsed = parse(Path::new("r.md"), "# R\n\n* `A_B = sha256`\n* `C_D =`\n");
    let lines: Vec<usize> = parsed.errors.iter().map(|error| error.line).collect();
    assert_eq!(lines, [3, 4]);
    assert!(parsed.errors[0].to_string().starts_with("r.md:3: `sha256` is neither"), "{}", parsed.errors[0]);
    assert!(matches!(parsed.registry.lookup("C_D"), Err(HandleError::Unreadable { line: 4, .. })));
}

#[test]
fn a_second_definition_on_one_line_is_an_error_for_that_handle() {
    let text = "* `A_B = 1` and `C_D = 2`\n";
    assert_eq!(lookup(text, "A_B"), Ok(json!(1)));
    assert!(matches!(lookup(text, "C_D"), Err(HandleError::Unreadable { line: 1, .. })));
}

#[test]
fn a_carriage_return_in_a_line_is_an_error() {
    let parsed = parse(Path::new("r.md"), "* `A_B = 1`\r* `C_D = 2`\n* `E_F = 3`\r\n");
    assert_eq!(parsed.errors.len(), 1);
    assert_eq!(parsed.errors[0].kind, RegistryErrorKind::LoneCarriageReturn);
    assert_eq!(parsed.registry.lines_of("E_F"), [2]);
}

#[rstest]
#[case::literal("* `A_B = C_D`\n* `C_D = E_F`\n* `E_F = 7`\n", Ok(json!(7)))]
#[case::same_twice("* `A_B = {\"x\":1,\"y\":2}`\n* `A_B = {\"y\":2,\"x\":1}`\n", Ok(json!({"x":1,"y":2})))]
#[case::bare_first("* `A_B`\n* `A_B = 1`\n", Ok(json!(1)))]
#[case::bare_last("* `A_B = 1`\n1. `A_B`\n", Ok(json!(1)))]
#[case::null("* `A_B = null`\n", Ok(Value::Null))]
fn one_value_is_found(#[case] text: &str, #[case] expected: Result<Value, HandleError>) {
    assert_eq!(lookup(text, "A_B"), expected);
}

#[rstest]
#[case::dangling("* `A_B = C_D`\n", "r.md:1: `A_B` refers to `C_D`, which no line defines")]
#[case::circle("* `A_B = C_D`\n* `C_D = A_B`\n", "r.md: the handles A_B = C_D = A_B refer to each other in a circle")]
#[case::itself("* `A_B = A_B`\n", "r.md: the handles A_B = A_B refer to each other in a circle")]
#[case::bare("* `A_B`\n", "r.md:1: `A_B` is declared without a value")]
#[case::bare_target("* `A_B = C_D`\n* `C_D`\n", "r.md:2: `C_D` is declared without a value")]
#[case::placeholder("* `A_B = \"TO_PIN\"`\n", "r.md:1: `A_B` is still the placeholder TO_PIN")]
#[case::placeholder_target(
    "* `A_B = C_D`\n* `C_D = <PIN_AT_X>`\n",
    "r.md:2: `C_D` is still the placeholder <PIN_AT_X>"
)]
#[case::listed_placeholder("* `A_B = [\"x\",\"TO_PIN\"]`\n", "r.md:1: `A_B` is still the placeholder TO_PIN")]
#[case::placeholder_and_value(
    "* `A_B = \"TO_PIN\"`\n* `A_B = 1`\n",
    "r.md: `A_B` has two values: TO_PIN at line 1 and 1 at line 2"
)]
#[case::number_and_text("* `A_B = 1`\n* `A_B = \"1\"`\n", "r.md: `A_B` has two values")]
#[case::empty("* `A_B = \"\"`\n", "r.md:1: the value of `A_B` is empty")]
#[case::empty_list("* `A_B = []`\n", "r.md:1: the value of `A_B` is empty")]
#[case::missing("* `A_BC = 1`\n", "r.md: no line defines the handle `A_B`; is `A_BC` meant?")]
#[case::lower_case("* `a_b = 1`\n", "r.md: no line defines the handle `A_B`; add a line for it")]
#[case::mentioned("The value of `A_B` comes later.\n", "r.md: no line defines the handle `A_B`")]
#[case::nothing("", "r.md: no line defines the handle `A_B`")]
fn no_value_is_an_error_that_says_where(#[case] text: &str, #[case] message: &str) {
    let error = lookup(text, "A_B").expect_err("there is no usable value");
    assert!(error.to_string().starts_with(message), "{error}");
    assert_eq!(handles(text).resolve("A_B"), Err(error));
}

#[test]
fn the_sources_confirm_each_other_in_the_order_of_their_classes() {
    let mut handles = handles("* `BUCKET_X`\n");
    handles.add_aws_lookup("BUCKET_X", "s3api head-bucket", json!("b"));
    let state = json!({"outputs": {"bucket_x": {"value": "b", "sensitive": false}}});
    assert_eq!(handles.add_terraform_outputs("core.tfstate", &state), Ok(1));
    handles.add_packaging_evidence("BUCKET_X", "p.json", &json!({"a": [{"b": "b"}]}), "a.0.b").expect("it is there");
    let found = handles.resolve("BUCKET_X").expect("all agree");
    assert_eq!(
        (found.source_class, found.origin.as_str()),
        (SourceClass::TerraformOutput, "core.tfstate#outputs.bucket_x.value")
    );
    let classes: Vec<SourceClass> = found.confirmed_by.iter().map(|(class, _)| *class).collect();
    assert_eq!(classes, [SourceClass::AwsLookup, SourceClass::PackagingEvidence]);
}

#[rstest]
#[case::contradiction("* `A_B = \"x\"`\n", json!("y"), "`A_B` is \"x\" by registry literal (r.md:1) and \"y\" by handoff artifact (h.json#resolved_handles[0].value)")]
#[case::contradicted_reference("* `A_B = C_D`\n* `C_D = \"x\"`\n", json!("y"), "`A_B` is \"x\" by registry literal (r.md:1 = r.md:2) and \"y\"")]
#[case::placeholder("* `A_B`\n", json!("TO_PIN"), "h.json#resolved_handles[0].value: `A_B` is still the placeholder TO_PIN")]
#[case::placeholder_deeper("* `A_B`\n", json!(["<PIN_AT_X>"]), "h.json#resolved_handles[0].value: `A_B` is still the placeholder <PIN_AT_X>")]
#[case::null("* `A_B`\n", json!(null), "h.json#resolved_handles[0].value: the value of `A_B` is empty")]
#[case::blank("* `A_B`\n", json!(" "), "h.json#resolved_handles[0].value: the value of `A_B` is empty")]
#[case::registry_placeholder("* `A_B = \"TO_PIN\"`\n", json!("x"), "r.md:1: `A_B` is still the placeholder TO_PIN")]
#[case::undeclared("* `C_D = 1`\n", json!("x"), "r.md: no line defines the handle `A_B`")]
fn a_source_does_not_override_the_registry(#[case] text: &str, #[case] value: Value, #[case] message: &str) {
    let mut handles = handles(text);
    let document = json!({"resolved_handles": [{"handle": "A_B", "value": value}]});
    assert_eq!(handles.add_handoff("h.json", &document), Ok(1));
    let error = handles.resolve("A_B").expect_err("it is refused");
    assert!(error.to_string().starts_with(message), "{error}");
}

#[test]
fn a_sensitive_output_is_no_value_and_is_not_printed() {
    let mut handles = handles("* `KEY_X`\n");
    let state = json!({"outputs": {"key_x": {"value": "hunter2", "sensitive": true}}});
    handles.add_terraform_outputs("core.tfstate", &state).expect("it can be read");
    let error = handles.resolve("KEY_X").expect_err("it is sensitive");
    assert!(matches!(error, HandleError::Sensitive { .. }));
    assert!(!error.to_string().contains("hunter2"));
}

#[rstest]
#[case(json!({"resolved_handles": {}}))]
#[case(json!({"resolved_handles": [{"value": 1}]}))]
#[case(json!({"resolved_handles": [{"handle": "A_B", "value": 1}, {"handle": "C_D"}]}))]
fn a_handoff_of_another_form_is_refused_as_a_whole(#[case] document: Value) {
    let mut handles = handles("* `A_B`\n");
    assert!(matches!(handles.add_handoff("h.json", &document), Err(SourceError::Shape { .. })));
    assert!(matches!(handles.resolve("A_B"), Err(HandleError::Bare { .. })));
}

#[test]
fn a_path_that_leads_nowhere_and_a_state_without_outputs_are_errors() {
    let mut handles = handles("* `A_B`\n");
    let missing = handles.add_handoff_path("A_B", "h.json", &json!({"a": {}}), "a.b");
    assert!(matches!(missing, Err(SourceError::NoSuchPath { .. })));
    assert!(handles.add_terraform_outputs("s", &json!({"version": 4})).is_err());
    assert!(handles.add_terraform_outputs("s", &json!({"outputs": {"a_b": {"sensitive": true}}})).is_err());
    assert_eq!(handles.add_handoff("h.json", &json!({"verdict": "x"})), Ok(0));
}

#[test]
fn every_required_handle_is_answered_for() {
    let (resolved, unresolved) = handles("* `A_B = 1`\n* `C_D`\n").resolve_all(["C_D", "A_B", "E_F", "A_B"]);
    assert_eq!(resolved.iter().map(|found| found.name.as_str()).collect::<Vec<_>>(), ["A_B"]);
    assert_eq!(unresolved.len(), 2);
}

#[test]
fn a_value_of_the_wrong_type_is_refused_by_name() {
    let handles = handles("* `A_B = 30`\n* `C_D = [\"x\", 1]`\n");
    let number = handles.resolve("A_B").expect("it is pinned");
    assert_eq!(number.whole_number(), Ok(30));
    let error = number.text().expect_err("it is a number");
    assert_eq!(error.to_string(), "r.md:1: `A_B` must be a text, and is 30");
    assert!(number.flag().is_err());
    assert!(handles.resolve("C_D").expect("it is pinned").texts().is_err());
}

#[test]
fn the_list_of_allowed_tokens_holds_tokens_only_and_stands_once() {
    let text = "Allowed tokens:\n\n* `{a}` *(optional)*\n* b\n\nThe only allowed template tokens are:\n\n* `{c}`\n";
    let parsed = parse(Path::new("r.md"), text);
    assert!(parsed.registry.tokens.allow("a"));
    assert!(!parsed.registry.tokens.allow("c"));
    let kinds: Vec<&RegistryErrorKind> = parsed.errors.iter().map(|error| &error.kind).collect();
    assert_eq!(kinds, [&RegistryErrorKind::NotAToken, &RegistryErrorKind::SecondTokenList { first: 1 }]);
    assert_eq!(parse(Path::new("r.md"), "* `{a}`\n").registry.tokens, AllowedTokens::default());
}

fn fill(pattern: &str, values: &[(&str, &str)]) -> Result<String, PatternError> {
    let allowed = AllowedTokens { names: ["a", "b"].map(str::to_owned).into(), line: Some(1) };
    let values: BTreeMap<String, String> =
        values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    fill_pattern(pattern, &allowed, &values)
}

#[rstest]
#[case("x/{a}/{b}.json", "x/1/2.json")]
#[case("x/output_id={a}/", "x/output_id=1/")]
#[case("{a}{a}", "11")]
#[case("x/{phase_execution_id}/y", "x/m3a_1/y")]
#[case("git-{git_sha}", "git-7f")]
#[case("x/", "x/")]
fn a_pattern_is_filled(#[case] pattern: &str, #[case] expected: &str) {
    let values = [("a", "1"), ("b", "2"), ("phase_execution_id", "m3a_1"), ("git_sha", "7f")];
    assert_eq!(fill(pattern, &values).as_deref(), Ok(expected));
}

#[rstest]
#[case::step("..")]
#[case::step(".")]
#[case::inner_steps("a..b")]
#[case::slash("a/b")]
#[case::backslash("a\\b")]
#[case::empty("")]
#[case::blank(" ")]
#[case::trailing("a\n")]
#[case::control("a\u{1b}b")]
#[case::token("{b}")]
fn a_value_that_would_escape_its_prefix_is_refused(#[case] value: &str) {
    let found = fill("x/{a}/y", &[("a", value), ("b", "c")]);
    assert!(matches!(found, Err(PatternError::Refused { .. })), "{found:?}");
}

#[rstest]
#[case("x/{a}", PatternError::Unfilled { pattern: "x/{a}".into(), token: "a".into() })]
#[case("x/{c}", PatternError::NotAllowed { pattern: "x/{c}".into(), token: "c".into() })]
#[case("x/{a", PatternError::StrayBrace { pattern: "x/{a".into(), at: 2 })]
#[case("x/a}", PatternError::StrayBrace { pattern: "x/a}".into(), at: 3 })]
#[case("x/{}", PatternError::StrayBrace { pattern: "x/{}".into(), at: 2 })]
#[case("x/{{a}}", PatternError::StrayBrace { pattern: "x/{{a}}".into(), at: 2 })]
#[case("x/../y", PatternError::Escapes { pattern: "x/../y".into() })]
#[case("", PatternError::Escapes { pattern: String::new() })]
fn a_pattern_that_cannot_be_filled_is_an_error(#[case] pattern: &str, #[case] expected: PatternError) {
    assert_eq!(fill(pattern, &[("c", "1")]), Err(expected));
}

#[test]
fn two_dots_from_two_tokens_are_still_a_step_out() {
    let found = fill("x/{a}{b}/y", &[("a", "."), ("b", ".")]);
    assert!(found.is_err(), "{found:?}");
    let joined = fill("x/.{a}/y", &[("a", ".")]);
    assert!(joined.is_err(), "{joined:?}");
    let around = fill("x/{a}.{b}", &[("a", "m"), ("b", "n")]);
    assert_eq!(around.as_deref(), Ok("x/m.n"));
}
