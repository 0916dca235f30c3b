//! Merging: which servers of which Gateway objects a workload has, and which of them conflict
//! (as pilot/pkg/model/gateway.go: `mergeGateways`, push_context.go: `mergeGateways`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use config::networking::{Server as Spec, ServerTlsSettingsTlsMode as Mode};
use config::protocol::Protocol;
use mesh::World;
use mesh::gateways::GatewayRow;
use mesh::workloads::{LabelSet, ServiceTarget};
use mesh::world::GatewaysOf;
use tables::{Level, Reads};

use super::{Merged, PortServers, Server, ServerPort};
use crate::proxy::Proxy;
use crate::secrets;

/// A Service with this label opts out of translating its ports to target ports.
const NO_TRANSLATION: &str = "experimental.istio.io/disable-gateway-port-translation";

/// A Gateway that applies, with the services whose ports it speaks of.
struct Applied<'a> {
    row: &'a GatewayRow,
    /// Chosen by labels: ports that no service has are taken as they are.
    by_labels: bool,
    targets: Vec<&'a ServiceTarget>,
}

fn internal<'a>(row: &'a GatewayRow, name: &str) -> Option<&'a str> {
    let found = row.internal.iter().find(|(k, _)| k.strip_prefix("internal.istio.io/") == Some(name));
    found.map(|(_, v)| &**v).filter(|v| !v.is_empty())
}

/// See [`super::merge`].
pub(super) fn merged<L: Level>(
    r: &Reads<L>,
    world: &World,
    proxy: &Proxy,
    targets: &[ServiceTarget],
) -> Merged {
    let settings = crate::settings(r, world);
    let mut rows: Vec<&GatewayRow> = if settings.switches.pilot_scope_gateway_to_namespace {
        world.gateways.bucket::<GatewaysOf, L>(r, &proxy.namespace).map(|(_, row)| &**row).collect()
    } else {
        world.gateways.all(r).map(|(_, row)| &**row).collect()
    };
    rows.sort_by(|a, b| (a.created, &a.name, &a.namespace).cmp(&(b.created, &b.name, &b.namespace)));
    let mut applied: Vec<Applied<'_>> =
        rows.into_iter().filter_map(|row| applies(row, proxy, targets)).collect();
    let mut merging =
        Merging { proxy, quic: settings.switches.pilot_enable_quic_listeners, ..Merging::new(proxy) };
    if settings.switches.pilot_enable_strict_gateway_merging {
        merging.only_managed(&mut applied);
    }
    let opted_out = |t: &ServiceTarget| {
        world.services.get(r, &t.service).is_some_and(|s| s.labels.contains_key(NO_TRANSLATION))
    };
    for mut gateway in applied {
        if gateway.by_labels {
            gateway.targets.retain(|t| !opted_out(t));
        }
        merging.gateway(&gateway);
    }
    merging.out
}

fn applies<'a>(row: &'a GatewayRow, proxy: &Proxy, targets: &'a [ServiceTarget]) -> Option<Applied<'a>> {
    if let Some(services) = internal(row, "gateway-service") {
        let namespace = internal(row, "parent-namespace").unwrap_or(&row.namespace);
        let own = |t: &&ServiceTarget| {
            *t.service.namespace == *namespace
                && services.split(',').any(|s| s == t.service.hostname.as_str())
        };
        let targets: Vec<_> = targets.iter().filter(own).collect();
        return (!targets.is_empty()).then_some(Applied { row, by_labels: false, targets });
    }
    let selector = &row.gateway.selector;
    let selected = proxy.labels.has_all(selector);
    selected.then(|| Applied { row, by_labels: true, targets: targets.iter().collect() })
}

/// The ports a server listens on (as `resolvePorts`).
fn resolve(number: u32, gateway: &Applied<'_>) -> Vec<u32> {
    let mut own = gateway.targets.iter().filter(|t| t.port.number == number).map(|t| t.target_port);
    if gateway.by_labels {
        // One only: merging what several services lead to would surprise those who select by label.
        return vec![own.next().unwrap_or(number)];
    }
    own.collect::<BTreeSet<_>>().into_iter().collect()
}

/// RouteConfiguration name of a server, empty without HTTP (as `gatewayRDSRouteName`).
fn route_name(server: &Server, resolved: u32, row: &GatewayRow) -> String {
    let bind = if server.spec.bind.is_empty() { String::new() } else { format!(".{}", server.spec.bind) };
    if server.protocol.is_http() {
        return format!("http.{resolved}{bind}");
    }
    if server.protocol == Protocol::Https && !server.passes() {
        let name = server.spec.port.as_ref().map_or("", |p| &p.name);
        return format!("https.{}.{name}.{}.{}{bind}", server.port, row.name, row.namespace);
    }
    String::new()
}

