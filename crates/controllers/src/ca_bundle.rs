//! What every workload must trust, in every namespace: the ConfigMaps of the mesh's roots and of revoked certificates.

mod published;

use kube::Client;
use tokio::sync::watch;

use crate::charge::Charge;
use crate::namespaces::{Namespaces, Scope};
use crate::queue::{Outcome, Queue};
use published::{Changed, Published, Write};

/// Namespaces of Kubernetes itself where no workload runs (as namespacecontroller.go: `ignoredNamespaces`; kube-system is
/// none of them, for a ztunnel may run there).
const IGNORED: [&str; 3] = ["kube-public", "kube-node-lease", "local-path-storage"];

/// Under which names, and for whom.
#[derive(Clone)]
pub struct Options {
    /// The ConfigMap of the roots: `PILOT_CA_CERT_CONFIGMAP`.
    pub roots_name: String,
    /// The ConfigMap of revoked certificates: `PILOT_CRL_CONFIGMAP`.
    pub crl_name: String,
    /// Which namespaces get them.
    pub scope: Scope,
    /// Of another cluster: what stands there is replaced only while that is in our charge.
    pub charge: Option<Charge>,
}

impl Options {
    /// Upstream's names.
    #[must_use]
    pub fn new(scope: Scope) -> Self {
        Self {
            roots_name: "istio-ca-root-cert".to_owned(),
            crl_name: "istio-ca-crl".to_owned(),
            scope,
            charge: None,
        }
    }
}

/// Writes the bundle into every namespace, whenever something else stands there
/// (as pilot/pkg/serviceregistry/kube/controller/namespacecontroller.go). Runs under [`crate::leader::Work::NAMESPACES`].
pub struct CaBundle {
    namespaces: Namespaces,
    roots: Published,
    crl: Option<Published>,
    /// Names of namespaces.
    queue: Queue<String>,
}

impl CaBundle {
    /// `roots` are certificates as PEM, of which nothing is written while they are empty; `crl` is what they revoked, as
    /// PEM and perhaps empty, or `None` where `PILOT_ENABLE_CA_CRL` is off.
    #[must_use]
    pub fn new(
        client: &Client,
        options: Options,
        roots: watch::Receiver<String>,
        crl: Option<watch::Receiver<String>>,
    ) -> Self {
        let Options { roots_name, crl_name, scope, charge } = options;
        let only = scope.only.as_deref();
        Self {
            roots: Published::roots(client, only, roots_name, roots, charge.clone()),
            crl: crl.map(|crl| Published::crl(client, only, crl_name, crl, charge)),
            namespaces: Namespaces::new(client, scope),
            queue: Queue::new("writing the CA bundle into namespace"),
        }
    }

    /// Runs until it is dropped. Trouble with the cluster is logged and tried again.
    pub async fn run(mut self) {
        loop {
            let crl_synced = self.crl.as_ref().is_none_or(Published::synced);
            let synced = self.namespaces.synced() && self.roots.synced() && crl_synced;
            tokio::select! {
                changed = self.namespaces.changed() => self.add(Changed::In(changed)),
                changed = self.roots.changed() => self.add(changed),
                changed = changed(&mut self.crl) => self.add(changed),
                name = self.queue.next(), if synced => {
                    let work = write(self.due(&name));
                    self.queue.work(name, work).await;
                }
            }
        }
    }

    fn add(&mut self, changed: Changed) {
        let names = match changed {
            Changed::In(names) => names,
            Changed::Everywhere => self.namespaces.names(),
        };
        names.into_iter().for_each(|name| self.queue.add(name));
    }

    /// What has to be written into a namespace.
    fn due(&self, namespace: &str) -> Vec<Write> {
        let is_served = !IGNORED.contains(&namespace)
            && self.namespaces.is_selected(namespace)
            && !self.namespaces.ends(namespace);
        let all = [Some(&self.roots), self.crl.as_ref()];
        let all = all.into_iter().flatten().filter(|_| is_served);
        all.filter_map(|published| published.due(namespace)).collect()
    }
}

/// What changed of something that may be switched off.
async fn changed(published: &mut Option<Published>) -> Changed {
    match published {
        Some(published) => published.changed().await,
        None => std::future::pending().await,
    }
}

async fn write(due: Vec<Write>) -> Outcome {
    let mut writes = 0;
    for write in due {
        writes += write.make().await?;
    }
    Ok(writes)
}
