//! The default revision follows the webhook of its tag.

use controllers::default_revision;
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use kube::api::{Api, DeleteParams, Patch, PatchParams};
use serde_json::json;
use testkit::eventually;
use tokio::sync::watch;

use crate::cluster::{PATIENCE, create, shared};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_default_revision_is_the_one_its_tag_names() {
    let server = shared().await;
    let client = server.client().await.unwrap();
    let webhooks: Api<MutatingWebhookConfiguration> = Api::all(client.clone());
    let tag = "istio-revision-tag-default";
    create(
        &webhooks,
        json!({"metadata": {"name": "istio-revision-tag-prod", "labels": {"istio.io/rev": "prod"}}}),
    )
    .await;
    create(&webhooks, json!({"metadata": {"name": tag, "labels": {"istio.io/rev": "one"}}})).await;

    let (to, known) = watch::channel(String::new());
    let following = tokio::spawn(default_revision::follow(client, to));
    let until = async |revision: &str| {
        let is = async || (*known.borrow() == revision).then_some(());
        eventually(&format!("the default revision is {revision:?}"), PATIENCE, is).await.unwrap();
    };
    until("one").await;
    let moved = json!({"metadata": {"labels": {"istio.io/rev": "two"}}});
    webhooks.patch(tag, &PatchParams::default(), &Patch::Merge(moved)).await.unwrap();
    until("two").await;
    webhooks.delete(tag, &DeleteParams::default()).await.unwrap();
    until("").await;

    drop(known);
    following.await.unwrap();
}
