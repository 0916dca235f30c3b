//! Whether another cluster is in the charge of a control plane: whose roots its workloads are given.

use std::future::pending;

use config::annotation::CONTROL_PLANE_CLUSTERS;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::api::Api;
use kube::{Client, Error, ResourceExt as _};
use process::retry::Policy;
use tokio::sync::watch;

/// The Secret of a plugged-in authority, in the control plane's namespace.
pub const PLUGGED_IN: &str = "cacerts";
/// The Secret of an authority that a control plane makes for itself.
pub const SELF_SIGNED: &str = "istio-ca-secret";
/// Where an authority's root stands in its Secret, or the certificate that is one.
const ROOT: [&str; 2] = ["root-cert.pem", "ca-cert.pem"];

/// The charge of another cluster.
#[derive(Clone)]
pub struct Charge {
    /// That cluster.
    pub client: Client,
    /// The control plane's namespace there.
    pub namespace: String,
    /// The control plane's own cluster.
    pub own: String,
    /// Whether that cluster has to name our own (`EXTERNAL_ISTIOD`). If not, it is ours unless it has an authority with
    /// another root.
    pub named: bool,
    /// Our roots as PEM.
    pub roots: watch::Receiver<String>,
}

impl Charge {
    /// Whether it is ours. A cluster that does not answer is asked again until it does.
    ///
    /// Named: whether the annotation `topology.istio.io/controlPlaneClusters` of the control plane's namespace there names our
    /// cluster or `*`, so that one without that namespace is in nobody's charge (as
    /// pilot/pkg/serviceregistry/kube/controller/multicluster.go: `checkShouldLead`). Otherwise upstream writes nothing there;
    /// here a cluster without an authority is given our roots, for its workloads have nobody else to trust, and one whose
    /// authority has the same root, which users are told to give to every cluster of a mesh.
    pub async fn is_ours(&self) -> bool {
        let mut delays = Policy::default().delays();
        loop {
            let answer = if self.named { self.is_named().await } else { self.has_no_other_root().await };
            match answer {
                Ok(ours) => return ours,
                Err(error) => {
                    let delay = delays.next().unwrap_or_default();
                    tracing::warn!(
                        "namespace {} of another cluster says who has charge of it; asking again in {delay:?}: {error}",
                        self.namespace
                    );
                    tokio::time::sleep(delay).await;
                }
            }
        }
    }

    /// Does some work if it is ours, and nothing for ever if not.
    pub async fn only_ours(self, work: impl Future<Output = ()>) {
        if self.is_ours().await { work.await } else { pending().await }
    }

    async fn is_named(&self) -> Result<bool, Error> {
        let found = Api::<Namespace>::all(self.client.clone()).get_opt(&self.namespace).await?;
        let names = found.as_ref().and_then(|found| found.annotations().get(CONTROL_PLANE_CLUSTERS));
        Ok(names.is_some_and(|names| names.split(',').any(|name| name == "*" || name == self.own)))
    }

    async fn has_no_other_root(&self) -> Result<bool, Error> {
        let secrets = Api::<Secret>::namespaced(self.client.clone(), &self.namespace);
        for name in [PLUGGED_IN, SELF_SIGNED] {
            match secrets.get_opt(name).await {
                Ok(found) if found.as_ref().is_none_or(|secret| self.has_our_root(secret)) => {}
                Ok(_) => return Ok(false),
                // who may not look may not write either
                Err(Error::Api(status)) if status.code == 403 => {
                    tracing::info!("another cluster is not in our charge: {}", status.message);
                    return Ok(false);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    fn has_our_root(&self, secret: &Secret) -> bool {
        let data = secret.data.as_ref();
        let root = ROOT.iter().find_map(|entry| data?.get(*entry));
        let root = root.and_then(|root| std::str::from_utf8(&root.0).ok()).unwrap_or_default().trim();
        !root.is_empty() && self.roots.borrow().contains(root)
    }
}
