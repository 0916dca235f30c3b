//! The asks: what is computed per class of proxies, level by level, each from its key and its reads.

use std::sync::Arc;

use mesh::World;
use mesh::workloads::ServiceTarget;
use tables::{Ask, Asking, Level};

use crate::encoded::{Resource, Section, TypeName, digest_debug, digest_of};
use crate::provenance::Contributor;
use crate::proxy::{OwnWorkload, Proxy, ProxyKind};
use crate::scope::{Run, Scope, ScopedService, Services};
use crate::{clusters, endpoints, gateways, listeners, names, provenance, routes, scope, secrets};

/// Declares an ask: its place in the order.
macro_rules! level {
    ($ask:ident = $order:literal) => {
        impl Level for $ask {
            const ORDER: u16 = $order;
            const NAME: &'static str = stringify!($ask);
        }
    };
}

/// The same form as is asked: equal ones of several proxies become one, which is quickly compared.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct OneForm(pub Arc<Proxy>);
level!(OneForm = 1980);
impl Ask for OneForm {
    type World = World;
    type Out = Arc<Proxy>;
    fn build(&self, _: &Asking<'_, Self>) -> Arc<Proxy> {
        self.0.clone()
    }
    fn digest(out: &Arc<Proxy>) -> u64 {
        digest_debug(out)
    }
}

/// The outbound form of a proxy: with its Sidecar chosen and blanked of what outbound builders must not know.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct OutboundOf(pub Arc<Proxy>);
level!(OutboundOf = 2000);
impl Ask for OutboundOf {
    type World = World;
    type Out = Arc<Proxy>;
    fn build(&self, r: &Asking<'_, Self>) -> Arc<Proxy> {
        let sidecar = scope::sidecar_of(r, r.world(), &self.0);
        let asked = scope::asked_labels(r, r.world());
        (*r.ask(&OneForm(Arc::new(self.0.outbound(&asked, sidecar))))).clone()
    }
    fn digest(out: &Arc<Proxy>) -> u64 {
        digest_debug(out)
    }
}

/// What every namespace may see.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct PublicScope;
level!(PublicScope = 1990);
impl Ask for PublicScope {
    type World = World;
    type Out = scope::Public;
    fn build(&self, r: &Asking<'_, Self>) -> scope::Public {
        scope::public(r, r.world())
    }
    fn digest(out: &scope::Public) -> u64 {
        digest_debug(out)
    }
}

/// What an outbound form sees.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct ScopeOf(pub Arc<Proxy>);
level!(ScopeOf = 2010);
impl Ask for ScopeOf {
    type World = World;
    type Out = Scope;
    fn build(&self, r: &Asking<'_, Self>) -> Scope {
        scope::of(r, r.world(), &r.ask(&PublicScope), &self.0)
    }
    fn digest(out: &Scope) -> u64 {
        digest_debug(out)
    }
}

/// The services that a proxy itself serves.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct TargetsOf(pub Arc<Proxy>);
level!(TargetsOf = 2020);
impl Ask for TargetsOf {
    type World = World;
    type Out = Vec<ServiceTarget>;
    fn build(&self, r: &Asking<'_, Self>) -> Vec<ServiceTarget> {
        let p = &self.0;
        let ips: Vec<Arc<str>> = p.ips.iter().map(|ip| ip.to_string().into()).collect();
        let own = mesh::workloads::Proxy {
            cluster: &p.cluster,
            namespace: &p.namespace,
            name: &p.name,
            ips: &ips,
            labels: &p.labels,
            pod_ports: &p.pod_ports,
        };
        mesh::workloads::service_targets(r, r.world(), &own)
    }
    fn digest(out: &Vec<ServiceTarget>) -> u64 {
        digest_debug(out)
    }
}

/// The merged Gateway objects of a router.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct GatewayOf(pub Arc<Proxy>);
level!(GatewayOf = 2030);
impl Ask for GatewayOf {
    type World = World;
    type Out = gateways::Merged;
    fn build(&self, r: &Asking<'_, Self>) -> gateways::Merged {
        let targets = r.ask(&TargetsOf(self.0.clone()));
        gateways::merge(r, r.world(), &self.0, &targets)
    }
    fn digest(out: &gateways::Merged) -> u64 {
        digest_debug(out)
    }
}