/// `./host` belongs to the Gateway's namespace, `*/host` to all (as `sanitizeServerHostNamespace`).
fn hosts(hosts: &[String], namespace: &str) -> Vec<String> {
    let mut out = Vec::with_capacity(hosts.len());
    for host in hosts {
        match host.split_once('/') {
            Some((".", host)) => out.push(format!("{namespace}/{host}")),
            Some(("*", "*")) => return vec!["*".into()],
            Some(("*", host)) => out.push(host.to_owned()),
            _ => out.push(host.clone()),
        }
    }
    out
}

/// Host names without namespaces, sorted, once each (as `GetSNIHostsForServer`).
fn server_names(spec: &Spec) -> Vec<String> {
    let bare = |h: &String| h.rsplit_once('/').map_or(h.as_str(), |(_, host)| host).to_owned();
    spec.hosts.iter().map(bare).collect::<BTreeSet<_>>().into_iter().collect()
}

/// Host to address: TLS servers of one port must not match the same names at the same address.
#[derive(Default)]
pub(super) struct Claimed(BTreeMap<u32, BTreeMap<String, String>>);

impl Claimed {
    /// Claims all hosts, or none and says which are taken (as `CheckDuplicates`).
    pub(super) fn claim(&mut self, port: u32, hosts: &[String], bind: &str) -> Result<(), Vec<String>> {
        let known = self.0.entry(port).or_default();
        let taken: Vec<String> =
            hosts.iter().filter(|h| known.get(*h).is_some_and(|b| b == bind)).cloned().collect();
        if !taken.is_empty() {
            return Err(taken);
        }
        known.extend(hosts.iter().map(|h| (h.clone(), bind.to_owned())));
        Ok(())
    }
}

/// The state of a merge: what each port already is.
struct Merging<'a> {
    proxy: &'a Proxy,
    quic: bool,
    /// Ports with any server.
    used: BTreeSet<u32>,
    /// The plain-text place of a port.
    plain: BTreeMap<u32, ServerPort>,
    claimed: Claimed,
    out: Merged,
}

impl<'a> Merging<'a> {
    fn new(proxy: &'a Proxy) -> Self {
        Self {
            proxy,
            quic: false,
            used: BTreeSet::new(),
            plain: BTreeMap::new(),
            claimed: Claimed::default(),
            out: Merged::default(),
        }
    }

    /// With a managed Gateway of the Gateway API, Istio Gateways of other namespaces must not get at its credentials
    /// (as `filterStrictGatewayMerging`).
    fn only_managed(&mut self, applied: &mut Vec<Applied<'_>>) {
        let api = |row: &GatewayRow| internal(row, "gateway-semantics") == Some("gateway");
        let managed: BTreeSet<Arc<str>> = applied
            .iter()
            .filter(|g| api(g.row) && internal(g.row, "service-account-name").is_some())
            .map(|g| g.row.namespace.clone())
            .collect();
        if managed.is_empty() {
            return;
        }
        applied.retain(|g| {
            let kept = api(g.row) || managed.contains(&g.row.namespace);
            if !kept {
                let (namespace, name) = (&g.row.namespace, &g.row.name);
                self.out.rejected.push(format!(
                    "Gateway {namespace}/{name}: the workload is managed by a Gateway API Gateway of another namespace"
                ));
            }
            kept
        });
    }

    fn gateway(&mut self, gateway: &Applied<'_>) {
        let row = gateway.row;
        let name: Arc<str> = format!("{}/{}", row.namespace, row.name).into();
        self.out.gateways.insert(name.clone());
        for (at, spec) in row.gateway.servers.iter().enumerate() {
            let Some(port) = &spec.port else {
                self.out.rejected.push(format!("Gateway {name}: a server without port"));
                continue;
            };
            let (number, protocol) = (port.number, Protocol::parse(&port.protocol));
            let mut spec = spec.clone();
            spec.hosts = hosts(&spec.hosts, &row.namespace);
            self.verify(row, &spec);
            let sni = if spec.tls.is_some() { server_names(&spec) } else { Vec::new() };
            for resolved in resolve(number, gateway) {
                let mut server = Server {
                    gateway: name.clone(),
                    at,
                    spec: spec.clone(),
                    protocol,
                    port: number,
                    route: Arc::from(""),
                    sni: sni.clone(),
                };
                server.route = route_name(&server, resolved, row).into();
                if let Err(why) = self.server(Arc::new(server), resolved, gateway) {
                    self.out.rejected.push(format!("Gateway {name}, server port {number}: {why}"));
                }
            }
        }
    }

