//! Services that a server answers for, beside the embedded world that answers for all others.

use aws_smithy_http_client::Builder;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;

use super::wire::Asked;

/// A client that sends what is signed for some services to a server on this machine.
#[derive(Debug, Clone)]
pub struct Beside {
    world: SharedHttpClient,
    server: SharedHttpClient,
    url: String,
    services: &'static [&'static str],
}

impl Beside {
    pub fn new(world: SharedHttpClient, url: &str, services: &'static [&'static str]) -> Self {
        Self { world, server: Builder::new().build_http(), url: url.trim_end_matches('/').to_owned(), services }
    }
}

#[derive(Debug)]
struct Leg {
    beside: Beside,
    world: SharedHttpConnector,
    server: SharedHttpConnector,
}

impl Leg {
    /// The same request to the server.
    fn readdressed(&self, mut request: HttpRequest) -> Result<HttpRequest, ConnectorError> {
        let wrong = |e: Box<dyn std::error::Error + Send + Sync>| ConnectorError::other(e, None);
        let uri: http::Uri = request.uri().parse().map_err(|e: http::uri::InvalidUri| wrong(e.into()))?;
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        request.set_uri(format!("{}{path}", self.beside.url)).map_err(|e| wrong(e.into()))?;
        request.headers_mut().remove("host");
        Ok(request)
    }
}

impl HttpConnector for Leg {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        if !self.beside.services.contains(&Asked::of(&request).service.as_str()) {
            return self.world.call(request);
        }
        match self.readdressed(request) {
            Ok(request) => self.server.call(request),
            Err(error) => HttpConnectorFuture::ready(Err(error)),
        }
    }
}

impl HttpClient for Beside {
    fn http_connector(&self, settings: &HttpConnectorSettings, components: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(Leg {
            beside: self.clone(),
            world: self.world.http_connector(settings, components),
            server: self.server.http_connector(settings, components),
        })
    }
}
