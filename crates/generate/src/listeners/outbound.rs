//! Outbound listeners of a sidecar: what services and Sidecar objects ask for, then the fixed ones
//! (as pilot/pkg/networking/core/listener.go: `buildSidecarOutboundListeners`).

use std::collections::BTreeMap;
use std::sync::Arc;

use config::mesh::MeshConfig;
use config::networking::CaptureMode;
use config::protocol::Protocol;
use mesh::World;
use mesh::services::{Port, Registry, Resolution};
use mesh::settings::Settings;
use tables::{Level, Reads};

use self::entries::{Bind, Entries, Wanted};
use self::message::Messages;
use self::streams::StreamRoutes;
pub(super) use self::views::listening;
use self::views::{View, views};
use super::{Built, Find, Seen};
use crate::addresses::UNSPECIFIED;
use crate::encoded::{Resource, Section, TypeName};
use crate::provenance::{self, Origin};
use crate::proxy::{Interception, IpMode, Proxy};
use crate::scope::{Egress, Scope, ScopedService};

mod chains;
mod destinations;
mod entries;
mod fixed;
mod message;
mod streams;
mod views;

#[cfg(test)]
mod tests;

/// How addresses that are paths of sockets begin.
const UNIX: &str = "unix://";

/// See [`super::outbound`].
pub(super) fn listeners<L: Level>(
    r: &Reads<L>,
    world: &World,
    proxy: &Proxy,
    seen: &Seen,
    find: Find<'_>,
) -> Built {
    let outbound = Outbound::new(r, world, proxy, seen, find);
    if outbound.is_off() {
        return Built::default();
    }
    let entries = outbound.entries();
    let mut messages = Messages::new(&outbound);
    entries.by_bind.values().for_each(|entry| messages.add(entry));
    if let Some(listener) = outbound.virtual_outbound(&messages.filters) {
        provenance::resource(
            r,
            TypeName::Listener,
            || listener.name.as_str(),
            || {
                messages.said.again(r, String::new);
                provenance::notes(r, |say| {
                    say("", Origin::mesh("proxyListenPort"));
                    say("filter_chains[virtualOutbound-catchall-tcp]", seen.scope.policy_origin(r, world));
                });
            },
        );
        messages.resources.push(Resource::encode_shared(&listener.name, &listener));
    }
    let section = Section::new(messages.resources);
    Built {
        section,
        routes: entries.routes(),
        findings: entries.findings(),
        pods: entries.pods,
        ..Built::default()
    }
}

/// See [`super::outbound_routes`].
pub(super) fn routes<L: Level>(
    r: &Reads<L>,
    world: &World,
    proxy: &Proxy,
    seen: &Seen,
    find: Find<'_>,
) -> Vec<Arc<str>> {
    let outbound = Outbound::new(r, world, proxy, seen, find);
    if outbound.is_off() { Vec::new() } else { outbound.entries().routes() }
}

/// What all outbound listeners of one form are built from.
struct Outbound<'a, L: Level> {
    r: &'a Reads<L>,
    world: &'a World,
    proxy: &'a Proxy,
    seen: &'a Seen,
    find: Find<'a>,
    scope: &'a Scope,
    settings: &'a Settings,
    /// Addresses that stand for all of a host.
    wildcards: Vec<Arc<str>>,
    /// Ports that the proxy itself listens on.
    own_ports: [u32; 6],
}

/// Addresses that stand for all of a host.
fn wildcards(proxy: &Proxy) -> Vec<Arc<str>> {
    match proxy.ip_mode {
        IpMode::Dual => vec!["0.0.0.0".into(), "::".into()],
        IpMode::V4 | IpMode::V6 => vec![proxy.wildcard().into()],
    }
}

/// Addresses that a host has for itself.
fn loopbacks(proxy: &Proxy) -> Vec<Arc<str>> {
    match proxy.ip_mode {
        IpMode::Dual => vec!["127.0.0.1".into(), "::1".into()],
        IpMode::V4 | IpMode::V6 => vec![proxy.loopback().into()],
    }
}

impl<'a, L: Level> Outbound<'a, L> {
    fn new(r: &'a Reads<L>, world: &'a World, proxy: &'a Proxy, seen: &'a Seen, find: Find<'a>) -> Self {
        let settings = crate::settings(r, world);
        let own_ports = own_ports(proxy, &settings.mesh);
        let wildcards = wildcards(proxy);
        Self { r, world, proxy, seen, find, scope: &seen.scope, settings, wildcards, own_ports }
    }

    /// Whether the mesh wants no listeners.
    fn is_off(&self) -> bool {
        self.settings.mesh.proxy_listen_port <= 0
    }

