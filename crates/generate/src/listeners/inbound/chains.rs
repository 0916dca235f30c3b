//! Filter chains of one served port: mutual TLS and plain text, HTTP and TCP
//! (as pilot/pkg/networking/core/filterchain_options.go).

use std::sync::Arc;

use config::protocol::Protocol;
use mesh::services::Port;
use proto::envoy::config::core::v3::Metadata;
use proto::envoy::config::listener::v3::{Filter, FilterChain, FilterChainMatch};
use proto::envoy::config::route::v3::{RouteConfiguration, VirtualHost};
use proto::google::protobuf::value::Kind;
use proto::google::protobuf::{Struct, Value};

use super::{Context, PASSTHROUGH, Served, VIRTUAL, after_termination, tls};
use crate::authentication::MutualTls;
use crate::clusters::stat_prefix;
use crate::encoded::{bool_value, u32_value};
use crate::filters::hcm::{Manager, RouteSource, delimited};
use crate::filters::tcp::Tcp;

/// HTTP that a client sidecar recognized, over mutual TLS.
const MUTUAL_HTTP: [&str; 3] = ["istio-http/1.0", "istio-http/1.1", "istio-h2"];
/// TCP over mutual TLS.
const MUTUAL_TCP: [&str; 2] = ["istio-peer-exchange", "istio"];
/// Anything over mutual TLS.
const MUTUAL: [&str; 5] = ["istio", "istio-peer-exchange", "istio-http/1.0", "istio-http/1.1", "istio-h2"];
/// What the HTTP inspector says of plain text.
const PLAIN_HTTP: [&str; 3] = ["http/1.0", "http/1.1", "h2c"];

/// One way a port is spoken to.
#[derive(Clone, Copy)]
struct Way {
    alpn: &'static [&'static str],
    /// Encrypted on the wire.
    encrypted: bool,
    http: bool,
    /// Whether the chain takes the TLS off.
    ends_tls: bool,
}

const fn way(alpn: &'static [&'static str], encrypted: bool, http: bool, ends_tls: bool) -> Way {
    Way { alpn, encrypted, http, ends_tls }
}

/// How the protocol of a port is known.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Spoken {
    Http,
    Tcp,
    Sniffed,
}

/// As `ModelProtocolToListenerProtocol`.
fn spoken(protocol: Protocol) -> Spoken {
    if protocol.is_http() || protocol == Protocol::HttpProxy {
        return Spoken::Http;
    }
    match protocol {
        Protocol::Tcp
        | Protocol::Https
        | Protocol::Tls
        | Protocol::Mongo
        | Protocol::Redis
        | Protocol::MySql
        | Protocol::Udp => Spoken::Tcp,
        _ => Spoken::Sniffed,
    }
}

/// As `getFilterChainMatchOptions`.
fn ways(mode: MutualTls, spoken: Spoken, http10: bool) -> Vec<Way> {
    let plain: &'static [&'static str] = if http10 { &PLAIN_HTTP } else { &PLAIN_HTTP[1..] };
    match (spoken, mode) {
        (Spoken::Http, MutualTls::Strict) => vec![way(&[], true, true, true)],
        (Spoken::Http, MutualTls::Permissive) => {
            vec![way(&MUTUAL, true, true, true), way(&[], false, true, false)]
        }
        (Spoken::Http, _) => vec![way(&[], false, true, false)],
        (Spoken::Tcp, MutualTls::Strict) => vec![way(&[], true, false, true)],
        (Spoken::Tcp, MutualTls::Permissive) => {
            vec![way(&MUTUAL, true, false, true), way(&[], true, false, false), way(&[], false, false, false)]
        }
        (Spoken::Tcp, _) => vec![way(&[], false, false, false)],
        (Spoken::Sniffed, MutualTls::Strict) => {
            vec![way(&MUTUAL_HTTP, true, true, true), way(&[], true, false, true)]
        }
        (Spoken::Sniffed, MutualTls::Permissive) => vec![
            way(&MUTUAL_HTTP, true, true, true),
            way(plain, false, true, false),
            way(&MUTUAL_TCP, true, false, true),
            way(&[], false, false, false),
            way(&[], true, false, false),
        ],
        (Spoken::Sniffed, _) => vec![way(plain, false, true, false), way(&[], false, false, false)],
    }
}

