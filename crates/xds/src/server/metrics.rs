//! What the server counts, under upstream's names (as pilot/pkg/xds/monitoring.go and pkg/xds/monitoring.go).

use std::sync::atomic::{AtomicI64, AtomicU64};
use std::time::Duration;

use process::metrics::Metrics as Registry;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;

use crate::type_url::TypeUrl;

type Label = [(&'static str, String); 1];
type Reject = [(&'static str, String); 2];
type Rejects = Family<Reject, Gauge<i64, AtomicI64>>;
type Histograms = Family<Label, Histogram, fn() -> Histogram>;

/// The metrics of a server. Clones share their values.
#[derive(Debug, Clone)]
pub struct Metrics {
    clients: Family<Label, Gauge<i64, AtomicI64>>,
    pushes: Family<Label, Counter<u64, AtomicU64>>,
    push_time: Histograms,
    queue_time: Histogram,
    convergence_time: Histogram,
    config_size: Histograms,
    send_time: Histogram,
    write_timeouts: Counter<u64, AtomicU64>,
    largest_request: Gauge<i64, AtomicI64>,
    rejects: Family<Label, Counter<u64, AtomicU64>>,
    rejects_of: [(TypeUrl, Rejects); 4],
    expired_nonces: Family<Label, Counter<u64, AtomicU64>>,
    internal_errors: Counter<u64, AtomicU64>,
}

fn times() -> Histogram {
    Histogram::new([0.01, 0.1, 0.5, 1.0, 3.0, 5.0, 10.0, 20.0, 30.0])
}

fn long_times() -> Histogram {
    Histogram::new([0.1, 0.5, 1.0, 3.0, 5.0, 10.0, 20.0, 30.0])
}

fn send_times() -> Histogram {
    Histogram::new([0.01, 0.1, 1.0, 3.0, 5.0, 10.0, 20.0, 30.0])
}

fn sizes() -> Histogram {
    Histogram::new([1.0, 10_000.0, 1_000_000.0, 4_000_000.0, 10_000_000.0, 40_000_000.0])
}

fn of_type(type_url: &TypeUrl) -> Label {
    [("type", type_url.metric().to_owned())]
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            clients: Family::default(),
            pushes: Family::default(),
            push_time: Family::new_with_constructor(times),
            queue_time: long_times(),
            convergence_time: long_times(),
            config_size: Family::new_with_constructor(sizes),
            send_time: send_times(),
            write_timeouts: Counter::default(),
            largest_request: Gauge::default(),
            rejects: Family::default(),
            rejects_of: [TypeUrl::Cluster, TypeUrl::Endpoint, TypeUrl::Listener, TypeUrl::Route]
                .map(|type_url| (type_url, Family::default())),
            expired_nonces: Family::default(),
            internal_errors: Counter::default(),
        }
    }
}

impl Metrics {
    /// The metrics, shown by `registry`. Once per process.
    #[must_use]
    pub fn register(registry: &Registry) -> Self {
        let m = Self::default();
        registry.register("pilot_xds", "Clients connected over xDS, by version.", m.clients.clone());
        registry.register("pilot_xds_pushes", "Responses sent, by type.", m.pushes.clone());
        registry.register("pilot_xds_push_time", "Seconds to prepare a response.", m.push_time.clone());
        let queue_time = "Seconds a changed client waited for its turn.";
        registry.register("pilot_proxy_queue_time", queue_time, m.queue_time.clone());
        let convergence = "Seconds from a change to the last response it caused for a client.";
        registry.register("pilot_proxy_convergence_time", convergence, m.convergence_time.clone());
        let size = "Bytes of resources in a response, by type.";
        registry.register("pilot_xds_config_size_bytes", size, m.config_size.clone());
        registry.register("pilot_xds_send_time", "Seconds to hand over a response.", m.send_time.clone());
        let timeouts = "Responses a client did not take in time.";
        registry.register("pilot_xds_write_timeout", timeouts, m.write_timeouts.clone());
        let largest = "Bytes of the largest request received.";
        registry.register("pilot_xds_recv_max", largest, m.largest_request.clone());
        let rejects = "Responses refused by clients, by type.";
        registry.register("pilot_total_xds_rejects", rejects, m.rejects.clone());
        for (type_url, family) in &m.rejects_of {
            let name = format!("pilot_xds_{}_reject", type_url.metric());
            registry.register(
                &name,
                "Responses refused by clients; see pilot_total_xds_rejects.",
                family.clone(),
            );
        }
        let expired = "Requests that answer no response in flight, by type.";
        registry.register("pilot_xds_expired_nonce", expired, m.expired_nonces.clone());
        let internal = "Streams that ended in an unexpected error.";
        registry.register("pilot_total_xds_internal_errors", internal, m.internal_errors.clone());
        m
    }

    pub(crate) fn connected(&self, version: &str) {
        self.clients.get_or_create(&[("version", version.to_owned())]).inc();
    }

    pub(crate) fn disconnected(&self, version: &str) {
        self.clients.get_or_create(&[("version", version.to_owned())]).dec();
    }

    pub(crate) fn received(&self, bytes: usize) {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        self.largest_request.inner().fetch_max(bytes, std::sync::atomic::Ordering::Relaxed);
    }

    pub(crate) fn pushed(&self, type_url: &TypeUrl, took: Duration, resource_bytes: usize) {
        let label = of_type(type_url);
        self.pushes.get_or_create(&label).inc();
        self.push_time.get_or_create(&label).observe(took.as_secs_f64());
        #[expect(clippy::cast_precision_loss, reason = "a size in a histogram")]
        let bytes = resource_bytes as f64;
        // Upstream labels this one with the URL.
        self.config_size.get_or_create(&[("type", type_url.as_str().to_owned())]).observe(bytes);
    }

    pub(crate) fn sent(&self, took: Duration) {
        self.send_time.observe(took.as_secs_f64());
    }

    pub(crate) fn timed_out(&self) {
        self.write_timeouts.inc();
    }

    pub(crate) fn queued(&self, took: Duration) {
        self.queue_time.observe(took.as_secs_f64());
    }

    pub(crate) fn converged(&self, took: Duration) {
        self.convergence_time.observe(took.as_secs_f64());
    }

    pub(crate) fn rejected(&self, type_url: &TypeUrl, node: &str, code: i32) {
        self.rejects.get_or_create(&of_type(type_url)).inc();
        if let Some((_, family)) = self.rejects_of.iter().find(|(of, _)| of == type_url) {
            let code = code_name(tonic::Code::from_i32(code));
            family.get_or_create(&[("node", node.to_owned()), ("err", code.to_owned())]).inc();
        }
    }

    pub(crate) fn stale(&self, type_url: &TypeUrl) {
        self.expired_nonces.get_or_create(&of_type(type_url)).inc();
    }

    pub(crate) fn internal_error(&self) {
        self.internal_errors.inc();
    }
}

/// A code as gRPC for Go spells it, which is what dashboards know.
#[must_use]
pub fn code_name(code: tonic::Code) -> &'static str {
    use tonic::Code::{
        Aborted, AlreadyExists, Cancelled, DataLoss, DeadlineExceeded, FailedPrecondition, Internal,
        InvalidArgument, NotFound, Ok, OutOfRange, PermissionDenied, ResourceExhausted, Unauthenticated,
        Unavailable, Unimplemented, Unknown,
    };
    match code {
        Ok => "OK",
        Cancelled => "Canceled",
        Unknown => "Unknown",
        InvalidArgument => "InvalidArgument",
        DeadlineExceeded => "DeadlineExceeded",
        NotFound => "NotFound",
        AlreadyExists => "AlreadyExists",
        PermissionDenied => "PermissionDenied",
        ResourceExhausted => "ResourceExhausted",
        FailedPrecondition => "FailedPrecondition",
        Aborted => "Aborted",
        OutOfRange => "OutOfRange",
        Unimplemented => "Unimplemented",
        Internal => "Internal",
        Unavailable => "Unavailable",
        DataLoss => "DataLoss",
        Unauthenticated => "Unauthenticated",
    }
}
