//! Networks and the gateways between them.

pub(crate) mod gateways;

use std::net::IpAddr;
use std::sync::Arc;

use config::label;
use config::mesh::Ne;
use tables::{Level, Reads};

use crate::settings::Settings;
use crate::workloads::LabelSet;
use crate::world::Ground;

/// One gateway into a network (as pilot/pkg/model/network.go: `NetworkGateway`).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct NetworkGateway {
    /// The network it leads into.
    pub network: Arc<str>,
    /// Cluster it belongs to; empty for one that MeshNetworks names by address.
    pub cluster: Arc<str>,
    /// Address or host name.
    pub address: Arc<str>,
    /// mTLS auto-passthrough port, 0 if none.
    pub port: u32,
    /// HBONE port, 0 if none.
    pub hbone_port: u32,
    /// Service account that must answer, empty if unknown.
    pub service_account: Arc<str>,
}

/// All gateways of one network, each list sorted by address and port. Key: network id.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct NetworkGateways {
    /// As told: for whoever can resolve host names.
    pub gateways: Vec<NetworkGateway>,
    /// By address only: in the place of one that is known by its host, one for each address of that.
    pub resolved: Vec<NetworkGateway>,
}

impl NetworkGateways {
    /// The hosts whose addresses are wanted.
    pub fn hosts(&self) -> impl Iterator<Item = &Arc<str>> {
        self.gateways.iter().map(|gateway| &gateway.address).filter(|address| is_host(address))
    }
}

fn is_host(address: &str) -> bool {
    address.parse::<IpAddr>().is_err()
}

/// The network of an address with these labels in a cluster; empty if nothing says
/// (as pilot/pkg/serviceregistry/kube/controller/controller.go: `Network`).
pub(crate) fn network_of<L: Level>(
    r: &Reads<L>,
    ground: Ground<'_>,
    settings: &Settings,
    cluster: &Arc<str>,
    address: &str,
    labels: &impl LabelSet,
) -> Arc<str> {
    if let Some(network) = labels.value(label::NETWORK).filter(|n| !n.is_empty()) {
        return config::text(network);
    }
    match ground.label(r, cluster, &settings.system_namespace, label::NETWORK) {
        Some(network) if !network.is_empty() => network.into(),
        _ => from_mesh_networks(settings, cluster, address),
    }
}

/// The network that MeshNetworks gives a cluster by `fromRegistry`; the first by name, if several do.
pub(crate) fn from_registry<'s>(settings: &'s Settings, cluster: &str) -> Option<&'s str> {
    let named = |ne: &Option<Ne>| matches!(ne, Some(Ne::FromRegistry(c)) if c == cluster);
    let mut networks = settings.networks.networks.iter();
    networks.find(|(_, n)| n.endpoints.iter().any(|e| named(&e.ne))).map(|(name, _)| name.as_str())
}

fn from_mesh_networks(settings: &Settings, cluster: &str, address: &str) -> Arc<str> {
    if settings.networks.networks.is_empty() {
        return Arc::default();
    }
    if let Some(network) = from_registry(settings, cluster) {
        return network.into();
    }
    let Ok(address) = address.parse::<IpAddr>() else { return Arc::default() };
    let mut best: Option<(u8, &str)> = None;
    for (name, network) in &settings.networks.networks {
        for endpoint in &network.endpoints {
            let Some(Ne::FromCidr(cidr)) = &endpoint.ne else { continue };
            let Ok(net) = cidr.parse::<ipnet::IpNet>() else { continue };
            // upstream's trie answers with the widest range first
            if net.contains(&address) && best.is_none_or(|(bits, _)| net.prefix_len() < bits) {
                best = Some((net.prefix_len(), name));
            }
        }
    }
    best.map_or("", |(_, name)| name).into()
}

#[cfg(test)]
mod tests;
