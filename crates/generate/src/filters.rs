//! Filters: network and HTTP filters with their place in the chain, chosen by what the proxy can load.

use std::sync::LazyLock;

use config::mesh::{ConnectionSettings, ExtensionProviderProvider, MeshConfig, ProxyConfig};
use config::telemetry::WorkloadMode;
use mesh::World;
use mesh::settings::Settings;
use proto::envoy::config::cluster::v3::Filter as ClusterFilter;
use proto::envoy::config::listener::v3::{Filter, filter};
use proto::envoy::extensions::filters::network::http_connection_manager::v3::{HttpFilter, http_filter};
use proto::google::protobuf::{Any, Duration, Struct, Value, value::Kind};
use tables::{Level, Reads};

use crate::authorization::Authorization;
use crate::encoded::duration;
use crate::provenance::{self, Origin};
use crate::proxy::Proxy;
use crate::telemetry::{self, Applicable, metrics};
use access_log::AccessLogs;
use headers::Headers;
use stock::StockMetrics;
use tracing::Traced;

mod access_log;
pub(crate) mod connection;
pub(crate) mod destinations;
pub(crate) mod hcm;
pub(crate) mod headers;
pub(crate) mod http;
pub(crate) mod inspect;
pub(crate) mod providers;
mod stock;
pub(crate) mod tcp;
mod tracing;

#[cfg(test)]
mod tests;

/// An extension of istio/proxy, which travels as a `TypedStruct` since its message is not Envoy's.
pub(crate) fn typed_struct(type_url: &str, value: Struct) -> Any {
    proto::any(&proto::udpa::r#type::v1::TypedStruct { type_url: type_url.into(), value: Some(value) })
}

/// A struct of fields.
pub(crate) fn fields<const N: usize>(fields: [(&str, Kind); N]) -> Struct {
    Struct { fields: fields.into_iter().map(|(k, v)| (k.to_owned(), Value { kind: Some(v) })).collect() }
}

fn exchange() -> Any {
    typed_struct(
        "type.googleapis.com/envoy.tcp.metadataexchange.config.MetadataExchange",
        fields([
            ("enable_discovery", Kind::BoolValue(true)),
            ("protocol", Kind::StringValue("istio-peer-exchange".into())),
        ]),
    )
}

/// TCP metadata exchange towards upstreams.
pub(crate) fn cluster_metadata_exchange() -> ClusterFilter {
    ClusterFilter {
        name: "istio.metadata_exchange".into(),
        typed_config: Some(exchange()),
        ..ClusterFilter::default()
    }
}

/// TCP metadata exchange with downstreams.
fn tcp_metadata_exchange() -> Filter {
    Filter {
        name: "istio.metadata_exchange".into(),
        config_type: Some(filter::ConfigType::TypedConfig(exchange())),
    }
}

/// Which side of a proxy a filter stands on (as pilot/pkg/networking: `ListenerClass`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Class {
    /// Towards the workload.
    SidecarInbound,
    /// From the workload.
    SidecarOutbound,
    /// Through a gateway.
    Gateway,
}

impl Class {
    fn mode(self) -> WorkloadMode {
        if self == Self::SidecarInbound { WorkloadMode::Server } else { WorkloadMode::Client }
    }
}

/// What the filter chains of one class of one proxy have in common, read once per build: proxy configuration, telemetry.
/// Make one with [`Filters::of`], then ask it for [`Filters::manager`] and [`Filters::tcp_proxy_chain`].
pub(crate) struct Filters<'a> {
    proxy: &'a Proxy,
    settings: &'a Settings,
    class: Class,
    /// Headers that proxies write about themselves.
    pub(crate) headers: Headers,
    /// `connectionSettings` in force.
    pub(crate) connection: Option<ConnectionSettings>,
    idle_timeout: Option<Duration>,
    /// Access logs.
    pub(crate) logs: AccessLogs,
    traced: Traced,
    http_metrics: Vec<HttpFilter>,
    tcp_metrics: Vec<Filter>,
    stock: Option<StockMetrics<'a>>,
    authorization: Authorization,
}

