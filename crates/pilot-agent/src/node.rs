//! Who this proxy is: the xDS node's id, locality and metadata, gathered from environment, files and ProxyConfig.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use crate::environment::{Environment, parse_bool};
use crate::proxy_config::ProxyConfig;

/// Region, zone and sub-zone; empty parts are not told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Locality {
    /// The region.
    pub region: String,
    /// The zone.
    pub zone: String,
    /// The sub-zone.
    pub sub_zone: String,
}

/// What the bootstrap says of this proxy under `node`.
#[derive(Clone, Debug)]
pub struct Node {
    /// `type~ip~name.namespace~domain`.
    pub id: String,
    /// Where it runs.
    pub locality: Locality,
    /// The whole metadata, as it is told to the control plane; keys as pkg/model/proxy.go: BootstrapNodeMetadata.
    pub metadata: Map<String, Value>,
    /// The ProxyConfig, which is also in the metadata.
    pub proxy_config: ProxyConfig,
    /// The addresses of the proxy, without duplicates.
    pub instance_ips: Vec<String>,
    /// Root of the control plane, for custom templates only; never told.
    pub xds_root_cert: String,
}

/// What is not in the environment but decides the metadata.
#[derive(Clone, Debug, Default)]
pub struct NodeOptions {
    /// The node id, see [`Node::id`].
    pub id: String,
    /// Addresses, the pod's own first.
    pub instance_ips: Vec<String>,
    /// `--stsPort`; 0 is none.
    pub sts_port: u16,
    /// SANs the control plane may have.
    pub pilot_sans: Vec<String>,
    /// Where Envoy logs outlier ejections; empty is nowhere.
    pub outlier_log_path: String,
    /// The health listener's port.
    pub envoy_status_port: u16,
    /// The listener for Envoy's own metrics.
    pub envoy_prometheus_port: u16,
    /// mTLS listener for Envoy's metrics; 0 is none.
    pub secure_metrics_port: u16,
    /// mTLS listener for merged metrics; 0 is none.
    pub secure_merged_metrics_port: u16,
    /// Whether the proxy ends as soon as nobody is connected while draining.
    pub exit_on_zero_active_connections: bool,
    /// Whether peer metadata discovery is wanted; `None` follows HBONE.
    pub metadata_discovery: Option<bool>,
    /// Whether Envoy's deprecation warnings are hidden.
    pub skip_deprecated_logs: bool,
    /// File name of the workload SDS socket.
    pub workload_identity_socket_file: String,
    /// Version told when `ISTIO_META_ISTIO_VERSION` is not set.
    pub version: String,
    /// Text of the pod's labels file (downward API), if there is one.
    pub labels_file: Option<String>,
    /// Text of the pod's annotations file (downward API), if there is one.
    pub annotations_file: Option<String>,
    /// An external SDS server for credentials was found.
    pub credential_socket: bool,
    /// An external workload SDS server was found, so the agent serves files only, on a socket of its own.
    pub file_credential_socket: bool,
    /// Root of the control plane for custom templates.
    pub xds_root_cert: String,
}

/// Metadata keys that hold a boolean written as text.
const TEXT_BOOLEANS: [&str; 9] = [
    "ENABLE_SELF_DISCOVERY",
    "DNS_CAPTURE",
    "DNS_AUTO_ALLOCATE",
    "ENABLE_HBONE",
    "DISABLE_HBONE_SEND",
    "EXIT_ON_ZERO_ACTIVE_CONNECTIONS",
    "INBOUND_LISTENER_EXACT_BALANCE",
    "OUTBOUND_LISTENER_EXACT_BALANCE",
    "ENVOY_SKIP_DEPRECATED_LOGS",
];
const LOCALITY_LABEL: &str = "istio-locality";

impl Node {
    /// Gathers the node, as pkg/bootstrap/config.go: GetNodeMetaData.
    #[must_use]
    pub fn gather(env: &Environment, proxy_config: ProxyConfig, options: &NodeOptions) -> Self {
        let mut metadata = untyped(env, &proxy_config);
        let mut labels = labels_of(env, &mut metadata);
        labels.overlay_pod_labels(options.labels_file.as_deref());
        let locality = labels.locality();
        labels.write(&mut metadata);

        for (variable, key) in
            [("POD_NAME", "NAME"), ("POD_NAMESPACE", "NAMESPACE"), ("SERVICE_ACCOUNT", "SERVICE_ACCOUNT")]
        {
            if let Some(value) = env.get(variable) {
                set_text(&mut metadata, key, value);
            }
        }
        annotations(&mut metadata, options.annotations_file.as_deref());

        let mut instance_ips = Vec::new();
        let mut seen = BTreeSet::new();
        for ip in &options.instance_ips {
            if seen.insert(ip) {
                instance_ips.push(ip.clone());
            }
        }
        typed(&mut metadata, options, &instance_ips);
        metadata.insert("PROXY_CONFIG".to_owned(), proxy_config.to_value());

        Self {
            id: options.id.clone(),
            locality,
            metadata,
            proxy_config,
            instance_ips,
            xds_root_cert: options.xds_root_cert.clone(),
        }
    }

