//! Indexes: the rows of a table by something they say, each bucket sorted by key and shared copy-on-write.

use std::{
    any::Any,
    marker::PhantomData,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use smallvec::SmallVec;

use crate::{
    Commit, Def, Key, Level,
    reads::{Cell, hash_of, members, rows},
    shards::{Hashed, Shards},
    table::Entry,
};

/// A second way into a table: from a bucket name to the rows that put themselves there.
pub trait Index: 'static {
    /// The table it is an index of.
    type Of: Def;
    /// What names a bucket: a namespace, a host, a label.
    type Bucket: Key;
    /// How stories and debug pages call it.
    const NAME: &'static str;
    /// Says in which buckets a row stands, none to many; naming one twice is the same as once.
    fn buckets(key: &<Self::Of as Def>::Key, row: &<Self::Of as Def>::Row, put: &mut dyn FnMut(Self::Bucket));
}

/// A chunk is split when it grows above this: what one write to a large shared bucket copies.
const CHUNK: usize = 64;

type Chunks<D> = Vec<Arc<Vec<Arc<Entry<D>>>>>;

/// Rows in the order of their keys, at least one: alone, as most are, or in chunks that are shared until one of them is
/// written.
pub(crate) enum Sorted<D: Def> {
    One(Arc<Entry<D>>),
    Chunks(Chunks<D>),
}

impl<D: Def> Clone for Sorted<D> {
    fn clone(&self) -> Self {
        match self {
            Self::One(entry) => Self::One(Arc::clone(entry)),
            Self::Chunks(chunks) => Self::Chunks(chunks.clone()),
        }
    }
}

/// The chunk a key belongs in, of at least one.
fn chunk_for<D: Def>(chunks: &Chunks<D>, key: &D::Key) -> usize {
    let at = chunks.partition_point(|c| c.last().is_some_and(|e| e.key < *key));
    at.min(chunks.len().saturating_sub(1))
}

impl<D: Def> Sorted<D> {
    fn put(&mut self, entry: Arc<Entry<D>>) {
        let chunks = match self {
            Self::One(one) if one.key == entry.key => {
                *one = entry;
                return;
            }
            Self::One(one) => {
                *self = Self::Chunks(vec![Arc::new(vec![Arc::clone(one)])]);
                return self.put(entry);
            }
            Self::Chunks(chunks) => chunks,
        };
        let at = chunk_for(chunks, &entry.key);
        let Some(shared) = chunks.get_mut(at) else { return };
        let chunk = Arc::make_mut(shared);
        match chunk.binary_search_by(|e| e.key.cmp(&entry.key)) {
            Ok(i) => chunk[i] = entry,
            Err(i) => {
                chunk.insert(i, entry);
                if chunk.len() > CHUNK {
                    let upper = chunk.split_off(CHUNK / 2);
                    chunks.insert(at + 1, Arc::new(upper));
                }
            }
        }
    }

    /// Takes a row out; whether none is left. Then the bucket has to go.
    fn remove(&mut self, key: &D::Key) -> bool {
        let chunks = match self {
            Self::One(one) => return one.key == *key,
            Self::Chunks(chunks) => chunks,
        };
        let at = chunk_for(chunks, key);
        let Some(shared) = chunks.get_mut(at) else { return true };
        let chunk = Arc::make_mut(shared);
        if let Ok(i) = chunk.binary_search_by(|e| e.key.cmp(key)) {
            chunk.remove(i);
        }
        if chunk.is_empty() {
            chunks.remove(at);
        }
        if let [last] = &**chunks
            && let [last] = &***last
        {
            *self = Self::One(Arc::clone(last));
            return false;
        }
        chunks.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Entry<D>>> + use<'_, D> {
        let (one, chunks) = match self {
            Self::One(one) => (Some(one), &[][..]),
            Self::Chunks(chunks) => (None, &**chunks),
        };
        one.into_iter().chain(chunks.iter().flat_map(|c| c.iter()))
    }
}

pub(crate) struct Bucket<X: Index> {
    hash: u64,
    pub(crate) name: X::Bucket,
    pub(crate) members: Sorted<X::Of>,
}

impl<X: Index> Clone for Bucket<X> {
    fn clone(&self) -> Self {
        Self { hash: self.hash, name: self.name.clone(), members: self.members.clone() }
    }
}

impl<X: Index> Hashed for Bucket<X> {
    fn hashed(&self) -> u64 {
        self.hash
    }
}

