//! How objects of the mesh's kinds are reached.

use config::Kind;
use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject};

/// Objects of a kind: of a namespace, or everywhere.
pub(crate) fn api(client: &Client, kind: Kind, namespace: Option<&str>) -> Api<DynamicObject> {
    let resource = ApiResource {
        group: kind.group().to_owned(),
        version: kind.versions().first().copied().unwrap_or_default().to_owned(),
        api_version: kind.api_version(),
        kind: kind.name().to_owned(),
        plural: kind.plural().to_owned(),
    };
    match namespace.filter(|_| kind.namespaced()) {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    }
}
