//! Filter chains of gateway listeners: one for plain HTTP, one for each TLS server, route or service
//! (as pilot/pkg/networking/core/gateway.go: `buildGatewayTCPBasedFilterChains`).

use std::sync::Arc;

use config::mesh::{ForwardClientCertDetails as Wanted, Ne, ProxyConfig};
use config::protocol::Protocol;
use config::{host, networking::ServerTlsSettingsTlsMode as Mode};
use mesh::settings::Settings;
use proto::envoy::config::core::v3::{CidrRange, Http1ProtocolOptions};
use proto::envoy::config::listener::v3::{Filter, FilterChainMatch};
use proto::envoy::extensions::filters::network::http_connection_manager::v3::{
    HttpConnectionManager,
    http_connection_manager::{ForwardClientCertDetails, InternalAddressConfig, SetCurrentClientCertDetails},
};
use proto::envoy::extensions::transport_sockets::tls::v3::DownstreamTlsContext;
use tables::Level;

use super::bound::{View, shares_host, tcp_fits, tls_fits};
use super::merge::Claimed;
use super::tls::{self, Terms, Transport};
use super::{PortServers, Server, tcp};
use crate::clusters::sni_key;
use crate::encoded::{bool_value, u32_value};
use crate::filters::Filters;
use crate::filters::hcm::{Manager, RouteSource, delimited};
use crate::filters::headers::Headers;
use crate::proxy::Proxy;

/// ALPN of the mesh's own TLS: what may be passed on by SNI.
const MESH_ALPN: [&str; 5] = ["istio", "istio-peer-exchange", "istio-http/1.0", "istio-http/1.1", "istio-h2"];

/// A filter chain before it becomes a message.
#[derive(Default)]
pub(super) struct Chain {
    /// Server names; empty or with `*` for every one.
    pub(super) sni: Vec<String>,
    pub(super) alpn: Vec<String>,
    pub(super) tls: Option<DownstreamTlsContext>,
    pub(super) filters: Vec<Filter>,
    /// RouteConfiguration that it asks for.
    pub(super) route: Option<Arc<str>>,
}

impl Chain {
    /// What connections it takes; `None` for all (as `toFilterChainMatch`).
    pub(super) fn matches(&self) -> Option<FilterChainMatch> {
        let any_name = self.sni.is_empty() || self.sni.iter().any(|s| s == "*");
        if any_name && self.alpn.is_empty() {
            return None;
        }
        let mut server_names = if any_name { Vec::new() } else { self.sni.clone() };
        server_names.sort();
        Some(FilterChainMatch {
            server_names,
            application_protocols: self.alpn.clone(),
            ..FilterChainMatch::default()
        })
    }

    /// Whether the name or protocol in the ClientHello must be known before a chain is chosen.
    pub(super) fn inspects_tls(&self) -> bool {
        let offers = self.tls.as_ref().and_then(|t| t.common_tls_context.as_ref());
        !self.sni.is_empty() || offers.is_some_and(|c| !c.alpn_protocols.is_empty())
    }
}

/// What the chains of all listeners of one gateway have in common.
pub(super) struct Chains<'a, L: Level> {
    pub(super) view: View<'a, L>,
    pub(super) settings: &'a Settings,
    pub(super) filters: Filters<'a>,
    pub(super) terms: Terms<'a>,
    /// SNI hosts of passthrough routes by port.
    pub(super) claimed: Claimed,
}

