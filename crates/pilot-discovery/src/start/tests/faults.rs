//! The control plane and what it reads from: API servers that die, go back, lag and hang while objects change.
//!
//! Edits are numbered and proxies judge what they are told: at the end nothing is lost, and nothing on the way was wrong.

use testkit::api_server::ApiServer;
use testkit::check::node;
use testkit::churn::{Churn, Crowd, Edited, Ledger};
use testkit::eventually;
use testkit::link::Link;
use testkit::scripted::Scripted;

use super::cluster::{apply, namespace, options_of, options_with};
use super::*;

const PROXIES: usize = 4;
const SERVICES: u16 = 6;
const NEAR: &str = "churn";

/// Sidecars that want everything there is of the mesh, over the plaintext port.
fn sidecars(folder: &Path) -> impl Iterator<Item = Scripted> {
    let socket = folder.join("xds.sock");
    (1..=PROXIES).map(move |index| {
        let (ip, pod) = (format!("10.9.0.{index}"), format!("client-{index}"));
        Scripted::unix(socket.clone(), node("sidecar", &ip, &pod, NEAR, &[("app", "client")]))
    })
}

fn plain(folder: &Path) -> String {
    format!("--grpcAddr=unix://{}", folder.join("xds.sock").display())
}

/// An API server with numbered objects.
async fn numbered(ledger: &Ledger) -> (ApiServer, Churn) {
    let server = ApiServer::start().await.unwrap();
    let client = server.client().await.unwrap();
    namespace(&client, "istio-system").await;
    let churn = Churn::begin(client, ledger, NEAR, SERVICES, Edited::All).await.unwrap();
    (server, churn)
}

/// A control plane, and proxies that have everything.
async fn watched(options: Options, folder: &Path, ledger: &Ledger) -> (Running, Crowd) {
    let running = start(options).await.unwrap();
    let crowd = Crowd::gather(ledger, sidecars(folder));
    crowd.current(PATIENCE).await.unwrap();
    (running, crowd)
}

