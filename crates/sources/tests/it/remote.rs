//! Other clusters: joined by a Secret, followed with other credentials, left with the Secret.

use std::time::Duration;

use config::Kind;
use kube::Client;
use serde_json::json;
use sources::kubernetes::State;
use testkit::api_server::ApiServer;

use crate::mirror::*;

/// Writes the Secret `remote`, which names these clusters.
async fn name(client: &Client, clusters: &[(&str, String)]) {
    let data: serde_json::Map<_, _> =
        clusters.iter().map(|(id, kubeconfig)| ((*id).to_owned(), json!(kubeconfig))).collect();
    let object = json!({"metadata": {"labels": {"istio/multiCluster": "true"}}, "stringData": data});
    apply(client, Kind::Secret, "istio-system", "remote", object).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_cluster_joins_changes_its_credentials_without_a_flap_and_leaves() {
    let (first, second) = tokio::join!(ApiServer::start(), ApiServer::start());
    let (first, second) = (first.unwrap(), second.unwrap());
    let (one, two) = (first.client().await.unwrap(), second.client().await.unwrap());
    namespace(&one, "istio-system").await;
    shop(&one).await;
    shop(&two).await;
    apply(&two, Kind::Service, "shop", "stock", service(80)).await;
    apply(&two, Kind::Secret, "shop", "tls", json!({"stringData": {"tls.crt": "C", "tls.key": "K"}})).await;
    apply(&two, Kind::ConfigMap, "shop", "bundle", json!({"data": {"ca.crt": "A"}})).await;
    let mut mirror = Mirror::of(one.clone(), options()).await;
    assert!(mirror.directory.others().is_empty());

    name(&one, &[("two", second.kubeconfig().unwrap()), ("one", second.kubeconfig().unwrap())]).await;
    mirror.until("the other cluster", |m| m.get("two", Kind::Service, "shop", "stock").is_some()).await;
    assert_eq!(mirror.count("two", Kind::VirtualService), 0, "its configuration is its own");
    assert_eq!(mirror.count("two", Kind::Secret), 1, "its gateways may name its Secrets");
    assert_eq!(mirror.count("two", Kind::ConfigMap), 0, "nobody may name its ConfigMaps");
    assert_eq!(mirror.directory.others()[0].state, State::Synced);
    assert_eq!(mirror.directory.others().len(), 1, "our own cluster is no other one");
    assert!(mirror.directory.client("two").is_some() && mirror.directory.client("three").is_none());

    // the same credentials in other words
    let removes = mirror.removes;
    name(&one, &[("two", format!("{}# rotated\n", second.kubeconfig().unwrap()))]).await;
    delete(&two, Kind::Service, "shop", "stock").await;
    mirror.until("what is deleted goes", |m| m.get("two", Kind::Service, "shop", "stock").is_none()).await;
    apply(&two, Kind::Service, "shop", "new", service(80)).await;
    mirror.until("what is new comes", |m| m.get("two", Kind::Service, "shop", "new").is_some()).await;
    assert_eq!(mirror.removes - removes, 1, "nothing but what was deleted went");

    // credentials that are none: the last good ones stay
    name(&one, &[("two", "apiVersion: v1\nkind: Config\nusers: [{name: u, user: {exec: {command: /bin/true, apiVersion: client.authentication.k8s.io/v1}}}]\n".to_owned())]).await;
    apply(&two, Kind::Service, "shop", "newer", service(80)).await;
    mirror.until("it is read as before", |m| m.get("two", Kind::Service, "shop", "newer").is_some()).await;

    delete(&one, Kind::Secret, "istio-system", "remote").await;
    mirror.until("everything of it goes", |m| !m.objects.keys().any(|(cluster, ..)| cluster == "two")).await;
    assert!(mirror.has(Kind::Service, "shop", "cart"), "ours stays");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_name_other_clusters_instead_of_secrets_and_are_followed() {
    let (first, second) = tokio::join!(ApiServer::start(), ApiServer::start());
    let (first, second) = (first.unwrap(), second.unwrap());
    let (one, two) = (first.client().await.unwrap(), second.client().await.unwrap());
    namespace(&one, "istio-system").await;
    shop(&two).await;
    name(&one, &[("three", second.kubeconfig().unwrap())]).await;
    let folder = tempfile::tempdir().unwrap();
    let named = |id: &str| {
        let mut config = kube::config::Kubeconfig::from_yaml(&second.kubeconfig().unwrap()).unwrap();
        config.clusters[0].name = id.to_owned();
        config.contexts[0].context.as_mut().unwrap().cluster = id.to_owned();
        serde_json::to_string(&config).unwrap()
    };
    std::fs::write(folder.path().join("two.yaml"), named("two")).unwrap();
    let options = sources::kubernetes::Options { kubeconfigs: Some(folder.path().into()), ..options() };
    let mut mirror = Mirror::of(one.clone(), options).await;
    assert!(mirror.get("two", Kind::Service, "shop", "cart").is_some(), "the start waits for it");
    assert!(mirror.directory.others()[0].secret.ends_with("two.yaml"));
    assert_eq!(mirror.directory.others().len(), 1, "nobody looks at Secrets");

    std::fs::write(folder.path().join("four.yaml"), named("four")).unwrap();
    mirror.until("another file", |m| m.get("four", Kind::Service, "shop", "cart").is_some()).await;
    std::fs::remove_file(folder.path().join("two.yaml")).unwrap();
    mirror.until("a file is gone", |m| m.count("two", Kind::Service) == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_that_hangs_holds_up_the_start_for_a_while_only_and_joins_when_it_answers() {
    let (first, second) = tokio::join!(ApiServer::start(), ApiServer::start());
    let (first, mut second) = (first.unwrap(), second.unwrap());
    let (one, two) = (first.client().await.unwrap(), second.client().await.unwrap());
    namespace(&one, "istio-system").await;
    shop(&one).await;
    shop(&two).await;
    name(&one, &[("two", second.kubeconfig().unwrap())]).await;
    second.kill();
    let options = sources::kubernetes::Options { remote_timeout: Duration::from_millis(300), ..options() };
    let mut mirror = Mirror::of(one, options).await;
    assert!(mirror.has(Kind::Service, "shop", "cart"));
    assert_eq!(mirror.directory.others()[0].state, State::Timeout);
    second.resume().await.unwrap();
    mirror.until("it joins", |m| m.get("two", Kind::Service, "shop", "cart").is_some()).await;
    assert_eq!(mirror.directory.others()[0].state, State::Synced);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secrets_elsewhere_name_other_clusters_instead_of_ours() {
    let (first, second) = tokio::join!(ApiServer::start(), ApiServer::start());
    let (first, second) = (first.unwrap(), second.unwrap());
    let (one, two) = (first.client().await.unwrap(), second.client().await.unwrap());
    for cluster in [&one, &two] {
        namespace(cluster, "istio-system").await;
        shop(cluster).await;
    }
    apply(&two, Kind::Service, "shop", "stock", service(80)).await;
    name(&one, &[("ours", second.kubeconfig().unwrap())]).await;
    name(&two, &[("two", second.kubeconfig().unwrap())]).await;
    let mut mirror = Mirror::begin_with(one, Some(two.clone()), options());
    mirror.until("the other cluster", |m| m.get("two", Kind::Service, "shop", "stock").is_some()).await;
    assert!(mirror.has(Kind::Service, "shop", "cart"), "what configures the mesh is read as ever");
    assert_eq!(mirror.directory.others().len(), 1, "what our own Secrets name is left out");
    assert!(mirror.verdicts.is_empty(), "nobody writes about Secrets elsewhere: {:?}", mirror.verdicts);
    delete(&two, Kind::Secret, "istio-system", "remote").await;
    mirror.until("it leaves", |m| m.count("two", Kind::Service) == 0).await;
}