impl<'a> Filters<'a> {
    /// Reads what applies to `proxy` (outbound or full form).
    pub(crate) fn of<L: Level>(r: &Reads<L>, world: &'a World, proxy: &'a Proxy, class: Class) -> Self {
        let settings = crate::settings(r, world);
        let mesh = &*settings.mesh;
        let applicable = Applicable::of(r, world, proxy);
        let mut out = Self {
            proxy,
            settings,
            class,
            headers: Headers::of(config_of(proxy, mesh), class),
            connection: connection::settings(proxy, mesh),
            idle_timeout: proxy.meta("IDLE_TIMEOUT").and_then(|t| t.parse().ok()).map(duration),
            logs: AccessLogs::of(r, world, &applicable, mesh, class.mode()),
            traced: tracing::of(r, world, proxy, &applicable, class.mode()),
            http_metrics: Vec::new(),
            tcp_metrics: Vec::new(),
            stock: None,
            authorization: match class {
                Class::SidecarOutbound => Authorization::default(),
                Class::SidecarInbound | Class::Gateway => Authorization::of(r, world, proxy),
            },
        };
        out.measure(&applicable, mesh);
        provenance::notes(r, |say| defaults(&applicable, mesh, say));
        out
    }

    /// Metrics: `istio.stats` per Prometheus provider; a stock proxy has Istio's metrics unless they are disabled.
    fn measure(&mut self, applicable: &Applicable<'a>, mesh: &'a MeshConfig) {
        let can = self.proxy.capabilities.stats;
        let mut defaults: Vec<&str> =
            mesh.default_providers.iter().flat_map(|d| d.metrics.iter().map(String::as_str)).collect();
        if !can && defaults.is_empty() {
            defaults.push(PROMETHEUS);
        }
        let server = self.class == Class::SidecarInbound;
        for (name, provider) in metrics::merge(&applicable.metrics, &defaults) {
            let side = if server { provider.server } else { provider.client };
            let known = telemetry::provider(mesh, name);
            let measures = match known.and_then(|p| p.provider.as_ref()) {
                Some(kind) => matches!(kind, ExtensionProviderProvider::Prometheus(_)),
                None => !can && name == PROMETHEUS,
            };
            if !measures || side.disabled {
                continue;
            }
            if can {
                let any = proto::any(&stats(&side, self.class, provider.interval));
                self.http_metrics.push(HttpFilter {
                    name: STATS.into(),
                    config_type: Some(http_filter::ConfigType::TypedConfig(any.clone())),
                    ..HttpFilter::default()
                });
                self.tcp_metrics.push(Filter {
                    name: STATS.into(),
                    config_type: Some(filter::ConfigType::TypedConfig(any)),
                });
            } else if self.stock.is_none() {
                self.stock = Some(StockMetrics { class: self.class, side, interval: provider.interval });
            }
        }
    }
}

/// Says what MeshConfig asks for where no Telemetry does.
fn defaults(applicable: &Applicable<'_>, mesh: &MeshConfig, say: &mut dyn FnMut(&str, Origin)) {
    let of = mesh.default_providers.as_ref();
    if applicable.logging.is_empty() {
        if of.is_some_and(|d| !d.access_logging.is_empty()) {
            say("access_log", Origin::mesh("defaultProviders.accessLogging"));
        } else if !mesh.access_log_file.is_empty() {
            say("access_log", Origin::mesh("accessLogFile"));
        }
    }
    if applicable.tracing.is_empty() {
        if of.is_some_and(|d| !d.tracing.is_empty()) {
            say("tracing", Origin::mesh("defaultProviders.tracing"));
        } else if mesh.enable_tracing {
            say("tracing", Origin::mesh("enableTracing"));
        }
    }
}

const STATS: &str = "istio.stats";
/// The provider that every mesh has in mind.
const PROMETHEUS: &str = "prometheus";

/// As pilot/pkg/model/telemetry.go: `generateStatsConfig`.
fn stats(
    side: &metrics::Side<'_>,
    class: Class,
    interval: Option<config::Duration>,
) -> proto::stats::PluginConfig {
    let metric = |(name, change): (&&str, &metrics::Change<'_>)| {
        let mut out = proto::stats::MetricConfig {
            name: metrics::prometheus(name).into(),
            drop: change.disabled,
            ..proto::stats::MetricConfig::default()
        };
        for (label, value) in &change.tags {
            match value {
                Some(value) => drop(out.dimensions.insert((*label).into(), (*value).into())),
                None => out.tags_to_remove.push((*label).into()),
            }
        }
        out
    };
    proto::stats::PluginConfig {
        disable_host_header_fallback: class != Class::SidecarOutbound,
        tcp_reporting_duration: interval.map(duration),
        metrics: side.overrides.iter().map(metric).collect(),
        ..proto::stats::PluginConfig::default()
    }
}

/// The proxy configuration in force: the proxy's own, else the mesh's default.
pub(crate) fn config_of<'a>(proxy: &'a Proxy, mesh: &'a MeshConfig) -> &'a ProxyConfig {
    static NONE: LazyLock<ProxyConfig> = LazyLock::new(ProxyConfig::default);
    proxy.config.as_deref().or(mesh.default_config.as_ref()).unwrap_or(&NONE)
}
