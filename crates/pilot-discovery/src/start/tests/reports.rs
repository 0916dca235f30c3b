//! What is wrong is told where it was written: in the status of an object, and in events about it.

use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret};
use k8s_openapi::api::events::v1::Event;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams};
use serde_json::{Value, json};
use testkit::api_server::ApiServer;

use super::cluster::{apply, namespace, options_of, page};
use super::*;
use crate::reports::Reports;

fn routes(client: &kube::Client) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("networking.istio.io", "v1", "VirtualService");
    let resource = ApiResource::from_gvk_with_plural(&kind, "virtualservices");
    Api::namespaced_with(client.clone(), "shop", &resource)
}

/// Writes a route to a host, which is none if it is no text.
async fn route(client: &kube::Client, name: &str, host: Value) {
    let route = json!({
        "apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": {"name": name},
        "spec": {"hosts": [host], "http": [{"route": [{"destination": {"host": "cart"}}]}]},
    });
    routes(client).patch(name, &PatchParams::apply("test").force(), &Patch::Apply(&route)).await.unwrap();
}

async fn status(client: &kube::Client, name: &str, is: impl Fn(&Value) -> bool) -> Value {
    let mut last = Value::Null;
    let found = testkit::eventually("the status", PATIENCE, async || {
        last = routes(client).get(name).await.ok()?.data["status"].clone();
        is(&last).then(|| last.clone())
    });
    found.await.unwrap_or_else(|late| panic!("{late}"))
}

/// The event of this reason about an object.
async fn event(client: &kube::Client, namespace: &str, reason: &str) -> Event {
    let events: Api<Event> = Api::namespaced(client.clone(), namespace);
    let found = testkit::eventually(reason, PATIENCE, async || {
        let all = events.list(&ListParams::default()).await.ok()?;
        all.items.into_iter().find(|event| event.reason.as_deref() == Some(reason))
    });
    found.await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_refused_is_told_in_statuses_and_events_and_telling_changes_nothing() {
    let server = ApiServer::start().await.unwrap();
    let client = server.client().await.unwrap();
    namespace(&client, "istio-system").await;
    namespace(&client, "shop").await;
    route(&client, "bad", json!(7)).await;
    route(&client, "good", json!("good")).await;
    let folder = tempfile::tempdir().unwrap();
    let running = start(options_of(&server, folder.path(), "--grpcAddr=127.0.0.1:0")).await.unwrap();

    let told = status(&client, "bad", |status| status["conditions"].is_array()).await;
    let condition = &told["conditions"][0];
    assert_eq!((&condition["type"], &condition["status"]), (&json!("Reconciled"), &json!("False")));
    assert_eq!((&condition["reason"], &told["observedGeneration"]), (&json!("Refused"), &json!("1")));
    let message = condition["message"].as_str().unwrap();
    assert!(message.contains("spec.hosts") && message.ends_with("nothing of it has effect"), "{message}");
    let about = event(&client, "shop", "ConfigurationRefused").await;
    let bad = routes(&client).get("bad").await.unwrap();
    let regarding = about.regarding.unwrap();
    assert_eq!((regarding.uid, regarding.kind.as_deref()), (bad.metadata.uid, Some("VirtualService")));
    assert_eq!((about.note.as_deref(), about.type_.as_deref()), (Some(message), Some("Warning")));

    // it is put right: said in the status, and taken in once
    route(&client, "bad", json!("bad")).await;
    let told = status(&client, "bad", |status| status["conditions"][0]["status"] == "True").await;
    assert_eq!(
        (&told["observedGeneration"], &told["conditions"][0]["reason"]),
        (&json!("2"), &json!("Accepted"))
    );
    assert_eq!(
        routes(&client).get("good").await.unwrap().data["status"],
        Value::Null,
        "it was never refused"
    );
    // what comes later is seen later
    route(&client, "marker", json!("marker")).await;
    let added = r#"pilot_k8s_cfg_events{type="VirtualService",event="add"} 2"#;
    let metrics = page(&running, "/metrics", |metrics| metrics.contains(added)).await;
    assert!(!metrics.contains(r#"{type="VirtualService",event="update"}"#), "our own writes: {metrics}");

    // mesh configuration: the last good one stays, and its ConfigMap says why
    let mesh = json!({"metadata": {"name": "istio"}, "data": {"mesh": "trustDomain: a.example\nconnectTimeout: [x]\n"}});
    apply::<ConfigMap>(&client, "istio-system", mesh).await;
    let about = event(&client, "istio-system", "MeshConfigRefused").await;
    assert_eq!(about.regarding.unwrap().name.as_deref(), Some("istio"));
    let note = about.note.unwrap();
    assert!(note.starts_with("line 2, column ") && note.contains("connectTimeout"), "{note}");
    page(&running, "/metrics", |metrics| metrics.contains("pilot_total_rejected_configs 1\n")).await;

    // a Secret that names a cluster nobody can read; what it holds is not told
    let secret = json!({
        "metadata": {"name": "remote", "labels": {"istio/multiCluster": "true"}}, "stringData": {"far": "s3cret: [not a kubeconfig"},
    });
    apply::<Secret>(&client, "istio-system", secret).await;
    let about = event(&client, "istio-system", "RemoteClusterUnreadable").await;
    assert_eq!(about.regarding.unwrap().name.as_deref(), Some("remote"));
    let note = about.note.unwrap();
    assert!(note.contains("cluster far") && !note.contains("s3cret"), "{note}");
    running.stop(Duration::from_secs(10)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_with_the_authority_is_told_of_the_pod_that_has_it() {
    let server = ApiServer::start().await.unwrap();
    let client = server.client().await.unwrap();
    namespace(&client, "istio-system").await;
    let pod = json!({"metadata": {"name": "istiod-1"}, "spec": {"containers": [{"name": "discovery", "image": "discovery"}]}});
    apply::<Pod>(&client, "istio-system", pod).await;
    let folder = tempfile::tempdir().unwrap();
    let mut options = options_of(&server, folder.path(), "--grpcAddr=127.0.0.1:0");
    options.switches.pod_name = "istiod-1".to_owned();
    let reports = Reports::of(&options, Some(&client)).await.unwrap();
    reports.authority("renew", Some("the store is away"));
    let notices = controllers::notices::run(client.clone(), reports.own.clone(), options.instance());
    let running = tokio::spawn(notices);
    let about = event(&client, "istio-system", "CertificateAuthorityTrouble").await;
    let pods: Api<Pod> = Api::namespaced(client.clone(), "istio-system");
    assert_eq!(about.regarding.unwrap().uid, pods.get("istiod-1").await.unwrap().metadata.uid);
    assert_eq!(about.note.as_deref(), Some("cannot renew the certificate authority: the store is away"));
    running.abort();
}
