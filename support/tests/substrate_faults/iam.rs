//! Faults in what IAM and the Parameter Store answer.

use phasegate_support::substrate::reply::{CallError, CallErrorKind};
use phasegate_support::substrate::{PolicyDecision, RolePolicies, Simulated};
use rstest::rstest;

use super::{Scene, json, scripted};

fn xml(operation: &str, result: &str) -> Scene {
    let body = format!("<{operation}Response><{operation}Result>{result}</{operation}Result></{operation}Response>");
    (200, "", body)
}

fn gone() -> Scene {
    (
        404,
        "",
        "<ErrorResponse><Error><Code>NoSuchEntity</Code><Message>gone</Message></Error></ErrorResponse>".to_owned(),
    )
}

const WHOLE: &str = "<IsTruncated>false</IsTruncated>";
const TO_M: &str = "<IsTruncated>true</IsTruncated><Marker>m</Marker>";
const DOCUMENT: &str = "%7B%22Statement%22%3A%5B%5D%7D";
const ARN: &str = "arn:aws:iam::230372904534:policy/managed";

fn names(names: &[&str], rest: &str) -> Scene {
    let members: String = names.iter().map(|name| format!("<member>{name}</member>")).collect();
    xml("ListRolePolicies", &format!("<PolicyNames>{members}</PolicyNames>{rest}"))
}

fn attached(arns: &[&str], rest: &str) -> Scene {
    let member = |arn: &&str| format!("<member><PolicyName>managed</PolicyName><PolicyArn>{arn}</PolicyArn></member>");
    let members: String = arns.iter().map(member).collect();
    xml("ListAttachedRolePolicies", &format!("<AttachedPolicies>{members}</AttachedPolicies>{rest}"))
}

fn inline(role: &str, name: &str, document: &str) -> Scene {
    let fields = format!("<RoleName>{role}</RoleName><PolicyName>{name}</PolicyName>");
    xml("GetRolePolicy", &format!("{fields}<PolicyDocument>{document}</PolicyDocument>"))
}

fn managed(arn: &str, name: &str, version: &str) -> Scene {
    let fields = format!("<PolicyName>{name}</PolicyName><Arn>{arn}</Arn>");
    xml("GetPolicy", &format!("<Policy>{fields}{version}</Policy>"))
}

fn version(id: &str, in_force: bool, document: &str) -> Scene {
    let fields = format!("<VersionId>{id}</VersionId><IsDefaultVersion>{in_force}</IsDefaultVersion>");
    xml("GetPolicyVersion", &format!("<PolicyVersion>{fields}{document}</PolicyVersion>"))
}

fn read(scenes: &[Scene]) -> Result<RolePolicies, CallError> {
    scripted(scenes).iam().role_policies("r").map(|reply| reply.value)
}

const V3: &str = "<DefaultVersionId>v3</DefaultVersionId>";

fn said() -> String {
    format!("<Document>{DOCUMENT}</Document>")
}

#[test]
fn policies_are_read_page_by_page_in_the_version_in_force() {
    let scenes = [
        names(&["b"], TO_M),
        names(&["a"], WHOLE),
        inline("r", "a", DOCUMENT),
        inline("r", "b", "{\"Statement\":[]}"),
        attached(&[], TO_M),
        attached(&[ARN], WHOLE),
        managed(ARN, "managed", V3),
        version("v3", true, &said()),
    ];
    let reply = scripted(&scenes).iam().role_policies("r").unwrap();
    assert_eq!(reply.attempts, 8);
    let inline: Vec<_> = reply.value.inline.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(inline, ["a", "b"]);
    let managed = &reply.value.attached[0];
    assert_eq!((managed.arn.as_str(), managed.version.as_str()), (ARN, "v3"));
    assert!(reply.value.inline.iter().all(|one| one.document == managed.document));
}

