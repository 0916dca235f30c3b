//! A table: an immutable value that is cheap to clone, whose reads are recorded.

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use crate::{
    Commit, Def, Index, Kind, Level, Reads, Revision,
    index::{AnyIndex, Bucket, Buckets},
    reads::{Cell, ROW, WHOLE, hash_of, members, rows},
    shards::{Hashed, Shards},
};

pub(crate) struct Entry<D: Def> {
    pub(crate) key: D::Key,
    pub(crate) row: Arc<D::Row>,
    pub(crate) revision: Revision,
    hash: u64,
}

impl<D: Def> Hashed for Entry<D> {
    fn hashed(&self) -> u64 {
        self.hash
    }
}

/// The rows of `D` at one revision, with their indexes. Cloning it makes a snapshot: nothing is copied until the
/// writer changes a shard that a snapshot still holds.
///
/// There is one table for each [`Def`] in a world: reads are known by its `ORDER`.
pub struct Table<D: Def> {
    entries: Shards<Entry<D>>,
    indexes: Arc<Vec<Box<dyn AnyIndex<D>>>>,
    sorted: OnceLock<Arc<[Arc<Entry<D>>]>>,
}

impl<D: Def> Clone for Table<D> {
    fn clone(&self) -> Self {
        Self {
            entries: self.entries.clone(),
            indexes: Arc::clone(&self.indexes),
            sorted: self.sorted.clone(),
        }
    }
}

impl<D: Def> Default for Table<D> {
    fn default() -> Self {
        Self::new()
    }
}

impl<D: Def> fmt::Debug for Table<D>
where
    D::Row: fmt::Debug,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

/// The iterators of a bucket: the members, or nobody.
fn entries_of<X: Index>(bucket: Option<&Bucket<X>>) -> impl Iterator<Item = &Arc<Entry<X::Of>>> {
    bucket.into_iter().flat_map(|b| b.members.iter())
}

/// Whether a row says that it is in a bucket.
fn is_in<X: Index>(entry: &Entry<X::Of>, bucket: &X::Bucket) -> bool {
    let mut inside = false;
    X::buckets(&entry.key, &entry.row, &mut |name| inside |= name == *bucket);
    inside
}

impl<D: Def> Table<D> {
    /// A table without rows or indexes.
    #[must_use]
    pub fn new() -> Self {
        Self { entries: Shards::new(), indexes: Arc::default(), sorted: OnceLock::new() }
    }

    /// Adds an index. Meant for construction; on a table with rows it indexes the rows there are.
    #[must_use]
    pub fn indexed<X: Index<Of = D>>(mut self) -> Self {
        if self.index::<X>().is_none() {
            let buckets = Buckets::<X>::scan(self.entries.iter());
            Arc::make_mut(&mut self.indexes).push(Box::new(buckets));
        }
        self
    }