    fn server(&mut self, server: Arc<Server>, resolved: u32, gateway: &Applied<'_>) -> Result<(), String> {
        let spec = &server.spec;
        if let Some(tls) = &spec.tls {
            self.claimed
                .claim(resolved, &spec.hosts, &spec.bind)
                .map_err(|taken| format!("another server has the hosts {}", taken.join(", ")))?;
            self.out.auto_passthrough |= tls.mode == Mode::AutoPassthrough;
        }
        let protocol = spec.port.as_ref().map(|p| p.protocol.clone()).unwrap_or_default();
        let place = ServerPort { number: resolved, protocol, bind: spec.bind.clone() };
        let udp = |t: &&ServiceTarget| t.port.number == server.port && t.port.protocol == Protocol::Udp;
        let quic = self.quic && server.ends_https() && gateway.targets.iter().any(udp);
        if self.used.insert(resolved) {
            self.first(&place, &server);
        } else if let Some(current) = self.plain.get(&resolved).cloned() {
            self.beside_plain(&current, &place, &server)?;
        } else if server.is_tls() {
            self.beside_tls(&place, &server)?;
        } else {
            self.first(&place, &server);
            return Ok(());
        }
        if quic {
            self.out.http3.insert(server.route.clone());
            self.out.quic.entry(place).or_default().push(server);
        }
        Ok(())
    }

    fn at(&mut self, place: &ServerPort) -> Option<&mut PortServers> {
        self.out.ports.iter_mut().find(|p| p.port == *place)
    }

    /// The first server of a place (as `addPlainTextServer`).
    fn first(&mut self, place: &ServerPort, server: &Arc<Server>) {
        if !server.is_tls() {
            self.plain.insert(place.number, place.clone());
        }
        if server.is_http() {
            self.out.routes.insert(server.route.clone(), vec![server.clone()]);
        }
        let servers =
            PortServers { port: place.clone(), servers: vec![server.clone()], route: server.route.clone() };
        match self.at(place) {
            Some(have) => *have = servers,
            None => self.out.ports.push(servers),
        }
    }

    /// A server on a port where plain text is spoken: the same protocol joins, another address stands on its own.
    fn beside_plain(
        &mut self,
        current: &ServerPort,
        place: &ServerPort,
        server: &Arc<Server>,
    ) -> Result<(), String> {
        if current.bind == place.bind {
            let theirs = Protocol::parse(&current.protocol);
            let merges = (server.protocol.is_http() || server.protocol == theirs) && theirs.is_http();
            if !merges {
                return Err(format!("the port already speaks {}, not {}", current.protocol, place.protocol));
            }
            if server.route.is_empty() {
                return Err("a server without routes cannot share a port".into());
            }
            if let Some(have) = self.at(current) {
                have.servers.push(server.clone());
            }
            self.out.routes.entry(server.route.clone()).or_default().push(server.clone());
        } else if let Some(have) = self.at(place) {
            have.route = server.route.clone();
            have.servers.push(server.clone());
            self.out.routes.entry(server.route.clone()).or_default().push(server.clone());
        } else {
            self.first(place, server);
        }
        Ok(())
    }

    /// A TLS server on a port where TLS is spoken: told apart by server name.
    fn beside_tls(&mut self, place: &ServerPort, server: &Arc<Server>) -> Result<(), String> {
        if server.is_http() {
            if self.out.routes.contains_key(&server.route) {
                return Err("the name of an HTTPS port must be unique".into());
            }
            self.out.routes.insert(server.route.clone(), vec![server.clone()]);
        }
        match self.at(place) {
            Some(have) => have.servers.push(server.clone()),
            None => self.out.ports.push(PortServers {
                port: place.clone(),
                servers: vec![server.clone()],
                route: Arc::from(""),
            }),
        }
        Ok(())
    }

    /// Collects the credentials that a server of a Gateway in the proxy's own namespace names.
    fn verify(&mut self, row: &GatewayRow, spec: &Spec) {
        let Some(tls) = &spec.tls else { return };
        let namespace = internal(row, "parent-namespace").unwrap_or(&row.namespace);
        let account = internal(row, "service-account-name");
        let own =
            *self.proxy.namespace == *namespace && account.is_none_or(|a| *self.proxy.service_account == *a);
        let listeners = internal(row, "parents").is_some_and(|p| p.starts_with("ListenerSet/"));
        if !own || !(row.namespace == self.proxy.namespace || listeners) {
            return;
        }
        let lookup = if listeners { &row.namespace } else { &self.proxy.namespace };
        let names = if tls.credential_names.is_empty() {
            std::slice::from_ref(&tls.credential_name)
        } else {
            &tls.credential_names[..]
        };
        for name in names.iter().filter(|n| !n.is_empty() && !n.starts_with("builtin://")) {
            let resource = secrets::resource_name(name);
            if secrets::namespace_of(&resource, &self.proxy.namespace).as_deref() != Some(&**lookup) {
                continue;
            }
            if matches!(tls.mode, Mode::Mutual | Mode::OptionalMutual) {
                self.out.verified.insert(format!("{resource}{}", secrets::CA_SUFFIX));
            }
            self.out.verified.insert(resource);
        }
        let ca = &tls.ca_cert_credential_name;
        if ca.starts_with("kubernetes-gateway://")
            && secrets::namespace_of(ca, &self.proxy.namespace).as_deref() == Some(&**lookup)
        {
            self.out.verified.insert(ca.clone());
        }
    }
}
