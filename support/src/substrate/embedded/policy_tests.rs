//! Tables from IAM's documented semantics. `-` stands for "no answer".

use rstest::rstest;
use serde_json::json;

use super::{ALLOWED, EXPLICIT_DENY, IMPLICIT_DENY, Question, Source, decide, identity_policy, is_plain_arn};

const OWN: &str = "arn:aws:ssm:eu-west-2:230372904534:parameter/platform/dev_min/kafka/secret";
const OTHER: &str = "arn:aws:ssm:eu-west-2:230372904534:parameter/platform/dev_min/db/password";
const OBJECT: &str = "arn:aws:s3:::evidence/runs/one/a:b.json";
const GET: &str = "ssm:GetParameter";

fn source(id: &str, statements: &str) -> Source {
    let document = identity_policy(&format!(r#"{{"Version":"2012-10-17","Statement":{statements}}}"#)).unwrap();
    Source { id: id.to_owned(), kind: "role", document }
}

fn word(policies: &[Source], boundary: Option<&Source>, action: &str, resource: &str) -> &'static str {
    let principal = "arn:aws:iam::230372904534:role/runtime";
    decide(policies, boundary, &Question { principal, action, resource }).map_or("-", |ruling| ruling.word)
}

fn one(statement: &str, action: &str, resource: &str) -> &'static str {
    word(&[source("one", statement)], None, action, resource)
}

/// One statement that allows `action` on `resource`.
fn allows(action: &str, resource: &str) -> String {
    json!({"Effect": "Allow", "Action": action, "Resource": resource}).to_string()
}

#[rstest]
#[case::exact(GET, true)]
#[case::all("*", true)]
#[case::all_of_all("*:*", true)]
#[case::all_of_the_service("ssm:*", true)]
#[case::a_prefix("ssm:Get*", true)]
#[case::a_star_for_nothing("ssm:GetParameter*", true)]
#[case::a_star_in_the_middle("ssm:*Para*", true)]
#[case::two_stars("ssm:G*t*r", true)]
#[case::one_character("ssm:GetP?rameter", true)]
#[case::case_of_the_name("ssm:getparameter", true)]
#[case::case_of_the_service("SSM:GET*", true)]
#[case::another_name("ssm:GetParameters", false)]
#[case::another_prefix("ssm:Put*", false)]
#[case::another_service("s3:*", false)]
#[case::a_question_mark_is_not_nothing("ssm:GetParameter?", false)]
#[case::a_star_that_ends_too_early("ssm:*Param", false)]
fn an_action_is_matched_with_its_wildcards(#[case] pattern: &str, #[case] matches: bool) {
    let expected = if matches { ALLOWED } else { IMPLICIT_DENY };
    assert_eq!(one(&allows(pattern, "*"), GET, OWN), expected);
}

#[rstest]
#[case::exact(OWN, OWN, ALLOWED)]
#[case::all("*", OWN, ALLOWED)]
#[case::by_prefix("arn:aws:ssm:eu-west-2:230372904534:parameter/platform/dev_min/kafka/*", OWN, ALLOWED)]
#[case::outside_the_prefix(
    "arn:aws:ssm:eu-west-2:230372904534:parameter/platform/dev_min/kafka/*",
    OTHER,
    IMPLICIT_DENY
)]
#[case::a_star_in_the_middle("arn:aws:ssm:eu-west-2:230372904534:parameter/*/kafka/secret", OWN, ALLOWED)]
#[case::a_star_over_slashes("arn:aws:ssm:eu-west-2:230372904534:parameter*secret", OWN, ALLOWED)]
#[case::one_character("arn:aws:ssm:eu-west-?:230372904534:parameter/platform/dev_min/kafka/secret", OWN, ALLOWED)]
#[case::one_is_not_two("arn:aws:ssm:eu-west?:230372904534:parameter/platform/dev_min/kafka/secret", OWN, IMPLICIT_DENY)]
#[case::any_region("arn:aws:ssm:*:230372904534:parameter/platform/dev_min/kafka/secret", OWN, ALLOWED)]
#[case::another_region("arn:aws:ssm:us-*:230372904534:parameter/*", OWN, IMPLICIT_DENY)]
#[case::another_account("arn:aws:ssm:eu-west-2:111122223333:parameter/*", OWN, IMPLICIT_DENY)]
#[case::another_service("arn:aws:kms:eu-west-2:230372904534:parameter/*", OWN, IMPLICIT_DENY)]
#[case::another_partition("arn:aws-cn:ssm:eu-west-2:230372904534:parameter/*", OWN, IMPLICIT_DENY)]
#[case::case_counts("arn:aws:ssm:eu-west-2:230372904534:parameter/Platform/*", OWN, IMPLICIT_DENY)]
#[case::a_longer_one("arn:aws:ssm:eu-west-2:230372904534:parameter/platform", OWN, IMPLICIT_DENY)]
#[case::a_part_that_is_missing("arn:aws:ssm:*:parameter/platform/*", OWN, "-")]
#[case::a_star_in_the_service("arn:aws:*:eu-west-2:230372904534:parameter/*", OWN, "-")]
#[case::a_variable("arn:aws:ssm:eu-west-2:230372904534:parameter/${aws:PrincipalTag/team}/*", OWN, "-")]
#[case::a_colon_in_the_name("arn:aws:s3:::evidence/runs/*", OBJECT, ALLOWED)]
#[case::a_star_that_could_reach_over_a_colon("arn:aws:s3:*:evidence/runs/one/a:b.json", OBJECT, "-")]
#[case::a_star_that_could_reach_over_two("arn:aws:s3:*::b.json", OBJECT, IMPLICIT_DENY)]
fn a_resource_is_matched_part_by_part(#[case] pattern: &str, #[case] resource: &str, #[case] expected: &str) {
    assert_eq!(one(&allows("*", pattern), GET, resource), expected);
    // What a Deny may reach is as unclear as what an Allow may.
    let denies = allows("*", pattern).replace("Allow", "Deny");
    let both = format!("[{denies},{}]", allows("*", "*"));
    let expected = match expected {
        ALLOWED => EXPLICIT_DENY,
        IMPLICIT_DENY => ALLOWED,
        other => other,
    };
    assert_eq!(one(&both, GET, resource), expected);
}

