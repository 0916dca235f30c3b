//! What every namespace has, and its end: what is in it goes, then it does.

use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, PostParams};
use kube::discovery::{ApiGroup, Discovery, Scope, verbs};
use kube::{Client, Resource as _};

use super::listing::{Listing, is_going, place};
use super::outcome::Outcome;

/// The account of pods that name none.
pub(super) const ACCOUNT: &str = "default";

/// Gives every namespace its default service account, and brings those to an end that are deleted.
pub(super) async fn work(client: &Client, listing: &Listing, outcome: &mut Outcome) {
    for namespace in &listing.namespaces {
        let (_, name) = place(&namespace.metadata);
        if is_going(&namespace.metadata) {
            match empty(client, name, outcome).await {
                Ok(true) => outcome.note("the end of namespace", name, finalize(client, namespace).await),
                Ok(false) => {}
                Err(error) => outcome.note::<()>("the objects of namespace", name, Err(error)),
            }
        } else if !listing.accounts.iter().any(|account| place(&account.metadata) == (name, ACCOUNT)) {
            let account = ServiceAccount {
                metadata: ObjectMeta { name: Some(ACCOUNT.to_owned()), ..ObjectMeta::default() },
                ..ServiceAccount::default()
            };
            let made = Api::namespaced(client.clone(), name).create(&PostParams::default(), &account).await;
            outcome.note("the default service account of", name, made);
        }
    }
}

/// Deletes what is in a namespace, of whatever kind; whether nothing is left.
async fn empty(client: &Client, namespace: &str, outcome: &mut Outcome) -> kube::Result<bool> {
    let discovery = Discovery::new(client.clone()).run_aggregated().await?;
    let mut is_empty = true;
    for (kind, can) in discovery.groups_alphabetical().into_iter().flat_map(ApiGroup::recommended_resources) {
        let is_deleted =
            can.supports_operation(verbs::DELETE_COLLECTION) && can.supports_operation(verbs::LIST);
        if can.scope != Scope::Namespaced || !is_deleted {
            continue;
        }
        let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &kind);
        let left = api.list_metadata(&ListParams::default()).await?.items;
        is_empty &= left.is_empty();
        // what is going already waits for its own end
        if left.iter().any(|object| object.meta().deletion_timestamp.is_none()) {
            let deleted = api.delete_collection(&DeleteParams::default(), &ListParams::default()).await;
            outcome.note(&kind.plural, &format!("of namespace {namespace}"), deleted);
        }
    }
    Ok(is_empty)
}

async fn finalize(client: &Client, namespace: &Namespace) -> kube::Result<Namespace> {
    let mut last = namespace.clone();
    last.spec.get_or_insert_default().finalizers = None;
    let body = serde_json::to_vec(&last).map_err(kube::Error::SerdeError)?;
    let request = http::Request::put(format!("/api/v1/namespaces/{}/finalize", place(&namespace.metadata).1))
        .header(http::header::CONTENT_TYPE, "application/json")
        .body(body);
    client.request(request.map_err(kube::Error::HttpError)?).await
}
