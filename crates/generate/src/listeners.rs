//! Listeners (LDS): outbound and inbound of sidecars. Gateways' are in `gateways`.

use std::collections::BTreeMap;
use std::sync::Arc;

use mesh::World;
use mesh::workloads::ServiceTarget;
use tables::{Level, Reads};

use crate::encoded::{Resource, digest, digest_debug};
use crate::proxy::Proxy;
use crate::scope::{Named, Scope};

mod inbound;
mod outbound;

/// Listeners, with what else follows from them.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Built {
    /// Encoded listeners in order.
    pub resources: Vec<Resource>,
    /// Names of the route configurations they ask for over RDS, in order, once each.
    pub routes: Vec<Arc<str>>,
    /// SDS names that the control plane serves.
    pub secrets: Vec<Arc<str>>,
    /// Names of listeners that stand for one pod of a headless service, with the address of that pod. The pod itself
    /// does not get its own; all others share the whole list.
    pub pods: BTreeMap<Arc<str>, Arc<str>>,
}

impl Built {
    /// Hash of everything.
    #[must_use]
    pub fn digest(&self) -> u64 {
        digest(&self.resources) ^ digest_debug(&(&self.routes, &self.secrets, &self.pods)).rotate_left(17)
    }
}

/// Outbound listeners of a sidecar, `virtualOutbound` included.
pub fn outbound<L: Level>(r: &Reads<L>, world: &World, proxy: &Proxy, scope: &Scope) -> Built {
    outbound::listeners(r, world, proxy, scope)
}

/// Names of the route configurations that a sidecar's outbound listeners ask for: [`Built::routes`] of [`outbound`],
/// without making any listener.
pub fn outbound_routes<L: Level>(r: &Reads<L>, world: &World, proxy: &Proxy, scope: &Scope) -> Vec<Arc<str>> {
    outbound::routes(r, world, proxy, scope)
}

/// Inbound listeners of a sidecar: `virtualInbound`, and those that bind to ports.
pub fn inbound<L: Level>(
    r: &Reads<L>,
    world: &World,
    proxy: &Proxy,
    sidecar: Option<&Named>,
    targets: &[ServiceTarget],
) -> Built {
    inbound::listeners(r, world, proxy, sidecar, targets)
}
