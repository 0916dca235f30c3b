//! Tracing of HTTP connection managers (as pilot/pkg/networking/core/tracing.go).

use config::mesh::{
    ExtensionProvider, ExtensionProviderProvider as Kind, MeshConfig, ProxyConfig, TraceContextOption,
    Type as ProxyTag, ZipkinTracingProvider,
};
use config::telemetry::{CustomTag as TelemetryTag, Type as PolicyTag, WorkloadMode};
use mesh::World;
use proto::envoy::config::core::v3::{
    GrpcService, HeaderValue, HeaderValueOption, HttpService, HttpUri, grpc_service,
    header_value_option::HeaderAppendAction, http_uri::HttpUpstreamType,
};
use proto::envoy::config::trace::v3::{
    DatadogConfig, SkyWalkingConfig, ZipkinConfig, tracing, zipkin_config,
};
use proto::envoy::extensions::filters::network::http_connection_manager::v3::http_connection_manager::Tracing;
use proto::envoy::r#type::metadata::v3::{MetadataKey, MetadataKind, metadata_key, metadata_kind};
use proto::envoy::r#type::tracing::v3::{CustomTag, custom_tag};
use proto::envoy::r#type::v3::Percent;
use proto::google::protobuf::Any;
use tables::{Level, Reads};

use super::{config_of, providers};
use crate::encoded::{bool_value, duration, seconds, u32_value};
use crate::proxy::{Proxy, ProxyKind};
use crate::telemetry::{self, Applicable};

mod otel;

/// Tracing of a class, and whether the request id decides sampling.
#[derive(Clone, Debug)]
pub(crate) struct Traced {
    /// `None` for no tracing.
    pub(crate) tracing: Option<Tracing>,
    /// `useRequestIdForTraceSampling`.
    pub(crate) by_request_id: bool,
}

/// What the policies say for one side (as `Telemetries.Tracing`).
struct Spec<'a> {
    provider: Option<&'a ExtensionProvider>,
    disabled: bool,
    sampling: Option<f64>,
    tags: Vec<(&'a String, &'a TelemetryTag)>,
    by_request_id: bool,
    istio_tags: bool,
    no_propagation: bool,
}

/// The tracing of one side of a proxy.
pub(crate) fn of<L: Level>(
    r: &Reads<L>,
    world: &World,
    proxy: &Proxy,
    applicable: &Applicable<'_>,
    mode: WorkloadMode,
) -> Traced {
    let settings = crate::settings(r, world);
    let mesh = &*settings.mesh;
    let config = config_of(proxy, mesh);
    let fallback = settings.switches.pilot_trace_sampling;
    let none = Traced { tracing: None, by_request_id: true };
    let Some(spec) = spec(applicable, mesh, mode) else {
        if !mesh.enable_tracing {
            return none;
        }
        let istio_tags = config.tracing.as_ref().and_then(|t| t.enable_istio_tags).unwrap_or(true);
        let mut tracing = sampled(Tracing::default(), config_sampling(config, fallback));
        tracing.custom_tags = tags(proxy, config, istio_tags, &[]);
        limit_path(&mut tracing, config);
        return Traced { tracing: Some(tracing), by_request_id: true };
    };
    let Some(provider) = spec.provider.filter(|_| !spec.disabled) else { return none };
    let Some(mut tracing) = of_provider(r, world, proxy, provider) else { return none };
    let sampler = matches!(&provider.provider, Some(Kind::Opentelemetry(o)) if o.sampling.is_some());
    let sampling =
        if sampler { 100.0 } else { spec.sampling.unwrap_or_else(|| config_sampling(config, fallback)) };
    tracing = sampled(tracing, sampling);
    tracing.custom_tags = tags(proxy, config, spec.istio_tags, &spec.tags);
    if tracing.max_path_tag_length.is_none() {
        limit_path(&mut tracing, config);
    }
    tracing.no_context_propagation = spec.no_propagation && proxy.version >= (1, 30, 0);
    Traced { tracing: Some(tracing), by_request_id: spec.by_request_id }
}

