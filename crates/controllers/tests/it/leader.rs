//! Replicas that compete for a lock, ours and upstream's.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

use controllers::leader::{self, Candidate, Work};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::api::{Api, DeleteParams};
use kube::{Client, ResourceExt as _};
use parking_lot::Mutex;
use process::clock::Virtual;
use serde_json::{Value, json};
use testkit::api_server::ApiServer;
use testkit::eventually;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::cluster::{PATIENCE, breakable, control_plane, counting, create, shared};

const RECORD: &str = "control-plane.alpha.kubernetes.io/leader";

/// Short enough for a test, long enough for a busy machine: every attempt has a quarter of it.
const TTL: Duration = Duration::from_secs(16);

/// A replica that runs, and whether its work does.
struct Replica {
    working: Arc<AtomicUsize>,
    terms: Arc<AtomicUsize>,
    stop: watch::Sender<bool>,
    running: JoinHandle<()>,
}

/// Counts down when the work's future is dropped, however it ends.
struct Working(Arc<AtomicUsize>);

impl Drop for Working {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Replica {
    fn start(client: &Client, candidate: Candidate, work: Work) -> Self {
        let (working, terms) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (stop, told) = watch::channel(false);
        let task = {
            let (working, terms) = (working.clone(), terms.clone());
            move || {
                working.fetch_add(1, Ordering::SeqCst);
                terms.fetch_add(1, Ordering::SeqCst);
                let working = Working(working.clone());
                async move {
                    let _working = working;
                    std::future::pending::<()>().await;
                }
            }
        };
        let running = tokio::spawn(leader::run(client.clone(), candidate, work, told, task));
        Self { working, terms, stop, running }
    }

    fn leads(&self) -> bool {
        self.working.load(Ordering::SeqCst) == 1
    }

    async fn until(&self, leads: bool) {
        let what = if leads { "the replica leads" } else { "the replica does not lead" };
        eventually(what, PATIENCE, async || (self.leads() == leads).then_some(())).await.unwrap();
    }

