//! Proxies that work by themselves while a test does something else, each with a judge beside it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;

use super::Ledger;
use super::seen::Seen;
use crate::eventually;
use crate::scripted::Scripted;

/// The proxies. Dropped, they end.
#[derive(Debug)]
pub struct Crowd {
    ledger: Ledger,
    seen: Vec<Arc<Mutex<Seen>>>,
    working: JoinSet<()>,
}

/// What came of it all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// Objects that a proxy does not have as they stand.
    pub lost: Vec<String>,
    /// What proxies were told and must not have been.
    pub wrong: Vec<String>,
    /// Changes of numbers that proxies saw, in all.
    pub changes: usize,
}

impl Crowd {
    /// Lets them work.
    #[must_use]
    pub fn gather(ledger: &Ledger, proxies: impl IntoIterator<Item = Scripted>) -> Self {
        let (mut working, mut all) = (JoinSet::new(), Vec::new());
        for mut proxy in proxies {
            let (seen, ledger) = (Arc::new(Mutex::new(Seen::default())), ledger.clone());
            all.push(seen.clone());
            working.spawn(async move {
                loop {
                    proxy.next().await;
                    seen.lock().unwrap_or_else(PoisonError::into_inner).look(&proxy, &ledger);
                }
            });
        }
        Self { ledger: ledger.clone(), seen: all, working }
    }

    /// How many work.
    #[must_use]
    pub fn len(&self) -> usize {
        self.working.len()
    }

    /// Whether nobody works.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.working.is_empty()
    }

    /// What they hold now.
    #[must_use]
    pub fn tally(&self) -> Tally {
        let mut tally = Tally::default();
        for (index, seen) in self.seen.iter().enumerate() {
            let seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            tally
                .lost
                .extend(seen.behind(&self.ledger).into_iter().map(|text| format!("proxy {index}: {text}")));
            tally.wrong.extend(seen.wrong.iter().map(|text| format!("proxy {index}: {text}")));
            tally.changes += seen.changes;
        }
        tally
    }

    /// Waits until each has everything as it stands, and counts: nothing is lost then.
    ///
    /// # Errors
    /// What is lost, when the deadline has passed, and what was wrong, if anything was.
    pub async fn current(&self, within: Duration) -> Result<Tally, String> {
        let settled = eventually("every proxy has what stands", within, async || {
            let tally = self.tally();
            tally.lost.is_empty().then_some(tally)
        });
        let tally = settled.await.map_err(|late| format!("{late}: {:#?}", self.tally()))?;
        if tally.wrong.is_empty() { Ok(tally) } else { Err(format!("wrong pushes: {:#?}", tally.wrong)) }
    }
}
