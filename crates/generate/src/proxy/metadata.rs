//! Reading `node`: id, metadata with upstream's loose typing (booleans and lists as strings), locality, extensions.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use config::label;
use mesh::endpoints::Locality;
use mesh::workloads::Labels;
use proto::envoy::config::core::v3::{Node, node::UserAgentVersionType};
use proto::google::protobuf::{Struct, Value, value::Kind};

use super::{Capabilities, Interception, IpMode, OwnWorkload, Proxy, ProxyKind};

/// Keys that have a field of their own or that no builder asks for in text form.
const STRUCTURED: [&str; 4] = ["LABELS", "PROXY_CONFIG", "ANNOTATIONS", "PLATFORM_METADATA"];

/// Keys that builders look at by [`Proxy::meta`] and [`Proxy::flag`].
const LOOKED_AT: [&str; 18] = [
    "DNS_AUTO_ALLOCATE",
    "DNS_CAPTURE",
    "DNS_PROXY_ADDR",
    "ENABLE_HBONE",
    "ENVOY_PROMETHEUS_PORT",
    "ENVOY_SECURE_MERGED_METRICS_PORT",
    "ENVOY_SECURE_METRICS_PORT",
    "ENVOY_STATUS_PORT",
    "GATEWAY_BIND_ADDRESS",
    "IDLE_TIMEOUT",
    "INBOUND_LISTENER_EXACT_BALANCE",
    "OUTBOUND_LISTENER_EXACT_BALANCE",
    "TLS_CLIENT_CERT_CHAIN",
    "TLS_CLIENT_KEY",
    "TLS_CLIENT_ROOT_CERT",
    "UNPRIVILEGED_POD",
    "credential",
    "file-credential",
];
/// Keys that only inbound builders look at.
pub(super) const INBOUND_ONLY: [&str; 4] =
    ["INBOUND_LISTENER_EXACT_BALANCE", "TLS_SERVER_CERT_CHAIN", "TLS_SERVER_KEY", "TLS_SERVER_ROOT_CERT"];

/// See [`Proxy::from_node`].
pub(super) fn parse(node: &Node) -> Result<Proxy, String> {
    let parts: Vec<&str> = node.id.split('~').collect();
    let [kind, address, name, domain] = parts[..] else {
        return Err(format!("node id {:?} is not type~ip~name.namespace~domain", node.id));
    };
    let kind = match kind {
        "sidecar" => ProxyKind::Sidecar,
        "router" => ProxyKind::Router,
        "waypoint" => ProxyKind::Waypoint,
        "ztunnel" => ProxyKind::Ztunnel,
        other => return Err(format!("node id {:?}: unknown proxy type {other:?}", node.id)),
    };
    let empty = Struct::default();
    let meta = node.metadata.as_ref().unwrap_or(&empty);
    let text = texts(meta);
    let get = |key: &str| text.get(key).cloned().unwrap_or_default();
    let flag = |key: &str| matches!(&*get(key), "true" | "1");
    let (name, id_namespace) = name.rsplit_once('.').unwrap_or((name, ""));
    let namespace =
        Some(get("NAMESPACE")).filter(|n| !n.is_empty()).unwrap_or_else(|| Arc::from(id_namespace));
    let ips = addresses(&get("INSTANCE_IPS"), address)
        .ok_or_else(|| format!("node id {:?}: {address:?} is not an IP address", node.id))?;
    let config = meta.fields.get("PROXY_CONFIG").and_then(proxy_config).map(Arc::new);
    let locality = locality(node, meta);
    let cluster =
        Some(get("CLUSTER_ID")).filter(|c| !c.is_empty()).unwrap_or_else(|| Arc::from("Kubernetes"));
    let place =
        Place { locality: &locality, cluster: &cluster, network: &get("NETWORK"), node: &get("NODE_NAME") };
    let labels = place.add_to(labels(meta));
    Ok(Proxy {
        kind,
        name: name.into(),
        dns_domain: domain.into(),
        ip_mode: ip_mode(&ips),
        ips,
        service_account: get("SERVICE_ACCOUNT"),
        workload: get("WORKLOAD_NAME"),
        cluster,
        network: get("NETWORK"),
        network_view: list(&get("REQUESTED_NETWORK_VIEW")),
        locality,
        labels,
        version: version(&get("ISTIO_VERSION")),
        interception: match &*get("INTERCEPTION_MODE") {
            "TPROXY" => Interception::Tproxy,
            "NONE" => Interception::None,
            _ => Interception::Redirect,
        },
        http_proxy_port: get("HTTP_PROXY_PORT").parse().unwrap_or(0),
        unprivileged: flag("UNPRIVILEGED_POD"),
        http10: &*get("HTTP10") == "1",
        dns_capture: flag("DNS_CAPTURE"),
        dns_auto_allocate: flag("DNS_AUTO_ALLOCATE"),
        node: get("NODE_NAME"),
        mesh_id: get("MESH_ID"),
        capabilities: capabilities(node),
        config,
        namespace,
        own: Some(Arc::new(own(&get("WORKLOAD_NAME"), &node.cluster, meta))),
        metadata: text
            .into_iter()
            .filter(|(k, _)| LOOKED_AT.contains(&&**k) || INBOUND_ONLY.contains(&&**k))
            .collect(),
        pod_ports: BTreeMap::new(),
        sidecar: None,
    })
}

