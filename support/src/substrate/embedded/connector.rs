//! The HTTP client under the SDK that leads into the embedded world.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::byte_stream::ByteStream;
use bytes::Bytes;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;

use super::s3::S3Storage;
use super::store::Store;
use super::{ACCESS_KEY, SECRET_KEY, costs, services, sts};

/// A request to a service that is not S3.
#[derive(Debug)]
pub(super) struct ServiceRequest {
    pub service: String,
    pub region: String,
    /// The JSON protocols' operation, as in `AWSStepFunctions.ListStateMachines`.
    pub target: Option<String>,
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
}

/// A service's answer.
#[derive(Debug)]
pub(super) struct ServiceResponse {
    pub status: u16,
    pub content_type: &'static str,
    pub body: Vec<u8>,
}

#[derive(Debug, Clone)]
pub(super) struct Connector {
    store: Arc<Store>,
    s3: s3s_aws::Connector,
    requests: Arc<AtomicU64>,
}

impl Connector {
    pub(super) fn new(store: Arc<Store>) -> Self {
        let mut builder = S3ServiceBuilder::new(S3Storage::new(Arc::clone(&store)));
        builder.set_auth(SimpleAuth::from_single(ACCESS_KEY, SECRET_KEY));
        Self { store, s3: s3s_aws::Connector::from(builder.build()), requests: Arc::new(AtomicU64::new(0)) }
    }

    async fn answer(self, request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
        let number = self.requests.fetch_add(1, Ordering::SeqCst) + 1;
        let head = request.method() == "HEAD";
        let mut response = match scope(&request) {
            // S3 refuses an unsigned request in its own form.
            None => self.s3.call(request).await?,
            Some((_, service)) if service == "s3" => self.s3.call(request).await?,
            Some((region, service)) => self.serve(request, region, service).await?,
        };
        if head {
            // AWS answers HEAD without a body, also when it is an error.
            *response.body_mut() = SdkBody::empty();
        }
        let id = format!("EMBEDDED{number:08}");
        response.headers_mut().insert("x-amz-request-id", id);
        Ok(response)
    }

    async fn serve(
        &self,
        mut request: HttpRequest,
        region: String,
        service: String,
    ) -> Result<HttpResponse, ConnectorError> {
        let body = ByteStream::new(std::mem::replace(request.body_mut(), SdkBody::taken()))
            .collect()
            .await
            .map_err(|error| ConnectorError::other(error.into(), None))?
            .into_bytes();
        let request = ServiceRequest {
            target: request.headers().get("x-amz-target").map(str::to_owned),
            headers: request.headers().iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            service,
            region,
            body,
        };
        let answer = match request.service.as_str() {
            "sts" => sts::answer(&self.store, &request),
            "ce" => costs::answer(&self.store, &request),
            _ => services::answer(&self.store, &request),
        };
        let status = StatusCode::try_from(answer.status).map_err(|error| ConnectorError::other(error.into(), None))?;
        let mut response = HttpResponse::new(status, SdkBody::from(answer.body));
        response.headers_mut().insert("content-type", answer.content_type);
        Ok(response)
    }
}

/// The region and the service that a request is signed for.
fn scope(request: &HttpRequest) -> Option<(String, String)> {
    let signature = request.headers().get("authorization")?;
    let (_, credential) = signature.split_once("Credential=")?;
    let mut parts = credential.split(',').next()?.split('/').skip(2);
    Some((parts.next()?.to_owned(), parts.next()?.to_owned()))
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        HttpConnectorFuture::new(self.clone().answer(request))
    }
}

impl HttpClient for Connector {
    fn http_connector(
        &self,
        _settings: &HttpConnectorSettings,
        _components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}
