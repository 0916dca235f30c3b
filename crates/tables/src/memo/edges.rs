//! From what can change in the tables to the memos that read it.

use parking_lot::Mutex;

use crate::{
    memo::MemoId,
    readers::Readers,
    reads::{Cell, Map, hash_of},
};

const SHARDS: usize = 64;

/// A cell that nobody reads has no entry: names of absent rows go with their last reader.
pub(super) struct Edges(Vec<Mutex<Map<Cell, Readers<MemoId>>>>);

impl Edges {
    pub(super) fn new() -> Self {
        Self((0..SHARDS).map(|_| Mutex::default()).collect())
    }

    fn shard(&self, cell: &Cell) -> &Mutex<Map<Cell, Readers<MemoId>>> {
        &self.0[hash_of(cell) as usize % SHARDS]
    }

    pub(super) fn add(&self, cell: &Cell, reader: MemoId) {
        self.shard(cell).lock().entry(*cell).or_default().insert(reader);
    }

    pub(super) fn remove(&self, cell: &Cell, reader: MemoId) {
        let mut shard = self.shard(cell).lock();
        if let Some(who) = shard.get_mut(cell) {
            who.remove(&reader);
            if who.is_empty() {
                shard.remove(cell);
            }
        }
    }

    pub(super) fn each(&self, cell: &Cell, visit: impl FnMut(&MemoId)) {
        if let Some(who) = self.shard(cell).lock().get(cell) {
            who.each(visit);
        }
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.0.iter().map(|s| s.lock().len()).sum()
    }
}
