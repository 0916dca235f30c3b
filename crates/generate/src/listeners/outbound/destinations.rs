//! Where streams go, as network filters: clusters, what destination rules say of them, tunnels
//! (as pilot/pkg/networking/core/networkfilter.go).

use config::networking::{DestinationRule, HashKey, LbPolicy, LoadBalancerSettings, RouteDestination};
use mesh::rules::Rule;
use mesh::services::{Port, Service};
use proto::envoy::config::core::v3::Metadata;
use proto::envoy::config::listener::v3::{Filter, filter::ConfigType};
use proto::envoy::extensions::common::dynamic_forward_proxy::v3::DnsCacheConfig;
use proto::envoy::extensions::filters::network::sni_dynamic_forward_proxy::v3::{
    FilterConfig as SniForwardProxy, filter_config::PortSpecifier,
};
use proto::envoy::extensions::filters::network::tcp_proxy::v3::tcp_proxy::{
    ClusterSpecifier, TunnelingConfig, WeightedCluster, weighted_cluster::ClusterWeight,
};
use proto::google::protobuf::{Struct, Value, value::Kind};
use tables::Level;

use super::Outbound;
use super::chains::{Streams, To};
use crate::clusters::{DNS_CACHE_SUFFIX, lookup_family, stat_name, subset_key};
use crate::encoded::duration;
use crate::filters::tcp::Tcp;
use crate::scope::Named;

impl<'a, L: Level> Outbound<'a, L> {
    /// The TCP proxy of a chain.
    pub(super) fn tcp_proxy(&self, streams: &Streams<'a>) -> Tcp<'a> {
        let mut tcp = match streams.to {
            To::Service(service, number) => self.direct(service, number, streams),
            To::Routed(to, of) => self.routed(to, of, &streams.port),
        };
        tcp.protocol = streams.port.protocol;
        tcp
    }

    fn rule(&self, service: &Service) -> Option<Rule> {
        mesh::rules::for_host(self.r, self.world, &self.proxy.namespace, service, &self.proxy.labels)
    }

    fn direct(&self, service: &Service, number: u32, streams: &Streams<'a>) -> Tcp<'a> {
        let cluster = subset_key("outbound", number, "", service.key.hostname.as_str());
        let port = Port { name: "".into(), number, protocol: streams.port.protocol };
        let mut tcp = Tcp { stat_prefix: self.stat_prefix(service, "", &port, &cluster), ..Tcp::to(cluster) };
        apply_rule(&mut tcp, self.rule(service).as_ref().map(|rule| &*rule.rule), "");
        if streams.by_name() {
            tcp.before.push(self.resolve_by_name(service, streams.port.number));
        }
        tcp
    }

    /// The first destination's rule counts for all.
    fn routed(&self, to: &[RouteDestination], of: &Named, port: &Port) -> Tcp<'a> {
        let named = |d: &RouteDestination| d.destination.as_ref().and_then(|d| self.service_named(&d.host));
        let cluster = |d: &RouteDestination| match &d.destination {
            Some(to) => crate::routes::http::cluster_of(to, named(d), port.number),
            None => "UnknownService".to_owned(),
        };
        let service = to.first().and_then(named);
        let rule = service.and_then(|service| self.rule(service));
        let rule = rule.as_ref().map(|rule| &*rule.rule);
        if let [only] = to {
            let subset = only.destination.as_ref().map_or("", |d| d.subset.as_str());
            let mut tcp = Tcp::to(cluster(only));
            if let Some(service) = service {
                tcp.stat_prefix = self.stat_prefix(service, subset, port, &tcp.stat_prefix);
            }
            apply_rule(&mut tcp, rule, subset);
            return tcp;
        }
        let weighted = to.iter().filter_map(|d| match u32::try_from(d.weight) {
            Ok(weight) if weight > 0 => {
                Some(ClusterWeight { name: cluster(d), weight, ..ClusterWeight::default() })
            }
            _ => None,
        });
        let mut tcp = Tcp {
            stat_prefix: format!("{}.{}", of.1, of.0),
            destination: ClusterSpecifier::WeightedClusters(WeightedCluster { clusters: weighted.collect() }),
            ..Tcp::to("")
        };
        apply_rule(&mut tcp, rule, "");
        tcp
    }

    fn service_named(&self, host: &str) -> Option<&'a Service> {
        let scoped = self.scope.service(host)?;
        self.world.services.get(self.r, &scoped.key).map(|row| &**row)
    }

