//! The provider declarations of the mesh configuration: what its fields are and how they are read.

use std::collections::BTreeMap;

use crate::decode::schema::{spec, spec_enum, spec_oneof};
use crate::duration::Duration;
use crate::value::Value;

spec! {
    /// `MeshConfig.ExtensionProvider` of the mesh configuration.
    pub struct ExtensionProvider {
        name: String,
    } oneof {
        provider: ExtensionProviderProvider,
    }
}

spec_oneof! {
    /// The one choice of `provider` in `MeshConfig.ExtensionProvider` of the mesh configuration.
    pub enum ExtensionProviderProvider {
        EnvoyExtAuthzHttp(EnvoyExternalAuthorizationHttpProvider): envoy_ext_authz_http,
        EnvoyExtAuthzGrpc(EnvoyExternalAuthorizationGrpcProvider): envoy_ext_authz_grpc,
        Zipkin(ZipkinTracingProvider): zipkin,
        Lightstep(LightstepTracingProvider): lightstep,
        Datadog(DatadogTracingProvider): datadog,
        Stackdriver(StackdriverProvider): stackdriver,
        Opencensus(OpenCensusAgentTracingProvider): opencensus,
        Skywalking(SkyWalkingTracingProvider): skywalking,
        Opentelemetry(OpenTelemetryTracingProvider): opentelemetry,
        Prometheus(PrometheusMetricsProvider): prometheus,
        EnvoyFileAccessLog(EnvoyFileAccessLogProvider): envoy_file_access_log,
        EnvoyHttpAls(EnvoyHttpGrpcV3LogProvider): envoy_http_als,
        EnvoyTcpAls(EnvoyTcpGrpcV3LogProvider): envoy_tcp_als,
        EnvoyOtelAls(EnvoyOpenTelemetryLogProvider): envoy_otel_als,
        Sds(SdsProvider): sds,
    }
}

spec! {
    /// `MeshConfig.ExtensionProvider.EnvoyExternalAuthorizationRequestBody` of the mesh configuration.
    pub struct EnvoyExternalAuthorizationRequestBody {
        max_request_bytes: u32,
        allow_partial_message: bool,
        pack_as_bytes: bool,
    }
}

spec! {
    /// `MeshConfig.ExtensionProvider.EnvoyExternalAuthorizationHttpProvider` of the mesh configuration.
    pub struct EnvoyExternalAuthorizationHttpProvider {
        service: String,
        port: u32,
        timeout: Option<Duration>,
        path_prefix: String,
        fail_open: bool,
        clear_route_cache: bool,
        status_on_error: String,
        include_headers_in_check: Vec<String>,
        include_request_headers_in_check: Vec<String>,
        include_additional_headers_in_check: BTreeMap<String, String>,
        include_request_body_in_check: Option<EnvoyExternalAuthorizationRequestBody>,
        headers_to_upstream_on_allow: Vec<String>,
        headers_to_downstream_on_deny: Vec<String>,
        headers_to_downstream_on_allow: Vec<String>,
    }
}

spec! {
    /// `MeshConfig.ExtensionProvider.EnvoyExternalAuthorizationGrpcProvider` of the mesh configuration.
    pub struct EnvoyExternalAuthorizationGrpcProvider {
        service: String,
        port: u32,
        timeout: Option<Duration>,
        fail_open: bool,
        clear_route_cache: bool,
        status_on_error: String,
        include_request_body_in_check: Option<EnvoyExternalAuthorizationRequestBody>,
    }
}

spec! {
    /// `MeshConfig.ExtensionProvider.ZipkinTracingProvider` of the mesh configuration.
    pub struct ZipkinTracingProvider {
        service: String,
        port: u32,
        max_tag_length: u32,
        enable_64bit_trace_id: bool,
        path: String,
        trace_context_option: TraceContextOption,
        timeout: Option<Duration>,
        headers: Vec<HttpHeader>,
    }
}

spec_enum! {
    /// `MeshConfig.ExtensionProvider.ZipkinTracingProvider.TraceContextOption` of the mesh configuration.
    pub enum TraceContextOption {
        UseB3 = 0 "USE_B3",
        UseB3WithW3cPropagation = 1 "USE_B3_WITH_W3C_PROPAGATION",
    }
}

