//! What a gate relies on in IAM's policies and their simulation.

use phasegate_support::substrate::reply::CallErrorKind;
use phasegate_support::substrate::{PolicyDecision, Simulated, policy_document};
use serde_json::{Value, json};

use super::Assertion;
use super::ground::{ACCOUNT, Ground, REGION, unless};

pub const LIST: &[Assertion] = &[
    ("iam.inline_policy_comes_back_encoded", inline_encoded),
    ("iam.managed_policy_comes_back_encoded", managed_encoded),
    ("iam.trust_policy_comes_back_encoded", trust_encoded),
    ("iam.missing_policies_are_an_error", missing_policies),
    ("iam.malformed_policy_is_refused", malformed),
    ("iam.policies_of_a_role_page", pages),
    ("iam.policies_reader_reads_all", reads_all),
    ("iam.policies_reader_walks_more_than_100", walks),
    ("iam.policies_reader_misses_a_role", misses),
    ("iam.permissions_boundary_is_told", boundary_told),
    ("iam.missing_boundary_is_refused", boundary_missing),
    ("iam.simulate.allow_by_arn_and_implicit_deny", simulate_exact),
    ("iam.simulate.each_pair_has_an_answer", simulate_pairs),
    ("iam.simulate.wildcards", simulate_wildcards),
    ("iam.simulate.deny_wins", simulate_deny),
    ("iam.simulate.not_resource_and_not_action", simulate_not),
    ("iam.simulate.managed_and_inline_together", simulate_together),
    ("iam.simulate.boundary_restricts", simulate_boundary),
    ("iam.simulate.matched_policies_are_named", simulate_matched),
    ("iam.simulate.condition_is_not_passed_over", simulate_condition),
    ("iam.simulate.condition_of_a_deny_is_not_passed_over", simulate_condition_deny),
    ("iam.simulate.missing_role_is_not_found", simulate_missing),
];

const TRUST: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ecs-tasks.amazonaws.com"},"Action":"sts:AssumeRole"}]}"#;
const GET: &str = "ssm:GetParameter";

fn text(error: impl std::fmt::Debug) -> String {
    format!("{error:?}")
}

fn policy(statements: &Value) -> String {
    json!({"Version": "2012-10-17", "Statement": statements}).to_string()
}

fn allows(action: &str, resource: &str) -> Value {
    json!({"Effect": "Allow", "Action": action, "Resource": resource})
}

fn parameter(path: &str) -> String {
    format!("arn:aws:ssm:{REGION}:{ACCOUNT}:parameter/platform/{path}")
}

fn sign(one: &Simulated) -> char {
    match one.decision {
        PolicyDecision::Allowed => '+',
        PolicyDecision::ExplicitDeny => '-',
        PolicyDecision::ImplicitDeny => '0',
    }
}

/// Roles and policies are written here as anyone would.
impl Ground {
    fn role(&self) -> String {
        let name = self.name("role");
        let request = self.iam.create_role().role_name(&name).assume_role_policy_document(TRUST);
        self.runtime.block_on(request.send()).unwrap();
        name
    }

    fn bounded_role(&self, boundary: &str) -> Result<String, String> {
        let name = self.name("role");
        let request = self.iam.create_role().role_name(&name).assume_role_policy_document(TRUST);
        self.runtime
            .block_on(request.permissions_boundary(boundary).send())
            .map_err(|e| e.into_service_error().to_string())?;
        Ok(name)
    }

    fn put_policy(&self, role: &str, name: &str, document: &str) -> Result<(), String> {
        let request = self.iam.put_role_policy().role_name(role).policy_name(name).policy_document(document);
        self.runtime.block_on(request.send()).map(drop).map_err(|e| e.into_service_error().to_string())
    }

    fn managed(&self, document: &str) -> Result<String, String> {
        let request = self.iam.create_policy().policy_name(self.name("policy")).policy_document(document);
        let made = self.runtime.block_on(request.send()).map_err(text)?;
        made.policy.and_then(|policy| policy.arn).ok_or_else(|| "no ARN".to_owned())
    }

