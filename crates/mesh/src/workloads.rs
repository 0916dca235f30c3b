//! Workloads: instances that serve and that run proxies (Pods, WorkloadEntries).

pub(crate) mod entries;
pub(crate) mod labels;
pub(crate) mod pods;
mod targets;

pub use targets::{Proxy, ServiceTarget, service_targets};

use std::collections::BTreeMap;
use std::sync::Arc;

use config::Shared;

use crate::endpoints::{Health, Locality};
use crate::key::WorkloadKey;

/// One instance (as pilot/pkg/model/service.go: `WorkloadInstance`, and the pod cache).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Workload {
    /// What declares it.
    pub key: WorkloadKey,
    /// Primary first. None for a Pod without address yet; one host name or `unix:///path` for some WorkloadEntries.
    pub addresses: Vec<Arc<str>>,
    /// Its labels with those upstream adds to every endpoint and proxy: cluster, network, node, region, zone, subzone.
    pub labels: Arc<BTreeMap<Arc<str>, Arc<str>>>,
    /// Name of the service account.
    pub service_account: Arc<str>,
    /// SPIFFE URI of it.
    pub identity: Arc<str>,
    /// Where it runs.
    pub locality: Locality,
    /// Network id.
    pub network: Arc<str>,
    /// `istio` or `disabled`: as labelled, else `istio` for a WorkloadEntry with a service account.
    pub tls_mode: Arc<str>,
    /// Deployment (or other owner) name.
    pub workload: Arc<str>,
    /// Node.
    pub node: Arc<str>,
    /// TCP container ports by name, for named target ports.
    pub container_ports: Shared<BTreeMap<Arc<str>, u32>>,
    /// WorkloadEntry `ports`: service port name -> number.
    pub port_overrides: Shared<BTreeMap<Arc<str>, u32>>,
    /// WorkloadEntry weight, 0 = unset.
    pub weight: u32,
    /// A Pod: ready and not ending, so that a ServiceEntry may select it. A WorkloadEntry: its health check passes,
    /// or it has none.
    pub health: Health,
    /// Per-pod DNS.
    pub hostname: Arc<str>,
    /// Per-pod DNS.
    pub subdomain: Arc<str>,
    /// Shares its node's address.
    pub host_network: bool,
    /// Unix seconds.
    pub created: i64,
}

#[cfg(test)]
mod tests;