spec! {
    /// `MeshConfig.ExtensionProvider.LightstepTracingProvider` of the mesh configuration.
    pub struct LightstepTracingProvider {
        service: String,
        port: u32,
        access_token: String,
        max_tag_length: u32,
    }
}

spec! {
    /// `MeshConfig.ExtensionProvider.DatadogTracingProvider` of the mesh configuration.
    pub struct DatadogTracingProvider {
        service: String,
        port: u32,
        max_tag_length: u32,
    }
}

spec! {
    /// `MeshConfig.ExtensionProvider.SkyWalkingTracingProvider` of the mesh configuration.
    pub struct SkyWalkingTracingProvider {
        service: String,
        port: u32,
        access_token: String,
    }
}

spec! {
    /// `MeshConfig.ExtensionProvider.StackdriverProvider` of the mesh configuration.
    pub struct StackdriverProvider {
        debug: bool,
        max_number_of_attributes: Option<i64>,
        max_number_of_annotations: Option<i64>,
        max_number_of_message_events: Option<i64>,
        max_tag_length: u32,
        logging: Option<Logging>,
    }
}

spec! {
    /// `MeshConfig.ExtensionProvider.StackdriverProvider.Logging` of the mesh configuration.
    pub struct Logging {
        labels: BTreeMap<String, String>,
    }
}

spec! {
    /// `MeshConfig.ExtensionProvider.OpenCensusAgentTracingProvider` of the mesh configuration.
    pub struct OpenCensusAgentTracingProvider {
        service: String,
        port: u32,
        context: Vec<OpenCensusAgentTracingProviderTraceContext>,
        max_tag_length: u32,
    }
}

spec_enum! {
    /// `MeshConfig.ExtensionProvider.OpenCensusAgentTracingProvider.TraceContext` of the mesh configuration.
    pub enum OpenCensusAgentTracingProviderTraceContext {
        Unspecified = 0 "UNSPECIFIED",
        W3cTraceContext = 1 "W3C_TRACE_CONTEXT",
        GrpcBin = 2 "GRPC_BIN",
        CloudTraceContext = 3 "CLOUD_TRACE_CONTEXT",
        B3 = 4 "B3",
    }
}

spec! {
    /// `MeshConfig.ExtensionProvider.PrometheusMetricsProvider` of the mesh configuration.
    pub struct PrometheusMetricsProvider {
    }
}

spec! {
    /// `MeshConfig.ExtensionProvider.EnvoyFileAccessLogProvider` of the mesh configuration.
    pub struct EnvoyFileAccessLogProvider {
        path: String,
        log_format: Option<EnvoyFileAccessLogProviderLogFormat>,
        omit_empty_values: bool,
    }
}

spec! {
    /// `MeshConfig.ExtensionProvider.EnvoyFileAccessLogProvider.LogFormat` of the mesh configuration.
    pub struct EnvoyFileAccessLogProviderLogFormat {
    } oneof {
        log_format: EnvoyFileAccessLogProviderLogFormatLogFormat,
    }
}

spec_oneof! {
    /// The one choice of `log_format` in `MeshConfig.ExtensionProvider.EnvoyFileAccessLogProvider.LogFormat` of the mesh configuration.
    pub enum EnvoyFileAccessLogProviderLogFormatLogFormat {
        Text(String): text,
        Labels(Value): labels,
    }
}

spec! {
    /// `MeshConfig.ExtensionProvider.EnvoyHttpGrpcV3LogProvider` of the mesh configuration.
    pub struct EnvoyHttpGrpcV3LogProvider {
        service: String,
        port: u32,
        log_name: String,
        filter_state_objects_to_log: Vec<String>,
        additional_request_headers_to_log: Vec<String>,
        additional_response_headers_to_log: Vec<String>,
        additional_response_trailers_to_log: Vec<String>,
    }
}

spec! {
    /// `MeshConfig.ExtensionProvider.EnvoyTcpGrpcV3LogProvider` of the mesh configuration.
    pub struct EnvoyTcpGrpcV3LogProvider {
        service: String,
        port: u32,
        log_name: String,
        filter_state_objects_to_log: Vec<String>,
    }
}

