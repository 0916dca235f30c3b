//! A cluster while it is being made: the message plus HTTP protocol options that are packed at the end.

use std::collections::BTreeMap;

use config::mesh::MeshConfig;
use mesh::services::{Port, Registry, Service};
use proto::envoy::config::cluster::v3::{Cluster, cluster};
use proto::envoy::config::core::v3::{
    Http1ProtocolOptions, Http2ProtocolOptions, Metadata, TypedExtensionConfig, http1_protocol_options,
};
use proto::envoy::extensions::upstreams::http::v3::{HttpProtocolOptions, http_protocol_options as options};
use proto::google::protobuf::{ListValue, Struct, Value, value::Kind};

use crate::filters;
use crate::proxy::{Proxy, ProxyKind};

/// Key of HTTP protocol options in a cluster's extension options.
const HTTP_OPTIONS: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

/// The upstream wrapper of a cluster under construction.
pub(super) struct Draft {
    pub(super) cluster: Cluster,
    pub(super) http: Option<HttpProtocolOptions>,
    pub(super) dynamic_forward: bool,
}

impl Draft {
    /// A cluster of `kind` with its name and stat name.
    pub(super) fn new(name: String, kind: cluster::DiscoveryType) -> Self {
        let cluster = Cluster {
            alt_stat_name: format!("{name};"),
            name,
            cluster_discovery_type: Some(cluster::ClusterDiscoveryType::Type(kind.into())),
            common_lb_config: Some(cluster::CommonLbConfig::default()),
            ..Cluster::default()
        };
        Self { cluster, http: None, dynamic_forward: false }
    }

    /// The discovery type; EDS for custom types, as nobody asks it of those.
    pub(super) fn kind(&self) -> cluster::DiscoveryType {
        match self.cluster.cluster_discovery_type {
            Some(cluster::ClusterDiscoveryType::Type(t)) => {
                cluster::DiscoveryType::try_from(t).unwrap_or(cluster::DiscoveryType::Static)
            }
            _ => cluster::DiscoveryType::Static,
        }
    }

    pub(super) fn set_kind(&mut self, kind: cluster::DiscoveryType) {
        self.cluster.cluster_discovery_type = Some(cluster::ClusterDiscoveryType::Type(kind.into()));
    }

    pub(super) fn set_policy(&mut self, policy: cluster::LbPolicy) {
        self.cluster.lb_policy = policy.into();
    }

    pub(super) fn lb(&mut self) -> &mut cluster::CommonLbConfig {
        self.cluster.common_lb_config.get_or_insert_default()
    }

    pub(super) fn http(&mut self) -> &mut HttpProtocolOptions {
        self.http.get_or_insert_default()
    }

    /// Fields of the `istio` filter metadata.
    pub(super) fn istio(&mut self) -> &mut BTreeMap<String, Value> {
        let meta = self.cluster.metadata.get_or_insert_with(Metadata::default);
        &mut meta.filter_metadata.entry("istio".into()).or_default().fields
    }

    /// Explicit HTTP/2, unless a protocol was chosen before.
    pub(super) fn use_http2(&mut self) {
        let http = self.http();
        if http.upstream_protocol_options.is_none() {
            http.upstream_protocol_options =
                Some(explicit(options::explicit_http_config::ProtocolConfig::Http2ProtocolOptions(
                    Http2ProtocolOptions::default(),
                )));
        }
    }

    /// Whether HTTP/2 is explicit.
    pub(super) fn is_http2(&self) -> bool {
        self.explicit_http2().is_some()
    }

    pub(super) fn explicit_http2(&self) -> Option<&Http2ProtocolOptions> {
        match self.http.as_ref()?.upstream_protocol_options.as_ref()? {
            options::UpstreamProtocolOptions::ExplicitHttpConfig(e) => match e.protocol_config.as_ref()? {
                options::explicit_http_config::ProtocolConfig::Http2ProtocolOptions(o) => Some(o),
                _ => None,
            },
            _ => None,
        }
    }

    pub(super) fn explicit_http2_mut(&mut self) -> Option<&mut Http2ProtocolOptions> {
        match self.http.as_mut()?.upstream_protocol_options.as_mut()? {
            options::UpstreamProtocolOptions::ExplicitHttpConfig(e) => match e.protocol_config.as_mut()? {
                options::explicit_http_config::ProtocolConfig::Http2ProtocolOptions(o) => Some(o),
                _ => None,
            },
            _ => None,
        }
    }

    /// The downstream's protocol; explicit HTTP/1 options chosen before are kept.
    pub(super) fn use_downstream_protocol(&mut self) {
        let http = self.http();
        let http1 = match http.upstream_protocol_options.take() {
            Some(options::UpstreamProtocolOptions::ExplicitHttpConfig(options::ExplicitHttpConfig {
                protocol_config: Some(options::explicit_http_config::ProtocolConfig::HttpProtocolOptions(o)),
            })) => o,
            _ => Http1ProtocolOptions::default(),
        };
        http.upstream_protocol_options = Some(options::UpstreamProtocolOptions::UseDownstreamProtocolConfig(
            options::UseDownstreamHttpConfig {
                http_protocol_options: Some(http1),
                http2_protocol_options: Some(Http2ProtocolOptions::default()),
                ..options::UseDownstreamHttpConfig::default()
            },
        ));
    }

