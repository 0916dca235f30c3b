//! Workloads outside of Kubernetes: who connects gets a WorkloadEntry, or one gets its health, and who leaves loses it.
//!
//! As pilot/pkg/autoregistration. Every instance of the control plane does this for the workloads that are connected to it;
//! there is no leader. What an entry says of its instance and of times (annotations) is what they agree by.

mod connections;
mod entry;
mod register;
mod settle;
mod workload;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use config::Kind;
use kube::Client;
use kube::api::DynamicObject;
use kube::runtime::watcher;
use parking_lot::Mutex;
use process::clock::{Clock, Real};
use process::metrics::Metrics;
use prometheus_client::metrics::counter::Counter;
use tokio::sync::{Notify, Semaphore};
use tokio::time::{MissedTickBehavior, interval};

pub use workload::{Health, Identity, Refused, Role, Workload};

use crate::mirror::{Key, Mirror};
use crate::objects;
use crate::queue::Queue;
use connections::Connections;
use entry::Cleanup;

/// Workloads that are registered at a time; others wait for them.
const AT_A_TIME: usize = 20;

/// How workloads are looked after.
#[derive(Debug, Clone)]
pub struct Options {
    /// The name of this instance: of its pod.
    pub instance: String,
    /// How long a workload may be away: `PILOT_WORKLOAD_ENTRY_GRACE_PERIOD`.
    pub grace: Duration,
    /// How long a connection may last (`--keepaliveMaxServerConnectionAge`); an entry that has been connected for half as
    /// long again is of nobody. `None` for no limit.
    pub longest_connection: Option<Duration>,
    /// Whether a workload must prove to be who its entry says: `ISTIO_WORKLOAD_ENTRY_VALIDATE_IDENTITY`.
    pub validates_identity: bool,
    /// What times are taken from.
    pub clock: Arc<dyn Clock>,
}

impl Options {
    /// Upstream's.
    #[must_use]
    pub fn new(instance: &str) -> Self {
        Self {
            instance: instance.to_owned(),
            grace: Duration::from_secs(10),
            longest_connection: None,
            validates_identity: true,
            clock: Arc::new(Real::new()),
        }
    }
}

/// Where connections of workloads are told of. Clones share it.
#[derive(Clone)]
pub struct Registrar(Arc<Shared>);

struct Shared {
    client: Client,
    options: Options,
    connections: Mutex<Connections>,
    /// Entries of which something is to be written.
    touched: Mutex<BTreeSet<Key>>,
    news: Notify,
    permits: Arc<Semaphore>,
    /// Told when nobody is connected and nothing is left to be written.
    settled: Notify,
    counts: Counts,
}

/// What has been counted.
#[derive(Debug)]
struct Counts {
    successes: Counter,
    updates: Counter,
    unregistrations: Counter,
    deletes: Counter,
    errors: Counter,
}

impl Counts {
    /// Under upstream's names.
    fn new(metrics: &Metrics) -> Self {
        let counter = |name: &str, help: &str| metrics.register(name, help, Counter::default());
        Self {
            successes: counter(
                "auto_registration_success_total",
                "Total number of successful auto registrations",
            ),
            updates: counter("auto_registration_updates_total", "Total number of auto registration updates"),
            unregistrations: counter("auto_registration_unregister_total", "Total number of unregistrations"),
            deletes: counter(
                "auto_registration_deletes_total",
                "Total number of auto registration cleaned up by periodic timer",
            ),
            errors: counter("auto_registration_errors_total", "Total number of auto registration errors"),
        }
    }
}

/// A workload that is connected. Dropped, its connection has ended.
pub struct Connection {
    registrar: Registrar,
    number: u64,
    /// Its entry, of the workload's namespace.
    name: String,
}

impl Connection {
    /// The name of its WorkloadEntry.
    #[must_use]
    pub fn entry(&self) -> &str {
        &self.name
    }

    /// Takes note of what the agent found. It is written into the entry in a while.
    pub fn report(&self, health: Health) {
        let key = self.registrar.0.connections.lock().report(self.number, health);
        self.registrar.touch(key);
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let shared = &self.registrar.0;
        let key = shared.connections.lock().close(self.number, shared.options.clock.now());
        self.registrar.touch(key);
    }
}

