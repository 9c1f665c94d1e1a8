//! The services other than S3, STS and Cost Explorer: `winterbaume` handlers over the world's own
//! store, and our own for ECS, CloudWatch Logs and Cloud Control.
//!
//! A handler is made anew for each request, gets its state from the store, and gives it back in the
//! same critical section; so a world in a directory works for several processes, and a check that a
//! wrapper makes before a write cannot be overtaken. Only the operations that are listed here and
//! have a contract test are answered; all others are `NotImplemented`.

use futures::FutureExt as _;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use winterbaume_core::{MockRequest, StatefulService, default_account_id};

use super::connector::{ServiceRequest, ServiceResponse};
use super::fleet::Digests;
use super::store::{Store, WorldError, WorldState};
use super::{ecs, executions, fleet, holes, iam, logs, network};

const ECR: [&str; 5] = ["CreateRepository", "DescribeRepositories", "PutImage", "DescribeImages", "BatchGetImage"];
const SFN: [&str; 7] = [
    "CreateStateMachine",
    "DescribeStateMachine",
    "ListStateMachines",
    "StartExecution",
    "StopExecution",
    "DescribeExecution",
    "ListExecutions",
];
const SSM: [&str; 4] = ["PutParameter", "GetParameter", "GetParameters", "DescribeParameters"];

/// A JSON answer of a handler, or of a wrapper in its place.
#[derive(Debug)]
pub(super) struct Answer {
    pub status: u16,
    pub body: Value,
}

impl Answer {
    /// An error in the form of the JSON protocols.
    pub(super) fn error(status: u16, code: &str, message: impl Into<String>) -> Self {
        Self { status, body: json!({"__type": code, "message": message.into()}) }
    }
}

/// Answers a request of one of the services.
pub(super) fn answer(store: &Store, request: &ServiceRequest) -> ServiceResponse {
    let operation = operation(request);
    let known: &[&str] = match request.service.as_str() {
        "cloudcontrolapi" => &network::OPERATIONS,
        "ecr" => &ECR,
        "ecs" => &ecs::OPERATIONS,
        "logs" => &logs::OPERATIONS,
        "states" => &SFN,
        "ssm" => &SSM,
        _ => &[],
    };
    let iam = request.service == "iam" && iam::knows(&operation);
    if !iam && !known.contains(&operation.as_str()) {
        let message = format!("the embedded world does not implement {}:{operation}", request.service);
        return refusal(request, 501, "NotImplementedException", &message);
    }
    let served = store.change(|state| serve(state, request, &operation));
    match served {
        Ok(response) => response,
        Err(trouble) => trouble.refusal(request),
    }
}

/// Why a request could not be served.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    #[error("the world is not seeded")]
    Unseeded,
    #[error("the request names the placeholder account")]
    Placeholder,
    #[error(transparent)]
    World(#[from] WorldError),
    #[error("the handler's state: {0}")]
    State(String),
    #[error("the handler waited for something")]
    Waited,
}

impl Trouble {
    /// What the caller is told.
    pub(super) fn refusal(&self, request: &ServiceRequest) -> ServiceResponse {
        match self {
            Self::Unseeded => refusal(request, 400, "UnrecognizedClientException", "this world is not seeded"),
            Self::Placeholder => {
                let message = "the request names the account that stands for the world's own";
                refusal(request, 501, "NotImplementedException", message)
            }
            _ => refusal(request, 500, "InternalFailure", &self.to_string()),
        }
    }
}

pub(super) fn operation(request: &ServiceRequest) -> String {
    if let Some(target) = &request.target {
        return target.rsplit('.').next().unwrap_or_default().to_owned();
    }
    let body = String::from_utf8_lossy(&request.body);
    body.split('&').find_map(|pair| pair.strip_prefix("Action=")).unwrap_or_default().to_owned()
}

fn serve(state: &mut WorldState, request: &ServiceRequest, operation: &str) -> Result<ServiceResponse, Trouble> {
    let account = state.account.clone().ok_or(Trouble::Unseeded)?;
    let accounts = Accounts::of(&account, &request.body)?;
    match request.service.as_str() {
        "cloudcontrolapi" | "ecs" | "logs" => {
            let answer = ours(state, request, operation, &account)?;
            Ok(json_response(answer.status, answer.body.to_string().into_bytes()))
        }
        "ecr" => {
            let service = winterbaume_ecr::EcrService::new();
            let host = Host::enter(state, request, &accounts, &service)?;
            let answer = holes::ecr(&host, operation)?;
            host.leave(state, answer)
        }
        "ssm" => {
            let service = winterbaume_ssm::SsmService::new();
            let host = Host::enter(state, request, &accounts, &service)?;
            let answer = holes::ssm(&host, operation)?;
            host.leave(state, answer)
        }
        "states" => {
            let service = winterbaume_sfn::SfnService::new();
            let host = Host::enter(state, request, &accounts, &service)?;
            let answer = if executions::OPERATIONS.contains(&operation) {
                executions::answer(state, &host, operation)?
            } else {
                holes::sfn(&host, operation)?
            };
            host.leave(state, answer)
        }
        _ => {
            let service = winterbaume_iam::IamService::new();
            let host = Host::enter(state, request, &accounts, &service)?;
            let (status, body) = iam::answer(&host, operation)?;
            host.keep(state)?;
            Ok(ServiceResponse { status, content_type: "text/xml", body: accounts.outward(body.as_bytes()) })
        }
    }
}

