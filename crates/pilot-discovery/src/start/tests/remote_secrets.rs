//! Secrets of gateways that run in another cluster.

use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, DeleteParams};
use serde_json::json;
use testkit::api_server::ApiServer;

use super::authorization::{
    Caller, GW, SECRET, cluster_of, denied, grant, held_or_denied, names, node, secrets_until, started_in,
    token,
};
use super::cluster::{apply, namespace};
use super::upstream_agent::{ask, text};
use super::*;

/// A gateway of the cluster `two`.
fn gateway(caller: &Caller) -> Stream {
    let mut node = node("router", GW);
    let metadata = node.metadata.get_or_insert_default();
    metadata.fields.insert("CLUSTER_ID".to_owned(), text("two"));
    let mut stream = caller.stream(Variant::Delta, node);
    stream.send(ask(Variant::Delta, &TypeUrl::Secret, &[SECRET], None));
    stream
}

fn certificate(response: &RawResponse) -> String {
    let body = &response.resources[0].body;
    let known = ["CHAIN", "THEIRS"]
        .into_iter()
        .filter(|chain| body.windows(chain.len()).any(|window| window == chain.as_bytes()));
    known.collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_of_another_cluster_has_secrets_of_that_cluster_by_its_rights_there() {
    let ((one, client), two) = tokio::join!(cluster_of(&[GW]), ApiServer::start());
    let two = two.unwrap();
    let there = two.client().await.unwrap();
    namespace(&there, "shop").await;
    let data = json!({"tls.crt": "THEIRS", "tls.key": "KEY"});
    apply::<Secret>(&there, "shop", json!({"metadata": {"name": "cert"}, "stringData": data})).await;
    let remote = json!({
        "metadata": {"name": "remote", "labels": {"istio/multiCluster": "true"}},
        "stringData": {"two": two.kubeconfig().unwrap()},
    });
    apply::<Secret>(&client, "istio-system", remote).await;
    let folder = tempfile::tempdir().unwrap();
    let (running, root) = started_in(&one, &client, folder.path(), |_| {}).await;
    let caller = Caller::with(&root, &running, Some(&token(&client, GW).await)).await;

    grant(&client, GW).await;
    let before = denied(&running).await;
    let mut stream = gateway(&caller);
    assert_eq!(
        held_or_denied(&running, &mut stream, before).await,
        Ok(false),
        "its rights here do not count"
    );
    grant(&there, GW).await;
    let has = |response: &RawResponse| names(response) == [SECRET];
    let is =
        |wanted: &'static str| move |response: &RawResponse| has(response) && certificate(response) == wanted;
    secrets_until(&mut stream, is("THEIRS")).await;
    let secrets: Api<Secret> = Api::namespaced(there.clone(), "shop");
    secrets.delete("cert", &DeleteParams::default()).await.unwrap();
    // ours, where it has none
    secrets_until(&mut stream, is("CHAIN")).await;
    running.stop(Duration::from_secs(10)).await;

    let folder = tempfile::tempdir().unwrap();
    let off = |options: &mut Options| options.switches.pilot_enable_remote_credentials_controller = false;
    let (running, root) = started_in(&one, &client, folder.path(), off).await;
    let caller = Caller::with(&root, &running, Some(&token(&client, GW).await)).await;
    let before = denied(&running).await;
    let mut stream = gateway(&caller);
    assert_eq!(held_or_denied(&running, &mut stream, before).await, Ok(false), "nobody is asked there");
    running.stop(Duration::from_secs(10)).await;
}
