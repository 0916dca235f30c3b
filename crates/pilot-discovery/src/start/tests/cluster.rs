//! The control plane of a cluster: a real API server instead of a folder.

use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod, Secret, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{Api, Patch, PatchParams};
use kube::core::NamespaceResourceScope;
use serde_json::{Value, json};
use testkit::api_server::ApiServer;

use super::*;

pub(super) async fn apply<K>(client: &kube::Client, namespace: &str, object: Value)
where
    K: kube::Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + std::fmt::Debug,
    K: serde::de::DeserializeOwned,
{
    let api: Api<K> = Api::namespaced(client.clone(), namespace);
    let name = object["metadata"]["name"].as_str().unwrap();
    let (api_version, kind) = (K::api_version(&()).into_owned(), K::kind(&()).into_owned());
    let mut object = object.clone();
    object["apiVersion"] = json!(api_version);
    object["kind"] = json!(kind);
    api.patch(name, &PatchParams::apply("test").force(), &Patch::Apply(&object)).await.unwrap();
    if object.get("status").is_some() {
        api.patch_status(name, &PatchParams::default(), &Patch::Merge(&json!({"status": object["status"]})))
            .await
            .unwrap();
    }
}

pub(super) async fn namespace(client: &kube::Client, name: &str) {
    let all: Api<Namespace> = Api::all(client.clone());
    let object = serde_json::from_value(json!({"metadata": {"name": name}})).unwrap();
    all.create(&kube::api::PostParams::default(), &object).await.unwrap();
}

fn slice(address: &str) -> Value {
    json!({
        "metadata": {"name": "cart-1", "labels": {"kubernetes.io/service-name": "cart"}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [address], "conditions": {"ready": true}}],
        "ports": [{"name": "http", "port": 8080}],
    })
}

fn mesh(text: &str) -> Value {
    json!({"metadata": {"name": "istio"}, "data": {"mesh": text}})
}

/// What a control plane of this API server is started with.
pub(super) fn options_of(server: &ApiServer, folder: &Path, more: &str) -> Options {
    options_with(&server.kubeconfig().unwrap(), folder, more)
}

/// The same with the text of a kubeconfig.
pub(super) fn options_with(text: &str, folder: &Path, more: &str) -> Options {
    let kubeconfig = folder.join("kubeconfig");
    fs::write(&kubeconfig, text).unwrap();
    let line = format!(
        "--kubeconfig={} --secureGRPCAddr=127.0.0.1:0 --httpAddr=127.0.0.1:0 --monitoringAddr=127.0.0.1:0 {more}",
        kubeconfig.display()
    );
    let args = Args::parse(line.split_whitespace().map(str::to_owned)).unwrap();
    let own = folder.join("ca").display().to_string();
    let (options, problems) =
        Options::read(&args, &Vars::from_iter([("MELTEMI_CA_DIR", own.as_str())])).unwrap();
    assert!(problems.is_empty(), "{problems:?}");
    Options { review_limit: PATIENCE, ..options }
}