#[rstest]
#[case::deny_wins(
    r#"[{"Effect":"Allow","Action":"*","Resource":"*"},{"Effect":"Deny","Action":"ssm:*","Resource":"*"}]"#,
    OWN,
    EXPLICIT_DENY
)]
#[case::deny_wins_in_any_order(
    r#"[{"Effect":"Deny","Action":"ssm:*","Resource":"*"},{"Effect":"Allow","Action":"*","Resource":"*"}]"#,
    OWN,
    EXPLICIT_DENY
)]
#[case::deny_of_something_else(
    r#"[{"Effect":"Allow","Action":"*","Resource":"*"},{"Effect":"Deny","Action":"s3:*","Resource":"*"}]"#,
    OWN,
    ALLOWED
)]
#[case::deny_alone(r#"{"Effect":"Deny","Action":"*","Resource":"*"}"#, OWN, EXPLICIT_DENY)]
#[case::the_second_statement(r#"[{"Effect":"Allow","Action":"s3:*","Resource":"*"},{"Effect":"Allow","Action":"ssm:GetParameter","Resource":"*"}]"#, OWN, ALLOWED)]
#[case::action_of_one_resource_of_the_other(r#"[{"Effect":"Allow","Action":"ssm:GetParameter","Resource":"arn:aws:s3:::x"},{"Effect":"Allow","Action":"s3:GetObject","Resource":"*"}]"#, OWN, IMPLICIT_DENY)]
#[case::a_list_of_actions(
    r#"{"Effect":"Allow","Action":["s3:GetObject","ssm:GetParameter"],"Resource":["arn:aws:s3:::x","*"]}"#,
    OWN,
    ALLOWED
)]
#[case::not_action(r#"{"Effect":"Allow","NotAction":"s3:*","Resource":"*"}"#, OWN, ALLOWED)]
#[case::not_action_that_is_meant(
    r#"{"Effect":"Allow","NotAction":["s3:*","SSM:get*"],"Resource":"*"}"#,
    OWN,
    IMPLICIT_DENY
)]
#[case::deny_not_action(
    r#"[{"Effect":"Allow","Action":"*","Resource":"*"},{"Effect":"Deny","NotAction":"s3:*","Resource":"*"}]"#,
    OWN,
    EXPLICIT_DENY
)]
#[case::not_resource_inside(r#"{"Effect":"Allow","Action":"*","NotResource":"arn:aws:ssm:eu-west-2:230372904534:parameter/platform/dev_min/kafka/*"}"#, OWN, IMPLICIT_DENY)]
#[case::not_resource_outside(r#"{"Effect":"Allow","Action":"*","NotResource":"arn:aws:ssm:eu-west-2:230372904534:parameter/platform/dev_min/kafka/*"}"#, OTHER, ALLOWED)]
#[case::not_any_of_two_resources(r#"{"Effect":"Allow","Action":"*","NotResource":["arn:aws:s3:::x","arn:aws:ssm:eu-west-2:230372904534:parameter/platform/dev_min/kafka/secret"]}"#, OWN, IMPLICIT_DENY)]
#[case::not_a_resource_that_is_unclear(
    r#"{"Effect":"Allow","Action":"*","NotResource":"arn:aws:ssm:*:230372904534:parameter/${aws:username}"}"#,
    OWN,
    "-"
)]
fn statements_are_taken_together(#[case] statements: &str, #[case] resource: &str, #[case] expected: &str) {
    assert_eq!(one(statements, GET, resource), expected);
}

