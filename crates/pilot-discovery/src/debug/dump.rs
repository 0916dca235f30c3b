//! Pages about what one proxy is given: the resources of its editions as JSON.

use generate::{Class, TypeName};
use serde_json::{Value, json};
use xds::{Edition, TypeUrl};

use crate::catalog::MeshCatalog;
use crate::events::timestamp;

const DUMPS: &str = "type.googleapis.com/envoy.admin.v3.";

/// The resources of an edition, each with its `@type`; private keys are left out.
fn resources(catalog: &MeshCatalog, class: &Class, of: TypeName) -> Vec<(String, String, Value)> {
    let edition: std::sync::Arc<Edition> = catalog.edition_of(class, of);
    let one = |resource: &xds::Resource| {
        let any =
            proto::google::protobuf::Any { type_url: of.url().to_owned(), value: resource.body.clone() };
        let mut json = proto::reflect::any_to_json(&any);
        if of == TypeName::Secret {
            redact(&mut json);
        }
        (resource.name.to_string(), resource.wire_version(), json)
    };
    edition.iter().map(one).collect()
}

/// Takes private keys out of a secret (as Envoy does in its own dumps).
fn redact(secret: &mut Value) {
    // "[redacted]"
    let nothing = json!({ "inline_bytes": "W3JlZGFjdGVkXQ==" });
    for part in ["/tls_certificate/private_key", "/generic_secret/secret"] {
        if let Some(key) = secret.pointer_mut(part) {
            key.clone_from(&nothing);
        }
    }
    if let Some(keys) = secret.pointer_mut("/session_ticket_keys/keys").and_then(Value::as_array_mut) {
        keys.fill(nothing);
    }
}

/// The dump of a proxy in the form of Envoy's admin interface; the bootstrap, which we never see, is absent. `types`
/// are short names or type URLs, separated by commas; empty for all.
pub(super) fn config_dump(catalog: &MeshCatalog, class: &Class, types: &str, endpoints: bool) -> Value {
    let now = timestamp(std::time::SystemTime::now());
    let wanted: Vec<TypeUrl> =
        types.split(',').map(str::trim).filter(|t| !t.is_empty()).map(TypeUrl::from_short).collect();
    let wants = |of: TypeName| wanted.is_empty() || wanted.iter().any(|url| url.as_str() == of.url());
    let version = |of: TypeName| catalog.edition_of(class, of).revision().to_string();
    let mut configs = Vec::new();
    if wants(TypeName::Cluster) {
        let clusters: Vec<Value> = resources(catalog, class, TypeName::Cluster)
            .into_iter()
            .map(|(_, version, cluster)| json!({"version_info": version, "cluster": cluster, "last_updated": now}))
            .collect();
        let of = version(TypeName::Cluster);
        configs.push(json!({
            "@type": format!("{DUMPS}ClustersConfigDump"), "version_info": of, "dynamic_active_clusters": clusters,
        }));
    }
    if wants(TypeName::Endpoint) && (endpoints || !wanted.is_empty()) {
        let endpoints: Vec<Value> = resources(catalog, class, TypeName::Endpoint)
            .into_iter()
            .map(|(_, version, config)| json!({"version_info": version, "endpoint_config": config, "last_updated": now}))
            .collect();
        configs.push(json!({
            "@type": format!("{DUMPS}EndpointsConfigDump"), "dynamic_endpoint_configs": endpoints,
        }));
    }
    if wants(TypeName::Listener) {
        let listeners: Vec<Value> = resources(catalog, class, TypeName::Listener)
            .into_iter()
            .map(|(name, version, listener)| {
                let state = json!({"version_info": version, "listener": listener, "last_updated": now});
                json!({"name": name, "active_state": state})
            })
            .collect();
        let of = version(TypeName::Listener);
        configs.push(json!({
            "@type": format!("{DUMPS}ListenersConfigDump"), "version_info": of, "dynamic_listeners": listeners,
        }));
    }
    if wants(TypeName::Route) {
        let routes: Vec<Value> = resources(catalog, class, TypeName::Route)
            .into_iter()
            .map(|(_, version, route)| json!({"version_info": version, "route_config": route, "last_updated": now}))
            .collect();
        configs.push(json!({ "@type": format!("{DUMPS}RoutesConfigDump"), "dynamic_route_configs": routes }));
    }
    if wants(TypeName::Secret) {
        let secrets: Vec<Value> = resources(catalog, class, TypeName::Secret)
            .into_iter()
            .map(|(name, version, secret)| {
                json!({"name": name, "version_info": version, "last_updated": now, "secret": secret})
            })
            .collect();
        configs
            .push(json!({ "@type": format!("{DUMPS}SecretsConfigDump"), "dynamic_active_secrets": secrets }));
    }
    if wants(TypeName::Extension) {
        let extensions: Vec<Value> = resources(catalog, class, TypeName::Extension)
            .into_iter()
            .map(|(_, version, filter)| json!({"version_info": version, "ecds_filter": filter, "last_updated": now}))
            .collect();
        configs.push(json!({ "@type": format!("{DUMPS}EcdsConfigDump"), "ecds_filters": extensions }));
    }
    json!({ "configs": configs })
}

/// The resources of one type as upstream shows them by themselves.
pub(super) fn of_type(catalog: &MeshCatalog, class: &Class, of: TypeName) -> Value {
    let all: Vec<Value> =
        resources(catalog, class, of).into_iter().map(|(_, _, resource)| resource).collect();
    json!({ "configs": all })
}
