//! Everything the agent was told, by flags, environment and files, gathered once at the start.

mod control;
mod place;

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

pub use control::SecuritySettings;
pub use place::{Place, private_addresses};

use crate::args::{EnvoyKind, ProxyFlags};
use crate::environment::Environment;
use crate::node::{Node, NodeOptions, parse_downward_api};
use crate::proxy_config::ProxyConfig;

/// The version of Istio whose behaviour this agent has, which is what it tells the control plane.
pub const ISTIO_VERSION: &str = "1.32.0";

const POD_LABELS: &str = "./etc/istio/pod/labels";
const POD_ANNOTATIONS: &str = "./etc/istio/pod/annotations";
const WORKLOAD_SOCKET_DIR: &str = "./var/run/secrets/workload-spiffe-uds";
/// SDS for files when somebody else serves the workload's certificate.
const FILES_SOCKET: &str = "./var/run/secrets/credential-uds/files-socket";
const CREDENTIAL_SOCKET: &str = "./var/run/secrets/credential-uds/socket";
const DEFAULT_SOCKET_FILE: &str = "socket";

/// What the agent runs with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The effective ProxyConfig.
    pub proxy_config: ProxyConfig,
    /// Type, addresses, names.
    pub place: Place,
    /// Certificates and the control plane.
    pub security: SecuritySettings,
    /// Where the SDS server listens.
    pub sds_socket: PathBuf,
    /// Somebody else serves the workload's certificate.
    pub external_sds: bool,
    /// Name of the workload socket that Envoy uses.
    pub socket_file: String,
    /// `--outlierLogPath`
    pub outlier_log_path: String,
    /// `--stsPort`
    pub sts_port: u16,
    /// `--proxyLogLevel`, `--proxyComponentLogLevel`
    pub envoy_log: (String, String),
    /// Envoy's log as JSON.
    pub log_as_json: bool,
    /// `DISABLE_ENVOY`
    pub disable_envoy: bool,
    /// `--envoyBuild`
    pub envoy_kind: EnvoyKind,
    /// Ports of Envoy's own listeners: health, metrics, mTLS metrics, mTLS merged metrics.
    pub envoy_ports: [u16; 4],
    /// `EXIT_ON_ZERO_ACTIVE_CONNECTIONS`
    pub exit_on_zero_active_connections: bool,
    /// `MINIMUM_DRAIN_DURATION`
    pub minimum_drain: Duration,
    /// Text of the mounted files, for the node.
    pod_files: (Option<String>, Option<String>),
    /// The environment, for what is read where it is used.
    pub env: Environment,
}

