//! Filter chains before they are messages: what they match, and whether two match the same.

use std::collections::BTreeSet;
use std::sync::Arc;

use config::networking::RouteDestination;
use config::protocol::Protocol;
use ipnet::IpNet;
use mesh::services::{Port, Resolution, Service};
use proto::envoy::config::core::v3::CidrRange;
use proto::envoy::config::listener::v3::FilterChainMatch;

use crate::encoded::u32_value;
use crate::scope::Named;

/// A filter chain (as pilot/pkg/networking/core/listener.go: `filterChainOpts`).
#[derive(Clone, Debug)]
pub(super) struct Chain<'a> {
    /// Names that a TLS client may ask for; empty for all.
    pub(super) server_names: Vec<String>,
    /// Destination ranges; empty for all.
    pub(super) ranges: Vec<Arc<str>>,
    /// Only what was found to be plain HTTP.
    pub(super) sniffed: bool,
    /// The virtual service it comes from.
    pub(super) from: Option<&'a Named>,
    /// What stands in it.
    pub(super) content: Content<'a>,
}

/// What stands in a chain. Filters are made at the very end: who only wants to know the routes needs none.
#[derive(Clone, Debug)]
pub(super) enum Content<'a> {
    /// An HTTP connection manager with routes by name.
    Http(Http<'a>),
    /// A TCP proxy.
    Streams(Streams<'a>),
}

/// A TCP proxy to be.
#[derive(Clone, Debug)]
pub(super) struct Streams<'a> {
    /// Where it leads.
    pub(super) to: To<'a>,
    /// The port of the listener.
    pub(super) port: Port,
}

/// Where streams go.
#[derive(Clone, Copy, Debug)]
pub(super) enum To<'a> {
    /// A port of a service.
    Service(&'a Service, u32),
    /// The destinations of a route of a virtual service.
    Routed(&'a [RouteDestination], &'a Named),
}

impl Streams<'_> {
    /// Whether the name that a TLS client asks for is looked up.
    pub(super) fn by_name(&self) -> bool {
        matches!(self.to, To::Service(service, _) if is_dynamic(service))
    }
}

/// Whether the names of a wildcard service are looked up when they are called.
pub(super) fn is_dynamic(service: &Service) -> bool {
    service.resolution == Resolution::DynamicDns && service.key.hostname.is_wildcard()
}

/// An HTTP connection manager to be.
#[derive(Clone, Debug)]
pub(super) struct Http<'a> {
    /// Name of the route configuration.
    pub(super) route: Arc<str>,
    /// Protocol of the service port.
    pub(super) protocol: Protocol,
    /// The wildcard service whose names are looked up per request.
    pub(super) dynamic: Option<&'a Service>,
    /// Takes absolute URLs, as a forward proxy.
    pub(super) forward_proxy: bool,
}

/// A range of addresses, of an address or of a range.
fn range(text: &str) -> Option<IpNet> {
    text.parse().ok().or_else(|| text.parse::<std::net::IpAddr>().ok().map(IpNet::from))
}

/// As upstream: `0.0.0.0` with whatever length counts as no condition.
fn is_everything(net: &IpNet) -> bool {
    matches!(net, IpNet::V4(v4) if v4.addr().is_unspecified())
}

impl<'a> Chain<'a> {
    /// A chain for everything.
    pub(super) const fn of(content: Content<'a>) -> Self {
        Self { server_names: Vec::new(), ranges: Vec::new(), sniffed: false, from: None, content }
    }

    /// Whether it takes every connection (as `isMatchAll`).
    pub(super) fn matches_all(&self) -> bool {
        (self.server_names.is_empty() || self.server_names.iter().any(|n| n == "*"))
            && !self.sniffed
            && self.ranges.is_empty()
    }

    /// Whether Envoy would find the same conditions in both and refuse the listener (as `conflictsWith`).
    pub(super) fn conflicts_with(&self, other: &Self) -> bool {
        fn names<'c>(chain: &'c Chain<'_>) -> BTreeSet<&'c str> {
            chain.server_names.iter().map(String::as_str).filter(|n| *n != "*").collect()
        }
        let ranges = |chain: &Self| -> BTreeSet<IpNet> {
            let all = chain.ranges.iter().filter_map(|text| range(text));
            all.filter(|net| !is_everything(net)).map(|net| net.trunc()).collect()
        };
        self.sniffed == other.sniffed && names(self) == names(other) && ranges(self) == ranges(other)
    }

    /// Its conditions (as `toFilterChainMatch`).
    pub(super) fn conditions(&self, alpn: &[&str]) -> FilterChainMatch {
        let mut out = FilterChainMatch::default();
        if self.sniffed {
            out.application_protocols = alpn.iter().map(|&p| p.to_owned()).collect();
            out.transport_protocol = "raw_buffer".into();
        }
        if !self.server_names.iter().any(|n| n == "*") {
            out.server_names.clone_from(&self.server_names);
            out.server_names.sort();
        }
        let mut ranges: Vec<&Arc<str>> = self.ranges.iter().collect();
        ranges.sort();
        let nets = ranges.into_iter().filter_map(|text| range(text)).filter(|net| !is_everything(net));
        out.prefix_ranges = nets
            .map(|net| CidrRange {
                address_prefix: net.addr().to_string(),
                prefix_len: u32_value(net.prefix_len().into()),
            })
            .collect();
        out
    }
}
