//! Route configurations of sidecars: which parts they have, each part's virtual hosts, the whole
//! (as pilot/pkg/networking/core/httproute.go: `BuildSidecarOutboundVirtualHosts`).

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use config::mesh::{MeshConfig, OutboundTrafficPolicyMode as Policy};
use config::protocol::Protocol;
use config::{Kind, host};
use mesh::routes::{Head, VirtualService};
use mesh::services::{Resolution, Service};
use mesh::{ServiceKey, World};
use prost::Message;
use proto::envoy::config::core::v3::{AggregatedConfigSource, ApiVersion, ConfigSource, config_source};
use proto::envoy::config::route::v3::{
    DirectResponseAction, Route, RouteAction, RouteConfiguration, Vhds, VirtualHost, route, route_action,
};
use rustc_hash::FxHashSet;
use tables::{Level, Reads};

use super::domains::{self, Domain, with_port};
use super::{BuiltRoute, Part, PartHost, Parts, hash, headers, http, matches, session};
use crate::clusters::subset_key;
use crate::encoded::{Resource, Section, TypeName, bool_value, seconds, u32_value};
use crate::findings::Finding;
use crate::plan::ServiceHosts;
use crate::provenance::{self, Origin};
use crate::proxy::{Proxy, ProxyKind};
use crate::scope::{Egress, Named, Scope, ScopedService, Services};

/// The field of a RouteConfiguration that holds virtual hosts, and those of a VirtualHost that hold name and domains.
const VIRTUAL_HOSTS: u32 = 2;
/// What a field takes besides its content, at most.
const FRAME: usize = 6;
/// Largest body of a direct response: what validation lets through.
const MAX_DIRECT_RESPONSE: u32 = 1024 * 1024;

/// The port in a route name, and whether the name is that of one sniffed service (`host:port`).
fn port_of(name: &str) -> (u32, bool) {
    if name.starts_with("unix://") || name == "http_proxy" {
        return (0, false);
    }
    match name.rsplit_once(':') {
        Some((_, port)) => (port.parse().unwrap_or(0), true),
        None => (name.parse().unwrap_or(0), false),
    }
}

/// Whether the virtual hosts of a route configuration travel as resources of their own to this proxy: those of shared
/// listeners, for Envoys that can take them. One service's own route has one virtual host and stays whole.
#[must_use]
pub fn travels_apart(proxy: &Proxy, name: &str) -> bool {
    proxy.kind == ProxyKind::Sidecar && proxy.capabilities.virtual_hosts && !port_of(name).1
}

/// The egress listener that a route name belongs to (as `GetEgressListenerForRDS`).
fn egress<'a>(scope: &'a Scope, name: &str, port: u32) -> Option<&'a Egress> {
    scope.egress.iter().find(|e| match &e.port {
        None => true,
        Some(p) if p.number == port => port != 0 || *e.bind == *name,
        Some(_) => false,
    })
}

/// The services of one route configuration by lower-case host name: what its parts are chosen from, and where
/// destinations are looked up. Holds nothing that an edit of a service changes unless its HTTP ports change.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Served {
    by_host: BTreeMap<String, ServedService>,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct ServedService {
    key: ServiceKey,
    /// Ports of the listener that speak HTTP.
    ports: Vec<u32>,
}

/// The port of the listener that a route name means (0 where one listener serves all ports), and its egress listener.
#[must_use]
pub fn listener<'a>(scope: &'a Scope, name: &str) -> Option<(u32, &'a Egress)> {
    let (port, _) = port_of(name);
    let egress = egress(scope, name, port)?;
    let proxied = egress.port.as_ref().is_some_and(|p| Protocol::parse(&p.protocol) == Protocol::HttpProxy);
    Some((if proxied { 0 } else { port }, egress))
}

/// Ports of a service that a listener serves and that speak HTTP.
fn http_ports(service: &Service, port: u32) -> Vec<u32> {
    let here = service.ports.iter().filter(|p| port == 0 || p.number == port);
    here.filter(|p| p.protocol.is_http_or_sniffed()).map(|p| p.number).collect()
}

/// Whether a listener with this port serves a service in scope.
fn serves(scoped: &ScopedService, service: &Service, port: u32) -> bool {
    port == 0 || (scoped.has_port(port) && service.port(port).is_some())
}

