//! Sidecar resources: who sees what.

use std::sync::Arc;

use config::networking::Sidecar;
use tables::{Level, Reads};

use crate::inputs::Fact;
use crate::key::ObjectKey;
use crate::world::{Ground, Named};

/// A Sidecar object. Key: `(namespace, name)`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SidecarRow {
    /// `metadata.namespace`.
    pub namespace: Arc<str>,
    /// `metadata.name`.
    pub name: Arc<str>,
    /// Unix seconds; older wins.
    pub created: i64,
    /// The spec as written.
    pub sidecar: Arc<Sidecar>,
}

/// Stage: a Sidecar of the config cluster.
pub(crate) fn row<L: Level>(
    r: &Reads<L>,
    ground: Ground<'_>,
    key: &ObjectKey,
    fact: &Fact<Sidecar>,
) -> Vec<(Named, SidecarRow)> {
    if ground.local(r, key).is_none() {
        return Vec::new();
    }
    let row = SidecarRow {
        namespace: key.namespace.clone(),
        name: key.name.clone(),
        created: fact.meta.creation,
        sidecar: fact.spec.clone(),
    };
    vec![((key.namespace.clone(), key.name.clone()), row)]
}
