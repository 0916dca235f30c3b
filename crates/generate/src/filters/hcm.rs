//! HTTP connection managers of every class (as pilot/pkg/networking/core/listener_builder.go:
//! `buildHTTPConnectionManager`).

use config::mesh::NormalizationType;
use config::protocol::Protocol;
use mesh::services::{Resolution, Service};
use mesh::settings::Settings;
use proto::envoy::config::core::v3::{
    AggregatedConfigSource, ApiVersion, CidrRange, ConfigSource, Http1ProtocolOptions, Http2ProtocolOptions,
    Http3ProtocolOptions, HttpProtocolOptions, config_source::ConfigSourceSpecifier,
};
use proto::envoy::config::listener::v3::{Filter, filter::ConfigType};
use proto::envoy::config::route::v3::RouteConfiguration;
use proto::envoy::extensions::filters::network::http_connection_manager::v3::{
    self as hcm,
    http_connection_manager::{
        CodecType, InternalAddressConfig, PathWithEscapedSlashesAction, UpgradeConfig,
    },
};
use proto::envoy::extensions::request_id::uuid::v3::UuidRequestIdConfig;

use super::{Class, Filters, connection, http, stock};
use crate::clusters::{build, fixed};
use crate::encoded::{bool_value, seconds};

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
    #[expect(
        dead_code,
        reason = "callers know it; extensions of users, which are attached by port, will ask for it"
    )]
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
        Filter {
            name: "envoy.filters.network.http_connection_manager".into(),
            config_type: Some(ConfigType::TypedConfig(proto::any(&self.connection_manager(of)))),
        }
    }

    fn connection_manager(&self, mut of: Manager<'_>) -> hcm::HttpConnectionManager {
        let switches = &self.settings.switches;
        let mut out = std::mem::take(&mut of.preset);
        self.of_class(&mut out, &of);
        out.codec_type = if of.http3 { CodecType::Http3 } else { CodecType::Auto }.into();
        if of.http3 {
            out.http3_protocol_options = Some(Http3ProtocolOptions::default());
        }
        if build::preserves_case(self.proxy, &self.settings.mesh) {
            let http1 = out.http_protocol_options.get_or_insert_with(Http1ProtocolOptions::default);
            http1.header_key_format = build::preserve_case_options().header_key_format;
        }
        out.stat_prefix = std::mem::take(&mut of.stat_prefix);
        out.append_x_forwarded_port = self.headers.forwarded_port;
        normalize(&mut out, self.settings);
        let outbound = self.class == Class::SidecarOutbound;
        let remote = of.use_remote_address || (outbound && switches.pilot_sidecar_use_remote_address);
        out.use_remote_address = bool_value(remote);
        out.upgrade_configs =
            vec![UpgradeConfig { upgrade_type: "websocket".into(), ..UpgradeConfig::default() }];
        if let Some(idle) = self.idle_timeout {
            out.common_http_protocol_options =
                Some(HttpProtocolOptions { idle_timeout: Some(idle), ..HttpProtocolOptions::default() });
        }
        out.stream_idle_timeout = Some(seconds(0));
        if let Some(settings) = &self.connection {
            connection::apply(&mut out, settings);
        }
        out.access_log.extend(self.logs.http.iter().cloned());
        if let Some(metrics) = &self.stock {
            out.access_log.extend(metrics.http(of.served));
        }
        out.tracing.clone_from(&self.traced.tracing);
        out.http_filters = self.http_filters(&of);
        out.request_id_extension = Some(hcm::RequestIdExtension {
            typed_config: Some(proto::any(&UuidRequestIdConfig {
                use_request_id_for_trace_sampling: bool_value(self.traced.by_request_id),
                ..UuidRequestIdConfig::default()
            })),
        });
        if switches.enable_hcm_internal_networks || remote {
            out.internal_address_config = internal_networks(self.settings);
        }
        out.proxy_100_continue = switches.enable_100_continue_headers;
        out.route_specifier = Some(match of.route {
            RouteSource::Inline(routes) => hcm::http_connection_manager::RouteSpecifier::RouteConfig(*routes),
            RouteSource::Rds(name) => hcm::http_connection_manager::RouteSpecifier::Rds(rds(name)),
        });
        out
    }

    /// What sidecars set for every chain of a class; gateways come with their own preset.
    fn of_class(&self, out: &mut hcm::HttpConnectionManager, of: &Manager<'_>) {
        if self.class == Class::Gateway {
            return;
        }
        let headers = &self.headers;
        out.server_name.clone_from(&headers.server);
        out.server_header_transformation = headers.transformation.into();
        out.generate_request_id = headers.request_id.and_then(bool_value);
        if self.class == Class::SidecarInbound {
            out.forward_client_cert_details = headers.forward.into();
            out.set_current_client_cert_details = Some(headers.details);
            if of.protocol.is_http2() {
                out.http2_protocol_options = Some(Http2ProtocolOptions::default());
            }
        }
        if self.settings.switches.pilot_http10 || self.proxy.http10 {
            out.http_protocol_options.get_or_insert_with(Http1ProtocolOptions::default).accept_http_10 = true;
        }
    }

    /// The chain. Places of policies are marked: those of users stand between metadata exchange and the rest.
    fn http_filters(&self, of: &Manager<'_>) -> Vec<hcm::HttpFilter> {
        let switches = &self.settings.switches;
        let can = self.proxy.capabilities;
        let inbound = self.class == Class::SidecarInbound;
        let mut out = Vec::with_capacity(12);
        if switches.pilot_enable_metadata_exchange {
            out.push(match (can.metadata_exchange, inbound) {
                (true, true) => http::EXCHANGE_INBOUND.clone(),
                (true, false) if self.headers.exchange_in_mesh => http::EXCHANGE_IN_MESH.clone(),
                (true, false) => http::EXCHANGE_OUTBOUND.clone(),
                (false, true) => stock::learn(of.mutual_tls),
                (false, false) => stock::announce(self.proxy),
            });
        }
        out.extend(self.authorization.custom_http.iter().cloned());
        // Here: authentication.
        out.extend(self.authorization.http.iter().cloned());
        // Here: extensions of users.
        if of.protocol == Protocol::GrpcWeb {
            out.push(http::GRPC_WEB.clone());
        }
        out.push(http::GRPC_STATS.clone());
        if switches.pilot_enable_alpn_filter && !inbound {
            if can.alpn {
                out.push(http::ALPN.clone());
            } else if of.protocol == Protocol::Unsupported {
                out.push(stock::alpn());
            }
        }
        out.push(http::FAULT.clone());
        out.push(http::CORS.clone());
        out.extend(self.http_metrics.iter().cloned());
        if switches.pilot_enable_persistent_session_filter && !inbound {
            out.push(http::EMPTY_SESSION.clone());
        }
        let outbound = self.class == Class::SidecarOutbound;
        if let Some(service) = of.dynamic.filter(|s| s.resolution == Resolution::DynamicDns && outbound) {
            let family = fixed::lookup_family(self.proxy, self.settings);
            out.push(http::dynamic_forward_proxy(http::dns_cache(service.key.hostname.as_str(), family)));
        }
        if of.resolve_any && outbound {
            out.push(http::dynamic_forward_proxy(fixed::any_host_cache(self.proxy, self.settings)));
        }
        out.push(http::router(self.headers.suppress_debug));
        out
    }
}