impl Settings {
    /// Gathers everything, as pilot/cmd/pilot-agent/app/cmd.go does. Relative paths are those of the working directory.
    ///
    /// # Errors
    /// When a source cannot be read, or sources contradict each other.
    pub fn gather(flags: &ProxyFlags, env: Environment, log_as_json: bool) -> anyhow::Result<Self> {
        let read = |path: &str| std::fs::read_to_string(path).ok();
        let pod_files = (read(POD_LABELS), read(POD_ANNOTATIONS));
        let annotations = parse_downward_api(pod_files.1.as_deref().unwrap_or_default());
        let annotation = |name: &str| annotations.get(name).map(String::as_str);
        let mut proxy_config = effective_config(flags, &env, annotation)?;
        resolve_statsd(&mut proxy_config);
        let place = Place::find(flags, &env, annotation("traffic.sidecar.istio.io/excludeInterfaces"));

        let socket_file = env.text("WORKLOAD_IDENTITY_SOCKET_FILE", DEFAULT_SOCKET_FILE);
        anyhow::ensure!(
            !socket_file.contains('/'),
            "WORKLOAD_IDENTITY_SOCKET_FILE must be a file name, not a path: {socket_file}"
        );
        let workload_socket = Path::new(WORKLOAD_SOCKET_DIR).join(&socket_file);
        let external_sds = std::os::unix::net::UnixStream::connect(&workload_socket).is_ok();
        anyhow::ensure!(
            external_sds || socket_file == DEFAULT_SOCKET_FILE,
            "nobody serves the workload SDS socket {} that WORKLOAD_IDENTITY_SOCKET_FILE names",
            workload_socket.display()
        );
        let sds_socket = if external_sds { PathBuf::from(FILES_SOCKET) } else { workload_socket };
        let mut security = SecuritySettings::gather(&env, &proxy_config, external_sds)?;
        if let Some(ip) = place.addresses.first() {
            security.issue.claims.push(("WorkloadIP", ip.to_string()));
        }
        if flags.sts_port != 0 || !flags.token_manager_plugin.is_empty() {
            tracing::warn!("--stsPort and --tokenManagerPlugin do nothing any more");
        }
        Ok(Self {
            place,
            security,
            sds_socket,
            external_sds,
            socket_file,
            outlier_log_path: flags.outlier_log_path.clone(),
            sts_port: flags.sts_port,
            envoy_log: (flags.proxy_log_level.clone(), flags.proxy_component_log_level.clone()),
            log_as_json,
            disable_envoy: env.flag("DISABLE_ENVOY", false),
            envoy_kind: flags.envoy_build,
            envoy_ports: [
                env.port("ENVOY_STATUS_PORT", 15021),
                env.port("ENVOY_PROMETHEUS_PORT", 15090),
                env.port("ENVOY_SECURE_METRICS_PORT", 0),
                env.port("ENVOY_SECURE_MERGED_METRICS_PORT", 0),
            ],
            exit_on_zero_active_connections: env.flag("EXIT_ON_ZERO_ACTIVE_CONNECTIONS", false),
            minimum_drain: env.duration("MINIMUM_DRAIN_DURATION", Duration::from_secs(5)),
            pod_files,
            proxy_config,
            env,
        })
    }

    /// The node that is told to the control plane.
    #[must_use]
    pub fn node(&self) -> Node {
        let [status, metrics, secure_metrics, secure_merged] = self.envoy_ports;
        let options = NodeOptions {
            id: self.place.node_id(),
            instance_ips: self.place.addresses.iter().map(ToString::to_string).collect(),
            sts_port: self.sts_port,
            pilot_sans: vec![pilot_san(self.proxy_config.text("discoveryAddress"))],
            outlier_log_path: self.outlier_log_path.clone(),
            envoy_status_port: status,
            envoy_prometheus_port: metrics,
            secure_metrics_port: secure_metrics,
            secure_merged_metrics_port: secure_merged,
            exit_on_zero_active_connections: self.exit_on_zero_active_connections,
            metadata_discovery: self
                .env
                .get("PEER_METADATA_DISCOVERY")
                .and_then(crate::environment::parse_bool),
            skip_deprecated_logs: self.env.flag("ENVOY_SKIP_DEPRECATED_LOGS", true),
            workload_identity_socket_file: self.socket_file.clone(),
            version: ISTIO_VERSION.to_owned(),
            labels_file: self.pod_files.0.clone(),
            annotations_file: self.pod_files.1.clone(),
            credential_socket: Path::new(CREDENTIAL_SOCKET).exists(),
            file_credential_socket: self.external_sds,
            xds_root_cert: self.security.xds_root_path(),
        };
        Node::gather(&self.env, self.proxy_config.clone(), &options)
    }

    /// Whether the DNS proxy runs: where names are captured at sidecars, or where it is asked for.
    #[must_use]
    pub fn serves_dns(&self) -> bool {
        let captured = self.env.flag("ISTIO_META_DNS_CAPTURE", false) && self.place.is_sidecar();
        captured || self.env.flag("ISTIO_META_ENABLE_DNS_SERVER", false)
    }

    /// The folder of bootstrap and xDS socket.
    #[must_use]
    pub fn config_path(&self) -> PathBuf {
        PathBuf::from(self.proxy_config.text("configPath"))
    }