/// The services that tell of a region's containers, logs and network.
fn ours(state: &mut WorldState, request: &ServiceRequest, operation: &str, account: &str) -> Result<Answer, Trouble> {
    let region = request.region.as_str();
    let place = ecs::Place { account, region };
    let Ok(asked) = serde_json::from_slice(&request.body) else {
        return Ok(Answer::error(400, "SerializationException", "the request is no JSON"));
    };
    if request.service == "ecs" {
        let definitions = state.fleets.get(region).map(|fleet| fleet.declared.definitions.clone()).unwrap_or_default();
        let containers = definitions.iter().flat_map(|definition| &definition.containers);
        let images: Vec<&str> = containers.map(|container| container.image.as_str()).collect();
        let digests = image_digests(state, region, &images)?;
        return Ok(ecs::answer(state, &place, operation, &asked, &digests));
    }
    let nothing = fleet::Fleet::default();
    let fleet = state.fleets.get(region).unwrap_or(&nothing);
    Ok(match request.service.as_str() {
        "logs" => logs::answer(fleet, &place, operation, &asked),
        _ => network::answer(fleet, operation, &asked),
    })
}

/// Refuses a request that asks for more than `known`: what is passed over would be answered wrongly.
pub(super) fn only(asked: &Value, known: &[&str]) -> Result<(), Answer> {
    let empty = |value: &Value| value.is_null() || value.as_array().is_some_and(Vec::is_empty);
    let mut fields = asked.as_object().into_iter().flatten();
    match fields.find(|(field, value)| !known.contains(&field.as_str()) && !empty(value)) {
        Some((field, _)) => {
            let message = format!("the embedded world does not answer requests with {field}");
            Err(Answer::error(501, "NotImplementedException", message))
        }
        None => Ok(()),
    }
}

/// The digests of images, as far as they are known: from their own text, or from the world's ECR.
pub(super) fn image_digests(state: &WorldState, region: &str, images: &[&str]) -> Result<Digests, Trouble> {
    let account = state.account.clone().ok_or(Trouble::Unseeded)?;
    let accounts = Accounts::of(&account, &[])?;
    let service = winterbaume_ecr::EcrService::new();
    let request = ServiceRequest {
        service: "ecr".to_owned(),
        region: region.to_owned(),
        target: None,
        headers: Vec::new(),
        body: bytes::Bytes::new(),
    };
    let host = Host::enter(state, &request, &accounts, &service)?;
    let mut digests = Digests::new();
    for image in images {
        let digest = match image.split_once('@') {
            Some((_, digest)) => Some(digest.to_owned()),
            None => {
                let (repository, tag) = repository_and_tag(image);
                let asked = json!({"repositoryName": repository, "imageIds": [{"imageTag": tag}]});
                let found = host.ask("DescribeImages", &asked)?;
                found.body["imageDetails"][0]["imageDigest"].as_str().map(str::to_owned)
            }
        };
        if let Some(digest) = digest {
            digests.insert((*image).to_owned(), digest);
        }
    }
    Ok(digests)
}

/// The repository and the tag of an image, without the host of its registry.
fn repository_and_tag(image: &str) -> (&str, &str) {
    let path = match image.split_once('/') {
        Some((host, path)) if host.contains(['.', ':']) || host == "localhost" => path,
        _ => image,
    };
    path.rsplit_once(':').unwrap_or((path, "latest"))
}

/// The account of `winterbaume` is one for the whole process, while each world has its own: it
/// stands in for the world's inside, and is replaced at the door.
struct Accounts {
    own: String,
    inner: &'static str,
}

impl Accounts {
    fn of(own: &str, body: &[u8]) -> Result<Self, Trouble> {
        let inner = default_account_id();
        let accounts = Self { own: own.to_owned(), inner };
        // It could not be told apart from the world's own on the way out.
        if own != inner && String::from_utf8_lossy(body).contains(inner) {
            return Err(Trouble::Placeholder);
        }
        Ok(accounts)
    }

    fn inward(&self, body: &[u8]) -> Vec<u8> {
        replaced(body, &self.own, self.inner)
    }

    fn outward(&self, body: &[u8]) -> Vec<u8> {
        replaced(body, self.inner, &self.own)
    }
}

fn replaced(body: &[u8], from: &str, to: &str) -> Vec<u8> {
    String::from_utf8_lossy(body).replace(from, to).into_bytes()
}

/// One handler with the world's state in it.
pub(super) struct Host<'a, S: StatefulService> {
    service: &'a S,
    request: &'a ServiceRequest,
    accounts: &'a Accounts,
    slot: String,
    region: String,
}