fn own(workload: &Arc<str>, cluster: &str, meta: &Struct) -> OwnWorkload {
    let mut labels = labels(meta);
    labels.retain(|k, _| OwnWorkload::LABELS.contains(&&**k));
    OwnWorkload { workload: workload.clone(), service_cluster: cluster.into(), labels }
}

/// Scalars and lists of the metadata as text (lists joined by commas), as upstream reads them.
fn texts(meta: &Struct) -> BTreeMap<Arc<str>, Arc<str>> {
    let mut out = BTreeMap::new();
    for (key, value) in &meta.fields {
        if STRUCTURED.contains(&key.as_str()) {
            continue;
        }
        if let Some(text) = scalar(value) {
            out.insert(Arc::from(key.as_str()), Arc::from(text));
        }
    }
    out
}

/// A scalar, or a list joined by commas, as text; `None` for what has no such form.
#[must_use]
pub fn scalar(value: &Value) -> Option<String> {
    match value.kind.as_ref()? {
        Kind::StringValue(s) => Some(s.clone()),
        Kind::BoolValue(b) => Some(b.to_string()),
        Kind::NumberValue(n) => Some(n.to_string()),
        Kind::ListValue(l) => Some(l.values.iter().filter_map(scalar).collect::<Vec<_>>().join(",")),
        Kind::NullValue(_) | Kind::StructValue(_) => None,
    }
}

fn list(text: &str) -> Vec<Arc<str>> {
    text.split(',').map(str::trim).filter(|s| !s.is_empty()).map(Arc::from).collect()
}

/// `INSTANCE_IPS`, or the address in the id; `None` when neither holds an address.
fn addresses(instance: &str, id: &str) -> Option<Vec<IpAddr>> {
    let ips: Vec<IpAddr> = list(instance).iter().filter_map(|s| s.parse().ok()).collect();
    if ips.is_empty() { id.parse().ok().map(|ip| vec![ip]) } else { Some(ips) }
}

fn ip_mode(ips: &[IpAddr]) -> IpMode {
    match (ips.iter().any(IpAddr::is_ipv4), ips.iter().any(IpAddr::is_ipv6)) {
        (true, true) => IpMode::Dual,
        (false, true) => IpMode::V6,
        _ => IpMode::V4,
    }
}

/// `LABELS`: the labels that the workload itself has, without those of its place.
#[must_use]
pub fn labels(meta: &Struct) -> Labels {
    let Some(Kind::StructValue(s)) = meta.fields.get("LABELS").and_then(|v| v.kind.as_ref()) else {
        return Labels::new();
    };
    s.fields.iter().filter_map(|(k, v)| Some((Arc::from(k.as_str()), Arc::from(scalar(v)?)))).collect()
}

