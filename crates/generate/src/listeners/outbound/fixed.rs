//! Listeners that no service asks for: the forward proxy, and `virtualOutbound`, which takes all that leaves a workload
//! (as pilot/pkg/networking/core/listener_builder.go: `buildVirtualOutboundListener`).

use config::mesh::OutboundTrafficPolicyMode as Mode;
use config::protocol::Protocol;
use proto::envoy::config::core::v3::TrafficDirection;
use proto::envoy::config::listener::v3::{Filter, FilterChain, FilterChainMatch, Listener};
use proto::envoy::config::route::v3::RouteConfiguration;
use tables::Level;

use super::chains::{Chain, Content, Http};
use super::entries::{Bind, Entry};
use super::message::{additional, socket};
use super::{Outbound, loopbacks};
use crate::encoded::{bool_value, u32_value};
use crate::filters::Filters;
use crate::filters::hcm::{Manager, RouteSource, delimited};
use crate::filters::inspect::HTTP_INSPECTOR;
use crate::filters::tcp::Tcp;
use crate::provenance::Origin;
use crate::proxy::{Interception, IpMode};

const VIRTUAL: &str = "virtualOutbound";
const BLACK_HOLE: &str = "BlackHoleCluster";
const PASSTHROUGH: &str = "PassthroughCluster";
const RESOLVE_ANY: &str = "allow_any_dynamic_dns";
const HTTP_PROXY_ROUTE: &str = "http_proxy";

impl<'a, L: Level> Outbound<'a, L> {
    /// Whether unknown hosts are resolved by name.
    pub(super) fn resolves_any(&self) -> bool {
        self.scope.outbound_policy == Mode::AllowAnyDynamicDns
    }

    /// What happens to streams to nobody known (as `buildOutboundCatchAllNetworkFiltersOnly`).
    pub(super) fn catch_all(&self, filters: &Filters<'_>) -> Vec<Filter> {
        let cluster = match (self.scope.outbound_policy, &self.scope.egress_proxy) {
            (Mode::RegistryOnly, _) => BLACK_HOLE.to_owned(),
            (_, Some(proxy)) => crate::routes::http::cluster_of(proxy, None, 0),
            _ => PASSTHROUGH.to_owned(),
        };
        filters.tcp_proxy_chain(Tcp::to(cluster))
    }

    /// The listener that speaks the protocol of HTTP proxies, if a port is set for it.
    pub(super) fn http_proxy(&self) -> Option<Entry<'a>> {
        let said = self.proxy.http_proxy_port;
        let port =
            if said > 0 { said } else { u32::try_from(self.settings.mesh.proxy_http_port).unwrap_or(0) };
        let http = Http {
            route: HTTP_PROXY_ROUTE.into(),
            protocol: Protocol::HttpProxy,
            dynamic: None,
            forward_proxy: true,
        };
        (port > 0).then(|| Entry {
            bind: Bind { addresses: loopbacks(self.proxy), to_port: true },
            port,
            chains: vec![Chain::of(Content::Http(http))],
            protocol: Protocol::HttpProxy,
            first: Protocol::HttpProxy,
            locked: true,
            rejected: None,
        })
    }

    /// Where the port of [`Self::http_proxy`] was written.
    pub(super) fn http_proxy_origin(&self) -> Origin {
        if self.proxy.http_proxy_port > 0 {
            Origin::Proxy("HTTP_PROXY_PORT".into())
        } else {
            Origin::mesh("proxyHttpPort")
        }
    }

    /// The listener to which iptables sends everything.
    pub(super) fn virtual_outbound(&self, filters: &Filters<'_>) -> Option<Listener> {
        if self.proxy.interception == Interception::None {
            return None;
        }
        let port = u32::try_from(self.settings.mesh.proxy_listen_port).unwrap_or(0);
        let all = &self.wildcards;
        let switches = &self.settings.switches;
        let addresses = match self.proxy.ip_mode {
            IpMode::Dual if switches.istio_dual_stack => all.clone(),
            IpMode::V6 if switches.istio_enable_ipv4_outbound_listener_for_ipv6_clusters => {
                vec!["::".into(), "0.0.0.0".into()]
            }
            _ => all.iter().take(1).cloned().collect(),
        };
        let tproxy = self.proxy.interception == Interception::Tproxy;
        let mut chains = vec![Self::black_hole(port, filters)];
        let mut listener_filters = Vec::new();
        if self.resolves_any() {
            chains.push(self.resolve_any_chain(filters));
            listener_filters.push(HTTP_INSPECTOR.clone());
        }
        chains.push(FilterChain {
            name: format!("{VIRTUAL}-catchall-tcp"),
            filters: self.catch_all(filters),
            ..FilterChain::default()
        });
        Some(Listener {
            name: VIRTUAL.into(),
            address: addresses.first().map(|a| socket(a, port)),
            additional_addresses: additional(&addresses, port),
            transparent: if tproxy { bool_value(true) } else { None },
            use_original_dst: bool_value(true),
            filter_chains: chains,
            listener_filters,
            traffic_direction: TrafficDirection::Outbound.into(),
            max_connections_to_accept_per_socket_event: self.accepts(),
            access_log: filters.logs.listener.clone(),
            ..Listener::default()
        })
    }

    /// Who calls the listener's own port would be sent back to it forever.
    fn black_hole(port: u32, filters: &Filters<'_>) -> FilterChain {
        FilterChain {
            name: format!("{VIRTUAL}-blackhole"),
            filter_chain_match: Some(FilterChainMatch {
                destination_port: u32_value(port),
                ..FilterChainMatch::default()
            }),
            filters: filters.tcp_proxy_chain(Tcp { logged: false, ..Tcp::to(BLACK_HOLE) }),
            ..FilterChain::default()
        }
    }

    /// Plain HTTP to hosts that nobody knows (as `buildAllowAnyDynamicDNSHTTPFilterChain`).
    fn resolve_any_chain(&self, filters: &Filters<'_>) -> FilterChain {
        let routes = RouteConfiguration {
            name: RESOLVE_ANY.into(),
            virtual_hosts: vec![crate::routes::catch_all(self.proxy, &self.settings.mesh, self.scope)],
            validate_clusters: bool_value(false),
            max_direct_response_body_size_bytes: u32_value(1 << 20),
            ignore_port_in_host_matching: true,
            ..RouteConfiguration::default()
        };
        let prefix = delimited(&format!("outbound_{VIRTUAL}_{RESOLVE_ANY}"));
        let mut of = Manager::new(prefix, RouteSource::Inline(Box::new(routes)), 0, Protocol::Http);
        of.resolve_any = true;
        FilterChain {
            name: format!("{VIRTUAL}-catchall-tcp-http"),
            filter_chain_match: Some(FilterChainMatch {
                application_protocols: self.http_alpn().iter().map(|&p| p.to_owned()).collect(),
                ..FilterChainMatch::default()
            }),
            filters: vec![filters.manager(of)],
            ..FilterChain::default()
        }
    }
}
