//! What is odd about the mesh as it stands, under the names of upstream's gauges (pilot/pkg/model/push_context.go).

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Weak};

use mesh::World;
use mesh::key::ServiceKey;
use mesh::services::{Port, Resolution};
use parking_lot::Mutex;
use process::metrics::Metrics;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::gauge::ConstGauge;
use serde_json::{Map, Value, json};
use tables::{Revision, Snapshot as _};

use crate::catalog::MeshCatalog;

#[cfg(test)]
mod tests;

/// The numbers of one world.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Status {
    /// Ports of services that proxies balance over endpoints, and that have none.
    without_endpoints: i64,
    /// The same of services whose endpoints are names to resolve.
    without_names: i64,
}

const WITHOUT_ENDPOINTS: &str = "pilot_eds_no_instances";
const WITHOUT_NAMES: &str = "pilot_dns_cluster_without_endpoints";

/// Ports of services that proxies reach through endpoints, and that have none: the gauge that counts it, service and port.
fn bare_ports(world: &World) -> impl Iterator<Item = (&'static str, &ServiceKey, &Port)> {
    world.services.iter().flat_map(|(key, service)| {
        let gauge = match service.resolution {
            Resolution::ClientSideLb => Some(WITHOUT_ENDPOINTS),
            Resolution::DnsLb | Resolution::DnsRoundRobinLb => Some(WITHOUT_NAMES),
            _ => None,
        };
        let row = world.endpoints.peek(key);
        let served = move |name: &str| {
            row.is_some_and(|row| row.endpoints.iter().any(|endpoint| *endpoint.service_port == *name))
        };
        let ports = gauge.into_iter().flat_map(|gauge| service.ports.iter().map(move |port| (gauge, port)));
        ports.filter(move |(_, port)| !served(&port.name)).map(move |(gauge, port)| (gauge, key, port))
    })
}

/// The same as a page: by gauge, then by the name of the cluster (as `PushContext.StatusJSON`).
pub fn page(world: &World) -> Value {
    let mut out: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    for (gauge, service, port) in bare_ports(world) {
        let cluster = format!("outbound|{}||{}", port.number, service.hostname.as_str());
        out.entry(gauge).or_default().insert(cluster, json!({}));
    }
    json!(out)
}

impl Status {
    fn of(world: &World) -> Self {
        let mut status = Self::default();
        for (gauge, ..) in bare_ports(world) {
            match gauge {
                WITHOUT_NAMES => status.without_names += 1,
                _ => status.without_endpoints += 1,
            }
        }
        status
    }

    /// Name, meaning and value of each gauge.
    fn gauges(self) -> [(&'static str, &'static str, i64); 2] {
        [
            (WITHOUT_ENDPOINTS, "Ports of services that have no endpoints.", self.without_endpoints),
            (
                WITHOUT_NAMES,
                "Ports of services that are resolved by name and have no names to resolve.",
                self.without_names,
            ),
        ]
    }
}

/// Shows the numbers of the present world at each scrape; they are counted once for each world that is scraped.
pub struct PushStatus {
    catalog: Weak<MeshCatalog>,
    counted: Mutex<Option<(Revision, Status)>>,
}

impl PushStatus {
    /// Shows these gauges, and what proxies are not given, of a catalog.
    pub fn register(metrics: &Metrics, catalog: &Arc<MeshCatalog>) {
        metrics.register_collector(Self::of(catalog));
        catalog.count_secret_errors(metrics);
    }

    /// Of the worlds of this catalog, as long as it is there.
    fn of(catalog: &Arc<MeshCatalog>) -> Self {
        Self { catalog: Arc::downgrade(catalog), counted: Mutex::default() }
    }

    fn status(&self) -> Option<Status> {
        let world = self.catalog.upgrade()?.world();
        let mut counted = self.counted.lock();
        let known = counted.filter(|(of, _)| *of == world.revision()).map(|(_, status)| status);
        let status = known.unwrap_or_else(|| Status::of(&world));
        *counted = Some((world.revision(), status));
        Some(status)
    }
}

impl fmt::Debug for PushStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PushStatus")
    }
}

impl Collector for PushStatus {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        for (name, help, value) in self.status().map(Status::gauges).into_iter().flatten() {
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        Ok(())
    }
}
