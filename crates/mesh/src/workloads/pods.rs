//! Pods as workloads.

use std::collections::BTreeMap;
use std::sync::Arc;

use config::Shared;
use config::kubernetes::{Container, Pod};
use tables::{Level, Reads, Table};

use super::labels::{self, Place, WorkloadLabels};
use super::{Attributes, Workload};
use crate::endpoints::{Health, Locality};
use crate::inputs::{Fact, NodeFacts};
use crate::key::{ObjectKey, WorkloadKey};
use crate::networks::network_of;
use crate::world::Ground;

/// The workload a Pod is; none for one that has failed, nobody watches those
/// (as pilot/pkg/serviceregistry/kube/controller: `NewEndpointBuilder`, the field selector of its pod client).
pub(crate) fn workload<L: Level>(
    r: &Reads<L>,
    ground: Ground<'_>,
    nodes: &Table<NodeFacts>,
    key: &WorkloadKey,
    fact: &Fact<Pod>,
) -> Option<Workload> {
    let settings = ground.seen(r, &key.object)?;
    let pod = &*fact.spec;
    if &*pod.phase == "Failed" {
        return None;
    }
    // not in the place of what it is collected from, which is larger
    let mut addresses: Vec<Arc<str>> = pod.addresses().into_iter().map(config::text).collect();
    addresses.shrink_to_fit();
    let own = &fact.meta.labels;
    let locality = labels::locality(own).unwrap_or_else(|| node_locality(r, nodes, key, pod));
    let first = addresses.first().map_or("", |a| a);
    let network = network_of(r, ground, settings, &key.object.cluster, first, &**own);
    let ready = pod.is_ready() && !pod.is_terminal() && !fact.meta.deleting && !addresses.is_empty();
    let account = if pod.service_account_name.is_empty() { "default" } else { &pod.service_account_name };
    let place =
        Place { cluster: &key.object.cluster, network: &network, node: &pod.node_name, locality: &locality };
    let attributes = Attributes {
        labels: WorkloadLabels::new(own.clone(), &place),
        identity: settings.spiffe(&key.object.namespace, account),
        cluster: key.object.cluster.clone(),
        namespace: key.object.namespace.clone(),
        tls_mode: config::text(own.get(config::label::TLS_MODE).map_or("disabled", |mode| mode)),
        workload: workload_name(fact),
        node: pod.node_name.clone(),
        hostname: hostname(pod, &key.object),
        subdomain: pod.subdomain.clone(),
        weight: 0,
        locality: locality.into(),
        network,
    };
    Some(Workload {
        key: key.clone(),
        addresses,
        attributes: Arc::new(attributes),
        service_account: config::text(account),
        container_ports: ports(pod),
        port_overrides: Shared::default(),
        health: if ready { Health::Healthy } else { Health::Unhealthy },
        host_network: pod.host_network,
        created: fact.meta.creation,
    })
}

/// Only pods with a subdomain have a name of their own.
fn hostname(pod: &Pod, key: &ObjectKey) -> Arc<str> {
    if pod.subdomain.is_empty() {
        Arc::default()
    } else if pod.hostname.is_empty() {
        key.name.clone()
    } else {
        pod.hostname.clone()
    }
}

fn node_locality<L: Level>(r: &Reads<L>, nodes: &Table<NodeFacts>, key: &WorkloadKey, pod: &Pod) -> Locality {
    if pod.node_name.is_empty() {
        return Locality::default();
    }
    let name = ObjectKey {
        cluster: key.object.cluster.clone(),
        namespace: Arc::default(),
        name: pod.node_name.clone(),
    };
    let Some(node) = nodes.get(r, &name) else { return Locality::default() };
    let label = |name: &str, older: &str| -> Arc<str> {
        let labels = &node.meta.labels;
        let value = labels.get(name).filter(|v| !v.is_empty()).or_else(|| labels.get(older));
        config::text(value.map_or("", |v| v))
    };
    Locality {
        region: label(config::label::REGION, config::label::BETA_REGION),
        zone: label(config::label::ZONE, config::label::BETA_ZONE),
        subzone: label(config::label::SUBZONE, ""),
    }
}

/// First one of a name wins; UDP ports have no part in a mesh.
fn ports(pod: &Pod) -> Shared<BTreeMap<Arc<str>, u32>> {
    let mut out = BTreeMap::new();
    let restarted = |c: &&Container| c.restart_policy == "Always";
    for port in
        pod.containers.iter().chain(pod.init_containers.iter().filter(restarted)).flat_map(|c| &c.ports)
    {
        let tcp = port.protocol.is_empty() || port.protocol == "TCP";
        if tcp && !port.name.is_empty() {
            let number = u32::try_from(port.container_port).unwrap_or(0);
            out.entry(config::text(&port.name)).or_insert(number);
        }
    }
    out.into()
}

/// The name of what made the pod: its Deployment, Job and so on, as far as names tell
/// (as pkg/kube: `GetDeployMetaFromPod`, `GetWorkloadMetaFromPod`).
fn workload_name(fact: &Fact<Pod>) -> Arc<str> {
    if let Some(name) = labels::workload_name(&fact.meta.labels) {
        return name;
    }
    let meta = &fact.meta;
    // a pod that a node runs from a file of its own keeps its name
    let Some(owner) = meta.owners.iter().find(|o| o.controller).filter(|o| o.kind != "Node") else {
        return meta.name.clone();
    };
    let label = |name: &str| meta.labels.get(name).filter(|v| !v.is_empty());
    let without = |hash: &String| owner.name.strip_suffix(&**hash).map(|n| n.strip_suffix('-').unwrap_or(n));
    let name = match owner.kind.as_str() {
        "ReplicaSet" => label("pod-template-hash")
            .and_then(without)
            .or_else(|| label("rollouts-pod-template-hash").and_then(without)),
        "ReplicationController" => label("deploymentconfig").map(String::as_str),
        "Job" => cron_job(&owner.name),
        _ => None,
    };
    match name.unwrap_or(&owner.name) {
        "" => meta.name.clone(),
        name => config::text(name),
    }
}

/// `name` of `name-<8 to 10 digits>`.
fn cron_job(job: &str) -> Option<&str> {
    let (name, number) = job.rsplit_once('-')?;
    let digits = (8..=10).contains(&number.len()) && number.bytes().all(|b| b.is_ascii_digit());
    digits.then_some(name)
}
