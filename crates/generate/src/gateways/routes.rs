//! Route configurations of gateways (as pilot/pkg/networking/core/gateway.go: `buildGatewayHTTPRouteConfig`).

use std::collections::BTreeMap;
use std::sync::Arc;

use config::mesh::MeshConfig;
use config::{Kind, host};
use mesh::World;
use mesh::routes::VirtualService;
use proto::envoy::config::route::v3::{
    Route, RouteConfiguration, VirtualHost, virtual_host::TlsRequirementType,
};
use proto::google::protobuf::Any;
use tables::{Level, Reads};

use super::bound::{View, leads_to};
use super::{Merged, Server};
use crate::encoded::{Resource, TypeName, bool_value, u32_value};
use crate::provenance::{self, Origin, Said};
use crate::proxy::Proxy;
use crate::routes::domains::with_port;
use crate::routes::http::{self, Context};
use crate::routes::{BuiltRoute, headers, matches, session};
use crate::scope::{Named, Scope};

/// Largest body of a direct response: what validation lets through.
const MAX_DIRECT_RESPONSE: u32 = 1024 * 1024;

/// See [`super::route`].
pub(super) fn built<L: Level>(
    r: &Reads<L>,
    world: &World,
    proxy: &Proxy,
    merged: &Merged,
    scope: &Scope,
    name: &Arc<str>,
) -> BuiltRoute {
    let mut out = RouteConfiguration {
        name: name.to_string(),
        validate_clusters: bool_value(false),
        ..RouteConfiguration::default()
    };
    // A listener that drains may ask for the route of a server that is gone: it gets an empty one.
    provenance::resource(
        r,
        TypeName::Route,
        || name.clone(),
        || {
            provenance::notes(r, |say| match merged.routes.get(name) {
                Some(servers) => servers.iter().for_each(|server| say("", server.origin(""))),
                None => say("", Origin::default("an empty route for a listener that drains")),
            });
        },
    );
    if let Some(servers) = merged.routes.get(name) {
        let settings = crate::settings(r, world);
        let mut table = Table {
            view: View { r, world, proxy, scope },
            mesh: &settings.mesh,
            http3: merged.http3.contains(name),
            lists: Vec::new(),
            said: Vec::new(),
            known: BTreeMap::new(),
            hosts: BTreeMap::new(),
        };
        servers.iter().for_each(|server| table.server(server));
        let collapse = settings.switches.pilot_enable_route_collapse_optimization;
        let port = servers.first().map_or(0, |s| s.port);
        let finish = || table.finish(collapse, port);
        out.virtual_hosts = provenance::resource(r, TypeName::Route, || name.clone(), finish);
        out.ignore_port_in_host_matching = true;
        out.max_direct_response_body_size_bytes = u32_value(MAX_DIRECT_RESPONSE);
    }
    BuiltRoute {
        route: Resource::encode(name.clone(), &out),
        virtual_hosts: Arc::default(),
        findings: Arc::default(),
    }
}

/// A virtual host while it is being made.
#[derive(Default)]
struct Host {
    port: u32,
    domains: Vec<String>,
    /// Which lists of routes it has, in order.
    lists: Vec<usize>,
    /// Plain requests are redirected.
    require_tls: bool,
    session: Option<Any>,
    /// What was said of it.
    said: Said,
}

/// Virtual hosts by host name, and the routes that they share.
struct Table<'a, L: Level> {
    view: View<'a, L>,
    mesh: &'a MeshConfig,
    http3: bool,
    lists: Vec<Vec<Route>>,
    /// What was said of each of them, when it is asked.
    said: Vec<Said>,
    /// The list of a virtual service for a gateway.
    known: BTreeMap<(Arc<str>, Named), usize>,
    hosts: BTreeMap<String, Host>,
}

