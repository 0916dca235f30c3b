//! Pages about services and their endpoints, in the words of pilot/pkg/model/service.go; and what a proxy sees of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use config::{Visibility, host};
use generate::Class;
use generate::plan::{OutboundOf, ScopeOf};
use generate::scope::Egress;
use mesh::World;
use mesh::endpoints::{Endpoint, Health};
use mesh::key::ServiceKey;
use mesh::rules::Rule;
use mesh::services::{Registry, Resolution, Service, TrafficDistribution};
use mesh::workloads::LabelSet;
use serde_json::{Map, Value, json};
use tables::Snapshot as _;

use crate::catalog::MeshCatalog;

/// Every service (as `Service`).
pub(super) fn services(world: &World) -> Value {
    world.services.iter().map(|(key, row)| service(key, row)).collect()
}

/// One service.
pub(super) fn service(key: &ServiceKey, service: &Service) -> Value {
    let ports = service.ports.iter();
    let ports: Value = ports
        .map(|port| json!({"name": &*port.name, "port": port.number, "protocol": port.protocol.to_string()}))
        .collect();
    let mut out = json!({
        "Attributes": attributes(key, service),
        "ports": ports,
        "creationTime": config::decode::rfc3339(service.created),
        "hostname": key.hostname.as_str(),
        "clusterVIPs": addresses(&service.cluster_vips),
        "defaultAddress": &*service.default_address,
        "Resolution": resolution(service.resolution),
        "MeshExternal": service.mesh_external,
        "ResourceVersion": "",
    });
    let accounts = &service.declared_accounts;
    if !accounts.is_empty() {
        out["serviceAccounts"] = accounts.iter().map(|account| Value::from(&**account)).collect();
    }
    let allocated = [
        ("autoAllocatedIPv4Address", &service.auto_allocated_v4),
        ("autoAllocatedIPv6Address", &service.auto_allocated_v6),
    ];
    for (name, address) in allocated {
        if let Some(address) = address {
            out[name] = (**address).into();
        }
    }
    out
}

/// As `ServiceAttributes` and `K8sAttributes`; what is empty is null, as Go writes it.
fn attributes(key: &ServiceKey, service: &Service) -> Value {
    let aliases = service.aliases.iter();
    let aliases: Vec<Value> =
        aliases.map(|of| json!({"Hostname": of.hostname.as_str(), "Namespace": &*of.namespace})).collect();
    let kubernetes = service.registry == Registry::Kubernetes;
    // the object of a Kubernetes Service has the service's own name
    let object = service.declared_by.first().filter(|_| !kubernetes).map_or("", |object| name_of(object));
    let node_ports =
        service.external_ports.iter().map(|(cluster, ports)| (cluster.to_string(), numbers(ports)));
    json!({
        "ServiceRegistry": if kubernetes { "Kubernetes" } else { "External" },
        "Name": &*service.name,
        "Namespace": &*key.namespace,
        "Labels": texts(&*service.labels),
        "ExportTo": export_to(&service.export_to),
        "Visibility": 0,
        "LabelSelectors": texts(&*service.selector),
        "Aliases": or_null(aliases),
        "ClusterExternalAddresses": addresses(&service.external_addresses),
        "ClusterExternalPorts": object_or_null(node_ports.collect()),
        "PassthroughTargetPorts": numbers(&service.passthrough_target_ports),
        "Type": &*service.kube_type,
        "ExternalName": service.external_name.as_deref().unwrap_or_default(),
        "NodeLocal": service.node_local,
        "TrafficDistribution": match service.traffic_distribution {
            TrafficDistribution::Any => 0,
            TrafficDistribution::PreferSameZone => 1,
            TrafficDistribution::PreferSameNode => 2,
        },
        "ObjectName": object,
        "DNSConnectStrategy": u8::from(service.race_connect),
        "PublishNotReadyAddresses": service.publish_not_ready,
    })
}

/// The last part of `kind/namespace/name` or `namespace/name`.
fn name_of(object: &str) -> &str {
    object.rsplit('/').next().unwrap_or(object)
}

fn or_null(list: Vec<Value>) -> Value {
    if list.is_empty() { Value::Null } else { list.into() }
}

fn object_or_null(map: Map<String, Value>) -> Value {
    if map.is_empty() { Value::Null } else { map.into() }
}

fn texts(labels: &impl LabelSet) -> Value {
    object_or_null(labels.pairs().map(|(name, value)| (name.to_owned(), value.into())).collect())
}

fn numbers<'m>(map: impl IntoIterator<Item = (&'m u32, &'m u32)>) -> Value {
    object_or_null(map.into_iter().map(|(from, to)| (from.to_string(), (*to).into())).collect())
}

/// As `AddressMap`.
fn addresses<'m>(by_cluster: impl IntoIterator<Item = (&'m Arc<str>, &'m Vec<Arc<str>>)>) -> Value {
    let list = |all: &Vec<Arc<str>>| all.iter().map(|address| Value::from(&**address)).collect::<Value>();
    let all = by_cluster.into_iter().filter(|(_, all)| !all.is_empty());
    json!({ "Addresses": object_or_null(all.map(|(cluster, all)| (cluster.to_string(), list(all))).collect()) })
}

