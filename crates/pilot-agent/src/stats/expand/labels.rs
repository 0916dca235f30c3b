//! One composite key becomes the labels of Istio's standard metrics.

use std::collections::HashMap;
use std::net::IpAddr;

use super::SEPARATOR;
use crate::node::Node;

const UNKNOWN: &str = "unknown";
/// Fields of a peer: workload, namespace, canonical service, canonical revision, cluster, app, version.
const PEER_FIELDS: usize = 7;

/// What the agent knows of its own proxy, ready to be written as label values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnWorkload {
    /// Name of the workload.
    pub workload: String,
    /// Its namespace.
    pub namespace: String,
    /// Its SPIFFE identity.
    pub principal: String,
    /// Label `app`.
    pub app: String,
    /// Label `version`.
    pub version: String,
    /// Canonical service.
    pub canonical_service: String,
    /// Canonical revision.
    pub canonical_revision: String,
    /// Cluster id.
    pub cluster: String,
}

impl OwnWorkload {
    /// Takes the node's own half; `trust_domain` completes its identity.
    #[must_use]
    pub fn of_node(node: &Node, trust_domain: &str) -> Self {
        let namespace = node.text("NAMESPACE");
        let principal = format!("spiffe://{trust_domain}/ns/{namespace}/sa/{}", node.text("SERVICE_ACCOUNT"));
        let canonical_service = node.canonical_service();
        Self {
            workload: escaped(node.text("WORKLOAD_NAME")),
            namespace: escaped(namespace),
            principal: escaped(&principal),
            app: escaped(node.label("app").unwrap_or_default()),
            version: escaped(node.label("version").unwrap_or_default()),
            canonical_service: escaped(&canonical_service),
            canonical_revision: escaped(&node.canonical_revision()),
            cluster: escaped(node.text("CLUSTER_ID")),
        }
    }

    fn half(&self, has_principal: bool) -> Half<'_> {
        Half {
            workload: known(&self.workload),
            namespace: known(&self.namespace),
            principal: if has_principal { known(&self.principal) } else { UNKNOWN },
            app: known(&self.app),
            version: known(&self.version),
            canonical_service: known(&self.canonical_service),
            canonical_revision: or(&self.canonical_revision, "latest"),
            cluster: known(&self.cluster),
        }
    }
}

/// A label value as the text format wants it.
fn escaped(text: &str) -> String {
    text.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n")
}

fn or<'a>(text: &'a str, default: &'a str) -> &'a str {
    if text.is_empty() { default } else { text }
}

fn known(text: &str) -> &str {
    or(text, UNKNOWN)
}

/// One end of a call.
struct Half<'a> {
    workload: &'a str,
    namespace: &'a str,
    principal: &'a str,
    app: &'a str,
    version: &'a str,
    canonical_service: &'a str,
    canonical_revision: &'a str,
    cluster: &'a str,
}

/// The fields of a peer, wherever they were written.
fn peer_fields<'a>(peer: &'a str) -> [&'a str; PEER_FIELDS] {
    let mut out = [""; PEER_FIELDS];
    if peer.contains("OU=") {
        let units: HashMap<&str, &str> =
            peer.split(',').filter_map(|unit| unit.trim().strip_prefix("OU=")?.split_once(':')).collect();
        let ordered: [&'a str; PEER_FIELDS] =
            ["w", "ns", "cs", "cr", "c", "a", "v"].map(|name| units.get(name).copied().unwrap_or_default());
        return ordered;
    }
    // A bare address or another CA's subject says nothing about the workload.
    if !peer.contains(';') || peer.parse::<IpAddr>().is_ok() {
        return out;
    }
    for (slot, field) in out.iter_mut().zip(peer.split(';')) {
        *slot = field;
    }
    out
}

fn peer_half<'a>(fields: &[&'a str; PEER_FIELDS], san: &'a str, is_source: bool) -> Half<'a> {
    let [workload, namespace, service, revision, cluster, app, version] = *fields;
    // The namespace of a proven identity beats what the peer says of itself.
    let proven = san.strip_prefix("spiffe://").and_then(|path| path.split('/').nth(2));
    // Endpoints have no app and version of their own; canonical names stand for them.
    let (app, version) = if is_source { (or(app, service), or(version, revision)) } else { (app, version) };
    Half {
        workload: known(workload),
        namespace: known(proven.unwrap_or(namespace)),
        principal: known(san),
        app: known(app),
        version: known(version),
        canonical_service: known(service),
        canonical_revision: or(revision, "latest"),
        cluster: known(cluster),
    }
}

/// The labels of a key, without braces. A key that cannot be read becomes `k` itself, so that nothing is lost.
pub(super) fn expand(key: &str, own: &OwnWorkload) -> String {
    labels(key, own).unwrap_or_else(|| format!("k=\"{key}\""))
}

