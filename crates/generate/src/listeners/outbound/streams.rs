//! Chains of TCP and TLS ports: routes of virtual services, else straight to the service
//! (as pilot/pkg/networking/core/tls.go).

use std::collections::BTreeSet;
use std::sync::Arc;

use config::networking::RouteDestination;
use config::{Host, Kind};
use mesh::routes::Layer4;
use mesh::services::{Port, Registry};
use mesh::workloads::LabelSet;
use tables::Level;

use super::Outbound;
use super::chains::{Chain, Content, Streams, To, is_dynamic};
use super::entries::Wanted;
use crate::addresses::UNSPECIFIED;
use crate::encoded::TypeName;
use crate::provenance::{self, Origin};
use crate::routes::domains::alternatives;
use crate::scope::{Egress, Named};

/// The gateway of a match that means sidecars.
const MESH: &str = "mesh";

/// The TLS and TCP routes of a virtual service.
pub(super) struct StreamRoutes<'a> {
    name: &'a Named,
    hosts: &'a [Host],
    rows: &'a Layer4,
}

/// What a match says of the caller and the listener; all known when configuration is made.
struct Source<'m> {
    gateways: &'m [String],
    labels: &'m config::Labels,
    port: u32,
    namespace: &'m str,
}

impl<'a, L: Level> Outbound<'a, L> {
    /// The virtual services of an egress listener that route streams. The one place that reads virtual services.
    pub(super) fn stream_routes(&self, egress: &'a Egress) -> Vec<StreamRoutes<'a>> {
        let one = |name: &'a Named| {
            let rows = self.world.layer4_routes.get(self.r, name)?;
            let head = self.world.route_heads.get(self.r, name)?;
            Some(StreamRoutes { name, hosts: &head.hosts, rows })
        };
        egress.virtual_services.iter().filter_map(one).collect()
    }

