//! Exports of services to other clusters.

use std::sync::Arc;

use config::Kind;
use config::mesh::MeshConfig;
use controllers::namespaces::Scope;
use controllers::service_exports::{Options, ServiceExporter};
use k8s_openapi::api::core::v1::{Namespace, Service};
use kube::Client;
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, GroupVersionKind, ListParams};
use serde_json::json;
use testkit::api_server::{ApiServer, define_in};
use testkit::eventually;
use tokio::sync::watch;

use crate::cluster::{PATIENCE, control_plane, counting, create};

const GROUP: &str = "multicluster.x-k8s.io";

fn exports(client: &Client) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk(GROUP, "v1alpha1", "ServiceExport");
    Api::all_with(client.clone(), &ApiResource::from_gvk_with_plural(&kind, "serviceexports"))
}

/// The exports that there are, as `namespace/name`.
async fn exported(client: &Client) -> Vec<String> {
    let list = exports(client).list(&ListParams::default()).await.map(|list| list.items).unwrap_or_default();
    let text = |text: Option<String>| text.unwrap_or_default();
    list.into_iter().map(|o| format!("{}/{}", text(o.metadata.namespace), text(o.metadata.name))).collect()
}

async fn until(client: &Client, what: &str, wanted: &[&str]) {
    let look = async || (exported(client).await == wanted).then_some(());
    if eventually(what, PATIENCE, look).await.is_err() {
        panic!("{what}: wanted {wanted:?}, there are {:?}", exported(client).await);
    }
}

fn local(hosts: &str) -> Arc<MeshConfig> {
    let mesh = format!("serviceSettings: [{{settings: {{clusterLocal: true}}, hosts: ['{hosts}']}}]");
    let base = config::mesh::default_mesh_config();
    Arc::new(config::mesh::apply_mesh_config(&base, "mesh.yaml", &mesh).unwrap().0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn services_are_exported_as_long_as_they_are_not_local_to_their_cluster() {
    let server = ApiServer::start().await.unwrap();
    let admin = server.client().await.unwrap();
    let (client, writes) = counting(control_plane(&server, "exports-istiod").await);
    for namespace in ["shop", "hidden", "kept"] {
        let labels = json!({"mesh": if namespace == "hidden" { "no" } else { "yes" }});
        create(
            &Api::<Namespace>::all(admin.clone()),
            json!({"metadata": {"name": namespace, "labels": labels}}),
        )
        .await;
        let services: Api<Service> = Api::namespaced(admin.clone(), namespace);
        create(&services, json!({"metadata": {"name": "cart"}, "spec": {"ports": [{"port": 80}]}})).await;
    }
    let (to_mesh, mesh) = watch::channel(local("*.kept.svc.cluster.local"));
    let selected = config::mesh::LabelSelector {
        match_labels: [("mesh".to_owned(), "yes".to_owned())].into_iter().collect(),
        ..config::mesh::LabelSelector::default()
    };
    let (to_selectors, selectors) = watch::channel(vec![selected]);
    let options = Options {
        scope: Scope::selected(selectors),
        domain: "cluster.local".to_owned(),
        mesh,
        group: GROUP.to_owned(),
        version: "v1alpha1".to_owned(),
    };
    let running = tokio::spawn(ServiceExporter::new(client, options).run());

    // begun before the kind is there
    define_in(&admin, Kind::ServiceExport, GROUP, "v1alpha1").await.unwrap();
    until(&admin, "what is in the mesh and not local", &["shop/cart"]).await;
    let services: Api<Service> = Api::namespaced(admin.clone(), "shop");
    let stock =
        create(&services, json!({"metadata": {"name": "stock"}, "spec": {"ports": [{"port": 80}]}})).await;
    until(&admin, "a new service", &["shop/cart", "shop/stock"]).await;
    let list = exports(&admin).list(&ListParams::default()).await.unwrap();
    let owners = list.items.last().unwrap().metadata.owner_references.clone().unwrap();
    assert_eq!((owners[0].kind.as_str(), Some(&owners[0].uid)), ("Service", stock.metadata.uid.as_ref()));

    to_mesh.send_replace(local("stock.shop.svc.cluster.local"));
    until(&admin, "what is no longer local", &["kept/cart", "shop/cart", "shop/stock"]).await;
    to_selectors.send_replace(Vec::new());
    until(&admin, "what is in the mesh now", &["hidden/cart", "kept/cart", "shop/cart", "shop/stock"]).await;
    let hidden: Api<DynamicObject> = {
        let kind = GroupVersionKind::gvk(GROUP, "v1alpha1", "ServiceExport");
        let resource = ApiResource::from_gvk_with_plural(&kind, "serviceexports");
        Api::namespaced_with(admin.clone(), "hidden", &resource)
    };
    hidden.delete("cart", &DeleteParams::default()).await.unwrap();
    until(&admin, "what was deleted", &["hidden/cart", "kept/cart", "shop/cart", "shop/stock"]).await;
    assert_eq!(writes.of("/serviceexports").len(), 5, "{:?}", writes.of(""));
    running.abort();
}
