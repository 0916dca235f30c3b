//! What a class of proxies sees: services, virtual services, ports (as pilot/pkg/model/sidecar.go: `SidecarScope`).

use std::collections::BTreeSet;
use std::sync::Arc;

use config::mesh::OutboundTrafficPolicyMode;
use config::networking::{CaptureMode, Destination, SidecarPort};
use mesh::world::{RoutesAskingLabels, RulesAskingLabels, ServicesAskingPlace};
use mesh::{ServiceKey, World};
use tables::{Level, Reads};

use crate::proxy::Proxy;

mod convert;
mod origins;
mod services;

pub use convert::Public;
pub use services::{Run, Services};

/// `(namespace, name)` of an object.
pub type Named = (Arc<str>, Arc<str>);

/// A service in scope. Builders read the row by its key.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct ScopedService {
    /// The row's key.
    pub key: ServiceKey,
    /// The ports that are in scope; `None` means all.
    pub ports: Option<Arc<[u32]>>,
}

impl ScopedService {
    /// Whether the port is in scope.
    #[must_use]
    pub fn has_port(&self, number: u32) -> bool {
        self.ports.as_ref().is_none_or(|p| p.contains(&number))
    }
}

/// One egress listener of the scope.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Egress {
    /// Its port; `None` for the catch-all listener.
    pub port: Option<SidecarPort>,
    /// `bind`, empty if not given.
    pub bind: Arc<str>,
    /// `captureMode`.
    pub capture: CaptureMode,
    /// Whether it stands in a Sidecar object (false for the default scope).
    pub explicit: bool,
    /// Services, oldest first, in upstream's order.
    pub services: Services,
    /// Virtual services of the `mesh` gateway that apply here, in order of precedence.
    pub virtual_services: Vec<Named>,
}

/// What a class sees.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Scope {
    /// The Sidecar object it was made from.
    pub sidecar: Option<Named>,
    /// At least one.
    pub egress: Vec<Egress>,
    /// Union over the egress listeners: what gets clusters and endpoints, in upstream's order.
    pub services: Services,
    /// What happens to calls to unknown destinations, already defaulted by MeshConfig.
    pub outbound_policy: OutboundTrafficPolicyMode,
    /// The Sidecar's `egressProxy`: where such calls go.
    pub egress_proxy: Option<Destination>,
}

impl Scope {
    /// The service of this host name in scope, if any.
    #[must_use]
    pub fn service(&self, hostname: &str) -> Option<&ScopedService> {
        self.services.iter().find(|s| s.key.hostname.as_str() == hostname)
    }
}

/// What every namespace may see.
pub fn public<L: Level>(r: &Reads<L>, world: &World) -> Public {
    convert::public(r, world)
}

/// The scope of an outbound proxy form (its `sidecar` already chosen).
pub fn of<L: Level>(r: &Reads<L>, world: &World, public: &Public, proxy: &Proxy) -> Scope {
    convert::scope(r, world, public, proxy)
}

/// The Sidecar object that applies to a proxy: the oldest whose selector matches, else the oldest of its namespace
/// without selector, else the root namespace's without selector; `None` for gateways
/// (as pilot/pkg/model/push_context.go: `getSidecarScope`).
pub fn sidecar_of<L: Level>(r: &Reads<L>, world: &World, proxy: &Proxy) -> Option<Named> {
    convert::sidecar_of(r, world, proxy)
}

/// Label keys that rules ask of a proxy: of all its labels only these enter the outbound form.
pub fn asked_labels<L: Level>(r: &Reads<L>, world: &World) -> Vec<Arc<str>> {
    let mut keys: BTreeSet<Arc<str>> = BTreeSet::new();
    let mut add = |key: &str| {
        keys.insert(key.into());
    };
    for (_, row) in world.virtual_services.bucket::<RoutesAskingLabels, L>(r, &()) {
        row.asked_labels().for_each(&mut add);
    }
    for (_, row) in world.rules.bucket::<RulesAskingLabels, L>(r, &()) {
        row.asked_labels().for_each(&mut add);
    }
    for (_, row) in world.telemetry_policies.all(r) {
        row.spec.selector.iter().for_each(|s| s.match_labels.keys().for_each(|k| add(k)));
    }
    for (_, row) in world.patches.all(r) {
        row.spec.workload_selector.iter().for_each(|s| s.labels.keys().for_each(|k| add(k)));
    }
    for (_, row) in world.extensions.all(r) {
        row.spec.selector.iter().for_each(|s| s.match_labels.keys().for_each(|k| add(k)));
    }
    let mesh = &crate::settings(r, world).mesh;
    let failover = mesh.locality_lb_setting.iter().flat_map(|s| &s.failover_priority);
    let zones = mesh.zone_aware_lb_setting.iter().flat_map(|s| &s.failover_priority);
    failover.chain(zones).for_each(|label| add(label.split('=').next().unwrap_or(label)));
    for (_, service) in world.services.bucket::<ServicesAskingPlace, L>(r, &()) {
        crate::clusters::balance::distribution(service).iter().for_each(|label| add(label));
        if service.node_local {
            add(config::label::HOSTNAME);
        }
    }
    keys.into_iter().collect()
}

/// Whether a service's endpoints of other clusters are left out.
#[must_use]
pub fn is_cluster_local(settings: &mesh::settings::Settings, service: &mesh::services::Service) -> bool {
    config::mesh::is_cluster_local(
        &settings.mesh.service_settings,
        &settings.domain,
        service.key.hostname.as_str(),
    )
}