    /// As `setUpstreamProtocol`.
    pub(super) fn set_upstream_protocol(&mut self, proxy: &Proxy, port: &Port, preserve_case: bool) {
        if port.protocol.is_http2() {
            return self.use_http2();
        }
        let sniffed = port.protocol.is_unsupported();
        if preserve_case && (sniffed || port.protocol.is_http()) {
            self.http().upstream_protocol_options = Some(explicit(
                options::explicit_http_config::ProtocolConfig::HttpProtocolOptions(preserve_case_options()),
            ));
        }
        if sniffed && matches!(proxy.kind, ProxyKind::Sidecar | ProxyKind::Waypoint) {
            self.use_downstream_protocol();
        }
    }

    /// Adds the TCP metadata exchange filter, for proxies that can load it.
    pub(super) fn add_metadata_exchange(&mut self, proxy: &Proxy, enabled: bool) {
        if enabled && proxy.capabilities.metadata_exchange {
            self.cluster.filters.push(filters::cluster_metadata_exchange());
        }
    }

    /// The finished message.
    pub(super) fn finish(mut self) -> Cluster {
        if let Some(mut http) = self.http.take() {
            http.upstream_protocol_options.get_or_insert_with(|| {
                explicit(options::explicit_http_config::ProtocolConfig::HttpProtocolOptions(
                    Http1ProtocolOptions::default(),
                ))
            });
            self.cluster.typed_extension_protocol_options.insert(HTTP_OPTIONS.into(), proto::any(&http));
        }
        self.cluster
    }
}

fn explicit(config: options::explicit_http_config::ProtocolConfig) -> options::UpstreamProtocolOptions {
    options::UpstreamProtocolOptions::ExplicitHttpConfig(options::ExplicitHttpConfig {
        protocol_config: Some(config),
    })
}

/// HTTP/1 options that keep the case of header names.
pub(crate) fn preserve_case_options() -> Http1ProtocolOptions {
    use http1_protocol_options::{HeaderKeyFormat, header_key_format::HeaderFormat};
    Http1ProtocolOptions {
        header_key_format: Some(HeaderKeyFormat {
            header_format: Some(HeaderFormat::StatefulFormatter(TypedExtensionConfig {
                name: "preserve_case".into(),
                typed_config: Some(proto::google::protobuf::Any {
                    type_url: "type.googleapis.com/envoy.extensions.http.header_formatters.preserve_case.v3.PreserveCaseFormatterConfig".into(),
                    value: bytes::Bytes::new(),
                }),
            })),
        }),
        ..Http1ProtocolOptions::default()
    }
}

/// Whether the proxy's config (or the mesh default) asks to keep the case of HTTP/1 headers.
pub(crate) fn preserves_case(proxy: &Proxy, mesh: &MeshConfig) -> bool {
    let config = proxy.config.as_deref().or(mesh.default_config.as_ref());
    config.and_then(|c| c.proxy_headers.as_ref()).and_then(|h| h.preserve_http1_header_case).unwrap_or(false)
}

/// A string value.
pub(super) fn string(text: impl Into<String>) -> Value {
    Value { kind: Some(Kind::StringValue(text.into())) }
}

/// The `services` entry of cluster metadata.
pub(super) fn service_metadata<'a>(services: impl IntoIterator<Item = &'a Service>) -> Value {
    let one = |s: &Service| Value {
        kind: Some(Kind::StructValue(Struct {
            fields: [
                ("host".to_owned(), string(s.key.hostname.as_str())),
                ("name".to_owned(), string(&*s.name)),
                ("namespace".to_owned(), string(&*s.key.namespace)),
            ]
            .into(),
        })),
    };
    Value { kind: Some(Kind::ListValue(ListValue { values: services.into_iter().map(one).collect() })) }
}

/// The prefix of a cluster's statistics with the delimiter that Envoy needs there.
pub(super) fn stat_name(pattern: &str, service: &Service, subset: &str, port: &Port, target: u32) -> String {
    stat_prefix(pattern, service, subset, port, target) + ";"
}

/// As pilot/pkg/networking/telemetry/telemetry.go: `BuildStatPrefix`.
pub(crate) fn stat_prefix(
    pattern: &str,
    service: &Service,
    subset: &str,
    port: &Port,
    target: u32,
) -> String {
    let kube = service.registry == Registry::Kubernetes;
    let host = service.key.hostname.as_str();
    let short = if kube { format!("{}.{}", service.name, service.key.namespace) } else { host.to_owned() };
    let name = if kube { &service.name } else { host };
    pattern
        .replace("%SERVICE%", &short)
        .replace("%SERVICE_NAME%", name)
        .replace("%SERVICE_FQDN%", host)
        .replace("%SUBSET_NAME%", subset)
        .replace("%TARGET_PORT%", &target.to_string())
        .replace("%SERVICE_PORT%", &port.number.to_string())
        .replace("%SERVICE_PORT_NAME%", &port.name)
}