    fn attach(&self, role: &str, arn: &str) -> Result<(), String> {
        let request = self.iam.attach_role_policy().role_name(role).policy_arn(arn);
        self.runtime.block_on(request.send()).map(drop).map_err(text)
    }

    fn simulated(&self, role: &str, actions: &[&str], resources: &[&str]) -> Result<Vec<Simulated>, String> {
        let arn = format!("arn:aws:iam::{ACCOUNT}:role/{role}");
        let came = self.substrate.iam().simulate(&arn, actions, resources).map_err(|e| e.to_string())?;
        Ok(came.value)
    }

    /// What is decided, action by action, and resource by resource within: `+` allowed, `-` denied by a statement, `0` by
    /// none. Each resource is asked about by itself, since not every server takes several.
    fn decided(&self, role: &str, actions: &[&str], resources: &[&str]) -> Result<String, String> {
        let by_resource = resources
            .iter()
            .map(|resource| self.simulated(role, actions, &[resource]))
            .collect::<Result<Vec<_>, _>>()?;
        let row = |action: usize| by_resource.iter().map(move |answers| sign(&answers[action]));
        Ok((0..actions.len()).flat_map(row).collect())
    }

    /// What is decided for a role with this one inline policy.
    fn decided_by(&self, statements: &Value, actions: &[&str], resources: &[&str]) -> Result<String, String> {
        let role = self.role();
        self.put_policy(&role, "one", &policy(statements))?;
        self.decided(&role, actions, resources)
    }
}

/// With what an encoding could mistake: `+`, `%`, spaces, quotes, a letter beyond ASCII.
fn awkward() -> String {
    policy(
        &json!([{"Sid": "Awkward", "Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::a/b+c %41 \"d\" é <&>"}]),
    )
}

/// IAM documents are percent-encoded (RFC 3986), so that no brace and no space is left.
fn encoded(came: &str, right: &str) -> Result<(), String> {
    unless(!came.contains(['{', ' ', '"']), || format!("not encoded: {came}"))?;
    let came = policy_document(came).map_err(|e| e.to_string())?;
    unless(Ok(&came) == serde_json::from_str(right).as_ref().map_err(|_| ()), || text(&came))
}

fn inline_encoded(ground: &Ground) -> Result<(), String> {
    let role = ground.role();
    ground.put_policy(&role, "awkward", &awkward())?;
    let request = ground.iam.get_role_policy().role_name(&role).policy_name("awkward");
    let came = ground.runtime.block_on(request.send()).map_err(text)?;
    encoded(&came.policy_document, &awkward())
}

fn managed_encoded(ground: &Ground) -> Result<(), String> {
    let arn = ground.managed(&awkward())?;
    let request = ground.iam.get_policy_version().policy_arn(&arn).version_id("v1");
    let came = ground.runtime.block_on(request.send()).map_err(text)?.policy_version.ok_or("no version")?;
    unless(came.is_default_version, || text(&came))?;
    encoded(came.document.as_deref().unwrap_or_default(), &awkward())
}

fn trust_encoded(ground: &Ground) -> Result<(), String> {
    let came = ground.substrate.iam().get_role(&ground.role()).map_err(|e| e.to_string())?.value;
    encoded(came.trust_policy.as_deref().unwrap_or_default(), TRUST)
}

fn missing_policies(ground: &Ground) -> Result<(), String> {
    let (role, none) = (ground.role(), format!("arn:aws:iam::{ACCOUNT}:policy/{}", ground.name("none")));
    let arn = ground.managed(&awkward())?;
    let inline = ground.runtime.block_on(ground.iam.get_role_policy().role_name(&role).policy_name("none").send());
    let right = inline.as_ref().is_err_and(|e| e.as_service_error().is_some_and(|e| e.is_no_such_entity_exception()));
    unless(right, || text(&inline))?;
    let policy = ground.runtime.block_on(ground.iam.get_policy().policy_arn(&none).send());
    let right = policy.as_ref().is_err_and(|e| e.as_service_error().is_some_and(|e| e.is_no_such_entity_exception()));
    unless(right, || text(&policy))?;
    let version = ground.runtime.block_on(ground.iam.get_policy_version().policy_arn(&arn).version_id("v9").send());
    let right = version.as_ref().is_err_and(|e| e.as_service_error().is_some_and(|e| e.is_no_such_entity_exception()));
    unless(right, || text(&version))?;
    let attached = ground.runtime.block_on(ground.iam.attach_role_policy().role_name(&role).policy_arn(&none).send());
    let right = attached.as_ref().is_err_and(|e| e.as_service_error().is_some_and(|e| e.is_no_such_entity_exception()));
    unless(right, || text(&attached))
}

