//! Clients ask a real API server as fast as they may.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, ListParams};
use sources::kubernetes::{Pace, connect};
use testkit::api_server::ApiServer;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_keeps_to_its_pace() {
    let server = ApiServer::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = folder.path().join("kubeconfig");
    std::fs::write(&kubeconfig, server.kubeconfig().unwrap()).unwrap();
    let client = connect(Some(&kubeconfig), Pace { per_second: 4.0, burst: 2 }).await.unwrap();
    let namespaces: Api<Namespace> = Api::all(client);
    let begin = Instant::now();
    let lists = (0..6).map(|_| {
        let namespaces = namespaces.clone();
        async move { namespaces.list(&ListParams::default()).await }
    });
    for list in join_all(lists).await {
        assert!(!list.unwrap().items.is_empty());
    }
    assert!(begin.elapsed() >= Duration::from_secs(1), "four of six waited: {:?}", begin.elapsed());
}
