//! What the scheduler and the kubelets do with pods: bind them, run them in name, let them go.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use anyhow::anyhow;
use k8s_openapi::api::core::v1::{Node, Pod, PodCondition};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use kube::api::{Api, DeleteParams, Patch, PatchParams, Preconditions};
use serde_json::{Value, json};

use super::address::Addresses;
use super::listing::{Listing, is_going, place};
use super::outcome::Outcome;
use super::{Machine, RUN};

/// What a test said of pods, by namespace and name.
#[derive(Debug, Default, Clone)]
pub(super) struct Orders {
    pub(super) ready: BTreeMap<(String, String), bool>,
    /// Those that terminate until they are let go.
    pub(super) held: BTreeSet<(String, String)>,
}

/// How orders name a pod.
pub(super) fn key(namespace: &str, name: &str) -> (String, String) {
    (namespace.to_owned(), name.to_owned())
}

/// The kubelets of all nodes, and the scheduler.
#[derive(Debug)]
pub(super) struct Kubelet {
    machines: Vec<(Machine, Addresses)>,
}

impl Kubelet {
    pub(super) fn new(machines: Vec<Machine>) -> Self {
        let with_addresses = |machine: Machine| {
            let addresses = Addresses::of(machine.pods);
            (machine, addresses)
        };
        Self { machines: machines.into_iter().map(with_addresses).collect() }
    }

    /// The zone of a node, if it is one of these.
    pub(super) fn zone(&self, node: &str) -> Option<&str> {
        let (machine, _) = self.machines.iter().find(|(machine, _)| machine.name == node)?;
        Some(&machine.zone)
    }

    /// Takes every pod one step further.
    pub(super) async fn work(
        &mut self,
        client: &Client,
        listing: &Listing,
        orders: &Orders,
        outcome: &mut Outcome,
    ) {
        let mut taken: BTreeSet<Ipv4Addr> = listing.pods.iter().filter_map(address).collect();
        let mut load: BTreeMap<String, usize> = BTreeMap::new();
        for pod in &listing.pods {
            *load.entry(node_of(pod).to_owned()).or_default() += 1;
        }
        for pod in &listing.pods {
            let (namespace, name) = place(&pod.metadata);
            let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
            let Some((machine, addresses)) =
                self.machines.iter_mut().find(|(machine, _)| machine.name == node_of(pod))
            else {
                if let Some(node) = self.choice(pod, &load) {
                    outcome.note("binding of pod", name, bind(client, pod, node).await);
                    *load.entry(node.to_owned()).or_default() += 1;
                }
                continue;
            };
            if is_going(&pod.metadata) && !orders.held.contains(&key(namespace, name)) {
                let this = Preconditions { uid: pod.metadata.uid.clone(), ..Preconditions::default() };
                let now = DeleteParams::default().grace_period(0).preconditions(this);
                outcome.note("pod", name, api.delete(name, &now).await);
                continue;
            }
            if has_ended(pod) {
                continue;
            }
            let at = address(pod).or_else(|| {
                let own_network = pod.spec.as_ref().and_then(|spec| spec.host_network) != Some(true);
                if own_network { addresses.next(&taken) } else { Some(machine.address) }
            });
            let Some(at) = at else {
                outcome.refuse(anyhow!("pod {name}: no address is left in {}", machine.pods));
                continue;
            };
            taken.insert(at);
            let said = orders.ready.get(&key(namespace, name)).copied();
            if let Some(status) = status(pod, machine, at, said.unwrap_or_else(|| !runs_really(pod))) {
                let patch = Patch::Merge(json!({"status": status}));
                let patched = api.patch_status(name, &PatchParams::default(), &patch).await;
                outcome.note("status of pod", name, patched);
            }
        }
    }

    /// The node for a pod that has none: the emptiest that its node selector allows.
    fn choice(&self, pod: &Pod, load: &BTreeMap<String, usize>) -> Option<&str> {
        let spec = pod.spec.as_ref()?;
        let gated = spec.scheduling_gates.as_ref().is_some_and(|gates| !gates.is_empty());
        if spec.node_name.is_some() || gated || is_going(&pod.metadata) {
            return None;
        }
        let fits = |machine: &Machine| {
            let labels = labels(machine);
            let mut wanted = spec.node_selector.iter().flatten();
            wanted.all(|(key, value)| labels.get(key) == Some(value))
        };
        let machines = self.machines.iter().map(|(machine, _)| machine).filter(|machine| fits(machine));
        let emptiest = machines.min_by_key(|machine| load.get(&machine.name).copied().unwrap_or_default())?;
        Some(&emptiest.name)
    }
}

/// Whether its readiness is a test's to say.
fn runs_really(pod: &Pod) -> bool {
    pod.metadata.annotations.as_ref().is_some_and(|annotations| annotations.contains_key(RUN))
}

fn node_of(pod: &Pod) -> &str {
    pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).unwrap_or_default()
}

/// The address a pod has.
pub(super) fn address(pod: &Pod) -> Option<Ipv4Addr> {
    pod.status.as_ref()?.pod_ip.as_ref()?.parse().ok()
}

