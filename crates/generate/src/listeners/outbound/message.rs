//! Finished listeners as messages (as pilot/pkg/networking/core/listener.go: `buildListenerFromEntry`).

use std::sync::Arc;

use proto::envoy::config::core::v3::Http1ProtocolOptions;
use proto::envoy::config::core::v3::{
    Address, Pipe, SocketAddress, TrafficDirection, address, socket_address::PortSpecifier,
};
use proto::envoy::config::listener::v3::listener::{
    ConnectionBalanceConfig,
    connection_balance_config::{BalanceType, ExactBalance},
};
use proto::envoy::config::listener::v3::{
    AdditionalAddress, Filter, FilterChain, FilterChainMatch, Listener,
};
use proto::envoy::extensions::filters::network::http_connection_manager::v3::HttpConnectionManager;
use proto::google::protobuf::{Duration, UInt32Value};
use tables::Level;

use super::chains::Content;
use super::destinations::config_metadata;
use super::entries::Entry;
use super::{Outbound, UNIX};
use crate::encoded::{Resource, TypeName, bool_value, duration, seconds};
use crate::filters::hcm::{Manager, RouteSource, delimited};
use crate::filters::inspect::{HTTP_INSPECTOR, TLS_INSPECTOR};
use crate::filters::{Class, Filters};
use crate::provenance::{self, Said};

/// Makes messages of listeners.
pub(super) struct Messages<'o, 'a, L: Level> {
    pub(super) of: &'o Outbound<'a, L>,
    pub(super) filters: Filters<'a>,
    /// What was said of the filters.
    pub(super) said: Said,
    /// The chain for what no other chain takes.
    fallthrough: FilterChain,
    pub(super) resources: Vec<Resource>,
}

/// An address to listen on; without a port it is the path of a socket.
pub(super) fn socket(address: &str, port: u32) -> Address {
    let kind = if port == 0 {
        let path = address.strip_prefix(UNIX).unwrap_or(address).to_owned();
        address::Address::Pipe(Pipe { path, ..Pipe::default() })
    } else {
        address::Address::SocketAddress(SocketAddress {
            address: address.into(),
            port_specifier: Some(PortSpecifier::PortValue(port)),
            ..SocketAddress::default()
        })
    };
    Address { address: Some(kind) }
}

/// All but the first of several addresses.
pub(super) fn additional(addresses: &[Arc<str>], port: u32) -> Vec<AdditionalAddress> {
    let more = addresses.iter().skip(1).filter(|a| !a.is_empty());
    more.map(|a| AdditionalAddress { address: Some(socket(a, port)), ..AdditionalAddress::default() })
        .collect()
}

impl<L: Level> Outbound<'_, L> {
    /// What plain HTTP is found to be; HTTP/1.0 only where it is taken.
    pub(super) fn http_alpn(&self) -> &'static [&'static str] {
        if self.settings.switches.pilot_http10 {
            &["http/1.0", "http/1.1", "h2c"]
        } else {
            &["http/1.1", "h2c"]
        }
    }

    /// How many connections a listener takes at once.
    pub(super) fn accepts(&self) -> Option<UInt32Value> {
        let value = self.settings.switches.max_connections_per_socket_event_loop;
        (value > 0).then_some(UInt32Value { value })
    }

    fn handshake_timeout(&self) -> Option<Duration> {
        let limit = self.settings.switches.pilot_gateway_transport_socket_connect_timeout;
        Some(duration(limit)).filter(|d| *d != Duration::default())
    }
}

impl<'o, 'a, L: Level> Messages<'o, 'a, L> {
    /// None yet.
    pub(super) fn new(of: &'o Outbound<'a, L>) -> Self {
        let build = || Filters::of(of.r, of.world, of.proxy, Class::SidecarOutbound);
        let (filters, said) = provenance::collect(of.r, build);
        let fallthrough = FilterChain {
            name: "PassthroughFilterChain".into(),
            filter_chain_match: Some(FilterChainMatch::default()),
            filters: of.catch_all(&filters),
            ..FilterChain::default()
        };
        Self { of, filters, said, fallthrough, resources: Vec::new() }
    }

    /// Adds the finished listener.
    pub(super) fn add(&mut self, entry: &Entry<'a>) {
        let of = self.of;
        let name = entry.bind.name(entry.port);
        let exact = of.proxy.flag("OUTBOUND_LISTENER_EXACT_BALANCE").then_some(ConnectionBalanceConfig {
            balance_type: Some(BalanceType::ExactBalance(ExactBalance::default())),
        });
        let mut out = Listener {
            address: entry.bind.primary().map(|a| socket(a, entry.port)),
            additional_addresses: additional(&entry.bind.addresses, entry.port),
            traffic_direction: TrafficDirection::Outbound.into(),
            continue_on_listener_filters_timeout: true,
            connection_balance_config: exact,
            ..Listener::default()
        };
        if entry.bind.to_port {
            out.max_connections_to_accept_per_socket_event = of.accepts();
        } else {
            out.bind_to_port = bool_value(false);
        }
        self.inspect(entry, &mut out);
        for chain in &entry.chains {
            let all = chain.matches_all();
            let built = FilterChain {
                filter_chain_match: (!all).then(|| chain.conditions(of.http_alpn())),
                filters: self.network_filters(&chain.content, &name, entry.port),
                metadata: chain.from.map(config_metadata),
                transport_socket_connect_timeout: of.handshake_timeout(),
                ..FilterChain::default()
            };
            if all {
                out.default_filter_chain = Some(built);
            } else {
                out.filter_chains.push(built);
            }
        }
        if out.filter_chains.is_empty() {
            out.filter_chains.extend(out.default_filter_chain.take());
        } else if out.default_filter_chain.is_none() {
            out.default_filter_chain = Some(self.fallthrough.clone());
        }
        out.name = name;
        provenance::resource(
            of.r,
            TypeName::Listener,
            || out.name.as_str(),
            || {
                self.said.again(of.r, String::new);
            },
        );
        self.resources.push(Resource::encode_shared(&out.name, &out));
    }

    /// The listener filters that the conditions of chains need.
    fn inspect(&self, entry: &Entry<'_>, out: &mut Listener) {
        let by_name = |content: &Content<'_>| matches!(content, Content::Streams(s) if s.by_name());
        if entry.chains.iter().any(|c| !c.server_names.is_empty() || by_name(&c.content)) {
            out.listener_filters.push(TLS_INSPECTOR.clone());
        }
        out.listener_filters_timeout = if entry.chains.iter().any(|c| c.sniffed) {
            out.listener_filters.push(HTTP_INSPECTOR.clone());
            self.of.settings.mesh.protocol_detection_timeout.map(duration)
        } else {
            Some(seconds(0))
        };
    }

    fn network_filters(&self, content: &Content<'a>, listener: &str, port: u32) -> Vec<Filter> {
        let http = match content {
            Content::Streams(streams) => return self.filters.tcp_proxy_chain(self.of.tcp_proxy(streams)),
            Content::Http(http) => http,
        };
        let prefix = delimited(&format!("outbound_{listener}"));
        let mut of = Manager::new(prefix, RouteSource::Rds(http.route.to_string()), port, http.protocol);
        of.dynamic = http.dynamic;
        of.resolve_any = self.of.resolves_any();
        if http.forward_proxy {
            of.preset = HttpConnectionManager {
                http_protocol_options: Some(Http1ProtocolOptions {
                    allow_absolute_url: bool_value(true),
                    ..Http1ProtocolOptions::default()
                }),
                ..HttpConnectionManager::default()
            };
        }
        vec![self.filters.manager(of)]
    }
}
