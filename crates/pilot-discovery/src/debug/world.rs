//! Pages about the mesh as a whole.

use std::sync::Arc;

use config::{Kind, Object};
use mesh::World;
use serde_json::{Value, json};
use sources::kubernetes::Directory;
use tables::Snapshot as _;

use crate::catalog::MeshCatalog;

/// Every object of Istio, as an API server would show it; not those of namespaces that are not looked at.
pub(super) fn objects(objects: &[Object], world: &World) -> Value {
    let all = world.settings.peek(&()).is_none_or(|settings| settings.mesh.discovery_selectors.is_empty());
    let seen = |namespace: &Arc<str>| {
        all || namespace.is_empty() || world.namespaces.peek(namespace).is_some_and(|row| row.selected)
    };
    let shown = objects.iter().filter(|object| seen(&object.meta.namespace));
    shown.map(|object| object.to_value().to_json()).collect()
}

/// The kinds of configuration that are read: those of Istio and of the Gateway API, and Ingress.
pub(super) fn kinds() -> Value {
    let read = |kind: &&Kind| kind.is_istio() || kind.is_gateway_api() || **kind == Kind::Ingress;
    let version = |kind: Kind| kind.versions().first().copied().unwrap_or_default();
    let one = |kind: &Kind| json!({"group": kind.group(), "version": version(*kind), "kind": kind.name()});
    Kind::ALL.iter().filter(read).map(one).collect()
}

/// The mesh configuration in effect.
pub(super) fn mesh(world: &World) -> Value {
    world.settings.peek(&()).map_or_else(|| json!({}), |settings| settings.mesh.to_value().to_json())
}

/// Size of the mesh and of what is kept for its proxies.
pub(super) fn sizes(catalog: &MeshCatalog, clients: usize) -> Value {
    let world = catalog.world();
    let (classes, editions) = catalog.counts();
    json!({
        "revision": world.revision().0, "services": world.services.len(), "workloads": world.workloads.len(),
        "virtualServices": world.virtual_services.len(), "clients": clients, "classes": classes,
        "editions": editions,
    })
}

/// What is remembered of what was built.
pub(super) fn memos(catalog: &MeshCatalog) -> Value {
    catalog
        .generator()
        .memos()
        .stats()
        .into_iter()
        .map(|of| json!({"kind": of.name, "count": of.count, "bytes": of.bytes, "built": of.built, "hits": of.hits}))
        .collect()
}

/// The clusters: our own first, which is complete when anybody can ask; as pkg/kube/multicluster/secretcontroller.go:
/// ListRemoteClusters.
pub(super) fn clusters(own: &str, others: Option<&Directory>) -> Value {
    let row =
        |id: &str, secret: &str, state: &str| json!({"id": id, "secretName": secret, "syncStatus": state});
    let others = others.map(Directory::others).unwrap_or_default();
    let others = others.iter().map(|status| row(&status.id, &status.secret, status.state.word()));
    std::iter::once(row(own, "", "synced")).chain(others).collect()
}
