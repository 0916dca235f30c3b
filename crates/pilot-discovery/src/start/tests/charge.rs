//! Two clusters with a control plane each, of which one may have the other in its charge.

use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret};
use kube::Client;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;
use testkit::api_server::ApiServer;

use super::cluster::{apply, namespace, options_of};
use super::*;

/// The roots that a namespace was given.
async fn given(client: &Client, namespace: &str) -> Option<String> {
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    maps.get_opt("istio-ca-root-cert").await.ok()??.data?.remove("root-cert.pem")
}

/// Until a namespace has the roots of the control plane that keeps them in the cluster of `authority`.
async fn has_roots_of(authority: &Client, client: &Client, namespace: &str) {
    let secrets: Api<Secret> = Api::namespaced(authority.clone(), "istio-system");
    let secret = secrets.get("istio-ca-secret").await.unwrap().data.unwrap();
    let root = std::str::from_utf8(&secret["root-cert.pem"].0).unwrap();
    let look = async || given(client, namespace).await.filter(|given| given == root);
    testkit::eventually(&format!("the roots in {namespace}"), PATIENCE, look).await.unwrap();
}

/// Until a control plane at this place leads those who write roots in a cluster.
async fn leads(client: &Client, place: impl Fn(&str) -> bool) {
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), "istio-system");
    let look = async || {
        let lock = maps.get_opt("istio-namespace-controller-election").await.ok()??;
        let record = lock.metadata.annotations?.remove("control-plane.alpha.kubernetes.io/leader")?;
        let record: serde_json::Value = serde_json::from_str(&record).unwrap();
        record["holderKey"].as_str().filter(|key| place(key)).map(drop)
    };
    testkit::eventually("the lock of roots is held", PATIENCE, look).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_has_our_roots_unless_its_own_control_plane_gives_it_others() {
    let (one, two) = tokio::join!(ApiServer::start(), ApiServer::start());
    let (one, two) = (one.unwrap(), two.unwrap());
    let (here, there) = (one.client().await.unwrap(), two.client().await.unwrap());
    for (client, name) in [(&here, "istio-system"), (&there, "istio-system"), (&there, "shop")] {
        namespace(client, name).await;
    }
    let remote = json!({
        "metadata": {"name": "remote", "labels": {"istio/multiCluster": "true"}},
        "stringData": {"two": two.kubeconfig().unwrap()},
    });
    apply::<Secret>(&here, "istio-system", remote).await;

    // joined by its Secret, and without a control plane of its own
    let folder = tempfile::tempdir().unwrap();
    let mut options = options_of(&one, folder.path(), "--grpcAddr=");
    let ours = start(options.clone()).await.unwrap();
    has_roots_of(&here, &there, "shop").await;

    // with one, which may be away for a while
    let folder = tempfile::tempdir().unwrap();
    let theirs = || start(options_of(&two, folder.path(), "--grpcAddr= --clusterID=two"));
    let running = theirs().await.unwrap();
    has_roots_of(&there, &there, "shop").await;
    namespace(&there, "late").await;
    has_roots_of(&there, &there, "late").await;
    has_roots_of(&there, &there, "shop").await;
    running.stop(Duration::from_secs(10)).await;
    leads(&there, |key| key.starts_with('^')).await;
    ours.stop(Duration::from_secs(10)).await;
    has_roots_of(&there, &there, "late").await;

    // with one, and in our charge all the same
    options.switches.external_istiod = true;
    let annotations = json!({"topology.istio.io/controlPlaneClusters": "Kubernetes"});
    let system = json!({"metadata": {"annotations": annotations}});
    let namespaces: Api<Namespace> = Api::all(there.clone());
    namespaces.patch("istio-system", &PatchParams::default(), &Patch::Merge(&system)).await.unwrap();
    let ours = start(options).await.unwrap();
    has_roots_of(&here, &there, "shop").await;
    let running = theirs().await.unwrap();
    has_roots_of(&there, &there, "shop").await;
    running.stop(Duration::from_secs(10)).await;
    has_roots_of(&here, &there, "late").await;
    ours.stop(Duration::from_secs(10)).await;

    // Secrets of the cluster this runs in, which is none
    let mut options = options_of(&one, folder.path(), "--grpcAddr=");
    options.switches.local_cluster_secret_watcher = true;
    let ours = start(options.clone()).await.unwrap();
    ours.stop(Duration::from_secs(10)).await;
    options.switches.external_istiod = true;
    let error = start(options).await.err().unwrap().to_string();
    assert!(error.contains("LOCAL_CLUSTER_SECRET_WATCHER=false"), "{error}");
}