/// The data of one index. It belongs to the table's value: a snapshot of a table has its indexes with it.
pub(crate) struct Buckets<X: Index> {
    map: Shards<Bucket<X>>,
    /// Whether somebody asks commits which buckets they touched.
    followed: AtomicBool,
    index: PhantomData<fn() -> X>,
}

impl<X: Index> Buckets<X> {
    pub(crate) fn new() -> Self {
        Self { map: Shards::new(), followed: AtomicBool::new(false), index: PhantomData }
    }

    /// From the next commit on it is noted which buckets are touched ([`Commit::touched_buckets`]).
    pub(crate) fn follow(&self) {
        self.followed.store(true, Ordering::Relaxed);
    }

    /// An index made now from rows, for a table that does not keep this one.
    pub(crate) fn scan<'a>(entries: impl Iterator<Item = &'a Arc<Entry<X::Of>>>) -> Self {
        let mut made = Self::new();
        for entry in entries {
            for bucket in buckets_of::<X>(Some(entry)) {
                made.join(bucket, entry);
            }
        }
        made
    }

    pub(crate) fn bucket(&self, name: &X::Bucket) -> Option<&Bucket<X>> {
        self.map.find(hash_of(name), |b| b.name == *name).map(|b| &**b)
    }

    /// Every bucket that has members, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Bucket<X>> {
        self.map.iter().map(|b| &**b)
    }

    fn join(&mut self, name: X::Bucket, entry: &Arc<Entry<X::Of>>) {
        let hash = hash_of(&name);
        if let Some(bucket) = self.map.find_mut(hash, |b| b.name == name) {
            Arc::make_mut(bucket).members.put(Arc::clone(entry));
        } else {
            let members = Sorted::One(Arc::clone(entry));
            self.map.put(Arc::new(Bucket { hash, name, members }), |_| false);
        }
    }

    fn leave(&mut self, name: &X::Bucket, key: &<X::Of as Def>::Key) {
        let hash = hash_of(name);
        let Some(bucket) = self.map.find_mut(hash, |b| b.name == *name) else { return };
        if Arc::make_mut(bucket).members.remove(key) {
            self.map.remove(hash, |b| b.name == *name);
        }
    }
}

fn buckets_of<X: Index>(entry: Option<&Entry<X::Of>>) -> SmallVec<[X::Bucket; 4]> {
    let mut names = SmallVec::new();
    if let Some(e) = entry {
        X::buckets(&e.key, &e.row, &mut |b| names.push(b));
    }
    names.sort_unstable();
    names.dedup();
    names
}

/// An index whose bucket type the table does not know.
pub(crate) trait AnyIndex<D: Def>: Send + Sync {
    fn update(&mut self, at: usize, old: Option<&Arc<Entry<D>>>, new: Option<&Arc<Entry<D>>>, c: &mut Commit);
    fn boxed(&self) -> Box<dyn AnyIndex<D>>;
    fn any(&self) -> &dyn Any;
}

impl<D: Def> Clone for Box<dyn AnyIndex<D>> {
    fn clone(&self) -> Self {
        self.boxed()
    }
}

impl<X: Index> AnyIndex<X::Of> for Buckets<X> {
    fn update(
        &mut self,
        at: usize,
        old: Option<&Arc<Entry<X::Of>>>,
        new: Option<&Arc<Entry<X::Of>>>,
        c: &mut Commit,
    ) {
        let (before, after) = (buckets_of::<X>(old.map(|e| &**e)), buckets_of::<X>(new.map(|e| &**e)));
        let order = <X::Of as Level>::ORDER;
        let followed = *self.followed.get_mut();
        for name in &before {
            let hash = hash_of(name);
            c.touch(Cell::new(order, rows(at), hash));
            if after.binary_search(name).is_err() {
                c.touch(Cell::new(order, members(at), hash));
                if let Some(old) = old {
                    self.leave(name, &old.key);
                }
                if followed {
                    c.touch_bucket::<X>(name.clone());
                }
            }
        }
        for name in after {
            let hash = hash_of(&name);
            c.touch(Cell::new(order, rows(at), hash));
            if before.binary_search(&name).is_err() {
                c.touch(Cell::new(order, members(at), hash));
            }
            if followed {
                c.touch_bucket::<X>(name.clone());
            }
            if let Some(new) = new {
                self.join(name, new);
            }
        }
    }

    fn boxed(&self) -> Box<dyn AnyIndex<X::Of>> {
        let followed = AtomicBool::new(self.followed.load(Ordering::Relaxed));
        Box::new(Self { map: self.map.clone(), followed, index: PhantomData })
    }

    fn any(&self) -> &dyn Any {
        self
    }
}
