//! What is read in the binary form of an API server is what it is as JSON.

use std::sync::Arc;

use config::decode::{Node, from_node};
use config::{Kind, Meta, Object, Origin};
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};
use testkit::api_server::ApiServer;

use crate::mirror::*;

/// Everything that the mesh reads of a pod.
fn pod() -> Value {
    let port = json!([{"name": "http", "containerPort": 8080}, {"containerPort": 53, "protocol": "UDP"}]);
    json!({
        "metadata": {
            "namespace": "shop", "labels": {"app": "cart", "empty": ""}, "annotations": {"note": "with \"quotes\""},
            "finalizers": ["example.com/wait"],
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "cart-5d", "uid": "1", "controller": true}],
        },
        "spec": {
            "serviceAccountName": "cart", "nodeName": "node-1", "hostNetwork": true, "hostname": "one", "subdomain": "carts",
            "readinessGates": [{"conditionType": "example.com/warm"}],
            "initContainers": [{"name": "proxy", "image": "proxy:1", "restartPolicy": "Always", "ports": [{"name": "admin", "containerPort": 15000}]}],
            "containers": [{"name": "app", "image": "app:1", "ports": port, "env": [{"name": "A", "value": "b"}]}],
        },
    })
}

fn status(ip: &str) -> Value {
    json!({"status": {
        "phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}, {"ip": "fd00::1"}], "hostIP": "192.0.2.1",
        "conditions": [{"type": "Ready", "status": "False", "reason": "NotYet", "message": "waits", "lastTransitionTime": "2026-01-01T00:00:00Z"}],
        "containerStatuses": [{"name": "app", "ready": true, "restartCount": 0, "image": "app:1", "imageID": ""}],
    }})
}

/// Without where it stands.
fn bare(object: &Object) -> Object {
    let meta = Meta { origin: Origin::default(), ..(*object.meta).clone() };
    Object { meta: Arc::new(meta), ..object.clone() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_is_what_it_is_as_json_however_it_changes() {
    let server = ApiServer::start().await.unwrap();
    let client = server.client().await.unwrap();
    namespace(&client, "shop").await;
    let pods = api(&client, Kind::Pod, "shop");
    apply(&client, Kind::Pod, "shop", "cart-1", pod()).await;
    let patch = PatchParams::default();
    pods.patch_status("cart-1", &patch, &Patch::Merge(status("192.0.2.7"))).await.unwrap();

    let mut mirror = Mirror::of(client.clone(), options()).await;
    let as_json = async || {
        let json = serde_json::to_value(pods.get("cart-1").await.unwrap()).unwrap();
        bare(&from_node(&"json".into(), &Node::from(&json), "").objects.pop().unwrap())
    };
    let read = |mirror: &Mirror| bare(mirror.get("one", Kind::Pod, "shop", "cart-1").unwrap());
    assert_eq!(read(&mirror), as_json().await, "of the list");
    assert_eq!(read(&mirror).get::<config::kubernetes::Pod>().unwrap().readiness_gates.len(), 1);

    // what the mesh does not read is no change
    let puts = mirror.puts;
    let unread = json!({"status": {"startTime": "2026-01-01T00:00:00Z"}});
    pods.patch_status("cart-1", &patch, &Patch::Merge(unread)).await.unwrap();
    pods.patch_status("cart-1", &patch, &Patch::Merge(status("192.0.2.8"))).await.unwrap();
    let moved = |m: &Mirror| {
        let pod = m.get("one", Kind::Pod, "shop", "cart-1").and_then(|o| o.get::<config::kubernetes::Pod>());
        pod.is_some_and(|pod| &*pod.ip == "192.0.2.8")
    };
    mirror.until("its address changes", moved).await;
    assert_eq!(read(&mirror), as_json().await, "of the watch");
    assert_eq!(mirror.puts, puts + 1);

    pods.delete("cart-1", &DeleteParams::default().grace_period(0)).await.unwrap();
    let ending =
        |m: &Mirror| m.get("one", Kind::Pod, "shop", "cart-1").is_some_and(|object| object.meta.deleting);
    mirror.until("its end begins", ending).await;
    let done = json!({"metadata": {"finalizers": null}});
    pods.patch("cart-1", &patch, &Patch::Merge(done)).await.unwrap();
    mirror.until("it is gone", |m| !m.has(Kind::Pod, "shop", "cart-1")).await;
}

/// Everything that the mesh reads of a slice.
fn slice(ready: bool) -> Value {
    json!({
        "metadata": {"namespace": "shop", "labels": {"kubernetes.io/service-name": "cart"}},
        "addressType": "IPv4",
        "endpoints": [
            {
                "addresses": ["192.0.2.7"], "conditions": {"ready": ready, "serving": true, "terminating": !ready},
                "hostname": "one", "nodeName": "node-1", "zone": "a", "hints": {"forZones": [{"name": "a"}]},
                "targetRef": {"kind": "Pod", "namespace": "shop", "name": "cart-1"},
            },
            {"addresses": ["192.0.2.8"]},
        ],
        "ports": [
            {"name": "http", "port": 8080, "appProtocol": "kubernetes.io/h2c"},
            {"name": "dns", "port": 53, "protocol": "UDP"},
        ],
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slice_is_what_it_is_as_json_however_it_changes() {
    let server = ApiServer::start().await.unwrap();
    let client = server.client().await.unwrap();
    namespace(&client, "shop").await;
    let slices = api(&client, Kind::EndpointSlice, "shop");
    apply(&client, Kind::EndpointSlice, "shop", "cart-1", slice(true)).await;

    let mut mirror = Mirror::of(client.clone(), options()).await;
    let as_json = async || {
        let json = serde_json::to_value(slices.get("cart-1").await.unwrap()).unwrap();
        bare(&from_node(&"json".into(), &Node::from(&json), "").objects.pop().unwrap())
    };
    let read = |mirror: &Mirror| bare(mirror.get("one", Kind::EndpointSlice, "shop", "cart-1").unwrap());
    let endpoints =
        |mirror: &Mirror| read(mirror).get::<config::kubernetes::EndpointSlice>().unwrap().endpoints.clone();
    assert_eq!(read(&mirror), as_json().await, "of the list");
    assert_eq!(endpoints(&mirror).len(), 2);

    apply(&client, Kind::EndpointSlice, "shop", "cart-1", slice(false)).await;
    mirror.until("it is not ready", |m| endpoints(m)[0].conditions.ready == Some(false)).await;
    assert_eq!(read(&mirror), as_json().await, "of the watch");
    slices.delete("cart-1", &DeleteParams::default()).await.unwrap();
    mirror.until("it is gone", |m| !m.has(Kind::EndpointSlice, "shop", "cart-1")).await;
}
