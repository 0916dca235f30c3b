//! The objects of Istio as they were written, for the page that shows them.

use std::collections::BTreeMap;
use std::sync::Arc;

use config::{Kind, Object};
use mesh::Batch;
use parking_lot::Mutex;

/// Names an object: kind, namespace, name.
type Id = (&'static str, Arc<str>, Arc<str>);

/// All of them; bodies are shared with the mesh.
#[derive(Debug, Default)]
pub struct Objects(Mutex<BTreeMap<Id, Object>>);

impl Objects {
    /// Takes note of a batch before it is committed.
    pub fn note(&self, batch: &Batch) {
        let mut objects = self.0.lock();
        for (kind, key) in &batch.removes {
            objects.remove(&(kind.name(), key.namespace.clone(), key.name.clone()));
        }
        for (_, object) in batch.puts.iter().filter(|(_, object)| shown(object.kind())) {
            let meta = &object.meta;
            objects.insert((object.kind().name(), meta.namespace.clone(), meta.name.clone()), object.clone());
        }
    }

    /// Every object, sorted by kind, namespace and name.
    #[must_use]
    pub fn list(&self) -> Vec<Object> {
        self.0.lock().values().cloned().collect()
    }
}

/// Kinds of Kubernetes are left out, as upstream does.
fn shown(kind: Kind) -> bool {
    kind.is_istio() || kind.is_gateway_api()
}
