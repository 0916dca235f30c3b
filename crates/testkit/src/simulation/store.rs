//! What stands in the API server, with every write there was: any earlier state can be shown again, or restored.

use std::collections::BTreeMap;
use std::rc::Rc;

use config::Object;
use serde_json::Value;
use sources::kubernetes::Raw;

/// An object as it stands, in the two forms it is needed in.
#[derive(Debug)]
pub(super) struct Standing {
    /// As a file has it.
    pub(super) object: Object,
    /// As it is written.
    pub(super) tree: Value,
    /// As the API server sends it.
    pub(super) raw: Raw,
}

/// What stands in each slot.
pub(super) type Facts = BTreeMap<usize, Rc<Standing>>;

/// One write: what stood in a slot before, and what stands there since.
#[derive(Debug, Clone)]
pub(super) struct Write {
    pub(super) slot: usize,
    pub(super) before: Option<Rc<Standing>>,
    pub(super) stands: Option<Rc<Standing>>,
}

/// The store behind the API server. Its revision is the number of its writes.
#[derive(Debug, Default)]
pub(super) struct Store {
    writes: Vec<Write>,
    facts: Facts,
    /// The revision that the run began with: nobody sees an older one.
    first: usize,
}

impl Store {
    pub(super) fn revision(&self) -> usize {
        self.writes.len()
    }

    /// What stands now.
    pub(super) fn facts(&self) -> &Facts {
        &self.facts
    }

    pub(super) fn write(&mut self, slot: usize, stands: Option<Standing>) {
        let stands = stands.map(Rc::new);
        let before = match &stands {
            Some(stands) => self.facts.insert(slot, stands.clone()),
            None => self.facts.remove(&slot),
        };
        self.writes.push(Write { slot, before, stands });
    }

    /// What was written until now is what the run begins with.
    pub(super) fn begin(&mut self) {
        self.first = self.revision();
    }

    /// An earlier revision, by so many writes, as far as there is one.
    pub(super) fn earlier(&self, by: usize) -> usize {
        self.revision().saturating_sub(by).max(self.first)
    }

    /// What stood at a revision.
    pub(super) fn at(&self, revision: usize) -> Facts {
        let mut facts = self.facts.clone();
        for write in self.since(revision).iter().rev() {
            match &write.before {
                Some(before) => drop(facts.insert(write.slot, before.clone())),
                None => drop(facts.remove(&write.slot)),
            }
        }
        facts
    }

    /// The writes after a revision.
    pub(super) fn since(&self, revision: usize) -> &[Write] {
        self.writes.get(revision..).unwrap_or_default()
    }

    /// Goes back, as operators do with a backup. Later writes get revisions that were others' before.
    pub(super) fn restore(&mut self, revision: usize) {
        self.facts = self.at(revision);
        self.writes.truncate(revision);
    }
}
