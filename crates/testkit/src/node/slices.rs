//! EndpointSlices of Services that have a selector, as the controller of Kubernetes writes them.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Pod, Service, ServicePort};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointPort, EndpointSlice};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::Client;
use kube::api::{Api, DeleteParams, PostParams};
use serde_json::{Value, json};

use super::kubelet::{Kubelet, has_ended, is_ready};
use super::listing::{Listing, controller, is_going, place};
use super::outcome::Outcome;
use super::workloads::fingerprint;

const SERVICE: &str = "kubernetes.io/service-name";
const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
const MANAGER: &str = "endpointslice-controller.k8s.io";
const HEADLESS: &str = "service.kubernetes.io/headless";
/// As many as Kubernetes puts into one.
const ENDPOINTS: usize = 100;

/// Makes the slices of all Services what they have to be.
pub(super) async fn work(client: &Client, listing: &Listing, kubelet: &Kubelet, outcome: &mut Outcome) {
    let mut wanted: BTreeMap<(&str, String), EndpointSlice> = BTreeMap::new();
    for service in listing.services.iter().filter(|service| !is_going(&service.metadata)) {
        let (namespace, _) = place(&service.metadata);
        for slice in slices(service, &listing.pods, kubelet) {
            wanted.insert((namespace, slice.metadata.name.clone().unwrap_or_default()), slice);
        }
    }
    for old in listing.slices.iter().filter(|slice| is_ours(slice)) {
        let (namespace, name) = place(&old.metadata);
        let api: Api<EndpointSlice> = Api::namespaced(client.clone(), namespace);
        match wanted.remove(&(namespace, name.to_owned())) {
            None => outcome.note("EndpointSlice", name, api.delete(name, &DeleteParams::default()).await),
            Some(new) if is_same(old, &new) => {}
            Some(mut new) => {
                new.metadata.resource_version.clone_from(&old.metadata.resource_version);
                outcome.note("EndpointSlice", name, api.replace(name, &PostParams::default(), &new).await);
            }
        }
    }
    for ((namespace, name), slice) in wanted {
        let api: Api<EndpointSlice> = Api::namespaced(client.clone(), namespace);
        outcome.note("EndpointSlice", &name, api.create(&PostParams::default(), &slice).await);
    }
}

fn is_ours(slice: &EndpointSlice) -> bool {
    let labels = slice.metadata.labels.as_ref();
    labels.and_then(|labels| labels.get(MANAGED_BY)).is_some_and(|by| by == MANAGER)
        && controller(&slice.metadata, "Service").is_some()
}

/// An absent list is an empty one.
fn is_same(old: &EndpointSlice, new: &EndpointSlice) -> bool {
    old.metadata.labels == new.metadata.labels
        && old.endpoints.as_deref().unwrap_or_default() == new.endpoints.as_deref().unwrap_or_default()
        && old.ports.as_deref().unwrap_or_default() == new.ports.as_deref().unwrap_or_default()
}

/// The slices of one Service: one for each set of port numbers that its pods have, one without endpoints if there is no
/// pod.
fn slices(service: &Service, pods: &[Pod], kubelet: &Kubelet) -> Vec<EndpointSlice> {
    let Some(spec) = &service.spec else { return Vec::new() };
    let Some(selector) = spec.selector.as_ref().filter(|selector| !selector.is_empty()) else {
        return Vec::new();
    };
    if spec.type_.as_deref() == Some("ExternalName") {
        return Vec::new();
    }
    let (namespace, _) = place(&service.metadata);
    let mut by_ports: BTreeMap<String, (Vec<EndpointPort>, Vec<Endpoint>)> = BTreeMap::new();
    for pod in pods {
        let labels = pod.metadata.labels.as_ref();
        let has = |(key, value): (&String, &String)| labels.and_then(|of| of.get(key)) == Some(value);
        if place(&pod.metadata).0 != namespace || !selector.iter().all(has) || has_ended(pod) {
            continue;
        }
        let Some(endpoint) = endpoint(service, pod, kubelet) else { continue };
        let ports: Vec<EndpointPort> =
            spec.ports.iter().flatten().filter_map(|port| resolved(port, pod)).collect();
        let set = by_ports.entry(json!(ports).to_string()).or_insert_with(|| (ports, Vec::new()));
        set.1.push(endpoint);
    }
    if by_ports.is_empty() {
        by_ports.insert(String::new(), (Vec::new(), Vec::new()));
    }
    let mut slices = Vec::new();
    for (key, (ports, endpoints)) in by_ports {
        // no chunk of nothing: a Service without pods has a slice, too
        let chunks = endpoints.len().div_ceil(ENDPOINTS).max(1);
        for at in 0..chunks {
            let chunk = endpoints.iter().skip(at * ENDPOINTS).take(ENDPOINTS).cloned().collect();
            slices.push(slice(service, &format!("{key}/{at}"), ports.clone(), chunk));
        }
    }
    slices
}