fn spec<'a>(applicable: &Applicable<'a>, mesh: &'a MeshConfig, mode: WorkloadMode) -> Option<Spec<'a>> {
    let default = mesh.default_providers.as_ref().and_then(|d| d.tracing.first());
    if applicable.tracing.is_empty() && default.is_none() {
        return None;
    }
    let mut out = Spec {
        provider: default.and_then(|name| telemetry::provider(mesh, name)),
        disabled: false,
        sampling: None,
        tags: Vec::new(),
        by_request_id: true,
        istio_tags: true,
        no_propagation: false,
    };
    for entry in &applicable.tracing {
        let said = entry.r#match.as_ref().map_or(WorkloadMode::ClientAndServer, |m| m.mode);
        if said != WorkloadMode::ClientAndServer && said != mode {
            continue;
        }
        if let Some(first) = entry.providers.first() {
            out.provider = telemetry::provider(mesh, &first.name);
        }
        out.disabled = entry.disable_span_reporting.unwrap_or(out.disabled);
        if !entry.custom_tags.is_empty() {
            out.tags = entry.custom_tags.iter().collect();
        }
        out.sampling = entry.random_sampling_percentage.or(out.sampling);
        out.by_request_id = entry.use_request_id_for_trace_sampling.unwrap_or(out.by_request_id);
        out.istio_tags = entry.enable_istio_tags.unwrap_or(out.istio_tags);
        out.no_propagation = entry.disable_context_propagation.unwrap_or(out.no_propagation);
    }
    Some(out)
}

fn limit_path(tracing: &mut Tracing, config: &ProxyConfig) {
    if let Some(limit) = config.tracing.as_ref().map(|t| t.max_path_tag_length).filter(|l| *l != 0) {
        tracing.max_path_tag_length = u32_value(limit);
    }
}

fn config_sampling(config: &ProxyConfig, fallback: f64) -> f64 {
    match config.tracing.as_ref().map(|t| t.sampling) {
        Some(s) if s > 100.0 => 1.0,
        Some(s) if s != 0.0 => s,
        _ => fallback,
    }
}

fn sampled(tracing: Tracing, random: f64) -> Tracing {
    let percent = |value| Some(Percent { value });
    Tracing {
        client_sampling: percent(100.0),
        overall_sampling: percent(100.0),
        random_sampling: percent(random),
        ..tracing
    }
}

