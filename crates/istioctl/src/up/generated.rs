//! The objects that make local processes workloads: WorkloadEntry and Sidecar each, the gateway's Service.
//!
//! They live in a config directory of their own and never in the user's folder: on a cluster they would be wrong.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::allocate::{Place, PlacedPort};
use super::folder::{Folder, contains, string_map};

/// Label and annotation of every generated object.
pub const MARK: &str = "meltemi.dev/generated";
/// Label that tells one process from the replicas of the same version.
pub const INSTANCE: &str = "meltemi.dev/instance";
/// Label that says whether callers may use the mesh's own TLS.
const TLS_MODE: &str = "security.istio.io/tlsMode";
/// A policy under which an HTTP proxy that is called by its own address calls itself without end.
pub const LOOPING_POLICY: &str = "ALLOW_ANY_DYNAMIC_DNS";
/// Where the mesh's own things are.
pub const ROOT_NAMESPACE: &str = "istio-system";
/// The gateway's name, as charts and Gateways' selectors know it.
pub const GATEWAY: &str = "istio-ingressgateway";

/// What the generated objects say of one workload.
#[derive(Clone, Debug)]
pub struct Member<'a> {
    /// Workload name.
    pub name: &'a str,
    /// Namespace.
    pub namespace: &'a str,
    /// Service account.
    pub service_account: &'a str,
    /// Its labels, without the instance label.
    pub labels: &'a BTreeMap<String, String>,
    /// Its addresses and ports.
    pub place: &'a Place,
}

/// The labels of the running process: the workload's, the one that singles it out, and that its proxy speaks mutual TLS.
#[must_use]
pub fn labels(member: &Member) -> BTreeMap<String, String> {
    let mut labels = member.labels.clone();
    labels.insert(TLS_MODE.to_owned(), "istio".to_owned());
    labels.insert(INSTANCE.to_owned(), member.name.to_owned());
    labels
}

fn metadata(name: &str, namespace: &str) -> Value {
    json!({
        "name": name, "namespace": namespace,
        // the oldest Sidecar wins where several match, and one without a time is of 1970: this one, which already
        // holds what the user's says, must be older than all
        "creationTimestamp": "1900-01-01T00:00:00Z",
        "labels": {MARK: "true"}, "annotations": {MARK: "true"},
    })
}

/// The WorkloadEntry of a process. Ports are said only where the listener is not at the Service's targetPort.
#[must_use]
pub fn workload_entry(member: &Member) -> Value {
    let mut spec = json!({
        "address": member.place.inbound.to_string(),
        "serviceAccount": member.service_account,
        "labels": labels(member),
    });
    let moved: Map<String, Value> = member.place.ports.iter().flat_map(moved_names).collect();
    if !moved.is_empty() {
        spec["ports"] = Value::Object(moved);
    }
    object("networking.istio.io/v1", "WorkloadEntry", metadata(member.name, member.namespace), spec)
}

fn moved_names(port: &PlacedPort) -> Vec<(String, Value)> {
    if !port.is_moved() {
        return Vec::new();
    }
    let names = [Some(port.name.clone()), port.target_name.clone()];
    names
        .into_iter()
        .flatten()
        .filter(|name| !name.is_empty())
        .map(|name| (name, json!(port.listener)))
        .collect()
}

/// The Sidecar of a process: inbound at its own address, outbound at its own other address, and from the user's
/// Sidecar that would have applied what is not about addresses.
#[must_use]
pub fn sidecar(member: &Member, users: Option<&Value>) -> Value {
    let place = member.place;
    let ingress: Vec<Value> = place
        .ports
        .iter()
        .map(|port| {
            let name =
                if port.name.is_empty() { format!("port-{}", port.listener) } else { port.name.clone() };
            json!({
                "port": {"number": port.listener, "protocol": port.protocol, "name": name},
                "bind": place.inbound.to_string(),
                "captureMode": "NONE",
                "defaultEndpoint": format!("127.0.0.1:{}", port.app),
            })
        })
        .collect();
    let mut spec = json!({
        "workloadSelector": {"labels": {INSTANCE: member.name}},
        "egress": [{
            "bind": place.egress.to_string(),
            "captureMode": "NONE",
            "hosts": users.map_or_else(|| vec!["*/*".to_owned()], hosts_of),
        }],
    });
    if !ingress.is_empty() {
        spec["ingress"] = Value::Array(ingress);
    }
    for field in ["outboundTrafficPolicy", "inboundConnectionPool"] {
        let value = users.and_then(|sidecar| sidecar["spec"].get(field));
        if let Some(value) = value.filter(|value| value["mode"] != LOOPING_POLICY) {
            spec[field] = value.clone();
        }
    }
    object("networking.istio.io/v1", "Sidecar", metadata(member.name, member.namespace), spec)
}

