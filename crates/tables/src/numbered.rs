//! Keys by small numbers: what is noted about a key in many places is noted by its number, since keys are large.

use std::fmt;

use hashbrown::HashTable;

use crate::{Key, reads::hash_of};

/// Stands for a key as long as the key is there.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub(crate) struct Number(u32);

impl Number {
    fn at(self) -> usize {
        self.0 as usize
    }
}

/// Keys, each with a number and a value. A number that is free again is given to the next key.
pub(crate) struct Numbered<K, V> {
    slots: Vec<Option<(K, V)>>,
    free: Vec<Number>,
    numbers: HashTable<Number>,
}

impl<K, V> Default for Numbered<K, V> {
    fn default() -> Self {
        Self { slots: Vec::new(), free: Vec::new(), numbers: HashTable::new() }
    }
}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for Numbered<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.slots.iter().flatten().map(|(k, v)| (k, v))).finish()
    }
}

/// Whether the key of a number is this one.
fn is<K: Key, V>(slots: &[Option<(K, V)>], number: Number, key: &K) -> bool {
    matches!(slots.get(number.at()), Some(Some((k, _))) if k == key)
}

impl<K: Key, V> Numbered<K, V> {
    /// The number of a key that is there.
    pub(crate) fn find(&self, key: &K) -> Option<Number> {
        self.numbers.find(hash_of(key), |n| is(&self.slots, *n, key)).copied()
    }

    /// The number of a key, which is there from now on, with `value` if it was not before.
    pub(crate) fn number(&mut self, key: &K, value: impl FnOnce() -> V) -> Number {
        let hash = hash_of(key);
        if let Some(number) = self.numbers.find(hash, |n| is(&self.slots, *n, key)) {
            return *number;
        }
        let slot = Some((key.clone(), value()));
        let number = match self.free.pop() {
            Some(number) => {
                self.slots[number.at()] = slot;
                number
            }
            None => self.append(slot),
        };
        let slots = &self.slots;
        let rehash = |n: &Number| slots[n.at()].as_ref().map_or(0, |(key, _)| hash_of(key));
        self.numbers.insert_unique(hash, number, rehash);
        number
    }

    /// Grows by an eighth, not to the double: most of these are filled once and stay.
    fn append(&mut self, slot: Option<(K, V)>) -> Number {
        let len = self.slots.len();
        if len == self.slots.capacity() {
            self.slots.reserve_exact(len / 8 + 4);
        }
        self.slots.push(slot);
        Number(u32::try_from(len).unwrap_or_else(|_| unreachable!("a table has fewer than 2^32 rows")))
    }

    /// The key of a number.
    pub(crate) fn key(&self, number: Number) -> Option<&K> {
        self.slots.get(number.at())?.as_ref().map(|(key, _)| key)
    }

    /// The value of a number.
    pub(crate) fn get(&self, number: Number) -> Option<&V> {
        self.slots.get(number.at())?.as_ref().map(|(_, value)| value)
    }

    /// The value of a number, to be changed.
    pub(crate) fn get_mut(&mut self, number: Number) -> Option<&mut V> {
        self.slots.get_mut(number.at())?.as_mut().map(|(_, value)| value)
    }

    /// Takes a key away; its number is free.
    pub(crate) fn remove(&mut self, number: Number) -> Option<(K, V)> {
        let (key, value) = self.slots.get_mut(number.at())?.take()?;
        if let Ok(found) = self.numbers.find_entry(hash_of(&key), |n| *n == number) {
            found.remove();
        }
        self.free.push(number);
        Some((key, value))
    }

    /// The keys that are there, in no order.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &K> {
        self.slots.iter().flatten().map(|(key, _)| key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_stands_for_its_key_until_that_goes() {
        let mut kept = Numbered::<String, u32>::default();
        let keys: Vec<String> = (0..100).map(|n| format!("key {n}")).collect();
        let numbers: Vec<Number> = keys.iter().zip(0..).map(|(key, n)| kept.number(key, || n)).collect();
        assert_eq!(kept.number(&keys[7], || 1000), numbers[7]);
        assert_eq!(kept.get(numbers[7]), Some(&7));
        assert_eq!(kept.remove(numbers[7]), Some((keys[7].clone(), 7)));
        assert_eq!((kept.find(&keys[7]), kept.key(numbers[7])), (None, None));
        assert_eq!(kept.remove(numbers[7]), None);
        assert_eq!(kept.number(&"another".to_owned(), || 8), numbers[7]);
        for (key, number) in keys.iter().zip(&numbers).filter(|(_, n)| **n != numbers[7]) {
            assert_eq!((kept.find(key), kept.key(*number)), (Some(*number), Some(key)));
        }
        assert_eq!(kept.keys().count(), 100);
    }
}