impl<'a, S: StatefulService> Host<'a, S> {
    fn enter(
        state: &WorldState,
        request: &'a ServiceRequest,
        accounts: &'a Accounts,
        service: &'a S,
    ) -> Result<Self, Trouble> {
        // IAM has one state for all regions.
        let region = match request.service.as_str() {
            "iam" => "us-east-1".to_owned(),
            _ => request.region.clone(),
        };
        let slot = format!("{}/{region}", request.service);
        if let Some(kept) = state.services.get(&slot) {
            let view: S::StateView = serde_json::from_value(kept.clone()).map_err(|e| Trouble::State(e.to_string()))?;
            at_once(service.restore(accounts.inner, &region, view))?
                .map_err(|error| Trouble::State(error.to_string()))?;
        }
        Ok(Self { service, request, accounts, slot, region })
    }

    /// The region that was asked.
    pub(super) fn region(&self) -> &str {
        &self.region
    }

    /// The body of the request, in JSON.
    pub(super) fn asked(&self) -> Value {
        serde_json::from_slice(&self.accounts.inward(&self.request.body)).unwrap_or(Value::Null)
    }

    /// What the handler answers to `operation` with `body`.
    pub(super) fn ask(&self, operation: &str, body: &Value) -> Result<Answer, Trouble> {
        let bytes = body.to_string().into_bytes();
        let (status, body) = self.raw(Some(operation), &bytes)?;
        let body = serde_json::from_slice(&body).map_err(|error| Trouble::State(error.to_string()))?;
        Ok(Answer { status, body })
    }

    /// The parameters of the request, where it is a form.
    pub(super) fn form(&self) -> Vec<(String, String)> {
        let body = self.accounts.inward(&self.request.body);
        let decoded = |text: &str| {
            let spaced = text.replace('+', " ");
            percent_encoding::percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
        };
        let text = String::from_utf8_lossy(&body);
        text.split('&').filter_map(|pair| pair.split_once('=')).map(|(k, v)| (decoded(k), decoded(v))).collect()
    }

    /// What the handler answers to a form.
    pub(super) fn send(&self, form: &[(&str, &str)]) -> Result<(u16, String), Trouble> {
        let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let pairs: Vec<String> =
            form.iter().map(|(key, value)| format!("{}={}", encoded(key), encoded(value))).collect();
        let (status, body) = self.raw(None, pairs.join("&").as_bytes())?;
        let body = String::from_utf8(body).map_err(|error| Trouble::State(error.to_string()))?;
        Ok((status, body))
    }

    /// What the handler holds.
    pub(super) fn view(&self) -> Result<Value, Trouble> {
        let view = at_once(self.service.snapshot(self.accounts.inner, &self.region))?;
        serde_json::to_value(view).map_err(|error| Trouble::State(error.to_string()))
    }

    fn raw(&self, operation: Option<&str>, body: &[u8]) -> Result<(u16, Vec<u8>), Trouble> {
        let mut headers = http::HeaderMap::new();
        for (name, value) in &self.request.headers {
            if let (Ok(name), Ok(value)) =
                (http::HeaderName::try_from(name.as_str()), http::HeaderValue::try_from(value.as_str()))
            {
                headers.insert(name, value);
            }
        }
        if let Some(operation) = operation {
            let target = format!("embedded.{operation}");
            let value = http::HeaderValue::try_from(target).map_err(|error| Trouble::State(error.to_string()))?;
            headers.insert("x-amz-target", value);
        }
        let request = MockRequest {
            method: "POST".to_owned(),
            // The handlers read the region from the host.
            uri: format!("https://{}.{}.amazonaws.com/", self.request.service, self.region),
            headers,
            body: self.accounts.inward(body).into(),
        };
        let response = at_once(self.service.handle(request))?;
        Ok((response.status, response.body.to_vec()))
    }

    fn keep(&self, state: &mut WorldState) -> Result<(), Trouble> {
        state.services.insert(self.slot.clone(), self.view()?);
        Ok(())
    }

    fn leave(self, state: &mut WorldState, answer: Answer) -> Result<ServiceResponse, Trouble> {
        self.keep(state)?;
        Ok(json_response(answer.status, self.accounts.outward(answer.body.to_string().as_bytes())))
    }
}

/// The handlers hold their own state only, so they never have to wait.
fn at_once<F: Future>(future: F) -> Result<F::Output, Trouble> {
    future.now_or_never().ok_or(Trouble::Waited)
}

/// An answer of the JSON protocols.
pub(super) fn json_response(status: u16, body: Vec<u8>) -> ServiceResponse {
    ServiceResponse { status, content_type: "application/x-amz-json-1.1", body }
}

pub(super) fn refusal(request: &ServiceRequest, status: u16, code: &str, message: &str) -> ServiceResponse {
    if request.target.is_some() {
        return json_response(status, Answer::error(status, code, message).body.to_string().into_bytes());
    }
    ServiceResponse {
        status,
        content_type: "text/xml",
        body: format!(
            "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code>\
             <Message>{message}</Message></Error></ErrorResponse>"
        )
        .into_bytes(),
    }
}
