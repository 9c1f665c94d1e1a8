//! The holes of the `winterbaume` handlers that a gate could fall into, closed.
//!
//! | service | hole | closed by |
//! | --- | --- | --- |
//! | ECR | an immutable tag can be moved | looking the tag up before the put |
//! | ECR | every manifest has one media type | the manifest's own |
//! | ECR | the digest that a writer names is not compared | comparing it |
//! | SFN | lists come in chance order, the page size is ignored | sorting and paging here |
//! | SFN | executions are not kept, their filter is ignored | a handler of our own |
//! | SSM | a `SecureString` comes in clear without being asked for | a stand-in for the cipher text |
//! | SSM | most filters and the page size are ignored | refusing those filters, paging here |

use serde_json::{Value, json};
use winterbaume_core::StatefulService;

use super::services::{Answer, Host, Trouble};
use crate::evidence::digest::sha256_hex;

/// ECR, with its holes closed.
pub(super) fn ecr<S: StatefulService>(host: &Host<'_, S>, operation: &str) -> Result<Answer, Trouble> {
    let asked = host.asked();
    match operation {
        "PutImage" => put_image(host, &asked),
        "DescribeImages" => {
            let mut answer = host.ask(operation, &asked)?;
            if let Some(images) = answer.body["imageDetails"].as_array_mut() {
                for image in images {
                    let digest = image["imageDigest"].clone();
                    image["imageManifestMediaType"] = media_type(host, &asked, &digest)?;
                }
            }
            Ok(answer)
        }
        _ => host.ask(operation, &asked),
    }
}

fn put_image<S: StatefulService>(host: &Host<'_, S>, asked: &Value) -> Result<Answer, Trouble> {
    let repository = &asked["repositoryName"];
    let manifest = asked["imageManifest"].as_str().unwrap_or_default();
    let digest = format!("sha256:{}", sha256_hex(manifest.as_bytes()));
    if asked["imageDigest"].as_str().is_some_and(|named| named != digest) {
        let message = "the digest that was given is not the manifest's";
        return Ok(Answer::error(400, "ImageDigestDoesNotMatchException", message));
    }
    if let Some(tag) = asked["imageTag"].as_str() {
        let described = host.ask("DescribeRepositories", &json!({"repositoryNames": [repository]}))?;
        let immutable = described.body["repositories"][0]["imageTagMutability"] == "IMMUTABLE";
        let there =
            host.ask("DescribeImages", &json!({"repositoryName": repository, "imageIds": [{"imageTag": tag}]}))?;
        let holder = &there.body["imageDetails"][0]["imageDigest"];
        if immutable && there.status == 200 && *holder != json!(digest) {
            let message = format!("the tag '{tag}' exists and is immutable");
            return Ok(Answer::error(400, "ImageTagAlreadyExistsException", message));
        }
    }
    host.ask("PutImage", asked)
}

fn media_type<S: StatefulService>(host: &Host<'_, S>, asked: &Value, digest: &Value) -> Result<Value, Trouble> {
    let image = host.ask(
        "BatchGetImage",
        &json!({"repositoryName": asked["repositoryName"], "imageIds": [{"imageDigest": digest}]}),
    )?;
    let manifest = image.body["images"][0]["imageManifest"].as_str().unwrap_or_default();
    // A text that is no JSON has no media type.
    let manifest: Value = serde_json::from_str(manifest).unwrap_or(Value::Null);
    Ok(manifest["mediaType"].clone())
}

/// Step Functions, with its holes closed.
pub(super) fn sfn<S: StatefulService>(host: &Host<'_, S>, operation: &str) -> Result<Answer, Trouble> {
    let asked = host.asked();
    let mut answer = host.ask(operation, &asked)?;
    if operation != "ListStateMachines" || answer.status != 200 {
        return Ok(answer);
    }
    sort(&mut answer.body["stateMachines"], "name");
    Ok(paged(answer, &asked, "stateMachines", "maxResults", "nextToken"))
}

/// The Parameter Store, with its holes closed.
pub(super) fn ssm<S: StatefulService>(host: &Host<'_, S>, operation: &str) -> Result<Answer, Trouble> {
    let asked = host.asked();
    match operation {
        "GetParameter" | "GetParameters" => {
            let mut answer = host.ask(operation, &asked)?;
            if asked["WithDecryption"] != json!(true) {
                hide(&mut answer.body["Parameter"]);
                if let Some(parameters) = answer.body["Parameters"].as_array_mut() {
                    parameters.iter_mut().for_each(hide);
                }
            }
            Ok(answer)
        }
        "DescribeParameters" if !answerable_filters(&asked) => Ok(Answer::error(
            501,
            "NotImplementedException",
            "the embedded world filters parameters by Name Equals only",
        )),
        "DescribeParameters" => {
            let answer = host.ask(operation, &asked)?;
            Ok(paged(answer, &asked, "Parameters", "MaxResults", "NextToken"))
        }
        _ => host.ask(operation, &asked),
    }
}

fn answerable_filters(asked: &Value) -> bool {
    let none = |value: &Value| value.is_null() || value.as_array().is_some_and(Vec::is_empty);
    let by_name = |filter: &Value| filter["Key"] == "Name" && filter["Option"].as_str() == Some("Equals");
    none(&asked["Filters"])
        && (none(&asked["ParameterFilters"])
            || asked["ParameterFilters"]
                .as_array()
                .is_some_and(|filters| filters.len() == 1 && filters.iter().all(by_name)))
}

/// Puts a stand-in for the cipher text in place of a secure value.
fn hide(parameter: &mut Value) {
    if parameter["Type"] == "SecureString"
        && let Some(value) = parameter["Value"].as_str()
    {
        let stand_in = format!("embedded-cipher-text:{}", sha256_hex(value.as_bytes()));
        parameter["Value"] = json!(stand_in);
    }
}

/// Brings a list in one order: pages of a list in chance order would lose entries.
fn sort(list: &mut Value, by: &str) {
    if let Some(entries) = list.as_array_mut() {
        entries.sort_by(|one, other| one[by].as_str().cmp(&other[by].as_str()));
    }
}

/// Cuts a list to the page that was asked; the token is the number of entries before the page.
pub(super) fn paged(mut answer: Answer, asked: &Value, list: &str, size: &str, token: &str) -> Answer {
    let start = match &asked[token] {
        Value::Null => 0,
        Value::String(text) => match text.parse::<usize>() {
            Ok(start) => start,
            Err(_) => return Answer::error(400, "InvalidToken", "unknown token"),
        },
        _ => return Answer::error(400, "InvalidToken", "unknown token"),
    };
    // Zero and nothing both ask for the default; 50 is the least of the services' defaults.
    let size = match asked[size].as_u64() {
        None | Some(0) => 50,
        Some(size) => usize::try_from(size).unwrap_or(usize::MAX),
    };
    let all = answer.body[list].as_array().cloned().unwrap_or_default();
    let total = all.len();
    let page: Vec<Value> = all.into_iter().skip(start).take(size).collect();
    let end = start.saturating_add(page.len());
    answer.body[list] = Value::Array(page);
    if end < total {
        answer.body[token] = json!(end.to_string());
    }
    answer
}
