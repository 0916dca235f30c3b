//! Connection pools, circuit breakers and outlier detection
//! (as pilot/pkg/networking/core/cluster_traffic_policy.go).

use config::mesh::{H2UpgradePolicy as MeshUpgrade, MeshConfig};
use config::networking::{
    ConnectionPoolSettings, H2UpgradePolicy, HttpSettings, OutlierDetection, RetryBudget, TcpKeepalive,
};
use mesh::services::Port;
use proto::envoy::config::cluster::v3::{
    CircuitBreakers, OutlierDetection as Outlier, UpstreamConnectionOptions, circuit_breakers,
};
use proto::envoy::config::common::matcher::v3::{HttpHeadersMatch, MatchPredicate, match_predicate};
use proto::envoy::config::core::v3::{HttpProtocolOptions, KeepaliveSettings, TcpKeepalive as Keepalive};
use proto::envoy::config::route::v3::{HeaderMatcher, header_matcher::HeaderMatchSpecifier};
use proto::envoy::extensions::upstreams::http::v3::http_protocol_options;
use proto::envoy::r#type::matcher::v3::{StringMatcher, string_matcher::MatchPattern};
use proto::envoy::r#type::v3::Percent;
use proto::google::protobuf::UInt32Value;

use super::build::Draft;
use crate::encoded::{duration, u32_value};

/// Thresholds that never trip, as upstream's default.
fn open_thresholds(track_remaining: bool) -> circuit_breakers::Thresholds {
    let max = Some(UInt32Value { value: u32::MAX });
    circuit_breakers::Thresholds {
        max_retries: max,
        max_requests: max,
        max_connections: max,
        max_pending_requests: max,
        track_remaining,
        ..circuit_breakers::Thresholds::default()
    }
}

fn positive(value: i32) -> Option<UInt32Value> {
    u32::try_from(value).ok().filter(|v| *v > 0).map(|value| UInt32Value { value })
}

/// As `applyConnectionPool`.
pub(super) fn apply(
    draft: &mut Draft,
    mesh: &MeshConfig,
    settings: &ConnectionPoolSettings,
    budget: Option<&RetryBudget>,
    track_remaining: bool,
) {
    let mut threshold = open_thresholds(track_remaining);
    if let Some(budget) = budget {
        threshold.retry_budget = Some(circuit_breakers::thresholds::RetryBudget {
            budget_percent: Some(Percent { value: budget.percent.unwrap_or(20.0) }),
            budget_interval: budget.budget_interval.map(duration),
            min_retry_concurrency: u32_value(if budget.min_retry_concurrency > 0 {
                budget.min_retry_concurrency
            } else {
                3
            }),
        });
    }
    let http = settings.http.as_ref();
    if let Some(http) = http {
        threshold.max_requests = positive(http.http2_max_requests).or(threshold.max_requests);
        threshold.max_pending_requests =
            positive(http.http1_max_pending_requests).or(threshold.max_pending_requests);
        threshold.max_retries = positive(http.max_retries).or(threshold.max_retries);
    }
    draft.cluster.connect_timeout = mesh.connect_timeout.map(duration);
    let mut idle = http.and_then(|h| h.idle_timeout);
    let mut lifetime = None;
    if let Some(tcp) = &settings.tcp {
        if let Some(timeout) = tcp.connect_timeout {
            draft.cluster.connect_timeout = Some(duration(timeout));
        }
        threshold.max_connections = positive(tcp.max_connections).or(threshold.max_connections);
        lifetime = tcp.max_connection_duration;
        idle = idle.or(tcp.idle_timeout);
    }
    keepalive(draft, mesh.tcp_keepalive.as_ref());
    keepalive(draft, settings.tcp.as_ref().and_then(|t| t.tcp_keepalive.as_ref()));
    draft.cluster.circuit_breakers =
        Some(CircuitBreakers { thresholds: vec![threshold], ..CircuitBreakers::default() });
    http_options(draft, http, idle, lifetime);
    if http.is_some_and(|h| h.use_client_protocol) {
        draft.use_downstream_protocol();
    }
}

fn keepalive(draft: &mut Draft, settings: Option<&TcpKeepalive>) {
    let Some(settings) = settings else { return };
    let options =
        draft.cluster.upstream_connection_options.get_or_insert_with(UpstreamConnectionOptions::default);
    let keepalive = options.tcp_keepalive.get_or_insert_with(Keepalive::default);
    if settings.probes > 0 {
        keepalive.keepalive_probes = u32_value(settings.probes);
    }
    let seconds = |d: config::Duration| u32_value(u32::try_from(d.seconds()).unwrap_or(0));
    if let Some(time) = settings.time {
        keepalive.keepalive_time = seconds(time);
    }
    if let Some(interval) = settings.interval {
        keepalive.keepalive_interval = seconds(interval);
    }
}