/// The services that a listener's route configuration is about.
pub fn served<L: Level>(r: &Reads<L>, world: &World, services: &Services, port: u32) -> Served {
    let mut out = Served::default();
    for scoped in services.iter() {
        let Some(service) = world.services.get(r, &scoped.key) else { continue };
        if serves(scoped, service, port) {
            let served = ServedService { key: scoped.key.clone(), ports: http_ports(service, port) };
            out.by_host.insert(service.key.hostname.to_lowercase(), served);
        }
    }
    out
}

/// Everything that is the same for all parts of one route configuration.
struct Table<'a, L: Level> {
    r: &'a Reads<L>,
    world: &'a World,
    proxy: &'a Proxy,
    scope: &'a Scope,
    egress: &'a Egress,
    /// Port of the listener; 0 where one listener serves all ports.
    port: u32,
    services: &'a BTreeMap<String, ServedService>,
}

impl<'a, L: Level> Table<'a, L> {
    fn new(
        r: &'a Reads<L>,
        world: &'a World,
        proxy: &'a Proxy,
        scope: &'a Scope,
        served: &'a Served,
        name: &str,
    ) -> Option<Self> {
        let (port, egress) = listener(scope, name)?;
        Some(Self { r, world, proxy, scope, egress, port, services: &served.by_host })
    }

    fn service(&self, served: &ServedService) -> Option<&'a Service> {
        self.world.services.get(self.r, &served.key).map(|row| &**row)
    }

    fn row(&self, name: &Named) -> Option<&'a Arc<VirtualService>> {
        self.world.virtual_services.get(self.r, name)
    }

    fn head(&self, name: &Named) -> Option<&'a Arc<Head>> {
        self.world.route_heads.get(self.r, name)
    }

    fn context<'b>(
        &'b self,
        gateways: &'b [String],
        lookup: &'b dyn Fn(&str) -> Option<&'b Service>,
    ) -> http::Context<'b, L> {
        let mesh = &crate::settings(self.r, self.world).mesh;
        http::Context {
            r: self.r,
            world: self.world,
            proxy: self.proxy,
            scope: self.scope,
            mesh,
            port: self.port,
            gateways,
            lookup,
            tls: false,
            http3: false,
            forwarded_host: headers::forwards_host(self.proxy, mesh),
        }
    }

    /// Whether a virtual service concerns any service of this listener (as `selectVirtualServices`).
    fn concerns(&self, routes: &Head) -> bool {
        routes.hosts.iter().any(|h| {
            let h = h.to_lowercase();
            self.services.contains_key(&h)
                || self
                    .services
                    .keys()
                    .any(|s| (host::is_wildcard(&h) || host::is_wildcard(s)) && host::matches(&h, s))
        })
    }

    /// Hosts of a virtual service that are no service here, and the services it speaks of
    /// (as `separateVSHostsAndServices`).
    fn split(&self, routes: &Head) -> (Vec<String>, Vec<&'a ServedService>) {
        let gateway = &*routes.semantics == "gateway";
        let mut hosts = Vec::new();
        let mut services = Vec::new();
        let (wild, exact): (Vec<_>, Vec<_>) = routes.hosts.iter().partition(|h| h.is_wildcard());
        for h in exact {
            match self.services.get(&h.to_lowercase()) {
                Some(service) => services.push(service),
                None => hosts.push(h.to_string()),
            }
        }
        for h in wild {
            if gateway {
                hosts.push(h.to_lowercase());
                continue;
            }
            let lower = h.to_lowercase();
            let mut matching = self.services.iter().filter(|(s, _)| host::matches(s, &lower)).peekable();
            if matching.peek().is_none() {
                hosts.push(lower.clone());
            }
            let own = (routes.namespace.clone(), routes.name.clone());
            services.extend(
                matching
                    .filter(|(_, s)| self.most_specific(&s.key).as_ref() == Some(&own))
                    .map(|(_, service)| service),
            );
        }
        (hosts, services)
    }

    /// The virtual service whose host fits a service best (as `computeWildcardHostVirtualServiceIndex`).
    fn most_specific(&self, service: &ServiceKey) -> Option<Named> {
        let own = service.hostname.as_str();
        let mut best: Option<(&str, &Named)> = None;
        for name in &self.egress.virtual_services {
            let Some(row) = self.head(name) else { continue };
            for h in &row.hosts {
                let fits = h.as_str() == own || (h.is_wildcard() && host::subset_of(own, h.as_str()));
                let better =
                    best.is_none_or(|(held, _)| held != h.as_str() && host::more_specific(h.as_str(), held));
                if fits && better {
                    best = Some((h.as_str(), name));
                }
            }
        }
        best.map(|(_, name)| name.clone())
    }
}

