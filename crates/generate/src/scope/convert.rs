//! From Sidecar objects and visibility to scopes (as pilot/pkg/model/sidecar.go and virtualservice.go:
//! `convertToSidecarScope`, `SelectVirtualServices`).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use config::host;
use config::mesh::OutboundTrafficPolicyMode as MeshMode;
use config::networking::{IstioEgressListener, Mode, Sidecar};
use config::protocol::Protocol;
use mesh::World;
use mesh::routes::Head;
use mesh::services::{Registry, Service};
use mesh::workloads::LabelSet;
use mesh::world::{HeadsSeen, Seen, ServicesNamed, ServicesSeen, SidecarsOf};
use tables::{Level, Reads};

use super::{Egress, Named, Scope, ScopedService, Services};
use crate::proxy::{Proxy, ProxyKind};

/// See [`super::sidecar_of`].
pub(super) fn sidecar_of<L: Level>(r: &Reads<L>, world: &World, proxy: &Proxy) -> Option<Named> {
    if proxy.kind != ProxyKind::Sidecar {
        return None;
    }
    let oldest = |namespace: &Arc<str>, own: bool| {
        let rows = world.sidecars.bucket::<SidecarsOf, L>(r, namespace);
        let mut rows: Vec<_> = rows.map(|(name, row)| (name, selector(&row.sidecar), row.created)).collect();
        rows.sort_by(|a, b| (a.1.is_none(), a.2, a.0).cmp(&(b.1.is_none(), b.2, b.0)));
        rows.into_iter()
            .find(|(_, selector, _)| match selector {
                None => true,
                Some(s) => own && proxy.labels.has_all(*s),
            })
            .map(|(name, _, _)| name.clone())
    };
    oldest(&proxy.namespace, true)
        .or_else(|| oldest(&Arc::from(crate::settings(r, world).root_namespace()), false))
}

fn selector(sidecar: &Sidecar) -> Option<&config::Labels> {
    sidecar.workload_selector.as_ref().map(|s| &s.labels)
}

/// The services that every namespace may see, sorted once for all of them.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Public {
    /// Oldest first.
    services: Services,
    /// Whether no two have one host name. Then a namespace that sees nothing else sees exactly these.
    distinct: bool,
}

/// See [`super::public`].
pub(super) fn public<L: Level>(r: &Reads<L>, world: &World) -> Public {
    let rows = seen_services(r, world, &Seen::Everywhere);
    let hosts: BTreeSet<&str> = rows.iter().map(|s| s.key.hostname.as_str()).collect();
    let services = rows.iter().map(|s| ScopedService { key: s.key.clone(), ports: None }).collect();
    Public { services, distinct: hosts.len() == rows.len() }
}

/// The services that are seen in one way, oldest first.
fn seen_services<'a, L: Level>(r: &Reads<L>, world: &'a World, seen: &Seen) -> Vec<&'a Arc<Service>> {
    let mut rows: Vec<_> = world.services.bucket::<ServicesSeen, L>(r, seen).map(|(_, row)| row).collect();
    rows.sort_by(|a, b| order(a).cmp(&order(b)));
    rows
}

