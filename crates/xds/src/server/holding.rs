//! What a client holds of one type, and what it must be sent to hold a newer edition of what it subscribed to.

use std::collections::BTreeSet;
use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

use super::subscription::Subscription;
use crate::edition::{Edition, Resource, parent_of, parse_version};
use crate::request::Resources;

/// What a client has of a name, where that is not what the edition it was brought to says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Held {
    /// Something, but not of a version that we could have sent.
    Unknown,
    Version(u64),
}

impl Held {
    pub(crate) fn claimed(version: &str) -> Self {
        parse_version(version).map_or(Self::Unknown, Self::Version)
    }
}

/// Which names of an edition concern the client.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Scope<'a> {
    Subscribed(&'a Subscription),
    /// The virtual hosts of one route configuration.
    Under(&'a str),
}

impl Scope<'_> {
    pub(crate) fn covers(&self, name: &str) -> bool {
        match self {
            Self::Subscribed(subscription) => subscription.covers(name),
            Self::Under(parent) => parent_of(name) == Some(parent),
        }
    }
}

/// What one response will say: positions in an edition, resources from outside of it, names that are gone.
#[derive(Debug, Clone)]
pub(crate) struct Batch {
    pub(crate) edition: Arc<Edition>,
    pub(crate) picks: Vec<u32>,
    pub(crate) loose: Vec<Resource>,
    pub(crate) removed: Vec<Arc<str>>,
    /// Sent even with nothing in it.
    pub(crate) must: bool,
    /// State of the world, of a removal that waits: what is listed until it is due, so that it is not gone too early.
    pub(crate) ghosts: Vec<Resource>,
}

impl Batch {
    pub(crate) fn of(edition: &Arc<Edition>) -> Self {
        let edition = edition.clone();
        Self { edition, picks: vec![], loose: vec![], removed: vec![], must: false, ghosts: vec![] }
    }

    pub(crate) fn says_nothing(&self) -> bool {
        self.picks.is_empty() && self.loose.is_empty() && self.removed.is_empty()
    }

    pub(crate) fn resources(&self) -> impl Iterator<Item = &Resource> {
        self.picks.iter().filter_map(|at| self.edition.at(*at)).chain(&self.loose)
    }

    /// What a response with it says is there.
    pub(crate) fn content(&self) -> Resources {
        let mut content = self.edition.pick(&self.picks);
        self.loose.iter().for_each(|resource| content.push(resource.clone()));
        content
    }

    /// Two halves, the removals in the first; `None` if there is nothing to divide.
    pub(crate) fn halves(&self) -> Option<(Self, Self)> {
        let mut first = Self::of(&self.edition);
        let mut second = Self::of(&self.edition);
        first.removed.clone_from(&self.removed);
        match (self.picks.len(), self.loose.len()) {
            (0, 0) => return None,
            (1, 0) | (0, 1) if self.removed.is_empty() => return None,
            (1, 0) | (0, 1) => {
                second.picks.clone_from(&self.picks);
                second.loose.clone_from(&self.loose);
            }
            (0, many) => {
                let (a, b) = self.loose.split_at(many / 2);
                (first.loose, second.loose) = (a.to_vec(), b.to_vec());
            }
            (_, 0) => {
                let (a, b) = self.picks.split_at(self.picks.len() / 2);
                (first.picks, second.picks) = (a.to_vec(), b.to_vec());
            }
            _ => {
                first.picks.clone_from(&self.picks);
                second.loose.clone_from(&self.loose);
            }
        }
        Some((first, second))
    }
}

/// Finds names that an edition does not have.
pub(crate) type LookUp<'a> = dyn Fn(&str) -> Option<Resource> + 'a;

/// What [`Holding::advance`] found.
#[derive(Debug)]
pub(crate) struct Step {
    /// Changed, owed and followed resources; `removed` has only names that were asked for and do not exist.
    pub(crate) batch: Batch,
    /// Names that existed for this client and do not any more.
    pub(crate) gone: Vec<Arc<str>>,
}

