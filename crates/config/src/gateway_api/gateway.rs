//! `GatewayClass`, `Gateway` and `ListenerSet`: where traffic comes in.

use std::collections::BTreeMap;

use super::{ObjectReference, ParentReference, SecretObjectReference};
use crate::decode::schema::spec;
use crate::labels::Labels;
use crate::mesh::LabelSelector;

spec! {
    /// `GatewayClass`: which controller serves gateways of this class.
    pub struct GatewayClass {
        controller_name: String,
        description: String,
        parameters_ref: Option<ObjectReference>,
    }
}

spec! {
    /// `Gateway`: addresses and listeners.
    pub struct Gateway {
        gateway_class_name: String,
        listeners: Vec<Listener>,
        addresses: Vec<GatewayAddress>,
        infrastructure: Option<GatewayInfrastructure>,
        allowed_listeners: Option<AllowedListeners>,
        tls: Option<GatewayTlsConfig>,
        default_scope: String,
    }
}

spec! {
    /// An address a gateway asks for.
    pub struct GatewayAddress {
        r#type: Option<String>,
        value: String,
    }
}

impl GatewayAddress {
    /// The type; `IPAddress` by default.
    pub fn address_type(&self) -> &str {
        self.r#type.as_deref().unwrap_or("IPAddress")
    }
}

spec! {
    /// What is put on everything made for a gateway.
    pub struct GatewayInfrastructure {
        labels: Labels,
        annotations: Labels,
        parameters_ref: Option<ObjectReference>,
    }
}

spec! {
    /// Who may add listeners to a gateway.
    pub struct AllowedListeners {
        namespaces: Option<FromNamespaces>,
    }
}

spec! {
    /// Namespaces by word (`All`, `Selector`, `Same`, `None`) or by label.
    pub struct FromNamespaces {
        from: Option<String>,
        selector: Option<LabelSelector>,
    }
}

spec! {
    /// A port, what it speaks, and for which host; of a gateway or of a set.
    pub struct Listener {
        name: String,
        hostname: Option<String>,
        port: i32,
        protocol: String,
        tls: Option<ListenerTlsConfig>,
        allowed_routes: Option<AllowedRoutes>,
    }
}

spec! {
    /// Which routes a listener takes.
    pub struct AllowedRoutes {
        namespaces: Option<FromNamespaces>,
        kinds: Vec<RouteGroupKind>,
    }
}

impl AllowedRoutes {
    /// From where; `Same` by default.
    pub fn from(&self) -> &str {
        self.namespaces.as_ref().and_then(|n| n.from.as_deref()).unwrap_or("Same")
    }
}

spec! {
    /// A kind of routes; of the Gateway API if no group is given.
    pub struct RouteGroupKind {
        group: Option<String>,
        kind: String,
    }
}

spec! {
    /// How a listener ends TLS, or does not.
    pub struct ListenerTlsConfig {
        mode: Option<String>,
        certificate_refs: Vec<SecretObjectReference>,
        options: BTreeMap<String, String>,
    }
}

impl ListenerTlsConfig {
    /// `Terminate` (by default) or `Passthrough`.
    pub fn mode(&self) -> &str {
        self.mode.as_deref().unwrap_or("Terminate")
    }
}

spec! {
    /// TLS of a whole gateway, towards backends and towards clients.
    pub struct GatewayTlsConfig {
        backend: Option<GatewayBackendTls>,
        frontend: Option<GatewayFrontendTls>,
    }
}

spec! {
    /// The certificate a gateway shows to backends.
    pub struct GatewayBackendTls {
        client_certificate_ref: Option<SecretObjectReference>,
    }
}

spec! {
    /// How clients are checked, by default and by port.
    pub struct GatewayFrontendTls {
        default: Option<FrontendTls>,
        per_port: Vec<FrontendPortTls>,
    }
}

spec! {
    /// How clients of one port are checked.
    pub struct FrontendPortTls {
        port: i32,
        tls: Option<FrontendTls>,
    }
}

spec! {
    /// How clients are checked.
    pub struct FrontendTls {
        validation: Option<FrontendTlsValidation>,
    }
}

spec! {
    /// Who signs certificates of clients, and what becomes of clients without one.
    pub struct FrontendTlsValidation {
        ca_certificate_refs: Vec<ObjectReference>,
        mode: Option<String>,
    }
}

spec! {
    /// `ListenerSet`: more listeners of a gateway.
    pub struct ListenerSet {
        parent_ref: ParentReference,
        listeners: Vec<Listener>,
    }
}