impl<L: Level> Chains<'_, L> {
    /// The chains of the servers at one place, for the listener of this name.
    pub(super) fn tcp(&mut self, at: &PortServers, listener: &str) -> Vec<Chain> {
        let protocol = Protocol::parse(&at.port.protocol);
        if protocol.is_http() {
            return vec![self.http(at.port.number, protocol, &at.route, None, listener, Transport::Tcp)];
        }
        let mut out = Vec::new();
        for server in &at.servers {
            if server.ends_https() {
                out.push(self.https(server, at.port.number, listener, Transport::Tcp));
            } else if server.passes() {
                self.passing(server, at.port.number, &mut out);
            } else if let Some(filters) = self.streams(server) {
                out.push(Chain {
                    sni: server.sni.clone(),
                    tls: self.context(server),
                    filters,
                    ..Chain::default()
                });
            }
        }
        out
    }

    /// HTTP/3 mirrors of HTTPS servers.
    pub(super) fn quic(&self, servers: &[Arc<Server>], port: u32, listener: &str) -> Vec<Chain> {
        servers.iter().map(|s| self.https(s, port, listener, Transport::Quic)).collect()
    }

    fn context(&self, server: &Server) -> Option<DownstreamTlsContext> {
        let tls = server.ending()?;
        Some(tls::context(tls, &self.terms, Transport::Tcp, !server.protocol.is_https()))
    }

    fn https(&self, server: &Server, port: u32, listener: &str, transport: Transport) -> Chain {
        let stat_prefix = (!server.spec.name.is_empty()).then(|| server.spec.name.clone());
        let context = server.ending().map(|tls| tls::context(tls, &self.terms, transport, false));
        Chain {
            sni: server.sni.clone(),
            tls: context,
            ..self.http(port, server.protocol, &server.route, stat_prefix, listener, transport)
        }
    }

    fn http(
        &self,
        port: u32,
        protocol: Protocol,
        route: &Arc<str>,
        stat_prefix: Option<String>,
        listener: &str,
        transport: Transport,
    ) -> Chain {
        let stat_prefix = stat_prefix.unwrap_or_else(|| delimited(&format!("outbound_{listener}")));
        let manager = Manager {
            preset: preset(self.view.proxy, self.settings, &self.filters.headers),
            use_remote_address: true,
            http3: transport == Transport::Quic,
            ..Manager::new(stat_prefix, RouteSource::Rds(route.to_string()), port, protocol)
        };
        Chain { filters: vec![self.filters.manager(manager)], route: Some(route.clone()), ..Chain::default() }
    }

    /// TCP routes of the first virtual service that has any for a server
    /// (as `buildGatewayNetworkFiltersFromTCPRoutes`).
    fn streams(&self, server: &Server) -> Option<Vec<Filter>> {
        let exchange = server.mode() == Some(Mode::IstioMutual);
        for head in self.view.virtual_services(&server.gateway) {
            if !head.layer4 || !shares_host(server, head) {
                continue;
            }
            let name = (head.namespace.clone(), head.name.clone());
            let Some(rows) = self.view.world.layer4_routes.get(self.view.r, &name) else { continue };
            let mut routes = rows.tcp.iter().enumerate();
            let fits = routes.find(|(_, t)| !t.route.is_empty() && tcp_fits(&t.r#match, server));
            if let Some((at, tcp)) = fits {
                self.tell_route(&name, || format!("spec.tcp[{at}]"));
                let named = (&*head.namespace, &*head.name);
                let filters = tcp::filters(&self.view, &self.filters, server, &tcp.route, named, exchange);
                return (!filters.is_empty()).then_some(filters);
            }
        }
        None
    }

    /// TLS that passes: to where the SNI says (as `buildGatewayNetworkFiltersFromTLSRoutes`).
    fn passing(&mut self, server: &Server, port: u32, out: &mut Vec<Chain>) {
        if server.mode() == Some(Mode::AutoPassthrough) {
            return self.by_sni(server, out);
        }
        for head in self.view.virtual_services(&server.gateway) {
            if !head.layer4 || !shares_host(server, head) {
                continue;
            }
            let name = (head.namespace.clone(), head.name.clone());
            let Some(rows) = self.view.world.layer4_routes.get(self.view.r, &name) else { continue };
            for (at, route) in rows.tls.iter().enumerate().filter(|(_, t)| !t.route.is_empty()) {
                for (nth, m) in route.r#match.iter().enumerate().filter(|(_, m)| tls_fits(m, server)) {
                    // Envoy refuses two chains for one name: the older virtual service has it.
                    if self.claimed.claim(port, &m.sni_hosts, &server.spec.bind).is_err() {
                        continue;
                    }
                    self.tell_route(&name, || format!("spec.tls[{at}].match[{nth}]"));
                    let named = (&*head.namespace, &*head.name);
                    let filters = tcp::filters(&self.view, &self.filters, server, &route.route, named, false);
                    out.push(Chain { sni: m.sni_hosts.clone(), filters, ..Chain::default() });
                }
            }
        }
    }

    /// A chain for each SNI cluster of each service that the server's hosts cover
    /// (as `builtAutoPassthroughFilterChains`). Only the mesh's own TLS is passed on.
    fn by_sni(&self, server: &Server, out: &mut Vec<Chain>) {
        let destinations = tcp::destinations(&self.view);
        for scoped in self.view.scope.services.iter() {
            let Some(service) = self.view.world.services.get(self.view.r, &scoped.key) else { continue };
            let hostname = service.key.hostname.as_str();
            if service.mesh_external || !server.sni.iter().any(|h| host::subset_of(hostname, h)) {
                continue;
            }
            let rule = destinations.rule(service);
            let rule = rule.as_ref().map(|r| &*r.rule);
            let subsets = rule.iter().flat_map(|r| &r.subsets).map(|s| s.name.as_str());
            let subsets: Vec<&str> = std::iter::once("").chain(subsets).collect();
            for port in service.ports.iter().filter(|p| p.protocol != Protocol::Udp) {
                for subset in &subsets {
                    let cluster = sni_key("outbound", port.number, subset, hostname);
                    let filters =
                        tcp::sni_filters(&destinations, &self.filters, service, subset, port, rule, &cluster);
                    let alpn = MESH_ALPN.iter().map(|a| (*a).to_owned()).collect();
                    out.push(Chain { sni: vec![cluster], alpn, filters, ..Chain::default() });
                }
            }
        }
    }
}

