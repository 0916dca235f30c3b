//! The namespaces of a cluster, and which of them the mesh looks at.

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

/// Which namespaces a controller looks at.
#[derive(Debug, Clone)]
pub struct Scope {
    /// The only one, if it is not all: `ISTIO_WATCH_NAMESPACE`.
    pub only: Option<String>,
    /// MeshConfig's `discoverySelectors`; what they do not select is left alone, with what it has.
    pub selectors: watch::Receiver<Vec<LabelSelector>>,
}

impl Scope {
    /// All namespaces that `selectors` select.
    #[must_use]
    pub fn selected(selectors: watch::Receiver<Vec<LabelSelector>>) -> Self {
        Self { only: None, selectors }
    }
}

/// The namespaces, as they change.
pub(crate) struct Namespaces {
    mirror: Mirror<PartialObjectMeta<Namespace>, Seen>,
    selectors: watch::Receiver<Vec<LabelSelector>>,
}

struct Seen {
    labels: config::Labels,
    /// Nothing can be made in it any more.
    ends: bool,
}

impl Namespaces {
    pub(crate) fn new(client: &Client, scope: Scope) -> Self {
        let only = match &scope.only {
            Some(name) => watcher::Config::default().fields(&format!("metadata.name={name}")),
            None => watcher::Config::default(),
        };
        let seen = |namespace: PartialObjectMeta<Namespace>| Seen {
            labels: namespace.metadata.labels.unwrap_or_default().into_iter().collect(),
            ends: namespace.metadata.deletion_timestamp.is_some(),
        };
        let mirror = Mirror::new("namespaces", Api::all(client.clone()), only, seen);
        Self { mirror, selectors: scope.selectors }
    }

    /// Whether all that were there at the start have been seen.
    pub(crate) fn synced(&self) -> bool {
        self.mirror.synced()
    }

    /// Waits for a change, and gives the names of namespaces that may be in or out since. May be dropped and called again.
    pub(crate) async fn changed(&mut self) -> Vec<String> {
        tokio::select! {
            keys = self.mirror.changed() => keys.into_iter().map(|key| key.name).collect(),
            () = news(&mut self.selectors) => self.names(),
        }
    }

    /// All of them.
    pub(crate) fn names(&self) -> Vec<String> {
        self.mirror.iter().map(|(key, _)| key.name.clone()).collect()
    }

    /// Whether the mesh looks at it.
    pub(crate) fn is_selected(&self, name: &str) -> bool {
        let seen = self.mirror.get(&Key::new("", name));
        seen.is_some_and(|seen| any_selector_matches(&self.selectors.borrow(), &seen.labels))
    }

    /// Whether it is being deleted.
    pub(crate) fn ends(&self, name: &str) -> bool {
        self.mirror.get(&Key::new("", name)).is_some_and(|seen| seen.ends)
    }
}
