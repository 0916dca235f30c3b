//! Keys that wait for work: each once, a failed one again after a delay that grows, and writes at a bounded rate.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Display;
use std::time::Duration;

use process::retry::Policy;
use tokio::time::{Instant, sleep_until, timeout};

/// The delays of a key that keeps failing.
const RETRIES: Policy =
    Policy { initial: Duration::from_millis(200), max: Duration::from_secs(60), factor: 2.0, attempts: None };

/// How long the work of one key may take.
const LIMIT: Duration = Duration::from_secs(30);

/// Writes a second, and writes at once, as upstream's client allows itself (pkg/kube: QPS and burst of istiod).
const RATE: f64 = 80.0;
const BURST: f64 = 160.0;

/// Why the work of a key has to be done again.
pub(crate) type Trouble = Box<dyn std::error::Error + Send + Sync>;

/// What the work of a key came to: how many writes it took.
pub(crate) type Outcome = Result<u32, Trouble>;

/// The keys that wait.
pub(crate) struct Queue<K> {
    /// What the work is called when it fails.
    what: &'static str,
    ready: VecDeque<K>,
    /// The keys in `ready`.
    queued: BTreeSet<K>,
    later: BTreeSet<(Instant, K)>,
    failing: BTreeMap<K, Box<dyn Iterator<Item = Duration> + Send>>,
    /// Writes a second, and writes at once.
    pace: (f64, f64),
    /// Writes that may be made at once, as of `counted`; below zero after a burst.
    allowance: f64,
    counted: Instant,
}

impl<K: Ord + Clone + Display> Queue<K> {
    pub(crate) fn new(what: &'static str) -> Self {
        Self::paced(what, RATE, BURST)
    }

    /// With so many writes a second, and so many at once.
    pub(crate) fn paced(what: &'static str, rate: f64, burst: f64) -> Self {
        Self {
            what,
            ready: VecDeque::new(),
            queued: BTreeSet::new(),
            later: BTreeSet::new(),
            failing: BTreeMap::new(),
            pace: (rate, burst),
            allowance: burst,
            counted: Instant::now(),
        }
    }

    /// Adds a key, unless it waits already. What waits for a retry is worked on at once.
    pub(crate) fn add(&mut self, key: K) {
        if self.queued.insert(key.clone()) {
            if self.failing.contains_key(&key) {
                self.later.retain(|(_, waiting)| *waiting != key);
            }
            self.ready.push_back(key);
        }
    }

    /// Whether the last work of a key failed, and it waits to be tried again.
    pub(crate) fn retries(&self, key: &K) -> bool {
        self.failing.contains_key(key)
    }

    /// The next key, as soon as there is one and a write is allowed. May be dropped and called again.
    pub(crate) async fn next(&mut self) -> K {
        loop {
            match self.take(Instant::now()) {
                Ok(key) => return key,
                Err(Some(due)) => sleep_until(due).await,
                // until something is added, which takes another call
                Err(None) => std::future::pending().await,
            }
        }
    }

    /// Does the work of a key, within a time limit, and keeps the key for later if that failed; says whether it succeeded.
    pub(crate) async fn work(&mut self, key: K, work: impl Future<Output = Outcome>) -> bool {
        let outcome = limited(work).await;
        let succeeded = outcome.is_ok();
        self.settle(key, outcome);
        succeeded
    }

    /// A key that may be worked on now, or when to look again.
    fn take(&mut self, now: Instant) -> Result<K, Option<Instant>> {
        while let Some(due) = self.later.first().filter(|(at, _)| *at <= now).cloned() {
            self.later.remove(&due);
            self.add(due.1);
        }
        let allowed = self.allowed(now);
        if self.ready.is_empty() {
            return Err(self.later.first().map(|(at, _)| *at));
        }
        if allowed > now {
            return Err(Some(allowed));
        }
        let key = self.ready.pop_front().ok_or(None)?;
        self.queued.remove(&key);
        Ok(key)
    }

