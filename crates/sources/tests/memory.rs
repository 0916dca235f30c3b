//! How many bytes a pod takes, counted by the allocator.

#[path = "../../tables/benches/counting.rs"]
mod counting;

use config::Kind;
use counting::live;
use kube::runtime::watcher::Event;
use mesh::Mesh;
use mesh::settings::Settings;
use serde::Deserialize as _;
use serde_json::{Value, json};
use sources::Change;
use sources::kubernetes::{Held, Raw};

const DEPLOYMENTS: usize = 500;
const PODS_EACH: usize = 10;
const PODS: usize = DEPLOYMENTS * PODS_EACH;

/// A pod as a cluster has it: owner, sidecar, conditions, and what nobody reads.
fn pod(deployment: usize, replica: usize) -> Value {
    let app = format!("app-{deployment}");
    let owner = format!("{app}-5d8c7f9b6d");
    let ip = format!("10.{replica}.{}.{}", deployment / 250, deployment % 250);
    let condition =
        |kind: &str| json!({"type": kind, "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"});
    let conditions: Vec<Value> =
        ["PodScheduled", "Initialized", "ContainersReady", "Ready"].map(condition).into();
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": format!("{owner}-{replica:05}"), "namespace": format!("team-{}", deployment % 20),
            "uid": format!("00000000-0000-4000-8000-{deployment:06}{replica:06}"),
            "resourceVersion": format!("{}", 100_000 + deployment * PODS_EACH + replica),
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "labels": {
                "app": app, "version": "v1", "pod-template-hash": "5d8c7f9b6d",
                "security.istio.io/tlsMode": "istio", "service.istio.io/canonical-name": app,
            },
            "annotations": {"sidecar.istio.io/status": "injected", "prometheus.io/scrape": "true"},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": owner, "controller": true}],
        },
        "spec": {
            "nodeName": format!("node-{}", deployment % 50), "serviceAccountName": app,
            "containers": [
                {"name": "app", "image": format!("registry/{app}:v1"), "ports": [{"containerPort": 8080}]},
                {"name": "istio-proxy", "image": "proxyv2", "ports": [{"containerPort": 15090, "name": "http-envoy-prom"}]},
            ],
        },
        "status": {
            "phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}], "hostIP": "192.168.0.1", "conditions": conditions,
        },
    })
}

/// One test, because everything in the process is counted.
#[test]
fn a_pod_takes_few_bytes() {
    let mut mesh = Mesh::new(Settings::default());
    let mut held = Held::new(Kind::Pod, "v1", &"Kubernetes".into(), "");
    let mut change = Change::default();
    held.hear(Event::Init, &mut change);
    let before = live();
    for deployment in 0..DEPLOYMENTS {
        for replica in 0..PODS_EACH {
            let raw = Raw::deserialize(&pod(deployment, replica)).unwrap();
            held.hear(Event::InitApply(raw), &mut change);
        }
    }
    assert!(held.hear(Event::InitDone, &mut change));
    let Change { batch, edits, .. } = change;
    assert_eq!(edits.len(), PODS);
    drop(edits);
    let watched = (live() - before) / PODS;
    mesh.commit(batch);
    let deduced = (live() - before) / PODS;
    println!("bytes per pod: {watched} as it is watched, {deduced} with its workload");
    assert_eq!(mesh.world().workloads.iter().count(), PODS);
    assert!(watched <= 1_100, "{watched} bytes for what is kept of a pod");
    assert!(deduced <= 2_500, "{deduced} bytes for a pod and its workload");
}