fn malformed(ground: &Ground) -> Result<(), String> {
    let role = ground.role();
    let wrong = [
        "no JSON".to_owned(),
        policy(&json!([{"Effect": "Perhaps", "Action": GET, "Resource": "*"}])),
        policy(&json!([{"Effect": "Allow", "Resource": "*"}])),
        policy(&json!([{"Effect": "Allow", "Action": GET, "Resource": "/platform/key"}])),
    ];
    for document in wrong {
        let came = ground.put_policy(&role, "wrong", &document);
        unless(came.as_ref().is_err_and(|e| e.contains("MalformedPolicyDocument")), || {
            format!("{document}: {came:?}")
        })?;
    }
    Ok(())
}

fn pages(ground: &Ground) -> Result<(), String> {
    let role = ground.role();
    for name in ["one", "two", "three"] {
        ground.put_policy(&role, name, &awkward())?;
        ground.attach(&role, &ground.managed(&awkward())?)?;
    }
    let inline = |marker: Option<String>| {
        let request = ground.iam.list_role_policies().role_name(&role).max_items(2).set_marker(marker);
        ground.runtime.block_on(request.send()).map_err(text)
    };
    let first = inline(None)?;
    unless(first.policy_names.len() == 2 && first.is_truncated, || text(&first))?;
    let second = inline(first.marker.clone())?;
    let mut names: Vec<_> = first.policy_names.iter().chain(&second.policy_names).map(String::as_str).collect();
    names.sort_unstable();
    unless(names == ["one", "three", "two"] && !second.is_truncated && second.marker.is_none(), || text(&second))?;
    let attached = |marker: Option<String>| {
        let request = ground.iam.list_attached_role_policies().role_name(&role).max_items(2).set_marker(marker);
        ground.runtime.block_on(request.send()).map_err(text)
    };
    let first = attached(None)?;
    unless(first.attached_policies().len() == 2 && first.is_truncated, || text(&first))?;
    let second = attached(first.marker.clone())?;
    unless(second.attached_policies().len() == 1 && !second.is_truncated, || text(&second))
}

fn reads_all(ground: &Ground) -> Result<(), String> {
    let role = ground.role();
    let none = ground.substrate.iam().role_policies(&role).map_err(|e| e.to_string())?.value;
    unless(none.inline.is_empty() && none.attached.is_empty(), || text(&none))?;
    let arn = ground.managed(&awkward())?;
    ground.put_policy(&role, "b", &awkward())?;
    ground.put_policy(&role, "a", &policy(&json!([allows(GET, "*")])))?;
    // Written once more, it is another policy.
    ground.put_policy(&role, "b", &policy(&json!([allows("s3:*", "*")])))?;
    ground.attach(&role, &arn)?;
    ground.attach(&role, &arn)?;
    let came = ground.substrate.iam().role_policies(&role).map_err(|e| e.to_string())?.value;
    let inline: Vec<_> =
        came.inline.iter().map(|one| format!("{} {}", one.name, one.document["Statement"][0]["Action"])).collect();
    let right: Value = serde_json::from_str(&awkward()).map_err(text)?;
    unless(
        came.role == role
            && inline == ["a \"ssm:GetParameter\"", "b \"s3:*\""]
            && came.attached.len() == 1
            && came.attached[0].arn == arn
            && arn.ends_with(&format!("/{}", came.attached[0].name))
            && came.attached[0].version == "v1"
            && came.attached[0].document == right,
        || text(&came),
    )
}

