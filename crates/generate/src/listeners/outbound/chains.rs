//! Filter chains before they are messages: what they match, and whether two match the same.

use std::collections::BTreeSet;
use std::sync::Arc;

use config::protocol::Protocol;
use ipnet::IpNet;
use mesh::services::Service;
use proto::envoy::config::core::v3::{CidrRange, Metadata};
use proto::envoy::config::listener::v3::{Filter, FilterChainMatch};

use crate::encoded::u32_value;

/// A filter chain (as pilot/pkg/networking/core/listener.go: `filterChainOpts`).
#[derive(Clone, Debug, Default)]
pub(super) struct Chain<'a> {
    /// Names that a TLS client may ask for; empty for all.
    pub(super) server_names: Vec<String>,
    /// Destination ranges; empty for all.
    pub(super) ranges: Vec<Arc<str>>,
    /// Only what was found to be plain HTTP.
    pub(super) sniffed: bool,
    /// The object it comes from.
    pub(super) metadata: Option<Metadata>,
    /// Its filters.
    pub(super) content: Content<'a>,
}

/// What stands in a chain.
#[derive(Clone, Debug)]
pub(super) enum Content<'a> {
    /// An HTTP connection manager with routes by name.
    Http(Http<'a>),
    /// Network filters; whether they need the name that a TLS client asks for.
    Streams(Vec<Filter>, bool),
}

impl Default for Content<'_> {
    fn default() -> Self {
        Content::Streams(Vec::new(), false)
    }
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

impl Chain<'_> {
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
