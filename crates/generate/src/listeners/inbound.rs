//! Inbound listeners of a sidecar: what it serves, chain by chain (as pilot/pkg/networking/core/listener_inbound.go).

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use config::Kind;
use config::networking::{CaptureMode, IstioIngressListener, ServerTlsSettings, Sidecar};
use config::protocol::Protocol;
use mesh::World;
use mesh::services::{Port, Service};
use mesh::settings::Settings;
use mesh::workloads::ServiceTarget;
use proto::envoy::config::core::v3::TrafficDirection;
use proto::envoy::config::listener::v3::listener::{ConnectionBalanceConfig, connection_balance_config};
use proto::envoy::config::listener::v3::{AdditionalAddress, FilterChain, Listener};
use tables::{Level, Reads};

use super::Built;
use crate::authentication::{self, PeerMode};
use crate::encoded::{Resource, Section, TypeName, bool_value, duration, u32_value};
use crate::endpoints::address;
use crate::filters::{Class, Filters, inspect};
use crate::findings::Finding;
use crate::provenance::{self, Origin};
use crate::proxy::{Interception, IpMode, Proxy};
use crate::scope::Named;

mod chains;
mod tls;

/// The listener of redirected connections.
const VIRTUAL: &str = "virtualInbound";
/// The cluster of ports that nobody declared.
const PASSTHROUGH: &str = "InboundPassthroughCluster";

/// One port that is served.
struct Served<'a> {
    cluster: String,
    /// The service port, for names and routes.
    port: Port,
    /// The port of the workload; 0 for all others.
    target: u32,
    protocol: Protocol,
    /// Addresses, the first of which is in names.
    bind: Vec<String>,
    /// Whether it is a listener of its own.
    bound: bool,
    /// A Sidecar's own TLS.
    tls: Option<&'a ServerTlsSettings>,
    /// Host of the service, or a name made of the Sidecar's.
    host: String,
    service: Option<&'a Service>,
    /// The Sidecar that declares it.
    sidecar: Option<&'a Named>,
    /// For what nobody declared.
    passthrough: bool,
}

impl Served<'_> {
    fn name(&self, http: bool) -> String {
        match (self.passthrough, http) {
            (true, true) => "virtualInbound-catchall-http".to_owned(),
            (true, false) => VIRTUAL.to_owned(),
            (false, _) => format!("{}_{}", self.bind.first().map_or("", String::as_str), self.target),
        }
    }

    /// Says why it is served.
    fn tell(&self, say: &mut dyn FnMut(&str, Origin)) {
        let chain = format!("filter_chains[{}]", self.name(false));
        let path = if self.bound { "" } else { &chain };
        if let Some(sidecar) = self.sidecar {
            let of = |field: &str| format!("spec.ingress[port.number={}]{field}", self.target);
            say(path, Origin::named(Kind::Sidecar, sidecar, of("")));
            if self.tls.is_some() {
                say(&format!("{chain}.transport_socket"), Origin::named(Kind::Sidecar, sidecar, of(".tls")));
            }
        }
        if let Some(service) = self.service {
            say(path, Origin::service(service, Some(self.port.number)));
        }
    }

    /// What is found where another one wants the same port: two services that speak the same there are at one.
    fn conflict(&self, protocol: Protocol, host: &str) -> Option<Finding> {
        (self.protocol != protocol && self.host != host).then(|| Finding::InboundListener {
            port: self.target,
            accepted: self.host.as_str().into(),
            rejected: host.into(),
        })
    }

    fn stat_prefix(&self) -> String {
        if self.passthrough { self.cluster.clone() } else { format!("inbound_{}", self.name(true)) }
    }
}

/// What all chains of one proxy are built from.
struct Context<'a> {
    proxy: &'a Proxy,
    settings: &'a Settings,
    filters: Filters<'a>,
    mode: PeerMode,
}

