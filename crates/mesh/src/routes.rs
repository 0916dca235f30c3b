//! Virtual services: resolved host names, merged delegates, visibility.

mod delegates;
pub(crate) mod resolve;

use std::collections::BTreeSet;
use std::sync::Arc;

use config::networking::{HttpRoute, TcpRoute, TlsRoute};
use config::{Host, Visibility};

/// A root VirtualService after resolution and delegate merging
/// (as pilot/pkg/model/virtualservice.go: `ResolveVirtualServiceShortnames`, `mergeVirtualServicesIfNeeded`).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VirtualService {
    /// `metadata.namespace`.
    pub namespace: Arc<str>,
    /// `metadata.name`.
    pub name: Arc<str>,
    /// Unix seconds; older wins.
    pub created: i64,
    /// Fully qualified.
    pub hosts: Vec<Host>,
    /// `mesh` or `namespace/name`; never empty (defaults to `mesh`).
    pub gateways: Vec<Arc<str>>,
    /// Already defaulted; as `Service::export_to`: empty means everybody, `{None}` nobody.
    pub export_to: BTreeSet<Visibility>,
    /// Destinations and delegates resolved to FQDN; match gateways resolved.
    pub http: Vec<Arc<HttpRoute>>,
    /// See `http`.
    pub tls: Vec<Arc<TlsRoute>>,
    /// See `http`.
    pub tcp: Vec<Arc<TcpRoute>>,
    /// `internal.istio.io/route-semantics` annotation (`gateway`, `ingress`), empty for user's own.
    pub semantics: Arc<str>,
    /// `istio.io/...` use-host-header and similar flags live here as they appear: names of merged delegates, for
    /// provenance (`namespace/name`).
    pub delegates: Vec<Arc<str>>,
}

impl VirtualService {
    /// Label keys of callers that its matches mention (`sourceLabels`), with repetitions.
    pub fn asked_labels(&self) -> impl Iterator<Item = &str> {
        let http = self.http.iter().flat_map(|r| &r.r#match).flat_map(|m| m.source_labels.keys());
        let tls = self.tls.iter().flat_map(|r| &r.r#match).flat_map(|m| m.source_labels.keys());
        let tcp = self.tcp.iter().flat_map(|r| &r.r#match).flat_map(|m| m.source_labels.keys());
        http.chain(tls).chain(tcp).map(String::as_str)
    }
}

#[cfg(test)]
mod tests;