/// All clusters of one service: its ports and subsets.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct ServiceClusters {
    /// Outbound form, namespace blanked (see [`clusters::key`]).
    pub proxy: Arc<Proxy>,
    /// The service and its ports in scope.
    pub service: ScopedService,
    /// The destination rule that applies.
    pub rule: Option<clusters::RuleName>,
}
level!(ServiceClusters = 2100);
impl Ask for ServiceClusters {
    type World = World;
    type Out = clusters::Built;
    fn build(&self, r: &Asking<'_, Self>) -> clusters::Built {
        clusters::service(r, r.world(), self)
    }
    fn digest(out: &clusters::Built) -> u64 {
        out.digest()
    }
    fn weight(out: &clusters::Built) -> usize {
        out.resources.iter().map(Resource::len).sum()
    }
}

/// The clusters of one service to which a gateway forwards by SNI.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct SniServiceClusters(pub ServiceClusters);
level!(SniServiceClusters = 2101);
impl Ask for SniServiceClusters {
    type World = World;
    type Out = clusters::Built;
    fn build(&self, r: &Asking<'_, Self>) -> clusters::Built {
        clusters::sni_service(r, r.world(), &self.0)
    }
    fn digest(out: &clusters::Built) -> u64 {
        out.digest()
    }
    fn weight(out: &clusters::Built) -> usize {
        out.resources.iter().map(Resource::len).sum()
    }
}

/// All clusters to which a gateway forwards by SNI, in order; none unless one of its servers does.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct SniClusters(pub Arc<Proxy>);
level!(SniClusters = 2111);
impl Ask for SniClusters {
    type World = World;
    type Out = clusters::Finished;
    fn build(&self, r: &Asking<'_, Self>) -> clusters::Finished {
        let mut out = clusters::Built::default();
        if r.ask(&GatewayOf(self.0.clone())).auto_passthrough {
            let outbound = r.ask(&OutboundOf(self.0.clone()));
            for ruled in &*r.ask(&RunsOf((*outbound).clone())) {
                ruled.asks().for_each(|ask| out.extend(&r.ask(&SniServiceClusters(ask))));
            }
        }
        out.into()
    }
    fn digest(out: &clusters::Finished) -> u64 {
        out.digest
    }
}

/// The same as what is asked: equal values from several forms become one, which is quickly compared.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct OneOf(pub clusters::Ruled);
level!(OneOf = 2080);
impl Ask for OneOf {
    type World = World;
    type Out = clusters::Ruled;
    fn build(&self, _: &Asking<'_, Self>) -> clusters::Ruled {
        self.0.clone()
    }
    fn digest(out: &clusters::Ruled) -> u64 {
        out.digest()
    }
}

/// A run of services with their rules.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct RunOf {
    /// Outbound form.
    pub proxy: Arc<Proxy>,
    /// The services.
    pub run: Run,
}
level!(RunOf = 2090);
impl Ask for RunOf {
    type World = World;
    type Out = clusters::Ruled;
    fn build(&self, r: &Asking<'_, Self>) -> clusters::Ruled {
        (*r.ask(&OneOf(clusters::ruled(r, r.world(), &self.proxy, &self.run)))).clone()
    }
    fn digest(out: &clusters::Ruled) -> u64 {
        out.digest()
    }
}

/// All services in scope with their rules, in order.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct RunsOf(pub Arc<Proxy>);
level!(RunsOf = 2095);
impl Ask for RunsOf {
    type World = World;
    type Out = Vec<clusters::Ruled>;
    fn build(&self, r: &Asking<'_, Self>) -> Vec<clusters::Ruled> {
        let seen = r.ask(&ScopeOf(self.0.clone()));
        let one = |run: &Run| (*r.ask(&RunOf { proxy: self.0.clone(), run: run.clone() })).clone();
        seen.services.runs().iter().map(one).collect()
    }
    fn digest(out: &Vec<clusters::Ruled>) -> u64 {
        digest_of(out)
    }
}

