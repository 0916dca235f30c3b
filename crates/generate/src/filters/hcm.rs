//! HTTP connection managers of every class (as pilot/pkg/networking/core/listener_builder.go:
//! `buildHTTPConnectionManager`).

use config::protocol::Protocol;
use mesh::services::Service;
use proto::envoy::config::core::v3::{
    AggregatedConfigSource, ApiVersion, ConfigSource, config_source::ConfigSourceSpecifier,
};
use proto::envoy::config::listener::v3::{Filter, filter::ConfigType};
use proto::envoy::config::route::v3::RouteConfiguration;
use proto::envoy::extensions::filters::network::http_connection_manager::v3 as hcm;

use super::{Class, Filters};
use crate::encoded::seconds;

/// Where a connection manager finds its routes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum RouteSource {
    /// By name over RDS; the caller also lists the name in `listeners::Built::routes`.
    Rds(String),
    /// In place.
    Inline(Box<RouteConfiguration>),
}

/// What differs between the connection managers of one class.
pub(crate) struct Manager<'a> {
    /// Prefix of its statistics, already with the closing `;` that Istio's tag extraction wants (see [`delimited`]).
    pub(crate) stat_prefix: String,
    /// Its routes.
    pub(crate) route: RouteSource,
    /// The port, for what is attached by port.
    pub(crate) port: u32,
    /// Protocol of the service port.
    pub(crate) protocol: Protocol,
    /// Options that only the caller knows (gateways: trusted hops, client certificates; the HTTP proxy: absolute
    /// URLs). Everything that is the same for a class is set by [`Filters::manager`].
    pub(crate) preset: hcm::HttpConnectionManager,
    /// Whether the peer's address is the client's. Sidecars' switch is added.
    pub(crate) use_remote_address: bool,
    /// HTTP/3 only.
    pub(crate) http3: bool,
    /// The wildcard service of dynamic resolution that is called, whose names are looked up per request.
    pub(crate) dynamic: Option<&'a Service>,
    /// Calls to unknown hosts are resolved by name (`ALLOW_ANY_DYNAMIC_DNS`).
    pub(crate) resolve_any: bool,
    /// Whether the chain ends mutual TLS of the mesh (inbound).
    pub(crate) mutual_tls: bool,
    /// Host of the service that is served (inbound), empty if none; only stock proxies are told.
    pub(crate) served: &'a str,
}

impl Manager<'_> {
    /// A plain one.
    pub(crate) fn new(stat_prefix: String, route: RouteSource, port: u32, protocol: Protocol) -> Self {
        Self {
            stat_prefix,
            route,
            port,
            protocol,
            preset: hcm::HttpConnectionManager::default(),
            use_remote_address: false,
            http3: false,
            dynamic: None,
            resolve_any: false,
            mutual_tls: false,
            served: "",
        }
    }
}

/// As pilot/pkg/networking/util: `DelimitedStatsPrefix`.
pub(crate) fn delimited(prefix: &str) -> String {
    format!("{prefix};")
}

impl Filters<'_> {
    /// The network filter.
    pub(crate) fn manager(&self, of: Manager<'_>) -> Filter {
        let mut out = of.preset;
        out.stat_prefix = of.stat_prefix;
        out.stream_idle_timeout = Some(seconds(0));
        out.route_specifier = Some(match of.route {
            RouteSource::Inline(routes) => hcm::http_connection_manager::RouteSpecifier::RouteConfig(*routes),
            RouteSource::Rds(name) => hcm::http_connection_manager::RouteSpecifier::Rds(rds(name)),
        });
        let _ = (of.port, of.protocol, of.use_remote_address, of.http3, of.dynamic, of.resolve_any, of.mutual_tls);
        let _ = (of.served, self.class == Class::Gateway);
        Filter {
            name: "envoy.filters.network.http_connection_manager".into(),
            config_type: Some(ConfigType::TypedConfig(proto::any(&out))),
        }
    }
}

fn rds(name: String) -> hcm::Rds {
    hcm::Rds {
        config_source: Some(ConfigSource {
            config_source_specifier: Some(ConfigSourceSpecifier::Ads(AggregatedConfigSource::default())),
            initial_fetch_timeout: Some(seconds(0)),
            resource_api_version: ApiVersion::V3.into(),
            ..ConfigSource::default()
        }),
        route_config_name: name,
    }
}
