//! The agent's own metrics, under the names of Istio's agent.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime};

use process::metrics::Metrics;

use crate::ads::Relay;
use crate::dns::Resolver;
use crate::sds::SecretStore;

/// What the status server counts.
#[derive(Debug, Default)]
pub struct ScrapeCounters {
    /// `istio_agent_scrapes_total`
    pub scrapes: AtomicU64,
    /// `istio_agent_scrape_failures_total{type="envoy"}`
    pub envoy_failures: AtomicU64,
    /// `istio_agent_scrape_failures_total{type="application"}`
    pub application_failures: AtomicU64,
    /// Milliseconds from start to ready; 0 until then.
    ready_after: AtomicU64,
}

/// Everything the agent says of itself.
#[derive(Clone)]
pub struct OwnMetrics {
    counters: Arc<ScrapeCounters>,
    started: Instant,
    relay: Option<Relay>,
    resolver: Option<Arc<Resolver>>,
    store: Arc<SecretStore>,
    process: Metrics,
}

impl OwnMetrics {
    /// Metrics of these parts; the clock of `startup_duration_seconds` runs from `started`.
    #[must_use]
    pub fn new(
        started: Instant,
        relay: Option<Relay>,
        resolver: Option<Arc<Resolver>>,
        store: Arc<SecretStore>,
    ) -> Self {
        let process = Metrics::new();
        process.register_process();
        Self { counters: Arc::default(), started, relay, resolver, store, process }
    }

    /// The counters of scrapes.
    #[must_use]
    pub fn counters(&self) -> &ScrapeCounters {
        &self.counters
    }

    /// Notes the first time that everything was ready.
    pub fn ready(&self) {
        let millis = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX).max(1);
        let noted =
            self.counters.ready_after.compare_exchange(0, millis, Ordering::Relaxed, Ordering::Relaxed);
        if noted.is_ok() {
            tracing::info!("Readiness succeeded in {millis} ms");
        }
    }

    /// The text format of all of it.
    #[must_use]
    pub fn render(&self) -> String {
        let mut out = Exposition(String::with_capacity(4096));
        let counters = &self.counters;
        out.counter("scrapes_total", "The total number of scrapes.", &[("", &counters.scrapes)]);
        out.counter(
            "scrape_failures_total",
            "The total number of failed scrapes.",
            &[
                ("type=\"application\"", &counters.application_failures),
                ("type=\"envoy\"", &counters.envoy_failures),
            ],
        );
        let ready_after = counters.ready_after.load(Ordering::Relaxed);
        if ready_after > 0 {
            let help = "The time from the process starting to being marked ready.";
            out.gauge("startup_duration_seconds", help, "", ready_after as f64 / 1000.0);
        }
        if let Some(relay) = &self.relay {
            out.relay(relay);
        }
        if let Some(resolver) = &self.resolver {
            let dns = &resolver.counters;
            out.counter("dns_requests_total", "Total number of DNS requests.", &[("", &dns.requests)]);
            let help = "Total number of DNS requests forwarded to upstream.";
            out.counter("dns_upstream_requests_total", help, &[("", &dns.upstream_requests)]);
            let help = "Total number of DNS failures.";
            out.counter("dns_upstream_failures_total", help, &[("", &dns.upstream_failures)]);
        }
        if let Some(issued) = self.store.issued() {
            let left = match issued.expires.duration_since(SystemTime::now()) {
                Ok(left) => left.as_secs_f64(),
                Err(past) => -past.duration().as_secs_f64(),
            };
            let help = "The time remaining, in seconds, before the certificate chain will expire. A negative value indicates the cert is expired.";
            out.gauge("cert_expiry_seconds", help, "resource_name=\"default\"", left);
        }
        out.process(&self.process.render());
        out.0
    }
}

struct Exposition(String);

impl Exposition {
    fn head(&mut self, name: &str, help: &str, kind: &str) {
        let _ = write!(self.0, "# HELP istio_agent_{name} {help}\n# TYPE istio_agent_{name} {kind}\n");
    }

    fn counter(&mut self, name: &str, help: &str, values: &[(&str, &AtomicU64)]) {
        self.head(name, help, "counter");
        for (labels, value) in values {
            self.sample(name, labels, value.load(Ordering::Relaxed) as f64);
        }
    }

    fn gauge(&mut self, name: &str, help: &str, labels: &str, value: f64) {
        self.head(name, help, "gauge");
        self.sample(name, labels, value);
    }

    fn sample(&mut self, name: &str, labels: &str, value: f64) {
        let _ = if labels.is_empty() {
            writeln!(self.0, "istio_agent_{name} {value}")
        } else {
            writeln!(self.0, "istio_agent_{name}{{{labels}}} {value}")
        };
    }

    fn relay(&mut self, relay: &Relay) {
        let counters = relay.counters();
        let help = "The total number of Xds Proxy Requests";
        self.counter("xds_proxy_requests", help, &[("", &counters.requests)]);
        let help = "The total number of Xds Proxy Responses";
        self.counter("xds_proxy_responses", help, &[("", &counters.responses)]);
        let help = "The total number of connection failures to Istiod";
        self.counter("istiod_connection_failures", help, &[("", &counters.connection_failures)]);
        self.counter(
            "istiod_connection_terminations",
            "The total number of connection errors to Istiod",
            &[
                ("type=\"cancelled\"", &counters.control_plane_ended),
                ("type=\"error\"", &counters.control_plane_broke),
            ],
        );
        let help = "The total number of connection errors from envoy";
        self.counter("envoy_connection_terminations", help, &[("type=\"cancelled\"", &counters.envoy_ended)]);
    }

    /// The standard process metrics, under the agent's prefix as upstream has them.
    fn process(&mut self, text: &str) {
        for line in text.lines() {
            let prefixed =
                ["# HELP ", "# TYPE "].iter().find_map(|head| Some((*head, line.strip_prefix(head)?)));
            let _ = match prefixed {
                Some((head, rest)) => writeln!(self.0, "{head}istio_agent_{rest}"),
                None => writeln!(self.0, "istio_agent_{line}"),
            };
        }
    }
}
