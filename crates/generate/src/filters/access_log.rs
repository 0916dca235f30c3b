//! Access logs: MeshConfig's file, and the providers of the Telemetry API (as pilot/pkg/networking/core/accesslog.go and
//! pilot/pkg/model/telemetry_logging.go).

use std::collections::BTreeMap;

use config::mesh::{
    AccessLogEncoding, EnvoyFileAccessLogProvider, EnvoyFileAccessLogProviderLogFormatLogFormat as LogFormat,
    EnvoyOpenTelemetryLogProvider, ExtensionProvider, ExtensionProviderProvider as Kind, MeshConfig,
};
use config::telemetry::WorkloadMode;
use mesh::World;
use proto::envoy::config::accesslog::v3::{
    AccessLog, AccessLogFilter, AndFilter, ExtensionFilter, ResponseFlagFilter, access_log,
    access_log_filter::FilterSpecifier, extension_filter,
};
use proto::envoy::config::core::v3::{
    ApiVersion, DataSource, GrpcService, JsonFormatOptions, SubstitutionFormatString, TypedExtensionConfig,
    data_source, grpc_service, substitution_format_string::Format,
};
use proto::envoy::extensions::access_loggers::file::v3::{FileAccessLog, file_access_log};
use proto::envoy::extensions::access_loggers::filters::cel::v3::ExpressionFilter;
use proto::envoy::extensions::access_loggers::grpc::v3::{
    CommonGrpcAccessLogConfig, HttpGrpcAccessLogConfig, TcpGrpcAccessLogConfig,
};
use proto::envoy::extensions::access_loggers::open_telemetry::v3::OpenTelemetryAccessLogConfig;
use proto::envoy::extensions::formatter::req_without_query::v3::ReqWithoutQuery;
use proto::google::protobuf::{Any, ListValue, Struct, Value, value};
use proto::opentelemetry::proto::common::v1::{AnyValue, KeyValue, KeyValueList, any_value};
use tables::{Level, Reads};

use super::providers;
use crate::telemetry::{self, Applicable, Logging};

/// Istio's text format.
const TEXT: &str = "[%START_TIME%] \"%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%\" %RESPONSE_CODE% \
%RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% \"%UPSTREAM_TRANSPORT_FAILURE_REASON%\" \
%BYTES_RECEIVED% %BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% \"%REQ(X-FORWARDED-FOR)%\" \
\"%REQ(USER-AGENT)%\" \"%REQ(X-REQUEST-ID)%\" \"%REQ(:AUTHORITY)%\" \"%UPSTREAM_HOST%\" %UPSTREAM_CLUSTER_RAW% \
%UPSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% %REQUESTED_SERVER_NAME% %ROUTE_NAME%\n";

/// Istio's JSON format.
const JSON: [(&str, &str); 24] = [
    ("start_time", "%START_TIME%"),
    ("route_name", "%ROUTE_NAME%"),
    ("method", "%REQ(:METHOD)%"),
    ("path", "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%"),
    ("protocol", "%PROTOCOL%"),
    ("response_code", "%RESPONSE_CODE%"),
    ("response_flags", "%RESPONSE_FLAGS%"),
    ("response_code_details", "%RESPONSE_CODE_DETAILS%"),
    ("connection_termination_details", "%CONNECTION_TERMINATION_DETAILS%"),
    ("bytes_received", "%BYTES_RECEIVED%"),
    ("bytes_sent", "%BYTES_SENT%"),
    ("duration", "%DURATION%"),
    ("upstream_service_time", "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%"),
    ("x_forwarded_for", "%REQ(X-FORWARDED-FOR)%"),
    ("user_agent", "%REQ(USER-AGENT)%"),
    ("request_id", "%REQ(X-REQUEST-ID)%"),
    ("authority", "%REQ(:AUTHORITY)%"),
    ("upstream_host", "%UPSTREAM_HOST%"),
    ("upstream_cluster", "%UPSTREAM_CLUSTER_RAW%"),
    ("upstream_local_address", "%UPSTREAM_LOCAL_ADDRESS%"),
    ("downstream_local_address", "%DOWNSTREAM_LOCAL_ADDRESS%"),
    ("downstream_remote_address", "%DOWNSTREAM_REMOTE_ADDRESS%"),
    ("requested_server_name", "%REQUESTED_SERVER_NAME%"),
    ("upstream_transport_failure_reason", "%UPSTREAM_TRANSPORT_FAILURE_REASON%"),
];

