//! Numbered edits on one side of a control plane, and what proxies are told on the other: what was lost, what was wrong.
//!
//! Every object carries the number of its last edit, twice. A proxy that ends with another number than the store has lost
//! an update; one that is told a number that nobody wrote, two numbers of one object, an older one than before, or that
//! something is gone which stands, was told something wrong. A new connection may begin with older numbers, but not older ones
//! than it has told itself: another replica may be behind by a moment.

mod crowd;
mod numbered;
mod objects;
mod seen;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Result, anyhow};
use kube::Client;

pub use crowd::{Crowd, Tally};
use objects::Object;

use crate::eventually;

/// How long an API server that was killed may need until it takes a write again.
const PATIENCE: Duration = Duration::from_secs(120);

/// What was written of one object.
#[derive(Debug, Clone, Default)]
struct History {
    /// Every number that was sent, whether the API server has taken it yet or not.
    sent: BTreeSet<u64>,
    /// The number that stands.
    stands: u64,
    /// How often one was written.
    written: usize,
    /// An older number that stands again because the store was restored: so far it may go back.
    restored: Option<u64>,
}

/// What was written, for those who judge what proxies are told. Clones are of one ledger.
#[derive(Debug, Clone, Default)]
pub struct Ledger(Arc<Mutex<BTreeMap<Object, History>>>);

impl Ledger {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Object, History>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sending(&self, object: Object, number: u64) {
        self.lock().entry(object).or_default().sent.insert(number);
    }

    fn stands(&self, object: Object, number: u64) {
        let mut histories = self.lock();
        let history = histories.entry(object).or_default();
        history.stands = number;
        history.written += 1;
    }

    /// Of how many edits the API server has said that they stand.
    #[must_use]
    pub fn written(&self) -> usize {
        self.lock().values().map(|history| history.written).sum()
    }
}

/// What stood at some time.
#[derive(Debug, Clone)]
pub struct Snapshot(BTreeMap<Object, u64>);

/// What of each service is numbered and edited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edited {
    /// Its endpoints, its DestinationRule and its VirtualService.
    All,
    /// Its endpoints: what one cluster knows of another.
    Endpoints,
}

/// Who writes.
pub struct Churn {
    client: Client,
    ledger: Ledger,
    objects: Vec<Object>,
    next: u64,
}

impl std::fmt::Debug for Churn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Churn").field("next", &self.next).finish_non_exhaustive()
    }
}

impl Churn {
    /// Writes so many services with what is edited of them into a namespace of their own, and into the ledger.
    ///
    /// # Errors
    /// What the API server refuses.
    pub async fn begin(
        client: Client,
        ledger: &Ledger,
        namespace: &'static str,
        services: u16,
        edited: Edited,
    ) -> Result<Self> {
        objects::prepare(&client, namespace, services).await?;
        let objects = Object::all(namespace, services, edited);
        let mut churn = Self { client, ledger: ledger.clone(), objects: objects.clone(), next: 1 };
        for object in objects {
            churn.write(object).await?;
        }
        Ok(churn)
    }

    /// So many edits, one object after the other. An API server that is away is waited for.
    ///
    /// # Errors
    /// When it stays away.
    pub async fn edit(&mut self, times: usize) -> Result<()> {
        for _ in 0..times {
            // another order than that of the objects: neighbours are not always written one after the other
            let at = usize::try_from(self.next.wrapping_mul(7)).unwrap_or_default() % self.objects.len();
            let object = self.objects.get(at).copied().ok_or_else(|| anyhow!("no objects"))?;
            self.write(object).await?;
        }
        Ok(())
    }

    /// What stands now, to be given to [`Churn::restored`].
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let histories = self.ledger.lock();
        let stands = |object: &Object| Some((*object, histories.get(object)?.stands));
        Snapshot(self.objects.iter().filter_map(stands).collect())
    }

    /// The store goes back to what stood then. To be called before it does, while nothing is written.
    pub fn restored(&self, snapshot: &Snapshot) {
        let mut histories = self.ledger.lock();
        for (object, number) in &snapshot.0 {
            let history = histories.entry(*object).or_default();
            history.stands = *number;
            history.restored = Some(*number);
        }
    }

    async fn write(&mut self, object: Object) -> Result<()> {
        let number = self.next;
        self.next += 1;
        self.ledger.sending(object, number);
        let (client, mut last) = (&self.client, String::new());
        let written = eventually("the API server takes a write", PATIENCE, async || {
            match objects::write(client, object, number).await {
                Ok(()) => Some(()),
                Err(error) => {
                    last = error.to_string();
                    None
                }
            }
        });
        written.await.map_err(|late| anyhow!("{late}: {last}"))?;
        self.ledger.stands(object, number);
        Ok(())
    }
}
