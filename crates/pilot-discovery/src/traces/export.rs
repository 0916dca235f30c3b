//! Spans on their way to a collector, by OpenTelemetry's protocol over gRPC.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use config::Switches;
use http::Uri;
use process::metrics::Metrics;
use process::retry::Policy;
use prometheus_client::metrics::counter::Counter;
use proto::opentelemetry::proto::collector::trace::v1::ExportTraceServiceRequest;
use proto::opentelemetry::proto::collector::trace::v1::trace_service_client::TraceServiceClient;
use proto::opentelemetry::proto::common::v1::InstrumentationScope;
use proto::opentelemetry::proto::resource::v1::Resource;
use proto::opentelemetry::proto::trace::v1::{ResourceSpans, ScopeSpans, Span};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};
use tonic::transport::Channel;
use xds::client::dial::{self, Dial};

use super::Tracer;
use super::span::text;
use crate::fetch::Fetcher;
use crate::ports::{self, Stop};

/// Spans of one request.
const TOGETHER: usize = 512;
/// How long spans are gathered.
const GATHERED: Duration = Duration::from_secs(1);
/// How long a collector may take for the last request, which holds up the end of the process.
const LAST: Duration = Duration::from_secs(5);
/// How long a collector may take for a request.
const ANSWERED: Duration = Duration::from_secs(10);
/// Pauses while the collector cannot be had; what comes meanwhile waits, as far as there is room.
const PAUSES: Policy = Policy {
    initial: Duration::from_millis(500),
    max: Duration::from_secs(30),
    factor: 2.0,
    attempts: Some(5),
};

/// The environment does not name a collector in a way that is understood.
#[derive(Debug, thiserror::Error)]
#[error("{name}={value:?}: {reason}")]
pub struct BadEndpoint {
    name: &'static str,
    value: String,
    reason: &'static str,
}

/// Sends what a [`Tracer`] finishes.
pub struct Exporter {
    tracer: Tracer,
    spans: mpsc::Receiver<Span>,
    resource: Resource,
    endpoint: String,
    dial: Dial,
    channel: Option<Channel>,
    dropped: Counter,
    failed: bool,
}

