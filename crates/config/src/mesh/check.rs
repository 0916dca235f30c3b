//! What a mesh configuration may not say: values that are well written but would break proxies.

use std::net::IpAddr;

use super::{ConnectionSettings, Gw, MeshConfig, MeshNetworks, Ne, Network, ProxyConfig, Tracer};
use crate::duration::Duration;
use crate::host;
use crate::mesh::ClusterName;

/// What is wrong: path of the field, message, hint.
pub(super) type Finding = (String, String, &'static str);

/// The refusals of one object.
#[derive(Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn add(&mut self, path: impl Into<String>, message: impl Into<String>, hint: &'static str) {
        self.0.push((path.into(), message.into(), hint));
    }

    fn port(&mut self, path: impl Into<String>, port: i64) {
        if !(1..=65535).contains(&port) {
            self.add(path, format!("{port} is not a port"), "1 to 65535");
        }
    }

    /// A span that is at least a millisecond and whole in `unit`.
    fn span(&mut self, path: &str, span: Option<Duration>, unit: Duration) {
        let span = span.unwrap_or_default();
        if span < Duration::from_millis(1) {
            self.add(path, format!("{span} is too short"), "at least 1ms");
        } else if span.as_nanos() % unit.as_nanos() != 0 {
            self.add(path, format!("{span} is too precise"), "round it");
        }
    }

    fn address(&mut self, path: &str, address: &str) {
        if !is_address(address) {
            self.add(path, format!("{address:?} is not an address"), "write it like host:port");
        }
    }

    fn trust_domain(&mut self, path: String, domain: &str) {
        if !host::is_name(domain) {
            self.add(path, format!("{domain:?} is not a trust domain"), "write it like a DNS name");
        }
    }
}

/// Whether a text is `host:port`.
///
/// As `pkg/config/validation/agent: ValidateProxyAddress`.
fn is_address(text: &str) -> bool {
    let Some((name, port)) = text.rsplit_once(':') else { return false };
    let inner = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
    let known = match inner {
        Some(inner) => inner.parse::<IpAddr>().is_ok(),
        None => host::is_name(name),
    };
    known && port.parse::<u16>().is_ok_and(|port| port > 0)
}

/// Whether a text is an address or a network of addresses.
fn is_network(text: &str) -> bool {
    let Some((ip, bits)) = text.split_once('/') else { return text.parse::<IpAddr>().is_ok() };
    let most = match ip.parse::<IpAddr>() {
        Ok(IpAddr::V4(_)) => 32,
        Ok(IpAddr::V6(_)) => 128,
        Err(_) => return false,
    };
    bits.len() <= 3
        && bits.bytes().all(|b| b.is_ascii_digit())
        && bits.parse::<u8>().is_ok_and(|bits| bits <= most)
}

/// What is wrong with a mesh configuration.
///
/// As `pkg/config/validation/agent: ValidateMeshConfig`.
pub(super) fn mesh_config(mesh: &MeshConfig) -> Vec<Finding> {
    let mut out = Findings::default();
    out.port("proxyListenPort", mesh.proxy_listen_port.into());
    out.span("connectTimeout", mesh.connect_timeout, Duration::from_millis(1));
    if mesh.connect_timeout > Some(Duration::from_secs(3600)) {
        out.add("connectTimeout", "it is too long", "at most 1h");
    }
    if mesh.protocol_detection_timeout.is_some_and(|span| span.as_nanos() % 1_000_000 != 0) {
        out.add("protocolDetectionTimeout", "it is too precise", "round it to milliseconds");
    }
    out.trust_domain("trustDomain".to_owned(), &mesh.trust_domain);
    for (index, alias) in mesh.trust_domain_aliases.iter().enumerate() {
        out.trust_domain(format!("trustDomainAliases[{index}]"), alias);
    }
    for (index, settings) in mesh.service_settings.iter().enumerate() {
        for (at, name) in settings.hosts.iter().enumerate() {
            if !host::is_name_or_wildcard(name) {
                let path = format!("serviceSettings[{index}].hosts[{at}]");
                out.add(path, format!("{name:?} is not a host"), "write a name or *.name");
            }
        }
    }
    if mesh.mesh_mtls.as_ref().is_some_and(|tls| !tls.ecdh_curves.is_empty()) {
        out.add("meshMTLS.ecdhCurves", "curves cannot be chosen here", "set tlsDefaults.ecdhCurves");
    }
    if let Some(retry) = &mesh.default_inbound_http_retry_policy
        && retry.attempts == 0
        && retry.backoff.is_some()
    {
        let message = "there is no backoff without attempts";
        out.add("defaultInboundHttpRetryPolicy.backoff", message, "remove it or set attempts");
    }
    match &mesh.default_config {
        Some(config) => proxy_config(config, &mut out),
        None => out.add("defaultConfig", "it is missing", ""),
    }
    out.0
}

