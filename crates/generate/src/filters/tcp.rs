//! Network filters that end in a TCP proxy (as pilot/pkg/networking/core/networkfilter.go).

use config::protocol::Protocol;
use proto::envoy::config::listener::v3::{Filter, filter::ConfigType};
use proto::envoy::extensions::filters::network::tcp_proxy::v3::{TcpProxy, tcp_proxy};
use proto::google::protobuf::Duration;

use super::Filters;

/// What differs between TCP proxies of one class.
pub(crate) struct Tcp<'a> {
    /// Prefix of the statistics: the cluster, or made by `outboundClusterStatName`; of weighted destinations `name.namespace` of the virtual
    /// service.
    pub(crate) stat_prefix: String,
    /// Clusters with weights; one cluster if there is one and it has no weight.
    pub(crate) destination: tcp_proxy::ClusterSpecifier,
    /// Idle timeout of the destination rule; without one the proxy's own is taken.
    pub(crate) idle_timeout: Option<Duration>,
    /// `maxConnectionDuration` of the destination rule.
    pub(crate) max_duration: Option<Duration>,
    /// Whether the destination is chosen by the source address (`consistentHash.useSourceIp`).
    pub(crate) hash_source: bool,
    /// Tunnel of the destination rule.
    pub(crate) tunnel: Option<tcp_proxy::TunnelingConfig>,
    /// Protocol of the service port: some have a filter of their own.
    pub(crate) protocol: Protocol,
    /// Whether peers exchange metadata on this listener (inbound always; outbound never, there the cluster does it).
    pub(crate) exchange: bool,
    /// Whether connections are written to the access log (all but black holes).
    pub(crate) logged: bool,
    /// Whether the chain ends mutual TLS of the mesh (inbound).
    pub(crate) mutual_tls: bool,
    /// Host of the service that is served (inbound), empty if none; only stock proxies are told.
    pub(crate) served: &'a str,
    /// Filters directly before the TCP proxy (dynamic resolution by SNI).
    pub(crate) before: Vec<Filter>,
}

impl Tcp<'_> {
    /// To one cluster, with the cluster's name as prefix.
    pub(crate) fn to(cluster: impl Into<String>) -> Self {
        let cluster = cluster.into();
        Self {
            stat_prefix: cluster.clone(),
            destination: tcp_proxy::ClusterSpecifier::Cluster(cluster),
            idle_timeout: None,
            max_duration: None,
            hash_source: false,
            tunnel: None,
            protocol: Protocol::Tcp,
            exchange: false,
            logged: true,
            mutual_tls: false,
            served: "",
            before: Vec::new(),
        }
    }
}

impl Filters<'_> {
    /// The filters of a chain in order: metadata exchange, policies, metrics, protocol filters, TCP proxy.
    pub(crate) fn tcp_proxy_chain(&self, of: Tcp<'_>) -> Vec<Filter> {
        let proxy = TcpProxy {
            stat_prefix: of.stat_prefix,
            cluster_specifier: Some(of.destination),
            idle_timeout: of.idle_timeout,
            max_downstream_connection_duration: of.max_duration,
            tunneling_config: of.tunnel,
            ..TcpProxy::default()
        };
        let _ = (of.hash_source, of.protocol, of.exchange, of.logged, of.mutual_tls, of.served);
        let mut out = of.before;
        out.push(Filter {
            name: "envoy.filters.network.tcp_proxy".into(),
            config_type: Some(ConfigType::TypedConfig(proto::any(&proxy))),
        });
        out
    }
}