/// The clusters of a run of services.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct RunClusters(pub clusters::Ruled);
level!(RunClusters = 2105);
impl Ask for RunClusters {
    type World = World;
    type Out = clusters::Finished;
    fn build(&self, r: &Asking<'_, Self>) -> clusters::Finished {
        let mut out = clusters::Built::default();
        self.0.asks().for_each(|ask| out.extend(&r.ask(&ask)));
        out.into()
    }
    fn digest(out: &clusters::Finished) -> u64 {
        out.digest
    }
}

/// All outbound clusters, in order.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct OutboundClusters(pub Arc<Proxy>);
level!(OutboundClusters = 2110);
impl Ask for OutboundClusters {
    type World = World;
    type Out = Vec<Arc<clusters::Finished>>;
    fn build(&self, r: &Asking<'_, Self>) -> Vec<Arc<clusters::Finished>> {
        let seen = r.ask(&ScopeOf(self.0.clone()));
        let runs = r.ask(&RunsOf(self.0.clone()));
        let mut out: Vec<_> = runs.iter().map(|ruled| r.ask(&RunClusters(ruled.clone()))).collect();
        let mut fixed = clusters::Built::default();
        fixed.append(&clusters::fixed(r, r.world(), &self.0, &seen));
        out.push(Arc::new(fixed.into()));
        out
    }
    fn digest(out: &Vec<Arc<clusters::Finished>>) -> u64 {
        digest_of(&out.iter().map(|finished| finished.digest).collect::<Vec<_>>())
    }
}

/// The clusters of a proxy's own ports.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct InboundClusters(pub Arc<Proxy>);
level!(InboundClusters = 2120);
impl Ask for InboundClusters {
    type World = World;
    type Out = clusters::Finished;
    fn build(&self, r: &Asking<'_, Self>) -> clusters::Finished {
        let targets = r.ask(&TargetsOf(self.0.clone()));
        let outbound = r.ask(&OutboundOf(self.0.clone()));
        clusters::inbound(r, r.world(), &self.0, outbound.sidecar.as_ref(), &targets).into()
    }
    fn digest(out: &clusters::Finished) -> u64 {
        out.digest
    }
}

/// The endpoints of one EDS cluster.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Assignment {
    /// Outbound form, namespace blanked.
    pub proxy: Arc<Proxy>,
    /// Which cluster: service, port, subset, rule.
    pub cluster: clusters::EdsName,
}
level!(Assignment = 2200);
impl Ask for Assignment {
    type World = World;
    type Out = Resource;
    fn build(&self, r: &Asking<'_, Self>) -> Resource {
        endpoints::assignment(r, r.world(), &self.proxy, &self.cluster)
    }
    fn digest(out: &Resource) -> u64 {
        out.version
    }
    fn weight(out: &Resource) -> usize {
        out.len()
    }
}

/// The endpoints of the EDS clusters of a run of services.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct RunAssignments(pub clusters::Ruled);
level!(RunAssignments = 2210);
impl Ask for RunAssignments {
    type World = World;
    type Out = Arc<Section>;
    fn build(&self, r: &Asking<'_, Self>) -> Arc<Section> {
        Section::new(assignments(r, &r.ask(&RunClusters(self.0.clone()))))
    }
    fn digest(out: &Arc<Section>) -> u64 {
        out.digest()
    }
}

/// The endpoints of clusters.
fn assignments<A: Ask<World = World>>(r: &Asking<'_, A>, clusters: &clusters::Finished) -> Vec<Resource> {
    let one = |(proxy, cluster): &(Arc<Proxy>, clusters::EdsName)| {
        (*r.ask(&Assignment { proxy: proxy.clone(), cluster: cluster.clone() })).clone()
    };
    clusters.eds.iter().map(one).collect()
}

/// The services of a run that outbound listeners depend on.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct RunListening(pub Run);
level!(RunListening = 2290);
impl Ask for RunListening {
    type World = World;
    type Out = Vec<ScopedService>;
    fn build(&self, r: &Asking<'_, Self>) -> Vec<ScopedService> {
        listeners::listening(r, r.world(), self.0.iter())
    }
    fn digest(out: &Vec<ScopedService>) -> u64 {
        digest_of(out)
    }
}

