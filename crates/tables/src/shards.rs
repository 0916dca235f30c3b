//! A copy-on-write hash map in shards: cheap to clone, a write copies only the shard it falls in.

use std::sync::Arc;

use hashbrown::HashTable;

/// A shard is split when it holds more than this many on average: what one write to a shared map copies.
const FULL: usize = 96;

/// An element knows the hash of its own key.
pub(crate) trait Hashed {
    fn hashed(&self) -> u64;
}

/// The map. The number of shards follows its size, so that a small map is one small hash table.
pub(crate) struct Shards<T> {
    shards: Arc<Vec<Arc<HashTable<Arc<T>>>>>,
    len: usize,
}

impl<T> Clone for Shards<T> {
    fn clone(&self) -> Self {
        Self { shards: Arc::clone(&self.shards), len: self.len }
    }
}

impl<T: Hashed> Shards<T> {
    pub(crate) fn new() -> Self {
        Self { shards: Arc::new(vec![Arc::new(HashTable::new())]), len: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The hash table takes its bits from both ends of the hash; the shard takes the ones in the middle.
    fn at(&self, hash: u64) -> usize {
        (hash >> 24) as usize & (self.shards.len() - 1)
    }

    pub(crate) fn find(&self, hash: u64, is: impl Fn(&T) -> bool) -> Option<&Arc<T>> {
        self.shards.get(self.at(hash))?.find(hash, |e| is(e))
    }

    fn shard_mut(&mut self, hash: u64) -> &mut HashTable<Arc<T>> {
        let at = self.at(hash);
        Arc::make_mut(&mut Arc::make_mut(&mut self.shards)[at])
    }

    pub(crate) fn find_mut(&mut self, hash: u64, is: impl Fn(&T) -> bool) -> Option<&mut Arc<T>> {
        self.shard_mut(hash).find_mut(hash, |e| is(e))
    }

    /// Puts an element in the place of the one that `is` it, or adds it.
    pub(crate) fn put(&mut self, new: Arc<T>, is: impl Fn(&T) -> bool) {
        let hash = new.hashed();
        let shard = self.shard_mut(hash);
        if let Some(old) = shard.find_mut(hash, |e| is(e)) {
            *old = new;
            return;
        }
        shard.insert_unique(hash, new, |e| e.hashed());
        self.len += 1;
        if self.len > self.shards.len() * FULL {
            self.reshard(self.shards.len() * 4);
        }
    }

    pub(crate) fn remove(&mut self, hash: u64, is: impl Fn(&T) -> bool) {
        if let Ok(found) = self.shard_mut(hash).find_entry(hash, |e| is(e)) {
            found.remove();
            self.len -= 1;
            if self.shards.len() > 1 && self.len * 16 < self.shards.len() * FULL {
                self.reshard(self.shards.len() / 4);
            }
        }
    }

    fn reshard(&mut self, count: usize) {
        let mut shards: Vec<HashTable<Arc<T>>> = Vec::new();
        shards.resize_with(count.max(1), || HashTable::with_capacity(self.len / count.max(1)));
        let mask = shards.len() - 1;
        for element in self.iter() {
            let hash = element.hashed();
            shards[(hash >> 24) as usize & mask].insert_unique(hash, Arc::clone(element), |e| e.hashed());
        }
        self.shards = Arc::new(shards.into_iter().map(Arc::new).collect());
    }

    /// Every element, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<T>> {
        self.shards.iter().flat_map(|s| s.iter())
    }
}
