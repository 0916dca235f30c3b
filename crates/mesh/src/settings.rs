//! What holds for the whole mesh: MeshConfig, switches, namespaces.

use std::sync::Arc;

use config::Switches;
use config::labels::any_selector_matches;
use config::mesh::{MeshConfig, MeshNetworks};
use tables::{Level, Reads, Table};

use crate::inputs::{Fact, SettingsFact};
use crate::key::ObjectKey;
use crate::workloads::labels::{Labels, shared};

/// MeshConfig and what else is one per mesh. The single row of its table (key `()`).
#[derive(Clone, PartialEq, Debug)]
pub struct Settings {
    /// User's MeshConfig merged over the defaults; always valid.
    pub mesh: Arc<MeshConfig>,
    /// MeshNetworks, empty if none.
    pub networks: Arc<MeshNetworks>,
    /// Environment switches; constant for a process, a row so that builders read it like everything else.
    pub switches: Arc<Switches>,
    /// DNS domain of the cluster, `cluster.local`.
    pub domain: Arc<str>,
    /// The id of the config cluster, `Kubernetes`.
    pub cluster: Arc<str>,
    /// `istio-system`: where the control plane lives (not always MeshConfig's root namespace).
    pub system_namespace: Arc<str>,
}

// no number among the switches is ever NaN: their reader refuses it
impl Eq for Settings {}

impl Default for Settings {
    /// The built-in MeshConfig, default switches, `cluster.local`.
    fn default() -> Self {
        Self {
            mesh: Arc::new(config::mesh::default_mesh_config()),
            networks: Arc::new(MeshNetworks::default()),
            switches: Arc::new(Switches::default()),
            domain: "cluster.local".into(),
            cluster: "Kubernetes".into(),
            system_namespace: "istio-system".into(),
        }
    }
}

impl Settings {
    /// MeshConfig's `rootNamespace`.
    #[must_use]
    pub fn root_namespace(&self) -> &str {
        &self.mesh.root_namespace
    }

    /// Whether `discoverySelectors` select a namespace with these labels; without selectors all are selected
    /// (as pkg/kube/namespace/filter.go).
    #[must_use]
    pub fn selects(&self, labels: &config::Labels) -> bool {
        any_selector_matches(&self.mesh.discovery_selectors, labels)
    }

    /// The SPIFFE URI of a service account (as pkg/spiffe: `MustGenSpiffeURI`).
    #[must_use]
    pub fn spiffe(&self, namespace: &str, service_account: &str) -> Arc<str> {
        if namespace.is_empty() || service_account.is_empty() {
            return Arc::default();
        }
        config::text(&format!("spiffe://{}/ns/{namespace}/sa/{service_account}", self.mesh.trust_domain))
    }
}

/// One namespace that the mesh looks at.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Namespace {
    /// Its labels.
    pub labels: Labels,
    /// Whether `discoverySelectors` select it.
    pub selected: bool,
}

/// Stage: the namespaces of all clusters by name; where several clusters have one, the config cluster's labels stand.
pub(crate) fn namespace<'m, L: Level>(
    r: &Reads<L>,
    settings: &Table<SettingsFact>,
    name: &Arc<str>,
    members: &mut dyn Iterator<Item = (&'m ObjectKey, &'m Arc<Fact<config::kubernetes::Namespace>>)>,
) -> Vec<(Arc<str>, Namespace)> {
    let Some(settings) = settings.get(r, &()) else { return Vec::new() };
    let Some((_, fact)) = members.min_by_key(|(k, _)| (k.cluster != settings.cluster, *k)) else {
        return Vec::new();
    };
    let labels = shared(&*fact.meta.labels);
    vec![(name.clone(), Namespace { labels, selected: settings.selects(&fact.meta.labels) })]
}