/// What virtual services add to a sidecar's route configuration.
pub fn parts<L: Level>(
    r: &Reads<L>,
    world: &World,
    proxy: &Proxy,
    scope: &Scope,
    served: &Served,
    name: &Arc<str>,
) -> Parts {
    let mut out = Parts::default();
    let Some(table) = Table::new(r, world, proxy, scope, served, name) else { return out };
    let gateways = ["mesh".to_owned()];
    let none = |_: &str| None;
    let context = table.context(&gateways, &none);
    for named in &table.egress.virtual_services {
        let Some(routes) = table.head(named) else { continue };
        if (table.port != 80 && !table.concerns(routes)) || !http::any(&context, routes) {
            continue;
        }
        let (_, services) = table.split(routes);
        let Some(services) = visible(&table, routes, services) else { continue };
        out.taken.extend(services.iter().map(|s| s.key.hostname.to_lowercase()));
        out.parts.push(Part { route: name.clone(), virtual_service: named.clone() });
    }
    out
}

/// With Gateway API semantics a route applies to callers or services of its own namespace only; `None` for no service.
fn visible<'a, L: Level>(
    table: &Table<'_, L>,
    routes: &Head,
    services: Vec<&'a ServedService>,
) -> Option<Vec<&'a ServedService>> {
    if &*routes.semantics != "gateway" {
        return Some(services);
    }
    let own =
        |s: &ServedService| s.key.namespace == routes.namespace || table.proxy.namespace == routes.namespace;
    services.iter().any(|s| own(s)).then_some(services)
}

/// The virtual hosts of a service that no virtual service speaks of: they depend on that service and its rule alone.
pub fn service_hosts<L: Level>(r: &Reads<L>, world: &World, ask: &ServiceHosts) -> Vec<PartHost> {
    let Some(service) = world.services.get(r, &ask.service.key) else { return Vec::new() };
    if !serves(&ask.service, service, ask.port) || service.resolution == Resolution::Alias {
        return Vec::new();
    }
    let mesh = &crate::settings(r, world).mesh;
    let rule = ask.rule.as_ref().and_then(|name| name.read(r, world));
    let build = |port: u32| {
        let host = service.key.hostname.as_str();
        provenance::notes(r, |say| {
            say("", Origin::service(service, Some(port)));
            http::tell_default(mesh, say);
        });
        let cluster = subset_key("outbound", port, "", host);
        let mut route = http::default_outbound(cluster, format!("{}/*", with_port(host, port)), mesh);
        if let Some(policy) =
            rule.and_then(|rule| hash::of_service(r, rule, port)).as_ref().and_then(hash::policy)
            && let Some(route::Action::Route(action)) = &mut route.action
        {
            action.hash_policy = vec![policy];
        }
        host_of_service(r, world, &ask.proxy, ask.port, service, port, vec![route])
    };
    let named = |port: u32| virtual_host(&with_port(&service.key.hostname.to_lowercase(), port));
    let ports = http_ports(service, ask.port).into_iter();
    ports.map(|port| provenance::within(r, || named(port), || build(port))).collect()
}

/// The path of a virtual host of this name.
fn virtual_host(name: &str) -> String {
    format!("virtual_hosts[{name}]")
}

/// The virtual hosts of a virtual service.
pub fn part<L: Level>(
    r: &Reads<L>,
    world: &World,
    proxy: &Proxy,
    scope: &Scope,
    served: &Served,
    part: &Part,
) -> Vec<PartHost> {
    let Some(table) = Table::new(r, world, proxy, scope, served, &part.route) else { return Vec::new() };
    match (table.head(&part.virtual_service), table.row(&part.virtual_service)) {
        (Some(head), Some(routes)) => of_virtual_service(&table, head, routes),
        _ => Vec::new(),
    }
}