#[rstest]
#[case::no_word_on_truncation(&[names(&[], "")])]
#[case::an_empty_answer(&[xml("ListRolePolicies", "")])]
#[case::cut_short_without_a_marker(&[names(&["a"], "<IsTruncated>true</IsTruncated>")])]
#[case::whole_with_a_marker(&[names(&["a"], "<IsTruncated>false</IsTruncated><Marker>m</Marker>")])]
#[case::the_same_marker_again(&[names(&["a"], TO_M), names(&["b"], TO_M)])]
#[case::a_name_twice(&[names(&["a"], TO_M), names(&["a"], WHOLE)])]
#[case::a_listed_policy_is_gone(&[names(&["a"], WHOLE), gone()])]
#[case::another_policy(&[names(&["a"], WHOLE), inline("r", "b", DOCUMENT)])]
#[case::another_role(&[names(&["a"], WHOLE), inline("s", "a", DOCUMENT)])]
#[case::no_document(&[names(&["a"], WHOLE), inline("r", "a", "")])]
#[case::half_a_document(&[names(&["a"], WHOLE), inline("r", "a", "%7B%22Statement%22%3A")])]
#[case::no_word_on_truncation_of_attached(&[names(&[], WHOLE), attached(&[], "")])]
#[case::attached_twice(&[names(&[], WHOLE), attached(&[ARN, ARN], WHOLE)])]
#[case::an_attached_policy_is_gone(&[names(&[], WHOLE), attached(&[ARN], WHOLE), gone()])]
#[case::another_attached_policy(&[names(&[], WHOLE), attached(&[ARN], WHOLE), managed("arn:x", "managed", V3)])]
#[case::another_name(&[names(&[], WHOLE), attached(&[ARN], WHOLE), managed(ARN, "m", V3), version("v3", true, &said())])]
#[case::no_version_in_force(&[names(&[], WHOLE), attached(&[ARN], WHOLE), managed(ARN, "managed", "")])]
#[case::another_version(&[names(&[], WHOLE), attached(&[ARN], WHOLE), managed(ARN, "managed", V3), version("v2", true, &said())])]
#[case::a_version_that_is_not_in_force(&[names(&[], WHOLE), attached(&[ARN], WHOLE), managed(ARN, "managed", V3), version("v3", false, &said())])]
#[case::a_version_that_is_gone(&[names(&[], WHOLE), attached(&[ARN], WHOLE), managed(ARN, "managed", V3), gone()])]
#[case::a_version_without_a_document(&[names(&[], WHOLE), attached(&[ARN], WHOLE), managed(ARN, "managed", V3), version("v3", true, "")])]
fn policies_that_are_not_all_there_are_malformed(#[case] scenes: &[Scene]) {
    let error = read(scenes).unwrap_err();
    assert_eq!(error.kind, CallErrorKind::Malformed, "{error}");
}

#[test]
fn a_role_that_is_not_there_is_not_found() {
    assert_eq!(read(&[gone()]).unwrap_err().kind, CallErrorKind::NotFound);
}

#[test]
fn a_policy_that_is_closed_to_us_is_no_short_list() {
    let closed = "<ErrorResponse><Error><Code>AccessDenied</Code><Message>no</Message></Error></ErrorResponse>";
    let error = read(&[names(&["a"], WHOLE), (403, "", closed.to_owned())]).unwrap_err();
    assert_eq!((error.kind, error.operation.as_str()), (CallErrorKind::Denied, "get-role-policy"));
}

const ROLE: &str = "arn:aws:iam::230372904534:role/r";
const ONE: &str = "arn:aws:s3:::b/one";
const TWO: &str = "arn:aws:s3:::b/two";

fn results(members: &[String], rest: &str) -> Scene {
    let members: String = members.iter().map(|member| format!("<member>{member}</member>")).collect();
    xml("SimulatePrincipalPolicy", &format!("<EvaluationResults>{members}</EvaluationResults>{rest}"))
}