    async fn stop(self) {
        self.stop.send(true).unwrap();
        self.running.await.unwrap();
        assert_eq!(self.working.load(Ordering::SeqCst), 0, "its work has ended");
    }
}

fn candidate(namespace: &str, identity: &str, revision: &str) -> Candidate {
    let (_, nobody) = watch::channel(String::new());
    Candidate { ttl: TTL, ..Candidate::new(namespace, identity, revision, nobody) }
}

/// One by whose clock no time passes: nothing that it does can come of a lock that expired.
fn timeless(namespace: &str, identity: &str, revision: &str) -> Candidate {
    let clock = Arc::new(Virtual::new(SystemTime::now()));
    Candidate { clock, ..candidate(namespace, identity, revision) }
}

/// A namespace of a test, and what stands in the lock there.
async fn namespace(client: &Client, name: &str) -> Api<ConfigMap> {
    create(&Api::<Namespace>::all(client.clone()), json!({"metadata": {"name": name}})).await;
    Api::namespaced(client.clone(), name)
}

async fn record(locks: &Api<ConfigMap>, work: Work) -> Value {
    let lock = locks.get(work.name).await.unwrap();
    serde_json::from_str(&lock.annotations()[RECORD]).unwrap()
}

/// A lock as a replica of upstream's holds it.
fn held_by(identity: &str, key: &str, work: Work) -> Value {
    let record = json!({
        "holderIdentity": identity, "holderKey": key, "leaseDurationSeconds": 30,
        "acquireTime": "2026-11-22T08:15:30Z", "renewTime": "2026-11-22T08:20:00Z", "leaderTransitions": 4,
    });
    json!({
        "metadata": {"name": work.name, "annotations": {RECORD: record.to_string(), "kept": "yes"}},
        "data": {"kept": "too"},
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_replica_leads_and_who_stops_hands_over_at_once() {
    let server = shared().await;
    let client = server.client().await.unwrap();
    let istiod = Client::try_from(control_plane(&server, "handover").await).unwrap();
    let locks: Api<ConfigMap> = Api::namespaced(client.clone(), "handover");
    let work = Work::NAMESPACES;
    let first = Replica::start(&istiod, timeless("handover", "istiod-a", ""), work);
    first.until(true).await;
    let second = Replica::start(&istiod, timeless("handover", "istiod-b", ""), work);
    let taken = record(&locks, work).await;
    assert_eq!((&taken["holderIdentity"], &taken["holderKey"]), (&json!("istiod-a"), &json!("default")));
    assert_eq!((&taken["leaseDurationSeconds"], &taken["leaderTransitions"]), (&json!(16), &json!(0)));
    assert!(!second.leads());

    first.stop().await;
    assert_eq!(record(&locks, work).await["holderIdentity"], "", "given back");
    second.until(true).await;
    let handed = record(&locks, work).await;
    assert_eq!((&handed["holderIdentity"], &handed["leaderTransitions"]), (&json!("istiod-b"), &json!(1)));
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_lock_of_a_replica_that_died_is_taken_when_it_has_expired_and_not_before() {
    let server = shared().await;
    let client = server.client().await.unwrap();
    let locks = namespace(&client, "crash").await;
    let work = Work::IP_AUTOALLOCATE;
    let first = Replica::start(&client, candidate("crash", "istiod-a", "one"), work);
    first.until(true).await;
    let second = Replica::start(&client, candidate("crash", "istiod-b", "two"), work);
    let dies = Instant::now();
    first.running.abort();
    first.until(false).await;
    second.until(true).await;
    // its last renewal may have been a quarter of the TTL old
    assert!(dies.elapsed() > TTL.mul_f64(0.7), "taken after {:?}", dies.elapsed());
    let taken = record(&locks, work).await;
    assert_eq!((&taken["holderIdentity"], &taken["holderKey"]), (&json!("istiod-b"), &json!("two")));
    assert_eq!(taken["leaderTransitions"], 1);
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_default_revision_takes_the_lock_and_a_new_default_revision_takes_it_back() {
    let server = shared().await;
    let client = server.client().await.unwrap();
    let locks = namespace(&client, "steal").await;
    let work = Work::NAMESPACES;
    let (default, revision) = watch::channel(String::new());
    let of = |identity: &str, name: &str| Candidate {
        default_revision: revision.clone(),
        ..timeless("steal", identity, name)
    };
    let canary = Replica::start(&client, of("istiod-c", "canary"), work);
    canary.until(true).await;
    let stable = Replica::start(&client, of("istiod-s", "stable"), work);
    default.send("stable".to_owned()).unwrap();
    stable.until(true).await;
    canary.until(false).await;
    assert_eq!(record(&locks, work).await["holderKey"], "stable");

    default.send("canary".to_owned()).unwrap();
    canary.until(true).await;
    stable.until(false).await;
    assert_eq!(record(&locks, work).await["leaderTransitions"], 2);
    assert_eq!(canary.terms.load(Ordering::SeqCst), 2);
    canary.stop().await;
    stable.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_of_upstream_s_is_respected_ranked_and_kept_as_it_is() {
    let server = shared().await;
    let client = server.client().await.unwrap();
    let locks = namespace(&client, "upstream").await;
    // a replica of the same revision outside the cluster gives way at once
    create(&locks, held_by("istiod-remote", "^stable", Work::INGRESS)).await;
    let (_, revision) = watch::channel("other".to_owned());
    let ours = Candidate { default_revision: revision, ..timeless("upstream", "istiod-s", "stable") };
    let ranked = Replica::start(&client, ours.clone(), Work::INGRESS);
    ranked.until(true).await;
    let taken = record(&locks, Work::INGRESS).await;
    assert_eq!((&taken["holderKey"], &taken["leaderTransitions"]), (&json!("stable"), &json!(5)));
    assert_ne!(taken["acquireTime"], "2026-11-22T08:15:30Z");
    let lock = locks.get(Work::INGRESS.name).await.unwrap();
    assert_eq!(lock.annotations()["kept"], "yes");
    assert_eq!(lock.data.unwrap()["kept"], "too");
    ranked.stop().await;

    // another one does not, however old its record says it is: clocks of other machines count for nothing
    create(&locks, held_by("istiod-x", "other", Work::ANALYSIS)).await;
    // and what cannot be read may be of somebody who lives
    let garbled = json!({"metadata": {"name": Work::NAMESPACES.name, "annotations": {RECORD: "{"}}});
    create(&locks, garbled).await;
    let hands = Virtual::new(SystemTime::now());
    let ttl = Duration::from_secs(8);
    let waits = Candidate { ttl, clock: Arc::new(hands.clone()), ..ours };
    let waiting = Replica::start(&client, waits.clone(), Work::ANALYSIS);
    let puzzled = Replica::start(&client, waits, Work::NAMESPACES);
    // the wall clock jumps by a year: no reason to take anything
    hands.set(SystemTime::now() + Duration::from_secs(365 * 24 * 3600));
    let taken = async || (waiting.leads() || puzzled.leads()).then_some(());
    let quiet = eventually("a lock is taken", ttl * 2, taken).await;
    assert!(quiet.is_err(), "looked for two TTLs of the machine's clock");
    // its own clock is what counts, from when it saw the lock, which on a busy machine may be late
    let mut lead = Err(String::new());
    for _ in 0..8 {
        hands.advance(ttl);
        let both = async || (waiting.leads() && puzzled.leads()).then_some(());
        lead = eventually("both lead", ttl * 2, both).await;
        if lead.is_ok() {
            break;
        }
    }
    lead.unwrap();
    assert_eq!(record(&locks, Work::ANALYSIS).await["holderIdentity"], "istiod-s");
    assert_eq!(record(&locks, Work::NAMESPACES).await["holderIdentity"], "istiod-s");
    waiting.stop().await;
    puzzled.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leases_are_of_one_revision_or_shared_with_the_holder_s_key() {
    let server = shared().await;
    let client = server.client().await.unwrap();
    let istiod = Client::try_from(control_plane(&server, "leases").await).unwrap();
    let leases: Api<Lease> = Api::namespaced(client.clone(), "leases");
    let one = Replica::start(&istiod, candidate("leases", "istiod-a", "one"), Work::GATEWAY_STATUS);
    let two = Replica::start(&istiod, candidate("leases", "istiod-b", "two"), Work::GATEWAY_STATUS);
    one.until(true).await;
    two.until(true).await;
    let lease = leases.get("istio-gateway-status-leader-two").await.unwrap();
    let spec = lease.spec.clone().unwrap();
    assert_eq!(spec.holder_identity.as_deref(), Some("istiod-b"));
    assert_eq!((spec.lease_duration_seconds, spec.lease_transitions), (Some(16), Some(0)));
    assert!(lease.annotations().is_empty(), "no ranks within a revision");

    let shared = Replica::start(&istiod, candidate("leases", "istiod-a", "one"), Work::STATUS);
    shared.until(true).await;
    let lease = leases.get("istio-status-leader").await.unwrap();
    assert_eq!(lease.annotations()["leader.istio.io/holder-key"], "one");
    // renewed, it says so and is still the same term
    let first = lease.spec.unwrap();
    let renewed = eventually("the lease is renewed", PATIENCE, async || {
        let spec = leases.get("istio-status-leader").await.ok()?.spec?;
        (spec.renew_time > first.renew_time).then_some(spec)
    });
    let renewed = renewed.await.unwrap();
    assert_eq!((renewed.acquire_time, renewed.lease_transitions), (first.acquire_time, Some(0)));
    for replica in [one, two, shared] {
        replica.stop().await;
    }
    let lease = leases.get("istio-status-leader").await.unwrap();
    assert_eq!(lease.spec.unwrap().holder_identity.as_deref(), Some(""));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_cannot_reach_the_cluster_stops_before_the_lock_expires_and_leads_again_after() {
    let mut server = ApiServer::start().await.unwrap();
    let client = server.client().await.unwrap();
    namespace(&client, "outage").await;
    let ttl = Duration::from_secs(24);
    let replica =
        Replica::start(&client, Candidate { ttl, ..candidate("outage", "istiod-a", "") }, Work::NAMESPACES);
    replica.until(true).await;
    server.kill();
    let dies = Instant::now();
    replica.until(false).await;
    assert!(dies.elapsed() < ttl, "worked on for {:?}", dies.elapsed());
    server.resume().await.unwrap();
    replica.until(true).await;
    replica.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_cut_off_has_stopped_when_another_takes_over() {
    let server = shared().await;
    let (client, cut) = breakable(server.config().await.unwrap());
    let connected = server.client().await.unwrap();
    let locks = namespace(&connected, "cut-off").await;
    let of = |identity: &str| candidate("cut-off", identity, "");
    let first = Replica::start(&client, of("istiod-a"), Work::NAMESPACES);
    first.until(true).await;
    let second = Replica::start(&connected, of("istiod-b"), Work::NAMESPACES);
    cut.send(true).unwrap();
    second.until(true).await;
    assert!(!first.leads(), "two lead at once");
    // connected again, it does not take for its own what is another's
    cut.send(false).unwrap();
    let leads = eventually("the first leads again", TTL / 2, async || first.leads().then_some(())).await;
    assert!(leads.is_err() && second.leads());
    assert_eq!(record(&locks, Work::NAMESPACES).await["holderIdentity"], "istiod-b");
    first.stop().await;
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_that_somebody_deletes_is_made_again_and_work_that_panics_gives_it_up() {
    let server = shared().await;
    let (client, writes) = counting(server.config().await.unwrap());
    let locks = namespace(&client, "mishaps").await;
    let replica = Replica::start(&client, timeless("mishaps", "istiod-a", ""), Work::NAMESPACES);
    replica.until(true).await;
    locks.delete(Work::NAMESPACES.name, &DeleteParams::default()).await.unwrap();
    eventually("the lock stands again", PATIENCE, async || locks.get(Work::NAMESPACES.name).await.ok())
        .await
        .unwrap();
    assert_eq!(replica.terms.load(Ordering::SeqCst), 1, "nobody else led in between");
    replica.stop().await;

    let (stop, told) = watch::channel(false);
    let candidate = timeless("mishaps", "istiod-a", "");
    let terms = Arc::new(Mutex::new(Vec::new()));
    let begins = terms.clone();
    let task = move || {
        let term = begins.lock().len();
        begins.lock().push(Instant::now());
        async move {
            assert!(term > 0, "the first term ends in a panic");
            std::future::pending::<()>().await;
        }
    };
    let running = tokio::spawn(leader::run(client.clone(), candidate, Work::ANALYSIS, told, task));
    eventually("a second term", PATIENCE, async || (terms.lock().len() == 2).then_some(())).await.unwrap();
    let begun = terms.lock().clone();
    let pause = begun[1] - begun[0];
    assert!(pause >= TTL / 4, "again after {pause:?}, others first");
    assert_eq!(record(&locks, Work::ANALYSIS).await["leaderTransitions"], 1, "given back in between");
    // who would tell it to stop is gone
    drop(stop);
    running.await.unwrap();
    let made: Vec<_> =
        writes.of("/configmaps").into_iter().filter(|write| write.starts_with("POST")).collect();
    assert_eq!(made.len(), 3, "two locks, one of them twice: {made:?}");
}