/// The ProxyConfig in force.
pub(super) fn config_of<'a>(proxy: &'a Proxy, settings: &'a Settings) -> Option<&'a ProxyConfig> {
    proxy.config.as_deref().or(settings.mesh.default_config.as_ref())
}

/// What gateways alone set (as `buildGatewayConnectionManager`).
fn preset(proxy: &Proxy, settings: &Settings, headers: &Headers) -> HttpConnectionManager {
    let switches = &settings.switches;
    let topology = config_of(proxy, settings).and_then(|c| c.gateway_topology.as_ref());
    let details = match topology.map(|t| t.forward_client_cert_details).unwrap_or_default() {
        Wanted::Undefined | Wanted::SanitizeSet => ForwardClientCertDetails::SanitizeSet,
        Wanted::Sanitize => ForwardClientCertDetails::Sanitize,
        Wanted::ForwardOnly => ForwardClientCertDetails::ForwardOnly,
        Wanted::AppendForward => ForwardClientCertDetails::AppendForward,
        Wanted::AlwaysForwardOnly => ForwardClientCertDetails::AlwaysForwardOnly,
    };
    let written =
        matches!(details, ForwardClientCertDetails::SanitizeSet | ForwardClientCertDetails::AppendForward);
    HttpConnectionManager {
        server_name: headers.server.clone(),
        server_header_transformation: headers.transformation.into(),
        generate_request_id: headers.request_id.and_then(bool_value),
        internal_address_config: switches
            .enable_hcm_internal_networks
            .then(|| internal_addresses(settings))
            .flatten(),
        xff_num_trusted_hops: topology.map_or(0, |t| t.num_trusted_proxies),
        forward_client_cert_details: details.into(),
        set_current_client_cert_details: written.then(|| SetCurrentClientCertDetails {
            subject: bool_value(true),
            cert: true,
            dns: true,
            uri: true,
            ..SetCurrentClientCertDetails::default()
        }),
        http_protocol_options: Some(Http1ProtocolOptions {
            accept_http_10: switches.pilot_http10 || proxy.http10,
            ..Http1ProtocolOptions::default()
        }),
        proxy_100_continue: switches.enable_100_continue_headers,
        ..HttpConnectionManager::default()
    }
}

/// Networks of the mesh, whose clients count as internal (as `MeshNetworksToEnvoyInternalAddressConfig`).
fn internal_addresses(settings: &Settings) -> Option<InternalAddressConfig> {
    let endpoints = settings.networks.networks.values().flat_map(|n| &n.endpoints);
    let mut ranges: Vec<ipnet::IpNet> = endpoints
        .filter_map(|e| match &e.ne {
            Some(Ne::FromCidr(cidr)) => {
                cidr.parse().ok().or_else(|| cidr.parse::<std::net::IpAddr>().ok().map(ipnet::IpNet::from))
            }
            _ => None,
        })
        .collect();
    ranges.sort_by_key(|net| (net.addr(), net.prefix_len()));
    let cidr = |net: &ipnet::IpNet| CidrRange {
        address_prefix: net.addr().to_string(),
        prefix_len: u32_value(u32::from(net.prefix_len())),
    };
    (!ranges.is_empty()).then(|| InternalAddressConfig {
        cidr_ranges: ranges.iter().map(cidr).collect(),
        ..InternalAddressConfig::default()
    })
}