fn walks(ground: &Ground) -> Result<(), String> {
    let role = ground.role();
    let document = policy(&json!([allows(GET, "*")]));
    for number in 0..101 {
        ground.put_policy(&role, &format!("policy-{number}"), &document)?;
    }
    let came = ground.substrate.iam().role_policies(&role).map_err(|e| e.to_string())?;
    unless(came.value.inline.len() == 101, || format!("{} policies", came.value.inline.len()))
}

fn misses(ground: &Ground) -> Result<(), String> {
    let came = ground.substrate.iam().role_policies(&ground.name("nowhere"));
    unless(came.as_ref().is_err_and(|e| e.kind == CallErrorKind::NotFound), || text(&came))
}

fn boundary_told(ground: &Ground) -> Result<(), String> {
    let arn = ground.managed(&awkward())?;
    let role = ground.bounded_role(&arn)?;
    let came = ground.substrate.iam().get_role(&role).map_err(|e| e.to_string())?.value;
    unless(came.permissions_boundary == Some(arn), || text(&came))?;
    let free = ground.substrate.iam().get_role(&ground.role()).map_err(|e| e.to_string())?.value;
    unless(free.permissions_boundary.is_none(), || text(&free))
}

fn boundary_missing(ground: &Ground) -> Result<(), String> {
    let came = ground.bounded_role(&format!("arn:aws:iam::{ACCOUNT}:policy/{}", ground.name("none")));
    unless(came.as_ref().is_err_and(|e| e.contains("NoSuchEntity")), || text(&came))
}

fn simulate_exact(ground: &Ground) -> Result<(), String> {
    let (own, other) = (parameter("kafka/secret"), parameter("db/password"));
    let came = ground.decided_by(&json!([allows(GET, &own)]), &[GET, "ssm:PutParameter"], &[&own, &other])?;
    unless(came == "+000", || came)
}

fn simulate_pairs(ground: &Ground) -> Result<(), String> {
    let (own, other) = (parameter("kafka/secret"), parameter("db/password"));
    let role = ground.role();
    ground.put_policy(&role, "one", &policy(&json!([allows(GET, &other)])))?;
    let came = ground.simulated(&role, &[GET, "ssm:PutParameter"], &[&own, &other])?;
    let told: Vec<_> = came.iter().map(|one| (one.action.as_str(), one.resource.as_str(), sign(one))).collect();
    let right = [
        (GET, own.as_str(), '0'),
        (GET, other.as_str(), '+'),
        ("ssm:PutParameter", own.as_str(), '0'),
        ("ssm:PutParameter", other.as_str(), '0'),
    ];
    unless(told == right, || text(&came))
}

fn simulate_wildcards(ground: &Ground) -> Result<(), String> {
    let (own, other) = (parameter("kafka/secret"), parameter("db/password"));
    let by_prefix = json!([allows("ssm:Get*", &parameter("kafka/*"))]);
    let came = ground.decided_by(&by_prefix, &[GET, "ssm:GetParameters", "ssm:PutParameter"], &[&own, &other])?;
    unless(came == "+0+000", || format!("by prefix: {came}"))?;
    let inside = json!([allows("SSM:getp?rameter", &parameter("*/secret"))]);
    let came = ground.decided_by(&inside, &[GET, "ssm:GetParameters"], &[&own, &other])?;
    unless(came == "+000", || format!("inside: {came}"))
}

fn simulate_deny(ground: &Ground) -> Result<(), String> {
    let (own, other) = (parameter("kafka/secret"), parameter("db/password"));
    let statements = json!([
        {"Effect": "Deny", "Action": "ssm:*", "Resource": parameter("db/*")},
        allows("ssm:*", "*"),
    ]);
    let came = ground.decided_by(&statements, &[GET], &[&own, &other])?;
    unless(came == "+-", || came)
}