fn slice(service: &Service, key: &str, ports: Vec<EndpointPort>, endpoints: Vec<Endpoint>) -> EndpointSlice {
    let (_, name) = place(&service.metadata);
    let uid = service.metadata.uid.as_deref().unwrap_or_default();
    let mut labels = service.metadata.labels.clone().unwrap_or_default();
    labels.insert(SERVICE.to_owned(), name.to_owned());
    labels.insert(MANAGED_BY.to_owned(), MANAGER.to_owned());
    if service.spec.as_ref().and_then(|spec| spec.cluster_ip.as_deref()) == Some("None") {
        labels.insert(HEADLESS.to_owned(), String::new());
    }
    let owner: Value = json!([{
        "apiVersion": "v1", "kind": "Service", "name": name, "uid": uid,
        "controller": true, "blockOwnerDeletion": true,
    }]);
    EndpointSlice {
        address_type: "IPv4".to_owned(),
        endpoints: Some(endpoints),
        ports: Some(ports),
        metadata: ObjectMeta {
            name: Some(format!("{name}-{}", fingerprint(&format!("{uid}{key}"), 5))),
            labels: Some(labels),
            owner_references: serde_json::from_value(owner).ok(),
            ..ObjectMeta::default()
        },
    }
}

/// A pod as an endpoint; `None` while it has no address.
fn endpoint(service: &Service, pod: &Pod, kubelet: &Kubelet) -> Option<Endpoint> {
    let (spec, status) = (pod.spec.as_ref()?, pod.status.as_ref()?);
    let (namespace, name) = place(&pod.metadata);
    let node = spec.node_name.as_deref()?;
    let publish = service.spec.as_ref().and_then(|spec| spec.publish_not_ready_addresses) == Some(true);
    let (serving, terminating) = (publish || is_ready(pod), is_going(&pod.metadata));
    let hostname = spec.hostname.as_ref().filter(|_| spec.subdomain == service.metadata.name);
    let endpoint = json!({
        "addresses": [status.pod_ip.as_ref()?],
        "conditions": {
            "ready": serving && (publish || !terminating), "serving": serving, "terminating": terminating,
        },
        "targetRef": {"kind": "Pod", "namespace": namespace, "name": name, "uid": pod.metadata.uid},
        "nodeName": node,
        "zone": kubelet.zone(node),
        "hostname": hostname,
    });
    serde_json::from_value(endpoint).ok()
}

/// A Service's port with the number it has in a pod; `None` if the pod has no port of that name.
fn resolved(port: &ServicePort, pod: &Pod) -> Option<EndpointPort> {
    let protocol = port.protocol.clone().unwrap_or_else(|| "TCP".to_owned());
    let number = match &port.target_port {
        None => port.port,
        Some(IntOrString::Int(number)) => *number,
        Some(IntOrString::String(name)) => {
            let spec = pod.spec.as_ref()?;
            // a sidecar among the init containers has ports, too
            let containers = spec.containers.iter().chain(spec.init_containers.iter().flatten());
            let mut ports = containers.flat_map(|container| container.ports.iter().flatten());
            let is_it = |of: &&k8s_openapi::api::core::v1::ContainerPort| {
                of.name.as_ref() == Some(name) && of.protocol.as_deref().unwrap_or("TCP") == protocol
            };
            ports.find(is_it)?.container_port
        }
    };
    Some(EndpointPort {
        name: Some(port.name.clone().unwrap_or_default()),
        port: Some(number),
        protocol: Some(protocol),
        app_protocol: port.app_protocol.clone(),
    })
}