    /// The row of a key. The reader depends on this row, and on its absence if there is none.
    pub fn get<'a, L: Level>(&'a self, r: &Reads<L>, key: &D::Key) -> Option<&'a Arc<D::Row>> {
        const { assert!(D::ORDER < L::ORDER, "a stage may read only tables above it") }
        let hash = hash_of(key);
        r.note(Cell::new(D::ORDER, ROW, hash));
        self.entries.find(hash, |e| e.key == *key).map(|e| &e.row)
    }

    /// The keys in a bucket, sorted. The reader depends on who is in the bucket, not on their rows.
    ///
    /// An index the table was not built with is answered by looking at every row, and depends on the whole table.
    pub fn keys<'a, X: Index<Of = D>, L: Level>(
        &'a self,
        r: &Reads<L>,
        bucket: &X::Bucket,
    ) -> impl Iterator<Item = &'a D::Key> + use<'a, D, X, L> {
        const { assert!(D::ORDER < L::ORDER, "a stage may read only tables above it") }
        self.read_bucket::<X, L>(r, bucket, members).map(|e| &e.key)
    }

    /// Whether a key is in a bucket. The reader depends on who is in the bucket, so that it costs one record to find
    /// many keys absent, where [`Table::get`] takes one for each.
    ///
    /// An index the table was not built with depends on the whole table.
    pub fn has<X: Index<Of = D>, L: Level>(&self, r: &Reads<L>, bucket: &X::Bucket, key: &D::Key) -> bool {
        const { assert!(D::ORDER < L::ORDER, "a stage may read only tables above it") }
        r.note(match self.index::<X>() {
            Some((at, _)) => Cell::new(D::ORDER, members(at), hash_of(bucket)),
            None => Cell::new(D::ORDER, WHOLE, 0),
        });
        self.entry(key).is_some_and(|entry| is_in::<X>(entry, bucket))
    }

    /// The members of a bucket with their rows, sorted by key. The reader depends on all of it.
    ///
    /// An index the table was not built with is answered by looking at every row, and depends on the whole table.
    pub fn bucket<'a, X: Index<Of = D>, L: Level>(
        &'a self,
        r: &Reads<L>,
        bucket: &X::Bucket,
    ) -> impl Iterator<Item = (&'a D::Key, &'a Arc<D::Row>)> + use<'a, D, X, L> {
        const { assert!(D::ORDER < L::ORDER, "a stage may read only tables above it") }
        self.read_bucket::<X, L>(r, bucket, rows).map(|e| (&e.key, &e.row))
    }

    fn read_bucket<'a, X: Index<Of = D>, L: Level>(
        &'a self,
        r: &Reads<L>,
        bucket: &X::Bucket,
        part: fn(usize) -> u16,
    ) -> impl Iterator<Item = &'a Arc<Entry<D>>> + use<'a, D, X, L> {
        let mut scanned = Vec::new();
        let mut kept = None;
        if let Some((at, buckets)) = self.index::<X>() {
            r.note(Cell::new(D::ORDER, part(at), hash_of(bucket)));
            kept = buckets.bucket(bucket);
        } else {
            r.note(Cell::new(D::ORDER, WHOLE, 0));
            scanned.extend(self.sorted().iter().filter(|entry| is_in::<X>(entry, bucket)));
        }
        entries_of(kept).chain(scanned)
    }

    /// Every row, sorted by key. The reader depends on the whole table: for small tables.
    pub fn all<'a, L: Level>(
        &'a self,
        r: &Reads<L>,
    ) -> impl Iterator<Item = (&'a D::Key, &'a Arc<D::Row>)> + use<'a, D, L> {
        const { assert!(D::ORDER < L::ORDER, "a stage may read only tables above it") }
        r.note(Cell::new(D::ORDER, WHOLE, 0));
        self.sorted().iter().map(|e| (&e.key, &e.row))
    }

    /// The row of a key, unrecorded: for debug pages, tests and the edges of the program, never in a stage.
    pub fn peek(&self, key: &D::Key) -> Option<&Arc<D::Row>> {
        self.entry(key).map(|e| &e.row)
    }

    /// Every row, sorted by key, unrecorded: see [`Table::peek`].
    pub fn iter(&self) -> impl Iterator<Item = (&D::Key, &Arc<D::Row>)> {
        self.sorted().iter().map(|e| (&e.key, &e.row))
    }

    /// How many rows there are, unrecorded.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are no rows, unrecorded.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The revision of the commit that gave the row its value, unrecorded.
    pub fn revision_of(&self, key: &D::Key) -> Option<Revision> {
        self.entry(key).map(|e| e.revision)
    }

    pub(crate) fn entry(&self, key: &D::Key) -> Option<&Arc<Entry<D>>> {
        self.entries.find(hash_of(key), |e| e.key == *key)
    }

    pub(crate) fn entries(&self) -> impl Iterator<Item = &Arc<Entry<D>>> {
        self.entries.iter()
    }

    /// Sorted on the first call after a change, then kept.
    fn sorted(&self) -> &Arc<[Arc<Entry<D>>]> {
        self.sorted.get_or_init(|| {
            let mut all: Vec<_> = self.entries.iter().map(Arc::clone).collect();
            all.sort_unstable_by(|a, b| a.key.cmp(&b.key));
            all.into()
        })
    }

    /// The place of an index among the table's own, with its data.
    pub(crate) fn index<X: Index<Of = D>>(&self) -> Option<(usize, &Buckets<X>)> {
        self.indexes.iter().enumerate().find_map(|(at, ix)| Some((at, ix.any().downcast_ref()?)))
    }

    /// Gives a key a row or takes it away, and tells the commit. Equal rows are not a change.
    pub(crate) fn put(&mut self, c: &mut Commit, key: D::Key, row: Option<Arc<D::Row>>) -> bool {
        let hash = hash_of(&key);
        let old = self.entries.find(hash, |e| e.key == key).map(Arc::clone);
        let kind = match (&old, &row) {
            (None, None) => return false,
            (Some(old), Some(new)) if old.row == *new => return false,
            (None, Some(_)) => Kind::Added,
            (Some(_), Some(_)) => Kind::Changed,
            (Some(_), None) => Kind::Removed,
        };
        self.sorted.take();
        let new = row.map(|row| Arc::new(Entry { key: key.clone(), row, revision: c.revision(), hash }));
        match &new {
            Some(new) => self.entries.put(Arc::clone(new), |e| e.key == key),
            None => self.entries.remove(hash, |e| e.key == key),
        }
        c.touch(Cell::new(D::ORDER, ROW, hash));
        c.touch(Cell::new(D::ORDER, WHOLE, 0));
        if !self.indexes.is_empty() {
            for (at, index) in Arc::make_mut(&mut self.indexes).iter_mut().enumerate() {
                index.update(at, old.as_ref(), new.as_ref(), c);
            }
        }
        c.changed::<D>(key, kind);
        true
    }
}
