//! Network filters that end in a TCP proxy (as pilot/pkg/networking/core/networkfilter.go).

use config::protocol::Protocol;
use proto::envoy::config::listener::v3::{Filter, filter::ConfigType};
use proto::envoy::extensions::filters::network::mongo_proxy::v3::MongoProxy;
use proto::envoy::extensions::filters::network::redis_proxy::v3::{RedisProxy, redis_proxy};
use proto::envoy::extensions::filters::network::tcp_proxy::v3::{TcpProxy, UpstreamConnectMode, tcp_proxy};
use proto::envoy::r#type::v3::{HashPolicy, hash_policy};
use proto::google::protobuf::Duration;

use super::Filters;
use crate::encoded::{duration, seconds, u32_value};

/// What differs between TCP proxies of one class.
pub(crate) struct Tcp<'a> {
    /// Prefix of the statistics: the cluster, or made by `outboundClusterStatName`; of weighted destinations
    /// `name.namespace` of the virtual service.
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
    /// Whether authorization holds (all but TLS that a gateway passes on by SNI).
    pub(crate) guarded: bool,
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
            guarded: true,
        }
    }
}

impl Filters<'_> {
    /// The filters of a chain in order: metadata exchange, policies, metrics, protocol filters, TCP proxy.
    pub(crate) fn tcp_proxy_chain(&self, of: Tcp<'_>) -> Vec<Filter> {
        let switches = &self.settings.switches;
        let mut out = Vec::with_capacity(4);
        if of.exchange {
            out.extend(self.exchange());
        }
        if of.guarded {
            out.extend(self.authorization.tcp.iter().cloned());
        }
        // Here: extensions of users.
        out.extend(self.tcp_metrics.iter().cloned());
        out.extend(of.before);
        let prefix = of.stat_prefix.clone();
        match of.protocol {
            Protocol::Mongo if switches.pilot_enable_mongo_filter => {
                let config = MongoProxy { stat_prefix: prefix, ..MongoProxy::default() };
                out.push(filter("envoy.filters.network.mongo_proxy", &config));
            }
            Protocol::Redis if switches.pilot_enable_redis_filter => {
                // It routes by itself; no TCP proxy follows.
                out.push(filter("envoy.filters.network.redis_proxy", &redis(prefix, &of.destination)));
                return out;
            }
            _ => {}
        }
        let mut proxy = TcpProxy {
            stat_prefix: of.stat_prefix,
            cluster_specifier: Some(of.destination),
            // Black holes, which are not logged, have none.
            idle_timeout: of.idle_timeout.or(self.idle_timeout.filter(|_| of.logged)),
            max_downstream_connection_duration: of.max_duration,
            tunneling_config: of.tunnel,
            ..TcpProxy::default()
        };
        if of.hash_source {
            let source = hash_policy::PolicySpecifier::SourceIp(hash_policy::SourceIp::default());
            proxy.hash_policy = vec![HashPolicy { policy_specifier: Some(source) }];
        }
        if of.logged {
            proxy.access_log.clone_from(&self.logs.tcp);
        }
        if let Some(metrics) = &self.stock {
            proxy.access_log.extend(metrics.tcp(of.served));
            proxy.access_log_options = Some(tcp_proxy::TcpAccessLogOptions {
                flush_access_log_on_connected: true,
                access_log_flush_interval: metrics.interval.map(duration),
                ..tcp_proxy::TcpAccessLogOptions::default()
            });
            if of.mutual_tls {
                // Otherwise the upstream is connected, and that is logged, before the peer has shown its certificate.
                proxy.upstream_connect_mode = UpstreamConnectMode::OnDownstreamTlsHandshake.into();
                proxy.max_early_data_bytes = u32_value(0);
            }
        }
        out.push(filter("envoy.filters.network.tcp_proxy", &proxy));
        out
    }

    /// Metadata exchange with downstreams, for proxies that can.
    pub(crate) fn exchange(&self) -> Option<Filter> {
        let can = self.settings.switches.pilot_enable_metadata_exchange
            && self.proxy.capabilities.metadata_exchange;
        can.then(super::tcp_metadata_exchange)
    }

    /// Drops connections (as `blackholeFilterChain`): metrics, then a cluster without endpoints, unlogged.
    pub(crate) fn black_hole(&self, exchange: bool) -> Vec<Filter> {
        let mut out = Vec::new();
        if exchange {
            out.extend(self.exchange());
        }
        out.extend(self.tcp_metrics.iter().cloned());
        let proxy = TcpProxy {
            stat_prefix: BLACK_HOLE.into(),
            cluster_specifier: Some(tcp_proxy::ClusterSpecifier::Cluster(BLACK_HOLE.into())),
            ..TcpProxy::default()
        };
        out.push(filter("envoy.filters.network.tcp_proxy", &proxy));
        out
    }
}

/// The cluster without endpoints.
const BLACK_HOLE: &str = "BlackHoleCluster";

fn filter<M: prost::Message + prost::Name>(name: &str, config: &M) -> Filter {
    Filter { name: name.into(), config_type: Some(ConfigType::TypedConfig(proto::any(config))) }
}

fn redis(stat_prefix: String, destination: &tcp_proxy::ClusterSpecifier) -> RedisProxy {
    let cluster = match destination {
        tcp_proxy::ClusterSpecifier::Cluster(name) => name.clone(),
        tcp_proxy::ClusterSpecifier::WeightedClusters(all) => {
            all.clusters.first().map(|c| c.name.clone()).unwrap_or_default()
        }
    };
    RedisProxy {
        latency_in_micros: true,
        stat_prefix,
        settings: Some(redis_proxy::ConnPoolSettings {
            op_timeout: Some(seconds(5)),
            ..redis_proxy::ConnPoolSettings::default()
        }),
        prefix_routes: Some(redis_proxy::PrefixRoutes {
            catch_all_route: Some(redis_proxy::prefix_routes::Route {
                cluster,
                ..redis_proxy::prefix_routes::Route::default()
            }),
            ..redis_proxy::PrefixRoutes::default()
        }),
        ..RedisProxy::default()
    }
}