    /// A bootstrap of the user's own: `ISTIO_BOOTSTRAP`, then ProxyConfig.
    #[must_use]
    pub fn custom_bootstrap(&self) -> Option<PathBuf> {
        [
            self.env.get("ISTIO_BOOTSTRAP").unwrap_or_default(),
            self.proxy_config.text("customConfigFile"),
            self.proxy_config.text("proxyBootstrapTemplatePath"),
        ]
        .into_iter()
        .find(|path| !path.is_empty())
        .map(PathBuf::from)
    }

    /// Where Envoy finds the agent, and the agent Envoy.
    #[must_use]
    pub fn localhost(&self) -> IpAddr {
        self.place.localhost()
    }
}

/// The layers of ProxyConfig, as pilot/cmd/pilot-agent/config/config.go: ConstructProxyConfig.
fn effective_config<'a>(
    flags: &ProxyFlags,
    env: &Environment,
    annotation: impl Fn(&str) -> Option<&'a str>,
) -> anyhow::Result<ProxyConfig> {
    let mut config = ProxyConfig::defaults();
    let mesh = &flags.mesh_config;
    match std::fs::read_to_string(mesh) {
        Ok(text) => config.overlay_mesh_yaml(&text, &mesh.display().to_string())?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => anyhow::bail!("{}: {error}", mesh.display()),
    }
    config.overlay_yaml(env.get("PROXY_CONFIG").unwrap_or_default(), "PROXY_CONFIG")?;
    let own = annotation("proxy.istio.io/config").unwrap_or_default();
    config.overlay_yaml(own, "annotation proxy.istio.io/config")?;

    let cpu_limit = env.count("ISTIO_CPU_LIMIT", 0);
    if flags.concurrency != 0 {
        config.set("concurrency", Value::from(flags.concurrency));
    } else if config.get("concurrency").is_none_or(Value::is_null) && cpu_limit != 0 {
        config.set("concurrency", Value::from(cpu_limit));
    }
    if config.get("serviceCluster").and_then(Value::as_str) == Some("") {
        config.set("serviceCluster", Value::from(flags.service_cluster.as_str()));
    }
    if let Some(address) = annotation("sidecar.istio.io/discoveryAddress") {
        config.set("discoveryAddress", Value::from(address));
    }
    if let Some(port) = annotation("status.sidecar.istio.io/port") {
        let number: u16 = port
            .parse()
            .map_err(|_| anyhow::anyhow!("annotation status.sidecar.istio.io/port: {port:?} is no port"))?;
        config.set("statusPort", Value::from(number));
    }
    if let Some(binary) = &flags.binary_path {
        config.set("binaryPath", Value::from(binary.display().to_string()));
    }
    if let Some(template) = &flags.template_file
        && config.text("customConfigFile").is_empty()
    {
        config.set("proxyBootstrapTemplatePath", Value::from(template.display().to_string()));
    }
    anyhow::ensure!(!config.text("discoveryAddress").is_empty(), "ProxyConfig discoveryAddress is empty");
    Ok(config)
}

/// Envoy's statsd sink takes an address, not a name; an unknown name turns it off.
fn resolve_statsd(config: &mut ProxyConfig) {
    use std::net::ToSocketAddrs;
    let address = config.text("statsdUdpAddress").to_owned();
    if address.is_empty() {
        return;
    }
    match address.to_socket_addrs().ok().and_then(|mut found| found.next()) {
        Some(found) => config.set("statsdUdpAddress", Value::from(found.to_string())),
        None => {
            tracing::warn!("statsdUdpAddress {address} cannot be resolved; statsd is off");
            config.set("statsdUdpAddress", Value::Null);
        }
    }
}

/// The name of the control plane, as pilot/cmd/pilot-agent/config/config.go: GetPilotSan.
fn pilot_san(discovery_address: &str) -> String {
    match discovery_address.split(':').next() {
        Some("localhost" | "unix") | None => "istiod.istio-system.svc".to_owned(),
        Some(host) => host.to_owned(),
    }
}

#[cfg(test)]
mod tests;
