//! The static clusters: the agent, its sockets, and the collectors that ProxyConfig names.

use serde_json::{Map, Value, json};

use super::tls::transport_socket;
use super::{BootstrapError, Config, service_cluster};

/// The SDS socket for files when workload certificates come from somebody else's SDS server.
const FILES_SOCKET: &str = "./var/run/secrets/credential-uds/files-socket";

/// Every static cluster, in the order of the upstream template.
pub(super) fn all(config: &Config) -> Result<Vec<Value>, BootstrapError> {
    let node = &config.node;
    let proxy = &node.proxy_config;
    let local = &config.addresses.localhost;
    let socket =
        format!("./var/run/secrets/workload-spiffe-uds/{}", node.text("WORKLOAD_IDENTITY_SOCKET_FILE"));
    let mut out = vec![
        loopback("prometheus_stats", local, proxy.port("proxyAdminPort")),
        loopback("agent", local, proxy.port("statusPort")),
        grpc_pipe("sds-grpc", &socket),
    ];
    if node.metadata.contains_key("file-credential") {
        out.push(grpc_pipe("sds-files-grpc", FILES_SOCKET));
    }
    out.push(xds(proxy.text("configPath")));
    if let Some(tracer) = Tracer::of(config) {
        out.push(tracer.cluster(config)?);
    }
    for (field, name) in [
        ("envoyMetricsService", "envoy_metrics_service"),
        ("envoyAccessLogService", "envoy_accesslog_service"),
    ] {
        let Some(service) = proxy.get(field) else { continue };
        if service.get("address").and_then(Value::as_str).is_some_and(|address| !address.is_empty()) {
            out.push(collector(config, service, field, name)?);
        }
    }
    if node.flag("ENABLE_SELF_DISCOVERY") {
        out.push(local_cluster());
    }
    Ok(out)
}

fn loopback(name: &str, address: &str, port: u16) -> Value {
    json!({
        "name": name,
        "alt_stat_name": format!("{name};"),
        "type": "STATIC",
        "connect_timeout": "0.250s",
        "lb_policy": "ROUND_ROBIN",
        "load_assignment": assignment(
            name,
            &json!({ "socket_address": { "protocol": "TCP", "address": address, "port_value": port } }),
        ),
    })
}

fn assignment(name: &str, address: &Value) -> Value {
    json!({
        "cluster_name": name,
        "endpoints": [{ "lb_endpoints": [{ "endpoint": { "address": address } }] }],
    })
}

fn http2() -> Value {
    json!({
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
            "explicit_http_config": { "http2_protocol_options": {} },
        },
    })
}

fn grpc_pipe(name: &str, path: &str) -> Value {
    json!({
        "name": name,
        "alt_stat_name": format!("{name};"),
        "type": "STATIC",
        "typed_extension_protocol_options": http2(),
        "connect_timeout": "1s",
        "lb_policy": "ROUND_ROBIN",
        "load_assignment": assignment(name, &json!({ "pipe": { "path": path } })),
    })
}

fn xds(config_path: &str) -> Value {
    let threshold = |priority: &str| {
        json!({
            "priority": priority,
            "max_connections": 100_000,
            "max_pending_requests": 100_000,
            "max_requests": 100_000,
        })
    };
    let mut cluster = grpc_pipe("xds-grpc", &format!("{config_path}/XDS"));
    if let Some(fields) = cluster.as_object_mut() {
        fields.insert(
            "circuit_breakers".to_owned(),
            json!({ "thresholds": [threshold("DEFAULT"), threshold("HIGH")] }),
        );
        fields.insert(
            "upstream_connection_options".to_owned(),
            json!({ "tcp_keepalive": { "keepalive_time": 300 } }),
        );
        fields.insert("max_requests_per_connection".to_owned(), json!(1));
    }
    cluster
}

