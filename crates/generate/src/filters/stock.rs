//! What stands in for istio/proxy's extensions in an Envoy that has none: standard metrics from access loggers, peers told
//! by a header, ALPN from filter state.
//!
//! Metrics carry Istio's names and one tag `k`, whose fields are joined by U+001F; the agent expands it to Istio's
//! labels when it is scraped (its `stats::expand` has the same table):
//!
//! | kind | fields after the kind |
//! |---|---|
//! | `sh`, `dh` | peer, peer's SAN, destination, response code, response flags |
//! | `sg`, `dg` | the same, gRPC status |
//! | `st`, `dt` | peer, peer's SAN, destination, response flags |
//!
//! Behind them stand the changes of the Telemetry API: `+label=value`, `-label`.

use proto::envoy::config::accesslog::v3::{
    AccessLog, AccessLogFilter, AndFilter, ComparisonFilter, DurationFilter, HeaderFilter, LogTypeFilter,
    ResponseFlagFilter, access_log_filter::FilterSpecifier, comparison_filter,
};
use proto::envoy::config::common::mutation_rules::v3::{HeaderMutation, header_mutation::Action};
use proto::envoy::config::core::v3::{
    DataSource, HeaderValue, HeaderValueOption, RuntimeUInt32, SubstitutionFormatString, data_source,
    header_value_option::HeaderAppendAction, substitution_format_string::Format,
};
use proto::envoy::config::route::v3::{HeaderMatcher, header_matcher::HeaderMatchSpecifier};
use proto::envoy::data::accesslog::v3::AccessLogType;
use proto::envoy::extensions::access_loggers::stats::v3::{Config, config};
use proto::envoy::extensions::filters::common::set_filter_state::v3::{FilterStateValue, filter_state_value};
use proto::envoy::extensions::filters::http::header_mutation::v3 as mutation;
use proto::envoy::extensions::filters::http::header_to_metadata::v3 as to_metadata;
use proto::envoy::extensions::filters::http::set_filter_state::v3 as state;
use proto::envoy::extensions::filters::network::http_connection_manager::v3::HttpFilter;
use proto::envoy::r#type::matcher::v3::{StringMatcher, string_matcher::MatchPattern};
use proto::envoy::r#type::v3::Scope;
use proto::google::protobuf::UInt64Value;

use super::Class;
use super::access_log::logger;
use super::http::filter;
use crate::proxy::Proxy;
use crate::telemetry::metrics::{self, Side};

/// Between the fields of a key; no header and no name can hold it.
const SEPARATOR: char = '\u{1f}';
/// The header that tells an inbound proxy who calls.
const PEER_HEADER: &str = "x-meltemi-peer";
/// Where it is kept.
const PEER_METADATA: &str = "istio.peer";
/// Scope of the metrics; the agent knows them by it.
const SCOPE: &str = "istiocustom";
/// How many series of a kind one proxy keeps.
const SERIES: u32 = 100_000;
/// What a connection that never reached an upstream is flagged with.
const UNCONNECTED: [&str; 5] = ["UF", "UH", "NR", "UO", "NC"];

/// The metrics of one side.
#[derive(Clone, Debug)]
pub(crate) struct StockMetrics<'a> {
    pub(crate) class: Class,
    pub(crate) side: Side<'a>,
    /// How often open TCP connections are reported; `None` for only at their end.
    pub(crate) interval: Option<::config::Duration>,
}

/// A metric: the name behind `istio_`, which type it has and where its value comes from.
struct Metric {
    name: &'static str,
    value: &'static str,
    unit: Option<config::histogram::Unit>,
}

const HTTP: [Metric; 4] = [
    Metric { name: "requests_total", value: "", unit: None },
    Metric {
        name: "request_duration_milliseconds",
        value: "%DURATION%",
        unit: Some(config::histogram::Unit::Milliseconds),
    },
    Metric {
        name: "request_bytes",
        value: "%DOWNSTREAM_WIRE_BYTES_RECEIVED%",
        unit: Some(config::histogram::Unit::Bytes),
    },
    Metric {
        name: "response_bytes",
        value: "%DOWNSTREAM_WIRE_BYTES_SENT%",
        unit: Some(config::histogram::Unit::Bytes),
    },
];
const OPENED: [Metric; 1] = [Metric { name: "tcp_connections_opened_total", value: "", unit: None }];
const ENDED: [Metric; 3] = [
    Metric { name: "tcp_connections_closed_total", value: "", unit: None },
    Metric { name: "tcp_sent_bytes_total", value: "%DOWNSTREAM_WIRE_BYTES_SENT%", unit: None },
    Metric { name: "tcp_received_bytes_total", value: "%DOWNSTREAM_WIRE_BYTES_RECEIVED%", unit: None },
];