fn of_virtual_service<L: Level>(table: &Table<'_, L>, head: &Head, routes: &VirtualService) -> Vec<PartHost> {
    let gateways = ["mesh".to_owned()];
    let lookup = |h: &str| table.services.get(h).and_then(|s| table.service(s));
    let context = table.context(&gateways, &lookup);
    let (built, said) = provenance::collect(table.r, || http::routes(&context, routes));
    if built.is_empty() {
        return Vec::new();
    }
    let (hosts, services) = table.split(head);
    let mut ports: BTreeMap<u32, Vec<&Service>> = BTreeMap::new();
    for served in services {
        let Some(service) = table.service(served) else { continue };
        for port in &served.ports {
            ports.entry(*port).or_default().push(service);
        }
    }
    if ports.is_empty() && table.port == 80 {
        ports.insert(80, Vec::new());
    }
    let (r, world, proxy) = (table.r, table.world, table.proxy);
    let mut out = Vec::new();
    for (port, services) in ports {
        for h in &hosts {
            let h = h.to_lowercase();
            provenance::within(
                r,
                || virtual_host(&with_port(&h, port)),
                || {
                    provenance::note(r, || ("", of_host(head)));
                    said.again(r, String::new);
                },
            );
            let domains = vec![Domain { name: domains::bracketed(&h), short: false }];
            let rest = rest(r, world, proxy, None, built.clone());
            out.push(part_host(proxy, table.port, &h, port, domains, false, &rest));
        }
        let one = |s: &Service| {
            let name = || virtual_host(&with_port(&s.key.hostname.to_lowercase(), port));
            provenance::within(r, name, || {
                provenance::note(r, || ("", of_host(head)));
                provenance::note(r, || ("domains", Origin::service(s, Some(port))));
                said.again(r, String::new);
                host_of_service(r, world, proxy, table.port, s, port, built.clone())
            })
        };
        out.extend(services.into_iter().map(one));
    }
    out
}

/// What makes virtual hosts of a virtual service.
fn of_host(head: &Head) -> Origin {
    Origin::field(Kind::VirtualService, (&head.namespace, &head.name), "spec.hosts")
}

/// The virtual host of a service's port at a listener (whose `port` is 0 if it serves all).
fn host_of_service<L: Level>(
    r: &Reads<L>,
    world: &World,
    proxy: &Proxy,
    listener: u32,
    service: &Service,
    port: u32,
    routes: Vec<Route>,
) -> PartHost {
    let settings = crate::settings(r, world);
    let host = service.key.hostname.to_lowercase();
    let mut domains = domains::of_service(settings, proxy, service, (listener == 0).then_some(port));
    if listener == 0 && port != 80 {
        // One listener for all ports: only port 80 goes without saying.
        domains.retain(|d| d.name.contains(':'));
    }
    part_host(proxy, listener, &host, port, domains, true, &rest(r, world, proxy, Some(service), routes))
}

fn part_host(
    proxy: &Proxy,
    listener: u32,
    host: &str,
    port: u32,
    domains: Vec<Domain>,
    service: bool,
    rest: &[u8],
) -> PartHost {
    let name = with_port(host, port);
    let all = || domains.iter().map(|d| d.name.as_str());
    let whole = message(&name, all(), rest);
    let route = listener.to_string();
    let apart = travels_apart(proxy, &route).then(|| {
        let name = format!("{route}/{name}");
        Resource::from_bytes(name.as_str(), message(&name, all(), rest))
    });
    let rest = whole.slice(whole.len() - rest.len()..);
    PartHost { name: name.into(), full: host.into(), domains, service, whole, rest, apart }
}

/// A virtual host without name and domains.
fn rest<L: Level>(
    r: &Reads<L>,
    world: &World,
    proxy: &Proxy,
    service: Option<&Service>,
    routes: Vec<Route>,
) -> Vec<u8> {
    let mesh = &crate::settings(r, world).mesh;
    let mut out = VirtualHost {
        routes,
        include_request_attempt_count: headers::counts_attempts(proxy, mesh),
        ..VirtualHost::default()
    };
    if let Some(session) = service.and_then(|s| session::of(r, world, s)) {
        out.typed_per_filter_config.insert(session::FILTER.into(), session);
    }
    out.encode_to_vec()
}

