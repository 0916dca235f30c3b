//! Tests of what a stock Envoy gets instead of istio/proxy's extensions, and of what the Telemetry API changes.

use std::fmt::Write as _;
use std::sync::Arc;

use expect_test::{Expect, expect};
use mesh::settings::Settings;
use mesh::{Batch, Mesh};
use prost::Message;
use proto::envoy::config::accesslog::v3::{AccessLog, access_log};
use proto::envoy::config::core::v3::{Extension, Node};
use proto::envoy::config::listener::v3::{FilterChain, Listener, filter::ConfigType};
use proto::envoy::extensions::access_loggers::stats::v3::Config as StatsLogger;
use proto::envoy::extensions::filters::network::http_connection_manager::v3::HttpConnectionManager;
use proto::envoy::extensions::filters::network::tcp_proxy::v3::TcpProxy;
use proto::google::protobuf::{Struct, Value, value::Kind};

use crate::{Generator, Proxy, Resource, TypeName};

/// A service of the workload itself and one of others, with HTTP, sniffed and TCP ports.
const SERVICES: &str = r#"
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: own, namespace: default, creationTimestamp: "2026-01-01T00:00:00Z"}
spec:
  hosts: [own.test]
  location: MESH_INTERNAL
  resolution: STATIC
  ports:
  - {number: 80, name: http, protocol: HTTP, targetPort: 8080}
  - {number: 90, name: tcp, protocol: TCP, targetPort: 9090}
  endpoints: [{address: 10.0.0.1}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: other, namespace: default, creationTimestamp: "2026-01-01T00:00:01Z"}
spec:
  hosts: [other.test]
  addresses: [10.1.0.1]
  location: MESH_INTERNAL
  resolution: STATIC
  ports:
  - {number: 81, name: any}
  - {number: 91, name: tcp, protocol: TCP}
  endpoints: [{address: 10.0.0.2}]
---
"#;

fn text(value: &str) -> Value {
    Value { kind: Some(Kind::StringValue(value.into())) }
}

/// A sidecar of the workload `app-v1`; `stock` announces the extensions of an Envoy without istio/proxy's.
fn node(stock: bool) -> Node {
    let labels =
        Struct { fields: [("app", "app"), ("version", "v1")].map(|(k, v)| (k.to_owned(), text(v))).into() };
    let fields = [
        ("WORKLOAD_NAME".to_owned(), text("app-v1")),
        ("NAMESPACE".to_owned(), text("default")),
        ("LABELS".to_owned(), Value { kind: Some(Kind::StructValue(labels)) }),
    ];
    let extension = |name: &str| Extension { name: name.into(), ..Extension::default() };
    Node {
        id: "sidecar~10.0.0.1~app-1.default~default.svc.cluster.local".into(),
        metadata: Some(Struct { fields: fields.into() }),
        extensions: if stock { vec![extension("envoy.filters.http.router")] } else { Vec::new() },
        ..Node::default()
    }
}

fn resources(stock: bool, more: &str) -> Vec<Resource> {
    let decoded = config::decode::documents("test.yaml", &format!("{SERVICES}{more}"));
    assert!(decoded.problems.is_empty(), "{:?}", decoded.problems);
    let mut batch = Batch::default();
    for object in decoded.objects {
        batch.put(&"Kubernetes".into(), object);
    }
    let mut mesh = Mesh::new(Settings::default());
    mesh.commit(batch);
    let class = Arc::new(Proxy::from_node(&node(stock)).unwrap());
    let generator = Generator::new(true);
    let world = mesh.world();
    let of = |of: TypeName| {
        let (edition, _, _) = generator.edition(&world, &generator.key(&world, &class, of));
        edition.resources().cloned().collect::<Vec<_>>()
    };
    [of(TypeName::Listener), of(TypeName::Cluster), of(TypeName::Route)].concat()
}

fn listener(stock: bool, more: &str, name: &str) -> Listener {
    let found = resources(stock, more).into_iter().find(|r| &*r.name == name).unwrap();
    Listener::decode(found.body.clone()).unwrap()
}

