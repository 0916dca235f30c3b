//! Listeners of gateways (as pilot/pkg/networking/core/gateway.go: `buildGatewayListeners`).

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};

use mesh::World;
use mesh::settings::Settings;
use proto::envoy::config::core::v3::{
    Address, TrafficDirection, UdpSocketConfig, address::Address as Kind, socket_address,
};
use proto::envoy::config::listener::v3::{
    AdditionalAddress, FilterChain, Listener, ListenerFilter, QuicProtocolOptions, UdpListenerConfig,
    listener::{ConnectionBalanceConfig, connection_balance_config},
    listener_filter::ConfigType,
};
use proto::envoy::extensions::filters::listener::proxy_protocol::v3::ProxyProtocol;
use tables::{Level, Reads};

use super::Merged;
use super::bound::View;
use super::chains::{Chain, Chains, config_of};
use super::merge::Claimed;
use super::tls::{self, Terms, Transport};
use crate::encoded::{Resource, Section, TypeName, duration, u32_value};
use crate::endpoints::address;
use crate::filters::inspect::TLS_INSPECTOR;
use crate::filters::{Class, Filters, connection};
use crate::listeners::Built;
use crate::provenance;
use crate::proxy::{IpMode, Proxy};
use crate::scope::Scope;

/// Takes the client's address from the PROXY protocol header.
static PROXY_PROTOCOL: LazyLock<ListenerFilter> = LazyLock::new(|| ListenerFilter {
    name: "envoy.filters.listener.proxy_protocol".into(),
    config_type: Some(ConfigType::TypedConfig(proto::any(&ProxyProtocol::default()))),
    ..ListenerFilter::default()
});

/// A listener while chains are added to it.
struct Draft {
    name: String,
    bind: String,
    extra: Vec<&'static str>,
    port: u32,
    transport: Transport,
    chains: Vec<Chain>,
}

/// See [`super::listeners`].
pub(super) fn built<L: Level>(
    r: &Reads<L>,
    world: &World,
    proxy: &Proxy,
    merged: &Merged,
    scope: &Scope,
) -> Built {
    let settings = crate::settings(r, world);
    let (filters, said) = provenance::collect(r, || Filters::of(r, world, proxy, Class::Gateway));
    let mut chains = Chains {
        view: View { r, world, proxy, scope },
        settings,
        filters,
        terms: Terms::of(r, world, proxy, settings),
        claimed: Claimed::default(),
    };
    let mut out = Built::default();
    let mut resources = Vec::new();
    let mut secrets = BTreeSet::new();
    for draft in drafts(&mut chains, merged) {
        // Envoy refuses a listener without chains: nothing leads anywhere from it.
        if draft.chains.is_empty() {
            continue;
        }
        for chain in &draft.chains {
            out.routes.extend(
                chain.route.iter().filter(|name| !out.routes.contains(name)).cloned().collect::<Vec<_>>(),
            );
            secrets.extend(chain.tls.iter().flat_map(tls::served));
        }
        let listener = message(draft, proxy, settings, &chains.filters);
        provenance::resource(r, TypeName::Listener, || listener.name.as_str(), || said.again(r, String::new));
        resources.push(Resource::encode(listener.name.as_str(), &listener));
    }
    // Names in the Gateway API's form count only with the right to them.
    secrets.retain(|name| !name.starts_with("kubernetes-gateway://") || merged.verified.contains(name));
    out.section = Section::new(resources);
    out.secrets = secrets.into_iter().map(Arc::from).collect();
    out
}

