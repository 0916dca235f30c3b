//! Pages about the mesh as a whole.

use std::collections::BTreeMap;
use std::sync::Arc;

use config::{Object, Visibility};
use generate::Class;
use generate::plan::{OutboundOf, ScopeOf};
use mesh::World;
use mesh::key::ServiceKey;
use mesh::services::{Registry, Resolution, Service, TrafficDistribution};
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
        "Attributes": attributes(key, service),
        "hostname": key.hostname.as_str(),
        "ports": ports,
        "serviceAccounts": texts(&service.declared_accounts),
        "creationTime": config::decode::rfc3339(service.created),
        "clusterVIPs": by_cluster(&service.cluster_vips),
        "defaultAddress": &*service.default_address,
        "autoAllocatedIPv4Address": service.auto_allocated_v4.as_deref().unwrap_or_default(),
        "autoAllocatedIPv6Address": service.auto_allocated_v6.as_deref().unwrap_or_default(),
        "Resolution": resolution(service.resolution),
        "MeshExternal": service.mesh_external,
    })
}

/// As pilot/pkg/model/service.go: `ServiceAttributes`.
fn attributes(key: &ServiceKey, service: &Service) -> Value {
    let labels = |labels: &BTreeMap<Arc<str>, Arc<str>>| -> Map<String, Value> {
        labels.iter().map(|(name, value)| (name.to_string(), (&**value).into())).collect()
    };
    let numbers = |numbers: &BTreeMap<u32, u32>| -> Map<String, Value> {
        numbers.iter().map(|(from, to)| (from.to_string(), (*to).into())).collect()
    };
    let alias =
        |alias: &ServiceKey| json!({"Hostname": alias.hostname.as_str(), "Namespace": &*alias.namespace});
    let node_ports = service.external_ports.iter();
    let node_ports: Map<String, Value> =
        node_ports.map(|(cluster, ports)| (cluster.to_string(), numbers(ports).into())).collect();
    let seen_by = service.export_to.iter().map(|to| match to {
        Visibility::Public => "*",
        Visibility::Private => ".",
        Visibility::None => "~",
        Visibility::Namespace(name) => name,
    });
    let seen_by: Map<String, Value> = seen_by.map(|to| (to.to_owned(), json!({}))).collect();
    json!({
        "ServiceRegistry": match service.registry {
            Registry::Kubernetes => "Kubernetes",
            Registry::External => "External",
        },
        "Name": &*service.name,
        "Namespace": &*key.namespace,
        "Labels": labels(&service.labels),
        "ExportTo": seen_by,
        "LabelSelectors": labels(&service.selector),
        "Aliases": service.aliases.iter().map(alias).collect::<Vec<_>>(),
        "ClusterExternalAddresses": by_cluster(&service.external_addresses),
        "ClusterExternalPorts": node_ports,
        "PassthroughTargetPorts": numbers(&service.passthrough_target_ports),
        "Type": &*service.kube_type,
        "ExternalName": service.external_name.as_deref().unwrap_or_default(),
        "NodeLocal": service.node_local,
        "TrafficDistribution": match service.traffic_distribution {
            TrafficDistribution::Any => 0,
            TrafficDistribution::PreferSameZone => 1,
            TrafficDistribution::PreferSameNode => 2,
        },
        "PublishNotReadyAddresses": service.publish_not_ready,
    })
}

/// Addresses by cluster, in upstream's form.
fn by_cluster(addresses: &BTreeMap<Arc<str>, Vec<Arc<str>>>) -> Value {
    let of = |(cluster, addresses): (&Arc<str>, &Vec<Arc<str>>)| (cluster.to_string(), texts(addresses));
    json!({ "Addresses": addresses.iter().map(of).collect::<Map<_, _>>() })
}

fn texts(texts: &[Arc<str>]) -> Value {
    texts.iter().map(|text| &**text).collect()
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
