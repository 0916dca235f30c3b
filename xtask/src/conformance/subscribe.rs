//! Asks for everything a proxy would ask for and writes it down in the form of the golden files.

use std::collections::BTreeSet;

use proto::google::protobuf::Any;
use proto::reflect;
use serde_json::{Map, Value, json};

#[cfg(test)]
mod tests;

/// A generated resource.
pub(crate) struct Resource {
    /// Its xDS name.
    pub(crate) name: String,
    /// Its other names (workload API only).
    pub(crate) aliases: Vec<String>,
    /// Type URL and bytes.
    pub(crate) body: Any,
}

/// Which resources of a type are wanted.
pub(crate) enum Wanted<'a> {
    /// All there are for this proxy.
    Wildcard,
    /// These; unknown ones are simply not answered.
    Named(&'a BTreeSet<String>),
}

/// Answers one subscription: a type URL and the names wanted.
pub(crate) type Fetch<'a> = dyn FnMut(&str, Wanted<'_>) -> Vec<Resource> + 'a;

/// Type URLs in the order of the requests.
pub(crate) mod type_url {
    /// CDS.
    pub(crate) const CLUSTER: &str = "type.googleapis.com/envoy.config.cluster.v3.Cluster";
    /// EDS.
    pub(crate) const ENDPOINTS: &str = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment";
    /// LDS.
    pub(crate) const LISTENER: &str = "type.googleapis.com/envoy.config.listener.v3.Listener";
    /// RDS.
    pub(crate) const ROUTE: &str = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration";
    /// ECDS.
    pub(crate) const EXTENSION: &str = "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig";
    /// SDS.
    pub(crate) const SECRET: &str = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret";
    /// NDS.
    pub(crate) const NAME_TABLE: &str = "type.googleapis.com/istio.networking.nds.v1.NameTable";
    /// WDS: workloads and services.
    pub(crate) const ADDRESS: &str = "type.googleapis.com/istio.workload.Address";
    /// WDS: who may connect.
    pub(crate) const AUTHORIZATION: &str = "type.googleapis.com/istio.security.Authorization";
}

/// What an Envoy receives, as a golden file has it.
pub(crate) fn envoy(fetch: &mut Fetch<'_>) -> Value {
    let mut out = Map::new();
    let clusters = resources(&fetch(type_url::CLUSTER, Wanted::Wildcard), "name");
    let eds: BTreeSet<String> = clusters.iter().filter_map(endpoints_of).collect();
    let endpoints = resources(&fetch(type_url::ENDPOINTS, Wanted::Named(&eds)), "cluster_name");

    let listeners = resources(&fetch(type_url::LISTENER, Wanted::Wildcard), "name");
    let mut routes = BTreeSet::new();
    let mut extensions = BTreeSet::new();
    for listener in &listeners {
        each_object(listener, &mut |object| {
            routes.extend(object.get("rds").and_then(|rds| owned(rds.get("route_config_name"))));
            extensions.extend(object.get("config_discovery").and_then(|_| owned(object.get("name"))));
        });
    }
    let routes = resources(&fetch(type_url::ROUTE, Wanted::Named(&routes)), "name");
    let extensions = resources(&fetch(type_url::EXTENSION, Wanted::Named(&extensions)), "name");

    let mut secrets = BTreeSet::new();
    for resource in [&clusters, &endpoints, &listeners, &routes, &extensions].into_iter().flatten() {
        each_object(resource, &mut |object| {
            secrets.extend(object.get("sds_config").and_then(|_| owned(object.get("name"))));
        });
    }
    let served = secrets.iter().filter(|name| name.contains("://")).cloned().collect();
    let secret_resources = resources(&fetch(type_url::SECRET, Wanted::Named(&served)), "name");
    let name_table = fetch(type_url::NAME_TABLE, Wanted::Wildcard).first().map(|table| json_of(&table.body));

    out.insert("clusters".to_owned(), clusters.into());
    out.insert("listeners".to_owned(), listeners.into());
    out.insert("routes".to_owned(), routes.into());
    out.insert("endpoints".to_owned(), endpoints.into());
    out.insert("extensionConfigs".to_owned(), extensions.into());
    out.insert("nameTable".to_owned(), name_table.unwrap_or_else(|| json!({})));
    out.insert("secrets".to_owned(), secrets.into_iter().collect());
    out.insert("secretResources".to_owned(), secret_resources.into());
    Value::Object(out)
}

/// What a ztunnel receives, as a golden file has it.
pub(crate) fn ztunnel(fetch: &mut Fetch<'_>) -> Value {
    let mut list = |type_url| -> Vec<Value> {
        let mut found: Vec<(String, Value)> = fetch(type_url, Wanted::Wildcard)
            .into_iter()
            .map(|one| {
                let value = json!({"name": one.name, "aliases": one.aliases, "resource": json_of(&one.body)});
                (one.name, value)
            })
            .collect();
        found.sort_by(|a, b| a.0.cmp(&b.0));
        found.into_iter().map(|(_, value)| value).collect()
    };
    json!({"addresses": list(type_url::ADDRESS), "authorizations": list(type_url::AUTHORIZATION)})
}

fn resources(found: &[Resource], key: &str) -> Vec<Value> {
    let mut found: Vec<Value> = found.iter().map(|one| json_of(&one.body)).collect();
    found.sort_by(|a, b| a[key].as_str().cmp(&b[key].as_str()));
    found
}

/// Without the `@type` that an opened `Any` begins with: the list it stands in says it.
fn json_of(any: &Any) -> Value {
    reflect::to_json(&any.type_url, &any.value).unwrap_or_else(|_| reflect::any_to_json(any))
}

/// The name an EDS cluster asks its endpoints by.
fn endpoints_of(cluster: &Value) -> Option<String> {
    if cluster["type"] != "EDS" {
        return None;
    }
    let service = owned(cluster["eds_cluster_config"].get("service_name"));
    service.filter(|name| !name.is_empty()).or_else(|| owned(cluster.get("name")))
}

fn owned(value: Option<&Value>) -> Option<String> {
    value.and_then(Value::as_str).map(str::to_owned)
}

fn each_object(value: &Value, visit: &mut dyn FnMut(&Map<String, Value>)) {
    match value {
        Value::Object(object) => {
            visit(object);
            object.values().for_each(|value| each_object(value, visit));
        }
        Value::Array(list) => list.iter().for_each(|value| each_object(value, visit)),
        _ => {}
    }
}
