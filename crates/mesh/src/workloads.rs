//! Workloads: instances that serve and that run proxies (Pods, WorkloadEntries).

pub(crate) mod entries;
pub(crate) mod labels;
pub(crate) mod pods;
mod targets;

pub use labels::{LabelSet, Labels, WorkloadLabels};
pub use targets::{Proxy, ServiceTarget, service_targets};

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;

use config::Shared;

use crate::endpoints::{Health, Locality};
use crate::key::WorkloadKey;

/// One instance (as pilot/pkg/model/service.go: `WorkloadInstance`, and the pod cache). It derefs to its attributes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Workload {
    /// What declares it.
    pub key: WorkloadKey,
    /// Primary first. None for a Pod without address yet; one host name or `unix:///path` for some WorkloadEntries.
    pub addresses: Vec<Arc<str>>,
    /// Who and where it is.
    pub attributes: Arc<Attributes>,
    /// Name of the service account.
    pub service_account: Arc<str>,
    /// TCP container ports by name, for named target ports.
    pub container_ports: Shared<BTreeMap<Arc<str>, u32>>,
    /// WorkloadEntry `ports`: service port name -> number.
    pub port_overrides: Shared<BTreeMap<Arc<str>, u32>>,
    /// A Pod: ready and not ending, so that a ServiceEntry may select it. A WorkloadEntry: its health check passes,
    /// or it has none.
    pub health: Health,
    /// Shares its node's address.
    pub host_network: bool,
    /// Unix seconds.
    pub created: i64,
}

impl Deref for Workload {
    type Target = Attributes;
    fn deref(&self) -> &Attributes {
        &self.attributes
    }
}

/// Who and where a workload is: what all of its endpoints have from it, whichever service they are of. It is kept once for
/// them all.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Attributes {
    /// Its labels with those upstream adds: cluster, network, node, region, zone, subzone: subsets and failover priorities
    /// match on them.
    pub labels: WorkloadLabels,
    /// SPIFFE URI, empty if unknown.
    pub identity: Arc<str>,
    /// Cluster id.
    pub cluster: Arc<str>,
    /// Its namespace.
    pub namespace: Arc<str>,
    /// Network id, empty for the default.
    pub network: Arc<str>,
    /// Where it runs.
    pub locality: Shared<Locality>,
    /// `istio` or `disabled`: as labelled (`security.istio.io/tlsMode`), else `istio` for a WorkloadEntry with a service
    /// account.
    pub tls_mode: Arc<str>,
    /// Deployment (or other owner) name.
    pub workload: Arc<str>,
    /// Node name.
    pub node: Arc<str>,
    /// Pod `hostname`, for per-pod DNS.
    pub hostname: Arc<str>,
    /// See `hostname`.
    pub subdomain: Arc<str>,
    /// WorkloadEntry weight; 0 = unset (treated as 1).
    pub weight: u32,
}

#[cfg(test)]
mod tests;
