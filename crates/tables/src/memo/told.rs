//! What the memos were told: the newest revision, what recent commits changed, which kinds of ask there are.

use std::{
    any::TypeId,
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use crate::{
    Revision, Story,
    memo::{
        Ask,
        store::{AnyStore, Store},
    },
    reads::{Cell, Map, Set},
};

/// How many commits, and how many cells of them, are remembered for builds that end after a commit. A commit of more than
/// these, such as the first one, is taken for a change of everything.
const COMMITS: usize = 256;
const CELLS: usize = 20_000;

struct Recent {
    revision: Revision,
    cells: Arc<BTreeMap<u16, Set<Cell>>>,
    count: usize,
}

/// Behind one lock: shared while memos are looked up and kept, exclusive while a commit follows the edges.
pub(super) struct Told<W> {
    /// The newest revision told of.
    pub(super) newest: Revision,
    /// The newest one that changed anything.
    changed: Revision,
    /// What is remembered is every change after this revision.
    floor: Revision,
    recent: VecDeque<Recent>,
    cells: usize,
    pub(super) walk: u32,
    pub(super) stores: Vec<Arc<dyn AnyStore<W>>>,
    by_type: Map<TypeId, usize>,
}

impl<W: 'static> Told<W> {
    pub(super) fn new() -> Self {
        Self {
            newest: Revision(0),
            changed: Revision(0),
            floor: Revision(0),
            recent: VecDeque::new(),
            cells: 0,
            walk: 0,
            stores: Vec::new(),
            by_type: Map::default(),
        }
    }

    /// Whether a snapshot of this revision is the newest state there is, as far as told, and no newer.
    pub(super) fn is_newest(&self, at: Revision) -> bool {
        at >= self.changed && at <= self.newest
    }

    pub(super) fn note(&mut self, story: &Story) {
        if story.revision > self.newest.next() {
            self.floor = Revision(story.revision.0 - 1);
            self.recent.clear();
            self.cells = 0;
        }
        self.newest = self.newest.max(story.revision);
        if story.cells.is_empty() {
            return;
        }
        self.changed = self.changed.max(story.revision);
        let count = story.cells.values().map(Set::len).sum();
        self.cells += count;
        self.recent.push_back(Recent { revision: story.revision, cells: Arc::clone(&story.cells), count });
        while self.recent.len() > COMMITS || self.cells > CELLS {
            let Some(old) = self.recent.pop_front() else { break };
            self.cells -= old.count;
            self.floor = old.revision;
        }
    }

    /// Whether rows read at a revision are certainly the same on the newest one.
    pub(super) fn unchanged_since(&self, at: Revision, cells: &[Cell]) -> bool {
        if at >= self.changed {
            return true;
        }
        at >= self.floor
            && self
                .recent
                .iter()
                .rev()
                .take_while(|r| r.revision > at)
                .all(|r| !cells.iter().any(|c| r.cells.get(&c.order()).is_some_and(|set| set.contains(c))))
    }

    pub(super) fn store<A: Ask<World = W>>(&self) -> Option<&Store<A>> {
        let level = *self.by_type.get(&TypeId::of::<A>())?;
        self.stores.get(level)?.any().downcast_ref()
    }

    pub(super) fn add_store<A: Ask<World = W>>(&mut self) {
        if self.store::<A>().is_none() {
            let level = self.stores.len();
            self.stores.push(Arc::new(Store::<A>::new(level)));
            self.by_type.insert(TypeId::of::<A>(), level);
        }
    }
}
