//! The proxy config declarations of the mesh configuration: what its fields are and how they are read.

use std::collections::BTreeMap;

use crate::decode::schema::{spec, spec_enum, spec_oneof};
use crate::duration::Duration;
use crate::networking::{ClientTlsSettings, ProxyImage, ReadinessProbe, TcpKeepalive};

spec! {
    /// `Tracing` of the mesh configuration.
    pub struct Tracing {
        custom_tags: BTreeMap<String, CustomTag>,
        max_path_tag_length: u32,
        sampling: f64,
        tls_settings: Option<ClientTlsSettings>,
        enable_istio_tags: Option<bool>,
    } oneof {
        tracer: Tracer,
    }
}

spec_oneof! {
    /// The one choice of `tracer` in `Tracing` of the mesh configuration.
    pub enum Tracer {
        Zipkin(Zipkin): zipkin,
        Lightstep(Lightstep): lightstep,
        Datadog(Datadog): datadog,
        Stackdriver(Stackdriver): stackdriver,
        OpenCensusAgent(OpenCensusAgent): open_census_agent,
    }
}

spec! {
    /// `Tracing.Zipkin` of the mesh configuration.
    pub struct Zipkin {
        address: String,
    }
}

spec! {
    /// `Tracing.Lightstep` of the mesh configuration.
    pub struct Lightstep {
        address: String,
        access_token: String,
    }
}

spec! {
    /// `Tracing.Datadog` of the mesh configuration.
    pub struct Datadog {
        address: String,
    }
}

spec! {
    /// `Tracing.Stackdriver` of the mesh configuration.
    pub struct Stackdriver {
        debug: bool,
        max_number_of_attributes: Option<i64>,
        max_number_of_annotations: Option<i64>,
        max_number_of_message_events: Option<i64>,
    }
}

spec! {
    /// `Tracing.OpenCensusAgent` of the mesh configuration.
    pub struct OpenCensusAgent {
        address: String,
        context: Vec<OpenCensusAgentTraceContext>,
    }
}

spec_enum! {
    /// `Tracing.OpenCensusAgent.TraceContext` of the mesh configuration.
    pub enum OpenCensusAgentTraceContext {
        Unspecified = 0 "UNSPECIFIED",
        W3cTraceContext = 1 "W3C_TRACE_CONTEXT",
        GrpcBin = 2 "GRPC_BIN",
        CloudTraceContext = 3 "CLOUD_TRACE_CONTEXT",
        B3 = 4 "B3",
    }
}

spec! {
    /// `Tracing.CustomTag` of the mesh configuration.
    pub struct CustomTag {
    } oneof {
        r#type: Type,
    }
}

spec_oneof! {
    /// The one choice of `type` in `Tracing.CustomTag` of the mesh configuration.
    pub enum Type {
        Literal(Literal): literal,
        Environment(Environment): environment,
        Header(RequestHeader): header,
    }
}

spec! {
    /// `Tracing.Literal` of the mesh configuration.
    pub struct Literal {
        value: String,
    }
}

spec! {
    /// `Tracing.Environment` of the mesh configuration.
    pub struct Environment {
        name: String,
        default_value: String,
    }
}

spec! {
    /// `Tracing.RequestHeader` of the mesh configuration.
    pub struct RequestHeader {
        name: String,
        default_value: String,
    }
}

spec! {
    /// `SDS` of the mesh configuration.
    pub struct Sds {
        enabled: bool,
        k8s_sa_jwt_path: String,
    }
}

spec! {
    /// `Topology` of the mesh configuration.
    pub struct Topology {
        num_trusted_proxies: u32,
        forward_client_cert_details: ForwardClientCertDetails,
        proxy_protocol: Option<ProxyProtocolConfiguration>,
    }
}

spec! {
    /// `Topology.ProxyProtocolConfiguration` of the mesh configuration.
    pub struct ProxyProtocolConfiguration {
    }
}

spec! {
    /// `PrivateKeyProvider` of the mesh configuration.
    pub struct PrivateKeyProvider {
    } oneof {
        provider: PrivateKeyProviderProvider,
    }
}

spec_oneof! {
    /// The one choice of `provider` in `PrivateKeyProvider` of the mesh configuration.
    pub enum PrivateKeyProviderProvider {
        Cryptomb(CryptoMb): cryptomb,
        Qat(Qat): qat,
    }
}

spec! {
    /// `PrivateKeyProvider.CryptoMb` of the mesh configuration.
    pub struct CryptoMb {
        poll_delay: Option<Duration>,
        fallback: Option<bool>,
    }
}

spec! {
    /// `PrivateKeyProvider.QAT` of the mesh configuration.
    pub struct Qat {
        poll_delay: Option<Duration>,
        fallback: Option<bool>,
    }
}