const IF_TAGGED: &str = r#""Condition":{"StringEquals":{"aws:PrincipalTag/team":"risk"}}"#;

#[rstest]
#[case::an_allow_hangs_on_it(r#"[{"Effect":"Allow","Action":"*","Resource":"*",IF}]"#, "-")]
#[case::an_allow_besides_it(
    r#"[{"Effect":"Allow","Action":"*","Resource":"*",IF},{"Effect":"Allow","Action":"ssm:*","Resource":"*"}]"#,
    ALLOWED
)]
#[case::a_deny_hangs_on_it(
    r#"[{"Effect":"Allow","Action":"*","Resource":"*"},{"Effect":"Deny","Action":"*","Resource":"*",IF}]"#,
    "-"
)]
#[case::a_deny_hangs_on_it_and_nothing_allows(r#"[{"Effect":"Deny","Action":"*","Resource":"*",IF}]"#, "-")]
#[case::denied_anyway(
    r#"[{"Effect":"Deny","Action":"*","Resource":"*",IF},{"Effect":"Deny","Action":"ssm:*","Resource":"*"}]"#,
    EXPLICIT_DENY
)]
#[case::denied_whatever_is_allowed(
    r#"[{"Effect":"Allow","Action":"*","Resource":"*",IF},{"Effect":"Deny","Action":"ssm:*","Resource":"*"}]"#,
    EXPLICIT_DENY
)]
#[case::of_another_action(r#"[{"Effect":"Allow","Action":"s3:*","Resource":"*",IF}]"#, IMPLICIT_DENY)]
#[case::of_another_resource(r#"[{"Effect":"Deny","Action":"*","Resource":"arn:aws:s3:::x",IF},{"Effect":"Allow","Action":"ssm:*","Resource":"*"}]"#, ALLOWED)]
fn a_condition_is_never_guessed(#[case] statements: &str, #[case] expected: &str) {
    assert_eq!(one(&statements.replace("IF", IF_TAGGED), GET, OWN), expected);
}

#[test]
fn the_keys_of_a_condition_on_which_nothing_hangs_are_told() {
    let statements =
        r#"[{"Effect":"Allow","Action":"*","Resource":"*",IF},{"Effect":"Allow","Action":"ssm:*","Resource":"*"}]"#;
    let policies = [source("one", &statements.replace("IF", IF_TAGGED))];
    let principal = "arn:aws:iam::230372904534:role/runtime";
    let ruling = decide(&policies, None, &Question { principal, action: GET, resource: OWN }).unwrap();
    assert_eq!(ruling.missing_context, ["aws:PrincipalTag/team"]);
}

#[rstest]
#[case::within("ssm:*", "ssm:Get*", ALLOWED, Some(true))]
#[case::outside("s3:*", "ssm:Get*", IMPLICIT_DENY, Some(false))]
#[case::it_grants_nothing_itself("ssm:*", "s3:*", IMPLICIT_DENY, Some(true))]
fn a_boundary_restricts(
    #[case] bounds: &str,
    #[case] allowed: &str,
    #[case] expected: &str,
    #[case] within: Option<bool>,
) {
    let policies = [source("one", &allows(allowed, "*"))];
    let boundary = source("edge", &allows(bounds, "*"));
    let principal = "arn:aws:iam::230372904534:role/runtime";
    let question = Question { principal, action: GET, resource: OWN };
    let ruling = decide(&policies, Some(&boundary), &question).unwrap();
    assert_eq!((ruling.word, ruling.within_boundary), (expected, within));
}