spec! {
    /// `MeshConfig.ExtensionProvider.EnvoyOpenTelemetryLogProvider` of the mesh configuration.
    pub struct EnvoyOpenTelemetryLogProvider {
        service: String,
        port: u32,
        log_name: String,
        log_format: Option<EnvoyOpenTelemetryLogProviderLogFormat>,
    }
}

spec! {
    /// `MeshConfig.ExtensionProvider.EnvoyOpenTelemetryLogProvider.LogFormat` of the mesh configuration.
    pub struct EnvoyOpenTelemetryLogProviderLogFormat {
        text: String,
        labels: Option<Value>,
    }
}

spec! {
    /// `MeshConfig.ExtensionProvider.OpenTelemetryTracingProvider` of the mesh configuration.
    pub struct OpenTelemetryTracingProvider {
        service: String,
        port: u32,
        max_tag_length: u32,
        http: Option<HttpService>,
        grpc: Option<GrpcService>,
        resource_detectors: Option<ResourceDetectors>,
        service_attribute_enrichment: ServiceAttributeEnrichment,
    } oneof {
        sampling: Sampling,
    }
}

spec_oneof! {
    /// The one choice of `sampling` in `MeshConfig.ExtensionProvider.OpenTelemetryTracingProvider` of the mesh configuration.
    pub enum Sampling {
        DynatraceSampler(DynatraceSampler): dynatrace_sampler,
    }
}

spec! {
    /// `MeshConfig.ExtensionProvider.OpenTelemetryTracingProvider.DynatraceSampler` of the mesh configuration.
    pub struct DynatraceSampler {
        tenant: String,
        cluster_id: i32,
        root_spans_per_minute: u32,
        http_service: Option<DynatraceApi>,
    }
}

spec! {
    /// `MeshConfig.ExtensionProvider.OpenTelemetryTracingProvider.DynatraceSampler.DynatraceApi` of the mesh configuration.
    pub struct DynatraceApi {
        service: String,
        port: u32,
        http: Option<HttpService>,
    }
}

spec! {
    /// `MeshConfig.ExtensionProvider.SDSProvider` of the mesh configuration.
    pub struct SdsProvider {
        name: String,
        service: String,
        port: u32,
    }
}

spec! {
    /// `MeshConfig.ExtensionProvider.HttpService` of the mesh configuration.
    pub struct HttpService {
        path: String,
        timeout: Option<Duration>,
        headers: Vec<HttpHeader>,
    }
}

spec! {
    /// `MeshConfig.ExtensionProvider.HttpHeader` of the mesh configuration.
    pub struct HttpHeader {
        name: String,
    } oneof {
        header_value: HeaderValue,
    }
}

spec_oneof! {
    /// The one choice of `header_value` in `MeshConfig.ExtensionProvider.HttpHeader` of the mesh configuration.
    pub enum HeaderValue {
        Value(String): value,
        EnvName(String): env_name,
    }
}

spec! {
    /// `MeshConfig.ExtensionProvider.ResourceDetectors` of the mesh configuration.
    pub struct ResourceDetectors {
        environment: Option<EnvironmentResourceDetector>,
        dynatrace: Option<DynatraceResourceDetector>,
    }
}

spec! {
    /// `MeshConfig.ExtensionProvider.ResourceDetectors.EnvironmentResourceDetector` of the mesh configuration.
    pub struct EnvironmentResourceDetector {
    }
}

spec! {
    /// `MeshConfig.ExtensionProvider.ResourceDetectors.DynatraceResourceDetector` of the mesh configuration.
    pub struct DynatraceResourceDetector {
    }
}

spec! {
    /// `MeshConfig.ExtensionProvider.GrpcService` of the mesh configuration.
    pub struct GrpcService {
        timeout: Option<Duration>,
        initial_metadata: Vec<HttpHeader>,
    }
}

spec_enum! {
    /// `MeshConfig.ExtensionProvider.ServiceAttributeEnrichment` of the mesh configuration.
    pub enum ServiceAttributeEnrichment {
        IstioCanonical = 0 "ISTIO_CANONICAL",
        OtelSemanticConventions = 1 "OTEL_SEMANTIC_CONVENTIONS",
    }
}