/// Ends it all, having said what was counted.
async fn judge(what: &str, running: Running, crowd: Crowd, ledger: &Ledger) {
    let tally = crowd.current(PATIENCE).await.unwrap();
    assert!(tally.changes > 0 && !crowd.is_empty());
    println!(
        "{what}: {} edits, {} changes seen by {} proxies, {} lost, {} wrong",
        ledger.written(),
        tally.changes,
        crowd.len(),
        tally.lost.len(),
        tally.wrong.len()
    );
    drop(crowd);
    running.stop(Duration::from_secs(10)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_update_is_lost_when_the_api_server_is_killed_while_objects_change() {
    let (ledger, folder) = (Ledger::default(), tempfile::tempdir().unwrap());
    let (mut server, mut churn) = numbered(&ledger).await;
    let options = options_of(&server, folder.path(), &plain(folder.path()));
    let (running, crowd) = watched(options, folder.path(), &ledger).await;
    for _ in 0..2 {
        let begun = ledger.written();
        let accident = async {
            let some = async || (ledger.written() >= begun + 20).then_some(());
            eventually("some edits", PATIENCE, some).await.unwrap();
            server.kill();
            server.resume().await.unwrap();
        };
        let (edited, ()) = tokio::join!(churn.edit(60), accident);
        edited.unwrap();
    }
    judge("killed twice", running, crowd, &ledger).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_is_restored_to_an_older_state_is_followed_and_no_update_after_it_is_lost() {
    let (ledger, folder) = (Ledger::default(), tempfile::tempdir().unwrap());
    let (mut server, mut churn) = numbered(&ledger).await;
    let options = options_of(&server, folder.path(), &plain(folder.path()));
    let (running, crowd) = watched(options, folder.path(), &ledger).await;
    churn.edit(20).await.unwrap();
    let (backup, then) = (server.back_up().await.unwrap(), churn.snapshot());
    churn.edit(40).await.unwrap();
    let later = crowd.current(PATIENCE).await.unwrap();

    churn.restored(&then);
    assert!(!crowd.tally().lost.is_empty(), "the proxies have what is not there any more");
    server.restore(&backup).await.unwrap();
    let back = crowd.current(PATIENCE).await.unwrap();
    assert!(back.changes > later.changes);
    churn.edit(40).await.unwrap();
    judge("restored", running, crowd, &ledger).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_api_server_that_lags_by_half_a_minute_delays_updates_and_nothing_else() {
    const LAG: Duration = Duration::from_secs(30);
    let (ledger, folder) = (Ledger::default(), tempfile::tempdir().unwrap());
    let (server, mut churn) = numbered(&ledger).await;
    let link = Link::to(server.address()).await.unwrap();
    let kubeconfig = server.kubeconfig_over(link.address()).unwrap();
    let options = options_with(&kubeconfig, folder.path(), &plain(folder.path()));
    let (running, crowd) = watched(options, folder.path(), &ledger).await;
    link.lag(LAG);
    let begun = tokio::time::Instant::now();
    churn.edit(60).await.unwrap();
    // who comes meanwhile is served what is known
    let newcomers = Crowd::gather(&Ledger::default(), sidecars(folder.path()));
    let served =
        async || (newcomers.len() == PROXIES && clusters(&running).await >= 2 * PROXIES).then_some(());
    eventually("newcomers are served", PATIENCE, served).await.unwrap();
    crowd.current(LAG + PATIENCE).await.unwrap();
    assert!(begun.elapsed() >= LAG, "the link does not lag");
    // what is on its way then arrives with what comes after it
    churn.edit(20).await.unwrap();
    link.lag(Duration::ZERO);
    churn.edit(20).await.unwrap();
    judge("30 s late", running, crowd, &ledger).await;
}

/// How many proxies have acknowledged clusters.
async fn clusters(running: &Running) -> usize {
    let page = get(running, 3, "/debug/syncz").await.unwrap_or_default();
    page.matches("\"cluster_acked\":\"").count()
}

/// The kinds of Kubernetes that are watched in another cluster: its namespaces, nodes, services, slices, pods and Secrets.
const FAR_WATCHES: u64 = 6;

/// How often lists and watches of the cluster `far` have failed.
async fn failures(running: &Running) -> u64 {
    let page = get(running, 3, "/metrics").await.unwrap_or_default();
    let count =
        page.lines().find_map(|line| line.strip_prefix("controller_sync_errors_total{cluster=\"far\"} "));
    count.map_or(0, |count| count.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_cluster_that_hangs_delays_nobody_and_is_followed_when_it_returns_with_other_data() {
    let (ledger, folder) = (Ledger::default(), tempfile::tempdir().unwrap());
    let ((own, mut near), other) = tokio::join!(numbered(&ledger), ApiServer::start());
    let mut other = other.unwrap();
    let far = other.client().await.unwrap();
    let mut far = Churn::begin(far, &ledger, "far", SERVICES, Edited::Endpoints).await.unwrap();
    let link = Link::to(other.address()).await.unwrap();
    let secret = serde_json::json!({
        "metadata": {"name": "far", "labels": {"istio/multiCluster": "true"}},
        "stringData": {"far": other.kubeconfig_over(link.address()).unwrap()},
    });
    apply::<k8s_openapi::api::core::v1::Secret>(&own.client().await.unwrap(), "istio-system", secret).await;
    let mut options = options_of(&own, folder.path(), &plain(folder.path()));
    // so that connections over which nothing comes are given up while the test lasts
    options.watch_renewal = Duration::from_secs(10);
    let (running, crowd) = watched(options, folder.path(), &ledger).await;
    far.edit(10).await.unwrap();
    crowd.current(PATIENCE).await.unwrap();

    let (backup, then) = (other.back_up().await.unwrap(), far.snapshot());
    crowd.current(PATIENCE).await.unwrap();
    far.edit(20).await.unwrap();
    crowd.current(PATIENCE).await.unwrap();
    link.hang();
    let (before, begun) = (failures(&running).await, tokio::time::Instant::now());
    for _ in 0..3 {
        near.edit(20).await.unwrap();
        crowd.current(PATIENCE).await.unwrap();
    }
    // every watch gives its connection up, and twice no other one is to be had
    let given_up = async || (failures(&running).await >= before + 2 * FAR_WATCHES).then_some(());
    eventually("everything has been tried again in vain", 3 * PATIENCE, given_up).await.unwrap();
    println!("it hangs for {:.0?}", begun.elapsed());
    near.edit(20).await.unwrap();
    crowd.current(PATIENCE).await.unwrap();
    far.restored(&then);
    other.restore(&backup).await.unwrap();
    far.edit(10).await.unwrap();
    assert!(!crowd.tally().lost.is_empty(), "nothing of this is known yet");
    link.resume();
    crowd.current(PATIENCE).await.unwrap();
    far.edit(10).await.unwrap();
    judge("another cluster hung", running, crowd, &ledger).await;
}
