//! What is counted of clusters, under upstream's names (pkg/kube/multicluster).

use process::metrics::Metrics;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

use super::directory::State;

/// The counters.
#[derive(Debug, Clone, Default)]
pub struct Counters {
    managed: Family<[(&'static str, &'static str); 1], Gauge>,
    states: Family<[(&'static str, String); 3], Gauge>,
    timeouts: Counter,
    secrets: Family<[(&'static str, &'static str); 1], Counter>,
    failures: Family<[(&'static str, String); 1], Counter>,
}

impl Counters {
    /// Registers them.
    #[must_use]
    pub fn register(metrics: &Metrics) -> Self {
        let new = Self::default();
        new.managed.get_or_create(&[("cluster_type", "local")]).set(1);
        new.members(0);
        metrics.register("istiod_managed_clusters", "Clusters that are read.", new.managed.clone());
        metrics.register(
            "istiod_remote_cluster_sync_status",
            "1 for the state another cluster is in.",
            new.states.clone(),
        );
        metrics.register(
            "remote_cluster_sync_timeouts_total",
            "Times that another cluster was not waited for any longer.",
            new.timeouts.clone(),
        );
        metrics.register(
            "remote_cluster_secret_events_total",
            "Entries of Secrets that name other clusters, by what became of them.",
            new.secrets.clone(),
        );
        metrics.register(
            "controller_sync_errors_total",
            "Lists and watches of a cluster that failed, and were tried again.",
            new.failures.clone(),
        );
        new
    }

    pub(crate) fn failed(&self, cluster: &str) {
        self.failures.get_or_create(&[("cluster", cluster.to_owned())]).inc();
    }

    pub(crate) fn members(&self, count: usize) {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        self.managed.get_or_create(&[("cluster_type", "remote")]).set(count);
    }

    pub(crate) fn state(&self, cluster: &str, state: State) {
        for word in State::WORDS {
            self.states.get_or_create(&labels(cluster, word)).set(i64::from(word == state.word()));
        }
    }

    pub(crate) fn forget(&self, cluster: &str) {
        for word in State::WORDS {
            self.states.remove(&labels(cluster, word));
        }
    }

    pub(crate) fn timeout(&self) {
        self.timeouts.inc();
    }

    pub(crate) fn secret(&self, event: &'static str) {
        self.secrets.get_or_create(&[("event", event)]).inc();
    }
}

fn labels(cluster: &str, state: &str) -> [(&'static str, String); 3] {
    [("cluster", cluster.to_owned()), ("cluster_type", "remote".to_owned()), ("status", state.to_owned())]
}
