//! Listeners under construction, and what happens when several services want the same one
//! (as pilot/pkg/networking/core/listener.go: `buildSidecarOutboundListener`).

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use config::protocol::Protocol;
use mesh::services::{Port, Registry, Resolution};
use tables::Level;

use super::chains::{Chain, Content, Http, is_dynamic};
use super::streams::StreamRoutes;
use super::views::View;
use super::{Outbound, Pods};
use crate::addresses::UNSPECIFIED;
use crate::encoded::TypeName;
use crate::findings::Finding;
use crate::provenance::{self, Origin};
use crate::proxy::IpMode;

const UNSPECIFIED_V6: &str = "::";

/// Where a listener listens.
#[derive(Clone, Debug, Default)]
pub(super) struct Bind {
    /// The first is the main one; none yet if the service decides.
    pub(super) addresses: Vec<Arc<str>>,
    /// Opens a port of the host; otherwise connections are handed over by `virtualOutbound`.
    pub(super) to_port: bool,
}

impl Bind {
    /// The main address.
    pub(super) fn primary(&self) -> Option<&Arc<str>> {
        self.addresses.first()
    }

    /// Name of a listener here.
    pub(super) fn name(&self, port: u32) -> String {
        format!("{}_{port}", self.primary().map_or("", |a| &**a))
    }
}

/// A listener under construction.
#[derive(Debug)]
pub(super) struct Entry<'a> {
    pub(super) bind: Bind,
    pub(super) port: u32,
    pub(super) chains: Vec<Chain<'a>>,
    /// What it speaks; [`Protocol::Unsupported`] once it has chains for HTTP and for streams.
    pub(super) protocol: Protocol,
    /// What the first service of it speaks.
    pub(super) first: Protocol,
    /// Takes no more services.
    pub(super) locked: bool,
    /// The last service that has no place here.
    pub(super) rejected: Option<Finding>,
}

/// All of them, by main address and port.
#[derive(Default)]
pub(super) struct Entries<'a> {
    pub(super) by_bind: BTreeMap<(Arc<str>, u32), Entry<'a>>,
    pub(super) pods: Pods,
}

impl Entries<'_> {
    /// Who has no place, once for each listener.
    pub(super) fn findings(&self) -> Arc<[Finding]> {
        self.by_bind.values().filter_map(|entry| entry.rejected.clone()).collect()
    }

    /// Names of the route configurations that they ask for, in order, once each.
    pub(super) fn routes(&self) -> Vec<Arc<str>> {
        let mut seen = HashSet::new();
        let mut out = Vec::new();
        for chain in self.by_bind.values().flat_map(|e| &e.chains) {
            if let Content::Http(http) = &chain.content
                && seen.insert(&http.route)
            {
                out.push(http.route.clone());
            }
        }
        out
    }
}

/// What one port of a service asks for.
pub(super) struct Wanted<'v, 'a> {
    pub(super) bind: Bind,
    /// Destination ranges that tell it from others on the same listener.
    pub(super) cidrs: Vec<Arc<str>>,
    pub(super) port: &'v Port,
    pub(super) view: &'v View<'a>,
    /// The ranges are pods of a headless service.
    pub(super) pods: bool,
}

impl<'v, 'a> Wanted<'v, 'a> {
    pub(super) fn new(bind: &Bind, port: &'v Port, view: &'v View<'a>) -> Self {
        Self { bind: bind.clone(), cidrs: Vec::new(), port, view, pods: false }
    }
}

/// What a listener is for (as pilot/pkg/networking: `ModelProtocolToListenerProtocol`).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Http,
    Tcp,
    Auto,
}

impl Kind {
    const fn of(protocol: Protocol) -> Option<Self> {
        match protocol {
            Protocol::Udp => None,
            p if p.is_http() => Some(Self::Http),
            p if p.is_tcp() => Some(Self::Tcp),
            _ => Some(Self::Auto),
        }
    }

    /// As pilot/pkg/networking/core/listener.go: `protocolName`.
    const fn name(of: Protocol) -> &'static str {
        match Self::of(of) {
            Some(Self::Http) => "HTTP",
            Some(Self::Tcp) => "TCP",
            Some(Self::Auto) | None => "UNKNOWN",
        }
    }
}

/// Server-first protocols stay alone: waiting for the client's first bytes would break them.
fn stays_alone(incoming: Protocol, existing: Protocol) -> bool {
    let alone = |p| matches!(p, Protocol::Mongo | Protocol::MySql);
    incoming != existing && (alone(incoming) || alone(existing))
}

