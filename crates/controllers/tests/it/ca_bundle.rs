//! The CA bundle in namespaces: where, what of it, and how often it is written.

use config::mesh::LabelSelector;
use controllers::ca_bundle::{CaBundle, Options};
use controllers::namespaces::Scope;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::api::{Api, DeleteParams, Patch, PatchParams};
use kube::{Client, ResourceExt as _};
use serde_json::{Value, json};
use testkit::eventually;
use tokio::sync::watch;

use crate::cluster::{PATIENCE, control_plane, counting, create, shared};

fn maps(client: &Client, namespace: &str) -> Api<ConfigMap> {
    Api::namespaced(client.clone(), namespace)
}

async fn make_namespace(client: &Client, name: &str, labels: Value) {
    create(&Api::<Namespace>::all(client.clone()), json!({"metadata": {"name": name, "labels": labels}}))
        .await;
}

/// Waits until an entry of a ConfigMap has this text.
async fn until(client: &Client, namespace: &str, name: &str, entry: &str, text: &str) {
    let maps = maps(client, namespace);
    let look = async || (maps.get(name).await.ok()?.data?.get(entry)? == text).then_some(());
    eventually(&format!("{namespace}/{name} has {text:?}"), PATIENCE, look).await.unwrap();
}

async fn merge(client: &Client, namespace: &str, name: &str, patch: Value) {
    maps(client, namespace).patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
}

fn selecting(label: &str) -> LabelSelector {
    let match_labels = [(label.to_owned(), "yes".to_owned())].into_iter().collect();
    LabelSelector { match_labels, ..LabelSelector::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_namespace_has_the_bundle_and_nothing_is_written_twice() {
    const ROOTS: &str = "istio-ca-root-cert";
    const PEM: &str = "root-cert.pem";
    let server = shared().await;
    let admin = server.client().await.unwrap();
    let (client, writes) = counting(control_plane(&server, "bundle-istiod").await);
    make_namespace(&admin, "bundle-shop", json!({})).await;

    let (roots, roots_known) = watch::channel(String::new());
    let (crl, crl_known) = watch::channel(String::new());
    let (_all, selectors) = watch::channel(Vec::new());
    let start = || {
        let options = Options::new(Scope::selected(selectors.clone()));
        tokio::spawn(CaBundle::new(&client, options, roots_known.clone(), Some(crl_known.clone())).run())
    };
    let running = start();
    // no roots yet: the list of the revoked, which may be empty, is written, they are not
    until(&admin, "bundle-shop", "istio-ca-crl", "ca-crl.pem", "").await;
    assert!(
        writes.of(ROOTS).is_empty() && maps(&admin, "bundle-shop").get_opt(ROOTS).await.unwrap().is_none()
    );

    roots.send("one".to_owned()).unwrap();
    until(&admin, "bundle-shop", ROOTS, PEM, "one").await;
    until(&admin, "kube-system", ROOTS, PEM, "one").await;
    let made = maps(&admin, "bundle-shop").get(ROOTS).await.unwrap();
    assert_eq!(made.labels()["istio.io/config"], "true");
    crl.send("revoked".to_owned()).unwrap();
    until(&admin, "bundle-shop", "istio-ca-crl", "ca-crl.pem", "revoked").await;

    // edited, emptied, deleted: it comes back, and what else is in it stays
    merge(&admin, "bundle-shop", ROOTS, json!({"data": {PEM: "mine", "more": "kept"}})).await;
    until(&admin, "bundle-shop", ROOTS, PEM, "one").await;
    merge(&admin, "bundle-shop", ROOTS, json!({"data": {PEM: null}})).await;
    until(&admin, "bundle-shop", ROOTS, PEM, "one").await;
    assert_eq!(maps(&admin, "bundle-shop").get(ROOTS).await.unwrap().data.unwrap()["more"], "kept");
    maps(&admin, "bundle-shop").delete(ROOTS, &DeleteParams::default()).await.unwrap();
    until(&admin, "bundle-shop", ROOTS, PEM, "one").await;
    // another bundle, another namespace
    roots.send("two".to_owned()).unwrap();
    until(&admin, "bundle-shop", ROOTS, PEM, "two").await;
    make_namespace(&admin, "bundle-new", json!({})).await;
    until(&admin, "bundle-new", ROOTS, PEM, "two").await;
    let shop = "/api/v1/namespaces/bundle-shop/configmaps";
    let (made, changed) = (format!("POST {shop}"), format!("PUT {shop}"));
    let counts = || (writes.of(&made).len(), writes.of(&changed).len());
    assert_eq!(counts(), (3, 4), "{:?}", writes.of(shop));

    // what makes no difference makes no write: labels, another start, the same bundle again
    merge(&admin, "bundle-shop", ROOTS, json!({"metadata": {"labels": {"a": "b"}}})).await;
    running.abort();
    let running = start();
    roots.send("two".to_owned()).unwrap();
    make_namespace(&admin, "bundle-zzz", json!({})).await;
    until(&admin, "bundle-zzz", ROOTS, PEM, "two").await;
    assert_eq!(counts(), (3, 4), "{:?}", writes.of(shop));
    for ignored in ["kube-public", "kube-node-lease"] {
        assert!(writes.of(&format!("/{ignored}/")).is_empty(), "{ignored} is left alone");
    }
    running.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_selected_namespaces_are_served_and_others_keep_what_they_have() {
    let server = shared().await;
    let admin = server.client().await.unwrap();
    let (client, writes) = counting(server.config().await.unwrap());
    make_namespace(&admin, "select-in", json!({"mesh": "yes"})).await;
    make_namespace(&admin, "select-out", json!({"legacy": "yes"})).await;
    let (roots, roots_known) = watch::channel("one".to_owned());
    let (selectors, selected) = watch::channel(vec![selecting("mesh")]);
    let options =
        Options { roots_name: "select-roots".to_owned(), ..Options::new(Scope::selected(selected)) };
    let running = tokio::spawn(CaBundle::new(&client, options, roots_known, None).run());
    let has = async |namespace: &str, text: &str| {
        until(&admin, namespace, "select-roots", "root-cert.pem", text).await;
    };
    has("select-in", "one").await;
    // by a label of its own
    let namespaces: Api<Namespace> = Api::all(admin.clone());
    make_namespace(&admin, "select-later", json!({})).await;
    let labelled = json!({"metadata": {"labels": {"mesh": "yes"}}});
    namespaces.patch("select-later", &PatchParams::default(), &Patch::Merge(labelled)).await.unwrap();
    has("select-later", "one").await;
    assert!(writes.of("/select-out/").is_empty());
    // by other selectors
    selectors.send(vec![selecting("legacy")]).unwrap();
    has("select-out", "one").await;
    roots.send("two".to_owned()).unwrap();
    has("select-out", "two").await;
    has("select-in", "one").await;
    assert_eq!((writes.of("/select-in/").len(), writes.of("/select-out/").len()), (1, 2));
    assert!(writes.of("istio-ca-crl").is_empty(), "no list of the revoked where it is off");
    running.abort();
}
