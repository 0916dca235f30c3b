//! Pages about the mesh as a whole.

use config::{Kind, Object};
use mesh::World;
use serde_json::{Value, json};
use sources::kubernetes::Directory;
use tables::Snapshot as _;

use crate::catalog::MeshCatalog;

/// Every object of Istio, as an API server would show it.
pub(super) fn objects(objects: &[Object]) -> Value {
    objects.iter().map(|object| object.to_value().to_json()).collect()
}

/// The kinds of configuration that are read: those of Istio and of the Gateway API, and Ingress.
pub(super) fn kinds() -> Value {
    let of_kubernetes =
        |kind: Kind| !kind.group().contains("istio.io") && kind.group() != Kind::HttpRoute.group();
    let read = Kind::ALL.iter().filter(|kind| **kind == Kind::Ingress || !of_kubernetes(**kind));
    let version = |kind: Kind| kind.versions().first().copied().unwrap_or_default();
    read.map(|kind| json!({"group": kind.group(), "version": version(*kind), "kind": kind.name()})).collect()
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
