//! IAM of the embedded world: `winterbaume` keeps roles and policies, and its holes are closed here.
//!
//! | hole | closed by |
//! | --- | --- |
//! | documents come back as plain JSON; what is not ASCII is garbled | keeping them percent-encoded |
//! | any text is a policy | IAM's grammar, read before the write |
//! | a permissions boundary is dropped, and one that is not there is taken | setting it after the role is made, and showing it |
//! | lists have one page, whatever is asked; one does not say whether it is whole | lists of our own |
//! | parameters that it does not know are passed over | refusing all but those that are listed |
//! | simulation passes over conditions and boundaries | [`super::policy`] |

use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde_json::Value;
use winterbaume_core::StatefulService;

use super::policy::{self, Question, Ruling, Source};
use super::services::{Host, Trouble};
use crate::substrate::policy_document::policy_document;

/// The operations that are answered, each with the parameters that may come with it.
const OPERATIONS: [(&str, &[&str]); 11] = [
    ("CreateRole", &["RoleName", "Path", "AssumeRolePolicyDocument", "PermissionsBoundary", "MaxSessionDuration"]),
    ("GetRole", &["RoleName"]),
    ("PutRolePolicy", &["RoleName", "PolicyName", "PolicyDocument"]),
    ("ListRolePolicies", &["RoleName", "Marker", "MaxItems"]),
    ("GetRolePolicy", &["RoleName", "PolicyName"]),
    ("CreatePolicy", &["PolicyName", "Path", "PolicyDocument"]),
    ("AttachRolePolicy", &["RoleName", "PolicyArn"]),
    ("ListAttachedRolePolicies", &["RoleName", "Marker", "MaxItems"]),
    ("GetPolicy", &["PolicyArn"]),
    ("GetPolicyVersion", &["PolicyArn", "VersionId"]),
    ("SimulatePrincipalPolicy", &["PolicySourceArn", "ActionNames", "ResourceArns", "Marker", "MaxItems"]),
];

const NAMESPACE: &str = "https://iam.amazonaws.com/doc/2010-05-08/";

/// Status and body.
type Answered = (u16, String);

/// Whether `operation` is answered here.
pub(super) fn knows(operation: &str) -> bool {
    OPERATIONS.iter().any(|(known, _)| *known == operation)
}

/// Answers one of [`OPERATIONS`].
pub(super) fn answer<S: StatefulService>(host: &Host<'_, S>, operation: &str) -> Result<Answered, Trouble> {
    let asked = Form(host.form());
    let known = OPERATIONS.iter().find(|(known, _)| *known == operation).map_or(&[][..], |(_, known)| known);
    if let Some(unknown) = asked.0.iter().find(|(key, _)| !is_known(key, known)) {
        let message = format!("the embedded world does not know what {} means to {operation}", unknown.0);
        return Ok(refused(501, "NotImplementedException", &message));
    }
    for name in ["RoleName", "PolicyName"] {
        if known.contains(&name) && !asked.get(name).is_some_and(is_name) {
            return Ok(refused(400, "ValidationError", &format!("{name} is missing or is no name")));
        }
    }
    match operation {
        "CreateRole" => create_role(host, &asked),
        "GetRole" => {
            let (status, body) = host.send(&asked.pairs())?;
            Ok((status, with_boundary(body, boundary_of(&role(&host.view()?, &asked)))))
        }
        "PutRolePolicy" | "CreatePolicy" => put_policy(host, &asked),
        "ListRolePolicies" => Ok(list(&host.view()?, &asked, operation)),
        "ListAttachedRolePolicies" => Ok(list(&host.view()?, &asked, operation)),
        "SimulatePrincipalPolicy" => Ok(simulate(&host.view()?, &asked).unwrap_or_else(|refusal| refusal)),
        _ => host.send(&asked.pairs()),
    }
}

/// Whether a parameter, or the list that it belongs to, is among those that are known.
fn is_known(key: &str, known: &[&str]) -> bool {
    let list = key.split(".member.").next().unwrap_or_default();
    ["Action", "Version"].contains(&key) || known.contains(&list)
}

fn is_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte);
    (1..=128).contains(&text.len()) && text.bytes().all(plain)
}

/// The parameters of a request.
struct Form(Vec<(String, String)>);

impl Form {
    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The members of a list, in the order of the request.
    fn list(&self, name: &str) -> Vec<&str> {
        let prefix = format!("{name}.member.");
        self.0.iter().filter(|(key, _)| key.starts_with(&prefix)).map(|(_, value)| value.as_str()).collect()
    }

    fn pairs(&self) -> Vec<(&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect()
    }

    /// All parameters, with one percent-encoded once more: so it is kept, and comes back, as IAM sends it.
    fn with_encoded<'a>(&'a self, name: &str, encoded: &'a str) -> Vec<(&'a str, &'a str)> {
        let value = |key: &str, value: &'a str| if key == name { encoded } else { value };
        self.pairs().into_iter().map(|(key, text)| (key, value(key, text))).collect()
    }
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

