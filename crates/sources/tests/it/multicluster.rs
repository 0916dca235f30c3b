//! The Multi-Cluster Services API: read where it is wanted and served, in whatever group.

use config::Kind;
use config::kubernetes::ServiceImport;
use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, PostParams};
use serde_json::json;
use sources::kubernetes::{Multicluster, Options};
use testkit::api_server::{ApiServer, define_in};

use crate::mirror::*;

/// A platform's own group.
const GROUP: &str = "net.example.com";

async fn create(client: &Client, kind: Kind, name: &str, spec: serde_json::Value) {
    let kind_of = GroupVersionKind::gvk(GROUP, "v1", kind.name());
    let resource = ApiResource::from_gvk_with_plural(&kind_of, kind.plural());
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), "shop", &resource);
    let object = DynamicObject::new(name, &resource).data(json!({"spec": spec}));
    api.create(&PostParams::default(), &object).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exports_and_imports_are_read_where_their_kinds_are_served_and_wanted() {
    let server = ApiServer::start().await.unwrap();
    let client = server.client().await.unwrap();
    shop(&client).await;
    let api = |imports| Multicluster { group: GROUP.to_owned(), version: "v1".to_owned(), imports };
    let reading = |imports| Options { multicluster: Some(api(imports)), ..options() };
    let mut all = Mirror::of(client.clone(), reading(true)).await;
    let mut half = Mirror::of(client.clone(), reading(false)).await;
    assert!(all.has(Kind::Service, "shop", "cart"), "kinds that are not served hold nothing up");

    for kind in [Kind::ServiceExport, Kind::ServiceImport] {
        define_in(&client, kind, GROUP, "v1").await.unwrap();
        create(&client, kind, "cart", json!({"ips": ["241.0.0.1"], "type": "ClusterSetIP"})).await;
    }
    all.until("an import", |m| m.has(Kind::ServiceImport, "shop", "cart")).await;
    all.until("an export", |m| m.has(Kind::ServiceExport, "shop", "cart")).await;
    let import = all.get("one", Kind::ServiceImport, "shop", "cart").unwrap();
    assert_eq!(import.get::<ServiceImport>().unwrap().ips, ["241.0.0.1"]);

    half.until("an export", |m| m.has(Kind::ServiceExport, "shop", "cart")).await;
    apply(&client, Kind::Service, "shop", "last", service(80)).await;
    half.until("what came later", |m| m.has(Kind::Service, "shop", "last")).await;
    assert_eq!(half.count("one", Kind::ServiceImport), 0, "nobody wants them");

    let mut none = Mirror::of(client.clone(), options()).await;
    none.until("everything", |m| m.has(Kind::Service, "shop", "last")).await;
    assert_eq!(none.count("one", Kind::ServiceExport), 0, "nobody wants them");
}