/// Filter state with the peers, old and new names.
const PEERS: [&str; 6] = [
    "upstream_peer",
    "downstream_peer",
    "wasm.upstream_peer",
    "wasm.upstream_peer_id",
    "wasm.downstream_peer",
    "wasm.downstream_peer_id",
];
/// Where the bootstrap sends the access log service of MeshConfig.
const SERVICE_CLUSTER: &str = "envoy_accesslog_service";
const FILE: &str = "envoy.access_loggers.file";
const HTTP_GRPC: &str = "envoy.access_loggers.http_grpc";
const TCP_GRPC: &str = "envoy.tcp_grpc_access_log";
const OTEL: &str = "envoy.access_loggers.open_telemetry";

/// The access logs of one side of a proxy.
#[derive(Clone, Debug, Default)]
pub(crate) struct AccessLogs {
    /// Of HTTP connection managers.
    pub(crate) http: Vec<AccessLog>,
    /// Of TCP proxies.
    pub(crate) tcp: Vec<AccessLog>,
    /// Of listeners: connections that no chain takes.
    pub(crate) listener: Vec<AccessLog>,
}

impl AccessLogs {
    /// What applies.
    pub(crate) fn of<L: Level>(
        r: &Reads<L>,
        world: &World,
        applicable: &Applicable<'_>,
        mesh: &MeshConfig,
        mode: WorkloadMode,
    ) -> Self {
        let mut out = Self::default();
        let said = telemetry::logging(applicable, mesh, mode).unwrap_or_default();
        let mut told = false;
        for (name, how) in said {
            let Some(provider) = telemetry::provider(mesh, name) else { continue };
            let Some(log) = from_provider(r, world, mesh, provider) else { continue };
            told = true;
            if how.disabled {
                continue;
            }
            out.http.push(filtered(&log, None, &how));
            out.tcp.push(filtered(&log, None, &how));
            out.listener.push(filtered(&log, Some(no_route()), &how));
        }
        if !told {
            out = Self::of_mesh(mesh);
        }
        if mesh.disable_envoy_listener_log {
            out.listener.clear();
        }
        out
    }

    /// Where no Telemetry applies.
    fn of_mesh(mesh: &MeshConfig) -> Self {
        let mut out = Self::default();
        let none = Logging::default();
        if !mesh.access_log_file.is_empty() {
            let log = file_of_mesh(&mesh.access_log_file, mesh);
            out.http.push(log.clone());
            out.tcp.push(log.clone());
            out.listener.push(filtered(&log, Some(no_route()), &none));
        }
        if mesh.enable_envoy_access_log_service {
            let peers = PEERS.map(str::to_owned).to_vec();
            let service = |name: &str| grpc_config(name, SERVICE_CLUSTER, "", peers.clone());
            out.http.push(logger(HTTP_GRPC, &http_grpc(service("http_envoy_accesslog"))));
            out.tcp.push(logger(TCP_GRPC, &tcp_grpc(service("tcp_envoy_accesslog"))));
            let listener = logger(TCP_GRPC, &tcp_grpc(service("listener_envoy_accesslog")));
            out.listener.push(filtered(&listener, Some(no_route()), &none));
        }
        out
    }
}

/// An access logger.
pub(crate) fn logger<M: prost::Message + prost::Name>(name: &str, message: &M) -> AccessLog {
    packed(name, proto::any(message))
}

fn packed(name: &str, any: Any) -> AccessLog {
    AccessLog {
        name: name.into(),
        config_type: Some(access_log::ConfigType::TypedConfig(any)),
        ..AccessLog::default()
    }
}

/// `NR`: no filter chain fits.
fn no_route() -> AccessLogFilter {
    AccessLogFilter {
        filter_specifier: Some(FilterSpecifier::ResponseFlagFilter(ResponseFlagFilter {
            flags: vec!["NR".into()],
        })),
    }
}

fn filtered(log: &AccessLog, filter: Option<AccessLogFilter>, how: &Logging<'_>) -> AccessLog {
    let expression = how.filter.map(|f| AccessLogFilter {
        filter_specifier: Some(FilterSpecifier::ExtensionFilter(ExtensionFilter {
            name: "envoy.access_loggers.extension_filters.cel".into(),
            config_type: Some(extension_filter::ConfigType::TypedConfig(proto::any(&ExpressionFilter {
                expression: f.expression.clone(),
                ..ExpressionFilter::default()
            }))),
        })),
    });
    let mut filters: Vec<AccessLogFilter> = filter.into_iter().chain(expression).collect();
    let filter = if filters.len() > 1 {
        Some(AccessLogFilter { filter_specifier: Some(FilterSpecifier::AndFilter(AndFilter { filters })) })
    } else {
        filters.pop()
    };
    AccessLog { filter, ..log.clone() }
}