#[test]
fn a_boundary_denies_by_name_and_its_conditions_are_not_guessed() {
    let policies = [source("one", &allows("*", "*"))];
    let denies =
        source("edge", &format!("[{},{}]", allows("*", "*"), r#"{"Effect":"Deny","Action":"ssm:*","Resource":"*"}"#));
    let principal = "arn:aws:iam::230372904534:role/runtime";
    let question = Question { principal, action: GET, resource: OWN };
    let ruling = decide(&policies, Some(&denies), &question).unwrap();
    assert_eq!((ruling.word, ruling.matched), (EXPLICIT_DENY, vec![("edge", "role")]));
    let unclear = source("edge", &format!(r#"{{"Effect":"Allow","Action":"*","Resource":"*",{IF_TAGGED}}}"#));
    assert_eq!(word(&policies, Some(&unclear), GET, OWN), "-");
}

#[test]
fn policies_are_taken_together_and_named() {
    let policies = [
        source("role_runtime_inline", &allows("ssm:GetParameter", OWN)),
        source("managed", &allows("ssm:*", "*")),
        source("idle", &allows("s3:*", "*")),
    ];
    let principal = "arn:aws:iam::230372904534:role/runtime";
    let ruling = decide(&policies, None, &Question { principal, action: GET, resource: OWN }).unwrap();
    assert_eq!(ruling.matched, [("role_runtime_inline", "role"), ("managed", "role")]);
    assert_eq!(word(&policies, None, GET, OTHER), ALLOWED);
    assert_eq!(word(&[], None, GET, OWN), IMPLICIT_DENY);
    let denied = [source("one", &allows("*", "*")), source("two", r#"{"Effect":"Deny","Action":"*","Resource":"*"}"#)];
    let ruling = decide(&denied, None, &Question { principal, action: GET, resource: OWN }).unwrap();
    assert_eq!(ruling.matched, [("two", "role")], "the deny is the only entry");
}

#[rstest]
#[case::no_json("{")]
#[case::a_list("[]")]
#[case::no_statement(r#"{"Version":"2012-10-17"}"#)]
#[case::an_empty_statement(r#"{"Statement":[]}"#)]
#[case::another_version(r#"{"Version":"2012-10-18","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}"#)]
#[case::an_unknown_key(r#"{"Statement":{"Effect":"Allow","Action":"*","Resource":"*"},"statement":[]}"#)]
#[case::an_unknown_key_of_a_statement(
    r#"{"Statement":{"Effect":"Allow","Action":"*","Resource":"*","Conditions":{}}}"#
)]
#[case::a_principal(r#"{"Statement":{"Effect":"Allow","Action":"*","Resource":"*","Principal":"*"}}"#)]
#[case::no_effect(r#"{"Statement":{"Action":"*","Resource":"*"}}"#)]
#[case::an_effect_in_lower_case(r#"{"Statement":{"Effect":"allow","Action":"*","Resource":"*"}}"#)]
#[case::no_action(r#"{"Statement":{"Effect":"Allow","Resource":"*"}}"#)]
#[case::two_kinds_of_action(r#"{"Statement":{"Effect":"Allow","Action":"*","NotAction":"*","Resource":"*"}}"#)]
#[case::no_resource(r#"{"Statement":{"Effect":"Allow","Action":"*"}}"#)]
#[case::an_empty_list(r#"{"Statement":{"Effect":"Allow","Action":[],"Resource":"*"}}"#)]
#[case::an_action_without_a_service(r#"{"Statement":{"Effect":"Allow","Action":"GetParameter","Resource":"*"}}"#)]
#[case::a_wildcard_in_the_service(r#"{"Statement":{"Effect":"Allow","Action":"s*:GetParameter","Resource":"*"}}"#)]
#[case::a_number_for_an_action(r#"{"Statement":{"Effect":"Allow","Action":1,"Resource":"*"}}"#)]
#[case::a_resource_that_is_no_arn(r#"{"Statement":{"Effect":"Allow","Action":"*","Resource":"/platform"}}"#)]
#[case::a_name_twice(r#"{"Statement":[{"Sid":"A","Effect":"Allow","Action":"*","Resource":"*"},{"Sid":"A","Effect":"Allow","Action":"*","Resource":"*"}]}"#)]
#[case::a_name_with_a_dash(r#"{"Statement":{"Sid":"a-b","Effect":"Allow","Action":"*","Resource":"*"}}"#)]
#[case::a_condition_of_texts(
    r#"{"Statement":{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"StringEquals":"x"}}}"#
)]
#[case::a_key_twice(r#"{"Statement":{"Effect":"Deny","Effect":"Allow","Action":"*","Resource":"*"}}"#)]
fn what_iam_would_not_take_is_refused(#[case] text: &str) {
    identity_policy(text).unwrap_err();
}

#[rstest]
#[case("arn:aws:s3:::bucket/key", true)]
#[case("arn:aws:ssm:eu-west-2:230372904534:parameter/a", true)]
#[case("*", false)]
#[case("arn:aws:s3:::bucket/*", false)]
#[case("arn:aws:s3:bucket", false)]
#[case("arn:aws:ssm:eu-west-2:aws:parameter/a", false)]
#[case("bucket", false)]
fn a_simulation_is_about_one_thing(#[case] arn: &str, #[case] plain: bool) {
    assert_eq!(is_plain_arn(arn), plain);
}