impl<'a, L: Level> Outbound<'a, L> {
    /// Adds what a service wants, unless what is there takes precedence (it is older).
    pub(super) fn add(&self, mut wanted: Wanted<'_, 'a>, routes: &[StreamRoutes<'a>], out: &mut Entries<'a>) {
        let Some(kind) = Kind::of(wanted.port.protocol) else { return };
        if wanted.view.service.resolution == Resolution::Alias {
            return;
        }
        if wanted.bind.addresses.is_empty() {
            self.choose_bind(kind, &mut wanted);
        }
        let Some(primary) = wanted.bind.primary().cloned() else { return };
        let key = (primary, wanted.port.number);
        let mut current = out.by_bind.get_mut(&key);
        if current.as_ref().is_some_and(|c| c.locked) {
            return;
        }
        let mut protocol = wanted.port.protocol;
        let wild = *key.0 == *self.proxy.wildcard();
        let chains = match kind {
            Kind::Http if protocol == Protocol::HttpProxy => {
                current = None;
                vec![self.http_chain(kind, &wanted, false)]
            }
            Kind::Http => {
                if current.as_ref().is_some_and(|c| !c.protocol.is_tcp()) {
                    return;
                }
                if wild {
                    protocol = Protocol::Unsupported;
                }
                vec![self.http_chain(kind, &wanted, wild)]
            }
            Kind::Tcp => self.streams(&wanted, routes),
            Kind::Auto => {
                let mut chains = self.streams(&wanted, routes);
                if !current.as_ref().is_some_and(|c| c.protocol.is_unsupported()) {
                    chains.push(self.http_chain(kind, &wanted, true));
                }
                chains
            }
        };
        provenance::resource(
            self.r,
            TypeName::Listener,
            || wanted.bind.name(wanted.port.number),
            || {
                let alone = |have: &&mut Entry<'_>| stays_alone(wanted.port.protocol, have.protocol);
                provenance::notes(self.r, |say| {
                    if !current.as_ref().is_some_and(alone) {
                        let own = wanted.view.ports().any(|port| port.number == wanted.port.number);
                        say("", Origin::service(wanted.view.service, own.then_some(wanted.port.number)));
                    }
                });
            },
        );
        match current {
            Some(current) if stays_alone(wanted.port.protocol, current.protocol) => {}
            Some(current) if !(kind == Kind::Auto && current.protocol.is_http()) => {
                if merge(current, kind, chains) {
                    current.rejected = Some(Finding::OutboundListener {
                        listener: wanted.bind.name(wanted.port.number).into(),
                        accepted: Kind::name(current.first),
                        rejected: Kind::name(wanted.port.protocol),
                        host: wanted.view.service.key.hostname.as_str().into(),
                    });
                }
            }
            // a new one, or sniffing takes the place of plain HTTP
            _ => {
                let (port, first, bind) = (wanted.port.number, wanted.port.protocol, wanted.bind);
                out.by_bind.insert(
                    key,
                    Entry { bind, port, chains, protocol, first, locked: false, rejected: None },
                );
            }
        }
    }

    /// Where a service is listened for: HTTP everywhere, streams at its addresses; at a range everywhere, too, with a
    /// condition.
    fn choose_bind(&self, kind: Kind, wanted: &mut Wanted<'_, 'a>) {
        if kind == Kind::Http {
            wanted.bind.addresses.clone_from(&self.wildcards);
            return;
        }
        let mut address = wanted.view.address(self.settings, self.proxy);
        let mut extra = wanted.view.extra(self.settings, self.proxy);
        if wanted.view.service.registry == Registry::External && *address == *UNSPECIFIED {
            match self.proxy.ip_mode {
                IpMode::V6 => address = UNSPECIFIED_V6.into(),
                IpMode::Dual => extra.push(UNSPECIFIED_V6.into()),
                IpMode::V4 => {}
            }
        }
        if address.is_empty() {
            return;
        }
        let is_range = address.contains('/');
        let all = std::iter::once(address).chain(extra).collect();
        if is_range {
            wanted.bind.addresses.clone_from(&self.wildcards);
            wanted.cidrs = all;
        } else {
            wanted.bind.addresses = all;
        }
    }

    /// The chain of an HTTP port. Services of a port share a route configuration; a sniffed port with an address of
    /// its own has its own.
    fn http_chain(&self, kind: Kind, wanted: &Wanted<'_, 'a>, sniffed: bool) -> Chain<'a> {
        let service = wanted.view.service;
        let number = wanted.port.number;
        let bind = wanted.bind.primary().map_or("", |a| &**a);
        let route = if number == 0 {
            bind.into()
        } else if kind == Kind::Auto && *bind != *self.proxy.wildcard() {
            format!("{}:{number}", service.key.hostname.as_str()).into()
        } else {
            number.to_string().into()
        };
        let dynamic = is_dynamic(service).then_some(service);
        let http = Http { route, protocol: wanted.port.protocol, dynamic, forward_proxy: false };
        Chain { sniffed, ..Chain::of(Content::Http(http)) }
    }
}

/// Adds chains with conditions that no chain has yet; whether some are left out.
fn merge<'a>(current: &mut Entry<'a>, kind: Kind, incoming: Vec<Chain<'a>>) -> bool {
    let mut left_out = false;
    for chain in incoming {
        if current.chains.iter().any(|have| have.conflicts_with(&chain)) {
            left_out = true;
        } else {
            current.chains.push(chain);
        }
    }
    let mixed = match kind {
        Kind::Tcp => current.protocol.is_http(),
        Kind::Http | Kind::Auto => true,
    };
    if mixed {
        current.protocol = Protocol::Unsupported;
    }
    left_out
}