spec! {
    /// `ProxyConfig` of the mesh configuration.
    pub struct ProxyConfig {
        config_path: String,
        binary_path: String,
        drain_duration: Option<Duration>,
        discovery_address: String,
        discovery_refresh_delay: Option<Duration>,
        zipkin_address: String,
        statsd_udp_address: String,
        envoy_metrics_service_address: String,
        proxy_admin_port: i32,
        availability_zone: String,
        control_plane_auth_policy: AuthenticationPolicy,
        custom_config_file: String,
        stat_name_length: i32,
        concurrency: Option<i32>,
        proxy_bootstrap_template_path: String,
        interception_mode: InboundInterceptionMode,
        tracing: Option<Tracing>,
        sds: Option<Sds>,
        envoy_access_log_service: Option<RemoteService>,
        envoy_metrics_service: Option<RemoteService>,
        proxy_metadata: BTreeMap<String, String>,
        runtime_values: BTreeMap<String, String>,
        status_port: i32,
        extra_stat_tags: Vec<String>,
        gateway_topology: Option<Topology>,
        termination_drain_duration: Option<Duration>,
        mesh_id: String,
        readiness_probe: Option<ReadinessProbe>,
        proxy_stats_matcher: Option<ProxyStatsMatcher>,
        hold_application_until_proxy_starts: Option<bool>,
        ca_certificates_pem: Vec<String>,
        image: Option<ProxyImage>,
        private_key_provider: Option<PrivateKeyProvider>,
        proxy_headers: Option<ProxyHeaders>,
        file_flush_interval: Option<Duration>,
        file_flush_min_size_kb: u32,
        stats_compression: Option<bool>,
        connection_settings: Option<ConnectionSettings>,
    } oneof {
        cluster_name: ClusterName,
    }
}

spec_oneof! {
    /// The one choice of `cluster_name` in `ProxyConfig` of the mesh configuration.
    pub enum ClusterName {
        ServiceCluster(String): service_cluster,
        TracingServiceName(TracingServiceName): tracing_service_name,
    }
}

spec! {
    /// `ProxyConfig.ProxyStatsMatcher` of the mesh configuration.
    pub struct ProxyStatsMatcher {
        inclusion_prefixes: Vec<String>,
        inclusion_suffixes: Vec<String>,
        inclusion_regexps: Vec<String>,
    }
}

spec! {
    /// `ProxyConfig.ProxyHeaders` of the mesh configuration.
    pub struct ProxyHeaders {
        forwarded_client_cert: ForwardClientCertDetails,
        set_current_client_cert_details: Option<SetCurrentClientCertDetails>,
        request_id: Option<RequestId>,
        server: Option<Server>,
        attempt_count: Option<AttemptCount>,
        envoy_debug_headers: Option<EnvoyDebugHeaders>,
        metadata_exchange_headers: Option<MetadataExchangeHeaders>,
        preserve_http1_header_case: Option<bool>,
        x_forwarded_host: Option<XforwardedHost>,
        x_forwarded_port: Option<XforwardedPort>,
    }
}

spec! {
    /// `ProxyConfig.ProxyHeaders.Server` of the mesh configuration.
    pub struct Server {
        disabled: Option<bool>,
        value: String,
    }
}

spec! {
    /// `ProxyConfig.ProxyHeaders.RequestId` of the mesh configuration.
    pub struct RequestId {
        disabled: Option<bool>,
    }
}

spec! {
    /// `ProxyConfig.ProxyHeaders.AttemptCount` of the mesh configuration.
    pub struct AttemptCount {
        disabled: Option<bool>,
    }
}

spec! {
    /// `ProxyConfig.ProxyHeaders.XForwardedHost` of the mesh configuration.
    pub struct XforwardedHost {
        enabled: Option<bool>,
    }
}

spec! {
    /// `ProxyConfig.ProxyHeaders.XForwardedPort` of the mesh configuration.
    pub struct XforwardedPort {
        enabled: Option<bool>,
    }
}

spec! {
    /// `ProxyConfig.ProxyHeaders.EnvoyDebugHeaders` of the mesh configuration.
    pub struct EnvoyDebugHeaders {
        disabled: Option<bool>,
    }
}

spec! {
    /// `ProxyConfig.ProxyHeaders.MetadataExchangeHeaders` of the mesh configuration.
    pub struct MetadataExchangeHeaders {
        mode: MetadataExchangeMode,
    }
}

spec! {
    /// `ProxyConfig.ProxyHeaders.SetCurrentClientCertDetails` of the mesh configuration.
    pub struct SetCurrentClientCertDetails {
        subject: Option<bool>,
        cert: Option<bool>,
        chain: Option<bool>,
        dns: Option<bool>,
        uri: Option<bool>,
    }
}