    /// The chains of a stream port.
    pub(super) fn streams(&self, wanted: &Wanted<'_, 'a>, routes: &[StreamRoutes<'a>]) -> Vec<Chain<'a>> {
        let host = wanted.view.service.key.hostname.as_str();
        let speaks = |v: &&StreamRoutes<'_>| v.hosts.iter().any(|h| config::host::matches(h.as_str(), host));
        let routes: Vec<&StreamRoutes<'a>> = routes.iter().filter(speaks).collect();
        if wanted.port.protocol.is_tls() { self.tls(wanted, &routes) } else { self.tcp(wanted, &routes) }
    }

    fn applies(&self, source: &Source<'_>, port: u32) -> bool {
        (source.gateways.is_empty() || source.gateways.iter().any(|g| g == MESH))
            && self.proxy.labels.has_all(source.labels)
            && (source.port == 0 || source.port == port)
            && (source.namespace.is_empty() || *source.namespace == *self.proxy.namespace)
    }

    /// TLS ports: by the name the client asks for. Of matches that ask for the same, the first counts.
    fn tls(&self, wanted: &Wanted<'_, 'a>, routes: &[&StreamRoutes<'a>]) -> Vec<Chain<'a>> {
        let number = wanted.port.number;
        let mut ranges = wanted.cidrs.clone();
        let mut seen: BTreeSet<(&[String], &[String])> = BTreeSet::new();
        let mut out = Vec::new();
        for &v in routes {
            let lead = v.rows.tls.iter().enumerate().filter(|(_, route)| !route.route.is_empty());
            for (at, route) in lead {
                for (nth, m) in route.r#match.iter().enumerate() {
                    let source = Source {
                        gateways: &m.gateways,
                        labels: &m.source_labels,
                        port: m.port,
                        namespace: &m.source_namespace,
                    };
                    if !self.applies(&source, number) {
                        continue;
                    }
                    // A range that the user names goes before the service's own. Unix sockets have none.
                    if !m.destination_subnets.is_empty() && number > 0 {
                        ranges = shared(&m.destination_subnets);
                    }
                    if seen.insert((&m.sni_hosts, &m.destination_subnets)) {
                        self.tell(wanted, v.name, || format!("spec.tls[{at}].match[{nth}]"));
                        out.push(Chain {
                            from: Some(v.name),
                            server_names: m.sni_hosts.clone(),
                            ranges: ranges.clone(),
                            ..routed(&route.route, wanted.port, v.name)
                        });
                    }
                }
            }
        }
        if out.is_empty() {
            let server_names = self.server_names(wanted);
            out.push(Chain { server_names, ranges, ..direct(wanted) });
        }
        out
    }

    /// Says that a chain of a listener comes from a route of a virtual service.
    fn tell(&self, wanted: &Wanted<'_, 'a>, by: &Named, path: impl FnOnce() -> String) {
        provenance::resource(
            self.r,
            TypeName::Listener,
            || wanted.bind.name(wanted.port.number),
            || {
                provenance::note(self.r, || {
                    ("filter_chains", Origin::named(Kind::VirtualService, by, path()))
                });
            },
        );
    }

    /// Names by which TLS to a service is known, where the address of the listener does not tell.
    fn server_names(&self, wanted: &Wanted<'_, 'a>) -> Vec<String> {
        if wanted.pods {
            return Vec::new();
        }
        let service = wanted.view.service;
        let mut address = wanted.view.address(self.settings, self.proxy);
        if address.contains('/') {
            address = "".into();
        }
        let wildcard = self.proxy.wildcard();
        if service.registry == Registry::External && wildcard == "::" && *address == *UNSPECIFIED {
            address = wildcard.into();
        }
        let bound_to_all = wanted.bind.primary().is_some_and(|b| **b == *wildcard);
        let shared =
            !wanted.cidrs.is_empty() || address.is_empty() || (*address == *wildcard && bound_to_all);
        if !shared && !is_dynamic(service) {
            return Vec::new();
        }
        let mut out = vec![service.key.hostname.as_str().to_owned()];
        for alias in &service.aliases {
            out.push(alias.hostname.as_str().to_owned());
            let absolute = self.settings.switches.pilot_enable_absolute_fqdn_vhost_domain;
            out.extend(alternatives(alias.hostname.as_str(), None, &self.proxy.dns_domain, absolute));
        }
        out
    }

    /// TCP ports: the first route that has no condition ends the list.
    fn tcp(&self, wanted: &Wanted<'_, 'a>, routes: &[&StreamRoutes<'a>]) -> Vec<Chain<'a>> {
        let number = wanted.port.number;
        let mut out: Vec<Chain<'a>> = Vec::new();
        let mut covered = false;
        for &v in routes {
            let lead = v.rows.tcp.iter().enumerate().filter(|(_, route)| !route.route.is_empty());
            for (at, route) in lead {
                let mut subnets: Vec<Arc<str>> = Vec::new();
                let mut everything = route.r#match.is_empty();
                for m in &route.r#match {
                    let source = Source {
                        gateways: &m.gateways,
                        labels: &m.source_labels,
                        port: m.port,
                        namespace: &m.source_namespace,
                    };
                    if !self.applies(&source, number) {
                        continue;
                    }
                    if m.destination_subnets.is_empty() || number == 0 {
                        everything = true;
                        break;
                    }
                    subnets.extend(shared(&m.destination_subnets));
                }
                if everything || !subnets.is_empty() {
                    self.tell(wanted, v.name, || format!("spec.tcp[{at}]"));
                }
                if everything {
                    out.push(Chain {
                        from: Some(v.name),
                        ranges: wanted.cidrs.clone(),
                        ..routed(&route.route, wanted.port, v.name)
                    });
                    return out;
                }
                if subnets.is_empty() {
                    continue;
                }
                // a chain with the very ranges of the service leaves nothing to the service's own
                let sorted = |all: &[Arc<str>]| all.iter().cloned().collect::<BTreeSet<_>>();
                covered |= subnets.len() == wanted.cidrs.len() && sorted(&subnets) == sorted(&wanted.cidrs);
                out.push(Chain { ranges: subnets, ..routed(&route.route, wanted.port, v.name) });
            }
        }
        if !covered {
            out.push(Chain { ranges: wanted.cidrs.clone(), ..direct(wanted) });
        }
        out
    }
}

/// Straight to the service. A port that a Sidecar object names leads to the only port of the service.
fn direct<'a>(wanted: &Wanted<'_, 'a>) -> Chain<'a> {
    let number = wanted.view.only_port().unwrap_or(wanted.port.number);
    let to = To::Service(wanted.view.service, number);
    Chain::of(Content::Streams(Streams { to, port: wanted.port.clone() }))
}

/// Where a virtual service leads.
fn routed<'a>(to: &'a [RouteDestination], port: &Port, of: &'a Named) -> Chain<'a> {
    Chain::of(Content::Streams(Streams { to: To::Routed(to, of), port: port.clone() }))
}

fn shared(texts: &[String]) -> Vec<Arc<str>> {
    texts.iter().map(|t| Arc::from(t.as_str())).collect()
}
