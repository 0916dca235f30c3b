//! Listener filters: original destination, protocol inspectors (as pilot/pkg/networking/core/listener_inbound.go:
//! `populateListenerFilters`).

use std::collections::BTreeMap;
use std::sync::LazyLock;

use proto::envoy::config::listener::v3::{
    FilterChain, ListenerFilter, ListenerFilterChainMatchPredicate as Predicate,
    listener_filter::ConfigType,
    listener_filter_chain_match_predicate::{MatchSet, Rule},
};
use proto::envoy::extensions::filters::listener::http_inspector::v3::HttpInspector;
use proto::envoy::extensions::filters::listener::original_dst::v3::OriginalDst;
use proto::envoy::extensions::filters::listener::original_src::v3::OriginalSrc;
use proto::envoy::extensions::filters::listener::tls_inspector::v3::TlsInspector;
use proto::envoy::r#type::v3::Int32Range;

use crate::encoded::u32_value;

fn filter<M: prost::Message + prost::Name>(name: &str, config: &M) -> ListenerFilter {
    ListenerFilter {
        name: name.into(),
        config_type: Some(ConfigType::TypedConfig(proto::any(config))),
        ..ListenerFilter::default()
    }
}

/// Where the connection went before it was redirected.
pub(crate) static ORIGINAL_DST: LazyLock<ListenerFilter> =
    LazyLock::new(|| filter("envoy.filters.listener.original_dst", &OriginalDst::default()));
/// Keeps the client's address towards the upstream (TPROXY).
pub(crate) static ORIGINAL_SRC: LazyLock<ListenerFilter> = LazyLock::new(|| {
    filter("envoy.filters.listener.original_src", &OriginalSrc { mark: 1337, ..OriginalSrc::default() })
});
/// TLS: SNI and ALPN.
pub(crate) static TLS_INSPECTOR: LazyLock<ListenerFilter> = LazyLock::new(|| {
    let config = TlsInspector { initial_read_buffer_size: u32_value(512), ..TlsInspector::default() };
    filter("envoy.filters.listener.tls_inspector", &config)
});
/// Plain HTTP.
pub(crate) static HTTP_INSPECTOR: LazyLock<ListenerFilter> =
    LazyLock::new(|| filter("envoy.filters.listener.http_inspector", &HttpInspector::default()));

/// What a port needs.
#[derive(Clone, Copy, Default)]
struct Needs {
    tls: bool,
    http: bool,
}

/// The filters that these chains need; `captured` listeners get redirected connections.
pub(crate) fn filters(chains: &[FilterChain], captured: bool, transparent: bool) -> Vec<ListenerFilter> {
    let mut out = Vec::with_capacity(4);
    if captured {
        out.push(ORIGINAL_DST.clone());
        if transparent {
            out.push(ORIGINAL_SRC.clone());
        }
    }
    let mut ports: BTreeMap<u32, Needs> = BTreeMap::new();
    for chain in chains {
        let Some(matched) = &chain.filter_chain_match else { continue };
        let needs = ports.entry(matched.destination_port.map_or(0, |p| p.value)).or_default();
        needs.tls |= matched.transport_protocol == "tls";
        needs.http |= matched.application_protocols.iter().any(|p| p == "http/1.1" || p == "h2c");
    }
    if ports.values().any(|n| n.tls) {
        out.push(tls(&ports));
    }
    if ports.values().any(|n| n.http) {
        let without = ports.iter().filter(|(_, n)| !n.http).map(|(p, _)| *p).collect();
        out.push(ListenerFilter { filter_disabled: on_ports(without), ..HTTP_INSPECTOR.clone() });
    }
    out
}

/// Off on the ports that do not need it where the rest does; else on only where it is needed.
fn tls(ports: &BTreeMap<u32, Needs>) -> ListenerFilter {
    let everywhere = ports.get(&0).is_some_and(|n| n.tls);
    let listed = ports.iter().filter(|(p, n)| **p != 0 && n.tls != everywhere).map(|(p, _)| *p).collect();
    let mut disabled = on_ports(listed);
    if !everywhere {
        disabled = disabled.map(|p| Predicate { rule: Some(Rule::NotMatch(Box::new(p))) });
    }
    ListenerFilter { filter_disabled: disabled, ..TLS_INSPECTOR.clone() }
}

/// One of these ports; `None` for none.
fn on_ports(ports: Vec<u32>) -> Option<Predicate> {
    let one = |port: u32| {
        let start = i32::try_from(port).unwrap_or(i32::MAX);
        Predicate {
            rule: Some(Rule::DestinationPortRange(Int32Range { start, end: start.saturating_add(1) })),
        }
    };
    let mut rules: Vec<Predicate> = ports.into_iter().map(one).collect();
    if rules.len() > 1 {
        return Some(Predicate { rule: Some(Rule::OrMatch(MatchSet { rules })) });
    }
    rules.pop()
}
