//! How an agent is started so that many live on one machine: its address, its ports, its identity.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;

use anyhow::bail;
use serde_json::json;

use super::allocate::{ADMIN, HEALTH, METRICS, STATUS};
use super::children::Program;
use super::document::Proxy;
use super::local::Plan;
use super::observe::NO_CHAIN;

/// The name in the control plane's certificate.
const ISTIOD_SAN: &str = "istiod.istio-system.svc";

/// One agent.
pub(super) struct Agent<'a> {
    /// `sidecar` or `router`.
    pub(super) role: &'static str,
    pub(super) name: &'a str,
    pub(super) namespace: &'a str,
    pub(super) service_account: &'a str,
    pub(super) labels: BTreeMap<String, String>,
    /// Its own loopback address, which is the workload's address.
    pub(super) address: Ipv4Addr,
    /// Port of the HTTP proxy listener, where names cannot be given.
    pub(super) http_proxy: Option<u16>,
}

impl Agent<'_> {
    /// Command line and environment, as Istio's injector writes them into a pod.
    pub(super) fn program(&self, plan: &Plan, directory: PathBuf) -> anyhow::Result<Program> {
        let binary = plan.binaries.join("pilot-agent");
        if !binary.exists() {
            bail!("{} is missing: pilot-agent belongs beside istioctl", binary.display());
        }
        let app = self.labels.get("app").map_or(self.name, String::as_str);
        let discovery = format!("127.0.0.1:{}", plan.ports.secure);
        let proxy_config = json!({
            "discoveryAddress": discovery,
            "binaryPath": plan.envoy.display().to_string(),
            "proxyAdminPort": ADMIN,
            "statusPort": STATUS,
            "concurrency": 1,
            "serviceCluster": format!("{app}.{}", self.namespace),
            "terminationDrainDuration": "0.2s",
            // the only trace of plain text that was refused
            "proxyStatsMatcher": {"inclusionSuffixes": [NO_CHAIN]},
        });
        let mut env = BTreeMap::new();
        let mut set = |key: &str, value: String| env.insert(key.to_owned(), value);
        set("PROXY_CONFIG", proxy_config.to_string());
        set("POD_NAME", self.name.to_owned());
        set("POD_NAMESPACE", self.namespace.to_owned());
        set("SERVICE_ACCOUNT", self.service_account.to_owned());
        set("INSTANCE_IP", self.address.to_string());
        set("HOST_IP", "127.0.0.1".to_owned());
        set("ISTIO_META_CLUSTER_ID", "Kubernetes".to_owned());
        set("ISTIO_META_MESH_ID", "cluster.local".to_owned());
        set("ISTIO_META_WORKLOAD_NAME", self.name.to_owned());
        set("ISTIO_META_UNPRIVILEGED_POD", "true".to_owned());
        set("ISTIO_METAJSON_LABELS", json!(self.labels).to_string());
        set("CA_ADDR", discovery);
        set("ISTIOD_SAN", ISTIOD_SAN.to_owned());
        set("ENVOY_STATUS_PORT", HEALTH.to_string());
        set("ENVOY_PROMETHEUS_PORT", METRICS.to_string());
        set(BIND, self.address.to_string());
        if plan.stock {
            set("ISTIO_AGENT_ENVOY_BUILD", "stock".to_owned());
        }
        if self.role == "sidecar" {
            set("ISTIO_META_INTERCEPTION_MODE", "NONE".to_owned());
        } else {
            set("ISTIO_META_GATEWAY_BIND_ADDRESS", plan.gateway_bind.to_string());
        }
        if let Some(port) = self.http_proxy {
            set("ISTIO_META_HTTP_PROXY_PORT", port.to_string());
        }
        let words = [&binary.display().to_string(), "proxy", self.role, "--domain"].map(str::to_owned);
        let mut command = words.to_vec();
        command.push(format!("{}.svc.cluster.local", self.namespace));
        let name = format!("proxy-{}.{}", self.name, self.namespace);
        Ok(Program { name, command, directory, env, ..Program::default() })
    }
}

/// The agent's variable that binds every listener of its own, and Envoy's admin interface, to one address.
const BIND: &str = "ISTIO_AGENT_BIND_ADDRESS";

/// URL that answers 200 once a proxy has its configuration.
#[must_use]
pub(super) fn ready_url(address: Ipv4Addr) -> String {
    format!("http://{address}:{STATUS}/healthz/ready")
}

/// What is known of a proxy before it runs.
#[must_use]
pub(super) fn describe(name: &str, namespace: &str, at: Ipv4Addr, reached_at: Option<Ipv4Addr>) -> Proxy {
    Proxy {
        id: format!("{name}.{namespace}"),
        workload: name.to_owned(),
        namespace: namespace.to_owned(),
        admin: format!("{at}:{ADMIN}"),
        metrics: format!("http://{at}:{STATUS}/stats/prometheus"),
        address: reached_at.map(|address| address.to_string()).unwrap_or_default(),
        ..Proxy::default()
    }
}
