//! What statuses should say, as far as anybody wants anything of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use config::Kind;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::wanted::Wanted;

/// An object that has a status.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Target {
    /// Its kind, one with a status of its own to write.
    pub kind: Kind,
    /// Its namespace; empty for what has none.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
    }
}

/// What the reporters want of one object.
pub(super) type Reports = BTreeMap<&'static str, Report>;

/// What one reporter wants, in view of one generation of the object.
#[derive(Debug, Clone)]
pub(super) struct Report {
    pub(super) generation: i64,
    pub(super) wanted: Wanted,
}

/// Where reporters say what they want, and the leader reads it. Clones share it. Its size is that of the mesh: one report a
/// reporter and object.
#[derive(Debug, Clone, Default)]
pub struct Board(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    news: Notify,
}

#[derive(Debug, Default)]
struct State {
    reports: BTreeMap<Target, Reports>,
    /// What was said anything about since the last look.
    touched: BTreeSet<Target>,
}

impl Board {
    /// Says what the status of an object should be, in view of its `generation` (`metadata.generation`). The last word of a
    /// reporter counts. To say the same again is to ask that it be looked whether it still stands there.
    ///
    /// Only objects of the own revision are to be reported on, and two reporters must not want the same condition.
    pub fn set(&self, target: Target, reporter: &'static str, generation: i64, wanted: Wanted) {
        let mut state = self.0.state.lock();
        state.reports.entry(target.clone()).or_default().insert(reporter, Report { generation, wanted });
        state.touched.insert(target);
        drop(state);
        self.0.news.notify_one();
    }

    /// Whether a reporter said anything of an object, and did not forget it.
    #[must_use]
    pub fn has(&self, target: &Target, reporter: &str) -> bool {
        self.0.state.lock().reports.get(target).is_some_and(|reports| reports.contains_key(reporter))
    }

    /// Says that an object is gone, or no longer a reporter's business. Nothing is written: to take back what stands in a
    /// status, want its absence first.
    pub fn forget(&self, target: &Target, reporter: &'static str) {
        let mut state = self.0.state.lock();
        if let Some(reports) = state.reports.get_mut(target) {
            reports.remove(reporter);
            if reports.is_empty() {
                state.reports.remove(target);
            }
        }
    }

    /// Everything there is a report on.
    pub(super) fn all(&self) -> Vec<Target> {
        self.0.state.lock().reports.keys().cloned().collect()
    }

    /// Waits until there is something new, and gives what it is about.
    pub(super) async fn touched(&self) -> BTreeSet<Target> {
        loop {
            let touched = self.take();
            if !touched.is_empty() {
                return touched;
            }
            self.0.news.notified().await;
        }
    }

    /// What is new, if anything is.
    pub(super) fn take(&self) -> BTreeSet<Target> {
        std::mem::take(&mut self.0.state.lock().touched)
    }

    pub(super) fn reports(&self, target: &Target) -> Reports {
        self.0.state.lock().reports.get(target).cloned().unwrap_or_default()
    }
}
