//! Network filters of gateway servers without HTTP: TCP proxies to the destinations of virtual services.

use config::networking::RouteDestination;
use mesh::services::{Port, Service};
use proto::envoy::config::listener::v3::Filter;
use tables::Level;

use super::Server;
use super::bound::View;
use crate::filters::Filters;
use crate::filters::destinations::Destinations;
use crate::filters::tcp::Tcp;

/// The destinations, as this gateway sees them.
pub(super) fn destinations<'a, L: Level>(view: &View<'a, L>) -> Destinations<'a, L> {
    let settings = crate::settings(view.r, view.world);
    Destinations { r: view.r, world: view.world, proxy: view.proxy, settings }
}

/// The filters of a server that leads to these destinations, by order of a virtual service (`namespace`, `name`);
/// none if no destination of several has a weight.
pub(super) fn filters<L: Level>(
    view: &View<'_, L>,
    filters: &Filters<'_>,
    server: &Server,
    routes: &[RouteDestination],
    of: (&str, &str),
    exchange: bool,
) -> Vec<Filter> {
    if routes.len() != 1 && routes.iter().all(|d| d.weight <= 0) {
        return Vec::new();
    }
    let mut tcp = destinations(view).routed(routes, of, &port(server), |host| view.service(host));
    tcp.protocol = server.protocol;
    tcp.exchange = exchange;
    filters.tcp_proxy_chain(tcp)
}

/// The filters towards one SNI cluster of a service: connections that are passed on as they are, in no tunnel.
pub(super) fn sni_filters<L: Level>(
    destinations: &Destinations<'_, L>,
    filters: &Filters<'_>,
    service: &Service,
    subset: &str,
    port: &Port,
    rule: Option<&config::networking::DestinationRule>,
    cluster: &str,
) -> Vec<Filter> {
    let stat_prefix = destinations.stat_prefix(service, subset, port, cluster);
    let mut tcp = Tcp { stat_prefix, ..Tcp::to(cluster) };
    tcp.follow(rule, subset);
    tcp.protocol = port.protocol;
    tcp.guarded = false;
    filters.tcp_proxy_chain(tcp)
}

/// The port of a server in the form of a service's.
fn port(server: &Server) -> Port {
    let name = server.spec.port.as_ref().map_or("", |p| &p.name);
    Port { name: name.into(), number: server.port, protocol: server.protocol }
}
