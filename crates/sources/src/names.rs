//! Addresses of hosts that the mesh knows by name: asked of name servers, and asked again when the answer ends.
//!
//! As pilot/pkg/model/network.go: `networkGatewayNameCache`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use mesh::Batch;
use process::name_servers::ResolvConf;
use process::retry::Policy;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;

use crate::change::Change;

mod ask;
#[cfg(test)]
mod tests;

use ask::{Family, Resolver};

/// Where the name servers of the machine are named.
const RESOLV_CONF: &str = "/etc/resolv.conf";
/// How many names are asked for at a time.
const AT_ONCE: usize = 16;
/// What waits to be taken in.
const QUEUE: usize = 16;

/// Hosts whose addresses are wanted.
pub type Names = BTreeSet<Arc<str>>;

/// Who is asked, and how often.
#[derive(Debug, Clone)]
pub struct Options {
    /// The name servers, asked in this order.
    pub servers: Vec<SocketAddr>,
    /// How long each of them may take.
    pub patience: Duration,
    /// How long an answer is good: as long as it says, within these bounds.
    pub good: (Duration, Duration),
    /// Pauses while nobody answers.
    pub pauses: Policy,
}

impl Options {
    /// Of this machine, with upstream's times: five seconds for each server, answers good for half a minute to an hour.
    #[must_use]
    pub fn of_machine() -> Self {
        let text = std::fs::read_to_string(RESOLV_CONF).unwrap_or_else(|error| {
            tracing::warn!(target: "model", "{RESOLV_CONF}: {error}; gateways of networks that are named by a host are left out");
            String::new()
        });
        let half_a_minute = Duration::from_secs(30);
        Self {
            servers: ResolvConf::parse(&text).servers,
            patience: Duration::from_secs(5),
            good: (half_a_minute, Duration::from_secs(3600)),
            pauses: Policy {
                initial: Duration::from_secs(2),
                max: half_a_minute,
                factor: 2.0,
                attempts: None,
            },
        }
    }
}

/// A host and its addresses, sorted.
type Told = (Arc<str>, Vec<IpAddr>);

/// The hosts that are wanted now, each with the task that keeps its addresses.
#[derive(Debug)]
pub struct Hosts {
    resolver: Arc<Resolver>,
    kept: BTreeMap<Arc<str>, JoinSet<()>>,
    tell: mpsc::Sender<Told>,
    told: mpsc::Receiver<Told>,
}

impl Hosts {
    /// None are wanted yet.
    #[must_use]
    pub fn new(options: Options) -> Self {
        let (tell, told) = mpsc::channel(QUEUE);
        let resolver = Resolver { options, room: Semaphore::new(AT_ONCE) };
        Self { resolver: Arc::new(resolver), kept: BTreeMap::new(), tell, told }
    }

    /// Begins with these, and gives what is found within `limit`; the rest comes with [`Hosts::follow`].
    pub async fn begin(&mut self, names: &Names, limit: Duration) -> Change {
        let mut batch = self.want(names);
        let mut awaited = names.clone();
        let gather = async {
            while !awaited.is_empty() {
                let Some(told) = self.told.recv().await else { return };
                awaited.remove(&told.0);
                self.take(told, &mut batch);
            }
        };
        if tokio::time::timeout(limit, gather).await.is_err() {
            tracing::warn!(target: "model", "not all hosts of gateways are known within {limit:?}; the rest is added when it is");
        }
        Change { batch, ..Change::default() }
    }

    /// Keeps the addresses of all that are wanted, and tells of every change, until nobody receives. While nobody answers for
    /// a host it has the addresses it had.
    pub async fn follow(mut self, mut wanted: watch::Receiver<Names>, changes: mpsc::Sender<Change>) {
        loop {
            let names = wanted.borrow_and_update().clone();
            let mut batch = self.want(&names);
            if batch.is_empty() {
                tokio::select! {
                    Some(told) = self.told.recv() => self.take(told, &mut batch),
                    changed = wanted.changed() => if changed.is_err() { return },
                    () = changes.closed() => return,
                }
            }
            if !batch.is_empty() && changes.send(Change { batch, ..Change::default() }).await.is_err() {
                return;
            }
        }
    }

    /// Begins with the new ones, and forgets all others.
    fn want(&mut self, names: &Names) -> Batch {
        let mut batch = Batch::default();
        self.kept.retain(|name, _| {
            let stays = names.contains(name);
            if !stays {
                batch.hosts.push((name.clone(), None));
            }
            stays
        });
        for name in names {
            self.kept.entry(name.clone()).or_insert_with(|| {
                let mut task = JoinSet::new();
                task.spawn(keep(self.resolver.clone(), name.clone(), self.tell.clone()));
                task
            });
        }
        batch
    }

    fn take(&self, (name, addresses): Told, batch: &mut Batch) {
        // what was told before it was forgotten is no news
        if self.kept.contains_key(&name) {
            batch.hosts.push((name, Some(addresses)));
        }
    }
}

/// Keeps the addresses of one host: tells of them when somebody was asked for the first time, and when they are others.
async fn keep(resolver: Arc<Resolver>, name: Arc<str>, tell: mpsc::Sender<Told>) {
    let mut known: BTreeMap<Family, Vec<IpAddr>> = BTreeMap::new();
    let mut told: Option<Vec<IpAddr>> = None;
    let mut pauses = resolver.options.pauses.delays();
    loop {
        let (least, most) = resolver.options.good;
        let (mut good, mut failed) = (most, None);
        let (v4, v6) = tokio::join!(resolver.ask(&name, Family::V4), resolver.ask(&name, Family::V6));
        for (family, answer) in [(Family::V4, v4), (Family::V6, v6)] {
            match answer {
                Ok(answer) => {
                    good = good.min(answer.good.unwrap_or(least));
                    known.insert(family, answer.addresses);
                }
                Err(error) => failed = Some(error),
            }
        }
        let mut addresses: Vec<IpAddr> = known.values().flatten().copied().collect();
        addresses.sort_by_cached_key(ToString::to_string);
        addresses.dedup();
        let pause = match failed {
            Some(error) => {
                let pause = pauses.next().unwrap_or(least);
                complain(&name, &error, &addresses, pause);
                pause
            }
            None => {
                pauses.reset();
                good.max(least)
            }
        };
        if told.as_ref() != Some(&addresses) {
            if tell.send((name.clone(), addresses.clone())).await.is_err() {
                return;
            }
            told = Some(addresses);
        }
        tokio::time::sleep(pause).await;
    }
}

/// There are name servers that never answer for one of the families: that is not worth a word while there are addresses of the
/// other.
fn complain(name: &str, error: &ask::Error, known: &[IpAddr], pause: Duration) {
    let text = format!("host {name} of a gateway between networks: {error}; asking again in {pause:.1?}");
    if known.is_empty() {
        tracing::warn!(target: "model", "{text}");
    } else {
        tracing::debug!(target: "model", "{text}");
    }
}

/// Tells of hosts that nobody is asked for (`RESOLVE_HOSTNAME_GATEWAYS=false`), until nobody wants any.
pub async fn leave_out(mut wanted: watch::Receiver<Names>) {
    let mut told = Names::new();
    loop {
        let names = wanted.borrow_and_update().clone();
        for name in names.difference(&told) {
            tracing::warn!(target: "model", "gateways between networks with the host {name} instead of an address are left out: RESOLVE_HOSTNAME_GATEWAYS=true resolves it");
        }
        told = names;
        if wanted.changed().await.is_err() {
            return;
        }
    }
}