fn decided(resource: &str, decision: &str, more: &str) -> String {
    format!(
        "<EvalActionName>s3:getobject</EvalActionName><EvalResourceName>{resource}</EvalResourceName><EvalDecision>{decision}</EvalDecision>{more}"
    )
}

fn specific(resource: &str, decision: &str, more: &str) -> String {
    let fields = format!(
        "<EvalResourceName>{resource}</EvalResourceName><EvalResourceDecision>{decision}</EvalResourceDecision>"
    );
    format!("<ResourceSpecificResults><member>{fields}{more}</member></ResourceSpecificResults>")
}

fn simulated(scenes: &[Scene]) -> Result<Vec<Simulated>, CallError> {
    scripted(scenes).iam().simulate(ROLE, &["s3:GetObject"], &[ONE, TWO]).map(|reply| reply.value)
}

#[test]
fn each_pair_has_its_answer_in_the_order_asked() {
    let by = |id: &str| {
        format!("<MatchedStatements><member><SourcePolicyId>{id}</SourcePolicyId></member></MatchedStatements>")
    };
    let lacks = |key: &str| format!("<MissingContextValues><member>{key}</member></MissingContextValues>");
    let two = decided(
        TWO,
        "explicitDeny",
        &format!("{}{}", lacks("b"), specific(TWO, "explicitDeny", &format!("{}{}", by("p"), lacks("a")))),
    );
    let scenes = [results(&[two], TO_M), results(&[decided(ONE, "allowed", &by("q"))], WHOLE)];
    let came = simulated(&scenes).unwrap();
    assert_eq!((came[0].resource.as_str(), came[0].decision), (ONE, PolicyDecision::Allowed));
    assert_eq!((came[0].action.as_str(), came[0].matched.join(" ").as_str()), ("s3:GetObject", "q"));
    assert_eq!((came[1].resource.as_str(), came[1].decision), (TWO, PolicyDecision::ExplicitDeny));
    assert_eq!((came[1].matched.join(" "), came[1].missing_context.join(" ")), ("p".to_owned(), "a b".to_owned()));
}

#[test]
fn one_answer_may_sum_up_several_resources() {
    let both = format!("{}{}", specific(ONE, "allowed", ""), specific(TWO, "implicitDeny", ""))
        .replace("</ResourceSpecificResults><ResourceSpecificResults>", "");
    let came = simulated(&[results(&[decided("*", "implicitDeny", &both)], WHOLE)]).unwrap();
    assert_eq!(
        came.iter().map(|one| one.decision).collect::<Vec<_>>(),
        [PolicyDecision::Allowed, PolicyDecision::ImplicitDeny]
    );
}

#[rstest]
#[case::a_pair_is_missing(&[results(&[decided(ONE, "allowed", "")], WHOLE)])]
#[case::nothing(&[results(&[], WHOLE)])]
#[case::no_word_on_truncation(&[results(&[decided(ONE, "allowed", ""), decided(TWO, "allowed", "")], "")])]
#[case::cut_short(&[results(&[decided(ONE, "allowed", ""), decided(TWO, "allowed", "")], "<IsTruncated>true</IsTruncated>")])]
#[case::two_answers(&[results(&[decided(ONE, "allowed", ""), decided(TWO, "allowed", ""), decided(ONE, "implicitDeny", "")], WHOLE)])]
#[case::two_answers_within(&[results(&[decided(ONE, "allowed", &specific(ONE, "explicitDeny", "")), decided(TWO, "allowed", "")], WHOLE)])]
#[case::an_unknown_decision(&[results(&[decided(ONE, "perhaps", ""), decided(TWO, "allowed", "")], WHOLE)])]
#[case::another_action(&[results(&[decided(ONE, "allowed", "").replace("getobject", "putobject"), decided(TWO, "allowed", "")], WHOLE)])]
fn a_simulation_that_leaves_a_pair_open_is_malformed(#[case] scenes: &[Scene]) {
    let error = simulated(scenes).unwrap_err();
    assert_eq!(error.kind, CallErrorKind::Malformed, "{error}");
}