impl<L: Level> Table<'_, L> {
    fn server(&mut self, server: &Server) {
        for head in self.view.virtual_services(&server.gateway) {
            let theirs: Vec<&str> = head.hosts.iter().map(config::Host::as_str).collect();
            let ours = host::in_namespace(&server.spec.hosts, &head.namespace);
            let both = host::intersection(&ours, &theirs);
            if both.is_empty() {
                continue;
            }
            let name = (head.namespace.clone(), head.name.clone());
            let Some(routes) = self.view.world.virtual_services.get(self.view.r, &name) else { continue };
            let Some(list) = self.list(server, routes) else { continue };
            for name in both {
                self.host(server, routes, &name.to_lowercase(), list);
            }
        }
        if server.redirects() {
            // as upstream, a host kept for a namespace keeps its prefix here: it then answers for nobody
            let r = self.view.r;
            for name in &server.spec.hosts {
                let host = self.entry(name.to_lowercase(), server.port);
                host.require_tls = true;
                host.said
                    .add(r, || provenance::note(r, || ("require_tls", server.origin(".tls.httpsRedirect"))));
            }
        }
    }

    /// The routes of a virtual service for the server's gateway, built for the first server that asks.
    fn list(&mut self, server: &Server, routes: &VirtualService) -> Option<usize> {
        let key = (server.gateway.clone(), (routes.namespace.clone(), routes.name.clone()));
        if let Some(have) = self.known.get(&key) {
            return Some(*have);
        }
        let gateways = [server.gateway.to_string()];
        let View { r, world, proxy, scope } = self.view;
        let lookup = |name: &str| self.view.meant(routes, name);
        let context = Context {
            r,
            world,
            proxy,
            scope,
            mesh: self.mesh,
            port: server.port,
            gateways: &gateways,
            lookup: &lookup,
            tls: server.spec.tls.is_some(),
            http3: self.http3,
            forwarded_host: headers::forwards_host(proxy, self.mesh),
        };
        let (built, said) = provenance::collect(r, || http::routes(&context, routes));
        if built.is_empty() {
            return None;
        }
        self.lists.push(built);
        if r.trace().is_some() {
            self.said.push(said);
        }
        let at = self.lists.len() - 1;
        self.known.insert(key, at);
        Some(at)
    }

    fn entry(&mut self, name: String, port: u32) -> &mut Host {
        self.hosts.entry(name.clone()).or_insert_with(|| Host {
            port,
            domains: vec![name],
            ..Host::default()
        })
    }

    fn host(&mut self, server: &Server, routes: &VirtualService, name: &str, list: usize) {
        let new = !self.hosts.contains_key(name);
        let service = (new && leads_to(routes, name)).then(|| self.view.meant(routes, name)).flatten();
        let session = service.and_then(|s| session::of(self.view.r, self.view.world, s));
        let r = self.view.r;
        let host = self.entry(name.to_owned(), server.port);
        host.said.add(r, || {
            provenance::notes(r, |say| {
                let by = (&*routes.namespace, &*routes.name);
                say("", Origin::field(Kind::VirtualService, by, "spec.hosts"));
                say("domains", server.origin(".hosts"));
            });
        });
        host.lists.push(list);
        host.require_tls |= server.redirects();
        if new {
            host.session = session;
        }
    }

    fn finish(mut self, collapse: bool, port: u32) -> Vec<VirtualHost> {
        if self.hosts.is_empty() {
            // No routes: Envoy answers 404.
            let none = || Origin::default("no VirtualService has a route for these servers");
            provenance::note(self.view.r, || (virtual_host(&with_port("blackhole", port)), none()));
            return vec![VirtualHost {
                name: with_port("blackhole", port),
                domains: vec!["*".into()],
                ..VirtualHost::default()
            }];
        }
        let mut hosts: Vec<(String, Host)> = std::mem::take(&mut self.hosts).into_iter().collect();
        hosts.sort_by(|a, b| host::by_specificity(&a.0, &b.0));
        if collapse {
            hosts = collapsed(hosts);
        }
        let attempts = headers::counts_attempts(self.view.proxy, self.mesh);
        hosts.iter().for_each(|(name, host)| self.tell(name, host));
        let one = |(name, host): (String, Host)| VirtualHost {
            name: with_port(&name, host.port),
            domains: host.domains,
            routes: catch_alls_last(
                host.lists.iter().flat_map(|at| self.lists[*at].iter().cloned()),
                matches::is_catch_all,
            ),
            typed_per_filter_config: host
                .session
                .into_iter()
                .map(|s| (session::FILTER.to_owned(), s))
                .collect(),
            include_request_attempt_count: attempts,
            require_tls: if host.require_tls { TlsRequirementType::All } else { TlsRequirementType::None }
                .into(),
            ..VirtualHost::default()
        };
        let mut out: Vec<VirtualHost> = hosts.into_iter().map(one).collect();
        out.sort_by(|a, b| a.name.cmp(&b.name));
        out
    }

    /// Says of a virtual host, and of its routes in the order in which it has them, where they come from.
    fn tell(&self, name: &str, host: &Host) {
        let r = self.view.r;
        if r.trace().is_none() {
            return;
        }
        provenance::within(
            r,
            || virtual_host(&with_port(name, host.port)),
            || {
                host.said.again(r, String::new);
                let all =
                    host.lists.iter().flat_map(|list| (0..self.lists[*list].len()).map(|at| (*list, at)));
                let ordered =
                    catch_alls_last(all, |(list, at)| matches::is_catch_all(&self.lists[*list][*at]));
                for (number, (list, at)) in ordered.into_iter().enumerate() {
                    let said = self.said[list].of(&format!("routes[{at}]"));
                    said.again(r, || format!("routes[{number}]"));
                }
            },
        );
    }
}

/// The path of a virtual host of this name.
fn virtual_host(name: &str) -> String {
    format!("virtual_hosts[{name}]")
}

/// Hosts with the same routes become domains of the most specific one: routes travel and are held once
/// (as `collapseDuplicateRoutes`).
fn collapsed(hosts: Vec<(String, Host)>) -> Vec<(String, Host)> {
    let mut out: Vec<(String, Host)> = Vec::new();
    let mut first: BTreeMap<Vec<usize>, usize> = BTreeMap::new();
    for (name, host) in hosts {
        match first.get(&host.lists) {
            Some(at) if out[*at].1.require_tls == host.require_tls => {
                let first = &mut out[*at].1;
                first.domains.extend(host.domains);
                first.said.extend(host.said);
            }
            _ => {
                first.insert(host.lists.clone(), out.len());
                out.push((name, host));
            }
        }
    }
    out
}

/// Routes that match everything would hide those of later virtual services (as `SortVHostRoutes`).
fn catch_alls_last<T>(routes: impl Iterator<Item = T>, is_catch_all: impl Fn(&T) -> bool) -> Vec<T> {
    let (last, mut out): (Vec<T>, Vec<T>) = routes.partition(is_catch_all);
    out.extend(last);
    out
}