/// What one client holds of one type: the edition it was brought to, and the few names for which that is not true.
#[derive(Debug)]
pub(crate) struct Holding {
    pub(crate) base: Arc<Edition>,
    /// Where the client differs from `base`, from its claims at a reconnect.
    apart: FxHashMap<Arc<str>, Held>,
    /// Names that must be answered, changed or not, there or not.
    owed: BTreeSet<Arc<str>>,
    /// Names to send again if they exist, because something that uses them was sent again.
    follow: FxHashSet<Arc<str>>,
    /// Resources the edition does not have, held from look-ups.
    loose: FxHashMap<Arc<str>, u64>,
    /// The versions the client refused when they came alone, and still should have.
    pub(crate) refused: FxHashMap<Arc<str>, u64>,
}

impl Default for Holding {
    fn default() -> Self {
        Self {
            base: Edition::empty(),
            apart: FxHashMap::default(),
            owed: BTreeSet::new(),
            follow: FxHashSet::default(),
            loose: FxHashMap::default(),
            refused: FxHashMap::default(),
        }
    }
}

impl Holding {
    pub(crate) fn claim(&mut self, name: Arc<str>, held: Held) {
        self.apart.insert(name, held);
    }

    pub(crate) fn owe(&mut self, name: Arc<str>) {
        self.owed.insert(name);
    }

    pub(crate) fn follow(&mut self, name: Arc<str>) {
        self.follow.insert(name);
    }

    /// A response that goes out now has the name, so what was asked about it before is answered.
    pub(crate) fn answered(&mut self, name: &str) {
        self.owed.remove(name);
        self.follow.remove(name);
    }

    /// The client let go of a name.
    pub(crate) fn forget(&mut self, name: &str) {
        self.apart.remove(name);
        self.owed.remove(name);
        self.follow.remove(name);
        self.loose.remove(name);
        self.refused.remove(name);
    }

