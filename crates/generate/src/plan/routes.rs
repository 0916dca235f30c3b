//! Asks for route configurations: per service, per run of services, per virtual service, and the whole.

use std::sync::Arc;

use mesh::World;
use tables::{Ask, Asking, Level};

use super::{GatewayOf, OutboundOf, RunOf, ScopeOf};
use crate::encoded::{TypeName, digest_of};
use crate::provenance::{self, Contributor};
use crate::proxy::Proxy;
use crate::scope::{Run, Scope, ScopedService, Services};
use crate::{clusters, gateways, routes};

/// The services that a listener's route configuration is about.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct RouteServices {
    /// Those of the egress listener.
    pub services: Services,
    /// The listener's port, 0 where one listener serves all ports.
    pub port: u32,
}
level!(RouteServices = 2380);
impl Ask for RouteServices {
    type World = World;
    type Out = routes::Served;
    fn build(&self, r: &Asking<'_, Self>) -> routes::Served {
        routes::served(r, r.world(), &self.services, self.port)
    }
    fn digest(out: &routes::Served) -> u64 {
        digest_of(out)
    }
}

/// The virtual hosts of a service that no virtual service speaks of.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct ServiceHosts {
    /// Outbound form, as seen from the service (see [`Proxy::outside`]).
    pub proxy: Arc<Proxy>,
    /// The service and its ports in scope.
    pub service: ScopedService,
    /// The destination rule that applies.
    pub rule: Option<clusters::RuleName>,
    /// The listener's port, 0 where one listener serves all ports.
    pub port: u32,
}
level!(ServiceHosts = 2390);
impl Ask for ServiceHosts {
    type World = World;
    type Out = Vec<routes::PartHost>;
    fn build(&self, r: &Asking<'_, Self>) -> Vec<routes::PartHost> {
        routes::service_hosts(r, r.world(), self)
    }
    fn digest(out: &Vec<routes::PartHost>) -> u64 {
        routes::digest_hosts(out)
    }
}

/// The virtual hosts of a run of services, for those that no virtual service speaks of.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct RunHosts {
    /// Outbound form.
    pub proxy: Arc<Proxy>,
    /// The services.
    pub run: Run,
    /// The listener's port, 0 where one listener serves all ports.
    pub port: u32,
}
level!(RunHosts = 2395);
impl Ask for RunHosts {
    type World = World;
    type Out = Vec<Arc<Vec<routes::PartHost>>>;
    fn build(&self, r: &Asking<'_, Self>) -> Vec<Arc<Vec<routes::PartHost>>> {
        let ruled = r.ask(&RunOf { proxy: self.proxy.clone(), run: self.run.clone() });
        let elsewhere = Arc::new(self.proxy.outside(""));
        let one = |(service, rule): &(ScopedService, Option<clusters::RuleName>)| {
            let namespace = &service.key.namespace;
            let near = self.proxy.is_near(namespace);
            let proxy = if near { Arc::new(self.proxy.outside(namespace)) } else { elsewhere.clone() };
            let ask = ServiceHosts { proxy, service: service.clone(), rule: rule.clone(), port: self.port };
            provenance::part(r, || Contributor::Service(service.key.clone()), || r.ask(&ask))
        };
        ruled.services().iter().map(one).filter(|hosts| !hosts.is_empty()).collect()
    }
    fn digest(out: &Vec<Arc<Vec<routes::PartHost>>>) -> u64 {
        digest_of(&out.iter().map(|hosts| routes::digest_hosts(hosts)).collect::<Vec<_>>())
    }
}

/// What virtual services add to a sidecar's route.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct RouteParts {
    /// Outbound form.
    pub proxy: Arc<Proxy>,
    /// RouteConfiguration name.
    pub name: Arc<str>,
}
level!(RouteParts = 2398);
impl Ask for RouteParts {
    type World = World;
    type Out = routes::Parts;
    fn build(&self, r: &Asking<'_, Self>) -> routes::Parts {
        let seen = r.ask(&ScopeOf(self.proxy.clone()));
        let Some(served) = route_services(r, &seen, &self.name) else { return routes::Parts::default() };
        routes::parts(r, r.world(), &self.proxy, &seen, &served, &self.name)
    }
    fn digest(out: &routes::Parts) -> u64 {
        digest_of(out)
    }
}

