//! The addresses of one prefix, given out one after another.

use std::collections::{BTreeSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// A prefix, and where to look next (as ipallocate.go: `prefixUse`).
#[derive(Debug)]
pub(super) struct Pool {
    prefix: IpNet,
    first: IpAddr,
    next: IpAddr,
    /// What was given out and is free again, oldest first. Somebody may remember it, so it is used when nothing else is
    /// left.
    retired: VecDeque<IpAddr>,
    is_retired: BTreeSet<IpAddr>,
}

impl Pool {
    /// `prefix` begins at its address, which itself is not given out.
    pub(super) fn new(prefix: IpNet) -> Self {
        let first = after(prefix.addr()).filter(|ip| prefix.contains(ip)).unwrap_or(prefix.addr());
        Self { prefix, first, next: first, retired: VecDeque::new(), is_retired: BTreeSet::new() }
    }

    pub(super) fn contains(&self, address: &IpAddr) -> bool {
        self.prefix.contains(address)
    }

    /// An address that is not `taken`; nothing when all are. It is for the caller to see that the next call finds it taken.
    pub(super) fn allocate(&mut self, taken: impl Fn(&IpAddr) -> bool) -> Option<IpAddr> {
        let start = self.next;
        let mut candidate = start;
        loop {
            let next = after(candidate).filter(|ip| self.contains(ip)).unwrap_or(self.first);
            if !taken(&candidate) && !self.is_retired.contains(&candidate) {
                self.next = next;
                return Some(candidate);
            }
            candidate = next;
            if candidate == start {
                break;
            }
        }
        while let Some(address) = self.retired.pop_front() {
            self.is_retired.remove(&address);
            if !taken(&address) {
                return Some(address);
            }
        }
        None
    }

    /// Puts an address aside that nobody has any more.
    pub(super) fn retire(&mut self, address: IpAddr) {
        if self.contains(&address) && self.is_retired.insert(address) {
            self.retired.push_back(address);
        }
    }
}

fn after(address: IpAddr) -> Option<IpAddr> {
    match address {
        IpAddr::V4(ip) => u32::from(ip).checked_add(1).map(|ip| Ipv4Addr::from(ip).into()),
        IpAddr::V6(ip) => u128::from(ip).checked_add(1).map(|ip| Ipv6Addr::from(ip).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_given_out_in_order_around_what_is_taken_and_the_freed_ones_last() {
        let mut pool = Pool::new("10.0.0.0/29".parse().unwrap());
        let mut taken: BTreeSet<IpAddr> = BTreeSet::from(["10.0.0.2".parse().unwrap()]);
        let mut given = Vec::new();
        while let Some(address) = pool.allocate(|ip| taken.contains(ip)) {
            taken.insert(address);
            given.push(address.to_string());
            if given.len() == 2 {
                // both of no use any more; they come again at the very end
                for free in ["10.0.0.3", "10.0.0.1"] {
                    let free = free.parse().unwrap();
                    taken.remove(&free);
                    pool.retire(free);
                }
            }
        }
        let last = |n: u8| format!("10.0.0.{n}");
        assert_eq!(given, [1, 3, 4, 5, 6, 7, 3, 1].map(last));
    }

    #[test]
    fn the_smallest_and_the_last_prefix_end() {
        let mut one = Pool::new("255.255.255.255/32".parse().unwrap());
        assert_eq!(one.allocate(|_| false), Some("255.255.255.255".parse().unwrap()));
        assert_eq!(one.allocate(|_| true), None);
        let mut wide = Pool::new("2001:2::/48".parse().unwrap());
        assert_eq!(wide.allocate(|_| false), Some("2001:2::1".parse().unwrap()));
    }
}