/// See [`super::of`].
pub(super) fn scope<L: Level>(r: &Reads<L>, world: &World, public: &Public, proxy: &Proxy) -> Scope {
    let seen = Visible { r, world, namespace: &proxy.namespace };
    let virtual_services = seen.virtual_services();
    let settings = crate::settings(r, world);
    let mesh_policy = settings.mesh.outbound_traffic_policy.as_ref().map(|p| p.mode).unwrap_or_default();
    let row = proxy.sidecar.as_ref().and_then(|name| world.sidecars.get(r, name));
    let sidecar = row.map(|row| &*row.sidecar);
    let explicit = sidecar.is_some_and(|s| !s.egress.is_empty());
    let everything = !explicit && public.distinct && seen.nothing_else();
    if proxy.kind != ProxyKind::Sidecar {
        // as upstream's scope of gateways: no listener of theirs has services, hence no name table either
        let egress = Egress { virtual_services: names(&virtual_services), ..Egress::default() };
        let all = || {
            let mut all = Union::default();
            seen.services().iter().for_each(|s| all.add(s, None));
            all.list()
        };
        return Scope {
            egress: vec![egress],
            services: if everything { public.services.clone() } else { all() },
            outbound_policy: mesh_policy,
            ..Scope::default()
        };
    }
    let own = sidecar.and_then(|s| s.outbound_traffic_policy.as_ref());
    let outbound_policy = own.map_or(mesh_policy, |p| match p.mode {
        Mode::RegistryOnly => MeshMode::RegistryOnly,
        Mode::AllowAny => MeshMode::AllowAny,
    });
    let egress_proxy = own.and_then(|p| p.egress_proxy.clone());
    let default = [IstioEgressListener { hosts: vec!["*/*".into()], ..IstioEgressListener::default() }];
    let listeners = sidecar.filter(|_| explicit).map_or(&default[..], |s| &s.egress);
    let (egress, services) = if everything {
        // what virtual services lead to is among them already
        let hosts = Hosts::new(&default[0].hosts, &proxy.namespace);
        let routed = hosts.virtual_services(&virtual_services, &proxy.namespace);
        let services = public.services.clone();
        let egress =
            Egress { services: services.clone(), virtual_services: names(&routed), ..Egress::default() };
        (vec![egress], services)
    } else {
        imports(&seen, listeners, explicit, &virtual_services)
    };
    Scope { sidecar: proxy.sidecar.clone(), egress, services, outbound_policy, egress_proxy }
}

/// The egress listeners with what their hosts import, and all services that are imported.
fn imports<L: Level>(
    seen: &Visible<'_, L>,
    listeners: &[IstioEgressListener],
    explicit: bool,
    virtual_services: &[&Arc<Head>],
) -> (Vec<Egress>, Services) {
    let namespace = seen.namespace;
    let services = seen.services();
    let mut union = Union::default();
    let mut egress = Vec::new();
    for listener in listeners {
        let hosts = Hosts::new(&listener.hosts, namespace);
        let port = match_port(listener);
        let imported = hosts.services(&services, namespace, port);
        let routed = hosts.virtual_services(virtual_services, namespace);
        for (service, ports) in &imported {
            union.add(service, ports.clone());
        }
        for routes in &routed {
            for (host, ports) in destinations(routes, namespace) {
                if let Some(service) = seen.named(&host) {
                    union.add_destination(service, port, &ports);
                }
            }
        }
        egress.push(Egress {
            port: listener.port.clone(),
            bind: listener.bind.as_str().into(),
            capture: listener.capture_mode,
            explicit,
            services: imported
                .iter()
                .map(|(s, ports)| ScopedService { key: s.key.clone(), ports: ports.clone() })
                .collect(),
            virtual_services: names(&routed),
        });
    }
    (egress, union.list())
}

fn names(rows: &[&Arc<Head>]) -> Vec<Named> {
    rows.iter().map(|v| (v.namespace.clone(), v.name.clone())).collect()
}

/// A listener's port, where services must have it to be imported.
fn match_port(listener: &IstioEgressListener) -> Option<u32> {
    let port = listener.port.as_ref()?;
    (port.number != 0 && Protocol::parse(&port.protocol) != Protocol::HttpProxy).then_some(port.number)
}

/// A service and the ports of it that are meant; `None` for all.
type Imported<'a> = (&'a Arc<Service>, Option<Arc<[u32]>>);

/// What may be seen from a namespace, in upstream's order.
struct Visible<'a, L: Level> {
    r: &'a Reads<L>,
    world: &'a World,
    namespace: &'a Arc<str>,
}