fn create_role<S: StatefulService>(host: &Host<'_, S>, asked: &Form) -> Result<Answered, Trouble> {
    const TRUST: &str = "AssumeRolePolicyDocument";
    let trust = asked.get(TRUST).unwrap_or_default();
    if let Err(error) = policy_document(trust) {
        return Ok(refused(400, "MalformedPolicyDocument", &error.to_string()));
    }
    let boundary = asked.get("PermissionsBoundary");
    if let Some(arn) = boundary
        && host.view()?["policies"][arn].is_null()
    {
        return Ok(missing(&format!("Scope ARN: {arn} does not exist or is not attachable.")));
    }
    let (status, body) = host.send(&asked.with_encoded(TRUST, &encoded(trust)))?;
    let (Some(arn), 200, Some(name)) = (boundary, status, asked.get("RoleName")) else {
        return Ok((status, body));
    };
    let bound =
        host.send(&[("Action", "PutRolePermissionsBoundary"), ("RoleName", name), ("PermissionsBoundary", arn)])?;
    Ok(if bound.0 == 200 { (status, with_boundary(body, Some(arn))) } else { bound })
}

fn boundary_of(role: &Value) -> Option<&str> {
    role["permissions_boundary"].as_str()
}

fn with_boundary(body: String, arn: Option<&str>) -> String {
    let Some(arn) = arn else {
        return body;
    };
    let shown = format!(
        "<PermissionsBoundary><PermissionsBoundaryType>PermissionsBoundaryPolicy</PermissionsBoundaryType>\
         <PermissionsBoundaryArn>{}</PermissionsBoundaryArn></PermissionsBoundary></Role>",
        escaped(arn)
    );
    body.replacen("</Role>", &shown, 1)
}

fn put_policy<S: StatefulService>(host: &Host<'_, S>, asked: &Form) -> Result<Answered, Trouble> {
    let document = asked.get("PolicyDocument").unwrap_or_default();
    match policy::identity_policy(document) {
        Ok(_) => host.send(&asked.with_encoded("PolicyDocument", &encoded(document))),
        Err(why) => Ok(refused(400, "MalformedPolicyDocument", &why)),
    }
}

/// The role that is asked for; null where it is not there.
fn role(view: &Value, asked: &Form) -> Value {
    view["roles"][asked.get("RoleName").unwrap_or_default()].clone()
}

fn items<'a>(value: &'a Value, list: &str) -> &'a [Value] {
    value[list].as_array().map_or(&[], Vec::as_slice)
}

fn list(view: &Value, asked: &Form, operation: &str) -> Answered {
    let role = role(view, asked);
    if role.is_null() {
        let name = asked.get("RoleName").unwrap_or_default();
        return missing(&format!("The role with name {name} cannot be found."));
    }
    let text = |value: &Value| escaped(value.as_str().unwrap_or_default());
    let (kept, tag) = match operation {
        "ListRolePolicies" => ("inline_policies", "PolicyNames"),
        _ => ("attached_policies", "AttachedPolicies"),
    };
    let mut members: Vec<String> = items(&role, kept)
        .iter()
        .map(|policy| match kept {
            "inline_policies" => text(&policy["policy_name"]),
            _ => format!(
                "<PolicyName>{}</PolicyName><PolicyArn>{}</PolicyArn>",
                text(&policy["policy_name"]),
                text(&policy["policy_arn"])
            ),
        })
        .collect();
    members.sort();
    paged(asked, operation, tag, &members)
}

/// One page of members; the marker is the number of members before the page.
fn paged(asked: &Form, operation: &str, tag: &str, members: &[String]) -> Answered {
    let start = asked.get("Marker").map_or(Ok(0), str::parse::<usize>);
    let size = asked.get("MaxItems").map_or(Ok(100), str::parse::<usize>);
    let (Ok(start), Ok(size @ 1..=1000)) = (start, size) else {
        return refused(400, "ValidationError", "Marker comes from no answer, or MaxItems is not between 1 and 1000");
    };
    let end = start.saturating_add(size).min(members.len());
    let page: String =
        members.get(start..end).unwrap_or_default().iter().map(|member| format!("<member>{member}</member>")).collect();
    let more = if end < members.len() { format!("<Marker>{end}</Marker>") } else { String::new() };
    let truncated = end < members.len();
    let result = format!("<{tag}>{page}</{tag}><IsTruncated>{truncated}</IsTruncated>{more}");
    (
        200,
        format!(
            "<{operation}Response xmlns=\"{NAMESPACE}\"><{operation}Result>{result}</{operation}Result>\
             <ResponseMetadata><RequestId>embedded</RequestId></ResponseMetadata></{operation}Response>"
        ),
    )
}

