//! Clusters that no service declares: black hole, passthrough, dynamic forward proxies.

use config::mesh::{MeshConfig, OutboundTrafficPolicyMode};
use config::networking::{ClientTlsSettingsTlsMode, ConnectionPoolSettings};
use config::protocol::Protocol;
use mesh::World;
use mesh::services::{Port, Service};
use mesh::settings::Settings;
use proto::envoy::config::cluster::v3::Cluster;
use proto::envoy::config::cluster::v3::cluster::{
    ClusterDiscoveryType, CustomClusterType, DiscoveryType, DnsLookupFamily, LbPolicy,
};
use proto::envoy::config::core::v3::{
    BindConfig, ExtraSourceAddress, Http1ProtocolOptions, Http2ProtocolOptions, HttpProtocolOptions,
    SocketAddress, TypedExtensionConfig, socket_address::PortSpecifier,
};
use proto::envoy::extensions::clusters::dynamic_forward_proxy::v3::{
    ClusterConfig, cluster_config::ClusterImplementationSpecifier,
};
use proto::envoy::extensions::common::dynamic_forward_proxy::v3::DnsCacheConfig;
use proto::envoy::extensions::network::dns_resolver::cares::v3::CaresDnsResolverConfig;
use proto::envoy::extensions::upstreams::http::v3::{
    HttpProtocolOptions as Options, http_protocol_options as options,
};
use tables::{Level, Reads};

use super::build::{Draft, preserve_case_options, preserves_case};
use super::pool;
use crate::encoded::{duration, seconds};
use crate::proxy::{IpMode, Proxy, ProxyKind};
use crate::scope::Scope;

/// Source address of inbound passthrough, by which iptables knows it.
const PASSTHROUGH_V4: &str = "127.0.0.6";
const PASSTHROUGH_V6: &str = "::6";

/// Clusters after those of services, in upstream's order.
pub(super) fn outbound<L: Level>(r: &Reads<L>, world: &World, proxy: &Proxy, scope: &Scope) -> Vec<Cluster> {
    let settings = crate::settings(r, world);
    let mut out = vec![black_hole(&settings.mesh)];
    if proxy.kind == ProxyKind::Sidecar {
        out.push(passthrough(proxy, settings, true));
        if scope.outbound_policy == OutboundTrafficPolicyMode::AllowAnyDynamicDns {
            out.push(any_host(proxy, settings));
        }
    }
    out
}

/// The cluster of hosts that nobody declared, resolved per request (as `buildAllowAnyDFPCluster`).
fn any_host(proxy: &Proxy, settings: &Settings) -> Cluster {
    let mesh = &*settings.mesh;
    let wanted = mesh.outbound_traffic_policy.as_ref().and_then(|p| p.tls.as_ref());
    let plain = wanted.is_none_or(|t| t.mode == ClientTlsSettingsTlsMode::Disable);
    let mut draft = Draft::new("AllowAnyDynamicDNSCluster".into(), DiscoveryType::Static);
    draft.cluster.common_lb_config = None;
    draft.set_policy(LbPolicy::ClusterProvided);
    draft.dynamic_forward = true;
    draft.cluster.cluster_discovery_type = Some(custom(&ClusterConfig {
        cluster_implementation_specifier: Some(ClusterImplementationSpecifier::DnsCacheConfig(
            any_host_cache(proxy, settings),
        )),
        allow_insecure_cluster_options: plain,
        ..ClusterConfig::default()
    }));
    let default = ConnectionPoolSettings::default();
    pool::apply(&mut draft, mesh, &default, None, !settings.switches.disable_track_remaining_cb_metrics);
    draft.http = Some(downstream_options(proxy, mesh));
    if let Some(wanted) = wanted.filter(|_| !plain) {
        super::tls::apply_plain(&mut draft, wanted, proxy, mesh);
    }
    draft.add_metadata_exchange(proxy, settings.switches.pilot_enable_metadata_exchange);
    draft.finish()
}