    /// A metadata entry as text; empty when absent.
    #[must_use]
    pub fn text(&self, key: &str) -> &str {
        self.metadata.get(key).and_then(Value::as_str).unwrap_or_default()
    }

    /// A metadata entry that is a boolean in any of its spellings.
    #[must_use]
    pub fn flag(&self, key: &str) -> bool {
        match self.metadata.get(key) {
            Some(Value::Bool(on)) => *on,
            Some(Value::String(text)) => parse_bool(text).unwrap_or_default(),
            _ => false,
        }
    }

    /// A metadata entry that is a port; 0 when absent.
    #[must_use]
    pub fn port(&self, key: &str) -> u16 {
        self.metadata
            .get(key)
            .and_then(crate::proxy_config::number_of)
            .and_then(|port| u16::try_from(port).ok())
            .unwrap_or_default()
    }

    /// A label of the workload.
    #[must_use]
    pub fn label(&self, name: &str) -> Option<&str> {
        self.metadata.get("LABELS")?.get(name)?.as_str()
    }

    /// An annotation of the workload.
    #[must_use]
    pub fn annotation(&self, name: &str) -> Option<&str> {
        self.metadata.get("ANNOTATIONS")?.get(name)?.as_str()
    }

    /// The name of the workload's service for telemetry, as pkg/kube/labels: CanonicalService.
    #[must_use]
    pub fn canonical_service(&self) -> String {
        for label in ["service.istio.io/canonical-name", "app.kubernetes.io/name", "app"] {
            if let Some(name) = self.label(label) {
                return name.to_owned();
            }
        }
        let workload = self.text("WORKLOAD_NAME");
        if workload.is_empty() { "istio-proxy".to_owned() } else { workload.to_owned() }
    }

    /// The revision of the workload's service for telemetry, as pkg/kube/labels: CanonicalServiceRevision.
    #[must_use]
    pub fn canonical_revision(&self) -> String {
        ["service.istio.io/canonical-revision", "app.kubernetes.io/version", "version"]
            .iter()
            .find_map(|label| self.label(label))
            .unwrap_or("latest")
            .to_owned()
    }
}

fn set_text(metadata: &mut Map<String, Value>, key: &str, value: &str) {
    if value.is_empty() {
        metadata.remove(key);
    } else {
        metadata.insert(key.to_owned(), Value::String(value.to_owned()));
    }
}

/// Everything named `ISTIO_META_*` or `ISTIO_METAJSON_*`, first from ProxyConfig, then from the environment.
fn untyped(env: &Environment, proxy_config: &ProxyConfig) -> Map<String, Value> {
    let mut metadata = Map::new();
    for (name, value) in proxy_config.entries("proxyMetadata") {
        if let Some(key) = name.strip_prefix("ISTIO_META_") {
            metadata.insert(key.to_owned(), Value::String(value.to_owned()));
        }
    }
    for (key, value) in env.with_prefix("ISTIO_META_") {
        metadata.insert(key.to_owned(), Value::String(value.to_owned()));
    }
    for (key, value) in env.with_prefix("ISTIO_METAJSON_") {
        match serde_json::from_str::<Map<String, Value>>(value) {
            Ok(fields) => metadata.extend(fields),
            Err(error) => tracing::warn!("ISTIO_METAJSON_{key} is no JSON object, left out: {error}"),
        }
    }
    if let Some(address) = env.get("DNS_PROXY_ADDR").filter(|address| !address.is_empty()) {
        metadata.insert("DNS_PROXY_ADDR".to_owned(), Value::String(address.to_owned()));
    }
    for key in TEXT_BOOLEANS {
        if let Some(Value::String(text)) = metadata.get_mut(key)
            && parse_bool(text) == Some(true)
        {
            *text = "true".to_owned();
        }
    }
    metadata
}

/// Labels as given in the environment and as mounted.
struct Labels {
    fixed: BTreeMap<String, String>,
    all: BTreeMap<String, String>,
    mounted: bool,
}

fn labels_of(env: &Environment, metadata: &mut Map<String, Value>) -> Labels {
    let fixed: BTreeMap<String, String> =
        env.get("ISTIO_METAJSON_LABELS").and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let mut all = fixed.clone();
    if all.is_empty()
        && let Some(Value::Object(given)) = metadata.get("LABELS")
    {
        all = strings(given);
    }
    Labels { fixed, all, mounted: false }
}

fn strings(fields: &Map<String, Value>) -> BTreeMap<String, String> {
    fields.iter().filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}

impl Labels {
    fn overlay_pod_labels(&mut self, file: Option<&str>) {
        let Some(text) = file else { return };
        self.mounted = true;
        self.all = self.fixed.clone();
        let mut mounted = parse_downward_api(text);
        mounted.remove("pod-template-hash"); // would make each ReplicaSet a proxy of its own kind
        self.all.extend(mounted);
    }

