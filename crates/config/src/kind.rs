//! The kinds an object may have, and where an API server serves them.

use std::fmt;
use std::sync::Arc;

use crate::{extensions, gateway_api, kubernetes, networking, security, telemetry};

/// A type that is the body of one kind.
pub trait Body: Sized {
    /// Its kind.
    const KIND: Kind;
    /// The body, if the object is of this kind.
    fn of(spec: &Spec) -> Option<&Arc<Self>>;
}

macro_rules! kinds {
    (@name $kind:ident) => { stringify!($kind) };
    (@name $kind:ident $name:literal) => { $name };
    ($( $kind:ident $(= $name:literal)? : $ty:ty, $group:literal, [$($version:literal),+], $plural:literal, $namespaced:literal; )*) => {
        /// What an object is.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Kind {
            $(
                #[doc = concat!("`", kinds!(@name $kind $($name)?), "` of the group `", $group, "`.")]
                $kind,
            )*
        }

        impl Kind {
            /// Every kind, in the order of declaration.
            pub const ALL: &'static [Self] = &[$( Self::$kind, )*];

            /// The name, as in `kind: VirtualService`.
            pub const fn name(self) -> &'static str {
                match self { $( Self::$kind => kinds!(@name $kind $($name)?), )* }
            }

            /// The API group; empty for the core of Kubernetes.
            pub const fn group(self) -> &'static str {
                match self { $( Self::$kind => $group, )* }
            }

            /// The versions that are served, the stored or preferred one first.
            pub const fn versions(self) -> &'static [&'static str] {
                match self { $( Self::$kind => &[$($version),+], )* }
            }

            /// The plural, as in an URL.
            pub const fn plural(self) -> &'static str {
                match self { $( Self::$kind => $plural, )* }
            }

            /// Whether its objects live in namespaces.
            pub const fn namespaced(self) -> bool {
                match self { $( Self::$kind => $namespaced, )* }
            }
        }

        /// The body of an object, by kind; shared, never changed.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum Spec {
            $(
                #[doc = concat!("The body of a `", stringify!($kind), "`.")]
                $kind(Arc<$ty>),
            )*
        }

        impl Spec {
            /// Its kind.
            pub const fn kind(&self) -> Kind {
                match self { $( Self::$kind(_) => Kind::$kind, )* }
            }

            /// The body as the type `T`, if it is of that kind.
            pub fn get<T: Body>(&self) -> Option<&Arc<T>> {
                T::of(self)
            }

            /// The body as JSON; for kinds of Kubernetes only the fields that are kept, in one level.
            pub fn to_value(&self) -> crate::Value {
                match self { $( Self::$kind(body) => body.to_value(), )* }
            }
        }

        $(
            impl Body for $ty {
                const KIND: Kind = Kind::$kind;
                fn of(spec: &Spec) -> Option<&Arc<Self>> {
                    if let Spec::$kind(body) = spec { Some(body) } else { None }
                }
            }

            impl From<$ty> for Spec {
                fn from(body: $ty) -> Self {
                    Self::$kind(Arc::new(body))
                }
            }
        )*

        /// Reads the body of a document of this kind.
        pub(crate) fn read_body(kind: Kind, root: &crate::decode::Node, reader: &mut crate::decode::Reader) -> Spec {
            match kind {
                $( Kind::$kind => Spec::$kind(Arc::new(crate::decode::body::read::<$ty>(root, reader))), )*
            }
        }
    };
}