/// The keys of metrics, `<metric>: <key>` with `|` between fields.
fn keys(logs: &[AccessLog]) -> String {
    let mut out = String::new();
    for log in logs {
        let Some(access_log::ConfigType::TypedConfig(any)) = &log.config_type else { panic!("{log:?}") };
        if log.name != "envoy.access_loggers.stats" {
            let _ = writeln!(out, "        {}", log.name);
            continue;
        }
        let config = StatsLogger::decode(any.value.clone()).unwrap();
        let counters = config.counters.into_iter().filter_map(|c| c.stat);
        let gauges = config.gauges.into_iter().filter_map(|g| g.stat);
        for stat in counters.chain(config.histograms.into_iter().filter_map(|h| h.stat)).chain(gauges) {
            let key = stat.tags[0].value_format.replace('\u{1f}', "|");
            let _ = writeln!(out, "        {}: {key}", stat.name);
        }
    }
    out
}

fn chain(chain: &FilterChain) -> String {
    let mut out = String::new();
    for filter in &chain.filters {
        let Some(ConfigType::TypedConfig(any)) = &filter.config_type else { panic!("{filter:?}") };
        if any.type_url.ends_with("HttpConnectionManager") {
            let manager = HttpConnectionManager::decode(any.value.clone()).unwrap();
            let names: Vec<_> =
                manager.http_filters.iter().map(|f| f.name.rsplit("filters.").next().unwrap()).collect();
            let _ = writeln!(out, "    http: {}", names.join(", "));
            out += &keys(&manager.access_log);
        } else if any.type_url.ends_with("TcpProxy") {
            let proxy = TcpProxy::decode(any.value.clone()).unwrap();
            let mode = if proxy.upstream_connect_mode == 0 { "" } else { " after the handshake" };
            let _ = writeln!(out, "    tcp{mode}");
            out += &keys(&proxy.access_log);
        } else {
            let _ = writeln!(out, "    {}", filter.name);
        }
    }
    out
}

/// The chains of a listener whose name is `name`.
fn chains(of: &Listener, name: &str) -> String {
    let named = of.filter_chains.iter().chain(&of.default_filter_chain).filter(|c| c.name == name);
    named.fold(String::new(), |mut out, c| {
        let matched = c.filter_chain_match.clone().unwrap_or_default();
        let spoken = if matched.transport_protocol.is_empty() { "any" } else { &matched.transport_protocol };
        let _ =
            writeln!(out, "{}", format!("{spoken} {}", matched.application_protocols.join(",")).trim_end());
        out + &chain(c)
    })
}

fn check(actual: &str, expect: &Expect) {
    expect.assert_eq(actual);
}

#[test]
fn a_stock_envoy_gets_nothing_that_only_istio_proxy_has() {
    let foreign = [
        "istio.stats",
        "istio.alpn",
        "istio.metadata_exchange",
        "io.istio.http",
        "envoy.tcp.metadataexchange",
        "stats.PluginConfig",
    ];
    let holds = |stock: bool| {
        let all = resources(stock, "");
        let has = |name: &&str| all.iter().any(|r| r.body.windows(name.len()).any(|w| w == name.as_bytes()));
        foreign.iter().copied().filter(|name| has(name)).collect::<Vec<_>>()
    };
    assert_eq!(holds(true), Vec::<&str>::new());
    assert_eq!(
        holds(false),
        ["istio.alpn", "istio.metadata_exchange", "io.istio.http", "envoy.tcp.metadataexchange"]
    );
}

