//! Nodes lose the taint that keeps pods away until the CNI plugin runs there.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{Node, Pod, Taint};
use kube::api::{Api, Patch, PatchParams};
use kube::runtime::watcher;
use kube::{Client, ResourceExt as _};
use serde_json::json;

use crate::mirror::{Key, Mirror};
use crate::queue::{Outcome, Queue};

/// The pods of the CNI plugin, of which those that failed are of no interest.
const CNI_LABELS: &str = "k8s-app=istio-cni-node";
const NOT_FAILED: &str = "status.phase!=Failed";

/// Which taint, and whose pods end it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The key of the taint, whatever its value and effect: `PILOT_NODE_UNTAINT_CONTROLLERS_TAINT_NAME`.
    pub taint: String,
    /// The namespace of the CNI plugin.
    pub namespace: String,
}

impl Options {
    /// Upstream's taint.
    #[must_use]
    pub fn new(namespace: &str) -> Self {
        Self { taint: "cni.istio.io/not-ready".to_owned(), namespace: namespace.to_owned() }
    }
}

/// Takes the taint from nodes with a CNI pod that is ready (as pilot/pkg/controllers/untaint). Runs under
/// [`crate::leader::Work::NODE_UNTAINT`].
pub struct NodeUntainter {
    api: Api<Node>,
    taint: String,
    nodes: Mirror<Node, Tainted>,
    /// The node of each CNI pod that is ready.
    pods: Mirror<Pod, Option<String>>,
    /// Names of nodes.
    queue: Queue<String>,
}

/// The taints of one version of a node.
struct Tainted {
    version: String,
    taints: Vec<Taint>,
}

impl NodeUntainter {
    /// One that has seen nothing yet.
    #[must_use]
    pub fn new(client: Client, options: Options) -> Self {
        let pods: Api<Pod> = Api::namespaced(client.clone(), &options.namespace);
        let of_cni = watcher::Config::default().labels(CNI_LABELS).fields(NOT_FAILED);
        let api: Api<Node> = Api::all(client);
        let tainted = |node: Node| Tainted {
            version: node.resource_version().unwrap_or_default(),
            taints: node.spec.and_then(|spec| spec.taints).unwrap_or_default(),
        };
        Self {
            nodes: Mirror::new("nodes", api.clone(), watcher::Config::default(), tainted),
            pods: Mirror::new("pods of the CNI plugin", pods, of_cni, ready_node),
            api,
            taint: options.taint,
            queue: Queue::new("removing the CNI's taint from node"),
        }
    }

    /// Runs until it is dropped. Trouble with the cluster is logged and tried again.
    pub async fn run(mut self) {
        loop {
            let synced = self.nodes.synced() && self.pods.synced();
            tokio::select! {
                keys = self.nodes.changed() => keys.into_iter().for_each(|key| self.queue.add(key.name)),
                keys = self.pods.changed() => self.add_nodes_of(&keys),
                name = self.queue.next(), if synced => {
                    if let Some((version, taints)) = self.due(&name) {
                        let work = write(self.api.clone(), name.clone(), version, taints);
                        self.queue.work(name, work).await;
                    }
                }
            }
        }
    }

    fn add_nodes_of(&mut self, pods: &[Key]) {
        let nodes: BTreeSet<&String> = pods.iter().filter_map(|key| self.pods.get(key)?.as_ref()).collect();
        nodes.into_iter().for_each(|node| self.queue.add(node.clone()));
    }

    /// The version of a node, and the taints it should have instead of those it has.
    fn due(&self, name: &str) -> Option<(String, Vec<Taint>)> {
        let node = self.nodes.get(&Key::new("", name))?;
        let kept: Vec<Taint> = node.taints.iter().filter(|taint| taint.key != self.taint).cloned().collect();
        let is_ready = || self.pods.iter().any(|(_, node)| node.as_deref() == Some(name));
        (kept.len() < node.taints.len() && is_ready()).then(|| (node.version.clone(), kept))
    }
}

/// The node of a pod that is ready.
fn ready_node(pod: Pod) -> Option<String> {
    let conditions = pod.status?.conditions.unwrap_or_default();
    let is_ready =
        conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True");
    pod.spec?.node_name.filter(|_| is_ready)
}

/// Replaces the taints of one version of a node.
async fn write(nodes: Api<Node>, name: String, version: String, taints: Vec<Taint>) -> Outcome {
    let patch = json!({"metadata": {"resourceVersion": version}, "spec": {"taints": taints}});
    match nodes.patch(&name, &PatchParams::default(), &Patch::Merge(patch)).await {
        Ok(_) => {
            tracing::info!("node {name}: the CNI plugin is ready there, its taint is removed");
            Ok(1)
        }
        // gone, or changed since: the watch tells of it
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(1),
        Err(error) => Err(error.into()),
    }
}