/// An entry as far as its cleaning up goes.
struct Watched {
    is_ours: bool,
    cleanup: Option<(SystemTime, Cleanup)>,
}

impl Registrar {
    /// One to which nobody is connected. Its counters are registered with `metrics`, so there is one in a process.
    #[must_use]
    pub fn new(client: Client, options: Options, metrics: &Metrics) -> Self {
        Self(Arc::new(Shared {
            client,
            options,
            connections: Mutex::new(Connections::default()),
            touched: Mutex::new(BTreeSet::new()),
            news: Notify::new(),
            permits: Arc::new(Semaphore::new(AT_A_TIME)),
            settled: Notify::new(),
            counts: Counts::new(metrics),
        }))
    }

    /// Writes what connections that ended and reports leave to be written, registers members of groups that come late, and
    /// cleans up, until it is dropped. Trouble with the cluster is logged and tried again.
    pub async fn run(self) {
        let Options { grace, longest_connection, .. } = self.0.options;
        let instance = self.0.options.instance.clone();
        let watched = move |object: DynamicObject| Watched {
            is_ours: entry::is_of(&object, &instance),
            cleanup: entry::cleanup(&object, grace, longest_connection),
        };
        let all = watcher::Config::default();
        let api = |kind| objects::api(&self.0.client, kind, None);
        let mut entries = Mirror::new("WorkloadEntries", api(Kind::WorkloadEntry), all.clone(), watched);
        let mut groups = Mirror::new("WorkloadGroups", api(Kind::WorkloadGroup), all, drop);
        let mut known = BTreeSet::new();
        let mut queue = Queue::new("looking after WorkloadEntry");
        let mut tick = interval((grace / 10).clamp(Duration::from_millis(100), Duration::from_secs(1)));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                touched = self.touched() => touched.into_iter().for_each(|key| queue.add(key)),
                keys = entries.changed() => {
                    // taken away from a workload that is connected
                    let gone = keys.into_iter().filter(|key| entries.get(key).is_none());
                    gone.filter(|key| self.is_present(key)).for_each(|key| queue.add(key));
                }
                keys = groups.changed() => for group in keys {
                    if groups.get(&group).is_none() {
                        known.remove(&group);
                    } else if known.insert(group.clone()) {
                        let members = self.0.connections.lock().members(&group);
                        members.into_iter().for_each(|key| queue.add(key));
                    }
                },
                _ = tick.tick(), if entries.synced() => {
                    let due = entries.iter().filter(|(key, watched)| self.is_due(watched) && !queue.retries(key));
                    let due: Vec<Key> = due.map(|(key, _)| key.clone()).collect();
                    due.into_iter().for_each(|key| queue.add(key));
                }
                key = queue.next() => {
                    let work = self.settle(key.clone());
                    if !queue.work(key, work).await {
                        self.0.counts.errors.inc();
                    }
                }
            }
        }
    }

    /// Waits until nobody is connected and nothing is left to be written: for an end in which no entry is left that says of
    /// a workload that it is connected. It is [`Registrar::run`] that writes, so that must go on meanwhile.
    pub async fn settled(&self) {
        loop {
            let settled = self.0.settled.notified();
            if self.0.connections.lock().is_settled() {
                return;
            }
            settled.await;
        }
    }

    fn is_present(&self, key: &Key) -> bool {
        self.0.connections.lock().present(key).is_some()
    }

    fn is_due(&self, watched: &Watched) -> bool {
        let due = watched.cleanup.and_then(|(at, _)| self.due(at, watched.is_ours));
        due.is_some_and(|at| at <= self.0.options.clock.now())
    }

    /// When an entry that is due `at` is for us to clean up: the entries of others after ten times the grace, when their
    /// instance seems to be gone.
    fn due(&self, at: SystemTime, is_ours: bool) -> Option<SystemTime> {
        let patience = if is_ours { Duration::ZERO } else { self.0.options.grace * 10 };
        at.checked_add(patience)
    }

    fn touch(&self, key: Option<Key>) {
        if let Some(key) = key {
            self.0.touched.lock().insert(key);
            self.0.news.notify_one();
        }
    }

    async fn touched(&self) -> BTreeSet<Key> {
        loop {
            let touched = std::mem::take(&mut *self.0.touched.lock());
            if !touched.is_empty() {
                return touched;
            }
            self.0.news.notified().await;
        }
    }
}
