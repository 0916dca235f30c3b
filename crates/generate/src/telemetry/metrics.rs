//! Metrics: which providers measure, which metrics are dropped, which labels are changed
//! (as pilot/pkg/model/telemetry.go: `mergeMetrics`).

use std::collections::{BTreeMap, BTreeSet};

use config::Duration;
use config::telemetry::{IstioMetric, MetricMatch, MetricSelector, Metrics, Operation, WorkloadMode};

use super::names;

/// How one provider measures on one side.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Side<'a> {
    /// Not at all.
    pub(crate) disabled: bool,
    /// Changes by metric (`REQUEST_COUNT` or a custom name).
    pub(crate) overrides: BTreeMap<&'a str, Change<'a>>,
}

/// What is changed of a metric.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Change<'a> {
    /// It is dropped.
    pub(crate) disabled: bool,
    /// Labels: a value, or `None` to remove it.
    pub(crate) tags: BTreeMap<&'a str, Option<&'a str>>,
}

/// How one provider measures.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Provider<'a> {
    /// Outbound and gateways.
    pub(crate) client: Side<'a>,
    /// Inbound.
    pub(crate) server: Side<'a>,
    /// How often open TCP connections are reported.
    pub(crate) interval: Option<Duration>,
}

impl<'a> Provider<'a> {
    fn side(&mut self, mode: WorkloadMode) -> &mut Side<'a> {
        if mode == WorkloadMode::Server { &mut self.server } else { &mut self.client }
    }
}

/// Every metric by its name in the API, in the order of the names, with its name in Prometheus.
pub(crate) const ALL: [(&str, &str); 10] = [
    ("GRPC_REQUEST_MESSAGES", "request_messages_total"),
    ("GRPC_RESPONSE_MESSAGES", "response_messages_total"),
    ("REQUEST_COUNT", "requests_total"),
    ("REQUEST_DURATION", "request_duration_milliseconds"),
    ("REQUEST_SIZE", "request_bytes"),
    ("RESPONSE_SIZE", "response_bytes"),
    ("TCP_CLOSED_CONNECTIONS", "tcp_connections_closed_total"),
    ("TCP_OPENED_CONNECTIONS", "tcp_connections_opened_total"),
    ("TCP_RECEIVED_BYTES", "tcp_received_bytes_total"),
    ("TCP_SENT_BYTES", "tcp_sent_bytes_total"),
];

/// The Prometheus name of a metric of the API; a custom metric has its own.
pub(crate) fn prometheus(name: &str) -> &str {
    ALL.iter().find(|(api, _)| *api == name).map_or(name, |(_, prometheus)| *prometheus)
}

fn metric_name(metric: IstioMetric) -> &'static str {
    match metric {
        IstioMetric::AllMetrics => "ALL_METRICS",
        IstioMetric::RequestCount => "REQUEST_COUNT",
        IstioMetric::RequestDuration => "REQUEST_DURATION",
        IstioMetric::RequestSize => "REQUEST_SIZE",
        IstioMetric::ResponseSize => "RESPONSE_SIZE",
        IstioMetric::TcpOpenedConnections => "TCP_OPENED_CONNECTIONS",
        IstioMetric::TcpClosedConnections => "TCP_CLOSED_CONNECTIONS",
        IstioMetric::TcpSentBytes => "TCP_SENT_BYTES",
        IstioMetric::TcpReceivedBytes => "TCP_RECEIVED_BYTES",
        IstioMetric::GrpcRequestMessages => "GRPC_REQUEST_MESSAGES",
        IstioMetric::GrpcResponseMessages => "GRPC_RESPONSE_MESSAGES",
    }
}

/// The metrics a selector means, and whether it means all.
fn matches(selector: Option<&MetricSelector>) -> (Vec<&str>, bool) {
    match selector.and_then(|s| s.metric_match.as_ref()) {
        Some(MetricMatch::CustomMetric(name)) => (vec![name.as_str()], false),
        Some(MetricMatch::Metric(metric)) if *metric != IstioMetric::AllMetrics => {
            (vec![metric_name(*metric)], false)
        }
        Some(MetricMatch::Metric(_)) | None => (ALL.iter().map(|(api, _)| *api).collect(), true),
    }
}

fn modes(selector: Option<&MetricSelector>) -> &'static [WorkloadMode] {
    match selector.map_or(WorkloadMode::ClientAndServer, |s| s.mode) {
        WorkloadMode::Client => &[WorkloadMode::Client],
        WorkloadMode::Server => &[WorkloadMode::Server],
        WorkloadMode::ClientAndServer => &[WorkloadMode::Client, WorkloadMode::Server],
    }
}

/// Merges in order; `defaults` are MeshConfig's `defaultProviders.metrics`.
pub(crate) fn merge<'a>(metrics: &[&'a Metrics], defaults: &[&'a str]) -> BTreeMap<&'a str, Provider<'a>> {
    if metrics.is_empty() {
        return defaults.iter().map(|d| (*d, Provider::default())).collect();
    }
    let last = metrics.iter().rev().find(|m| !m.providers.is_empty());
    let in_scope: BTreeSet<&str> = match last {
        Some(m) => names(&m.providers).into_iter().collect(),
        None => defaults.iter().copied().collect(),
    };
    let mut out: BTreeMap<&str, Provider<'_>> = BTreeMap::new();
    let mut off: BTreeSet<(&str, WorkloadMode)> = BTreeSet::new();
    let mut parent: Vec<&str> = defaults.to_vec();
    for metric in metrics {
        if !metric.providers.is_empty() {
            parent = names(&metric.providers);
        }
        for name in parent.iter().filter(|p| in_scope.contains(*p)) {
            let provider = out.entry(name).or_default();
            provider.interval = metric.reporting_interval.or(provider.interval);
            for change in &metric.overrides {
                apply(provider, &mut off, name, change);
            }
        }
    }
    for (name, mode) in off {
        if let Some(provider) = out.get_mut(name) {
            *provider.side(mode) = Side { disabled: true, overrides: BTreeMap::new() };
        }
    }
    out
}

fn apply<'a>(
    provider: &mut Provider<'a>,
    off: &mut BTreeSet<(&'a str, WorkloadMode)>,
    name: &'a str,
    change: &'a config::telemetry::MetricsOverrides,
) {
    let (metrics, all) = matches(change.r#match.as_ref());
    for mode in modes(change.r#match.as_ref()) {
        if all && change.disabled == Some(true) {
            off.insert((name, *mode));
            continue;
        }
        off.remove(&(name, *mode));
        for metric in &metrics {
            let held = provider.side(*mode).overrides.entry(metric).or_default();
            held.disabled = change.disabled.unwrap_or(held.disabled);
            for (tag, over) in &change.tag_overrides {
                let value = (over.operation == Operation::Upsert).then_some(over.value.as_str());
                held.tags.insert(tag, value);
            }
        }
    }
}
