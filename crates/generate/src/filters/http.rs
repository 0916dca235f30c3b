//! HTTP filters that are the same everywhere (as pilot/pkg/xds/filters/filters.go).

use std::sync::LazyLock;

use proto::envoy::config::cluster::v3::cluster::DnsLookupFamily;
use proto::envoy::extensions::common::dynamic_forward_proxy::v3::DnsCacheConfig;
use proto::envoy::extensions::filters::http::cors::v3::Cors;
use proto::envoy::extensions::filters::http::dynamic_forward_proxy::v3 as forward;
use proto::envoy::extensions::filters::http::fault::v3::HttpFault;
use proto::envoy::extensions::filters::http::grpc_stats::v3::{
    FilterConfig, filter_config::PerMethodStatSpecifier,
};
use proto::envoy::extensions::filters::http::grpc_web::v3::GrpcWeb;
use proto::envoy::extensions::filters::http::router::v3::Router;
use proto::envoy::extensions::filters::http::stateful_session::v3::StatefulSession;
use proto::envoy::extensions::filters::network::http_connection_manager::v3::{
    HttpFilter, http_filter::ConfigType,
};
use proto::google::protobuf::value::Kind;
use proto::google::protobuf::{Any, BoolValue, ListValue, Struct, Value};
use proto::istio::envoy::config::filter::http::alpn::v2alpha1 as istio_alpn;

use super::{fields, typed_struct};

/// Type of istio/proxy's peer metadata filter.
const PEER_METADATA: &str = "type.googleapis.com/io.istio.http.peer_metadata.Config";

/// A filter in the chain.
pub(crate) fn filter<M: prost::Message + prost::Name>(name: &str, config: &M) -> HttpFilter {
    packed(name, proto::any(config))
}

fn packed(name: &str, any: Any) -> HttpFilter {
    HttpFilter { name: name.into(), config_type: Some(ConfigType::TypedConfig(any)), ..HttpFilter::default() }
}

pub(crate) static GRPC_STATS: LazyLock<HttpFilter> = LazyLock::new(|| {
    let all = PerMethodStatSpecifier::StatsForAllMethods(BoolValue { value: false });
    let config = FilterConfig {
        emit_filter_state: true,
        per_method_stat_specifier: Some(all),
        ..FilterConfig::default()
    };
    filter("envoy.filters.http.grpc_stats", &config)
});
pub(crate) static GRPC_WEB: LazyLock<HttpFilter> =
    LazyLock::new(|| filter("envoy.filters.http.grpc_web", &GrpcWeb::default()));
pub(crate) static FAULT: LazyLock<HttpFilter> =
    LazyLock::new(|| filter("envoy.filters.http.fault", &HttpFault::default()));
pub(crate) static CORS: LazyLock<HttpFilter> =
    LazyLock::new(|| filter("envoy.filters.http.cors", &Cors::default()));
pub(crate) static EMPTY_SESSION: LazyLock<HttpFilter> =
    LazyLock::new(|| filter("envoy.filters.http.stateful_session", &StatefulSession::default()));

/// What upstreams are offered in ALPN, by HTTP version.
pub(crate) static ALPN: LazyLock<HttpFilter> = LazyLock::new(|| {
    use istio_alpn::filter_config::{AlpnOverride, Protocol};
    let one = |protocol: Protocol, names: [&str; 3]| AlpnOverride {
        upstream_protocol: protocol.into(),
        alpn_override: names.map(str::to_owned).to_vec(),
    };
    let config = istio_alpn::FilterConfig {
        alpn_override: vec![
            one(Protocol::Http10, ["istio-http/1.0", "istio", "http/1.0"]),
            one(Protocol::Http11, ["istio-http/1.1", "istio", "http/1.1"]),
            one(Protocol::Http2, ["istio-h2", "istio", "h2"]),
        ],
    };
    filter("istio.alpn", &config)
});

fn empty(name: &str) -> Value {
    object([(name, Kind::StructValue(Struct::default()))])
}

fn object<const N: usize>(of: [(&str, Kind); N]) -> Value {
    Value { kind: Some(Kind::StructValue(fields(of))) }
}

fn list(values: Vec<Value>) -> Kind {
    Kind::ListValue(ListValue { values })
}

fn exchange(side: &str, propagation: Value) -> HttpFilter {
    let discovery = format!("{side}_discovery");
    let propagate = format!("{side}_propagation");
    let config = fields([
        (discovery.as_str(), list(vec![empty("istio_headers"), empty("workload_discovery")])),
        (propagate.as_str(), list(vec![propagation])),
    ]);
    packed("istio.metadata_exchange", typed_struct(PEER_METADATA, config))
}

/// Who calls, learned from headers.
pub(crate) static EXCHANGE_INBOUND: LazyLock<HttpFilter> =
    LazyLock::new(|| exchange("downstream", empty("istio_headers")));
/// Who is called.
pub(crate) static EXCHANGE_OUTBOUND: LazyLock<HttpFilter> =
    LazyLock::new(|| exchange("upstream", empty("istio_headers")));
/// The same, without telling those outside of the mesh.
pub(crate) static EXCHANGE_IN_MESH: LazyLock<HttpFilter> = LazyLock::new(|| {
    let skip = fields([("skip_external_clusters", Kind::BoolValue(true))]);
    exchange("upstream", object([("istio_headers", Kind::StructValue(skip))]))
});

/// The last filter.
pub(crate) fn router(suppress_envoy_headers: bool) -> HttpFilter {
    filter("envoy.filters.http.router", &Router { suppress_envoy_headers, ..Router::default() })
}

/// Looks hosts up per request, through a cache that the cluster shares by name.
pub(crate) fn dynamic_forward_proxy(cache: DnsCacheConfig) -> HttpFilter {
    let config = forward::FilterConfig {
        implementation_specifier: Some(forward::filter_config::ImplementationSpecifier::DnsCacheConfig(
            cache,
        )),
        ..forward::FilterConfig::default()
    };
    filter("envoy.filters.http.dynamic_forward_proxy", &config)
}

/// The cache of a wildcard service.
pub(crate) fn dns_cache(host: &str, family: DnsLookupFamily) -> DnsCacheConfig {
    DnsCacheConfig {
        name: format!("{host}{}", crate::clusters::fixed::DNS_CACHE_SUFFIX),
        dns_lookup_family: family.into(),
        ..DnsCacheConfig::default()
    }
}
