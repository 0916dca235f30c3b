//! The mesh's roots as a ClusterTrustBundle: one object of the cluster instead of a ConfigMap in every namespace.

use k8s_openapi::api::certificates::v1beta1::{ClusterTrustBundle as Bundle, ClusterTrustBundleSpec};
use kube::Client;
use kube::api::{Api, ObjectMeta, PostParams};
use kube::runtime::watcher;
use tokio::sync::watch;

use crate::mirror::{Key, Mirror};
use crate::news;
use crate::queue::{Outcome, Queue};

/// Its name, which begins as its signer's does.
pub const NAME: &str = "istio.io:istiod-ca:root-cert";

/// Who vouches for it; to write it takes the right to `attest` for this signer.
pub const SIGNER: &str = "istio.io/istiod-ca";

/// Keeps the ClusterTrustBundle at the mesh's roots (as pilot/pkg/config/kube/clustertrustbundle). Takes the place of
/// [`crate::ca_bundle::CaBundle`] where `ENABLE_CLUSTER_TRUST_BUNDLE_API` is on, under the same lock.
pub struct ClusterTrustBundle {
    bundles: Api<Bundle>,
    roots: watch::Receiver<String>,
    standing: Mirror<Bundle, String>,
    queue: Queue<Key>,
}

impl ClusterTrustBundle {
    /// `roots` are certificates as PEM; nothing is written while they are empty.
    #[must_use]
    pub fn new(client: Client, roots: watch::Receiver<String>) -> Self {
        let bundles: Api<Bundle> = Api::all(client);
        let only = watcher::Config::default().fields(&format!("metadata.name={NAME}"));
        let text = |bundle: Bundle| bundle.spec.trust_bundle;
        Self {
            standing: Mirror::new("ClusterTrustBundles", bundles.clone(), only, text),
            bundles,
            roots,
            queue: Queue::new("writing ClusterTrustBundle"),
        }
    }

    /// Runs until it is dropped. Trouble with the cluster is logged and tried again.
    pub async fn run(mut self) {
        let key = Key::new("", NAME);
        self.queue.add(key.clone());
        loop {
            let synced = self.standing.synced();
            tokio::select! {
                _ = self.standing.changed() => self.queue.add(key.clone()),
                () = news(&mut self.roots) => self.queue.add(key.clone()),
                key = self.queue.next(), if synced => {
                    let roots = self.roots.borrow().clone();
                    let differs = self.standing.get(&key) != Some(&roots);
                    if differs && !roots.is_empty() {
                        self.queue.work(key, write(&self.bundles, roots)).await;
                    }
                }
            }
        }
    }
}

async fn write(bundles: &Api<Bundle>, roots: String) -> Outcome {
    let params = PostParams::default();
    match bundles.get_opt(NAME).await? {
        Some(bundle) if bundle.spec.trust_bundle == roots => return Ok(0),
        Some(mut bundle) => {
            bundle.spec.trust_bundle = roots;
            bundles.replace(NAME, &params, &bundle).await?;
        }
        None => {
            let metadata = ObjectMeta { name: Some(NAME.to_owned()), ..ObjectMeta::default() };
            let spec = ClusterTrustBundleSpec { signer_name: Some(SIGNER.to_owned()), trust_bundle: roots };
            bundles.create(&params, &Bundle { metadata, spec }).await?;
        }
    }
    Ok(1)
}
