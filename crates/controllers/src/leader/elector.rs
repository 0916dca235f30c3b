//! One candidate at one lock: waiting for it, holding it, giving it back.

use std::time::Duration;

use kube::api::Api;
use process::retry::Policy;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::candidate::Candidate;
use super::lock::{Lock, LockObject, Standing};
use super::record::{Record, written};
use super::{Shared, Work};
use crate::{Stop, is_stopped, stopped};

/// A candidate and what it saw of a lock.
pub(super) struct Elector<K> {
    lock: Lock<K>,
    candidate: Candidate,
    /// What it writes of its rank; nothing where nobody is ranked.
    key: String,
    /// The last record it saw, and since when by the candidate's monotonic clock.
    seen: Option<(String, Duration)>,
}

/// A lock that is held.
struct Held<K> {
    standing: Standing<K>,
    record: Record,
    /// When the last renewal was sent, by the candidate's monotonic clock: others count from no earlier.
    renewed: Duration,
}

/// How a time of leadership ended.
enum End {
    Stopped,
    Lost(String),
    Panicked,
}

/// Why a renewal did not succeed.
enum Refused {
    /// The lock is somebody else's; the text says whose.
    Taken(String),
    /// It may still be ours.
    Trouble(String),
}

impl<K: LockObject> Elector<K> {
    pub(super) fn new(api: Api<K>, candidate: Candidate, work: Work) -> Self {
        let revision = &candidate.revision;
        let (name, key) = match work.shared {
            Shared::ByRevision => (format!("{}-{revision}", work.name), String::new()),
            Shared::InConfigMap | Shared::InLease => (work.name.to_owned(), candidate.key()),
        };
        Self { lock: Lock { api, name }, candidate, key, seen: None }
    }

    /// Competes, leads and competes again until `stop`.
    pub(super) async fn run<F, T>(mut self, mut stop: Stop, mut task: F)
    where
        F: FnMut() -> T,
        T: Future<Output = ()> + Send + 'static,
    {
        while let Some(held) = self.acquire(&mut stop).await {
            let name = self.lock.name.clone();
            tracing::info!("leader election lock obtained: {name}");
            let mut tasks = JoinSet::new();
            tasks.spawn(task());
            let end = self.lead(held, &mut stop, &mut tasks).await;
            tasks.shutdown().await;
            self.release().await;
            match end {
                End::Stopped => tracing::info!("leader election lock {name} is given back"),
                End::Lost(why) => tracing::warn!("leader election lock {name} is lost: {why}"),
                End::Panicked => {
                    tracing::error!("leader election lock {name} is given back: its work panicked");
                    // another replica may do better
                    tokio::select! {
                        () = stopped(&mut stop) => {}
                        () = sleep(self.retry_period()) => {}
                    }
                }
            }
        }
    }

    /// Tries until the lock is held; `None` when told to stop.
    async fn acquire(&mut self, stop: &mut Stop) -> Option<Held<K>> {
        let retry = self.retry_period();
        // spread over 1 to 2.2 periods, as the fork's JitterFactor does, so that replicas do not try in step
        let spread =
            Policy { initial: retry.mul_f64(1.2), max: retry.mul_f64(1.2), factor: 1.0, attempts: None };
        let mut spread = spread.delays();
        let mut troubled = false;
        while !is_stopped(stop) {
            match timeout(retry, self.attempt()).await {
                Ok(Ok(Some(held))) => return Some(held),
                Ok(Ok(None)) => troubled = false,
                Ok(Err(error)) => self.complain(&mut troubled, &error.to_string()),
                Err(late) => self.complain(&mut troubled, &late.to_string()),
            }
            let pause = retry + spread.next().unwrap_or_default();
            tokio::select! {
                () = stopped(stop) => {}
                () = sleep(pause) => {}
            }
        }
        None
    }

    /// Says once for a series of failures what the first one was.
    fn complain(&self, troubled: &mut bool, why: &str) {
        if !std::mem::replace(troubled, true) {
            tracing::warn!(
                "leader election lock {} cannot be read or taken, trying again: {why}",
                self.lock.name
            );
        }
    }

    /// Takes the lock if it is free, expired, ours or held by somebody we outrank.
    async fn attempt(&mut self) -> kube::Result<Option<Held<K>>> {
        let now = self.candidate.clock.monotonic();
        let Some(standing) = self.lock.read().await? else {
            let record = self.record(None);
            let standing = tolerate_conflict(self.lock.create(&record).await)?;
            return Ok(standing.map(|standing| Held { standing, record, renewed: now }));
        };
        let since = self.observe(&standing.mark);
        let held_by_other = match &standing.record {
            Some(record) => {
                !record.holder_identity.is_empty() && record.holder_identity != self.candidate.identity
            }
            // whoever wrote what cannot be read may be alive
            None => true,
        };
        if held_by_other && now.saturating_sub(since) < self.candidate.ttl && !self.outranks(&standing) {
            return Ok(None);
        }
        let record = self.record(standing.record.as_ref());
        let standing = tolerate_conflict(self.lock.update(&standing, &record).await)?;
        Ok(standing.map(|standing| Held { standing, record, renewed: now }))
    }

    /// Remembers a record, and gives since when it is known.
    fn observe(&mut self, mark: &str) -> Duration {
        match &self.seen {
            Some((seen, since)) if seen == mark => *since,
            _ => {
                let now = self.candidate.clock.monotonic();
                self.seen = Some((mark.to_owned(), now));
                now
            }
        }
    }

