//! Which addresses lead into which network: MeshNetworks, and Services that say so.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use config::mesh::Gw;
use config::{Host, label};
use tables::{Level, Reads, Table};

use super::{NetworkGateway, NetworkGateways, from_registry, is_host};
use crate::inputs::{ClaimKey, HostFacts};
use crate::services::{Claim, Registry};
use crate::settings::Settings;
use crate::world::{Claims, ClaimsNamed, NetworkClaims};

const PORT: u32 = 15443;
const HBONE_PORT: u32 = 15008;

/// Stage: every gateway of every network (as pilot/pkg/model/network.go: `reload`, and
/// pilot/pkg/serviceregistry/kube/controller/network.go: `extractGatewaysInner`).
pub(crate) fn all<L: Level>(
    r: &Reads<L>,
    claims: &Table<Claims>,
    hosts: &Table<HostFacts>,
    settings: &Settings,
) -> Vec<(Arc<str>, NetworkGateways)> {
    let mut found = BTreeSet::new();
    for (network, spec) in &settings.networks.networks {
        for gateway in &spec.gateways {
            match &gateway.gw {
                Some(Gw::Address(address)) if !address.is_empty() => {
                    found.insert(NetworkGateway {
                        network: network.as_str().into(),
                        cluster: Arc::from(""),
                        address: address.as_str().into(),
                        port: gateway.port,
                        hbone_port: 0,
                        service_account: Arc::from(""),
                    });
                }
                Some(Gw::RegistryServiceName(name)) => {
                    for (key, claim) in claims.bucket::<ClaimsNamed, L>(r, &Host::from(name.as_str())) {
                        let own = from_registry(settings, &key.1.object.cluster) == Some(network);
                        if own && !claim.service.labels.contains_key(label::NETWORK) {
                            add(&mut found, key, claim, network, gateway.port, 0);
                        }
                    }
                }
                _ => {}
            }
        }
    }
    for (key, claim) in claims.bucket::<NetworkClaims, L>(r, &()) {
        labelled(&mut found, key, claim);
    }
    let mut by_network: BTreeMap<Arc<str>, NetworkGateways> = BTreeMap::new();
    for gateway in found {
        by_network.entry(gateway.network.clone()).or_default().gateways.push(gateway);
    }
    for row in by_network.values_mut() {
        row.resolved = resolved(r, hosts, &row.gateways);
        for gateways in [&mut row.gateways, &mut row.resolved] {
            gateways.sort_by(|a, b| (&a.address, a.port).cmp(&(&b.address, b.port)));
        }
    }
    by_network.into_iter().collect()
}

/// Those known by their host by each of its addresses (as pilot/pkg/model/network.go: `resolveHostnameGateways`).
fn resolved<L: Level>(
    r: &Reads<L>,
    hosts: &Table<HostFacts>,
    gateways: &[NetworkGateway],
) -> Vec<NetworkGateway> {
    let mut found = BTreeSet::new();
    for gateway in gateways {
        if !is_host(&gateway.address) {
            found.insert(gateway.clone());
            continue;
        }
        for address in hosts.get(r, &gateway.address).into_iter().flat_map(|addresses| &**addresses) {
            found.insert(NetworkGateway { address: address.to_string().into(), ..gateway.clone() });
        }
    }
    found.into_iter().collect()
}

/// A Service labelled with the network it leads into; it must listen on one of the ports.
fn labelled(found: &mut BTreeSet<NetworkGateway>, key: &ClaimKey, claim: &Claim) {
    let service = &claim.service;
    let Some(network) = service.labels.get(label::NETWORK).filter(|n| !n.is_empty()) else { return };
    let wanted = service.labels.get(label::GATEWAY_PORT).and_then(|p| p.parse().ok()).unwrap_or(PORT);
    let listens = |port: u32| if service.port(port).is_some() { port } else { 0 };
    let (port, hbone) = (listens(wanted), listens(HBONE_PORT));
    if port != 0 || hbone != 0 {
        add(found, key, claim, network, port, hbone);
    }
}

fn add(
    found: &mut BTreeSet<NetworkGateway>,
    key: &ClaimKey,
    claim: &Claim,
    network: &str,
    port: u32,
    hbone: u32,
) {
    let cluster = &key.1.object.cluster;
    if claim.service.registry != Registry::Kubernetes {
        return;
    }
    let ports = claim.service.external_ports.get(cluster);
    let port = ports.and_then(|p| p.get(&port)).copied().unwrap_or(port);
    for address in claim.service.external_addresses.get(cluster).into_iter().flatten() {
        found.insert(NetworkGateway {
            network: network.into(),
            cluster: cluster.clone(),
            address: address.clone(),
            port,
            hbone_port: hbone,
            service_account: Arc::from(""),
        });
    }
}