/// What the outbound listeners of an outbound form are made from.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct ListenersSee(pub Arc<Proxy>);
level!(ListenersSee = 2295);
impl Ask for ListenersSee {
    type World = World;
    type Out = listeners::Seen;
    fn build(&self, r: &Asking<'_, Self>) -> listeners::Seen {
        let mut scope = (*r.ask(&ScopeOf(self.0.clone()))).clone();
        scope.services = Services::default();
        let mut listening = Vec::new();
        for egress in &mut scope.egress {
            // a listener for one port asks each of its services
            let services = if egress.port.is_none() {
                std::mem::take(&mut egress.services)
            } else {
                Services::default()
            };
            let runs: Vec<_> = services.runs().iter().map(|run| r.ask(&RunListening(run.clone()))).collect();
            listening.push(listeners::listening(r, r.world(), runs.iter().flat_map(|run| run.iter())));
        }
        listeners::Seen { scope, listening }
    }
    fn digest(out: &listeners::Seen) -> u64 {
        out.digest()
    }
}

/// Finds services in a form's scope. Who asks depends on the scope only then.
fn in_scope<'a, A: Ask<World = World>>(
    r: &'a Asking<'_, A>,
    form: &'a Arc<Proxy>,
) -> impl Fn(&str) -> Option<ScopedService> + use<'a, A> {
    const { assert!(<ScopeOf as Level>::ORDER < <A as Level>::ORDER, "asked from below only") }
    |host: &str| r.ask(&ScopeOf(form.clone())).service(host).cloned()
}

/// Outbound listeners of a sidecar.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct OutboundListeners {
    /// Outbound form.
    pub proxy: Arc<Proxy>,
    /// What they tell of the workload.
    pub own: Option<Arc<OwnWorkload>>,
}
level!(OutboundListeners = 2300);
impl Ask for OutboundListeners {
    type World = World;
    type Out = listeners::Built;
    fn build(&self, r: &Asking<'_, Self>) -> listeners::Built {
        let seen = r.ask(&ListenersSee(self.proxy.clone()));
        let told = Proxy { own: self.own.clone(), ..(*self.proxy).clone() };
        listeners::outbound(r, r.world(), &told, &seen, &in_scope(r, &self.proxy))
    }
    fn digest(out: &listeners::Built) -> u64 {
        out.digest()
    }
}

/// Names of the route configurations that a sidecar's outbound listeners ask for. Cheaper than the listeners, and the same
/// for all workloads of an outbound form.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct OutboundRoutes(pub Arc<Proxy>);
level!(OutboundRoutes = 2305);
impl Ask for OutboundRoutes {
    type World = World;
    type Out = Vec<Arc<str>>;
    fn build(&self, r: &Asking<'_, Self>) -> Vec<Arc<str>> {
        let seen = r.ask(&ListenersSee(self.0.clone()));
        listeners::outbound_routes(r, r.world(), &self.0, &seen, &in_scope(r, &self.0))
    }
    fn digest(out: &Vec<Arc<str>>) -> u64 {
        digest_debug(out)
    }
}

/// Inbound listeners of a sidecar.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct InboundListeners(pub Arc<Proxy>);
level!(InboundListeners = 2310);
impl Ask for InboundListeners {
    type World = World;
    type Out = listeners::Built;
    fn build(&self, r: &Asking<'_, Self>) -> listeners::Built {
        let targets = r.ask(&TargetsOf(self.0.clone()));
        let outbound = r.ask(&OutboundOf(self.0.clone()));
        listeners::inbound(r, r.world(), &self.0, outbound.sidecar.as_ref(), &targets)
    }
    fn digest(out: &listeners::Built) -> u64 {
        out.digest()
    }
}

/// Listeners of a gateway.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct GatewayListeners(pub Arc<Proxy>);
level!(GatewayListeners = 2320);
impl Ask for GatewayListeners {
    type World = World;
    type Out = listeners::Built;
    fn build(&self, r: &Asking<'_, Self>) -> listeners::Built {
        let merged = r.ask(&GatewayOf(self.0.clone()));
        let outbound = r.ask(&OutboundOf(self.0.clone()));
        let seen = r.ask(&ScopeOf((*outbound).clone()));
        gateways::listeners(r, r.world(), &self.0, &merged, &seen)
    }
    fn digest(out: &listeners::Built) -> u64 {
        out.digest()
    }
}

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