#[test]
fn a_stock_envoy_counts_what_it_serves_and_believes_peers_over_mutual_tls_only() {
    check(
        &chains(&listener(true, "", "virtualInbound"), "0.0.0.0_8080"),
        &expect![[r#"
        tls istio,istio-peer-exchange,istio-http/1.0,istio-http/1.1,istio-h2
            http: meltemi.peer, http.grpc_stats, http.fault, http.cors, http.router
                istio_requests_total: dh|%DYNAMIC_METADATA(istio.peer:p)%|%DOWNSTREAM_PEER_URI_SAN%|own.test|%RESPONSE_CODE%|%RESPONSE_FLAGS%
                istio_request_duration_milliseconds: dh|%DYNAMIC_METADATA(istio.peer:p)%|%DOWNSTREAM_PEER_URI_SAN%|own.test|%RESPONSE_CODE%|%RESPONSE_FLAGS%
                istio_request_bytes: dh|%DYNAMIC_METADATA(istio.peer:p)%|%DOWNSTREAM_PEER_URI_SAN%|own.test|%RESPONSE_CODE%|%RESPONSE_FLAGS%
                istio_response_bytes: dh|%DYNAMIC_METADATA(istio.peer:p)%|%DOWNSTREAM_PEER_URI_SAN%|own.test|%RESPONSE_CODE%|%RESPONSE_FLAGS%
                istio_requests_total: dg|%DYNAMIC_METADATA(istio.peer:p)%|%DOWNSTREAM_PEER_URI_SAN%|own.test|%RESPONSE_CODE%|%RESPONSE_FLAGS%|%GRPC_STATUS_NUMBER%
                istio_request_duration_milliseconds: dg|%DYNAMIC_METADATA(istio.peer:p)%|%DOWNSTREAM_PEER_URI_SAN%|own.test|%RESPONSE_CODE%|%RESPONSE_FLAGS%|%GRPC_STATUS_NUMBER%
                istio_request_bytes: dg|%DYNAMIC_METADATA(istio.peer:p)%|%DOWNSTREAM_PEER_URI_SAN%|own.test|%RESPONSE_CODE%|%RESPONSE_FLAGS%|%GRPC_STATUS_NUMBER%
                istio_response_bytes: dg|%DYNAMIC_METADATA(istio.peer:p)%|%DOWNSTREAM_PEER_URI_SAN%|own.test|%RESPONSE_CODE%|%RESPONSE_FLAGS%|%GRPC_STATUS_NUMBER%
        raw_buffer
            http: meltemi.peer_removal, http.grpc_stats, http.fault, http.cors, http.router
                istio_requests_total: dh|%DYNAMIC_METADATA(istio.peer:p)%|%DOWNSTREAM_PEER_URI_SAN%|own.test|%RESPONSE_CODE%|%RESPONSE_FLAGS%
                istio_request_duration_milliseconds: dh|%DYNAMIC_METADATA(istio.peer:p)%|%DOWNSTREAM_PEER_URI_SAN%|own.test|%RESPONSE_CODE%|%RESPONSE_FLAGS%
                istio_request_bytes: dh|%DYNAMIC_METADATA(istio.peer:p)%|%DOWNSTREAM_PEER_URI_SAN%|own.test|%RESPONSE_CODE%|%RESPONSE_FLAGS%
                istio_response_bytes: dh|%DYNAMIC_METADATA(istio.peer:p)%|%DOWNSTREAM_PEER_URI_SAN%|own.test|%RESPONSE_CODE%|%RESPONSE_FLAGS%
                istio_requests_total: dg|%DYNAMIC_METADATA(istio.peer:p)%|%DOWNSTREAM_PEER_URI_SAN%|own.test|%RESPONSE_CODE%|%RESPONSE_FLAGS%|%GRPC_STATUS_NUMBER%
                istio_request_duration_milliseconds: dg|%DYNAMIC_METADATA(istio.peer:p)%|%DOWNSTREAM_PEER_URI_SAN%|own.test|%RESPONSE_CODE%|%RESPONSE_FLAGS%|%GRPC_STATUS_NUMBER%
                istio_request_bytes: dg|%DYNAMIC_METADATA(istio.peer:p)%|%DOWNSTREAM_PEER_URI_SAN%|own.test|%RESPONSE_CODE%|%RESPONSE_FLAGS%|%GRPC_STATUS_NUMBER%
                istio_response_bytes: dg|%DYNAMIC_METADATA(istio.peer:p)%|%DOWNSTREAM_PEER_URI_SAN%|own.test|%RESPONSE_CODE%|%RESPONSE_FLAGS%|%GRPC_STATUS_NUMBER%
    "#]],
    );
}

#[test]
fn a_stock_envoy_logs_tcp_once_the_peer_has_shown_its_certificate() {
    check(
        &chains(&listener(true, "", "virtualInbound"), "0.0.0.0_9090"),
        &expect![[r#"
        tls istio,istio-peer-exchange,istio-http/1.0,istio-http/1.1,istio-h2
            tcp after the handshake
                istio_tcp_connections_opened_total: dt|%DOWNSTREAM_PEER_SUBJECT%|%DOWNSTREAM_PEER_URI_SAN%|own.test|-
                istio_tcp_connections_closed_total: dt|%DOWNSTREAM_PEER_SUBJECT%|%DOWNSTREAM_PEER_URI_SAN%|own.test|%RESPONSE_FLAGS%
                istio_tcp_sent_bytes_total: dt|%DOWNSTREAM_PEER_SUBJECT%|%DOWNSTREAM_PEER_URI_SAN%|own.test|%RESPONSE_FLAGS%
                istio_tcp_received_bytes_total: dt|%DOWNSTREAM_PEER_SUBJECT%|%DOWNSTREAM_PEER_URI_SAN%|own.test|%RESPONSE_FLAGS%
                istio_tcp_connections_opened_total: dt|%DOWNSTREAM_PEER_SUBJECT%|%DOWNSTREAM_PEER_URI_SAN%|own.test|%RESPONSE_FLAGS%
        tls
            tcp
                istio_tcp_connections_opened_total: dt|%DOWNSTREAM_PEER_SUBJECT%|%DOWNSTREAM_PEER_URI_SAN%|own.test|-
                istio_tcp_connections_closed_total: dt|%DOWNSTREAM_PEER_SUBJECT%|%DOWNSTREAM_PEER_URI_SAN%|own.test|%RESPONSE_FLAGS%
                istio_tcp_sent_bytes_total: dt|%DOWNSTREAM_PEER_SUBJECT%|%DOWNSTREAM_PEER_URI_SAN%|own.test|%RESPONSE_FLAGS%
                istio_tcp_received_bytes_total: dt|%DOWNSTREAM_PEER_SUBJECT%|%DOWNSTREAM_PEER_URI_SAN%|own.test|%RESPONSE_FLAGS%
                istio_tcp_connections_opened_total: dt|%DOWNSTREAM_PEER_SUBJECT%|%DOWNSTREAM_PEER_URI_SAN%|own.test|%RESPONSE_FLAGS%
        raw_buffer
            tcp
                istio_tcp_connections_opened_total: dt|%DOWNSTREAM_PEER_SUBJECT%|%DOWNSTREAM_PEER_URI_SAN%|own.test|-
                istio_tcp_connections_closed_total: dt|%DOWNSTREAM_PEER_SUBJECT%|%DOWNSTREAM_PEER_URI_SAN%|own.test|%RESPONSE_FLAGS%
                istio_tcp_sent_bytes_total: dt|%DOWNSTREAM_PEER_SUBJECT%|%DOWNSTREAM_PEER_URI_SAN%|own.test|%RESPONSE_FLAGS%
                istio_tcp_received_bytes_total: dt|%DOWNSTREAM_PEER_SUBJECT%|%DOWNSTREAM_PEER_URI_SAN%|own.test|%RESPONSE_FLAGS%
                istio_tcp_connections_opened_total: dt|%DOWNSTREAM_PEER_SUBJECT%|%DOWNSTREAM_PEER_URI_SAN%|own.test|%RESPONSE_FLAGS%
    "#]],
    );
}

#[test]
fn a_stock_envoy_tells_who_calls_and_offers_alpn_where_http_is_found_out() {
    check(
        &chains(&listener(true, "", "10.1.0.1_81"), ""),
        &expect![[r#"
        raw_buffer http/1.1,h2c
            http: meltemi.peer_announcement, http.grpc_stats, meltemi.alpn, http.fault, http.cors, http.router
                istio_requests_total: sh|%UPSTREAM_METADATA(istio:workload)%|%UPSTREAM_PEER_URI_SAN%|%COALESCE({"operators": ["UPSTREAM_CLUSTER_RAW", {"command": "REQ", "param": ":authority"}]})%|%RESPONSE_CODE%|%RESPONSE_FLAGS%
                istio_request_duration_milliseconds: sh|%UPSTREAM_METADATA(istio:workload)%|%UPSTREAM_PEER_URI_SAN%|%COALESCE({"operators": ["UPSTREAM_CLUSTER_RAW", {"command": "REQ", "param": ":authority"}]})%|%RESPONSE_CODE%|%RESPONSE_FLAGS%
                istio_request_bytes: sh|%UPSTREAM_METADATA(istio:workload)%|%UPSTREAM_PEER_URI_SAN%|%COALESCE({"operators": ["UPSTREAM_CLUSTER_RAW", {"command": "REQ", "param": ":authority"}]})%|%RESPONSE_CODE%|%RESPONSE_FLAGS%
                istio_response_bytes: sh|%UPSTREAM_METADATA(istio:workload)%|%UPSTREAM_PEER_URI_SAN%|%COALESCE({"operators": ["UPSTREAM_CLUSTER_RAW", {"command": "REQ", "param": ":authority"}]})%|%RESPONSE_CODE%|%RESPONSE_FLAGS%
                istio_requests_total: sg|%UPSTREAM_METADATA(istio:workload)%|%UPSTREAM_PEER_URI_SAN%|%COALESCE({"operators": ["UPSTREAM_CLUSTER_RAW", {"command": "REQ", "param": ":authority"}]})%|%RESPONSE_CODE%|%RESPONSE_FLAGS%|%GRPC_STATUS_NUMBER%
                istio_request_duration_milliseconds: sg|%UPSTREAM_METADATA(istio:workload)%|%UPSTREAM_PEER_URI_SAN%|%COALESCE({"operators": ["UPSTREAM_CLUSTER_RAW", {"command": "REQ", "param": ":authority"}]})%|%RESPONSE_CODE%|%RESPONSE_FLAGS%|%GRPC_STATUS_NUMBER%
                istio_request_bytes: sg|%UPSTREAM_METADATA(istio:workload)%|%UPSTREAM_PEER_URI_SAN%|%COALESCE({"operators": ["UPSTREAM_CLUSTER_RAW", {"command": "REQ", "param": ":authority"}]})%|%RESPONSE_CODE%|%RESPONSE_FLAGS%|%GRPC_STATUS_NUMBER%
                istio_response_bytes: sg|%UPSTREAM_METADATA(istio:workload)%|%UPSTREAM_PEER_URI_SAN%|%COALESCE({"operators": ["UPSTREAM_CLUSTER_RAW", {"command": "REQ", "param": ":authority"}]})%|%RESPONSE_CODE%|%RESPONSE_FLAGS%|%GRPC_STATUS_NUMBER%
        any
            tcp
                istio_tcp_connections_opened_total: st|%UPSTREAM_METADATA(istio:workload)%|%UPSTREAM_PEER_URI_SAN%|%UPSTREAM_CLUSTER_RAW%|-
                istio_tcp_connections_closed_total: st|%UPSTREAM_METADATA(istio:workload)%|%UPSTREAM_PEER_URI_SAN%|%UPSTREAM_CLUSTER_RAW%|%RESPONSE_FLAGS%
                istio_tcp_sent_bytes_total: st|%UPSTREAM_METADATA(istio:workload)%|%UPSTREAM_PEER_URI_SAN%|%UPSTREAM_CLUSTER_RAW%|%RESPONSE_FLAGS%
                istio_tcp_received_bytes_total: st|%UPSTREAM_METADATA(istio:workload)%|%UPSTREAM_PEER_URI_SAN%|%UPSTREAM_CLUSTER_RAW%|%RESPONSE_FLAGS%
                istio_tcp_connections_opened_total: st|%UPSTREAM_METADATA(istio:workload)%|%UPSTREAM_PEER_URI_SAN%|%UPSTREAM_CLUSTER_RAW%|%RESPONSE_FLAGS%
    "#]],
    );
}

#[test]
fn telemetry_drops_metrics_and_changes_labels_of_a_stock_envoy() {
    let telemetry = r#"
apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {name: t, namespace: default}
spec:
  metrics:
  - providers: [{name: prometheus}]
    reportingInterval: 5s
    overrides:
    - match: {metric: TCP_SENT_BYTES}
      disabled: true
    - match: {metric: TCP_OPENED_CONNECTIONS, mode: SERVER}
      tagOverrides: {zone: {value: "'a'"}, response_flags: {operation: REMOVE}, foreign: {value: "downstream_peer.app"}}
"#;
    check(
        &chains(&listener(true, telemetry, "virtualInbound"), "0.0.0.0_9090"),
        &expect![[r#"
        tls istio,istio-peer-exchange,istio-http/1.0,istio-http/1.1,istio-h2
            tcp after the handshake
                istio_tcp_connections_opened_total: dt|%DOWNSTREAM_PEER_SUBJECT%|%DOWNSTREAM_PEER_URI_SAN%|own.test|-|-response_flags|+zone=a
                istio_tcp_connections_closed_total: dt|%DOWNSTREAM_PEER_SUBJECT%|%DOWNSTREAM_PEER_URI_SAN%|own.test|%RESPONSE_FLAGS%
                istio_tcp_received_bytes_total: dt|%DOWNSTREAM_PEER_SUBJECT%|%DOWNSTREAM_PEER_URI_SAN%|own.test|%RESPONSE_FLAGS%
                istio_tcp_connections_opened_total: dt|%DOWNSTREAM_PEER_SUBJECT%|%DOWNSTREAM_PEER_URI_SAN%|own.test|%RESPONSE_FLAGS%|-response_flags|+zone=a
                istio_tcp_received_bytes_open: dt|%DOWNSTREAM_PEER_SUBJECT%|%DOWNSTREAM_PEER_URI_SAN%|own.test|-
                istio_tcp_received_bytes_open: dt|%DOWNSTREAM_PEER_SUBJECT%|%DOWNSTREAM_PEER_URI_SAN%|own.test|-
        tls
            tcp
                istio_tcp_connections_opened_total: dt|%DOWNSTREAM_PEER_SUBJECT%|%DOWNSTREAM_PEER_URI_SAN%|own.test|-|-response_flags|+zone=a
                istio_tcp_connections_closed_total: dt|%DOWNSTREAM_PEER_SUBJECT%|%DOWNSTREAM_PEER_URI_SAN%|own.test|%RESPONSE_FLAGS%
                istio_tcp_received_bytes_total: dt|%DOWNSTREAM_PEER_SUBJECT%|%DOWNSTREAM_PEER_URI_SAN%|own.test|%RESPONSE_FLAGS%
                istio_tcp_connections_opened_total: dt|%DOWNSTREAM_PEER_SUBJECT%|%DOWNSTREAM_PEER_URI_SAN%|own.test|%RESPONSE_FLAGS%|-response_flags|+zone=a
                istio_tcp_received_bytes_open: dt|%DOWNSTREAM_PEER_SUBJECT%|%DOWNSTREAM_PEER_URI_SAN%|own.test|-
                istio_tcp_received_bytes_open: dt|%DOWNSTREAM_PEER_SUBJECT%|%DOWNSTREAM_PEER_URI_SAN%|own.test|-
        raw_buffer
            tcp
                istio_tcp_connections_opened_total: dt|%DOWNSTREAM_PEER_SUBJECT%|%DOWNSTREAM_PEER_URI_SAN%|own.test|-|-response_flags|+zone=a
                istio_tcp_connections_closed_total: dt|%DOWNSTREAM_PEER_SUBJECT%|%DOWNSTREAM_PEER_URI_SAN%|own.test|%RESPONSE_FLAGS%
                istio_tcp_received_bytes_total: dt|%DOWNSTREAM_PEER_SUBJECT%|%DOWNSTREAM_PEER_URI_SAN%|own.test|%RESPONSE_FLAGS%
                istio_tcp_connections_opened_total: dt|%DOWNSTREAM_PEER_SUBJECT%|%DOWNSTREAM_PEER_URI_SAN%|own.test|%RESPONSE_FLAGS%|-response_flags|+zone=a
                istio_tcp_received_bytes_open: dt|%DOWNSTREAM_PEER_SUBJECT%|%DOWNSTREAM_PEER_URI_SAN%|own.test|-
                istio_tcp_received_bytes_open: dt|%DOWNSTREAM_PEER_SUBJECT%|%DOWNSTREAM_PEER_URI_SAN%|own.test|-
    "#]],
    );
}

#[test]
fn telemetry_that_disables_all_metrics_disables_a_stock_envoys() {
    let telemetry = r#"
apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {name: t, namespace: default}
spec: {metrics: [{overrides: [{disabled: true}]}]}
"#;
    check(
        &chains(&listener(true, telemetry, "virtualInbound"), "0.0.0.0_8080"),
        &expect![[r#"
        tls istio,istio-peer-exchange,istio-http/1.0,istio-http/1.1,istio-h2
            http: meltemi.peer, http.grpc_stats, http.fault, http.cors, http.router
        raw_buffer
            http: meltemi.peer_removal, http.grpc_stats, http.fault, http.cors, http.router
    "#]],
    );
}

#[test]
fn an_istio_proxy_keeps_its_own_filters() {
    check(
        &chains(&listener(false, "", "virtualInbound"), "0.0.0.0_8080"),
        &expect![[r#"
        tls istio,istio-peer-exchange,istio-http/1.0,istio-http/1.1,istio-h2
            istio.metadata_exchange
            http: istio.metadata_exchange, http.grpc_stats, http.fault, http.cors, http.router
        raw_buffer
            istio.metadata_exchange
            http: istio.metadata_exchange, http.grpc_stats, http.fault, http.cors, http.router
    "#]],
    );
}