fn simulate(view: &Value, asked: &Form) -> Result<Answered, Answered> {
    let unanswerable = |why: &str| refused(501, "NotImplementedException", &format!("cannot be simulated here: {why}"));
    let principal = asked.get("PolicySourceArn").unwrap_or_default();
    if !principal.contains(":role/") {
        return Err(unanswerable("another principal than a role"));
    }
    let roles = view["roles"].as_object();
    let role = roles.and_then(|roles| roles.values().find(|role| role["arn"] == principal));
    let role = role.ok_or_else(|| missing(&format!("The role {principal} cannot be found.")))?;
    let (actions, resources) = (asked.list("ActionNames"), asked.list("ResourceArns"));
    if let Some(action) = actions.iter().find(|action| !policy::is_plain_action(action)) {
        return Err(refused(400, "InvalidInput", &format!("{action} is no action")));
    }
    if actions.is_empty() || resources.is_empty() {
        return Err(unanswerable("no action, or all resources at once"));
    }
    let foreign = |arn: &&&str| {
        let owner = arn.split(':').nth(4).unwrap_or_default();
        !policy::is_plain_arn(arn) || !(owner.is_empty() || role["account_id"] == owner)
    };
    if let Some(resource) = resources.iter().find(foreign) {
        return Err(unanswerable(&format!("{resource} is not one resource of this account")));
    }
    let (own, boundary) = sources(view, role).map_err(|why| unanswerable(&why))?;
    let mut members = Vec::new();
    for action in actions {
        for resource in &resources {
            let question = Question { principal, action, resource };
            let ruling = policy::decide(&own, boundary.as_ref(), &question).map_err(|why| unanswerable(&why))?;
            members.push(told(action, resource, &ruling));
        }
    }
    Ok(paged(asked, "SimulatePrincipalPolicy", "EvaluationResults", &members))
}

/// The policies of a role, and its permissions boundary.
fn sources(view: &Value, role: &Value) -> Result<(Vec<Source>, Option<Source>), String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let read = |id: String, kind, document: &Value| {
        let decoded = percent_decode_str(document.as_str().unwrap_or_default()).decode_utf8_lossy();
        let document = policy::identity_policy(&decoded).map_err(|why| format!("policy `{id}`: {why}"))?;
        Ok::<_, String>(Source { id, kind, document })
    };
    let managed = |arn: &Value| {
        let policy = &view["policies"][arn.as_str().unwrap_or_default()];
        read(text(&policy["policy_name"]), "user-managed", &policy["document"])
    };
    let mut own = Vec::new();
    for policy in items(role, "inline_policies") {
        let id = format!("role_{}_{}", text(&role["name"]), text(&policy["policy_name"]));
        own.push(read(id, "role", &policy["policy_document"])?);
    }
    for policy in items(role, "attached_policies") {
        own.push(managed(&policy["policy_arn"])?);
    }
    let boundary = boundary_of(role).map(|arn| managed(&Value::from(arn))).transpose()?;
    Ok((own, boundary))
}

fn told(action: &str, resource: &str, ruling: &Ruling<'_>) -> String {
    let statement = |(id, kind): &(&str, &str)| {
        format!(
            "<member><SourcePolicyId>{}</SourcePolicyId><SourcePolicyType>{kind}</SourcePolicyType></member>",
            escaped(id)
        )
    };
    let matched: String = ruling.matched.iter().map(statement).collect();
    let missing: String =
        ruling.missing_context.iter().map(|key| format!("<member>{}</member>", escaped(key))).collect();
    let bounds = ruling.within_boundary.map_or_else(String::new, |within| {
        format!(
            "<PermissionsBoundaryDecisionDetail><AllowedByPermissionsBoundary>{within}\
             </AllowedByPermissionsBoundary></PermissionsBoundaryDecisionDetail>"
        )
    });
    let (action, resource, word) = (escaped(action), escaped(resource), ruling.word);
    // As IAM has it: what is missing is told where one resource is.
    format!(
        "<EvalActionName>{action}</EvalActionName><EvalResourceName>{resource}</EvalResourceName>\
         <EvalDecision>{word}</EvalDecision><MatchedStatements>{matched}</MatchedStatements>{bounds}\
         <ResourceSpecificResults><member><EvalResourceName>{resource}</EvalResourceName>\
         <EvalResourceDecision>{word}</EvalResourceDecision><MatchedStatements>{matched}</MatchedStatements>\
         <MissingContextValues>{missing}</MissingContextValues>{bounds}</member></ResourceSpecificResults>"
    )
}

fn missing(message: &str) -> Answered {
    refused(404, "NoSuchEntity", message)
}

fn refused(status: u16, code: &str, message: &str) -> Answered {
    (
        status,
        format!(
            "<ErrorResponse xmlns=\"{NAMESPACE}\"><Error><Type>Sender</Type><Code>{code}</Code>\
             <Message>{}</Message></Error><RequestId>embedded</RequestId></ErrorResponse>",
            escaped(message)
        ),
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
