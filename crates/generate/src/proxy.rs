//! What a proxy says of itself (`node` of its first request), and the part of it that builders may know.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::net::IpAddr;
use std::sync::Arc;

use config::mesh::ProxyConfig;
use mesh::endpoints::Locality;
use mesh::workloads::Labels;
use proto::envoy::config::core::v3::Node;

pub mod metadata;

/// As pilot/pkg/model: `NodeType`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum ProxyKind {
    /// Beside a workload.
    Sidecar,
    /// A gateway.
    Router,
    /// An ambient waypoint.
    Waypoint,
    /// The ambient node proxy.
    Ztunnel,
}

/// How traffic gets into a sidecar.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub enum Interception {
    /// iptables REDIRECT.
    #[default]
    Redirect,
    /// iptables TPROXY.
    Tproxy,
    /// None: listeners bind to their ports.
    None,
}

/// What the Envoy binary can load beyond upstream's own extensions.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Capabilities {
    /// `istio.stats`.
    pub stats: bool,
    /// `istio.alpn`.
    pub alpn: bool,
    /// Peer metadata and metadata exchange filters.
    pub metadata_exchange: bool,
    /// Virtual hosts as resources of their own (stock Envoy >= 1.37 on a delta stream).
    pub virtual_hosts: bool,
}

impl Capabilities {
    /// A proxy that announces nothing is taken for an istio-proxy.
    pub const ISTIO: Self = Self { stats: true, alpn: true, metadata_exchange: true, virtual_hosts: false };
    /// Stock Envoy.
    pub const STOCK: Self =
        Self { stats: false, alpn: false, metadata_exchange: false, virtual_hosts: false };
}

/// Which IP families a proxy has.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub enum IpMode {
    /// IPv4 only.
    #[default]
    V4,
    /// IPv6 only.
    V6,
    /// Both.
    Dual,
}

/// What a proxy's listeners tell of its workload: tags of traces, the peer header of a stock Envoy. It is the same for all
/// pods of a workload.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct OwnWorkload {
    /// `WORKLOAD_NAME`.
    pub workload: Arc<str>,
    /// The node's cluster, by which collectors know the producer of a span.
    pub service_cluster: Arc<str>,
    /// The labels in [`OwnWorkload::LABELS`] that it has.
    pub labels: Labels,
}

impl OwnWorkload {
    /// Labels that tell what a workload is called.
    pub const LABELS: [&str; 7] = [
        "service.istio.io/canonical-name",
        "service.istio.io/canonical-revision",
        "app.kubernetes.io/instance",
        "app.kubernetes.io/name",
        "app.kubernetes.io/version",
        "app",
        "version",
    ];

    /// A label, empty if there is none.
    #[must_use]
    pub fn label(&self, name: &str) -> &str {
        self.labels.get(name).map_or("", |v| &**v)
    }
}

/// Everything a builder may know of a proxy. `outbound` blanks what only the proxy's own inbound side depends on, so
/// that workloads that see the same mesh share one value, hence all resources built from it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Proxy {
    /// Sidecar, router, waypoint, ztunnel.
    pub kind: ProxyKind,
    /// Pod name part of the id; empty in the outbound form of a sidecar.
    pub name: Arc<str>,
    /// Namespace (metadata `NAMESPACE`, else from the id). Policy namespace.
    pub namespace: Arc<str>,
    /// `NAMESPACE.svc.cluster.local` part of the id.
    pub dns_domain: Arc<str>,
    /// `INSTANCE_IPS`, else the id's address; empty in the outbound form of a sidecar.
    pub ips: Vec<IpAddr>,
    /// Families.
    pub ip_mode: IpMode,
    /// `SERVICE_ACCOUNT`; empty in the outbound form of a sidecar.
    pub service_account: Arc<str>,
    /// `WORKLOAD_NAME`; empty in the outbound form of a sidecar.
    pub workload: Arc<str>,
    /// `CLUSTER_ID`.
    pub cluster: Arc<str>,
    /// `NETWORK`.
    pub network: Arc<str>,
    /// `REQUESTED_NETWORK_VIEW`; empty = all.
    pub network_view: Vec<Arc<str>>,
    /// Node locality.
    pub locality: Locality,
    /// `LABELS`; in the outbound form only those that some rule of the mesh asks for.
    pub labels: Labels,
    /// `ISTIO_VERSION` as (major, minor, patch); absent parts are the maximum (unknown = newest).
    pub version: (u32, u32, u32),
    /// See [`Interception`].
    pub interception: Interception,
    /// `HTTP_PROXY_PORT`.
    pub http_proxy_port: u32,
    /// `UNPRIVILEGED_POD`.
    pub unprivileged: bool,
    /// `HTTP10`.
    pub http10: bool,
    /// `DNS_CAPTURE`.
    pub dns_capture: bool,
    /// `DNS_AUTO_ALLOCATE`.
    pub dns_auto_allocate: bool,
    /// `NODE_NAME`; empty in the outbound form unless needed.
    pub node: Arc<str>,
    /// `MESH_ID`.
    pub mesh_id: Arc<str>,
    /// What its binary can load.
    pub capabilities: Capabilities,
    /// `PROXY_CONFIG`, merged over the mesh's default by the agent; `None` if it announced none.
    pub config: Option<Arc<ProxyConfig>>,
    /// `POD_PORTS`: container ports by name.
    pub pod_ports: BTreeMap<Arc<str>, u32>,
    /// All other metadata that builders look at, by upstream's name (`TLS_CLIENT_CERT_CHAIN`, `IDLE_TIMEOUT`,
    /// `ENABLE_HBONE`, ...), as text. Only the keys in `metadata::LOOKED_AT` are kept, as whatever differs between two
    /// workloads keeps them from sharing what is built.
    pub metadata: BTreeMap<Arc<str>, Arc<str>>,
    /// Who the workload is, for what its listeners tell of it; `None` in the outbound form of a sidecar.
    pub own: Option<Arc<OwnWorkload>>,
    /// The Sidecar object that applies (namespace, name): set in the outbound form.
    pub sidecar: Option<(Arc<str>, Arc<str>)>,
}

