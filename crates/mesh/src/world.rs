//! The World: its tables, in the order of the flow that `world/commit.rs` writes down.

mod commit;
mod ground;
mod indexes;
mod intake;
mod tables;

use ::tables::{Revision, Snapshot, Table};

pub use commit::Mesh;
pub(crate) use ground::Ground;
pub use indexes::*;
pub use tables::*;

use crate::inputs::{Instances, NodeFacts, ServiceExportFacts, ServiceImportFacts, SettingsFact};

macro_rules! world {
    ($($(#[$doc:meta])* $field:ident: $def:ty,)*) => {
        /// One revision of everything; immutable, cheap to clone, never locked.
        #[derive(Clone)]
        pub struct World {
            revision: Revision,
            $($(#[$doc])* pub $field: Table<$def>,)*
        }
    };
}

world! {
    /// Settings.
    settings: SettingsFact,
    /// Nodes, for debug pages.
    nodes: NodeFacts,
    /// Namespaces.
    namespaces: Namespaces,
    /// Pods and WorkloadEntries as they were declared, for who asks whether one is still the same.
    instances: Instances,
    /// Workloads.
    workloads: Workloads,
    /// Services.
    services: Services,
    /// Endpoints.
    endpoints: ServiceEndpoints,
    /// Identities behind services.
    accounts: ServiceAccounts,
    /// Network gateways.
    networks: Networks,
    /// Virtual services.
    virtual_services: VirtualServices,
    /// What of each virtual service decides who is concerned.
    route_heads: RouteHeads,
    /// Their TLS and TCP routes.
    layer4_routes: Layer4Routes,
    /// Destination rules.
    rules: Rules,
    /// Sidecars.
    sidecars: Sidecars,
    /// Gateways.
    gateways: Gateways,
    /// Certificates.
    credentials: Credentials,
    /// PeerAuthentications.
    peer_policies: PeerPolicies,
    /// RequestAuthentications.
    request_policies: RequestPolicies,
    /// AuthorizationPolicies.
    access_policies: AccessPolicies,
    /// Telemetries.
    telemetry_policies: TelemetryPolicies,
    /// EnvoyFilters.
    patches: Patches,
    /// TrafficExtensions.
    extensions: Extensions,
    /// ProxyConfig resources.
    proxy_configs: ProxyConfigs,
    /// WorkloadGroups, for auto-registration.
    workload_groups: WorkloadGroups,
    /// Who declared what: for finding the services of a proxy.
    claims: Claims,
    /// ServiceExports, for debug pages.
    exports: ServiceExportFacts,
    /// ServiceImports, for debug pages.
    imports: ServiceImportFacts,
}

impl Snapshot for World {
    fn revision(&self) -> Revision {
        self.revision
    }
}