    /// The cluster's name, unless the mesh has a pattern for it.
    fn stat_prefix(&self, service: &Service, subset: &str, port: &Port, cluster: &str) -> String {
        let pattern = &self.settings.mesh.outbound_cluster_stat_name;
        if pattern.is_empty() {
            return cluster.to_owned();
        }
        let mut name = stat_name(pattern, service, subset, port, 0);
        name.truncate(name.len() - 1);
        name
    }

    /// Looks up the name that a TLS client asks for.
    fn resolve_by_name(&self, service: &Service, port: u32) -> Filter {
        let config = SniForwardProxy {
            dns_cache_config: Some(DnsCacheConfig {
                name: format!("{}{DNS_CACHE_SUFFIX}", service.key.hostname.as_str()),
                dns_lookup_family: lookup_family(self.proxy, self.settings).into(),
                ..DnsCacheConfig::default()
            }),
            port_specifier: Some(PortSpecifier::PortValue(port)),
            ..SniForwardProxy::default()
        };
        Filter {
            name: "envoy.extensions.filters.network.sni_dynamic_forward_proxy".into(),
            config_type: Some(ConfigType::TypedConfig(proto::any(&config))),
        }
    }
}

/// What a destination rule says of streams: timeouts, hash of the source, tunnel.
fn apply_rule(tcp: &mut Tcp<'_>, rule: Option<&DestinationRule>, subset: &str) {
    let Some(rule) = rule else { return };
    let whole = rule.traffic_policy.as_ref();
    let own = rule.subsets.iter().find(|s| s.name == subset).and_then(|s| s.traffic_policy.as_ref());
    let pool = whole.and_then(|p| p.connection_pool.as_ref()).and_then(|p| p.tcp.as_ref());
    tcp.idle_timeout = pool.and_then(|p| p.idle_timeout).map(duration);
    tcp.max_duration = pool.and_then(|p| p.max_connection_duration).map(duration);
    let balancer =
        own.and_then(|p| p.load_balancer.as_ref()).or_else(|| whole.and_then(|p| p.load_balancer.as_ref()));
    tcp.hash_source = balancer.is_some_and(hashes_source);
    let tunnel = if subset.is_empty() { whole } else { own }.and_then(|p| p.tunnel.as_ref());
    tcp.tunnel = tunnel.map(|t| TunnelingConfig {
        hostname: if t.target_host.contains(':') {
            format!("[{}]:{}", t.target_host, t.target_port)
        } else {
            format!("{}:{}", t.target_host, t.target_port)
        },
        use_post: t.protocol == "POST",
        ..TunnelingConfig::default()
    });
}

fn hashes_source(balancer: &LoadBalancerSettings) -> bool {
    match &balancer.lb_policy {
        Some(LbPolicy::ConsistentHash(hash)) => matches!(hash.hash_key, Some(HashKey::UseSourceIp(true))),
        _ => false,
    }
}

/// Names the object that a chain comes from (as pilot/pkg/networking/util: `BuildConfigInfoMetadata`).
pub(super) fn config_metadata((namespace, name): &Named) -> Metadata {
    let path = format!("/apis/networking.istio.io/v1/namespaces/{namespace}/virtual-service/{name}");
    let fields = [("config".to_owned(), Value { kind: Some(Kind::StringValue(path)) })].into();
    Metadata { filter_metadata: [("istio".to_owned(), Struct { fields })].into(), ..Metadata::default() }
}
