//! The pods of our own cluster, as the mesh knows them.

use std::sync::Arc;

use mesh::inputs::Instance;
use mesh::key::{ObjectKey, WorkloadKey, WorkloadKind};

use super::{PodFacts, Pods};
use crate::catalog::MeshCatalog;

/// Pods of one cluster, in the present world of a catalog. Those of namespaces that discovery leaves out are not there, nor
/// are those that have failed.
pub struct PodsOf {
    catalog: Arc<MeshCatalog>,
    cluster: Arc<str>,
}

impl PodsOf {
    /// The pods of the cluster with this id.
    #[must_use]
    pub fn new(catalog: Arc<MeshCatalog>, cluster: &str) -> Self {
        Self { catalog, cluster: cluster.into() }
    }
}

impl Pods for PodsOf {
    fn pod(&self, namespace: &str, name: &str) -> Option<PodFacts> {
        let world = self.catalog.world();
        let object =
            ObjectKey { cluster: self.cluster.clone(), namespace: namespace.into(), name: name.into() };
        let key = WorkloadKey { kind: WorkloadKind::Pod, object };
        let workload = world.workloads.peek(&key)?;
        let Instance::Pod(fact) = &**world.instances.peek(&key)? else { return None };
        Some(PodFacts {
            uid: fact.meta.uid.clone(),
            service_account: workload.service_account.to_string(),
            node: workload.node.to_string(),
        })
    }

    fn runs_on(&self, node: &str, namespace: &str, service_account: &str) -> bool {
        // a pod that has no node yet runs on none
        let is_there = |(key, workload): (&WorkloadKey, &Arc<mesh::workloads::Workload>)| {
            key.kind == WorkloadKind::Pod
                && key.object.cluster == self.cluster
                && *key.object.namespace == *namespace
                && *workload.node == *node
                && *workload.service_account == *service_account
        };
        !node.is_empty() && self.catalog.world().workloads.iter().any(is_there)
    }
}