/// A set, as Go writes one.
fn export_to(words: &BTreeSet<Visibility>) -> Value {
    let word = |visibility: &Visibility| match visibility {
        Visibility::Public => "*".to_owned(),
        Visibility::Private => ".".to_owned(),
        Visibility::None => "~".to_owned(),
        Visibility::Namespace(name) => name.clone(),
    };
    object_or_null(words.iter().map(|visibility| (word(visibility), json!({}))).collect())
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

/// Endpoints of every service that has some: by host name, then namespace, then cluster (as
/// pilot/pkg/model/endpointshards.go: `EndpointShards`).
pub(super) fn endpoints(world: &World) -> Value {
    let mut out: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    for (key, row) in world.endpoints.iter().filter(|(_, row)| !row.endpoints.is_empty()) {
        let mut shards: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        let mut accounts = Map::new();
        for one in &row.endpoints {
            shards.entry(format!("Kubernetes/{}", one.cluster)).or_default().push(endpoint(one));
            if !one.identity.is_empty() {
                accounts.insert(one.identity.to_string(), json!({}));
            }
        }
        let of_host = out.entry(key.hostname.as_str()).or_default();
        of_host.insert(key.namespace.to_string(), json!({ "Shards": shards, "ServiceAccounts": accounts }));
    }
    json!(out)
}

/// As `IstioEndpoint`.
fn endpoint(of: &Endpoint) -> Value {
    let place = &of.locality;
    let label = match place.is_empty() {
        true => String::new(),
        false => format!("{}/{}/{}", place.region, place.zone, place.subzone),
    };
    json!({
        "Labels": texts(&of.labels),
        "Addresses": of.addresses.iter().map(|address| &**address).collect::<Vec<_>>(),
        "ServicePortName": &*of.service_port,
        "LegacyClusterPortKey": of.service_port_number,
        "ServiceAccount": &*of.identity,
        "Network": &*of.network,
        "Locality": { "Label": label, "ClusterID": &*of.cluster },
        "EndpointPort": of.port,
        "LbWeight": of.weight,
        "TLSMode": &*of.tls_mode,
        "Namespace": &*of.namespace,
        "WorkloadName": &*of.workload,
        "HostName": &*of.hostname,
        "SubDomain": &*of.subdomain,
        "HealthStatus": match of.health {
            Health::Healthy => 1,
            Health::Unhealthy => 2,
            Health::Draining => 3,
            Health::Terminating => 4,
        },
        "SendUnhealthyEndpoints": of.send_unhealthy,
        "NodeName": &*of.node,
    })
}

/// What a proxy can see (as pilot/pkg/model/sidecar.go: `SidecarScope.MarshalJSON`).
pub(super) fn scope(catalog: &MeshCatalog, class: &Class) -> Value {
    let world = catalog.world();
    let memos = catalog.generator().memos();
    let outbound = memos.get(&world, &OutboundOf(class.clone())).out;
    let scope = memos.get(&world, &ScopeOf((*outbound).clone())).out;
    let shown = |key: &ServiceKey| world.services.peek(key).map(|row| service(key, row));
    let seen = |egress: &Egress| egress.services.iter().filter_map(|s| shown(&s.key)).collect::<Value>();
    let by_host = scope.services.iter().filter_map(|s| Some((s.key.hostname.to_string(), shown(&s.key)?)));
    let object = scope.sidecar.as_ref().and_then(|named| world.sidecars.peek(named));
    let (namespace, name) = match &scope.sidecar {
        Some((namespace, name)) => (&**namespace, &**name),
        None => (&*class.namespace, "default-sidecar"),
    };
    json!({
        "version": world.revision().0.to_string(),
        "name": name,
        "namespace": namespace,
        "outboundTrafficPolicy": { "mode": scope.outbound_policy.name() },
        "services": scope.services.iter().filter_map(|s| shown(&s.key)).collect::<Value>(),
        "egressListenerServices": scope.egress.iter().map(seen).collect::<Value>(),
        "servicesByHostname": by_host.collect::<Map<_, _>>(),
        "sidecar": object.map(|row| row.sidecar.to_value().to_json()),
        "destinationRules": destination_rules(&world, class, scope.services.iter().map(|s| &s.key)),
    })
}

/// The rules of the namespaces that count for the services in scope, by host: the proxy's own, the service's, the root.
fn destination_rules<'s>(
    world: &World,
    class: &Class,
    services: impl Iterator<Item = &'s ServiceKey>,
) -> Value {
    let root = world.settings.peek(&()).map(|settings| settings.root_namespace().to_string());
    let services: Vec<&ServiceKey> = services.collect();
    let mut out: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    for ((namespace, _), row) in world.rules.iter() {
        let counts = |service: &&&ServiceKey| {
            let from = *namespace == class.namespace
                || *namespace == service.namespace
                || root.as_deref() == Some(namespace);
            from && host::subset_of(service.hostname.as_str(), row.host.as_str())
        };
        if services.iter().any(|service| counts(&service)) {
            out.entry(row.host.as_str()).or_default().extend(row.rules.iter().map(rule));
        }
    }
    json!(out)
}

/// As pilot/pkg/model/push_context.go: `ConsolidatedDestRule.MarshalJSON`, without what only its API server knows.
fn rule(of: &Rule) -> Value {
    let from = of.from.iter().map(|named| {
        let (namespace, name) = named.split_once('/').unwrap_or(("", named));
        json!({ "Namespace": namespace, "Name": name })
    });
    let name = of.from.first().map_or("", |named| name_of(named));
    json!({
        "exportTo": export_to(&of.export_to).as_object().cloned().unwrap_or_default(),
        "from": from.collect::<Value>(),
        "rule": {
            "type": { "group": "networking.istio.io", "version": "v1", "kind": "DestinationRule" },
            "name": name, "namespace": &*of.namespace,
            "creationTimestamp": config::decode::rfc3339(of.created),
            "Spec": of.rule.to_value().to_json(),
        },
    })
}
