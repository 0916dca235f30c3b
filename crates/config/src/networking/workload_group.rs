//! The workload group declarations of networking.istio.io: what its fields are and how they are read.

use super::WorkloadEntry;
use crate::decode::schema::{spec, spec_oneof};
use crate::labels::Labels;

spec! {
    /// `WorkloadGroup` of networking.istio.io.
    pub struct WorkloadGroup {
        metadata: Option<ObjectMeta>,
        template: Option<WorkloadEntry>,
        probe: Option<ReadinessProbe>,
    }
}

spec! {
    /// `WorkloadGroup.ObjectMeta` of networking.istio.io.
    pub struct ObjectMeta {
        labels: Labels,
        annotations: Labels,
    }
}

spec! {
    /// `ReadinessProbe` of networking.istio.io.
    pub struct ReadinessProbe {
        initial_delay_seconds: i32,
        timeout_seconds: i32,
        period_seconds: i32,
        success_threshold: i32,
        failure_threshold: i32,
    } oneof {
        health_check_method: HealthCheckMethod,
    }
}

spec_oneof! {
    /// The one choice of `health_check_method` in `ReadinessProbe` of networking.istio.io.
    pub enum HealthCheckMethod {
        HttpGet(HttpHealthCheckConfig): http_get,
        TcpSocket(TcpHealthCheckConfig): tcp_socket,
        Exec(ExecHealthCheckConfig): exec,
        Grpc(GrpcHealthCheckConfig): grpc,
    }
}

spec! {
    /// `HTTPHealthCheckConfig` of networking.istio.io.
    pub struct HttpHealthCheckConfig {
        path: String,
        port: u32,
        host: String,
        scheme: String,
        http_headers: Vec<HttpHeader>,
    }
}

spec! {
    /// `GrpcHealthCheckConfig` of networking.istio.io.
    pub struct GrpcHealthCheckConfig {
        port: u32,
        service: String,
    }
}

spec! {
    /// `HTTPHeader` of networking.istio.io.
    pub struct HttpHeader {
        name: String,
        value: String,
    }
}

spec! {
    /// `TCPHealthCheckConfig` of networking.istio.io.
    pub struct TcpHealthCheckConfig {
        host: String,
        port: u32,
    }
}

spec! {
    /// `ExecHealthCheckConfig` of networking.istio.io.
    pub struct ExecHealthCheckConfig {
        command: Vec<String>,
    }
}
