//! The registry: what can be called, whoever declared it (Kubernetes Service or ServiceEntry).

pub(crate) mod claims;
mod entry;
mod kubernetes;
pub(crate) mod merge;
pub mod multicluster;

use std::collections::BTreeSet;
use std::sync::Arc;

use config::{Host, Protocol, Visibility};
use litemap::LiteMap;

use crate::key::ServiceKey;
use crate::workloads::labels::Labels;

/// Where a service was declared (as pkg/serviceregistry/provider: `ID`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Registry {
    /// A Kubernetes Service.
    Kubernetes,
    /// A ServiceEntry.
    External,
}

/// How a proxy finds the addresses behind a service (as pilot/pkg/model/service.go: `Resolution`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Resolution {
    /// Endpoints are told by the control plane (EDS).
    ClientSideLb,
    /// Strict DNS at the proxy.
    DnsLb,
    /// Original destination.
    Passthrough,
    /// Logical DNS at the proxy.
    DnsRoundRobinLb,
    /// A name for another service (ExternalName).
    Alias,
    /// Dynamic forward proxy (wildcard hosts resolved per request).
    DynamicDns,
}

/// One port of a service.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Port {
    /// Port name; never empty for ServiceEntry ports, may be empty for a one-port Kubernetes Service.
    pub name: Arc<str>,
    /// The number clients call.
    pub number: u32,
    /// Selected or declared protocol; `Unsupported` means sniff.
    pub protocol: Protocol,
}

/// Kubernetes' `trafficDistribution`, as pilot/pkg/model/service.go: `TrafficDistribution`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub enum TrafficDistribution {
    /// No preference.
    #[default]
    Any,
    /// Same zone, then region.
    PreferSameZone,
    /// Same node, then zone, then region.
    PreferSameNode,
}

/// One service (as pilot/pkg/model/service.go: `Service` with its `ServiceAttributes`).
/// Holds nothing that changes when an endpoint comes or goes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Service {
    /// Its name in the registry.
    pub key: ServiceKey,
    /// `metadata.name` of the Service, or the host for a ServiceEntry.
    pub name: Arc<str>,
    /// Who declared it.
    pub registry: Registry,
    /// In declared order; then what further ServiceEntries of the same name add.
    pub ports: Vec<Port>,
    /// How many of `ports`, from the front, the declaration that counts has itself: upstream's listeners know no more.
    pub own_ports: usize,
    /// How endpoints are found.
    pub resolution: Resolution,
    /// `MESH_EXTERNAL` or ExternalName: not part of the mesh, no mutual TLS by itself.
    pub mesh_external: bool,
    /// VIPs by cluster id (all families, declared order). Empty for headless services.
    pub cluster_vips: LiteMap<Arc<str>, Vec<Arc<str>>>,
    /// The address of the declaration that counts, `0.0.0.0` where there is none (headless, no address).
    pub default_address: Arc<str>,
    /// Every address that a ServiceEntry declares (addresses and ranges, each once, in declared order); empty for a
    /// Kubernetes Service, whose addresses are `cluster_vips`. Upstream has one service of the same name for each of
    /// them, with that address as its default, which shows in listeners only.
    pub addresses: Vec<Arc<str>>,
    /// VIP allocated by the mesh for a ServiceEntry without addresses (`status.addresses`).
    pub auto_allocated_v4: Option<Arc<str>>,
    /// The same, IPv6.
    pub auto_allocated_v6: Option<Arc<str>>,
    /// Unix seconds of the oldest declaration.
    pub created: i64,
    /// Who may see it, already defaulted by MeshConfig. Empty means everybody, `{None}` nobody; its own namespace is
    /// always `Private`, never named.
    pub export_to: BTreeSet<Visibility>,
    /// `metadata.labels`.
    pub labels: Arc<Labels>,
    /// `spec.selector` of a Kubernetes Service or `workloadSelector.labels` of a ServiceEntry.
    pub selector: Arc<Labels>,
    /// ServiceEntry `subjectAltNames` and service-account annotations of a Service, sorted.
    pub declared_accounts: Vec<Arc<str>>,
    /// ExternalName's target, if any.
    pub external_name: Option<Arc<str>>,
    /// Services that are other names (ExternalName) of this one.
    pub aliases: Vec<ServiceKey>,
    /// Load-balancer, external-IP or node addresses by cluster (gateways, split horizon).
    pub external_addresses: LiteMap<Arc<str>, Vec<Arc<str>>>,
    /// By cluster: service port -> node port, for NodePort gateways.
    pub external_ports: LiteMap<Arc<str>, LiteMap<u32, u32>>,
    /// For Passthrough services: port -> target port where they differ.
    pub passthrough_target_ports: LiteMap<u32, u32>,
    /// `internalTrafficPolicy: Local`.
    pub node_local: bool,
    /// See [`TrafficDistribution`].
    pub traffic_distribution: TrafficDistribution,
    /// `publishNotReadyAddresses`.
    pub publish_not_ready: bool,
    /// Named or numbered target port by port number (`targetPort`), for finding a proxy's own ports.
    pub target_ports: Arc<LiteMap<u32, TargetPort>>,
    /// The declaring objects (kind, namespace/name), oldest first: provenance, and `services` metadata.
    pub declared_by: Vec<Arc<str>>,
    /// `spec.type` is ExternalName / NodePort / LoadBalancer / ClusterIP; empty for a ServiceEntry.
    pub kube_type: Arc<str>,
    /// Annotation `istio.io/connect-strategy: RACE_FIRST_TCP_CONNECT` of a ServiceEntry.
    pub race_connect: bool,
    /// What further ServiceEntries of the very same host and namespace say, each as it would stand alone, oldest
    /// first. Upstream keeps them as services of their own for listeners; they never add clusters beyond the ports
    /// that are already merged into `ports`.
    pub others: Vec<Arc<Service>>,
    /// For the name that an imported service has in all clusters: the service it is a name of. Its addresses are those
    /// of the ServiceImports, its endpoints those of that service; see [`multicluster`].
    pub common_name_of: Option<ServiceKey>,
}

/// A Service's `targetPort`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum TargetPort {
    /// By number.
    Number(u32),
    /// By container port name.
    Name(Arc<str>),
}

impl Service {
    /// The port with this number.
    #[must_use]
    pub fn port(&self, number: u32) -> Option<&Port> {
        self.ports.iter().find(|p| p.number == number)
    }
    /// The host name.
    #[must_use]
    pub fn hostname(&self) -> &Host {
        &self.key.hostname
    }
    /// Headless: no VIP of its own and endpoints called directly.
    #[must_use]
    pub fn is_headless(&self) -> bool {
        self.resolution == Resolution::Passthrough && self.registry == Registry::Kubernetes
    }
}

/// What one declaration says of a service: the service as it would be if nobody else declared it, and what is needed
/// to find its endpoints.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Claim {
    /// The service according to this declaration alone.
    pub service: Service,
}

#[cfg(test)]
mod tests;