/// Whether its containers ran to their end.
pub(super) fn has_ended(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

/// Whether it says that it is ready.
pub(super) fn is_ready(pod: &Pod) -> bool {
    condition(pod, "Ready").is_some_and(|condition| condition.status == "True")
}

fn condition<'a>(pod: &'a Pod, kind: &str) -> Option<&'a PodCondition> {
    pod.status.as_ref()?.conditions.iter().flatten().find(|condition| condition.type_ == kind)
}

async fn bind(client: &Client, pod: &Pod, node: &str) -> kube::Result<Value> {
    let (namespace, name) = place(&pod.metadata);
    let binding = json!({
        "apiVersion": "v1", "kind": "Binding",
        "metadata": {"name": name, "namespace": namespace, "uid": pod.metadata.uid},
        "target": {"apiVersion": "v1", "kind": "Node", "name": node},
    });
    let request = http::Request::post(format!("/api/v1/namespaces/{namespace}/pods/{name}/binding"))
        .header(http::header::CONTENT_TYPE, "application/json")
        .body(binding.to_string().into_bytes());
    client.request(request.map_err(kube::Error::HttpError)?).await
}

/// The status a running pod shall have; `None` if it has it.
fn status(pod: &Pod, machine: &Machine, at: Ipv4Addr, ready: bool) -> Option<Value> {
    let spec = pod.spec.as_ref()?;
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    let truth = if ready { "True" } else { "False" };
    let wanted =
        [("PodScheduled", "True"), ("Initialized", "True"), ("ContainersReady", truth), ("Ready", truth)];
    let holds = |(kind, status): &(&str, &str)| condition(pod, kind).is_some_and(|is| is.status == *status);
    if phase == Some("Running") && address(pod) == Some(at) && wanted.iter().all(holds) {
        return None;
    }
    let now = Time(Timestamp::now());
    // those of others stay
    let mut conditions: Vec<Value> = pod
        .status
        .iter()
        .flat_map(|status| status.conditions.iter().flatten())
        .filter(|condition| wanted.iter().all(|(kind, _)| condition.type_ != *kind))
        .map(|condition| json!(condition))
        .collect();
    for (kind, status) in wanted {
        let same = condition(pod, kind).filter(|is| is.status == status);
        let since = same.and_then(|is| is.last_transition_time.clone()).unwrap_or_else(|| now.clone());
        conditions.push(json!({"type": kind, "status": status, "lastTransitionTime": since}));
    }
    let started = pod.status.as_ref().and_then(|status| status.start_time.clone()).unwrap_or(now);
    let container = |name: &str, image: Option<&str>, ended: bool| {
        let image = image.unwrap_or_default();
        let state = if ended {
            json!({"terminated": {"exitCode": 0, "reason": "Completed", "startedAt": started, "finishedAt": started}})
        } else {
            json!({"running": {"startedAt": started}})
        };
        json!({
            "name": name, "image": image, "imageID": image, "restartCount": 0, "state": state,
            "ready": ended || ready, "started": !ended,
        })
    };
    let containers: Vec<Value> =
        spec.containers.iter().map(|of| container(&of.name, of.image.as_deref(), false)).collect();
    let first: Vec<Value> = spec
        .init_containers
        .iter()
        .flatten()
        // one that is restarted always is a sidecar
        .map(|of| container(&of.name, of.image.as_deref(), of.restart_policy.as_deref() != Some("Always")))
        .collect();
    Some(json!({
        "phase": "Running", "conditions": conditions, "startTime": started, "qosClass": "BestEffort",
        "podIP": at, "podIPs": [{"ip": at}], "hostIP": machine.address, "hostIPs": [{"ip": machine.address}],
        "containerStatuses": containers, "initContainerStatuses": first,
    }))
}

fn labels(machine: &Machine) -> BTreeMap<String, String> {
    let labels = [
        ("kubernetes.io/hostname", &machine.name),
        ("topology.kubernetes.io/region", &machine.region),
        ("topology.kubernetes.io/zone", &machine.zone),
    ];
    labels.into_iter().map(|(key, value)| (key.to_owned(), value.clone())).collect()
}

/// Makes the Node object, or makes the one there is into this one.
pub(super) async fn register(client: &Client, machine: &Machine) -> kube::Result<()> {
    let nodes: Api<Node> = Api::all(client.clone());
    let pods = machine.pods.to_string();
    let node = json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": machine.name, "labels": labels(machine)},
        "spec": {"podCIDR": pods, "podCIDRs": [pods]},
    });
    let manager = PatchParams::apply("testkit").force();
    nodes.patch(&machine.name, &manager, &Patch::Apply(&node)).await?;
    let status = json!({"status": {
        "addresses": [
            {"type": "InternalIP", "address": machine.address},
            {"type": "Hostname", "address": machine.name},
        ],
        "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}],
    }});
    nodes.patch_status(&machine.name, &PatchParams::default(), &Patch::Merge(&status)).await?;
    Ok(())
}