impl StockMetrics<'_> {
    /// Loggers of an HTTP connection manager, one for plain HTTP and one for gRPC. `served` is the host of an inbound
    /// service.
    pub(crate) fn http(&self, served: &str) -> Vec<AccessLog> {
        let one = |grpc: bool| {
            let mut key = self.key(if grpc { 'g' } else { 'h' }, served);
            key.extend(["%RESPONSE_CODE%".to_owned(), "%RESPONSE_FLAGS%".to_owned()]);
            if grpc {
                key.push("%GRPC_STATUS_NUMBER%".to_owned());
            }
            self.logger(&HTTP, &key, content_type(grpc))
        };
        [one(false), one(true)].into_iter().flatten().collect()
    }

    /// Loggers of a TCP proxy, by what happens to a connection.
    pub(crate) fn tcp(&self, served: &str) -> Vec<AccessLog> {
        let with = |flags: &str| {
            let mut key = self.key('t', served);
            key.push(flags.to_owned());
            key
        };
        let flags = AccessLogFilter {
            filter_specifier: Some(FilterSpecifier::ResponseFlagFilter(ResponseFlagFilter {
                flags: UNCONNECTED.map(str::to_owned).to_vec(),
            })),
        };
        let ended = || log_type(AccessLogType::TcpConnectionEnd);
        let mut out: Vec<AccessLog> = Vec::new();
        out.extend(self.logger(&OPENED, &with("-"), log_type(AccessLogType::TcpUpstreamConnected)));
        out.extend(self.logger(&ENDED, &with("%RESPONSE_FLAGS%"), ended()));
        out.extend(self.logger(&OPENED, &with("%RESPONSE_FLAGS%"), both(ended(), flags)));
        if let Some(interval) = self.interval {
            let periodic = AccessLogType::TcpPeriodic;
            out.extend(self.gauges(&with("-"), periodic, false, log_type(periodic)));
            let long = both(ended(), at_least(interval));
            out.extend(self.gauges(&with("-"), AccessLogType::TcpConnectionEnd, true, long));
        }
        out
    }

    /// Kind, peer, its SAN, destination.
    fn key(&self, protocol: char, served: &str) -> Vec<String> {
        if self.class == Class::SidecarInbound {
            let peer = if protocol == 't' {
                "%DOWNSTREAM_PEER_SUBJECT%"
            } else {
                "%DYNAMIC_METADATA(istio.peer:p)%"
            };
            return vec![
                format!("d{protocol}"),
                peer.into(),
                "%DOWNSTREAM_PEER_URI_SAN%".into(),
                served.replace('%', "%%"),
            ];
        }
        // A host header names the service only where it is the workload itself that wrote it.
        let destination = if protocol != 't' && self.class == Class::SidecarOutbound {
            r#"%COALESCE({"operators": ["UPSTREAM_CLUSTER_RAW", {"command": "REQ", "param": ":authority"}]})%"#
        } else {
            "%UPSTREAM_CLUSTER_RAW%"
        };
        vec![
            format!("s{protocol}"),
            "%UPSTREAM_METADATA(istio:workload)%".into(),
            "%UPSTREAM_PEER_URI_SAN%".into(),
            destination.into(),
        ]
    }

    /// The one tag of a metric; `None` if the metric is dropped.
    fn tag(&self, metric: &str, key: &[String]) -> Option<config::Tag> {
        let change =
            self.side.overrides.iter().find(|(api, _)| metrics::prometheus(api) == metric).map(|(_, c)| c);
        if change.is_some_and(|c| c.disabled) {
            return None;
        }
        let mut fields = key.to_vec();
        for (label, value) in change.iter().flat_map(|c| &c.tags) {
            match value {
                None => fields.push(format!("-{label}")),
                Some(expression) => fields.extend(operator(expression).map(|o| format!("+{label}={o}"))),
            }
        }
        let value_format = fields.join(&SEPARATOR.to_string());
        Some(config::Tag { name: "k".into(), value_format, ..config::Tag::default() })
    }

    fn logger(&self, metrics: &[Metric], key: &[String], filter: AccessLogFilter) -> Option<AccessLog> {
        let mut out = Config { stats_scope: Some(scope()), ..Config::default() };
        for metric in metrics {
            let Some(tag) = self.tag(metric.name, key) else { continue };
            let stat = Some(config::Stat { name: format!("istio_{}", metric.name), tags: vec![tag] });
            if let Some(unit) = metric.unit {
                out.histograms.push(config::Histogram {
                    stat,
                    unit: unit.into(),
                    value_format: metric.value.into(),
                });
                continue;
            }
            out.counters.push(config::Counter {
                stat,
                value_format: metric.value.into(),
                value_fixed: metric.value.is_empty().then_some(UInt64Value { value: 1 }),
            });
        }
        let nothing = out.counters.is_empty() && out.histograms.is_empty();
        (!nothing).then(|| AccessLog { filter: Some(filter), ..logger("envoy.access_loggers.stats", &out) })
    }

    /// Bytes of connections that still live, one series per connection; `closed` sets them back.
    fn gauges(
        &self,
        key: &[String],
        on: AccessLogType,
        closed: bool,
        filter: AccessLogFilter,
    ) -> Option<AccessLog> {
        let mut out = Config { stats_scope: Some(scope()), ..Config::default() };
        let of = [
            ("tcp_sent_bytes", "%DOWNSTREAM_WIRE_BYTES_SENT%"),
            ("tcp_received_bytes", "%DOWNSTREAM_WIRE_BYTES_RECEIVED%"),
        ];
        for (name, value) in of {
            let Some(tag) = self.tag(&format!("{name}_total"), key) else { continue };
            let connection = config::Tag {
                name: "c".into(),
                value_format: "%CONNECTION_ID%".into(),
                ..config::Tag::default()
            };
            out.gauges.push(config::Gauge {
                stat: Some(config::Stat { name: format!("istio_{name}_open"), tags: vec![tag, connection] }),
                value_format: if closed { "%CEL(0)%".into() } else { value.into() },
                set: Some(config::gauge::Set { log_type: on.into() }),
                ..config::Gauge::default()
            });
        }
        let nothing = out.gauges.is_empty();
        (!nothing).then(|| AccessLog { filter: Some(filter), ..logger("envoy.access_loggers.stats", &out) })
    }
}

