//! Who claims which address: an author for an entry, or we for a host of one.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use jiff::Timestamp;

use crate::mirror::Key;

/// The claims on addresses.
#[derive(Debug, Default)]
pub(super) struct Claims {
    by_address: BTreeMap<IpAddr, BTreeMap<Key, Claim>>,
    by_entry: BTreeMap<Key, BTreeMap<IpAddr, Claim>>,
}

/// One claim. In the order of rank: an author's before an allocated one, and of these the older entry's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Claim {
    /// The author of an entry wrote the address.
    Own,
    /// It was allocated for an entry of that time.
    Allocated(Option<Timestamp>),
}

impl Claims {
    /// Replaces the claims of an entry, and gives the entries that claim any of the same addresses, before or after.
    pub(super) fn set(&mut self, entry: &Key, claims: BTreeMap<IpAddr, Claim>) -> BTreeSet<Key> {
        let before = self.by_entry.remove(entry).unwrap_or_default();
        if before == claims {
            self.by_entry.insert(entry.clone(), claims);
            return BTreeSet::new();
        }
        let mut others = BTreeSet::new();
        for address in before.keys() {
            if let Some(claimants) = self.by_address.get_mut(address) {
                claimants.remove(entry);
                others.extend(claimants.keys().cloned());
                if claimants.is_empty() {
                    self.by_address.remove(address);
                }
            }
        }
        for (address, claim) in &claims {
            let claimants = self.by_address.entry(*address).or_default();
            others.extend(claimants.keys().cloned());
            claimants.insert(entry.clone(), *claim);
        }
        if !claims.is_empty() {
            self.by_entry.insert(entry.clone(), claims);
        }
        others
    }

    /// Whether anybody claims an address.
    pub(super) fn is_taken(&self, address: &IpAddr) -> bool {
        self.by_address.contains_key(address)
    }

    /// Whether an entry may keep an address that was allocated for it: nobody else has a claim of higher rank. Of entries
    /// of one time the first by name keeps it.
    pub(super) fn keeps(&self, entry: &Key, address: &IpAddr) -> bool {
        let claimants = self.by_address.get(address).into_iter().flatten();
        claimants.min_by_key(|(key, claim)| (**claim, *key)).is_none_or(|(first, _)| first == entry)
    }

    /// The addresses an entry claims.
    pub(super) fn of(&self, entry: &Key) -> impl Iterator<Item = IpAddr> {
        self.by_entry.get(entry).into_iter().flat_map(|claims| claims.keys().copied())
    }
}