fn labels(key: &str, own: &OwnWorkload) -> Option<String> {
    let mut fields = key.split(SEPARATOR);
    let kind = fields.next()?;
    let (is_source, protocol) = match kind {
        "sh" => (true, "http"),
        "sg" => (true, "grpc"),
        "st" => (true, "tcp"),
        "dh" => (false, "http"),
        "dg" => (false, "grpc"),
        "dt" => (false, "tcp"),
        _ => return None,
    };
    let mut told = || fields.next().map(|field| if field == "-" { "" } else { field });
    let (peer, san, destination) = (told()?, told()?, told()?);
    let tcp = protocol == "tcp";
    let code = if tcp { "" } else { told()? };
    let flags = or(told()?, "-");
    let grpc_status = if protocol == "grpc" { told()? } else { "" };

    let peer = peer_half(&peer_fields(peer), san, is_source);
    let own = own.half(!san.is_empty());
    let (source, target) = if is_source { (&own, &peer) } else { (&peer, &own) };
    let service = Service::of(destination, is_source, target.namespace);
    let security = match (is_source, san.is_empty()) {
        (true, _) => UNKNOWN,
        (false, true) => "none",
        (false, false) => "mutual_tls",
    };

    let mut out = Labels(Vec::with_capacity(26));
    out.put("reporter", if is_source { "source" } else { "destination" });
    out.put_source(source);
    out.put_destination(target, &service);
    out.put("request_protocol", protocol);
    out.put("response_flags", flags);
    out.put("connection_security_policy", security);
    if !tcp {
        out.put("response_code", code);
        out.put("grpc_response_status", grpc_status);
    }
    for change in fields {
        out.change(change);
    }
    Some(out.to_text())
}

/// What is called.
struct Service<'a> {
    host: &'a str,
    name: &'a str,
    namespace: &'a str,
}

impl<'a> Service<'a> {
    fn of(destination: &'a str, is_source: bool, workload_namespace: &'a str) -> Self {
        // A cluster's name ends with the host: direction|port|subset|host.
        let host = match destination.splitn(4, '|').nth(3) {
            Some(host) if is_source => host,
            _ => destination,
        };
        if matches!(host, "PassthroughCluster" | "BlackHoleCluster")
            || host.starts_with("InboundPassthroughCluster")
        {
            return Self { host: UNKNOWN, name: host, namespace: UNKNOWN };
        }
        let mut parts = host.split('.');
        match (parts.next(), parts.next(), parts.next()) {
            (Some(name), Some(namespace), Some("svc")) => Self { host, name, namespace },
            _ => Self { host: known(host), name: known(host), namespace: workload_namespace },
        }
    }
}

/// Labels in the order in which they are written.
struct Labels<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Labels<'a> {
    fn put(&mut self, name: &'a str, value: &'a str) {
        self.0.push((name, value));
    }

    fn put_source(&mut self, half: &Half<'a>) {
        self.0.extend([
            ("source_workload", half.workload),
            ("source_workload_namespace", half.namespace),
            ("source_principal", half.principal),
            ("source_app", half.app),
            ("source_version", half.version),
            ("source_canonical_service", half.canonical_service),
            ("source_canonical_revision", half.canonical_revision),
            ("source_cluster", half.cluster),
        ]);
    }

    fn put_destination(&mut self, half: &Half<'a>, service: &Service<'a>) {
        self.0.extend([
            ("destination_workload", half.workload),
            ("destination_workload_namespace", half.namespace),
            ("destination_principal", half.principal),
            ("destination_app", half.app),
            ("destination_version", half.version),
            ("destination_service", service.host),
            ("destination_service_name", service.name),
            ("destination_service_namespace", service.namespace),
            ("destination_canonical_service", half.canonical_service),
            ("destination_canonical_revision", half.canonical_revision),
            ("destination_cluster", half.cluster),
        ]);
    }

    fn change(&mut self, change: &'a str) {
        if let Some((name, value)) = change.strip_prefix('+').and_then(|added| added.split_once('=')) {
            match self.0.iter_mut().find(|(known, _)| *known == name) {
                Some(label) => label.1 = value,
                None => self.put(name, value),
            }
        } else if let Some(name) = change.strip_prefix('-') {
            self.0.retain(|(known, _)| *known != name);
        }
    }

    fn to_text(&self) -> String {
        let mut out = String::with_capacity(900);
        for (name, value) in &self.0 {
            if !out.is_empty() {
                out.push(',');
            }
            for part in [name, "=\"", value, "\""] {
                out.push_str(part);
            }
        }
        out
    }
}