fn http_options(
    draft: &mut Draft,
    http: Option<&HttpSettings>,
    idle: Option<config::Duration>,
    lifetime: Option<config::Duration>,
) {
    let per_connection = http.and_then(|h| positive(h.max_requests_per_connection));
    let streams = http.and_then(|h| positive(h.max_concurrent_streams));
    let pings = http.and_then(|h| h.http2_keep_alive.as_ref());
    if idle.is_none()
        && lifetime.is_none()
        && per_connection.is_none()
        && streams.is_none()
        && pings.is_none()
    {
        return;
    }
    let common = draft.http().common_http_protocol_options.get_or_insert_with(HttpProtocolOptions::default);
    if let Some(idle) = idle {
        common.idle_timeout = Some(duration(idle));
    }
    if per_connection.is_some() {
        common.max_requests_per_connection = per_connection;
    }
    if let Some(lifetime) = lifetime {
        common.max_connection_duration = Some(duration(lifetime));
    }
    if let Some(http2) = draft.explicit_http2_mut() {
        if streams.is_some() {
            http2.max_concurrent_streams = streams;
        }
        if let Some(pings) = pings {
            http2.connection_keepalive = Some(KeepaliveSettings {
                interval: pings.interval.map(duration),
                timeout: pings.timeout.map(duration),
                ..KeepaliveSettings::default()
            });
        }
    }
}

/// As `shouldH2Upgrade`.
pub(super) fn upgrades_http2(mesh: &MeshConfig, port: &Port, pool: Option<&ConnectionPoolSettings>) -> bool {
    if let Some(http) = pool.and_then(|p| p.http.as_ref()) {
        match http.h2_upgrade_policy {
            _ if http.use_client_protocol => return false,
            H2UpgradePolicy::Upgrade => return true,
            H2UpgradePolicy::DoNotUpgrade => return false,
            H2UpgradePolicy::Default => {}
        }
    }
    port.protocol.is_http() && mesh.h2_upgrade_policy == MeshUpgrade::Upgrade
}

/// As `applyOutlierDetection`. `forced` = unhealthy endpoints are always sent for this service.
pub(super) fn outlier(draft: &mut Draft, settings: &OutlierDetection, forced: bool) {
    let zero = Some(UInt32Value { value: 0 });
    let enforce = |v: u32| u32_value(if v > 0 { 100 } else { 0 });
    let mut out = Outlier { enforcing_success_rate: zero, ..Outlier::default() };
    if let Some(v) = settings.consecutive_5xx_errors {
        out.consecutive_5xx = u32_value(v);
        out.enforcing_consecutive_5xx = enforce(v);
    }
    if let Some(v) = settings.consecutive_gateway_errors {
        out.consecutive_gateway_failure = u32_value(v);
        out.enforcing_consecutive_gateway_failure = enforce(v);
    }
    out.interval = settings.interval.map(duration);
    out.base_ejection_time = settings.base_ejection_time.map(duration);
    out.max_ejection_percent = positive(settings.max_ejection_percent);
    if settings.split_external_local_origin_errors {
        out.split_external_local_origin_errors = true;
        if let Some(v) = settings.consecutive_local_origin_failures.filter(|v| *v > 0) {
            out.consecutive_local_origin_failure = u32_value(v);
            out.enforcing_consecutive_local_origin_failure = u32_value(100);
        }
        out.enforcing_local_origin_success_rate = zero;
    }
    draft.cluster.outlier_detection = Some(out);
    if settings.min_health_percent >= 0 {
        let percent = if forced { 0 } else { settings.min_health_percent };
        draft.lb().healthy_panic_threshold = Some(Percent { value: f64::from(percent) });
    }
    if !settings.outlier_detection_http_error_codes.is_empty() {
        error_codes(draft, &settings.outlier_detection_http_error_codes);
    }
}

fn error_codes(draft: &mut Draft, codes: &[u32]) {
    let rule = |code: &u32| MatchPredicate {
        rule: Some(match_predicate::Rule::HttpResponseHeadersMatch(HttpHeadersMatch {
            headers: vec![HeaderMatcher {
                name: ":status".into(),
                header_match_specifier: Some(HeaderMatchSpecifier::StringMatch(StringMatcher {
                    match_pattern: Some(MatchPattern::Exact(code.to_string())),
                    ..StringMatcher::default()
                })),
                ..HeaderMatcher::default()
            }],
        })),
    };
    let mut rules: Vec<MatchPredicate> = codes.iter().map(rule).collect();
    let matcher = if rules.len() == 1 {
        rules.remove(0)
    } else {
        MatchPredicate { rule: Some(match_predicate::Rule::OrMatch(match_predicate::MatchSet { rules })) }
    };
    draft.http().outlier_detection =
        Some(http_protocol_options::OutlierDetection { error_matcher: Some(matcher) });
}
