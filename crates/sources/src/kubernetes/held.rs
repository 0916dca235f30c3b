//! What was last seen of the objects of one kind, and what a new look at them changes: a watch without its connection.

use std::collections::{HashMap, HashSet};
use std::hash::RandomState;
use std::sync::Arc;

use config::decode::Decoded;
use config::{Kind, Meta, Problem, Severity, label, text};
use kube::runtime::watcher::Event;
use mesh::{Batch, ObjectKey};

use super::raw::{Raw, resource};
use crate::change::{Change, Edit, What, put, remove};
use crate::verdict::{Regarded, Ruling, Verdict};

#[cfg(test)]
mod tests;

/// Names an object: namespace, name.
type Key = (Arc<str>, Arc<str>);

/// What is remembered of an object: 24 bytes and its names, which are shared with the mesh.
#[derive(Debug, Clone, Copy)]
struct Row {
    /// Of what it said, good or bad.
    hash: u64,
    /// Whether the mesh has a version of it: that before an error, if it is refused now.
    told: bool,
    /// Whether its present version is refused.
    refused: bool,
}

/// The objects of one kind in one cluster: a watch hands its events over, and is told what they change.
#[derive(Debug)]
pub struct Held {
    kind: Kind,
    cluster: Arc<str>,
    /// What problems name instead of a file.
    origin: Arc<str>,
    api_version: String,
    /// Objects of another revision are not there.
    revision: String,
    rows: HashMap<Key, Row>,
    state: RandomState,
    /// While a list comes in: what is in it.
    listing: Option<HashSet<Key>>,
    /// The newest revision of the API server that was seen.
    newest: u64,
    /// How many rows are refused.
    refused: usize,
    /// Whether there is a verdict on each object.
    judged: bool,
}

impl Held {
    /// Nothing yet, of a kind in this version of its group. `revision` is that of this control plane; empty if it takes
    /// objects of every revision.
    #[must_use]
    pub fn new(kind: Kind, version: &str, cluster: &Arc<str>, revision: &str) -> Self {
        Self {
            kind,
            cluster: cluster.clone(),
            origin: text(&format!("cluster {cluster}")),
            api_version: resource(kind, version).api_version,
            revision: revision.to_owned(),
            rows: HashMap::new(),
            state: RandomState::new(),
            listing: None,
            newest: 0,
            refused: 0,
            judged: false,
        }
    }

    /// With a verdict on each object, for those who tell its writers.
    pub(crate) fn judging(mut self) -> Self {
        self.judged = true;
        self
    }

    /// The newest revision of the API server that was seen; 0 if none was.
    pub(crate) fn newest(&self) -> u64 {
        self.newest
    }

    /// How many objects are refused.
    pub(crate) fn refused(&self) -> usize {
        self.refused
    }

    /// Takes an event in and appends to `change` what it changes. Says whether a list is complete with it.
    pub fn hear(&mut self, event: Event<Raw>, change: &mut Change) -> bool {
        match event {
            Event::Init => self.begin(),
            Event::InitApply(raw) | Event::Apply(raw) => self.put(raw, change),
            Event::Delete(raw) => self.delete(&raw, change),
            Event::InitDone => {
                self.complete(change);
                return true;
            }
        }
        false
    }

    /// A complete list begins.
    fn begin(&mut self) {
        self.listing = Some(HashSet::new());
        self.newest = 0;
    }

    /// The list is complete: what was held and is not in it is gone.
    fn complete(&mut self, change: &mut Change) {
        let Some(listed) = self.listing.take() else { return };
        let gone: Vec<Key> = self.rows.keys().filter(|key| !listed.contains(*key)).cloned().collect();
        for key in gone {
            self.forget(&key, change);
        }
    }