/// See [`super::inbound`].
pub(super) fn listeners<L: Level>(
    r: &Reads<L>,
    world: &World,
    proxy: &Proxy,
    sidecar: Option<&Named>,
    targets: &[ServiceTarget],
) -> Built {
    let settings = crate::settings(r, world);
    if settings.mesh.proxy_listen_port <= 0 {
        return Built::default();
    }
    let (filters, said) = provenance::collect(r, || Filters::of(r, world, proxy, Class::SidecarInbound));
    let context = Context {
        proxy,
        settings,
        filters,
        mode: authentication::workload_mode(r, world, &proxy.namespace, &proxy.labels),
    };
    let declared = sidecar.and_then(|name| Some((name, &*world.sidecars.get(r, name)?.sidecar)));
    let services: BTreeMap<_, &Service> =
        targets.iter().filter_map(|t| Some((&t.service, &**world.services.get(r, &t.service)?))).collect();
    let mut secrets: Vec<Arc<str>> = Vec::new();
    let mut own = Vec::new();
    let mut shared = Vec::new();
    let mut findings = Vec::new();
    if targets.iter().any(|target| target.unready) {
        findings.push(Finding::Unready);
    }
    for served in context.served(declared, targets, &services, &mut findings) {
        let built = context.chains(&served, &mut secrets);
        let name = || if served.bound { served.name(false) } else { VIRTUAL.to_owned() };
        provenance::resource(r, TypeName::Listener, name, || {
            if served.bound {
                said.again(r, String::new);
            }
            provenance::notes(r, |say| served.tell(say));
            let mode =
                || authentication::workload_origin(r, world, &proxy.namespace, &proxy.labels, served.target);
            provenance::note(r, || {
                (format!("filter_chains[{}].transport_socket", served.name(false)), mode())
            });
        });
        if served.bound {
            own.push(context.listener(&served.name(false), &served.bind, served.target, true, built));
        } else {
            shared.extend(built);
        }
    }
    let mut out = Vec::with_capacity(own.len() + 1);
    if proxy.interception != Interception::None {
        let ports: Vec<u32> = match declared {
            Some((_, s)) if !s.ingress.is_empty() => {
                s.ingress.iter().filter_map(|l| Some(l.port.as_ref()?.number)).collect()
            }
            _ => targets.iter().map(|t| t.target_port).collect(),
        };
        provenance::resource(
            r,
            TypeName::Listener,
            || VIRTUAL,
            || {
                said.again(r, String::new);
                provenance::notes(r, |say| {
                    say("", Origin::mesh("proxyInboundListenPort"));
                    say("listener_filters_timeout", Origin::mesh("protocolDetectionTimeout"));
                    let mutual = "filter_chains.transport_socket";
                    say(&format!("{mutual}.match_subject_alt_names"), Origin::mesh("trustDomain"));
                    if settings.mesh.mesh_mtls.is_some() {
                        say(&format!("{mutual}.tls_params"), Origin::mesh("meshMTLS"));
                    }
                    say(
                        "filter_chains[virtualInbound]",
                        Origin::default("ports of the workload that no service declares"),
                    );
                    let mode = authentication::workload_origin(r, world, &proxy.namespace, &proxy.labels, 0);
                    say("filter_chains[virtualInbound].transport_socket", mode);
                });
            },
        );
        let mut chains = context.catch_all(&ports, &mut secrets);
        chains.extend(shared);
        let port = u32::try_from(settings.mesh.proxy_inbound_listen_port).unwrap_or(0);
        out.push(context.listener(VIRTUAL, &wildcards(proxy), port, false, chains));
    }
    out.extend(own);
    let resources = out.iter().map(|l| Resource::encode(l.name.as_str(), l)).collect();
    Built { section: Section::new(resources), secrets, findings: findings.into(), ..Built::default() }
}

/// Addresses that mean all of them; both families where the proxy has both.
fn wildcards(proxy: &Proxy) -> Vec<String> {
    match proxy.ip_mode {
        IpMode::V4 => vec!["0.0.0.0".into()],
        IpMode::V6 => vec!["::".into()],
        IpMode::Dual => vec!["0.0.0.0".into(), "::".into()],
    }
}