fn scope() -> Scope {
    let limit = crate::encoded::u32_value(SERIES);
    Scope {
        prefix: SCOPE.into(),
        sharing_name: "istio".into(),
        enable_eviction: true,
        max_counters: limit,
        max_gauges: limit,
        max_histograms: limit,
    }
}

/// The operator that gives what a CEL expression of the Telemetry API means; `None` for objects that only istio/proxy has.
fn operator(expression: &str) -> Option<String> {
    let text = expression.trim();
    let quoted =
        |q: char| text.strip_prefix(q).and_then(|t| t.strip_suffix(q)).filter(|t| !t.contains([q, '\\']));
    if let Some(literal) = quoted('"').or_else(|| quoted('\'')) {
        return Some(literal.replace('%', "%%"));
    }
    match text {
        "request.host" => return Some("%REQ(:AUTHORITY)%".into()),
        "request.method" => return Some("%REQ(:METHOD)%".into()),
        "request.protocol" => return Some("%PROTOCOL%".into()),
        "response.code" => return Some("%RESPONSE_CODE%".into()),
        _ => {}
    }
    let foreign = ["downstream_peer", "upstream_peer", "filter_state", "wasm.", "node.", "%", "\u{1f}"];
    (!text.is_empty() && !foreign.iter().any(|f| text.contains(f))).then(|| format!("%CEL({text})%"))
}

fn log_type(of: AccessLogType) -> AccessLogFilter {
    AccessLogFilter {
        filter_specifier: Some(FilterSpecifier::LogTypeFilter(LogTypeFilter {
            types: vec![of.into()],
            exclude: false,
        })),
    }
}

fn both(first: AccessLogFilter, second: AccessLogFilter) -> AccessLogFilter {
    AccessLogFilter {
        filter_specifier: Some(FilterSpecifier::AndFilter(AndFilter { filters: vec![first, second] })),
    }
}

fn at_least(duration: ::config::Duration) -> AccessLogFilter {
    let millis = u32::try_from(duration.as_millis()).unwrap_or(u32::MAX);
    let value = RuntimeUInt32 { default_value: millis, runtime_key: "istio.io/unset".into() };
    AccessLogFilter {
        filter_specifier: Some(FilterSpecifier::DurationFilter(DurationFilter {
            comparison: Some(ComparisonFilter { op: comparison_filter::Op::Ge.into(), value: Some(value) }),
        })),
    }
}

