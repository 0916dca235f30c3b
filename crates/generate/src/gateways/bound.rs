//! The virtual services bound to a gateway, and the services they lead to as the gateway sees them.

use std::sync::Arc;

use config::host;
use config::networking::{HttpRoute, L4MatchAttributes, TlsMatchAttributes};
use mesh::routes::{Head, VirtualService};
use mesh::services::Service;
use mesh::world::{HeadsSeen, Seen};
use mesh::{ServiceKey, World};
use tables::{Level, Reads};

use super::Server;
use crate::proxy::Proxy;
use crate::scope::Scope;

/// What listeners and routes of one gateway are made from.
pub(super) struct View<'a, L: Level> {
    pub(super) r: &'a Reads<L>,
    pub(super) world: &'a World,
    pub(super) proxy: &'a Proxy,
    pub(super) scope: &'a Scope,
}

impl<'a, L: Level> View<'a, L> {
    /// Virtual services of a gateway: own, exported here, public; each oldest first. Of the public ones those with
    /// Gateway API semantics of the own namespace come first
    /// (as pilot/pkg/model/push_context.go: `VirtualServicesForGateway`).
    pub(super) fn virtual_services(&self, gateway: &Arc<str>) -> Vec<&'a Head> {
        let own = &self.proxy.namespace;
        let of = |seen: Seen| {
            let bucket = (gateway.clone(), seen);
            let rows = self.world.route_heads.bucket::<HeadsSeen, L>(self.r, &bucket);
            let mut rows: Vec<&Head> = rows.map(|(_, v)| &**v).collect();
            rows.sort_by(|a, b| (a.created, &a.name, &a.namespace).cmp(&(b.created, &b.name, &b.namespace)));
            rows
        };
        let mut out = of(Seen::From(own.clone()));
        out.sort_by_key(|v| v.namespace != *own);
        let mut public = of(Seen::Everywhere);
        public.sort_by_key(|v| !(&*v.semantics == "gateway" && v.namespace == *own));
        out.extend(public);
        out
    }

    /// The service of a host in scope.
    pub(super) fn service(&self, hostname: &str) -> Option<&'a Service> {
        let scoped = self.scope.service(hostname)?;
        self.world.services.get(self.r, &scoped.key).map(|s| &**s)
    }

    /// The service that a virtual service means: of its own namespace if visible here, else the one in scope
    /// (as `buildNameToServiceMapForHTTPRoutes`).
    pub(super) fn meant(&self, by: &VirtualService, hostname: &str) -> Option<&'a Service> {
        let key = ServiceKey { hostname: hostname.into(), namespace: by.namespace.clone() };
        let own = self.world.services.get(self.r, &key);
        let visible =
            own.filter(|s| mesh::exports::is_visible(&s.export_to, &s.key.namespace, &self.proxy.namespace));
        visible.map(|s| &**s).or_else(|| self.service(hostname))
    }
}

/// Whether a host is one that the HTTP routes of a virtual service lead to.
pub(super) fn leads_to(routes: &VirtualService, hostname: &str) -> bool {
    let of = |h: &HttpRoute| {
        h.route.iter().filter_map(|d| d.destination.as_ref()).any(|d| d.host == hostname)
            || h.mirror.iter().any(|d| d.host == hostname)
            || h.mirrors.iter().filter_map(|m| m.destination.as_ref()).any(|d| d.host == hostname)
    };
    routes.http.iter().any(|h| of(h))
}

/// Whether a server has any host of a virtual service (as `pickMatchingGatewayHosts`).
pub(super) fn shares_host(server: &Server, routes: &Head) -> bool {
    routes.hosts.iter().any(|theirs| {
        server.spec.hosts.iter().any(|ours| match ours.split_once('/') {
            Some((namespace, _)) if *namespace != *routes.namespace => false,
            Some((_, ours)) => host::matches(ours, theirs.as_str()),
            None => host::matches(ours, theirs.as_str()),
        })
    })
}

/// The part of a match that is known beforehand: port and gateway (as `l4SingleMatch`).
fn fits(port: u32, gateways: &[String], server: &Server) -> bool {
    (port == 0 || port == server.port)
        && (gateways.is_empty() || gateways.iter().any(|g| **g == *server.gateway))
}

/// Whether any match of a TCP route is this server's; without matches all are.
pub(super) fn tcp_fits(matches: &[L4MatchAttributes], server: &Server) -> bool {
    matches.is_empty() || matches.iter().any(|m| fits(m.port, &m.gateways, server))
}

/// Whether a match of a TLS route is this server's.
pub(super) fn tls_fits(m: &TlsMatchAttributes, server: &Server) -> bool {
    fits(m.port, &m.gateways, server)
}