/// The listeners in the order of their first server; places that differ only in protocol share one.
fn drafts<L: Level>(chains: &mut Chains<'_, L>, merged: &Merged) -> Vec<Draft> {
    let mut out: Vec<Draft> = Vec::new();
    let (proxy, settings) = (chains.view.proxy, chains.settings);
    for at in &merged.ports {
        let port = at.port.number;
        if proxy.unprivileged && port < 1024 {
            continue;
        }
        let dual = settings.switches.istio_dual_stack && proxy.ip_mode == IpMode::Dual;
        // Not upstream's: a gateway may say itself that it is not for every network of its machine.
        let own = proxy.meta("GATEWAY_BIND_ADDRESS").filter(|own| !own.is_empty());
        let (bind, extra) = match (at.port.bind.as_str(), own) {
            ("", None) => (proxy.wildcard().to_owned(), if dual { vec!["::"] } else { Vec::new() }),
            ("", Some(own)) => (own.to_owned(), Vec::new()),
            (bind, _) => (bind.to_owned(), Vec::new()),
        };
        let name = format!("{bind}_{port}");
        let r = chains.view.r;
        let own = provenance::resource(
            r,
            TypeName::Listener,
            || name.as_str(),
            || {
                at.servers.iter().for_each(|server| chains.tell(server));
                chains.tcp(at, &name)
            },
        );
        add(
            &mut out,
            Draft {
                name,
                bind: bind.clone(),
                extra: extra.clone(),
                port,
                transport: Transport::Tcp,
                chains: own,
            },
        );
        if let Some(servers) = merged.quic.get(&at.port) {
            let name = format!("udp_{bind}_{port}");
            let own = provenance::resource(
                r,
                TypeName::Listener,
                || name.as_str(),
                || {
                    servers.iter().for_each(|server| chains.tell(server));
                    chains.quic(servers, port, &name)
                },
            );
            add(&mut out, Draft { name, bind, extra, port, transport: Transport::Quic, chains: own });
        }
    }
    out
}

fn add(out: &mut Vec<Draft>, draft: Draft) {
    match out.iter_mut().find(|d| d.name == draft.name) {
        Some(have) => have.chains.extend(draft.chains),
        None => out.push(draft),
    }
}

/// As `buildGatewayListener`.
fn message(draft: Draft, proxy: &Proxy, settings: &Settings, filters: &Filters<'_>) -> Listener {
    let switches = &settings.switches;
    let tcp = draft.transport == Transport::Tcp;
    let topology = config_of(proxy, settings).and_then(|c| c.gateway_topology.as_ref());
    let mut listener_filters = Vec::new();
    if tcp && topology.is_some_and(|t| t.proxy_protocol.is_some()) {
        listener_filters.push(PROXY_PROTOCOL.clone());
    }
    if tcp && draft.chains.iter().any(Chain::inspects_tls) {
        listener_filters.push(TLS_INSPECTOR.clone());
    }
    let handshake = switches.pilot_gateway_transport_socket_connect_timeout;
    let handshake = (!handshake.is_zero()).then(|| duration(handshake));
    let chain = |chain: Chain| FilterChain {
        filter_chain_match: chain.matches(),
        transport_socket: chain.tls.map(|context| tls::socket(context, draft.transport)),
        transport_socket_connect_timeout: handshake,
        filters: chain.filters,
        ..FilterChain::default()
    };
    let at = |host: &str| if tcp { address(host, draft.port) } else { datagrams(address(host, draft.port)) };
    let limit = connection::settings(proxy, &settings.mesh)
        .and_then(|s| s.listener_per_connection_buffer_limit_bytes);
    let per_event = switches.max_connections_per_socket_event_loop;
    Listener {
        address: Some(at(&draft.bind)),
        additional_addresses: draft
            .extra
            .iter()
            .map(|host| AdditionalAddress { address: Some(at(host)), ..AdditionalAddress::default() })
            .collect(),
        name: draft.name,
        traffic_direction: TrafficDirection::Outbound.into(),
        listener_filters,
        filter_chains: draft.chains.into_iter().map(chain).collect(),
        max_connections_to_accept_per_socket_event: if per_event > 0 { u32_value(per_event) } else { None },
        per_connection_buffer_limit_bytes: connection::size(limit),
        connection_balance_config: (tcp && proxy.flag("OUTBOUND_LISTENER_EXACT_BALANCE")).then(exact_balance),
        udp_listener_config: (!tcp).then(|| UdpListenerConfig {
            quic_options: Some(QuicProtocolOptions::default()),
            downstream_socket_config: Some(UdpSocketConfig::default()),
            ..UdpListenerConfig::default()
        }),
        access_log: filters.logs.listener.clone(),
        ..Listener::default()
    }
}

fn exact_balance() -> ConnectionBalanceConfig {
    let exact = connection_balance_config::ExactBalance::default();
    ConnectionBalanceConfig {
        balance_type: Some(connection_balance_config::BalanceType::ExactBalance(exact)),
    }
}

fn datagrams(mut address: Address) -> Address {
    if let Some(Kind::SocketAddress(socket)) = &mut address.address {
        socket.protocol = socket_address::Protocol::Udp.into();
    }
    address
}
