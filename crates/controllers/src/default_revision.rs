//! The default revision: the one that the webhook of the tag `default` stands for.

use futures_util::TryStreamExt as _;
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use kube::api::Api;
use kube::core::PartialObjectMeta;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Client, ResourceExt as _};
use tokio::sync::watch;

/// The webhook of the tag `default` (as pkg/revisions/default_watcher.go: `NewDefaultWatcher`).
const WEBHOOK: &str = "istio-revision-tag-default";

/// Its label that names the revision.
const REVISION: &str = "istio.io/rev";

/// Keeps `to` at the default revision, empty if there is none, until nobody listens or the future is dropped.
///
/// Trouble with the cluster is logged and tried again; meanwhile the last answer stands.
pub async fn follow(client: Client, to: watch::Sender<String>) {
    let webhooks: Api<PartialObjectMeta<MutatingWebhookConfiguration>> = Api::all(client);
    let only = watcher::Config::default().fields(&format!("metadata.name={WEBHOOK}"));
    let events = watcher(webhooks, only).default_backoff();
    tokio::pin!(events);
    let mut at_init = String::new();
    loop {
        let event = tokio::select! {
            () = to.closed() => return,
            event = events.try_next() => event,
        };
        let revision = match event {
            Ok(Some(watcher::Event::Init)) => {
                at_init.clear();
                continue;
            }
            Ok(Some(watcher::Event::InitApply(webhook))) => {
                at_init = revision(&webhook);
                continue;
            }
            Ok(Some(watcher::Event::InitDone)) => at_init.clone(),
            Ok(Some(watcher::Event::Apply(webhook))) => revision(&webhook),
            Ok(Some(watcher::Event::Delete(_))) => String::new(),
            Ok(None) => return,
            Err(error) => {
                tracing::warn!("the default revision is not known, trying again: {error}");
                continue;
            }
        };
        to.send_if_modified(|known| {
            let differs = *known != revision;
            *known = revision;
            differs
        });
    }
}

fn revision(webhook: &PartialObjectMeta<MutatingWebhookConfiguration>) -> String {
    webhook.labels().get(REVISION).cloned().unwrap_or_default()
}
