//! The merged scrape: the agent's metrics, Envoy's, the application's, one behind the other as they come.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use http::header::{ACCEPT, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderName, Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty, Limited, StreamBody};
use hyper::body::{Frame, Incoming};
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;

use super::expand::{Expander, OwnWorkload};
use super::own::OwnMetrics;
use super::targets::ScrapeTarget;
use crate::http_client::{HttpError, Target, send};

const TIMEOUT_HEADER: HeaderName = HeaderName::from_static("x-prometheus-scrape-timeout-seconds");
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
const OPEN_METRICS_TYPE: &str = "application/openmetrics-text";
/// Several applications are held while their formats are compared; each may say this much.
const LARGEST_APPLICATION: usize = 10 << 20;
/// Pieces of the answer are about this big.
const PIECE: usize = 32 << 10;

/// A streamed answer.
pub type Body =
    StreamBody<futures_util::stream::BoxStream<'static, Result<Frame<Bytes>, std::convert::Infallible>>>;

/// Where metrics come from and what becomes of them.
#[derive(Clone)]
pub struct Merger {
    /// The agent's own.
    pub own: OwnMetrics,
    /// Envoy's admin interface; `None` where no Envoy runs.
    pub envoy: Option<Target>,
    /// Who this is, for a stock Envoy, whose series are expanded; `None` for Istio's own proxy.
    pub expand: Option<Arc<OwnWorkload>>,
    /// Tag of `istio_build` of a stock Envoy.
    pub version: String,
    /// The application's.
    pub application: Vec<ScrapeTarget>,
    /// Where the application listens.
    pub application_host: String,
}

type Sender = mpsc::Sender<Bytes>;

impl Merger {
    /// Everything, for `/stats/prometheus`. As pilot/cmd/pilot-agent/status/server.go: handleStats; an application that
    /// fails does not take Envoy's metrics with it.
    pub async fn merged(&self, request: HeaderMap, query: Option<String>) -> Response<Body> {
        self.own.counters().scrapes.fetch_add(1, Ordering::Relaxed);
        let applications = self.applications(&request).await;
        let format = applications.format();
        let (pieces, out) = mpsc::channel(4);
        let merger = self.clone();
        tokio::spawn(async move {
            let _ = pieces.send(merger.own.render().into()).await;
            merger.write_envoy(&request, query.as_deref(), &pieces).await;
            let failed = &merger.own.counters().application_failures;
            applications.write(&pieces, failed).await;
        });
        answer(out, &format)
    }

    /// Envoy's alone, for port 15090 of a stock Envoy.
    pub fn envoy_only(&self, request: HeaderMap, query: Option<String>) -> Response<Body> {
        let (pieces, out) = mpsc::channel(4);
        let merger = self.clone();
        tokio::spawn(async move { merger.write_envoy(&request, query.as_deref(), &pieces).await });
        answer(out, TEXT)
    }

    async fn write_envoy(&self, request: &HeaderMap, query: Option<&str>, pieces: &Sender) {
        let Some(envoy) = &self.envoy else { return };
        let path = match query {
            Some(query) => format!("/stats/prometheus?{query}"),
            None => "/stats/prometheus".to_owned(),
        };
        let scraped = scrape(envoy, &path, request, "text/plain;version=0.0.4");
        let copied = match scraped.await {
            Ok(response) => self.copy_envoy(response.into_body(), pieces).await,
            Err(error) => Err(error),
        };
        if let Err(error) = copied {
            tracing::error!("failed scraping envoy metrics: {error}");
            self.own.counters().envoy_failures.fetch_add(1, Ordering::Relaxed);
        }
    }

    async fn copy_envoy(&self, mut body: Incoming, pieces: &Sender) -> Result<(), HttpError> {
        let Some(own) = &self.expand else { return copy(body, pieces).await };
        let mut expander = Expander::new(own);
        let mut ready = String::new();
        while let Some(frame) = body.frame().await {
            if let Some(data) = frame?.data_ref() {
                expander.push(data, &mut ready);
            }
            if ready.len() >= PIECE && pieces.send(std::mem::take(&mut ready).into()).await.is_err() {
                return Ok(());
            }
        }
        expander.finish(&mut ready);
        ready.push_str("# TYPE istio_build gauge\nistio_build{component=\"proxy\",tag=\"");
        ready.push_str(&self.version);
        ready.push_str("\"} 1\n");
        let _ = pieces.send(ready.into()).await;
        Ok(())
    }

    async fn applications(&self, request: &HeaderMap) -> Applications {
        let scrape_one = |target: &ScrapeTarget| {
            let place = Target::plain(&self.application_host, target.port);
            let path = target.path.clone();
            let accept = accepted(request);
            async move { scrape(&place, &path, request, &accept).await }
        };
        let failed = |target: &ScrapeTarget, error: &dyn std::fmt::Display| {
            tracing::error!(
                "failed scraping application metrics at {}{:?}: {error}",
                target.port,
                target.path
            );
            self.own.counters().application_failures.fetch_add(1, Ordering::Relaxed);
        };
        if let [target] = self.application.as_slice() {
            return match scrape_one(target).await {
                Ok(response) => Applications::One(Box::new(response)),
                Err(error) => {
                    failed(target, &error);
                    Applications::Several(Vec::new())
                }
            };
        }
        let scraped = self.application.iter().map(|target| async move {
            let response = scrape_one(target).await.map_err(|error| error.to_string())?;
            let format = format_of(&response);
            let body = Limited::new(response.into_body(), LARGEST_APPLICATION).collect().await;
            Ok::<_, String>((format, body.map_err(|error| error.to_string())?.to_bytes()))
        });
        let mut bodies = Vec::new();
        for (result, target) in join_all(scraped).await.into_iter().zip(&self.application) {
            match result {
                Ok(body) => bodies.push(body),
                Err(error) => failed(target, &error),
            }
        }
        Applications::Several(bodies)
    }
}

