//! The memos of one kind of ask: where each is kept, under which number others know it.

use std::{
    any::Any,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use hashbrown::HashTable;
use parking_lot::{Mutex, MutexGuard};

use crate::{
    Revision,
    memo::{Ask, Memos, asking::Audited},
    readers::Readers,
    reads::{Cell, hash_of},
};

const SHARDS: usize = 32;

/// The number of a memo: kind of ask (8 bits), shard (5), slot (25), generation of the slot (26).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct MemoId(u64);

const GENERATIONS: u32 = 1 << 26;

impl MemoId {
    fn new(level: usize, shard: usize, slot: usize, generation: u32) -> Self {
        Self((level as u64) << 56 | (shard as u64) << 51 | (slot as u64) << 26 | u64::from(generation))
    }

    pub(super) fn level(self) -> usize {
        (self.0 >> 56) as usize
    }

    fn shard(self) -> usize {
        (self.0 >> 51) as usize % SHARDS
    }

    fn slot(self) -> usize {
        (self.0 >> 26) as usize & ((1 << 25) - 1)
    }

    fn generation(self) -> u32 {
        (self.0 as u32) & (GENERATIONS - 1)
    }
}

/// A memo that was read, and the digest it had.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct MemoRead {
    pub(super) id: MemoId,
    pub(super) digest: u64,
}

/// What a memo read, handed over when it is removed.
pub(super) struct Gone {
    pub(super) id: MemoId,
    pub(super) cells: Box<[Cell]>,
    pub(super) lower: Box<[MemoRead]>,
}

/// The revision since which something may be different.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Since(pub(super) Revision);

impl Since {
    pub(super) const NEVER: Self = Self(Revision(u64::MAX));
}

/// One answer. It holds on every revision from `from` up to `dirty`, or to the newest one told of.
pub(super) struct Memo<A: Ask> {
    pub(super) ask: A,
    pub(super) out: Arc<A::Out>,
    pub(super) digest: u64,
    pub(super) from: Revision,
    /// The first told revision since which something it read may be different.
    pub(super) dirty: Since,
    /// Whether that something is a row, and not only another memo.
    pub(super) rows_changed: bool,
    /// Asked from outside and not forgotten. If not, it goes with its last reader.
    pub(super) held: bool,
    /// The walk that last came by.
    pub(super) walk: u32,
    pub(super) cells: Box<[Cell]>,
    pub(super) lower: Box<[MemoRead]>,
    /// Most memos are read by no other.
    pub(super) readers: Option<Box<Readers<MemoId>>>,
}

impl<A: Ask> Memo<A> {
    pub(super) fn new(ask: A, out: Arc<A::Out>) -> Self {
        Self {
            ask,
            out,
            digest: 0,
            from: Revision(0),
            dirty: Since::NEVER,
            rows_changed: false,
            held: false,
            walk: 0,
            cells: Box::default(),
            lower: Box::default(),
            readers: None,
        }
    }
}

struct Slot<A: Ask> {
    generation: u32,
    memo: Option<Box<Memo<A>>>,
}

/// The memos whose asks hash to one shard.
pub(super) struct Shard<A: Ask> {
    number: usize,
    by_ask: HashTable<u32>,
    slots: Vec<Slot<A>>,
    free: Vec<u32>,
    pub(super) bytes: usize,
}

impl<A: Ask> Shard<A> {
    fn id(&self, level: usize, slot: usize) -> MemoId {
        MemoId::new(level, self.number, slot, self.slots[slot].generation)
    }

    fn slot_of(&self, ask: &A) -> Option<usize> {
        let is = |slot: &u32| self.slots[*slot as usize].memo.as_ref().is_some_and(|m| m.ask == *ask);
        self.by_ask.find(hash_of(ask), is).map(|slot| *slot as usize)
    }

    pub(super) fn find(&mut self, level: usize, ask: &A) -> Option<(MemoId, &mut Memo<A>)> {
        let slot = self.slot_of(ask)?;
        let id = self.id(level, slot);
        Some((id, self.slots[slot].memo.as_deref_mut()?))
    }

