//! Virtual services: resolved host names, merged delegates, visibility.

mod delegates;
pub(crate) mod resolve;

use std::collections::BTreeSet;
use std::sync::Arc;

use config::networking::{Destination, HttpMatchRequest, HttpRoute, TcpRoute, TlsRoute};
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
    /// Where each route of `http` was written; empty where no route delegates: the routes then stand as in the object.
    pub places: Vec<RoutePlace>,
}

/// Where an HTTP route was written: in the root, or by a delegate of a route of the root. What the delegate leaves out
/// is the root's.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RoutePlace {
    /// Number of the route in the root's `spec.http`.
    pub root: usize,
    /// Number of the delegate in [`VirtualService::delegates`], and of the route in its `spec.http`.
    pub leaf: Option<(usize, usize)>,
    /// For each match of the route, the numbers of the matches of root and delegate that it joins.
    pub matches: Vec<MatchPlace>,
}

/// The numbers of the matches of root and delegate that one match joins.
pub type MatchPlace = (Option<usize>, Option<usize>);

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

/// What of a virtual service decides who is concerned, kept apart from what it then does: an edit of a timeout or a
/// weight leaves it equal, so scopes, listeners and the list of a route's parts are not looked at again.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Head {
    /// As in [`VirtualService`].
    pub namespace: Arc<str>,
    /// As in [`VirtualService`].
    pub name: Arc<str>,
    /// As in [`VirtualService`].
    pub created: i64,
    /// As in [`VirtualService`].
    pub hosts: Vec<Host>,
    /// As in [`VirtualService`].
    pub gateways: Vec<Arc<str>>,
    /// As in [`VirtualService`].
    pub export_to: BTreeSet<Visibility>,
    /// As in [`VirtualService`].
    pub semantics: Arc<str>,
    /// The matches of each HTTP route, in order.
    pub matches: Vec<Vec<HttpMatchRequest>>,
    /// Where routes lead.
    pub destinations: BTreeSet<Lead>,
    /// Whether it has TLS or TCP routes.
    pub layer4: bool,
}

/// A destination of a virtual service.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Lead {
    /// Fully qualified host.
    pub host: Host,
    /// Port number, 0 for any.
    pub port: u32,
    /// Namespaces whose callers it is for; empty for everybody.
    pub from: BTreeSet<String>,
}

/// The TLS and TCP routes of a virtual service.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Layer4 {
    /// As in [`VirtualService`].
    pub tls: Vec<Arc<TlsRoute>>,
    /// As in [`VirtualService`].
    pub tcp: Vec<Arc<TcpRoute>>,
}

/// Stage: the head of a virtual service.
pub(crate) fn head(routes: &VirtualService) -> Head {
    let mut destinations = BTreeSet::new();
    let mut add = |d: Option<&Destination>, from: &BTreeSet<String>| {
        if let Some(d) = d {
            let port = d.port.as_ref().map_or(0, |p| p.number);
            destinations.insert(Lead { host: d.host.as_str().into(), port, from: from.clone() });
        }
    };
    for route in &routes.http {
        let named = route.r#match.iter().filter(|m| !m.source_namespace.is_empty());
        let from: BTreeSet<String> = named.map(|m| m.source_namespace.clone()).collect();
        route.route.iter().for_each(|d| add(d.destination.as_ref(), &from));
        add(route.mirror.as_ref(), &from);
        route.mirrors.iter().for_each(|m| add(m.destination.as_ref(), &from));
    }
    let everybody = BTreeSet::new();
    routes.tls.iter().flat_map(|t| &t.route).for_each(|d| add(d.destination.as_ref(), &everybody));
    routes.tcp.iter().flat_map(|t| &t.route).for_each(|d| add(d.destination.as_ref(), &everybody));
    Head {
        namespace: routes.namespace.clone(),
        name: routes.name.clone(),
        created: routes.created,
        hosts: routes.hosts.clone(),
        gateways: routes.gateways.clone(),
        export_to: routes.export_to.clone(),
        semantics: routes.semantics.clone(),
        matches: routes.http.iter().map(|h| h.r#match.clone()).collect(),
        destinations,
        layer4: !routes.tls.is_empty() || !routes.tcp.is_empty(),
    }
}

/// Stage: the layer-4 half of a virtual service; no row for one without.
pub(crate) fn layer4(routes: &VirtualService) -> Option<Layer4> {
    let any = !routes.tls.is_empty() || !routes.tcp.is_empty();
    any.then(|| Layer4 { tls: routes.tls.clone(), tcp: routes.tcp.clone() })
}
