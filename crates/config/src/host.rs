//! Host names as users write them: short names, wildcards, which one is the more specific, and fast lookup.

mod name;

pub use name::Host;

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::labels::is_dns_label;

/// Whether a host stands for many: it begins with `*`.
pub fn is_wildcard(host: &str) -> bool {
    host.starts_with('*')
}

/// What every host of a wildcard ends with.
fn suffix(wildcard: &str) -> &str {
    wildcard.strip_prefix('*').unwrap_or(wildcard)
}

/// Whether the sets of names two hosts stand for have a name in common (one may be `*.example.com`).
///
/// As `pkg/config/host/name.go: Matches`.
pub fn matches(a: &str, b: &str) -> bool {
    match (is_wildcard(a), is_wildcard(b)) {
        (true, true) => suffix(a).ends_with(suffix(b)) || suffix(b).ends_with(suffix(a)),
        (true, false) => b.ends_with(suffix(a)),
        (false, true) => a.ends_with(suffix(b)),
        (false, false) => a == b,
    }
}

/// Whether every name `a` stands for is one that `b` stands for.
///
/// As `pkg/config/host/name.go: SubsetOf`.
pub fn subset_of(a: &str, b: &str) -> bool {
    match (is_wildcard(a), is_wildcard(b)) {
        (true, true) => suffix(a).ends_with(suffix(b)),
        (true, false) => false,
        (false, true) => a.ends_with(suffix(b)),
        (false, false) => a == b,
    }
}

/// The order in which hosts are tried: names before wildcards, longer before shorter, then by alphabet.
///
/// As `pkg/config/host/names.go: MoreSpecific`.
pub fn by_specificity(a: &str, b: &str) -> Ordering {
    let key = |host: &str| (is_wildcard(host), std::cmp::Reverse(host.len()));
    key(a).cmp(&key(b)).then_with(|| a.cmp(b))
}

/// Whether `a` is tried before `b`.
pub fn more_specific(a: &str, b: &str) -> bool {
    by_specificity(a, b).is_lt()
}

/// The full name a short one stands for in an object of `namespace`; `domain` is that of the cluster.
///
/// Names with a dot, `*` and addresses stay as they are. As `pilot/pkg/model: ResolveShortnameToFQDN`.
pub fn resolve(host: &str, namespace: &str, domain: &str) -> String {
    if host.is_empty() || host == "*" || host.contains('.') || host.parse::<IpAddr>().is_ok() {
        return host.to_owned();
    }
    let mut full = host.to_owned();
    if !namespace.is_empty() {
        full.push('.');
        full.push_str(namespace);
    }
    if !domain.is_empty() {
        full.push_str(".svc.");
        full.push_str(domain);
    }
    full
}

/// The domain of the names that services have in all clusters (as pkg/config/constants:
/// `DefaultClusterSetLocalDomain`).
pub const CLUSTER_SET: &str = "clusterset.local";

/// The full name of a service of Kubernetes.
pub fn service(name: &str, namespace: &str, domain: &str) -> String {
    format!("{name}.{namespace}.svc.{domain}")
}

/// The parts of an entry `namespace/host`; the namespace of an entry without one is `None`.
pub fn namespaced(entry: &str) -> (Option<&str>, &str) {
    match entry.split_once('/') {
        Some((namespace, host)) => (Some(namespace), host),
        None => (None, entry),
    }
}

/// The hosts of entries `namespace/host` that hold for a namespace; entries without one hold for every one.
///
/// As `pkg/config/host/names.go: NamesForNamespace`.
pub fn in_namespace<'a>(entries: &'a [String], namespace: &str) -> Vec<&'a str> {
    entries
        .iter()
        .map(|entry| namespaced(entry))
        .filter(|(ns, _)| ns.is_none_or(|ns| ns == "*" || ns == namespace))
        .map(|(_, host)| host)
        .collect()
}