/// What the applications answered.
enum Applications {
    /// Passed on as it comes.
    One(Box<Response<Incoming>>),
    /// Format and text of each.
    Several(Vec<(String, Bytes)>),
}

impl Applications {
    fn format(&self) -> String {
        match self {
            Self::One(response) => format_of(response),
            Self::Several(bodies) => {
                let mut formats = bodies.iter().map(|(format, _)| format);
                match formats.next() {
                    Some(first) if formats.all(|other| other == first) => first.clone(),
                    _ => TEXT.to_owned(),
                }
            }
        }
    }

    /// Application metrics come last: those in OpenMetrics say themselves that they are the end.
    async fn write(self, pieces: &Sender, failed: &AtomicU64) {
        let open = self.format() != TEXT;
        match self {
            Self::One(response) => {
                if let Err(error) = copy(response.into_body(), pieces).await {
                    tracing::error!("failed to pass on application metrics: {error}");
                    failed.fetch_add(1, Ordering::Relaxed);
                }
            }
            Self::Several(bodies) => {
                for (_, body) in bodies {
                    let text = without_end(&body);
                    let newline = !text.is_empty() && !text.ends_with(b"\n");
                    let _ = pieces.send(body.slice_ref(text)).await;
                    if newline {
                        let _ = pieces.send(Bytes::from_static(b"\n")).await;
                    }
                }
                if open {
                    let _ = pieces.send(Bytes::from_static(b"# EOF\n")).await;
                }
            }
        }
    }
}

/// The text without the `# EOF` that ends OpenMetrics.
fn without_end(body: &[u8]) -> &[u8] {
    body.trim_ascii_end().strip_suffix(b"# EOF").unwrap_or(body)
}

async fn copy(mut body: Incoming, pieces: &Sender) -> Result<(), HttpError> {
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data()
            && pieces.send(data).await.is_err()
        {
            return Ok(()); // the scraper is gone
        }
    }
    Ok(())
}

fn answer(pieces: mpsc::Receiver<Bytes>, format: &str) -> Response<Body> {
    let frames = ReceiverStream::new(pieces).map(|piece| Ok(Frame::data(piece)));
    let mut response = Response::new(StreamBody::new(Box::pin(frames) as _));
    if let Ok(format) = format.parse() {
        response.headers_mut().insert(CONTENT_TYPE, format);
    }
    response
}

/// The format of an application's answer, one of those that are merged.
fn format_of(response: &Response<Incoming>) -> String {
    let told = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut parts = told.split(';').map(str::trim);
    if !parts.next().is_some_and(|media| media.eq_ignore_ascii_case(OPEN_METRICS_TYPE)) {
        return TEXT.to_owned();
    }
    let version = parts.find_map(|part| part.strip_prefix("version=")).unwrap_or("0.0.1").trim_matches('"');
    match version {
        "0.0.1" | "1.0.0" => format!("{OPEN_METRICS_TYPE}; version={version}; charset=utf-8"),
        _ => TEXT.to_owned(),
    }
}

/// What an application may answer with: the scraper's wishes that can be merged. As
/// pilot/cmd/pilot-agent/status/server.go: allowedContentTypes.
fn accepted(request: &HeaderMap) -> String {
    let wanted = request.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut kept: Vec<String> = Vec::new();
    for wish in wanted.split(',') {
        let mut parts = wish.split(';').map(str::trim).filter(|part| !part.starts_with("q="));
        let media = parts.next().unwrap_or_default();
        let kept_as = match media {
            "*/*" | "*" => "text/plain; version=0.0.4".to_owned(),
            "application/*" => format!("{OPEN_METRICS_TYPE}; version=0.0.1"),
            "text/plain" | "text/*" | OPEN_METRICS_TYPE => {
                std::iter::once(media).chain(parts).collect::<Vec<_>>().join("; ")
            }
            _ => continue,
        };
        if !kept.contains(&kept_as) {
            kept.push(kept_as);
        }
    }
    if kept.is_empty() {
        return "text/plain;version=0.0.4".to_owned();
    }
    let total = kept.len();
    let ranked: Vec<String> =
        kept.into_iter().enumerate().map(|(i, kind)| format!("{kind}; q=0.{}", (total - i).min(9))).collect();
    ranked.join(",")
}

/// Asks for metrics and gives the answer when its head is there; within the time that the scraper itself has.
async fn scrape(
    target: &Target,
    path: &str,
    request: &HeaderMap,
    accept: &str,
) -> Result<Response<Incoming>, HttpError> {
    let mut scrape = Request::builder().uri(path).header(ACCEPT, accept);
    for name in [USER_AGENT, TIMEOUT_HEADER] {
        if let Some(value) = request.get(&name) {
            scrape = scrape.header(name, value);
        }
    }
    let patience = request
        .get(TIMEOUT_HEADER)
        .and_then(|value| value.to_str().ok()?.parse::<f64>().ok())
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .unwrap_or(Duration::from_secs(60));
    let sent = send(target, scrape.body(Empty::new())?);
    let response = tokio::time::timeout(patience, sent).await.unwrap_or(Err(HttpError::Timeout(patience)))?;
    match response.status() {
        StatusCode::OK => Ok(response),
        status => Err(HttpError::Body(format!("{}{path} answered {status}", target.authority()))),
    }
}