impl Context<'_> {
    /// The chains of a port in upstream's order. Names of secrets that the control plane serves are added.
    pub(super) fn chains(&self, served: &Served<'_>, secrets: &mut Vec<Arc<str>>) -> Vec<FilterChain> {
        let mode = self.mode.port(served.target);
        if let Some(own) = served.tls.filter(|_| mode == MutualTls::Disable) {
            // The user's TLS ends here, so that what is inside is spoken.
            let protocol = after_termination(served.protocol);
            let http = spoken(protocol) == Spoken::Http;
            let socket = tls::of_server(own, self.proxy, self.settings, secrets);
            return vec![self.chain(served, protocol, way(&[], true, http, true), Some(socket))];
        }
        let chain = |way: Way| {
            let socket = way.ends_tls.then(|| tls::mutual(self.proxy, self.settings, way.http));
            self.chain(served, served.protocol, way, socket)
        };
        let http10 = self.settings.switches.pilot_http10;
        ways(mode, spoken(served.protocol), http10).into_iter().map(chain).collect()
    }

    fn chain(
        &self,
        served: &Served<'_>,
        protocol: Protocol,
        way: Way,
        transport_socket: Option<proto::envoy::config::core::v3::TransportSocket>,
    ) -> FilterChain {
        let filters =
            if way.http { self.http(served, protocol, way) } else { self.tcp(served, protocol, way) };
        FilterChain {
            filter_chain_match: Some(FilterChainMatch {
                destination_port: (served.target > 0).then_some(()).and_then(|()| u32_value(served.target)),
                transport_protocol: if way.encrypted { "tls" } else { "raw_buffer" }.into(),
                application_protocols: way.alpn.iter().map(|p| (*p).to_owned()).collect(),
                ..FilterChainMatch::default()
            }),
            filters,
            transport_socket,
            name: served.name(way.http),
            metadata: served.sidecar.map(|(namespace, name)| declared_by(namespace, name)),
            ..FilterChain::default()
        }
    }

    /// As `buildInboundNetworkFiltersForHTTP`: metadata exchange, then the connection manager.
    fn http(&self, served: &Served<'_>, protocol: Protocol, way: Way) -> Vec<Filter> {
        let route = RouteSource::Inline(Box::new(route(served, protocol)));
        let mut manager = Manager::new(delimited(&served.stat_prefix()), route, served.target, protocol);
        manager.mutual_tls = way.ends_tls;
        manager.served = self.told(served);
        let mut out: Vec<Filter> = self.filters.exchange().into_iter().collect();
        out.push(self.filters.manager(manager));
        out
    }

    /// As `buildInboundNetworkFilters`.
    fn tcp(&self, served: &Served<'_>, protocol: Protocol, way: Way) -> Vec<Filter> {
        let mut tcp = Tcp::to(served.cluster.clone());
        let pattern = &self.settings.mesh.inbound_cluster_stat_name;
        if let Some(service) = served.service.filter(|_| !pattern.is_empty()) {
            tcp.stat_prefix = stat_prefix(pattern, service, "", &served.port, served.port.number);
        }
        tcp.protocol = protocol;
        tcp.exchange = true;
        tcp.mutual_tls = way.ends_tls;
        tcp.served = self.told(served);
        self.filters.tcp_proxy_chain(tcp)
    }

    /// The service that metrics name.
    fn told<'s>(&self, served: &'s Served<'_>) -> &'s str {
        if served.service.is_some() { &served.host } else { "" }
    }

    /// What catches everything else: calls to the proxy's own port are dropped, other ports lead to themselves; ports
    /// with a mode of their own that nobody declares (`declared` are those that are) get chains of their own
    /// (as `buildInboundPassthroughChains`).
    pub(super) fn catch_all(&self, declared: &[u32], secrets: &mut Vec<Arc<str>>) -> Vec<FilterChain> {
        let own = u32::try_from(self.settings.mesh.proxy_inbound_listen_port).unwrap_or(0);
        let mut out = vec![FilterChain {
            name: "virtualInbound-blackhole".into(),
            filter_chain_match: Some(FilterChainMatch {
                destination_port: u32_value(own),
                ..FilterChainMatch::default()
            }),
            filters: self.filters.black_hole(true),
            ..FilterChain::default()
        }];
        let undeclared = self.mode.ports.keys().copied().filter(|p| *p != 0 && !declared.contains(p));
        for target in std::iter::once(0).chain(undeclared) {
            let served = Served {
                cluster: PASSTHROUGH.into(),
                port: Port { name: VIRTUAL.into(), number: 0, protocol: Protocol::Unsupported },
                target,
                protocol: Protocol::Unsupported,
                bind: Vec::new(),
                bound: false,
                tls: None,
                host: String::new(),
                service: None,
                sidecar: None,
                passthrough: true,
            };
            out.extend(self.chains(&served, secrets));
        }
        out
    }
}

/// As `buildSidecarInboundHTTPRouteConfig`.
fn route(served: &Served<'_>, protocol: Protocol) -> RouteConfiguration {
    let operation = format!("{}:{}/*", served.host, served.port.number);
    let grpc = matches!(protocol, Protocol::Grpc | Protocol::GrpcWeb);
    RouteConfiguration {
        name: served.cluster.clone(),
        virtual_hosts: vec![VirtualHost {
            name: format!("inbound|http|{}", served.port.number),
            domains: vec!["*".into()],
            routes: vec![crate::routes::http::default_inbound(served.cluster.clone(), operation, grpc)],
            ..VirtualHost::default()
        }],
        validate_clusters: bool_value(false),
        ..RouteConfiguration::default()
    }
}

/// Which Sidecar a chain comes from (as `BuildConfigInfoMetadata`).
fn declared_by(namespace: &str, name: &str) -> Metadata {
    let path = format!("/apis/networking.istio.io/v1/namespaces/{namespace}/sidecar/{name}");
    let text = Value { kind: Some(Kind::StringValue(path)) };
    let istio = Struct { fields: [("config".to_owned(), text)].into() };
    Metadata { filter_metadata: [("istio".to_owned(), istio)].into(), ..Metadata::default() }
}
