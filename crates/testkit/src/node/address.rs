//! Addresses of a node's pods: each is given once around before it is given again.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

/// The addresses of one node.
#[derive(Debug)]
pub(super) struct Addresses {
    network: Ipv4Net,
    last: usize,
}

impl Addresses {
    /// All but the first one, which is the node's.
    pub(super) fn of(network: Ipv4Net) -> Self {
        Self { network, last: 0 }
    }

    /// The next one that nobody has; `None` when all are taken.
    pub(super) fn next(&mut self, taken: &BTreeSet<Ipv4Addr>) -> Option<Ipv4Addr> {
        let (first, last) = (1, self.last);
        let after = self.network.hosts().enumerate().skip(last + 1);
        let before = self.network.hosts().enumerate().take(last + 1).skip(first);
        let (at, free) = after.chain(before).find(|(_, address)| !taken.contains(address))?;
        self.last = at;
        Some(free)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_given_again_only_after_all_others_and_never_while_it_is_taken() {
        let mut addresses = Addresses::of("10.244.0.0/29".parse().unwrap());
        let last = |address: Option<Ipv4Addr>| address.map(|address| address.octets()[3]);
        let nobody = BTreeSet::new();
        let given: Vec<_> = (0..6).map(|_| last(addresses.next(&nobody))).collect();
        assert_eq!(given, [2, 3, 4, 5, 6, 2].map(Some));
        let all_but_one: BTreeSet<Ipv4Addr> =
            [2, 3, 5, 6].into_iter().map(|n| Ipv4Addr::new(10, 244, 0, n)).collect();
        assert_eq!(last(addresses.next(&all_but_one)), Some(4));
        assert_eq!(last(addresses.next(&all_but_one)), Some(4), "it was not taken after all");
        let full: BTreeSet<Ipv4Addr> = (2..=6).map(|n| Ipv4Addr::new(10, 244, 0, n)).collect();
        assert_eq!(addresses.next(&full), None);
    }
}
