//! What every sidecar saw since the present event began.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Types of a sidecar's subscriptions, in the order of [`CDS`] to [`NDS`].
pub(crate) const TYPES: [(&str, &str); 5] = [
    ("CDS", "type.googleapis.com/envoy.config.cluster.v3.Cluster"),
    ("EDS", "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"),
    ("LDS", "type.googleapis.com/envoy.config.listener.v3.Listener"),
    ("RDS", "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"),
    ("NDS", "type.googleapis.com/istio.networking.nds.v1.NameTable"),
];
pub(crate) const CDS: usize = 0;
pub(crate) const EDS: usize = 1;
pub(crate) const LDS: usize = 2;
pub(crate) const RDS: usize = 3;
pub(crate) const NDS: usize = 4;

/// Of one type.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Amount {
    pub(crate) messages: u64,
    /// Of gRPC payload.
    pub(crate) bytes: u64,
    pub(crate) resources: u64,
    pub(crate) removed: u64,
}

/// One sidecar; times since the program began, `None` is "not yet".
#[derive(Debug, Default, Clone, Copy)]
struct Sidecar {
    last_ack: Option<Duration>,
    complete: Option<Duration>,
    amounts: [Amount; TYPES.len()],
}

/// All of them.
#[derive(Debug)]
pub(crate) struct Seen {
    epoch: Instant,
    /// Nanoseconds at which anybody received anything.
    last: AtomicU64,
    /// Sidecars that hold a full configuration.
    complete: AtomicUsize,
    /// Streams that were not accepted or broke.
    pub(crate) broken: AtomicU64,
    sidecars: Vec<Mutex<Sidecar>>,
}

impl Seen {
    pub(crate) fn new(sidecars: usize) -> Arc<Self> {
        Arc::new(Self {
            epoch: Instant::now(),
            last: AtomicU64::new(0),
            complete: AtomicUsize::new(0),
            broken: AtomicU64::new(0),
            sidecars: (0..sidecars).map(|_| Mutex::default()).collect(),
        })
    }

    pub(crate) fn now(&self) -> Duration {
        self.epoch.elapsed()
    }

    /// A new event begins.
    pub(crate) fn reset(&self) {
        for sidecar in &self.sidecars {
            *sidecar.lock() = Sidecar::default();
        }
    }

    pub(crate) fn received(&self, sidecar: usize, kind: usize, amount: Amount) {
        let now = u64::try_from(self.now().as_nanos()).unwrap_or(u64::MAX);
        self.last.store(now, Relaxed);
        let mut sidecar = self.sidecars[sidecar].lock();
        let sum = &mut sidecar.amounts[kind];
        sum.messages += amount.messages;
        sum.bytes += amount.bytes;
        sum.resources += amount.resources;
        sum.removed += amount.removed;
    }

    pub(crate) fn acknowledged(&self, sidecar: usize) {
        self.sidecars[sidecar].lock().last_ack = Some(self.now());
    }

    pub(crate) fn completed(&self, sidecar: usize) {
        self.sidecars[sidecar].lock().complete = Some(self.now());
        self.complete.fetch_add(1, Relaxed);
    }

    pub(crate) fn lost(&self, was_complete: bool) {
        self.broken.fetch_add(1, Relaxed);
        if was_complete {
            self.complete.fetch_sub(1, Relaxed);
        }
    }

    pub(crate) fn all_complete(&self) -> bool {
        self.complete.load(Relaxed) == self.sidecars.len()
    }

    /// When anybody received anything last.
    pub(crate) fn last(&self) -> Duration {
        Duration::from_nanos(self.last.load(Relaxed))
    }

    /// Milliseconds from `since` to each touched sidecar's last acknowledgement.
    pub(crate) fn acks(&self, since: Duration) -> Vec<f64> {
        self.times(since, |sidecar| sidecar.last_ack)
    }

    /// Milliseconds from `since` to when each was complete.
    pub(crate) fn completions(&self, since: Duration) -> Vec<f64> {
        self.times(since, |sidecar| sidecar.complete)
    }

    fn times(&self, since: Duration, pick: impl Fn(&Sidecar) -> Option<Duration>) -> Vec<f64> {
        let times = self.sidecars.iter().filter_map(|sidecar| pick(&sidecar.lock()));
        times.map(|at| at.saturating_sub(since).as_secs_f64() * 1e3).collect()
    }

    /// By type, over all sidecars.
    pub(crate) fn amounts(&self) -> [Amount; TYPES.len()] {
        let mut out = [Amount::default(); TYPES.len()];
        for sidecar in &self.sidecars {
            for (sum, one) in out.iter_mut().zip(sidecar.lock().amounts) {
                sum.messages += one.messages;
                sum.bytes += one.bytes;
                sum.resources += one.resources;
                sum.removed += one.removed;
            }
        }
        out
    }
}
