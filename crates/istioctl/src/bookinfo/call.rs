//! How one sample service calls another: by name, with the tracing headers of its caller.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, Request, StatusCode, Uri, header};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

/// Headers that every service hands on, so that traces and per-user routes reach the end of the chain.
const HANDED_ON: [&str; 20] = [
    "x-request-id",
    "x-ot-span-context",
    "x-datadog-trace-id",
    "x-datadog-parent-id",
    "x-datadog-sampling-priority",
    "traceparent",
    "tracestate",
    "x-cloud-trace-context",
    "grpc-trace-bin",
    "x-b3-traceid",
    "x-b3-spanid",
    "x-b3-parentspanid",
    "x-b3-sampled",
    "x-b3-flags",
    "sw8",
    "end-user",
    "user-agent",
    "cookie",
    "authorization",
    "jwt",
];
const TIMEOUT: Duration = Duration::from_secs(3);

/// Calls other services by their names.
#[derive(Clone, Debug, Default)]
pub(crate) struct Caller {
    /// `host:port` of an HTTP proxy, for machines without private names.
    proxy: Option<String>,
    /// Where services are, if not at `name:9080`.
    places: Vec<(String, String)>,
}

impl Caller {
    /// `http_proxy`, and `<SERVICE>_HOSTNAME` and `<SERVICE>_SERVICE_PORT` as the original reads them.
    pub(crate) fn from_env() -> Self {
        let proxy = std::env::var("http_proxy").ok().filter(|proxy| !proxy.is_empty());
        let proxy = proxy.map(|p| p.trim_start_matches("http://").trim_end_matches('/').to_owned());
        let places = ["details", "reviews", "ratings"].map(|name| {
            let upper = name.to_uppercase();
            let host = std::env::var(format!("{upper}_HOSTNAME")).unwrap_or_else(|_| name.to_owned());
            let port = std::env::var(format!("{upper}_SERVICE_PORT")).unwrap_or_else(|_| "9080".to_owned());
            (name.to_owned(), format!("{host}:{port}"))
        });
        Self { proxy, places: places.to_vec() }
    }

    #[cfg(test)]
    pub(crate) fn to(places: &[(&str, String)]) -> Self {
        let places = places.iter().map(|(name, at)| ((*name).to_owned(), at.clone())).collect();
        Self { proxy: None, places }
    }

    /// `GET http://service:port/path`: status and JSON; 500 and null if there was no answer in time.
    pub(crate) async fn get(&self, service: &str, path: &str, headers: &HeaderMap) -> (StatusCode, Value) {
        match tokio::time::timeout(TIMEOUT, self.exchange(service, path, headers)).await {
            Ok(Ok(answer)) => answer,
            _ => (StatusCode::INTERNAL_SERVER_ERROR, Value::Null),
        }
    }

    async fn exchange(
        &self,
        service: &str,
        path: &str,
        headers: &HeaderMap,
    ) -> anyhow::Result<(StatusCode, Value)> {
        let place = self.places.iter().find(|(name, _)| name == service);
        let authority = place.map_or_else(|| format!("{service}:9080"), |(_, at)| at.clone());
        let connect_to = self.proxy.as_ref().unwrap_or(&authority);
        let stream = TcpStream::connect(connect_to.as_str()).await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let connection = tokio::spawn(connection);
        let uri: Uri =
            if self.proxy.is_some() { format!("http://{authority}{path}").parse()? } else { path.parse()? };
        let mut request = Request::get(uri).header(header::HOST, &authority).body(Empty::<Bytes>::new())?;
        for name in HANDED_ON {
            if let Some(value) = headers.get(name) {
                request.headers_mut().insert(HeaderName::from_static(name), value.clone());
            }
        }
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        connection.abort();
        let text = || Value::String(String::from_utf8_lossy(&body).into_owned());
        Ok((status, serde_json::from_slice(&body).unwrap_or_else(|_| text())))
    }
}
