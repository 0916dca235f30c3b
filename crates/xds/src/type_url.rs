//! Resource types: the known ones by name, the order they are sent in, and how each must be treated on the wire.

use std::fmt;
use std::sync::Arc;

/// The type of a resource. The order of the variants is the order types are sent in
/// (as pilot/pkg/xds/ads.go: `PushOrder`, with virtual hosts right behind the routes they belong to).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TypeUrl {
    /// CDS: `envoy.config.cluster.v3.Cluster`.
    Cluster,
    /// EDS: `envoy.config.endpoint.v3.ClusterLoadAssignment`.
    Endpoint,
    /// LDS: `envoy.config.listener.v3.Listener`.
    Listener,
    /// RDS: `envoy.config.route.v3.RouteConfiguration`.
    Route,
    /// VHDS: `envoy.config.route.v3.VirtualHost`, on delta streams only.
    VirtualHost,
    /// SDS: `envoy.extensions.transport_sockets.tls.v3.Secret`.
    Secret,
    /// WDS: `istio.workload.Address`.
    Address,
    /// WDS: `istio.workload.Workload`.
    Workload,
    /// WADS: `istio.security.Authorization`.
    Authorization,
    /// ECDS: `envoy.config.core.v3.TypedExtensionConfig`.
    Extension,
    /// NDS: `istio.networking.nds.v1.NameTable`.
    NameTable,
    /// PCDS: `istio.mesh.v1alpha1.ProxyConfig`.
    ProxyConfig,
    /// BDS: `envoy.config.bootstrap.v3.Bootstrap`.
    Bootstrap,
    /// `istio.v1.HealthInformation`: what an agent reports; never served.
    HealthInformation,
    /// Anything else, `istio.io/debug/...` included.
    Other(Arc<str>),
}

const PREFIX: &str = "type.googleapis.com/";

/// Known types: message name, short form, form in metrics.
const KNOWN: &[(TypeUrl, &str, &str, &str)] = &[
    (TypeUrl::Cluster, "type.googleapis.com/envoy.config.cluster.v3.Cluster", "CDS", "cds"),
    (TypeUrl::Endpoint, "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment", "EDS", "eds"),
    (TypeUrl::Listener, "type.googleapis.com/envoy.config.listener.v3.Listener", "LDS", "lds"),
    (TypeUrl::Route, "type.googleapis.com/envoy.config.route.v3.RouteConfiguration", "RDS", "rds"),
    (TypeUrl::VirtualHost, "type.googleapis.com/envoy.config.route.v3.VirtualHost", "VHDS", "vhds"),
    (TypeUrl::Secret, "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret", "SDS", "sds"),
    (TypeUrl::Address, "type.googleapis.com/istio.workload.Address", "WDS", "wds"),
    (TypeUrl::Workload, "type.googleapis.com/istio.workload.Workload", "WDS", "wds"),
    (TypeUrl::Authorization, "type.googleapis.com/istio.security.Authorization", "WADS", "wads"),
    (TypeUrl::Extension, "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig", "ECDS", "ecds"),
    (TypeUrl::NameTable, "type.googleapis.com/istio.networking.nds.v1.NameTable", "NDS", "nds"),
    (TypeUrl::ProxyConfig, "type.googleapis.com/istio.mesh.v1alpha1.ProxyConfig", "PCDS", "pcds"),
    (TypeUrl::Bootstrap, "type.googleapis.com/envoy.config.bootstrap.v3.Bootstrap", "BDS", "bds"),
    (
        TypeUrl::HealthInformation,
        "type.googleapis.com/istio.v1.HealthInformation",
        "HealthInformation",
        "type.googleapis.com/istio.v1.HealthInformation",
    ),
];

impl TypeUrl {
    /// The type a request names; unknown ones are kept as they are.
    #[must_use]
    pub fn parse(url: &str) -> Self {
        KNOWN
            .iter()
            .find(|(_, full, ..)| *full == url)
            .map_or_else(|| Self::Other(Arc::from(url)), |(known, ..)| known.clone())
    }

    /// The type for a short form such as `CDS` (any case) or a message name; as pkg/model/xds.go: `GetResourceType`.
    #[must_use]
    pub fn from_short(short: &str) -> Self {
        KNOWN
            .iter()
            .find(|(_, full, name, _)| {
                name.eq_ignore_ascii_case(short) || full.strip_prefix(PREFIX) == Some(short)
            })
            .map_or_else(|| Self::parse(short), |(known, ..)| known.clone())
    }

    fn known(&self) -> Option<&'static (TypeUrl, &'static str, &'static str, &'static str)> {
        KNOWN.iter().find(|(known, ..)| known == self)
    }

    /// The URL as it stands in requests and in `Any`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Other(url) => url,
            known => known.known().map_or("", |(_, url, ..)| url),
        }
    }

    /// `CDS`, `EDS`, ...; the URL itself for types without a short form.
    #[must_use]
    pub fn short(&self) -> &str {
        self.known().map_or_else(|| self.as_str(), |(_, _, short, _)| short)
    }

    /// The label value in metrics: `cds`, `eds`, ...
    #[must_use]
    pub fn metric(&self) -> &str {
        self.known().map_or_else(|| self.as_str(), |(.., metric)| metric)
    }

    /// Whether a first request without names means all resources. Not so for the types that a proxy asks for by
    /// name because another resource mentions them (as pkg/xds/server.go: `IsWildcardTypeURL`).
    #[must_use]
    pub fn implicit_wildcard(&self) -> bool {
        !matches!(self, Self::Endpoint | Self::Route | Self::Secret | Self::Extension)
    }

    /// Whether a state-of-the-world response always lists everything; absence is how that protocol says "removed".
    pub(crate) fn always_listed_whole(&self) -> bool {
        matches!(self, Self::Cluster | Self::Listener)
    }

    /// Whether one refused resource makes Envoy refuse its whole response, so that each travels alone.
    pub(crate) fn one_per_response(&self) -> bool {
        matches!(self, Self::Route)
    }

    /// Whether the proxy may be told that a resource is gone. Envoy crashed on removed extension configurations
    /// (envoy#32823), and upstream never removes them.
    pub(crate) fn removable(&self) -> bool {
        !matches!(self, Self::Extension)
    }

    /// Whether an agent takes the type's one resource itself. Upstream's agents do not acknowledge a response without it
    /// (pkg/istio-agent/xds_proxy.go: handleUpstreamResponse), so there is nothing to say while there is none.
    pub(crate) fn ends_at_the_agent(&self) -> bool {
        matches!(self, Self::NameTable | Self::ProxyConfig)
    }

    /// Whether removals wait until everything that may still mention the resource has been sent.
    pub(crate) fn removed_last(&self) -> bool {
        matches!(self, Self::Cluster | Self::Endpoint | Self::Secret)
    }
}

impl fmt::Display for TypeUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<&str> for TypeUrl {
    fn from(url: &str) -> Self {
        Self::parse(url)
    }
}

#[cfg(test)]
mod tests;
