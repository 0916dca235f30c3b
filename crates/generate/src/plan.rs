//! The asks: what is computed per class of proxies, level by level, each from its key and its reads.

use std::sync::Arc;

use mesh::World;
use mesh::workloads::ServiceTarget;
use tables::{Ask, Asking, Level};

use crate::encoded::{Resource, Section, TypeName, digest_debug, digest_of};
use crate::findings::Finding;
use crate::proxy::{OwnWorkload, Proxy, ProxyKind};
use crate::scope::{Scope, Services};
use crate::{gateways, names, scope, secrets};

/// Declares an ask: its place in the order.
macro_rules! level {
    ($ask:ident = $order:literal) => {
        impl Level for $ask {
            const ORDER: u16 = $order;
            const NAME: &'static str = stringify!($ask);
        }
    };
}

mod clusters;
mod listeners;
mod routes;

use clusters::assignments;
pub use clusters::{
    Assignment, InboundClusters, OneOf, OutboundClusters, RunAssignments, RunClusters, RunOf, RunsOf,
    ServiceClusters, SniClusters, SniServiceClusters,
};
pub use listeners::{
    GatewayListeners, InboundListeners, ListenersSee, OutboundListeners, OutboundRoutes, RunListening,
};
pub use routes::{
    GatewayRoute, RouteParts, RouteServices, RunHosts, ServiceHosts, SidecarRoute, VirtualHosts,
};

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
    /// What the owner of the proxy should know, of each part that found something.
    pub findings: Vec<Arc<[Finding]>>,
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
            TypeName::Listener => return self.listeners(&self.built_listeners(r)),
            TypeName::Route => return Self::routes(&self.built_routes(r)),
            TypeName::VirtualHost => self.built_routes(r).iter().map(|b| b.virtual_hosts.clone()).collect(),
            TypeName::Secret => vec![Section::new(self.secrets(r))],
            TypeName::Extension => Vec::new(),
            TypeName::NameTable => vec![self.name_table(r)],
        };
        Edition { sections, ..Edition::default() }
    }
    fn digest(out: &Edition) -> u64 {
        let sections: Vec<u64> = out.sections.iter().map(|section| section.digest()).collect();
        digest_of(&(sections, &out.findings))
    }
}

/// Whether a type depends only on the outbound form of a sidecar.
#[must_use]
pub fn is_outbound(kind: ProxyKind, of: TypeName) -> bool {
    kind == ProxyKind::Sidecar
        && matches!(of, TypeName::Endpoint | TypeName::Route | TypeName::VirtualHost | TypeName::NameTable)
}

type Reading<'a> = Asking<'a, EditionOf>;

/// Those of each part that found something.
fn found<'a>(all: impl Iterator<Item = &'a Arc<[Finding]>>) -> Vec<Arc<[Finding]>> {
    all.filter(|findings| !findings.is_empty()).cloned().collect()
}

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
        let one = |ruled: &crate::clusters::Ruled| (*r.ask(&RunAssignments(ruled.clone()))).clone();
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

    fn built_listeners(&self, r: &Reading<'_>) -> Vec<Arc<crate::listeners::Built>> {
        match self.proxy.kind {
            ProxyKind::Sidecar => vec![
                r.ask(&OutboundListeners { proxy: self.outbound(r), own: self.told(r) }),
                r.ask(&InboundListeners(self.proxy.clone())),
            ],
            ProxyKind::Router => vec![r.ask(&GatewayListeners(self.proxy.clone()))],
            ProxyKind::Waypoint | ProxyKind::Ztunnel => Vec::new(),
        }
    }

    fn listeners(&self, all: &[Arc<crate::listeners::Built>]) -> Edition {
        // a pod of a headless service has no listener for itself
        let own = self.proxy.ip().map(|ip| ip.to_string());
        let mut sections: Vec<Arc<Section>> = Vec::new();
        for built in all {
            let section = built.section_for(own.as_deref());
            let is_new = |name: &str| !sections.iter().any(|before| before.has(name));
            let all_new = section.resources().iter().all(|listener| is_new(&listener.name));
            sections.push(if all_new {
                section
            } else {
                Section::new(section.resources().iter().filter(|l| is_new(&l.name)).cloned().collect())
            });
        }
        Edition { sections, findings: found(all.iter().map(|built| &built.findings)) }
    }

    fn built_routes(&self, r: &Reading<'_>) -> Vec<Arc<crate::routes::BuiltRoute>> {
        let proxy = &self.proxy;
        match proxy.kind {
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
        }
    }

    fn routes(all: &[Arc<crate::routes::BuiltRoute>]) -> Edition {
        Edition {
            sections: vec![Section::new(all.iter().map(|built| built.route.clone()).collect())],
            findings: found(all.iter().map(|built| &built.findings)),
        }
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
