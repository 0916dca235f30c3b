//! Several networks: endpoints elsewhere are reached through their network's gateways
//! (as pilot/pkg/xds/endpoints/ep_filters.go: `EndpointsByNetworkFilter`).

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use config::label;
use mesh::World;
use mesh::networks::{NetworkGateway, NetworkGateways};
use mesh::workloads::Attributes;
use proto::envoy::config::core::v3::Metadata;
use proto::envoy::config::endpoint::v3::{
    Endpoint, LbEndpoint, LocalityLbEndpoints, lb_endpoint::HostIdentifier,
};
use tables::{Level, Reads};

use super::{Group, address, metadata, weigh};
use crate::encoded::u32_value;
use crate::proxy::{IpMode, Proxy, ProxyKind};

/// Replaces endpoints of other networks by gateways. Weights are scaled so that they can be shared evenly. A gateway that
/// is known by name keeps it in clusters whose names the proxy resolves itself (`dns`): an endpoint of any other has to
/// be an address (as pilot/pkg/model/network.go: `NetworkManager`, resolved and `Unresolved`).
pub(super) fn split<L: Level>(
    r: &Reads<L>,
    world: &World,
    proxy: &Proxy,
    groups: Vec<Group>,
    dns: bool,
) -> Vec<Group> {
    let of = |row: &NetworkGateways| if dns { row.gateways.clone() } else { row.resolved.clone() };
    let by_network: BTreeMap<Arc<str>, Vec<NetworkGateway>> =
        world.networks.all(r).map(|(network, row)| (network.clone(), of(row))).collect();
    if by_network.values().all(Vec::is_empty) {
        return groups.into_iter().map(reachable).collect();
    }
    let scale = scale(&by_network);
    groups.into_iter().map(|group| rewrite(proxy, &by_network, scale, &group)).collect()
}

/// The least common multiple of the gateway counts, per network and per (network, cluster).
fn scale(by_network: &BTreeMap<Arc<str>, Vec<NetworkGateway>>) -> u32 {
    let mut counts = Vec::new();
    for gateways in by_network.values().filter(|g| !g.is_empty()) {
        counts.push(gateways.len());
        let mut clusters: BTreeMap<&str, usize> = BTreeMap::new();
        for gateway in gateways {
            *clusters.entry(&gateway.cluster).or_default() += 1;
        }
        counts.extend(clusters.into_values());
    }
    let gcd = |mut a: usize, mut b: usize| {
        while b != 0 {
            (a, b) = (b, a % b);
        }
        a
    };
    let lcm = counts.into_iter().fold(1, |a, b| a / gcd(a, b) * b);
    u32::try_from(lcm).unwrap_or(1)
}

/// Gateways of an endpoint's network, those of its own cluster if there are any. A sidecar knows nothing of gateways that
/// only speak HBONE (as `selectNetworkGateways`).
fn gateways_to(proxy: &Proxy, gateways: &[NetworkGateway], cluster: &str) -> Vec<NetworkGateway> {
    let own: Vec<_> = gateways.iter().filter(|g| *g.cluster == *cluster).cloned().collect();
    let mut chosen = if own.is_empty() { gateways.to_vec() } else { own };
    chosen.retain(|gateway| gateway.port != 0 || proxy.kind != ProxyKind::Sidecar);
    chosen
}

/// Whether a proxy has the family of an address; names it resolves itself (as `filterGatewaysByIPFamily`).
fn has_family(proxy: &Proxy, address: &str) -> bool {
    let family = address.parse::<IpAddr>().map(|ip| ip.to_canonical());
    !matches!((family, proxy.ip_mode), (Ok(IpAddr::V4(_)), IpMode::V6) | (Ok(IpAddr::V6(_)), IpMode::V4))
}

/// Whether an endpoint can be called directly: a WorkloadEntry of another network may leave its address to the gateway.
fn has_address(row: &mesh::endpoints::Endpoint) -> bool {
    row.addresses.first().is_some_and(|address| !address.is_empty())
}