    /// Takes note of what the work of a key came to, and keeps the key for later if it failed.
    pub(crate) fn settle(&mut self, key: K, outcome: Outcome) {
        self.settle_at(Instant::now(), key, outcome);
    }

    fn settle_at(&mut self, now: Instant, key: K, outcome: Outcome) {
        match outcome {
            Ok(writes) => {
                self.allowance -= f64::from(writes);
                self.failing.remove(&key);
            }
            Err(error) => {
                // it may have been a write
                self.allowance -= 1.0;
                let delays = self.failing.entry(key.clone()).or_insert_with(|| Box::new(RETRIES.delays()));
                let delay = delays.next().unwrap_or(RETRIES.max);
                tracing::warn!("{} of {key} failed, trying again in {delay:?}: {error}", self.what);
                if !self.queued.contains(&key) {
                    self.later.insert((now + delay, key));
                }
            }
        }
    }

    /// When a write is allowed.
    fn allowed(&mut self, now: Instant) -> Instant {
        let (rate, burst) = self.pace;
        let earned = now.saturating_duration_since(self.counted).as_secs_f64() * rate;
        self.allowance = (self.allowance + earned).min(burst);
        self.counted = now;
        now + Duration::from_secs_f64((-self.allowance).max(0.0) / rate)
    }
}

/// Ends work that takes too long.
pub(crate) async fn limited<T>(work: impl Future<Output = Result<T, Trouble>>) -> Result<T, Trouble> {
    match timeout(LIMIT, work).await {
        Ok(outcome) => outcome,
        Err(_) => Err(format!("no answer within {LIMIT:?}").into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn failed() -> Outcome {
        Err("no".into())
    }

    #[test]
    fn a_key_waits_once() {
        let mut queue = Queue::new("work");
        for key in ["a", "b", "a"] {
            queue.add(key);
        }
        let now = Instant::now();
        assert_eq!((queue.take(now), queue.take(now)), (Ok("a"), Ok("b")));
        assert_eq!(queue.take(now), Err(None));
    }

    #[test]
    fn what_failed_comes_again_and_at_once_if_it_is_added() {
        let mut queue = Queue::new("work");
        let mut now = Instant::now();
        for round in 0..12 {
            queue.settle_at(now, "a", failed());
            let due = queue.take(now).unwrap_err();
            assert!(due.unwrap() <= now + RETRIES.max, "round {round}");
            now += HOUR;
            assert_eq!((queue.take(now), queue.take(now)), (Ok("a"), Err(None)), "once for one failure");
        }
        queue.settle_at(now, "a", failed());
        queue.add("a");
        assert_eq!(queue.take(now), Ok("a"));
        queue.settle_at(now, "a", Ok(0));
        assert_eq!(queue.take(now + HOUR), Err(None), "done is done");
        assert!(queue.failing.is_empty());
    }

    #[test]
    fn what_was_added_while_it_was_worked_on_needs_no_retry() {
        let mut queue = Queue::new("work");
        let now = Instant::now();
        queue.add("a");
        queue.settle_at(now, "a", failed());
        assert_eq!((queue.take(now), queue.take(now + HOUR)), (Ok("a"), Err(None)));
    }

    #[test]
    fn writes_are_paced_and_looks_are_not() {
        let mut queue = Queue::new("work");
        let start = Instant::now();
        let mut now = start;
        let mut work = |writes: u32| {
            queue.add("a");
            if let Err(due) = queue.take(now) {
                now = due.unwrap();
                assert_eq!(queue.take(now), Ok("a"));
            }
            queue.settle_at(now, "a", Ok(writes));
            now - start
        };
        for _ in 0..1000 {
            assert_eq!(work(0), Duration::ZERO);
        }
        let took = (0..960).map(|_| work(1)).last().unwrap();
        // all but the burst, at so many a second
        assert!((Duration::from_millis(9_900)..Duration::from_millis(10_100)).contains(&took), "{took:?}");
    }
}
