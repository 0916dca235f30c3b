//! The names the agent answers for, worked out once per name table so that a question is one or two map look-ups.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use proto::istio::networking::nds::v1::NameTable;
use proto::istio::networking::nds::v1::name_table::NameInfo;

/// What the proxy's own place contributes to the names.
#[derive(Clone, Debug, Default)]
pub struct Naming {
    namespace: String,
    /// Domain of the cluster without the namespace, e.g. `svc.cluster.local`.
    domain: String,
    /// The first search domain of the machine, if any, with a final dot.
    search: Option<String>,
}

impl Naming {
    /// `namespace` of the proxy, its DNS `domain` (`ns.svc.cluster.local`) and the machine's search domains.
    #[must_use]
    pub fn new(namespace: &str, domain: &str, search: &[String]) -> Self {
        let domain = match domain.split_once('.') {
            Some((first, rest)) if first == namespace => rest,
            _ => domain,
        };
        let search = search.first().map(|first| {
            let first = first.to_ascii_lowercase();
            if first.ends_with('.') { first } else { first + "." }
        });
        Self { namespace: namespace.to_owned(), domain: domain.to_owned(), search }
    }
}

#[derive(Debug, Default)]
struct Addresses {
    v4: Vec<Ipv4Addr>,
    v6: Vec<Ipv6Addr>,
}

/// What a question finds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lookup {
    /// The name in the table that the question goes on to, when it was asked by way of the search domain.
    pub alias_of: Option<String>,
    /// The addresses of the family that was asked for; none means the name exists without such an address.
    pub addresses: Vec<IpAddr>,
}

/// The families that can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// `A`
    V4,
    /// `AAAA`
    V6,
}

/// Every name and alias of one name table.
#[derive(Debug, Default)]
pub struct LookupTable {
    hosts: HashMap<String, Arc<Addresses>>,
    aliases: HashMap<String, String>,
}

impl LookupTable {
    /// Works the names out, as pkg/dns/client/dns.go: UpdateLookupTable.
    #[must_use]
    pub fn new(names: &NameTable, naming: &Naming) -> Self {
        let mut out = Self::default();
        for (host, info) in &names.table {
            let addresses = addresses_of(info);
            if addresses.v4.is_empty() && addresses.v6.is_empty() {
                continue;
            }
            out.add(&spellings(host, info, naming), &Arc::new(addresses), naming);
        }
        out
    }

    fn add(&mut self, spellings: &BTreeSet<String>, addresses: &Arc<Addresses>, naming: &Naming) {
        for name in spellings {
            self.hosts.insert(name.clone(), Arc::clone(addresses));
            // Resolvers append the search domain to names with few dots; answering that with an alias at once spares
            // the walk through all search domains.
            let Some(search) = &naming.search else { continue };
            if !name.ends_with(search.as_str()) {
                let expanded = format!("{name}{search}");
                if !spellings.contains(&expanded) {
                    self.aliases.insert(expanded, name.clone());
                }
            }
        }
    }

    /// The number of names, without aliases.
    #[must_use]
    pub fn len(&self) -> usize {
        self.hosts.len()
    }

    /// Whether there is no name at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.hosts.is_empty()
    }

    /// Looks a lower-case name with a final dot up, falling back to wildcards, longest first.
    /// `None` means that somebody else may know. As pkg/dns/client/dns.go: lookupHost.
    #[must_use]
    pub fn lookup(&self, name: &str, family: Family) -> Option<Lookup> {
        if let Some(found) = self.exact(name, family) {
            return Some(found);
        }
        let mut rest = name;
        while let Some((_, parent)) = rest.split_once('.') {
            if parent.is_empty() {
                break;
            }
            if let Some(found) = self.exact(&format!("*.{parent}"), family) {
                return Some(found);
            }
            rest = parent;
        }
        None
    }

    fn exact(&self, name: &str, family: Family) -> Option<Lookup> {
        // An alias comes first, as its target does for the same name upstream.
        let (alias_of, target) = match self.aliases.get(name) {
            Some(target) => (Some(target.clone()), target.as_str()),
            None => (None, name),
        };
        let found = self.hosts.get(target)?;
        let addresses = match family {
            Family::V4 => found.v4.iter().copied().map(IpAddr::V4).collect(),
            Family::V6 => found.v6.iter().copied().map(IpAddr::V6).collect(),
        };
        Some(Lookup { alias_of, addresses })
    }
}

fn addresses_of(info: &NameInfo) -> Addresses {
    let mut out = Addresses::default();
    for ip in &info.ips {
        match ip.parse() {
            Ok(IpAddr::V4(ip)) => out.v4.push(ip),
            Ok(IpAddr::V6(ip)) => out.v6.push(ip),
            Err(_) => {}
        }
    }
    out
}

/// Every way to write a host: those of Kubernetes also by their short forms. As pkg/dns/client/dns.go: generateAltHosts.
pub(super) fn spellings(host: &str, info: &NameInfo, naming: &Naming) -> BTreeSet<String> {
    let mut out = BTreeSet::new();
    let mut add = |name: String| {
        out.insert(name.to_ascii_lowercase());
    };
    if info.registry != "Kubernetes" {
        add(if host.ends_with('.') { host.to_owned() } else { format!("{host}.") });
        return out;
    }
    if host.ends_with('.') {
        return out;
    }
    add(format!("{host}."));
    if naming.domain.is_empty() || !host.ends_with(&naming.domain) {
        return out;
    }
    let (short, namespace) = (&info.shortname, &info.namespace);
    add(format!("{short}.{namespace}."));
    if naming.namespace == *namespace {
        add(format!("{short}."));
    }
    let first = naming.domain.split('.').next().unwrap_or_default();
    add(format!("{short}.{namespace}.{first}."));
    out
}

#[cfg(test)]
mod tests;