impl<'a, L: Level> Visible<'a, L> {
    /// Private and exported ones first, then public ones; each oldest first.
    fn services(&self) -> Vec<&'a Arc<Service>> {
        let mut out = seen_services(self.r, self.world, &Seen::From(self.namespace.clone()));
        out.extend(seen_services(self.r, self.world, &Seen::Everywhere));
        out
    }

    /// Whether no service is seen from here alone.
    fn nothing_else(&self) -> bool {
        let own = Seen::From(self.namespace.clone());
        self.world.services.keys::<ServicesSeen, L>(self.r, &own).next().is_none()
    }

    /// Virtual services of the mesh gateway: own, exported here, public; each oldest first.
    fn virtual_services(&self) -> Vec<&'a Arc<Head>> {
        let of = |seen: Seen| {
            let bucket = (Arc::from("mesh"), seen);
            let mut rows: Vec<_> =
                self.world.route_heads.bucket::<HeadsSeen, L>(self.r, &bucket).map(|(_, v)| v).collect();
            rows.sort_by(|a, b| (a.created, &a.name, &a.namespace).cmp(&(b.created, &b.name, &b.namespace)));
            rows
        };
        let mut out = of(Seen::From(self.namespace.clone()));
        out.sort_by_key(|v| v.namespace != *self.namespace);
        out.extend(of(Seen::Everywhere));
        out
    }

    /// The service of a host that a virtual service leads to: of the own namespace, else a Kubernetes one that is
    /// visible, else the oldest (as `pickBestVisibleNamespace`).
    fn named(&self, host: &str) -> Option<&'a Arc<Service>> {
        let rows: Vec<_> = self
            .world
            .services
            .bucket::<ServicesNamed, L>(self.r, &host.into())
            .map(|(_, row)| row)
            .collect();
        if let Some(own) = rows.iter().find(|s| s.key.namespace == *self.namespace) {
            return Some(own);
        }
        let visible = rows
            .into_iter()
            .filter(|s| mesh::exports::is_visible(&s.export_to, &s.key.namespace, self.namespace));
        visible.min_by_key(|s| (s.registry != Registry::Kubernetes, s.created, s.key.namespace.clone()))
    }
}

fn order(service: &Service) -> (i64, &str, &str) {
    (service.created, &service.name, &service.key.namespace)
}

/// Hosts of an egress listener by namespace.
#[derive(Default)]
struct Hosts {
    by_namespace: BTreeMap<Arc<str>, Classified>,
}

#[derive(Default)]
struct Classified {
    exact: BTreeSet<String>,
    all: Vec<String>,
    excluded: Vec<String>,
}

impl Classified {
    fn excludes(&self, h: &str) -> bool {
        self.excluded.iter().any(|e| host::subset_of(h, e))
    }
    fn matches(&self, h: &str) -> bool {
        self.exact.contains(h)
            || self
                .all
                .iter()
                .any(|own| (host::is_wildcard(h) || host::is_wildcard(own)) && host::subset_of(h, own))
    }
    fn matches_route(&self, h: &str, gateway_semantics: bool) -> bool {
        self.exact.contains(h)
            || self.all.iter().any(|own| {
                (host::is_wildcard(h) || host::is_wildcard(own))
                    && if gateway_semantics { host::subset_of(h, own) } else { host::matches(h, own) }
            })
    }
}

impl Hosts {
    fn new(hosts: &[String], own: &Arc<str>) -> Self {
        let mut out = Self::default();
        for entry in hosts {
            let Some((namespace, name)) = entry.split_once('/') else { continue };
            let (excluded, namespace) = match namespace.strip_prefix('~') {
                Some("") => (true, "*"),
                Some(rest) => (true, rest),
                None => (false, namespace),
            };
            let namespace: Arc<str> = if namespace == "." { own.clone() } else { namespace.into() };
            let class = out.by_namespace.entry(namespace).or_default();
            if excluded {
                class.excluded.push(name.to_owned());
                continue;
            }
            if !host::is_wildcard(name) {
                class.exact.insert(name.to_owned());
            }
            class.all.push(name.to_owned());
        }
        out
    }

    fn excluded(&self, namespace: &str, h: &str) -> bool {
        [namespace, "*"].iter().any(|n| self.by_namespace.get(*n).is_some_and(|c| c.excludes(h)))
    }