    /// The client let go of everything but `names`.
    pub(crate) fn forget_all_but<'a>(&mut self, names: impl Iterator<Item = &'a Arc<str>>) {
        let mut kept = FxHashMap::default();
        for name in names {
            let held = match self.apart.get(name) {
                Some(held) => Some(*held),
                None => self.base.get(name).map(|resource| Held::Version(resource.version)),
            };
            if let Some(held) = held {
                kept.insert(name.clone(), held);
            }
        }
        self.apart = kept;
        self.base = Edition::empty();
    }

    /// The version the client should have of a name.
    pub(crate) fn version(&self, name: &str) -> Option<u64> {
        let of_edition = self.base.get(name).map(|resource| resource.version);
        of_edition.or_else(|| self.loose.get(name).copied())
    }

    /// Whether [`Holding::advance`] to `target` could find anything.
    pub(crate) fn is_behind(&self, target: &Edition) -> bool {
        self.base.id() != target.id()
            || !(self.apart.is_empty() && self.owed.is_empty() && self.follow.is_empty())
    }

    /// Names the client is believed to hold, within the scope.
    pub(crate) fn held(&self, scope: Scope<'_>) -> Vec<Arc<str>> {
        let held = self.base.iter().map(|resource| &resource.name);
        let names: BTreeSet<_> =
            held.chain(self.apart.keys()).chain(self.loose.keys()).filter(|n| scope.covers(n)).collect();
        names.into_iter().cloned().collect()
    }

    /// Brings the client to `target`: what must be sent for that. `lookup` finds names the edition does not have.
    pub(crate) fn advance(
        &mut self,
        target: &Arc<Edition>,
        scope: Scope<'_>,
        lookup: Option<&LookUp<'_>>,
    ) -> Step {
        let mut picks = Vec::new();
        let mut gone = Vec::new();
        if self.base.id() != target.id() {
            let (changed, removed) = differences(&self.base, target, scope);
            for at in changed {
                let Some(resource) = target.at(at) else { continue };
                let version = resource.version;
                let loose = self.loose.remove(&resource.name);
                let held = self.apart.remove(&resource.name).or(loose.map(Held::Version));
                if held != Some(Held::Version(version)) {
                    picks.push(at);
                }
            }
            for name in removed {
                self.apart.remove(&name);
                gone.push(name);
            }
        }
        for (name, held) in std::mem::take(&mut self.apart) {
            if !scope.covers(&name) {
                continue;
            }
            match target.index_of(&name) {
                Some(at) if target.at(at).map(|r| Held::Version(r.version)) != Some(held) => picks.push(at),
                Some(_) => {}
                None => gone.push(name),
            }
        }
        let mut batch = Batch::of(target);
        for name in std::mem::take(&mut self.owed).into_iter().filter(|name| scope.covers(name)) {
            match target.index_of(&name) {
                Some(at) => picks.push(at),
                None => match lookup.and_then(|lookup| lookup(&name)) {
                    Some(resource) => {
                        self.loose.insert(name, resource.version);
                        batch.loose.push(resource);
                    }
                    None => batch.removed.push(name),
                },
            }
        }
        picks.extend(
            std::mem::take(&mut self.follow)
                .iter()
                .filter(|name| scope.covers(name))
                .filter_map(|name| target.index_of(name)),
        );
        if let (Some(lookup), Scope::Subscribed(subscription)) = (lookup, scope) {
            self.look_up(target, subscription, lookup, &mut batch, &mut gone);
        }
        picks.sort_unstable();
        picks.dedup();
        batch.picks = picks;
        gone.sort_unstable();
        gone.retain(|name| batch.removed.binary_search(name).is_err());
        for name in &gone {
            self.refused.remove(name);
        }
        self.base = target.clone();
        Step { batch, gone }
    }

    /// Looks up, again, every subscribed name that the edition does not have.
    fn look_up(
        &mut self,
        target: &Edition,
        subscription: &Subscription,
        lookup: &LookUp<'_>,
        batch: &mut Batch,
        gone: &mut Vec<Arc<str>>,
    ) {
        let mut missing: Vec<_> =
            subscription.names.iter().filter(|name| target.index_of(name).is_none()).collect();
        missing.sort_unstable();
        let answered: FxHashSet<_> =
            batch.loose.iter().map(|found| &found.name).chain(&batch.removed).cloned().collect();
        let mut back = FxHashSet::default();
        for name in missing {
            if answered.contains(name) {
                continue;
            }
            match lookup(name) {
                Some(resource) => {
                    let before = self.base.get(name).map(|r| r.version);
                    let held = self.loose.insert(name.clone(), resource.version).or(before);
                    back.insert(name.clone());
                    if held != Some(resource.version) {
                        batch.loose.push(resource);
                    }
                }
                None => {
                    if self.loose.remove(name).is_some() {
                        gone.push(name.clone());
                    }
                }
            }
        }
        gone.retain(|name| !back.contains(name));
    }
}

/// Positions that changed and names that went, from `base` to `target`, as far as the scope covers them.
fn differences(base: &Edition, target: &Edition, scope: Scope<'_>) -> (Vec<u32>, Vec<Arc<str>>) {
    match scope {
        // A client of a few names out of many: cheaper by name, and no shared difference is needed.
        Scope::Subscribed(Subscription { wildcard: false, names }) if names.len() <= target.len() / 4 => {
            let mut changed = Vec::new();
            let mut gone = Vec::new();
            for name in names.iter() {
                let old = base.get(name);
                match target.index_of(name) {
                    Some(at) if old.map(|r| r.version) != target.at(at).map(|r| r.version) => {
                        changed.push(at);
                    }
                    None if old.is_some() => gone.push(name.clone()),
                    _ => {}
                }
            }
            (changed, gone)
        }
        Scope::Under(parent) if base.is_empty() => (target.children(parent).to_vec(), vec![]),
        _ => {
            let difference = target.since(base);
            let changed = difference.changed.iter().copied();
            let changed = changed.filter(|at| target.at(*at).is_some_and(|r| scope.covers(&r.name)));
            let gone = difference.removed.iter().filter(|name| scope.covers(name)).cloned();
            (changed.collect(), gone.collect())
        }
    }
}
