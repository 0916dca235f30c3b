//! Which addresses the hosts of an entry should have: those they have, where they may, and new ones.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::claims::{Claim, Claims};
use super::entry::{Allocated, Entry};
use super::pool::Pool;
use crate::mirror::Key;

/// Everything that is known of addresses: pure, and told of every entry.
#[derive(Debug)]
pub(super) struct Addresses {
    v4: Pool,
    v6: Pool,
    claims: Claims,
    /// Given out, and not seen in the entry's status yet.
    pending: BTreeMap<Key, BTreeMap<String, Vec<IpAddr>>>,
    /// Entries for which nothing was left.
    starved: BTreeSet<Key>,
}

impl Addresses {
    pub(super) fn new(v4: Ipv4Net, v6: Ipv6Net) -> Self {
        Self {
            v4: Pool::new(IpNet::V4(v4)),
            v6: Pool::new(IpNet::V6(v6)),
            claims: Claims::default(),
            pending: BTreeMap::new(),
            starved: BTreeSet::new(),
        }
    }

    /// Takes note of an entry, or of its end, and gives others whose addresses may have to change or need not any more.
    pub(super) fn observe(&mut self, key: &Key, entry: Option<&Entry>) -> BTreeSet<Key> {
        if !entry.is_some_and(|entry| entry.wanted) {
            self.pending.remove(key);
            self.starved.remove(key);
        }
        let before: Vec<IpAddr> = self.claims.of(key).collect();
        let mut others = self.claims.set(key, self.claims_of(key, entry));
        for address in before {
            if !self.claims.is_taken(&address) {
                self.pool(&address).retire(address);
                others.append(&mut self.starved);
            }
        }
        others
    }

    fn claims_of(&self, key: &Key, entry: Option<&Entry>) -> BTreeMap<IpAddr, Claim> {
        let Some(entry) = entry else { return BTreeMap::new() };
        let allocated = Claim::Allocated(entry.created);
        let pending = self.pending.get(key).into_iter().flat_map(|hosts| hosts.values().flatten().copied());
        let ours = entry.allocated().chain(pending).map(|address| (address, allocated));
        // what authors write elsewhere cannot be in our way
        let own = entry.own.iter().filter(|ip| self.v4.contains(ip) || self.v6.contains(ip));
        ours.chain(own.map(|address| (*address, Claim::Own))).collect()
    }

    /// The addresses that the status of an entry should have, or nothing if it has them
    /// (as ipallocate.go: `statusPatchForAddresses`, `resolveConflict`, `clearStaleAddresses`). What is new is taken from
    /// now on, until the entry is seen to have it.
    pub(super) fn plan(&mut self, key: &Key, entry: &Entry) -> Option<Vec<Allocated>> {
        if !entry.wanted {
            return (!entry.status.is_empty()).then(Vec::new);
        }
        let standing = self.kept(key, entry);
        let named: BTreeSet<&str> =
            entry.status.iter().filter(|a| a.address().is_some()).map(|a| &*a.host).collect();
        let is_right = standing.len() == entry.hosts.len() && named.len() == standing.len();
        if is_right {
            self.pending.remove(key);
            self.observe(key, Some(entry));
            return None;
        }
        let mut planned = Vec::new();
        let mut pending = self.pending.remove(key).unwrap_or_default();
        for host in &entry.hosts {
            let addresses = match (standing.get(host.as_str()), pending.remove(host)) {
                (Some(addresses), _) => addresses.clone(),
                (None, Some(given))
                    if !given.is_empty() && given.iter().all(|ip| self.claims.keeps(key, ip)) =>
                {
                    self.keep_pending(key, host, given.clone());
                    given
                }
                (None, _) => {
                    let given = self.allocate(key, entry, host);
                    self.keep_pending(key, host, given.clone());
                    given
                }
            };
            let named = |address: IpAddr| Allocated { host: host.clone(), value: address.to_string() };
            planned.extend(addresses.into_iter().map(named));
        }
        self.observe(key, Some(entry));
        (planned != entry.status).then_some(planned)
    }

    /// The addresses of each host that it has and may keep.
    fn kept<'e>(&self, key: &Key, entry: &'e Entry) -> BTreeMap<&'e str, Vec<IpAddr>> {
        let mut kept = BTreeMap::new();
        let mut given = BTreeSet::new();
        for host in &entry.hosts {
            let has = entry.status.iter().filter(|a| a.host == *host).filter_map(Allocated::address);
            let has: Vec<IpAddr> = has.collect();
            let may_keep = has.iter().all(|ip| self.claims.keeps(key, ip) && !given.contains(ip));
            if may_keep && !has.is_empty() {
                given.extend(has.iter().copied());
                kept.insert(host.as_str(), has);
            }
        }
        kept
    }

    /// One address of each family; fewer when a prefix is used up.
    fn allocate(&mut self, key: &Key, entry: &Entry, host: &str) -> Vec<IpAddr> {
        // what this entry was given a moment ago is in `pending` and not in its claims yet
        let fresh: BTreeSet<IpAddr> =
            self.pending.get(key).into_iter().flat_map(|hosts| hosts.values().flatten().copied()).collect();
        let claims = &self.claims;
        let taken = |ip: &IpAddr| claims.is_taken(ip) || fresh.contains(ip) || entry.own.contains(ip);
        let given: Vec<IpAddr> =
            [self.v4.allocate(taken), self.v6.allocate(taken)].into_iter().flatten().collect();
        if given.len() < 2 {
            tracing::error!("{key}: host {host} gets {} of 2 addresses: a prefix is used up", given.len());
        }
        given
    }

    fn keep_pending(&mut self, key: &Key, host: &str, given: Vec<IpAddr>) {
        if given.is_empty() {
            self.starved.insert(key.clone());
            return;
        }
        self.pending.entry(key.clone()).or_default().insert(host.to_owned(), given);
    }

    fn pool(&mut self, address: &IpAddr) -> &mut Pool {
        match address {
            IpAddr::V4(_) => &mut self.v4,
            IpAddr::V6(_) => &mut self.v6,
        }
    }
}

#[cfg(test)]
mod tests;