/// The whole: head, virtual hosts with duplicate domains removed (`hosts` are in order of precedence), catch-all.
pub fn assemble<L: Level>(
    r: &Reads<L>,
    world: &World,
    proxy: &Proxy,
    scope: &Scope,
    name: &Arc<str>,
    hosts: &[&PartHost],
) -> BuiltRoute {
    let (_, sniffed) = port_of(name);
    let (mut hosts, findings) = unique(hosts);
    if sniffed {
        hosts = of_sniffed(hosts, name);
    }
    hosts.sort_by(|a, b| a.host.name.cmp(&b.host.name));
    let apart = travels_apart(proxy, name);
    let mut head = RouteConfiguration {
        name: name.to_string(),
        validate_clusters: bool_value(false),
        max_direct_response_body_size_bytes: u32_value(MAX_DIRECT_RESPONSE),
        ignore_port_in_host_matching: true,
        ..RouteConfiguration::default()
    };
    if apart {
        head.vhds = Some(Vhds {
            config_source: Some(ConfigSource {
                config_source_specifier: Some(config_source::ConfigSourceSpecifier::Ads(
                    AggregatedConfigSource::default(),
                )),
                resource_api_version: ApiVersion::V3.into(),
                ..ConfigSource::default()
            }),
        });
    }
    provenance::kept(r, name, || hosts.iter().map(|kept| kept.host.name.clone()).collect());
    provenance::resource(
        r,
        TypeName::Route,
        || name.clone(),
        || {
            let egress = || listener(scope, name).map(|(_, egress)| egress);
            provenance::note(r, || ("", scope.egress_origin(egress())));
        },
    );
    let inline = if apart { 0 } else { hosts.iter().map(|h| h.host.whole.len() + FRAME).sum() };
    let mut whole = Vec::with_capacity(head.encoded_len() + inline + 2 * FRAME);
    whole.extend(head.encode_to_vec());
    let mut virtual_hosts = Vec::new();
    for host in hosts {
        if apart {
            virtual_hosts.push(host.apart(name));
        } else {
            put_framed(&host.whole(), &mut whole);
        }
    }
    if !sniffed {
        let mesh = &crate::settings(r, world).mesh;
        let all = catch_all(proxy, mesh, scope);
        provenance::resource(
            r,
            TypeName::Route,
            || name.clone(),
            || provenance::note(r, || (virtual_host(&all.name), scope.policy_origin(r, world))),
        );
        put_framed(&all.encode_to_vec(), &mut whole);
    }
    whole.shrink_to_fit();
    BuiltRoute {
        route: Resource::from_bytes(name.clone(), whole.into()),
        virtual_hosts: Section::new(virtual_hosts),
        findings: findings.into(),
    }
}

/// A virtual host with the domains that are left to it.
struct Kept<'a> {
    host: &'a PartHost,
    /// `None` for all of its own.
    domains: Option<Vec<&'a str>>,
}

impl Kept<'_> {
    fn domains(&self) -> Vec<&str> {
        let all = || self.host.domains.iter().map(|d| d.name.as_str()).collect();
        self.domains.clone().unwrap_or_else(all)
    }

    /// The message; the one that is made already, where nothing is different.
    fn whole(&self) -> Bytes {
        if self.domains.is_none() {
            return self.host.whole.clone();
        }
        message(&self.host.name, self.domains().into_iter(), &self.host.rest)
    }

    /// The resource under a route configuration; the one that is made already, where nothing is different.
    fn apart(&self, route: &str) -> Resource {
        let name = format!("{route}/{}", self.host.name);
        match &self.host.apart {
            Some(made) if self.domains.is_none() && *made.name == *name => made.clone(),
            _ => {
                let bytes = message(&name, self.domains().into_iter(), &self.host.rest);
                Resource::from_bytes(name, bytes)
            }
        }
    }
}