impl Exporter {
    /// As `OTEL_EXPORTER_OTLP_ENDPOINT` and its relatives say; `None` if that is unset. `instance` is who we are, in the
    /// cluster of this id.
    ///
    /// # Errors
    /// They say what is not understood.
    pub fn new(
        switches: &Switches,
        instance: &str,
        cluster: &str,
        metrics: &Metrics,
    ) -> Result<Option<(Tracer, Self)>, BadEndpoint> {
        let endpoint = &switches.otel_exporter_otlp_endpoint;
        if endpoint.is_empty() {
            return Ok(None);
        }
        let protocol = &switches.otel_exporter_otlp_protocol;
        if protocol != "grpc" {
            let (name, value) = ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol.clone());
            return Err(BadEndpoint { name, value, reason: "only grpc is spoken, mostly on port 4317" });
        }
        let dial = dial_to(endpoint)?;
        let dropped = metrics.register(
            "pilot_trace_spans_dropped_total",
            "Spans that did not reach the collector.",
            Counter::default(),
        );
        let (tracer, spans) = Tracer::new(cluster, dropped.clone());
        let attributes = vec![
            text("service.name", &switches.otel_service_name),
            text("service.instance.id", instance),
            text("service.version", crate::start::VERSION),
        ];
        let exporter = Self {
            tracer: tracer.clone(),
            spans,
            resource: Resource { attributes, ..Resource::default() },
            endpoint: endpoint.clone(),
            dial,
            channel: None,
            dropped,
            failed: false,
        };
        Ok(Some((tracer, exporter)))
    }

    /// Sends spans, those of about a second together, until the process stops; then what there is, once.
    pub async fn run(mut self, stop: Stop) {
        let mut stopped = pin!(ports::stopped(stop));
        loop {
            let mut spans = Vec::new();
            let due = Instant::now() + GATHERED;
            while spans.len() < TOGETHER {
                tokio::select! {
                    Some(span) = self.spans.recv() => spans.push(span),
                    () = sleep_until(due) => break,
                    () = &mut stopped => return self.finish(spans).await,
                }
            }
            self.tracer.expire(SystemTime::now());
            if spans.is_empty() {
                continue;
            }
            let count = spans.len() as u64;
            tokio::select! {
                () = self.export(spans) => {}
                () = &mut stopped => {
                    self.dropped.inc_by(count);
                    return self.finish(Vec::new()).await;
                }
            }
        }
    }

    /// A collector that does not answer holds nobody up for long.
    async fn finish(mut self, mut spans: Vec<Span>) {
        self.tracer.end();
        while let Ok(span) = self.spans.try_recv() {
            spans.push(span);
        }
        if !spans.is_empty() {
            let count = spans.len() as u64;
            let request = self.request(spans);
            if !matches!(timeout(LAST, self.send(request)).await, Ok(Ok(()))) {
                self.dropped.inc_by(count);
            }
        }
    }

    fn request(&self, spans: Vec<Span>) -> ExportTraceServiceRequest {
        let scope = InstrumentationScope { name: "pilot-discovery".to_owned(), ..Default::default() };
        ExportTraceServiceRequest {
            resource_spans: vec![ResourceSpans {
                resource: Some(self.resource.clone()),
                scope_spans: vec![ScopeSpans { scope: Some(scope), spans, ..ScopeSpans::default() }],
                ..ResourceSpans::default()
            }],
        }
    }

    async fn export(&mut self, spans: Vec<Span>) {
        let count = spans.len() as u64;
        let request = self.request(spans);
        let mut delays = PAUSES.delays();
        loop {
            let why = match timeout(ANSWERED, self.send(request.clone())).await {
                Ok(Ok(())) => {
                    if std::mem::take(&mut self.failed) {
                        tracing::info!("traces reach {} again", self.endpoint);
                    }
                    return;
                }
                Ok(Err(why)) => why,
                Err(_) => format!("no answer within {ANSWERED:?}"),
            };
            if !std::mem::replace(&mut self.failed, true) {
                tracing::warn!(
                    "traces do not reach {}: {why}; trying again, and leaving out what is too much",
                    self.endpoint
                );
            }
            let Some(delay) = delays.next() else { break };
            tokio::time::sleep(delay).await;
        }
        self.dropped.inc_by(count);
    }

    async fn send(&mut self, request: ExportTraceServiceRequest) -> Result<(), String> {
        // one that fails, or is dropped while it waits, is not used again
        let channel = match self.channel.take() {
            Some(channel) => channel,
            None => (self.dial)(0).await.map_err(|error| error.to_string())?,
        };
        let answer = TraceServiceClient::new(channel.clone()).export(request).await;
        let answer = answer.map_err(|status| format!("{}: {}", status.code(), status.message()))?;
        self.channel = Some(channel);
        let refused = answer.into_inner().partial_success.filter(|refused| refused.rejected_spans > 0);
        if let Some(refused) = refused {
            self.dropped.inc_by(refused.rejected_spans.unsigned_abs());
            tracing::debug!("{} refused spans: {}", self.endpoint, refused.error_message);
        }
        Ok(())
    }
}

fn dial_to(endpoint: &str) -> Result<Dial, BadEndpoint> {
    let (name, value) = ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.to_owned());
    let wrong = |reason| BadEndpoint { name, value: value.clone(), reason };
    let uri: Uri = endpoint.parse().map_err(|_| wrong("want http://host:4317 or https://host:4317"))?;
    let host = uri.host().ok_or_else(|| wrong("it names no host: want http://host:4317"))?;
    let address = format!("{host}:{}", uri.port_u16().unwrap_or(4317));
    match uri.scheme_str() {
        Some("http") => Ok(dial::plain(vec![address])),
        Some("https") => {
            let mut tls = Fetcher::default().tls().map_err(|_| wrong("this machine has no trusted roots"))?;
            tls.alpn_protocols = vec![b"h2".to_vec()];
            Ok(dial::tls(vec![address], Arc::new(tls), None))
        }
        _ => Err(wrong("want http:// or https:// before the host")),
    }
}