impl Hash for Proxy {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // what tells most proxies apart; the rest is compared
        (&self.name, &self.namespace, &self.ips, &self.sidecar, &self.network, &self.cluster).hash(state);
    }
}

impl Proxy {
    /// Takes another id for the cluster it runs in, in the label that repeats it as well.
    pub fn rename_cluster(&mut self, id: &Arc<str>) {
        let label = self.labels.get_mut(config::label::CLUSTER);
        if let Some(label) = label.filter(|label| **label == self.cluster) {
            *label = id.clone();
        }
        self.cluster = id.clone();
    }

    /// Reads a node. Errors say what is wrong with the id or the metadata
    /// (as pilot/pkg/model/context.go: `ParseServiceNodeWithMetadata`).
    ///
    /// # Errors
    /// A node id that is not `type~ip~name.namespace~domain`, or an unknown type.
    pub fn from_node(node: &Node) -> Result<Self, String> {
        metadata::parse(node)
    }

    /// First address.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        self.ips.first().copied()
    }

    /// The form that outbound builders get: without what only the inbound side needs. `asked` are the label keys that
    /// rules mention. Gateways keep everything but their addresses and pod name.
    #[must_use]
    pub fn outbound(&self, asked: &[Arc<str>], sidecar: Option<(Arc<str>, Arc<str>)>) -> Self {
        let mut out = Self {
            name: Arc::from(""),
            ips: Vec::new(),
            node: Arc::from(""),
            pod_ports: BTreeMap::new(),
            ..self.clone()
        };
        if self.kind == ProxyKind::Sidecar {
            out.service_account = Arc::from("");
            out.workload = Arc::from("");
            out.own = None;
            out.metadata.retain(|k, _| !metadata::INBOUND_ONLY.contains(&&**k));
            out.labels.retain(|k, _| asked.contains(k));
            if asked.iter().any(|k| **k == *config::label::HOSTNAME) {
                out.node = self.node.clone();
            }
            out.sidecar = sidecar;
        }
        out
    }

    /// An outbound form without its place in the mesh: what is built for it is shared by all namespaces.
    #[must_use]
    pub fn placeless(&self) -> Self {
        Self { namespace: Arc::from(""), dns_domain: Arc::from(""), sidecar: None, ..self.clone() }
    }

    /// An outbound form as far as virtual hosts of a service of `namespace` depend on it: to those, all namespaces but
    /// the service's own are alike.
    #[must_use]
    pub fn outside(&self, namespace: &str) -> Self {
        if self.is_near(namespace) {
            return Self { sidecar: None, ..self.clone() };
        }
        let suffix = self.dns_domain.find(".svc.").map(|at| &self.dns_domain[at..]);
        // no namespace has this name
        let dns_domain = suffix.map_or_else(|| self.dns_domain.clone(), |suffix| format!("~{suffix}").into());
        Self { dns_domain, ..self.placeless() }
    }

    /// Whether a service of `namespace` may be called by its bare name.
    #[must_use]
    pub fn is_near(&self, namespace: &str) -> bool {
        let domain = self.dns_domain.split_once(".svc.").map(|(own, _)| own);
        *self.namespace == *namespace || domain == Some(namespace) || domain == Some("")
    }

    /// The metadata value under an upstream name, which must stand in `metadata::LOOKED_AT`.
    #[must_use]
    pub fn meta(&self, name: &str) -> Option<&str> {
        self.metadata.get(name).map(|v| &**v)
    }

    /// Whether the metadata value is `true` or `1`, as upstream's StringBool.
    #[must_use]
    pub fn flag(&self, name: &str) -> bool {
        matches!(self.meta(name), Some("true" | "1"))
    }

    /// Wildcard address to bind: `0.0.0.0` or `::`.
    #[must_use]
    pub fn wildcard(&self) -> &'static str {
        if self.ip_mode == IpMode::V6 { "::" } else { "0.0.0.0" }
    }

    /// Loopback address: `127.0.0.1` or `::1`.
    #[must_use]
    pub fn loopback(&self) -> &'static str {
        if self.ip_mode == IpMode::V6 { "::1" } else { "127.0.0.1" }
    }
}
