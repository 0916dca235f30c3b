//! Whom the control plane of a cluster believes, and what it tells proxies of that.

use identity::Authority;
use identity::authority::{Limits, SelfSigned};
use identity::key::Kind;
use k8s_openapi::api::core::v1::ConfigMap;
use prost::Message as _;
use proto::istio::mesh::v1alpha1::ProxyConfig;
use serde_json::json;
use testkit::api_server::ApiServer;

use super::cluster::{apply, namespace, options_of};
use super::*;

fn authority(name: &str) -> Authority {
    let options = SelfSigned { key: Kind::P256, ..SelfSigned::of(name) };
    Authority::self_signed(&options, Limits::default(), std::time::SystemTime::now()).unwrap()
}

async fn list_roots(client: &kube::Client, roots: &[&Authority]) {
    let listed: Vec<_> = roots.iter().map(|root| json!({"pem": root.bundle().to_pem()})).collect();
    let text = json!({"caCertificates": listed}).to_string();
    let object = json!({"metadata": {"name": "istio"}, "data": {"mesh": text}});
    apply::<ConfigMap>(client, "istio-system", object).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn agents_are_told_the_roots_of_a_mesh_with_several_as_they_change() {
    let server = ApiServer::start().await.unwrap();
    let client = server.client().await.unwrap();
    namespace(&client, "istio-system").await;
    let (one, two) = (authority("one"), authority("two"));
    list_roots(&client, &[&one]).await;
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("xds.sock");
    let mut options = options_of(&server, folder.path(), &format!("--grpcAddr=unix://{}", socket.display()));
    options.switches.istio_multiroot_mesh = true;
    let running = start(options).await.unwrap();

    let node = Node { id: "sidecar~10.0.0.9~web.shop~shop.svc.cluster.local".into(), ..Node::default() };
    let channel = dial::unix(socket)(0).await.unwrap();
    let mut stream = Stream::new(channel, Variant::Delta, node, http::HeaderMap::new());
    stream.subscribe(&TypeUrl::ProxyConfig, &[]);
    let mut told = async || {
        let next = tokio::time::timeout(Duration::from_secs(60), stream.next()).await;
        let response = next.expect("no answer").unwrap().expect("the stream ended");
        stream.answer(&response, None, &[]);
        ProxyConfig::decode(response.resources[0].body.clone()).unwrap().ca_certificates_pem
    };
    let first = told().await;
    assert!(first.is_sorted() && first.contains(&one.bundle().to_pem()), "{first:?}");
    assert_eq!(first.len(), 2, "that of the mesh configuration, and our own");
    list_roots(&client, &[&one, &two]).await;
    let second = told().await;
    assert!(second.len() == 3 && second.contains(&two.bundle().to_pem()), "{second:?}");
    running.stop(Duration::from_secs(10)).await;
}
