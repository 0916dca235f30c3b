//! What every workload must trust, in every namespace: the ConfigMaps of the mesh's roots and of revoked certificates.

mod published;

use std::collections::BTreeMap;

use config::labels::any_selector_matches;
use config::mesh::LabelSelector;
use k8s_openapi::api::core::v1::Namespace;
use kube::Client;
use kube::api::Api;
use kube::core::PartialObjectMeta;
use kube::runtime::watcher;
use tokio::sync::watch;

use crate::mirror::{Key, Mirror};
use crate::news;
use crate::queue::{Outcome, Queue};
use published::{Changed, Published, Write};

/// Namespaces of Kubernetes itself where no workload runs (as namespacecontroller.go: `ignoredNamespaces`; kube-system is
/// none of them, for a ztunnel may run there).
const IGNORED: [&str; 3] = ["kube-public", "kube-node-lease", "local-path-storage"];

/// Under which names, and for whom.
#[derive(Debug, Clone)]
pub struct Options {
    /// The ConfigMap of the roots: `PILOT_CA_CERT_CONFIGMAP`.
    pub roots_name: String,
    /// The ConfigMap of revoked certificates: `PILOT_CRL_CONFIGMAP`.
    pub crl_name: String,
    /// The one namespace to look at, if it is not all: `ISTIO_WATCH_NAMESPACE`.
    pub only_namespace: Option<String>,
    /// MeshConfig's `discoverySelectors`; a namespace they do not select is left alone, with what it has.
    pub selectors: watch::Receiver<Vec<LabelSelector>>,
}

impl Options {
    /// Upstream's names, in every namespace that `selectors` select.
    #[must_use]
    pub fn new(selectors: watch::Receiver<Vec<LabelSelector>>) -> Self {
        Self {
            roots_name: "istio-ca-root-cert".to_owned(),
            crl_name: "istio-ca-crl".to_owned(),
            only_namespace: None,
            selectors,
        }
    }
}

/// Writes the bundle into every namespace, whenever something else stands there
/// (as pilot/pkg/serviceregistry/kube/controller/namespacecontroller.go). Runs under [`crate::leader::Work::NAMESPACES`].
pub struct CaBundle {
    selectors: watch::Receiver<Vec<LabelSelector>>,
    namespaces: Mirror<PartialObjectMeta<Namespace>, Seen>,
    roots: Published,
    crl: Option<Published>,
    queue: Queue<Key>,
}

/// A namespace, as far as it matters.
struct Seen {
    labels: BTreeMap<String, String>,
    /// Nothing can be made in it any more.
    ends: bool,
}

impl CaBundle {
    /// `roots` are certificates as PEM, of which nothing is written while they are empty; `crl` is what they revoked, as
    /// PEM and perhaps empty, or `None` where `PILOT_ENABLE_CA_CRL` is off.
    #[must_use]
    pub fn new(
        client: &Client,
        options: Options,
        roots: watch::Receiver<String>,
        crl: Option<watch::Receiver<String>>,
    ) -> Self {
        let only = match &options.only_namespace {
            Some(name) => watcher::Config::default().fields(&format!("metadata.name={name}")),
            None => watcher::Config::default(),
        };
        let seen = |namespace: PartialObjectMeta<Namespace>| Seen {
            labels: namespace.metadata.labels.unwrap_or_default(),
            ends: namespace.metadata.deletion_timestamp.is_some(),
        };
        let place = options.only_namespace.as_deref();
        Self {
            namespaces: Mirror::new("namespaces", Api::all(client.clone()), only, seen),
            roots: Published::roots(client, place, options.roots_name, roots),
            crl: crl.map(|crl| Published::crl(client, place, options.crl_name, crl)),
            selectors: options.selectors,
            queue: Queue::new("writing the CA bundle into namespace"),
        }
    }

    /// Runs until it is dropped. Trouble with the cluster is logged and tried again.
    pub async fn run(mut self) {
        loop {
            let crl_synced = self.crl.as_ref().is_none_or(Published::synced);
            let synced = self.namespaces.synced() && self.roots.synced() && crl_synced;
            tokio::select! {
                changed = self.namespaces.changed() => changed.into_iter().for_each(|key| self.queue.add(key)),
                changed = self.roots.changed() => self.add(changed),
                changed = changed(&mut self.crl) => self.add(changed),
                () = news(&mut self.selectors) => self.add(Changed::Everywhere),
                key = self.queue.next(), if synced => {
                    let work = write(self.due(&key));
                    self.queue.work(key, work).await;
                }
            }
        }
    }

    /// What has to be written into a namespace.
    fn due(&self, namespace: &Key) -> Vec<Write> {
        if !self.is_served(namespace) {
            return Vec::new();
        }
        let all = [Some(&self.roots), self.crl.as_ref()];
        all.into_iter().flatten().filter_map(|published| published.due(&namespace.name)).collect()
    }

    fn add(&mut self, changed: Changed) {
        match changed {
            Changed::In(names) => names.iter().for_each(|name| self.queue.add(Key::new("", name))),
            Changed::Everywhere => self.namespaces.iter().for_each(|(key, _)| self.queue.add(key.clone())),
        }
    }

    /// Whether a namespace gets the bundle.
    fn is_served(&self, namespace: &Key) -> bool {
        let Some(seen) = self.namespaces.get(namespace) else { return false };
        !seen.ends
            && !IGNORED.contains(&namespace.name.as_str())
            && any_selector_matches(&self.selectors.borrow(), &seen.labels)
    }
}

/// What changed of something that may be switched off.
async fn changed(published: &mut Option<Published>) -> Changed {
    match published {
        Some(published) => published.changed().await,
        None => std::future::pending().await,
    }
}

async fn write(due: Vec<Write>) -> Outcome {
    let mut writes = 0;
    for write in due {
        writes += write.make().await?;
    }
    Ok(writes)
}