/// As `telemetryAccessLog`; `None` for providers that do not log or whose service is unknown.
fn from_provider<L: Level>(
    r: &Reads<L>,
    world: &World,
    mesh: &MeshConfig,
    provider: &ExtensionProvider,
) -> Option<AccessLog> {
    let states = |own: &[String]| {
        if own.is_empty() { PEERS[..2].iter().map(|s| (*s).to_owned()).collect() } else { own.to_vec() }
    };
    let named = |own: &str, default: &str| if own.is_empty() { default.to_owned() } else { own.to_owned() };
    Some(match provider.provider.as_ref()? {
        Kind::EnvoyFileAccessLog(file) => {
            if provider.name == "envoy" && file.log_format.is_none() && !file.omit_empty_values {
                file_of_mesh(&file.path, mesh)
            } else {
                file_of_provider(file)
            }
        }
        Kind::EnvoyHttpAls(als) => {
            let (host, cluster) = providers::lookup(r, world, &als.service, als.port)?;
            let name = named(&als.log_name, "http_envoy_accesslog");
            let mut config =
                http_grpc(grpc_config(&name, &cluster, &host, states(&als.filter_state_objects_to_log)));
            config.additional_request_headers_to_log.clone_from(&als.additional_request_headers_to_log);
            config.additional_response_headers_to_log.clone_from(&als.additional_response_headers_to_log);
            config.additional_response_trailers_to_log.clone_from(&als.additional_response_trailers_to_log);
            logger(HTTP_GRPC, &config)
        }
        Kind::EnvoyTcpAls(als) => {
            let (host, cluster) = providers::lookup(r, world, &als.service, als.port)?;
            let name = named(&als.log_name, "tcp_envoy_accesslog");
            logger(
                TCP_GRPC,
                &tcp_grpc(grpc_config(&name, &cluster, &host, states(&als.filter_state_objects_to_log))),
            )
        }
        Kind::EnvoyOtelAls(otel) => {
            let (host, cluster) = providers::lookup(r, world, &otel.service, otel.port)?;
            let name = named(&otel.log_name, "otel_envoy_accesslog");
            logger(
                OTEL,
                &open_telemetry(otel, grpc_config(&name, &cluster, &host, PEERS.map(str::to_owned).to_vec())),
            )
        }
        _ => return None,
    })
}

fn grpc_config(name: &str, cluster: &str, authority: &str, states: Vec<String>) -> CommonGrpcAccessLogConfig {
    CommonGrpcAccessLogConfig {
        log_name: name.into(),
        grpc_service: Some(GrpcService {
            target_specifier: Some(grpc_service::TargetSpecifier::EnvoyGrpc(grpc_service::EnvoyGrpc {
                cluster_name: cluster.into(),
                authority: authority.into(),
                ..grpc_service::EnvoyGrpc::default()
            })),
            ..GrpcService::default()
        }),
        transport_api_version: ApiVersion::V3.into(),
        filter_state_objects_to_log: states,
        ..CommonGrpcAccessLogConfig::default()
    }
}

fn http_grpc(config: CommonGrpcAccessLogConfig) -> HttpGrpcAccessLogConfig {
    HttpGrpcAccessLogConfig { common_config: Some(config), ..HttpGrpcAccessLogConfig::default() }
}

fn tcp_grpc(config: CommonGrpcAccessLogConfig) -> TcpGrpcAccessLogConfig {
    TcpGrpcAccessLogConfig { common_config: Some(config) }
}

fn file(path: &str, format: SubstitutionFormatString) -> AccessLog {
    let log = FileAccessLog {
        path: path.into(),
        access_log_format: Some(file_access_log::AccessLogFormat::LogFormat(format)),
    };
    logger(FILE, &log)
}

/// As `FileAccessLogFromMeshConfig`.
fn file_of_mesh(path: &str, mesh: &MeshConfig) -> AccessLog {
    let format = if mesh.access_log_encoding == AccessLogEncoding::Json {
        let written = config::decode::trees(&mesh.access_log_format).into_iter().next();
        json_format(written.and_then(Result::ok).and_then(|tree| to_struct(&tree.to_value())), false)
    } else {
        text_format(&mesh.access_log_format, false)
    };
    file(path, format)
}

fn file_of_provider(provider: &EnvoyFileAccessLogProvider) -> AccessLog {
    let path = if provider.path.is_empty() { "/dev/stdout" } else { &provider.path };
    let omit = provider.omit_empty_values;
    let format = match provider.log_format.as_ref().and_then(|f| f.log_format.as_ref()) {
        Some(LogFormat::Labels(labels)) => json_format(to_struct(labels), omit),
        Some(LogFormat::Text(text)) => text_format(text, omit),
        None if provider.log_format.is_some() => return file_without_format(path),
        None => text_format("", omit),
    };
    file(path, format)
}