/// Waits until a page says what is wanted.
pub(super) async fn page(running: &Running, path: &str, wanted: impl Fn(&str) -> bool) -> String {
    let mut last = String::new();
    let found = testkit::eventually(path, PATIENCE, async || {
        let text = get(running, 3, path).await.unwrap_or_else(|e| e);
        last.clone_from(&text);
        wanted(&text).then_some(text)
    })
    .await;
    found.unwrap_or_else(|late| panic!("{late}: {last}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_is_served_and_followed_and_its_mesh_configuration_too() {
    let server = ApiServer::start().await.unwrap();
    let client = server.client().await.unwrap();
    namespace(&client, "istio-system").await;
    namespace(&client, "shop").await;
    apply::<ConfigMap>(&client, "istio-system", mesh("trustDomain: one.example\nconnectTimeout: 3s\n")).await;
    let service = json!({"metadata": {"name": "cart"}, "spec": {"ports": [{"name": "http", "port": 80}]}});
    apply::<Service>(&client, "shop", service).await;
    apply::<EndpointSlice>(&client, "shop", slice("10.1.0.1")).await;
    let pod = json!({
        "metadata": {"name": "web", "labels": {"app": "web"}},
        "spec": {"serviceAccountName": "web", "containers": [{"name": "web", "image": "web"}]},
        "status": {"phase": "Running", "podIP": "10.0.0.9", "podIPs": [{"ip": "10.0.0.9"}]},
    });
    apply::<Pod>(&client, "shop", pod).await;

    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("xds.sock");
    let more = format!("--grpcAddr=unix://{}", socket.display());
    let running = start(options_of(&server, folder.path(), &more)).await.unwrap();
    assert!(get(&running, 2, "/ready").await.is_ok(), "everything is read before anybody is served");
    let (mut stream, response) = sidecar(socket).await;
    stream.answer(&response, None, &[]);
    let endpoints = get(&running, 3, "/debug/edsz?proxyID=web").await.unwrap();
    assert!(endpoints.contains("outbound|80||cart.shop.svc.cluster.local") && endpoints.contains("10.1.0.1"));
    let shards = get(&running, 3, "/debug/endpointShardz").await.unwrap();
    assert!(shards.contains("10.1.0.1"), "{shards}");
    assert!(get(&running, 3, "/debug/mesh").await.unwrap().contains("one.example"));
    let clusters = get(&running, 3, "/debug/clusterz").await.unwrap();
    assert_eq!(clusters.trim(), r#"[{"id":"Kubernetes","secretName":"","syncStatus":"synced"}]"#);

    // every namespace has the roots
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), "shop");
    let written = testkit::eventually("the roots in the namespace", PATIENCE, async || {
        maps.get_opt("istio-ca-root-cert").await.ok().flatten()
    });
    let data = written.await.unwrap().data.unwrap();
    let secrets: Api<Secret> = Api::namespaced(client.clone(), "istio-system");
    let root = secrets.get("istio-ca-secret").await.unwrap().data.unwrap()["root-cert.pem"].0.clone();
    assert_eq!(data["root-cert.pem"].as_bytes(), root);
    let revoked = testkit::eventually("the list of the revoked", PATIENCE, async || {
        maps.get_opt("istio-ca-crl").await.ok().flatten()
    });
    assert_eq!(revoked.await.unwrap().data.unwrap()["ca-crl.pem"], "", "nothing is revoked");

    // the endpoint moves
    apply::<EndpointSlice>(&client, "shop", slice("10.1.0.2")).await;
    page(&running, "/debug/edsz?proxyID=web", |text| text.contains("10.1.0.2") && !text.contains("10.1.0.1"))
        .await;

    // a mesh configuration that is none: the one before stays, and the reason is told with line and column
    apply::<ConfigMap>(&client, "istio-system", mesh("trustDomain: two.example\nconnectTimeout: [x]\n"))
        .await;
    let events = page(&running, "/debug/events?since=0", |text| text.contains("connectTimeout")).await;
    assert!(events.contains("istio-system/istio") && events.contains("\"line\":2"), "{events}");
    assert!(get(&running, 3, "/debug/mesh").await.unwrap().contains("one.example"));
    apply::<ConfigMap>(&client, "istio-system", mesh("trustDomain: two.example\n")).await;
    page(&running, "/debug/mesh", |text| text.contains("two.example")).await;
    let metrics = get(&running, 3, "/metrics").await.unwrap();
    for wanted in [
        "remote_cluster_sync_timeouts_total 0\n",
        "istiod_managed_clusters{cluster_type=\"local\"} 1",
        "pilot_k8s_reg_events{type=\"EndpointSlice\",event=\"update\"} 1",
    ] {
        assert!(metrics.contains(wanted), "{wanted}: {metrics}");
    }
    running.stop(Duration::from_secs(10)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_served_before_the_api_server_answers() {
    let mut server = ApiServer::start().await.unwrap();
    namespace(&server.client().await.unwrap(), "istio-system").await;
    server.kill();
    let folder = tempfile::tempdir().unwrap();
    let mut starting = std::pin::pin!(start(options_of(&server, folder.path(), "--grpcAddr=127.0.0.1:0")));
    let early = tokio::time::timeout(Duration::from_millis(300), &mut starting).await;
    assert!(early.is_err(), "it started without anything to serve");
    let (running, resumed) = tokio::join!(starting, server.resume());
    let running = running.unwrap();
    resumed.unwrap();
    assert!(get(&running, 2, "/ready").await.is_ok());
    running.stop(Duration::from_secs(10)).await;
}