fn normalize(out: &mut hcm::HttpConnectionManager, settings: &Settings) {
    let said =
        settings.mesh.path_normalization.as_ref().map_or(NormalizationType::Default, |p| p.normalization);
    out.normalize_path = bool_value(said != NormalizationType::None);
    out.merge_slashes =
        matches!(said, NormalizationType::MergeSlashes | NormalizationType::DecodeAndMergeSlashes);
    let decode = said == NormalizationType::DecodeAndMergeSlashes;
    out.path_with_escaped_slashes_action = if decode {
        PathWithEscapedSlashesAction::UnescapeAndForward
    } else {
        PathWithEscapedSlashesAction::KeepUnchanged
    }
    .into();
}

/// The networks of the mesh, whose addresses count as internal (as `MeshNetworksToEnvoyInternalAddressConfig`).
fn internal_networks(settings: &Settings) -> Option<InternalAddressConfig> {
    use config::mesh::Ne;
    let endpoints = settings.networks.networks.values().flat_map(|n| &n.endpoints);
    let mut ranges: Vec<ipnet::IpNet> = endpoints
        .filter_map(|e| match &e.ne {
            Some(Ne::FromCidr(cidr)) => cidr.parse().ok(),
            _ => None,
        })
        .collect();
    ranges.sort_by_key(|net: &ipnet::IpNet| (net.addr(), net.prefix_len()));
    let range = |net: &ipnet::IpNet| CidrRange {
        address_prefix: net.network().to_string(),
        prefix_len: crate::encoded::u32_value(u32::from(net.prefix_len())),
    };
    (!ranges.is_empty()).then(|| InternalAddressConfig {
        cidr_ranges: ranges.iter().map(range).collect(),
        ..InternalAddressConfig::default()
    })
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
