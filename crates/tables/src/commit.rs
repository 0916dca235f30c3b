//! A commit while it is being made: what has changed so far, for the stages further down and for its story.

use std::{
    any::{Any, TypeId},
    collections::BTreeMap,
    sync::Arc,
};

use crate::{
    Conflict, Def, Index, Kind, Panicked, Revision, StageRun, Story,
    reads::{Cell, Map, Set},
    story::{AnyChanged, Changed},
};

/// One step of the world from a revision to the next. The writer makes one, puts facts in, advances every stage
/// in the order of the flow, and finishes it.
pub struct Commit {
    revision: Revision,
    cells: BTreeMap<u16, Set<Cell>>,
    changes: Map<TypeId, Box<dyn AnyChanges>>,
    buckets: Map<TypeId, Box<dyn Any + Send + Sync>>,
    pub(crate) stages: Vec<StageRun>,
    pub(crate) panics: Vec<Panicked>,
    pub(crate) conflicts: Vec<Conflict>,
}

impl Commit {
    /// A commit that makes this revision. Revisions grow: see [`Revision::next`].
    #[must_use]
    pub fn new(revision: Revision) -> Self {
        Self {
            revision,
            cells: BTreeMap::new(),
            changes: Map::default(),
            buckets: Map::default(),
            stages: Vec::new(),
            panics: Vec::new(),
            conflicts: Vec::new(),
        }
    }

    /// The revision that it makes.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// Closes the commit and tells what it did.
    #[must_use]
    pub fn finish(self) -> Story {
        let mut tables: Vec<Arc<dyn AnyChanged>> =
            self.changes.into_values().filter_map(AnyChanges::close).collect();
        tables.sort_by_key(|t| (t.order(), t.name()));
        Story {
            revision: self.revision,
            stages: self.stages,
            panics: self.panics,
            conflicts: self.conflicts,
            tables,
            cells: Arc::new(self.cells),
        }
    }

    pub(crate) fn touch(&mut self, cell: Cell) {
        self.cells.entry(cell.order()).or_default().insert(cell);
    }

    pub(crate) fn touched(&self, order: u16) -> Option<&Set<Cell>> {
        self.cells.get(&order)
    }

    pub(crate) fn touch_bucket<X: Index>(&mut self, name: X::Bucket) {
        let set =
            self.buckets.entry(TypeId::of::<X>()).or_insert_with(|| Box::new(Set::<X::Bucket>::default()));
        if let Some(set) = set.downcast_mut::<Set<X::Bucket>>() {
            set.insert(name);
        }
    }

    /// The buckets of an index in which somebody came, left or changed so far, if the index was followed before.
    pub(crate) fn touched_buckets<X: Index>(&self) -> Option<&Set<X::Bucket>> {
        self.buckets.get(&TypeId::of::<X>())?.downcast_ref()
    }

    pub(crate) fn changed<D: Def>(&mut self, key: D::Key, kind: Kind) {
        let entry =
            self.changes.entry(TypeId::of::<D>()).or_insert_with(|| Box::new(Changes::<D>(Map::default())));
        let Some(Changes(rows)) = entry.any_mut().downcast_mut::<Changes<D>>() else { return };
        let together = match (rows.get(&key), kind) {
            (Some(Kind::Added), Kind::Removed) => None,
            (Some(Kind::Added), Kind::Added | Kind::Changed) => Some(Kind::Added),
            (Some(Kind::Removed), Kind::Added) => Some(Kind::Changed),
            _ => Some(kind),
        };
        match together {
            Some(kind) => rows.insert(key, kind),
            None => rows.remove(&key),
        };
    }

    /// The keys of a table whose rows are no longer what they were before the commit.
    pub(crate) fn changed_keys<D: Def>(&self) -> impl Iterator<Item = &D::Key> {
        let changes = self.changes.get(&TypeId::of::<D>());
        changes.and_then(|c| c.any().downcast_ref::<Changes<D>>()).into_iter().flat_map(|c| c.0.keys())
    }
}

struct Changes<D: Def>(Map<D::Key, Kind>);

trait AnyChanges: Send + Sync {
    fn any(&self) -> &dyn Any;
    fn any_mut(&mut self) -> &mut dyn Any;
    fn close(self: Box<Self>) -> Option<Arc<dyn AnyChanged>>;
}

impl<D: Def> AnyChanges for Changes<D> {
    fn any(&self) -> &dyn Any {
        self
    }

    fn any_mut(&mut self) -> &mut dyn Any {
        self
    }

    fn close(self: Box<Self>) -> Option<Arc<dyn AnyChanged>> {
        let mut rows: Vec<_> = self.0.into_iter().collect();
        rows.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        if rows.is_empty() { None } else { Some(Arc::new(Changed::<D>(rows))) }
    }
}