/// The name table of a proxy form without its place, for the services of its egress listeners.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct NameTableOf {
    /// See [`Proxy::placeless`].
    pub proxy: Arc<Proxy>,
    /// By egress listener.
    pub services: Vec<Services>,
}
level!(NameTableOf = 2500);
impl Ask for NameTableOf {
    type World = World;
    type Out = Arc<Section>;
    fn build(&self, r: &Asking<'_, Self>) -> Arc<Section> {
        Section::new(vec![names::table(r, r.world(), &self.proxy, &self.services)])
    }
    fn digest(out: &Arc<Section>) -> u64 {
        out.digest()
    }
}

/// Everything one proxy form has of one type, in the order in which it is sent. No name is in two sections.
#[derive(Clone, Debug, Default)]
pub struct Edition {
    /// Shared by all editions that have the same.
    pub sections: Vec<Arc<Section>>,
}

impl Edition {
    /// The resources in order.
    pub fn resources(&self) -> impl Iterator<Item = &Resource> {
        self.sections.iter().flat_map(|section| section.resources())
    }
}

/// The edition of a type. `proxy` is the full form for CDS, LDS, SDS and ECDS, the outbound form for the types that only
/// depend on what is seen (see [`EditionOf`]), so that those are shared by every proxy that sees the same.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct EditionOf {
    /// Full or outbound form.
    pub proxy: Arc<Proxy>,
    /// Which type.
    pub of: TypeName,
}
level!(EditionOf = 3000);
impl Ask for EditionOf {
    type World = World;
    type Out = Edition;
    fn build(&self, r: &Asking<'_, Self>) -> Edition {
        let sections = match self.of {
            TypeName::Cluster => self.clusters(r),
            TypeName::Endpoint => self.endpoints(r),
            TypeName::Listener => self.listeners(r),
            TypeName::Route | TypeName::VirtualHost => self.routes(r),
            TypeName::Secret => vec![Section::new(self.secrets(r))],
            TypeName::Extension => Vec::new(),
            TypeName::NameTable => vec![self.name_table(r)],
        };
        Edition { sections }
    }
    fn digest(out: &Edition) -> u64 {
        digest_of(&out.sections.iter().map(|section| section.digest()).collect::<Vec<_>>())
    }
}

/// Whether a type depends only on the outbound form of a sidecar.
#[must_use]
pub fn is_outbound(kind: ProxyKind, of: TypeName) -> bool {
    kind == ProxyKind::Sidecar
        && matches!(of, TypeName::Endpoint | TypeName::Route | TypeName::VirtualHost | TypeName::NameTable)
}

type Reading<'a> = Asking<'a, EditionOf>;

impl EditionOf {
    /// The outbound form of `proxy`, which may already be one.
    fn outbound(&self, r: &Reading<'_>) -> Arc<Proxy> {
        if is_outbound(self.proxy.kind, self.of) || self.of == TypeName::NameTable {
            return self.proxy.clone();
        }
        (*r.ask(&OutboundOf(self.proxy.clone()))).clone()
    }

    fn clusters(&self, r: &Reading<'_>) -> Vec<Arc<Section>> {
        let outbound = r.ask(&OutboundClusters(self.outbound(r)));
        let mut out: Vec<Arc<Section>> = outbound.iter().map(|finished| finished.section.clone()).collect();
        // the names of these begin otherwise than those of outbound clusters
        match self.proxy.kind {
            ProxyKind::Sidecar => out.push(r.ask(&InboundClusters(self.proxy.clone())).section.clone()),
            ProxyKind::Router => out.push(r.ask(&SniClusters(self.proxy.clone())).section.clone()),
            ProxyKind::Waypoint | ProxyKind::Ztunnel => {}
        }
        out
    }

