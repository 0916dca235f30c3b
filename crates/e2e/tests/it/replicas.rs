//! Two replicas of the control plane, of which the one that leads is killed while objects change.
#![expect(clippy::print_stdout, reason = "the figures are worth printing")]

use std::time::Duration;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, Client, ResourceExt as _};
use testkit::api_server::ApiServer;
use testkit::check::node;
use testkit::churn::{Churn, Crowd, Edited, Ledger};
use testkit::eventually;
use testkit::scripted::Scripted;
use xds::client::dial;

use crate::replica::Replica;
use crate::secured::namespaces;
use crate::stage::tell;

const WITHIN: Duration = Duration::from_secs(120);
const PROXIES: usize = 6;
const LOCK: &str = "istio-namespace-controller-election";

#[test]
fn the_leader_is_killed_and_the_other_replica_serves_and_writes_on_without_a_loss() {
    tell(killing());
}

/// Who holds the lock of those who write the roots into namespaces.
async fn leader(client: &Client) -> Option<String> {
    let locks: Api<ConfigMap> = Api::namespaced(client.clone(), "istio-system");
    let lock = locks.get_opt(LOCK).await.ok()??;
    let record = lock.annotations().get("control-plane.alpha.kubernetes.io/leader")?;
    let record: serde_json::Value = serde_json::from_str(record).ok()?;
    record["holderIdentity"].as_str().filter(|name| !name.is_empty()).map(str::to_owned)
}

/// The roots as they stand in a namespace.
async fn roots(client: &Client, namespace: &str) -> String {
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let written = eventually("the roots in the namespace", WITHIN, async || {
        maps.get_opt("istio-ca-root-cert").await.ok()??.data?.remove("root-cert.pem")
    });
    written.await.unwrap()
}

async fn killing() {
    let (server, directory) = (ApiServer::start().await.unwrap(), tempfile::tempdir().unwrap());
    let client = server.client().await.unwrap();
    namespaces(&client, &["istio-system"]).await;
    let ledger = Ledger::default();
    let mut churn = Churn::begin(client.clone(), &ledger, "churn", 6, Edited::All).await.unwrap();
    let kubeconfig = directory.path().join("kubeconfig");
    std::fs::write(&kubeconfig, server.kubeconfig().unwrap()).unwrap();
    let start = |name: &'static str| {
        let (directory, kubeconfig) = (directory.path().to_owned(), kubeconfig.clone());
        tokio::task::spawn_blocking(move || Replica::start(&directory, &kubeconfig, name))
    };
    let (one, two) = tokio::join!(start("istiod-a"), start("istiod-b"));
    let mut replicas = vec![one.unwrap(), two.unwrap()];

    // half of the proxies begin with either, and go to the other when theirs is gone
    let addresses: Vec<String> = replicas.iter().map(|replica| replica.plain.to_string()).collect();
    let proxies = (0..PROXIES).map(|index| {
        let mut order = addresses.clone();
        order.rotate_left(index % 2);
        let (ip, pod) = (format!("10.9.0.{}", index + 1), format!("client-{index}"));
        Scripted::new(dial::plain(order), node("sidecar", &ip, &pod, "churn", &[("app", "client")]))
    });
    let crowd = Crowd::gather(&ledger, proxies);
    crowd.current(WITHIN).await.unwrap();
    let leads = eventually("a replica leads", WITHIN, async || leader(&client).await).await.unwrap();
    let root = roots(&client, "churn").await;

    let begun = ledger.written();
    let accident = async {
        let some = async || (ledger.written() >= begun + 20).then_some(());
        eventually("some edits", WITHIN, some).await.unwrap();
        replicas.retain(|replica| replica.name != leads);
    };
    let (edited, ()) = tokio::join!(churn.edit(80), accident);
    edited.unwrap();
    assert_eq!(replicas.len(), 1, "{leads} leads, and is none of ours");
    crowd.current(WITHIN).await.unwrap();

    // what the leader wrote is written on: into a namespace that it has never seen
    namespaces(&client, &["late"]).await;
    assert_eq!(roots(&client, "late").await, root, "both sign with one root");
    let is_other = async || leader(&client).await.filter(|name| *name == replicas[0].name);
    eventually("the lock is handed over", WITHIN, is_other).await.unwrap();
    churn.edit(20).await.unwrap();
    let tally = crowd.current(WITHIN).await.unwrap();
    println!(
        "leader killed: {} edits, {} changes seen by {} proxies, {} lost, {} wrong",
        ledger.written(),
        tally.changes,
        crowd.len(),
        tally.lost.len(),
        tally.wrong.len()
    );
}
