//! What nearly every stage asks first: the settings, and whether a namespace is looked at.

use std::sync::Arc;

use tables::{Level, Reads, Table};

use crate::inputs::{NamespaceFacts, SettingsFact};
use crate::key::ObjectKey;
use crate::settings::Settings;

/// The two tables below all others.
#[derive(Clone, Copy)]
pub(crate) struct Ground<'a> {
    pub(crate) settings: &'a Table<SettingsFact>,
    pub(crate) namespaces: &'a Table<NamespaceFacts>,
}

impl<'a> Ground<'a> {
    /// The settings.
    pub(crate) fn settings<L: Level>(&self, r: &Reads<L>) -> Option<&'a Arc<Settings>> {
        self.settings.get(r, &())
    }

    /// The settings, if the object lives in a namespace that is looked at (`discoverySelectors`), whichever cluster.
    pub(crate) fn seen<L: Level>(&self, r: &Reads<L>, key: &ObjectKey) -> Option<&'a Arc<Settings>> {
        let settings = self.settings(r)?;
        if settings.mesh.discovery_selectors.is_empty() || key.namespace.is_empty() {
            return Some(settings);
        }
        let namespace = self.namespaces.get(r, &namespace_key(&key.cluster, &key.namespace))?;
        settings.selects(&namespace.meta.labels).then_some(settings)
    }

    /// The same for kinds that only the config cluster may say.
    pub(crate) fn local<L: Level>(&self, r: &Reads<L>, key: &ObjectKey) -> Option<&'a Arc<Settings>> {
        self.seen(r, key).filter(|s| s.cluster == key.cluster)
    }

    /// An annotation of a namespace.
    pub(crate) fn annotation<L: Level>(&self, r: &Reads<L>, key: &ObjectKey, name: &str) -> Option<&'a str> {
        let namespace = self.namespaces.get(r, &namespace_key(&key.cluster, &key.namespace))?;
        namespace.meta.annotations.get(name).map(String::as_str)
    }

    /// The labels of the namespace an object lives in.
    pub(crate) fn labels<L: Level>(&self, r: &Reads<L>, key: &ObjectKey) -> Option<&'a config::Labels> {
        let namespace = self.namespaces.get(r, &namespace_key(&key.cluster, &key.namespace))?;
        Some(&namespace.meta.labels)
    }

    /// A label of a namespace of a cluster.
    pub(crate) fn label<L: Level>(
        &self,
        r: &Reads<L>,
        cluster: &Arc<str>,
        namespace: &Arc<str>,
        name: &str,
    ) -> Option<&'a str> {
        let namespace = self.namespaces.get(r, &namespace_key(cluster, namespace))?;
        namespace.meta.labels.get(name).map(String::as_str)
    }
}

fn namespace_key(cluster: &Arc<str>, name: &Arc<str>) -> ObjectKey {
    ObjectKey { cluster: cluster.clone(), namespace: Arc::from(""), name: name.clone() }
}