fn literal(tag: &str, value: &str) -> CustomTag {
    let literal = custom_tag::Literal { value: value.into() };
    CustomTag { tag: tag.into(), r#type: Some(custom_tag::Type::Literal(literal)), ..CustomTag::default() }
}

/// A tag out of what dry-run authorization left behind.
fn dry_run(tag: &str, key: &str) -> CustomTag {
    let segment = metadata_key::path_segment::Segment::Key(key.into());
    let metadata = custom_tag::Metadata {
        kind: Some(MetadataKind { kind: Some(metadata_kind::Kind::Request(metadata_kind::Request {})) }),
        metadata_key: Some(MetadataKey {
            key: "envoy.filters.http.rbac".into(),
            path: vec![metadata_key::PathSegment { segment: Some(segment) }],
        }),
        ..custom_tag::Metadata::default()
    };
    CustomTag { tag: tag.into(), r#type: Some(custom_tag::Type::Metadata(metadata)), ..CustomTag::default() }
}

/// Istio's tags, then those of the policy, or of the proxy configuration, sorted by name.
fn tags(
    proxy: &Proxy,
    config: &ProxyConfig,
    istio: bool,
    own: &[(&String, &TelemetryTag)],
) -> Vec<CustomTag> {
    let or =
        |value: &str, default: &str| if value.is_empty() { default.to_owned() } else { value.to_owned() };
    let mut out = Vec::new();
    if istio {
        let own = proxy.own.clone().unwrap_or_default();
        let label = |name: &str| own.label(name).to_owned();
        out.extend([
            literal("istio.canonical_revision", &or(&label("service.istio.io/canonical-revision"), "latest")),
            literal("istio.canonical_service", &or(&label("service.istio.io/canonical-name"), "unknown")),
            literal("istio.mesh_id", &or(&proxy.mesh_id, "unknown")),
            literal("istio.namespace", &or(&proxy.namespace, "default")),
            literal("istio.cluster_id", &or(&proxy.cluster, "unknown")),
        ]);
        let policy = "istio.authorization.dry_run.";
        let state = "istio_dry_run_";
        for side in ["allow", "deny"] {
            out.push(dry_run(
                &format!("{policy}{side}_policy.name"),
                &format!("{state}{side}_shadow_effective_policy_id"),
            ));
            out.push(dry_run(
                &format!("{policy}{side}_policy.result"),
                &format!("{state}{side}_shadow_engine_result"),
            ));
        }
    }
    let tag = |name: &str, kind| CustomTag { tag: name.into(), r#type: Some(kind), ..CustomTag::default() };
    if own.is_empty() {
        let said = config.tracing.iter().flat_map(|t| &t.custom_tags);
        out.extend(said.filter_map(|(name, t)| Some(tag(name, of_config(t.r#type.as_ref()?)))));
    } else {
        let new = proxy.version >= (1, 29, 0);
        out.extend(own.iter().filter_map(|(name, t)| Some(tag(name, of_policy(t.r#type.as_ref()?, new)?))));
    }
    out.sort_by(|a, b| a.tag.cmp(&b.tag));
    out
}

fn environment(name: &str, default: &str) -> custom_tag::Type {
    custom_tag::Type::Environment(custom_tag::Environment {
        name: name.into(),
        default_value: default.into(),
    })
}

fn header(name: &str, default: &str) -> custom_tag::Type {
    custom_tag::Type::RequestHeader(custom_tag::Header { name: name.into(), default_value: default.into() })
}

fn of_config(tag: &ProxyTag) -> custom_tag::Type {
    match tag {
        ProxyTag::Literal(l) => custom_tag::Type::Literal(custom_tag::Literal { value: l.value.clone() }),
        ProxyTag::Environment(e) => environment(&e.name, &e.default_value),
        ProxyTag::Header(h) => header(&h.name, &h.default_value),
    }
}

fn of_policy(tag: &PolicyTag, formatters: bool) -> Option<custom_tag::Type> {
    Some(match tag {
        PolicyTag::Literal(l) => custom_tag::Type::Literal(custom_tag::Literal { value: l.value.clone() }),
        PolicyTag::Environment(e) => environment(&e.name, &e.default_value),
        PolicyTag::Header(h) => header(&h.name, &h.default_value),
        PolicyTag::Formatter(f) if formatters => custom_tag::Type::Value(f.value.clone()),
        PolicyTag::Formatter(_) => return None,
    })
}

/// As `configureFromProviderConfig`; `None` where the provider does not trace or its service is unknown.
fn of_provider<L: Level>(
    r: &Reads<L>,
    world: &World,
    proxy: &Proxy,
    of: &ExtensionProvider,
) -> Option<Tracing> {
    let mut child = proxy.kind == ProxyKind::Router;
    let producer = proxy.own.as_ref().map_or_else(String::new, |own| own.service_cluster.to_string());
    let (name, limit, any): (&str, u32, Any) = match of.provider.as_ref()? {
        Kind::Zipkin(zipkin) => {
            let (host, cluster) = providers::lookup(r, world, &zipkin.service, zipkin.port)?;
            (
                "envoy.tracers.zipkin",
                zipkin.max_tag_length,
                proto::any(&of_zipkin(proxy, zipkin, &host, cluster)),
            )
        }
        Kind::Datadog(datadog) => {
            let (host, cluster) = providers::lookup(r, world, &datadog.service, datadog.port)?;
            let config = DatadogConfig {
                collector_cluster: cluster,
                service_name: producer,
                collector_hostname: host,
                ..DatadogConfig::default()
            };
            ("envoy.tracers.datadog", datadog.max_tag_length, proto::any(&config))
        }
        Kind::Skywalking(sky) => {
            let (host, cluster) = providers::lookup(r, world, &sky.service, sky.port)?;
            child = true;
            let config =
                SkyWalkingConfig { grpc_service: Some(grpc(cluster, host)), ..SkyWalkingConfig::default() };
            ("envoy.tracers.skywalking", 0, proto::any(&config))
        }
        Kind::Opentelemetry(otel) => {
            let config = otel::config(r, world, proxy, otel, producer)?;
            ("envoy.tracers.opentelemetry", otel.max_tag_length, proto::any(&config))
        }
        _ => return None,
    };
    Some(Tracing {
        spawn_upstream_span: child.then_some(()).and_then(|()| bool_value(true)),
        provider: Some(tracing::Http {
            name: name.into(),
            config_type: Some(tracing::http::ConfigType::TypedConfig(any)),
        }),
        max_path_tag_length: (limit != 0).then_some(()).and_then(|()| u32_value(limit)),
        ..Tracing::default()
    })
}

fn grpc(cluster: String, authority: String) -> GrpcService {
    let envoy =
        grpc_service::EnvoyGrpc { cluster_name: cluster, authority, ..grpc_service::EnvoyGrpc::default() };
    GrpcService {
        target_specifier: Some(grpc_service::TargetSpecifier::EnvoyGrpc(envoy)),
        ..GrpcService::default()
    }
}

fn of_zipkin(proxy: &Proxy, zipkin: &ZipkinTracingProvider, host: &str, cluster: String) -> ZipkinConfig {
    let path = if zipkin.path.is_empty() { "/api/v2/spans" } else { &zipkin.path };
    let mut out = ZipkinConfig {
        collector_endpoint_version: zipkin_config::CollectorEndpointVersion::HttpJson.into(),
        trace_id_128bit: !zipkin.enable_64bit_trace_id,
        shared_span_context: bool_value(false),
        ..ZipkinConfig::default()
    };
    if proxy.version >= (1, 29, 0) {
        out.collector_service = Some(HttpService {
            http_uri: Some(HttpUri {
                uri: format!("http://{host}{path}"),
                http_upstream_type: Some(HttpUpstreamType::Cluster(cluster)),
                timeout: Some(zipkin.timeout.map_or_else(|| seconds(5), duration)),
            }),
            request_headers_to_add: zipkin.headers.iter().filter_map(added).collect(),
            ..HttpService::default()
        });
    } else {
        out.collector_cluster = cluster;
        out.collector_endpoint = path.into();
        out.collector_hostname = host.into();
    }
    if proxy.version >= (1, 28, 0)
        && zipkin.trace_context_option == TraceContextOption::UseB3WithW3cPropagation
    {
        out.trace_context_option = zipkin_config::TraceContextOption::UseB3WithW3cPropagation.into();
    }
    out
}

/// A header of requests to a collector. Headers out of the control plane's environment are not known here.
fn added(header: &config::mesh::HttpHeader) -> Option<HeaderValueOption> {
    Some(HeaderValueOption {
        header: Some(written(header)?),
        append_action: HeaderAppendAction::OverwriteIfExistsOrAdd.into(),
        ..HeaderValueOption::default()
    })
}

fn written(header: &config::mesh::HttpHeader) -> Option<HeaderValue> {
    match header.header_value.as_ref()? {
        config::mesh::HeaderValue::Value(value) => {
            Some(HeaderValue { key: header.name.clone(), value: value.clone(), ..HeaderValue::default() })
        }
        config::mesh::HeaderValue::EnvName(_) => None,
    }
}