    pub(super) fn by_id(&mut self, id: MemoId) -> Option<&mut Memo<A>> {
        let slot = self.slots.get_mut(id.slot()).filter(|s| s.generation == id.generation())?;
        slot.memo.as_deref_mut()
    }

    pub(super) fn insert(&mut self, level: usize, memo: Memo<A>) -> MemoId {
        let hash = hash_of(&memo.ask);
        let slot = self.free.pop().map_or(self.slots.len(), |s| s as usize);
        if slot == self.slots.len() {
            self.slots.push(Slot { generation: 0, memo: None });
        }
        self.slots[slot].memo = Some(Box::new(memo));
        let slots = &self.slots;
        self.by_ask.insert_unique(hash, slot as u32, |s| {
            slots[*s as usize].memo.as_ref().map_or(0, |m| hash_of(&m.ask))
        });
        self.id(level, slot)
    }

    pub(super) fn remove(&mut self, id: MemoId) -> Option<Gone> {
        let hash = hash_of(&self.by_id(id)?.ask);
        if let Ok(found) = self.by_ask.find_entry(hash, |s| *s as usize == id.slot()) {
            found.remove();
        }
        let slot = &mut self.slots[id.slot()];
        slot.generation = (slot.generation + 1) % GENERATIONS;
        let memo = slot.memo.take()?;
        self.free.push(id.slot() as u32);
        self.bytes -= A::weight(&memo.out);
        Some(Gone { id, cells: memo.cells, lower: memo.lower })
    }

    /// The numbers of the memos whose asks are `of` interest.
    pub(super) fn ids(&self, level: usize, of: impl Fn(&A) -> bool) -> Vec<MemoId> {
        let occupied = self.slots.iter().enumerate();
        occupied
            .filter(|(_, s)| s.memo.as_ref().is_some_and(|m| of(&m.ask)))
            .map(|(slot, s)| MemoId::new(level, self.number, slot, s.generation))
            .collect()
    }
}

pub(super) struct Store<A: Ask> {
    pub(super) level: usize,
    shards: Vec<Mutex<Shard<A>>>,
    built: AtomicU64,
    hits: AtomicU64,
}

impl<A: Ask> Store<A> {
    pub(super) fn new(level: usize) -> Self {
        let shard = |number| Shard {
            number,
            by_ask: HashTable::new(),
            slots: Vec::new(),
            free: Vec::new(),
            bytes: 0,
        };
        Self {
            level,
            shards: (0..SHARDS).map(|number| Mutex::new(shard(number))).collect(),
            built: AtomicU64::new(0),
            hits: AtomicU64::new(0),
        }
    }

    /// The shard of an ask. While it is locked only shards of asks that stand above this one may be locked.
    pub(super) fn shard(&self, hash: u64) -> &Mutex<Shard<A>> {
        &self.shards[(hash >> 40) as usize % SHARDS]
    }

    pub(super) fn shards(&self) -> impl Iterator<Item = MutexGuard<'_, Shard<A>>> {
        self.shards.iter().map(|s| s.lock())
    }

    pub(super) fn lock(&self, id: MemoId) -> MutexGuard<'_, Shard<A>> {
        self.shards[id.shard()].lock()
    }

    pub(super) fn count_hit(&self) {
        self.hits.fetch_add(1, Relaxed);
    }

    pub(super) fn count_build(&self) {
        self.built.fetch_add(1, Relaxed);
    }
}

/// The use of one kind of ask.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stats {
    /// The `NAME` of the ask.
    pub name: &'static str,
    /// Its `ORDER`.
    pub order: u16,
    /// How many memos are kept.
    pub count: usize,
    /// The sum of the weights of their answers, in bytes.
    pub bytes: usize,
    /// How often a builder has run, audits not counted.
    pub built: u64,
    /// How often a memo was the answer.
    pub hits: u64,
}

