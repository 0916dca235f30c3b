//! The sidecar declarations of networking.istio.io: what its fields are and how they are read.

use super::{ConnectionPoolSettings, Destination, ServerTlsSettings};
use crate::decode::schema::{spec, spec_enum};
use crate::labels::Labels;

spec! {
    /// `Sidecar` of networking.istio.io.
    pub struct Sidecar {
        workload_selector: Option<WorkloadSelector>,
        ingress: Vec<IstioIngressListener>,
        egress: Vec<IstioEgressListener>,
        inbound_connection_pool: Option<ConnectionPoolSettings>,
        outbound_traffic_policy: Option<OutboundTrafficPolicy>,
    }
}

spec! {
    /// `IstioIngressListener` of networking.istio.io.
    pub struct IstioIngressListener {
        port: Option<SidecarPort>,
        bind: String,
        capture_mode: CaptureMode,
        default_endpoint: String,
        tls: Option<ServerTlsSettings>,
        connection_pool: Option<ConnectionPoolSettings>,
    }
}

spec! {
    /// `IstioEgressListener` of networking.istio.io.
    pub struct IstioEgressListener {
        port: Option<SidecarPort>,
        bind: String,
        capture_mode: CaptureMode,
        hosts: Vec<String>,
    }
}

spec! {
    /// `WorkloadSelector` of networking.istio.io.
    pub struct WorkloadSelector {
        labels: Labels,
    }
}

spec! {
    /// `OutboundTrafficPolicy` of networking.istio.io.
    pub struct OutboundTrafficPolicy {
        mode: Mode,
        egress_proxy: Option<Destination>,
    }
}

spec_enum! {
    /// `OutboundTrafficPolicy.Mode` of networking.istio.io.
    pub enum Mode {
        RegistryOnly = 0 "REGISTRY_ONLY",
        AllowAny = 1 "ALLOW_ANY",
    }
}

spec! {
    /// `SidecarPort` of networking.istio.io.
    pub struct SidecarPort {
        number: u32,
        protocol: String,
        name: String,
        target_port: u32,
    }
}

spec_enum! {
    /// `CaptureMode` of networking.istio.io.
    pub enum CaptureMode {
        Default = 0 "DEFAULT",
        Iptables = 1 "IPTABLES",
        None = 2 "NONE",
    }
}
