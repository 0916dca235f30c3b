//! The deduced tables: what is true of the mesh, and in which order it is found out.

use std::sync::Arc;

use config::Host;
use config::networking;
use tables::{Def, Level};

use crate::endpoints::{EndpointAccounts, Endpoints};
use crate::gateways::{Credential, GatewayRow};
use crate::inputs::ClaimKey;
use crate::key::{MaterialKey, ServiceKey, WorkloadKey};
use crate::networks::NetworkGateways;
use crate::policies::{AccessPolicy, Extension, Patch, PeerPolicy, Policy, RequestPolicy, TelemetryPolicy};
use crate::routes::{Head, Layer4, VirtualService};
use crate::rules::{HostRules, Rule};
use crate::services::{Claim, Service};
use crate::settings::Namespace;
use crate::sidecars::SidecarRow;
use crate::workloads::Workload;

/// `(namespace, name)` of an object of the config cluster.
pub type Named = (Arc<str>, Arc<str>);

/// Declares deduced tables: marker, place in the order, key, row.
macro_rules! deduced {
    ($($(#[$doc:meta])* $def:ident = $order:literal, $key:ty => $row:ty;)*) => { $(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub struct $def;
        impl Level for $def { const ORDER: u16 = $order; const NAME: &'static str = stringify!($def); }
        impl Def for $def { type Key = $key; type Row = $row; }
    )* };
}

deduced! {
    /// Namespaces the mesh looks at. Key: name.
    Namespaces = 100, Arc<str> => Namespace;
    /// Pods and WorkloadEntries as workloads.
    Workloads = 110, WorkloadKey => Workload;
    /// Who says what about which service.
    Claims = 120, ClaimKey => Claim;
    /// The registry.
    Services = 130, ServiceKey => Service;
    /// Endpoints by service.
    ServiceEndpoints = 140, ServiceKey => Endpoints;
    /// The identities behind a service's endpoints.
    ServiceAccounts = 141, ServiceKey => EndpointAccounts;
    /// Gateways between networks. Key: network id.
    Networks = 150, Arc<str> => NetworkGateways;
    /// Root virtual services, delegates merged.
    VirtualServices = 160, Named => VirtualService;
    /// What of each virtual service decides who is concerned.
    RouteHeads = 161, Named => Head;
    /// TLS and TCP routes, of those that have any.
    Layer4Routes = 162, Named => Layer4;
    /// Destination rules before merging, one per object.
    RuleClaims = 170, Named => Rule;
    /// Destination rules by (namespace, host).
    Rules = 171, (Arc<str>, Host) => HostRules;
    /// Sidecar resources.
    Sidecars = 180, Named => SidecarRow;
    /// Gateway resources.
    Gateways = 190, Named => GatewayRow;
    /// Secrets that may hold certificates, and ConfigMaps of the config cluster.
    Credentials = 195, MaterialKey => Credential;
    /// PeerAuthentications.
    PeerPolicies = 200, Named => PeerPolicy;
    /// RequestAuthentications.
    RequestPolicies = 201, Named => RequestPolicy;
    /// AuthorizationPolicies.
    AccessPolicies = 202, Named => AccessPolicy;
    /// Telemetries.
    TelemetryPolicies = 203, Named => TelemetryPolicy;
    /// EnvoyFilters.
    Patches = 204, Named => Patch;
    /// TrafficExtensions and WasmPlugins.
    Extensions = 205, Named => Extension;
    /// ProxyConfig resources.
    ProxyConfigs = 206, Named => Policy<networking::ProxyConfig>;
    /// WorkloadGroups.
    WorkloadGroups = 207, Named => Policy<networking::WorkloadGroup>;
}
