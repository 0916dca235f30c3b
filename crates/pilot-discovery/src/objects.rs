//! The objects as they were written: those of Istio for the page that shows them, of all others where they stand.

use std::collections::BTreeMap;
use std::sync::Arc;

use config::{Kind, Meta, Object, Spec};
use mesh::Batch;
use parking_lot::Mutex;

/// Names an object: kind by name (two groups have a `Gateway`), namespace, name.
type Id = (&'static str, Kind, Arc<str>, Arc<str>);

fn id(kind: Kind, namespace: &Arc<str>, name: &Arc<str>) -> Id {
    (kind.name(), kind, namespace.clone(), name.clone())
}

/// What is kept of an object.
#[derive(Debug)]
enum Kept {
    /// All of it; its body is shared with the mesh.
    Whole(Object),
    /// Who it is and where it was written.
    Identity(Arc<Meta>),
}

/// Those of our own cluster.
#[derive(Debug)]
pub struct Objects {
    cluster: Arc<str>,
    kept: Mutex<BTreeMap<Id, Kept>>,
}

impl Objects {
    /// None yet, of the cluster with this id.
    #[must_use]
    pub fn new(cluster: Arc<str>) -> Self {
        Self { cluster, kept: Mutex::default() }
    }

    /// Takes note of a batch before it is committed.
    pub fn note(&self, batch: &Batch) {
        let mut objects = self.kept.lock();
        for (kind, key) in batch.removes.iter().filter(|(_, key)| *key.cluster == *self.cluster) {
            objects.remove(&id(*kind, &key.namespace, &key.name));
        }
        for (_, object) in batch.puts.iter().filter(|(cluster, _)| **cluster == *self.cluster) {
            let meta = &object.meta;
            let shown = object.kind().is_istio() || object.kind().is_gateway_api();
            let kept = match shown {
                true => Kept::Whole(object.clone()),
                false if meta.origin.at.line != 0 => Kept::Identity(meta.clone()),
                // an API server's: it stands nowhere
                false => continue,
            };
            objects.insert(id(object.kind(), &meta.namespace, &meta.name), kept);
        }
    }

    /// Every object of Istio and of the Gateway API, sorted by kind, namespace and name; kinds of Kubernetes are left
    /// out, as upstream does.
    #[must_use]
    pub fn list(&self) -> Vec<Object> {
        let whole = |kept: &Kept| match kept {
            Kept::Whole(object) => Some(object.clone()),
            Kept::Identity(_) => None,
        };
        self.kept.lock().values().filter_map(whole).collect()
    }

    /// Who an object is and, of those that are listed, what it says.
    #[must_use]
    pub fn find(&self, kind: Kind, namespace: &str, name: &str) -> Option<(Arc<Meta>, Option<Spec>)> {
        match self.kept.lock().get(&id(kind, &namespace.into(), &name.into()))? {
            Kept::Whole(object) => Some((object.meta.clone(), Some(object.spec.clone()))),
            Kept::Identity(meta) => Some((meta.clone(), None)),
        }
    }
}