/// The DNS cache that this cluster shares with its filters (as `buildAllowAnyDynamicDNSDNSCacheConfig`): where the
/// agent answers DNS, it is asked.
pub(crate) fn any_host_cache(proxy: &Proxy, settings: &Settings) -> DnsCacheConfig {
    let mut cache = DnsCacheConfig {
        name: "allow_any_dfp_dns_cache".into(),
        max_hosts: crate::encoded::u32_value(settings.switches.pilot_allow_any_dynamic_dns_max_hosts),
        dns_lookup_family: lookup_family(proxy, settings).into(),
        ..DnsCacheConfig::default()
    };
    if proxy.dns_capture {
        let told = proxy.meta("DNS_PROXY_ADDR").and_then(|a| a.rsplit_once(':'));
        let parsed = told.and_then(|(host, port)| Some((host, port.parse().ok()?)));
        let (host, port) = parsed.unwrap_or(("127.0.0.1", 15053));
        let host = if host == "localhost" { "127.0.0.1" } else { host };
        cache.typed_dns_resolver_config = Some(TypedExtensionConfig {
            name: "envoy.network.dns_resolver.cares".into(),
            typed_config: Some(proto::any(&CaresDnsResolverConfig {
                resolvers: vec![crate::endpoints::address(host, port)],
                ..CaresDnsResolverConfig::default()
            })),
        });
    }
    cache
}

fn black_hole(mesh: &MeshConfig) -> Cluster {
    Cluster {
        name: "BlackHoleCluster".into(),
        alt_stat_name: "BlackHoleCluster;".into(),
        cluster_discovery_type: Some(ClusterDiscoveryType::Type(DiscoveryType::Static.into())),
        connect_timeout: mesh.connect_timeout.map(duration),
        lb_policy: LbPolicy::RoundRobin.into(),
        ..Cluster::default()
    }
}

fn passthrough(proxy: &Proxy, settings: &Settings, exchange: bool) -> Cluster {
    let mesh = &*settings.mesh;
    let mut draft = Draft::new("PassthroughCluster".into(), DiscoveryType::OriginalDst);
    draft.cluster.common_lb_config = None;
    draft.set_policy(LbPolicy::ClusterProvided);
    let default = ConnectionPoolSettings::default();
    let connections = mesh.default_traffic_policy.as_ref().and_then(|p| p.connection_pool.as_ref());
    let track = !settings.switches.disable_track_remaining_cb_metrics;
    pool::apply(&mut draft, mesh, connections.unwrap_or(&default), None, track);
    // Upstream packs the HTTP options before the pool is applied: they stay as they were.
    draft.http = Some(downstream_options(proxy, mesh));
    if exchange {
        draft.add_metadata_exchange(proxy, settings.switches.pilot_enable_metadata_exchange);
    }
    draft.finish()
}

/// The downstream's protocol, connections idle for five minutes at most.
fn downstream_options(proxy: &Proxy, mesh: &MeshConfig) -> Options {
    let http1 =
        if preserves_case(proxy, mesh) { preserve_case_options() } else { Http1ProtocolOptions::default() };
    Options {
        common_http_protocol_options: Some(HttpProtocolOptions {
            idle_timeout: Some(seconds(300)),
            ..HttpProtocolOptions::default()
        }),
        upstream_protocol_options: Some(options::UpstreamProtocolOptions::UseDownstreamProtocolConfig(
            options::UseDownstreamHttpConfig {
                http_protocol_options: Some(http1),
                http2_protocol_options: Some(Http2ProtocolOptions::default()),
                ..options::UseDownstreamHttpConfig::default()
            },
        )),
        ..Options::default()
    }
}

/// `InboundPassthroughCluster`: to the port that was called, from an address that iptables lets through.
pub(super) fn inbound_passthrough<L: Level>(r: &Reads<L>, world: &World, proxy: &Proxy) -> Cluster {
    let settings = crate::settings(r, world);
    let mut cluster = passthrough(proxy, settings, false);
    cluster.name = "InboundPassthroughCluster".into();
    cluster.upstream_bind_config = Some(bind(proxy, proxy.ip_mode == IpMode::Dual));
    cluster
}

