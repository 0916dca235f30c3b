//! What one proxy was told, judged response by response.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use generate::TypeName;
use prost::Message as _;
use proto::envoy::config::cluster::v3::Cluster;
use proto::envoy::config::endpoint::v3::ClusterLoadAssignment;
use proto::envoy::config::route::v3::RouteConfiguration;
use xds::TypeUrl;

use super::Ledger;
use super::numbered;
use super::objects::Object;
use crate::scripted::Scripted;
use crate::simulation::references;

#[cfg(test)]
mod tests;

/// How many wrong pushes are told; a control plane that is wrong once is mostly wrong often.
const MOST: usize = 20;

/// What a proxy holds of each object, and what was wrong on the way there.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// The number that was said last.
    pub(super) numbers: BTreeMap<Object, u64>,
    /// Objects that this connection has said something of, and how many connections ended before it.
    told: BTreeSet<Object>,
    ended: usize,
    /// Resources that were looked at, with their versions and what they are about.
    known: BTreeMap<(TypeUrl, String), (String, Vec<Object>)>,
    /// What was told and must not have been.
    pub(super) wrong: Vec<String>,
    /// Changes of numbers that were seen.
    pub(super) changes: usize,
    /// Everything was there once; from then on nothing may be missing.
    complete: bool,
}

impl Seen {
    /// Looks at what the proxy holds now.
    pub(super) fn look(&mut self, proxy: &Scripted, ledger: &Ledger) {
        if std::mem::replace(&mut self.ended, proxy.disconnects().len()) != proxy.disconnects().len() {
            // another replica may be behind the one before by a moment
            self.told.clear();
        }
        let mut there = BTreeSet::new();
        for type_url in [TypeUrl::Cluster, TypeUrl::Endpoint, TypeUrl::Route] {
            for (name, held) in proxy.held(&type_url) {
                let key = (type_url.clone(), name.to_owned());
                if let Some((_, objects)) = self.known.get(&key).filter(|(known, _)| *known == held.version) {
                    there.extend(objects);
                    continue;
                }
                let said = said(&type_url, name, &held.body, ledger);
                let objects: Vec<Object> = said.iter().map(|(object, _)| *object).collect();
                there.extend(&objects);
                self.known.insert(key, (held.version.clone(), objects));
                for (object, numbers) in said {
                    self.judge(object, &numbers, ledger);
                }
            }
        }
        let expected: BTreeSet<Object> = ledger.lock().keys().copied().collect();
        if self.complete {
            for missing in expected.difference(&there) {
                self.tell(format!("{missing:?} stands, and the proxy has lost it"));
            }
        } else {
            self.complete = expected == there;
        }
        self.close(proxy);
    }

    /// A number must have been written, must be one, and must not be older than what the same connection has told.
    fn judge(&mut self, object: Object, numbers: &[u64], ledger: &Ledger) {
        let Some(number) =
            numbers.first().copied().filter(|first| numbers.len() >= 2 && numbers.iter().all(|n| n == first))
        else {
            // a cluster is there before its rule, a route before its VirtualService: only what says two numbers is torn
            return self.tell(format!("{object:?} says {numbers:?}"));
        };
        let history = ledger.lock().get(&object).cloned().unwrap_or_default();
        if !history.sent.contains(&number) {
            self.tell(format!("{object:?} says {number}, which nobody wrote"));
        }
        let first = self.told.insert(object);
        let before = self.numbers.insert(object, number).filter(|_| !first);
        self.changes += 1;
        if before.is_some_and(|before| number < before) && history.restored != Some(number) {
            self.tell(format!("{object:?} went back from {before:?} to {number}"));
        }
    }

    /// What is in use mentions nothing that is not there.
    fn close(&mut self, proxy: &Scripted) {
        let clusters = proxy.held(&TypeUrl::Cluster);
        for (type_url, of) in [(TypeUrl::Listener, TypeName::Listener), (TypeUrl::Route, TypeName::Route)] {
            for (name, held) in proxy.held(&type_url) {
                let resource = xds::Resource::new(name, held.body.clone());
                match references::of(of, &resource) {
                    Ok(found) => {
                        for missing in found.clusters.iter().filter(|to| !clusters.contains_key(&***to)) {
                            self.tell(format!(
                                "{of:?} {name} mentions the cluster {missing}, which is not there"
                            ));
                        }
                    }
                    Err(unreadable) => self.tell(unreadable),
                }
            }
        }
    }

    fn tell(&mut self, wrong: String) {
        if self.wrong.len() < MOST {
            self.wrong.push(wrong);
        }
    }

    /// What stands and was not told, with the numbers of both.
    pub(super) fn behind(&self, ledger: &Ledger) -> Vec<String> {
        let histories = ledger.lock();
        let differs =
            histories.iter().filter(|(object, history)| self.numbers.get(object) != Some(&history.stands));
        differs
            .map(|(object, history)| {
                format!("{object:?}: {:?}, not {}", self.numbers.get(object), history.stands)
            })
            .collect()
    }
}

/// What a resource says of objects in the ledger.
fn said(type_url: &TypeUrl, name: &str, body: &Bytes, ledger: &Ledger) -> Vec<(Object, Vec<u64>)> {
    let bytes = body.clone();
    let histories = ledger.lock();
    let known = |(named, numbers)| Some((*histories.keys().find(|object| object.is(named))?, numbers));
    match type_url {
        TypeUrl::Cluster => {
            let cluster = Cluster::decode(bytes).ok();
            cluster
                .and_then(|cluster| numbered::cluster(name, &cluster).and_then(known))
                .into_iter()
                .collect()
        }
        TypeUrl::Endpoint => {
            let assignment = ClusterLoadAssignment::decode(bytes).ok();
            assignment.and_then(|of| numbered::endpoints(name, &of).and_then(known)).into_iter().collect()
        }
        _ => {
            let routes = RouteConfiguration::decode(bytes).unwrap_or_default();
            numbered::routes(&routes).into_iter().filter_map(known).collect()
        }
    }
}
