//! What a connection subscribed to: names in sets that equal connections share, or everything.

use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use rustc_hash::{FxHashMap, FxHashSet};
use xxhash_rust::xxh3::xxh3_64;

#[cfg(test)]
mod tests;

/// A set of names; equal ones of one [`Interner`] are one.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct NameSet(FxHashSet<Arc<str>>);

impl NameSet {
    /// Whether a name is in it.
    pub(crate) fn contains(&self, name: &str) -> bool {
        self.0.contains(name)
    }

    /// How many names there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no name.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The names, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<str>> {
        self.0.iter()
    }
}

/// Shares equal name sets: five hundred proxies of one kind subscribe to the same thousand names.
#[derive(Debug, Default)]
pub struct Interner(Mutex<FxHashMap<u64, Vec<Weak<NameSet>>>>);

impl Interner {
    fn intern(&self, names: FxHashSet<Arc<str>>) -> Arc<NameSet> {
        // A sum does not depend on the order the set is walked in.
        let key = names.iter().fold(0u64, |sum, name| sum.wrapping_add(xxh3_64(name.as_bytes())));
        let mut sets = self.0.lock();
        let bucket = sets.entry(key).or_default();
        bucket.retain(|set| set.strong_count() > 0);
        if let Some(known) = bucket.iter().filter_map(Weak::upgrade).find(|set| set.0 == names) {
            return known;
        }
        let set = Arc::new(NameSet(names));
        bucket.push(Arc::downgrade(&set));
        if sets.len() > 64 && sets.len().is_power_of_two() {
            sets.retain(|_, bucket| bucket.iter().any(|set| set.strong_count() > 0));
        }
        set
    }
}

/// The subscription of one connection to one type.
#[derive(Debug, Default, Clone)]
pub(crate) struct Subscription {
    pub(crate) wildcard: bool,
    pub(crate) names: Arc<NameSet>,
}

impl Subscription {
    pub(crate) fn covers(&self, name: &str) -> bool {
        self.wildcard || self.names.contains(name)
    }

    /// Adds and takes away names, in this order.
    pub(crate) fn change<'a>(
        &mut self,
        interner: &Interner,
        add: impl Iterator<Item = &'a Arc<str>>,
        take: impl Iterator<Item = &'a str>,
    ) {
        let mut add = add.filter(|name| !self.names.contains(name)).peekable();
        let mut take = take.peekable();
        // most requests are answers, which change nothing
        if add.peek().is_none() && take.peek().is_none() {
            return;
        }
        let mut names = self.names.0.clone();
        names.extend(add.cloned());
        for name in take {
            names.remove(name);
        }
        if names != self.names.0 {
            self.names = interner.intern(names);
        }
    }
}
