//! The static listeners: Envoy's metrics, the same over mTLS, and health.

use serde_json::{Map, Value, json};

use super::Config;
use super::tls::sds_config;

/// Where a stock Envoy's own metrics are read: the agent expands them, Envoy itself cannot.
pub const EXPANDED_ENVOY_STATS_PATH: &str = "/stats/envoy";

/// Every static listener, in the order of the upstream template.
pub(super) fn all(config: &Config) -> Vec<Value> {
    let node = &config.node;
    let mut out = vec![metrics(config)];
    let secure = node.port("ENVOY_SECURE_METRICS_PORT");
    if secure != 0 {
        let routes = json!([envoy_stats_route(config)]);
        out.push(mtls(config, secure, "secure_stats", &routes));
    }
    let secure_merged = node.port("ENVOY_SECURE_MERGED_METRICS_PORT");
    if secure_merged != 0 {
        let routes = json!([route("/stats/prometheus", "agent"), route("/metrics", "agent")]);
        out.push(mtls(config, secure_merged, "secure_merged_stats", &routes));
    }
    out.push(health(config));
    out
}

fn route(prefix: &str, cluster: &str) -> Value {
    json!({ "match": { "prefix": prefix }, "route": { "cluster": cluster } })
}

/// Istio's proxy answers from its admin interface; a stock Envoy's series go through the agent.
fn envoy_stats_route(config: &Config) -> Value {
    if config.stock.is_none() {
        return route("/stats/prometheus", "prometheus_stats");
    }
    json!({
        "match": { "prefix": "/stats/prometheus" },
        "route": { "cluster": "agent", "prefix_rewrite": EXPANDED_ENVOY_STATS_PATH },
    })
}

fn listener(address: &str, port: u16) -> Map<String, Value> {
    let mut out = Map::new();
    out.insert("name".to_owned(), json!(format!("{address}_{port}")));
    out.insert("address".to_owned(), tcp(address, port));
    out.insert("ignore_global_conn_limit".to_owned(), json!(true));
    out.insert("bypass_overload_manager".to_owned(), json!(true));
    out
}

fn tcp(address: &str, port: u16) -> Value {
    json!({ "socket_address": { "protocol": "TCP", "address": address, "port_value": port } })
}

fn router() -> Value {
    json!({
        "name": "envoy.filters.http.router",
        "typed_config": { "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router" },
    })
}

fn connection_manager(stat_prefix: &str, routes: &Value, http_filters: &[Value]) -> Value {
    json!({
        "name": "envoy.filters.network.http_connection_manager",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            "codec_type": "AUTO",
            "stat_prefix": stat_prefix,
            "route_config": {
                "virtual_hosts": [{ "name": "backend", "domains": ["*"], "routes": routes }],
            },
            "http_filters": http_filters,
        },
    })
}

fn metrics(config: &Config) -> Value {
    let node = &config.node;
    let local_only =
        node.proxy_config.entry("proxyMetadata", "METRICS_LOCALHOST_ACCESS_ONLY") == Some("true");
    let port = node.port("ENVOY_PROMETHEUS_PORT");
    let addresses = &config.addresses;
    let address = if local_only { &addresses.localhost } else { &addresses.wildcard };
    let mut out = listener(address, port);
    if let Some((localhost, wildcard)) = &addresses.second {
        let second = if local_only { localhost } else { wildcard };
        out.insert("additionalAddresses".to_owned(), json!([{ "address": tcp(second, port) }]));
    }
    let mut filters = Vec::new();
    // Compression is on unless ProxyConfig says no.
    if node.proxy_config.get("statsCompression").and_then(Value::as_bool).unwrap_or(true) {
        filters.extend(
            [("brotli", "Brotli"), ("zstd", "Zstd"), ("gzip", "Gzip")]
                .map(|(name, kind)| compressor(name, kind)),
        );
    }
    filters.push(router());
    let manager = connection_manager("stats", &json!([envoy_stats_route(config)]), &filters);
    out.insert("filter_chains".to_owned(), json!([{ "filters": [manager] }]));
    Value::Object(out)
}

fn compressor(name: &str, kind: &str) -> Value {
    json!({
        "name": format!("envoy.filters.http.compressor.{name}"),
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.compressor.v3.Compressor",
            "compressor_library": {
                "name": format!("stats_{name}"),
                "typed_config": {
                    "@type": format!("type.googleapis.com/envoy.extensions.compression.{name}.compressor.v3.{kind}"),
                },
            },
            "response_direction_config": {
                "common_config": {
                    "content_type": [
                        "text/plain",
                        "application/vnd.google.protobuf",
                        "application/openmetrics-text",
                        "application/openmetrics-protobuf",
                    ],
                },
            },
        },
    })
}

fn mtls(config: &Config, port: u16, stat_prefix: &str, routes: &Value) -> Value {
    let mut out = listener(&config.addresses.wildcard, port);
    out.insert(
        "listener_filters".to_owned(),
        json!([{
            "name": "envoy.filters.listener.tls_inspector",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector",
            },
        }]),
    );
    out.insert(
        "filter_chains".to_owned(),
        json!([{
            "filter_chain_match": { "transport_protocol": "tls" },
            "transport_socket": {
                "name": "envoy.transport_sockets.tls",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
                    "require_client_certificate": true,
                    "common_tls_context": {
                        "tls_certificate_sds_secret_configs": [sds_config("default")],
                        "combined_validation_context": {
                            "default_validation_context": {},
                            "validation_context_sds_secret_config": sds_config("ROOTCA"),
                        },
                    },
                },
            },
            "filters": [connection_manager(stat_prefix, routes, &[router()])],
        }]),
    );
    Value::Object(out)
}

fn health(config: &Config) -> Value {
    let port = config.node.port("ENVOY_STATUS_PORT");
    let mut out = listener(&config.addresses.wildcard, port);
    if let Some((_, wildcard)) = &config.addresses.second {
        out.insert("additionalAddresses".to_owned(), json!([{ "address": tcp(wildcard, port) }]));
    }
    if config.status_port_proxy_protocol {
        out.insert(
            "listener_filters".to_owned(),
            json!([{
                "name": "envoy.listener.proxy_protocol",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol",
                    "allow_requests_without_proxy_protocol": true,
                },
            }]),
        );
    }
    let manager = connection_manager("agent", &json!([route("/healthz/ready", "agent")]), &[router()]);
    out.insert("filter_chains".to_owned(), json!([{ "filters": [manager] }]));
    Value::Object(out)
}
