//! Where streams go and what destination rules say of them
//! (as pilot/pkg/networking/core/networkfilter.go: `buildOutboundNetworkFilters`).

use config::networking::{DestinationRule, HashKey, LbPolicy, LoadBalancerSettings, RouteDestination};
use mesh::rules::Rule;
use mesh::services::{Port, Service};
use mesh::settings::Settings;
use mesh::world::World;
use proto::envoy::extensions::filters::network::tcp_proxy::v3::tcp_proxy::{
    ClusterSpecifier, TunnelingConfig, WeightedCluster, weighted_cluster::ClusterWeight,
};
use tables::{Level, Reads};

use super::tcp::Tcp;
use crate::Proxy;
use crate::clusters::stat_prefix;
use crate::encoded::duration;
use crate::routes::domains::with_port;
use crate::routes::http::cluster_of;

/// The destinations of streams, as a proxy sees them.
pub(crate) struct Destinations<'a, L: Level> {
    /// How the world is read.
    pub(crate) r: &'a Reads<L>,
    /// The world.
    pub(crate) world: &'a World,
    /// The proxy.
    pub(crate) proxy: &'a Proxy,
    /// Settings of the mesh.
    pub(crate) settings: &'a Settings,
}

impl<L: Level> Destinations<'_, L> {
    /// The destination rule of a service.
    pub(crate) fn rule(&self, service: &Service) -> Option<Rule> {
        mesh::rules::for_host(self.r, self.world, &self.proxy.namespace, service, &self.proxy.labels)
    }

    /// To the destinations of the virtual service `namespace`, `name`; the first one's rule counts for all.
    pub(crate) fn routed<'s, 't>(
        &self,
        to: &[RouteDestination],
        (namespace, name): (&str, &str),
        port: &Port,
        named: impl Fn(&str) -> Option<&'s Service>,
    ) -> Tcp<'t> {
        let named = |d: &RouteDestination| d.destination.as_ref().and_then(|d| named(&d.host));
        let cluster = |d: &RouteDestination| match &d.destination {
            Some(to) => cluster_of(to, named(d), port.number),
            None => "UnknownService".to_owned(),
        };
        let service = to.first().and_then(named);
        let rule = service.and_then(|service| self.rule(service));
        let rule = rule.as_ref().map(|rule| &*rule.rule);
        let (mut tcp, subset) = if let [only] = to {
            let subset = only.destination.as_ref().map_or("", |d| d.subset.as_str());
            let mut tcp = Tcp::to(cluster(only));
            if let Some(service) = service {
                tcp.stat_prefix = self.stat_prefix(service, subset, port, &tcp.stat_prefix);
            }
            (tcp, subset)
        } else {
            let weighted = to.iter().filter_map(|d| match u32::try_from(d.weight) {
                Ok(weight) if weight > 0 => {
                    Some(ClusterWeight { name: cluster(d), weight, ..ClusterWeight::default() })
                }
                _ => None,
            });
            let clusters = WeightedCluster { clusters: weighted.collect() };
            let destination = ClusterSpecifier::WeightedClusters(clusters);
            (Tcp { destination, ..Tcp::to(format!("{name}.{namespace}")) }, "")
        };
        tcp.follow(rule, subset);
        tcp.tunnel_by(rule, subset);
        tcp
    }

    /// The cluster's name, unless the mesh has a pattern for it.
    pub(crate) fn stat_prefix(&self, service: &Service, subset: &str, port: &Port, cluster: &str) -> String {
        let pattern = &self.settings.mesh.outbound_cluster_stat_name;
        if pattern.is_empty() { cluster.to_owned() } else { stat_prefix(pattern, service, subset, port, 0) }
    }
}

impl Tcp<'_> {
    /// Timeouts and the hash of the source address, as the rule asks.
    pub(crate) fn follow(&mut self, rule: Option<&DestinationRule>, subset: &str) {
        let Some(rule) = rule else { return };
        let whole = rule.traffic_policy.as_ref();
        let pool = whole.and_then(|p| p.connection_pool.as_ref()).and_then(|p| p.tcp.as_ref());
        self.idle_timeout = pool.and_then(|p| p.idle_timeout).map(duration);
        self.max_duration = pool.and_then(|p| p.max_connection_duration).map(duration);
        let own = rule.subsets.iter().find(|s| s.name == subset).and_then(|s| s.traffic_policy.as_ref());
        let balancer = own.and_then(|p| p.load_balancer.as_ref());
        let balancer = balancer.or_else(|| whole.and_then(|p| p.load_balancer.as_ref()));
        self.hash_source = balancer.is_some_and(hashes_source);
    }

    /// The tunnel that the rule asks for, through the destination.
    pub(crate) fn tunnel_by(&mut self, rule: Option<&DestinationRule>, subset: &str) {
        let Some(rule) = rule else { return };
        let policy = if subset.is_empty() {
            rule.traffic_policy.as_ref()
        } else {
            rule.subsets.iter().find(|s| s.name == subset).and_then(|s| s.traffic_policy.as_ref())
        };
        self.tunnel = policy.and_then(|p| p.tunnel.as_ref()).map(|t| TunnelingConfig {
            hostname: with_port(&t.target_host, t.target_port),
            use_post: t.protocol == "POST",
            ..TunnelingConfig::default()
        });
    }
}

fn hashes_source(balancer: &LoadBalancerSettings) -> bool {
    match &balancer.lb_policy {
        Some(LbPolicy::ConsistentHash(hash)) => matches!(hash.hash_key, Some(HashKey::UseSourceIp(true))),
        _ => false,
    }
}
