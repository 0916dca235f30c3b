//! The asks: what is computed per class of proxies, level by level, each from its key and its reads.

use std::sync::Arc;

use mesh::workloads::ServiceTarget;
use mesh::{ServiceKey, World};
use tables::{Ask, Asking, Level};

use crate::encoded::{Resource, TypeName, digest, digest_debug};
use crate::proxy::{OwnWorkload, Proxy, ProxyKind};
use crate::scope::{Named, Scope, ScopedService};
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
        Arc::new(self.0.outbound(&asked, sidecar))
    }
    fn digest(out: &Arc<Proxy>) -> u64 {
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
        scope::of(r, r.world(), &self.0)
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
    type Out = clusters::Built;
    fn build(&self, r: &Asking<'_, Self>) -> clusters::Built {
        let mut out = clusters::Built::default();
        if r.ask(&GatewayOf(self.0.clone())).auto_passthrough {
            let outbound = r.ask(&OutboundOf(self.0.clone()));
            for service in &r.ask(&ScopeOf((*outbound).clone())).services {
                let key = clusters::key(r, r.world(), &outbound, service.clone());
                out.extend(&r.ask(&SniServiceClusters(key)));
            }
        }
        out
    }
    fn digest(out: &clusters::Built) -> u64 {
        out.digest()
    }
}

/// All outbound clusters, in order.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct OutboundClusters(pub Arc<Proxy>);
level!(OutboundClusters = 2110);
impl Ask for OutboundClusters {
    type World = World;
    type Out = clusters::Built;
    fn build(&self, r: &Asking<'_, Self>) -> clusters::Built {
        let seen = r.ask(&ScopeOf(self.0.clone()));
        let mut out = clusters::Built::default();
        for service in clusters::wanted(r, r.world(), &self.0, &seen) {
            let ask = clusters::key(r, r.world(), &self.0, service);
            out.extend(&r.ask(&ask));
        }
        out.append(&clusters::fixed(r, r.world(), &self.0, &seen));
        out
    }
    fn digest(out: &clusters::Built) -> u64 {
        out.digest()
    }
}

