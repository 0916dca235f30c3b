//! Facts: everything that may be told to a mesh, and the batches it is told in.

use std::net::IpAddr;
use std::sync::Arc;

use config::Meta;
use config::kubernetes;
use config::{extensions, networking, security, telemetry};
use tables::{Def, Level};

use crate::gateways::Credential;
use crate::key::{MaterialKey, ObjectKey, ServiceKey, WorkloadKey};
use crate::settings::Settings;

/// An object as it was read: metadata (with its place in a file) and spec.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fact<T> {
    /// Names, labels, times, origin.
    pub meta: Arc<Meta>,
    /// The decoded spec.
    pub spec: Arc<T>,
    /// The `status` of the few kinds whose status is a fact for others (ServiceEntry, WorkloadEntry).
    pub status: Option<Arc<config::Value>>,
}

/// Declares one table of facts: marker, place in the order, key, row.
macro_rules! facts {
    ($($(#[$doc:meta])* $def:ident = $order:literal, $key:ty => $row:ty;)*) => { $(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub struct $def;
        impl Level for $def { const ORDER: u16 = $order; const NAME: &'static str = stringify!($def); }
        impl Def for $def { type Key = $key; type Row = $row; }
    )* };
}

/// What declares a service.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Declaration {
    /// A Kubernetes Service.
    Kube(Fact<kubernetes::Service>),
    /// A ServiceEntry.
    Entry(Fact<networking::ServiceEntry>),
}

/// Names a declaration. A Service and a ServiceEntry may have the same name.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct DeclarationKey {
    /// True for a ServiceEntry.
    pub entry: bool,
    /// The object.
    pub object: ObjectKey,
}

/// What declares a workload.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Instance {
    /// A Pod.
    Pod(Fact<kubernetes::Pod>),
    /// A WorkloadEntry.
    Entry(Fact<networking::WorkloadEntry>),
}

facts! {
    /// MeshConfig, MeshNetworks and switches; one row.
    SettingsFact = 1, () => Settings;
    /// Kubernetes Namespaces.
    NamespaceFacts = 2, ObjectKey => Fact<kubernetes::Namespace>;
    /// Kubernetes Nodes.
    NodeFacts = 3, ObjectKey => Fact<kubernetes::Node>;
    /// Services and ServiceEntries.
    Declarations = 4, DeclarationKey => Declaration;
    /// EndpointSlices; Endpoints objects become slices where they are read (their names then have a `~`).
    SliceFacts = 5, ObjectKey => Fact<kubernetes::EndpointSlice>;
    /// Pods and WorkloadEntries.
    Instances = 6, WorkloadKey => Instance;
    /// ServiceAccounts.
    AccountFacts = 7, ObjectKey => Fact<kubernetes::ServiceAccount>;
    /// Secrets and ConfigMaps, of those that may hold certificates.
    MaterialFacts = 8, MaterialKey => Credential;
    /// ServiceExports of the Multi-Cluster Services API.
    ServiceExportFacts = 9, ObjectKey => Fact<kubernetes::ServiceExport>;
    /// VirtualServices.
    VirtualServiceFacts = 10, ObjectKey => Fact<networking::VirtualService>;
    /// DestinationRules.
    DestinationRuleFacts = 11, ObjectKey => Fact<networking::DestinationRule>;
    /// Gateways.
    GatewayFacts = 12, ObjectKey => Fact<networking::Gateway>;
    /// Sidecars.
    SidecarFacts = 13, ObjectKey => Fact<networking::Sidecar>;
    /// WorkloadGroups.
    WorkloadGroupFacts = 14, ObjectKey => Fact<networking::WorkloadGroup>;
    /// EnvoyFilters.
    EnvoyFilterFacts = 15, ObjectKey => Fact<networking::EnvoyFilter>;
    /// ProxyConfigs (the resource, not MeshConfig's part).
    ProxyConfigFacts = 16, ObjectKey => Fact<networking::ProxyConfig>;
    /// PeerAuthentications.
    PeerAuthenticationFacts = 17, ObjectKey => Fact<security::PeerAuthentication>;
    /// RequestAuthentications.
    RequestAuthenticationFacts = 18, ObjectKey => Fact<security::RequestAuthentication>;
    /// AuthorizationPolicies.
    AuthorizationPolicyFacts = 19, ObjectKey => Fact<security::AuthorizationPolicy>;
    /// Telemetries.
    TelemetryFacts = 20, ObjectKey => Fact<telemetry::Telemetry>;
    /// ServiceImports of the Multi-Cluster Services API.
    ServiceImportFacts = 21, ObjectKey => Fact<kubernetes::ServiceImport>;
    /// TrafficExtensions; WasmPlugins become such where they are read.
    TrafficExtensionFacts = 22, ObjectKey => Fact<extensions::TrafficExtension>;
    /// Addresses of hosts that gateways between networks are known by, sorted. Key: the host.
    HostFacts = 23, Arc<str> => Vec<IpAddr>;
}

/// One change of the facts: object put (`Some`) or removed (`None`), applied in order, committed as one revision.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// New MeshConfig and the rest, if they changed.
    pub settings: Option<Settings>,
    /// Objects put: an object of a kind the mesh does not hold is ignored.
    pub puts: Vec<(Arc<str>, config::Object)>,
    /// Objects removed: cluster id, kind, namespace, name.
    pub removes: Vec<(config::Kind, ObjectKey)>,
    /// Addresses of hosts, of those in [`NetworkGateways::hosts`](crate::networks::NetworkGateways::hosts); `None` if they are
    /// not known any more.
    pub hosts: Vec<(Arc<str>, Option<Vec<IpAddr>>)>,
}

impl Batch {
    /// Whether it says nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.settings.is_none() && self.puts.is_empty() && self.removes.is_empty() && self.hosts.is_empty()
    }
    /// Adds an object of cluster `cluster`.
    pub fn put(&mut self, cluster: &Arc<str>, object: config::Object) {
        self.puts.push((cluster.clone(), object));
    }
}

/// The service a claim is about, and who claims it.
pub(crate) type ClaimKey = (ServiceKey, DeclarationKey);
