//! The names under which facts and deductions are found.

use std::fmt;
use std::sync::Arc;

use config::Host;

/// Names one object of one cluster: the key of every table of facts.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectKey {
    /// The cluster id the object was read from (`Kubernetes` for a folder and for the config cluster).
    pub cluster: Arc<str>,
    /// Empty for cluster-scoped kinds.
    pub namespace: Arc<str>,
    /// `metadata.name`.
    pub name: Arc<str>,
}

impl fmt::Debug for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}/{}", self.cluster, self.namespace, self.name)
    }
}

/// Names a holder of certificates. A Secret and a ConfigMap may have the same name.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct MaterialKey {
    /// True for a ConfigMap.
    pub config_map: bool,
    /// The object.
    pub object: ObjectKey,
}

/// Names one service of the registry: a host name within the namespace that declares it
/// (as pilot/pkg/model/push_context.go: `HostnameAndNamespace`).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServiceKey {
    /// Fully qualified, possibly a wildcard.
    pub hostname: Host,
    /// The namespace of the Service or ServiceEntry.
    pub namespace: Arc<str>,
}

impl fmt::Debug for ServiceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.hostname)
    }
}

/// What a workload was declared by.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum WorkloadKind {
    /// A Kubernetes Pod.
    Pod,
    /// A WorkloadEntry object.
    Entry,
}

/// Names one workload instance.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WorkloadKey {
    /// Pod or WorkloadEntry.
    pub kind: WorkloadKind,
    /// The object that declares it.
    pub object: ObjectKey,
}

impl fmt::Debug for WorkloadKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {:?}", self.kind, self.object)
    }
}