fn proxy_config(config: &ProxyConfig, out: &mut Findings) {
    let mut filled = |name: &str, value: &str| {
        if value.is_empty() {
            out.add(format!("defaultConfig.{name}"), "it must not be empty", "");
        }
    };
    filled("configPath", &config.config_path);
    filled("binaryPath", &config.binary_path);
    match &config.cluster_name {
        Some(ClusterName::ServiceCluster(name)) => filled("serviceCluster", name),
        Some(ClusterName::TracingServiceName(_)) => {}
        None => out.add("defaultConfig", "serviceCluster or tracingServiceName must be set", ""),
    }
    out.span("defaultConfig.drainDuration", config.drain_duration, Duration::from_secs(1));
    out.address("defaultConfig.discoveryAddress", &config.discovery_address);
    out.port("defaultConfig.proxyAdminPort", config.proxy_admin_port.into());
    out.port("defaultConfig.statusPort", config.status_port.into());
    let service = |service: &Option<super::RemoteService>| service.as_ref().map(|s| s.address.clone());
    let optional = [
        ("defaultConfig.statsdUdpAddress", Some(config.statsd_udp_address.clone())),
        ("defaultConfig.envoyMetricsServiceAddress", Some(config.envoy_metrics_service_address.clone())),
        ("defaultConfig.envoyMetricsService.address", service(&config.envoy_metrics_service)),
        ("defaultConfig.envoyAccessLogService.address", service(&config.envoy_access_log_service)),
    ];
    for (path, address) in optional {
        if let Some(address) = address.filter(|address| !address.is_empty()) {
            out.address(path, &address);
        }
    }
    if let Some(settings) = &config.connection_settings {
        connection_settings(settings, out);
    }
    let tracer = config.tracing.as_ref().and_then(|tracing| tracing.tracer.as_ref());
    // agents put the address of the node in place of the variable
    let on_node = |address: &str| address.replacen("$(HOST_IP)", "127.0.0.1", 1);
    match tracer {
        Some(Tracer::Zipkin(zipkin)) => {
            out.address("defaultConfig.tracing.zipkin.address", &on_node(&zipkin.address));
        }
        Some(Tracer::Datadog(datadog)) => {
            out.address("defaultConfig.tracing.datadog.address", &on_node(&datadog.address));
        }
        Some(Tracer::Lightstep(lightstep)) => {
            out.address("defaultConfig.tracing.lightstep.address", &lightstep.address);
        }
        _ => {}
    }
}

fn connection_settings(settings: &ConnectionSettings, out: &mut Findings) {
    let numbers = [
        ("listenerPerConnectionBufferLimitBytes", settings.listener_per_connection_buffer_limit_bytes, 0),
        ("clusterPerConnectionBufferLimitBytes", settings.cluster_per_connection_buffer_limit_bytes, 0),
        ("httpMaxConcurrentStreams", settings.http_max_concurrent_streams, 1),
        ("http2InitialStreamWindowSize", settings.http2_initial_stream_window_size, 65_535),
        ("http2InitialConnectionWindowSize", settings.http2_initial_connection_window_size, 65_535),
        ("listenerConnectionLimit", settings.listener_connection_limit, 1),
        ("globalDownstreamConnectionLimit", settings.global_downstream_connection_limit, 1),
    ];
    for (name, number, least) in numbers {
        if let Some(number) = number.filter(|number| *number < least) {
            let hint = if least == 65_535 { "at least 65535" } else { "write a larger number" };
            out.add(
                format!("defaultConfig.connectionSettings.{name}"),
                format!("{number} is too small"),
                hint,
            );
        }
    }
    let spans = [
        ("httpIdleTimeout", settings.http_idle_timeout),
        ("httpMaxConnectionDuration", settings.http_max_connection_duration),
        ("httpDrainTimeout", settings.http_drain_timeout),
        ("httpRequestTimeout", settings.http_request_timeout),
        ("httpRequestHeadersTimeout", settings.http_request_headers_timeout),
        ("httpStreamIdleTimeout", settings.http_stream_idle_timeout),
        ("httpMaxStreamDuration", settings.http_max_stream_duration),
    ];
    for (name, span) in spans {
        if let Some(span) = span.filter(|span| *span < Duration::ZERO) {
            out.add(format!("defaultConfig.connectionSettings.{name}"), format!("{span} is negative"), "");
        }
    }
}

/// What is wrong with the networks of a mesh.
///
/// As `pkg/config/validation/agent: ValidateMeshNetworks`; `hosts` says whether addresses of gateways may be names.
pub(super) fn mesh_networks(networks: &MeshNetworks, hosts: bool) -> Vec<Finding> {
    let mut out = Findings::default();
    for (name, each) in &networks.networks {
        network(&format!("networks.{name}"), each, hosts, &mut out);
    }
    out.0
}

fn network(path: &str, network: &Network, hosts: bool, out: &mut Findings) {
    for (index, endpoints) in network.endpoints.iter().enumerate() {
        match &endpoints.ne {
            Some(Ne::FromCidr(cidr)) if !is_network(cidr) => {
                let path = format!("{path}.endpoints[{index}].fromCidr");
                out.add(path, format!("{cidr:?} is not a network"), "write it like 10.0.0.0/8");
            }
            Some(Ne::FromRegistry(registry)) if !crate::labels::is_dns_label(registry) => {
                let path = format!("{path}.endpoints[{index}].fromRegistry");
                out.add(path, format!("{registry:?} is not the name of a registry"), "");
            }
            _ => {}
        }
    }
    for (index, gateway) in network.gateways.iter().enumerate() {
        let path = format!("{path}.gateways[{index}]");
        match &gateway.gw {
            Some(Gw::RegistryServiceName(name)) if !host::is_name(name) => {
                let path = format!("{path}.registryServiceName");
                out.add(path, format!("{name:?} is not the name of a service"), "");
            }
            Some(Gw::Address(address)) if address.parse::<IpAddr>().is_err() && !host::is_name(address) => {
                let path = format!("{path}.address");
                out.add(path, format!("{address:?} is neither an address nor a name"), "");
            }
            Some(Gw::Address(address)) if !hosts && address.parse::<IpAddr>().is_err() => {
                let hint = "RESOLVE_HOSTNAME_GATEWAYS=true allows names";
                out.add(format!("{path}.address"), format!("{address:?} is not an address"), hint);
            }
            _ => {}
        }
        out.port(format!("{path}.port"), gateway.port.into());
    }
}