    /// Every listener but `virtualOutbound`, before it is a message.
    fn entries(&self) -> Entries<'a> {
        let mut out = Entries::default();
        for (egress, listening) in self.scope.egress.iter().zip(&self.seen.listening) {
            let origin = || self.scope.egress_origin(Some(egress));
            provenance::because(self.r, origin, || self.egress(egress, listening, &mut out));
        }
        if let Some(entry) = self.http_proxy()
            && let Some(address) = entry.bind.primary()
        {
            provenance::resource(
                self.r,
                TypeName::Listener,
                || entry.bind.name(entry.port),
                || {
                    provenance::note(self.r, || ("", self.http_proxy_origin()));
                },
            );
            out.by_bind.insert((address.clone(), entry.port), entry);
        }
        out
    }

    fn egress(&self, egress: &'a Egress, listening: &[ScopedService], out: &mut Entries<'a>) {
        let routes = self.stream_routes(egress);
        let captured = self.proxy.interception != Interception::None;
        let to_port = !captured || egress.capture == CaptureMode::None || egress.bind.starts_with(UNIX);
        let addresses = match (&egress.bind, to_port) {
            (bind, _) if !bind.is_empty() => vec![bind.clone()],
            (_, true) => loopbacks(self.proxy),
            _ => Vec::new(),
        };
        let bind = Bind { addresses, to_port };
        if let Some(port) = &egress.port {
            let port = Port {
                name: port.name.as_str().into(),
                number: port.number,
                protocol: Protocol::parse(&port.protocol),
            };
            if self.can_bind(&bind, &port) {
                for view in egress.services.iter().flat_map(|s| views(self.r, self.world, self.proxy, s)) {
                    self.add(Wanted::new(&bind, &port, &view), &routes, out);
                }
            }
            return;
        }
        // What comes now adds ports; it adds nothing to listeners that the Sidecar object has given a port.
        out.by_bind.values_mut().for_each(|e| e.locked = true);
        for view in listening.iter().flat_map(|s| views(self.r, self.world, self.proxy, s)) {
            for port in view.ports().filter(|p| self.can_bind(&bind, p)) {
                self.service_port(&bind, port, &view, &routes, out);
            }
        }
    }

    /// The listeners of one port of a service. Streams to a headless service have one for each pod.
    fn service_port(
        &self,
        bind: &Bind,
        port: &Port,
        view: &View<'a>,
        routes: &[StreamRoutes<'a>],
        out: &mut Entries<'a>,
    ) {
        let streams = port.protocol.is_tcp() || port.protocol.is_unsupported();
        let service = view.service;
        let headless = bind.addresses.is_empty()
            && streams
            && service.resolution == Resolution::Passthrough
            && *view.address(self.settings, self.proxy) == *UNSPECIFIED;
        if !headless {
            return self.add(Wanted::new(bind, port, view), routes, out);
        }
        let none = Vec::new();
        let rows = self.world.endpoints.get(self.r, &service.key).map_or(&none, |row| &row.endpoints);
        let serves = |e: &&Arc<mesh::endpoints::Endpoint>| match e.service_port_number {
            0 => e.service_port == port.name,
            number => number == port.number,
        };
        let mut pods = rows.iter().filter(serves).peekable();
        if pods.peek().is_none() && service.registry == Registry::External && service.selector.is_empty() {
            return self.add(Wanted::new(bind, port, view), routes, out);
        }
        let in_one =
            self.settings.switches.pilot_enable_headless_filter_chain_listener && port.protocol.is_tcp();
        for pod in pods {
            if pod.addresses.is_empty()
                || !pod.addresses.iter().all(|a| a.parse::<std::net::IpAddr>().is_ok())
            {
                continue;
            }
            let mut wanted = Wanted::new(bind, port, view);
            if in_one {
                wanted.bind.addresses.clone_from(&self.wildcards);
                wanted.cidrs.clone_from(&pod.addresses);
                wanted.pods = true;
            } else {
                wanted.bind.addresses.clone_from(&pod.addresses);
                let name = wanted.bind.name(port.number);
                out.pods.insert(name.into(), pod.addresses[0].clone());
            }
            self.add(wanted, routes, out);
        }
    }

    /// Whether the proxy may open a port: privileged ones need rights, and some are its own
    /// (as pilot/pkg/model/context.go: `CanBindToPort`).
    fn can_bind(&self, bind: &Bind, port: &Port) -> bool {
        if bind.to_port && self.proxy.unprivileged && (1..1024).contains(&port.number) {
            return false;
        }
        let wildcard = match bind.primary() {
            Some(address) => **address == *self.proxy.wildcard(),
            None => port.protocol.is_http(),
        };
        !(wildcard && self.own_ports.contains(&port.number))
    }
}

/// Ports that the proxy itself listens on.
fn own_ports(proxy: &Proxy, mesh: &MeshConfig) -> [u32; 6] {
    let said = |name: &str| proxy.meta(name).and_then(|text| text.parse().ok()).unwrap_or(u32::MAX);
    let own = |port: i32| u32::try_from(port).unwrap_or(u32::MAX);
    [
        said("ENVOY_STATUS_PORT"),
        said("ENVOY_PROMETHEUS_PORT"),
        said("ENVOY_SECURE_METRICS_PORT"),
        said("ENVOY_SECURE_MERGED_METRICS_PORT"),
        own(mesh.proxy_listen_port),
        own(mesh.proxy_inbound_listen_port),
    ]
}

/// Names of listeners that stand for one pod, with the address of that pod.
pub(super) type Pods = BTreeMap<Arc<str>, Arc<str>>;