/// Hosts whose name is new, with the domains that nobody before them has; and who lacks some.
fn unique<'a>(hosts: &[&'a PartHost]) -> (Vec<Kept<'a>>, Vec<Finding>) {
    let mut known: FxHashSet<&str> = FxHashSet::default();
    for host in hosts.iter().filter(|h| h.service) {
        known.insert(&host.name);
        known.insert(&host.full);
    }
    let mut names: FxHashSet<&str> = FxHashSet::default();
    let mut taken: FxHashSet<Cow<'a, str>> = FxHashSet::default();
    let mut out = Vec::with_capacity(hosts.len());
    let mut findings = Vec::new();
    for host in hosts {
        let lacks = || Finding::Domain { virtual_host: host.name.clone(), service: host.service };
        if !names.insert(&host.name) {
            findings.push(lacks());
            continue;
        }
        let mut domains = Vec::with_capacity(host.domains.len());
        for domain in &host.domains {
            let hidden = domain.short && known.contains(domain.name.as_str());
            if !hidden && taken.insert(lower(&domain.name)) {
                domains.push(domain.name.as_str());
            }
        }
        let all = domains.len() == host.domains.len();
        if !all {
            findings.push(lacks());
        }
        if !domains.is_empty() {
            out.push(Kept { host, domains: (!all).then_some(domains) });
        }
    }
    (out, findings)
}

fn lower(text: &str) -> Cow<'_, str> {
    let is_lower = text.bytes().all(|b| b.is_ascii() && !b.is_ascii_uppercase());
    if is_lower { Cow::Borrowed(text) } else { Cow::Owned(text.to_lowercase()) }
}

/// A listener that sniffed one service answers for every host (as `getVirtualHostsForSniffedServicePort`).
fn of_sniffed<'a>(hosts: Vec<Kept<'a>>, name: &str) -> Vec<Kept<'a>> {
    let bare = name.rsplit_once(':').map_or(name, |(h, _)| h);
    let mut own: Vec<_> =
        hosts.into_iter().filter(|kept| kept.domains().iter().any(|d| *d == name || *d == bare)).collect();
    if let [kept] = &mut own[..] {
        kept.domains = Some(vec!["*"]);
    }
    own
}

/// A VirtualHost from its name, domains and the encoded rest.
fn message<'a>(name: &str, domains: impl Iterator<Item = &'a str>, rest: &[u8]) -> Bytes {
    let domains = domains.map(ToOwned::to_owned).collect();
    let head = VirtualHost { name: name.into(), domains, ..VirtualHost::default() };
    let mut out = Vec::with_capacity(head.encoded_len() + rest.len());
    out.extend(head.encode_to_vec());
    out.extend_from_slice(rest);
    out.into()
}

/// Appends a virtual host as a field of a RouteConfiguration.
fn put_framed(host: &[u8], out: &mut Vec<u8>) {
    prost::encoding::encode_key(VIRTUAL_HOSTS, prost::encoding::WireType::LengthDelimited, out);
    prost::encoding::encode_varint(host.len() as u64, out);
    out.extend_from_slice(host);
}

/// Where requests to unknown hosts go (as `buildCatchAllVirtualHost`).
pub(crate) fn catch_all(proxy: &Proxy, mesh: &MeshConfig, scope: &Scope) -> VirtualHost {
    let (attempts, forwards_host) =
        (headers::counts_attempts(proxy, mesh), headers::forwards_host(proxy, mesh));
    let (name, cluster) = match (scope.outbound_policy, &scope.egress_proxy) {
        (Policy::AllowAnyDynamicDns, _) => {
            ("allow_any_dynamic_dns", Some("AllowAnyDynamicDNSCluster".to_owned()))
        }
        (Policy::AllowAny, Some(proxy)) => ("allow_any", Some(http::cluster_of(proxy, None, 0))),
        (Policy::AllowAny, None) => ("allow_any", Some("PassthroughCluster".to_owned())),
        (Policy::RegistryOnly, _) => ("block_all", None),
    };
    let action = match cluster {
        Some(cluster) => {
            let mut action = RouteAction {
                cluster_specifier: Some(route_action::ClusterSpecifier::Cluster(cluster)),
                append_x_forwarded_host: forwards_host,
                ..RouteAction::default()
            };
            http::set_timeout(&mut action, Some(config::Duration::ZERO));
            action.timeout = Some(seconds(0));
            route::Action::Route(action)
        }
        None => route::Action::DirectResponse(DirectResponseAction {
            status: 502,
            ..DirectResponseAction::default()
        }),
    };
    VirtualHost {
        name: name.into(),
        domains: vec!["*".into()],
        routes: vec![Route {
            name: name.into(),
            r#match: Some(matches::everything()),
            action: Some(action),
            ..Route::default()
        }],
        include_request_attempt_count: attempts,
        ..VirtualHost::default()
    }
}
