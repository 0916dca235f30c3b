//! Listeners (LDS): outbound and inbound of sidecars. Gateways' are in `gateways`.

use std::collections::BTreeMap;
use std::sync::Arc;

use mesh::World;
use mesh::workloads::ServiceTarget;
use tables::{Level, Reads};

use crate::encoded::{Section, digest_debug, digest_of};
use crate::findings::Finding;
use crate::proxy::Proxy;
use crate::scope::{Named, Scope, ScopedService};

mod inbound;
mod outbound;

/// Listeners, with what else follows from them.
#[derive(Clone, Debug, Default)]
pub struct Built {
    /// The listeners in order.
    pub section: Arc<Section>,
    /// Names of the route configurations they ask for over RDS, in order, once each.
    pub routes: Vec<Arc<str>>,
    /// SDS names that the control plane serves.
    pub secrets: Vec<Arc<str>>,
    /// Names of listeners that stand for one pod of a headless service, with the address of that pod. The pod itself
    /// does not get its own; all others share the whole list.
    pub pods: BTreeMap<Arc<str>, Arc<str>>,
    /// What its owner should know.
    pub findings: Arc<[Finding]>,
}

impl Built {
    /// Hash of everything.
    #[must_use]
    pub fn digest(&self) -> u64 {
        digest_of(&(self.section.digest(), &self.routes, &self.secrets, &self.pods, &self.findings))
    }

    /// The listeners for a proxy with this address.
    #[must_use]
    pub fn section_for(&self, own: Option<&str>) -> Arc<Section> {
        let is_own = |name: &str| self.pods.get(name).is_some_and(|ip| own == Some(&**ip));
        if !self.pods.keys().any(|name| is_own(name)) {
            return self.section.clone();
        }
        Section::new(self.section.resources().iter().filter(|l| !is_own(&l.name)).cloned().collect())
    }
}

/// The services among these that listeners for all ports depend on.
pub fn listening<'s, L: Level>(
    r: &Reads<L>,
    world: &World,
    services: impl Iterator<Item = &'s ScopedService>,
) -> Vec<ScopedService> {
    outbound::listening(r, world, services)
}

/// What outbound listeners are made from. Services that share a listener with others come and go without changing it.
#[derive(Debug)]
pub struct Seen {
    /// The scope; with services only where an egress listener is for one port.
    pub scope: Scope,
    /// By egress listener that is for all ports, the services by [`listening`].
    pub listening: Vec<Vec<ScopedService>>,
}

impl Seen {
    /// Hash of everything.
    #[must_use]
    pub fn digest(&self) -> u64 {
        digest_of(&(digest_debug(&self.scope), &self.listening))
    }
}

/// Finds a service in scope by its host name.
pub type Find<'a> = &'a dyn Fn(&str) -> Option<ScopedService>;

/// Outbound listeners of a sidecar, `virtualOutbound` included.
pub fn outbound<L: Level>(r: &Reads<L>, world: &World, proxy: &Proxy, seen: &Seen, find: Find<'_>) -> Built {
    outbound::listeners(r, world, proxy, seen, find)
}

/// Names of the route configurations that a sidecar's outbound listeners ask for: [`Built::routes`] of [`outbound`],
/// without making any listener.
pub fn outbound_routes<L: Level>(
    r: &Reads<L>,
    world: &World,
    proxy: &Proxy,
    seen: &Seen,
    find: Find<'_>,
) -> Vec<Arc<str>> {
    outbound::routes(r, world, proxy, seen, find)
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