fn simulate_not(ground: &Ground) -> Result<(), String> {
    let (own, other) = (parameter("kafka/secret"), parameter("db/password"));
    let statements = json!([{"Effect": "Allow", "Action": "ssm:*", "NotResource": parameter("db/*")}]);
    let came = ground.decided_by(&statements, &[GET], &[&own, &other])?;
    unless(came == "+0", || format!("NotResource: {came}"))?;
    let statements = json!([{"Effect": "Allow", "NotAction": "ssm:Put*", "Resource": "*"}]);
    let came = ground.decided_by(&statements, &[GET, "ssm:PutParameter"], &[&own])?;
    unless(came == "+0", || format!("NotAction: {came}"))
}

fn simulate_together(ground: &Ground) -> Result<(), String> {
    let (own, other) = (parameter("kafka/secret"), parameter("db/password"));
    let role = ground.role();
    ground.put_policy(&role, "own", &policy(&json!([allows(GET, &own)])))?;
    ground.put_policy(&role, "put", &policy(&json!([allows("ssm:PutParameter", "*")])))?;
    let closed = json!([allows(GET, &other), {"Effect": "Deny", "Action": "ssm:PutParameter", "Resource": own}]);
    ground.attach(&role, &ground.managed(&policy(&closed))?)?;
    let came = ground.decided(&role, &[GET, "ssm:PutParameter", "ssm:DeleteParameter"], &[&own, &other])?;
    unless(came == "++-+00", || came)
}

fn simulate_boundary(ground: &Ground) -> Result<(), String> {
    let (own, other) = (parameter("kafka/secret"), parameter("db/password"));
    let edge = json!([allows("ssm:*", &parameter("kafka/*"))]);
    let role = ground.bounded_role(&ground.managed(&policy(&edge))?)?;
    ground.put_policy(&role, "all", &policy(&json!([allows(GET, "*")])))?;
    let came = ground.decided(&role, &[GET, "ssm:PutParameter"], &[&own, &other])?;
    unless(came == "+000", || came)
}

fn simulate_matched(ground: &Ground) -> Result<(), String> {
    let own = parameter("kafka/secret");
    let role = ground.role();
    ground.put_policy(&role, "reads-own", &policy(&json!([allows(GET, &own)])))?;
    let came = ground.simulated(&role, &[GET, "ssm:PutParameter"], &[&own])?;
    unless(
        came[0].matched.len() == 1 && came[0].matched[0].ends_with("reads-own") && came[1].matched.is_empty(),
        || text(&came),
    )
}

/// An answer that nothing hangs on the missing key of a condition: allowed, or denied without a word on what is missing.
fn passed_over(ground: &Ground, statements: &Value) -> Result<(), String> {
    let own = parameter("kafka/secret");
    let role = ground.role();
    ground.put_policy(&role, "one", &policy(statements))?;
    let arn = format!("arn:aws:iam::{ACCOUNT}:role/{role}");
    match ground.substrate.iam().simulate(&arn, &[GET], &[&own]) {
        Ok(came) => unless(!came.value[0].missing_context.is_empty(), || text(&came.value)),
        Err(error) => unless(error.kind == CallErrorKind::Unsupported, || error.to_string()),
    }
}

fn simulate_condition(ground: &Ground) -> Result<(), String> {
    let tagged = json!({"StringEquals": {"aws:PrincipalTag/team": "risk"}});
    passed_over(ground, &json!([{"Effect": "Allow", "Action": GET, "Resource": "*", "Condition": tagged}]))
}

fn simulate_condition_deny(ground: &Ground) -> Result<(), String> {
    let tagged = json!({"StringNotEquals": {"aws:PrincipalTag/team": "risk"}});
    let deny = json!({"Effect": "Deny", "Action": GET, "Resource": "*", "Condition": tagged});
    passed_over(ground, &json!([allows(GET, "*"), deny]))
}

fn simulate_missing(ground: &Ground) -> Result<(), String> {
    let arn = format!("arn:aws:iam::{ACCOUNT}:role/{}", ground.name("nowhere"));
    let came = ground.substrate.iam().simulate(&arn, &[GET], &[&parameter("kafka/secret")]);
    unless(came.as_ref().is_err_and(|e| e.kind == CallErrorKind::NotFound), || text(&came))
}