/// The hosts of all egress listeners of a Sidecar; all of them if it has no egress.
fn hosts_of(sidecar: &Value) -> Vec<String> {
    let mut hosts: Vec<String> = Vec::new();
    for listener in sidecar["spec"]["egress"].as_array().into_iter().flatten() {
        for host in listener["hosts"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            if !hosts.iter().any(|known| known == host) {
                hosts.push(host.to_owned());
            }
        }
    }
    if hosts.is_empty() { vec!["*/*".to_owned()] } else { hosts }
}

/// The user's Sidecar that applies to a workload: one that selects it, else its namespace's, else the mesh's; of
/// several the oldest, then the first by name (as pilot/pkg/model/sidecar.go).
#[must_use]
pub fn users_sidecar<'a>(
    folder: &'a Folder,
    namespace: &str,
    labels: &BTreeMap<String, String>,
) -> Option<&'a Value> {
    let selector = |value: &Value| string_map(&value["spec"]["workloadSelector"]["labels"]);
    let rank = |value: &Value| {
        let at = value["metadata"]["namespace"].as_str().unwrap_or("default");
        let selector = selector(value);
        match () {
            () if at == namespace && !selector.is_empty() => contains(labels, &selector).then_some(0),
            () if at == namespace => Some(1),
            () if at == ROOT_NAMESPACE && selector.is_empty() => Some(2),
            () => None,
        }
    };
    folder
        .of_kind("Sidecar")
        .map(|object| &object.value)
        .filter_map(|value| {
            let text = |field: &str| value["metadata"][field].as_str().unwrap_or_default().to_owned();
            Some(((rank(value)?, text("creationTimestamp"), text("name")), value))
        })
        .min_by(|a, b| a.0.cmp(&b.0))
        .map(|(_, value)| value)
}

/// Service and WorkloadEntry of the gateway. It takes no mutual TLS (label `tlsMode: disabled`): its listener is
/// plain, and callers inside the mesh must know.
#[must_use]
pub fn gateway(address: Ipv4Addr, http: u16, https: u16) -> Vec<Value> {
    let port = |name: &str, port: u16, target: u16| json!({"name": name, "port": port, "targetPort": target, "protocol": "TCP"});
    let service = json!({
        "type": "LoadBalancer",
        "selector": {"app": GATEWAY, "istio": "ingressgateway"},
        "ports": [
            port("http2", 80, http), port("http-alt", 8080, http),
            port("https", 443, https), port("https-alt", 8443, https),
        ],
    });
    let mut service = object("v1", "Service", metadata(GATEWAY, ROOT_NAMESPACE), service);
    // for its own namespace only: elsewhere, each sidecar would listen on 8080, which is often taken
    service["metadata"]["annotations"]["networking.istio.io/exportTo"] = json!(".");
    let mut entry_labels = gateway_labels();
    entry_labels.insert(TLS_MODE.to_owned(), "disabled".to_owned());
    let entry = json!({
        "address": address.to_string(),
        "serviceAccount": GATEWAY,
        "labels": entry_labels,
    });
    vec![service, object("networking.istio.io/v1", "WorkloadEntry", metadata(GATEWAY, ROOT_NAMESPACE), entry)]
}

/// The gateway's labels.
#[must_use]
pub fn gateway_labels() -> BTreeMap<String, String> {
    [("app", GATEWAY), ("istio", "ingressgateway")]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into()
}

/// A Service for a process that no Service of the folder selects.
#[must_use]
pub fn service(name: &str, namespace: &str, port: u16) -> Value {
    let spec = json!({
        "selector": {"app": name},
        "ports": [{"name": "http", "port": port, "targetPort": port, "protocol": "TCP"}],
    });
    object("v1", "Service", metadata(name, namespace), spec)
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "the macro takes references, the callers have no other use"
)]
fn object(version: &str, kind: &str, metadata: Value, spec: Value) -> Value {
    json!({"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec})
}

/// Writes objects as one YAML file of the generated directory; at once, so that no half file is ever read. An
/// unchanged file is left alone.
///
/// # Errors
/// If it cannot be written.
pub fn write(directory: &Path, name: &str, objects: &[Value]) -> std::io::Result<()> {
    let text: Vec<String> = objects.iter().map(crate::print::to_yaml).collect();
    let text = text.join("---\n");
    let path = directory.join(format!("{name}.yaml"));
    if std::fs::read_to_string(&path).is_ok_and(|old| old == text) {
        return Ok(());
    }
    let draft = directory.join(format!(".{name}.draft"));
    std::fs::write(&draft, text)?;
    std::fs::rename(draft, path)
}

#[cfg(test)]
mod tests;
