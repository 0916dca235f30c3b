//! One text under one name in many namespaces.

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, RandomState};

use k8s_openapi::api::core::v1::ConfigMap;
use kube::Client;
use kube::api::{Api, ObjectMeta, PostParams};
use kube::runtime::watcher;
use tokio::sync::watch;

use crate::charge::Charge;
use crate::mirror::{Key, Mirror};
use crate::news;
use crate::queue::Outcome;

/// The label of these ConfigMaps.
const LABEL: (&str, &str) = ("istio.io/config", "true");

/// A text, and what stands in its place in each namespace.
pub(super) struct Published {
    client: Client,
    name: String,
    /// The entry of the ConfigMap's data that is ours; others are left as they are.
    entry: &'static str,
    text: watch::Receiver<String>,
    may_be_empty: bool,
    hashes: RandomState,
    /// The hash of what stands in each namespace, `None` if the entry is missing.
    standing: Mirror<ConfigMap, Option<u64>>,
    /// Who may replace what stands there; `None` in our own cluster.
    charge: Option<Charge>,
}

/// Where something may have to be written.
pub(super) enum Changed {
    /// In these namespaces.
    In(Vec<String>),
    /// Wherever anything is written.
    Everywhere,
}

impl Published {
    /// The roots, which are never emptied: who is yet to learn them must not take away those that work.
    pub(super) fn roots(
        client: &Client,
        only: Option<&str>,
        name: String,
        text: watch::Receiver<String>,
        charge: Option<Charge>,
    ) -> Self {
        Self { charge, ..Self::new(client, only, name, "root-cert.pem", false, text) }
    }

    /// What was revoked, perhaps nothing.
    pub(super) fn crl(
        client: &Client,
        only: Option<&str>,
        name: String,
        text: watch::Receiver<String>,
        charge: Option<Charge>,
    ) -> Self {
        Self { charge, ..Self::new(client, only, name, "ca-crl.pem", true, text) }
    }

    fn new(
        client: &Client,
        only: Option<&str>,
        name: String,
        entry: &'static str,
        may_be_empty: bool,
        text: watch::Receiver<String>,
    ) -> Self {
        let api: Api<ConfigMap> = match only {
            Some(namespace) => Api::namespaced(client.clone(), namespace),
            None => Api::all(client.clone()),
        };
        let hashes = RandomState::new();
        let hash = {
            let hashes = hashes.clone();
            move |object: ConfigMap| object.data.and_then(|data| Some(hashes.hash_one(data.get(entry)?)))
        };
        let only = watcher::Config::default().fields(&format!("metadata.name={name}"));
        let standing = Mirror::new(&format!("ConfigMaps {name}"), api, only, hash);
        Self { client: client.clone(), name, entry, text, may_be_empty, hashes, standing, charge: None }
    }

    /// Whether all that stands is known.
    pub(super) fn synced(&self) -> bool {
        self.standing.synced()
    }

    /// Waits for another text, or for something else to stand somewhere. May be dropped and called again.
    pub(super) async fn changed(&mut self) -> Changed {
        tokio::select! {
            keys = self.standing.changed() => Changed::In(keys.into_iter().map(|key| key.namespace).collect()),
            () = news(&mut self.text) => Changed::Everywhere,
        }
    }

    /// What has to be written into a namespace, unless the text stands there.
    pub(super) fn due(&self, namespace: &str) -> Option<Write> {
        let text = self.text.borrow().clone();
        if text.is_empty() && !self.may_be_empty {
            return None;
        }
        let standing = self.standing.get(&Key::new(namespace, &self.name));
        let is_due = standing != Some(&Some(self.hashes.hash_one(&text)));
        is_due.then(|| Write {
            api: Api::namespaced(self.client.clone(), namespace),
            namespace: namespace.to_owned(),
            name: self.name.clone(),
            entry: self.entry,
            text,
            stands: standing.is_some(),
            charge: self.charge.clone(),
        })
    }
}

/// One write (as security/pkg/k8s/configutil.go: `InsertDataToConfigMap`).
pub(super) struct Write {
    api: Api<ConfigMap>,
    namespace: String,
    name: String,
    entry: &'static str,
    text: String,
    /// Whether there is such a ConfigMap already, as far as is known.
    stands: bool,
    charge: Option<Charge>,
}

impl Write {
    pub(super) async fn make(self) -> Outcome {
        let found = if self.stands { self.api.get_opt(&self.name).await? } else { None };
        match found {
            Some(object) => self.update(object).await,
            None => self.create().await,
        }
    }

    async fn create(self) -> Outcome {
        let (label, value) = LABEL;
        let metadata = ObjectMeta {
            name: Some(self.name.clone()),
            labels: Some(BTreeMap::from([(label.to_owned(), value.to_owned())])),
            ..ObjectMeta::default()
        };
        let data = Some(BTreeMap::from([(self.entry.to_owned(), self.text)]));
        let object = ConfigMap { metadata, data, ..ConfigMap::default() };
        match self.api.create(&PostParams::default(), &object).await {
            Ok(_) => Ok(1),
            // made by somebody else, which the watch will show, or its namespace is gone
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(1),
            // of a namespace that ends, too
            Err(kube::Error::Api(status)) if status.code == 403 => {
                let (namespace, name) = (self.namespace, self.name);
                tracing::info!("ConfigMap {namespace}/{name} is not ours to write: {}", status.message);
                Ok(1)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Changes our entry and nothing else.
    async fn update(self, mut object: ConfigMap) -> Outcome {
        let data = object.data.get_or_insert_default();
        if data.get(self.entry) == Some(&self.text) {
            return Ok(0);
        }
        // its own control plane may have come since
        if let Some(charge) = &self.charge
            && !charge.is_ours().await
        {
            let (namespace, name) = (self.namespace, self.name);
            tracing::info!(
                "ConfigMap {namespace}/{name} of another cluster is left to the control plane there"
            );
            return Ok(0);
        }
        data.insert(self.entry.to_owned(), self.text);
        self.api.replace(&self.name, &PostParams::default(), &object).await?;
        Ok(1)
    }
}
