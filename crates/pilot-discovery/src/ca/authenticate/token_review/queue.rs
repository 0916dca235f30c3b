//! Reviews under way: one of each token, a few of each cluster, each for a limited time.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared, WeakShared};
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::review::Verdict;
use super::{Key, ReviewCounters};
use crate::ca::Reason;

/// Reviews that an API server is asked for at once.
const AT_ONCE: usize = 32;
/// Callers that wait for one API server; more are sent away, so that one that hangs does not gather everybody.
const CALLERS: usize = 512;

/// The reviews under way. What nobody waits for any more is given up.
pub(super) struct Queue {
    lines: Mutex<HashMap<String, Line>>,
    limit: Duration,
    counters: ReviewCounters,
}

/// Those of one cluster; there as long as somebody waits in it.
struct Line {
    callers: usize,
    permits: Arc<Semaphore>,
    reviews: HashMap<Key, WeakShared<BoxFuture<'static, Verdict>>>,
}

impl Line {
    fn new() -> Self {
        Self { callers: 0, permits: Arc::new(Semaphore::new(AT_ONCE)), reviews: HashMap::new() }
    }

    fn under_way(&self, key: &Key) -> Option<Shared<BoxFuture<'static, Verdict>>> {
        self.reviews.get(key)?.upgrade()
    }
}

/// A caller's place in a line.
struct Place<'a> {
    queue: &'a Queue,
    cluster: &'a str,
    key: Key,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut lines = self.queue.lines.lock();
        let Some(line) = lines.get_mut(self.cluster) else { return };
        line.callers -= 1;
        if line.under_way(&self.key).is_none() {
            line.reviews.remove(&self.key);
        }
        if line.callers == 0 {
            lines.remove(self.cluster);
        }
    }
}

impl Queue {
    /// A review that has no answer after `limit`, its wait for others included, is given up. What came of each is counted.
    pub(super) fn new(limit: Duration, counters: ReviewCounters) -> Self {
        Self { lines: Mutex::default(), limit, counters }
    }

    /// The answer to the review of a token: of the one that is under way, else of the one that `begin` begins.
    pub(super) async fn join<F>(&self, cluster: &str, key: Key, begin: impl FnOnce() -> F) -> Verdict
    where
        F: Future<Output = Verdict> + Send + 'static,
    {
        let Some((_place, review)) = self.enter(cluster, key, begin) else {
            return Err(Reason::Undecided("too many callers wait for its API server".to_owned()));
        };
        review.await
    }

    fn enter<'a, F>(
        &'a self,
        cluster: &'a str,
        key: Key,
        begin: impl FnOnce() -> F,
    ) -> Option<(Place<'a>, Shared<BoxFuture<'static, Verdict>>)>
    where
        F: Future<Output = Verdict> + Send + 'static,
    {
        let mut lines = self.lines.lock();
        let line = lines.entry(cluster.to_owned()).or_insert_with(Line::new);
        if line.callers >= CALLERS {
            return None;
        }
        line.callers += 1;
        let review = line.under_way(&key).unwrap_or_else(|| {
            let (limited, counters) =
                (limited(self.limit, line.permits.clone(), begin()), self.counters.clone());
            let new = limited.inspect(move |verdict| counters.reviewed(verdict)).boxed().shared();
            line.reviews.extend(new.downgrade().map(|weak| (key, weak)));
            new
        });
        Some((Place { queue: self, cluster, key }, review))
    }
}

async fn limited(
    limit: Duration,
    permits: Arc<Semaphore>,
    review: impl Future<Output = Verdict> + Send,
) -> Verdict {
    let work = async {
        // the semaphore is never closed
        let _permit = permits.acquire().await;
        review.await
    };
    let late = |_| Err(Reason::Undecided(format!("its API server did not answer within {limit:?}")));
    timeout(limit, work).await.unwrap_or_else(late)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::watch;

    use super::super::review::Account;
    use super::*;

    const LIMIT: Duration = Duration::from_millis(200);

    fn yes() -> Verdict {
        Ok(Account { namespace: "shop".into(), name: "cart".into(), pod: None })
    }

    fn key(number: u8) -> Key {
        [number; 32]
    }

    #[tokio::test]
    async fn a_token_is_reviewed_once_however_many_wait_and_whoever_leaves() {
        let (queue, go, begun) =
            (Queue::new(LIMIT, ReviewCounters::default()), watch::Sender::new(false), AtomicUsize::new(0));
        let join = || {
            queue.join("c", key(1), || {
                begun.fetch_add(1, Ordering::SeqCst);
                let mut go = go.subscribe();
                async move { go.wait_for(|go| *go).await.map(|_| yes()).unwrap() }
            })
        };
        let (mut first, mut second) = (Box::pin(join()), Box::pin(join()));
        assert!(first.as_mut().now_or_never().is_none() && second.as_mut().now_or_never().is_none());
        drop(first);
        let mut third = Box::pin(join());
        assert!(third.as_mut().now_or_never().is_none());
        go.send_replace(true);
        assert_eq!((second.await, third.await), (yes(), yes()));
        assert_eq!(begun.load(Ordering::SeqCst), 1);
        assert!(queue.lines.lock().is_empty(), "nothing is kept");
        assert_eq!(join().await, yes());
        assert_eq!(begun.load(Ordering::SeqCst), 2, "what is over is not joined");
    }

    #[tokio::test]
    async fn a_review_that_hangs_ends_in_time_and_one_that_nobody_waits_for_at_once() {
        let queue = Queue::new(LIMIT, ReviewCounters::default());
        let hangs = std::future::pending::<Verdict>;
        let answer = queue.join("c", key(1), hangs).await;
        assert!(matches!(&answer, Err(Reason::Undecided(why)) if why.contains("200ms")), "{answer:?}");
        assert_eq!(queue.counters.count("failed"), 1);
        let mut left = Box::pin(queue.join("c", key(1), hangs));
        assert!(left.as_mut().now_or_never().is_none());
        drop(left);
        assert!(queue.lines.lock().is_empty());
    }

    #[tokio::test]
    async fn a_cluster_that_hangs_gathers_few_and_delays_no_other() {
        let (queue, asked) = (Queue::new(LIMIT, ReviewCounters::default()), Arc::new(AtomicUsize::new(0)));
        let hang = |number: usize| {
            let (asked, mut key) = (asked.clone(), Key::default());
            key[..8].copy_from_slice(&number.to_be_bytes());
            let ask = move || async move {
                asked.fetch_add(1, Ordering::SeqCst);
                std::future::pending().await
            };
            queue.join("hangs", key, ask)
        };
        let mut waiting: Vec<_> = (0..CALLERS).map(|number| Box::pin(hang(number))).collect();
        assert!(waiting.iter_mut().all(|caller| caller.as_mut().now_or_never().is_none()));
        assert_eq!(asked.load(Ordering::SeqCst), AT_ONCE);
        let sent_away = hang(CALLERS).now_or_never().unwrap();
        assert!(matches!(sent_away, Err(Reason::Undecided(_))), "{sent_away:?}");
        assert_eq!(queue.join("other", key(1), || async { yes() }).now_or_never(), Some(yes()));
    }
}