/// The clusters of a proxy's own ports.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct InboundClusters(pub Arc<Proxy>);
level!(InboundClusters = 2120);
impl Ask for InboundClusters {
    type World = World;
    type Out = clusters::Built;
    fn build(&self, r: &Asking<'_, Self>) -> clusters::Built {
        let targets = r.ask(&TargetsOf(self.0.clone()));
        let outbound = r.ask(&OutboundOf(self.0.clone()));
        clusters::inbound(r, r.world(), &self.0, outbound.sidecar.as_ref(), &targets)
    }
    fn digest(out: &clusters::Built) -> u64 {
        out.digest()
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
        let seen = r.ask(&ScopeOf(self.proxy.clone()));
        let told = Proxy { own: self.own.clone(), ..(*self.proxy).clone() };
        listeners::outbound(r, r.world(), &told, &seen)
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
        let seen = r.ask(&ScopeOf(self.0.clone()));
        listeners::outbound_routes(r, r.world(), &self.0, &seen)
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

/// The services that one route configuration of a sidecar is about.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct RouteServices {
    /// Outbound form.
    pub proxy: Arc<Proxy>,
    /// RouteConfiguration name.
    pub name: Arc<str>,
}
level!(RouteServices = 2390);
impl Ask for RouteServices {
    type World = World;
    type Out = routes::Served;
    fn build(&self, r: &Asking<'_, Self>) -> routes::Served {
        let seen = r.ask(&ScopeOf(self.proxy.clone()));
        routes::served(r, r.world(), &seen, &self.name)
    }
    fn digest(out: &routes::Served) -> u64 {
        digest_debug(out)
    }
}

/// The virtual hosts that one source (a virtual service or a service without one) adds to a sidecar's route.
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
        provenance::part(r, &self.part.route, &self.part.source, || match &self.part.source {
            PartSource::Service(key) => routes::service_part(r, r.world(), &self.proxy, &self.part, key),
            PartSource::VirtualService(name) => {
                let seen = r.ask(&ScopeOf(self.proxy.clone()));
                let table =
                    r.ask(&RouteServices { proxy: self.proxy.clone(), name: self.part.route.clone() });
                routes::part(r, r.world(), &self.proxy, &seen, &table, &self.part, name)
            }
        })
    }
    fn digest(out: &Vec<routes::PartHost>) -> u64 {
        routes::digest_parts(out)
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
        let seen = r.ask(&ScopeOf(self.proxy.clone()));
        let table = r.ask(&RouteServices { proxy: self.proxy.clone(), name: self.name.clone() });
        let parts: Vec<_> = routes::parts(r, r.world(), &self.proxy, &seen, &table, &self.name)
            .into_iter()
            .map(|part| r.ask(&VirtualHosts { proxy: self.proxy.clone(), part }))
            .collect();
        routes::assemble(r, r.world(), &self.proxy, &seen, &self.name, &parts)
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

/// The name table of an outbound form.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct NameTableOf(pub Arc<Proxy>);
level!(NameTableOf = 2500);
impl Ask for NameTableOf {
    type World = World;
    type Out = Resource;
    fn build(&self, r: &Asking<'_, Self>) -> Resource {
        let seen = r.ask(&ScopeOf(self.0.clone()));
        names::table(r, r.world(), &self.0, &seen)
    }
    fn digest(out: &Resource) -> u64 {
        out.version
    }
}

/// Everything one proxy form has of one type.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Edition {
    /// In the order in which they are sent.
    pub resources: Vec<Resource>,
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
        let resources = match self.of {
            TypeName::Cluster => self.clusters(r),
            TypeName::Endpoint => self.endpoints(r),
            TypeName::Listener => self.listeners(r),
            TypeName::Route | TypeName::VirtualHost => self.routes(r),
            TypeName::Secret => self.secrets(r),
            TypeName::Extension => Vec::new(),
            TypeName::NameTable => vec![(*r.ask(&NameTableOf(self.proxy.clone()))).clone()],
        };
        Edition { resources }
    }
    fn digest(out: &Edition) -> u64 {
        digest(&out.resources)
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

    fn clusters(&self, r: &Reading<'_>) -> Vec<Resource> {
        let mut out = r.ask(&OutboundClusters(self.outbound(r))).resources.clone();
        if self.proxy.kind == ProxyKind::Sidecar {
            out.extend(r.ask(&InboundClusters(self.proxy.clone())).resources.iter().cloned());
        }
        if self.proxy.kind == ProxyKind::Router {
            out.extend(r.ask(&SniClusters(self.proxy.clone())).resources.iter().cloned());
        }
        out
    }

    fn endpoints(&self, r: &Reading<'_>) -> Vec<Resource> {
        let clusters = r.ask(&OutboundClusters(self.outbound(r)));
        let one = |(proxy, cluster): &(Arc<Proxy>, clusters::EdsName)| {
            (*r.ask(&Assignment { proxy: proxy.clone(), cluster: cluster.clone() })).clone()
        };
        let mut out: Vec<Resource> = clusters.eds.iter().map(one).collect();
        if self.proxy.kind == ProxyKind::Router {
            out.extend(r.ask(&SniClusters(self.proxy.clone())).eds.iter().map(one));
        }
        out
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

    fn listeners(&self, r: &Reading<'_>) -> Vec<Resource> {
        // a pod of a headless service has no listener for itself
        let own = self.proxy.ip().map(|ip| ip.to_string());
        let own_pod =
            |b: &listeners::Built, name: &str| b.pods.get(name).is_some_and(|ip| own.as_deref() == Some(ip));
        let of = |b: &Arc<listeners::Built>| {
            b.resources.iter().filter(|l| !own_pod(b, &l.name)).cloned().collect::<Vec<_>>()
        };
        self.built_listeners(r).iter().flat_map(of).collect()
    }

    fn routes(&self, r: &Reading<'_>) -> Vec<Resource> {
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
            return built.iter().flat_map(|b| b.virtual_hosts.iter().cloned()).collect();
        }
        built.iter().map(|b| b.route.clone()).collect()
    }

    fn secrets(&self, r: &Reading<'_>) -> Vec<Resource> {
        let mut names: Vec<Arc<str>> =
            self.built_listeners(r).iter().flat_map(|b| b.secrets.clone()).collect();
        names.extend(r.ask(&OutboundClusters(self.outbound(r))).secrets.iter().cloned());
        names.sort();
        names.dedup();
        names.iter().filter_map(|name| secrets::resource(r, r.world(), &self.proxy, name)).collect()
    }
}

/// Shown in keys of parts: the service or virtual service a part comes from.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum PartSource {
    /// A virtual service.
    VirtualService(Named),
    /// A service that no virtual service of the listener speaks of.
    Service(ServiceKey),
}