/// gRPC, or everything else.
fn content_type(grpc: bool) -> AccessLogFilter {
    let header = HeaderMatcher {
        name: "content-type".into(),
        header_match_specifier: Some(HeaderMatchSpecifier::StringMatch(StringMatcher {
            match_pattern: Some(MatchPattern::Prefix("application/grpc".into())),
            ..StringMatcher::default()
        })),
        invert_match: !grpc,
        // Without this, requests that have no content type would be left out of both.
        treat_missing_header_as_empty: !grpc,
    };
    AccessLogFilter {
        filter_specifier: Some(FilterSpecifier::HeaderFilter(HeaderFilter { header: Some(header) })),
    }
}

/// Tells the upstream who calls; what the application wrote there is overwritten.
pub(crate) fn announce(proxy: &Proxy) -> HttpFilter {
    let option = HeaderValueOption {
        header: Some(HeaderValue {
            key: PEER_HEADER.into(),
            value: peer(proxy).replace('%', "%%"),
            ..HeaderValue::default()
        }),
        append_action: HeaderAppendAction::OverwriteIfExistsOrAdd.into(),
        ..HeaderValueOption::default()
    };
    mutate("meltemi.peer_announcement", Action::Append(option))
}

fn mutate(name: &str, action: Action) -> HttpFilter {
    let mutations = mutation::Mutations {
        request_mutations: vec![HeaderMutation { action: Some(action) }],
        ..mutation::Mutations::default()
    };
    filter(
        name,
        &mutation::HeaderMutation { mutations: Some(mutations), ..mutation::HeaderMutation::default() },
    )
}

/// Learns who calls. Only over mutual TLS is it believed; otherwise the header is just removed.
pub(crate) fn learn(mutual_tls: bool) -> HttpFilter {
    if !mutual_tls {
        return mutate("meltemi.peer_removal", Action::Remove(PEER_HEADER.into()));
    }
    let rule = to_metadata::config::Rule {
        header: PEER_HEADER.into(),
        on_header_present: Some(to_metadata::config::KeyValuePair {
            metadata_namespace: PEER_METADATA.into(),
            key: "p".into(),
            r#type: to_metadata::config::ValueType::String.into(),
            ..to_metadata::config::KeyValuePair::default()
        }),
        remove: true,
        ..to_metadata::config::Rule::default()
    };
    filter(
        "meltemi.peer",
        &to_metadata::Config { request_rules: vec![rule], ..to_metadata::Config::default() },
    )
}

/// `workload;namespace;canonical service;canonical revision;cluster;app;version`.
fn peer(proxy: &Proxy) -> String {
    let own = proxy.own.clone().unwrap_or_default();
    let first = |names: &[&str], default: &str| {
        let found = names.iter().map(|n| own.label(n)).find(|v| !v.is_empty());
        found.unwrap_or(default).to_owned()
    };
    let service = ["service.istio.io/canonical-name", "app.kubernetes.io/name", "app"];
    let revision = ["service.istio.io/canonical-revision", "app.kubernetes.io/version", "version"];
    let fields = [
        own.workload.to_string(),
        proxy.namespace.to_string(),
        first(&service, &own.workload),
        first(&revision, "latest"),
        proxy.cluster.to_string(),
        first(&["app"], ""),
        first(&["version"], ""),
    ];
    fields.map(|f| f.replace(';', "")).join(";")
}

/// Offers upstreams Istio's ALPN names of the HTTP version in use, by which a sniffing server knows its filter chain.
/// Only chains whose protocol is found out need it: there clusters use the protocol of the request, so that the version
/// of the request says the version towards the upstream. Where the port's protocol is declared, the cluster's own
/// ALPN leads to the right chain.
pub(crate) fn alpn() -> HttpFilter {
    let format =
        "%CEL(request.protocol == 'HTTP/2' ? 'istio-h2,istio,h2' : 'istio-http/1.1,istio,http/1.1')%";
    let value = SubstitutionFormatString {
        format: Some(Format::TextFormatSource(DataSource {
            specifier: Some(data_source::Specifier::InlineString(format.into())),
            ..DataSource::default()
        })),
        ..SubstitutionFormatString::default()
    };
    let set = FilterStateValue {
        key: Some(filter_state_value::Key::ObjectKey("envoy.network.application_protocols".into())),
        value: Some(filter_state_value::Value::FormatString(value)),
        ..FilterStateValue::default()
    };
    filter("meltemi.alpn", &state::Config { on_request_headers: vec![set], ..state::Config::default() })
}