/// The tracer of ProxyConfig that has an own static cluster.
enum Tracer<'a> {
    Zipkin(&'a str),
    Lightstep(&'a str),
    Datadog(&'a str),
}

impl<'a> Tracer<'a> {
    fn of(config: &'a Config) -> Option<Self> {
        let tracing = config.node.proxy_config.get("tracing")?;
        let address =
            |name: &str| tracing.get(name)?.get("address")?.as_str().filter(|address| !address.is_empty());
        address("zipkin")
            .map(Tracer::Zipkin)
            .or_else(|| address("lightstep").map(Tracer::Lightstep))
            .or_else(|| address("datadog").map(Tracer::Datadog))
    }

    fn cluster(&self, config: &Config) -> Result<Value, BootstrapError> {
        let (name, address, http2_wanted) = match self {
            Tracer::Zipkin(address) => ("zipkin", address, false),
            Tracer::Lightstep(address) => ("lightstep", address, true),
            Tracer::Datadog(address) => ("datadog_agent", address, false),
        };
        let tls = config.node.proxy_config.get("tracing").and_then(|tracing| tracing.get("tlsSettings"));
        let socket = tls.and_then(|tls| transport_socket(tls, "tracer", &config.node, http2_wanted));
        let mut cluster = dns_cluster(config, name, "tracing", address)?;
        if let Some(fields) = cluster.as_object_mut() {
            if let Some(socket) = socket {
                fields.insert("transport_socket".to_owned(), socket);
            }
            if http2_wanted {
                fields.insert("typed_extension_protocol_options".to_owned(), http2());
            }
            if matches!(self, Tracer::Zipkin(_)) {
                fields.insert("dns_refresh_rate".to_owned(), json!("30s"));
            }
        }
        Ok(cluster)
    }
}

/// `tracing` of the bootstrap for the tracer of ProxyConfig.
pub(super) fn tracing(config: &Config) -> Option<Value> {
    let provider = match Tracer::of(config)? {
        Tracer::Zipkin(_) => json!({
            "name": "envoy.tracers.zipkin",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.config.trace.v3.ZipkinConfig",
                "collector_cluster": "zipkin",
                "collector_endpoint": "/api/v2/spans",
                "collector_endpoint_version": "HTTP_JSON",
                "trace_id_128bit": true,
                "shared_span_context": false,
            },
        }),
        Tracer::Lightstep(_) => json!({
            "name": "envoy.tracers.lightstep",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.config.trace.v3.LightstepConfig",
                "collector_cluster": "lightstep",
                "access_token_file": lightstep_token_file(config),
            },
        }),
        Tracer::Datadog(_) => json!({
            "name": "envoy.tracers.datadog",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.config.trace.v3.DatadogConfig",
                "collector_cluster": "datadog_agent",
                "service_name": service_cluster(&config.node),
            },
        }),
    };
    Some(json!({ "http": provider }))
}

/// Where the Lightstep token is written for Envoy to read.
pub(super) fn lightstep_token_file(config: &Config) -> String {
    format!("{}/lightstep_access_token.txt", config.node.proxy_config.text("configPath"))
}

fn dns_cluster(
    config: &Config,
    name: &str,
    field: &'static str,
    address: &str,
) -> Result<Value, BootstrapError> {
    Ok(json!({
        "name": name,
        "alt_stat_name": format!("{name};"),
        "type": "STRICT_DNS",
        "respect_dns_ttl": true,
        "dns_lookup_family": config.addresses.dns_lookup_family,
        "connect_timeout": "1s",
        "lb_policy": "ROUND_ROBIN",
        "load_assignment": assignment(name, &json!({ "socket_address": socket_address(config, field, address)? })),
    }))
}

