//! Pages about connected clients.

use proto::envoy::config::core::v3::Node;
use proto::google::protobuf::value::Kind;
use serde_json::{Map, Value, json};
use xds::TypeUrl;
use xds::server::{Connection, TypeStatus};

use crate::events::timestamp;

/// A text of the node's metadata.
pub(super) fn metadata<'n>(node: &'n Node, name: &str) -> &'n str {
    match node.metadata.as_ref().and_then(|m| m.fields.get(name)).and_then(|v| v.kind.as_ref()) {
        Some(Kind::StringValue(text)) => text,
        _ => "",
    }
}

/// `name.namespace`, the third part of a node id; the id itself if it has another form.
pub(super) fn proxy_name(id: &str) -> &str {
    id.split('~').nth(2).unwrap_or(id)
}

pub(super) fn namespace(node: &Node) -> &str {
    match metadata(node, "NAMESPACE") {
        "" => proxy_name(&node.id).rsplit_once('.').map_or("", |(_, namespace)| namespace),
        namespace => namespace,
    }
}

/// What each proxy was sent and has accepted (as pilot/pkg/xds/debug.go: `SyncStatus`).
pub(super) fn syncz(connections: &[Connection], of_namespace: &str, cluster: &str) -> Value {
    let wanted = |c: &&Connection| of_namespace.is_empty() || namespace(&c.node) == of_namespace;
    connections.iter().filter(wanted).map(|connection| status(connection, cluster)).collect()
}

fn status(connection: &Connection, cluster: &str) -> Value {
    let node = &connection.node;
    let mut out = Map::new();
    let mut put = |name: &str, text: &str| {
        if !text.is_empty() {
            out.insert(name.to_owned(), text.into());
        }
    };
    let own = metadata(node, "CLUSTER_ID");
    put("cluster_id", if own.is_empty() { cluster } else { own });
    put("proxy", proxy_name(&node.id));
    put("proxy_type", node.id.split('~').next().unwrap_or_default());
    put("istio_version", metadata(node, "ISTIO_VERSION"));
    let legacy = [
        (TypeUrl::Cluster, "cluster"),
        (TypeUrl::Listener, "listener"),
        (TypeUrl::Route, "route"),
        (TypeUrl::Endpoint, "endpoint"),
        (TypeUrl::Extension, "extensionconfig"),
    ];
    for (of, name) in legacy {
        let Some(status) = connection.types.get(&of) else { continue };
        put(&format!("{name}_sent"), status.nonce_sent.as_deref().unwrap_or_default());
        put(&format!("{name}_acked"), status.nonce_acked.as_deref().unwrap_or_default());
    }
    let resources: Map<String, Value> =
        connection.types.iter().map(|(of, status)| (of.as_str().to_owned(), resource(status))).collect();
    if !resources.is_empty() {
        out.insert("resources".to_owned(), resources.into());
    }
    out.into()
}

fn resource(status: &TypeStatus) -> Value {
    let mut out = Map::new();
    let mut put = |name: &str, text: Option<&str>| {
        if let Some(text) = text.filter(|text| !text.is_empty()) {
            out.insert(name.to_owned(), text.into());
        }
    };
    put("sent", status.nonce_sent.as_deref());
    put("acked", status.nonce_acked.as_deref());
    let sent = status.last_sent.map_or_else(|| "0001-01-01T00:00:00Z".to_owned(), timestamp);
    put("sentTime", Some(&sent));
    put("lastError", status.last_error.as_deref());
    out.into()
}

/// Connected clients (as pilot/pkg/xds/debug.go: `AdsClients`), with what they watch or without.
pub(super) fn adsz(connections: &[Connection], watches: bool) -> Value {
    let clients: Vec<Value> = connections.iter().map(|connection| client(connection, watches)).collect();
    json!({ "totalClients": clients.len(), "clients": clients })
}

fn client(connection: &Connection, watches: bool) -> Value {
    let mut out = json!({
        "connectionId": &*connection.id,
        "connectedAt": timestamp(connection.connected_at),
        "address": connection.address.map(|a| a.to_string()).unwrap_or_default(),
    });
    let Some(map) = out.as_object_mut().filter(|_| watches) else { return out };
    let said = connection.node.metadata.clone().unwrap_or_default();
    let mut metadata = proto::reflect::any_to_camel_json(&proto::any(&said))["value"].take();
    if let Some(labels) = metadata.get("LABELS").filter(|labels| labels.is_object()).cloned() {
        map.insert("labels".to_owned(), labels);
    }
    // agents send it as text; the page shows what it says
    if let Some(said) = metadata.get("PROXY_CONFIG").and_then(Value::as_str)
        && let Ok(config) = serde_json::from_str::<Value>(said)
    {
        metadata["PROXY_CONFIG"] = config;
    }
    map.insert("metadata".to_owned(), metadata);
    if let Some(locality) = &connection.node.locality {
        let parts =
            [("region", &locality.region), ("zone", &locality.zone), ("sub_zone", &locality.sub_zone)];
        let parts = parts.into_iter().filter(|(_, part)| !part.is_empty());
        let parts: Map<String, Value> =
            parts.map(|(name, part)| (name.to_owned(), part.as_str().into())).collect();
        map.insert("locality".to_owned(), parts.into());
    }
    map.insert("watches".to_owned(), watched(connection));
    out
}

/// The names of each type, sorted; `*` stands for everything.
fn watched(connection: &Connection) -> Value {
    let of = |status: &TypeStatus| -> Value {
        let mut names: Vec<&str> = status.names.iter().map(|name| &**name).collect();
        names.sort_unstable();
        if status.wildcard {
            names.insert(0, "*");
        }
        names.into()
    };
    let types = connection.types.iter();
    types.map(|(kind, status)| (kind.as_str().to_owned(), of(status))).collect::<Map<_, _>>().into()
}