/// Node locality, else the `istio-locality` label (as pilot/pkg/model/context.go).
fn locality(node: &Node, meta: &Struct) -> Locality {
    if let Some(l) = &node.locality
        && !(l.region.is_empty() && l.zone.is_empty() && l.sub_zone.is_empty())
    {
        return Locality {
            region: l.region.as_str().into(),
            zone: l.zone.as_str().into(),
            subzone: l.sub_zone.as_str().into(),
        };
    }
    let labels = labels(meta);
    labels
        .get(label::LOCALITY)
        .or_else(|| labels.get(label::ISTIO_LOCALITY))
        .map(|l| Locality::parse(&if l.contains('/') { l.to_string() } else { l.replace('.', "/") }))
        .unwrap_or_default()
}

/// Where a proxy runs, which its labels repeat for failover by label
/// (as pilot/pkg/serviceregistry/util/label: `AugmentLabels`).
struct Place<'a> {
    locality: &'a Locality,
    cluster: &'a Arc<str>,
    network: &'a Arc<str>,
    node: &'a Arc<str>,
}

impl Place<'_> {
    fn add_to(&self, mut labels: Labels) -> Labels {
        let own = [
            (label::REGION, &self.locality.region),
            (label::ZONE, &self.locality.zone),
            (label::SUBZONE, &self.locality.subzone),
            (label::CLUSTER, self.cluster),
            (label::HOSTNAME, self.node),
        ];
        labels.extend(own.into_iter().filter(|(_, v)| !v.is_empty()).map(|(k, v)| (Arc::from(k), v.clone())));
        if !self.network.is_empty() {
            labels.entry(label::NETWORK.into()).or_insert_with(|| self.network.clone());
        }
        labels
    }
}

/// `1.32.0` or `1.32-alpha.…`; unknown parts count as the newest.
fn version(text: &str) -> (u32, u32, u32) {
    let mut parts = text.split(['.', '-', '+']).map(|p| p.parse::<u32>().ok());
    let mut next = || parts.next().flatten().unwrap_or(u32::MAX);
    (next(), next(), next())
}

/// What the announced extension list says; an empty list is an istio-proxy's (it predates announcing, and upstream's
/// own agents strip it).
fn capabilities(node: &Node) -> Capabilities {
    if node.extensions.is_empty() {
        return Capabilities::ISTIO;
    }
    let has = |name: &str| node.extensions.iter().any(|e| e.name == name);
    let own = Capabilities {
        stats: has("istio.stats") || has("envoy.filters.http.istio_stats"),
        alpn: has("istio.alpn") || has("envoy.filters.http.istio_alpn"),
        metadata_exchange: has("envoy.filters.network.metadata_exchange")
            || has("istio.peer_metadata")
            || has("envoy.filters.http.peer_metadata"),
        virtual_hosts: false,
    };
    // Older releases refuse virtual hosts over ADS.
    Capabilities { virtual_hosts: own == Capabilities::STOCK && envoy_version(node) >= (1, 37), ..own }
}

/// The Envoy release that a node announces; (0, 0) if none.
fn envoy_version(node: &Node) -> (u32, u32) {
    match &node.user_agent_version_type {
        Some(UserAgentVersionType::UserAgentBuildVersion(build)) => {
            build.version.as_ref().map_or((0, 0), |v| (v.major_number, v.minor_number))
        }
        _ => (0, 0),
    }
}

/// `PROXY_CONFIG` is proto JSON of a ProxyConfig that the agent has merged over the mesh's default.
fn proxy_config(value: &Value) -> Option<config::mesh::ProxyConfig> {
    let text = to_value(value).to_string();
    config::mesh::apply_proxy_config(&config::mesh::ProxyConfig::default(), "PROXY_CONFIG", &text)
        .ok()
        .map(|(c, _)| c)
}

fn to_value(value: &Value) -> config::Value {
    match value.kind.as_ref() {
        None | Some(Kind::NullValue(_)) => config::Value::Null,
        Some(Kind::BoolValue(b)) => config::Value::Bool(*b),
        Some(Kind::NumberValue(n)) => config::Value::Number(*n),
        Some(Kind::StringValue(s)) => config::Value::String(s.clone()),
        Some(Kind::ListValue(l)) => config::Value::List(l.values.iter().map(to_value).collect()),
        Some(Kind::StructValue(s)) => {
            config::Value::Object(s.fields.iter().map(|(k, v)| (k.clone(), to_value(v))).collect())
        }
    }
}