    fn outranks(&self, standing: &Standing<K>) -> bool {
        let ranked = !self.key.is_empty();
        let holder = standing.record.as_ref().map(|record| record.holder_key.as_str());
        ranked && holder.is_some_and(|key| self.candidate.outranks(key))
    }

    /// Our record, after the one that stands.
    fn record(&self, before: Option<&Record>) -> Record {
        let now = written(self.candidate.clock.now());
        let ours = before.filter(|record| record.holder_identity == self.candidate.identity);
        let transitions = before.map_or(0, |record| record.leader_transitions);
        Record {
            holder_identity: self.candidate.identity.clone(),
            holder_key: self.key.clone(),
            lease_duration_seconds: i64::try_from(self.candidate.ttl.as_secs()).unwrap_or(i64::MAX),
            acquire_time: ours.map_or_else(|| now.clone(), |record| record.acquire_time.clone()),
            renew_time: now,
            leader_transitions: transitions + i64::from(before.is_some() && ours.is_none()),
        }
    }

    /// Renews until told to stop, until the lock is lost, or until the work panics.
    async fn lead(&self, mut held: Held<K>, stop: &mut Stop, tasks: &mut JoinSet<()>) -> End {
        loop {
            let mut ended = false;
            let pause = sleep(self.retry_period());
            tokio::pin!(pause);
            while !ended {
                tokio::select! {
                    () = stopped(stop) => return End::Stopped,
                    Some(result) = tasks.join_next() => if result.is_err() { return End::Panicked },
                    () = &mut pause => ended = true,
                }
            }
            let renewed = tokio::select! {
                () = stopped(stop) => return End::Stopped,
                renewed = self.renew(&held) => renewed,
            };
            match renewed {
                Ok(renewed) => held = renewed,
                Err(why) => return End::Lost(why),
            }
        }
    }

    /// Renews, if need be again and again, for as long as nobody else may take the lock.
    async fn renew(&self, held: &Held<K>) -> Result<Held<K>, String> {
        // others may take over after a whole TTL: the quarter that is left is for the work to end
        let deadline = held.renewed + self.candidate.ttl.mul_f64(0.75);
        let mut trouble = "not renewed in time".to_owned();
        loop {
            let left = deadline.saturating_sub(self.candidate.clock.monotonic());
            if left.is_zero() {
                return Err(trouble);
            }
            let limit = left.min(self.retry_period());
            trouble = match timeout(limit, self.renew_once(held)).await {
                Ok(Ok(renewed)) => return Ok(renewed),
                Ok(Err(Refused::Taken(why))) => return Err(why),
                Ok(Err(Refused::Trouble(why))) => why,
                Err(_) => format!("no answer within {limit:?}"),
            };
            sleep(limit.min(self.retry_period() / 4)).await;
        }
    }

    async fn renew_once(&self, held: &Held<K>) -> Result<Held<K>, Refused> {
        let trouble = |error: kube::Error| Refused::Trouble(error.to_string());
        let renewed = self.candidate.clock.monotonic();
        let record = self.record(Some(&held.record));
        let written = tolerate_conflict(self.lock.update(&held.standing, &record).await).map_err(trouble)?;
        if let Some(standing) = written {
            return Ok(Held { standing, record, renewed });
        }
        // edited, taken or deleted since
        let standing = match self.lock.read().await.map_err(trouble)? {
            Some(standing) => {
                let holder = standing.record.as_ref().map(|record| record.holder_identity.as_str());
                if holder != Some(&self.candidate.identity) {
                    let holder = holder.unwrap_or("somebody whose record cannot be read");
                    return Err(Refused::Taken(format!("its holder is now {holder}")));
                }
                self.lock.update(&standing, &record).await
            }
            None => self.lock.create(&record).await,
        };
        Ok(Held { standing: standing.map_err(trouble)?, record, renewed })
    }

    /// Writes that nobody holds the lock, if it is ours; the next candidate then need not wait.
    async fn release(&self) {
        let name = &self.lock.name;
        match timeout(self.retry_period(), self.give_back()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!("leader election lock {name} was not given back, it expires: {error}");
            }
            Err(_) => tracing::warn!("leader election lock {name} was not given back in time, it expires"),
        }
    }

    async fn give_back(&self) -> kube::Result<()> {
        while let Some(standing) = self.lock.read().await? {
            let ours = standing.record.as_ref();
            let Some(record) = ours.filter(|record| record.holder_identity == self.candidate.identity) else {
                break;
            };
            let released = record.clone().released(self.candidate.clock.now());
            // a renewal of ours that was cut off may be written as late as now
            if tolerate_conflict(self.lock.update(&standing, &released).await)?.is_some() {
                break;
            }
        }
        Ok(())
    }

    /// How often a holder renews and others look: a quarter of the TTL, as upstream.
    fn retry_period(&self) -> Duration {
        self.candidate.ttl / 4
    }
}

/// `None` if somebody else wrote first: there is another version of the object, or it is there or gone already.
fn tolerate_conflict<T>(result: kube::Result<T>) -> kube::Result<Option<T>> {
    match result {
        Ok(written) => Ok(Some(written)),
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(None),
        Err(error) => Err(error),
    }
}
