//! Kubernetes Services as services.

use std::collections::BTreeMap;
use std::sync::Arc;

use config::kubernetes as kube;
use config::{Host, Protocol};
use litemap::LiteMap;
use tables::{Level, Reads, Table};

use super::claims::{declared_by, traffic_distribution};
use super::{Port, Registry, Resolution, Service, TargetPort};
use crate::exports::audience;
use crate::inputs::{Fact, NodeFacts};
use crate::key::{ObjectKey, ServiceKey};
use crate::settings::Settings;
use crate::workloads::labels::shared;
use crate::world::Ground;

const NODE_SELECTOR: &str = "traffic.istio.io/nodeSelector";
const UNSPECIFIED: &str = "0.0.0.0";

/// The service a Kubernetes Service is (as pilot/pkg/serviceregistry/kube/conversion.go: `ConvertService`).
pub(super) fn service<L: Level>(
    r: &Reads<L>,
    ground: Ground<'_>,
    nodes: &Table<NodeFacts>,
    key: &ObjectKey,
    fact: &Fact<kube::Service>,
) -> Option<Service> {
    let settings = ground.seen(r, key)?;
    let (spec, meta) = (&*fact.spec, &*fact.meta);
    let external_name = (spec.r#type == "ExternalName" && !spec.external_name.is_empty())
        .then(|| Arc::from(&*spec.external_name));
    let resolution = match (&external_name, spec.is_headless()) {
        (_, true) => Resolution::Passthrough,
        (Some(_), false) => Resolution::Alias,
        (None, false) => Resolution::ClientSideLb,
    };
    let vips = vips(spec);
    let ports: Vec<Port> = spec.ports.iter().map(port).collect();
    let target_ports: LiteMap<_, _> = spec.ports.iter().map(|p| (number(p.port), target_port(p))).collect();
    let (external_addresses, external_ports) = externals(r, nodes, key, fact);
    let words = meta.annotations.get("networking.istio.io/exportTo").filter(|w| !w.is_empty());
    let words = words.into_iter().flat_map(|w| w.split(',')).map(str::trim);
    Some(Service {
        key: ServiceKey {
            hostname: Host::from(config::host::service(&key.name, &key.namespace, &settings.domain).as_str()),
            namespace: key.namespace.clone(),
        },
        name: key.name.clone(),
        registry: Registry::Kubernetes,
        own_ports: ports.len(),
        ports,
        resolution,
        mesh_external: external_name.is_some(),
        default_address: vips.first().cloned().unwrap_or_else(|| UNSPECIFIED.into()),
        cluster_vips: by_cluster(key, vips),
        addresses: Vec::new(),
        auto_allocated_v4: None,
        auto_allocated_v6: None,
        created: meta.creation,
        export_to: audience(words, &settings.mesh.default_service_export_to, &key.namespace),
        labels: Arc::new(shared(&*meta.labels)),
        selector: Arc::new(shared(&spec.selector)),
        declared_accounts: accounts(settings, key, meta),
        external_name,
        aliases: Vec::new(),
        external_addresses: by_cluster(key, external_addresses),
        external_ports,
        passthrough_target_ports: LiteMap::new(),
        node_local: spec.internal_traffic_policy == "Local",
        traffic_distribution: traffic_distribution(r, ground, key, &spec.traffic_distribution, meta),
        publish_not_ready: spec.publish_not_ready_addresses,
        target_ports: Arc::new(target_ports),
        declared_by: declared_by(meta),
        kube_type: spec.service_type().into(),
        race_connect: false,
        others: Vec::new(),
        common_name_of: None,
    })
}

fn number(port: i32) -> u32 {
    u32::try_from(port).unwrap_or(0)
}

fn port(p: &kube::ServicePort) -> Port {
    let protocol = Protocol::of_port(number(p.port), &p.name, &p.protocol, p.app_protocol.as_deref());
    Port { name: p.name.as_str().into(), number: number(p.port), protocol }
}

/// An API server fills `targetPort` with the port itself; a file need not say it.
fn target_port(p: &kube::ServicePort) -> TargetPort {
    match &p.target_port {
        Some(kube::IntOrString::String(name)) if !name.is_empty() => TargetPort::Name(name.as_str().into()),
        Some(kube::IntOrString::Int(n)) if *n > 0 => TargetPort::Number(number(*n)),
        _ => TargetPort::Number(number(p.port)),
    }
}

fn vips(spec: &kube::Service) -> Vec<Arc<str>> {
    if spec.is_headless() || spec.cluster_ip.is_empty() && spec.cluster_ips.len() < 2 {
        return Vec::new();
    }
    spec.addresses().into_iter().map(Arc::from).collect()
}

fn by_cluster<T>(key: &ObjectKey, values: Vec<T>) -> LiteMap<Arc<str>, Vec<T>> {
    let all = if values.is_empty() { Vec::new() } else { vec![(key.cluster.clone(), values)] };
    all.into_iter().collect()
}

/// The identities that annotations name: full ones, and service accounts of the same namespace.
fn accounts(settings: &Settings, key: &ObjectKey, meta: &config::Meta) -> Vec<Arc<str>> {
    let words = |name: &str| {
        let value = meta.annotations.get(name).filter(|v| !v.is_empty());
        value.map(|v| v.split(',').map(str::to_owned).collect::<Vec<_>>()).unwrap_or_default()
    };
    let full = words("alpha.istio.io/canonical-serviceaccounts").into_iter().map(Arc::from);
    let names = words("alpha.istio.io/kubernetes-serviceaccounts");
    let mut out: Vec<Arc<str>> = full
        .chain(names.iter().map(|n| settings.spiffe(&key.namespace, n)))
        .filter(|a| !a.is_empty())
        .collect();
    out.sort();
    out.dedup();
    out
}

type NodePorts = LiteMap<Arc<str>, LiteMap<u32, u32>>;

/// Where the service is reached from outside its cluster.
fn externals<L: Level>(
    r: &Reads<L>,
    nodes: &Table<NodeFacts>,
    key: &ObjectKey,
    fact: &Fact<kube::Service>,
) -> (Vec<Arc<str>>, NodePorts) {
    let (spec, meta) = (&*fact.spec, &*fact.meta);
    let mut addresses: Vec<Arc<str>> = Vec::new();
    let mut ports = LiteMap::new();
    if spec.r#type == "LoadBalancer" {
        for ingress in &spec.load_balancer_ingress {
            let address = if ingress.ip.is_empty() { &ingress.hostname } else { &ingress.ip };
            if !address.is_empty() {
                addresses.push(address.as_str().into());
            }
        }
    }
    addresses.extend(spec.external_ips.iter().map(|a| Arc::from(&**a)));
    if spec.r#type == "NodePort"
        && let Some(selector) = meta.annotations.get(NODE_SELECTOR)
    {
        let map = spec.ports.iter().map(|p| (number(p.port), number(p.node_port))).collect();
        ports.insert(key.cluster.clone(), map);
        if addresses.is_empty() {
            addresses = node_addresses(r, nodes, key, selector);
        }
    }
    (addresses, ports)
}

/// The external addresses of the nodes that an annotation selects by a JSON object of labels.
fn node_addresses<L: Level>(
    r: &Reads<L>,
    nodes: &Table<NodeFacts>,
    key: &ObjectKey,
    selector: &str,
) -> Vec<Arc<str>> {
    let selector: BTreeMap<String, String> = serde_json::from_str(selector).unwrap_or_default();
    let selector: config::Labels = selector.into_iter().collect();
    let own = nodes.all(r).filter(|(node, _)| node.cluster == key.cluster);
    own.filter(|(_, fact)| config::labels::subset_of(&selector, &fact.meta.labels))
        .filter_map(|(_, fact)| fact.spec.addresses.iter().find(|a| a.r#type == "ExternalIP"))
        .filter(|a| !a.address.is_empty())
        .map(|a| Arc::from(&*a.address))
        .collect()
}
