//! Addresses for ServiceEntries that have none: each host gets one of each family, in the entry's status.

mod claims;
mod entry;
mod plan;
mod pool;

use std::collections::BTreeMap;

use config::Kind;
use ipnet::{Ipv4Net, Ipv6Net};
use kube::Client;
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use kube::runtime::watcher;
use serde_json::{Value, json};

use crate::mirror::{Key, Mirror};
use crate::namespaces::{Namespaces, Scope};
use crate::objects;
use crate::queue::{Outcome, Queue};
use entry::{Allocated, Entry};
use plan::Addresses;

/// Where addresses are taken from, and for whom.
#[derive(Debug, Clone)]
pub struct Options {
    /// `PILOT_IP_AUTOALLOCATE_IPV4_PREFIX`: given out from the address after its own, to the end of the network.
    pub v4: Ipv4Net,
    /// `PILOT_IP_AUTOALLOCATE_IPV6_PREFIX`, likewise.
    pub v6: Ipv6Net,
    /// Which namespaces' entries get addresses.
    pub scope: Scope,
}

/// A prefix that is none.
#[derive(Debug, thiserror::Error)]
#[error("{switch}={text}: {why}; write a network such as {example}")]
pub struct BadPrefix {
    switch: &'static str,
    text: String,
    why: ipnet::AddrParseError,
    example: &'static str,
}

impl Options {
    /// From the texts of the two switches, by default `240.240.0.0/16` and `2001:2::/48`.
    ///
    /// # Errors
    /// When one of them is no network of its family.
    pub fn new(v4: &str, v6: &str, scope: Scope) -> Result<Self, BadPrefix> {
        let bad =
            |switch, text: &str, why, example| BadPrefix { switch, text: text.to_owned(), why, example };
        let v4 =
            v4.parse().map_err(|why| bad("PILOT_IP_AUTOALLOCATE_IPV4_PREFIX", v4, why, "240.240.0.0/16"))?;
        let v6 =
            v6.parse().map_err(|why| bad("PILOT_IP_AUTOALLOCATE_IPV6_PREFIX", v6, why, "2001:2::/48"))?;
        Ok(Self { v4, v6, scope })
    }
}

/// Writes `status.addresses` of ServiceEntries (as pilot/pkg/controllers/ipallocate). Runs under
/// [`crate::leader::Work::IP_AUTOALLOCATE`].
///
/// What stands in a status is kept, whoever wrote it. If two entries have one address, the older keeps it; an address that
/// an author wrote into an entry is taken from all others.
pub struct IpAllocator {
    client: Client,
    namespaces: Namespaces,
    entries: Mirror<DynamicObject, Entry>,
    addresses: Addresses,
    /// The version of each entry that was written to and whose next version has not been seen.
    written: BTreeMap<Key, String>,
    queue: Queue<Key>,
}

impl IpAllocator {
    /// An allocator that has seen nothing yet.
    #[must_use]
    pub fn new(client: Client, options: Options) -> Self {
        let api = objects::api(&client, Kind::ServiceEntry, options.scope.only.as_deref());
        let all = watcher::Config::default();
        Self {
            entries: Mirror::new("ServiceEntries", api, all, |object| Entry::of(&object)),
            namespaces: Namespaces::new(&client, options.scope),
            addresses: Addresses::new(options.v4, options.v6),
            written: BTreeMap::new(),
            queue: Queue::new("allocating addresses of ServiceEntry"),
            client,
        }
    }

    /// Runs until it is dropped. Trouble with the cluster is logged and tried again.
    pub async fn run(mut self) {
        loop {
            // nothing is given out before all that is taken is known
            let synced = self.entries.synced() && self.namespaces.synced();
            tokio::select! {
                keys = self.entries.changed() => self.observe(keys),
                names = self.namespaces.changed() => self.add_all_of(&names),
                key = self.queue.next(), if synced => {
                    if let Some((version, addresses)) = self.due(&key) {
                        let api = objects::api(&self.client, Kind::ServiceEntry, Some(&key.namespace));
                        let work = write(api, key.clone(), version.clone(), addresses);
                        if self.queue.work(key.clone(), work).await {
                            self.written.insert(key, version);
                        }
                    }
                }
            }
        }
    }

    fn observe(&mut self, keys: Vec<Key>) {
        for key in keys {
            let entry = self.entries.get(&key);
            if self
                .written
                .get(&key)
                .is_some_and(|version| entry.is_none_or(|entry| entry.version != *version))
            {
                self.written.remove(&key);
            }
            let others = self.addresses.observe(&key, entry);
            others.into_iter().for_each(|other| self.queue.add(other));
            self.queue.add(key);
        }
    }

    fn add_all_of(&mut self, namespaces: &[String]) {
        let keys = self.entries.iter().map(|(key, _)| key).filter(|key| namespaces.contains(&key.namespace));
        keys.for_each(|key| self.queue.add(key.clone()));
    }

    /// The version of an entry, and the addresses it should have instead of those it has.
    fn due(&mut self, key: &Key) -> Option<(String, Vec<Allocated>)> {
        let entry = self.entries.get(key).filter(|_| self.namespaces.is_selected(&key.namespace))?;
        // what was written on this version is on its way here
        if self.written.get(key) == Some(&entry.version) {
            return None;
        }
        Some((entry.version.clone(), self.addresses.plan(key, entry)?))
    }
}

/// Writes addresses into the status of one version of an entry, and leaves the rest of it.
async fn write(api: Api<DynamicObject>, key: Key, version: String, addresses: Vec<Allocated>) -> Outcome {
    let address = |address: &Allocated| json!({"value": address.value, "host": address.host});
    let addresses: Vec<Value> = addresses.iter().map(address).collect();
    let patch = json!({"metadata": {"resourceVersion": version}, "status": {"addresses": addresses}});
    match api.patch_status(&key.name, &PatchParams::default(), &Patch::Merge(patch)).await {
        Ok(_) => Ok(1),
        // gone, or edited since: the watch tells of it
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(1),
        Err(error) => Err(error.into()),
    }
}