spec_enum! {
    /// `ProxyConfig.ProxyHeaders.MetadataExchangeMode` of the mesh configuration.
    pub enum MetadataExchangeMode {
        Undefined = 0 "UNDEFINED",
        InMesh = 1 "IN_MESH",
    }
}

spec! {
    /// `ProxyConfig.ConnectionSettings` of the mesh configuration.
    pub struct ConnectionSettings {
        profile: Profile,
        listener_per_connection_buffer_limit_bytes: Option<i32>,
        cluster_per_connection_buffer_limit_bytes: Option<i32>,
        http_idle_timeout: Option<Duration>,
        http_max_connection_duration: Option<Duration>,
        http_drain_timeout: Option<Duration>,
        http_request_timeout: Option<Duration>,
        http_request_headers_timeout: Option<Duration>,
        http_stream_idle_timeout: Option<Duration>,
        http_max_stream_duration: Option<Duration>,
        http_max_concurrent_streams: Option<i32>,
        http2_initial_stream_window_size: Option<i32>,
        http2_initial_connection_window_size: Option<i32>,
        http_headers_with_underscores_action: HeadersWithUnderscoresAction,
        http_merge_slashes: Option<bool>,
        http_path_with_escaped_slashes_action: PathWithEscapedSlashesAction,
        listener_connection_limit: Option<i32>,
        global_downstream_connection_limit: Option<i32>,
    }
}

spec_enum! {
    /// `ProxyConfig.ConnectionSettings.Profile` of the mesh configuration.
    pub enum Profile {
        Sidecar = 0 "SIDECAR",
        Edge = 1 "EDGE",
    }
}

spec_enum! {
    /// `ProxyConfig.ConnectionSettings.HeadersWithUnderscoresAction` of the mesh configuration.
    pub enum HeadersWithUnderscoresAction {
        HeadersWithUnderscoresUnspecified = 0 "HEADERS_WITH_UNDERSCORES_UNSPECIFIED",
        HeadersWithUnderscoresAllow = 1 "HEADERS_WITH_UNDERSCORES_ALLOW",
        HeadersWithUnderscoresRejectRequest = 2 "HEADERS_WITH_UNDERSCORES_REJECT_REQUEST",
        HeadersWithUnderscoresDropHeader = 3 "HEADERS_WITH_UNDERSCORES_DROP_HEADER",
    }
}

spec_enum! {
    /// `ProxyConfig.ConnectionSettings.PathWithEscapedSlashesAction` of the mesh configuration.
    pub enum PathWithEscapedSlashesAction {
        PathWithEscapedSlashesUnspecified = 0 "PATH_WITH_ESCAPED_SLASHES_UNSPECIFIED",
        KeepUnchanged = 1 "KEEP_UNCHANGED",
        RejectRequest = 2 "REJECT_REQUEST",
        UnescapeAndRedirect = 3 "UNESCAPE_AND_REDIRECT",
        UnescapeAndForward = 4 "UNESCAPE_AND_FORWARD",
    }
}

spec_enum! {
    /// `ProxyConfig.TracingServiceName` of the mesh configuration.
    pub enum TracingServiceName {
        AppLabelAndNamespace = 0 "APP_LABEL_AND_NAMESPACE",
        CanonicalNameOnly = 1 "CANONICAL_NAME_ONLY",
        CanonicalNameAndNamespace = 2 "CANONICAL_NAME_AND_NAMESPACE",
    }
}

spec_enum! {
    /// `ProxyConfig.InboundInterceptionMode` of the mesh configuration.
    pub enum InboundInterceptionMode {
        Redirect = 0 "REDIRECT",
        Tproxy = 1 "TPROXY",
        None = 2 "NONE",
    }
}

spec! {
    /// `RemoteService` of the mesh configuration.
    pub struct RemoteService {
        address: String,
        tls_settings: Option<ClientTlsSettings>,
        tcp_keepalive: Option<TcpKeepalive>,
    }
}

spec_enum! {
    /// `AuthenticationPolicy` of the mesh configuration.
    pub enum AuthenticationPolicy {
        None = 0 "NONE",
        MutualTls = 1 "MUTUAL_TLS",
        Inherit = 1000 "INHERIT",
    }
}

spec_enum! {
    /// `ForwardClientCertDetails` of the mesh configuration.
    pub enum ForwardClientCertDetails {
        Undefined = 0 "UNDEFINED",
        Sanitize = 1 "SANITIZE",
        ForwardOnly = 2 "FORWARD_ONLY",
        AppendForward = 3 "APPEND_FORWARD",
        SanitizeSet = 4 "SANITIZE_SET",
        AlwaysForwardOnly = 5 "ALWAYS_FORWARD_ONLY",
    }
}