/// The hosts two lists have in common, of every matching pair the narrower one, without repetition.
///
/// As `pkg/config/host/names.go: Intersection`.
pub fn intersection<'a>(a: &[&'a str], b: &[&'a str]) -> Vec<&'a str> {
    let mut out = Vec::new();
    for x in a {
        for y in b {
            let narrower = if subset_of(x, y) {
                x
            } else if subset_of(y, x) {
                y
            } else {
                continue;
            };
            if !out.contains(narrower) {
                out.push(*narrower);
            }
        }
    }
    out
}

/// Whether it is a name as DNS takes it: labels between dots, at most 255 long; a dot may end it.
///
/// As `pkg/config/validation/agent: ValidateFQDN`.
pub fn is_name(host: &str) -> bool {
    let bare = host.strip_suffix('.').unwrap_or(host);
    !bare.is_empty() && host.len() <= 255 && bare.split('.').all(is_dns_label)
}

/// Whether it is a name, or one whose first label begins with `*` or `*-` or is `*`.
///
/// As `pkg/config/validation/agent: ValidateWildcardDomain`.
pub fn is_name_or_wildcard(host: &str) -> bool {
    let Some(rest) = host.strip_prefix('*') else { return is_name(host) };
    let rest =
        rest.strip_prefix('-').filter(|rest| !rest.is_empty() && !rest.starts_with('.')).unwrap_or(rest);
    match rest.strip_prefix('.') {
        Some(parent) => is_name(parent) && host.len() <= 255,
        None => rest.is_empty() || (is_name(rest) && host.len() <= 255),
    }
}

/// Values by host; finding the most specific one for a name costs a few look-ups, not a walk over all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostMap<V> {
    names: BTreeMap<String, V>,
    wildcards: BTreeMap<String, V>,
    /// The lengths of the wildcards, so that only ends of these lengths are looked up.
    lengths: BTreeSet<usize>,
}

impl<V> Default for HostMap<V> {
    fn default() -> Self {
        Self { names: BTreeMap::new(), wildcards: BTreeMap::new(), lengths: BTreeSet::new() }
    }
}

impl<V> HostMap<V> {
    /// Sets the value of a host; gives back the one it had.
    pub fn insert(&mut self, host: &str, value: V) -> Option<V> {
        if is_wildcard(host) {
            self.lengths.insert(host.len());
            self.wildcards.insert(host.to_owned(), value)
        } else {
            self.names.insert(host.to_owned(), value)
        }
    }

    /// The value of exactly this host.
    pub fn get(&self, host: &str) -> Option<&V> {
        self.side(host).get(host)
    }

    /// The value of exactly this host, to be changed.
    pub fn get_mut(&mut self, host: &str) -> Option<&mut V> {
        if is_wildcard(host) { self.wildcards.get_mut(host) } else { self.names.get_mut(host) }
    }

    /// The value of exactly this host, made if it is missing.
    pub fn entry(&mut self, host: &str) -> &mut V
    where
        V: Default,
    {
        let side = if is_wildcard(host) {
            self.lengths.insert(host.len());
            &mut self.wildcards
        } else {
            &mut self.names
        };
        side.entry(host.to_owned()).or_default()
    }

    fn side(&self, host: &str) -> &BTreeMap<String, V> {
        if is_wildcard(host) { &self.wildcards } else { &self.names }
    }

    /// The most specific host that covers all of `host`, and its value.
    ///
    /// As `pilot/pkg/model/config.go: MostSpecificHostMatch`.
    pub fn most_specific<'m>(&'m self, host: &str) -> Option<(&'m str, &'m V)> {
        self.covering(host).next()
    }

    /// Every host that covers all of `host`, the most specific one first.
    pub fn covering<'m>(&'m self, host: &str) -> impl Iterator<Item = (&'m str, &'m V)> {
        let name = (!is_wildcard(host)).then(|| self.names.get_key_value(host)).flatten();
        let end = suffix(host);
        // a wildcard is its end and one byte more
        let longest = end.len() + 1;
        let wildcards = self.lengths.range(..=longest).rev().filter_map(move |length| {
            let end = end.get(end.len() + 1 - length..)?;
            self.wildcards.get_key_value(format!("*{end}").as_str())
        });
        name.into_iter().chain(wildcards).map(|(host, value)| (host.as_str(), value))
    }

    /// Every host and its value: names first, then wildcards, each by alphabet.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &V)> {
        self.names.iter().chain(&self.wildcards).map(|(host, value)| (host.as_str(), value))
    }

    /// How many hosts there are.
    pub fn len(&self) -> usize {
        self.names.len() + self.wildcards.len()
    }

    /// Whether there is no host.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests;
