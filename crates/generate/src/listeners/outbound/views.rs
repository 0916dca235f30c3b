//! Services as listeners see them: one for each address and each declaration of a name.

use std::collections::BTreeSet;
use std::sync::Arc;

use config::protocol::Protocol;
use mesh::World;
use mesh::services::{Port, Resolution, Service};
use mesh::settings::Settings;
use tables::{Level, Reads};

use crate::addresses;
use crate::proxy::Proxy;
use crate::scope::ScopedService;

/// One declaration of a service, seen at one of its addresses. Upstream has a service of its own for each of these.
pub(super) struct View<'a> {
    pub(super) service: &'a Service,
    /// The address, where the declaration names some.
    address: Option<&'a Arc<str>>,
    scoped: ScopedService,
}

/// Everything that a row stands for, oldest declaration first.
pub(super) fn views<'a, L: Level>(
    r: &Reads<L>,
    world: &'a World,
    proxy: &Proxy,
    scoped: &ScopedService,
) -> Vec<View<'a>> {
    let Some(row) = world.services.get(r, &scoped.key) else { return Vec::new() };
    let seen =
        |s: &&Arc<Service>| mesh::exports::is_visible(&s.export_to, &s.key.namespace, &proxy.namespace);
    let others = row.others.iter().filter(seen).map(|other| &**other);
    let mut out = Vec::with_capacity(1);
    for service in std::iter::once(&**row).chain(others) {
        let view = |address| View { service, address, scoped: scoped.clone() };
        if service.addresses.is_empty() {
            out.push(view(None));
        }
        out.extend(service.addresses.iter().map(|address| view(Some(address))));
    }
    out
}

/// The services among these that outbound listeners depend on: of those that ask for nothing but plain HTTP on a port,
/// which they share, the first stands for all.
pub(in crate::listeners) fn listening<'s, L: Level>(
    r: &Reads<L>,
    world: &World,
    services: impl Iterator<Item = &'s ScopedService>,
) -> Vec<ScopedService> {
    let mut shared: BTreeSet<u32> = BTreeSet::new();
    let mut matters = |scoped: &&ScopedService| {
        let Some(service) = world.services.get(r, &scoped.key) else { return false };
        if service.resolution == Resolution::Alias && service.others.is_empty() {
            return false;
        }
        let ports = service.ports.iter().take(service.own_ports).filter(|p| scoped.has_port(p.number));
        let mut matters = !service.others.is_empty();
        for port in ports {
            let plain = port.protocol.is_http() && port.protocol != Protocol::HttpProxy;
            matters |= if plain { shared.insert(port.number) } else { port.protocol != Protocol::Udp };
        }
        matters
    };
    services.filter(&mut matters).cloned().collect()
}

impl<'a> View<'a> {
    /// Its own ports that are in scope.
    pub(super) fn ports(&self) -> impl Iterator<Item = &'a Port> {
        self.service.ports.iter().take(self.service.own_ports).filter(|p| self.scoped.has_port(p.number))
    }

    /// Its port, if it has but one.
    pub(super) fn only_port(&self) -> Option<u32> {
        let mut ports = self.ports();
        let first = ports.next()?;
        ports.next().is_none().then_some(first.number)
    }

    /// Where it is called.
    pub(super) fn address(&self, settings: &Settings, proxy: &Proxy) -> Arc<str> {
        self.address.cloned().unwrap_or_else(|| addresses::first(settings, proxy, self.service))
    }

    /// Where it is called as well.
    pub(super) fn extra(&self, settings: &Settings, proxy: &Proxy) -> Vec<Arc<str>> {
        if self.address.is_some() { Vec::new() } else { addresses::extra(settings, proxy, self.service) }
    }
}