/// A store whose ask type is not known.
pub(super) trait AnyStore<W>: Send + Sync {
    fn any(&self) -> &dyn Any;
    /// Whether the memo that was read, asked again on this snapshot, is there, kept, and has the same digest.
    fn pulls_same(
        &self,
        memos: &Memos<W>,
        world: &Arc<W>,
        read: &MemoRead,
        audited: Option<&Audited>,
    ) -> bool;
    /// Whether the memo that was read is there, not dirty, and has the same digest.
    fn stands(&self, read: &MemoRead) -> bool;
    /// As [`AnyStore::stands`], and adds a reader if so.
    fn attach(&self, read: &MemoRead, reader: MemoId) -> bool;
    /// Takes a reader away; a memo that is not held goes with its last one.
    fn detach(&self, id: MemoId, reader: MemoId) -> Option<Gone>;
    /// An empty list of asks of this kind.
    fn list(&self) -> Box<dyn Any + Send + Sync>;
    /// Marks a memo and lists its ask and its readers, once in each walk.
    fn flag(&self, id: MemoId, by: &Flag, asks: &mut dyn Any, readers: &mut Vec<MemoId>) -> bool;
    fn name(&self) -> (u16, &'static str);
    fn stats(&self) -> Stats;
}

/// Why a memo is flagged.
pub(super) struct Flag {
    /// The commit that does it; without one the memo is not to be trusted at any revision.
    pub(super) revision: Option<Revision>,
    pub(super) walk: u32,
    pub(super) by_row: bool,
}

impl<A: Ask> AnyStore<A::World> for Store<A> {
    fn any(&self) -> &dyn Any {
        self
    }

    fn pulls_same(
        &self,
        memos: &Memos<A::World>,
        world: &Arc<A::World>,
        read: &MemoRead,
        audited: Option<&Audited>,
    ) -> bool {
        let ask = self.lock(read.id).by_id(read.id).map(|m| m.ask.clone());
        ask.is_some_and(|ask| {
            let pulled = memos.pull(world, &ask, audited, false);
            pulled.kept == Some(read.id) && pulled.digest == read.digest
        })
    }

    fn stands(&self, read: &MemoRead) -> bool {
        let mut shard = self.lock(read.id);
        shard.by_id(read.id).is_some_and(|m| m.dirty == Since::NEVER && m.digest == read.digest)
    }

    fn attach(&self, read: &MemoRead, reader: MemoId) -> bool {
        let mut shard = self.lock(read.id);
        let Some(memo) = shard.by_id(read.id) else { return false };
        let stands = memo.dirty == Since::NEVER && memo.digest == read.digest;
        if stands {
            memo.readers.get_or_insert_default().insert(reader);
        }
        stands
    }

    fn detach(&self, id: MemoId, reader: MemoId) -> Option<Gone> {
        let mut shard = self.lock(id);
        let memo = shard.by_id(id)?;
        if let Some(readers) = &mut memo.readers {
            readers.remove(&reader);
            if readers.is_empty() {
                memo.readers = None;
            }
        }
        if !memo.held && memo.readers.is_none() { shard.remove(id) } else { None }
    }

    fn list(&self) -> Box<dyn Any + Send + Sync> {
        Box::new(Vec::<A>::new())
    }

    fn flag(&self, id: MemoId, by: &Flag, asks: &mut dyn Any, readers: &mut Vec<MemoId>) -> bool {
        let mut shard = self.lock(id);
        let Some(memo) = shard.by_id(id) else { return false };
        if by.revision.is_none_or(|r| memo.from < r) {
            memo.dirty = memo.dirty.min(Since(by.revision.unwrap_or(memo.from)));
            memo.rows_changed |= by.by_row;
        }
        if memo.walk == by.walk {
            return false;
        }
        memo.walk = by.walk;
        if let Some(all) = &memo.readers {
            all.each(|r| readers.push(*r));
        }
        if let Some(asks) = asks.downcast_mut::<Vec<A>>() {
            asks.push(memo.ask.clone());
        }
        true
    }

    fn name(&self) -> (u16, &'static str) {
        (A::ORDER, A::NAME)
    }

    fn stats(&self) -> Stats {
        let (mut count, mut bytes) = (0, 0);
        for shard in self.shards() {
            count += shard.by_ask.len();
            bytes += shard.bytes;
        }
        let (built, hits) = (self.built.load(Relaxed), self.hits.load(Relaxed));
        Stats { name: A::NAME, order: A::ORDER, count, bytes, built, hits }
    }
}
