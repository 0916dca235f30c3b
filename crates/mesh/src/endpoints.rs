//! Endpoints: where a service's traffic may land.

pub(crate) mod build;
mod entries;
mod slices;

pub(crate) use slices::entry_port;

use std::collections::BTreeMap;
use std::sync::Arc;

/// As pilot/pkg/model/service.go: `HealthStatus`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub enum Health {
    /// Serves.
    #[default]
    Healthy,
    /// Not ready.
    Unhealthy,
    /// Terminating, still serves its persistent sessions.
    Draining,
    /// Terminating.
    Terminating,
}

/// `region/zone/subzone` of an endpoint or proxy; empty parts mean unknown.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub struct Locality {
    /// `topology.kubernetes.io/region`.
    pub region: Arc<str>,
    /// `topology.kubernetes.io/zone`.
    pub zone: Arc<str>,
    /// `topology.istio.io/subzone`.
    pub subzone: Arc<str>,
}

impl Locality {
    /// Parses `region/zone/subzone` (missing parts empty), as pilot/pkg/util: `ConvertLocality`.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut parts = text.split('/').map(Arc::from);
        let mut next = || parts.next().unwrap_or_default();
        Self { region: next(), zone: next(), subzone: next() }
    }
    /// Whether nothing is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.region.is_empty() && self.zone.is_empty() && self.subzone.is_empty()
    }
}

/// One endpoint of one port of a service (as pilot/pkg/model/service.go: `IstioEndpoint`).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Endpoint {
    /// First address is the primary; more for dual stack. A unix endpoint has one address `unix:///path`; a DNS
    /// endpoint (DNS resolution, gateways) a host name.
    pub addresses: Vec<Arc<str>>,
    /// 0 for unix endpoints.
    pub port: u32,
    /// Name of the service port it serves.
    pub service_port: Arc<str>,
    /// The workload's labels with those upstream adds: cluster, network, node, region, zone, subzone
    /// (as pilot/pkg/serviceregistry/util/label: `AugmentLabels`): subsets and failover priorities match on them.
    pub labels: Arc<BTreeMap<Arc<str>, Arc<str>>>,
    /// SPIFFE URI, empty if unknown.
    pub service_account: Arc<str>,
    /// Network id, empty for the default.
    pub network: Arc<str>,
    /// Where it runs.
    pub locality: Locality,
    /// Cluster id.
    pub cluster: Arc<str>,
    /// 0 = unset (treated as 1).
    pub weight: u32,
    /// `istio` or `disabled` (label `security.istio.io/tlsMode`).
    pub tls_mode: Arc<str>,
    /// Namespace of the workload.
    pub namespace: Arc<str>,
    /// Workload (Deployment ...) name.
    pub workload: Arc<str>,
    /// Pod `hostname` / `subdomain`, for per-pod DNS.
    pub hostname: Arc<str>,
    /// See `hostname`.
    pub subdomain: Arc<str>,
    /// Node name.
    pub node: Arc<str>,
    /// Health as the registry knows it.
    pub health: Health,
    /// Whether unhealthy state is told to proxies rather than withdrawn.
    pub send_unhealthy: bool,
    /// Named by a ServiceEntry or a WorkloadEntry, not run by a Pod: nobody probes its health.
    pub external: bool,
    /// Number of the service port it was declared for; 0 where the name alone counts (Kubernetes). Clusters of DNS
    /// resolution match by number where it is set, EDS by `service_port`
    /// (as pilot/pkg/model/service.go: `LegacyClusterPortKey`).
    pub service_port_number: u32,
    /// Only callers of its own cluster may call it (Multi-Cluster Services API).
    pub stays_in_cluster: bool,
}

impl Endpoint {
    /// Whether a ServiceEntry declares it, inline or by selecting its workload; else a Kubernetes Service does.
    #[must_use]
    pub fn of_service_entry(&self) -> bool {
        self.service_port_number != 0
    }
}

/// All endpoints of a service, in a deterministic order (by service port, cluster, address, port).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Endpoints {
    /// Sorted; each shared, so that an unchanged endpoint costs nothing.
    pub endpoints: Vec<Arc<Endpoint>>,
}

/// What changes rarely about a service's endpoints: who they are. Kept apart from [`Endpoints`], so that clusters,
/// which need it for peer verification, are not rebuilt when an endpoint flaps.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct EndpointAccounts {
    /// Sorted SPIFFE URIs of all endpoints.
    pub accounts: Vec<Arc<str>>,
}

#[cfg(test)]
mod tests;