    fn locality(&mut self) -> Locality {
        let label = ["topology.istio.io/locality", LOCALITY_LABEL]
            .iter()
            .find_map(|name| self.all.get(*name))
            .cloned()
            .unwrap_or_default();
        if label.is_empty() {
            return Locality::default();
        }
        let path = if label.contains('/') { label } else { label.replace('.', "/") };
        self.all.insert(LOCALITY_LABEL.to_owned(), path.clone());
        if !self.mounted && !self.fixed.is_empty() {
            self.fixed.insert(LOCALITY_LABEL.to_owned(), path.clone());
        }
        let mut parts = path.splitn(3, '/').map(str::to_owned);
        Locality {
            region: parts.next().unwrap_or_default(),
            zone: parts.next().unwrap_or_default(),
            sub_zone: parts.next().unwrap_or_default(),
        }
    }

    fn write(self, metadata: &mut Map<String, Value>) {
        for (key, labels) in [("LABELS", self.all), ("STATIC_LABELS", self.fixed)] {
            if labels.is_empty() {
                metadata.remove(key);
            } else {
                let labels = labels.into_iter().map(|(name, value)| (name, Value::String(value))).collect();
                metadata.insert(key.to_owned(), Value::Object(labels));
            }
        }
    }
}

fn annotations(metadata: &mut Map<String, Value>, file: Option<&str>) {
    let Some(text) = file else { return };
    let mounted = parse_downward_api(text);
    if mounted.is_empty() {
        return;
    }
    let entry = metadata.entry("ANNOTATIONS").or_insert_with(|| Value::Object(Map::new()));
    if !entry.is_object() {
        *entry = Value::Object(Map::new());
    }
    if let Value::Object(all) = entry {
        all.extend(mounted.into_iter().map(|(name, value)| (name, Value::String(value))));
    }
}

fn typed(metadata: &mut Map<String, Value>, options: &NodeOptions, instance_ips: &[String]) {
    if !metadata.contains_key("ISTIO_VERSION") {
        set_text(metadata, "ISTIO_VERSION", &options.version);
    }
    set_text(metadata, "INSTANCE_IPS", &instance_ips.join(","));
    set_text(metadata, "OUTLIER_LOG_PATH", &options.outlier_log_path);
    set_text(metadata, "WORKLOAD_IDENTITY_SOCKET_FILE", &options.workload_identity_socket_file);
    if options.sts_port != 0 {
        set_text(metadata, "STS_PORT", &options.sts_port.to_string());
    }
    for (key, port) in [
        ("ENVOY_STATUS_PORT", options.envoy_status_port),
        ("ENVOY_PROMETHEUS_PORT", options.envoy_prometheus_port),
        ("ENVOY_SECURE_METRICS_PORT", options.secure_metrics_port),
        ("ENVOY_SECURE_MERGED_METRICS_PORT", options.secure_merged_metrics_port),
    ] {
        if port != 0 {
            metadata.insert(key.to_owned(), Value::from(port));
        }
    }
    for (key, on) in [
        ("EXIT_ON_ZERO_ACTIVE_CONNECTIONS", options.exit_on_zero_active_connections),
        ("ENVOY_SKIP_DEPRECATED_LOGS", options.skip_deprecated_logs),
        ("credential", options.credential_socket),
        ("file-credential", options.file_credential_socket),
    ] {
        if on {
            set_text(metadata, key, "true");
        }
    }
    let hbone = metadata.get("ENABLE_HBONE").and_then(Value::as_str) == Some("true");
    let discovery = options.metadata_discovery.unwrap_or(hbone);
    set_text(metadata, "METADATA_DISCOVERY", if discovery { "true" } else { "false" });
    if !options.pilot_sans.is_empty() {
        metadata.insert("PILOT_SAN".to_owned(), Value::from(options.pilot_sans.clone()));
    }
}

/// Reads a downward API file, lines of `key="quoted value"`; lines of another shape are left out.
#[must_use]
pub fn parse_downward_api(text: &str) -> BTreeMap<String, String> {
    text.lines()
        .filter_map(|line| {
            let (key, quoted) = line.split_once('=')?;
            Some((key.to_owned(), unquote(quoted)?))
        })
        .collect()
}

/// Undoes Go's `%q` for what Kubernetes writes: common escapes, `\x`, `\u` and `\U`.
fn unquote(quoted: &str) -> Option<String> {
    let inner = quoted.trim().strip_prefix('"')?.strip_suffix('"')?;
    let mut out = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next()? {
            'n' => out.push('\n'),
            't' => out.push('\t'),
            'r' => out.push('\r'),
            'a' => out.push('\u{7}'),
            'b' => out.push('\u{8}'),
            'f' => out.push('\u{c}'),
            'v' => out.push('\u{b}'),
            digits @ ('x' | 'u' | 'U') => {
                let count = match digits {
                    'x' => 2,
                    'u' => 4,
                    _ => 8,
                };
                let code: String = chars.by_ref().take(count).collect();
                out.push(char::from_u32(u32::from_str_radix(&code, 16).ok()?)?);
            }
            other => out.push(other),
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests;