/// Where a Sidecar's listener without `bind` listens: the workload's own address
/// (as `getSidecarInboundBindIPs`).
fn own_addresses(proxy: &Proxy) -> Vec<String> {
    let global = |ip: &&IpAddr| match ip {
        IpAddr::V4(v4) => {
            !(v4.is_loopback()
                || v4.is_link_local()
                || v4.is_multicast()
                || v4.is_unspecified()
                || v4.is_broadcast())
        }
        IpAddr::V6(v6) => {
            !(v6.is_loopback() || v6.is_unicast_link_local() || v6.is_multicast() || v6.is_unspecified())
        }
    };
    proxy.ips.iter().find(global).map_or_else(|| wildcards(proxy), |ip| vec![ip.to_string()])
}

impl Context<'_> {
    /// Every port that is served, by port (as `buildInboundChainConfigs`).
    fn served<'s>(
        &self,
        declared: Option<(&'s Named, &'s Sidecar)>,
        targets: &'s [ServiceTarget],
        services: &BTreeMap<&'s mesh::ServiceKey, &'s Service>,
        findings: &mut Vec<Finding>,
    ) -> Vec<Served<'s>> {
        let ingress: &[IstioIngressListener] = declared.map_or(&[], |(_, s)| &s.ingress);
        let mut by_port: BTreeMap<u32, Served<'s>> = BTreeMap::new();
        if ingress.is_empty() {
            // Without redirection a listener would take the port away from the workload.
            if self.proxy.interception != Interception::None {
                self.add_targets(&mut by_port, targets, services, &[], findings);
            }
        } else {
            if self.settings.switches.pilot_allow_sidecar_service_inbound_listener_merge {
                let taken: Vec<u32> = ingress.iter().filter_map(|l| Some(l.port.as_ref()?.number)).collect();
                self.add_targets(&mut by_port, targets, services, &taken, findings);
            }
            for listener in ingress {
                if let Some(served) = self.ingress(declared.map(|(name, _)| name), listener) {
                    by_port.entry(served.target).or_insert(served);
                }
            }
        }
        by_port.into_values().collect()
    }

    fn add_targets<'s>(
        &self,
        by_port: &mut BTreeMap<u32, Served<'s>>,
        targets: &'s [ServiceTarget],
        services: &BTreeMap<&'s mesh::ServiceKey, &'s Service>,
        taken: &[u32],
        findings: &mut Vec<Finding>,
    ) {
        let bound = self.is_bound(CaptureMode::Default);
        for target in targets {
            let port = target.target_port;
            if taken.contains(&port) || self.is_privileged(bound, port) || self.is_reserved(port, true) {
                continue;
            }
            let host = target.service.hostname.as_str();
            if let Some(kept) = by_port.get(&port) {
                findings.extend(kept.conflict(target.port.protocol, host));
                continue;
            }
            let served = Served {
                cluster: format!("inbound|{port}||"),
                port: target.port.clone(),
                target: port,
                protocol: target.port.protocol,
                bind: wildcards(self.proxy),
                bound,
                tls: None,
                host: host.to_owned(),
                service: services.get(&target.service).copied(),
                sidecar: None,
                passthrough: false,
            };
            by_port.insert(port, served);
        }
    }

    /// A listener that a Sidecar declares.
    fn ingress<'s>(
        &self,
        sidecar: Option<&'s Named>,
        listener: &'s IstioIngressListener,
    ) -> Option<Served<'s>> {
        let said = listener.port.as_ref()?;
        let port = Port {
            name: said.name.as_str().into(),
            number: said.number,
            protocol: Protocol::parse(&said.protocol),
        };
        let bound = self.is_bound(listener.capture_mode);
        let everywhere = if listener.bind.is_empty() {
            port.protocol.is_http()
        } else {
            Some(&listener.bind) == wildcards(self.proxy).first()
        };
        if self.is_privileged(bound, port.number) || (everywhere && self.is_reserved(port.number, false)) {
            return None;
        }
        let tls = listener.tls.as_ref().filter(|_| self.settings.switches.enable_tls_on_sidecar_ingress);
        let protocol = if tls.is_some() { after_termination(port.protocol) } else { port.protocol };
        Some(Served {
            cluster: format!("inbound|{}||", port.number),
            target: port.number,
            protocol,
            bind: if listener.bind.is_empty() {
                own_addresses(self.proxy)
            } else {
                vec![listener.bind.clone()]
            },
            bound,
            tls,
            host: sidecar.map(|(namespace, name)| format!("{name}.{namespace}")).unwrap_or_default(),
            service: None,
            sidecar,
            passthrough: false,
            port,
        })
    }

    fn is_bound(&self, mode: CaptureMode) -> bool {
        match mode {
            CaptureMode::Default => self.proxy.interception == Interception::None,
            CaptureMode::Iptables => false,
            CaptureMode::None => true,
        }
    }

    fn is_privileged(&self, bound: bool, port: u32) -> bool {
        bound && self.proxy.unprivileged && (1..1024).contains(&port)
    }

    /// Ports of the proxy itself (as `conflictWithReservedListener`).
    fn is_reserved(&self, port: u32, captured: bool) -> bool {
        let own = |name: &str| self.proxy.meta(name).and_then(|p| p.parse().ok()).filter(|p: &u32| *p != 0);
        let keys = [
            "ENVOY_STATUS_PORT",
            "ENVOY_PROMETHEUS_PORT",
            "ENVOY_SECURE_METRICS_PORT",
            "ENVOY_SECURE_MERGED_METRICS_PORT",
        ];
        let mesh = &self.settings.mesh;
        keys.into_iter().any(|key| own(key) == Some(port))
            || (captured
                && [mesh.proxy_listen_port, mesh.proxy_inbound_listen_port]
                    .iter()
                    .any(|p| u32::try_from(*p) == Ok(port)))
    }

    /// As `buildInboundListener`.
    fn listener(
        &self,
        name: &str,
        bind: &[String],
        port: u32,
        bound: bool,
        chains: Vec<FilterChain>,
    ) -> Listener {
        let tproxy = self.proxy.interception == Interception::Tproxy;
        let extra =
            if self.settings.switches.istio_dual_stack { bind.get(1..).unwrap_or_default() } else { &[] };
        let balance = || ConnectionBalanceConfig {
            balance_type: Some(connection_balance_config::BalanceType::ExactBalance(
                connection_balance_config::ExactBalance::default(),
            )),
        };
        Listener {
            name: name.into(),
            address: bind.first().map(|b| address(b, port)),
            additional_addresses: extra
                .iter()
                .map(|b| AdditionalAddress {
                    address: Some(address(b, port)),
                    ..AdditionalAddress::default()
                })
                .collect(),
            traffic_direction: TrafficDirection::Inbound.into(),
            continue_on_listener_filters_timeout: true,
            max_connections_to_accept_per_socket_event: accepted_per_event(self.settings),
            connection_balance_config: self.proxy.flag("INBOUND_LISTENER_EXACT_BALANCE").then(balance),
            transparent: (!bound && tproxy).then_some(()).and_then(|()| bool_value(true)),
            access_log: self.filters.logs.listener.clone(),
            listener_filters: inspect::filters(&chains, !bound, tproxy),
            listener_filters_timeout: self.settings.mesh.protocol_detection_timeout.map(duration),
            filter_chains: chains,
            ..Listener::default()
        }
    }
}

/// `MAX_CONNECTIONS_PER_SOCKET_EVENT_LOOP`.
pub(super) fn accepted_per_event(settings: &Settings) -> Option<proto::google::protobuf::UInt32Value> {
    let max = settings.switches.max_connections_per_socket_event_loop;
    (max > 0).then_some(()).and_then(|()| u32_value(max))
}

/// What a protocol is once its TLS is taken off (as pkg/config/protocol: `AfterTLSTermination`).
fn after_termination(protocol: Protocol) -> Protocol {
    match protocol {
        Protocol::Https => Protocol::Http,
        Protocol::Tls => Protocol::Tcp,
        other => other,
    }
}
