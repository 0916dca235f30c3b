//! What is told of the traffic: the kinds of telemetry.istio.io.

use std::collections::BTreeMap;

use crate::decode::schema::{spec, spec_enum, spec_oneof};
use crate::duration::Duration;
use crate::selector::{PolicyTargetReference, WorkloadSelector};

spec! {
    /// `Telemetry` of telemetry.istio.io.
    pub struct Telemetry {
        selector: Option<WorkloadSelector>,
        target_ref: Option<PolicyTargetReference>,
        target_refs: Vec<PolicyTargetReference>,
        tracing: Vec<Tracing>,
        metrics: Vec<Metrics>,
        access_logging: Vec<AccessLogging>,
    }
}

spec! {
    /// `Tracing` of telemetry.istio.io.
    pub struct Tracing {
        r#match: Option<TracingSelector>,
        providers: Vec<ProviderRef>,
        random_sampling_percentage: Option<f64>,
        disable_span_reporting: Option<bool>,
        custom_tags: BTreeMap<String, CustomTag>,
        use_request_id_for_trace_sampling: Option<bool>,
        enable_istio_tags: Option<bool>,
        disable_context_propagation: Option<bool>,
    }
}

spec! {
    /// `Tracing.TracingSelector` of telemetry.istio.io.
    pub struct TracingSelector {
        mode: WorkloadMode,
    }
}

spec! {
    /// `Tracing.CustomTag` of telemetry.istio.io.
    pub struct CustomTag {
    } oneof {
        r#type: Type,
    }
}

spec_oneof! {
    /// The one choice of `type` in `Tracing.CustomTag` of telemetry.istio.io.
    pub enum Type {
        Literal(Literal): literal,
        Environment(Environment): environment,
        Header(RequestHeader): header,
        Formatter(Formatter): formatter,
    }
}

spec! {
    /// `Tracing.Literal` of telemetry.istio.io.
    pub struct Literal {
        value: String,
    }
}

spec! {
    /// `Tracing.Environment` of telemetry.istio.io.
    pub struct Environment {
        name: String,
        default_value: String,
    }
}

spec! {
    /// `Tracing.RequestHeader` of telemetry.istio.io.
    pub struct RequestHeader {
        name: String,
        default_value: String,
    }
}

spec! {
    /// `Tracing.Formatter` of telemetry.istio.io.
    pub struct Formatter {
        value: String,
    }
}

spec! {
    /// `ProviderRef` of telemetry.istio.io.
    pub struct ProviderRef {
        name: String,
    }
}

spec! {
    /// `Metrics` of telemetry.istio.io.
    pub struct Metrics {
        providers: Vec<ProviderRef>,
        overrides: Vec<MetricsOverrides>,
        reporting_interval: Option<Duration>,
    }
}

spec! {
    /// `MetricSelector` of telemetry.istio.io.
    pub struct MetricSelector {
        mode: WorkloadMode,
    } oneof {
        metric_match: MetricMatch,
    }
}

spec_oneof! {
    /// The one choice of `metric_match` in `MetricSelector` of telemetry.istio.io.
    pub enum MetricMatch {
        Metric(IstioMetric): metric,
        CustomMetric(String): custom_metric,
    }
}

spec_enum! {
    /// `MetricSelector.IstioMetric` of telemetry.istio.io.
    pub enum IstioMetric {
        AllMetrics = 0 "ALL_METRICS",
        RequestCount = 1 "REQUEST_COUNT",
        RequestDuration = 2 "REQUEST_DURATION",
        RequestSize = 3 "REQUEST_SIZE",
        ResponseSize = 4 "RESPONSE_SIZE",
        TcpOpenedConnections = 5 "TCP_OPENED_CONNECTIONS",
        TcpClosedConnections = 6 "TCP_CLOSED_CONNECTIONS",
        TcpSentBytes = 7 "TCP_SENT_BYTES",
        TcpReceivedBytes = 8 "TCP_RECEIVED_BYTES",
        GrpcRequestMessages = 9 "GRPC_REQUEST_MESSAGES",
        GrpcResponseMessages = 10 "GRPC_RESPONSE_MESSAGES",
    }
}

spec! {
    /// `MetricsOverrides` of telemetry.istio.io.
    pub struct MetricsOverrides {
        r#match: Option<MetricSelector>,
        disabled: Option<bool>,
        tag_overrides: BTreeMap<String, TagOverride>,
    }
}

spec! {
    /// `MetricsOverrides.TagOverride` of telemetry.istio.io.
    pub struct TagOverride {
        operation: Operation,
        value: String,
    }
}

spec_enum! {
    /// `MetricsOverrides.TagOverride.Operation` of telemetry.istio.io.
    pub enum Operation {
        Upsert = 0 "UPSERT",
        Remove = 1 "REMOVE",
    }
}

spec! {
    /// `AccessLogging` of telemetry.istio.io.
    pub struct AccessLogging {
        r#match: Option<LogSelector>,
        providers: Vec<ProviderRef>,
        disabled: Option<bool>,
        filter: Option<Filter>,
    }
}

spec! {
    /// `AccessLogging.LogSelector` of telemetry.istio.io.
    pub struct LogSelector {
        mode: WorkloadMode,
    }
}

spec! {
    /// `AccessLogging.Filter` of telemetry.istio.io.
    pub struct Filter {
        expression: String,
    }
}

spec_enum! {
    /// `WorkloadMode` of telemetry.istio.io.
    pub enum WorkloadMode {
        ClientAndServer = 0 "CLIENT_AND_SERVER",
        Client = 1 "CLIENT",
        Server = 2 "SERVER",
    }
}
