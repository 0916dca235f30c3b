//! Pages about the mesh as a whole.

use config::Object;
use generate::Class;
use generate::plan::{OutboundOf, ScopeOf};
use mesh::World;
use mesh::key::ServiceKey;
use mesh::services::{Resolution, Service};
use serde_json::{Map, Value, json};
use sources::kubernetes::Directory;
use tables::Snapshot as _;

use crate::catalog::MeshCatalog;

/// Every service (in the words of pilot/pkg/model/service.go: `Service`).
pub(super) fn services(world: &World) -> Value {
    world.services.iter().map(|(key, row)| service(key, row)).collect()
}

/// One service.
pub(super) fn service(key: &ServiceKey, service: &Service) -> Value {
    let ports: Vec<Value> = service
        .ports
        .iter()
        .map(|port| json!({"name": &*port.name, "port": port.number, "protocol": port.protocol.to_string()}))
        .collect();
    json!({
        "Attributes": { "Name": &*service.name, "Namespace": &*key.namespace },
        "hostname": key.hostname.as_str(),
        "ports": ports,
        "Resolution": resolution(service.resolution),
    })
}

/// Upstream's numbers.
fn resolution(resolution: Resolution) -> u8 {
    match resolution {
        Resolution::ClientSideLb => 0,
        Resolution::DnsLb => 1,
        Resolution::Passthrough => 2,
        Resolution::DnsRoundRobinLb => 3,
        Resolution::Alias => 4,
        Resolution::DynamicDns => 5,
    }
}

/// Endpoints of every service: by host name, then namespace, then cluster, as upstream's shards.
pub(super) fn endpoints(world: &World) -> Value {
    let mut out = Map::new();
    for (key, endpoints) in world.endpoints.iter() {
        let mut shards: Map<String, Value> = Map::new();
        for endpoint in &endpoints.endpoints {
            let addresses: Vec<&str> = endpoint.addresses.iter().map(|a| &**a).collect();
            let shard = format!("Kubernetes/{}", endpoint.cluster);
            let one = json!({
                "Addresses": addresses,
                "EndpointPort": endpoint.port,
                "ServicePortName": &*endpoint.service_port,
                "ServiceAccount": &*endpoint.service_account,
                "Network": &*endpoint.network,
                "Labels": endpoint.labels.iter().map(|(k, v)| (k.to_string(), Value::from(&**v))).collect::<Map<_, _>>(),
            });
            match shards.entry(shard).or_insert_with(|| json!([])) {
                Value::Array(list) => list.push(one),
                _ => continue,
            }
        }
        let of_host = out.entry(key.hostname.as_str().to_owned()).or_insert_with(|| json!({}));
        if let Some(namespaces) = of_host.as_object_mut() {
            namespaces.insert(key.namespace.to_string(), json!({ "Shards": shards }));
        }
    }
    out.into()
}

/// Every object of Istio, as an API server would show it.
pub(super) fn objects(objects: &[Object]) -> Value {
    objects.iter().map(|object| object.to_value().to_json()).collect()
}

/// The mesh configuration in effect.
pub(super) fn mesh(world: &World) -> Value {
    world.settings.peek(&()).map_or_else(|| json!({}), |settings| settings.mesh.to_value().to_json())
}

/// What a proxy can see.
pub(super) fn scope(catalog: &MeshCatalog, class: &Class) -> Value {
    let world = catalog.world();
    let memos = catalog.generator().memos();
    let outbound = memos.get(&world, &OutboundOf(class.clone())).out;
    let scope = memos.get(&world, &ScopeOf((*outbound).clone())).out;
    let egress: Vec<Value> = scope
        .egress
        .iter()
        .map(|egress| {
            let services: Vec<&str> = egress.services.iter().map(|s| s.key.hostname.as_str()).collect();
            let routes: Vec<String> = egress
                .virtual_services
                .iter()
                .map(|(namespace, name)| format!("{namespace}/{name}"))
                .collect();
            json!({
                "port": egress.port.as_ref().map(|port| port.number), "bind": &*egress.bind,
                "services": services, "virtualServices": routes,
            })
        })
        .collect();
    json!({
        "sidecar": scope.sidecar.as_ref().map(|(namespace, name)| format!("{namespace}/{name}")),
        "egressListeners": egress,
        "outboundTrafficPolicy": scope.outbound_policy.name(),
    })
}

/// Size of the mesh and of what is kept for its proxies.
pub(super) fn sizes(catalog: &MeshCatalog, clients: usize) -> Value {
    let world = catalog.world();
    let (classes, editions) = catalog.counts();
    json!({
        "revision": world.revision().0, "services": world.services.len(), "workloads": world.workloads.len(),
        "virtualServices": world.virtual_services.len(), "clients": clients, "classes": classes,
        "editions": editions,
    })
}

/// What is remembered of what was built.
pub(super) fn memos(catalog: &MeshCatalog) -> Value {
    catalog
        .generator()
        .memos()
        .stats()
        .into_iter()
        .map(|of| json!({"kind": of.name, "count": of.count, "bytes": of.bytes, "built": of.built, "hits": of.hits}))
        .collect()
}

/// The clusters: our own first, which is complete when anybody can ask; as pkg/kube/multicluster/secretcontroller.go:
/// ListRemoteClusters.
pub(super) fn clusters(own: &str, others: Option<&Directory>) -> Value {
    let row =
        |id: &str, secret: &str, state: &str| json!({"id": id, "secretName": secret, "syncStatus": state});
    let others = others.map(Directory::others).unwrap_or_default();
    let others = others.iter().map(|status| row(&status.id, &status.secret, status.state.word()));
    std::iter::once(row(own, "", "synced")).chain(others).collect()
}