    /// An object is there, new or not.
    fn put(&mut self, raw: Raw, change: &mut Change) {
        self.newest = self.newest.max(raw.revision());
        let key = (text(raw.namespace()), text(raw.name()));
        if !self.is_ours(&raw) {
            self.forget(&key, change);
            return;
        }
        if let Some(listed) = &mut self.listing {
            listed.insert(key.clone());
        }
        let hash = raw.hash(self.kind, &self.state);
        let old = self.rows.get(&key).copied();
        if old.is_some_and(|row| row.hash == hash) {
            return;
        }
        let mut verdict = self.judged.then(|| self.verdict(&key, &raw));
        let Decoded { mut objects, mut problems } = raw.decode(self.kind, &self.api_version, &self.origin);
        let object = objects.pop();
        let was_told = old.is_some_and(|row| row.told);
        if let Some(verdict) = &mut verdict
            && object.is_none()
        {
            verdict.ruling = Ruling::Refused { kept: was_told };
            verdict.problems = problems.iter().filter(|problem| problem.is_error()).cloned().collect();
        }
        change.verdicts.extend(verdict);
        if object.is_none() && was_told {
            let text = "the version before the error stays in place";
            let mut note = Problem::new(Severity::Info, &self.origin, text);
            note.object = format!("{} {}/{}", self.kind.name(), key.0, key.1);
            problems.push(note);
        }
        change.problems.extend(problems);
        let row = Row { hash, told: object.is_some() || was_told, refused: object.is_none() };
        self.refused += usize::from(row.refused);
        self.refused -= usize::from(self.rows.insert(key, row).is_some_and(|old| old.refused));
        if let Some(object) = object {
            let what = if was_told { What::Changed } else { What::Added };
            change.edits.push(Edit { object: object.meta.clone(), what });
            put(&mut change.batch, &self.cluster, object);
        }
    }

    /// An object is gone.
    fn delete(&mut self, raw: &Raw, change: &mut Change) {
        self.newest = self.newest.max(raw.revision());
        self.forget(&(text(raw.namespace()), text(raw.name())), change);
    }

    /// All of them are gone.
    pub(crate) fn clear(&mut self) -> Change {
        let mut change = Change::default();
        let all: Vec<Key> = self.rows.keys().cloned().collect();
        for key in all {
            self.forget(&key, &mut change);
        }
        change
    }

    /// What the mesh was told of `old` and is not in `self`, as removals.
    pub(crate) fn without(&self, old: &Self) -> Batch {
        let gone = old.rows.iter().filter(|(key, row)| row.told && !self.rows.contains_key(*key));
        Batch {
            removes: gone.map(|(key, _)| (self.kind, self.object_key(key))).collect(),
            ..Batch::default()
        }
    }

    /// Of an object that is taken as it is.
    fn verdict(&self, key: &Key, raw: &Raw) -> Verdict {
        let object = Regarded {
            kind: self.kind,
            namespace: key.0.clone(),
            name: key.1.clone(),
            uid: raw.uid().to_owned(),
        };
        Verdict {
            generation: raw.generation(),
            conditions: raw.conditions().map(str::to_owned).collect(),
            ..Verdict::new(object, Ruling::Accepted)
        }
    }

    fn forget(&mut self, key: &Key, change: &mut Change) {
        let Some(row) = self.rows.remove(key) else { return };
        if self.judged {
            change.verdicts.push(Verdict::gone(self.kind, &key.0, &key.1));
        }
        self.refused -= usize::from(row.refused);
        if row.told {
            remove(&mut change.batch, self.kind, self.object_key(key));
            let object = Arc::new(Meta::new(self.kind, &key.0, &key.1));
            change.edits.push(Edit { object, what: What::Removed });
        }
    }

    fn object_key(&self, key: &Key) -> ObjectKey {
        ObjectKey { cluster: self.cluster.clone(), namespace: key.0.clone(), name: key.1.clone() }
    }

    /// As pkg/config/model.go: `LabelsInRevision`. Only what configures a mesh has a revision.
    fn is_ours(&self, raw: &Raw) -> bool {
        if self.revision.is_empty() || !self.kind.is_configuration() {
            return true;
        }
        raw.label(label::REVISION).is_none_or(|of| of == self.revision)
    }
}