fn route_services<A: Ask<World = World>>(
    r: &Asking<'_, A>,
    seen: &Scope,
    name: &str,
) -> Option<Arc<routes::Served>> {
    const { assert!(<RouteServices as Level>::ORDER < <A as Level>::ORDER, "asked from below only") }
    let (port, egress) = routes::listener(seen, name)?;
    Some(r.ask(&RouteServices { services: egress.services.clone(), port }))
}

/// The virtual hosts that a virtual service adds to a sidecar's route.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct VirtualHosts {
    /// Outbound form.
    pub proxy: Arc<Proxy>,
    /// Where they come from and for which route.
    pub part: routes::Part,
}
level!(VirtualHosts = 2400);
impl Ask for VirtualHosts {
    type World = World;
    type Out = Vec<routes::PartHost>;
    fn build(&self, r: &Asking<'_, Self>) -> Vec<routes::PartHost> {
        let seen = r.ask(&ScopeOf(self.proxy.clone()));
        let Some(served) = route_services(r, &seen, &self.part.route) else { return Vec::new() };
        let by = || Contributor::VirtualService(self.part.virtual_service.clone());
        provenance::part(r, by, || routes::part(r, r.world(), &self.proxy, &seen, &served, &self.part))
    }
    fn digest(out: &Vec<routes::PartHost>) -> u64 {
        routes::digest_hosts(out)
    }
}

/// One route configuration of a sidecar.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct SidecarRoute {
    /// Outbound form.
    pub proxy: Arc<Proxy>,
    /// RouteConfiguration name.
    pub name: Arc<str>,
}
level!(SidecarRoute = 2410);
impl Ask for SidecarRoute {
    type World = World;
    type Out = routes::BuiltRoute;
    fn build(&self, r: &Asking<'_, Self>) -> routes::BuiltRoute {
        let proxy = &self.proxy;
        let seen = r.ask(&ScopeOf(proxy.clone()));
        let wanted = r.ask(&RouteParts { proxy: proxy.clone(), name: self.name.clone() });
        let of_part = |part: &routes::Part| r.ask(&VirtualHosts { proxy: proxy.clone(), part: part.clone() });
        let of_run = |port, run: &Run| r.ask(&RunHosts { proxy: proxy.clone(), run: run.clone(), port });
        let listener = routes::listener(&seen, &self.name);
        let services =
            listener.iter().flat_map(|(port, egress)| egress.services.runs().iter().map(|run| (*port, run)));
        let name = || self.name.clone();
        let (parts, runs) = provenance::resource(r, TypeName::Route, name, || {
            let parts: Vec<_> = wanted.parts.iter().map(of_part).collect();
            let runs: Vec<_> = services.map(|(port, run)| of_run(port, run)).collect();
            (parts, runs)
        });
        let mut services: Vec<&routes::PartHost> =
            runs.iter().flat_map(|run| run.iter().flat_map(|h| h.iter())).collect();
        services.retain(|host| !wanted.taken.contains(&*host.full));
        services.sort_by(|a, b| a.full.cmp(&b.full));
        let mut hosts: Vec<&routes::PartHost> = parts.iter().flat_map(|part| part.iter()).collect();
        hosts.append(&mut services);
        routes::assemble(r, r.world(), proxy, &seen, &self.name, &hosts)
    }
    fn digest(out: &routes::BuiltRoute) -> u64 {
        out.digest()
    }
}

/// One route configuration of a gateway.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct GatewayRoute {
    /// The gateway.
    pub proxy: Arc<Proxy>,
    /// RouteConfiguration name.
    pub name: Arc<str>,
}
level!(GatewayRoute = 2420);
impl Ask for GatewayRoute {
    type World = World;
    type Out = routes::BuiltRoute;
    fn build(&self, r: &Asking<'_, Self>) -> routes::BuiltRoute {
        let merged = r.ask(&GatewayOf(self.proxy.clone()));
        let outbound = r.ask(&OutboundOf(self.proxy.clone()));
        let seen = r.ask(&ScopeOf((*outbound).clone()));
        gateways::route(r, r.world(), &self.proxy, &merged, &seen, &self.name)
    }
    fn digest(out: &routes::BuiltRoute) -> u64 {
        out.digest()
    }
}
