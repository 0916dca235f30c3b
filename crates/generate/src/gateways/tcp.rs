//! Network filters of gateway servers without HTTP: TCP proxies to the destinations of virtual services
//! (as pilot/pkg/networking/core/networkfilter.go: `buildOutboundNetworkFilters`).

use config::networking::{
    Destination, DestinationRule, HashKey, LbPolicy, LoadBalancerSettings, RouteDestination,
};
use mesh::rules::Rule;
use mesh::services::{Port, Service};
use mesh::settings::Settings;
use proto::envoy::config::listener::v3::Filter;
use proto::envoy::extensions::filters::network::tcp_proxy::v3::tcp_proxy::{
    ClusterSpecifier, TunnelingConfig, WeightedCluster, weighted_cluster::ClusterWeight,
};
use tables::Level;

use super::Server;
use super::bound::View;
use crate::clusters::stat_name;
use crate::encoded::duration;
use crate::filters::Filters;
use crate::filters::tcp::Tcp;
use crate::routes::http::cluster_of;

/// The destination rule of a service, as this gateway sees it.
pub(super) fn rule<L: Level>(view: &View<'_, L>, service: &Service) -> Option<Rule> {
    mesh::rules::for_host(view.r, view.world, &view.proxy.namespace, service, &view.proxy.labels)
}

/// The filters of a server that leads to these destinations, by order of the virtual service `name`.
pub(super) fn filters<L: Level>(
    view: &View<'_, L>,
    filters: &Filters<'_>,
    server: &Server,
    routes: &[RouteDestination],
    (namespace, name): (&str, &str),
    exchange: bool,
) -> Vec<Filter> {
    let host = |d: &RouteDestination| d.destination.as_ref().and_then(|d| view.service(&d.host));
    let cluster = |d: &RouteDestination, service: Option<&Service>| match &d.destination {
        Some(destination) => cluster_of(destination, service, server.port),
        None => "UnknownService".to_owned(),
    };
    let service = routes.first().and_then(host);
    let rule = service.and_then(|s| rule(view, s));
    let rule = rule.as_ref().map(|r| &*r.rule);
    let port = port(server);
    let mut tcp = if let [only] = routes {
        let name = cluster(only, service);
        let none = Destination::default();
        let subset = &only.destination.as_ref().unwrap_or(&none).subset;
        let settings = crate::settings(view.r, view.world);
        let stat_prefix =
            service.and_then(|s| stat_prefix(settings, s, subset, &port)).unwrap_or_else(|| name.clone());
        let mut tcp = Tcp { stat_prefix, ..Tcp::to(name) };
        apply(&mut tcp, rule, subset);
        tunnel(&mut tcp, rule, subset);
        tcp
    } else {
        let clusters: Vec<ClusterWeight> = routes
            .iter()
            .filter(|d| d.weight > 0)
            .map(|d| ClusterWeight {
                name: cluster(d, host(d)),
                weight: u32::try_from(d.weight).unwrap_or(0),
                ..ClusterWeight::default()
            })
            .collect();
        if clusters.is_empty() {
            return Vec::new();
        }
        let mut tcp = Tcp {
            destination: ClusterSpecifier::WeightedClusters(WeightedCluster { clusters }),
            ..Tcp::to(format!("{name}.{namespace}"))
        };
        apply(&mut tcp, rule, "");
        tunnel(&mut tcp, rule, "");
        tcp
    };
    tcp.protocol = server.protocol;
    tcp.exchange = exchange;
    filters.tcp_proxy_chain(tcp)
}

/// The filters towards one SNI cluster of a service: connections that are passed on as they are.
pub(super) fn sni_filters(
    filters: &Filters<'_>,
    settings: &Settings,
    service: &Service,
    subset: &str,
    port: &Port,
    rule: Option<&DestinationRule>,
    cluster: &str,
) -> Vec<Filter> {
    let stat_prefix = stat_prefix(settings, service, subset, port).unwrap_or_else(|| cluster.to_owned());
    let mut tcp = Tcp { stat_prefix, ..Tcp::to(cluster) };
    apply(&mut tcp, rule, subset);
    tcp.protocol = port.protocol;
    tcp.guarded = false;
    filters.tcp_proxy_chain(tcp)
}

/// The port of a server in the form of a service's.
fn port(server: &Server) -> Port {
    let name = server.spec.port.as_ref().map_or("", |p| &p.name);
    Port { name: name.into(), number: server.port, protocol: server.protocol }
}

/// `outboundClusterStatName` filled in, if the mesh has one.
fn stat_prefix(settings: &Settings, service: &Service, subset: &str, port: &Port) -> Option<String> {
    let pattern = &settings.mesh.outbound_cluster_stat_name;
    let mut name = (!pattern.is_empty()).then(|| stat_name(pattern, service, subset, port, 0))?;
    name.truncate(name.trim_end_matches(';').len());
    Some(name)
}

/// Timeouts and the hash of the source address.
fn apply(tcp: &mut Tcp<'_>, rule: Option<&DestinationRule>, subset: &str) {
    let Some(rule) = rule else { return };
    let whole = rule.traffic_policy.as_ref();
    let pool = whole.and_then(|p| p.connection_pool.as_ref()).and_then(|p| p.tcp.as_ref());
    tcp.idle_timeout = pool.and_then(|p| p.idle_timeout).map(duration);
    tcp.max_duration = pool.and_then(|p| p.max_connection_duration).map(duration);
    let own = rule.subsets.iter().find(|s| s.name == subset).and_then(|s| s.traffic_policy.as_ref());
    let balancer =
        own.and_then(|p| p.load_balancer.as_ref()).or_else(|| whole.and_then(|p| p.load_balancer.as_ref()));
    tcp.hash_source = balancer.is_some_and(hashes_source);
}

fn hashes_source(balancer: &LoadBalancerSettings) -> bool {
    match &balancer.lb_policy {
        Some(LbPolicy::ConsistentHash(hash)) => matches!(hash.hash_key, Some(HashKey::UseSourceIp(true))),
        _ => false,
    }
}

/// A tunnel through the destination, which the rule asks for.
fn tunnel(tcp: &mut Tcp<'_>, rule: Option<&DestinationRule>, subset: &str) {
    let Some(rule) = rule else { return };
    let policy = if subset.is_empty() {
        rule.traffic_policy.as_ref()
    } else {
        rule.subsets.iter().find(|s| s.name == subset).and_then(|s| s.traffic_policy.as_ref())
    };
    let settings = policy.and_then(|p| p.tunnel.as_ref());
    tcp.tunnel = settings.map(|t| TunnelingConfig {
        hostname: crate::routes::domains::with_port(&t.target_host, t.target_port),
        use_post: t.protocol == "POST",
        ..TunnelingConfig::default()
    });
}
