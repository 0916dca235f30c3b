//! Endpoints: where a service's traffic may land.

pub(crate) mod build;
mod entries;
mod slices;

pub(crate) use slices::entry_port;

use std::ops::Deref;
use std::sync::Arc;

use config::{Pool, Pooled};

use crate::workloads::Attributes;

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

impl Pooled for Locality {
    fn pool() -> &'static Pool<Self> {
        static POOL: Pool<Locality> = Pool::new();
        &POOL
    }
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

/// One endpoint of one port of a service (as pilot/pkg/model/service.go: `IstioEndpoint`). It derefs to the attributes of
/// its workload.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Endpoint {
    /// First address is the primary; more for dual stack. A unix endpoint has one address `unix:///path`; a DNS
    /// endpoint (DNS resolution, gateways) a host name.
    pub addresses: Vec<Arc<str>>,
    /// 0 for unix endpoints.
    pub port: u32,
    /// Name of the service port it serves.
    pub service_port: Arc<str>,
    /// Who and where it is.
    pub attributes: Arc<Attributes>,
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

impl Deref for Endpoint {
    type Target = Attributes;
    fn deref(&self) -> &Attributes {
        &self.attributes
    }
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
    /// Addresses, with their clusters, that slices name for pods that are not known: nobody is sent there until they are.
    pub podless: Vec<(Arc<str>, Arc<str>)>,
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