fn source(address: &str) -> SocketAddress {
    SocketAddress {
        address: address.into(),
        port_specifier: Some(PortSpecifier::PortValue(0)),
        ..SocketAddress::default()
    }
}

/// Bind configuration of inbound clusters; `both` adds the other family.
pub(super) fn bind(proxy: &Proxy, both: bool) -> BindConfig {
    let first = if proxy.ip_mode == IpMode::V6 { PASSTHROUGH_V6 } else { PASSTHROUGH_V4 };
    let extra = ExtraSourceAddress { address: Some(source(PASSTHROUGH_V6)), ..ExtraSourceAddress::default() };
    BindConfig {
        source_address: Some(source(first)),
        extra_source_addresses: if both { vec![extra] } else { Vec::new() },
        ..BindConfig::default()
    }
}

/// As pilot/pkg/networking/util/util.go: `SelectDNSLookupFamily`.
pub(crate) fn lookup_family(proxy: &Proxy, settings: &Settings) -> DnsLookupFamily {
    let switches = &settings.switches;
    match proxy.ip_mode {
        IpMode::V4 => DnsLookupFamily::V4Only,
        IpMode::V6 if switches.istio_enable_ipv4_outbound_listener_for_ipv6_clusters => DnsLookupFamily::All,
        IpMode::V6 => DnsLookupFamily::V6Only,
        IpMode::Dual if switches.istio_dual_stack => DnsLookupFamily::All,
        IpMode::Dual => DnsLookupFamily::V4Only,
    }
}

/// Protocols that a dynamic forward proxy can carry.
pub(super) fn forwards(protocol: Protocol) -> bool {
    matches!(protocol, Protocol::Http | Protocol::Tls | Protocol::Grpc | Protocol::Http2)
}

/// The cluster of a wildcard host resolved per request (as `buildDFPCluster`).
pub(super) fn dynamic_forward(proxy: &Proxy, service: &Service, port: &Port, mesh: &MeshConfig) -> Draft {
    let host = service.key.hostname.as_str();
    let name = super::subset_key("outbound", port.number, "", host);
    let mut draft = Draft::new(name, DiscoveryType::Static);
    draft.cluster.common_lb_config = None;
    draft.set_policy(LbPolicy::ClusterProvided);
    let family = if proxy.ip_mode == IpMode::V6 { DnsLookupFamily::V6Only } else { DnsLookupFamily::V4Only };
    let cache = DnsCacheConfig {
        name: format!("{host}{DNS_CACHE_SUFFIX}"),
        dns_lookup_family: family.into(),
        ..DnsCacheConfig::default()
    };
    draft.cluster.cluster_discovery_type = Some(custom(&ClusterConfig {
        cluster_implementation_specifier: Some(ClusterImplementationSpecifier::DnsCacheConfig(cache)),
        ..ClusterConfig::default()
    }));
    draft.dynamic_forward = true;
    draft.set_upstream_protocol(proxy, port, preserves_case(proxy, mesh));
    draft
}

/// Suffix of DNS cache names (as pilot/pkg/model/service.go: `BuildDNSCacheName`).
pub(crate) const DNS_CACHE_SUFFIX: &str = "_dfp_dns_cache";

fn custom(config: &ClusterConfig) -> ClusterDiscoveryType {
    ClusterDiscoveryType::ClusterType(CustomClusterType {
        name: "envoy.clusters.dynamic_forward_proxy".into(),
        typed_config: Some(proto::any(config)),
    })
}

/// Lets a dynamic forward proxy cluster use TLS without automatic SNI and SAN checks.
pub(super) fn allow_insecure(cluster: &mut Cluster) {
    let Some(ClusterDiscoveryType::ClusterType(kind)) = cluster.cluster_discovery_type.as_mut() else {
        return;
    };
    let Some(any) = kind.typed_config.as_ref() else { return };
    if let Ok(mut config) = <ClusterConfig as prost::Message>::decode(any.value.clone()) {
        config.allow_insecure_cluster_options = true;
        cluster.cluster_discovery_type = Some(custom(&config));
    }
}