    fn endpoints(&self, r: &Reading<'_>) -> Vec<Arc<Section>> {
        let runs = r.ask(&RunsOf(self.outbound(r)));
        let one = |ruled: &clusters::Ruled| (*r.ask(&RunAssignments(ruled.clone()))).clone();
        let mut out: Vec<Arc<Section>> = runs.iter().map(one).collect();
        if self.proxy.kind == ProxyKind::Router {
            let by_sni = r.ask(&SniClusters(self.proxy.clone()));
            out.push(Section::new(assignments(r, &by_sni)));
        }
        out
    }

    fn name_table(&self, r: &Reading<'_>) -> Arc<Section> {
        let seen = r.ask(&ScopeOf(self.proxy.clone()));
        let services = seen.egress.iter().map(|egress| egress.services.clone()).collect();
        (*r.ask(&NameTableOf { proxy: Arc::new(self.proxy.placeless()), services })).clone()
    }

    /// What outbound listeners tell of the workload: the peer header of a stock Envoy and the tags of traces; where there is
    /// neither, all workloads that see the same share them.
    fn told(&self, r: &Reading<'_>) -> Option<Arc<OwnWorkload>> {
        let stock = !self.proxy.capabilities.metadata_exchange;
        let told = stock || crate::telemetry::may_trace(r, r.world(), &self.proxy);
        self.proxy.own.clone().filter(|_| told)
    }

    fn built_listeners(&self, r: &Reading<'_>) -> Vec<Arc<listeners::Built>> {
        match self.proxy.kind {
            ProxyKind::Sidecar => vec![
                r.ask(&OutboundListeners { proxy: self.outbound(r), own: self.told(r) }),
                r.ask(&InboundListeners(self.proxy.clone())),
            ],
            ProxyKind::Router => vec![r.ask(&GatewayListeners(self.proxy.clone()))],
            ProxyKind::Waypoint | ProxyKind::Ztunnel => Vec::new(),
        }
    }

    fn listeners(&self, r: &Reading<'_>) -> Vec<Arc<Section>> {
        // a pod of a headless service has no listener for itself
        let own = self.proxy.ip().map(|ip| ip.to_string());
        let mut out: Vec<Arc<Section>> = Vec::new();
        for built in self.built_listeners(r) {
            let section = built.section_for(own.as_deref());
            let is_new = |name: &str| !out.iter().any(|before| before.has(name));
            let all_new = section.resources().iter().all(|listener| is_new(&listener.name));
            out.push(if all_new {
                section
            } else {
                Section::new(section.resources().iter().filter(|l| is_new(&l.name)).cloned().collect())
            });
        }
        out
    }

    fn routes(&self, r: &Reading<'_>) -> Vec<Arc<Section>> {
        let proxy = &self.proxy;
        let built: Vec<Arc<routes::BuiltRoute>> = match proxy.kind {
            ProxyKind::Sidecar => {
                let names = r.ask(&OutboundRoutes(proxy.clone()));
                let ask = |name: &Arc<str>| r.ask(&SidecarRoute { proxy: proxy.clone(), name: name.clone() });
                names.iter().map(ask).collect()
            }
            ProxyKind::Router => {
                let names = &r.ask(&GatewayListeners(proxy.clone())).routes;
                let ask = |name: &Arc<str>| r.ask(&GatewayRoute { proxy: proxy.clone(), name: name.clone() });
                names.iter().map(ask).collect()
            }
            ProxyKind::Waypoint | ProxyKind::Ztunnel => Vec::new(),
        };
        if self.of == TypeName::VirtualHost {
            return built.iter().map(|b| b.virtual_hosts.clone()).collect();
        }
        vec![Section::new(built.iter().map(|b| b.route.clone()).collect())]
    }

    fn secrets(&self, r: &Reading<'_>) -> Vec<Resource> {
        let mut names: Vec<Arc<str>> =
            self.built_listeners(r).iter().flat_map(|b| b.secrets.clone()).collect();
        let clusters = r.ask(&OutboundClusters(self.outbound(r)));
        names.extend(clusters.iter().flat_map(|finished| finished.secrets.iter().cloned()));
        names.sort();
        names.dedup();
        names.iter().filter_map(|name| secrets::resource(r, r.world(), &self.proxy, name)).collect()
    }
}
