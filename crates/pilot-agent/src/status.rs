//! The status server on port 15020: readiness, merged metrics, probes of the application, draining.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};

use crate::bootstrap::EXPANDED_ENVOY_STATS_PATH;
use crate::dns::Resolver;
use crate::envoy::Orders;
use crate::health::app::AppProbes;
use crate::health::ready::ReadyProbe;
use crate::stats::merge::Merger;

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// What the status server answers from.
pub struct StatusServer {
    /// `/healthz/ready`
    pub ready: Arc<ReadyProbe>,
    /// `/stats/prometheus`
    pub merger: Merger,
    /// `/app-health/...`
    pub app_probes: AppProbes,
    /// `/debug/ndsz`
    pub resolver: Option<Arc<Resolver>>,
    /// `/drain`, `/quitquitquit`
    pub orders: Orders,
    /// `METRICS_LOCALHOST_ACCESS_ONLY`
    pub metrics_local_only: bool,
    /// Whether the last readiness probe succeeded; for the log.
    pub was_ready: AtomicBool,
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Full::new(body.into()).boxed_unsync());
    *response.status_mut() = status;
    response
}

impl StatusServer {
    /// Serves for as long as the agent lives.
    pub async fn serve(self, listener: TcpListener) {
        let server = Arc::new(self);
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => {
                    tokio::spawn(Arc::clone(&server).serve_connection(stream, peer));
                }
                Err(error) => {
                    tracing::debug!("status server: accept failed: {error}");
                    tokio::time::sleep(Duration::from_millis(10)).await; // out of descriptors: do not spin
                }
            }
        }
    }

    async fn serve_connection(self: Arc<Self>, stream: TcpStream, peer: SocketAddr) {
        let service = service_fn(|request| {
            let server = Arc::clone(&self);
            async move { Ok::<_, Infallible>(server.answer(request, peer).await) }
        });
        let served = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .serve_connection(TokioIo::new(stream), service)
            .await;
        if let Err(error) = served {
            tracing::debug!("status server: {peer}: {error}");
        }
    }

    async fn answer(&self, request: Request<Incoming>, peer: SocketAddr) -> Response<Body> {
        let local = peer.ip().to_canonical().is_loopback();
        let path = request.uri().path().to_owned();
        match path.as_str() {
            "/healthz/ready" => self.ready().await,
            "/stats/prometheus" | "/metrics" | EXPANDED_ENVOY_STATS_PATH => {
                // What comes through port 15090 comes from Envoy, which is local.
                if self.metrics_local_only && !local {
                    return not_local();
                }
                let query = request.uri().query().map(str::to_owned);
                let headers = request.into_parts().0.headers;
                let merged = if path == EXPANDED_ENVOY_STATS_PATH {
                    self.merger.envoy_only(headers, query)
                } else {
                    self.merger.merged(headers, query).await
                };
                merged.map(BodyExt::boxed_unsync)
            }
            "/quitquitquit" | "/drain" => self.order(request.method(), &path, local),
            "/debug/ndsz" if !local => not_local(),
            "/debug/ndsz" => self.names(),
            _ if path.starts_with("/app-health/") || path.starts_with("/app-lifecycle/") => {
                let (status, body) = self.app_probes.answer(&path, request.headers()).await;
                text(status, body)
            }
            _ => text(StatusCode::NOT_FOUND, "404 page not found\n"),
        }
    }

    async fn ready(&self) -> Response<Body> {
        match self.ready.check().await {
            Ok(()) => {
                if !self.was_ready.swap(true, Ordering::Relaxed) {
                    tracing::info!("Envoy proxy is ready");
                    self.merger.own.ready();
                }
                text(StatusCode::OK, Bytes::new())
            }
            Err(why) => {
                self.was_ready.store(false, Ordering::Relaxed);
                tracing::warn!("Envoy proxy is NOT ready: {why}");
                text(StatusCode::SERVICE_UNAVAILABLE, why)
            }
        }
    }

    fn order(&self, method: &Method, path: &str, local: bool) -> Response<Body> {
        if !local {
            return not_local();
        }
        if method != Method::POST {
            return text(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed\n");
        }
        if path == "/drain" {
            tracing::info!("handling /drain, starting drain");
            self.orders.drain();
        } else {
            tracing::info!("handling /quitquitquit, notifying pilot-agent to exit");
            self.orders.stop(true);
        }
        text(StatusCode::OK, "OK")
    }

    fn names(&self) -> Response<Body> {
        let Some(table) = self.resolver.as_ref().and_then(|resolver| resolver.name_table()) else {
            return text(StatusCode::NOT_FOUND, "{}");
        };
        let mut hosts = serde_json::Map::new();
        for (host, info) in table.table {
            let mut out = serde_json::Map::new();
            if !info.ips.is_empty() {
                out.insert("ips".to_owned(), info.ips.into());
            }
            for (name, value) in
                [("registry", info.registry), ("shortname", info.shortname), ("namespace", info.namespace)]
            {
                if !value.is_empty() {
                    out.insert(name.to_owned(), value.into());
                }
            }
            hosts.insert(host, out.into());
        }
        let mut response = text(StatusCode::OK, serde_json::json!({ "table": hosts }).to_string());
        response.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
        response
    }
}

fn not_local() -> Response<Body> {
    text(StatusCode::FORBIDDEN, "Only requests from localhost are allowed\n")
}