fn file_without_format(path: &str) -> AccessLog {
    logger(FILE, &FileAccessLog { path: path.into(), access_log_format: None })
}

fn text_format(text: &str, omit_empty_values: bool) -> SubstitutionFormatString {
    let mut text = if text.is_empty() { TEXT.to_owned() } else { text.to_owned() };
    if !text.ends_with('\n') {
        text.push('\n');
    }
    SubstitutionFormatString {
        formatters: formatters([text.as_str()]),
        format: Some(Format::TextFormatSource(DataSource {
            specifier: Some(data_source::Specifier::InlineString(text)),
            ..DataSource::default()
        })),
        omit_empty_values,
        ..SubstitutionFormatString::default()
    }
}

fn json_format(own: Option<Struct>, omit_empty_values: bool) -> SubstitutionFormatString {
    let built_in = || Struct { fields: JSON.iter().map(|(k, v)| ((*k).to_owned(), text_value(v))).collect() };
    let json = own.filter(|s| !s.fields.is_empty()).unwrap_or_else(built_in);
    SubstitutionFormatString {
        formatters: formatters(json.fields.values().filter_map(text_of)),
        format: Some(Format::JsonFormat(json)),
        json_format_options: Some(JsonFormatOptions::default()),
        omit_empty_values,
        ..SubstitutionFormatString::default()
    }
}

fn text_value(text: &str) -> Value {
    Value { kind: Some(value::Kind::StringValue(text.into())) }
}

fn text_of(value: &Value) -> Option<&str> {
    match value.kind.as_ref()? {
        value::Kind::StringValue(text) => Some(text),
        _ => None,
    }
}

/// Extensions that some operators need.
fn formatters<'a>(texts: impl IntoIterator<Item = &'a str>) -> Vec<TypedExtensionConfig> {
    if !texts.into_iter().any(|t| t.contains("%REQ_WITHOUT_QUERY")) {
        return Vec::new();
    }
    vec![TypedExtensionConfig {
        name: "envoy.formatter.req_without_query".into(),
        typed_config: Some(proto::any(&ReqWithoutQuery::default())),
    }]
}

fn to_struct(value: &config::Value) -> Option<Struct> {
    match to_value(value).kind {
        Some(value::Kind::StructValue(s)) => Some(s),
        _ => None,
    }
}

#[expect(clippy::cast_precision_loss, reason = "a protobuf number is a double")]
fn to_value(value: &config::Value) -> Value {
    use config::Value as V;
    let kind = match value {
        V::Null => value::Kind::NullValue(0),
        V::Bool(b) => value::Kind::BoolValue(*b),
        V::Integer(n) => value::Kind::NumberValue(*n as f64),
        V::Number(n) => value::Kind::NumberValue(*n),
        V::String(s) => value::Kind::StringValue(s.clone()),
        V::List(l) => value::Kind::ListValue(ListValue { values: l.iter().map(to_value).collect() }),
        V::Object(o) => {
            let fields: BTreeMap<String, Value> = o.iter().map(|(k, v)| (k.clone(), to_value(v))).collect();
            value::Kind::StructValue(Struct { fields: fields.into_iter().collect() })
        }
    };
    Value { kind: Some(kind) }
}

/// As `buildOpenTelemetryAccessLogConfig`.
#[expect(deprecated, reason = "upstream still writes common_config, and peers' tools look for it")]
fn open_telemetry(
    provider: &EnvoyOpenTelemetryLogProvider,
    common: CommonGrpcAccessLogConfig,
) -> OpenTelemetryAccessLogConfig {
    let format = provider.log_format.as_ref();
    let text = format.map(|f| f.text.as_str()).filter(|t| !t.is_empty()).unwrap_or(TEXT);
    let labels = format.and_then(|f| f.labels.as_ref()).and_then(to_struct).unwrap_or_default();
    let string = |text: &str| AnyValue { value: Some(any_value::Value::StringValue(text.into())) };
    let mut attributes: Vec<(&String, &Value)> = labels.fields.iter().collect();
    attributes.sort_by_key(|(k, _)| *k);
    let values: Vec<KeyValue> = attributes
        .into_iter()
        .map(|(k, v)| KeyValue { key: k.clone(), value: Some(string(text_of(v).unwrap_or_default())) })
        .collect();
    OpenTelemetryAccessLogConfig {
        common_config: Some(common),
        disable_builtin_labels: true,
        body: Some(string(text)),
        attributes: (!values.is_empty()).then_some(KeyValueList { values }),
        formatters: formatters(labels.fields.values().filter_map(text_of).chain([text])),
        ..OpenTelemetryAccessLogConfig::default()
    }
}