#[rstest]
#[case(501, "NotImplementedException")]
#[case(400, "InvalidAction")]
#[case(501, "")]
fn a_server_that_cannot_simulate_is_unsupported(#[case] status: u16, #[case] code: &str) {
    let body = format!("<ErrorResponse><Error><Code>{code}</Code><Message>no</Message></Error></ErrorResponse>");
    let error = simulated(&[(status, "", body)]).unwrap_err();
    assert_eq!(error.kind, CallErrorKind::Unsupported, "{error}");
}

#[test]
fn nothing_asked_is_nothing_sent() {
    let substrate = scripted(&[]);
    assert_eq!(substrate.iam().simulate(ROLE, &[], &[ONE]).unwrap_err().kind, CallErrorKind::Refused);
    assert_eq!(substrate.iam().simulate(ROLE, &["s3:GetObject"], &[]).unwrap_err().kind, CallErrorKind::Refused);
    assert_eq!(substrate.calls_made(), 0);
}

fn parameter(more: &str) -> Scene {
    json(&format!(r#"{{"Parameter":{{"Name":"/a","Type":"SecureString","Version":1,"Value":"open-sesame"{more}}}}}"#))
}

fn told(status: u16, code: &str) -> Scene {
    (status, "", format!(r#"{{"__type":"{code}","message":"the value is open-sesame"}}"#))
}

#[rstest]
#[case::another_parameter(parameter(r#","Name":"/b""#), CallErrorKind::Malformed)]
#[case::no_version(parameter(r#","Version":0"#), CallErrorKind::Malformed)]
#[case::an_unknown_type(parameter(r#","Type":"open-sesame""#), CallErrorKind::Malformed)]
#[case::no_value(json(r#"{"Parameter":{"Name":"/a","Type":"String","Version":1}}"#), CallErrorKind::Malformed)]
#[case::half_an_answer(json(r#"{"Parameter":{"Name":"/a","Value":"open-sesame"#), CallErrorKind::Malformed)]
#[case::a_value_that_is_no_text(json(r#"{"Parameter":{"Name":"/a","Value":open-sesame}}"#), CallErrorKind::Malformed)]
#[case::xml_around_it((200, "", "<a>open-sesame</b>".to_owned()), CallErrorKind::Malformed)]
#[case::closed_to_us(told(400, "AccessDeniedException"), CallErrorKind::Denied)]
#[case::not_there(told(400, "ParameterNotFound"), CallErrorKind::NotFound)]
#[case::a_code_of_its_own(told(400, "open-sesame"), CallErrorKind::Refused)]
fn a_value_shows_in_no_error(#[case] scene: Scene, #[case] kind: CallErrorKind) {
    let error = scripted(&[scene]).ssm().readable("/a").unwrap_err();
    assert_eq!(error.kind, kind, "{error}");
    assert!(!format!("{error} {error:?}").contains("sesame"), "{error:?}");
}

#[test]
fn a_parameter_that_can_be_read_shows_no_value() {
    let read = scripted(&[parameter("")]).ssm().readable("/a").unwrap();
    assert_eq!((read.value.kind.as_str(), read.value.version, read.value.empty), ("SecureString", 1, false));
    assert!(!format!("{read:?}").contains("sesame"));
    let empty = scripted(&[parameter(r#","Value":"""#)]).ssm().readable("/a").unwrap().value;
    assert!(empty.empty && empty.placeholder);
}

#[test]
fn a_code_that_is_known_is_kept() {
    let error = scripted(&[told(400, "InvalidKeyId")]).ssm().readable("/a").unwrap_err();
    assert_eq!((error.kind, error.message.as_str()), (CallErrorKind::Refused, "InvalidKeyId"));
}
