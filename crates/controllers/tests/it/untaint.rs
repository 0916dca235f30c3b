//! The CNI plugin's taint on nodes.

use controllers::untaint::{NodeUntainter, Options};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{Api, Patch, PatchParams};
use serde_json::{Value, json};
use testkit::eventually;

use crate::cluster::{PATIENCE, control_plane, counting, create, shared};

const TAINT: &str = "cni.istio.io/not-ready";

fn pod(name: &str, node: &str, labels: &Value) -> Value {
    let containers = json!([{"name": "install-cni", "image": "cni"}]);
    json!({"metadata": {"name": name, "labels": labels}, "spec": {"nodeName": node, "containers": containers}})
}

async fn make_ready(pods: &Api<Pod>, name: &str, is_ready: &str) {
    let status = json!({"status": {"conditions": [{"type": "Ready", "status": is_ready}]}});
    pods.patch_status(name, &PatchParams::default(), &Patch::Merge(status)).await.unwrap();
}

async fn taints(nodes: &Api<Node>, name: &str) -> Vec<String> {
    let node = nodes.get(name).await.unwrap();
    node.spec.unwrap().taints.unwrap_or_default().into_iter().map(|taint| taint.key).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_loses_the_taint_when_its_cni_pod_is_ready_and_no_other() {
    let server = shared().await;
    let admin = server.client().await.unwrap();
    let (client, writes) = counting(control_plane(&server, "untaint").await);
    let nodes: Api<Node> = Api::all(admin.clone());
    let pods: Api<Pod> = Api::namespaced(admin.clone(), "untaint");
    for name in ["taint-a", "taint-b", "taint-c"] {
        let taints = json!([
            {"key": "dedicated", "value": "db", "effect": "NoSchedule"},
            {"key": TAINT, "value": "true", "effect": "NoExecute"},
        ]);
        create(&nodes, json!({"metadata": {"name": name}, "spec": {"taints": taints}})).await;
    }
    let cni = json!({"k8s-app": "istio-cni-node"});
    create(&pods, pod("cni-a", "taint-a", &cni)).await;
    create(&pods, pod("cni-b", "taint-b", &cni)).await;
    create(&pods, pod("other-b", "taint-b", &json!({"k8s-app": "other"}))).await;
    make_ready(&pods, "cni-b", "False").await;
    make_ready(&pods, "other-b", "True").await;
    let running = tokio::spawn(NodeUntainter::new(client, Options::new("untaint")).run());

    let until = async |name: &str| {
        let look = async || (taints(&nodes, name).await == ["dedicated"]).then_some(());
        eventually(&format!("{name} has lost the taint"), PATIENCE, look).await.unwrap();
    };
    make_ready(&pods, "cni-a", "True").await;
    until("taint-a").await;
    assert_eq!(taints(&nodes, "taint-b").await, ["dedicated", TAINT]);
    make_ready(&pods, "cni-b", "True").await;
    until("taint-b").await;
    assert_eq!(taints(&nodes, "taint-c").await, ["dedicated", TAINT]);

    // tainted again while its pod is ready
    let again = json!({"spec": {"taints": [{"key": "dedicated", "effect": "NoSchedule"}, {"key": TAINT, "effect": "NoSchedule"}]}});
    nodes.patch("taint-a", &PatchParams::default(), &Patch::Merge(again)).await.unwrap();
    until("taint-a").await;
    let all = writes.of("/nodes/");
    let of = |name: &str| all.iter().filter(|write| write.contains(name)).count();
    assert_eq!((of("taint-a"), of("taint-b"), of("taint-c")), (2, 1, 0), "{all:?}");
    running.abort();
}