kinds! {
    VirtualService: networking::VirtualService, "networking.istio.io", ["v1", "v1beta1", "v1alpha3"], "virtualservices", true;
    DestinationRule: networking::DestinationRule, "networking.istio.io", ["v1", "v1beta1", "v1alpha3"], "destinationrules", true;
    Gateway: networking::Gateway, "networking.istio.io", ["v1", "v1beta1", "v1alpha3"], "gateways", true;
    ServiceEntry: networking::ServiceEntry, "networking.istio.io", ["v1", "v1beta1", "v1alpha3"], "serviceentries", true;
    Sidecar: networking::Sidecar, "networking.istio.io", ["v1", "v1beta1", "v1alpha3"], "sidecars", true;
    WorkloadEntry: networking::WorkloadEntry, "networking.istio.io", ["v1", "v1beta1", "v1alpha3"], "workloadentries", true;
    WorkloadGroup: networking::WorkloadGroup, "networking.istio.io", ["v1", "v1beta1", "v1alpha3"], "workloadgroups", true;
    EnvoyFilter: networking::EnvoyFilter, "networking.istio.io", ["v1alpha3"], "envoyfilters", true;
    ProxyConfig: networking::ProxyConfig, "networking.istio.io", ["v1beta1"], "proxyconfigs", true;
    PeerAuthentication: security::PeerAuthentication, "security.istio.io", ["v1", "v1beta1"], "peerauthentications", true;
    RequestAuthentication: security::RequestAuthentication, "security.istio.io", ["v1", "v1beta1"], "requestauthentications", true;
    AuthorizationPolicy: security::AuthorizationPolicy, "security.istio.io", ["v1", "v1beta1"], "authorizationpolicies", true;
    Telemetry: telemetry::Telemetry, "telemetry.istio.io", ["v1", "v1alpha1"], "telemetries", true;
    WasmPlugin: extensions::WasmPlugin, "extensions.istio.io", ["v1alpha1"], "wasmplugins", true;
    TrafficExtension: extensions::TrafficExtension, "extensions.istio.io", ["v1alpha1"], "trafficextensions", true;
    Namespace: kubernetes::Namespace, "", ["v1"], "namespaces", false;
    Node: kubernetes::Node, "", ["v1"], "nodes", false;
    Service: kubernetes::Service, "", ["v1"], "services", true;
    Endpoints: kubernetes::Endpoints, "", ["v1"], "endpoints", true;
    EndpointSlice: kubernetes::EndpointSlice, "discovery.k8s.io", ["v1"], "endpointslices", true;
    Pod: kubernetes::Pod, "", ["v1"], "pods", true;
    ServiceAccount: kubernetes::ServiceAccount, "", ["v1"], "serviceaccounts", true;
    Secret: kubernetes::Secret, "", ["v1"], "secrets", true;
    ConfigMap: kubernetes::ConfigMap, "", ["v1"], "configmaps", true;
    Ingress: kubernetes::Ingress, "networking.k8s.io", ["v1"], "ingresses", true;
    GatewayClass: gateway_api::GatewayClass, "gateway.networking.k8s.io", ["v1", "v1beta1"], "gatewayclasses", false;
    KubernetesGateway = "Gateway": gateway_api::Gateway, "gateway.networking.k8s.io", ["v1", "v1beta1"], "gateways", true;
    ListenerSet: gateway_api::ListenerSet, "gateway.networking.k8s.io", ["v1"], "listenersets", true;
    HttpRoute = "HTTPRoute": gateway_api::HttpRoute, "gateway.networking.k8s.io", ["v1", "v1beta1"], "httproutes", true;
    GrpcRoute = "GRPCRoute": gateway_api::GrpcRoute, "gateway.networking.k8s.io", ["v1"], "grpcroutes", true;
    TlsRoute = "TLSRoute": gateway_api::TlsRoute, "gateway.networking.k8s.io", ["v1", "v1alpha2", "v1alpha3"], "tlsroutes", true;
    TcpRoute = "TCPRoute": gateway_api::TcpRoute, "gateway.networking.k8s.io", ["v1", "v1alpha2"], "tcproutes", true;
    UdpRoute = "UDPRoute": gateway_api::UdpRoute, "gateway.networking.k8s.io", ["v1", "v1alpha2"], "udproutes", true;
    ReferenceGrant: gateway_api::ReferenceGrant, "gateway.networking.k8s.io", ["v1beta1", "v1"], "referencegrants", true;
    BackendTlsPolicy = "BackendTLSPolicy": gateway_api::BackendTlsPolicy, "gateway.networking.k8s.io", ["v1", "v1alpha3"], "backendtlspolicies", true;
    BackendTrafficPolicy = "XBackendTrafficPolicy": gateway_api::BackendTrafficPolicy, "gateway.networking.x-k8s.io", ["v1alpha1"], "xbackendtrafficpolicies", true;
    Backend = "XBackend": gateway_api::Backend, "gateway.networking.x-k8s.io", ["v1alpha1"], "xbackends", true;
    InferencePool: gateway_api::InferencePool, "inference.networking.k8s.io", ["v1"], "inferencepools", true;
    IngressClass: kubernetes::IngressClass, "networking.k8s.io", ["v1"], "ingressclasses", false;
    ServiceExport: kubernetes::ServiceExport, "multicluster.x-k8s.io", ["v1alpha1"], "serviceexports", true;
    ServiceImport: kubernetes::ServiceImport, "multicluster.x-k8s.io", ["v1alpha1"], "serviceimports", true;
}

impl Kind {
    /// The kind of `group/version`, `kind` as a document names it; any served version will do.
    pub fn find(api_version: &str, kind: &str) -> Option<Self> {
        let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
        Self::in_group(group, kind).filter(|k| k.versions().contains(&version))
    }

    /// The kind of this name in a group, whatever the version.
    pub fn in_group(group: &str, kind: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|k| k.name() == kind && k.group() == group)
    }

    /// Whether Istio owns it.
    pub fn is_istio(self) -> bool {
        self.group().ends_with(".istio.io")
    }

    /// Whether it is of the Gateway API or its extension for inference.
    pub fn is_gateway_api(self) -> bool {
        self.group().starts_with("gateway.networking.") || self.group().starts_with("inference.networking.")
    }

    /// Whether it is of the Multi-Cluster Services API, which some platforms serve as a group of their own.
    pub fn is_multicluster(self) -> bool {
        matches!(self, Self::ServiceExport | Self::ServiceImport)
    }

    /// Whether users configure the mesh with it: its fields are known completely, so unknown ones are told, the
    /// place of each is remembered, and its status is kept.
    pub fn is_configuration(self) -> bool {
        self.is_istio() || self.is_gateway_api()
    }

    /// The preferred `apiVersion`, as in `networking.istio.io/v1`.
    pub fn api_version(self) -> String {
        let version = self.versions().first().copied().unwrap_or_default();
        if self.group().is_empty() { version.to_owned() } else { format!("{}/{version}", self.group()) }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
