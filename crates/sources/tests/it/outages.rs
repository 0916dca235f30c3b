//! API servers that are away, come back, and come back as they were before.

use std::collections::BTreeSet;

use config::Kind;
use kube::api::ListParams;
use serde_json::json;
use sources::kubernetes::Pace;
use testkit::api_server::ApiServer;
use testkit::link::Link;

use crate::mirror::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_and_nothing_told_twice_when_the_api_server_dies_and_comes_back() {
    let mut server = ApiServer::start().await.unwrap();
    let client = server.client().await.unwrap();
    shop(&client).await;
    let mut mirror = Mirror::of(client.clone(), options()).await;
    for n in 0..20 {
        apply(&client, Kind::Service, "shop", &format!("s{n}"), service(8000 + n)).await;
    }
    mirror.until("twenty Services", |m| m.has(Kind::Service, "shop", "s19")).await;
    let (puts, removes) = (mirror.puts, mirror.removes);

    server.kill();
    server.resume().await.unwrap();
    // before anybody watches again, perhaps
    delete(&client, Kind::Service, "shop", "s3").await;
    apply(&client, Kind::Service, "shop", "s20", service(9000)).await;
    apply(&client, Kind::Service, "shop", "s0", service(9001)).await;
    mirror
        .until("what happened meanwhile", |m| {
            let moved = m.get("one", Kind::Service, "shop", "s0").unwrap();
            let port = moved.get::<config::kubernetes::Service>().unwrap().ports[0].port;
            !m.has(Kind::Service, "shop", "s3") && m.has(Kind::Service, "shop", "s20") && port == 9001
        })
        .await;
    assert_eq!((mirror.puts - puts, mirror.removes - removes), (2, 1), "the rest was not told again");

    let there = api(&client, Kind::Service, "shop").list(&ListParams::default()).await.unwrap();
    let there: BTreeSet<String> = there.items.into_iter().filter_map(|s| s.metadata.name).collect();
    let told: BTreeSet<String> = mirror
        .objects
        .keys()
        .filter(|(_, kind, ns, _)| *kind == Kind::Service && ns == "shop")
        .map(|(.., name)| name.clone())
        .collect();
    assert_eq!(told, there);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_was_restored_to_an_older_state_is_believed() {
    let mut server = ApiServer::start().await.unwrap();
    let client = server.client().await.unwrap();
    shop(&client).await;
    let backup = server.back_up().await.unwrap();
    let mut mirror = Mirror::of(client.clone(), options()).await;
    for n in 0..20 {
        apply(&client, Kind::Service, "shop", &format!("s{n}"), service(8000 + n)).await;
    }
    apply(&client, Kind::Namespace, "", "later", json!({})).await;
    delete(&client, Kind::Service, "shop", "cart").await;
    mirror
        .until("the later state", |m| {
            m.has(Kind::Service, "shop", "s19")
                && m.has(Kind::Namespace, "", "later")
                && !m.has(Kind::Service, "shop", "cart")
        })
        .await;
    server.restore(&backup).await.unwrap();
    mirror
        .until("the older state", |m| {
            m.has(Kind::Service, "shop", "cart")
                && !m.has(Kind::Service, "shop", "s19")
                && !m.has(Kind::Namespace, "", "later")
        })
        .await;
    // and it is followed from there
    apply(&client, Kind::Service, "shop", "new", service(80)).await;
    mirror.until("a change after that", |m| m.has(Kind::Service, "shop", "new")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_api_server_whose_answer_is_lost_without_a_word_is_asked_again() {
    let server = ApiServer::start().await.unwrap();
    shop(&server.client().await.unwrap()).await;
    let link = Link::to(server.address()).await.unwrap();
    let kubeconfig = server.kubeconfig_over(link.address()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("kubeconfig");
    std::fs::write(&file, kubeconfig).unwrap();
    link.hang();
    let client = sources::kubernetes::connect(Some(&file), Pace::default()).await.unwrap();
    let mut mirror = Mirror::begin(client, options());
    testkit::eventually("it is asked", PATIENCE, async || (link.connections() > 0).then_some(()))
        .await
        .unwrap();
    link.forget();
    mirror.until("everything is read", |m| m.has(Kind::Service, "shop", "cart")).await;
}