fn collector(
    config: &Config,
    service: &Value,
    field: &'static str,
    name: &str,
) -> Result<Value, BootstrapError> {
    let address = service.get("address").and_then(Value::as_str).unwrap_or_default();
    let mut cluster = dns_cluster(config, name, field, address)?;
    let Some(fields) = cluster.as_object_mut() else { return Ok(cluster) };
    fields.insert("typed_extension_protocol_options".to_owned(), http2());
    let tls = service.get("tlsSettings");
    if let Some(socket) = tls.and_then(|tls| transport_socket(tls, name, &config.node, true)) {
        fields.insert("transport_socket".to_owned(), socket);
    }
    if let Some(keepalive) = service.get("tcpKeepalive").and_then(tcp_keepalive) {
        fields.insert("upstream_connection_options".to_owned(), keepalive);
    }
    Ok(cluster)
}

fn tcp_keepalive(settings: &Value) -> Option<Value> {
    let seconds = |field: &str| {
        let duration = crate::environment::parse_duration(settings.get(field)?.as_str()?)?;
        (duration.as_secs() > 0).then(|| Value::from(duration.as_secs()))
    };
    let probes = settings.get("probes").and_then(crate::proxy_config::number_of).filter(|probes| *probes > 0);
    let mut out = Map::new();
    for (name, value) in [
        ("keepalive_probes", probes.map(Value::from)),
        ("keepalive_time", seconds("time")),
        ("keepalive_interval", seconds("interval")),
    ] {
        if let Some(value) = value {
            out.insert(name.to_owned(), value);
        }
    }
    Some(json!({ "tcp_keepalive": out }))
}

fn local_cluster() -> Value {
    json!({
        "name": "local_cluster",
        "alt_stat_name": "local_cluster;",
        "type": "EDS",
        "connect_timeout": "1s",
        "load_balancing_policy": {
            "policies": [{
                "typed_extension_config": {
                    "name": "envoy.load_balancing_policies.least_request",
                    "typed_config": {
                        "@type": "type.googleapis.com/envoy.extensions.load_balancing_policies.least_request.v3.LeastRequest",
                        "locality_lb_config": { "zone_aware_lb_config": { "min_cluster_size": "1" } },
                    },
                },
            }],
        },
        "eds_cluster_config": {
            "eds_config": { "ads": {}, "resource_api_version": "V3" },
            "service_name": "local_cluster",
        },
    })
}

/// `stats_sinks`: the metrics service and statsd, where they are configured.
pub(super) fn stats_sinks(config: &Config) -> Result<Option<Value>, BootstrapError> {
    let proxy = &config.node.proxy_config;
    let mut sinks = Vec::new();
    let service = proxy.get("envoyMetricsService").and_then(|service| service.get("address"));
    if service.and_then(Value::as_str).is_some_and(|address| !address.is_empty()) {
        sinks.push(json!({
            "name": "envoy.stat_sinks.metrics_service",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.config.metrics.v3.MetricsServiceConfig",
                "transport_api_version": "V3",
                "grpc_service": { "envoy_grpc": { "cluster_name": "envoy_metrics_service" } },
            },
        }));
    }
    let statsd = proxy.text("statsdUdpAddress");
    if !statsd.is_empty() {
        sinks.push(json!({
            "name": "envoy.stat_sinks.statsd",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.config.metrics.v3.StatsdSink",
                "address": { "socket_address": socket_address(config, "statsdUdpAddress", statsd)? },
            },
        }));
    }
    Ok((!sinks.is_empty()).then_some(Value::Array(sinks)))
}

/// `host:port`, with the host's address where `$(HOST_IP)` stands.
fn socket_address(config: &Config, field: &'static str, address: &str) -> Result<Value, BootstrapError> {
    let bad = || BootstrapError::Address { field, address: address.to_owned() };
    let (host, port) = address.rsplit_once(':').ok_or_else(bad)?;
    let port: u16 = port.parse().map_err(|_| bad())?;
    let host = match host.strip_prefix('[') {
        Some(v6) => v6.strip_suffix(']').ok_or_else(bad)?,
        None if host.contains(':') => return Err(bad()),
        None => host,
    };
    let host = match (&config.host_ip, host) {
        (Some(ip), "$(HOST_IP)") if !ip.is_empty() => ip.as_str(),
        _ => host,
    };
    Ok(json!({ "address": host, "port_value": port }))
}
