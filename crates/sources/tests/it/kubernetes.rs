//! One cluster: what is told first, what afterwards, and what never.

use config::Kind;
use config::networking::VirtualService;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use serde_json::{Value, json};
use testkit::api_server::ApiServer;

use crate::mirror::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_change_is_everything_and_each_later_one_what_changed() {
    let server = ApiServer::start().await.unwrap();
    let client = server.client().await.unwrap();
    shop(&client).await;
    let mut mirror = Mirror::of(client.clone(), options()).await;
    assert!(mirror.has(Kind::Namespace, "", "shop"));
    assert!(mirror.has(Kind::Service, "shop", "cart"));
    assert!(mirror.has(Kind::VirtualService, "shop", "cart"));
    assert!(!mirror.has(Kind::Secret, "shop", "chart"), "Secrets of Helm are large, many, and of no use");
    assert_eq!((mirror.removes, mirror.refused), (0, 0));

    let before = mirror.puts;
    apply(&client, Kind::Service, "shop", "stock", service(81)).await;
    mirror.until("a new Service", |m| m.has(Kind::Service, "shop", "stock")).await;
    delete(&client, Kind::Service, "shop", "cart").await;
    mirror.until("a Service is gone", |m| !m.has(Kind::Service, "shop", "cart")).await;
    assert_eq!((mirror.puts - before, mirror.removes), (1, 1));

    // a version that is refused: the one before stays, and it is told once
    apply(&client, Kind::VirtualService, "shop", "cart", json!({"spec": {"hosts": [7], "http": []}})).await;
    mirror.until("a refusal", |m| m.refused == 1).await;
    let kept = mirror.get("one", Kind::VirtualService, "shop", "cart").unwrap();
    assert_eq!(kept.get::<VirtualService>().unwrap().hosts, ["cart"]);
    assert!(
        mirror.problems.iter().any(|p| p.contains("shop/cart") && p.contains("hosts")),
        "{:?}",
        mirror.problems
    );
    apply(&client, Kind::VirtualService, "shop", "cart", route("stock")).await;
    mirror.until("a good version again", |m| m.refused == 0).await;
    let now = mirror.get("one", Kind::VirtualService, "shop", "cart").unwrap();
    assert_eq!(now.get::<VirtualService>().unwrap().hosts, ["stock"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kinds_come_and_go_with_their_definitions_and_objects_with_their_revision() {
    let server = ApiServer::start().await.unwrap();
    let client = server.client().await.unwrap();
    shop(&client).await;
    let labelled = |revision: &str| {
        let mut route = route("stock");
        route["metadata"]["labels"] = json!({"istio.io/rev": revision});
        route
    };
    apply(&client, Kind::VirtualService, "shop", "ours", labelled("canary")).await;
    apply(&client, Kind::VirtualService, "shop", "theirs", labelled("stable")).await;
    let wanted = sources::kubernetes::Wanted {
        ignored: "*.telemetry.istio.io, gateways.networking.istio.io".to_owned(),
        included: String::new(),
    };
    let options = sources::kubernetes::Options { revision: "canary".to_owned(), wanted, ..options() };
    let mut mirror = Mirror::of(client.clone(), options).await;
    assert!(mirror.has(Kind::VirtualService, "shop", "ours"));
    assert!(mirror.has(Kind::VirtualService, "shop", "cart"), "without a label it is everybody's");
    assert!(!mirror.has(Kind::VirtualService, "shop", "theirs"));
    apply(&client, Kind::VirtualService, "shop", "theirs", labelled("canary")).await;
    mirror.until("it moved to our revision", |m| m.has(Kind::VirtualService, "shop", "theirs")).await;
    apply(&client, Kind::VirtualService, "shop", "ours", labelled("stable")).await;
    mirror.until("it moved away", |m| !m.has(Kind::VirtualService, "shop", "ours")).await;

    let definitions: kube::Api<
        k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
    > = kube::Api::all(client.clone());
    let name = "virtualservices.networking.istio.io";
    let mut definition = definitions.get(name).await.unwrap();
    definitions.delete(name, &DeleteParams::default()).await.unwrap();
    mirror.until("a kind is gone with its objects", |m| m.count("one", Kind::VirtualService) == 0).await;
    testkit::eventually("the definition is gone", PATIENCE, async || {
        let left = definitions.list_metadata(&ListParams::default()).await.ok()?;
        (!left.items.iter().any(|d| d.metadata.name.as_deref() == Some(name))).then_some(())
    })
    .await
    .unwrap();
    definition.metadata.resource_version = None;
    definition.metadata.uid = None;
    definition.metadata.deletion_timestamp = None;
    definition.metadata.finalizers = None;
    definitions.create(&kube::api::PostParams::default(), &definition).await.unwrap();
    testkit::eventually("the kind is served again", PATIENCE, async || {
        api(&client, Kind::VirtualService, "shop").list(&ListParams::default()).await.ok()
    })
    .await
    .unwrap();
    apply(&client, Kind::VirtualService, "shop", "back", route("stock")).await;
    mirror.until("a kind that came back", |m| m.has(Kind::VirtualService, "shop", "back")).await;
    assert_eq!(mirror.count("one", Kind::VirtualService), 1, "nothing of its first life");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_control_planes_write_into_a_status_is_no_change_but_what_is_read_of_it_is() {
    let server = ApiServer::start().await.unwrap();
    let client = server.client().await.unwrap();
    shop(&client).await;
    let entry = json!({"spec": {"hosts": ["out.example"], "ports": [{"number": 80, "name": "http", "protocol": "HTTP"}], "resolution": "STATIC"}});
    apply(&client, Kind::ServiceEntry, "shop", "out", entry).await;
    let mut mirror = Mirror::of(client.clone(), options()).await;
    let before = mirror.puts;
    let write = async |kind: Kind, name: &str, status: Value| {
        let patch = Patch::Merge(json!({ "status": status }));
        api(&client, kind, "shop").patch_status(name, &PatchParams::default(), &patch).await.unwrap();
    };
    let condition =
        json!({"observedGeneration": "1", "conditions": [{"type": "Reconciled", "status": "True"}]});
    write(Kind::VirtualService, "cart", condition.clone()).await;
    write(Kind::ServiceEntry, "out", condition).await;
    // what comes later is told later, of one watch
    apply(&client, Kind::VirtualService, "shop", "marker", route("cart")).await;
    mirror.until("what came later", |m| m.has(Kind::VirtualService, "shop", "marker")).await;
    write(Kind::ServiceEntry, "out", json!({"addresses": [{"host": "out.example", "value": "240.240.0.1"}]}))
        .await;
    let has_address = |m: &Mirror| {
        let entry = m.get("one", Kind::ServiceEntry, "shop", "out");
        entry.and_then(|entry| entry.status.as_ref()?.get("addresses")).is_some()
    };
    mirror.until("an address", has_address).await;
    assert_eq!(
        mirror.puts - before,
        2,
        "the route that is new and the entry with an address, and nothing else"
    );
}