/// The endpoints of a group that have an address.
fn reachable(mut group: Group) -> Group {
    if group.rows.iter().all(|row| has_address(row)) {
        return group;
    }
    let all = std::mem::take(&mut group.rows).into_iter().zip(std::mem::take(&mut group.built.lb_endpoints));
    (group.rows, group.built.lb_endpoints) = all.filter(|(row, _)| has_address(row)).unzip();
    weigh(&mut group.built);
    group
}

fn rewrite(
    proxy: &Proxy,
    by_network: &BTreeMap<Arc<str>, Vec<NetworkGateway>>,
    scale: u32,
    group: &Group,
) -> Group {
    let mut out = Group {
        rows: Vec::new(),
        built: LocalityLbEndpoints { lb_endpoints: Vec::new(), ..group.built.clone() },
    };
    let mut shares: BTreeMap<NetworkGateway, u32> = BTreeMap::new();
    for (row, endpoint) in group.rows.iter().zip(&group.built.lb_endpoints) {
        let gateways =
            by_network.get(&row.network).map(|g| gateways_to(proxy, g, &row.cluster)).unwrap_or_default();
        let weight = endpoint.load_balancing_weight.map_or(1, |w| w.value).saturating_mul(scale);
        let forced = proxy.network.is_empty() && !row.network.is_empty() && !gateways.is_empty();
        let near = row.network.is_empty() || proxy.network.is_empty() || row.network == proxy.network;
        if !forced && (near || gateways.is_empty()) {
            if has_address(row) {
                out.rows.push(row.clone());
                let endpoint = LbEndpoint { load_balancing_weight: u32_value(weight), ..endpoint.clone() };
                out.built.lb_endpoints.push(endpoint);
            }
            continue;
        }
        let reachable: Vec<_> =
            gateways.into_iter().filter(|g| g.port != 0 && has_family(proxy, &g.address)).collect();
        let tls = endpoint.metadata.as_ref().is_some_and(has_tls);
        if reachable.is_empty() || !tls {
            continue;
        }
        let each = weight / u32::try_from(reachable.len()).unwrap_or(1).max(1);
        for gateway in reachable {
            *shares.entry(gateway).or_default() += each;
        }
    }
    for (gateway, weight) in shares {
        let workload = format!(";;;;{}", gateway.cluster);
        out.built.lb_endpoints.push(LbEndpoint {
            load_balancing_weight: u32_value(weight.max(1)),
            metadata: Some(metadata(Some("istio"), Some(workload))),
            host_identifier: Some(HostIdentifier::Endpoint(Endpoint {
                address: Some(address(&gateway.address, gateway.port)),
                ..Endpoint::default()
            })),
            ..LbEndpoint::default()
        });
        let attributes = Attributes {
            network: gateway.network.clone(),
            cluster: gateway.cluster.clone(),
            labels: config::Labels::from_iter([
                (label::NETWORK.to_owned(), gateway.network.to_string()),
                (label::CLUSTER.to_owned(), gateway.cluster.to_string()),
            ])
            .into(),
            ..Attributes::default()
        };
        let attributes = Arc::new(attributes);
        out.rows
            .push(Arc::new(mesh::endpoints::Endpoint { attributes, ..mesh::endpoints::Endpoint::default() }));
    }
    weigh(&mut out.built);
    out
}

/// Leaves the endpoints that are called with the mesh's TLS: a gateway that forwards by SNI cannot tell, and must lead to
/// no others (as `EndpointsWithMTLSFilter`).
pub(super) fn only_tls(group: &mut Group) {
    let all = std::mem::take(&mut group.rows).into_iter().zip(std::mem::take(&mut group.built.lb_endpoints));
    let kept = all.filter(|(_, e)| e.metadata.as_ref().is_some_and(has_tls));
    (group.rows, group.built.lb_endpoints) = kept.unzip();
    weigh(&mut group.built);
}

fn has_tls(metadata: &Metadata) -> bool {
    metadata.filter_metadata.contains_key("envoy.transport_socket_match")
}
