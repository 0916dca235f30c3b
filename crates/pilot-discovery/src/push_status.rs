//! What is odd about the mesh as it stands, under the names of upstream's gauges (pilot/pkg/model/push_context.go).

use std::fmt;
use std::sync::{Arc, Weak};

use mesh::World;
use mesh::services::Resolution;
use parking_lot::Mutex;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::gauge::ConstGauge;
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

impl Status {
    fn of(world: &World) -> Self {
        let mut status = Self::default();
        for (key, service) in world.services.iter() {
            let counted = match service.resolution {
                Resolution::ClientSideLb => &mut status.without_endpoints,
                Resolution::DnsLb | Resolution::DnsRoundRobinLb => &mut status.without_names,
                _ => continue,
            };
            let row = world.endpoints.peek(key);
            let served = |name: &str| {
                row.is_some_and(|row| row.endpoints.iter().any(|endpoint| *endpoint.service_port == *name))
            };
            let without = service.ports.iter().filter(|port| !served(&port.name)).count();
            *counted += i64::try_from(without).unwrap_or(i64::MAX);
        }
        status
    }

    /// Name, meaning and value of each gauge.
    fn gauges(self) -> [(&'static str, &'static str, i64); 2] {
        [
            ("pilot_eds_no_instances", "Ports of services that have no endpoints.", self.without_endpoints),
            (
                "pilot_dns_cluster_without_endpoints",
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
    /// Of the worlds of this catalog, as long as it is there.
    #[must_use]
    pub fn of(catalog: &Arc<MeshCatalog>) -> Self {
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
