//! OpenTelemetry as tracing provider.

use config::mesh::{DynatraceSampler, OpenTelemetryTracingProvider, Sampling, ServiceAttributeEnrichment};
use mesh::World;
use proto::envoy::config::core::v3::{
    HttpService, HttpUri, TypedExtensionConfig, http_uri::HttpUpstreamType,
};
use proto::envoy::config::trace::v3::OpenTelemetryConfig;
use proto::envoy::extensions::tracers::opentelemetry::resource_detectors::v3::{
    DynatraceResourceDetectorConfig, EnvironmentResourceDetectorConfig,
};
use proto::envoy::extensions::tracers::opentelemetry::samplers::v3::DynatraceSamplerConfig;
use tables::{Level, Reads};

use super::super::providers;
use super::{added, grpc, written};
use crate::encoded::duration;
use crate::proxy::Proxy;

/// As `otelConfig`; `None` where a service is unknown.
pub(super) fn config<L: Level>(
    r: &Reads<L>,
    world: &World,
    proxy: &Proxy,
    otel: &OpenTelemetryTracingProvider,
    producer: String,
) -> Option<OpenTelemetryConfig> {
    let (host, cluster) = providers::lookup(r, world, &otel.service, otel.port)?;
    let semantic = otel.service_attribute_enrichment == ServiceAttributeEnrichment::OtelSemanticConventions;
    let mut out = OpenTelemetryConfig {
        service_name: if semantic { service_name(proxy) } else { producer },
        ..OpenTelemetryConfig::default()
    };
    match &otel.http {
        Some(http) => out.http_service = Some(service(join(&host, &http.path), cluster.clone(), http)),
        None => {
            let mut service = grpc(cluster.clone(), host.clone());
            if let Some(said) = &otel.grpc {
                service.timeout = said.timeout.map(duration);
                service.initial_metadata = said.initial_metadata.iter().filter_map(written).collect();
            }
            out.grpc_service = Some(service);
        }
    }
    let detectors = otel.resource_detectors.as_ref();
    if semantic || detectors.is_some_and(|d| d.environment.is_some()) {
        out.resource_detectors.push(TypedExtensionConfig {
            name: "envoy.tracers.opentelemetry.resource_detectors.environment".into(),
            typed_config: Some(proto::any(&EnvironmentResourceDetectorConfig::default())),
        });
    }
    if detectors.is_some_and(|d| d.dynatrace.is_some()) {
        let dynatrace = TypedExtensionConfig {
            name: "envoy.tracers.opentelemetry.resource_detectors.dynatrace".into(),
            typed_config: Some(proto::any(&DynatraceResourceDetectorConfig::default())),
        };
        let said = detectors.is_some_and(|d| d.environment.is_some());
        // An environment detector that only the conventions ask for comes last.
        let at = if said { out.resource_detectors.len() } else { 0 };
        out.resource_detectors.insert(at, dynatrace);
    }
    if let Some(Sampling::DynatraceSampler(sampler)) = &otel.sampling {
        out.sampler = Some(dynatrace(r, world, otel, sampler, (&host, &cluster))?);
    }
    Some(out)
}

/// The application's name where it has one, else the workload's (as `otelServiceName`).
fn service_name(proxy: &Proxy) -> String {
    let own = proxy.own.clone().unwrap_or_default();
    let found = ["app.kubernetes.io/instance", "app.kubernetes.io/name"].map(|l| own.label(l).to_owned());
    found.into_iter().find(|v| !v.is_empty()).unwrap_or_else(|| own.workload.to_string())
}

fn dynatrace<L: Level>(
    r: &Reads<L>,
    world: &World,
    otel: &OpenTelemetryTracingProvider,
    sampler: &DynatraceSampler,
    (host, cluster): (&str, &str),
) -> Option<TypedExtensionConfig> {
    let http_service = match &sampler.http_service {
        None => {
            let uri = join(host, "api/v2/samplingConfiguration");
            service(uri, cluster.to_owned(), otel.http.as_ref()?)
        }
        Some(api) => {
            let (host, cluster) = providers::lookup(r, world, &api.service, api.port)?;
            let http = api.http.as_ref()?;
            service(join(&host, &http.path), cluster, http)
        }
    };
    let config = DynatraceSamplerConfig {
        tenant: sampler.tenant.clone(),
        cluster_id: sampler.cluster_id,
        root_spans_per_minute: sampler.root_spans_per_minute,
        http_service: Some(http_service),
    };
    Some(TypedExtensionConfig {
        name: "envoy.tracers.opentelemetry.samplers.dynatrace".into(),
        typed_config: Some(proto::any(&config)),
    })
}

fn service(uri: String, cluster: String, said: &config::mesh::HttpService) -> HttpService {
    HttpService {
        http_uri: Some(HttpUri {
            uri,
            http_upstream_type: Some(HttpUpstreamType::Cluster(cluster)),
            timeout: said.timeout.map(duration),
        }),
        request_headers_to_add: said.headers.iter().filter_map(added).collect(),
        ..HttpService::default()
    }
}

fn join(host: &str, path: &str) -> String {
    format!("{host}/{}", path.trim_start_matches('/'))
}