    /// As `selectServices` under unified scoping.
    fn services<'a>(
        &self,
        services: &[&'a Arc<Service>],
        own: &Arc<str>,
        port: Option<u32>,
    ) -> Vec<Imported<'a>> {
        let mut imported = Vec::new();
        for service in services {
            let (namespace, h) = (&*service.key.namespace, service.key.hostname.as_str());
            if self.excluded(namespace, h) {
                continue;
            }
            let matched =
                [namespace, "*"].iter().any(|n| self.by_namespace.get(*n).is_some_and(|c| c.matches(h)));
            if !matched {
                continue;
            }
            match port {
                None => imported.push((*service, None)),
                Some(number) if service.port(number).is_none() => {}
                Some(_) if service.ports.len() == 1 => imported.push((*service, None)),
                Some(number) => imported.push((*service, Some(Arc::from([number])))),
            }
        }
        let mut valid: HashMap<&str, (&Arc<str>, bool)> = HashMap::new();
        for (service, _) in &imported {
            let candidate = (&service.key.namespace, service.registry == Registry::Kubernetes);
            let held = valid.entry(service.key.hostname.as_str()).or_insert(candidate);
            let better = !held.1 && candidate.1 && (candidate.0 == own || held.0 != own);
            if candidate.0 == own || better {
                *held = candidate;
            }
        }
        let keep: HashMap<String, Arc<str>> =
            valid.into_iter().map(|(h, (n, _))| (h.to_owned(), n.clone())).collect();
        imported.retain(|(s, _)| keep.get(s.key.hostname.as_str()).is_some_and(|n| *n == s.key.namespace));
        imported
    }

    /// As `SelectVirtualServices`.
    fn virtual_services<'a>(&self, all: &[&'a Arc<Head>], own: &Arc<str>) -> Vec<&'a Arc<Head>> {
        let mut out: Vec<&Arc<Head>> = Vec::new();
        for first in [true, false] {
            for routes in all {
                let gateway = !routes.semantics.is_empty();
                if (gateway && routes.namespace == *own) != first {
                    continue;
                }
                let fits = |namespace: &str| {
                    self.by_namespace.get(namespace).is_some_and(|class| {
                        routes.hosts.iter().any(|h| {
                            class.matches_route(h.as_str(), gateway)
                                && !self.excluded(&routes.namespace, h.as_str())
                        })
                    })
                };
                if fits(&routes.namespace) || fits("*") {
                    out.push(routes);
                }
            }
        }
        out
    }
}

/// Destination hosts with their ports (0 = any), of the routes that apply from a namespace.
fn destinations(routes: &Head, namespace: &str) -> BTreeMap<String, BTreeSet<u32>> {
    let mut out: BTreeMap<String, BTreeSet<u32>> = BTreeMap::new();
    for lead in routes.destinations.iter().filter(|l| l.from.is_empty() || l.from.contains(namespace)) {
        out.entry(lead.host.to_string()).or_default().insert(lead.port);
    }
    out
}

/// The union over listeners, one service per host name (as `appendSidecarServices`).
#[derive(Default)]
struct Union<'a> {
    list: Vec<Imported<'a>>,
    at: HashMap<&'a str, usize>,
}

impl<'a> Union<'a> {
    fn add(&mut self, service: &'a Arc<Service>, ports: Option<Arc<[u32]>>) {
        let host = service.key.hostname.as_str();
        let Some(&at) = self.at.get(host) else {
            self.at.insert(host, self.list.len());
            self.list.push((service, ports));
            return;
        };
        let (held, held_ports) = &mut self.list[at];
        let kube = |s: &Service| s.registry == Registry::Kubernetes;
        if held.key == service.key {
            if let Some(have) = held_ports {
                let mut all: Vec<u32> = have.to_vec();
                all.extend(ports.iter().flat_map(|p| p.iter()));
                all.dedup();
                let mut unique = Vec::new();
                all.into_iter().for_each(|p| {
                    if !unique.contains(&p) {
                        unique.push(p);
                    }
                });
                *held_ports = ports.is_some().then(|| unique.into());
            }
        } else if !kube(held) && kube(service) {
            (*held, *held_ports) = (service, ports);
        }
    }

    /// A service that a virtual service leads to, limited to the listener's port or the route's ports.
    fn add_destination(&mut self, service: &'a Arc<Service>, port: Option<u32>, ports: &BTreeSet<u32>) {
        let wanted: Vec<u32> = match port {
            Some(number) => service.ports.iter().map(|p| p.number).filter(|p| *p == number).collect(),
            None if ports.contains(&0) => return self.add(service, None),
            None => service.ports.iter().map(|p| p.number).filter(|p| ports.contains(p)).collect(),
        };
        if wanted.len() == service.ports.len() {
            self.add(service, None);
        } else if !wanted.is_empty() {
            self.add(service, Some(wanted.into()));
        }
    }

    fn list(&self) -> Services {
        self.list
            .iter()
            .map(|(s, ports)| ScopedService { key: s.key.clone(), ports: ports.clone() })
            .collect()
    }
}
