//! The machine-readable description of a running mesh: what `up -o json` prints and other commands read.

use serde::{Deserialize, Serialize};

/// A running mesh.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Document {
    /// URL of the ingress gateway.
    pub gateway: String,
    /// `host:port` of plain-text xDS.
    pub xds: String,
    /// URL of the control plane's debug endpoints.
    pub debug: String,
    /// The folder whose objects apply.
    pub folder: String,
    /// Where the processes' output is.
    pub logs: String,
    /// How programs find services: `hosts` or `http_proxy`.
    pub names: String,
    /// The supervisor's process id.
    pub pid: u32,
    /// The control plane.
    pub control_plane: ControlPlane,
    /// Every proxy, the gateway last.
    pub proxies: Vec<Proxy>,
    /// Traffic seen so far.
    pub edges: Vec<Edge>,
    /// Milliseconds from the command to readiness, stage by stage.
    pub stages: Vec<Stage>,
}

/// The control plane process.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ControlPlane {
    /// Its process id.
    pub pid: u32,
    /// The name it goes by in `proxy-status`.
    pub id: String,
    /// `host:port` of its ControlZ.
    #[serde(default)]
    pub controlz: String,
}

/// One proxy and what is at its side.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Proxy {
    /// `name.namespace`, as the control plane knows it.
    pub id: String,
    /// The workload's name.
    pub workload: String,
    /// The workload's namespace.
    pub namespace: String,
    /// Process id of the agent.
    pub pid: u32,
    /// `host:port` of Envoy's admin interface.
    pub admin: String,
    /// URL of the agent's merged metrics.
    pub metrics: String,
    /// The address other proxies reach it at; empty for the gateway.
    pub address: String,
    /// Process id of the program itself, if the mesh started it.
    pub app_pid: Option<u32>,
    /// Version of the configuration in use (the last acknowledged nonce); empty before the first.
    pub version: String,
    /// Seconds since the last acknowledged push, if known.
    pub acked_seconds_ago: Option<i64>,
    /// When the workload certificate ends, as RFC 3339; empty if unknown.
    pub certificate_expires: String,
    /// Whether proxy and program are ready.
    pub ready: bool,
}

impl Proxy {
    /// URL that answers 200 while the proxy has its configuration.
    #[must_use]
    pub fn ready_url(&self) -> String {
        self.metrics.replace("/stats/prometheus", "/healthz/ready")
    }
}

/// Traffic from one workload to another.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Edge {
    /// The calling workload.
    pub source: String,
    /// The called workload.
    pub destination: String,
    /// Whether the destination saw mutual TLS; nothing if only the source reported.
    pub mutual_tls: Option<bool>,
    /// Requests (or TCP connections) so far.
    pub requests: u64,
    /// Of them, failed (5xx, or no answer).
    pub failed: u64,
    /// Requests per second over the last interval.
    pub rate: f64,
    /// Fraction of requests that did not fail.
    pub success_rate: f64,
    /// Median duration in milliseconds.
    pub p50_ms: Option<f64>,
    /// 99th percentile of the duration in milliseconds.
    pub p99_ms: Option<f64>,
    /// `http` or `tcp`.
    pub protocol: String,
}

/// One stage of the start.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Stage {
    /// What.
    pub name: String,
    /// With which outcome.
    pub detail: String,
    /// How long it took, in milliseconds.
    pub ms: u64,
}
